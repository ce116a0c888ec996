"""What the benchmark compares with: plain builders of graphs, and networks of PyTorch Geometric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

if TYPE_CHECKING:
    from massgraph.nn.batch import PeakBatch
    from massgraph.nn.model import RGCN

__all__ = ["PygNetwork", "bisecting_edges", "searchsorted_edges"]

Edge = tuple[int, int, int]


def bisecting_edges(
    mz: NDArray[np.float64], intensity: NDArray[np.float32], masses: NDArray[np.float64], da: float
) -> list[Edge]:
    """Edges as code written for clarity finds them, which is how the published builder works.

    For every peak and relation a copy of the m/z is bisected in Python, and from the hit the search
    walks both ways; the most intense candidate is joined.
    """
    edges = []
    for source in range(len(mz)):
        for code, mass in enumerate(masses):
            found = _bisect(np.array(mz), mz[source] + mass, da)
            if found:
                edges.append((source, max(found, key=lambda t: intensity[t]), code))
    return edges


def _bisect(mz: NDArray[np.float64], wanted: float, da: float) -> list[int]:
    """All peaks within `da` of an m/z, by bisection."""
    low, high = 0, len(mz) - 1
    while low <= high:
        middle = (low + high) // 2
        if abs(mz[middle] - wanted) <= da:
            first = last = middle
            while first > 0 and abs(mz[first - 1] - wanted) <= da:
                first -= 1
            while last + 1 < len(mz) and abs(mz[last + 1] - wanted) <= da:
                last += 1
            return list(range(first, last + 1))
        if mz[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return []


def searchsorted_edges(
    mz: NDArray[np.float64], intensity: NDArray[np.float32], masses: NDArray[np.float64], da: float
) -> list[Edge]:
    """The same edges with two `numpy.searchsorted` per relation."""
    edges: list[Edge] = []
    for code, mass in enumerate(masses):
        low = np.searchsorted(mz, mz + (mass - da))
        high = np.searchsorted(mz, mz + (mass + da), side="right")
        source = np.flatnonzero(high > low)
        target = low[source]
        for place in np.flatnonzero(high[source] - target > 1):
            window = slice(target[place], high[source[place]])
            target[place] += np.argmax(intensity[window])
        edges += zip(source.tolist(), target.tolist(), [code] * source.size, strict=True)
    return edges


class PygNetwork(nn.Module):
    """The network of `RGCN` as a user of PyTorch Geometric writes it, with an `RGCN`'s weights.

    Parameters
    ----------
    model
        Where the weights come from.
    fast
        `FastRGCNConv`, which trades memory for speed, in place of `RGCNConv`.
    """

    def __init__(self, model: RGCN, *, fast: bool = False) -> None:
        super().__init__()
        from torch_geometric.nn import FastRGCNConv, RGCNConv

        kind = FastRGCNConv if fast else RGCNConv
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer, norm in zip(model.layers, model.norms, strict=True):
            n_kinds, n_in, n_out = next(layer.parameters()).shape
            conv = kind(n_in, n_out, n_kinds, aggr="mean")
            conv.load_state_dict(layer.state_dict())
            self.layers.append(conv)
            self.norms.append(_copy(norm))
        self.pool_norm, self.head = _copy(model.pool_norm), _copy(model.head)

    def forward(self, batch: PeakBatch, ends: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Logits, shape ``(n_pixels, n_classes)``."""
        from torch_geometric.nn import global_mean_pool

        x = batch.features
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x, ends, kinds)))
        pooled = global_mean_pool(x, batch.pixel, batch.n_pixels)
        logits: torch.Tensor = self.head(self.pool_norm(pooled))
        return logits


def _copy(module: Any) -> Any:
    import copy

    return copy.deepcopy(module)
