"""From spectra to what the network reads: preprocessing, graph, standardised node features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph import degrade
from massgraph.features import node_features
from massgraph.graph import Graph, build_graph, build_messages
from massgraph.nn.batch import PeakGraphs
from massgraph.settings import Settings
from massgraph.spectra import Spectra

__all__ = ["PeakEncoder", "degraded_copy"]


@dataclass(frozen=True, eq=False)
class PeakEncoder:
    """Turns spectra into graphs with features, the same way in training and prediction.

    Parameters
    ----------
    settings
        Resolved settings.
    feature_range
        m/z range that the scaled m/z refers to.
    mean, scale
        Standardisation of the features, float32, shape ``(n_features,)``.
    """

    settings: Settings
    feature_range: tuple[float, float]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def learn(cls, spectra: Spectra, settings: Settings) -> PeakEncoder:
        """Feature range and standardisation from preprocessed training spectra."""
        if settings.mz_range is not None:
            low, high = settings.mz_range
        else:
            low, high = float(spectra.mz.min()), float(spectra.mz.max())
            high = max(high, low + 1.0)  # all peaks at one m/z: any width will do
        features = node_features(spectra, settings.features, (low, high))
        width = features.shape[1]
        mean, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
        if settings.standardize:
            mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = features.std(axis=0, dtype=np.float64).astype(np.float32)
            scale = np.where(deviation < 1e-6, np.float32(1), deviation)
        return cls(settings, (low, high), mean, scale)

    def preprocess(self, spectra: Spectra) -> Spectra:
        """Peaks within the m/z range, the most intense of each pixel; see `preprocess`."""
        return preprocess(spectra, self.settings)

    def graph(self, spectra: Spectra) -> Graph:
        """Typed edges of preprocessed spectra."""
        return build_graph(spectra, self.settings.relations, **self._options())

    def _options(self) -> dict[str, Any]:
        names = ("tolerance", "tolerance_unit", "rule", "directed")
        return {name: getattr(self.settings, name) for name in names}

    def encode(self, spectra: Spectra) -> PeakGraphs:
        """Graphs and standardised features of preprocessed spectra."""
        features = node_features(spectra, self.settings.features, self.feature_range)
        features -= self.mean
        features /= self.scale
        return PeakGraphs(
            features=features,
            offsets=spectra.offsets,
            messages=build_messages(spectra, self.settings.relations, **self._options()),
        )


def preprocess(spectra: Spectra, settings: Settings) -> Spectra:
    """Keep the peaks within `mz_range`, then the `max_peaks` most intense of each pixel."""
    if settings.mz_range is not None:
        spectra = spectra.mz_range(*settings.mz_range)
    if settings.max_peaks is not None:
        spectra = spectra.top_peaks(settings.max_peaks)
    return spectra


def degraded_copy(spectra: Spectra, settings: Settings, rng: np.random.Generator) -> Spectra:
    """Spectra with faults, drawn anew for each pixel.

    A third of the pixels lose peaks at random and a third their weakest ones (20 to 100 % kept);
    none loses all of them. Four in ten have their m/z jittered by a standard deviation of up to
    one tolerance.
    """
    n = spectra.n_pixels
    fate, kept = rng.random(n), rng.uniform(0.2, 1.0, n)
    worse = degrade.remove_peaks(spectra, np.where(fate < 1 / 3, kept, 1.0), rng)
    worse = degrade.keep_most_intense(worse, np.where(fate > 2 / 3, kept, 1.0))
    empty = worse.peak_counts == 0
    if empty.any():  # nothing can be learnt from a copy without peaks: as measured it is better
        worse = Spectra.concatenate([worse, spectra])[np.arange(n) + n * empty]
    sd = np.where(rng.random(n) < 0.4, rng.uniform(0, settings.tolerance, n), 0.0)
    return degrade.jitter_mz(worse, sd, settings.tolerance_unit, rng)
