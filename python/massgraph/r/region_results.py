"""Regions that were found without labels, as the named values that R's `SpatialRegions` holds."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.data.alignment import assign_to_axis
from massgraph.data.spectra import Spectra
from massgraph.explain.nested_maps import nested_numbers
from massgraph.explain.region_findings import RegionFindings
from massgraph.learn.regions import RegionModel
from massgraph.r.results import model_from_bytes, model_to_bytes, plain
from massgraph.regions import SpatialRegions
from massgraph.segmentation import Segmentation

__all__ = ["region_model_values", "region_values", "regions_from_values"]

Floats = NDArray[np.float64]

REGION = "region {}".format


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
        Ascending m/z of the features of the image; None where it has none. The most intense ions of
        the molecules are its features then.

    Returns
    -------
    dict
        `class` (factor), `probability` (pixels x regions), `uncertainty`, `coverage`, `mz` of the
        features; the tables `regions`, `molecules`, `families`, `selection` and `balances`, the
        matrix `balance_images`, `shown` and `cautions` of `RegionFindings`, with the feature `i` of
        each molecule, from 1; `maps`, factors by number of regions, in which a region is named
        after the one of the result that it shares most pixels with; `off_tissue`, the class of that
        name or None; `settings`, `reference`, `polarity` and `versions`.

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
    >>> values["classes"].tolist(), values["maps"]["3"].tolist() == values["class"].tolist()
    (['region 1', 'region 2', 'off-tissue'], True)
    """
    found = segmentation.findings
    if found is None:
        msg = "the segmentation has no findings: make it with segment(..., explain=True)"
        raise InputError(msg)
    ions = found.molecules["mz"].to_numpy(np.float64)
    mz = np.unique(ions) if axis is None else axis
    molecules = found.molecules.copy()
    molecules.insert(0, "i", assign_to_axis(ions, mz).astype(np.int64) + 1)
    return {
        "classes": np.array(segmentation.classes, dtype=object),
        "class": segmentation.label,
        "probability": segmentation.probability,
        "uncertainty": segmentation.uncertainty,
        "coverage": segmentation.coverage,
        "mz": mz,
        "regions": found.regions,
        "molecules": molecules,
        "families": found.families,
        "selection": found.selection,
        "maps": _maps(segmentation, found),
        "balances": found.balances,
        "balance_images": found.balance_images.astype(np.float64),
        "shown": found.shown,
        "cautions": np.array(found.cautions, dtype=object),
        "off_tissue": _off_tissue(segmentation),
        "settings": {name: plain(value) for name, value in segmentation.parameters.items()},
        "reference": segmentation.reference,
        "polarity": segmentation.polarity,
        "versions": segmentation.versions,
        **({} if regions is None else region_model_values(regions)),
        **_likelihood(regions),
    }


def _likelihood(regions: SpatialRegions | None) -> dict[str, float]:
    """Of the pixels of the fit, which an estimator that was loaded does not know."""
    found = getattr(regions, "log_likelihood_", None)
    return {} if found is None else {"log_likelihood": float(found)}


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
    model: RegionModel = regions.region_model_
    return {
        "classes": np.array(model.names, dtype=object),
        "selection": model.selection,
        "settings": {name: plain(value) for name, value in regions.summary().items()},
        "polarity": model.polarity,
        "n_parameters": regions.n_parameters_,
        "n_tissue": model.origin.data["n_tissue"],
        "state": model_to_bytes(model),
    }


def _off_tissue(segmentation: Segmentation) -> str | None:
    """The region of the pixels off tissue, which is the last one."""
    classes = segmentation.classes
    return None if classes[-1] == REGION(len(classes)) else classes[-1]


def _maps(segmentation: Segmentation, found: RegionFindings) -> dict[str, pd.Categorical]:
    off_tissue = _off_tissue(segmentation)
    apart = off_tissue is not None
    n_regions = len(segmentation.classes) - apart
    label = np.asarray(segmentation.label.codes, dtype=np.int64)
    tissue = np.where(label < n_regions, label, -1)
    maps = {}
    for k, numbers in nested_numbers(found.maps, tissue, n_regions, apart=apart).items():
        names = [REGION(number + 1) for number in np.sort(numbers)] + [off_tissue] * apart
        # Levels in the order of their numbers, whatever the order of the labels.
        code = np.argsort(np.argsort(numbers))
        if apart:
            code = np.append(code, len(numbers))
        labels = found.maps[k]
        codes = np.where(labels < 0, -1, np.append(code, -1)[labels])
        maps[str(k)] = pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
    return maps


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
        The pixels with their peaks, which R keeps in the data, for images of molecules.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.region_results import region_values, regions_from_values
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> values = region_values(regions.segment(spectra), regions)
    >>> again = regions_from_values(values, {"coordinates": spectra.coordinates})
    >>> bool((again.label.codes == regions.labels_).all())
    True
    """
    probability = values["probability"]
    shown = np.empty(0, dtype=np.int64)
    images = np.empty((len(probability), 0), dtype=np.float32)
    if spectra is not None:
        shown = np.atleast_1d(values["shown"]).astype(np.int64)
        model = cast("RegionModel", model_from_bytes(values["state"]))
        images = model.read(spectra).amounts[:, shown].toarray()
    else:
        empty: list[tuple[list[float], list[float]]] = [([], [])] * len(probability)
        spectra = Spectra.from_peaks(empty, polarity=values["polarity"], **pixels)
    findings = RegionFindings(
        regions=values["regions"],
        molecules=values["molecules"].drop(columns="i"),
        families=values["families"],
        selection=values["selection"],
        maps={int(k): np.asarray(map_.codes, np.int64) for k, map_ in values["maps"].items()},
        shown=shown,
        images=images,
        balances=values["balances"],
        balance_images=values["balance_images"].astype(np.float32),
        cautions=tuple(np.atleast_1d(values["cautions"]).tolist()),
    )
    return Segmentation.from_probability(
        spectra,
        np.atleast_1d(values["classes"]).tolist(),
        probability,
        coverage=values.get("coverage"),
        reference=values["reference"],
        findings=findings,
        parameters=values["settings"],
        versions=values["versions"],
    )
