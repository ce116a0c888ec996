"""Saved models: a folder of JSON and safetensors, checked before use; nothing in it is run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.files import atomic_directory
from massgraph._util.text import one_line
from massgraph._util.warnings import outside
from massgraph._version import __version__
from massgraph.data.validation import check_axis
from massgraph.encode.axis import MassAxis
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.features import feature_names
from massgraph.fitted import FittedModel
from massgraph.learn.inference import torch_device
from massgraph.store.card import model_card
from massgraph.store.config import LABEL_TYPES, Restored, UnknownSettingError, restore

__all__ = ["ModelError", "load", "save"]

SCHEMA_VERSION = 2
CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "MODEL_CARD.md"
# Bytes; a model has some kilobytes of each. What claims more is not read into memory.
LARGEST_CONFIG, LARGEST_WEIGHTS = 50 * 2**20, 2**31
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
        "provenance",
        "n_pixels",
        "training",
        "validation",
        "history",
        "n_nets",
        "contributions",
        "axis",
    }
)
# Keys that came after the first release: models without them load as they always did.
OPTIONAL = frozenset({"given"})


class ModelError(InputError):
    """A model folder that cannot be used; the message names the file, the value and the remedy.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.store import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "config.json").touch()
    ...     load(folder)
    Traceback (most recent call last):
    massgraph.store.folder.ModelError: ...config.json is not the JSON of a model: Expecting value...
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def save(model: FittedModel, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a fitted model as a folder, whole or not at all.

    Parameters
    ----------
    model
        The `fitted_` of an estimator.
    directory
        The folder to make: `config.json`, `weights.safetensors` and `MODEL_CARD.md`, which is for
        people and is not read again.
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
        Where there are more labelled pixels than a configuration can hold to be read again.
    OSError
        Where the disk is full, or what was written does not read back. An old model then stays.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store import save
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf.fitted_, Path(folder) / "model")
    ...     sorted(path.name for path in (Path(folder) / "model").iterdir())
    ['MODEL_CARD.md', 'config.json', 'weights.safetensors']
    """
    _refuse_foreign(Path(directory))
    encoder = model.encoder
    tensors = {
        **{f"model.{name}": value for name, value in model.network.state_dict().items()},
        "features.mean": torch.from_numpy(encoder.mean),
        "features.scale": torch.from_numpy(encoder.scale),
        **_axis_tensors(encoder.axis),
    }
    weights = save_tensors({name: value.cpu().contiguous() for name, value in tensors.items()})
    # The digest ties the files together: weights of another save will be refused.
    config = _config(model, hashlib.sha256(weights).hexdigest())
    # NaN would be written as it is, which is no JSON: missing numbers have become null.
    text = json.dumps(config, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    # What would be refused on reading is not written either.
    if len(text) > LARGEST_CONFIG or len(weights) > LARGEST_WEIGHTS:
        msg = f"{directory}: {len(text)} + {len(weights)} bytes are more than can be read again"
        raise InputError(msg)
    with atomic_directory(directory, overwrite=overwrite) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / CARD).write_text(model_card(config), encoding="utf-8")
        _verify(folder, config, directory)


def _verify(folder: Path, config: dict[str, Any], directory: object) -> None:
    """Read back what was written: a model that cannot be loaded never replaces another."""
    try:
        # Compared in the form that JSON gives back, where tuples are lists.
        fine = _read_config(folder / CONFIG) == json.loads(json.dumps(config))
        _read_tensors(folder / WEIGHTS, config["weights_sha256"])
    except ModelError:
        fine = False
    if not fine:
        msg = f"{directory} was not written: it does not read back, check the disk"
        raise OSError(msg)


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds anything else is never replaced: it may be somebody's work."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in (CONFIG, WEIGHTS, CARD)]
    if foreign:
        msg = f"{folder} holds {foreign[0]}, which is no part of a model: choose another folder"
        raise FileExistsError(msg)


def _config(model: FittedModel, digest: str) -> dict[str, Any]:
    settings, origin = model.settings, model.origin
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    del values["relations"]
    labels = model.outputs.labels
    return {
        "schema_version": SCHEMA_VERSION,
        "massgraph_version": __version__,
        "weights_sha256": digest,
        "parameters": {
            "preset": origin.preset,
            "backend": model.backend,
            "device": model.device,
            "mz": None if origin.mz is None else np.asarray(origin.mz, float).tolist(),
            "random_state": origin.random_state,
        },
        "given": list(origin.given),
        "settings": values,
        "relations": settings.relations.to_dict(),
        "classes": labels.tolist(),
        "classes_dtype": _dtype_name(labels),
        "polarity": origin.polarity,
        "feature_range": list(model.encoder.feature_range),
        "fingerprint": origin.fingerprint,
        "provenance": origin.data,
        "n_pixels": len(origin.training),
        "training": np.flatnonzero(origin.training).tolist(),
        "validation": np.flatnonzero(origin.validation).tolist(),
        "history": _table(origin.history),
        "n_nets": origin.n_nets,
        "contributions": _table(origin.contributions),
        "axis": _axis_numbers(model.encoder),
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
        raise InputTypeError(msg)
    return name


# -------------------------------------------------------------------- loading


def load(directory: str | os.PathLike[str]) -> FittedModel:
    """Read a model folder that `save` wrote.

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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store import load
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(Path(folder) / "model")
    ...     model = load(Path(folder) / "model")
    >>> bool((model.logits(spectra) == clf.fitted_.logits(spectra)).all())
    True
    """
    folder = Path(directory)
    config = _read_config(folder / CONFIG)
    tensors = _read_tensors(folder / WEIGHTS, config["weights_sha256"])
    try:
        restored = restore(config)
        wanted = _wanted_tensors(restored, len(tensors))
    # First, though it is a ValueError too: it has a remedy of its own.
    except UnknownSettingError as e:
        msg = f"{folder / CONFIG}: {e}{_from_later(config)}"
        raise ModelError(msg) from e
    # Values of any kind may stand in the file, and a check may stumble in any way over them.
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as e:
        text = " ".join(str(e).split())[:LONGEST_REASON]
        msg = f"{folder / CONFIG}: {text}: the model is damaged, fit it again or use another copy"
        raise ModelError(msg) from e
    _check_tensors(folder / WEIGHTS, tensors, wanted)
    device = restored.device
    try:
        torch_device(device)
    except InputError:
        msg = f"{folder} was fitted on device {device!r}, absent here: 'auto' is used"
        warnings.warn(msg, UserWarning, stacklevel=outside())
        device = "auto"
    return _put_together(restored, tensors, device)


def _from_later(config: dict[str, Any]) -> str:
    """What to do about something that this version does not know."""
    maker = str(config.get("massgraph_version", ""))[:20]
    if maker in ("", __version__):
        return ": the file was changed or damaged, use another copy"
    return f": the model was written by massgraph {maker}, and this is {__version__}: update it"


def _read(path: Path, largest: int) -> bytes:
    if not path.parent.is_dir():
        msg = f"{path.parent}: there is no such model folder"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"{path.parent} holds no {path.name}: it is no model folder, or half of one"
        raise FileNotFoundError(msg)
    # Asked before reading: what claims to be a model must not fill the memory.
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
    # Brackets nested some thousand deep end in a RecursionError.
    except (ValueError, RecursionError) as e:
        msg = f"{path} is not the JSON of a model: {' '.join(str(e).split())[:LONGEST_REASON]}"
        raise ModelError(msg) from e
    if not isinstance(config, dict) or "schema_version" not in config:
        msg = f"{path} has no schema_version: it is no model of massgraph"
        raise ModelError(msg)
    version = config["schema_version"]
    # JSON may hold true, which equals 1 in Python.
    if version == 1 and type(version) is int:
        msg = (
            f"{path} has schema_version 1, from before models had branches and a mass axis, and "
            "was never released: fit the model again"
        )
        raise ModelError(msg)
    if type(version) is not int or version != SCHEMA_VERSION:
        msg = (
            f"{path} has schema_version {str(version)[:20]}, this massgraph ({__version__}) reads "
            f"{SCHEMA_VERSION}{_from_later(config)}"
        )
        raise ModelError(msg)
    missing, unknown = sorted(KEYS - set(config)), sorted(set(config) - KEYS - OPTIONAL)
    if missing:
        msg = f"{path}: the key {missing[0]!r} is missing: the file was changed or damaged"
        raise ModelError(msg)
    if unknown:
        msg = f"{path}: the key {unknown[0]!r} is unknown{_from_later(config)}"
        raise ModelError(msg)
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            msg = f"the key {name!r} stands twice"
            raise InputError(msg)
        table[name] = value
    return table


def _finite(text: str) -> float:
    """A finite number of the file: NaN, Infinity and 1e999 are refused."""
    value = float(text)
    if not math.isfinite(value):
        msg = f"{text} is no finite number"
        raise InputError(msg)
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
    # From the bytes whose digest was taken: the file may have been replaced since.
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError) as e:
        msg = f"{path} is damaged: {' '.join(str(e).split())[:LONGEST_REASON]}"
        raise ModelError(msg) from e
    return dict(tensors)


# -------------------------------------------------------------------- weights


def _wanted_tensors(restored: Restored, n_found: int) -> dict[str, torch.Tensor]:
    """What the weights must hold, as tensors without memory: the sizes may be absurd."""
    hidden, n_ions = restored.settings.hidden, restored.n_ions
    # Even without memory, the layers that a short file can claim would take minutes to make.
    if len(hidden) > n_found:
        msg = f"hidden has {len(hidden)} layers, more than {WEIGHTS} has tensors"
        raise InputError(msg)
    with torch.device("meta"):
        state = restored.new_model().state_dict()
        width = torch.empty(len(feature_names(restored.settings.features)))
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
        # What is empty has no smallest value: the axis of data in which no ion was common.
        if found[name].numel() == 0:
            continue
        lowest = found[name].min().item()
        if name == "axis.mz":
            check_axis(found[name].numpy())
        if (name == "features.scale" and lowest <= 0) or ("_var" in name and lowest < 0):
            msg = f"{path}: {name} holds {lowest}, which is no deviation: the file is damaged"
            raise ModelError(msg)


def _put_together(restored: Restored, tensors: dict[str, torch.Tensor], device: str) -> FittedModel:
    """The model of a checked configuration and checked weights."""
    network = restored.new_model()
    network.load_state_dict({name: tensors[f"model.{name}"] for name in network.state_dict()})
    axis, numbers = None, restored.axis
    if numbers is not None:
        mz, presence, level, anchor = (
            tensors[f"axis.{name}"].numpy() for name in ("mz", "presence", "level", "anchor")
        )
        width, shift = float(numbers["width"]), float(numbers["shift"])
        axis = MassAxis(mz, presence, anchor.astype(bool), level, width, shift)
    encoder = PeakEncoder(
        restored.settings,
        restored.feature_range,
        tensors["features.mean"].numpy(),
        tensors["features.scale"].numpy(),
        axis,
        1.0 if numbers is None else float(numbers["unit"]),
    )
    return FittedModel(
        encoder=encoder,
        network=network.to(torch_device(device)).eval(),
        outputs=restored.outputs,
        settings=restored.settings,
        origin=restored.origin,
        backend=restored.backend,
        device=device,
    )
