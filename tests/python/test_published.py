"""The published preset: the network and the training of La Rocca et al., as their code has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import massgraph as mg
from massgraph.data.splits import published_split
from massgraph.learn import supervised
from massgraph.learn.objectives import PublishedCrossEntropy, Samples
from massgraph.learn.settings import resolve_settings


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny", n_classes=2)
    known = np.array([label is not None for label in labels])
    return spectra[known], labels[known].astype(str)


def published(**parameters: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(preset="published", device="cpu", **parameters)


def test_the_resolved_settings() -> None:
    settings = resolve_settings("published", "negative", {})
    assert settings.relations.names[:3] == ("K-Na", "Na-H", "K-H")
    np.testing.assert_array_equal(
        settings.relations.masses,
        [
            15.97394,
            21.98194,
            37.95588,
            1.0033,
            2.0067,
            2.0043,
            14.01565,
            28.0313,
            56.0626,
            2.01565,
            15.99491,
            13.97926,
            189.04259,
        ],
    )
    assert (settings.tolerance, settings.tolerance_unit) == (0.001, "Da")
    assert settings.rule == "reference"
    assert not settings.directed
    assert settings.hidden == (8, 16)
    assert not settings.batch_norm
    assert not settings.standardize
    assert settings.max_peaks == 2000
    assert settings.mz_range == (200.0, 1400.0)
    assert (settings.batch_size, settings.epochs, settings.patience) == (64, 40, None)
    assert (settings.learning_rate, settings.adam_eps) == (1e-3, 1e-7)
    assert settings.weight_decay == 0
    assert settings.augment == 0


def test_2186_parameters(tissue: Any) -> None:
    spectra, labels = tissue
    model = published(epochs=1).fit(spectra, labels).model_
    assert sum(weight.numel() for weight in model.parameters()) == 2186


def test_weights_start_from_seed_zero_whatever_the_random_state(tissue: Any) -> None:
    spectra, labels = tissue
    first = [
        published(epochs=1, learning_rate=1e-30, random_state=state).fit(spectra, labels)
        for state in (1, 5)
    ]
    weights = [classifier.model_.state_dict() for classifier in first]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=1e-20)
    splits = [classifier.validation_ for classifier in first]
    assert not np.array_equal(*splits)


def test_the_last_fifth_of_each_class_is_held_out() -> None:
    y = np.array([0] * 10 + [1] * 50 + [2] * 7)
    held_out = published_split(y, 0.2, np.random.default_rng(0))
    # floor(0.8 n) train: 8 of 10, 40 of 50, 5 of 7.
    assert [int(held_out[y == code].sum()) for code in range(3)] == [2, 10, 2]
    other = published_split(y, 0.2, np.random.default_rng(1))
    assert not np.array_equal(held_out, other)


def test_numbers_of_draws(tissue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """int(0.8 n) training draws and int(n (1 - 0.8)) validation draws: 80 and 19 of 100."""
    spectra, labels = tissue
    some = np.concatenate([np.flatnonzero(labels == name)[:50] for name in np.unique(labels)])
    drawn: list[int] = []
    original = Samples.draw

    def counted(self: Any, n: int, rng: Any) -> Any:
        drawn.append(n)
        return original(self, n, rng)

    monkeypatch.setattr(Samples, "draw", counted)
    published(epochs=2).fit(spectra[some], labels[some])
    assert drawn == [80, 19, 80, 19]


def test_the_last_weights_are_kept(
    tissue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first epoch had the lowest validation loss."""
    losses: list[float] = []

    def rising(*_: Any) -> dict[str, float]:
        losses.append(1.0 + len(losses))
        return {"valid_loss": losses[-1], "valid_balanced_accuracy": 0.5}

    monkeypatch.setattr(PublishedCrossEntropy, "validate", rising)
    classifier = published(epochs=4).fit(*tissue, checkpoint=tmp_path / "checkpoints")
    assert classifier.history_["valid_loss"].tolist() == [1, 2, 3, 4]
    assert classifier.history_["best"].tolist() == [False, False, False, True]
    state = load_file(tmp_path / "checkpoints" / "net-1.safetensors")
    kept = classifier.model_.state_dict()
    assert all(torch.equal(kept[name], state[f"weights.{name}"]) for name in kept)
    assert not torch.equal(kept["head.weight"], state["best.head.weight"])


def test_the_rate_falls_by_ten_after_five_epochs_without_gain(tissue: Any) -> None:
    spectra, labels = tissue
    # At a rate of next to nothing the loss only scatters with the draws, and the schedule acts.
    history = published(learning_rate=1e-6).fit(spectra, labels).history_
    rates = history["learning_rate"].to_numpy()
    assert len(history) == 40
    falls = np.flatnonzero(np.diff(rates))
    assert falls.size > 0
    np.testing.assert_allclose(rates[falls + 1] / rates[falls], 0.1)
    assert falls[0] >= 5
    assert (np.diff(falls) >= 5).all()


def test_draws_are_balanced_in_training_and_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With nine pixels of one class to one of the other, each is drawn as often."""
    spectra, labels = mg.simulate("tiny", n_classes=2)
    rows = [np.flatnonzero(labels == name) for name in np.unique(labels[labels != None])]  # noqa: E711
    some = np.concatenate([rows[0][:18], rows[1][:5]])
    drawn: list[Any] = []
    original = Samples.draw

    def kept(self: Samples, n: int, rng: Any) -> Any:
        drawn.append(self.code(original(self, n, rng)))
        return np.arange(n) % self.targets.n_pixels

    monkeypatch.setattr(Samples, "draw", kept)
    published(epochs=40).fit(spectra[some], labels[some])
    for part in (drawn[::2], drawn[1::2]):
        assert len(part) == 40
        assert np.concatenate(part).mean() == pytest.approx(0.5, abs=0.1)


def test_random_state_is_that_of_the_split_alone(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same split any random_state makes the same model: all else starts from seed 0."""
    spectra, labels = tissue
    monkeypatch.setattr(supervised, "published_split", lambda y, *_: np.arange(len(y)) % 5 == 0)
    one, other = (published(epochs=2, random_state=seed).fit(spectra, labels) for seed in (1, 2))
    np.testing.assert_array_equal(one.validation_, other.validation_)
    np.testing.assert_array_equal(one.logits(spectra), other.logits(spectra))


def test_features_are_not_standardised(tissue: Any) -> None:
    spectra, labels = tissue
    encoder = published(epochs=1).fit(spectra, labels).encoder_
    features = encoder.encode(encoder.preprocess(spectra)).features
    low, high = features[:, 1].min(), features[:, 1].max()
    mz = encoder.preprocess(spectra).mz
    np.testing.assert_allclose([low, high], [(mz.min() - 600) / 600, (mz.max() - 600) / 600], 1e-6)
    assert features[:, 2].min() > -1
    assert features[:, 2].max() <= 1


def test_edges_are_undirected_and_as_the_reference_draws_them(tissue: Any) -> None:
    spectra, labels = tissue
    classifier = published(epochs=1).fit(spectra, labels)
    graph = classifier.encoder_.graph(classifier.encoder_.preprocess(spectra))
    by_hand = mg.build_graph(
        spectra.mz_range(200, 1400),
        classifier.settings_.relations,
        tolerance=0.001,
        tolerance_unit="Da",
        rule="reference",
        directed=False,
    )
    np.testing.assert_array_equal(graph.source, by_hand.source)
    np.testing.assert_array_equal(graph.target, by_hand.target)
    assert graph.messages().n_kinds == 13
