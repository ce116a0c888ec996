"""Coverage by hand, and what its levels make of probabilities."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.encode.axis import MassAxis
from massgraph.encode.coverage import LEAST_TRUST, Knowledge, Levels, run_means
from massgraph.encode.learn_axis import learn_axis, own_axis
from massgraph.encode.learn_levels import learn_levels
from massgraph.segmentation import uncertainty_of


def known_of(mz: list[float], width: float = 1e-4) -> Knowledge:
    n = len(mz)
    axis = MassAxis(
        np.array(mz), np.ones(n), np.ones(n, dtype=bool), np.zeros(n), width=width, shift=0.0
    )
    return Knowledge.of(axis)


def test_share_of_the_ion_current_within_ten_ppm() -> None:
    known = known_of([500.0, 800.0])
    peaks = [
        ([500.0, 600.0], [3.0, 1.0]),
        ([500.0049, 500.0051], [1.0, 1.0]),  # 9.8 and 10.2 ppm off
        ([799.9921, 900.0], [2.0, 0.5]),  # 9.9 ppm below
        ([], []),
        ([650.0], [7.0]),
    ]
    found = known.coverage(mg.Spectra.from_peaks(peaks))
    np.testing.assert_allclose(found, [0.75, 0.5, 0.8, np.nan, 0.0])


def test_the_tolerance_is_two_widths_where_that_is_more() -> None:
    spectra = mg.Spectra.from_peaks([([500.009], [1.0])])
    assert known_of([500.0]).coverage(spectra)[0] == 0
    assert known_of([500.0], width=5e-3).coverage(spectra)[0] == 1


def test_no_ions_cover_nothing() -> None:
    spectra = mg.Spectra.from_peaks([([500.0], [1.0])])
    assert known_of([]).coverage(spectra).tolist() == [0.0]


def test_own_pixels_and_a_shift_of_200_ppm() -> None:
    spectra = mg.simulate("small", n_runs=1, random_state=3).spectra
    axis = learn_axis(spectra[::2])
    known = Knowledge.of(axis)
    rest = spectra[1::2]
    for given in (rest, mg.degrade.shift_mz(rest, 200.0, "ppm")):
        assert np.nanmean(known.coverage(axis.calibrate(given).spectra)) > 0.95


def test_means_are_over_pixels_with_peaks() -> None:
    coverage = np.array([0.5, np.nan, 1.0, np.nan])
    run = np.array(["b", "b", "b", "a"])
    assert run_means(coverage, run) == {"b": (0.75, 2)}


# -------------------------------------------------------------------- what is believed


def test_trust_falls_with_coverage_and_is_whole_from_the_level_of_refusal_on() -> None:
    levels = Levels(chance=0.2, refuse=0.5, warn=0.7)
    trust = levels.trust(np.array([1.0, 0.7, 0.5, 0.35, 0.2, 0.0, np.nan]))
    np.testing.assert_allclose(trust, [1, 1, 1, 0.5, *[LEAST_TRUST] * 3])


def test_covered_pixels_stay_as_they_are_to_the_last_bit() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    levels = Levels()
    found = levels.tempered(probability, np.full(50, levels.refuse))
    np.testing.assert_array_equal(found, probability)


def test_classes_keep_their_order_and_sums_stay_one() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.full(5, 0.3), 200)
    found = Levels().tempered(probability, rng.random(200))
    np.testing.assert_array_equal(found.argmax(axis=1), probability.argmax(axis=1))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_uncertainty_rises_as_coverage_falls() -> None:
    probability = np.tile([0.99, 0.005, 0.005], (21, 1))
    found = Levels().tempered(probability, np.linspace(1, 0, 21))
    uncertainty = uncertainty_of(found)
    assert (np.diff(uncertainty) >= -1e-12).all()
    assert uncertainty[0] < 0.1
    assert uncertainty[-1] > 0.999


def test_what_is_missing_stays_missing() -> None:
    assert np.isnan(Levels().tempered(np.full((1, 2), np.nan), np.array([np.nan]))).all()


# -------------------------------------------------------------------- levels


@pytest.mark.parametrize("preset", ["tiny", "small", "adducts"])
def test_levels_lie_between_chance_and_degraded_pixels(preset: str) -> None:
    spectra = mg.simulate(preset, n_runs=2, random_state=1).spectra
    axis, calibrated, _ = own_axis(spectra)
    levels = learn_levels(axis, spectra, calibrated)
    assert 0 < levels.chance < levels.refuse < levels.warn < levels.own <= 1
    known = Knowledge.of(axis, levels)
    rng = np.random.default_rng(0)
    for copy in (
        mg.degrade.remove_peaks(spectra, 0.25, rng),
        mg.degrade.jitter_mz(spectra, 5e-3, "Da", rng),
        mg.degrade.shift_mz(spectra, 50.0, "ppm"),
    ):
        assert np.nanmean(known.coverage(axis.calibrate(copy).spectra)) > levels.warn


def test_ions_of_one_pixel_alone_do_not_count() -> None:
    """Noise of a few pixels becomes ions of their axis, which new pixels do not have."""
    rng = np.random.default_rng(0)
    common = np.arange(500.3, 540.0)
    pixels = [np.sort(np.append(common, rng.uniform(600, 900, 40))) for _ in range(20)]
    spectra = mg.Spectra.from_peaks([(mz, np.ones(mz.size)) for mz in pixels])
    axis, calibrated, _ = own_axis(spectra)
    assert np.nanmean(Knowledge.of(axis).coverage(calibrated.spectra)) > 0.9
    assert learn_levels(axis, spectra, calibrated).own < 0.6


def test_the_fit_and_its_seed_are_not_touched() -> None:
    spectra = mg.simulate("tiny", n_runs=1).spectra
    axis, calibrated, _ = own_axis(spectra)
    one, other = (learn_levels(axis, spectra, calibrated) for _ in range(2))
    assert one == other


def test_unit_mass_has_levels_of_its_own() -> None:
    """Where half of what is foreign meets an ion by chance, levels are higher."""
    made = mg.simulate("small", n_runs=1, random_state=2).spectra
    order = np.lexsort((np.round(made.mz), made.pixel_of_peak))
    mz, intensity = np.round(made.mz)[order], made.intensity[order]
    unit = mg.Spectra.from_arrays(mz, intensity, made.offsets)
    found = []
    for spectra in (made, unit):
        axis, calibrated, _ = own_axis(spectra)
        found.append(learn_levels(axis, spectra, calibrated))
    assert found[1].chance > found[0].chance + 0.2
    assert found[1].refuse > found[0].refuse


def test_few_pixels_show_no_scale() -> None:
    spectra = mg.simulate("tiny", n_runs=1).spectra[60:75]
    axis, calibrated, _ = own_axis(spectra)
    assert learn_levels(axis, spectra, calibrated).scatter is None
