"""Sections with islands and holes: as large, as thin and as far apart as is said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, distance_transform_edt, label

from massgraph.simulation.simulate import REGIONS
from massgraph.simulation.tissue import (
    MIN_ISLAND_SHAPE,
    draw_holes,
    draw_islands,
    draw_tissue,
)

SHAPE = (46, 46)
SMALLEST = (MIN_ISLAND_SHAPE, MIN_ISLAND_SHAPE)


def sizes(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels of each connected part."""
    return np.bincount(label(mask)[0].ravel())[1:]


def islands(seed: int, shape: tuple[int, int], n_regions: int) -> NDArray[np.int64]:
    return draw_islands(np.random.default_rng(seed), shape, n_regions).region.reshape(shape)


# ------------------------------------------------------------------------ islands


@pytest.mark.parametrize("seed", range(5))
def test_islands_are_small_and_several(seed: int) -> None:
    parts = sizes(islands(seed, SHAPE, 5) == 4)
    assert parts.size == 9
    assert parts.min() >= 9
    assert parts.max() <= 25


@pytest.mark.parametrize("seed", range(5))
def test_the_rim_is_two_pixels_wide_all_along_the_outline(seed: int) -> None:
    region = islands(seed, SHAPE, 5)
    rim = region == 3
    # Three pixels in both directions fit nearly nowhere, two nearly everywhere.
    assert binary_opening(rim, np.ones((3, 3))).sum() < 0.05 * rim.sum()
    assert binary_opening(rim, np.ones((2, 2))).sum() > 0.9 * rim.sum()
    below = distance_transform_edt(region >= 0)
    assert np.array_equal(rim, (below > 2) & (below <= 4))


@pytest.mark.parametrize("seed", range(5))
def test_compartments_are_large(seed: int) -> None:
    """The largest part of each is larger than all islands are."""
    region = islands(seed, SHAPE, 5)
    assert min(sizes(region == k).max() for k in range(3)) > 25
    others = np.bincount(region[region >= 0])
    assert others[:3].min() > 0.5 * others[:3].sum() / 3 - 1


@pytest.mark.parametrize("n_regions", [3, len(REGIONS)])
def test_the_smallest_section_with_islands_has_all_regions(n_regions: int) -> None:
    for seed in range(40):
        region = islands(seed, SMALLEST, n_regions)
        assert set(region.ravel()) == set(range(-1, n_regions))
        assert (region == n_regions - 1).sum() >= 9


def test_shares_with_islands_sum_to_one() -> None:
    tissue = draw_islands(np.random.default_rng(0), SHAPE, 5)
    assert tissue.mixture.shape == (46 * 46, 5)
    assert tissue.mixture[tissue.region >= 0].sum(axis=1) == pytest.approx(1.0)
    # A thin rim is mixed more than a compartment, but is the most of its own pixels.
    rim = tissue.region == 3
    assert tissue.mixture[rim, 3].mean() > 0.6


# ------------------------------------------------------------------------ holes


@pytest.mark.parametrize("seed", range(10))
def test_holes_are_round_apart_and_within_the_tissue(seed: int) -> None:
    shape = (24, 80)
    region = draw_tissue(np.random.default_rng(seed), shape, 4).region
    hole = draw_holes(np.random.default_rng(seed), shape, region, 4)
    assert sizes(hole.reshape(shape)).tolist() == [29] * 4
    assert (region[hole] >= 0).all()
    holes, n_holes = label(hole.reshape(shape))
    for number in range(1, n_holes + 1):
        rows, columns = np.nonzero(holes == number)
        assert np.ptp(rows) == np.ptp(columns) == 6


def test_no_holes_are_none() -> None:
    assert not draw_holes(np.random.default_rng(0), (20, 20), np.zeros(400, dtype=int), 0).any()


def test_no_hole_where_there_is_no_tissue() -> None:
    assert not draw_holes(np.random.default_rng(0), (20, 20), np.full(400, -1), 3).any()


def test_every_region_keeps_half_of_its_pixels() -> None:
    """However many holes are asked for, and however small a region is."""
    for seed in range(10):
        region = islands(seed, (40, 40), 5).ravel()
        hole = draw_holes(np.random.default_rng(seed), (40, 40), region, 10**9)
        assert hole.sum() % 29 == 0
        assert hole.sum() > 4 * 29
        left = np.bincount(region[~hole & (region >= 0)])
        assert (left >= np.bincount(region[region >= 0]) / 2).all()
