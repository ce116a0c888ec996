"""What the benchmark compares with: plain builders of graphs, and networks of PyTorch Geometric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

if TYPE_CHECKING:
    from massgraph.graph.batch import PeakBatch
    from massgraph.nn.rgcn import RGCN

__all__ = ["PygNetwork", "bisecting_edges", "searchsorted_edges"]

Edge = tuple[int, int, int]


def bisecting_edges(
    mz: NDArray[np.float64], intensity: NDArray[np.float32], masses: NDArray[np.float64], da: float
) -> list[Edge]:
    """Edges with the same steps as the published builder, by the rule that it means.

    For every peak and relation the m/z are copied with a sentinel behind the highest, the copy is
    bisected in Python, and from the hit the search walks both ways; the most intense candidate is
    joined. Nothing is slower here than there: on one machine the published script took 1.1 times as
    long.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.rivals import bisecting_edges
    >>> mz, intensity = np.array([500.0, 514.0157]), np.array([3.0, 1.0], dtype=np.float32)
    >>> bisecting_edges(mz, intensity, np.array([14.01565]), 0.001)
    [(0, 1, 0)]
    """
    edges = []
    for source in range(len(mz)):
        for code, mass in enumerate(masses):
            # Copied anew for each query, as there: these copies are part of what is measured.
            ended = np.append(mz, np.max(mz) + 1.0)
            found = _bisect(ended, mz[source] + mass, da)
            if found:
                edges.append((source, found[np.argmax(intensity[found])], code))
    return edges


def _bisect(mz: NDArray[np.float64], wanted: float, da: float) -> list[int]:
    """All peaks within `da` of an m/z, by bisection; the last peak is a sentinel."""
    low, high = 0, len(mz) - 2
    while low <= high:
        middle = (low + high) // 2
        if _fits(mz[middle], wanted, da):
            found = [middle]
            above, below = middle + 1, middle - 1
            while _fits(mz[above], wanted, da):
                found.append(above)
                above += 1
            while below >= 0 and _fits(mz[below], wanted, da):
                found.append(below)
                below -= 1
            return found
        if mz[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return []


def _fits(mz: float, wanted: float, da: float) -> bool:
    return abs(mz - wanted) <= da


def searchsorted_edges(
    mz: NDArray[np.float64], intensity: NDArray[np.float32], masses: NDArray[np.float64], da: float
) -> list[Edge]:
    """Find the same edges with two `numpy.searchsorted` per relation.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.rivals import searchsorted_edges
    >>> mz, intensity = np.array([500.0, 514.0157]), np.array([3.0, 1.0], dtype=np.float32)
    >>> searchsorted_edges(mz, intensity, np.array([14.01565]), 0.001)
    [(0, 1, 0)]
    """
    edges: list[Edge] = []
    for code, mass in enumerate(masses):
        low = np.searchsorted(mz, mz + (mass - da))
        high = np.searchsorted(mz, mz + (mass + da), side="right")
        source = np.flatnonzero(high > low)
        target = low[source]
        # Most windows hold one peak: a loop over the others costs next to nothing.
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

    Examples
    --------
    >>> from massgraph.evidence.rivals import PygNetwork
    >>> from massgraph.nn.rgcn import RGCN
    >>> model = RGCN(3, 2, 2, hidden=(4,))
    >>> network = PygNetwork(model)
    >>> bool((network.head.weight == model.head.weight).all())
    True
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
            # Copies: training the rival must not move the weights of the original.
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
