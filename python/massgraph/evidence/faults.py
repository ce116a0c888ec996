"""Faults of test pixels, by kind and strength: how an evaluation degrades spectra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph.data import degrade
from massgraph.data.spectra import Spectra

__all__ = ["FAULTS", "QUICK_FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """One fault at one strength.

    Parameters
    ----------
    kind, strength, unit
        What its name in a table is made of.
    apply
        Degrades test spectra, given their labels and a random generator.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.evidence.faults import Fault
    >>> half = Fault("keep", 50, "%", lambda s, y, rng: mg.degrade.remove_peaks(s, 0.5, rng))
    >>> half.name
    'keep 50 %'
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> half.apply(spectra, labels, np.random.default_rng(0)).n_peaks < spectra.n_peaks
    True
    """

    kind: str
    strength: float
    unit: str
    apply: Callable[[Spectra, NDArray[Any], np.random.Generator], Spectra]

    @property
    def name(self) -> str:
        """Name in a table, such as "jitter 5 mDa"."""
        return f"{self.kind} {self.strength:g} {self.unit}".strip() if self.unit else self.kind


def _fault(kind: str, strength: float) -> Fault:
    units = {"shift": "mDa", "jitter": "mDa", "drift": "mDa", "resolution": "mDa", "batch": "sd"}
    share = strength / 100
    # Mass errors are in Da; one shift is in ppm as well, since calibration looks for both.
    makers: dict[str, Callable[..., Spectra]] = {
        "clean": lambda s, y, rng: s,
        "shift": lambda s, y, rng: degrade.shift_mz(s, strength / 1e3, "Da"),
        "shift_ppm": lambda s, y, rng: degrade.shift_mz(s, strength, "ppm"),
        "drift": lambda s, y, rng: degrade.drift_mz(s, strength / 1e3, "Da"),
        "jitter": lambda s, y, rng: degrade.jitter_mz(s, strength / 1e3, "Da", rng),
        "keep": lambda s, y, rng: degrade.remove_peaks(s, share, rng),
        "top": lambda s, y, rng: degrade.keep_most_intense(s, share),
        "noise": lambda s, y, rng: degrade.add_noise_peaks(s, share, rng),
        "mix": lambda s, y, rng: degrade.mix_pixels(s, y, share, rng),
        "scale": lambda s, y, rng: degrade.scale_intensity(s, strength),
        "batch": lambda s, y, rng: degrade.batch_effect(s, strength, rng),
        "resolution": lambda s, y, rng: degrade.merge_peaks(s, strength / 1e3, "Da"),
    }
    unit = {"clean": "", "shift_ppm": "ppm", "scale": "x"}.get(kind, units.get(kind, "%"))
    return Fault("shift" if kind == "shift_ppm" else kind, strength, unit, makers[kind])


FAULTS = tuple(
    _fault(kind, strength)
    for kind, strengths in (
        ("clean", (0,)),
        ("shift", (5, 50, 200)),
        ("shift_ppm", (50,)),
        ("drift", (50,)),
        ("jitter", (1, 2, 5)),
        ("keep", (75, 50, 25)),
        ("top", (50, 25)),
        ("noise", (50,)),
        ("resolution", (20,)),
        ("scale", (0.2,)),
        ("batch", (0.2,)),
        ("mix", (30,)),
    )
    for strength in strengths
)
"""All faults of a full evaluation; "keep" removes peaks at random, "top" the weakest ones."""

QUICK_FAULTS = tuple(
    fault
    for fault in FAULTS
    if fault.name in ("clean", "shift 50 mDa", "jitter 5 mDa", "keep 50 %")
)
