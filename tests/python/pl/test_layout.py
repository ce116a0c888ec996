"""The layout of networks: its geometry against plain loops, and what it promises."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from massgraph.pl import _layout
from massgraph.pl._layout import Network, lay_out

BOX = (0.6, 0.4)


def network(edges: list[tuple[int, int, int]], n: int, box: tuple[float, float] = BOX) -> Network:
    """Edges as (source, target, relation)."""
    table = np.array(edges, dtype=np.intp).reshape(-1, 3)
    return Network(np.full((n, 2), box), *table.T, lift=np.zeros(n))


def some(seed: int, n: int = 9, n_edges: int = 14) -> tuple[Network, np.ndarray]:
    """A random network, and random places in three layouts, shape (3, n, 2)."""
    rng = np.random.default_rng(seed)
    pairs = list(combinations(range(n), 2))
    chosen = rng.permutation(len(pairs))[:n_edges]
    edges = [(*pairs[index], int(rng.integers(0, 4))) for index in chosen]
    made = network(edges, n)
    lifted = Network(
        rng.uniform(0.2, 0.8, (n, 2)), made.source, made.target, made.relation, np.full(n, 0.05)
    )
    return lifted, rng.uniform(0, 3, (3, n, 2))


def crosses(a: Any, b: Any, c: Any, d: Any) -> bool:
    """Whether the segments a-b and c-d cross, by solving for the point."""
    matrix = np.column_stack([b - a, c - d])
    if abs(np.linalg.det(matrix)) < 1e-12:
        return False
    s, t = np.linalg.solve(matrix, c - a)
    return bool(0 < s < 1 and 0 < t < 1)


# -------------------------------------------------------------------- geometry


@pytest.mark.parametrize("seed", range(6))
def test_crossings_are_counted_as_a_plain_loop_counts_them(seed: int) -> None:
    made, layouts = some(seed)
    expected = []
    for places in layouts:
        ends = list(zip(made.source, made.target, strict=True))
        expected.append(
            sum(
                crosses(*places[[*one, *other]])
                for one, other in combinations(ends, 2)
                if not set(one) & set(other)
            )
        )
    np.testing.assert_array_equal(_layout._crossings(layouts, made), expected)
    assert max(expected) > 0


@pytest.mark.parametrize("seed", range(6))
def test_overlaps_are_zero_just_where_no_boxes_overlap(seed: int) -> None:
    made, layouts = some(seed)
    for places, depth in zip(layouts, _layout._overlaps(layouts, made.boxes), strict=True):
        any_overlap = any(
            (np.abs(places[a] - places[b]) < (made.boxes[a] + made.boxes[b]) / 2).all()
            for a, b in combinations(range(len(places)), 2)
        )
        assert (depth > 0) == any_overlap
    apart = np.arange(len(made.boxes))[None, :, None] * np.ones(2)
    assert _layout._overlaps(apart, made.boxes) == 0


def test_an_edge_over_a_box_is_counted_once_for_each_box() -> None:
    made = network([(0, 3, 0)], 4)
    over = np.array([[0.0, 0.0], [1.0, 0.1], [2.0, -0.1], [3.0, 0.0]])
    clear = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, -0.5], [3.0, 0.0]])
    counts = _layout._edges_over_boxes(np.stack([over, clear]), made)
    np.testing.assert_array_equal(counts, [2, 0])


def test_the_ends_of_an_edge_are_not_in_its_way() -> None:
    made = network([(0, 1, 0)], 2)
    close = np.array([[[0.0, 0.0], [0.1, 0.0]]])
    assert _layout._edges_over_boxes(close, made) == 0


def test_narrow_angles_are_those_of_lines_that_look_like_one() -> None:
    made = network([(0, 1, 0), (0, 2, 1)], 3)
    places = np.array(
        [
            [[0, 0], [1, 0], [2, 0.1]],  # nearly the same way
            [[0, 0], [1, 0], [0, 1]],  # a right angle
            [[0, 0], [1, 0], [-1, 0]],  # opposite ways: one line, but read from the ion outwards
        ],
        dtype=float,
    )
    edges = places[:, made.target] - places[:, made.source]
    np.testing.assert_array_equal(_layout._narrow_angles(edges, made), [1, 0, 0])


def test_least_squares_places_close_a_lattice_without_bends() -> None:
    # A parallelogram: 0 -a-> 1, 2 -a-> 3, 0 -b-> 2, 1 -b-> 3.
    made = network([(0, 1, 0), (2, 3, 0), (0, 2, 1), (1, 3, 1)], 4)
    steps = np.array([[1.0, 0.0], [0.5, 1.0]])
    places = _layout._basis(made) @ steps
    gain = places[made.target] - places[made.source]
    np.testing.assert_allclose(gain, steps[made.relation], atol=1e-12)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-12)


def test_a_ring_that_does_not_close_is_bent_evenly() -> None:
    made = network([(0, 1, 0), (1, 2, 0), (0, 2, 0)], 3)
    places = _layout._basis(made) @ np.array([[1.0, 0.0]])
    gain = (places[made.target] - places[made.source])[:, 0]
    np.testing.assert_allclose(gain, [2 / 3, 2 / 3, 4 / 3])


# -------------------------------------------------------------------- pieces


def test_pieces_are_joined_by_one_new_relation() -> None:
    made = network([(0, 1, 0), (2, 3, 1), (4, 5, 0)], 7)
    joined = _layout._joined(made)
    assert len(joined.source) == 3 + 3
    assert set(joined.relation[3:]) == {2}
    np.testing.assert_array_equal(np.unique(joined.target[3:]), [2, 4, 6])
    whole = network([(0, 1, 0), (1, 2, 1)], 3)
    assert len(_layout._joined(whole).source) == 2


@pytest.mark.parametrize("n", [1, 2, 3, 12, 30])
def test_ions_without_any_edge_find_places(n: int) -> None:
    places = lay_out(network([], n), 7.0, 6.0)
    assert places.shape == (n, 2)
    for one, other in combinations(range(n), 2):
        assert (np.abs(places[one] - places[other]) >= np.array(BOX) - 1e-6).any()


# -------------------------------------------------------------------- promises


def clear_of_each_other(places: np.ndarray, boxes: np.ndarray) -> bool:
    return all(
        (np.abs(places[a] - places[b]) >= (boxes[a] + boxes[b]) / 2 - 1e-6).any()
        for a, b in combinations(range(len(places)), 2)
    )


@pytest.mark.parametrize("seed", range(8))
def test_boxes_of_any_size_never_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 31))
    edges = [(int(rng.integers(0, heavy)), heavy, int(rng.integers(0, 8))) for heavy in range(1, n)]
    made = network(edges, n)
    boxes = rng.uniform((0.4, 0.3), (1.1, 0.9), (n, 2))
    made = Network(boxes, made.source, made.target, made.relation, rng.uniform(0, 0.2, n))
    places = lay_out(made, 7.0, 6.2)
    assert np.isfinite(places).all()
    assert clear_of_each_other(places, boxes)
    np.testing.assert_allclose(places.max(axis=0) + places.min(axis=0), 0, atol=1e-9)


def test_a_square_of_two_relations_is_drawn_as_one() -> None:
    made = network([(0, 1, 0), (2, 3, 0), (0, 2, 1), (1, 3, 1)], 4)
    places = lay_out(made, 7.0, 6.0)
    gain = places[made.target] - places[made.source]
    np.testing.assert_allclose(gain[0], gain[1], atol=1e-6)
    np.testing.assert_allclose(gain[2], gain[3], atol=1e-6)
    assert _layout._crossings(places[None], made) == 0


def test_a_long_chain_is_kept_to_the_page() -> None:
    made = network([(index, index + 1, 0) for index in range(29)], 30)
    places = lay_out(made, 7.0, 6.0)
    extent = np.ptp(places, axis=0) + BOX
    assert (extent <= np.array([7.0, 6.0]) * _layout.MOST_OVER).all()
    assert clear_of_each_other(places, made.boxes)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_rows_go_there_and_back(n: int) -> None:
    pitch = np.array([1.0, 0.5])
    places = _layout._snake(pitch, n, 4.2)
    steps = np.abs(np.diff(places, axis=0))
    # From one ion to the next it is one place, to the side or down.
    assert (np.isclose(steps, [1.0, 0]).all(axis=1) | np.isclose(steps, [0, 0.5]).all(axis=1)).all()
    assert np.ptp(places[:, 0]) <= 3.0
    assert (np.diff(places[:, 1]) <= 1e-9).all()


def test_spreading_leaves_what_is_clear_as_it_is() -> None:
    places = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    boxes = np.full((3, 2), 0.5)
    np.testing.assert_allclose(_layout._spread(places, boxes), places)


def test_spreading_puts_the_heavier_of_two_at_one_place_to_the_right_or_above() -> None:
    places = _layout._spread(np.zeros((2, 2)), np.full((2, 2), BOX))
    gain = places[1] - places[0]
    assert gain.max() > 0
    assert gain.min() == 0
    assert clear_of_each_other(places, np.full((2, 2), BOX))


def test_fitting_shrinks_each_way_and_never_stretches() -> None:
    boxes = np.full((2, 2), 0.5)
    wide = np.array([[-5.0, -0.2], [5.0, 0.2]])
    fitted = _layout._fit(wide, boxes, 4.5, 4.5)
    np.testing.assert_allclose(np.ptp(fitted, axis=0), [4.0, 0.4])


def test_what_a_reader_stumbles_over_costs_more() -> None:
    made = network([(0, 1, 0), (1, 2, 1)], 3)
    steps = np.array([[1.0, 0.0], [0.0, 1.0]])
    good = _layout._basis(made) @ steps
    on_top = good.copy()
    on_top[2] = on_top[0]
    trials = np.stack([good, on_top])
    pitch = np.array([1.0, 1.0])
    cost = _layout._cost(trials, np.stack([steps, steps]), made, pitch, (7.0, 6.0))
    assert cost[0] < cost[1]


def test_places_are_the_same_every_time() -> None:
    made, _ = some(4, n=15, n_edges=25)
    np.testing.assert_array_equal(lay_out(made, 7.0, 6.0), lay_out(made, 7.0, 6.0))
