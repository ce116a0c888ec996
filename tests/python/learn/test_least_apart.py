"""Regions by how far they are apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import massgraph as mg
from massgraph.learn.least_apart import clearly_apart, joined_by_separation
from massgraph.learn.mixture import fit_mixture, mixture_of

WIDE, A, B = 0, 1, 2


def noise_and_two_shapes(seed=0, sizes=(600, 40, 40)):
    """A wide region, and two small ones that are close to each other and narrower."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([WIDE, A, B], sizes)
    Z = rng.normal(size=(truth.size, 3)) * np.array([2.0, 1.0, 1.0])[truth][:, None]
    Z[:, 0] += np.array([0.0, 14.0, 20.0])[truth]
    return Z, truth


def test_two_that_are_least_apart_are_joined_whatever_their_size():
    Z, truth = noise_and_two_shapes()
    label = np.where(truth == WIDE, Z[:, 1] > 0, truth + 1)  # halves of what is wide, and shapes
    of_label = np.eye(4)[label]
    four = mixture_of(Z, of_label, covariance="scaled")
    assert four.weight[:2].min() > 4 * four.weight[2:].max()
    joined = joined_by_separation(Z, of_label, four, 3, "scaled")
    assert joined.kind == "scaled"
    assert (joined.log_joint(Z).argmax(axis=1) == truth).mean() > 0.99


@pytest.mark.parametrize("kind", ["shared", "scaled", "own"])
def test_joined_regions_have_the_kind_of_covariance_that_is_asked_for(kind):
    Z, truth = noise_and_two_shapes()
    mixture = mixture_of(Z, np.eye(3)[truth], covariance="scaled")
    assert joined_by_separation(Z, np.eye(3)[truth], mixture, 2, kind).kind == kind


def test_outliers_are_no_region():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 3))
    Z[:2] += 40.0
    outliers = np.repeat([0, 1], [2, 198])
    halves = (Z[:, 0] > 0).astype(int)
    mixture = mixture_of(Z, np.eye(2)[outliers])
    assert mixture.separation().max() > 10
    assert not clearly_apart(mixture, 200, mixture_of(Z, np.eye(2)[halves]))


def test_what_is_hardly_further_apart_is_not_taken():
    Z, truth = noise_and_two_shapes()
    mixture = mixture_of(Z, np.eye(3)[truth], covariance="scaled")
    assert not clearly_apart(mixture, len(Z), mixture)


def test_regions_that_run_into_each_other_are_not_clear():
    Z = np.random.default_rng(0).normal(size=(300, 2))
    thirds = np.digitize(Z[:, 0], [-0.5, 0.5])
    halves = fit_mixture(Z, mixture_of(Z, np.eye(2)[np.minimum(thirds, 1)]))[0]
    assert not clearly_apart(mixture_of(Z, np.eye(2)[thirds // 2]), len(Z), halves)


def shapes_on_noise(seed, other=0.25, drift=0.5):
    """Two narrow shapes that are much alike on a wide background whose halves differ."""
    rng = np.random.default_rng(seed)
    side, n_ions = 24, 40
    row, column = np.divmod(np.arange(side**2), side)
    truth = np.full(side**2, WIDE)
    truth[(row < 6) & (column < 6)] = A
    truth[(row >= 18) & (column >= 18)] = B
    profile = rng.lognormal(0, 1.0, (3, n_ions))
    profile[B] = profile[A] * np.exp(rng.normal(0, other, n_ions))
    half = ((column >= side / 2) & (truth == WIDE))[:, None] * rng.normal(0, drift, n_ions)
    spread = np.array([0.4, 0.1, 0.1])[truth][:, None]
    log = np.log(profile[truth]) + half + rng.normal(size=(side**2, n_ions)) * spread
    place = np.column_stack([column, row])
    mz = 300.0 + 7 * np.arange(n_ions)
    return mg.Spectra.from_matrix(np.exp(log), mz, coordinates=place), truth


def test_small_shapes_are_told_apart_rather_than_a_background_halved():
    spectra, truth = shapes_on_noise(0)
    found = mg.SpatialRegions(3, random_state=0).fit_predict(spectra)
    assert adjusted_rand_score(truth, found) > 0.95


@pytest.mark.parametrize(("n_few", "taken"), [(4, False), (8, False), (40, True)])
def test_a_few_pixels_that_are_far_away_are_no_region(n_few, taken):
    # 8 are too few for 3 components, and 8 of 400 less than 3 %.
    Z = np.random.default_rng(1).normal(size=(400, 3))
    Z[:n_few] += 40.0
    few = np.arange(400) >= n_few
    halves = mixture_of(Z, np.eye(2)[(Z[:, 0] > 0).astype(int)])
    assert clearly_apart(mixture_of(Z, np.eye(2)[few.astype(int)]), 400, halves) is taken


def test_many_outliers_of_a_large_image_are_no_region():
    Z = np.random.default_rng(1).normal(size=(5000, 3))
    Z[:100] += 40.0
    far = (np.arange(5000) >= 100).astype(int)
    halves = mixture_of(Z, np.eye(2)[(Z[:, 0] > 0).astype(int)])
    assert not clearly_apart(mixture_of(Z, np.eye(2)[far]), 5000, halves)
