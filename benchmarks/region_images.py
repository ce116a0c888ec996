"""Images of which the regions are known, and how a labelling of them is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, roc_auc_score

import massgraph as mg
from massgraph.simulation.simulate import OFF_TISSUE

LEAST_SHARE = 0.01  # of the pixels, that an ion is in

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels, their true regions ("" where unknown: not scored), and features for rivals.

    `options` are what a user of `mg.SpatialRegions` would say about such data.
    """

    spectra: mg.Spectra
    truth: NDArray[np.str_]
    features: Floats
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """The true number of regions."""
        return len(set(self.truth.tolist()) - {""})

    @property
    def many_runs(self) -> bool:
        """Whether there are several runs."""
        return len(self.spectra.run_names) > 1


def log_shares(X: Floats) -> Floats:
    """Features of rivals: share of each ion in the sum of the pixel, logarithmic above the mean."""
    # A pixel without peaks has none of anything.
    total = np.maximum(X.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.log1p(X / total * X.shape[1]))


def binned(spectra: mg.Spectra) -> Floats:
    """Bins of 10 ppm, as is usual; ions in 1 % of the pixels at least."""
    mz, column = spectra.align(10, "ppm")
    found = column >= 0
    X = np.zeros((spectra.n_pixels, len(mz)))
    np.add.at(X, (spectra.pixel_of_peak[found], column[found]), spectra.intensity[found])
    return X[:, (X > 0).mean(axis=0) >= LEAST_SHARE]


def scenario(name: str, seed: int) -> Image:
    """Tissue pixels of a preset of `mg.simulate`."""
    simulation = mg.simulate(name, random_state=seed)
    tissue = (simulation.truth != OFF_TISSUE) & (simulation.spectra.peak_counts > 0)
    spectra = simulation.spectra[np.flatnonzero(tissue)]
    truth = simulation.truth[tissue].astype(str)
    # Runs of a scenario are of the same tissue, measured differently.
    options = {"run_offsets": len(spectra.run_names) > 1}
    return Image(spectra, truth, log_shares(binned(spectra)), options)


# -------------------------------------------------------------------- scores


def matched(truth: NDArray[np.str_], labels: Labels) -> NDArray[np.bool_]:
    """Whether a pixel is right, with each label given to the region that suits all of them best."""
    table = pd.crosstab(labels, truth)
    rows, columns = linear_sum_assignment(-table.to_numpy())
    region = dict(zip(table.index[rows], table.columns[columns], strict=True))
    return np.asarray([region.get(a) == b for a, b in zip(labels, truth, strict=True)])


def scores(image: Image, labels: Labels) -> dict[str, float]:
    """Adjusted Rand index and balanced accuracy of the pixels whose region is known."""
    known = image.truth != ""
    truth, labels = image.truth[known], labels[known]
    right = matched(truth, labels)
    return {
        "ari": float(adjusted_rand_score(truth, labels)),
        "balanced": float(pd.Series(right).groupby(truth).mean().mean()),
    }


def posterior_auc(image: Image, labels: Labels, probability: Floats) -> float:
    """How well the largest probability tells pixels that are right from others; NaN without any."""
    known = (image.truth != "") & ~np.isnan(probability).any(axis=1)
    right = matched(image.truth[known], labels[known])
    if right.all() or not right.any():
        return float("nan")
    return float(roc_auc_score(right, probability[known].max(axis=1)))
