"""Baselines: all names work the same way, and have the calibration that is promised."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import massgraph as mg
from massgraph.data import degrade
from massgraph.evidence.baselines import (
    BASELINES,
    GRIDS,
    PLSDA,
    AlignedClassifier,
    BinnedCNN,
    make_baseline,
)
from massgraph.evidence.cnn import bin_spectra


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny", n_background=20)
    known = ~pd.isna(labels)
    return spectra[known], labels[known].astype(str)


@pytest.mark.parametrize("name", ["lda", "shrinkage_lda", "pls_da", "logistic", "svm"])
def test_a_baseline_on_the_axis_learns(name: str, tissue: Any) -> None:
    spectra, labels = tissue
    model = make_baseline(name).fit(spectra, labels)
    probability = model.predict_proba(spectra)
    assert probability.shape == (len(spectra), 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert np.mean(model.predict(spectra) == labels) > 0.8
    moved = degrade.shift_mz(spectra, 0.07, "Da")
    assert np.mean(model.predict(moved) == model.predict(spectra)) > 0.97


@pytest.mark.parametrize("name", ["random_forest", "boosting"])
def test_trees(name: str, tissue: Any) -> None:
    spectra, labels = tissue
    few = np.arange(0, len(spectra), 4)
    model = make_baseline(name).fit(spectra[few], labels[few])
    assert np.mean(model.predict(spectra[few]) == labels[few]) > 0.9


def test_without_recalibration_a_shift_is_the_end(tissue: Any) -> None:
    spectra, labels = tissue
    model = make_baseline("shrinkage_lda", recalibrate=False).fit(spectra, labels)
    moved = degrade.shift_mz(spectra, 0.07, "Da")
    assert np.mean(model.predict(moved) == labels) < 0.7


def test_copies_are_learnt_from(tissue: Any) -> None:
    spectra, labels = tissue
    plain = AlignedClassifier(DummyClassifier()).fit(spectra, labels)
    assert plain.estimator_.class_prior_.shape == (3,)

    class Counting(LogisticRegression):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Any:
            self.rows_ = len(y)
            return super().fit(X, y)

    model = AlignedClassifier(Counting(max_iter=5), augment=2)
    with pytest.warns(UserWarning, match="converge"):
        model.fit(spectra[:60], labels[:60])
    assert model.estimator_.rows_ == 180


def test_the_networks(tissue: Any) -> None:
    assert make_baseline("published").preset == "published"
    assert make_baseline("peak_set", random_state=3).branches == ("peak",)
    assert set(BASELINES) >= {"cnn_1d", "peak_set", "published", "xgboost"}


def test_the_cnn(tissue: Any) -> None:
    spectra, labels = tissue
    model = BinnedCNN(epochs=25).fit(spectra, labels)
    assert np.mean(model.predict(spectra) == labels) > 0.45  # chance is 1/3
    short = clone(model).set_params(epochs=2)
    one, other = (clone(short).fit(spectra, labels).predict_proba(spectra) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_bins() -> None:
    spectra = mg.Spectra.from_peaks([([100.01, 100.04, 100.95], [1.0, 2, 9]), ([], [])])
    bins = bin_spectra(spectra, (100.0, 101.0))
    assert bins.shape == (2, 11)
    assert bins[0, [0, 9]].tolist() == pytest.approx([np.log(4) / np.log(10), 1])
    assert bins[1].tolist() == [0] * 11
    assert bin_spectra(spectra, (200.0, 201.0)).sum() == 0


def test_pls_da_takes_fewer_components_where_it_must() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 4)
    X = rng.normal(size=(8, 5)) + 3.0 * (y == "b")[:, None]
    model = PLSDA(n_components=30).fit(X, y)
    assert (model.predict(X) == y).all()


def test_missing_labels_are_left_out(tissue: Any) -> None:
    spectra, labels = tissue
    some = labels.astype(object)
    some[10:] = None
    some[:10] = ["a", "b"] * 5
    model = make_baseline("logistic").fit(spectra, some)
    assert model.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s, y: make_baseline("forest"), "baseline 'forest' is none of"),
        (lambda s, y: make_baseline("lda", window_da=0).fit(s, y), "window_da 0 is not above"),
        (lambda s, y: make_baseline("lda").fit(s, y[:3]), "need one label for each of"),
    ],
)
def test_what_is_refused(make: Any, message: str, tissue: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make(*tissue)


def test_xgboost_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"pip install 'massgraph\[xgboost\]'"):
        make_baseline("xgboost")


# -------------------------------------------------------------------- runs that differ


def test_standardised_in_each_run_gains_of_runs_change_nothing(tissue: Any) -> None:
    spectra, labels = tissue
    plain = make_baseline("shrinkage_lda").fit(spectra, labels)
    model = make_baseline("shrinkage_lda", per_run=True).fit(spectra, labels)
    other = degrade.batch_effect(spectra, 2.0, np.random.default_rng(0))
    of_plain, of_model = (np.mean(one.predict(other) == labels) for one in (plain, model))
    assert of_model > 0.9 > of_plain
    # Of each run the mean is 0: what all its pixels have more of is not seen.
    for name in np.unique(spectra.run):
        of_run = model._matrix(spectra)[spectra.run == name]
        np.testing.assert_allclose(of_run.mean(axis=0), 0, atol=1e-9)


# -------------------------------------------------------------------- tuned


def test_a_tuned_baseline_takes_the_settings_that_tell_held_out_pixels(tissue: Any) -> None:
    """Copies of a pixel are never on both sides: with them, too, the best is found."""
    spectra, labels = tissue
    for augment in (0, 1):
        model = make_baseline("logistic", augment=augment, tuned=True).fit(spectra, labels)
        chosen = model.estimator_.get_params()["logisticregression__C"]
        assert chosen in GRIDS["logistic"]["logisticregression__C"]
    worst = AlignedClassifier(
        KNeighborsClassifier(), grid={"n_neighbors": [len(labels) // 3, 3]}
    ).fit(spectra, labels)
    assert worst.estimator_.n_neighbors == 3


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_every_grid_names_settings_that_there_are(name: str) -> None:
    known = make_baseline(name).estimator.get_params()
    assert set(GRIDS[name]) <= set(known)


def test_what_has_no_grid_is_not_tuned() -> None:
    with pytest.raises(mg.InputError, match="baseline 'lda' has no grid"):
        make_baseline("lda", tuned=True)
