"""What becomes of labels: what is missing, which type they keep, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

from massgraph.data import class_labels


def encoded(labels: Any) -> tuple[list[Any], str, list[int]]:
    classes, codes = class_labels.encode_labels(labels, 4)
    return classes.tolist(), classes.dtype.kind, codes.tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", np.nan, "b", "a"], (["a", "b"], "U", [0, -1, 1, 0])),
        (["a", None, "nan", "None"], (["None", "a", "nan"], "U", [1, -1, 2, 0])),
        (np.array(["a", "nan", "NA", ""]), (["", "NA", "a", "nan"], "U", [2, 3, 1, 0])),
        ([np.str_("a"), "b", pd.NA, "b"], (["a", "b"], "U", [0, 1, -1, 1])),
        ([True, None, False, True], ([False, True], "b", [1, -1, 0, 1])),
        ([np.int64(2), 1, None, 2], ([1, 2], "i", [1, 0, -1, 1])),
        ([1, 2.0, None, 2], ([1.0, 2.0], "f", [0, 1, -1, 1])),
        (pd.Series([0, pd.NA, 1, 1], dtype="Int64"), ([0, 1], "i", [0, -1, 1, 1])),
        (
            pd.Series([True, pd.NA, False, False], dtype="boolean"),
            ([False, True], "b", [1, -1, 0, 0]),
        ),
        (pd.Series(["a", pd.NA, "b", "b"], dtype="string"), (["a", "b"], "U", [0, -1, 1, 1])),
        (pd.Series(["a", "b", "a", "b"], index=[9, 8, 7, 6]), (["a", "b"], "U", [0, 1, 0, 1])),
        (pd.Categorical([5, None, 3, 3]), ([3, 5], "i", [1, -1, 0, 0])),
        (pd.Series(pd.Categorical([5, None, 3, 3])), ([3, 5], "i", [1, -1, 0, 0])),
        (np.ma.masked_array([7, 8, 9, 7], mask=[0, 1, 0, 0]), ([7, 9], "i", [0, -1, 1, 0])),
        (np.array([0, 1, 1, 0], dtype=np.uint8), ([0, 1], "u", [0, 1, 1, 0])),
    ],
    ids=repr,
)
def test_what_becomes_of_labels(labels: Any, expected: Any) -> None:
    assert encoded(labels) == expected


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["0", 0, "a", "a"], r"'0' \(text\), 0 \(number\)"),
        ([True, 1, 1, None], r"True \(truth value\), 1 \(number\)"),
        ([None, 1.5, "a", "a"], r"1.5 \(number\), 'a' \(text\)"),
    ],
)
def test_labels_of_several_types_are_refused(labels: Any, shown: str) -> None:
    """As text 0 and "0" would be one class without a word."""
    with pytest.raises(ValueError, match=f"labels are of several types, {shown}"):
        encoded(labels)


def test_a_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning, match="its column is taken"):
        assert encoded(np.array([["a"], ["b"], ["b"], ["a"]]))[0] == ["a", "b"]


@pytest.mark.parametrize(
    "labels", [pd.to_datetime(["2020", "2021", "2020", "2021"]), np.array([1j, 2, 1j, 2])]
)
def test_labels_that_cannot_be_saved_are_refused_at_once(labels: Any) -> None:
    with pytest.raises(ValueError, match=r"labels are of type|not supported"):
        encoded(labels)
