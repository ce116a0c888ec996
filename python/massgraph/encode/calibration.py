"""Mass calibration of peak lists against known ions, per pixel: shift, slope and width.

The mode of the differences between peaks and ions finds a shift however large; expectation
maximisation of a Gaussian (peaks of the ions) on a uniform background (all other peaks) then gives
it exactly, together with the width by which the peaks scatter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from massgraph.data.alignment import assign_to_axis
from massgraph.data.spectra import Spectra

__all__ = ["Calibration", "RunErrors", "calibrate", "run_errors", "sample_of_runs"]

Floats = NDArray[np.float64]

REACH_DA = 0.3  # largest shift that is looked for
WINDOW_DA = 0.02  # width of the uniform background on which the Gaussian of an ion stands
MODE_PEAKS = 200  # most intense peaks of a pixel, among which the mode is sought
OWN_MODE_PEAKS = 100  # fewer peaks: the pixel starts from the mode of its run
RUN_PIXELS = 300  # evenly spread, that a run's error is estimated from; up to twice as many
BIN_DA = 1e-3
STEPS = 10
START_WINDOWS = 3  # a mode is wrong by less than this many windows
SMALLEST_WIDTH_DA = 3e-4
# What is believed before a pixel is seen, in numbers of peaks: the start of its shift, the slope
# of its run (over MASS_SPREAD), and the width of its run.
PRIOR_SHIFT, PRIOR_SLOPE, PRIOR_WIDTH, MASS_SPREAD = 4.0, 30.0, 20.0, 150.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Mass error of each pixel.

    Parameters
    ----------
    shift
        Error at m/z `centre` in Da, float64, shape ``(n_pixels,)``.
    slope
        Growth of the error with m/z (1e-6 is a ppm), shape ``(n_pixels,)``.
    width
        Standard deviation of the peaks around their ions in Da, shape ``(n_pixels,)``.
    centre
        m/z at which the error is `shift`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.calibration import calibrate
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> calibration = calibrate(simulation.spectra, simulation.axis)
    >>> calibration.error(simulation.spectra).shape == simulation.spectra.mz.shape
    True
    """

    shift: Floats
    slope: Floats
    width: Floats
    centre: float

    def error(self, spectra: Spectra) -> Floats:
        """Mass error of each peak in Da, shape ``(n_peaks,)``."""
        pixel = spectra.pixel_of_peak
        return self.shift[pixel] + self.slope[pixel] * (spectra.mz - self.centre)


@dataclass(frozen=True, eq=False)
class RunErrors:
    """Mass error of whole runs, which their pixels of few peaks share.

    Parameters
    ----------
    names
        Names of the runs, ascending.
    calibration
        One row per run.
    relative
        bool, shape ``(n_runs,)``: whether the run's error is one in ppm, not in Da.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.calibration import run_errors
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> errors = run_errors(simulation.spectra, simulation.axis)
    >>> errors.names, errors.calibration.shift.shape
    (('run1',), (1,))
    """

    names: tuple[str, ...]
    calibration: Calibration
    relative: NDArray[np.bool_]


def sample_of_runs(run: NDArray[np.str_], most: int = RUN_PIXELS) -> NDArray[np.int64]:
    """Evenly spread pixels of each run, by the run of each pixel: `most`, or up to twice as many.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.encode.calibration import sample_of_runs
    >>> run = np.repeat(["slide1", "slide2"], [1000, 3])
    >>> sample_of_runs(run)[-4:].tolist()
    [999, 1000, 1001, 1002]
    """
    found = []
    for name in np.unique(run):
        rows = np.flatnonzero(run == name)
        found.append(rows[:: max(rows.size // most, 1)])
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def run_errors(spectra: Spectra, ions: Floats) -> RunErrors:
    """Mass error of each run, from evenly spread pixels of it.

    Parameters
    ----------
    spectra
        Peak lists; all of a run, or its pixels of `sample_of_runs`, which gives the same.
    ions
        Ascending m/z of ions that are known to be common, shape ``(n_ions,)``.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.calibration import run_errors
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> shifted = mg.degrade.shift_mz(simulation.spectra, 0.05, "Da")
    >>> run_errors(shifted, simulation.axis).calibration.shift.round(2).tolist()
    [0.05]
    """
    sample = spectra[sample_of_runs(spectra.run)]
    return _run_errors(sample, _strongest(sample), ions)


def _run_errors(sample: Spectra, top: Spectra, ions: Floats) -> RunErrors:
    """Of some pixels of each run, and the most intense peaks of these."""
    names, run = np.unique(sample.run, return_inverse=True)
    centre = float(np.mean(ions)) if ions.size else 0.0
    zero = np.zeros(names.size)
    begin = Calibration(zero, zero.copy(), np.full(names.size, 2e-3), centre)
    relative = np.zeros(names.size, dtype=bool)
    if ions.size and sample.n_peaks:
        for code in range(names.size):
            begin.shift[code], begin.slope[code], relative[code] = _mode_of_run(
                top[run == code], ions, centre
            )
        begin = _fit(sample, ions, run, begin, centre, prior=None)
    return RunErrors(tuple(names.tolist()), begin, relative)


def calibrate(spectra: Spectra, ions: Floats, runs: RunErrors | None = None) -> Calibration:
    """Estimate the mass error of each pixel against ions that are known to be common.

    Parameters
    ----------
    spectra
        Peak lists, m/z in Da.
    ions
        Ascending m/z of the ions, shape ``(n_ions,)``.
    runs
        Errors of the runs; default: from these spectra, which then must be whole runs.

    Returns
    -------
    Calibration
        All zeros, with the smallest width, where there are no ions or no peaks.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.calibration import calibrate
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> shifted = mg.degrade.shift_mz(simulation.spectra, 0.05, "Da")
    >>> calibration = calibrate(shifted, simulation.axis)
    >>> round(float(calibration.shift.mean()), 2), bool(calibration.width.max() < 0.002)
    (0.05, True)
    """
    n = spectra.n_pixels
    centre = float(np.mean(ions)) if ions.size else 0.0
    zero = np.zeros(n)
    if ions.size == 0 or spectra.n_peaks == 0:
        return Calibration(zero, zero.copy(), np.full(n, SMALLEST_WIDTH_DA), centre)
    top = _strongest(spectra)
    if runs is None:
        rows = sample_of_runs(spectra.run)
        runs = _run_errors(spectra[rows], top[rows], ions)
    by_run, run = runs.calibration, np.searchsorted(runs.names, spectra.run)
    own = _modes(top, ions, runs.relative[run], centre)
    enough = spectra.peak_counts >= OWN_MODE_PEAKS
    begin = Calibration(
        np.where(enough, own.shift, by_run.shift[run]),
        np.where(enough, own.slope, by_run.slope[run]),
        by_run.width[run],
        centre,
    )
    return _fit(spectra, ions, np.arange(n), begin, centre, prior=begin)


# -------------------------------------------------------------------- modes


def _strongest(spectra: Spectra) -> Spectra:
    """The peaks among which modes are sought."""
    return spectra.keep_peaks(spectra.intensity_rank() < MODE_PEAKS)


def _mode_of_run(top: Spectra, ions: Floats, centre: float) -> tuple[float, float, bool]:
    """Shift, slope and whether it is relative: what draws the run's peaks together more."""
    shift, height = _mode(_differences(top, ions, relative=False)[1], BIN_DA, REACH_DA)
    scale = float(np.median(ions))
    slope, relative_height = _mode(
        _differences(top, ions, relative=True)[1], BIN_DA / scale, REACH_DA / scale
    )
    # A true shift in Da is blurred when read in ppm, and the other way round.
    if relative_height > 1.05 * height:
        return slope * centre, slope, True
    return shift, 0.0, False


def _modes(top: Spectra, ions: Floats, relative: NDArray[np.bool_], centre: float) -> Calibration:
    """The mode of each pixel by itself, read in ppm where the error of its run is relative."""
    zero = np.zeros(top.n_pixels)
    found = Calibration(zero, zero.copy(), zero, centre)
    for in_ppm in np.unique(relative).tolist():
        rows = np.flatnonzero(relative == in_ppm)
        unit = float(np.median(ions)) if in_ppm else 1.0
        mode = _pixel_modes(top[rows], ions, BIN_DA / unit, REACH_DA / unit, relative=in_ppm)
        found.slope[rows] = mode if in_ppm else 0.0
        found.shift[rows] = mode * centre if in_ppm else mode
    return found


def _differences(
    spectra: Spectra, ions: Floats, *, relative: bool
) -> tuple[NDArray[np.int64], Floats]:
    """Pixel and difference of all pairs of a peak and an ion within reach."""
    low = np.searchsorted(ions, spectra.mz - REACH_DA, side="left")
    count = np.searchsorted(ions, spectra.mz + REACH_DA, side="right") - low
    peak = np.repeat(np.arange(spectra.n_peaks), count)
    ion = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)
    difference = spectra.mz[peak] - ions[ion]
    if relative:
        difference /= ions[ion]
    return spectra.pixel_of_peak[peak], difference


def _mode(differences: Floats, step: float, reach: float) -> tuple[float, float]:
    """Place and height of the highest point of a smoothed histogram; zero for nothing."""
    n_bins = 2 * int(np.ceil(reach / step)) + 1
    bins = np.rint(differences / step).astype(np.int64) + n_bins // 2
    counts = np.bincount(bins[(bins >= 0) & (bins < n_bins)], minlength=n_bins)
    density = gaussian_filter1d(counts.astype(np.float64), 2.0)
    best = int(np.argmax(density))
    return (best - n_bins // 2) * step, float(density[best])


def _pixel_modes(
    spectra: Spectra, ions: Floats, step: float, reach: float, *, relative: bool
) -> Floats:
    """The mode of each pixel by itself."""
    n_bins = 2 * int(np.ceil(reach / step)) + 1
    modes = np.zeros(spectra.n_pixels)
    for start in range(0, spectra.n_pixels, 1024):  # bounds the histograms to some 5 MB
        block = spectra[start : start + 1024]
        pixel, difference = _differences(block, ions, relative=relative)
        bins = np.rint(difference / step).astype(np.int64) + n_bins // 2
        inside = (bins >= 0) & (bins < n_bins)
        flat = np.bincount((pixel * n_bins + bins)[inside], minlength=block.n_pixels * n_bins)
        density = gaussian_filter1d(flat.reshape(-1, n_bins).astype(np.float64), 2.0, axis=1)
        best = np.argmax(density, axis=1)
        modes[start : start + 1024] = (best - n_bins // 2) * step
    return modes


# -------------------------------------------------------------------- expectation maximisation


def _fit(
    spectra: Spectra,
    ions: Floats,
    group: NDArray[np.int64],
    begin: Calibration,
    centre: float,
    *,
    prior: Calibration | None,
) -> Calibration:
    """Gaussian plus uniform by expectation maximisation, for each group of pixels.

    `group` is the row of `begin` that each pixel belongs to. With a `prior` the estimates are
    shrunk to it, so that a pixel of few peaks follows its run.
    """
    code = group[spectra.pixel_of_peak]
    n = begin.shift.size
    shift, slope, width = begin.shift.copy(), begin.slope.copy(), begin.width.copy()
    share = np.full(n, 0.5)
    mz = spectra.mz
    # Peaks far from every ion at the start are never looked at again.
    begun = mz - shift[code] - slope[code] * (mz - centre)
    near = np.abs(begun - ions[assign_to_axis(begun, ions)]) <= START_WINDOWS * WINDOW_DA
    mz, code = mz[near], code[near]
    lever, nearest = mz - centre, _Nearest(begun[near], ions)
    square_lever = lever**2
    weights = (0.0, 1e-9, 0.0) if prior is None else (PRIOR_SHIFT, PRIOR_SLOPE, PRIOR_WIDTH)
    aim = begin if prior is None else prior

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(code, weights=values, minlength=n), dtype=np.float64)

    for _ in range(STEPS):
        moved, tilted = shift[code], slope[code] * lever
        distance = nearest.distance(mz - moved - tilted)
        inside = np.abs(distance) <= WINDOW_DA
        member = _membership(distance, width, share, code) * inside
        # Ridge regression of the whole error on (1, m - centre), towards what was believed.
        erring = member * (distance + moved + tilted)
        n_member, n_inside = total(member), total(inside.astype(np.float64))
        a = n_member + weights[0] + 1e-12
        b = total(member * lever)
        c = total(member * square_lever) + weights[1] * MASS_SPREAD**2
        y = total(erring) + weights[0] * aim.shift
        z = total(erring * lever) + weights[1] * MASS_SPREAD**2 * aim.slope
        determinant = np.maximum(a * c - b * b, 1e-12)
        enough = n_member + weights[0] > 2
        shift = np.where(enough, (c * y - b * z) / determinant, shift)
        slope = np.where(enough, (a * z - b * y) / determinant, slope)
        square = total(member * distance**2) + weights[2] * aim.width**2
        fitted = np.sqrt(square / np.maximum(n_member + weights[2], 1e-9))
        width = np.where(enough, np.clip(fitted, SMALLEST_WIDTH_DA, WINDOW_DA / 2), width)
        share = np.clip((n_member + 1) / (n_inside + 2), 0.02, 0.98)
    return Calibration(shift, slope, width, centre)


def _membership(distance: Floats, width: Floats, share: Floats, code: NDArray[np.int64]) -> Floats:
    """How likely peaks are of the Gaussian of their group and not of the background."""
    gauss = np.exp(-0.5 * (distance / width[code]) ** 2)
    gauss *= share[code]
    gauss /= (width * np.sqrt(2 * np.pi))[code]
    return np.asarray(gauss / (gauss + ((1 - share) / (2 * WINDOW_DA))[code]))


class _Nearest:
    """The nearest ion of some m/z, which move little from one time to the next."""

    def __init__(self, mz: Floats, ions: Floats) -> None:
        self.ions = ions
        # An ion is the nearest one between the middles below and above it.
        middles = (ions[1:] + ions[:-1]) / 2
        self.middles = np.concatenate([[-np.inf], middles, [np.inf]])
        self.below, self.above, self.of_ion = (np.empty(mz.size) for _ in range(3))
        self._find(np.arange(mz.size), mz)

    def _find(self, which: NDArray[np.int64], mz: Floats) -> None:
        ion = assign_to_axis(mz, self.ions)
        self.below[which], self.above[which] = self.middles[ion], self.middles[ion + 1]
        self.of_ion[which] = self.ions[ion]

    def distance(self, mz: Floats) -> Floats:
        """How far each m/z is from its nearest ion, which is looked up where it is another one."""
        passed = np.flatnonzero((mz <= self.below) | (mz > self.above))
        if passed.size:
            self._find(passed, mz[passed])
        return mz - self.of_ion
