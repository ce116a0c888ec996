"""Saved classifiers: a `FittedModel` as configuration and tensors, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.warnings import outside
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.features import feature_names
from massgraph.fitted import FittedModel
from massgraph.learn.inference import torch_device
from massgraph.learn.neighbour_field import NeighbourField
from massgraph.learn.run_gains import UsualAmounts
from massgraph.nn.first_release import FirstFamily, FirstModel
from massgraph.store.card import model_card
from massgraph.store.checks import axis_layout, axis_of, axis_tensors, columns_of
from massgraph.store.config import GENERATION, LABEL_TYPES, Restored, restore
from massgraph.store.kind import Content, Kind, Layout

__all__ = ["CLASSIFIER"]


USUAL = ("group", "mean", "error", "presence")
"""Arrays of `massgraph.learn.run_gains.UsualAmounts`."""

# -------------------------------------------------------------------- writing


def _describe(model: FittedModel) -> Content:
    encoder = model.encoder
    tensors = {
        **{f"model.{name}": value for name, value in model.network.state_dict().items()},
        "features.mean": torch.from_numpy(encoder.mean),
        "features.scale": torch.from_numpy(encoder.scale),
        **({} if encoder.axis is None else axis_tensors(encoder.axis)),
        **({} if model.usual is None else _usual_tensors(model.usual)),
    }
    if model.network.reads_molecules:
        # Not found anew: the rule may change, and the model must say what it said.
        tensors["molecules.group"] = torch.from_numpy(encoder.molecules.of_ion)
    return Content(config=_config(model), tensors=tensors, card=model_card)


def _config(model: FittedModel) -> dict[str, Any]:
    settings, origin = model.settings, model.origin
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    del values["relations"]
    labels = model.outputs.labels
    return {
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
        "history": columns_of(origin.history),
        "n_nets": origin.n_nets,
        "contributions": columns_of(origin.contributions),
        "axis": _axis_numbers(model.encoder),
        "field": None if model.field is None else _field(model.field),
        "usual": None if model.usual is None else _usual_numbers(model.usual),
        "left_out": [one._asdict() for one in origin.left_out],
        "columns": None if origin.columns is None else list(origin.columns),
        "levels": None if model.levels is None else asdict(model.levels),
        # Of the branches in closed form: 0.1.0 had other ones, and did not say.
        "generation": 1 if isinstance(model.network, FirstModel) else GENERATION,
    }


def _field(field: NeighbourField) -> dict[str, Any]:
    return {
        "strength": field.strength,
        "shares": field.shares.tolist(),
        "trust": field.trust.tolist(),
    }


def _usual_tensors(usual: UsualAmounts) -> dict[str, torch.Tensor]:
    return {f"usual.{name}": torch.from_numpy(getattr(usual, name)) for name in USUAL}


def _usual_numbers(usual: UsualAmounts) -> dict[str, float]:
    return {name: getattr(usual, name) for name in ("spread", "least", "most")}


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


# -------------------------------------------------------------------- reading


def _restore(config: dict[str, Any], n_tensors: int) -> tuple[Restored, Layout]:
    restored = restore(config)
    hidden = restored.settings.hidden
    # Even without memory, the layers that a short file can claim would take minutes to make.
    if len(hidden) > n_tensors:
        msg = f"hidden has {len(hidden)} layers, more than there are weights"
        raise InputError(msg)
    # Tensors without memory: the sizes may be absurd.
    with torch.device("meta"):
        model = restored.new_model()
    state = model.state_dict()
    width = (len(feature_names(restored.settings.features)),)
    layout = {
        **{f"model.{name}": (tuple(value.shape), value.dtype) for name, value in state.items()},
        "features.mean": (width, torch.float32),
        "features.scale": (width, torch.float32),
    }
    if restored.n_ions is not None:
        layout |= axis_layout(restored.n_ions)
        if model.reads_molecules:
            layout["molecules.group"] = (restored.n_ions,), torch.int64
        if restored.usual is not None:
            n_ions = restored.n_ions
            layout["usual.group"] = (n_ions,), torch.int64
            layout["usual.mean"] = (len(restored.outputs), n_ions), torch.float64
            layout["usual.error"] = layout["usual.presence"] = (n_ions,), torch.float64
    return restored, layout


def _build(restored: Restored, tensors: Mapping[str, torch.Tensor], where: str) -> FittedModel:
    _check_values(tensors)
    restored = replace(restored, device=_device(restored.device, where))
    network = restored.new_model()
    network.load_state_dict({name: tensors[f"model.{name}"] for name in network.state_dict()})
    numbers = restored.axis
    if isinstance(network, FirstModel) and numbers is not None:
        level = np.exp(axis_of(tensors, numbers).level) / float(numbers["unit"])
        for name in network.names:
            for part in network.parts(name):
                if isinstance(part, FirstFamily):
                    part.learn_axis(level, restored.settings.relations)
    encoder = PeakEncoder(
        restored.settings,
        restored.feature_range,
        tensors["features.mean"].numpy(),
        tensors["features.scale"].numpy(),
        None if numbers is None else axis_of(tensors, numbers),
        1.0 if numbers is None else float(numbers["unit"]),
        tensors["molecules.group"].numpy() if network.reads_molecules else None,
    )
    return FittedModel(
        encoder=encoder,
        network=network.to(torch_device(restored.device)).eval(),
        outputs=restored.outputs,
        settings=restored.settings,
        origin=restored.origin,
        backend=restored.backend,
        device=restored.device,
        field=restored.field,
        usual=_usual(restored.usual, tensors),
        levels=restored.levels,
    )


def _usual(
    numbers: dict[str, float] | None, tensors: Mapping[str, torch.Tensor]
) -> UsualAmounts | None:
    if numbers is None:
        return None
    arrays = {name: tensors[f"usual.{name}"].numpy() for name in USUAL}
    values: dict[str, Any] = {**arrays, **numbers}
    return UsualAmounts(**values)


def _check_values(tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.numel() == 0:
            continue
        if name.endswith(".group") and not 0 <= tensor.min() <= tensor.max() < len(tensor):
            msg = f"{name} holds numbers of ions that are none"
            raise InputError(msg)
        if name == "molecules.group" and not _are_in_order(tensor.numpy()):
            msg = f"{name} does not number molecules by their lightest ions"
            raise InputError(msg)
        deviation, variance = name == "features.scale", "_var" in name
        if not (deviation or variance):
            continue
        lowest = tensor.min().item()
        if lowest < 0 or (deviation and lowest == 0):
            msg = f"{name} holds {lowest}, which is no deviation"
            raise InputError(msg)


def _are_in_order(group: NDArray[np.int64]) -> bool:
    """Whether each group that is new is the next number."""
    highest = np.maximum.accumulate(group)
    return bool(group[0] == 0 and (np.diff(highest) <= 1).all())


def _device(name: str, where: str) -> str:
    try:
        torch_device(name)
    except InputError:
        msg = f"{where} was fitted on device {name!r}, absent here: 'auto' is used"
        warnings.warn(msg, UserWarning, stacklevel=outside())
        return "auto"
    return name


CLASSIFIER = Kind(
    name="classifier",
    schema=2,
    keys=frozenset(
        {
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
    ),
    # Came after the first release: models without them load as they always did.
    optional=frozenset({"columns", "given", "field", "left_out", "generation", "levels", "usual"}),
    describe=_describe,
    restore=_restore,
    build=_build,
)
"""What `RGCNClassifier` saves."""
