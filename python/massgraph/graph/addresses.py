"""What the axis of a data set knows of each node: the last columns of the node features."""

from __future__ import annotations

from typing import NamedTuple

import torch

from massgraph.graph.batch import PeakBatch

__all__ = ["ADDRESS_WIDTH", "Addresses", "addresses"]


class Addresses(NamedTuple):
    """What is known of each node by its ion, each of shape ``(n_nodes,)``.

    `amount` of the ion, ``log(1 + I / u)`` of its intensity over the brightness of the pixel, `ion`
    its place in the axis (int64), and `weight` how far it is there (`massgraph.encode.ions`).

    Examples
    --------
    >>> from massgraph.graph.addresses import Addresses
    >>> Addresses._fields
    ('amount', 'ion', 'weight')
    """

    amount: torch.Tensor
    ion: torch.Tensor
    weight: torch.Tensor


ADDRESS_WIDTH = len(Addresses._fields)
"""Columns after the node features: those of `Addresses`."""


def addresses(batch: PeakBatch) -> Addresses:
    """The last columns of the features, by their names.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.addresses import addresses
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> features = np.array([[0.5, 2.0, 7.0, 1.0]], np.float32)
    >>> graphs = PeakGraphs(features, np.array([0, 1]), CompactMessages.none(1))
    >>> addresses(graphs.batch(np.array([0]))).ion
    tensor([7])
    """
    # Ions are numbers below 2**24: float32 holds them exactly among the other features.
    amount, ion, weight = batch.features[:, -ADDRESS_WIDTH:].unbind(dim=1)
    return Addresses(amount, ion.long(), weight)
