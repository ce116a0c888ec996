"""The data's own mass axis: its ions, how common they are, and soft assignment of peaks to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra
from massgraph.encode.calibration import Calibration, RunErrors, calibrate, run_errors
from massgraph.encode.gains import FoldGains, RunGains

__all__ = ["MOST_IONS", "NEAR", "Assignment", "CalibratedSpectra", "MassAxis", "corrected"]

Floats = NDArray[np.float64]

NEAR = 4  # ions that a peak may belong to: two below and two above it
MOST_IONS = 4000  # the most common ones: bounds the size of discriminants
AXIS_ERROR_DA = 8e-4  # how well an ion's place is known
NOTHING = 0.02  # weight of a peak being none of the ions
SNAP = 0.4  # a peak that belongs to an ion by more than this takes its m/z


class Assignment(NamedTuple):
    """Ions near each peak, int64 ``(n_peaks, NEAR)``, and how far it belongs to each, float32.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> ion, weight = axis.assign(axis.calibrate(spectra))
    >>> ion.shape == (spectra.n_peaks, 4), bool(weight.sum(axis=1).max() < 1)
    (True, True)
    """

    ion: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CalibratedSpectra:
    """Spectra whose mass error is taken off.

    Parameters
    ----------
    spectra
        The peaks, at their calibrated m/z.
    width
        The mass error that is left, in Da, shape ``(n_pixels,)``.
    gains
        What the amounts of ions are divided by, where runs differ in it.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> calibrated = learn_axis(spectra).calibrate(spectra)
    >>> calibrated[:10].spectra.n_pixels, calibrated[:10].width.shape
    (10, (10,))
    """

    spectra: Spectra
    width: Floats
    gains: RunGains | FoldGains | None = None

    def __getitem__(
        self, pixels: slice | NDArray[np.int64] | NDArray[np.bool_]
    ) -> CalibratedSpectra:
        gains = None if self.gains is None else self.gains[pixels]
        return CalibratedSpectra(self.spectra[pixels], self.width[pixels], gains)


@dataclass(frozen=True, eq=False)
class MassAxis:
    """Ions that a model knows.

    Parameters
    ----------
    mz
        Ascending m/z, float64, shape ``(n_ions,)``.
    presence
        Share of the pixels with the ion, shape ``(n_ions,)``.
    anchor
        bool, shape ``(n_ions,)``: the ions that spectra are calibrated by.
    level
        Mean log intensity where present, less the pixel's own mean deviation from these levels,
        shape ``(n_ions,)``: the usual spectrum, up to a constant.
    width
        Standard deviation of the peaks around their ions in the training pixels, in Da.
    shift
        Largest mass error that was taken off a training run, in Da.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> shifted = mg.degrade.shift_mz(spectra, 0.05, "Da")
    >>> back = axis.calibrate(shifted).spectra
    >>> bool(np.median(np.abs(back.mz - spectra.mz)) < 0.002)
    True
    """

    mz: Floats
    presence: Floats
    anchor: NDArray[np.bool_]
    level: Floats
    width: float
    shift: float

    def __len__(self) -> int:
        return len(self.mz)

    def summary(self) -> dict[str, float]:
        """What was estimated from the data, by the names of summaries."""
        return {
            "axis_ions": len(self),
            "axis_anchors": int(self.anchor.sum()),
            "mass_width_mda": round(self.width * 1e3, 4),
            "largest_mass_shift_mda": round(self.shift * 1e3, 4),
        }

    def run_errors(self, spectra: Spectra) -> RunErrors:
        """Mass errors of runs: see `massgraph.encode.calibration.run_errors`."""
        return run_errors(spectra, self.mz[self.anchor])

    def calibrate(self, spectra: Spectra, runs: RunErrors | None = None) -> CalibratedSpectra:
        """Take the mass error off; without the errors of `runs` the spectra must be whole runs."""
        calibration = calibrate(spectra, self.mz[self.anchor], runs)
        return CalibratedSpectra(corrected(spectra, calibration), calibration.width)

    def assign(self, calibrated: CalibratedSpectra) -> Assignment:
        """Soft assignment of each peak to the ions near it.

        With d the distance and s the width joined with the error of the axis,
        ``a_ik = presence_k exp(-d^2 / 2 s^2) / (sum_k presence_k exp(...) + 0.02)``.
        """
        spectra = calibrated.spectra
        right = np.searchsorted(self.mz, spectra.mz)
        ion = right[:, None] + np.arange(-(NEAR // 2), NEAR // 2)
        exists = (ion >= 0) & (ion < len(self.mz))
        ion = np.clip(ion, 0, max(len(self.mz) - 1, 0))
        if len(self.mz) == 0:
            return Assignment(ion, np.zeros(ion.shape, dtype=np.float32))
        scale = np.hypot(calibrated.width, AXIS_ERROR_DA)[spectra.pixel_of_peak]
        distance = (spectra.mz[:, None] - self.mz[ion]) / scale[:, None]
        likely = self.presence[ion] * np.exp(-0.5 * distance**2) * exists
        weight = likely / (likely.sum(axis=1, keepdims=True) + NOTHING)
        return Assignment(ion, weight.astype(np.float32))

    def ion_of(self, mz: Floats) -> NDArray[np.int64]:
        """The ion that each m/z stands for, where there is no mass error; -1 for none.

        Parameters
        ----------
        mz
            In any order, shape ``(n,)``.
        """
        order = np.argsort(mz)
        pixel = Spectra.from_arrays(mz[order], np.ones(len(mz)), [0, len(mz)])
        near = self.assign(CalibratedSpectra(pixel, np.array([self.width])))
        best = np.argmax(near.weight, axis=1)[:, None]
        ion = np.take_along_axis(near.ion, best, axis=1)[:, 0]
        sure = np.take_along_axis(near.weight, best, axis=1)[:, 0] > SNAP
        found = np.full(len(mz), -1, dtype=np.int64)
        found[order] = np.where(sure, ion, -1)
        return found

    def snap(self, calibrated: CalibratedSpectra, assignment: Assignment) -> Spectra:
        """The same peaks, those that belong to an ion at its m/z; their order is kept."""
        spectra = calibrated.spectra
        if len(self.mz) == 0 or spectra.n_peaks == 0:
            return spectra
        best = np.argmax(assignment.weight, axis=1)
        rows = np.arange(spectra.n_peaks)
        mz = np.where(
            assignment.weight[rows, best] > SNAP, self.mz[assignment.ion[rows, best]], spectra.mz
        )
        first = np.zeros(spectra.n_peaks, dtype=bool)
        first[spectra.offsets[:-1][spectra.peak_counts > 0]] = True
        # One that snaps may pass one that does not: m/z must ascend, and the order of peaks stay.
        while (falls := (np.diff(mz, prepend=mz[0]) < 0) & ~first).any():
            mz[falls] = mz[np.flatnonzero(falls) - 1]
        return spectra._derive(mz=mz, axis=None)


def corrected(spectra: Spectra, calibration: Calibration) -> Spectra:
    """Take off the mass error that was found; the result is no longer on a shared axis.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.axis import corrected
    >>> from massgraph.encode.calibration import calibrate
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> shifted = mg.degrade.shift_mz(simulation.spectra, 0.05, "Da")
    >>> back = corrected(shifted, calibrate(shifted, simulation.axis))
    >>> bool((abs(back.mz - simulation.spectra.mz) < 0.005).all())
    True
    """
    mz = np.maximum(spectra.mz - calibration.error(spectra), 1e-3)
    return spectra._derive(mz=mz, axis=None)
