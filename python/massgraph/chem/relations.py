"""Chemistry: element masses, formulas and relations, the named mass differences between ions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError

__all__ = [
    "ELECTRON_MASS",
    "ELEMENT_MASSES",
    "Relations",
    "default_relations",
    "formula_mass",
    "parse_formula",
    "published_relations",
    "relations_from_masses",
]

KINDS = ("isotope", "adduct", "homologous", "loss", "biotransformation", "user")
# Da. Takes in water (18.01) and ammonia; what is larger is mostly the distance to another molecule.
LARGEST_SMALL_LOSS = 20.0
POLARITIES = ("positive", "negative")

# Source: NIST "Atomic Weights and Isotopic Compositions with Relative Atomic Masses" (2015), which
# gives the masses of AME2012 (Wang et al., Chinese Physics C 36, 1603, 2012). A bare symbol is the
# most abundant isotope; others are written as in formulas, "[13C]".
ELEMENT_MASSES: dict[str, float] = {
    "H": 1.00782503223,
    "[2H]": 2.01410177812,
    "Li": 7.0160034366,
    "[6Li]": 6.0151228874,
    "B": 11.00930536,
    "[10B]": 10.01293695,
    "C": 12.0,
    "[13C]": 13.00335483507,
    "N": 14.00307400443,
    "[15N]": 15.00010889888,
    "O": 15.99491461957,
    "[17O]": 16.99913175650,
    "[18O]": 17.99915961286,
    "F": 18.99840316273,
    "Na": 22.9897692820,
    "Mg": 23.985041697,
    "Si": 27.97692653465,
    "[29Si]": 28.97649466490,
    "P": 30.97376199842,
    "S": 31.9720711744,
    "[33S]": 32.9714589098,
    "[34S]": 33.967867004,
    "Cl": 34.968852682,
    "[37Cl]": 36.965902602,
    "K": 38.9637064864,
    "[41K]": 40.9618252579,
    "Ca": 39.962590863,
    "Mn": 54.93804391,
    "Fe": 55.93493633,
    "Cu": 62.92959772,
    "[65Cu]": 64.92778970,
    "Zn": 63.92914201,
    "Se": 79.9165218,
    "Br": 78.9183376,
    "[81Br]": 80.9162897,
    "Ag": 106.9050916,
    "[109Ag]": 108.9047553,
    "I": 126.9044719,
}
"""Monoisotopic masses in Da by symbol, isotopes in square brackets."""

ELECTRON_MASS = 5.48579909065e-4
"""Mass of the electron in Da (CODATA 2018)."""

_TOKEN = re.compile(r"(\[\d+[A-Z][a-z]?\]|[A-Z][a-z]?)(-?\d+)?")


def parse_formula(formula: str) -> dict[str, int]:
    """Count the atoms of a formula.

    Parameters
    ----------
    formula
        Symbols with counts, as ``"C5H14NO4P"``. Counts may be negative, for what is lost where
        something else is gained: ``"NaH-1"``. Isotopes stand in brackets: ``"[13C]C-1"``.

    Returns
    -------
    dict
        Symbol to count, in order of appearance; repeated symbols are summed, zeros left out.

    Raises
    ------
    ValueError
        For an empty formula, a token that is no symbol, or an element without a known mass.

    Examples
    --------
    >>> from massgraph.chem.relations import parse_formula
    >>> parse_formula("C5H14NO4P")
    {'C': 5, 'H': 14, 'N': 1, 'O': 4, 'P': 1}
    >>> parse_formula("NaH-1")
    {'Na': 1, 'H': -1}
    """
    counts: dict[str, int] = {}
    place = 0
    text = formula.strip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            msg = f"formula {formula!r}: {text[place:]!r} is no element symbol with a count"
            raise InputError(msg)
        symbol, count = token.group(1), int(token.group(2) or 1)
        if symbol not in ELEMENT_MASSES:
            msg = f"formula {formula!r}: {symbol!r} is no element with a known mass"
            raise InputError(msg)
        counts[symbol] = counts.get(symbol, 0) + count
        place = token.end()
    if not counts:
        msg = f"formula {formula!r} is empty"
        raise InputError(msg)
    return {symbol: count for symbol, count in counts.items() if count}


def formula_mass(formula: str) -> float:
    """Monoisotopic mass of a formula in Da, of the neutral atoms: no electron is taken off.

    Raises ValueError as `parse_formula` does.

    Examples
    --------
    >>> from massgraph.chem.relations import formula_mass
    >>> round(formula_mass("C42H82NO8P"), 4)  # PC 34:1
    759.5778
    """
    return sum(ELEMENT_MASSES[symbol] * n for symbol, n in parse_formula(formula).items())


@dataclass(frozen=True, eq=False)
class Relations:
    """A table of named mass differences, in the order of their relation codes.

    Two tables are equal where names, masses, formulas and kinds are, in the same order.

    Parameters
    ----------
    names
        Unique short names ("13C", "CH2", "Na-H"), shape ``(n_relations,)``.
    masses
        Mass differences in Da, float64, each finite and above zero.
    formulas
        Elements gained going from the lighter to the heavier ion, losses negative ("Na-H": NaH-1);
        empty where unknown.
    kinds
        "isotope", "adduct", "homologous", "loss", "biotransformation" or "user".

    Raises
    ------
    ValueError
        Where there is no relation, lengths disagree, a name is empty or comes twice, a mass is not
        finite and above zero, or a kind is none of the above.

    Examples
    --------
    >>> import massgraph as mg
    >>> relations = mg.default_relations("positive").select(["13C", "Na-H"])
    >>> relations
    Relations(2: 13C, Na-H; 1.0034-21.9819 Da)
    >>> relations.formulas
    ('[13C]C-1', 'NaH-1')
    """

    names: tuple[str, ...]
    masses: NDArray[np.float64]
    formulas: tuple[str, ...]
    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        masses = np.array(self.masses, dtype=np.float64)
        masses.flags.writeable = False
        object.__setattr__(self, "masses", masses)
        for field in ("names", "formulas", "kinds"):
            object.__setattr__(self, field, tuple(str(text) for text in getattr(self, field)))
        self._check_lengths()
        self._check_values()

    def _check_lengths(self) -> None:
        if not self.names:
            msg = "there is no relation: give at least one"
            raise InputError(msg)
        lengths = {"masses": self.masses.shape, "formulas": (len(self.formulas),)}
        lengths["kinds"] = (len(self.kinds),)
        for field, shape in lengths.items():
            if shape != (len(self.names),):
                msg = f"{field} have shape {shape}, but there are {len(self.names)} names"
                raise InputError(msg)

    def _check_values(self) -> None:
        for code, (name, mass, kind) in enumerate(
            zip(self.names, self.masses, self.kinds, strict=True)
        ):
            if not name.strip() or name in self.names[:code]:
                what = f"comes twice ({name!r})" if name.strip() else "is empty"
                msg = f"relation {code}: the name {what}; names must be unique and not empty"
                raise InputError(msg)
            if not (np.isfinite(mass) and mass > 0):
                msg = f"relation {name!r}: mass {mass} is not finite and above zero"
                raise InputError(msg)
            if kind not in KINDS:
                msg = f"relation {name!r}: kind {kind!r} is none of {KINDS}"
                raise InputError(msg)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:6]) + (", ..." if len(self) > 6 else "")
        return (
            f"Relations({len(self)}: {shown}; {self.masses.min():.4f}-{self.masses.max():.4f} Da)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Relations):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.names, self.masses.tobytes(), self.formulas, self.kinds))

    def index(self, name: str) -> int:
        """Code of the relation of this name.

        Raises ValueError, listing the known names, where there is none.
        """
        if name not in self.names:
            msg = f"no relation is named {name!r}; known: {', '.join(self.names)}"
            raise InputError(msg)
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> Relations:
        """Relations of these names, in this order.

        Raises ValueError for a name that is not in the table, comes twice, or where none is given.
        """
        wanted = [names] if isinstance(names, str) else list(names)
        codes = [self.index(name) for name in wanted]
        return Relations(
            names=tuple(wanted),
            masses=self.masses[codes],
            formulas=tuple(self.formulas[code] for code in codes),
            kinds=tuple(self.kinds[code] for code in codes),
        )

    @property
    def of_one_molecule(self) -> NDArray[np.bool_]:
        """Which relations link ions of one molecule: isotopes, adducts, loss of NH3 or H2O.

        Larger losses are not among them: most partners at their distance are other molecules.
        """
        kinds = np.array(self.kinds)
        small = (kinds == "loss") & (self.masses < LARGEST_SMALL_LOSS)
        return np.asarray(np.isin(kinds, ("isotope", "adduct")) | small)

    def to_frame(self) -> pd.DataFrame:
        """Table with columns name, formula, kind, mass."""
        return pd.DataFrame(
            {
                "name": list(self.names),
                "formula": list(self.formulas),
                "kind": list(self.kinds),
                "mass": self.masses.copy(),
            }
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists under "names", "masses", "formulas" and "kinds".

        Written as JSON and read again, the masses are the same to the last bit.
        """
        return {
            "names": list(self.names),
            "masses": [float(mass) for mass in self.masses],
            "formulas": list(self.formulas),
            "kinds": list(self.kinds),
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Sequence[Any]]) -> Relations:
        """Relations from what `to_dict` gave.

        Raises ValueError where a field is missing or unknown, or a value is bad.
        """
        fields = {"names", "masses", "formulas", "kinds"}
        if set(table) != fields:
            msg = f"relations need the fields {sorted(fields)}, got {sorted(table)}"
            raise InputError(msg)
        return cls(
            names=tuple(table["names"]),
            masses=np.asarray(table["masses"], dtype=np.float64),
            formulas=tuple(table["formulas"]),
            kinds=tuple(table["kinds"]),
        )


# Name, formula, kind, polarity ("" for both). The difference of two ions of the same charge has no
# electron mass in it: [M+Na]+ and [M+H]+ have lost the same electron, so Na-H is that of the atoms.
_DEFAULT: tuple[tuple[str, str, str, str], ...] = (
    ("13C", "[13C]C-1", "isotope", ""),
    ("13C2", "[13C]2C-2", "isotope", ""),
    ("18O", "[18O]O-1", "isotope", ""),
    # Each in the polarity of what has it: [M+K]+, sulfatides, [M+Cl]-.
    ("41K", "[41K]K-1", "isotope", "positive"),
    ("34S", "[34S]S-1", "isotope", "negative"),
    ("37Cl", "[37Cl]Cl-1", "isotope", "negative"),
    # Beside [M-H]- there may be [M-2H+Na]-, [M+Cl]-, [M+HCOO]- (also a loss) and [M+CH3COO]-.
    ("Na-H", "NaH-1", "adduct", ""),
    ("K-H", "KH-1", "adduct", "positive"),
    ("K-Na", "KNa-1", "adduct", "positive"),
    ("HCl", "HCl", "adduct", "negative"),
    ("HCOOH", "CH2O2", "adduct", "negative"),
    ("CH3COOH", "C2H4O2", "adduct", "negative"),
    ("CH2", "CH2", "homologous", ""),
    ("C2H2", "C2H2", "homologous", ""),  # two carbons and one double bond more
    ("C2H4", "C2H4", "homologous", ""),
    ("H2", "H2", "biotransformation", ""),  # one double bond less
    ("O", "O", "biotransformation", ""),
    ("O-H2", "OH-2", "biotransformation", ""),  # CH2 to C=O
    ("H2O", "H2O", "loss", ""),
    ("NH3", "NH3", "loss", ""),  # also [M+NH4]+ beside [M+H]+
    ("CO", "CO", "loss", ""),
    ("CO2", "CO2", "loss", ""),  # also PS beside PE
    ("C2H2O", "C2H2O", "biotransformation", ""),  # acetyl
    ("C2H5N", "C2H5N", "biotransformation", ""),  # PE beside PA
    ("C3H9N", "C3H9N", "loss", "positive"),  # trimethylamine of PC and SM
    ("HPO3", "HPO3", "biotransformation", ""),
    ("SO3", "SO3", "biotransformation", "negative"),  # sulfatide beside hexosylceramide
    ("C3H5NO2", "C3H5NO2", "loss", "negative"),  # serine of PS, leaving PA
    ("H3PO4", "H3PO4", "loss", ""),
    # Head groups: phosphoethanolamine of PE, phosphocholine of PC and SM.
    ("C2H8NO4P", "C2H8NO4P", "loss", "positive"),
    ("C5H14NO4P", "C5H14NO4P", "loss", "positive"),
    # Acyl 16:0, 18:1, 18:0 and 20:4 as ketenes: a glycerolipid beside its lyso form.
    ("C16H30O", "C16H30O", "loss", ""),
    ("C18H32O", "C18H32O", "loss", ""),
    ("C18H34O", "C18H34O", "loss", ""),
    ("C20H30O", "C20H30O", "loss", ""),
    # Sugars: deoxyhexose, hexose (also PI beside PA), N-acetylhexosamine, sialic acid.
    ("C6H10O4", "C6H10O4", "biotransformation", ""),
    ("C6H10O5", "C6H10O5", "biotransformation", ""),
    ("C8H13NO5", "C8H13NO5", "biotransformation", ""),
    ("C11H17NO8", "C11H17NO8", "biotransformation", "negative"),
)

# Masses as published (rounded, 13C 0.05 mDa low), in the order of the published codes.
_PUBLISHED: tuple[tuple[str, float, str, str], ...] = (
    ("K-Na", 15.97394, "KNa-1", "adduct"),
    ("Na-H", 21.98194, "NaH-1", "adduct"),
    ("K-H", 37.95588, "KH-1", "adduct"),
    ("13C", 1.0033, "[13C]C-1", "isotope"),
    ("13C2", 2.0067, "[13C]2C-2", "isotope"),
    ("18O", 2.0043, "[18O]O-1", "isotope"),
    ("CH2", 14.01565, "CH2", "homologous"),
    ("C2H4", 28.0313, "C2H4", "homologous"),
    ("C4H8", 56.0626, "C4H8", "homologous"),
    ("H2", 2.01565, "H2", "biotransformation"),
    ("O", 15.99491, "O", "biotransformation"),
    ("O-H2", 13.97926, "OH-2", "biotransformation"),
    ("CHCA", 189.04259, "C10H7NO3", "adduct"),
)


def default_relations(polarity: str | None = None) -> Relations:
    """Relations of lipids and metabolites, as they are seen in one polarity.

    Parameters
    ----------
    polarity
        ``"positive"`` or ``"negative"``; None (default) gives those valid in both.

    Returns
    -------
    Relations
        Isotopes, adduct exchanges, chain variants, common losses and biotransformations. Masses
        are computed from `ELEMENT_MASSES`; no two are within 1 mDa of each other.

    Raises
    ------
    ValueError
        For another polarity.

    Notes
    -----
    Ions are taken as singly charged. Exchanges with potassium are left out in negative mode, where
    real data do not show them. 13C2 and 18O are 2.5 mDa apart: at a wider tolerance a pair of peaks
    may carry both. Matrix clusters depend on the matrix: add yours by `relations_from_masses`.

    Examples
    --------
    >>> import massgraph as mg
    >>> relations = mg.default_relations("negative")
    >>> "37Cl" in relations.names, "K-H" in relations.names
    (True, False)
    >>> round(float(relations.masses[relations.index("CH2")]), 5)
    14.01565
    """
    if polarity is not None and polarity not in POLARITIES:
        msg = f"polarity {polarity!r} is none of {POLARITIES}, nor None"
        raise InputError(msg)
    rows = [row for row in _DEFAULT if row[3] in ("", polarity)]
    return Relations(
        names=tuple(row[0] for row in rows),
        masses=np.array([formula_mass(row[1]) for row in rows]),
        formulas=tuple(row[1] for row in rows),
        kinds=tuple(row[2] for row in rows),
    )


def relations_from_masses(masses: Mapping[str, float]) -> Relations:
    """Relations of your own, of kind "user", from names and mass differences in Da.

    Parameters
    ----------
    masses
        Name to mass difference, as ``{"CH2": 14.01565006}``; the order is kept.

    Raises
    ------
    ValueError
        Where there is none, a name is empty, or a mass is not a finite number above zero.

    Examples
    --------
    >>> import massgraph as mg
    >>> mg.relations_from_masses({"CH2": 14.01565, "CHCA": 189.04259})
    Relations(2: CH2, CHCA; 14.0157-189.0426 Da)
    """
    values = []
    for name, mass in masses.items():
        try:
            values.append(float(mass))
        except (TypeError, ValueError) as error:
            msg = f"relation {name!r}: mass {mass!r} is not a number"
            raise InputError(msg) from error
    empty = ("",) * len(values)
    return Relations(
        names=tuple(str(name) for name in masses),
        masses=np.array(values),
        formulas=empty,
        kinds=("user",) * len(values),
    )


def published_relations() -> Relations:
    """Give the 13 relations of the published reduced list, for ``preset="published"``.

    Masses and order are those of the reference (La Rocca et al., J. Am. Soc. Mass Spectrom. 2025,
    10.1021/jasms.5c00055), rounded as there: 13C is 0.05 mDa below the true difference.

    Examples
    --------
    >>> from massgraph.chem.relations import published_relations
    >>> published_relations()
    Relations(13: K-Na, Na-H, K-H, 13C, 13C2, 18O, ...; 1.0033-189.0426 Da)
    """
    return Relations(
        names=tuple(row[0] for row in _PUBLISHED),
        masses=np.array([row[1] for row in _PUBLISHED]),
        formulas=tuple(row[2] for row in _PUBLISHED),
        kinds=tuple(row[3] for row in _PUBLISHED),
    )
