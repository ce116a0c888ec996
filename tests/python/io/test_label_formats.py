"""Tables of labels as programs export them: read where the meaning is certain, else refused."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

import massgraph as mg
from label_builder import LABELS, ROWS, csv, image, kept, sparse, write
from massgraph.io.labels import LabelsError, match_labels, read_labels


def matched(path: Path, **options: object) -> list[str | None]:
    """The labels of the image; any warning is an error."""
    return match_labels(read_labels(path, **options), image()).tolist()  # type: ignore[arg-type]


def quoted(rows: list[tuple[int, int, str]], row_names: bool, join: str) -> str:
    """A table as R writes it: text in quotes, with names of rows."""
    head = join.join(f'"{name}"' for name in ("x", "y", "label"))
    body = [f'{x}{join}{y}{join}"{label}"' for x, y, label in rows]
    named = [f'"{n}"{join}{line}' for n, line in enumerate(body, 1)] if row_names else body
    return "\n".join([head, *named]) + "\n"


def archive(*names: str) -> bytes:
    """A zip archive of empty files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name in names:
            opened.writestr(name, "")
    return made.getvalue()


# -------------------------------------------------------------------- read, without a word


READ = {
    "plain": csv(),
    "floats": csv([(f"{x}.0", f"{y}.0", label) for x, y, label in ROWS]),  # type: ignore[misc]
    "left by a division": csv([(x * 1.0000001, y, label) for x, y, label in ROWS]),  # type: ignore[misc]
    "quoted numbers": csv([(f'"{x}"', f'"{y}"', label) for x, y, label in ROWS]),  # type: ignore[misc]
    "Excel in Germany, UTF-8": "\ufeff" + csv(header="x;y;label", join=";"),
    "decimal comma": csv(
        [(f"{x},0", f"{y},0", label) for x, y, label in ROWS], "x;y;label", ";"  # type: ignore[misc]
    ),
    "decimal comma of three digits": csv(
        [(f"{x},000", f"{y},000", label) for x, y, label in ROWS], "x;y;label", ";"  # type: ignore[misc]
    ),
    "UTF-16 of Excel": csv(header="x\ty\tlabel", join="\t").replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + csv().encode("utf-16-be"),
    "UTF-16 without a mark": csv().encode("utf-16-le"),
    "UTF-32": csv().encode("utf-32"),
    "SCiLS": "# Exported with SCiLS Lab Version 11\n# Object: Regions\n" + csv(
        header="x;y;label", join=";"
    ),
    "line for Excel": "sep=;\n" + csv(header="x;y;label", join=";"),
    "line for Excel, quoted": '"sep=;"\r\n' + csv(header="x;y;label", join=";"),
    "numpy's header": csv(header="# x,y,label"),
    "write.csv": quoted(ROWS, False, ",").replace('"x"', '"","x"', 1).replace("\n", '\n"1",')[:-4],
    "write.table": quoted(ROWS, True, " "),
    "write.table, tab": quoted(ROWS, True, "\t"),
    "lined up by spaces": csv([(f"{x:>4}", f"{y:>4}", f"{label} ") for x, y, label in ROWS],  # type: ignore[misc]
                              "   x    y label", " "),
    "a separator at the end": csv().replace("\n", ",\n").replace("label,", "label", 1),
    "printed by R": "   x y label\n"
    + "".join(f"{n:<4}{x:>2} {y:>2} {label}\n" for n, (x, y, label) in enumerate(ROWS, 1)),
    "unit in the header": csv(header="X (px),Y [pixel],Label"),
    "upright lines": csv(header="x|y|label", join="|"),
    "lines of an old Mac, UTF-16": csv().replace("\n", "\r").encode("utf-16"),
    "two marks": "\ufeff\ufeff" + csv(),
    "comments below": csv() + "# exported in 2024\n# 100, rows\n",
    "Galaxy": csv(header="x\ty\tannotation", join="\t"),
    "class": csv(header="X,Y,Class"),
    "one z": csv([(x, f"{y},1", label) for x, y, label in ROWS], "x,y,z,label"),  # type: ignore[misc]
    "run with its ending": csv([(x, y, f"{label},run.imzML") for x, y, label in ROWS],
                               "x,y,label,run"),
    "run with its path": csv([(x, y, rf"{label},C:\data\run.ibd") for x, y, label in ROWS],
                             "x,y,label,run"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_read_without_a_word(tmp_path: Path, name: str) -> None:
    assert matched(write(tmp_path, READ[name])) == LABELS


def test_names_in_any_script(tmp_path: Path) -> None:
    named = {"tumour": "腫瘍 α", "stroma": '"stroma, <b>&"'}
    path = write(tmp_path, csv([(x, y, named[label]) for x, y, label in ROWS]))
    assert set(matched(path)) == {"腫瘍 α", "stroma, <b>&"}


def test_fifty_classes(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x, y, f"c{i // 2}") for i, (x, y, _) in enumerate(ROWS)]))
    assert matched(path) == [f"c{i // 2}" for i in range(100)]


def test_line_numbers_count_the_comments(tmp_path: Path) -> None:
    path = write(tmp_path, "# one\nsep=;\n\nx;y;label\n1;1;a\nb;1;a\n")
    with pytest.raises(LabelsError, match="line 6: x is 'b'"):
        read_labels(path)


# -------------------------------------------------------------------- read, with one warning


def test_windows_1252_is_read_and_shown(tmp_path: Path) -> None:
    german = [(x, y, {"stroma": "Drüse"}.get(label, label)) for x, y, label in ROWS]
    path = write(tmp_path, csv(german, "x;y;label", ";").encode("cp1252"))
    with pytest.warns(UserWarning, match=r"read as Windows-1252, with 'Drüse' in line 7") as told:
        found = matched(path)
    assert len(told) == 1
    assert found == [{"stroma": "Drüse"}.get(label, label) for label in LABELS]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("腫瘍", "shift_jis"),
        ("опухоль", "shift_jis"),
        ("肿瘤", "gb18030"),
        ("опухоль", "cp866"),
        ("опухоль", "koi8-r"),
    ],
)
def test_other_encodings_are_refused(tmp_path: Path, text: str, encoding: str) -> None:
    data = csv([(1, 1, text), (2, 1, "b")]).encode(encoding)
    with pytest.raises(LabelsError, match="is neither UTF-8 nor Windows-1252 text"):
        read_labels(write(tmp_path, data))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nan", "say 'nan'"),
        ("NA", "say 'NA'"),
        ("None", "say 'None'"),
        ("null", "say 'null'"),
        ("<NA>", "say '<NA>'"),
        ("", "are empty"),
        ("unlabelled", "say 'unlabelled'"),
        ("Unlabeled", "say 'Unlabeled'"),
        ("not annotated", "say 'not annotated'"),
    ],
)
def test_names_of_missing_values_are_no_class(tmp_path: Path, name: str, shown: str) -> None:
    path = write(tmp_path, csv(sparse(name)))
    with pytest.warns(UserWarning, match=f"50 of 100 labels {shown} and are read as m") as told:
        found = matched(path)
    assert len(told) == 1
    assert found == kept()
    assert ("keep_missing=True" in str(told[0].message)) == bool(name)


def test_missing_values_in_tables_of_r_and_pandas(tmp_path: Path) -> None:
    r = quoted(sparse("NA"), True, ",").replace('"x"', '"","x"', 1).replace('"NA"', "NA")
    pandas = csv([(f"{i},{x}", y, label) for i, (x, y, label) in enumerate(sparse("nan"))],  # type: ignore[misc]
                 ",x,y,label")  # fmt: skip
    for text in (r, pandas):
        with pytest.warns(UserWarning, match="50 of 100 labels"):
            assert matched(write(tmp_path, text)) == kept()


def test_missing_names_are_kept_where_asked(tmp_path: Path) -> None:
    path = write(tmp_path, csv(sparse("NA")))
    assert matched(path, keep_missing=True) == [label or "NA" for label in kept()]


def test_names_of_ones_own_mean_missing(tmp_path: Path) -> None:
    path = write(tmp_path, csv(sparse("background")))
    assert matched(path, missing=["background"]) == kept()
    assert matched(path) == [label or "background" for label in kept()]


def test_a_table_of_missing_labels_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x, y, "NA") for x, y, _ in ROWS]))
    with (
        pytest.warns(UserWarning, match="100 of 100"),
        pytest.raises(LabelsError, match=r"all 100 labels are missing \('NA'\)"),
    ):
        read_labels(path)


def test_a_row_without_a_label_needs_no_place(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,label\n1,1,a\nNA,NA,NA\n2,1,b\n")
    with pytest.warns(UserWarning, match="1 of 3 labels say 'NA'"):
        assert read_labels(path).x.tolist() == [1.0, 2.0]


def test_whole_numbers_that_are_floats_in_part_are_one_class(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,label\n1,1,1.0\n2,1,2.0\n3,1,1\n4,1,2\n")
    with pytest.warns(UserWarning, match="2 labels written with .*'1.0' as '1', '2.0' as '2'"):
        assert read_labels(path).label.tolist() == ["1", "2", "1", "2"]
    assert read_labels(path, names="exact").classes == ("1", "1.0", "2", "2.0")


def test_a_missing_label_contradicts_no_other(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,label\n1,1,tumour\n1,1,\n2,1,stroma\n")
    with pytest.warns(UserWarning, match="1 of 3 labels are empty"):
        assert read_labels(path).label.tolist() == ["tumour", "stroma"]


@pytest.mark.parametrize("name", ["0", "-1"])
def test_a_number_of_masks_beside_names_is_asked_about(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, csv(sparse(name)))
    with pytest.warns(UserWarning, match=f"50 of 100 labels say '{name}', taken as a class"):
        assert matched(path) == [label or name for label in kept()]
    assert matched(path, missing=[name]) == kept()


def test_zero_of_a_mask_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x, y, str(i % 3)) for i, (x, y, _) in enumerate(ROWS)]))
    with pytest.warns(UserWarning, match=r"34 of 100 labels say '0', taken as a class") as told:
        found = matched(path)
    assert len(told) == 1
    assert set(found) == {"0", "1", "2"}
    assert matched(path, missing=["0"]) == [str(i % 3) if i % 3 else None for i in range(100)]
    assert matched(path, keep_missing=True) == found


def test_minus_one_of_a_mask_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x, y, str(i % 3 - 1)) for i, (x, y, _) in enumerate(ROWS)]))
    with pytest.warns(UserWarning, match="34 of 100 labels say '-1' and are read as mis") as told:
        found = matched(path)
    assert len(told) == 1  # where -1 is the mark, 0 is none
    assert set(found) == {None, "0", "1"}


def test_minus_one_beside_one_other_is_a_class_and_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x, y, str(i % 2 * 2 - 1)) for i, (x, y, _) in enumerate(ROWS)]))
    with pytest.warns(UserWarning, match=r"say '-1', taken as a class; .*missing=\['-1'\]"):
        assert set(matched(path)) == {"-1", "1"}


@pytest.mark.parametrize("name", ["none", "unknown", "-", "?", "Na"])
def test_names_that_may_mean_missing_are_asked_about(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, csv(sparse(name)))
    with pytest.warns(UserWarning, match=f"'{re.escape(name)}', taken as a class") as told:
        found = matched(path)
    assert len(told) == 1
    assert found == [label or name for label in kept()]
    assert matched(path, missing=[name]) == kept()
    assert matched(path, keep_missing=True) == found


def test_spaces_make_no_second_class(tmp_path: Path) -> None:
    rows = [(x, y, label + " " * (i % 2)) for i, (x, y, label) in enumerate(ROWS)]
    path = write(tmp_path, csv(rows))
    with pytest.warns(UserWarning, match=r"50 labels written with .*'stroma ' as 'stroma'") as told:
        assert matched(path) == LABELS
    assert len(told) == 1
    assert set(matched(path, names="exact")) == {"tumour", "tumour ", "stroma", "stroma "}


def test_a_space_behind_each_comma(tmp_path: Path) -> None:
    path = write(tmp_path, csv(header="x, y, label", join=", "))
    with pytest.warns(UserWarning, match="' tumour' as 'tumour'") as told:
        assert matched(path) == LABELS
    assert len(told) == 1


@pytest.mark.parametrize("name", ["Dru\u0308se", "Drüse\u200b", "Drüse\u00a0"])
def test_names_that_look_the_same_are_one(tmp_path: Path, name: str) -> None:
    rows = [(x, y, name if i % 2 else "Drüse") for i, (x, y, _) in enumerate(ROWS)]
    with pytest.warns(UserWarning, match="as 'Drüse'"):
        assert set(matched(write(tmp_path, csv(rows)))) == {"Drüse"}


def test_upper_and_lower_case_are_one_class_where_asked(tmp_path: Path) -> None:
    rows = [(x, y, label if i % 3 else label.title()) for i, (x, y, label) in enumerate(ROWS)]
    path = write(tmp_path, csv(rows))
    # A fit warns of them; here they stay as they are.
    assert set(matched(path)) == {"tumour", "Tumour", "stroma", "Stroma"}
    assert matched(path, names="fold") == LABELS


# -------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"PK\x03\x04\x14\x00\x06", "an Excel workbook .* open it and save it as CSV UTF-8"),
        (archive("xl/workbook.xml"), "an Excel workbook, .*open it and save it as CSV UTF-8"),
        (archive("mimetype", "content.xml"), "a LibreOffice document, .*save it as CSV UTF-8"),
        (
            archive("0001-0002.roi", "0003.roi"),
            "regions of ImageJ, .*QuPath and export its objects",
        ),
        (b"Iout\x00\xe4", "a region of ImageJ, .*export its objects as GeoJSON"),
        ('<?xml version="1.0"?>\n<svg></svg>', "is XML or HTML and no table"),
        ("\n<Annotations></Annotations>", "is XML or HTML and no table; .*GeoJSON of QuPath"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"II*\x00" + struct.pack("<I", 8), "a TIFF picture, .*give a table of x, y and label"),
        (
            "index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1.2,3.4\n",
            "shapes without classes; add a column label",
        ),
        (
            "Image\tName\tClass\tParent\tROI\tCentroid X µm\tCentroid Y µm\n"
            "slide.ome.tif\tPolygon\tTumor\tImage\tPolygon\t120.5\t130.2\n",
            "line 2: is an annotation, .*Export objects as GeoJSON",
        ),
        (csv(header="x,y,class,region", rows=[(1, 1, "a,b")]), "'class', 'region' may hold"),
        ("1,1,tumour\n2,1,stroma\n", "line 1: is no header .1, 1, tumour.; write x,y,label above"),
        ("0,0,1,1\n0,0,1,1\n", "line 1: is no header .*; a mask is no table: give one row per pix"),
        (b"\x93NUMPY\x01\x00", "an array of numpy"),
        (csv(header="spot,x,y"), "lacks the column label"),
        ("x,y,label\n1,1,tumour\n1,1,stroma\n", "line 3: .*'stroma', but 'tumour' in line 2"),
        ("x,y,label\n1,1,a, b\n2,1,c, d\n", "line 2: has 4 fields, the header has 3"),
        (b"\xff\xfex\x00,\x00y", "begins as UTF-16 text, but is damaged"),
        (b"x,y,label\n1,1,\x81\x8d\n", r"neither UTF-8 nor Windows-1252 text \(byte 14\)"),
    ],
)
def test_refused_with_the_way_out(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(LabelsError, match=message) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": "loose"}, "names 'loose' is none of 'tidy', 'exact', 'fold'"),
        ({"missing": "NA"}, "missing is 'NA': give a list of names"),
        ({"pixel_size": 0}, "pixel_size is 0, need a number above 0"),
        ({"pixel_size": "big"}, "pixel_size is 'big'"),
    ],
)
def test_options_that_are_none(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(mg.InputError, match=message):
        read_labels(write(tmp_path, csv()), **options)  # type: ignore[arg-type]


# -------------------------------------------------------------------- QuPath's table of detections


def test_detections_of_qupath(tmp_path: Path) -> None:
    """Tiles of the size of a pixel, by their middle in micrometres."""
    head = "Image\tObject type\tName\tClassification\tROI\tCentroid X µm\tCentroid Y µm"
    rows = [
        f"a.tif\tTile\tx\t{label}\tRectangle\t{(x - 0.5) * 50}\t{(y - 0.5) * 50}"
        for x, y, label in ROWS
    ]
    path = write(tmp_path, "\n".join([head, *rows]), "detections.tsv")
    assert matched(path, pixel_size=50) == LABELS
    with pytest.raises(LabelsError, match=r"places on a picture \(Centroid X µm\); .*pixel_size="):
        read_labels(path)


def test_cells_of_two_classes_in_a_pixel_are_refused(tmp_path: Path) -> None:
    head = "Class\tObject type\tCentroid X µm\tCentroid Y µm"
    path = write(tmp_path, f"{head}\na\tCell\t10\t10\nb\tCell\t30\t12\n")
    with pytest.raises(LabelsError, match=r"line 3: pixel \(x 1, y 1\) is labelled 'b', but 'a'"):
        read_labels(path, pixel_size=50)


def test_good_tables_are_quiet(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in READ.values():
            matched(write(tmp_path, text))
