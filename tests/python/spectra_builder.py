"""Small spectra for the tests of what is made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from massgraph.chem.relations import Relations, relations_from_masses
from massgraph.data.spectra import Spectra

# Near enough to each other for several candidates, and two that one pair of peaks can carry.
MASSES = {"13C": 1.00335, "H2": 2.01565, "18O": 2.00425, "13C2": 2.0067, "CH2": 14.01565}


def relations() -> Relations:
    return relations_from_masses(MASSES)


def random_spectra(
    seed: int, counts: ArrayLike, *, spread: float = 0.002, digits: int | None = None
) -> Spectra:
    """Pixels of these numbers of peaks, most of them a relation above another peak of the pixel.

    With `digits` the m/z are rounded, so that some are equal; intensities take few values, so that
    many are equal.
    """
    rng = np.random.default_rng(seed)
    masses = np.array(list(MASSES.values()))
    peaks = []
    for n in np.asarray(counts).tolist():
        mz: list[float] = []
        for _ in range(n):
            base = rng.uniform(200, 260)
            if mz and rng.random() < 0.8:
                base = rng.choice(mz) + rng.choice(masses) + rng.uniform(-spread, spread)
            mz.append(base if digits is None else round(base, digits))
        peaks.append((np.sort(mz), rng.integers(1, 6, n)))
    return Spectra.from_peaks(peaks)
