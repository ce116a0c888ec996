"""Regions that were found without labels, as the named values that R's `SpatialRegions` holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.data.alignment import assign_to_axis
from massgraph.data.spectra import Spectra
from massgraph.learn.regions import RegionModel
from massgraph.r.results import model_to_bytes, plain
from massgraph.regions import SpatialRegions
from massgraph.segmentation import Segmentation

__all__ = ["region_model_values", "region_values", "regions_from_values"]

Floats = NDArray[np.float64]

# Columns of `RegionFindings.molecules` that say what a molecule is, whatever the region.
OF_MOLECULE = ("molecule", "mz", "n_ions", "ions", "relations")


def region_values(
    segmentation: Segmentation, regions: SpatialRegions | None = None, axis: Floats | None = None
) -> dict[str, Any]:
    """Collect everything that R keeps of regions, by the names it has there.

    Parameters
    ----------
    segmentation
        Of `SpatialRegions.segment`, with its findings.
    regions
        The fitted estimator, so that R can predict with it; without it the values of
        `region_model_values` are absent. `log_likelihood` is there where it was fitted here.
    axis
        Ascending m/z of the features of the image, where it has some: `features` then says which of
        them is the most intense ion of each molecule.

    Returns
    -------
    dict
        `class` (factor), `probability` (pixels x regions), `uncertainty`; `features`, one row per
        molecule, ascending in m/z, with `i`, its feature, from 1; `effect`, `auc`, `mean`,
        `p_value` and `fdr`, each molecules x regions, NaN where not asked; the tables `regions`,
        `families`, `selection` and `balances` of `RegionFindings`; `maps` (factors by number of
        regions), `balance_images` (pixels x balances) and `cautions`; `off_tissue`, the class of
        that name or None; `mz` of the features; `settings`, `reference`, `polarity`, `versions`.

    Raises
    ------
    ValueError
        Where the segmentation has no findings.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.region_results import region_values
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> values = region_values(regions.segment(spectra), regions)
    >>> values["classes"].tolist(), values["effect"].shape == values["fdr"].shape
    (['region 1', 'region 2', 'off-tissue'], True)
    """
    found = segmentation.findings
    if found is None:
        msg = "the segmentation has no findings: make it with segment(..., explain=True)"
        raise InputError(msg)
    classes = list(segmentation.classes)
    features = _features(found.molecules, axis)
    measures = {
        name: _by_region(found.molecules, name, features, classes)
        for name in ("effect", "auc", "mean", "p_value", "fdr")
    }
    return {
        "classes": np.array(classes, dtype=object),
        "class": segmentation.label,
        "probability": segmentation.probability,
        "uncertainty": segmentation.uncertainty,
        "mz": features["mz"].to_numpy(np.float64) if axis is None else axis,
        "features": features.drop(columns="molecule"),
        **measures,
        "regions": found.regions,
        "families": found.families,
        "selection": found.selection,
        "maps": {str(k): _map(labels, k, classes) for k, labels in found.maps.items()},
        "balances": found.balances,
        "balance_images": found.balance_images.astype(np.float64),
        "off_tissue": _off_tissue(classes),
        "cautions": np.array(found.cautions, dtype=object),
        "settings": {name: plain(value) for name, value in segmentation.parameters.items()},
        "reference": segmentation.reference,
        "polarity": segmentation.polarity,
        "versions": segmentation.versions,
        **({} if regions is None else region_model_values(regions)),
        **({"log_likelihood": regions.log_likelihood_} if _has_pixels(regions) else {}),
    }


def _has_pixels(regions: SpatialRegions | None) -> bool:
    """Whether an estimator knows the pixels of its fit, as those that were loaded do not."""
    return regions is not None and hasattr(regions, "log_likelihood_")


def region_model_values(regions: SpatialRegions) -> dict[str, Any]:
    """Collect those of `region_values` that a fitted estimator has without any pixels.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.region_results import region_model_values
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> values = region_model_values(regions)
    >>> values["settings"]["n_regions"], values["state"][:2]
    (3, b'PK')
    """
    summary = regions.summary()
    model: RegionModel = regions.region_model_
    return {
        "classes": np.array(model.names, dtype=object),
        "selection": model.selection,
        "settings": {name: plain(value) for name, value in summary.items()},
        "polarity": model.polarity,
        "n_parameters": regions.n_parameters_,
        "n_tissue": model.origin.data["n_tissue"],
        "state": model_to_bytes(model),
    }


def _features(molecules: pd.DataFrame, axis: Floats | None) -> pd.DataFrame:
    """One row per molecule, ascending in m/z, with its feature, counted from one as R does."""
    each = molecules[list(OF_MOLECULE)].drop_duplicates("molecule").sort_values("mz")
    each = each.reset_index(drop=True)
    mz = each["mz"].to_numpy(np.float64)
    feature = np.arange(mz.size) if axis is None else assign_to_axis(mz, axis)
    each.insert(0, "i", feature.astype(np.int64) + 1)
    return each


def _by_region(
    molecules: pd.DataFrame, measure: str, features: pd.DataFrame, classes: list[str]
) -> Floats:
    """A column of the table of molecules as a matrix, molecules x regions."""
    table = molecules.pivot(index="molecule", columns="region", values=measure)
    wide = table.reindex(index=features["molecule"], columns=classes)
    return np.asarray(wide.to_numpy(dtype=np.float64))


def _map(labels: NDArray[np.int64], n_regions: int, classes: list[str]) -> pd.Categorical:
    names = [f"region {k + 1}" for k in range(n_regions)]
    if _off_tissue(classes) is not None:
        names[-1] = classes[-1]
    return pd.Categorical.from_codes(labels, pd.Index(names, dtype=object))


def _off_tissue(classes: list[str]) -> str | None:
    """The region of the pixels off tissue, the last one; all maps of a fit have it, or none."""
    return None if classes[-1] == f"region {len(classes)}" else classes[-1]


# -------------------------------------------------------------------- back from R


def regions_from_values(
    values: dict[str, Any], pixels: dict[str, Any], spectra: Spectra | None = None
) -> Segmentation:
    """Make a segmentation of what R holds.

    Parameters
    ----------
    values
        As of `region_values`, as Python values.
    pixels
        `coordinates`, `run` and `names` as for `Spectra`, where there are no `spectra`.
    spectra
        The pixels with their peaks, which R keeps in the data.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.region_results import region_values, regions_from_values
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> values = region_values(regions.segment(spectra), regions)
    >>> again = regions_from_values(values, {"coordinates": spectra.coordinates})
    >>> (again.label.codes == regions.labels_).all()
    True
    """
    probability = values["probability"]
    if spectra is None:
        empty = [([], [])] * len(probability)
        spectra = Spectra.from_peaks(empty, polarity=values["polarity"], **pixels)
    return Segmentation.from_probability(
        spectra,
        np.atleast_1d(values["classes"]).tolist(),
        probability,
        reference=values["reference"],
        parameters=values["settings"],
        versions=values["versions"],
    )
