"""What the compiled library reads, as `native/network.h` declares it: arrays become addresses.

Each reference holds addresses alone: the arrays must live as long as the call does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.graph.batch import GraphBatch
from massgraph.native.library import address

__all__ = [
    "Input",
    "Layer",
    "OutputGradient",
    "batch_reference",
    "gradient_structs",
    "head_reference",
    "layer_structs",
    "memory",
    "padded",
]

Pointer, Int, Long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
Floats = NDArray[np.float32]
Gradients = tuple[Floats, Floats, Floats]


def padded(width: int) -> int:
    """Width of rows inside the library, as in kernels.h: whole vectors of its processor.

    Examples
    --------
    >>> from massgraph.nn.structs import padded
    >>> padded(3), padded(8), padded(17)
    (4, 8, 32)
    """
    return 4 if width <= 4 else 8 if width <= 8 else -(-width // 16) * 16


def memory(tensor: torch.Tensor) -> Floats:
    """The tensor's own memory where it is contiguous, as an array; a copy where it is not.

    Examples
    --------
    >>> import torch
    >>> from massgraph.nn.structs import memory
    >>> tensor = torch.zeros(2)
    >>> memory(tensor)[0] = 1
    >>> tensor
    tensor([1., 0.])
    """
    return tensor.detach().contiguous().numpy()


# Names and order of the fields are those of network.h: nothing else holds the two together.


class _Batch(ctypes.Structure):
    _fields_ = [
        ("n_pixels", Long),
        *((name, Pointer) for name in ("graph", "first_peak", "place", "first_message")),
        *((name, Pointer) for name in ("kind_offsets", "sender", "receiver", "senders")),
        ("n_kinds", Int),
        ("wide", Int),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        ("n_in", Int),
        ("n_out", Int),
        *((name, Pointer) for name in ("weight", "root", "bias", "scale", "shift")),
    ]


class _Input(ctypes.Structure):
    _fields_ = [
        ("data", Pointer),
        ("stride", Int),
        ("by_place", Int),
        ("active", Int),
        ("scale", Pointer),
        ("shift", Pointer),
    ]


class _Back(ctypes.Structure):
    _fields_ = [
        ("dh", Pointer),
        ("pooled", Int),
        *((name, Pointer) for name in ("z", "p", "q", "s")),
    ]


class _Gradients(ctypes.Structure):
    _fields_ = [(name, Pointer) for name in ("weight", "root", "bias")]


class _Head(ctypes.Structure):
    _fields_ = [("n_classes", Int), ("weight", Pointer), ("bias", Pointer)]


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights of a relational layer, float32, and the scale and shift that follow it or None.

    Shapes are those of `massgraph.nn.layers.RelationalConv`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import Layer
    >>> layer = Layer(*(np.zeros(shape, np.float32) for shape in ((2, 3, 5), (3, 5), 5)))
    >>> layer.n_in, layer.n_out
    (3, 5)
    """

    weight: Floats
    root: Floats
    bias: Floats
    scale: Floats | None = None
    shift: Floats | None = None

    @property
    def n_in(self) -> int:
        """Number of input features."""
        return int(self.root.shape[0])

    @property
    def n_out(self) -> int:
        """Number of output features."""
        return int(self.root.shape[1])

    @property
    def struct(self) -> _Layer:
        """The layer as the library takes it."""
        names = ("weight", "root", "bias", "scale", "shift")
        places = {name: address(getattr(self, name)) for name in names}
        return _Layer(n_in=self.n_in, n_out=self.n_out, **places)


@dataclass(frozen=True, eq=False)
class Input:
    """Rows that a layer reads.

    Parameters
    ----------
    data
        float32, shape ``(n_rows, width)``.
    of_batch
        Whether the rows are the batch's, padded; by default they are those of all graphs.
    active
        Whether the layer reads ``max(scale * data + shift, 0)``, which is then nowhere stored.
    scale, shift
        Of BatchNorm, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import Input
    >>> Input(np.zeros((7, 3), np.float32)).active
    False
    """

    data: Floats
    of_batch: bool = False
    active: bool = False
    scale: Floats | None = None
    shift: Floats | None = None

    @property
    def reference(self) -> Any:
        """The rows as the library takes them."""
        return ctypes.byref(
            _Input(
                data=address(self.data),
                stride=self.data.shape[1],
                by_place=int(self.of_batch),
                active=int(self.active),
                scale=address(self.scale),
                shift=address(self.shift),
            )
        )


@dataclass(frozen=True, eq=False)
class OutputGradient:
    """Gradient of the loss by what a layer gives.

    Parameters
    ----------
    dh
        By the mean over peaks, ``(n_pixels, n_out)``, where `pooled`; otherwise by each peak's
        value before the ReLU, ``(n_peaks, padded)``.
    pooled
        Which of the two.
    z
        The layer's output before BatchNorm and ReLU.
    norm
        p, q and s, of ``p dy + q z + s``: the way back through BatchNorm; or None.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import OutputGradient
    >>> OutputGradient(np.ones((2, 4), np.float32)).norm is None
    True
    """

    dh: Floats
    pooled: bool = False
    z: Floats | None = None
    norm: tuple[Floats, Floats, Floats] | None = None

    @property
    def reference(self) -> Any:
        """The gradient as the library takes it."""
        p, q, s = self.norm if self.norm else (None, None, None)
        return ctypes.byref(
            _Back(
                dh=address(self.dh),
                pooled=int(self.pooled),
                z=address(self.z),
                p=address(p),
                q=address(q),
                s=address(s),
            )
        )


def batch_reference(batch: GraphBatch) -> Any:
    """The batch as the library takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.structs import batch_reference
    >>> graphs = np.zeros((2, 1), np.float32), np.array([0, 2]), CompactMessages.none(1)
    >>> batch_reference(GraphBatch(*graphs, pixels=np.array([0, 0])))._obj.n_pixels
    2
    """
    places = {name: address(array) for name, array in batch.arrays.items()}
    n_pixels, n_kinds, wide = batch.n_pixels, batch.messages.n_kinds, int(batch.messages.wide)
    return ctypes.byref(_Batch(n_pixels=n_pixels, n_kinds=n_kinds, wide=wide, **places))


def layer_structs(layers: Sequence[Layer]) -> Any:
    """Layers one after the other, as the library takes them.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import Layer, layer_structs
    >>> layer = Layer(*(np.zeros(shape, np.float32) for shape in ((2, 3, 5), (3, 5), 5)))
    >>> [struct.n_out for struct in layer_structs([layer, layer])]
    [5, 5]
    """
    return (_Layer * len(layers))(*(layer.struct for layer in layers))


def gradient_structs(gradients: Sequence[Gradients]) -> Any:
    """Where the gradients of each layer go: arrays shaped as its weight, root and bias.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import gradient_structs
    >>> of_layer = tuple(np.zeros(shape, np.float32) for shape in ((2, 3, 5), (3, 5), 5))
    >>> len(gradient_structs([of_layer]))
    1
    """
    return (_Gradients * len(gradients))(
        *(_Gradients(*map(address, arrays)) for arrays in gradients)
    )


def head_reference(weight: Floats, bias: Floats) -> Any:
    """The linear head, ``(n_classes, n_out)`` and ``(n_classes,)``, as the library takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.nn.structs import head_reference
    >>> head_reference(np.zeros((2, 5), np.float32), np.zeros(2, np.float32))._obj.n_classes
    2
    """
    return ctypes.byref(_Head(n_classes=len(bias), weight=address(weight), bias=address(bias)))
