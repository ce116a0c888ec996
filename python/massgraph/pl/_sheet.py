"""A sheet of image panels at one common scale, laid out in inches, with legend and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from massgraph.pl._raster import Panel
from massgraph.pl._style import INK, SOFT, Picture, shorten, styled, text_width

__all__ = ["Cell", "Section", "Sheet", "draw_legend", "flow"]

# All in inches.
MARGIN = 0.06
GAP = 0.14
HEADER = 0.22
LINE = 0.125
LEGEND_LINE = 0.17
SCALE_ROOM = 0.24
FRAME = 0.025  # between a panel and the frame around it
BAR_ROOM = 0.74
NARROWEST_COLUMN = 0.85
# Largest width and height of a panel, where there are one, two, and more of them.
LARGEST_PANELS = ((4.6, 3.7), (3.0, 2.6), (2.4, 2.4))
# An image of a few pixels is not blown up to the size of a panel.
LARGEST_PIXEL = 0.09
TALLEST = 9.0


@dataclass(frozen=True)
class Cell:
    """A panel, RGBA colours of all pixels, the lines of its title, and whether it stands out."""

    panel: Panel
    colours: Any
    title: tuple[str, ...]
    marked: bool = False


@dataclass(frozen=True)
class Section:
    """Cells that belong together, under a header where there is one."""

    cells: Sequence[Cell]
    header: str = ""


class Sheet:
    """A figure of panels, all at one scale.

    Parameters
    ----------
    sections
        What to draw; each begins a new row.
    width
        Largest width of the figure in inches.
    legend
        (colour, text) of each entry, below the panels.
    colour_bar
        Whether to keep room for a colour bar at the right; see `add_colour_bar`.
    scale_bar
        Size of one x coordinate and its unit, where known.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        *,
        width: float,
        legend: Sequence[tuple[str, str]] = (),
        colour_bar: bool = False,
        scale_bar: tuple[float, str] | None = None,
    ) -> None:
        self.sections = sections
        self.right = BAR_ROOM if colour_bar else 0.0
        self.columns, self.scale = self._best_columns(width - self.right - 2 * MARGIN)
        self.column_widths = self._column_widths(self.columns, self.scale)
        across = sum(self.column_widths) + GAP * (len(self.column_widths) - 1)
        self.legend = flow(legend, width - 2 * MARGIN)
        legend_width = max((row[-1][0] + row[-1][3] for row in self.legend), default=0.0)
        self.width = min(width, max(across + self.right, legend_width) + 2 * MARGIN)
        foot = MARGIN + len(self.legend) * LEGEND_LINE + (SCALE_ROOM if scale_bar else 0)
        height = foot + self._panels_height(self.columns, self.scale) + (GAP if self.legend else 0)
        self.figure = Picture(self.width, height)
        self.bar_top, self.bar_height = height, 0.0
        with styled():
            bottom, left = self._draw_panels(height - MARGIN)
            if scale_bar:
                bottom = self._draw_scale_bar(left, bottom, *scale_bar)
            draw_legend(self.figure, self.legend, MARGIN, bottom - GAP / 2)

    # ---------------------------------------------------------------- measuring

    def _rows(self, columns: int) -> list[list[list[Cell]]]:
        """Cells by section and row."""
        return [
            [
                list(section.cells[start : start + columns])
                for start in range(0, len(section.cells), columns)
            ]
            for section in self.sections
        ]

    def _column_widths(self, columns: int, scale: float) -> list[float]:
        widths = [0.0] * min(columns, max(len(section.cells) for section in self.sections))
        for section in self._rows(columns):
            for row in section:
                for index, cell in enumerate(row):
                    widths[index] = max(widths[index], cell.panel.width * scale)
        return [max(width, NARROWEST_COLUMN) for width in widths]

    def _shows_titles(self, section: int, columns: int) -> bool:
        """Titles that say the same in every section are shown once, where nothing is wrapped."""
        cells = self.sections[section].cells
        return (
            section == 0
            or len(cells) > columns
            or [cell.title for cell in cells] != [cell.title for cell in self.sections[0].cells]
        )

    def _panels_height(self, columns: int, scale: float) -> float:
        height = MARGIN - GAP
        for index, section in enumerate(self._rows(columns)):
            height += HEADER if self.sections[index].header else 0.0
            for row in section:
                height += max(cell.panel.height for cell in row) * scale + GAP
                if self._shows_titles(index, columns):
                    height += max(len(cell.title) for cell in row) * LINE + 0.04
        return height

    def _best_columns(self, room: float) -> tuple[int, float]:
        """Give the number of columns, and inches to a unit of x.

        The most columns that leave panels at least four fifths as large as they could be.
        """
        most = max(len(section.cells) for section in self.sections)
        most = min(most, max(1, int((room + GAP) / (NARROWEST_COLUMN + GAP))))
        scales = [self._largest_scale(columns, room) for columns in range(1, most + 1)]
        columns = max(n for n, scale in enumerate(scales, 1) if scale >= 0.8 * max(scales))
        return columns, scales[columns - 1]

    def _largest_scale(self, columns: int, room: float) -> float:
        panels = [cell.panel for section in self.sections for cell in section.cells]
        widest, tallest = LARGEST_PANELS[min(len(panels), len(LARGEST_PANELS)) - 1]
        scale = min(
            widest / max(panel.width for panel in panels),
            tallest / max(panel.height for panel in panels),
            LARGEST_PIXEL / min(min(panel.step) for panel in panels),
        )
        widths = self._column_widths(columns, scale)
        across = sum(widths) + GAP * (len(widths) - 1)
        if across > room:
            # Columns at their narrowest do not shrink with the scale: halve until all fits.
            low, high = 0.0, scale
            for _ in range(30):
                middle = (low + high) / 2
                widths = self._column_widths(columns, middle)
                fits = sum(widths) + GAP * (len(widths) - 1) <= room
                low, high = (middle, high) if fits else (low, middle)
            scale = low
        fixed = self._panels_height(columns, 0.0)
        drawn = self._panels_height(columns, scale) - fixed
        # A sheet of very many rows grows beyond a page rather than shrink its panels to nothing.
        room_up = max(TALLEST - fixed, 0.25 * drawn)
        return scale * min(1.0, room_up / drawn)

    # ---------------------------------------------------------------- drawing

    def _draw_panels(self, top: float) -> tuple[float, float]:
        """Draw all panels from `top` down; return the lower and the left edge."""
        left_edge = MARGIN
        for index, section in enumerate(self._rows(self.columns)):
            header = self.sections[index].header
            if header:
                top -= HEADER
                self._text(MARGIN, top + 0.06, header, self.width - 2 * MARGIN, weight="bold")
            for row in section:
                if self._shows_titles(index, self.columns):
                    top -= max(len(cell.title) for cell in row) * LINE + 0.04
                height = max(cell.panel.height for cell in row) * self.scale
                left_edge = self._draw_row(row, top, self._shows_titles(index, self.columns))
                # The colour bar stands beside the first row, however many rows follow.
                if not self.bar_height:
                    self.bar_top, self.bar_height = top, height
                top -= height + GAP
        return top + GAP, left_edge

    def _draw_row(self, row: Sequence[Cell], top: float, titled: bool) -> float:
        left, edge = MARGIN, MARGIN
        for index, (cell, room) in enumerate(zip(row, self.column_widths, strict=False)):
            width, height = cell.panel.width * self.scale, cell.panel.height * self.scale
            axes = self.figure.axes_at(left, top - height, width, height)
            axes.set_label(f"panel: {cell.panel.name}")
            cell.panel.draw(axes, cell.colours, self.scale)
            if cell.marked:
                self._frame(left, top - height, width, height)
            for line, text in enumerate(cell.title if titled else ()):
                at = top + 0.05 + (len(cell.title) - 1 - line) * LINE
                colour = INK if line == 0 else SOFT
                weight = "bold" if cell.marked else "normal"
                self._text(left, at, text, room + 0.5 * GAP, color=colour, weight=weight)
            edge = left if index == 0 else edge
            left += room + GAP
        return edge

    def _frame(self, left: float, bottom: float, width: float, height: float) -> None:
        """Draw a frame just around a panel."""
        across, up = self.figure.get_size_inches()
        self.figure.add_artist(
            Rectangle(
                ((left - FRAME) / across, (bottom - FRAME) / up),
                (width + 2 * FRAME) / across,
                (height + 2 * FRAME) / up,
                fill=False,
                edgecolor=INK,
                lw=1.0,
            )
        )

    def _text(self, x: float, y: float, text: str, room: float, **kwargs: Any) -> None:
        text = shorten(text, room, weight=kwargs.get("weight", "normal"))
        self.figure.text_at(x, y, text, va="baseline", **kwargs)

    def _draw_scale_bar(self, left: float, bottom: float, size: float, unit: str) -> float:
        """Draw a bar of a round length, at most a third of the panel above it."""
        panel = self._rows(self.columns)[-1][-1][0].panel
        length, text = _round_length(panel.width * size, unit)
        inches = length / size * self.scale
        width, height = self.figure.get_size_inches()
        y = bottom - 0.09
        self.figure.add_artist(
            Rectangle(
                (left / width, (y - 0.015) / height), inches / width, 0.03 / height, color=INK, lw=0
            )
        )
        self.figure.text_at(left + inches + 0.05, y, text, va="center_baseline", fontsize=6.5)
        return bottom - SCALE_ROOM

    def add_colour_bar(
        self, mappable: Any, label: str, ticks: Sequence[float], names: Sequence[str]
    ) -> None:
        """Add the colour bar beside the first row, with `names` at `ticks`."""
        # Flat panels would squeeze the bar's ticks together, and tall ones need no longer bar.
        height = float(np.clip(self.bar_height, 0.8, 1.6))
        across = sum(self.column_widths) + GAP * (len(self.column_widths) - 1)
        left = MARGIN + across + 0.13
        with styled():
            axes = self.figure.axes_at(left, self.bar_top - height, 0.09, height)
            axes.set_label("colour bar")
            bar = self.figure.colorbar(mappable, cax=axes, ticks=ticks)
            bar.ax.set_yticklabels(names)
            bar.outline.set_visible(False)
            bar.set_label(label, fontsize=6.5)


def flow(
    entries: Sequence[tuple[str, str]], room: float
) -> list[list[tuple[float, str, str, float]]]:
    """Break legend entries into rows of (x, colour, text, width)."""
    rows: list[list[tuple[float, str, str, float]]] = []
    x = room + 1  # there is no row yet: the first entry opens one
    for colour, long_text in entries:
        text = shorten(long_text, room - 0.15, 6.5)
        width = 0.15 + text_width(text, 6.5)
        if x + width > room:
            rows.append([])
            x = 0.0
        rows[-1].append((x, colour, text, width))
        x += width + 0.18
    return rows


def draw_legend(
    picture: Picture,
    rows: Sequence[Sequence[tuple[float, str, str, float]]],
    left: float,
    top: float,
) -> None:
    """Draw the rows of `flow`, downwards from a place in inches."""
    width, height = picture.get_size_inches()
    for number, row in enumerate(rows):
        y = top - number * LEGEND_LINE - 0.11
        for x, colour, text, _ in row:
            corner = (left + x) / width, (y - 0.01) / height
            picture.add_artist(Rectangle(corner, 0.1 / width, 0.1 / height, facecolor=colour, lw=0))
            picture.text_at(left + x + 0.15, y, text, va="baseline", fontsize=6.5)


def _round_length(width: float, unit: str) -> tuple[float, str]:
    """Longest length of 1, 2 or 5 times a power of ten that is at most a third of `width`."""
    power = 10.0 ** np.floor(np.log10(width / 3))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= width / 3))
    shown, name = length, "µm" if unit in {"um", "µm", "micrometer", "micrometre"} else unit
    if name == "µm" and length >= 1000:
        shown, name = length / 1000, "mm"
    return length, f"{shown:g} {name}"
