"""Where things are in an h5ad file, on the command line: every advice can be followed there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import cli_runs
import massgraph as mg
from cli_runs import Run, assert_refused, label_table, write_run
from massgraph.cli import program
from massgraph.cli.inputs import read_all
from massgraph.simulation.simulate import Simulation

run, simulation, data = cli_runs.run, cli_runs.simulation, cli_runs.data
fast_figures = cli_runs.fast_figures


def make(simulation: Simulation, name: str = "run1", **parts: Any) -> anndata.AnnData:
    """One run of the simulation, as other programs write it."""
    spectra = simulation.spectra[simulation.spectra.run == name]
    matrix, axis = simulation.spectra.to_matrix()
    labels = simulation.labels[simulation.spectra.run == name]
    options: dict[str, Any] = {
        "obs": pd.DataFrame({"tissue": labels}, index=[f"p{n}" for n in range(len(labels))]),
        "var": pd.DataFrame({"mz": axis}, index=[f"ion{n}" for n in range(len(axis))]),
        "obsm": {"spatial": spectra.coordinates},
        "uns": {"polarity": "positive"},
    }
    rows = simulation.spectra.run == name
    return anndata.AnnData(matrix[rows], **{**options, **parts})


def write(adata: anndata.AnnData, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


@pytest.fixture
def awkward(simulation: Simulation, tmp_path: Path) -> Path:
    """Everything in another place than one expects: nothing can be guessed."""
    one, two = make(simulation, "run1"), make(simulation, "run2")
    adata = anndata.concat([one, two], label="slice", index_unique="-", merge="same")
    adata.var["exact_mass"] = adata.var.pop("mz")
    adata.layers["raw"] = adata.X.copy()
    adata.X = None
    adata.obs["right"], adata.obs["down"] = adata.obsm.pop("spatial").T
    adata.obs["slice"] = adata.obs["slice"].astype(str)
    adata.obs["patient"] = np.where(adata.obs["slice"] == "0", "A", "B")
    adata.obs["place"] = [
        f"block {x // 4} {y // 4}" for x, y in adata.obs[["right", "down"]].to_numpy()
    ]
    return write(adata, tmp_path / "awkward.h5ad")


WHERE = ("--mz-column", "exact_mass", "--layer", "raw", "--coordinates", "right,down")


def test_advice_leads_step_by_step_to_an_answer(run: Run, awkward: Path) -> None:
    """Each message names the option that settles it, and the next one comes."""
    steps = [
        ("var has no column 'mz'; name the one with the m/z by --mz-column: ['exact_mass']", 2),
        ("X is None: name a layer by --layer, of ['raw']", 2),
        ("name two columns of obs, x first, by --coordinates, of ['right', 'down']", 2),
        ("obs['slice'] tells them apart (so does 'patient'), say --run-column slice", 2),
    ]
    words: list[str] = []
    for (message, n), at in zip(steps, range(len(steps)), strict=True):
        assert_refused(run("validate", awkward, *words), "awkward.h5ad: ", message)
        words += [*WHERE, "--run-column", "slice"][at * n : at * n + n]
    outcome = run("validate", awkward, *words, "--json")
    assert outcome.code == 0, outcome
    assert outcome.err == ""
    assert (outcome.summary["n_pixels"], outcome.summary["runs"]) == (200, ["0", "1"])


@pytest.mark.parametrize("command", ["fit", "predict", "segment", "explain", "evaluate"])
def test_every_command_takes_the_options(
    command: str,
    run: Run,
    awkward: Path,
    simulation: Simulation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    words: list[object] = [command]
    if command in ("predict", "explain"):
        model = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0)
        model.fit(simulation.spectra, simulation.labels).save(tmp_path / "model")
        words.append(tmp_path / "model")
    words += [awkward, *WHERE, "--run-column", "slice"]
    if command in ("fit", "evaluate"):
        words += ["--labels-column", "tissue", "--group-column", "place"]
    words += {"fit": ["--effort", "fast"], "segment": ["--regions", 3]}.get(command, [])
    words += ["--quick", "--seed", 0] if command == "evaluate" else []
    if command == "evaluate":
        seen: list[Any] = []
        monkeypatch.setattr(
            "massgraph.evidence.evaluate.split_tasks", lambda *a, **_: seen.append(a) or []
        )
        run(*words, "--out", tmp_path / "out")
        spectra, labels, groups = seen[0]
        assert spectra.run_names == ("0", "1")
        assert set(groups[[label is not None for label in labels]]) == set(
            anndata.read_h5ad(awkward).obs["place"]
        )
        return
    outcome = run(*words, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome
    assert outcome.summary["pixels"] == 200


# ------------------------------------------------------------------ groups


def groups_given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a fit is given for groups, of a fit that then stops."""
    found: list[Any] = []

    def fit(self: Any, X: Any, y: Any, groups: Any = None, **_: Any) -> None:
        found.extend([X, y, groups])
        msg = "enough"
        raise mg.InputError(msg)

    monkeypatch.setattr(mg.RGCNClassifier, "fit", fit)
    return found


def test_groups_of_a_table_of_labels(
    run: Run, data: Path, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = label_table(simulation)
    table["patient"] = np.where(table["x"] < 6, "A", "B")
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "labels.csv", index=False, sep=";")
    found = groups_given(monkeypatch)
    inputs = (data / "run1.imzML", data / "run2.imzML")
    words = ("--labels", tmp_path / "labels.csv", "--out", tmp_path / "out")
    assert_refused(run("fit", *inputs, *words, "--group-column", "patient"), "enough")
    spectra, labels, groups = found
    known = np.array([label is not None for label in labels])
    expected = np.where(spectra.coordinates[:, 0] < 6, "A", "B")
    assert groups[known].tolist() == expected[known].tolist()
    outcome = run("fit", *inputs, *words, "--group-column", "animal")
    assert_refused(outcome, "labels.csv, line 1: has no column 'animal', of", "'patient'")
    table.loc[table.index[3], "patient"] = ""
    table.to_csv(tmp_path / "labels.csv", index=False)
    outcome = run("fit", *inputs, *words, "--group-column", "patient")
    assert_refused(outcome, "1 labelled pixels", "have no 'patient'")
    table.assign(patient="").to_csv(tmp_path / "labels.csv", index=False)
    outcome = run("fit", *inputs, *words, "--group-column", "patient")
    assert_refused(outcome, "labels.csv: all ", " labels are missing ('')")


def test_groups_are_read_as_their_labels_are(
    run: Run, data: Path, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UTF-16, a comment, positions from 0: whatever the reader of labels takes."""
    table = label_table(simulation).query("run == 'run1'").drop(columns="run")
    table["patient"] = np.where(table["x"] < 6, "A", "B")
    table[["x", "y"]] -= 1
    text = "# of a program\n" + table.to_csv(index=False, sep=";")
    (tmp_path / "labels.csv").write_bytes(text.encode("utf-16"))
    found = groups_given(monkeypatch)
    words = ("--labels", tmp_path / "labels.csv", "--label-shift", 1, 1, "--out", tmp_path / "out")
    assert_refused(run("fit", data / "run1.imzML", *words, "--group-column", "patient"), "enough")
    spectra, labels, groups = found
    known = np.array([label is not None for label in labels])
    assert groups[known].tolist() == np.where(spectra.coordinates[known, 0] < 6, "A", "B").tolist()


def test_no_groups_unless_asked_for(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = groups_given(monkeypatch)
    run("fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "out")
    assert found[2] is None


def test_groups_that_cannot_be_split_name_the_option(
    run: Run, simulation: Simulation, tmp_path: Path
) -> None:
    adata = make(simulation)
    adata.obs["one"] = adata.obs["tissue"].astype(str)
    path = write(adata, tmp_path / "a.h5ad")
    outcome = run(
        *("fit", path, "--labels-column", "tissue", "--group-column", "one", "--effort", "fast"),
        *("--out", tmp_path / "out"),
    )
    assert_refused(outcome, "groups cannot be split", "by --group-column")


# ------------------------------------------------------------------ several files


def test_h5ad_files_are_runs_by_their_names(
    run: Run, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run1", "run2"):
        write(make(simulation, name), tmp_path / f"{name}.h5ad")
    label_table(simulation).to_csv(tmp_path / "labels.csv", index=False)
    found = groups_given(monkeypatch)
    inputs = (tmp_path / "run1.h5ad", tmp_path / "run2.h5ad")
    words = ("--labels", tmp_path / "labels.csv", "--out", tmp_path / "out")
    assert_refused(run("fit", *inputs, *words), "enough")
    assert found[0].run_names == ("run1", "run2")
    assert found[1].tolist() == simulation.labels.tolist()


def test_runs_of_one_name_in_files_of_two(simulation: Simulation, tmp_path: Path) -> None:
    for name in ("run1", "run2"):
        adata = make(simulation, name)
        adata.obs["run"] = "section"
        write(adata, tmp_path / f"{name}.h5ad")
    inputs = [str(tmp_path / f"{name}.h5ad") for name in ("run1", "run2")]
    parse = program._parser().parse_args
    with pytest.warns(UserWarning, match="a run named 'section'; they are called run1/section, r"):
        found = read_all(parse(["segment", *inputs, "--out", "x"]))
    assert found.run_names == ("run1/section", "run2/section")
    found = read_all(parse(["segment", *inputs, "--run-column", "none", "--out", "x"]))
    assert found.run_names == ("run1", "run2")


def test_imzml_has_no_place_for_columns(run: Run, data: Path, tmp_path: Path) -> None:
    outcome = run("segment", data / "run1.imzML", "--layer", "raw", "--out", tmp_path / "out")
    assert_refused(outcome, "run1.imzML: imzML has no place for --layer")
    outcome = run("validate", data / "run1.imzML", "--run-column", "sample")
    assert_refused(outcome, "run1.imzML: imzML has no place for --run-column")


def test_columns_are_for_the_h5ad_among_the_inputs(simulation: Simulation, tmp_path: Path) -> None:
    imzml = write_run(simulation, "run1", tmp_path)
    size = {"x": 20.0, "y": 20.0}
    uns = {"msi_metadata": {"ms_analysis": {"polarity": "positive", "pixel_size_um": size}}}
    adata = make(simulation, "run2", uns=uns)
    adata.var["exact_mass"] = adata.var.pop("mz")
    h5ad = write(adata, tmp_path / "run2.h5ad")
    words = ["segment", str(imzml), str(h5ad), "--mz-column", "exact_mass", "--out", "x"]
    assert read_all(program._parser().parse_args(words)).run_names == ("run1", "run2")


def test_warnings_name_the_file(run: Run, simulation: Simulation, tmp_path: Path) -> None:
    adata = make(simulation)
    adata.X = adata.X.log1p()
    adata.uns["log1p"] = {"base": None}
    outcome = run("validate", write(adata, tmp_path / "logged.h5ad"))
    assert outcome.code == 0
    assert f"warning: {tmp_path / 'logged.h5ad'}: X holds logarithms" in outcome.err


def test_a_good_file_is_read_without_a_word(
    run: Run, simulation: Simulation, tmp_path: Path
) -> None:
    outcome = run("validate", write(make(simulation), tmp_path / "good.h5ad"))
    assert (outcome.code, outcome.err) == (0, "")
