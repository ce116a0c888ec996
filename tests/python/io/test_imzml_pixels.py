"""Which peaks make a pixel, and where it lies: mobility, repeats, positions from 0, odd names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imzml_builder import Builder, Pixel, edit, term
from imzml_faults import refused
from imzml_ways import from_one, read_all_ways, row
from massgraph.io.imzml import ImzMLError, read_imzml, validate_imzml
from massgraph.io.labels import match_labels, read_labels

# -------------------------------------------------------------------- ion mobility


def mobile(mz: Sequence[float], intensity: Sequence[float], x: int = 1) -> Pixel:
    return Pixel(x, 1, mz, intensity, mobility=[0.5 + 0.1 * k for k in range(len(mz))])


def test_peaks_that_differ_in_mobility_alone_are_summed(tmp_path: Path) -> None:
    """As a table of the same measurement without mobility has them."""
    pixels = [mobile((100.0, 100.0, 200.0), (3.0, 1.0, 2.0)), mobile((100.0, 200.0), (5.0, 6.0), 2)]
    spectra, notes = read_all_ways(Builder(pixels).write(tmp_path))
    assert spectra.pixel(0)[0].tolist() == [100.0, 200.0]
    assert spectra.pixel(0)[1].tolist() == [4.0, 2.0]
    assert spectra.tic().tolist() == [6.0, 11.0]
    assert len(notes) == 1
    assert notes[0].startswith("1 peaks differ from another of their pixel in ion mobility alone")
    assert "mean inverse reduced ion mobility array" in notes[0]


def test_scan_by_scan_of_mobility_is_the_same(tmp_path: Path) -> None:
    """All m/z of one mobility, then all of the next: out of order by nature."""
    pixels = [mobile((100.0, 200.0, 100.0, 200.0), (3.0, 2.0, 1.0, 5.0), x) for x in (1, 2)]
    spectra, notes = read_all_ways(Builder(pixels).write(tmp_path))
    assert spectra.pixel(1)[0].tolist() == [100.0, 200.0]
    assert spectra.pixel(1)[1].tolist() == [4.0, 7.0]
    assert len(notes) == 1
    assert "out of order" not in notes[0]


def test_an_axis_of_mobility_that_all_pixels_share(tmp_path: Path) -> None:
    axis = (100.0, 100.0, 200.0, 300.0)
    pixels = [mobile(axis, (3.0, 1.0, 2.0, 0.0), 1), mobile(axis, (0.0, 0.0, 0.0, 8.0), 2)]
    spectra, notes = read_all_ways(Builder(pixels, layout="continuous").write(tmp_path))
    assert spectra.axis is not None
    assert spectra.axis.tolist() == [100.0, 200.0, 300.0]
    assert spectra.pixel(0)[1].tolist() == [4.0, 2.0]
    assert spectra.pixel(1)[1].tolist() == [8.0]
    assert len(notes) == 1


def test_mobility_in_an_array_that_has_no_term_of_its_own(tmp_path: Path) -> None:
    """pymzML issue 250: a converter names the array in the value of a general term."""
    pixels = [mobile((100.0, 200.0, 100.0), (3.0, 2.0, 3.0), x) for x in (1, 2)]
    path = Builder(pixels).write(tmp_path)
    named = term("MS:1003006", "mean inverse reduced ion mobility array")
    edit(path, named, term("MS:1000786", "non-standard data array", "Ion Mobility"))
    spectra, notes = read_all_ways(path)
    assert spectra.tic().tolist() == [8.0, 8.0]
    assert spectra.peak_counts.tolist() == [2, 2]
    assert len(notes) == 1
    assert "in ion mobility alone (Ion Mobility)" in notes[0]


def test_mobility_without_a_peak_twice_is_nothing_odd(tmp_path: Path) -> None:
    pixels = [mobile((100.0, 200.0), (3.0, 2.0), x) for x in (1, 2)]
    assert read_all_ways(Builder(pixels).write(tmp_path))[1] == []


MOBILITY = term("MS:1002815", "inverse reduced ion mobility", "0.9")


@pytest.mark.parametrize("layout", ["processed", "continuous"])
def test_spectra_of_one_pixel_at_several_mobilities_are_summed(tmp_path: Path, layout: str) -> None:
    """One spectrum a mobility, pixel by pixel or one image after the other."""
    scans = [
        Pixel(x, 1, (100.0, 200.0), (float(x), k), terms=(MOBILITY,))
        for k in (1.0, 2.0)
        for x in (1, 2, 3)
    ]
    path = Builder(scans, layout=layout).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert notes == [
        "3 pixels have spectra at several ion mobilities, 6 in all; those of a pixel were summed"
    ]
    assert spectra.n_pixels == 3
    assert spectra.coordinates is not None
    assert spectra.coordinates.tolist() == [[1, 1], [2, 1], [3, 1]]
    assert spectra.mz.tolist() == [100.0, 200.0] * 3
    assert spectra.intensity.tolist() == [2.0, 3.0, 4.0, 3.0, 6.0, 3.0]
    assert validate_imzml(path)["n_pixels"] == 3


def test_repeated_scans_are_summed_if_asked(tmp_path: Path) -> None:
    """thyra issue 233: the last position was scanned twice, and both were summed in silence."""
    pixels = [
        Pixel(1, 1, (100.0,), (1.0,)),
        Pixel(2, 1, (150.0, 300.0), (2.0, 5.0)),
        Pixel(2, 1, (100.0, 150.0), (4.0, 3.0)),
        Pixel(3, 1, (), ()),
    ]
    path = Builder(pixels).write(tmp_path)
    refused(path, r'pixel 2 \(x 2, y 1\): has the position of pixel 1 .* repeats="sum"$')
    spectra, notes = read_all_ways(path, repeats="sum")
    assert notes == []
    assert spectra.peak_counts.tolist() == [1, 3, 0]
    assert spectra.pixel(1)[0].tolist() == [100.0, 150.0, 300.0]
    assert spectra.pixel(1)[1].tolist() == [4.0, 5.0, 5.0]
    assert read_all_ways(Builder().write(tmp_path / "good"), repeats="sum")[1] == []
    with pytest.raises(ValueError, match="repeats 'both' is none of"):
        read_imzml(path, repeats="both")


def test_of_repeated_scans_faults_are_named_by_their_own_index(tmp_path: Path) -> None:
    pixels = [
        Pixel(1, 1, (100.0,), (1.0,)),
        Pixel(2, 1, (100.0,), (2.0,)),
        Pixel(1, 1, (100.0,), (float("nan"),)),
    ]
    path = Builder(pixels).write(tmp_path)
    refused(path, r"pixel 2 \(x 1, y 1\): value nan of peak 0", repeats="sum")


# -------------------------------------------------------------------- positions from 0


def zero_based(**changes: Any) -> Builder:
    return Builder([one for y in range(3) for one in row(4, y=y)], **changes)


def labelled(folder: Path, *rows: tuple[int, int, str]) -> Any:
    table = "x,y,label\n" + "".join(f"{x},{y},{name}\n" for x, y, name in rows)
    (folder / "labels.csv").write_text(table)
    return read_labels(folder / "labels.csv")


def test_positions_from_0_are_raised_with_a_warning(tmp_path: Path) -> None:
    path = zero_based().write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.coordinates is not None
    assert spectra.coordinates.min(axis=0).tolist() == [1, 1]
    assert spectra.coordinates.max(axis=0).tolist() == [4, 3]
    assert len(notes) == 1
    assert "positions count from 0: x and y were raised by 1; labels are matched" in notes[0]


@pytest.mark.parametrize("axis", [0, 1])
def test_one_axis_from_0_raises_both(tmp_path: Path, axis: int) -> None:
    places = [(0, 1), (1, 1), (2, 3)] if axis == 0 else [(1, 0), (1, 1), (3, 2)]
    pixels = [Pixel(x, y, (100.0,), (1.0,)) for x, y in places]
    spectra, _ = read_all_ways(Builder(pixels).write(tmp_path))
    assert spectra.coordinates is not None
    assert spectra.coordinates.tolist() == [[x + 1, y + 1] for x, y in places]


def test_a_section_whose_z_is_0_is_nothing_odd(tmp_path: Path) -> None:
    pixels = [replace(one, z=0) for one in from_one(row(3))]
    spectra, notes = read_all_ways(Builder(pixels).write(tmp_path))
    assert notes == []
    assert spectra.coordinates is not None
    assert spectra.coordinates.tolist() == [[1, 1], [2, 1], [3, 1]]


def test_labels_count_as_the_file_does(tmp_path: Path) -> None:
    spectra, _ = read_all_ways(zero_based().write(tmp_path))
    labels = labelled(tmp_path, (0, 0, "a"), (3, 2, "b"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = match_labels(labels, spectra)
    assert [label for label in found if label] == ["a", "b"]
    assert (found[0], found[-1]) == ("a", "b")


def test_labels_that_can_only_count_from_1_do(tmp_path: Path) -> None:
    spectra, _ = read_all_ways(zero_based().write(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = match_labels(labelled(tmp_path, (1, 1, "a"), (4, 3, "b")), spectra)
    assert (found[0], found[-1]) == ("a", "b")


def test_labels_that_fit_both_ways_are_told(tmp_path: Path) -> None:
    spectra, _ = read_all_ways(zero_based().write(tmp_path))
    labels = labelled(tmp_path, (1, 1, "a"), (2, 2, "b"))
    with pytest.warns(UserWarning, match="fit counted from 0, as its file counts, and from 1; tak"):
        found = match_labels(labels, spectra)
    assert [index for index, label in enumerate(found) if label] == [5, 10]
    # As the warning advises: both ways can be said, and then there is no warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert match_labels(labels, spectra, shift=(1, 1)).tolist() == found.tolist()
        from_one = match_labels(labels, spectra, shift=(0, 0))
    assert [index for index, label in enumerate(from_one) if label] == [0, 5]


def test_labels_of_no_pixel_are_still_refused(tmp_path: Path) -> None:
    spectra, _ = read_all_ways(zero_based().write(tmp_path))
    with pytest.raises(ValueError, match="not in the image"):
        match_labels(labelled(tmp_path, (0, 0, "a"), (7, 0, "b")), spectra)


# -------------------------------------------------------------------- names of the two files


def test_binary_data_under_another_name_is_found_by_its_uuid(tmp_path: Path) -> None:
    path = Builder().write(tmp_path, "Run")
    path.with_suffix(".ibd").rename(tmp_path / "Run_data.ibd")
    Builder(uuid=None).write(tmp_path / "else").with_suffix(".ibd").rename(tmp_path / "z.ibd")
    refused(path, r"Run\.ibd is missing .*; Run_data\.ibd carries its UUID: rename it to Run\.ibd")
    (tmp_path / "Run_data.ibd").unlink()
    (tmp_path / "z.ibd").unlink()
    (tmp_path / "run.ibd.gz").write_bytes(b"\x1f\x8b")
    refused(path, r"; found run\.ibd\.gz: unpack it first")


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [("a.imzML.gz", b"\x1f\x8b\x08\0", "gzip"), ("a.imzML", b"PK\x03\x04", "zip")],
)
def test_packed_files_are_named_as_such(tmp_path: Path, name: str, head: bytes, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(head + bytes(50))
    with pytest.raises(ImzMLError, match=rf"{name}: is packed \({kind}\); unpack it first"):
        read_imzml(path)


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("run.ImzML", "run.ibd"), "run"),
        (("RUN.IMZML", "RUN.IBD"), "RUN"),
        (("run.imzml", "Run.Ibd"), "run"),
        (("run 1.0.imzML", "run 1.0.ibd"), "run 1.0"),
    ],
)
def test_names_in_any_case(tmp_path: Path, names: tuple[str, str], stem: str) -> None:
    """m2aia issue 54, ShinyCardinal issue 51."""
    path = Builder().write(tmp_path, "written")
    path.with_suffix(".ibd").rename(tmp_path / names[1])
    spectra, notes = read_all_ways(path.rename(tmp_path / names[0]))
    assert (spectra.run_names, notes) == ((stem,), [])


def test_a_name_without_ending_keeps_its_dots(tmp_path: Path) -> None:
    path = Builder().write(tmp_path, "slide")
    path.with_suffix(".ibd").rename(tmp_path / "slide.v2.ibd")
    moved = path.rename(tmp_path / "slide.v2")
    assert read_imzml(moved).n_pixels == 4
