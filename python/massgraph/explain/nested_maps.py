"""Maps of different numbers of regions beside each other: which region is which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["matched", "nested_numbers"]

Codes = NDArray[np.int64]


def nested_numbers(
    maps: Mapping[int, Codes], label: Codes, n_regions: int, *, apart: bool
) -> dict[int, Codes]:
    """Numbers for the regions of tissue in each of some maps, in order of the numbers of regions.

    From the map of the result upwards and downwards, a region takes the number of that region of
    the map before which it shares most pixels with; a region that is new takes a new one.

    Parameters
    ----------
    maps
        Labels by number of regions, -1 where there is none.
    label
        Region of tissue of each pixel in the result, from 0, -1 for all other pixels.
    n_regions
        Regions of tissue in the result.
    apart
        Whether the last label of each map is that of the pixels off tissue.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.explain.nested_maps import nested_numbers
    >>> label = np.array([0, 0, 1, 1, 2])
    >>> maps = {2: np.array([1, 1, 0, 0, 0]), 3: label}
    >>> {k: numbers.tolist() for k, numbers in nested_numbers(maps, label, 3, apart=False).items()}
    {2: [1, 0], 3: [0, 1, 2]}
    """
    own = n_regions + apart
    found = {}
    for way in (range(own, max(maps, default=0) + 1), range(own - 1, 0, -1)):
        codes, numbers = label, np.arange(n_regions)
        for k in (k for k in way if k in maps):
            tissue = np.where(maps[k] < k - apart, maps[k], -1)
            numbers = matched(codes, numbers, tissue, k - apart)
            codes = tissue
            found[k] = numbers
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

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.explain.nested_maps import matched
    >>> known, codes = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 2])
    >>> matched(known, np.array([4, 7]), codes, 3).tolist()
    [7, 4, 0]
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
