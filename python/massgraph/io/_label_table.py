"""From the bytes of a table of labels to its rows, whichever program wrote it.

What is certain is read: encodings that say what they are, comments above the header, the separator
that the header holds, names of rows as R writes them. What is not is refused, with the way out.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph._util.warnings import outside

__all__ = ["LabelsError", "Table", "read_table", "read_text"]

SEPARATORS = (",", "\t", ";", "|")
# A line of labels is short; a longer field is a quote that was never closed.
MAX_FIELD = 10_000
SAVE = "save it as CSV UTF-8"
GIVE = "give a table of x, y and label"
DRAW = "open it in QuPath and export its objects as GeoJSON"
# What files begin with, what they are, and the way out.
KINDS = {
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", f"open it and {SAVE}"),
    b"Iout": ("a region of ImageJ", DRAW),
    b"\x93NUMPY": ("an array of numpy", GIVE),
    b"PAR1": ("a Parquet file", GIVE),
    b"\x89HDF": ("an HDF5 file", GIVE),
    b"\x1f\x8b": ("compressed by gzip", "unpack it first"),
    b"%PDF": ("a PDF file", GIVE),
    b"\x89PNG": ("a picture", GIVE),
    b"II*\x00": ("a TIFF picture", GIVE),
    b"MM\x00*": ("a TIFF picture", GIVE),
    b"RDX": ("an R workspace", f"{GIVE}, as write.csv writes it"),
    b"{\\rtf": ("a text of a word processor", f"{SAVE} from a spreadsheet"),
}
# By a name within it.
ARCHIVES = {
    "xl/": ("an Excel workbook", f"open it and {SAVE}"),
    "mimetype": ("a LibreOffice document", f"open it and {SAVE}"),
    ".roi": ("a set of regions of ImageJ", DRAW),
}
# Signs that labels of Windows hold besides letters; others come from another encoding.
SIGNS = set("µ°±²³–—‘’“”…·§´€ªº½¼¾\u00a0")
SEP_LINE = re.compile(r'\s*"?sep=(.)"?[\s,;]*', re.IGNORECASE)


class LabelsError(InputError):
    """A table of labels cannot be used; the message says where and why.

    Examples
    --------
    >>> import massgraph as mg
    >>> try:
    ...     mg.read_labels("absent.csv")
    ... except mg.InputError as error:
    ...     print(type(error).__name__, error)
    LabelsError absent.csv: cannot be read (No such file or directory)
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclass(frozen=True)
class Table:
    """A header and the rows below it, with their lines.

    Parameters
    ----------
    path
        Of the file, for messages.
    top
        Line of the header.
    names
        Of the columns.
    rows
        Line and fields of each row that is not empty, as many as names.
    comma
        Whether decimals may be written with a comma.
    """

    path: Path
    top: int
    names: list[str]
    rows: list[tuple[int, list[str]]]
    comma: bool


# -------------------------------------------------------------------- text


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, UTF-16, or what Windows wrote before.

    Raises
    ------
    LabelsError
        Where it cannot be read, is no text, or of an encoding that is not certain.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error})"
        raise LabelsError(msg) from error
    kind, way = _kind(data)
    if kind:
        msg = f"{path}: is {kind}, whatever its name says; {way}"
        raise LabelsError(msg)
    text = _decoded(path, data).lstrip("\ufeff")
    if "\0" in text:
        msg = f"{path}: is no text table (it holds null bytes); {SAVE}"
        raise LabelsError(msg)
    if text.lstrip().startswith("<"):
        msg = f"{path}: is XML or HTML and no table; {GIVE}, or GeoJSON of QuPath"
        raise LabelsError(msg)
    return text


def _kind(data: bytes) -> tuple[str, str]:
    """What a file is that holds no text, and the way out; empty for text."""
    for magic, found in KINDS.items():
        if data.startswith(magic):
            return found
    if not data.startswith(b"PK"):
        return "", ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        names = []
    for part, found in ARCHIVES.items():
        if any(part in name for name in names):
            return found
    return "an Excel workbook or another zip archive", f"open it and {SAVE}"


def _decoded(path: Path, data: bytes) -> str:
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            msg = f"{path}: begins as {encoding.upper()} text, but is damaged; {SAVE}"
            raise LabelsError(msg) from error
        return _windows(path, data, error.start)


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Without a mark: names of columns are plain letters, of which every second byte is zero.
    if len(data) > 3 and data[1] == data[3] == 0 and data[0] and data[2]:
        return "utf-16-le"
    if len(data) > 3 and data[0] == data[2] == 0 and data[1] and data[3]:
        return "utf-16-be"
    return "utf-8-sig"


def _windows(path: Path, data: bytes, start: int) -> str:
    """Text as Excel saves it in the west of Europe, with a warning that shows how it was read."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    odd = [sign for sign in text if ord(sign) > 127]
    if not odd or not _is_western(text, odd):
        msg = f"{path}: is neither UTF-8 nor Windows-1252 text (byte {start}); {SAVE}"
        raise LabelsError(msg)
    at = text.index(odd[0])
    word = re.search(r"[^,;\t\r\n]*$", text[:at]), re.match(r"[^,;\t\r\n]*", text[at:])
    shown = "".join(part[0] for part in word if part).strip().strip('"')
    line = len(re.findall("\r\n|\r|\n", text[:at])) + 1
    msg = (
        f"{path}: is not UTF-8 and is read as Windows-1252, with {shown!r} in line {line}; if that "
        f"is not what it says, {SAVE}"
    )
    warnings.warn(one_line(msg), UserWarning, stacklevel=outside())
    return text


def _is_western(text: str, odd: list[str]) -> bool:
    """Whether signs beyond ASCII are letters with accents, and most letters are without."""
    if not all(
        sign in SIGNS or (sign.isalpha() and "LATIN" in unicodedata.name(sign, "")) for sign in odd
    ):
        return False
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    # Cyrillic or Greek read as Windows-1252 has letters with accents throughout.
    words = [word for word in words if len(word) > 1]
    return 2 * sum(ord(sign) > 127 for sign in "".join(words)) <= len("".join(words))


# -------------------------------------------------------------------- rows


def read_table(path: Path, text: str, required: tuple[str, ...]) -> Table:
    """Find the header and the rows of a table.

    Parameters
    ----------
    path, text
        As of `read_text`.
    required
        Names of columns that a header is known by, where it stands in a comment.

    Raises
    ------
    LabelsError
        With the line, for rows of another length than the header, or quotes that never close.
    """
    text, skipped, separator = _below_comments(text, required)
    header = next(filter(str.strip, text.splitlines()), "")
    if separator is None:
        separator = _separator(header)
    rows = list(_rows(path, text, separator, skipped))
    top, names = rows[0] if rows else (skipped + 1, [])
    body = [(line, fields) for line, fields in rows[1:] if any(map(str.strip, fields))]
    return Table(path, top, names, _of_one_length(path, names, body), separator != ",")


def _below_comments(text: str, required: tuple[str, ...]) -> tuple[str, int, str | None]:
    """Text from the header on, how many lines stand above it, and the separator if one is named."""
    separator = None
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        # Excel is told the separator by a line of its own.
        named = SEP_LINE.fullmatch(line.rstrip("\r\n"))
        if named:
            separator = named[1]
        elif line.lstrip().startswith("#"):
            bare = line.lstrip().lstrip("#").lstrip()
            # numpy writes the header itself as a comment.
            names = [part.strip(' "') for part in re.split(r"[,;\t ]+", bare.lower().strip())]
            if set(required) <= set(names):
                return bare + "".join(lines[number + 1 :]), number, separator
        elif line.strip():
            return "".join(lines[number:]), number, separator
    return "", len(lines), separator


def _separator(header: str) -> str:
    """The separator that the header holds; labels may hold commas, names of columns do not."""
    best = max(SEPARATORS, key=header.count)
    if best in header:
        return best
    return " " if len(header.split()) > 1 else best


def _rows(path: Path, text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Lines with their number."""
    # newline="" leaves line ends inside quotes as they are.
    spaced = separator == " "
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=spaced
    )
    start = skipped + 1
    try:
        for fields in reader:
            # An open quote swallows the rest of the table, and hides the line it began in.
            if fields and max(map(len, fields)) > MAX_FIELD:
                msg = (
                    f"{path}, line {start}: a field is longer than {MAX_FIELD} characters; "
                    "is a quote not closed?"
                )
                raise LabelsError(msg)
            if fields:
                # Columns that are lined up by spaces end in some.
                yield start, (fields[:-1] if spaced and fields[-1] == "" else fields)
            start = skipped + reader.line_num + 1
    except csv.Error as error:
        msg = f"{path}, line {start}: is no valid table row ({error}); check the quotes"
        raise LabelsError(msg) from error


def _of_one_length(
    path: Path, names: list[str], rows: list[tuple[int, list[str]]]
) -> list[tuple[int, list[str]]]:
    """Rows as long as the header, without names of rows or a separator at the end."""
    n = len(names)
    # What a program says below its table.
    rows = [row for row in rows if len(row[1]) == n or row[1][0].lstrip()[:1] != "#"]
    if rows and all(len(fields) == n + 1 for _, fields in rows):
        if not any(fields[-1].strip() for _, fields in rows):
            return [(line, fields[:-1]) for line, fields in rows]
        # R's write.table gives rows names, all different, and their column none.
        if len({fields[0] for _, fields in rows}) == len(rows) and _fits(names, rows[0][1][1:]):
            return [(line, fields[1:]) for line, fields in rows]
    for line, fields in rows:
        if len(fields) != n:
            msg = f"{path}, line {line}: has {len(fields)} fields, the header has {n}"
            raise LabelsError(msg)
    return rows


def _fits(names: list[str], fields: list[str]) -> bool:
    """Whether the fields under x and y are numbers."""
    under = dict(zip((name.strip().lower() for name in names), fields, strict=True))
    return all(
        re.fullmatch(r"[\s\d.,eE+-]*\d[\s\d.,eE+-]*", under.get(axis, "")) for axis in ("x", "y")
    )
