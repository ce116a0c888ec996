"""Pixels by their place: one panel per run (and per section of a stack)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from massgraph._util.errors import InputError

__all__ = ["Panel", "joined", "make_panels"]

# A raster with more cells than this for its pixels (two pieces far apart, say) is drawn as marks.
MOST_CELLS = 20_000_000
# With more cells for each pixel than this, what is between sections is left out of the picture.
EMPTY = 100
WHOLE = 1e-6
# Runs that are drawn as one panel: width over height aimed at, and the space between, as a share.
JOINED_SHAPE = 2.5
JOINED_GAP = 0.08


@dataclass(frozen=True, eq=False)
class Panel:
    """The pixels of one picture and where they go.

    Attributes
    ----------
    name
        Name of the run, with the z coordinate where the run has several.
    pixels
        Indices of the pixels, shape ``(n,)``.
    x, y
        Centres, in units of one x coordinate (y is stretched where pixels are not square).
    step
        Size of one pixel in x and in y, in the same unit.
    raster
        Whether the centres lie on a grid of `step`; if not, pixels are drawn as marks.
    """

    name: str
    pixels: NDArray[np.intp]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    step: tuple[float, float]
    raster: bool

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge; y runs downwards, so that bottom is the largest."""
        half_x, half_y = self.step[0] / 2, self.step[1] / 2
        return (
            float(self.x.min() - half_x),
            float(self.x.max() + half_x),
            float(self.y.max() + half_y),
            float(self.y.min() - half_y),
        )

    @property
    def width(self) -> float:
        """Width in units of one x coordinate."""
        left, right, _, _ = self.extent
        return right - left

    @property
    def height(self) -> float:
        """Height in units of one x coordinate."""
        _, _, bottom, top = self.extent
        return bottom - top

    def draw(self, axes: Any, colours: NDArray[np.float64], inches_per_unit: float) -> None:
        """Draw pixels in `colours`, RGBA of all pixels, shape ``(n_pixels, 4)``."""
        left, right, bottom, top = self.extent
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        axes.axis("off")
        if self.raster:
            # Each pixel is a measurement: smoothing would make up colours that mean nothing.
            image = AxesImage(axes, origin="upper", interpolation="nearest", extent=self.extent)
            image.set_data(self.image(colours))
            image.set_clip_path(axes.patch)
            axes.add_image(image)
            return
        # matplotlib sizes marks by their area in points, 72 to the inch.
        points = 72 * inches_per_unit * min(self.step)
        axes.scatter(
            self.x,
            self.y,
            s=points**2,
            c=colours[self.pixels],
            marker="s",
            linewidths=0,
            rasterized=True,
            clip_on=False,
        )

    def image(self, colours: NDArray[np.float64]) -> NDArray[np.float64]:
        """Image, shape (rows, columns, 4); cells without a pixel are clear."""
        columns = np.rint((self.x - self.x.min()) / self.step[0]).astype(np.intp)
        rows = np.rint((self.y - self.y.min()) / self.step[1]).astype(np.intp)
        image = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1, 4))
        image[rows, columns] = colours[self.pixels]
        return image


def make_panels(
    coordinates: NDArray[np.float64] | None,
    run: NDArray[Any],
    pixel_size: tuple[float, float] | None = None,
) -> list[Panel]:
    """Panels of all runs, in the order in which the runs appear.

    Parameters
    ----------
    coordinates
        (x, y) or (x, y, z) of each pixel, shape ``(n_pixels, 2)`` or ``(n_pixels, 3)``.
    run
        Run of each pixel, shape ``(n_pixels,)``.
    pixel_size
        Size of a pixel in x and y, for the shape of pixels that are not square.

    Raises
    ------
    ValueError
        Where there are no coordinates or no pixels, or where two pixels of a run share a place.
    """
    if coordinates is None:
        msg = "the pixels have no coordinates: there is no image to draw"
        raise InputError(msg)
    if len(coordinates) == 0:
        msg = "there are no pixels to draw"
        raise InputError(msg)
    # Coordinates count pixels, so that a step along y may be longer than one along x.
    stretch = pixel_size[1] / pixel_size[0] if pixel_size else 1.0
    names = np.asarray(run).astype(np.str_)
    found, first = np.unique(names, return_index=True)
    panels = []
    for name in found[np.argsort(first)]:
        pixels = np.flatnonzero(names == name)
        for title, part in _sections(str(name), pixels, coordinates):
            panels.append(_panel(title, part, coordinates[part, :2], stretch))
    return panels


def joined(panels: Sequence[Panel]) -> Panel:
    """One panel of several, in rows from left to right."""
    if len(panels) == 1:
        return panels[0]
    step = panels[0].step
    raster = all(panel.raster and panel.step == step for panel in panels)
    if not raster:
        # Without a grid pixels are marks, and those of one panel are of one size.
        side = min(min(panel.step) for panel in panels)
        step = (side, side)
    # The gaps are whole steps, so that what lies on grids lies on one grid.
    gap = JOINED_GAP * max(max(panel.width, panel.height) for panel in panels)
    gaps = (float(np.ceil(gap / step[0]) * step[0]), float(np.ceil(gap / step[1]) * step[1]))
    found = [_in_rows(panels, columns, gaps) for columns in range(1, len(panels) + 1)]
    corners, _, _ = min(found, key=lambda rows: _cost(*rows))
    x = [panel.x - panel.extent[0] + left for panel, (left, _) in zip(panels, corners, strict=True)]
    y = [panel.y - panel.extent[3] + top for panel, (_, top) in zip(panels, corners, strict=True)]
    pixels = np.concatenate([panel.pixels for panel in panels])
    return Panel("all runs", pixels, np.concatenate(x), np.concatenate(y), step, raster)


def _in_rows(
    panels: Sequence[Panel], columns: int, gaps: tuple[float, float]
) -> tuple[list[tuple[float, float]], float, float]:
    """Upper left corner of each panel, and width and height of all, with so many in a row."""
    corners, width, top = [], 0.0, 0.0
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        left = 0.0
        for panel in row:
            corners.append((left, top))
            width, left = max(width, left + panel.width), left + panel.width + gaps[0]
        top += max(panel.height for panel in row) + gaps[1]
    return corners, width, top - gaps[1]


def _cost(corners: Sequence[tuple[float, float]], width: float, height: float) -> float:
    """How far rows are from the shape wanted, and how much paper they take."""
    return float(abs(np.log(width / height / JOINED_SHAPE)) + np.log(width * height))


def _sections(
    name: str, pixels: NDArray[np.intp], coordinates: NDArray[np.float64]
) -> list[tuple[str, NDArray[np.intp]]]:
    """The pixels of a run, by z where they have more than one."""
    if coordinates.shape[1] < 3:
        return [(name, pixels)]
    z = coordinates[pixels, 2]
    levels = np.unique(z)
    if levels.size == 1:
        return [(name, pixels)]
    return [(f"{name}, z = {level:g}", pixels[z == level]) for level in levels]


def _panel(
    name: str, pixels: NDArray[np.intp], places: NDArray[np.float64], stretch: float
) -> Panel:
    _, first, counts = np.unique(places, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        x, y = places[first[np.argmax(counts > 1)]]
        msg = (
            f"several pixels of run {name!r} are at ({x:g}, {y:g}): "
            "give each image a run name of its own"
        )
        raise InputError(msg)
    x, y = places[:, 0], places[:, 1]
    # One step for both ways: lines of the scan that were left out stay gaps.
    step = _grid_step(x, y)
    if step and (np.ptp(x) / step + 1) * (np.ptp(y) / step + 1) > EMPTY * len(x):
        x, y, cut = _drawn_together(x, y, step)
        name += ", empty slide left out" if cut else ""
    if step and (np.ptp(x) / step + 1) * (np.ptp(y) / step + 1) <= max(MOST_CELLS, 4 * len(x)):
        return Panel(name, pixels, x, y * stretch, (step, step * stretch), raster=True)
    # A measured spacing serves both ways: pixels off the grid have no rows and columns.
    side = _spacing(x, y * stretch)
    return Panel(name, pixels, x, y * stretch, (side, side), raster=False)


def _drawn_together(
    x: NDArray[np.float64], y: NDArray[np.float64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Cut empty stretches of a slide, and say whether there were any: sections would be dots."""
    closed = []
    for values in (x, y):
        there, at = np.unique(values, return_inverse=True)
        gaps = np.diff(there)
        wide = gaps > 2 * step * there.size
        gaps[wide] = step * max(there.size // 4, 2)
        closed.append(np.concatenate(([0.0], np.cumsum(gaps)))[at.reshape(-1)] + there[0])
    cut = (np.ptp(closed[0]), np.ptp(closed[1])) != (np.ptp(x), np.ptp(y))
    return closed[0], closed[1], cut


def _grid_step(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Greatest common step of whole coordinates (1 for one pixel); 0 where one is not whole."""
    step = 0
    for values in (x, y):
        whole = np.rint(values)
        if np.abs(values - whole).max() > WHOLE:
            return 0.0
        step = int(np.gcd.reduce(np.diff(np.unique(whole.astype(np.int64))), initial=step))
    return float(step or 1)


def _spacing(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Median distance to the nearest pixel."""
    if x.size < 2:
        return 1.0
    distance, _ = cKDTree(np.column_stack([x, y])).query(np.column_stack([x, y]), k=2)
    return float(np.median(distance[:, 1]))
