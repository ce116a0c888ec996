"""Graphs: every rule against a slow, plain loop; bounds, blocks, views and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgraph.chem.relations import Relations, relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.graph import search
from massgraph.graph.builder import Graph, build_graph
from massgraph.graph.search import RULES
from massgraph.native.library import library
from spectra_builder import random_spectra, relations

Edge = tuple[int, int, int, int]  # pixel, source, relation, target

# PyTorch Geometric still scripts a helper when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True, params=["native", "numpy"])
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here holds for the compiled builder and for the one in numpy."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setenv("MASSGRAPH_NATIVE", "0")
        elif library() is None:
            pytest.skip("the compiled library was not built")
        yield


CASES = [(4.0, "ppm"), (12.0, "ppm"), (0.002, "Da"), (0.004, "Da")]


def preferred(
    rule: str, found: list[tuple[int, float]], mz: list[float], intensity: list[float]
) -> tuple[int, float]:
    """Candidate (peak, error) that a rule chooses."""
    orders = {
        "intensity": lambda c: (-intensity[c[0]], c[1], c[0]),
        "nearest": lambda c: (c[1], -intensity[c[0]], c[0]),
        "reference": lambda c: (math.ceil(mz[c[0]]) - mz[c[0]], c[0]),
    }
    return min(found, key=orders[rule])


def plain_edges(
    spectra: Spectra, table: Relations, tolerance: float, unit: str, rule: str
) -> list[Edge]:
    """Edges by the definition, peak by peak."""
    edges: list[Edge] = []
    for pixel in range(spectra.n_pixels):
        mz, intensity = (values.tolist() for values in spectra.pixel(pixel))
        for i in range(len(mz)):
            for code, mass in enumerate(table.masses.tolist()):
                found = []
                for t in range(len(mz)):
                    allowed = tolerance * mz[t] * 1e-6 if unit == "ppm" else tolerance
                    error = abs(mz[t] - mz[i] - mass)
                    if error <= allowed + 1e-9:
                        found.append((t, error))
                if rule != "all" and found:
                    found = [preferred(rule, found, mz, intensity)]
                edges += [(pixel, i, code, t) for t, _ in found]
    return edges


def edge_list(graph: Graph) -> list[Edge]:
    pixel = np.repeat(np.arange(graph.n_pixels), np.diff(graph.edge_offsets))
    columns = (pixel, graph.source, graph.relation, graph.target)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def small(tolerance: float = 5.0, unit: str = "ppm", rule: str = "intensity") -> Graph:
    spectra = random_spectra(0, [20, 0, 1, 30, 2])
    return build_graph(spectra, relations(), tolerance=tolerance, tolerance_unit=unit, rule=rule)


# -------------------------------------------------------------------- against the definition


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("tolerance", "unit"), CASES)
@pytest.mark.parametrize("digits", [None, 3])
def test_edges_are_those_of_the_definition(
    rule: str, tolerance: float, unit: str, digits: int | None
) -> None:
    spectra = random_spectra(1, [0, 40, 1, 60, 0, 0, 25, 2, 0], digits=digits)
    graph = build_graph(spectra, relations(), tolerance=tolerance, tolerance_unit=unit, rule=rule)
    plain = plain_edges(spectra, relations(), tolerance, unit, rule)
    assert edge_list(graph) == plain
    assert len(plain) > 40


@given(
    counts=st.lists(st.integers(0, 25), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(sorted(RULES)),
    case=st.sampled_from(CASES),
    digits=st.sampled_from([None, 2, 3]),
)
@settings(max_examples=60, deadline=None)
def test_edges_are_those_of_the_definition_on_anything(
    counts: list[int], seed: int, rule: str, case: tuple[float, str], digits: int | None
) -> None:
    spectra = random_spectra(seed, counts, digits=digits)
    graph = build_graph(spectra, relations(), tolerance=case[0], tolerance_unit=case[1], rule=rule)
    assert edge_list(graph) == plain_edges(spectra, relations(), *case, rule)


def test_the_rules_differ_where_there_are_several_candidates() -> None:
    edges = {rule: edge_list(small(0.004, "Da", rule)) for rule in RULES}
    assert len({tuple(one) for one in edges.values()}) == 4
    assert len(edges["all"]) > len(edges["intensity"])
    for rule in RULES:
        assert set(edges[rule]) <= set(edges["all"])


def test_ties_of_intensity_go_to_the_nearest_then_to_the_lower_index() -> None:
    table = relations_from_masses({"one": 1.0})
    # Binary fractions: the differences are exact.
    spectra = Spectra.from_peaks(
        [([100.0, 100.9375, 101.03125, 101.0625], [1, 5, 5, 5]), ([100, 100.75, 101.25], [1, 2, 2])]
    )
    graph = build_graph(spectra, table, tolerance=0.25, tolerance_unit="Da")
    assert edge_list(graph) == [(0, 0, 0, 2), (1, 0, 0, 1)]


def test_ties_of_nearness_go_to_the_most_intense_then_to_the_lower_index() -> None:
    table = relations_from_masses({"one": 1.0})
    spectra = Spectra.from_peaks(
        [([100, 100.75, 101.25], [1, 2, 3]), ([100, 100.75, 101.25], [1, 3, 3])]
    )
    graph = build_graph(spectra, table, tolerance=0.25, tolerance_unit="Da", rule="nearest")
    assert edge_list(graph) == [(0, 0, 0, 2), (1, 0, 0, 1)]


def test_duplicated_mz_are_peaks_of_their_own() -> None:
    table = relations_from_masses({"one": 1.0})
    spectra = Spectra.from_peaks([([100.0, 100.0, 101.0, 101.0], [1, 1, 2, 9])])
    assert edge_list(build_graph(spectra, table)) == [(0, 0, 0, 3), (0, 1, 0, 3)]
    every = build_graph(spectra, table, rule="all")
    assert edge_list(every) == [(0, 0, 0, 2), (0, 0, 0, 3), (0, 1, 0, 2), (0, 1, 0, 3)]


def test_one_pair_can_carry_two_relations() -> None:
    spectra = Spectra.from_peaks([([300.0, 302.0055], [1, 1])])
    graph = build_graph(spectra, relations(), tolerance=0.003, tolerance_unit="Da")
    assert set(graph.edges(0)["relation"]) == {"18O", "13C2"}


# -------------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("low", "high", "mass", "tolerance"),
    [
        (100.0, 101.0, 0.999, 0.001),
        (100.0, 101.0, 1.001, 0.001),
        (300.1, 301.104, 1.003, 0.001),
        (1234.567, 1248.5836, 14.0156, 0.001),
        (760.585, 782.567, 21.982, 0.0),
    ],
)
def test_decimal_bounds_are_inclusive(
    low: float, high: float, mass: float, tolerance: float
) -> None:
    spectra = Spectra.from_peaks([([low, high], [1, 1])] * 300)
    table = relations_from_masses({"d": mass})
    for rule in RULES:
        wide = build_graph(
            spectra, table, tolerance=max(tolerance, 1e-6), tolerance_unit="Da", rule=rule
        )
        assert wide.n_edges == 300  # the last pixels of a block too
    if tolerance:
        tight = build_graph(spectra, table, tolerance=tolerance - 1e-5, tolerance_unit="Da")
        assert tight.n_edges == 0


def test_the_least_tolerance_finds_exact_pairs_in_the_last_pixel_of_a_block() -> None:
    spectra = Spectra.from_peaks([([760.585, 774.6, 782.567], [1, 1, 1])] * 4096)
    table = relations_from_masses({"d": 21.982})
    for unit in ("Da", "ppm"):
        graph = build_graph(spectra, table, tolerance=1e-12, tolerance_unit=unit)
        assert graph.n_edges == 4096


def test_ppm_are_of_the_heavier_peak() -> None:
    # 0.01 Da off: 10 ppm of the heavier m/z, 1000.0, but 20 ppm of the lighter, 500.0.
    spectra = Spectra.from_peaks([([500.0, 1000.0], [1, 1])])
    table = relations_from_masses({"d": 499.99})
    assert build_graph(spectra, table, tolerance=10.0).n_edges == 1
    assert build_graph(spectra, table, tolerance=9.99).n_edges == 0
    assert build_graph(spectra, table, tolerance=10.0).edges(0)["error_ppm"].item() == (
        pytest.approx(10.0)
    )


@pytest.mark.parametrize("tolerance", [0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("unit", ["ppm", "Da"])
def test_tolerances_that_are_none_are_refused(tolerance: float, unit: str) -> None:
    for spectra in (random_spectra(0, [3]), Spectra.from_peaks([])):
        with pytest.raises(ValueError, match=f"tolerance {tolerance} {unit} is not finite"):
            build_graph(spectra, relations(), tolerance=tolerance, tolerance_unit=unit)


@pytest.mark.parametrize(("tolerance", "unit"), [(0.6, "Da"), (5000.0, "ppm"), (1e6, "ppm")])
def test_tolerances_that_join_nearly_everything_are_refused(tolerance: float, unit: str) -> None:
    with pytest.raises(ValueError, match=r"half the smallest relation \(1.003 Da\) or more"):
        build_graph(random_spectra(0, [9]), relations(), tolerance=tolerance, tolerance_unit=unit)


def test_a_wide_tolerance_of_a_heavy_relation_stays_within_the_pixel() -> None:
    spectra = Spectra.from_peaks([([20.0, 30.0], [1, 1]), ([25.0, 190.0], [1, 1])] * 3)
    table = relations_from_masses({"heavy": 150.0})
    for rule in RULES:
        graph = build_graph(spectra, table, tolerance=70.0, tolerance_unit="Da", rule=rule)
        assert edge_list(graph) == plain_edges(spectra, table, 70.0, "Da", rule)
        assert graph.n_edges == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "rule 'best' is none of"),
        ({"tolerance_unit": "mDa"}, "tolerance unit 'mDa' is none of"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_graph(random_spectra(0, [3]), relations(), **options)


# -------------------------------------------------------------------- invariants


@pytest.mark.parametrize(("peaks", "pixels"), [(1, 4096), (50, 4096), (10**6, 1), (10**6, 3)])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, peaks: int, pixels: int) -> None:
    counts = [0, 0, 30, 1, 70, 0, 20, 20, 20, 0]
    spectra = random_spectra(5, counts)
    whole = build_graph(spectra, relations(), tolerance=0.004, tolerance_unit="Da")
    monkeypatch.setattr(search, "BLOCK_PEAKS", peaks)
    monkeypatch.setattr(search, "BLOCK_PIXELS", pixels)
    blocks = list(search._blocks(spectra))
    assert [start for start, _ in blocks[1:]] == [stop for _, stop in blocks[:-1]]
    assert (blocks[0][0], blocks[-1][1]) == (0, len(counts))
    assert len(blocks) > 2
    cut = build_graph(spectra, relations(), tolerance=0.004, tolerance_unit="Da")
    assert edge_list(cut) == edge_list(whole)
    np.testing.assert_array_equal(cut.edge_offsets, whole.edge_offsets)


def test_aligned_and_ragged_forms_give_the_same_graph() -> None:
    rng = np.random.default_rng(6)
    axis = np.unique(random_spectra(6, [80]).mz)
    matrix = rng.lognormal(size=(30, axis.size)) * (rng.random((30, axis.size)) < 0.4)
    aligned = Spectra.from_matrix(matrix, axis)
    ragged = Spectra.from_peaks([(axis[row > 0], row[row > 0]) for row in matrix])
    assert aligned.fingerprint() == ragged.fingerprint()
    for rule in RULES:
        one, other = (build_graph(form, relations(), rule=rule) for form in (aligned, ragged))
        assert edge_list(one) == edge_list(other)
        assert one.n_edges > 0


def test_pixels_do_not_know_of_each_other() -> None:
    spectra = random_spectra(7, [30, 0, 1, 25, 40])
    order = np.array([4, 1, 0, 3, 2, 0])
    graph, moved = (build_graph(form, relations()) for form in (spectra, spectra[order]))
    for place, pixel in enumerate(order):
        pd.testing.assert_frame_equal(moved.edges(place), graph.edges(int(pixel)))


def test_intensities_only_choose_by_their_order() -> None:
    spectra = random_spectra(8, [50, 50])
    louder = replace(spectra, intensity=spectra.intensity**2 * np.float32(3))
    one, other = (
        build_graph(form, relations(), tolerance=0.004, tolerance_unit="Da")
        for form in (spectra, louder)
    )
    assert edge_list(one) == edge_list(other)


def test_edges_go_up_in_mass_and_are_sorted() -> None:
    graph = small(0.004, "Da", "all")
    for pixel in range(graph.n_pixels):
        mz, _ = graph.spectra.pixel(pixel)
        rows = slice(*graph.edge_offsets[pixel : pixel + 2])
        assert (mz[graph.target[rows]] > mz[graph.source[rows]]).all()
    edges = edge_list(graph)
    assert edges == sorted(edges)
    assert len(set(edges)) == len(edges)


@pytest.mark.parametrize("counts", [[], [0], [0, 0], [1], [1, 0, 1]])
def test_pixels_without_peaks_or_edges(counts: list[int]) -> None:
    graph = build_graph(random_spectra(9, counts), relations())
    assert (graph.n_pixels, graph.n_edges) == (len(counts), 0)
    assert graph.edge_offsets.tolist() == [0] * (len(counts) + 1)
    assert graph.messages().offsets.tolist() == [0] * (len(counts) + 1)
    assert "0 edges (0.00 per peak)" in repr(graph)


# -------------------------------------------------------------------- looking


def test_edges_table() -> None:
    spectra = Spectra.from_peaks([([], []), ([300.0, 301.00365, 314.0156], [3, 2, 1])])
    graph = build_graph(spectra, relations())
    table = graph.edges(1)
    assert table.columns.tolist() == ["source", "target", "relation", "error_ppm"]
    assert table[["source", "target"]].to_numpy().tolist() == [[0, 1], [0, 2]]
    assert table["relation"].tolist() == ["13C", "CH2"]
    expected = [(1.00365 - 1.00335) / 301.00365 * 1e6, (14.0156 - 14.01565) / 314.0156 * 1e6]
    np.testing.assert_allclose(table["error_ppm"], expected, rtol=1e-6)
    pd.testing.assert_frame_equal(graph.edges(-1), table)
    assert graph.edges(0).empty
    for pixel in (2, -3):
        with pytest.raises(IndexError):
            graph.edges(pixel)


def test_errors_are_within_the_tolerance() -> None:
    graph = small(4.0)
    errors = pd.concat([graph.edges(pixel)["error_ppm"] for pixel in range(graph.n_pixels)])
    assert len(errors) == graph.n_edges > 5
    assert errors.abs().max() <= 4.0 + 1e-5


def test_a_graph_knows_its_shape_and_types() -> None:
    graph = small()
    assert graph.node_offsets is graph.spectra.offsets
    assert (graph.source.dtype, graph.target.dtype) == (np.int32, np.int32)
    assert (graph.relation.dtype, graph.edge_offsets.dtype) == (np.uint16, np.int64)
    assert repr(graph).startswith(f"Graph(5 pixels, 53 peaks, {graph.n_edges} edges (")
    assert "5 relations" in repr(graph)


# -------------------------------------------------------------------- messages


@pytest.mark.parametrize("directed", [True, False])
def test_messages_go_both_ways_and_are_sorted(directed: bool) -> None:
    spectra = random_spectra(10, [30, 0, 1, 40])
    graph = build_graph(
        spectra, relations(), tolerance=0.004, tolerance_unit="Da", rule="all", directed=directed
    )
    messages = graph.messages()
    n = len(relations())
    assert messages.n_kinds == (2 * n if directed else n)
    pixel = np.repeat(np.arange(4), np.diff(messages.offsets))
    columns = (pixel, messages.kind, messages.receiver, messages.sender)
    walked = list(zip(*(column.tolist() for column in columns), strict=True))
    assert walked == sorted(walked)
    back = n if directed else 0
    expected = [
        message
        for at, source, code, target in edge_list(graph)
        for message in ((at, code, target, source), (at, code + back, source, target))
    ]
    assert walked == sorted(expected)
    np.testing.assert_array_equal(messages.offsets, 2 * graph.edge_offsets)
    types = (messages.sender.dtype, messages.receiver.dtype, messages.kind.dtype)
    assert types == (np.int32, np.int32, np.uint16)


# -------------------------------------------------------------------- PyTorch Geometric


@pytest.mark.parametrize("counts", [[0, 20, 1, 0, 30, 0], [0, 0], [1]])
def test_to_pyg_is_a_batch_of_one_graph_per_pixel(counts: list[int]) -> None:
    graph = build_graph(random_spectra(11, counts), relations())
    messages = graph.messages()
    batch = graph.to_pyg()
    assert batch.num_graphs == len(counts)
    assert batch.ptr.tolist() == graph.node_offsets.tolist()
    assert batch.batch.tolist() == graph.spectra.pixel_of_peak.tolist()
    np.testing.assert_array_equal(batch.mz.numpy(), graph.spectra.mz)
    np.testing.assert_array_equal(batch.intensity.numpy(), graph.spectra.intensity)
    assert str(batch.mz.dtype) == "torch.float64"
    base = np.repeat(graph.node_offsets[:-1], np.diff(messages.offsets))
    np.testing.assert_array_equal(batch.edge_index[0].numpy(), messages.sender + base)
    np.testing.assert_array_equal(batch.edge_index[1].numpy(), messages.receiver + base)
    np.testing.assert_array_equal(batch.edge_type.numpy(), messages.kind)
    for pixel, data in enumerate(batch.to_data_list()):
        rows = slice(*messages.offsets[pixel : pixel + 2])
        for one in (data, batch.get_example(pixel)):
            assert one.num_nodes == counts[pixel]
            np.testing.assert_array_equal(one.mz.numpy(), graph.spectra.pixel(pixel)[0])
            ends = np.stack([messages.sender[rows], messages.receiver[rows]])
            np.testing.assert_array_equal(one.edge_index.numpy(), ends)
            np.testing.assert_array_equal(one.edge_type.numpy(), messages.kind[rows])


def test_to_pyg_of_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixels"):
        build_graph(Spectra.from_peaks([]), relations()).to_pyg()
