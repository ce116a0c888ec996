"""Labels laid over the pixels of an image: by their run and place, and no other than is meant."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.text import one_line
from massgraph._util.warnings import outside
from massgraph.data.label_evidence import SHIFTS, Move, PlaceTable, better_place
from massgraph.data.sources import Pixels, is_source, places
from massgraph.data.spectra import Spectra
from massgraph.io._label_rasters import as_pixels_count, lie_on_left_out
from massgraph.io._label_table import LabelsError

__all__ = ["Labels", "match_labels"]

NEAR = 1e-4  # of a pixel: what is left of a division
ENDINGS = (".imzml", ".ibd", ".h5ad", ".d", ".raw", ".mis")
Key = tuple[float, float, str, float | None]
Shift = tuple[int, int]
Sections = list[float | None]


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of pixels, one row per labelled pixel.

    Parameters
    ----------
    x, y
        Positions in pixels, float64, shape ``(n_labels,)``.
    label
        Texts, object array of str, shape ``(n_labels,)``.
    run
        Names of runs, object array of str, or None where the table has no such column.
    line
        Line of each row in its file, for messages.
    source
        Name of the file, for messages.
    z
        Sections, float64, shape ``(n_labels,)``, or None where the table has no such column.
    drawn
        Whether they are the pixels of shapes, which may reach beyond the image.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.io.labels import Labels
    >>> text = np.array(["tumour", "stroma", "tumour"], dtype=object)
    >>> x, y, line = np.array([1.0, 2.0, 3.0]), np.ones(3), np.arange(2, 5)
    >>> labels = Labels(x, y, text, run=None, line=line, source="by hand")
    >>> len(labels), labels.classes
    (3, ('stroma', 'tumour'))
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    label: NDArray[np.object_]
    run: NDArray[np.object_] | None
    line: NDArray[np.int64]
    source: str
    z: NDArray[np.float64] | None = None
    drawn: bool = False

    def __len__(self) -> int:
        return len(self.x)

    @property
    def classes(self) -> tuple[str, ...]:
        """The different labels, sorted."""
        return tuple(sorted(set(self.label.tolist())))


def match_labels(
    labels: Labels, spectra: Pixels, *, shift: Shift | None = None
) -> NDArray[np.object_]:
    """Give every pixel its label.

    Parameters
    ----------
    labels
        As read by `read_labels`.
    spectra
        `Spectra` with coordinates, or any source of blocks of them (`SpectraSource`), of which
        only the places and some labelled pixels are looked at. Where they have a third coordinate,
        z, a label without one holds for the pixel only if a single one lies at its x and y.
    shift
        Pixels to add to x and y of the labels, as ``(1, 1)`` for a table that counts from 0 on an
        image that counts from 1. Default: none, unless labels have no pixel as they stand and all
        have one counted in the other way, which is told; labels of a file that counts positions
        from 0 count as it does. Labels that fit the spectra clearly
        better a pixel further, mirrored, or with x and y exchanged are told, too. Give ``(0, 0)``
        where they are right.

    Returns
    -------
    numpy.ndarray
        Object array, shape ``(n_pixels,)``: the label as str, or None for an unlabelled pixel.

    Notes
    -----
    Labels of spectra that were left out by choice, of one polarity say, are passed over.

    Raises
    ------
    LabelsError
        Where the spectra have no coordinates, a label has no pixel or several, a run is unknown,
        or the spectra hold several runs and the labels name none.

    Warns
    -----
    UserWarning
        Where labels are shifted, or look as if they ought to be.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks(
    ...     [([255.23], [9.0]), ([255.23, 281.25], [4.0, 7.0])], coordinates=[[1, 1], [2, 1]]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pd.DataFrame({"x": [2], "y": [1], "label": ["tumour"]})
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     labels = mg.read_labels(f"{folder}/labels.csv")
    >>> mg.match_labels(labels, spectra)
    array([None, 'tumour'], dtype=object)
    """
    pixels = _places(labels, spectra)
    given = None if shift is None else _checked_shift(shift)
    rows = _Rows.of(labels, pixels)
    rows, done = (rows, (0, 0)) if given is not None else _as_file_counts(labels, pixels, rows)
    chosen = _start(labels, rows) if given is None else given
    rows = rows.moved(chosen)
    done = _sum(done, chosen)
    left_out = rows.left_out(pixels)
    matched = np.full(pixels.n_pixels, None, dtype=object)
    lost: list[int] = []
    for row, label in enumerate(labels.label.tolist()):
        found = rows.at.get(rows.key(row), [])
        if len(found) > 1:
            msg = (
                f"{labels.source}, line {labels.line[row]}: {len(found)} pixels lie at "
                f"x {labels.x[row]:g}, y {labels.y[row]:g} (several z?); add a column z, or choose "
                "the pixels of one section first"
            )
            raise LabelsError(msg)
        if not found and left_out[row]:
            continue
        if not found:
            # All are counted: one lost label is a slip, all of them are another image or origin.
            lost.append(row)
        elif matched[found[0]] not in (None, label):
            # Two spellings of a run, or of a number, that mean the same pixel.
            msg = (
                f"{labels.source}, line {labels.line[row]}: the pixel at x {labels.x[row]:g}, "
                f"y {labels.y[row]:g} of run {rows.run[row]!r} is labelled {label!r}, but "
                f"{matched[found[0]]!r} further up; keep one"
            )
            raise LabelsError(msg)
        else:
            matched[found[0]] = label
    if lost and not (labels.drawn and len(lost) < len(labels)):
        raise _lost(labels, pixels, rows, lost, done)
    if given is None:
        _doubt(labels, spectra, pixels, matched, done)
    return matched


def _places(labels: Labels, spectra: Pixels) -> Spectra:
    """The pixels without their peaks, if they say where they are."""
    if not isinstance(spectra, Spectra) and not is_source(spectra):
        msg = (
            f"{labels.source}: cannot be matched with a {type(spectra).__name__}, which holds no "
            "spectra: give massgraph.Spectra or a source of them"
        )
        raise LabelsError(msg)
    pixels = places(spectra)
    if pixels.coordinates is None:
        msg = f"{labels.source}: cannot be matched, the spectra have no coordinates"
        raise LabelsError(msg)
    return pixels


def _checked_shift(shift: Shift) -> Shift:
    try:
        x, y = (int(one) for one in shift)
        whole = (x, y) == tuple(shift)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        msg = f"shift is {shift!r}: give two whole numbers of pixels, for x and y, as (1, 1)"
        raise LabelsError(msg)
    return x, y


# -------------------------------------------------------------------- rows and pixels


@dataclass(frozen=True)
class _Rows:
    """Places of labels, and the pixels at each place."""

    x: list[float]
    y: list[float]
    run: list[str]
    z: Sections
    at: dict[Key, list[int]]
    beside: set[tuple[float, float, str]]
    low: NDArray[np.float64]

    @classmethod
    def of(cls, labels: Labels, pixels: Spectra) -> _Rows:
        z, at_z = _sections(labels, pixels)
        found: dict[Key, list[int]] = {}
        x, y = np.asarray(pixels.coordinates)[:, :2].T.tolist()
        for pixel, place in enumerate(zip(x, y, pixels.run.tolist(), at_z, strict=True)):
            found.setdefault(place, []).append(pixel)
        whole = pixels.n_pixels and not (np.asarray(pixels.coordinates)[:, :2] % 1).any()
        own_x, own_y = (_snapped(one) if whole else one for one in (labels.x, labels.y))
        low = np.min(np.asarray(pixels.coordinates)[:, :2], axis=0, initial=np.inf)
        run = _runs(labels, pixels)
        beside = {
            (x, y, name)
            for name, raster in pixels.rasters.items()
            for x, y in raster.left_out[:, :2].tolist()
        }
        return cls(own_x.tolist(), own_y.tolist(), run, z, found, beside, low)

    def key(self, row: int, shift: Shift = (0, 0), swap: bool = False) -> Key:
        x, y = self.x[row] + shift[0], self.y[row] + shift[1]
        return (y, x, self.run[row], self.z[row]) if swap else (x, y, self.run[row], self.z[row])

    def hits(self, shift: Shift = (0, 0), swap: bool = False) -> int:
        """How many labels have a pixel, or a spectrum that was left out."""
        keys = (self.key(row, shift, swap) for row in range(len(self.x)))
        return sum(key in self.at or key[:3] in self.beside for key in keys)

    def moved(self, shift: Shift) -> _Rows:
        """The same labels at other places."""
        x, y = (
            [one + by for one in ones] for ones, by in zip((self.x, self.y), shift, strict=True)
        )
        return self if shift == (0, 0) else replace(self, x=x, y=y)

    def left_out(self, pixels: Spectra) -> NDArray[np.bool_]:
        """Which lie where the file has spectra that were left out by choice alone."""
        return lie_on_left_out(np.asarray(self.x), np.asarray(self.y), self.run, pixels)


def _snapped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers where a division left next to nothing behind the point."""
    near = np.round(values)
    # Plus zero: minus zero would be another key.
    return np.where(np.abs(values - near) < NEAR, near, values) + 0.0


def _sections(labels: Labels, pixels: Spectra) -> tuple[Sections, Sections]:
    """Sections of labels and of pixels, None throughout where they do not count."""
    coordinates = np.asarray(pixels.coordinates)
    if labels.z is not None and coordinates.shape[1] == 3:
        return labels.z.tolist(), coordinates[:, 2].tolist()
    several = [] if labels.z is None else np.unique(labels.z).tolist()
    if len(several) > 1:
        shown = ", ".join(f"{one:g}" for one in several[:4])
        msg = (
            f"{labels.source}: labels lie at several z ({shown}), but the image has one section; "
            "keep the rows of this one"
        )
        raise LabelsError(msg)
    return [None] * len(labels), [None] * pixels.n_pixels


def _runs(labels: Labels, spectra: Spectra) -> list[str]:
    """Run of every label; without a column it is the only run of the image."""
    present = sorted(set(spectra.run.tolist()))
    known = ", ".join(repr(name) for name in present) or "none"
    if labels.run is None:
        if len(present) > 1:
            msg = (
                f"{labels.source}: has no column run, but the image has several: {known}; add a "
                "column run that says which of them a label belongs to"
            )
            raise LabelsError(msg)
        return (present or [""]) * len(labels)
    meant: dict[str, str] = {}
    for row, run in enumerate(labels.run.tolist()):
        if run not in meant:
            found = _meant(run, present)
            if found is None:
                msg = (
                    f"{labels.source}, line {labels.line[row]}: run {run!r} is not in the image, "
                    f"which has {known}; leave out its rows, or give its file as well"
                )
                raise LabelsError(msg)
            meant[run] = found
    _tell_runs(labels, meant)
    return [meant[run] for run in labels.run.tolist()]


def _meant(run: str, present: list[str]) -> str | None:
    """The run that a name means: itself, or one that its file is named after."""
    path = run.strip().replace("\\", "/")
    stem = path.rsplit(".", 1)[0] if path.lower().endswith(ENDINGS) else path
    for name in (run, path, stem):
        if name in present:
            return name
    # Runs of one name are told apart by the folders of their files.
    ends = [name for name in present if f"/{stem}".endswith(f"/{name}")]
    if ends:
        return max(ends, key=len)
    folded = f"/{stem}".casefold()
    alike = [name for name in present if folded.endswith(f"/{name}".casefold())]
    return alike[0] if len(alike) == 1 else None


def _tell_runs(labels: Labels, meant: dict[str, str]) -> None:
    """Say that runs are found by another spelling; an ending alone is no other spelling."""
    odd = [(run, name) for run, name in meant.items() if name not in run.replace("\\", "/")]
    if odd:
        shown = ", ".join(f"{run!r} as {name!r}" for run, name in odd[:4])
        _warn(f"{labels.source}: runs are written in another way than in the image, read {shown}")


# -------------------------------------------------------------------- where labels begin


def _as_file_counts(labels: Labels, pixels: Spectra, rows: _Rows) -> tuple[_Rows, Shift]:
    """Labels counted as their file counts, and by how much all of them were moved."""
    if labels.drawn or not any(raster.shift for raster in pixels.rasters.values()):
        return rows, (0, 0)
    before = np.asarray(rows.x), np.asarray(rows.y)
    x, y = as_pixels_count(*before, rows.run, pixels, labels.source)
    all_ = bool(len(x)) and bool((x == before[0] + 1).all())
    return replace(rows, x=x.tolist(), y=y.tolist()), (1, 1) if all_ else (0, 0)


def _start(labels: Labels, rows: _Rows) -> Shift:
    """No shift, or the one between counting from 0 and from 1 where nothing else is possible."""
    if labels.drawn:
        # Shapes are laid on pixels that count from 1.
        return (-1, -1) if 0 in rows.low else (0, 0)
    n = len(labels)
    hits = rows.hits()
    if hits == n or not n:
        return 0, 0
    own = np.array([min(rows.x), min(rows.y)])
    if 0 in own and (own >= 0).all() and (rows.low >= 1).all():
        shift, says = (1, 1), "counts from 0, the image from 1"
    elif 0 in rows.low and (rows.low >= 0).all() and (own >= 1).all():
        shift, says = (-1, -1), "counts from 1, the image from 0"
    else:
        return 0, 0
    if rows.hits(shift) < n:
        return 0, 0
    kept, made = _option((0, 0)), _option(shift)
    _warn(
        f"{labels.source}: {says}: {n - hits} of {n} labels have no pixel as they stand, all have "
        f"one with {_words(shift)}, which is done; {made} says so without this warning, {kept} "
        "takes them as they stand"
    )
    return shift


def _option(shift: Shift) -> str:
    return advise(f"shift={shift}", cli=f"--label-shift {shift[0]} {shift[1]}")


def _words(shift: Shift) -> str:
    return ", ".join(f"{axis}{n:+d}" for axis, n in zip("xy", shift, strict=True) if n)


def _doubt(
    labels: Labels, spectra: Pixels, pixels: Spectra, matched: NDArray[np.object_], done: Shift
) -> None:
    """Warn of labels that all have a pixel, and yet lie where they do not fit."""
    move = better_place(spectra, pixels, matched)
    if move is not None:
        _warn(
            f"{labels.source}: {_suspicion(pixels, move, done)}; {_option(done)} takes them as "
            "they are now, without this warning"
        )
    elif isinstance(spectra, Spectra):
        _doubt_off_tissue(labels, spectra, pixels, matched, done)


def _sum(one: Shift, other: Shift) -> Shift:
    return one[0] + other[0], one[1] + other[1]


def _suspicion(pixels: Spectra, move: Move, done: Shift) -> str:
    look = f"{move.fits} of the {move.n} pixels whose class would change look like the class they "
    if move.kind == "shift":
        also = " (as where a table counts from 0)" if move.shift == (1, 1) else ""
        return (
            f"labels seem to be shifted by a pixel{also}: with {_words(move.shift)} {look}would "
            f"get; {_option(_sum(done, move.shift))} moves them"
        )
    if move.kind == "swap":
        return (
            f"x and y seem to be exchanged: if they were, {look}would get; exchange the names of "
            "these columns"
        )
    axis = move.kind[-1]
    at = np.asarray(pixels.coordinates)[:, "xy".index(axis)]
    return (
        f"labels seem to be mirrored in {axis}: if they were turned back, {look}would get; write "
        f"{at.min() + at.max():g} - {axis} for {axis}"
    )


def _doubt_off_tissue(
    labels: Labels, spectra: Spectra, pixels: Spectra, matched: NDArray[np.object_], done: Shift
) -> None:
    """Warn where many labels lie on pixels without peaks, and none would a pixel further."""
    known = np.array([label is not None for label in matched])
    empty = spectra.peak_counts == 0
    off = int((known & empty).sum())
    if off < 3 or (np.asarray(pixels.coordinates) % 1).any():
        return
    table = PlaceTable(pixels)
    for shift in SHIFTS:
        from_ = table.moved_from(Move("shift", shift))
        moved = (from_ >= 0) & known[from_]
        if moved.sum() == known.sum() and not (moved & empty).any():
            _warn(
                f"{labels.source}: {off} of {known.sum()} labels lie on pixels without peaks, none "
                f"would with {_words(shift)}: are they shifted? "
                f"{_option(_sum(done, shift))} moves them, {_option(done)} takes them as they are "
                "now, without this warning"
            )
            return


# -------------------------------------------------------------------- labels without a pixel


def _lost(
    labels: Labels, spectra: Spectra, rows: _Rows, lost: list[int], shift: Shift
) -> LabelsError:
    """Make the error for labels without a pixel."""
    row = lost[0]
    x, y = rows.x[row], rows.y[row]
    image = "which has no pixels"
    if spectra.coordinates is not None and spectra.n_pixels:
        low, high = spectra.coordinates.min(axis=0), spectra.coordinates.max(axis=0)
        image = f"whose pixels span x {low[0]:g} to {high[0]:g} and y {low[1]:g} to {high[1]:g}"
    at = f"line {labels.line[row]}: " if not labels.drawn else f"shape {labels.line[row]}: "
    moved = "" if shift == (0, 0) or labels.drawn else f", moved by {_words(shift)},"
    return LabelsError(
        f"{labels.source}, {at}pixel (x {x:g}, y {y:g}){moved} is not in the image, "
        f"{image}; {len(lost)} of {len(labels)} labels have no pixel; "
        f"{_way_out(labels, spectra, rows, shift)}"
    )


def _way_out(labels: Labels, spectra: Spectra, rows: _Rows, done: Shift) -> str:
    """What would give all labels a pixel, or what else to do."""
    n = len(labels)
    if labels.drawn:
        way = advise("pixel_size=", cli="--label-pixel-size")
        return f"is {way} right, and was the picture that of this image?"
    for shift in SHIFTS:
        if rows.hits(shift) == n:
            return f"with {_words(shift)} all would: {_option(_sum(done, shift))} moves them"
    if rows.hits(swap=True) == n:
        return "with x and y exchanged all would: exchange the names of these columns"
    x, y = np.asarray(rows.x), np.asarray(rows.y)
    for size in _sizes(spectra, x, y):
        scaled = replace(rows, x=_snapped(x / size).tolist(), y=_snapped(y / size).tolist())
        if scaled.hits() == n or scaled.hits((1, 1)) == n or scaled.hits((-1, -1)) == n:
            way = advise(f"pixel_size={size:g}", cli=f"--label-pixel-size {size:g}")
            of = advise(f"read_labels(..., {way})", cli=way)
            return f"divided by {size:g} all would: are they micrometres? {of} reads them so"
    if (x % 1).any() or (y % 1).any():
        near = replace(rows, x=np.round(x).tolist(), y=np.round(y).tolist())
        all_ = "all would" if near.hits() == n else f"{near.hits()} would"
        return f"rounded to whole pixels {all_}: write x and y as whole numbers, counted from 1"
    return "leave out these rows, if the image is the right one"


def _sizes(spectra: Spectra, x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """How wide a pixel may be, in the unit of the labels."""
    sizes = [] if spectra.pixel_size is None else [float(spectra.pixel_size[0])]
    steps = np.diff(np.unique(np.concatenate([np.unique(x), np.unique(y)])))
    steps = steps[steps > NEAR]
    if steps.size:
        sizes.append(float(steps.min()))
    return [size for size in dict.fromkeys(sizes) if size not in (0.0, 1.0)]


def _warn(message: str) -> None:
    warnings.warn(one_line(message), UserWarning, stacklevel=outside())
