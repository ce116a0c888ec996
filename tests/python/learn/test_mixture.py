"""Mixtures: density, fit, search and path."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from massgraph.learn.mixture import COVARIANCES, Mixture, fit_mixture, mixture_of
from massgraph.learn.mixture_path import mixture_path, number_of_regions, selection_curve
from massgraph.learn.mixture_search import improved, joins, search_mixture, splits


def clouds(seed=0, places=((0, 0, 0), (5, 0, 0), (0, 5, 0), (9, 9, 0)), n=120):
    rng = np.random.default_rng(seed)
    spread = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 9.0]])
    Z = np.concatenate([rng.multivariate_normal(place, spread, n) for place in places])
    return Z, np.repeat(np.arange(len(places)), n)


def one_hot(label):
    return np.eye(label.max() + 1)[label]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_density_is_that_of_scipy(covariance):
    Z, label = clouds()
    mixture = mixture_of(Z, one_hot(label), covariance=covariance)
    assert mixture.kind == covariance
    covariance = mixture.scale[:, None, None] * mixture.covariance
    each = [
        multivariate_normal(m, c).logpdf(Z) for m, c in zip(mixture.mean, covariance, strict=True)
    ]
    expected = np.log(mixture.weight) + np.stack(each, axis=1)
    np.testing.assert_allclose(mixture.log_joint(Z), expected, rtol=1e-8)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_every_step_gains(covariance):
    Z, label = clouds()
    begun = one_hot(np.random.default_rng(1).permutation(label))
    mixture = mixture_of(Z, begun, covariance=covariance)
    scores = []
    for _ in range(30):
        scores.append(mixture.log_likelihood(Z))
        mixture = mixture_of(Z, mixture.responsibility(Z), covariance=covariance)
    # The ridge, and the prior of covariances of their own, may cost a little of each step.
    assert np.diff(scores).min() > -1e-3 * abs(scores[0])
    assert scores[-1] > scores[0]


def test_fit_reaches_scikit_learn():
    Z, label = clouds()
    _, ours = fit_mixture(Z, mixture_of(Z, one_hot(label)))
    rival = GaussianMixture(4, covariance_type="tied", n_init=5, random_state=0).fit(Z)
    assert ours == pytest.approx(rival.score(Z) * len(Z), abs=2.0)


def test_separation_is_the_distance_in_deviations():
    mixture = Mixture(
        np.full(2, 0.5), np.array([[0.0, 0.0], [6.0, 0.0]]), np.diag([4.0, 1.0])[None]
    )
    np.testing.assert_allclose(mixture.separation(), [[0, 3], [3, 0]])


def test_search_does_not_end_where_k_means_does():
    # Wide in one direction, which k-means cuts in pieces.
    Z, label = clouds()
    Z[:, 2] *= 5
    found = search_mixture(Z, 4, np.random.default_rng(0))
    assert adjusted_rand_score(label, found.log_joint(Z).argmax(axis=1)) > 0.9


def test_search_sorts_regions_by_size():
    Z, label = clouds()
    Z = np.concatenate([Z, Z[label == 2]])
    found = search_mixture(Z, 4, np.random.default_rng(0))
    assert (np.diff(found.weight) <= 0).all()


def test_same_seed_same_bits():
    Z, _ = clouds()
    one, other = (search_mixture(Z, 4, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.mean, other.mean)


def test_the_judge_decides():
    Z, _ = clouds()
    seen = []

    def judge(mixture):
        seen.append(mixture)
        return -float(mixture.weight.max())

    found = search_mixture(Z, 3, np.random.default_rng(0), judge=judge)
    assert found.weight.max() == min(mixture.weight.max() for mixture in seen)


def test_moves_mend_a_wrong_start():
    Z, label = clouds()
    wrong = np.where(label == 3, 2, label)
    wrong[(label == 0) & (np.arange(len(label)) % 2 == 0)] = 3
    before = mixture_of(Z, one_hot(wrong))
    after = improved(Z, before, np.random.default_rng(0))
    assert adjusted_rand_score(label, after.log_joint(Z).argmax(axis=1)) > 0.9


def test_splits_add_a_region_and_joins_take_one():
    Z, label = clouds()
    mixture = mixture_of(Z, one_hot(label))
    assert {len(start) for start in splits(Z, mixture, np.random.default_rng(0))} == {5}
    assert {len(start) for start in joins(Z, mixture)} == {3}


def test_the_path_finds_how_many():
    Z, label = clouds()
    path = mixture_path(Z, 7, np.random.default_rng(0))
    curve = selection_curve(path, Z)
    assert curve["n_regions"].tolist() == list(range(1, 8))
    assert (np.diff(curve["log_likelihood"]) > 0).all()
    assert number_of_regions(curve, 5) == 4
    assert number_of_regions(curve, 3) <= 3
    assert adjusted_rand_score(label, path[3].log_joint(Z).argmax(axis=1)) > 0.9


def test_the_path_ends_where_nothing_is_left_to_split():
    path = mixture_path(np.random.default_rng(0).normal(size=(15, 2)), 5, np.random.default_rng(0))
    assert len(path) == 1
    assert number_of_regions(selection_curve(path, np.zeros((15, 2))), 5) == 1


# -------------------------------------------------------------------- covariates


def test_what_a_covariate_explains_is_no_region():
    rng = np.random.default_rng(0)
    bright = np.repeat([-2.0, 2.0], 300)
    region = np.tile([0, 1], 300)
    Z = np.column_stack(
        [3 * bright + rng.normal(size=600), 2 * region + 0.4 * rng.normal(size=600)]
    )
    given = np.column_stack([Z, bright])
    plain = search_mixture(Z, 2, np.random.default_rng(0)).responsibility(Z).argmax(axis=1)
    found = search_mixture(given, 2, np.random.default_rng(0), covariates=1)
    label = found.responsibility(given).argmax(axis=1)
    assert adjusted_rand_score(bright, plain) > 0.95
    assert adjusted_rand_score(region, label) > 0.95
    assert found.slope[0, 0] == pytest.approx([3, 0], abs=0.2)


def test_what_differs_between_regions_stays_though_a_covariate_follows_it():
    rng = np.random.default_rng(0)
    region = np.repeat([0, 1], 300)
    bright = region + 0.3 * rng.normal(size=600)
    Z = np.column_stack([4 * region + rng.normal(size=600), rng.normal(size=600)])
    found = mixture_of(np.column_stack([Z, bright]), np.eye(2)[region], covariates=1)
    assert found.separation()[0, 1] == pytest.approx(4, abs=0.5)


def test_density_given_covariates_is_that_of_all_over_that_of_the_covariates():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    soft = rng.dirichlet(np.ones(3), 200)
    for covariance in ("shared", "own"):
        given = mixture_of(Z, soft, covariates=2, covariance=covariance)
        joint = mixture_of(Z, soft, covariance=covariance)
        rest = Mixture(np.ones(3), joint.mean[:, 2:], joint.covariance[:, 2:, 2:])
        expected = joint.log_joint(Z) - rest.log_joint(Z[:, 2:])
        np.testing.assert_allclose(given.log_joint(Z), expected, atol=1e-8)


# -------------------------------------------------------------------- scales


def unlike_spreads(seed=0, factor=3.0, n=400):
    """Two clouds of one shape, the second one wider, and which is which."""
    rng = np.random.default_rng(seed)
    shape = np.linalg.cholesky([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 4.0]])
    narrow, wide = rng.normal(size=(2, n, 3)) @ shape.T
    return np.concatenate([narrow, 4 + factor**0.5 * wide]), np.repeat([0, 1], n)


def test_scales_are_found():
    Z, label = unlike_spreads()
    mixture, _ = fit_mixture(Z, mixture_of(Z, one_hot(label)), covariance="scaled")
    assert mixture.kind == "scaled"
    assert mixture.scale[1] / mixture.scale[0] == pytest.approx(3, rel=0.15)
    assert mixture.n_parameters == mixture_of(Z, one_hot(label)).n_parameters + 1


def test_scales_take_less_than_covariances_of_their_own_and_explain_as_much():
    Z, label = unlike_spreads()
    fits = {
        kind: fit_mixture(Z, mixture_of(Z, one_hot(label)), covariance=kind)[0]
        for kind in COVARIANCES
    }
    assert min(fits, key=lambda kind: fits[kind].bic(Z)) == "scaled"


def test_no_region_lives_on_outliers_alone():
    Z, label = unlike_spreads(factor=400.0)
    mixture, _ = fit_mixture(Z, mixture_of(Z, one_hot(label)), covariance="scaled")
    assert mixture.scale.max() <= 2
    assert mixture.scale.min() >= 0.5


def test_scales_given_covariates():
    Z, label = unlike_spreads()
    bright = np.random.default_rng(1).normal(size=(len(Z), 1))
    given = np.column_stack([Z + bright, bright])
    mixture = mixture_of(given, one_hot(label), covariates=1, covariance="scaled")
    assert mixture.slope[0, 0] == pytest.approx([1, 1, 1], abs=0.2)
    plain = mixture_of(Z, one_hot(label), covariance="scaled")
    assert mixture.scale == pytest.approx(plain.scale, rel=0.05)
