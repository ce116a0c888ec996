"""Contributions of branches: told by pixels that chose neither weights nor what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.data import degrade
from massgraph.learn import weights as weights_module
from massgraph.learn.contributions import contributions
from massgraph.learn.targets import Targets

NAMES = ("right", "noise")
SHARES = ["share", "balanced_accuracy_alone", "balanced_accuracy_without"]


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return np.tile([0, 1, 2], 1000)


@pytest.fixture(scope="module")
def fold() -> np.ndarray:
    return np.repeat([0, 1, 2], 1000)


@pytest.fixture(scope="module")
def logits(y: np.ndarray) -> np.ndarray:
    """Of a branch that is right and of noise, ``(n_branches, n_pixels, n_classes)``."""
    rng = np.random.default_rng(0)
    return np.stack([2 * np.eye(3)[y], np.zeros((3000, 3))]) + rng.normal(size=(2, 3000, 3))


def table_of(
    by_fold: list[np.ndarray], targets: Targets, fold: np.ndarray, judged: Any = (1, 1, 1)
) -> pd.DataFrame:
    told = np.asarray(judged, dtype=bool)
    return contributions(NAMES, np.ones(2), np.ones(2), by_fold, targets, fold, told)


def test_the_right_branch_contributes(logits: np.ndarray, y: np.ndarray, fold: np.ndarray) -> None:
    table = table_of([logits] * 3, Targets.of_codes(y), fold)
    assert table["branch"].tolist() == [*NAMES, "all"]
    right, noise, whole = table.itertuples(index=False)
    assert right.balanced_accuracy_alone > 0.8
    assert noise.balanced_accuracy_alone < 0.4
    assert abs(whole.balanced_accuracy_alone - right.balanced_accuracy_alone) < 0.03
    # Without one branch the other is all there is.
    assert right.balanced_accuracy_without == noise.balanced_accuracy_alone
    assert right.share + noise.share == pytest.approx(1)


def test_weights_of_a_fold_are_those_of_the_others(
    logits: np.ndarray, y: np.ndarray, fold: np.ndarray
) -> None:
    """In the last fold noise is right, and only there: its own pixels must not say so."""
    turned = logits.copy()
    turned[:, fold == 2] = turned[::-1, fold == 2]
    last = table_of([turned] * 3, Targets.of_codes(y), fold, judged=(0, 0, 1))
    assert last["balanced_accuracy_alone"].iloc[-1] < 0.6
    assert last["balanced_accuracy_alone"].iloc[1] > 0.8


def test_a_fold_is_judged_by_what_the_others_chose(
    logits: np.ndarray, y: np.ndarray, fold: np.ndarray
) -> None:
    bad = np.random.default_rng(1).normal(size=logits.shape)
    mixed = table_of([bad, logits, logits], Targets.of_codes(y), fold)
    whole = table_of([logits] * 3, Targets.of_codes(y), fold)
    left = table_of([bad, logits, logits], Targets.of_codes(y), fold, judged=(0, 1, 1))
    alone = [one["balanced_accuracy_alone"].iloc[0] for one in (mixed, whole, left)]
    assert alone[0] < 0.75 < min(alone[1:])


def test_heavy_pixels_count_as_several(
    logits: np.ndarray, y: np.ndarray, fold: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Weights of pixels have a mean of one: what is usual counts less beside more pixels.
    monkeypatch.setattr(weights_module, "USUAL_PIXELS", 0.0)
    times = np.random.default_rng(3).integers(1, 6, y.size)
    repeated = np.repeat(np.arange(y.size), times)
    weighted = Targets.of_shares(np.eye(3)[y], times.astype(np.float64))
    first = table_of([logits] * 3, weighted, fold)
    second = table_of([logits[:, repeated]] * 3, Targets.of_codes(y[repeated]), fold[repeated])
    for name in SHARES[1:]:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-12)


def test_pixels_never_held_out_say_nothing(
    logits: np.ndarray, y: np.ndarray, fold: np.ndarray
) -> None:
    some, without = logits.copy(), fold.copy()
    some[:, ::7], without[::7] = np.nan, -1
    kept = without >= 0
    first = table_of([some] * 3, Targets.of_codes(y), without)
    second = table_of([logits[:, kept]] * 3, Targets.of_codes(y[kept]), fold[kept])
    pd.testing.assert_frame_equal(first, second)


def test_one_branch_has_nothing_without_it(
    logits: np.ndarray, y: np.ndarray, fold: np.ndarray
) -> None:
    one = contributions(
        ("right",),
        np.ones(1),
        np.ones(1),
        [logits[:1]] * 3,
        Targets.of_codes(y),
        fold,
        np.ones(3, dtype=bool),
    )
    assert one["balanced_accuracy_without"].isna().all()
    assert one["balanced_accuracy_alone"].iloc[0] == one["balanced_accuracy_alone"].iloc[1]


# -------------------------------------------------------------------- a whole fit


def test_gains_of_held_out_runs_are_not_told_by_their_labels() -> None:
    """Runs of unlike compositions, labels that mean nothing: nobody knows better than chance.

    Gains that labels of a run tell would make the classes of each run what its labels say.
    """
    simulation = mg.simulate("medium", random_state=5, effect=0.2, shape=(18, 18), n_runs=8)
    labels = np.asarray(simulation.labels, dtype=object)
    known = np.flatnonzero(~pd.isna(labels))
    rng, found = np.random.default_rng(0), []
    spectra = degrade.batch_effect(simulation.spectra, 0.6, rng)[known]
    run, classes = spectra.run, np.unique(labels[known].astype(str))
    for _ in range(3):
        made_up = np.empty(len(known), dtype=object)
        for number, name in enumerate(np.unique(run)):
            share = np.full(3, 0.1)
            share[number % 3] = 0.8
            made_up[run == name] = rng.choice(classes, (run == name).sum(), p=share)
        few = np.sort(rng.choice(len(known), 320, replace=False))
        clf = mg.RGCNClassifier(effort="fast", random_state=0, spatial=False)
        clf.fit(spectra[few], made_up[few], groups=run[few])
        found.append(clf.contributions_["balanced_accuracy_alone"].iloc[-1])
    assert np.mean(found) < 0.42
