"""Reading labels of pixels from a table: exact text, exact places, and every fault by its line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph.data.sources import Pixels, is_source, places
from massgraph.data.spectra import Spectra
from massgraph.io._label_rasters import as_pixels_count, lie_on_left_out

__all__ = ["Labels", "LabelsError", "match_labels", "read_labels"]

REQUIRED = ("x", "y", "label")
SEPARATORS = (",", "\t", ";")
# A line of labels is short; a longer field is a quote that was never closed.
MAX_FIELD = 10_000


class LabelsError(InputError):
    """A table of labels cannot be used; the message says where and why.

    Examples
    --------
    >>> import massgraph as mg
    >>> try:
    ...     mg.read_labels("absent.csv")
    ... except mg.InputError as error:
    ...     print(type(error).__name__, error)
    LabelsError absent.csv: cannot be read (No such file or directory)
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of pixels, one row per labelled pixel.

    Parameters
    ----------
    x, y
        Positions in pixels, float64, shape ``(n_labels,)``.
    label
        Texts, object array of str, shape ``(n_labels,)``; kept exactly: ``"NA"`` is a label.
    run
        Names of runs, object array of str, or None where the table has no such column.
    line
        Line of each row in its file, for messages.
    source
        Name of the file, for messages.

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

    def __len__(self) -> int:
        return len(self.x)

    @property
    def classes(self) -> tuple[str, ...]:
        """The different labels, sorted."""
        return tuple(sorted(set(self.label.tolist())))


def read_labels(path: str | Path) -> Labels:
    """Read labels of pixels from a table.

    Parameters
    ----------
    path
        A UTF-8 text file whose first line names the columns ``x``, ``y``, ``label`` and, where the
        image holds several runs, ``run``, in any order and among any others. Columns are separated
        by comma, tab or semicolon; fields may be quoted; numbers have a decimal point.

    Returns
    -------
    Labels
        Rows in the order of the file; a pixel labelled twice with the same label is one row.

    Raises
    ------
    LabelsError
        One line with file, line and value where a column is missing, a coordinate is no number, a
        label is empty, a pixel has two labels, or there are no rows.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pd.DataFrame({"x": [1, 2], "y": [1, 1], "label": ["tumour", "stroma"]})
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     labels = mg.read_labels(f"{folder}/labels.csv")
    >>> labels.label.tolist()
    ['tumour', 'stroma']
    """
    path = Path(path)
    rows = _rows(path)
    top, names = next(rows, (1, []))
    column = _columns(path, top, names)
    seen: dict[tuple[float, float, str | None], tuple[str, int]] = {}
    for line, fields in rows:
        if not any(text.strip() for text in fields):
            continue
        if len(fields) != len(names):
            msg = f"{path}, line {line}: has {len(fields)} fields, the header has {len(names)}"
            raise LabelsError(msg)
        x, y = (_coordinate(path, line, axis, fields[column[axis]]) for axis in "xy")
        label = fields[column["label"]]
        run = fields[column["run"]] if "run" in column else None
        for name, value in (("label", label), ("run", run)):
            if value is not None and not value.strip():
                msg = f"{path}, line {line}: the {name} is empty; leave out unlabelled pixels"
                raise LabelsError(msg)
        before, at = seen.setdefault((x, y, run), (label, line))
        if before != label:
            msg = (
                f"{path}, line {line}: pixel (x {x:g}, y {y:g}) is labelled {label!r}, but "
                f"{before!r} in line {at}; keep one"
            )
            raise LabelsError(msg)
    # A table cut off after its header would otherwise fit nothing, silently.
    if not seen:
        msg = f"{path}: has no labels below its header"
        raise LabelsError(msg)
    return _labels(path, seen, "run" in column)


def _labels(
    path: Path, seen: dict[tuple[float, float, str | None], tuple[str, int]], has_run: bool
) -> Labels:
    x, y, run = zip(*seen, strict=True)
    label, line = zip(*seen.values(), strict=True)
    return Labels(
        x=np.asarray(x, dtype=np.float64),
        y=np.asarray(y, dtype=np.float64),
        label=np.asarray(label, dtype=object),
        run=np.asarray(run, dtype=object) if has_run else None,
        line=np.asarray(line, dtype=np.int64),
        source=str(path),
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error})"
        raise LabelsError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 text (byte {error.start}); save it as CSV UTF-8"
        raise LabelsError(msg) from error


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines with their number; the separator is the one that the header holds."""
    text = _text(path)
    if "\0" in text:
        msg = f"{path}: is no text table (it holds null bytes); save it as CSV UTF-8"
        raise LabelsError(msg)
    # Labels may hold commas, names of columns do not.
    header = next(filter(str.strip, text.splitlines()), "")
    separator = max(SEPARATORS, key=header.count)
    # newline="" leaves line ends inside quotes as they are.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    start = 1
    try:
        for fields in reader:
            # An open quote swallows the rest of the table, and hides the line it began in.
            if fields and max(map(len, fields)) > MAX_FIELD:
                msg = (
                    f"{path}, line {start}: a field is longer than {MAX_FIELD} characters; "
                    "is a quote not closed?"
                )
                raise LabelsError(msg)
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        msg = f"{path}, line {start}: is no valid table row ({error}); check the quotes"
        raise LabelsError(msg) from error


def _columns(path: Path, line: int, names: list[str]) -> dict[str, int]:
    # Headers are typed by hand; labels, in contrast, are taken to the letter.
    plain = [name.strip().lower() for name in names]
    for name in (*REQUIRED, "run"):
        if plain.count(name) > 1:
            msg = f"{path}, line {line}: has two columns {name!r}"
            raise LabelsError(msg)
    missing = [name for name in REQUIRED if name not in plain]
    if missing:
        found = ", ".join(repr(name) for name in names) or "nothing"
        msg = (
            f"{path}, line {line}: lacks the column {' and '.join(missing)}; the header needs "
            f"x, y, label and may have run (found: {found})"
        )
        raise LabelsError(msg)
    return {name: plain.index(name) for name in (*REQUIRED, "run") if name in plain}


def _coordinate(path: Path, line: int, axis: str, text: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        comma = "; write decimals with a point" if "," in text else ""
        msg = f"{path}, line {line}: {axis} is {text!r}, which is no number{comma}"
        raise LabelsError(msg)
    # Minus zero would be another key than zero.
    return value + 0.0


# -------------------------------------------------------------------- onto the pixels


def match_labels(labels: Labels, spectra: Pixels) -> NDArray[np.object_]:
    """Give every pixel its label.

    Parameters
    ----------
    labels
        As read by `read_labels`.
    spectra
        `Spectra` with coordinates, or any source of blocks of them (`SpectraSource`), of which
        only the places are looked at. Where they have a third coordinate, z, a label holds for the
        pixel only if a single one lies at its x and y.

    Returns
    -------
    numpy.ndarray
        Object array, shape ``(n_pixels,)``: the label as str, or None for an unlabelled pixel.

    Raises
    ------
    LabelsError
        Where the spectra have no coordinates, a label has no pixel or several, a run is unknown,
        or the spectra hold several runs and the labels name none.

    Notes
    -----
    Labels of a file that counts positions from 0 are matched as it counts. Those of spectra that
    were left out by choice, of one polarity say, are passed over.

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
    at = _pixels_at(pixels)
    matched = np.full(pixels.n_pixels, None, dtype=object)
    lost: list[int] = []
    runs = _runs(labels, pixels)
    x, y = as_pixels_count(labels.x, labels.y, runs, pixels, labels.source)
    labels = replace(labels, x=x, y=y)
    left_out = lie_on_left_out(x, y, runs, pixels)
    rows = zip(labels.x.tolist(), labels.y.tolist(), runs, labels.label.tolist(), strict=True)
    for row, (x, y, run, label) in enumerate(rows):
        found = at.get((x, y, run), [])
        if len(found) > 1:
            msg = (
                f"{labels.source}, line {labels.line[row]}: {len(found)} pixels lie at x {x:g},"
                f" y {y:g} (several z?); choose the pixels of one section first"
            )
            raise LabelsError(msg)
        if not found and left_out[row]:
            continue
        if not found:
            # All are counted: one lost label is a slip, all of them are another image or origin.
            lost.append(row)
        else:
            matched[found[0]] = label
    if lost:
        raise _lost(labels, pixels, lost)
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


def _pixels_at(pixels: Spectra) -> dict[tuple[float, float, str], list[int]]:
    """Pixels by x, y and run; sections at several z share a place."""
    found: dict[tuple[float, float, str], list[int]] = {}
    x, y = np.asarray(pixels.coordinates)[:, :2].T.tolist()
    for pixel, place in enumerate(zip(x, y, pixels.run.tolist(), strict=True)):
        found.setdefault(place, []).append(pixel)
    return found


def _runs(labels: Labels, spectra: Spectra) -> list[str]:
    """Run of every label; without a column it is the only run of the image."""
    present = sorted(set(spectra.run.tolist()))
    known = ", ".join(repr(name) for name in present) or "none"
    if labels.run is None:
        if len(present) > 1:
            msg = f"{labels.source}: has no column run, but the image has several: {known}"
            raise LabelsError(msg)
        return (present or [""]) * len(labels)
    runs: list[str] = labels.run.tolist()
    for row, run in enumerate(runs):
        if run not in present:
            msg = (
                f"{labels.source}, line {labels.line[row]}: run {run!r} is not in the image, "
                f"which has {known}"
            )
            raise LabelsError(msg)
    return runs


def _lost(labels: Labels, spectra: Spectra, lost: list[int]) -> LabelsError:
    """Make the error for labels without a pixel."""
    row = lost[0]
    x, y = labels.x[row], labels.y[row]
    image = "which has no pixels"
    if spectra.coordinates is not None and spectra.n_pixels:
        low, high = spectra.coordinates.min(axis=0), spectra.coordinates.max(axis=0)
        image = f"whose pixels span x {low[0]:g} to {high[0]:g} and y {low[1]:g} to {high[1]:g}"
    return LabelsError(
        f"{labels.source}, line {labels.line[row]}: pixel (x {x:g}, y {y:g}) is not in the image, "
        f"{image}; {len(lost)} of {len(labels)} labels have no pixel"
    )
