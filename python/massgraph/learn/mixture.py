"""Mixture of Gaussians: what regions look like, each a mean with its own or a shared covariance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVARIANCES", "Mixture", "fit_mixture", "mixture_of", "mixture_of_labels"]

Floats = NDArray[np.float64]

COVARIANCES = {
    "shared": "one covariance for all regions",
    "scaled": "one covariance for all regions, up to a factor of each",
    "own": "a covariance for each region",
}
"""Kinds of covariance, and what each is."""

RIDGE = 1e-3  # of the variance of each component: keeps covariances of few pixels regular
SURE = 0.92  # responsibility of the region that a label gives a pixel
STEADY = 1e-6  # relative gain in likelihood at which a fit ends
LARGEST_SCALE = 2.0  # further apart, and a region may live on outliers alone


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of Gaussians, given covariates where there are any.

    Rows of the pixels hold components and, after them, covariates: what a region looks like may
    depend on these, and they say nothing of the region by themselves.

    Parameters
    ----------
    weight
        Share of each region, shape ``(n_regions,)``; they sum to one.
    mean
        Of the components where all covariates are 0, shape ``(n_regions, n_components)``.
    covariance
        Of the components given the covariates, shape ``(1, n_components, n_components)`` where all
        regions share one, else ``(n_regions, n_components, n_components)``.
    slope
        What a covariate of 1 adds to the components, shape ``(1 or n_regions, n_covariates,
        n_components)``; default no covariates.
    scale
        Factor of the covariance in each region, shape ``(n_regions,)``; default 1.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import Mixture
    >>> mixture = Mixture(np.array([0.5, 0.5]), np.array([[-2.0], [2.0]]), np.array([[[1.0]]]))
    >>> mixture.responsibility(np.array([[-2.0], [0.0]])).round(3).tolist()
    [[1.0, 0.0], [0.5, 0.5]]

    Where a covariate explains a component, this says nothing of the region any more:

    >>> slope = np.array([[[3.0]]])
    >>> mixture = Mixture(mixture.weight, mixture.mean, mixture.covariance, slope)
    >>> mixture.responsibility(np.array([[-2.0, 0.0], [1.0, 1.0]])).round(3).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """

    weight: Floats
    mean: Floats
    covariance: Floats
    slope: Floats = field(default_factory=lambda: np.empty((1, 0, 0)))
    scale: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.scale.size == 0:
            object.__setattr__(self, "scale", np.ones(len(self.weight)))
        if self.slope.shape[1] == 0:
            none = np.empty((len(self.covariance), 0, self.mean.shape[1]))
            object.__setattr__(self, "slope", none)

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def kind(self) -> str:
        """One of `COVARIANCES`; that of a single region is shared."""
        if len(self.covariance) > 1:
            return "own"
        return "shared" if (self.scale == 1).all() else "scaled"

    @property
    def n_covariates(self) -> int:
        """Number of the last columns of the pixels that are covariates."""
        return int(self.slope.shape[1])

    @property
    def n_parameters(self) -> int:
        """Numbers that a fit is free to choose."""
        n_regions, width = self.mean.shape
        covariances = len(self.covariance) * width * (width + 1) // 2
        covariances += n_regions - 1 if self.kind == "scaled" else 0
        return int(n_regions - 1 + n_regions * width + covariances + self.slope.size)

    @cached_property
    def whiteners(self) -> Floats:
        """Matrices that take each covariance to the identity, of the shape of `covariance`."""
        value, vector = np.linalg.eigh(self.covariance)
        return np.asarray(vector / np.sqrt(value)[:, None, :])

    def white(self, Z: Floats, region: int = 0) -> Floats:
        """Components less what covariates explain, in deviations of a region.

        Shape ``(n_pixels, n_components)``; where a covariance is shared, `region` is 0.
        """
        width = self.mean.shape[1]
        free = Z[:, :width]
        if self.n_covariates:
            free = free - Z[:, width:] @ self.slope[region]
        return np.asarray(free @ self.whiteners[region])

    def log_joint(self, Z: Floats) -> Floats:
        """Log of weight times density given the covariates, ``(n_pixels, n_regions)``."""
        constant = np.log(self.weight) - 0.5 * self.mean.shape[1] * np.log(2 * np.pi)
        # |W| of a whitener is one over the root of the determinant.
        constant = constant + np.linalg.slogdet(self.whiteners)[1]
        constant = constant - 0.5 * self.mean.shape[1] * np.log(self.scale)
        return np.asarray(constant - 0.5 * self._squares(Z) / self.scale)

    def _squares(self, Z: Floats) -> Floats:
        """Squared distances to the means in deviations, scales left out."""
        if len(self.whiteners) == 1:
            white, mean = self.white(Z), self.mean @ self.whiteners[0]
            found = _lengths(white) + _lengths(mean)[:, None] - 2 * mean @ white.T
        else:
            means = (m @ white for m, white in zip(self.mean, self.whiteners, strict=True))
            found = np.stack([_lengths(self.white(Z, k) - m) for k, m in enumerate(means)])
        # One region after the other in memory: sums over regions take a third of the time.
        return np.asarray(found.T)

    def log_likelihood(self, Z: Floats) -> float:
        """Of all pixels, in nats."""
        return float(_expected(self.log_joint(Z))[1].sum())

    def bic(self, Z: Floats) -> float:
        """Bayesian information criterion (Schwarz, Ann. Stat. 6, 1978, 461-464); low is good."""
        return self.n_parameters * float(np.log(len(Z))) - 2 * self.log_likelihood(Z)

    def responsibility(self, Z: Floats) -> Floats:
        """Probability of each region for each pixel by itself, ``(n_pixels, n_regions)``."""
        return _expected(self.log_joint(Z))[0]

    def separation(self) -> Floats:
        """Distance d' of the means of two regions in deviations, ``(n_regions, n_regions)``.

        Where covariances differ, by the mean of those of the two, and where the covariates are 0.
        """
        step = self.mean[:, None] - self.mean[None]
        own = self.scale[:, None, None] * self.covariance
        joint = (own[:, None] + own[None]) / 2
        solved = np.linalg.solve(joint, step[..., None])[..., 0]
        return np.asarray(np.sqrt(np.maximum((step * solved).sum(axis=-1), 0.0)))


def _lengths(rows: Floats) -> Floats:
    """Squared lengths of vectors."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def mixture_of(
    Z: Floats, responsibility: Floats, *, covariates: int = 0, covariance: str = "shared"
) -> Mixture:
    """The mixture of highest likelihood for given responsibilities, with regular covariances.

    Parameters
    ----------
    Z
        Components and, after them, covariates, ``(n_pixels, n_components + n_covariates)``.
    responsibility
        Shape ``(n_pixels, n_regions)``; rows sum to one.
    covariates
        Number of the last columns that are covariates. How components depend on them is learnt
        within regions, so that what differs between regions stays.
    covariance
        One of `COVARIANCES`. Those of regions, and their factors, which are 1/2 to 2, are drawn to
        what all share by as much as ``n_components + 2`` pixels weigh.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import mixture_of
    >>> mixture = mixture_of(np.array([[0.0], [2.0], [7.0]]), np.eye(2)[[0, 0, 1]])
    >>> mixture.mean.round(3).tolist()
    [[1.0], [7.0]]
    """
    return _maximised(Z, responsibility, _moments(Z), covariates, covariance)


class _Moments(NamedTuple):
    """What all steps of a fit have in common: ``Z.T @ Z``, and what keeps covariances regular."""

    second: Floats
    ridge: Floats


def _moments(Z: Floats) -> _Moments:
    variance = Z.var(axis=0)
    return _Moments(Z.T @ Z, RIDGE * np.diag(np.where(variance > 0, variance, 1.0)))


def _maximised(
    Z: Floats,
    responsibility: Floats,
    moments: _Moments,
    covariates: int,
    covariance: str,
    before: Mixture | None = None,
) -> Mixture:
    """Parameters and result as for `mixture_of`; `before` is the mixture of the last step."""
    n, width = Z.shape
    size = responsibility.sum(axis=0) + 1e-9  # a region may lose all of its pixels
    mean = (responsibility.T @ Z) / size[:, None]
    within = (moments.second - (mean.T * size) @ mean) / n
    within = (within + within.T) / 2 + moments.ridge
    # Rounding may take a direction of no variance below zero.
    value, vector = np.linalg.eigh(within)
    within = (vector * np.maximum(value, 1e-6 * value.max())) @ vector.T
    each = within[None]
    if covariance == "own":
        prior = width + 2
        scatter = np.stack(
            [
                ((Z - m) * r[:, None]).T @ (Z - m)
                for m, r in zip(mean, responsibility.T, strict=True)
            ]
        )
        each = (scatter + prior * within) / (size + prior)[:, None, None]
    found = _given(size / size.sum(), mean, each, width - covariates)
    if covariance != "scaled":
        return found
    start = found if before is None or len(before.covariance) > 1 else before
    return _scaled(Z, responsibility, moments, found, start)


def _scaled(
    Z: Floats, responsibility: Floats, moments: _Moments, found: Mixture, before: Mixture
) -> Mixture:
    """Scales given the covariance of the step before, then the covariance given the scales."""
    n, width = Z.shape[0], found.mean.shape[1]
    size = responsibility.sum(axis=0)
    shape = replace(found, covariance=before.covariance)
    prior = Z.shape[1] + 2
    spread = (responsibility * np.maximum(shape._squares(Z), 0)).sum(axis=0)
    scale = (spread + prior * width) / ((size + prior) * width)
    typical = np.exp(size @ np.log(scale) / n)
    scale = np.clip(scale / typical, 1 / LARGEST_SCALE, LARGEST_SCALE)
    free = Z[:, :width]
    if found.n_covariates:
        free = free - Z[:, width:] @ found.slope[0]
    second = (free * (responsibility @ (1 / scale))[:, None]).T @ free
    within = (second - (found.mean.T * (size / scale)) @ found.mean) / n
    covariance = (within + within.T) / 2 + moments.ridge[:width, :width]
    return replace(found, covariance=covariance[None], scale=scale)


def _given(weight: Floats, mean: Floats, covariance: Floats, width: int) -> Mixture:
    """Components given the covariates, of the joint mixture of both."""
    if width == mean.shape[1]:
        return Mixture(weight, mean, covariance)
    across = covariance[:, width:, :width]
    slope: NDArray[Any] = np.linalg.solve(covariance[:, width:, width:], across)
    rest = covariance[:, :width, :width] - across.transpose(0, 2, 1) @ slope
    at_zero = mean[:, :width] - (mean[:, None, width:] @ slope)[:, 0]
    return Mixture(weight, at_zero, (rest + rest.transpose(0, 2, 1)) / 2, slope)


def mixture_of_labels(
    Z: Floats, label: NDArray[np.int64], n_regions: int, *, covariates: int = 0
) -> Mixture:
    """The mixture of a labelling; soft, so that a fit may still change its mind.

    Parameters
    ----------
    Z, covariates
        As for `mixture_of`.
    label
        Region of each pixel, from 0, ``(n_pixels,)``.
    n_regions
        How many there are.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import mixture_of_labels
    >>> Z = np.array([[0.0], [0.0], [9.0], [9.0]])
    >>> mixture_of_labels(Z, np.array([0, 0, 1, 1]), 2).mean.round(1).tolist()
    [[0.4], [8.6]]
    """
    rest = (1 - SURE) / n_regions
    soft = np.where(np.arange(n_regions) == label[:, None], SURE + rest, rest)
    return mixture_of(Z, soft, covariates=covariates)


def fit_mixture(
    Z: Floats, start: Mixture, *, covariance: str = "shared", steps: int = 100
) -> tuple[Mixture, float]:
    """Expectation and maximisation in turns, until the likelihood stays.

    Parameters
    ----------
    Z
        Components and, after them, the covariates of `start`.
    start
        Where to begin.
    covariance
        As for `mixture_of`.
    steps
        How many at most.

    Returns
    -------
    mixture, log_likelihood
        The fitted mixture, and its log likelihood in nats.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import fit_mixture, mixture_of
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (200, 1))])
    >>> start = mixture_of(Z, np.eye(2)[(Z[:, 0] > 1).astype(int)])
    >>> mixture, score = fit_mixture(Z, start)
    >>> mixture.mean.round().ravel().tolist()
    [-3.0, 3.0]
    """
    mixture, before = start, -np.inf
    moments = _moments(Z)
    for _ in range(steps):
        found, density = _expected(mixture.log_joint(Z))
        score = float(density.sum())
        if score - before < STEADY * abs(score):
            break
        before = score
        mixture = _maximised(Z, found, moments, mixture.n_covariates, covariance, mixture)
    return mixture, score


def _expected(log_joint: Floats) -> tuple[Floats, Floats]:
    """Responsibilities and log densities: softmax and its normalisation from one exponential."""
    top = log_joint.max(axis=1)
    found = np.exp(log_joint - top[:, None])
    total = found.sum(axis=1)
    found /= total[:, None]
    return found, top + np.log(total)
