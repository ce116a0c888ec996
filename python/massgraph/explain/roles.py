"""What the ions of a family are to each other: isotopologues, adducts, steps of a series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.chem.relations import ELECTRON_MASS, Relations, formula_mass, parse_formula

__all__ = ["Envelopes", "Reading", "describe", "envelopes", "read_adducts"]

# What an ion has gained over the neutral molecule. Rare adducts are tried only where common ones
# explain nothing: every exchange of H for Na would otherwise have several readings.
COMMON_ADDUCTS: dict[str, dict[str, str]] = {
    "positive": {"[M+H]+": "H", "[M+NH4]+": "NH4", "[M+Na]+": "Na", "[M+K]+": "K"},
    "negative": {"[M-H]-": "H-1", "[M-2H+Na]-": "NaH-2", "[M+Cl]-": "Cl", "[M-2H+K]-": "KH-2"},
}
RARE_ADDUCTS: dict[str, dict[str, str]] = {
    "positive": {"[M-H+2Na]+": "Na2H-1", "[M-H+Na+K]+": "NaKH-1", "[M-H+2K]+": "K2H-1"},
    "negative": {"[M-3H+2Na]-": "Na2H-3", "[M-3H+Na+K]-": "NaKH-3", "[M-3H+2K]-": "K2H-3"},
}

Composition = frozenset[tuple[str, int]]
Exchange = tuple[int, int, str]


@dataclass(frozen=True)
class Envelopes:
    """Isotope envelopes: which ion is a heavier isotopologue of which.

    Parameters
    ----------
    root
        Lightest ion of each ion's envelope (itself where it is no isotopologue), shape
        ``(n_ions,)``.
    shift
        Nominal mass above the root, shape ``(n_ions,)``.
    parent
        The ion that each ion is described by, -1 for roots, shape ``(n_ions,)``.
    code
        Code of the relation to that ion, -1 for roots, shape ``(n_ions,)``.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> from massgraph.explain.roles import envelopes
    >>> relations = mg.default_relations("positive")
    >>> link = {"source": 0, "target": 1, "code": relations.index("13C"), "kind": "isotope"}
    >>> found = envelopes(pd.DataFrame([link]), relations, n_ions=3)
    >>> found.parent.tolist(), found.shift.tolist()
    ([-1, 0, -1], [0, 1, 0])
    """

    root: NDArray[np.int64]
    shift: NDArray[np.int64]
    parent: NDArray[np.int64]
    code: NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """Role, adduct and neutral mass of every ion; "" and NaN where no adduct is read.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.explain.roles import Reading
    >>> adducts, masses = np.array(["[M+H]+", ""], dtype=object), np.array([759.5778, np.nan])
    >>> reading = Reading(adducts.copy(), adducts, masses)
    >>> np.flatnonzero(reading.adduct != "").tolist()
    [0]
    """

    role: NDArray[np.object_]
    adduct: NDArray[np.object_]
    neutral_mass: NDArray[np.float64]


def envelopes(links: pd.DataFrame, relations: Relations, n_ions: int) -> Envelopes:
    """Follow the isotope links, from light to heavy.

    An ion with several lighter partners is described by the lightest: by the monoisotopic ion
    itself ("13C2 of ...") rather than by its first isotopologue.

    Parameters
    ----------
    links
        Columns `source`, `target` (ions in order of m/z), `code` and `kind`.
    relations
        The relations that the codes name.
    n_ions
        Number of ions.

    Examples
    --------
    An ion, its first isotopologue, and its second, which both of them lead to:

    >>> import pandas as pd
    >>> import massgraph as mg
    >>> from massgraph.explain.roles import envelopes
    >>> relations = mg.default_relations("positive")
    >>> steps = [(0, 1, "13C"), (1, 2, "13C"), (0, 2, "13C2")]
    >>> links = pd.DataFrame(steps, columns=["source", "target", "name"])
    >>> links = links.assign(kind="isotope", code=links["name"].map(relations.index))
    >>> envelopes(links, relations, n_ions=3).parent.tolist()
    [-1, 0, 0]
    """
    found = Envelopes(np.arange(n_ions), *(np.full(n_ions, fill) for fill in (0, -1, -1)))
    # By target: a source is lighter, so that its own root and shift are known by then.
    isotopes = links[links["kind"] == "isotope"].sort_values(["target", "source"])
    isotopes = isotopes.drop_duplicates("target")
    steps = np.rint(relations.masses).astype(np.int64)
    for source, target, code in zip(
        isotopes["source"], isotopes["target"], isotopes["code"], strict=True
    ):
        found.root[target] = found.root[source]
        found.shift[target] = found.shift[source] + steps[code]
        found.parent[target], found.code[target] = source, code
    return found


# -------------------------------------------------------------------- adducts


def read_adducts(
    ions: Sequence[int], exchanges: Iterable[Exchange], polarity: str
) -> dict[int, tuple[str, str]]:
    """Find the only assignment of adducts to the ions of a molecule that fits all exchanges.

    Parameters
    ----------
    ions
        The ions of one molecule, without its heavier isotopologues.
    exchanges
        (lighter ion, heavier ion, formula gained), as (0, 1, "NaH-1").
    polarity
        ``"positive"`` or ``"negative"``.

    Returns
    -------
    dict
        Ion to (adduct, formula gained over the neutral molecule); empty where no assignment fits,
        or more than one.

    Examples
    --------
    >>> from massgraph.explain.roles import read_adducts
    >>> found = read_adducts([0, 1], [(0, 1, "NaH-1")], "positive")
    >>> {ion: name for ion, (name, _) in found.items()}
    {0: '[M+H]+', 1: '[M+Na]+'}
    """
    steps: dict[int, list[tuple[int, Composition]]] = {ion: [] for ion in ions}
    for lighter, heavier, formula in exchanges:
        if not formula:  # of an unknown exchange nothing follows, for no ion of the molecule
            return {}
        gain = _composition(parse_formula(formula))
        steps[lighter].append((heavier, gain))
        steps[heavier].append((lighter, _composition({s: -n for s, n in gain})))
    common = COMMON_ADDUCTS[polarity]
    for adducts in (common, {**common, **RARE_ADDUCTS[polarity]}):
        # One ion decides all others by its exchanges: as many assignments as it has adducts.
        names = {
            _composition(parse_formula(formula)): (name, formula)
            for name, formula in adducts.items()
        }
        spread = (_spread(ions[0], start, steps) for start in names)
        fitting = [one for one in spread if _fits(one, names, len(ions))]
        if fitting:
            unique = fitting[0] if len(fitting) == 1 else {}
            return {ion: names[composition] for ion, composition in unique.items()}
    return {}


def _composition(counts: Mapping[str, int]) -> Composition:
    return frozenset((symbol, n) for symbol, n in counts.items() if n)


def _spread(
    start: int, composition: Composition, steps: Mapping[int, list[tuple[int, Composition]]]
) -> dict[int, Composition]:
    """Composition of all ions that can be reached from one; empty where two paths disagree."""
    known = {start: composition}
    queue = [start]
    while queue:
        ion = queue.pop()
        for other, gain in steps[ion]:
            total = Counter(dict(known[ion]))
            total.update(dict(gain))
            if other not in known:
                known[other] = _composition(total)
                queue.append(other)
            elif known[other] != _composition(total):
                return {}
    return known


def _fits(
    assigned: Mapping[int, Composition],
    names: Mapping[Composition, tuple[str, str]],
    n_ions: int,
) -> bool:
    """Whether all ions have an adduct, each one its own."""
    found = set(assigned.values())
    return len(assigned) == len(found) == n_ions and found <= names.keys()


def _read_molecules(
    members: pd.DataFrame,
    links: pd.DataFrame,
    found: Envelopes,
    relations: Relations,
    polarity: str,
) -> dict[int, tuple[str, str]]:
    """Adducts of the envelopes (by their lightest ions) of all molecules that can be read."""
    molecule = members["molecule"]
    exchanges: dict[int, list[Exchange]] = {}
    adducts = links[links["kind"] == "adduct"]
    for source, target, code in zip(
        adducts["source"], adducts["target"], adducts["code"], strict=True
    ):
        # An exchange between heavier isotopologues says the same of their monoisotopic ions.
        ends = int(found.root[source]), int(found.root[target])
        exchanges.setdefault(molecule[source], []).append((*ends, relations.formulas[code]))
    roots: dict[int, list[int]] = {}
    for root in np.unique(found.root[members.index]).tolist():
        roots.setdefault(molecule[root], []).append(root)
    read: dict[int, tuple[str, str]] = {}
    for label, known in exchanges.items():
        read.update(read_adducts(roots[label], known, polarity))
    return read


# -------------------------------------------------------------------- roles


def describe(
    ions: pd.DataFrame, links: pd.DataFrame, relations: Relations, polarity: str | None
) -> Reading:
    """Describe every ion of a family: its role, its adduct and its neutral mass.

    Parameters
    ----------
    ions
        Columns `mz` (ascending), `score`, `molecule` and `family` (0: in none).
    links
        Links inside the families: `family`, `source`, `target`, `code`, `kind`, `weight`.
    relations
        The relations that the codes name.
    polarity
        ``"positive"`` or ``"negative"``; None: adducts are not read.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> from massgraph.explain.roles import describe
    >>> relations = mg.default_relations("positive")
    >>> ions = pd.DataFrame({"mz": [760.5851, 782.5670], "score": [0.6, 0.4], "molecule": 0})
    >>> link = {"source": 0, "target": 1, "code": relations.index("Na-H"), "kind": "adduct"}
    >>> links = pd.DataFrame([link]).assign(family=1, weight=0.4)
    >>> reading = describe(ions.assign(family=1), links, relations, "positive")
    >>> reading.role.tolist(), reading.neutral_mass.round(2).tolist()
    (['[M+H]+', '[M+Na]+'], [759.58, 759.58])
    """
    mz = ions["mz"].to_numpy()
    empty = np.full(mz.size, "", dtype=object)
    told = Reading(empty.copy(), empty.copy(), np.full(mz.size, np.nan))
    found = envelopes(links, relations, mz.size)
    members = ions[ions["family"] > 0]
    if polarity is not None:
        read = _read_molecules(members, links, found, relations, polarity)
        charge = 1 if polarity == "positive" else -1
        for ion in members.index:
            root = int(found.root[ion])
            if root in read:
                told.adduct[ion], gain = read[root]
                told.neutral_mass[ion] = mz[root] - formula_mass(gain) + charge * ELECTRON_MASS
    steps = _steps_from_reference(members, links, found)
    has_isotopes = set(links["source"][links["kind"] == "isotope"])
    for ion in members.index:
        if found.parent[ion] >= 0:
            name = relations.names[found.code[ion]]
            told.role[ion] = f"{name} of {mz[found.parent[ion]]:.4f}"
        else:
            role = _role(ion, mz, told.adduct[ion], steps, relations)
            told.role[ion] = role or ("monoisotopic" if ion in has_isotopes else "reference")
    return told


def _role(
    ion: int,
    mz: NDArray[np.float64],
    adduct: str,
    steps: Mapping[int, tuple[int, int, str]],
    relations: Relations,
) -> str:
    """Adduct and step of an ion that is no heavier isotopologue; may be empty."""
    parts = [adduct] if adduct else []
    if ion in steps:
        other, code, kind = steps[ion]
        # An adduct that was read says all of a step that is an exchange of adducts.
        if kind != "adduct" or not adduct:
            name = relations.names[code]
            # "+(K-Na) of 782.5670": without the parentheses K would be won and Na lost.
            name = f"({name})" if "-" in name or "+" in name else name
            parts.append(f"{'+' if ion > other else '-'}{name} of {mz[other]:.4f}")
    return ", ".join(parts)


def _steps_from_reference(
    members: pd.DataFrame, links: pd.DataFrame, found: Envelopes
) -> dict[int, tuple[int, int, str]]:
    """Find the link by which each envelope follows from one nearer to its family's reference.

    The reference is the envelope of the ion of the highest score. Links between heavier
    isotopologues stand for links between their envelopes. Of several links to envelopes that are
    one step nearer, the strongest is taken.

    Returns
    -------
    dict
        Lightest ion of an envelope to (lightest ion of the other envelope, code, kind).
    """
    near: dict[int, list[tuple[float, int, int, str]]] = {}
    others = links[links["kind"] != "isotope"]
    for source, target, code, kind, weight in zip(
        others["source"], others["target"], others["code"], others["kind"], others["weight"],
        strict=True,
    ):  # fmt: skip
        one, other = int(found.root[source]), int(found.root[target])
        near.setdefault(one, []).append((-weight, other, code, kind))
        near.setdefault(other, []).append((-weight, one, code, kind))
    best = members.groupby("family")["score"].idxmax()
    layer = {int(found.root[ion]) for ion in best}
    told = set(layer)
    steps: dict[int, tuple[int, int, str]] = {}
    while layer:
        fresh = {other for ion in layer for _, other, _, _ in near.get(ion, ())} - told
        for ion in fresh:
            _, other, code, kind = min(step for step in near[ion] if step[1] in layer)
            steps[ion] = other, code, kind
        told |= fresh
        layer = fresh
    return steps
