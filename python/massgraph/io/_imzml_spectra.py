"""What the spectra of an imzML file say: a row of numbers each, and the meaning of their terms."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph.io._imzml_alike import Patterns
from massgraph.io._imzml_traits import (
    FILTER_STRING,
    LIGHT,
    MS_LEVEL,
    PRECURSOR_KEY,
    filter_key,
    traits_of,
)

__all__ = ["ArrayKind", "Document", "ImzMLError", "SpectrumCollector", "SpectrumTable"]

NS = "{http://psi.hupo.org/ms/mzml}"
CV, REF, GROUP = f"{NS}cvParam", f"{NS}referenceableParamGroupRef", f"{NS}referenceableParamGroup"
SPECTRUM, SPECTRUM_LIST, RUN = f"{NS}spectrum", f"{NS}spectrumList", f"{NS}run"
SCAN_LIST, SCAN = f"{NS}scanList", f"{NS}scan"
ARRAY_LIST, ARRAY = f"{NS}binaryDataArrayList", f"{NS}binaryDataArray"

# No file reaches 2^59 bytes; the limit keeps offset + 8 * length inside int64.
MAX_NUMBER = 1 << 59

POSITIONS = ("IMS:1000050", "IMS:1000051", "IMS:1000052")
AXES = dict(zip(POSITIONS, "xyz", strict=True))
OFFSET, LENGTH, ENCODED = "IMS:1000102", "IMS:1000103", "IMS:1000104"
MZ_ARRAY, INTENSITY_ARRAY = "MS:1000514", "MS:1000515"

# Integers have terms in both vocabularies, and writers use either.
PRECISIONS = {
    "MS:1000521": "<f4",
    "MS:1000523": "<f8",
    "MS:1000519": "<i4",
    "MS:1000522": "<i8",
    "IMS:1000141": "<i4",
    "IMS:1000142": "<i8",
    "IMS:1100000": "<i1",
    "IMS:1100001": "<i2",
}
PRECISION_NAMES = {
    "32-bit float": "<f4",
    "64-bit float": "<f8",
    "8-bit integer": "<i1",
    "16-bit integer": "<i2",
    "32-bit integer": "<i4",
    "64-bit integer": "<i8",
    # No vocabulary has unsigned numbers: writers say so in the name alone.
    **{
        name.format(bits): f"<u{bits // 8}"
        for bits in (8, 16, 32, 64)
        for name in ("unsigned {}-bit integer", "{}-bit unsigned integer", "uint{}")
    },
}
NO_COMPRESSION = "MS:1000576"
# zlib, and the kinds of MS-Numpress with and without it.
COMPRESSIONS = frozenset(
    {
        "MS:1000574",
        *(f"MS:100{number}" for number in (2312, 2313, 2314, 2746, 2747, 2748, 3088, 3089, 3090)),
    }
)
# The row of a spectrum without arrays, or with none that is read.
NO_ARRAYS = (0, 0, 0, 0, -1, -1, -1, -1)
OWN_ARRAY = "MS:1000786"  # non-standard data array
MOBILITY = re.compile("mobility|drift time", re.IGNORECASE)
PRECURSOR_LIST, PRECURSOR = f"{NS}precursorList", f"{NS}precursor"

Term = tuple[str, str]


class ImzMLError(InputError):
    """An imzML file cannot be read as it stands; the message says in one line where and why.

    Examples
    --------
    >>> import massgraph as mg
    >>> try:
    ...     mg.read_imzml("absent.imzML")
    ... except mg.InputError as error:
    ...     print(type(error).__name__, error)
    ImzMLError absent.imzML: cannot be read (No such file or directory)
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclass(frozen=True)
class ArrayKind:
    """What the terms of a binary array say: its role and how its numbers are stored.

    Parameters
    ----------
    role
        ``"mz"``, ``"intensity"`` or ``"other"``.
    dtypes
        numpy types the terms allow; more than one where accession and name of a term disagree.
    problem
        Why the array cannot be read, or the empty string.
    """

    role: str
    dtypes: tuple[str, ...]
    problem: str


@dataclass
class SpectrumTable:
    """One row per spectrum; pairs of columns hold the m/z array and the intensity array."""

    position: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    encoded: NDArray[np.int64]
    kind: NDArray[np.int64]
    traits: NDArray[np.int64]
    run: NDArray[np.int64]


@dataclass
class Document:
    """Everything one pass over the XML yields.

    Parameters
    ----------
    root
        The mzML element without its spectra.
    table
        Numbers per spectrum.
    kinds, traits
        What the codes in ``table.kind`` and ``table.traits`` mean; a trait is the set of
        polarities, modes and kinds a spectrum declares (see `massgraph.io._imzml_traits`).
    run_ids
        The ids of the run elements, in order.
    other_end
        Where the last array that is not read ends in the ibd, in bytes.
    mobility
        Name of an array that tells peaks apart by their ion mobility, or the empty string.
    notes
        Warnings for the reader of the file.
    """

    root: ET.Element
    table: SpectrumTable
    kinds: list[ArrayKind]
    traits: list[frozenset[str]]
    run_ids: list[str]
    other_end: int = 0
    mobility: str = ""
    notes: list[str] = field(default_factory=list)


def _key(cv: ET.Element) -> str:
    """What is remembered of a term: its accession, and its value where that counts."""
    accession = cv.get("accession", "")
    if accession == FILTER_STRING:
        return filter_key(cv.get("value", ""))
    return f"{accession}={cv.get('value', '').strip()}" if accession == MS_LEVEL else accession


def _terms(element: ET.Element) -> list[Term]:
    return [_term(cv) for cv in element.iter(CV)]


def _term(cv: ET.Element) -> Term:
    """Accession and name; of an array that no term is made for, the name that its writer gave."""
    accession, name = cv.get("accession", ""), cv.get("name", "")
    return accession, cv.get("value") or name if accession == OWN_ARRAY else name


class SpectrumCollector:
    """Gathers the numbers of the spectra, and the meaning of each distinct set of terms once."""

    def __init__(self, path: Path, root: ET.Element) -> None:
        self.path = path
        self.groups = {group.get("id", ""): _terms(group) for group in root.iter(GROUP)}
        self.group_keys = {
            group.get("id", ""): [_key(cv) for cv in group.iter(CV)] for group in root.iter(GROUP)
        }
        self.rows: list[tuple[int, ...]] = []
        self.alike: list[NDArray[np.int64]] = []
        self.n_spectra = 0
        self.fresh = False
        self.roles: list[str] = []
        self.patterns = Patterns()
        self.run_ids: list[str] = []
        self.declared: int | None = 0
        self.other_end = 0
        self.mobility = ""
        self.missing_groups: set[str] = set()
        self.notes: list[str] = []
        # Sets of terms are few and come again with every pixel: each is understood once.
        self.kinds: dict[ArrayKind, int] = {}
        self.kind_of: dict[tuple[str, ...], tuple[ArrayKind, int]] = {}
        self.traits: dict[frozenset[str], int] = {}
        self.trait_of: dict[tuple[str, ...], int] = {}
        self.meanings: list[frozenset[str]] = []

    def count(self, text: str | None) -> None:
        """Note what a spectrumList says about its own length."""
        try:
            count = whole_number(text)
        except ValueError:
            self.notes.append(f"announces {text!r} spectra, which is no number")
            # Then the sum over all lists says nothing either.
            self.declared = None
        else:
            self.declared = None if self.declared is None else self.declared + count

    def fail(self, element: ET.Element, reason: str) -> ImzMLError:
        """Make the error for a spectrum, with its position where it has one."""
        found = {cv.get("accession"): cv.get("value") for cv in element.iter(CV)}
        x, y = (found.get(accession) for accession in POSITIONS[:2])
        where = f"pixel {self.n_spectra} (id {element.get('id')!r}, x {x}, y {y})"
        return ImzMLError(f"{self.path}: {where}: {reason}")

    def number(self, element: ET.Element, text: str | None, what: str) -> int:
        """Parse a number of a spectrum, naming it where it is none."""
        if text is None:
            raise self.fail(element, f"has no {what}")
        # The common case, without the detour that odd spellings need.
        if len(text) < 18 and text.isascii() and text.isdigit():
            return int(text)
        try:
            return whole_number(text)
        except ValueError as error:
            raise self.fail(element, f"{what} is {text[:40]!r}, {error}") from None

    def add(self, element: ET.Element) -> None:
        """Take in one spectrum."""
        keys: list[str] = []
        position: dict[str, str | None] = {}
        arrays: list[ET.Element] = []
        for child in element:
            if child.tag == ARRAY_LIST:
                arrays.extend(child.iter(ARRAY))
            elif child.tag == SCAN_LIST:
                for scan in child.iter(SCAN):
                    self._own_terms(element, scan, keys, position)
            elif child.tag == PRECURSOR_LIST and child.find(PRECURSOR) is not None:
                keys.append(PRECURSOR_KEY)
        # Some writers put the position into the spectrum itself.
        self._own_terms(element, element, keys, position)
        x, y = (
            self.number(element, position.get(accession), f"position {AXES[accession]}")
            for accession in POSITIONS[:2]
        )
        # Images of one section leave z out.
        z = position.get(POSITIONS[2])
        z_number = 1 if z is None else self.number(element, z, "position z")
        traits = self._traits(tuple(keys))
        # A spectrum of light has no m/z, and is never read.
        light = LIGHT in self.meanings[traits]
        numbers = self._no_arrays(element, arrays) if light else self._arrays(element, arrays)
        self.rows.append((x, y, z_number, *numbers, traits, len(self.run_ids) - 1))
        self.n_spectra += 1
        self.fresh = True

    def add_alike(self, data: bytes, begin: int, end: int) -> int:
        """Take in the spectra after one parsed in full, to the first unlike all before.

        Parameters
        ----------
        data
            A piece of the file; the last spectrum parsed ends at `end`, and begins after `begin`
            where it is whole in this piece.

        Returns
        -------
        int
            Where the spectra that were taken in end.
        """
        self.fresh = False
        found, at = self.patterns.match(data, end, len(self.run_ids) - 1)
        if not found and (start := data.rfind(b"<spectrum ", begin, end)) >= 0:
            self.patterns.learn(data[start:end], self.rows[-1], self.roles)
            found, at = self.patterns.match(data, end, len(self.run_ids) - 1)
        if found:
            self._join_rows()
            self.alike += found
            self.n_spectra += sum(map(len, found))
        return at

    def _join_rows(self) -> None:
        if self.rows:
            self.alike.append(np.asarray(self.rows, dtype=np.int64))
            self.rows = []

    def _own_terms(
        self,
        spectrum: ET.Element,
        holder: ET.Element,
        keys: list[str],
        position: dict[str, str | None],
    ) -> None:
        """Collect the terms of a spectrum or scan: positions by value, all others by accession."""
        for child in holder:
            if child.tag == CV:
                accession = child.get("accession", "")
                if accession in AXES:
                    value = child.get("value")
                    # Twice the same is harmless; of two there is no telling which is right.
                    if position.setdefault(accession, value) != value:
                        reason = f"position {AXES[accession]} is given as {value} and as "
                        raise self.fail(spectrum, f"{reason}{position[accession]}")
                else:
                    keys.append(_key(child))
            elif child.tag == REF:
                keys.append("#" + child.get("ref", ""))

    def _group(self, name: str) -> list[Term]:
        if name not in self.groups:
            self.missing_groups.add(name)
        return self.groups.get(name, [])

    def _traits(self, keys: tuple[str, ...]) -> int:
        """Code of the polarity, mode and kind that a set of terms declares."""
        code = self.trait_of.get(keys)
        if code is None:
            terms: set[str] = set()
            for key in keys:
                if key[:1] == "#" and not self._group(key[1:]):
                    continue
                terms.update(self.group_keys[key[1:]] if key[:1] == "#" else [key])
            meaning = traits_of(terms)
            code = self.traits.setdefault(meaning, len(self.traits))
            self.trait_of[keys] = code
            self.meanings = list(self.traits)
        return code

    def _no_arrays(self, spectrum: ET.Element, arrays: list[ET.Element]) -> tuple[int, ...]:
        """Row of a spectrum whose arrays are not read."""
        self.roles = []
        for array in arrays:
            _, _, numbers = self._array(spectrum, array)
            self.roles.append("other")
            self._skip(spectrum, numbers)
        return NO_ARRAYS

    def _arrays(self, spectrum: ET.Element, arrays: list[ET.Element]) -> tuple[int, ...]:
        """Offsets, lengths, encoded lengths and kinds of the m/z and the intensity array."""
        found: dict[str, tuple[int, int, int, int]] = {}
        self.roles = []
        for array in arrays:
            kind, code, numbers = self._array(spectrum, array)
            role = kind.role
            self.roles.append(role)
            if role == "other":
                self._skip(spectrum, numbers)
                continue
            if role in found:
                raise self.fail(spectrum, f"has two {role} arrays")
            offset = self.number(spectrum, numbers.get(OFFSET), f"{role} external offset")
            length = self.number(spectrum, numbers.get(LENGTH), f"{role} array length")
            encoded = -1
            if ENCODED in numbers:
                encoded = self.number(spectrum, numbers[ENCODED], f"{role} encoded length")
            found[role] = (offset, length, encoded, code)
        # Some writers leave out the arrays of pixels without peaks.
        if not arrays:
            return NO_ARRAYS
        if len(found) < 2:
            lacking = "intensity" if "mz" in found else "m/z"
            unknown = f" (unknown parameter groups: {', '.join(sorted(self.missing_groups))})"
            # A missing group is the likely cause, because the role stands in it.
            reason = f"has no {lacking} array{unknown if self.missing_groups else ''}"
            raise self.fail(spectrum, reason)
        return tuple(n for pair in zip(found["mz"], found["intensity"], strict=True) for n in pair)

    def _array(
        self, spectrum: ET.Element, array: ET.Element
    ) -> tuple[ArrayKind, int, dict[str, str | None]]:
        """Kind of an array with its code, and the text of its offset and lengths."""
        numbers: dict[str, str | None] = {}
        keys: list[str] = []
        for child in array:
            if child.tag == CV:
                accession = child.get("accession", "")
                if accession in (OFFSET, LENGTH, ENCODED):
                    numbers[accession] = child.get("value")
                else:
                    keys.extend(_term(child))
            elif child.tag == REF:
                keys.extend(("#", child.get("ref", "")))
        kind, code = self._kind(tuple(keys))
        if kind.problem:
            raise self.fail(spectrum, kind.problem)
        return kind, code, numbers

    def _skip(self, spectrum: ET.Element, numbers: dict[str, str | None]) -> None:
        """Remember how far an array that is not read reaches, so that it is no trailing waste."""
        offset, size = (numbers.get(OFFSET), numbers.get(ENCODED) or numbers.get(LENGTH))
        if offset is not None:
            end = self.number(spectrum, offset, "external offset")
            end += self.number(spectrum, size, "external encoded length")
            self.other_end = max(self.other_end, end)

    def _kind(self, keys: tuple[str, ...]) -> tuple[ArrayKind, int]:
        known = self.kind_of.get(keys)
        if known is None:
            terms: list[Term] = []
            for first, second in zip(keys[::2], keys[1::2], strict=True):
                terms.extend(self._group(second) if first == "#" else [(first, second)])
            kind = _array_kind(terms)
            if kind.role == "other" and not self.mobility:
                self.mobility = next((name for _, name in terms if MOBILITY.search(name)), "")
            known = kind, self.kinds.setdefault(kind, len(self.kinds))
            self.kind_of[keys] = known
        return known

    def document(self, root: ET.Element) -> Document:
        """Turn the gathered rows into arrays."""
        self._join_rows()
        rows = np.concatenate(self.alike)
        if self.declared not in (None, len(rows)):
            self.notes.append(f"announces {self.declared} spectra but holds {len(rows)}")
        if self.missing_groups:
            names = ", ".join(repr(name) for name in sorted(self.missing_groups))
            self.notes.append(f"refers to parameter groups that are not defined: {names}")
        return Document(
            root=root,
            table=SpectrumTable(
                position=rows[:, :3],
                offset=rows[:, 3:5],
                length=rows[:, 5:7],
                encoded=rows[:, 7:9],
                kind=rows[:, 9:11],
                traits=rows[:, 11],
                run=rows[:, 12],
            ),
            kinds=list(self.kinds),
            traits=list(self.traits),
            run_ids=self.run_ids,
            other_end=self.other_end,
            mobility=self.mobility,
            notes=self.notes,
        )


def _array_kind(terms: list[Term]) -> ArrayKind:
    """Role, types and problem of an array from all its terms."""
    accessions = {accession for accession, _ in terms}
    if {MZ_ARRAY, INTENSITY_ARRAY} <= accessions:
        return ArrayKind("other", (), "an array is declared both m/z and intensity")
    if not accessions & {MZ_ARRAY, INTENSITY_ARRAY}:
        return ArrayKind("other", (), "")
    role = "mz" if MZ_ARRAY in accessions else "intensity"
    for accession, name in terms:
        if accession in COMPRESSIONS or (
            accession != NO_COMPRESSION and re.search("compression|numpress", name, re.I)
        ):
            problem = f"the {role} array is stored with {name or accession} ({accession}), which "
            return ArrayKind(role, (), f"{problem}is not supported; export without compression")
    # Accession and name may contradict each other: both are kept, and the lengths decide later.
    stored = {_types(accession, name): accession for accession, name in terms}
    stored.pop((), None)
    if len(stored) == 1:
        return ArrayKind(role, next(iter(stored)), "")
    if not stored:
        problem = f"the {role} array has no precision term (such as MS:1000521, 32-bit float)"
    else:
        terms_text = " and ".join(sorted(stored.values()))
        problem = f"the {role} array has {len(stored)} precision terms ({terms_text})"
    return ArrayKind(role, (), f"{problem}; state the one it is stored with")


def _types(accession: str, name: str) -> tuple[str, ...]:
    """Types of numpy that a term may stand for: by its accession and by its name."""
    named = PRECISION_NAMES.get(name)
    # There is no accession for it, so the name says more than a term of the same size.
    if named and named[1] == "u":
        return (named,)
    return tuple(dict.fromkeys(t for t in (PRECISIONS.get(accession), named) if t))


def whole_number(text: str | None) -> int:
    """Parse an integer, also one written as ``1.156e+09``; ValueError says what is wrong.

    Cardinal has written offsets in scientific notation; such numbers are exact where integral.
    """
    # No number of a file is that long, and Decimal would take its time.
    if text is None or len(text) > 60:
        msg = "which is no whole number"
        raise InputError(msg)
    text = text.strip()
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or "_" in text:
        msg = "which is no whole number"
    # The exponent is looked at first: 1e999999999 would otherwise be written out in full.
    elif value.adjusted() > 18 or abs(value) >= MAX_NUMBER:
        msg = "which is too large"
    elif value != value.to_integral_value():
        msg = "which is no whole number"
    else:
        return int(value)
    raise InputError(msg)
