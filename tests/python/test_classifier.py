"""RGCNClassifier: what a user does, what must always hold, and what is refused."""

from __future__ import annotations

import json
import random
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

import massgraph as mg
from massgraph import fitted as fitted_module
from massgraph._util.errors import InputTypeError
from massgraph.data import sources

SINGLE = {"branches": ("relational",), "folds": 1}  # one net, quick to train


def quick(**parameters: Any) -> mg.RGCNClassifier:
    chosen = {**SINGLE, "epochs": 4, "augment": 1, "hidden": (8, 8), "device": "cpu", **parameters}
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
    classifier = mg.RGCNClassifier(epochs=6, folds=2, augment=1, device="cpu")
    classifier.fit(spectra, known)
    other = spectra.run == "run2"
    assert accuracy(classifier.predict(spectra[other]), labels[other]) > 0.6  # chance is 1/3
    assert list(classifier.classes_) == ["epithelium", "muscle", "stroma"]
    assert not classifier.training_[other].any()
    assert not classifier.validation_[other].any()
    metrics = classifier.segment(spectra, labels, explain=False).metrics()
    assert set(metrics.loc[metrics["run"] == "run2", "subset"]) == {"unseen"}
    assert set(metrics.loc[metrics["run"] == "run1", "subset"]) == {"training"}


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
    assert segmentation.parameters["tolerance"] == fitted.settings_.tolerance
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


def test_labels_that_say_missing_are_learnt_as_given_and_told(tissue: Any) -> None:
    """An array is taken to the letter: a fit warns, and clean_labels does what it advises."""
    spectra, labels = tissue
    texts = pd.Series(labels).astype(str).to_numpy(dtype=object)  # None becomes "None"
    n = int((texts == "None").sum())
    with pytest.warns(UserWarning, match=rf"{n} pixels labelled 'None': .*mg.clean_labels\(y\)"):
        classifier = quick(epochs=1).fit(spectra, texts)
    assert "None" in classifier.classes_
    with pytest.warns(UserWarning, match=f"{n} of 288 labels say 'None' and are read as missing"):
        cleaned = mg.clean_labels(texts)
    assert cleaned.tolist() == list(labels)


@pytest.mark.parametrize("fault", ["spaces", "few"])
def test_a_fit_says_which_classes_are_not_what_they_seem(tissue: Any, fault: str) -> None:
    spectra, labels = tissue
    y = labels.copy()
    muscle = np.flatnonzero(labels == "muscle")
    if fault == "spaces":
        y[muscle[::2]] = "muscle "
        words = "differ in spaces or upper and lower case alone: 'muscle' and 'muscle '"
    else:
        y[muscle[3:]] = None
        words = "class 'muscle' has 3 labelled pixels: fewer than 5"
    with pytest.warns(UserWarning, match=words) as told:
        quick(epochs=1).fit(spectra, y)
    assert len(told) == 1


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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* named like a missing value")
        classifier = quick(epochs=1).fit(spectra, np.array(values)[codes])
    assert classifier.classes_.dtype.kind == kind
    assert len(classifier.classes_) == (2 if kind == "f" else 3)


def test_whole_numbers_that_pandas_made_floats_are_the_same_classes(tissue: Any) -> None:
    """A column of integers with gaps is a float column, but 1.0 is class 1."""
    spectra, labels = tissue
    codes = pd.Series(labels).map({"epithelium": 0, "muscle": 1, "stroma": 2})
    known = codes.notna().to_numpy()
    classifier = quick(epochs=1).fit(spectra[known], codes[known].astype(int))
    assert classifier.classes_.dtype.kind == "i"
    segmentation = classifier.segment(spectra, codes, explain=False)
    assert list(segmentation.reference.categories) == ["0", "1", "2"]
    assert segmentation.classes == ("0", "1", "2")


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
    assert not torch.equal(
        other.model_.parts("relational")[0].head.weight,
        fitted.model_.parts("relational")[0].head.weight,
    )


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


def test_generators_of_gpus_are_not_seeded(tissue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.manual_seed reseeds every device, which putting the CPU's state back does not undo."""

    def never(*_: Any) -> None:
        pytest.fail("a global generator was seeded")

    monkeypatch.setattr(torch, "manual_seed", never)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", never)
    quick(epochs=1).fit(*tissue)


def test_a_seed_of_numpy_is_a_seed(tissue: Any, fitted: mg.RGCNClassifier) -> None:
    again = quick(random_state=np.int64(0)).fit(*tissue)
    assert torch.equal(
        again.model_.parts("relational")[0].head.weight,
        fitted.model_.parts("relational")[0].head.weight,
    )
    assert again.summary()["random_state"] == 0
    assert json.loads(json.dumps(again.summary()))["hidden"] == [8, 8]


@pytest.mark.parametrize("seed", [-1, 1.5, "x", np.random.default_rng(0)])
def test_seeds_that_are_none(tissue: Any, seed: Any) -> None:
    with pytest.raises(mg.InputError, match=r"random_state .* is no whole number of 0 or more"):
        quick(random_state=seed).fit(*tissue)


def test_threads_change_next_to_nothing(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = fitted.logits(tissue.spectra)
        torch.set_num_threads(2)
        two = fitted.logits(tissue.spectra)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_permuted_peaks_of_equal_mz_change_no_logit(fitted: mg.RGCNClassifier) -> None:
    """Peaks are a set: those of one m/z may come in any order."""
    mz, intensity = np.array([700.5, 700.5, 714.51565]), np.array([1.0, 5.0, 2.0])
    pixels = mg.Spectra.from_peaks([(mz, intensity), (mz, intensity[[1, 0, 2]])])
    first, second = fitted.logits(pixels)
    np.testing.assert_allclose(first, second, atol=1e-6)


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
    original, seen = sources.batches, []

    def one_by_one(offsets: Any) -> Any:
        seen.append(len(offsets) - 1)
        return original(offsets, max_peaks=1)

    monkeypatch.setattr(fitted_module, "batches", one_by_one)
    np.testing.assert_allclose(fitted.logits(spectra), whole, atol=1e-6)
    assert seen == [len(spectra)]
    monkeypatch.setattr(sources, "PART_PEAKS", spectra.n_peaks // 5)
    np.testing.assert_allclose(fitted.logits(spectra), whole, atol=1e-6)
    assert len(seen) > 5


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
    # Biases that BatchNorm cancels are trained on rounding errors, which Adam makes large.
    np.testing.assert_allclose(ours.logits(spectra), theirs.logits(spectra), atol=3e-2)


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
    assert classifier.model_.parts("relational")[0].layers[0].weight.shape[0] == 2  # gain and loss
    one_way = quick(epochs=1, relations=relations, directed=False).fit(spectra, labels)
    assert one_way.model_.parts("relational")[0].layers[0].weight.shape[0] == 1


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
        ({"learning_rate": float("inf")}, "learning_rate inf is not finite"),
        ({"weight_decay": float("nan")}, "weight_decay nan is not finite"),
        ({"tolerance": float("inf")}, "tolerance inf is not finite"),
        ({"tolerance": 1e6}, "1000000.0 ppm is .* Da at m/z .*: choose a smaller one"),
        ({"mz_range": (600.0, float("inf"))}, "mz_range inf is not finite"),
        ({"mz_range": (1, 2, 3)}, "mz_range"),
        ({"mz_range": (1.0, 2.0)}, "no peak is between m/z 1 and 2; the spectra have peaks from"),
        ({"batch_size": 1}, "batch_size 1 leaves BatchNorm nothing"),
        ({"device": "warp"}, "device 'warp' cannot be used here"),
        ({"device": "cuda:97"}, "device 'cuda:97' cannot be used here"),
    ],
)
def test_parameters_out_of_range(tissue: Any, parameters: Any, message: str) -> None:
    spectra, labels = tissue
    with pytest.raises(mg.InputError, match=message):
        mg.RGCNClassifier(**parameters).fit(spectra, labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": 2.5}, r"epochs 2\.5 must be a whole number"),
        ({"epochs": "3"}, "epochs '3' must be a whole number"),
        ({"patience": True}, "patience True must be a whole number"),
        ({"tolerance": "5 ppm"}, "tolerance '5 ppm' must be a number"),
        ({"hidden": 8}, "hidden 8 must be a list of whole numbers"),
        ({"hidden": (8.5,)}, "hidden .* must be a list of whole numbers"),
        ({"features": "mz"}, "features 'mz' must be a list of names"),
        ({"directed": "no"}, "directed 'no' must be True or False"),
        ({"rule": 3}, "rule 3 must be text"),
    ],
)
def test_parameters_of_another_type(tissue: Any, parameters: Any, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        mg.RGCNClassifier(**parameters).fit(*tissue)


def test_numbers_of_numpy_are_numbers(tissue: Any, fitted: mg.RGCNClassifier) -> None:
    tolerance = np.float64(fitted.settings_.tolerance)
    again = quick(epochs=np.int32(4), hidden=np.array([8, 8]), tolerance=tolerance)
    again.fit(*tissue)
    assert torch.equal(
        again.model_.parts("relational")[0].head.weight,
        fitted.model_.parts("relational")[0].head.weight,
    )


def test_relations_of_another_type(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(InputTypeError, match=r"must be a massgraph\.Relations, got dict"):
        mg.RGCNClassifier(relations={"CH2": 14.01565}).fit(spectra, labels)  # type: ignore[arg-type]


# -------------------------------------------------------------------- refusals


def test_one_class(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match=r"one class only, \['a'\]"):
        quick().fit(spectra, ["a"] * len(spectra))


def test_no_label_at_all(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match="no pixel has a label"):
        quick().fit(spectra, [None] * len(spectra))


def test_a_class_of_one_pixel(tissue: Any) -> None:
    spectra, labels = tissue
    rare = labels.copy()
    rare[0] = "rare"
    with pytest.raises(mg.InputError, match="'rare' has 1 labelled pixel"):
        quick().fit(spectra, rare)


def test_a_class_whose_pixels_are_all_empty(tissue: Any) -> None:
    spectra, labels = tissue
    marked = labels.copy()
    marked[[0, 1]] = "hole"
    with pytest.raises(mg.InputError, match="'hole' has 0 labelled pixel"):
        quick().fit(with_empty_pixels(spectra, [0, 1]), marked)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3,), r"y has shape \(3,\), need one label for each of 288 pixels"),
        ((2, 3), "y has 2 rows, need shares of the classes for each of 288 pixels"),
        ((288, 2, 2), r"y has shape \(288, 2, 2\)"),
    ],
)
def test_other_numbers_of_labels(tissue: Any, shape: tuple[int, ...], message: str) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match=message):
        quick().fit(spectra, np.zeros(shape))


def test_other_numbers_of_groups(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(mg.InputError, match=r"groups have shape \(2,\)"):
        quick().fit(spectra, labels, groups=[1, 2])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_labelled_pixel_without_a_group(tissue: Any, missing: Any) -> None:
    spectra, labels = tissue
    groups: list[Any] = [f"slide{pixel % 5}" for pixel in range(len(spectra))]
    unlabelled = np.flatnonzero([label is None for label in labels])
    labelled = np.flatnonzero([label is not None for label in labels])
    groups[unlabelled[0]] = missing  # of no concern
    quick(epochs=1).fit(spectra, labels, groups=groups)
    groups[labelled[3]] = missing
    with pytest.raises(mg.InputError, match=f"pixel {labelled[3]} has a label but no group"):
        quick(epochs=1).fit(spectra, labels, groups=groups)


def test_names_of_groups_do_not_matter(tissue: Any) -> None:
    spectra, labels = tissue
    numbers = np.arange(len(spectra)) // 7
    texts = pd.Categorical([f"{number:03}" for number in numbers])
    one, other = (quick(epochs=1).fit(spectra, labels, groups=g) for g in (numbers, texts))
    np.testing.assert_array_equal(one.validation_, other.validation_)


def test_one_group(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(mg.InputError, match="1 groups cannot be split"):
        quick().fit(spectra, labels, groups=np.zeros(len(spectra)))


def test_numbers_that_are_no_classes(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match="Unknown label type"):
        quick().fit(spectra, np.linspace(0, 1, len(spectra)))


def test_no_labels_given(tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match="requires y to be passed"):
        quick().fit(spectra, None)


def test_no_pixels_to_predict(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    with pytest.raises(mg.InputError, match="no pixels to predict"):
        fitted.predict(spectra[:0])


def test_a_loss_that_explodes_is_named(tissue: Any) -> None:
    spectra, labels = tissue
    with pytest.raises(FloatingPointError, match=r"epoch \d+, batch \d+, at learning rate 1e\+30"):
        quick(learning_rate=1e30, batch_norm=False).fit(spectra, labels)


@pytest.mark.parametrize("model", [{"effort": "thorough"}, {"preset": "published"}])
def test_weights_that_explode_in_the_last_batch_are_no_model(tissue: Any, model: Any) -> None:
    """The loss of the only batch is finite, and what comes after it is not."""
    classifier = mg.RGCNClassifier(
        **model, epochs=1, learning_rate=1e36, batch_size=10_000, batch_norm=False
    )
    with pytest.raises(FloatingPointError, match=r"epoch 1, on the held-out pixels, at learning"):
        classifier.fit(*tissue)


def test_a_fit_that_fails_leaves_no_half_new_model(tissue: Any) -> None:
    """Else the new classes would name the columns of the old network."""
    spectra, labels = tissue
    classifier = quick(epochs=1).fit(spectra, labels)
    with pytest.raises(mg.InputError, match="one class only"):
        classifier.fit(spectra, ["a"] * len(spectra))
    with pytest.raises(NotFittedError):
        classifier.predict(spectra)


@pytest.mark.filterwarnings("ignore:.* fewer than 5 are little")
def test_pixels_of_one_peak_can_be_learnt_from() -> None:
    """BatchNorm needs two peaks in a batch: no degraded copy may lose all of its own."""
    pixels = mg.Spectra.from_peaks([([700.5], [1.0])] * 2 + [([714.5], [1.0])] * 2)
    for seed in range(3):
        classifier = quick(epochs=10, augment=4, batch_size=2, random_state=seed)
        assert set(classifier.fit(pixels, list("aabb")).predict(pixels)) <= {"a", "b"}


def test_nothing_to_explain(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra = tissue.spectra
    with pytest.raises(mg.InputError, match="no pixels to explain"):
        fitted.explain(spectra[:0])
    explanation = fitted.explain(with_empty_pixels(spectra[:2], [0, 1]))
    assert explanation.labels.tolist() == [-1, -1]
    assert len(explanation.ions) == len(explanation.families) == 0


def test_huge_and_equal_intensities_stay_finite(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    mz, intensity = spectra.pixel(0)
    huge = intensity.copy()
    huge[3] = 1e30
    strongest = slice(int(np.argmax(intensity)), int(np.argmax(intensity)) + 1)
    one = mz[strongest], intensity[strongest]
    odd = mg.Spectra.from_peaks([(mz, huge), (mz, np.ones_like(mz)), one])
    assert np.isfinite(fitted.logits(odd)).all()


def test_spectra_of_the_other_polarity(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    negative = mg.Spectra.from_peaks([spectra.pixel(0)], polarity="negative")
    for method in ("predict", "explain", "segment"):
        with pytest.raises(
            mg.InputError, match="of negative polarity, but the model was fitted to"
        ):
            getattr(fitted, method)(negative)
    unknown = mg.Spectra.from_peaks([spectra.pixel(0)])
    assert len(fitted.predict(unknown)) == 1
