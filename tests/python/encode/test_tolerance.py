"""What the ions of the data say about the tolerance of mass differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph.chem.relations import Relations, default_relations
from massgraph.data import degrade
from massgraph.data.alignment import alignment_tolerance
from massgraph.encode.tolerance import BOUNDS_PPM, USUAL_PPM, difference_tolerance
from massgraph.learn.settings import resolve_settings
from massgraph.simulation.simulate import simulate


@pytest.fixture(scope="module")
def relations() -> Relations:
    return default_relations("positive")


def ions(relations: Relations, deviation_ppm: float, *, chance: int = 100, seed: int = 0) -> Any:
    """Pairs that meet a relation but for an error of known deviation, among ions by chance."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(300, 900, 200)
    heavy = light + rng.choice(relations.masses, light.size)
    heavy *= 1 + rng.normal(0, deviation_ppm * 1e-6, light.size)
    return np.sort(np.concatenate([light, heavy, rng.uniform(300, 900, chance)]))


@pytest.mark.parametrize(
    ("deviation", "chance"), [(0.5, 0), (0.5, 300), (1.0, 300), (2.0, 0), (2.0, 300), (3.0, 0)]
)
def test_three_deviations_of_the_true_pairs_are_found(
    relations: Relations, deviation: float, chance: int
) -> None:
    found = [
        difference_tolerance(ions(relations, deviation, chance=chance, seed=seed), relations)
        for seed in range(5)
    ]
    assert np.mean(found) == pytest.approx(3 * deviation, rel=0.25)


def test_it_stays_within_bounds(relations: Relations) -> None:
    assert difference_tolerance(ions(relations, 0.0), relations) == BOUNDS_PPM[0]
    assert difference_tolerance(ions(relations, 6.0), relations) <= BOUNDS_PPM[1]


def test_without_exact_differences_it_is_the_usual_one(relations: Relations) -> None:
    rng = np.random.default_rng(0)
    by_chance = np.sort(rng.uniform(300, 900, 1000))
    unit_mass = np.arange(300.0, 1200.0)
    few = np.array([700.5, 700.5 + 1.00335])
    for mz in (by_chance, unit_mass, few, few[:1], few[:0]):
        assert difference_tolerance(mz, relations) == USUAL_PPM


def test_chance_pairs_between_the_isotopes_of_a_lattice_are_no_true_ones() -> None:
    """A relation of a single mass that no pair meets: near misses must not widen the tolerance."""
    relations = mg.relations_from_masses({"d": 10.0})
    rng = np.random.default_rng(0)
    light = rng.uniform(300, 900, 100)
    missed = np.sort(np.concatenate([light, light + 10.0 + 0.008]))  # 9 to 27 ppm off
    assert difference_tolerance(missed, relations) in (USUAL_PPM, BOUNDS_PPM[1])


# -------------------------------------------------------------------- in a fit


@pytest.fixture(scope="module")
def tissue() -> Any:
    truth = simulate("small", n_runs=2, shape=(8, 8), random_state=0)
    known = np.array([label is not None for label in truth.labels])
    return truth.spectra[known], truth.labels[known].astype(str)


def fit(tissue: Any, **settings: Any) -> mg.RGCNClassifier:
    quick: dict[str, Any] = {"epochs": 1, "augment": 0, "random_state": 0, "folds": 2}
    return mg.RGCNClassifier(**{**quick, **settings}).fit(*tissue)


def test_a_fit_finds_it_and_says_so(tissue: Any) -> None:
    clf = fit(tissue)
    axis = clf.encoder_.axis
    assert axis is not None
    found = difference_tolerance(axis.mz, clf.settings_.relations)
    assert BOUNDS_PPM[0] <= found < USUAL_PPM  # simulated ions are exact
    assert clf.settings_.tolerance == clf.encoder_.settings.tolerance == found
    assert clf.summary()["tolerance"] == found
    assert clf.summary()["tolerance_unit"] == "ppm"
    assert clf.tolerance is None  # a clone looks for its own


def test_a_given_tolerance_is_kept(tissue: Any) -> None:
    assert fit(tissue, tolerance=7.5).settings_.tolerance == 7.5
    assert fit(tissue, tolerance=0.002, tolerance_unit="Da").settings_.tolerance_unit == "Da"


def test_a_shift_of_all_peaks_leaves_it(tissue: Any) -> None:
    spectra, labels = tissue
    moved = degrade.shift_mz(spectra, 0.02, "Da")
    assert fit((moved, labels)).settings_.tolerance == pytest.approx(
        fit(tissue).settings_.tolerance, rel=0.1
    )


def test_a_unit_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="'Da' is given without a tolerance: give both"):
        resolve_settings("default", "positive", {"tolerance_unit": "Da"})


@pytest.mark.parametrize(
    ("given", "expected"), [((1.2, "ppm"), (5.0, "ppm")), ((8.0, "ppm"), (8.0, "ppm"))]
)
def test_peaks_are_one_ion_within_5_ppm_however_exact_the_differences(
    given: tuple[float, str], expected: tuple[float, str]
) -> None:
    assert alignment_tolerance(*given) == expected
    assert alignment_tolerance(0.001, "Da") == (0.001, "Da")


def test_a_saved_model_keeps_it(tissue: Any, tmp_path: Any) -> None:
    clf = fit(tissue)
    clf.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    assert again.settings_.tolerance == clf.settings_.tolerance
    np.testing.assert_array_equal(again.logits(tissue[0]), clf.logits(tissue[0]))
