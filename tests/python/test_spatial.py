"""Neighbours in the classifier: what a user sees of them, and where they are not asked."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.data.neighbours import neighbours_around
from massgraph.explain.faithfulness import deletion_curve
from massgraph.segment import segment
from massgraph.segmentation import uncertainty_of
from massgraph.simulation.simulate import OFF_TISSUE
from massgraph.store import ModelError
from source_builder import Bare, Blocks

WHERE = ("predict", "predict_proba", "uncertainty")
ALONE = ("logits", "decision_function", "branch_logits", "embed")


def quick(**options: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(branches=("axis",), augment=0, device="cpu", **options)


def recalls(found: Any, truth: Any, scored: Any) -> float:
    names = sorted(set(truth[scored].tolist()))
    return float(np.mean([(found == truth)[scored & (truth == name)].mean() for name in names]))


@pytest.fixture(scope="module")
def image() -> tuple[mg.Spectra, Any, Any]:
    """Two runs of few peaks, a quarter of their pixels labelled: spectra, truth, labels."""
    simulation = mg.simulate("tiny", shape=(16, 16), effect=0.4)
    rng = np.random.default_rng(0)
    spectra = mg.degrade.remove_peaks(simulation.spectra, 0.5, rng)
    labels = np.where(simulation.truth == OFF_TISSUE, None, simulation.truth)
    labels[rng.random(len(labels)) < 0.75] = None
    return spectra, simulation.truth, labels


@pytest.fixture(scope="module")
def fitted(image: Any) -> mg.RGCNClassifier:
    spectra, _, labels = image
    return quick().fit(spectra, labels)


@pytest.fixture(scope="module")
def alone(image: Any) -> mg.RGCNClassifier:
    spectra, _, labels = image
    return quick(spatial=False).fit(spectra, labels)


# -------------------------------------------------------------------- a user's story


def test_neighbours_help_where_spectra_are_poor(
    image: Any, fitted: mg.RGCNClassifier, alone: mg.RGCNClassifier
) -> None:
    spectra, truth, labels = image
    scored = (labels == None) & (truth != OFF_TISSUE)  # noqa: E711  one by one
    before, after = (recalls(clf.predict(spectra), truth, scored) for clf in (alone, fitted))
    assert after > before + 0.02
    assert fitted.summary()["field_strength"] == fitted.fitted_.field.strength > 0
    assert alone.summary()["field_strength"] == 0
    assert alone.fitted_.field is None


def test_without_them_everything_is_as_it_was(
    image: Any, fitted: mg.RGCNClassifier, alone: mg.RGCNClassifier
) -> None:
    """The fit itself knows nothing of neighbours: the same weights, to the last bit."""
    spectra = image[0]
    for name in ALONE:
        ours, others = (getattr(clf, name)(spectra) for clf in (fitted, alone))
        np.testing.assert_array_equal(ours, others)
    bare = replace(fitted.fitted_, field=None)
    np.testing.assert_array_equal(bare.probabilities(spectra), alone.predict_proba(spectra))
    logits = alone.logits(spectra)
    known = ~np.isnan(logits).any(axis=1)
    labels = alone.classes_[np.nan_to_num(logits).argmax(axis=1)]
    np.testing.assert_array_equal(alone.predict(spectra)[known], labels[known])


def test_what_neighbours_decide_and_what_not(image: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, _, labels = image
    probability, logits = fitted.predict_proba(spectra), fitted.logits(spectra)
    found = fitted.segment(spectra, labels)
    np.testing.assert_array_equal(found.probability, probability)
    np.testing.assert_array_equal(np.asarray(found.label), fitted.predict(spectra))
    np.testing.assert_array_equal(found.uncertainty, fitted.uncertainty(spectra))
    np.testing.assert_array_equal(found.uncertainty, uncertainty_of(probability))
    moved = found.by_neighbours
    assert moved is not None
    np.testing.assert_array_equal(moved, logits.argmax(axis=1) != probability.argmax(axis=1))
    assert 0 < moved.mean() < 0.3
    # What is explained is the pixel by itself, exactly.
    assert found.explanation is not None
    np.testing.assert_allclose(found.explanation.logits(), logits, atol=1e-9)
    curve = deletion_curve(fitted, spectra[:40], fitted.explain(spectra[:40]))
    assert len(curve) > 1


def test_the_pixels_that_neighbours_decided_are_written(
    image: Any, fitted: mg.RGCNClassifier, alone: mg.RGCNClassifier
) -> None:
    spectra = image[0]
    found = fitted.segment(spectra, explain=False)
    obs = found.to_anndata().obs
    np.testing.assert_array_equal(obs["massgraph_by_neighbours"], found.by_neighbours)
    without = alone.segment(spectra, explain=False)
    assert without.by_neighbours is None
    assert "massgraph_by_neighbours" not in without.to_anndata().obs


def test_labels_of_neighbours_are_not_asked(image: Any, fitted: mg.RGCNClassifier) -> None:
    """Pixels of the fit are treated as those of a new run: their spectra say all."""
    spectra, _, _ = image
    other = replace(spectra, run_names=("new1", "new2"))
    np.testing.assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(spectra))


def test_sure_pixels_keep_their_class(image: Any, fitted: mg.RGCNClassifier) -> None:
    spectra = image[0]
    logits = fitted.logits(spectra)
    ordered = np.sort(logits, axis=1)
    sure = ordered[:, -1] - ordered[:, -2] > np.log(20)
    assert sure.any()
    moved = fitted.segment(spectra, explain=False).by_neighbours
    assert moved is not None
    assert not moved[sure].any()


# -------------------------------------------------------------------- layers


def layered(code: np.ndarray, seed: int, keep: float) -> tuple[mg.Spectra, np.ndarray]:
    """Pixels of a simulation dealt out on a grid of classes."""
    simulation = mg.simulate("tiny", n_runs=3, shape=(20, 20), effect=0.6, random_state=seed)
    rng = np.random.default_rng(seed)
    rows = np.empty(code.size, dtype=np.int64)
    for number, name in enumerate(simulation.classes):
        at = np.flatnonzero(code.ravel() == number)
        rows[at] = rng.permutation(np.flatnonzero(simulation.truth == name))[: at.size]
    y, x = np.divmod(np.arange(code.size), code.shape[1])
    spectra = replace(
        simulation.spectra[rows],
        coordinates=np.stack([x, y], axis=1) + 1.0,
        run_codes=None,
        run_names=("run",),
    )
    truth = np.array(simulation.classes, dtype=object)[code.ravel()]
    return mg.degrade.remove_peaks(spectra, keep, rng), truth


@pytest.mark.parametrize("keep", [1.0, 0.7])
@pytest.mark.parametrize("broad", [False, True], ids=["layers only", "and broad elsewhere"])
def test_layers_of_one_pixel_survive(broad: bool, keep: float) -> None:
    size = 20
    code = np.tile((np.arange(size) >= size // 2).astype(int), (size, 1))
    code[:, [4, 8, 13, 17]] = 2
    thin = code == 2
    if broad:
        code[:6] = 2
        thin[:7] = False
    recall, accuracy = [], []
    for seed in range(2):
        spectra, truth = layered(code, seed, keep)
        rng = np.random.default_rng(seed)
        labels = np.where(rng.random(truth.size) < 0.25, truth, None)
        model = quick().fit(spectra, labels).fitted_
        scored = labels == None  # noqa: E711  one by one
        both = [
            np.asarray(segment(one, spectra, explain=False).label)
            for one in (replace(model, field=None), model)
        ]
        right = [(found == truth)[scored & thin.ravel()].mean() for found in both]
        recall.append(right)
        accuracy.append([recalls(found, truth, scored) for found in both])
    before, after = np.mean(recall, axis=0)
    assert after >= before
    before, after = np.mean(accuracy, axis=0)
    assert after >= before


# -------------------------------------------------------------------- where none are asked


def test_without_coordinates_none_are_asked(image: Any, alone: mg.RGCNClassifier) -> None:
    spectra, _, labels = image
    nowhere = replace(spectra, coordinates=None)
    model = quick().fit(nowhere, labels)
    assert model.fitted_.field is None
    same = quick(spatial=False).fit(nowhere, labels)
    for name in (*WHERE, *ALONE):
        np.testing.assert_array_equal(getattr(model, name)(nowhere), getattr(same, name)(nowhere))
    with pytest.raises(InputError, match="spatial=True needs pixels with coordinates"):
        quick(spatial=True).fit(nowhere, labels)


def test_pixels_to_predict_without_coordinates(image: Any, fitted: mg.RGCNClassifier) -> None:
    """Each by itself; where the user insisted on neighbours, an error."""
    spectra, _, labels = image
    nowhere = replace(spectra, coordinates=None)
    bare = replace(fitted.fitted_, field=None)
    np.testing.assert_array_equal(fitted.predict_proba(nowhere), bare.probabilities(nowhere))
    insisting = quick(spatial=True).fit(spectra, labels)
    assert insisting.fitted_.field is not None
    with pytest.raises(InputError, match="have no coordinates"):
        insisting.predict(nowhere)


def test_scattered_pixels_have_no_neighbours(image: Any) -> None:
    """Only labelled pixels were given, none beside another."""
    spectra, truth, _ = image
    x, y = np.asarray(spectra.coordinates).T
    some = np.flatnonzero(((2 * x + y) % 5 == 0) & (truth != OFF_TISSUE))
    model = quick().fit(spectra[some], truth[some])
    assert model.fitted_.field is None
    with pytest.raises(InputError, match="and pixels beside them"):
        quick(spatial=True).fit(spectra[some], truth[some])


# Shuffled over all runs, two pixels of one come to lie at one place.
@pytest.mark.filterwarnings("ignore:.* pixels lie where another of their run does")
def test_pixels_in_disorder_have_no_field(image: Any) -> None:
    spectra, _, labels = image
    order = np.random.default_rng(1).permutation(spectra.n_pixels)
    shuffled = replace(spectra, coordinates=np.asarray(spectra.coordinates)[order])
    assert quick().fit(shuffled, labels).fitted_.field is None
    assert quick(spatial=True).fit(shuffled, labels).fitted_.field is not None


def test_a_single_net_and_the_published_network_have_none(image: Any) -> None:
    spectra, _, labels = image
    few = {"epochs": 1, "device": "cpu"}
    assert mg.RGCNClassifier(preset="published", **few).fit(spectra, labels).fitted_.field is None
    assert quick(folds=1).fit(spectra, labels).fitted_.field is None
    for options in ({"preset": "published"}, {"branches": ("axis",), "folds": 1}):
        with pytest.raises(InputError, match="folds 1 leaves nothing to learn from"):
            mg.RGCNClassifier(spatial=True, **options).fit(spectra, labels)


@pytest.mark.parametrize("value", ["yes", 1, 0.5, np.nan, ("auto",)])
def test_other_values_are_refused(image: Any, value: Any) -> None:
    spectra, _, labels = image
    with pytest.raises(TypeError, match=r"spatial .* must be \"auto\", True or False"):
        quick(spatial=value).fit(spectra, labels)


def test_numbers_of_numpy_are_truth_values(image: Any) -> None:
    spectra, _, labels = image
    assert quick(spatial=np.bool_(False)).fit(spectra, labels).settings_.spatial is False


# -------------------------------------------------------------------- whoever gives the pixels


class Placed(Blocks):
    """A source that knows where its pixels are."""

    def places(self) -> mg.Spectra:
        return self.spectra.keep_peaks(np.zeros(self.spectra.n_peaks, dtype=bool))


@pytest.mark.parametrize("kind", [Bare, Placed])
def test_a_source_of_blocks_is_as_memory(
    image: Any, fitted: mg.RGCNClassifier, kind: type[Bare]
) -> None:
    spectra, _, labels = image
    source = kind(spectra, size=23)
    model = quick().fit(source, labels)
    assert model.fitted_.field is not None
    assert model.fitted_.field.strength == fitted.fitted_.field.strength
    np.testing.assert_array_equal(model.fitted_.field.shares, fitted.fitted_.field.shares)
    whole = fitted.predict_proba(spectra)
    np.testing.assert_allclose(model.predict_proba(source), whole, atol=1e-9)
    found = model.segment(source, explain=False)
    np.testing.assert_allclose(found.probability, whole, atol=1e-9)
    np.testing.assert_array_equal(
        found.by_neighbours, fitted.segment(spectra, explain=False).by_neighbours
    )


@pytest.mark.filterwarnings("ignore:.* fewer than 5 are little")
def test_a_source_gives_labelled_pixels_and_those_beside_them(image: Any) -> None:
    spectra, _, labels = image
    few = labels.copy()
    few[40:400] = None
    labelled = np.flatnonzero([label is not None for label in few])
    source = Placed(spectra)
    quick(spatial=False).fit(source, few)
    read = {pixel for first, stop in source.asked for pixel in range(first, stop)}
    assert read == set(labelled.tolist())
    source = Placed(spectra)
    quick().fit(source, few)
    read = {pixel for first, stop in source.asked for pixel in range(first, stop)}
    beside = neighbours_around(spectra)[labelled]
    assert read == set(labelled.tolist()) | set(beside[beside >= 0].tolist())


def test_the_order_of_pixels_does_not_matter(image: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, _, _ = image
    order = np.random.default_rng(1).permutation(spectra.n_pixels)
    shuffled = fitted.predict_proba(spectra[order])
    np.testing.assert_allclose(shuffled, fitted.predict_proba(spectra)[order], atol=1e-9)


def test_runs_do_not_touch(image: Any, fitted: mg.RGCNClassifier) -> None:
    """Both lie at the same places, and are predicted as they are one by one."""
    spectra, _, _ = image
    whole = fitted.predict_proba(spectra)
    for run in spectra.run_names:
        rows = np.flatnonzero(spectra.run == run)
        np.testing.assert_allclose(fitted.predict_proba(spectra[rows]), whole[rows], atol=1e-9)


def test_empty_pixels_have_no_class_and_say_nothing(image: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, _, _ = image
    gone = np.isin(np.arange(spectra.n_pixels), [0, 150, 151])
    holed = spectra.keep_peaks(~gone[spectra.pixel_of_peak])
    found = fitted.segment(holed, explain=False)
    assert found.by_neighbours is not None
    np.testing.assert_array_equal(np.isnan(found.probability).any(axis=1), gone)
    assert not found.by_neighbours[gone].any()
    kept = np.flatnonzero(~gone)
    np.testing.assert_allclose(
        fitted.predict_proba(holed[kept]), found.probability[kept], atol=1e-9
    )


# -------------------------------------------------------------------- kept and sent


def test_it_is_saved_and_loaded(image: Any, fitted: mg.RGCNClassifier, tmp_path: Path) -> None:
    spectra = image[0]
    fitted.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    for clf in (again, pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(clf.predict_proba(spectra), fitted.predict_proba(spectra))
    assert again.summary() == fitted.summary()
    assert again.get_params() == fitted.get_params()
    assert clone(again).get_params()["spatial"] is None


def test_the_choice_is_saved_and_loaded(alone: mg.RGCNClassifier, tmp_path: Path) -> None:
    alone.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    assert again.get_params()["spatial"] is False
    assert again.fitted_.field is None


def test_a_model_from_before_asks_no_neighbours(
    image: Any, fitted: mg.RGCNClassifier, alone: mg.RGCNClassifier, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["field"], config["settings"]["spatial"]
    path.write_text(json.dumps(config), encoding="utf-8")
    old = mg.load(tmp_path / "model")
    assert old.settings_.spatial is False
    np.testing.assert_array_equal(old.predict_proba(image[0]), alone.predict_proba(image[0]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 0},
        {"strength": 1.5},
        {"strength": True},
        {"strength": "1"},
        {"shares": [[0.5, 0.5], [0.5, 0.5]]},
        {"shares": [[1.0, 0.0, 0.0]] * 3},
        {"shares": [[0.5, 0.5, 0.5]] * 3},
        {"shares": [["0.5", 0.25, 0.25]] * 3},
        {"shares": None},
        {"trust": [1.0, 1.0]},
        {"trust": [1.0, 0.0, 0.5]},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_damaged_field_is_refused(
    fitted: mg.RGCNClassifier, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["field"].update(wrong)
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=next(iter(wrong))):
        mg.load(tmp_path / "model")


def test_some_of_the_branches_are_by_themselves(image: Any) -> None:
    """What neighbours say was measured for the sum of all."""
    spectra, _, labels = image
    both = quick(spatial=True).set_params(branches=("axis", "family")).fit(spectra, labels)
    assert both.fitted_.field is not None
    one = both.only("axis")
    assert one.fitted_.field is None
    logits = one.logits(spectra)
    np.testing.assert_array_equal(one.predict(spectra), one.classes_[logits.argmax(axis=1)])


def test_shares_of_classes_and_weights(image: Any) -> None:
    spectra, truth, labels = image
    names = sorted(set(truth.tolist()) - {OFF_TISSUE})
    shares = np.full((len(labels), len(names)), np.nan)
    known = np.flatnonzero([label is not None for label in labels])
    shares[known] = 0.05
    shares[known, [names.index(labels[pixel]) for pixel in known]] = 0.9
    weight = np.random.default_rng(0).uniform(0.5, 2, len(labels))
    model = quick(spatial=True).fit(spectra, shares, sample_weight=weight)
    assert model.fitted_.field is not None
    assert np.isfinite(model.predict_proba(spectra)).all()


def test_many_labelled_pixels_are_thinned_out(image: Any, monkeypatch: Any) -> None:
    """Of each class as many, whatever their number; nothing else of the fit changes."""
    spectra, truth, _ = image
    labels = np.where(truth == OFF_TISSUE, None, truth)
    whole = quick().fit(spectra, labels)
    monkeypatch.setattr("massgraph.learn.surroundings.LABELLED", 150)
    few = quick(spatial=True).fit(spectra, labels)
    np.testing.assert_array_equal(few.logits(spectra), whole.logits(spectra))
    assert few.fitted_.field is not None
    assert whole.fitted_.field is not None
    assert np.abs(few.fitted_.field.shares - whole.fitted_.field.shares).max() < 0.15


def test_same_seed_same_field(image: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, _, labels = image
    again = quick().fit(spectra, labels)
    np.testing.assert_array_equal(again.predict_proba(spectra), fitted.predict_proba(spectra))
