"""Calibration: shifts of any kind are found again, widths measured, and few peaks follow a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import massgraph as mg
from massgraph.data import degrade
from massgraph.encode.axis import NEAR, MassAxis
from massgraph.encode.calibration import SMALLEST_WIDTH_DA, calibrate
from massgraph.encode.ions import ion_nodes
from massgraph.encode.learn_axis import learn_axis, own_axis


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny", n_background=40, n_species=4, jitter_ppm=0.3).spectra


@pytest.fixture(scope="module")
def axis(spectra: mg.Spectra) -> MassAxis:
    return learn_axis(spectra)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def calibrated_mz(axis: MassAxis, spectra: mg.Spectra) -> np.ndarray:
    return axis.calibrate(spectra).spectra.mz


@pytest.mark.parametrize("shift", [-0.25, -0.05, 0.005, 0.05, 0.2])
def test_a_constant_shift_is_taken_off(axis: MassAxis, spectra: mg.Spectra, shift: float) -> None:
    moved = degrade.shift_mz(spectra, shift, "Da")
    error = np.abs(calibrated_mz(axis, moved) - calibrated_mz(axis, spectra))
    assert np.quantile(error, 0.99) < 3e-4


@pytest.mark.parametrize("shift", [-60.0, 30.0, 100.0])
def test_a_shift_in_ppm_is_taken_off(axis: MassAxis, spectra: mg.Spectra, shift: float) -> None:
    moved = degrade.shift_mz(spectra, shift, "ppm")
    error = np.abs(calibrated_mz(axis, moved) - calibrated_mz(axis, spectra))
    assert np.quantile(error, 0.95) < 1e-3


def test_pixels_may_differ(axis: MassAxis, spectra: mg.Spectra) -> None:
    many = spectra[spectra.peak_counts >= 100]
    assert len(many) > 50
    moved = degrade.shift_mz(many, rng().uniform(-0.1, 0.1, len(many)), "Da")
    error = np.abs(calibrated_mz(axis, moved) - calibrated_mz(axis, many))
    assert np.quantile(error, 0.95) < 1e-3


def test_the_width_is_measured(axis: MassAxis, spectra: mg.Spectra) -> None:
    clean = np.median(axis.calibrate(spectra).width)
    worse = axis.calibrate(degrade.jitter_mz(spectra, 0.004, "Da", rng())).width
    assert clean < 1e-3
    assert np.median(worse) == pytest.approx(0.004, rel=0.2)


def test_few_peaks_follow_their_run(axis: MassAxis, spectra: mg.Spectra) -> None:
    moved = degrade.shift_mz(spectra, 0.08, "Da")
    few = moved.keep_peaks((moved.pixel_of_peak != 0) | (moved.intensity_rank() < 3))
    calibration = calibrate(few, axis.mz[axis.anchor])
    assert calibration.shift[0] == pytest.approx(0.08, abs=2e-3)


def test_nothing_to_go_by() -> None:
    empty = mg.Spectra.from_peaks([([], []), ([], [])])
    for ions in (np.empty(0), np.array([400.0])):
        calibration = calibrate(empty, ions)
        assert calibration.shift.tolist() == [0, 0]
        assert calibration.width.tolist() == [SMALLEST_WIDTH_DA] * 2
        assert calibration.error(empty).shape == (0,)


def test_exact_masses_stay_as_they_are() -> None:
    mz = 300 + 14.01565 * np.arange(20)
    spectra = mg.Spectra.from_matrix(rng().random((30, 20)) + 0.1, mz)
    found = learn_axis(spectra)
    np.testing.assert_allclose(found.mz, mz, rtol=0, atol=1e-9)
    np.testing.assert_allclose(calibrated_mz(found, spectra), spectra.mz, rtol=0, atol=1e-9)


# -------------------------------------------------------------------- the axis


def test_the_axis_holds_the_common_ions() -> None:
    truth = mg.simulate("tiny")
    found = learn_axis(truth.spectra)
    common = np.bincount(truth.ion[truth.ion >= 0], minlength=len(truth.axis))
    wanted = truth.axis[common > 0.3 * len(truth.spectra)]
    distance = np.abs(found.mz[:, None] - wanted).min(axis=0) / wanted * 1e6
    assert np.mean(distance < 5) > 0.95
    assert (np.diff(found.mz) > 0).all()
    assert ((found.presence >= 0.03) & (found.presence <= 1)).all()


def test_runs_that_are_shifted_against_each_other_make_one_axis(spectra: mg.Spectra) -> None:
    second = np.asarray(spectra.run_codes) == 1
    moved = degrade.shift_mz(spectra, np.where(second, 0.04, 0.0), "Da")
    one, other = learn_axis(spectra), learn_axis(moved)
    assert other.shift == pytest.approx(0.04, abs=5e-3)
    assert abs(len(one) - len(other)) <= 0.05 * len(one)


def test_soft_assignment(axis: MassAxis, spectra: mg.Spectra) -> None:
    calibrated = axis.calibrate(spectra)
    ion, weight = axis.assign(calibrated)
    assert ion.shape == weight.shape == (spectra.n_peaks, NEAR)
    assert (weight >= 0).all()
    assert (weight.sum(axis=1) < 1).all()
    on_ion = replace(
        calibrated, spectra=mg.Spectra.from_peaks([(axis.mz[:1], [1.0])]), width=np.array([1e-4])
    )
    assert axis.assign(on_ion).weight.max() > 0.5
    between = mg.Spectra.from_peaks([([axis.mz[0] - 3.3], [1.0])])
    assert axis.assign(replace(on_ion, spectra=between)).weight.max() == 0


def test_snapping_keeps_the_order_and_pulls_to_the_ions(
    axis: MassAxis, spectra: mg.Spectra
) -> None:
    calibrated = axis.calibrate(degrade.jitter_mz(spectra, 0.003, "Da", rng()))
    snapped = axis.snap(calibrated, axis.assign(calibrated))
    for one in snapped:
        assert (np.diff(one.mz) >= 0).all()
    assert np.isin(snapped.mz, axis.mz).mean() > 0.7
    assert snapped.fingerprint() != calibrated.spectra.fingerprint()


def test_an_axis_of_nothing() -> None:
    empty = mg.Spectra.from_peaks([([], [])])
    found = learn_axis(empty)
    assert len(found) == 0
    calibrated = found.calibrate(empty)
    assert found.snap(calibrated, found.assign(calibrated)).n_peaks == 0


@pytest.mark.parametrize("most", [1500, 40])
def test_what_learning_finds_of_the_pixels_is_what_the_axis_gives(
    spectra: mg.Spectra, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Whether the axis is learnt from all pixels or from some of them."""
    monkeypatch.setattr("massgraph.encode.learn_axis.LEARNING_PIXELS", most)
    assert spectra.n_pixels > 2 * 40
    own, axis = own_axis(spectra), learn_axis(spectra)
    calibrated = axis.calibrate(spectra)
    assert own.axis.level.tolist() == axis.level.tolist()
    assert own.calibrated.spectra.mz.tolist() == calibrated.spectra.mz.tolist()
    assert own.ions.weight.tolist() == ion_nodes(axis, calibrated).weight.tolist()
