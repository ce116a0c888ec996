"""The search for partners in numpy: it runs without the library, which must find the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.data.alignment import tolerance_in_da
from massgraph.data.spectra import Spectra

__all__ = ["RULES", "Candidates", "allowed_deviation", "find_edges", "fitting_pairs"]

Edges = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]
Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

# Decimal m/z and tolerances are not exact in binary: 0.001 + this is what "within 0.001" means.
SLACK_DA = 1e-9

# Pixels are searched together in blocks: the m/z of pixel k of a block are moved up by k * STRIDE.
BLOCK_PEAKS = 1 << 18
BLOCK_PIXELS = 1 << 12


def allowed_deviation(mz: NDArray[np.float64], tolerance: float, unit: str) -> NDArray[np.float64]:
    """Largest deviation of an edge to each peak, in Da; the heavier peak's m/z counts.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.search import allowed_deviation
    >>> allowed_deviation(np.array([300.0, 600.0]), 5.0, "ppm").round(6)
    array([0.0015, 0.003 ])
    """
    return tolerance_in_da(mz, tolerance, unit) + SLACK_DA


# -------------------------------------------------------------------- pairs of one relation


def fitting_pairs(
    mz: NDArray[np.float64],
    key: NDArray[np.float64],
    mass: float,
    tolerance: float,
    unit: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of peaks that fit one relation.

    Parameters
    ----------
    mz
        m/z of the peaks of some pixels, ascending in each.
    key
        The same moved up from pixel to pixel, so that it ascends and no relation joins two pixels;
        of one pixel the m/z itself.
    mass
        Of the relation, in Da.
    tolerance, unit
        As for `massgraph.build_graph`.

    Returns
    -------
    source, target
        int64: rows of the lighter and the heavier peak of each pair.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.search import fitting_pairs
    >>> mz = np.array([300.0, 301.00335, 302.0067])
    >>> fitting_pairs(mz, mz, 1.00335, 5.0, "ppm")
    (array([0, 1]), array([1, 2]))
    """
    # The search is a little too wide (moving m/z up costs digits, and ppm are of the heavier peak,
    # not yet known); the test at the end is exact.
    wide = tolerance_in_da(mz + mass, tolerance, unit) * 1.05 + np.spacing(key[-1]) * 4 + SLACK_DA
    low = np.searchsorted(key, key + (mass - wide), side="left")
    high = key + (mass + wide)
    hit = np.flatnonzero((low < key.size) & (key[np.minimum(low, key.size - 1)] <= high))
    low = low[hit]
    width = np.searchsorted(key, high[hit], side="right") - low
    source = np.repeat(hit, width)
    first = np.cumsum(width) - width
    target = np.arange(width.sum()) - np.repeat(first - low, width)
    allowed = allowed_deviation(mz[target], tolerance, unit)
    fits = np.abs(mz[target] - mz[source] - mass) <= allowed
    return source[fits], target[fits]


# -------------------------------------------------------------------- one of several


class Candidates(NamedTuple):
    """Pairs of peaks that fit a relation, and what a rule may look at.

    `error` is the deviation from the relation's mass in Da; `mz` and `intensity` are the target's.

    Examples
    --------
    Of two candidates of a peak the rule takes the more intense:

    >>> import numpy as np
    >>> from massgraph.graph.search import RULES, Candidates
    >>> peaks = np.array([0, 0]), np.array([1, 2]), np.array([0, 0]), np.array([0.001, 0.002])
    >>> mz, intensity = np.array([301.0, 301.1]), np.array([1, 9], dtype=np.float32)
    >>> RULES["intensity"](Candidates(*peaks, mz, intensity))
    array([1])
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    code: NDArray[np.int64]
    error: NDArray[np.float64]
    mz: NDArray[np.float64]
    intensity: NDArray[np.float32]


# A rule gives the candidates that are joined, ordered by (source, relation, target).
Choice = Callable[[Candidates], NDArray[np.int64]]


def _first(candidates: Candidates, *preference: NDArray[Any]) -> NDArray[np.int64]:
    """First candidate of each (source, relation); preferences go from most to least important.

    Ties go to the lower index.
    """
    source, code = candidates.source, candidates.code
    # lexsort goes by its last key first.
    order = np.lexsort((candidates.target, *reversed(preference), code, source))
    new = np.ones(order.size, dtype=bool)
    same_source = source[order][1:] == source[order][:-1]
    new[1:] = ~(same_source & (code[order][1:] == code[order][:-1]))
    return order[new]


def _most_intense(candidates: Candidates) -> NDArray[np.int64]:
    return _first(candidates, -candidates.intensity, candidates.error)


def _nearest(candidates: Candidates) -> NDArray[np.int64]:
    return _first(candidates, candidates.error, -candidates.intensity)


def _all(candidates: Candidates) -> NDArray[np.int64]:
    return np.lexsort((candidates.target, candidates.code, candidates.source))


def _largest_mass_defect(candidates: Candidates) -> NDArray[np.int64]:
    # What the published code sorts by: parity is checked against it, nothing else uses it.
    return _first(candidates, np.ceil(candidates.mz) - candidates.mz)


RULES: dict[str, Choice] = {
    "intensity": _most_intense,
    "nearest": _nearest,
    "all": _all,
    "reference": _largest_mass_defect,
}


# -------------------------------------------------------------------- all pixels


def find_edges(
    spectra: Spectra, relations: Relations, tolerance: float, unit: str, rule: str
) -> Edges:
    """Edges sorted by (pixel, source, relation, target).

    Parameters
    ----------
    spectra, relations, tolerance, unit, rule
        As for `massgraph.build_graph`.

    Returns
    -------
    tuple
        Edges per pixel, source, target and relation code, as in `massgraph.Graph`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.graph.search import find_edges
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 1]), ([300.0], [1])])
    >>> ch2 = mg.relations_from_masses({"CH2": 14.01565})
    >>> counts, source, target, relation = find_edges(spectra, ch2, 5.0, "ppm", "intensity")
    >>> counts, source, target
    (array([1, 0]), array([0], dtype=int32), array([1], dtype=int32))
    """
    counts = np.zeros(spectra.n_pixels, dtype=np.int64)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start, stop in _blocks(spectra):
        block = spectra[start:stop]
        edges = _block_edges(block, relations, tolerance, unit, RULES[rule])
        pixel, source, target, code = edges
        counts[start:stop] = np.bincount(pixel, minlength=stop - start)
        first = block.offsets[pixel]
        parts.append(
            (
                (source - first).astype(np.int32),
                (target - first).astype(np.int32),
                code.astype(np.uint16),
            )
        )
    empty = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint16))
    source, target, relation = zip(empty, *parts, strict=True)
    return counts, np.concatenate(source), np.concatenate(target), np.concatenate(relation)


def _blocks(spectra: Spectra) -> Iterator[tuple[int, int]]:
    """Pixel ranges of bounded numbers of peaks and pixels."""
    # Many pixels to a call of numpy, but not all: candidates take much more memory than peaks.
    start = 0
    while start < spectra.n_pixels:
        limit = spectra.offsets[start] + BLOCK_PEAKS
        stop = int(np.searchsorted(spectra.offsets, limit, side="right")) - 1
        stop = min(max(stop, start + 1), start + BLOCK_PIXELS, spectra.n_pixels)
        yield start, stop
        start = stop


def _block_edges(
    block: Spectra, relations: Relations, tolerance: float, unit: str, choose: Choice
) -> Columns:
    """Pixel, source, target (indices into the block's peaks) and relation code of all edges."""
    mz = block.mz
    if mz.size == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing, nothing
    pixel = block.pixel_of_peak
    # More than any relation reaches: no pair has its peaks in two pixels.
    stride = float(np.ceil(mz.max() + relations.masses.max() + 2))
    key = mz + pixel * stride
    found = [fitting_pairs(mz, key, mass, tolerance, unit) for mass in relations.masses.tolist()]
    source = np.concatenate([one[0] for one in found])
    target = np.concatenate([one[1] for one in found])
    code = np.repeat(np.arange(len(relations)), [one[0].size for one in found])
    error = np.abs(mz[target] - mz[source] - relations.masses[code])
    order = choose(Candidates(source, target, code, error, mz[target], block.intensity[target]))
    source, target, code = source[order], target[order], code[order]
    return pixel[source], source, target, code
