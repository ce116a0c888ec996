"""Minimum noise fraction: the directions in which neighbouring pixels differ least.

Neighbours are nearly always of one region, so that what differs between them is noise. Directions
are ordered by how much more the image varies in them than its neighbours differ (Green et al., IEEE
Trans. Geosci. Remote Sens. 26, 1988, 65-74), where principal components take what varies most,
noise included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["Components", "learn_components"]

Floats = NDArray[np.float64]

MOST_PAIRS = 50_000  # pairs of neighbours that show the noise
MOST_PIXELS = 50_000  # pixels that show the signal
LEAST_NOISE = 0.25  # of the median: a column without noise would outweigh all others
PRINCIPAL = 60  # directions that are looked at
FEWEST, MOST = 4, 20
SIGNAL = 1.25  # variance over noise from which a direction is kept
EDGE = 0.8  # of the largest such ratio of noise alone, which is larger in small images
DENSE = 400.0  # steps of a dense product in the time of one of a sparse product
BLOCK = 4_000  # pixels in a dense product
RIDGE = 1e-3  # of the mean noise: keeps directions apart in which nothing differs


@dataclass(frozen=True, eq=False)
class Components:
    """A linear map from features to components whose noise has unit variance.

    Parameters
    ----------
    centre
        Mean of the features, shape ``(n_features,)``.
    loadings
        Shape ``(n_features, n_components)``.
    signal
        Variance over noise of each component, falling, shape ``(n_components,)``; 1 is noise alone.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.components import Components
    >>> components = Components(np.array([1.0, 0.0]), np.array([[2.0], [0.0]]), np.array([3.0]))
    >>> components.transform(np.array([[2.0, 5.0]])).tolist()
    [[2.0]]
    """

    centre: Floats
    loadings: Floats
    signal: Floats

    def transform(self, X: Floats | sp.csr_matrix) -> Floats:
        """Components of features, ``(n_pixels, n_components)``, from a dense or sparse matrix."""
        return np.asarray(X @ self.loadings - self.centre @ self.loadings)


def learn_components(
    X: sp.csr_matrix,
    pairs: NDArray[np.int64],
    rng: np.random.Generator,
    group: NDArray[Any] | None = None,
) -> Components:
    """Find the components of an image.

    Columns are divided by the deviation of their noise, half of the mean square difference of
    neighbours, and reduced to the `PRINCIPAL` directions of most variance. Among these the
    minimum noise fraction keeps 4 to 20 directions: those that vary 1.25 times as much as their
    noise and .8 times as much as noise alone may by chance in an image of this size (the edge of
    Marchenko and Pastur, Math. USSR Sb. 1, 1967, 457-483; below it signal is mixed with noise).

    Parameters
    ----------
    X
        Features, ``(n_pixels, n_features)``.
    pairs
        Neighbours, ``(n_pairs, 2)``. Without any, noise is what pixels differ by in general, and
        the components are principal ones.
    rng
        Draws the pixels and pairs that are looked at where there are many.
    group
        Group of each pixel, such as its run, where differences between groups are no signal.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from massgraph.learn.components import learn_components
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(size=(200, 8))
    >>> image[100:, 3] += 4  # two halves, which differ in one column
    >>> beside = np.column_stack([np.arange(199), np.arange(1, 200)])
    >>> components = learn_components(sp.csr_matrix(image), beside, rng)
    >>> int(np.abs(components.loadings[:, 0]).argmax()), bool(components.signal[0] > 4)
    (3, True)
    """
    some = _some(rng, X.shape[0], MOST_PIXELS)
    looked_at = X[some]
    centre = np.asarray(looked_at.mean(axis=0), dtype=np.float64).ravel()
    signal = _second_moment(looked_at) - _between(looked_at, None if group is None else group[some])
    # What is left of a constant column is rounding.
    signal[np.abs(signal) < 1e-12 * np.maximum(centre.max() ** 2, 1.0)] = 0.0
    if len(pairs):
        chosen = pairs[_some(rng, len(pairs), MOST_PAIRS)]
        noise = _second_moment(X[chosen[:, 0]] - X[chosen[:, 1]]) / 2
    else:
        noise = np.diag(np.maximum(np.diag(signal), 0.0))
    scale = _noise_scale(np.diag(noise))
    signal, noise = (matrix / np.outer(scale, scale) for matrix in (signal, noise))
    n = len(scale)
    kept = min(PRINCIPAL, n)
    principal = scipy.linalg.eigh(signal, subset_by_index=(n - kept, n - 1))[1]
    signal, noise = (principal.T @ matrix @ principal for matrix in (signal, noise))
    # Without any noise, as where all pixels are alike, directions are compared as they are.
    noise += RIDGE * (np.trace(noise) / kept or 1.0) * np.eye(kept)
    ratio, directions = scipy.linalg.eigh(signal, noise)
    ratio, directions = ratio[::-1], directions[:, ::-1]
    least = max(SIGNAL, EDGE * (1 + np.sqrt(kept / looked_at.shape[0])) ** 2)
    count = min(int(np.clip((ratio > least).sum(), FEWEST, MOST)), kept)
    loadings = (principal @ directions[:, :count]) / scale[:, None]
    # The sign of an eigenvector is anybody's: the largest loading is positive.
    largest = np.abs(loadings).argmax(axis=0)
    loadings *= np.where(loadings[largest, np.arange(count)] < 0, -1.0, 1.0)
    return Components(centre, loadings, ratio[:count])


def _some(rng: np.random.Generator, n: int, most: int) -> NDArray[np.int64]:
    """All of n, or as many as are looked at, ascending."""
    if n <= most:
        return np.arange(n)
    return np.sort(rng.choice(n, most, replace=False))


def _second_moment(X: sp.csr_matrix) -> Floats:
    n, width = X.shape
    sparse_steps = float((np.diff(X.indptr).astype(np.float64) ** 2).sum())
    if n * float(width) ** 2 > DENSE * sparse_steps:
        return np.asarray((X.T @ X).toarray() / max(n, 1))
    total = np.zeros((width, width))
    for start in range(0, n, BLOCK):
        block = X[start : start + BLOCK].toarray().astype(np.float64)
        total += block.T @ block
    return np.asarray(total / max(n, 1))


def _between(X: sp.csr_matrix, group: NDArray[Any] | None) -> Floats:
    """Second moment of the means of groups, each counted by its size."""
    if group is None:
        group = np.zeros(X.shape[0], dtype=np.int64)
    _, code, size = np.unique(group, return_inverse=True, return_counts=True)
    total = sp.csr_matrix((np.ones(code.size), (code, np.arange(code.size)))) @ X
    means = total.toarray() / np.sqrt(size)[:, None]
    return np.asarray(means.T @ means / max(X.shape[0], 1))


def _noise_scale(variance: Floats) -> Floats:
    """Deviation that each column is divided by; 1 where nothing differs at all."""
    deviation = np.sqrt(np.maximum(variance, 0.0))
    scale = np.hypot(deviation, LEAST_NOISE * np.median(deviation))
    return np.asarray(np.where(scale > 0, scale, 1.0))
