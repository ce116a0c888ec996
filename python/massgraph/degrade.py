"""Faults of real measurements, acting on peak lists: used to train models that bear them.

Every strength may be one number or one per pixel. Graphs are built from the degraded peaks, so that
lost peaks lose their edges.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from massgraph._alignment import tolerance_in_da
from massgraph.spectra import Spectra

__all__ = ["jitter_mz", "keep_most_intense", "remove_peaks", "shift_mz"]


def remove_peaks(spectra: Spectra, keep: ArrayLike, rng: np.random.Generator) -> Spectra:
    """Keep each peak with probability `keep`.

    Raises
    ------
    ValueError
        For a probability outside [0, 1].
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
    """
    shares = _per_pixel(spectra, share, "share")
    _check_share(shares)
    limit = np.floor(spectra.peak_counts * shares + 1e-9)
    return spectra.keep_peaks(spectra.intensity_rank() < limit[spectra.pixel_of_peak])


def jitter_mz(spectra: Spectra, sd: ArrayLike, unit: str, rng: np.random.Generator) -> Spectra:
    """Add normal noise of standard deviation `sd` (``"ppm"`` or ``"Da"``) to every m/z.

    Raises
    ------
    ValueError
        For a deviation below zero or not finite, an unknown unit, or an m/z that falls to zero.
    """
    deviation = _per_pixel(spectra, sd, "sd")
    if not (deviation >= 0).all():
        msg = f"sd {deviation[~(deviation >= 0)][0]} is below zero or missing"
        raise ValueError(msg)
    scale = tolerance_in_da(spectra.mz, 1.0, unit)
    noise = rng.normal(size=spectra.n_peaks) * scale
    return _moved(spectra, noise * deviation[spectra.pixel_of_peak])


def shift_mz(spectra: Spectra, shift: ArrayLike, unit: str) -> Spectra:
    """Add a shift (``"ppm"`` or ``"Da"``) to every m/z of a pixel.

    Raises
    ------
    ValueError
        For a shift that is not finite, an unknown unit, or an m/z that falls to zero.
    """
    scale = tolerance_in_da(spectra.mz, 1.0, unit)
    return _moved(spectra, scale * _per_pixel(spectra, shift, "shift")[spectra.pixel_of_peak])


def _per_pixel(spectra: Spectra, value: ArrayLike, name: str) -> NDArray[np.float64]:
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (spectra.n_pixels,)):
        msg = f"{name} has shape {values.shape}, need one value or one per pixel"
        raise ValueError(msg)
    return np.broadcast_to(values, (spectra.n_pixels,))


def _check_share(values: NDArray[np.float64]) -> None:
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        msg = f"{values[wrong][0]} is not a share between 0 and 1"
        raise ValueError(msg)


def _moved(spectra: Spectra, by: NDArray[np.float64]) -> Spectra:
    """Peaks at other m/z, sorted again within each pixel; no longer on a shared axis."""
    mz = spectra.mz + by
    order = np.lexsort((mz, spectra.pixel_of_peak))
    return replace(spectra, mz=mz[order], intensity=spectra.intensity[order], axis=None)
