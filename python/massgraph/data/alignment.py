"""A common axis of ions for peak lists that scatter around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from massgraph._util.errors import InputError

__all__ = ["UNITS", "alignment_tolerance", "assign_to_axis", "find_axis", "tolerance_in_da"]

UNITS = ("ppm", "Da")

# Bins of the density are this many to a tolerance; the smoothing is half a tolerance wide.
BINS_PER_TOLERANCE = 8
LEAST_PPM = 5.0  # within which peaks are one ion, whatever the tolerance of mass differences


def tolerance_in_da(mz: NDArray[np.float64], tolerance: float, unit: str) -> NDArray[np.float64]:
    """Tolerance at each m/z, in Da.

    Raises
    ------
    ValueError
        For a tolerance that is not finite and above zero, or a unit other than "ppm" and "Da".

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.alignment import tolerance_in_da
    >>> tolerance_in_da(np.array([400.0, 800.0]), 5.0, "ppm").round(6).tolist()
    [0.002, 0.004]
    """
    if unit not in UNITS:
        msg = f"tolerance unit {unit!r} is none of {UNITS}"
        raise InputError(msg)
    if not (np.isfinite(tolerance) and tolerance > 0):
        msg = f"tolerance {tolerance} {unit} is not finite and above zero"
        raise InputError(msg)
    return mz * (tolerance * 1e-6) if unit == "ppm" else np.full_like(mz, tolerance)


def alignment_tolerance(tolerance: float, unit: str) -> tuple[float, str]:
    """Tolerance within which peaks count as one ion: that of mass differences, at least 5 ppm.

    Mass differences are between ions, which are means over many peaks and so far more exact than
    a single peak.

    Examples
    --------
    >>> from massgraph.data.alignment import alignment_tolerance
    >>> alignment_tolerance(1.0, "ppm")
    (5.0, 'ppm')
    """
    return (max(tolerance, LEAST_PPM) if unit == "ppm" else tolerance), unit


def find_axis(mz: NDArray[np.float64], tolerance: float, unit: str) -> NDArray[np.float64]:
    """Ions of a pool of peaks: ascending m/z, no peak farther than two tolerances from one.

    The density of the peaks is taken on a grid (of log m/z for ppm) in bins of an eighth of the
    tolerance and smoothed by a Gaussian of half the tolerance. Its maxima are the ions, each at the
    mean of the peaks within a tolerance of it; but where the windows of two maxima overlap, a
    maximum less than half as dense as the other is its tail. Peaks farther than two tolerances from
    every ion are pooled again until none is left.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.alignment import find_axis
    >>> peaks = np.array([500.0000, 500.0004, 500.0008, 703.5750])
    >>> find_axis(peaks, 5.0, "ppm").round(4).tolist()
    [500.0004, 703.575]
    """
    tolerance_in_da(mz[:1], tolerance, unit)
    left, axis = np.sort(mz), np.empty(0)
    while left.size:
        maxima = _density_maxima(left, tolerance, unit)
        nearest = assign_to_axis(left, maxima)
        # The tails of an ion belong to it, but do not say where it is.
        core = np.abs(left - maxima[nearest]) <= tolerance_in_da(left, tolerance, unit)
        if not core.any():  # a tolerance below the digits of the m/z: each value is an ion
            return np.union1d(axis, left)
        counts = np.bincount(nearest[core], minlength=maxima.size)
        sums = np.bincount(nearest[core], weights=left[core], minlength=maxima.size)
        axis = np.union1d(axis, sums[counts > 0] / counts[counts > 0])
        distance = np.abs(left - axis[assign_to_axis(left, axis)])
        # Rounding alone must put no peak out of reach: it would become an ion of its own.
        far = distance > tolerance_in_da(left, 2 * tolerance, unit) * (1 + 1e-9)
        if far.all():
            return np.union1d(axis, left)
        left = left[far]
    return axis


def _density_maxima(mz: NDArray[np.float64], tolerance: float, unit: str) -> NDArray[np.float64]:
    """Maxima of the smoothed density of ascending m/z."""
    step = (tolerance * 1e-6 if unit == "ppm" else tolerance) / BINS_PER_TOLERANCE
    place = np.log(mz) if unit == "ppm" else mz
    bins, counts = np.unique(np.floor((place - place[0]) / step), return_counts=True)
    # Wide empty stretches are shortened: no grid is larger than its peaks need.
    reach = 4 * BINS_PER_TOLERANCE
    gaps = np.minimum(np.diff(bins), 2 * reach).astype(np.int64)
    short = reach + np.concatenate(([0], np.cumsum(gaps)))
    density = np.zeros(int(short[-1]) + reach)
    density[short] = counts
    density = gaussian_filter1d(density, BINS_PER_TOLERANCE / 2, mode="constant")
    inner = density[1:-1]
    # A plateau counts once, at its left end.
    top = 1 + np.flatnonzero((inner > density[:-2]) & (inner >= density[2:]))
    top = top[_stand_out(top, density[top])]
    anchor = np.clip(np.searchsorted(short, top, side="right") - 1, 0, None)
    centres = place[0] + (bins[anchor] + (top - short[anchor]) + 0.5) * step
    maxima: NDArray[np.float64] = np.exp(centres) if unit == "ppm" else centres
    return maxima


def _stand_out(place: NDArray[np.int64], height: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Maxima that reach half of every other one within two tolerances of them."""
    keep = np.ones(place.size, dtype=bool)
    for step in range(1, place.size):
        near = place[step:] - place[:-step] <= 2 * BINS_PER_TOLERANCE
        if not near.any():
            break
        keep[step:] &= ~(near & (height[step:] < height[:-step] / 2))
        keep[:-step] &= ~(near & (height[:-step] < height[step:] / 2))
    return keep


def assign_to_axis(mz: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the nearest value of the ascending axis (ties: the lower), for each m/z.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.alignment import assign_to_axis
    >>> assign_to_axis(np.array([500.001, 699.9]), np.array([500.0, 600.0, 700.0])).tolist()
    [0, 2]
    """
    if axis.size == 0:
        return np.zeros(mz.shape, dtype=np.int64)
    middles = (axis[1:] + axis[:-1]) / 2
    return np.searchsorted(middles, mz, side="left")
