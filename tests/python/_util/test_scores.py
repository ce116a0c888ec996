"""Recall and balanced accuracy, against counting by hand and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from massgraph._util.scores import balanced_accuracy, recall


def test_balanced_accuracy_is_the_mean_recall_of_any_number_of_classes() -> None:
    y = np.array([0, 0, 0, 0, 2, 2, 3])
    found = np.array([0, 0, 0, 1, 2, 1, 3])
    assert balanced_accuracy(y, found) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_it_is_that_of_scikit_learn_with_weights_too() -> None:
    rng = np.random.default_rng(0)
    y, found = rng.integers(4, size=(2, 500))
    weight = rng.uniform(0, 3, 500)
    assert balanced_accuracy(y, found) == pytest.approx(balanced_accuracy_score(y, found))
    expected = balanced_accuracy_score(y, found, sample_weight=weight)
    assert balanced_accuracy(y, found, weight) == pytest.approx(expected)


def test_recall_of_an_absent_class_is_unknown() -> None:
    found = recall(np.array([0, 0, 2]), np.array([0, 1, 2]), 4)
    np.testing.assert_array_equal(found, [0.5, np.nan, 1, np.nan])


def test_no_class_at_all_is_a_miss() -> None:
    """Pixels without peaks are predicted as -1."""
    np.testing.assert_array_equal(recall(np.array([0, 0, 1]), np.array([0, -1, -1]), 2), [0.5, 0])


def test_weights_count_within_their_class_alone() -> None:
    y, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert recall(y, found, 2, [3, 1, 5, 5]).tolist() == [0.75, 1]
    assert recall(y, found, 2, [3, 1, 500, 0]).tolist() == [0.75, 1]


def test_a_class_of_no_weight_is_absent() -> None:
    assert balanced_accuracy(np.array([0, 1]), np.array([0, 0]), [1, 0]) == 1
    assert math.isnan(balanced_accuracy(np.array([0]), np.array([0]), [0]))


def test_of_nothing_there_is_no_score() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert math.isnan(balanced_accuracy(nothing, nothing))
