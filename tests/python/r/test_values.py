"""R's vectors as arrays without a copy, and Python's values as R's."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from massgraph.r import session
from massgraph.r.session import RError, function, runs_inside_r
from massgraph.r.values import as_scalar, as_text, factor, from_r, to_r, view
from r_door import peak_growth, r, start_r


@pytest.fixture(autouse=True)
def _r() -> None:
    start_r()


# ---------------------------------------------------------------- views


def test_view_is_r_memory_in_r_order_and_read_only() -> None:
    x = r("m <- matrix(as.double(1:6), 2); m")
    seen = view(x)
    assert seen.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert seen.T.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        seen[0, 0] = 9
    assert np.shares_memory(seen, view(x))


def test_view_of_a_large_matrix_takes_no_memory() -> None:
    x = r("matrix(1, 500, 50000)")  # 200 MB
    seen, growth = peak_growth(lambda: view(x))
    assert seen.nbytes == 200_000_000
    assert seen[499, 49999] == 1
    assert growth < 10
    assert peak_growth(seen.copy)[1] > 150  # and a copy would have been seen


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("c(1.5, NA, Inf)", [1.5, np.nan, np.inf]),
        ("1:4", [1, 2, 3, 4]),
        ("c(TRUE, FALSE)", [1, 0]),
        ("numeric()", []),
    ],
)
def test_view_of_vectors(code: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(view(r(code)), expected)


def test_view_of_an_empty_matrix_keeps_its_shape() -> None:
    assert view(r("matrix(0, 3, 0)")).shape == (3, 0)


@pytest.mark.parametrize("code", ["'text'", "list(1)", "NULL", "sum"])
def test_view_refuses_what_is_not_numeric(code: str) -> None:
    with pytest.raises(TypeError, match="not numeric"):
        view(r(code))


# ---------------------------------------------------------------- text and factors


def test_text_with_missing_and_other_alphabets() -> None:
    assert as_text(r("c('a', NA, 'NA', '', '\\u00e9\\u6f22')")) == ["a", None, "NA", "", "é漢"]
    latin = r("x <- 'caf\\xe9'; Encoding(x) <- 'latin1'; x")
    assert as_text(latin) == ["café"]


def test_factor_is_codes_levels_and_missing() -> None:
    codes, levels = factor(r("factor(c('b', NA, 'a', 'NA'), levels = c('b', 'a', 'NA', 'unused'))"))
    assert codes.tolist() == [0, -1, 1, 2]
    assert levels == ["b", "a", "NA", "unused"]
    assert as_text(r("factor(c('u', NA))")) == ["u", None]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NULL", None),
        ("NA", None),
        ("NA_character_", None),
        ("NA_real_", None),
        ("NA_integer_", None),
        ("TRUE", True),
        ("3L", 3),
        ("2.5", 2.5),
        ("'x'", "x"),
    ],
)
def test_scalars(code: str, expected: object) -> None:
    value = as_scalar(r(code))
    assert value == expected
    assert type(value) is type(expected)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "value",
    [
        True,
        7,
        2**40,
        1.25,
        "text",
        b"\x00\x01\xff",
        np.arange(4.0),
        np.arange(6.0).reshape(2, 3),
        np.array(["a", "b"], dtype=object),
        np.array([True, False]),
        np.array([3, -2]),
    ],
)
def test_values_come_back_as_they_went(value: object) -> None:
    back = from_r(to_r(value))
    np.testing.assert_array_equal(back, value)


def test_matrix_is_column_by_column_in_r() -> None:
    x = to_r(np.arange(6.0).reshape(2, 3))
    assert list(x) == [0, 3, 1, 4, 2, 5]
    assert function("dim")(x)[0] == 2


def test_whole_numbers_too_large_for_r_become_doubles() -> None:
    assert function("typeof")(to_r(np.array([2**31])))[0] == "double"
    assert function("typeof")(to_r(np.array([2**31 - 1, -(2**31) + 1])))[0] == "integer"
    assert function("typeof")(to_r(np.array([-(2**31)])))[0] == "double"  # R's NA


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_95_whole_numbers_that_doubles_do_not_hold_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match=f"^{value} has no exact form in R"):
        to_r({"count": np.array([1, value])})
    assert from_r(to_r(2**53)) == 2**53


def test_95_doubles_cross_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 1000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([bits[np.isfinite(bits)], [5e-324, -0.0, 1e308, 760.58508225]])
    assert np.array_equal(from_r(to_r(values)).view(np.uint64), values.view(np.uint64))


def test_missing_values_are_r_missing() -> None:
    assert function("is.na")(to_r(np.array(["a", None], dtype=object)))[1]
    codes = to_r(pd.Categorical(["a", None], categories=["b", "a"]))
    assert function("is.na")(codes)[1]
    assert list(function("levels")(codes)) == ["b", "a"]
    table = to_r(pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}))
    assert function("typeof")(table[0])[0] == "integer"
    assert function("is.na")(table[0])[1]


def test_data_frame_round_trip_with_odd_names() -> None:
    table = pd.DataFrame({"a b": [1.0, 2.0], "if": ["x", ""], "": [True, False]})
    frame = to_r(table)
    assert list(function("names")(frame)) == ["a b", "if", ""]
    assert function("nrow")(frame)[0] == 2
    pd.testing.assert_frame_equal(from_r(frame), table)
    one_row = from_r(to_r(table.iloc[:1]))
    pd.testing.assert_frame_equal(one_row, table.iloc[:1])


def test_lists_keep_names_and_nulls() -> None:
    values = from_r(to_r({"a": 1, "b": None, "c": {"d": "e"}, "f": [1, "x"]}))
    assert values == {"a": 1, "b": None, "c": {"d": "e"}, "f": [1, "x"]}


def test_what_has_no_form_in_r_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no form"):
        to_r(object())
    with pytest.raises(TypeError, match="complex"):
        to_r(np.array([1j]))


# ---------------------------------------------------------------- the session


def test_errors_of_r_are_one_line() -> None:
    with pytest.raises(RError, match=r"^it broke here$") as caught:
        function("stop")("it broke\nhere", **{"call.": False})
    assert "\n" not in str(caught.value)


def test_functions_that_are_not_there() -> None:
    with pytest.raises(RError, match="noSuchFunction"):
        function("noSuchFunction")


def test_only_the_main_thread_may_call() -> None:
    import threading

    caught: list[str] = []

    def call() -> None:
        try:
            session.start()
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert caught == ["R can be used from the main thread only: call massgraph.r from there"]


@pytest.mark.parametrize(
    ("note", "python", "inside"),
    [
        ('PID={pid}:NAME="reticulate"', "", True),
        ('PID={pid}0:NAME="reticulate"', "", False),
        ('PID=1{pid}:NAME="reticulate"', "", False),
        ("", "", False),
        ("PID=:NAME=x", "", False),
        ('PID={pid}:NAME="reticulate"', "current_pid={pid}:sys.executable=python", False),
    ],
)
def test_only_an_r_of_this_very_process_is_the_host(
    note: str, python: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = os.getpid()
    monkeypatch.setenv("R_SESSION_INITIALIZED", note.format(pid=pid))
    monkeypatch.setenv("PYTHON_SESSION_INITIALIZED", python.format(pid=pid))
    assert runs_inside_r() is inside
