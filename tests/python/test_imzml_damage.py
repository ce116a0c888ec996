"""Damaged and hostile imzML: every case of the project's list of bad inputs, by its number.

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

from imzml_builder import PIXELS, SIZE_20_UM, UUID_HEX, Builder, Pixel, edit, resize, term, unit
from massgraph.io._imzml_xml import MAX_NUMBER, whole_number
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml, validate_imzml
from massgraph.spectra import Spectra

Damage = Callable[[Path], object]


def refused(path: Path, pattern: str, **options: object) -> str:
    """Check that reading and validating refuse in one line, and return the line."""
    with pytest.raises(ImzMLError, match=pattern) as caught:
        read_imzml(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert path.stem in message
    return message


def warned(path: Path, pattern: str) -> Spectra:
    """Check that reading gives this warning and no other, and return what was read."""
    with pytest.warns(UserWarning, match=pattern) as caught:
        spectra = read_imzml(path)
    messages = [str(one.message) for one in caught]
    assert len(messages) == 1, messages
    assert path.name in messages[0]
    assert "\n" not in messages[0]
    return spectra


def read_noting(path: Path) -> tuple[Spectra, str]:
    """Read, and return all warnings as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path)
    return spectra, "\n".join(str(each.message) for each in caught)


def one(mz: tuple[float, ...], intensity: tuple[float, ...]) -> tuple[Pixel, ...]:
    """Two good pixels with a strange one between them."""
    return (PIXELS[0], Pixel(2, 1, mz, intensity), PIXELS[2])


# -------------------------------------------------------------------- 1-10: the ibd


def test_01_ibd_missing(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    path.with_suffix(".ibd").unlink()
    refused(path, r"image\.imzML: its binary data image\.ibd is missing from the same folder")


def test_01_ibd_is_a_folder(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    path.with_suffix(".ibd").unlink()
    path.with_suffix(".ibd").mkdir()
    refused(path, "is missing")


@pytest.mark.parametrize(
    ("change", "pixel"),
    [
        (-60, r"pixel 2 \(x 1, y 2\): the (mz|intensity) array ends at byte \d+"),
        (-9, r"pixel 3 \(x 2, y 2\): the mz array ends at byte"),
        (-1, r"pixel 3 \(x 2, y 2\): the intensity array ends at byte 136 but image\.ibd has 135"),
        (-2, r"pixel 3 \(x 2, y 2\): the intensity array ends at byte 136 but image\.ibd has 134"),
    ],
)
def test_03_to_05_ibd_cut(tmp_path: Path, change: int, pixel: str) -> None:
    refused(resize(Builder().write(tmp_path), change), pixel)


@pytest.mark.parametrize("size", [0, 5, 15])
def test_06_ibd_empty(tmp_path: Path, size: int) -> None:
    path = Builder().write(tmp_path)
    path.with_suffix(".ibd").write_bytes(bytes(size))
    refused(path, f"image.ibd: has {size} bytes, fewer than its 16-byte UUID")
    refused(path, "ends at byte", check_uuid=False)


@pytest.mark.parametrize("extra", [1, 1000])
def test_07_trailing_bytes(tmp_path: Path, extra: int) -> None:
    path = resize(Builder().write(tmp_path), extra)
    assert warned(path, f"the .ibd has {extra} bytes after its last array").n_peaks == 10


def test_08_uuid_differs(tmp_path: Path) -> None:
    path = Builder(uuid="ffffffff-4455-6677-8899-aabbccddeeff").write(tmp_path)
    message = refused(path, f"begins with UUID {UUID_HEX} but the imzML declares ffffffff4455")
    assert "check_uuid=False" in message
    assert read_imzml(path, check_uuid=False).n_pixels == 4


@pytest.mark.parametrize("uuid", ["0000000000000000", "no uuid", "{}"])
def test_08_uuid_malformed(tmp_path: Path, uuid: str) -> None:
    refused(Builder(uuid=uuid).write(tmp_path), "begins with UUID")


def test_08_uuid_absent(tmp_path: Path) -> None:
    assert warned(Builder(uuid=None).write(tmp_path), "declares no UUID").n_pixels == 4


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_09_checksum_differs(tmp_path: Path, algorithm: str) -> None:
    path = Builder(checksum=algorithm).write(tmp_path)
    ibd = path.with_suffix(".ibd")
    data = bytearray(ibd.read_bytes())
    data[-1] ^= 1
    ibd.write_bytes(data)
    assert read_imzml(path).n_pixels == 4  # not asked for, so not noticed
    refused(path, f"image.ibd: has {algorithm} [0-9a-f]+ but the imzML", verify_checksum=True)


def test_10_checksum_absent(tmp_path: Path) -> None:
    path = Builder(checksum=None).write(tmp_path)
    assert warned(path, "declares no checksum").n_pixels == 4
    with pytest.warns(UserWarning, match="declares no checksum"):
        read_imzml(path, verify_checksum=True)


# -------------------------------------------------------------------- 11-16: offsets and lengths


def offset(path: Path, old: int, new: object) -> Path:
    return edit(
        path, f'name="external offset" value="{old}"', f'name="external offset" value="{new}"'
    )


def length(path: Path, old: int, new: object, count: int = 1) -> Path:
    name = 'name="external array length" value='
    return edit(path, f'{name}"{old}"', f'{name}"{new}"', count)


def test_11_offset_beyond_the_end(tmp_path: Path) -> None:
    path = offset(Builder().write(tmp_path), 16, 5000)
    refused(path, r"pixel 0 \(x 1, y 1\): the mz array ends at byte 5024 but image.ibd has 136")


def test_11_offset_negative(tmp_path: Path) -> None:
    path = offset(Builder().write(tmp_path), 16, -20)
    refused(path, r"pixel 0 \(x 1, y 1\): the offset of the mz array is -20, below zero")


def test_11_offset_inside_the_uuid(tmp_path: Path) -> None:
    path = offset(Builder().write(tmp_path), 16, 8)
    refused(path, r"pixel 0 \(x 1, y 1\): the offset of the mz array is 8, inside the UUID")


def test_11_arrays_overlap(tmp_path: Path) -> None:
    builder = Builder()
    path = offset(builder.write(tmp_path), builder.mz_offsets[1], builder.mz_offsets[0] + 8)
    assert warned(path, "1 arrays overlap others in the .ibd").pixel(1)[0].tolist() == [
        200.5,
        300.25,
    ]


def test_11_shared_arrays_do_not_overlap(tmp_path: Path) -> None:
    """Processed files may point all pixels to one m/z array."""
    pixels = [Pixel(x, 1, (100.0, 200.0), (x, 2 * x)) for x in (1, 2, 3)]
    builder = Builder(pixels, layout="continuous")
    path = edit(
        builder.write(tmp_path), '"IMS:1000030" name="continuous"', '"IMS:1000031" name="processed"'
    )
    assert read_imzml(path).mz.tolist() == [100.0, 200.0] * 3


def test_11_pixels_out_of_order(tmp_path: Path) -> None:
    builder = Builder((PIXELS[0], Pixel(2, 1, (101.0, 201.5, 301.0), (1.0, 2.0, 3.0))))
    path = builder.write(tmp_path)
    a, b = builder.mz_offsets
    c, d = builder.intensity_offsets
    for old, new in ((a, "A"), (b, a), ("A", b), (c, "C"), (d, c), ("C", d)):
        edit(path, f'name="external offset" value="{old}"', f'name="external offset" value="{new}"')
    spectra = warned(path, r"stored out of order in the \.ibd \(1 offsets fall\)")
    assert spectra.pixel(0)[0].tolist() == [101.0, 201.5, 301.0]


def test_12_wrapped_offsets_without_a_file_to_match(tmp_path: Path) -> None:
    """Negative offsets in a small file cannot be wrapped ones."""
    path = offset(Builder().write(tmp_path), 16, 16 - (1 << 31))
    refused(path, "below zero")


@pytest.mark.parametrize(
    "text", ["1.5e+00", "16.5", "abc", "", "nan", "inf", "1_6", "0x10", "1e-3"]
)
def test_13_numbers_that_are_not_whole(tmp_path: Path, text: str) -> None:
    path = offset(Builder().write(tmp_path), 16, text)
    refused(path, rf"pixel 0 \(id 's0', x 1, y 1\): mz external offset is '{re.escape(text)}'")


@pytest.mark.parametrize("text", ["1e400", "9" * 30, "1e999999999", "1e18"])
def test_13_numbers_that_are_too_large(tmp_path: Path, text: str) -> None:
    refused(offset(Builder().write(tmp_path), 16, text), "which is too large")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.156e+09", 1156000000),
        ("-3", -3),
        ("-4e2", -400),
        ("7.000", 7),
        (str(MAX_NUMBER - 1), MAX_NUMBER - 1),
    ],
)
def test_13_whole_numbers(text: str, value: int) -> None:
    assert whole_number(text) == value


@pytest.mark.parametrize("text", [None, "1e-999999999", "9" * 100, "٣٫٥", "--1", "1 6"])
def test_13_odd_numbers_end_quickly(text: str | None) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="which is"):
        whole_number(text)
    assert time.perf_counter() - start < 1


def test_14_lengths_differ(tmp_path: Path) -> None:
    path = Builder(encoded_length=False).write(tmp_path)
    refused(length(path, 3, 2), r"pixel 0 \(x 1, y 1\): has 2 m/z but 3 intensities")


def test_15_pixels_without_peaks_stay(tmp_path: Path) -> None:
    """M: a pixel without peaks is a pixel, first, in the middle and last."""
    empty = [Pixel(x, 9, (), ()) for x in (1, 2, 3)]
    pixels = (empty[0], PIXELS[0], empty[1], PIXELS[1], empty[2])
    spectra = read_imzml(Builder(pixels).write(tmp_path))
    assert spectra.peak_counts.tolist() == [0, 3, 0, 2, 0]


@pytest.mark.parametrize("layout", ["processed", "continuous"])
def test_15_image_without_any_peak(tmp_path: Path, layout: str) -> None:
    pixels = [Pixel(x, 1, (), ()) for x in (1, 2)]
    spectra = read_imzml(Builder(pixels, layout=layout).write(tmp_path))
    assert spectra.n_pixels == 2
    assert spectra.n_peaks == 0


def test_15_spectrum_without_arrays(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    text = path.read_text()
    path.write_text(
        re.sub(r"<binaryDataArrayList.*?</binaryDataArrayList>", "", text, count=1, flags=re.S)
    )
    assert read_imzml(path).peak_counts.tolist() == [0, 2, 4, 1]


@pytest.mark.parametrize("text", ["99999999999", "1e11", str(MAX_NUMBER - 1)])
def test_16_absurd_length(tmp_path: Path, text: str) -> None:
    """Refused before anything is allocated; the sum of offset and size does not overflow."""
    path = length(Builder(encoded_length=False).write(tmp_path), 3, text, count=2)
    refused(path, r"pixel 0 \(x 1, y 1\): the mz array ends at byte \d{12,} but image\.ibd has 136")


def test_16_negative_length(tmp_path: Path) -> None:
    path = length(Builder().write(tmp_path), 3, -1, count=2)
    refused(path, r"pixel 0 \(x 1, y 1\): the length of the mz array is -1, below zero")


@pytest.mark.parametrize("what", ["external offset", "external array length"])
def test_16_missing_numbers(tmp_path: Path, what: str) -> None:
    path = Builder().write(tmp_path)
    path.write_text(re.sub(rf'<cvParam[^>]*name="{what}"[^>]*/>', "", path.read_text(), count=1))
    refused(path, rf"pixel 0 \(id 's0', x 1, y 1\): has no mz ({what}|array length)")


# -------------------------------------------------------------------- 17-19: how numbers are stored


@pytest.mark.parametrize(
    ("accession", "name"),
    [
        ("MS:1000574", "zlib compression"),
        ("MS:1002312", "MS-Numpress linear prediction compression"),
        ("MS:1002314", "MS-Numpress short logged float compression"),
        ("MS:1002746", "MS-Numpress linear prediction compression followed by zlib compression"),
        ("MS:1003090", "truncation, linear prediction and zlib compression"),
        ("MS:9999999", "future compression"),
    ],
)
@pytest.mark.parametrize("inline", [False, True])
def test_17_compression(tmp_path: Path, accession: str, name: str, inline: bool) -> None:
    path = Builder(inline=inline).write(tmp_path)
    edit(path, term("MS:1000576", "no compression"), term(accession, name))
    refused(path, rf"pixel 0 .*the mz array is stored with {name} \({accession}\)")


def test_17_compression_besides_no_compression(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    none = term("MS:1000576", "no compression")
    edit(path, none, none + term("MS:1000574", "zlib compression"))
    refused(path, "zlib compression")


def test_18_two_precision_terms(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    two = term("MS:1000523", "64-bit float")
    edit(path, two, two + term("MS:1000521", "32-bit float"))
    refused(path, r"the mz array has 2 precision terms \(MS:1000521 and MS:1000523\)")


def test_18_no_precision_term(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), term("MS:1000523", "64-bit float"), "")
    refused(path, "the mz array has no precision term")


@pytest.mark.parametrize(("stored", "declared"), [("f4", "f8"), ("f8", "f4")])
def test_18_wrong_precision_is_seen_by_the_encoded_length(
    tmp_path: Path, stored: str, declared: str
) -> None:
    names = {"f4": term("MS:1000521", "32-bit float"), "f8": term("MS:1000523", "64-bit float")}
    path = Builder(mz_type=stored, intensity_type="i4").write(tmp_path)
    edit(path, names[stored], names[declared])
    refused(
        path, r"pixel 0 \(x 1, y 1\): the mz array takes \d+ bytes, but 3 values of float\d+ take"
    )


@pytest.mark.parametrize(("stored", "declared"), [("f4", "f8"), ("f8", "f4")])
def test_18_wrong_precision_is_seen_by_the_values(
    tmp_path: Path, stored: str, declared: str
) -> None:
    """Without encoded lengths it is the values, or the end of the file, that give it away."""
    names = {"f4": term("MS:1000521", "32-bit float"), "f8": term("MS:1000523", "64-bit float")}
    pixels = [Pixel(x, 1, (100.1, 200.2, 300.3), (1.0, 2.0, 3.0)) for x in range(1, 5)]
    path = Builder(pixels, mz_type=stored, intensity_type="i4", encoded_length=False).write(
        tmp_path
    )
    edit(path, names[stored], names[declared])
    with pytest.raises(ImzMLError, match="precision declared wrongly"):
        validate_imzml(path)


def test_18_term_at_odds_with_its_name(tmp_path: Path) -> None:
    """A known fault of converters: settled by the encoded length, refused without it."""
    good, odd = term("MS:1000523", "64-bit float"), term("MS:1000521", "64-bit float")
    path = edit(Builder().write(tmp_path), good, odd)
    spectra = warned(path, "precision of the mz array contradicts its name; read as float64")
    assert spectra.pixel(0)[0].tolist() == [100.0, 200.5, 300.25]
    path = edit(Builder(encoded_length=False).write(tmp_path / "two"), good, odd)
    refused(path, "the precision of the mz array reads as float32 or float64; state one")


@pytest.mark.parametrize("role", ["mz", "intensity"])
def test_18_array_missing(tmp_path: Path, role: str) -> None:
    path = Builder().write(tmp_path)
    edit(path, f'<referenceableParamGroupRef ref="{role}"/>', "")
    refused(path, f"pixel 0 .*has no {'m/z' if role == 'mz' else role} array")


def test_18_array_twice(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), 'ref="intensity"', 'ref="mz"')
    refused(path, "pixel 0 .*has two mz arrays")


def test_18_array_of_two_roles(tmp_path: Path) -> None:
    role = term("MS:1000514", "m/z array")
    path = edit(Builder().write(tmp_path), role, role + term("MS:1000515", "intensity array"))
    refused(path, "declared both m/z and intensity")


def test_18_unknown_group(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), 'ref="mz"', 'ref="elsewhere"')
    refused(path, r"has no m/z array \(unknown parameter groups: elsewhere\)")


def test_18_unknown_group_of_spectra(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), 'ref="spectrum"', 'ref="gone"')
    assert warned(path, "parameter groups that are not defined: 'gone'").n_pixels == 4


# -------------------------------------------------------------------- 21-22: values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e35])
def test_21_impossible_mz(tmp_path: Path, value: float) -> None:
    path = Builder(one((100.0, value, 300.0), (1.0, 2.0, 3.0))).write(tmp_path)
    refused(path, rf"pixel 1 \(x 2, y 1\): value {re.escape(str(value))} of peak 1 is no m/z")


def test_21_impossible_mz_on_the_axis(tmp_path: Path) -> None:
    axis = (100.0, float("nan"), 300.0)
    pixels = [Pixel(x, 1, axis, (1.0, 2.0, 3.0)) for x in (1, 2)]
    refused(Builder(pixels, layout="continuous").write(tmp_path), "value nan of peak 1")


def test_21_unsorted_mz_is_sorted(tmp_path: Path) -> None:
    path = Builder(one((300.0, 100.0, 200.0), (3.0, 1.0, 2.0))).write(tmp_path)
    spectra = warned(path, r"1 spectra had m/z out of order and were sorted \(first in pixel 1 \(")
    assert spectra.pixel(1)[0].tolist() == [100.0, 200.0, 300.0]
    assert spectra.pixel(1)[1].tolist() == [1.0, 2.0, 3.0]


def test_21_unsorted_axis_is_sorted(tmp_path: Path) -> None:
    pixels = [Pixel(x, 1, (300.0, 100.0, 200.0), (3.0, 1.0, 0.0)) for x in (1, 2)]
    path = Builder(pixels, layout="continuous").write(tmp_path)
    spectra = warned(path, "2 spectra had m/z out of order")
    assert spectra.axis is not None
    assert spectra.axis.tolist() == [100.0, 200.0, 300.0]
    assert spectra.pixel(1)[1].tolist() == [1.0, 3.0]


def test_21_equal_mz_are_kept(tmp_path: Path) -> None:
    path = Builder(one((100.0, 100.0, 200.0), (3.0, 1.0, 2.0))).write(tmp_path)
    spectra = warned(path, r"1 peaks share the m/z of another in their pixel; all were kept")
    assert spectra.pixel(1)[0].tolist() == [100.0, 100.0, 200.0]
    assert spectra.pixel(1)[1].tolist() == [3.0, 1.0, 2.0]


def test_21_equal_mz_in_neighbouring_pixels_are_nothing_odd(tmp_path: Path) -> None:
    pixels = [Pixel(x, 1, (100.0,), (1.0,)) for x in (1, 2, 3)]
    assert read_imzml(Builder(pixels).write(tmp_path)).n_peaks == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_22_impossible_intensity(tmp_path: Path, value: float) -> None:
    path = Builder(one((100.0, 200.0), (1.0, value)), intensity_type="f8").write(tmp_path)
    refused(path, r"pixel 1 \(x 2, y 1\): value .* of peak 1 is no finite intensity")


def test_22_negative_intensity_is_absent(tmp_path: Path) -> None:
    path = Builder(one((100.0, 200.0, 300.0), (1.0, -2.0, -3.0))).write(tmp_path)
    spectra = warned(
        path, r"2 negative intensities were treated as absent peaks \(first in pixel 1 "
    )
    assert spectra.pixel(1)[0].tolist() == [100.0]


def test_22_warnings_are_summed_over_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.io.imzml.CHUNK_BYTES", 1)
    pixels = [Pixel(x, 1, (100.0, 200.0), (-1.0, 1.0)) for x in range(1, 6)]
    warned(
        Builder(pixels).write(tmp_path), r"5 negative intensities .*first in pixel 0 \(x 1, y 1\)"
    )


def test_22_all_zero_stays_as_a_pixel_without_peaks(tmp_path: Path) -> None:
    spectra = read_imzml(Builder(one((100.0, 200.0), (0.0, 0.0))).write(tmp_path))
    assert spectra.peak_counts.tolist() == [3, 0, 4]


def test_22_intensity_below_single_precision_is_absent(tmp_path: Path) -> None:
    path = Builder(one((100.0, 200.0), (1e-60, 1.0)), intensity_type="f8").write(tmp_path)
    assert read_imzml(path).pixel(1)[0].tolist() == [200.0]


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


def position(path: Path, axis: str, old: int, new: object) -> Path:
    return edit(
        path, f'name="position {axis}" value="{old}"', f'name="position {axis}" value="{new}"'
    )


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("value", [0, -3])
def test_31_positions_below_one(tmp_path: Path, axis: str, value: int) -> None:
    path = position(Builder().write(tmp_path), axis, 1, value)
    refused(
        path, rf"pixel 0 \(x -?\d, y -?\d\): position {axis} is {value}; positions count from 1"
    )


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
    spectra, text = read_noting(path)
    assert spectra.polarity is None
    assert "declares mixed polarity: negative and positive" in text


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
