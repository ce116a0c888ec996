"""Fitting of Gaussian classes of which pixels lack some features."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from massgraph.learn.shrinkage import LEAST_SPREAD, covariance_shrinkage, shrunken_means
from massgraph.nn.factors import N_FACTORS, Factors

__all__ = ["fit_factors"]

Floats = NDArray[np.float64]

PRIOR_PIXELS = 1.0  # as many pixels of what is usual are added to each class mean
PRIOR_SPREAD = 3.0  # as many pixels of the median deviation to each deviation
ENOUGH_FREEDOM = 20.0  # degrees of freedom from which on a covariance is taken as it is found
LEAST_REST = 0.1  # of the variance of a feature: factors do not explain all of it


def fit_factors(
    factors: Factors,
    values: Floats,
    weight: Floats,
    y: NDArray[np.int64],
    n_classes: int,
    times: Floats,
) -> None:
    """Fit means, deviations and factors to the features that pixels have, in place.

    Parameters
    ----------
    factors
        Of as many features or more: the others stay as they are.
    values, weight
        Features, zero on average, times how far each is there, and that, 0 to 1, both
        ``(n_pixels, n_features)``. What is not there is no zero: it is missing.
    y, n_classes
        Class codes and the number of classes.
    times
        How many pixels each one counts as.

    Examples
    --------
    Two features, of which each pixel has one at least:

    >>> import numpy as np
    >>> import torch
    >>> from massgraph.learn.factors import fit_factors
    >>> from massgraph.nn.factors import Factors
    >>> rng, y = np.random.default_rng(0), np.repeat([0, 1], 50)
    >>> there = rng.random((100, 2)) < 0.8
    >>> values = there * (rng.normal(size=(100, 2)) + np.where(y, 1, -1)[:, None])
    >>> factors = Factors(2, 2)
    >>> fit_factors(factors, values, there * 1.0, y, 2, np.ones(100))
    >>> bool((factors.mean[:, 1] > factors.mean[:, 0]).all())
    True
    """
    times = times * (y.size / times.sum())
    pick = sp.csr_matrix((times, (y, np.arange(y.size))), shape=(n_classes, y.size))
    counts, total = pick @ weight, pick @ values
    means = total / (counts + PRIOR_PIXELS)
    residual = values - weight * means[y]
    n = times @ weight
    variance = times @ residual**2 / np.maximum(n, 1e-9)
    typical = float(np.median(variance[n >= PRIOR_SPREAD])) if (n >= PRIOR_SPREAD).any() else 1.0
    deviation = np.sqrt((variance * n + PRIOR_SPREAD * typical) / (n + PRIOR_SPREAD))
    scale = 1.0 / np.maximum(deviation, max(LEAST_SPREAD * np.sqrt(typical), 1e-9))
    # A class is compared with those of which the feature is known, too.
    known = counts >= 1.0
    centre = (means * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    target = np.where(known, means - centre, 0.0) * scale
    loading = _loading(residual * scale * np.sqrt(times)[:, None])
    # Few pixels make the covariance look smaller than it is.
    freedom = y.size - np.unique(y).size
    wide = max(ENOUGH_FREEDOM / max(freedom, 1), 1.0)
    p = len(scale)
    for buffer, found in (
        (factors.centre, centre),
        (factors.scale, scale),
        (factors.mean, shrunken_means(target.T, np.where(known, counts, 0.0).T)),
        (factors.loading, loading * np.sqrt(wide)),
        (factors.rest, wide * np.maximum(1.0 - (loading**2).sum(axis=1), LEAST_REST)),
    ):
        buffer[:p] = torch.from_numpy(found)


def _loading(residual: Floats) -> Floats:
    """Principal axes of residuals, shrunk as their covariance is, ``(n_features, N_FACTORS)``."""
    n, p = residual.shape
    loading = np.zeros((p, N_FACTORS))
    k = min(N_FACTORS, min(n, p) - 1)
    gram = residual @ residual.T if n < p else residual.T @ residual
    if k < 1 or not gram.any():
        return loading
    shrinkage = covariance_shrinkage(gram, residual)
    m = len(gram)
    square, axes = eigh(gram, subset_by_index=(m - k, m - 1))
    if n < p:  # of the pixels: those of the features are what they make of the residuals
        axes = residual.T @ axes / np.sqrt(np.maximum(square, 1e-300))
    loading[:, :k] = axes * np.sqrt(np.maximum(square, 0.0) * (1 - shrinkage) / n)
    return loading
