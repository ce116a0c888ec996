"""Spectra that a model does not know, made of ones that it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import massgraph as mg
from massgraph import degrade
from massgraph.data.spectra import Spectra

PROTON = 1.007276


def moved(spectra: Spectra, mz: np.ndarray) -> Spectra:
    """The same peaks at other m/z."""
    order = np.lexsort((mz, spectra.pixel_of_peak))
    return replace(spectra, mz=mz[order], intensity=spectra.intensity[order], axis=None)


def rounded(spectra: Spectra, step: float, offset: float = 0.0) -> Spectra:
    """Peaks at multiples of a step."""
    return moved(spectra, np.round(spectra.mz / step) * step + offset)


def random(spectra: Spectra) -> Spectra:
    """Peaks anywhere in the range."""
    rng = np.random.default_rng(0)
    return moved(spectra, rng.uniform(spectra.mz.min(), spectra.mz.max(), spectra.n_peaks))


def peptides(spectra: Spectra) -> Spectra:
    """The same nominal masses, with mass defects as peptides have them."""
    nominal = np.floor(spectra.mz)
    defect = (nominal * 4.95e-4 + 0.15 * (spectra.mz % 1.0 - 0.5)) % 1.0
    return moved(spectra, nominal + defect)


def undeclared(spectra: Spectra) -> Spectra:
    """As a file that does not say its polarity."""
    return replace(spectra, polarity=None)


def with_intensity(spectra: Spectra, change: Callable[[np.ndarray], np.ndarray]) -> Spectra:
    """The same peaks with other intensities."""
    return replace(spectra, intensity=change(spectra.intensity).astype(np.float32))


def other_lipids(polarity: str) -> Spectra:
    """An image of other lipids: of the other polarity, as a file that does not say so."""
    return undeclared(mg.simulate("tiny", n_runs=1, polarity=polarity, random_state=5).spectra)


FOREIGN: dict[str, tuple[Callable[[Spectra], Spectra], str]] = {
    "unit mass": (lambda x: rounded(x, 1.0), "m/z rounded to unit mass"),
    "unit mass, beside": (lambda x: rounded(x, 1.0, 0.05), "m/z rounded to unit mass"),
    "tenths": (lambda x: rounded(x, 0.1), "m/z rounded to tenths of a Dalton"),
    "900 Da more": (lambda x: degrade.shift_mz(x, 900.0, "Da"), "another m/z range: 1"),
    "137 Da more": (lambda x: degrade.shift_mz(x, 137.3123, "Da"), ""),
    "1.37 Da more": (lambda x: degrade.shift_mz(x, 1.37, "Da"), "all m/z are off by +1.3"),
    "two protons less": (
        lambda x: degrade.shift_mz(undeclared(x), -2 * PROTON, "Da"),
        "as for the other polarity",
    ),
    "neutral masses": (
        lambda x: degrade.shift_mz(x, -PROTON, "Da"),
        "as for neutral masses in place of m/z",
    ),
    "random": (random, "another sample, preparation or matrix"),
    "peptides": (peptides, ""),
    "other lipids, undeclared": (
        lambda _: other_lipids("negative"),
        "the other polarity, which the spectra do not declare, or another sample",
    ),
}
"""What is done to spectra, and words of the reason that is to be found; "" for any."""
