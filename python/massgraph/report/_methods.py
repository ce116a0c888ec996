"""How regions were found, in sentences for the methods of a paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from massgraph.learn.least_apart import CLEAR, FARTHER, LEAST_SHARE
from massgraph.learn.mixture import COVARIANCES
from massgraph.learn.mixture_path import number_of_regions
from massgraph.learn.region_search import MORE

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings
    from massgraph.segmentation import Segmentation

__all__ = ["best_number", "methods"]


def best_number(findings: RegionFindings) -> int | None:
    """The number of regions that the data speak for; None where it was given."""
    if findings.selection is None:
        return None
    most = max(findings.maps, default=len(findings.regions))
    return number_of_regions(findings.selection, most)


def methods(segmentation: Segmentation) -> list[str]:
    """Paragraphs; the first is left out where the parameters of the fit are not those of regions.

    Parameters
    ----------
    segmentation
        With `SpatialRegions.summary` as its parameters.
    """
    parameters = segmentation.parameters
    found = []
    if "number_was_given" in parameters:
        version = segmentation.versions.get("massgraph", "")
        found.append(" ".join([*_fit(parameters, version), _number(segmentation)]))
    return [*found, " ".join(_tests(segmentation))]


def _fit(parameters: dict[str, Any], version: str) -> Iterator[str]:
    by_molecule = parameters["features"] == "molecules"
    what, one = ("molecule", "a molecule") if by_molecule else ("ion", "an ion")
    named = f"massgraph {version}".strip()
    yield (
        f"Regions were found without labels by {named} (SpatialRegions, seed "
        f"{parameters['random_state']})."
    )
    yield f"Peaks were calibrated to {parameters['axis_ions']:,} ions that the spectra share."
    if by_molecule:
        yield (
            "The ions of a molecule, its isotopes and alkali adducts, were added up, which gave "
            f"{parameters['molecules']:,} molecules."
        )
    if parameters["peaks_kept"] is None:
        yield (
            f"The amount of {one} is 10 log(1 + G s / 10), with s its share in the ion current of "
            f"these ions in the pixel and G the number of {what}s."
        )
    else:
        lost = 1 - parameters["peaks_kept"]
        yield (
            f"As peaks are lost at random (about {lost:.0%}), the amount of {one} is the mean "
            "deviation of the log intensities that are left from their usual ones, and neighbours "
            "take part in it by the share that is lost."
        )
    if parameters["off_tissue"]:
        yield (
            "Pixels that are darker and have far fewer molecules than the others were set apart "
            "as off tissue."
        )
    if parameters["run_offsets"]:
        yield "The mean of each run was taken off."
    found = parameters["covariance_found"]
    search = (
        "fitted from the labels that were given,"
        if parameters["begun"]
        else "searched from many starts, with splits and merges, and"
    )
    yield (
        "Minimum noise fraction, with the noise estimated from differences of neighbouring pixels, "
        f"gave {parameters['components']} components. In these, a mixture of normal distributions "
        f"was {search} with {COVARIANCES[found]}."
    )
    if found != "shared" and not parameters["begun"]:
        yield (
            f"As regions scatter unlike, {MORE} more were searched as well and those least apart "
            f"joined again; these were taken if they were {CLEAR:g} deviations apart and "
            f"{FARTHER:g} times as far as those of the search for the number itself, and none had "
            f"less than {LEAST_SHARE:.0%} of the pixels."
        )
    if parameters["brightness_given"]:
        yield (
            "Brightness (log ion current and log number of molecules) changed smoothly over the "
            "image and was taken as given: what it explains within regions tells none apart."
        )
    yield from _neighbours(parameters)


def _neighbours(parameters: dict[str, Any]) -> Iterator[str]:
    if not parameters["spatial"]:
        yield "Each pixel was assigned by itself, whatever its neighbours."
    elif parameters["field_strength"]:
        reach = f"{parameters['radius']:g} pixel{'s' if parameters['radius'] != 1 else ''}"
        which = "as given" if parameters["neighbours_given"] else f"up to {reach} away"
        yield (
            f"Pixels in doubt were decided by their neighbours, {which}, through a "
            f"Potts field of strength {parameters['field_strength']:g}."
        )
    else:
        yield "A field over neighbours was estimated to have no strength, and left out."


def _number(segmentation: Segmentation) -> str:
    parameters, findings = segmentation.parameters, segmentation.findings
    if parameters["begun"]:
        return f"The number of regions, {parameters['n_regions']}, is that of these labels."
    if parameters["number_was_given"]:
        return f"The number of regions, {parameters['n_regions']}, was given."
    if findings is not None and best_number(findings) != len(findings.regions):
        return (
            f"The number of regions, {len(findings.regions)}, was chosen by hand among the maps of "
            f"one fit, of up to {parameters['max_regions']} regions."
        )
    return (
        f"The number of regions was chosen up to {parameters['max_regions']}, where the gain in "
        "log likelihood by the last region most exceeds the mean gain by the two after it."
    )


def _tests(segmentation: Segmentation) -> Iterator[str]:
    yield (
        "Stability of a region is its Jaccard index with the region matched to it in a map of the "
        "same number of regions that a random half of the molecules made, mean of both halves."
    )
    yield (
        "Each molecule was tested in the map of the half that it is not in, by the absolute "
        "correlation with the region, against 999 maps that were moved over the image as a whole, "
        "around its edges and mirrored, each run by itself; false discovery rates are Benjamini "
        "and Hochberg's over all regions and molecules tested."
    )
    yield (
        "Effects are differences of mean log amounts in deviations within regions; areas under "
        "the curve, the chance that a pixel of the region holds more of the molecule than one "
        "elsewhere. Both describe the map and do not test it."
    )
    if segmentation.explanation is not None:
        yield "A classifier was taught the regions afterwards, and explained."
