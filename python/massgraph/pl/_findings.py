"""What was found out about regions: how many there are, and the molecules that define each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from massgraph._util.errors import InputError
from massgraph.explain.region_words import CONTINUUM
from massgraph.explain.regions import SIGNIFICANT
from massgraph.pl._nested import APART, region_palette
from massgraph.pl._style import INK, OKABE_ITO, SOFT, Picture, shorten, styled, text_width
from massgraph.segmentation import Segmentation

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings

__all__ = ["findings_of", "molecules", "selection"]

BLUE = OKABE_ITO[0]
# In inches.
BAR = 0.16
CURVE = 1.75
TITLE, FOOT, LABEL, LEGEND = 0.24, 0.28, 0.12, 0.2
PANEL = 2.9  # width from which two panels stand side by side
TITLE_SIZE = 7.5


def findings_of(found: Segmentation | RegionFindings) -> RegionFindings:
    """The findings of a segmentation, or themselves.

    Raises
    ------
    InputError
        Where there are none.
    """
    if not isinstance(found, Segmentation):
        return found
    if found.findings is None:
        msg = "this segmentation has no findings to draw: SpatialRegions.segment(X) gives some"
        raise InputError(msg)
    return found.findings


def selection(found: Segmentation | RegionFindings, *, width: float = 7.2) -> Picture:
    """Draw how much each further region explains, and how far apart the regions then are.

    Parameters
    ----------
    found
        A segmentation with findings, or these.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Left: the gain in log likelihood over a region fewer, in nats on a log scale; below one nat
        it is drawn at one. Right: the least distance d' of two regions in deviations within
        regions, with the 2.65 that the halves of one region have. The number of regions of the
        findings is marked.

    Raises
    ------
    ValueError
        Without findings, or where the number was given, so that there is no curve.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(max_regions=4).fit(spectra).findings(spectra)
    >>> figure = mg.pl.selection(found)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['gain by the last region (nats)', "least separation d'"]
    """
    findings = findings_of(found)
    curve = findings.selection
    if curve is None:
        msg = "there is no curve to draw: the number of regions was given"
        raise InputError(msg)
    columns = 2 if width >= 2 * PANEL else 1
    across, up = width / columns, max(0.3 * width, CURVE)
    picture = Picture(width, up * 2 / columns)
    labels = {"gain": "gain by the last region (nats)", "separation": "least separation d'"}
    with styled():
        for place, (name, label) in enumerate(labels.items(), start=1):
            left = across * (place - 1) if columns == 2 else 0.0
            bottom = 0.0 if columns == 2 else up * (2 - place)
            axes = picture.axes_at(left + 0.55, bottom + 0.38, across - 0.63, up - 0.44)
            _curve(axes, curve, name, len(findings.regions))
            axes.set(xlabel="regions", ylabel=label)
        _halves(picture.axes[1])
    return picture


def _curve(axes: Any, curve: pd.DataFrame, name: str, chosen: int) -> None:
    numbers, values = curve["n_regions"].to_numpy(), curve[name].to_numpy(dtype=float)
    if name == "gain":
        values = np.maximum(values, 1.0)  # NaN stays NaN
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    here = numbers == chosen
    axes.plot(numbers, values, color=BLUE, marker="o", ms=3, zorder=2)
    axes.plot(numbers[here], values[here], "o", ms=6.5, mfc="white", mec=INK, mew=1.2, zorder=3)
    axes.plot(numbers[here], values[here], "o", ms=3, color=BLUE, zorder=4)
    axes.axvline(chosen, color=SOFT, lw=0.8, ls=":", zorder=1)
    # Inside and at the top: the curve comes down from the left.
    axes.annotate(
        f"{chosen} regions",
        (chosen, 1),
        (3, -1),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        fontsize=6.5,
    )
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(x=0.03, y=0.12)


def _halves(axes: Any) -> None:
    line = axes.axhline(CONTINUUM, color=SOFT, lw=0.8, ls=(0, (4, 2)), zorder=1)
    axes.set_ylim(bottom=0)
    # No map has regions so close that the curve comes down here.
    axes.legend([line], ["two halves of one region"], loc="lower left", borderaxespad=0.2)


def molecules(
    found: Segmentation | RegionFindings,
    region: str | None = None,
    *,
    n: int = 8,
    width: float = 7.2,
) -> Picture:
    """Draw the molecules that define each region, with effect and direction.

    Parameters
    ----------
    found
        A segmentation with findings, or these.
    region
        Draw this region alone; default: a panel for each.
    n
        Number of molecules to a region, best first.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are effects: the difference of mean log amounts in the region and elsewhere, in
        deviations within regions; to the right where there is more of the molecule in the region.
        Molecules are named by the m/z of their most intense ion and their number of ions. Bars of
        molecules with a false discovery rate above 0.05, or without one, are hollow.

    Raises
    ------
    ValueError
        Without findings, where there is no such region, or for `n` below one.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).findings(spectra)
    >>> figure = mg.pl.molecules(found, "region 1")
    >>> figure.axes[0].get_xlabel()
    '← less    effect (deviations)    more →'
    """
    findings = findings_of(found)
    names = [str(name) for name in findings.regions["region"]]
    if region is not None and region not in names:
        msg = f"no region {region!r} in these findings; there are {names}"
        raise InputError(msg)
    if n < 1:
        msg = f"n is {n}, need at least 1"
        raise InputError(msg)
    table = findings.molecules
    tops = {
        name: table[table["region"] == name].head(n)
        for name in (names if region is None else [region])
    }
    colours = region_palette(names)
    columns = 1 if len(tops) == 1 else max(int(width / PANEL), 1)
    return _bars(tops, colours, columns, width)


def _bars(
    tops: dict[str, pd.DataFrame], colours: dict[str, str], columns: int, width: float
) -> Picture:
    rows = [list(tops.items())[start : start + columns] for start in range(0, len(tops), columns)]
    talls = [max(1, *(len(top) for _, top in row)) * BAR for row in rows]
    every = pd.concat(list(tops.values()))
    hollow = bool((~(every["fdr"] <= SIGNIFICANT)).any())
    foot = LABEL + LEGEND * hollow
    picture = Picture(width, sum(talls) + len(rows) * (TITLE + FOOT) + foot)
    limits = _scales(tops)
    left = 0.12 + max((text_width(name, 6.5) for name in _names(every)), default=0.0)
    across = width / columns
    y = picture.get_figheight()
    with styled():
        for number, (row, tall) in enumerate(zip(rows, talls, strict=True), start=1):
            y -= TITLE + tall
            for column, (name, top) in enumerate(row):
                x, own = column * across, max(len(top), 1) * BAR
                text = shorten(name, across - 0.12, TITLE_SIZE, "bold")
                picture.text_at(x + 0.06, y + tall + 0.07, text, weight="bold", fontsize=TITLE_SIZE)
                bars = picture.axes_at(x + left, y + tall - own, across - left - 0.12, own)
                _panel(bars, top, colours[name], limits[name])
                # The scale is the same for all tissue: it is named below the last of each column.
                if number == len(rows) or column >= len(rows[number]):
                    bars.set_xlabel("← less    effect (deviations)    more →")
            y -= FOOT
        if hollow:
            _legend(picture)
    return picture


def _scales(tops: dict[str, pd.DataFrame]) -> dict[str, tuple[float, float]]:
    """Ends of the scale of each panel: the same for all tissue."""
    of_tissue = pd.concat([top for name, top in tops.items() if name != APART] or [*tops.values()])
    shared = _reach(of_tissue)
    # Off tissue, where all that is tissue is missing, effects are large.
    return {name: _reach(top) if name == APART else shared for name, top in tops.items()}


def _reach(top: pd.DataFrame) -> tuple[float, float]:
    """Ends of the scale: zero, and all effects with a little room."""
    effects = top["effect"].to_numpy(dtype=float)
    known = effects[np.isfinite(effects)]
    low, high = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    room = 0.05 * (high - low) or 1.0
    return low - room * (low < 0), high + room * (high > 0 or low == 0)


def _names(table: pd.DataFrame) -> list[str]:
    return [f"{mz:.4f} ({n})" for mz, n in zip(table["mz"], table["n_ions"], strict=True)]


def _panel(axes: Any, top: pd.DataFrame, colour: str, limits: tuple[float, float]) -> None:
    places = np.arange(len(top))
    faces = np.where(top["fdr"].to_numpy(dtype=float) <= SIGNIFICANT, colour, "white")
    effects = np.nan_to_num(top["effect"].to_numpy(dtype=float))
    axes.barh(places, effects, 0.66, color=list(faces), edgecolor=colour, linewidth=0.8)
    axes.axvline(0, color=INK, lw=0.6)
    axes.set(xlim=limits, ylim=(max(len(top), 1) - 0.5, -0.5))
    axes.set_yticks(places, _names(top))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if not len(top):
        axes.text(0.5, 0.5, "no molecule", transform=axes.transAxes, ha="center", va="center")


def _legend(picture: Picture) -> None:
    """Say what is filled and what is hollow."""
    handles = [Patch(fc=face, ec=SOFT, lw=0.8) for face in (SOFT, "white")]
    words = [f"FDR up to {SIGNIFICANT:g}", "above, or not tested"]
    room = {"borderaxespad": 0, "borderpad": 0, "handlelength": 1.2, "handleheight": 0.8}
    at = (0.06 / picture.get_figwidth(), 0.03 / picture.get_figheight())
    picture.legend(handles, words, loc="lower left", bbox_to_anchor=at, ncols=2, **room)
