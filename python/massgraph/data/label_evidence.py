"""Whether labels lie where the spectra say: shifted by a pixel, mirrored, or x and y exchanged.

Every pixel of such a table has its place in the image, so that nothing but the spectra can tell.
Only pixels whose class would be another one count: those on the borders between classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from massgraph.data.sources import Pixels, take
from massgraph.data.spectra import Spectra

__all__ = ["SHIFTS", "Move", "PlaceTable", "better_place"]

# The likeliest first: both axes counted from 0 or from 1, then one axis, then one of each.
SHIFTS = ((1, 1), (-1, -1), (1, 0), (0, 1), (-1, 0), (0, -1), (1, -1), (-1, 1))
# Borders are drawn by hand, a pixel more or less on one side: nearly all of theirs must agree.
SHARE, LEVEL = 0.85, 0.005
N_BORDER, N_INNER, N_CLASSES, N_BINS = 80, 40, 12, 200
FEWEST = 20  # labelled pixels; with fewer there is no evidence
BIN = 0.1  # Da
DENSE = 16  # places for each pixel, of which a table is kept


@dataclass(frozen=True)
class Move:
    """A way to lay labels over the image.

    Parameters
    ----------
    kind
        ``"shift"``, ``"swap"`` (x for y), ``"flip x"`` or ``"flip y"``.
    shift
        Pixels in x and y, of a shift.
    fits, n
        How many of `n` pixels that would change their class look like the class they would get.
    """

    kind: str
    shift: tuple[int, int] = (0, 0)
    fits: int = 0
    n: int = 0


MOVES = (*(Move("shift", one) for one in SHIFTS), Move("swap"), Move("flip x"), Move("flip y"))


class PlaceTable:
    """Which pixel lies at a place, for pixels at whole positions.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.label_evidence import Move, PlaceTable
    >>> peaks = [([100.0], [1.0])] * 3
    >>> row = mg.Spectra.from_peaks(peaks, coordinates=[[1, 1], [2, 1], [3, 1]])
    >>> PlaceTable(row).moved_from(Move("shift", (1, 0))).tolist()
    [-1, 0, 1]
    """

    def __init__(self, places: Spectra) -> None:
        self._at = np.column_stack([places._codes, np.asarray(places.coordinates)]).astype(np.int64)
        self._low = self._at.min(axis=0)
        self._span = np.ptp(self._at, axis=0) + 1
        key = self._key(self._at)
        # A table of all places, unless most of them are empty.
        self._dense = float(np.prod(self._span.astype(float))) <= DENSE * len(key) + DENSE**5
        if self._dense:
            self._pixel = np.full(int(np.prod(self._span)), -1, dtype=np.int64)
            self._pixel[key.astype(np.int64)] = np.arange(len(key))
        else:
            self._pixel = np.argsort(key)
            self._key_of = key[self._pixel]

    def moved_from(self, move: Move) -> NDArray[np.int64]:
        """Where the label of each pixel comes from if labels are moved; -1 where from nowhere."""
        wanted = self._at.copy()
        if move.kind == "shift":
            wanted[:, 1:3] -= np.asarray(move.shift)
        elif move.kind == "swap":
            wanted[:, [1, 2]] = self._at[:, [2, 1]]
        else:
            axis = 1 if move.kind == "flip x" else 2
            for code in np.unique(self._at[:, 0]):
                run = self._at[:, 0] == code
                along = self._at[run, axis]
                wanted[run, axis] = along.min() + along.max() - along
        inside = ((wanted >= self._low) & (wanted < self._low + self._span)).all(axis=1)
        found = np.full(len(wanted), -1, dtype=np.int64)
        found[inside] = self._find(self._key(wanted[inside]))
        return found

    def _key(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """One number for each place."""
        number = np.zeros(len(at), dtype=np.float64)
        for column in range(at.shape[1]):
            number = number * self._span[column] + (at[:, column] - self._low[column])
        return number

    def _find(self, key: NDArray[np.float64]) -> NDArray[np.int64]:
        if self._dense:
            return self._pixel[key.astype(np.int64)]
        at = np.minimum(np.searchsorted(self._key_of, key), len(self._key_of) - 1)
        return np.where(self._key_of[at] == key, self._pixel[at], -1)


def better_place(source: Pixels, places: Spectra, labels: NDArray[np.object_]) -> Move | None:
    """The move after which labels fit the spectra clearly better, or None.

    Parameters
    ----------
    source
        Spectra in memory or a source; of which some hundred labelled pixels are read.
    places
        The same pixels without their peaks.
    labels
        Object array, shape ``(n_pixels,)``: the class of a pixel, or None.

    Notes
    -----
    Of each move the pixels are taken whose class it would change, and each is asked which of the
    two classes it resembles, by a discriminant with the variances of single bins of m/z. It is
    learnt from pixels that are of the same class either way.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.label_evidence import better_place
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> better_place(spectra, mg.streaming.places(spectra), labels) is None
    True
    """
    known = ~pd.isna(labels)
    whole = places.coordinates is not None and not (places.coordinates % 1).any()
    if known.sum() < FEWEST or not whole:
        return None
    codes = pd.factorize(labels)[0]
    if codes.max() < 1:
        return None
    table = PlaceTable(places)
    plans = [plan for move in MOVES if (plan := _plan(table, codes, move)) is not None]
    if not plans:
        return None
    asked = np.unique(np.concatenate([np.concatenate([plan.border, plan.inner]) for plan in plans]))
    features = _features(take(source, asked))
    return _best([_judged(plan, codes, features, asked) for plan in plans])


@dataclass(frozen=True)
class Plan:
    """Pixels that a move is judged by, and the class that each pixel would get."""

    move: Move
    codes: NDArray[np.int64]
    border: NDArray[np.int64]
    inner: NDArray[np.int64]


def _plan(table: PlaceTable, codes: NDArray[np.int64], move: Move) -> Plan | None:
    from_ = table.moved_from(move)
    new = np.where(from_ >= 0, codes[from_], -1)
    # A move that leaves labels without a pixel is none that could be advised.
    if (new >= 0).sum() < (codes >= 0).sum():
        return None
    same = np.flatnonzero((codes >= 0) & (codes == new))
    counts = np.bincount(codes[same], minlength=codes.max() + 1)
    usual = np.argsort(-counts, kind="stable")[:N_CLASSES]
    usual = usual[counts[usual] >= N_INNER // 8]
    changed = np.isin(codes, usual) & np.isin(new, usual) & (codes != new)
    border = _some(np.flatnonzero(changed), N_BORDER)
    if len(border) < N_INNER // 8:
        return None
    inner = np.concatenate([_some(same[codes[same] == code], N_INNER) for code in usual])
    return Plan(move, new, border, inner)


def _some(pixels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many, evenly drawn."""
    if len(pixels) <= most:
        return pixels
    return pixels[np.linspace(0, len(pixels) - 1, most).astype(np.int64)]


def _features(spectra: Spectra) -> NDArray[np.float64]:
    """Roots of the shares of the ion current in the most intense bins, shape (n_pixels, n_bins)."""
    tic = np.maximum(spectra.tic(), np.finfo(np.float32).tiny)
    share = np.sqrt(spectra.intensity / tic[spectra.pixel_of_peak])
    bins, place = np.unique(np.round(spectra.mz / BIN), return_inverse=True)
    strong = np.argsort(-np.bincount(place, weights=share, minlength=len(bins)))[:N_BINS]
    column = np.full(len(bins), -1)
    column[strong] = np.arange(len(strong))
    kept = column[place] >= 0
    features = np.zeros((spectra.n_pixels, len(strong)))
    np.add.at(features, (spectra.pixel_of_peak[kept], column[place[kept]]), share[kept])
    return features


def _judged(
    plan: Plan, codes: NDArray[np.int64], features: NDArray[np.float64], asked: NDArray[np.int64]
) -> Move:
    """The move with its votes."""
    inner = features[np.searchsorted(asked, plan.inner)]
    of = codes[plan.inner]
    mean = {code: inner[of == code].mean(axis=0) for code in np.unique(of)}
    scatter = np.mean([inner[of == code].var(axis=0) for code in mean], axis=0)
    scatter += 0.1 * scatter.mean() + 1e-12
    border = features[np.searchsorted(asked, plan.border)]
    score = np.array(
        [
            ((x - (mean[new] + mean[old]) / 2) * (mean[new] - mean[old]) / scatter).sum()
            for x, new, old in zip(border, plan.codes[plan.border], codes[plan.border], strict=True)
        ]
    )
    fits, n = int((score > 0).sum()), int((score != 0).sum())
    return Move(plan.move.kind, plan.move.shift, fits, n)


def _best(moves: list[Move]) -> Move | None:
    """The clearest move; one along both axes is preferred, as tables count from 0 in both."""
    clear = [move for move in moves if _agree(move) and _is_no_chance(move)]
    if not clear:
        return None
    best = max(clear, key=lambda move: (2 * move.fits - move.n, move.kind == "shift"))
    # A border along one axis says nothing of the other.
    both = [
        move
        for move in moves
        if move.shift in ((1, 1), (-1, -1))
        and move.shift[0] in best.shift
        and _agree(move)
        and 2 * move.fits - move.n >= 0.8 * (2 * best.fits - best.n)
    ]
    return both[0] if best.kind == "shift" and both else best


def _agree(move: Move) -> bool:
    return move.n > 0 and move.fits >= SHARE * move.n


def _is_no_chance(move: Move) -> bool:
    return bool(binomtest(move.fits, move.n, alternative="greater").pvalue <= LEVEL)
