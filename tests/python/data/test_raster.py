"""Groups of neighbouring pixels do not depend on the unit of their coordinates."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.data.splits import default_groups, raster_pitch


def raster(width: int, height: int, scale: float, shift: float = 0.0) -> mg.Spectra:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    places = np.stack([x.ravel(), y.ravel()], axis=1) * scale + shift
    return mg.Spectra.from_peaks([([500.0], [1.0])] * len(places), coordinates=places)


@pytest.mark.parametrize("scale", [1.0, 50.0, 10.0, 12.5, 0.05, 5e-5, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1284.5])
def test_any_unit_gives_the_same_groups(scale: float, shift: float) -> None:
    counted = default_groups(raster(20, 13, 1.0))
    assert len(np.unique(counted)) > 20
    measured = default_groups(raster(20, 13, scale, shift))
    np.testing.assert_array_equal(measured, counted)


@pytest.mark.parametrize("scale", [1.0, 50.0, 0.05])
def test_a_fit_does_not_depend_on_the_unit(scale: float) -> None:
    truth = mg.simulate("tiny", n_runs=1)
    assert truth.spectra.coordinates is not None
    from dataclasses import replace

    moved = replace(truth.spectra, coordinates=truth.spectra.coordinates * scale)
    fits = [
        mg.RGCNClassifier(branches=("axis",), augment=0).fit(one, truth.labels).logits(one)
        for one in (truth.spectra, moved)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])


def test_few_pixels_of_a_counted_raster_are_one_apart() -> None:
    """Labels may be few and far between: columns 0, 2 and 5 are of a raster of 1."""
    assert raster_pitch(np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 3.0]])) == 1.0


def test_positions_of_a_stage_scatter() -> None:
    rng = np.random.default_rng(0)
    even = raster(12, 12, 0.05)
    assert even.coordinates is not None
    odd = mg.Spectra.from_peaks(
        [([500.0], [1.0])] * 144, coordinates=even.coordinates + rng.normal(0, 1e-3, (144, 2))
    )
    assert 30 <= len(np.unique(default_groups(odd))) <= 36


def test_pixels_at_one_place() -> None:
    spectra = mg.Spectra.from_peaks([([500.0], [1.0])] * 3, coordinates=np.zeros((3, 2)))
    assert default_groups(spectra).tolist() == [0, 0, 0]
