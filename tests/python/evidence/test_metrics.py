"""Scores against scikit-learn, and paired tests against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from massgraph.evidence.metrics import calibration_error, paired_test, prediction_scores


def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200)
    logits = rng.normal(size=(200, 3)) + 1.5 * np.eye(3)[truth]
    probability = np.exp(logits)
    return truth, probability / probability.sum(axis=1, keepdims=True)


def test_scores_are_those_of_scikit_learn() -> None:
    truth, probability = example()
    scores = prediction_scores(truth, probability)
    predicted = probability.argmax(axis=1)
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert scores["log_loss"] == pytest.approx(log_loss(truth, probability))
    assert scores["auc"] == pytest.approx(roc_auc_score(truth, probability, multi_class="ovr"))
    assert 0 < scores["uncertainty"] < 1


def test_calibration_error() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(np.zeros(10, dtype=int), sure) == 0
    assert calibration_error(np.ones(10, dtype=int), sure) == 1
    unsure = np.tile([0.75, 0.25], (4, 1))
    assert calibration_error(np.array([0, 0, 0, 1]), unsure) == pytest.approx(0)


def test_one_class_has_no_area() -> None:
    scores = prediction_scores(np.zeros(3, dtype=int), np.full((3, 2), 0.5))
    assert np.isnan(scores["auc"])
    assert scores["uncertainty"] == pytest.approx(1)


def test_paired_test_is_students_where_nothing_overlaps() -> None:
    difference = np.array([0.1, 0.2, 0.05, 0.12])
    found = paired_test(difference)
    assert found["p"] == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert found["low"] < found["difference"] < found["high"]
    assert paired_test(difference, ratio=0.25)["p"] > found["p"]
    assert np.isnan(paired_test(difference[:1])["p"])
    assert paired_test(np.zeros(3))["p"] == 1
    assert paired_test(np.ones(3))["p"] == 0
