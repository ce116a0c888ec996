"""Networks of families: all ions and relations are there, in place, and can be read."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Circle

from massgraph import pl
from massgraph.pl._layout import Network, lay_out
from massgraph.pl._network import _isotope, _members, _unit_edges, _units

CARBON, SODIUM, POTASSIUM, CH2, H2 = 1.003355, 21.981944, 37.955882, 14.015650, 2.015650
PC = 760.5851


@dataclass
class Told:
    """The two tables of an explanation that a network is drawn from."""

    families: pd.DataFrame
    family_edges: pd.DataFrame


def told(
    mz: dict[float, tuple[str, str]], edges: list[tuple[float, float, str]], family: int = 1
) -> Told:
    """Explanation of ions (m/z: role, adduct) and relations between them; score falls with m/z."""
    values = np.array(sorted(mz))
    n = len(values)
    families = pd.DataFrame(
        {
            "family": family,
            "mz": values,
            "role": [mz[value][0] for value in values],
            "neutral_mass": np.nan,
            "adduct": [mz[value][1] for value in values],
            "class": "tumour",
            "score": np.linspace(0.02, 0.001, n),
            "family_score": 0.1,
            "rank": np.arange(1, n + 1),
            "activation_tumour": 0.1,
            "intensity_tumour": np.linspace(1, 9, n),
        }
    )
    index = {value: row for row, value in enumerate(values)}
    family_edges = pd.DataFrame(
        [
            (family, light, heavy, index[light], index[heavy], name, 0.8, 0.01)
            for light, heavy, name in edges
        ],
        columns=[
            *("family", "source_mz", "target_mz", "source", "target"),
            *("relation", "frequency", "weight"),
        ],
    )
    return Told(families, family_edges)


def lipids(n: int) -> Told:
    """`n` homologues, each as [M+H]+ with its isotopologue and as [M+Na]+."""
    ions: dict[float, tuple[str, str]] = {}
    edges = []
    for step in range(n):
        light = round(PC + step * CH2, 4)
        heavy, isotope = round(light + SODIUM, 4), round(light + CARBON, 4)
        ions[light] = ("[M+H]+", "[M+H]+")
        ions[heavy] = ("[M+Na]+", "[M+Na]+")
        ions[isotope] = (f"13C of {light:.4f}", "")
        edges += [(light, heavy, "Na-H"), (light, isotope, "13C")]
        if step:
            before = [round(PC + (step - 1) * CH2, 4)]
            before += [round(before[0] + SODIUM, 4), round(before[0] + CARBON, 4)]
            edges += list(zip(before, (light, heavy, isotope), ["CH2"] * 3, strict=True))
    return told(ions, edges)


def chain(n: int, step: float = CH2, name: str = "CH2") -> Told:
    mz = [round(PC + index * step, 4) for index in range(n)]
    ions = {value: ("reference" if value == mz[0] else f"+{name}", "") for value in mz}
    return told(ions, [(a, b, name) for a, b in pairwise(mz)])


def words(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def circles(figure: Any) -> list[Circle]:
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Circle)]
    return found[:-2]  # the last two are the key


def boxes_of_words(figure: Any) -> list[tuple[str, Any]]:
    figure.canvas.draw()
    return [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts]


# -------------------------------------------------------------------- as a user


def test_every_ion_and_relation_is_named() -> None:
    figure = pl.relations(lipids(2), 1)
    said = words(figure)
    assert {"760.5851", "774.6008", "782.5670", "796.5827", "[M+H]+", "[M+Na]+"} <= set(said)
    assert {"13C 761.5885", "13C 775.6042"} <= set(said)
    assert said.count("Na-H") == 2
    assert said.count("CH2") == 2  # that of the isotopologues is told by that of their ions
    assert "13C" not in said
    assert "mean intensity in tumour" in said
    assert len(circles(figure)) == 6


def test_area_is_intensity_and_colour_is_score() -> None:
    example = chain(3)
    example.families["intensity_tumour"] = [1.0, 4.0, 2.0]
    shown = circles(pl.relations(example, 1))
    radius = np.array([circle.get_radius() for circle in shown])
    np.testing.assert_allclose(radius / radius[1], np.sqrt([1 / 4, 1, 1 / 2]))
    darkness = [sum(circle.get_facecolor()[:3]) for circle in shown]
    assert darkness == sorted(darkness)  # score falls with m/z: colours get lighter


def test_the_heavier_ion_is_never_left_of_the_lighter() -> None:
    shown = circles(pl.relations(lipids(3), 1))
    by_mz = [circle.center for circle in shown if circle.get_radius() > 0.044]
    assert by_mz[0][0] <= max(x for x, _ in by_mz)
    places = _places(lipids(3))
    ions, edges, _ = _members(lipids(3), 1)
    _, unit_of = _units(ions, edges)
    lines = _unit_edges(edges, unit_of)
    gain = places[lines["target"]] - places[lines["source"]]
    assert (gain[:, 0] >= -1e-9).all()


def test_the_same_relation_goes_the_same_way() -> None:
    ions, edges, _ = _members(lipids(4), 1)
    _, unit_of = _units(ions, edges)
    lines = _unit_edges(edges, unit_of)
    places = _places(lipids(4))
    gain = places[lines["target"]] - places[lines["source"]]
    for _, rows in lines.groupby("relation"):
        steps = gain[rows.index]
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-6)


def _network(example: Told) -> Network:
    ions, edges, _ = _members(example, 1)
    units, unit_of = _units(ions, edges)
    lines = _unit_edges(edges, unit_of)
    return Network(
        np.array([unit.box for unit in units]),
        lines["source"].to_numpy(dtype=np.intp),
        lines["target"].to_numpy(dtype=np.intp),
        np.unique(lines["relation"], return_inverse=True)[1].astype(np.intp),
        np.zeros(len(units)),
    )


def _places(example: Told) -> np.ndarray:
    return lay_out(_network(example), 7.0, 6.0)


# -------------------------------------------------------------------- legibility


EXAMPLES = {
    "two": chain(2),
    "lipids": lipids(2),
    "many lipids": lipids(8),
    "short chain": chain(5),
    "chain of 25": chain(25),
    "isotopes alone": told(
        {700.0: ("monoisotopic", ""), 701.0034: ("13C of 700.0000", "")},
        [(700.0, 701.0034, "13C")],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_two_words_about_ions_overlap(name: str) -> None:
    figure = pl.relations(EXAMPLES[name], 1)
    numbers = [(text, box) for text, box in boxes_of_words(figure) if "." in text]
    for (one, box), (two, other) in combinations(numbers, 2):
        assert not box.padded(-0.5).overlaps(other.padded(-0.5)), (one, two)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("width", [4.0, 7.2])
def test_all_is_on_the_sheet(name: str, width: float) -> None:
    figure = pl.relations(EXAMPLES[name], 1, width=width)
    for text, box in boxes_of_words(figure):
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= figure.bbox.x1 + 0.5, text
        assert box.y1 <= figure.bbox.y1 + 0.5, text
    assert figure.get_figheight() < 11


@pytest.mark.parametrize("name", EXAMPLES)
def test_boxes_of_ions_keep_clear_of_each_other(name: str) -> None:
    network = _network(EXAMPLES[name])
    places = lay_out(network, 7.0, 6.0)
    for one, other in combinations(range(len(places)), 2):
        apart = np.abs(places[one] - places[other])
        assert (apart >= (network.boxes[one] + network.boxes[other]) / 2 - 1e-6).any()


@pytest.mark.parametrize("seed", range(4))
def test_tangled_networks_stay_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 20
    source = np.array([rng.integers(0, target) for target in range(1, n)] + [0, 1, 2, 3])
    target = np.array([*range(1, n), 9, 8, 7, 6])
    network = Network(
        np.full((n, 2), (0.6, 0.5)), source, target, rng.integers(0, 6, len(source)), np.zeros(n)
    )
    places = lay_out(network, 7.0, 6.0)
    gaps = [
        np.max(np.abs(places[one] - places[other]) / (0.6, 0.5))
        for one, other in combinations(range(n), 2)
    ]
    assert min(gaps) >= 1 - 1e-6
    np.testing.assert_array_equal(places, lay_out(network, 7.0, 6.0))


def test_a_line_over_another_ion_is_bowed() -> None:
    # Two steps of CH2 and one of C2H4 lie on one line of the lattice.
    a, b, c = (round(PC + index * CH2, 4) for index in range(3))
    ions = {a: ("reference", ""), b: ("+CH2", ""), c: ("+CH2", "")}
    figure = pl.relations(told(ions, [(a, b, "CH2"), (b, c, "CH2"), (a, c, "C2H4")]), 1)
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    paths = figure.axes[0].collections[0].get_segments()
    assert len(paths) == 3
    x, y = circles(figure)[1].center
    for path in paths:
        ends = np.hypot(*(path[[0, -1]] - (x, y)).T).min()
        nearest = np.hypot(*(path - (x, y)).T).min()
        assert ends < 1e-6 or nearest > 0.05
    assert "C2H4" in places


# -------------------------------------------------------------------- edges of the data


def test_pieces_that_no_relation_joins_are_all_drawn() -> None:
    a, b, c, d = 700.1, 714.11565, 800.2, 814.21565
    ions = dict.fromkeys((a, b, c, d), ("reference", ""))
    figure = pl.relations(told(ions, [(a, b, "CH2"), (c, d, "CH2")]), 1)
    assert words(figure).count("CH2") == 2
    assert len(circles(figure)) == 4


def test_a_family_without_edges_or_of_one_ion_is_drawn() -> None:
    lone = told({700.1: ("reference", "")}, [])
    assert "700.1000" in words(pl.relations(lone, 1))
    pair = told({700.1: ("reference", ""), 750.2: ("reference", "")}, [])
    assert {"700.1000", "750.2000"} <= set(words(pl.relations(pair, 1)))


def test_of_a_large_family_the_best_30_are_drawn_and_it_is_said() -> None:
    figure = pl.relations(chain(40, H2, "H2"), 1)
    assert len(circles(figure)) == 30
    assert "mean intensity in tumour (30 of 40 ions)" in words(figure)


def test_two_relations_between_the_same_ions_share_a_line() -> None:
    a, b = 700.1, 714.11565
    ions = dict.fromkeys((a, b), ("reference", ""))
    said = words(pl.relations(told(ions, [(a, b, "CH2"), (a, b, "N")]), 1))
    assert "CH2 / N" in said


def test_absent_intensities_and_scores_are_drawn_small() -> None:
    example = chain(3)
    example.families["intensity_tumour"] = np.nan
    example.families["score"] = 0.0
    figure = pl.relations(example, 1)
    figure.savefig(BytesIO(), format="png")
    assert len(circles(figure)) == 3


def test_names_of_isotopologues_are_read_from_their_roles() -> None:
    roles = ["13C of 760.5851", "[M+Na]+, 13C2 of 782.5670", "37Cl of 700.1000", "reference"]
    ions = pd.DataFrame({"role": roles})
    assert [_isotope(ions, row) for row in range(4)] == ["13C", "13C2", "37Cl", "isotope"]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="no family 3: the explanation has 1 to 1"):
        pl.relations(chain(3), 3)
    nothing = Told(chain(2).families.head(0), chain(2).family_edges.head(0))
    with pytest.raises(ValueError, match="no family 1: the explanation has none"):
        pl.relations(nothing, 1)


def test_the_same_family_gives_the_same_picture() -> None:
    files = []
    for _ in range(2):
        file = BytesIO()
        pl.relations(lipids(3), 1).savefig(file, format="svg", metadata={"Date": None})
        files.append(file.getvalue())
    assert files[0] == files[1]
