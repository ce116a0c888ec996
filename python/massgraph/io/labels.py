"""Reading labels of pixels from a table or from shapes: every fault by its line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from massgraph._util.advice import advise
from massgraph.data.label_names import LabelNames
from massgraph.io._label_places import Labels, match_labels
from massgraph.io._label_shapes import Rows, geojson_rows, is_geojson, is_napari, napari_rows
from massgraph.io._label_table import LabelsError, Table, read_table, read_text

__all__ = ["Labels", "LabelsError", "match_labels", "read_labels"]

REQUIRED = ("x", "y", "label")
OPTIONAL = ("run", "z")
# A table of x, y and one of these is as clear as one of x, y and label.
ALSO = (
    *("labels", "class", "classes", "classification", "annotation", "annotations", "region"),
    *("tissue", "category", "diagnosis"),
)
PIXELS = re.compile(r"\s*[(\[](px|pixels?)[)\]]$")  # the unit that is meant anyway
NEAR = 1e-3  # of a pixel: what is left of a division


def read_labels(
    path: str | Path,
    *,
    column: str | None = None,
    pixel_size: float | None = None,
    missing: Sequence[Any] = (),
    keep_missing: bool = False,
    names: str = "tidy",
) -> Labels:
    """Read labels of pixels from a table, or from shapes drawn on a picture.

    Parameters
    ----------
    path
        A text file whose header names the columns ``x``, ``y``, ``label`` and, where the image
        holds several runs, ``run``, or several sections, ``z``; in any order and among any others.
        Columns are separated by comma, tab, semicolon or spaces; decimals have a point, or a comma
        where that separates no columns. Also the GeoJSON of QuPath, a table of its detections, and
        the shapes of napari with a column ``label`` that was added.
    column
        Name of the column with the labels; default: ``label``, or the only one called `class`,
        `region` or the like. It can be any other, such as one with the patient of each pixel.
    pixel_size
        How wide a pixel of the image is, in units of the file: of shapes, in pixels of the picture
        they were drawn on; of a table in micrometres, in micrometres. A pixel belongs to a shape
        where its centre does. Positions that are multiples of this size are divided by it; others
        are those of the pixels that they lie in, the first of which begins at 0 and is pixel 1.
    missing
        Names that mean that a pixel has no label, besides ``NA``, ``nan``, ``None``, ``null``,
        ``unlabelled`` and the like, an empty field, and -1 beside at least two other numbers.
    keep_missing
        Whether these are classes after all; an empty field never is.
    names
        ``"tidy"``: labels that look the same are one class (spaces, Unicode in two forms);
        ``"fold"``: labels that differ in upper and lower case, too; ``"exact"``: to the letter.

    Returns
    -------
    Labels
        Rows in the order of the file, without those that have no label; a pixel labelled twice
        with the same label is one row.

    Raises
    ------
    LabelsError
        One line with file, line and value where a column is missing, a coordinate is no number, a
        pixel has two labels, or no row has a label; where a file is of another kind.

    Warns
    -----
    UserWarning
        Once for each thing that may not be meant: labels that are read as missing, or could be;
        labels that are read in another spelling; text that is not UTF-8.

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
    naming = LabelNames(missing, keep_missing, names)
    size = None if pixel_size is None else _checked_size(pixel_size)
    text = read_text(path)
    if column is not None and is_geojson(text):
        msg = f"{path}: holds shapes, which have no column {column!r}"
        raise LabelsError(msg)
    if is_geojson(text):
        return _labels(path, geojson_rows(path, text, size, naming), drawn=True)
    table = read_table(path, text, REQUIRED[:2])
    if is_napari(table.names):
        rows = napari_rows(table, _label_column(table, column, needed=False), size, naming)
        return _labels(path, rows, drawn=True)
    return _labels(path, _rows(table, column, size, naming))


def _checked_size(pixel_size: float) -> float:
    try:
        size = float(pixel_size)
    except (TypeError, ValueError):
        size = math.nan
    if not (math.isfinite(size) and size > 0):
        msg = f"pixel_size is {pixel_size!r}, need a number above 0"
        raise LabelsError(msg)
    return size


def _labels(path: Path, rows: Rows, drawn: bool = False) -> Labels:
    x, y, run, z = zip(*rows, strict=True)
    label, line = zip(*rows.values(), strict=True)
    return Labels(
        x=np.asarray(x, dtype=np.float64),
        y=np.asarray(y, dtype=np.float64),
        label=np.asarray(label, dtype=object),
        run=None if run[0] is None else np.asarray(run, dtype=object),
        line=np.asarray(line, dtype=np.int64),
        source=str(path),
        z=None if z[0] is None else np.asarray(z, dtype=np.float64),
        drawn=drawn,
    )


# -------------------------------------------------------------------- rows of a table


def _rows(table: Table, name: str | None, size: float | None, naming: LabelNames) -> Rows:
    """Places with their labels; those without a label are left out."""
    column = _columns(table, name)
    path = table.path
    # A table cut off after its header would otherwise fit nothing, silently.
    if not table.rows:
        msg = f"{path}: has no labels below its header"
        raise LabelsError(msg)
    labels = naming.read([fields[column["label"]] for _, fields in table.rows], str(path))
    if not any(label is not None for label in labels):
        msg = (
            f"{path}: all {len(labels)} labels are missing ({table.rows[0][1][column['label']]!r})"
        )
        raise LabelsError(msg)
    # Rows without a label need no place.
    named = [(*row, label) for row, label in zip(table.rows, labels, strict=True) if label]
    places = [_place(table, line, fields, column) for line, fields, _ in named]
    if size is not None:
        places = _in_pixels(places, size)
    elif column.get("middle"):
        way = advise("pixel_size=", cli="--label-pixel-size")
        msg = (
            f"{path}: holds places on a picture ({table.names[column['x']]}); say how wide a pixel "
            f"of the image is there, in the same unit, by {way}"
        )
        raise LabelsError(msg)
    rows: Rows = {}
    for (line, _, label), place in zip(named, places, strict=True):
        before, at = rows.setdefault(place, (label, line))
        if before != label:
            msg = (
                f"{path}, line {line}: pixel (x {place[0]:g}, y {place[1]:g}) is labelled "
                f"{label!r}, but {before!r} in line {at}; keep one"
            )
            raise LabelsError(msg)
    return rows


def _place(
    table: Table, line: int, fields: list[str], column: dict[str, int]
) -> tuple[float, float, str | None, float | None]:
    x, y = (_coordinate(table, line, axis, fields[column[axis]]) for axis in "xy")
    z = _coordinate(table, line, "z", fields[column["z"]]) if "z" in column else None
    run = fields[column["run"]] if "run" in column else None
    if run is not None and not run.strip():
        msg = f"{table.path}, line {line}: the run is empty; say which run the pixel belongs to"
        raise LabelsError(msg)
    return x, y, run, z


def _in_pixels(places: list[Any], size: float) -> list[Any]:
    """Positions in units of the file as pixels that count from 1."""
    scaled = np.array([place[:2] for place in places]) / size
    near = np.round(scaled)
    own = near if (np.abs(scaled - near) < NEAR).all() else np.floor(scaled) + 1
    return [(x, y, *place[2:]) for (x, y), place in zip((own + 0.0).tolist(), places, strict=True)]


def _coordinate(table: Table, line: int, axis: str, text: str) -> float:
    plain = text.strip()
    comma = re.fullmatch(r"[+-]?\d+,\d+", plain) is not None
    if comma and table.comma and not re.fullmatch(r"[+-]?\d{1,3},(?!000)\d{3}", plain):
        plain = plain.replace(",", ".")
    try:
        value = math.nan if "_" in plain else float(plain)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        way = "; write decimals with a point, and no commas for thousands" if comma else ""
        msg = f"{table.path}, line {line}: {axis} is {text!r}, which is no number{way}"
        raise LabelsError(msg)
    # Minus zero would be another key than zero.
    return value + 0.0


# -------------------------------------------------------------------- columns of a table


def _columns(table: Table, chosen: str | None) -> dict[str, int]:
    # Headers are typed by hand.
    plain = [PIXELS.sub("", name.strip().lower()) for name in table.names]
    for name in (*REQUIRED, *OPTIONAL):
        if plain.count(name) > 1:
            msg = f"{table.path}, line {table.top}: has two columns {name!r}"
            raise LabelsError(msg)
    if any(name.startswith("centroid x") for name in plain):
        return _columns_of_qupath(table, plain, chosen)
    label = _label_column(table, chosen, needed=set(REQUIRED[:2]) <= set(plain))
    missing = [name for name in REQUIRED[:2] if name not in plain]
    if label is None:
        missing.append("label")
    if missing and any(_is_number(name) for name in plain):
        msg = (
            f"{table.path}, line {table.top}: is no header ({', '.join(table.names[:4])}); "
            f"{_without_header(table, plain)}"
        )
        raise LabelsError(msg)
    if missing:
        found = ", ".join(repr(name) for name in table.names) or "nothing"
        msg = (
            f"{table.path}, line {table.top}: lacks the column {' and '.join(missing)}; the header "
            f"needs x, y, label and may have run and z (found: {found})"
        )
        raise LabelsError(msg)
    known = {name: plain.index(name) for name in ("x", "y", *OPTIONAL) if name in plain}
    return known if label is None else {**known, "label": label}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _without_header(table: Table, plain: list[str]) -> str:
    """What to do with a table that begins with its values."""
    if len(plain) > 3 and all(map(_is_number, plain)):
        return "a mask is no table: give one row per pixel, with columns x, y and label"
    return "write x,y,label above it, in the order of its columns"


def _label_column(table: Table, chosen: str | None, needed: bool) -> int | None:
    """The column of labels: by that name, or the only one of a name that says as much."""
    if chosen is not None:
        names = [name.strip() for name in table.names]
        if names.count(chosen) != 1:
            has = "several columns" if chosen in names else "no column"
            msg = f"{table.path}, line {table.top}: has {has} {chosen!r}, of {names}"
            raise LabelsError(msg)
        return names.index(chosen)
    plain = [name.strip().lower() for name in table.names]
    found = [name for name in plain if name == "label"] or [name for name in plain if name in ALSO]
    if len(found) > 1 and needed:
        shown = ", ".join(map(repr, found))
        msg = (
            f"{table.path}, line {table.top}: any of the columns {shown} may hold the labels; name "
            "the right one label"
        )
        raise LabelsError(msg)
    return plain.index(found[0]) if len(found) == 1 else None


def _columns_of_qupath(table: Table, plain: list[str], chosen: str | None) -> dict[str, int]:
    """Columns of QuPath's measurements, of which each row is an object with its middle."""
    middle = {
        axis: [i for i, name in enumerate(plain) if name.startswith(f"centroid {axis}")]
        for axis in "xy"
    }
    label = _label_column(table, chosen, needed=True)
    if label is None or any(len(found) != 1 for found in middle.values()):
        msg = (
            f"{table.path}, line {table.top}: holds measurements of QuPath without one column each "
            "of Class, Centroid X and Centroid Y"
        )
        raise LabelsError(msg)
    kinds = [plain.index(name) for name in ("object type", "roi") if name in plain]
    for line, fields in table.rows:
        words = {fields[kind].strip().lower() for kind in kinds}
        if words & {"annotation", "polygon", "geometry", "rectangle", "ellipse"} and not words & {
            "detection",
            "cell",
            "tile",
        }:
            msg = (
                f"{table.path}, line {line}: is an annotation, of which QuPath's measurements hold "
                "the middle and not the outline; in QuPath, File > Export objects as GeoJSON, and "
                "give that file"
            )
            raise LabelsError(msg)
    return {"x": middle["x"][0], "y": middle["y"][0], "label": label, "middle": 1}
