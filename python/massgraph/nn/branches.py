"""Branches: parts of a model that each give logits additive over peaks, and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from massgraph._util.errors import InputError
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.messages import CompactMessages
from massgraph.nn.compiled import GraphBatch
from massgraph.nn.rgcn import RGCN

__all__ = [
    "ADDRESS_WIDTH",
    "DISCRIMINANTS",
    "N_FAULTS",
    "N_STRENGTHS",
    "AxisBranch",
    "BranchModel",
    "Discriminants",
    "FamilyBranch",
    "PeakNet",
    "RelationalNet",
]

EMBEDDING = 5  # learnt numbers per ion of the axis
N_FAULTS = 3  # none, peaks lost at random, the weakest lost
N_FEATURES = 2  # of an ion, for discriminants
N_STRENGTHS = 4  # groups of ions, from weak to strong
READS_MOST = ("relational", "peak")  # branches whose batches serve the others too
ADDRESS_WIDTH = 5
"""Columns after the node features: those of `Addresses`."""


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


def addresses(batch: PeakBatch) -> Addresses:
    """The last columns of the features."""
    amount, ion, weight, molecule, surplus = batch.features[:, -ADDRESS_WIDTH:].unbind(dim=1)
    return Addresses(amount, ion.long(), weight, molecule, surplus)


class RelationalNet(RGCN):
    """An `RGCN` that also reads which ion of the axis a node is.

    The features of a node are joined by the vector of its ion, weighted by how far the ion is
    there.

    Parameters
    ----------
    n_features
        Node features, without the columns of the addresses.
    n_ions
        Ions of the axis.
    n_kinds, n_classes, hidden, batch_norm, backend
        As for `RGCN`.
    """

    def __init__(
        self,
        n_features: int,
        n_ions: int,
        n_kinds: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        batch_norm: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__(
            n_features + EMBEDDING,
            n_kinds,
            n_classes,
            hidden=hidden,
            batch_norm=batch_norm,
            backend=backend,
        )
        self.ion_vectors = nn.Parameter(0.1 * torch.randn(max(n_ions, 1), EMBEDDING))

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Graphs of these pixels; their addresses are read here, whatever reads the edges."""
        if not self.is_native(device):
            return graphs.batch(pixels).to(device)
        known = graphs.features.shape[1] - ADDRESS_WIDTH + EMBEDDING
        self._check_graphs(known, graphs.messages.n_kinds)
        return graphs.batch(pixels, edges="native")

    def nodes(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Peak features after the last ReLU, shape ``(n_peaks, hidden[-1])``."""
        return super().nodes(self._joined(batch)[1])

    def embedding(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Mean over the peaks of each pixel, in evaluation mode, ``(n_pixels, hidden[-1])``."""
        joined = self._joined(batch)[1]
        if isinstance(joined, GraphBatch):
            return super().embedding(joined)
        return self.pool(super().nodes(joined).double(), joined)

    def _pooled(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        features, joined = self._joined(batch)
        if isinstance(joined, GraphBatch):
            return self._native.pooled(joined, features)
        return self.pool(super().nodes(joined), joined)

    def _joined(self, batch: PeakBatch | GraphBatch) -> tuple[torch.Tensor, PeakBatch | GraphBatch]:
        """Features with the vectors of the ions in place of the addresses, and the batch of them.

        The batch is in the form that the backend reads; the features have gradients.
        """
        if isinstance(batch, GraphBatch):
            msg = "graphs without the addresses of their peaks: use what `take` gives"
            raise TypeError(msg)
        where = addresses(batch)
        vectors = functional.embedding(where.ion, self.ion_vectors) * where.weight[:, None]
        known = torch.cat([batch.features[:, :-ADDRESS_WIDTH], vectors], dim=1)
        if batch.graphs is not None:
            return known, self._native_batch(batch.graphs, known)
        return known, replace(batch, features=known)

    def _native_batch(self, graphs: GraphBatch, features: torch.Tensor) -> GraphBatch:
        return replace(graphs, features=features.detach().numpy(), own_rows=True)


class PeakNet(RelationalNet):
    """A `RelationalNet` without edges: the set of the peaks. Other parameters are the same."""

    def __init__(
        self,
        n_features: int,
        n_ions: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        batch_norm: bool = True,
        backend: str = "auto",
    ) -> None:
        shape = {"hidden": hidden, "batch_norm": batch_norm, "backend": backend}
        super().__init__(n_features, n_ions, 0, n_classes, **shape)  # type: ignore[arg-type]

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        edges = "native" if self.is_native(device) else "none"
        return graphs.batch(pixels, edges=edges).to(device)

    def _native_batch(self, graphs: GraphBatch, features: torch.Tensor) -> GraphBatch:
        messages = CompactMessages.none(graphs.n_pixels)
        counts = graphs.offsets[graphs.pixels + 1] - graphs.offsets[graphs.pixels]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        rows = np.arange(graphs.n_pixels)
        return GraphBatch(features.detach().numpy(), offsets, messages, rows)


class Discriminants(nn.Module):
    r"""Linear discriminants on the ions of the axis, chosen by how much is missing.

    Each ion that a pixel holds has two features, zero where it is absent. With how far the ion is
    there, :math:`w_k` (see `massgraph.encode.ions`), a value :math:`v_k` and its mean :math:`\mu_k`
    where the ion is present, they are its share :math:`V_k = w_k v_k / \sum_k w_k v_k`, which knows
    an absent ion from a weak one, and its deviation :math:`D_k = w_k (v_k - \mu_k - g)` from what
    is usual, where :math:`g` is the mean deviation in the pixel, for which an absent ion says
    nothing. Which of the `Addresses` these are of makes a branch (`SHARED`, `DEVIATING`).

    Each of three discriminants, for spectra as measured, with peaks lost at random, and with the
    weakest lost, gives logits that are a sum over ions; a gate weighs them by the shares of the
    expected ions that the pixel has, from weak ones to strong ones.

    Parameters
    ----------
    n_ions, n_classes
        Ions of the axis, and classes.
    """

    SHARED: str
    DEVIATING: str
    MEASURED: tuple[float, float]
    LOST: tuple[float, float]
    """Part of the discriminant on each feature alone, for spectra as measured and for lost peaks.

    The two for lost peaks have one on all features besides, learnt from degraded copies.
    """

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

    def features(self, batch: PeakBatch) -> torch.Tensor:
        """Share and deviation of each node, float64, ``(n_nodes, N_FEATURES)``."""
        where = addresses(batch)
        weight = where.weight.double()
        share = weight * getattr(where, self.SHARED).double()
        share = share / _pixel_sum(share, batch).clamp(min=1e-12)[batch.pixel]
        deviation = weight * (getattr(where, self.DEVIATING).double() - self.usual[where.ion])
        known = _pixel_sum(weight, batch).clamp(min=1e-12)
        common = _pixel_sum(deviation, batch) / known
        return torch.stack([share, deviation - weight * common[batch.pixel]], dim=1)

    def completeness(self, batch: PeakBatch) -> torch.Tensor:
        """Shares of the expected ions, from weak to strong, ``(n_pixels, N_STRENGTHS)``."""
        where = addresses(batch)
        found = where.weight.double()[:, None] * self.expected[where.ion]
        return found.new_zeros(batch.n_pixels, N_STRENGTHS).index_add(0, batch.pixel, found)

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        return graphs.batch(pixels, edges="none").to(device)

    def gate(self, complete: torch.Tensor) -> torch.Tensor:
        """Weight of each discriminant, shape ``(n_pixels, N_FAULTS)``."""
        return torch.softmax(complete @ self.gate_weight + self.gate_bias, dim=1)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``."""
        ion = addresses(batch).ion
        features = self.features(batch)
        each = features[:, :1] * self.weight[0, ion]
        each += features[:, 1:] * self.weight[1, ion]
        gate = self.gate(self.completeness(batch))
        # As a mean over the peaks: the contribution times their number.
        each = (
            each.view(len(each), N_FAULTS, self.bias.shape[1])
            * batch.counts[batch.pixel, :, None].double()
        )
        cam = torch.einsum("pf,pfc->pc", gate[batch.pixel], each)
        # What the choice of the discriminant adds is of no ion: the peaks share it equally.
        return cam + (gate @ (self.bias - self.bias[0]))[batch.pixel]

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return _pixel_mean(self.cam(batch), batch) + self.intercept()

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return self.bias[0]


class AxisBranch(Discriminants):
    """`Discriminants` on the amounts of single ions."""

    SHARED = DEVIATING = "amount"
    MEASURED = (0.8, 0.2)
    LOST = (1 / 3, 2 / 3)


class FamilyBranch(Discriminants):
    """`Discriminants` on what the ions of one molecule add up to (`massgraph.encode.molecules`).

    The surplus refers to what is usual for the ions that the pixel has: where peaks are lost only
    its deviation can be used.
    """

    SHARED, DEVIATING = "molecule", "surplus"
    MEASURED = (0.5, 0.5)
    LOST = (0.0, 1.0)


class BranchModel(nn.Module):
    """The weighted sum of named branches, each the mean of its nets.

    All parts are means over peaks of class activations plus an intercept, and so is the sum:
    ``logit_c = mean_i CAM[i, c] + b_c`` exactly. It is put together from fitted parts and not
    trained as a whole.

    Parameters
    ----------
    branches
        Per name (of `massgraph.learn.settings.BRANCHES`) its parts: one `Discriminants`, or nets of
        different folds.
    """

    def __init__(self, branches: Mapping[str, Sequence[RGCN | Discriminants]]) -> None:
        super().__init__()
        lists = {name: nn.ModuleList(parts) for name, parts in branches.items()}
        self.branches = nn.ModuleDict(lists)
        self.register_buffer("weights", torch.ones(len(branches), dtype=torch.float64))

    weights: torch.Tensor

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the branches, in order."""
        return tuple(self.branches)

    def parts(self, name: str) -> list[RGCN | Discriminants]:
        """The parts of one branch."""
        return list(cast("nn.ModuleList", self.branches[name]))  # type: ignore[arg-type]

    def only(self, names: Sequence[str]) -> BranchModel:
        """Some of the branches, at the weights that they have; parts are shared.

        Raises ValueError for no names, or one that is not a branch of this model.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            msg = f"branches {tuple(names)} are not one or more of {self.names}"
            raise InputError(msg)
        names = [name for name in self.names if name in names]
        parts = {name: self.parts(name) for name in names}
        chosen = BranchModel(parts).to(self.weights.device).eval()
        chosen.weights.copy_(self.weights[[self.names.index(name) for name in names]])
        return chosen

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Graphs of these pixels, with edges where a branch reads them."""
        reads_most = next((name for name in READS_MOST if name in self.names), self.names[0])
        batch = self.parts(reads_most)[0].take(graphs, pixels, device)
        return cast("PeakBatch", batch)

    def branch_cam(self, batch: PeakBatch, name: str) -> torch.Tensor:
        """Class activation of each peak by one branch, unweighted."""
        parts = [part.cam(batch) for part in self.parts(name)]
        return torch.stack(parts).mean(dim=0)

    def branch_intercept(self, name: str) -> torch.Tensor:
        """Intercept of one branch, unweighted."""
        parts = [part.intercept() for part in self.parts(name)]
        return torch.stack(parts).mean(dim=0)

    def branch_logits(self, batch: PeakBatch) -> torch.Tensor:
        """Unweighted logits of each branch, shape ``(n_pixels, n_branches, n_classes)``."""
        logits = [
            torch.stack([part(batch) for part in self.parts(name)]).mean(dim=0)
            for name in self.names
        ]
        return torch.stack(logits, dim=1)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``, in evaluation mode."""
        cams = [self.branch_cam(batch, name) for name in self.names]
        return torch.einsum("b,bpc->pc", self.weights, torch.stack(cams))

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        parts = [self.branch_intercept(name) for name in self.names]
        return self.weights @ torch.stack(parts)

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return torch.einsum("b,nbc->nc", self.weights, self.branch_logits(batch))

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        """What the heads read: pooled peak features of all nets, then discriminants."""
        found = []
        for name in self.names:
            for part in self.parts(name):
                if isinstance(part, RGCN):
                    found.append(part.embedding(batch))
                else:
                    found.append(_pixel_mean(part.cam(batch), batch))
        return torch.cat(found, dim=1)


DISCRIMINANTS: dict[str, type[Discriminants]] = {"axis": AxisBranch, "family": FamilyBranch}
"""Branches in closed form, by their names; the others are nets."""


def _pixel_sum(values: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
    return values.new_zeros(batch.n_pixels).index_add(0, batch.pixel, values)


def _pixel_mean(values: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
    total = values.new_zeros(batch.n_pixels, values.shape[1]).index_add(0, batch.pixel, values)
    return total / batch.counts.clamp(min=1).to(values.dtype)
