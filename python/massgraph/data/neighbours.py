"""Which pixels lie beside each other: what a map of regions is smoothed along."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra
from massgraph.data.splits import raster_pitch

__all__ = ["neighbour_pairs", "neighbour_shares", "neighbour_sums", "pairs_among"]


def neighbour_pairs(spectra: Spectra, radius: float = 1.0) -> NDArray[np.int64]:
    """Pairs of pixels of one run that are at most `radius` apart in each direction.

    Holes, missing rows and images that are not square need no care: only pixels that are there
    have neighbours, and a pixel alone has none.

    Parameters
    ----------
    spectra
        Pixels with coordinates; their peaks are not looked at.
    radius
        In pixels: 1 takes the eight around a pixel, 2 the 24, as `r` of Cardinal does.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n_pairs, 2)``, each pair once, the lower index first, sorted.

    Raises
    ------
    InputError
        For pixels without coordinates, or a radius below 1.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.neighbours import neighbour_pairs
    >>> peaks = [([700.5], [1.0])] * 3
    >>> spectra = mg.Spectra.from_peaks(peaks, coordinates=[[1, 1], [2, 2], [4, 1]])
    >>> neighbour_pairs(spectra).tolist()
    [[0, 1]]
    """
    if spectra.coordinates is None:
        msg = "the pixels have no coordinates: give them, or say spatial=False"
        raise InputError(msg)
    if not radius >= 1:
        msg = f"radius is {radius}, need at least 1 pixel"
        raise InputError(msg)
    codes = np.asarray(spectra.run_codes)
    found = [
        pixels[_pairs_of_run(np.asarray(spectra.coordinates)[pixels], radius)]
        for pixels in (np.flatnonzero(codes == code) for code in np.unique(codes))
    ]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    # The order of a tree depends on the machine; sums over pairs must not.
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _pairs_of_run(place: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Pairs within a run, as indices into its pixels."""
    place = place[:, :2] - place[:, :2].min(axis=0)
    grid = place / raster_pitch(place)
    # A tenth of a pixel of slack: stages are not exact.
    pairs = cKDTree(grid).query_pairs(radius + 0.1, p=np.inf, output_type="ndarray")
    return np.sort(pairs.astype(np.int64), axis=1)


def pairs_among(pairs: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The pairs of which both pixels are kept, by their places among the kept ones.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import pairs_among
    >>> kept = np.array([True, False, True, True])
    >>> pairs_among(np.array([[0, 1], [2, 3]]), kept).tolist()
    [[1, 2]]
    """
    place = np.cumsum(kept) - 1
    return np.asarray(place[pairs[kept[pairs].all(axis=1)]])


def neighbour_sums(pairs: NDArray[np.int64], n_pixels: int) -> sp.csr_matrix:
    """Matrix that takes values of pixels to the sums over their neighbours.

    Parameters
    ----------
    pairs
        As `neighbour_pairs` gives them.
    n_pixels
        Number of pixels.

    Returns
    -------
    scipy.sparse.csr_matrix
        float64, shape ``(n_pixels, n_pixels)``, of ones and zeros, symmetric.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import neighbour_sums
    >>> sums = neighbour_sums(np.array([[0, 1], [1, 2]]), 4)
    >>> (sums @ np.array([2.0, 5.0, 4.0, 7.0])).tolist()
    [5.0, 6.0, 5.0, 0.0]
    """
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).T
    return sp.csr_matrix((np.ones(first.size), (first, second)), shape=(n_pixels, n_pixels))


def neighbour_shares(pairs: NDArray[np.int64], n_pixels: int) -> sp.csr_matrix:
    """Matrix that takes values of pixels to the means over their neighbours.

    Parameters
    ----------
    pairs
        As `neighbour_pairs` gives them.
    n_pixels
        Number of pixels.

    Returns
    -------
    scipy.sparse.csr_matrix
        float64, shape ``(n_pixels, n_pixels)``; rows sum to one, those of lonely pixels to zero.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import neighbour_shares
    >>> shares = neighbour_shares(np.array([[0, 1], [1, 2]]), 4)
    >>> (shares @ np.array([2.0, 5.0, 4.0, 7.0])).tolist()
    [5.0, 3.0, 5.0, 0.0]
    """
    beside = neighbour_sums(pairs, n_pixels)
    counts = np.maximum(np.asarray(beside.sum(axis=1)).ravel(), 1.0)
    return sp.csr_matrix(sp.diags(1.0 / counts) @ beside)
