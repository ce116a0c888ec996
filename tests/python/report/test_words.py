"""Numbers and values as the pages write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from massgraph.report._words import decimal, digits, parameter


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1234.5678, 2, "1,234.57"),
        (-0.25, 2, "−0.25"),
        (-0.001, 2, "0.00"),
        (0.0, 3, "0.000"),
        (float("nan"), 2, "–"),
        (float("inf"), 2, "–"),
        (-1234.5, 0, "−1,234"),
    ],
)
def test_decimal(value: float, places: int, text: str) -> None:
    assert decimal(value, places) == text


@pytest.mark.parametrize(
    ("values", "places"),
    [([0.0641, -0.0002], 4), ([5.6, 0.1], 2), ([123.0], 0), ([12345.0], 0), ([0.0], 0), ([], 0)],
)
def test_digits_show_three_of_the_largest(values: list[float], places: int) -> None:
    assert digits(np.array(values, dtype=float)) == places


def test_digits_do_not_run_away() -> None:
    assert digits(np.array([1e-30])) == 6
    assert digits(np.array([np.nan, 0.5])) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        (np.False_, "no"),
        (1e-8, "1e-08"),
        (5.0, "5"),
        (7, "7"),
        ((200.0, None), "200, none"),
        ([], "none"),
        ("ppm", "ppm"),
    ],
)
def test_parameter(value: Any, text: str) -> None:
    assert parameter(value) == text
