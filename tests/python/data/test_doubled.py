"""Pixels of a run at one place are named before a fit."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import massgraph as mg
from massgraph.data.doubled import doubled_places


@pytest.fixture(scope="module")
def two() -> tuple[mg.Spectra, np.ndarray]:
    """Two samples that are called one run, as concatenated objects are."""
    spectra, labels = mg.simulate("tiny", n_runs=2)
    return replace(spectra, run_codes=np.zeros(len(spectra), int), run_names=("one",)), labels


def quick() -> mg.RGCNClassifier:
    return mg.RGCNClassifier(branches=("axis",), folds=2, augment=0)


MESSAGE = (
    r"144 pixels lie where another .* pixel 144, where pixel 0 is: 1, 1\): .* a run of its own"
)


def test_two_samples_in_one_run(two: tuple[mg.Spectra, np.ndarray]) -> None:
    spectra, labels = two
    assert doubled_places(spectra).tolist() == [[pixel, pixel + 144] for pixel in range(144)]
    with pytest.warns(UserWarning, match=MESSAGE):
        quick().fit(spectra, labels)
    with pytest.warns(UserWarning, match=MESSAGE):
        mg.SpatialRegions(3).fit(spectra)


def test_no_alarm_for_runs_copies_and_pixels_without_a_place(
    two: tuple[mg.Spectra, np.ndarray],
) -> None:
    spectra, labels = two
    again = np.concatenate([np.arange(144), np.arange(20)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick().fit(mg.simulate("tiny", n_runs=2).spectra, labels)
        quick().fit(spectra[again], labels[again])
        assert not len(doubled_places(replace(spectra, coordinates=None)))
        assert not len(doubled_places(spectra[:0]))
    sections = np.column_stack([spectra.coordinates, np.repeat([1, 2], 144)])
    assert not len(doubled_places(replace(spectra, coordinates=sections)))
