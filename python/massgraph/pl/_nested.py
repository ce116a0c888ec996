"""Colours of regions: one in all pictures, and from map to map where a region stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.explain.nested_maps import matched, nested_numbers
from massgraph.pl._style import OFF_TISSUE, class_colours, region_colours

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings
    from massgraph.segmentation import Segmentation

__all__ = [
    "APART",
    "label_palette",
    "nested_colours",
    "of_regions",
    "palette",
    "region_palette",
]

APART = "off-tissue"
"""Name of the region that is no tissue."""

Codes = NDArray[np.int64]


def palette(segmentation: Segmentation) -> dict[str, str]:
    """Colour of each class; where these are regions found without labels, as `region_palette`."""
    classes = segmentation.classes
    if not of_regions(segmentation):
        return dict(zip(classes, class_colours(len(classes)), strict=True))
    findings = segmentation.findings
    first = () if findings is None else tuple(findings.regions["region"])
    return region_palette([*first, *classes])


def of_regions(segmentation: Segmentation) -> bool:
    """Whether the classes are regions that were found without labels."""
    # Without findings they are known by what was asked of their fit.
    return segmentation.findings is not None or "number_was_given" in segmentation.parameters


def region_palette(names: Sequence[str]) -> dict[str, str]:
    """Colour of each region by name, in this order; pixels off tissue are grey."""
    tissue = [name for name in dict.fromkeys(map(str, names)) if name != APART]
    return dict(zip(tissue, region_colours(len(tissue)), strict=True)) | {APART: OFF_TISSUE}


def label_palette(labels: pd.Categorical, segmentation: Segmentation) -> dict[str, str]:
    """Colours of the labels in use, by the regions that they coincide with most."""
    given = pd.Categorical(np.asarray(labels, dtype=object))
    names = [str(name) for name in given.categories if name != APART]
    own, regions = _tissue(given, names), _regions(segmentation)
    numbers = matched(
        _tissue(segmentation.label, regions), np.arange(len(regions)), own, len(names)
    )
    colours = region_colours(int(numbers.max(initial=-1)) + 1)
    found = {name: colours[k] for name, k in zip(names, numbers, strict=True)}
    return found | ({APART: OFF_TISSUE} if APART in given.categories else {})


def nested_colours(
    segmentation: Segmentation, findings: RegionFindings
) -> dict[int, NDArray[np.str_]]:
    """Colour of each pixel in each of the maps, in order of their numbers; "" where in none.

    From the map of the segmentation upwards and downwards, a region takes the colour of that region
    of the map before which it shares most pixels with; a region that is new takes a new one.
    """
    regions = _regions(segmentation)
    apart = APART in segmentation.classes
    label = _tissue(segmentation.label, regions)
    found = {}
    for k, numbers in nested_numbers(findings.maps, label, len(regions), apart=apart).items():
        colours = region_colours(int(numbers.max(initial=-1)) + 1)
        of_label = [*(colours[n] for n in numbers), *[OFF_TISSUE] * apart, ""]
        found[k] = np.array(of_label)[findings.maps[k]]
    return found


def _regions(segmentation: Segmentation) -> list[str]:
    """Regions of tissue in the order of their colours."""
    return [n for n in palette(segmentation) if n != APART and n in segmentation.classes]


def _tissue(labels: pd.Categorical, names: Sequence[str]) -> Codes:
    """Index of each label among some names, -1 for any other."""
    codes = pd.Categorical(np.asarray(labels, dtype=object), categories=list(names)).codes
    return np.asarray(codes, dtype=np.int64)
