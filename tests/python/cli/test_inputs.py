"""What the command line reads: any format of the table, in memory or block by block."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli_runs
import massgraph
from cli_runs import Run, assert_refused, label_table
from imzml_builder import Builder, Pixel, term
from massgraph.cli import inputs as cli_inputs
from massgraph.cli.inputs import inputs, read_all
from massgraph.cli.options import add_inputs
from massgraph.data.sources import JoinedSpectra, in_memory
from massgraph.data.spectra import Spectra
from massgraph.io import formats
from massgraph.io.formats import Format, register_format
from massgraph.simulation.simulate import Simulation

# pytest finds fixtures by the names that a module has.
run, simulation, data, fitted = cli_runs.run, cli_runs.simulation, cli_runs.data, cli_runs.fitted
fast_figures = cli_runs.fast_figures


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_inputs(parser)
    return parser.parse_args([str(word) for word in words])


# ------------------------------------------------------------------------ a format of one's own


COLUMNS = ["run", "x", "y", "mz", "intensity", "region"]


def read_rows(path: Path) -> Spectra:
    """One row per peak."""
    if path.read_text(encoding="utf-8").count("\n") < 2:
        msg = f"{path}: holds no peaks"
        raise massgraph.InputError(msg)
    pixels = list(pd.read_csv(path).groupby(["run", "y", "x"], sort=False))
    return Spectra.from_peaks(
        [(rows["mz"].to_numpy(), rows["intensity"].to_numpy()) for _, rows in pixels],
        coordinates=[(x, y) for (_, y, x), _ in pixels],
        run=[name for (name, _, _), _ in pixels],
        polarity="positive",
    )


def read_regions(path: Path, column: str) -> Any:
    pixels = pd.read_csv(path).groupby(["run", "y", "x"], sort=False)[column].first()
    return pixels.astype(object).where(pixels.notna(), None).to_numpy(dtype=object)


@pytest.fixture
def rows(tmp_path: Path, simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first run of the simulation, in a format that this test has made up."""
    monkeypatch.setattr(formats, "_FORMATS", dict(formats._FORMATS))
    register_format(
        Format(
            name="peak table",
            suffixes=(".csv",),
            read=read_rows,
            labels=read_regions,
            matches=lambda head: head.startswith(b"run,x,y,mz,intensity"),
        )
    )
    spectra = simulation.spectra[:100]
    assert spectra.coordinates is not None
    pixel = np.repeat(np.arange(100), spectra.peak_counts)
    table = pd.DataFrame(spectra.coordinates[pixel].astype(int), columns=["x", "y"]).assign(
        run="run1", mz=spectra.mz, intensity=spectra.intensity, region=simulation.labels[pixel]
    )
    table[COLUMNS].to_csv(tmp_path / "peaks.csv", index=False)
    return tmp_path / "peaks.csv"


def test_a_registered_format_can_be_validated(run: Run, rows: Path, simulation: Simulation) -> None:
    outcome = run("validate", rows, "--json")
    assert outcome.code == 0
    assert outcome.summary["file"] == str(rows)
    assert outcome.summary["n_pixels"] == 100
    assert outcome.summary["runs"] == ["run1"]
    other = rows.rename(rows.with_name("download"))
    assert run("validate", other, "--json").summary["n_pixels"] == 100
    empty = rows.with_name("empty.csv")
    empty.write_text("run,x,y,mz,intensity\n")
    assert_refused(run("validate", empty), "empty.csv: holds no peaks")


def test_a_registered_format_stands_in_the_help(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        massgraph.cli.main(["fit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "imzML or h5ad or peak table file(s)" in text
    assert "column of a h5ad or peak table file" in text


def test_a_registered_format_is_learnt_from_and_predicted(
    run: Run,
    rows: Path,
    fitted: Path,
    data: Path,
    simulation: Simulation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    outcome = run("predict", fitted / "model", rows, "--out", tmp_path / "predicted", "--json")
    assert outcome.code == 0, outcome
    theirs = massgraph.load(fitted / "model").predict(massgraph.read_imzml(data / "run1.imzML"))
    names, counts = np.unique(theirs.astype(str), return_counts=True)
    found = {name: n for name, n in outcome.summary["classes"].items() if n}
    assert found == dict(zip(names.tolist(), counts.tolist(), strict=True))
    outcome = run(
        *("fit", rows, "--labels-column", "region", "--out", tmp_path / "fitted"),
        *("--epochs", 1, "--json"),
    )
    assert outcome.code == 0, outcome
    classes = {label for label in simulation.labels if label is not None}
    assert set(outcome.summary["classes"]) == classes


# ------------------------------------------------------------------------ what is large


def test_what_is_large_is_told_by_its_peaks() -> None:
    """Not by its bytes: 500 bytes for each of these peaks are four gigabytes."""
    assert cli_inputs.LARGE == 8_000_000


@pytest.mark.parametrize("layout", ["processed", "continuous"])
@pytest.mark.parametrize("precision", ["f4", "f8", "i2"])
def test_files_of_any_make_are_large_at_the_same_number_of_peaks(
    layout: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axis = (100.0, 250.5, 900.25)
    pixels = [Pixel(x, 1, axis, (1.0, 2.0, 3.0)) for x in range(1, 11)]
    path = Builder(pixels, layout=layout, intensity_type=precision).write(tmp_path)
    monkeypatch.setattr(cli_inputs, "LARGE", 30)
    with inputs(arguments(path)) as found:
        assert isinstance(found, Spectra)
    monkeypatch.setattr(cli_inputs, "LARGE", 29)
    with inputs(arguments(path)) as found:
        assert isinstance(found, JoinedSpectra)
        assert in_memory(found).fingerprint() == massgraph.read_imzml(path).fingerprint()


def test_small_files_may_be_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [Builder().write(tmp_path, name) for name in ("one", "two")]
    monkeypatch.setattr(cli_inputs, "LARGE", 15)
    with inputs(arguments(paths[0])) as found:
        assert isinstance(found, Spectra)
    with inputs(arguments(*paths)) as found:
        assert isinstance(found, JoinedSpectra)
        assert (found.n_pixels, in_memory(found).n_peaks) == (8, 20)
    assert read_all(arguments(*paths)).n_peaks == 20


def test_a_large_h5ad_is_read_whole_and_worked_on_by_blocks(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fitted / "segmentation.h5ad"
    whole = read_all(arguments(path))
    monkeypatch.setattr(cli_inputs, "LARGE", whole.n_peaks - 1)
    with inputs(arguments(path)) as found:
        assert isinstance(found, JoinedSpectra)
        assert in_memory(found).fingerprint() == whole.fingerprint()


def test_large_files_are_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [Builder().write(tmp_path, name) for name in ("one", "two")]
    monkeypatch.setattr(cli_inputs, "LARGE", 1)
    with inputs(arguments(*paths)) as found:
        assert isinstance(found, JoinedSpectra)
    with pytest.raises(massgraph.InputError, match="the reader is closed"):
        found.read(0, 1)


def test_options_reach_the_formats_that_take_them(
    tmp_path: Path, fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Builder().write(tmp_path)
    ibd = path.with_suffix(".ibd")
    ibd.write_bytes(bytes(16) + ibd.read_bytes()[16:])
    words = (path, fitted / "segmentation.h5ad", "--ignore-uuid", "--polarity", "positive")
    assert read_all(arguments(*words)).n_pixels == 104
    with pytest.raises(massgraph.InputError, match="--ignore-uuid"):
        read_all(arguments(*words[:2]))
    monkeypatch.setattr(cli_inputs, "LARGE", 1)
    with inputs(arguments(*words)) as found:
        assert in_memory(found).n_pixels == 104


def test_labels_of_a_file_that_holds_none(run: Run, data: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    outcome = run("fit", data / "run1.imzML", "--labels-column", "region", *out)
    assert_refused(outcome, "--labels-column needs one h5ad file", "use --labels with other files")


def test_the_label_table_is_that_of_the_simulation(simulation: Simulation) -> None:
    assert len(label_table(simulation)) == sum(label is not None for label in simulation.labels)


# ------------------------------------------------------------------------ imzML as it comes


def turns(polarity: str, x: int) -> Pixel:
    terms = {"positive": ("MS:1000130", "positive scan"), "negative": ("MS:1000129", "negative")}
    return Pixel(x, 1, (100.0, 200.0), (float(x), 1.0), terms=(term(*terms[polarity]),))


@pytest.fixture
def alternating(tmp_path: Path) -> Path:
    pixels = [turns("positive" if x % 2 else "negative", x) for x in range(1, 9)]
    return Builder(pixels, polarity=None).write(tmp_path, "alternating")


@pytest.mark.parametrize("block_by_block", [False, True])
def test_polarity_chooses(
    alternating: Path, block_by_block: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_inputs, "LARGE", 0 if block_by_block else 10**9)
    for polarity, places in (("positive", [1, 3, 5, 7]), ("negative", [2, 4, 6, 8])):
        with inputs(arguments(alternating, "--polarity", polarity)) as found:
            spectra = in_memory(found)
        assert isinstance(found, JoinedSpectra) == block_by_block
        assert spectra.polarity == polarity
        assert spectra.coordinates is not None
        assert spectra.coordinates[:, 0].tolist() == places
    with (
        pytest.raises(massgraph.InputError, match='polarity="negative" or polarity="positive"'),
        inputs(arguments(alternating)),
    ):
        pass


def test_validate_tells_polarities_and_kinds(run: Run, alternating: Path) -> None:
    found = run("validate", alternating, "--json").summary
    assert found["polarities"] == {"negative": 4, "positive": 4}
    assert found["kinds"] == {"MS1": 8}
    assert any("--polarity negative or --polarity positive" in one for one in found["warnings"])
    found = run("validate", alternating, "--polarity", "positive", "--json").summary
    assert (found["n_pixels"], found["polarity"], found["warnings"]) == (4, "positive", [])
    assert_refused(run("validate", alternating, "--kind", "MS2"), "holds no MS2 spectra")


@pytest.mark.parametrize(("option", "value"), [("--kind", "MS1"), ("--integers", "signed")])
def test_options_of_imzml_are_not_dropped_for_other_files(
    run: Run, fitted: Path, option: str, value: str
) -> None:
    outcome = run("validate", fitted / "segmentation.h5ad", option, value)
    assert_refused(outcome, f"{option} says nothing of h5ad files")


def test_polarity_chooses_nothing_in_h5ad(run: Run, fitted: Path) -> None:
    outcome = run("validate", fitted / "segmentation.h5ad", "--polarity", "positive")
    assert_refused(outcome, "--polarity chooses nothing in h5ad files")


@pytest.mark.parametrize("block_by_block", [False, True])
def test_files_of_one_name_are_told_apart_by_their_folders(
    tmp_path: Path, block_by_block: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_inputs, "LARGE", 0 if block_by_block else 10**9)
    paths = [Builder().write(tmp_path / part, "data") for part in ("s1/a", "s2/a", "s2/b")]
    other = Builder().write(tmp_path / "s2/b", "else")
    with (
        pytest.warns(
            UserWarning, match="run named 'data'; they are called s1/a/data, s2/a/data, b/"
        ),
        inputs(arguments(*paths, other)) as found,
    ):
        names = list(dict.fromkeys(in_memory(found).run.tolist()))
    assert names == ["s1/a/data", "s2/a/data", "b/data", "else"]
    with pytest.raises(massgraph.InputError, match="is given twice"):
        read_all(arguments(paths[0], paths[0]))


def test_packed_files_say_so(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.imzML.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(40))
    assert_refused(run("validate", path), "is packed (gzip); unpack it first")


def test_a_slide_without_polarity_beside_one_with(tmp_path: Path) -> None:
    one = Builder(polarity="positive").write(tmp_path, "one")
    silent = Builder(polarity=None).write(tmp_path, "silent")
    with (
        pytest.warns(UserWarning, match="declares no polarity"),
        pytest.raises(massgraph.InputError, match='they are read: polarity="positive"'),
    ):
        read_all(arguments(one, silent))
    assert read_all(arguments(one, silent, "--polarity", "positive")).n_pixels == 8


def test_repeats_of_a_position_are_summed_if_asked(tmp_path: Path) -> None:
    pixels = [Pixel(x, 1, (100.0,), (float(k),)) for k in (1, 2) for x in (1, 2)]
    path = Builder(pixels).write(tmp_path)
    with pytest.raises(massgraph.InputError, match='sum them by repeats="sum"'):
        read_all(arguments(path))
    assert read_all(arguments(path, "--repeats", "sum")).intensity.tolist() == [3.0, 3.0]
