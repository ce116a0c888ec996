"""Parity with the published method: the numbers that its code gives (methods.md 1.10, a to f)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from massgraph.chem.relations import published_relations, relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.encode.features import PUBLISHED_FEATURES, node_features
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.builder import Graph, build_graph
from massgraph.graph.messages import Messages
from massgraph.learn.settings import resolve_settings
from massgraph.nn.rgcn import RGCN

MZ = [300.1000, 301.1029, 301.1035, 314.1160, 322.0815, 336.1312, 500.0000, 501.0033]
INTENSITY = [100, 80, 5, 60, 40, 20, 10, 9]
RELATIONS = relations_from_masses({"13C": 1.0033, "CH2": 14.01565, "Na-H": 21.98194})
RANGE = (200.0, 1400.0)


def spectrum() -> Spectra:
    return Spectra.from_peaks([(MZ, INTENSITY)])


def graph(rule: str = "reference") -> Graph:
    return build_graph(
        spectrum(), RELATIONS, tolerance=0.001, tolerance_unit="Da", rule=rule, directed=False
    )


def edges(rule: str) -> list[tuple[int, ...]]:
    found = graph(rule)
    columns = (found.source, found.target, found.relation)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def batch() -> PeakBatch:
    features = node_features(spectrum(), PUBLISHED_FEATURES, RANGE)
    graphs = PeakGraphs(features, spectrum().offsets, graph().messages())
    return graphs.batch(np.array([0]))


def network() -> RGCN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RGCN(3, len(RELATIONS), 2, hidden=(8, 16), batch_norm=False).eval()


# -------------------------------------------------------------------- a: edges


def test_a_edges_of_the_reference_rule() -> None:
    assert edges("reference") == [(0, 2, 0), (0, 3, 1), (0, 4, 2), (6, 7, 0)]


def test_a_by_intensity_the_first_edge_is_another() -> None:
    assert edges("intensity") == [(0, 1, 0), (0, 3, 1), (0, 4, 2), (6, 7, 0)]


def test_a_each_edge_is_walked_both_ways_as_the_same_type() -> None:
    messages = graph().messages()
    assert messages.n_kinds == 3
    walked = zip(
        *(c.tolist() for c in (messages.sender, messages.receiver, messages.kind)), strict=True
    )
    assert sorted(walked) == sorted(
        [(s, t, r) for s, t, r in edges("reference")]
        + [(t, s, r) for s, t, r in edges("reference")]
    )


# -------------------------------------------------------------------- b: features


def test_b_features() -> None:
    features = node_features(spectrum(), PUBLISHED_FEATURES, RANGE)
    expected = [1.2237, 1.0245, -1.4507, 0.7677, 0.4057, -0.2131, -0.8319, -0.9259]
    np.testing.assert_allclose(features[:, 0], expected, atol=5e-5)
    np.testing.assert_allclose(features[0, 1:], [-0.4998, -0.8000], atol=5e-5)
    np.testing.assert_allclose(features[6:, 2], [1.0, -0.9934], atol=5e-5)


def test_b_scaled_mz_is_off_centre_as_published() -> None:
    ends = Spectra.from_peaks([([200.0, 1400.0], [1, 1])])
    features = node_features(ends, ["published_mz"], RANGE)
    np.testing.assert_allclose(features[:, 0], [-2 / 3, 4 / 3], atol=1e-6)
    features = node_features(ends, ["published_mz"], (200.0, 2200.0))
    np.testing.assert_allclose(features[0, 0], -0.8, atol=1e-6)


# -------------------------------------------------------------------- c: activations


def test_c_mean_activation_and_bias_are_the_logits() -> None:
    model = network()
    with torch.no_grad():
        logits = model(batch())
        total = model.cam(batch()).mean(dim=0) + model.intercept()
    assert (logits[0] - total).abs().max().item() <= 1e-6


# -------------------------------------------------------------------- d: the dense formula


def test_d_forward_is_the_dense_formula() -> None:
    model, peaks = network(), batch()
    adjacency = np.zeros((len(RELATIONS), len(MZ), len(MZ)))
    for source, target, relation in edges("reference"):
        adjacency[relation, source, target] = adjacency[relation, target, source] = 1
    adjacency /= np.maximum(adjacency.sum(axis=2, keepdims=True), 1)
    x = peaks.features.numpy().astype(np.float64)
    for layer in model.layers:
        weight, root, bias = (
            getattr(layer, name).detach().numpy() for name in ("weight", "root", "bias")
        )
        x = x @ root + bias + np.einsum("rij,jf,rfg->ig", adjacency, x, weight)
        x = np.maximum(x, 0)
    head = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    expected = x.mean(axis=0) @ head[0].T + head[1]
    with torch.no_grad():
        np.testing.assert_allclose(model(peaks)[0].numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(model.cam(peaks).numpy(), x @ head[0].T, atol=1e-5)


# -------------------------------------------------------------------- e: parameters


def test_e_the_published_network_has_2186_parameters() -> None:
    settings = resolve_settings("published", None, {})
    assert len(settings.relations) == len(published_relations()) == 13
    model = RGCN(
        len(settings.features),
        13,  # directed=False: one type to a relation
        2,
        hidden=settings.hidden,
        batch_norm=settings.batch_norm,
    )
    assert not settings.directed
    assert sum(parameter.numel() for parameter in model.parameters()) == 2186


# -------------------------------------------------------------------- f: permutation


@pytest.mark.parametrize("seed", range(3))
def test_f_order_of_peaks_moves_activations_and_leaves_logits(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(MZ))  # new place -> old place
    place = np.argsort(order)
    messages = graph().messages()
    table = np.column_stack([messages.kind, place[messages.receiver], place[messages.sender]])
    table = table[np.lexsort(table.T[::-1])]
    moved = PeakGraphs(
        node_features(spectrum(), PUBLISHED_FEATURES, RANGE)[order],
        spectrum().offsets,
        Messages(
            offsets=messages.offsets,
            sender=table[:, 2].astype(np.int32),
            receiver=table[:, 1].astype(np.int32),
            kind=table[:, 0].astype(np.uint16),
            n_kinds=messages.n_kinds,
        ),
    ).batch(np.array([0]))
    model = network()
    with torch.no_grad():
        torch.testing.assert_close(model(moved), model(batch()), rtol=0, atol=1e-6)
        torch.testing.assert_close(model.cam(moved), model.cam(batch())[order], rtol=0, atol=1e-6)


# -------------------------------------------------------------------- the rest of section 1


def test_published_preset_is_the_published_method() -> None:
    settings = resolve_settings("published", "positive", {})
    assert (settings.tolerance, settings.tolerance_unit) == (0.001, "Da")
    assert (settings.rule, settings.directed) == ("reference", False)
    assert (settings.mz_range, settings.max_peaks) == ((200.0, 1400.0), 2000)
    assert (settings.hidden, settings.batch_norm) == ((8, 16), False)
    assert (settings.learning_rate, settings.adam_eps) == (1e-3, 1e-7)
    assert (settings.weight_decay, settings.batch_size, settings.epochs) == (0.0, 64, 40)
    assert settings.features == PUBLISHED_FEATURES
    assert not settings.standardize
    assert settings.augment == 0
    assert settings.patience is None


def test_two_isotope_relations_can_lie_on_one_pair_at_3_mda() -> None:
    table = published_relations().select(["13C2", "18O"])
    pair = Spectra.from_peaks([([300.0, 302.0055], [2, 1])])
    for tolerance, count in ((0.003, 2), (0.001, 0)):
        found = build_graph(pair, table, tolerance=tolerance, tolerance_unit="Da")
        assert found.n_edges == count
