"""Explanations: exact sums, true tables, and families that mean something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.explain.faithfulness import deletion_curve, precision_at_k
from massgraph.explain.ion_network import build_ion_network
from massgraph.explain.ion_sums import IonSums
from massgraph.explain.tables import ion_tables
from massgraph.learn.settings import resolve_settings


@pytest.fixture(scope="module")
def simulation() -> Any:
    return mg.simulate("demo", shape=(16, 16), effect=0.6)


@pytest.fixture(scope="module")
def fitted(simulation: Any) -> mg.RGCNClassifier:
    spectra, labels = simulation
    return mg.RGCNClassifier(epochs=8, folds=2, device="cpu").fit(spectra, labels)


@pytest.fixture(scope="module")
def explanation(fitted: mg.RGCNClassifier, simulation: Any) -> mg.Explanation:
    return fitted.explain(simulation.spectra)


# -------------------------------------------------------------------- exact sums


def test_activations_add_up_to_the_logits(
    fitted: mg.RGCNClassifier, explanation: mg.Explanation, simulation: Any
) -> None:
    logits = fitted.logits(simulation.spectra)
    np.testing.assert_allclose(explanation.logits(), logits, rtol=0, atol=1e-10)


def test_activations_add_up_without_batch_norm_and_with_two_classes() -> None:
    spectra, labels = mg.simulate("tiny", n_classes=2)
    classifier = mg.RGCNClassifier(preset="published", epochs=2, device="cpu").fit(spectra, labels)
    explanation = classifier.explain(spectra)
    difference = explanation.logits() - classifier.logits(spectra)
    assert np.abs(difference).max() < 1e-10
    assert len(explanation.classes) == 2


def test_with_two_classes_an_ion_speaks_for_the_one_it_contributes_to() -> None:
    spectra, labels = mg.simulate("tiny", n_classes=2)
    classifier = mg.RGCNClassifier(epochs=6, augment=1, device="cpu").fit(spectra, labels)
    ions = classifier.explain(spectra).ions
    strong = ions[ions["rank"] <= 40]
    first = strong["class"].cat.codes.to_numpy() == 0
    assert 4 <= first.sum() <= 36  # both have equal shares: a tie is not to go to the first
    a, b = (strong[f"intensity_{name}"].to_numpy() for name in classifier.classes_)
    assert np.mean((a > b) == first) > 0.7


def test_every_activation_has_its_place(explanation: mg.Explanation, simulation: Any) -> None:
    spectra = simulation.spectra
    for name in explanation.classes:
        matrix = explanation.activation[name]
        assert matrix.shape == (len(spectra), len(explanation.mz))
        assert matrix.dtype == np.float64
        assert matrix.has_canonical_format
    assert (np.diff(explanation.mz) > 0).all()
    np.testing.assert_array_equal(explanation.peak_counts, spectra.peak_counts)


def test_labels_are_the_predicted_classes(
    fitted: mg.RGCNClassifier, explanation: mg.Explanation, simulation: Any
) -> None:
    names = np.array(explanation.classes)[explanation.labels]
    np.testing.assert_array_equal(names, fitted.predict(simulation.spectra))


def test_pixels_without_peaks_explain_nothing(fitted: mg.RGCNClassifier, simulation: Any) -> None:
    spectra = simulation.spectra[:40]
    holed = spectra.keep_peaks(~np.isin(spectra.pixel_of_peak, [0, 39]))
    explanation = fitted.explain(holed)
    assert explanation.labels[[0, 39]].tolist() == [-1, -1]
    for matrix in explanation.activation.values():
        assert matrix[[0, 39]].nnz == 0
    np.testing.assert_allclose(explanation.logits()[0], explanation.intercept)


# -------------------------------------------------------------------- tables


def test_the_table_of_ions(explanation: mg.Explanation) -> None:
    ions = explanation.ions
    names = list(explanation.classes)
    assert list(ions.columns) == [
        "mz",
        "n_pixels",
        "class",
        "direction",
        "score",
        "rank",
        "family",
        *[f"activation_{name}" for name in names],
        *[f"intensity_{name}" for name in names],
    ]
    np.testing.assert_array_equal(ions["mz"], explanation.mz)
    assert sorted(ions["rank"]) == list(range(1, len(ions) + 1))
    by_rank = ions.sort_values("rank")["score"].to_numpy()
    assert (np.diff(by_rank) <= 0).all()
    assert (ions["score"] >= 0).all()
    assert (ions.groupby("class", observed=True)["score"].sum() <= 1 + 1e-9).all()


def test_mean_activation_of_an_ion_by_hand(explanation: mg.Explanation) -> None:
    ion = int(explanation.ions["rank"].argmin())
    for index, name in enumerate(explanation.classes):
        pixels = explanation.labels == index
        column = np.asarray(explanation.activation[name][:, [ion]].todense()).ravel()
        expected = (column / explanation.peak_counts)[pixels].mean()
        assert explanation.ions[f"activation_{name}"][ion] == pytest.approx(expected, rel=1e-5)


def test_mean_intensity_of_an_ion_by_hand(
    explanation: mg.Explanation, fitted: mg.RGCNClassifier, simulation: Any
) -> None:
    spectra = simulation.spectra
    ion = int(explanation.ions["rank"].argmin())
    name = explanation.classes[0]
    _, place = fitted.encoder_.align(spectra, fitted.encoder_.calibrate(spectra))
    own = spectra.keep_peaks(place == ion)
    expected = (own.tic() / spectra.tic())[explanation.labels == 0].mean()
    assert explanation.ions[f"intensity_{name}"][ion] == pytest.approx(expected, rel=1e-9)


def test_families_agree_with_the_ions(explanation: mg.Explanation) -> None:
    families, ions = explanation.families, explanation.ions
    assert len(families) > 0
    np.testing.assert_array_equal(families["mz"], ions["mz"][families.index])
    np.testing.assert_array_equal(
        ions["family"].dropna().astype(int).sort_index(), families["family"].sort_index()
    )
    for name in explanation.classes:
        column = f"activation_{name}"
        np.testing.assert_array_equal(families[column], ions[column][families.index])
    per_class = families.groupby("family")["class"].nunique()
    assert (per_class == 1).all()
    edges = explanation.family_edges
    assert set(edges["family"]) == set(families["family"])
    named = set(mg.default_relations("positive").names)
    assert set(edges["relation"]) <= named


def test_sums_by_region(explanation: mg.Explanation, simulation: Any) -> None:
    regions = simulation.spectra.run.astype(object)
    regions[:5] = None
    table = explanation.by_region(regions)
    n_ions, n_classes = len(explanation.mz), len(explanation.classes)
    assert len(table) == 3 * n_classes * n_ions
    name = explanation.classes[1]
    some = table[(table["region"] == "run2") & (table["class"] == name)]
    pixels = regions == "run2"
    expected = explanation.logits()[pixels, 1].mean() - explanation.intercept[1]
    assert some["activation"].sum() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match=r"regions have shape \(2,\)"):
        explanation.by_region(["a", "b"])


def test_regions_may_be_categories_with_gaps(fitted: mg.RGCNClassifier, simulation: Any) -> None:
    explanation = fitted.explain(simulation.spectra[:6])
    regions = pd.Categorical(["b", "a", None, "b", "a", "a"], categories=["unused", "a", "b"])
    table = explanation.by_region(regions)
    assert table["region"].unique().tolist() == ["a", "b"]
    assert explanation.by_region([None] * 6).empty


def test_numbers_of_pixels_by_hand(
    explanation: mg.Explanation, fitted: mg.RGCNClassifier, simulation: Any
) -> None:
    spectra = simulation.spectra
    _, ion = fitted.encoder_.align(spectra, fitted.encoder_.calibrate(spectra))
    pairs = np.unique(np.stack([ion, spectra.pixel_of_peak]), axis=1)
    np.testing.assert_array_equal(
        explanation.ions["n_pixels"], np.bincount(pairs[0], minlength=len(explanation.mz))
    )


# -------------------------------------------------------------------- the score


def scored(means: np.ndarray, pixels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Class and score of ions, as `scored_ions`."""
    ions = scored_ions(means, pixels)
    return ions["class"].cat.codes.to_numpy(), ions["score"].to_numpy()


def scored_ions(means: np.ndarray, pixels: list[int]) -> pd.DataFrame:
    """Table of ions by their mean contributions, where classes have so many pixels.

    ``means[c, g]`` are contributions to the logit of class c in the pixels of class g.
    """
    n_classes, _, n_ions = means.shape
    sums = IonSums(n_classes, n_ions)
    sums.pixels[:] = pixels
    sums.contribution[:] = means * np.maximum(pixels, 1)[:, None]
    settings = resolve_settings("default", "positive", {})
    graph = mg.build_graph(mg.Spectra.from_peaks([]), settings.relations)
    ions, _, _ = ion_tables(
        settings,
        tuple("abc"[:n_classes]),
        500.0 + np.arange(n_ions),
        sums,
        build_ion_network(np.empty(0, dtype=np.int64), graph),
        "positive",
    )
    return ions


def test_score_of_a_case_by_hand() -> None:
    """Two classes, three ions; the first raises class 0 in its own pixels, the second class 1."""
    means = np.zeros((2, 2, 3))
    means[0, 0] = [3.0, 0.0, 1.0]  # contribution to class 0 in pixels of class 0
    means[1, 1] = [0.0, 2.0, 0.0]
    means[0, 1] = [0.0, 0.0, 1.0]  # the third ion raises class 0 everywhere: it separates nothing
    speaks_for, score = scored(means, [3, 4])
    # Centred: class 0 gets 1.5 - 0 and -0 - (-1), class 1 the same; shares of their sum, 2.5.
    np.testing.assert_allclose(score, [1.5 / 2.5, 1.0 / 2.5, 0.0])
    assert speaks_for[2] == 0


def test_a_shift_of_all_logits_changes_no_score() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 3, 20))
    shifted = means + rng.normal(size=(1, 3, 20))
    np.testing.assert_allclose(scored(means, [1, 2, 3])[1], scored(shifted, [1, 2, 3])[1])


def test_a_class_is_spoken_for_by_what_it_has_or_lacks() -> None:
    """Ion 0 is of class a; ion 1 of all but a; ion 2 speaks against a, and less so in it."""
    means = np.zeros((3, 3, 3))
    means[0, 0, 0] = 1.0
    means[0, [1, 2], 1] = -1.0
    means[0, :, 2] = [-0.5, -2.0, -2.0]
    ions = scored_ions(means, [2, 2, 2])
    assert ions["class"].tolist() == ["a", "a", "a"]
    assert ions["direction"].tolist() == ["more", "less", "less"]
    shifted = scored_ions(means + np.random.default_rng(0).normal(size=(1, 3, 3)), [2, 2, 2])
    assert shifted["direction"].tolist() == ions["direction"].tolist()


def test_heads_of_families_have_the_sign_of_their_activation(explanation: mg.Explanation) -> None:
    for _, family in explanation.families.groupby("family"):
        name, way = family[["class", "direction"]].iloc[0]
        assert set(family["direction"]) == {way}
        assert (np.sign(family[f"activation_{name}"]) == (1 if way == "more" else -1)).all()


def test_only_one_class_found() -> None:
    means = np.zeros((2, 2, 2))
    means[1, 1] = [2.0, 1.0]
    speaks_for, score = scored(means, [0, 5])
    assert speaks_for.tolist() == [1, 1]
    np.testing.assert_allclose(score, [2 / 3, 1 / 3])


# -------------------------------------------------------------------- meaning


def planted(simulation: Any) -> pd.Series:
    families = simulation.families
    mz: pd.Series = families.loc[families["discriminates"] != "", "mz"]
    return mz


def test_the_first_ions_are_planted_ones(explanation: mg.Explanation, simulation: Any) -> None:
    truth = np.sort(planted(simulation))
    mz = explanation.ions.sort_values("rank")["mz"].to_numpy()

    def hit_rate(some: Any) -> float:
        nearest = np.abs(some[:, None] - truth).min(axis=1)
        return float((nearest < 10e-6 * some).mean())

    assert hit_rate(mz[:20]) >= 0.6
    assert hit_rate(mz) < 0.2


def test_the_first_families_are_planted_ones(explanation: mg.Explanation, simulation: Any) -> None:
    assert precision_at_k(explanation, planted(simulation), 5) >= 0.8


def test_removing_the_first_ions_costs_far_more_than_random_ones(
    fitted: mg.RGCNClassifier, explanation: mg.Explanation, simulation: Any
) -> None:
    curve = deletion_curve(fitted, simulation.spectra, explanation, fractions=[0, 0.05], n_random=2)
    loss = curve["score_top"][0] - curve["score_top"]
    random_loss = curve["score_random_mean"][0] - curve["score_random_mean"]
    assert loss[1] > 3 * random_loss[1]


def test_removing_ions_by_hand(
    fitted: mg.RGCNClassifier, explanation: mg.Explanation, simulation: Any
) -> None:
    """The margin of the predicted class over the next, without the 20 first or 20 random ions.

    What is left of a molecule still speaks for it, so that no single ion is the whole of it.
    """
    spectra = simulation.spectra
    _, ion = fitted.encoder_.align(spectra, fitted.encoder_.calibrate(spectra))
    counts = np.bincount(ion)
    first = explanation.ions.sort_values("rank").index.to_numpy()[:20]
    # Random ions that take away as many peaks: as common as the first ones.
    common = np.setdiff1d(np.flatnonzero(counts >= np.median(counts[first])), first)
    drawn = np.random.default_rng(0).choice(common, 20, replace=False)

    def margin(gone: Any) -> float:
        logits = fitted.logits(spectra.keep_peaks(~np.isin(ion, gone)))
        rows = np.arange(len(logits))
        own = logits[rows, explanation.labels]
        logits[rows, explanation.labels] = -np.inf
        return float((own - logits.max(axis=1)).mean())

    # Each share of lost peaks has weights of its own: random ions may even add to the margin.
    assert margin(first) < 0.7 * min(margin([]), margin(drawn))
