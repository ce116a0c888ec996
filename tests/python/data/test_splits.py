"""Splits: whole groups, every class in training, near the share that is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, published_split, split_by_group


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def image(width: int, height: int, runs: list[str], depth: bool = False) -> Spectra:
    """Pixels of some runs, each a filled rectangle."""
    y, x = np.mgrid[:height, :width]
    place = np.column_stack([x.ravel(), y.ravel()] + [np.zeros(x.size)] * depth)
    return Spectra.from_peaks(
        [([100.0], [1.0])] * (x.size * len(runs)),
        coordinates=np.tile(place, (len(runs), 1)),
        run=np.repeat(runs, x.size),
    )


# -------------------------------------------------------------------- default groups


def test_five_runs_are_the_groups() -> None:
    spectra = image(4, 4, ["e", "d", "c", "b", "a"])
    groups = default_groups(spectra)
    for name in "abcde":
        assert np.unique(groups[spectra.run == name]).size == 1
    assert np.unique(groups).size == 5


def test_runs_that_are_named_but_not_there_do_not_count() -> None:
    spectra = image(12, 12, ["a", "b", "c", "d", "e"])[:288]  # two runs are left
    assert np.unique(default_groups(spectra)).size == 72


@pytest.mark.parametrize("depth", [False, True])
def test_fewer_runs_are_cut_into_blocks(depth: bool) -> None:
    spectra = image(24, 12, ["a", "b"], depth)
    groups = default_groups(spectra)
    assert np.unique(groups).size == 2 * 6 * 3
    assert spectra.coordinates is not None
    for group in np.unique(groups):
        rows = groups == group
        assert np.unique(spectra.run[rows]).size == 1
        assert rows.sum() == 16
        assert np.ptp(spectra.coordinates[rows, :2], axis=0).tolist() == [3, 3]


@pytest.mark.parametrize("apart", [(300.0, 0.0), (0.0, 5000.0), (900_000.0, 900_000.0)])
def test_blocks_lie_over_sections_and_not_over_what_is_between(apart: tuple[float, float]) -> None:
    """Two sections on one slide were one block each, on which no folds can be made."""
    first = image(24, 12, ["a"])
    assert first.coordinates is not None
    second = replace(first, coordinates=first.coordinates + apart)
    groups = default_groups(Spectra.concatenate([first, second]))
    assert np.unique(groups).size >= 12
    assert np.bincount(groups).max() <= 64
    assert default_groups(first).tolist() == default_groups(second).tolist()


def test_gaps_within_a_section_change_no_block() -> None:
    whole = image(24, 24, ["a"])
    assert whole.coordinates is not None
    there = (whole.coordinates[:, 0] < 10) | (whole.coordinates[:, 0] >= 13)
    np.testing.assert_array_equal(
        np.unique(default_groups(whole)[there], return_inverse=True)[1],
        default_groups(whole[there]),
    )


def test_blocks_do_not_depend_on_the_origin() -> None:
    spectra = image(24, 12, ["a"])
    assert spectra.coordinates is not None
    moved = Spectra.from_peaks(
        [([100.0], [1.0])] * len(spectra), coordinates=np.add(spectra.coordinates, [1000, 77])
    )
    np.testing.assert_array_equal(default_groups(moved), default_groups(spectra))


def test_small_images_have_one_pixel_to_a_block() -> None:
    groups = default_groups(image(3, 2, ["a"]))
    assert sorted(groups.tolist()) == list(range(6))


def test_pixels_without_coordinates_are_their_own_groups() -> None:
    spectra = Spectra.from_peaks([([1.0], [1.0])] * 5)
    assert default_groups(spectra).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("coordinates", [None, np.empty((0, 2))])
def test_groups_of_no_pixels(coordinates: NDArray[np.float64] | None) -> None:
    groups = default_groups(Spectra.from_peaks([], coordinates=coordinates))
    assert groups.shape == (0,)


# -------------------------------------------------------------------- by group


def test_whole_groups_are_held_out_near_the_share() -> None:
    y = rng().integers(0, 3, 1000)
    groups = np.arange(1000) // 10
    held_out = split_by_group(y, groups, 0.2, rng())
    assert held_out.dtype == np.bool_
    for group in range(100):
        assert np.unique(held_out[groups == group]).size == 1
    for code in range(3):
        assert 0.15 < held_out[y == code].mean() < 0.25


def test_groups_may_have_any_name_and_order() -> None:
    y = np.tile([0, 1], 50)
    groups = np.array([f"slide {k % 7}" for k in range(100)])
    held_out = split_by_group(y, groups, 0.3, rng())
    assert not set(groups[held_out]) & set(groups[~held_out])
    order = rng(1).permutation(100)
    np.testing.assert_array_equal(
        split_by_group(y[order], groups[order], 0.3, rng()), held_out[order]
    )


def test_same_seed_same_split() -> None:
    y, groups = rng().integers(0, 2, 200), rng(1).integers(0, 40, 200)
    one, other = (split_by_group(y, groups, 0.2, rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert any((split_by_group(y, groups, 0.2, rng(s)) != one).any() for s in range(3))


def test_an_absent_class_is_worse_than_a_share_that_is_off() -> None:
    # Class 1 is in groups 0 and 1 only: one of them must be held out, though it is large.
    groups = np.repeat([0, 1, 2, 3, 4], [40, 40, 10, 10, 10])
    y = np.where(groups < 2, np.arange(110) % 2, 0)
    held_out = split_by_group(y, groups, 0.2, rng())
    assert 0 < held_out[y == 1].sum() < (y == 1).sum()


@given(data=st.data(), n=st.integers(2, 60), n_groups=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_class_keeps_training_pixels_or_the_split_is_refused(
    data: st.DataObject, n: int, n_groups: int, seed: int
) -> None:
    y = np.array(data.draw(st.lists(st.sampled_from([0, 1, 5]), min_size=n, max_size=n)))
    groups = rng(seed).integers(0, n_groups, n)
    try:
        held_out = split_by_group(y, groups, 0.25, rng(seed))
    except ValueError as error:
        assert "cannot be split" in str(error)  # noqa: PT017
        # True only if removing any one group empties a class.
        for group in np.unique(groups):
            assert set(y[groups != group]) != set(y)
        return
    assert 0 < held_out.sum() < n
    assert set(y[~held_out]) == set(y)
    assert not set(groups[held_out]) & set(groups[~held_out])


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        ([0, 1, 0, 1], [7, 7, 7, 7], "1 groups cannot be split .* label pixels in more groups"),
        ([0, 0, 1, 1], [0, 0, 1, 1], "2 groups cannot be split"),
        ([], [], "0 groups cannot be split"),
        ([0, 1, 0], [0, 1], "2 groups for 3 labelled pixels"),
    ],
)
def test_splits_that_cannot_be_are_refused(y: list[int], groups: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_by_group(np.array(y, dtype=np.int64), groups, 0.2, rng())


# -------------------------------------------------------------------- as published


def test_published_split_holds_out_the_last_fifth_of_each_class() -> None:
    y = np.repeat([0, 1, 2], [10, 25, 5])
    held_out = published_split(y, 0.2, rng())
    assert [int(held_out[y == code].sum()) for code in range(3)] == [2, 5, 1]
    other = published_split(y, 0.2, rng(1))
    assert (held_out != other).any()
    np.testing.assert_array_equal(published_split(y, 0.2, rng()), held_out)


@pytest.mark.parametrize("n", range(1, 40))
def test_published_split_trains_on_the_floor_of_four_fifths(n: int) -> None:
    held_out = published_split(np.zeros(n, dtype=np.int64), 0.2, rng())
    assert (~held_out).sum() == int(0.8 * n)
