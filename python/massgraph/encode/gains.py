"""Gains of the ions in a run: how much more of each it shows than other runs of such pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra

__all__ = ["FoldGains", "RunGains"]

Floats = NDArray[np.float64]
Pixels = slice | NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RunGains:
    """Logarithmic gains of the ions of an axis in some runs.

    Parameters
    ----------
    names
        Names of the runs, ascending; other runs have none.
    log_gain
        Shape ``(n_runs, n_ions)``, zero where nothing is known.
    spread
        Standard deviation of the gains of each run, natural logarithms, shape ``(n_runs,)``.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.gains import RunGains
    >>> gains = RunGains(("b",), np.log([[2.0, 0.5]]), np.array([0.7]))
    >>> spectra = mg.Spectra.from_peaks([([100.0, 200.0], [3, 4])] * 2, run=["a", "b"])
    >>> pixel, ion = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> np.exp(gains.of(spectra, pixel, ion)).tolist()
    [1.0, 1.0, 2.0, 0.5]
    """

    names: tuple[str, ...]
    log_gain: Floats
    spread: Floats

    @property
    def spreads(self) -> dict[str, float]:
        """Standard deviation of the gains of each run, by its name."""
        return dict(zip(self.names, self.spread.round(4).tolist(), strict=True))

    def __getitem__(self, pixels: Pixels) -> RunGains:
        return self  # known by the names of runs, whichever pixels are left

    def of(self, spectra: Spectra, pixel: NDArray[np.int64], ion: NDArray[np.int64]) -> Floats:
        """Logarithmic gains of some ions in some pixels, one each, of the shape of `pixel`."""
        row = {name: number for number, name in enumerate(self.names)}
        # The last row is of runs without gains.
        of_run = np.array([row.get(str(name), len(self.names)) for name in spectra.run_names])
        table = np.vstack([self.log_gain, np.zeros((1, self.log_gain.shape[1]))])
        return np.asarray(table[of_run[np.asarray(spectra.run_codes)[pixel]], ion])


@dataclass(frozen=True, eq=False)
class FoldGains:
    """Gains of runs that are others for each fold of some pixels.

    Parameters
    ----------
    by_fold
        For each fold its `RunGains`; None where there are none.
    fold
        Of each pixel, int64; pixels of -1 have no gains.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.gains import FoldGains, RunGains
    >>> gains = RunGains(("a",), np.log([[2.0]]), np.array([0.7]))
    >>> spectra = mg.Spectra.from_peaks([([100.0], [3])] * 2, run=["a", "a"])
    >>> of_fold = FoldGains((None, gains), np.array([0, 1]))
    >>> np.exp(of_fold.of(spectra, np.array([0, 1]), np.array([0, 0]))).tolist()
    [1.0, 2.0]
    """

    by_fold: tuple[RunGains | None, ...]
    fold: NDArray[np.int64]

    def __getitem__(self, pixels: Pixels) -> FoldGains:
        return FoldGains(self.by_fold, self.fold[pixels])

    def of(self, spectra: Spectra, pixel: NDArray[np.int64], ion: NDArray[np.int64]) -> Floats:
        """As `RunGains.of`, of the pixels that `fold` is of."""
        found = np.zeros(pixel.shape)
        for k, gains in enumerate(self.by_fold):
            if gains is not None:
                here = self.fold[pixel] == k
                found[here] = gains.of(spectra, pixel[here], ion[here])
        return found
