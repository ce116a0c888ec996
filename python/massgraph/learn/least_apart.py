"""Regions by how far they are apart, where the likelihood would rather spend them on wide ones.

Where pixels scatter unlike, as noise beside the tissue does, halves of the widest region explain
more than two small regions that are clearly apart, and a mixture joins these to pay for those.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.learn.mixture import Mixture, mixture_of

__all__ = ["CLEAR", "FARTHER", "LEAST_SHARE", "clearly_apart", "joined_by_separation"]

Floats = NDArray[np.float64]

CLEAR = 5.0
"""Deviations between regions: one pixel in 161 lies nearer to the other of two."""
FARTHER = 1.1
"""Times as far apart: less is within what two fits differ by."""
FEWEST_PIXELS = 3  # for each component: fewer are outliers, which are further away than anything
LEAST_SHARE = 0.03
"""Of the pixels, for each region: many outliers are outliers, too."""


def joined_by_separation(
    Z: Floats, probability: Floats, mixture: Mixture, n_regions: int, covariance: str
) -> Mixture:
    """Join those two regions that are least apart until so many are left.

    Parameters
    ----------
    Z
        Components and, after them, covariates, ``(n_pixels, n_components + n_covariates)``.
    probability
        Of each region for each pixel, ``(n_pixels, len(mixture))``.
    mixture
        The regions.
    n_regions
        How many are to be left.
    covariance
        Kind of the mixture that is given back. Which regions are least apart is told by the kind
        of `mixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.least_apart import joined_by_separation
    >>> from massgraph.learn.mixture import mixture_of
    >>> Z = np.array([[0.0], [0.2], [1.0], [1.2], [9.0], [9.2]])
    >>> probability = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> mixture = mixture_of(Z, probability)
    >>> joined_by_separation(Z, probability, mixture, 2, "shared").mean.round(1).tolist()
    [[0.6], [9.1]]
    """
    covariates, now = mixture.n_covariates, mixture
    while len(now) > n_regions:
        apart = now.separation()
        apart[np.tril_indices(len(now))] = np.inf
        kept, gone = np.unravel_index(np.argmin(apart), apart.shape)
        joined = probability.copy()
        joined[:, kept] += joined[:, gone]
        probability = np.delete(joined, gone, axis=1)
        now = mixture_of(Z, probability, covariates=covariates, covariance=mixture.kind)
    if now.kind == covariance:
        return now
    return mixture_of(Z, probability, covariates=covariates, covariance=covariance)


def clearly_apart(mixture: Mixture, n_pixels: int, other: Mixture) -> bool:
    """Whether the regions of a mixture are clearly apart, and more so than those of another.

    The two that are least apart count. A region of fewer than three pixels for each component, or
    than 3 % of all, is none.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.least_apart import clearly_apart
    >>> from massgraph.learn.mixture import mixture_of
    >>> Z = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2, 9.0, 9.1, 9.2])[:, None]
    >>> halves = mixture_of(Z, np.eye(2)[np.repeat([0, 1], [3, 6])])
    >>> clearly_apart(mixture_of(Z, np.eye(2)[np.repeat([0, 1], [6, 3])]), 9, halves)
    True
    """
    least = _least(mixture)
    smallest = mixture.weight.min() * n_pixels
    enough = smallest >= max(FEWEST_PIXELS * mixture.mean.shape[1], LEAST_SHARE * n_pixels)
    return bool(enough and least >= max(CLEAR, FARTHER * _least(other)))


def _least(mixture: Mixture) -> float:
    return float(mixture.separation()[np.triu_indices(len(mixture), 1)].min())
