"""Versions of the training pixels: which graph is which, and what is drawn for them."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.learn_axis import learn_axis
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.settings import resolve_settings
from massgraph.learn.versions import Versions, encode_versions


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny").spectra[::7]


@pytest.fixture(scope="module")
def encoder(spectra: mg.Spectra) -> PeakEncoder:
    settings = resolve_settings("default", "positive", {})
    return PeakEncoder.learn(spectra, settings, learn_axis(spectra))


def test_copies_to_weigh_by_are_not_trained_on(spectra: mg.Spectra, encoder: PeakEncoder) -> None:
    graphs = PeakGraphs.concatenate([encoder.encode(spectra[:4])] * 4)
    versions = Versions(graphs, np.zeros(8, dtype=np.int64), 4)
    assert versions.n_training == 2
    assert versions.of(np.array([1])).tolist() == [1, 5]
    assert versions.weighing.tolist() == [0, 8, 12]


def test_the_measured_come_first(spectra: mg.Spectra, encoder: PeakEncoder) -> None:
    n, y = spectra.n_pixels, np.arange(spectra.n_pixels) % 2
    seed = np.random.SeedSequence(0)
    versions = encode_versions(encoder, spectra, y, seed, n_copies=2, n_weighing=1)
    assert len(versions.graphs) == 4 * n
    assert (versions.fault[:n] == 0).all()
    assert versions.fault[n:].any()
    measured = encoder.encode(spectra)
    np.testing.assert_array_equal(versions.graphs[np.arange(n)].features, measured.features)
    again = encode_versions(encoder, spectra, y, seed, n_copies=2)
    same = versions.graphs[np.arange(3 * n)]
    np.testing.assert_array_equal(again.graphs.features, same.features)
