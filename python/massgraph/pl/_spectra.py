"""Mirror plot of a class: its mean spectrum above, what each ion contributes below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.pl._sheet import LEGEND_LINE, draw_legend, flow
from massgraph.pl._style import (
    FAINT,
    INK,
    OKABE_ITO,
    SOFT,
    Picture,
    shorten,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.explain.activation import Explanation

__all__ = ["activation"]

# In inches, but for numbers of things.
LEFT, RIGHT, BOTTOM = 0.7, 0.1, 0.38
TICK_ROOM = 0.4
TITLE, GAP = 0.2, 0.06
UPPER, LOWER, BETWEEN = 1.3, 1.9, 0.1
TITLE_SIZE = 7.5
LABEL_SIZE = 6.0
LABEL_STEP = 0.115
LABEL_LENGTH = 0.44
LABEL_ROOM = 0.62
DASHES = (0, (3, 1.5))
MOST_LABELS = 20
MOST_FAMILIES = 6
# More lines than this go into a file as an image: a drawing program would choke on them.
MOST_LINES = 2000


def activation(explanation: Explanation, class_: object, *, width: float = 7.2) -> Picture:
    """Draw the mean spectrum of a class above what each ion contributes to it.

    Parameters
    ----------
    explanation
        As returned by `RGCNClassifier.explain`.
    class_
        One of `explanation.classes`.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Above: mean share of the ion current over the pixels given the class, in per cent, square
        root scale. Below, downwards: mean contribution to the logit of the class over the same
        pixels, linear scale; what speaks against the class points upwards from zero. Ions of the
        first six families of the class are coloured; the legend gives their numbers of ions, and
        says where it is their absence that speaks for the class. The
        20 highest-ranked ions that speak for the class and add to its logit are named by m/z, fewer
        where the figure is narrow.

    Raises
    ------
    ValueError
        Where there is no such class.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> figure = mg.pl.activation(clf.explain(spectra), "muscle")
    >>> lower, upper = figure.axes
    >>> lower.get_xlabel()
    'm/z'
    """
    name = str(class_)
    if name not in explanation.classes:
        msg = f"no class {name!r} in this explanation; its classes are {explanation.classes}"
        raise InputError(msg)
    across = width - LEFT - RIGHT
    colours, entries = _family_colours(explanation, name)
    legend = flow(entries, across)
    panels = BOTTOM + LOWER + BETWEEN + UPPER
    picture = Picture(width, panels + GAP + len(legend) * LEGEND_LINE + TITLE)
    mz = explanation.mz
    contribution = explanation.ions[f"activation_{name}"].to_numpy(dtype=float)
    intensity = explanation.ions[f"intensity_{name}"].to_numpy(dtype=float)
    pixels = int(np.count_nonzero(explanation.labels == explanation.classes.index(name)))
    with styled():
        lower = picture.axes_at(LEFT, BOTTOM, across, LOWER)
        upper = picture.axes_at(LEFT, BOTTOM + LOWER + BETWEEN, across, UPPER, sharex=lower)
        _draw_spectrum(upper, mz, intensity, colours, across)
        _mz_axis(lower, upper, mz)
        _draw_contribution(lower, mz, contribution, colours, across)
        _label_ions(lower, explanation.ions, name, colours, across)
        draw_legend(picture, legend, LEFT, panels + GAP + len(legend) * LEGEND_LINE)
        said = f"{name} ({pixels:,} px)" if pixels else f"{name} (given to no pixel)"
        text = shorten(said, across, TITLE_SIZE, "bold")
        top = picture.get_figheight() - TITLE + 0.05
        picture.text_at(LEFT, top, text, weight="bold", fontsize=TITLE_SIZE)
    return picture


def _family_colours(explanation: Explanation, name: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Colour of each ion, and (colour, text) of each entry of the legend."""
    table = explanation.families
    numbers = table.loc[table["class"].astype(str) == name, "family"].unique()[:MOST_FAMILIES]
    palette = dict(zip(numbers.tolist(), OKABE_ITO, strict=False))
    absent = set(table.loc[table["direction"] == "less", "family"])
    family = explanation.ions["family"]
    colours = [FAINT if number is None else palette.get(number, FAINT) for number in _plain(family)]
    legend = [
        (
            colour,
            f"family {number} ({int((family == number).sum())}"
            f"{', absence' if number in absent else ''})",
        )
        for number, colour in palette.items()
    ]
    return colours, [*legend, (FAINT, f"other ions ({colours.count(FAINT):,})")]


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
    crowded = float(np.interp(np.log10(shown.sum() + 1), [2, 4], [0.9, 0.35]))
    for front, width in ((False, crowded), (True, 0.9)):
        picked = np.flatnonzero(shown & (coloured == front))
        # The tallest are drawn last, or their weak neighbours would cover them.
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
    axes: Any,
    mz: NDArray[np.float64],
    intensity: NDArray[np.float64],
    colours: list[str],
    across: float,
) -> None:
    _stems(axes, mz, intensity, colours)
    top = 1.12 * float(intensity.max(initial=0.0)) or 1.0
    # Linear, the base peak would flatten all others; a logarithm has no zero to mirror at.
    axes.set_yscale("function", functions=(_root, np.square))
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(FixedLocator(_root_ticks(top)))
    axes.yaxis.set_major_formatter(FuncFormatter(_per_cent))
    axes.set_ylabel("mean % of TIC\n(square root scale)")
    axes.yaxis.set_label_coords(-TICK_ROOM / across, 0.5)


def _per_cent(share: float, _: object) -> str:
    return f"{100 * share:g}"


def _number(value: float, _: object) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


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
    axes: Any,
    mz: NDArray[np.float64],
    contribution: NDArray[np.float64],
    colours: list[str],
    across: float,
) -> None:
    """Draw contributions downwards, with room for labels below the longest."""
    highest = max(float(contribution.max(initial=0.0)), 0.0)
    lowest = min(float(contribution.min(initial=0.0)), 0.0)
    span = (highest - lowest) or 1.0
    per_inch = span / (LOWER - LABEL_ROOM)
    _stems(axes, mz, contribution, colours)
    axes.set_ylim(highest + LABEL_ROOM * per_inch, lowest)
    axes.axhline(0, color=INK, lw=0.6, zorder=1)
    inner = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(lowest, highest)
    axes.yaxis.set_major_locator(FixedLocator([v for v in inner if lowest <= v <= highest]))
    axes.yaxis.set_major_formatter(FuncFormatter(_number))
    axes.spines["left"].set_bounds(lowest, highest)
    axes.set_ylabel("contribution to\nthe logit (linear)")
    axes.yaxis.set_label_coords(-TICK_ROOM / across, 1 - 0.5 * (LOWER - LABEL_ROOM) / LOWER)


def _mz_axis(lower: Any, upper: Any, mz: NDArray[np.float64]) -> None:
    low, high = (float(mz.min()), float(mz.max())) if mz.size else (0.0, 1.0)
    margin = 0.015 * (high - low) or 1.0  # a single ion spans nothing
    lower.set_xlim(low - margin, high + margin)
    lower.set_xlabel("m/z")
    lower.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    upper.tick_params(axis="x", bottom=False, labelbottom=False)


# ---------------------------------------------------------------------- labels


def _label_ions(
    axes: Any, ions: pd.DataFrame, name: str, colours: list[str], across: float
) -> None:
    """Write m/z of the highest-ranked ions that add to the class, in a row below all ions.

    A line leads from each ion's tip straight down, where it can cross no other ion, and then in
    the free strip above the labels to its own label.
    """
    speaks = (ions["class"].astype(str) == name) & (ions["score"] > 0)
    speaks &= ions[f"activation_{name}"] > 0
    chosen = np.flatnonzero(speaks)
    most = min(MOST_LABELS, int(across / LABEL_STEP))
    chosen = np.sort(chosen[np.argsort(ions["rank"].to_numpy()[chosen])][:most])
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    per_inch = (high - low) / across
    mz = ions["mz"].to_numpy(dtype=float)[chosen]
    tips = ions[f"activation_{name}"].to_numpy(dtype=float)[chosen]
    places = low + per_inch * spread((mz - low) / per_inch, LABEL_STEP, across)
    turn, head = (bottom - (bottom - top) / LOWER * inches for inches in (LABEL_ROOM, LABEL_LENGTH))
    for ion, value, tip, place in zip(chosen, mz, tips, places, strict=True):
        colour = SOFT if colours[ion] == FAINT else colours[ion]
        axes.plot(
            [value, value, place], [tip, turn, head], color=colour, lw=0.4, ls=DASHES, zorder=1.5
        )
        axes.text(
            place,
            head,
            f"{value:.4f} ",
            ha="center",
            va="top",
            rotation=90,
            fontsize=LABEL_SIZE,
            color=INK if colours[ion] == FAINT else colours[ion],
        )


def spread(wanted: NDArray[np.float64], step: float, room: float) -> NDArray[np.float64]:
    """Places in ascending order, at least `step` apart, nearest to those wanted (least squares).

    Parameters
    ----------
    wanted
        Ascending, shape ``(n,)``.
    step
        Smallest distance.
    room
        Places are centres of strips of width `step` within 0 and `room`, which holds them all.

    Notes
    -----
    With ``i * step`` taken off, this is isotonic regression: neighbours out of order are pooled
    at their mean until all are in order (Ayer et al., Ann. Math. Stat. 26, 641, 1955).
    """
    pools: list[tuple[float, int]] = []
    for index, value in enumerate(wanted):
        mean, count = float(value) - index * step, 1
        while pools and pools[-1][0] > mean:
            before, members = pools.pop()
            mean = (mean * count + before * members) / (count + members)
            count += members
        pools.append((mean, count))
    means = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    means = np.clip(means, step / 2, room - step * (len(wanted) - 0.5))
    return np.asarray(means + step * np.arange(len(wanted)), dtype=np.float64)
