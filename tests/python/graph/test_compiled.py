"""The compiled builder of graphs: equal to numpy's, whatever the data, level or threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import massgraph as mg
from massgraph.chem.relations import relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.graph import compiled as build
from massgraph.graph.builder import Graph, build_graph, build_messages
from massgraph.graph.messages import CompactMessages, Messages
from massgraph.graph.search import RULES
from massgraph.native.library import levels, library, simd_level
from spectra_builder import random_spectra, relations

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled library was not built")

CASES = [(4.0, "ppm"), (12.0, "ppm"), (0.002, "Da"), (0.02, "Da"), (0.3, "Da")]
FIELDS = ("offsets", "kind_offsets", "sender", "receiver", "senders")


@pytest.fixture(params=levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with simd_level(request.param):
        yield request.param


def slow(spectra: Spectra, table: mg.Relations, **options: object) -> Graph:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASSGRAPH_NATIVE", "0")
        return build_graph(spectra, table, **options)  # type: ignore[arg-type]


def assert_same(spectra: Spectra, table: mg.Relations, **options: object) -> Graph:
    """Edges and messages of both builders, to the last value and type."""
    expected = slow(spectra, table, **options)
    found = build_graph(spectra, table, **options)  # type: ignore[arg-type]
    for name in ("edge_offsets", "source", "target", "relation"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for directed in (True, False):
        wanted = CompactMessages.of(replace(expected, directed=directed).messages())
        given = build_messages(spectra, table, directed=directed, **options)  # type: ignore[arg-type]
        assert isinstance(given, CompactMessages)
        for name in FIELDS:
            one, other = getattr(given, name), getattr(wanted, name)
            assert one.dtype == other.dtype, name
            np.testing.assert_array_equal(one, other, err_msg=name)
    return found


# -------------------------------------------------------------------- equal to the slow form


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("tolerance", "unit"), CASES)
@pytest.mark.parametrize("digits", [None, 3])
def test_edges_and_messages_are_those_of_numpy(
    rule: str, tolerance: float, unit: str, digits: int | None, level: str
) -> None:
    spectra = random_spectra(1, [0, 40, 1, 60, 0, 2, 90, 17, 0], digits=digits)
    graph = assert_same(spectra, relations(), rule=rule, tolerance=tolerance, tolerance_unit=unit)
    assert graph.n_edges > 40


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(sorted(RULES)),
    case=st.sampled_from(CASES),
    digits=st.sampled_from([None, 1, 2, 3]),
    spread=st.sampled_from([0.0, 0.002, 0.01]),
)
@settings(max_examples=60, deadline=None)
def test_anything_is_as_in_numpy(
    counts: list[int],
    seed: int,
    rule: str,
    case: tuple[float, str],
    digits: int | None,
    spread: float,
) -> None:
    spectra = random_spectra(seed, counts, digits=digits, spread=spread)
    assert_same(spectra, relations(), rule=rule, tolerance=case[0], tolerance_unit=case[1])


@pytest.mark.parametrize("rule", RULES)
def test_a_simulated_tissue_is_as_in_numpy(rule: str) -> None:
    spectra, _ = mg.simulate("tiny")
    table = mg.default_relations("positive")
    graph = assert_same(spectra, table, rule=rule, tolerance=5.0)
    assert graph.n_edges > 1000


@pytest.mark.parametrize("tolerance", [1e-7, 1e-4, 0.01, 0.3])
def test_narrow_and_wide_tolerances_over_a_wide_range(tolerance: float, level: str) -> None:
    """More bins than there may be, and bins that hold many peaks."""
    rng = np.random.default_rng(0)
    base = rng.uniform(50, 4000, 60)
    mz = np.sort(np.concatenate([base, base + 1.00335, base + 14.01565 + 0.9 * tolerance]))
    spectra = Spectra.from_peaks([(mz, rng.integers(1, 5, mz.size))])
    for rule in RULES:
        graph = assert_same(
            spectra, relations(), rule=rule, tolerance=tolerance, tolerance_unit="Da"
        )
        assert graph.n_edges > 100


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_the_last_digit_decides_alike(offset: int, level: str) -> None:
    """Differences at the tolerance to a few units in the last place, either side of it."""
    low = np.random.default_rng(2).uniform(100, 900, 200)
    edge = low + 21.98194 + (0.001 + 1e-9)
    high = edge + offset * np.spacing(edge)
    spectra = Spectra.from_peaks([(np.array(pair), [1, 1]) for pair in zip(low, high, strict=True)])
    assert_same(
        spectra, relations_from_masses({"d": 21.98194}), tolerance=0.001, tolerance_unit="Da"
    )


@pytest.mark.parametrize("counts", [[], [0], [0, 0], [1], [1, 0, 1], [2], [16], [17]])
def test_pixels_with_few_peaks(counts: list[int], level: str) -> None:
    assert_same(random_spectra(9, counts), relations())


def test_peaks_at_one_place() -> None:
    spectra = Spectra.from_peaks([([300.0] * 30 + [301.00335] * 30, np.arange(1, 61))])
    for rule in RULES:
        assert_same(spectra, relations(), rule=rule)


def test_threads_do_not_matter() -> None:
    spectra = random_spectra(3, np.random.default_rng(0).integers(0, 40, 150))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            assert_same(spectra, relations(), rule="all", tolerance=0.01, tolerance_unit="Da")
    finally:
        torch.set_num_threads(before)


# -------------------------------------------------------------------- the compact form


def test_compact_messages_take_five_bytes() -> None:
    spectra, _ = mg.simulate("tiny")
    messages = build_messages(spectra, mg.default_relations("positive"))
    assert isinstance(messages, CompactMessages)
    assert not messages.wide
    columns = messages.sender, messages.receiver, messages.senders
    assert [column.dtype for column in columns] == [np.uint16, np.uint16, np.uint8]
    assert messages.nbytes == sum(getattr(messages, name).nbytes for name in FIELDS)
    plain = build_graph(spectra, mg.default_relations("positive")).messages()
    np.testing.assert_array_equal(messages.kind, plain.kind)
    assert messages.n_kinds == plain.n_kinds


def test_many_senders_of_one_kind_take_the_wide_form() -> None:
    spectra = Spectra.from_peaks([([300.0] * 300 + [301.00335], np.ones(301))])
    for rule, wide in (("all", True), ("intensity", True)):
        messages = build_messages(spectra, relations(), rule=rule)
        assert isinstance(messages, CompactMessages)
        assert messages.wide is wide
        assert messages.senders.max() == 300
        assert_same(spectra, relations(), rule=rule)


def test_many_peaks_take_the_wide_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MOST_PEAKS", 50)
    spectra = random_spectra(4, [20, 60, 0])
    wide = build_messages(spectra, relations(), rule="all")
    monkeypatch.undo()
    narrow = build_messages(spectra, relations(), rule="all")
    assert isinstance(wide, CompactMessages)
    assert isinstance(narrow, CompactMessages)
    assert (wide.wide, narrow.wide) == (True, False)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(wide, name), getattr(narrow, name))
    joined = CompactMessages.concatenate([narrow, wide])
    assert joined.wide
    np.testing.assert_array_equal(joined.sender[: narrow.sender.size], narrow.sender)
    assert joined.offsets[-1] == 2 * narrow.offsets[-1]


def test_compact_form_of_plain_messages_and_of_itself() -> None:
    messages = build_graph(random_spectra(5, [30, 0, 2]), relations(), rule="all").messages()
    compact = CompactMessages.of(messages)
    assert CompactMessages.of(compact) is compact
    for name in ("offsets", "sender", "receiver", "kind"):
        np.testing.assert_array_equal(getattr(compact, name), getattr(messages, name))
    for pixel in range(3):
        rows = slice(*messages.offsets[pixel : pixel + 2])
        counts = compact.kind_offsets[pixel]
        assert counts[0] == 0
        assert counts[-1] == rows.stop - rows.start
        assert (np.diff(counts) == np.bincount(messages.kind[rows], minlength=10)).all()


def test_without_the_library_messages_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSGRAPH_NATIVE", "0")
    messages = build_messages(random_spectra(5, [30]), relations(), directed=False)
    assert isinstance(messages, Messages)
    assert messages.n_kinds == len(relations())


def test_what_cannot_be_is_refused_by_both() -> None:
    spectra = random_spectra(0, [9])
    with pytest.raises(ValueError, match="rule 'best' is none of"):
        build_messages(spectra, relations(), rule="best")
    with pytest.raises(ValueError, match="half the smallest relation"):
        build_messages(spectra, relations(), tolerance=0.6, tolerance_unit="Da")


def test_no_memory_is_an_error_of_its_own() -> None:
    with pytest.raises(MemoryError, match="do not fit into memory"):
        build._check_memory(None)
