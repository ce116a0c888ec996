"""Degraded copies of training pixels: what a model learns to bear before it meets it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.data import degrade
from massgraph.data.spectra import Spectra

__all__ = ["degraded_copy", "weighing_copy"]

JITTER_PPM = 10.0  # largest jitter of a degraded copy
WEIGHING_BATCH_SD = 0.15  # of the log gain of an ion in a run


def degraded_copy(spectra: Spectra, rng: np.random.Generator) -> tuple[Spectra, NDArray[np.int64]]:
    """Spectra with faults, drawn anew for each pixel, and what befell each one.

    A third of the pixels lose peaks at random and a third their weakest ones (20 to 100 % kept);
    none loses all of them. Four in ten have their m/z jittered by a standard deviation of up to
    10 ppm.

    Returns
    -------
    spectra
        The same pixels with faults.
    fault
        0 where all peaks are left, 1 where some were lost at random, 2 where the weakest were.
    """
    n = spectra.n_pixels
    fate, kept = rng.random(n), rng.uniform(0.2, 1.0, n)
    worse = degrade.remove_peaks(spectra, np.where(fate < 1 / 3, kept, 1.0), rng)
    worse = degrade.keep_most_intense(worse, np.where(fate > 2 / 3, kept, 1.0))
    empty = worse.peak_counts == 0
    if empty.any():  # nothing can be learnt from a copy without peaks: as measured it is better
        worse = Spectra.concatenate([worse, spectra])[np.arange(n) + n * empty]
    sd = np.where(rng.random(n) < 0.4, rng.uniform(0, JITTER_PPM, n), 0.0)
    fault = np.where(empty, 0, np.where(fate < 1 / 3, 1, np.where(fate > 2 / 3, 2, 0)))
    return degrade.jitter_mz(worse, sd, "ppm", rng), fault


def weighing_copy(spectra: Spectra, y: NDArray[np.int64], rng: np.random.Generator) -> Spectra:
    """Spectra with every kind of fault, to weigh branches by how they bear what is to come.

    A `degraded_copy`; besides, a quarter of the pixels have the peaks of one of another class mixed
    in (up to 40 %), and the ions of each run have gains of their own, as those of a new run would.
    """
    worse, _ = degraded_copy(spectra, rng)
    n = spectra.n_pixels
    part = np.where(rng.random(n) < 0.25, rng.uniform(0, 0.4, n), 0.0)
    worse = degrade.mix_pixels(worse, y, part, rng)
    return degrade.batch_effect(worse, WEIGHING_BATCH_SD, rng)
