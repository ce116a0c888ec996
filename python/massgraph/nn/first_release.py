"""Models of massgraph 0.1.0, which load for ever and say what they said: only read, never fitted.

Their branches in closed form were other ones, and weighed the same in every pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from massgraph.chem.relations import Relations
from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.nn.branch_model import BranchModel, Part
from massgraph.nn.completeness import N_STRENGTHS
from massgraph.nn.sums import summed

__all__ = ["FirstAxis", "FirstFamily", "FirstModel"]

N_FAULTS = 3  # none, peaks lost at random, the weakest lost
N_FEATURES = 2  # of an ion: its share and its deviation


class _FirstDiscriminants(nn.Module):
    """Three discriminants on the ions of the axis, chosen by how much is missing."""

    reads: ClassVar[int] = 0

    def __init__(self, n_ions: int, n_classes: int) -> None:
        super().__init__()
        n, wide = max(n_ions, 1), torch.float64
        self.register_buffer("usual", torch.zeros(n, dtype=wide))
        self.register_buffer("expected", torch.zeros(n, N_STRENGTHS, dtype=wide))
        self.register_buffer("gate_weight", torch.zeros(N_STRENGTHS, N_FAULTS, dtype=wide))
        self.register_buffer("gate_bias", torch.zeros(N_FAULTS, dtype=wide))
        shape = (N_FEATURES, n, N_FAULTS * n_classes)
        self.register_buffer("weight", torch.zeros(shape, dtype=wide))
        self.register_buffer("bias", torch.zeros(N_FAULTS, n_classes, dtype=wide))

    usual: torch.Tensor
    expected: torch.Tensor
    gate_weight: torch.Tensor
    gate_bias: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def values(self, batch: PeakBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What shares are of, and what deviates, of each node."""
        amount = addresses(batch).amount.double()
        return amount, amount

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        return graphs.batch(pixels, edges="none").to(device)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``."""
        where, pixel, n = addresses(batch), batch.pixel, batch.n_pixels
        weight = where.weight.double()
        shared, deviating = self.values(batch)
        share = weight * shared
        share = share / summed(share, pixel, n).clamp(min=1e-12)[pixel]
        deviation = weight * (deviating - self.usual[where.ion])
        common = summed(deviation, pixel, n) / summed(weight, pixel, n).clamp(min=1e-12)
        deviation = deviation - weight * common[pixel]
        each = share[:, None] * self.weight[0, where.ion]
        each += deviation[:, None] * self.weight[1, where.ion]
        complete = summed(weight[:, None] * self.expected[where.ion], pixel, n)
        gate = torch.softmax(complete @ self.gate_weight + self.gate_bias, dim=1)
        each = each.view(len(each), N_FAULTS, self.bias.shape[1])
        each = each * batch.counts[pixel, :, None].double()
        cam = torch.einsum("pf,pfc->pc", gate[pixel], each)
        return cam + (gate @ (self.bias - self.bias[0]))[pixel]

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return self.embedding(batch) + self.intercept()

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        """Mean activation of each pixel, without the intercept, ``(n_pixels, n_classes)``."""
        total = summed(self.cam(batch), batch.pixel, batch.n_pixels)
        return total / batch.counts.clamp(min=1).double()

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return self.bias[0]


class FirstAxis(_FirstDiscriminants):
    """Discriminants on the amounts of single ions.

    Examples
    --------
    >>> from massgraph.nn.first_release import FirstAxis
    >>> list(FirstAxis(3, 2).state_dict())[:2]
    ['usual', 'expected']
    """


class FirstFamily(_FirstDiscriminants):
    """Discriminants on what the ions that edges of one molecule lead to add up to.

    Examples
    --------
    >>> from massgraph.nn.first_release import FirstFamily
    >>> "level" in FirstFamily(3, 2).state_dict()  # of the encoder
    False
    """

    # Its batches hold edges, and those of a network with edges will do: it cuts none of its own.
    reads: ClassVar[int] = 1

    def __init__(self, n_ions: int, n_classes: int) -> None:
        super().__init__(n_ions, n_classes)
        # Of the encoder, and no part of what was saved.
        level = torch.ones(max(n_ions, 1), dtype=torch.float64)
        self.register_buffer("level", level, persistent=False)
        self.register_buffer("within", torch.zeros(1, dtype=torch.bool), persistent=False)

    level: torch.Tensor
    within: torch.Tensor

    def learn_axis(self, level: NDArray[np.float64], relations: Relations) -> None:
        """Take the usual intensities of the ions, in the unit of the encoder, and the relations."""
        self.level.copy_(torch.from_numpy(level))
        self.within = torch.from_numpy(np.asarray(relations.of_one_molecule))

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels with their edges."""
        return graphs.batch(pixels).to(device)

    def values(self, batch: PeakBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """How much of its molecule there is, and how much more than is usual, for each node."""
        where, messages = addresses(batch), batch.messages
        if batch.graphs is not None:
            messages = batch.graphs.typed_messages().to(where.ion.device)
        weight = where.weight.double()
        # In a directed graph a loss has the code of its gain, plus the number of relations.
        kind = messages.edge_type() % len(self.within)
        chosen = self.within[kind] if len(kind) else kind.bool()
        sender, receiver = messages.sender[chosen], messages.receiver[chosen]

        def total(own: torch.Tensor) -> torch.Tensor:
            return torch.log1p(own + summed(own[sender], receiver, len(own)))

        amount = total(weight * torch.expm1(where.amount.double())).float().double()
        return amount, (amount - total(weight * self.level[where.ion])).float().double()


class FirstModel(BranchModel):
    """The weighted sum of named branches, at the same weights in every pixel.

    Examples
    --------
    >>> from massgraph.nn.first_release import FirstAxis, FirstModel
    >>> list(FirstModel({"axis": [FirstAxis(3, 2)]}, 3).state_dict())[0]
    'weights'
    """

    def __init__(self, branches: Mapping[str, Sequence[nn.Module]], n_ions: int) -> None:
        super().__init__(cast("Mapping[str, Sequence[Part]]", branches), n_ions, 0)
        self.n_ions = n_ions
        del self.completeness, self.offsets
        self.register_buffer("weights", torch.ones(len(branches), dtype=torch.float64))

    def only(self, names: Sequence[str]) -> FirstModel:
        """Some of the branches, at the weights that they have; parts are shared."""
        names = self.checked(names)
        chosen = FirstModel({name: self.parts(name) for name in names}, self.n_ions)
        chosen = chosen.to(self.weights.device).eval()
        chosen.weights.copy_(self.weights[[self.names.index(name) for name in names]])
        return chosen

    @property
    def reads_edges(self) -> bool:
        """Whether any branch reads mass differences: sums over molecules followed edges."""
        return super().reads_edges or "family" in self.names

    def branch_logits(self, batch: PeakBatch) -> torch.Tensor:
        """What each branch adds to the logits, shape ``(n_pixels, n_branches, n_classes)``."""
        logits = [
            torch.stack([part(batch) for part in self.parts(name)]).mean(dim=0)
            for name in self.names
        ]
        return self.weights[:, None] * torch.stack(logits, dim=1)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``, in evaluation mode."""
        cams = [
            torch.stack([part.cam(batch) for part in self.parts(name)]).mean(dim=0)
            for name in self.names
        ]
        return torch.einsum("b,bpc->pc", self.weights, torch.stack(cams))

    def branch_intercept(self, name: str) -> torch.Tensor:
        """Part of the logits of one branch, weighted, that no peak carries, ``(n_classes,)``."""
        parts = [part.intercept() for part in self.parts(name)]
        return self.weights[self.names.index(name)] * torch.stack(parts).mean(dim=0)
