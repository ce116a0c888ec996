"""How much of what is usual a pixel lacks, and in which way: weights of experts for each case."""

from __future__ import annotations

import torch
from torch import nn

from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch
from massgraph.nn.sums import bags

__all__ = ["LEVELS", "N_EXPERTS", "N_STRENGTHS", "Completeness", "kind_features"]

LEVELS = (0.85, 0.5, 0.25, 0.125)
"""Shares of the peaks that are left, below all of them: experts between two are interpolated."""

N_EXPERTS = 1 + 2 * len(LEVELS)
"""Experts: for spectra as measured, with peaks lost at random, and with the weakest ones lost."""

N_STRENGTHS = 4  # groups of ions, from weak to strong


class Completeness(nn.Module):
    """Which experts a pixel is for, by the shares of the expected ions that it has.

    Peaks are lost at random, or the weakest are. Strong ions are in nearly all spectra, and how
    many of them are there says how many peaks were lost at random; how many there are of all says
    how far from below they are lost. Which of the two it is, a logistic regression tells.

    Parameters
    ----------
    n_ions
        Ions of the axis.

    Examples
    --------
    Of two ions, a weak and a strong one, a pixel that has both is complete:

    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.completeness import Completeness
    >>> completeness = Completeness(2)
    >>> completeness.expected[0, 0] = completeness.expected[1, 3] = 1.0
    >>> completeness.precision[:] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    >>> completeness.total.fill_(2.0)
    tensor(2., dtype=torch.float64)
    >>> features = np.array([[1, 0, 1], [1, 1, 1]], np.float32)  # as `Addresses` names them
    >>> graphs = PeakGraphs(features, np.array([0, 2]), CompactMessages.none(1))
    >>> completeness(graphs.batch(np.array([0]), edges="none"))
    tensor([[1., 0., 0., 0., 0., 0., 0., 0., 0.]], dtype=torch.float64)
    """

    def __init__(self, n_ions: int) -> None:
        super().__init__()
        wide = torch.float64
        self.register_buffer("expected", torch.zeros(max(n_ions, 1), N_STRENGTHS, dtype=wide))
        self.register_buffer("precision", torch.ones(N_STRENGTHS, dtype=wide))
        self.register_buffer("total", torch.ones((), dtype=wide))
        self.register_buffer("kind_weight", torch.zeros(2 * N_STRENGTHS, dtype=wide))
        self.register_buffer("kind_bias", torch.zeros((), dtype=wide))

    expected: torch.Tensor
    """What one ion is of the number that is usual for its strength, ``(n_ions, N_STRENGTHS)``."""
    precision: torch.Tensor
    """How exactly each strength tells the share of all peaks that are left."""
    total: torch.Tensor
    """How many ions are usual."""
    kind_weight: torch.Tensor
    kind_bias: torch.Tensor
    """Of the logit that the weakest peaks are lost, in place of any."""

    def shares(self, batch: PeakBatch) -> torch.Tensor:
        """Shares of the expected ions, from weak to strong, ``(n_pixels, N_STRENGTHS)``."""
        where = addresses(batch)
        weight = where.weight.double()
        return bags(weight, self.expected, where.ion, batch.pixel, batch.n_pixels)

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Weight of each expert, ``(n_pixels, N_EXPERTS)``; rows sum to one."""
        shares = self.shares(batch)
        weight = addresses(batch).weight.double()
        n_ions = weight.new_zeros(batch.n_pixels).index_add(0, batch.pixel, weight)
        at_random = shares.clamp(max=1.0) @ (self.precision / self.precision.sum())
        kind = torch.sigmoid(kind_features(shares) @ self.kind_weight + self.kind_bias)
        random = _levels(at_random) * (1 - kind)[:, None]
        weakest = _levels(n_ions / self.total) * kind[:, None]
        complete = random[:, :1] + weakest[:, :1]
        return torch.cat([complete, random[:, 1:], weakest[:, 1:]], dim=1)


def kind_features(shares: torch.Tensor) -> torch.Tensor:
    """What tells how peaks were lost: the shares, and each over their sum.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.completeness import kind_features
    >>> kind_features(torch.tensor([[0.5, 0.5, 0.5, 0.5]])).tolist()
    [[0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]]
    """
    mean = shares.mean(dim=1, keepdim=True).clamp(min=1e-9)
    return torch.cat([shares, shares / mean], dim=1)


def _levels(share: torch.Tensor) -> torch.Tensor:
    """Weights of all peaks and of `LEVELS`: linear in the logarithm between neighbours."""
    knots = torch.log(share.new_tensor([1.0, *LEVELS]))
    at = torch.log(share.clamp(min=LEVELS[-1], max=1.0))
    # Knots fall: interval k lies between knots k and k + 1.
    k = torch.searchsorted(-knots, -at, right=True).clamp(1, len(knots) - 1) - 1
    part = (knots[k] - at) / (knots[k] - knots[k + 1])
    weights = share.new_zeros(len(share), len(knots))
    weights.scatter_(1, k[:, None], 1 - part[:, None])
    return weights.scatter_(1, k[:, None] + 1, part[:, None])
