"""Simulated peaks: mass errors, intensities and tissue are what an instrument would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from massgraph.simulation.lipids import DETECTION_LIMIT, RESOLVING_POWER
from massgraph.simulation.run import Peaks
from massgraph.simulation.simulate import (
    OFF_TISSUE,
    Simulation,
    simulate,
)
from massgraph.simulation.tissue import draw_tissue, smooth_field
from simulation_truth import PLAIN, matrix


@pytest.fixture(scope="module")
def tiny() -> Simulation:
    return simulate("tiny")


# ------------------------------------------------------------------------ mass errors


def mass_errors(simulation: Simulation, at_least: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Error in ppm, without that of the pixel, of strong peaks alone on their axis; and runs."""
    table = simulation.families
    alone = table.loc[~table["peak"].duplicated(keep=False)]
    # Background may share a peak too: then the axis is not at the theoretical m/z.
    exact = np.abs(simulation.axis[alone["peak"]] / alone["mz"].to_numpy() - 1) < 1e-12
    pixel = simulation.spectra.pixel_of_peak
    use = np.isin(simulation.ion, alone["peak"][exact]) & (simulation.spectra.intensity > at_least)
    error = (simulation.spectra.mz[use] / simulation.axis[simulation.ion[use]] - 1.0) * 1e6
    return error - simulation.calibration_ppm[pixel[use]], simulation.spectra.intensity[use]


def test_jitter_has_the_stated_sd_and_doubles_at_the_limit() -> None:
    simulation = simulate("tiny", n_runs=3, shape=(20, 20), jitter_ppm=2.0, noise_peaks=0.0)
    error, intensity = mass_errors(simulation, 0.0)
    strong = intensity > 30 * DETECTION_LIMIT
    weak = intensity < 1.1 * DETECTION_LIMIT
    expected = 2.0 * (1 + np.sqrt(DETECTION_LIMIT / intensity))
    assert strong.sum() > 1000
    assert error[strong].std() == pytest.approx(expected[strong].mean(), rel=0.05)
    assert error[weak].std() == pytest.approx(2 * 2.0, rel=0.1)
    assert (error / expected).std() == pytest.approx(1.0, rel=0.03)
    assert (error / expected).mean() == pytest.approx(0.0, abs=0.03)


def test_without_mass_errors_the_peaks_are_where_theory_has_them() -> None:
    simulation = simulate("tiny", calibration_ppm=0.0, drift_ppm=0.0, jitter_ppm=0.0)
    assert np.all(simulation.calibration_ppm == 0.0)
    error, _ = mass_errors(simulation, 0.0)
    assert np.abs(error).max() < 1e-6


def test_runs_are_off_by_the_stated_sd() -> None:
    """One shift per run: their sd over 60 runs is known to 10 %."""
    simulation = simulate(
        "tiny",
        n_runs=60,
        shape=(8, 8),
        n_families=3,
        n_species=1,
        n_background=1,
        calibration_ppm=3.0,
        drift_ppm=0.0,
    )
    shifts = simulation.calibration_ppm.reshape(60, -1)
    assert np.all(np.ptp(shifts, axis=1) < 1e-12)
    assert shifts[:, 0].std() == pytest.approx(3.0, rel=0.3)
    assert shifts[:, 0].mean() == pytest.approx(0.0, abs=1.2)


def test_drift_is_slow_and_of_the_stated_sd() -> None:
    simulation = simulate("tiny", n_runs=3, shape=(30, 30), calibration_ppm=0.0, drift_ppm=2.0)
    drift = simulation.calibration_ppm.reshape(3, -1)
    assert drift.std(axis=1) == pytest.approx([2.0] * 3)
    assert drift.mean(axis=1) == pytest.approx([0.0] * 3, abs=1e-9)
    assert np.abs(np.diff(drift, axis=1)).max() < 0.4  # from one pixel to the next


def test_the_mass_error_of_pixels_is_in_their_peaks() -> None:
    simulation = simulate("tiny", calibration_ppm=5.0, drift_ppm=2.0, jitter_ppm=0.1)
    error, _ = mass_errors(simulation, 0.0)
    assert error.std() < 0.25  # what is left once the error of the pixel is taken off
    assert simulation.calibration_ppm.std() > 1.0


# ------------------------------------------------------------------------ intensities


def test_no_peak_is_below_the_detection_limit(tiny: Simulation) -> None:
    assert tiny.spectra.intensity.min() >= DETECTION_LIMIT
    assert tiny.spectra.intensity.min() < 1.01 * DETECTION_LIMIT


def test_peaks_of_a_pixel_are_resolved() -> None:
    simulation = simulate("tiny", noise_peaks=400.0)
    spectra = simulation.spectra
    same = np.diff(spectra.pixel_of_peak) == 0
    distance = np.diff(spectra.mz) / spectra.mz[1:] * RESOLVING_POWER
    noise = simulation.ion < 0
    beside_noise = same & (noise[1:] | noise[:-1])
    assert distance[beside_noise].min() >= 1.0
    assert np.diff(simulation.axis).min() > 0


def test_number_of_noise_peaks() -> None:
    simulation = simulate("tiny", noise_peaks=12.0)
    noise = np.bincount(
        simulation.spectra.pixel_of_peak[simulation.ion < 0], minlength=simulation.spectra.n_pixels
    )
    assert noise.mean() == pytest.approx(12.0, rel=0.06)  # a few are too near to another peak
    assert noise.var() == pytest.approx(12.0, rel=0.3)
    without = simulate("tiny", noise_peaks=0.0)
    assert (without.ion >= 0).all()


def test_noise_has_the_stated_sd() -> None:
    """Of the log intensity of strong ions, once the level of each pixel is taken off."""
    quiet = {**PLAIN, "effect": 0.0, "noise_peaks": 0.0, "n_runs": 2}
    simulation = simulate("tiny", noise=0.4, n_families=12, **quiet)
    tissue = simulation.truth != OFF_TISSUE
    values = matrix(simulation)[tissue]
    # So strong that none is near the limit, and counting ions adds nothing.
    strong = values.min(axis=0) > 1.2
    values = values[:, strong]
    assert strong.sum() >= 5
    n = strong.sum()
    level = values.mean(axis=1, keepdims=True)
    residual = (values - level) - (values - level).mean(axis=0)
    assert residual.std() / np.sqrt(1 - 1 / n) == pytest.approx(0.4, rel=0.12)


def test_batch_effects_move_ions_of_a_run_together() -> None:
    """Without them runs agree ion by ion; with them each ion has a gain, that isotopes share."""
    settings: dict[str, Any] = {
        **{"n_runs": 2, "shape": (16, 16), "effect": 0.0, "noise": 0.1, "noise_peaks": 0.0},
        **{"family_variation": 0.0, "adduct_variation": 0.0},
    }

    def difference(batch_effect: float) -> NDArray[np.float64]:
        simulation = simulate("tiny", batch_effect=batch_effect, **settings)
        values, tissue = matrix(simulation), simulation.truth != OFF_TISSUE
        one, other = (values[tissue & (simulation.spectra.run == f"run{k}")] for k in (1, 2))
        strong = np.minimum(one.min(axis=0), other.min(axis=0)) > 1.0
        return np.asarray((one.mean(axis=0) - other.mean(axis=0))[strong])

    without, with_them = difference(0.0), difference(0.5)
    assert without.std() < 0.03
    assert with_them.std() > 0.3


def test_isotopes_keep_their_ratio_in_every_run() -> None:
    simulation = simulate("tiny", batch_effect=0.4, noise=0.02, noise_peaks=0.0, effect=0.0)
    values, tissue = matrix(simulation), simulation.truth != OFF_TISSUE
    table = simulation.families
    alone = table[~table["peak"].duplicated(keep=False)]
    first = simulation.spectra.run[tissue] == "run1"
    ratios, gains = [], []
    for _, ions in alone.groupby(["species", "adduct"]):
        peaks = ions.set_index("isotope")["peak"]
        if {"", "13C"} <= set(peaks.index):
            pair = values[tissue][:, [peaks[""], peaks["13C"]]]
            if pair.min() > 0.8:
                change = pair[first].mean(axis=0) - pair[~first].mean(axis=0)
                ratios.append(change[1] - change[0])
                gains.append(change[0])
    assert len(ratios) >= 2
    assert np.abs(ratios).max() < 0.05
    assert np.abs(gains).max() > 0.3


def test_adducts_share_what_a_molecule_gives() -> None:
    """With much variation adducts are split at random, and their sum is steadier than each."""
    settings: dict[str, Any] = {
        **{"n_runs": 1, "shape": (20, 20), "effect": 0.0, "noise": 0.05, "noise_peaks": 0.0},
        **{"batch_effect": 0.0, "family_variation": 0.0, "adduct_variation": 2.0},
    }
    simulation = simulate("tiny", **settings)
    tissue = simulation.truth != OFF_TISSUE
    intensity = np.expm1(matrix(simulation))[tissue]
    table = simulation.families
    ions = table[(table["species"] == "PC 34:1") & (table["isotope"] == "")]
    assert set(ions["adduct"]) >= {"[M+H]+", "[M+Na]+", "[M+K]+"}
    each = intensity[:, ions["peak"]]
    spread = each.std(axis=0) / each.mean(axis=0)
    total = each.sum(axis=1)
    assert total.std() / total.mean() < spread.min() / 1.5


def test_smooth_fields_have_mean_0_and_sd_1() -> None:
    field = smooth_field(np.random.default_rng(0), (40, 30), 3.0)
    assert field.shape == (40, 30)
    assert field.mean() == pytest.approx(0.0, abs=1e-12)
    assert field.std() == pytest.approx(1.0)
    neighbours = np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]
    assert neighbours > 0.9


# ------------------------------------------------------------------------ tissue


def test_regions_are_bands_from_the_inside_out() -> None:
    """The first region lies deeper than the last, on average over sections."""
    depths = []
    for seed in range(10):
        tissue = draw_tissue(np.random.default_rng(seed), (40, 40), 3)
        rows, columns = np.indices((40, 40))
        radius = np.hypot(rows - 19.5, columns - 19.5).ravel()
        depths.append([radius[tissue.region == k].mean() for k in range(3)])
    assert np.all(np.diff(np.mean(depths, axis=0)) > 0)


def test_shares_of_a_pixel_on_tissue_sum_to_one() -> None:
    """The matrix, seen at the rim, must not tell the outermost region from the others."""
    tissue = draw_tissue(np.random.default_rng(0), (30, 30), 3)
    total = tissue.mixture.sum(axis=1)
    assert tissue.mixture.min() >= 0
    assert total[tissue.region >= 0] == pytest.approx(1.0)
    assert total[tissue.region < 0].max() < 1.0
    own = tissue.mixture[np.arange(900), tissue.region][tissue.region >= 0]
    assert own.min() > 0.25
    assert own.mean() > 0.75


def test_noise_peaks_give_way_to_ions() -> None:
    ions = Peaks(
        pixel=np.array([0, 1]),
        mz=np.array([500.0, 500.0]),
        intensity=np.array([200.0, 200.0], dtype=np.float32),
        ion=np.array([3, 3]),
    )
    noise = Peaks(
        # Beside the ion of pixel 0, far from it; in pixel 1 two near each other, one below all.
        pixel=np.array([0, 0, 1, 1, 1]),
        mz=np.array([500.004, 510.0, 600.0, 600.005, 300.0]),
        intensity=np.full(5, 110.0, dtype=np.float32),
        ion=np.full(5, -1),
    )
    joined = ions.with_noise(noise)
    assert joined.pixel.tolist() == [0, 0, 1, 1]
    assert joined.mz.tolist() == [500.0, 510.0, 300.0, 500.0]
    assert joined.ion.tolist() == [3, -1, -1, 3]
    assert joined.intensity.dtype == np.float32
