"""Names of classes: what means missing, what is spelt twice, and what a fit says of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph._util.advice import standing_in
from massgraph.cli.options import LABEL_NAMES
from massgraph.data.label_names import NAMES, LabelNames, means_missing, warn_of_classes


@pytest.mark.parametrize(
    "name",
    ["", " ", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NaT", "NULL", "null",
     "None", "nil", "unlabelled", "Unlabeled", "un-labelled", "not_annotated", "No label",
     "unassigned", "Unclassified", "undefined", "missing", " NA ", "#NV", "#REF!", "n.a."],
)  # fmt: skip
def test_names_that_mean_missing(name: str) -> None:
    assert means_missing(name)


@pytest.mark.parametrize(
    "name",
    ["Na", "NAc", "none", "None of these", "background", "unknown", "0", "-1", "nano", "annotated",
     "normal", "NA1", "negative", "-", "null mutant", "missing tooth"],
)  # fmt: skip
def test_names_that_do_not(name: str) -> None:
    assert not means_missing(name)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array(["a", "nan", "b"]), ["a", None, "b"]),
        (["a", np.nan, "NA"], ["a", None, None]),
        (pd.Series(["a", None, "b"]).astype(str), ["a", None, "b"]),
        (pd.Categorical(["a", "unlabelled", "a "]), ["a", None, "a"]),
        ([1, -1, 2, 2], [1, None, 2, 2]),
        ([1.0, np.nan, 2.0], [1.0, None, 2.0]),
        ([True, None, False], [True, None, False]),
    ],
)
def test_clean_labels(y: Any, expected: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mg.clean_labels(y).tolist()
    assert found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]


def test_clean_labels_of_good_labels_is_quiet() -> None:
    for y in (["tumour", "stroma", None], [1, 2, 3], ["c1", "c2"], [True, False], ["+", "++"]):
        assert mg.clean_labels(y).tolist() == list(y)


def test_clean_labels_takes_what_read_labels_takes() -> None:
    y = ["Tumour", "tumour", "tumour", "NA", "edge"]
    kept = mg.clean_labels(y, missing=["edge"], keep_missing=True, names="fold")
    assert kept.tolist() == ["tumour", "tumour", "tumour", "NA", None]
    with pytest.raises(mg.InputError, match="labels have shape"):
        mg.clean_labels([["a"], ["b"]])


def test_a_column_of_clusters_counts_from_0_without_a_word() -> None:
    clusters = [str(i % 5) for i in range(100)]
    assert LabelNames().read(clusters, "a.h5ad", mask=False) == clusters
    mostly = ["0"] * 80 + ["1", "2"] * 10
    with pytest.warns(UserWarning, match="80 of 100 labels say '0'"):
        LabelNames().read(mostly, "a.h5ad", mask=False)


def test_advice_is_for_where_the_user_stands() -> None:
    said = {}
    for place in ("python", "cli"):
        with standing_in(place), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            LabelNames().read(["a", "NA", "-", "b"], "labels.csv")
        said[place] = " ".join(str(one.message) for one in told)
    assert "keep_missing=True" in said["python"]
    assert "missing=['-']" in said["python"]
    assert "--keep-missing" not in said["python"]
    assert "--keep-missing" in said["cli"]
    assert "--missing=-" in said["cli"]
    assert "keep_missing=True" not in said["cli"]


def test_the_command_line_offers_the_same_names() -> None:
    assert LABEL_NAMES == NAMES


# -------------------------------------------------------------------- what a fit says


def told_of(y: list[Any], run: list[str] | None = None) -> list[str]:
    classes, codes = np.unique(np.array(y), return_inverse=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_of_classes(classes, codes, None if run is None else np.array(run))
    return [str(one.message) for one in told]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["a"] * 9 + ["nan"] * 7, "7 pixels labelled 'nan': learnt as a class, though it is named"),
        (["a"] * 9 + ["b"] * 9 + [""] * 5, "5 pixels labelled '': learnt as a class"),
        (["tumour"] * 9 + ["tumour "] * 9, "'tumour' and 'tumour '; mg.clean_labels(y, names='fo"),
        (["Tumour"] * 9 + ["tumour"] * 9, "'Tumour' and 'tumour'"),
        (["Dr\u00fcse"] * 9 + ["Dru\u0308se"] * 9, "classes differ in spaces or upper and lower"),
        (["a"] * 9 + ["b"] * 4, "class 'b' has 4 labelled pixels: fewer than 5"),
        (
            ["a"] * 2 + ["b"] * 3,
            "classes 'a' has 2 labelled pixels, 'b' has 3 labelled pixels: few",
        ),
        ([0] * 9 + [1] * 9 + [-1] * 9, "9 pixels labelled -1: learnt as a class"),
    ],
)
def test_one_warning_that_names_the_class(y: list[Any], words: str) -> None:
    told = told_of(y)
    assert len(told) == 1
    assert words in told[0]


@pytest.mark.parametrize(
    "y", [["a"] * 5 + ["b"] * 5, [0] * 9 + [1] * 9 + [2] * 9, [-1] * 9 + [1] * 9, [True, False] * 5]
)
def test_good_classes_are_quiet(y: list[Any]) -> None:
    assert told_of(y) == []


def test_many_small_classes_are_one_warning() -> None:
    told = told_of([f"c{i // 2:02d}" for i in range(100)])
    assert len(told) == 1
    assert told[0].startswith("classes 'c00' has 2 labelled pixels, ")
    assert "and 46 more: fewer than 5" in told[0]


def test_classes_that_have_a_run_each() -> None:
    y = ["tumour"] * 9 + ["stroma"] * 9
    told = told_of(y, ["A"] * 9 + ["B"] * 9)
    assert len(told) == 1
    assert "each class is labelled in one run only ('stroma' in B, 'tumour' in A)" in told[0]
    assert told_of(y, ["A"] * 18) == []
    assert told_of(y, ["A"] * 8 + ["B"] * 10) == []
