"""Node features: scaled, smooth, finite, and of the peak alone or its pixel alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgraph.data.spectra import Spectra
from massgraph.encode.features import (
    CH2,
    FEATURES,
    PUBLISHED_FEATURES,
    feature_names,
    node_features,
)
from spectra_builder import random_spectra

RANGE = (200.0, 1400.0)
ALL = tuple(FEATURES)


def one_pixel(mz: list[float], intensity: list[float] | None = None) -> Spectra:
    return Spectra.from_peaks([(mz, [1.0] * len(mz) if intensity is None else intensity)])


def test_names_follow_the_columns() -> None:
    assert feature_names(["mz", "mass_defect"]) == ["mz", "mass_defect_sin", "mass_defect_cos"]
    assert feature_names(PUBLISHED_FEATURES) == list(PUBLISHED_FEATURES)
    spectra = random_spectra(0, [4, 0, 2])
    for name in ALL:
        features = node_features(spectra, [name], RANGE)
        assert features.shape == (6, len(feature_names([name])))
        assert features.dtype == np.float32


def test_columns_come_in_the_order_that_is_asked_for() -> None:
    spectra = random_spectra(1, [5])
    both = node_features(spectra, ["ch2_phase", "mz"], RANGE)
    np.testing.assert_array_equal(both[:, :2], node_features(spectra, ["ch2_phase"], RANGE))
    np.testing.assert_array_equal(both[:, 2:], node_features(spectra, ["mz"], RANGE))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mz", "charge"], r"features \['charge'\] are not among \['ch2_phase'"),
        ("mz", r"features \['m', 'z'\]"),
        ([], "no features"),
    ],
)
def test_unknown_features_are_refused(names: list[str], message: str) -> None:
    for ask in (feature_names, lambda n: node_features(random_spectra(0, [2]), n, RANGE)):
        with pytest.raises(ValueError, match=message):
            ask(names)


def test_mz_is_centred_on_the_range() -> None:
    features = node_features(one_pixel([200, 800, 1400, 2000]), ["mz"], RANGE)
    np.testing.assert_allclose(features[:, 0], [-1, 0, 1, 2])


def test_mass_defect_does_not_jump_at_integers() -> None:
    features = node_features(
        one_pixel([499.9999, 500, 500.0001, 500.25, 500.5]), ["mass_defect"], RANGE
    )
    np.testing.assert_allclose(features[:3], [[0, 1]] * 3, atol=1e-3)
    np.testing.assert_allclose(features[3:], [[1, 0], [0, -1]], atol=1e-6)


@pytest.mark.parametrize("name", ["kendrick_defect", "ch2_phase"])
def test_a_homologous_series_has_one_phase(name: str) -> None:
    series = [760.5851 + k * CH2 for k in range(6)]
    features = node_features(one_pixel(series), [name], RANGE)
    np.testing.assert_allclose(features, features[:1].repeat(6, axis=0), atol=1e-5)
    other = node_features(one_pixel([782.5670]), [name], RANGE)  # its sodium adduct
    assert np.abs(other - features[0]).max() > 0.05


def test_log_intensity_is_standardised_in_each_pixel() -> None:
    spectra = random_spectra(2, [40, 0, 1, 30])
    values = node_features(spectra, ["log_intensity"], RANGE)[:, 0].astype(np.float64)
    for pixel in (0, 3):
        mine = values[spectra.pixel_of_peak == pixel]
        assert mine.mean() == pytest.approx(0, abs=1e-6)
        assert mine.std() == pytest.approx(1, abs=1e-6)
    published = node_features(spectra, ["published_log_intensity"], RANGE)[:, 0]
    mine = published[spectra.pixel_of_peak == 0].astype(np.float64)
    assert mine.std(ddof=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["log_intensity", "published_log_intensity"])
@pytest.mark.parametrize("intensity", [[7.0], [3.3] * 50, [1e-3] * 3, [1e30] * 7])
def test_one_peak_or_equal_peaks_give_zero_and_not_nan(name: str, intensity: list[float]) -> None:
    mz = [200.0 + k for k in range(len(intensity))]
    features = node_features(one_pixel(mz, intensity), [name], RANGE)
    assert features.tolist() == [[0.0]] * len(intensity)


def test_published_intensities_are_clamped() -> None:
    faint = one_pixel([201, 202, 203], [1e-30, 1e-6, 1.0])
    features = node_features(faint, ["published_log_intensity"], RANGE)[:, 0]
    assert features[0] == features[1] < features[2]
    free = node_features(faint, ["log_intensity"], RANGE)[:, 0]
    assert free[0] < free[1] < free[2]


def test_features_are_blind_to_a_factor_and_to_other_pixels() -> None:
    spectra = random_spectra(3, [9, 0, 12])
    names = ["log_intensity", "mz", "mass_defect"]
    whole = node_features(spectra, names, RANGE)
    louder = replace(spectra, intensity=spectra.intensity * np.float32(1024))
    np.testing.assert_allclose(node_features(louder, names, RANGE), whole, atol=1e-5)
    np.testing.assert_array_equal(node_features(spectra[2], names, RANGE), whole[9:])


@given(
    mz=st.lists(st.floats(1, 5000), min_size=1, max_size=20),
    seed=st.integers(0, 100),
    exponent=st.integers(-30, 30),
)
@settings(max_examples=60, deadline=None)
def test_features_are_finite_whatever_comes(mz: list[float], seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    intensity = rng.lognormal(sigma=3, size=len(mz)) * 10.0**exponent
    spectra = Spectra.from_peaks([(np.sort(mz), intensity)])
    features = node_features(spectra, ALL, RANGE)
    assert np.isfinite(features).all()
    angles = [i for i, name in enumerate(feature_names(ALL)) if name.endswith(("_sin", "_cos"))]
    pairs = features[:, angles].reshape(len(features), -1, 2)
    np.testing.assert_allclose((pairs**2).sum(axis=2), 1, atol=1e-5)


@pytest.mark.parametrize("counts", [[], [0], [0, 0]])
def test_no_peaks_no_features(counts: list[int]) -> None:
    features = node_features(random_spectra(0, counts), ALL, RANGE)
    assert features.shape == (0, len(feature_names(ALL)))
