"""The relational convolution as a function of torch that knows its gradient.

How it is computed is left to a `Kernel`: type by type in plain torch, or by the compiled library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from massgraph.graph.batch import GraphBatch, TypedMessages
from massgraph.nn import compiled
from massgraph.nn.structs import Floats, Input, Layer, OutputGradient, memory, padded

__all__ = ["Kernel", "NativeKernel", "TorchKernel", "convolve"]

Gradients = tuple[torch.Tensor | None, torch.Tensor, torch.Tensor, torch.Tensor]


class Kernel(Protocol):
    """One way to compute the layer; shapes are those of `massgraph.nn.layers.RelationalConv`.

    Examples
    --------
    Two functions without a state, which a class of any name holds:

    >>> from massgraph.nn.convolution import Kernel, TorchKernel
    >>> kernel: type[Kernel] = TorchKernel
    >>> callable(kernel.forward), callable(kernel.backward)
    (True, True)
    """

    @staticmethod
    def forward(
        x: torch.Tensor,
        weight: torch.Tensor,
        root: torch.Tensor,
        bias: torch.Tensor,
        messages: TypedMessages,
    ) -> torch.Tensor:
        """What the layer gives, shape ``(n_peaks, n_out)``."""

    @staticmethod
    def backward(
        saved: tuple[torch.Tensor, ...], messages: TypedMessages, dz: torch.Tensor, *, wanted: bool
    ) -> Gradients:
        """Gradients of `x` (None unless `wanted`), weight, root and bias.

        `saved` are the four tensors of `forward`, `dz` the gradient of what it gave.
        """


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    root: torch.Tensor,
    bias: torch.Tensor,
    messages: TypedMessages,
    *,
    kernel: type[Kernel],
) -> torch.Tensor:
    """The layer of `massgraph.nn.layers.RelationalConv` by one kernel, with its gradient.

    Parameters
    ----------
    x
        Features of the peaks, shape ``(n_peaks, n_in)``.
    weight, root, bias
        Shapes ``(n_kinds, n_in, n_out)``, ``(n_in, n_out)`` and ``(n_out,)``.
    messages
        Of as many types as `weight` has.
    kernel
        `TorchKernel`, or `NativeKernel` for float32 tensors of the CPU.

    Examples
    --------
    Peak 0 sends to peak 1; its gradient comes back by the same way:

    >>> import torch
    >>> from massgraph.graph.batch import TypedMessages
    >>> from massgraph.nn.convolution import TorchKernel, convolve
    >>> messages = TypedMessages(torch.tensor([0]), torch.tensor([1]), torch.ones(1, 1), (1,))
    >>> x, weight, root = torch.tensor([[2.0], [5.0]]), torch.ones(1, 1, 1), torch.zeros(1, 1)
    >>> x.requires_grad_().grad
    >>> convolve(x, weight, root, torch.zeros(1), messages, kernel=TorchKernel).sum().backward()
    >>> x.grad
    tensor([[1.],
            [0.]])
    """
    out: torch.Tensor = _Convolution.apply(x, weight, root, bias, messages, kernel)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    """What torch has to know of any kernel: what is kept, and what is given back."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        root: torch.Tensor,
        bias: torch.Tensor,
        messages: TypedMessages,
        kernel: type[Kernel],
    ) -> torch.Tensor:
        # What is saved in this way may not be changed in place before the way back: torch looks.
        ctx.save_for_backward(x, weight, root, bias)
        ctx.messages, ctx.kernel = messages, kernel
        return kernel.forward(x, weight, root, bias, messages)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz: torch.Tensor) -> Any:
        # That of a first layer's features is seldom asked for, and costs as much as the way there.
        wanted = ctx.needs_input_grad[0]
        found = ctx.kernel.backward(ctx.saved_tensors, ctx.messages, dz, wanted=wanted)
        return *found, None, None


class TorchKernel:
    """Type by type: what one type gathers and scatters stays in the cache.

    Through the operators of torch all types together would be written out several times, at 1.4 to
    2.5 times the cost.

    Examples
    --------
    >>> import torch
    >>> from massgraph.graph.batch import TypedMessages
    >>> from massgraph.nn.convolution import TorchKernel
    >>> messages = TypedMessages(torch.tensor([0]), torch.tensor([1]), torch.ones(1, 1), (1,))
    >>> x, weight, root = torch.tensor([[2.0], [5.0]]), torch.ones(1, 1, 1), torch.zeros(1, 1)
    >>> TorchKernel.forward(x, weight, root, torch.ones(1), messages)
    tensor([[1.],
            [3.]])
    """

    @staticmethod
    def forward(
        x: torch.Tensor,
        weight: torch.Tensor,
        root: torch.Tensor,
        bias: torch.Tensor,
        messages: TypedMessages,
    ) -> torch.Tensor:
        """As for `Kernel`."""
        out = torch.addmm(bias, x, root)
        for w, (sender, receiver, senders) in zip(weight, _by_kind(messages), strict=True):
            # A sum of shares is the mean, and needs no second pass over the receivers.
            out.index_add_(0, receiver, x.index_select(0, sender).div_(senders) @ w)
        return out

    @staticmethod
    def backward(
        saved: tuple[torch.Tensor, ...], messages: TypedMessages, dz: torch.Tensor, *, wanted: bool
    ) -> Gradients:
        """As for `Kernel`."""
        x, weight, root, _ = saved
        dx = dz @ root.T if wanted else None
        dweight = torch.empty_like(weight)
        kinds = zip(weight, dweight, _by_kind(messages), strict=True)
        for w, dw, (sender, receiver, senders) in kinds:
            received = dz.index_select(0, receiver).div_(senders)
            # Into its place: the gradients of all types together are large.
            torch.mm(x.index_select(0, sender).T, received, out=dw)
            if dx is not None:
                dx.index_add_(0, sender, received @ w.T)
        return dx, dweight, x.T @ dz, dz.sum(dim=0)


def _by_kind(messages: TypedMessages) -> Iterator[tuple[torch.Tensor, ...]]:
    """Sender, receiver and number of senders of the messages of each type."""
    columns = messages.sender, messages.receiver, messages.senders
    parts = (torch.split(column, list(messages.per_kind)) for column in columns)
    return zip(*parts, strict=True)


class NativeKernel:
    """Through the compiled library, all pixels as one graph.

    Examples
    --------
    >>> import torch
    >>> from massgraph.graph.batch import TypedMessages
    >>> from massgraph.native.library import library
    >>> from massgraph.nn.convolution import NativeKernel, TorchKernel
    >>> messages = TypedMessages(torch.tensor([0]), torch.tensor([1]), torch.ones(1, 1), (1,))
    >>> x, weight, root = torch.tensor([[2.0], [5.0]]), torch.ones(1, 1, 1), torch.zeros(1, 1)
    >>> kernel = TorchKernel if library() is None else NativeKernel
    >>> kernel.forward(x, weight, root, torch.ones(1), messages)
    tensor([[1.],
            [3.]])
    """

    @staticmethod
    def forward(
        x: torch.Tensor,
        weight: torch.Tensor,
        root: torch.Tensor,
        bias: torch.Tensor,
        messages: TypedMessages,
    ) -> torch.Tensor:
        """As for `Kernel`."""
        layer = Layer(memory(weight), memory(root), memory(bias))
        batch = _as_one_graph(memory(x), messages)
        z = np.empty((len(x), padded(layer.n_out)), dtype=np.float32)
        compiled.forward(batch, layer, Input(batch.features), z, sums=False)
        return torch.from_numpy(z)[:, : layer.n_out].contiguous()

    @staticmethod
    def backward(
        saved: tuple[torch.Tensor, ...], messages: TypedMessages, dz: torch.Tensor, *, wanted: bool
    ) -> Gradients:
        """As for `Kernel`."""
        x, weight, root, bias = saved
        layer = Layer(memory(weight), memory(root), memory(bias))
        batch = _as_one_graph(memory(x), messages)
        back = np.zeros((len(x), padded(layer.n_out)), dtype=np.float32)
        # Zeros in the padding: the kernels read whole vectors.
        back[:, : layer.n_out] = dz.numpy()
        dx = np.empty((len(x), padded(layer.n_in)), dtype=np.float32) if wanted else None
        gradients, _ = compiled.backward(
            batch, layer, Input(batch.features), OutputGradient(back), dx=dx
        )
        dweight, droot, dbias = map(torch.from_numpy, gradients)
        first = None if dx is None else torch.from_numpy(dx)[:, : layer.n_in].contiguous()
        return first, dweight, droot, dbias


def _as_one_graph(x: Floats, messages: TypedMessages) -> GraphBatch:
    return GraphBatch(x, np.array([0, len(x)]), messages.compact, np.zeros(1, dtype=np.int64))
