"""Shrunken means and covariances, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from massgraph.learn import shrinkage as discriminant
from massgraph.learn.shrinkage import shrunken_discriminant, shrunken_means


def data(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(3), n)[: 3 * n]
    X = rng.normal(size=(3 * n, p)) * rng.uniform(0.1, 10, p) + rng.normal(size=p)
    X[:, : min(p, 5)] += 0.8 * y[:, None]
    return X, y


@pytest.mark.parametrize(("n", "p"), [(40, 12), (15, 80)])
def test_the_same_as_by_the_book(n: int, p: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminant, "shrunken_means", lambda differences, counts: differences)
    X, y = data(n, p)
    weight, bias = shrunken_discriminant(X, y, 3)
    means = np.stack([X[y == c].mean(axis=0) for c in range(3)])
    deviation = (X - means[y]).std(axis=0)
    deviation = np.maximum(deviation, 0.2 * np.median(deviation))
    scaled = (X - means[y]) / deviation
    shrinkage = ledoit_wolf_shrinkage(scaled, assume_centered=True)
    other = (X - means.mean(axis=0)) / deviation
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
    weight, bias = shrunken_discriminant(X, y, 3)
    ours = np.mean((Z @ weight + bias).argmax(axis=1) == z)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y).score(Z, z)
    assert ours >= theirs - 0.05


def test_a_column_that_hardly_varied_does_not_explode() -> None:
    """As of an ion that few training pixels have, all near its mean, and that vary elsewhere."""
    X, y = data(20, 30)
    Z, _ = data(20, 30, seed=1)
    before = Z @ shrunken_discriminant(X, y, 3)[0]
    rng = np.random.default_rng(2)
    rare, wide = np.zeros((len(X), 10)), rng.normal(size=(len(Z), 10))
    rare[:8] = rng.uniform(0.5e-4, 1e-4, (8, 10))  # all of the first class
    weight, _ = shrunken_discriminant(np.hstack([X, rare]), y, 3)
    logits = np.hstack([Z, wide]) @ weight
    assert np.ptp(logits) < 3 * np.ptp(before)


def test_constant_columns_and_absent_classes() -> None:
    X, y = data(20, 6)
    X[:, 2] = 3.0
    weight, bias = shrunken_discriminant(X[y < 2], y[y < 2], 3)
    assert np.isfinite(weight).all()
    assert (weight[2] == 0).all()
    assert (weight[:, 2] == 0).all()
    assert bias[2] < -100
    nothing, _ = shrunken_discriminant(np.ones((4, 3)), np.array([0, 0, 1, 1]), 2)
    assert (nothing == 0).all()


@pytest.mark.parametrize(("n", "p"), [(200, 12), (30, 40)])
def test_values_to_be_lost_are_as_endless_copies_that_lost_them(
    n: int, p: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The covariance of values that are lost at random and scaled up is known without drawing."""
    # What is shrunk depends on the number of pixels, which copies multiply.
    monkeypatch.setattr(discriminant, "shrunken_means", lambda differences, counts: differences)
    monkeypatch.setattr(discriminant, "covariance_shrinkage", lambda gram, centred: 1e-3)
    X, y = data(n, p)
    X = np.abs(X)
    kept, rng = 0.25, np.random.default_rng(1)
    copies = np.concatenate([X * (rng.random(X.shape) < kept) / kept for _ in range(200)])
    weight, bias = shrunken_discriminant(X, y, 3, kept=kept)
    drawn, other = shrunken_discriminant(copies, np.tile(y, 200), 3)
    worse = np.abs(data(n, p, seed=5)[0])
    worse = worse * (rng.random(X.shape) < kept) / kept
    found, expected = worse @ weight + bias, worse @ drawn + other
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9
    whole = worse @ shrunken_discriminant(X, y, 3)[0]
    assert np.ptp(found) < np.ptp(whole)  # less sure than of what is complete


# -------------------------------------------------------------------- weights of pixels


@pytest.mark.parametrize(("n", "p", "shrinkage"), [(60, 6, 0.3), (15, 80, 1.0), (30, 60, 0.9)])
def test_a_heavy_pixel_is_several(
    n: int, p: int, shrinkage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In means, deviations and covariance: to 1e-10 the same as rows that stand there repeatedly.

    How far means and covariance are shrunk is told by the number of pixels, which weights do not
    change: both are held fixed here.
    """
    monkeypatch.setattr(discriminant, "shrunken_means", lambda differences, counts: differences)
    monkeypatch.setattr(discriminant, "SMALLEST_SHRINKAGE", shrinkage)
    X, y = data(n, p)
    X[:, 0] *= 1e3  # so that the covariance asks for less shrinkage than it gets
    X[:, 1:] += X[:, :1] * 1e-3 * np.arange(1, p)
    times = np.random.default_rng(5).integers(1, 5, y.size)
    rows = np.repeat(np.arange(y.size), times)
    weighted = shrunken_discriminant(X, y, 3, times.astype(np.float64))
    repeated = shrunken_discriminant(X[rows], y[rows], 3)
    logits = [X @ weight + bias for weight, bias in (weighted, repeated)]
    np.testing.assert_allclose(*logits, rtol=1e-10, atol=1e-10 * np.abs(logits[0]).max())
    plain = shrunken_discriminant(X, y, 3)
    assert np.abs(X @ plain[0] + plain[1] - logits[0]).max() > 1e-3 * np.abs(logits[0]).max()


def test_weights_are_relative_and_make_no_more_pixels() -> None:
    """Three times as heavy is the same; three times as many is less shrinkage."""
    X, y = data(20, 30)
    plain, heavy = (shrunken_discriminant(X, y, 3, weight) for weight in (None, np.full(60, 3.0)))
    np.testing.assert_allclose(plain[0], heavy[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(plain[1], heavy[1], rtol=1e-12)
    more, _ = shrunken_discriminant(np.tile(X, (3, 1)), np.tile(y, 3), 3)
    assert np.abs(more).sum() > 1.1 * np.abs(plain[0]).sum()


def test_a_pixel_of_next_to_no_weight_is_not_there() -> None:
    X, y = data(20, 12)
    outlier = np.vstack([X, 1e3 * np.ones((1, 12))])
    weight = np.append(np.ones(60), 1e-12)
    found, bias = shrunken_discriminant(outlier, np.append(y, 0), 3, weight)
    without, other = shrunken_discriminant(X, y, 3)
    np.testing.assert_allclose(X @ found + bias, X @ without + other, rtol=0.02, atol=0.02)


def test_unequal_weights_are_shrunk_as_fewer_pixels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def noted(differences: np.ndarray, counts: np.ndarray) -> np.ndarray:
        seen.append(counts)
        return shrunken_means(differences, counts)

    monkeypatch.setattr(discriminant, "shrunken_means", noted)
    X, y = data(20, 6)
    weight = np.where(np.arange(60) % 2, 1.0, 1e-9)
    for one in (None, np.full(60, 0.1), weight, np.where(np.arange(60) % 2, 3.0, 1.0)):
        shrunken_discriminant(X, y, 3, one)
    assert seen[0].tolist() == [20, 20, 20]
    np.testing.assert_allclose(seen[1], 20)
    np.testing.assert_allclose(seen[2], 10)
    np.testing.assert_allclose(seen[3], 40**2 / (10 * 9 + 10))


# -------------------------------------------------------------------- means within chance


def differences(means: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Measured means of classes with unit deviation, less their mean."""
    rng = np.random.default_rng(seed)
    found = means + rng.normal(size=means.shape) / np.sqrt(counts)
    return found - found.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("counts", [(30, 30), (20, 30, 50), (10, 200)])
def test_chance_vanishes_and_signal_stays(counts: tuple[int, ...]) -> None:
    n = np.array(counts)
    means = np.zeros((500, len(n)))
    means[:4, 0] = 10 / np.sqrt(n.min())
    shrunken = shrunken_means(differences(means, n, 0), n)
    assert np.mean(shrunken[4:] == 0) > 0.9
    assert (np.abs(shrunken[:4]).max(axis=1) > 0).all()


def test_the_error_of_a_difference_is_known() -> None:
    n = np.array([20, 30, 50])
    drawn = np.stack([differences(np.zeros((1, 3)), n, seed)[0] for seed in range(4000)])
    expected = np.sqrt((1 - 2 / 3) / n + (1 / n).sum() / 9)
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.04)


@pytest.mark.parametrize("n_signals", [0, 5, 100, 500])
def test_the_risk_is_not_above_that_of_the_means_themselves(n_signals: int) -> None:
    n = np.array([25, 25])
    gained = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        means = np.zeros((500, 2))
        means[:n_signals, 0] = rng.normal(size=n_signals)
        measured = differences(means, n, seed + 100)
        truth = means - means.mean(axis=1, keepdims=True)
        before = ((measured - truth) ** 2).sum()
        gained.append(((shrunken_means(measured, n) - truth) ** 2).sum() / before)
    assert np.mean(gained) < (0.2 if n_signals < 10 else 1.01)


def test_a_mean_that_is_not_known_says_nothing() -> None:
    n = np.array([[20.0, 20.0, 0.0], [20.0, 20.0, 20.0]])
    measured = np.array([[2.0, -2.0, 9.0], [2.0, -1.0, -1.0]])
    shrunken = shrunken_means(measured, n)
    assert shrunken[0, 2] == 0
    assert (shrunken[:, :2] != 0).all()


def test_one_class_has_no_differences() -> None:
    assert (shrunken_means(np.zeros((4, 1)), np.array([7])) == 0).all()
