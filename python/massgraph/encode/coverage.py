"""What a model knows: its ions, how much of a pixel's ion current they cover, and the levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from massgraph.data.alignment import assign_to_axis
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import MassAxis

__all__ = [
    "COVERED_PPM",
    "LEAST_TRUST",
    "Knowledge",
    "Levels",
    "best_covered",
    "coverage_of",
    "run_means",
]

Floats = NDArray[np.float64]

COVERED_PPM = 10.0  # of an ion, within which a peak is its own
WIDTHS = 2.0  # or within so many deviations of the peaks around their ions, where that is more
BEST = 0.25  # of the pixels of a run judge it: others may lie off the tissue
LEAST_BEST = 25  # pixels, or half of those of a run: a quarter of few would be chance
LEAST_TRUST = 0.01  # of what a pixel without coverage says: its class stays, and counts for nothing


@dataclass(frozen=True)
class Levels:
    """Coverages between which a model knows more and less of what it says.

    Parameters
    ----------
    own
        Of pixels as those of the fit, that were not learnt from: a mean over pixels, as all.
    chance
        Of pixels of other ions at the same nominal masses.
    refuse
        A run whose best covered quarter is below it is refused.
    warn
        A run whose best covered quarter is below it is answered with a warning.
    spread
        Standard deviation between pixels: a run of few is judged by that.
    scatter
        Standard deviation of the log intensities of the known ions within pixels; None where
        fewer than twenty pixels show it, or a version of massgraph did not keep it: nothing is
        said of the scale of intensities then.

    Examples
    --------
    >>> from massgraph.encode.coverage import Levels
    >>> levels = Levels()  # of a model that does not say
    >>> levels.trust([0.1, 0.35, 0.97]).round(2).tolist()
    [0.01, 0.5, 1.0]
    """

    own: float = 0.97
    chance: float = 0.25
    refuse: float = 0.45
    warn: float = 0.6
    spread: float = 0.15
    scatter: float | None = None

    def trust(self, coverage: NDArray[np.float64] | list[float]) -> Floats:
        """How far a pixel may be believed, by its coverage.

        All of it (1) from the level on below which runs are refused; less below it, and next to
        nothing (`LEAST_TRUST`) at the coverage that chance gives.
        """
        covered = np.nan_to_num(np.asarray(coverage, dtype=np.float64))
        known = (covered - self.chance) / max(self.refuse - self.chance, 1e-9)
        return np.clip(known, LEAST_TRUST, 1.0)

    def summary(self) -> dict[str, float]:
        """Coverage of own pixels and by chance, and the levels, by the names of summaries."""
        return {
            "coverage_own": self.own,
            "coverage_warned_below": self.warn,
            "coverage_refused_below": self.refuse,
            "coverage_by_chance": self.chance,
        }

    def tempered(self, probability: Floats, coverage: Floats) -> Floats:
        """Draw the probabilities of pixels towards equal ones, as far as they are not believed.

        The order of the classes stays, and so do pixels that are covered. NaN stays NaN.
        """
        trust = self.trust(coverage)[:, None]
        return np.asarray(trust * probability + (1 - trust) / probability.shape[1])


@dataclass(frozen=True, eq=False)
class Knowledge:
    """The ions of a model, and the levels of their coverage.

    Parameters
    ----------
    mz
        Ascending m/z of the ions, shape ``(n_ions,)``.
    usual
        Their usual log intensities, up to a constant; shape ``(n_ions,)``.
    presence
        Share of the pixels with the ion, shape ``(n_ions,)``.
    width
        Standard deviation of peaks around their ions, in Da.
    levels
        Those that were chosen when the model was fitted; the usual ones for models that do not say.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> known = Knowledge.of(axis)
    >>> bool(known.coverage(axis.calibrate(spectra).spectra).mean() > 0.85)
    True
    """

    mz: Floats
    usual: Floats
    presence: Floats
    width: float
    levels: Levels = Levels()

    @classmethod
    def of(cls, axis: MassAxis, levels: Levels | None = None) -> Knowledge:
        """What is known of the ions of an axis."""
        return cls(axis.mz, axis.level, axis.presence, axis.width, levels or Levels())

    def ion(self, spectra: Spectra) -> NDArray[np.int64]:
        """The ion of each calibrated peak, -1 for those that are of none."""
        if self.mz.size == 0:
            return np.full(spectra.n_peaks, -1)
        ion = assign_to_axis(spectra.mz, self.mz)
        reach = np.maximum(COVERED_PPM * 1e-6 * spectra.mz, WIDTHS * self.width)
        return np.where(np.abs(spectra.mz - self.mz[ion]) <= reach, ion, -1)

    def coverage(self, spectra: Spectra) -> Floats:
        """Share of the ion current of each pixel that is of known ions, of calibrated spectra.

        Shape ``(n_pixels,)``; NaN for pixels without peaks.
        """
        return coverage_of(spectra, self.ion(spectra) >= 0)


def coverage_of(spectra: Spectra, known: NDArray[np.bool_]) -> Floats:
    """Share of the ion current of each pixel that some peaks have; NaN for pixels without peaks.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import coverage_of
    >>> spectra = mg.Spectra.from_peaks([([500.0, 600.0], [3.0, 1.0]), ([], [])])
    >>> coverage_of(spectra, np.array([True, False])).tolist()
    [0.75, nan]
    """
    n, pixel = spectra.n_pixels, spectra.pixel_of_peak
    intensity = spectra.intensity.astype(np.float64)
    total = np.bincount(pixel, intensity, n)
    found = np.full(n, np.nan)
    np.divide(np.bincount(pixel, intensity * known, n), total, out=found, where=total > 0)
    return found


def best_covered(coverage: Floats, run: NDArray[np.str_]) -> dict[str, tuple[float, int]]:
    """Mean coverage of the quarter of each run that is covered best, and how many pixels that is.

    A run is judged by these: off the tissue there may be ions of the matrix alone, in most of an
    image. They are at least 25, or half of a run. Runs without peaks are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.encode.coverage import best_covered
    >>> best_covered(np.repeat([0.9, 0.1, np.nan], [60, 140, 9]), np.repeat(["a", "b"], [200, 9]))
    {'a': (0.9, 50)}
    """
    found = {}
    for name in np.unique(run):
        of_run = coverage[(run == name) & ~np.isnan(coverage)]
        if of_run.size:
            half = int(np.ceil(of_run.size / 2))
            n = max(int(np.ceil(BEST * of_run.size)), min(half, LEAST_BEST))
            best = np.sort(of_run)[-n:]
            found[str(name)] = float(best.mean()), int(best.size)
    return found


def run_means(coverage: Floats, run: NDArray[np.str_]) -> dict[str, tuple[float, int]]:
    """Mean coverage of each run over its pixels with peaks, and the number of these.

    Runs without any are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.encode.coverage import run_means
    >>> run_means(np.array([0.9, 0.7, np.nan]), np.array(["a", "a", "b"]))
    {'a': (0.8, 2)}
    """
    names, code = np.unique(run, return_inverse=True)
    there = ~np.isnan(coverage)
    count = np.bincount(code[there], minlength=names.size)
    total = np.bincount(code[there], coverage[there], names.size)
    return {
        str(name): (float(total[k] / count[k]), int(count[k]))
        for k, name in enumerate(names)
        if count[k]
    }
