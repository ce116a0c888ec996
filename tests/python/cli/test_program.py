"""The command line, as a person and a script use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import cli_runs
import massgraph
import massgraph as mg
from cli_runs import (
    Outcome,
    Run,
    assert_refused,
)
from imzml_builder import Builder
from massgraph._util.errors import InputError
from massgraph.classifier import RGCNClassifier
from massgraph.cli import main
from massgraph.cli.faults import BAD_INPUT
from massgraph.report.results import check_output
from massgraph.simulation.simulate import Simulation

COMMANDS = ("demo", "validate", "segment", "fit", "predict", "explain")
FIT_FILES = {
    *("model", "segmentation.h5ad", "ions.csv", "families.csv", "family_edges.csv"),
    *("report.html", "figures", "coverage.csv"),
}


# pytest finds fixtures by the names that a module has.
run, simulation, data, fitted = cli_runs.run, cli_runs.simulation, cli_runs.data, cli_runs.fitted
fast_figures = cli_runs.fast_figures


# ------------------------------------------------------------------------ help


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_help_shows_examples_of_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    for command in COMMANDS:
        assert f"massgraph {command}" in text
    assert "x, y, label" in text
    assert "exit codes: 0 done, 1 failed, 2 bad input" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, command)
    assert text.startswith(f"usage: massgraph {command}")
    assert "--json" in text
    assert "exit codes: 0 done, 1 failed, 2 bad input" in text
    assert max(map(len, text.splitlines())) <= 100
    if command == "validate":
        assert "imzML or h5ad" in text
        assert "writes no files" in text
    else:
        for name in ("families.csv", "figures/", "--out", "--overwrite"):
            assert name in text
        assert ("model/ " in text) == (command in ("demo", "segment", "fit"))
        assert ("report.html" in text) == (command != "explain")


def test_help_names_what_a_fit_writes(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, "fit")
    for path in fitted.iterdir():
        assert path.name in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"massgraph {massgraph.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "COMMAND"),
        (["train"], "invalid choice: 'train'"),
        (["validate"], "input"),
        (["fit", "run.imzML", "--out", "o"], "--labels"),
        (["fit", "run.imzML", "--labels", "l.csv"], "--out"),
        (["fit", "a", "--labels", "l", "--labels-column", "c", "--out", "o"], "not allowed with"),
        (["fit", "a", "--labels", "l", "--out", "o", "--epochs", "many"], "invalid int value"),
        (["fit", "a", "--labels", "l", "--out", "o", "--seed", "-1"], "-1 is below 0"),
        (["fit", "a", "--labels", "l", "--out", "o", "--seed", str(2**32)], "above 4294967295"),
        (["fit", "a", "--labels", "l", "--out", "o", "--polarity", "both"], "invalid choice"),
        (["predict", "model"], "input"),
        (["demo", "--seed", "x"], "--seed"),
    ],
)
def test_wrong_use_is_exit_code_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert "usage: massgraph" in err


# ------------------------------------------------------------------------ validate


def test_validate_imzml(run: Run, data: Path, simulation: Simulation) -> None:
    outcome = run("validate", data / "run1.imzML", "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    summary = outcome.summary
    assert summary["file"] == str(data / "run1.imzML")
    assert summary["n_pixels"] == 100
    assert summary["runs"] == ["run1"]
    assert summary["polarity"] == "positive"
    counts = simulation.spectra.peak_counts[:100]
    assert summary["peaks_per_pixel"] == [counts.min(), np.median(counts), counts.max()]
    assert summary["warnings"] == []


def test_validate_as_text(run: Run, data: Path) -> None:
    outcome = run("validate", data / "run1.imzML")
    assert outcome.code == 0
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in outcome.out.splitlines())
    assert lines["n pixels"] == "100"
    assert lines["runs"] == "run1"
    assert lines["warnings"] == "none"


def test_validate_h5ad_says_the_same(run: Run, fitted: Path, data: Path) -> None:
    ours = run("validate", fitted / "segmentation.h5ad", "--json").summary
    theirs = run("validate", data / "run1.imzML", "--json").summary
    for key in ("n_pixels", "runs", "polarity", "empty_pixels"):
        assert ours[key] == theirs[key]
    assert ours["file"].endswith("segmentation.h5ad")
    assert ours["mz_range"] == pytest.approx(theirs["mz_range"], rel=1e-5)
    assert ours["n_features"] > 100
    # Peaks of a pixel at one ion of the common axis are one.
    assert ours["peaks_per_pixel"][2] <= theirs["peaks_per_pixel"][2]


def test_validate_warns_on_stderr(run: Run, data: Path, tmp_path: Path) -> None:
    """Bytes after the end are no fault of the spectra: told, and the file is read."""
    path = Builder(trailing=b"rest").write(tmp_path)
    outcome = run("validate", path, "--json")
    assert outcome.code == 0
    assert outcome.summary["warnings"]
    assert all(line.startswith("massgraph: warning: ") for line in outcome.err.splitlines())


# ------------------------------------------------------------------------ fit, predict, explain


def test_fit_writes_the_results(fitted: Path) -> None:
    assert {path.name for path in fitted.iterdir()} == FIT_FILES
    figures = {path.name for path in (fitted / "figures").iterdir()}
    assert figures == {
        *("class.png", "probability.png", "uncertainty.png", "coverage.png"),
        *("reference.png", "history.png"),
        *("activation_epithelium.png", "activation_stroma.png", "activation_muscle.png"),
        *("family_1.png", "family_1_images.png", "deletion.png"),
    }
    assert all(path.stat().st_size > 2000 for path in (fitted / "figures").iterdir())
    assert {path.name for path in (fitted / "model").iterdir()} == {
        "config.json",
        "MODEL_CARD.md",
        "weights.safetensors",
    }
    assert [path.name for path in fitted.parent.iterdir()] == ["results"]  # nothing temporary


def test_tables_of_a_fit(fitted: Path) -> None:
    ions = pd.read_csv(fitted / "ions.csv")
    assert ions["rank"].tolist() == list(range(1, len(ions) + 1))
    assert set(ions["class"]) <= {"epithelium", "stroma", "muscle"}
    families = pd.read_csv(fitted / "families.csv")
    assert {"family", "mz", "role", "class", "score"} <= set(families.columns)
    edges = pd.read_csv(fitted / "family_edges.csv")
    assert set(edges["family"]) == set(families["family"])


def test_the_report_is_about_the_run(fitted: Path) -> None:
    report = (fitted / "report.html").read_text(encoding="utf-8")
    assert "run1" in report
    assert "epithelium" in report


def test_the_h5ad_holds_the_segmentation(fitted: Path, simulation: Simulation) -> None:
    adata = anndata.read_h5ad(fitted / "segmentation.h5ad")
    assert adata.n_obs == 100
    reference = adata.obs["massgraph_reference"].astype(object).to_numpy()
    expected = simulation.labels[:100]
    assert [None if pd.isna(label) else label for label in reference] == expected.tolist()


def test_the_saved_model_is_the_one_that_segmented(fitted: Path, data: Path) -> None:
    classifier = massgraph.load(fitted / "model")
    adata = anndata.read_h5ad(fitted / "segmentation.h5ad")
    spectra = massgraph.read_imzml(data / "run1.imzML")
    labels = classifier.predict(spectra)
    assert labels.tolist() == adata.obs["massgraph_label"].astype(str).tolist()


def test_predict_and_its_summary(run: Run, fitted: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    outcome = run("predict", fitted / "model", data / "run2.imzML", "--out", out, "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    summary = outcome.summary
    assert summary["out"] == str(out)
    assert summary["pixels"] == 100
    assert sum(summary["classes"].values()) == 100
    assert 0 <= summary["mean_uncertainty"] <= 1
    assert summary["families"] > 0
    assert {path.name for path in out.iterdir()} == FIT_FILES - {"model"}
    figures = {path.stem for path in (out / "figures").iterdir()}
    assert "class" in figures
    assert "reference" not in figures  # no labels were given
    adata = anndata.read_h5ad(out / "segmentation.h5ad")
    counts = adata.obs["massgraph_label"].value_counts().to_dict()
    assert {name: n for name, n in summary["classes"].items() if n} == {
        name: n for name, n in counts.items() if n
    }


@pytest.fixture(scope="module")
def far(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose m/z are of another range."""
    moved = replace(simulation, spectra=mg.degrade.shift_mz(simulation.spectra, 600.0, "Da"))
    return cli_runs.write_run(moved, "run2", tmp_path_factory.mktemp("far"), "far")


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_run_that_the_model_does_not_know(
    run: Run, fitted: Path, far: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / "out"
    outcome = run(command, fitted / "model", far, "--out", out)
    assert_refused(outcome, "does not know run 'far'", "another m/z range", "--min-coverage 0")
    assert "min_coverage" not in outcome.err
    assert not out.exists()
    # What the message advises is there, and answers with a warning.
    outcome = run(command, fitted / "model", far, "--out", out, "--min-coverage", "0", "--json")
    assert outcome.code == 0
    assert "warning: the model knows little of run 'far'" in outcome.err
    assert outcome.summary["coverage"]["far"] < 0.3
    assert outcome.summary["mean_uncertainty"] > 0.9


def test_coverage_of_each_run_is_a_table(
    run: Run, data: Path, fitted: Path, tmp_path: Path
) -> None:
    files = [data / "run1.imzML", data / "run2.imzML"]
    run("predict", fitted / "model", *files, "--out", tmp_path / "both")
    table = pd.read_csv(tmp_path / "both" / "coverage.csv")
    assert table["run"].tolist() == ["run1", "run2"]
    assert (table["coverage"] > 0.85).all()
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "at ions that the model knows" in page


@pytest.mark.parametrize("value", ["2", "-0.1", "half"])
def test_shares_that_are_none(
    capsys: pytest.CaptureFixture[str], fitted: Path, far: Path, tmp_path: Path, value: str
) -> None:
    words = ["predict", fitted / "model", far, "--out", tmp_path / "out"]
    with pytest.raises(SystemExit):
        main([*map(str, words), f"--min-coverage={value}"])
    assert "is no share from 0 to 1" in capsys.readouterr().err


def test_predict_takes_several_runs(
    run: Run, fitted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    inputs = [data / "run1.imzML", data / "run2.imzML"]
    outcome = run("predict", fitted / "model", *inputs, "--out", tmp_path / "o", "--json")
    assert outcome.code == 0
    assert outcome.summary["pixels"] == 200
    runs = anndata.read_h5ad(tmp_path / "o" / "segmentation.h5ad").obs["run"]
    assert runs.astype(str).tolist() == ["run1"] * 100 + ["run2"] * 100


def test_explain(run: Run, fitted: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "why"
    outcome = run("explain", fitted / "model", data / "run1.imzML", "--out", out)
    assert outcome.code == 0
    assert re.search(r"^families +\d+$", outcome.out, re.MULTILINE)
    names = {path.name for path in out.iterdir()}
    assert names == {"ions.csv", "families.csv", "family_edges.csv", "ions_by_run.csv", "figures"}
    assert (out / "families.csv").read_text() == (fitted / "families.csv").read_text()
    by_run = pd.read_csv(out / "ions_by_run.csv")
    assert (by_run["activation"] != 0).all()


def test_fit_of_several_runs(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is a run; the labels say which; what was there is replaced when asked for."""
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    out = tmp_path / "results"
    out.mkdir()
    (out / "ions.csv").write_text("old")
    inputs = [data / "run1.imzML", data / "run2.imzML"]
    arguments = ["fit", *inputs, "--labels", data / "both.csv", "--out", out]
    arguments += ["--effort", "thorough", "--epochs", 2]
    assert_refused(run(*arguments), str(out), "exists already", "--overwrite")
    assert (out / "ions.csv").read_text() == "old"
    outcome = run(*arguments, "--overwrite", "--json", "--max-peaks", 40, "--mz-range", 300, 900)
    assert outcome.code == 0
    summary = outcome.summary
    assert summary["pixels"] == 200
    assert 1 <= summary["epochs"] <= 2
    assert 0 <= summary["balanced_accuracy_cross_fitted"] <= 1
    assert (out / "ions.csv").read_text() != "old"
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["settings"]["max_peaks"] == 40
    assert config["settings"]["mz_range"] == [300.0, 900.0]
    adata = anndata.read_h5ad(out / "segmentation.h5ad")
    assert set(adata.obs["run"]) == {"run1", "run2"}
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_fit_of_h5ad_with_its_labels(
    run: Run, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    path = fitted / "segmentation.h5ad"
    column = ("--labels-column", "massgraph_reference")
    out = tmp_path / "again"
    outcome = run("fit", path, *column, "--out", out, "--epochs", 1, "--seed", 3, "--json")
    assert outcome.code == 0
    assert set(outcome.summary["classes"]) == {"epithelium", "stroma", "muscle"}
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["parameters"]["random_state"] == 3
    classifier = massgraph.load(out / "model")
    reference = anndata.read_h5ad(path).obs["massgraph_reference"]
    used = classifier.training_ | classifier.validation_
    assert used.tolist() == reference.notna().tolist()


def test_the_published_preset_and_its_tolerance(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All options of `fit` reach the classifier."""
    seen: dict[str, Any] = {}

    def fit(self: RGCNClassifier, *_: object, **given: object) -> None:
        seen.update(self.get_params(), **given)
        raise InputError("far enough")

    monkeypatch.setattr(RGCNClassifier, "fit", fit)
    options = ["--preset", "published", "--tolerance", "0.002", "--unit", "Da", "--seed", "7"]
    options += ["--epochs", "3", "--max-peaks", "9", "--mz-range", "300", "400", "--device", "cpu"]
    options += ["--checkpoint", "kept", "--resume"]
    paths = [data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "o"]
    assert main(["fit", *map(str, paths), *options]) == BAD_INPUT
    given = {name: value for name, value in seen.items() if value is not None}
    assert given == {
        **{"preset": "published", "tolerance": 0.002, "tolerance_unit": "Da", "epochs": 3},
        **{"max_peaks": 9, "mz_range": [300.0, 400.0], "device": "cpu", "random_state": 7},
        **{"backend": "auto", "checkpoint": Path("kept"), "resume": True},
    }


def test_demo(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    """The whole way on a smaller tissue: the last run is predicted, and all is done unlabelled."""
    asked: list[tuple[object, ...]] = []

    def smaller(preset: str, random_state: int) -> Simulation:
        asked.append((preset, random_state))
        return simulation

    monkeypatch.setattr(massgraph, "simulate", smaller)
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    outcome = run("demo", "--seed", 5, "--json")
    assert outcome.code == 0
    assert asked == [("demo", 5)]
    summary = outcome.summary
    assert summary["out"] == "demo"
    assert summary["balanced_accuracy_unseen"] > 0.4
    assert 0 <= summary["planted_among_top_5_families"] <= 1
    assert (tmp_path / "demo" / "segmentation.h5ad").is_file()
    classifier = massgraph.load(tmp_path / "demo" / "model")
    assert not (classifier.training_ | classifier.validation_)[100:].any()
    # The second page knows no label, and all pixels.
    assert (tmp_path / "demo" / "regions" / "molecules.csv").is_file()
    regions = massgraph.load(tmp_path / "demo" / "regions" / "model")
    assert regions.random_state == 5
    assert sum(summary["regions_without_labels"].values()) == len(simulation.spectra)
    assert -0.5 <= summary["regions_agree_with_the_truth"] <= 1
    assert list(summary)[-1] == "seconds"
    # As a whole it is a folder of ours: it may be replaced, but only when that is asked for.
    check_output(tmp_path / "demo", overwrite=True)
    assert_refused(run("demo", "--seed", 5), "demo exists already")


# ------------------------------------------------------------------------ a process of its own


def shell(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(massgraph.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "massgraph.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": source, **environment},
    )


def test_in_a_process_of_its_own(data: Path, tmp_path: Path) -> None:
    done = shell("validate", data / "run1.imzML", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["n_pixels"] == 100
    assert done.stderr == ""
    bad = shell("validate", tmp_path / "absent.imzML")
    assert_refused(Outcome(bad.returncode, bad.stdout, bad.stderr), "absent.imzML")
