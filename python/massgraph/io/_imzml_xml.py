"""The XML half of imzML: one hardened pass that gives a row of numbers per spectrum.

The pass is our own because a spectrum must be judged while its element is at hand: pyimzml's loop
keeps neither the encoded length nor a precision or compression that differs between spectra, and
stops without naming the pixel. pyimzml gives the meaning of the header (see `_imzml_header`).
"""

from __future__ import annotations

import codecs
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from massgraph._util.progress import progress
from massgraph.io._imzml_spectra import (
    NS,
    RUN,
    SPECTRUM,
    SPECTRUM_LIST,
    Document,
    ImzMLError,
    SpectrumCollector,
)

__all__ = ["parse_document"]

PROLOG_LIMIT = 1 << 20
FEED_BYTES = 1 << 19
SPECTRUM_ENDS = b"</spectrum>"
# mzML nests about 12 levels deep; real files never come near this.
MAX_DEPTH = 64

# How packed files begin.
PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"7z\xbc\xaf", "7z"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)

# What may stand before the first element: declarations and instructions, and comments.
ASIDES = (("<?", "?>"), ("<!--", "-->"))
SPACE = re.compile("[\ufeff \t\r\n]*")
ENCODINGS = re.compile(r"utf-8|utf-8-sig|utf-16(-[lb]e)?|ascii|iso8859-\d+|cp125\d")


def parse_document(path: Path) -> Document:
    """Parse an imzML file; raises `ImzMLError` with file, spectrum and value where it cannot."""
    try:
        with path.open("rb") as stream:
            _check_prolog(stream, path)
            return _collect(stream, path)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error})"
        raise ImzMLError(msg) from error


# -------------------------------------------------------------------- before the XML parser


def _check_prolog(stream: BinaryIO, path: Path) -> None:
    """Refuse what an XML parser should never see: a DTD (entities), an encoding that hides one."""
    head = stream.read(PROLOG_LIMIT)
    stream.seek(0)
    if not head.strip(b"\0 \t\r\n"):
        msg = f"{path}: the file is empty"
        raise ImzMLError(msg)
    if packed := next((name for mark, name in PACKED if head.startswith(mark)), None):
        msg = f"{path}: is packed ({packed}); unpack it first, and its .ibd beside it"
        raise ImzMLError(msg)
    text = _decode_prolog(head, path)
    at = _skip_space(text, 0)
    while closing := next((end for mark, end in ASIDES if text.startswith(mark, at)), None):
        end = text.find(closing, at)
        if end < 0:
            msg = f"{path}: no XML element begins in the first {len(text)} characters"
            raise ImzMLError(msg)
        at = _skip_space(text, end + len(closing))
    if text.startswith("<!", at):
        msg = (
            f"{path}: has a document type declaration ({text[at : at + 30].split()[0]}), "
            "which imzML does not need and which can hold an attack; remove it to read the file"
        )
        raise ImzMLError(msg)
    if not text.startswith("<", at):
        msg = f"{path}: is no imzML file, it begins with {text[at : at + 20]!r} instead of XML"
        raise ImzMLError(msg)


def _skip_space(text: str, at: int) -> int:
    space = SPACE.match(text, at)
    return space.end() if space else at


def _decode_prolog(head: bytes, path: Path) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    for codec, mark in (("utf-16-le", b"<\0"), ("utf-16-be", b"\0<")):
        if head.startswith(mark):
            return head[: len(head) // 2 * 2].decode(codec, errors="replace")
    text = head.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    named = re.match(r"""<\?xml[^>]*?encoding\s*=\s*["']([^"'>]*)["']""", text)
    if named:
        try:
            codec = codecs.lookup(named[1]).name
        except (LookupError, ValueError):  # ValueError: a name with a NUL in it
            codec = ""
        if not ENCODINGS.fullmatch(codec):
            msg = f"{path}: the encoding {named[1]!r} is not supported; save the file as UTF-8"
            raise ImzMLError(msg)
    return text


# -------------------------------------------------------------------- the pass


def _events(
    stream: BinaryIO, path: Path, skip: Callable[[bytes, int, int], int]
) -> Iterator[tuple[str, ET.Element]]:
    """Events of the parser; after each spectrum `skip` says up to where it need not look."""
    parser: ET.XMLPullParser[Any] = ET.XMLPullParser(events=("start", "end"))
    try:
        blocks = iter(lambda: stream.read(FEED_BYTES), b"")
        n_blocks = -(-path.stat().st_size // FEED_BYTES)
        for block in progress(blocks, n_blocks, f"parsing {path.name}"):
            at = 0
            while (end := block.find(SPECTRUM_ENDS, at)) >= 0:
                end += len(SPECTRUM_ENDS)
                parser.feed(block[at:end])
                yield from parser.read_events()  # type: ignore[misc]
                at = skip(block, at, end)
                # So that the parser still tells the line of an error.
                parser.feed(b"\n" * block.count(b"\n", end, at))
            parser.feed(block[at:])
            yield from parser.read_events()  # type: ignore[misc]
        parser.close()
        yield from parser.read_events()  # type: ignore[misc]
    except (
        ET.ParseError,
        LookupError,
        ValueError,
    ) as error:  # an unknown encoding is a LookupError
        msg = f"{path}: the XML is damaged or cut off ({error}); copy or export the file again"
        raise ImzMLError(msg) from error


def _collect(stream: BinaryIO, path: Path) -> Document:
    root: ET.Element | None = None
    spectra: ET.Element | None = None
    collector: SpectrumCollector | None = None
    depth = level = 0

    def skip(data: bytes, begin: int, end: int) -> int:
        # What ended may also have stood in a comment: then the parser has seen no spectrum.
        if collector is None or not collector.fresh or depth != level:
            return end
        return collector.add_alike(data, begin, end)

    for event, element in _events(stream, path, skip):
        tag = element.tag
        if event == "end":
            depth -= 1
            if tag == SPECTRUM:
                if collector is None or spectra is None or depth != level:
                    raise _misplaced(element, path)
                collector.add(element)
                try:
                    spectra.remove(element)
                except ValueError:  # as deep as the spectra of the list, but elsewhere
                    raise _misplaced(element, path) from None
            continue
        depth += 1
        if depth > MAX_DEPTH:
            msg = f"{path}: elements are nested more than {MAX_DEPTH} deep, which imzML never is"
            raise ImzMLError(msg)
        if root is None:
            root = _root(element, path)
        elif tag == RUN and collector is not None:
            collector.run_ids.append(element.get("id", ""))
        elif tag == RUN:
            collector = SpectrumCollector(path, root)
            collector.run_ids.append(element.get("id", ""))
        elif tag == SPECTRUM_LIST:
            spectra, level = element, depth
            if collector is not None:
                collector.count(element.get("count"))
    if root is None or collector is None or not collector.n_spectra:
        msg = f"{path}: holds no spectra"
        raise ImzMLError(msg)
    return collector.document(root)


def _misplaced(spectrum: ET.Element, path: Path) -> ImzMLError:
    place = f"spectrum {spectrum.get('id')!r}"
    return ImzMLError(f"{path}: {place} does not stand directly in the spectrumList of a run")


def _root(element: ET.Element, path: Path) -> ET.Element | None:
    """Check the first element: mzML; None while only its indexedmzML wrapper has been seen."""
    if element.tag == f"{NS}mzML":
        return element
    if element.tag == f"{NS}indexedmzML":
        return None
    msg = (
        f"{path}: is no imzML file, the first element is {element.tag!r} and not mzML in the "
        f"namespace {NS[1:-1]}"
    )
    raise ImzMLError(msg)
