"""Maps and curves: every pixel in its place and colour, every number as the data have it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.colors import to_rgba

from massgraph import InputError, pl
from massgraph.data.spectra import Spectra
from massgraph.pl._raster import make_panels
from massgraph.pl._sheet import _round_length, flow
from massgraph.pl._style import NO_PEAKS, class_colours, shorten, text_width
from massgraph.segmentation import Segmentation

CLASSES = ("cortex", "medulla")
AXIS = np.array([700.5, 722.5, 760.585, 782.567])


def segmentation(
    coordinates: Any, run: Any = None, *, classes: tuple[str, ...] = CLASSES, **pixel_data: Any
) -> Segmentation:
    """Pixels left of x = 2 are of the first class; the last pixel has no peaks."""
    coordinates = np.asarray(coordinates, dtype=float)
    n = len(coordinates)
    matrix = np.random.default_rng(0).gamma(2.0, 1.0, (n, AXIS.size))
    matrix[-1] = 0
    spectra = Spectra.from_matrix(matrix, AXIS, coordinates=coordinates, run=run, **pixel_data)
    first = coordinates[:, 0] < 2
    probability = np.full((n, len(classes)), 0.1 / max(len(classes) - 1, 1))
    probability[np.arange(n), np.where(first, 0, 1)] = 0.9
    reference = np.where(first, classes[0], None)
    coverage = np.where(spectra.peak_counts > 0, np.linspace(0, 1, n), np.nan)
    return Segmentation.from_probability(
        spectra, classes, probability, coverage=coverage, reference=reference
    )


def grid(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.column_stack([x.ravel(), y.ravel()])


def panels_of(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_label().startswith("panel: ")]


def image_of(axes: Any) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(image.get_array())


def words(figure: Any) -> list[str]:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
    return texts


# -------------------------------------------------------------------- as a user


def test_class_map_shows_every_pixel_in_the_colour_of_its_class() -> None:
    figure = pl.segmentation(segmentation(grid(5, 4), pixel_size=(50.0, 50.0)))
    (axes,) = panels_of(figure)
    image = image_of(axes)
    blue, orange = (to_rgba(colour) for colour in class_colours(2))
    assert image.shape == (4, 5, 4)
    np.testing.assert_allclose(image[:, :2], np.broadcast_to(blue, (4, 2, 4)))
    np.testing.assert_allclose(image[:3, 2:], np.broadcast_to(orange, (3, 3, 4)))
    np.testing.assert_allclose(image[3, 4], to_rgba(NO_PEAKS))
    said = words(figure)
    assert {"cortex (8 px)", "medulla (11 px)", "no peaks (1 px)", "50 µm"} <= set(said)


def test_y_runs_downwards_and_pixels_are_square() -> None:
    (axes,) = panels_of(pl.segmentation(segmentation(grid(5, 4))))
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert axes.get_aspect() == 1


@pytest.mark.parametrize("kind", ["class", "probability", "uncertainty", "coverage", "reference"])
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_every_kind_can_be_saved(tmp_path: Path, kind: str, suffix: str) -> None:
    figure = pl.segmentation(segmentation(grid(5, 4)), kind)
    figure.savefig(tmp_path / f"map.{suffix}")
    assert (tmp_path / f"map.{suffix}").stat().st_size > 1000


def test_probability_has_a_panel_per_class_and_run() -> None:
    coordinates = np.tile(grid(4, 3), (3, 1))
    run = np.repeat(["a", "b", "c"], 12)
    figure = pl.segmentation(segmentation(coordinates, run), "probability")
    names = [axes.get_label() for axes in panels_of(figure)]
    assert names == ["panel: a", "panel: b", "panel: c"] * 2
    assert {"cortex", "medulla"} <= set(words(figure))


def test_coverage_colours_are_on_a_scale_from_0_to_1() -> None:
    figure = pl.segmentation(segmentation(grid(4, 3)), "coverage")
    first = image_of(panels_of(figure)[0])
    np.testing.assert_allclose(first[0, 0], mpl.colormaps["cividis"](0.0))
    np.testing.assert_allclose(first[2, 2], mpl.colormaps["cividis"](10 / 11))
    np.testing.assert_allclose(first[2, 3], to_rgba(NO_PEAKS))


def test_no_map_of_a_coverage_that_is_not_known() -> None:
    unknown = replace(segmentation(grid(4, 3)), coverage=None)
    with pytest.raises(InputError, match="has no coverage to draw"):
        pl.segmentation(unknown, "coverage")


def test_probability_colours_are_on_a_scale_from_0_to_1() -> None:
    figure = pl.segmentation(segmentation(grid(4, 3)), "probability")
    first = image_of(panels_of(figure)[0])
    np.testing.assert_allclose(first[0, 0], mpl.colormaps["cividis"](0.9))
    np.testing.assert_allclose(first[0, 3], mpl.colormaps["cividis"](0.1))


def test_reference_keeps_the_colours_of_classes_and_names_what_is_unlabelled() -> None:
    figure = pl.segmentation(segmentation(grid(5, 4)), "reference")
    image = image_of(panels_of(figure)[0])
    np.testing.assert_allclose(image[0, 0], to_rgba(class_colours(2)[0]))
    np.testing.assert_allclose(image[0, 4], to_rgba(NO_PEAKS))
    assert {"cortex (8 px)", "medulla (0 px)", "unlabelled (12 px)"} <= set(words(figure))


def test_ion_images_are_shares_of_the_tic_clipped_at_the_99th_percentile() -> None:
    made = segmentation(grid(20, 20))
    figure = pl.ion_images(made, [760.59, 700.5])
    matrix, _ = made.spectra.to_matrix()
    share = matrix[:-1, 2].toarray().ravel() / made.spectra.tic()[:-1]
    top = np.percentile(share, 99)
    image = image_of(panels_of(figure)[0])
    expected = mpl.colormaps["viridis"](np.clip(share / top, 0, 1))
    np.testing.assert_allclose(image.reshape(-1, 4)[:-1], expected, atol=1 / 200)
    assert f"0 to {100 * top:.3g} % of TIC" in words(figure)
    assert "m/z 760.5850" in words(figure)
    assert len(panels_of(figure)) == 2


def test_ion_images_have_one_scale_over_all_runs() -> None:
    coordinates = np.tile(grid(4, 3), (2, 1))
    figure = pl.ion_images(segmentation(coordinates, np.repeat(["a", "b"], 12)), [722.5, 760.585])
    assert len(panels_of(figure)) == 4
    headers = [text for text in words(figure) if "% of TIC" in text]
    assert len(headers) == 2
    assert headers[0].startswith("m/z 722.5000 · 0 to ")


def test_an_ion_in_fewer_than_one_pixel_in_a_hundred_is_still_seen() -> None:
    matrix = np.ones((400, 4))
    matrix[1:, 3] = 0
    spectra = Spectra.from_matrix(matrix, AXIS, coordinates=grid(20, 20))
    made = Segmentation.from_probability(spectra, ("one",), np.ones((400, 1)))
    image = image_of(panels_of(pl.ion_images(made, [AXIS[3]]))[0])
    np.testing.assert_allclose(image[0, 0], mpl.colormaps["viridis"](1.0))
    np.testing.assert_allclose(image[0, 1], mpl.colormaps["viridis"](0.0))


# -------------------------------------------------------------------- rasters


def test_absent_pixels_stay_clear() -> None:
    coordinates = np.array([[0, 0], [3, 0], [1, 2], [3, 2]])
    (axes,) = panels_of(pl.segmentation(segmentation(coordinates)))
    image = image_of(axes)
    assert image.shape == (3, 4, 4)
    assert (image[..., 3] > 0).sum() == 4


def test_far_origin_and_wide_step_make_no_large_raster() -> None:
    coordinates = grid(4, 3) * 50 + 100_000
    (panel,) = make_panels(coordinates, np.repeat("a", 12))
    assert panel.raster
    assert panel.step == (50, 50)
    assert panel.image(np.ones((12, 4))).shape == (3, 4, 4)


def test_coordinates_that_are_not_whole_become_marks() -> None:
    coordinates = grid(4, 3) * 1.5 + 0.25
    (panel,) = make_panels(coordinates, np.repeat("a", 12))
    assert not panel.raster
    assert panel.step == (1.5, 1.5)
    (axes,) = panels_of(pl.segmentation(segmentation(coordinates)))
    assert not axes.images
    assert len(axes.collections[0].get_offsets()) == 12


@pytest.mark.parametrize("step", [1, 50])
def test_sections_far_apart_are_drawn_together(step: int) -> None:
    """To scale, two sections at the ends of a slide were dots too small to be seen."""
    coordinates = np.concatenate([grid(4, 4), np.add(grid(4, 4), (10_000, 20_000))]) * step
    (panel,) = make_panels(coordinates.astype(float), np.repeat("a", 32))
    assert panel.name == "a, empty slide left out"
    assert panel.raster
    assert panel.step == (step, step)
    image = panel.image(np.ones((32, 4)))
    assert image.shape == (9, 9, 4)
    assert image[:4, :4].all()
    assert image[5:, 5:].all()


def test_sections_near_each_other_are_drawn_to_scale() -> None:
    coordinates = np.concatenate([grid(12, 12), np.add(grid(12, 12), (40, 0))]).astype(float)
    (panel,) = make_panels(coordinates, np.repeat("a", 288))
    assert panel.name == "a"
    assert panel.x.tolist() == coordinates[:, 0].tolist()


def test_pieces_far_apart_make_no_huge_image() -> None:
    coordinates = np.array([[0, 0], [1, 0], [10_000_000, 9_999_999]], dtype=float)
    (panel,) = make_panels(coordinates, np.repeat("a", 3))
    assert panel.image(np.ones((3, 4))).size < 100


def test_pixels_that_are_not_square_keep_their_shape() -> None:
    (panel,) = make_panels(grid(4, 4), np.repeat("a", 16), (10.0, 20.0))
    assert panel.height == pytest.approx(2 * panel.width)


def test_a_stack_has_a_panel_per_level() -> None:
    coordinates = np.column_stack([np.tile(grid(3, 2), (2, 1)), np.repeat([1.0, 2.0], 6)])
    panels = make_panels(coordinates, np.repeat("a", 12))
    assert [panel.name for panel in panels] == ["a, z = 1", "a, z = 2"]
    flat = np.column_stack([grid(3, 2), np.ones(6)])
    assert [panel.name for panel in make_panels(flat, np.repeat("a", 6))] == ["a"]


@pytest.mark.parametrize("coordinates", [[[4.0, 7.0]], [[0, 0], [1, 0], [2, 0]], [[0, 0], [0, 5]]])
def test_single_pixels_rows_and_columns(coordinates: list[list[float]]) -> None:
    n = len(coordinates)
    (panel,) = make_panels(np.array(coordinates, dtype=float), np.repeat("a", n))
    assert panel.image(np.ones((n, 4)))[..., 3].sum() == n
    assert panel.width > 0
    assert panel.height > 0


def test_every_pixel_is_in_one_panel() -> None:
    rng = np.random.default_rng(3)
    cells = rng.permutation(grid(40, 40))[:500].astype(float)
    run = rng.choice(["b", "a", "c"], 500)
    panels = make_panels(cells, run)
    assert sorted(np.concatenate([panel.pixels for panel in panels])) == list(range(500))
    assert [panel.name for panel in panels] == list(dict.fromkeys(run.tolist()))


# -------------------------------------------------------------------- sheets


@pytest.mark.parametrize("width", [3.5, 7.2])
@pytest.mark.parametrize("shape", [(260, 134), (19, 18), (5, 300), (1, 1)])
@pytest.mark.parametrize("runs", [1, 3, 7])
def test_panels_keep_to_the_sheet_and_clear_of_each_other(
    width: float, shape: tuple[int, int], runs: int
) -> None:
    # A frame of pixels is as large on paper as a full image, and sooner drawn.
    corners = np.array([[0, 0], [shape[0] - 1, 0], [0, shape[1] - 1], [shape[0] - 1, shape[1] - 1]])
    corners = np.unique(
        np.vstack([corners, [[min(1, shape[0] - 1), min(1, shape[1] - 1)]]]), axis=0
    )
    run = np.repeat([f"run {index}" for index in range(runs)], len(corners))
    figure = pl.segmentation(segmentation(np.tile(corners, (runs, 1)), run), width=width)
    assert figure.get_figwidth() <= width + 1e-9
    assert figure.get_figheight() < 12
    boxes = [axes.get_position() for axes in panels_of(figure)]
    assert len(boxes) == runs
    for index, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= 1
        assert box.y1 <= 1
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_words_keep_to_the_sheet() -> None:
    long = "a very long name of a class that nobody would write but somebody does " * 3
    coordinates = np.tile(grid(6, 5), (3, 1))
    run = np.repeat([f"2024_11_02_{long}{index}" for index in range(3)], 30)
    made = segmentation(coordinates, run, classes=(long, "b", "c", "d"), pixel_size=(10.0, 10.0))
    for kind in ("class", "probability", "reference"):
        figure = pl.segmentation(made, kind, width=3.5)
        figure.canvas.draw()
        page = figure.bbox
        for text in figure.texts:
            box = text.get_window_extent()
            assert box.x0 >= -0.5, text.get_text()
            assert box.x1 <= page.x1 + 0.5, text.get_text()
            assert box.y0 >= -0.5, text.get_text()
            assert box.y1 <= page.y1 + 0.5, text.get_text()


@pytest.mark.parametrize(
    ("width", "unit", "text"),
    [(2600, "um", "500 µm"), (19 * 50, "um", "200 µm"), (9000, "um", "2 mm"), (3, "mm", "1 mm")],
)
def test_scale_bars_are_round_and_at_most_a_third(width: float, unit: str, text: str) -> None:
    length, said = _round_length(width, unit)
    assert said == text
    assert length <= width / 3


def test_legends_break_into_rows_that_fit() -> None:
    rows = flow([("#000000", f"class {index}") for index in range(20)], 2.0)
    assert sum(len(row) for row in rows) == 20
    assert all(x + width <= 2.0 for row in rows for x, _, _, width in row)


# -------------------------------------------------------------------- style


def test_the_settings_of_the_caller_neither_change_nor_matter() -> None:
    made = segmentation(grid(5, 4))
    plain, dark = BytesIO(), BytesIO()
    pl.segmentation(made).savefig(plain, format="png")
    with mpl.rc_context({"font.size": 30, "figure.facecolor": "black", "savefig.dpi": 20}):
        before = dict(mpl.rcParams)
        pl.segmentation(made).savefig(dark, format="png")
        assert dict(mpl.rcParams) == before
    assert plain.getvalue() == dark.getvalue()


def test_names_are_not_taken_for_formulas() -> None:
    made = segmentation(grid(5, 4), classes=("$x_1$", "a $ b \\frac{"))
    figure = pl.segmentation(made)
    figure.savefig(BytesIO(), format="png")
    assert "$x_1$ (8 px)" in words(figure)


def test_the_first_24_colours_differ() -> None:
    assert len(set(class_colours(24))) == 24
    assert class_colours(25)[24] not in class_colours(24)


def test_shortened_text_keeps_its_ends_and_its_room() -> None:
    text = "VAN0025_LK_neg_top600_recalibrated"
    short = shorten(text, 1.0)
    assert text_width(short) <= 1.0
    assert short.startswith("VAN")
    assert short.endswith("ted")
    assert shorten("kidney", 1.0) == "kidney"


def test_figures_show_in_a_notebook() -> None:
    assert pl.segmentation(segmentation(grid(5, 4)))._repr_png_().startswith(b"\x89PNG")


def test_names_of_the_module() -> None:
    assert dir(pl) == pl.__all__
    with pytest.raises(AttributeError, match="no attribute 'segmentations'"):
        _ = pl.segmentations


# -------------------------------------------------------------------- refusals


def test_refusals_say_why() -> None:
    made = segmentation(grid(5, 4))
    with pytest.raises(ValueError, match="kind 'classes' is none of"):
        pl.segmentation(made, "classes")
    with pytest.raises(
        ValueError, match=r"no ion within 0\.05 Da of m/z 701; the nearest .* 700\.5"
    ):
        pl.ion_images(made, [701])
    with pytest.raises(ValueError, match=r"no ion within .* nan"):
        pl.ion_images(made, [np.nan])
    with pytest.raises(ValueError, match="give at least one"):
        pl.ion_images(made, [])
    with pytest.raises(ValueError, match=r"several pixels of run 'run0' are at \(1, 0\)"):
        pl.segmentation(segmentation([[0, 0], [1, 0], [1, 0]]))


def test_pixels_without_a_place_have_no_map() -> None:
    spectra = Spectra.from_matrix(sp.csr_matrix(np.ones((3, 4))), AXIS)
    made = Segmentation.from_probability(spectra, CLASSES, np.full((3, 2), 0.5))
    for draw in (pl.segmentation, lambda made: pl.ion_images(made, [700.5])):
        with pytest.raises(ValueError, match="no coordinates"):
            draw(made)
    with pytest.raises(ValueError, match="no pixels"):
        make_panels(np.empty((0, 2)), np.empty(0, dtype=str))


def test_no_reference_no_map_of_it() -> None:
    spectra = Spectra.from_matrix(np.ones((2, 4)), AXIS, coordinates=[[0, 0], [1, 0]])
    made = Segmentation.from_probability(spectra, CLASSES, np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match="no reference labels"):
        pl.segmentation(made, "reference")


# -------------------------------------------------------------------- curves


def history_table(n: int = 12) -> pd.DataFrame:
    epoch = np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "learning_rate": 0.01,
            "train_loss": np.exp(-epoch / 4),
            "valid_loss": np.exp(-epoch / 5) + 0.1,
            "train_balanced_accuracy": 1 - np.exp(-epoch / 3),
            "valid_balanced_accuracy": 0.9 - np.exp(-epoch / 3),
            "best": epoch == max(n - 3, 1),
        }
    )


def test_history_shows_loss_and_accuracy_and_the_epoch_kept() -> None:
    table = history_table()
    figure = pl.history(table)
    loss, accuracy = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), table["train_loss"])
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), table["valid_balanced_accuracy"])
    assert loss.lines[2].get_xdata()[0] == 9
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["training pixels", "held-out pixels", "epoch kept (9)"]


def test_history_without_held_out_pixels_or_with_one_epoch() -> None:
    table = history_table(1).assign(valid_loss=np.nan, valid_balanced_accuracy=np.nan)
    figure = pl.history(table)
    figure.savefig(BytesIO(), format="png")
    assert len(figure.axes[0].lines) == 2


def test_history_of_a_segmentation() -> None:
    made = segmentation(grid(3, 2))
    with pytest.raises(ValueError, match="history is empty"):
        pl.history(made)
    with pytest.raises(ValueError, match="lacks the columns"):
        pl.history(history_table().drop(columns="best"))


def test_deletion_draws_both_curves_in_order() -> None:
    curve = pd.DataFrame(
        {
            "fraction_removed": [0.2, 0.0, 0.1],
            "score_top": [0.4, 0.95, 0.6],
            "score_random_mean": [0.93, 0.95, 0.94],
            "score_random_sd": [0.02, 0.0, 0.01],
        }
    )
    (axes,) = pl.deletion(curve).axes
    random, top = axes.lines
    np.testing.assert_array_equal(top.get_xdata(), [0.0, 0.1, 0.2])
    np.testing.assert_array_equal(top.get_ydata(), [0.95, 0.6, 0.4])
    np.testing.assert_array_equal(random.get_ydata(), [0.95, 0.94, 0.93])
    with pytest.raises(ValueError, match="empty"):
        pl.deletion(curve.head(0))
    with pytest.raises(ValueError, match="lacks the columns"):
        pl.deletion(curve.drop(columns="score_top"))
