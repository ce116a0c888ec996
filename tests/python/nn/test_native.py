"""The compiled network: equal to torch and PyTorch Geometric, exact and repeatable."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_layers import COUNTS, KINDS, assert_equal, make_batch, make_layers, outcome
from torch.nn.functional import cross_entropy

import massgraph as mg
from graph_builder import random_batch, random_graphs
from massgraph._util.threads import one_thread
from massgraph.graph.addresses import ADDRESS_WIDTH
from massgraph.graph.batch import GraphBatch, PeakGraphs
from massgraph.graph.messages import CompactMessages
from massgraph.native.library import levels, library, simd_level
from massgraph.nn import compiled as network
from massgraph.nn.layers import RelationalConv
from massgraph.nn.nets import PeakNet, RelationalNet
from massgraph.nn.rgcn import RGCN
from massgraph.nn.structs import padded

pytestmark = [
    pytest.mark.skipif(library() is None, reason="the compiled library was not built"),
    # PyTorch Geometric still scripts a helper when it is imported.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
]

CPU = torch.device("cpu")
LAYOUTS = {
    "plain": [12, 20, 9, 33],
    "empty first": [0, 0, 12, 20],
    "empty middle": [12, 0, 0, 20],
    "empty last": [12, 20, 0],
    "single peaks": [1, 12, 1, 0, 1],
    "one pixel": [30],
}
# Widths that fill vectors, that do not, and more than one block of columns.
WIDTHS = [(8, 16), (3,), (5, 7), (32, 32), (17, 1, 40), (64, 33)]


@pytest.fixture(params=levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with simd_level(request.param):
        yield request.param


def make_model(
    backend: str, hidden: tuple[int, ...] = (8, 7), *, batch_norm: bool, n_features: int = 4
) -> RGCN:
    """With weights, biases and running statistics that are not those of the start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = RGCN(n_features, KINDS, 3, hidden=hidden, batch_norm=batch_norm, backend=backend)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.data.add_(torch.randn_like(parameter) / 3)
    return model


def make_graphs(counts: list[int], seed: int = 1, n_features: int = 4) -> PeakGraphs:
    return random_graphs(seed, counts, n_features, KINDS, n_messages=lambda n: 5 * n)


def take(model: RGCN, graphs: PeakGraphs, pixels: Any = None) -> Any:
    rows = np.arange(len(graphs)) if pixels is None else np.asarray(pixels)
    return model.take(graphs, rows, CPU)


def gradients(model: RGCN, batch: Any, y: np.ndarray) -> tuple[float, torch.Tensor, list[Any]]:
    model.train().zero_grad()
    loss, logits = model.loss(batch, y)
    loss.backward()
    found = [None if p.grad is None else p.grad.double() for p in model.parameters()]
    return loss.item(), logits.detach(), found


def in_float64(model: RGCN, graphs: PeakGraphs, y: np.ndarray) -> Any:
    """What torch finds with all the digits."""
    exact = copy.deepcopy(model).double()
    batch = graphs.batch(np.arange(len(graphs)))
    return gradients(exact, replace(batch, features=batch.features.double()), y)


# -------------------------------------------------------------------- one layer


@pytest.mark.parametrize("name", COUNTS)
def test_the_layer_is_that_of_pytorch_geometric(name: str, level: str) -> None:
    ours, theirs = make_layers(torch.float32, "native")
    batch = make_batch(name)
    assert_equal(
        outcome(ours, batch.features, batch.messages),
        outcome(theirs, batch.features, batch.messages),
        torch.float32,
    )


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (3, 8), (4, 32), (8, 16), (17, 33), (9, 70)])
def test_layers_of_any_width(n_in: int, n_out: int, level: str) -> None:
    torch.manual_seed(0)
    ours = RelationalConv(n_in, n_out, KINDS, backend="native")
    plain = RelationalConv(n_in, n_out, KINDS, backend="torch")
    plain.load_state_dict(ours.state_dict())
    batch = random_batch(1, [9, 0, 1, 30, 17], n_in, KINDS, n_messages=lambda n: 9 * n)
    one = outcome(ours, batch.features, batch.messages)
    other = outcome(plain, batch.features, batch.messages)
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-5, atol=1e-5)


def test_every_remainder_of_messages(level: str) -> None:
    """Kinds of 0 to 20 messages: all ways to end a row of tiles."""
    for n in range(21):
        batch = random_batch(n, [12], 3, KINDS, n_messages=lambda _, n=n: n)  # type: ignore[misc]
        ours, theirs = make_layers(torch.float32, "native")
        assert_equal(
            outcome(ours, batch.features, batch.messages),
            outcome(theirs, batch.features, batch.messages),
            torch.float32,
        )


@pytest.mark.parametrize("counts", [[0], [0, 0, 0], [1], [7], [0, 5, 0]])
def test_layers_on_graphs_without_edges(counts: list[int], level: str) -> None:
    layer, _ = make_layers(torch.float32, "native")
    batch = random_batch(1, counts, 3, KINDS, n_messages=lambda _: 0)
    found = outcome(layer, batch.features, batch.messages)
    expected = batch.features @ layer.root + layer.bias
    torch.testing.assert_close(found["out"], expected.detach())
    assert not found["weight"].any()


def test_other_numbers_run_on_torch() -> None:
    layer, plain = make_layers(torch.float64, "native")
    batch = make_batch("plain", torch.float64)
    assert_equal(
        outcome(layer, batch.features, batch.messages),
        outcome(plain, batch.features, batch.messages),
        torch.float64,
    )


# -------------------------------------------------------------------- prediction


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", LAYOUTS)
def test_logits_are_those_of_torch_and_pyg(name: str, batch_norm: bool, level: str) -> None:
    graphs = make_graphs(LAYOUTS[name])
    ours = make_model("native", batch_norm=batch_norm).eval()
    batch = take(ours, graphs)
    assert isinstance(batch, GraphBatch)
    with torch.inference_mode():
        found = ours(batch), ours.cam(batch), ours.nodes(batch)
        for backend in ("torch", "pyg"):
            theirs = make_model(backend, batch_norm=batch_norm).eval()
            given = take(theirs, graphs)
            torch.testing.assert_close(found[0], theirs(given), rtol=0, atol=1e-6)
            torch.testing.assert_close(found[1], theirs.cam(given), rtol=0, atol=5e-6)
            torch.testing.assert_close(found[2], theirs.nodes(given), rtol=0, atol=5e-6)


@pytest.mark.parametrize("hidden", WIDTHS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_networks_of_any_shape(hidden: tuple[int, ...], batch_norm: bool, level: str) -> None:
    graphs = make_graphs([9, 0, 1, 30, 17])
    y = np.array([0, 1, 2, 0, 1])
    ours = make_model("native", hidden, batch_norm=batch_norm)
    plain = make_model("torch", hidden, batch_norm=batch_norm)
    with torch.inference_mode():
        one, other = ours.eval()(take(ours, graphs)), plain.eval()(take(plain, graphs))
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    loss, logits, found = gradients(ours, take(ours, graphs), y)
    exact_loss, exact_logits, exact = in_float64(
        make_model("torch", hidden, batch_norm=batch_norm), graphs, y
    )
    assert loss == pytest.approx(exact_loss, abs=1e-5)
    torch.testing.assert_close(logits.double(), exact_logits, rtol=1e-4, atol=1e-4)
    for value, right in zip(found, exact, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_activations_add_up_exactly(batch_norm: bool, level: str) -> None:
    counts = [12, 0, 1, 30, 25]
    model = make_model("native", batch_norm=batch_norm).eval()
    batch = take(model, make_graphs(counts))
    with torch.inference_mode():
        logits, cam, pooled = model(batch), model.cam(batch), model.embedding(batch)
    assert logits.dtype == cam.dtype == pooled.dtype == torch.float64
    total = torch.zeros_like(logits)
    total.index_add_(0, torch.from_numpy(np.repeat(np.arange(5), counts)), cam)
    total = total / torch.tensor(counts)[:, None].clamp(min=1) + model.intercept()
    assert (total - logits).abs().max() <= 1e-10
    assert not pooled[1].any()


def test_pixels_in_any_order_and_more_than_once() -> None:
    graphs = make_graphs([12, 0, 1, 30, 25])
    model = make_model("native", batch_norm=True).eval()
    order = [4, 4, 1, 0, 3, 2]
    with torch.inference_mode():
        whole, some = model(take(model, graphs)), model(take(model, graphs, order))
    assert torch.equal(some, whole[order])


def test_a_batch_of_no_pixels() -> None:
    model = make_model("native", batch_norm=False).eval()
    batch = take(model, make_graphs([3, 4]), np.empty(0, dtype=np.int64))
    with torch.inference_mode():
        assert model(batch).shape == (0, 3)
        assert model.nodes(batch).shape == (0, 7)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_wide_form_gives_the_same(batch_norm: bool, level: str) -> None:
    graphs = make_graphs([12, 0, 1, 30])
    narrow = graphs.compact
    wide = CompactMessages(
        narrow.offsets,
        narrow.kind_offsets,
        *(column.astype(np.uint32) for column in (narrow.sender, narrow.receiver, narrow.senders)),
    )
    model, y = make_model("native", batch_norm=batch_norm), np.array([0, 1, 2, 0])
    other = replace(graphs, messages=wide)
    assert wide.wide
    assert not narrow.wide
    one, two = (gradients(model, take(model, form), y) for form in (graphs, other))
    assert one[0] == pytest.approx(two[0], abs=1e-6)
    for value, right in zip(one[2], two[2], strict=True):
        torch.testing.assert_close(value, right, rtol=1e-5, atol=1e-6)


# -------------------------------------------------------------------- training


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", LAYOUTS)
def test_gradients_are_those_of_torch(name: str, batch_norm: bool, level: str) -> None:
    graphs = make_graphs(LAYOUTS[name], seed=3)
    y = np.arange(len(graphs)) % 3
    if batch_norm and len(graphs) < 2:
        pytest.skip("BatchNorm of one pixel's mean has nothing to average over")
    model = make_model("native", batch_norm=batch_norm)
    loss, logits, found = gradients(model, take(model, graphs), y)
    exact_loss, exact_logits, exact = in_float64(
        make_model("torch", batch_norm=batch_norm), graphs, y
    )
    assert loss == pytest.approx(exact_loss, abs=1e-6)
    torch.testing.assert_close(logits.double(), exact_logits, rtol=0, atol=1e-5)
    for value, right in zip(found, exact, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-5)


def test_batch_norm_keeps_the_statistics_that_torch_keeps(level: str) -> None:
    graphs, y = make_graphs([12, 20, 9]), np.array([0, 1, 2])
    ours, plain = (make_model(backend, batch_norm=True) for backend in ("native", "torch"))
    for model in (ours, plain):
        for _ in range(3):
            gradients(model, take(model, graphs), y)
    kept = plain.state_dict()
    assert kept["norms.0.num_batches_tracked"] == 3
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, kept[name], rtol=1e-5, atol=1e-6)


def test_batch_norm_needs_two_peaks() -> None:
    model, graphs = make_model("native", batch_norm=True), make_graphs([1])
    with pytest.raises(ValueError, match="more than 1 value per channel when training, got 1 peak"):
        model.train()(take(model, graphs))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_losses_weigh_as_they_are_scaled(batch_norm: bool) -> None:
    """A caller may add losses up or scale them."""
    model, graphs, y = (
        make_model("native", batch_norm=batch_norm),
        make_graphs([12, 20, 9]),
        np.array([0, 1, 2]),
    )
    _, _, once = gradients(model, take(model, graphs), y)
    model.zero_grad()
    (3 * model.loss(take(model, graphs), y)[0]).backward()
    for value, right in zip((p.grad for p in model.parameters()), once, strict=True):
        assert value is not None
        torch.testing.assert_close(value.double(), 3 * right, rtol=1e-5, atol=1e-6)


def test_pixel_by_pixel_is_as_in_stages(level: str) -> None:
    """The fused step, and the same network layer by layer with torch's loss."""
    graphs, y = make_graphs([12, 0, 1, 33, 20]), np.array([0, 1, 2, 2, 0])
    model = make_model("native", (8, 16), batch_norm=False)
    batch = take(model, graphs)
    loss, logits, fused = gradients(model, batch, y)
    model.zero_grad()
    staged = model(batch)
    cross_entropy(staged, torch.from_numpy(y)).backward()
    torch.testing.assert_close(logits, staged.detach(), rtol=0, atol=1e-6)
    assert loss == pytest.approx(cross_entropy(staged, torch.from_numpy(y)).item(), abs=1e-6)
    for value, right in zip((p.grad for p in model.parameters()), fused, strict=True):
        assert value is not None
        torch.testing.assert_close(value.double(), right, rtol=1e-5, atol=1e-6)


def test_two_batches_may_be_under_way_at_once() -> None:
    model = make_model("native", batch_norm=True).train()
    first, second = (take(model, make_graphs([12, 20], seed)) for seed in (1, 2))
    expected = []
    for batch in (first, second):
        model.zero_grad()
        model(batch).sum().backward()
        expected.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    outputs = [model(batch).sum() for batch in (first, second)]
    for output in outputs:
        output.backward()
    for value, one, other in zip(model.parameters(), *expected, strict=True):
        torch.testing.assert_close(value.grad, one + other, rtol=1e-4, atol=1e-5)


def test_the_way_back_is_taken_once() -> None:
    model = make_model("native", batch_norm=True).train()
    total = model(take(model, make_graphs([12, 20]))).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken already"):
        total.backward()


def test_what_is_not_a_number_stays_so(level: str) -> None:
    model, graphs = make_model("native", batch_norm=False), make_graphs([12, 20])
    with torch.no_grad():
        next(model.layers.parameters())[:] = float("nan")
    with torch.inference_mode():
        assert torch.isnan(model.eval()(take(model, graphs))).all()
    assert np.isnan(gradients(model, take(model, graphs), np.array([0, 1]))[0])


# -------------------------------------------------------------------- threads and repetition


def on_threads(n: int, run: Any) -> Any:
    """As in training: torch itself, whose sums depend on it, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with one_thread():
            return run()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_number_of_threads_changes_no_bit(batch_norm: bool, level: str) -> None:
    counts = np.random.default_rng(0).integers(0, 40, 70).tolist()
    graphs, y = make_graphs(counts), np.arange(70) % 3
    results = []
    for threads in (1, 2, 7, 1):
        model = make_model("native", batch_norm=batch_norm)
        _, logits, found = on_threads(threads, lambda m=model: gradients(m, take(m, graphs), y))
        with torch.inference_mode():
            predicted = on_threads(threads, lambda m=model: m.eval()(take(m, graphs)))
        results.append([logits, predicted, *found])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.equal(one, two)


def test_levels_agree() -> None:
    graphs, y = make_graphs([12, 0, 1, 33, 20]), np.array([0, 1, 2, 2, 0])
    outcomes = []
    for name in levels():
        with simd_level(name):
            model = make_model("native", (8, 16), batch_norm=True)
            outcomes.append(gradients(model, take(model, graphs), y))
    for _, logits, found in outcomes[1:]:
        torch.testing.assert_close(logits, outcomes[0][1], rtol=0, atol=2e-6)
        for one, other in zip(found, outcomes[0][2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------- the classifier


@pytest.mark.parametrize("model", [{"effort": "thorough"}, {"preset": "published"}])
def test_both_presets_learn_as_on_torch(model: dict[str, Any]) -> None:
    spectra, labels = mg.simulate("tiny")
    options = {**model, "epochs": 2, "augment": 0, "device": "cpu"}
    ours = mg.RGCNClassifier(**options, backend="native").fit(spectra, labels)
    plain = mg.RGCNClassifier(**options, backend="torch").fit(spectra, labels)
    graphs = ours.encoder_.encode(spectra, molecules="preset" not in model)
    batch = ours.model_.take(graphs, np.arange(2), CPU)
    assert isinstance(batch if "preset" in model else batch.graphs, GraphBatch)
    one, other = ours.history_.iloc[0], plain.history_.iloc[0]
    assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-3)
    plain.model_.load_state_dict(ours.model_.state_dict())
    np.testing.assert_allclose(ours.logits(spectra), plain.logits(spectra), atol=1e-5)
    np.testing.assert_allclose(ours.embed(spectra), plain.embed(spectra), atol=1e-5)


@pytest.mark.parametrize("kind", ["relational", "peak"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_nets_of_branches_are_those_of_torch(kind: str, batch_norm: bool) -> None:
    spectra, labels = mg.simulate("tiny")
    fitted = mg.RGCNClassifier(branches=("axis",), device="cpu").fit(spectra, labels)
    graphs, n_ions = fitted.encoder_.encode(spectra[:40]), len(fitted.encoder_.axis)
    n_features = graphs.features.shape[1] - ADDRESS_WIDTH
    shape = {"hidden": (8, 16), "batch_norm": batch_norm}

    def net(backend: str) -> RelationalNet:
        torch.manual_seed(1)
        if kind == "peak":
            return PeakNet(n_features, n_ions, 3, **shape, backend=backend)
        kinds = graphs.messages.n_kinds
        return RelationalNet(n_features, n_ions, kinds, 3, **shape, backend=backend)

    # A pixel may be drawn twice, and graphs may come in any order.
    rows, y = np.array([5, 2, 2, 39, 17]), np.array([0, 1, 1, 2, 0])
    ours, exact = net("native"), net("torch").double()
    batch, plain = ours.take(graphs, rows, CPU), exact.take(graphs, rows, CPU)
    assert batch.graphs is not None
    assert plain.graphs is None
    plain = replace(plain, features=plain.features.double(), counts=plain.counts.double())
    for one, its in ((ours, batch), (exact, plain)):
        one.loss(its, y)[0].backward()
    for (name, value), right in zip(ours.named_parameters(), exact.parameters(), strict=True):
        if not value.numel():  # no type of message
            continue
        torch.testing.assert_close(value.grad.double(), right.grad, rtol=1e-3, atol=1e-5, msg=name)
    with torch.inference_mode():
        ours.eval(), exact.eval()
        for what in ("__call__", "cam", "embedding", "nodes"):
            found, right = getattr(ours, what)(batch), getattr(exact, what)(plain)
            torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=1e-5, msg=what)


def test_graphs_of_another_network_are_refused() -> None:
    model = make_model("native", batch_norm=False)
    with pytest.raises(ValueError, match="graphs of 2 features and 4 message types for a network"):
        take(model, make_graphs([3], n_features=2))


def test_other_numbers_and_devices_take_torch_batches() -> None:
    graphs = make_graphs([3, 4])
    model = make_model("native", batch_norm=False).double()
    assert not isinstance(take(model, graphs), GraphBatch)
    meta = make_model("native", batch_norm=False)
    batch = meta.take(graphs, np.arange(2), torch.device("meta"))
    assert not isinstance(batch, GraphBatch)


def test_a_copied_model_has_weights_of_its_own() -> None:
    model, graphs = make_model("native", batch_norm=True), make_graphs([12, 20])
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    with torch.inference_mode():
        assert model.eval()(take(model, graphs)).any()
        assert not twin.eval()(take(twin, graphs)).any()


@pytest.mark.parametrize(("width", "expected"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (33, 48)])
def test_rows_are_padded_to_whole_vectors(width: int, expected: int) -> None:
    assert padded(width) == expected


def test_no_memory_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: 0

    monkeypatch.setattr(network, "library", Full)
    model = make_model("native", batch_norm=False).eval()
    failed = pytest.raises(MemoryError, match="infer of these pixels does not fit into memory")
    with torch.inference_mode(), failed:
        model(take(model, make_graphs([3])))
    monkeypatch.setattr(network, "library", lambda: None)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="is not there any more"):
        model(take(model, make_graphs([3])))
