"""The default model: additive branches, their weights, cross-fitting, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import massgraph as mg
from massgraph.data import degrade
from massgraph.data.splits import fold_by_group
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.learn_axis import learn_axis
from massgraph.evidence.tasks import synthetic_tasks
from massgraph.graph.batch import PeakGraphs
from massgraph.graph.messages import Messages
from massgraph.learn import cross_fit as cross_fit_module
from massgraph.learn import few_ions as few_ions_module
from massgraph.learn import supervised
from massgraph.learn.branches import PartShape, default_branches
from massgraph.learn.cross_fit import cross_fit
from massgraph.learn.inference import model_output
from massgraph.learn.objectives import CrossEntropy, Evaluate
from massgraph.learn.settings import resolve_settings
from massgraph.learn.targets import Targets
from massgraph.learn.versions import encode_versions
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.completeness import LEVELS
from massgraph.nn.nets import MolecularNet, PeakNet


def quick(**parameters: Any) -> mg.RGCNClassifier:
    """All branches, unless some are named."""
    quickly = {"epochs": 5, "augment": 2, "folds": 2, "device": "cpu"}
    return mg.RGCNClassifier(**{"branches": default_branches(), **quickly, **parameters})


def no_edges(graphs: PeakGraphs) -> Messages:
    """No messages, of as many types as the graphs have."""
    old = graphs.messages
    nothing = np.empty(0, dtype=np.int32)
    offsets = np.zeros_like(old.offsets)
    return Messages(offsets, nothing, nothing, nothing.astype(np.uint16), old.n_kinds)


@pytest.fixture(scope="module")
def tissue() -> Any:
    spectra, labels = mg.simulate("tiny", n_background=20)
    known = ~pd.isna(labels)
    return spectra[known], labels[known].astype(str)


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    return quick().fit(*tissue)


# -------------------------------------------------------------------- a user's story


def test_the_branches_and_what_they_contribute(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    table = fitted.contributions_
    assert table is not None
    assert table["branch"].tolist() == [*default_branches(), "all"]
    assert table["share"].iloc[:-1].sum() == pytest.approx(1, abs=1e-6)
    assert (table["weight"].iloc[:-1] > 0).all()
    assert table["balanced_accuracy_without"].iloc[:-1].between(0, 1).all()
    spectra, labels = tissue
    assert np.mean(fitted.predict(spectra) == labels) > 0.8
    summary = fitted.summary()
    assert summary["branch_shares"] == pytest.approx(table["share"].iloc[:-1].tolist(), abs=1e-3)
    assert summary["axis_ions"] == len(fitted.encoder_.axis)
    assert summary["mass_width_mda"] > 0


def test_a_shift_changes_no_label(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    before = fitted.predict(spectra)
    moved = degrade.shift_mz(spectra, 0.08, "Da")
    assert np.mean(fitted.predict(moved) == before) > 0.97


def test_one_branch_alone(tissue: Any) -> None:
    spectra, labels = tissue
    axis = quick(branches=("axis",)).fit(spectra, labels)
    assert axis.history_ is None
    assert axis.summary()["epochs_run"] == 0
    assert np.mean(axis.predict(spectra) == labels) > 0.8
    single = quick(branches=("peak",), folds=1, epochs=2).fit(spectra, labels)
    assert single.contributions_ is None
    assert single.validation_.any()


def test_a_single_discriminant_knows_what_a_pixel_lacks(tissue: Any) -> None:
    """Nothing weighs it, and what it is chosen by is the model's as its own."""
    spectra, labels = tissue
    model = quick(branches=("family",), folds=1).fit(spectra, labels)
    (part,) = model.model_.parts("family")
    lost = degrade.remove_peaks(spectra, 0.3, np.random.default_rng(0))
    graphs = model.encoder_.encode(lost, edges=False)
    batch = graphs.batch(np.arange(len(graphs)), edges="none")
    torch.testing.assert_close(model.model_(batch), part(batch))


# -------------------------------------------------------------------- invariants


def test_logits_are_the_sum_over_ions(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    for worse in (spectra, degrade.remove_peaks(spectra, 0.4, np.random.default_rng(0))):
        explanation = fitted.explain(worse)
        np.testing.assert_allclose(explanation.logits(), fitted.logits(worse), rtol=0, atol=1e-8)


def test_logits_are_the_sum_of_the_branches(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    parts = fitted.branch_logits(spectra)
    np.testing.assert_allclose(parts.sum(axis=1), fitted.logits(spectra), atol=1e-9)
    for index, name in enumerate(default_branches()):
        np.testing.assert_allclose(fitted.only(name).logits(spectra), parts[:, index], atol=1e-9)
    two = fitted.only("axis", "peak")
    np.testing.assert_allclose(two.logits(spectra), parts[:, [0, 4]].sum(axis=1), atol=1e-9)
    explanation = two.explain(spectra)
    np.testing.assert_allclose(explanation.logits(), two.logits(spectra), atol=1e-8)


def test_the_order_of_pixels_changes_nothing(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    order = np.random.default_rng(0).permutation(len(spectra))
    np.testing.assert_allclose(
        fitted.logits(spectra[order]), fitted.logits(spectra)[order], atol=1e-6
    )


def test_same_seed_same_bits(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    again = clone(fitted).fit(*tissue)
    for name, value in fitted.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[name]), name


def test_the_peak_branch_has_no_edges(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    net = fitted.model_.parts("peak")[0]
    assert isinstance(net, PeakNet)
    graphs = fitted.encoder_.encode(spectra[:5])
    assert len(graphs.messages.sender) > 0
    bare = replace(graphs, messages=no_edges(graphs))
    rows, cpu = np.arange(5), torch.device("cpu")
    np.testing.assert_array_equal(
        model_output(net, graphs, rows, cpu, net.forward),
        model_output(net, bare, rows, cpu, net.forward),
    )


def test_the_molecular_branch_reads_edges_between_molecules(
    fitted: mg.RGCNClassifier, tissue: Any
) -> None:
    spectra, _ = tissue
    net = fitted.model_.parts("molecular")[0]
    assert isinstance(net, MolecularNet)
    graphs = fitted.encoder_.encode(spectra[:5], edges=False, molecules=True)
    assert len(graphs.messages.sender) == 0
    assert len(graphs.merged.graphs.messages.sender) > 0
    merged = replace(graphs.merged.graphs, messages=no_edges(graphs.merged.graphs))
    bare = replace(graphs, merged=replace(graphs.merged, graphs=merged))
    rows, cpu = np.arange(5), torch.device("cpu")
    assert not np.array_equal(
        model_output(net, graphs, rows, cpu, net.forward),
        model_output(net, bare, rows, cpu, net.forward),
    )


def test_uncertainty_rises_with_what_is_lost(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    rng = np.random.default_rng(0)
    means = [
        fitted.uncertainty(degrade.remove_peaks(spectra, keep, rng)).mean()
        for keep in (1.0, 0.4, 0.1)
    ]
    assert means[0] < means[1] < means[2]


def test_pixels_without_peaks(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    empty = spectra.keep_peaks(spectra.pixel_of_peak != 1)
    assert np.isnan(fitted.logits(empty)[1]).all()
    assert np.isfinite(np.delete(fitted.logits(empty), 1, axis=0)).all()


# -------------------------------------------------------------------- the axis branch


def test_it_is_known_what_a_pixel_lacks(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue

    def weights(part: mg.Spectra) -> np.ndarray:
        graphs = fitted.encoder_.encode(part, edges=False)
        completeness = fitted.model_.completeness
        return completeness(graphs.batch(np.arange(len(graphs)), edges="none")).numpy()

    rng = np.random.default_rng(0)
    np.testing.assert_allclose(weights(spectra).sum(axis=1), 1)
    assert weights(spectra).mean(axis=0)[0] > 0.7
    for number, share in enumerate(LEVELS, start=1):
        at_random = weights(degrade.remove_peaks(spectra, share, rng)).mean(axis=0)
        weakest = weights(degrade.keep_most_intense(spectra, share)).mean(axis=0)
        assert at_random.argmax() == number
        # Near all peaks, complete pixels are not told for sure from those that lack a few.
        assert weakest[1 + len(LEVELS) :].sum() > (0.8 if share < 0.6 else 0.5)


@pytest.mark.parametrize("seed", [7, 8])
def test_no_class_is_spoken_for_as_peaks_are_lost(seed: int) -> None:
    """By no branch: the less a pixel has, the nearer its mean logits are to zero."""
    (task,) = synthetic_tasks([seed])
    model = quick(augment=1, spatial=False).fit(task.train, task.y_train)
    codes = np.unique(task.y_test, return_inverse=True)[1]

    def offsets(part: mg.Spectra) -> np.ndarray:
        """The furthest from zero of each branch."""
        logits = model.branch_logits(part)
        logits -= logits.mean(axis=2, keepdims=True)
        # Classes are not equally common: each counts the same.
        mean = np.mean([np.nanmean(logits[codes == k], axis=0) for k in range(3)], axis=0)
        return np.asarray(np.abs(mean).max(axis=1))

    lost = degrade.remove_peaks(task.test, 0.1, np.random.default_rng(0))
    drift = offsets(lost) - offsets(task.test)
    assert drift.max() < 0.1


def test_pixels_of_few_ions_count_as_complete_where_that_tells_them_better(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spectra, labels = tissue
    options: dict[str, Any] = {"branches": ("axis", "family"), "folds": 2, "spatial": False}
    options["random_state"] = 0
    before = mg.RGCNClassifier(**options).fit(spectra, labels).model_
    monkeypatch.setattr(few_ions_module, "FEW_IONS_PIXELS", 1)
    factor = few_ions_module.FEW_IONS
    for better, after, usual in ((True, 0.0, factor), (True, 1.0, 1.0), (False, 0.0, 1.0)):
        # All pixels choose, then those outside of each fold: few ions are asked first, by 5 losses.
        losses = iter(([after] * 5 + [0.5] * 5) * 3)
        monkeypatch.setattr(few_ions_module, "held_out_loss", lambda *_, each=losses: next(each))
        monkeypatch.setattr(few_ions_module, "is_better", lambda *_, better=better: better)
        classifier = mg.RGCNClassifier(**options).fit(spectra, labels)
        model = classifier.model_
        every = [model.completeness, *(model.parts(name)[0].completeness for name in model.names)]
        for one in every:
            assert float(one.total / before.completeness.total) == pytest.approx(usual)
        explained = classifier.explain(spectra).logits()
        np.testing.assert_allclose(explained, classifier.logits(spectra), atol=1e-9)


def test_a_net_is_tried_where_classes_are_unequal() -> None:
    """All pixels count, where the smallest class has half of what each is to have on average."""
    settings = resolve_settings("default", "positive", {"effort": "default"})
    for counts, reason in (
        ((700, 250, 60), ""),
        ((700, 250, 40), "fewer than 50 labelled pixels of one class"),
        ((99, 99, 99), "fewer than 100 labelled pixels for each class"),
    ):
        targets = Targets.of_codes(np.repeat([0, 1, 2], counts))
        _, left_out = supervised._within_means(settings, targets)
        assert {one.reason for one in left_out} == ({reason} if reason else set())


# -------------------------------------------------------------------- effort


def test_efforts_choose_branches(tissue: Any) -> None:
    few = {"effort": None, "epochs": 1, "augment": 1, "hidden": (4,)}
    spectra, labels = tissue
    closed = ("axis", "family")
    for effort, wanted in (("fast", closed), ("default", closed), ("thorough", default_branches())):
        model = mg.RGCNClassifier(**{**few, "effort": effort}).fit(spectra, labels)
        assert model.settings_.branches == wanted
        left_out = {one.branch: one.reason for one in model.fitted_.origin.left_out}
        named = {"molecular", "peak", "relational"} if effort == "default" else set()
        assert set(left_out) == named
        assert all("fewer than 100 labelled pixels" in reason for reason in left_out.values())
    with pytest.raises(mg.InputError, match="effort 'quick' is none of"):
        mg.RGCNClassifier(effort="quick").fit(spectra, labels)
    with pytest.raises(mg.InputError, match="chooses branches, and so does branches: give one"):
        mg.RGCNClassifier(effort="fast", branches=("peak",)).fit(spectra, labels)
    with pytest.raises(mg.InputError, match="and so does the published preset"):
        mg.RGCNClassifier(effort="fast", preset="published").fit(spectra, labels)


def test_a_net_is_kept_where_it_pays(
    tissue: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One net is tried; the others are trained only where it tells its fold better."""
    spectra, labels = tissue
    monkeypatch.setattr(supervised, "NETS_PIXELS", 1)
    options = {"epochs": 3, "augment": 1, "folds": 3, "hidden": (4,), "spatial": False}
    for better, wanted in ((True, default_branches()), (False, ("axis", "family"))):
        monkeypatch.setattr(cross_fit_module, "is_better", lambda *_, better=better: better)
        model = mg.RGCNClassifier(**options).fit(spectra, labels)
        assert model.settings_.branches == wanted
        left_out = model.fitted_.origin.left_out
        assert [one.epochs for one in left_out] == ([] if better else [6, 6, 6])
    assert model.summary()["left_out"][0]["reason"] == "told held-out pixels no better"
    mg.write_report(model.segment(spectra, labels, explain=False), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    wanted = "The relations of molecules branch was left out (told held-out pixels no better)"
    assert wanted in text
    model.save(tmp_path / "model")
    assert mg.load(tmp_path / "model").fitted_.origin.left_out == left_out


def test_pixels_that_stop_a_net_are_none_that_it_is_judged_by(tissue: Any) -> None:
    spectra, labels = tissue
    codes = np.unique(labels, return_inverse=True)[1]
    seen: list[tuple[set[int], set[int]]] = []

    def noted(training: Any, stopping: Any) -> CrossEntropy:
        some, others = (
            set(one.targets.pixel[one.entries].tolist()) for one in (training, stopping)
        )
        seen.append((some, others))
        return CrossEntropy(training, stopping)

    given = {"branches": ("peak",), "epochs": 1, "hidden": (4,)}
    settings, axis = resolve_settings("default", "positive", given), learn_axis(spectra)
    encoder = PeakEncoder.learn(spectra, settings, axis)
    fold = np.arange(len(codes)) % 3
    cross_fit(
        encode_versions(encoder, spectra, np.random.SeedSequence(0), n_copies=1),
        Targets.of_codes(codes),
        fold,
        settings,
        PartShape.of(settings, 3, len(axis), "auto"),
        device=torch.device("cpu"),
        seeds=np.random.SeedSequence(0).spawn(3),
        objective=noted,
    )
    assert len(seen) == 3
    for k, (training, stopping) in enumerate(seen):
        judged = set(np.flatnonzero(fold == k).tolist())
        assert training
        assert stopping
        assert not training & stopping
        assert not judged & (training | stopping)
        assert judged | training | stopping == set(range(len(codes)))


# -------------------------------------------------------------------- folds


def test_folds_are_whole_groups_with_all_classes() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(12, size=400)
    y = rng.integers(3, size=400)
    fold = fold_by_group(y, groups, 4, rng)
    assert set(fold) == {0, 1, 2, 3}
    for group in range(12):
        assert len(set(fold[groups == group])) == 1
    for k in range(4):
        assert set(y[fold != k]) == {0, 1, 2}


def test_two_pixels_of_each_class_are_held_out_one_by_one() -> None:
    # All of the first pixels in one fold would leave one pixel of each class, and no covariance.
    y = np.repeat(np.arange(5), 2)
    fold = fold_by_group(y, np.arange(10), 10, np.random.default_rng(0))
    assert sorted(fold.tolist()) == list(range(10))


def test_a_group_that_holds_a_class_is_never_held_out() -> None:
    y = np.array([0] * 10 + [1] * 10 + [2] * 5)
    groups = np.array([0, 1] * 10 + [2] * 5)
    fold = fold_by_group(y, groups, 3, np.random.default_rng(0))
    assert (fold[20:] == -1).all()
    assert set(fold[:20]) == {0, 1}
    with pytest.raises(mg.InputError, match="cannot be split so that every class keeps training"):
        fold_by_group(np.array([0, 1]), [0, 1], 2, np.random.default_rng(0))
    with pytest.raises(mg.InputError, match="3 groups for 2 labelled pixels"):
        fold_by_group(np.array([0, 1]), [0, 1, 2], 2, np.random.default_rng(0))


# -------------------------------------------------------------------- other objectives


class Sparse(CrossEntropy):
    """Cross-entropy of logits that are held small, and how large they are."""

    valid_columns = ("valid_balanced_accuracy", "valid_size")

    def loss(self, net: Any, drawn: Any, device: torch.device) -> Any:
        loss, logits = super().loss(net, drawn, device)
        return loss + 5.0 * logits.pow(2).mean(), logits

    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        logits = evaluate(self.validation.graphs, self.validation.graph(self.validation.entries))
        return {**super().validate(evaluate, rng), "valid_size": float(np.abs(logits).mean())}


def test_nets_may_be_trained_towards_anything_else(tissue: Any) -> None:
    spectra, labels = tissue
    codes = np.unique(labels, return_inverse=True)[1]
    given = {"branches": ("axis", "peak"), "epochs": 3, "hidden": (4,)}
    settings = resolve_settings("default", "positive", given)
    axis = learn_axis(spectra)
    encoder = PeakEncoder.learn(spectra, settings, axis)
    versions = encode_versions(encoder, spectra, np.random.SeedSequence(0), n_copies=0)

    def fit(**more: Any) -> Any:
        return cross_fit(
            versions,
            Targets.of_codes(codes),
            np.arange(len(codes)) % 2,
            settings,
            PartShape.of(settings, 3, len(axis), "auto"),
            device=torch.device("cpu"),
            seeds=np.random.SeedSequence(0).spawn(4),
            **more,
        )

    plain, small = fit(), fit(objective=Sparse)
    assert list(small[1].columns) == [
        *(name for name in plain[1].columns if name != "best"),
        "valid_size",
        "best",
    ]
    heads = [
        np.mean([float(net.head.weight.detach().abs().mean()) for net in model.parts("peak")])
        for model in (plain[0], small[0])
    ]
    assert heads[1] < heads[0]
    # The branch in closed form is fitted as it was.
    assert torch.equal(plain[0].parts("axis")[0].weight, small[0].parts("axis")[0].weight)


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"branches": ("edges",)}, "must be one or more of"),
        ({"branches": ()}, "must be one or more of"),
        ({"branches": ("peak", "peak")}, "each once"),
        ({"folds": 0}, "folds 0 is below 1"),
        ({"folds": 1}, "leaves nothing to weigh 5 branches by"),
        ({"preset": "published", "folds": 3}, "the published preset is"),
        ({"preset": "published", "branches": ("axis",)}, "the published preset is"),
    ],
)
def test_branches_that_are_none(parameters: Any, message: str, tissue: Any) -> None:
    with pytest.raises(mg.InputError, match=message):
        mg.RGCNClassifier(**parameters).fit(*tissue)


def test_branches_that_are_not_in_the_model(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    with pytest.raises(mg.InputError, match="are not one or more of"):
        fitted.only("edges")
    with pytest.raises(mg.InputError, match="are not one or more of"):
        fitted.only()
    published = mg.RGCNClassifier(preset="published", epochs=1, device="cpu").fit(*tissue)
    with pytest.raises(mg.InputError, match="as published has no branches"):
        published.only("relational")
    assert published.branch_logits(tissue[0]).shape == (len(tissue[0]), 1, 3)


def test_embeddings_are_of_all_parts(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    found = fitted.embed(tissue[0][:4])
    assert found.shape == (4, 2 * 3 + 3 * 2 * 16)
    assert isinstance(fitted.model_, BranchModel)
    with pytest.raises(mg.InputError, match="cannot be split"):
        quick().fit(*tissue, groups=tissue[1])


def test_the_report_says_what_each_branch_contributed(
    fitted: mg.RGCNClassifier, tissue: Any, tmp_path: Path
) -> None:
    spectra, labels = tissue
    mg.write_report(fitted.segment(spectra, labels, explain=False), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    table = fitted.contributions_
    assert table is not None
    axis, family, net = (100 * round(float(share), 4) for share in table["share"].iloc[:3])
    assert (
        f"axis {axis:.0f} %, molecules {family:.0f} %, relations of ions {net:.0f} %, rel" in text
    )
    assert "The mass axis was found in the data" in text
    alone = fitted.only("peak", "axis")
    assert alone.settings_.branches == ("axis", "peak")
    assert "branch_shares" not in alone.summary()
    alone.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    np.testing.assert_array_equal(again.logits(spectra[:9]), alone.logits(spectra[:9]))


# -------------------------------------------------------------------- other intensities


def test_intensities_in_another_unit_change_nothing(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    for factor in (0.2, 50.0):
        scaled = degrade.scale_intensity(spectra, factor)
        np.testing.assert_allclose(fitted.logits(scaled), fitted.logits(spectra), atol=1e-3)


def test_noise_peaks_change_next_to_nothing(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = tissue
    noisy = degrade.add_noise_peaks(spectra, 0.5, np.random.default_rng(0))
    assert np.mean(fitted.predict(noisy) == fitted.predict(spectra)) > 0.95
