"""Damaged and hostile imzML, cases 23 to 42 of the list of bad inputs: the XML, and any damage.

R: refused in one line that names the file, the pixel and the value. W: read with a warning.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from imzml_builder import SIZE_20_UM, Builder, Pixel, edit, term, unit
from imzml_faults import position, read_noting, refused, warned
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml

Damage = Callable[[Path], object]


# -------------------------------------------------------------------- 23-30: what the header says


def test_23_continuous_header_with_ragged_arrays(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    edit(path, '"IMS:1000031" name="processed"', '"IMS:1000030" name="continuous"')
    refused(
        path, r"pixel 1 \(x 2, y 1\): number of m/z values is 2, elsewhere 3, although the file"
    )


def test_23_continuous_header_with_several_axes(tmp_path: Path) -> None:
    pixels = [Pixel(x, 1, (100.0 + x, 200.0), (1.0, 2.0)) for x in (1, 2)]
    path = Builder(pixels).write(tmp_path)
    edit(path, '"IMS:1000031" name="processed"', '"IMS:1000030" name="continuous"')
    refused(path, r"pixel 1 \(x 2, y 1\): m/z offset is 40, elsewhere 16")


def test_23_continuous_with_an_empty_pixel(tmp_path: Path) -> None:
    pixels = (Pixel(1, 1, (100.0, 200.0), (1.0, 2.0)), Pixel(2, 1, (), ()))
    spectra = read_imzml(Builder(pixels, layout="continuous").write(tmp_path))
    assert spectra.peak_counts.tolist() == [2, 0]


def test_24_neither_continuous_nor_processed(tmp_path: Path) -> None:
    refused(Builder(layout=None).write(tmp_path), "neither continuous nor processed")


def test_24_both_continuous_and_processed(tmp_path: Path) -> None:
    processed = term("IMS:1000031", "processed")
    path = edit(Builder().write(tmp_path), processed, processed + term("IMS:1000030", "continuous"))
    refused(path, "both continuous and processed")


def test_26_representation_undeclared(tmp_path: Path) -> None:
    spectra, text = read_noting(Builder(mode=None).write(tmp_path))
    assert spectra.n_pixels == 4
    assert "declares no representation" in text
    assert "read as centroid by the m/z spacing" in text


def test_27_misspelt_names(tmp_path: Path) -> None:
    terms = (*SIZE_20_UM, term("IMS:1000410", "meanndering"), term("IMS:1000401", "top-down"))
    path = Builder(settings=(terms,)).write(tmp_path)
    spectra = warned(path, r"'meanndering' for IMS:1000410 \('meandering'\)$")
    assert spectra.n_pixels == 4


def test_29_no_scan_settings(tmp_path: Path) -> None:
    spectra = warned(Builder(settings=()).write(tmp_path), "has no scan settings")
    assert spectra.pixel_size is None


def test_29_scan_settings_that_differ(tmp_path: Path) -> None:
    other = (term("IMS:1000046", "pixel size x", 30), term("IMS:1000047", "pixel size y", 30))
    path = Builder(settings=(SIZE_20_UM, other)).write(tmp_path)
    assert warned(path, r"different pixel sizes \(20 x 20 um and 30 x 30 um\)").pixel_size is None


@pytest.mark.parametrize("value", ["0", "-3", "abc", "nan", "inf", ""])
def test_30_pixel_size_that_is_none(tmp_path: Path, value: str) -> None:
    terms = (term("IMS:1000046", "pixel size x", value), SIZE_20_UM[1])
    spectra, text = read_noting(Builder(settings=(terms,)).write(tmp_path))
    assert spectra.pixel_size is None
    assert f"pixel size x is {value!r}, which is no size" in text


def test_30_pixel_size_without_value(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    edit(path, 'name="pixel size (x)" value="20"', 'name="pixel size (x)"')
    spectra, text = read_noting(path)
    assert spectra.pixel_size is None
    assert "pixel size (x) is '', which is no size" in text


def test_30_header_that_pyimzml_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr("massgraph.io._imzml_header.Metadata", fail)
    refused(Builder().write(tmp_path), r"the header cannot be understood \('odd'\)")


@pytest.mark.parametrize(
    "odd", [unit("UO:0000010", "second"), unit("XX:1", "cubit"), ' unitAccession="XX:2"']
)
def test_30_unknown_unit(tmp_path: Path, odd: str) -> None:
    terms = (term("IMS:1000046", "pixel size x", 20, odd), SIZE_20_UM[1])
    refused(Builder(settings=(terms,)).write(tmp_path), "which is no known length")


def test_30_unit_at_odds_with_its_name(tmp_path: Path) -> None:
    odd = unit("UO:0000018", "micrometer")
    terms = (term("IMS:1000046", "pixel size x", 20000, odd), SIZE_20_UM[1])
    path = Builder(settings=(terms,)).write(tmp_path)
    assert warned(path, "unit nanometer but names it 'micrometer'").pixel_size == (20.0, 20.0)


@pytest.mark.parametrize("unused", ["fileDescription", "fileContent"])
def test_30_header_without_content(tmp_path: Path, unused: str) -> None:
    path = Builder().write(tmp_path)
    edit(path, f"<{unused}>", f"<{unused}Lost>")
    edit(path, f"</{unused}>", f"</{unused}Lost>")
    refused(path, "has no fileDescription with fileContent")


# -------------------------------------------------------------------- 31-36: places and polarity


@pytest.mark.parametrize("axis", ["x", "y"])
def test_31_positions_below_zero(tmp_path: Path, axis: str) -> None:
    path = position(Builder().write(tmp_path), axis, 1, -3)
    refused(path, rf"pixel 0 \(x -?\d, y -?\d\): position {axis} is -3; positions count from 1")


@pytest.mark.parametrize("value", ["abc", "1.5", "", "nan"])
def test_31_positions_that_are_no_numbers(tmp_path: Path, value: str) -> None:
    path = position(Builder().write(tmp_path), "x", 2, value)
    refused(
        path, rf"pixel 1 \(id 's1', x {value}, y 1\): position x is '{value}', which is no whole"
    )


@pytest.mark.parametrize("axis", ["x", "y"])
def test_31_positions_missing(tmp_path: Path, axis: str) -> None:
    path = Builder().write(tmp_path)
    accession = {"x": "IMS:1000050", "y": "IMS:1000051"}[axis]
    edit(path, f'accession="{accession}"', 'accession="IMS:0"')
    refused(path, rf"pixel 0 \(id 's0', .*\): has no position {axis}")


def test_31_positions_without_value(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    edit(path, 'name="position x" value="1"', 'name="position x"')
    refused(path, "has no position x")


def test_31_positions_given_twice(tmp_path: Path) -> None:
    place = term("IMS:1000050", "position x", 1)
    path = edit(Builder().write(tmp_path), place, place + term("IMS:1000050", "position x", 7))
    refused(path, "position x is given as 7 and as 1")


def test_31_positions_far_apart(tmp_path: Path) -> None:
    path = position(Builder().write(tmp_path), "y", 2, 10**9)
    refused(path, r"pixel 2 \(x 1, y 1000000000\): positions y lie up to 999999999 pixels apart")


def test_31_negative_z(tmp_path: Path) -> None:
    path = Builder((Pixel(1, 1, (100.0,), (1.0,), z=-1),)).write(tmp_path)
    refused(path, "position z is -1")


def test_32_duplicate_positions(tmp_path: Path) -> None:
    path = position(Builder().write(tmp_path), "x", 2, 1)
    refused(path, r"pixel 1 \(x 1, y 1\): has the position of pixel 0 \(1 duplicates\)")


def test_36_mixed_polarity(tmp_path: Path) -> None:
    path = edit(
        Builder().write(tmp_path),
        '<referenceableParamGroupRef ref="spectrum"/>',
        term("MS:1000129", "negative scan"),
    )
    refused(path, r"holds spectra of both polarities \(3 positive, 1 negative\); choose one: ")
    assert read_imzml(path, polarity="positive").n_pixels == 3


def test_36_polarity_of_the_file_and_of_the_spectra(tmp_path: Path) -> None:
    content = "</fileContent>"
    path = Builder(polarity=None).write(tmp_path / "file")
    edit(path, content, term("MS:1000129", "negative scan") + content)
    assert read_imzml(path).polarity == "negative"
    path = Builder(polarity="positive").write(tmp_path / "spectra")
    edit(path, content, term("MS:1000129", "negative scan") + content)
    spectra = warned(path, "polarity negative for the file but positive for its spectra")
    assert spectra.polarity == "positive"


def test_36_polarity_undeclared(tmp_path: Path) -> None:
    assert warned(Builder(polarity=None).write(tmp_path), "declares no polarity").polarity is None


# -------------------------------------------------------------------- 38-39: XML


@pytest.mark.parametrize(
    "namespace", ["", ' xmlns="http://psi.hupo.org/ms/mzML"', ' xmlns="urn:x"']
)
def test_38_namespace(tmp_path: Path, namespace: str) -> None:
    path = edit(Builder().write(tmp_path), ' xmlns="http://psi.hupo.org/ms/mzml"', namespace)
    refused(path, "is no imzML file, the first element is .*mzML' and not mzML in the namespace")


@pytest.mark.parametrize(
    "content", ["<html><body/></html>", "plain text", "\x89PNG\r\n", "x,y,label\n"]
)
def test_38_other_files(tmp_path: Path, content: str) -> None:
    path = Builder().write(tmp_path)
    path.write_text(content)
    refused(path, "is no imzML file")


@pytest.mark.parametrize("content", [b"", b"\n \n", bytes(100), b"\xef\xbb\xbf"])
def test_38_empty_files(tmp_path: Path, content: bytes) -> None:
    path = Builder().write(tmp_path)
    path.write_bytes(content)
    refused(path, r"image\.imzML: (the file is empty|is no imzML file)")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_38_cut_xml(tmp_path: Path, share: float) -> None:
    path = Builder().write(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "damaged or cut off|no XML element begins")


def test_38_no_spectra(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    path.write_text(re.sub(r"<run .*</run>", "", path.read_text(), flags=re.S))
    refused(path, "holds no spectra")
    path = Builder().write(tmp_path / "list")
    path.write_text(re.sub(r"<spectrum .*</spectrum>", "", path.read_text(), flags=re.S))
    refused(path, "holds no spectra")


def test_38_spectrum_out_of_place(tmp_path: Path) -> None:
    """One spectrum within another, and one in no list."""
    path = Builder().write(tmp_path)
    text = path.read_text()
    spectrum = text[text.index("<spectrum ") : text.index("</spectrum>") + 11]
    path.write_text(text.replace("</scanList>", f"</scanList>{spectrum}", 1))
    refused(path, "spectrum 's0' does not stand directly in the spectrumList of a run")
    path.write_text(text.replace("<fileContent>", f"{spectrum}<fileContent>", 1))
    refused(path, "spectrum 's0' does not stand directly in the spectrumList of a run")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "dtd",
    [
        LAUGHS,
        '<!DOCTYPE x SYSTEM "http://example.org/x.dtd">',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        "<!DOCTYPE mzML>",
        "<!-- hidden behind -->\n<?and this ?>\n" + LAUGHS,
        '<!ENTITY a "a">',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
def test_39_dtd(tmp_path: Path, dtd: str, encoding: str) -> None:
    path = Builder(declaration=f'<?xml version="1.0" encoding="{encoding}"?>\n{dtd}').write(
        tmp_path
    )
    path.write_bytes(path.read_text().encode(encoding))
    refused(path, r"document type declaration \(<!(DOCTYPE|ENTITY)\)")


def test_39_dtd_after_the_first_element_is_no_xml(tmp_path: Path) -> None:
    refused(edit(Builder().write(tmp_path), "<run ", f"{LAUGHS}<run "), "damaged")


def test_39_dtd_behind_a_long_comment(tmp_path: Path) -> None:
    path = Builder(declaration=f"<!--{'x' * (1 << 21)}-->{LAUGHS}").write(tmp_path)
    refused(path, "no XML element begins in the first")


def test_39_many_comments_end_quickly(tmp_path: Path) -> None:
    start = time.perf_counter()
    path = Builder(declaration="<!---->" * 140_000).write(tmp_path)
    assert read_imzml(path).n_pixels == 4
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("encoding", ["utf-7", "cp037", "utf-32", "shift_jis", "nonsense", "idna"])
def test_39_encodings_that_could_hide_a_dtd(tmp_path: Path, encoding: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    path = Builder(declaration=declaration).write(tmp_path)
    refused(path, f"the encoding '{encoding}' is not supported; save the file as UTF-8")


def test_39_encoding_that_is_not_the_declared_one(tmp_path: Path) -> None:
    path = Builder(declaration='<?xml version="1.0" encoding="utf-16"?>').write(tmp_path)
    refused(path, "damaged")
    path = Builder(declaration='<?xml version="1.0" encoding="ut-16"?>').write(tmp_path / "name")
    path.write_bytes(path.read_text().encode("utf-16"))
    refused(path, r"damaged or cut off \(unknown encoding: ut-16\)")
    path = Builder().write(tmp_path / "bytes")
    path.write_bytes(path.read_bytes().replace(b'id="run0"', b'id="L\xe4ufer"'))
    refused(path, "damaged")


@pytest.mark.parametrize("where", ["<run ", "<fileContent>", "<scan>"])
def test_39_deep_nesting(tmp_path: Path, where: str) -> None:
    """A million levels: in another process, since a crash would end this one."""
    path = Builder().write(tmp_path)
    text = path.read_text()
    head, mark, tail = text.partition(where)
    path.write_text(f"{head}{'<a>' * 1_000_000}{'</a>' * 1_000_000}{mark}{tail}")
    code = (
        "import sys; from massgraph.io.imzml import *\n"
        "try: read_imzml(sys.argv[1])\n"
        "except ImzMLError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "nested more than 64 deep" in done.stdout


# -------------------------------------------------------------------- 40-42: files and counts


def test_40_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.imzML", r"absent\.imzML: cannot be read \(No such file")


def test_40_folder(tmp_path: Path) -> None:
    folder = tmp_path / "image.imzML"
    folder.mkdir()
    refused(folder, r"image\.imzML: is a folder; give the \.imzML file in it")


def test_40_ibd_given(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    refused(path.with_suffix(".ibd"), "is the binary half; give the .imzML file beside it")


def test_40_symlink_loop(tmp_path: Path) -> None:
    first, second = tmp_path / "a.imzML", tmp_path / "b.imzML"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(ImzMLError, match="cannot be read"):
        read_imzml(first)


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything"
)
@pytest.mark.parametrize("suffix", [".imzML", ".ibd"])
def test_40_no_permission(tmp_path: Path, suffix: str) -> None:
    path = Builder().write(tmp_path)
    path.with_suffix(suffix).chmod(0)
    refused(path, r"cannot be read \(Permission denied\)")


def test_40_read_only_folder(tmp_path: Path) -> None:
    """Reading needs no right to write."""
    path = Builder().write(tmp_path / "locked")
    for each in (path, path.with_suffix(".ibd")):
        each.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert read_imzml(path).n_pixels == 4
    finally:
        path.parent.chmod(0o755)


def test_41_file_changed_while_open(tmp_path: Path) -> None:
    """A file that shrinks under an open reader is an error, not a crash."""
    pixels = [Pixel(x, 1, [100.0 + n for n in range(2000)], [1.0] * 2000) for x in (1, 2)]
    path = Builder(pixels).write(tmp_path)
    with open_imzml(path) as reader:
        path.with_suffix(".ibd").write_bytes(bytes(20))
        with pytest.raises(ImzMLError, match=r"ends at byte \d+ while being read; was it changed"):
            reader.read()


@pytest.mark.parametrize(
    ("count", "said"),
    [("4113", "announces 4113 spectra but holds 4"), ("3", "3 spectra but holds 4")],
)
def test_42_wrong_count(tmp_path: Path, count: str, said: str) -> None:
    path = edit(
        Builder().write(tmp_path), 'spectrumList count="4"', f'spectrumList count="{count}"'
    )
    assert warned(path, said).n_pixels == 4


def test_42_count_that_is_no_number(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), 'spectrumList count="4"', 'spectrumList count="many"')
    assert warned(path, "announces 'many' spectra, which is no number").n_pixels == 4


@pytest.mark.parametrize("mark", ["&#10;", "&#13;&#10;", "&#8232;"])
def test_messages_stay_on_one_line(tmp_path: Path, mark: str) -> None:
    """Whatever a value in the file holds."""
    path = position(Builder().write(tmp_path / "x"), "x", 1, f"1{mark}2")
    refused(path, "position x")
    terms = (term("IMS:1000046", f"size{mark}x", 20), SIZE_20_UM[1])
    warned(Builder(settings=(terms,)).write(tmp_path / "warning"), "names terms unlike")


# -------------------------------------------------------------------- any damage at all


def test_random_damage_never_gives_another_error(tmp_path: Path) -> None:
    """Whatever byte is changed: the file is read, or refused with `ImzMLError` in one line."""
    source = Builder().write(tmp_path / "source")
    xml, ibd = source.read_bytes(), source.with_suffix(".ibd").read_bytes()
    path = tmp_path / "image.imzML"
    dice = random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    lines = set()
    for round_ in range(600):
        parts = [bytearray(xml), bytearray(ibd)]
        part = parts[round_ % 2]
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(part))
            action = dice.randrange(3)
            if action == 0:
                part[at] = dice.randrange(256)
            elif action == 1:
                del part[at : at + dice.randint(1, 40)]
            else:
                part[at:at] = part[at : at + dice.randint(1, 40)]
        path.write_bytes(parts[0])
        path.with_suffix(".ibd").write_bytes(parts[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                spectra = read_imzml(path)
            except ImzMLError as error:
                outcomes["refused"] += 1
                lines.add(str(error).count("\n"))
            else:
                outcomes["read"] += 1
                assert spectra.n_pixels >= 1
    assert min(outcomes.values()) > 50, outcomes
    assert lines == {0}


def test_struct_is_the_only_packer() -> None:
    """The builder's bytes are little-endian whatever the machine."""
    assert Builder._pack((1.0,), "f4") == struct.pack("<f", 1.0) == b"\x00\x00\x80?"
