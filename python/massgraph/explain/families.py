"""Ion families: groups of related ions that speak for the same class in the same way.

An ion speaks for a class by being there, or by being weak or absent. Isotopes and adducts of one
compound are first put together as a *molecule*. Then molecules of the same class that differ by a
named step (CH2, H2, a loss, ...) are joined to a *family*, strongest link first, until a family is
full. A link counts only where the relation is really drawn between the two ions, and as much as the
weaker of them speaks for the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from massgraph._util.errors import InputError
from massgraph.chem.relations import (
    ELEMENT_MASSES,
    POLARITIES,
    Relations,
    default_relations,
    parse_formula,
)
from massgraph.explain.roles import Reading, describe, envelopes

__all__ = ["DIRECTIONS", "family_table", "find_families"]

DIRECTIONS = ("more", "less")
"""Of an ion, what speaks for its class: more of it (its presence), or less (its absence)."""

SAME_MOLECULE = ("isotope", "adduct")  # all other kinds lead from one compound to another

# Measured ratios of weak ions scatter, so that the lower bound is taken with this much room.
RATIO_SLACK = 0.7

# Elements that compounds exchange among each other. Ions that differ in these alone may be two
# compounds: HCOOH joins [M-H]- to [M+HCOO]-, but also PE to PS (CO2 + H2).
ORGANIC_ELEMENTS = frozenset("CHNOPS")

# Mass changes of longer or less saturated chains. Of these C2H-2 is 2.4 mDa above Na-H: PC 34:1 and
# PC 36:4 differ by nearly what sodium and a proton do.
CHAIN_CHANGES = np.array(
    [
        carbons * ELEMENT_MASSES["C"] + hydrogens * ELEMENT_MASSES["H"]
        for carbons in range(-4, 5)
        for hydrogens in range(-10, 11)
        if carbons or hydrogens
    ]
)

# Natural abundance of an isotope over that of the most abundant one, and the mass number of that.
# Source: NIST "Atomic Weights and Isotopic Compositions with Relative Atomic Masses" (2015).
ABUNDANCE_RATIOS: dict[str, tuple[float, int]] = {
    "[13C]": (0.0107 / 0.9893, 12),
    "[15N]": (0.00364 / 0.99636, 14),
    "[18O]": (0.00205 / 0.99757, 16),
    "[34S]": (0.0425 / 0.9499, 32),
    "[37Cl]": (0.2424 / 0.7576, 35),
    "[41K]": (0.067302 / 0.932581, 39),
    "[81Br]": (0.4931 / 0.5069, 79),
}


def find_families(
    mz: ArrayLike,
    ion_class: ArrayLike,
    score: ArrayLike,
    edges: pd.DataFrame,
    relations: Relations,
    *,
    direction: ArrayLike | None = None,
    polarity: str | None = None,
    classes: Sequence[str] | None = None,
    coverage: float = 0.8,
    min_frequency: float = 0.5,
    max_error_ppm: float | None = None,
    max_ions: int = 30,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group the ions that speak for a class into families of related ions.

    Parameters
    ----------
    mz
        m/z of the ions, shape ``(n_ions,)``.
    ion_class
        Class that each ion speaks for, as an integer, shape ``(n_ions,)``; below zero for none.
    score
        How much each ion speaks for its class, at least zero, shape ``(n_ions,)``.
    edges
        Relations between ions, as `massgraph.explain.ion_network.build_ion_network` gives them.
    relations
        The relations that the codes in `edges` name.
    direction
        For each ion ``"more"`` where its presence speaks for its class, ``"less"`` where its
        absence does: families are of one direction. None (default): more, for all.
    polarity
        ``"positive"`` or ``"negative"``; None: adducts are not read.
    classes
        Names of the classes; None (default) leaves the integers in the tables.
    coverage
        Share of each class's total score, in (0, 1]: only the fewest ions that reach it are
        considered.
    min_frequency
        Smallest frequency, in [0, 1], of a relation between two ions.
    max_error_ppm
        Largest deviation of the two ions' m/z difference from the relation's mass, in ppm of the
        heavier m/z; None (default) sets no limit beyond the tolerance of the graph. Chance pairs
        lie anywhere within that tolerance, true ones near zero, so that half of it loses few.
    max_ions
        Largest number of ions that links between molecules may bring together, at least two. One
        molecule, with its isotopes and adducts, is never cut.

    Returns
    -------
    families
        One row per ion in a family, indexed by `ion` (index into `mz`), sorted by (`family`,
        `rank`); families count from 1 by falling `family_score`. Columns:

        - `family`, `mz`, `class`, `direction`, `score`, `family_score` (sum over the family);
        - `role`: the adduct where read, and how the ion follows from another one of the family
          ("13C of 760.5851", "+CH2 of 746.5694", "-H2O of 778.5957"); "monoisotopic" or
          "reference" (the ion from which the others are told) where there is no more to say;
        - `neutral_mass` (Da) and `adduct`: NaN and "" where the reading is not unambiguous;
        - `rank`: rank of the ion among all ions by score, 1 = highest, ties by m/z.
    family_edges
        The links inside the families, sorted by (`family`, falling `weight`): `family`,
        `source_mz`, `target_mz`, `source`, `target` (indices into `mz`), `relation` (name),
        `frequency`, `weight`.

    Raises
    ------
    ValueError
        Where shapes disagree, a value is out of its range, or `edges` lacks a column.

    Notes
    -----
    The weight of a link is the smaller score of its ends times its frequency. Impossible links are
    left out: isotope links where the heavier ion is more intense than any formula of that m/z
    allows (all carbon: ``m/z / 12`` atoms of 1.08 % 13C each) or clearly weaker than a single atom
    makes it (37Cl: 32 %); adduct links that a change of chains, alone or with another adduct, fits
    better (C2H-2 is 2.4 mDa above Na-H). Two ions have one link, that of the smallest error.
    Isotopologues are linked by other relations only to isotopologues of the same nominal shift.

    Molecules are the connected components of isotope and adduct links. Adducts of organic elements
    alone (HCOOH, CH3COOH) do not count among these, as compounds differ by them too. The link
    between two molecules is the sum of the weights of all other relations between their ions; going
    from the strongest to the weakest, molecules are joined unless that would bring together more
    than `max_ions` ions. Ions are ordered by m/z first, so the result does not depend on their
    order.

    An adduct is read where exactly one assignment of common adducts (rarer ones where there is
    none) satisfies all adduct links of the molecule, each adduct once.

    Examples
    --------
    Three ions of PC 34:1, the monoisotopic one with its first isotope and its sodium adduct:

    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.explain.families import find_families
    >>> from massgraph.explain.ion_network import build_ion_network
    >>> mz, relations = [760.5851, 761.5885, 782.5670], mg.default_relations("positive")
    >>> graph = mg.build_graph(mg.Spectra.from_peaks([(mz, [100, 40, 30])]), relations)
    >>> edges = build_ion_network(np.arange(3), graph)
    >>> families, _ = find_families(
    ...     mz, [0, 0, 0], [0.5, 0.2, 0.3], edges, relations, polarity="positive", coverage=1.0
    ... )
    >>> families["role"].to_dict()
    {0: '[M+H]+', 2: '[M+Na]+', 1: '13C of 760.5851'}
    """
    mz, score = np.asarray(mz, dtype=np.float64), np.asarray(score, dtype=np.float64)
    ion_class = np.asarray(ion_class)
    _check_ions(mz, ion_class, score, classes)
    _check_settings(polarity, coverage, min_frequency, max_error_ppm, max_ions)
    _check_edges(edges, mz, relations)
    more = _is_more(direction, mz.size)
    order = np.argsort(mz, kind="stable")
    ions = pd.DataFrame({"mz": mz[order], "class": ion_class[order], "score": score[order]})
    ions["more"] = more[order]
    relations = _recognise(relations, polarity)
    links = _place_links(edges, order, relations)
    links = _usable_links(links, ions["mz"].to_numpy(), relations, min_frequency, max_error_ppm)
    links = _carried_links(links, ions, _carriers(ions, coverage))
    links = _same_shift(links, relations, mz.size)
    molecule = _components(links[links["kind"].isin(SAME_MOLECULE)], mz.size)
    group = _join_molecules(molecule, links, max_ions)
    ions["molecule"], ions["family"] = molecule, _rank_groups(group, ions["score"].to_numpy())
    links = _inside(links, ions["family"].to_numpy())
    told = describe(ions, links, relations, polarity)
    return _family_rows(ions, told, order, classes), _edge_rows(links, ions, order, relations)


def _check_ions(
    mz: NDArray[np.float64],
    ion_class: NDArray[Any],
    score: NDArray[np.float64],
    classes: Sequence[str] | None,
) -> None:
    if mz.ndim != 1 or not mz.shape == ion_class.shape == score.shape:
        msg = (
            f"mz, ion_class and score differ in shape: {mz.shape}, {ion_class.shape}, {score.shape}"
        )
        raise InputError(msg)
    for name, bad in (
        ("mz", ~(np.isfinite(mz) & (mz > 0))),
        ("score", ~(np.isfinite(score) & (score >= 0))),
    ):
        if bad.any():
            ion = int(np.argmax(bad))
            value = mz[ion] if name == "mz" else score[ion]
            need = "above zero" if name == "mz" else "at least zero"
            msg = f"ion {ion}: {name} {value} is not finite and {need}"
            raise InputError(msg)
    if not np.issubdtype(ion_class.dtype, np.integer) and ion_class.size:
        msg = f"ion_class must be integers, got {ion_class.dtype}"
        raise InputError(msg)
    if classes is not None and ion_class.size and ion_class.max() >= len(classes):
        msg = f"ion_class reaches {ion_class.max()} but there are {len(classes)} names of classes"
        raise InputError(msg)


def _check_settings(
    polarity: str | None,
    coverage: float,
    min_frequency: float,
    max_error_ppm: float | None,
    max_ions: int,
) -> None:
    if polarity is not None and polarity not in POLARITIES:
        msg = f"polarity {polarity!r} is none of {POLARITIES}, nor None"
        raise InputError(msg)
    if not 0 < coverage <= 1:
        msg = f"coverage must be above 0 and at most 1, got {coverage}"
        raise InputError(msg)
    if not 0 <= min_frequency <= 1:
        msg = f"min_frequency must be between 0 and 1, got {min_frequency}"
        raise InputError(msg)
    if max_error_ppm is not None and not max_error_ppm > 0:
        msg = f"max_error_ppm must be above zero, got {max_error_ppm}"
        raise InputError(msg)
    if max_ions < 2:
        msg = f"max_ions must be at least 2, got {max_ions}"
        raise InputError(msg)


def _is_more(direction: ArrayLike | None, n_ions: int) -> NDArray[np.bool_]:
    if direction is None:
        return np.ones(n_ions, dtype=bool)
    given = np.asarray(direction, dtype=object)
    if given.shape != (n_ions,) or not set(given.tolist()) <= set(DIRECTIONS):
        msg = f"direction must hold one of {DIRECTIONS} for each of {n_ions} ions"
        raise InputError(msg)
    return np.asarray(given == DIRECTIONS[0], dtype=bool)


def _check_edges(edges: pd.DataFrame, mz: NDArray[np.float64], relations: Relations) -> None:
    needed = ("source", "target", "relation", "frequency", "intensity_ratio", "drawn_ratio")
    missing = [name for name in needed if name not in edges]
    if missing:
        msg = f"edges lack the columns {', '.join(missing)}: give what build_ion_network returns"
        raise InputError(msg)
    for name, n in (("source", mz.size), ("target", mz.size), ("relation", len(relations))):
        values = edges[name]
        if len(values) and (values.min() < 0 or values.max() >= n):
            msg = (
                f"edges: {name} must be between 0 and {n - 1}, got {values.min()} to {values.max()}"
            )
            raise InputError(msg)
    source, target = edges["source"].to_numpy(), edges["target"].to_numpy()
    backwards = mz[source] >= mz[target]
    if backwards.any():
        at = int(np.argmax(backwards))
        msg = f"edges: source must be the lighter ion, got {source[at]} to {target[at]}"
        raise InputError(msg)


def _place_links(
    edges: pd.DataFrame, order: NDArray[np.int64], relations: Relations
) -> pd.DataFrame:
    """Edges with ions numbered in order of m/z."""
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    code = edges["relation"].to_numpy(dtype=np.int64)
    return pd.DataFrame(
        {
            "source": place[edges["source"].to_numpy(dtype=np.int64)],
            "target": place[edges["target"].to_numpy(dtype=np.int64)],
            "code": code,
            "kind": np.asarray(relations.kinds, dtype=object)[code],
            "frequency": edges["frequency"].to_numpy(dtype=np.float64),
            "ratio": edges["intensity_ratio"].to_numpy(dtype=np.float64),
            "drawn_ratio": edges["drawn_ratio"].to_numpy(dtype=np.float64),
        }
    )


def _usable_links(
    links: pd.DataFrame,
    mz: NDArray[np.float64],
    relations: Relations,
    min_frequency: float,
    max_error_ppm: float | None,
) -> pd.DataFrame:
    """Keep the links that are possible and drawn often enough, one per pair of ions."""
    source, target, code = (links[name].to_numpy() for name in ("source", "target", "code"))
    difference = mz[target] - mz[source]
    error = np.abs(difference - relations.masses[code]) / mz[target] * 1e6
    least, most = _isotope_bounds(mz[source], code, relations)
    # Each bound takes the ratio that errs to its safe side: where the heavier ion is often too weak
    # to be seen, `ratio` is too low and `drawn_ratio` too high.
    keep = links["frequency"].to_numpy() >= min_frequency
    keep &= ~(links["ratio"].to_numpy() > most)
    keep &= ~(links["drawn_ratio"].to_numpy() < RATIO_SLACK * least)
    adduct = np.flatnonzero(links["kind"] == "adduct")
    otherwise = _distance_to_other(difference[adduct], relations) / mz[target[adduct]] * 1e6
    keep[adduct] &= error[adduct] <= otherwise
    if max_error_ppm is not None:
        keep &= error <= max_error_ppm
    kept: pd.DataFrame = links.assign(error=error).loc[keep]
    kept = kept.sort_values(["source", "target", "error", "code"])
    return kept.drop_duplicates(["source", "target"])


def _recognise(relations: Relations, polarity: str | None) -> Relations:
    """Settle the kinds of relations for the purpose of families.

    Relations without a formula get that of the default relation of the same mass, if any: default
    relations are at least 1 mDa apart, so that half of it leaves no doubt. Adducts of organic
    elements alone are not told from differences between compounds, and become "user".
    """
    known = default_relations(polarity)
    nearest = np.abs(relations.masses[:, None] - known.masses).argmin(axis=1)
    same = np.abs(relations.masses - known.masses[nearest]) < 0.0005
    formulas, kinds = list(relations.formulas), list(relations.kinds)
    for code in range(len(relations)):
        if same[code] and not formulas[code] and kinds[code] == "user":
            formulas[code] = known.formulas[nearest[code]]
            kinds[code] = known.kinds[nearest[code]]
        if kinds[code] == "adduct" and formulas[code]:
            organic = parse_formula(formulas[code]).keys() <= ORGANIC_ELEMENTS
            kinds[code] = "user" if organic else "adduct"
    return Relations(relations.names, relations.masses, tuple(formulas), tuple(kinds))


def _distance_to_other(
    difference: NDArray[np.float64], relations: Relations
) -> NDArray[np.float64]:
    """Distance of differences to the nearest change of chains, with or without an adduct exchange.

    K-Na is as near to K-H with a chain change (2.4 mDa) as Na-H is to a chain change alone.
    """
    adduct = [kind == "adduct" for kind in relations.kinds]
    exchanges = np.concatenate(([0.0], relations.masses[adduct]))
    others = np.sort((exchanges[:, None] + CHAIN_CHANGES).ravel())
    place = np.clip(np.searchsorted(others, difference), 1, others.size - 1)
    below, above = difference - others[place - 1], others[place] - difference
    return np.asarray(np.minimum(np.abs(below), np.abs(above)))


def _isotope_bounds(
    mz: NDArray[np.float64], code: NDArray[np.int64], relations: Relations
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest intensity of an isotopologue over that of its source.

    Of ``n`` atoms each with the abundance ratio ``r``, ``k`` are heavy with
    ``n (n - 1) ... (n - k + 1) r^k / k!``, between ``r^k`` and ``(n r)^k / k!``. Other relations
    have the bounds zero and infinity.
    """
    least, most = np.zeros(mz.shape), np.full(mz.shape, np.inf)
    for relation, (formula, kind) in enumerate(
        zip(relations.formulas, relations.kinds, strict=True)
    ):
        heavy = parse_formula(formula) if kind == "isotope" and formula else {}
        here = code == relation
        for symbol, k in heavy.items():
            if symbol in ABUNDANCE_RATIOS and k > 0:
                ratio, mass = ABUNDANCE_RATIOS[symbol]
                least[here] = ratio**k
                most[here] = (mz[here] / mass * ratio) ** k / factorial(k)
    return least, most


def _carriers(ions: pd.DataFrame, coverage: float) -> NDArray[np.bool_]:
    """Mark the fewest ions of each class that carry the share `coverage` of its score."""
    carrier = np.zeros(len(ions), dtype=bool)
    told = ions[(ions["class"] >= 0) & (ions["score"] > 0)]
    for _, score in told.groupby("class")["score"]:
        score = score.sort_values(ascending=False, kind="stable")  # noqa: PLW2901
        carried = score.cumsum().to_numpy()
        # Rounding of the sum must not ask for one ion more than reach the share.
        enough = int(np.searchsorted(carried, coverage * carried[-1] * (1 - 1e-12)))
        carrier[score.index[: enough + 1]] = True
    return carrier


def _carried_links(
    links: pd.DataFrame, ions: pd.DataFrame, carrier: NDArray[np.bool_]
) -> pd.DataFrame:
    """Keep the links between carriers of one class and direction, with their weights."""
    source, target = links["source"].to_numpy(), links["target"].to_numpy()
    score, label = ions["score"].to_numpy(), 2 * ions["class"].to_numpy() + ions["more"].to_numpy()
    weight = np.minimum(score[source], score[target]) * links["frequency"].to_numpy()
    keep = carrier[source] & carrier[target] & (label[source] == label[target]) & (weight > 0)
    kept: pd.DataFrame = links.assign(weight=weight).loc[keep]
    return kept.reset_index(drop=True)


def _same_shift(links: pd.DataFrame, relations: Relations, n_ions: int) -> pd.DataFrame:
    """Leave out links, other than isotopes, between isotopologues of different nominal shift."""
    # Molecules that differ by a step have their isotopologues, shift by shift, that step apart.
    shift = envelopes(links, relations, n_ions).shift
    same = shift[links["source"].to_numpy()] == shift[links["target"].to_numpy()]
    kept: pd.DataFrame = links.loc[same | (links["kind"] == "isotope").to_numpy()]
    return kept


def _components(links: pd.DataFrame, n_ions: int) -> NDArray[np.int32]:
    """Label of each ion's connected component; labels rise with the lightest ion."""
    ends = (links["source"].to_numpy(), links["target"].to_numpy())
    ones = np.ones(len(links), dtype=np.int8)
    graph = sp.coo_matrix((ones, ends), shape=(n_ions, n_ions))
    return np.asarray(connected_components(graph, directed=False)[1])


def _join_molecules(
    molecule: NDArray[np.int32], links: pd.DataFrame, max_ions: int
) -> NDArray[np.int64]:
    """Group of each ion: molecules joined by their links, the strongest first, up to `max_ions`."""
    ends = np.stack([molecule[links[end].to_numpy()] for end in ("source", "target")])
    pairs = pd.DataFrame(
        {"low": ends.min(axis=0), "high": ends.max(axis=0), "weight": links["weight"].to_numpy()}
    )
    pairs = pairs.groupby(["low", "high"])[["weight"]].sum().reset_index()
    # Molecules are numbered from the lightest ion, so that ties do not depend on the input's order.
    pairs = pairs.sort_values(["weight", "low", "high"], ascending=[False, True, True])
    group = np.arange(molecule.max() + 1) if molecule.size else np.empty(0, dtype=np.int64)
    members = {int(label): [int(label)] for label in group}
    size = np.bincount(molecule, minlength=group.size)
    for one, other in zip(pairs["low"], pairs["high"], strict=True):
        kept, merged = int(group[one]), int(group[other])
        if kept != merged and size[kept] + size[merged] <= max_ions:
            members[kept] += members[merged]
            group[members.pop(merged)] = kept
            size[kept] += size[merged]
    return np.asarray(group[molecule], dtype=np.int64)


def _rank_groups(group: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Family of each ion, 1 = highest summed score (ties: lightest ion first), 0 = in none."""
    labels, first, place, counts = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    total = np.bincount(place, weights=score, minlength=labels.size)
    order = np.lexsort((first, -total))
    order = order[counts[order] > 1]  # an ion by itself is no family
    number = np.zeros(labels.size, dtype=np.int64)
    number[order] = np.arange(1, order.size + 1)
    return np.asarray(number[place], dtype=np.int64)


def _inside(links: pd.DataFrame, family: NDArray[np.int64]) -> pd.DataFrame:
    """Links inside families, sorted by family and falling weight."""
    # A link may lead out of a family that was full.
    source, target = family[links["source"].to_numpy()], family[links["target"].to_numpy()]
    inside: pd.DataFrame = links.assign(family=source).loc[(source > 0) & (source == target)]
    return inside.sort_values(
        ["family", "weight", "source", "target"], ascending=[True, False, True, True]
    )


def _family_rows(
    ions: pd.DataFrame, told: Reading, order: NDArray[np.int64], classes: Sequence[str] | None
) -> pd.DataFrame:
    """Build the table of families, indexed by ions as in the user's arrays."""
    score, family = ions["score"].to_numpy(), ions["family"].to_numpy()
    rank = np.empty(score.size, dtype=np.int64)
    rank[np.argsort(-score, kind="stable")] = np.arange(1, score.size + 1)
    in_family = np.flatnonzero(family)
    in_family = in_family[np.lexsort((rank[in_family], family[in_family]))]
    label = ions["class"].to_numpy()[in_family]
    return pd.DataFrame(
        {
            "family": family[in_family],
            "mz": ions["mz"].to_numpy()[in_family],
            "role": told.role[in_family],
            "neutral_mass": told.neutral_mass[in_family],
            "adduct": told.adduct[in_family],
            "class": label if classes is None else np.asarray(classes, dtype=object)[label],
            "direction": np.where(ions["more"].to_numpy()[in_family], *DIRECTIONS).astype(object),
            "score": score[in_family],
            "family_score": np.bincount(family, weights=score, minlength=1)[family[in_family]],
            "rank": rank[in_family],
        },
        index=pd.Index(order[in_family], name="ion"),
    )


def _edge_rows(
    links: pd.DataFrame, ions: pd.DataFrame, order: NDArray[np.int64], relations: Relations
) -> pd.DataFrame:
    """Build the table of links, with ions as indices into the user's arrays."""
    source, target = links["source"].to_numpy(), links["target"].to_numpy()
    mz, names = ions["mz"].to_numpy(), np.asarray(relations.names, dtype=object)
    return pd.DataFrame(
        {
            "family": links["family"].to_numpy(),
            "source_mz": mz[source],
            "target_mz": mz[target],
            "source": order[source],
            "target": order[target],
            "relation": names[links["code"].to_numpy()],
            "frequency": links["frequency"].to_numpy(),
            "weight": links["weight"].to_numpy(),
        }
    )


def family_table(families: pd.DataFrame, ions: pd.DataFrame) -> pd.DataFrame:
    """Append the columns of the ions to the table of families.

    Parameters
    ----------
    families
        As `find_families` returns it.
    ions
        One row per ion in the order of the axis, with the column `mz` and any number of columns
        ``activation_<class>`` and ``intensity_<class>``.

    Returns
    -------
    pandas.DataFrame
        `families` with those columns after its own: activations first, then intensities.

    Raises
    ------
    ValueError
        Where the m/z of the two tables disagree.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.explain.families import family_table
    >>> families = pd.DataFrame({"family": [1, 1], "mz": [760.5851, 782.5670]}, index=[0, 2])
    >>> mz, activation = [760.5851, 770.1, 782.5670], [2.0, 0.1, 1.0]
    >>> ions = pd.DataFrame({"mz": mz, "activation_tumour": activation})
    >>> family_table(families, ions)["activation_tumour"].tolist()
    [2.0, 1.0]
    """
    index = families.index.to_numpy(dtype=np.int64)
    inside = index.size == 0 or int(index.max()) < len(ions)
    if not inside or not np.array_equal(ions["mz"].to_numpy()[index], families["mz"].to_numpy()):
        msg = "families and ions differ in m/z: both must come from the same axis"
        raise InputError(msg)
    added = [
        name
        for prefix in ("activation_", "intensity_")
        for name in ions.columns
        if str(name).startswith(prefix)
    ]
    values = ions[added].iloc[index].set_axis(families.index, axis=0)
    return pd.concat([families, values], axis=1)
