"""Sheets of panels: sizes on paper, text that fits, colours that say what they should."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.colors import to_rgb

from massgraph import pl
from massgraph.data.spectra import Spectra
from massgraph.pl import _style
from massgraph.pl._raster import make_panels
from massgraph.pl._sheet import Cell, Section, Sheet, _round_length, draw_legend, flow
from massgraph.pl._style import OKABE_ITO, Picture, class_colours, shorten, styled, text_width
from massgraph.segmentation import Segmentation

TEXTS = [
    "m/z 760.5851",
    "urothelium (5,337 px)",
    "0 to 23.2 % of TIC",
    "µm · é ü",
    "IIIIiiii....",
    "WWWWMMMM@@@@",
]


def cells(shapes: list[tuple[int, int]], title: tuple[str, ...] = ()) -> list[Cell]:
    """A cell for each (width, height), with all pixels of one colour."""
    made = []
    for index, (width, height) in enumerate(shapes):
        y, x = np.mgrid[:height, :width]
        places = np.column_stack([x.ravel(), y.ravel()]).astype(float)
        (panel,) = make_panels(places, np.repeat(f"run {index}", len(places)))
        made.append(Cell(panel, np.ones((len(places), 4)), title or (panel.name,)))
    return made


def panel_boxes(sheet: Sheet) -> list[Any]:
    """Position of each panel in inches: left, bottom, width, height."""
    size = sheet.figure.get_size_inches()
    found = [axes for axes in sheet.figure.axes if axes.get_label().startswith("panel: ")]
    return [np.array(axes.get_position().bounds) * [*size, *size] for axes in found]


# -------------------------------------------------------------------- measuring text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [6.0, 6.5, 7.5])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_text_is_as_wide_as_it_was_measured(text: str, size: float, weight: str) -> None:
    picture = Picture(4.0, 1.0)
    with styled():
        drawn = picture.text_at(0.1, 0.5, text, fontsize=size, weight=weight)
    for dpi in (72, 144, 300):
        picture.set_dpi(dpi)
        picture.canvas.draw()
        width = drawn.get_window_extent().width / dpi
        assert width == pytest.approx(text_width(text, size, weight), abs=1.5 / dpi)


def test_text_is_measured_alike_under_any_settings() -> None:
    _style.text_width.cache_clear()
    plain = text_width("kidney cortex", 7.0)
    _style.text_width.cache_clear()
    with mpl.rc_context({"font.size": 30, "text.hinting": "force_autohint", "figure.dpi": 20}):
        assert text_width("kidney cortex", 7.0) == plain


@pytest.mark.parametrize("inches", [0.0, 0.1, 0.3, 1.0, 3.0, 20.0])
def test_shortened_text_fits_and_is_no_shorter_than_it_must_be(inches: float) -> None:
    text = "VAN0025 left kidney  negative\nmode, recalibrated twice"
    short = shorten(text, inches)
    assert "\n" not in short
    assert text_width(short) <= max(inches, text_width("…"))
    if inches >= text_width(" ".join(text.split())):
        assert short == " ".join(text.split())
    else:
        assert short.count("…") == 1


# -------------------------------------------------------------------- colours


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [
        part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)
    ]
    return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))


def test_no_class_has_the_colour_of_paper_or_of_no_peaks() -> None:
    for colour in class_colours(24):
        for taken in ("#ffffff", _style.NO_PEAKS):
            assert np.abs(np.subtract(to_rgb(colour), to_rgb(taken))).max() > 0.1, colour


def test_the_first_classes_differ_in_lightness_too() -> None:
    first = [luminance(colour) for colour in OKABE_ITO[:2]]
    assert abs(first[0] - first[1]) > 0.2
    text = [luminance(colour) for colour in (_style.INK, _style.SOFT)]
    assert all((1.05) / (light + 0.05) >= 4.5 for light in text)


# -------------------------------------------------------------------- sizes on paper


def test_all_panels_are_at_one_scale() -> None:
    shapes = [(30, 30), (10, 25), (45, 20)]
    sheet = Sheet([Section(cells(shapes))], width=7.2)
    for (width, height), box in zip(shapes, panel_boxes(sheet), strict=True):
        np.testing.assert_allclose(box[2:], [width * sheet.scale, height * sheet.scale])


def test_a_scale_bar_is_as_long_as_it_says() -> None:
    sheet = Sheet([Section(cells([(40, 30)]))], width=7.2, scale_bar=(25.0, "um"))
    (bar,) = [patch for patch in sheet.figure.artists if hasattr(patch, "get_width")]
    length, said = _round_length(40 * 25.0, "um")
    inches = bar.get_width() * sheet.figure.get_figwidth()
    assert inches / sheet.scale * 25.0 == pytest.approx(length)
    assert said in [text.get_text() for text in sheet.figure.texts]


@pytest.mark.parametrize("unit", ["um", "µm", "mm", "nm", "pixel"])
def test_scale_bars_keep_their_unit(unit: str) -> None:
    for width in np.geomspace(0.5, 50_000, 40):
        length, said = _round_length(float(width), unit)
        number, name = said.split()
        factor = 1000 if unit in {"um", "µm"} and name == "mm" else 1
        assert float(number) * factor == pytest.approx(length)
        assert width / 7.6 < length <= width / 3
        assert name in {unit, "µm", "mm"}


def test_many_small_panels_fill_the_width_before_the_height() -> None:
    sheet = Sheet([Section(cells([(20, 20)] * 12))], width=7.2)
    lefts = {round(float(box[0]), 3) for box in panel_boxes(sheet)}
    tops = {round(float(box[1]), 3) for box in panel_boxes(sheet)}
    assert len(lefts) >= 3
    assert len(lefts) >= len(tops)


def test_pixels_of_a_tiny_image_are_not_blown_up() -> None:
    sheet = Sheet([Section(cells([(3, 3)]))], width=7.2)
    assert sheet.scale <= 0.0901
    assert sheet.width < 2


def test_titles_that_say_the_same_are_shown_once() -> None:
    rows = [Section(cells([(20, 20)] * 2), f"ion {index}") for index in range(3)]
    said = [text.get_text() for text in Sheet(rows, width=7.2).figure.texts]
    assert said.count("run 0") == said.count("run 1") == 1
    assert [text for text in said if text.startswith("ion")] == ["ion 0", "ion 1", "ion 2"]


@pytest.mark.parametrize(
    ("label", "names"), [("probability", ["0", "1"]), ("", ["0", "99th\npercentile"])]
)
def test_a_colour_bar_has_its_names_and_keeps_to_the_sheet(label: str, names: list[str]) -> None:
    sheet = Sheet([Section(cells([(30, 30)]))], width=7.2, colour_bar=True)
    mappable = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), "viridis")
    sheet.add_colour_bar(mappable, label, [0, 1], names)
    bar = sheet.figure.axes[-1]
    sheet.figure.canvas.draw()
    assert [tick.get_text() for tick in bar.get_yticklabels()] == names
    panel = sheet.figure.axes[0].get_position()
    assert bar.get_position().x0 > panel.x1
    for text in (*bar.get_yticklabels(), bar.yaxis.label):
        assert text.get_window_extent().x1 <= sheet.figure.bbox.x1 + 0.5


# -------------------------------------------------------------------- legends


@pytest.mark.parametrize("room", [0.6, 2.0, 7.0])
def test_entries_of_a_legend_neither_overlap_nor_get_lost(room: float) -> None:
    entries = [("#000000", f"class number {index} " * (1 + index % 3)) for index in range(15)]
    rows = flow(entries, room)
    assert sum(map(len, rows)) == 15
    for row in rows:
        assert row[0][0] == 0
        for one, other in combinations(row, 2):
            assert one[0] + one[3] <= other[0]
        assert row[-1][0] + row[-1][3] <= room + 1e-9


def test_a_legend_of_nothing_has_no_rows() -> None:
    assert flow([], 3.0) == []


def test_legends_are_drawn_downwards_with_a_swatch_before_each_text() -> None:
    picture = Picture(3.0, 1.0)
    rows = flow([("#ff0000", "one"), ("#00ff00", "two " * 12), ("#0000ff", "three")], 2.5)
    with styled():
        draw_legend(picture, rows, 0.2, 0.9)
    heights = [text.get_position()[1] for text in picture.texts]
    assert heights == sorted(heights, reverse=True)
    for swatch, text in zip(picture.artists, picture.texts, strict=True):
        assert swatch.get_x() + swatch.get_width() < text.get_position()[0]
        assert swatch.get_x() * 3.0 >= 0.2 - 1e-9


# -------------------------------------------------------------------- pictures


def test_a_picture_saves_as_it_is_shown_wherever_it_is_saved() -> None:
    picture = Picture(2.0, 1.0)
    with styled():
        picture.text_at(0.1, 0.5, "$100 (5 px)")
    plain, other = BytesIO(), BytesIO()
    picture.savefig(plain, format="png")
    with mpl.rc_context({"savefig.dpi": 50, "savefig.facecolor": "red", "text.usetex": True}):
        picture.savefig(other, format="png")
    assert plain.getvalue() == other.getvalue()


def test_places_are_in_inches_from_the_lower_left() -> None:
    picture = Picture(4.0, 2.0)
    axes = picture.axes_at(1.0, 0.5, 2.0, 1.0)
    np.testing.assert_allclose(axes.get_position().bounds, [0.25, 0.25, 0.5, 0.5])
    assert picture.text_at(1.0, 0.5, "x").get_position() == (0.25, 0.25)


def test_text_stays_text_in_a_pdf() -> None:
    picture = Picture(2.0, 1.0)
    with styled():
        picture.text_at(0.1, 0.5, "medulla")
    file = BytesIO()
    picture.savefig(file, format="pdf")
    assert b"/FontFile2" in file.getvalue()
    assert b"/Type3" not in file.getvalue()


# -------------------------------------------------------------------- real rasters


@pytest.mark.data
def test_a_bladder_of_34840_pixels(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "bladder_orbitrap_pos" / "bladder.npz") as z:
        matrix = sp.csr_matrix((z["data"], z["indices"], z["indptr"]), shape=z["shape"])
        places = np.column_stack([z["x"], z["y"]])
        labels, mz = z["ssc"], z["mz"]
    spectra = Spectra.from_matrix(matrix, mz, coordinates=places, pixel_size=(10.0, 10.0))
    names = tuple(str(name) for name in np.unique(labels))
    probability = np.full((len(labels), len(names)), 0.02)
    probability[np.arange(len(labels)), np.searchsorted(np.unique(labels), labels)] = 0.9
    probability /= probability.sum(axis=1, keepdims=True)
    made = Segmentation.from_probability(spectra, names, probability)
    figure = pl.segmentation(made)
    (panel,) = [axes for axes in figure.axes if axes.get_label().startswith("panel: ")]
    image = np.asarray(panel.images[0].get_array())
    assert image.shape[:2] == (np.ptp(places[:, 1]) + 1, np.ptp(places[:, 0]) + 1)
    assert (image[..., 3] > 0).sum() == len(labels)
    top = float(mz[np.argmax(np.asarray(matrix.sum(axis=0)))])
    for number, picture in enumerate((figure, pl.ion_images(made, [top]))):
        picture.savefig(tmp_path / f"{number}.pdf")
        assert (tmp_path / f"{number}.pdf").stat().st_size < 1_000_000
