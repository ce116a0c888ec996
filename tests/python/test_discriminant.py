"""The discriminant in closed form against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from massgraph.discriminant import shrunken_discriminant


def data(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(3), n)[: 3 * n]
    X = rng.normal(size=(3 * n, p)) * rng.uniform(0.1, 10, p) + rng.normal(size=p)
    X[:, : min(p, 5)] += 0.8 * y[:, None]
    return X, y


@pytest.mark.parametrize(("n", "p"), [(40, 12), (15, 80)])
def test_the_same_as_scikit_learn(n: int, p: int) -> None:
    X, y = data(n, p)
    weight, bias = shrunken_discriminant(sp.csr_matrix(X), y, 3)
    means = np.stack([X[y == c].mean(axis=0) for c in range(3)])
    scaled = (X - means[y]) / (X - means[y]).std(axis=0)
    shrinkage = ledoit_wolf_shrinkage(scaled, assume_centered=True)
    other = (X - means.mean(axis=0)) / (X - means[y]).std(axis=0)
    covariance = (1 - shrinkage) * scaled.T @ scaled / len(X)
    covariance += shrinkage * np.trace(scaled.T @ scaled) / len(X) / p * np.eye(p)
    coefficient = np.linalg.solve(
        covariance, np.stack([other[y == c].mean(axis=0) for c in range(3)]).T
    )
    expected = other @ coefficient - 0.5 * np.einsum(
        "ck,kc->c", np.stack([other[y == c].mean(axis=0) for c in range(3)]), coefficient
    )
    np.testing.assert_allclose(X @ weight + bias, expected, rtol=1e-6, atol=1e-8)


def test_it_separates_as_well_as_lda() -> None:
    X, y = data(60, 20)
    Z, z = data(60, 20, seed=1)
    weight, bias = shrunken_discriminant(sp.csr_matrix(X), y, 3)
    ours = np.mean((Z @ weight + bias).argmax(axis=1) == z)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y).score(Z, z)
    assert ours >= theirs - 0.05


def test_constant_columns_and_absent_classes() -> None:
    X, y = data(20, 6)
    X[:, 2] = 3.0
    weight, bias = shrunken_discriminant(sp.csr_matrix(X[y < 2]), y[y < 2], 3)
    assert np.isfinite(weight).all()
    assert (weight[2] == 0).all()
    assert (weight[:, 2] == 0).all()
    assert bias[2] < -100
    nothing, _ = shrunken_discriminant(sp.csr_matrix(np.ones((4, 3))), np.array([0, 0, 1, 1]), 2)
    assert (nothing == 0).all()
