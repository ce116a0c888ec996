"""Advice names what exists where the user stands."""

from __future__ import annotations

import pytest

from massgraph._util.advice import advise, standing_in


def said() -> str:
    return advise("missing=['0']", cli="--missing 0")


def test_each_place_has_its_words() -> None:
    assert said() == "missing=['0']"
    with standing_in("cli"):
        assert said() == "--missing 0"
        with standing_in("r"):
            assert said() == "missing=['0']"
            assert advise("None", cli="", r="NA") == "NA"
        assert said() == "--missing 0"
    assert said() == "missing=['0']"


def test_a_place_is_left_by_an_error() -> None:
    def fails() -> None:
        with standing_in("cli"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert said() == "missing=['0']"
