"""Lipids for the simulation: families of real formulas, their adducts, isotopes and ions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.chem.relations import ELECTRON_MASS, ELEMENT_MASSES, formula_mass, parse_formula

__all__ = [
    "BACKGROUND_GROUPS",
    "DETECTION_LIMIT",
    "RESOLVING_POWER",
    "IonLibrary",
    "build_library",
    "family_count",
    "lipid_formula",
    "organic_masses",
]

DETECTION_LIMIT = 100.0
"""Intensity below which a peak is absent; levels are set against it."""

ABUNDANCE = 0.15
"""Factor of all lipids: sets how many of them reach the detection limit."""

RESOLVING_POWER = 100_000.0
"""Ions nearer than m/z over this are one peak, at the mean of their m/z by intensity."""

# Atoms of a lipid with n chain carbons and d double bonds: C(n + c) H(2n + h - 2d) and the rest.
# Check: PC 34:1 is C42H82NO8P. Ethers are written O-, ceramides by their sum (d18:1/16:0 is 34:1).
_CLASSES: dict[str, tuple[int, int, str]] = {
    "PC": (8, 16, "NO8P"),
    "PC O-": (8, 18, "NO7P"),
    "PE": (5, 10, "NO8P"),
    "PE O-": (5, 12, "NO7P"),
    "PS": (6, 10, "NO10P"),
    "PI": (9, 15, "O13P"),
    "PG": (6, 11, "O10P"),
    "PA": (3, 5, "O8P"),
    "LPC": (8, 18, "NO7P"),
    "LPE": (5, 12, "NO7P"),
    "LPI": (9, 17, "O12P"),
    "CL": (9, 14, "O17P2"),
    "SM": (5, 13, "N2O6P"),
    "Cer": (0, 1, "NO3"),
    "HexCer": (6, 11, "NO8"),
    "SHexCer": (6, 11, "NO11S"),
    "GM3": (23, 38, "N2O21"),
    "DG": (3, 4, "O5"),
    "TG": (3, 2, "O6"),
    "CE": (27, 44, "O2"),
    "FA": (0, 0, "O2"),
}

# Atoms gained and lost by the molecule; the charge takes or brings one electron.
_ADDUCTS: dict[str, dict[str, tuple[str, str]]] = {
    "positive": {
        "[M+H]+": ("H", ""),
        "[M+Na]+": ("Na", ""),
        "[M+K]+": ("K", ""),
        "[M+NH4]+": ("NH4", ""),
        "[M+H-H2O]+": ("H", "H2O"),
        "[M+Na-C3H9N]+": ("Na", "C3H9N"),
        "[M+K-C3H9N]+": ("K", "C3H9N"),
        "[M+H-C2H8NO4P]+": ("H", "C2H8NO4P"),
    },
    "negative": {
        "[M-H]-": ("", "H"),
        "[M+Cl]-": ("Cl", ""),
        "[M-2H+Na]-": ("Na", "H2"),
        "[M-H-H2O]-": ("", "H3O"),
        "[M-H-C3H5NO2]-": ("", "C3H6NO2"),
    },
}

# Isotope: light and heavy element, number of heavy atoms. Abundances of the heavy over the light
# isotope: IUPAC 2013 (Meija et al., Pure Appl. Chem. 88, 293, 2016).
_ISOTOPES: dict[str, tuple[str, int]] = {
    "": ("", 0),
    "13C": ("C", 1),
    "13C2": ("C", 2),
    "34S": ("S", 1),
    "37Cl": ("Cl", 1),
    "41K": ("K", 1),
}
_HEAVY: dict[str, tuple[str, float]] = {
    "C": ("[13C]", 0.0107 / 0.9893),
    "S": ("[34S]", 0.0425 / 0.9499),
    "Cl": ("[37Cl]", 0.2424 / 0.7576),
    "K": ("[41K]", 0.067302 / 0.932581),
}


class _Series(NamedTuple):
    """A family: species of one class, by falling abundance, and the shares of their adducts."""

    name: str
    lipid_class: str
    chains: str
    level: float
    """log10 of the monoisotopic intensity of the most abundant species, all adducts together."""
    shares: Mapping[str, float]


_CHOLINE = {"[M+H]+": 4, "[M+Na]+": 2, "[M+K]+": 3, "[M+Na-C3H9N]+": 0.4, "[M+K-C3H9N]+": 0.6}
_ETHANOLAMINE = {"[M+H]+": 2, "[M+Na]+": 2, "[M+K]+": 2, "[M+H-C2H8NO4P]+": 3}
_GLYCERIDE = {"[M+Na]+": 4, "[M+K]+": 3, "[M+NH4]+": 1}
_SPHINGOID = {"[M+H]+": 2, "[M+Na]+": 2, "[M+K]+": 2, "[M+H-H2O]+": 2}
_SALT = {"[M+H]+": 2, "[M+Na]+": 2, "[M+K]+": 2}
_ACID = {"[M-H]-": 10.0, "[M-2H+Na]-": 0.7}
_SERINE = {"[M-H]-": 7, "[M-2H+Na]-": 1, "[M-H-C3H5NO2]-": 2}
_NEUTRAL = {"[M-H]-": 4, "[M+Cl]-": 4, "[M-H-H2O]-": 1}
_PLAIN = {"[M-H]-": 1.0}

_PC = "34:1 34:2 36:2 36:1 32:0 32:1 34:0 36:0 30:0 38:2"
_PUFA = "38:4 36:4 38:6 36:3 38:5 40:6 34:3 36:5 40:4 40:7"
_SM = "34:1 42:2 36:1 42:1 40:1 38:1 34:0 41:1 36:2 44:2"
_CER = "34:1 42:2 42:1 36:1 40:1 38:1 36:2 41:1 34:2 40:2"

# The most prominent families come first: small presets take the first ones.
_FAMILIES: dict[str, tuple[_Series, ...]] = {
    "positive": (
        _Series("PC, 0-2 double bonds", "PC", _PC, 4.7, _CHOLINE),
        _Series("PC, 3-7 double bonds", "PC", _PUFA, 4.3, _CHOLINE),
        _Series("SM", "SM", _SM, 4.4, _CHOLINE),
        _Series("LPC", "LPC", "16:0 18:0 18:1 18:2 20:4 16:1 22:6 20:1 14:0", 3.9, _SALT),
        _Series("PE, 3-7 double bonds", "PE", _PUFA, 3.9, _ETHANOLAMINE),
        _Series("DG", "DG", "36:2 34:1 34:2 36:1 36:3 38:4 32:0 36:4 32:1", 3.9, _GLYCERIDE),
        _Series(
            "TG, 0-3 double bonds",
            "TG",
            "52:2 50:1 52:3 50:2 54:3 48:1 50:3 54:2 48:0 46:0",
            4.1,
            _GLYCERIDE,
        ),
        _Series("HexCer", "HexCer", _CER, 3.8, _SALT),
        _Series("PC O-", "PC O-", "34:1 34:2 36:4 36:5 32:0 38:5 36:2 38:4 32:1", 3.9, _CHOLINE),
        _Series("PE, 0-2 double bonds", "PE", "36:2 36:1 34:1 34:2 38:2 38:1", 3.8, _ETHANOLAMINE),
        _Series("Cer", "Cer", _CER, 3.8, _SPHINGOID),
        _Series(
            "TG, 4-8 double bonds",
            "TG",
            "54:4 54:5 52:4 56:6 56:7 54:6 56:8 56:5 52:5",
            3.8,
            _GLYCERIDE,
        ),
        _Series("CE", "CE", "18:2 18:1 20:4 16:0 22:6 16:1 18:0 20:3", 3.7, _GLYCERIDE),
        _Series("PE O-", "PE O-", "38:5 36:5 40:7 38:7 36:3 40:5 36:2 38:6", 3.7, _ETHANOLAMINE),
        _Series("PS", "PS", "36:1 40:6 38:4 36:2 34:1 40:5 38:1", 3.7, _SALT),
        _Series("LPE", "LPE", "18:0 18:1 20:4 16:0 22:6 18:2 20:1", 3.6, _SALT),
        _Series("PI", "PI", "38:4 36:2 36:4 38:5 38:3 34:1 40:6", 3.6, _SALT),
        _Series("PG", "PG", "34:1 36:2 36:1 38:4 34:2 40:7 32:0", 3.5, _SALT),
    ),
    "negative": (
        _Series(
            "PI, 3-7 double bonds", "PI", "38:4 38:5 36:4 38:3 40:6 40:5 36:3 38:6", 4.7, _ACID
        ),
        _Series("PE, 3-7 double bonds", "PE", _PUFA, 4.2, _PLAIN),
        _Series("PS, 0-2 double bonds", "PS", "36:1 36:2 34:1 38:1 40:2 40:1 42:2", 4.1, _SERINE),
        _Series("SHexCer", "SHexCer", "42:2 42:1 40:1 36:1 34:1 41:1 38:1 43:2 44:2", 4.2, _ACID),
        _Series("PE O-", "PE O-", "38:5 40:7 36:5 38:7 40:5 36:3 38:6 36:2 40:6", 4.1, _PLAIN),
        _Series("Cer", "Cer", _CER, 3.9, _NEUTRAL),
        _Series("PA", "PA", "34:1 36:2 36:1 38:4 34:2 40:6 40:5 38:3", 4.0, _ACID),
        _Series("FA", "FA", "18:1 20:4 16:0 18:0 18:2 22:6 16:1 20:3 22:4 22:5", 4.2, _PLAIN),
        _Series("PI, 0-2 double bonds", "PI", "34:1 36:2 36:1 34:2 32:1 38:2 32:0", 3.9, _ACID),
        _Series("PE, 0-2 double bonds", "PE", "36:2 36:1 34:1 34:2 38:2 38:1 32:1", 3.9, _PLAIN),
        _Series("PS, 3-7 double bonds", "PS", "40:6 38:4 40:4 40:5 36:3 38:3 38:5", 3.9, _SERINE),
        _Series("PG", "PG", "34:1 36:2 36:1 38:4 34:2 40:7 44:12 32:0 36:3", 3.9, _ACID),
        _Series("LPE", "LPE", "18:0 18:1 20:4 16:0 22:6 18:2 20:1 22:4", 3.8, _PLAIN),
        _Series("LPI", "LPI", "18:0 20:4 16:0 18:1 18:2 20:3", 3.7, _ACID),
        _Series("HexCer", "HexCer", _CER, 3.7, _NEUTRAL),
        _Series("GM3", "GM3", "34:1 42:2 36:1 42:1 40:1 38:1", 3.8, _ACID),
        _Series("CL", "CL", "72:8 72:7 74:9 70:6 72:6 70:7 76:12 68:4", 3.8, _ACID),
        _Series("PC", "PC", "34:1 32:0 34:2 36:2 36:1 38:4 36:4", 3.6, {"[M+Cl]-": 1.0}),
    ),
}

# Shares of the adducts of background molecules.
_BACKGROUND_SHARES = {"positive": {"[M+H]+": 4, "[M+Na]+": 2, "[M+K]+": 1}, "negative": _NEUTRAL}

BACKGROUND_GROUPS = ("matrix", "tissue")
"""Groups after the lipid families: background from the matrix, and from the tissue."""


@dataclass(frozen=True, eq=False)
class IonLibrary:
    """All ions that a simulated instrument can see, ascending in m/z.

    Parameters
    ----------
    mz
        Theoretical m/z, shape ``(n_ions,)``.
    level
        Intensity of the ion where its adduct takes all of its molecule, shape ``(n_ions,)``.
    channel
        ``group * n_adducts + adduct``, shape ``(n_ions,)``; groups are the lipid families, then
        `BACKGROUND_GROUPS`.
    source
        Index of the pair of molecule and adduct, shape ``(n_ions,)``: isotopes share it.
    logits
        Log shares of the adducts by group, shape ``(n_groups, n_adducts)``; -inf where absent.
    peak
        Index into `axis` of the peak that the ion is part of, shape ``(n_ions,)``, ascending.
    axis
        m/z of the peaks that the instrument resolves, at mean intensities.
    table
        The lipid ions: see `massgraph.simulation.simulate.Simulation.families`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.lipids import build_library
    >>> library = build_library(np.random.default_rng(0), "positive", 3, 2, 5)
    >>> bool((np.diff(library.axis) > 0).all()), library.mz.size >= library.axis.size
    (True, True)
    """

    mz: NDArray[np.float64]
    level: NDArray[np.float64]
    channel: NDArray[np.int64]
    source: NDArray[np.int64]
    logits: NDArray[np.float64]
    peak: NDArray[np.int64]
    axis: NDArray[np.float64]
    table: pd.DataFrame


def family_count(polarity: str) -> int:
    """How many lipid families there are in a polarity.

    Examples
    --------
    >>> from massgraph.simulation.lipids import family_count
    >>> family_count("positive")
    18
    """
    return len(_FAMILIES[polarity])


def lipid_formula(lipid_class: str, carbons: int, double_bonds: int) -> str:
    """Write the formula of a neutral lipid.

    Parameters
    ----------
    lipid_class
        "PC", "SM", "TG", ...
    carbons, double_bonds
        Sum over its chains, as in "PC 34:1".

    Examples
    --------
    >>> from massgraph.simulation.lipids import lipid_formula
    >>> lipid_formula("PC", 34, 1)
    'C42H82NO8P'
    """
    extra_carbons, extra_hydrogens, rest = _CLASSES[lipid_class]
    hydrogens = 2 * carbons + extra_hydrogens - 2 * double_bonds
    return f"C{carbons + extra_carbons}H{hydrogens}{rest}"


def build_library(
    rng: np.random.Generator, polarity: str, families: int, species: int, background: int
) -> IonLibrary:
    """Draw the abundances and background molecules, and list all ions worth simulating.

    Parameters
    ----------
    rng
        Source of the random numbers.
    polarity
        "positive" or "negative".
    families, species
        The number of families, and of species in each at most.
    background
        The number of background molecules.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.lipids import build_library
    >>> library = build_library(np.random.default_rng(0), "positive", 3, 2, 5)
    >>> sorted(set(library.table["name"]))
    ['PC, 0-2 double bonds', 'PC, 3-7 double bonds', 'SM']
    """
    ions = pd.concat(
        [
            _lipid_ions(rng, polarity, families, species),
            _background_ions(rng, polarity, families, background),
        ],
        ignore_index=True,
    )
    logits = _adduct_logits(polarity, families)
    adducts = list(_ADDUCTS[polarity])
    ions["channel"] = ions["family"] * len(adducts) + ions["adduct"].map(adducts.index)
    ions["expected"] = ions["level"] * np.exp(logits).ravel()[ions["channel"]]
    # What is never near the limit costs time and is never seen.
    ions = ions[ions["expected"] > 0.2 * DETECTION_LIMIT]
    ions = ions.sort_values("mz", kind="stable", ignore_index=True)
    mz = ions["mz"].to_numpy()
    apart = np.diff(mz) > mz[1:] / RESOLVING_POWER
    ions["peak"] = np.concatenate(([0], np.cumsum(apart)))
    weight = ions["expected"].to_numpy()
    lipids = ions[ions["family"] < families]
    columns = ["family", "name", "lipid_class", "species", "mz", "adduct", "isotope", "formula"]
    return IonLibrary(
        mz=mz,
        level=ions["level"].to_numpy(),
        channel=ions["channel"].to_numpy(dtype=np.int64),
        source=np.asarray(ions.groupby(["molecule", "adduct"], sort=False).ngroup(), np.int64),
        logits=logits,
        peak=ions["peak"].to_numpy(dtype=np.int64),
        axis=np.bincount(ions["peak"], weight * mz) / np.bincount(ions["peak"], weight),
        table=lipids[[*columns, "neutral_mass", "peak"]].reset_index(drop=True),
    )


def _adduct_logits(polarity: str, families: int) -> NDArray[np.float64]:
    """Log of the mean share of each adduct, by family and group of background."""
    background = [_BACKGROUND_SHARES[polarity]] * len(BACKGROUND_GROUPS)
    rows = [series.shares for series in _FAMILIES[polarity][:families]] + background
    shares = np.array([[row.get(adduct, 0.0) for adduct in _ADDUCTS[polarity]] for row in rows])
    # The log of an absent adduct is -inf, which stays a share of zero in the softmax over adducts.
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)))


def _lipid_ions(
    rng: np.random.Generator, polarity: str, families: int, species: int
) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for family, series in enumerate(_FAMILIES[polarity][:families]):
        for rank, chain in enumerate(series.chains.split()[:species]):
            formula = lipid_formula(series.lipid_class, *map(int, chain.split(":")))
            level = ABUNDANCE * 10.0**series.level * 0.75**rank * rng.lognormal(0.0, 0.3)
            molecule = {
                "molecule": len(rows),
                "family": family,
                "name": series.name,
                "lipid_class": series.lipid_class,
                "species": _species_name(series.lipid_class, chain),
                "formula": formula,
                "neutral_mass": formula_mass(formula),
            }
            for adduct in series.shares:
                rows += _isotope_rows(molecule, level, polarity, adduct)
    return pd.DataFrame(rows)


def _species_name(lipid_class: str, chain: str) -> str:
    return f"{lipid_class}{'' if lipid_class.endswith('-') else ' '}{chain}"


def _isotope_rows(
    molecule: dict[str, object], level: float, polarity: str, adduct: str
) -> list[dict[str, object]]:
    """One row per isotope of the ion that its atoms allow."""
    gain, loss = _ADDUCTS[polarity][adduct]
    atoms = _count(f"{molecule['formula']}{gain}")
    for symbol, n in _count(loss).items():
        atoms[symbol] -= n
    mass = sum(ELEMENT_MASSES[symbol] * n for symbol, n in atoms.items())
    mz = mass - ELECTRON_MASS if polarity == "positive" else mass + ELECTRON_MASS
    rows = []
    for isotope, (symbol, heavy) in _ISOTOPES.items():
        ratio, shift = _isotope_peak(symbol, heavy, atoms.get(symbol, 0))
        if ratio > 0:
            rows.append(
                {
                    **molecule,
                    "adduct": adduct,
                    "isotope": isotope,
                    "mz": mz + shift,
                    "level": level * ratio,
                }
            )
    return rows


def _count(formula: str) -> dict[str, int]:
    # An empty formula is refused by the parser, but an adduct may lose nothing.
    return parse_formula(formula) if formula else {}


def _isotope_peak(symbol: str, heavy: int, atoms: float) -> tuple[float, float]:
    """Intensity against the monoisotopic peak (binomial), and mass difference in Da."""
    if heavy == 0:
        return 1.0, 0.0
    name, odds = _HEAVY[symbol]
    ways = atoms if heavy == 1 else atoms * (atoms - 1) / 2
    return ways * odds**heavy, heavy * (ELEMENT_MASSES[name] - ELEMENT_MASSES[symbol])


def _background_ions(
    rng: np.random.Generator, polarity: str, families: int, molecules: int
) -> pd.DataFrame:
    """Ions of molecules without a formula: masses, adducts and isotopes as organic ions have them.

    Levels follow a steep power law, as in measured spectra, where most peaks are near the limit.
    """
    mass = organic_masses(rng, molecules)
    group = families + rng.integers(len(BACKGROUND_GROUPS), size=molecules)
    level = 1.8 * DETECTION_LIMIT * (1.0 + rng.pareto(1.1, size=molecules)).clip(max=60.0)
    shares = _BACKGROUND_SHARES[polarity]
    rows: list[dict[str, object]] = []
    for index in range(molecules):
        # Some 0.6 of a lipid's mass is carbon; whole atoms are not needed for the ratio.
        carbons = mass[index] * 0.6 / 12.0
        for adduct in shares:
            gain, loss = _ADDUCTS[polarity][adduct]
            delta = sum(formula_mass(text) * s for text, s in ((gain, 1), (loss, -1)) if text)
            charge = -ELECTRON_MASS if polarity == "positive" else ELECTRON_MASS
            # One draw for all isotopes of an adduct: their ratios are those of the atoms.
            own = level[index] * rng.lognormal(0.0, 0.5)
            for isotope in ("", "13C", "13C2"):
                ratio, shift = _isotope_peak(*_ISOTOPES[isotope], carbons)
                rows.append(
                    {
                        # Below zero: no background molecule may share the gain of a lipid.
                        "molecule": -1 - index,
                        "family": group[index],
                        "adduct": adduct,
                        "isotope": isotope,
                        "mz": mass[index] + delta + charge + shift,
                        "level": own * ratio,
                    }
                )
    return pd.DataFrame(rows)


def organic_masses(
    rng: np.random.Generator, n: int, low: float = 250.0, high: float = 1000.0
) -> NDArray[np.float64]:
    """Random masses with the mass defects of organic ions.

    The defect per Da is normal, mean 0.60e-3 and sd 0.08e-3: measured on the weaker peaks of a
    human kidney (MALDI, negative mode, m/z 400-1300). Small masses are the more frequent.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.lipids import organic_masses
    >>> masses = organic_masses(np.random.default_rng(0), 1000)
    >>> bool(250 <= masses.min()), bool(masses.max() < 1002)
    (True, True)
    """
    nominal = np.floor(low + (high - low) * rng.beta(1.2, 1.6, size=n))
    return np.asarray(nominal * (1.0 + rng.normal(0.60e-3, 0.08e-3, size=n)))
