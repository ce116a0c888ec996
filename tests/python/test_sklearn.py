"""RGCNClassifier as a scikit-learn estimator."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_array

import massgraph as mg
from massgraph._util.errors import InputTypeError


class MatrixClassifier(mg.RGCNClassifier):
    """Takes matrices of any width: columns are a CH2 series, log(1 + exp(x)) the intensities.

    A matrix needs an m/z axis, which scikit-learn with its changing widths cannot give.
    Validation and prediction are those of RGCNClassifier.
    """

    def _as_spectra(self, X: Any, *, fitting: bool = False) -> mg.Spectra:
        if not isinstance(X, mg.Spectra):
            matrix = check_array(X, accept_sparse="csr", dtype=np.float64)
            self.mz = 300 + 14.01565006 * np.arange(matrix.shape[1])
            X = np.logaddexp(0, matrix.toarray() if sp.issparse(matrix) else matrix)
        try:
            return super()._as_spectra(X, fitting=fitting)
        finally:
            self.mz = None

    def __sklearn_tags__(self) -> Any:
        """Intensities are z-scored in each pixel: of two columns only which is larger remains.

        The accuracy on the two columns of check_classifiers_train is therefore not looked at; all
        else in it is.
        """
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


# Name of a check -> reason why it cannot pass. A weight says how much a pixel counts within its
# class, and not how many pixels there are: folds, draws and shrinkage go by their number.
# `learn/test_soft_labels.py` and `learn/test_discriminants.py` have what does hold.
REPEATED = "a pixel of weight 2 is drawn twice as often, which no second pixel beside it repeats"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": REPEATED,
    "check_sample_weight_equivalence_on_sparse_data": REPEATED,
}


@parametrize_with_checks(
    [MatrixClassifier(epochs=2, augment=1, folds=2, hidden=(4, 4), device="cpu")],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_estimator_contract(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


# -------------------------------------------------------------------- Spectra in scikit-learn


@pytest.fixture(scope="module")
def tissue() -> tuple[mg.Spectra, Any]:
    spectra, labels = mg.simulate("tiny", n_runs=3)
    known = np.array([label is not None for label in labels])
    return spectra[known], labels[known].astype(str)


def quick(**parameters: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(
        epochs=12,
        augment=1,
        hidden=(8, 8),
        folds=1,
        branches=("relational",),
        device="cpu",
        **parameters,
    )


def test_cross_validation_by_run(tissue: tuple[mg.Spectra, Any]) -> None:
    spectra, labels = tissue
    scores = cross_val_score(
        quick(),
        spectra,
        labels,
        groups=spectra.run,
        cv=GroupKFold(3),
        scoring="balanced_accuracy",
    )
    assert scores.shape == (3,)
    assert scores.mean() > 0.5  # chance is 1/3


def test_roc_auc_of_two_classes(tissue: tuple[mg.Spectra, Any]) -> None:
    spectra, labels = tissue
    two = labels != "muscle"
    scores = cross_val_score(
        quick(),
        spectra[two],
        labels[two],
        groups=spectra[two].run,
        cv=GroupKFold(3),
        scoring="roc_auc",
    )
    assert scores.mean() > 0.6


def test_decision_function_of_two_classes_is_the_difference(
    tissue: tuple[mg.Spectra, Any],
) -> None:
    spectra, labels = tissue
    two = labels != "muscle"
    classifier = quick().fit(spectra[two], labels[two])
    logits = classifier.logits(spectra[two])
    decision = classifier.decision_function(spectra[two])
    np.testing.assert_array_equal(decision, logits[:, 1] - logits[:, 0])
    chosen = classifier.classes_[(decision > 0).astype(int)]
    np.testing.assert_array_equal(classifier.predict(spectra[two]), chosen)


def test_pickle_and_joblib_keep_the_predictions(
    tissue: tuple[mg.Spectra, Any], tmp_path: Path
) -> None:
    """For worker processes and caches; models are kept by `save`."""
    spectra, labels = tissue
    classifier = quick().set_params(epochs=2).fit(spectra, labels)
    joblib.dump((classifier, spectra), tmp_path / "fitted")
    for again, pixels in (
        pickle.loads(pickle.dumps((classifier, spectra))),
        joblib.load(tmp_path / "fitted"),
    ):
        np.testing.assert_array_equal(again.logits(pixels), classifier.logits(spectra))


@pytest.mark.parametrize(
    "parameters",
    [{"branches": None, "folds": 2}, {"batch_norm": False}, {"preset": "published"}],
    ids=["branches", "one net", "published"],
)
def test_pickles_hold_a_model_and_nothing_else(
    tissue: tuple[mg.Spectra, Any], tmp_path: Path, parameters: dict[str, Any]
) -> None:
    """No scratch of the training, which may be sixty times as large as the weights."""
    spectra, labels = tissue
    if "preset" in parameters:
        classifier = mg.RGCNClassifier(epochs=2, device="cpu", **parameters)
    else:
        classifier = quick().set_params(epochs=2, **parameters)
    classifier.fit(spectra, labels)
    classifier.save(tmp_path / "model")
    weights = (tmp_path / "model" / "weights.safetensors").stat().st_size
    classifier.explain(spectra)
    assert len(pickle.dumps(classifier)) < 4 * weights
    joblib.dump(classifier, tmp_path / "dumped")
    assert (tmp_path / "dumped").stat().st_size < 4 * weights


# -------------------------------------------------------------------- pixels without peaks


@pytest.fixture(scope="module")
def holed(tissue: tuple[mg.Spectra, Any]) -> mg.Spectra:
    """The same pixels, but pixel 7 has no peaks."""
    spectra, _ = tissue
    return spectra.keep_peaks(spectra.pixel_of_peak != 7)


def test_a_pixel_without_peaks_is_missed_and_named(
    tissue: tuple[mg.Spectra, Any], holed: mg.Spectra
) -> None:
    spectra, labels = tissue
    classifier = quick().set_params(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    found = classifier.predict(spectra)
    with pytest.warns(UserWarning, match="1 labelled pixels, the first pixel 7, have no") as caught:
        score = classifier.score(holed, labels)
    assert [one.filename for one in caught] == [__file__]
    right = found == labels
    right[7] = False
    assert score == pytest.approx(right.mean(), abs=2 / len(labels))
    weight = np.ones(len(labels))
    weight[7] = 1e6
    with pytest.warns(UserWarning, match="pixel 7"):
        assert classifier.score(holed, labels, weight) < 1e-3
    unlabelled = labels.astype(object)
    unlabelled[7] = None
    assert classifier.score(holed, unlabelled) == pytest.approx(
        (score * len(labels)) / (len(labels) - 1)
    )


def test_cross_validation_with_a_pixel_without_peaks(
    tissue: tuple[mg.Spectra, Any], holed: mg.Spectra
) -> None:
    """One bad pixel takes no fold away: neither an error nor NaN."""
    classifier = quick().set_params(branches=("axis",), folds=2, augment=0)
    with pytest.warns(UserWarning, match="the first pixel 7, have no peaks"):
        scores = cross_val_score(
            classifier,
            holed,
            tissue[1],
            groups=holed.run,
            cv=GroupKFold(3),
            error_score="raise",
        )
    assert np.isfinite(scores).all()
    assert scores.min() > 0.8


def test_classes_absent_from_a_fold_have_no_column(tissue: tuple[mg.Spectra, Any]) -> None:
    """Columns are those of `classes_`; a class first seen in prediction is simply never named."""
    spectra, labels = tissue
    two = labels != "muscle"
    classifier = quick().set_params(epochs=1).fit(spectra[two], labels[two])
    assert classifier.predict_proba(spectra).shape == (len(spectra), 2)
    segmentation = classifier.segment(spectra, labels, explain=False)
    assert segmentation.recall()["muscle"] == 0
    assert classifier.score(spectra, labels) < 1


def test_grid_search_over_settings(tissue: tuple[mg.Spectra, Any]) -> None:
    spectra, labels = tissue
    search = GridSearchCV(
        quick().set_params(epochs=1),
        {"tolerance": [3.0, 8.0], "hidden": [(4,), (4, 4)]},
        cv=GroupKFold(3),
        scoring="balanced_accuracy",
    )
    search.fit(spectra, labels, groups=spectra.run)
    assert set(search.best_params_) == {"tolerance", "hidden"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_clone_and_parameters() -> None:
    relations = mg.default_relations("positive")
    classifier = quick(relations=relations, tolerance=3.0, random_state=4)
    copy = clone(classifier)
    assert copy.get_params()["tolerance"] == 3.0
    assert copy.relations == relations
    assert copy.set_params(tolerance=7.0).tolerance == 7.0
    assert classifier.tolerance == 3.0
    with pytest.raises(ValueError, match="Invalid parameter 'tolerence'"):
        copy.set_params(tolerence=1)


def test_a_clone_of_some_branches_has_these(tissue: tuple[mg.Spectra, Any]) -> None:
    """A grid search over what `only` gives must not fit all branches anew."""
    both = quick().set_params(branches=("peak", "axis"), folds=2, epochs=1).fit(*tissue)
    alone = both.only("axis")
    copy = clone(alone)
    assert copy.get_params()["branches"] == ("axis",)
    assert both.get_params()["branches"] == ("peak", "axis")
    again = copy.fit(*tissue)
    assert again.settings_.branches == ("axis",)
    assert again.contributions_["branch"].tolist() == ["axis", "all"]
    assert again.history_ is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tolerance": 4.0},
        {"tolerance": 0.003, "tolerance_unit": "Da"},
        {"mz_range": (300.0, 900.0), "hidden": (4,), "random_state": 3},
    ],
)
def test_a_loaded_model_knows_what_its_fit_was_given(
    tissue: tuple[mg.Spectra, Any], tmp_path: Path, given: dict[str, Any]
) -> None:
    """What was found in the data is found anew in other data, and what was chosen stays."""
    classifier = quick(**{key: value for key, value in given.items() if key != "hidden"})
    classifier.set_params(epochs=1, hidden=given.get("hidden", (8, 8))).fit(*tissue)
    classifier.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.get_params() == classifier.get_params()
    assert loaded.get_params()["tolerance"] == given.get("tolerance")
    assert loaded.settings_ == classifier.settings_
    assert loaded.settings_.tolerance is not None
    again = clone(loaded).fit(*tissue)
    np.testing.assert_array_equal(again.logits(tissue[0]), classifier.logits(tissue[0]))


def test_the_branches_of_a_loaded_model_are_given(
    tissue: tuple[mg.Spectra, Any], tmp_path: Path
) -> None:
    both = quick().set_params(branches=("peak", "axis"), folds=2, epochs=1).fit(*tissue)
    both.only("axis").save(tmp_path / "model")
    assert clone(mg.load(tmp_path / "model")).branches == ("axis",)


def test_unfitted_classifiers_say_so(tissue: tuple[mg.Spectra, Any]) -> None:
    spectra, _ = tissue
    for method in ("predict", "predict_proba", "embed", "explain", "segment", "uncertainty"):
        with pytest.raises(NotFittedError):
            getattr(mg.RGCNClassifier(), method)(spectra)
    with pytest.raises(NotFittedError):
        mg.RGCNClassifier().save("nowhere")


@pytest.mark.filterwarnings("ignore:.* fewer than 5 are little")
def test_matrices_need_an_axis() -> None:
    matrix, labels = np.ones((6, 3)), list("ababab")
    with pytest.raises(InputTypeError, match=r"ndarray.*RGCNClassifier\(mz=...\)"):
        mg.RGCNClassifier().fit(matrix, labels)
    classifier = quick(mz=[700.0, 714.01565, 728.0313]).fit(matrix, labels)
    assert classifier.n_features_in_ == 3
    with pytest.raises(mg.InputError, match="X has 2 features, but RGCNClassifier is expecting 3"):
        classifier.predict(matrix[:, :2])


def test_score_of_one_pixel_without_peaks(tissue: tuple[mg.Spectra, Any]) -> None:
    spectra, labels = tissue
    classifier = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    empty = mg.Spectra.from_peaks([([], [])], coordinates=[[1, 1]], polarity="positive")
    with pytest.warns(UserWarning, match="1 labelled pixels, the first pixel 0, have no peaks"):
        assert classifier.score(empty, [labels[0]]) == 0
