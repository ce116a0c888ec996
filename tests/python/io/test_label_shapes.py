"""Shapes drawn on a picture: which pixels they label, and which of them are refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_builder import LABELS, image, write
from massgraph.io.labels import LabelsError, match_labels, read_labels

Corners = list[list[float]]


def box(x0: float, y0: float, x1: float, y1: float) -> Corners:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def feature(
    name: str | None, coordinates: Any, kind: str = "Polygon", **properties: Any
) -> dict[str, Any]:
    """As QuPath 0.5 writes an annotation."""
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": "5c7e",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", **properties},
    }


def geojson(folder: Path, *features: dict[str, Any], bare: bool = False) -> Path:
    found = list(features) if bare else {"type": "FeatureCollection", "features": list(features)}
    return write(folder, json.dumps(found), "qupath.geojson")


HALVES = (
    feature("tumour", [box(0, 0, 5, 10)]),
    feature("stroma", [box(5, 0, 10, 10)]),
)


def places(path: Path, size: float = 1.0, **options: Any) -> dict[tuple[int, int], str]:
    labels = read_labels(path, pixel_size=size, **options)
    return {
        (int(x), int(y)): name for x, y, name in zip(labels.x, labels.y, labels.label, strict=True)
    }


# -------------------------------------------------------------------- polygons of QuPath


def test_halves_of_the_image(tmp_path: Path) -> None:
    """The first pixel reaches from 0 to 1; pixels on a shared edge belong to one shape."""
    labels = read_labels(geojson(tmp_path, *HALVES), pixel_size=1)
    assert match_labels(labels, image()).tolist() == LABELS


@pytest.mark.parametrize("size", [0.5, 20.0, 110.25])
def test_the_picture_may_have_other_pixels(tmp_path: Path, size: float) -> None:
    scaled = [
        feature(name, [box(x0 * size, 0, x1 * size, 10 * size)])
        for name, x0, x1 in (("tumour", 0, 5), ("stroma", 5, 10))
    ]
    labels = read_labels(geojson(tmp_path, *scaled), pixel_size=size)
    assert match_labels(labels, image()).tolist() == LABELS


def test_a_pixel_belongs_to_a_shape_where_its_centre_does(tmp_path: Path) -> None:
    found = places(geojson(tmp_path, feature("a", [box(1.4, 1.6, 3.6, 3.4)])))
    assert set(found) == {(2, 3), (3, 3), (4, 3)}


def test_the_users_case(tmp_path: Path) -> None:
    found = places(geojson(tmp_path, feature("Tumor", [box(1, 1, 5, 5)])))
    assert found == {(x, y): "Tumor" for x in range(2, 6) for y in range(2, 6)}


def test_a_triangle(tmp_path: Path) -> None:
    found = places(geojson(tmp_path, feature("a", [[[0, 0], [4, 0], [0, 4], [0, 0]]])))
    assert set(found) == {(x, y) for x in range(1, 5) for y in range(1, 5) if x + y <= 4}


def test_holes_are_not_within(tmp_path: Path) -> None:
    ring = feature("a", [box(0, 0, 6, 6), box(2, 2, 4, 4)])
    found = places(geojson(tmp_path, ring, feature("b", [box(2, 2, 4, 4)])))
    assert sum(name == "a" for name in found.values()) == 32
    assert {place for place, name in found.items() if name == "b"} == {
        (3, 3), (3, 4), (4, 3), (4, 4)
    }  # fmt: skip


def test_several_polygons_in_one(tmp_path: Path) -> None:
    several = feature("a", [[box(0, 0, 1, 1)], [box(3, 3, 4, 4)]], "MultiPolygon")
    assert set(places(geojson(tmp_path, several))) == {(1, 1), (4, 4)}


def test_collections_of_shapes(tmp_path: Path) -> None:
    one = feature("a", None, "GeometryCollection")
    one["geometry"] = {
        "type": "GeometryCollection",
        "geometries": [{"type": "Polygon", "coordinates": [box(0, 0, 1, 1)]}],
    }
    assert set(places(geojson(tmp_path, one))) == {(1, 1)}


@pytest.mark.parametrize(
    "properties",
    [
        {"classification": {"name": "a: b"}},
        {"classification": {"names": ["a", "b"]}},
        {"classification": "a: b"},
        {"label": "a: b"},
        {"class": "a: b"},
    ],
)
def test_where_the_class_may_stand(tmp_path: Path, properties: dict[str, Any]) -> None:
    one = feature(None, [box(0, 0, 1, 1)], **properties)
    for path in (geojson(tmp_path, one), geojson(tmp_path, one, bare=True)):
        assert places(path) == {(1, 1): "a: b"}
    assert places(write(tmp_path, json.dumps(one))) == {(1, 1): "a: b"}


def test_overlapping_shapes_of_one_class(tmp_path: Path) -> None:
    two = [feature("a", [box(0, 0, 3, 1)]), feature("a", [box(1, 0, 4, 1)])]
    assert set(places(geojson(tmp_path, *two))) == {(x, 1) for x in range(1, 5)}


def test_overlaps_of_two_classes_are_refused_or_settled(tmp_path: Path) -> None:
    """Annotations within each other, as QuPath's hierarchy has them."""
    path = geojson(
        tmp_path, feature("Tissue", [box(0, 0, 4, 4)]), feature("Tumor", [box(1, 1, 2, 2)])
    )
    message = (
        r"shape 2: 'Tumor' overlaps 'Tissue' of shape 1 at pixel \(x 2, y 2\); cut one of the two, "
        r"or leave a class out \(missing=\['Tissue'\]\)"
    )
    with pytest.raises(LabelsError, match=message):
        read_labels(path, pixel_size=1)
    assert places(path, missing=["Tissue"]) == {(2, 2): "Tumor"}


def test_shapes_without_a_class_are_left_out(tmp_path: Path) -> None:
    path = geojson(tmp_path, *HALVES, feature(None, [box(0, 0, 10, 10)]))
    with pytest.warns(UserWarning, match="1 of 3 shapes have no class and are left out"):
        assert len(places(path)) == 100


def test_shapes_may_reach_beyond_the_image(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature("a", [box(-3, -3, 2, 2)]), feature("b", [box(9, 9, 20, 20)]))
    matched = match_labels(read_labels(path, pixel_size=1), image())
    assert [i for i, name in enumerate(matched) if name is not None] == [0, 1, 10, 11, 99]
    beside = geojson(tmp_path, feature("a", [box(20, 20, 22, 22)]))
    with pytest.raises(
        LabelsError, match=r"shape 1: .*4 of 4 labels have no pixel; is pixel_size="
    ):
        match_labels(read_labels(beside, pixel_size=1), image())


def test_images_that_count_from_0(tmp_path: Path) -> None:
    labels = read_labels(geojson(tmp_path, *HALVES), pixel_size=1)
    assert match_labels(labels, image(first=0)).tolist() == LABELS


def test_a_crop_of_the_picture_is_moved(tmp_path: Path) -> None:
    crop = geojson(tmp_path, feature("a", [box(0, 0, 2, 2)]))
    matched = match_labels(read_labels(crop, pixel_size=1), image(), shift=(8, 8))
    assert [i for i, name in enumerate(matched) if name] == [88, 89, 98, 99]


def test_runs_of_shapes(tmp_path: Path) -> None:
    two = [feature("a", [box(0, 0, 1, 1)], run="A"), feature("b", [box(0, 0, 1, 1)], run="B")]
    matched = match_labels(
        read_labels(geojson(tmp_path, *two), pixel_size=1), image(runs=("A", "B"))
    )
    assert [(i, name) for i, name in enumerate(matched) if name] == [(0, "a"), (100, "b")]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (feature("a", [[0, 0], [1, 1]], "LineString"), "is a LineString, which covers no pixels"),
        (feature("a", [0, 0], "Point"), "is a Point, which covers no pixels"),
        (feature("a", [[[0, 0], [1, "b"]]]), "its corners are no pairs of numbers"),
        (feature("a", [[[0, 0], [1, 1]]]), "its corners are no pairs of numbers"),
        (feature("a", [[[0, 0], [1, float("nan")], [2, 2]]]), "no pairs of numbers"),
        (feature("a", [[0, 0], [1, 1], [2, 2]]), "no pairs of numbers"),
        (feature("a", None), "no pairs of numbers"),
        (feature("a", [box(0, 0, 1e6, 1e6)]), "spans 1000000 by 1000000 pixels: is the pixel si"),
        (feature("a", [box(0.1, 0.1, 0.2, 0.2)]), "no pixel has its centre within a shape"),
        (feature(None, [box(0, 0, 1, 1)]), "none of its 1 shapes has a class"),
    ],
)
def test_shapes_that_are_refused(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        read_labels(geojson(tmp_path, shape), pixel_size=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"FeatureCollection","features":[{"ty', "begins as JSON, but is none"),
        ("[" * 100_000, "begins as JSON, but is none"),
        ('{"x": [1, 2], "label": ["a", "b"]}', "is JSON, but not GeoJSON with features"),
        ('{"type":"Polygon","coordinates":[]}', "is JSON, but not GeoJSON with features"),
        ('{"features": 3}', "is JSON, but not GeoJSON with features"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        read_labels(write(tmp_path, text), pixel_size=1)


def test_the_size_of_a_pixel_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(
        LabelsError, match=r"how wide a pixel of the image is in it, .*pixel_size=1"
    ):
        read_labels(geojson(tmp_path, *HALVES))


def test_against_a_count_of_crossings(tmp_path: Path) -> None:
    """A centre lies within where a ray from it crosses the outline an odd number of times."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = rng.uniform(0, 20, (rng.integers(3, 9), 2))
        path = geojson(tmp_path, feature("a", [[*corners.tolist(), corners[0].tolist()]]))
        expected = set()
        for x in range(1, 21):
            for y in range(1, 21):
                crossings = 0
                for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
                    if (y0 > y - 0.5) != (y1 > y - 0.5):
                        crossings += x - 0.5 < x0 + (y - 0.5 - y0) * (x1 - x0) / (y1 - y0)
                if crossings % 2:
                    expected.add((x, y))
        assert set(places(path)) == expected


# -------------------------------------------------------------------- napari


def napari(folder: Path, *shapes: tuple[str, Corners, str | None], kind: str = "polygon") -> Path:
    """Corners as napari writes them, rows before columns; a column of classes is added by hand."""
    classes = any(name is not None for _, _, name in shapes)
    lines = ["index,shape-type,vertex-index,axis-0,axis-1" + (",label" if classes else "")]
    for index, (_, corners, name) in enumerate(shapes):
        lines += [
            f"{index},{kind},{n},{y},{x}" + (f",{name}" if classes else "")
            for n, (x, y) in enumerate(corners)
        ]
    return write(folder, "\n".join(lines) + "\n", "shapes.csv")


def test_napari_counts_from_the_middle_of_the_first_pixel(tmp_path: Path) -> None:
    path = napari(
        tmp_path,
        ("a", box(-0.5, -0.5, 4.5, 9.5)[:4], "tumour"),
        ("b", box(4.5, -0.5, 9.5, 9.5)[:4], "stroma"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = read_labels(path, pixel_size=1)
        assert match_labels(labels, image()).tolist() == LABELS


@pytest.mark.parametrize("kind", ["ellipse", "path", "line"])
def test_other_shapes_of_napari_are_refused(tmp_path: Path, kind: str) -> None:
    path = napari(tmp_path, ("a", box(0, 0, 4, 4)[:4], "tumour"), kind=kind)
    with pytest.raises(LabelsError, match=f"line 2: is a shape of type '{kind}'; draw polygons"):
        read_labels(path, pixel_size=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,polygon,0,1.2,3.4,a\n0,polygon,1,5.2,3.4,b\n", "a shape has two classes"),
        ("0,polygon,0,1.2,3.4,a\n0,polygon,1,five,3.4,a\n", "line 3: the place of a corner is no"),
    ],
)
def test_damaged_shapes_of_napari(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "index,shape-type,vertex-index,axis-0,axis-1,label\n" + text)
    with pytest.raises(LabelsError, match=message):
        read_labels(path, pixel_size=1)
