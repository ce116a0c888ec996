"""The relational convolution: equal to its formula, and to PyTorch Geometric's layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from graph_builder import cast, random_batch, random_graphs
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.builder import build_graph
from massgraph.native.library import library
from massgraph.nn.layers import BACKENDS, RelationalConv
from spectra_builder import random_spectra, relations

# PyTorch Geometric still scripts a helper when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

KINDS = 4
COUNTS = {
    "plain": [12, 20, 9],
    "empty first": [0, 0, 12, 20],
    "empty middle": [12, 0, 0, 20],
    "empty last": [12, 20, 0],
    "single peaks": [1, 12, 1, 0, 1],
    "one pixel": [30],
    "many senders": [4, 3, 5],
}
LIMITS = {torch.float32: (1e-6, 1e-5), torch.float64: (1e-10, 1e-10)}


def make_batch(name: str, dtype: torch.dtype = torch.float32) -> PeakBatch:
    many = name == "many senders"
    return random_batch(
        3, COUNTS[name], 3, KINDS, n_messages=lambda n: 40 * n if many else 4 * n, dtype=dtype
    )


def make_layers(
    dtype: torch.dtype, backend: str = "torch"
) -> tuple[RelationalConv, RelationalConv]:
    """The same weights behind a backend and PyTorch Geometric's."""
    torch.manual_seed(0)
    ours = RelationalConv(3, 5, KINDS, backend=backend).to(dtype)
    torch.nn.init.uniform_(ours.bias)
    theirs = RelationalConv(3, 5, KINDS, backend="pyg").to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def outcome(layer: Any, x: torch.Tensor, *inputs: Any) -> dict[str, torch.Tensor]:
    """Output of a layer, and the gradients of a scalar that weighs every value of it otherwise."""
    x = x.clone().requires_grad_()
    out = layer(x, *inputs)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    (out * weights).sum().backward()
    assert x.grad is not None
    found = {"out": out.detach(), "input": x.grad}
    for name in ("weight", "root", "bias"):
        found[name] = getattr(layer, name).grad
    return found


def assert_equal(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], dtype: torch.dtype
) -> None:
    limit, gradient_limit = LIMITS[dtype]
    assert set(one) == set(other) == {"out", "input", "weight", "root", "bias"}
    for name, value in one.items():
        assert value.dtype == dtype
        error = (value - other[name]).abs().max().item()
        assert error <= (limit if name == "out" else gradient_limit), (name, error)


def dense_formula(layer: RelationalConv, batch: PeakBatch) -> torch.Tensor:
    """The layer as matrices: for each type the adjacency, its rows divided by their sums."""
    x, (n, _) = batch.features, batch.features.shape
    out = x @ layer.root + layer.bias
    ends, kinds = batch.messages.edge_index(), batch.messages.edge_type()
    for kind in range(KINDS):
        adjacency = torch.zeros(n, n, dtype=x.dtype)
        sender, receiver = ends[:, kinds == kind]
        adjacency[receiver, sender] = 1
        adjacency = adjacency / adjacency.sum(dim=1, keepdim=True).clamp(min=1)
        out = out + adjacency @ x @ layer.weight[kind]
    return out


# -------------------------------------------------------------------- equal to PyG


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_backends_agree(name: str, dtype: torch.dtype) -> None:
    ours, theirs = make_layers(dtype)
    batch = make_batch(name, dtype)
    assert_equal(
        outcome(ours, batch.features, batch.messages),
        outcome(theirs, batch.features, batch.messages),
        dtype,
    )


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_the_layer_is_that_of_pytorch_geometric(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch_geometric
    from torch_geometric.nn import RGCNConv

    monkeypatch.setattr(torch_geometric.backend, "use_segment_matmul", False)
    ours, _ = make_layers(dtype)
    theirs = RGCNConv(3, 5, KINDS, aggr="mean").to(dtype)
    theirs.load_state_dict(ours.state_dict())  # the names are the same
    batch = make_batch(name, dtype)
    messages = batch.messages
    assert_equal(
        outcome(ours, batch.features, messages),
        outcome(theirs, batch.features, messages.edge_index(), messages.edge_type()),
        dtype,
    )


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("backend", ["torch", "pyg"])
@pytest.mark.parametrize("counts", [[0], [0, 0, 0], [1], [7], [0, 5, 0]])
def test_graphs_without_edges(backend: str, counts: list[int], dtype: torch.dtype) -> None:
    layer = make_layers(dtype)[backend == "pyg"]
    batch = random_batch(1, counts, 3, KINDS, n_messages=lambda _: 0, dtype=dtype)
    found = outcome(layer, batch.features, batch.messages)
    expected = batch.features @ layer.root + layer.bias
    torch.testing.assert_close(found["out"], expected.detach())
    assert not found["weight"].any()  # zero, not missing: both backends train alike


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_the_layer_is_its_formula(name: str, dtype: torch.dtype) -> None:
    layer, _ = make_layers(dtype)
    batch = make_batch(name, dtype)
    error = (layer(batch.features, batch.messages) - dense_formula(layer, batch)).abs().max()
    assert error.item() <= LIMITS[dtype][0]


def test_graphs_of_spectra_agree_too() -> None:
    spectra = random_spectra(4, [0, 30, 1, 0, 40, 2])
    graph = build_graph(spectra, relations(), tolerance=0.004, tolerance_unit="Da", rule="all")
    features = np.random.default_rng(0).normal(size=(spectra.n_peaks, 3)).astype(np.float32)
    graphs = PeakGraphs(features, spectra.offsets, graph.messages())
    batch = cast(graphs.batch(np.arange(6)), torch.float64)
    assert batch.messages.senders.max() > 1
    layer = RelationalConv(3, 5, 2 * len(relations())).double()
    other = RelationalConv(3, 5, 2 * len(relations()), backend="pyg").double()
    other.load_state_dict(layer.state_dict())
    out = layer(batch.features, batch.messages)
    torch.testing.assert_close(out, other(batch.features, batch.messages), rtol=0, atol=1e-10)
    pyg = graph.to_pyg()
    torch.testing.assert_close(
        batch.messages.edge_index().unique(dim=1), pyg.edge_index.unique(dim=1)
    )


def test_gradients_are_those_of_finite_differences() -> None:
    layer, _ = make_layers(torch.float64)
    batch = random_batch(2, [4, 0, 3], 3, KINDS, dtype=torch.float64)
    parameters = (layer.weight, layer.root, layer.bias)

    def call(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layer(x, batch.messages)

    assert torch.autograd.gradcheck(call, (batch.features.requires_grad_(), *parameters))


# -------------------------------------------------------------------- backends and global state


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ValueError, match="backend 'numpy' is none of"):
        RelationalConv(3, 5, KINDS, backend="numpy")
    for backend in BACKENDS:
        if backend != "native" or library() is not None:
            RelationalConv(3, 5, KINDS, backend=backend)
            continue
        with pytest.raises(ValueError, match=r"'native' cannot be used here .*: use 'auto'"):
            RelationalConv(3, 5, KINDS, backend=backend)


@pytest.mark.parametrize("flag", [None, True, False])
def test_pyg_backend_leaves_global_state_alone(
    flag: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch_geometric

    monkeypatch.setattr(torch_geometric.backend, "use_segment_matmul", flag)
    _, theirs = make_layers(torch.float32)
    batch = make_batch("plain")
    state = torch.random.get_rng_state()
    theirs(batch.features, batch.messages)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch_geometric.backend.use_segment_matmul is flag
    with pytest.raises(RuntimeError):
        theirs(batch.features[:, :2], batch.messages)
    assert torch_geometric.backend.use_segment_matmul is flag


def test_weights_start_as_glorot_has_it_and_bias_at_zero() -> None:
    torch.manual_seed(1)
    layer = RelationalConv(20, 30, 7)
    bound = (6 / 50) ** 0.5
    assert not layer.bias.any()
    for values in (layer.weight, layer.root):
        assert 0.95 * bound < values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert sum(p.numel() for p in layer.parameters()) == 7 * 600 + 600 + 30


def test_messages_of_another_number_of_types_are_refused() -> None:
    batch = make_batch("plain")
    with pytest.raises(ValueError, match="messages of 4 types for a layer of 5"):
        RelationalConv(3, 5, KINDS + 1)(batch.features, batch.messages)


# -------------------------------------------------------------------- batches


@pytest.mark.parametrize("seed", range(4))
def test_batches_hold_the_messages_of_their_pixels(seed: int) -> None:
    graphs = random_graphs(seed, [5, 0, 9, 1, 14], 2, KINDS, n_messages=lambda n: 3 * n)
    pixels = np.array([2, 4, 1, 2, 0])  # one of them twice
    batch = graphs.batch(pixels)
    counts = np.diff(graphs.offsets)[pixels]
    base = np.cumsum(counts) - counts
    expected = []
    for place, pixel in enumerate(pixels):
        rows = slice(*graphs.messages.offsets[pixel : pixel + 2])
        for field in zip(
            graphs.messages.kind[rows].tolist(),
            graphs.messages.receiver[rows].tolist(),
            graphs.messages.sender[rows].tolist(),
            strict=True,
        ):
            expected.append((field[0], field[1] + base[place], field[2] + base[place]))
    messages = batch.messages
    sender, receiver = messages.edge_index().tolist()
    assert list(zip(messages.edge_type().tolist(), receiver, sender, strict=True)) == sorted(
        expected
    )
    assert batch.n_pixels == 5
    assert batch.pixel.tolist() == np.repeat(np.arange(5), counts).tolist()
    assert batch.counts[:, 0].tolist() == counts.tolist()
    features = [graphs.features[graphs.offsets[p] : graphs.offsets[p + 1]] for p in pixels]
    np.testing.assert_array_equal(batch.features.numpy(), np.concatenate(features))


def test_messages_count_the_senders_of_their_receiver() -> None:
    messages = make_batch("many senders").messages
    ends, kinds = messages.edge_index(), messages.edge_type()
    assert kinds.bincount(minlength=KINDS).tolist() == list(messages.per_kind)
    pairs = torch.stack([kinds, ends[1]])
    _, place, count = pairs.unique(dim=1, return_inverse=True, return_counts=True)
    assert messages.senders[:, 0].tolist() == count[place].tolist()
    assert count.max() > 3


def test_joined_graphs_batch_as_their_parts_do() -> None:
    parts = [random_graphs(seed, [3, 0, 6], 2, KINDS) for seed in (0, 1, 2)]
    parts.insert(1, random_graphs(0, [], 2, KINDS))
    joined = PeakGraphs.concatenate(parts)
    assert len(joined) == 9
    whole = joined.batch(np.array([5, 6]))
    for place, (part, pixel) in enumerate([(2, 2), (3, 0)]):
        alone = parts[part].batch(np.array([pixel]))
        torch.testing.assert_close(whole.features[whole.pixel == place], alone.features)
    first, second = parts[2].batch(np.array([2])), parts[3].batch(np.array([0]))
    together = sorted(
        first.messages.edge_index().T.tolist()
        + (second.messages.edge_index().T + len(first.features)).tolist()
    )
    assert sorted(whole.messages.edge_index().T.tolist()) == together


def test_a_batch_of_no_pixels() -> None:
    batch = random_graphs(0, [3, 4], 2, KINDS).batch(np.empty(0, dtype=np.int64))
    assert (batch.n_pixels, len(batch.features), len(batch.messages.sender)) == (0, 0, 0)
    assert RelationalConv(2, 5, KINDS)(batch.features, batch.messages).shape == (0, 5)


def test_batches_move_between_devices() -> None:
    batch = make_batch("single peaks")
    moved = batch.to(torch.device("meta"))
    for field in ("features", "pixel", "counts"):
        assert getattr(moved, field).device.type == "meta"
        assert getattr(moved, field).shape == getattr(batch, field).shape
    for field in ("sender", "senders", "receiver"):
        assert getattr(moved.messages, field).device.type == "meta"
    assert moved.messages.per_kind == batch.messages.per_kind
    assert moved.messages.edge_index().device.type == "meta"
