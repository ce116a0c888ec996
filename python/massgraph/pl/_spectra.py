"""Mirror plot of a class: its mean spectrum above, what each ion contributes below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from massgraph.pl._style import (
    FAINT,
    INK,
    OKABE_ITO,
    SOFT,
    Picture,
    shorten,
    styled,
    text_width,
)

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.explain import Explanation

__all__ = ["activation"]

# In inches, but for numbers of things.
LEFT, RIGHT, BOTTOM = 0.52, 0.1, 0.4
LEGEND_ROOM = 0.24
UPPER, LOWER, BETWEEN = 1.35, 1.75, 0.1
LABEL_SIZE = 6.0
LABEL_HEIGHT = 0.1
LABEL_GAP = 0.04
LABEL_ROOM = 0.5
MOST_LABELS = 14
MOST_TRIED = 30
MOST_FAMILIES = 6
# More lines than this go into a file as an image: a drawing program would choke on them.
MOST_LINES = 2000
SKYLINE_STEPS = 100  # per inch


def activation(explanation: Explanation, class_: object, *, width: float = 7.2) -> Picture:
    """Draw the mean spectrum of a class above what each ion contributes to it.

    Parameters
    ----------
    explanation
        What `RGCNClassifier.explain` gives.
    class_
        One of `explanation.classes`.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Above: mean intensity over the pixels given the class (1 = mean peak of a pixel), square
        root scale. Below, downwards: mean contribution to the logit of the class over the same
        pixels, linear scale; what speaks against the class points upwards from zero. Ions of the
        first six families of the class are coloured. The highest-ranked ions that speak for the
        class are named by m/z; those for whose name there is no room are passed over.

    Raises
    ------
    ValueError
        Where there is no such class.
    """
    name = str(class_)
    if name not in explanation.classes:
        msg = f"no class {name!r} in this explanation; its classes are {explanation.classes}"
        raise ValueError(msg)
    height = BOTTOM + LOWER + BETWEEN + UPPER + LEGEND_ROOM
    picture = Picture(width, height)
    across = width - LEFT - RIGHT
    colours, legend = _family_colours(explanation, name)
    mz = explanation.mz
    contribution = explanation.ions[f"activation_{name}"].to_numpy(dtype=float)
    pixels = int(np.count_nonzero(explanation.labels == explanation.classes.index(name)))
    with styled():
        lower = picture.axes_at(LEFT, BOTTOM, across, LOWER)
        upper = picture.axes_at(LEFT, BOTTOM + LOWER + BETWEEN, across, UPPER, sharex=lower)
        _draw_spectrum(upper, mz, explanation.ions[f"intensity_{name}"].to_numpy(float), colours)
        _mz_axis(lower, upper, mz)
        scale = _draw_contribution(lower, mz, contribution, colours)
        room = _Room(mz, contribution, scale, lower.get_xlim(), across)
        _label_ions(lower, room, explanation.ions, name, colours)
        said = f"{name}, {pixels:,} px" if pixels else f"{name}: no pixel was given this class"
        text = shorten(said, across, 7.5, "bold")
        upper.text(0, 1.0, text, transform=upper.transAxes, va="top", weight="bold", fontsize=7.5)
        _draw_legend(picture, legend, width, height)
    return picture


def _family_colours(explanation: Explanation, name: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Colour of each ion, and (colour, text) of each entry of the legend."""
    table = explanation.families
    numbers = table.loc[table["class"].astype(str) == name, "family"].unique()[:MOST_FAMILIES]
    palette = dict(zip(numbers.tolist(), OKABE_ITO, strict=False))
    family = explanation.ions["family"]
    colours = [FAINT if number is None else palette.get(number, FAINT) for number in _plain(family)]
    legend = [
        (colour, f"family {number} ({int((family == number).sum())} ions)")
        for number, colour in palette.items()
    ]
    return colours, [*legend, (FAINT, "other ions")]


def _plain(family: pd.Series) -> list[int | None]:
    return [
        None if missing else int(number)
        for number, missing in zip(family, family.isna(), strict=True)
    ]


# ---------------------------------------------------------------------- panels


def _stems(
    axes: Any, mz: NDArray[np.float64], heights: NDArray[np.float64], colours: list[str]
) -> None:
    """Draw lines from zero, coloured ones over grey ones, thin where there are many."""
    shown = heights != 0
    coloured = np.array([colour != FAINT for colour in colours], dtype=bool)
    for front, width in ((False, 0.5 if shown.sum() < MOST_LINES else 0.35), (True, 0.9)):
        picked = np.flatnonzero(shown & (coloured == front))
        picked = picked[np.argsort(np.abs(heights[picked]))]
        segments = np.zeros((picked.size, 2, 2))
        segments[:, :, 0] = mz[picked, None]
        segments[:, 1, 1] = heights[picked]
        lines = LineCollection(
            segments,  # type: ignore[arg-type]
            colors=[colours[index] for index in picked],
            linewidths=width,
            capstyle="butt",
            zorder=3 if front else 2,
        )
        lines.set_rasterized(picked.size > MOST_LINES)
        axes.add_collection(lines, autolim=False)


def _draw_spectrum(
    axes: Any, mz: NDArray[np.float64], intensity: NDArray[np.float64], colours: list[str]
) -> None:
    _stems(axes, mz, intensity, colours)
    top = 1.12 * float(intensity.max(initial=0.0)) or 1.0
    axes.set_yscale("function", functions=(_root, np.square))
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(FixedLocator(_root_ticks(top)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("mean intensity\n(square root scale)")


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))


def _root_ticks(top: float) -> list[float]:
    """0 and numbers of 1, 2 or 5 times a power of ten, far enough apart on a square root scale."""
    power = 10.0 ** np.floor(np.log10(top))
    ticks: list[float] = []
    for value in sorted(
        (step * power * ten for step in (5, 2, 1) for ten in (1, 0.1, 0.01)), reverse=True
    ):
        above = np.sqrt(ticks[-1] / top) if ticks else 1.2
        if value <= 0.98 * top and above - np.sqrt(value / top) > 0.16:
            ticks.append(value)
    return [0.0, *(tick for tick in reversed(ticks) if np.sqrt(tick / top) > 0.12)]


def _draw_contribution(
    axes: Any, mz: NDArray[np.float64], contribution: NDArray[np.float64], colours: list[str]
) -> _Scale:
    """Draw contributions downwards, with room for labels below the longest."""
    highest = max(float(contribution.max(initial=0.0)), 0.0)
    lowest = min(float(contribution.min(initial=0.0)), 0.0)
    span = (highest - lowest) or 1.0
    per_inch = span / (LOWER - LABEL_ROOM)
    _stems(axes, mz, contribution, colours)
    axes.set_ylim(highest + LABEL_ROOM * per_inch, lowest)
    axes.axhline(0, color=INK, lw=0.6, zorder=1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylabel("contribution to the logit\n(linear scale)")
    return _Scale(lowest, per_inch)


def _mz_axis(lower: Any, upper: Any, mz: NDArray[np.float64]) -> None:
    low, high = (float(mz.min()), float(mz.max())) if mz.size else (0.0, 1.0)
    margin = 0.015 * (high - low) or 1.0
    lower.set_xlim(low - margin, high + margin)
    lower.set_xlabel("m/z")
    lower.xaxis.set_major_locator(MaxNLocator(10))
    upper.tick_params(axis="x", bottom=False, labelbottom=False)


# ---------------------------------------------------------------------- labels


@dataclass(frozen=True)
class _Scale:
    """Depth of a contribution below the upper edge of its panel."""

    top: float
    per_inch: float

    def depth(self, contribution: Any) -> Any:
        """Inches below the upper edge."""
        return (contribution - self.top) / self.per_inch

    def value(self, depth: float) -> float:
        """Contribution drawn at this depth."""
        return self.top + depth * self.per_inch


class _Room:
    """What is drawn so far: the depth in inches to which each strip of the panel is taken.

    Labels hang below their ion's tip, so far down that they clear all ions and labels in the
    strips they cover; a line leads straight up to the tip.
    """

    def __init__(
        self,
        mz: NDArray[np.float64],
        contribution: NDArray[np.float64],
        scale: _Scale,
        limits: tuple[float, float],
        across: float,
    ) -> None:
        self.mz, self.contribution, self.scale = mz, contribution, scale
        self.low, self.across = limits[0], across
        self.per_inch = (limits[1] - limits[0]) / across
        self.taken = np.zeros(int(np.ceil(across * SKYLINE_STEPS)) + 1)
        self.labelled = np.zeros(self.taken.size, dtype=bool)
        depth = scale.depth(contribution)
        np.maximum.at(self.taken, self.step(self.x(mz)), np.where(contribution > 0, depth, 0.0))

    def x(self, mz: Any) -> Any:
        """Inches from the left edge."""
        return (mz - self.low) / self.per_inch

    def step(self, x: Any) -> Any:
        """Strip that a place is in."""
        return np.floor(np.asarray(x) * SKYLINE_STEPS).astype(np.intp)

    def place(
        self, ion: int, size: float, waiting: NDArray[np.float64]
    ) -> tuple[float, float] | None:
        """Left edge and top of a label of this width, in inches; None where there is no room.

        A place is worse by its distance from the tip, and by each ion still `waiting` for a label
        whose way down it bars.
        """
        x, tip = float(self.x(self.mz[ion])), self.scale.depth(self.contribution[ion])
        if self.labelled[self.step(x)]:
            return None
        best: tuple[float, float, float] | None = None
        for share in (0.5, 0.35, 0.65, 0.2, 0.8, 0.0, 1.0):
            left = x - share * size
            if left < 0 or left + size > self.across:
                continue
            strips = slice(
                self.step(left - LABEL_GAP).clip(0), self.step(left + size + LABEL_GAP) + 1
            )
            top = float(self.taken[strips].max()) + LABEL_GAP
            if top + LABEL_HEIGHT > LOWER:
                continue
            barred = np.count_nonzero((waiting > left - 0.03) & (waiting < left + size + 0.03))
            cost = top - tip + 0.2 * barred + 0.1 * abs(share - 0.5)
            if best is None or cost < best[0]:
                best = (cost, left, top)
        return None if best is None else best[1:]

    def take(self, left: float, top: float, size: float) -> None:
        """Mark a place as taken."""
        strips = slice(self.step(left), self.step(left + size) + 1)
        self.taken[strips] = top + LABEL_HEIGHT
        self.labelled[strips] = True


def _label_ions(axes: Any, room: _Room, ions: pd.DataFrame, name: str, colours: list[str]) -> None:
    """Write m/z at the tips of the highest-ranked ions that speak for the class."""
    speaks = (ions["class"].astype(str) == name) & (ions["score"] > 0)
    speaks &= ions[f"activation_{name}"] > 0
    chosen = np.flatnonzero(speaks)
    chosen = chosen[np.argsort(ions["rank"].to_numpy()[chosen])][:MOST_TRIED]
    written = 0
    for turn, ion in enumerate(chosen):
        text = f"{room.mz[ion]:.4f}"
        size = text_width(text, LABEL_SIZE)
        place = room.place(ion, size, room.x(room.mz[chosen[turn + 1 : MOST_LABELS]]))
        if place is None or written == MOST_LABELS:
            continue
        written += 1
        left, top = place
        room.take(left, top, size)
        colour = INK if colours[ion] == FAINT else colours[ion]
        tip = room.contribution[ion]
        foot = room.scale.value(top)
        if top - room.scale.depth(tip) > 1.5 * LABEL_GAP:
            axes.plot([room.mz[ion]] * 2, [tip, foot], color=colour, lw=0.35, ls=(0, (1, 1.2)))
        axes.text(
            room.low + (left + size / 2) * room.per_inch,
            foot,
            text,
            ha="center",
            va="top",
            fontsize=LABEL_SIZE,
            color=colour,
            zorder=4,
        )


def _draw_legend(
    picture: Picture, legend: list[tuple[str, str]], width: float, height: float
) -> None:
    handles = [Line2D([], [], color=colour, lw=2) for colour, _ in legend]
    picture.legend(
        handles,
        [text for _, text in legend],
        loc="upper left",
        bbox_to_anchor=(LEFT / width, (height - 0.05) / height),
        ncols=len(legend),
        borderaxespad=0,
        borderpad=0,
        handlelength=1.0,
        handletextpad=0.4,
        columnspacing=1.2,
    )
