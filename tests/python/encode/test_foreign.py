"""Reasons why a run may be foreign, and scales of intensities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import massgraph as mg
from foreign_builder import FOREIGN, rounded, undeclared, with_intensity
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import MassAxis
from massgraph.encode.coverage import Knowledge
from massgraph.encode.foreign import found_ions, mass_step, reason_of, scale_of, shift_of
from massgraph.encode.learn_axis import own_axis
from massgraph.encode.learn_levels import learn_levels
from massgraph.simulation.simulate import OFF_TISSUE

Learnt = tuple[MassAxis, Knowledge, Spectra]


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    """What two runs teach, and a third one."""
    spectra = mg.simulate("small", n_runs=3, random_state=1).spectra
    first = spectra[spectra.run != "run3"]
    axis, calibrated, _ = own_axis(first)
    known = Knowledge.of(axis, learn_levels(axis, first, calibrated))
    return axis, known, spectra[spectra.run == "run3"]


@pytest.mark.parametrize("name", FOREIGN)
def test_reason(learnt: Learnt, name: str) -> None:
    make, words = FOREIGN[name]
    assert words in reason_of(learnt[1], make(learnt[2]), "positive")


def test_the_model_may_be_the_one_that_declares_nothing(learnt: Learnt) -> None:
    random = FOREIGN["random"][0](learnt[2])
    assert "which those of the fit do not declare" in reason_of(learnt[1], random, None)


@pytest.mark.parametrize(("step", "name"), [(1.0, "unit mass"), (0.1, "tenths"), (0.01, "hundr")])
@pytest.mark.parametrize("offset", [0.0, 0.0317])
def test_rounded_masses(learnt: Learnt, step: float, name: str, offset: float) -> None:
    found = mass_step(rounded(learnt[2], step, offset).mz)
    assert found is not None
    assert found.startswith(name)


@pytest.mark.parametrize("polarity", ["positive", "negative"])
def test_exact_masses_are_not_rounded(polarity: str) -> None:
    assert mass_step(mg.simulate("medium", n_runs=1, polarity=polarity).axis) is None


def test_few_masses_show_no_step() -> None:
    assert mass_step(np.array([500.0, 600.0])) is None
    assert mass_step(np.empty(0)) is None


def test_a_model_of_unit_mass_is_not_told_of_unit_mass(learnt: Learnt) -> None:
    unit = rounded(learnt[2], 1.0)
    axis, _, _ = own_axis(unit)
    assert "unit mass" not in reason_of(
        Knowledge.of(axis), mg.degrade.shift_mz(unit, 500.0, "Da"), "positive"
    )


def test_no_shift_where_none_explains_the_peaks(learnt: Learnt) -> None:
    assert shift_of(learnt[1], FOREIGN["random"][0](learnt[2])) is None


def test_ions_are_found_beside_noise_and_not_in_others(learnt: Learnt) -> None:
    axis, known, own = learnt
    noisy = mg.degrade.add_noise_peaks(own, 5.0, np.random.default_rng(0))
    assert found_ions(known, axis.calibrate(noisy).spectra) > 0.92
    for make, _ in FOREIGN.values():
        assert found_ions(known, axis.calibrate(make(own)).spectra) < 0.6


# -------------------------------------------------------------------- scales

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log1p": np.log1p,
    "square root": np.sqrt,
    "cube root": np.cbrt,
    "presence": np.ones_like,
}


def by_column(spectra: Spectra, change: Callable[[np.ndarray], np.ndarray]) -> Spectra:
    """Ions scaled by themselves, as before a principal component analysis."""
    matrix, mz = spectra.to_matrix()
    return mg.Spectra.from_matrix(change(matrix.toarray()).clip(0), mz)


def standardised(X: np.ndarray) -> np.ndarray:
    return (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)


def to_unit(X: np.ndarray) -> np.ndarray:
    return X / np.maximum(X.max(axis=0), 1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_other_scales(learnt: Learnt, name: str) -> None:
    axis, known, own = learnt
    given = with_intensity(axis.calibrate(own).spectra, TRANSFORMS[name])
    assert "as logarithms, roots, presence or scaled" in str(scale_of(known, given))


@pytest.mark.parametrize("change", [standardised, to_unit])
def test_scaled_ions(learnt: Learnt, change: Callable[[np.ndarray], np.ndarray]) -> None:
    axis, known, own = learnt
    given = axis.calibrate(by_column(own, change)).spectra
    assert scale_of(known, given) is not None


def test_logarithms_of_shares(learnt: Learnt) -> None:
    """As scanpy has them: normalize_total, then log1p."""
    axis, known, own = learnt
    total = own.tic()[own.pixel_of_peak]
    given = with_intensity(own, lambda values: np.log1p(1e4 * values / total))
    assert scale_of(known, axis.calibrate(given).spectra) is not None


def test_raw_ones_after_a_fit_to_logarithms(learnt: Learnt) -> None:
    raw = learnt[2]
    logged = with_intensity(raw, np.log1p)
    axis, calibrated, _ = own_axis(logged)
    known = Knowledge.of(axis, learn_levels(axis, logged, calibrated))
    assert scale_of(known, axis.calibrate(logged).spectra) is None
    assert scale_of(known, axis.calibrate(raw).spectra) is not None


def test_raw_ones_after_a_fit_to_presence(learnt: Learnt) -> None:
    raw = learnt[2]
    there = with_intensity(raw, np.ones_like)
    axis, calibrated, _ = own_axis(there)
    known = Knowledge.of(axis, learn_levels(axis, there, calibrated))
    assert scale_of(known, axis.calibrate(there).spectra) is None
    assert scale_of(known, axis.calibrate(raw).spectra) is not None


def off_tissue() -> Spectra:
    """Pixels of a third run that are all beside the tissue."""
    made = mg.simulate("small", n_runs=3, random_state=1)
    return made.spectra[(made.spectra.run == "run3") & (made.truth == OFF_TISSUE)]


def test_no_false_alarms(learnt: Learnt) -> None:
    axis, known, own = learnt
    rng = np.random.default_rng(0)
    for given in (
        own,
        own[:10],
        off_tissue(),
        undeclared(own),
        mg.degrade.scale_intensity(own, 1e-6),
        mg.degrade.scale_intensity(own, 1e6),
        mg.degrade.remove_peaks(own, 0.25, rng),
        mg.degrade.keep_most_intense(own, 0.25),
        mg.degrade.keep_most_intense(own, 0.1),
        mg.degrade.batch_effect(own, 1.0, rng),
        mg.degrade.add_noise_peaks(own, 1.0, rng),
        mg.degrade.jitter_mz(own, 5e-3, "Da", rng),
    ):
        assert scale_of(known, axis.calibrate(given).spectra) is None


def test_nothing_is_said_of_models_that_do_not_know_their_scale(learnt: Learnt) -> None:
    axis, _, own = learnt
    given = with_intensity(axis.calibrate(own).spectra, np.log1p)
    assert scale_of(Knowledge.of(axis), given) is None
