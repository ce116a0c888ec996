"""The HTML report: complete, true to the data, safe, and one file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.report.page import write_report
from massgraph.segmentation import Segmentation
from report_page import (
    Page,
    assert_needs_nothing_but_itself,
    assert_pictures_are_whole,
    evaluation,
    number,
    page,
    small,
    without_explanation,
)

NASTY = '<b>muscle</b> & "bone" $x_1$'
SECTIONS = [
    "summary",
    "segmentation",
    "reading",
    "confidence",
    "learning",
    "agreement",
    "activation",
    "families",
    "deletion",
    "evaluation",
    "settings",
]


@pytest.fixture(scope="module")
def fitted() -> Segmentation:
    """Two simulated runs, really segmented; one class has a name that is not safe to print."""
    spectra, labels = mg.simulate("tiny")
    labels = np.array([NASTY if label == "muscle" else label for label in labels], dtype=object)
    classifier = mg.RGCNClassifier(branches=("relational",), folds=1, epochs=2, augment=1).fit(
        spectra, labels
    )
    return classifier.segment(spectra, labels)


@pytest.fixture(scope="module")
def curve() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "fraction_removed": [0.0, 0.1, 0.2],
            "score_top": [-0.1, -1.5, -2.25],
            "score_random_mean": [-0.1, -0.11, -0.125],
            "score_random_sd": [0.0, 0.01, 0.01],
        }
    )


@pytest.fixture(scope="module")
def full(
    fitted: Segmentation,
    curve: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Page:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(fitted, path, title="Mouse <kidney> & co", deletion=curve, evaluation=evaluation())
    return Page(path)


# ------------------------------------------------------------------ the whole page


def test_has_every_section_in_order(full: Page) -> None:
    assert full.sections == SECTIONS
    assert all(full.text(name) for name in SECTIONS)
    assert "Left out" not in " ".join(full.text(name) for name in SECTIONS)


def test_is_an_html_page_in_english(full: Page) -> None:
    assert full.raw.startswith("<!DOCTYPE html>\n")
    assert ("html", {"lang": "en"}) in full.tags
    assert ("meta", {"charset": "utf-8"}) in full.tags
    # browsers look for the encoding in the first kilobyte
    assert full.raw.index("charset") < 1024
    assert full.raw.endswith("</html>\n")


def test_needs_nothing_but_itself(full: Page) -> None:
    assert_needs_nothing_but_itself(full)


def test_pictures_are_whole_and_described(full: Page) -> None:
    assert_pictures_are_whole(full)


def test_number_of_pictures(full: Page, fitted: Segmentation) -> None:
    counts = {name: len(found) for name, found in full.images.items()}
    n_families = min(fitted.explanation.families["family"].nunique(), 6)
    assert counts == {
        "segmentation": 2,
        "confidence": 3,
        "learning": 1,
        "activation": len(fitted.classes),
        "families": 2 * n_families,
        "deletion": 1,
        "evaluation": 1,
    }


def test_is_laid_out_for_paper(full: Page) -> None:
    style = full.raw[full.raw.index("<style>") : full.raw.index("</style>")]
    assert "size: A4" in style
    printed = style[style.index("@media print") :]
    assert "break-inside: avoid" in printed
    assert "table-header-group" in printed
    figures = [tag for tag, _ in full.tags if tag in {"figure", "figcaption", "img"}]
    assert figures.count("figure") == figures.count("figcaption") == figures.count("img")


def test_unsafe_text_is_shown_and_not_obeyed(full: Page) -> None:
    assert "b" not in {tag for tag, _ in full.tags}
    assert "<kidney>" not in full.raw
    assert "<title>Mouse &lt;kidney&gt; &amp; co</title>" in full.raw
    assert NASTY in full.text("summary")
    assert any(NASTY in cell for row in full.table("metrics") for cell in row)
    assert any(NASTY in image["alt"] for image in full.images["activation"])


def test_how_to_read(full: Page) -> None:
    text = full.text("reading")
    assert 4 <= sum(tag == "li" for tag, _ in full.tags) <= 6
    for word in ("not an identification", "sum exactly", "Uncertainty", "labels", "Roles"):
        assert word in text


# ------------------------------------------------------------------ numbers are those of the data


def test_summary_numbers(full: Page, fitted: Segmentation) -> None:
    text = full.text("summary")
    assert f"{fitted.n_pixels} pixels of 2 runs (run1, run2)" in text
    assert "sorted into 3 classes" in text
    for name, count in fitted.counts().items():
        assert f"{name} ({count} pixels, {100 * count / fitted.n_pixels:.0f} %)" in text
    mz = fitted.spectra.mz
    assert f"{mz.size:,} peaks" in text
    assert f"m/z {mz.min():.4f} to {mz.max():.4f}" in text
    assert "positive ion mode" in text
    assert f"{fitted.uncertainty.mean():.2f} on a scale" in text


def test_summary_says_how_well(full: Page, fitted: Segmentation) -> None:
    text = full.text("summary")
    labelled = fitted.reference.codes >= 0
    held_out = labelled & fitted.validation
    assert f"{held_out.sum()} labelled pixels held out" in text
    assert f"the balanced accuracy is {fitted.balanced_accuracy(held_out):.3f}" in text
    assert "chance: 0.33" in text
    assert "a little too good" in text
    assert f"is {fitted.balanced_accuracy(labelled & fitted.training):.3f}: that is no evid" in text


def test_metrics_table(full: Page, fitted: Segmentation) -> None:
    head, *rows = full.table("metrics")
    assert head[:5] == ["run", "pixels", "labelled", "balanced accuracy", "mean uncertainty"]
    assert head[5:] == [f"found of {name}" for name in fitted.classes]
    metrics = fitted.metrics()
    assert [row[:2] for row in rows] == metrics[["run", "subset"]].to_numpy().tolist()
    shown = np.array([[number(cell) for cell in row[2:]] for row in rows])
    np.testing.assert_allclose(shown, metrics.iloc[:, 2:].to_numpy(float), atol=5.1e-4)


def test_confusion_table_is_of_the_best_evidence(full: Page, fitted: Segmentation) -> None:
    mask = (fitted.reference.codes >= 0) & fitted.validation
    head, *rows = full.table("confusion")
    assert head == ["label given", *fitted.classes, "labelled", "share found"]
    confusion = fitted.confusion(mask)
    assert [row[0] for row in rows] == list(confusion.index)
    shown = np.array([[number(cell) for cell in row[1:-2]] for row in rows])
    np.testing.assert_array_equal(shown, confusion.to_numpy())
    assert sum(number(row[-2]) for row in rows) == mask.sum()
    np.testing.assert_allclose([number(row[-1]) for row in rows], fitted.recall(mask), atol=5.1e-4)


def test_family_tables(full: Page, fitted: Segmentation) -> None:
    families = fitted.explanation.families
    tables = full.family_tables()
    assert len(tables) == min(families["family"].nunique(), 6)
    columns = [f"{kind}_{name}" for kind in ("activation", "intensity") for name in fitted.classes]
    for n, (_, head, *rows) in enumerate(tables, start=1):
        ions = families[families["family"] == n].head(12)
        assert head == ["m/z", "role", "neutral mass", "adduct", *fitted.classes * 2]
        assert [row[0] for row in rows] == [f"{mz:.4f}" for mz in ions["mz"]]
        assert [row[1] for row in rows] == ions["role"].tolist()
        assert [row[3] for row in rows] == [adduct or "–" for adduct in ions["adduct"]]
        masses = [number(row[2]) for row in rows]
        np.testing.assert_allclose(masses, ions["neutral_mass"].to_numpy(float), atol=5.1e-5)
        shown = np.array([[number(cell) for cell in row[4:]] for row in rows])
        for kind, factor in ((slice(0, 3), 1), (slice(3, 6), 100)):  # shares in per cent
            values = factor * ions[columns[kind]].to_numpy(float)
            np.testing.assert_allclose(shown[:, kind], values, atol=6e-3 * np.abs(values).max())


def test_family_headings(full: Page, fitted: Segmentation) -> None:
    text = full.text("families")
    families = fitted.explanation.families
    first = families[families["family"] == 1]
    way = {"more": "for", "less": "whose absence speaks for"}[first["direction"].iloc[0]]
    assert f"Family 1, {way} class {first['class'].iloc[0]}" in text
    share = 100 * first["family_score"].iloc[0]
    assert f"{len(first)} ions that carry {share:.1f} % of all" in text
    assert share == pytest.approx(100 * first["score"].sum())


def test_deletion_is_drawn_and_said(full: Page) -> None:
    text = full.text("deletion")
    assert "With 20 % of the peaks removed" in text
    assert "from −0.10 to −2.25" in text
    assert "to −0.13 without random ones" in text or "to −0.12 without random ones" in text
    assert "indeed" in text


def test_parameters_and_versions(full: Page, fitted: Segmentation) -> None:
    rows = dict(map(tuple, full.table("parameters")))  # type: ignore[arg-type]
    assert set(rows) == set(fitted.parameters) - {"relations"}
    assert float(rows["tolerance"]) == pytest.approx(fitted.parameters["tolerance"], rel=1e-3)
    assert rows["tolerance_unit"] == "ppm"
    assert rows["directed"] == "yes"
    assert rows["mz_range"] == "none"
    assert rows["hidden"] == "8, 16"
    assert float(rows["learning_rate"]) == fitted.parameters["learning_rate"]
    text = full.text("settings")
    assert ", ".join(fitted.parameters["relations"]) in text
    for name, version in fitted.versions.items():
        assert f"{name} {version}" in text


def test_learning_curve_names_the_epoch_kept(full: Page, fitted: Segmentation) -> None:
    kept = fitted.history.loc[fitted.history["best"], "epoch"].iloc[-1]
    assert f"over 2 epochs; the model of epoch {kept} was kept" in full.text("learning")


def test_the_curve_of_several_networks_names_no_epoch(fitted: Segmentation, tmp_path: Path) -> None:
    shown = page(replace(fitted, history=fitted.history.assign(best=False)), tmp_path)
    text = shown.text("learning")
    assert "mean of the networks, each of which kept its own best epoch" in text
    assert "was kept" not in text


# ------------------------------------------------------------------ beside other models


def test_the_best_other_model_is_named_fault_by_fault(full: Page) -> None:
    assert full.table("rivals")[1:] == [
        ["clean", "0.899", "0.909", "lda", "−1.0", "lost"],
        ["keep 50 %", "0.809", "0.499", "lda", "31.0", "won"],
    ]
    assert "1 other model" in full.text("evaluation")
    assert "2 seeds" in full.text("evaluation")


def test_without_an_evaluation_it_says_how_to_get_one(fitted: Segmentation, tmp_path: Path) -> None:
    assert "massgraph fit --evaluation" in page(fitted, tmp_path).text("evaluation")


# ------------------------------------------------------------------ what the accuracy is worth


def test_unseen_pixels_come_first(fitted: Segmentation, tmp_path: Path) -> None:
    other = fitted.run == "run2"
    changed = without_explanation(
        fitted, training=fitted.training & ~other, validation=fitted.validation & ~other
    )
    shown = page(changed, tmp_path)
    unseen = other & (fitted.reference.codes >= 0)
    text = shown.text("summary")
    value = f"{fitted.balanced_accuracy(unseen):.3f}"
    assert f"took no part in the training, the balanced accuracy is {value}" in text
    assert "held out to stop the training, it is" in text
    assert text.count("chance") == 1
    assert f"{unseen.sum()} labelled pixels that took no part" in shown.text("agreement")
    rows = shown.table("confusion")[1:]
    assert sum(number(row[-2]) for row in rows) == unseen.sum()


def test_pixels_that_neighbours_decided_are_said(fitted: Segmentation, tmp_path: Path) -> None:
    decided = np.arange(fitted.n_pixels) < 3
    said = "3 pixels got the class of the neighbourhood"
    assert said in page(replace(fitted, by_neighbours=decided), tmp_path).text("summary")
    none = replace(fitted, by_neighbours=np.zeros(fitted.n_pixels, dtype=bool))
    for number_, found in enumerate([none, replace(fitted, by_neighbours=None)]):
        folder = tmp_path / str(number_)
        folder.mkdir()
        assert "neighbourhood" not in page(found, folder).text("summary")


def test_model_trained_on_other_pixels(fitted: Segmentation, tmp_path: Path) -> None:
    shown = page(without_explanation(fitted, training=None, validation=None), tmp_path)
    text = shown.text("summary")
    n = (fitted.reference.codes >= 0).sum()
    assert "The model was trained on other pixels." in text
    assert f"On {n} pixels labelled here, the balanced accuracy is" in text
    assert "none of which the model was trained on" in shown.text("agreement")
    assert "the model did not learn from them" in shown.text("segmentation")


def test_training_pixels_alone_are_no_evidence(fitted: Segmentation, tmp_path: Path) -> None:
    everything = np.ones(fitted.n_pixels, dtype=bool)
    shown = page(without_explanation(fitted, training=everything, validation=~everything), tmp_path)
    assert "no evidence" in shown.text("summary")
    assert "No labelled pixel was kept out of the training" in shown.text("summary")
    assert "held out to stop" not in shown.text("summary")
    assert "trained on every one, so this is no evidence" in shown.text("agreement")


def test_classes_without_labels_are_named(tmp_path: Path) -> None:
    reference = ["c0", "c1"] + [None] * 10
    text = page(small(3, reference=reference), tmp_path).text("summary")
    assert "is 1.000, over the classes that are labelled there (not c2) (chance: 0.33)" in text


def test_labels_of_no_class_and_pixels_without_peaks(tmp_path: Path) -> None:
    reference = ["c0", "c0", "other", *[None] * 9]
    shown = page(small(2, reference=reference, empty=[0]), tmp_path)
    assert "1 pixel without peaks got no class" in shown.text("summary")
    head, *rows = shown.table("confusion")
    assert head == ["label given", "c0", "c1", "no peaks", "labelled", "share found"]
    assert rows == [
        ["c0", "0", "1", "1", "2", "0.000"],
        ["other", "1", "0", "0", "1", "0.000"],
    ]


def test_many_classes_are_numbered(tmp_path: Path) -> None:
    names = [f"c{index}" for index in range(12)]
    shown = page(small(12, reference=names), tmp_path)
    head, *rows = shown.table("confusion")
    assert head[1:13] == [str(n) for n in range(1, 13)]
    assert [row[0] for row in rows] == [f"{n} c{n - 1}" for n in range(1, 13)]
    assert len(shown.table("metrics")[0]) == 5, "one column for each of 12 classes is too wide"


# ------------------------------------------------------------------ what is missing is left out


def test_nothing_but_classes(tmp_path: Path) -> None:
    shown = page(replace(small(), coordinates=None, versions={}), tmp_path)
    assert not shown.images
    assert shown.tables == []
    assert "the pixels have no coordinates" in shown.text("segmentation")
    assert "confidence" not in shown.sections
    assert "no pixel has a label" in shown.text("agreement")
    assert "no network was trained" in shown.text("learning")
    assert "made without an explanation" in shown.text("activation")
    assert "families" not in shown.sections
    assert "was not measured" in shown.text("deletion")
    assert "The parameters of the model are not known." in shown.text("settings")
    summary = shown.text("summary")
    assert "of unknown polarity" in summary
    assert "No labels were given" in summary
    assert "chance" not in summary


def test_without_labels_there_is_one_map(tmp_path: Path) -> None:
    shown = page(small(), tmp_path)
    assert len(shown.images["segmentation"]) == 1
    assert "No labels were given, so there is no map of them." in shown.text("segmentation")


def test_labels_that_are_all_missing_are_no_labels(tmp_path: Path) -> None:
    shown = page(small(reference=[None] * 12), tmp_path)
    assert "No labels were given" in shown.text("summary")
    assert len(shown.images["segmentation"]) == 1


def test_maps_of_a_single_run_stand_side_by_side(tmp_path: Path) -> None:
    shown = page(small(reference=["c0"] * 12), tmp_path)
    assert ("div", {"class": "pair"}) in shown.tags
    assert len(shown.images["segmentation"]) == 2
    assert max(float(image["width"]) for image in shown.images["segmentation"]) <= 3.5


def test_pixels_in_one_place_are_not_drawn_but_reported(tmp_path: Path) -> None:
    segmentation = small()
    shown = page(replace(segmentation, coordinates=np.ones((12, 2))), tmp_path)
    assert "several pixels of run 'slide' are at (1, 1)" in shown.text("segmentation")
    assert not shown.images


def test_families_without_a_place(fitted: Segmentation, tmp_path: Path) -> None:
    shown = page(replace(fitted, coordinates=None), tmp_path, n_families=1)
    assert len(shown.images["families"]) == 1, "the network alone"
    n = fitted.explanation.families["family"].nunique()
    assert f"The family that weighs most, of {n}." in shown.text("families")


def test_families_whose_absence_speaks_are_called_that(
    fitted: Segmentation, tmp_path: Path
) -> None:
    explanation = fitted.explanation
    less = explanation.families.assign(direction="less")
    shown = page(replace(fitted, explanation=replace(explanation, families=less)), tmp_path)
    text, first = shown.text("families"), less.iloc[0]
    assert f"Family 1, whose absence speaks for class {first['class']}" in text
    assert "by being weaker there or missing: where they are, they speak against class" in text
    assert "Family 1, for class" not in text


def test_no_family_asked_for_and_none_found(fitted: Segmentation, tmp_path: Path) -> None:
    n = fitted.explanation.families["family"].nunique()
    shown = page(fitted, tmp_path, n_families=0)
    assert f"{n} families found; none was asked for" in shown.text("families")
    explanation = fitted.explanation
    none = replace(explanation, families=explanation.families.iloc[:0])
    shown = page(replace(fitted, explanation=none), tmp_path, overwrite=True)
    assert "there are no families" in shown.text("families")
    assert not shown.images["families"]


def test_class_that_no_pixel_got(fitted: Segmentation, tmp_path: Path) -> None:
    probability = fitted.probability[:, [0, 1, 2]] * [1, 0, 1]
    probability /= probability.sum(axis=1, keepdims=True)
    changed = Segmentation.from_probability(
        fitted.spectra, fitted.classes, probability, explanation=fitted.explanation
    )
    shown = page(changed, tmp_path, n_families=0)
    missing = fitted.classes[1]
    assert f"No pixel was given the class {missing}" in shown.text("activation")
    assert len(shown.images["activation"]) == 2


def test_long_families_and_many_classes_are_cut_with_a_word(
    fitted: Segmentation, tmp_path: Path
) -> None:
    explanation = fitted.explanation
    long = explanation.families.iloc[[0] * 15].assign(family=1)
    for n in range(3):
        long = long.assign(**{f"activation_x{n}": 0.001 * n, f"intensity_x{n}": 1.0 + n})
    ions = explanation.ions.assign(
        **{f"{kind}_x{n}": 0.0 for n in range(3) for kind in ("activation", "intensity")}
    )
    classes = (*explanation.classes, "x0", "x1", "x2")
    probability = np.pad(fitted.probability, ((0, 0), (0, 3)))
    explanation = replace(explanation, families=long, ions=ions, classes=classes)
    changed = Segmentation.from_probability(
        fitted.spectra, classes, probability, explanation=explanation
    )
    shown = page(changed, tmp_path)
    (_, head, *rows) = shown.family_tables()[0]
    assert len(rows) == 12
    assert len(head) == 4 + 2 * 4
    assert set(fitted.classes) < set(head)
    assert "3 more ions of this family not shown." in shown.text("families")
    assert "2 classes in which these ions count least not shown." in shown.text("families")


def test_deletion_that_shows_nothing_says_so(curve: pd.DataFrame, tmp_path: Path) -> None:
    flat = curve.assign(score_top=curve["score_random_mean"])
    shown = page(small(), tmp_path, deletion=flat)
    assert "distrust the explanation" in shown.text("deletion")


def test_default_title(tmp_path: Path) -> None:
    assert "<h1>Segmentation of slide</h1>" in page(small(), tmp_path).raw
    many = small(run=np.array([f"r{n}" for n in range(12)]))
    shown = page(many, tmp_path, overwrite=True)
    assert "<h1>Segmentation of 12 runs</h1>" in shown.raw
    assert "12 pixels of 12 runs were sorted" in shown.text("summary")


def test_run_of_no_name_is_not_named(tmp_path: Path) -> None:
    shown = page(small(run=np.full(12, "run0")), tmp_path)
    assert "<h1>Segmentation</h1>" in shown.raw
    assert "12 pixels of 1 run were sorted" in shown.text("summary")


def test_single_pixel(tmp_path: Path) -> None:
    shown = page(small(1, 1), tmp_path)
    assert "1 pixel of 1 run (slide) was sorted into 1 class: c0 (1 pixel, 100 %)." in shown.text(
        "summary"
    )


def test_no_pixels(tmp_path: Path) -> None:
    shown = page(small(2, 0), tmp_path)
    assert "0 pixels of 0 runs were sorted into 2 classes" in shown.text("summary")
    assert "there are no pixels to draw" in shown.text("segmentation")


# ------------------------------------------------------------------ the file


def test_same_input_same_bytes(fitted: Segmentation, curve: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(fitted, tmp_path / name, n_families=2, deletion=curve)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_report(small(), path)
    assert path.read_text(encoding="utf-8") == "mine"
    write_report(small(), str(path), overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_failure_leaves_nothing(curve: pd.DataFrame, tmp_path: Path) -> None:
    for bad in (curve.iloc[:0], curve.drop(columns="score_top")):
        with pytest.raises(ValueError, match="deletion"):
            write_report(small(), tmp_path / "report.html", deletion=bad)
    with pytest.raises(ValueError, match="n_families is -1"):
        write_report(small(), tmp_path / "report.html", n_families=-1)
    assert list(tmp_path.iterdir()) == []


def test_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    write_report(small(reference=["c0"] * 12), tmp_path / "report.html")
    assert dict(mpl.rcParams) == before


@pytest.fixture(scope="module")
def large(fitted: Segmentation) -> Segmentation:
    """As many pixels as the largest real image, without any order: nothing compresses less."""
    n, rng = 34_840, np.random.default_rng(0)
    rows = rng.integers(0, fitted.n_pixels, n)
    spectra = replace(
        fitted.spectra[rows],
        coordinates=np.column_stack([np.arange(n) % 260, np.arange(n) // 260]).astype(float),
        run_codes=np.zeros(n, dtype=np.int32),
        run_names=("bladder",),
    )
    return Segmentation.from_probability(
        spectra,
        fitted.classes,
        rng.dirichlet(np.ones(3), n),
        reference=np.asarray(fitted.reference, dtype=object)[rows],
        explanation=replace(fitted.explanation, labels=fitted.explanation.labels[rows]),
    )


def test_large_image_stays_small(large: Segmentation, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(large, path)
    assert path.stat().st_size < 5e6
    assert "34,840 pixels of 1 run (bladder)" in Page(path).text("summary")
