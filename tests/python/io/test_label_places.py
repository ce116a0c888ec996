"""Labels on the pixels that are meant: counted from 0 or 1, in micrometres, exchanged, by run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_builder import LABELS, ROWS, csv, image, truth, write, write_image
from massgraph.data.spectra import Spectra
from massgraph.io.imzml import read_imzml
from massgraph.io.labels import LabelsError, match_labels, read_labels
from source_builder import Bare


def moved(x: float = 0, y: float = 0, times: float = 1) -> str:
    return csv([((a + x) * times, (b + y) * times, label) for a, b, label in ROWS])  # type: ignore[misc]


def matched(path: Path, spectra: Any = None, **options: Any) -> list[str | None]:
    found = match_labels(read_labels(path), image() if spectra is None else spectra, **options)
    return found.tolist()


# -------------------------------------------------------------------- from 0 and from 1


def test_a_table_from_0_on_an_image_from_1(tmp_path: Path) -> None:
    path = write(tmp_path, moved(-1, -1))
    with pytest.warns(UserWarning, match=r"counts from 0, the image from 1: 19 of 100") as told:
        assert matched(path) == LABELS
    assert len(told) == 1
    assert "shift=(1, 1) says so without this warning" in str(told[0].message)
    assert matched(path, shift=(1, 1)) == LABELS
    with pytest.raises(LabelsError, match=r"with x\+1, y\+1 all would: shift=\(1, 1\) moves them"):
        matched(path, shift=(0, 0))


def test_the_users_case_of_every_second_pixel(tmp_path: Path) -> None:
    rows = [(x - 1, y - 1, label) for x, y, label in ROWS if x % 2]
    with pytest.warns(UserWarning, match="counts from 0"):
        found = matched(write(tmp_path, csv(rows)))
    assert found == [label if x % 2 else None for x, _, label in ROWS]


def test_a_table_from_1_on_an_image_from_0(tmp_path: Path) -> None:
    path = write(tmp_path, moved())
    with pytest.warns(UserWarning, match=r"counts from 1, the image from 0: 19 of 100"):
        assert matched(path, image(first=0)) == LABELS
    assert matched(path, image(first=0), shift=(-1, -1)) == LABELS


def test_both_from_0(tmp_path: Path) -> None:
    assert matched(write(tmp_path, moved(-1, -1)), image(first=0)) == LABELS


def test_a_file_from_0_and_tables_of_inner_pixels(tmp_path: Path) -> None:
    """Both ways of counting fit; the table counts as the file does, and the spectra object."""
    with pytest.warns(UserWarning, match="positions count from 0"):
        spectra = read_imzml(write_image(tmp_path, first=0))
    inner = [(x, y, label) for x, y, label in ROWS if 1 < x < 10 and 1 < y < 10]
    expected = [label if 1 < x < 10 and 1 < y < 10 else None for x, y, label in ROWS]
    from_0 = write(tmp_path, csv([(x - 1, y - 1, label) for x, y, label in inner]))
    with pytest.warns(UserWarning, match=r"fit counted from 0.*shift=\(0, 0\) takes") as told:
        assert matched(from_0, spectra) == expected
    assert len(told) == 1
    assert matched(from_0, spectra, shift=(1, 1)) == expected
    from_1 = write(tmp_path, csv(inner), "from_1.csv")
    with pytest.warns(UserWarning, match="fit counted from 0|shifted by a pixel") as told:
        matched(from_1, spectra)
    assert "with x-1, y-1 7 of the 7 pixels" in str(told[1].message)
    assert "shift=(0, 0) moves them; shift=(1, 1) takes them" in str(told[1].message)
    assert matched(from_1, spectra, shift=(0, 0)) == expected


def test_one_label_from_0(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 of 1 labels have no pixel as they stand"):
        assert matched(write(tmp_path, "x,y,label\n0,0,a\n"))[0] == "a"


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, -1), (2, 0), (-1, -1)])
def test_other_shifts_are_refused_and_named(tmp_path: Path, x: int, y: int) -> None:
    inner = [row for row in ROWS if row[0] >= 3]
    path = write(tmp_path, csv([(a + x, b + y, label) for a, b, label in inner]))
    if (x, y) == (-1, -1):
        with pytest.warns(UserWarning, match="counts from 0"):
            assert matched(path) == [label if a >= 3 else None for a, _, label in ROWS]
        return
    with pytest.raises(LabelsError) as caught:
        matched(path)
    if abs(x) < 2:
        assert f"shift=({-x}, {-y}) moves them" in str(caught.value)
    else:
        assert "leave out these rows" in str(caught.value)


def test_labels_of_a_part_that_fit_a_pixel_further(tmp_path: Path) -> None:
    """Inner pixels alone: all have a pixel either way, and the spectra tell."""
    inner = [(x - 1, y - 1, label) for x, y, label in ROWS if x > 1 and y > 1]
    path = write(tmp_path, csv(inner))
    with pytest.warns(UserWarning, match=r"shifted by a pixel \(as where a table counts") as told:
        found = matched(path)
    assert len(told) == 1
    assert "with x+1, y+1 8 of the 8 pixels" in str(told[0].message)
    assert found[4] == "stroma"  # a warning changes nothing
    right = matched(path, shift=(1, 1))
    assert right == [label if x > 1 and y > 1 else None for x, y, label in ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched(path, shift=(0, 0))


def test_inner_pixels_that_are_right_are_quiet(tmp_path: Path) -> None:
    inner = [row for row in ROWS if row[0] < 10 and row[1] < 10]
    assert matched(write(tmp_path, csv(inner)))[0] == "tumour"


@pytest.mark.parametrize("as_source", [False, True])
def test_x_and_y_exchanged(tmp_path: Path, as_source: bool) -> None:
    path = write(tmp_path, csv([(y, x, label) for x, y, label in ROWS]))
    spectra = Bare(image()) if as_source else image()
    with pytest.warns(UserWarning, match="x and y seem to be exchanged: if they were, 50 of the"):
        matched(path, spectra)
    assert matched(write(tmp_path, csv([(y, x, label) for x, y, label in ROWS], "y,x,label"))) == (
        LABELS
    )


def test_x_and_y_exchanged_of_an_oblong_image(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(y, x, label) for x, y, label in ROWS if y <= 7]))
    with pytest.raises(LabelsError, match="with x and y exchanged all would: exchange the names"):
        matched(path, image(shape=(10, 7)))


def test_x_and_y_exchanged_in_a_table_from_0(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(y - 1, x - 1, label) for x, y, label in ROWS]))
    with pytest.warns(UserWarning, match="counts from 0|exchanged") as told:
        matched(path)
    assert len(told) == 2
    assert "shift=(1, 1) takes them as they are now" in str(told[1].message)
    assert matched(path, shift=(1, 1))[0] == "tumour"


def test_mirrored_labels(tmp_path: Path) -> None:
    def part(x: int, y: int) -> str:
        return "tumour" if x <= 2 or (x <= 6 and y <= 4) else "stroma"

    path = write(tmp_path, csv([(x, y, part(x, y)) for x, y, _ in ROWS]))
    upside_down = csv([(x, 11 - y, part(x, y)) for x, y, _ in ROWS])
    assert matched(path, image(of=part)) == [part(x, y) for x, y, _ in ROWS]
    with pytest.warns(UserWarning, match=r"mirrored in y: .*; write 11 - y for y"):
        matched(write(tmp_path, upside_down), image(of=part))


def test_labels_off_the_tissue(tmp_path: Path) -> None:
    """Pixels without peaks around a tissue, on which a table from 0 lies in part."""
    spectra = image()
    at = np.asarray(spectra.coordinates)
    tissue = ((at >= 3) & (at <= 8)).all(axis=1)
    spectra = spectra.keep_peaks(tissue[spectra.pixel_of_peak])
    rows = [(x - 1, y - 1, "ab"[x % 2]) for x, y, _ in ROWS if 3 <= x <= 8 and 3 <= y <= 8]
    path = write(tmp_path, csv(rows))
    with pytest.warns(UserWarning, match=r"11 of 36 labels lie on pixels without peaks, none wou"):
        matched(path, spectra)
    assert matched(path, spectra, shift=(1, 1)).count(None) == 64


@pytest.mark.parametrize("shift", [1, (1,), (0.5, 1), ("a", 1), (1, 2, 3)])
def test_shifts_that_are_none(tmp_path: Path, shift: Any) -> None:
    with pytest.raises(LabelsError, match=r"shift is .*: give two whole numbers of pixels"):
        matched(write(tmp_path, csv()), shift=shift)


# -------------------------------------------------------------------- other units, off the grid


def test_micrometres_are_refused_with_the_option_that_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path, moved(times=50))
    for spectra in (image(), image(size=None)):
        with pytest.raises(
            LabelsError, match=r"divided by 50 all would: are they micrometres\? re"
        ):
            matched(path, spectra)
    assert match_labels(read_labels(path, pixel_size=50), image()).tolist() == LABELS


def test_micrometres_from_0_and_of_middles(tmp_path: Path) -> None:
    middles = read_labels(write(tmp_path, moved(-0.5, -0.5, 50)), pixel_size=50)
    assert match_labels(middles, image()).tolist() == LABELS
    from_0 = write(tmp_path, moved(-1, -1, 50))
    with pytest.raises(LabelsError, match="divided by 50"):
        matched(from_0)
    with pytest.warns(UserWarning, match="counts from 0"):
        assert match_labels(read_labels(from_0, pixel_size=50), image()).tolist() == LABELS


def test_one_micrometre_a_pixel(tmp_path: Path) -> None:
    assert matched(write(tmp_path, moved(times=1.0)), image(size=(1.0, 1.0))) == LABELS


def test_positions_between_pixels(tmp_path: Path) -> None:
    with pytest.raises(
        LabelsError, match="rounded to whole pixels all would: write x and y as who"
    ):
        matched(write(tmp_path, moved(0.4, 0.4)))


def test_labels_outside(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,label\n1,1,a\n2,1,a\n10,10,b\n14,10,b\n")
    with pytest.raises(
        LabelsError, match=r"line 5: .*1 of 4 labels have no pixel; leave out these"
    ):
        matched(path)


# -------------------------------------------------------------------- sections and runs


def sections() -> Spectra:
    places = [(x, 1, z) for z in (1, 2) for x in (1, 2, 3)]
    return Spectra.from_peaks([([100.0], [1.0])] * 6, coordinates=places)


def test_sections_are_told_apart_by_z(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,z,label\n1,1,1,a\n1,1,2,b\n3,1,2,c\n")
    assert matched(path, sections()) == ["a", None, None, "b", None, "c"]
    with pytest.raises(
        LabelsError, match=r"labels lie at several z \(1, 2\), but the image has on"
    ):
        matched(path)


def test_sections_need_a_z(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"2 pixels lie at x 1, y 1 .*add a column z"):
        matched(write(tmp_path, "x,y,label\n1,1,a\n"), sections())


@pytest.mark.parametrize(
    "names", [("A", "B"), ("A.imzML", "B.IBD"), ("data/A.imzML", r"C:\x\B.h5ad"), (" A", "B ")]
)
def test_runs_may_be_named_as_their_files(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [(x, y, f"{label},{name}") for name in names for x, y, label in ROWS]
    path = write(tmp_path, csv(rows, "x,y,label,run"))
    assert matched(path, image(runs=("A", "B"))) == LABELS * 2


@pytest.mark.parametrize(
    "names",
    [("s1/data", "s2/data"), ("s1/data.imzML", r"C:\s2\data.imzML"), ("a/s1/data", "s2/data")],
)
def test_runs_that_are_named_by_their_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [(x, y, f"{label},{name}") for name in names for x, y, label in ROWS]
    path = write(tmp_path, csv(rows, "x,y,label,run"))
    assert matched(path, image(runs=("s1/data", "s2/data"))) == LABELS * 2
    with pytest.raises(LabelsError, match="run 'data' is not in the image, which has 's1/data'"):
        matched(write(tmp_path, "x,y,label,run\n1,1,a,data\n"), image(runs=("s1/data", "s2/data")))


def test_runs_in_other_letters_are_told(tmp_path: Path) -> None:
    rows = [(x, y, f"{label},{name}") for name in ("SlideA", "slideb") for x, y, label in ROWS]
    path = write(tmp_path, csv(rows, "x,y,label,run"))
    with pytest.warns(UserWarning, match="'SlideA' as 'slideA', 'slideb' as 'slideB'") as told:
        assert matched(path, image(runs=("slideA", "slideB"))) == LABELS * 2
    assert len(told) == 1
    with pytest.raises(LabelsError, match="run 'SLIDEA' is not in the image, which has 'Slidea'"):
        matched(write(tmp_path, "x,y,label,run\n1,1,a,SLIDEA\n"), image(runs=("slideA", "Slidea")))


@pytest.mark.parametrize(
    "text",
    [
        "x,y,label,run\n1,1,a,A\n1,1,b,A.imzML\n",
        "x,y,label,run\n1,1,a,A\n1.0000001,1,b,A\n",
    ],
)
def test_two_spellings_of_one_pixel_contradict_each_other(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        LabelsError, match=r"line 3: .* of run 'A' is labelled 'b', but 'a' further"
    ):
        matched(write(tmp_path, text), image(runs=("A", "B")))


@pytest.mark.parametrize("run", ["slideC", "slideA.v2", "slide"])
def test_runs_that_are_not_there(tmp_path: Path, run: str) -> None:
    path = write(tmp_path, f"x,y,label,run\n1,1,a,slideA\n1,1,b,{run}\n")
    with pytest.raises(LabelsError, match=f"line 3: run '{run}' is not in .*give its file as well"):
        matched(path, image(runs=("slideA", "slideB")))


def test_several_runs_need_a_column(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"has no column run, .*add a column run that says"):
        matched(write(tmp_path, csv()), image(runs=("A", "B")))


def test_labels_of_some_runs_only(tmp_path: Path) -> None:
    rows = [(x, y, f"{label},A") for x, y, label in ROWS]
    path = write(tmp_path, csv(rows, "x,y,label,run"))
    assert matched(path, image(runs=("A", "B"))) == [*LABELS, *[None] * 100]


def test_tables_from_0_of_several_runs(tmp_path: Path) -> None:
    rows = [(x - 1, y - 1, f"{label},{name}") for name in "AB" for x, y, label in ROWS]
    path = write(tmp_path, csv(rows, "x,y,label,run"))
    with pytest.warns(UserWarning, match="38 of 200 labels have no pixel as they stand"):
        assert matched(path, image(runs=("A", "B"))) == LABELS * 2


def test_the_truth_is_where_the_tests_say() -> None:
    assert [truth(x, y) for x, y, _ in ROWS] == LABELS
