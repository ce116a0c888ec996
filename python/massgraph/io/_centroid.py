"""Profile spectra: telling them from centroids, and picking their peaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

__all__ = ["centroid", "looks_like_peaks", "looks_like_profile"]

FloatArray = NDArray[np.float64]

# Standard deviations above the noise that a peak must rise.
SIGNAL_TO_NOISE = 3.0
# 1.4826 times the median absolute deviation is the standard deviation of normal noise.
MAD_TO_SD = 1.4826
# Points farther apart than this many times the local spacing have points left out between them.
GAP = 1.8
# Share of even gaps that peaks stay below. By chance one in twenty is even, of the three points
# that a peak of a profile has at least one in three.
EVEN_PEAKS = 0.15
# Points on either side within which a peak's prominence is judged.
REACH = 100


def looks_like_profile(mz: FloatArray) -> bool | None:
    """Judge from its m/z alone whether a spectrum is a sampled profile.

    A profile is sampled evenly and densely: neighbouring gaps are nearly equal and small. The gaps
    between centroids vary, or are as wide as isotopes or nominal masses lie apart.

    Parameters
    ----------
    mz
        Ascending m/z of one spectrum.

    Returns
    -------
    bool or None
        None where there are fewer than 20 points to judge by.
    """
    gaps = np.diff(mz)
    gaps = gaps[gaps > 0]
    if gaps.size < 20:
        return None
    even = np.abs(np.diff(gaps)) < 0.1 * gaps[:-1]
    spacing = float(np.median(gaps))
    dense = spacing < 0.3 or spacing < 2e-4 * float(np.median(mz))
    return bool(dense and even.mean() > 0.5)


def looks_like_peaks(mz: FloatArray) -> bool:
    """Judge from its m/z alone whether the peaks of a spectrum have been picked already.

    Of the points of a profile, those of one peak at least are sampled evenly, also where all
    others were left out; of peaks, hardly any neighbouring gaps are alike. In between nothing is
    certain: isotopes lie evenly, too.

    Parameters
    ----------
    mz
        Ascending m/z of one spectrum.
    """
    gaps = np.diff(mz)
    gaps = gaps[gaps > 0]
    if gaps.size < 20:
        return False
    even = np.abs(np.diff(gaps)) < 0.1 * gaps[:-1]
    return bool(even.mean() < EVEN_PEAKS)


def centroid(
    mz: FloatArray,
    intensity: FloatArray,
    offsets: NDArray[np.int64],
    profile: NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Pick the peaks of profile spectra.

    Parameters
    ----------
    mz, intensity
        Concatenated profile spectra, m/z ascending within each, shape ``(n_points,)``.
    offsets
        Where each spectrum begins, shape ``(n_pixels + 1,)``.
    profile
        Which spectra are profiles, shape ``(n_pixels,)``; the others stay as they are. Default:
        all.

    Returns
    -------
    mz, intensity, offsets
        The peaks in the same form.

    Notes
    -----
    A peak is a local maximum that rises three standard deviations of the noise above the median,
    and as far above the valleys that part it from higher maxima within 100 points. The noise is
    1.4826 times the median absolute deviation of the spectrum, taken over all its points and those
    left out: many instruments do not write points without signal, which shows as gaps in the
    sampling and is counted as zeros. Where the instrument has removed the noise, median and noise
    are hence zero and every maximum is a peak.

    The m/z of a peak is the vertex of the parabola through its top three points, for unequal
    spacing (Press et al., Numerical Recipes, 3rd ed., equation 10.3.1); its intensity is that of
    the highest point. At the rim of a gap the m/z is that of the highest point.
    """
    picking = np.ones(offsets.size - 1, dtype=bool) if profile is None else profile
    picked = [
        (_centroid_one if pick else _as_it_is)(mz[start:stop], intensity[start:stop])
        for start, stop, pick in zip(
            offsets[:-1].tolist(), offsets[1:].tolist(), picking.tolist(), strict=True
        )
    ]
    counts = [len(one) for one, _ in picked]
    return (
        np.concatenate([np.empty(0), *(one for one, _ in picked)]),
        np.concatenate([np.empty(0), *(one for _, one in picked)]),
        np.concatenate(([0], np.cumsum(counts, dtype=np.int64))),
    )


def _as_it_is(mz: FloatArray, intensity: FloatArray) -> tuple[FloatArray, FloatArray]:
    return mz, intensity


def _centroid_one(mz: FloatArray, intensity: FloatArray) -> tuple[FloatArray, FloatArray]:
    if not mz.size:
        return mz, intensity
    missing = _left_out(mz)
    floor, noise = _noise(intensity, int(missing.sum()))
    # A zero in every gap and at both ends lets a peak at a rim fall off on both sides.
    at = np.arange(mz.size) + 1 + np.concatenate(([0], np.cumsum(missing > 0)))
    padded = np.zeros(at[-1] + 2)
    padded[at] = intensity
    peaks, _ = find_peaks(
        padded,
        height=max(floor + SIGNAL_TO_NOISE * noise, np.finfo(float).tiny),
        prominence=SIGNAL_TO_NOISE * noise,
        wlen=2 * REACH + 1,
    )
    top = np.searchsorted(at, peaks)
    return _vertex(mz, intensity, at, top), intensity[top]


def _left_out(mz: FloatArray) -> NDArray[np.int64]:
    """Count, for each gap between points, the points that an even sampling would have there."""
    gaps = np.diff(mz)
    if gaps.size < 2:
        return np.zeros(gaps.size, dtype=np.int64)
    around = np.minimum(np.r_[gaps[1:], np.inf], np.r_[np.inf, gaps[:-1]])
    wide = gaps > GAP * around
    missing = np.zeros(gaps.size, dtype=np.int64)
    missing[wide] = np.minimum(np.round(gaps[wide] / around[wide]) - 1, 1e9).astype(np.int64)
    return np.where(wide, np.maximum(missing, 1), 0)


def _noise(intensity: FloatArray, zeros: int) -> tuple[float, float]:
    """Median and robust standard deviation of a spectrum with so many zeros added."""
    if zeros >= intensity.size:
        return 0.0, 0.0
    values = np.concatenate((intensity, np.zeros(zeros)))
    middle = float(np.median(values))
    return middle, MAD_TO_SD * float(np.median(np.abs(values - middle)))


def _vertex(
    mz: FloatArray, intensity: FloatArray, at: NDArray[np.int64], top: NDArray[np.int64]
) -> FloatArray:
    """m/z of the vertex of the parabola through each top point and its two neighbours."""
    picked = mz[top].copy()
    inner = (top > 0) & (top < mz.size - 1)
    inner[inner] = (at[top[inner] + 1] - at[top[inner] - 1]) == 2
    b = top[inner]
    left, right = mz[b] - mz[b - 1], mz[b] - mz[b + 1]
    # Heights fall from the top on both sides, at least on one of them: the divisor is not zero
    # unless the top is flat, and a flat top stays where it is.
    fall_right = intensity[b] - intensity[b + 1]
    fall_left = intensity[b] - intensity[b - 1]
    divisor = left * fall_right - right * fall_left
    shift = np.zeros(b.size)
    np.divide(
        0.5 * (left**2 * fall_right - right**2 * fall_left), divisor, out=shift, where=divisor > 0
    )
    picked[inner] = mz[b] - shift
    return picked
