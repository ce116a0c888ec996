"""Splitting labelled pixels by group, so that neighbours never stand on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra

__all__ = [
    "default_groups",
    "drawn_together",
    "fold_by_group",
    "published_split",
    "raster_pitch",
    "split_by_group",
]

RUNS_ENOUGH = 5  # fewer runs: holding out a whole one would cost too much of the training data
BLOCKS_ACROSS = 6  # spatial blocks along the longer side of a run
ATTEMPTS = 200
ROUNDING = 1e-6  # of the extent of a run: columns nearer than that are one


def default_groups(spectra: Spectra, enough: int = RUNS_ENOUGH) -> NDArray[np.int64]:
    """Group of each pixel, shape ``(n_pixels,)``, where the user names none.

    The runs where there are `enough` (five) or more; else square blocks of neighbouring pixels
    within each run, six along its longer side, where empty columns and rows between sections that
    lie far apart do not count; without coordinates every pixel by itself.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> len(set(mg.splits.default_groups(spectra).tolist()))
    36
    """
    if len(np.unique(spectra.run)) >= enough:
        return np.unique(spectra.run, return_inverse=True)[1]
    if spectra.coordinates is None:
        return np.arange(spectra.n_pixels)
    keys = np.zeros((spectra.n_pixels, 3), dtype=np.int64)
    keys[:, 2] = np.unique(spectra.run, return_inverse=True)[1]
    for code in range(int(keys[:, 2].max(initial=-1)) + 1):
        rows = keys[:, 2] == code
        place = spectra.coordinates[rows, :2] - spectra.coordinates[rows, :2].min(axis=0)
        # Counted in pixels, so that no rounding of a unit moves one across the edge of a block.
        place = np.round(place / raster_pitch(place), 6)
        place = drawn_together(place)
        edge = max((float(place.max(initial=0.0)) + 1) / BLOCKS_ACROSS, 1.0)
        keys[rows, :2] = place // edge
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def drawn_together(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take out empty stretches that are wider than a block, so that blocks lie over pixels.

    Two sections at the ends of a slide would else be two blocks, and no ground for folds.

    Parameters
    ----------
    place
        Places of the pixels of a run in pixels, from 0, shape ``(n_pixels, 2)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.splits import drawn_together
    >>> drawn_together(np.array([[0.0, 0.0], [1.0, 0.0], [900.0, 0.0]])).tolist()
    [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    while True:
        edge = max((float(place.max(initial=0.0)) + 1) / BLOCKS_ACROSS, 1.0)
        found = [np.unique(column, return_inverse=True) for column in place.T]
        gaps = [np.diff(values) for values, _ in found]
        # The pixel at the far side of a gap is no part of it.
        wide = [gap - 1 > edge for gap in gaps]
        if not any(one.any() for one in wide):
            return place
        place = np.column_stack(
            [
                np.concatenate(([0.0], np.cumsum(np.where(far, 1.0, gap))))[at.reshape(-1)]
                for (_, at), gap, far in zip(found, gaps, wide, strict=True)
            ]
        )


def raster_pitch(place: NDArray[np.float64]) -> float:
    """Distance of neighbouring pixels, in whatever unit their coordinates are.

    Whole numbers are multiples of their greatest common divisor: 1 where pixels are counted, 50
    where they are 50 micrometres apart. Of others the smallest gap between two columns or two rows
    counts, above rounding.

    Parameters
    ----------
    place
        Coordinates of the pixels of a run, less the smallest, shape ``(n_pixels, 2)``.

    Returns
    -------
    float
        1 where all pixels are at one place.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.splits import raster_pitch
    >>> raster_pitch(np.array([[0.0, 0.0], [100.0, 50.0]]))
    50.0
    >>> raster_pitch(np.array([[0.0, 0.0], [0.02, 0.0], [0.04, 0.02]]))
    0.02
    """
    if not place.any():
        return 1.0
    if (place == np.round(place)).all() and place.max() < 2**53:
        return float(np.gcd.reduce(place.astype(np.int64).ravel()))
    gaps = np.concatenate([np.diff(np.unique(column)) for column in place.T])
    return float(gaps[gaps > ROUNDING * place.max()].min())


def split_by_group(
    y: NDArray[np.int64], groups: ArrayLike, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose whole groups to hold out, as near to `fraction` of every class as they come.

    Parameters
    ----------
    y
        Class codes, shape ``(n_pixels,)``.
    groups
        Group of each pixel.
    fraction
        Wanted share of each class, between 0 and 1.
    rng
        Source of the random orders of groups that are tried; the best one is taken.

    Returns
    -------
    numpy.ndarray
        bool, shape ``(n_pixels,)``: true where held out. Every class keeps pixels in training.

    Raises
    ------
    ValueError
        Where `groups` has another length, or no choice of whole groups leaves every class in
        training and holds something out.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> y, groups = np.array([0, 1] * 4), np.repeat(["a", "b", "c", "d"], 2)
    >>> held_out = mg.splits.split_by_group(y, groups, 0.25, np.random.default_rng(0))
    >>> int(held_out.sum()), len(set(groups[held_out].tolist()))
    (2, 1)
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    classes = np.unique(y, return_inverse=True)[1].reshape(-1)
    if codes.shape != classes.shape:
        msg = f"{codes.size} groups for {classes.size} labelled pixels"
        raise InputError(msg)
    table = np.zeros((codes.max(initial=-1) + 1, classes.max(initial=-1) + 1))
    np.add.at(table, (codes, classes), 1)
    total = table.sum(axis=0)
    best, best_cost = None, np.inf
    for _ in range(ATTEMPTS):
        order = rng.permutation(len(table))
        share = np.cumsum(table[order], axis=0) / total
        # An absent class costs much, one without training pixels is out of the question.
        cost = np.abs(share - fraction).sum(axis=1) + 10 * (share == 0).sum(axis=1)
        cost[(share >= 1).any(axis=1)] = np.inf
        at = int(np.argmin(cost)) if len(cost) else 0
        if len(cost) and cost[at] < best_cost:
            best, best_cost = order[: at + 1], cost[at]
    if best is None:
        by = advise("groups=", cli="--group-column", r="groups")
        msg = (
            f"{len(table)} groups cannot be split so that every class keeps training pixels: "
            f"label pixels in more groups, or give smaller ones by {by}"
        )
        raise InputError(msg)
    return np.isin(codes, best)


def published_split(
    y: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Split as published: rows shuffled, then the last `fraction` of each class held out.

    Neighbouring pixels land on both sides; this exists to reproduce the published training.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> held_out = mg.splits.published_split(np.repeat([0, 1], 10), 0.2, np.random.default_rng(0))
    >>> int(held_out[:10].sum()), int(held_out[10:].sum())
    (2, 2)
    """
    order = rng.permutation(len(y))
    held_out = np.zeros(len(y), dtype=bool)
    for code in np.unique(y):
        rows = order[y[order] == code]
        held_out[rows[int((1 - fraction) * len(rows)) :]] = True
    return held_out


def fold_by_group(
    y: NDArray[np.int64], groups: ArrayLike, folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal whole groups into folds in which the classes are about equally common.

    Parameters
    ----------
    y
        Class codes, shape ``(n_pixels,)``.
    groups
        Group of each pixel.
    folds
        Wanted number of folds; fewer groups make fewer.
    rng
        Decides between groups that fit equally well.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n_pixels,)``: fold of each pixel, -1 where it is never held out, because
        its group holds all that is known of a class.

    Raises
    ------
    ValueError
        Where `groups` has another length, or fewer than two folds can be held out.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> y, groups = np.array([0, 1] * 4), np.repeat(["a", "b", "c", "d"], 2)
    >>> fold = mg.splits.fold_by_group(y, groups, 2, np.random.default_rng(0))
    >>> np.bincount(fold).tolist()
    [4, 4]
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    classes = np.unique(y, return_inverse=True)[1].reshape(-1)
    if codes.shape != classes.shape:
        msg = f"{codes.size} groups for {classes.size} labelled pixels"
        raise InputError(msg)
    table = np.zeros((codes.max(initial=-1) + 1, classes.max(initial=-1) + 1))
    np.add.at(table, (codes, classes), 1)
    total = table.sum(axis=0)
    sole = (table == total).any(axis=1)
    n_folds = min(folds, int((~sole).sum()))
    fold_of = np.full(len(table), -1)
    load = np.zeros((max(n_folds, 1), total.size))
    # The largest groups are dealt first, each to the fold that lacks its classes most.
    order = rng.permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    for group in order[~sole[order]] if n_folds > 1 else ():
        after = (load + table[group]) / total
        # A class may not come to lie in one fold alone.
        spread = (after**2).sum(axis=1) - ((load / total) ** 2).sum(axis=1)
        spread[(after >= 1).any(axis=1)] = np.inf
        # Where several fit equally well, the smallest: with few pixels of each class, those of all
        # classes would else come to lie in the first.
        best = int(np.lexsort((load.sum(axis=1), spread))[0])
        if np.isfinite(spread[best]):
            fold_of[group] = best
            load[best] += table[group]
    if np.unique(fold_of[fold_of >= 0]).size < 2:
        by = advise("groups=", cli="--group-column", r="groups")
        msg = (
            f"{len(table)} groups cannot be split so that every class keeps training pixels: "
            f"label pixels in more groups, or give smaller ones by {by}"
        )
        raise InputError(msg)
    # A fold that got no group would be a fit that holds nothing out.
    fold_of[fold_of >= 0] = np.unique(fold_of[fold_of >= 0], return_inverse=True)[1]
    return np.asarray(fold_of[codes], dtype=np.int64)
