"""What the ions of each group, single ones or those of a molecule, add up to in each pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding_bag

from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch

__all__ = ["ALONE", "MISSING", "IonSums", "Sums", "bags", "summed"]

ALONE, MISSING = range(2)
"""Deviations of an amount: from what is usual, or from what is usual of the ions that are there."""


class Sums(NamedTuple):
    """What the ions of each group add up to in each pixel, where there are any.

    `pixel` and `group` of each sum, `weight` how far it is there (0 to 1), `share` its part in the
    logarithmic amounts of the pixel, and `deviation` of its logarithmic amount, times the weight,
    shape ``(n_sums, 2)``; then for each node the sum that it is in, `of_node`, and its `part`.

    Examples
    --------
    >>> from massgraph.nn.discriminants import Sums
    >>> Sums._fields
    ('pixel', 'group', 'weight', 'share', 'deviation', 'of_node', 'part')
    """

    pixel: torch.Tensor
    group: torch.Tensor
    weight: torch.Tensor
    share: torch.Tensor
    deviation: torch.Tensor
    of_node: torch.Tensor
    part: torch.Tensor


class IonSums(nn.Module):
    r"""Sums over groups of ions, and how far they are from what is usual.

    A group g has the intensity :math:`S_g = \sum_k w_k I_k`, over its ions in the pixel, with how
    far each is there, :math:`w_k` (see `massgraph.encode.ions`), and its intensity over the
    brightness of the pixel, :math:`I_k`. Brightness refers to the ions that are there: it is found
    anew where nodes were left out.

    Parameters
    ----------
    n_ions
        Ions of the axis; there may be fewer groups.

    Examples
    --------
    Three ions in two pixels, each by itself:

    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.sums import IonSums
    >>> features = np.array([[1, 0, 1], [1, 1, 1], [3, 0, 1]], np.float32)  # see `Addresses`
    >>> graphs = PeakGraphs(features, np.array([0, 2, 3]), CompactMessages.none(2))
    >>> IonSums(2)(graphs.batch(np.arange(2), edges="none")).share
    tensor([0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, n_ions: int) -> None:
        super().__init__()
        n, wide = max(n_ions, 1), torch.float64
        self.register_buffer("group", torch.arange(n))
        self.register_buffer("level", torch.ones(n, dtype=wide))
        self.register_buffer("usual", torch.zeros(2, n, dtype=wide))

    group: torch.Tensor
    """Group of each ion, from 0."""
    level: torch.Tensor
    """Usual intensity of each ion."""
    usual: torch.Tensor
    """Mean logarithmic amount of each group, and mean surplus over that of the ions there."""

    def forward(self, batch: PeakBatch) -> Sums:
        """Add up the ions of each group, and say how far the sums are from what is usual."""
        return self.deviating(self.amounts(batch), batch.n_pixels)

    def deviating(self, sums: Sums, n_pixels: int) -> Sums:
        """What `amounts` gives, with how far each is from what is usual."""
        deviation = sums.weight[:, None] * (sums.deviation - self.usual.T[sums.group])
        known = _positive(summed(sums.weight, sums.pixel, n_pixels))
        common = summed(deviation, sums.pixel, n_pixels) / known[:, None]
        return sums._replace(deviation=deviation - sums.weight[:, None] * common[sums.pixel])

    def amounts(self, batch: PeakBatch) -> Sums:
        """Add up the ions of each group; deviations are the amounts themselves, unweighted."""
        where, pixel, n_pixels = addresses(batch), batch.pixel, batch.n_pixels
        weight, level = where.weight.double(), self.level[where.ion]
        # Brightness refers to the ions that are there: it is found anew where nodes were left out.
        intensity = weight * torch.expm1(where.amount.double())
        brightness = summed(intensity, pixel, n_pixels) / _positive(
            summed(weight * level, pixel, n_pixels)
        )
        # Never zero, so that the parts of a sum are one together, however weak its ions are.
        intensity = _positive(intensity / _positive(brightness)[pixel])
        of_node, first = self._groups_of(pixel, where.ion)
        total, there, expected = (
            values if of_node is first else summed(values, of_node, len(first))
            for values in (intensity, weight, weight * level)
        )
        pixel, group, there = pixel[first], self.group[where.ion[first]], there.clamp(max=1.0)
        amount = torch.log1p(total)
        share = amount / _positive(summed(amount, pixel, n_pixels))[pixel]
        values = torch.stack([amount, amount - torch.log1p(expected)], dim=1)
        part = intensity / total[of_node]
        return Sums(pixel, group, there, share, values, of_node, part)

    def _groups_of(
        self, pixel: torch.Tensor, ion: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum that each node is in, and a node of each sum: the same where each is alone."""
        place = pixel * len(self.group) + self.group[ion]
        each = torch.arange(len(ion), device=ion.device)
        if bool((place[1:] > place[:-1]).all()):  # single ions: they ascend
            return each, each
        sums, of_node = torch.unique(place, return_inverse=True)
        first = torch.empty_like(sums)
        # Any node will do: those of a sum agree in pixel and group.
        first[of_node] = each
        return of_node, first


def _positive(values: torch.Tensor) -> torch.Tensor:
    return values.clamp(min=1e-300)


def summed(values: torch.Tensor, place: torch.Tensor, n: int) -> torch.Tensor:
    """Sums of the rows of `values` by their place, from 0 to n.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.sums import summed
    >>> summed(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3)
    tensor([1., 0., 5.])
    """
    return values.new_zeros(n, *values.shape[1:]).index_add(0, place, values)


def bags(
    weight: torch.Tensor, table: torch.Tensor, row: torch.Tensor, place: torch.Tensor, n: int
) -> torch.Tensor:
    """Weighted sums of rows of a table by their place, ascending from 0 to n.

    As ``summed(weight[:, None] * table[row], place, n)``, which fills the memory on the way.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.sums import bags
    >>> table = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> bags(torch.tensor([3.0, 1.0]), table, torch.tensor([0, 1]), torch.tensor([1, 1]), 2)
    tensor([[0., 0.],
            [3., 2.]])
    """
    first = torch.searchsorted(place.contiguous(), torch.arange(n, device=place.device))
    return embedding_bag(row, table, first, mode="sum", per_sample_weights=weight)
