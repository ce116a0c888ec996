"""Reading imzML as a user does, and what always holds of it."""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from imzml_builder import PIXELS, SIZE_20_UM, Builder, Pixel, edit, term, unit
from massgraph.data.spectra import Spectra
from massgraph.io.imzml import (
    ImzMLError,
    ImzMLReader,
    open_imzml,
    read_imzml,
    validate_imzml,
)

AXIS = (100.0, 200.5, 300.25, 400.0)
ALIGNED = (
    Pixel(1, 1, AXIS, (1.0, 0.0, 3.0, 4.0)),
    Pixel(2, 1, AXIS, (0.0, 0.0, 0.0, 0.0)),
    Pixel(3, 1, AXIS, (5.0, 6.0, 0.0, 8.0)),
)


def many(n: int, peaks: int = 5, seed: int = 0) -> list[Pixel]:
    rng = np.random.default_rng(seed)
    return [
        Pixel(
            1 + index % 10,
            1 + index // 10,
            np.sort(rng.uniform(100, 1000, peaks)).tolist(),
            rng.uniform(1, 100, peaks).astype(np.float32).tolist(),
        )
        for index in range(n)
    ]


def assert_same(first: Spectra, second: Spectra) -> None:
    np.testing.assert_array_equal(first.mz, second.mz)
    np.testing.assert_array_equal(first.intensity, second.intensity)
    np.testing.assert_array_equal(first.offsets, second.offsets)
    assert first.coordinates is not None
    assert second.coordinates is not None
    np.testing.assert_array_equal(first.coordinates, second.coordinates)


# -------------------------------------------------------------------- a user reads a file


def test_read_gives_what_was_written(tmp_path: Path) -> None:
    spectra = read_imzml(Builder().write(tmp_path))
    assert spectra.n_pixels == len(PIXELS)
    for index, pixel in enumerate(PIXELS):
        mz, intensity = spectra.pixel(index)
        np.testing.assert_array_equal(mz, pixel.mz)
        np.testing.assert_array_equal(intensity, np.float32(pixel.intensity))
    assert spectra.coordinates is not None
    np.testing.assert_array_equal(spectra.coordinates, [(1, 1), (2, 1), (1, 2), (2, 2)])
    assert spectra.coordinates.dtype == np.float64
    assert spectra.polarity == "positive"
    assert spectra.pixel_size == (20.0, 20.0)
    assert spectra.pixel_size_unit == "um"
    assert spectra.run_names == ("image",)
    assert spectra.axis is None


def test_paths_may_be_text(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    assert read_imzml(str(path)).n_pixels == 4
    with open_imzml(str(path)) as reader:
        assert len(reader) == 4


def test_run_is_named_by_the_user_or_the_file(tmp_path: Path) -> None:
    path = Builder().write(tmp_path, "slide 7")
    assert read_imzml(path).run_names == ("slide 7",)
    assert read_imzml(path, run="control").run.tolist() == ["control"] * 4


def test_mz_range_and_max_peaks(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    ranged = read_imzml(path, mz_range=(150, 260))
    assert ranged.mz.tolist() == [200.5, 201.5, 150.0, 200.0, 250.0]
    assert ranged.n_pixels == 4
    top = read_imzml(path, max_peaks=1)
    assert top.peak_counts.tolist() == [1, 1, 1, 1]
    assert top.intensity.tolist() == [30.0, 2.0, 4.0, 7.0]


def test_mz_range_that_is_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="m/z range 300 to 200 is empty"):
        read_imzml(Builder().write(tmp_path), mz_range=(300, 200))


def test_continuous_files_give_an_axis_and_leave_zeros_out(tmp_path: Path) -> None:
    spectra = read_imzml(Builder(ALIGNED, layout="continuous").write(tmp_path))
    assert spectra.axis is not None
    np.testing.assert_array_equal(spectra.axis, AXIS)
    assert spectra.peak_counts.tolist() == [3, 0, 3]
    assert spectra.pixel(0)[0].tolist() == [100.0, 300.25, 400.0]
    matrix, axis = spectra.to_matrix()
    np.testing.assert_array_equal(axis, AXIS)
    np.testing.assert_array_equal(matrix.toarray(), [p.intensity for p in ALIGNED])


def test_continuous_and_processed_forms_agree(tmp_path: Path) -> None:
    one = read_imzml(Builder(ALIGNED, layout="continuous").write(tmp_path / "c"))
    two = read_imzml(Builder(ALIGNED, layout="processed").write(tmp_path / "p"))
    assert_same(one, two)


def test_reader_describes_the_file(tmp_path: Path) -> None:
    with open_imzml(Builder(polarity="negative").write(tmp_path)) as reader:
        assert isinstance(reader, ImzMLReader)
        assert reader.n_pixels == len(reader) == 4
        assert reader.layout == "processed"
        assert reader.mode == "centroid"
        assert reader.polarity == "negative"
        assert reader.pixel_size == (20.0, 20.0)
        assert reader.run_names == ("image",)
        assert reader.warnings == []
        assert reader.ibd_path.name == "image.ibd"
        assert repr(reader) == (
            "ImzMLReader('image.imzML', 4 pixels, processed, centroid, polarity negative)"
        )


def test_read_some_pixels(tmp_path: Path) -> None:
    with open_imzml(Builder().write(tmp_path)) as reader:
        part = reader.read(1, 3)
        assert part.n_pixels == 2
        assert part.mz.tolist() == [101.0, 201.5, 100.0, 150.0, 200.0, 250.0]
        assert reader.read(4, 4).n_pixels == 0
        assert reader.read(3).n_pixels == 1
        for start, stop in ((-1, 2), (2, 1), (0, 5)):
            with pytest.raises(ValueError, match=f"pixels {start} to {stop} are not within its 4"):
                reader.read(start, stop)


@pytest.mark.parametrize("n_pixels", [1, 7, 30, 1000])
@pytest.mark.parametrize("layout", ["processed", "continuous"])
def test_chunks_join_to_the_whole(tmp_path: Path, n_pixels: int, layout: str) -> None:
    pixels = many(30)
    if layout == "continuous":
        for pixel in pixels:
            pixel.mz = pixels[0].mz
    with open_imzml(Builder(pixels, layout=layout).write(tmp_path)) as reader:
        chunks = list(reader.blocks(n_pixels))
        assert all(chunk.n_pixels <= n_pixels for chunk in chunks)
        joined = Spectra.concatenate(chunks)
        assert_same(joined, reader.read())
        assert (joined.axis is not None) == (layout == "continuous")


def test_default_chunks_are_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Builder(many(30, peaks=10)).write(tmp_path)
    monkeypatch.setattr("massgraph.io._imzml_reader.CHUNK_BYTES", 1000)
    with open_imzml(path) as reader:
        bounds = reader.bounds()
        assert bounds[0] == 0
        assert bounds[-1] == 30
        # 10 peaks of 12 bytes: at most nine pixels in a thousand bytes
        assert max(np.diff(bounds)) <= 9
        assert min(np.diff(bounds)) >= 1
    assert read_imzml(path).n_peaks == 300


def test_chunk_size_must_be_positive(tmp_path: Path) -> None:
    with (
        open_imzml(Builder().write(tmp_path)) as reader,
        pytest.raises(ValueError, match="at least one pixel, got n_pixels=0"),
    ):
        reader.blocks(0)


def test_a_closed_reader_says_so(tmp_path: Path) -> None:
    reader = open_imzml(Builder().write(tmp_path))
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match=r"image\.ibd: the reader is closed"):
        reader.read()


def test_unknown_profile_choice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="profile 'yes' is none of"):
        open_imzml(Builder().write(tmp_path), profile="yes")


def test_no_file_stays_open_after_an_error(tmp_path: Path) -> None:
    path = edit(Builder().write(tmp_path), 'value="4"', 'value="5"')
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(ImzMLError):
            open_imzml(path)


def test_threads_may_share_a_reader(tmp_path: Path) -> None:
    """Case 41: two threads on one reader."""
    pixels = many(60)
    with open_imzml(Builder(pixels).write(tmp_path)) as reader:
        whole = reader.read()
        failures: list[int] = []

        def work(offset: int) -> None:
            for round_ in range(100):
                index = (round_ * 7 + offset) % 60
                if not np.array_equal(reader.read(index, index + 1).mz, whole.pixel(index)[0]):
                    failures.append(index)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


# -------------------------------------------------------------------- validate


def test_validate_describes_in_json(tmp_path: Path) -> None:
    pixels = (*PIXELS, Pixel(3, 3, (), ()))
    found = validate_imzml(Builder(pixels).write(tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "file": str(tmp_path / "image.imzML"),
        "n_pixels": 5,
        "runs": ["image"],
        "layout": "processed",
        "mode": "centroid",
        "kinds": {"MS1": 5},
        "polarities": {"positive": 5},
        "polarity": "positive",
        "pixel_size_um": [20.0, 20.0],
        "mz_range": [100.0, 500.125],
        "peaks_per_pixel": [0.0, 2.0, 4.0],
        "tic": [0.0, 7.0, 60.0],
        "empty_pixels": 1,
        "warnings": [],
    }


def test_validate_lists_warnings_without_issuing_them(tmp_path: Path) -> None:
    pixels = (Pixel(1, 1, (200.0, 100.0), (1.0, -2.0)),)
    found = validate_imzml(Builder(pixels, polarity=None, settings=()).write(tmp_path))
    text = "\n".join(found["warnings"])
    assert "declares no polarity" in text
    assert "has no scan settings" in text
    assert "1 negative intensities were treated as absent peaks (first in pixel 0" in text


def test_validate_of_an_image_without_any_peak(tmp_path: Path) -> None:
    found = validate_imzml(Builder((Pixel(1, 1, (), ()), Pixel(2, 1, (), ()))).write(tmp_path))
    assert found["mz_range"] is None
    assert found["empty_pixels"] == 2


def test_validate_reads_the_checksum(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    ibd = path.with_suffix(".ibd")
    data = bytearray(ibd.read_bytes())
    data[-1] ^= 1
    ibd.write_bytes(data)
    with pytest.raises(ImzMLError, match=r"image\.ibd: has sha1 [0-9a-f]{40} but the imzML"):
        validate_imzml(path)


# -------------------------------------------------------------------- variants that are accepted


@pytest.mark.parametrize("mz_type", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("intensity_type", ["f4", "f8", "i2", "i4", "i8", "i8ms"])
def test_every_precision_is_read(tmp_path: Path, mz_type: str, intensity_type: str) -> None:
    """Case 19: 64-bit integers have a fixed width, and so have all others."""
    pixels = (Pixel(1, 1, (100, 200, 300), (1, 2, 3)), Pixel(2, 1, (150,), (5,)))
    builder = Builder(pixels, mz_type=mz_type, intensity_type=intensity_type)
    spectra = read_imzml(builder.write(tmp_path))
    assert spectra.mz.tolist() == [100, 200, 300, 150]
    assert spectra.intensity.tolist() == [1, 2, 3, 5]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("encoded", [False, True])
def test_terms_may_stand_in_groups_or_in_place(tmp_path: Path, inline: bool, encoded: bool) -> None:
    path = Builder(inline=inline, encoded_length=encoded).write(tmp_path)
    assert_same(read_imzml(path), read_imzml(Builder().write(tmp_path / "plain")))


def test_precision_may_differ_between_spectra(tmp_path: Path) -> None:
    builder = Builder((PIXELS[0], Pixel(2, 1, (100.0, 200.0), (1.0, 2.0))), inline=True)
    path = builder.write(tmp_path)
    # The second m/z array, 16 bytes as 64-bit floats, is declared (and rewritten) as 32-bit.
    head, mark, tail = path.read_text().partition('<spectrum id="s1"')
    tail = tail.replace("MS:1000523", "MS:1000521", 1).replace("64-bit float", "32-bit float", 1)
    tail = tail.replace('length" value="16"', 'length" value="8"', 1)
    path.write_text(head + mark + tail)
    ibd = path.with_suffix(".ibd")
    data = bytearray(ibd.read_bytes())
    at = builder.mz_offsets[1]
    data[at : at + 8] = np.float32([100, 200]).tobytes()
    ibd.write_bytes(data)
    assert read_imzml(path).pixel(1)[0].tolist() == [100.0, 200.0]


def test_third_arrays_are_passed_over(tmp_path: Path) -> None:
    """Ion mobility arrays, say, are no m/z; their bytes are no waste at the end of the file."""
    builder = Builder(PIXELS[:1], trailing=bytes(12))
    path = builder.write(tmp_path)
    end = builder.intensity_offsets[0] + 12
    third = (
        "<binaryDataArray>"
        + term("MS:1003006", "mean inverse reduced ion mobility array")
        + term("IMS:1000102", "external offset", end)
        + term("IMS:1000103", "external array length", 3)
        + term("IMS:1000104", "external encoded length", 12)
        + "</binaryDataArray>\n</binaryDataArrayList>"
    )
    edit(path, "</binaryDataArrayList>", third)
    assert read_imzml(path).n_peaks == 3


@pytest.mark.parametrize("suffix", ["ibd", "IBD", "Ibd"])
def test_ibd_in_any_case(tmp_path: Path, suffix: str) -> None:
    """Case 2."""
    path = Builder().write(tmp_path)
    path.with_suffix(".ibd").rename(path.with_suffix(f".{suffix}"))
    assert read_imzml(path).n_pixels == 4


@pytest.mark.parametrize(
    "name", ["image.imzml", "IMAGE.IMZML", "a.b.c.imzML", "Bild Ähre 図.imzML"]
)
def test_names_of_files(tmp_path: Path, name: str) -> None:
    """Case 40: spaces, Unicode, several dots, any case of the suffix."""
    folder = tmp_path / "folder with spaces é"
    made = Builder().write(folder)
    path = made.rename(folder / name)
    made.with_suffix(".ibd").rename(path.with_suffix(".ibd"))
    spectra = read_imzml(path)
    assert spectra.n_pixels == 4
    assert spectra.run_names == (path.stem,)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    path = Builder().write(tmp_path / "real")
    for one in (path, path.with_suffix(".ibd")):
        (tmp_path / one.name).symlink_to(one)
    assert read_imzml(tmp_path / path.name).n_pixels == 4


@pytest.mark.parametrize(
    ("written", "micrometres"),
    [
        (("20", unit("UO:0000017", "micrometer")), 20.0),
        (("4406.25", unit("UO:0000018", "nanometer")), 4.40625),
        (("0.05", unit("UO:0000016", "millimeter")), 50.0),
        (("0.01", unit("UO:0000015", "centimeter")), 100.0),
        (("1e-5", unit("UO:0000008", "meter")), 10.0),
        (("30", ""), 30.0),
        (("30", ' unitName="nm"'), 0.03),
        (("30", ' unitName="µm"'), 30.0),
    ],
)
def test_pixel_size_comes_in_micrometres(
    tmp_path: Path, written: tuple[str, str], micrometres: float
) -> None:
    """Case 30."""
    terms = (
        term("IMS:1000046", "pixel size x", *written),
        term("IMS:1000047", "pixel size y", *written),
    )
    spectra = read_imzml(Builder(settings=(terms,)).write(tmp_path))
    assert spectra.pixel_size == pytest.approx((micrometres, micrometres), rel=1e-12)


def test_pixel_size_may_differ_in_x_and_y_and_stand_in_a_group(tmp_path: Path) -> None:
    path = Builder(settings=(('<referenceableParamGroupRef ref="size"/>',),)).write(tmp_path)
    size = term("IMS:1000046", "pixel size x", 10) + term("IMS:1000047", "pixel size y", 25)
    group = f'<referenceableParamGroup id="size">{size}</referenceableParamGroup>'
    edit(path, "</referenceableParamGroupList>", f"{group}</referenceableParamGroupList>")
    assert read_imzml(path).pixel_size == (10.0, 25.0)


def test_one_pixel_size_that_is_an_area(tmp_path: Path) -> None:
    """Early files give an area: 65 pixels of 30 square micrometres are 356 um wide."""
    terms = (
        term("IMS:1000042", "max count of pixels x", 65),
        term("IMS:1000044", "max dimension x", 356, unit("UO:0000017", "micrometer")),
        term("IMS:1000046", "pixel size x", 30),
    )
    with pytest.warns(UserWarning, match="one pixel size, 30, which is an area; sides are 5.477"):
        spectra = read_imzml(Builder(settings=(terms,)).write(tmp_path))
    assert spectra.pixel_size == pytest.approx((30**0.5, 30**0.5))


def test_one_pixel_size_that_is_a_length(tmp_path: Path) -> None:
    terms = (term("IMS:1000046", "pixel size x", 30),)
    with pytest.warns(UserWarning, match="pixels are taken as square"):
        spectra = read_imzml(Builder(settings=(terms,)).write(tmp_path))
    assert spectra.pixel_size == (30.0, 30.0)


def test_equal_scan_settings_agree(tmp_path: Path) -> None:
    path = Builder(settings=(SIZE_20_UM, SIZE_20_UM)).write(tmp_path)
    assert read_imzml(path).pixel_size == (20.0, 20.0)


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16", "windows-1252", "us-ascii"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, newline: str) -> None:
    """Case 37."""
    path = Builder(encoding=encoding).write(tmp_path)
    text = path.read_bytes().decode(encoding)
    if encoding != "us-ascii":
        text = text.replace('id="run0"', 'id="Läufer"')
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    assert read_imzml(path).n_pixels == 4


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0"?>', "<?xml version='1.0'?>"])
def test_byte_order_mark_with_and_without_declaration(tmp_path: Path, declaration: str) -> None:
    path = Builder(declaration=declaration).write(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().lstrip())
    assert read_imzml(path).n_pixels == 4


def test_comments_and_instructions_before_the_root(tmp_path: Path) -> None:
    declaration = '<?xml version="1.0"?>\n<!-- <!DOCTYPE is only named here> -->\n<?style a?>'
    assert read_imzml(Builder(declaration=declaration).write(tmp_path)).n_pixels == 4


def test_indexed_mzml_wrapper(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    edit(path, "<mzML ", '<indexedmzML xmlns="http://psi.hupo.org/ms/mzml"><mzML ')
    edit(path, "</mzML>", "</mzML><indexList count='0'/></indexedmzML>")
    assert read_imzml(path).n_pixels == 4


def test_unknown_terms_and_user_parameters(tmp_path: Path) -> None:
    """Case 28."""
    path = Builder().write(tmp_path)
    extra = (
        term("XX:1", "a vendor's own", "?") + '<userParam name="note" value="x" type="xsd:int"/>'
    )
    for mark in ("</scan>", "</fileContent>", "</referenceableParamGroup>", "</scanSettings>"):
        edit(path, mark, extra + mark, count=-1)
    assert read_imzml(path).n_pixels == 4


@pytest.mark.parametrize("written", ["1.6e+01", "16.0", " 16 ", "+16", "1.6E1", "0016"])
def test_whole_numbers_in_other_spellings(tmp_path: Path, written: str) -> None:
    """Case 13: Cardinal wrote offsets in scientific notation."""
    path = Builder().write(tmp_path)
    edit(path, 'name="external offset" value="16"', f'name="external offset" value="{written}"')
    assert read_imzml(path).pixel(0)[0].tolist() == [100.0, 200.5, 300.25]


def test_sparse_raster(tmp_path: Path) -> None:
    """Case 33: a region that is no rectangle."""
    pixels = [Pixel(x, y, (100.0,), (1.0,)) for x, y in ((900, 3), (2, 700), (5, 5))]
    spectra = read_imzml(Builder(pixels).write(tmp_path))
    assert spectra.coordinates is not None
    np.testing.assert_array_equal(spectra.coordinates, [(900, 3), (2, 700), (5, 5)])


def test_z_is_kept_where_it_varies(tmp_path: Path) -> None:
    """Case 34: z missing, constant, several."""
    pixels = [Pixel(1, 1, (100.0,), (1.0,), z=z) for z in (1, 2)]
    several = read_imzml(Builder(pixels).write(tmp_path / "several"))
    assert several.coordinates is not None
    np.testing.assert_array_equal(several.coordinates, [(1, 1, 1), (1, 1, 2)])
    same = [Pixel(x, 1, (100.0,), (1.0,), z=3) for x in (1, 2)]
    constant = read_imzml(Builder(same).write(tmp_path / "constant"))
    assert constant.coordinates is not None
    assert constant.coordinates.shape == (2, 2)


def test_several_runs_in_one_file(tmp_path: Path) -> None:
    """Case 35: the same positions may come again in another run."""
    pixels = [Pixel(1, 1, (100.0 + run,), (1.0,), run=run) for run in range(3)]
    path = Builder(pixels).write(tmp_path)
    spectra = read_imzml(path)
    assert spectra.run.tolist() == ["run0", "run1", "run2"]
    with pytest.raises(ImzMLError, match=r"holds 3 runs \(run0, run1, run2\); leave run='a' out"):
        read_imzml(path, run="a")


def test_runs_of_the_same_id_are_told_apart(tmp_path: Path) -> None:
    pixels = [Pixel(1, 1, (100.0,), (1.0,), run=run) for run in range(2)]
    path = edit(Builder(pixels).write(tmp_path), 'id="run1"', 'id="run0"')
    assert read_imzml(path).run_names == ("image:1", "image:2")


def test_uuid_spellings(tmp_path: Path) -> None:
    stored = "00112233-4455-6677-8899-aabbccddeeff"
    # .NET stores the first three fields in the other byte order.
    mixed = "33221100-5544-7766-8899-AABBCCDDEEFF"
    for number, uuid in enumerate((stored, f"{{{stored}}}", stored.upper(), f"{{{mixed}}}")):
        path = Builder(uuid=uuid).write(tmp_path / str(number))
        assert read_imzml(path).n_pixels == 4


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_checksums_that_fit(tmp_path: Path, algorithm: str) -> None:
    path = Builder(checksum=algorithm).write(tmp_path)
    assert read_imzml(path, verify_checksum=True).n_pixels == 4


def test_layouts_of_the_ibd(tmp_path: Path) -> None:
    """All m/z first and all intensities after, with large gaps: read without the gaps."""
    gap = 1 << 20
    builder = Builder(many(20))
    path = builder.write(tmp_path)
    before = read_imzml(path)
    data = path.with_suffix(".ibd").read_bytes()
    mz, intensity = bytearray(), bytearray()
    text = path.read_text()
    for index in range(20):
        at = builder.mz_offsets[index]
        text = text.replace(
            f'name="external offset" value="{at}"', f'name="external offset" value="#{len(mz)}"'
        )
        mz += data[at : at + 40] + bytes(gap)
        at = builder.intensity_offsets[index]
        text = text.replace(
            f'name="external offset" value="{at}"',
            f'name="external offset" value="@{len(intensity)}"',
        )
        intensity += data[at : at + 20]
    for number in range(20):
        text = text.replace(f'"#{number * (40 + gap)}"', f'"{16 + number * (40 + gap)}"')
        text = text.replace(f'"@{number * 20}"', f'"{16 + len(mz) + number * 20}"')
    path.write_text(text)
    path.with_suffix(".ibd").write_bytes(data[:16] + mz + intensity)
    assert_same(read_imzml(path), before)


@pytest.mark.parametrize("wrap", ["none", "signed", "unsigned"])
def test_files_beyond_4_gib(tmp_path: Path, wrap: str) -> None:
    """Cases 12 and 20: offsets beyond 2^31 and 2^32, right and wrapped to 32 bits."""
    places = [16, (1 << 31) + 8, (1 << 32) + 24]
    pixels = [Pixel(1 + n, 1, (100.0 + n, 200.0), (1.0, 2.0)) for n in range(3)]
    builder = Builder(pixels, checksum=None, encoded_length=False)
    data = builder.ibd()
    builder.mz_offsets = list(places)
    builder.intensity_offsets = [place + 16 for place in places]
    written = [
        n for pair in zip(places, (place + 16 for place in places), strict=True) for n in pair
    ]
    if wrap != "none":
        low = [n % (1 << 32) for n in written]
        low = [n - (1 << 32) if wrap == "signed" and n >= 1 << 31 else n for n in low]
        builder.mz_offsets, builder.intensity_offsets = low[::2], low[1::2]
    path = tmp_path / "image.imzML"
    path.write_text(builder.xml(data))
    with path.with_suffix(".ibd").open("wb") as stream:  # a file of holes takes no room on the disk
        stream.write(data[:16])
        for n, place in enumerate(places):
            stream.seek(place)
            stream.write(data[16 + 24 * n : 40 + 24 * n])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path)
    assert spectra.mz.tolist() == [100.0, 200.0, 101.0, 200.0, 102.0, 200.0]
    assert any("were repaired" in str(one.message) for one in caught) == (wrap != "none")


def test_memory_is_bounded_by_the_chunk(tmp_path: Path) -> None:
    """A pixel at the far end of a large file is read without what lies before it."""
    builder = Builder(PIXELS[:2], checksum=None)
    data = builder.ibd()
    far = 1 << 33
    builder.mz_offsets[1] += far
    builder.intensity_offsets[1] += far
    path = tmp_path / "image.imzML"
    path.write_text(builder.xml(data))
    second = 16 + 36
    with path.with_suffix(".ibd").open("wb") as stream:
        stream.write(data[:second])
        stream.seek(second + far)
        stream.write(data[second:])
    assert path.with_suffix(".ibd").stat().st_size > far
    with pytest.warns(UserWarning, match="no checksum"):
        spectra = read_imzml(path)
    assert spectra.mz.tolist() == [100.0, 200.5, 300.25, 101.0, 201.5]
