"""A layout for networks of related ions: the same relation is the same step on paper.

Mass differences add up, so a network of ions is (but for chance links) a lattice: two ions and
their homologues make a parallelogram. Each relation is given a step, rightwards or upwards; the
places of the ions follow by least squares; the steps are chosen so that boxes, lines and labels
keep clear of each other. Everything is in inches and without chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Network", "lay_out"]

Places = NDArray[np.float64]

# Steps in units of the pitch. None goes left, so that the heavier ion is never left of the lighter.
STEPS = np.array(
    [
        *[(1, 0), (0, 1), (1, 1), (1, -1), (0.5, 1), (0.5, -1), (1, 0.5), (1, -0.5), (0, -1)],
        *[(1.5, 1), (1.5, -1), (0.5, 2), (0.5, -2), (2, 1), (2, -1), (2, 0), (0, 2), (0, -2)],
        *[(1.5, 2), (1.5, -2), (2, 0.5), (2, -0.5), (3, 1), (3, -1), (3, 0), (1, 2), (1, -2)],
    ],
    dtype=np.float64,
)
SWEEPS = 6
ROOM_BETWEEN = 0.1
PITCH_GAP = np.array([0.5, 0.3])
# A layout that is larger than the room by more than this is given up.
MOST_OVER = 1.3
# Lines from one ion that are closer than this (cosine, 18 degrees) look like one.
TOO_CLOSE = 0.95


@dataclass(frozen=True, eq=False)
class Network:
    """Ions (in order of m/z) as boxes, and the relations between them.

    Attributes
    ----------
    boxes
        Width and height of each node with its label, in inches, shape ``(n, 2)``.
    source, target
        Ends of the edges, shape ``(n_edges,)``.
    relation
        Code of the relation of each edge, shape ``(n_edges,)``.
    lift
        Height above the centre of each box at which its edges end, shape ``(n,)``.
    """

    boxes: NDArray[np.float64]
    source: NDArray[np.intp]
    target: NDArray[np.intp]
    relation: NDArray[np.intp]
    lift: NDArray[np.float64]


def lay_out(network: Network, width: float, height: float) -> Places:
    """Find places of the nodes, shape ``(n, 2)``, in a box of at most about `width` x `height`.

    The result is centred at zero. It may be larger than asked for where boxes need more room.
    """
    n = len(network.boxes)
    if n == 1:
        return np.zeros((1, 2))
    joined = _joined(network)
    pitch = np.max(joined.boxes, axis=0) + PITCH_GAP
    basis = _basis(joined)
    best, best_cost = None, np.inf
    # A descent ends in the nearest hollow, which need not be the deepest: hence several starts.
    for start in _starts(joined):
        steps, cost = _descend(start, joined, basis, pitch, (width, height))
        if cost < best_cost:
            best, best_cost = steps, cost
    if best is None:
        best = _starts(joined)[0]
    places = (basis @ best) * pitch - _lifted(joined)
    places = _spread(_fit(places, joined.boxes, width, height), joined.boxes)
    # A lattice is worth having while its words can be read and it fits the page.
    clear = _overlaps(places[None], joined.boxes)[0] == 0
    if clear and (np.ptp(places, axis=0) <= (width * MOST_OVER, height * MOST_OVER)).all():
        return places
    return _snake(pitch, n, width)


def _joined(network: Network) -> Network:
    """Join the pieces of the network, if there are several, by one more relation."""
    n = len(network.boxes)
    piece = np.arange(n)
    for source, target in zip(network.source, network.target, strict=True):
        piece[piece == piece[target]] = piece[source]
    # Least squares would centre each piece at zero, one on top of the other.
    heads = np.sort(np.unique(piece, return_index=True)[1])
    code = network.relation.max(initial=-1) + 1
    return Network(
        network.boxes,
        np.concatenate([network.source, heads[:-1]]).astype(np.intp),
        np.concatenate([network.target, heads[1:]]).astype(np.intp),
        np.concatenate([network.relation, np.full(len(heads) - 1, code)]).astype(np.intp),
        network.lift,
    )


def _basis(network: Network) -> NDArray[np.float64]:
    """Matrix from the steps of relations to the places of ions, by least squares.

    Minimises ``sum_e |p_target - p_source - step|^2``, shape ``(n, n_relations)``.
    """
    n, n_edges = len(network.boxes), len(network.source)
    incidence = np.zeros((n_edges, n))
    incidence[np.arange(n_edges), network.source] = -1
    incidence[np.arange(n_edges), network.target] = 1
    which = np.zeros((n_edges, network.relation.max() + 1))
    which[np.arange(n_edges), network.relation] = 1
    return np.asarray(np.linalg.pinv(incidence) @ which)


def _starts(network: Network) -> list[NDArray[np.float64]]:
    """Steps to begin with: the most frequent relations get the plainest ones, in several orders."""
    counts = np.bincount(network.relation)
    rank = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    orders = ([0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6], [0, 5, 1, 6, 4, 3, 2, 7])
    return [STEPS[np.asarray(order)[rank % len(order)]] for order in orders]


def _descend(
    steps: NDArray[np.float64],
    network: Network,
    basis: NDArray[np.float64],
    pitch: NDArray[np.float64],
    room: tuple[float, float],
) -> tuple[NDArray[np.float64], float]:
    """Improve the step of one relation after the other until none can be improved."""
    steps = steps.copy()
    counts = np.bincount(network.relation)
    cost = np.inf
    for _ in range(SWEEPS):
        before = cost
        # The most frequent relations shape the picture: they choose first, the others give way.
        for relation in np.argsort(-counts, kind="stable"):
            trials = np.repeat(steps[None], len(STEPS), axis=0)
            trials[:, relation] = STEPS
            costs = _cost(basis @ trials, trials, network, pitch, room)
            chosen = int(np.argmin(costs))
            # The margin keeps rounding, which differs between machines, from choosing.
            if costs[chosen] < cost - 1e-9:
                steps, cost = trials[chosen], float(costs[chosen])
        if cost >= before - 1e-9:
            break
    return steps, cost


def _cost(
    places: NDArray[np.float64],
    steps: NDArray[np.float64],
    network: Network,
    pitch: NDArray[np.float64],
    room: tuple[float, float],
) -> NDArray[np.float64]:
    """Price of each of several layouts: what a reader would stumble over.

    `places` has the shape (n_trials, n, 2) and `steps` (n_trials, n_relations, 2), in pitches.
    """
    edges = places[:, network.target] - places[:, network.source]
    length = np.linalg.norm(edges, axis=2)
    bent = ((edges - steps[:, network.relation]) ** 2).sum(axis=(1, 2))
    places = places * pitch - _lifted(network)  # lines end on the lattice, not the boxes
    edges = edges * pitch
    extent = np.ptp(places, axis=1) + network.boxes.max(axis=0)
    beyond = np.maximum(extent - room, 0).sum(axis=1)
    overlaps = _overlaps(places, network.boxes)
    crossed = _edges_over_boxes(places, network)
    crossings = _crossings(places, network)
    backwards = np.maximum(0.05 - edges[:, :, 0], 0).sum(axis=1)
    # What misleads (words on words, a line through a stranger) costs most, untidiness least.
    return np.asarray(
        30 * overlaps
        + 20 * crossed
        + 1.5 * crossings
        + 2.5 * _narrow_angles(edges, network)
        + 2 * bent
        + 6 * beyond
        + 0.4 * (length + 0.2 / np.maximum(length, 0.05)).sum(axis=1)
        + 0.15 * extent.prod(axis=1) / pitch.prod()
        + 0.2 * backwards
    )


def _lifted(network: Network) -> NDArray[np.float64]:
    return np.column_stack([np.zeros(len(network.lift)), network.lift])


def _overlaps(places: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Summed depth of overlaps of boxes, as shares of a box."""
    one, other = np.triu_indices(len(boxes), 1)
    apart = np.abs(places[:, one] - places[:, other])
    needed = (boxes[one] + boxes[other]) / 2
    depth = np.clip(1 - apart / needed, 0, None).min(axis=2)
    return np.asarray(np.sum(depth + (depth > 0) * 0.5, axis=1))


def _edges_over_boxes(places: NDArray[np.float64], network: Network) -> NDArray[np.float64]:
    """Number of times that an edge runs over the box of an ion that is not its end."""
    lifted = places + _lifted(network)
    start, end = lifted[:, network.source, None], lifted[:, network.target, None]
    at = places[:, None]
    along = end - start
    squared = np.maximum((along**2).sum(axis=3), 1e-12)
    share = np.clip(((at - start) * along).sum(axis=3) / squared, 0, 1)
    miss = np.abs(start + share[..., None] * along - at)
    over = (miss < network.boxes * 0.5 + 0.03).all(axis=3)
    edges = np.arange(len(network.source))
    over[:, edges, network.source] = False
    over[:, edges, network.target] = False
    return np.asarray(over.sum(axis=(1, 2)), dtype=np.float64)


def _crossings(places: NDArray[np.float64], network: Network) -> NDArray[np.float64]:
    """Number of pairs of edges that cross."""
    one, other = np.triu_indices(len(network.source), 1)
    # Two edges of one ion meet there, which is no crossing.
    ends = [network.source[one], network.target[one], network.source[other], network.target[other]]
    apart = (
        (ends[0] != ends[2]) & (ends[0] != ends[3]) & (ends[1] != ends[2]) & (ends[1] != ends[3])
    )
    a, b, c, d = (places[:, end[apart]] for end in ends)
    crossing = (_turn(a, b, c) * _turn(a, b, d) < -1e-12) & (
        _turn(c, d, a) * _turn(c, d, b) < -1e-12
    )
    return np.asarray(crossing.sum(axis=1), dtype=np.float64)


def _narrow_angles(edges: NDArray[np.float64], network: Network) -> NDArray[np.float64]:
    """Number of pairs of edges that leave one node in nearly the same direction."""
    one, other = np.triu_indices(len(network.source), 1)
    unit = edges / np.maximum(np.linalg.norm(edges, axis=2, keepdims=True), 1e-9)
    cosine = (unit[:, one] * unit[:, other]).sum(axis=2)
    source, target = network.source, network.target
    same = (source[one] == source[other]) | (target[one] == target[other])
    chained = (source[one] == target[other]) | (target[one] == source[other])
    narrow = (same & (cosine > TOO_CLOSE)) | (chained & (cosine < -TOO_CLOSE))
    return np.asarray(narrow.sum(axis=1), dtype=np.float64)


def _turn(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Twice the signed area of the triangle a, b, c."""
    return np.asarray(
        (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
        - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    )


def _fit(places: Places, boxes: NDArray[np.float64], width: float, height: float) -> Places:
    """Shrink each direction to the room there is; boxes may then overlap, see `_spread`."""
    room = np.array([width, height]) - boxes.max(axis=0)
    extent = np.maximum(np.ptp(places, axis=0), 1e-9)
    return np.asarray(places * np.minimum(1, np.maximum(room, 0.1) / extent))


def _snake(pitch: NDArray[np.float64], n: int, width: float) -> Places:
    """Place the ions in rows by m/z, left to right and back: where nothing else fits."""
    columns = max(1, int(width / pitch[0]))
    row, column = np.divmod(np.arange(n), columns)
    column = np.where(row % 2 == 1, columns - 1 - column, column)
    places = np.column_stack([column, -row]) * pitch
    return np.asarray(places - (places.max(axis=0) + places.min(axis=0)) / 2)


def _spread(places: Places, boxes: NDArray[np.float64]) -> Places:
    """Push overlapping boxes apart, each pair along the way that is shorter."""
    places = places.copy()
    one, other = np.triu_indices(len(boxes), 1)
    needed = (boxes[one] + boxes[other]) / 2 + ROOM_BETWEEN
    # Pushing one pair apart may push another together: what never settles becomes a snake.
    for _ in range(500):
        apart = places[other] - places[one]
        lack = needed - np.abs(apart)
        hit = (lack > 1e-6).all(axis=1)
        if not hit.any():
            break
        pair = int(np.argmax(np.where(hit, lack.min(axis=1), -1)))
        direction = int(np.argmin(lack[pair]))
        # The heavier ion goes right or up where the two are level.
        sign = -1.0 if apart[pair, direction] < 0 else 1.0
        places[one[pair], direction] -= sign * lack[pair, direction] / 2
        places[other[pair], direction] += sign * lack[pair, direction] / 2
    return np.asarray(places - (places.max(axis=0) + places.min(axis=0)) / 2)
