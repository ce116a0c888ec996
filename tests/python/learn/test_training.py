"""Training: when it stops, which weights are kept, and that it knows no classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.learn.branches import PartShape
from massgraph.learn.inference import torch_device
from massgraph.learn.objectives import CrossEntropy, Evaluate, Objective, Samples
from massgraph.learn.parts import new_part
from massgraph.learn.settings import Settings, resolve_settings
from massgraph.learn.targets import Targets
from massgraph.learn.training import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny")
    known = np.array([label is not None for label in labels])
    return spectra[known], np.unique(labels[known].astype(str), return_inverse=True)[1]


@pytest.fixture(scope="module")
def samples(tissue: Any) -> Samples:
    spectra, y = tissue
    encoder = PeakEncoder.learn(spectra, resolve_settings("default", "positive", {}))
    return Samples(encoder.encode(spectra), Targets.of_codes(y))


def settings_of(preset: str = "default", **given: Any) -> Settings:
    return resolve_settings(preset, "positive", {"hidden": (8, 8), **given})


def new_net(settings: Settings) -> Any:
    """The network as published, of the width that the settings say."""
    return new_part("relational", PartShape.of(settings, 3, None, "auto"), seed=0)


def run(net: Any, objective: Objective, settings: Settings) -> Any:
    return train(net, objective, settings, device=CPU, rng=np.random.default_rng(0))


# -------------------------------------------------------------------- batches and steps


class Plain(Objective):
    """Weights of a linear layer towards a target; notes the sizes of its batches."""

    def __init__(self, n: int = 4) -> None:
        self.n, self.sizes = n, list[int]()

    @property
    def epoch_size(self) -> int:
        return self.n

    def draw(self, n: int, rng: np.random.Generator) -> Any:
        return np.arange(n)

    def loss(self, net: Any, drawn: Any, device: torch.device) -> Any:
        self.sizes.append(len(drawn))
        scale = torch.arange(1.0, 5.0).reshape(2, 2) ** 3
        loss = (scale * (net.weight - 1) ** 2).sum() + net.bias.pow(2).sum()
        return loss, net.bias.expand(len(drawn), -1)

    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        return {"valid_loss": 1.0 / len(self.sizes)}


def sizes_of(n: int, settings: Settings) -> list[int]:
    objective = Plain(n)
    run(torch.nn.Linear(2, 2), objective, settings)
    return objective.sizes


def test_minibatches_cover_all_and_never_hold_one_pixel_under_batch_norm() -> None:
    settings = settings_of(epochs=1)
    assert settings.batch_norm
    for n in (1, 2, 63, 64, 65, 66, 128, 129, 200):
        sizes = sizes_of(n, settings)
        assert sum(sizes) == n
        assert n == 1 or min(sizes) > 1
        assert max(sizes) <= 65
    assert sizes_of(65, settings_of("published", epochs=1)) == [64, 1]


@pytest.mark.parametrize("preset", ["default", "published"])
def test_the_steps_are_those_of_adam(preset: str) -> None:
    """AdamW by default; as published Adam with the epsilon of Keras, and no decay of weights."""
    settings = settings_of(preset, epochs=6)
    torch.manual_seed(0)
    net = torch.nn.Linear(2, 2)
    by_hand = torch.nn.Linear(2, 2)
    by_hand.load_state_dict(net.state_dict())
    weights, rate = list(by_hand.parameters()), settings.learning_rate
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-4)
    if preset == "published":
        optimizer = torch.optim.Adam(weights, lr=1e-3, betas=(0.9, 0.999), eps=1e-7)
    for _ in range(6):
        optimizer.zero_grad()
        Plain().loss(by_hand, np.arange(4), CPU)[0].backward()
        optimizer.step()
    run(net, Plain(), settings)
    for ours, expected in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-7)


# -------------------------------------------------------------------- the course of training


def fit(tissue: Any, **parameters: Any) -> mg.RGCNClassifier:
    spectra, y = tissue
    single = {"branches": ("relational",), "folds": 1}
    chosen = {**single, "augment": 1, "hidden": (8, 8), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen).fit(spectra, y)


def test_the_learning_curve(tissue: Any) -> None:
    classifier = fit(tissue, epochs=12)
    history = classifier.history_
    assert list(history.columns) == [
        "epoch",
        "learning_rate",
        "train_loss",
        "train_balanced_accuracy",
        "valid_loss",
        "valid_balanced_accuracy",
        "best",
    ]
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    assert history["best"].sum() == 1
    assert history.loc[history["best"], "valid_loss"].item() == history["valid_loss"].min()
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["valid_balanced_accuracy"].between(0, 1).all()


def test_the_best_weights_are_kept(tissue: Any) -> None:
    """The loss of the final model on the held-out pixels is that of the best epoch."""
    spectra, y = tissue
    classifier = fit(tissue, epochs=15, learning_rate=0.05)
    held_out = classifier.validation_
    probability = classifier.predict_proba(spectra[held_out])
    losses = -np.log(probability[np.arange(held_out.sum()), y[held_out]])
    weights = 1 / np.bincount(y[held_out])[y[held_out]]
    best = classifier.history_["valid_loss"].min()
    assert np.average(losses, weights=weights) == pytest.approx(best, abs=1e-5)
    assert not classifier.model_.training


def test_training_stops_without_gain(tissue: Any) -> None:
    history = fit(tissue, epochs=40, patience=3, learning_rate=0.3).history_
    best = history.loc[history["best"], "epoch"].item()
    assert len(history) == min(best + 3, 40)
    assert len(history) < 40


def test_the_rate_falls_on_a_plateau(tissue: Any) -> None:
    history = fit(tissue, epochs=30, patience=30, learning_rate=0.3).history_
    rates = history["learning_rate"].unique()
    assert len(rates) > 1
    assert rates[1] == pytest.approx(0.3 * rates[0])


def test_validation_pixels_are_fixed(tissue: Any) -> None:
    """The same weights are measured alike in every epoch: nothing is drawn for validation."""
    history = fit(tissue, epochs=3, learning_rate=1e-30, batch_norm=False).history_
    assert history["valid_loss"].nunique() == 1
    assert history["valid_balanced_accuracy"].nunique() == 1


def test_training_learns_what_can_be_learnt(tissue: Any) -> None:
    spectra, y = tissue
    classifier = fit(tissue, epochs=40, augment=0)
    learnt = classifier.predict(spectra[classifier.training_]) == y[classifier.training_]
    assert learnt.mean() > 0.9


# -------------------------------------------------------------------- losses that are none


def test_the_loss_on_held_out_pixels_must_be_finite(samples: Samples) -> None:
    """Weights may become infinite in the last batch of an epoch: they are never kept."""

    class Broken(CrossEntropy):
        epochs = 0

        def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
            self.epochs += 1
            found = super().validate(evaluate, rng)
            return found if self.epochs < 3 else {**found, "valid_loss": float("nan")}

    settings = settings_of(epochs=5)
    wanted = "the loss is nan in epoch 3, on the held-out pixels, at learning rate 0.01: try a"
    with pytest.raises(FloatingPointError, match=wanted):
        run(new_net(settings), Broken(samples, samples), settings)


def test_an_infinite_training_loss_names_its_batch(samples: Samples) -> None:
    class Infinite(CrossEntropy):
        batches = 0

        def loss(self, net: Any, drawn: Any, device: torch.device) -> Any:
            self.batches += 1
            loss, outputs = super().loss(net, drawn, device)
            return loss * (float("inf") if self.batches == 2 else 1.0), outputs

    settings = settings_of(epochs=2, batch_size=16)
    with pytest.raises(FloatingPointError, match=r"inf in epoch 1, batch 2, at learning rate 0.01"):
        run(new_net(settings), Infinite(samples, samples), settings)


# -------------------------------------------------------------------- machines


def test_device_auto_is_a_device(tissue: Any) -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert torch_device("auto").type == expected
    assert fit(tissue, epochs=1, device="auto").fitted_.torch_device.type == expected


def test_the_number_of_threads_does_not_matter_and_is_given_back(tissue: Any) -> None:
    before = torch.get_num_threads()
    weights = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            weights.append(fit(tissue, epochs=2).model_.state_dict())
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name
