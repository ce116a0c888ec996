"""Gaussian classes of which pixels lack features, against densities that are written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from massgraph.learn.factors import fit_factors
from massgraph.nn.factors import N_FACTORS, Factors

P, CLASSES = 12, 3


@pytest.fixture
def factors() -> Factors:
    rng = np.random.default_rng(0)
    made = Factors(P, CLASSES)
    made.centre[:] = torch.from_numpy(rng.normal(size=P))
    made.scale[:] = torch.from_numpy(rng.uniform(0.5, 2, P))
    made.loading[:] = torch.from_numpy(0.4 * rng.normal(size=(P, N_FACTORS)))
    made.rest[:] = torch.from_numpy(rng.uniform(0.3, 1, P))
    made.mean[:] = torch.from_numpy(rng.normal(size=(P, CLASSES)))
    return made


def logits(factors: Factors, values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Of pixels that have some of the features, ``(n_pixels, P)``."""
    pixel, feature = (torch.from_numpy(one) for one in np.nonzero(there))
    weight = torch.ones(len(pixel), dtype=torch.float64)
    each = factors(torch.from_numpy(values[there]), weight, feature, pixel, len(values))
    return torch.zeros(len(values), CLASSES, dtype=torch.float64).index_add(0, pixel, each).numpy()


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_what_is_missing_is_integrated_out(factors: Factors, share: float) -> None:
    rng = np.random.default_rng(1)
    values, there = rng.normal(size=(20, P)), rng.random((20, P)) < share
    there[:, 0] = True
    found = logits(factors, values, there)
    loading, scale = factors.loading.numpy(), factors.scale.numpy()
    covariance = loading @ loading.T + np.diag(factors.rest.numpy())
    for row, some, own in zip(values, there, found, strict=True):
        x = ((row - factors.centre.numpy()) * scale)[some]
        of_these = covariance[np.ix_(some, some)]
        density = [
            multivariate_normal(factors.mean.numpy()[some, c], of_these).logpdf(x)
            for c in range(CLASSES)
        ]
        np.testing.assert_allclose(own - own.mean(), np.array(density) - np.mean(density))


def test_nothing_there_says_nothing(factors: Factors) -> None:
    nothing = np.zeros((2, P), dtype=bool)
    assert (logits(factors, np.ones((2, P)), nothing) == 0).all()


def test_a_fit_finds_means_and_what_features_share() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 2000)
    common = rng.normal(size=(4000, 1)) * np.linspace(0.5, 1.5, P)
    X = common + rng.normal(size=(4000, P)) + np.where(y, 0.5, -0.5)[:, None]
    there = rng.random(X.shape) < 0.9
    factors = Factors(P + 3, 2)  # more than there are features: those stay
    fit_factors(factors, X * there, there * 1.0, y, 2, np.ones(4000))
    spread = np.sqrt(1 + np.linspace(0.5, 1.5, P) ** 2)
    np.testing.assert_allclose(1 / factors.scale.numpy()[:P], spread, rtol=0.1)
    difference = (factors.mean[:P, 1] - factors.mean[:P, 0]).numpy()
    np.testing.assert_allclose(difference, 1 / spread, rtol=0.25)
    assert (factors.mean[P:] == 0).all()
    first = np.abs(factors.loading.numpy()[:P, -1])  # the last is the largest
    assert np.corrcoef(first, np.linspace(0.5, 1.5, P) / spread)[0, 1] > 0.9


def test_a_feature_that_a_class_never_has_is_compared_among_the_others() -> None:
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1, 2], 100)
    X = rng.normal(size=(300, 2)) + np.array([-1, 1, 0])[y][:, None]
    there = np.ones((300, 2), dtype=bool)
    there[y == 2, 1] = False
    factors = Factors(2, 3)
    fit_factors(factors, X * there, there * 1.0, y, 3, np.ones(300))
    assert factors.mean[1, 2] == 0
    assert factors.mean[1, 1] > 0.5 > -0.5 > factors.mean[1, 0]


def test_few_pixels_are_trusted_less() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(3000, P))

    def total(n_pixels: int) -> float:
        """Variance that is left of the features, in their own units."""
        y, factors = np.arange(n_pixels) % 3, Factors(P, 3)
        fit_factors(factors, X[:n_pixels], np.ones((n_pixels, P)), y, 3, np.ones(n_pixels))
        return float((factors.rest + (factors.loading**2).sum(dim=1)).mean())

    # Of six pixels three degrees of freedom are left, of twenty that are enough.
    np.testing.assert_allclose([total(3000), total(23)], 1.0, atol=0.05)
    np.testing.assert_allclose(total(6), 20 / 3, rtol=0.05)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_logits_are_the_sums_of_what_features_add(factors: Factors, share: float) -> None:
    rng = np.random.default_rng(5)
    there = rng.random((30, P)) < share
    there[::7] = False  # some pixels have nothing
    pixel, feature = map(torch.from_numpy, np.nonzero(there))
    values, weight = (torch.from_numpy(rng.uniform(0.1, 1, len(pixel))) for _ in range(2))
    each = factors(values, weight, feature, pixel, 30)
    summed = torch.zeros(30, CLASSES, dtype=torch.float64).index_add(0, pixel, each)
    found = factors.logits(values, weight, feature, pixel, 30)
    np.testing.assert_allclose(found, summed, atol=1e-12)
    assert (found[::7] == 0).all()
