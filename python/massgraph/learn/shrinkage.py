"""Shrunken class means and covariances: discriminants of few pixels with many features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["ClassSpread", "covariance_shrinkage", "shrunken_discriminant", "shrunken_means"]

Floats = NDArray[np.float64]

THRESHOLDS = np.linspace(0.0, 4.0, 41)  # of differences, in standard errors
SMALLEST_SHRINKAGE = 1e-3
SMALLEST_VARIANCE = 1e-12
LEAST_SPREAD = 0.2  # of the median standard deviation: no feature varies less


@dataclass(frozen=True, eq=False)
class ClassSpread:
    """Means of classes and how pixels scatter around them: what discriminants are found from.

    Parameters
    ----------
    counts, exact
        Pixels of each class, and as many equal ones as its mean is as exact as, ``(n_classes,)``.
    means, residual
        Means of each class, ``(n_classes, n_features)``, and what each pixel differs from that of
        its class by, times the root of how many it counts as, ``(n_pixels, n_features)``.
    square
        Mean square of each feature.

    Examples
    --------
    See `shrunken_discriminant`.
    """

    counts: Floats
    exact: Floats
    means: Floats
    residual: Floats
    square: Floats

    @classmethod
    def of(
        cls, X: Floats, y: NDArray[np.int64], n_classes: int, weight: Floats | None = None
    ) -> ClassSpread:
        """Of some pixels; parameters as for `shrunken_discriminant`."""
        times = np.ones(y.size) if weight is None else weight * (y.size / weight.sum())
        root = np.sqrt(times)
        pick = sp.csr_matrix((times, (y, np.arange(y.size))), shape=(n_classes, y.size))
        counts: Floats = np.bincount(y, weights=times, minlength=n_classes).astype(np.float64)
        means = (pick @ X) / np.where(counts > 0, counts, 1.0)[:, None]
        square = ((X * root[:, None]) ** 2 * (1.0 / y.size)).sum(axis=0)
        # A mean of unequal weights is as exact as one of fewer pixels (Kish 1965), of equal ones n.
        squares = np.bincount(y, weights=times**2, minlength=n_classes)
        exact = counts**2 / np.where(counts > 0, squares, 1.0)
        return cls(counts, exact, means, (X - means[y]) * root[:, None], square)

    @cached_property
    def _variance(self) -> Floats:
        """Of each feature, within the classes."""
        return np.asarray(self.square - (self.counts / len(self.residual)) @ self.means**2)

    @cached_property
    def _constant(self) -> NDArray[np.bool_]:
        least = SMALLEST_VARIANCE * np.maximum(self.square, SMALLEST_VARIANCE)
        return np.asarray(self._variance <= least)

    @cached_property
    def _scale(self) -> Floats:
        return _scales(self._variance, self._constant)

    @cached_property
    def _differences(self) -> Floats:
        """Of class means, over the scatter and shrunken, ``(n_features, n_classes)``."""
        there = self.counts > 0
        found = ((self.means - self._centre) * self._scale).T
        found[:, ~there] = 0.0
        # What chance does to means is seen in the pixels as they are, without noise to come.
        found[:, there] = shrunken_means(found[:, there], self.exact[there])
        return found

    @property
    def _centre(self) -> Floats:
        return np.asarray(self.means[self.counts > 0].mean(axis=0))

    def discriminant(self, kept: float = 1.0) -> tuple[Floats, Floats]:
        """Weight and bias for pixels of which a share of the values is kept."""
        noise, scale, target = self.square * (1 - kept) / kept, self._scale, self._differences
        if kept < 1:
            scale = _scales(self._variance + noise, self._constant)
            target = target * (scale / np.where(self._constant, 1.0, self._scale))[:, None]
        solved = _solve(self.residual * scale, target, noise * scale**2)
        slope = solved * scale[:, None]
        bias = -0.5 * np.einsum("kc,kc->c", target, solved)
        # The target was centred: move the bias to where the features are.
        return slope, np.where(self.counts > 0, bias - self._centre @ slope, -1e3)


def shrunken_discriminant(
    X: Floats,
    y: NDArray[np.int64],
    n_classes: int,
    weight: Floats | None = None,
    kept: float = 1.0,
) -> tuple[Floats, Floats]:
    """Fisher's discriminant with the shrunken covariance of Ledoit and Wolf (2004).

    Columns are first scaled by their standard deviation within the classes, so that the covariance
    shrinks towards its diagonal. No deviation counts as less than a fifth of their median: that of
    an ion in few training pixels means nothing, and dividing by it would explode in other pixels
    (as the s0 of Tibshirani et al. 2002 prevents). The differences between class means are shrunk
    too (`shrunken_means`). All classes count as equally likely.

    Parameters
    ----------
    X
        Features, shape ``(n_pixels, n_features)``.
    y
        Class codes; a class without pixels gets a weight of zero.
    n_classes
        Number of classes.
    weight
        How many pixels each one counts as, shape ``(n_pixels,)`` (one each).
    kept
        Share of the values that pixels to come will have, drawn at random and scaled up so that
        their mean is the same: what that adds to the variance, ``(1 - kept) / kept`` times the mean
        square, is added to the covariance (1).

    Returns
    -------
    weight, bias
        Shapes ``(n_features, n_classes)`` and ``(n_classes,)``: logits are ``X @ weight + bias``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.shrinkage import shrunken_discriminant
    >>> X, y = np.array([[3.0, 1.0], [4.0, 1.2], [1.0, 1.1], [0.5, 0.9]]), np.array([0, 0, 1, 1])
    >>> weight, bias = shrunken_discriminant(X, y, n_classes=2)
    >>> (X @ weight + bias).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    return ClassSpread.of(X, y, n_classes, weight).discriminant(kept)


def _scales(variance: Floats, constant: NDArray[np.bool_]) -> Floats:
    """One over the standard deviation of each feature, zero for constant ones."""
    deviation = np.sqrt(np.where(constant, 1.0, variance))
    least = LEAST_SPREAD * np.median(deviation[~constant]) if not constant.all() else 0.0
    return np.where(constant, 0.0, 1.0 / np.maximum(deviation, least))


def shrunken_means(differences: Floats, counts: Floats) -> Floats:
    r"""Shrink differences of class means, so that those within chance vanish.

    Soft thresholding of :math:`t = d / s`, as in the nearest shrunken centroids of Tibshirani et
    al. (2002), at the threshold :math:`\Delta` with the least unbiased estimate of the risk (Stein;
    Donoho and Johnstone 1995), :math:`\sum_t \min(t^2, \Delta^2) - 2 [|t| \le \Delta]`. Where many
    ions tell the classes apart, next to nothing is taken off; where few do, most others vanish.
    With K classes of :math:`n_c` pixels
    :math:`s_c^2 = (1 - 2/K) / n_c + \sum_k 1 / (K^2 n_k)`.

    Parameters
    ----------
    differences
        Mean of each class less the mean of the classes, of features with a standard deviation of 1
        within the classes, shape ``(n_features, n_classes)``.
    counts
        Pixels of each class, shape ``(n_classes,)``, or of each feature and class; 0 where a mean
        is not known, whose difference is 0.

    Examples
    --------
    Of two ions and two classes of 20 pixels, one ion differs by no more than chance:

    >>> import numpy as np
    >>> from massgraph.learn.shrinkage import shrunken_means
    >>> differences = np.array([[1.0, -1.0], [0.05, -0.05]])
    >>> shrunken_means(differences, np.array([20.0, 20.0])).any(axis=1).tolist()
    [True, False]
    """
    counts = np.atleast_2d(counts)  # not of each feature where all have the same
    known = counts > 0
    inverse = np.where(known, 1.0 / np.where(known, counts, 1.0), 0.0)
    n_classes = np.maximum(known.sum(axis=1, keepdims=True), 1)
    squared = (1 - 2 / n_classes) * inverse + inverse.sum(axis=1, keepdims=True) / n_classes**2
    error = np.sqrt(np.maximum(squared, SMALLEST_VARIANCE))
    t = np.abs(differences / error)
    t = np.sort(t, axis=None) if known.all() else np.sort(t[np.broadcast_to(known, t.shape)])
    below = np.searchsorted(t, THRESHOLDS, side="right")
    squares = np.concatenate([[0.0], np.cumsum(t**2)])[below]
    risks = squares + (t.size - below) * THRESHOLDS**2 - 2 * below
    least = THRESHOLDS[int(np.argmin(risks))]
    shrunken = np.maximum(np.abs(differences) - least * error, 0.0)
    return np.where(known, np.sign(differences) * shrunken, 0.0)


def covariance_shrinkage(gram: Floats, centred: Floats) -> float:
    """How far a covariance is to be shrunk to a multiple of the identity (Ledoit and Wolf 2004).

    Parameters
    ----------
    gram
        ``centred.T @ centred`` or ``centred @ centred.T``, whichever is smaller.
    centred
        Features less their means, shape ``(n_pixels, n_features)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.shrinkage import covariance_shrinkage
    >>> noise = np.random.default_rng(0).normal(size=(20, 100))
    >>> covariance_shrinkage(noise @ noise.T, noise) > 0.9
    True
    """
    n, p = centred.shape
    mean_variance = np.trace(gram) / (n * p)
    squared = float((gram**2).sum()) / n**2  # squared norm of the covariance
    fourth = float(((centred**2).sum(axis=1) ** 2).sum())
    delta = squared / p - mean_variance**2
    beta = (fourth / n - squared) / (n * p)
    return 1.0 if delta <= 0 else float(min(max(beta / delta, SMALLEST_SHRINKAGE), 1.0))


def _solve(centred: Floats, target: Floats, noise: Floats) -> Floats:
    """Inverse of the shrunken covariance of `centred`, plus `noise`, times `target`."""
    n, p = centred.shape
    dual = n < p
    gram = centred @ centred.T if dual else centred.T @ centred
    mean_variance = np.trace(gram) / (n * p)
    if mean_variance <= 0:
        return np.zeros_like(target)
    shrinkage = covariance_shrinkage(gram, centred)
    least = shrinkage * mean_variance
    ridge = least + noise
    rest = (1 - shrinkage) / n
    if not dual:
        gram = rest * gram
        gram[np.diag_indices(p)] += ridge
        return np.asarray(np.linalg.solve(gram, target))
    # Woodbury: the covariance is a diagonal plus a product of low rank
    divided = centred / ridge
    # Without noise the products of the pixels are those from before.
    inner = rest * (divided @ centred.T if noise.any() else gram / least)
    inner[np.diag_indices(n)] += 1.0
    own = target / ridge[:, None]
    return np.asarray(own - rest * divided.T @ np.linalg.solve(inner, centred @ own))
