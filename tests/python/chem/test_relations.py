"""Element masses, formulas and relations."""

from __future__ import annotations

import csv
import json

import molmass
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgraph.chem.relations import (
    ELECTRON_MASS,
    ELEMENT_MASSES,
    KINDS,
    Relations,
    default_relations,
    formula_mass,
    parse_formula,
    published_relations,
    relations_from_masses,
)

POLARITIES = ("positive", "negative", None)


def molmass_of(symbol: str) -> float:
    """Mass of one atom by molmass; a bare symbol is the most abundant isotope."""
    name = symbol.strip("[]").lstrip("0123456789")
    number = symbol.strip("[]")[: -len(name)]
    isotopes = molmass.ELEMENTS[name].isotopes
    if number:
        return isotopes[int(number)].mass
    return max(isotopes.values(), key=lambda isotope: isotope.abundance).mass


def molmass_difference(formula: str) -> float:
    """Mass of a formula with negative counts: what is gained less what is lost, each by molmass."""
    counts = parse_formula(formula)
    total = 0.0
    for sign in (1, -1):
        part = "".join(f"{symbol}{sign * n}" for symbol, n in counts.items() if sign * n > 0)
        total += sign * molmass.Formula(part).monoisotopic_mass if part else 0.0
    return total


def small(**changes: object) -> Relations:
    fields: dict[str, object] = {
        "names": ("a", "b"),
        "masses": np.array([1.5, 2.5]),
        "formulas": ("", ""),
        "kinds": ("user", "user"),
    }
    return Relations(**{**fields, **changes})  # type: ignore[arg-type]


class TestFormulas:
    @pytest.mark.parametrize(
        ("formula", "counts"),
        [
            ("C5H14NO4P", {"C": 5, "H": 14, "N": 1, "O": 4, "P": 1}),
            ("NaH-1", {"Na": 1, "H": -1}),
            ("Na1H-1", {"Na": 1, "H": -1}),
            ("[13C]C-1", {"[13C]": 1, "C": -1}),
            ("[13C]2C-2", {"[13C]": 2, "C": -2}),
            ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
            ("CO", {"C": 1, "O": 1}),
            (" H2O ", {"H": 2, "O": 1}),
            ("CH0", {"C": 1}),
            ("Cl", {"Cl": 1}),
        ],
    )
    def test_counts(self, formula, counts):
        assert parse_formula(formula) == counts

    @pytest.mark.parametrize(
        ("formula", "token"),
        [
            ("C6Xx2", "'Xx'"),
            ("c6", "'c6'"),
            ("C6(OH)2", "(OH)2"),
            ("[14C]", "[14C]"),
            ("[C]", "[C]"),
            ("CH-", "'-'"),
            ("H2O+", "'+'"),
            ("C 2", "' 2'"),
        ],
    )
    def test_bad_token_is_named(self, formula, token):
        with pytest.raises(ValueError, match="formula") as caught:
            parse_formula(formula)
        assert token in str(caught.value)
        assert repr(formula) in str(caught.value)

    @pytest.mark.parametrize("formula", ["", "  ", "C0H0"])
    def test_empty_formula(self, formula):
        if formula.strip():
            assert parse_formula(formula) == {}
        else:
            with pytest.raises(ValueError, match="empty"):
                parse_formula(formula)

    def test_known_masses(self):
        assert formula_mass("H2O") == pytest.approx(18.010565, abs=1e-6)
        assert formula_mass("C5H14NO4P") == pytest.approx(183.066044, abs=1e-6)
        # PC 34:1, [M+H]+ at m/z 760.5851
        ion = formula_mass("C42H82NO8P") + formula_mass("H") - ELECTRON_MASS
        assert ion == pytest.approx(760.5851, abs=1e-4)

    def test_elements_agree_with_molmass(self):
        for symbol, mass in ELEMENT_MASSES.items():
            assert mass == pytest.approx(molmass_of(symbol), abs=1e-6), symbol
        assert pytest.approx(molmass.ELECTRON.mass, abs=1e-9) == ELECTRON_MASS

    @given(
        st.dictionaries(
            st.sampled_from(sorted(ELEMENT_MASSES)),
            st.integers(-50, 50).filter(bool),
            min_size=1,
            max_size=6,
        )
    )
    def test_written_and_read_again(self, counts):
        formula = "".join(f"{symbol}{n}" for symbol, n in counts.items())
        assert parse_formula(formula) == counts
        expected = sum(molmass_of(symbol) * n for symbol, n in counts.items())
        assert formula_mass(formula) == pytest.approx(expected, abs=1e-6)


class TestDefaultRelations:
    @pytest.mark.parametrize("polarity", POLARITIES)
    def test_masses_regenerated_by_molmass(self, polarity):
        relations = default_relations(polarity)
        assert 20 <= len(relations) <= 35
        for name, mass, formula in zip(
            relations.names, relations.masses, relations.formulas, strict=True
        ):
            assert mass == pytest.approx(molmass_difference(formula), abs=1e-6), name

    @pytest.mark.parametrize("polarity", POLARITIES)
    def test_distinct(self, polarity):
        relations = default_relations(polarity)
        assert len(set(relations.names)) == len(relations)
        assert np.diff(np.sort(relations.masses)).min() > 1e-3

    @pytest.mark.parametrize(
        ("polarity", "name", "mass"),
        [
            (None, "13C", 1.003355),
            (None, "Na-H", 21.981944),
            ("positive", "K-H", 37.955882),
            ("positive", "K-Na", 15.973938),
            ("positive", "NH3", 17.026549),
            ("positive", "C3H9N", 59.073499),
            ("negative", "HCl", 35.976678),
            ("negative", "HCOOH", 46.005479),
            ("negative", "CH3COOH", 60.021130),
        ],
    )
    def test_literature_values(self, polarity, name, mass):
        relations = default_relations(polarity)
        assert relations.masses[relations.index(name)] == pytest.approx(mass, abs=1.5e-6)

    def test_polarity_rules(self):
        positive, negative = default_relations("positive"), default_relations("negative")
        both = default_relations(None)
        assert set(both) == set(positive) & set(negative)
        assert not any("K" in parse_formula(formula) for formula in negative.formulas)
        assert not any("Cl" in parse_formula(formula) for formula in positive.formulas)
        assert default_relations() == both

    def test_same_name_same_mass_in_both(self):
        positive, negative = default_relations("positive"), default_relations("negative")
        for name in default_relations(None):
            assert positive.select([name]) == negative.select([name])

    def test_unknown_polarity(self):
        with pytest.raises(ValueError, match=r"'pos'.*positive"):
            default_relations("pos")

    @pytest.mark.data
    def test_adduct_exchanges_follow_a_published_adduct_list(self, shared_data):
        path = shared_data / "mass_differences" / "matchms_known_adducts.csv"
        with path.open(encoding="utf-8-sig") as file:
            shift = {row["adduct"]: float(row["correction_mass"]) for row in csv.DictReader(file)}
        for polarity, name, heavy, light in [
            ("positive", "Na-H", "[M+Na]+", "[M+H]+"),
            ("positive", "K-H", "[M+K]+", "[M+H]+"),
            ("positive", "K-Na", "[M+K]+", "[M+Na]+"),
            ("positive", "NH3", "[M+NH4]+", "[M+H]+"),
            ("positive", "H2O", "[M+H]+", "[M-H2O+H]+"),
            ("negative", "Na-H", "[M+Na-2H]-", "[M-H]-"),
            ("negative", "HCl", "[M+Cl]-", "[M-H]-"),
            ("negative", "HCOOH", "[M+FA-H]-", "[M-H]-"),
            ("negative", "CH3COOH", "[M+Hac-H]-", "[M-H]-"),
        ]:
            relations = default_relations(polarity)
            mass = relations.masses[relations.index(name)]
            # the list is rounded to 1e-6 and wanders by an electron mass in places
            assert mass == pytest.approx(shift[heavy] - shift[light], abs=3e-6), name

    @pytest.mark.data
    def test_masses_are_in_a_published_list_of_differences(self, shared_data):
        path = shared_data / "mass_differences" / "mass2chem_mzdiff_in_source.json"
        lists = json.loads(path.read_text())
        known = np.array([row[2] for rows in lists.values() for row in rows if row[2]], dtype=float)
        relations = default_relations(None).select(["13C", "CH2", "H2", "C2H4", "CO2", "O", "H2O"])
        for name, mass in zip(relations.names, relations.masses, strict=True):
            assert np.nanmin(np.abs(known - mass)) < 1e-4, name


class TestPublishedRelations:
    def test_the_thirteen_in_order(self):
        relations = published_relations()
        assert relations.masses.tolist() == [
            15.97394,
            21.98194,
            37.95588,
            1.0033,
            2.0067,
            2.0043,
            14.01565,
            28.0313,
            56.0626,
            2.01565,
            15.99491,
            13.97926,
            189.04259,
        ]
        assert relations.names[:4] == ("K-Na", "Na-H", "K-H", "13C")

    def test_formulas_give_the_masses_as_rounded(self):
        relations = published_relations()
        exact = [formula_mass(formula) for formula in relations.formulas]
        np.testing.assert_allclose(relations.masses, exact, atol=6e-5)


class TestRelations:
    def test_user_masses(self):
        relations = relations_from_masses({"b": 2, "CH2": 14.01565006})
        assert relations.names == ("b", "CH2")
        assert relations.masses.tolist() == [2.0, 14.01565006]
        assert set(relations.kinds) == {"user"}
        assert relations.formulas == ("", "")

    @pytest.mark.parametrize(
        ("masses", "message"),
        [
            ({}, "no relation"),
            ({"a": "heavy"}, "'a'.*'heavy' is not a number"),
            ({"a": None}, "'a'.*None is not a number"),
            ({"a": float("nan")}, "'a'.*nan"),
            ({"a": float("inf")}, "'a'.*inf"),
            ({"a": 0.0}, "'a'.*0.0"),
            ({"a": -1.0}, "'a'.*-1.0"),
            ({"": 1.0}, "name is empty"),
            ({"1": 1.0, 1: 2.0}, "twice"),
        ],
    )
    def test_bad_user_masses(self, masses, message):
        with pytest.raises(ValueError, match=message):
            relations_from_masses(masses)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"names": ("a", "a")}, r"relation 1.*'a'"),
            ({"names": ("a", " ")}, r"relation 1.*empty"),
            ({"masses": np.array([1.0])}, r"masses have shape \(1,\).*2 names"),
            ({"masses": np.array([[1.0, 2.0]])}, "masses have shape"),
            ({"formulas": ("",)}, "formulas"),
            ({"kinds": ("user",)}, "kinds"),
            ({"kinds": ("user", "odd")}, r"'b'.*'odd'.*isotope"),
        ],
    )
    def test_bad_tables(self, changes, message):
        with pytest.raises(ValueError, match=message):
            small(**changes)

    def test_looking(self):
        relations = default_relations("positive")
        assert list(relations) == list(relations.names)
        assert len(relations) == len(relations.masses)
        assert relations.index("13C") == 0
        assert repr(relations).startswith(f"Relations({len(relations)}: 13C, ")
        assert repr(small()) == "Relations(2: a, b; 1.5000-2.5000 Da)"
        assert set(relations.kinds) <= set(KINDS)

    def test_select_keeps_the_order_asked_for(self):
        relations = default_relations("positive").select(["CH2", "13C"])
        assert relations.names == ("CH2", "13C")
        np.testing.assert_array_equal(
            relations.masses, [formula_mass("CH2"), formula_mass("[13C]C-1")]
        )
        assert relations.kinds == ("homologous", "isotope")
        assert relations.select("13C").names == ("13C",)

    def test_select_unknown_lists_the_known(self):
        with pytest.raises(ValueError, match="'CH3'; known: a, b"):
            small().select(["a", "CH3"])
        with pytest.raises(ValueError, match="no relation"):
            small().select([])
        with pytest.raises(ValueError, match="twice"):
            small().select(["a", "a"])

    def test_frame(self):
        frame = default_relations("negative").to_frame()
        assert list(frame.columns) == ["name", "formula", "kind", "mass"]
        frame.loc[0, "mass"] = 0.0  # a copy: the relations stay as they are
        assert default_relations("negative").masses[0] > 1

    def test_masses_are_locked_and_copied(self):
        masses = np.array([1.5, 2.5])
        relations = small(masses=masses)
        masses[0] = 7.0
        assert relations.masses[0] == 1.5
        with pytest.raises(ValueError, match="read-only"):
            relations.masses[0] = 7.0

    def test_equality_is_by_content(self):
        assert small() == small()
        assert hash(small()) == hash(small())
        assert small() != small(masses=np.array([1.5, 2.5000000001]))
        assert small() != small(kinds=("user", "loss"))
        assert small() != "a"

    @given(
        st.lists(st.floats(min_value=1e-6, max_value=1e4, allow_nan=False), min_size=1, max_size=8)
    )
    def test_json_keeps_every_bit(self, masses):
        relations = relations_from_masses({f"m{i}": mass for i, mass in enumerate(masses)})
        back = Relations.from_dict(json.loads(json.dumps(relations.to_dict())))
        assert back == relations
        assert back.masses.tobytes() == relations.masses.tobytes()

    def test_from_dict_names_missing_fields(self):
        table = small().to_dict()
        del table["kinds"]
        with pytest.raises(ValueError, match="kinds"):
            Relations.from_dict(table)


def test_relations_within_one_molecule() -> None:
    """Of isotopes, adducts and small losses; models of massgraph 0.1.0 add these up."""
    relations = default_relations("positive")
    chosen = {
        name for name, is_one in zip(relations, relations.of_one_molecule, strict=True) if is_one
    }
    assert {"13C", "18O", "Na-H", "K-H", "K-Na", "H2O", "NH3"} <= chosen
    assert not chosen & {"CH2", "H2", "C2H4", "CO2", "C16H30O", "H3PO4"}
