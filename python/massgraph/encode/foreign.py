"""Runs that a model does not know: what they are refused or warned of for, and why they may be so.

Reasons are found by looking at the data, and named as what they are, suspicions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from massgraph.data.spectra import Spectra
from massgraph.encode.coverage import Knowledge, coverage_of

__all__ = ["Suspect", "found_ions", "mass_step", "reason_of", "scale_of", "shift_of"]

Floats = NDArray[np.float64]

STEPS = ((1.0, "unit mass"), (0.1, "tenths of a Dalton"), (0.01, "hundredths of a Dalton"))
STEP_WINDOW, STEP_PEAKS, STEP_EVEN = 50.0, 5, 0.99  # Da, m/z in it, and how even they lie
LEAST_INSIDE = 0.5  # of the ion current, within the m/z of the ions: else the range is another one
CALIBRATED = 0.3  # Da: smaller errors of all masses are found, and taken off
SHIFT_REACH, SHIFT_BIN = 3.0, 1e-3  # Da: mass differences that are looked for
SHIFT_PEAKS = 100_000  # at most, that are looked at
PROTON = 1.007276
SHIFTS = {  # what moves all ions alike
    PROTON: "neutral masses in place of m/z",
    2 * PROTON: "the other polarity",
    1.003355: "the next isotope",
}
SHIFT_WITHIN = 2e-3
# Ions that half of the pixels of the fit have or more, but at least ten, are there in other pixels.
COMMON, LEAST_COMMON, ARE_THERE = 0.5, 10, 0.92
# Slope of log intensities over the usual ones, and its inverse: own runs have about 1, or less of
# the first where weak peaks are missing, logarithms .2 and .1 and roots .5.
FLAT, COMPRESSED, INVERSE, STRETCHED, WIDER = 0.2, 0.6, 1.1, 1.6, 2.5
LEAST_LEVELS, LEAST_PEAKS = 0.2, 100
NO_SCATTER = 0.05  # of presence
FLAT_PIXELS, FLAT_IONS = 20, 0.35  # that unlike levels take to be believed; a share of the usual


class Suspect(NamedTuple):
    """A run that a model knows little of.

    Parameters
    ----------
    run
        Its name.
    coverage
        Mean over the quarter of its pixels that is covered best.
    refused
        Whether it is below the level of refusal.
    reason
        What is suspected.

    Examples
    --------
    >>> from massgraph.encode.foreign import Suspect
    >>> Suspect("slide2", 0.154, True, "suspected: another sample").told
    "run 'slide2' (coverage 0.15 at best, suspected: another sample)"
    """

    run: str
    coverage: float
    refused: bool
    reason: str

    @property
    def told(self) -> str:
        """Name, figure and reason."""
        return f"run {self.run!r} (coverage {self.coverage:.2f} at best, {self.reason})"


def reason_of(
    known: Knowledge, raw: Spectra, polarity: str | None, scale: str | None = None
) -> str:
    """Why a run may be foreign to a model: what is told by masses comes first.

    Parameters
    ----------
    known
        What the model knows.
    raw
        Pixels of the run as they are, without calibration.
    polarity
        Of the model; None where unknown.
    scale
        What `scale_of` says of the run: scaled ions weigh noise as much as the ions of the model.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.foreign import reason_of
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> known = Knowledge.of(learn_axis(spectra))
    >>> reason_of(known, mg.degrade.shift_mz(spectra, 900.0, "Da"), "positive")
    "another m/z range: 1152 to 1889, the model's ions are at 322 to 854"
    """
    step = mass_step(raw.mz)
    if step is not None and mass_step(known.mz) != step:
        return f"m/z rounded to {step}"
    low, high = float(known.mz[0]), float(known.mz[-1])
    inside = coverage_of(raw, (raw.mz >= low - 1) & (raw.mz <= high + 1))
    if np.nanmean(inside) < LEAST_INSIDE:
        own = f"{raw.mz.min():.0f} to {raw.mz.max():.0f}"
        return f"another m/z range: {own}, the model's ions are at {low:.0f} to {high:.0f}"
    shift = shift_of(known, raw)
    if shift is not None and abs(shift) > CALIBRATED:
        names = [name for mass, name in SHIFTS.items() if abs(abs(shift) - mass) < SHIFT_WITHIN]
        return f"all m/z are off by {shift:+.3f}" + (f", as for {names[0]}" if names else "")
    if scale is not None:
        return f"intensities on another scale, that vary {scale}"
    if raw.polarity is None or polarity is None:
        side = "the spectra" if raw.polarity is None else "those of the fit"
        return f"the other polarity, which {side} do not declare, or another sample"
    return "another sample, preparation or matrix"


def mass_step(mz: Floats) -> str | None:
    """How m/z are rounded, in words; None for exact ones.

    Within 50 Da rounded m/z lie evenly; over more, steps may be those of the instrument.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.foreign import mass_step
    >>> mz = mg.simulate("tiny", n_runs=1).axis
    >>> mass_step(mz), mass_step(np.unique(np.round(mz)) + 0.05)
    (None, 'unit mass')
    """
    values = np.unique(np.round(mz, 3))
    window = (values // STEP_WINDOW).astype(np.int64)
    counts = np.bincount(window) if values.size else np.zeros(1, dtype=np.int64)
    enough = counts >= STEP_PEAKS
    if not enough.any():
        return None
    for step, name in STEPS:
        angle = 2 * np.pi * values / step
        even = np.hypot(np.bincount(window, np.cos(angle)), np.bincount(window, np.sin(angle)))
        if float(np.average(even[enough] / counts[enough])) >= STEP_EVEN:
            return name
    return None


def shift_of(known: Knowledge, raw: Spectra) -> float | None:
    """A mass by which all peaks are off from ions, in Da; None where no such mass explains them.

    Calibration finds those below 0.3 Da by itself.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.foreign import shift_of
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> known = Knowledge.of(learn_axis(spectra))
    >>> round(shift_of(known, mg.degrade.shift_mz(spectra, 1.37, "Da")), 2)
    1.37
    """
    some = raw[: int(np.searchsorted(raw.offsets, SHIFT_PEAKS, side="right"))]
    low = np.searchsorted(known.mz, some.mz - SHIFT_REACH)
    count = np.searchsorted(known.mz, some.mz + SHIFT_REACH) - low
    peak = np.repeat(np.arange(some.n_peaks), count)
    ion = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)
    if peak.size == 0:
        return None
    n_bins = 2 * round(SHIFT_REACH / SHIFT_BIN) + 1
    bins = np.rint((some.mz[peak] - known.mz[ion]) / SHIFT_BIN).astype(np.int64) + n_bins // 2
    counted = np.bincount(np.clip(bins, 0, n_bins - 1), minlength=n_bins).astype(np.float64)
    best = int(np.argmax(gaussian_filter1d(counted, 2.0)))
    shift = (best - n_bins // 2) * SHIFT_BIN
    moved = some._derive(mz=np.maximum(some.mz - shift, 1e-3), axis=None)
    covered = float(np.nanmean(known.coverage(moved)))
    return shift if covered >= known.levels.refuse else None


def found_ions(known: Knowledge, calibrated: Spectra) -> float:
    """Share of the common ions of a model that pixels have, over that of its own pixels.

    Peaks that a model was not shown, or noise, may hold most of the ion current of its own sample.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.foreign import found_ions
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> noisy = mg.degrade.add_noise_peaks(spectra, 5.0, np.random.default_rng(0))
    >>> found_ions(Knowledge.of(axis), axis.calibrate(noisy).spectra) > 0.9
    True
    """
    n_ions = known.mz.size
    if n_ions < LEAST_COMMON:
        return 0.0
    common = known.presence >= min(COMMON, np.sort(known.presence)[-LEAST_COMMON])
    ion = known.ion(calibrated)
    place = calibrated.pixel_of_peak[ion >= 0] * n_ions + ion[ion >= 0]
    n_pixels = max(int((calibrated.peak_counts > 0).sum()), 1)
    presence = np.bincount(np.unique(place) % n_ions, minlength=n_ions) / n_pixels
    return float(np.minimum(presence[common] / known.presence[common], 1.0).mean())


def scale_of(known: Knowledge, calibrated: Spectra) -> str | None:
    """How intensities differ in scale from those that a model was fitted to; None where alike.

    Total ion currents tell nothing, as models divide by them: it is the contrast between the ions
    of a pixel that logarithms, roots, presence alone and standardised ions change.

    Parameters
    ----------
    known
        What the model knows; nothing of scale without `Levels.scatter`.
    calibrated
        Pixels of a run.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge, Levels
    >>> from massgraph.encode.foreign import scale_of
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> known, own = Knowledge.of(axis, Levels(scatter=0.9)), axis.calibrate(spectra).spectra
    >>> scale_of(known, own)
    >>> scale_of(known, replace(own, intensity=np.log1p(own.intensity)))
    '0.18 times as much (as logarithms, ...)'
    """
    own = known.levels.scatter
    if own is None or calibrated.n_peaks == 0:
        return None
    ion = known.ion(calibrated)
    counts = np.bincount(calibrated.pixel_of_peak[ion >= 0], minlength=calibrated.n_pixels)
    # Pixels beside the tissue have other contrasts: those with most ions are looked at.
    rich = counts >= max(float(np.median(counts)), 2.0)
    there = (ion >= 0) & rich[calibrated.pixel_of_peak]
    pixel, n = calibrated.pixel_of_peak[there], calibrated.n_pixels
    usual = _centred(known.usual[ion[there]], pixel, n)
    log = _centred(np.log(calibrated.intensity[there].astype(np.float64)), pixel, n)
    if usual.size < LEAST_PEAKS:
        return None
    scatter = float(np.sqrt(np.mean(log**2)))
    if np.sqrt(np.mean(usual**2)) < LEAST_LEVELS:  # of a model of ions that are all alike
        wider = scatter > max(WIDER * own, LEAST_LEVELS)
        return f"by {scatter:.2f} and not by {own:.2f} in logarithms" if wider else None
    product = float(usual @ log)
    slope = product / float(usual @ usual)
    inverse = product / max(float(log @ log), 1e-12)
    compressed = slope < COMPRESSED and (inverse > INVERSE or scatter < NO_SCATTER)
    # Unlike levels are those of pixels beside the tissue, too, which have few of the ions.
    many = rich.sum() >= FLAT_PIXELS and counts[rich].mean() >= FLAT_IONS * known.presence.sum()
    if compressed or (slope < FLAT and many):
        kinds = "as logarithms, roots, presence or scaled ions do"
        return f"{max(slope, 0.0):.2f} times as much ({kinds})"
    if slope > STRETCHED:
        return f"{slope:.1f} times as much (as raw ones do after a fit to logarithms or roots)"
    return None


def _centred(values: Floats, pixel: NDArray[np.int64], n: int) -> Floats:
    mean = np.bincount(pixel, values, n) / np.maximum(np.bincount(pixel, minlength=n), 1)
    return values - mean[pixel]
