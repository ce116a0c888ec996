"""The results folder: what is in it, that it is whole or absent, and what it may replace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from massgraph.classifier import RGCNClassifier
from massgraph.explain.activation import Explanation
from massgraph.explain.faithfulness import deletion_curve
from massgraph.models import load
from massgraph.regions import SpatialRegions
from massgraph.report import results
from massgraph.report.results import NAMES, check_output, write_explanation, write_results
from massgraph.segmentation import Segmentation
from massgraph.simulation.simulate import Simulation, simulate
from region_builder import findings_of, region_segmentation

TABLES = {"ions.csv", "families.csv", "family_edges.csv"}
REGION_TABLES = {"regions.csv", "molecules.csv", "families.csv", "selection.csv"}
# What only a folder of regions holds, or one of the demo.
OF_REGIONS = (REGION_TABLES - {"families.csv"}) | {"ion_families.csv", "regions"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate("tiny", shape=(10, 10), effect=1.2)


@pytest.fixture(scope="module")
def classifier(simulation: Simulation) -> RGCNClassifier:
    spectra, labels = simulation
    return RGCNClassifier(effort="thorough", epochs=4, folds=2, augment=1, device="cpu").fit(
        spectra, labels
    )


@pytest.fixture(scope="module")
def segmentation(classifier: RGCNClassifier, simulation: Simulation) -> Segmentation:
    return classifier.segment(simulation.spectra, simulation.labels)


@pytest.fixture
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of all the rest: the folder of figures stays empty, the report is a word."""
    monkeypatch.setattr(results, "_draw", lambda _, folder: folder.mkdir())
    monkeypatch.setattr(
        results, "write_report", lambda _, path, **__: path.write_text("report", encoding="utf-8")
    )


def explanation_of(segmentation: Segmentation) -> Explanation:
    assert segmentation.explanation is not None
    return segmentation.explanation


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# ------------------------------------------------------------------------ as a user


def test_everything_is_written(
    segmentation: Segmentation,
    classifier: RGCNClassifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "N_FAMILIES", 1)
    out = tmp_path / "results"
    spectra = segmentation.spectra
    curve = deletion_curve(
        classifier, spectra, explanation_of(segmentation), fractions=(0.0, 0.1), n_random=1
    )
    write_results(segmentation, out, title="A tissue", model=classifier, deletion=curve)
    others = {"ions_by_run.csv", "benchmark.json", "cost.pdf", "cost.png"}
    assert {path.name for path in out.iterdir()} == NAMES - others - OF_REGIONS
    stems = {path.stem for path in (out / "figures").iterdir()}
    assert stems == {
        *("class", "probability", "uncertainty", "coverage", "reference", "history", "deletion"),
        *(f"activation_{name}" for name in segmentation.classes),
        *("family_1", "family_1_images"),
    }
    for stem in stems:
        assert (out / "figures" / f"{stem}.png").read_bytes().startswith(PNG)
        assert (out / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert "A tissue" in (out / "report.html").read_text(encoding="utf-8")
    probability = load(out / "model").predict_proba(spectra)
    np.testing.assert_array_equal(probability, classifier.predict_proba(spectra))


@pytest.mark.usefixtures("_no_pictures")
def test_the_model_is_left_out_where_none_is_given(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    write_results(segmentation, tmp_path / "out", title="t")
    assert not (tmp_path / "out" / "model").exists()
    assert files(tmp_path / "out") > TABLES


@pytest.mark.usefixtures("_no_pictures")
def test_tables_are_those_of_the_explanation(segmentation: Segmentation, tmp_path: Path) -> None:
    write_results(segmentation, tmp_path / "out", title="t")
    explanation = explanation_of(segmentation)
    ions = pd.read_csv(tmp_path / "out" / "ions.csv", float_precision="round_trip")
    assert ions["rank"].tolist() == list(range(1, len(explanation.mz) + 1))
    assert list(ions.columns) == list(explanation.ions.columns)
    by_mz = ions.sort_values("mz", ignore_index=True)
    np.testing.assert_allclose(by_mz["mz"], explanation.mz, rtol=0, atol=0.5001e-4)
    np.testing.assert_allclose(by_mz["score"], explanation.ions["score"], rtol=6e-4)
    families = pd.read_csv(tmp_path / "out" / "families.csv", float_precision="round_trip")
    assert families["family"].is_monotonic_increasing
    # The same ion has the same m/z in all tables: they can be joined by it.
    assert set(families["mz"]) <= set(ions["mz"])
    edges = pd.read_csv(tmp_path / "out" / "family_edges.csv")
    assert edges["relation"].tolist() == explanation.family_edges["relation"].tolist()


@pytest.mark.usefixtures("_no_pictures")
def test_the_h5ad_is_of_the_same_pixels(segmentation: Segmentation, tmp_path: Path) -> None:
    write_results(segmentation, tmp_path / "out", title="t")
    adata = anndata.read_h5ad(tmp_path / "out" / "segmentation.h5ad")
    assert adata.n_obs == segmentation.n_pixels
    assert adata.obs["massgraph_label"].astype(str).tolist() == [
        str(label) for label in segmentation.label
    ]


def test_the_explanation_alone(
    segmentation: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FORMATS", ("png",))
    monkeypatch.setattr(results, "N_FAMILIES", 1)
    out = tmp_path / "why"
    write_explanation(segmentation, out)
    assert {path.name for path in out.iterdir()} == {*TABLES, "ions_by_run.csv", "figures"}
    assert {path.name for path in (out / "figures").iterdir()} == {
        *(f"activation_{name}.png" for name in segmentation.classes),
        *("family_1.png", "family_1_images.png"),
    }
    table = pd.read_csv(out / "ions_by_run.csv")
    assert set(table["region"]) == {"run1", "run2"}
    assert set(table["class"]) <= set(segmentation.classes)
    assert (table["activation"] != 0).all()


# ------------------------------------------------------------------------ regions


def test_everything_of_regions_is_written(tmp_path: Path) -> None:
    spectra, _ = simulate("tiny", n_runs=1)
    regions = SpatialRegions(max_regions=4).fit(spectra)
    found = regions.segment(spectra)
    out = tmp_path / "regions"
    write_results(found, out, title="No labels", model=regions)
    assert {path.name for path in out.iterdir()} == {
        *REGION_TABLES,
        *("segmentation.h5ad", "report.html", "figures", "model", "coverage.csv"),
    }
    stems = {path.stem for path in (out / "figures").iterdir()}
    assert stems == {
        *(
            "class",
            "probability",
            "uncertainty",
            "coverage",
            "nested_maps",
            "selection",
            "molecules",
        ),
        *("molecule_images", "adduct_balances"),
    }
    for stem in stems:
        assert (out / "figures" / f"{stem}.png").read_bytes().startswith(PNG)
        assert (out / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert "No labels" in (out / "report.html").read_text(encoding="utf-8")
    again = load(out / "model").predict_proba(spectra)
    np.testing.assert_array_equal(again, regions.predict_proba(spectra))
    molecules = pd.read_csv(out / "molecules.csv", float_precision="round_trip")
    np.testing.assert_allclose(molecules["mz"], found.findings.molecules["mz"], atol=0.5001e-4)


@pytest.mark.usefixtures("_no_pictures")
def test_tables_of_regions_are_those_of_the_findings(tmp_path: Path) -> None:
    made = region_segmentation()
    write_results(made, tmp_path / "out", title="t")
    for name in ("regions", "molecules", "families", "selection"):
        table = pd.read_csv(tmp_path / "out" / f"{name}.csv", float_precision="round_trip")
        expected = getattr(made.findings, name)
        assert list(table.columns) == list(expected.columns)
        assert len(table) == len(expected)
        for column in expected.select_dtypes("number"):
            np.testing.assert_allclose(table[column], expected[column], rtol=6e-4)


@pytest.mark.usefixtures("_no_pictures")
def test_a_number_that_was_given_has_no_curve(tmp_path: Path) -> None:
    made = region_segmentation()
    given = replace(made, findings=replace(made.findings, selection=None))
    write_results(given, tmp_path / "out", title="t")
    assert {*REGION_TABLES} - files(tmp_path / "out") == {"selection.csv"}


@pytest.mark.usefixtures("_no_pictures")
def test_regions_that_a_classifier_was_taught_have_the_tables_of_both(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    names = [*segmentation.classes]
    findings = findings_of(np.asarray(segmentation.label.codes), names, segmentation.coordinates)
    both = replace(segmentation, findings=findings)
    write_results(both, tmp_path / "out", title="t")
    written = files(tmp_path / "out")
    assert written >= REGION_TABLES | {"ions.csv", "family_edges.csv", "ion_families.csv"}
    families = pd.read_csv(tmp_path / "out" / "families.csv")
    assert list(families.columns) == list(findings.families.columns)
    ions = pd.read_csv(tmp_path / "out" / "ion_families.csv")
    assert list(ions.columns) == list(explanation_of(segmentation).families.columns)


def test_pictures_of_regions_are_of_what_there_is() -> None:
    made = region_segmentation()

    def drawn(segmentation: Segmentation) -> list[str]:
        return names_of(results._findings_drawings(segmentation, segmentation.findings))

    every = ["molecules", "selection", "nested_maps", "molecule_images", "adduct_balances"]
    assert drawn(made) == every
    assert drawn(replace(made, coordinates=None)) == every[:2]
    none = np.empty((len(made), 0), dtype=np.float32)
    bare = {"selection": None, "images": none, "balance_images": none}
    assert drawn(replace(made, findings=replace(made.findings, **bare))) == [
        *("molecules", "nested_maps")
    ]


# ------------------------------------------------------------------------ which pictures


def names_of(drawings: Iterator[Any]) -> list[str]:
    return [name for name, _ in drawings]


def test_maps_need_coordinates(segmentation: Segmentation) -> None:
    assert names_of(results._maps(segmentation)) == [
        *("class", "probability", "uncertainty", "coverage", "reference", "history")
    ]
    cells = replace(segmentation, coordinates=None)
    assert names_of(results._maps(cells)) == ["history"]
    drawings = names_of(results._explanation_drawings(cells, explanation_of(segmentation)))
    assert not any(name.endswith("_images") for name in drawings)


def test_pictures_of_what_is_there(segmentation: Segmentation) -> None:
    bare = replace(segmentation, reference=None, history=None, coverage=None)
    assert names_of(results._maps(bare)) == ["class", "probability", "uncertainty"]


def test_pictures_of_the_first_families(
    segmentation: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    explanation = explanation_of(segmentation)
    found = explanation.families["family"].nunique()
    for most in (0, 1, 100):
        monkeypatch.setattr(results, "N_FAMILIES", most)
        names = names_of(results._explanation_drawings(segmentation, explanation))
        networks = [name for name in names if name.startswith("family") and "images" not in name]
        assert networks == [f"family_{number}" for number in range(1, min(most, found) + 1)]


def test_each_class_has_a_file_of_its_own() -> None:
    """Whatever classes are called: no path, no collision, no name that is too long."""
    classes = ("a b", "a_b", "A B", "../../etc", "", "?", "é", "x" * 500, "x" * 501, "tumour")
    names = results._file_names(classes)
    assert tuple(names) == classes
    assert names["tumour"] == "tumour"
    assert names["a b"] == "a_b"
    assert names["é"] == "é"
    assert len({name.lower() for name in names.values()}) == len(classes)
    assert all(0 < len(name) < 80 and "/" not in name for name in names.values())


# ------------------------------------------------------------------------ where it may go


def test_a_new_folder_and_an_empty_one_are_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    check_output(str(tmp_path / "empty"), overwrite=True)
    assert not (tmp_path / "new").exists()  # it is only checked


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_output("results")
    with pytest.raises(FileNotFoundError, match="is no folder: make it before writing results"):
        check_output("absent/results")


def test_results_are_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "ions.csv").write_text("old")
    with pytest.raises(FileExistsError, match=r"exists already.*--overwrite"):
        check_output(tmp_path)
    check_output(tmp_path, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", ".git", "segmentation.h5ad.bak", "IONS.CSV"])
def test_what_is_not_ours_is_never_replaced(name: str, overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "ions.csv").write_text("old")
    (tmp_path / name).write_text("precious")
    if name == "IONS.CSV" and len(list(tmp_path.iterdir())) == 1:
        pytest.skip("the file system does not tell capitals from small letters")
    with pytest.raises(FileExistsError, match="which is no result of massgraph") as error:
        check_output(tmp_path, overwrite=overwrite)
    assert name in str(error.value)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_place_for_a_folder(overwrite: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        check_output(path, overwrite=overwrite)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        check_output(path / "results", overwrite=overwrite)
    assert path.read_text() == "precious"


def test_the_writers_check_too(segmentation: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"notes\.txt"):
            write_results(segmentation, tmp_path, title="t", overwrite=overwrite)
        with pytest.raises(FileExistsError, match=r"notes\.txt"):
            write_explanation(segmentation, tmp_path, overwrite=overwrite)
    assert files(tmp_path) == {"notes.txt"}


@pytest.mark.usefixtures("_no_pictures")
def test_overwrite_leaves_nothing_of_the_old(segmentation: Segmentation, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    (out / "model" / "config.json").write_text("{}")
    write_results(segmentation, out, title="t", overwrite=True)
    assert not (out / "model").exists()
    assert (out / "report.html").read_text() == "report"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# ------------------------------------------------------------------------ whole or not at all


def test_without_an_explanation_nothing_is_written(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    bare = replace(segmentation, explanation=None)
    with pytest.raises(ValueError, match="no explanation to write"):
        write_results(bare, tmp_path / "out", title="t")
    with pytest.raises(ValueError, match="no explanation to write"):
        write_explanation(bare, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_pictures")
@pytest.mark.parametrize("step", ["_draw", "write_report", "_write_tables"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_fault_on_the_way_leaves_nothing(
    step: str,
    error: BaseException,
    segmentation: Segmentation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(results, step, fail)
    with pytest.raises(type(error)):
        write_results(segmentation, tmp_path / "out", title="t")
    assert list(tmp_path.iterdir()) == []
    old = tmp_path / "old"
    old.mkdir()
    (old / "ions.csv").write_text("old")
    with pytest.raises(type(error)):
        write_results(segmentation, old, title="t", overwrite=True)
    assert files(tmp_path) == {"old", "old/ions.csv"}
    assert (old / "ions.csv").read_text() == "old"
