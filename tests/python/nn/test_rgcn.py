"""The network: activations that add up to the logits, pixels that do not see each other."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from graph_builder import random_graphs
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.messages import Messages
from massgraph.nn.rgcn import RGCN

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

COUNTS = [0, 12, 1, 30, 0, 2, 25, 0]
KINDS = 6


def make_model(batch_norm: bool, backend: str = "auto", n_classes: int = 3) -> RGCN:
    """In evaluation mode, with weights and running statistics that are not those of the start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RGCN(4, KINDS, n_classes, hidden=(8, 7), batch_norm=batch_norm, backend=backend)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias)
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data.add_(torch.randn_like(parameter) / 3)
    return model.eval()


def make_batch(counts: list[int] = COUNTS) -> PeakBatch:
    return random_graphs(1, counts, 4, KINDS).batch(np.arange(len(counts)))


def permuted(graphs: PeakGraphs, seed: int) -> tuple[PeakGraphs, NDArray[np.int64]]:
    """The same graphs with the peaks of each pixel in another order, and where each peak was."""
    rng = np.random.default_rng(seed)
    counts = np.diff(graphs.offsets)
    orders = [rng.permutation(n) for n in counts]  # new place -> old place
    messages = graphs.messages
    columns = []
    for pixel, order in enumerate(orders):
        rows = slice(*messages.offsets[pixel : pixel + 2])
        place = np.argsort(order)  # old place -> new place
        table = np.column_stack(
            [messages.kind[rows], place[messages.receiver[rows]], place[messages.sender[rows]]]
        ).reshape(-1, 3)
        columns.append(table[np.lexsort(table.T[::-1])])
    table = np.concatenate(columns)
    origin = np.concatenate(
        [order + first for order, first in zip(orders, graphs.offsets[:-1], strict=True)]
    ).astype(np.int64)
    moved = Messages(
        offsets=messages.offsets,
        sender=table[:, 2].astype(np.int32),
        receiver=table[:, 1].astype(np.int32),
        kind=table[:, 0].astype(np.uint16),
        n_kinds=messages.n_kinds,
    )
    return PeakGraphs(graphs.features[origin], graphs.offsets, moved), origin


def mean_by_pixel(values: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
    total = torch.zeros(batch.n_pixels, values.shape[1], dtype=values.dtype)
    total.index_add_(0, batch.pixel, values)
    return total / batch.counts.clamp(min=1).to(values.dtype)


# -------------------------------------------------------------------- activations


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 11])
def test_activations_add_up_to_the_logits(batch_norm: bool, n_classes: int) -> None:
    model, batch = make_model(batch_norm, n_classes=n_classes), make_batch()
    with torch.no_grad():
        logits, cam, intercept = model(batch), model.cam(batch), model.intercept()
    assert cam.shape == (sum(COUNTS), n_classes)
    torch.testing.assert_close(mean_by_pixel(cam, batch) + intercept, logits, rtol=0, atol=1e-6)
    assert logits.std() > 0.05


@pytest.mark.parametrize("batch_norm", [True, False])
def test_logits_are_those_of_the_modules_one_after_the_other(batch_norm: bool) -> None:
    model, batch = make_model(batch_norm), make_batch()
    with torch.no_grad():
        pooled = model.pool(model.nodes(batch), batch)
        plain = model.head(model.pool_norm(pooled))
        torch.testing.assert_close(model(batch).to(plain.dtype), plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_activations_hold_after_training_steps(batch_norm: bool) -> None:
    model, batch = make_model(batch_norm), make_batch([9, 1, 20, 5])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    y, losses = torch.tensor([0, 1, 2, 0]), []
    for _ in range(30):
        model.train()
        loss = torch.nn.functional.cross_entropy(model(batch), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval()
    with torch.no_grad():
        total = mean_by_pixel(model.cam(batch), batch) + model.intercept()
        torch.testing.assert_close(total, model(batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_pixels_without_peaks_have_the_intercept_only(batch_norm: bool) -> None:
    model, batch = make_model(batch_norm), make_batch()
    with torch.no_grad():
        logits, intercept = model(batch), model.intercept()
    for pixel in np.flatnonzero(np.array(COUNTS) == 0):
        torch.testing.assert_close(logits[pixel], intercept, rtol=0, atol=1e-6)
    empty = make_batch([0, 0])
    with torch.no_grad():
        assert model.cam(empty).shape == (0, 3)
        torch.testing.assert_close(model(empty), intercept.expand(2, 3), rtol=0, atol=1e-6)


def test_without_batch_norm_the_intercept_is_the_bias() -> None:
    model = make_model(batch_norm=False)
    torch.testing.assert_close(model.intercept().to(model.head.bias.dtype), model.head.bias)


# -------------------------------------------------------------------- invariants


@pytest.mark.parametrize("batch_norm", [True, False])
def test_order_of_peaks_moves_activations_and_leaves_logits(batch_norm: bool) -> None:
    model = make_model(batch_norm)
    graphs = random_graphs(2, COUNTS, 4, KINDS)
    other, origin = permuted(graphs, seed=3)
    pixels = np.arange(len(COUNTS))
    with torch.no_grad():
        one, two = graphs.batch(pixels), other.batch(pixels)
        torch.testing.assert_close(model(one), model(two), rtol=0, atol=1e-6)
        torch.testing.assert_close(model.cam(one)[origin], model.cam(two), rtol=0, atol=1e-6)
        assert (model.cam(one) - model.cam(two)).abs().max() > 0.01


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_size_of_a_batch_does_not_matter(batch_norm: bool, size: int) -> None:
    model = make_model(batch_norm)
    counts = np.random.default_rng(4).integers(0, 15, 64).tolist()
    graphs = random_graphs(4, counts, 4, KINDS)
    parts = np.array_split(np.arange(64), 64 // size)
    with torch.no_grad():
        whole = model(graphs.batch(np.arange(64)))
        cut = torch.cat([model(graphs.batch(part)) for part in parts])
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-6)


def test_pixels_do_not_see_each_other() -> None:
    model = make_model(batch_norm=True)
    graphs = random_graphs(5, COUNTS, 4, KINDS)
    other = replace(graphs, features=graphs.features.copy())
    other.features[: graphs.offsets[3]] += 5
    pixels = np.arange(len(COUNTS))
    with torch.no_grad():
        one, two = model(graphs.batch(pixels)), model(other.batch(pixels))
    torch.testing.assert_close(one[3:], two[3:], rtol=0, atol=0)
    assert (one[1:3] - two[1:3]).abs().min() > 1e-3


@pytest.mark.parametrize("batch_norm", [True, False])
def test_backends_give_the_same_network(batch_norm: bool) -> None:
    ours, theirs = make_model(batch_norm), make_model(batch_norm, backend="pyg")
    theirs.load_state_dict(ours.state_dict())
    batch = make_batch()
    with torch.no_grad():
        torch.testing.assert_close(ours(batch), theirs(batch), rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.cam(batch), theirs.cam(batch), rtol=0, atol=3e-6)


def test_whole_network_gradients_agree_in_float64() -> None:
    # In float32 one ReLU may flip its sign between the two; the layers are compared there.
    batch = make_batch([9, 0, 1, 20])
    batch = replace(batch, features=batch.features.double())
    gradients = []
    for backend in ("torch", "pyg"):
        model = make_model(batch_norm=True, backend=backend).double().train()
        torch.nn.functional.cross_entropy(model(batch), torch.tensor([0, 1, 2, 0])).backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_every_parameter_is_trained() -> None:
    model = make_model(batch_norm=True).train()
    batch = make_batch([9, 0, 1, 20])
    torch.nn.functional.cross_entropy(model(batch), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


# -------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("n_features", "n_kinds", "n_classes", "hidden", "batch_norm", "expected"),
    [
        (3, 13, 2, (8, 16), False, 2186),  # the published network
        (3, 17, 2, (8, 16), False, 2794),
        (3, 13, 2, (8, 16), True, 2186 + 2 * (8 + 16 + 16)),
        (8, 62, 5, (32, 32), True, 63 * (8 * 32 + 32 * 32) + 64 + 5 * 33 + 2 * 96),
        (4, 2, 2, (6,), False, 3 * 24 + 6 + 14),
    ],
)
def test_number_of_parameters(
    n_features: int,
    n_kinds: int,
    n_classes: int,
    hidden: tuple[int, ...],
    batch_norm: bool,
    expected: int,
) -> None:
    model = RGCN(n_features, n_kinds, n_classes, hidden=hidden, batch_norm=batch_norm)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


def test_same_seed_same_weights_and_steps() -> None:
    states = []
    for _ in range(2):
        model, batch = copy.deepcopy(make_model(batch_norm=True)).train(), make_batch([9, 1, 20, 5])
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ValueError, match="backend 'jax' is none of"):
        RGCN(3, 2, 2, backend="jax")
