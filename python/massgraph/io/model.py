"""Saved models: a folder of JSON and safetensors, checked before use; nothing in it is run."""

from __future__ import annotations

import hashlib
import json
import math
import os
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
from massgraph._files import atomic_directory
from massgraph.chemistry import Relations
from massgraph.encode import PeakEncoder
from massgraph.settings import Settings, check_settings

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier

__all__ = ["ModelError", "load", "save"]

SCHEMA_VERSION = 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
LARGEST_CONFIG = 50 * 2**20  # bytes; the configuration of a model is some kilobytes
KEYS = frozenset(
    {
        "schema_version",
        "massgraph_version",
        "weights_sha256",
        "parameters",
        "settings",
        "relations",
        "classes",
        "classes_type",
        "polarity",
        "feature_range",
        "fingerprint",
        "n_pixels",
        "training",
        "validation",
        "history",
    }
)
# Types of labels, and how they are read back so that `classes_` is as it was.
CLASS_TYPES: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}


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
        Where the folder exists, is not empty, and `overwrite` is false.
    TypeError
        Where the labels are neither text, integers, floats nor booleans.
    """
    encoder = classifier.encoder_
    tensors = {
        **{f"model.{name}": value for name, value in classifier.model_.state_dict().items()},
        "features.mean": torch.from_numpy(encoder.mean),
        "features.scale": torch.from_numpy(encoder.scale),
    }
    weights = save_tensors({name: value.cpu().contiguous() for name, value in tensors.items()})
    config = _config(classifier, hashlib.sha256(weights).hexdigest())
    with atomic_directory(directory, overwrite=overwrite) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        text = json.dumps(config, indent=1, allow_nan=False, ensure_ascii=False)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _config(classifier: RGCNClassifier, digest: str) -> dict[str, Any]:
    settings = classifier.settings_
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    del values["relations"]
    seed = classifier.random_state
    return {
        "schema_version": SCHEMA_VERSION,
        "massgraph_version": __version__,
        "weights_sha256": digest,
        "parameters": {
            "preset": classifier.preset,
            "backend": classifier.backend,
            "device": classifier.device,
            "mz": None if classifier.mz is None else np.asarray(classifier.mz).tolist(),
            "random_state": seed if isinstance(seed, int) else None,
        },
        "settings": values,
        "relations": settings.relations.to_dict(),
        "classes": classifier.classes_.tolist(),
        "classes_type": _class_type(classifier.classes_),
        "polarity": classifier.polarity_,
        "feature_range": list(classifier.encoder_.feature_range),
        "fingerprint": classifier.fingerprint_,
        "n_pixels": len(classifier.training_),
        "training": np.flatnonzero(classifier.training_).tolist(),
        "validation": np.flatnonzero(classifier.validation_).tolist(),
        "history": classifier.history_.to_dict(orient="list"),
    }


def _class_type(classes: NDArray[Any]) -> str:
    kinds = {"U": "str", "i": "int", "u": "int", "f": "float", "b": "bool"}
    if classes.dtype.kind not in kinds:
        msg = f"labels of type {classes.dtype} cannot be saved: use text, integers or booleans"
        raise TypeError(msg)
    return kinds[classes.dtype.kind]


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
    """
    folder = Path(directory)
    config = _read_config(folder / CONFIG)
    tensors = _read_tensors(folder / WEIGHTS, config["weights_sha256"])
    try:
        return _restore(config, tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as e:
        text = " ".join(str(e).split())
        msg = f"{folder / CONFIG}: {text}: the model is damaged, fit it again or use another copy"
        raise ModelError(msg) from e


def _read(path: Path, largest: int | None = None) -> bytes:
    if not path.parent.is_dir():
        msg = f"{path.parent}: there is no such model folder"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"{path.parent} holds no {path.name}: it is no model folder, or half of one"
        raise FileNotFoundError(msg)
    size = path.stat().st_size
    if largest is not None and size > largest:
        msg = f"{path} has {size} bytes, more than any model's {largest}: it was not read"
        raise ModelError(msg)
    return path.read_bytes()


def _read_config(path: Path) -> dict[str, Any]:
    raw = _read(path, LARGEST_CONFIG)
    try:
        config = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as e:
        msg = f"{path} is not the JSON of a model: {' '.join(str(e).split())}"
        raise ModelError(msg) from e
    if not isinstance(config, dict) or "schema_version" not in config:
        msg = f"{path} has no schema_version: it is no model of massgraph"
        raise ModelError(msg)
    version = config["schema_version"]
    if version != SCHEMA_VERSION:
        msg = (
            f"{path} has schema_version {version!r}, this massgraph ({__version__}) reads "
            f"{SCHEMA_VERSION}: load it with massgraph {config.get('massgraph_version', 'it came of')}"
        )
        raise ModelError(msg)
    wrong = sorted(KEYS ^ set(config))
    if wrong:
        state = "unknown" if wrong[0] in config else "missing"
        msg = f"{path}: the key {wrong[0]!r} is {state}: the file was changed or damaged"
        raise ModelError(msg)
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        msg = f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice"
        raise ValueError(msg)
    return table


def _refuse_constant(text: str) -> float:
    msg = f"{text} is no number of JSON"
    raise ValueError(msg)


def _read_tensors(path: Path, digest: Any) -> dict[str, torch.Tensor]:
    raw = _read(path)
    found = hashlib.sha256(raw).hexdigest()
    if found != digest:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., {CONFIG} names {str(digest)[:12]}...: "
            "the two files are of different models or one is damaged"
        )
        raise ModelError(msg)
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError, RuntimeError) as e:
        msg = f"{path} is damaged: {' '.join(str(e).split())}"
        raise ModelError(msg) from e
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"{path}: {name} holds values that are not finite"
            raise ModelError(msg)
    return tensors


def _restore(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> RGCNClassifier:
    """The classifier of a configuration and weights, every shape and type checked."""
    from massgraph.classifier import RGCNClassifier

    settings = _settings(config)
    classifier = RGCNClassifier(**_parameters(config["parameters"]))
    # Fitting it again, or a clone of it, is to use the same settings.
    names = set(classifier.get_params()) & {field.name for field in fields(settings)}
    classifier.set_params(**{name: getattr(settings, name) for name in names})
    classifier.settings_ = settings
    classifier.polarity_ = config["polarity"]
    classifier.fingerprint_ = str(config["fingerprint"])
    classifier.classes_ = _classes(config)
    n_pixels = int(config["n_pixels"])
    classifier.training_ = _mask(config["training"], n_pixels, "training")
    classifier.validation_ = _mask(config["validation"], n_pixels, "validation")
    classifier.history_ = pd.DataFrame(config["history"])
    model = classifier.new_model(seed=0)
    wanted = {f"model.{name}": value for name, value in model.state_dict().items()}
    width = wanted["model.layers.0.root"].shape[0]
    wanted["features.mean"] = wanted["features.scale"] = torch.empty(width)
    _check_tensors(tensors, wanted)
    state = {name.removeprefix("model."): tensors[name] for name in wanted if "model." in name}
    model.load_state_dict(state)
    classifier.model_ = model.to(classifier.device_()).eval()
    low, high = (float(value) for value in config["feature_range"])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        msg = f"feature_range {config['feature_range']} is no range of m/z"
        raise ValueError(msg)
    mean, scale = tensors["features.mean"].numpy(), tensors["features.scale"].numpy()
    classifier.encoder_ = PeakEncoder(settings, (low, high), mean, scale)
    if classifier.mz is not None:
        classifier.n_features_in_ = len(np.asarray(classifier.mz))
    return classifier


def _settings(config: dict[str, Any]) -> Settings:
    values = dict(config["settings"])
    names = {field.name for field in fields(Settings)} - {"relations"}
    wrong = sorted(names ^ set(values))
    if wrong:
        msg = f"the setting {wrong[0]!r} is {'unknown' if wrong[0] in values else 'missing'}"
        raise ValueError(msg)
    for name in ("features", "hidden", "mz_range"):
        if values[name] is not None:
            values[name] = tuple(values[name])
    settings = Settings(relations=Relations.from_dict(config["relations"]), **values)
    check_settings(settings)
    return settings


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    names = {"preset", "backend", "device", "mz", "random_state"}
    wrong = sorted(names ^ set(values))
    if wrong:
        msg = f"the parameter {wrong[0]!r} is {'unknown' if wrong[0] in values else 'missing'}"
        raise ValueError(msg)
    mz = values["mz"]
    return {**values, "mz": None if mz is None else np.asarray(mz, dtype=np.float64)}


def _classes(config: dict[str, Any]) -> NDArray[Any]:
    values, kind = config["classes"], config["classes_type"]
    if kind not in CLASS_TYPES or not all(type(value) is CLASS_TYPES[kind] for value in values):
        msg = f"classes {values} are not all of type {kind!r}"
        raise ValueError(msg)
    if len(values) < 2 or len(set(values)) < len(values):
        msg = f"classes {values} are not two or more different ones"
        raise ValueError(msg)
    return np.asarray(values)


def _mask(rows: list[int], n_pixels: int, name: str) -> NDArray[np.bool_]:
    mask = np.zeros(n_pixels, dtype=bool)
    if rows and not 0 <= min(rows) <= max(rows) < n_pixels:
        msg = f"{name} names pixel {max(rows)} of {n_pixels}"
        raise ValueError(msg)
    mask[np.asarray(rows, dtype=np.int64)] = True
    return mask


def _check_tensors(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    wrong = sorted(set(found) ^ set(wanted))
    if wrong:
        msg = f"the tensor {wrong[0]!r} is {'unknown' if wrong[0] in found else 'missing'}"
        raise ValueError(msg)
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            msg = (
                f"the tensor {name!r} is {found[name].dtype} {tuple(found[name].shape)}, need "
                f"{tensor.dtype} {tuple(tensor.shape)}"
            )
            raise ValueError(msg)
