"""Maps of regions found without labels: nested maps, images of molecules, balances of adducts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_rgba, to_rgba_array
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.explain.regions import SIGNIFICANT
from massgraph.pl._findings import findings_of
from massgraph.pl._maps import panels_of, scale_bar_of, scaled_map
from massgraph.pl._nested import APART, nested_colours, palette
from massgraph.pl._raster import joined
from massgraph.pl._sheet import Cell, Section, Sheet
from massgraph.pl._style import NO_PEAKS, Picture

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings
    from massgraph.segmentation import Segmentation

__all__ = ["balances", "region_images", "regions"]

AMOUNT_MAP = "viridis"
BALANCE_MAP = "RdBu_r"  # told apart by colour-blind readers
# A few extreme pixels would leave all the others alike.
PERCENTILES = (1.0, 99.0)
MOST_IMAGES = 3
BEST = 8  # molecules of a region, one of which an image of it is of

Colours = NDArray[np.float64]


def regions(segmentation: Segmentation, *, width: float = 7.2) -> Picture:
    """Draw the nested maps of one fit side by side, from the fewest regions to the most.

    Parameters
    ----------
    segmentation
        As returned by `SpatialRegions.segment`, with its findings.
    width
        Largest width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each number of regions, with all runs in it. The map of the segmentation is
        framed. A region has the colour of the region of the map before, from that one outwards,
        with which it shares most pixels, and a region that is new a new one. Pixels off tissue are
        grey, and light grey where they have no peaks.

    Raises
    ------
    ValueError
        Without findings, maps or coordinates.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(max_regions=4).fit(spectra).segment(spectra)
    >>> figure = mg.pl.regions(found)
    >>> [axes.get_label() for axes in figure.axes]
    ['panel: run1', 'panel: run1', 'panel: run1']
    """
    findings = findings_of(segmentation)
    if not findings.maps:
        msg = "these findings have no maps to draw"
        raise InputError(msg)
    panel = joined(panels_of(segmentation))
    own = len(findings.regions)
    drawn = nested_colours(segmentation, findings)
    # One region says nothing, but where there is no other map.
    shown = {k: colours for k, colours in drawn.items() if k > 1} or drawn
    cells = []
    for k, names in shown.items():
        names[names == ""] = NO_PEAKS
        colours = to_rgba_array(names)
        title = f"{k} region{'s' if k > 1 else ''}" + (" (this map)" if k == own else "")
        cells.append(Cell(panel, colours, (title,), k == own))
    codes = np.asarray(segmentation.label.codes)
    legend = [(palette(segmentation)[name], name) for name in segmentation.classes]
    legend += [(NO_PEAKS, "no peaks")] if (codes < 0).any() else []
    scale_bar = scale_bar_of(segmentation)
    return Sheet([Section(cells)], width=width, legend=legend, scale_bar=scale_bar).figure


def region_images(
    segmentation: Segmentation, region: str | None = None, *, width: float = 7.2
) -> Picture:
    """Draw where the molecules are that define the regions.

    Parameters
    ----------
    segmentation
        As returned by `SpatialRegions.segment`, with its findings.
    region
        Draw those that define this region, at most three; default: all that the findings show, by
        the region that each defines best.
    width
        Largest width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each molecule, with all runs in it. Its colours go from the first to the
        99th percentile of its log amounts, which are written above it; what is beyond is clipped.

    Raises
    ------
    ValueError
        Without findings, images or coordinates, or where there is no such region.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).segment(spectra)
    >>> figure = mg.pl.region_images(found)
    >>> figure.axes[-1].get_label()
    'colour bar'
    """
    findings = findings_of(segmentation)
    panel = joined(panels_of(segmentation))
    table = pictured(findings, region)
    if not len(table):
        msg = "these findings have no images" + ("" if region is None else f" for {region}")
        raise InputError(msg)
    sections: list[Section] = []
    images = findings.images[:, table["image"].to_numpy()].astype(np.float64)
    for row, values in zip(table.itertuples(), images.T, strict=True):
        low, high = _limits(values)
        colours = _colours(values, low, high, AMOUNT_MAP)
        words = (f"m/z {row.mz:.4f}", f"{low:.1f} to {high:.1f}")
        header = f"{row.direction} in {row.region}" if region is None else ""
        cells = [Cell(panel, colours, words)]
        if sections and sections[-1].header == header:
            cells = [*sections.pop().cells, *cells]
        sections.append(Section(cells, header))
    # What the ends are stands above each panel.
    scale = AMOUNT_MAP, "log amount", {0.0: "low", 1.0: "high"}
    legend = _missing(images, "no peaks")
    return scaled_map(segmentation, sections, legend, scale, width)


def pictured(findings: RegionFindings, region: str | None = None) -> pd.DataFrame:
    """Rows of the molecules that there are images of, with the column of the `image`.

    Parameters
    ----------
    findings
        What was found out.
    region
        Those that are among its best, what it has more of first; default: each molecule, in the
        region that it defines best.
    """
    known = [str(name) for name in findings.regions["region"]]
    if region is not None and region not in known:
        msg = f"no region {region!r} in these findings; there are {known}"
        raise InputError(msg)
    table = findings.molecules
    column = pd.Series(np.arange(len(findings.shown)), index=findings.shown)
    table = table.assign(
        image=table["molecule"].map(column).astype("Int64"),
        place=table.groupby("region").cumcount(),
        place_of_direction=table.groupby(["region", "direction"]).cumcount(),
        less=table["direction"] != "more",
        order=table["region"].map({name: k for k, name in enumerate(known)}),
        unsure=~(table["fdr"] <= SIGNIFICANT),
        apart=table["region"] == APART,
        size=-table["effect"].abs(),
    )
    table = table[table["image"].notna()].astype({"image": np.int64})
    if region is not None:
        own = table[table["region"] == region]
        more = ~own["less"] & (own["place_of_direction"] < MOST_IMAGES)
        best = own[more | (own["place"] < BEST)]
        return best.sort_values("less", kind="stable").head(MOST_IMAGES)
    # Nearly all that is on tissue is missing off it: what a region has more of says more.
    best = table.sort_values(["unsure", "less", "apart", "size"], kind="stable")
    best = best.drop_duplicates("molecule")
    return best.sort_values(["order", "less", "size"], kind="stable")


def balances(segmentation: Segmentation, *, width: float = 7.2) -> Picture:
    """Draw how the ions of a molecule are balanced over the image: maps of salt and preparation.

    Parameters
    ----------
    segmentation
        As returned by `SpatialRegions.segment`, with its findings.
    width
        Largest width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each kind of pair, with all runs in it: mean log ratio of the heavier to the
        lighter ions, less its mean over the pixels; the same scale for all, even about zero. Light
        grey where a pixel has no such pair.

    Raises
    ------
    ValueError
        Without findings, pairs or coordinates.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).segment(spectra)
    >>> figure = mg.pl.balances(found)
    >>> figure.axes[-1].get_ylabel()
    'ratio to the mean'
    """
    findings = findings_of(segmentation)
    panel = joined(panels_of(segmentation))
    images = findings.balance_images.astype(np.float64)
    if not images.size or not np.isfinite(images).any():
        msg = "these findings have no balances of ions to draw"
        raise InputError(msg)
    names = [str(name) for name in findings.balances["relation"]]
    limit = _largest(images)
    cells = [
        Cell(panel, _colours(values, -limit, limit, BALANCE_MAP), (name,))
        for name, values in zip(names, images.T, strict=True)
    ]
    # A ratio is read as times more or less, not as a logarithm.
    times = f"{np.exp(limit):.2g}"
    names_of = {0.0: f"÷ {times}", 0.5: "1", 1.0: f"× {times}"}
    return scaled_map(
        segmentation,
        [Section(cells)],
        _missing(images, "no such pair"),
        (BALANCE_MAP, "ratio to the mean", names_of),
        width,
    )


# -------------------------------------------------------------------- values


def _missing(images: NDArray[Any], text: str) -> list[tuple[str, str]]:
    return [] if np.isfinite(images).all() else [(NO_PEAKS, text)]


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Percentiles between which the colours go; all there is where these are alike."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 0.0
    low, high = np.percentile(known, PERCENTILES)
    return (float(low), float(high)) if high > low else (float(known.min()), float(known.max()))


def _largest(images: NDArray[np.float64]) -> float:
    """Ends of the even scale: the largest of what the images have at their percentiles."""
    ends = [_limits(values) for values in images.T]
    return max(max(abs(low), abs(high)) for low, high in ends)


def _colours(values: NDArray[np.float64], low: float, high: float, name: str) -> Colours:
    """Colours of values; light grey where there is none, the middle where all are alike."""
    share = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    rgba = np.asarray(colormaps[name](np.clip(np.nan_to_num(share), 0.0, 1.0)))
    rgba[~np.isfinite(values)] = to_rgba(NO_PEAKS)
    return rgba
