"""A model of branches: parts that each give logits additive over peaks, and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from massgraph._util.errors import InputError
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.nn.completeness import N_EXPERTS, Completeness
from massgraph.nn.discriminants import Discriminants
from massgraph.nn.nets import MolecularNet
from massgraph.nn.rgcn import RGCN

__all__ = ["BranchModel"]

Part = RGCN | Discriminants


class BranchModel(nn.Module):
    """The weighted sum of named branches, each the mean of its nets.

    How complete a pixel is decides how much each branch weighs in it (`completeness`): where peaks
    are lost, edges are lost too, and what a net makes of that is no evidence for a class.

    All parts are means over peaks of class activations plus an intercept, and so is the sum:
    ``logit_c = mean_i CAM[i, c] + b_c`` exactly. It is put together from fitted parts and not
    trained as a whole.

    Parameters
    ----------
    branches
        Per name its parts: one `Discriminants`, or nets of different folds.
    n_ions, n_classes
        Ions of the axis, and classes.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.branch_model import BranchModel
    >>> from massgraph.nn.discriminants import AxisBranch, FamilyBranch
    >>> parts = {"ions": [AxisBranch(3, 2)], "molecules": [FamilyBranch(3, 2)]}
    >>> model = BranchModel(parts, n_ions=3, n_classes=2)
    >>> model.names, model.only(["molecules"]).names
    (('ions', 'molecules'), ('molecules',))
    >>> model.intercept()
    tensor([0., 0.], dtype=torch.float64)
    """

    def __init__(self, branches: Mapping[str, Sequence[Part]], n_ions: int, n_classes: int) -> None:
        super().__init__()
        lists = {name: nn.ModuleList(parts) for name, parts in branches.items()}
        self.branches = nn.ModuleDict(lists)
        self.completeness = Completeness(n_ions)
        # Found by evaluation and not by steps: saved with the model, seen by no optimizer.
        shape = (N_EXPERTS, len(branches))
        self.register_buffer("weights", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(*shape, n_classes, dtype=torch.float64))

    weights: torch.Tensor
    """Of each branch, for spectra as measured and for each way to lack peaks."""
    offsets: torch.Tensor
    """What the logits of a branch drift by where peaks are lost: it is taken off."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the branches, in order."""
        return tuple(self.branches)

    def parts(self, name: str) -> list[Part]:
        """The parts of one branch."""
        return list(cast("nn.ModuleList", self.branches[name]))  # type: ignore[arg-type]

    def only(self, names: Sequence[str]) -> BranchModel:
        """Some of the branches, at the weights that they have; parts are shared.

        Raises ValueError for no names, or one that is not a branch of this model.
        """
        names = self.checked(names)
        parts = {name: self.parts(name) for name in names}
        sizes = len(self.completeness.expected), self.offsets.shape[2]
        chosen = BranchModel(parts, *sizes).to(self.weights.device).eval()
        kept = [self.names.index(name) for name in names]
        chosen.weights.copy_(self.weights[:, kept])
        chosen.offsets.copy_(self.offsets[:, kept])
        chosen.completeness.load_state_dict(self.completeness.state_dict())
        return chosen

    def checked(self, names: Sequence[str]) -> list[str]:
        """Names of some branches, in the model's order; InputError for none or unknown ones."""
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            msg = f"branches {tuple(names)} are not one or more of {self.names}"
            raise InputError(msg)
        # In the model's order, whatever that of the question: embeddings stand side by side.
        return [name for name in self.names if name in names]

    @property
    def reads_edges(self) -> bool:
        """Whether any branch reads mass differences between the peaks of a pixel."""
        return any(part.reads > 1 for name in self.names for part in self.parts(name))

    @property
    def reads_molecules(self) -> bool:
        """Whether any branch reads the molecules of a pixel as graphs of their own."""
        return self._molecular is not None

    @property
    def _molecular(self) -> MolecularNet | None:
        nets = [part for name in self.names for part in self.parts(name)[:1]]
        return next((part for part in nets if isinstance(part, MolecularNet)), None)

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Graphs of these pixels, in the form of the branch that reads most: it serves them all."""
        # Parts of one name read the same, so that the first of each stands for them.
        first = [self.parts(name)[0] for name in self.names]
        most = max(first, key=lambda part: part.reads)
        batch = cast("PeakBatch", most.take(graphs, pixels, device))
        if self._molecular is None or batch.merged is not None:
            return batch
        return self._molecular.with_molecules(batch, graphs, pixels)

    def branch_logits(self, batch: PeakBatch) -> torch.Tensor:
        """What each branch adds to the logits, shape ``(n_pixels, n_branches, n_classes)``."""
        expert: torch.Tensor = self.completeness(batch)
        found = []
        for number, name in enumerate(self.names):
            weights, parts = self.weights[:, number], []
            for part in self.parts(name):
                if isinstance(part, Discriminants):
                    mean = part.weighted_mean(batch, expert, weights)
                    parts.append(mean + weights[0] * part.intercept())
                else:
                    parts.append((expert @ weights)[:, None] * part(batch))
            drift = expert @ self.offsets[:, number]
            found.append(torch.stack(parts).mean(dim=0) - drift)
        return torch.stack(found, dim=1)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``, in evaluation mode."""
        expert: torch.Tensor = self.completeness(batch)
        # What lost peaks change but for activations is of no ion: the peaks share it equally.
        rest = -torch.einsum("ne,ebc->nc", expert, self.offsets)
        cams = []
        for number, name in enumerate(self.names):
            weights, parts = self.weights[:, number], []
            for part in self.parts(name):
                if isinstance(part, Discriminants):
                    parts.append(part.weighted_cam(batch, expert, weights))
                else:
                    weight = expert @ weights
                    own = (weight - weights[0])[:, None] * part.intercept().double()
                    parts.append(weight[batch.pixel, None] * part.cam(batch) + own[batch.pixel])
            cams.append(torch.stack(parts).mean(dim=0))
        return torch.stack(cams).sum(dim=0) + rest[batch.pixel]

    def branch_intercept(self, name: str) -> torch.Tensor:
        """Part of the logits of one branch, weighted, that no peak carries, ``(n_classes,)``."""
        parts = [part.intercept().double() for part in self.parts(name)]
        return self.weights[0, self.names.index(name)] * torch.stack(parts).mean(dim=0)

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return torch.stack([self.branch_intercept(name) for name in self.names]).sum(dim=0)

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return self.branch_logits(batch).sum(dim=1)

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        """What the heads read: pooled peak features of all nets, then discriminants."""
        parts = [part.embedding(batch) for name in self.names for part in self.parts(name)]
        return torch.cat(parts, dim=1)
