"""What R asks of Python about regions without labels; `massgraph.r.calls` lists it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.data.sources import Pixels
from massgraph.r.arguments import Arguments, opened, pixels_of, relations_of, settings_of, whole
from massgraph.r.session import start
from massgraph.r.values import as_scalar, from_r

if TYPE_CHECKING:
    from massgraph.learn.regions import RegionModel
    from massgraph.regions import SpatialRegions

__all__ = ["REGION_CALLS"]


def fit_regions(arguments: Arguments) -> list[dict[str, Any]]:
    """Regions for each row of `grid` (`r`, and `k`, NA to find it); arguments as in R.

    `neighbors` is a list of the pixels `of` and `to`, from 1, and their `weight`.
    """
    from massgraph.regions import SpatialRegions

    source, pixels = opened(arguments), pixels_of(arguments)
    given = settings_of(arguments["settings"])
    relations = given["relations"]
    init = from_r(arguments["init"])
    neighbours = _neighbours(arguments, source.n_pixels)
    found = []
    for row in from_r(arguments["grid"]).itertuples():
        regions = SpatialRegions(
            n_regions="auto" if np.isnan(row.k) else int(row.k),
            max_regions=given["kmax"],
            features=given["features"],
            covariance=given["covariance"],
            spatial=given["spatial"],
            radius=row.r,
            run_offsets=given["run_offsets"],
            relations=None if relations is None else relations_of(relations),
            random_state=given["random_state"],
            init=init,
        ).fit(pixels, neighbours=neighbours)
        found.append(_explained(regions, pixels, neighbours, source.axis))
    return found


def predict_regions(arguments: Arguments) -> NDArray[np.float64]:
    """Probabilities of the regions of all pixels of `x` by the model `state`.

    Runs below `min_coverage` are refused, where it is no NULL.
    """
    from massgraph.regions import SpatialRegions

    pixels = opened(arguments)
    return SpatialRegions.of(_model(arguments)).predict_proba(
        pixels,
        neighbours=_neighbours(arguments, pixels.n_pixels),
        min_coverage=as_scalar(arguments["min_coverage"]),
    )


def regions_at(arguments: Arguments) -> dict[str, Any]:
    """The regions of `x` by the map of `k` regions of the model `state`."""
    from massgraph.data.neighbours import given_neighbours
    from massgraph.regions import SpatialRegions

    model, pixels, source = _model(arguments), pixels_of(arguments), opened(arguments)
    neighbours = _neighbours(arguments, source.n_pixels)
    given = None if neighbours is None else given_neighbours(neighbours, source.n_pixels)
    look = model.look(pixels, given)
    regions = SpatialRegions.of(model, look).at(whole(as_scalar(arguments["k"])))
    return _explained(regions, pixels, neighbours, source.axis)


def write_regions_h5ad(arguments: Arguments) -> None:
    """Write `result`, with the peaks of `x` where that is given, to `file`."""
    from massgraph.r.region_results import regions_from_values

    values = from_r(arguments["result"])
    without = arguments["x"] is start().NULL
    spectra = None if without else opened(arguments).spectra()
    segmentation = regions_from_values(values, from_r(arguments["pixels"]), spectra)
    segmentation.write_h5ad(
        as_scalar(arguments["file"]), overwrite=as_scalar(arguments["overwrite"])
    )


REGION_CALLS: dict[str, Callable[[Arguments], Any]] = {
    "fit_regions": fit_regions,
    "predict_regions": predict_regions,
    "regions_at": regions_at,
    "write_regions_h5ad": write_regions_h5ad,
}


def _model(arguments: Arguments) -> RegionModel:
    from massgraph.r.results import model_from_bytes

    return cast("RegionModel", model_from_bytes(from_r(arguments["state"])))


def _neighbours(arguments: Arguments, n_pixels: int) -> sp.csr_matrix | None:
    given = from_r(arguments["neighbors"])
    if given is None:
        return None
    of, to, weight = (np.atleast_1d(given[name]) for name in ("of", "to", "weight"))
    places = (of.astype(np.int64) - 1, to.astype(np.int64) - 1)
    return sp.csr_matrix((weight.astype(np.float64), places), shape=(n_pixels, n_pixels))


def _explained(
    regions: SpatialRegions,
    pixels: Pixels,
    neighbours: sp.csr_matrix | None,
    axis: NDArray[np.float64] | None,
) -> dict[str, Any]:
    from massgraph.r.region_results import region_values

    # The pixels of the fit: what is not covered is said, and never refused.
    segmentation = regions.segment(pixels, neighbours=neighbours, min_coverage=0)
    return region_values(segmentation, regions, axis)
