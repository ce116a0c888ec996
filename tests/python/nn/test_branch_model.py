"""The sum of branches: which part cuts the batches, what is added up, what is taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_native import CPU, make_graphs
from torch import nn

from massgraph._util.errors import InputError
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.discriminants import AxisBranch, FamilyBranch
from massgraph.nn.nets import PeakNet, RelationalNet
from massgraph.nn.rgcn import RGCN


class Stub(nn.Module):
    """A part that says which one of them was asked, and gives its number as all it computes."""

    reads: int

    def __init__(self, reads: int, value: float = 0.0) -> None:
        super().__init__()
        self.reads, self.value = reads, value

    def take(self, *_: Any) -> Any:
        return self

    def cam(self, batch: int) -> torch.Tensor:
        return torch.full((batch, 2), self.value, dtype=torch.float64)

    embedding = forward = cam

    def intercept(self) -> torch.Tensor:
        return self.cam(1)[0]


def model(**parts: Any) -> Any:
    return BranchModel(parts)


@pytest.mark.parametrize(
    ("reads", "asked"),
    [((0, 1, 2), 2), ((2, 1, 0), 0), ((0, 1, 1), 1), ((0, 0), 0), ((1, 2, 2), 1)],
)
def test_the_part_that_reads_most_cuts_the_batch(reads: tuple[int, ...], asked: int) -> None:
    parts = [Stub(one) for one in reads]
    branches = {f"branch {place}": [part] for place, part in enumerate(parts)}
    pixels: NDArray[np.int64] = np.arange(1)
    assert model(**branches).take(make_graphs([1]), pixels, CPU) is parts[asked]


def test_what_parts_read() -> None:
    by_kind: dict[Any, int] = {
        AxisBranch: 0,
        FamilyBranch: 0,
        PeakNet: 1,
        RelationalNet: 2,
        RGCN: 2,
    }
    assert {kind: kind.reads for kind in by_kind} == by_kind


def test_branches_are_means_of_their_parts_and_the_model_their_weighted_sum() -> None:
    found = model(one=[Stub(0, 1.0), Stub(0, 3.0)], two=[Stub(0, 10.0)])
    found.weights.copy_(torch.tensor([0.5, 0.1]))
    assert found.branch_logits(4).tolist() == [[[2.0, 2.0], [10.0, 10.0]]] * 4
    for total in (found(4), found.cam(4)):
        torch.testing.assert_close(total, torch.full((4, 2), 2.0, dtype=torch.float64))
    torch.testing.assert_close(found.intercept(), torch.full((2,), 2.0, dtype=torch.float64))
    assert found.embedding(4).shape == (4, 6)


def test_some_branches_keep_their_weights_and_the_order_of_the_model() -> None:
    found = model(one=[Stub(0)], two=[Stub(1)], three=[Stub(2)])
    found.weights.copy_(torch.tensor([0.5, 0.125, 0.25]))
    some = found.only(["three", "one"])
    assert some.names == ("one", "three")
    assert some.weights.tolist() == [0.5, 0.25]
    assert some.parts("one")[0] is found.parts("one")[0]


@pytest.mark.parametrize("names", [[], ["four"], ["one", "four"]])
def test_branches_that_are_not_there_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match=r"are not one or more of \('one', 'two'\)"):
        model(one=[Stub(0)], two=[Stub(0)]).only(names)


def test_names_of_what_is_saved() -> None:
    """Saved models are opened by these names, in this order."""
    found = model(axis=[AxisBranch(3, 2)], peak=[PeakNet(2, 3, 2, hidden=(4,))])
    buffers = ["usual", "expected", "gate_weight", "gate_bias", "weight", "bias"]
    layer = [f"layers.0.{name}" for name in ("weight", "root", "bias")]
    kept = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = [f"{norm}.{name}" for norm in ("norms.0", "pool_norm") for name in kept]
    net = ["ion_vectors", *layer, *norms, "head.weight", "head.bias"]
    assert list(found.state_dict()) == [
        "weights",
        *(f"branches.axis.0.{name}" for name in buffers),
        *(f"branches.peak.0.{name}" for name in net),
    ]
