"""Versions of the training pixels: which graph is which, and what is drawn for them."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.learn_axis import learn_axis
from massgraph.learn.settings import resolve_settings
from massgraph.learn.versions import encode_versions
from massgraph.nn.completeness import LEVELS, N_EXPERTS


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny").spectra[::7]


@pytest.fixture(scope="module")
def encoder(spectra: mg.Spectra) -> PeakEncoder:
    settings = resolve_settings("default", "positive", {})
    return PeakEncoder.learn(spectra, settings, learn_axis(spectra))


def test_copies_to_weigh_by_are_not_trained_on(spectra: mg.Spectra, encoder: PeakEncoder) -> None:
    seed = np.random.SeedSequence(0)
    versions = encode_versions(encoder, spectra[:4], seed, n_copies=1, weighing=True)
    assert versions.n_training == 2
    assert versions.of(np.array([1])).tolist() == [1, 5]
    assert versions.weighing.tolist() == [0, *range(8, 40, 4)]
    assert len(versions.graphs) == 40


def test_the_measured_come_first(spectra: mg.Spectra, encoder: PeakEncoder) -> None:
    n = spectra.n_pixels
    seed = np.random.SeedSequence(0)
    versions = encode_versions(encoder, spectra, seed, n_copies=2, weighing=True)
    measured = encoder.encode(spectra)
    np.testing.assert_array_equal(versions.graphs[np.arange(n)].features, measured.features)
    again = encode_versions(encoder, spectra, seed, n_copies=2, weighing=False)
    same = versions.graphs[np.arange(3 * n)]
    np.testing.assert_array_equal(again.graphs.features, same.features)


def test_copies_to_weigh_by_lack_peaks_in_each_way(
    spectra: mg.Spectra, encoder: PeakEncoder
) -> None:
    n, seed = spectra.n_pixels, np.random.SeedSequence(0)
    versions = encode_versions(encoder, spectra, seed, n_copies=0, weighing=True)
    counts = np.diff(versions.graphs.offsets).reshape(-1, n)
    left = counts[1:].sum(axis=1) / counts[0].sum()
    np.testing.assert_allclose(left, LEVELS * 2, atol=0.05)
    assert counts.min() > 0
    # The strongest ion stays where the weakest are lost.
    offsets, features = versions.graphs.offsets, versions.graphs.features

    def ions(number: int) -> set[int]:
        return set(features[offsets[number] : offsets[number + 1], -2].astype(int).tolist())

    for pixel in range(n):
        first, last = offsets[pixel], offsets[pixel + 1]
        strongest = int(features[first + features[first:last, -3].argmax(), -2])
        assert all(strongest in ions(k * n + pixel) for k in range(1 + len(LEVELS), N_EXPERTS))


def test_an_ion_that_is_left_has_the_amount_that_it_had(
    spectra: mg.Spectra, encoder: PeakEncoder
) -> None:
    """Brightness refers to the ions that are there: it hardly changes as others are lost."""
    n, seed = spectra.n_pixels, np.random.SeedSequence(0)
    versions = encode_versions(encoder, spectra, seed, n_copies=0, weighing=True)
    whole, half = (versions.graphs[np.arange(k * n, (k + 1) * n)].features for k in (0, 1))
    level = versions.level
    for features in (whole, half):
        ion, amount = features[:, -2].astype(int), features[:, -3]
        assert abs(np.mean(np.expm1(amount) - level[ion])) < 0.2 * level.mean()
