"""Relation network of an ion family."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.pl._layout import Network, lay_out
from massgraph.pl._style import FAINT, INK, SOFT, Picture, shorten, styled, text_width

if TYPE_CHECKING:
    from massgraph.explain.activation import Explanation

__all__ = ["relations"]

# In inches, but for numbers of things.
LARGEST_RADIUS, SMALLEST_RADIUS = 0.13, 0.045
LINE = 0.11
WIDEST_ADDUCT = 1.0
MARGIN = 0.12
FOOT = 0.46
KEY_ROOM = 1.9
TALLEST = 6.2
MOST_IONS = 30
LABEL_SIZE, SMALL_SIZE = 6.5, 6.0
DOT_ROOM = 0.12
# Where along an edge its label is tried, the best first.
SHARES = (0.5, 0.43, 0.57, 0.36, 0.64, 0.29, 0.71, 0.22, 0.78, 0.15, 0.85)
LABEL_SWEEPS = 3
# Price of covering another word at all; that of a line that runs through is 0.3.
COVERED = 0.6
RELATION = "#8a3b00"
ISOTOPE = re.compile(r"\d+[A-Z][a-z]?\d*$")
# Points along a line; bows as shares of its length, tried in this order; depth of a box that a line
# may graze.
POINTS = 81
BOWS = (0.0, 0.12, -0.12, 0.2, -0.2, 0.3, -0.3)
CLEAR = 0.02
# Light to dark, the lightest still stands out from paper.
SCORES = LinearSegmentedColormap.from_list("score", ["#d6e6f2", "#5b9bc8", "#0b4a86", "#06294d"])


@dataclass(frozen=True, eq=False)
class Unit:
    """An ion with its heavier isotopologues, as rows of the table of ions, and its words."""

    ion: int
    isotopes: tuple[int, ...]
    mz: str
    adduct: str
    isotope_labels: tuple[str, ...]

    @property
    def lines(self) -> int:
        """Number of lines of text below the circle."""
        return 1 + bool(self.adduct) + len(self.isotopes)

    @property
    def box(self) -> tuple[float, float]:
        """Width and height with all words, in inches."""
        widths = [
            text_width(self.mz, LABEL_SIZE, "bold"),
            text_width(self.adduct, SMALL_SIZE),
            *(DOT_ROOM + text_width(text, SMALL_SIZE) for text in self.isotope_labels),
        ]
        return max(
            *widths, 2 * LARGEST_RADIUS
        ) + 0.06, 2 * LARGEST_RADIUS + self.lines * LINE + 0.03


def relations(explanation: Explanation, family: int, *, width: float = 7.2) -> Picture:
    """Draw the ions of a family and the relations between them.

    Parameters
    ----------
    explanation
        As returned by `RGCNClassifier.explain`.
    family
        Number of the family; 1 has the highest score.
    width
        Largest width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Circles are ions, with their m/z and adduct (where read) below: the area is the mean
        intensity in the class that the family speaks for, the colour the score. Heavier
        isotopologues are listed below the ion they belong to. Lines are the other relations,
        named, from the lighter ion at the left (or straight below or above) to the heavier one;
        relations between isotopologues are drawn as those of their ions. The same relation goes
        the same way wherever possible, and its line is the wider the more often it joins the two
        ions. Of a family of more than 30 ions, those of the highest scores are shown.

    Raises
    ------
    ValueError
        For a family that the explanation does not have.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> figure = mg.pl.relations(clf.explain(spectra), 1)
    >>> len(figure.axes)  # the network, and the scale of the scores
    2
    """
    ions, edges, total = _members(explanation, family)
    units, unit_of = _units(ions, edges)
    lines = _unit_edges(edges, unit_of)
    _, codes = np.unique(lines["relation"].to_numpy(dtype=np.str_), return_inverse=True)
    network = Network(
        np.array([unit.box for unit in units]),
        lines["source"].to_numpy(dtype=np.intp),
        lines["target"].to_numpy(dtype=np.intp),
        codes.astype(np.intp),
        np.array([unit.box[1] / 2 - LARGEST_RADIUS - 0.01 for unit in units]),
    )
    places = lay_out(network, width - 2 * MARGIN, TALLEST)
    return _draw(ions, units, lines, network, places, total, width)


def _members(explanation: Explanation, family: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Ions by m/z, edges with ends as rows of the ions, and the number of ions of the family."""
    known = explanation.families["family"].unique()
    if family not in known:
        said = f"1 to {max(known)}" if len(known) else "none"
        msg = f"there is no family {family!r}: the explanation has {said}"
        raise InputError(msg)
    ions = explanation.families[explanation.families["family"] == family]
    total = len(ions)
    ions = ions.sort_values("rank").head(MOST_IONS).sort_values("mz")
    edges = explanation.family_edges
    # Both tables hold the m/z of the axis, so that they are equal to the last bit.
    place = {mz: row for row, mz in enumerate(ions["mz"])}
    kept = edges["source_mz"].isin(place) & edges["target_mz"].isin(place)
    edges = edges[kept & (edges["family"] == family)].sort_values(["source_mz", "target_mz"])
    edges = edges.assign(
        source=edges["source_mz"].map(place).astype(np.intp),
        target=edges["target_mz"].map(place).astype(np.intp),
    )
    return ions.reset_index(drop=True), edges.reset_index(drop=True), total


def _units(ions: pd.DataFrame, edges: pd.DataFrame) -> tuple[list[Unit], NDArray[np.intp]]:
    """Assign isotopologues to their ions; return the units by m/z, and the unit of each ion."""
    root = np.arange(len(ions))
    for source, target, name in zip(
        edges["source"], edges["target"], edges["relation"].astype(str), strict=True
    ):  # from light to heavy: the source has its root by then
        if ISOTOPE.match(name) and root[target] == target:
            root[target] = root[source]
    units = []
    for ion in np.unique(root):
        isotopes = tuple(int(row) for row in np.flatnonzero(root == ion) if row != ion)
        labels = [f"{_isotope(ions, row)} {ions['mz'][row]:.4f}" for row in isotopes]
        adduct = shorten(str(ions["adduct"][ion]), WIDEST_ADDUCT, SMALL_SIZE)
        units.append(Unit(int(ion), isotopes, f"{ions['mz'][ion]:.4f}", adduct, tuple(labels)))
    return units, np.searchsorted(np.unique(root), root)


def _isotope(ions: pd.DataFrame, row: int) -> str:
    """Name of an isotopologue, from its role: "13C of 760.5851", perhaps after an adduct."""
    found = ISOTOPE.search(str(ions["role"][row]).split(" of ")[0].split(", ")[-1])
    return found.group() if found else "isotope"


def _unit_edges(edges: pd.DataFrame, unit_of: NDArray[np.intp]) -> pd.DataFrame:
    """Relations between units, each once; several between the same two share a line."""
    lines = pd.DataFrame(
        {
            "source": unit_of[edges["source"].to_numpy(dtype=np.intp)],
            "target": unit_of[edges["target"].to_numpy(dtype=np.intp)],
            "relation": edges["relation"].astype(str),
            "frequency": edges["frequency"].astype(float),
        }
    )
    ends = ["source", "target"]
    lines = lines[lines["source"] != lines["target"]]
    lines = lines.groupby([*ends, "relation"])[["frequency"]].max().reset_index()
    together: pd.DataFrame = lines.groupby(ends).agg({"relation": " / ".join, "frequency": "max"})
    return together.reset_index()


# -------------------------------------------------------------------- drawing


def _draw(
    ions: pd.DataFrame,
    units: Sequence[Unit],
    lines: pd.DataFrame,
    network: Network,
    places: NDArray[np.float64],
    total: int,
    width: float,
) -> Picture:
    class_ = str(ions["class"].iloc[0])
    half = network.boxes / 2
    low, high = (places - half).min(axis=0), (places + half).max(axis=0)
    size = high - low + 2 * MARGIN
    some = f" ({len(ions)} of {total} ions)" if len(ions) < total else ""
    said = f"intensity in {class_}{some}"
    # In a narrow figure, "mean" is the word of the key that is missed least.
    if text_width(f"mean {said}", 6.5) + KEY_ROOM <= max(float(size[0]), width):
        said = f"mean {said}"
    across = max(float(size[0]), min(width, text_width(said, 6.5) + KEY_ROOM))
    picture = Picture(across, float(size[1]) + FOOT)
    boxes = places - low + [(across - size[0]) / 2 + MARGIN, FOOT + MARGIN]
    # A family whose scores are all zero still needs a scale.
    norm = Normalize(0, max(float(ions["score"].max()), 1e-300))
    radius = _radius(ions[f"intensity_{class_}"].to_numpy(dtype=float))
    colour = SCORES(norm(ions["score"].to_numpy(dtype=float)))
    with styled():
        axes = picture.axes_at(0, 0, across, picture.get_figheight())
        axes.set(xlim=(0, across), ylim=(0, picture.get_figheight()))
        axes.axis("off")
        _draw_lines(axes, lines, network, boxes)
        for unit, box in zip(units, boxes, strict=True):
            _draw_unit(axes, unit, box, radius, colour)
        _draw_key(picture, axes, norm, said)
    return picture


def _radius(intensity: NDArray[np.float64]) -> NDArray[np.float64]:
    intensity = np.nan_to_num(intensity)
    share = intensity / max(float(intensity.max()), 1e-300)
    return np.asarray(np.maximum(LARGEST_RADIUS * np.sqrt(share), SMALLEST_RADIUS))


def _draw_unit(
    axes: Any,
    unit: Unit,
    box: NDArray[np.float64],
    radius: NDArray[np.float64],
    colour: NDArray[np.float64],
) -> None:
    x, y = float(box[0]), float(box[1]) + unit.box[1] / 2 - LARGEST_RADIUS - 0.01
    axes.add_patch(Circle((x, y), radius[unit.ion], fc=colour[unit.ion], ec=INK, lw=0.5, zorder=4))
    # Paper behind the words: a line that comes from below ends at them.
    wide, high = unit.box[0] - 0.04, unit.lines * LINE + 0.01
    y -= LARGEST_RADIUS + 0.01
    axes.add_patch(Rectangle((x - wide / 2, y - high), wide, high, fc="white", lw=0, zorder=3))
    middle = {"va": "center", "zorder": 5}
    y -= LINE / 2
    axes.text(x, y, unit.mz, ha="center", size=LABEL_SIZE, weight="bold", **middle)
    if unit.adduct:
        y -= LINE
        axes.text(x, y, unit.adduct, ha="center", size=SMALL_SIZE, **middle)
    for ion, text in zip(unit.isotopes, unit.isotope_labels, strict=True):
        y -= LINE
        left = x - (DOT_ROOM + text_width(text, SMALL_SIZE)) / 2
        # The circles of isotopologues keep to their line, so theirs is another scale of areas.
        dot = 0.4 * radius[ion]
        axes.add_patch(Circle((left + 0.05, y), dot, fc=colour[ion], ec=INK, lw=0.4, zorder=5))
        axes.text(left + DOT_ROOM, y, text, ha="left", size=SMALL_SIZE, color=SOFT, **middle)


def _draw_lines(
    axes: Any, lines: pd.DataFrame, network: Network, boxes: NDArray[np.float64]
) -> None:
    centres = boxes + np.column_stack([np.zeros(len(boxes)), network.lift])
    paths = _paths(centres, network, boxes)
    widths = 0.5 + 1.3 * np.clip(lines["frequency"].to_numpy(dtype=float), 0, 1)
    axes.add_collection(LineCollection(list(paths), linewidths=widths, colors=FAINT, zorder=1))
    names = [str(name) for name in lines["relation"]]
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    for (x, y), name in zip(_edge_labels(paths, names, network, boxes), names, strict=True):
        axes.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=SMALL_SIZE,
            color=RELATION,
            bbox=paper,
            zorder=2,
        )


def _paths(
    centres: NDArray[np.float64], network: Network, boxes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points along each line, shape (n_lines, POINTS, 2).

    Straight, but for lines that would run over another ion (two steps of CH2 and one of C2H4, say):
    those are bowed to the side where they are clear of it, as little as need be.
    """
    share = np.linspace(0, 1, POINTS)[:, None]
    paths = []
    for source, target in zip(network.source, network.target, strict=True):
        start, along = centres[source], centres[target] - centres[source]
        across = np.array([-along[1], along[0]])
        others = np.ones(len(boxes), dtype=bool)
        others[[source, target]] = False
        trials: list[tuple[int, int, NDArray[np.float64]]] = []
        for bow in BOWS:
            path = start + share * along + 4 * share * (1 - share) * bow * across
            hits = (np.abs(path[:, None] - boxes[others]) < network.boxes[others] / 2 - CLEAR).all(
                axis=2
            )
            trials.append((int(hits.any(axis=0).sum()), len(trials), path))
        paths.append(min(trials, key=lambda trial: trial[:2])[2])
    return np.array(paths).reshape(-1, POINTS, 2)


def _edge_labels(
    paths: NDArray[np.float64],
    names: list[str],
    network: Network,
    boxes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Centre of each line's label, shape (n_lines, 2): where it hides least of everything else."""
    sizes = np.array([(text_width(name, SMALL_SIZE) + 0.03, 0.1) for name in names]).reshape(-1, 2)
    centre = np.zeros((len(names), 2))
    done = np.zeros(len(names), dtype=bool)
    length = np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(axis=1)
    # Short lines first, they have the least choice; then again, now that all others are known.
    for edge in np.tile(np.argsort(length, kind="stable"), LABEL_SWEEPS):
        done[edge] = False
        costs = []
        spots = [_visible(paths[edge], share, network, boxes, int(edge)) for share in SHARES]
        for rank, spot in enumerate(spots):
            covered = _covered(spot, sizes[edge], boxes, network.boxes)
            covered += _covered(spot, sizes[edge], centre[done], sizes[done])
            crossed = _lines_near(spot, sizes[edge], paths, int(edge))
            costs.append(COVERED * (covered > 0) + covered + 0.3 * crossed + 0.01 * rank)
        centre[edge] = spots[int(np.argmin(costs))]
        done[edge] = True
    return centre


def _visible(
    path: NDArray[np.float64],
    share: float,
    network: Network,
    boxes: NDArray[np.float64],
    edge: int,
) -> NDArray[np.float64]:
    """Point at a given share of the visible part of a line, the part outside its own two ions."""
    hidden = np.zeros(len(path), dtype=bool)
    for end in (network.source[edge], network.target[edge]):
        hidden |= (np.abs(path - boxes[end]) < network.boxes[end] / 2).all(axis=1)
    seen = path[~hidden] if (~hidden).any() else path
    return np.asarray(seen[round(share * (len(seen) - 1))])


def _covered(
    spot: NDArray[np.float64],
    size: NDArray[np.float64],
    others: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> float:
    """Area shared with other boxes, in boxes of this size."""
    overlap = np.clip((size + sizes) / 2 - np.abs(others - spot), 0, np.minimum(size, sizes))
    return float(overlap.prod(axis=1).sum() / size.prod())


def _lines_near(
    spot: NDArray[np.float64], size: NDArray[np.float64], paths: NDArray[np.float64], edge: int
) -> float:
    """Number of other lines that run through a label."""
    hit = np.asarray((np.abs(paths - spot) < size / 2).all(axis=2)).any(axis=1)
    hit = np.asarray(hit)
    hit[edge] = False
    return float(hit.sum())


def _draw_key(picture: Picture, axes: Any, norm: Normalize, said: str) -> None:
    x, y = MARGIN, 0.27
    axes.add_patch(Circle((x + 0.05, y), 0.045, facecolor="white", edgecolor=INK, lw=0.5))
    axes.add_patch(Circle((x + 0.2, y), 0.08, facecolor="white", edgecolor=INK, lw=0.5))
    room = picture.get_figwidth() - KEY_ROOM + 0.05
    text = shorten(said, room, 6.5)
    axes.text(x + 0.34, y, text, va="center", fontsize=6.5)
    bar_x = x + 0.34 + text_width(text, 6.5) + 0.2
    bar = picture.axes_at(bar_x, y - 0.04, 0.75, 0.08)
    scale = picture.colorbar(
        ScalarMappable(norm, SCORES), cax=bar, orientation="horizontal", ticks=[0, norm.vmax]
    )
    scale.ax.set_xticklabels(["0", f"{norm.vmax:.2g}"])
    scale.ax.tick_params(length=2, labelsize=6)
    scale.outline.set_linewidth(0.4)
    axes.text(bar_x + 0.83, y, "score", va="center", fontsize=6.5)
