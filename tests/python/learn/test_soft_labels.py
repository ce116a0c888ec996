"""Soft labels and weights of pixels in a fit: what they equal, and what they move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import massgraph as mg
from source_builder import Bare

CLASSES = ["epithelium", "muscle", "stroma"]


def quick(**parameters: Any) -> mg.RGCNClassifier:
    """A branch in closed form and one of nets, on copies too."""
    chosen = {"branches": ("axis", "peak"), "folds": 2, "epochs": 2, "augment": 1, "hidden": (4,)}
    return mg.RGCNClassifier(**{**chosen, "device": "cpu", **parameters})


def thorough(**parameters: Any) -> mg.RGCNClassifier:
    """Without copies, and for so long that nets have learnt the training pixels."""
    return quick(**{"augment": 0, "epochs": 25, "hidden": (8, 8), **parameters})


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


@pytest.fixture(scope="module")
def hard(tissue: Any) -> mg.RGCNClassifier:
    return quick().fit(*tissue)


@pytest.fixture(scope="module")
def shares(tissue: Any) -> pd.DataFrame:
    """Labels as shares of one, rows of NaN for none."""
    table = pd.get_dummies(pd.Series(tissue.labels)).astype(float)
    table[pd.isna(tissue.labels)] = np.nan
    return table


def assert_same_bits(one: mg.RGCNClassifier, other: mg.RGCNClassifier) -> None:
    states = one.model_.state_dict(), other.model_.state_dict()
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    pd.testing.assert_frame_equal(one.contributions_, other.contributions_)
    np.testing.assert_array_equal(one.training_, other.training_)


# -------------------------------------------------------------------- shares


def test_shares_of_one_are_labels_to_the_last_bit(
    tissue: Any, hard: mg.RGCNClassifier, shares: pd.DataFrame
) -> None:
    spectra, labels = tissue
    named = quick().fit(spectra, shares)
    assert named.classes_.tolist() == CLASSES
    assert_same_bits(named, hard)
    np.testing.assert_array_equal(named.training_, ~pd.isna(labels))
    numbered = quick().fit(spectra, shares.to_numpy())
    assert numbered.classes_.tolist() == [0, 1, 2]
    assert_same_bits(numbered, hard)


def test_columns_may_come_in_any_order(
    tissue: Any, hard: mg.RGCNClassifier, shares: pd.DataFrame
) -> None:
    again = quick().fit(tissue.spectra, shares[["stroma", "epithelium", "muscle"]])
    assert again.classes_.tolist() == CLASSES
    assert_same_bits(again, hard)
    np.testing.assert_array_equal(again.predict(tissue.spectra), hard.predict(tissue.spectra))


def test_shares_of_a_single_net(tissue: Any, shares: pd.DataFrame) -> None:
    for preset in ("default", "published"):
        given = {"preset": preset, "epochs": 2, "device": "cpu"}
        if preset == "default":
            given |= {"branches": ("relational",), "folds": 1, "augment": 1, "hidden": (4,)}
        one = mg.RGCNClassifier(**given).fit(tissue.spectra, tissue.labels)
        other = mg.RGCNClassifier(**given).fit(tissue.spectra, shares)
        np.testing.assert_array_equal(
            other.logits(tissue.spectra), one.logits(tissue.spectra), err_msg=preset
        )
        assert one.history_.equals(other.history_)


@pytest.mark.parametrize("branches", [("axis",), ("peak",)])
def test_softer_labels_make_softer_predictions(
    tissue: Any, shares: pd.DataFrame, branches: tuple[str, ...]
) -> None:
    """70 % of a class and 15 % of the others, where it was 100 %."""
    learnt = ~pd.isna(tissue.labels)
    means, found = [], []
    for share in (1.0, 0.7):
        table = shares * (1.5 * share - 0.5) + (1 - share) / 2
        classifier = thorough(branches=branches).fit(tissue.spectra, table)
        probability = classifier.predict_proba(tissue.spectra)[learnt]
        means.append(probability.max(axis=1).mean())
        found.append(classifier.predict(tissue.spectra)[learnt])
    assert means[0] > means[1] + 0.05
    assert means[1] < 0.8
    assert np.mean(found[0] == found[1]) > 0.8


def test_predicted_shares_follow_the_labels() -> None:
    """Mixtures of two tissues, of which the shares are known."""
    spectra, labels = mg.simulate("tiny", n_classes=2, shape=(16, 16))
    rows = [np.flatnonzero(labels == name)[:60] for name in np.unique(labels[~pd.isna(labels)])]
    rng = np.random.default_rng(0)
    n = min(map(len, rows))
    share = rng.uniform(0, 1, n)
    peaks = []
    for a, b, part in zip(rows[0], rows[1], share, strict=False):
        one, other = spectra.pixel(a), spectra.pixel(b)
        mz = np.concatenate([one[0], other[0]])
        intensity = np.concatenate([part * one[1], (1 - part) * other[1]])
        order = np.argsort(mz, kind="stable")
        peaks.append((mz[order], intensity[order]))
    mixed = mg.Spectra.from_peaks(peaks, polarity="positive")
    table = pd.DataFrame({"a": share, "b": 1 - share})
    found = thorough().fit(mixed, table).predict_proba(mixed)[:, 0]
    assert np.corrcoef(found, share)[0, 1] > 0.7
    assert found.mean() == pytest.approx(share.mean(), abs=0.1)
    thirds = np.array_split(np.argsort(share), 3)
    means = [found[third].mean() for third in thirds]
    assert means[0] < means[1] < means[2]


def test_shares_that_are_none_are_refused_before_anything_is_read(
    tissue: Any, shares: pd.DataFrame
) -> None:
    wrong = shares.copy()
    pixel = int(np.flatnonzero(~pd.isna(tissue.labels))[5])
    wrong.iloc[pixel] = [0.5, 0.4, 0.2]
    for pixels in (tissue.spectra, Bare(tissue.spectra)):
        with pytest.raises(mg.InputError, match=rf"^pixel {pixel}: shares \[0\.5, 0\.4, 0\.2\]"):
            quick().fit(pixels, wrong)


# -------------------------------------------------------------------- weights


@pytest.mark.parametrize("weight", [1.0, 3.7])
def test_equal_weights_are_none(tissue: Any, hard: mg.RGCNClassifier, weight: float) -> None:
    spectra, labels = tissue
    weights = np.full(spectra.n_pixels, weight)
    assert_same_bits(quick().fit(spectra, labels, sample_weight=weights), hard)


def test_a_weight_of_zero_is_no_label(tissue: Any) -> None:
    spectra, labels = tissue
    ignored = np.random.default_rng(0).random(spectra.n_pixels) < 0.3
    fewer = labels.copy()
    fewer[ignored] = None
    weighted = quick().fit(spectra, labels, sample_weight=(~ignored).astype(float))
    assert_same_bits(weighted, quick().fit(spectra, fewer))
    assert not weighted.training_[ignored].any()


@pytest.mark.parametrize("branches", [("axis",), ("peak",), ("family", "peak")])
def test_light_pixels_that_are_wrong_do_no_harm(tissue: Any, branches: tuple[str, ...]) -> None:
    """A third of the labels are another class's; a small weight says that they are not to trust."""
    spectra, labels = tissue
    known = np.flatnonzero(~pd.isna(labels))
    wrong = known[np.random.default_rng(1).random(known.size) < 0.35]
    mistaken = labels.copy()
    mistaken[wrong] = [CLASSES[(CLASSES.index(name) + 1) % 3] for name in labels[wrong]]
    weight = np.ones(spectra.n_pixels)
    weight[wrong] = 1e-3

    def right(sample_weight: Any) -> float:
        classifier = thorough(branches=branches)
        classifier.fit(spectra, mistaken, sample_weight=sample_weight)
        return float(np.mean(classifier.predict(spectra)[known] == labels[known]))

    believed, weighed = right(None), right(weight)
    assert weighed > 0.85
    assert weighed > believed + 0.1


def test_classes_count_the_same_whatever_their_weights_sum_to(tissue: Any) -> None:
    """Weights are within classes: a heavy class is not predicted more often."""
    spectra, labels = tissue
    heavy = np.where(labels == "muscle", 50.0, 1.0)
    known = ~pd.isna(labels)
    share = []
    for weight in (None, heavy):
        found = (
            thorough(branches=("axis",)).fit(spectra, labels, sample_weight=weight).predict(spectra)
        )
        share.append(np.mean(found[known] == "muscle"))
    assert share[1] == pytest.approx(share[0], abs=0.08)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: np.where(np.arange(w.size) == 7, -1, w), "^sample_weight of pixel 7 is -1.0"),
        (lambda w: np.where(np.arange(w.size) == 9, np.nan, w), "^sample_weight of pixel 9 is nan"),
        (lambda w: w[1:], r"^sample_weight has shape \(287,\), need one for each of 288 pixels"),
        (lambda w: 0 * w, "^sample_weight is zero for all pixels"),
    ],
)
def test_weights_that_are_none(tissue: Any, change: Any, message: str) -> None:
    weight = change(np.ones(tissue.spectra.n_pixels))
    for pixels in (tissue.spectra, Bare(tissue.spectra)):
        with pytest.raises(mg.InputError, match=message):
            quick().fit(pixels, tissue.labels, sample_weight=weight)


def test_weights_without_labels_learn_nothing(tissue: Any) -> None:
    weight = pd.isna(tissue.labels).astype(float)
    with pytest.raises(mg.InputError, match="has 0 labelled pixel"):
        quick().fit(tissue.spectra, tissue.labels, sample_weight=weight)


# -------------------------------------------------------------------- sources


@pytest.mark.parametrize("kind", ["labels", "shares", "weights", "weighted shares"])
def test_a_source_is_learnt_from_as_its_pixels_in_memory(
    tissue: Any, shares: pd.DataFrame, kind: str
) -> None:
    spectra, labels = tissue
    rng = np.random.default_rng(0)
    soft = shares * 0.7 + 0.1
    weight = rng.uniform(0, 2, spectra.n_pixels) * (rng.random(spectra.n_pixels) < 0.8)
    y = labels if kind in ("labels", "weights") else soft
    sample_weight = weight if "weight" in kind else None
    known = ~pd.isna(labels) & ((weight > 0) if "weight" in kind else True)
    whole = quick().fit(spectra, y, sample_weight=sample_weight)
    read = quick().fit(Bare(spectra), y, sample_weight=sample_weight)
    assert_same_bits(read, whole)
    np.testing.assert_array_equal(read.training_, known)
    # Blocks are of other sizes than parts in memory: products may round the last bit otherwise.
    np.testing.assert_allclose(read.logits(Bare(spectra)), whole.logits(spectra), rtol=1e-12)
