"""The command line, as a person and a script use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import massgraph
from imzml_builder import Builder, Pixel, resize
from massgraph import cli, results
from massgraph.classifier import RGCNClassifier
from massgraph.cli import BAD_INPUT, FAILED, INTERRUPTED, main
from massgraph.simulate import Simulation, simulate

COMMANDS = ("demo", "validate", "fit", "predict", "explain")
FIT_FILES = {
    *("model", "segmentation.h5ad", "ions.csv", "families.csv", "family_edges.csv"),
    *("report.html", "figures"),
}


@dataclass
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate("tiny", shape=(10, 10))


def write_run(
    simulation: Simulation,
    run: str,
    folder: Path,
    name: str = "",
    polarity: str | None = "positive",
) -> Path:
    """One run of a simulation as imzML, written byte by byte."""
    rows = np.flatnonzero(simulation.spectra.run == run)
    spectra = simulation.spectra[rows]
    assert spectra.coordinates is not None
    pixels = [
        Pixel(int(x), int(y), *(values.tolist() for values in spectra.pixel(index)))
        for index, (x, y) in enumerate(spectra.coordinates)
    ]
    return Builder(pixels=pixels, polarity=polarity).write(folder, name or run)


def label_table(simulation: Simulation) -> pd.DataFrame:
    """Columns x, y, label and run of the labelled pixels."""
    spectra = simulation.spectra
    assert spectra.coordinates is not None
    table = pd.DataFrame(spectra.coordinates.astype(int), columns=["x", "y"])
    table = table.assign(label=simulation.labels, run=spectra.run)
    return table[table["label"].notna()]


@pytest.fixture(scope="module")
def data(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs as imzML, and their labels."""
    folder = tmp_path_factory.mktemp("data")
    labels = label_table(simulation)
    for name in simulation.spectra.run_names:
        write_run(simulation, name, folder)
        own = labels[labels["run"] == name].drop(columns="run")
        own.to_csv(folder / f"{name}.csv", index=False)
    labels.to_csv(folder / "both.csv", index=False)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _fast_figures() -> Iterator[None]:
    """Each picture once, and coarse: how they look is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "FORMATS", ("png",))
        patch.setattr(results, "N_FAMILIES", 1)
        yield


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one fit, made once; tests only read it."""
    out = tmp_path_factory.mktemp("fitted") / "results"
    arguments = ["fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", out]
    assert main([*map(str, arguments), "--epochs", "8", "--device", "cpu"]) == 0
    return out


def tree(folder: Path) -> dict[str, int]:
    """Every path below a folder with its size; hidden temporary ones too."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1
        for path in folder.rglob("*")
    }


def assert_refused(outcome: Outcome, *words: str, code: int = BAD_INPUT) -> None:
    """One line on stderr that says these words, nothing on stdout, and the exit code."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("massgraph: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    for word in words:
        assert word in outcome.err


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
        assert ("model/ " in text) == (command in ("demo", "fit"))
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
        *("class.png", "probability.png", "uncertainty.png", "reference.png", "history.png"),
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


def test_predict_takes_several_runs(
    run: Run, fitted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.results.write_report", lambda *_, **__: None)
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
    monkeypatch.setattr("massgraph.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.results.write_report", lambda *_, **__: None)
    out = tmp_path / "results"
    out.mkdir()
    (out / "ions.csv").write_text("old")
    inputs = [data / "run1.imzML", data / "run2.imzML"]
    arguments = ["fit", *inputs, "--labels", data / "both.csv", "--out", out, "--epochs", 2]
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
    monkeypatch.setattr("massgraph.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.results.write_report", lambda *_, **__: None)
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

    def fit(self: RGCNClassifier, *_: object) -> None:
        seen.update(self.get_params())
        raise ValueError("far enough")

    monkeypatch.setattr(RGCNClassifier, "fit", fit)
    options = ["--preset", "published", "--tolerance", "0.002", "--unit", "Da", "--seed", "7"]
    options += ["--epochs", "3", "--max-peaks", "9", "--mz-range", "300", "400", "--device", "cpu"]
    paths = [data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "o"]
    assert main(["fit", *map(str, paths), *options]) == BAD_INPUT
    given = {name: value for name, value in seen.items() if value is not None}
    assert given == {
        **{"preset": "published", "tolerance": 0.002, "tolerance_unit": "Da", "epochs": 3},
        **{"max_peaks": 9, "mz_range": [300.0, 400.0], "device": "cpu", "random_state": 7},
        "backend": "auto",
    }


def test_demo(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulation: Simulation
) -> None:
    """The whole way on a smaller tissue; the last run is predicted, not learnt from."""
    asked: list[tuple[object, ...]] = []

    def smaller(preset: str, random_state: int) -> Simulation:
        asked.append((preset, random_state))
        return simulation

    monkeypatch.setattr(massgraph, "simulate", smaller)
    monkeypatch.setattr("massgraph.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.results.write_report", lambda *_, **__: None)
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


# ------------------------------------------------------------------------ bad input


def damaged(data: Path, folder: Path) -> Path:
    for ending in ("imzML", "ibd"):
        shutil.copy(data / f"run1.{ending}", folder / f"cut.{ending}")
    return resize(folder / "cut.imzML", -2000)


def test_a_cut_file(run: Run, data: Path, fitted: Path, tmp_path: Path) -> None:
    path = damaged(data, tmp_path)
    before = tree(tmp_path)
    out = tmp_path / "out"
    assert_refused(run("validate", path), "cut.")
    assert_refused(run("fit", path, "--labels", data / "run1.csv", "--out", out), "cut.", "pixel")
    assert_refused(run("predict", fitted / "model", path, "--out", out), "cut.", "pixel")
    assert_refused(run("explain", fitted / "model", path, "--out", out), "cut.", "pixel")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y,label\n5,5,a\n99,6,b\n", ("line 3", "x 99, y 6", "not in the image")),
        ("x,label\n5,a\n", ("line 1", "lacks the column y")),
        ("x,y,label\n5,5,a\n6,six,b\n", ("line 3", "'six'")),
        ("x,y,label\n", ("no labels",)),
        ("x,y,label\n5,5,a\n6,6,a\n", ("all labels are 'a'", "two classes")),
        ("x,y,label,run\n5,5,a,run1\n6,6,b,slide9\n", ("line 3", "'slide9'", "'run1'")),
        ("x,y,label\n5,5,a\n5,5,b\n", ("line 3", "'b'", "'a'")),
    ],
)
def test_bad_labels(
    text: str, words: tuple[str, ...], run: Run, data: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text)
    outcome = run("fit", data / "run1.imzML", "--labels", labels, "--out", tmp_path / "out")
    assert_refused(outcome, str(labels), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_a_class_of_one_pixel(run: Run, data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("x,y,label\n5,5,a\n6,6,a\n7,6,rare\n")
    outcome = run("fit", data / "run1.imzML", "--labels", labels, "--out", tmp_path / "out")
    assert_refused(outcome, "'rare' has 1 labelled pixel")
    assert not (tmp_path / "out").exists()


def test_labels_must_say_the_run(run: Run, data: Path, tmp_path: Path) -> None:
    inputs = [data / "run1.imzML", data / "run2.imzML"]
    outcome = run("fit", *inputs, "--labels", data / "run1.csv", "--out", tmp_path / "out")
    assert_refused(outcome, "run1.csv", "no column run", "'run2'")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.imzML", None, ("cannot be read",)),
        ("absent.h5ad", None, ("does not exist",)),
        ("notes.txt", "hello", ("is no imzML file",)),
        ("broken.h5ad", "hello", ("cannot be read as h5ad",)),
        ("empty.imzML", "", ("empty",)),
    ],
)
def test_unknown_files(
    name: str, content: str | None, words: tuple[str, ...], run: Run, fitted: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert_refused(run("validate", path), name, *words)
    outcome = run("predict", fitted / "model", path, "--out", tmp_path / "out")
    assert_refused(outcome, name, *words)
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written(run: Run, data: Path, fitted: Path, tmp_path: Path) -> None:
    """Said before anything is read; nothing there is touched, --overwrite or not."""
    (tmp_path / "a file").write_text("precious")
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter1.tex").write_text("precious")
    before = tree(tmp_path)
    fit = ["fit", data / "absent.imzML", "--labels", data / "run1.csv", "--overwrite"]
    cases = {
        tmp_path / "no" / "folder": ("is no folder", "make it"),
        tmp_path / "a file" / "out": ("is no folder",),
        tmp_path / "a file": ("is a file",),
        foreign: ("chapter1.tex", "no result of massgraph"),
    }
    for out, words in cases.items():
        assert_refused(run(*fit, "--out", out), *words)
        assert_refused(run("predict", fitted / "model", "x.imzML", "--out", out), *words)
        assert_refused(run("demo", "--out", out), *words)
    assert tree(tmp_path) == before


def test_results_are_not_replaced_by_what_is_made_of_them(
    run: Run, data: Path, fitted: Path
) -> None:
    """`--overwrite` must not delete the model or the file that the command reads."""
    before = tree(fitted)
    for command in ("predict", "explain"):
        arguments = [command, fitted / "model", data / "run1.imzML", "--out", fitted]
        assert_refused(run(*arguments), "exists already")
        assert_refused(run(*arguments, "--overwrite"), "model", "is an input")
    h5ad = [fitted / "segmentation.h5ad", "--labels-column", "massgraph_reference"]
    outcome = run("fit", *h5ad, "--out", fitted, "--overwrite")
    assert_refused(outcome, "segmentation.h5ad", "is an input")
    assert tree(fitted) == before


def test_folders_that_are_no_model(run: Run, data: Path, fitted: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(fitted / "model" / "config.json", half)
    cut = tmp_path / "cut"
    shutil.copytree(fitted / "model", cut)
    weights = cut / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    before = tree(tmp_path)
    for folder, word in (
        (tmp_path / "absent", "no such model folder"),
        (fitted, "config.json"),
        (half, "weights.safetensors"),
        (cut, "weights.safetensors"),
        (data / "run1.csv", "no such model folder"),
    ):
        for command in ("predict", "explain"):
            outcome = run(command, folder, data / "run1.imzML", "--out", tmp_path / "out")
            assert_refused(outcome, folder.name, word)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tolerance", "-1"], ("tolerance -1.0",)),
        (["--tolerance", "nan"], ("tolerance nan",)),
        (["--tolerance", "5000"], ("tolerance 5000", "choose a smaller one")),
        (["--epochs", "0"], ("epochs 0",)),
        (["--max-peaks", "0"], ("max_peaks 0",)),
        (["--mz-range", "900", "300"], ("mz_range (900.0, 300.0)",)),
        (["--mz-range", "5000", "6000"], ("0 labelled pixel",)),
        (["--device", "abacus"], ("--device 'abacus'", "cpu")),
        (["--device", "cuda:99"], ("--device 'cuda:99'", "GPUs")),
        (["--polarity", "negative"], ("run1.imzML", "positive", "--polarity is negative")),
        (["--labels-column", "label"], ("--labels-column needs one h5ad file",)),
    ],
)
def test_bad_options(
    options: list[str], words: tuple[str, ...], run: Run, data: Path, tmp_path: Path
) -> None:
    labels = [] if "--labels-column" in options else ["--labels", data / "run1.csv"]
    outcome = run("fit", data / "run1.imzML", *labels, "--out", tmp_path / "out", *options)
    assert_refused(outcome, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_labels_that_is_not_there(run: Run, fitted: Path, tmp_path: Path) -> None:
    path = fitted / "segmentation.h5ad"
    fit = ["fit", path, "--out", tmp_path / "out", "--labels-column"]
    assert_refused(run(*fit, "region"), str(path), "no column 'region'")
    assert_refused(run(*fit, "run"), str(path), "all labels are 'run1'")


def test_two_files_of_one_name(run: Run, data: Path, tmp_path: Path) -> None:
    for ending in ("imzML", "ibd"):
        shutil.copy(data / f"run1.{ending}", tmp_path)
    inputs = [data / "run1.imzML", tmp_path / "run1.imzML"]
    outcome = run("fit", *inputs, "--labels", data / "both.csv", "--out", tmp_path / "out")
    assert_refused(outcome, "run named 'run1'", "rename")


def test_polarities_do_not_mix(
    run: Run, data: Path, fitted: Path, tmp_path: Path, simulation: Simulation
) -> None:
    negative = write_run(simulation, "run2", tmp_path, "minus", polarity="negative")
    out = tmp_path / "out"
    both = [data / "run1.imzML", negative]
    outcome = run("fit", *both, "--labels", data / "both.csv", "--out", out)
    assert_refused(outcome, "minus.imzML", "cannot be joined", "polarity")
    for command in ("predict", "explain"):
        outcome = run(command, fitted / "model", negative, "--out", out)
        assert_refused(outcome, "minus.imzML", "negative polarity", "positive spectra")
    assert not out.exists()


def test_polarity_where_the_file_does_not_say(
    run: Run, fitted: Path, tmp_path: Path, simulation: Simulation
) -> None:
    silent = write_run(simulation, "run2", tmp_path, "silent", polarity=None)
    outcome = run("predict", fitted / "model", silent, "--out", tmp_path, "--polarity", "negative")
    # The folder of the input is no place for results, which is said first.
    assert_refused(outcome, "silent")
    out = tmp_path / "out"
    outcome = run("predict", fitted / "model", silent, "--out", out, "--polarity", "negative")
    lines = outcome.err.splitlines()
    assert outcome.code == BAD_INPUT
    assert "negative polarity" in lines[-1]
    assert not out.exists()


# ------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("a bad\n  value"), BAD_INPUT),
        (FileExistsError("there already"), BAD_INPUT),
        (PermissionError("no permission"), FAILED),
        (OSError("disk full"), FAILED),
        (MemoryError(), FAILED),
        (FloatingPointError("loss is nan"), FAILED),
        (RuntimeError("out of memory"), FAILED),
    ],
)
def test_exit_codes_of_faults(
    error: Exception, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(cli, "_validate", fail)
    outcome = run("validate", "x.imzML")
    text = "a bad value" if isinstance(error, ValueError) else str(error) or "MemoryError"
    assert_refused(outcome, text, code=code)


def test_traceback_for_those_who_ask(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASSGRAPH_TRACEBACK", "1")
    with pytest.raises(ValueError, match=r"absent\.imzML"):
        run("validate", tmp_path / "absent.imzML")


def test_interrupted(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the results are written: nothing is left of them."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("massgraph.results._draw", interrupt)
    labels = data / "run1.csv"
    out = tmp_path / "out"
    outcome = run("fit", data / "run1.imzML", "--labels", labels, "--out", out, "--epochs", 1)
    assert_refused(outcome, "interrupted, nothing was written", code=INTERRUPTED)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_keeps_the_old_results(
    run: Run, data: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        msg = "disk full"
        raise OSError(msg)

    out = tmp_path / "out"
    shutil.copytree(fitted, out)
    before = tree(tmp_path)
    monkeypatch.setattr("massgraph.results._draw", fail)
    predict = ["predict", fitted / "model", data / "run1.imzML", "--out", out, "--overwrite"]
    assert_refused(run(*predict), "disk full", code=FAILED)
    assert tree(tmp_path) == before


def test_warnings_are_lines_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    def warn(_: object) -> dict[str, Any]:
        warnings.warn("the pixel size is unknown", UserWarning, stacklevel=1)
        return {"pixels": 3, "share": 0.123456, "names": [], "classes": {"a": 0.5}}

    monkeypatch.setattr(cli, "_validate", warn)
    outcome = run("validate", "x.imzML")
    assert outcome.code == 0
    assert outcome.err == "massgraph: warning: the pixel size is unknown\n"
    assert outcome.out == "pixels   3\nshare    0.1235\nnames    none\nclasses  a 0.5\n"
