"""The table of branches: a new one changes nothing for others, and is undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

import massgraph as mg
from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.learn.branches import (
    Branch,
    branch,
    branch_names,
    branch_titles,
    default_branches,
    forget_branch,
    register_branch,
)
from massgraph.learn.targets import Targets
from massgraph.learn.versions import Versions
from massgraph.nn.nets import PeakNet

DEFAULTS = ("axis", "family", "relational", "molecular", "peak")
RELATED = ["family", "relational", "molecular"]
NETS = ["relational", "molecular", "peak"]


class Presence(torch.nn.Module):
    """How much more common an ion is in a class than in all of them, summed over the ions."""

    reads = 0

    def __init__(self, n_ions: int, n_outputs: int) -> None:
        super().__init__()
        self.register_buffer("score", torch.zeros(n_ions, n_outputs, dtype=torch.float64))

    score: torch.Tensor

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        return graphs.batch(pixels, edges="none").to(device)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        return self.score[addresses(batch).ion] * batch.counts[batch.pixel]

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        cam = self.cam(batch)
        total = cam.new_zeros(batch.n_pixels, cam.shape[1]).index_add(0, batch.pixel, cam)
        return total / batch.counts.clamp(min=1)

    def intercept(self) -> torch.Tensor:
        return self.score.new_zeros(self.score.shape[1])

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        return self.embedding(batch) + self.intercept()


def count_ions(
    part: Presence,
    versions: Versions,
    targets: Targets,
    chosen: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    batch = versions.graphs.batch(chosen, edges="none")
    ion, code = addresses(batch).ion.numpy(), targets.codes[chosen][batch.pixel.numpy()]
    found = np.ones(part.score.shape)
    np.add.at(found, (ion, code), 1.0)
    share = found / np.bincount(targets.codes[chosen], minlength=found.shape[1])
    part.score.copy_(torch.from_numpy(np.log(share / share.mean(axis=1, keepdims=True))))


MINE = Branch(
    "mine",
    "presence",
    lambda shape: Presence(shape.n_ions or 1, shape.n_outputs),
    usual_weight=0.5,
    reads_relations=False,
    fit=count_ions,
)


@pytest.fixture
def mine() -> Iterator[Branch]:
    register_branch(MINE)
    yield MINE
    if "mine" in branch_names():
        forget_branch("mine")


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


def quick(**parameters: Any) -> mg.RGCNClassifier:
    """All branches, unless some are named."""
    quickly = {"epochs": 2, "augment": 1, "folds": 2, "hidden": (4,), "device": "cpu"}
    return mg.RGCNClassifier(**{"branches": default_branches(), **quickly, **parameters})


def assert_same_weights(one: mg.RGCNClassifier, other: mg.RGCNClassifier) -> None:
    states = one.model_.state_dict(), other.model_.state_dict()
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


# -------------------------------------------------------------------- the table


def test_the_branches_that_come_with_massgraph() -> None:
    assert branch_names() == default_branches() == DEFAULTS
    assert branch_titles() == {
        "axis": "axis",
        "family": "molecules",
        "relational": "relations of ions",
        "molecular": "relations of molecules",
        "peak": "peaks",
    }
    assert [name for name in DEFAULTS if branch(name).reads_relations] == RELATED
    assert [name for name in DEFAULTS if branch(name).fit is None] == NETS


def test_a_new_branch_is_known_and_no_default(mine: Branch) -> None:
    assert branch_names() == (*DEFAULTS, "mine")
    assert default_branches() == DEFAULTS
    assert branch("mine") is mine
    assert branch_titles()["mine"] == "presence"


def test_forgetting_undoes_it(mine: Branch, tissue: Any) -> None:
    forget_branch("mine")
    assert branch_names() == DEFAULTS
    with pytest.raises(mg.InputError, match="branch 'mine' is none of"):
        branch("mine")
    with pytest.raises(mg.InputError, match="must be one or more of"):
        quick(branches=("axis", "mine")).fit(*tissue)
    with pytest.raises(mg.InputError, match="branch 'mine' is none of"):
        forget_branch("mine")


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_name_that_is_taken(name: str) -> None:
    new = Branch(name, "new", MINE.make, 1.0, reads_relations=False, fit=count_ions)
    with pytest.raises(mg.InputError, match=f"there is a branch '{name}' already: choose another"):
        register_branch(new)
    assert branch(name) is not new
    with pytest.raises(mg.InputError, match=f"branch '{name}' is a default and stays"):
        forget_branch(name)


def test_the_same_branch_twice(mine: Branch) -> None:
    with pytest.raises(mg.InputError, match="there is a branch 'mine' already"):
        register_branch(mine)


def test_no_new_branch_is_a_default() -> None:
    """Saved models and published figures refer to the defaults."""
    new = Branch("new", "new", MINE.make, 1.0, reads_relations=False, is_default=True)
    with pytest.raises(mg.InputError, match="branch 'new' cannot be a default: name it in branch"):
        register_branch(new)
    assert branch_names() == DEFAULTS


# -------------------------------------------------------------------- models


def test_it_changes_nothing_for_other_models(tissue: Any) -> None:
    before = quick().fit(*tissue)
    register_branch(MINE)
    try:
        after = quick().fit(*tissue)
    finally:
        forget_branch("mine")
    assert after.settings_.branches == DEFAULTS
    assert_same_weights(before, after)
    pd.testing.assert_frame_equal(before.contributions_, after.contributions_)


def test_a_model_may_have_it(mine: Branch, tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    known = ~pd.isna(labels)
    classifier = quick(branches=("axis", "mine"), augment=0).fit(spectra, labels)
    assert classifier.contributions_["branch"].tolist() == ["axis", "mine", "all"]
    alone = classifier.only("mine")
    assert np.mean(alone.predict(spectra)[known] == labels[known]) > 0.45  # chance is 1/3
    parts = classifier.branch_logits(spectra)
    np.testing.assert_allclose(alone.logits(spectra), parts[:, 1], atol=1e-9)
    np.testing.assert_allclose(parts.sum(axis=1), classifier.logits(spectra), atol=1e-9)
    explanation = classifier.explain(spectra)
    np.testing.assert_allclose(explanation.logits(), classifier.logits(spectra), atol=1e-8)
    classifier.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    np.testing.assert_array_equal(again.logits(spectra), classifier.logits(spectra))


def test_a_model_of_a_forgotten_branch_is_refused_in_a_line(
    mine: Branch, tissue: Any, tmp_path: Path
) -> None:
    quick(branches=("mine",), augment=0).fit(*tissue).save(tmp_path / "model")
    forget_branch("mine")
    with pytest.raises(mg.InputError, match="mine") as caught:
        mg.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_new_branch_of_nets_is_trained(tissue: Any) -> None:
    """Without a fit in closed form the loop trains one net per fold."""

    def make(shape: Any) -> PeakNet:
        n_features = branch("peak").make(shape).layers[0].weight.shape[1] - 5
        return PeakNet(n_features, shape.n_ions, shape.n_outputs, hidden=(3,), backend="torch")

    spectra, labels = tissue
    register_branch(Branch("narrow", "peaks", make, 1.0, reads_relations=False))
    try:
        classifier = quick(branches=("narrow", "axis")).fit(spectra, labels)
        assert [net.head.in_features for net in classifier.model_.parts("narrow")] == [3, 3]
        assert len(classifier.history_) == 2
        parts = classifier.branch_logits(spectra)
        np.testing.assert_allclose(parts.sum(axis=1), classifier.logits(spectra), atol=1e-9)
    finally:
        forget_branch("narrow")
