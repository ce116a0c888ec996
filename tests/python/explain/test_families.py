"""Ion families: which ions are put together, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from family_builder import FAMILY_COLUMNS, NEGATIVE, POSITIVE, families_of, pair_up
from massgraph.chem.relations import (
    ELECTRON_MASS,
    formula_mass,
    published_relations,
    relations_from_masses,
)
from massgraph.explain.families import find_families

EDGE_COLUMNS = [
    "family",
    "source_mz",
    "target_mz",
    "source",
    "target",
    "relation",
    "frequency",
    "weight",
]
PC_34_1 = formula_mass("C42H82NO8P")
PC_36_1 = formula_mass("C44H86NO8P")
C13 = 1.0033548378


def cation(mass: float, adduct: str) -> float:
    return mass + formula_mass(adduct) - ELECTRON_MASS


def anion(mass: float, adduct: str) -> float:
    return mass + formula_mass(adduct) + ELECTRON_MASS


# -------------------------------------------------------------------- a biologist's example


@pytest.fixture
def lipids() -> tuple[pd.DataFrame, pd.DataFrame]:
    """PC 34:1 with three adducts and isotopes, PC 36:1 with one, and something unrelated."""
    h, na, k = (cation(PC_34_1, adduct) for adduct in ("H", "Na", "K"))
    mz = [h, h + C13, na, na + C13, k, cation(PC_36_1, "H"), 900.1234]
    return families_of(mz, score=[0.3, 0.1, 0.2, 0.08, 0.12, 0.15, 0.05], classes=["tumour"])


def test_lipids_make_one_family(lipids: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    families, edges = lipids
    assert list(families.columns) == FAMILY_COLUMNS
    assert list(edges.columns) == EDGE_COLUMNS
    assert families.index.name == "ion"
    assert families["family"].tolist() == [1] * 6
    assert families.index.tolist() == [0, 2, 5, 4, 1, 3]
    assert families["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert families["class"].tolist() == ["tumour"] * 6
    assert families["family_score"].to_numpy() == pytest.approx([0.95] * 6)


def test_lipids_roles(lipids: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    families, _ = lipids
    assert families["role"].to_dict() == {
        0: "[M+H]+",
        1: "13C of 760.5851",
        2: "[M+Na]+",
        3: "13C of 782.5670",
        4: "[M+K]+",
        5: "+C2H4 of 760.5851",
    }
    assert families["adduct"].to_dict() == {
        0: "[M+H]+",
        1: "[M+H]+",
        2: "[M+Na]+",
        3: "[M+Na]+",
        4: "[M+K]+",
        5: "",
    }


def test_lipids_neutral_mass(lipids: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    families, _ = lipids
    mass = families["neutral_mass"].sort_index().to_numpy()
    assert mass[:5] == pytest.approx([PC_34_1] * 5, abs=1e-9)
    assert np.isnan(mass[5])
    assert pytest.approx(759.5778, abs=1e-4) == PC_34_1


def test_lipids_edges(lipids: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, edges = lipids
    named = edges.set_index(["source", "target"])
    assert named["relation"].to_dict() == {
        (0, 2): "Na-H",
        (0, 5): "C2H4",
        (2, 4): "K-Na",
        (0, 4): "K-H",
        (0, 1): "13C",
        (2, 3): "13C",
        (1, 3): "Na-H",
    }
    assert named.loc[(0, 2), "weight"] == pytest.approx(0.2)
    assert edges["weight"].is_monotonic_decreasing
    assert (edges["source_mz"] < edges["target_mz"]).all()


def test_published_masses_by_hand() -> None:
    """m/z as everybody knows them: PC 34:1 at 760.5851, 782.5670 and 798.5410."""
    families, _ = families_of([760.5851, 782.5670, 798.5410])
    assert families["role"].tolist() == ["[M+H]+", "[M+Na]+", "[M+K]+"]
    assert families["neutral_mass"].to_numpy() == pytest.approx([759.5778] * 3, abs=2e-4)


def test_both_molecules_read_and_the_step_between_them() -> None:
    mz = [cation(mass, adduct) for mass in (PC_34_1, PC_36_1) for adduct in ("H", "Na")]
    families, _ = families_of(mz, score=[0.4, 0.3, 0.2, 0.1])
    assert families["role"].tolist() == [
        "[M+H]+",
        "[M+Na]+",
        "[M+H]+, +C2H4 of 760.5851",
        "[M+Na]+, +C2H4 of 782.5670",
    ]
    expected = [PC_34_1, PC_34_1, PC_36_1, PC_36_1]
    assert families["neutral_mass"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_negative_mode() -> None:
    mass = formula_mass("C42H80NO8P")
    mz = [anion(mass, "H-1"), anion(mass, "Cl"), anion(mass, "H-1") + C13]
    families, edges = families_of(mz, NEGATIVE, "negative", score=[0.5, 0.3, 0.2])
    assert families["role"].tolist() == ["[M-H]-", "[M+Cl]-", f"13C of {mz[0]:.4f}"]
    assert families["neutral_mass"].to_numpy() == pytest.approx([mass] * 3, abs=1e-9)
    assert set(edges["relation"]) == {"HCl", "13C"}


def test_loss_is_told_from_the_reference() -> None:
    water = formula_mass("H2O")
    families, _ = families_of([700.0 - water, 700.0, 700.0 + water], score=[0.3, 0.4, 0.3])
    assert families["role"].to_dict() == {
        0: "-H2O of 700.0000",
        1: "reference",
        2: "+H2O of 700.0000",
    }


# -------------------------------------------------------------------- readings that must not be


def test_series_alone_is_not_read() -> None:
    ch2 = formula_mass("CH2")
    families, _ = families_of([700.5, 700.5 + ch2, 700.5 + 2 * ch2], score=[0.5, 0.3, 0.2])
    assert families["neutral_mass"].isna().all()
    assert (families["adduct"] == "").all()
    assert families["role"].tolist() == ["reference", "+CH2 of 700.5000", "+C2H4 of 700.5000"]


def test_unknown_polarity_is_not_read() -> None:
    families, _ = families_of([760.5851, 782.5670], polarity=None, score=[0.6, 0.4])
    assert families["neutral_mass"].isna().all()
    assert families["role"].tolist() == ["reference", "+(Na-H) of 760.5851"]


def test_contradicting_adducts_are_not_read() -> None:
    """One ion at +Na-H and one at +K-H of it: no ion has both readings."""
    na, k = formula_mass("NaH-1"), formula_mass("KH-1")
    mz = [700.0, 700.0 + na, 700.0 + na + na, 700.0 + na + na + na]
    assert (families_of(mz)[0]["adduct"] == "").all()
    mz = [700.0, 700.0 + na, 700.0 + na + k, 700.0 + na + k + k]
    assert (families_of(mz)[0]["adduct"] == "").all()


def test_two_ions_of_one_reading_are_not_read() -> None:
    families, _ = families_of([760.5851, 782.5670, 782.5675])
    assert (families["adduct"] == "").all()


def test_rare_adducts_where_common_ones_do_not_explain() -> None:
    na = formula_mass("NaH-1")
    families, _ = families_of([700.0, 700.0 + na, 700.0 + 2 * na], score=[0.5, 0.3, 0.2])
    assert families["adduct"].tolist() == ["[M+H]+", "[M+Na]+", "[M-H+2Na]+"]
    assert families["neutral_mass"].nunique() == 1 or np.ptp(families["neutral_mass"]) < 1e-9


def test_organic_adducts_are_steps_not_readings() -> None:
    """HCOOH is formate's, but PE and PS differ by it too."""
    families, edges = families_of(
        [478.2939, 478.2939 + formula_mass("CH2O2")], NEGATIVE, "negative", score=[0.6, 0.4]
    )
    assert edges["relation"].tolist() == ["HCOOH"]
    assert families["neutral_mass"].isna().all()
    assert families["role"].tolist() == ["reference", "+HCOOH of 478.2939"]


def test_chain_change_is_not_taken_for_sodium() -> None:
    """PC 34:1 and PC 36:4, both with K: C2H-2 is 2.4 mDa from Na-H, within 5 ppm."""
    mz = [cation(PC_34_1, "K"), cation(formula_mass("C44H80NO8P"), "K")]
    edges = pair_up(mz, POSITIVE, ppm=5.0)
    assert [POSITIVE.names[code] for code in edges["relation"]] == ["Na-H"]
    families, _ = families_of(mz, edges=edges)
    assert len(families) == 0


def test_chain_change_and_potassium_are_not_taken_for_both() -> None:
    """PE 38:4 with H and PE 36:1 with K: all but K-Na."""
    mz = [cation(formula_mass("C43H78NO8P"), "H"), cation(formula_mass("C41H80NO8P"), "K")]
    edges = pair_up(mz, POSITIVE, ppm=5.0)
    assert [POSITIVE.names[code] for code in edges["relation"]] == ["K-Na"]
    assert len(families_of(mz, edges=edges)[0]) == 0


# -------------------------------------------------------------------- links that count


def test_impossible_isotope_is_left_out() -> None:
    """At m/z 760 there are at most 63 carbons: a first isotopologue of 69 %."""
    mz = [760.5851, 760.5851 + C13]
    for ratio, n in ((0.45, 2), (0.68, 2), (0.69, 0), (3.0, 0), (np.nan, 2)):
        edges = pair_up(mz, POSITIVE, intensity_ratio=ratio)
        assert len(families_of(mz, edges=edges)[0]) == n, ratio


def test_impossible_second_isotope_is_left_out() -> None:
    """(760.6 / 12 x 1.0816 %)^2 / 2 = 23.5 %."""
    mz = [760.5851, 760.5851 + 2 * C13]
    for ratio, n in ((0.23, 2), (0.24, 0)):
        edges = pair_up(mz, POSITIVE, intensity_ratio=ratio)
        assert len(families_of(mz, edges=edges)[0]) == n, ratio


def test_chlorine_without_its_isotope_is_left_out() -> None:
    """One chlorine makes 32 %; with some room for noise 22 %."""
    gap = formula_mass("[37Cl]Cl-1")
    for ratio, n in ((0.22, 0), (0.23, 2), (0.64, 2), (np.nan, 2)):
        edges = pair_up([760.5, 760.5 + gap], NEGATIVE, ppm=1.0, drawn_ratio=ratio)
        families, _ = families_of([760.5, 760.5 + gap], NEGATIVE, "negative", edges=edges)
        assert len(families) == n, ratio


def test_intensity_does_not_matter_for_other_relations() -> None:
    mz = [760.5851, 782.5670]
    assert len(families_of(mz, edges=pair_up(mz, POSITIVE, intensity_ratio=50.0))[0]) == 2


def test_rare_links_are_left_out() -> None:
    mz = [760.5851, 782.5670]
    for frequency, n in ((0.49, 0), (0.5, 2)):
        edges = pair_up(mz, POSITIVE, frequency=frequency)
        assert len(families_of(mz, edges=edges)[0]) == n


def test_weight_is_the_smaller_score_times_frequency() -> None:
    mz = [760.5851, 782.5670]
    _, edges = families_of(mz, edges=pair_up(mz, POSITIVE, frequency=0.8), score=[0.7, 0.3])
    assert edges["weight"].tolist() == pytest.approx([0.24])


def test_largest_error() -> None:
    mz = [760.5851, 760.5851 + formula_mass("CH2") + 0.002]  # 2.6 ppm off
    edges = pair_up(mz, POSITIVE, ppm=5.0)
    assert len(families_of(mz, edges=edges)[0]) == 2
    assert len(families_of(mz, edges=edges, max_error_ppm=3.0)[0]) == 2
    assert len(families_of(mz, edges=edges, max_error_ppm=2.5)[0]) == 0


def test_of_two_relations_the_nearer_one_is_taken() -> None:
    mz = [760.5851, 760.5851 + 2 * C13]
    edges = pair_up(mz, POSITIVE, ppm=10.0)
    assert {POSITIVE.names[code] for code in edges["relation"]} >= {"13C2", "18O"}
    _, links = families_of(mz, edges=edges)
    assert links["relation"].tolist() == ["13C2"]


def test_isotopologues_are_linked_to_their_like_only() -> None:
    """The isotopologue of one lipid and the monoisotopic ion of the next are not a step apart."""
    step = relations_from_masses({"X": formula_mass("CH2") - C13, "13C": C13})
    mz = [700.0, 700.0 + C13, 700.0 + formula_mass("CH2")]
    families, edges = families_of(mz, step)
    assert edges["relation"].tolist() == ["13C"]
    assert families.index.tolist() == [0, 1]


def test_coverage_takes_the_fewest_ions() -> None:
    ch2 = formula_mass("CH2")
    mz = 700.0 + ch2 * np.arange(5)
    score = [0.4, 0.3, 0.2, 0.07, 0.03]
    for coverage, n in ((0.7, 2), (0.71, 3), (0.9, 3), (1.0, 5)):
        assert len(families_of(mz, score=score, coverage=coverage)[0]) == n, coverage


def test_families_are_of_one_direction() -> None:
    """Two ions speak for the class by being there, two others by being absent."""
    mz = [760.5851, 782.5670, 786.6007, 808.5827]
    ways = ["more", "more", "less", "less"]
    families, edges = families_of(mz, score=[0.4, 0.3, 0.2, 0.1], direction=ways)
    assert families["direction"].tolist() == ways
    assert families["family"].tolist() == [1, 1, 2, 2]
    assert len(edges) == 2
    together, _ = families_of(mz, score=[0.4, 0.3, 0.2, 0.1])
    assert together["family"].nunique() == 1
    assert set(together["direction"]) == {"more"}


@pytest.mark.parametrize("direction", [["more"], ["more", "up"], ["more", None]])
def test_directions_are_more_or_less(direction: Any) -> None:
    with pytest.raises(ValueError, match=r"direction must hold one of \('more', 'less'\) for each"):
        families_of([760.5851, 782.5670], direction=direction)


def test_coverage_is_by_class() -> None:
    """A class with small scores keeps its own."""
    ch2 = formula_mass("CH2")
    mz = np.concatenate([700.0 + ch2 * np.arange(2), 800.01 + ch2 * np.arange(2)])
    families, _ = families_of(mz, score=[0.5, 0.4, 0.01, 0.01], ion_class=[0, 0, 1, 1])
    assert families.groupby("family")["class"].unique().map(list).to_dict() == {1: [0], 2: [1]}


def test_ions_of_other_or_no_class_are_not_joined() -> None:
    mz = 700.0 + formula_mass("CH2") * np.arange(3)
    assert len(families_of(mz, ion_class=[0, 1, 0], edges=pair_up(mz[:2], POSITIVE))[0]) == 0
    assert len(families_of(mz, ion_class=[-1, -1, -1])[0]) == 0
    families, _ = families_of(mz, ion_class=[-1, 0, 0], classes=["a"])
    assert families.index.tolist() == [1, 2]


def test_ions_without_score_are_not_joined() -> None:
    assert len(families_of([760.5851, 782.5670], score=[1.0, 0.0])[0]) == 0


# -------------------------------------------------------------------- size and order


def test_giant_chain_is_cut() -> None:
    mz = 400.0 + formula_mass("CH2") * np.arange(100)
    families, edges = families_of(mz, relations_from_masses({"CH2": formula_mass("CH2")}))
    sizes = families.groupby("family").size()
    assert sizes.tolist() == [30, 30, 30, 10]
    assert len(edges) == 96
    families, _ = families_of(mz, max_ions=2)
    assert set(families.groupby("family").size()) == {2}


def test_chain_is_cut_at_its_weakest_link() -> None:
    mz = 400.0 + formula_mass("CH2") * np.arange(6)
    relations = relations_from_masses({"CH2": formula_mass("CH2")})
    score = [0.2, 0.25, 0.15, 0.02, 0.18, 0.2]
    families, _ = families_of(mz, relations, score=score, max_ions=4)
    groups = [set(group) for group in families.groupby("family").groups.values()]
    assert groups == [{0, 1, 2, 3}, {4, 5}]


def test_a_molecule_is_never_cut() -> None:
    h, na, k = (cation(PC_34_1, adduct) for adduct in ("H", "Na", "K"))
    mz = [h, h + C13, na, na + C13, k, k + C13, cation(PC_36_1, "H")]
    families, _ = families_of(mz, max_ions=3)
    assert families.index.sort_values().tolist() == [0, 1, 2, 3, 4, 5]


def test_parallel_links_are_stronger_than_one() -> None:
    """With room for one more, the neighbour that is linked through two adducts is taken."""
    ch2, c2h4 = formula_mass("CH2"), formula_mass("C2H4")
    h, na = cation(PC_34_1, "H"), cation(PC_34_1, "Na")
    mz = [h, na, h + c2h4, na + c2h4, h - ch2]
    families, _ = families_of(mz, score=[0.3, 0.2, 0.15, 0.14, 0.21], max_ions=4)
    assert families.index.sort_values().tolist() == [0, 1, 2, 3]


def test_families_are_ranked_by_score_then_by_mz() -> None:
    ch2 = formula_mass("CH2")
    starts = [800.03, 400.0, 600.01]
    mz = np.concatenate([[start, start + ch2] for start in starts])
    families, _ = families_of(mz, score=[0.1] * 4 + [0.3, 0.2])
    assert families.index.tolist() == [4, 5, 2, 3, 0, 1]
    assert families["family"].tolist() == [1, 1, 2, 2, 3, 3]
    assert families["rank"].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_no_edges(n: int) -> None:
    nothing = pair_up([], POSITIVE)
    families, edges = families_of(400.0 + 100.1 * np.arange(n), edges=nothing)
    assert list(families.columns) == FAMILY_COLUMNS
    assert list(edges.columns) == EDGE_COLUMNS
    assert len(families) == len(edges) == 0
    assert families["family"].dtype == edges["source"].dtype == np.int64


def random_ions(seed: int) -> dict[str, Any]:
    """Lipid-like ions with real and chance relations, of two classes and none."""
    rng = np.random.default_rng(seed)
    base = 700.0 + rng.random(4)
    steps = rng.integers(0, 4, size=(30, 3)) * [formula_mass("CH2"), formula_mass("H2"), C13]
    extra = rng.choice([0.0, formula_mass("NaH-1"), formula_mass("KH-1")], size=30)
    mz = np.unique((rng.choice(base, 30) + steps.sum(axis=1) + extra).round(9))
    edges = pair_up(mz, POSITIVE, ppm=4.0)
    edges["frequency"] = rng.random(len(edges))
    edges["intensity_ratio"] = rng.lognormal(-1.0, 1.0, len(edges))
    return {
        "mz": mz,
        "ion_class": rng.integers(-1, 2, mz.size),
        "score": rng.integers(0, 4, mz.size) / 10.0,
        "edges": edges,
        "relations": POSITIVE,
    }


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), coverage=st.floats(0.1, 1.0), max_ions=st.integers(2, 20))
def test_invariants(seed: int, coverage: float, max_ions: int) -> None:
    ions = random_ions(seed)
    families, edges = find_families(
        **ions, polarity="positive", coverage=coverage, max_ions=max_ions
    )
    assert families.index.is_unique
    assert (families.groupby("family")["class"].nunique() == 1).all()
    assert (families["class"] >= 0).all()
    numbers = families["family"].unique().tolist()
    assert numbers == list(range(1, len(numbers) + 1))
    scores = families.groupby("family")["score"].agg(["sum", "size"])
    assert scores["sum"].round(9).is_monotonic_decreasing
    assert (scores["size"] >= 2).all()
    assert (families["role"] != "").all()
    assert ((families["adduct"] == "") == families["neutral_mass"].isna()).all()
    assert (edges["weight"] > 0).all()
    family = families["family"]
    assert (family.loc[edges["source"]].to_numpy() == edges["family"].to_numpy()).all()
    assert (family.loc[edges["target"]].to_numpy() == edges["family"].to_numpy()).all()
    for number, group in families.groupby("family"):
        inside = edges[edges["family"] == number]
        place = pd.Series(range(len(group)), index=group.index)
        ends = place[inside["source"]].to_numpy(), place[inside["target"]].to_numpy()
        links = coo_matrix((np.ones(len(inside)), ends), shape=(len(group),) * 2)
        assert connected_components(links, directed=False)[0] == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_ions_and_edges_does_not_matter(seed: int) -> None:
    ions = random_ions(seed)
    families, edges = find_families(**ions, polarity="positive")
    rng = np.random.default_rng(seed)
    order = rng.permutation(ions["mz"].size)
    place = np.argsort(order)
    shuffled = ions["edges"].sample(frac=1.0, random_state=seed)
    shuffled = shuffled.assign(source=place[shuffled["source"]], target=place[shuffled["target"]])
    moved = {name: ions[name][order] for name in ("mz", "ion_class", "score")}
    again, again_edges = find_families(
        **moved, edges=shuffled, relations=POSITIVE, polarity="positive"
    )
    assert order[again.index].tolist() == families.index.tolist()
    pd.testing.assert_frame_equal(again.reset_index(drop=True), families.reset_index(drop=True))
    again_edges["source"] = order[again_edges["source"]]
    again_edges["target"] = order[again_edges["target"]]
    pd.testing.assert_frame_equal(again_edges, edges)


def test_input_is_left_alone() -> None:
    ions = random_ions(3)
    before = {name: value.copy() for name, value in ions.items() if name != "relations"}
    find_families(**ions, polarity="positive")
    for name, value in before.items():
        assert np.array_equal(np.asarray(ions[name]), np.asarray(value), equal_nan=False), name


# -------------------------------------------------------------------- relations of one's own


def test_relations_without_formula_are_recognised_by_mass() -> None:
    relations = relations_from_masses({"salt": 21.9819, "heavy": 1.0034, "mine": 50.1})
    h, na = cation(PC_34_1, "H"), cation(PC_34_1, "Na")
    mz = [h, h + C13, na, na + 50.1]
    edges = pair_up(mz, relations, ppm=3.0)
    families, _ = families_of(mz, relations, edges=edges, score=[0.4, 0.2, 0.3, 0.1])
    assert families["role"].to_dict() == {
        0: "[M+H]+",
        1: "heavy of 760.5851",
        2: "[M+Na]+",
        3: f"+mine of {na:.4f}",
    }


def test_published_relations() -> None:
    h, na = cation(PC_34_1, "H"), cation(PC_34_1, "Na")
    families, _ = families_of([h, h + C13, na], published_relations(), score=[0.5, 0.2, 0.3])
    assert families["role"].tolist() == ["[M+H]+", "[M+Na]+", "13C of 760.5851"]
