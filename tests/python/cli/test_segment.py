"""``massgraph segment``: regions without labels on the command line."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import cli_runs
import massgraph as mg
from cli_runs import Run, assert_refused, tree
from imzml_builder import Builder, Pixel
from massgraph.cli import inputs, main
from massgraph.learn.region_search import CHOICES
from massgraph.simulation.simulate import Simulation

run, simulation, data = cli_runs.run, cli_runs.simulation, cli_runs.data
fast_figures = cli_runs.fast_figures

FILES = {
    *("model", "segmentation.h5ad", "regions.csv", "molecules.csv", "families.csv"),
    "coverage.csv",
    *("selection.csv", "report.html", "figures"),
}


@pytest.fixture(scope="module")
def segmented(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one run, made once; tests only read them."""
    out = tmp_path_factory.mktemp("segmented") / "regions"
    arguments = ["segment", data / "run1.imzML", "--out", out, "--max-regions", 4]
    assert main([*map(str, arguments)]) == 0
    return out


@pytest.fixture(scope="module")
def estimator(data: Path) -> mg.SpatialRegions:
    return mg.SpatialRegions(max_regions=4).fit(mg.read_imzml(data / "run1.imzML"))


# -------------------------------------------------------------------- what is written


def test_the_folder_holds_what_the_help_names(
    segmented: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.name for path in segmented.iterdir()} == FILES
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    text = capsys.readouterr().out
    for name in FILES:
        assert name in text
    assert max(map(len, text.splitlines())) <= 100


def test_it_is_what_python_finds(segmented: Path, estimator: mg.SpatialRegions) -> None:
    adata = anndata.read_h5ad(segmented / "segmentation.h5ad")
    np.testing.assert_array_equal(adata.obs["massgraph_label"].cat.codes, estimator.labels_)
    regions = pd.read_csv(segmented / "regions.csv")
    assert regions["region"].tolist() == list(estimator.region_model_.names)
    assert regions["n_pixels"].tolist() == np.bincount(estimator.labels_).tolist()
    assert regions["verdict"].notna().all()
    curve = pd.read_csv(segmented / "selection.csv")
    assert curve["n_regions"].tolist() == estimator.selection_["n_regions"].tolist()
    molecules = pd.read_csv(segmented / "molecules.csv")
    assert {"region", "mz", "effect", "direction", "fdr"} <= set(molecules)
    assert set(molecules["region"]) == set(regions["region"])


def test_the_model_finds_the_regions_of_the_run_again(
    segmented: Path, estimator: mg.SpatialRegions, data: Path
) -> None:
    model = mg.load(segmented / "model")
    assert isinstance(model, mg.SpatialRegions)
    found = model.predict_proba(mg.read_imzml(data / "run1.imzML"))
    np.testing.assert_array_equal(found, estimator.probabilities_)


def test_the_summary_says_it_in_words(
    run: Run, data: Path, tmp_path: Path, estimator: mg.SpatialRegions
) -> None:
    outcome = run(
        *("segment", data / "run1.imzML", "--labels", data / "run1.csv", "--max-regions", 4),
        *("--out", tmp_path / "regions", "--json"),
    )
    assert outcome.code == 0, outcome
    summary = outcome.summary
    names = list(estimator.region_model_.names)
    assert summary["pixels"] == len(estimator.labels_)
    assert list(summary["regions"]) == list(summary["verdicts"]) == names
    assert list(summary["defining_molecules"]) == names
    assert sum(summary["regions"].values()) == summary["pixels"]
    assert isinstance(summary["cautions"], list)
    assert -0.5 <= summary["adjusted_rand_index"] <= 1
    adata = anndata.read_h5ad(tmp_path / "regions" / "segmentation.h5ad")
    given = pd.read_csv(data / "run1.csv")["label"]
    assert adata.obs["massgraph_reference"].notna().sum() == len(given)


def test_several_files_are_several_runs_with_the_same_regions(
    run: Run, data: Path, tmp_path: Path
) -> None:
    outcome = run(
        *("segment", data / "run1.imzML", data / "run2.imzML", "--regions", 3),
        *("--seed", 5, "--run-offsets", "--out", tmp_path / "regions"),
    )
    assert outcome.code == 0, outcome
    assert "regions" in outcome.out
    adata = anndata.read_h5ad(tmp_path / "regions" / "segmentation.h5ad")
    assert adata.obs["run"].unique().tolist() == ["run1", "run2"]
    model = mg.load(tmp_path / "regions" / "model")
    assert (model.n_regions, model.run_offsets, model.random_state) == (3, True, 5)
    assert not (tmp_path / "regions" / "selection.csv").exists()


def test_all_settings_reach_the_model(run: Run, data: Path, tmp_path: Path) -> None:
    outcome = run(
        *("segment", data / "run1.imzML", "--out", tmp_path / "regions", "--regions", 2),
        *("--features", "ions", "--covariance", "shared", "--radius", 2, "--no-neighbours"),
    )
    assert outcome.code == 0, outcome
    found = mg.load(tmp_path / "regions" / "model").get_params()
    wanted = {"features": "ions", "covariance": "shared", "radius": 2.0, "spatial": False}
    assert {name: found[name] for name in wanted} == wanted


# -------------------------------------------------------------------- other inputs


def test_h5ad_and_continuous_imzml(
    run: Run, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.report.results._draw", lambda *_: None)
    monkeypatch.setattr("massgraph.report.results.write_report", lambda *_, **__: None)
    spectra = simulation.spectra[np.flatnonzero(simulation.spectra.run == "run1")]
    matrix, axis = spectra.to_matrix()
    aligned = mg.Spectra.from_matrix(
        matrix, axis, coordinates=spectra.coordinates, polarity="positive"
    )
    pixels = [
        Pixel(int(x), int(y), tuple(axis), tuple(map(float, row)))
        for (x, y), row in zip(spectra.coordinates, matrix.toarray(), strict=True)
    ]
    Builder(pixels=pixels, layout="continuous", polarity="positive").write(tmp_path, "aligned")
    mg.Segmentation.from_probability(aligned, "a", [[1.0]] * len(aligned)).write_h5ad(
        tmp_path / "aligned.h5ad"
    )
    found = {}
    for ending in ("imzML", "h5ad"):
        outcome = run(
            *("segment", tmp_path / f"aligned.{ending}", "--regions", 3),
            *("--out", tmp_path / ending),
        )
        assert outcome.code == 0, outcome
        adata = anndata.read_h5ad(tmp_path / ending / "segmentation.h5ad")
        found[ending] = adata.obs["massgraph_label"].cat.codes.to_numpy()
    np.testing.assert_array_equal(found["imzML"], found["h5ad"])
    wanted = mg.SpatialRegions(n_regions=3).fit(aligned).labels_
    np.testing.assert_array_equal(found["h5ad"], wanted)


def test_large_files_are_read_block_by_block(
    run: Run,
    data: Path,
    segmented: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "LARGE", 10)
    outcome = run("segment", data / "run1.imzML", "--out", tmp_path / "blocks", "--max-regions", 4)
    assert outcome.code == 0, outcome
    whole = anndata.read_h5ad(segmented / "segmentation.h5ad").obs
    blocks = anndata.read_h5ad(tmp_path / "blocks" / "segmentation.h5ad").obs
    assert blocks["massgraph_label"].tolist() == whole["massgraph_label"].tolist()
    assert {path.name for path in (tmp_path / "blocks").iterdir()} == FILES


# -------------------------------------------------------------------- with the model


def test_other_runs_get_the_regions_of_the_model(
    run: Run, segmented: Path, data: Path, tmp_path: Path
) -> None:
    outcome = run(
        *("predict", segmented / "model", data / "run2.imzML"),
        *("--out", tmp_path / "other", "--json"),
    )
    assert outcome.code == 0, outcome
    assert {path.name for path in (tmp_path / "other").iterdir()} == FILES - {"model"}
    adata = anndata.read_h5ad(tmp_path / "other" / "segmentation.h5ad")
    wanted = mg.load(segmented / "model").predict(mg.read_imzml(data / "run2.imzML"))
    np.testing.assert_array_equal(adata.obs["massgraph_label"].cat.codes, wanted)
    assert list(outcome.summary["verdicts"]) == list(outcome.summary["regions"])


def test_explain_needs_a_classifier(run: Run, segmented: Path, data: Path, tmp_path: Path) -> None:
    outcome = run("explain", segmented / "model", data / "run1.imzML", "--out", tmp_path / "why")
    assert_refused(outcome, "holds regions that were found without labels", "massgraph predict")
    assert not (tmp_path / "why").exists()


def test_pixels_of_the_other_polarity_are_refused(
    run: Run, segmented: Path, simulation: Simulation, tmp_path: Path
) -> None:
    path = cli_runs.write_run(simulation, "run1", tmp_path, "negative", polarity="negative")
    outcome = run("predict", segmented / "model", path, "--out", tmp_path / "other")
    assert_refused(outcome, "negative.imzML is of negative polarity", "fitted to positive")


# -------------------------------------------------------------------- what cannot be done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--regions", "none"], "'none' is no whole number of 1 or more, nor auto"),
        (["--regions", "0"], "'0' is no whole number"),
        (["--max-regions", "2.5"], "'2.5' is no whole number"),
        (["--radius", "0.5"], "'0.5' is below 1 pixel"),
        (["--radius", "nan"], "'nan' is below 1 pixel"),
        (["--features", "colours"], "invalid choice: 'colours'"),
        (["--covariance", "full"], "invalid choice: 'full'"),
        (["--labels", "a.csv", "--labels-column", "b"], "not allowed with"),
    ],
)
def test_wrong_words(
    words: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["segment", str(data / "run1.imzML"), "--out", str(tmp_path / "out"), *words])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["features", "covariance"])
def test_the_words_of_an_option_are_those_of_python(
    option: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["segment", str(data / "run1.imzML"), "--out", str(tmp_path), f"--{option}", "none"])
    said = capsys.readouterr().err.rsplit("choose from", 1)[1]
    assert [word.strip(" ')\n") for word in said.split(",")] == list(CHOICES[option])


def test_more_regions_than_pixels(run: Run, data: Path, tmp_path: Path) -> None:
    outcome = run("segment", data / "run1.imzML", "--regions", 5000, "--out", tmp_path / "out")
    assert_refused(outcome, "5000 regions need as many pixels")
    assert list(tmp_path.iterdir()) == []


def test_pixels_without_places(run: Run, tmp_path: Path) -> None:
    spectra = mg.simulate("tiny", n_runs=1).spectra
    nowhere = mg.Spectra(spectra.mz, spectra.intensity, spectra.offsets, polarity="positive")
    mg.Segmentation.from_probability(nowhere, "a", [[1.0]] * len(nowhere)).write_h5ad(
        tmp_path / "cells.h5ad"
    )
    outcome = run("segment", tmp_path / "cells.h5ad", "--out", tmp_path / "out")
    assert_refused(outcome, "cells.h5ad: the pixels have no coordinates: add --no-neighbours")
    outcome = run(
        *("segment", tmp_path / "cells.h5ad", "--out", tmp_path / "out"),
        *("--no-neighbours", "--regions", 3),
    )
    assert outcome.code == 0, outcome


def test_labels_that_cannot_be_matched(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("x,y,label\n900,900,a\n", encoding="utf-8")
    outcome = run(
        *("segment", data / "run1.imzML", "--labels", tmp_path / "labels.csv"),
        *("--out", tmp_path / "out"),
    )
    assert_refused(outcome, "labels.csv")


def test_results_never_replace_what_is_there(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work", encoding="utf-8")
    before = tree(tmp_path)
    outcome = run("segment", data / "run1.imzML", "--out", out, "--overwrite")
    assert_refused(outcome, "holds thesis.txt")
    outcome = run("segment", tmp_path / "absent.imzML", "--out", tmp_path / "new")
    assert_refused(outcome, "absent.imzML")
    assert tree(tmp_path) == before


def test_results_replace_results_where_asked(
    run: Run, data: Path, segmented: Path, tmp_path: Path
) -> None:
    import shutil

    out = Path(shutil.copytree(segmented, tmp_path / "out"))
    assert_refused(run("segment", data / "run1.imzML", "--out", out), "exists already")
    assert_refused(
        run("predict", out / "model", data / "run2.imzML", "--out", out, "--overwrite"),
        "which is an input",
    )
    outcome = run("segment", data / "run1.imzML", "--out", out, "--overwrite", "--regions", 2)
    assert outcome.code == 0, outcome
    assert mg.load(out / "model").n_regions_ == 2
