"""The binary half of imzML: the .ibd beside the XML, its identity, and reading ranges of it.

Every offset and length is checked against the size of the file before anything is allocated.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.io._imzml_header import Header
from massgraph.io._imzml_spectra import ArrayKind, Document, ImzMLError, SpectrumTable

__all__ = ["Arrays", "IbdFile", "find_ibd", "locate_arrays"]

WRAP = 1 << 32
# A span of the file is read at once where it is at most so many times as long as what is asked for:
# intensities of 4 bytes between m/z of 8 are a third of it.
MAX_WASTE = 3.5
ROLES = ("mz", "intensity")

Where = Callable[[int], str]


def find_ibd(path: Path, uuid: str | None = None) -> Path:
    """Return the .ibd that belongs to an imzML file, in whatever case its name is written.

    Where it is missing, the error names the file in the folder that begins with the `uuid` or is
    a compressed one.
    """
    # Only what is an ending: in "slide.v2" it belongs to the name.
    named = path.suffix.lower() in (".imzml", ".xml")
    exact = path.with_suffix(".ibd") if named else path.with_name(f"{path.name}.ibd")
    if exact.is_file():
        return exact
    # Pairs that were made on Windows often differ in case, which Linux minds.
    wanted, others = exact.name.lower(), sorted(path.parent.iterdir())
    same = [other for other in others if other.name.lower() == wanted]
    if len(same) == 1 and same[0].is_file():
        return same[0]
    found = f"; found {', '.join(other.name for other in same)}" if same else ""
    msg = f"{path}: its binary data {exact.name} is missing from the same folder"
    hint = found or _hint(exact, others, uuid)
    raise ImzMLError(msg + hint)


def _hint(exact: Path, others: list[Path], uuid: str | None) -> str:
    """What in the folder may be the binary data under another name."""
    packed = [
        other.name for other in others if other.name.lower().startswith(f"{exact.name.lower()}.")
    ]
    if packed:
        return f"; found {packed[0]}: unpack it first"
    for other in others:
        if uuid and other.suffix.lower() == ".ibd" and other.is_file():
            with other.open("rb") as stream:
                if uuid in _spellings(stream.read(16)):
                    return f"; {other.name} carries its UUID: rename it to {exact.name}"
    return ""


def _spellings(stored: bytes) -> tuple[str, str]:
    # .NET writes the first three fields of a UUID in the other byte order.
    swapped = stored[3::-1] + stored[5:3:-1] + stored[7:5:-1] + stored[8:]
    return stored.hex(), swapped.hex()


class IbdFile:
    """An open .ibd file; reads are locked, so that threads can share one reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream: BinaryIO = path.open("rb")
        except OSError as error:
            msg = f"{path}: cannot be read ({error.strerror or error})"
            raise ImzMLError(msg) from error
        self.size = self._stream.seek(0, 2)
        # Seeking and reading are two steps, between which another thread could seek.
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._stream.close()

    def read(self, start: int, stop: int) -> memoryview:
        """Bytes of ``start:stop``; `ImzMLError` where the file has become shorter."""
        data = bytearray(stop - start)
        with self._lock:
            if self._stream.closed:
                msg = f"{self.path}: the reader is closed"
                raise InputError(msg)
            self._stream.seek(start)
            # In place: of a large block a second copy would be felt.
            got = self._stream.readinto(data)  # type: ignore[attr-defined]
        if got != stop - start:
            msg = f"{self.path}: ends at byte {start + got} while being read; was it changed?"
            raise ImzMLError(msg)
        return memoryview(data)

    def check_uuid(self, header: Header) -> None:
        """Refuse a file that does not begin with the UUID the imzML declares."""
        if header.uuid is None:
            return
        if self.size < 16:
            msg = f"{self.path}: has {self.size} bytes, fewer than its 16-byte UUID; copy it again"
            raise ImzMLError(msg)
        stored = bytes(self.read(0, 16))
        if header.uuid not in _spellings(stored):
            msg = (
                f"{self.path}: begins with UUID {stored.hex()} but the imzML declares "
                f"{header.uuid}: is it from another file? check_uuid=False (--ignore-uuid on the "
                "command line) reads it all the same"
            )
            raise ImzMLError(msg)

    def check_digests(self, checksums: dict[str, str]) -> None:
        """Refuse a file whose content does not give the digests that the imzML declares."""
        digests = [hashlib.new(name, usedforsecurity=False) for name in checksums]
        # 16 MiB at a time, because the file may be larger than memory.
        for start in range(0, self.size, 1 << 24):
            block = self.read(start, min(start + (1 << 24), self.size))
            for digest in digests:
                digest.update(block)
        for name, digest in zip(checksums, digests, strict=True):
            if digest.hexdigest() != checksums[name]:
                msg = (
                    f"{self.path}: has {name} {digest.hexdigest()} but the imzML declares "
                    f"{checksums[name]}: the file is damaged or was changed; copy it again"
                )
                raise ImzMLError(msg)


# -------------------------------------------------------------------- where the arrays lie


@dataclass(frozen=True)
class Arrays:
    """Checked places of all m/z and intensity arrays.

    Parameters
    ----------
    offset, size
        First byte and number of bytes, int64, shape ``(n_pixels, 2)``: m/z, then intensity.
    dtype
        numpy types of each pixel's two arrays, as codes into `dtypes`, shape ``(n_pixels, 2)``.
    dtypes
        The types, little-endian.
    length
        Number of points of each pixel, shape ``(n_pixels,)``.
    """

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    dtype: NDArray[np.int64]
    dtypes: list[np.dtype[np.generic]]
    length: NDArray[np.int64]

    def check_header(self, where: Where) -> None:
        """Refuse arrays that lie inside the 16 bytes of the UUID."""
        inside = (self.size > 0) & (self.offset < 16)
        if inside.any():
            row, column = _first(inside)
            msg = (
                f"{where(row)}: the offset of the {ROLES[column]} array is "
                f"{self.offset[row, column]}, inside the UUID in the first 16 bytes of the .ibd"
            )
            raise ImzMLError(msg)

    def take(self, order: NDArray[np.int64]) -> Arrays:
        """Places of the arrays in another order."""
        return Arrays(
            self.offset[order],
            self.size[order],
            self.dtype[order],
            self.dtypes,
            self.length[order],
        )

    def signed_bits(self, start: int, stop: int) -> NDArray[np.int64]:
        """Bits of the signed integers that the intensities of pixels are; 0 of other numbers."""
        bits = np.asarray([8 * one.itemsize if one.kind == "i" else 0 for one in self.dtypes])
        return bits[self.dtype[start:stop, 1]]

    def read(
        self, ibd: IbdFile, start: int, stop: int, column: int, dtype: type[np.generic]
    ) -> NDArray[np.generic]:
        """Concatenate the m/z (column 0) or intensities (column 1) of pixels ``start:stop``."""
        out = np.empty(int(self.length[start:stop].sum()), dtype=dtype)
        if not out.size:
            return out
        offset, size = self.offset[start:stop, column], self.size[start:stop, column]
        used = size > 0
        first, last = int(offset[used].min()), int((offset + size)[used].max())
        # One large read beats thousands of small ones, even with some bytes for nothing.
        whole = None
        if last - first <= MAX_WASTE * size.sum() + (1 << 16):
            whole = ibd.read(first, last)
        at = 0
        codes = self.dtype[start:stop, column].tolist()
        for begin, count, code in zip(offset.tolist(), size.tolist(), codes, strict=True):
            if not count:
                continue
            if whole is None:
                data = ibd.read(begin, begin + count)
            else:
                data = whole[begin - first : begin - first + count]
            values = np.frombuffer(data, dtype=self.dtypes[code])
            out[at : at + values.size] = values
            at += values.size
        return out


def locate_arrays(
    document: Document, header: Header, ibd: IbdFile, where: Where, notes: list[str]
) -> Arrays:
    """Check the places of all arrays against the .ibd and each other.

    Parameters
    ----------
    document, header, ibd
        The parsed XML and the open binary file.
    where
        Gives the words that name a pixel.
    notes
        Warnings are appended here.

    Raises
    ------
    ImzMLError
        Where an array does not fit the file, the lengths of a pixel's arrays differ, the encoded
        length contradicts the precision, or a continuous file has more than one m/z axis.
    """
    table = document.table
    _check_lengths(table, where)
    dtype, dtypes = _dtypes(document, where, notes)
    itemsize = np.asarray([one.itemsize for one in dtypes], dtype=np.int64)[dtype]
    # No overflow: lengths and offsets stay below 2^59 where they are parsed.
    size = table.length * itemsize
    _check_encoded(table, size, dtypes, dtype, where)
    offset = _unwrap(table.offset, size, ibd.size, notes)
    _check_inside(offset, size, ibd, where)
    if header.layout == "continuous":
        _check_shared(offset, table.length, where)
    _note_order(offset, size, document.other_end, ibd.size, notes)
    return Arrays(offset, size, dtype, dtypes, table.length[:, 0])


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return int(row), int(column)


def _check_lengths(table: SpectrumTable, where: Where) -> None:
    negative = table.length < 0
    if negative.any():
        row, column = _first(negative)
        value = table.length[row, column]
        msg = f"{where(row)}: the length of the {ROLES[column]} array is {value}, below zero"
        raise ImzMLError(msg)
    differ = table.length[:, 0] != table.length[:, 1]
    if differ.any():
        row = int(np.argmax(differ))
        mz, intensity = table.length[row]
        msg = f"{where(row)}: has {mz} m/z but {intensity} intensities; export the file again"
        raise ImzMLError(msg)


def _dtypes(
    document: Document, where: Where, notes: list[str]
) -> tuple[NDArray[np.int64], list[np.dtype[np.generic]]]:
    """Type of every array, as codes; a term at odds with its name is settled by the file itself."""
    kinds = [
        _settle(kind, code, document, where, notes) for code, kind in enumerate(document.kinds)
    ]
    names = sorted(set(kinds) | {"<f4"})
    code_of = np.asarray([names.index(kind) for kind in kinds] + [names.index("<f4")])
    # A pixel without arrays has kind -1 and takes the last code; it has nothing to read.
    return code_of[document.table.kind], [np.dtype(name) for name in names]


def _settle(kind: ArrayKind, code: int, document: Document, where: Where, notes: list[str]) -> str:
    """Choose the type by the encoded lengths where accession and name of a term disagree.

    Some converters write the accession of one precision with the name of another.
    """
    if len(kind.dtypes) < 2:
        return kind.dtypes[0] if kind.dtypes else "<f4"
    table = document.table
    rows, columns = np.nonzero((table.kind == code) & (table.length > 0))
    ratio = table.encoded[rows, columns] / table.length[rows, columns]
    fits = [name for name in kind.dtypes if np.all(ratio == np.dtype(name).itemsize)]
    if len(fits) != 1 or not rows.size:
        listed = " or ".join(np.dtype(name).name for name in kind.dtypes)
        pixel = where(int(rows[0]) if rows.size else 0)
        msg = f"{pixel}: the precision of the {kind.role} array reads as {listed}; state one"
        raise ImzMLError(msg)
    chosen = np.dtype(fits[0]).name
    notes.append(f"precision of the {kind.role} array contradicts its name; read as {chosen}")
    return fits[0]


def _check_encoded(
    table: SpectrumTable,
    size: NDArray[np.int64],
    dtypes: list[np.dtype[np.generic]],
    dtype: NDArray[np.int64],
    where: Where,
) -> None:
    # -1 stands for a length that the file does not give.
    differ = (table.encoded >= 0) & (table.encoded != size)
    if differ.any():
        row, column = _first(differ)
        msg = (
            f"{where(row)}: the {ROLES[column]} array takes {table.encoded[row, column]} bytes, "
            f"but {table.length[row, column]} values of {dtypes[dtype[row, column]].name} take "
            f"{size[row, column]}; the precision term or the length is wrong"
        )
        raise ImzMLError(msg)


def _unwrap(
    offset: NDArray[np.int64], size: NDArray[np.int64], ibd_size: int, notes: list[str]
) -> NDArray[np.int64]:
    """Repair offsets that a writer cut to 32 bits, where the repair is certain.

    Signed wrapping shows as negative offsets, unsigned wrapping as a fall in a file of more than
    4 GiB. Arrays are written in order, so every fall is one wrap; the repair is kept only where
    all arrays then follow each other inside the file.
    """
    used = size > 0
    if ibd_size <= WRAP // 2 or not used.any():
        return offset
    flat = np.where(used, offset, 0).ravel()
    order = np.flatnonzero(used.ravel())
    # An axis that all pixels share is written once and stays where it is.
    shared = used[:, 0].any() and np.ptp(offset[used[:, 0], 0]) == 0 and offset.shape[0] > 1
    if shared:
        order = order[order % 2 == 1]
    line = flat[order]
    falls = np.diff(line % WRAP) < 0
    wrapped = (line < 0).any() or (ibd_size > WRAP and line.max() < WRAP and falls.any())
    if not wrapped:
        return offset
    fixed = line % WRAP + np.concatenate(([0], np.cumsum(falls))) * WRAP
    ends = fixed + size.ravel()[order]
    if np.any(fixed[1:] < ends[:-1]) or ends[-1] > ibd_size:
        return offset
    notes.append("offsets were cut to 32 bits by the program that wrote them and were repaired")
    flat[order] = fixed
    return flat.reshape(offset.shape)


def _check_inside(
    offset: NDArray[np.int64], size: NDArray[np.int64], ibd: IbdFile, where: Where
) -> None:
    used = size > 0
    negative = used & (offset < 0)
    if negative.any():
        row, column = _first(negative)
        value = offset[row, column]
        msg = f"{where(row)}: the offset of the {ROLES[column]} array is {value}, below zero"
        raise ImzMLError(msg)
    beyond = used & (offset + size > ibd.size)
    if beyond.any():
        row, column = _first(beyond)
        end = int(offset[row, column] + size[row, column])
        msg = (
            f"{where(row)}: the {ROLES[column]} array ends at byte {end} but {ibd.path.name} has "
            f"{ibd.size} bytes; the file is cut off or of other data, copy it again"
        )
        raise ImzMLError(msg)


def _check_shared(offset: NDArray[np.int64], length: NDArray[np.int64], where: Where) -> None:
    """Refuse a continuous file with more than one m/z axis."""
    used = length[:, 0] > 0
    for values, what in ((length[:, 0], "number of m/z values"), (offset[:, 0], "m/z offset")):
        differ = used & (values != values[np.argmax(used)])
        if differ.any():
            row = int(np.argmax(differ))
            msg = (
                f"{where(row)}: {what} is {values[row]}, elsewhere {values[np.argmax(used)]}, "
                "although the file is declared continuous (one m/z axis for all pixels); "
                "export it as processed"
            )
            raise ImzMLError(msg)


def _note_order(
    offset: NDArray[np.int64],
    size: NDArray[np.int64],
    other_end: int,
    ibd_size: int,
    notes: list[str],
) -> None:
    """Warn of overlaps, of pixels stored out of order, and of bytes after the last array."""
    used = size.ravel() > 0
    # Pixels may share an array, as those of a continuous file do: each counts once.
    spans = np.unique(np.column_stack((offset.ravel()[used], size.ravel()[used])), axis=0)
    ends = spans.sum(axis=1)
    overlaps = int(np.count_nonzero(spans[1:, 0] < np.maximum.accumulate(ends)[:-1]))
    if overlaps:
        notes.append(f"{overlaps} arrays overlap others in the .ibd; are the offsets right?")
    line = offset[size[:, 1] > 0, 1]
    falls = int(np.count_nonzero(np.diff(line) < 0))
    if falls:
        notes.append(f"pixels are stored out of order in the .ibd ({falls} offsets fall)")
    end = max(int(ends.max()) if ends.size else 16, other_end)
    if ibd_size > end:
        notes.append(f"the .ibd has {ibd_size - end} bytes after its last array")
