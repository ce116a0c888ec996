"""Degraded copies: what is lost, what is moved, and what no copy loses."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.learn.augmentation import degraded_copy


@pytest.fixture(scope="module")
def tissue() -> tuple[mg.Spectra, np.ndarray]:
    spectra, labels = mg.simulate("tiny")
    known = np.array([label is not None for label in labels])
    return spectra[known], np.unique(labels[known].astype(str), return_inverse=True)[1]


def test_degraded_copies_have_faults_and_the_same_pixels(tissue: tuple) -> None:
    spectra, _ = tissue
    worse = degraded_copy(spectra, np.random.default_rng(0))
    again = degraded_copy(spectra, np.random.default_rng(0))
    assert len(worse) == len(spectra)
    np.testing.assert_array_equal(worse.run, spectra.run)
    np.testing.assert_array_equal(worse.mz, again.mz)
    kept = worse.peak_counts / spectra.peak_counts
    assert 0.2 < np.mean(kept == 1) < 0.5  # a third lose nothing
    assert kept.min() < 0.5
    moved = ~np.isin(worse.mz, spectra.mz)
    assert 0.2 < moved.mean() < 0.6  # four pixels in ten are jittered


def test_no_copy_loses_all_its_peaks() -> None:
    """There is nothing to learn from a pixel without peaks but how often its class is drawn."""
    few = mg.Spectra.from_peaks([([700.5], [1.0]), ([700.5, 714.5], [1.0, 2.0])] * 100)
    for seed in range(3):
        worse = degraded_copy(few, np.random.default_rng(seed))
        assert worse.peak_counts.min() == 1
        assert (worse.peak_counts[1::2] == 1).any()
        assert len(worse) == len(few)
