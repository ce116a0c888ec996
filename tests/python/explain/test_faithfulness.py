"""Whether what an explanation names is what the model needs: on tissue of which that is known."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from massgraph.classifier import RGCNClassifier
from massgraph.data.spectra import Spectra
from massgraph.explain.activation import Explanation
from massgraph.explain.faithfulness import FRACTIONS, _gone, deletion_curve, precision_at_k
from massgraph.simulation.simulate import Simulation, simulate

COLUMNS = ["fraction_removed", "score_top", "score_random_mean", "score_random_sd"]


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate("tiny", effect=1.2, batch_effect=0.05)


@pytest.fixture(scope="module")
def classifier(simulation: Simulation) -> RGCNClassifier:
    spectra, labels = simulation
    return RGCNClassifier(epochs=8, augment=1, folds=2, device="cpu").fit(spectra, labels)


@pytest.fixture(scope="module")
def spectra(simulation: Simulation) -> Spectra:
    """The pixels on tissue."""
    return simulation.spectra[simulation.truth != "off-tissue"]


@pytest.fixture(scope="module")
def explanation(classifier: RGCNClassifier, spectra: Spectra) -> Explanation:
    return classifier.explain(spectra)


@pytest.fixture(scope="module")
def curve(classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation) -> pd.DataFrame:
    return deletion_curve(classifier, spectra, explanation, n_random=3)


# ------------------------------------------------------------------------ the deletion curve


def test_top_ions_are_needed_far_more_than_others(curve: pd.DataFrame) -> None:
    drop = curve["score_top"].iloc[0] - curve
    last = curve.index[-1]
    assert curve.loc[last, "fraction_removed"] == 0.2
    assert drop.loc[last, "score_top"] > 3 * drop.loc[last, "score_random_mean"]
    margin = curve.loc[last, "score_random_mean"] - curve.loc[last, "score_top"]
    assert margin > 3 * curve.loc[last, "score_random_sd"]


def test_the_table(curve: pd.DataFrame) -> None:
    assert list(curve.columns) == COLUMNS
    assert curve["fraction_removed"].tolist() == list(FRACTIONS)
    assert np.isfinite(curve.to_numpy()).all()
    assert (curve["score_random_sd"] >= 0).all()
    assert (curve[["score_top", "score_random_mean"]] <= 0).all(axis=None)  # log probabilities


def test_nothing_removed_is_the_score_of_the_model(
    curve: pd.DataFrame, classifier: RGCNClassifier, spectra: Spectra
) -> None:
    best = np.log(classifier.predict_proba(spectra).max(axis=1)).mean()
    assert curve.loc[0, "score_top"] == pytest.approx(best, abs=1e-6)
    assert curve.loc[0, "score_random_mean"] == pytest.approx(best, abs=1e-6)
    assert curve.loc[0, "score_random_sd"] == pytest.approx(0.0, abs=1e-9)


def test_same_seed_same_curve(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the state that must not matter, nor change
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (
        deletion_curve(
            classifier, spectra, explanation, fractions=[0.1], n_random=2, random_state=seed
        )
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert one["score_top"].tolist() == other["score_top"].tolist()
    assert one["score_random_mean"].tolist() != other["score_random_mean"].tolist()
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_more_removed_is_worse(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    table = deletion_curve(classifier, spectra, explanation, fractions=(0.0, 0.3, 0.9), n_random=1)
    assert table["score_top"].is_monotonic_decreasing
    assert table["score_top"].iloc[-1] < -0.3


def test_a_single_fraction(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    table = deletion_curve(classifier, spectra, explanation, fractions=0.05, n_random=1)
    assert table["fraction_removed"].tolist() == [0.05]
    assert table["score_random_sd"].tolist() == [0.0]


def test_pixels_that_lose_all_peaks_are_at_chance(
    classifier: RGCNClassifier, spectra: Spectra
) -> None:
    """Of four pixels with two peaks each nearly all is gone: the score stays finite."""
    few = spectra.top_peaks(2)[:4]
    table = deletion_curve(classifier, few, classifier.explain(few), fractions=[0.999], n_random=1)
    # Pixels without a peak count as log(1/3), not as missing.
    assert np.isfinite(table.to_numpy()).all()
    assert table["score_random_mean"].iloc[0] > -5.0


def test_pixels_without_peaks_do_not_count(
    classifier: RGCNClassifier, spectra: Spectra, curve: pd.DataFrame
) -> None:
    peaks = [spectra.pixel(index) for index in range(spectra.n_pixels)]
    with_empty = Spectra.from_peaks([*peaks, ([], [])], polarity=spectra.polarity)
    table = deletion_curve(
        classifier, with_empty, classifier.explain(with_empty), fractions=[0.1], n_random=1
    )
    # All in one run here, which calibration starts from: not the same to the last digit.
    assert table["score_top"].iloc[0] == pytest.approx(curve["score_top"].iloc[4], rel=0.01)


def test_the_spectra_are_preprocessed_as_in_the_fit(simulation: Simulation) -> None:
    spectra, labels = simulation
    classifier = RGCNClassifier(epochs=1, augment=0, max_peaks=20, mz_range=(400.0, 900.0))
    classifier.set_params(device="cpu").fit(spectra, labels)
    explanation = classifier.explain(spectra)
    table = deletion_curve(classifier, spectra, explanation, fractions=[0.0], n_random=1)
    probability = softmax(classifier.logits(spectra), axis=1)
    known = ~np.isnan(probability).any(axis=1)
    expected = np.log(probability[known].max(axis=1)).mean()
    assert table["score_top"].iloc[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("fractions", [[-0.1], [1.0], [0.1, 2.0], [float("nan")]])
def test_fractions_out_of_range(
    fractions: list[float],
    classifier: RGCNClassifier,
    spectra: Spectra,
    explanation: Explanation,
) -> None:
    with pytest.raises(ValueError, match="must be at least 0 and below 1") as error:
        deletion_curve(classifier, spectra, explanation, fractions=fractions)
    assert str(fractions[-1]) in str(error.value)


def test_no_random_order(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    with pytest.raises(ValueError, match="n_random is 0"):
        deletion_curve(classifier, spectra, explanation, n_random=0)


def test_explanations_of_other_pixels(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    with pytest.raises(ValueError, match="explanation is of other pixels"):
        deletion_curve(classifier, spectra[:-1], explanation)
    shifted = replace(explanation, mz=explanation.mz + 0.1)
    with pytest.raises(ValueError, match="explanation is of other pixels"):
        deletion_curve(classifier, spectra, shifted)


def test_spectra_without_peaks(
    classifier: RGCNClassifier, spectra: Spectra, explanation: Explanation
) -> None:
    empty = spectra.keep_peaks(np.zeros(spectra.n_peaks, dtype=bool))
    with pytest.raises(ValueError, match=r"none of the \d+ pixels has peaks"):
        deletion_curve(classifier, empty, explanation)


# ------------------------------------------------------------------------ which ions go


def test_ions_go_in_order_until_the_share_is_gone() -> None:
    ion = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])  # 4, 3, 2 and 1 peaks
    order = np.array([2, 0, 3, 1])
    assert _gone(order, ion, 0.0).tolist() == [False] * 4
    assert _gone(order, ion, 0.19).tolist() == [False] * 4
    assert _gone(order, ion, 0.2).tolist() == [False, False, True, False]
    # Ion 0 would be more than is to go; none after it goes in its place.
    assert _gone(order, ion, 0.5).tolist() == [False, False, True, False]
    assert _gone(order, ion, 0.6).tolist() == [True, False, True, False]
    assert _gone(order, ion, 0.99).tolist() == [True, False, True, True]


def test_ions_without_peaks_cost_nothing() -> None:
    gone = _gone(np.array([1, 0, 2]), np.array([0, 0, 2, 2]), 0.5)
    assert gone.tolist() == [True, True, False]


# ------------------------------------------------------------------------ precision at k


def families_of(*families: list[float]) -> Explanation:
    """An explanation of which only the table of families is needed; best family first."""
    table = pd.DataFrame(
        [(number, mz) for number, ions in enumerate(families, start=1) for mz in ions],
        columns=["family", "mz"],
    )
    return cast("Explanation", SimpleNamespace(families=table))


def test_top_families_are_the_planted_ones(
    simulation: Simulation, explanation: Explanation
) -> None:
    ions = simulation.families
    planted = ions.loc[ions["discriminates"] != "", "mz"]
    assert precision_at_k(explanation, planted, 3) == 1.0
    left_alone = ions.loc[ions["discriminates"] == "", "mz"]
    assert precision_at_k(explanation, left_alone, 3) < 0.5


def test_precision_counts_families_by_most_of_their_ions() -> None:
    explanation = families_of([500.0, 514.0, 528.0], [600.0, 622.0], [700.0])
    assert precision_at_k(explanation, [500.0, 514.0], 1) == 1.0
    assert precision_at_k(explanation, [500.0], 1) == 0.0
    assert precision_at_k(explanation, [500.0, 514.0, 700.0], 2) == 0.5
    assert precision_at_k(explanation, [500.0, 514.0, 700.0], 3) == pytest.approx(2 / 3)
    # Half of the ions are not most of them.
    assert precision_at_k(explanation, [600.0], 3) == 0.0
    assert precision_at_k(explanation, [600.0, 622.0], 3) == pytest.approx(1 / 3)


def test_precision_with_fewer_families_than_k() -> None:
    explanation = families_of([500.0], [600.0])
    assert precision_at_k(explanation, [500.0], 10) == 0.5
    assert precision_at_k(explanation, [600.0, 500.0], 10) == 1.0  # in any order


def test_precision_within_a_tolerance() -> None:
    explanation = families_of([500.0])
    for planted in (499.9951, 500.0049):
        assert precision_at_k(explanation, [planted], 1) == 1.0
        assert precision_at_k(explanation, [planted], 1, tolerance_ppm=5.0) == 0.0
    assert precision_at_k(explanation, [500.0051], 1) == 0.0
    assert precision_at_k(explanation, [100.0, 500.001, 900.0], 1) == 1.0


def test_precision_of_nothing_is_missing() -> None:
    assert math.isnan(precision_at_k(families_of(), [500.0], 3))
    assert math.isnan(precision_at_k(families_of([500.0]), [], 3))
