"""Reading of adducts and roles inside a family, on their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from massgraph.chem.relations import default_relations, parse_formula
from massgraph.explain.roles import (
    COMMON_ADDUCTS,
    RARE_ADDUCTS,
    describe,
    envelopes,
    read_adducts,
)

RELATIONS = default_relations("positive")


def make_links(*rows: tuple[int, int, str]) -> pd.DataFrame:
    """Links (source, target, name of the relation), each with the weight 1 in family 1."""
    codes = [RELATIONS.index(name) for _, _, name in rows]
    return pd.DataFrame(
        {
            "family": 1,
            "source": [row[0] for row in rows],
            "target": [row[1] for row in rows],
            "code": codes,
            "kind": [RELATIONS.kinds[code] for code in codes],
            "weight": 1.0,
        }
    )


def roles_of(
    mz: list[float], links: pd.DataFrame, score: list[float], molecule: list[int] | None = None
) -> list[str]:
    ions = pd.DataFrame(
        {
            "mz": mz,
            "score": score,
            "molecule": molecule or list(range(len(mz))),
            "family": 1,
        }
    )
    return list(describe(ions, links, RELATIONS, None).role)


# -------------------------------------------------------------------- adducts


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [
        ([(0, 1, "NaH-1")], ["[M+H]+", "[M+Na]+"]),
        ([(0, 1, "KH-1")], ["[M+H]+", "[M+K]+"]),
        ([(0, 1, "KNa-1")], ["[M+Na]+", "[M+K]+"]),
        ([(0, 1, "NaN-1H-4")], ["[M+NH4]+", "[M+Na]+"]),
        ([(0, 1, "NaH-1"), (0, 2, "KH-1"), (1, 2, "KNa-1")], ["[M+H]+", "[M+Na]+", "[M+K]+"]),
        ([(0, 1, "NaH-1"), (1, 2, "KNa-1")], ["[M+H]+", "[M+Na]+", "[M+K]+"]),
        ([(0, 1, "NaH-1"), (1, 2, "NaH-1")], ["[M+H]+", "[M+Na]+", "[M-H+2Na]+"]),
        (
            [(0, 1, "NaH-1"), (0, 2, "KH-1"), (1, 3, "KH-1"), (2, 3, "NaH-1")],
            ["[M+H]+", "[M+Na]+", "[M+K]+", "[M-H+Na+K]+"],
        ),
    ],
)
def test_positive(exchanges: list[tuple[int, int, str]], expected: list[str]) -> None:
    ions = list(range(len(expected)))
    read = read_adducts(ions, exchanges, "positive")
    assert [read[ion][0] for ion in ions] == expected
    backwards = read_adducts(ions[::-1], exchanges[::-1], "positive")
    assert backwards == read


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("HCl", ["[M-H]-", "[M+Cl]-"]),
        ("NaH-1", ["[M-H]-", "[M-2H+Na]-"]),
        ("KH-1", ["[M-H]-", "[M-2H+K]-"]),
    ],
)
def test_negative(formula: str, expected: list[str]) -> None:
    read = read_adducts([0, 1], [(0, 1, formula)], "negative")
    assert [read[0][0], read[1][0]] == expected


@pytest.mark.parametrize(
    ("n_ions", "exchanges"),
    [
        (1, []),  # nothing to read from: any adduct fits
        (2, [(0, 1, "")]),  # unknown formula
        (2, [(0, 1, "LiH-1")]),  # no such adduct
        (2, [(0, 1, "NaH-1"), (0, 1, "KH-1")]),  # two readings of one pair
        (3, [(0, 1, "NaH-1")]),  # the third ion is not reached
        (3, [(0, 1, "NaH-1"), (0, 2, "NaH-1")]),  # two ions of one adduct
        (3, [(0, 1, "NaH-1"), (1, 2, "KNa-1"), (0, 2, "NaH-1")]),  # a triangle that does not close
        (5, [(k, k + 1, "NaH-1") for k in range(4)]),  # four sodiums
    ],
)
def test_not_read(n_ions: int, exchanges: list[tuple[int, int, str]]) -> None:
    assert read_adducts(range(n_ions), exchanges, "positive") == {}


@pytest.mark.parametrize("polarity", ["positive", "negative"])
def test_tables_of_adducts(polarity: str) -> None:
    """Names say what the formulas say, and no two adducts are the same."""
    adducts = {**COMMON_ADDUCTS[polarity], **RARE_ADDUCTS[polarity]}
    assert len(set(adducts.values())) == len(adducts)
    for name, formula in adducts.items():
        charge = "+" if polarity == "positive" else "-"
        assert name.startswith("[M")
        assert name.endswith(f"]{charge}")
        terms = pd.Series([name[2:-2]]).str.extractall(r"([+-])(\d?)([A-Za-z]\w*)")
        counts: dict[str, int] = {}
        for sign, number, group in terms.to_numpy():
            for symbol, n in parse_formula(group).items():
                step = int(f"{sign}{number if isinstance(number, str) and number else 1}")
                counts[symbol] = counts.get(symbol, 0) + step * n
        assert counts == parse_formula(formula), name


# -------------------------------------------------------------------- isotopes and steps


def test_envelope_is_told_from_its_lightest_ion() -> None:
    links = make_links((0, 1, "13C"), (1, 2, "13C"), (0, 2, "13C2"), (2, 3, "13C"))
    found = envelopes(links, RELATIONS, 5)
    assert found.root.tolist() == [0, 0, 0, 0, 4]
    assert found.shift.tolist() == [0, 1, 2, 3, 0]
    assert found.parent.tolist() == [-1, 0, 0, 2, -1]
    assert [RELATIONS.names[code] for code in found.code[1:4]] == ["13C", "13C2", "13C"]


def test_roles_of_an_envelope() -> None:
    links = make_links((0, 1, "13C"), (0, 2, "13C2"))
    roles = roles_of([700.0, 701.00335, 702.00671], links, [0.2, 0.3, 0.1])
    assert roles == ["monoisotopic", "13C of 700.0000", "13C2 of 700.0000"]


def test_step_between_isotopologues_stands_for_their_molecules() -> None:
    """Of the second lipid only the isotopologues are linked to the first."""
    mz = [700.0, 701.00335, 728.0313, 729.03465]
    links = make_links((0, 1, "13C"), (2, 3, "13C"), (1, 3, "C2H4"))
    roles = roles_of(mz, links, [0.4, 0.1, 0.2, 0.1])
    assert roles == [
        "monoisotopic",
        "13C of 700.0000",
        "+C2H4 of 700.0000",
        "13C of 728.0313",
    ]


def test_strongest_of_the_nearest_steps_is_told() -> None:
    mz = [700.0, 702.01565, 714.01565, 716.0313]
    links = make_links((0, 1, "H2"), (0, 2, "CH2"), (1, 3, "CH2"), (2, 3, "H2"))
    links["weight"] = [0.3, 0.2, 0.1, 0.15]
    assert roles_of(mz, links, [0.4, 0.3, 0.2, 0.1])[3] == "+H2 of 714.0157"
    links["weight"] = [0.3, 0.2, 0.15, 0.1]
    assert roles_of(mz, links, [0.4, 0.3, 0.2, 0.1])[3] == "+CH2 of 702.0157"


def test_ion_that_two_envelopes_share() -> None:
    """Two ions so close that both may be the source of the third: each has a role."""
    links = make_links((0, 2, "13C"), (1, 2, "13C"))
    roles = roles_of([700.0, 700.001, 701.0037], links, [0.1, 0.2, 0.1])
    assert roles == ["monoisotopic", "monoisotopic", "13C of 700.0000"]


def test_ions_outside_families_have_no_role() -> None:
    ions = pd.DataFrame({"mz": [1.0, 2.0], "score": 1.0, "molecule": [0, 1], "family": 0})
    told = describe(ions, make_links(), RELATIONS, "positive")
    assert told.role.tolist() == told.adduct.tolist() == ["", ""]
    assert np.isnan(told.neutral_mass).all()
