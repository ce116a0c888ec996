"""Degraded copies of training pixels, so that a model knows faults before it meets them."""

from __future__ import annotations

import numpy as np

from massgraph.data import degrade
from massgraph.data.spectra import Spectra

__all__ = ["degraded_copy"]

JITTER_PPM = 10.0  # largest jitter of a degraded copy


def degraded_copy(spectra: Spectra, rng: np.random.Generator) -> Spectra:
    """The same pixels with faults, drawn anew for each.

    A third of the pixels lose peaks at random and a third their weakest ones (20 to 100 % kept);
    none loses all of them. Four in ten have their m/z jittered by a standard deviation of up to
    10 ppm.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.augmentation import degraded_copy
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> worse = degraded_copy(spectra, np.random.default_rng(0))
    >>> bool((worse.peak_counts <= spectra.peak_counts).all())
    True
    """
    n = spectra.n_pixels
    fate, kept = rng.random(n), rng.uniform(0.2, 1.0, n)
    worse = degrade.remove_peaks(spectra, np.where(fate < 1 / 3, kept, 1.0), rng)
    worse = degrade.keep_most_intense(worse, np.where(fate > 2 / 3, kept, 1.0))
    empty = worse.peak_counts == 0
    if empty.any():  # a copy without peaks teaches nothing: the pixel as measured does
        worse = Spectra.concatenate([worse, spectra])[np.arange(n) + n * empty]
    sd = np.where(rng.random(n) < 0.4, rng.uniform(0, JITTER_PPM, n), 0.0)
    return degrade.jitter_mz(worse, sd, "ppm", rng)
