"""Discriminants: branches in closed form, sums over the ions of a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.nn.completeness import LEVELS, N_EXPERTS, Completeness
from massgraph.nn.factors import Factors
from massgraph.nn.sums import ALONE, MISSING, IonSums, Sums, bags

__all__ = ["AxisBranch", "Discriminants", "FamilyBranch", "Sums"]


class Discriminants(nn.Module):
    r"""Linear discriminants on sums over groups of ions, for pixels that lack some of them.

    With the sum :math:`S_g` over the ions of group g (`massgraph.nn.sums.IonSums`), two
    discriminants of equal weight look at a pixel:

    - at the shares :math:`\log(1 + S_g) / \sum_h \log(1 + S_h)`, for which an absent group is one
      of which there is nothing;
    - at how far :math:`\log(1 + S_g)` is from what is usual, less the mean of that over the pixel,
      of the groups that are there alone (`massgraph.nn.factors.Factors`).

    Each comes for spectra as measured, with peaks lost at random and with the weakest lost, to
    several levels; `massgraph.nn.completeness.Completeness` says how far each is for a pixel. Where
    peaks are lost at random, what is usual is that of the ions that are there, so that it matters
    little which of them are.

    Parameters
    ----------
    n_ions, n_classes
        Ions of the axis, and classes.

    Examples
    --------
    See `AxisBranch`.
    """

    reads: ClassVar[int] = 0  # as for `massgraph.nn.rgcn.RGCN`

    sums_molecules: ClassVar[bool] = False
    """Whether the groups are molecules in place of single ions."""

    def __init__(self, n_ions: int, n_classes: int) -> None:
        super().__init__()
        # float64: the weights come from solved equations, and sums over ions are to be exact.
        n, wide = max(n_ions, 1), torch.float64
        # Buffers and no parameters: nothing here is learnt by steps. There may be fewer groups.
        self.register_buffer("weight", torch.zeros(n, N_EXPERTS, n_classes, dtype=wide))
        self.register_buffer("bias", torch.zeros(N_EXPERTS, n_classes, dtype=wide))
        self.sums = IonSums(n_ions)
        self.completeness = Completeness(n_ions)
        self.factors = nn.ModuleList(Factors(n, n_classes) for _ in range(2 + len(LEVELS)))

    weight: torch.Tensor
    bias: torch.Tensor
    """Of the shares: one discriminant for each expert."""

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        return graphs.batch(pixels, edges="none").to(device)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``."""
        return self.weighted_cam(batch, self.completeness(batch), self.bias.new_ones(N_EXPERTS))

    def weighted_cam(
        self, batch: PeakBatch, expert: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """As `cam`, of discriminants that have a weight each, shape ``(N_EXPERTS,)``.

        `expert` is what `completeness` says of the batch.
        """
        sums: Sums = self.sums(batch)
        expert = expert * weights
        each = sums.share.new_zeros(len(sums.pixel), self.bias.shape[1])
        for gate, factors, of_gate in self._deviating(sums, expert):
            pixel = sums.pixel[of_gate.sums]
            each[of_gate.sums] += gate[pixel, None] * factors(*of_gate.given)
        for number in range(N_EXPERTS):
            weighted = sums.share * expert[sums.pixel, number]
            each += weighted[:, None] * self.weight[sums.group, number]
        # As a mean over the peaks: the contribution times their number.
        cam = (sums.part * batch.counts[batch.pixel, 0].double())[:, None] * each[sums.of_node]
        return _contrast(cam + self._common(expert, weights)[batch.pixel])

    def weighted_mean(
        self, batch: PeakBatch, expert: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Mean of `weighted_cam` over the peaks of each pixel, ``(n_pixels, n_classes)``.

        It is found without what each peak adds, which takes most of the time.
        """
        sums: Sums = self.sums(batch)
        expert = expert * weights
        tables = self.weight.flatten(start_dim=1)
        shares = bags(sums.share, tables, sums.group, sums.pixel, batch.n_pixels)
        shares = shares.reshape(batch.n_pixels, N_EXPERTS, -1)
        found = self._common(expert, weights) + (expert[:, :, None] * shares).sum(dim=1)
        for gate, factors, of_gate in self._deviating(sums, expert):
            found[of_gate.pixels] += gate[of_gate.pixels, None] * factors.logits(*of_gate.given)
        return _contrast(torch.where(batch.counts > 0, found, 0.0))

    def deviating(self, number: int) -> Factors:
        """The discriminant on deviations of one expert: as measured, at random, weakest lost."""
        return cast("Factors", self.factors[number])

    def _common(self, expert: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """What the choice of the discriminant adds is of no ion: the peaks share it equally."""
        return expert @ self.bias - weights[0] * self.bias[0]

    def _deviating(
        self, sums: Sums, expert: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, Factors, _Gated]]:
        """Discriminants on deviations with how far each is for a pixel, and what they read."""
        n_levels = len(LEVELS)
        random = expert[:, 1 : 1 + n_levels].sum(dim=1)
        gates = [expert[:, 0], random, *expert[:, 1 + n_levels :].unbind(dim=1)]
        for number, gate in enumerate(gates):
            pixels = torch.nonzero(gate)[:, 0]
            if len(pixels):
                kind = MISSING if number == 1 else ALONE
                yield gate, self.deviating(number), _Gated.of(sums, kind, gate, pixels)

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return self.embedding(batch) + self.intercept()

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        """Mean activation of each pixel, without the intercept, ``(n_pixels, n_classes)``."""
        ones = self.bias.new_ones(N_EXPERTS)
        return self.weighted_mean(batch, self.completeness(batch), ones)

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return 0.5 * (self.bias[0] - self.bias[0].mean())


class AxisBranch(Discriminants):
    """`Discriminants` on the amounts of single ions.

    Examples
    --------
    The share of ion 1 speaks for class 0, by the discriminant for spectra as measured:

    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.discriminants import AxisBranch
    >>> features = np.array([[1, 0, 1], [1, 1, 1], [3, 0, 1]], np.float32)  # see `Addresses`
    >>> graphs = PeakGraphs(features, np.array([0, 2, 3]), CompactMessages.none(2))
    >>> branch = AxisBranch(n_ions=2, n_classes=2)
    >>> branch.weight[1, :, 0] = 8.0
    >>> branch(graphs.batch(np.arange(2), edges="none"))
    tensor([[ 1., -1.],
            [ 0.,  0.]], dtype=torch.float64)
    """


class FamilyBranch(Discriminants):
    """`Discriminants` on what the ions of one molecule add up to, its isotopes and alkali adducts.

    Examples
    --------
    As `AxisBranch`, with both ions of one molecule, which is all that either pixel holds:

    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.discriminants import FamilyBranch
    >>> features = np.array([[1, 0, 1], [1, 1, 1], [3, 0, 1]], np.float32)  # see `Addresses`
    >>> graphs = PeakGraphs(features, np.array([0, 2, 3]), CompactMessages.none(2))
    >>> branch = FamilyBranch(n_ions=2, n_classes=2)
    >>> branch.sums.group[:] = 0
    >>> branch.weight[0, :, 0] = 4.0
    >>> branch(graphs.batch(np.arange(2), edges="none"))
    tensor([[ 1., -1.],
            [ 1., -1.]], dtype=torch.float64)
    """

    sums_molecules = True


class _Gated(NamedTuple):
    """Pixels that a discriminant is for, their sums, and these as `Factors` reads them."""

    pixels: torch.Tensor
    sums: torch.Tensor
    given: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int]

    @classmethod
    def of(cls, sums: Sums, kind: int, gate: torch.Tensor, pixels: torch.Tensor) -> _Gated:
        rows = torch.nonzero(gate[sums.pixel])[:, 0]
        place = torch.zeros_like(gate, dtype=torch.int64)
        place[pixels] = torch.arange(len(pixels), device=gate.device)
        values, weight, group = sums.deviation[rows, kind], sums.weight[rows], sums.group[rows]
        return cls(pixels, rows, (values, weight, group, place[sums.pixel[rows]], len(pixels)))


def _contrast(values: torch.Tensor) -> torch.Tensor:
    """Half of what each class has more than the mean of the classes."""
    return 0.5 * (values - values.mean(dim=1, keepdim=True))
