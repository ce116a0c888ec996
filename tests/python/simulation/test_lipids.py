"""Lipids of the simulation: formulas, masses and isotopes against an independent library."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from massgraph.chem.relations import (
    ELECTRON_MASS,
    ELEMENT_MASSES,
    default_relations,
    formula_mass,
    parse_formula,
)
from massgraph.simulation.lipids import (
    _ADDUCTS,
    _CLASSES,
    _FAMILIES,
    _HEAVY,
    _ISOTOPES,
    BACKGROUND_GROUPS,
    DETECTION_LIMIT,
    RESOLVING_POWER,
    IonLibrary,
    build_library,
    family_count,
    lipid_formula,
    organic_masses,
)

molmass = pytest.importorskip("molmass", reason="the independent source of masses")

POLARITIES = ("positive", "negative")
HEAVY_ATOMS = {
    "": ("", 0, 0),
    "13C": ("C", 13, 1),
    "13C2": ("C", 13, 2),
    "34S": ("S", 34, 1),
    "37Cl": ("Cl", 37, 1),
    "41K": ("K", 41, 1),
}


def build(
    polarity: str = "positive",
    *,
    families: int | None = None,
    species: int = 99,
    background: int = 5,
    seed: int = 0,
) -> IonLibrary:
    """All families of a polarity unless told otherwise."""
    families = families or family_count(polarity)
    return build_library(np.random.default_rng(seed), polarity, families, species, background)


@pytest.fixture(scope="module", params=POLARITIES)
def library(request: pytest.FixtureRequest) -> IonLibrary:
    return build(request.param)


def polarity_of(library: IonLibrary) -> str:
    return "positive" if library.table["adduct"].iloc[0].endswith("+") else "negative"


def lipid_ions(library: IonLibrary) -> pd.DataFrame:
    """The table with the level, source and expected intensity of each ion.

    Not by m/z: PA as [M-H]- and PS without its serine are the same ion.
    """
    n_families = len(library.logits) - len(BACKGROUND_GROUPS)
    lipid = library.channel // library.logits.shape[1] < n_families
    expected = library.level * np.exp(library.logits).ravel()[library.channel]
    return library.table.assign(
        level=library.level[lipid], source=library.source[lipid], expected=expected[lipid]
    )


def atoms_of_ion(row: Any, polarity: str) -> Counter[str]:
    """Atoms of an ion, from the formula of its molecule and the text of its adduct.

    The text is read here in its own way: "[M+Na-C3H9N]+" is a gain of Na and a loss of C3H9N.
    """
    atoms = Counter(parse_formula(row.formula))
    body = re.fullmatch(r"\[M(.*)\]([+-])", row.adduct)
    assert body is not None
    assert body.group(2) == ("+" if polarity == "positive" else "-")
    for sign, count, what in re.findall(r"([+-])(\d*)([A-Z][A-Za-z0-9]*)", body.group(1)):
        for symbol, n in parse_formula(what).items():
            atoms[symbol] += (1 if sign == "+" else -1) * int(count or 1) * n
    return atoms


# ------------------------------------------------------------------------ formulas


@pytest.mark.parametrize(
    ("lipid_class", "carbons", "double_bonds", "formula"),
    [
        # From the literature, as LIPID MAPS lists them.
        ("PC", 34, 1, "C42H82NO8P"),
        ("PC O-", 34, 1, "C42H84NO7P"),
        ("PE", 36, 2, "C41H78NO8P"),
        ("PE O-", 38, 5, "C43H78NO7P"),
        ("PS", 36, 1, "C42H80NO10P"),
        ("PI", 38, 4, "C47H83O13P"),
        ("PG", 34, 1, "C40H77O10P"),
        ("PA", 34, 1, "C37H71O8P"),
        ("LPC", 16, 0, "C24H50NO7P"),
        ("LPE", 18, 0, "C23H48NO7P"),
        ("LPI", 18, 0, "C27H53O12P"),
        ("CL", 72, 8, "C81H142O17P2"),
        ("SM", 34, 1, "C39H79N2O6P"),
        ("Cer", 34, 1, "C34H67NO3"),
        ("HexCer", 42, 2, "C48H91NO8"),
        ("SHexCer", 42, 2, "C48H91NO11S"),
        ("GM3", 34, 1, "C57H104N2O21"),
        ("DG", 36, 2, "C39H72O5"),
        ("TG", 52, 2, "C55H102O6"),
        ("CE", 18, 2, "C45H76O2"),
        ("FA", 18, 1, "C18H34O2"),
    ],
)
def test_formulas_of_known_lipids(
    lipid_class: str, carbons: int, double_bonds: int, formula: str
) -> None:
    assert lipid_formula(lipid_class, carbons, double_bonds) == formula


def test_every_class_is_tested_and_used() -> None:
    used = {series.lipid_class for group in _FAMILIES.values() for series in group}
    assert used == set(_CLASSES)


def test_homologues_differ_by_named_relations() -> None:
    """CH2 and H2 between species are what `default_relations` calls them."""
    relations = default_relations("positive")
    masses = dict(zip(relations.names, relations.masses, strict=True))
    for lipid_class in _CLASSES:
        base = formula_mass(lipid_formula(lipid_class, 36, 2))
        longer = formula_mass(lipid_formula(lipid_class, 37, 2))
        saturated = formula_mass(lipid_formula(lipid_class, 36, 1))
        assert longer - base == pytest.approx(masses["CH2"], abs=1e-9)
        assert saturated - base == pytest.approx(masses["H2"], abs=1e-9)


@pytest.mark.parametrize("polarity", POLARITIES)
def test_species_are_listed_once(polarity: str) -> None:
    """Nor does a species of one class belong to two families."""
    species = [
        (series.lipid_class, chain)
        for series in _FAMILIES[polarity]
        for chain in series.chains.split()
    ]
    assert len(set(species)) == len(species)
    names = [series.name for series in _FAMILIES[polarity]]
    assert len(set(names)) == len(names) == family_count(polarity) == 18


@pytest.mark.parametrize("polarity", POLARITIES)
def test_species_are_chemically_possible(polarity: str) -> None:
    """Double bonds fit into the chains, and all formulas have a parity that closes the shell."""
    for series in _FAMILIES[polarity]:
        for chain in series.chains.split():
            carbons, double_bonds = map(int, chain.split(":"))
            assert 12 <= carbons <= 80
            assert 0 <= double_bonds <= carbons / 3
            atoms = parse_formula(lipid_formula(series.lipid_class, carbons, double_bonds))
            trivalent = atoms.get("N", 0) + atoms.get("P", 0)
            assert (atoms["H"] + trivalent) % 2 == 0


def test_families_by_double_bonds_hold_what_their_names_say() -> None:
    for group in _FAMILIES.values():
        for series in group:
            span = re.search(r"(\d)-(\d) double bonds", series.name)
            if span is not None:
                bonds = [int(chain.split(":")[1]) for chain in series.chains.split()]
                assert int(span.group(1)) <= min(bonds)
                assert max(bonds) <= int(span.group(2))


# ------------------------------------------------------------------------ masses


def test_neutral_masses_against_molmass(library: IonLibrary) -> None:
    for row in library.table.drop_duplicates("formula").itertuples():
        expected = molmass.Formula(row.formula).monoisotopic_mass
        assert row.neutral_mass == pytest.approx(expected, abs=1e-4)


def test_mz_of_every_ion_against_molmass(library: IonLibrary) -> None:
    """From the atoms of the ion, with its heavy isotopes and the electron that it lost or took."""
    polarity = polarity_of(library)
    sign = -1 if polarity == "positive" else 1
    for row in library.table.itertuples():
        atoms = atoms_of_ion(row, polarity)
        mass = sum(molmass.Formula(s).monoisotopic_mass * n for s, n in atoms.items())
        symbol, number, heavy = HEAVY_ATOMS[row.isotope]
        if heavy:
            isotope = molmass.ELEMENTS[symbol].isotopes[number].mass
            mass += heavy * (isotope - molmass.Formula(symbol).monoisotopic_mass)
        mz = mass + sign * molmass.ELECTRON.mass
        assert row.mz == pytest.approx(mz, abs=1e-4), (row.species, row.adduct, row.isotope)
        assert row.mz == pytest.approx(mz, rel=2e-7)


def test_the_electron_is_counted_once() -> None:
    """[M+H]+ is M and a proton, [M-H]- is M without one: 1.00728, not 1.00783."""
    proton = ELEMENT_MASSES["H"] - ELECTRON_MASS
    assert proton == pytest.approx(1.00727646688, abs=2e-8)
    for polarity, adduct, sign in (("positive", "[M+H]+", 1), ("negative", "[M-H]-", -1)):
        table = build(polarity).table
        ions = table[(table["adduct"] == adduct) & (table["isotope"] == "")]
        assert len(ions) > 20
        assert (ions["mz"] - ions["neutral_mass"]).to_numpy() == pytest.approx(sign * proton)


@pytest.mark.parametrize(
    ("polarity", "species", "adduct", "mz"),
    [
        # Well-known peaks of lipid imaging.
        ("positive", "PC 34:1", "[M+H]+", 760.5851),
        ("positive", "PC 34:1", "[M+Na]+", 782.5670),
        ("positive", "PC 34:1", "[M+K]+", 798.5410),
        ("positive", "PC 34:1", "[M+K-C3H9N]+", 739.4675),
        ("positive", "SM 34:1", "[M+H]+", 703.5749),
        ("positive", "PE 36:4", "[M+H-C2H8NO4P]+", 599.5034),
        ("positive", "TG 52:2", "[M+Na]+", 881.7569),
        ("positive", "Cer 34:1", "[M+H-H2O]+", 520.5088),
        ("negative", "PI 38:4", "[M-H]-", 885.5499),
        ("negative", "SHexCer 42:2", "[M-H]-", 888.6240),
        ("negative", "PE 38:4", "[M-H]-", 766.5392),
        ("negative", "PS 36:1", "[M-H]-", 788.5447),
        ("negative", "PS 36:1", "[M-H-C3H5NO2]-", 701.5127),
        ("negative", "FA 18:1", "[M-H]-", 281.2486),
        ("negative", "Cer 34:1", "[M+Cl]-", 572.4815),
        ("negative", "CL 72:8", "[M-H]-", 1447.9650),
    ],
)
def test_known_peaks(polarity: str, species: str, adduct: str, mz: float) -> None:
    table = build(polarity).table
    ion = table[
        (table["species"] == species) & (table["adduct"] == adduct) & (table["isotope"] == "")
    ]
    assert len(ion) == 1
    assert ion["mz"].iloc[0] == pytest.approx(mz, abs=6e-4)


@pytest.mark.parametrize("polarity", POLARITIES)
def test_adducts_are_what_their_names_say(polarity: str) -> None:
    """The atoms gained and lost, against the text of the adduct."""
    for adduct, (gain, loss) in _ADDUCTS[polarity].items():
        change = Counter(parse_formula(gain) if gain else {})
        change.subtract(parse_formula(loss) if loss else {})
        row = pd.Series({"formula": "C9H9N9O9P9", "adduct": adduct})
        expected = atoms_of_ion(row, polarity)
        expected.subtract(parse_formula("C9H9N9O9P9"))
        kept = {symbol: n for symbol, n in change.items() if n}
        assert kept == {symbol: n for symbol, n in expected.items() if n}, adduct


def test_the_first_isotope_is_one_relation_away(library: IonLibrary) -> None:
    names = {"13C": "13C", "13C2": "13C2", "34S": "34S", "37Cl": "37Cl", "41K": "41K"}
    relations = default_relations(polarity_of(library))
    masses = dict(zip(relations.names, relations.masses, strict=True))
    table = library.table
    light = table[table["isotope"] == ""].set_index(["species", "adduct"])["mz"]
    heavy = table[table["isotope"] != ""]
    assert len(heavy) > 20
    for row in heavy.itertuples():
        difference = row.mz - light[row.species, row.adduct]
        assert difference == pytest.approx(masses[names[row.isotope]], abs=1e-6)


# ------------------------------------------------------------------------ isotopes


def test_abundances_against_molmass() -> None:
    """molmass takes another table of abundances: they agree to some per cent of their value."""
    lightest = {"C": 12, "S": 32, "Cl": 35, "K": 39}
    numbers = {"C": 13, "S": 34, "Cl": 37, "K": 41}
    for symbol, (name, odds) in _HEAVY.items():
        isotopes = molmass.ELEMENTS[symbol].isotopes
        expected = isotopes[numbers[symbol]].abundance / isotopes[lightest[symbol]].abundance
        assert odds == pytest.approx(expected, rel=0.01)
        assert name == f"[{numbers[symbol]}{symbol}]"
        assert ELEMENT_MASSES[name] == pytest.approx(isotopes[numbers[symbol]].mass, abs=1e-5)


def test_isotope_ratios_follow_from_the_formula(library: IonLibrary) -> None:
    """The ratio to the monoisotopic ion of the same molecule and adduct, within 1e-4."""
    polarity = polarity_of(library)
    lipids = lipid_ions(library)
    light = lipids[lipids["isotope"] == ""].set_index("source")["level"]
    checked: Counter[str] = Counter()
    for row in lipids[lipids["isotope"] != ""].itertuples():
        atoms = atoms_of_ion(row, polarity)
        symbol, _, heavy = HEAVY_ATOMS[row.isotope]
        odds = _HEAVY[symbol][1]
        n = atoms[symbol]
        expected = n * odds if heavy == 1 else n * (n - 1) / 2 * odds**2
        assert row.level / light[row.source] == pytest.approx(expected, abs=1e-4)
        checked[row.isotope] += 1
    wanted = {"13C", "13C2", "41K"} if polarity == "positive" else {"13C", "13C2", "34S", "37Cl"}
    assert set(checked) == wanted


def test_13c_ratios_against_the_spectrum_of_molmass() -> None:
    """Of a hydrocarbon-like ion all of M+1 but a few per cent is 13C."""
    library = build("positive", families=1, species=1)
    ions = lipid_ions(library)
    ions = ions[ions["adduct"] == "[M+H]+"].set_index("isotope")
    spectrum = molmass.Formula("C42H83NO8P").spectrum()
    peaks = sorted(spectrum.values(), key=lambda peak: peak.massnumber)
    measured = peaks[1].fraction / peaks[0].fraction
    assert ions.loc["13C", "level"] / ions.loc["", "level"] == pytest.approx(measured, rel=0.05)
    assert ions.loc["13C2", "level"] / ions.loc["", "level"] == pytest.approx(
        peaks[2].fraction / peaks[0].fraction, rel=0.25
    )


@pytest.mark.parametrize("isotope", list(_ISOTOPES))
def test_isotopes_only_where_there_are_atoms(isotope: str) -> None:
    symbol = _ISOTOPES[isotope][0]
    for polarity in POLARITIES:
        table = build(polarity).table
        for row in table[table["isotope"] == isotope].itertuples():
            assert not symbol or atoms_of_ion(row, polarity)[symbol] >= _ISOTOPES[isotope][1]


# ------------------------------------------------------------------------ the library of ions


def test_the_library_is_consistent(library: IonLibrary) -> None:
    n_groups, n_adducts = library.logits.shape
    assert n_groups == family_count(polarity_of(library)) + len(BACKGROUND_GROUPS)
    assert n_adducts == len(_ADDUCTS[polarity_of(library)])
    assert (np.diff(library.mz) >= 0).all()
    assert (np.diff(library.axis) > 0).all()
    assert set(np.diff(library.peak)) <= {0, 1}
    assert library.peak[0] == 0
    assert library.peak[-1] == library.axis.size - 1
    assert set(library.source) == set(range(library.source.max() + 1))
    assert 0 <= library.channel.min() <= library.channel.max() < library.logits.size
    assert np.isfinite(library.logits.ravel()[library.channel]).all()
    assert (library.level > 0).all()


def test_shares_of_the_adducts_sum_to_one(library: IonLibrary) -> None:
    shares = np.exp(library.logits)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert (shares > 0).any(axis=0).all()  # no adduct that nothing forms


def test_what_cannot_be_seen_is_left_out(library: IonLibrary) -> None:
    expected = library.level * np.exp(library.logits).ravel()[library.channel]
    assert expected.min() > 0.2 * DETECTION_LIMIT
    assert expected.max() > 10 * DETECTION_LIMIT


def test_ions_nearer_than_resolved_are_one_peak(library: IonLibrary) -> None:
    gap = np.diff(library.mz) > library.mz[1:] / RESOLVING_POWER
    assert np.array_equal(gap, np.diff(library.peak) == 1)
    low = np.full(library.axis.size, np.inf)
    high = np.zeros(library.axis.size)
    np.minimum.at(low, library.peak, library.mz)
    np.maximum.at(high, library.peak, library.mz)
    assert (low - 1e-9 <= library.axis).all()
    assert (library.axis <= high + 1e-9).all()


def test_a_shared_peak_lies_at_the_mean_by_intensity(library: IonLibrary) -> None:
    expected = library.level * np.exp(library.logits).ravel()[library.channel]
    shared = np.flatnonzero(np.bincount(library.peak) > 1)
    assert shared.size > 0
    for peak in shared:
        ions = library.peak == peak
        mean = np.average(library.mz[ions], weights=expected[ions])
        assert library.axis[peak] == pytest.approx(mean, rel=1e-12)


def test_isotopes_share_the_source_of_their_molecule_and_adduct(library: IonLibrary) -> None:
    ions = lipid_ions(library)
    assert (ions.groupby(["species", "adduct"])["source"].nunique() == 1).all()
    assert (ions.groupby("source")["species"].nunique() == 1).all()


def test_species_fall_in_abundance() -> None:
    """By a quarter from one to the next, beside their own variation: the sum of many shows it."""
    levels = np.zeros((40, 4))
    for seed in range(40):
        library = build("positive", families=1, species=4, background=1, seed=seed)
        ions = lipid_ions(library)
        light = ions[(ions["adduct"] == "[M+H]+") & (ions["isotope"] == "")]
        order = ["PC 34:1", "PC 34:2", "PC 36:2", "PC 36:1"]
        levels[seed] = np.log(light.set_index("species")["level"][order])
    slope = np.diff(levels.mean(axis=0))
    assert slope == pytest.approx([np.log(0.75)] * 3, abs=0.2)
    assert levels.std(axis=0) == pytest.approx([0.3] * 4, rel=0.4)


def test_number_of_families_and_species() -> None:
    library = build("negative", families=4, species=2, background=3)
    table = library.table
    assert set(table["family"]) == {0, 1, 2, 3}
    assert table.groupby("family")["species"].nunique().max() == 2
    assert library.logits.shape[0] == 4 + len(BACKGROUND_GROUPS)
    first = [series.name for series in _FAMILIES["negative"][:4]]
    assert set(table["name"]) == set(first)


def test_names_of_the_species() -> None:
    species = set(build("positive").table["species"])
    assert {"PC 34:1", "PC O-34:1", "SM 34:1", "CE 18:2"} <= species
    assert all(re.fullmatch(r"[A-Za-z0-9]+ (O-)?\d+:\d+", name) for name in species)


def test_same_seed_same_library() -> None:
    one, same, other = (build(seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.mz, same.mz)
    assert np.array_equal(one.level, same.level)
    assert one.table.equals(same.table)
    assert not np.array_equal(one.level, other.level)


# ------------------------------------------------------------------------ background


def test_background_is_of_both_groups() -> None:
    library = build("positive", families=2, species=1, background=200)
    n_adducts = library.logits.shape[1]
    groups = np.bincount(library.channel // n_adducts)
    assert groups.size == 4
    assert (groups[2:] > 100).all()


@pytest.mark.parametrize("polarity", POLARITIES)
def test_background_molecules_have_adducts_and_isotopes(polarity: str) -> None:
    """Their differences are true ones, so that a wrong tool finds no easy way to tell them."""
    library = build(polarity, families=3, species=1, background=300)
    lipids = np.isin(library.mz, library.table["mz"])
    background = np.sort(library.mz[~lipids])
    relations = default_relations(polarity)
    masses = dict(zip(relations.names, relations.masses, strict=True))

    def pairs(difference: float) -> int:
        near = np.searchsorted(background, background + difference - 5e-5)
        far = np.searchsorted(background, background + difference + 5e-5)
        return int((far - near).sum())

    exchange = masses["Na-H"] if polarity == "positive" else masses["HCl"]
    assert pairs(masses["13C"]) > 50
    assert pairs(exchange) > 50
    assert pairs(masses["13C"] + 0.01) < 10


def test_background_levels_follow_a_power_law() -> None:
    """Most are near the limit, and few are strong, as in measured spectra."""
    library = build("positive", families=2, species=1, background=400)
    lipids = np.isin(library.mz, library.table["mz"])
    expected = (library.level * np.exp(library.logits).ravel()[library.channel])[~lipids]
    assert np.median(expected) < 2 * DETECTION_LIMIT
    assert expected.max() > 20 * DETECTION_LIMIT


def test_organic_masses_have_the_measured_defects() -> None:
    mass = organic_masses(np.random.default_rng(0), 20_000)
    nominal = np.round(mass - mass * 0.6e-3)
    assert nominal.min() >= 250
    assert nominal.max() < 1000
    slope = mass / nominal - 1
    assert slope.mean() == pytest.approx(0.60e-3, rel=0.02)
    assert slope.std() == pytest.approx(0.08e-3, rel=0.05)
    assert np.mean(mass < 625) > 0.5  # small ones are the more frequent


def test_organic_masses_within_a_range() -> None:
    rng = np.random.default_rng(0)
    mass = organic_masses(rng, 500, low=100.0, high=110.0)
    assert mass.min() > 99.9
    assert mass.max() < 110.2
    assert organic_masses(rng, 0).shape == (0,)
