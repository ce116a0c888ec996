"""Relations between ions, summed up over pixels."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgraph.chem.relations import relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.explain import ion_network
from massgraph.explain.ion_network import build_ion_network

RELATIONS = relations_from_masses({"one": 1.0, "two": 2.0})
COLUMNS = [
    "source",
    "target",
    "relation",
    "n_drawn",
    "n_together",
    "frequency",
    "intensity_ratio",
    "drawn_ratio",
]


def make_graph(
    pixels: list[list[float]],
    edges: list[list[tuple[int, int, int]]],
    intensities: list[list[float]] | None = None,
) -> Any:
    """A stand-in for Graph: m/z and (source, target, relation) of each pixel."""
    intensities = intensities or [[1.0] * len(mz) for mz in pixels]
    rows = np.array([edge for some in edges for edge in some], dtype=np.int64).reshape(-1, 3)
    return SimpleNamespace(
        spectra=Spectra.from_peaks(list(zip(pixels, intensities, strict=True))),
        relations=RELATIONS,
        edge_offsets=np.concatenate(([0], np.cumsum([len(some) for some in edges]))),
        source=rows[:, 0].astype(np.int32),
        target=rows[:, 1].astype(np.int32),
        relation=rows[:, 2].astype(np.uint16),
    )


def test_counts_by_hand() -> None:
    graph = make_graph(
        [[100, 101, 102], [100, 101], [100, 102], [101], []],
        [[(0, 1, 0), (1, 2, 0), (0, 2, 1)], [(0, 1, 0)], [], [], []],
    )
    ion = np.array([0, 1, 2, 0, 1, 0, 2, 1])
    table = build_ion_network(ion, graph)
    assert list(table.columns) == COLUMNS
    assert table[["source", "target", "relation"]].to_numpy().tolist() == [
        [0, 1, 0],
        [0, 2, 1],
        [1, 2, 0],
    ]
    assert table["n_drawn"].tolist() == [2, 1, 1]
    assert table["n_together"].tolist() == [2, 2, 1]
    assert table["frequency"].tolist() == [1.0, 0.5, 1.0]


def test_intensity_ratio_is_of_sums_over_all_pixels() -> None:
    graph = make_graph([[100, 101], [100], [101]], [[(0, 1, 0)], [], []], [[8, 2], [2], [3]])
    table = build_ion_network(np.array([0, 1, 0, 1]), graph)
    assert table["intensity_ratio"].tolist() == [0.5]
    assert table["drawn_ratio"].tolist() == [0.25]


def test_several_peaks_of_a_pixel_at_one_ion_count_once() -> None:
    graph = make_graph([[100.0, 100.001, 101.0]], [[(0, 2, 0), (1, 2, 0)]])
    table = build_ion_network(np.array([0, 0, 1]), graph)
    assert table[["n_drawn", "n_together"]].to_numpy().tolist() == [[1, 1]]


def test_an_edge_inside_one_ion_is_none() -> None:
    graph = make_graph([[100.0, 100.001]], [[(0, 1, 0)]])
    assert len(build_ion_network(np.array([0, 0]), graph)) == 0


@pytest.mark.parametrize("pixels", [[], [[]], [[100.0], [101.0]]])
def test_no_edges(pixels: list[list[float]]) -> None:
    graph = make_graph(pixels, [[] for _ in pixels])
    table = build_ion_network(np.arange(graph.spectra.n_peaks), graph)
    assert list(table.columns) == COLUMNS
    assert len(table) == 0


@pytest.mark.parametrize("ion", [[0], [0, -1], [[0, 1]]])
def test_bad_ion_index(ion: Any) -> None:
    graph = make_graph([[100, 101]], [[(0, 1, 0)]])
    with pytest.raises(ValueError, match=r"ion must hold an index per peak: shape .* for 2 peaks"):
        build_ion_network(np.array(ion), graph)


def random_graph(seed: int, n_pixels: int, n_ions: int) -> tuple[np.ndarray, Any]:
    rng = np.random.default_rng(seed)
    pixels, edges, ions = [], [], []
    for _ in range(n_pixels):
        ion = np.flatnonzero(rng.random(n_ions) < 0.5)
        ends = [(a, b) for a in range(ion.size) for b in range(a + 1, ion.size)]
        drawn = [(a, b, r) for a, b in ends for r in (0, 1) if rng.random() < 0.3]
        pixels.append((100.0 + ion).tolist())
        edges.append(drawn)
        ions.append(ion)
    return np.concatenate([*ions, np.empty(0, dtype=np.int64)]), make_graph(pixels, edges)


def count_slowly(ion: np.ndarray, graph: Any) -> dict[tuple[int, int, int], tuple[int, int]]:
    """The same counts, one pixel at a time."""
    drawn: Counter[tuple[int, int, int]] = Counter()
    together: Counter[tuple[int, int]] = Counter()
    for pixel in range(graph.spectra.n_pixels):
        here = ion[graph.spectra.offsets[pixel] : graph.spectra.offsets[pixel + 1]]
        together.update({(int(a), int(b)) for a in here for b in here if a < b})
        rows = range(graph.edge_offsets[pixel], graph.edge_offsets[pixel + 1])
        drawn.update(
            {
                (int(here[graph.source[k]]), int(here[graph.target[k]]), int(graph.relation[k]))
                for k in rows
            }
        )
    return {key: (count, together[key[:2]]) for key, count in drawn.items()}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n_pixels=st.integers(0, 20), n_ions=st.integers(1, 9))
def test_equals_counting_pixel_by_pixel(seed: int, n_pixels: int, n_ions: int) -> None:
    ion, graph = random_graph(seed, n_pixels, n_ions)
    table = build_ion_network(ion, graph)
    keys = zip(table["source"], table["target"], table["relation"], strict=True)
    counts = zip(table["n_drawn"], table["n_together"], strict=True)
    assert dict(zip(keys, counts, strict=True)) == count_slowly(ion, graph)
    assert table["frequency"].between(0, 1, inclusive="right").all()
    order = table[["source", "target", "relation"]]
    assert order.equals(order.sort_values(["source", "target", "relation"], ignore_index=True))


@pytest.mark.parametrize(("edges", "size"), [(1, 1 << 24), (1 << 21, 1), (7, 64), (50, 200)])
def test_size_of_the_pieces_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, edges: int, size: int
) -> None:
    ion, graph = random_graph(5, 40, 8)
    whole = build_ion_network(ion, graph)
    monkeypatch.setattr(ion_network, "CHUNK_EDGES", edges)
    monkeypatch.setattr(ion_network, "CHUNK_BYTES", size)
    assert build_ion_network(ion, graph).equals(whole)


def test_the_order_of_pixels_changes_nothing() -> None:
    ion, graph = random_graph(7, 12, 6)
    spectra, shuffled = graph.spectra, np.random.default_rng(0).permutation(12)
    pieces = [np.arange(spectra.offsets[p], spectra.offsets[p + 1]) for p in shuffled]
    edges = [np.arange(graph.edge_offsets[p], graph.edge_offsets[p + 1]) for p in shuffled]
    moved = SimpleNamespace(
        spectra=spectra[shuffled],
        relations=graph.relations,
        edge_offsets=np.concatenate(([0], np.cumsum([len(some) for some in edges]))),
        source=graph.source[np.concatenate(edges)],
        target=graph.target[np.concatenate(edges)],
        relation=graph.relation[np.concatenate(edges)],
    )
    again = build_ion_network(ion[np.concatenate(pieces)], moved)
    assert again.equals(build_ion_network(ion, graph))
