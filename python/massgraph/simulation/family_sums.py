"""Simulated spectra of which only the sum over a family of ions tells the classes apart.

After the simulation of mi-CNN (Guo et al., Bioinformatics 2020): the intensity of a molecule is
split at random between an ion, its partners with Na or K in place of a proton, and the one that
lost water. Which of them is high says little; what they add up to says all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra

__all__ = ["PARTNERS_DA", "simulate_family_sums"]

PARTNERS_DA = (0.0, 21.98194, 37.95588, -18.01056)
"""Mass differences of a family: the ion itself, Na for H, K for H, loss of water."""

MZ_RANGE = (400.0, 900.0)
SPACING_DA = 0.05  # ions nearer than this are drawn again
PIXEL_SD = 0.3  # of the log total of a family
RUN_SD = 0.1  # of the log gain of an ion in a run
JITTER_PPM = 1.0


def simulate_family_sums(
    n_per_class: int,
    *,
    n_families: int = 60,
    effect: float = 0.8,
    n_runs: int = 3,
    random_state: int | Sequence[int] | np.random.Generator = 0,
    families_from: int = 0,
) -> tuple[Spectra, NDArray[np.str_]]:
    """Simulate two classes that differ in the total of one family.

    Parameters
    ----------
    n_per_class
        Pixels of each class.
    n_families
        Families of four ions; all are split at random (Dirichlet with all parameters 1, anew for
        each pixel), and one of them has a higher total in class "high".
    effect
        Difference of its log total between the classes.
    n_runs
        Number of runs, each with its own gain for every ion.
    random_state
        Seed of the pixels and runs.
    families_from
        Seed of the m/z and of which family it is: the same for training and test.

    Returns
    -------
    spectra, labels
        Two times `n_per_class` pixels in random order, labelled "low" and "high".

    Raises
    ------
    ValueError
        For fewer than one pixel, family or run.

    Examples
    --------
    >>> from massgraph.simulation.family_sums import simulate_family_sums
    >>> spectra, labels = simulate_family_sums(10, n_families=5)
    >>> spectra.n_pixels, spectra.n_peaks, sorted(set(labels.tolist()))
    (20, 400, ['high', 'low'])
    """
    for name, value in (
        ("n_per_class", n_per_class),
        ("n_families", n_families),
        ("n_runs", n_runs),
    ):
        if value < 1:
            msg = f"{name} is {value}, need at least 1"
            raise InputError(msg)
    # A stream of its own: pixels of the same seed must not repeat the numbers of the families.
    mz, level = _families(n_families, np.random.default_rng([families_from, 7]))
    rng = np.random.default_rng(random_state)
    n = 2 * n_per_class
    labels = rng.permutation(np.repeat(["low", "high"], n_per_class))
    run = rng.integers(n_runs, size=n)
    total = level + PIXEL_SD * rng.standard_normal((n, n_families))
    total[:, 0] += effect * np.where(labels == "high", 0.5, -0.5)
    share = rng.dirichlet(np.ones(len(PARTNERS_DA)), size=(n, n_families))
    gain = np.exp(RUN_SD * rng.standard_normal((n_runs, n_families, len(PARTNERS_DA))))
    intensity = (np.exp(total)[:, :, None] * share * gain[run]).reshape(n, -1)
    order = np.argsort(mz.ravel())
    jitter = 1e-6 * JITTER_PPM * rng.standard_normal((n, mz.size))
    places = mz.ravel()[order] * (1 + jitter)
    # Ions are some fifty times the jitter apart, so that sorting swaps no two of them.
    peaks = [
        (np.sort(row), strength[order]) for row, strength in zip(places, intensity, strict=True)
    ]
    names = [f"run{code + 1}" for code in run]
    return Spectra.from_peaks(peaks, run=names, polarity="positive"), labels


def _families(
    n_families: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m/z ``(n_families, 4)``, no two ions near each other, and mean log totals."""
    found: list[NDArray[np.float64]] = []
    taken = np.empty(0)
    while len(found) < n_families:
        nominal = rng.integers(int(MZ_RANGE[0]), int(MZ_RANGE[1]))
        ions = nominal + 0.0005 * nominal + rng.uniform(0, 0.2) + np.array(PARTNERS_DA)
        if taken.size and np.abs(taken[:, None] - ions).min() < SPACING_DA:
            continue
        found.append(ions)
        taken = np.append(taken, ions)
    return np.stack(found), rng.normal(8.0, 0.8, size=n_families)
