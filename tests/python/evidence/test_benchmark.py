"""The benchmark: rivals that do the same work, figures of everything, files that can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from massgraph.cli import main
from massgraph.evidence import benchmark as module
from massgraph.evidence.benchmark import (
    Plan,
    benchmark,
    lattice_relations,
    lattice_spectra,
    plot_cost,
    summary,
    write,
)
from massgraph.evidence.rivals import PygNetwork, bisecting_edges, searchsorted_edges
from massgraph.graph.batch import PeakGraphs
from massgraph.graph.builder import build_graph
from massgraph.nn.rgcn import RGCN

pytest.importorskip("torch_geometric")
# PyTorch Geometric still scripts a helper when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

SMALL = Plan(relations=(10,), peaks=(40, 80), pixels=2, repeats=1)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_measure_threads", lambda _: {"what": "two threads", "times": {}})
        patch.setattr(module, "lattice_spectra", lambda n, peaks, **k: lattice_spectra(n, 60, **k))
        return benchmark(SMALL)


def test_plain_builders_find_the_same_edges() -> None:
    spectra, relations = lattice_spectra(2, 150), lattice_relations(12)
    graph = build_graph(spectra, relations, tolerance=0.001, tolerance_unit="Da")
    for pixel in range(2):
        rows = slice(*graph.edge_offsets[pixel : pixel + 2])
        columns = graph.source[rows], graph.target[rows], graph.relation[rows]
        expected = sorted(zip(*(column.tolist() for column in columns), strict=True))
        mz, intensity = spectra.pixel(pixel)
        for find in (bisecting_edges, searchsorted_edges):
            found = sorted(find(mz, intensity, relations.masses, 0.001))
            assert [tuple(map(int, edge)) for edge in found] == expected
        assert len(expected) > 20


def test_the_rival_network_is_ours() -> None:
    spectra, relations = lattice_spectra(3, 60), lattice_relations(8)
    messages = build_graph(spectra, relations).messages()
    features = np.random.default_rng(0).normal(size=(spectra.n_peaks, 3)).astype(np.float32)
    batch = PeakGraphs(features, spectra.offsets, messages).batch(np.arange(3))
    model = RGCN(3, messages.n_kinds, 3, hidden=(8, 16), batch_norm=True, backend="torch").eval()
    given = batch.messages.edge_index(), batch.messages.edge_type()
    for fast in (False, True):
        network = PygNetwork(model, fast=fast).eval()
        with torch.inference_mode():
            found = network(batch, *given)
        torch.testing.assert_close(found.double(), model(batch), rtol=0, atol=1e-5)


def test_lattices_have_as_many_peaks_and_relations_as_asked() -> None:
    for aligned in (False, True):
        spectra = lattice_spectra(3, 200, aligned=aligned)
        assert spectra.peak_counts.tolist() == [200] * 3
        assert len(np.unique(np.round(spectra.mz, 3))) < (400 if aligned else 601)
    relations = lattice_relations(60)
    assert len(relations) == 60
    assert np.diff(np.sort(relations.masses)).min() > 0.004


def test_everything_is_measured(result: dict[str, Any]) -> None:
    rows = result["rows"]
    kinds = {row["what"] for row in rows}
    assert kinds == {"graphs", "training step", "prediction", "cost", "two threads"}
    networks = [row for row in rows if "network" in row]
    assert len(networks) == 2 * (2 + 1 + 1)
    assert {row["network"] for row in networks} == {"published", "default"}
    assert {row["aligned"] for row in networks} == {True, False}
    for row in networks:
        assert {"RGCNConv", "FastRGCNConv", "torch"} <= set(row["us_per_pixel"])
        assert min(row["us_per_pixel"].values()) > 0
    errors = [
        row["largest_errors_of_logits"] for row in networks if "largest_errors_of_logits" in row
    ]
    assert len(errors) == 3
    assert max(error["ours"] for error in errors) < 1e-6
    assert rows[0]["memory_of_int64"] < 0.4


def test_cost_is_taken_apart_into_peaks_and_messages() -> None:
    rows = [
        {
            "what": "prediction",
            "network": "published",
            "aligned": False,
            "peaks": peaks,
            "messages_per_peak": messages,
            "us_per_pixel": {"torch": 1.0, "native": peaks * (30 + 6 * messages) / 1e3},
        }
        for peaks in (250, 1000)
        for messages in (3.0, 17.0)
    ]
    found = module._fit_cost(rows, "prediction")
    assert found["ns_per_peak"] == pytest.approx(30)
    assert found["ns_per_message"] == pytest.approx(6)
    assert found["largest_deviation"] < 1e-9


def test_results_are_lines_files_and_a_picture(result: dict[str, Any], tmp_path: Path) -> None:
    lines = summary(result)
    assert lines["path"] == result["versions"]["path"]
    assert any(name.startswith("training step, default, R=30") for name in lines)
    write(result, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "benchmark.json",
        "cost.png",
        "cost.pdf",
    }
    text = (tmp_path / "out" / "benchmark.json").read_text(encoding="utf-8")
    assert json.loads(text)["rows"][1]["peaks"] == 40
    assert len(plot_cost(result).axes) == 2


def test_threads_are_timed_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "lattice_spectra", lambda n, peaks, **k: lattice_spectra(4, 30, **k)
    )
    monkeypatch.setattr(module._Case, "rivals", lambda *_, **__: {"native": int, "torch": int})
    before = torch.get_num_threads()
    row = module._measure_threads(SMALL)
    assert set(row["times"]) == {"training step", "prediction"}
    assert torch.get_num_threads() == before


def test_the_command(
    monkeypatch: pytest.MonkeyPatch,
    result: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plans = []
    monkeypatch.setattr(module, "benchmark", lambda plan: plans.append(plan) or result)
    out = str(tmp_path / "out")
    assert main(["benchmark", "--quick", "--json", "--out", out]) == 0
    assert json.loads(capsys.readouterr().out)["versions"] == result["versions"]
    assert main(["benchmark", "--out", out, "--overwrite"]) == 0
    assert "prediction, default" in capsys.readouterr().out
    assert plans == [Plan.quick(), Plan()]
    assert main(["benchmark", "--out", out]) == 2
