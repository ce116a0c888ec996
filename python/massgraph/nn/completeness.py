"""How much of what is usual a pixel lacks, and in which way: weights of experts for each case."""

from __future__ import annotations

import torch
from torch import nn

from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch
from massgraph.nn.sums import bags, summed

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

    Where the balance of adducts varies, ions are missing that were not lost, and molecules are
    counted in their place (`group`).

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
        self.register_buffer("group", torch.arange(max(n_ions, 1)))
        self.register_buffer("expected", torch.zeros(max(n_ions, 1), N_STRENGTHS, dtype=wide))
        self.register_buffer("precision", torch.ones(N_STRENGTHS, dtype=wide))
        self.register_buffer("total", torch.ones((), dtype=wide))
        self.register_buffer("kind_weight", torch.zeros(2 * N_STRENGTHS, dtype=wide))
        self.register_buffer("kind_bias", torch.zeros((), dtype=wide))
        self.register_buffer("left", torch.tensor([[1.0, *LEVELS]] * 2, dtype=wide))

    group: torch.Tensor
    """What is counted: the molecule of each ion, or its own number."""
    expected: torch.Tensor
    """What one of them is of the number usual for its strength, ``(n_ions, N_STRENGTHS)``."""
    precision: torch.Tensor
    """How exactly each strength tells the share of all peaks that are left."""
    total: torch.Tensor
    """How many are usual."""
    kind_weight: torch.Tensor
    kind_bias: torch.Tensor
    """Of the logit that the weakest peaks are lost, in place of any."""
    left: torch.Tensor
    """Shares that are left at all peaks and at `LEVELS`, lost at random and the weakest."""

    def shares(self, batch: PeakBatch) -> torch.Tensor:
        """Shares of what is expected, from weak to strong, ``(n_pixels, N_STRENGTHS)``."""
        return self._counts(batch)[:, :N_STRENGTHS]

    def _counts(self, batch: PeakBatch) -> torch.Tensor:
        """`shares`, and behind them the number of what is counted."""
        where, n = addresses(batch), len(self.group)
        weight, place = where.weight.double(), batch.pixel * n + self.group[where.ion]
        if not bool((place[1:] > place[:-1]).all()):  # not single ions, which ascend
            place, of_ion = torch.unique(place, return_inverse=True)
            weight = summed(weight, of_ion, len(place)).clamp(max=1.0)
        table = torch.cat([self.expected, torch.ones_like(self.expected[:, :1])], dim=1)
        pixel = torch.div(place, n, rounding_mode="floor")
        return bags(weight, table, place % n, pixel, batch.n_pixels)

    def complete(self, counts: torch.Tensor) -> torch.Tensor:
        """Shares that seem to be left, by either way to lose peaks, ``(2, n_pixels)``."""
        at_random = counts[:, :N_STRENGTHS].clamp(max=1.0) @ (self.precision / self.precision.sum())
        return torch.stack([at_random, counts[:, N_STRENGTHS] / self.total])

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Weight of each expert, ``(n_pixels, N_EXPERTS)``; rows sum to one."""
        counts = self._counts(batch)
        at_random, from_below = self.complete(counts)
        shares = counts[:, :N_STRENGTHS]
        kind = torch.sigmoid(kind_features(shares) @ self.kind_weight + self.kind_bias)
        random = _levels(at_random, self.left[0]) * (1 - kind)[:, None]
        weakest = _levels(from_below, self.left[1]) * kind[:, None]
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


def _levels(share: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """Weights of all peaks and of `LEVELS`: linear in the logarithm between neighbours.

    `left` are the shares at which these have all of the weight, which fall.
    """
    knots = torch.log(left)
    at = torch.log(torch.minimum(torch.maximum(share, left[-1]), left[0]))
    # Knots fall: interval k lies between knots k and k + 1.
    k = torch.searchsorted(-knots, -at, right=True).clamp(1, len(knots) - 1) - 1
    part = (knots[k] - at) / (knots[k] - knots[k + 1])
    weights = share.new_zeros(len(share), len(knots))
    weights.scatter_(1, k[:, None], 1 - part[:, None])
    return weights.scatter_(1, k[:, None] + 1, part[:, None])
