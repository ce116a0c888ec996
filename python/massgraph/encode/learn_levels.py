"""Choosing the levels of coverage: on pixels of the fit, degraded, and on such of other ions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.data import degrade
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.coverage import Knowledge, Levels, best_covered, coverage_of, run_means

__all__ = ["learn_levels"]

Floats = NDArray[np.float64]

PIXELS = 120  # evenly spread, that levels are chosen on
KEEP, JITTER_DA, SHIFT_PPM = 0.25, 5e-3, 50.0  # what runs of the same kind may have suffered
WITHIN_DA = 20.0  # mass defects are like those of other peaks within this
WORST = 0.05  # quantile over runs that counts as the worst of them
# Where levels lie between the coverage of chance and that of the worst copy.
REFUSE, WARN = 0.5, 0.8
LEAST_GAP = 0.05  # between these two: else coverage cannot tell own pixels from others
SMALLEST_SPREAD = 0.02
SCALE_PIXELS = 20  # fewer show no usual intensities
LEVELS_SEED = 0


def learn_levels(axis: MassAxis, spectra: Spectra, calibrated: CalibratedSpectra) -> Levels:
    """Choose the levels of a model on pixels of its fit.

    Own pixels are judged by ions that other pixels have, too, and of several runs by those of
    other runs: ions that a pixel brought into the axis itself would not be there for a new one.
    Copies lose three quarters of their peaks, scatter by 5 mDa, or are shifted by 50 ppm; the
    worst of them, on average over the pixels of a run, is still to be answered without a word.
    Others have the nominal masses of the own ones, and mass defects of other peaks within 20 Da.
    Half-way between the two runs are refused, from four fifths on answered without a warning.

    Parameters
    ----------
    axis
        The ions of the model.
    spectra, calibrated
        Pixels of the fit, before and after calibration.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import own_axis
    >>> from massgraph.encode.learn_levels import learn_levels
    >>> spectra, labels = mg.simulate("small", n_runs=1)
    >>> axis, calibrated, _ = own_axis(spectra)
    >>> levels = learn_levels(axis, spectra, calibrated)
    >>> levels.chance < levels.refuse < levels.warn < levels.own
    True
    """
    known = Knowledge.of(axis)
    if len(axis) == 0 or spectra.n_peaks == 0:
        return Levels()
    rng = np.random.default_rng(LEVELS_SEED)  # of its own: a fit draws what it always drew
    rows = np.unique(np.linspace(0, spectra.n_pixels - 1, PIXELS).astype(np.int64))
    rows = rows[spectra.peak_counts[rows] > 0]
    alone = _alone(known, calibrated.spectra)
    own, few = spectra[rows], calibrated[rows]
    found = [_without(known, few.spectra, alone)]
    for copy in _copies(own, rng):
        found.append(_without(known, axis.calibrate(copy).spectra, alone))
    others = known.coverage(axis.calibrate(_others(own, rng)).spectra)
    by_copy = [_worst_run(coverage, own.run) for coverage in found]
    worst, chance = min(by_copy), _mean(others)
    # Runs are judged by their best quarter, which is above the mean by chance alone.
    most = max((best for best, _ in best_covered(others, own.run).values()), default=0.0)
    if worst < most + LEAST_GAP:
        most = max(worst - LEAST_GAP, 0.0)
    chance, gap = min(chance, most), worst - most
    return Levels(
        own=round(_mean(found[0]), 4),
        chance=round(chance, 4),
        refuse=round(most + REFUSE * gap, 4),
        warn=round(most + WARN * gap, 4),
        spread=round(max(*map(_spread, found), SMALLEST_SPREAD), 4),
        scatter=_scatter(known, few.spectra) if rows.size >= SCALE_PIXELS else None,
    )


def _copies(own: Spectra, rng: np.random.Generator) -> list[Spectra]:
    return [
        degrade.remove_peaks(own, KEEP, rng),
        degrade.jitter_mz(own, JITTER_DA, "Da", rng),
        degrade.shift_mz(own, SHIFT_PPM, "ppm"),
    ]


def _others(own: Spectra, rng: np.random.Generator) -> Spectra:
    """Peaks of the same nominal masses and intensities, and mass defects of others nearby."""
    order = np.argsort(own.mz)
    mz = own.mz[order]
    low = np.searchsorted(mz, own.mz - WITHIN_DA)
    high = np.searchsorted(mz, own.mz + WITHIN_DA)
    drawn = order[low + (rng.random(own.n_peaks) * (high - low)).astype(np.int64)]
    moved = np.floor(own.mz) + own.mz[drawn] % 1.0
    pixel = own.pixel_of_peak
    order = np.lexsort((moved, pixel))
    return own._derive(mz=moved[order], intensity=own.intensity[order], axis=None)


def _alone(known: Knowledge, spectra: Spectra) -> NDArray[np.bool_]:
    """Ions that one pixel alone has; where there are several runs, one run alone."""
    ion = known.ion(spectra)
    there = ion >= 0
    run = np.asarray(spectra.run_codes)
    group = run if np.unique(run).size > 1 else np.arange(spectra.n_pixels)
    place = group[spectra.pixel_of_peak[there]].astype(np.int64) * known.mz.size + ion[there]
    counts = np.bincount(np.unique(place) % known.mz.size, minlength=known.mz.size)
    return np.asarray(counts < 2)


def _without(known: Knowledge, spectra: Spectra, alone: NDArray[np.bool_]) -> Floats:
    """Coverage by the ions that others have, too."""
    ion = known.ion(spectra)
    return coverage_of(spectra, (ion >= 0) & ~alone[np.maximum(ion, 0)])


def _worst_run(coverage: Floats, run: NDArray[np.str_]) -> float:
    means = [mean for mean, _ in run_means(coverage, run).values()]
    return float(np.quantile(means, WORST)) if means else 0.0


def _mean(coverage: Floats) -> float:
    return float(np.nanmean(coverage)) if (~np.isnan(coverage)).any() else 0.0


def _spread(coverage: Floats) -> float:
    there = coverage[~np.isnan(coverage)]
    return float(there.std()) if there.size else 0.0


def _scatter(known: Knowledge, spectra: Spectra) -> float:
    """Standard deviation of log intensities of known ions within pixels."""
    there = known.ion(spectra) >= 0
    pixel, n = spectra.pixel_of_peak[there], spectra.n_pixels
    log = np.log(spectra.intensity[there].astype(np.float64))
    mean = np.bincount(pixel, log, n) / np.maximum(np.bincount(pixel, minlength=n), 1)
    return round(float(np.sqrt(np.mean((log - mean[pixel]) ** 2))), 4) if log.size else 0.0
