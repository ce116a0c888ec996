"""Evaluation mode: values alone come from the library, gradients from torch where it keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_native import CPU, make_graphs, make_model, take

from massgraph.graph.addresses import ADDRESS_WIDTH
from massgraph.graph.batch import GraphBatch, PeakGraphs
from massgraph.native.library import library
from massgraph.nn import compiled
from massgraph.nn.nets import PeakNet, RelationalNet

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled library was not built")

OUTPUTS = ("__call__", "cam", "nodes", "embedding")


@pytest.fixture
def inferred(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One value to each call of the library for all layers."""
    calls: list[bool] = []
    infer = compiled.infer

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(True)
        return infer(*arguments, **options)

    monkeypatch.setattr(compiled, "infer", counted)
    return calls


def gradients(model: torch.nn.Module, out: torch.Tensor) -> list[torch.Tensor | None]:
    model.zero_grad()
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)).sum().backward()
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


# -------------------------------------------------------------------- an RGCN


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("what", OUTPUTS)
def test_gradients_are_those_of_torch(what: str, batch_norm: bool) -> None:
    graphs = make_graphs([12, 0, 1, 30])
    ours, plain = (make_model(one, batch_norm=batch_norm).eval() for one in ("native", "torch"))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    batch = take(ours, graphs)
    assert isinstance(batch, GraphBatch)
    out, other = getattr(ours, what)(batch), getattr(plain, what)(take(plain, graphs))
    with torch.inference_mode():
        torch.testing.assert_close(out, getattr(ours, what)(batch), rtol=1e-5, atol=1e-5)
    for value, right in zip(gradients(ours, out), gradients(plain, other), strict=True):
        assert (value is None) == (right is None)
        if value is not None:
            torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("what", OUTPUTS)
def test_values_alone_come_from_the_library(
    what: str, mode: type[torch.no_grad], inferred: list[bool]
) -> None:
    model = make_model("native", batch_norm=True).eval()
    with mode():
        out = getattr(model, what)(take(model, make_graphs([12, 0, 1])))
    assert inferred == [True]
    assert not out.requires_grad


def test_a_network_without_trainable_weights_has_no_gradients_to_keep(inferred: list[bool]) -> None:
    model = make_model("native", batch_norm=True).eval().requires_grad_(False)
    assert not model(take(model, make_graphs([12, 0, 1]))).requires_grad
    assert inferred == [True]


def test_batches_for_torch_are_the_graphs_of_the_library() -> None:
    graphs, pixels = make_graphs([12, 0, 1, 30]), np.array([3, 3, 1, 0])
    found, wanted = graphs.view(pixels).peak_batch(), graphs.batch(pixels)
    own = GraphBatch(wanted.features.numpy(), graphs.offsets, graphs.compact, pixels, own_rows=True)
    for batch in (found, own.peak_batch()):
        for name in ("features", "pixel", "counts"):
            assert torch.equal(getattr(batch, name), getattr(wanted, name))
        for name in ("sender", "receiver", "senders"):
            assert torch.equal(getattr(batch.messages, name), getattr(wanted.messages, name))
        assert batch.messages.per_kind == wanted.messages.per_kind
        assert batch.graphs is None


# -------------------------------------------------------------------- nets of branches


def addressed(counts: list[int], n_ions: int) -> PeakGraphs:
    """Graphs whose last columns say which ion each peak is."""
    graphs = make_graphs(counts)
    rng = np.random.default_rng(0)
    columns = rng.random((len(graphs.features), ADDRESS_WIDTH)).astype(np.float32)
    columns[:, 1] = rng.integers(0, n_ions, len(columns))
    return replace(graphs, features=np.hstack([graphs.features, columns]))


def net(kind: str, backend: str, graphs: PeakGraphs) -> RelationalNet:
    torch.manual_seed(0)
    if kind == "peak":
        return PeakNet(4, 9, 3, hidden=(8, 7), backend=backend).eval()
    kinds = graphs.messages.n_kinds
    return RelationalNet(4, 9, kinds, 3, hidden=(8, 7), backend=backend).eval()


@pytest.mark.parametrize("kind", ["relational", "peak"])
@pytest.mark.parametrize("what", OUTPUTS)
def test_saliency_of_the_features(kind: str, what: str) -> None:
    graphs = addressed([12, 0, 1, 30], 9)
    found = []
    for backend in ("native", "torch"):
        model = net(kind, backend, graphs)
        batch = model.take(graphs, np.arange(4), CPU)
        batch = replace(batch, features=batch.features.requires_grad_())
        weights = gradients(model, getattr(model, what)(batch))
        assert batch.features.grad is not None
        found.append([batch.features.grad, *weights])
    assert found[0][0].any()
    for value, right in zip(*found, strict=True):
        assert (value is None) == (right is None)
        if value is not None and value.numel():
            torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["relational", "peak"])
def test_features_have_gradients_where_weights_have_none(kind: str) -> None:
    graphs = addressed([12, 5], 9)
    model = net(kind, "native", graphs).requires_grad_(False)
    batch = model.take(graphs, np.arange(2), CPU)
    batch = replace(batch, features=batch.features.requires_grad_())
    model(batch).sum().backward()
    assert batch.features.grad is not None
    assert batch.features.grad.any()


@pytest.mark.parametrize("kind", ["relational", "peak"])
def test_values_of_nets_alone_come_from_the_library(kind: str, inferred: list[bool]) -> None:
    graphs = addressed([12, 0, 5], 9)
    model = net(kind, "native", graphs)
    batch = model.take(graphs, np.arange(3), CPU)
    kept = model(batch)
    assert inferred == []
    with torch.inference_mode():
        torch.testing.assert_close(model(batch), kept.detach(), rtol=1e-5, atol=1e-6)
    assert inferred == [True]


def test_graphs_without_addresses_are_refused() -> None:
    graphs = addressed([3], 9)
    with pytest.raises(TypeError, match="without the addresses of their peaks: use what `take`"):
        net("relational", "native", graphs)(graphs.view(np.arange(1)))
