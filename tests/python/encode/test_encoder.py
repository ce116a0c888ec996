"""The encoder: features brought to one scale, and what it was learnt from."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.learn.settings import Settings, resolve_settings


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    found, labels = mg.simulate("tiny")
    return found[np.array([label is not None for label in labels])]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return resolve_settings("default", "positive", {})


def test_features_are_standardised_over_the_training_peaks(
    spectra: mg.Spectra, settings: Settings
) -> None:
    encoder = PeakEncoder.learn(spectra, settings)
    features = encoder.encode(spectra).features
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)
    assert encoder.feature_range == (spectra.mz.min(), spectra.mz.max())


def test_a_constant_feature_is_not_blown_up(settings: Settings) -> None:
    one_peak = mg.Spectra.from_peaks([([700.5], [1.0]), ([700.5], [2.0])])
    features = PeakEncoder.learn(one_peak, settings).encode(one_peak).features
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 1e-3
