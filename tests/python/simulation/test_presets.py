"""Presets of regions to be found without labels, and the settings that came with them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import label

import massgraph as mg
from massgraph.data.spectra import Spectra
from massgraph.simulation.run import Peaks
from massgraph.simulation.simulate import (
    BLOCK,
    OFF_TISSUE,
    PRESETS,
    Simulation,
    simulate,
    simulate_chunks,
)
from simulation_truth import equal

VARIANTS = [name for name in PRESETS if name.startswith("regions")]
NEW: dict[str, Any] = {"islands": False, "holes": 0, "keep": 1.0, "top": 1.0}
# So small that all presets are made within seconds; with islands there must be room for them.
SMALL = (24, 24)


@pytest.fixture(scope="module")
def regions() -> Simulation:
    return simulate("regions", shape=(20, 20))


# ------------------------------------------------------------------------ what was before


@pytest.mark.parametrize(
    ("preset", "n_peaks", "ions", "truth", "mz", "log_intensity"),
    [
        ("tiny", 24011, 2116298, "6b0208e0a7c1", 686.9910133795522, 5.81205368),
        ("small", 666088, 175577610, "0cfe45222e8c", 689.9486065557677, 5.57974863),
        ("demo", 665317, 174957716, "0cfe45222e8c", 689.398715575132, 5.58548498),
    ],
)
def test_old_presets_give_what_they_gave(
    preset: str, n_peaks: int, ions: int, truth: str, mz: float, log_intensity: float
) -> None:
    """By what other processors round alike: not to the last bit of the floats."""
    simulation = simulate(preset)
    assert simulation.spectra.n_peaks == n_peaks
    assert simulation.ion.sum() == ions
    assert hashlib.sha256(",".join(simulation.truth).encode()).hexdigest()[:12] == truth
    assert simulation.spectra.mz.mean() == pytest.approx(mz, rel=1e-9)
    assert np.log(simulation.spectra.intensity).mean() == pytest.approx(log_intensity, rel=1e-6)


def test_new_settings_at_their_defaults_change_nothing() -> None:
    assert equal(simulate("tiny"), simulate("tiny", **NEW))


def test_old_presets_have_none_of_the_new_settings() -> None:
    for name in ("tiny", "demo", "small", "medium", "large"):
        assert {setting: getattr(PRESETS[name], setting) for setting in NEW} == NEW


# ------------------------------------------------------------------------ presets


@pytest.mark.parametrize(
    ("preset", "n_runs", "shape", "n_classes"),
    [
        ("regions", 1, (40, 40), 4),
        ("regions-noisy", 1, (40, 40), 4),
        ("regions-weak", 1, (40, 40), 4),
        ("regions-keep25", 1, (40, 40), 4),
        ("regions-top25", 1, (40, 40), 4),
        ("regions-miscalibrated", 1, (40, 40), 4),
        ("regions-adducts", 1, (40, 40), 4),
        ("regions-8", 1, (46, 46), 8),
        ("regions-12", 1, (56, 56), 12),
        ("regions-islands", 1, (46, 46), 5),
        ("regions-runs", 3, (28, 28), 4),
        ("regions-holes", 1, (24, 80), 4),
    ],
)
def test_runs_shape_and_regions_of_the_presets(
    preset: str, n_runs: int, shape: tuple[int, int], n_classes: int
) -> None:
    settings = PRESETS[preset]
    assert (settings.n_runs, settings.shape, settings.n_classes) == (n_runs, shape, n_classes)
    simulation = simulate(preset, shape=SMALL, n_background=5, n_species=1)
    assert len(simulation.spectra.run_names) == n_runs
    assert simulation.truth.shape == (simulation.spectra.n_pixels,)
    for run in simulation.spectra.run_names:
        truth = simulation.truth[simulation.spectra.run == run]
        assert set(truth) == {*simulation.classes, OFF_TISSUE}
        assert len(simulation.classes) == n_classes
    # Every region has what it is found by.
    assert set(simulation.families["discriminates"]) - {""} == set(simulation.classes)


def test_all_variants_are_tested() -> None:
    assert len(VARIANTS) == 12


@pytest.mark.parametrize(
    ("preset", "harder"),
    [
        ("regions-noisy", {"noise": 0.6}),
        ("regions-weak", {"effect": 0.2}),
        ("regions-keep25", {"keep": 0.25}),
        ("regions-top25", {"top": 0.25}),
        (
            "regions-miscalibrated",
            {"calibration_ppm": 10.0, "drift_ppm": 4.0, "jitter_ppm": 6.0},
        ),
        ("regions-adducts", {"adduct_variation": 1.5, "effect": 0.5}),
        ("regions-runs", {"n_runs": 3, "shape": (28, 28), "batch_effect": 0.25}),
        ("regions-holes", {"holes": 4, "shape": (24, 80)}),
    ],
)
def test_a_variant_differs_in_what_its_name_says(preset: str, harder: dict[str, Any]) -> None:
    assert PRESETS[preset] == replace(PRESETS["regions"], **harder)
    assert all(getattr(PRESETS["regions"], name) != value for name, value in harder.items())


def test_regions_are_those_of_the_measurements(regions: Simulation) -> None:
    """What the figures of label-free segmentation were measured on."""
    asked = simulate("small", n_runs=1, shape=(20, 20), n_classes=4, n_families=16)
    assert equal(regions, asked)


def test_islands_in_the_image() -> None:
    simulation = simulate("regions-islands", n_background=5, n_species=1)
    image = simulation.truth.reshape(46, 46)
    parts = np.bincount(label(image == simulation.classes[-1])[0].ravel())[1:]
    assert parts.size == 9
    assert 9 <= parts.min() <= parts.max() <= 25


def test_pixels_in_holes_are_missing() -> None:
    simulation = simulate("regions-holes", n_background=5, n_species=1)
    spectra = simulation.spectra
    assert spectra.coordinates is not None
    assert spectra.n_pixels == 24 * 80 - 4 * 29
    for values in (simulation.truth, simulation.labels, simulation.calibration_ppm):
        assert values.shape == (spectra.n_pixels,)
    image = np.zeros((24, 80), dtype=bool)
    columns, rows = spectra.coordinates.astype(int).T - 1
    image[rows, columns] = True
    assert np.bincount(label(~image)[0].ravel())[1:].tolist() == [29] * 4


@pytest.mark.parametrize("preset", ["regions-keep25", "regions-top25", "regions-holes"])
def test_same_seed_same_bits(preset: str) -> None:
    settings: dict[str, Any] = {"shape": SMALL, "n_background": 5, "n_species": 1}
    one, again = (simulate(preset, **settings, random_state=3) for _ in range(2))
    assert equal(one, again)
    other = simulate(preset, **settings, random_state=4)
    assert one.spectra.fingerprint() != other.spectra.fingerprint()


def test_islands_depend_on_the_seed() -> None:
    one, again, other = (
        simulate("regions-islands", shape=SMALL, n_background=5, n_species=1, random_state=seed)
        for seed in (3, 3, 4)
    )
    assert equal(one, again)
    assert one.truth.tolist() != other.truth.tolist()


# ------------------------------------------------------------------------ settings


def test_a_share_of_the_peaks_is_kept_at_random(regions: Simulation) -> None:
    some = simulate("regions", shape=(20, 20), keep=0.25)
    n = regions.spectra.n_peaks
    assert some.spectra.n_peaks == pytest.approx(n / 4, abs=5 * np.sqrt(n * 0.25 * 0.75))
    # Weak and strong alike: a quarter of the peaks has a quarter of the intensity.
    total = some.spectra.tic().sum() / regions.spectra.tic().sum()
    assert total == pytest.approx(0.25, rel=0.05)


def test_kept_peaks_are_those_of_the_whole() -> None:
    """With their ions, in every chunk; and nothing else of the simulation is another."""
    whole, some = (simulate("tiny", n_runs=1, shape=(40, 30), keep=keep) for keep in (1.0, 0.25))
    ion = dict(zip(whole.spectra.mz.tolist(), whole.ion.tolist(), strict=True))
    assert [ion[mz] for mz in some.spectra.mz.tolist()] == some.ion.tolist()
    assert some.truth.tolist() == whole.truth.tolist()
    assert some.families.equals(whole.families)
    assert np.array_equal(some.calibration_ppm, whole.calibration_ppm)


@pytest.mark.parametrize("share", [0.25, 0.29, 0.9])
def test_the_most_intense_peaks_of_each_pixel_are_kept(share: float) -> None:
    """The same as is done to measured spectra."""
    whole = simulate("tiny", n_runs=1)
    top = simulate("tiny", n_runs=1, top=share)
    expected = mg.degrade.keep_most_intense(whole.spectra, share)
    assert top.spectra.fingerprint() == expected.fingerprint()
    assert top.truth.tolist() == whole.truth.tolist()


def test_ions_of_the_most_intense_peaks_stay_with_them() -> None:
    simulation = simulate("regions-top25", shape=(8, 8))
    known = simulation.ion >= 0
    error = simulation.spectra.mz[known] / simulation.axis[simulation.ion[known]] - 1.0
    assert np.abs(error).max() < 20e-6


def test_of_equal_peaks_the_lower_is_kept() -> None:
    peaks = Peaks(
        pixel=np.array([0, 0, 0, 0, 2, 2]),
        mz=np.array([500.0, 510.0, 520.0, 530.0, 500.0, 510.0]),
        intensity=np.array([1.0, 3.0, 2.0, 2.0, 5.0, 5.0], dtype=np.float32),
        ion=np.arange(6),
    )
    kept = peaks.strongest(0.5)
    assert kept.pixel.tolist() == [0, 0, 2]
    assert kept.ion.tolist() == [1, 2, 4]
    nothing = peaks.take(np.zeros(6, dtype=bool)).strongest(0.5)
    assert nothing.mz.size == 0


def test_the_most_intense_are_taken_of_those_kept_at_random() -> None:
    kept = simulate("tiny", n_runs=1, keep=0.5)
    both = simulate("tiny", n_runs=1, keep=0.5, top=0.5)
    expected = mg.degrade.keep_most_intense(kept.spectra, 0.5)
    assert both.spectra.fingerprint() == expected.fingerprint()


def test_pixels_may_have_no_peak_left() -> None:
    simulation = simulate("tiny", n_runs=1, keep=1e-9, top=0.01)
    assert simulation.spectra.n_pixels == 144
    assert simulation.spectra.n_peaks == simulation.ion.size == 0


def test_labels_are_not_lost_in_holes() -> None:
    few = simulate("tiny", shape=(20, 20), holes=3, labelled_fraction=1e-6)
    for run in few.spectra.run_names:
        labels = few.labels[few.spectra.run == run]
        assert [np.sum(labels == name) for name in few.classes] == [1, 1, 1]


def test_a_run_with_holes_is_the_same_whatever_their_number() -> None:
    settings: dict[str, Any] = {"shape": (16, 16), "holes": 1, "keep": 0.5, "n_species": 1}
    two = simulate("tiny", **settings)
    first = two.spectra[two.spectra.run == "run1"]
    assert simulate("tiny", n_runs=1, **settings).spectra.fingerprint() == first.fingerprint()


def test_islands_leave_what_is_not_tissue() -> None:
    """Which molecules there are and what is planted does not depend on the geometry."""
    settings: dict[str, Any] = {"shape": SMALL, "n_runs": 1, "n_classes": 4}
    one, other = (simulate("tiny", islands=islands, **settings) for islands in (False, True))
    assert one.families.equals(other.families)
    assert one.truth.tolist() != other.truth.tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"keep": 0.5},
        {"top": 0.5},
        {"holes": 4},
        {"islands": True, "n_classes": 4},
        {"keep": 0.5, "top": 0.5, "holes": 2, "islands": True},
    ],
)
def test_chunks_are_the_pixels_of_the_whole(settings: dict[str, Any]) -> None:
    small: dict[str, Any] = {"n_runs": 2, "shape": (40, 30), "n_species": 1, "random_state": 5}
    whole = simulate("tiny", **small, **settings)
    chunks = list(simulate_chunks("tiny", **small, **settings))
    assert len(chunks) == 4
    assert max(chunk.spectra.n_pixels for chunk in chunks) <= BLOCK
    joined = replace(
        chunks[0],
        spectra=Spectra.concatenate([chunk.spectra for chunk in chunks]),
        **{
            name: np.concatenate([getattr(chunk, name) for chunk in chunks])
            for name in ("labels", "truth", "ion", "calibration_ppm")
        },
    )
    assert equal(whole, joined)


# ------------------------------------------------------------------------ as an enemy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 0.0}, r"keep is 0.0, must be in \(0, 1\]"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"keep": float("nan")}, "keep is nan"),
        ({"top": 0}, r"top is 0, must be in \(0, 1\]"),
        ({"top": -0.25}, "top is -0.25"),
        ({"holes": -1}, "holes is -1, must be a whole number from 0"),
        ({"holes": 1.5}, "holes is 1.5"),
        ({"holes": True}, "holes is True"),
        ({"islands": 1}, "islands is 1, must be True or False"),
        ({"islands": "yes"}, "islands is 'yes'"),
        (
            {"islands": True, "n_classes": 2, "shape": (24, 24)},
            "n_classes is 2, must be at least 3 with islands",
        ),
        ({"islands": True}, r"shape \(12, 12\) must be at least \(24, 24\) with islands"),
        ({"islands": True, "shape": (80, 23)}, r"shape \(80, 23\)"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    for make in (simulate, simulate_chunks):
        with pytest.raises(mg.InputError, match=message) as error:
            make("tiny", **settings)
        assert "\n" not in str(error.value)


def test_an_unknown_preset_is_answered_with_all_names() -> None:
    with pytest.raises(ValueError, match=r"preset 'region' is none of .*'regions-islands'"):
        simulate("region")


@pytest.mark.parametrize(
    "settings",
    [
        {"holes": 50, "shape": (8, 8)},
        {"holes": 10**9},
        {"islands": np.True_, "shape": [24, 24], "n_classes": 3},
        {"islands": True, "shape": (24, 24), "n_classes": 12, "n_families": 12, "holes": 50},
        {"keep": 1e-3},
        {"keep": 1, "top": 1},
    ],
)
def test_settings_at_their_ends_work(settings: dict[str, Any]) -> None:
    simulation = simulate("tiny", **{"n_runs": 1, **settings})
    assert simulation.ion.shape == simulation.spectra.mz.shape
    assert set(simulation.truth) == {*simulation.classes, OFF_TISSUE}
