"""Shapes that were drawn on a picture of the image, as labels of pixels.

A pixel is labelled where its centre lies within a shape; holes are not within, and of two shapes
that share an edge one alone has the pixels on it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.text import one_line
from massgraph._util.warnings import outside
from massgraph.data.label_names import LabelNames
from massgraph.io._label_table import LabelsError, Table

__all__ = ["Rows", "geojson_rows", "is_geojson", "is_napari", "napari_rows"]

MOST = 10_000_000  # pixels of a shape's bounding box: more, and its unit is another one
NAPARI = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")

Ring = NDArray[np.float64]
Rows = dict[tuple[float, float, str | None, float | None], tuple[str, int]]


@dataclass(frozen=True)
class Shape:
    """An outline with its class.

    Parameters
    ----------
    name
        Of the class.
    run
        Name of a run, or None.
    at
        Number of the shape in the file, or its line.
    parts
        Polygons, each a list of rings, shape ``(n, 2)``: x and y in units of the picture.
    """

    name: str
    run: str | None
    at: int
    parts: list[list[Ring]]


def is_geojson(text: str) -> bool:
    """Whether a file holds JSON, of which GeoJSON alone has labels."""
    return text.lstrip()[:1] in ("{", "[")


def is_napari(names: Sequence[str]) -> bool:
    """Whether a table holds the corners of napari's shapes."""
    return {"shape-type", "vertex-index"} <= {name.strip().lower() for name in names}


# -------------------------------------------------------------------- QuPath and its like


def geojson_rows(path: Path, text: str, pixel_size: float | None, names: LabelNames) -> Rows:
    """Labels of the pixels within the polygons of a GeoJSON file, as QuPath writes it.

    Raises
    ------
    LabelsError
        For other JSON, lines, shapes of two classes that overlap, or without `pixel_size`.
    """
    features = _features(path, text)
    size = _checked_size(path, pixel_size)
    shapes = []
    for number, feature in enumerate(features, start=1):
        name = _class_of(feature)
        if name is not None:
            run = _properties(feature).get("run")
            parts = _parts(path, number, feature.get("geometry"))
            shapes.append(Shape(name, None if run is None else str(run), number, parts))
    if not shapes:
        msg = f"{path}: none of its {len(features)} shapes has a class; give them one in QuPath"
        raise LabelsError(msg)
    if len(shapes) < len(features):
        n = len(features) - len(shapes)
        msg = f"{path}: {n} of {len(features)} shapes have no class and are left out"
        warnings.warn(one_line(msg), UserWarning, stacklevel=outside())
    # QuPath counts from the corner of the first pixel.
    return _filled(path, "shape", shapes, size, 0.5, names)


def _features(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        msg = f"{path}: begins as JSON, but is none ({reason}); export it again"
        raise LabelsError(msg) from error
    if isinstance(found, dict):
        found = found.get("features", [found])
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and one.get("type") == "Feature" for one in found
    ):
        msg = (
            f"{path}: is JSON, but not GeoJSON with features; in QuPath, File > Export objects as "
            "GeoJSON writes it"
        )
        raise LabelsError(msg)
    return found


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    found = feature.get("properties")
    return found if isinstance(found, dict) else {}


def _class_of(feature: dict[str, Any]) -> str | None:
    properties = _properties(feature)
    found = properties.get("classification")
    if isinstance(found, dict):
        several = found.get("names")
        # QuPath joins the parts of a derived class in this way.
        joined = ": ".join(map(str, several)) if isinstance(several, list) and several else None
        found = found.get("name", joined)
    for name in (found, properties.get("label"), properties.get("class")):
        if isinstance(name, (str, int)) and str(name).strip():
            return str(name)
    return None


def _parts(path: Path, number: int, geometry: Any) -> list[list[Ring]]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        return [part for one in geometry["geometries"] for part in _parts(path, number, one)]
    if kind not in ("Polygon", "MultiPolygon"):
        msg = (
            f"{path}, shape {number}: is a {kind}, which covers no pixels; draw it as a polygon, "
            "or delete it"
        )
        raise LabelsError(msg)
    try:
        polygons = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
        parts = [[np.array(ring, dtype=np.float64)[:, :2] for ring in one] for one in polygons]
        sound = all(
            len(ring) > 2 and ring.shape[1] == 2 and np.isfinite(ring).all()
            for part in parts
            for ring in part
        )
    except (KeyError, TypeError, ValueError, IndexError):
        sound = False
    if not sound:
        msg = f"{path}, shape {number}: its corners are no pairs of numbers; export it again"
        raise LabelsError(msg)
    return parts


# -------------------------------------------------------------------- napari


def napari_rows(
    table: Table, label: int | None, pixel_size: float | None, names: LabelNames
) -> Rows:
    """Labels of the pixels within napari's shapes, one row per corner.

    Parameters
    ----------
    table
        With the columns that napari writes.
    label
        Column of the classes, which napari does not write; None where there is none.
    pixel_size, names
        As for `geojson_rows`.

    Raises
    ------
    LabelsError
        As `geojson_rows`.
    """
    path = table.path
    plain = [name.strip().lower() for name in table.names]
    if label is None or not set(NAPARI) <= set(plain) or "axis-2" in plain:
        lack = "has three axes" if "axis-2" in plain else "holds napari's shapes without classes"
        msg = (
            f"{path}: {lack}; add a column label with the class of each shape to one of two axes, "
            "or save a Labels layer as a table of x, y and label"
        )
        raise LabelsError(msg)
    size = _checked_size(path, pixel_size)
    corners: dict[str, list[tuple[int, list[str]]]] = {}
    for line, fields in table.rows:
        corners.setdefault(fields[plain.index("index")], []).append((line, fields))
    shapes = []
    for rows in corners.values():
        line, first = rows[0]
        kind = first[plain.index("shape-type")].strip().lower()
        if kind not in ("polygon", "rectangle"):
            msg = f"{path}, line {line}: is a shape of type {kind!r}; draw polygons or rectangles"
            raise LabelsError(msg)
        if len({fields[label] for _, fields in rows}) > 1:
            msg = f"{path}, line {line}: a shape has two classes; give all its corners the same"
            raise LabelsError(msg)
        places = [_corner(path, at, fields, plain) for at, fields in rows]
        shapes.append(Shape(first[label], None, line, [[np.array(places)]]))
    # napari counts from the middle of the first pixel, and rows before columns.
    return _filled(path, "line", shapes, size, 0.0, names)


def _corner(path: Path, line: int, fields: list[str], plain: list[str]) -> list[float]:
    try:
        found = [float(fields[plain.index(axis)]) for axis in ("axis-1", "axis-0")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        msg = f"{path}, line {line}: the place of a corner is no number"
        raise LabelsError(msg)
    return found


# -------------------------------------------------------------------- from shapes to pixels


def _checked_size(path: Path, pixel_size: float | None) -> float:
    if pixel_size is None:
        way = advise("pixel_size=1", cli="--label-pixel-size 1")
        msg = (
            f"{path}: holds shapes drawn on a picture; say how wide a pixel of the image is in it, "
            f"in units of the file: {way} where the picture has one pixel for each of the image"
        )
        raise LabelsError(msg)
    return pixel_size


def _filled(
    path: Path, noun: str, shapes: list[Shape], size: float, centre: float, names: LabelNames
) -> Rows:
    """The pixels whose centre lies within a shape; those of two classes are refused."""
    read = names.read([shape.name for shape in shapes], str(path))
    rows: Rows = {}
    for shape, name in zip(shapes, read, strict=True):
        if name is None:
            continue
        for x, y in _pixels(path, noun, shape, size, centre):
            before, at = rows.setdefault((x, y, shape.run, None), (name, shape.at))
            if before != name:
                way = advise(f"missing=[{before!r}]", cli=f"--missing '{before}'")
                msg = (
                    f"{path}, {noun} {shape.at}: {name!r} overlaps {before!r} of {noun} {at} at "
                    f"pixel (x {x:g}, y {y:g}); cut one of the two, or leave a class out ({way})"
                )
                raise LabelsError(msg)
    if not rows:
        msg = f"{path}: no pixel has its centre within a shape: is the pixel size {size:g} right?"
        raise LabelsError(msg)
    return rows


def _pixels(
    path: Path, noun: str, shape: Shape, size: float, centre: float
) -> Iterator[tuple[float, float]]:
    """Positions, counted from 1, of the pixels within a shape."""
    for part in shape.parts:
        # In these units the centre of pixel p lies at p.
        rings = [ring / size + (1 - centre) for ring in part]
        low = np.ceil(np.min([ring.min(axis=0) for ring in rings], axis=0)).astype(np.int64)
        high = np.floor(np.max([ring.max(axis=0) for ring in rings], axis=0)).astype(np.int64)
        if np.prod(np.maximum(high - low + 1, 0).astype(float)) > MOST:
            msg = (
                f"{path}, {noun} {shape.at}: spans {high[0] - low[0] + 1} by "
                f"{high[1] - low[1] + 1} pixels: is the pixel size {size:g} right?"
            )
            raise LabelsError(msg)
        starts = np.concatenate(rings)
        ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
        for y in range(low[1], high[1] + 1):
            for first, stop in _spans(starts, ends, y):
                yield from ((float(x), float(y)) for x in range(first, stop))


def _spans(starts: Ring, ends: Ring, y: int) -> list[tuple[int, int]]:
    """Where a row enters and leaves the rings, by the even-odd rule."""
    crosses = (starts[:, 1] <= y) != (ends[:, 1] <= y)
    one, other = starts[crosses], ends[crosses]
    x = one[:, 0] + (y - one[:, 1]) * (other[:, 0] - one[:, 0]) / (other[:, 1] - one[:, 1])
    # A centre on an edge belongs to the right and to the upper side of it, and to no other.
    edges = np.ceil(np.sort(x)).astype(int).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
