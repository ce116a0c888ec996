"""Pictures of a page, and how they are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from massgraph.report.template import Picture, embed

if TYPE_CHECKING:
    from massgraph.segmentation import Segmentation

__all__ = ["BESIDE_RUNS", "CURVE_WIDTH", "HALF_WIDTH", "PAGE_WIDTH", "maps", "why_no_map"]

# Widths in inches. A4 with the template's margins leaves 7.1.
PAGE_WIDTH = 7.0
HALF_WIDTH = 3.4
CURVE_WIDTH = 5.3
# Of several runs there are many panels, which need not be large.
RUNS_WIDTHS = {"probability": 6.0, "uncertainty": 5.2}
# A narrow picture, a network say, and ion images of several runs side by side.
BESIDE_RUNS = (2.9, 4.1)
# Of a single run: a map wider than this (width over height) gets the page's width for itself.
WIDE = 1.6


def why_no_map(segmentation: Segmentation) -> str:
    """Why the pixels cannot be drawn at their places; empty where they can."""
    from massgraph.pl._raster import make_panels

    try:
        make_panels(segmentation.coordinates, segmentation.run, segmentation.pixel_size)
    except ValueError as error:
        return str(error)
    return ""


def maps(
    segmentation: Segmentation,
    *,
    labelled: bool,
    unit: str = "class",
    runs_widths: Mapping[str, float] = RUNS_WIDTHS,
) -> dict[str, Any]:
    """Maps of classes or regions (`unit`), side by side where there is room."""
    from massgraph import pl
    from massgraph.pl._raster import make_panels

    panels = make_panels(segmentation.coordinates, segmentation.run, segmentation.pixel_size)
    beside = len(panels) == 1 and panels[0].width <= WIDE * panels[0].height
    width = HALF_WIDTH if beside and labelled else PAGE_WIDTH

    of_one = {"probability": PAGE_WIDTH, "uncertainty": width}
    widths = of_one if len(panels) == 1 else runs_widths

    def draw(kind: str, text: str, width: float) -> Picture:
        return embed(pl.segmentation(segmentation, kind, width=width), text)

    return {
        "beside": beside and labelled,
        "class": draw("class", f"Map of the {unit} found in each pixel", width),
        "reference": draw("reference", "Map of the labels given", width) if labelled else None,
        "probability": draw(
            "probability", f"Maps of the probability of each {unit}", widths["probability"]
        ),
        "uncertainty": draw("uncertainty", "Map of the uncertainty", widths["uncertainty"]),
        "coverage": None
        if segmentation.coverage is None
        else draw("coverage", "Map of the coverage", widths["uncertainty"]),
    }
