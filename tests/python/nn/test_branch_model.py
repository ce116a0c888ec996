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
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.messages import CompactMessages
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.completeness import LEVELS, N_EXPERTS
from massgraph.nn.discriminants import AxisBranch, FamilyBranch
from massgraph.nn.nets import PeakNet, RelationalNet
from massgraph.nn.rgcn import RGCN

COMPLETENESS = (
    "group",
    "expected",
    "precision",
    "total",
    "kind_weight",
    "kind_bias",
    "left",
)
FACTORS = ("centre", "scale", "loading", "rest", "mean")


class Stub(nn.Module):
    """A part that says which one of them was asked, and gives its number as all it computes."""

    reads: int

    def __init__(self, reads: int, value: float = 0.0) -> None:
        super().__init__()
        self.reads, self.value = reads, value

    def take(self, *_: Any) -> Any:
        return self

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        return torch.full((batch.n_pixels, 2), self.value, dtype=torch.float64)

    embedding = cam

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        return self.cam(batch) + self.intercept()

    def intercept(self) -> torch.Tensor:
        return torch.full((2,), 10 * self.value, dtype=torch.float64)


def model(**parts: Any) -> Any:
    return BranchModel(parts, n_ions=2, n_classes=2)


def batch(n_pixels: int) -> PeakBatch:
    """A node of the first ion in each pixel."""
    features: NDArray[np.float32] = np.tile(np.array([[1, 0, 1]], np.float32), (n_pixels, 1))
    graphs = PeakGraphs(features, np.arange(n_pixels + 1), CompactMessages.none(n_pixels))
    return graphs.batch(np.arange(n_pixels), edges="none")


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
    found.weights.copy_(torch.tensor([0.5, 0.1], dtype=torch.float64))
    pixels = batch(4)
    # A part gives 11 times its value, of which 10 are no peak's.
    assert found.branch_logits(pixels).tolist() == [[[11.0, 11.0], [11.0, 11.0]]] * 4
    full = torch.full((4, 2), 22.0, dtype=torch.float64)
    torch.testing.assert_close(found(pixels), full)
    torch.testing.assert_close(found.cam(pixels) + found.intercept(), full)
    assert found.embedding(pixels).shape == (4, 6)


def test_a_pixel_that_lacks_peaks_has_weights_of_its_own() -> None:
    """And its activations still add up to its logits, though the intercept is that of others."""
    found = model(one=[Stub(0, 1.0)], two=[Stub(0, 10.0)])
    found.weights.copy_(
        torch.tensor([[0.5, 0.1], *[[0.0, 0.2]] * (N_EXPERTS - 1)], dtype=torch.float64)
    )
    found.completeness.expected[0, 3] = 0.25  # a quarter of what is expected
    found.completeness.precision[:] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    found.completeness.kind_bias.fill_(-1e3)  # lost at random
    pixels = batch(2)
    level = 1 + LEVELS.index(0.25)
    assert found.completeness(pixels)[0].tolist() == np.eye(N_EXPERTS)[level].tolist()
    expected = torch.full((2, 2), 22.0, dtype=torch.float64)
    torch.testing.assert_close(found(pixels), expected)
    torch.testing.assert_close(found.cam(pixels) + found.intercept(), expected)
    assert found.intercept().tolist() == [15.0, 15.0]
    found.offsets[level, 0] = torch.tensor([1.0, 2.0])
    expected -= torch.tensor([1.0, 2.0])
    torch.testing.assert_close(found(pixels), expected)
    torch.testing.assert_close(found.cam(pixels) + found.intercept(), expected)


def test_some_branches_keep_their_weights_and_the_order_of_the_model() -> None:
    found = model(one=[Stub(0)], two=[Stub(1)], three=[Stub(2)])
    found.weights.copy_(torch.tensor([0.5, 0.125, 0.25]))
    some = found.only(["three", "one"])
    assert some.names == ("one", "three")
    assert some.weights.tolist() == [[0.5, 0.25]] * N_EXPERTS
    assert some.parts("one")[0] is found.parts("one")[0]


@pytest.mark.parametrize("names", [[], ["four"], ["one", "four"]])
def test_branches_that_are_not_there_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match=r"are not one or more of \('one', 'two'\)"):
        model(one=[Stub(0)], two=[Stub(0)]).only(names)


def test_names_of_what_is_saved() -> None:
    """Saved models are opened by these names, in this order."""
    found = model(axis=[AxisBranch(3, 2)], peak=[PeakNet(2, 3, 2, hidden=(4,))])
    complete = [f"completeness.{name}" for name in COMPLETENESS]
    sums = [f"sums.{name}" for name in ("group", "level", "usual")]
    factors = [f"factors.{k}.{name}" for k in range(2 + len(LEVELS)) for name in FACTORS]
    buffers = ["weight", "bias", *sums, *complete, *factors]
    layer = [f"layers.0.{name}" for name in ("weight", "root", "bias")]
    kept = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    norms = [f"{norm}.{name}" for norm in ("norms.0", "pool_norm") for name in kept]
    net = ["ion_vectors", *layer, *norms, "head.weight", "head.bias"]
    assert list(found.state_dict()) == [
        "weights",
        "offsets",
        *(f"branches.axis.0.{name}" for name in buffers),
        *(f"branches.peak.0.{name}" for name in net),
        *complete,
    ]
