"""Ranks of peaks by intensity within their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["rank_in_pixels"]


def rank_in_pixels(intensity: ArrayLike, pixel: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each peak in its pixel, 0 the most intense (of equal ones the first).

    Parameters
    ----------
    intensity, pixel
        Of each peak; pixels ascend.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.ranks import rank_in_pixels
    >>> rank_in_pixels([1.0, 5.0, 5.0, 2.0], np.array([0, 0, 0, 3])).tolist()
    [2, 0, 1, 0]
    """
    order = _falling(np.asarray(intensity), pixel)
    counts = np.bincount(pixel)
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _falling(intensity: NDArray[Any], pixel: NDArray[np.int64]) -> NDArray[np.int64]:
    """Order by pixel, then from the most intense peak to the least, of equal ones the first."""
    if intensity.dtype != np.float32:
        return np.lexsort((-intensity, pixel))
    # As integers the bits of floats are in their order, but for negative ones, which fall; those
    # below those of the pixel make one key of both, which is sorted in a third of the time.
    bits = (intensity + np.float32(0)).view(np.int32)  # no negative zero
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return np.argsort((pixel << 32) - bits, kind="stable")
