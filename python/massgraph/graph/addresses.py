"""What the axis of a data set knows of each node: the last columns of the node features."""

from __future__ import annotations

from typing import NamedTuple

import torch

from massgraph.graph.batch import PeakBatch

__all__ = ["ADDRESS_WIDTH", "Addresses", "addresses"]


class Addresses(NamedTuple):
    """What is known of each node by its ion, each of shape ``(n_nodes,)``.

    `amount` of the ion, `ion` its place in the axis (int64), `weight` how far it is there,
    `molecule` the amount of its molecule and `surplus` how much more of it there is than is usual
    (`massgraph.encode.molecules`).
    """

    amount: torch.Tensor
    ion: torch.Tensor
    weight: torch.Tensor
    molecule: torch.Tensor
    surplus: torch.Tensor


ADDRESS_WIDTH = len(Addresses._fields)
"""Columns after the node features: those of `Addresses`."""


def addresses(batch: PeakBatch) -> Addresses:
    """The last columns of the features."""
    amount, ion, weight, molecule, surplus = batch.features[:, -ADDRESS_WIDTH:].unbind(dim=1)
    return Addresses(amount, ion.long(), weight, molecule, surplus)
