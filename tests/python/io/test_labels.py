"""Labels of pixels from a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imzml_builder import Builder
from massgraph.data.sources import JoinedSpectra, without_peaks
from massgraph.data.spectra import Spectra
from massgraph.io.imzml import open_imzml
from massgraph.io.labels import Labels, LabelsError, match_labels, read_labels

GOOD = "x,y,label\n1,1,tumour\n2,1,stroma\n3,1,tumour\n"


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def image(
    places: list[tuple[float, ...]], run: list[str] | None = None, n_pixels: int | None = None
) -> Spectra:
    n = len(places) if n_pixels is None else n_pixels
    peaks = [(np.array([100.0 + i]), np.array([1.0])) for i in range(n)]
    return Spectra.from_peaks(peaks, coordinates=places or None, run=run)


ROW = [(float(x), 1.0) for x in range(1, 6)]


# -------------------------------------------------------------------- a user reads labels


def test_read_and_match(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    assert isinstance(labels, Labels)
    assert len(labels) == 3
    assert labels.x.tolist() == [1.0, 2.0, 3.0]
    assert labels.y.tolist() == [1.0, 1.0, 1.0]
    assert labels.label.tolist() == ["tumour", "stroma", "tumour"]
    assert labels.run is None
    assert labels.line.tolist() == [2, 3, 4]
    assert labels.classes == ("stroma", "tumour")
    matched = match_labels(labels, image(ROW))
    assert matched.dtype == object
    assert matched.tolist() == ["tumour", "stroma", "tumour", None, None]


def test_paths_may_be_text(tmp_path: Path) -> None:
    assert len(read_labels(str(write(tmp_path, GOOD)))) == 3


@pytest.mark.parametrize(
    "text",
    [
        "label,y,x\ntumour,1,1\nstroma,1,2\ntumour,1,3\n",
        "X,Y,Label\n1,1,tumour\n2,1,stroma\n3,1,tumour",
        " x , y ,label\n1,1,tumour\n2,1,stroma\n3,1,tumour\n",
        "\ufeffx,y,label\n1,1,tumour\n2,1,stroma\n3,1,tumour\n",
        "x,y,label\r\n1,1,tumour\r\n2,1,stroma\r\n3,1,tumour\r\n",
        "x,y,label\r1,1,tumour\r2,1,stroma\r3,1,tumour\r",
        "x\ty\tlabel\n1\t1\ttumour\n2\t1\tstroma\n3\t1\ttumour\n",
        "x;y;label\n1;1;tumour\n2;1;stroma\n3;1;tumour\n",
        '"x","y","label"\n"1","1","tumour"\n"2","1","stroma"\n"3","1","tumour"\n',
        "x,y,label\n1.0,1.00,tumour\n2e0,1,stroma\n 3 , 1 ,tumour\n",
        "n,x,note,y,label\n9,1,a,1,tumour\n9,2,b,1,stroma\n9,3,c,1,tumour\n",
        "\n\nx,y,label\n\n1,1,tumour\n\n2,1,stroma\n3,1,tumour\n,,\n\n",
        GOOD + "1,1,tumour\n",
    ],
)
def test_forms_that_mean_the_same(tmp_path: Path, text: str) -> None:
    labels = read_labels(write(tmp_path, text))
    assert labels.x.tolist() == [1.0, 2.0, 3.0]
    assert labels.y.tolist() == [1.0, 1.0, 1.0]
    assert labels.label.tolist() == ["tumour", "stroma", "tumour"]


@pytest.mark.parametrize(
    "label",
    [
        "NA",
        "nan",
        "None",
        "null",
        "N/A",
        "0",
        "01",
        "1.0",
        "TRUE",
        "-",
        " spaced ",
        "Ähre 図 🧬",
        "a'b",
    ],
)
def test_labels_are_exact_text(tmp_path: Path, label: str) -> None:
    """Where the user asks for it, nothing that is written is taken as missing or as a number."""
    table = write(tmp_path, f"x,y,label\n1,1,{label}\n2,1,other\n")
    labels = read_labels(table, keep_missing=True, names="exact")
    assert labels.label[0] == label
    assert type(labels.label[0]) is str
    assert match_labels(labels, image(ROW)).tolist() == [label, "other", None, None, None]


def test_quoted_labels_hold_separators_quotes_and_lines(tmp_path: Path) -> None:
    text = 'x,y,label\n1,1,"a, b"\n2,1,"say ""NA"""\n3,1,"two\nlines"\n4,1,last\n'
    labels = read_labels(write(tmp_path, text), names="exact")
    assert labels.label.tolist() == ["a, b", 'say "NA"', "two\nlines", "last"]
    # A row is named by the line it begins in.
    assert labels.line.tolist() == [2, 3, 4, 6]


def test_semicolon_table_with_commas_in_labels(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x;y;label\n1;1;a, b\n"))
    assert labels.label.tolist() == ["a, b"]


def test_fractional_and_negative_coordinates(tmp_path: Path) -> None:
    """Spectra from elsewhere than imzML may lie anywhere."""
    labels = read_labels(write(tmp_path, "x,y,label\n-1.5,-0,a\n"))
    assert match_labels(labels, image([(-1.5, 0.0)])).tolist() == ["a"]


# -------------------------------------------------------------------- runs


def test_runs_are_matched(tmp_path: Path) -> None:
    text = "x,y,label,run\n1,1,a,one\n1,1,b,two\n"
    labels = read_labels(write(tmp_path, text))
    assert labels.run is not None
    assert labels.run.tolist() == ["one", "two"]
    spectra = image([(1, 1), (2, 1), (1, 1)], ["one", "one", "two"])
    assert match_labels(labels, spectra).tolist() == ["a", None, "b"]


def test_run_column_with_one_run(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "run,x,y,label\nA,1,1,a\n"))
    assert match_labels(labels, image([(1, 1)], ["A"])).tolist() == ["a"]


def test_a_single_run_of_a_choice_needs_no_column(tmp_path: Path) -> None:
    """Pixels of one run chosen from several keep the names of all."""
    spectra = image([(1, 1), (1, 1)], ["one", "two"])[[1]]
    assert spectra.run_names == ("one", "two")
    labels = read_labels(write(tmp_path, "x,y,label\n1,1,a\n"))
    assert match_labels(labels, spectra).tolist() == ["a"]


def test_run_unknown(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x,y,label,run\n1,1,a,one\n2,1,b,three\n"))
    with pytest.raises(
        LabelsError, match=r"labels\.csv, line 3: run 'three' is not in the image, whi"
    ):
        match_labels(labels, image([(1, 1), (1, 1)], ["one", "two"]))


def test_several_runs_without_a_column(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    with pytest.raises(LabelsError, match="no column run, but the image has several: 'one', 'two'"):
        match_labels(labels, image([(1, 1), (1, 1)], ["one", "two"]))


# -------------------------------------------------------------------- refused tables


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,label\n1,a\n", r"line 1: lacks the column y; the header needs x, y, label"),
        ("a,b,c\n2,1,b\n", r"line 1: lacks the column x and y and label; .*found: 'a', 'b', 'c'"),
        ("", r"line 1: lacks the column"),
        ("x,y,label,x\n1,1,a,2\n", r"line 1: has two columns 'x'"),
        ("x,y,label,Label\n1,1,a,2\n", r"line 1: has two columns 'label'"),
        ("x,y,label\n", r"has no labels below its header"),
        ("x,y,label\n\n , ,\n", r"has no labels below its header"),
        ("x,y,label\n1,1,a\n2,b,c\n", r"line 3: y is 'b', which is no number$"),
        ("x,y,label\n,1,a\n", r"line 2: x is '', which is no number"),
        ("x,y,label\nnan,1,a\n", r"line 2: x is 'nan', which is no number"),
        ("x,y,label\n1,inf,a\n", r"line 2: y is 'inf', which is no number"),
        ("x,y,label\n1,1_0,a\n", r"line 2: y is '1_0', which is no number"),
        ('x,y,label\n"1,5",1,a\n', r"line 2: x is '1,5', which is no number; write decimals with"),
        ("x;y;label\n1,234;1;a\n", r"line 2: x is '1,234', which is no number; .* for thousands"),
        ("x,y,label,run\n1,1,a,\n", r"line 2: the run is empty"),
        ("x,y,label\n1,1\n", r"line 2: has 2 fields, the header has 3"),
        ("x,y,label\n1,1,a,b\n", r"line 2: has 4 fields, the header has 3"),
        (
            "x,y,label\n1,1,a\n2,1,b\n1.0,1,c\n",
            r"line 4: pixel \(x 1, y 1\) is labelled 'c', but 'a' in line 2; keep one",
        ),
        ('x,y,label\n1,1,"a\n2,1,b\n', r"line 2: is no valid table row .*check the quotes"),
        ('x,y,label\n1,1,"a"b\n', r"line 2: is no valid table row"),
        (f"x,y,label\n1,1,{'a' * 20_000}\n", r"line 2: a field is longer than 10000 characters"),
        (b"PK\x03\x04\x00\x00\x00", r"is an Excel workbook .*save it as CSV UTF-8"),
        (b"x,y,label\n1,1,a\x00b\n", r"holds null bytes"),
    ],
)
def test_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LabelsError, match=message) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"absent\.csv: cannot be read \(No such file"):
        read_labels(tmp_path / "absent.csv")
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(tmp_path)


# -------------------------------------------------------------------- labels without a pixel


def test_labels_outside_the_image(tmp_path: Path) -> None:
    text = "x,y,label\n1,1,a\n7,9,b\n8,9,b\n"
    labels = read_labels(write(tmp_path, text))
    message = (
        r"labels\.csv, line 3: pixel \(x 7, y 9\) is not in the image, whose pixels span x 1 to 5 "
        r"and y 1 to 1; 2 of 3 labels have no pixel"
    )
    with pytest.raises(LabelsError, match=message):
        match_labels(labels, image(ROW))


def test_pixels_in_between_do_not_match(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x,y,label\n1.5,1,a\n"))
    with pytest.raises(LabelsError, match=r"x 1\.5"):
        match_labels(labels, image(ROW))


def test_spectra_without_coordinates(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    with pytest.raises(LabelsError, match="the spectra have no coordinates"):
        match_labels(labels, image([], n_pixels=3))


def test_spectra_without_pixels(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    with pytest.raises(LabelsError, match="which has no pixels; 3 of 3 labels have no pixel"):
        match_labels(labels, image(ROW)[:0])


def test_several_sections_at_one_place(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x,y,label\n1,1,a\n"))
    with pytest.raises(
        LabelsError, match=r"2 pixels lie at x 1, y 1 .*choose the pixels of one sec"
    ):
        match_labels(labels, image([(1, 1, 1), (1, 1, 2)]))
    assert match_labels(labels, image([(1, 1, 1), (2, 1, 2)])).tolist() == ["a", None]


# -------------------------------------------------------------------- invariants


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = [(float(x), float(y)) for x in range(1, 21) for y in range(1, 11)]
    names = [f"class {i % 4}" for i in range(len(places))]
    rows = [f"{x:g},{y:g},{name}" for (x, y), name in zip(places, names, strict=True)]
    spectra = image(places)
    for _ in range(3):
        rng.shuffle(rows)
        labels = read_labels(write(tmp_path, "x,y,label\n" + "\n".join(rows)))
        assert match_labels(labels, spectra).tolist() == names


def test_order_of_pixels_does_not_matter(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    spectra = image(ROW)
    order = np.array([4, 2, 0, 3, 1])
    np.testing.assert_array_equal(
        match_labels(labels, spectra[order]), match_labels(labels, spectra)[order]
    )


def test_many_labels_are_quick(tmp_path: Path) -> None:
    places = [(float(i % 250), float(i // 250)) for i in range(35_000)]
    text = "x,y,label\n" + "\n".join(f"{x:g},{y:g},c{int(x) % 3}" for x, y in places)
    matched = match_labels(read_labels(write(tmp_path, text)), image(places))
    assert all(value is not None for value in matched.tolist())


# -------------------------------------------------------------------- any source of spectra


class Foreign:
    """No class of ours: three names, and a count of what is asked of it."""

    def __init__(self, spectra: Spectra) -> None:
        self._spectra, self.n_pixels, self.n_read = spectra, spectra.n_pixels, 0

    def read(self, first: int, stop: int) -> Spectra:
        self.n_read += stop - first
        return self._spectra[first:stop]

    def blocks(self) -> Iterator[Spectra]:
        for first in range(0, self.n_pixels, 2):
            yield self.read(first, min(first + 2, self.n_pixels))


class Placed(Foreign):
    """One that knows its places without reading."""

    def places(self) -> Spectra:
        return without_peaks(self._spectra)


def test_labels_match_any_source_of_spectra(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    expected = match_labels(labels, image(ROW)).tolist()
    foreign, placed = Foreign(image(ROW)), Placed(image(ROW))
    assert match_labels(labels, foreign).tolist() == expected
    assert match_labels(labels, placed).tolist() == expected
    assert (foreign.n_read, placed.n_read) == (5, 0)


def test_labels_match_several_sources_by_their_run(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x,y,label,run\n1,1,a,one\n1,1,b,two\n"))
    sources = [Foreign(image([(1, 1), (2, 1)], [name] * 2)) for name in ("one", "two")]
    assert match_labels(labels, JoinedSpectra(sources)).tolist() == ["a", None, "b", None]


def test_labels_match_an_open_file(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "x,y,label\n2,1,a\n"))
    with open_imzml(Builder().write(tmp_path)) as reader:
        assert match_labels(labels, reader).tolist() == [None, "a", None, None]


@pytest.mark.parametrize("thing", [None, "run.imzML", np.zeros((3, 2))])
def test_what_holds_no_spectra_is_named(tmp_path: Path, thing: Any) -> None:
    labels = read_labels(write(tmp_path, GOOD))
    with pytest.raises(LabelsError, match=f"with a {type(thing).__name__}, which holds no spectra"):
        match_labels(labels, thing)


def test_labels_in_a_column_of_ones_choice(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("x,y,label,patient,patient \n1,1,tumour,NA,7\n2,1,,B,8\n", encoding="utf-8")
    with pytest.raises(LabelsError, match=r"line 1: has several columns 'patient', of"):
        read_labels(path, column="patient")
    path.write_text("x,y,label,patient\n1,1,tumour,NA\n2,1,,B\n", encoding="utf-8")
    found = read_labels(path, column="patient", keep_missing=True)
    assert found.label.tolist() == ["NA", "B"]
    with pytest.raises(LabelsError, match=r"has no column 'animal', of \['x', 'y', 'label', 'pat"):
        read_labels(path, column="animal")
    path.write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    with pytest.raises(LabelsError, match="holds shapes, which have no column 'patient'"):
        read_labels(path, column="patient")
