"""The configuration of a saved classifier: nothing of it is believed before it is checked."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.encode.coverage import Levels
from massgraph.fitted import Classes, Origin
from massgraph.learn.branches import PartShape, branch_names
from massgraph.learn.checkpoints import HISTORY
from massgraph.learn.cross_fit import LeftOut
from massgraph.learn.neighbour_field import NeighbourField
from massgraph.learn.objectives import CrossEntropy
from massgraph.learn.parts import new_model
from massgraph.learn.provenance import check_provenance
from massgraph.learn.settings import PRESETS, Settings, check_settings
from massgraph.native.library import library
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.rgcn import RGCN
from massgraph.store.checks import (
    UnknownSettingError,
    check,
    check_axis_numbers,
    check_digest,
    check_polarity,
    check_seed,
    column_names_of,
    is_list_of,
    levels_of,
    mz_of,
    no_others,
    relations_of,
    same_names,
)

__all__ = ["LABEL_TYPES", "Restored", "restore"]

# A small file must not take much memory by what it claims: two masks of so many pixels are 200 MB.
MOST_PIXELS = 10**8
GENERATION = 2  # of the branches in closed form
# Columns of the contributions of the branches; the last two are missing for some rows.
CONTRIBUTIONS = (
    "branch",
    "weight",
    "share",
    "balanced_accuracy_alone",
    "balanced_accuracy_without",
)
MOST_NETS = 100
ROUNDING = 1e-6  # of shares that sum to one
# Types of labels by the name of their dtype, so that `classes_` comes back as it was.
LABEL_TYPES: dict[str, type] = {
    "str": str,
    "bool": bool,
    **{f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": float for bits in (16, 32, 64)},
}


@dataclass(frozen=True, eq=False)
class Restored:
    """A configuration, all of it checked; the weights come later.

    Parameters
    ----------
    settings, outputs, origin, backend, device
        As for `FittedModel`.
    feature_range
        That of the encoder.
    axis
        Numbers of the mass axis that are no arrays; None for a model as published.
    field
        As for `FittedModel`.
    usual
        Numbers of `massgraph.learn.run_gains.UsualAmounts` that are no arrays; None where there
        are none.
    first_release
        Whether the branches in closed form are those of massgraph 0.1.0.
    levels
        As for `FittedModel`.

    Examples
    --------
    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store.config import restore
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(Path(folder) / "model")
    ...     text = (Path(folder) / "model" / "config.json").read_text(encoding="utf-8")
    >>> restored = restore(json.loads(text))
    >>> restored.n_ions == clf.summary()["axis_ions"]
    True
    """

    settings: Settings
    outputs: Classes
    origin: Origin
    backend: str
    device: str
    feature_range: tuple[float, float]
    axis: dict[str, Any] | None
    field: NeighbourField | None
    usual: dict[str, float] | None = None
    first_release: bool = False
    levels: Levels | None = None

    @property
    def n_ions(self) -> int | None:
        """Ions of the axis, if there is one."""
        return None if self.axis is None else int(self.axis["n_ions"])

    def new_model(self) -> RGCN | BranchModel:
        """An empty model of this shape."""
        shape = PartShape.of(self.settings, len(self.outputs), self.n_ions, self.backend)
        names, first = self.settings.branches, self.first_release
        return new_model(names, shape, self.origin.n_nets, first_release=first)


def restore(config: dict[str, Any]) -> Restored:
    """Check a configuration and return what it says.

    Raises
    ------
    UnknownSettingError
        For a setting or parameter that this version does not know.
    ValueError, TypeError, KeyError, AttributeError
        For anything that no fit can have given.

    Examples
    --------
    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store.config import restore
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(Path(folder) / "model")
    ...     text = (Path(folder) / "model" / "config.json").read_text(encoding="utf-8")
    >>> restore(json.loads(text)).outputs.names
    ('epithelium', 'muscle', 'stroma')
    """
    parameters = _parameters(config["parameters"])
    settings = _settings(config, parameters["preset"])
    outputs = Classes(_classes(config["classes"], config["classes_dtype"]))
    training, validation = _masks(config)
    counts = int(training.sum()), int(validation.sum())
    check_provenance(config["provenance"], len(outputs), *counts)
    n_nets = config["n_nets"]
    check(type(n_nets) is int and 0 < n_nets <= MOST_NETS, config, "n_nets", "no number of nets")
    _check_axis(config["axis"], settings)
    check_polarity(config)
    check_digest(config, "fingerprint")
    span = config["feature_range"]
    is_range = is_list_of(span, int, float) and len(span) == 2 and span[0] < span[1]
    check(is_range, config, "feature_range", "no range of m/z")
    history = config["history"]
    origin = Origin(
        polarity=config["polarity"],
        fingerprint=config["fingerprint"],
        training=training,
        validation=validation,
        data=config["provenance"],
        history=None if history is None else _history(history, settings),
        contributions=_contributions(config["contributions"], settings),
        n_nets=n_nets,
        preset=parameters["preset"],
        given=_given(config),
        random_state=parameters["random_state"],
        mz=parameters["mz"],
        columns=column_names_of(config),
        left_out=_left_out(config),
    )
    return Restored(
        settings=settings,
        outputs=outputs,
        origin=origin,
        backend=parameters["backend"],
        device=parameters["device"],
        feature_range=(span[0], span[1]),
        axis=config["axis"],
        field=_field(config.get("field"), len(outputs)),
        usual=_usual(config),
        first_release=_generation(config) == 1 and not settings.as_published,
        levels=levels_of(config),
    )


def _generation(config: dict[str, Any]) -> int:
    """Of the branches in closed form; models of massgraph 0.1.0 do not say."""
    found = config.get("generation", 1)
    check(type(found) is int and 1 <= found <= GENERATION, config, "generation", "none there was")
    return int(found)


def _usual(config: dict[str, Any]) -> dict[str, float] | None:
    values = config.get("usual")
    if values is None:
        return None
    check(config["axis"] is not None, config, "usual", "of no axis")
    same_names(values, {"spread", "least", "most"}, "number of what is usual")
    fine = all(type(value) is float for value in values.values())
    fine = fine and values["spread"] > 0 and 0 <= values["least"] <= values["most"]
    check(fine, config, "usual", "no spread and numbers of molecules")
    return dict(values)


def _field(values: Any, n_classes: int) -> NeighbourField | None:
    if values is None:
        return None
    same_names(values, {"strength", "shares", "trust"}, "value of the field")
    strength, rows, trust = values["strength"], values["shares"], values["trust"]
    fine = type(strength) in (int, float) and 0 < strength <= 1
    check(fine, values, "strength", "no number above 0, up to 1")
    fine = is_list_of(trust, float) and len(trust) == n_classes
    fine = fine and all(0 < value <= 1 for value in trust)
    check(fine, values, "trust", f"no list of {n_classes} numbers above 0, up to 1")
    square = is_list_of(rows, list) and len(rows) == n_classes
    square = square and all(is_list_of(row, float) and len(row) == n_classes for row in rows)
    check(square, values, "shares", f"no table of {n_classes} x {n_classes} numbers")
    shares = np.array(rows, dtype=np.float64)
    fine = bool((shares > 0).all() and (abs(shares.sum(axis=1) - 1) < ROUNDING).all())
    check(fine, values, "shares", "no shares")
    return NeighbourField(float(strength), shares, np.array(trust))


def _given(config: dict[str, Any]) -> tuple[str, ...]:
    """Names of the settings that the user chose; of models that do not say, all of them.

    Fitting such a model again uses the settings that it has, as it always did.
    """
    # What a preset alone decides is no parameter that anybody could have given.
    known = {field.name for field in fields(Settings)} - {"adam_eps", "as_published"}
    if "given" not in config:
        there = known & config["settings"].keys()
        return tuple(field.name for field in fields(Settings) if field.name in there)
    names = config["given"]
    fine = is_list_of(names, str) and set(names) <= known and len(set(names)) == len(names)
    check(fine, config, "given", "no list of settings")
    return tuple(names)


def _settings(config: dict[str, Any], preset: str) -> Settings:
    values = dict(config["settings"])
    no_others(values, {field.name for field in fields(Settings)} - {"relations"}, "setting")
    # A setting that came after the model was saved: the preset says how it was before, when no
    # model asked neighbours.
    values = {"spatial": False, "run_gains": False, **PRESETS[preset], **values}
    for name in values.get("branches", ()):
        if isinstance(name, str) and name not in branch_names():
            msg = f"the branch {name!r} is unknown (register_branch makes one known)"
            raise UnknownSettingError(msg)
    for name in ("branches", "features", "hidden", "mz_range"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    settings = Settings(relations=relations_of(config["relations"]), **values)
    check_settings(settings)
    return settings


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    names = {"preset", "backend", "device", "mz", "random_state"}
    no_others(values, names, "parameter")
    same_names(values, names, "parameter")
    preset, device = values["preset"], values["device"]
    check(preset in tuple(PRESETS), values, "preset", f"none of {tuple(PRESETS)}")
    # Only what looks like the name of a device is ever handed to torch.
    is_device = isinstance(device, str) and re.fullmatch(r"[a-z]+(:\d{1,3})?", device)
    check(bool(is_device), values, "device", "no name of a device")
    check_seed(values)
    if values["backend"] == "native" and library() is None:
        values = {**values, "backend": "auto"}  # the same weights on a machine without a compiler
    return {**values, "mz": mz_of(values)}


def _classes(values: list[Any], dtype: str) -> NDArray[Any]:
    if dtype not in LABEL_TYPES or not is_list_of(values, LABEL_TYPES[dtype]):
        msg = f"classes {values} are not all of type {dtype!r}"
        raise InputError(msg)
    classes = np.asarray(values)
    # A number that its type cannot hold comes back as another. The outputs of the network are in
    # this order: a fit gives no other.
    classes = classes if dtype == "str" else classes.astype(dtype)
    if len(values) < 2 or classes.tolist() != values or (classes[1:] <= classes[:-1]).any():
        msg = f"classes {values} are not two or more different ones in order"
        raise InputError(msg)
    return classes


def _masks(config: dict[str, Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Training and validation pixels."""
    n_pixels = config["n_pixels"]
    counted = type(n_pixels) is int and 0 < n_pixels <= MOST_PIXELS
    check(counted, config, "n_pixels", "no number of pixels")
    masks = np.zeros((2, n_pixels), dtype=bool)
    for name, mask in zip(("training", "validation"), masks, strict=True):
        rows = config[name]
        # With folds every pixel is held out in its turn, and none need be for good.
        may_be_empty = name == "validation" and config["settings"].get("folds", 3) != 1
        filled = is_list_of(rows, int) and (bool(rows) or may_be_empty)
        check(filled, config, name, "no list of pixels")
        # numpy would take rows below zero as counted from the end.
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
    columns = {**HISTORY, **dict.fromkeys(CrossEntropy.train_columns, float)}
    columns |= dict.fromkeys(CrossEntropy.valid_columns, float)
    same_names(table, set(columns), "column of history")
    for name, kind in columns.items():
        check(is_list_of(table[name], kind), table, name, f"no list of {kind.__name__}")
    history = pd.DataFrame(table)
    wanted = 1 if settings.folds == 1 else 0
    if int(history["best"].sum()) != wanted:
        msg = f"history has {int(history['best'].sum())} best epochs, need {wanted}"
        raise InputError(msg)
    return history


def _left_out(config: dict[str, Any]) -> tuple[LeftOut, ...]:
    """Branches that are not in the model, and why; models of earlier versions do not say."""
    rows = config.get("left_out", [])
    kinds = {"branch": str, "reason": str, "epochs": int}
    fine = isinstance(rows, list) and all(
        isinstance(row, dict)
        and row.keys() == kinds.keys()
        and all(type(row[name]) is kind for name, kind in kinds.items())
        for row in rows
    )
    check(fine, config, "left_out", "no list of branches")
    return tuple(LeftOut(**row) for row in rows)


def _contributions(table: Any, settings: Settings) -> pd.DataFrame | None:
    """What each branch adds: rows are the branches, then all."""
    if (table is None) != (settings.folds == 1):
        state = "missing" if table is None else "there"
        msg = f"contributions are {state} for {settings.folds} folds"
        raise InputError(msg)
    if table is None:
        return None
    same_names(table, set(CONTRIBUTIONS), "column of contributions")
    if table["branch"] != [*settings.branches, "all"]:
        msg = f"contributions are of {table['branch']}, not of {[*settings.branches, 'all']}"
        raise InputError(msg)
    found: dict[str, Any] = {"branch": table["branch"]}
    for name in CONTRIBUTIONS[1:]:
        values = table[name]
        fine = isinstance(values, list) and len(values) == len(table["branch"])
        fine = fine and all(value is None or type(value) is float for value in values)
        check(fine, table, name, "no list of numbers")
        found[name] = np.array([math.nan if value is None else value for value in values])
    return pd.DataFrame(found)


def _check_axis(values: Any, settings: Settings) -> None:
    if not settings.as_published:
        check_axis_numbers(values, "unit")
        # Intensities are divided by it.
        check(values["unit"] > 0, values, "unit", "not above zero")
    elif values is not None:
        msg = "the axis is there for a model as published, which has none"
        raise InputError(msg)
