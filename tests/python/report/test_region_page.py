"""The page of regions without labels: true to the findings, and honest about what they prove."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import massgraph as mg
from massgraph.report._methods import methods
from massgraph.report.page import write_report
from massgraph.segmentation import Segmentation
from region_builder import MZ, PARAMETERS, region_segmentation, stripes
from report_page import (
    Page,
    assert_needs_nothing_but_itself,
    assert_pictures_are_whole,
    evaluation,
    number,
    page,
)

NASTY = '<b>slide</b> & "one" $x_1$'
SECTIONS = [
    *("summary", "cautions", "regions", "reading", "number", "molecules", "related"),
    *("certainty", "balances", "agreement", "methods", "settings"),
]
CAUTIONS = ("region 3 is not found again <i>at all</i>.", "The number is not clear.")


def changed(segmentation: Segmentation, **changes: Any) -> Segmentation:
    return replace(segmentation, findings=replace(segmentation.findings, **changes))


def quick(**changes: Any) -> Segmentation:
    """Nowhere to be drawn: a page of few pictures."""
    return changed(replace(region_segmentation(), coordinates=None), **changes)


@pytest.fixture(scope="module")
def made() -> Segmentation:
    """Two runs with doubts, beside labels that were not used."""
    places = np.tile(stripes(12, 6), (2, 1))
    run = np.repeat([NASTY, "slide 2"], 72)
    labels = np.where(places[:, 0] < 5, "cortex", "medulla").astype(object)
    labels[::7] = None
    return changed(region_segmentation(places, run, reference=labels), cautions=CAUTIONS)


@pytest.fixture(scope="module")
def full(made: Segmentation, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(made, path, title="Kidney <3> & co")
    return Page(path)


@pytest.fixture(scope="module")
def taught() -> Segmentation:
    """A classifier that was taught the regions of a fit, and explained."""
    spectra, _ = mg.simulate("tiny", n_runs=1)
    found = mg.SpatialRegions(n_regions=3).fit(spectra).segment(spectra)
    classifier = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0)
    again = classifier.fit(spectra, found.label).segment(spectra, found.label)
    return replace(again, findings=found.findings)


# ------------------------------------------------------------------ the whole page


def test_has_every_section_in_order(full: Page) -> None:
    assert full.sections == SECTIONS
    assert all(full.text(name) for name in SECTIONS)
    assert "Left out" not in " ".join(full.text(name) for name in SECTIONS)


def test_needs_nothing_but_itself(full: Page) -> None:
    assert_needs_nothing_but_itself(full)


def test_pictures_are_whole_and_described(full: Page) -> None:
    assert_pictures_are_whole(full)
    counts = {name: len(found) for name, found in full.images.items()}
    assert counts == {
        **{"regions": 2, "number": 2, "molecules": 8, "certainty": 2, "balances": 1},
    }


def test_unsafe_text_is_shown_and_not_obeyed(full: Page) -> None:
    assert not {"b", "i"} & {tag for tag, _ in full.tags}
    assert "<title>Kidney &lt;3&gt; &amp; co</title>" in full.raw
    assert NASTY in full.text("summary")
    assert "<i>at all</i>" in full.text("cautions")


def test_speaks_of_regions_and_not_of_classes(full: Page) -> None:
    """Nothing was predicted, and nothing can be accurate."""
    said = " ".join(full.text(name) for name in SECTIONS if name != "settings")
    said += " ".join(image["alt"] for found in full.images.values() for image in found)
    for word in ("class", "classes", "accuracy", "predicted", "training", "Chance"):
        assert not re.search(rf"\b{word}\b", said), word


def test_same_input_same_bytes(made: Segmentation, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(made, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


# ------------------------------------------------------------------ summary


def test_summary_counts_pixels(full: Page, made: Segmentation) -> None:
    text = full.text("summary")
    assert f"144 pixels of 2 runs ({NASTY}, slide 2) were grouped into 4 regions" in text
    assert "by their spectra alone; no labels were used" in text
    for name, count in made.counts().items():
        assert f"{name} ({count} pixels, {100 * count / 144:.0f} %)" in text
    assert "1 pixel without peaks of known ions is in no region." in text
    apart = made.counts()["off-tissue"]
    assert f"no tissue: {apart} pixels ({100 * apart / 144:.0f} %) that are darker" in text


def test_summary_says_why_this_number(full: Page) -> None:
    said = full.text("summary")
    assert "The number was found in the data: the last region explains 10.0 times as much" in said
    assert "no other number up to 6" in said


def test_summary_says_how_sure(full: Page, made: Segmentation) -> None:
    said = full.text("summary")
    stability = made.findings.regions["stability"]
    assert f"region 1 again with an overlap of {stability[0]:.2f} and region 3, the least" in said
    assert f"stable, with one of {stability[2]:.2f}, where 1 is the same pixels" in said
    assert "Region 1 and region 2 stand least apart, by 2.50 deviations." in said
    # Two of each region of tissue, one of which the next one has as well.
    assert "4 of 6 molecules define a region at a false discovery rate of 0.05" in said


def test_a_number_that_was_given_is_said_to_be(tmp_path: Path) -> None:
    made = quick(selection=None, maps={})
    found = page(made, tmp_path)
    assert "The number of regions was given, and not found in the data" in found.text("summary")
    assert "Left out: the number was given" in found.text("number")
    assert "number" not in found.images


def test_a_number_that_was_chosen_by_hand_is_said_to_be(tmp_path: Path) -> None:
    """As `SpatialRegions.at` chooses one."""
    selection = region_segmentation().findings.selection
    selection.loc[selection["n_regions"] == 5, "ratio"] = 20.0
    found = page(quick(selection=selection), tmp_path)
    assert "chosen from the maps of one fit; the data by themselves speak for 5." in found.text(
        "summary"
    )
    assert "which would be 5 here" in found.text("number")


def test_without_off_tissue_and_without_any_test(tmp_path: Path) -> None:
    spectra, _ = mg.simulate("tiny", n_runs=1)
    one = mg.SpatialRegions(n_regions=1).fit(spectra).segment(spectra)
    found = page(one, tmp_path)
    text = found.text("summary")
    assert "grouped into 1 region" in text
    assert "No pixels were found to be off tissue" in text
    assert "Whether halves of the molecules would find the regions again could not be" in text
    assert "stand least apart" not in text


def test_no_molecule_that_passes_is_said_plainly(tmp_path: Path) -> None:
    table = region_segmentation().findings.molecules.assign(fdr=0.4)
    regions = region_segmentation().findings.regions.assign(n_molecules=0)
    found = page(quick(molecules=table, regions=regions), tmp_path)
    assert "No molecule defines a region at a false discovery rate of 0.05" in found.text("summary")
    said = found.text("molecules")
    assert said.count("No molecule defines it at a false discovery rate of 0.05.") == 3
    assert "describe it, and no more" in said


# ------------------------------------------------------------------ regions


def test_cautions_are_in_a_box_or_nowhere(full: Page, tmp_path: Path) -> None:
    text = full.text("cautions")
    assert text.startswith("Read this map with caution")
    assert "Region 3 is not found again" in text
    assert "The number is not clear." in text
    box = [attributes for tag, attributes in full.tags if attributes.get("id") == "cautions"]
    assert "warning" in box[0]["class"]
    assert "cautions" not in page(quick(), tmp_path).sections


def test_table_of_regions(full: Page, made: Segmentation) -> None:
    head, *rows = full.table("regions-table")
    assert head == [
        *("region", "pixels", "mean probability", "separation", "from", "stability"),
        *("molecules", "verdict"),
    ]
    table = made.findings.regions
    assert [row[0] for row in rows] == list(made.classes)
    assert [number(row[1]) for row in rows] == table["n_pixels"].tolist()
    np.testing.assert_allclose([number(row[3]) for row in rows], table["separation"], atol=0.06)
    np.testing.assert_allclose([number(row[5]) for row in rows], table["stability"], atol=5.1e-3)
    assert [row[7] for row in rows] == table["verdict"].tolist()
    # Off tissue nothing was tested: no molecule is not none.
    assert [row[6] for row in rows] == ["2", "2", "2", "–"]


def test_a_region_of_one_run_is_marked(tmp_path: Path) -> None:
    regions = region_segmentation().findings.regions
    regions["run"] = [None, "slide 2", None, None]
    head, *rows = page(quick(regions=regions), tmp_path).table("regions-table")
    assert head[2] == "nearly all in"
    assert [row[2] for row in rows] == ["–", "slide 2", "–", "–"]


# ------------------------------------------------------------------ molecules


def test_what_is_circular_is_called_so(full: Page) -> None:
    assert "circular" in full.text("reading")
    text = full.text("molecules")
    assert "These describe, and are circular: the molecules made the regions." in text
    assert "The FDR comes from maps made without the molecule that is tested." in text


def test_molecules_of_each_region(full: Page, made: Segmentation) -> None:
    tables = [rows for name, rows in full.tables if name == "molecules"]
    assert len(tables) == 4
    for (groups, head, *rows), name in zip(tables, made.classes, strict=True):
        assert groups[1:] == ["describes (circular)", "tested"]
        assert head == ["m/z", "ions", "connected by", "here", "elsewhere", "effect", "AUC", "FDR"]
        table = made.findings.molecules
        table = table[table["region"] == name]
        assert [row[0] for row in rows] == [f"{mz:.4f}" for mz in table["mz"]]
        assert [row[2] for row in rows] == [text or "–" for text in table["relations"]]
        for column, field in ((3, "mean"), (5, "effect"), (6, "auc"), (7, "fdr")):
            shown = [number(row[column]) for row in rows]
            np.testing.assert_allclose(shown, table[field], atol=5.1e-3)
    text = full.text("molecules")
    assert text.count("2 molecules define it at a false discovery rate of 0.05") == 3
    assert "It was not tested with halves of the molecules" in text


def test_rates_below_a_thousandth_are_not_zero(tmp_path: Path) -> None:
    table = region_segmentation().findings.molecules.assign(fdr=1e-5)
    found = page(quick(molecules=table), tmp_path)
    assert {row[7] for _, rows in found.tables for row in rows[2:] if len(row) == 8} >= {"< 0.001"}


def test_families_of_molecules(full: Page, made: Segmentation, tmp_path: Path) -> None:
    head, *rows = full.table("related-table")
    assert head[:2] == ["region", "direction"]
    assert [row[2:4] for row in rows] == [
        ["2", "734.5694; 760.5851"],
        ["3", "700.5281; 782.5670; 810.6007"],
    ]
    assert [row[5] for row in rows] == ["1.25", "−0.75"]
    assert [row[6] for row in rows] == ["0.030", "< 0.001"]
    fewer = page(quick(), tmp_path, n_families=1)
    assert len(fewer.table("related-table")) == 2
    assert "The first of each region, 1 of 2 in all." in fewer.text("related")


def test_without_families(tmp_path: Path) -> None:
    none = region_segmentation().findings.families.iloc[:0]
    text = page(quick(families=none), tmp_path).text("related")
    assert "No two molecules" in text


# ------------------------------------------------------------------ quality, and labels


def test_balances_are_ratios(full: Page) -> None:
    _, *rows = full.table("balance-table")
    assert rows == [
        ["Na-H", "12", f"× {np.exp(0.5):.2f}", "0.60"],
        ["K-H", "7", f"× {np.exp(0.25):.2f}", "−0.10"],
    ]
    assert "Nothing was corrected by these maps" in full.text("balances")


def test_without_balances(tmp_path: Path) -> None:
    made = region_segmentation()
    none = {
        "balances": made.findings.balances.iloc[:0],
        "balance_images": made.findings.balance_images[:, :0],
    }
    assert "Left out: too few molecules" in page(quick(**none), tmp_path).text("balances")


def test_labels_are_agreed_with_and_not_predicted(full: Page, made: Segmentation) -> None:
    text = full.text("agreement")
    given = np.asarray(made.reference, dtype=object)
    found = np.asarray(made.label.codes)
    both = pd.notna(given) & (found >= 0)
    index = adjusted_rand_score(given[both].astype(str), found[both])
    assert text.startswith("Agreement with labels that were not used")
    assert f"On {both.sum()} labelled pixels the adjusted Rand index is {index:.2f}" in text
    _, *rows = full.table("agreement-by-run")
    assert [row[0] for row in rows] == [NASTY, "slide 2"]
    assert sum(number(row[1]) for row in rows) == both.sum()
    head, *rows = full.table("crossing")
    assert head == ["label", *made.classes, "mostly in", "share"]
    counts = pd.crosstab(given[both], found[both])
    for row in rows:
        own = counts.loc[row[0]].to_numpy()
        assert [number(cell) for cell in row[1:5]] == own.tolist()
        assert row[5] == made.classes[own.argmax()]
        assert row[6] == f"{100 * own.max() / own.sum():.0f} %"


def test_without_labels_there_is_no_word_of_them(tmp_path: Path) -> None:
    for reference in (None, [None] * 72):
        made = region_segmentation(reference=reference)
        found = page(made, tmp_path, overwrite=True)
        assert "agreement" not in found.sections
        assert len(found.images["regions"]) == 1


# ------------------------------------------------------------------ a classifier of the regions


def test_a_classifier_of_regions_explains_a_segmentation(
    taught: Segmentation, tmp_path: Path
) -> None:
    found = page(taught, tmp_path)
    for section in ("explained", "activation", "families"):
        assert section in found.sections
    assert found.sections.index("explained") < found.sections.index("activation")
    text = found.text("explained")
    assert text.startswith("What follows explains a segmentation, not a truth")
    assert "circular" in text
    assert "no labels were used" not in found.text("summary")
    assert "explains this segmentation, and no truth" in found.text("summary")
    assert "What speaks for each region" in found.text("activation")
    assert "activation of region 1." in found.text("activation")
    assert "region region" not in " ".join(found.text(name) for name in found.sections)
    # It was taught these labels: to have them again is no agreement with anything else.
    assert found.text("agreement").startswith("Does the classifier have the regions again?")
    assert "not used" not in found.text("agreement")
    said = " ".join(found.text(name) for name in found.sections if name != "settings")
    assert not re.search(r"\bclass(es)?\b|\baccuracy\b", said)


def test_the_deletion_curve_of_that_classifier(taught: Segmentation, tmp_path: Path) -> None:
    curve = pd.DataFrame(
        {
            "fraction_removed": [0.0, 0.2],
            "score_top": [-0.1, -2.0],
            "score_random_mean": [-0.1, -0.2],
            "score_random_sd": [0.0, 0.01],
        }
    )
    assert "deletion" in page(taught, tmp_path, deletion=curve).sections
    with pytest.raises(ValueError, match=r"deletion is of a classifier's explanation"):
        write_report(quick(), tmp_path / "x.html", deletion=curve)
    with pytest.raises(ValueError, match=r"evaluation is of models of labels"):
        write_report(taught, tmp_path / "x.html", evaluation=evaluation())
    assert not (tmp_path / "x.html").exists()


# ------------------------------------------------------------------ methods


def test_methods_say_what_was_done() -> None:
    fit, tests = methods(region_segmentation())
    for words in (
        "by massgraph 0.1.0 (SpatialRegions, seed 3)",
        "calibrated to 120 ions",
        "gave 6 molecules",
        "set apart as off tissue",
        "5 components",
        "one covariance for all regions",
        "up to 1 pixel away, through a Potts field of strength 1.5",
        "chosen up to 6",
    ):
        assert words in fit, words
    assert "999 maps" in tests
    assert "Benjamini and Hochberg" in tests


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({"features": "ions"}, "amount of an ion", "isotopes"),
        ({"off_tissue": False}, "mixture", "off tissue"),
        ({"run_offsets": True}, "The mean of each run was taken off", "§"),
        ({"spatial": False}, "by itself, whatever its neighbours", "Potts"),
        ({"field_strength": 0.0}, "estimated to have no strength", "Potts"),
        ({"number_was_given": True}, "The number of regions, 4, was given", "chosen up to"),
        ({"peaks_kept": 0.25}, "peaks are lost at random (about 75%)", "log(1 + G s / 10)"),
        ({"brightness_given": True}, "was taken as given", "§"),
        ({"covariance_found": "scaled"}, "up to a factor of each", "a covariance for each"),
        ({"covariance_found": "scaled"}, "2 more were searched as well", "§"),
        ({"covariance_found": "scaled", "begun": True}, "of these labels", "more were searched"),
        ({"begun": True}, "fitted from the labels that were given, with one", "many starts"),
        ({"covariance_found": "own"}, "a covariance for each region", "one covariance for all"),
        ({"neighbours_given": True}, "neighbours, as given, through", "away"),
        ({"radius": 2.5}, "up to 2.5 pixels away", "1 pixel away"),
    ],
)
def test_methods_follow_the_parameters(changes: dict[str, Any], there: str, absent: str) -> None:
    fit, _ = methods(region_segmentation(parameters=PARAMETERS | changes))
    assert there in fit
    assert absent not in fit


def test_a_map_of_another_number_of_the_same_fit(tmp_path: Path) -> None:
    spectra, _ = mg.simulate("tiny", n_runs=1)
    fitted = mg.SpatialRegions(max_regions=5).fit(spectra)
    other = next(k for k in (3, 4) if k != fitted.n_regions_)
    found = fitted.at(other).segment(spectra)
    text = page(found, tmp_path).text("summary")
    assert f"the data by themselves speak for {fitted.n_regions_}." in text
    fit, _ = methods(found)
    assert f"The number of regions, {other}, was chosen by hand" in fit
    fit, _ = methods(fitted.segment(spectra))
    assert "was chosen up to 5" in fit


def test_methods_of_a_fit_that_is_not_known(taught: Segmentation) -> None:
    (tests,) = methods(taught)
    assert "A classifier was taught the regions afterwards" in tests


# ------------------------------------------------------------------ any input


def test_a_fit_as_it_comes(tmp_path: Path) -> None:
    spectra, _ = mg.simulate("tiny", n_runs=1)
    found = mg.SpatialRegions(max_regions=4).fit(spectra).segment(spectra)
    made = page(found, tmp_path)
    assert_pictures_are_whole(made)
    assert [name for name in SECTIONS if name not in {"cautions", "agreement"}] == [
        name for name in made.sections if name != "cautions"
    ]
    fit, _ = methods(found)
    assert f"calibrated to {found.parameters['axis_ions']} ions" in fit


def test_pixels_without_a_place(tmp_path: Path) -> None:
    found = page(quick(), tmp_path)
    assert "Maps and images are left out: the pixels have no coordinates" in found.text("regions")
    assert "certainty" not in found.sections
    assert {name: len(images) for name, images in found.images.items()} == {
        **{"number": 1, "molecules": 4},
    }


def test_spectra_that_were_read_block_by_block(tmp_path: Path) -> None:
    """Findings hold images of their own: peaks are not needed."""
    made = region_segmentation()
    where = mg.Spectra.from_peaks(
        [([], [])] * len(made), coordinates=made.coordinates, polarity="positive"
    )
    found = page(replace(made, spectra=where), tmp_path)
    assert len(found.images["molecules"]) > 4
    assert "The pixels were measured in positive ion mode" in found.text("summary")


def test_default_title(tmp_path: Path) -> None:
    found = page(region_segmentation(run=np.repeat("slide 7", 72)), tmp_path)
    assert "<title>Regions of slide 7</title>" in found.raw


def test_many_regions_are_numbered_above_their_columns(tmp_path: Path) -> None:
    places = stripes(44, 3)
    labels = np.where(places[:, 0] < 20, "a", "b")
    made = region_segmentation(places, n=11, reference=labels)
    found = page(replace(made, coordinates=None), tmp_path)
    head = found.table("crossing")[0]
    assert head == ["label", *map(str, range(1, 11)), "off-tissue", "mostly in", "share"]
    assert len(found.table("regions-table")) == 12


def test_molecules_have_four_decimals_of_mass(full: Page) -> None:
    assert all(f"{mz:.4f}" in full.text("molecules") for mz in MZ)
