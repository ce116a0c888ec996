"""Pairs of ions by their mass difference, and what the differences would be by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.chem.relations import default_relations
from massgraph.data.alignment import tolerance_in_da
from massgraph.data.spectra import Spectra

__all__ = ["MIN_MASS", "STEPS", "IonPairs", "pair_ions"]

# Mass defects move up to this far (Da), or past this many ions where there are fewer.
NEIGHBOURHOOD = 20.0
MIN_NEIGHBOURS = 12
MIN_MASS = 0.5
"""Smallest difference in Da: below, both ions have one nominal mass, which the null keeps apart."""
STEPS = 4
"""Windows overlap: one begins at every quarter of the tolerance."""
MAX_WINDOWS = 5_000_000
# Wider windows do not tell mass defects from each other.
MAX_TOLERANCE = 0.1
# Pixels, evenly spread, that say which ions are found together.
MAX_PIXELS = 2000
# Slopes tried for the general mass defect, and again twenty times finer.
SLOPES = np.arange(-150, 151) * 1e-5
MAX_DIFFERENCES = 50_000
# Differences at which one pair of molecules repeats itself.
REPEATS = ("13C", "13C2", "Na-H", "K-H", "K-Na")
# Near ions are told apart in this many cells of two tolerances.
SATELLITES = 14

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class IonPairs:
    """Pairs of ions that are found together, and what it takes to count their differences.

    Parameters
    ----------
    mz
        m/z of the ions, ascending.
    low, high
        Lighter and heavier ion of each pair.
    parity
        Parity of the nominal mass of each ion.
    reach
        How far the mass defect of each ion may move, in Da.
    slope
        Change of the mass defect per dalton.
    tolerance
        Half the width of a window, in Da.
    repeats
        Differences at which one pair of molecules repeats itself.
    n_windows
        Number of windows that pairs are counted in.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.chem.ion_pairs import pair_ions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> pairs = pair_ions(
    ...     spectra, max_mass=3, tolerance=3, tolerance_unit="ppm", min_frequency=0.5, max_ions=200
    ... )
    >>> commonest = pairs.centres(pairs.counts(pairs.mz).argmax())
    >>> round(float(commonest), 2)  # 13C in place of 12C
    1.0
    """

    mz: Floats
    low: Ints
    high: Ints
    parity: Ints
    reach: Floats
    slope: float
    tolerance: float
    repeats: Floats
    n_windows: int

    @property
    def step(self) -> float:
        """Distance of neighbouring windows, Da."""
        return self.tolerance / STEPS

    def redraw(self, slope: float, rng: np.random.Generator) -> Floats:
        """Permute the mass defects, less their trend, locally; give the new m/z."""
        moved = self.mz + self.reach * rng.uniform(-1, 1, self.mz.size)
        other = np.empty(self.mz.size, dtype=np.int64)
        # Sorted by parity first: even nominal masses exchange with even ones, odd with odd.
        other[np.lexsort((self.mz, self.parity))] = np.lexsort((moved, self.parity))
        shift = (self.mz[other] - self.mz) * (1 - slope)
        drawn: Floats = self.mz + (shift - np.round(shift))
        return drawn

    def differences(self, mz: Floats) -> Floats:
        """Differences of the pairs at these m/z, without the repeats of a pair of molecules."""
        codes = _partner_codes(mz, self.repeats, self.tolerance)
        kept = (codes[self.low] & codes[self.high]) == 0
        difference: Floats = mz[self.high[kept]] - mz[self.low[kept]]
        return difference

    def counts(self, mz: Floats) -> Ints:
        """Pairs in each window, shape ``(n_windows,)``."""
        n_cells = self.n_windows + 2 * STEPS - 1
        cell = np.floor((self.differences(mz) - MIN_MASS) / self.step).astype(np.int64) + STEPS
        cell = cell[(cell >= 0) & (cell < n_cells)]
        total = np.zeros(n_cells + 1, dtype=np.int64)
        np.cumsum(np.bincount(cell, minlength=n_cells), out=total[1:])
        counts: Ints = total[2 * STEPS :] - total[: -2 * STEPS]
        return counts

    def centres(self, windows: Ints) -> Floats:
        """Mass difference at the middle of windows."""
        return np.asarray(MIN_MASS + windows * self.step, dtype=np.float64)


def pair_ions(
    spectra: Spectra,
    *,
    max_mass: float,
    tolerance: float,
    tolerance_unit: str,
    min_frequency: float,
    max_ions: int,
) -> IonPairs:
    """Choose the ions and pair those found together.

    Parameters as for `massgraph.discover_relations`. Raises ValueError for a tolerance that is no
    number above zero, too wide to tell mass defects apart, or too narrow to be searched.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.chem.ion_pairs import pair_ions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> pairs = pair_ions(
    ...     spectra, max_mass=20, tolerance=3, tolerance_unit="ppm", min_frequency=0.5, max_ions=200
    ... )
    >>> bool((pairs.mz[pairs.high] > pairs.mz[pairs.low]).all())
    True
    """
    mz, found, width = _choose_ions(spectra, tolerance, tolerance_unit, min_frequency, max_ions)
    given = f"tolerance {tolerance} {tolerance_unit}"
    if width > MAX_TOLERANCE:
        msg = f"{given} is {width:.2g} Da here; at most {MAX_TOLERANCE} Da tells mass defects"
        raise InputError(msg)
    n_windows = int(np.floor((max_mass - MIN_MASS) / width * STEPS)) + 1
    if n_windows > MAX_WINDOWS:
        msg = f"{given} is too narrow for differences up to {max_mass} Da: widen it or lower those"
        raise InputError(msg)
    low, high = _near_pairs(mz, max_mass + 1)
    together = _found_together(found, low, high)
    slope = _defect_slope(mz)
    return IonPairs(
        mz=mz,
        low=low[together],
        high=high[together],
        parity=_parity(mz, slope),
        reach=_reach(mz),
        slope=slope,
        tolerance=width,
        repeats=default_relations("positive").select(REPEATS).masses,
        n_windows=n_windows,
    )


def _choose_ions(
    spectra: Spectra, tolerance: float, unit: str, min_frequency: float, max_ions: int
) -> tuple[Floats, sp.csr_matrix, float]:
    """m/z of the ions used, pixels x ions matrix of where they are found, tolerance in Da."""
    axis, ion = spectra.align(tolerance, unit)
    width = tolerance_in_da(axis, tolerance, unit)
    found = sp.csr_matrix(
        (np.ones(ion.size, np.float32), ion, spectra.offsets),
        shape=(spectra.n_pixels, axis.size),
        copy=True,
    )
    found.sum_duplicates()
    found.data[:] = 1
    frequency = np.asarray(found.sum(axis=0), dtype=np.float64).ravel()
    intensity = np.bincount(ion, weights=spectra.intensity, minlength=axis.size)
    # An ion takes in peaks of up to two tolerances: within four another one may be its tail.
    # Frequency decides; among equally frequent ions intensity, then the lower m/z.
    strength = np.empty(axis.size)
    strength[np.lexsort((-axis, intensity, frequency))] = np.arange(1, axis.size + 1)
    frequent = frequency >= max(2.0, min_frequency * spectra.n_pixels)
    chosen = np.flatnonzero(frequent & _strongest_around(axis, strength, 4 * width))
    if chosen.size > max_ions:
        chosen = np.sort(chosen[np.argsort(-strength[chosen], kind="stable")[:max_ions]])
    # Without an ion nothing is found, whatever the width.
    middle = np.median(axis[chosen]) if chosen.size else 1000.0
    width = tolerance_in_da(np.array([middle]), tolerance, unit)
    return axis[chosen], found[:, chosen], float(width[0])


def _strongest_around(axis: Floats, strength: Floats, reach: Floats) -> NDArray[np.bool_]:
    """Ions that no stronger one is within reach of."""
    if axis.size == 0:
        return np.zeros(0, dtype=bool)
    left = np.searchsorted(axis, axis - reach)
    right = np.searchsorted(axis, axis + reach, side="right")
    bounds = np.column_stack((left, right)).ravel()
    maxima = np.maximum.reduceat(np.append(strength, 0.0), bounds)[::2]
    return strength >= maxima


def _near_pairs(mz: Floats, distance: float) -> tuple[Ints, Ints]:
    """All pairs of ascending m/z that are at most this far apart, as lower and upper index."""
    first = np.arange(1, mz.size + 1)
    count = np.searchsorted(mz, mz + distance, side="right") - first
    low = np.repeat(np.arange(mz.size), count)
    high = np.arange(low.size) + np.repeat(first - (np.cumsum(count) - count), count)
    return low, high


def _found_together(found: sp.csr_matrix, low: Ints, high: Ints) -> NDArray[np.bool_]:
    """Pairs of ions that share a pixel."""
    if found.shape[0] > MAX_PIXELS:
        found = found[np.linspace(0, found.shape[0] - 1, MAX_PIXELS).astype(np.int64)]
    shared = (found.T @ found).toarray() > 0
    return np.asarray(shared[low, high])


def _reach(mz: Floats) -> Floats:
    """How far each mass defect may move: the neighbourhood, or to enough ions."""
    index = np.arange(mz.size)
    below = mz - mz[np.maximum(index - MIN_NEIGHBOURS, 0)]
    above = mz[np.minimum(index + MIN_NEIGHBOURS, mz.size - 1)] - mz
    return np.maximum(NEIGHBOURHOOD, np.maximum(below, above))


def _defect_slope(mz: Floats) -> float:
    """Change of the mass defect per dalton: that which lines up differences up to 40 Da best."""
    low, high = _near_pairs(mz, 2 * NEIGHBOURHOOD)
    difference = mz[high] - mz[low]
    difference = 2 * np.pi * difference[difference > MIN_MASS]
    difference = difference[:: difference.size // MAX_DIFFERENCES + 1]
    best = 0.0
    for slopes in (SLOPES, SLOPES / 20):
        agreement = [np.cos(difference * (1 - best - slope)).sum() for slope in slopes]
        # Of equally good slopes (masses at integers, no mass at all) the one nearest to none.
        good = np.flatnonzero(np.max(agreement) - agreement <= 1e-9 * max(difference.size, 1))
        best += float(slopes[good[np.argmin(np.abs(best + slopes[good]))]])
    return best


def _parity(mz: Floats, slope: float) -> Ints:
    """Parity of the nominal masses: those of the masses less the trend and the mean mass defect."""
    straight = mz * (1 - slope)
    mean_defect = np.angle(np.exp(2j * np.pi * straight).sum()) / (2 * np.pi)
    nominal: Ints = np.round(straight - mean_defect).astype(np.int64)
    return nominal % 2


def _partner_codes(mz: Floats, repeats: Floats, tolerance: float) -> Ints:
    """Bits of each ion, one for each distance at which there is a lighter ion.

    The distances are the repeats, and those of near ions (side lobes, split peaks) in cells two
    tolerances wide, twice over and half a cell apart, so that like distances share a cell.
    """
    order = np.argsort(mz, kind="stable")
    ladder = mz[order]
    codes = np.zeros(mz.size, dtype=np.int64)
    for bit, repeat in enumerate(repeats):
        left = np.searchsorted(ladder, ladder - (repeat + tolerance))
        right = np.searchsorted(ladder, ladder - (repeat - tolerance), side="right")
        codes |= (right > left).astype(np.int64) << bit
    low, high = _near_pairs(ladder, 2 * SATELLITES * tolerance)
    cell = (ladder[high] - ladder[low]) / (2 * tolerance)
    for shift, first in ((0.0, repeats.size), (0.5, repeats.size + SATELLITES + 1)):
        bits = first + np.floor(cell + shift).astype(np.int64)
        np.bitwise_or.at(codes, high, np.left_shift(np.int64(1), bits))
    unsorted = np.empty_like(codes)
    unsorted[order] = codes
    return unsorted
