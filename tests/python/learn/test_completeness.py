"""How complete pixels are: told by ions, or by molecules where the balance of adducts varies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from massgraph.graph.batch import PeakGraphs
from massgraph.graph.messages import CompactMessages
from massgraph.learn.completeness import fit_completeness
from massgraph.nn.completeness import LEVELS, Completeness

N_PIXELS, N_MOLECULES = 120, 60
GROUP = np.repeat(np.arange(N_MOLECULES), 3)  # each has three ions
ALONE = np.arange(GROUP.size)
LEVEL = np.exp(np.random.default_rng(1).normal(size=GROUP.size))


def graphs_of(there: np.ndarray) -> PeakGraphs:
    """Pixels, rows of a mask, and the ions that they hold."""
    pixel, ion = np.nonzero(there)
    features = np.column_stack([np.log1p(LEVEL[ion]), ion, np.ones(ion.size)])
    offsets = np.searchsorted(pixel, np.arange(len(there) + 1))
    return PeakGraphs(features.astype(np.float32), offsets, CompactMessages.none(len(there)))


def fitted(there: np.ndarray, group: np.ndarray = GROUP) -> Completeness:
    completeness = Completeness(GROUP.size)
    rng = np.random.default_rng(0)
    fit_completeness(completeness, graphs_of(there), LEVEL, group, rng)
    return completeness


def experts(completeness: Completeness, there: np.ndarray) -> torch.Tensor:
    batch = graphs_of(there).batch(np.arange(len(there)), edges="none")
    return completeness(batch).mean(dim=0)


def even(rng: np.random.Generator) -> np.ndarray:
    """Nearly all ions in all pixels."""
    return rng.random((N_PIXELS, GROUP.size)) < 0.98


def split(rng: np.random.Generator, n: int = N_PIXELS, widest: float = 1.0) -> np.ndarray:
    """All molecules in all pixels, but in each pixel as the adducts that it has salt for."""
    likely = rng.uniform(1 - widest, 1.0, (n, 3))
    there = rng.random((n, N_MOLECULES, 3)) < likely[:, None, :]
    there[..., 0] |= ~there.any(axis=2)
    return there.reshape(n, -1)


def test_ions_are_counted_where_all_are_there() -> None:
    found = fitted(even(np.random.default_rng(0)))
    assert found.group.tolist() == ALONE.tolist()


def test_molecules_are_counted_where_the_balance_of_adducts_varies() -> None:
    rng = np.random.default_rng(0)
    there = split(rng)
    found = fitted(there)
    assert found.group[: GROUP.size].tolist() == GROUP.tolist()
    # Another balance in a new image is no loss, but half of the peaks gone is one.
    other = split(rng, 50, widest=0.5)
    assert experts(found, other)[0] > 0.9
    lost = there & (rng.random(there.shape) < 0.25)
    assert experts(found, lost)[0] < 0.1
    by_ions = fitted(there, ALONE)
    assert experts(by_ions, there)[0] < experts(found, there)[0]


@pytest.mark.parametrize("group", [ALONE, GROUP])
def test_levels_are_where_pixels_are_that_lost_so_much(group: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    there = even(rng) if group is ALONE else split(rng)
    found = fitted(there, group)
    for number, share in enumerate(LEVELS[1:], start=2):
        said = experts(found, there & (rng.random(there.shape) < share))
        assert int(said[: 1 + len(LEVELS)].argmax()) == number
    assert (np.diff(found.left.numpy(), axis=1) < 0).all()


def test_an_axis_without_ions() -> None:
    completeness = Completeness(0)
    none = PeakGraphs(np.empty((0, 3), np.float32), np.zeros(3, int), CompactMessages.none(2))
    nothing = np.empty(0, dtype=np.int64)
    fit_completeness(completeness, none, np.empty(0), nothing, np.random.default_rng(0))
    assert torch.isfinite(completeness(none.batch(np.arange(2), edges="none"))).all()
