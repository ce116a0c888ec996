"""A fit as a whole: who runs its parts, how pixels are held out, what it announces."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config

import massgraph as mg
from massgraph._util.executor import Executor, Joblib, Serial, Threads
from massgraph.data.splits import default_groups
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.learn_axis import learn_axis
from massgraph.learn import supervised
from massgraph.learn.branches import (
    Branch,
    branch,
    default_branches,
    forget_branch,
    register_branch,
)
from massgraph.learn.checkpoints import open_checkpoints
from massgraph.learn.settings import resolve_settings
from massgraph.learn.supervised import Learnt, fit_classes
from massgraph.learn.targets import Targets


def quick(**parameters: Any) -> mg.RGCNClassifier:
    """One net, quick to train."""
    single = {"branches": ("relational",), "folds": 1}
    chosen = {**single, "epochs": 1, "augment": 1, "hidden": (8, 8), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen)


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


# -------------------------------------------------------------------- who runs the parts


class Backwards:
    """An executor of one's own: the last task first."""

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        *,
        name: Callable[[Any], str] | None = None,
    ) -> Iterator[Any]:
        found = [function(task) for task in reversed(list(tasks))]
        return iter(found[::-1])


class Elsewhere:
    """As in another process: what a part needs and gives goes there and back as a pickle."""

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        *,
        name: Callable[[Any], str] | None = None,
    ) -> Iterator[Any]:
        for task in tasks:
            there, that = pickle.loads(pickle.dumps((function, task)))
            yield pickle.loads(pickle.dumps(there(that)))


def name_of(executor: Executor | None) -> str:
    return f"{type(executor).__name__}{getattr(executor, 'n', '')}"


def learn(tissue: Any, executor: Executor | None, **more: Any) -> Learnt:
    """All branches on two folds."""
    spectra, labels = tissue
    known = ~pd.isna(labels)
    codes = np.unique(labels[known].astype(str), return_inverse=True)[1]
    quickly = {"epochs": 2, "folds": 2, "augment": 1, "hidden": (4,)}
    given = {"branches": default_branches(), **quickly, **more.pop("settings", {})}
    return fit_classes(
        spectra[known],
        Targets.of_codes(codes),
        None,
        resolve_settings("default", "positive", given),
        seed=0,
        backend="auto",
        device=torch.device("cpu"),
        find_tolerance=True,
        executor=executor,
        **more,
    )


@pytest.fixture(scope="module")
def one_by_one(tissue: Any) -> Learnt:
    return learn(tissue, None)


def assert_same_bits(one: Learnt, other: Learnt) -> None:
    states = one.network.state_dict(), other.network.state_dict()
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    pd.testing.assert_frame_equal(one.history, other.history)
    pd.testing.assert_frame_equal(one.contributions, other.contributions)


@pytest.mark.parametrize(
    "executor", [Serial(), Threads(2), Threads(5), Backwards(), Elsewhere()], ids=name_of
)
def test_whoever_runs_the_parts_they_are_the_same(
    tissue: Any, one_by_one: Learnt, executor: Executor
) -> None:
    threads = torch.get_num_threads()
    assert_same_bits(learn(tissue, executor), one_by_one)
    assert torch.get_num_threads() == threads


def test_joblib_runs_them_as_it_was_told(tissue: Any, one_by_one: Learnt) -> None:
    with parallel_config(backend="threading", n_jobs=2):
        assert_same_bits(learn(tissue, Joblib()), one_by_one)


def test_checkpoints_side_by_side(tissue: Any, one_by_one: Learnt, tmp_path: Path) -> None:
    """Each net has its own, by its place and not by who was first."""
    states = []
    for executor, name in ((Serial(), "one"), (Threads(4), "other")):
        checkpoints = open_checkpoints(tmp_path / name, {}, resume=False)
        assert_same_bits(learn(tissue, executor, checkpoints=checkpoints), one_by_one)
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == [f"net-{k}.safetensors" for k in range(1, 7)]
        states.append([file.read_bytes() for file in files])
    assert states[0] == states[1]


@pytest.mark.parametrize("executor", [None, Threads(2)], ids=name_of)
def test_an_error_names_branch_and_fold(tissue: Any, executor: Executor | None) -> None:
    def fails(part: Any, versions: Any, targets: Targets, chosen: Any, rng: Any) -> None:
        if 0 not in chosen:  # the fold of the first pixel is held out
            msg = "no such luck"
            raise RuntimeError(msg)

    register_branch(Branch("unlucky", "none", branch("axis").make, 1.0, False, fails))
    try:
        with pytest.raises(RuntimeError, match="no such luck") as caught:
            learn(tissue, executor, settings={"branches": ("axis", "unlucky")})
    finally:
        forget_branch("unlucky")
    (note,) = caught.value.__notes__
    assert note[:-1] == "while fitting the unlucky branch without fold "
    assert note[-1] in "12"


# -------------------------------------------------------------------- the split


def test_groups_stay_together(tissue: Any) -> None:
    spectra, labels = tissue
    groups = np.arange(len(spectra)) // 7
    classifier = quick().fit(spectra, labels, groups=groups)
    assert classifier.validation_.any()
    assert not set(groups[classifier.training_]) & set(groups[classifier.validation_])


def test_default_groups_are_blocks_of_neighbours(tissue: Any) -> None:
    spectra, labels = tissue
    classifier = quick().fit(spectra, labels)
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
    classifier = quick().fit(bare, labels[known])
    assert classifier.validation_.mean() == pytest.approx(0.2, abs=0.05)


# -------------------------------------------------------------------- memory


def machine_of(monkeypatch: pytest.MonkeyPatch, n_bytes: float) -> None:
    """A machine of so much memory."""
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": int(n_bytes)}
    monkeypatch.setattr(supervised.os, "sysconf", pages.__getitem__)


def test_a_fit_that_fills_the_memory_is_announced(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the numbers that make it smaller, and before anything else is done."""
    spectra, labels = tissue
    known = ~pd.isna(labels)
    machine_of(monkeypatch, 2**20)

    def never(*_: Any) -> None:
        pytest.fail("the fit began")

    monkeypatch.setattr(supervised, "own_axis", never)
    wanted = rf"^the {known.sum()} labelled pixels have {spectra[known].n_peaks} peaks, of which"
    with pytest.raises(UserWarning, match=wanted) as caught:  # warnings are errors here
        quick().fit(spectra, labels)
    assert str(caught.value).endswith("label fewer pixels, or set max_peaks or a smaller augment")


def test_the_announcement_points_to_the_fit(tissue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_of(monkeypatch, 2**20)
    with pytest.warns(UserWarning, match="this machine has 0.0 GB") as caught:
        quick().fit(*tissue)
    assert [one.filename for one in caught] == [__file__]


def test_a_machine_that_is_large_enough_is_not_spoken_of(
    tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the memory is taken to be free; fewer copies need less of it."""
    spectra, labels = tissue
    n_peaks = spectra[~pd.isna(labels)].n_peaks
    enough = 2 * supervised.BYTES_PER_PEAK * n_peaks * 2  # as measured, and a copy that trains
    machine_of(monkeypatch, enough)
    with pytest.warns(UserWarning, match="labelled pixels"):
        quick(augment=5).fit(spectra, labels)
    quick(augment=0).fit(spectra, labels)  # warnings are errors


def test_what_is_announced_is_what_is_held(tissue: Any) -> None:
    """Graphs as they stay, and while they are joined as much again."""
    spectra, labels = tissue
    known = ~pd.isna(labels)
    settings = resolve_settings("default", "positive", {"tolerance": 3.0})
    encoder = PeakEncoder.learn(spectra[known], settings, learn_axis(spectra[known]))
    graphs = encoder.encode(spectra[known])
    messages = [getattr(graphs.compact, field.name) for field in fields(graphs.compact)]
    held = graphs.features.nbytes + sum(getattr(one, "nbytes", 0) for one in messages)
    announced = supervised.BYTES_PER_PEAK * spectra[known].n_peaks
    assert 0.3 < held / announced < 1


def test_a_system_that_does_not_say(tissue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> int:
        raise ValueError

    monkeypatch.setattr(supervised.os, "sysconf", unknown)
    monkeypatch.setattr(supervised, "LARGE_SHARE", 0.0)
    quick().fit(*tissue)
