"""Targets: labels, shares and weights as entries, and as users give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from massgraph import InputError
from massgraph.learn.targets import Labels, Targets

NAN = float("nan")


# -------------------------------------------------------------------- entries


def test_a_label_is_one_entry() -> None:
    targets = Targets.of_codes(np.array([2, 0, 2]))
    assert targets.n_classes == 3
    assert targets.codes.tolist() == [2, 0, 2]
    hard = Targets.of_shares(np.eye(3)[[2, 0, 2]])
    for name in ("pixel", "code", "weight"):
        np.testing.assert_array_equal(getattr(hard, name), getattr(targets, name))


def test_a_soft_pixel_has_an_entry_for_each_of_its_classes() -> None:
    shares = np.array([[0.2, 0.0, 0.8], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    targets = Targets.of_shares(shares)
    assert targets.pixel.tolist() == [0, 0, 1, 2, 2]
    assert targets.code.tolist() == [0, 2, 1, 0, 1]
    assert targets.weight.tolist() == [0.2, 0.8, 1.0, 0.5, 0.5]
    assert targets.codes.tolist() == [2, 1, 0]  # ties: the first


@pytest.mark.parametrize("weight", [1.0, 3.7, 1e-12, 1e12, 0.1])
def test_equal_weights_are_none(weight: float) -> None:
    """Exactly: a weight of 1 - 1e-16 would change bits."""
    shares = np.eye(2)[np.arange(37) % 2]
    found = Targets.of_shares(shares, np.full(37, weight))
    np.testing.assert_array_equal(found.weight, np.ones(37))


def test_weights_average_to_one() -> None:
    weight = np.array([1.0, 2.0, 5.0])
    targets = Targets.of_shares(np.array([[1, 0], [0, 1], [0.5, 0.5]]), weight)
    np.testing.assert_allclose(targets.weight, np.array([1, 2, 2.5, 2.5]) * 3 / 8)


def test_entries_of_pixels_come_in_their_order() -> None:
    targets = Targets.of_shares(np.array([[0.5, 0.5], [1, 0], [0.4, 0.6], [0, 1]]))
    assert targets.of(np.array([2, 0, 3])).tolist() == [3, 4, 0, 1, 5]
    assert targets.of(np.array([], dtype=np.int64)).tolist() == []
    some = targets.subset(np.array([1, 2]))
    assert (some.n_pixels, some.n_classes) == (2, 2)
    assert some.pixel.tolist() == [0, 1, 1]
    assert some.code.tolist() == [0, 0, 1]
    assert some.weight.tolist() == [1, 0.4, 0.6]


# -------------------------------------------------------------------- as users give them


def test_columns_of_a_table_name_the_classes_in_any_order() -> None:
    table = pd.DataFrame({"stroma": [0.3, NAN, 1.0], "muscle": [0.7, NAN, 0.0]}, index=[5, 5, 9])
    encoded = Labels(table).encode(3)
    assert encoded.classes.tolist() == ["muscle", "stroma"]
    np.testing.assert_array_equal(encoded.found, [[0.7, 0.3], [0, 0], [0, 1]])
    assert encoded.known.tolist() == [True, False, True]


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame, lambda rows: [list(row) for row in rows]])
def test_an_array_has_numbers_for_classes(kind: Any) -> None:
    encoded = Labels(kind([[0.25, 0.75], [1, 0]])).encode(2)
    assert encoded.classes.tolist() == [0, 1]
    assert encoded.classes.dtype.kind == "i"
    np.testing.assert_array_equal(encoded.found, [[0.25, 0.75], [1, 0]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], r"^pixel 1: shares \[0\.5, 0\.4\] are not positive numbers"),
        ([[-0.5, 1.5], [1, 0]], r"^pixel 0: shares \[-0\.5, 1\.5\] are not positive"),
        ([[1, 0], [NAN, 1]], r"^pixel 1: shares \[nan, 1\.0\] are not positive"),
        ([[1, 0], [float("inf"), 0]], r"^pixel 1: shares \[inf, 0\.0\]"),
        ([[1, 0], [0, 0]], r"^pixel 1: shares \[0\.0, 0\.0\]"),
        ([[NAN, NAN], [NAN, NAN]], "^no pixel has a label$"),
        ([["a", "b"], ["b", "a"]], "^y is a table, but not of numbers throughout: give shares"),
        ([[1, 0]], "^y has 1 rows, need shares of the classes for each of 2 pixels$"),
    ],
)
def test_shares_that_are_none(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Labels(np.array(rows)).encode(2)
    assert "\n" not in str(caught.value)


def test_rows_of_several_lengths_are_no_table() -> None:
    with pytest.raises(InputError, match="y is a table, but not of numbers throughout"):
        Labels([[0.5, 0.5], [1.0]]).encode(2)


@pytest.mark.parametrize(
    "rows",
    [
        np.ma.masked_array([[0.5, 0.5], [1, 0]], mask=[[0, 0], [1, 1]]),
        [[0.5, 0.5], [None, None]],
        [np.array([0.5, 0.5]), np.array([NAN, NAN])],
        pd.DataFrame({0: [0.5, pd.NA], 1: [0.5, pd.NA]}, dtype="Float64"),
        pd.DataFrame({0: [0.5, None], 1: [0.5, None]}, dtype=object),
    ],
    ids=["masked", "None", "rows", "Float64", "object"],
)
def test_rows_are_missing_in_any_way(rows: Any) -> None:
    encoded = Labels(rows).encode(2)
    assert encoded.known.tolist() == [True, False]
    np.testing.assert_array_equal(encoded.found, [[0.5, 0.5], [0, 0]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "a"], "the columns of y are not all different"),
        (["a", 1], "labels are of several types"),
    ],
)
def test_columns_that_name_no_classes(columns: Any, message: str) -> None:
    table = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], columns=columns)
    with pytest.raises(InputError, match=message) as caught:
        Labels(table).encode(2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -2, 1], "^sample_weight of pixel 1 is -2.0, need zero or more$"),
        ([1, 1, NAN], "^sample_weight of pixel 2 is nan, need zero or more$"),
        ([float("inf"), 1, 1], "^sample_weight of pixel 0 is inf, need zero or more$"),
        ([1, 1], r"^sample_weight has shape \(2,\), need one for each of 3 pixels$"),
        ([[1], [1], [1]], r"^sample_weight has shape \(3, 1\)"),
        ([0, 0, 0], "^sample_weight is zero for all pixels: there is nothing to learn from$"),
        (["a", "b", "c"], "^sample_weight"),
    ],
)
def test_weights_that_are_none(weight: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Labels(["a", "b", "a"], weight).encode(3)


def test_a_pixel_of_no_weight_is_unlabelled() -> None:
    encoded = Labels(["a", "b", "a", None], [1, 0, 2, 5]).encode(4)
    assert encoded.known.tolist() == [True, False, True, False]
    assert Labels(["a", "b", "a", None], [1, 0, 2, 5]).pixels(4).tolist() == [0, 2]


def test_labels_of_some_pixels() -> None:
    rows = np.array([1, 3])
    table = pd.DataFrame({"b": [1, 0.5, NAN, 0], "a": [0, 0.5, NAN, 1]}, index=list("wxyz"))
    some = Labels(table, [1, 2, 3, 4], list("ggfh")).at(rows, 4)
    encoded = some.encode(2)
    assert encoded.classes.tolist() == ["a", "b"]
    np.testing.assert_array_equal(encoded.found, [[0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(encoded.weight, [2, 4])
    np.testing.assert_array_equal(some.groups, [0, 1])


def test_a_class_that_nobody_has_is_named() -> None:
    table = pd.DataFrame({"a": [1.0, 0.5, 1.0], "b": [0.0, 0.5, 0.0], "c": 0.0})
    with pytest.raises(InputError, match="class 'b' has 1 labelled pixel"):
        Labels(table).encode(3).targets(np.ones(3, dtype=bool))
    table.loc[0, ["a", "b"]] = 0.5
    with pytest.raises(InputError, match="class 'c' has 0 labelled pixel"):
        Labels(table).encode(3).targets(np.ones(3, dtype=bool))
