"""An object of somebody else, with three names, works wherever `Spectra` do, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph._util.errors import InputTypeError
from massgraph.explain.faithfulness import deletion_curve
from source_builder import Bare, Other, Shifted, tissue

RELATIONS = mg.default_relations("positive")


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return tissue()[0]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return tissue()[1]


def quick() -> mg.RGCNClassifier:
    return mg.RGCNClassifier(epochs=2, folds=2, augment=0, hidden=(4, 4), device="cpu")


@pytest.fixture(scope="module")
def fitted(spectra: mg.Spectra, labels: np.ndarray) -> mg.RGCNClassifier:
    return quick().fit(spectra, labels)


@pytest.fixture(scope="module")
def table(
    spectra: mg.Spectra, labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The labels by place and run."""
    assert spectra.coordinates is not None
    x, y = spectra.coordinates[:, :2].astype(int).T
    rows = pd.DataFrame({"x": x, "y": y, "run": spectra.run, "label": labels}).dropna()
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows.to_csv(path, index=False)
    return path


def test_it_has_three_names_and_no_other(spectra: mg.Spectra) -> None:
    source = Bare(spectra)
    assert isinstance(source, mg.SpectraSource)
    for name in ("run", "places", "coordinates", "n_peaks", "polarity"):
        assert not hasattr(source, name)


# -------------------------------------------------------------------- it works


def test_it_is_learnt_from(
    spectra: mg.Spectra, labels: np.ndarray, fitted: mg.RGCNClassifier
) -> None:
    found = quick().fit(Bare(spectra), labels)
    np.testing.assert_array_equal(found.training_, fitted.training_)
    np.testing.assert_array_equal(found.validation_, fitted.validation_)
    np.testing.assert_array_equal(found.logits(spectra), fitted.logits(spectra))
    assert found.polarity_ == "positive"


@pytest.mark.parametrize("method", ["predict", "predict_proba", "uncertainty", "embed"])
def test_it_is_predicted(spectra: mg.Spectra, fitted: mg.RGCNClassifier, method: str) -> None:
    found, wanted = (getattr(fitted, method)(x) for x in (Bare(spectra), spectra))
    if method == "predict":
        assert found.tolist() == wanted.tolist()
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


def test_it_is_scored(spectra: mg.Spectra, labels: np.ndarray, fitted: mg.RGCNClassifier) -> None:
    labels = np.where(spectra.peak_counts > 0, labels, None)
    assert fitted.score(Bare(spectra), labels) == fitted.score(spectra, labels)


def test_it_is_explained(spectra: mg.Spectra, fitted: mg.RGCNClassifier) -> None:
    found, wanted = fitted.explain(Bare(spectra)), fitted.explain(spectra)
    np.testing.assert_array_equal(found.mz, wanted.mz)
    assert found.ions["n_pixels"].tolist() == wanted.ions["n_pixels"].tolist()
    np.testing.assert_allclose(found.ions["score"], wanted.ions["score"], atol=1e-6)
    pd.testing.assert_frame_equal(
        found.by_region(spectra.run), wanted.by_region(spectra.run), atol=1e-7
    )


def test_it_is_segmented(spectra: mg.Spectra, labels: np.ndarray) -> None:
    learnt = quick().fit(Bare(spectra), labels)
    found, wanted = (learnt.segment(x, labels) for x in (Bare(spectra), spectra))
    np.testing.assert_allclose(found.probability, wanted.probability, atol=1e-6)
    np.testing.assert_array_equal(found.coordinates, wanted.coordinates)
    np.testing.assert_array_equal(found.training, wanted.training)
    assert found.training.any()
    assert found.run.tolist() == wanted.run.tolist()
    pd.testing.assert_frame_equal(found.metrics(), wanted.metrics(), atol=1e-6)


def test_it_gets_its_labels(spectra: mg.Spectra, labels: np.ndarray, table: Path) -> None:
    found = mg.match_labels(mg.read_labels(table), Bare(spectra))
    assert found.tolist() == labels.tolist()


def test_its_relations_are_discovered(spectra: mg.Spectra) -> None:
    found = mg.discover_relations(Bare(spectra))
    assert len(found) > 0
    pd.testing.assert_frame_equal(found, mg.discover_relations(spectra), check_exact=True)


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_its_graph_is_built(spectra: mg.Spectra, size: int) -> None:
    found, wanted = (mg.build_graph(x, RELATIONS) for x in (Bare(spectra, size), spectra))
    assert found.spectra.fingerprint() == spectra.fingerprint()
    assert len(wanted.source) > 0
    for name in ("source", "target", "relation", "edge_offsets"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_its_ions_are_taken_away(spectra: mg.Spectra, fitted: mg.RGCNClassifier) -> None:
    options = {"fractions": [0.0, 0.1], "n_random": 1}
    explanation = fitted.explain(spectra)
    found, wanted = (
        deletion_curve(fitted, x, explanation, **options) for x in (Bare(spectra), spectra)
    )
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


# -------------------------------------------------------------------- or it is refused

ASKED: dict[str, Callable[..., Any]] = {
    "fit": lambda x, y, clf, table: quick().fit(x, y),
    "predict": lambda x, y, clf, table: clf.predict(x),
    "explain": lambda x, y, clf, table: clf.explain(x),
    "segment": lambda x, y, clf, table: clf.segment(x),
    "match_labels": lambda x, y, clf, table: mg.match_labels(mg.read_labels(table), x),
    "discover_relations": lambda x, y, clf, table: mg.discover_relations(x),
    "build_graph": lambda x, y, clf, table: mg.build_graph(x, RELATIONS),
}


@pytest.fixture(params=list(ASKED))
def ask(
    request: pytest.FixtureRequest, labels: np.ndarray, fitted: mg.RGCNClassifier, table: Path
) -> Callable[[Any], Any]:
    return lambda source: ASKED[request.param](source, labels, fitted, table)


def test_other_things_than_pixels_are_refused(
    ask: Callable[[Any], Any], spectra: mg.Spectra
) -> None:
    with pytest.raises(InputTypeError, match="Other gave a list in place of pixels") as caught:
        ask(Other(spectra))
    assert "\n" not in str(caught.value)


def test_another_number_of_pixels_is_refused(
    ask: Callable[[Any], Any], spectra: mg.Spectra
) -> None:
    message = r"gave \d+ pixels, (need|but says that it has) \d+"
    with pytest.raises(mg.InputError, match=message) as caught:
        ask(Shifted(spectra))
    assert "\n" not in str(caught.value)


class Half:
    """Two of the three names."""

    def __init__(self, spectra: mg.Spectra) -> None:
        self.n_pixels, self.read = spectra.n_pixels, spectra.pixel


@pytest.mark.parametrize("made", [Half, list, str, lambda _: None])
def test_what_is_no_source_is_refused(
    ask: Callable[[Any], Any], spectra: mg.Spectra, made: Callable[[mg.Spectra], Any]
) -> None:
    thing = made(spectra[:3])
    with pytest.raises(mg.InputError, match=type(thing).__name__) as caught:
        ask(thing)
    assert "\n" not in str(caught.value)
