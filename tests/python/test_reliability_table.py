"""docs/reliability.md names all 95 cases, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = {int(number): row for number, row in re.findall(r"^\| (\d+) \| (.*) \|$", TEXT, re.M)}
NAMED_IN_R = sorted(set(re.findall(r"`(test-[\w-]+)::([^`]+)`", TEXT)))
NAMED = sorted(set(re.findall(r"`((?:\w+/)?test_\w+)::(test_\w+)`", TEXT)))


def test_every_case_has_a_row() -> None:
    assert list(ROWS) == list(range(1, 96))
    for number, row in ROWS.items():
        case, others, ours, tests = re.split(r"(?<!\\) \| ", row)
        assert all((case, others, ours, tests)), number
        assert "::" in tests, number


@pytest.mark.parametrize(("module", "test"), NAMED)
def test_named_tests_exist(module: str, test: str) -> None:
    source = (ROOT / "tests" / "python" / f"{module}.py").read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(", source, re.M), f"{module}::{test}"


@pytest.mark.parametrize(("file", "title"), NAMED_IN_R)
def test_named_tests_of_r_exist(file: str, title: str) -> None:
    source = (ROOT / "tests" / "testthat" / f"{file}.R").read_text(encoding="utf-8")
    assert f'test_that("{title}", {{' in source


def test_numbered_tests_are_named_or_belong_to_a_named_case() -> None:
    """A test that bears a case's number belongs to a case of the table."""
    for path in (ROOT / "tests" / "python").rglob("test_*.py"):
        for number in re.findall(r"^def test_(\d\d)_", path.read_text(encoding="utf-8"), re.M):
            assert int(number) in ROWS
