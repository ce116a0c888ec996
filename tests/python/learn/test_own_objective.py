"""The training loop takes any objective: one without labels trains, stops, and is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.branches import PartShape
from massgraph.learn.checkpoints import Checkpoint, CheckpointError
from massgraph.learn.inference import model_output
from massgraph.learn.objectives import Evaluate, Objective
from massgraph.learn.parts import new_part
from massgraph.learn.settings import Settings, resolve_settings
from massgraph.learn.training import train

CPU = torch.device("cpu")
N_OUTPUTS = 3
SAME = {"data": "the same"}


class Reconstruct(Objective):
    """Tell the mean features of a pixel from its graph: nobody labelled anything."""

    train_columns = ("train_error",)
    valid_columns = ("valid_error", "valid_bias")

    def __init__(self, graphs: PeakGraphs, held_out: NDArray[np.int64]) -> None:
        self.graphs, self.held_out = graphs, held_out
        self.training = np.setdiff1d(np.arange(len(graphs)), held_out)
        peaks = np.add.reduceat(graphs.features, graphs.offsets[:-1], axis=0)
        means = peaks / np.diff(graphs.offsets)[:, None]
        self.wanted = torch.from_numpy((means / means.std(axis=0))[:, :N_OUTPUTS])

    @property
    def epoch_size(self) -> int:
        return 3 * len(self.training)

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return rng.choice(self.training, n)

    def loss(self, net: Any, drawn: NDArray[np.int64], device: torch.device) -> Any:
        outputs = net(net.take(self.graphs, drawn, device))
        return (outputs - self.wanted[drawn]).pow(2).mean(), outputs

    def train_scores(self, drawn: NDArray[np.int64], outputs: NDArray[Any]) -> dict[str, float]:
        return {"train_error": float(np.abs(outputs - self.wanted[drawn].numpy()).mean())}

    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        error = evaluate(self.graphs, self.held_out) - self.wanted[self.held_out].numpy()
        return {
            "valid_loss": float((error**2).mean()),
            "valid_error": float(np.abs(error).mean()),
            "valid_bias": float(error.mean()),
        }


@pytest.fixture(scope="module")
def graphs() -> PeakGraphs:
    spectra, _ = mg.simulate("tiny")
    some = spectra[::3]
    return PeakEncoder.learn(some, resolve_settings("default", "positive", {})).encode(some)


@pytest.fixture(scope="module")
def held_out(graphs: PeakGraphs) -> NDArray[np.int64]:
    return np.arange(0, len(graphs), 4)


def settings_of(**given: Any) -> Settings:
    return resolve_settings("default", "positive", {"hidden": (8, 8), "epochs": 8, **given})


def fit(
    objective: Objective, settings: Settings, checkpoint: Checkpoint | None = None
) -> tuple[Any, Any]:
    net = new_part("relational", PartShape.of(settings, N_OUTPUTS, None, "auto"), seed=0)
    rng = np.random.default_rng(0)
    history = train(net, objective, settings, device=CPU, rng=rng, checkpoint=checkpoint)
    return net, history


def outputs_of(net: Any, graphs: PeakGraphs, rows: NDArray[np.int64]) -> NDArray[Any]:
    return model_output(net, graphs, rows, CPU, net.forward)


def assert_same_weights(one: Any, other: Any) -> None:
    states = one.state_dict(), other.state_dict()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


# -------------------------------------------------------------------- trains, stops, chooses


def test_it_learns_and_its_best_weights_are_kept(graphs: PeakGraphs, held_out: Any) -> None:
    objective = Reconstruct(graphs, held_out)
    net, history = fit(objective, settings_of(learning_rate=0.05))
    assert history["valid_loss"].min() < 0.3 * history["valid_loss"].iloc[0]
    assert history["train_error"].iloc[-1] < history["train_error"].iloc[0]
    again = objective.validate(
        lambda graphs, rows: outputs_of(net, graphs, rows), np.random.default_rng(0)
    )
    best = history.loc[history["best"]].iloc[0]
    assert again["valid_loss"] == pytest.approx(history["valid_loss"].min(), rel=1e-6)
    assert again["valid_bias"] == pytest.approx(best["valid_bias"], abs=1e-6)
    assert not net.training


def test_the_learning_curve_has_its_columns(graphs: PeakGraphs, held_out: Any) -> None:
    _, history = fit(Reconstruct(graphs, held_out), settings_of(epochs=2))
    assert list(history.columns) == [
        *("epoch", "learning_rate", "train_loss", "train_error"),
        *("valid_loss", "valid_error", "valid_bias", "best"),
    ]


def test_its_own_score_stops_it_and_chooses_the_weights(graphs: PeakGraphs, held_out: Any) -> None:
    """A score that is lowest in the second epoch, whatever the loss says."""

    class Scripted(Reconstruct):
        seen: list[NDArray[Any]]

        def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
            self.seen.append(evaluate(self.graphs, self.held_out))
            found = super().validate(evaluate, rng)
            return {**found, "valid_loss": abs(len(self.seen) - 2.0)}

    objective = Scripted(graphs, held_out)
    objective.seen = []
    net, history = fit(objective, settings_of(epochs=40, patience=3))
    assert history["valid_loss"].tolist() == [1, 0, 1, 2, 3]
    assert history["best"].tolist() == [False, True, False, False, False]
    kept = outputs_of(net, graphs, held_out)
    np.testing.assert_array_equal(kept, objective.seen[1])
    assert not np.allclose(kept, objective.seen[-1])


# -------------------------------------------------------------------- is resumed


class Interrupted(Reconstruct):
    """Ctrl-C in the third batch of an epoch."""

    def __init__(self, graphs: PeakGraphs, held_out: NDArray[np.int64], epoch: int) -> None:
        super().__init__(graphs, held_out)
        self.epoch, self.epochs, self.batches = epoch, 0, 0

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        self.epochs, self.batches = self.epochs + 1, 0
        return super().draw(n, rng)

    def loss(self, net: Any, drawn: NDArray[np.int64], device: torch.device) -> Any:
        self.batches += 1
        if (self.epochs, self.batches) == (self.epoch, 3):
            raise KeyboardInterrupt
        return super().loss(net, drawn, device)


def test_it_is_resumed_to_the_same_bits(graphs: PeakGraphs, held_out: Any, tmp_path: Path) -> None:
    settings = settings_of(batch_size=16)
    whole, history = fit(Reconstruct(graphs, held_out), settings)
    checkpoint = Checkpoint(tmp_path / "net-1.safetensors", SAME)
    for epoch in (4, 2):  # counted from where it went on
        with pytest.raises(KeyboardInterrupt):
            fit(Interrupted(graphs, held_out, epoch), settings, checkpoint)
    rest = Interrupted(graphs, held_out, epoch=0)
    resumed, other = fit(rest, settings, checkpoint)
    assert rest.epochs == 8 - 4
    assert_same_weights(resumed, whole)
    assert other.equals(history)


def test_a_checkpoint_of_another_objective_is_refused(
    graphs: PeakGraphs, held_out: Any, tmp_path: Path
) -> None:
    class Silent(Reconstruct):
        train_columns = ()

        def train_scores(self, drawn: Any, outputs: Any) -> dict[str, float]:
            return {}

    checkpoint = Checkpoint(tmp_path / "net-1.safetensors", SAME)
    fit(Silent(graphs, held_out), settings_of(epochs=2), checkpoint)
    with pytest.raises(CheckpointError, match="epoch 1 has other columns than the learning curve"):
        fit(Reconstruct(graphs, held_out), settings_of(epochs=2), checkpoint)


def test_scores_of_any_kind_of_number_can_be_resumed(
    graphs: PeakGraphs, held_out: Any, tmp_path: Path
) -> None:
    """A checkpoint is JSON, which holds neither numbers of numpy nor 1 in place of 1.0."""

    class Careless(Reconstruct):
        def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, Any]:
            found = super().validate(evaluate, rng)
            return {**found, "valid_loss": np.float32(found["valid_loss"]), "valid_error": 1}

    checkpoint = Checkpoint(tmp_path / "net-1.safetensors", SAME)
    _, history = fit(Careless(graphs, held_out), settings_of(epochs=2), checkpoint)
    _, again = fit(Careless(graphs, held_out), settings_of(epochs=2), checkpoint)
    assert again.equals(history)


def test_scores_must_be_those_that_are_named(graphs: PeakGraphs, held_out: Any) -> None:
    """Else a learning curve that is resumed would have other columns than it began with."""

    class Misnamed(Reconstruct):
        valid_columns = ("valid_error",)

    wanted = r"measured \['valid_bias', 'valid_error', 'valid_loss'\], but says that it measures"
    with pytest.raises(ValueError, match=wanted):
        fit(Misnamed(graphs, held_out), settings_of(epochs=2))
