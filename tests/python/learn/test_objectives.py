"""Objectives of classes: what is drawn, and how what is held out is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import massgraph as mg
from massgraph.encode.encoder import PeakEncoder
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.inference import model_output
from massgraph.learn.objectives import (
    SMALLEST_EPOCH,
    CrossEntropy,
    PublishedCrossEntropy,
    Samples,
)
from massgraph.learn.settings import resolve_settings
from massgraph.learn.targets import Targets


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny")
    known = np.array([label is not None for label in labels])
    return spectra[known], np.unique(labels[known].astype(str), return_inverse=True)[1]


@pytest.fixture(scope="module")
def graphs(tissue: Any) -> PeakGraphs:
    spectra, _ = tissue
    return PeakEncoder.learn(spectra, resolve_settings("default", "positive", {})).encode(spectra)


def samples(graphs: PeakGraphs, y: Any, **more: Any) -> Samples:
    return Samples(graphs, Targets.of_codes(np.asarray(y)), **more)


# -------------------------------------------------------------------- drawing


def test_draws_are_balanced_over_classes(graphs: PeakGraphs) -> None:
    y = np.zeros(len(graphs), dtype=np.int64)
    y[:5] = 1
    y[5:15] = 2
    labelled = samples(graphs, y)
    drawn = labelled.draw(6000, np.random.default_rng(0))
    np.testing.assert_array_equal(labelled.code(drawn), y[labelled.graph(drawn)])
    share = np.bincount(labelled.code(drawn)) / 6000
    np.testing.assert_allclose(share, 1 / 3, atol=0.03)
    # Within a class every pixel is as likely as another.
    counts = np.bincount(labelled.graph(drawn), minlength=len(graphs))[:5]
    assert counts.min() > 300
    assert counts.max() < 500


def test_versions_of_a_pixel_are_drawn_alike(graphs: PeakGraphs) -> None:
    n = len(graphs)
    many = samples(PeakGraphs.concatenate([graphs] * 3), np.arange(n) % 2)
    drawn = many.draw(3000, np.random.default_rng(0))
    number = many.graph(drawn)
    assert number.max() < 3 * n
    np.testing.assert_allclose(np.bincount(number // n) / 3000, 1 / 3, atol=0.04)
    np.testing.assert_array_equal(many.code(drawn), number % n % 2)


def test_versions_that_only_weigh_are_never_drawn(graphs: PeakGraphs) -> None:
    n = len(graphs)
    many = samples(PeakGraphs.concatenate([graphs] * 3), np.arange(n) % 2, n_versions=2)
    assert set(many.graph(many.draw(500, np.random.default_rng(0))) // n) == {0, 1}


def test_draws_repeat_with_the_seed(graphs: PeakGraphs) -> None:
    labelled = samples(graphs, np.arange(len(graphs)) % 3)
    first, again = (labelled.draw(50, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_class_without_pixels_is_never_drawn(graphs: PeakGraphs) -> None:
    labelled = samples(graphs, np.where(np.arange(len(graphs)) < 9, 0, 2))
    drawn = labelled.draw(100, np.random.default_rng(0))
    assert set(labelled.code(drawn)) == {0, 2}


def test_what_is_held_out_is_never_drawn(graphs: PeakGraphs) -> None:
    targets = Targets.of_codes(np.arange(len(graphs)) % 3)
    inside = np.arange(10, 40)
    some = Samples(graphs, targets, chosen=targets.of(inside))
    assert set(some.graph(some.draw(2000, np.random.default_rng(0)))) == set(inside)


def test_entries_are_drawn_by_weight_within_their_class(graphs: PeakGraphs) -> None:
    """Classes stay balanced whatever their weights sum to."""
    weight = np.array([1.0, 3.0, 0.5, 0.5, 0.0])
    shares = np.eye(2)[[0, 0, 1, 1, 1]]
    some = Samples(graphs[np.arange(5)], Targets.of_shares(shares, weight))
    drawn = np.bincount(some.graph(some.draw(8000, np.random.default_rng(0))), minlength=5) / 8000
    np.testing.assert_allclose(drawn, [0.125, 0.375, 0.25, 0.25, 0], atol=0.02)


def test_soft_pixels_are_drawn_as_each_of_their_classes(graphs: PeakGraphs) -> None:
    shares = np.array([[0.8, 0.2], [0.4, 0.6]])
    some = Samples(graphs[np.arange(2)], Targets.of_shares(shares))
    drawn = some.draw(8000, np.random.default_rng(0))
    found = np.zeros((2, 2))
    np.add.at(found, (some.graph(drawn), some.code(drawn)), 1 / 8000)
    expected = shares / shares.sum(axis=0) / 2
    np.testing.assert_allclose(found, expected, atol=0.02)


# -------------------------------------------------------------------- sizes of epochs


def test_an_epoch_draws_no_more_graphs_than_there_are_of_few_pixels(graphs: PeakGraphs) -> None:
    few = samples(graphs[np.arange(10)], np.arange(10) % 2)
    assert CrossEntropy(few, few).epoch_size == 10
    copied = samples(graphs[np.tile(np.arange(10), 40)], np.arange(10) % 2)
    assert CrossEntropy(copied, few).epoch_size == SMALLEST_EPOCH
    many = samples(PeakGraphs.concatenate([graphs] * 9), np.arange(9 * len(graphs)) % 2)
    assert CrossEntropy(many, many).epoch_size == 9 * len(graphs) > SMALLEST_EPOCH


def test_an_epoch_as_published_is_four_fifths_of_all(graphs: PeakGraphs) -> None:
    inside, outside = (samples(graphs[np.arange(n)], np.arange(n) % 2) for n in (41, 12))
    assert PublishedCrossEntropy(inside, outside).epoch_size == int(0.8 * 53)


# -------------------------------------------------------------------- what is held out


def test_classes_weigh_the_same_in_validation(tissue: Any) -> None:
    """Nine pixels of one class and one of another: their mean losses count the same."""
    spectra, y = tissue
    classifier = mg.RGCNClassifier(
        branches=("relational",), folds=1, augment=1, hidden=(8, 8), device="cpu", epochs=1
    ).fit(spectra, y)
    rows = np.concatenate([np.flatnonzero(y == 0)[:9], np.flatnonzero(y == 1)[:1]])
    held_out = samples(classifier.encoder_.encode(spectra[rows]), y[rows])
    model, cpu = classifier.model_, torch.device("cpu")
    found = CrossEntropy(held_out, held_out).validate(
        lambda graphs, numbers: model_output(model, graphs, numbers, cpu, model.forward),
        np.random.default_rng(0),
    )
    losses = -np.log(classifier.predict_proba(spectra[rows])[np.arange(10), y[rows]])
    assert found["valid_loss"] == pytest.approx((losses[:9].mean() + losses[9]) / 2, abs=1e-6)


def outputs(seed: int, n: int, n_classes: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_classes))


def test_the_loss_of_soft_pixels_is_that_of_torch(graphs: PeakGraphs) -> None:
    """Cross-entropy against shares, where all classes have the same mass."""
    shares = np.array([[0.7, 0.3], [0.1, 0.9], [0.7, 0.3], [0.5, 0.5]])
    held_out = Samples(graphs[np.arange(4)], Targets.of_shares(shares))
    logits = outputs(0, 4, 2)
    found = CrossEntropy(held_out, held_out).validate(
        lambda _, numbers: logits[numbers], np.random.default_rng(0)
    )
    expected = cross_entropy(torch.from_numpy(logits), torch.from_numpy(shares))
    assert found["valid_loss"] == pytest.approx(float(expected), rel=1e-12)


def test_a_heavy_pixel_is_measured_as_several(graphs: PeakGraphs) -> None:
    times = np.array([1, 3, 2, 1])
    y = np.array([0, 0, 1, 1])
    logits = outputs(1, 4, 2)

    def measured(rows: np.ndarray, weight: np.ndarray | None) -> float:
        targets = Targets.of_shares(np.eye(2)[y[rows]], weight)
        held_out = Samples(graphs[rows], targets)
        found = CrossEntropy(held_out, held_out).validate(
            lambda _, numbers: logits[rows][numbers], np.random.default_rng(0)
        )
        return found["valid_loss"]

    weighted = measured(np.arange(4), times.astype(np.float64))
    assert weighted == pytest.approx(measured(np.repeat(np.arange(4), times), None), rel=1e-12)
    assert weighted != pytest.approx(measured(np.arange(4), None), rel=1e-3)


def test_validation_as_published_draws_anew(graphs: PeakGraphs) -> None:
    """int(n (1 - 0.8)) of all labelled pixels, balanced over classes."""
    inside, outside = (samples(graphs[np.arange(n)], np.arange(n) % 2) for n in (40, 10))
    asked: list[np.ndarray] = []

    def evaluate(_: PeakGraphs, numbers: np.ndarray) -> np.ndarray:
        asked.append(numbers)
        return outputs(2, 10, 2)[numbers]

    rng = np.random.default_rng(0)
    for _ in range(2):
        PublishedCrossEntropy(inside, outside).validate(evaluate, rng)
    assert [len(numbers) for numbers in asked] == [int(50 * (1 - 0.8))] * 2
    assert not np.array_equal(*asked)
