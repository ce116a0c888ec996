"""CSV tables: no more digits than numbers earn, and none fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from massgraph.report._tables import mz_digits, write_table


def written(tmp_path: Path, table: pd.DataFrame, **options: Any) -> list[list[str]]:
    write_table(table, tmp_path / "t.csv", **options)
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()
    return [line.split(",") for line in lines]


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("mz", 760.58508123, "760.5851"),
        ("mz", 500.0, "500.0000"),
        ("neutral_mass", 759.5778, "759.5778"),
        ("neutral_mass", np.nan, ""),
        ("score", 0.1 + 0.2, "0.3"),
        ("score", 0.044860896884, "0.04486"),
        ("activation_tumour", -0.4408864417, "-0.4409"),
        ("intensity_tumour", 1.23456789e-7, "1.235e-07"),
        ("log_likelihood", -35554.29370337, "-35554.0"),
        ("effect", 0.0, "0.0"),
        ("score", np.inf, "inf"),
        ("probability", 0.9995045, "1.0"),
        ("frequency", 2 / 3, "0.667"),
        ("auc", 0.08843914, "0.088"),
        ("coverage", 0.97715498, "0.977"),
        ("p_value", 0.00012345, "0.000123"),
        ("fdr", 3.14159e-9, "3.14e-09"),
        ("n_pixels", 1861, "1861"),
        ("run", "slide 1", "slide 1"),
    ],
)
def test_digits(column: str, value: Any, text: str, tmp_path: Path) -> None:
    row = written(tmp_path, pd.DataFrame({column: [value], "last": ["x"]}))[1]
    assert row == [text, "x"]


def test_counts_with_gaps_stay_whole(tmp_path: Path) -> None:
    table = pd.DataFrame({"family": pd.array([2, pd.NA], dtype="Int64"), "last": "x"})
    assert written(tmp_path, table)[1:] == [["2", "x"], ["", "x"]]


def test_the_table_itself_is_left_as_it_is(tmp_path: Path) -> None:
    table = pd.DataFrame({"mz": [760.58508123], "score": [1 / 3]})
    before = table.copy()
    write_table(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(table, before)


def test_ions_have_as_many_digits_as_tell_them_apart(tmp_path: Path) -> None:
    axis = np.array([200.0, 760.58508, 760.58512])
    assert mz_digits(axis) == 5
    table = pd.DataFrame({"mz": axis[:1], "last": "x"})
    assert written(tmp_path, table, axis=axis)[1] == ["200.00000", "x"]
    assert mz_digits(np.array([])) == mz_digits(np.array([np.nan, 500.0])) == 4
    assert mz_digits(np.array([500.0, np.nextafter(500.0, 600)])) == 11  # no end of digits
    # Below m/z 200 four decimals would be off by more than a quarter of a ppm.
    assert [mz_digits(np.array([mz, 900.0])) for mz in (10.0, 100.0, 199.0, 200.0)] == [6, 5, 5, 4]
    # Repeated m/z are one ion, and ask for no more.
    assert mz_digits(np.array([500.0, 500.0])) == 4


def test_a_table_of_nothing(tmp_path: Path) -> None:
    assert written(tmp_path, pd.DataFrame({"mz": np.empty(0), "score": np.empty(0)})) == [
        ["mz", "score"]
    ]
