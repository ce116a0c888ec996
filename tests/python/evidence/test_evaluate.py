"""Evaluation: splits, faults, scores and what is written; and its command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import massgraph as mg
from massgraph.cli import main
from massgraph.data.spectra import Spectra
from massgraph.evidence import evaluate as ev
from massgraph.pl import evaluation as draw
from massgraph.pl import training_pixels
from massgraph.report.evaluation import (
    markdown_table,
    read_evaluation,
    summary_lines,
    write_evaluation,
)
from massgraph.simulation.family_sums import PARTNERS_DA, simulate_family_sums


class Nearest(BaseEstimator):  # type: ignore[misc]
    """Says the class whose pixels have most nearly as many peaks: quick, and hurt by peak loss."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, X: Spectra, y: Any, groups: Any = None) -> Nearest:
        self.classes_ = np.unique(y)
        self.means_ = np.array([X.peak_counts[y == name].mean() for name in self.classes_])
        self.groups_ = groups
        return self

    def predict_proba(self, X: Spectra) -> np.ndarray:
        distance = np.abs(X.peak_counts[:, None] - self.means_) / self.scale
        weight = np.exp(-distance)
        return weight / weight.sum(axis=1, keepdims=True)


MAKERS = {"massgraph": lambda seed: Nearest(), "other": lambda seed: Nearest(100.0)}


@pytest.fixture(scope="module")
def tissue() -> Any:
    rng = np.random.default_rng(0)
    counts = rng.permutation(np.repeat([20, 30], 60))
    peaks = [(np.sort(rng.uniform(300, 900, n)), rng.random(n) + 0.1) for n in counts]
    spectra = Spectra.from_peaks(peaks, run=np.repeat(list("abcdef"), 20))
    return spectra, np.where(counts == 20, "few", "many")


@pytest.fixture(scope="module")
def found(tissue: Any) -> ev.Evaluation:
    tasks = list(ev.split_tasks(*tissue, folds=3, seeds=(0, 1)))
    return ev.evaluate(tasks, MAKERS, faults=ev.FAULTS)


# -------------------------------------------------------------------- tasks


def test_tasks_hold_out_whole_groups_and_all_pixels_once(tissue: Any) -> None:
    spectra, labels = tissue
    some = labels.astype(object)
    some[3] = None
    tasks = list(ev.split_tasks(spectra, some, folds=3, seeds=(5,)))
    assert len(tasks) == 3
    assert sum(len(task.test) for task in tasks) == 119
    for task in tasks:
        assert not set(task.train.run) & set(task.test.run)
        assert len(task.y_train) == len(task.groups) == len(task.train)
    assert len(list(ev.split_tasks(spectra, labels, folds=3, held_out=1))) == 5


def test_synthetic_tasks_are_of_other_runs() -> None:
    (task,) = ev.synthetic_tasks([3], shape=(8, 8), per_class=5)
    assert not set(task.train.run) & set(task.test.run)
    assert np.unique(task.y_train, return_counts=True)[1].tolist() == [5, 5, 5]
    assert 250 < np.median(task.test.peak_counts) < 950
    (again,) = ev.synthetic_tasks([3], shape=(8, 8), per_class=5)
    assert again.train.fingerprint() == task.train.fingerprint()


def test_thinned(tissue: Any) -> None:
    (task, *_) = ev.split_tasks(*tissue, folds=3, seeds=(0,))
    small = ev.thinned(task, 4)
    assert np.unique(small.y_train, return_counts=True)[1].tolist() == [4, 4]
    assert len(small.groups) == len(small.train) == 8


def test_every_fault_leaves_the_pixels(tissue: Any) -> None:
    spectra, labels = tissue
    names = [fault.name for fault in ev.FAULTS]
    assert len(set(names)) == len(names)
    for fault in ev.FAULTS:
        worse = fault.apply(spectra, labels, np.random.default_rng(0))
        assert worse.n_pixels == spectra.n_pixels
        same = worse.fingerprint() == spectra.fingerprint()
        assert same == (fault.kind == "clean") or fault.kind == "resolution"
    assert len(ev.QUICK_FAULTS) == 4


# -------------------------------------------------------------------- scores


def test_scores_tables_and_tests(found: ev.Evaluation) -> None:
    table = found.table()
    assert list(table.index) == ["massgraph", "other"]
    assert table.columns[0] == "clean"
    assert table.loc["massgraph", "clean"] == 1.0
    assert table.loc["massgraph", "keep 25 %"] == pytest.approx(0.5, abs=0.1)
    assert found.table("log_loss").loc["other", "clean"] > 0.5
    assert found.spread().loc["massgraph", "clean"] == 0
    assert found.ratio == pytest.approx(0.5)
    tests = found.tests()
    assert set(tests["model"]) == {"other"}
    assert tests.loc[tests["fault"] == "clean", "difference"].item() == 0
    n = found.confusion.query("model == 'other' and fault == 'clean'")["pixels"].sum()
    assert n == 2 * 120
    assert (found.costs["seconds"] >= 0).all()
    assert found.costs.shape == (4, 3)


def test_one_seed_has_no_spread(tissue: Any) -> None:
    tasks = list(ev.split_tasks(*tissue, folds=2, seeds=(0,)))
    one = ev.evaluate(tasks, MAKERS, faults=ev.QUICK_FAULTS)
    assert np.isnan(one.spread().to_numpy()).all()
    assert one.tests()["p"].isna().all()
    assert len(summary_lines(one)) == 4


def test_pixels_without_a_probability_are_at_chance(tissue: Any) -> None:
    class Lost(Nearest):
        def predict_proba(self, X: Spectra) -> np.ndarray:
            return np.full((len(X), 2), np.nan)

    tasks = list(ev.split_tasks(*tissue, folds=2, seeds=(0,)))
    one = ev.evaluate(tasks, {"lost": lambda seed: Lost()}, faults=ev.QUICK_FAULTS[:1])
    assert one.scores["uncertainty"].item() == pytest.approx(1)
    assert summary_lines(one) == []


def test_no_tasks_and_unknown_models(tissue: Any) -> None:
    with pytest.raises(ValueError, match="no tasks"):
        ev.evaluate([], MAKERS)
    tasks = list(ev.split_tasks(*tissue, folds=2, seeds=(0,)))
    with pytest.raises(ValueError, match="baseline 'forest' is none of"):
        ev.evaluate(tasks, ["forest"])


def test_all_models_have_names() -> None:
    names = list(ev.named_models(ev.MODELS, 4, 0.003))
    assert names[0] == "massgraph"
    assert {"shrinkage_lda", "shrinkage_lda uncalibrated", "boosting +aug", "published"} <= {*names}
    assert all(not name.endswith(("+aug", "mDa")) for name in ev.quick_models(ev.MODELS))


# -------------------------------------------------------------------- what is written


def test_the_folder(found: ev.Evaluation, tmp_path: Path) -> None:
    write_evaluation(found, tmp_path / "out", title="A <b> title", command="massgraph evaluate x")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"tables.md", "scores.csv", "evaluation.html", "evaluation.json", "figures"} <= names
    text = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "| massgraph | **1.00" in text
    assert "clean: won" in text or "clean: level" in text
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "A &lt;b&gt; title" in page
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert len(content["scores"]) == len(found.scores)
    assert len(pd.read_csv(tmp_path / "out" / "scores.csv")) == len(found.scores)
    with pytest.raises(FileExistsError):
        write_evaluation(found, tmp_path / "out", title="", command="")


def test_a_folder_reads_back(found: ev.Evaluation, tmp_path: Path) -> None:
    write_evaluation(found, tmp_path / "out", title="", command="")
    again = read_evaluation(tmp_path / "out")
    assert (again.classes, again.ratio) == (found.classes, found.ratio)
    pd.testing.assert_frame_equal(again.scores, found.scores)
    pd.testing.assert_frame_equal(again.confusion, found.confusion)
    pd.testing.assert_frame_equal(again.tests(), found.tests())
    assert summary_lines(again) == summary_lines(found)
    assert again.contributions.empty


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("evaluation.json", "{", "is no folder of `massgraph evaluate`"),
        ("evaluation.json", "[]", "is no folder of `massgraph evaluate`"),
        ("evaluation.json", "{}", "'classes'"),
        ("scores.csv", "a,b\n1,2\n", "is no folder of `massgraph evaluate`"),
    ],
)
def test_folders_of_something_else_are_refused(
    name: str, text: str, message: str, found: ev.Evaluation, tmp_path: Path
) -> None:
    write_evaluation(found, tmp_path / "out", title="", command="")
    (tmp_path / "out" / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_evaluation(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"evaluation\.json is missing"):
        read_evaluation(tmp_path / "none")


def test_the_best_of_a_column_is_bold() -> None:
    table = pd.DataFrame({"clean": [0.9, 0.8], "loss": [1.5, 0.2]}, index=["a", "b"])
    lines = markdown_table(table).split("\n")
    assert lines[2] == "| a | **.900** | **1.50** |"
    table.columns.name = "low is good"
    assert markdown_table(table).split("\n")[3] == "| b | **.800** | **.200** |"


def test_curves(found: ev.Evaluation) -> None:
    figure = draw(found.scores)
    assert len(figure.axes) == found.scores["kind"].nunique() - 1
    with pytest.raises(ValueError, match="no column 'kind'"):
        draw(found.scores.drop(columns="kind"))
    with pytest.raises(ValueError, match="only clean spectra"):
        draw(found.scores[found.scores["kind"] == "clean"])


@pytest.mark.parametrize(("score", "best"), [("auc", "m9"), ("calibration_error", "m0")])
def test_the_best_models_are_drawn(score: str, best: str) -> None:
    rows = [
        {
            "seed": 0,
            "model": f"m{place}",
            "fault": fault,
            "kind": fault,
            "strength": 1.0,
            score: 0.1 * place,
        }
        for place in range(10)
        for fault in ("clean", "jitter")
    ]
    axes = draw(pd.DataFrame(rows), score=score).axes[0]
    assert axes.get_legend_handles_labels()[1][0] == best


# -------------------------------------------------------------------- the sum over a family


def test_only_the_sum_over_the_family_differs() -> None:
    spectra, labels = simulate_family_sums(150, n_families=10, random_state=1)
    assert np.unique(labels, return_counts=True)[1].tolist() == [150, 150]
    matrix, mz = spectra.to_matrix(20.0)
    assert len(mz) == 40
    log = np.log(matrix.toarray() + 1)
    high = labels == "high"
    effect = np.abs(log[high].mean(axis=0) - log[~high].mean(axis=0)) / log.std(axis=0)
    family = [
        k
        for k in range(40)
        if np.isclose(
            mz[k] - mz[effect.argmax()],
            np.subtract.outer(PARTNERS_DA, PARTNERS_DA).ravel(),
            atol=0.01,
        ).any()
    ]
    total = np.log(matrix.toarray()[:, family].sum(axis=1))
    together = abs(total[high].mean() - total[~high].mean()) / total.std()
    assert together > 1.5 * effect.max()
    other, _ = simulate_family_sums(5, n_families=10, random_state=2)
    assert np.abs(other.to_matrix(20.0)[1] - mz).max() < 0.01
    with pytest.raises(ValueError, match="n_runs is 0"):
        simulate_family_sums(5, n_runs=0)


def test_family_tasks() -> None:
    (task,) = ev.family_tasks([0], per_class=4, n_families=6)
    assert len(task.train) == 8
    assert len(task.test) == 400
    assert task.train.peak_counts.tolist() == [24] * 8


# -------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def h5ad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import anndata

    spectra, labels = mg.simulate("tiny", n_runs=3)
    matrix, mz = spectra.to_matrix()
    obs = pd.DataFrame(
        {"region": pd.Categorical(labels), "run": np.asarray(spectra.run)},
        index=[str(i) for i in range(len(labels))],
    )
    adata = anndata.AnnData(matrix, obs=obs, var=pd.DataFrame({"mz": mz}, index=mz.astype(str)))
    adata.obsm["spatial"] = spectra.coordinates
    path = tmp_path_factory.mktemp("data") / "run.h5ad"
    adata.write_h5ad(path)
    return path


def test_the_command(h5ad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(h5ad), "--labels-column", "region", "--quick", "--folds", "2"]
    words += ["--models", "massgraph", "shrinkage_lda", "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["balanced_accuracy_clean"]["massgraph"] > 0.5
    assert (tmp_path / "out" / "evaluation.html").is_file()
    fit = ["fit", str(h5ad), "--labels-column", "region", "--epochs", "1"]
    fit += ["--evaluation", str(tmp_path / "out"), "--out", str(tmp_path / "results")]
    assert main(fit) == 0
    report = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert '<table id="rivals">' in report
    capsys.readouterr()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "out" / "mine.txt").write_text("x")
    assert main([*words, "--overwrite"]) == 2
    assert "holds mine.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--synthetic", "tissue", "x.imzML"], "without any"),
        (["--labels", "labels.csv"], "needs input files"),
        (["--synthetic", "tissue", "--seeds", "0"], "--seeds 0 must be 1 or more"),
        (["--synthetic", "family", "--folds", "1"], "--folds 1 2 or more"),
    ],
)
def test_commands_that_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_curves_over_the_number_of_training_pixels() -> None:
    scores = pd.DataFrame(
        [
            {
                "seed": seed,
                "model": model,
                "fault": fault,
                "kind": fault,
                "strength": 0.0,
                "per_class": count,
                "balanced_accuracy": 0.5 + 0.1 * np.log10(count) + 0.01 * seed,
            }
            for seed in (0, 1)
            for model in ("massgraph", "svm")
            for fault in ("clean", "keep 50 %")
            for count in (100, 10, 30)
        ]
    )
    figure = training_pixels(scores)
    assert [axes.get_title() for axes in figure.axes] == ["clean", "keep 50 %"]
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(orig=False), 0.505 + 0.1 * np.log10([10, 30, 100]))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["10", "30", "100"]
    with pytest.raises(ValueError, match="no column 'per_class'"):
        training_pixels(scores.drop(columns="per_class"))
