"""The table of formats: what a file is told by, and what others may add."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from imzml_builder import PIXELS, Builder, Pixel, edit
from massgraph.data.spectra import Spectra
from massgraph.io import formats
from massgraph.io.formats import (
    Format,
    describe,
    find_format,
    forget_format,
    known_formats,
    register_format,
)
from massgraph.io.imzml import ImzMLError, count_values


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(formats, "_FORMATS", dict(formats._FORMATS))


def nothing(path: Path, **_: Any) -> Spectra:
    raise AssertionError(path)


def h5ad(folder: Path) -> Path:
    var = pd.DataFrame({"mz": [255.233, 281.249]}, index=["a", "b"])
    places = {"spatial": np.array([[1.0, 1.0], [2.0, 1.0]])}
    anndata.AnnData(X=np.eye(2), var=var, obsm=places).write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


# ------------------------------------------------------------------------ telling


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run.imzML", "imzML"),
        ("run.IMZML", "imzML"),
        ("a.b/c.h5ad.imzML", "imzML"),
        ("run.ibd", "imzML"),
        ("run.h5ad", "h5ad"),
        ("Slide 3.H5AD", "h5ad"),
    ],
)
def test_a_name_is_enough(name: str, expected: str) -> None:
    assert find_format(name).name == expected
    assert find_format(Path("no") / "such" / name).name == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_content_tells_where_the_name_does_not(tmp_path: Path, encoding: str) -> None:
    path = Builder(encoding=encoding).write(tmp_path).rename(tmp_path / "download")
    assert find_format(path).name == "imzML"
    path = h5ad(tmp_path).rename(tmp_path / "cells.h5")
    assert find_format(path).name == "h5ad"
    shifted = tmp_path / "shifted.bin"
    shifted.write_bytes(bytes(512) + path.read_bytes()[:100])
    assert find_format(shifted).name == "h5ad"


@pytest.mark.parametrize("content", [b"", b"hello", b"x,y,label\n", bytes(5000), b"<html></html>"])
def test_what_is_of_no_known_format(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(mg.InputError, match=r"notes\.txt: neither .* format \(imzML, h5ad\)$"):
        find_format(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(mg.InputError, match=r"absent: cannot be read \(No such file.*imzML, h5ad"):
        find_format(tmp_path / "absent")
    with pytest.raises(mg.InputError, match=r"is a folder; give a file in it .*imzML, h5ad"):
        find_format(tmp_path)


# ------------------------------------------------------------------------ the formats we have


def test_the_table_reads_opens_and_counts_imzml(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    imzml = find_format(path)
    assert imzml.open is not None
    assert imzml.n_values is not None
    whole = imzml.read(path, **imzml.taken({"profile": "centroid", "layer": "counts"}))
    assert whole.n_peaks == imzml.n_values(path) == 10
    with imzml.open(path, profile="refuse", check_uuid=False) as source:
        assert sum(block.n_peaks for block in source.blocks()) == 10
    assert imzml.check(path)["layout"] == "processed"


def test_the_table_reads_checks_and_writes_h5ad(tmp_path: Path) -> None:
    path = h5ad(tmp_path)
    cells = find_format(path)
    assert (cells.open, cells.n_values) == (None, None)
    assert cells.read(path, **cells.taken({"coordinates": None})).coordinates is None
    found = cells.check(path)
    assert (found["file"], found["n_features"], found["empty_pixels"]) == (str(path), 2, 0)
    segmentation = mg.Segmentation.from_probability(cells.read(path), ("a", "b"), np.eye(2))
    assert cells.write is not None
    assert cells.labels is not None
    cells.write(segmentation, tmp_path / "out.h5ad")
    assert cells.labels(tmp_path / "out.h5ad", "massgraph_label").tolist() == ["a", "b"]
    with pytest.raises(FileExistsError):
        cells.write(segmentation, tmp_path / "out.h5ad")


def test_a_description_of_nothing() -> None:
    found = describe(Spectra.from_peaks([]))
    assert (found["n_pixels"], found["peaks_per_pixel"], found["mz_range"]) == (0, None, None)
    found = describe(Spectra.from_peaks([([], []), ([], [])]))
    assert (found["empty_pixels"], found["peaks_per_pixel"]) == (2, [0.0, 0.0, 0.0])


# ------------------------------------------------------------------------ counting


@pytest.mark.parametrize("layout", ["continuous", "processed"])
def test_values_are_counted_without_the_ibd(tmp_path: Path, layout: str) -> None:
    """The header says them; zeros count, as they do while they are read."""
    axis = (100.0, 200.0, 300.0)
    pixels = [Pixel(x, 1, axis, (0.0, 1.0, 2.0)) for x in range(1, 40)]
    path = Builder(pixels, layout=layout, intensity_type="i2").write(tmp_path)
    path.with_suffix(".ibd").unlink()
    assert count_values(path) == 3 * len(pixels)


def test_pixels_without_peaks_count_nothing(tmp_path: Path) -> None:
    path = Builder([*PIXELS, Pixel(9, 9, (), ())]).write(tmp_path)
    assert count_values(path) == sum(len(pixel.mz) for pixel in PIXELS)


def test_lengths_that_a_damaged_file_claims(tmp_path: Path) -> None:
    """No overflow, no negative count: such a file is opened, and refused there."""
    path = Builder().write(tmp_path)
    term = 'name="external array length" value="'
    for old in (3, 2, 4):
        edit(path, f'{term}{old}"', f'{term}{2**58}"', count=2)
    assert count_values(path) > 2**59
    edit(path, f'{term}{2**58}"', f'{term}-5"', count=6)
    assert count_values(path) == 1
    with pytest.raises(ImzMLError, match="cut off"):
        count_values(path.with_name(edit(path, "</mzML>", "").name))


@pytest.mark.parametrize("name", ["absent.imzML", "image.ibd", "."])
def test_counting_refuses_what_reading_refuses(tmp_path: Path, name: str) -> None:
    Builder().write(tmp_path)
    with pytest.raises(ImzMLError):
        count_values(tmp_path / name)


# ------------------------------------------------------------------------ formats of others


def test_a_registered_format_is_found_by_name(tmp_path: Path) -> None:
    toy = Format(name="toy", suffixes=(".toy", ".toy.gz"), read=nothing)
    register_format(toy)
    assert [one.name for one in known_formats()] == ["imzML", "h5ad", "toy"]
    assert find_format("a.toy.gz") is toy
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(mg.InputError, match=r"known format \(imzML, h5ad, toy\)"):
        find_format(tmp_path / "a.txt")
    forget_format("toy")
    assert [one.name for one in known_formats()] == ["imzML", "h5ad"]


def test_of_formats_with_one_ending_the_content_chooses(tmp_path: Path) -> None:
    for name in ("first", "second"):
        register_format(
            Format(name=name, suffixes=(".csv",), matches=starts_with(name), read=nothing)
        )
    for content, expected in (("second,1", "second"), ("first,1", "first"), ("else", "first")):
        (tmp_path / "a.csv").write_text(content)
        assert find_format(tmp_path / "a.csv").name == expected


def starts_with(text: str) -> Any:
    return lambda head: head.startswith(text.encode())


def test_a_format_without_endings(tmp_path: Path) -> None:
    register_format(Format(name="raw", suffixes=(), matches=starts_with("RAW1"), read=nothing))
    (tmp_path / "run").write_text("RAW1...")
    assert find_format(tmp_path / "run").name == "raw"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"name": "imzML", "suffixes": (".x",)}, "named 'imzML' is known already"),
        ({"name": "x", "suffixes": (".X",)}, "'.X' is not in lower case"),
        ({"name": "x", "suffixes": ("x",)}, "'x' is not in lower case with a dot"),
        ({"name": "x", "suffixes": ()}, "give suffixes or matches"),
    ],
)
def test_formats_that_are_refused(parts: dict[str, Any], words: str) -> None:
    before = known_formats()
    with pytest.raises(mg.InputError, match=words):
        register_format(Format(**parts, read=nothing))
    assert known_formats() == before


def test_a_format_may_be_replaced_when_asked_for() -> None:
    mine = Format(name="h5ad", suffixes=(".h5ad",), read=nothing)
    register_format(mine, replace=True)
    assert find_format("a.h5ad") is mine


def test_an_open_file_is_a_source_of_blocks(tmp_path: Path) -> None:
    """Whatever a format opens is read by the rules for all sources."""
    from massgraph.data.sources import in_memory, is_source

    class Lines:
        n_pixels = 2

        def __enter__(self) -> Lines:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, first: int, stop: int) -> Spectra:
            return Spectra.from_peaks([([100.0], [1.0])] * (stop - first))

        def blocks(self) -> Iterator[Spectra]:
            yield self.read(0, 2)

    toy = Format(name="toy", suffixes=(".toy",), read=nothing, open=lambda _: Lines())
    register_format(toy)
    opener = find_format("a.toy").open
    assert opener is not None
    with opener("a.toy") as source:
        assert is_source(source)
        assert in_memory(source).n_peaks == 2
