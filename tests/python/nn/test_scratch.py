"""Memory that training lends from step to step: in no copy, in no pickle, and freed when asked."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from test_native import make_graphs, make_model, take

from massgraph.native.library import library
from massgraph.nn.rgcn import RGCN

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled library was not built")

GRAPHS = make_graphs([400, 0, 900, 1200, 300])
Y = np.array([0, 1, 2, 0, 1])


def trained(model: RGCN, steps: int = 2) -> RGCN:
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(take(model, GRAPHS), Y)[0].backward()
        optimizer.step()
    return model


def make() -> RGCN:
    return trained(make_model("native", (64, 64), batch_norm=True))


def size_of_weights(model: RGCN) -> int:
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


def by_joblib(model: RGCN, folder: Path) -> RGCN:
    joblib.dump(model, folder / "model.joblib")
    found: RGCN = joblib.load(folder / "model.joblib")
    return found


COPIES: dict[str, Callable[[RGCN, Path], RGCN]] = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "joblib": by_joblib,
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


def test_a_pickle_is_about_as_large_as_the_weights(tmp_path: Path) -> None:
    model = make()
    assert model._native._free
    assert len(pickle.dumps(model)) < 2 * size_of_weights(model)
    by_joblib(model, tmp_path)
    assert (tmp_path / "model.joblib").stat().st_size < 2 * size_of_weights(model)


@pytest.mark.parametrize("name", COPIES)
def test_copies_go_on_training_as_the_model_does(name: str, tmp_path: Path) -> None:
    model = make()
    twin = COPIES[name](model, tmp_path)
    assert list(twin._native.layers) == list(twin.layers)
    expected = trained(model).state_dict()
    for key, value in trained(twin).state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_what_is_released_is_taken_anew() -> None:
    model, plain = make(), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.release()
    assert model._native._free == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    expected = trained(plain).state_dict()
    for key, value in trained(model).state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_a_shallow_copy_lends_memory_of_its_own() -> None:
    native = make()._native
    twin = copy.copy(native)
    assert twin._free == []
    assert twin.layers is native.layers
