"""The command line meets bad input and bad options, or is interrupted, and says so in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli_runs
import massgraph
from cli_runs import (
    Run,
    assert_refused,
    tree,
    write_run,
)
from imzml_builder import resize
from massgraph.classifier import RGCNClassifier
from massgraph.cli.faults import BAD_INPUT, FAILED
from massgraph.cli.interrupts import INTERRUPTED
from massgraph.io.labels import match_labels, read_labels
from massgraph.learn import training
from massgraph.simulation.simulate import Simulation

# pytest finds fixtures by the names that a module has.
run, simulation, data, fitted = cli_runs.run, cli_runs.simulation, cli_runs.data, cli_runs.fitted
fast_figures = cli_runs.fast_figures


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
        ("notes.txt", "hello", ("of a known format", "imzML, h5ad")),
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
        (
            ["--mz-range", "5000", "6000"],
            ("--mz-range: no peak is between m/z 5000 and 6000", "from m/z 2", "to 9"),
        ),
        (["--device", "abacus"], ("--device 'abacus'", "cpu")),
        (["--device", "cuda:99"], ("--device 'cuda:99'", "GPUs")),
        (["--device", "meta"], ("--device 'meta' cannot be used here",)),
        (["--polarity", "negative"], ("run1.imzML", "positive", "--polarity negative")),
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", "1"], ("--folds 1 2 or more",)),
        (["--seeds", "0"], ("--seeds 0 must be 1 or more",)),
        (["--seed", 2**32 - 3], ("--seed 4294967293", "the last of 5 is above 4294967295")),
        (["--models", "lda", "ldaa"], ("--models 'ldaa' is none of massgraph, ", "lda, ")),
        ([], ("needs input files with their labels",)),
    ],
)
def test_bad_options_of_an_evaluation(
    options: list[object], words: tuple[str, ...], run: Run, data: Path, tmp_path: Path
) -> None:
    inputs = [data / "run1.imzML"] if options else []
    labels = ("--labels", data / "run1.csv", "--out", tmp_path / "out")
    assert_refused(run("evaluate", *inputs, *labels, *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_labels_that_is_not_there(run: Run, fitted: Path, tmp_path: Path) -> None:
    path = fitted / "segmentation.h5ad"
    fit = ["fit", path, "--out", tmp_path / "out", "--labels-column"]
    assert_refused(run(*fit, "region"), str(path), "no column 'region'")
    assert_refused(run(*fit, "run"), str(path), "all labels are 'run1'")


def test_one_file_twice(run: Run, data: Path, tmp_path: Path) -> None:
    inputs = [data / "run1.imzML", data / ".." / data.name / "run1.imzML"]
    outcome = run("fit", *inputs, "--labels", data / "both.csv", "--out", tmp_path / "out")
    assert_refused(outcome, "run1.imzML is given twice")


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


# ------------------------------------------------------------------------ interrupted


def test_interrupted(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the results are written: nothing is left of them."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("massgraph.report.results._draw", interrupt)
    labels = data / "run1.csv"
    out = tmp_path / "out"
    outcome = run("fit", data / "run1.imzML", "--labels", labels, "--out", out, "--epochs", 1)
    assert_refused(outcome, "interrupted, nothing was written", code=INTERRUPTED)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fit_can_be_resumed(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third epoch, and the same command again with --resume."""

    def interrupt(*arguments: Any) -> Any:
        if arguments[-1] == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = training._epoch
    out, kept = tmp_path / "out", tmp_path / "kept"
    words = ["fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", out]
    words += ["--effort", "thorough", "--epochs", 4, "--device", "cpu", "--checkpoint", kept]
    with monkeypatch.context() as patch:
        patch.setattr(training, "_epoch", interrupt)
        outcome = run(*words)
    wanted = f"interrupted, no results were written; add --resume to go on from {kept}"
    assert_refused(outcome, wanted, code=INTERRUPTED)
    assert not out.exists()
    assert_refused(run(*words), f"{kept} holds a checkpoint")
    assert_refused(run(*words, "--resume", "--seed", 1), "random_state 0 there, 1 now")
    outcome = run(*words, "--resume", "--json")
    assert outcome.code == 0, outcome
    assert outcome.summary["epochs"] == 4
    labels = match_labels(read_labels(data / "run1.csv"), massgraph.read_imzml(data / "run1.imzML"))
    whole = RGCNClassifier(effort="thorough", epochs=4, device="cpu").fit(
        massgraph.read_imzml(data / "run1.imzML"), labels
    )
    resumed = massgraph.load(out / "model").model_.state_dict()
    for name, value in whole.model_.state_dict().items():
        assert np.array_equal(value, resumed[name]), name


def test_checkpoints_that_make_no_sense(run: Run, data: Path, tmp_path: Path) -> None:
    words = ["fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "out"]
    assert_refused(
        run(*words, "--resume"), "--resume needs the folder to go on from: give --checkpoint"
    )
    inside = tmp_path / "out" / "kept"
    assert_refused(run(*words, "--checkpoint", inside), f"holds the checkpoint {inside}: choose")
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
    monkeypatch.setattr("massgraph.report.results._draw", fail)
    predict = ["predict", fitted / "model", data / "run1.imzML", "--out", out, "--overwrite"]
    assert_refused(run(*predict), "disk full", code=FAILED)
    assert tree(tmp_path) == before
