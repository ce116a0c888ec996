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
from massgraph.nn.discriminants import Discriminants
from massgraph.nn.rgcn import RGCN

__all__ = ["BranchModel"]

Part = RGCN | Discriminants


class BranchModel(nn.Module):
    """The weighted sum of named branches, each the mean of its nets.

    All parts are means over peaks of class activations plus an intercept, and so is the sum:
    ``logit_c = mean_i CAM[i, c] + b_c`` exactly. It is put together from fitted parts and not
    trained as a whole.

    Parameters
    ----------
    branches
        Per name its parts: one `Discriminants`, or nets of different folds.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.branch_model import BranchModel
    >>> from massgraph.nn.discriminants import AxisBranch, FamilyBranch
    >>> model = BranchModel({"ions": [AxisBranch(3, 2)], "molecules": [FamilyBranch(3, 2)]})
    >>> model.names, model.only(["molecules"]).names
    (('ions', 'molecules'), ('molecules',))
    >>> model.intercept()
    tensor([0., 0.], dtype=torch.float64)
    """

    def __init__(self, branches: Mapping[str, Sequence[Part]]) -> None:
        super().__init__()
        lists = {name: nn.ModuleList(parts) for name, parts in branches.items()}
        self.branches = nn.ModuleDict(lists)
        # Found by evaluation and not by steps: saved with the model, seen by no optimizer.
        self.register_buffer("weights", torch.ones(len(branches), dtype=torch.float64))

    weights: torch.Tensor

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
        unknown = [name for name in names if name not in self.names]
        if unknown or not names:
            msg = f"branches {tuple(names)} are not one or more of {self.names}"
            raise InputError(msg)
        # In the model's order, whatever that of the question: embeddings stand side by side.
        names = [name for name in self.names if name in names]
        parts = {name: self.parts(name) for name in names}
        chosen = BranchModel(parts).to(self.weights.device).eval()
        chosen.weights.copy_(self.weights[[self.names.index(name) for name in names]])
        return chosen

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Graphs of these pixels, in the form of the branch that reads most: it serves them all."""
        # Parts of one name read the same, so that the first of each stands for them.
        first = [self.parts(name)[0] for name in self.names]
        batch = max(first, key=lambda part: part.reads).take(graphs, pixels, device)
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
        parts = [part.embedding(batch) for name in self.names for part in self.parts(name)]
        return torch.cat(parts, dim=1)
