"""Colours of regions: one in all pictures, and from map to map where a region stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from massgraph.pl._style import OFF_TISSUE, class_colours, region_colours

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings
    from massgraph.segmentation import Segmentation

__all__ = [
    "APART",
    "label_palette",
    "matched",
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
    own = len(regions) + apart
    found = {}
    for way in (range(own, max(findings.maps, default=0) + 1), range(own - 1, 0, -1)):
        codes, numbers = _tissue(segmentation.label, regions), np.arange(len(regions))
        for k in (k for k in way if k in findings.maps):
            labels = findings.maps[k]
            tissue = np.where(labels < k - apart, labels, -1)
            numbers = matched(codes, numbers, tissue, k - apart)
            codes = tissue
            colours = [*region_colours(int(numbers.max(initial=-1)) + 1)]
            of_label = [*(colours[n] for n in numbers), *[OFF_TISSUE] * apart, ""]
            found[k] = np.array(of_label)[labels]
    return dict(sorted(found.items()))


def matched(known: Codes, numbers: Codes, codes: Codes, n: int) -> Codes:
    """Numbers for `n` regions of one map by those of another.

    Parameters
    ----------
    known, numbers
        Region of each pixel in the other map, -1 where none, and the number of each region.
    codes
        Region of each pixel, from 0 to ``n - 1``, -1 where none.
    n
        How many regions there are.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n,)``, all different. Pairs of regions share numbers such that most pixels
        keep theirs; the others take the smallest numbers that are left.
    """
    both = (known >= 0) & (codes >= 0)
    shared = np.zeros((n, len(numbers)), dtype=np.int64)
    np.add.at(shared, (codes[both], known[both]), 1)
    mine, theirs = linear_sum_assignment(shared, maximize=True)
    found = np.full(n, -1, dtype=np.int64)
    for one, other in zip(mine, theirs, strict=True):
        if shared[one, other]:
            found[one] = numbers[other]
    # A number of the other map that nobody took stays its own: two regions would look like one.
    free = np.setdiff1d(np.arange(n + len(numbers) + int(numbers.max(initial=0)) + 1), numbers)
    found[found < 0] = free[: np.count_nonzero(found < 0)]
    return found


def _regions(segmentation: Segmentation) -> list[str]:
    """Regions of tissue in the order of their colours."""
    return [n for n in palette(segmentation) if n != APART and n in segmentation.classes]


def _tissue(labels: pd.Categorical, names: Sequence[str]) -> Codes:
    """Index of each label among some names, -1 for any other."""
    codes = pd.Categorical(np.asarray(labels, dtype=object), categories=list(names)).codes
    return np.asarray(codes, dtype=np.int64)
