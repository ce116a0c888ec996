"""Linear discriminants in closed form, on few pixels of many ions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["shrunken_discriminant"]

Floats = NDArray[np.float64]

SMALLEST_SHRINKAGE = 1e-3
SMALLEST_VARIANCE = 1e-12


def shrunken_discriminant(
    X: sp.csr_matrix, y: NDArray[np.int64], n_classes: int
) -> tuple[Floats, Floats]:
    """Fisher's discriminant with the shrunken covariance of Ledoit and Wolf (2004).

    Columns are scaled by their standard deviation within the classes first, so that what is shrunk
    to is the diagonal. All classes count as equally likely.

    Parameters
    ----------
    X
        Features, shape ``(n_pixels, n_features)``.
    y
        Class codes; a class without pixels gets a weight of zero.
    n_classes
        Number of classes.

    Returns
    -------
    weight, bias
        Shapes ``(n_features, n_classes)`` and ``(n_classes,)``: logits are ``X @ weight + bias``.
    """
    pick = sp.csr_matrix((np.ones(y.size), (y, np.arange(y.size))), shape=(n_classes, y.size))
    counts = np.bincount(y, minlength=n_classes)
    means = np.asarray((pick @ X).todense()) / np.maximum(counts, 1)[:, None]
    square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
    variance = square - (counts / y.size) @ means**2
    constant = variance <= SMALLEST_VARIANCE * np.maximum(square, SMALLEST_VARIANCE)
    scale = np.where(constant, 0.0, 1.0 / np.sqrt(np.where(constant, 1.0, variance)))
    centred = (np.asarray(X.todense()) - means[y]) * scale
    target = ((means - means[counts > 0].mean(axis=0)) * scale).T
    target[:, counts == 0] = 0.0
    solved = _solve(centred, target)
    weight = solved * scale[:, None]
    bias = -0.5 * np.einsum("kc,kc->c", target, solved)
    # the target was centred: move the bias to where the features are
    return weight, np.where(counts > 0, bias - means[counts > 0].mean(axis=0) @ weight, -1e3)


def _solve(centred: Floats, target: Floats) -> Floats:
    """Inverse of the shrunken covariance of `centred` times `target`, by the smaller side."""
    n, p = centred.shape
    dual = n < p
    gram = centred @ centred.T if dual else centred.T @ centred
    mean_variance = np.trace(gram) / (n * p)
    if mean_variance <= 0:
        return np.zeros_like(target)
    squared = float((gram**2).sum()) / n**2  # squared norm of the covariance
    fourth = float(((centred**2).sum(axis=1) ** 2).sum())
    delta = squared / p - mean_variance**2
    beta = (fourth / n - squared) / (n * p)
    shrinkage = 1.0 if delta <= 0 else min(max(beta / delta, SMALLEST_SHRINKAGE), 1.0)
    ridge = shrinkage * mean_variance
    rest = (1 - shrinkage) / n
    if not dual:
        gram = rest * gram
        gram[np.diag_indices(p)] += ridge
        return np.asarray(np.linalg.solve(gram, target))
    # Woodbury: the covariance is a ridge plus a product of low rank
    inner = rest * gram
    inner[np.diag_indices(n)] += ridge
    return np.asarray(
        (target - rest * centred.T @ np.linalg.solve(inner, centred @ target)) / ridge
    )
