"""RGCNClassifier: what a user does, what must always hold, and what is refused."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import massgraph as mg
from massgraph import classifier as classifier_module
from massgraph import training
from massgraph.splits import default_groups


def quick(**parameters: Any) -> mg.RGCNClassifier:
    chosen = {"epochs": 4, "augment": 1, "hidden": (8, 8), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen)


def accuracy(found: Any, given: Any) -> float:
    """Balanced accuracy over the labelled pixels."""
    names = {name for name in given if name is not None}
    return float(np.mean([np.mean(found[given == name] == name) for name in names]))


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    spectra, labels = tissue
    return quick().fit(spectra, labels)


def numpy_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002  the global state is what is looked at


def with_empty_pixels(spectra: mg.Spectra, pixels: list[int]) -> mg.Spectra:
    return spectra.keep_peaks(~np.isin(spectra.pixel_of_peak, pixels))


# -------------------------------------------------------------------- a user's story


def test_learn_from_one_run_and_predict_the_other(tissue: Any) -> None:
    spectra, labels = tissue
    known = labels.copy()
    known[spectra.run == "run2"] = None
    classifier = mg.RGCNClassifier(epochs=25, augment=1, device="cpu").fit(spectra, known)
    other = spectra.run == "run2"
    assert accuracy(classifier.predict(spectra[other]), labels[other]) > 0.6  # chance is 1/3
    assert list(classifier.classes_) == ["epithelium", "muscle", "stroma"]
    assert not classifier.training_[other].any()
    assert not classifier.validation_[other].any()
    metrics = classifier.segment(spectra, labels, explain=False).metrics()
    assert set(metrics.loc[metrics["run"] == "run2", "subset"]) == {"unseen"}
    assert set(metrics.loc[metrics["run"] == "run1", "subset"]) == {"training", "held out"}


def test_all_that_a_fitted_classifier_gives(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    probability = fitted.predict_proba(spectra)
    assert probability.shape == (len(spectra), 3)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-12)
    logits = fitted.logits(spectra)
    np.testing.assert_array_equal(np.argmax(logits, axis=1), np.argmax(probability, axis=1))
    np.testing.assert_array_equal(fitted.decision_function(spectra), logits)
    uncertainty = fitted.uncertainty(spectra)
    assert ((uncertainty >= 0) & (uncertainty <= 1)).all()
    assert fitted.embed(spectra).shape == (len(spectra), 8)
    np.testing.assert_array_equal(
        fitted.predict(spectra), fitted.classes_[np.argmax(probability, axis=1)]
    )


def test_segmentation_carries_what_was_learnt(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, labels = tissue
    segmentation = fitted.segment(spectra, labels)
    assert segmentation.classes == ("epithelium", "muscle", "stroma")
    assert segmentation.explanation is not None
    pd.testing.assert_frame_equal(segmentation.history, fitted.history_)
    assert segmentation.parameters["tolerance"] == 5.0
    assert segmentation.parameters["n_training_pixels"] == int(fitted.training_.sum())
    assert "torch" in segmentation.versions
    other = fitted.segment(spectra[:20], explain=False)
    assert other.training is None
    assert other.validation is None
    assert other.explanation is None
    assert other.reference is None


@pytest.mark.parametrize("n_classes", [2, 5])
def test_any_number_of_classes(n_classes: int) -> None:
    spectra, labels = mg.simulate("tiny", n_classes=n_classes, shape=(16, 16))
    classifier = quick(epochs=2).fit(spectra, labels)
    assert classifier.predict_proba(spectra).shape == (len(spectra), n_classes)
    assert len(classifier.explain(spectra[:10]).classes) == n_classes


# -------------------------------------------------------------------- missing things


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("container", [list, pd.Series, "array"])
def test_missing_labels_are_not_a_class(tissue: Any, missing: Any, container: Any) -> None:
    spectra, labels = tissue
    values: Any = [missing if label is None else label for label in labels]
    values = np.array(values, dtype=object) if container == "array" else container(values)
    classifier = quick(epochs=1).fit(spectra, values)
    assert list(classifier.classes_) == ["epithelium", "muscle", "stroma"]
    known = np.array([label is not None for label in labels])
    used = classifier.training_ | classifier.validation_
    np.testing.assert_array_equal(used, known)


def test_categorical_labels(tissue: Any) -> None:
    spectra, labels = tissue
    levels = ["unused", "stroma", "muscle", "epithelium"]
    classifier = quick(epochs=1).fit(spectra, pd.Categorical(labels, categories=levels))
    assert list(classifier.classes_) == ["epithelium", "muscle", "stroma"]


@pytest.mark.parametrize(
    ("values", "kind"), [((0, 1, 2), "i"), ((0.0, 1.0, np.nan), "f"), (("0", "NA", ""), "U")]
)
def test_labels_keep_their_kind(tissue: Any, values: Any, kind: str) -> None:
    spectra, labels = tissue
    codes = np.unique([str(label) for label in labels], return_inverse=True)[1] % 3
    classifier = quick(epochs=1).fit(spectra, np.array(values)[codes])
    assert classifier.classes_.dtype.kind == kind
    assert len(classifier.classes_) == (2 if kind == "f" else 3)


def test_pixels_without_peaks_have_no_class(tissue: Any) -> None:
    spectra, labels = tissue
    empty = [0, 7, len(spectra) - 1]
    holed = with_empty_pixels(spectra, empty)
    classifier = quick().fit(holed, labels)
    assert not (classifier.training_ | classifier.validation_)[empty].any()
    assert all(classifier.predict(holed)[pixel] is None for pixel in empty)
    assert np.isnan(classifier.predict_proba(holed)[empty]).all()
    assert np.isnan(classifier.embed(holed)[empty]).all()
    assert (classifier.uncertainty(holed)[empty] == 1).all()
    full = np.setdiff1d(np.arange(len(spectra)), empty)
    assert np.isfinite(classifier.logits(holed)[full]).all()
    segmentation = classifier.segment(holed, labels)
    assert (segmentation.label.codes[empty] == -1).all()


def test_only_pixels_without_peaks(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    nothing = with_empty_pixels(spectra[:3], [0, 1, 2])
    assert list(fitted.predict(nothing)) == [None, None, None]


# -------------------------------------------------------------------- invariants


def test_same_seed_same_bits(tissue: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, labels = tissue
    again = quick().fit(spectra, labels)
    for name, weight in fitted.model_.state_dict().items():
        assert torch.equal(weight, again.model_.state_dict()[name]), name
    pd.testing.assert_frame_equal(again.history_, fitted.history_)
    other = quick(random_state=1).fit(spectra, labels)
    assert not torch.equal(other.model_.head.weight, fitted.model_.head.weight)


def test_nothing_global_is_touched(tissue: Any) -> None:
    spectra, labels = tissue
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  the global state is what is looked at
    random.seed(5)
    before = (torch.get_rng_state(), numpy_state(), random.getstate())
    threads = torch.get_num_threads()
    quick(epochs=1).fit(spectra, labels).segment(spectra, labels)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    assert random.getstate() == before[2]
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_a_given_generator_is_advanced_and_none_is_fresh(tissue: Any) -> None:
    spectra, labels = tissue
    state = np.random.RandomState(3)
    first = quick(epochs=1, random_state=state).fit(spectra, labels).logits(spectra)
    second = quick(epochs=1, random_state=state).fit(spectra, labels).logits(spectra)
    assert not np.array_equal(first, second)
    fresh = [quick(epochs=1, random_state=None).fit(spectra, labels).logits(spectra) for _ in "12"]
    assert not np.array_equal(*fresh)


def test_aligned_and_ragged_forms_are_the_same(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    matrix, axis = spectra.to_matrix(20.0)
    aligned = mg.Spectra.from_matrix(matrix.toarray(), axis, polarity="positive")
    ragged = mg.Spectra.from_peaks(
        [aligned.pixel(pixel) for pixel in range(len(aligned))], polarity="positive"
    )
    assert aligned.axis is not None
    assert ragged.axis is None
    np.testing.assert_array_equal(fitted.logits(aligned), fitted.logits(ragged))
    one, other = fitted.explain(aligned), fitted.explain(ragged)
    for name in fitted.classes_:
        sums = [np.asarray(part.activation[name].sum(axis=1)).ravel() for part in (one, other)]
        np.testing.assert_allclose(*sums, atol=1e-5)


def test_blocks_do_not_matter(
    fitted: mg.RGCNClassifier, tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spectra, _ = tissue
    whole = fitted.logits(spectra)

    def one_by_one(offsets: Any) -> Any:
        return training.batches(offsets, max_peaks=1)

    monkeypatch.setattr(classifier_module, "batches", one_by_one)
    np.testing.assert_allclose(fitted.logits(spectra), whole, atol=1e-6)


def test_order_of_pixels_does_not_matter(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    order = np.random.default_rng(0).permutation(len(spectra))
    shuffled = fitted.logits(spectra[order])
    np.testing.assert_allclose(shuffled, fitted.logits(spectra)[order], atol=1e-6)


def test_pyg_backend_learns_the_same(tissue: Any) -> None:
    pytest.importorskip("torch_geometric")
    spectra, labels = tissue
    ours = quick(epochs=1, augment=0).fit(spectra, labels)
    theirs = quick(epochs=1, augment=0, backend="pyg").fit(spectra, labels)
    first, second = ours.history_.iloc[0], theirs.history_.iloc[0]
    assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-4)
    np.testing.assert_allclose(ours.logits(spectra), theirs.logits(spectra), atol=1e-2)


# -------------------------------------------------------------------- the split


def test_groups_stay_together(tissue: Any) -> None:
    spectra, labels = tissue
    groups = np.arange(len(spectra)) // 7
    classifier = quick(epochs=1).fit(spectra, labels, groups=groups)
    assert classifier.validation_.any()
    assert not set(groups[classifier.training_]) & set(groups[classifier.validation_])


def test_default_groups_are_blocks_of_neighbours(tissue: Any) -> None:
    spectra, labels = tissue
    classifier = quick(epochs=1).fit(spectra, labels)
    rows = np.flatnonzero(classifier.training_ | classifier.validation_)
    groups = default_groups(spectra[rows])
    held_out = classifier.validation_[rows]
    assert not set(groups[held_out]) & set(groups[~held_out])
    share = held_out.mean()
    assert 0.1 < share < 0.35


def test_without_coordinates_pixels_are_split_one_by_one(tissue: Any) -> None:
    spectra, labels = tissue
    known = np.array([label is not None for label in labels])
    bare = mg.Spectra.from_peaks(
        [spectra.pixel(pixel) for pixel in np.flatnonzero(known)], polarity="positive"
    )
    classifier = quick(epochs=1).fit(bare, labels[known])
    assert classifier.validation_.mean() == pytest.approx(0.2, abs=0.05)


# -------------------------------------------------------------------- options


def test_m_z_range_and_most_intense_peaks(tissue: Any) -> None:
    spectra, labels = tissue
    classifier = quick(epochs=1, mz_range=(600.0, 900.0), max_peaks=20).fit(spectra, labels)
    cut = spectra.mz_range(600.0, 900.0).top_peaks(20)
    np.testing.assert_array_equal(classifier.logits(spectra), classifier.logits(cut))
    explanation = classifier.explain(spectra)
    assert explanation.peak_counts.max() == 20
    assert explanation.mz.min() >= 599.9
    assert explanation.mz.max() <= 900.1


def test_relations_of_the_user(tissue: Any) -> None:
    spectra, labels = tissue
    relations = mg.relations_from_masses({"CH2": 14.01565006})
    classifier = quick(epochs=1, relations=relations).fit(spectra, labels)
    assert classifier.model_.layers[0].weight.shape[0] == 2  # gain and loss
    one_way = quick(epochs=1, relations=relations, directed=False).fit(spectra, labels)
    assert one_way.model_.layers[0].weight.shape[0] == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "best"}, "preset 'best'"),
        ({"backend": "tpu"}, "backend 'tpu'"),
        ({"rule": "largest"}, "rule 'largest'"),
        ({"tolerance": 0.0}, "tolerance 0.0"),
        ({"tolerance": float("nan")}, "tolerance nan"),
        ({"tolerance_unit": "mDa"}, "'mDa'"),
        ({"features": ["colour"]}, "colour"),
        ({"features": []}, "no features"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"patience": 0}, "patience 0"),
        ({"validation_fraction": 1.0}, "validation_fraction 1.0"),
        ({"mz_range": (900.0, 600.0)}, "mz_range"),
        ({"max_peaks": 0}, "max_peaks 0"),
        ({"augment": -1}, "augment -1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
    ],
)
def test_parameters_out_of_range(tissue: Any, parameters: Any, message: str) -> None:
    spectra, labels = tissue
    with pytest.raises(ValueError, match=message):
        mg.RGCNClassifier(**parameters).fit(spectra, labels)


def test_relations_of_another_type(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(TypeError, match=r"must be a massgraph\.Relations, got dict"):
        mg.RGCNClassifier(relations={"CH2": 14.01565}).fit(spectra, labels)  # type: ignore[arg-type]


# -------------------------------------------------------------------- refusals


def test_one_class(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match=r"one class only, \['a'\]"):
        quick().fit(spectra, ["a"] * len(spectra))


def test_no_label_at_all(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match="no pixel has a label"):
        quick().fit(spectra, [None] * len(spectra))


def test_a_class_of_one_pixel(tissue: Any) -> None:
    spectra, labels = tissue
    rare = labels.copy()
    rare[0] = "rare"
    with pytest.raises(ValueError, match="'rare' has 1 labelled pixel"):
        quick().fit(spectra, rare)


def test_a_class_whose_pixels_are_all_empty(tissue: Any) -> None:
    spectra, labels = tissue
    marked = labels.copy()
    marked[[0, 1]] = "hole"
    with pytest.raises(ValueError, match="'hole' has 0 labelled pixel"):
        quick().fit(with_empty_pixels(spectra, [0, 1]), marked)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_other_numbers_of_labels(tissue: Any, shape: tuple[int, ...]) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match="y has shape"):
        quick().fit(spectra, np.zeros(shape))


def test_other_numbers_of_groups(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(ValueError, match=r"groups have shape \(2,\)"):
        quick().fit(spectra, labels, groups=[1, 2])


def test_one_group(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(ValueError, match="1 groups cannot be split"):
        quick().fit(spectra, labels, groups=np.zeros(len(spectra)))


def test_numbers_that_are_no_classes(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match="Unknown label type"):
        quick().fit(spectra, np.linspace(0, 1, len(spectra)))


def test_no_labels_given(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match="requires y to be passed"):
        quick().fit(spectra, None)


def test_no_pixels_to_predict(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(ValueError, match="no pixels to predict"):
        fitted.predict(spectra[:0])


def test_a_loss_that_explodes_is_named(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(FloatingPointError, match=r"epoch \d+, batch \d+, at learning rate 1e\+30"):
        quick(learning_rate=1e30, batch_norm=False).fit(spectra, labels)


def test_huge_and_equal_intensities_stay_finite(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    mz, intensity = spectra.pixel(0)
    huge = intensity.copy()
    huge[3] = 1e30
    odd = mg.Spectra.from_peaks([(mz, huge), (mz, np.ones_like(mz)), (mz[:1], intensity[:1])])
    assert np.isfinite(fitted.logits(odd)).all()
