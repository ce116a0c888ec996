"""The network whose nodes are molecules: activations go back to the ions, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import massgraph as mg
from massgraph.data import degrade
from massgraph.graph.addresses import ADDRESS_WIDTH
from massgraph.graph.batch import PeakGraphs
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.discriminants import AxisBranch
from massgraph.nn.nets import MolecularNet, PeakNet, RelationalNet

CPU = torch.device("cpu")
QUICK = {"epochs": 2, "augment": 1, "folds": 2, "hidden": (4,), "device": "cpu"}
ROWS = np.array([5, 2, 2, 39, 17])


@pytest.fixture(scope="module")
def graphs() -> PeakGraphs:
    spectra, labels = mg.simulate("tiny")
    fitted = mg.RGCNClassifier(branches=("axis",), device="cpu").fit(spectra, labels)
    return fitted.encoder_.encode(spectra[:40], molecules=True)


def net(graphs: PeakGraphs, kind: type[RelationalNet] = MolecularNet, backend: str = "torch"):
    torch.manual_seed(1)
    n_features = graphs.features.shape[1] - ADDRESS_WIDTH
    n_ions = int(graphs.features[:, -2].max()) + 1
    shape = {"hidden": (8, 16), "backend": backend}
    if kind is PeakNet:
        return PeakNet(n_features, n_ions, 3, **shape).eval()
    return kind(n_features, n_ions, graphs.compact.n_kinds, 3, **shape).eval()


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_activations_of_ions_add_up_to_the_logits(graphs: PeakGraphs, backend: str) -> None:
    model = net(graphs, backend=backend)
    batch = model.take(graphs, ROWS, CPU)
    with torch.inference_mode():
        logits, cam = model(batch), model.cam(batch)
    total = torch.zeros(len(ROWS), 3, dtype=torch.float64).index_add(0, batch.pixel, cam)
    assert len(cam) == len(batch.features) > len(batch.merged.batch.features)
    torch.testing.assert_close(total / batch.counts + model.intercept(), logits, rtol=0, atol=1e-12)


def test_logits_are_those_of_the_graphs_of_molecules(graphs: PeakGraphs) -> None:
    model = net(graphs)
    alone = net(graphs, RelationalNet)
    alone.load_state_dict(model.state_dict())
    molecules = graphs.merged.graphs
    with torch.inference_mode():
        found = model(model.take(graphs, ROWS, CPU))
        wanted = alone(alone.take(molecules, ROWS, CPU))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_the_library_gives_what_torch_gives(graphs: PeakGraphs) -> None:
    ours, exact = net(graphs, backend="native"), net(graphs)
    y = np.array([0, 1, 1, 2, 0])
    for model in (ours, exact):
        model.train()
        model.loss(model.take(graphs, ROWS, CPU), y)[0].backward()
    for (name, value), right in zip(ours.named_parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(value.grad, right.grad, rtol=1e-3, atol=1e-5, msg=name)
    with torch.inference_mode():
        ours.eval(), exact.eval()
        for what in ("__call__", "cam", "embedding", "nodes"):
            found = [getattr(each, what)(each.take(graphs, ROWS, CPU)) for each in (ours, exact)]
            torch.testing.assert_close(*(one.double() for one in found), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [PeakNet, RelationalNet])
def test_branches_of_ions_and_of_molecules_share_a_batch(
    graphs: PeakGraphs, kind: type[RelationalNet]
) -> None:
    parts = {"molecules": [net(graphs)], "ions": [net(graphs, kind)], "axis": [AxisBranch(999, 3)]}
    model = BranchModel(parts, n_ions=999, n_classes=3).eval()
    assert model.reads_molecules
    assert model.reads_edges == (kind is RelationalNet)
    assert not model.only(["ions"]).reads_molecules
    with torch.inference_mode():
        both = model.branch_logits(model.take(graphs, ROWS, CPU))
        for number, name in enumerate(model.names):
            alone = model.only([name])
            found = alone(alone.take(graphs, ROWS, CPU))
            torch.testing.assert_close(both[:, number], found, rtol=0, atol=1e-12)


def test_pixels_without_known_ions_have_no_activations() -> None:
    spectra, labels = mg.simulate("tiny")
    fitted = mg.RGCNClassifier(branches=("molecular",), **QUICK).fit(spectra, labels)
    far = mg.Spectra.from_peaks([([5000.0], [1.0]), ([5001.0], [1.0])], polarity="positive")
    assert np.isnan(fitted.logits(far)).all()
    graphs = fitted.encoder_.encode(far, edges=False, molecules=True)
    part = fitted.model_.parts("molecular")[0]
    with torch.inference_mode():
        assert part.cam(part.take(graphs, np.arange(2), CPU)).shape == (0, 3)


def test_graphs_without_molecules_are_refused(graphs: PeakGraphs) -> None:
    model = net(graphs)
    without = replace(graphs, merged=None)
    with pytest.raises(ValueError, match="encoded with molecules=True"):
        model.take(without, ROWS, CPU)
    with pytest.raises(TypeError, match="use what `take` gives"):
        model(without.batch(ROWS))


def test_explanations_of_degraded_pixels_add_up() -> None:
    spectra, labels = mg.simulate("tiny")
    fitted = mg.RGCNClassifier(branches=("family", "molecular"), **QUICK).fit(spectra, labels)
    for worse in (
        spectra,
        degrade.remove_peaks(spectra, 0.3, np.random.default_rng(0)),
        degrade.keep_most_intense(spectra, 0.1),
    ):
        explained, logits = fitted.explain(worse).logits(), fitted.logits(worse)
        known = np.isfinite(logits).all(axis=1)
        assert known.mean() > 0.9
        np.testing.assert_allclose(explained[known], logits[known], rtol=0, atol=1e-9)
