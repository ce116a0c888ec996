"""Draw the rooms of the package floor by floor: the picture in docs/architecture.md.

The floors are those that the linter of imports holds (pyproject.toml); what a room is for is read
from the package. ``.venv/bin/python tools/architecture_picture.py docs/images/architecture.png``.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import tomllib

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "massgraph"

# Rooms that a spectrum and a label pass on their way, in order.
SPECTRUM = ("io", "data", "encode", "graph", "nn", "explain", "segmentation", "report")
LABEL = ("io", "data", "learn", "fitted", "segmentation")
BLUE, ORANGE, INK = "#0072B2", "#D55E00", "#222222"
WIDTH, HEIGHT, GAP, NAME = 8.6, 0.44, 0.1, 1.44  # of floors, of rooms, between them, of names


def floors() -> list[list[str]]:
    """Rooms by floor, the upper first."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    found = [[room.strip() for room in layer.split("|")] for layer in layers]
    return [rooms for rooms in found if rooms != ["_version"]]


def purpose(room: str) -> str:
    """First sentence of the docstring of a room."""
    path = PACKAGE / room / "__init__.py"
    path = path if path.is_file() else PACKAGE / f"{room}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0].replace("\n", " ").replace("`", "")


def draw(target: Path) -> None:
    """Draw all floors; numbers in a room are the stations of a spectrum and of a label."""
    rows = floors()
    figure, axes = plt.subplots(figsize=(8.4, 0.53 * len(rows) + 0.5))
    for number, rooms in enumerate(rows):
        y = -number * (HEIGHT + GAP)
        width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
        for index, room in enumerate(rooms):
            _box(axes, room, index * (width + GAP), y, width)
    for x, colour, text in ((0.15, BLUE, "the way of a spectrum"), (2.6, ORANGE, "of a label")):
        _station(axes, x, 0.75, "n", colour)
        axes.text(x + 0.25, 0.75, text, size=8, va="center", color=colour)
    axes.set_xlim(-0.05, WIDTH + 0.05)
    axes.set_ylim(-len(rows) * (HEIGHT + GAP) + GAP, 1.0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    figure.savefig(target, dpi=150, bbox_inches="tight", facecolor="white")


def _box(axes: Any, room: str, x: float, y: float, width: float) -> None:
    style = "round,pad=0,rounding_size=0.06"
    box = FancyBboxPatch((x, y), width, HEIGHT, style, fc="#F3F6F8", ec="#9AA7B0", lw=0.8)
    axes.add_patch(box)
    middle = y + HEIGHT / 2
    axes.text(x + 0.1, middle, room, weight="bold", size=8, va="center", color=INK)
    right = x + width - 0.2
    for stations, colour in ((LABEL, ORANGE), (SPECTRUM, BLUE)):
        if room in stations:
            _station(axes, right, middle, str(stations.index(room) + 1), colour)
            right -= 0.34
    # Where three rooms share a floor, names of few letters leave their room to the purpose.
    name = NAME if width > WIDTH / 3 else 0.25 + 0.11 * len(room)
    text = textwrap.fill(purpose(room), int((right - x - name) / 0.058))
    axes.text(x + name, middle, text, size=6.4, va="center", color="#444444", linespacing=1.15)


def _station(axes: Any, x: float, y: float, text: str, colour: str) -> None:
    axes.add_patch(Circle((x, y), 0.14, fc="white", ec=colour, lw=1.2))
    axes.text(x, y - 0.005, text, color=colour, size=7, ha="center", va="center")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
