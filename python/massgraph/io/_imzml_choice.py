"""Which spectra of an imzML file are read, and what they are: kind, polarity, representation.

Spectra of other kinds or of the other polarity show other ions: read together they are a wrong
answer, so that a file of several is read only by choice. What a spectrum says itself is believed
before what the file says of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph.io._imzml_spectra import Document, ImzMLError, SpectrumTable
from massgraph.io._imzml_traits import LIGHT, MODES, MS1, POLARITIES, SIM, is_kind

__all__ = ["UNCLEAR", "Choice", "choose_spectra"]

Said = frozenset[str]
# What stands for a representation that a spectrum does not say, or says in two ways.
UNCLEAR = ""
NAMES_OF_POLARITY, NAMES_OF_MODE = frozenset(POLARITIES.values()), frozenset(MODES.values())
# Kinds that are read unasked, if all spectra are of one: they show ions as they were.
READ_UNASKED = (MS1, SIM)


@dataclass(frozen=True)
class Choice:
    """The spectra of a file that are read.

    Parameters
    ----------
    document
        The file with these spectra alone.
    rows
        Their indices among all spectra of the file, ascending.
    left_out
        Positions of the others, shape ``(n, 3)``, and the run of each as a code, shape ``(n,)``.
    polarity
        The one polarity of those read, or None.
    mode
        ``"centroid"``, ``"profile"`` or `UNCLEAR` for each spectrum that is read.
    kinds, polarities
        Numbers of all spectra of the file by kind, and by polarity where they declare one.
    notes
        Warnings for the reader of the file.
    """

    document: Document
    rows: NDArray[np.int64]
    left_out: tuple[NDArray[np.int64], NDArray[np.int64]]
    polarity: str | None
    mode: NDArray[np.str_]
    kinds: dict[str, int]
    polarities: dict[str, int]
    notes: list[str]


def choose_spectra(
    path: Path,
    document: Document,
    whole: Said,
    *,
    kind: str | None = None,
    polarity: str | None = None,
    strict: bool = True,
) -> Choice:
    """Choose the spectra that are read.

    Parameters
    ----------
    path
        For messages.
    document
        The parsed file.
    whole
        Traits that the file declares for all its spectra.
    kind, polarity
        What the user wants; None: all, if they are of one kind and one polarity.
    strict
        Whether a file of several is refused; else it is described in `notes`, and spectra of light
        alone are left out.

    Raises
    ------
    ImzMLError
        Where a choice is needed, or is of what is not there.
    """
    chooser = _Chooser(path, document, whole, strict)
    chooser.choose_kind(kind)
    chooser.choose_polarity(polarity)
    return chooser.choice()


class _Chooser:
    """Codes of traits that stay, and what is to be said of them."""

    def __init__(self, path: Path, document: Document, whole: Said, strict: bool) -> None:
        self.path, self.document, self.whole, self.strict = path, document, whole, strict
        self.counts = np.bincount(document.table.traits, minlength=len(document.traits))
        self.all: list[int] = np.flatnonzero(self.counts).tolist()
        self.kept = self.all
        self.some_say = any(is_kind(one) for code in self.all for one in document.traits[code])
        self.kinds = [self._kind(trait) for trait in document.traits]
        self.polarities = [self._polarity(trait) for trait in document.traits]
        self.polarity: str | None = None
        self.notes: list[str] = []

    def _polarity(self, trait: Said) -> Said:
        """What a spectrum says, or the file for it where it says but one thing."""
        whole = self.whole & NAMES_OF_POLARITY
        return trait & NAMES_OF_POLARITY or (whole if len(whole) == 1 else frozenset())

    def _kind(self, trait: Said) -> Said:
        own = frozenset(filter(is_kind, trait))
        whole = frozenset(filter(is_kind, self.whole))
        if own or len(whole) == 1:
            return own or whole
        # What is said nowhere is an ordinary spectrum; a file of several must say which are which.
        return frozenset() if whole and not self.some_say else frozenset({MS1})

    def _count(self, codes: Iterable[int]) -> int:
        return int(sum(self.counts[code] for code in codes))

    def _tally(self, meanings: list[Said], codes: list[int]) -> dict[str, int]:
        """Numbers of spectra by what they are; those that say two things are of both."""
        found: dict[str, int] = {}
        for code in codes:
            for name in meanings[code]:
                found[name] = found.get(name, 0) + int(self.counts[code])
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    def _problem(self, text: str) -> None:
        if self.strict:
            msg = f"{self.path}: {text}"
            raise ImzMLError(msg)
        self.notes.append(text)

    # ---------------------------------------------------------------- kinds

    def choose_kind(self, wanted: str | None) -> None:
        found = self._tally(self.kinds, self.kept)
        masses = [code for code in self.kept if self.kinds[code] != {LIGHT}]
        if not masses:
            msg = f"{self.path}: holds spectra of light ({LIGHT}) and none of masses"
            raise ImzMLError(msg)
        if wanted is not None:
            self._take_kind(wanted, found)
            return
        names = {name for code in masses for name in self.kinds[code]}
        doubtful = [code for code in masses if len(self.kinds[code]) > 1]
        if doubtful:
            self._problem(
                f"declares {self._count(doubtful)} spectra as {_both(self.kinds, doubtful)} at "
                f"once; say which they are: {_offers(names, 'kind')}"
            )
        elif len(found) > 1:
            self._problem(
                f"holds spectra of several kinds ({_listed(found)}), which show other ions; "
                f"choose one: {_offers(names, 'kind')}"
            )
        elif not names <= {*READ_UNASKED}:
            (name,) = names
            self._problem(
                f"holds {name} spectra ({found[name]}), which show other ions than {MS1} spectra; "
                f"{_offers(names, 'kind')} reads them all the same"
            )
        self._note_kinds(found, masses)
        self.kept = masses

    def _note_kinds(self, found: dict[str, int], masses: list[int]) -> None:
        whole = set(filter(is_kind, self.whole))
        unsaid = [code for code in masses if not self.kinds[code]]
        if unsaid:
            self.notes.append(
                f"declares {_joined(whole)} for the file but not which spectra are which; all "
                f"{self._count(unsaid)} that do not say were read as {MS1}"
            )
        if set(found) == {SIM}:
            self.notes.append(f"holds {SIM} spectra: ions outside of their windows are missing")
        elif self.some_say and whole and not self._agree(whole, set(found)):
            self.notes.append(
                f"declares {_joined(whole)} for the file but {_joined(found)} for its spectra"
            )

    @staticmethod
    def _agree(whole: set[str], found: set[str]) -> bool:
        # "MSn" stands for all levels but the first.
        return bool(whole & found) or ("MSn" in whole and found != {MS1})

    def _take_kind(self, wanted: str, found: dict[str, int]) -> None:
        by_name = {name.lower(): name for name in found if name != LIGHT}
        name = by_name.get(wanted.lower(), wanted)
        unsaid = wanted.lower() in {one.lower() for one in (MS1, *self.whole)}
        kept = [
            code
            for code in self.kept
            if name in self.kinds[code] or (not self.kinds[code] and unsaid)
        ]
        if not kept:
            msg = f"{self.path}: holds no {wanted} spectra (it holds {_listed(found)})"
            raise ImzMLError(msg)
        self.kept = kept

    # ---------------------------------------------------------------- polarities

    def choose_polarity(self, wanted: str | None) -> None:
        found = self._tally(self.polarities, self.kept)
        if wanted is not None:
            self._take_polarity(wanted, found)
            return
        whole = self.whole & NAMES_OF_POLARITY
        silent = [code for code in self.kept if not self.polarities[code]]
        if silent and len(whole) > 1:
            self._problem(
                f"declares both polarities, but not of which {self._count(silent)} of its spectra "
                "are; export it again, or, if they are of one, say so: "
                f"{_offers(whole, 'polarity')}"
            )
        elif not found:
            self.notes.append("declares no polarity")
        elif len(found) > 1:
            doubtful = [code for code in self.kept if len(self.polarities[code]) > 1]
            said = (
                f"declares {self._count(doubtful)} spectra as positive and negative at once"
                if doubtful
                else f"holds spectra of both polarities ({_listed(found)})"
            )
            self._problem(f"{said}; choose one: {_offers(found, 'polarity')}")
        else:
            (self.polarity,) = found
            if whole - set(found):
                self.notes.append(
                    f"declares polarity {_joined(whole)} for the file but {self.polarity} for "
                    "its spectra"
                )

    def _take_polarity(self, wanted: str, found: dict[str, int]) -> None:
        if wanted not in found and found:
            way = advise(f'polarity="{wanted}"', cli=f"--polarity {wanted}")
            msg = (
                f"{self.path}: says that it is of {_joined(found)} polarity, but {way} asks for "
                "the other"
            )
            raise ImzMLError(msg)
        unsaid = [code for code in self.kept if not self.polarities[code]]
        # Beside both polarities, a spectrum that does not say may be of either.
        if len(found) > 1 and unsaid:
            self.notes.append(
                f"{self._count(unsaid)} spectra declare no polarity beside others of both, and "
                "were left out"
            )
            self.kept = [code for code in self.kept if self.polarities[code]]
        self.kept = [
            code
            for code in self.kept
            if not self.polarities[code] or wanted in self.polarities[code]
        ]
        self.polarity = wanted

    # ---------------------------------------------------------------- what is left

    def choice(self) -> Choice:
        table = self.document.table
        stays = np.isin(table.traits, self.kept)
        rows = np.flatnonzero(stays)
        return Choice(
            document=_with_rows(self.document, rows),
            rows=rows,
            left_out=(table.position[~stays], table.run[~stays]),
            polarity=self.polarity,
            mode=self._modes()[table.traits[rows]],
            kinds=self._tally(self.kinds, self.all),
            polarities=self._tally(self.polarities, self.all),
            notes=self.notes,
        )

    def _modes(self) -> NDArray[np.str_]:
        """Representation by code of traits."""
        said = [trait & NAMES_OF_MODE for trait in self.document.traits]
        own = {name for code in self.kept for name in said[code]}
        whole = self.whole & NAMES_OF_MODE
        both = [code for code in self.kept if len(said[code]) > 1]
        if not own and not whole:
            self.notes.append("declares no representation")
        if both:
            self.notes.append(
                f"declares {self._count(both)} spectra as centroid and profile at once"
            )
        elif own and whole - own:
            self.notes.append(
                f"declares representation {_joined(whole)} for the file but {_joined(own)} for "
                "its spectra"
            )
        # Where nothing is said of a spectrum, it is as all the others are.
        rest = whole or (own if len(own) == 1 else set())
        settled = [one or (rest if len(rest) == 1 else frozenset()) for one in said]
        return np.array(
            [next(iter(one)) if len(one) == 1 else UNCLEAR for one in settled], dtype=np.str_
        )


def _with_rows(document: Document, rows: NDArray[np.int64]) -> Document:
    """The file with some of its spectra; the arrays of the others are no trailing waste."""
    table = document.table
    if rows.size == len(table.traits):
        return document
    others = np.setdiff1d(np.arange(len(table.traits)), rows)
    # No number takes more than 8 bytes.
    size = np.where(table.encoded[others] >= 0, table.encoded[others], 8 * table.length[others])
    end = (table.offset[others] + np.maximum(size, 0)).max(initial=0)
    columns = {name: values[rows] for name, values in vars(table).items()}
    return replace(
        document, table=SpectrumTable(**columns), other_end=max(document.other_end, int(end))
    )


def _joined(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def _listed(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "none that says"


def _both(kinds: list[Said], codes: list[int]) -> str:
    return _joined({name for code in codes for name in kinds[code]})


def _offers(names: Iterable[str], option: str) -> str:
    """How to choose one of some names."""
    return " or ".join(
        advise(f'{option}="{name}"', cli=f"--{option} {name}") for name in sorted(names)
    )
