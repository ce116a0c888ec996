"""Faults of real measurements, done to peak lists: to train models that bear them, and to test.

Every strength may be one number or one per pixel. Graphs are built from the degraded peaks, so that
lost peaks lose their edges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError
from massgraph.data.alignment import tolerance_in_da
from massgraph.data.spectra import Spectra

__all__ = [
    "add_noise_peaks",
    "batch_effect",
    "drift_mz",
    "jitter_mz",
    "keep_most_intense",
    "merge_peaks",
    "mix_pixels",
    "remove_peaks",
    "scale_intensity",
    "shift_mz",
]

DRAWS = 30  # of another pixel, before all are looked at


def remove_peaks(spectra: Spectra, keep: ArrayLike, rng: np.random.Generator) -> Spectra:
    """Keep each peak with probability `keep`.

    Raises
    ------
    ValueError
        For a probability outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> half = mg.degrade.remove_peaks(spectra, 0.5, np.random.default_rng(0))
    >>> round(half.n_peaks / spectra.n_peaks, 1)
    0.5
    """
    probability = _per_pixel(spectra, keep, "keep")
    _check_share(probability)
    return spectra.keep_peaks(rng.random(spectra.n_peaks) < probability[spectra.pixel_of_peak])


def keep_most_intense(spectra: Spectra, share: ArrayLike) -> Spectra:
    """Keep the ``floor(n * share)`` most intense of the n peaks of each pixel.

    Raises
    ------
    ValueError
        For a share outside [0, 1].

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> top = mg.degrade.keep_most_intense(spectra, 0.25)
    >>> bool((top.peak_counts == spectra.peak_counts // 4).all())
    True
    """
    shares = _per_pixel(spectra, share, "share")
    _check_share(shares)
    # Of 100 peaks 0.29 are 29, though 100 * 0.29 is 28.999... in binary.
    limit = np.floor(spectra.peak_counts * shares + 1e-9)
    return spectra.keep_peaks(spectra.intensity_rank() < limit[spectra.pixel_of_peak])


def jitter_mz(spectra: Spectra, sd: ArrayLike, unit: str, rng: np.random.Generator) -> Spectra:
    """Add normal noise of standard deviation `sd` (``"ppm"`` or ``"Da"``) to every m/z.

    Raises
    ------
    ValueError
        For a deviation below zero or not finite, an unknown unit, or an m/z that falls to zero.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> moved = mg.degrade.jitter_mz(spectra, 2.0, "ppm", np.random.default_rng(0))
    >>> round(float(np.std(moved.mz / spectra.mz - 1) * 1e6), 1)
    2.0
    """
    deviation = _per_pixel(spectra, sd, "sd")
    if not (deviation >= 0).all():
        msg = f"sd {deviation[~(deviation >= 0)][0]} is below zero or missing"
        raise InputError(msg)
    scale = tolerance_in_da(spectra.mz, 1.0, unit)
    noise = rng.normal(size=spectra.n_peaks) * scale
    return _moved(spectra, noise * deviation[spectra.pixel_of_peak])


def shift_mz(spectra: Spectra, shift: ArrayLike, unit: str) -> Spectra:
    """Add a shift (``"ppm"`` or ``"Da"``) to every m/z of a pixel.

    Raises
    ------
    ValueError
        For a shift that is not finite, an unknown unit, or an m/z that falls to zero.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> moved = mg.degrade.shift_mz(spectra, 0.05, "Da")
    >>> round(float(moved.mz[0] - spectra.mz[0]), 4)
    0.05
    """
    scale = tolerance_in_da(spectra.mz, 1.0, unit)
    return _moved(spectra, scale * _per_pixel(spectra, shift, "shift")[spectra.pixel_of_peak])


def drift_mz(spectra: Spectra, span: float, unit: str) -> Spectra:
    """Shift m/z by an error that grows evenly over a run, from ``-span / 2`` to ``span / 2``.

    Pixels are taken in their order, which is that of the measurement; `unit` is ``"ppm"`` or
    ``"Da"``.

    Raises
    ------
    ValueError
        For a span that is not finite, an unknown unit, or an m/z that falls to zero.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> moved = mg.degrade.drift_mz(spectra, 0.05, "Da")
    >>> [round(float(moved.mz[peak] - spectra.mz[peak]), 4) for peak in (0, -1)]
    [-0.025, 0.025]
    """
    run = np.asarray(spectra.run_codes)
    order = np.argsort(run, kind="stable")
    counts = np.bincount(run)
    place = np.empty(spectra.n_pixels)
    place[order] = np.arange(spectra.n_pixels) - np.repeat(np.cumsum(counts) - counts, counts)
    return shift_mz(spectra, span * (place / np.maximum(counts[run] - 1, 1) - 0.5), unit)


def add_noise_peaks(spectra: Spectra, share: ArrayLike, rng: np.random.Generator) -> Spectra:
    """Add random peaks: in the mean, `share` times as many as a pixel has (a Poisson number).

    Their m/z are even between the lowest and highest of all; their intensities are those of random
    peaks among the weaker half of the pixel.

    Raises
    ------
    ValueError
        For a share below zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> noisy = mg.degrade.add_noise_peaks(spectra, 0.5, np.random.default_rng(0))
    >>> round(noisy.n_peaks / spectra.n_peaks, 1)
    1.5
    """
    wanted = _positive(spectra, share, "share", zero=True) * spectra.peak_counts
    if spectra.n_peaks == 0:
        return spectra
    counts = rng.poisson(wanted)
    pixel = np.repeat(np.arange(spectra.n_pixels), counts)
    mz = rng.uniform(spectra.mz.min(), spectra.mz.max(), pixel.size)
    weakest_first = np.lexsort((spectra.intensity, spectra.pixel_of_peak))
    rank = (rng.random(pixel.size) * ((spectra.peak_counts[pixel] + 1) // 2)).astype(np.int64)
    intensity = spectra.intensity[weakest_first[spectra.offsets[:-1][pixel] + rank]]
    return _with_peaks(spectra, mz, intensity, pixel)


def scale_intensity(spectra: Spectra, factor: ArrayLike) -> Spectra:
    """Multiply the intensities of each pixel by a factor.

    Raises
    ------
    ValueError
        For a factor that is not finite and above zero, or that takes an intensity out of range.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> weak = mg.degrade.scale_intensity(spectra, 0.2)
    >>> round(float(weak.tic()[0] / spectra.tic()[0]), 3)
    0.2
    """
    factors = _positive(spectra, factor, "factor")
    # `replace` checks the result: a float32 that overflows or falls to zero is no intensity.
    return replace(
        spectra,
        intensity=(spectra.intensity * factors[spectra.pixel_of_peak]).astype(np.float32),
    )


def batch_effect(
    spectra: Spectra, sd: float, rng: np.random.Generator, *, tolerance_ppm: float = 5.0
) -> Spectra:
    """Multiply the intensities of each ion by a log-normal gain of its own in each run.

    Parameters
    ----------
    spectra
        The peaks.
    sd
        Standard deviation of the log gain.
    rng
        Source of the gains.
    tolerance_ppm
        Half the width within which peaks are of one ion.

    Raises
    ------
    ValueError
        For a deviation below zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> other = mg.degrade.batch_effect(spectra, 0.2, np.random.default_rng(0))
    >>> gain = np.log(other.intensity / spectra.intensity)
    >>> round(float(gain.std()), 1)
    0.2
    """
    if not 0 <= sd < np.inf:
        msg = f"sd {sd} is below zero or not finite"
        raise InputError(msg)
    # The gain is the instrument's: peaks of one ion share it in all pixels of a run.
    axis, ion = spectra.align(tolerance_ppm, "ppm")
    run = np.asarray(spectra.run_codes)[spectra.pixel_of_peak]
    gain = np.exp(sd * rng.standard_normal((len(spectra.run_names), axis.size)))
    return replace(spectra, intensity=(spectra.intensity * gain[run, ion]).astype(np.float32))


def merge_peaks(spectra: Spectra, distance: float, unit: str) -> Spectra:
    """Merge peaks nearer to the next than `distance`, as a worse resolution would.

    A merged peak has the sum of the intensities, and their weighted mean m/z.

    Raises
    ------
    ValueError
        For a distance that is not finite and above zero, or an unknown unit.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> coarse = mg.degrade.merge_peaks(spectra, 0.1, "Da")
    >>> coarse.n_peaks < spectra.n_peaks
    True
    """
    reach = tolerance_in_da(spectra.mz, distance, unit)
    new = np.ones(spectra.n_peaks, dtype=bool)
    new[1:] = np.diff(spectra.mz) > reach[1:]
    # The first peak of a pixel is a new one, however near it is to the last of the pixel before.
    new[spectra.offsets[:-1][spectra.peak_counts > 0]] = True
    group = np.cumsum(new) - 1
    intensity = np.bincount(group, weights=spectra.intensity)
    mz = np.bincount(group, weights=spectra.intensity * spectra.mz) / np.maximum(intensity, 1e-300)
    merged = np.concatenate(([0], np.cumsum(new)))
    return replace(
        spectra,
        mz=mz,
        intensity=intensity.astype(np.float32),
        offsets=merged[spectra.offsets],
        axis=None,
    )


def mix_pixels(
    spectra: Spectra, labels: ArrayLike, weight: ArrayLike, rng: np.random.Generator
) -> Spectra:
    """Add to each labelled pixel the peaks of one of another class, times `weight`.

    The other pixel is of the same run where there is one. Pixels without a label (None, NaN) and
    pixels without another class stay as they are.

    Raises
    ------
    ValueError
        Unless there is one label per pixel, or for a weight below zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> mixed = mg.degrade.mix_pixels(spectra, labels, 0.3, np.random.default_rng(0))
    >>> bool((mixed.tic() >= spectra.tic()).all())
    True
    """
    weights = _positive(spectra, weight, "weight", zero=True)
    values = np.asarray(labels, dtype=object)
    if values.shape != (spectra.n_pixels,):
        msg = f"labels have shape {values.shape}, need one for each of {spectra.n_pixels} pixels"
        raise InputError(msg)
    codes = np.asarray(pd.factorize(values)[0])
    run = np.asarray(spectra.run_codes)
    donor = _others(np.flatnonzero((codes >= 0) & (weights > 0)), codes, run, rng)
    # A pixel that is its own donor has no other: its peaks must not come twice.
    given = np.flatnonzero(donor != np.arange(spectra.n_pixels))
    added = spectra[donor[given]]
    receiver = given[added.pixel_of_peak]
    return _with_peaks(spectra, added.mz, added.intensity * weights[receiver], receiver)


def _others(
    pixels: NDArray[np.int64],
    codes: NDArray[np.int64],
    run: NDArray[np.int32],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Donor of each pixel: itself, but for `pixels` a random one of another class.

    It is from the same run where that has one.
    """
    donor = np.arange(codes.size)
    order = np.argsort(run, kind="stable")
    counts = np.bincount(run, minlength=1)
    first = np.cumsum(counts) - counts
    left = pixels
    for _ in range(DRAWS):  # nearly all are found by chance
        place = (rng.random(left.size) * counts[run[left]]).astype(np.int64)
        drawn = order[first[run[left]] + place]
        fits = (codes[drawn] >= 0) & (codes[drawn] != codes[left])
        donor[left[fits]] = drawn[fits]
        left = left[~fits]
    for pixel in left:
        other = np.flatnonzero((codes >= 0) & (codes != codes[pixel]))
        near = other[run[other] == run[pixel]]
        choice = near if near.size else other
        if choice.size:
            donor[pixel] = rng.choice(choice)
    return donor


def _with_peaks(
    spectra: Spectra,
    mz: NDArray[np.float64],
    intensity: NDArray[np.floating[Any]],
    pixel: NDArray[np.int64],
) -> Spectra:
    """The peaks of the spectra and these."""
    joined_pixel = np.append(spectra.pixel_of_peak, pixel)
    joined_mz = np.append(spectra.mz, mz)
    order = np.lexsort((joined_mz, joined_pixel))
    counts = np.bincount(joined_pixel, minlength=spectra.n_pixels)
    return replace(
        spectra,
        mz=joined_mz[order],
        intensity=np.append(spectra.intensity, intensity).astype(np.float32)[order],
        offsets=np.concatenate(([0], np.cumsum(counts))),
        axis=None,
    )


def _positive(
    spectra: Spectra, value: ArrayLike, name: str, *, zero: bool = False
) -> NDArray[np.float64]:
    values = _per_pixel(spectra, value, name)
    wrong = ~(np.isfinite(values) & ((values >= 0) if zero else (values > 0)))
    if wrong.any():
        msg = f"{name} {values[wrong][0]} is not finite and above zero"
        raise InputError(msg)
    return values


def _per_pixel(spectra: Spectra, value: ArrayLike, name: str) -> NDArray[np.float64]:
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (spectra.n_pixels,)):
        msg = f"{name} has shape {values.shape}, need one value or one per pixel"
        raise InputError(msg)
    return np.broadcast_to(values, (spectra.n_pixels,))


def _check_share(values: NDArray[np.float64]) -> None:
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        msg = f"{values[wrong][0]} is not a share between 0 and 1"
        raise InputError(msg)


def _moved(spectra: Spectra, by: NDArray[np.float64]) -> Spectra:
    """Peaks at other m/z, sorted again within each pixel; no longer on a shared axis."""
    mz = spectra.mz + by
    order = np.lexsort((mz, spectra.pixel_of_peak))
    return replace(spectra, mz=mz[order], intensity=spectra.intensity[order], axis=None)
