"""Which pixels lie beside each other, on images of any shape."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.data.neighbours import (
    AROUND,
    Neighbours,
    neighbour_pairs,
    neighbours_around,
)


def image(place, run=None, **kwargs):
    place = np.asarray(place, dtype=float)
    run = None if run is None else np.asarray(run)
    return mg.Spectra.from_peaks(
        [([500.0], [1.0])] * len(place), coordinates=place, run=run, **kwargs
    )


def grid(rows, columns, step=1.0):
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x, y], axis=1) * step + step


def by_hand(place, reach):
    apart = np.abs(place[:, None] - place[None]).max(axis=2)
    return np.argwhere(np.triu(apart <= reach, 1))


@pytest.mark.parametrize("step", [1.0, 50.0, 0.02, 12.5])
@pytest.mark.parametrize("radius", [1, 2])
def test_pairs_are_those_within_the_radius(step, radius):
    place = grid(4, 5)
    found = neighbour_pairs(image(place * step), radius)
    np.testing.assert_array_equal(found, by_hand(place, radius))


def test_holes_and_missing_rows_are_no_neighbours():
    place = grid(6, 6)
    place = place[(place[:, 1] != 3) & ~((place[:, 0] > 3) & (place[:, 1] > 4))]
    np.testing.assert_array_equal(neighbour_pairs(image(place)), by_hand(place, 1))


def test_one_pixel_wide():
    assert neighbour_pairs(image(grid(1, 4))).tolist() == [[0, 1], [1, 2], [2, 3]]


def test_runs_do_not_touch():
    place = np.tile(grid(2, 2), (2, 1))
    pairs = neighbour_pairs(image(place, run=np.repeat(["a", "b"], 4)))
    assert len(pairs) == 12
    assert (pairs // 4 == (pairs // 4)[:, :1]).all()


def test_sections_of_a_stack_do_not_touch():
    """At the same x and y, one over the other."""
    deep = np.column_stack([np.tile(grid(3, 3), (2, 1)), np.repeat([1, 2], 9)])
    by_run = image(deep[:, :2], run=np.repeat(["a", "b"], 9))
    np.testing.assert_array_equal(neighbour_pairs(image(deep)), neighbour_pairs(by_run))
    np.testing.assert_array_equal(neighbours_around(image(deep)), neighbours_around(by_run))


def test_order_of_pixels_does_not_matter():
    place = grid(5, 7)
    order = np.random.default_rng(0).permutation(len(place))
    found = np.sort(order[neighbour_pairs(image(place[order]))], axis=1)
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], neighbour_pairs(image(place)))


def test_one_pixel_has_none():
    pairs = neighbour_pairs(image([[1, 1]]))
    assert pairs.shape == (0, 2)
    assert Neighbours(pairs, 1).shares().toarray().tolist() == [[0.0]]


def test_shares_are_means():
    place = grid(3, 3)
    shares = Neighbours.within(image(place), 1).shares()
    np.testing.assert_allclose(shares @ np.ones(9), 1)
    assert (shares @ np.arange(9.0))[4] == pytest.approx(4.0)


def test_bad_input_is_one_line():
    with pytest.raises(mg.InputError, match="no coordinates: give them, or say spatial=False"):
        neighbour_pairs(mg.Spectra.from_peaks([([500.0], [1.0])]))
    with pytest.raises(mg.InputError, match=r"radius is 0\.5, need at least 1 pixel"):
        neighbour_pairs(image(grid(2, 2)), 0.5)


# -------------------------------------------------------------------- the eight around


def pairs_of_eight(spectra):
    around = neighbours_around(spectra)
    first, direction = np.nonzero(around >= 0)
    pairs = np.stack([first, around[first, direction]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0).reshape(-1, 2)


@pytest.mark.parametrize("step", [1.0, 50.0, 0.02, 12.5])
def test_the_eight_are_the_pairs_within_one_pixel(step):
    place = grid(6, 7)
    place = np.random.default_rng(0).permutation(place)[:30]  # with holes, in no order
    spectra = image(np.concatenate([place, [[9.0, 9.0]]]) * step)  # and one far from all
    np.testing.assert_array_equal(pairs_of_eight(spectra), neighbour_pairs(spectra))


def test_the_eight_stand_in_their_directions():
    place = grid(3, 3)
    middle = neighbours_around(image(place))[4]
    np.testing.assert_array_equal(place[middle] - place[4], AROUND)
    for direction, step in enumerate(AROUND):
        assert tuple(-np.array(AROUND[(direction + 4) % 8])) == step


def test_rows_and_runs_do_not_run_into_each_other():
    place = np.tile(grid(3, 4), (2, 1))
    spectra = image(place, run=np.repeat(["a", "b"], 12))
    np.testing.assert_array_equal(pairs_of_eight(spectra), neighbour_pairs(spectra))
    assert neighbours_around(image(grid(1, 1))).tolist() == [[-1] * 8]
    assert pairs_of_eight(image(grid(1, 4))).tolist() == [[0, 1], [1, 2], [2, 3]]


def test_the_eight_need_coordinates():
    with pytest.raises(InputError, match="have no coordinates"):
        neighbours_around(mg.Spectra.from_peaks([([500.0], [1.0])]))
