"""What the terms of a spectrum say of it: its polarity, its representation and its kind.

Kinds go by the names that users know them by: MS1, MS2 and so on by the level, SIM, SRM and others
by what the instrument did. A spectrum of light is none of a mass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "ACCESSIONS",
    "FILTER_STRING",
    "LIGHT",
    "MOBILITY",
    "MODES",
    "MS1",
    "MS_LEVEL",
    "POLARITIES",
    "PRECURSOR_KEY",
    "SIM",
    "filter_key",
    "is_kind",
    "traits_of",
]

POLARITIES = {"MS:1000129": "negative", "MS:1000130": "positive"}
# Said of a file: each spectrum is of one of them.
BOTH_POLARITIES = "MS:1002833"
# What a spectrum of one mobility among several says of itself; its value is not read.
MOBILITY = "mobility"
MOBILITIES = {
    "MS:1002476": MOBILITY,
    "MS:1002815": MOBILITY,
    "MS:1001581": MOBILITY,
    "MS:1003371": MOBILITY,
}
MODES = {"MS:1000127": "centroid", "MS:1000128": "profile"}

MS_LEVEL = "MS:1000511"
# Thermo's summary of a scan, as in "FTMS - p ESI Full ms2 760.58@hcd30.00 [100.00-800.00]".
FILTER_STRING = "MS:1000512"
FILTER = re.compile(r"^\s*\w+ ([+-]) .*?\bms([0-9]{0,2})\b", re.IGNORECASE)
FILTER_POLARITIES = {"+": "positive", "-": "negative"}
# Stands among the terms of a spectrum for a precursor that it names.
PRECURSOR_KEY = "precursor"
LIGHT, MS1, MSN, SIM = "UV", "MS1", "MSn", "SIM"
PLAIN = {"MS:1000579": MS1, "MS:1000580": MSN, "MS:1000343": MSN}
# These say more than the level that stands beside them.
SPECIAL = {
    "MS:1000582": SIM,
    "MS:1000583": "SRM",
    "MS:1000581": "CRM",
    "MS:1000341": "precursor-ion",
    "MS:1000325": "neutral-gain",
    "MS:1000326": "neutral-loss",
    "MS:1000322": "charge-inversion",
    "MS:1000328": "e/2",
    "MS:1000928": "calibration",
    "MS:1000789": "multiply-charged",
    "MS:1000790": "time-delayed",
    "MS:1000804": LIGHT,
    "MS:1000805": LIGHT,
    "MS:1000806": LIGHT,
    "MS:1000620": LIGHT,
}
KINDS = frozenset({*PLAIN.values(), *SPECIAL.values()})
HIGHEST_LEVEL = 20  # no instrument fragments fragments more often


# All terms of a file that say something of its spectra without a value.
ACCESSIONS = (*POLARITIES, BOTH_POLARITIES, *MODES, *PLAIN, *SPECIAL)


def traits_of(terms: Iterable[str]) -> frozenset[str]:
    """Polarities, representations and kinds that a set of terms declares.

    Parameters
    ----------
    terms
        Accessions; that of the MS level with its value, as in ``MS:1000511=2``.

    Returns
    -------
    frozenset of str
        More than one of a sort where the terms contradict each other.
    """
    found = set(terms)
    simple = {
        meanings[term]
        for term in found
        for meanings in (POLARITIES, MODES, MOBILITIES)
        if term in meanings
    }
    if not simple & set(POLARITIES.values()):
        simple.update(FILTER_POLARITIES[sign] for sign, _ in _filters(found))
    both = set(POLARITIES.values()) if BOTH_POLARITIES in found else set()
    return frozenset(simple | both | _kinds(found))


def _kinds(terms: set[str]) -> set[str]:
    special = {SPECIAL[term] for term in terms if term in SPECIAL}
    if special:
        return special
    named = {PLAIN[term] for term in terms if term in PLAIN}
    if PRECURSOR_KEY in terms:
        named.add(MSN)
    levels = {level for term in terms if (level := _level(term)) > 0}
    # Of fragments a filter says so surely; of others many a filter says nothing.
    levels |= {level for _, level in _filters(terms) if level > 1}
    by_level = {f"MS{level}" for level in levels}
    # "MSn" is any level but the first, so that it agrees with each of those.
    return by_level | (named - {MSN} if levels - {1} else named)


def filter_key(text: str) -> str:
    """What is remembered of a filter string: polarity and level, and nothing that varies.

    Examples
    --------
    >>> from massgraph.io._imzml_traits import filter_key
    >>> filter_key("FTMS - p ESI Full ms2 760.58@hcd30.00 [100.00-800.00]")
    'filter -2'
    """
    found = FILTER.match(text)
    return f"filter {found[1]}{found[2] or 1}" if found else FILTER_STRING


def _filters(terms: set[str]) -> list[tuple[str, int]]:
    """Sign and level of filter strings among terms."""
    said = [term.removeprefix("filter ") for term in terms if term.startswith("filter ")]
    return [(one[0], min(int(one[1:]), HIGHEST_LEVEL)) for one in said]


def _level(term: str) -> int:
    """The MS level that a term gives; 0 where it gives none, or one that cannot be."""
    name, _, value = term.partition("=")
    if name != MS_LEVEL or not (value.isascii() and value.isdigit()) or len(value) > 2:
        return 0
    return int(value) if int(value) <= HIGHEST_LEVEL else 0


def is_kind(trait: str) -> bool:
    """Whether a trait is a kind of spectrum: MS1, MS2, SIM, UV ..."""
    return trait in KINDS or _level(f"{MS_LEVEL}={trait.removeprefix('MS')}") > 0
