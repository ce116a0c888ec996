"""Maps of halves of the molecules, and maps that are moved."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.learn.region_halves import half_maps, overlaps, random_halves
from massgraph.learn.shifted_maps import shifted_maps


@pytest.fixture(scope="module")
def fit():
    simulation = mg.simulate("demo", n_runs=1, shape=(24, 24), random_state=1)
    return mg.SpatialRegions(n_regions=4).fit(simulation.spectra), simulation.spectra


def test_halves_of_the_molecules_find_clear_regions_again(fit):
    regions, spectra = fit
    model = regions.region_model_
    halves = half_maps(model, model.read(spectra), seed=0)
    assert len(halves) == 2
    together = np.concatenate([half.tested for half in halves])
    np.testing.assert_array_equal(np.sort(together), np.arange(model.group.max() + 1))
    for half in halves:
        assert half.overlap.min() > 0.7
        tissue = half.label >= 0
        assert (half.label == regions.labels_)[tissue].mean() > 0.85


def test_same_seed_same_halves(fit):
    regions, spectra = fit
    model = regions.region_model_
    one, other = (half_maps(model, model.read(spectra), seed=3) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.label, second.label)


def test_one_region_has_no_halves(fit):
    _, spectra = fit
    regions = mg.SpatialRegions(n_regions=1).fit(spectra)
    assert half_maps(regions.region_model_, regions.region_model_.read(spectra), seed=0) == []
    found = regions.findings(spectra)
    assert found.regions["stability"].isna().all()
    assert "too little to divide" in found.cautions[0]


def test_noise_is_not_found_again():
    rng = np.random.default_rng(0)
    place = np.argwhere(np.ones((20, 20)))
    X = rng.lognormal(size=(400, 40))
    spectra = mg.Spectra.from_matrix(X, np.linspace(700, 780, 40), coordinates=place)
    regions = mg.SpatialRegions(n_regions=4).fit(spectra)
    found = regions.findings(spectra)
    assert found.regions["stability"].max() < 0.5
    assert (found.regions["n_molecules"] == 0).all()
    assert any("doubtful" in caution for caution in found.cautions)


def test_halves_are_all_and_apart():
    first, second = random_halves(11, np.random.default_rng(2))
    assert len(first) - len(second) == 1
    np.testing.assert_array_equal(np.sort(np.concatenate([first, second])), np.arange(11))


def test_overlap_of_a_map_with_itself_is_one():
    label = np.random.default_rng(0).integers(-1, 4, 200)
    np.testing.assert_array_equal(np.diag(overlaps(label, label, 4)), 1.0)


@pytest.mark.parametrize("shape", [(12, 9), (1, 40)])
def test_moved_maps_keep_the_shares_of_the_regions(shape):
    place = np.argwhere(np.ones(shape)).astype(float)
    label = (place[:, 1] > shape[1] / 3).astype(np.int64)
    run, pixels = np.array(["a"] * len(label)), np.arange(len(label))
    maps = shifted_maps(label, place, run, pixels, 50, np.random.default_rng(0))
    # Without gaps a map that goes round has as many pixels of each region wherever it is.
    np.testing.assert_array_equal(maps.sum(axis=1), label.sum())
    assert len(np.unique(maps, axis=0)) > 5


def test_moved_maps_of_a_run_stay_in_the_run():
    place = np.tile(np.argwhere(np.ones((6, 6))), (2, 1)).astype(float)
    run = np.repeat(["a", "b"], 36)
    label = np.repeat([0, 1], 36)
    maps = shifted_maps(label, place, run, np.arange(72), 20, np.random.default_rng(0))
    np.testing.assert_array_equal(maps, np.tile(label, (20, 1)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_moved_maps_of_sections_far_apart_and_of_a_stack(axis):
    """What lies between two sections fills no memory, and those of a stack are two images."""
    place = np.tile(np.c_[np.argwhere(np.ones((6, 6))), np.ones(36)], (2, 1))
    place[36:, axis] += 900_000
    label = np.repeat([0, 1], 36)
    maps = shifted_maps(
        label, place, np.array(["a"] * 72), np.arange(72), 20, np.random.default_rng(0)
    )
    assert maps.shape == (20, 72)
    if axis == 2:
        np.testing.assert_array_equal(maps, np.tile(label, (20, 1)))


def test_without_places_pixels_change_places():
    label, run = np.repeat([0, 1], 50), np.array(["a"] * 100)
    maps = shifted_maps(label, None, run, np.arange(100), 20, np.random.default_rng(0))
    assert 0.3 < maps.mean() < 0.7
    assert (maps != label).any()
