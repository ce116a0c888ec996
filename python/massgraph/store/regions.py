"""Saved regions: a `RegionModel` as configuration and tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.encode.coverage import Levels
from massgraph.encode.peak_loss import PeakLoss
from massgraph.learn.components import Components
from massgraph.learn.mixture import Mixture
from massgraph.learn.mixture_path import CURVE
from massgraph.learn.region_origin import RegionOrigin, check_region_data
from massgraph.learn.region_search import BRIGHTNESS, CHOICES, RegionSettings
from massgraph.learn.regions import RegionModel
from massgraph.store.checks import (
    UnknownSettingError,
    axis_layout,
    axis_of,
    axis_tensors,
    check,
    check_axis_numbers,
    check_digest,
    check_polarity,
    check_seed,
    column_names_of,
    columns_of,
    is_list_of,
    levels_of,
    mz_of,
    no_others,
    relations_of,
    same_names,
)
from massgraph.store.kind import Content, Kind, Layout
from massgraph.store.region_card import region_card

__all__ = ["REGIONS"]

# Arrays of a mixture, and of the map to components.
PARTS = ("weight", "mean", "covariance", "slope", "scale")
MAP = ("centre", "loadings", "signal")
SIZES = ("n_molecules", "n_components", "n_covariates", "mixture", "off_tissue", "path")
ROUNDING = 1e-6


# -------------------------------------------------------------------- writing


def _describe(model: RegionModel) -> Content:
    components = model.components
    tensors = {
        **axis_tensors(model.axis),
        "group": _tensor(model.group),
        **{f"components.{part}": _tensor(getattr(components, part)) for part in MAP},
    }
    if model.loss is not None:
        tensors["level"] = _tensor(model.loss.level)
    for name, mixture in _mixtures(model).items():
        tensors |= {f"{name}.{part}": _tensor(getattr(mixture, part)) for part in PARTS}
    return Content(config=_config(model), tensors=tensors, card=partial(region_card, model))


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    # A copy: the mixture is one of the path, and what shares memory cannot be written.
    return torch.from_numpy(np.array(values, order="C"))


def _mixtures(model: RegionModel) -> dict[str, Mixture]:
    """All mixtures of a model by the names of their tensors."""
    off_tissue = {} if model.off_tissue is None else {"off_tissue": model.off_tissue}
    path = {f"path.{place}": mixture for place, mixture in enumerate(model.path)}
    return {"mixture": model.mixture, **off_tissue, **path}


def _config(model: RegionModel) -> dict[str, Any]:
    axis, origin = model.axis, model.origin
    return {
        "settings": asdict(model.settings),
        "relations": None if origin.relations is None else origin.relations.to_dict(),
        "random_state": origin.random_state,
        "begun": origin.begun,
        "neighbours_given": origin.neighbours_given,
        "mz": None if origin.mz is None else origin.mz.tolist(),
        "columns": None if origin.columns is None else list(origin.columns),
        "polarity": model.polarity,
        "fingerprint": origin.fingerprint,
        "provenance": origin.data,
        "axis": {"n_ions": len(axis), "width": float(axis.width), "shift": float(axis.shift)},
        "sizes": {
            "n_molecules": len(model.components.centre),
            "n_components": len(model.components.signal),
            "n_covariates": model.mixture.n_covariates,
            "mixture": _size(model.mixture),
            "off_tissue": None if model.off_tissue is None else _size(model.off_tissue),
            "path": [_size(mixture) for mixture in model.path],
        },
        "kept": None if model.loss is None else model.loss.kept,
        "strength": float(model.strength),
        "selection": columns_of(model.selection),
        "levels": None if model.levels is None else asdict(model.levels),
    }


def _size(mixture: Mixture) -> list[int]:
    """Numbers of regions and of covariances."""
    return [len(mixture), len(mixture.covariance)]


# -------------------------------------------------------------------- reading


@dataclass(frozen=True, eq=False)
class _Restored:
    """A configuration, all of it checked."""

    settings: RegionSettings
    origin: RegionOrigin
    polarity: str | None
    axis: dict[str, Any]
    n_molecules: int
    mixtures: tuple[str, ...]
    strength: float
    kept: float | None
    selection: pd.DataFrame | None
    levels: Levels | None


def _restore(config: dict[str, Any], n_tensors: int) -> tuple[_Restored, Layout]:
    settings = _settings(config["settings"])
    check_polarity(config)
    check_seed(config)
    for name in ("begun", "neighbours_given"):
        check(type(config[name]) is bool, config, name, "neither true nor false")
    if config["fingerprint"] is not None:
        check_digest(config, "fingerprint")
    check_region_data(config["provenance"])
    check_axis_numbers(config["axis"])
    strength = config["strength"]
    fine = type(strength) in (int, float) and strength >= 0
    check(fine, config, "strength", "no number of zero or more")
    kept = config["kept"]
    fine = kept is None or (type(kept) is float and 0 < kept < 1)
    check(fine, config, "kept", "no share between 0 and 1")
    relations = config["relations"]
    origin = RegionOrigin(
        fingerprint=config["fingerprint"],
        data=config["provenance"],
        relations=None if relations is None else relations_of(relations),
        random_state=config["random_state"],
        begun=config["begun"],
        neighbours_given=config["neighbours_given"],
        mz=mz_of(config),
        columns=column_names_of(config),
    )
    layout = _layout(config["axis"]["n_ions"], config["sizes"], n_tensors)
    if kept is not None:
        layout = {**layout, "level": ((config["axis"]["n_ions"],), torch.float64)}
    restored = _Restored(
        settings=settings,
        origin=origin,
        polarity=config["polarity"],
        axis=config["axis"],
        n_molecules=config["sizes"]["n_molecules"],
        mixtures=tuple(_shapes(config["sizes"])),
        strength=float(strength),
        kept=kept,
        selection=_selection(config["selection"]),
        levels=levels_of(config),
    )
    return restored, layout


def _settings(values: Any) -> RegionSettings:
    hints = get_type_hints(RegionSettings)
    no_others(values, set(hints), "setting")
    for name, value in values.items():
        # The types alone: `int | None` is a pair of them, others are one.
        fine = type(value) in (get_args(hints[name]) or (hints[name],))
        check(fine, values, name, "of another type than this setting has")
        if value not in CHOICES.get(name, (value,)):
            msg = f"{name} {value!r:.40} is unknown"
            raise UnknownSettingError(msg)
    settings = RegionSettings(**values)
    for name in ("n_regions", "max_regions", "radius"):
        value = getattr(settings, name)
        check(value is None or value >= 1, {name: value}, name, "below 1")
    return settings


def _shapes(sizes: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    """Regions, covariances, components and covariates of each mixture."""
    width, given = sizes["n_components"], sizes["n_covariates"]
    found = {"mixture": (*sizes["mixture"], width, given)}
    if sizes["off_tissue"] is not None:
        found["off_tissue"] = (*sizes["off_tissue"], 1, 0)
    return found | {f"path.{n}": (*size, width, given) for n, size in enumerate(sizes["path"])}


def _layout(n_ions: int, sizes: Any, n_tensors: int) -> Layout:
    same_names(sizes, set(SIZES), "size")
    for name in ("n_molecules", "n_components"):
        check(type(sizes[name]) is int and sizes[name] > 0, sizes, name, "no number of 1 or more")
    given = sizes["n_covariates"]
    check(type(given) is int and given in (0, BRIGHTNESS), sizes, "n_covariates", "not 0 or 2")
    check(isinstance(sizes["path"], list), sizes, "path", "no list of sizes")
    # A name for each would fill the memory before the file was found to be too short.
    check(len(sizes["path"]) <= n_tensors, {"path": "..."}, "path", "longer than there are tensors")
    layout: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        **axis_layout(n_ions),
        "group": ((n_ions,), torch.int64),
        "components.centre": ((sizes["n_molecules"],), torch.float64),
        "components.loadings": ((sizes["n_molecules"], sizes["n_components"]), torch.float64),
        "components.signal": ((sizes["n_components"],), torch.float64),
    }
    for name, (n_regions, n_covariances, width, n_covariates) in _shapes(sizes).items():
        fine = is_list_of([n_regions, n_covariances], int) and n_covariances in (1, n_regions)
        check(fine and n_regions > 0, {name: [n_regions, n_covariances]}, name, "no mixture's size")
        covariance, slope = (width, width), (n_covariates, width)
        shapes = (
            (n_regions,),
            (n_regions, width),
            (n_covariances, *covariance),
            (n_covariances, *slope),
            (n_regions,),
        )
        layout |= {
            f"{name}.{part}": (shape, torch.float64)
            for part, shape in zip(PARTS, shapes, strict=True)
        }
    for place, (n_regions, _) in enumerate(sizes["path"]):
        check(n_regions == place + 1, sizes, "path", "not of 1, 2, ... regions")
    # The poor pixels and the rich ones.
    check(sizes["off_tissue"] in (None, [2, 1]), sizes, "off_tissue", "of other than two kinds")
    return layout


def _selection(table: Any) -> pd.DataFrame | None:
    """The curve by which the number was chosen."""
    if table is None:
        return None
    no_others(table, set(CURVE), "column of the selection")
    same_names(table, set(CURVE), "column of the selection")
    found: dict[str, Any] = {}
    for name, kind in CURVE.items():
        values = table[name]
        fine = isinstance(values, list) and all(
            type(value) is kind or (value is None and kind is float) for value in values
        )
        check(fine, table, name, f"no list of {kind.__name__}")
        found[name] = [math.nan if value is None else value for value in values]
    return pd.DataFrame(found)


# -------------------------------------------------------------------- from tensors


def _build(restored: _Restored, tensors: Mapping[str, torch.Tensor], _: str) -> RegionModel:
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    axis = axis_of(tensors, restored.axis)
    group = arrays["group"]
    # Each molecule has an ion at least, and each ion a molecule.
    if not np.array_equal(np.unique(group), np.arange(restored.n_molecules)):
        msg = f"group is no numbering of {restored.n_molecules} molecules"
        raise InputError(msg)
    mixtures = {name: _mixture(name, arrays) for name in restored.mixtures}
    path = [name for name in restored.mixtures if name.startswith("path.")]
    return RegionModel(
        settings=restored.settings,
        polarity=restored.polarity,
        axis=axis,
        group=group,
        off_tissue=mixtures.get("off_tissue"),
        loss=None if restored.kept is None else PeakLoss(restored.kept, arrays["level"]),
        components=Components(*(arrays[f"components.{part}"] for part in MAP)),
        mixture=mixtures["mixture"],
        strength=restored.strength,
        path=tuple(mixtures[name] for name in path),
        selection=restored.selection,
        origin=restored.origin,
        levels=restored.levels,
    )


def _mixture(name: str, arrays: Mapping[str, Any]) -> Mixture:
    weight, mean, covariance, slope, scale = (arrays[f"{name}.{part}"] for part in PARTS)
    if weight.min() <= 0 or abs(weight.sum() - 1) > ROUNDING:
        msg = f"{name}.weight holds {weight.tolist()!r:.80}, which are no shares"
        raise InputError(msg)
    if scale.min() <= 0:
        msg = f"{name}.scale holds {scale.tolist()!r:.80}, which are no factors"
        raise InputError(msg)
    # Of any unit: differences of what is huge would overflow.
    shape = covariance / (np.abs(covariance).max() or 1.0)
    even = np.abs(shape - shape.transpose(0, 2, 1)).max() <= ROUNDING
    if not even or np.linalg.eigvalsh(shape).min() <= 0:
        msg = f"{name}.covariance is of no ellipsoid"
        raise InputError(msg)
    mixture = Mixture(weight, mean, covariance, slope, scale)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = mixture.separation()
    if not np.isfinite(apart).all():
        msg = f"{name}.mean holds regions that are endlessly far from each other"
        raise InputError(msg)
    return mixture


REGIONS = Kind(
    name="regions",
    # Versions that know no other kind than classifiers read 2 and ask to be updated for 3.
    schema=3,
    keys=frozenset(
        {
            "settings",
            "relations",
            "random_state",
            "begun",
            "neighbours_given",
            "mz",
            "polarity",
            "fingerprint",
            "provenance",
            "axis",
            "sizes",
            "strength",
            "kept",
            "selection",
        }
    ),
    # Came after the first models of regions, which load as they always did.
    optional=frozenset({"columns", "levels"}),
    describe=_describe,
    restore=_restore,
    build=_build,
)
"""What `SpatialRegions` saves."""
