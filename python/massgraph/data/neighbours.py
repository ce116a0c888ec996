"""Which pixels lie beside each other: what a map of regions is smoothed along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from massgraph._util.advice import advise
from massgraph._util.errors import InputError, InputTypeError
from massgraph.data.spectra import Spectra
from massgraph.data.splits import raster_pitch

__all__ = [
    "AROUND",
    "Neighbours",
    "given_neighbours",
    "image_codes",
    "neighbour_pairs",
    "neighbours_around",
]

AROUND = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""Steps (x, y) to the eight around a pixel, in their order on a circle: four on is opposite."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of pixels that are neighbours, and how much each counts.

    Parameters
    ----------
    pairs
        int64, ``(n_pairs, 2)``, each pair once.
    n_pixels
        Number of pixels, with neighbours or without.
    weight
        Positive, ``(n_pairs,)``; None where all count alike.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import Neighbours
    >>> beside = Neighbours(np.array([[0, 1], [1, 2]]), 4)
    >>> (beside.shares() @ np.array([2.0, 5.0, 4.0, 7.0])).tolist()
    [5.0, 3.0, 5.0, 0.0]
    >>> beside.among(np.array([False, True, True, True])).pairs.tolist()
    [[0, 1]]
    """

    pairs: NDArray[np.int64]
    n_pixels: int
    weight: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def within(cls, spectra: Spectra, radius: float | None) -> Neighbours:
        """Those that `neighbour_pairs` finds; nobody has any where `radius` is None."""
        nobody = np.empty((0, 2), dtype=np.int64)
        pairs = nobody if radius is None else neighbour_pairs(spectra, radius)
        return cls(pairs, spectra.n_pixels)

    def among(self, kept: NDArray[np.bool_]) -> Neighbours:
        """Those of which both pixels are kept, by their places among the kept ones."""
        both = kept[self.pairs].all(axis=1)
        place = np.cumsum(kept) - 1
        weight = None if self.weight is None else self.weight[both]
        return Neighbours(place[self.pairs[both]], int(kept.sum()), weight)

    def shares(self) -> sp.csr_matrix:
        """Matrix that takes values of pixels to the means over their neighbours.

        float64, shape ``(n_pixels, n_pixels)``; rows sum to one, those of lonely pixels to zero.
        """
        first, second = np.concatenate([self.pairs, self.pairs[:, ::-1]]).T
        values = np.ones(first.size) if self.weight is None else np.tile(self.weight, 2)
        beside = sp.csr_matrix((values, (first, second)), shape=(self.n_pixels, self.n_pixels))
        total = np.asarray(beside.sum(axis=1)).ravel()
        total[total == 0] = 1.0
        return sp.csr_matrix(sp.diags(1.0 / total) @ beside)


def given_neighbours(matrix: Any, n_pixels: int) -> Neighbours:
    """Neighbours that somebody else found, such as squidpy or Cardinal.

    Parameters
    ----------
    matrix
        How much each pixel counts for each other one, 0 for no neighbours, sparse or an array,
        ``(n_pixels, n_pixels)``. What it says for both directions is averaged, and the diagonal
        left out.
    n_pixels
        Number of pixels.

    Raises
    ------
    InputError, InputTypeError
        For what is no such matrix, has another shape, or holds values that are negative or not
        finite.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import given_neighbours
    >>> beside = given_neighbours(np.array([[1, 1, 0], [1, 1, 2], [0, 2, 1]]), 3)
    >>> beside.pairs.tolist(), beside.weight.tolist()
    ([[0, 1], [1, 2]], [1.0, 2.0])
    """
    try:
        found = sp.csr_matrix(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"neighbours is a {type(matrix).__name__}, need a matrix of pixels by pixels"
        raise InputTypeError(msg) from None
    if found.shape != (n_pixels, n_pixels):
        msg = f"neighbours has the shape {found.shape}, need {(n_pixels, n_pixels)} for the pixels"
        raise InputError(msg)
    if not (np.isfinite(found.data).all() and (found.data >= 0).all()):
        msg = "neighbours holds values that are negative or not finite: a weight is 0 or more"
        raise InputError(msg)
    both = sp.triu((found + found.T) / 2, k=1).tocoo()
    there = both.data > 0
    pairs = np.column_stack([both.row[there], both.col[there]]).astype(np.int64)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Neighbours(pairs[order], n_pixels, both.data[there][order])


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
    coordinates = _coordinates(spectra)
    if not radius >= 1:
        msg = f"radius is {radius}, need at least 1 pixel"
        raise InputError(msg)
    codes = image_codes(np.asarray(spectra.run_codes), coordinates)
    found = [
        pixels[_pairs_of_run(_grid(coordinates[pixels]), radius)]
        for pixels in (np.flatnonzero(codes == code) for code in np.unique(codes))
    ]
    pairs = np.concatenate([np.empty((0, 2), dtype=np.int64), *found])
    # The order of a tree depends on the machine; sums over pairs must not.
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _coordinates(spectra: Spectra) -> NDArray[np.float64]:
    if spectra.coordinates is None:
        otherwise = advise("say spatial=False", cli="add --no-neighbours")
        msg = f"the pixels have no coordinates: give them, or {otherwise}"
        raise InputError(msg)
    return np.asarray(spectra.coordinates)


def image_codes(run: NDArray[Any], coordinates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Run and section of each pixel as one code, since the sections of a stack lie over each other.

    Parameters
    ----------
    run
        Names or codes, shape ``(n_pixels,)``.
    coordinates
        Places, shape ``(n_pixels, 2)`` or ``(n_pixels, 3)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import image_codes
    >>> image_codes(np.array([0, 0, 1]), np.array([[1, 1, 1], [1, 1, 2], [1, 1, 1.0]])).tolist()
    [0, 1, 2]
    """
    columns = [run, *coordinates[:, 2:].T]
    keys = np.column_stack([np.unique(one, return_inverse=True)[1] for one in columns])
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _grid(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of the pixels of a run in pixels, from 0."""
    place = place[:, :2] - place[:, :2].min(axis=0)
    return np.asarray(place / raster_pitch(place))


def _pairs_of_run(grid: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Pairs within a run, as indices into its pixels."""
    # A tenth of a pixel of slack: stages are not exact.
    pairs = cKDTree(grid).query_pairs(radius + 0.1, p=np.inf, output_type="ndarray")
    return np.sort(pairs.astype(np.int64), axis=1)


def neighbours_around(spectra: Spectra) -> NDArray[np.int64]:
    """The eight around each pixel, by direction.

    Parameters
    ----------
    spectra
        Pixels with coordinates; their peaks are not looked at.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n_pixels, 8)``: indices of pixels of the same run in the order of `AROUND`,
        -1 where there is none.

    Raises
    ------
    InputError
        For pixels without coordinates.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.neighbours import neighbours_around
    >>> peaks = [([700.5], [1.0])] * 3
    >>> spectra = mg.Spectra.from_peaks(peaks, coordinates=[[1, 1], [2, 2], [4, 1]])
    >>> neighbours_around(spectra)[:2].tolist()
    [[-1, 1, -1, -1, -1, -1, -1, -1], [-1, -1, -1, -1, -1, 0, -1, -1]]
    """
    coordinates = _coordinates(spectra)
    codes = image_codes(np.asarray(spectra.run_codes), coordinates)
    found = np.full((spectra.n_pixels, len(AROUND)), -1, dtype=np.int64)
    for code in np.unique(codes):
        pixels = np.flatnonzero(codes == code)
        around = _around_in_run(_grid(coordinates[pixels]))
        found[pixels] = np.where(around >= 0, pixels[around], -1)
    return found


def _around_in_run(grid: NDArray[np.float64]) -> NDArray[np.int64]:
    """The eight around each pixel of a run, as indices into its pixels."""
    cell = np.rint(grid).astype(np.int64)
    width = int(cell[:, 1].max()) + 3  # a column of nothing on both sides: no step leads around
    number = cell[:, 0] * width + cell[:, 1] + 1
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    found = np.empty((len(cell), len(AROUND)), dtype=np.int64)
    for direction, (x, y) in enumerate(AROUND):
        wanted = number + x * width + y
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        found[:, direction] = np.where(ordered[place] == wanted, order[place], -1)
    return found
