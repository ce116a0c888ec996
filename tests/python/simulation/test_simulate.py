"""Simulation: what is planted is there, nothing else is, and the same seed gives the same bits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import massgraph as mg
from massgraph.data.spectra import Spectra
from massgraph.simulation.lipids import RESOLVING_POWER, family_count
from massgraph.simulation.run import Settings, draw_run
from massgraph.simulation.simulate import (
    BLOCK,
    OFF_TISSUE,
    PRESETS,
    REGIONS,
    Simulation,
    simulate,
    simulate_chunks,
)
from massgraph.simulation.tissue import draw_tissue
from simulation_truth import PLAIN, equal, matrix, planted, separation


@pytest.fixture(scope="module")
def tiny() -> Simulation:
    return simulate("tiny")


@pytest.fixture(scope="module")
def plain() -> Simulation:
    """Twelve small runs in which only planted families differ between the regions."""
    return simulate("tiny", n_runs=12, shape=(14, 14), n_background=60, noise_peaks=4.0, **PLAIN)


# ------------------------------------------------------------------------ as a user


def test_unpacks_as_spectra_and_labels() -> None:
    spectra, labels = simulate("tiny")
    assert isinstance(spectra, Spectra)
    assert labels.shape == (spectra.n_pixels,)
    assert labels.dtype == object
    assert set(labels) == {"epithelium", "stroma", "muscle", None}


def test_the_package_has_the_function_of_this_name() -> None:
    """Also once the module of the same name was imported, as it is here."""
    assert mg.simulate is simulate


def test_small_is_what_comes_without_a_preset() -> None:
    simulation = simulate(n_runs=1, shape=(8, 8))
    assert equal(simulation, simulate("small", n_runs=1, shape=(8, 8)))
    assert simulation.families["family"].nunique() == PRESETS["small"].n_families


def test_labels_are_what_a_classifier_takes(tiny: Simulation) -> None:
    """Missing for pixels off tissue, text for the others, as `RGCNClassifier.fit` wants them."""
    off = tiny.truth == OFF_TISSUE
    assert off.any()
    assert all(label is None for label in tiny.labels[off])
    assert np.array_equal(tiny.labels[~off], tiny.truth[~off])
    assert pd.isna(tiny.labels).sum() == off.sum()
    assert set(tiny.truth[~off]) == set(tiny.classes)


def test_spectra_are_those_of_an_image(tiny: Simulation) -> None:
    spectra = tiny.spectra
    assert spectra.run_names == ("run1", "run2")
    assert spectra.polarity == "positive"
    assert spectra.pixel_size == (50.0, 50.0)
    assert spectra.pixel_size_unit == "um"
    assert spectra.axis is None  # ragged, as it comes from the instrument
    assert spectra.mz.dtype == np.float64
    assert spectra.intensity.dtype == np.float32


def test_each_run_fills_its_raster_from_one(tiny: Simulation) -> None:
    spectra = tiny.spectra
    assert spectra.coordinates is not None
    for name in spectra.run_names:
        place = spectra.coordinates[spectra.run == name]
        assert len(np.unique(place, axis=0)) == len(place) == 144
        assert place.min(axis=0).tolist() == [1, 1]
        assert place.max(axis=0).tolist() == [12, 12]


def test_x_runs_along_the_columns() -> None:
    spectra, _ = simulate("tiny", n_runs=1, shape=(8, 11))
    assert spectra.coordinates is not None
    assert spectra.coordinates.max(axis=0).tolist() == [11, 8]
    assert spectra.coordinates[:12, 0].tolist() == [*range(1, 12), 1]


def test_the_spectra_can_be_aligned_to_the_truth() -> None:
    """What a tool finds by alignment at 5 ppm are the ions that were put in, nearly all."""
    simulation = simulate("tiny", noise_peaks=0.0, calibration_ppm=0.5)
    axis, _ = simulation.spectra.align(5.0, "ppm")
    counts = np.bincount(simulation.ion, minlength=simulation.axis.size)
    frequent = simulation.axis[counts > 30]
    nearest = np.abs(axis - frequent[:, None]).min(axis=1) / frequent * 1e6
    assert np.quantile(nearest, 0.95) < 2.0


def test_the_table_of_families_says_what_is_in_the_axis(tiny: Simulation) -> None:
    table = tiny.families
    assert list(table.columns) == [
        *("family", "name", "lipid_class", "species", "mz", "adduct", "isotope", "formula"),
        *("neutral_mass", "peak", "discriminates", "log_effect"),
    ]
    assert table["mz"].is_monotonic_increasing
    assert set(table["family"]) == set(range(6))
    distance = np.abs(tiny.axis[table["peak"]] - table["mz"]) / table["mz"]
    assert distance.max() < 2 / RESOLVING_POWER
    alone = ~table["peak"].duplicated(keep=False)
    assert np.median(distance[alone]) == pytest.approx(0.0, abs=1e-9)


def test_every_peak_is_near_its_ion(tiny: Simulation) -> None:
    known = tiny.ion >= 0
    assert tiny.ion.shape == tiny.spectra.mz.shape
    assert 0.02 < np.mean(~known) < 0.3
    error = tiny.spectra.mz[known] / tiny.axis[tiny.ion[known]] - 1.0
    assert np.abs(error).max() < 20e-6


# ------------------------------------------------------------------------ presets


@pytest.mark.parametrize(
    ("preset", "pixels", "low", "high"),
    [
        ("tiny", 2 * 12 * 12, 50, 120),
        ("demo", 3 * 30 * 30, 150, 350),
        ("small", 3 * 30 * 30, 150, 350),
    ],
)
def test_sizes_of_the_presets(preset: str, pixels: int, low: float, high: float) -> None:
    simulation = simulate(preset)
    assert simulation.spectra.n_pixels == pixels
    assert low < simulation.spectra.peak_counts.mean() < high
    assert simulation.spectra.peak_counts.min() > 0
    tissue = simulation.truth != OFF_TISSUE
    assert 0.5 < tissue.mean() < 0.85


@pytest.mark.parametrize(("preset", "peaks"), [("medium", 600), ("large", 400)])
def test_the_large_presets_by_their_first_pixels(preset: str, peaks: float) -> None:
    settings = PRESETS[preset]
    chunk = next(simulate_chunks(preset, shape=(24, 24)))
    tissue = chunk.truth != OFF_TISSUE
    assert chunk.spectra.peak_counts[tissue].mean() == pytest.approx(peaks, rel=0.35)
    n_pixels = settings.n_runs * settings.shape[0] * settings.shape[1]
    assert n_pixels == {"medium": 9600, "large": 115_600}[preset]


def test_presets_use_families_that_exist() -> None:
    for settings in PRESETS.values():
        for polarity in ("positive", "negative"):
            assert settings.n_families <= family_count(polarity)


def test_demo_is_clearer_than_small() -> None:
    assert PRESETS["demo"] == replace(PRESETS["small"], effect=PRESETS["demo"].effect)
    assert PRESETS["demo"].effect > PRESETS["small"].effect


@pytest.mark.parametrize("n_classes", [2, 3, 5, 12])
def test_number_of_classes(n_classes: int) -> None:
    simulation = simulate("tiny", n_runs=1, shape=(24, 24), n_classes=n_classes, n_families=12)
    assert simulation.classes == REGIONS[:n_classes]
    share = [np.mean(simulation.truth == name) for name in simulation.classes]
    tissue = np.mean(simulation.truth != OFF_TISSUE)
    assert min(share) > 0.4 * tissue / n_classes
    assert set(simulation.families["discriminates"]) - {""} == set(simulation.classes)


def test_the_smallest_section_has_all_regions() -> None:
    for seed in range(20):
        tissue = draw_tissue(np.random.default_rng(seed), (8, 8), len(REGIONS))
        assert set(tissue.region) == set(range(-1, len(REGIONS)))


def test_names_of_the_regions_are_unique() -> None:
    assert len(set(REGIONS)) == len(REGIONS) == 12
    assert OFF_TISSUE not in REGIONS


def test_negative_polarity() -> None:
    simulation = simulate("tiny", polarity="negative")
    assert simulation.spectra.polarity == "negative"
    assert simulation.families["adduct"].str.endswith("]-").all()
    assert set(simulation.truth) == {*simulation.classes, OFF_TISSUE}


def test_settings_override_the_preset() -> None:
    simulation = simulate("tiny", n_families=4, n_species=1, n_runs=1, n_background=1)
    assert simulation.families["family"].nunique() == 4
    assert simulation.families["species"].nunique() == 4
    fewer = simulate("tiny", n_background=1).axis.size
    assert fewer < simulate("tiny", n_background=30).axis.size


# ------------------------------------------------------------------------ seeds


def test_same_seed_same_bits(tiny: Simulation) -> None:
    assert equal(tiny, simulate("tiny"))
    assert equal(tiny, simulate("tiny", random_state=0))
    assert equal(tiny, simulate("tiny", random_state=np.random.default_rng(0)))


def test_other_seed_other_everything(tiny: Simulation) -> None:
    other = simulate("tiny", random_state=1)
    assert other.spectra.fingerprint() != tiny.spectra.fingerprint()
    assert other.truth.tolist() != tiny.truth.tolist()
    assert not np.array_equal(other.calibration_ppm, tiny.calibration_ppm)


def test_no_seed_is_a_new_one_each_time() -> None:
    one, other = (simulate("tiny", n_runs=1, random_state=None) for _ in range(2))
    assert one.spectra.fingerprint() != other.spectra.fingerprint()


def test_a_generator_gives_new_numbers_each_time() -> None:
    rng = np.random.default_rng(0)
    one, other = (simulate("tiny", random_state=rng) for _ in range(2))
    assert one.spectra.fingerprint() != other.spectra.fingerprint()
    assert equal(one, simulate("tiny", random_state=0))
    assert rng.random() == np.random.default_rng(0).random()  # spawned from, not drawn from


def test_runs_differ_from_each_other(tiny: Simulation) -> None:
    one, other = (tiny.spectra.run == name for name in ("run1", "run2"))
    assert tiny.truth[one].tolist() != tiny.truth[other].tolist()
    shift = [tiny.calibration_ppm[run].mean() for run in (one, other)]
    assert shift[0] != pytest.approx(shift[1], abs=1e-3)


def test_a_run_is_the_same_whatever_their_number(tiny: Simulation) -> None:
    alone = simulate("tiny", n_runs=1)
    first = tiny.spectra[tiny.spectra.run == "run1"]
    assert alone.spectra.fingerprint() == first.fingerprint()
    assert alone.families.equals(tiny.families)
    three = simulate("tiny", n_runs=3)
    two_of_three = three.spectra[three.spectra.run != "run3"]
    assert two_of_three.fingerprint() == tiny.spectra.fingerprint()
    assert three.labels[:288].tolist() == tiny.labels.tolist()


def test_global_random_state_is_untouched() -> None:
    np.random.seed(3)  # noqa: NPY002 - the state that must not change
    before = np.random.get_state()  # noqa: NPY002
    simulate("tiny", random_state=None)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]


# ------------------------------------------------------------------------ labels


def test_labelled_fraction_of_each_region_and_run(tiny: Simulation) -> None:
    some = simulate("tiny", labelled_fraction=0.25)
    assert some.spectra.fingerprint() == tiny.spectra.fingerprint()  # labels change nothing else
    assert some.truth.tolist() == tiny.truth.tolist()
    for run in some.spectra.run_names:
        for name in some.classes:
            members = (some.spectra.run == run) & (some.truth == name)
            labels = some.labels[members]
            assert set(labels) == {name, None}
            assert np.sum(labels == name) == np.ceil(0.25 * members.sum())


def test_at_least_one_pixel_of_each_region_is_labelled() -> None:
    few = simulate("tiny", labelled_fraction=1e-6)
    for run in few.spectra.run_names:
        labels = few.labels[few.spectra.run == run]
        assert [np.sum(labels == name) for name in few.classes] == [1, 1, 1]


def test_labels_are_a_copy_of_the_truth(tiny: Simulation) -> None:
    again = simulate("tiny")
    again.labels[:] = None
    assert again.truth.tolist() == tiny.truth.tolist()


# ------------------------------------------------------------------------ chunks


def test_chunks_are_the_pixels_of_the_whole() -> None:
    settings: dict[str, Any] = {"n_runs": 2, "shape": (40, 30), "n_families": 4, "random_state": 5}
    whole = simulate("tiny", **settings)
    chunks = list(simulate_chunks("tiny", **settings))
    assert [chunk.spectra.n_pixels for chunk in chunks] == [BLOCK, 1200 - BLOCK] * 2
    assert [chunk.spectra.run_names for chunk in chunks] == [("run1",)] * 2 + [("run2",)] * 2
    joined = replace(
        chunks[0],
        spectra=Spectra.concatenate([chunk.spectra for chunk in chunks]),
        **{
            name: np.concatenate([getattr(chunk, name) for chunk in chunks])
            for name in ("labels", "truth", "ion", "calibration_ppm")
        },
    )
    assert equal(whole, joined)


def test_a_chunk_is_a_simulation_of_its_own() -> None:
    chunks = list(simulate_chunks("tiny", shape=(40, 30)))
    assert all(chunk.axis is chunks[0].axis for chunk in chunks)
    for chunk in chunks:
        spectra, labels = chunk
        assert labels.shape == chunk.truth.shape == (spectra.n_pixels,)
        assert chunk.ion.shape == spectra.mz.shape


def test_chunks_check_their_settings_at_once() -> None:
    with pytest.raises(ValueError, match="n_runs is 0"):
        simulate_chunks("tiny", n_runs=0)


def test_chunks_need_little_memory() -> None:
    """Eight chunks need no more than two: what was yielded is not kept."""

    def peak(n_runs: int) -> float:
        chunks = simulate_chunks("tiny", n_runs=n_runs, shape=(32, 32))
        tracemalloc.start()
        for _ in chunks:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / 2**20

    two = peak(2)
    assert two < 60
    assert peak(8) < 1.2 * two


# ------------------------------------------------------------------------ what is planted


def test_each_class_has_families_of_its_own(tiny: Simulation) -> None:
    by_family = tiny.families.groupby("family")["discriminates"].agg(["nunique", "first"])
    assert (by_family["nunique"] == 1).all()
    assert by_family["first"].value_counts().to_dict() == {
        "": 3,
        **dict.fromkeys(tiny.classes, 1),
    }


def test_half_of_the_families_are_left_alone() -> None:
    families = simulate("demo", n_runs=1, shape=(8, 8)).families
    effect = families.groupby("family")["log_effect"].first()
    assert (effect != 0).sum() == 6
    assert set(effect.abs()) == {0.0, 0.5}


def test_shifts_up_and_down_alternate() -> None:
    families = simulate("small", n_runs=1, shape=(8, 8), families_per_class=4).families
    effects = families.drop_duplicates("family").set_index("discriminates")["log_effect"]
    for name in ("epithelium", "stroma", "muscle"):
        assert sorted(effects[name]) == pytest.approx([-0.3, -0.3, 0.3, 0.3])


def test_one_family_alone_is_up() -> None:
    for seed in range(5):
        families = simulate("tiny", n_runs=1, shape=(8, 8), random_state=seed).families
        assert set(families["log_effect"]) == {0.0, 0.8}


@pytest.mark.parametrize("name", ["epithelium", "stroma", "muscle"])
def test_planted_families_separate_and_nothing_else_does(plain: Simulation, name: str) -> None:
    t, p = separation(plain, name)
    own, other = planted(plain, name), ~planted(plain)
    detected = matrix(plain).mean(axis=0) > 0.3  # what is nearly never seen cannot separate
    strong = own & detected
    assert strong.sum() >= 5
    assert (t[strong] > 0).all()
    assert p[strong].max() < 1e-4
    # Of all ions that are not planted for another class, the best are the planted ones.
    candidates = np.flatnonzero(detected & (own | other))
    best = candidates[np.argsort(-np.abs(t[candidates]))[: strong.sum()]]
    assert own[best].mean() > 0.95
    # The others are as chance has it.
    assert other.sum() > 50
    assert p[other].min() > 0.05 / other.sum() / 3
    assert np.mean(p[other] < 0.05) < 0.12


def test_the_shift_has_the_stated_size() -> None:
    """Ratio of region to others, in ions so strong that none falls below the limit."""
    simulation = simulate(
        "tiny", n_runs=6, shape=(16, 16), effect=0.5, noise=0.05, noise_peaks=0.0, **PLAIN
    )
    assert set(simulation.families["log_effect"]) == {0.0, 0.5}
    values, truth = matrix(simulation), simulation.truth
    strong = values[truth != OFF_TISSUE].min(axis=0) > 0.7
    shifts: list[float] = []
    for name in simulation.classes:
        inside, others = truth == name, (truth != name) & (truth != OFF_TISSUE)
        difference = values[inside].mean(axis=0) - values[others].mean(axis=0)
        # The brightness of the section is smooth, and so a little different between regions.
        alone = difference[strong & ~planted(simulation)].mean()
        shifts += list(difference[strong & planted(simulation, name)] - alone)
    # Partial volume takes some of it: a pixel at the border shares in its neighbours.
    assert len(shifts) > 5
    assert 0.38 < np.mean(shifts) < 0.5


def test_without_effect_nothing_is_planted() -> None:
    simulation = simulate("tiny", effect=0.0)
    assert set(simulation.families["discriminates"]) == {""}
    assert set(simulation.families["log_effect"]) == {0.0}


def cross_run_accuracy(simulation: Simulation) -> float:
    """Accuracy of linear discriminant analysis, learnt on half of the runs, on the other half."""
    values, truth = matrix(simulation), simulation.truth.astype(str)
    tissue = truth != OFF_TISSUE
    first = np.isin(simulation.spectra.run, simulation.spectra.run_names[::2])
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit(values[first & tissue], truth[first & tissue])
    return float(model.score(values[~first & tissue], truth[~first & tissue]))


def test_without_effect_a_classifier_is_at_chance(plain: Simulation) -> None:
    nothing = simulate(
        "tiny", n_runs=12, shape=(14, 14), n_background=60, effect=0.0, noise_peaks=4.0, **PLAIN
    )
    chance = np.mean(nothing.truth[nothing.truth != OFF_TISSUE] == "muscle")
    assert cross_run_accuracy(nothing) == pytest.approx(1 / 3, abs=0.07)
    assert chance == pytest.approx(1 / 3, abs=0.1)
    assert cross_run_accuracy(plain) > 0.9


def test_the_matrix_is_stronger_beside_the_tissue(tiny: Simulation) -> None:
    """Off tissue there are few lipids, and the same or stronger matrix."""
    values, off = matrix(tiny), tiny.truth == OFF_TISSUE
    ratio = values[off].mean(axis=0) - values[~off].mean(axis=0)
    lipid = np.zeros(tiny.axis.size, dtype=bool)
    lipid[tiny.families["peak"]] = True
    assert ratio[lipid].max() < 0.05
    assert ratio[~lipid].max() > 0.2
    assert tiny.spectra.peak_counts[off].mean() < tiny.spectra.peak_counts[~off].mean() / 2


# ------------------------------------------------------------------------ as an enemy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "huge"}, "preset 'huge' is none of"),
        ({"polarity": "neutral"}, "polarity 'neutral' is none of"),
        ({"polarity": None}, "polarity None is none of"),
        ({"n_runs": 0}, "n_runs is 0, must be a whole number from 1"),
        ({"n_runs": 2.5}, "n_runs is 2.5"),
        ({"n_runs": True}, "n_runs is True"),
        ({"n_runs": "two"}, "n_runs is 'two'"),
        ({"n_classes": 1}, "n_classes is 1, must be a whole number from 2 to 12"),
        ({"n_classes": 13, "n_families": 13}, "n_classes is 13"),
        ({"n_families": 2}, "n_families is 2, must be a whole number from 3 to 18"),
        ({"n_families": 19}, "n_families is 19"),
        ({"families_per_class": 3}, "families_per_class is 3, must be a whole number from 1 to 2"),
        ({"families_per_class": 0}, "families_per_class is 0"),
        ({"n_species": 0}, "n_species is 0"),
        ({"n_background": 0}, "n_background is 0"),
        ({"shape": (7, 30)}, r"shape \(7, 30\) must be \(rows, columns\)"),
        ({"shape": (30,)}, r"shape \(30,\)"),
        ({"shape": (30.0, 30)}, r"shape \(30.0, 30\)"),
        ({"labelled_fraction": 0.0}, "labelled_fraction is 0.0, must be in"),
        ({"labelled_fraction": 1.1}, "labelled_fraction is 1.1"),
        ({"labelled_fraction": float("nan")}, "labelled_fraction is nan"),
        ({"effect": -0.1}, "effect is -0.1, must be from 0 to 5"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"jitter_ppm": float("inf")}, "jitter_ppm is inf, must be from 0 to 1000"),
        ({"noise_peaks": -1.0}, "noise_peaks is -1.0"),
        ({"adduct_variation": 6}, "adduct_variation is 6"),
        ({"random_state": -1}, "random_state is -1, must be a whole number"),
        ({"random_state": "seed"}, "random_state is 'seed'"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        simulate(**{"preset": "tiny", **settings})
    assert "\n" not in str(error.value)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="no setting 'n_run'; known: adduct_variation, batch"):
        simulate_chunks("tiny", n_run=2)
    with pytest.raises(TypeError, match="n_run"):
        simulate("tiny", n_run=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "settings",
    [
        {"effect": 5.0},
        {"batch_effect": 5.0},
        {"adduct_variation": 5.0},
        {"noise": 5.0, "family_variation": 5.0},
        {"jitter_ppm": 1000.0, "calibration_ppm": 1000.0, "drift_ppm": 1000.0},
        {"noise": 0.0, "noise_peaks": 0.0, "jitter_ppm": 0.0, **PLAIN},
        {"n_families": 3, "n_species": 1, "n_background": 1},
        {"n_families": 18, "n_species": 99},
        {"shape": (8, 8)},
        {"shape": [9, 40]},
        {"n_runs": np.int64(1)},
        {"families_per_class": 2},
    ],
)
def test_settings_at_their_ends_work(settings: dict[str, Any]) -> None:
    """Spectra validates what it is made of: m/z ascend, all is finite and above zero."""
    simulation = simulate("tiny", **{"n_runs": 1, **settings})
    assert simulation.spectra.n_peaks > 0
    assert np.isfinite(simulation.spectra.intensity).all()
    assert (simulation.ion < simulation.axis.size).all()


def test_a_run_can_be_asked_for_any_pixels(tiny: Simulation) -> None:
    """The numbers of a block depend on those drawn before; its pixels count from 0."""
    from massgraph.simulation.lipids import build_library

    settings = replace(PRESETS["tiny"], families_per_class=1)
    library = build_library(np.random.default_rng(0), "positive", 6, 2, 8)
    run = draw_run(np.random.default_rng(1), settings, library, np.zeros((3, 6)))
    peaks = run.block(np.array([5, 77, 140]))
    assert set(peaks.pixel) == {0, 1, 2}
    assert (np.diff(peaks.pixel) >= 0).all()
    assert peaks.take(peaks.pixel == 1).mz.size > 0
    assert tiny.calibration_ppm.shape == (288,)
    assert run.calibration_ppm.shape == (144,)


def test_settings_are_those_of_the_arguments() -> None:
    """Every field of `Settings` can be given to `simulate`, and nothing else beside the basics."""
    import inspect

    arguments = set(inspect.signature(simulate).parameters)
    assert arguments - {"preset", "polarity", "random_state"} == set(Settings.__annotations__)


@pytest.fixture(autouse=True)
def _no_bar(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No progress bar without a terminal: nothing may be printed."""
    yield
    out, err = capfd.readouterr()
    assert out == err == ""
