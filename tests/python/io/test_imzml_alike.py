"""Spectra matched by a pattern are read as the XML parser would have read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import massgraph as mg
from imzml_builder import PIXELS, Builder, Pixel, edit
from massgraph.io import _imzml_alike
from massgraph.io._imzml_alike import MOST_PATTERNS, Pattern, Patterns
from massgraph.io._imzml_spectra import Document, ImzMLError
from massgraph.io._imzml_xml import parse_document

FIELDS = ("position", "offset", "length", "encoded", "kind", "traits", "run")

SPECTRUM = (
    b'<spectrum id="s{i}" index="{i}"><scanList><scan>'
    b'<cvParam accession="IMS:1000050" name="position x" value="{x}"/>'
    b'<cvParam accession="IMS:1000051" name="position y" value="1"/></scan></scanList>'
    b"</spectrum>"
)
ROW = (4, 1, 1, 0, 0, 0, 0, -1, -1, -1, -1, 0, 0)


def spectrum(x: int | str, i: int = 0) -> bytes:
    return SPECTRUM.replace(b"{x}", str(x).encode()).replace(b"{i}", str(i).encode())


def many(n: int = 40, **options: object) -> Builder:
    pixels = [
        Pixel(i + 1, 1 + i % 2, *([start + i for i in range(1 + i % 5)] for start in (100.0, 1.0)))
        for i in range(n)
    ]
    return Builder(pixels, **options)  # type: ignore[arg-type]


def slowly(path: Path, monkeypatch: pytest.MonkeyPatch) -> Document:
    """What the XML parser alone makes of a file."""
    with monkeypatch.context() as patch:
        patch.setattr(Patterns, "learn", lambda *_: None)
        return parse_document(path)


def same(one: Document, other: Document) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one.table, name), getattr(other.table, name), name)
    assert (one.kinds, one.traits, one.run_ids) == (other.kinds, other.traits, other.run_ids)
    assert one.notes == other.notes
    assert one.other_end == other.other_end


def n_matched(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Spectra that were not parsed."""
    counts: list[int] = []
    match = Pattern.match

    def counted(self: Pattern, data: bytes, at: int) -> tuple[list[bytes], int, int]:
        result = match(self, data, at)
        counts.append(result[1])
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Pattern, "match", counted)
        parse_document(path)
    return sum(counts)


@pytest.mark.parametrize(
    "options",
    [{}, {"layout": "continuous"}, {"inline": True}, {"encoded_length": False}, {"mode": None}],
)
def test_a_file_is_read_as_without_patterns(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = many(**options)
    if options.get("layout") == "continuous":
        builder.pixels = [Pixel(p.x, p.y, (100.0, 200.0), (1.0, 2.0)) for p in builder.pixels]
    path = builder.write(tmp_path)
    same(parse_document(path), slowly(path, monkeypatch))
    assert n_matched(path, monkeypatch) == len(builder.pixels) - 1


def test_runs_and_empty_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = [
        Pixel(i + 1, 1, *(((), ()) if i % 3 else ((100.0,), (1.0,))), run=i // 10)
        for i in range(30)
    ]
    path = Builder(pixels).write(tmp_path)
    same(parse_document(path), slowly(path, monkeypatch))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(encoding=encoding).write(tmp_path)
    same(parse_document(path), slowly(path, monkeypatch))


def test_pieces_of_a_file_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many().write(tmp_path)
    expected = slowly(path, monkeypatch)
    for size in (700, 1000, 1777, 5000):
        monkeypatch.setattr("massgraph.io._imzml_xml.FEED_BYTES", size)
        same(parse_document(path), expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="position x" value="21"', 'name="position x" value="2x1"', "position x is '2x1'"),
        ('index="20"', 'index="&bad;"', "XML is damaged"),
        ('id="s20" index', 'id="s20"" index', "XML is damaged"),
    ],
)
def test_damage_among_spectra_alike(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = edit(many().write(tmp_path), old, new)
    with pytest.raises(ImzMLError, match=message):
        mg.open_imzml(path)


def test_error_after_the_spectra_names_its_line(tmp_path: Path) -> None:
    path = many().write(tmp_path)
    text = path.read_text(encoding="utf-8").replace("</mzML>", "</mzML>\n</mzML>")
    path.write_text(text, encoding="utf-8")
    line = text.count("\n", 0, text.rindex("</mzML>")) + 1
    with pytest.raises(ImzMLError, match=f"line {line}"):
        mg.open_imzml(path)


def test_spectra_in_a_comment_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(6).write(tmp_path)
    text = path.read_text(encoding="utf-8")
    start = text.index('<spectrum id="s2"')
    end = text.index("</spectrum>", start) + len("</spectrum>")
    hidden = text[:start] + "<!-- " + text[start:end] + " -->" + text[end:]
    path.write_text(hidden, encoding="utf-8")
    found = parse_document(path)
    assert found.table.position[:, 0].tolist() == [1, 2, 4, 5, 6]
    same(found, slowly(path, monkeypatch))


# -------------------------------------------------------------------- patterns


def test_a_pattern_matches_other_numbers_only() -> None:
    pattern = Pattern(spectrum(4), ROW, ())
    data = spectrum(4) + b"\n" + spectrum(17, 5) + b" \t" + spectrum(99, 6)
    numbers, n, end = pattern.match(data, 0)
    assert n == 3
    assert end == len(data)
    rows = pattern.rows(numbers, n, run=2)
    assert rows[:, 0].tolist() == [4, 17, 99]
    assert rows[:, -1].tolist() == [2, 2, 2]
    assert (rows[:, 1:-1] == np.array(ROW)[1:-1]).all()


@pytest.mark.parametrize("x", ["", "-1", "1e3", "1.0", " 3", "9" * 18, "\u0663", "&#52;"])
def test_odd_numbers_are_left_to_the_parser(x: str) -> None:
    assert Pattern(spectrum(4), ROW, ()).match(spectrum(x), 0)[1] == 0


@pytest.mark.parametrize(
    "text",
    [
        spectrum(5),  # not what was parsed
        spectrum(4).replace(b"</spectrum>", b"<!-- x --></spectrum>"),
        spectrum(4).replace(b"</scan>", spectrum(4)[30:150] + b"</scan>"),
        spectrum(4).replace(b"IMS:1000050", b"IMS:1000051"),
        spectrum(4).replace(b"IMS:1000050", b"IMS:1000102"),
    ],
)
def test_no_pattern_from_what_is_not_clear(text: bytes) -> None:
    with pytest.raises(ValueError, match="spectrum"):
        Pattern(text, ROW, ())


def test_forms_that_change_are_not_learnt_for_ever() -> None:
    patterns = Patterns()
    for number in range(MOST_PATTERNS + 5):
        text = spectrum(4).replace(b"<scan>", b"<scan><userParam name='%d'/>" % number)
        patterns.learn(text, ROW, ())
    assert len(patterns._known) == MOST_PATTERNS
    assert patterns.match(spectrum(4), 0, 0) == ([], 0)


def test_other_arrays_are_never_matched() -> None:
    patterns = Patterns()
    patterns.learn(spectrum(4), ROW, ("mz", "intensity", "other"))
    assert patterns.match(spectrum(4), 0, 0) == ([], 0)


def test_columns_are_those_of_the_rows() -> None:
    assert len(ROW) == _imzml_alike.COLUMNS
    assert len(PIXELS) > 1
