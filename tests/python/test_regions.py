"""Regions without labels: what a user is promised, and what an enemy tries."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

import massgraph as mg
from massgraph.data.neighbours import Neighbours
from massgraph.simulation.simulate import OFF_TISSUE


def tissue(**settings):
    simulation = mg.simulate(
        **{"preset": "demo", "n_runs": 1, "shape": (24, 24), "random_state": 1, **settings}
    )
    return simulation.spectra, simulation.truth


@pytest.fixture(scope="module")
def image():
    return tissue()


@pytest.fixture(scope="module")
def fitted(image):
    return mg.SpatialRegions(n_regions=4).fit(image[0])


@pytest.fixture(scope="module")
def searched(image):
    return mg.SpatialRegions(max_regions=6).fit(image[0])


# -------------------------------------------------------------------- like a user


def test_regions_are_those_of_the_tissue(image, fitted):
    assert fitted.n_regions_ == 4
    assert fitted.off_tissue_ == 3
    # Where tissue ends within a pixel, either is right.
    assert ((fitted.labels_ == 3) == (image[1] == "off-tissue")).mean() > 0.97
    assert adjusted_rand_score(image[1].astype(str), fitted.labels_) > 0.9


def test_the_number_is_found(image, searched):
    assert searched.n_regions_ == len(set(image[1]))
    assert searched.selection_["n_regions"].tolist() == list(range(2, 9))
    assert adjusted_rand_score(image[1].astype(str), searched.labels_) > 0.9


def test_maps_of_other_numbers_come_of_the_same_fit(searched):
    for k in range(2, 7):
        other = searched.at(k)
        assert other.n_regions_ == k
        assert set(other.labels_.tolist()) <= set(range(k))
    np.testing.assert_array_equal(searched.at(searched.n_regions_).labels_, searched.labels_)
    with pytest.raises(mg.InputError, match="the fit has maps of 2 to 6 regions, not of 7"):
        searched.at(7)


def test_a_number_that_was_given_is_the_only_one(fitted):
    with pytest.raises(mg.InputError, match='one map, of 4 regions: fit with n_regions="auto"'):
        fitted.at(3)


def test_prediction_of_the_same_pixels_is_the_fit(image, fitted):
    np.testing.assert_array_equal(fitted.predict(image[0]), fitted.labels_)
    np.testing.assert_array_equal(fitted.predict_proba(image[0]), fitted.probabilities_)
    np.testing.assert_array_equal(clone(fitted).fit_predict(image[0]), fitted.labels_)


def test_a_new_run_has_the_same_regions(fitted):
    spectra, truth = tissue(n_runs=2)
    other = spectra.run == "run2"
    found = fitted.predict(spectra[np.flatnonzero(other)])
    assert adjusted_rand_score(truth[other].astype(str), found) > 0.8


def test_segment_is_what_writers_know(image, fitted, tmp_path):
    found = fitted.segment(image[0], reference=image[1])
    assert found.classes == ("region 1", "region 2", "region 3", "off-tissue")
    np.testing.assert_array_equal(found.label.codes, fitted.labels_)
    assert found.parameters["number_was_given"]
    found.write_h5ad(tmp_path / "regions.h5ad")


def test_regions_are_told_from_the_largest(fitted):
    assert fitted.separation_.shape == (4,)
    assert fitted.separation_.min() > 2
    assert (np.diff(fitted.region_model_.mixture.weight) <= 0).all()


def test_components_have_unit_noise(image, fitted):
    Z = fitted.transform(image[0])
    place = image[0].coordinates
    # Of the edge, where off-tissue pixels are neighbours, nothing was learnt.
    off = (fitted.labels_ == fitted.off_tissue_).astype(float)
    inner = (Neighbours.within(image[0], 1).shares() @ off + off) == 0
    beside = (np.diff(place[:, 0]) == 1) & inner[1:] & inner[:-1]
    assert np.diff(Z, axis=0)[beside].var() / 2 == pytest.approx(1.0, abs=0.2)


# -------------------------------------------------------------------- invariants


def test_a_source_of_blocks_gives_the_same(image, fitted):
    source = mg.streaming.JoinedSpectra([image[0]])
    found = mg.SpatialRegions(n_regions=4).fit(source)
    assert adjusted_rand_score(found.labels_, fitted.labels_) > 0.99
    np.testing.assert_array_equal(found.predict(source), found.labels_)


def test_order_of_pixels_hardly_matters(image, fitted):
    order = np.random.default_rng(0).permutation(image[0].n_pixels)
    found = mg.SpatialRegions(n_regions=4).fit(image[0][order])
    assert adjusted_rand_score(found.labels_, fitted.labels_[order]) > 0.98


def test_same_seed_same_bits_and_no_global_state(image, fitted):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the caller's own
    found = mg.SpatialRegions(n_regions=4).fit(image[0])
    np.testing.assert_array_equal(found.probabilities_, fitted.probabilities_)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_pickles(image, fitted):
    other = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(other.predict(image[0]), fitted.labels_)


def test_brightness_does_not_matter(image, fitted):
    rng = np.random.default_rng(0)
    bright = mg.degrade.scale_intensity(image[0], np.exp(rng.normal(size=image[0].n_pixels)))
    assert adjusted_rand_score(fitted.predict(bright), fitted.labels_) > 0.98


def test_molecules_bear_a_balance_of_adducts_that_varies():
    spectra, truth = tissue(adduct_variation=1.5)
    found = mg.SpatialRegions(n_regions=4).fit(spectra).labels_
    assert adjusted_rand_score(truth.astype(str), found) > 0.9


# -------------------------------------------------------------------- any image


def test_pixels_without_peaks_are_in_no_region(image):
    spectra = image[0]
    empty = mg.degrade.remove_peaks(
        spectra, np.where(np.arange(spectra.n_pixels) % 50 == 7, 0.0, 1.0), np.random.default_rng(0)
    )
    without = empty.peak_counts == 0
    found = mg.SpatialRegions(n_regions=4).fit(empty)
    assert without.sum() > 5
    np.testing.assert_array_equal(found.labels_ == -1, without)
    np.testing.assert_array_equal(np.isnan(found.probabilities_).any(axis=1), without)
    segmentation = found.segment(empty)
    np.testing.assert_array_equal(np.asarray(segmentation.label.codes) == -1, without)


@pytest.mark.parametrize("shape", ["row", "holes", "thirty"])
def test_images_of_any_shape(image, shape):
    spectra, place = image[0], image[0].coordinates
    kept = {
        "row": place[:, 1] == 12,
        "holes": (np.hypot(*(place - 12).T) > 4) & (place[:, 1] != 6),
        "thirty": (np.abs(place[:, 0] - 12) < 3) & (np.abs(place[:, 1] - 12) < 3.5),
    }[shape]
    some = spectra[np.flatnonzero(kept)]
    found = mg.SpatialRegions(n_regions=2).fit(some)
    assert set(found.labels_.tolist()) == {0, 1}


def test_a_matrix_needs_its_axis_and_no_places(image):
    mz, column = image[0].align(10, "ppm")
    X = np.zeros((image[0].n_pixels, len(mz)))
    X[image[0].pixel_of_peak[column >= 0], column[column >= 0]] = image[0].intensity[column >= 0]
    found = mg.SpatialRegions(n_regions=4, spatial=False, mz=mz).fit(X)
    # The edge of the tissue is told by neighbours, and there are none.
    assert adjusted_rand_score(image[1].astype(str), found.labels_) > 0.7
    with pytest.raises(mg.InputError, match="no coordinates: give them, or say spatial=False"):
        mg.SpatialRegions(n_regions=4, mz=mz).fit(X)


def test_runs_that_differ_by_measurement():
    spectra, truth = tissue(n_runs=2, batch_effect=0.5, random_state=2)
    with pytest.warns(UserWarning, match="lies in one run: .* say run_offsets=True"):
        apart = mg.SpatialRegions(n_regions=4).fit(spectra)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together = mg.SpatialRegions(n_regions=4, run_offsets=True).fit(spectra)
    score = [adjusted_rand_score(truth.astype(str), found.labels_) for found in (apart, together)]
    assert score[1] > 0.8 > score[0]


def test_runs_that_are_of_different_tissue(image):
    # The cores of an array: each run is one class, and taking its mean off would take that away.
    spectra, truth = image
    tissue_ = np.flatnonzero(truth != OFF_TISSUE)
    name = np.asarray(truth[tissue_], dtype=str)
    names, codes = np.unique(name, return_inverse=True)
    cores = replace(spectra[tissue_], run_names=tuple(names.tolist()), run_codes=codes)
    with pytest.warns(UserWarning, match="lies in one run"):
        found = mg.SpatialRegions(n_regions=len(set(name))).fit(cores)
    assert adjusted_rand_score(name, found.labels_) > 0.95
    offset = mg.SpatialRegions(n_regions=len(set(name)), run_offsets=True).fit(cores)
    assert adjusted_rand_score(name, offset.labels_) < 0.1


# -------------------------------------------------------------------- like an enemy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_regions": 0}, 'n_regions is 0, need a whole number of at least 1 or "auto"'),
        ({"n_regions": "many"}, "n_regions is 'many', need"),
        ({"n_regions": 2.5}, "n_regions is 2.5, need"),
        ({"n_regions": True}, "n_regions is True, need"),
        ({"max_regions": 0}, "max_regions is 0, need a whole number of at least 1"),
        ({"features": "peaks"}, "features is 'peaks', need one of"),
        ({"covariance": "full"}, "covariance is 'full', need one of"),
        ({"radius": 0}, "radius is 0.0, need at least 1 pixel"),
        ({"n_regions": 10**6}, "1000000 regions need as many pixels with peaks at least, got 576"),
    ],
)
def test_bad_settings_are_one_line(image, settings, message):
    with pytest.raises(mg.InputError) as raised:
        mg.SpatialRegions(**settings).fit(image[0])
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def line(n):
    return np.stack([np.arange(n) + 1, np.ones(n)], axis=1)


def test_no_peaks():
    with pytest.raises(mg.InputError, match="no region can be told"):
        mg.SpatialRegions().fit(mg.Spectra.from_peaks([([], [])] * 4, coordinates=line(4)))


def test_one_pixel():
    spectra = mg.Spectra.from_peaks([([500.0, 600.0], [1.0, 2.0])], coordinates=line(1))
    found = mg.SpatialRegions().fit(spectra)
    assert found.n_regions_ == 1
    assert found.labels_.tolist() == [0]
    with pytest.raises(mg.InputError, match="2 regions need as many pixels"):
        mg.SpatialRegions(n_regions=2).fit(spectra)


def test_constant_spectra():
    spectra = mg.Spectra.from_peaks([([500.0, 600.0], [1.0, 2.0])] * 40, coordinates=line(40))
    assert mg.SpatialRegions().fit(spectra).n_regions_ == 1
    with pytest.raises(mg.InputError, match="too much alike to tell 3 regions apart"):
        mg.SpatialRegions(n_regions=3).fit(spectra)


def test_unfitted_and_the_other_polarity(image, fitted):
    with pytest.raises(NotFittedError):
        mg.SpatialRegions().predict(image[0])
    negative = mg.Spectra.from_peaks([([500.0], [1.0])], coordinates=line(1), polarity="negative")
    with pytest.raises(mg.InputError, match="of negative polarity, but the regions were found in"):
        fitted.predict(negative)
    with pytest.raises(mg.InputError, match="of negative polarity, but the regions were found in"):
        fitted.predict(mg.streaming.JoinedSpectra([negative]))


# -------------------------------------------------------------------- labels to begin at


def test_labels_to_begin_at_are_refined(image, fitted):
    spectra, truth = image
    rng = np.random.default_rng(0)
    names = truth.astype(object)
    names[rng.random(len(names)) < 0.3] = None
    found = mg.SpatialRegions(init=names).fit(spectra)
    assert found.n_regions_ == 4
    assert found.selection_ is None
    assert adjusted_rand_score(truth.astype(str), found.labels_) > 0.9


def test_labels_of_another_fit_are_labels_to_begin_at(image, fitted):
    found = mg.SpatialRegions(init=fitted.labels_).fit(image[0])
    assert adjusted_rand_score(found.labels_, fitted.labels_) > 0.95


@pytest.mark.parametrize(
    ("init", "n_regions", "message"),
    [
        (np.zeros(3), "auto", "init has 3 labels for 576 pixels: give one for each"),
        (np.full(576, np.nan), "auto", "init has no label on tissue"),
        (np.arange(576) % 3, 9, "init has 3 labels on tissue, but 8 regions of it are asked for"),
    ],
)
def test_labels_that_do_not_fit_are_refused(image, init, n_regions, message):
    with pytest.raises(mg.InputError, match=message):
        mg.SpatialRegions(n_regions, init=init).fit(image[0])


# -------------------------------------------------------------------- covariances


def test_covariances_of_their_own_where_the_data_ask_for_them():
    rng = np.random.default_rng(0)
    place = np.argwhere(np.ones((30, 30)))
    inside = np.hypot(*(place - 14.5).T) < 9
    # The same means; a region that scatters ten times as much as the other.
    X = 100 + rng.normal(size=(900, 12)) * np.where(inside, 20, 2)[:, None]
    spectra = mg.Spectra.from_matrix(X, np.linspace(700, 755, 12), coordinates=place)
    found = {
        covariance: mg.SpatialRegions(2, features="ions", covariance=covariance).fit(spectra)
        for covariance in ("auto", "shared")
    }
    score = {name: adjusted_rand_score(inside, fit.labels_) for name, fit in found.items()}
    assert found["auto"].region_model_.mixture.kind != "shared"
    assert score["auto"] > 0.95
    assert score["shared"] < 0.8


def test_tissue_like_any_other_shares_its_covariance(fitted):
    assert fitted.region_model_.mixture.kind == "shared"
    assert np.isfinite(fitted.log_likelihood_)
    assert fitted.n_parameters_ == fitted.region_model_.mixture.n_parameters


# -------------------------------------------------------------------- brightness, lost peaks


def steps_of(bright, noise, seed=0):
    """A square image of two halves that differ in one of twelve ions, times a brightness."""
    rng = np.random.default_rng(seed)
    place = np.argwhere(np.ones((30, 30)))
    X = rng.gamma(50, 2, (900, 12))
    X[place[:, 0] >= 15, 3] *= 2
    X *= (bright(place) * np.exp(noise * rng.normal(size=900)))[:, None]
    return mg.Spectra.from_matrix(X, np.linspace(700, 755, 12), coordinates=place), place


@pytest.mark.parametrize(
    ("bright", "noise", "given"),
    [
        (lambda place: np.exp(place[:, 1] / 15), 0.02, True),  # a field over the image
        (lambda place: np.exp(place[:, 1] / 15), 1.0, False),  # pixels by themselves
        (lambda place: np.where(place[:, 0] >= 15, 5.0, 1.0), 0.02, False),  # it steps
    ],
)
def test_brightness_is_taken_as_given_where_it_is_a_field(bright, noise, given):
    spectra, place = steps_of(bright, noise)
    regions = mg.SpatialRegions(2, features="ions").fit(spectra)
    assert regions.summary()["brightness_given"] is given
    assert adjusted_rand_score(place[:, 0] >= 15, regions.labels_) > 0.95


def test_peaks_lost_at_random(tmp_path):
    simulation = mg.simulate("regions", random_state=2, keep=0.4)
    tissue = simulation.truth != "off-tissue"
    spectra = simulation.spectra[np.flatnonzero(tissue)]
    truth = simulation.truth[tissue]
    regions = mg.SpatialRegions(len(set(truth))).fit(spectra)
    assert regions.summary()["peaks_kept"] == pytest.approx(0.4, abs=0.06)
    assert adjusted_rand_score(truth, regions.labels_) > 0.4
    regions.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(spectra), regions.labels_)


def test_a_pixel_whose_neighbours_are_none_keeps_its_own_components():
    simulation = mg.simulate("regions", random_state=2, keep=0.4, shape=(16, 16))
    spectra = simulation.spectra
    far = spectra[::5]
    regions = mg.SpatialRegions(3).fit(spectra)
    model = regions.region_model_
    alone = mg.SpatialRegions(3, spatial=False).fit(far)
    assert np.isfinite(alone.probabilities_).all()
    assert np.isfinite(model.look(far).components[~np.isnan(model.look(far).off)]).all()
