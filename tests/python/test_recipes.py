"""CONTRIBUTING.md is true: each of its recipes is carried out on a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import massgraph as mg

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(mg.__file__).parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMES = ("relation", "feature", "branch", "objective", "reader", "command", "parameter")


@dataclass
class Step:
    """A block of a recipe: what to do, with which file, at which line, and the text."""

    what: str
    file: str
    place: str
    text: str


def recipes() -> dict[str, list[Step]]:
    """The blocks of each section below "Recipes" by its heading."""
    found: dict[str, list[Step]] = {}
    for section in TEXT.split("\n## Recipes\n")[1].split("\n### ")[1:]:
        heading, body = section.split("\n", maxsplit=1)
        blocks = re.findall(r"^```python (\w+) ?(\S*) ?([^\n]*)\n(.*?)^```$", body, re.M | re.S)
        found[heading] = [Step(*block) for block in blocks]
    return found


RECIPES = recipes()


def carry_out(step: Step, root: Path) -> None:
    """Make or change one file of the copy; every anchor must be there once."""
    path = root / step.file
    if step.what == "new":
        assert not path.exists(), f"{step.file} is there already"
        path.write_text(step.text, encoding="utf-8")
        return
    old = path.read_text(encoding="utf-8")
    how, anchor = re.fullmatch(r'(after|before|replace) "(.*)"', step.place).groups()  # type: ignore[union-attr]
    assert old.count(anchor) == 1, f"{anchor!r} stands {old.count(anchor)} times in {step.file}"
    if how == "replace":
        path.write_text(old.replace(anchor, step.text.rstrip("\n")), encoding="utf-8")
        return
    at = old.index(anchor)
    line = old.index("\n", at) + 1 if how == "after" else old.rfind("\n", 0, at) + 1
    path.write_text(old[:line] + step.text + old[line:], encoding="utf-8")


def test_there_is_a_recipe_for_each_thing() -> None:
    assert len(RECIPES) == len(NAMES)
    for heading, name in zip(RECIPES, NAMES, strict=True):
        assert name in heading


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_touches_two_files_at_most(heading: str) -> None:
    files = {step.file for step in RECIPES[heading] if step.what in ("edit", "new")}
    assert 1 <= len(files) <= 2, files
    assert [step.what for step in RECIPES[heading]].count("try") == 1


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_can_be_carried_out(heading: str, tmp_path: Path) -> None:
    copy = tmp_path / "python" / "massgraph"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for step in RECIPES[heading]:
        if step.what != "try":
            carry_out(step, tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    (script,) = (step.text for step in RECIPES[heading] if step.what == "try")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "python")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
