"""Learning how complete pixels are, and how those look that lack peaks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.data.ranks import rank_in_pixels
from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakGraphs
from massgraph.nn.completeness import N_STRENGTHS, Completeness, kind_features

__all__ = ["fit_completeness"]

Floats = NDArray[np.float64]

LEAST_SPREAD = 0.02  # of a share between pixels: no strength is exact
SMALLEST_SHARE = 0.05  # of what is expected: where less is left, nothing is told by it
DRAWS = 3  # of each pixel and kind of loss
KEPT = (0.08, 0.9)  # shares of the peaks that are kept in these draws
PENALTY = 100.0  # of the regression, C in scikit-learn's terms
SURE = 2.0  # its logit times this: an expert that is wrong says more than one that is right


def fit_completeness(
    completeness: Completeness,
    graphs: PeakGraphs,
    level: Floats,
    rng: np.random.Generator,
) -> None:
    """Learn from some pixels how many ions are usual, and how lost ones look, in place.

    An ion that one pixel alone has would not be on the axis of the others: what is usual of new
    pixels is counted for each pixel by the ions of the others.

    Parameters
    ----------
    completeness
        What is fitted.
    graphs
        Encoded spectra.
    level
        Usual intensity of each ion.
    rng
        Draws the peaks that are lost.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.completeness import fit_completeness
    >>> from massgraph.nn.completeness import Completeness
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> graphs, level = clf.encoder_.encode(spectra), np.exp(clf.encoder_.axis.level)
    >>> completeness = Completeness(len(level))
    >>> fit_completeness(completeness, graphs, level, np.random.default_rng(0))
    >>> shares = completeness.shares(graphs.batch(np.arange(len(graphs)), edges="none"))
    >>> bool((abs(shares.mean(dim=0) - 1) < 0.05).all())
    True
    """
    batch = graphs.batch(np.arange(len(graphs)), edges="none")
    where, pixel = addresses(batch), batch.pixel.numpy()
    ion, weight = where.ion.numpy(), where.weight.double().numpy()
    n, n_ions = batch.n_pixels, len(completeness.expected)
    strength = _strengths(level, n_ions)
    presence = np.bincount(ion, weight, n_ions)
    shared = np.where(presence[ion] - weight > 1e-9, weight, 0.0)
    # What the others have on average, for each pixel by itself.
    of_all = np.bincount(strength, presence, N_STRENGTHS)
    own = _by_strength(pixel, strength[ion], weight, n)
    others = (of_all - own) / max(n - 1, 1)
    shares = _by_strength(pixel, strength[ion], shared, n) / np.maximum(others, 1e-9)
    usual = np.maximum(shares.mean(axis=0), SMALLEST_SHARE)
    expected = np.zeros((n_ions, N_STRENGTHS))
    of_one = n / np.maximum(of_all, 1e-9) / usual
    expected[np.arange(n_ions), strength] = of_one[strength]
    completeness.expected.copy_(torch.from_numpy(expected))
    spread = np.maximum((shares / usual).std(axis=0), LEAST_SPREAD)
    completeness.precision.copy_(torch.from_numpy(1.0 / spread**2))
    total = shared.sum() / max(n - 1, 1)
    completeness.total.fill_(max(total, 1e-9))
    rank = rank_in_pixels(where.amount.numpy(), pixel)
    counts = np.bincount(pixel, minlength=n)
    drawn, weakest = [], []
    for kind in (0, 1):
        for _ in range(DRAWS):
            kept = np.exp(rng.uniform(np.log(KEPT[0]), np.log(KEPT[1]), n))
            left = rank < np.ceil(counts * kept)[pixel]
            if kind == 0:
                left = rng.random(len(pixel)) < kept[pixel]
            found = _by_strength(pixel, strength[ion], shared * left, n) * of_one
            drawn.append(kind_features(torch.from_numpy(found)).numpy())
            weakest.append(np.full(n, kind))
    slope, bias = _regression(np.concatenate(drawn), np.concatenate(weakest))
    completeness.kind_weight.copy_(torch.from_numpy(SURE * slope))
    completeness.kind_bias.fill_(SURE * bias)


def _strengths(level: Floats, n_ions: int) -> NDArray[np.int64]:
    """Group of each ion, from weak to strong; the groups are of one size."""
    if level.size == 0:  # an axis without ions
        return np.zeros(n_ions, dtype=np.int64)
    edges = np.quantile(level, np.linspace(0, 1, N_STRENGTHS + 1)[1:-1])
    return np.searchsorted(edges, level, side="right")


def _by_strength(
    pixel: NDArray[np.int64], strength: NDArray[np.int64], weight: Floats, n: int
) -> Floats:
    """Sums per pixel and strength, ``(n, N_STRENGTHS)``."""
    place = pixel * N_STRENGTHS + strength
    return np.bincount(place, weight, n * N_STRENGTHS).astype(np.float64).reshape(n, -1)


def _regression(features: Floats, weakest: NDArray[np.int64]) -> tuple[Floats, float]:
    """Slope and intercept of the logit that the weakest peaks were lost."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=PENALTY, max_iter=2000).fit(features, weakest)
    return found.coef_[0], float(found.intercept_[0])
