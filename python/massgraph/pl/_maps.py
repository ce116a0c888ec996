"""Maps: classes, probabilities, uncertainty, reference labels and ion images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError
from massgraph.data.alignment import assign_to_axis
from massgraph.pl._nested import label_palette, of_regions, palette
from massgraph.pl._raster import Panel, make_panels
from massgraph.pl._sheet import Cell, Section, Sheet
from massgraph.pl._style import NO_PEAKS, Picture, class_colours

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.segmentation import Segmentation

__all__ = ["ion_images", "panels_of", "scale_bar_of", "scaled_map", "segmentation"]

KINDS = ("class", "probability", "uncertainty", "coverage", "reference")
PROBABILITY_MAP = "cividis"
UNCERTAINTY_MAP = "inferno"
ION_MAP = "viridis"
UNIT = {0.0: "0", 0.5: "0.5", 1.0: "1"}
# A few very bright pixels would leave all the others dark.
CLIP_PERCENTILE = 99.0
# Asked-for m/z may be rounded to two decimals; farther away it means another ion.
FARTHEST_DA = 0.05

Colours = NDArray[np.float64]


def segmentation(segmentation: Segmentation, kind: str = "class", *, width: float = 7.2) -> Picture:
    """Draw a map of a segmentation: one panel per run, all at one scale, y downwards.

    Parameters
    ----------
    segmentation
        As returned by `RGCNClassifier.segment`.
    kind
        ``"class"``: the class of each pixel; ``"probability"``: the probability of each class, one
        panel per class, from 0 to 1; ``"uncertainty"``: normalised entropy, from 0 to 1;
        ``"coverage"``: share of the ion current at ions of the model, from 0 to 1;
        ``"reference"``: the labels given by the user.
    width
        Largest width of the figure in inches: 7.2 spans a page, 3.5 a column.

    Returns
    -------
    matplotlib.figure.Figure
        Pixels without peaks (or, for ``"reference"``, without a label) are light grey; where there
        is no pixel, the paper shows. The legend counts the pixels. Colours are never mixed or
        faded: ``"uncertainty"`` shows how sure a class is.

    Raises
    ------
    ValueError
        For another `kind`, without coordinates, for ``"reference"`` without labels, for
        ``"coverage"`` where the model knows none, or where two pixels of a run share a place.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> figure = mg.pl.segmentation(clf.segment(spectra, explain=False), "uncertainty")
    >>> [axes.get_label() for axes in figure.axes]
    ['panel: run1', 'colour bar']
    """
    if kind not in KINDS:
        msg = f"kind {kind!r} is none of {KINDS}"
        raise InputError(msg)
    panels = panels_of(segmentation)
    if kind == "class":
        return _class_map(segmentation, panels, segmentation.label, "no peaks", width)
    if kind == "reference":
        if segmentation.reference is None:
            msg = (
                "this segmentation has no reference labels to draw: segment(spectra, y) keeps them"
            )
            raise InputError(msg)
        return _class_map(segmentation, panels, segmentation.reference, "unlabelled", width)
    without = np.asarray(np.isnan(segmentation.probability).any(axis=1))
    if kind == "uncertainty":
        sections = _sections(panels, [("", segmentation.uncertainty)], UNCERTAINTY_MAP, without)
        scale = UNCERTAINTY_MAP, "uncertainty", UNIT
        return scaled_map(segmentation, sections, _no_peaks(without), scale, width)
    if kind == "coverage":
        return _coverage_map(segmentation, panels, width)
    values = list(zip(segmentation.classes, segmentation.probability.T, strict=True))
    sections = _sections(panels, values, PROBABILITY_MAP, without)
    scale = PROBABILITY_MAP, "probability", UNIT
    return scaled_map(segmentation, sections, _no_peaks(without), scale, width)


def _coverage_map(segmentation: Segmentation, panels: list[Panel], width: float) -> Picture:
    if segmentation.coverage is None:
        msg = "this segmentation has no coverage to draw: its model does not know its ions"
        raise InputError(msg)
    without = np.isnan(segmentation.coverage)
    values = np.nan_to_num(segmentation.coverage)
    sections = _sections(panels, [("", values)], PROBABILITY_MAP, without)
    scale = PROBABILITY_MAP, "coverage", UNIT
    return scaled_map(segmentation, sections, _no_peaks(without), scale, width)


def ion_images(segmentation: Segmentation, mz: ArrayLike, *, width: float = 7.2) -> Picture:
    """Draw ion images: intensity as a share of the total ion current of each pixel.

    Parameters
    ----------
    segmentation
        As returned by `RGCNClassifier.segment`. Its explanation says which ions there are, and
        which peaks are theirs; without one, its spectra are aligned at 5 ppm.
    mz
        m/z of the ions to draw, in this order; the nearest ion is taken.
    width
        Largest width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        One row per ion with one panel per run; with one run, one panel per ion. The colours of an
        ion run from 0 to the 99th percentile over all pixels with peaks (the largest value where
        that is 0), the same in all its panels and written above them; what is higher is clipped.

    Raises
    ------
    ValueError
        Without coordinates or m/z, or where no ion is within 0.05 Da of one of `mz`.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> segmentation = clf.segment(spectra)
    >>> best = segmentation.explanation.families["mz"].head(2)
    >>> figure = mg.pl.ion_images(segmentation, best)
    >>> len(figure.axes)  # an image of each ion, and the colour bar
    3
    """
    panels = panels_of(segmentation)
    without = segmentation.spectra.peak_counts == 0
    rows = []
    for ion_mz, share in _ion_shares(segmentation, np.atleast_1d(np.asarray(mz, dtype=float))):
        top = _clip_value(share[~without])
        rows.append((ion_mz, top, share / top if top > 0 else share))
    several = len(panels) > 1
    sections = []
    cells = []
    for ion_mz, top, scaled in rows:
        name, limit = f"m/z {ion_mz:.4f}", f"0 to {100 * top:.3g} % of TIC"
        colours = _map_colours(scaled, ION_MAP, without)
        if several:
            of_run = [Cell(panel, colours, (panel.name,)) for panel in panels]
            sections.append(Section(of_run, f"{name} · {limit}"))
        else:
            cells.append(Cell(panels[0], colours, (name, limit)))
    sections = sections if several else [Section(cells)]
    names = {0.0: "0", 1.0: "99th\npercentile"}
    # The titles say of what.
    return scaled_map(segmentation, sections, _no_peaks(without), (ION_MAP, "", names), width)


# -------------------------------------------------------------------- classes


def panels_of(segmentation: Segmentation) -> list[Panel]:
    """Panels of all runs of a segmentation."""
    return make_panels(segmentation.coordinates, segmentation.run, segmentation.pixel_size)


def _class_map(
    segmentation: Segmentation,
    panels: Sequence[Panel],
    labels: pd.Categorical,
    missing: str,
    width: float,
) -> Picture:
    names = [str(name) for name in labels.categories]
    colour_of = _colours_of(segmentation, labels)
    # The code of a missing label is -1, which picks the colour at the end.
    rgba = np.array(
        [to_rgba(colour_of.get(name, NO_PEAKS)) for name in names] + [to_rgba(NO_PEAKS)]
    )
    codes = np.asarray(labels.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    # That a class was found nowhere is worth a line; that a level of the labels is unused is not.
    legend = [
        (colour_of[name], f"{name} ({count:,} px)")
        for name, count in zip(names, counts, strict=True)
        if name in colour_of and (count or name in segmentation.classes)
    ]
    if (codes < 0).any():
        legend.append((NO_PEAKS, f"{missing} ({np.count_nonzero(codes < 0):,} px)"))
    cells = [Cell(panel, rgba[codes], _run_title(panel, panels)) for panel in panels]
    sheet = Sheet(
        [Section(cells)], width=width, legend=legend, scale_bar=scale_bar_of(segmentation)
    )
    return sheet.figure


def _colours_of(segmentation: Segmentation, labels: pd.Categorical) -> dict[str, str]:
    """Colour of each level: that of the class of its name, so that maps say the same alike."""
    if labels is segmentation.label:
        return palette(segmentation)
    if of_regions(segmentation):
        # Labels given know nothing of regions: theirs is the colour of what they coincide with.
        return label_palette(labels, segmentation)
    names = [str(name) for name in labels.categories]
    known = [*segmentation.classes, *(name for name in names if name not in segmentation.classes)]
    return dict(zip(known, class_colours(len(known)), strict=True))


def _run_title(panel: Panel, panels: Sequence[Panel]) -> tuple[str, ...]:
    """Name of the run; nothing for a single run without a name."""
    return () if len(panels) == 1 and panel.name == "run0" else (panel.name,)


def scale_bar_of(segmentation: Segmentation) -> tuple[float, str] | None:
    """Size of one x coordinate and its unit, where known."""
    if segmentation.pixel_size is None:
        return None
    return float(segmentation.pixel_size[0]), segmentation.pixel_size_unit


# -------------------------------------------------------------------- values


def _sections(
    panels: Sequence[Panel],
    values: Sequence[tuple[str, NDArray[np.float64]]],
    colour_map: str,
    without: NDArray[np.bool_],
) -> list[Section]:
    """One section per value, with a panel per run; of a single run, one section for all values."""
    drawn = [(name, _map_colours(value, colour_map, without)) for name, value in values]
    if len(panels) == 1:
        title = _run_title(panels[0], panels)
        return [
            Section(
                [Cell(panels[0], colours, (name,) if name else title) for name, colours in drawn]
            )
        ]
    return [
        Section([Cell(panel, colours, (panel.name,)) for panel in panels], name)
        for name, colours in drawn
    ]


def _map_colours(
    values: NDArray[np.float64], colour_map: str, without: NDArray[np.bool_]
) -> Colours:
    rgba = np.asarray(colormaps[colour_map](np.clip(np.nan_to_num(values), 0.0, 1.0)))
    rgba[without] = to_rgba(NO_PEAKS)
    return rgba


def scaled_map(
    segmentation: Segmentation,
    sections: Sequence[Section],
    legend: Sequence[tuple[str, str]],
    scale: tuple[str, str, dict[float, str]],
    width: float,
) -> Picture:
    """Draw panels with a colour bar, given by colour map, label, and names of places on it."""
    colour_map, label, names = scale
    sheet = Sheet(
        sections,
        width=width,
        legend=legend,
        colour_bar=True,
        scale_bar=scale_bar_of(segmentation),
    )
    mappable: Any = ScalarMappable(Normalize(0, 1), colour_map)
    sheet.add_colour_bar(mappable, label, list(names), list(names.values()))
    return sheet.figure


def _no_peaks(without: NDArray[np.bool_]) -> list[tuple[str, str]]:
    count = int(np.count_nonzero(without))
    return [(NO_PEAKS, f"no peaks ({count:,} px)")] if count else []


# -------------------------------------------------------------------- ions


def _ion_shares(
    segmentation: Segmentation, wanted: NDArray[np.float64]
) -> list[tuple[float, NDArray[np.float64]]]:
    """m/z and share of the TIC in each pixel, of the ions nearest to the m/z wanted."""
    spectra, explanation = segmentation.spectra, segmentation.explanation
    if explanation is None:
        axis, ion = spectra.align(5.0)
    else:
        axis = explanation.mz
        ion = assign_to_axis(spectra.mz, axis) if axis.size else np.empty(0, dtype=np.int64)
    chosen = [_nearest(axis, value) for value in wanted]
    if not chosen:
        msg = "no m/z to draw: give at least one"
        raise InputError(msg)
    known = None if explanation is None else explanation.share
    if known is not None and known.shape[0] == spectra.n_pixels:
        # What the tables are means of. Peaks were taken to their ions less the mass error of their
        # pixel, which the m/z of the spectra still have.
        columns = known[:, chosen].toarray().T
        return [(float(axis[i]), share) for i, share in zip(chosen, columns, strict=True)]
    # Pixels without peaks have no ion current; their shares are 0 and not 0 / 0.
    tic = np.maximum(spectra.tic(), np.finfo(float).tiny)
    shares = []
    for index in chosen:
        peaks = np.flatnonzero(ion == index)
        pixels = np.searchsorted(spectra.offsets, peaks, side="right") - 1
        sums = np.bincount(pixels, weights=spectra.intensity[peaks], minlength=spectra.n_pixels)
        shares.append((float(axis[index]), sums / tic))
    return shares


def _nearest(axis: NDArray[np.float64], mz: float) -> int:
    if axis.size == 0:
        msg = f"no ion near m/z {mz:g}: the spectra have no peaks"
        raise InputError(msg)
    index = int(np.argmin(np.abs(axis - mz)))
    # Put this way round, the test refuses an m/z that is NaN as well.
    if not abs(axis[index] - mz) <= FARTHEST_DA:
        msg = f"no ion within {FARTHEST_DA} Da of m/z {mz:g}; the nearest is at {axis[index]:.4f}"
        raise InputError(msg)
    return index


def _clip_value(share: NDArray[np.float64]) -> float:
    """Give the 99th percentile, or the largest value for an ion in fewer pixels than that."""
    if share.size == 0:
        return 0.0
    top = float(np.percentile(share, CLIP_PERCENTILE))
    return top if top > 0 else float(share.max())
