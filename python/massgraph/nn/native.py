"""The network through the compiled library, as functions of torch that know their gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.autograd.function import once_differentiable

from massgraph._util.errors import InputError
from massgraph.graph.batch import GraphBatch
from massgraph.nn import compiled as network
from massgraph.nn.layers import RelationalConv
from massgraph.nn.structs import Floats, Input, Layer, OutputGradient, memory, padded

__all__ = ["NativeNetwork"]


class NativeNetwork:
    """The layers of an `RGCN` through the compiled library; holds no weights of its own.

    Parameters
    ----------
    layers, norms
        The modules of the network: one norm, a BatchNorm1d or an Identity, to a layer.

    Examples
    --------
    >>> from massgraph.nn.native import NativeNetwork
    >>> from massgraph.nn.rgcn import RGCN
    >>> model = RGCN(n_features=1, n_kinds=2, n_classes=3, hidden=(4,))
    >>> native = NativeNetwork(model.layers, model.norms)
    >>> [tuple(parameter.shape) for parameter in native.parameters()]
    [(2, 1, 4), (1, 4), (4,), (4,), (4,)]
    """

    def __init__(self, layers: Iterable[Any], norms: Iterable[nn.Module]) -> None:
        self.layers: list[RelationalConv] = list(layers)
        self.norms = list(norms)
        # Pages that were used once come without asking the system again, step after step.
        self._free: list[Floats] = []

    def parameters(self) -> list[torch.Tensor]:
        """Parameters of layers and norms, in the order of the gradients of `pooled`."""
        found: list[torch.Tensor] = []
        for layer, norm in zip(self.layers, self.norms, strict=True):
            found += [layer.weight, layer.root, layer.bias]
            found += [norm.weight, norm.bias] if isinstance(norm, nn.BatchNorm1d) else []
        return found

    def infer(self, batch: GraphBatch, *, nodes: bool) -> torch.Tensor:
        """In evaluation mode: features of the peaks (float32), or their means (float64)."""
        with torch.no_grad():
            layers = [
                _layer(layer, *_running(norm))
                for layer, norm in zip(self.layers, self.norms, strict=True)
            ]
        return torch.from_numpy(network.infer(batch, layers, nodes=nodes))

    def pooled(self, batch: GraphBatch, features: torch.Tensor | None = None) -> torch.Tensor:
        """In training mode: means over peaks, float32, ``(n_pixels, n_out)``, differentiable.

        Parameters
        ----------
        batch
            The graphs.
        features
            Those of `batch`, with `own_rows`, where they have gradients too.

        Raises
        ------
        ValueError
            For a batch of fewer than two peaks where there is BatchNorm.
        """
        out: torch.Tensor = _Pooled.apply(self, batch, features, *self.parameters())  # type: ignore[no-untyped-call]
        return out

    def loss(
        self, batch: GraphBatch, head: nn.Linear, y: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy and logits without BatchNorm, with the gradients taken in one go."""
        parameters = [*self.parameters(), head.weight, head.bias]
        loss, logits = _Loss.apply(self, batch, y, *parameters)  # type: ignore[no-untyped-call]
        return loss, logits

    def borrow(self, n_rows: int, width: int) -> Floats:
        """Uninitialised memory of this shape: one that was given back, where it is large enough."""
        size = n_rows * width
        fits = [array for array in self._free if array.size >= size]
        if fits:
            array = min(fits, key=len)
            self._free = [one for one in self._free if one is not array]
        else:
            # Some more than is asked for: the next batch is about as large, and seldom the same.
            array = np.empty(size + size // 8, dtype=np.float32)
            # Those that were too small for this are not waited for.
            self._free = self._free[-4:]
        return array[:size].reshape(n_rows, width)

    def give_back(self, arrays: Sequence[Floats]) -> None:
        """Keep arrays that were borrowed for the next step."""
        for array in arrays:
            # A view was lent of it: the whole is what another step can use.
            base = array
            while isinstance(base.base, np.ndarray):
                base = base.base
            self._free.append(base)

    def release(self) -> None:
        """Free what was given back; the next step of training takes new memory."""
        self._free = []

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles leave it out: it holds nothing, and is many times the weights.
        return {**self.__dict__, "_free": []}


def _layer(layer: RelationalConv, scale: Floats | None, shift: Floats | None) -> Layer:
    return Layer(memory(layer.weight), memory(layer.root), memory(layer.bias), scale, shift)


def _running(norm: nn.Module) -> tuple[Floats | None, Floats | None]:
    """Scale and shift of a norm in evaluation mode."""
    if not isinstance(norm, nn.BatchNorm1d):
        return None, None
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        msg = "a BatchNorm keeps no running statistics"
        raise ValueError(msg)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return memory(scale), memory(norm.bias - mean * scale)


class _Statistics:
    """What BatchNorm needs of one batch, both ways (Ioffe and Szegedy, 2015)."""

    def __init__(self, norm: nn.BatchNorm1d, sums: NDArray[np.float64], n: int) -> None:
        if n < 2:
            msg = f"Expected more than 1 value per channel when training, got {n} peaks"
            raise InputError(msg)
        self.n = n
        self.mean = sums[0] / n
        # In float64 the difference of the two keeps digits enough; a constant may end below zero.
        self.variance = np.maximum(sums[1] / n - self.mean**2, 0.0)
        self.inverse_sd = 1 / np.sqrt(self.variance + norm.eps)
        scale = memory(norm.weight) * self.inverse_sd
        self.scale = scale.astype(np.float32)
        self.shift = (memory(norm.bias) - self.mean * scale).astype(np.float32)

    def update(self, norm: nn.BatchNorm1d) -> None:
        """Move the running statistics towards those of the batch."""
        if norm.running_mean is None or norm.running_var is None or norm.momentum is None:
            return
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        # As torch: the batch is normalised by the biased variance, and the unbiased one is kept.
        unbiased = self.variance * (self.n / (self.n - 1))
        for kept, found in ((norm.running_mean, self.mean), (norm.running_var, unbiased)):
            kept.lerp_(torch.from_numpy(found).to(kept.dtype), norm.momentum)

    def back(self, sums: NDArray[np.float64]) -> tuple[tuple[Floats, Floats, Floats], list[Floats]]:
        """The affine way back from sums of dy and dy z, and the gradients of weight and bias."""
        dbias = sums[0]
        dweight = (sums[1] - self.mean * sums[0]) * self.inverse_sd
        slope = self.scale / self.n
        q = -slope * self.inverse_sd * dweight
        s = -slope * dbias - q * self.mean
        narrow = [value.astype(np.float32) for value in (q, s, dweight, dbias)]
        return (self.scale, narrow[0], narrow[1]), narrow[2:]


class _Pooled(torch.autograd.Function):
    """All layers and the mean over peaks, in training mode."""

    @staticmethod
    def forward(
        ctx: Any,
        net: NativeNetwork,
        batch: GraphBatch,
        features: torch.Tensor | None,
        *_: torch.Tensor,
    ) -> torch.Tensor:
        x, layers, outputs, statistics = Input(batch.features), [], [], []
        for module, norm in zip(net.layers, net.norms, strict=True):
            layer = _layer(module, None, None)
            z = net.borrow(batch.n_peaks, padded(layer.n_out))
            normed = isinstance(norm, nn.BatchNorm1d)
            sums = network.forward(batch, layer, x, z, sums=normed)
            # Scale and shift wait until the next layer reads z: it is stored once, as it is.
            found = None
            if isinstance(norm, nn.BatchNorm1d) and sums is not None:
                found = _Statistics(norm, sums, batch.n_peaks)
                found.update(norm)
                layer = _layer(module, found.scale, found.shift)
            x = Input(z, of_batch=True, active=True, scale=layer.scale, shift=layer.shift)
            layers.append(layer)
            outputs.append(x)
            statistics.append(found)
        # Not through save_for_backward: these are arrays, lent by the network and given back once.
        ctx.net, ctx.batch, ctx.layers = net, batch, layers
        ctx.outputs, ctx.statistics = outputs, statistics
        return torch.from_numpy(network.pool(batch, x, layers[-1].n_out))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dpooled: torch.Tensor) -> Any:
        net, batch, layers, outputs = ctx.net, ctx.batch, ctx.layers, ctx.outputs
        if outputs is None:
            msg = "the way back through a batch was taken already: call the network again"
            raise RuntimeError(msg)
        ctx.outputs = None  # its memory is lent to the next step
        borrowed = [output.data for output in outputs]
        dh = memory(dpooled)
        # BatchNorm's way back needs sums over all peaks first; further down `backward` brings them.
        sums = network.pool_sums(batch, outputs[-1], dh) if ctx.statistics[-1] else None
        back = OutputGradient(dh, pooled=True, z=outputs[-1].data)
        gradients: list[Floats] = []
        for place in reversed(range(len(layers))):
            layer, statistics = layers[place], ctx.statistics[place]
            of_norm: list[Floats] = []
            if statistics is not None and sums is not None:
                norm, of_norm = statistics.back(sums)
                back = OutputGradient(back.dh, back.pooled, back.z, norm)
            x = outputs[place - 1] if place else Input(batch.features)
            # Only nets with vectors of ions learn from the gradient of the features.
            wanted = place > 0 or ctx.needs_input_grad[2]
            dx = net.borrow(batch.n_peaks, padded(layer.n_in)) if wanted else None
            normed = place > 0 and ctx.statistics[place - 1] is not None
            of_layer, sums = network.backward(batch, layer, x, back, dx=dx, sums=normed)
            gradients = [*of_layer, *of_norm, *gradients]
            if dx is not None:
                borrowed.append(dx)
                back = OutputGradient(dx, z=x.data)
        of_features = None
        if dx is not None:  # a copy: its memory is lent again
            of_features = torch.from_numpy(dx[:, : layers[0].n_in].copy())
        net.give_back(borrowed)
        return None, None, of_features, *map(torch.from_numpy, gradients)


class _Loss(torch.autograd.Function):
    """Everything up to the cross-entropy, forward and backward, each pixel while in the cache."""

    @staticmethod
    def forward(
        ctx: Any,
        net: NativeNetwork,
        batch: GraphBatch,
        y: NDArray[np.int64],
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        layers = [_layer(layer, None, None) for layer in net.layers]
        weight, bias = parameters[-2:]
        head = memory(weight), memory(bias)
        # The gradients are there before they are asked for: forward and back are one pass.
        loss, logits, ctx.gradients = network.step(batch, layers, head, y)
        scores = torch.from_numpy(logits)
        ctx.mark_non_differentiable(scores)
        return torch.tensor(loss), scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: torch.Tensor, _: Any) -> Any:
        # The loss may be part of a sum of its caller's.
        scaled = [torch.from_numpy(one) * dloss for one in ctx.gradients]
        return None, None, None, *scaled
