"""Degraded copies of training pixels, so that a model knows faults before it meets them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.data import degrade
from massgraph.data.spectra import Spectra

__all__ = ["degraded_copy", "weighing_copy"]

JITTER_PPM = 10.0  # largest jitter of a degraded copy
WEIGHING_BATCH_SD = 0.15  # of the log gain of an ion in a run


def degraded_copy(spectra: Spectra, rng: np.random.Generator) -> tuple[Spectra, NDArray[np.int64]]:
    """Draw faults anew for each pixel; return the degraded spectra and the fault of each.

    A third of the pixels lose peaks at random and a third their weakest ones (20 to 100 % kept);
    none loses all of them. Four in ten have their m/z jittered by a standard deviation of up to
    10 ppm.

    Returns
    -------
    spectra
        The same pixels with faults.
    fault
        0 where all peaks are left, 1 where some were lost at random, 2 where the weakest were.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.augmentation import degraded_copy
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> worse, fault = degraded_copy(spectra, np.random.default_rng(0))
    >>> bool((worse.peak_counts <= spectra.peak_counts).all()), sorted(set(fault.tolist()))
    (True, [0, 1, 2])
    """
    n = spectra.n_pixels
    fate, kept = rng.random(n), rng.uniform(0.2, 1.0, n)
    worse = degrade.remove_peaks(spectra, np.where(fate < 1 / 3, kept, 1.0), rng)
    worse = degrade.keep_most_intense(worse, np.where(fate > 2 / 3, kept, 1.0))
    empty = worse.peak_counts == 0
    if empty.any():  # a copy without peaks teaches nothing: the pixel as measured does
        worse = Spectra.concatenate([worse, spectra])[np.arange(n) + n * empty]
    sd = np.where(rng.random(n) < 0.4, rng.uniform(0, JITTER_PPM, n), 0.0)
    fault = np.where(empty, 0, np.where(fate < 1 / 3, 1, np.where(fate > 2 / 3, 2, 0)))
    return degrade.jitter_mz(worse, sd, "ppm", rng), fault


def weighing_copy(spectra: Spectra, y: NDArray[np.int64], rng: np.random.Generator) -> Spectra:
    """Degrade spectra by every kind of fault, to weigh branches by what they can bear.

    A `degraded_copy` in which, besides, a quarter of the pixels hold up to 40 % of a pixel of
    another class, and the ions of each run have gains of their own, as in a new run.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.augmentation import weighing_copy
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> codes = np.unique(simulation.truth, return_inverse=True)[1]
    >>> worse = weighing_copy(simulation.spectra, codes, np.random.default_rng(0))
    >>> bool((worse.peak_counts > simulation.spectra.peak_counts).any())
    True
    """
    worse, _ = degraded_copy(spectra, rng)
    n = spectra.n_pixels
    part = np.where(rng.random(n) < 0.25, rng.uniform(0, 0.4, n), 0.0)
    worse = degrade.mix_pixels(worse, y, part, rng)
    return degrade.batch_effect(worse, WEIGHING_BATCH_SD, rng)
