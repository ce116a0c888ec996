"""Discriminants: what they say of a pixel is the sum of what they say of its ions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import massgraph as mg
from massgraph.graph.batch import PeakGraphs
from massgraph.nn.completeness import N_EXPERTS
from massgraph.nn.discriminants import Discriminants


@pytest.fixture(scope="module")
def fitted() -> mg.RGCNClassifier:
    return mg.RGCNClassifier(effort="default", folds=3, random_state=0).fit(*mg.simulate("tiny"))


@pytest.fixture(scope="module")
def graphs(fitted: mg.RGCNClassifier) -> PeakGraphs:
    """Spectra as measured, some without their weakest peaks, and one without any."""
    spectra = mg.simulate("tiny", random_state=1).spectra[:60]
    few = spectra.top_peaks(20)
    nothing = few[:1].keep_peaks(np.zeros(20, dtype=bool))
    every = mg.Spectra.concatenate([spectra[:30], nothing, few[30:]])
    graphs = fitted.encoder_.encode(fitted.encoder_.calibrate(every), edges=False)
    graphs.features[:5, -3] = 0.0  # ions whose amount is too small for float32
    return graphs


@pytest.mark.parametrize("name", ["axis", "family"])
def test_a_mean_is_that_of_the_peaks(
    fitted: mg.RGCNClassifier, graphs: PeakGraphs, name: str
) -> None:
    (part,) = fitted.model_.parts(name)
    assert isinstance(part, Discriminants)
    batch = graphs.batch(np.arange(len(graphs)), edges="none")
    expert = part.completeness(batch)
    weights = torch.linspace(0.5, 1.5, N_EXPERTS, dtype=torch.float64)
    cam = part.weighted_cam(batch, expert, weights).numpy()
    pixel, counts = batch.pixel.numpy(), batch.counts.numpy()[:, 0]
    expected = np.stack([np.bincount(pixel, one, len(counts)) for one in cam.T], axis=1)
    expected /= np.maximum(counts, 1)[:, None]
    found = part.weighted_mean(batch, expert, weights).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[counts == 0] == 0).all()
    assert counts.min() == 0
    assert bool((expert[:, 1:] > 0).any())
