"""The fitted model: all that is needed to predict, and the same whatever reads the pixels."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import massgraph as mg
from massgraph._util.errors import InputTypeError
from massgraph.fitted import Classes, FittedModel, fitted_model
from source_builder import Bare, Blocks, tissue


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return tissue()[0]


@pytest.fixture(scope="module", params=["default", "published"])
def fitted(request: pytest.FixtureRequest, spectra: mg.Spectra) -> mg.RGCNClassifier:
    small = {"folds": 2, "augment": 0, "hidden": (4, 4)} if request.param == "default" else {}
    clf = mg.RGCNClassifier(preset=request.param, epochs=2, device="cpu", **small)
    return clf.fit(spectra, tissue()[1])


# -------------------------------------------------------------------- who has one


def test_an_estimator_is_a_shell_around_it(fitted: mg.RGCNClassifier, spectra: mg.Spectra) -> None:
    model = fitted.fitted_
    assert isinstance(model, FittedModel)
    assert fitted_model(fitted) is fitted_model(model) is model
    assert fitted.model_ is model.network
    assert fitted.encoder_ is model.encoder
    assert fitted.settings_ is model.settings
    assert model.outputs.names == tuple(fitted.classes_)
    for method in ("logits", "branch_logits", "embed"):
        ours, theirs = (getattr(one, method)(spectra) for one in (fitted, model))
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(fitted.predict_proba(spectra), model.probabilities(spectra))
    assert fitted.summary() == model.summary()
    again = mg.RGCNClassifier.of(model)
    np.testing.assert_array_equal(again.logits(spectra), model.logits(spectra))
    assert again.get_params()["epochs"] == 2


@pytest.mark.parametrize(
    "name", ["classes_", "settings_", "encoder_", "model_", "polarity_", "history_", "training_"]
)
def test_what_was_fitted_is_read_and_not_written(fitted: mg.RGCNClassifier, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(fitted, name, None)
    with pytest.raises(FrozenInstanceError):
        fitted.fitted_.device = "cuda"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["classes_", "settings_", "encoder_", "polarity_", "summary"])
def test_an_unfitted_estimator_has_none(name: str) -> None:
    clf = mg.RGCNClassifier()
    assert not hasattr(clf, "fitted_")
    with pytest.raises((AttributeError, NotFittedError)):
        getattr(clf, name)()


def test_who_has_no_fitted_model() -> None:
    with pytest.raises(NotFittedError, match="RGCNClassifier instance is not fitted yet"):
        fitted_model(mg.RGCNClassifier())
    for other in ("model", None, object(), mg.RGCNClassifier, np.eye(3)):
        with pytest.raises(InputTypeError, match="is no fitted model") as caught:
            fitted_model(other)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, TypeError)


def test_a_fit_that_fails_leaves_no_model(spectra: mg.Spectra) -> None:
    clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, tissue()[1])
    with pytest.raises(mg.InputError):
        clf.fit(spectra, [None] * spectra.n_pixels)
    with pytest.raises(NotFittedError):
        fitted_model(clf)


def test_outputs_have_names() -> None:
    assert Classes(np.array([False, True])).names == ("False", "True")
    assert len(Classes(np.array(["a", "b", "c"]))) == 3


# -------------------------------------------------------------------- other processes


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_says_the_same(fitted: mg.RGCNClassifier, spectra: mg.Spectra, copied: Any) -> None:
    """Before and after predictions, whose scratch does not travel."""
    model = fitted.fitted_
    for _ in range(2):
        again = copied(model)
        assert again is not model
        np.testing.assert_array_equal(again.logits(spectra), model.logits(spectra))
    np.testing.assert_array_equal(again.embed(spectra), model.embed(spectra))
    assert again.summary() == model.summary()
    assert again.origin.fingerprint == model.origin.fingerprint
    assert again.was_fitted_to(spectra)
    found, wanted = (mg.RGCNClassifier.of(one).explain(spectra) for one in (again, model))
    assert found.ions.equals(wanted.ions)


def test_an_estimator_travels_with_it(fitted: mg.RGCNClassifier, spectra: mg.Spectra) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(spectra), fitted.predict(spectra))
    assert again.get_params() == fitted.get_params()


# -------------------------------------------------------------------- pixels


def test_pixels_of_a_fit_that_read_a_source_are_known_from_anywhere(spectra: mg.Spectra) -> None:
    clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0)
    model = clf.fit(Bare(spectra), tissue()[1]).fitted_
    for source in (spectra, Bare(spectra), Blocks(spectra, 50)):
        assert model.was_fitted_to(source)
    for source in (spectra[:-1], Bare(spectra[::-1]), Blocks(spectra[1:])):
        assert not model.was_fitted_to(source)


def test_branches_add_up(fitted: mg.RGCNClassifier, spectra: mg.Spectra) -> None:
    parts = fitted.fitted_.branch_logits(Bare(spectra))
    np.testing.assert_allclose(parts.sum(axis=1), fitted.logits(spectra), rtol=0, atol=1e-10)
