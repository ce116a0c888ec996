"""Pictures of regions without labels: the same colour for the same region, and true numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb, to_rgba

import massgraph as mg
from massgraph import pl
from massgraph.pl._nested import label_palette, matched, palette
from massgraph.pl._raster import joined, make_panels
from massgraph.pl._style import NO_PEAKS, OFF_TISSUE, OKABE_ITO, region_colours
from massgraph.segmentation import Segmentation
from picture_words import all_words
from region_builder import MZ, SHOWN, region_segmentation, stripes

SLACK = 0.5  # pixels by which the ink of a letter may stand out of its box


@pytest.fixture
def regions() -> Segmentation:
    return region_segmentation()


@pytest.fixture(scope="module")
def found() -> Segmentation:
    """Really fitted, two runs."""
    spectra, _ = mg.simulate("tiny")
    return mg.SpatialRegions(max_regions=5).fit(spectra).segment(spectra)


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


def bars_of(axes: Any) -> list[Any]:
    return [patch for patch in axes.patches if patch.get_height() > 0]


def changed(segmentation: Segmentation, **changes: Any) -> Segmentation:
    return replace(segmentation, findings=replace(segmentation.findings, **changes))


# -------------------------------------------------------------------- as a user


def test_what_a_fit_found_in_pictures(found: Segmentation, tmp_path: Path) -> None:
    pictures = {
        "maps": pl.regions(found),
        "curve": pl.selection(found),
        "molecules": pl.molecules(found),
        "images": pl.region_images(found),
        "balances": pl.balances(found),
        "class": pl.segmentation(found),
    }
    for name, picture in pictures.items():
        for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
            file = (tmp_path / name).with_suffix(suffix)
            picture.savefig(file, dpi=60)
            assert file.read_bytes().startswith(start), name


# -------------------------------------------------------------------- colours


def test_off_tissue_is_grey_and_tissue_is_not(regions: Segmentation) -> None:
    colours = palette(regions)
    assert list(colours)[:4] == ["region 1", "region 2", "region 3", "off-tissue"]
    assert [colours[name] for name in regions.classes[:3]] == list(OKABE_ITO[:3])
    assert colours["off-tissue"] == OFF_TISSUE


def test_regions_without_findings_have_the_same_colours(regions: Segmentation) -> None:
    assert palette(replace(regions, findings=None)) == palette(regions)


def test_classes_of_a_classifier_keep_theirs(regions: Segmentation) -> None:
    """A class that somebody calls off-tissue is a class like others."""
    classes = replace(regions, findings=None, parameters={})
    assert list(palette(classes).values()) == list(OKABE_ITO[:4])


def test_a_classifier_of_regions_sorts_them_but_keeps_their_colours(regions: Segmentation) -> None:
    order = [3, 1, 0, 2]
    names = [regions.classes[k] for k in order]
    taught = Segmentation.from_probability(
        regions.spectra, names, regions.probability[:, order], findings=regions.findings
    )
    assert {n: palette(taught)[n] for n in names} == {n: palette(regions)[n] for n in names}
    # float32 and the order of the columns make no other picture
    ours, theirs = (image_of(panels_of(pl.regions(made))[2]) for made in (regions, taught))
    np.testing.assert_array_equal(ours, theirs)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB under D65, of linear RGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.clip(rgb, 0, 1) @ np.array(matrix).T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


@pytest.mark.parametrize(
    "eyes",
    [
        np.eye(3),
        # Machado, Oliveira and Fernandes, IEEE TVCG 15, 2009: protanopia, then deuteranopia
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    ],
    ids=["normal", "protanopia", "deuteranopia"],
)
def test_as_many_regions_as_are_looked_for_are_told_apart_by_any_eyes(eyes: Any) -> None:
    shown = [*region_colours(15), OFF_TISSUE, NO_PEAKS]
    srgb = np.array([to_rgb(colour) for colour in shown])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    places = lab(linear @ np.array(eyes).T)
    apart = np.linalg.norm(places[:, None] - places, axis=2)[np.triu_indices(len(shown), 1)]
    assert apart.min() > 11  # about 2 is just seen side by side


def test_colours_differ_and_never_run_out() -> None:
    assert len(set(region_colours(45))) == 45
    assert region_colours(45)[:20] == region_colours(20)


def test_labels_have_the_colours_of_the_regions_they_coincide_with(regions: Segmentation) -> None:
    codes = np.asarray(regions.label.codes)
    names = np.array(["medulla", "cortex", "pelvis", "off-tissue", None], dtype=object)
    given = np.where(np.arange(len(codes)) == 3, "unseen elsewhere", names[codes])
    made = Segmentation.from_probability(
        regions.spectra,
        regions.classes,
        regions.probability,
        reference=given,
        findings=regions.findings,
    )
    colours = label_palette(made.reference, made)
    assert [colours[name] for name in ("medulla", "cortex", "pelvis")] == list(OKABE_ITO[:3])
    assert colours["off-tissue"] == OFF_TISSUE
    assert colours["unseen elsewhere"] not in [*OKABE_ITO[:3], OFF_TISSUE]
    said = words(pl.segmentation(made, "reference"))
    assert "region 1 (0 px)" not in said
    assert any(text.startswith("medulla (") for text in said)


# -------------------------------------------------------------------- matching


@pytest.mark.parametrize("seed", range(10))
def test_matching_is_one_to_one_and_blind_to_the_order_of_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, codes = rng.integers(-1, 4, 9999), rng.integers(-1, 6, 9999)
    numbers = rng.permutation(9)[:4]
    found = matched(known, numbers, codes, 6)
    assert len(set(found.tolist())) == 6
    order = rng.permutation(6)
    again = matched(known, numbers, np.where(codes < 0, -1, order[codes]), 6)
    taken = np.isin(found, numbers)
    np.testing.assert_array_equal(again[order][taken], found[taken])


def test_a_region_that_is_split_leaves_its_number_to_the_larger_part() -> None:
    known = np.repeat([0, 1], [10, 10])
    codes = np.repeat([2, 0, 1], [10, 3, 7])
    np.testing.assert_array_equal(matched(known, np.array([5, 8]), codes, 3), [0, 8, 5])


def test_regions_of_other_pixels_take_no_number_of_others() -> None:
    known, codes = np.array([0, 0, -1, -1]), np.array([-1, -1, 0, 1])
    np.testing.assert_array_equal(matched(known, np.array([0]), codes, 2), [1, 2])
    assert matched(known[:0], np.arange(0), codes[:0], 0).size == 0


# -------------------------------------------------------------------- nested maps


def test_a_region_keeps_its_colour_from_map_to_map(regions: Segmentation) -> None:
    figure = pl.regions(regions)
    images = [image_of(axes) for axes in panels_of(figure)]
    assert len(images) == 5
    assert [text for text in words(figure) if "regions" in text] == [
        *("2 regions", "3 regions", "4 regions (this map)", "5 regions", "6 regions")
    ]
    blue, orange, green, pink = (to_rgba(colour) for colour in region_colours(4))
    chosen = images[2]
    np.testing.assert_array_equal(chosen, image_of(panels_of(pl.segmentation(regions))[0]))
    for image in images:
        np.testing.assert_allclose(image[0, -1], to_rgba(OFF_TISSUE))
        np.testing.assert_allclose(image[-1, -1], to_rgba(NO_PEAKS))
    for image in images[1:]:
        np.testing.assert_allclose(image[2, 1], blue)
    # two thirds of all tissue were orange before
    np.testing.assert_allclose(images[0][2, 1], orange)
    np.testing.assert_allclose(images[1][0, 3], orange)
    np.testing.assert_allclose(images[2][0, 6], green)
    # what was cut off has a colour that no other region has
    np.testing.assert_allclose(images[3][0, 0], pink)
    assert not (images[2] == np.array(pink)).all(axis=2).any()


def test_the_map_of_the_segmentation_is_framed_and_no_other(regions: Segmentation) -> None:
    figure = pl.regions(regions)
    (frame,) = [patch for patch in figure.artists if not patch.get_fill()]
    panel = panels_of(figure)[2].get_position()
    box = frame.get_bbox()
    assert box.x0 < panel.x0 < panel.x1 < box.x1
    assert box.y0 < panel.y0 < panel.y1 < box.y1
    assert box.width < 1.2 * panel.width
    assert [t.get_text() for t in figure.texts if t.get_weight() == "bold"] == [
        "4 regions (this map)"
    ]


def test_one_map_that_was_asked_for_is_drawn_alone(regions: Segmentation) -> None:
    label = np.asarray(regions.label.codes).astype(np.int64)
    assert len(panels_of(pl.regions(changed(regions, maps={4: label})))) == 1
    one = region_segmentation(n=1)
    single = changed(one, maps={1: np.zeros(len(one), dtype=np.int64)})
    assert "1 region (this map)" in words(pl.regions(single))


def test_maps_of_labels_that_differ_from_those_of_the_segmentation(regions: Segmentation) -> None:
    """As those of a classifier do, that was taught the regions."""
    shuffled = np.random.default_rng(0).permutation(len(regions))
    maps = {k: labels[shuffled] for k, labels in regions.findings.maps.items()}
    figure = pl.regions(changed(regions, maps=maps))
    for k, axes in zip(range(2, 7), panels_of(figure), strict=True):
        colours = {tuple(colour) for colour in image_of(axes).reshape(-1, 4)}
        assert len(colours) == k + 1, "regions, and pixels without peaks"


# -------------------------------------------------------------------- any image

IMAGES = {
    "one row": stripes(30, 1),
    "one column": stripes(1, 30),
    "holes": np.delete(stripes(12, 8), [13, 14, 25, 26, 60], axis=0),
    "two pieces": np.concatenate([stripes(6, 5), stripes(6, 5) + np.array([40, 3])]),
    "off the grid": stripes(6, 5) + np.random.default_rng(0).uniform(0, 0.3, (30, 2)),
    "few": stripes(2, 2),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("n_runs", [1, 3])
def test_any_image_and_any_number_of_runs(name: str, n_runs: int) -> None:
    places = np.tile(IMAGES[name], (n_runs, 1))
    run = np.repeat([f"slide {k}" for k in range(n_runs)], len(IMAGES[name]))
    made = region_segmentation(places, run)
    for figure, n in ((pl.regions(made), 5), (pl.region_images(made), 3), (pl.balances(made), 2)):
        assert len(panels_of(figure)) == n
        assert figure.get_figwidth() <= 7.2 + 1e-9
        figure.savefig(Path("/dev/null"), format="png", dpi=40)


@pytest.mark.parametrize("n_runs", [2, 3, 7])
def test_runs_are_joined_without_touching(n_runs: int) -> None:
    shapes = [(5 + 3 * k, 9 - k) for k in range(n_runs)]
    places = np.concatenate([stripes(*shape) + 10 * k for k, shape in enumerate(shapes)])
    run = np.repeat([f"run {k}" for k in range(n_runs)], [a * b for a, b in shapes])
    panels = make_panels(places, run)
    one = joined(panels)
    assert one.raster
    np.testing.assert_array_equal(one.pixels, np.arange(len(places)))
    cells = np.column_stack([one.x, one.y])
    assert len(np.unique(cells, axis=0)) == len(places)
    for k, panel in enumerate(panels):
        rows = run == panel.name
        own = cells[rows]
        np.testing.assert_allclose(np.ptp(own, axis=0) + 1, shapes[k])
        others = cells[~rows]
        nearest = np.abs(others[:, None] - own[None]).max(axis=2).min()
        assert nearest >= 2, "an empty cell between runs at least"
    (alone,) = make_panels(places[run == "run 0"], run[run == "run 0"])
    assert joined([alone]) is alone


# -------------------------------------------------------------------- curve


def test_the_curve_has_the_numbers_of_the_table(regions: Segmentation) -> None:
    gain, separation = pl.selection(regions).axes
    table = regions.findings.selection
    for axes, expected in (
        (gain, np.maximum(table["gain"].to_numpy(), 1.0)),
        (separation, table["separation"].to_numpy()),
    ):
        line = axes.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), table["n_regions"])
        np.testing.assert_array_equal(line.get_ydata(), expected)
        marked = [dot for dot in axes.lines if list(dot.get_xdata()) == [4]]
        assert marked
        assert axes.texts[0].get_text() == "4 regions"
    assert gain.get_yscale() == "log"
    assert any(2.65 in np.ravel(line.get_ydata()) for line in separation.lines)


def test_findings_alone_are_enough_for_curve_and_molecules(regions: Segmentation) -> None:
    assert len(pl.selection(regions.findings).axes) == 2
    assert len(pl.molecules(regions.findings).axes) == 4


def test_a_curve_of_one_number(regions: Segmentation) -> None:
    short = changed(regions, selection=regions.findings.selection.iloc[2:3])
    pl.selection(short).savefig(Path("/dev/null"), format="png", dpi=40)


# -------------------------------------------------------------------- molecules


def test_bars_are_the_effects_with_their_direction(regions: Segmentation) -> None:
    figure = pl.molecules(regions, n=5)
    table = regions.findings.molecules
    for axes, name in zip(figure.axes, regions.classes, strict=True):
        top = table[table["region"] == name].head(5)
        bars = bars_of(axes)
        ends = [bar.get_x() + bar.get_width() for bar in bars]
        starts = [bar.get_x() for bar in bars]
        effects = [a if abs(a) > abs(b) else b for a, b in zip(starts, ends, strict=True)]
        np.testing.assert_allclose(effects, top["effect"])
        said = [label.get_text() for label in axes.get_yticklabels()]
        assert said == [f"{mz:.4f} ({n})" for mz, n in zip(top["mz"], top["n_ions"], strict=True)]
    titles = [text.get_text() for text in figure.texts]
    assert titles == list(regions.classes)


def test_bars_that_passed_no_test_are_hollow(regions: Segmentation) -> None:
    figure = pl.molecules(regions)
    colours = palette(regions)
    for axes, name in zip(figure.axes, regions.classes, strict=True):
        faces = [to_hex(bar.get_facecolor()) for bar in bars_of(axes)]
        own = to_hex(colours[name])
        sure = 0 if name == "off-tissue" else 2
        assert faces == [own] * sure + ["#ffffff"] * (MZ.size - sure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("FDR up to 0.05", "above, or not tested")
    ]
    all_sure = regions.findings.molecules.assign(fdr=0.01)
    assert not pl.molecules(changed(regions, molecules=all_sure)).legends


def test_one_region_alone(regions: Segmentation) -> None:
    figure = pl.molecules(regions, "region 2", width=2.6)
    (axes,) = figure.axes
    assert bars_of(axes)[0].get_edgecolor() == to_rgba(OKABE_ITO[1])
    assert figure.get_figwidth() == 2.6


def test_regions_share_a_scale_and_off_tissue_has_its_own(regions: Segmentation) -> None:
    table = regions.findings.molecules.copy()
    table.loc[table["region"] == "off-tissue", "effect"] *= 10
    figure = pl.molecules(changed(regions, molecules=table))
    limits = [axes.get_xlim() for axes in figure.axes]
    assert limits[0] == limits[1] == limits[2]
    assert limits[3][1] > 5 * limits[0][1]


def test_regions_without_molecules_say_so(regions: Segmentation) -> None:
    none = changed(regions, molecules=regions.findings.molecules.iloc[:0])
    assert words(pl.molecules(none)).count("no molecule") == 4


# -------------------------------------------------------------------- images of molecules


def test_images_go_from_the_first_to_the_99th_percentile(regions: Segmentation) -> None:
    figure = pl.region_images(regions)
    values = regions.findings.images[:, 0].astype(float)
    low, high = np.percentile(values, [1, 99])
    said = words(figure)
    assert f"{low:.1f} to {high:.1f}" in said
    index = said.index(f"m/z {MZ[SHOWN[0]]:.4f}")
    panel = panels_of(figure)[[t for t in said if t.startswith("m/z")].index(said[index])]
    expected = mpl.colormaps["viridis"](np.clip((values - low) / (high - low), 0, 1))
    np.testing.assert_allclose(image_of(panel).reshape(-1, 4), expected, atol=1 / 200)


def test_each_molecule_is_shown_once_under_the_region_it_defines(regions: Segmentation) -> None:
    figure = pl.region_images(regions)
    said = words(figure)
    assert sorted(text for text in said if text.startswith("m/z")) == [
        f"m/z {mz:.4f}" for mz in sorted(MZ[SHOWN])
    ]
    # Molecule 0 is the best of region 1, 1 of region 2, and 3 is less in region 3.
    headers = [text for text in said if " in " in text]
    assert headers == ["more in region 1", "more in region 2", "less in region 3"]


def test_images_of_one_region_are_of_its_best(regions: Segmentation) -> None:
    said = words(pl.region_images(regions, "region 2"))
    # Of 1, 2, 3, ... in turn more and less; 1 and 3 have images, and 0 is the last of its best.
    assert [text for text in said if text.startswith("m/z")] == [
        f"m/z {MZ[k]:.4f}" for k in (1, 3, 0)
    ]
    assert not any(" in region" in text for text in said)


def test_what_is_missing_or_constant_in_an_image(regions: Segmentation) -> None:
    images = regions.findings.images.copy()
    images[:] = 2.5
    images[:3] = np.nan
    figure = pl.region_images(changed(regions, images=images))
    image = image_of(panels_of(figure)[0]).reshape(-1, 4)
    np.testing.assert_allclose(image[:3], np.tile(to_rgba(NO_PEAKS), (3, 1)))
    assert len(np.unique(image[3:], axis=0)) == 1
    assert "no peaks" in words(figure)
    assert "2.5 to 2.5" in words(figure)


# -------------------------------------------------------------------- balances


def test_balances_are_even_about_white(regions: Segmentation) -> None:
    images = np.zeros((len(regions), 2), dtype=np.float32)
    images[0] = [np.log(4), np.log(1.5)]
    images[1] = -images[0]
    images[2, 1] = np.nan
    figure = pl.balances(changed(regions, balance_images=images))
    first, second = (image_of(axes).reshape(-1, 4) for axes in panels_of(figure))
    white = mpl.colormaps["RdBu_r"](0.5)
    np.testing.assert_allclose(first[5], white, atol=1 / 200)
    assert first[0, 0] > first[0, 2], "more is red"
    assert first[1, 2] > first[1, 0], "less is blue"
    np.testing.assert_allclose(second[2], to_rgba(NO_PEAKS))
    assert {"Na-H", "K-H", "no such pair"} <= set(words(figure))
    bar = figure.axes[-1]
    up, down = (bar.get_yticklabels()[k].get_text() for k in (2, 0))
    assert up.removeprefix("× ") == down.removeprefix("÷ ")
    assert bar.get_ylabel() == "ratio to the mean"


def test_balances_that_are_all_alike(regions: Segmentation) -> None:
    flat = np.zeros((len(regions), 2), dtype=np.float32)
    pl.balances(changed(regions, balance_images=flat)).savefig(
        Path("/dev/null"), format="png", dpi=40
    )


# -------------------------------------------------------------------- on paper


@pytest.mark.parametrize("width", [3.5, 7.2])
def test_all_words_are_on_the_paper(found: Segmentation, width: float) -> None:
    pictures = [pl.regions(found, width=width), pl.selection(found, width=width)]
    pictures += [pl.molecules(found, width=width), pl.region_images(found, width=width)]
    pictures += [pl.balances(found, width=width), pl.molecules(found, "region 1", width=2.6)]
    for picture in pictures:
        paper = picture.bbox.padded(SLACK)
        for text, box in all_words(picture):
            assert paper.x0 <= box.x0, text
            assert box.x1 <= paper.x1, text
            assert paper.y0 <= box.y0, text
            assert box.y1 <= paper.y1, text


def test_panels_of_molecules_do_not_overlap(regions: Segmentation) -> None:
    figure = pl.molecules(regions)
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for one, other in combinations(boxes, 2):
        assert not one.padded(-SLACK).overlaps(other.padded(-SLACK))


def test_pictures_leave_the_findings_alone(regions: Segmentation) -> None:
    findings = regions.findings
    tables = findings.molecules.copy(), findings.regions.copy()
    maps = {k: labels.copy() for k, labels in findings.maps.items()}
    before = dict(mpl.rcParams)
    for draw in (pl.regions, pl.selection, pl.molecules, pl.region_images, pl.balances):
        draw(regions)
    pd.testing.assert_frame_equal(findings.molecules, tables[0])
    pd.testing.assert_frame_equal(findings.regions, tables[1])
    assert all((findings.maps[k] == maps[k]).all() for k in maps)
    assert dict(mpl.rcParams) == before


# -------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "draw", [pl.regions, pl.selection, pl.molecules, pl.region_images, pl.balances]
)
def test_a_segmentation_without_findings_is_refused(regions: Segmentation, draw: Any) -> None:
    with pytest.raises(ValueError, match=r"no findings to draw: SpatialRegions\.segment"):
        draw(replace(regions, findings=None))


@pytest.mark.parametrize("draw", [pl.regions, pl.region_images, pl.balances])
def test_pixels_without_a_place_have_no_map(regions: Segmentation, draw: Any) -> None:
    with pytest.raises(ValueError, match="no coordinates: there is no image to draw"):
        draw(replace(regions, coordinates=None))


def test_what_is_not_there_is_refused_in_words(regions: Segmentation) -> None:
    with pytest.raises(ValueError, match="no curve to draw: the number of regions was given"):
        pl.selection(changed(regions, selection=None))
    with pytest.raises(ValueError, match="no maps to draw"):
        pl.regions(changed(regions, maps={}))
    empty = np.empty((len(regions), 0), dtype=np.float32)
    with pytest.raises(ValueError, match=r"no images$"):
        pl.region_images(changed(regions, shown=SHOWN[:0], images=empty))
    with pytest.raises(ValueError, match="no images for region 3"):
        pl.region_images(changed(regions, shown=SHOWN[:0], images=empty), "region 3")
    for images in (empty, np.full((len(regions), 2), np.nan, dtype=np.float32)):
        with pytest.raises(ValueError, match="no balances of ions to draw"):
            pl.balances(changed(regions, balance_images=images))


@pytest.mark.parametrize("draw", [pl.molecules, pl.region_images])
@pytest.mark.parametrize("name", ["region 9", "", "Region 1", 1])
def test_an_unknown_region_is_refused_with_those_there_are(
    regions: Segmentation, draw: Any, name: Any
) -> None:
    with pytest.raises(ValueError, match=r"no region .*; there are \['region 1', 'region 2', "):
        draw(regions, name)


@pytest.mark.parametrize("n", [0, -1])
def test_a_number_of_molecules_below_one_is_refused(regions: Segmentation, n: int) -> None:
    with pytest.raises(ValueError, match=f"n is {n}, need at least 1"):
        pl.molecules(regions, n=n)
