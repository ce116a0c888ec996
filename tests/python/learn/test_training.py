"""Training: what is drawn, when it stops, which weights are kept."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder, degraded_copy
from massgraph.graph.batch import PeakGraphs
from massgraph.learn import settings as settings_module
from massgraph.learn import training
from massgraph.learn.settings import PRESETS, Settings, resolve_settings
from massgraph.learn.training import LabelledGraphs, batches
from massgraph.nn import rgcn as model_module


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny")
    known = np.array([label is not None for label in labels])
    return spectra[known], np.unique(labels[known].astype(str), return_inverse=True)[1]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return resolve_settings("default", "positive", {"hidden": (8, 8), "epochs": 3})


@pytest.fixture(scope="module")
def graphs(tissue: Any, settings: Settings) -> PeakGraphs:
    spectra, _ = tissue
    return PeakEncoder.learn(spectra, settings).encode(spectra)


# -------------------------------------------------------------------- drawing


def test_draws_are_balanced_over_classes(graphs: PeakGraphs) -> None:
    y = np.zeros(len(graphs), dtype=np.int64)
    y[:5] = 1
    y[5:15] = 2
    drawn = LabelledGraphs(graphs, y).draw(6000, np.random.default_rng(0))
    share = np.bincount(y[drawn]) / 6000
    np.testing.assert_allclose(share, 1 / 3, atol=0.03)
    # Within a class every pixel is as likely as another.
    counts = np.bincount(drawn, minlength=len(graphs))[:5]
    assert counts.min() > 300
    assert counts.max() < 500


def test_versions_of_a_pixel_are_drawn_alike(graphs: PeakGraphs) -> None:
    n = len(graphs)
    y = np.arange(n) % 2
    many = LabelledGraphs(PeakGraphs.concatenate([graphs] * 3), y)
    drawn = many.draw(3000, np.random.default_rng(0))
    assert drawn.max() < 3 * n
    np.testing.assert_allclose(np.bincount(drawn // n) / 3000, 1 / 3, atol=0.04)


def test_draws_repeat_with_the_seed(graphs: PeakGraphs) -> None:
    labelled = LabelledGraphs(graphs, np.arange(len(graphs)) % 3)
    first, again = (labelled.draw(50, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_class_without_pixels_is_never_drawn(graphs: PeakGraphs) -> None:
    y = np.where(np.arange(len(graphs)) < 9, 0, 2)
    drawn = LabelledGraphs(graphs, y).draw(100, np.random.default_rng(0))
    assert set(y[drawn]) == {0, 2}


# -------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], []),
        ([3], [(0, 1)]),
        ([3, 3, 3], [(0, 2), (2, 3)]),
        ([9, 1, 1], [(0, 1), (1, 3)]),
        ([0, 0, 0], [(0, 3)]),
        ([7, 0, 7], [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_batches_of_bounded_size(counts: list[int], expected: list[tuple[int, int]]) -> None:
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    found = [(part.start, part.stop) for part in batches(offsets, max_peaks=6)]
    assert found == expected


def test_minibatches_cover_all_and_never_hold_one_pixel_under_batch_norm(
    settings: Settings,
) -> None:
    assert settings.batch_norm
    for n in (1, 2, 63, 64, 65, 66, 128, 129, 200):
        parts = training._minibatches(n, settings)
        rows = np.concatenate([np.arange(n)[part] for part in parts])
        np.testing.assert_array_equal(rows, np.arange(n))
        assert n == 1 or min(part.stop - part.start for part in parts) > 1
    published = resolve_settings("published", None, {})
    assert [p.stop - p.start for p in training._minibatches(65, published)] == [64, 1]


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


# -------------------------------------------------------------------- encoding


def test_features_are_standardised_over_the_training_peaks(tissue: Any, settings: Settings) -> None:
    spectra, _ = tissue
    encoder = PeakEncoder.learn(spectra, settings)
    features = encoder.encode(spectra).features
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)
    assert encoder.feature_range == (spectra.mz.min(), spectra.mz.max())


def test_a_constant_feature_is_not_blown_up(settings: Settings) -> None:
    one_peak = mg.Spectra.from_peaks([([700.5], [1.0]), ([700.5], [2.0])])
    features = PeakEncoder.learn(one_peak, settings).encode(one_peak).features
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 1e-3


def test_degraded_copies_have_faults_and_the_same_pixels(tissue: Any) -> None:
    spectra, _ = tissue
    worse = degraded_copy(spectra, np.random.default_rng(0))[0]
    again = degraded_copy(spectra, np.random.default_rng(0))[0]
    assert len(worse) == len(spectra)
    np.testing.assert_array_equal(worse.run, spectra.run)
    np.testing.assert_array_equal(worse.mz, again.mz)
    kept = worse.peak_counts / spectra.peak_counts
    assert 0.2 < np.mean(kept == 1) < 0.5  # a third lose nothing
    assert kept.min() < 0.5
    moved = ~np.isin(worse.mz, spectra.mz)
    assert 0.2 < moved.mean() < 0.6  # four pixels in ten are jittered


def test_no_copy_loses_all_its_peaks() -> None:
    """There is nothing to learn from a pixel without peaks but how often its class is drawn."""
    few = mg.Spectra.from_peaks([([700.5], [1.0]), ([700.5, 714.5], [1.0, 2.0])] * 100)
    for seed in range(3):
        worse = degraded_copy(few, np.random.default_rng(seed))[0]
        assert worse.peak_counts.min() == 1
        assert (worse.peak_counts[1::2] == 1).any()
        assert len(worse) == len(few)


def test_the_loss_on_held_out_pixels_must_be_finite(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may become infinite in the last batch of an epoch: they are never kept."""
    measured = training._validate
    epochs = []

    def broken(*arguments: Any) -> dict[str, float]:
        epochs.append(1)
        found = measured(*arguments)
        return found if len(epochs) < 3 else {**found, "valid_loss": float("nan")}

    monkeypatch.setattr(training, "_validate", broken)
    wanted = "the loss is nan in epoch 3, on the held-out pixels, at learning rate 0.01: try a"
    with pytest.raises(FloatingPointError, match=wanted):
        fit(tissue, epochs=5)


def test_an_infinite_training_loss_names_its_batch(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def infinite(logits: Any, y: Any, **_: Any) -> Any:
        calls.append(1)
        return (logits * (float("inf") if len(calls) == 2 else 1.0)).pow(2).sum()

    monkeypatch.setattr(model_module, "cross_entropy", infinite)
    with pytest.raises(FloatingPointError, match=r"inf in epoch 1, batch 2, at learning rate 0.01"):
        fit(tissue, epochs=2, batch_size=16)


def test_balanced_accuracy_is_the_mean_recall_of_any_number_of_classes() -> None:
    y = np.array([0, 0, 0, 0, 2, 2, 3])
    found = np.array([0, 0, 0, 1, 2, 1, 3])
    assert training._balanced_accuracy(y, found) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_classes_weigh_the_same_in_validation(tissue: Any, settings: Settings) -> None:
    """Nine pixels of one class and one of another: their mean losses count the same."""
    spectra, y = tissue
    classifier = fit(tissue, epochs=1)
    rows = np.concatenate([np.flatnonzero(y == 0)[:9], np.flatnonzero(y == 1)[:1]])
    graphs = classifier.encoder_.encode(spectra[rows])
    found = training._validate(
        classifier.model_,
        LabelledGraphs(graphs, y[rows]),
        settings,
        torch.device("cpu"),
        np.random.default_rng(0),
        100,
    )
    losses = -np.log(classifier.predict_proba(spectra[rows])[np.arange(10), y[rows]])
    assert found["valid_loss"] == pytest.approx((losses[:9].mean() + losses[9]) / 2, abs=1e-6)


def test_every_setting_has_a_type() -> None:
    """A setting that is not checked would be taken from a file or a user as it comes."""
    checked = {name for _, names in settings_module.TYPES.values() for name in names}
    assert checked | {"relations"} == {field.name for field in fields(Settings)}


def test_settings_of_the_default_preset() -> None:
    settings = resolve_settings("default", "negative", {"tolerance": 3, "epochs": None})
    assert settings.tolerance == 3
    assert settings.epochs == 24
    assert settings.relations == mg.default_relations("negative")
    assert set(PRESETS) == {"default", "published"}
    assert not settings.as_published


def test_device_auto_is_a_device(tissue: Any) -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert mg.RGCNClassifier().device_().type == expected


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
