"""Damaged imzML, cases 1 to 22 of the project's list of bad inputs: the ibd and what it holds.

R: refused in one line that names the file, the pixel and the value. W: read with a warning.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imzml_builder import PIXELS, UUID_HEX, Builder, Pixel, edit, resize, term
from imzml_faults import length, offset, one, refused, warned
from massgraph.io._imzml_spectra import MAX_NUMBER, whole_number
from massgraph.io.imzml import ImzMLError, read_imzml, validate_imzml

Damage = Callable[[Path], object]


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


def test_21_equal_mz_are_summed(tmp_path: Path) -> None:
    path = Builder(one((100.0, 100.0, 200.0), (3.0, 1.0, 2.0))).write(tmp_path)
    spectra = warned(path, r"1 peaks share the m/z of another in their pixel; such .* were summed")
    assert spectra.pixel(1)[0].tolist() == [100.0, 200.0]
    assert spectra.pixel(1)[1].tolist() == [4.0, 2.0]


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
    monkeypatch.setattr("massgraph.io._imzml_reader.CHUNK_BYTES", 1)
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
