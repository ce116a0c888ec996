"""Text of any file, in one line."""

from __future__ import annotations

import pytest

from massgraph._util.text import one_line


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\0", "\x1b[31m", "\x85", "\u2028", "\u2029", "\t"])
def test_control_characters_become_a_space(mark: str) -> None:
    line = one_line(f"a{mark}b")
    assert line.splitlines() == [line]
    assert line.isprintable()
    assert line.startswith("a ")
    assert line.endswith("b")


def test_of_a_long_text_the_middle_is_left_out() -> None:
    line = one_line("begin" + "x" * 10_000 + "end")
    assert len(line) < 2100
    assert line.startswith("begin")
    assert " [...] " in line
    assert line.endswith("end")
    assert one_line("short") == "short"
