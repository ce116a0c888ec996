"""Spectra of an imzML file that differ from one before them in nothing but numbers.

An XML parser takes some 100 microseconds for a spectrum. Nearly all spectra of a file are written
alike, so one that has been parsed in full makes a pattern for those that follow: they must match it
to the last character, except in numbers. What does not match is left to the XML parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError

__all__ = ["COLUMNS", "Pattern", "Patterns"]

# Columns of a row: x, y, z; offset, length and encoded length of the m/z and of the intensity
# array; and what numbers do not tell: kinds of the arrays, traits and run.
COLUMNS = 13
POSITIONS = {b"IMS:1000050": 0, b"IMS:1000051": 1, b"IMS:1000052": 2}
ARRAY_NUMBERS = {b"IMS:1000102": 3, b"IMS:1000103": 5, b"IMS:1000104": 7}
ROLES = ("mz", "intensity")

TAG = re.compile(rb"<[^<>]*>")
ATTRIBUTE = re.compile(rb'(\s)([A-Za-z]+)="([^"<&]*)"')
ACCESSION = re.compile(rb'\saccession="([^"]*)"')
# Attributes whose value says nothing that is read, by the name of the element.
FREE = {
    b"spectrum": (b"id", b"index", b"defaultArrayLength", b"spotID", b"nativeID"),
    b"binaryDataArray": (b"encodedLength", b"arrayLength"),
    b"cvParam": (b"value",),
}
# Terms whose value says what a spectrum is: it stays as it was in the spectrum parsed in full.
SAID = (b"MS:1000511", b"MS:1000512")
# Printable ASCII without what ends a value: no other text is passed over unparsed.
ANYTHING = rb"[ !#-%'-;=-~]*"
NUMBER = rb"([0-9]{1,17})"
# Spectra of more different forms than these are written by hand, or to be slow.
MOST_PATTERNS = 8


class Pattern:
    """What a spectrum looks like.

    Parameters
    ----------
    text
        The spectrum as it stands in the file, ASCII or a superset of it.
    row
        What the full parse made of it, `COLUMNS` numbers.
    roles
        Roles of its arrays, in order.

    Raises
    ------
    ValueError
        Where the numbers of the row cannot be found in the text again.
    """

    def __init__(self, text: bytes, row: Sequence[int], roles: Sequence[str]) -> None:
        if b"<!" in text or b"<?" in text:
            msg = "the spectrum holds comments or instructions"
            raise InputError(msg)
        self.columns: list[int] = []
        self._arrays = iter(roles)
        self._role = ""
        pieces, at = [], 0
        for tag in TAG.finditer(text):
            pieces += [re.escape(text[at : tag.start()]), self._tag(tag[0])]
            at = tag.end()
        self._pattern = re.compile(rb"[ \t\r\n]*" + b"".join([*pieces, re.escape(text[at:])]))
        self.row = np.array(row, dtype=np.int64)
        found = self._pattern.fullmatch(text)
        numbers = [] if found is None else [int(number) for number in found.groups()]
        once = len(set(self.columns)) == len(self.columns) and {0, 1} <= set(self.columns)
        if found is None or not once or self.row[self.columns].tolist() != numbers:
            msg = "the spectrum does not say what it was parsed as"
            raise InputError(msg)

    def _tag(self, tag: bytes) -> bytes:
        """Pattern of a tag."""
        name = re.split(rb"[\s/>]", tag[1:], maxsplit=1)[0]
        accession = ACCESSION.search(tag)
        if name == b"binaryDataArray":
            self._role = next(self._arrays, "")
        if accession and accession[1] in SAID:
            return re.escape(tag)
        column = self._column(accession[1]) if name == b"cvParam" and accession else None
        pieces, at = [], 0
        for attribute in ATTRIBUTE.finditer(tag):
            if attribute[2] not in FREE.get(name, ()):
                continue
            pieces.append(re.escape(tag[at : attribute.start(3)]))
            if column is None:
                pieces.append(ANYTHING)
            else:
                pieces.append(NUMBER)
                self.columns.append(column)
            at = attribute.end(3)
        return b"".join([*pieces, re.escape(tag[at:])])

    def _column(self, accession: bytes) -> int | None:
        """Where in a row the value of a term stands."""
        if accession in ARRAY_NUMBERS:
            if self._role not in ROLES:
                msg = "the spectrum has the place of an array outside of one"
                raise InputError(msg)
            return ARRAY_NUMBERS[accession] + ROLES.index(self._role)
        return POSITIONS.get(accession)

    def match(self, data: bytes, at: int) -> tuple[list[bytes], int, int]:
        """Numbers of the spectra from `at` on that look like this, how many, and where they end."""
        numbers: list[bytes] = []
        n, match = 0, self._pattern.match
        while found := match(data, at):
            numbers.extend(found.groups())
            at = found.end()
            n += 1
        return numbers, n, at

    def rows(self, numbers: list[bytes], n: int, run: int) -> NDArray[np.int64]:
        """Rows of `n` spectra of a run from the numbers that they were matched with."""
        rows = np.tile(self.row, (n, 1))
        rows[:, -1] = run
        rows[:, self.columns] = np.array(numbers).astype(np.int64).reshape(n, -1)
        return rows


class Patterns:
    """The patterns met in a file, the last used first."""

    def __init__(self) -> None:
        self._known: list[Pattern] = []

    def learn(self, text: bytes, row: Sequence[int], roles: Sequence[str]) -> None:
        """Take the form of a spectrum that was parsed in full, where numbers are all it has."""
        if len(self._known) >= MOST_PATTERNS or not set(roles) <= set(ROLES):
            return
        try:
            self._known.insert(0, Pattern(text, row, roles))
        except ValueError:
            return

    def match(self, data: bytes, at: int, run: int) -> tuple[list[NDArray[np.int64]], int]:
        """Rows of the spectra from `at` on that look like one before, and where they end."""
        found: list[NDArray[np.int64]] = []
        again = True
        while again:
            again = False
            for pattern in self._known:
                numbers, n, end = pattern.match(data, at)
                if n:
                    found.append(pattern.rows(numbers, n, run))
                    self._known.remove(pattern)
                    self._known.insert(0, pattern)
                    at, again = end, True
                    break
        return found, at
