"""Saved models: a folder of JSON and safetensors, checked before use; nothing in it is run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from massgraph import __version__
from massgraph._class_labels import seed_number
from massgraph._files import atomic_directory
from massgraph._validation import check_axis
from massgraph.axis import MOST_IONS, MassAxis
from massgraph.chemistry import Relations
from massgraph.encode import PeakEncoder
from massgraph.features import feature_names
from massgraph.settings import PRESETS, Settings, check_settings
from massgraph.spectra import POLARITIES

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier

__all__ = ["ModelError", "load", "save"]

SCHEMA_VERSION = 2
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
# Bytes; a model has some kilobytes of each. What claims more is not read into memory.
LARGEST_CONFIG, LARGEST_WEIGHTS = 50 * 2**20, 2**31
MOST_PIXELS = 10**8
LONGEST_REASON = 300  # characters of a message: a damaged file may hold anything
KEYS = frozenset(
    {
        "schema_version",
        "massgraph_version",
        "weights_sha256",
        "parameters",
        "settings",
        "relations",
        "classes",
        "classes_dtype",
        "polarity",
        "feature_range",
        "fingerprint",
        "n_pixels",
        "training",
        "validation",
        "history",
        "n_nets",
        "contributions",
        "axis",
    }
)
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
# Columns of the learning curve, and the type of their values.
HISTORY = {
    "epoch": int,
    "learning_rate": float,
    "train_loss": float,
    "train_balanced_accuracy": float,
    "valid_loss": float,
    "valid_balanced_accuracy": float,
    "best": bool,
}
# Types of labels by the name of their dtype, so that `classes_` comes back as it was.
LABEL_TYPES: dict[str, type] = {
    "str": str,
    "bool": bool,
    **{f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": float for bits in (16, 32, 64)},
}


class ModelError(ValueError):
    """A model folder that cannot be used; the message names the file, the value and the remedy."""


def save(
    classifier: RGCNClassifier, directory: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a fitted classifier as a folder, whole or not at all.

    Parameters
    ----------
    classifier
        A fitted `RGCNClassifier`.
    directory
        The folder to make: `config.json` and `weights.safetensors`.
    overwrite
        Whether an existing folder may be replaced.

    Raises
    ------
    FileExistsError
        Where the folder exists, is not empty, and `overwrite` is false, or where it holds anything
        that is no part of a model.
    TypeError
        Where the labels are neither text, numbers nor truth values.
    ValueError
        Where there are too many labelled pixels for a configuration that could be read again.
    """
    _refuse_foreign(Path(directory))
    encoder = classifier.encoder_
    tensors = {
        **{f"model.{name}": value for name, value in classifier.model_.state_dict().items()},
        "features.mean": torch.from_numpy(encoder.mean),
        "features.scale": torch.from_numpy(encoder.scale),
        **_axis_tensors(encoder.axis),
    }
    weights = save_tensors({name: value.cpu().contiguous() for name, value in tensors.items()})
    config = _config(classifier, hashlib.sha256(weights).hexdigest())
    text = json.dumps(config, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    if len(text) > LARGEST_CONFIG or len(weights) > LARGEST_WEIGHTS:
        msg = f"{directory}: {len(text)} + {len(weights)} bytes are more than can be read again"
        raise ValueError(msg)
    with atomic_directory(directory, overwrite=overwrite) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / CONFIG).write_text(text, encoding="utf-8")


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds anything else is never replaced: it may be somebody's work."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in (CONFIG, WEIGHTS)]
    if foreign:
        msg = f"{folder} holds {foreign[0]}, which is no part of a model: choose another folder"
        raise FileExistsError(msg)


def _config(classifier: RGCNClassifier, digest: str) -> dict[str, Any]:
    settings = classifier.settings_
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    del values["relations"]
    return {
        "schema_version": SCHEMA_VERSION,
        "massgraph_version": __version__,
        "weights_sha256": digest,
        "parameters": {
            "preset": classifier.preset,
            "backend": classifier.backend,
            "device": str(classifier.device),
            "mz": None if classifier.mz is None else np.asarray(classifier.mz, float).tolist(),
            "random_state": seed_number(classifier.random_state),
        },
        "settings": values,
        "relations": settings.relations.to_dict(),
        "classes": classifier.classes_.tolist(),
        "classes_dtype": _dtype_name(classifier.classes_),
        "polarity": classifier.polarity_,
        "feature_range": list(classifier.encoder_.feature_range),
        "fingerprint": classifier.fingerprint_,
        "n_pixels": len(classifier.training_),
        "training": np.flatnonzero(classifier.training_).tolist(),
        "validation": np.flatnonzero(classifier.validation_).tolist(),
        "history": _table(classifier.history_),
        "n_nets": classifier.n_nets_,
        "contributions": _table(classifier.contributions_),
        "axis": _axis_numbers(classifier.encoder_),
    }


def _table(table: pd.DataFrame | None) -> dict[str, list[Any]] | None:
    """Columns as lists, missing numbers as None."""
    if table is None:
        return None
    columns = table.to_dict(orient="list")
    return {
        str(name): [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        for name, values in columns.items()
    }


def _axis_tensors(axis: MassAxis | None) -> dict[str, torch.Tensor]:
    if axis is None:
        return {}
    return {
        "axis.mz": torch.from_numpy(axis.mz),
        "axis.presence": torch.from_numpy(axis.presence),
        "axis.level": torch.from_numpy(axis.level),
        "axis.anchor": torch.from_numpy(axis.anchor.astype(np.uint8)),
    }


def _axis_numbers(encoder: PeakEncoder) -> dict[str, float] | None:
    axis = encoder.axis
    if axis is None:
        return None
    return {"n_ions": len(axis), "width": axis.width, "shift": axis.shift, "unit": encoder.unit}


def _dtype_name(classes: NDArray[Any]) -> str:
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if name not in LABEL_TYPES:
        msg = f"labels of type {classes.dtype} cannot be saved: use text, numbers or truth values"
        raise TypeError(msg)
    return name


# -------------------------------------------------------------------- loading


def load(directory: str | os.PathLike[str]) -> RGCNClassifier:
    """Read a model folder that `RGCNClassifier.save` wrote.

    Everything is checked before it is used, and nothing in the folder is run.

    Raises
    ------
    FileNotFoundError
        Where the folder, or one of its two files, is missing.
    ModelError
        Where a file is damaged, of another schema version, or does not belong to the other.

    Warns
    -----
    UserWarning
        Where the device that the model was fitted on is absent here.
    """
    folder = Path(directory)
    config = _read_config(folder / CONFIG)
    tensors = _read_tensors(folder / WEIGHTS, config["weights_sha256"])
    try:
        classifier = _restore(config)
        n_ions = None if config["axis"] is None else config["axis"]["n_ions"]
        wanted = _wanted_tensors(classifier, len(tensors), n_ions)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as e:
        text = " ".join(str(e).split())[:LONGEST_REASON]
        msg = f"{folder / CONFIG}: {text}: the model is damaged, fit it again or use another copy"
        raise ModelError(msg) from e
    _check_tensors(folder / WEIGHTS, tensors, wanted)
    try:
        classifier.device_()
    except ValueError:
        msg = f"{folder} was fitted on device {classifier.device!r}, absent here: 'auto' is used"
        warnings.warn(msg, UserWarning, stacklevel=2)
        classifier.device = "auto"
    _put_weights(classifier, tensors, config)
    return classifier


def _read(path: Path, largest: int) -> bytes:
    if not path.parent.is_dir():
        msg = f"{path.parent}: there is no such model folder"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"{path.parent} holds no {path.name}: it is no model folder, or half of one"
        raise FileNotFoundError(msg)
    size = path.stat().st_size
    if size > largest:
        msg = f"{path} has {size} bytes, more than any model's {largest}: it was not read"
        raise ModelError(msg)
    return path.read_bytes()


def _read_config(path: Path) -> dict[str, Any]:
    raw = _read(path, LARGEST_CONFIG)
    try:
        config = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as e:
        msg = f"{path} is not the JSON of a model: {' '.join(str(e).split())[:LONGEST_REASON]}"
        raise ModelError(msg) from e
    if not isinstance(config, dict) or "schema_version" not in config:
        msg = f"{path} has no schema_version: it is no model of massgraph"
        raise ModelError(msg)
    version = config["schema_version"]
    if version == 1 and type(version) is int:
        msg = (
            f"{path} has schema_version 1, from before models had branches and a mass axis: "
            "fit the model again, or load it with massgraph 0.1.0"
        )
        raise ModelError(msg)
    if type(version) is not int or version != SCHEMA_VERSION:
        maker = str(config.get("massgraph_version", "it came of"))[:20]
        msg = (
            f"{path} has schema_version {str(version)[:20]}, this massgraph ({__version__}) reads "
            f"{SCHEMA_VERSION}: load it with massgraph {maker}"
        )
        raise ModelError(msg)
    wrong = sorted(KEYS ^ set(config))
    if wrong:
        state = "unknown" if wrong[0] in config else "missing"
        msg = f"{path}: the key {wrong[0]!r} is {state}: the file was changed or damaged"
        raise ModelError(msg)
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            msg = f"the key {name!r} stands twice"
            raise ValueError(msg)
        table[name] = value
    return table


def _finite(text: str) -> float:
    """A number of the file; NaN, Infinity and 1e999 are none."""
    value = float(text)
    if not math.isfinite(value):
        msg = f"{text} is no finite number"
        raise ValueError(msg)
    return value


def _read_tensors(path: Path, digest: Any) -> dict[str, torch.Tensor]:
    raw = _read(path, LARGEST_WEIGHTS)
    found = hashlib.sha256(raw).hexdigest()
    if found != digest:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., {CONFIG} names {str(digest)[:12]}...: "
            "the two files are of different models or one is damaged"
        )
        raise ModelError(msg)
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError) as e:
        msg = f"{path} is damaged: {' '.join(str(e).split())[:LONGEST_REASON]}"
        raise ModelError(msg) from e
    return dict(tensors)


def _restore(config: dict[str, Any]) -> RGCNClassifier:
    """The classifier of a configuration, all of it checked; its weights come later."""
    from massgraph.classifier import RGCNClassifier

    settings = _settings(config)
    classifier = RGCNClassifier(**_parameters(config["parameters"]))
    # Fitting it again, or a clone of it, is to use the same settings.
    names = set(classifier.get_params()) & {field.name for field in fields(settings)}
    classifier.set_params(**{name: getattr(settings, name) for name in names})
    classifier.settings_ = settings
    classifier.classes_ = _classes(config["classes"], config["classes_dtype"])
    classifier.training_, classifier.validation_ = _masks(config)
    classifier.history_ = None if config["history"] is None else _history(config["history"])
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
        raise ValueError(msg)


def _is_list_of(values: Any, *types: type) -> bool:
    """Whether it is a list of these types exactly: True is no int."""
    return isinstance(values, list) and all(type(value) in types for value in values)


def _same_names(found: Any, wanted: set[str], what: str) -> None:
    wrong = sorted(wanted ^ set(found))
    if wrong:
        msg = f"the {what} {wrong[0]!r} is {'unknown' if wrong[0] in found else 'missing'}"
        raise ValueError(msg)


def _settings(config: dict[str, Any]) -> Settings:
    values = dict(config["settings"])
    _same_names(values, {field.name for field in fields(Settings)} - {"relations"}, "setting")
    for name in ("branches", "features", "hidden", "mz_range"):
        if isinstance(values[name], list):
            values[name] = tuple(values[name])
    relations = Relations.from_dict(config["relations"])
    if relations.to_dict() != config["relations"]:
        msg = "relations hold values of another type than names, masses, formulas and kinds have"
        raise ValueError(msg)
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
    if mz is None:
        return values
    _check(_is_list_of(mz, int, float), values, "mz", "no list of numbers")
    axis = np.asarray(mz, dtype=np.float64)
    check_axis(axis)
    return {**values, "mz": axis}


def _classes(values: list[Any], dtype: str) -> NDArray[Any]:
    if dtype not in LABEL_TYPES or not _is_list_of(values, LABEL_TYPES[dtype]):
        msg = f"classes {values} are not all of type {dtype!r}"
        raise ValueError(msg)
    classes = np.asarray(values)
    classes = classes if dtype == "str" else classes.astype(dtype)
    if len(values) < 2 or classes.tolist() != values or (classes[1:] <= classes[:-1]).any():
        msg = f"classes {values} are not two or more different ones in order"
        raise ValueError(msg)
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
            raise ValueError(msg)
        mask[rows] = True
    both = set(config["training"]) & set(config["validation"])
    if both:
        msg = f"pixel {min(both)} is both in training and in validation"
        raise ValueError(msg)
    return masks[0], masks[1]


def _history(table: dict[str, list[Any]]) -> pd.DataFrame:
    _same_names(table, set(HISTORY), "column of history")
    for name, kind in HISTORY.items():
        _check(_is_list_of(table[name], kind), table, name, f"no list of {kind.__name__}")
    history = pd.DataFrame(table)
    if int(history["best"].sum()) != 1:
        msg = f"history has {int(history['best'].sum())} best epochs, need 1"
        raise ValueError(msg)
    return history


def _contributions(table: Any, settings: Settings) -> pd.DataFrame | None:
    """What each branch adds: rows are the branches, then all."""
    if (table is None) != (settings.folds == 1):
        state = "missing" if table is None else "there"
        msg = f"contributions are {state} for {settings.folds} folds"
        raise ValueError(msg)
    if table is None:
        return None
    _same_names(table, set(CONTRIBUTIONS), "column of contributions")
    if table["branch"] != [*settings.branches, "all"]:
        msg = f"contributions are of {table['branch']}, not of {[*settings.branches, 'all']}"
        raise ValueError(msg)
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
            raise ValueError(msg)
        return
    if not isinstance(values, dict):
        msg = f"the axis is {values!r}, not its numbers"
        raise TypeError(msg)
    _same_names(values, set(AXIS_NUMBERS), "number of the axis")
    counted = type(values["n_ions"]) is int and 0 <= values["n_ions"] <= MOST_IONS
    _check(counted, values, "n_ions", "no number of ions")
    for name in AXIS_NUMBERS[1:]:
        fine = type(values[name]) in (int, float) and values[name] >= 0
        _check(fine, values, name, "no number of zero or more")
    _check(values["unit"] > 0, values, "unit", "not above zero")


# -------------------------------------------------------------------- weights


def _wanted_tensors(
    classifier: RGCNClassifier, n_found: int, n_ions: int | None
) -> dict[str, torch.Tensor]:
    """What the weights must hold, as tensors without memory: the sizes may be absurd."""
    hidden = classifier.settings_.hidden
    if len(hidden) > n_found:
        msg = f"hidden has {len(hidden)} layers, more than {WEIGHTS} has tensors"
        raise ValueError(msg)
    with torch.device("meta"):
        state = classifier.new_model(n_ions).state_dict()
        width = torch.empty(len(feature_names(classifier.settings_.features)))
        wanted = {f"model.{name}": value for name, value in state.items()}
        if n_ions is not None:
            axis = torch.empty(n_ions, dtype=torch.float64)
            wanted |= {f"axis.{name}": axis for name in ("mz", "presence", "level")}
            wanted["axis.anchor"] = torch.empty(n_ions, dtype=torch.uint8)
    return {**wanted, "features.mean": width, "features.scale": width}


def _check_tensors(
    path: Path, found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]
) -> None:
    wrong = sorted(set(found) ^ set(wanted))
    if wrong:
        state = "unknown" if wrong[0] in found else "missing"
        msg = f"{path}: the tensor {wrong[0]!r} is {state}: it is not of this {CONFIG}"
        raise ModelError(msg)
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            msg = (
                f"{path}: the tensor {name!r} is {found[name].dtype} {tuple(found[name].shape)}, "
                f"{CONFIG} needs {tensor.dtype} {tuple(tensor.shape)}"
            )
            raise ModelError(msg)
        if not bool(torch.isfinite(found[name]).all()):
            msg = f"{path}: {name} holds values that are not finite: the file is damaged"
            raise ModelError(msg)
        if found[name].numel() == 0:
            continue
        lowest = found[name].min().item()
        if name == "axis.mz":
            check_axis(found[name].numpy())
        if (name == "features.scale" and lowest <= 0) or ("_var" in name and lowest < 0):
            msg = f"{path}: {name} holds {lowest}, which is no deviation: the file is damaged"
            raise ModelError(msg)


def _put_weights(
    classifier: RGCNClassifier, tensors: dict[str, torch.Tensor], config: dict[str, Any]
) -> None:
    numbers, span = config["axis"], config["feature_range"]
    model = classifier.new_model(None if numbers is None else numbers["n_ions"])
    model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
    classifier.model_ = model.to(classifier.device_()).eval()
    axis = None
    if numbers is not None:
        mz, presence, level, anchor = (
            tensors[f"axis.{name}"].numpy() for name in ("mz", "presence", "level", "anchor")
        )
        axis = MassAxis(
            mz,
            presence,
            anchor.astype(bool),
            level,
            float(numbers["width"]),
            float(numbers["shift"]),
        )
    mean, scale = tensors["features.mean"].numpy(), tensors["features.scale"].numpy()
    classifier.encoder_ = PeakEncoder(
        classifier.settings_,
        (span[0], span[1]),
        mean,
        scale,
        axis,
        1.0 if numbers is None else float(numbers["unit"]),
    )
