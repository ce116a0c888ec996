"""All pictures of one real analysis, and the mirror plot in particular."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

import massgraph as mg
from massgraph import pl
from massgraph.pl._spectra import _root_ticks, spread
from massgraph.pl._style import FAINT, OKABE_ITO
from massgraph.segmentation import Segmentation
from picture_words import all_words

# Words may touch, and the ink of a letter may stand out of its box by this many pixels.
SLACK = 0.5


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    spectra, y = mg.simulate("tiny")
    return (
        mg.RGCNClassifier(effort="thorough", epochs=6, folds=2, augment=1, random_state=0)
        .fit(spectra, y)
        .segment(spectra, y)
    )


@pytest.fixture
def explanation(segmentation: Segmentation) -> Any:
    return segmentation.explanation


def told(
    mz: Any,
    contribution: Any,
    intensity: Any = None,
    *,
    family: Any = None,
    labels: Any = (0, 0, 1),
) -> Any:
    """As much of an explanation as a mirror plot needs; ions speak for the class they add to."""
    mz, contribution = np.asarray(mz, dtype=float), np.asarray(contribution, dtype=float)
    n = len(mz)
    family = pd.array([pd.NA] * n if family is None else family, dtype="Int64")
    ions = pd.DataFrame(
        {
            "mz": mz,
            "class": np.where(contribution > 0, "tumour", "rest"),
            "direction": "more",
            "score": np.abs(contribution),
            "rank": np.argsort(np.argsort(-np.abs(contribution), kind="stable")) + 1,
            "family": family,
            "activation_tumour": contribution,
            "activation_rest": -contribution,
            "intensity_tumour": np.ones(n) if intensity is None else intensity,
            "intensity_rest": 0.0,
        }
    )
    families = ions[ions["family"].notna()].sort_values(["family", "rank"])
    return SimpleNamespace(
        classes=("rest", "tumour"),
        mz=mz,
        ions=ions,
        families=families.astype({"family": "int64"}),
        labels=np.asarray(labels),
    )


def many(n: int = 18_000) -> Any:
    """As many ions as a real run has, all but a few of them weak."""
    rng = np.random.default_rng(3)
    mz = np.sort(rng.uniform(400, 1925, n))
    contribution = rng.normal(0, 1e-3, n)
    strong = n // 3 + np.arange(40)
    contribution[strong] = rng.uniform(0.02, 0.1, 40)
    family = np.full(n, None, dtype=object)
    for number in range(8):
        family[strong[number * 5 : number * 5 + 5]] = number + 1
    return told(mz, contribution, rng.gamma(0.3, 1.0, n), family=family)


def panels(figure: Any) -> tuple[Any, Any]:
    lower, upper = figure.axes
    return upper, lower


def stems(axes: Any) -> dict[float, tuple[float, str]]:
    """m/z of each line from zero, with its height and colour."""
    found = {}
    for collection in axes.collections:
        assert isinstance(collection, LineCollection)
        colours = collection.get_colors()
        for segment, colour in zip(collection.get_segments(), colours, strict=True):
            (mz, foot), (top_mz, height) = segment
            assert foot == 0
            assert top_mz == mz
            found[float(mz)] = (float(height), to_hex(colour))
    return found


def legend_of(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts if "(" in text.get_text()][:-1]


# -------------------------------------------------------------------- as a user


def test_an_analysis_in_pictures(segmentation: Segmentation, tmp_path: Path) -> None:
    explanation = segmentation.explanation
    assert explanation is not None
    top = explanation.ions.nsmallest(2, "rank")["mz"]
    pictures = {
        **{kind: pl.segmentation(segmentation, kind) for kind in ("class", "reference")},
        **{kind: pl.segmentation(segmentation, kind) for kind in ("probability", "uncertainty")},
        "ions": pl.ion_images(segmentation, top),
        "history": pl.history(segmentation),
        "family": pl.relations(explanation, 1),
        **{f"mirror {name}": pl.activation(explanation, name) for name in explanation.classes},
    }
    for name, picture in pictures.items():
        for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
            file = (tmp_path / name).with_suffix(suffix)
            picture.savefig(file, dpi=60)
            assert file.read_bytes().startswith(start), name


def test_all_words_of_an_analysis_are_on_the_paper(segmentation: Segmentation) -> None:
    explanation: Any = segmentation.explanation
    pictures = [pl.activation(explanation, name) for name in explanation.classes]
    pictures += [pl.relations(explanation, number) for number in _families(explanation)]
    pictures += [pl.segmentation(segmentation, kind) for kind in ("class", "probability")]
    pictures += [pl.history(segmentation), pl.activation(explanation, "stroma", width=3.5)]
    for picture in pictures:
        paper = picture.bbox.padded(SLACK)
        for text, box in all_words(picture):
            assert paper.x0 <= box.x0, text
            assert box.x1 <= paper.x1, text
            assert paper.y0 <= box.y0, text
            assert box.y1 <= paper.y1, text


def _families(explanation: Any) -> list[int]:
    found = [int(number) for number in explanation.families["family"].unique()[:5]]
    assert found, "the simulated data have families"
    return found


def test_names_of_ions_do_not_overlap_in_any_family(explanation: Any) -> None:
    for number in _families(explanation):
        words = all_words(pl.relations(explanation, number))
        numbers = [(text, box) for text, box in words if text[-4:].isdigit() and "." in text]
        assert numbers
        for (one, box), (two, other) in combinations(numbers, 2):
            assert not box.padded(-SLACK).overlaps(other.padded(-SLACK)), (number, one, two)


def test_names_of_relations_cover_neither_each_other_nor_ions(explanation: Any) -> None:
    for number in _families(explanation):
        words = all_words(pl.relations(explanation, number))
        for (one, box), (two, other) in combinations(words, 2):
            assert not box.padded(-SLACK).overlaps(other.padded(-SLACK)), (number, one, two)


def test_a_deletion_curve_says_what_is_removed_and_what_is_left() -> None:
    curve = pd.DataFrame(
        {
            "fraction_removed": [0.0, 0.1, 0.2],
            "score_top": [-0.1, -0.5, -2.0],
            "score_random_mean": [-0.1, -0.12, -0.2],
            "score_random_sd": [0.0, 0.01, 0.05],
        }
    )
    picture = pl.deletion(curve)
    said = [text for text, _ in all_words(picture)]
    assert "peaks removed" in said
    assert any("log probability" in text for text in said)
    assert {"0.0%", "20.0%"} <= set(said) or {"0%", "20%"} <= set(said)
    for text, box in all_words(picture):
        assert picture.bbox.padded(SLACK).contains(box.x0, box.y0), text
        assert picture.bbox.padded(SLACK).contains(box.x1, box.y1), text


def open_figures() -> list[int]:
    """Figures that pyplot holds, if anyone has imported it."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot else []


def test_pictures_leave_no_trace(segmentation: Segmentation, tmp_path: Path) -> None:
    explanation: Any = segmentation.explanation
    before = dict(mpl.rcParams)
    figures = open_figures()
    tables = explanation.ions.copy(), explanation.families.copy(), explanation.family_edges.copy()
    for picture in (
        pl.segmentation(segmentation),
        pl.activation(explanation, "muscle"),
        pl.relations(explanation, 1),
    ):
        picture.savefig(tmp_path / "x.png", dpi=50)
    assert dict(mpl.rcParams) == before
    assert open_figures() == figures
    pd.testing.assert_frame_equal(explanation.ions, tables[0])
    pd.testing.assert_frame_equal(explanation.families, tables[1])
    pd.testing.assert_frame_equal(explanation.family_edges, tables[2])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_analysis_gives_the_same_file(
    explanation: Any, tmp_path: Path, suffix: str
) -> None:
    files = []
    for turn in range(2):
        file = tmp_path / f"{turn}{suffix}"
        stamp = {"metadata": {"Date": None}} if suffix == ".svg" else {}
        pl.activation(explanation, "muscle").savefig(file, dpi=60, **stamp)
        files.append(file.read_bytes())
    assert files[0] == files[1]


# -------------------------------------------------------------------- mirror plot


def test_both_halves_show_the_table(explanation: Any) -> None:
    for name in explanation.classes:
        upper, lower = panels(pl.activation(explanation, name))
        for axes, column in ((upper, f"intensity_{name}"), (lower, f"activation_{name}")):
            values = explanation.ions[column].to_numpy()
            shown = stems(axes)
            assert set(shown) == set(explanation.mz[values != 0])
            heights = [shown[mz][0] for mz in explanation.mz[values != 0]]
            assert np.allclose(heights, values[values != 0])


def test_the_halves_share_their_axis_and_mirror_each_other(explanation: Any) -> None:
    upper, lower = panels(pl.activation(explanation, "muscle"))
    assert upper.get_xlim() == lower.get_xlim()
    low, high = lower.get_xlim()
    assert low < explanation.mz.min() < explanation.mz.max() < high
    assert upper.get_ylim()[0] == 0
    bottom, top = lower.get_ylim()
    values = explanation.ions["activation_muscle"]
    assert bottom > values.max() > 0 >= top
    assert top <= values.min()


def test_scales_are_said_and_even_or_of_roots() -> None:
    upper, lower = panels(pl.activation(told([500, 600], [1.0, 2.0], [4.0, 16.0]), "tumour"))
    assert "square root" in upper.get_ylabel()
    assert "linear" in lower.get_ylabel()
    places = upper.transData.transform([(500, 0), (500, 4), (500, 16)])[:, 1]
    assert (places[2] - places[0]) == pytest.approx(2 * (places[1] - places[0]))
    places = lower.transData.transform([(500, 0), (500, 1), (500, 2)])[:, 1]
    assert (places[2] - places[0]) == pytest.approx(2 * (places[1] - places[0]))


def test_what_speaks_against_the_class_points_upwards() -> None:
    _, lower = panels(pl.activation(told([500, 600], [-1.0, 2.0]), "tumour"))
    up, zero, down = lower.transData.transform([(500, -1), (500, 0), (600, 2)])[:, 1]
    assert up > zero > down
    assert lower.get_ylim()[1] == -1


def test_families_of_the_class_are_coloured_and_named() -> None:
    example = told(
        [500, 514, 600, 614, 700],
        [0.5, 0.4, 0.3, 0.2, -0.6],
        family=[1, 1, 3, None, 2],
    )
    figure = pl.activation(example, "tumour")
    for axes in panels(figure):
        colours = {mz: colour for mz, (_, colour) in stems(axes).items()}
        assert colours[500] == colours[514] == OKABE_ITO[0].lower()
        assert colours[600] == OKABE_ITO[1].lower()
        assert colours[614] == colours[700] == FAINT
    assert legend_of(figure) == ["family 1 (2)", "family 3 (1)", "other ions (2)"]


def test_at_most_six_families_are_coloured() -> None:
    figure = pl.activation(many(), "tumour")
    assert len(legend_of(figure)) == 7
    colours = {colour for _, colour in stems(panels(figure)[1]).values()}
    assert len(colours) == 7


def test_the_best_ions_that_add_to_the_class_are_named(explanation: Any) -> None:
    for name in explanation.classes:
        _, lower = panels(pl.activation(explanation, name))
        ions = explanation.ions
        adds = (ions["class"] == name) & (ions["score"] > 0) & (ions[f"activation_{name}"] > 0)
        best = ions[adds].nsmallest(20, "rank")["mz"]
        named = [text.get_text().strip() for text in lower.texts]
        assert named == [f"{mz:.4f}" for mz in sorted(best)]


@pytest.mark.parametrize("width", [3.5, 5.0, 7.2])
@pytest.mark.parametrize("spacing", [0.001, 1.003, 14.016, 80.0])
def test_names_never_overlap_nor_leave_the_axes(width: float, spacing: float) -> None:
    contribution = np.linspace(1, 2, 25)
    contribution[::7] *= -1
    figure = pl.activation(told(700 + spacing * np.arange(25), contribution), "tumour", width=width)
    words = all_words(figure)
    for (one, box), (two, other) in combinations(words, 2):
        assert not box.padded(-SLACK).overlaps(other.padded(-SLACK)), (one, two)
    for text, box in words:
        assert figure.bbox.padded(SLACK).contains(box.x0, box.y0), text
        assert figure.bbox.padded(SLACK).contains(box.x1, box.y1), text


def test_names_are_below_all_ions_and_led_to_by_a_line_from_their_own() -> None:
    example = told([700, 701.003, 702.007, 900], [0.5, 1.0, 0.2, 0.7])
    _, lower = panels(pl.activation(example, "tumour"))
    leaders = [line for line in lower.lines if len(line.get_xdata()) == 3]
    for leader, text in zip(leaders, lower.texts, strict=True):
        x, y = leader.get_xdata(), leader.get_ydata()
        mz = float(text.get_text())
        assert x[0] == x[1] == mz
        assert y[0] == example.ions.set_index("mz").loc[mz, "activation_tumour"]
        assert y[2] > y[1] >= 1.0
        assert (x[2], y[2]) == text.get_position()
    ends = [leader.get_xdata()[2] for leader in leaders]
    assert ends == sorted(ends)


def test_very_many_ions_go_into_the_file_as_an_image(tmp_path: Path) -> None:
    figure = pl.activation(many(), "tumour")
    for axes in panels(figure):
        grey, coloured = axes.collections
        assert grey.get_rasterized()
        assert not coloured.get_rasterized()
        assert coloured.get_zorder() > grey.get_zorder()
    file = tmp_path / "mirror.pdf"
    figure.savefig(file)
    assert file.stat().st_size < 400_000


@pytest.mark.parametrize(
    ("example", "named"),
    [
        (told([], []), 0),
        (told([760.585], [0.3]), 1),
        (told([700, 800], [0.0, 0.0], [0.0, 0.0]), 0),
        (told([700, 800], [-0.2, -0.1]), 0),
        (told([700, 800], [1e-12, 2e-12], [1e-9, 1e-8]), 2),
        (told([700, 800], [3e5, 2e5], [1e7, 1e9]), 2),
    ],
    ids=["no ions", "one ion", "all zero", "all against", "tiny", "huge"],
)
def test_odd_explanations_are_drawn(example: Any, named: int) -> None:
    figure = pl.activation(example, "tumour")
    assert len(panels(figure)[1].texts) == named
    for text, box in all_words(figure):
        assert box.x0 >= -SLACK, text
        assert box.x1 <= figure.bbox.x1 + SLACK, text


def test_a_class_given_to_no_pixel_says_so() -> None:
    figure = pl.activation(told([700, 800], [0.1, 0.2], labels=[0, 0, -1]), "tumour")
    assert "tumour (given to no pixel)" in [text.get_text() for text in figure.texts]
    figure = pl.activation(told([700, 800], [0.1, 0.2], labels=[0, 1, 1]), "tumour")
    assert "tumour (2 px)" in [text.get_text() for text in figure.texts]


def test_classes_may_have_any_name(explanation: Any) -> None:
    name = "$\\frac{x}$ & <b>"
    ions = explanation.ions.rename(columns=lambda column: column.replace("muscle", name))
    renamed = replace(
        explanation,
        classes=tuple(name if known == "muscle" else known for known in explanation.classes),
        ions=ions.assign(**{"class": ions["class"].cat.rename_categories({"muscle": name})}),
    )
    figure = pl.activation(renamed, name)
    figure.canvas.draw()
    assert any(text.get_text().startswith(name) for text in figure.texts)


def test_numbers_are_taken_as_names_of_classes() -> None:
    example = told([700], [0.1])
    example.classes = ("rest", "1")
    example.ions = example.ions.rename(
        columns={"activation_tumour": "activation_1", "intensity_tumour": "intensity_1"}
    )
    assert pl.activation(example, 1).axes


@pytest.mark.parametrize("class_", ["tumor", "", None, 3])
def test_an_unknown_class_is_refused_with_those_there_are(class_: Any) -> None:
    with pytest.raises(ValueError, match=r"no class .*; its classes are \('rest', 'tumour'\)"):
        pl.activation(told([700], [0.1]), class_)


# -------------------------------------------------------------------- spreading labels


@pytest.mark.parametrize("seed", range(20))
def test_spread_keeps_order_distance_and_room(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = np.sort(rng.uniform(0, 6, rng.integers(0, 20)) ** rng.uniform(0.2, 1))
    places = spread(wanted, 0.3, 6.0)
    assert places.shape == wanted.shape
    assert (np.diff(places) >= 0.3 - 1e-9).all()
    assert ((places >= 0.15 - 1e-9) & (places <= 5.85 + 1e-9)).all()


def test_spread_moves_no_more_than_need_be() -> None:
    assert np.allclose(spread(np.array([1.0, 2.0, 4.0]), 0.3, 6.0), [1, 2, 4])
    assert np.allclose(spread(np.array([1.0, 1.0, 4.0]), 0.5, 6.0), [0.75, 1.25, 4])
    assert np.allclose(spread(np.array([0.0, 0.0]), 0.5, 6.0), [0.25, 0.75])
    assert np.allclose(spread(np.array([6.0, 6.0]), 0.5, 6.0), [5.25, 5.75])
    assert np.allclose(spread(np.zeros(12), 0.5, 6.0), 0.25 + 0.5 * np.arange(12))


@pytest.mark.parametrize("top", [1e-9, 0.013, 0.9, 1.0, 1.12, 7.3, 29.0, 4.1e6])
def test_ticks_of_the_root_scale_are_round_and_apart(top: float) -> None:
    ticks = _root_ticks(top)
    assert ticks[0] == 0
    assert 3 <= len(ticks) <= 7
    assert ticks[-1] <= top
    assert (np.diff(np.sqrt(np.array(ticks) / top)) > 0.1).all()
    for tick in ticks[1:]:
        assert f"{tick:.0e}"[0] in "125"
        assert float(f"{tick:.0e}") == pytest.approx(tick)
