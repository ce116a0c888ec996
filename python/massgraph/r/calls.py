"""What R asks of Python: one function for each request, from R's values to R's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.data.alignment import assign_to_axis
from massgraph.r.arguments import (
    Arguments,
    classifier_settings,
    opened,
    pixels_of,
    settings_of,
    whole,
)
from massgraph.r.region_calls import REGION_CALLS
from massgraph.r.session import start
from massgraph.r.values import as_scalar, from_r, view

__all__ = ["CALLS"]

# How far an ion of a simulation may lie from its theoretical m/z.
PLANTED_WITHIN = 10e-6


def fit(arguments: Arguments) -> dict[str, Any]:
    """Fit to the labelled pixels and segment all; arguments as those of RGCN in R."""
    from massgraph.classifier import RGCNClassifier
    from massgraph.r.results import result_values

    spectra = pixels_of(arguments)  # of blocks, fit reads the labelled pixels alone
    y, groups = from_r(arguments["y"]), from_r(arguments["groups"])
    classifier = RGCNClassifier(**classifier_settings(arguments["settings"]))
    checkpoint, resume = as_scalar(arguments["checkpoint"]), as_scalar(arguments["resume"])
    classifier.fit(spectra, y, groups=groups, checkpoint=checkpoint, resume=resume)
    # The pixels of the fit: what is not covered is said, and never refused.
    return result_values(classifier.segment(spectra, y, min_coverage=0), classifier)


def predict(arguments: Arguments) -> NDArray[np.float64]:
    """Probabilities of all pixels of `x` by the model `state`, block by block.

    Runs below `min_coverage` are refused, where it is no NULL.
    """
    from massgraph.fitted import fitted_model
    from massgraph.r.results import model_from_bytes

    model = fitted_model(model_from_bytes(from_r(arguments["state"])))
    guard = model.guard(as_scalar(arguments["min_coverage"]))
    return model.probabilities(opened(arguments), guard)


def coverage(arguments: Arguments) -> NDArray[np.float64]:
    """Coverage of all pixels of `x` by the model `state`, of either kind."""
    from massgraph.r.results import model_from_bytes

    return model_from_bytes(from_r(arguments["state"])).coverage(opened(arguments))


def relations(arguments: Arguments) -> pd.DataFrame:
    """The table of default relations of a `polarity`, or of `masses` by name."""
    from massgraph.chem.relations import default_relations, relations_from_masses

    masses = arguments["masses"]
    if masses.names is not None and len(masses):
        names = [str(name) for name in masses.names]
        return relations_from_masses(
            dict(zip(names, view(masses).tolist(), strict=True))
        ).to_frame()
    return default_relations(as_scalar(arguments["polarity"])).to_frame()


def discover(arguments: Arguments) -> pd.DataFrame:
    """Mass differences enriched in `x`: see `massgraph.discover_relations`."""
    from massgraph.chem.discovery import discover_relations

    return discover_relations(opened(arguments).spectra(), **settings_of(arguments["settings"]))


def write_h5ad(arguments: Arguments) -> None:
    """Write `result`, with the peaks of `x` where that is given, to `file`."""
    from massgraph.r.results import model_from_bytes, segmentation_from_values
    from massgraph.segment import segment

    values = from_r(arguments["result"])
    if arguments["x"] is start().NULL:
        segmentation = segmentation_from_values(values, from_r(arguments["pixels"]))
    else:
        spectra = opened(arguments).spectra()
        reference = values["reference"]
        given = None if reference is None else np.asarray(reference, dtype=object)
        model = model_from_bytes(values["state"])
        segmentation = segment(model, spectra, given, min_coverage=0)
    segmentation.write_h5ad(
        as_scalar(arguments["file"]), overwrite=as_scalar(arguments["overwrite"])
    )


def write_model(arguments: Arguments) -> None:
    """Write the model `state` as a folder that `massgraph.load` reads."""
    from massgraph.r.results import model_from_bytes
    from massgraph.store import save

    model = model_from_bytes(from_r(arguments["state"]))
    save(model, as_scalar(arguments["directory"]), overwrite=as_scalar(arguments["overwrite"]))


def read_model(arguments: Arguments) -> dict[str, Any]:
    """The model of a folder: those of its values that need no pixels, and its `kind`."""
    from massgraph.learn.regions import RegionModel
    from massgraph.r.region_results import region_model_values
    from massgraph.r.results import model_values
    from massgraph.regions import SpatialRegions
    from massgraph.store import load

    model = load(as_scalar(arguments["directory"]))
    if isinstance(model, RegionModel):
        return {"kind": "regions", **region_model_values(SpatialRegions.of(model))}
    return {"kind": "network", **model_values(model)}


def simulate(arguments: Arguments) -> dict[str, Any]:
    """An image of known truth, on one axis: `preset`, `nruns`, `dim`, `nclasses`, `effect`."""
    from massgraph.simulation.simulate import simulate as draw

    effect = as_scalar(arguments["effect"])
    truth = draw(
        as_scalar(arguments["preset"]),
        n_runs=whole(as_scalar(arguments["nruns"])),
        shape=tuple(whole(size) for size in from_r(arguments["dim"]).tolist()),
        n_classes=whole(as_scalar(arguments["nclasses"])),
        effect=None if effect is None else float(effect),
        random_state=whole(as_scalar(arguments["random_state"])),
    )
    spectra = truth.spectra
    matrix, mz = spectra.to_matrix()
    x, y = (spectra.coordinates if spectra.coordinates is not None else np.empty((0, 2)))[:, :2].T
    return {
        "intensity": np.asarray(matrix.todense(), dtype=np.float64).T,
        "mz": mz,
        "discriminates": _planted(mz, truth.families),
        "x": x,
        "y": y,
        "run": pd.Categorical(spectra.run, categories=list(spectra.run_names)),
        "tissue": pd.Categorical(truth.labels, categories=list(truth.classes)),
    }


def _planted(mz: NDArray[np.float64], families: pd.DataFrame) -> NDArray[np.object_]:
    """The region that each ion was planted to mark, "" for all others."""
    planted = families[families["discriminates"] != ""]
    nearest = assign_to_axis(planted["mz"].to_numpy(), mz)
    close = np.abs(mz[nearest] / planted["mz"].to_numpy() - 1) < PLANTED_WITHIN
    names = np.full(mz.size, "", dtype=object)
    names[nearest[close]] = planted["discriminates"].to_numpy()[close]
    return names


CALLS: dict[str, Callable[[Arguments], Any]] = {
    "coverage": coverage,
    "discover": discover,
    "fit": fit,
    "predict": predict,
    "read_model": read_model,
    "relations": relations,
    "simulate": simulate,
    "write_h5ad": write_h5ad,
    "write_model": write_model,
    **REGION_CALLS,
}
