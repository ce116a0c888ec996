"""Minimum noise fraction."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from massgraph.learn.components import learn_components

ROWS = np.column_stack([np.arange(399), np.arange(1, 400)])


def image(seed=0, step=4.0):
    """400 pixels in a row, 10 columns; column 2 tells two halves apart, column 7 is loud noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(400, 10)) * np.array([1.0] * 7 + [30.0] + [1.0] * 2)
    X[200:, 2] += step
    return X


def found(X, pairs=ROWS, group=None):
    return learn_components(sp.csr_matrix(X), pairs, np.random.default_rng(0), group)


def test_what_neighbours_share_comes_first():
    components = found(image())
    assert np.abs(components.loadings[:, 0] * image().std(axis=0)).argmax() == 2
    assert components.signal[0] > 4
    assert components.signal[1] < 1.5


def test_noise_has_unit_variance():
    X = image()
    Z = found(X).transform(X)
    assert np.diff(Z[:, 0]).var() / 2 == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-9)


def test_units_of_the_columns_do_not_matter():
    X, units = image(), np.geomspace(1.0, 3.0, 10)
    one, other = found(X), found(X * units)
    np.testing.assert_allclose(one.signal[0], other.signal[0], rtol=0.05)


def test_signs_are_settled():
    X = image()
    components = found(X)
    largest = np.abs(components.loadings).argmax(axis=0)
    assert (components.loadings[largest, np.arange(components.loadings.shape[1])] > 0).all()


def test_dense_and_sparse_are_the_same():
    X = np.maximum(image(), 0)
    components = found(X)
    np.testing.assert_allclose(
        components.transform(X), components.transform(sp.csr_matrix(X)), atol=1e-9
    )


def test_differences_between_groups_can_be_left_out():
    X = image(step=0.0)
    half = np.repeat([0, 1], 200)
    X[half == 1, 4] += 8
    together, apart = found(X), found(X, group=half)
    assert together.signal[0] > 8
    assert apart.signal[0] < 1.5


def test_without_neighbours_components_are_principal():
    X = image()
    X[:, 5] = X[:, 6]
    components = found(X, pairs=np.empty((0, 2), dtype=np.int64))
    assert set(np.argsort(-np.abs(components.loadings[:, 0] * X.std(axis=0)))[:2]) == {5, 6}


@pytest.mark.parametrize("shape", [(3, 2), (2, 1), (5, 40), (1, 3)])
def test_small_images_give_finite_components(shape):
    X = np.random.default_rng(0).normal(size=shape)
    pairs = np.column_stack([np.arange(shape[0] - 1), np.arange(1, shape[0])])
    components = found(X, pairs)
    assert np.isfinite(components.transform(X)).all()


def test_a_constant_image_gives_zeros():
    X = np.ones((50, 4))
    assert np.abs(found(X, ROWS[:49]).transform(X)).max() < 1e-9


def test_noise_of_a_small_image_is_mostly_left_out():
    # Of few pixels, directions of noise vary 1.9 times as much as neighbours differ by chance.
    noise = np.random.default_rng(0).normal(size=(400, 60))
    assert found(noise).signal.size < 10
    assert found(noise).signal.min() > 1.5


@pytest.mark.parametrize("density", [0.02, 0.5])
def test_dense_and_sparse_products_are_one(density, monkeypatch):
    X = sp.random(500, 90, density, format="csr", random_state=1).toarray()
    pairs = np.column_stack([np.arange(499), np.arange(1, 500)])
    loadings = []
    for steps in (0.0, np.inf):
        monkeypatch.setattr("massgraph.learn.components.DENSE", steps)
        loadings.append(found(X, pairs).loadings)
    np.testing.assert_allclose(*loadings, rtol=1e-6, atol=1e-9)
