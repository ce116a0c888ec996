"""The R-GCN: relational convolutions over peaks, mean over the pixel, one linear head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from massgraph.graph.batch import GraphBatch, PeakBatch, PeakGraphs
from massgraph.nn.layers import RelationalConv, resolve_backend
from massgraph.nn.native import NativeNetwork

__all__ = ["RGCN"]


class RGCN(nn.Module):
    """Relational graph convolutional network over the peaks of a pixel.

    Each layer is `RelationalConv` -> BatchNorm (optional) -> ReLU; the mean over the peaks goes
    through BatchNorm (optional) and a linear head. As all that follows the last ReLU is affine, the
    logits are an exact sum over peaks: ``logit_c = mean_i CAM[i, c] + b_c`` (`cam`, `intercept`).

    Parameters
    ----------
    n_features, n_kinds, n_classes
        Node features, message types and classes.
    hidden
        Widths of the layers.
    batch_norm
        Whether layers and the pooled features are normalised (the published network does not).
    backend
        As for `RelationalConv`.

    Notes
    -----
    The compiled library takes prediction through all layers at once and keeps nothing to find
    gradients by. Where torch keeps gradients in evaluation mode (for a saliency, say) the layers
    run one by one instead, which gives them, at several times the cost and with other rounding
    (1e-6). Predict under ``torch.inference_mode()`` or ``torch.no_grad()``, as massgraph does.

    Examples
    --------
    Two pixels, of two peaks and of one; the activations add up to the logits:

    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.rgcn import RGCN
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> graphs = PeakGraphs(spectra.intensity[:, None], spectra.offsets, messages)
    >>> model = RGCN(n_features=1, n_kinds=2, n_classes=3, hidden=(4,)).eval()
    >>> batch = model.take(graphs, np.arange(2), torch.device("cpu"))
    >>> with torch.inference_mode():
    ...     logits, cam = model(batch), model.cam(batch)
    ...     torch.allclose(cam[:2].mean(dim=0) + model.intercept(), logits[0])
    True
    >>> logits.shape, cam.shape
    (torch.Size([2, 3]), torch.Size([3, 3]))
    """

    reads: ClassVar[int] = 2
    """What its batches hold. 0: peaks; 1: peaks as the backend reads them; 2: edges too."""

    def __init__(
        self,
        n_features: int,
        n_kinds: int,
        n_classes: int,
        *,
        hidden: Sequence[int] = (8, 16),
        batch_norm: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden]
        self.layers = nn.ModuleList(
            RelationalConv(n_in, n_out, n_kinds, backend=backend)
            for n_in, n_out in pairwise(widths)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width) if batch_norm else nn.Identity() for width in hidden
        )
        self.pool_norm = nn.BatchNorm1d(widths[-1]) if batch_norm else nn.Identity()
        self.head = nn.Linear(widths[-1], n_classes)
        self.backend = resolve_backend(backend)
        # No module: it sees the layers, and their weights stand in the state of this one only.
        self._native = NativeNetwork(self.layers, self.norms)

    @property
    def reads_edges(self) -> bool:
        """Whether its batches hold edges."""
        return self.reads > 1

    @property
    def reads_molecules(self) -> bool:
        """Whether its batches hold the molecules of each pixel."""
        return False

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch | GraphBatch:
        """Graphs of these pixels in the form that the backend reads on this device."""
        if self.is_native(device):
            self._check_graphs(graphs.features.shape[1], graphs.messages.n_kinds)
            return graphs.view(pixels)
        return graphs.batch(pixels).to(device)

    def is_native(self, device: torch.device) -> bool:
        """Whether the compiled library takes the graphs on this device."""
        # The head stands for all weights, which ``model.double()`` moves together.
        simple = device.type == "cpu" and self.head.weight.dtype == torch.float32
        return self.backend == "native" and simple

    def _check_graphs(self, *found: int) -> None:
        """The compiled library reads as many features and types as the weights say."""
        # Widths are told by the weights alone: other arrays would be read beyond their end.
        n_kinds, n_features, _ = next(self.layers.parameters()).shape
        if found != (n_features, n_kinds):
            msg = (
                f"graphs of {found[0]} features and {found[1]} message types for a network of "
                f"{n_features} and {n_kinds}: encode them as the network was trained"
            )
            raise ValueError(msg)

    def nodes(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Peak features after the last ReLU, shape ``(n_peaks, hidden[-1])``.

        Of a `GraphBatch` in evaluation mode: see the notes on gradients.
        """
        batch = self._readable(batch)
        if isinstance(batch, GraphBatch):
            return self._native.infer(batch, nodes=True)
        x = batch.features
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x, batch.messages)))
        return x

    def pool(self, nodes: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
        """Mean over the peaks of each pixel, shape ``(n_pixels, hidden[-1])``; zero for none."""
        # Divided by one at least: a pixel without peaks is zero, and no nan.
        total = nodes.new_zeros(batch.n_pixels, nodes.shape[1]).index_add(0, batch.pixel, nodes)
        return total / batch.counts.clamp(min=1).to(nodes.dtype)

    def embedding(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Mean over the peaks of each pixel, in evaluation mode, ``(n_pixels, hidden[-1])``.

        float64.
        """
        batch = self._readable(batch)
        if isinstance(batch, GraphBatch):
            return self._native.infer(batch, nodes=False)
        return self.pool(self.nodes(batch).double(), batch)

    def forward(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Logits, shape ``(n_pixels, n_classes)``; float64 in evaluation mode."""
        if self.training:
            logits: torch.Tensor = self.head(self.pool_norm(self._pooled(batch)))
            return logits
        # After the last ReLU all is sums: in float64 they add up to the class activations exactly.
        weight, bias = self.affine_head()
        return self.embedding(batch) @ weight.T + bias

    def _readable(self, batch: PeakBatch | GraphBatch) -> PeakBatch | GraphBatch:
        """The batch in the form that gives what is wanted in evaluation mode: see the notes."""
        if isinstance(batch, GraphBatch) and self._keeps_gradients():
            return batch.peak_batch()
        return batch

    def _keeps_gradients(self, *inputs: torch.Tensor) -> bool:
        """Whether torch would note how an output came from the parameters or these inputs."""
        return torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (*inputs, *self.parameters())
        )

    def _pooled(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Mean over the peaks of each pixel in training mode, float32."""
        if isinstance(batch, GraphBatch):
            return self._native.pooled(batch)
        return self.pool(self.nodes(batch), batch)

    def loss(
        self, batch: PeakBatch | GraphBatch, y: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy of a batch in training mode, and its logits.

        Parameters
        ----------
        batch
            As `take` gives it.
        y
            int64, shape ``(n_pixels,)``: the class of each pixel.
        """
        # BatchNorm needs all pixels before any can go on; without it each goes through at once.
        if isinstance(batch, GraphBatch) and not isinstance(self.pool_norm, nn.BatchNorm1d):
            return self._native.loss(batch, self.head, y)
        logits = self(batch)
        return cross_entropy(logits, torch.from_numpy(y).to(logits.device)), logits

    def release(self) -> None:
        """Free the memory that training keeps from step to step; the weights stay."""
        self._native.release()

    def affine_head(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight ``(n_classes, hidden[-1])`` and bias of all that follows the pooling.

        In evaluation mode BatchNorm is affine with its running statistics, and folds into the head.
        Both are float64.
        """
        weight, bias = self.head.weight.double(), self.head.bias.double()
        norm = self.pool_norm
        if not isinstance(norm, nn.BatchNorm1d):
            return weight, bias
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            msg = "the pooled BatchNorm keeps no running statistics"
            raise ValueError(msg)
        scale = norm.weight.double() * torch.rsqrt(variance.double() + norm.eps)
        return weight * scale, bias + weight @ (norm.bias.double() - mean.double() * scale)

    def cam(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``, in evaluation mode.

        Zhou et al. (2016): the head applied to each peak before the mean is taken.
        """
        return self.nodes(batch).double() @ self.affine_head()[0].T

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return self.affine_head()[1]
