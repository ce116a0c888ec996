"""The configuration of a saved model: nothing of it is believed before it is checked."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph.chem.relations import Relations
from massgraph.classifier import RGCNClassifier
from massgraph.data.spectra import POLARITIES
from massgraph.data.validation import check_axis
from massgraph.encode.axis import MOST_IONS
from massgraph.learn.checkpoints import HISTORY
from massgraph.learn.settings import PRESETS, Settings, check_settings
from massgraph.native.library import library
from massgraph.store.provenance import check_provenance

__all__ = ["AXIS_NUMBERS", "LABEL_TYPES", "restore"]

MOST_PIXELS = 10**8
# Columns of the contributions of the branches; the last two are missing for some rows.
CONTRIBUTIONS = (
    "branch",
    "weight",
    "share",
    "balanced_accuracy_alone",
    "balanced_accuracy_without",
)
# Numbers of the mass axis that are no arrays.
AXIS_NUMBERS = ("n_ions", "width", "shift", "unit")
MOST_NETS = 100
# Types of labels by the name of their dtype, so that `classes_` comes back as it was.
LABEL_TYPES: dict[str, type] = {
    "str": str,
    "bool": bool,
    **{f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": float for bits in (16, 32, 64)},
}


def restore(config: dict[str, Any]) -> RGCNClassifier:
    """The classifier of a configuration, all of it checked; its weights come later."""
    settings = _settings(config)
    classifier = RGCNClassifier(**_parameters(config["parameters"]))
    # Fitting it again, or a clone of it, is to use the same settings.
    names = set(classifier.get_params()) & {field.name for field in fields(settings)}
    classifier.set_params(**{name: getattr(settings, name) for name in names})
    classifier.settings_ = settings
    classifier.classes_ = _classes(config["classes"], config["classes_dtype"])
    classifier.training_, classifier.validation_ = _masks(config)
    counts = (int(mask.sum()) for mask in (classifier.training_, classifier.validation_))
    check_provenance(config["provenance"], len(classifier.classes_), *counts)
    classifier.provenance_ = config["provenance"]
    classifier.history_ = (
        None if config["history"] is None else _history(config["history"], settings)
    )
    classifier.contributions_ = _contributions(config["contributions"], settings)
    classifier.n_nets_ = config["n_nets"]
    counted = type(classifier.n_nets_) is int and 0 < classifier.n_nets_ <= MOST_NETS
    _check(counted, config, "n_nets", "no number of nets")
    _check_axis_numbers(config["axis"], settings)
    classifier.polarity_, classifier.fingerprint_ = config["polarity"], config["fingerprint"]
    polarities = (None, *POLARITIES)
    _check(classifier.polarity_ in polarities, config, "polarity", f"none of {polarities}")
    digest = isinstance(config["fingerprint"], str) and len(config["fingerprint"]) == 64
    _check(digest, config, "fingerprint", "no SHA-256")
    span = config["feature_range"]
    is_range = _is_list_of(span, int, float) and len(span) == 2 and span[0] < span[1]
    _check(is_range, config, "feature_range", "no range of m/z")
    if classifier.mz is not None:
        classifier.n_features_in_ = len(np.asarray(classifier.mz))
    return classifier


def _check(fine: bool, table: dict[str, Any], name: str, reason: str) -> None:
    if not fine:
        msg = f"{name} is {reason}: {table[name]!r}"
        raise InputError(msg)


def _is_list_of(values: Any, *types: type) -> bool:
    """Whether it is a list of these types exactly: True is no int."""
    return isinstance(values, list) and all(type(value) in types for value in values)


def _same_names(found: Any, wanted: set[str], what: str) -> None:
    wrong = sorted(wanted ^ set(found))
    if wrong:
        msg = f"the {what} {wrong[0]!r} is {'unknown' if wrong[0] in found else 'missing'}"
        raise InputError(msg)


def _settings(config: dict[str, Any]) -> Settings:
    values = dict(config["settings"])
    _same_names(values, {field.name for field in fields(Settings)} - {"relations"}, "setting")
    for name in ("branches", "features", "hidden", "mz_range"):
        if isinstance(values[name], list):
            values[name] = tuple(values[name])
    relations = Relations.from_dict(config["relations"])
    if relations.to_dict() != config["relations"]:
        msg = "relations hold values of another type than names, masses, formulas and kinds have"
        raise InputError(msg)
    settings = Settings(relations=relations, **values)
    check_settings(settings)
    return settings


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    _same_names(values, {"preset", "backend", "device", "mz", "random_state"}, "parameter")
    preset, device, seed, mz = (values[n] for n in ("preset", "device", "random_state", "mz"))
    _check(preset in tuple(PRESETS), values, "preset", f"none of {tuple(PRESETS)}")
    is_device = isinstance(device, str) and re.fullmatch(r"[a-z]+(:\d{1,3})?", device)
    _check(bool(is_device), values, "device", "no name of a device")
    is_seed = seed is None or (type(seed) is int and seed >= 0)
    _check(is_seed, values, "random_state", "no whole number of 0 or more")
    if values["backend"] == "native" and library() is None:
        values = {**values, "backend": "auto"}  # the same weights on a machine without a compiler
    if mz is None:
        return values
    _check(_is_list_of(mz, int, float), values, "mz", "no list of numbers")
    axis = np.asarray(mz, dtype=np.float64)
    check_axis(axis)
    return {**values, "mz": axis}


def _classes(values: list[Any], dtype: str) -> NDArray[Any]:
    if dtype not in LABEL_TYPES or not _is_list_of(values, LABEL_TYPES[dtype]):
        msg = f"classes {values} are not all of type {dtype!r}"
        raise InputError(msg)
    classes = np.asarray(values)
    classes = classes if dtype == "str" else classes.astype(dtype)
    if len(values) < 2 or classes.tolist() != values or (classes[1:] <= classes[:-1]).any():
        msg = f"classes {values} are not two or more different ones in order"
        raise InputError(msg)
    return classes


def _masks(config: dict[str, Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Training and validation pixels."""
    n_pixels = config["n_pixels"]
    counted = type(n_pixels) is int and 0 < n_pixels <= MOST_PIXELS
    _check(counted, config, "n_pixels", "no number of pixels")
    masks = np.zeros((2, n_pixels), dtype=bool)
    for name, mask in zip(("training", "validation"), masks, strict=True):
        rows = config[name]
        may_be_empty = name == "validation" and config["settings"]["folds"] != 1
        filled = _is_list_of(rows, int) and (bool(rows) or may_be_empty)
        _check(filled, config, name, "no list of pixels")
        if rows and not 0 <= min(rows) <= max(rows) < n_pixels:
            msg = f"{name} names pixel {max(rows, key=abs)} of {n_pixels}"
            raise InputError(msg)
        mask[rows] = True
    both = set(config["training"]) & set(config["validation"])
    if both:
        msg = f"pixel {min(both)} is both in training and in validation"
        raise InputError(msg)
    return masks[0], masks[1]


def _history(table: dict[str, list[Any]], settings: Settings) -> pd.DataFrame:
    """The learning curve; where it is the mean of several nets, no epoch of it is the best."""
    _same_names(table, set(HISTORY), "column of history")
    for name, kind in HISTORY.items():
        _check(_is_list_of(table[name], kind), table, name, f"no list of {kind.__name__}")
    history = pd.DataFrame(table)
    wanted = 1 if settings.folds == 1 else 0
    if int(history["best"].sum()) != wanted:
        msg = f"history has {int(history['best'].sum())} best epochs, need {wanted}"
        raise InputError(msg)
    return history


def _contributions(table: Any, settings: Settings) -> pd.DataFrame | None:
    """What each branch adds: rows are the branches, then all."""
    if (table is None) != (settings.folds == 1):
        state = "missing" if table is None else "there"
        msg = f"contributions are {state} for {settings.folds} folds"
        raise InputError(msg)
    if table is None:
        return None
    _same_names(table, set(CONTRIBUTIONS), "column of contributions")
    if table["branch"] != [*settings.branches, "all"]:
        msg = f"contributions are of {table['branch']}, not of {[*settings.branches, 'all']}"
        raise InputError(msg)
    found: dict[str, Any] = {"branch": table["branch"]}
    for name in CONTRIBUTIONS[1:]:
        values = table[name]
        fine = isinstance(values, list) and len(values) == len(table["branch"])
        fine = fine and all(value is None or type(value) is float for value in values)
        _check(fine, table, name, "no list of numbers")
        found[name] = np.array([math.nan if value is None else value for value in values])
    return pd.DataFrame(found)


def _check_axis_numbers(values: Any, settings: Settings) -> None:
    if settings.as_published:
        if values is not None:
            msg = "the axis is there for a model as published, which has none"
            raise InputError(msg)
        return
    if not isinstance(values, dict):
        msg = f"the axis is {values!r}, not its numbers"
        raise InputTypeError(msg)
    _same_names(values, set(AXIS_NUMBERS), "number of the axis")
    counted = type(values["n_ions"]) is int and 0 <= values["n_ions"] <= MOST_IONS
    _check(counted, values, "n_ions", "no number of ions")
    for name in AXIS_NUMBERS[1:]:
        fine = type(values[name]) in (int, float) and values[name] >= 0
        _check(fine, values, name, "no number of zero or more")
    _check(values["unit"] > 0, values, "unit", "not above zero")
