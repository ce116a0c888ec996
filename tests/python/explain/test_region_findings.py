"""What is said of regions: molecules that define them, tests without a circle, and words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import massgraph as mg
from massgraph.explain.region_molecules import compare_regions
from massgraph.explain.region_words import cautions, verdicts


@pytest.fixture(scope="module")
def image():
    return mg.simulate("demo", n_runs=1, shape=(24, 24), random_state=1)


@pytest.fixture(scope="module")
def findings(image):
    return (
        mg.SpatialRegions(n_regions="auto", max_regions=6)
        .fit(image.spectra)
        .findings(image.spectra)
    )


def test_molecules_that_were_planted_define_the_regions(image, findings):
    planted = image.families.loc[image.families["discriminates"] != "", "mz"].to_numpy()
    defining = findings.molecules[findings.molecules["fdr"] <= 0.05]
    assert len(defining) > 10
    ions = [np.array(text.split("; "), dtype=float) for text in defining["ions"]]
    hit = [(abs(mz[:, None] / planted - 1) < 5e-6).any() for mz in ions]
    # The rest is what the sum of all gives way by: shares of a pixel add up to one.
    strong = defining["effect"].abs() > 0.8
    assert np.mean(np.array(hit)[strong]) > 0.9


def test_every_region_has_a_row_and_words(findings):
    assert findings.regions["region"].tolist()[-1] == "off-tissue"
    tissue = findings.regions.iloc[:-1]
    assert (tissue["stability"] > 0.7).all()
    assert (tissue["n_molecules"] > 0).all()
    assert tissue["verdict"].str.startswith(("clear", "fair")).all()
    assert np.isnan(findings.regions["stability"].iloc[-1])


def test_maps_are_nested_and_the_chosen_one_is_the_fit(image, findings):
    assert list(findings.maps) == list(range(2, 7))
    chosen = len(findings.regions)
    assert len(np.unique(findings.maps[chosen])) == chosen
    for n, label in findings.maps.items():
        assert label.shape == (image.spectra.n_pixels,)
        assert label.max() < n


def test_images_are_those_of_molecules_that_are_listed(image, findings):
    assert findings.images.shape == (image.spectra.n_pixels, len(findings.shown))
    first = findings.molecules.groupby("region").head(1)["molecule"]
    assert np.isin(findings.shown, findings.molecules["molecule"]).all()
    assert np.isin(first.iloc[:-1], findings.shown).any()


def test_balances_show_the_salt(image):
    salty = mg.simulate(
        "demo", n_runs=1, shape=(24, 24), adduct_variation=1.5, random_state=1
    ).spectra
    regions = mg.SpatialRegions(n_regions=4)
    spread = [
        regions.fit(spectra).findings(spectra).balances.set_index("relation")["spread"]
        for spectra in (image.spectra, salty)
    ]
    assert set(spread[0].index) == {"Na-H", "K-H", "K-Na"}
    assert (spread[1] > 1.5 * spread[0]).all()


def test_segment_holds_the_findings_unless_told_otherwise(image):
    regions = mg.SpatialRegions(n_regions=4).fit(image.spectra)
    assert regions.segment(image.spectra, explain=False).findings is None
    found = regions.segment(image.spectra)
    assert found.findings.regions["region"].tolist() == list(found.classes)


def test_effects_are_differences_in_deviations():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 2000)
    X = rng.normal(5, 1, (4000, 2))
    X[:2000, 0] += 2
    table = compare_regions(sp.csr_matrix(X), label, 2).set_index(["region", "molecule"])
    assert table.loc[(0, 0), "effect"] == pytest.approx(2, abs=0.1)
    assert table.loc[(0, 0), "auc"] == pytest.approx(0.921, abs=0.01)
    assert table.loc[(1, 0), "direction"] == "less"
    assert abs(table.loc[(0, 1), "effect"]) < 0.1


def rows(**changes):
    one = {"region": "region 1", "n_pixels": 300, "separation": 6.0, "stability": 0.9}
    return pd.DataFrame([{**one, "n_molecules": 4, "run": None, **changes}])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stability": 0.3}, "doubtful: 30 % the same"),
        ({"stability": 0.6, "n_molecules": 1}, "fair: .*; 1 molecule defines it"),
        ({"separation": 2.5}, "may be half of a continuum"),
        ({"n_pixels": 7}, "only 7 pixels"),
        ({"stability": np.nan}, "not tested"),
    ],
)
def test_words_say_what_is_wrong(changes, words):
    (verdict,) = verdicts(rows(**changes))
    assert re.search(words, verdict)


def test_cautions_name_runs_and_close_numbers():
    two = pd.concat([rows(run="a"), rows(region="region 2", run="b")], ignore_index=True)
    curve = pd.DataFrame({"n_regions": [2, 3, 4], "ratio": [3.0, 2.9, np.nan]})
    found = cautions(two, curve)
    assert any("the map shows the runs" in text for text in found)
    assert any("2 and 3 explain the image nearly as well" in text for text in found)
    assert cautions(rows(), None) == ()
    assert "75% of the peaks are missing at random" in cautions(rows(), None, 0.25)[0]
