"""The compiled network: what a batch and a layer look like to it, and its calls."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph._util.threads import n_threads
from massgraph.graph.batch import GraphBatch
from massgraph.native.library import address, library

__all__ = [
    "Input",
    "Layer",
    "OutputGradient",
    "backward",
    "forward",
    "infer",
    "memory",
    "padded",
    "pool",
    "pool_sums",
    "step",
]

Pointer, Int, Long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
Floats = NDArray[np.float32]
Gradients = tuple[Floats, Floats, Floats]


def padded(width: int) -> int:
    """Width of rows inside the library, as in kernels.h."""
    return 4 if width <= 4 else 8 if width <= 8 else -(-width // 16) * 16


def memory(tensor: torch.Tensor) -> Floats:
    """The tensor's own memory where it is contiguous, as an array."""
    return tensor.detach().contiguous().numpy()


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


def _reference(batch: GraphBatch) -> Any:
    """The batch as the library takes it; the arrays stay those of the batch."""
    places = {name: address(array) for name, array in batch.arrays.items()}
    wide = int(batch.messages.wide)
    n_kinds = batch.messages.n_kinds
    return ctypes.byref(_Batch(n_pixels=batch.n_pixels, n_kinds=n_kinds, wide=wide, **places))


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights of a relational layer, float32, and the scale and shift that follow it or None.

    Shapes are those of `massgraph.nn.layers.RelationalConv`.
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
        Whether the rows are the batch's, padded; otherwise they are those of all graphs.
    active
        Whether the layer reads ``max(scale * data + shift, 0)``.
    scale, shift
        Of BatchNorm, or None.
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


def _structs(layers: Sequence[Layer]) -> Any:
    return (_Layer * len(layers))(*(layer.struct for layer in layers))


def _call(name: str, *arguments: Any) -> None:
    loaded = library()
    if loaded is None:
        msg = "the compiled library is not there any more"
        raise RuntimeError(msg)
    if not getattr(loaded, name)(*arguments, n_threads()):
        msg = f"{name[3:]} of these pixels does not fit into memory: use fewer at a time"
        raise MemoryError(msg)


def infer(
    batch: GraphBatch, layers: Sequence[Layer], *, nodes: bool = False
) -> NDArray[np.float64] | Floats:
    """All layers at once, each pixel while it is in the cache.

    Returns
    -------
    numpy.ndarray
        With `nodes` the features after the last ReLU, float32, ``(n_peaks, n_out)``; otherwise
        their mean over the peaks of each pixel, float64, ``(n_pixels, n_out)``, zero for none.
    """
    n_out = layers[-1].n_out
    out = (
        np.empty((batch.n_peaks, n_out), dtype=np.float32)
        if nodes
        else np.empty((batch.n_pixels, n_out))
    )
    place = address(out)
    _call(
        "mg_infer",
        _reference(batch),
        Input(batch.features).reference,
        len(layers),
        _structs(layers),
        *((None, place) if nodes else (place, None)),
    )
    return out


def forward(
    batch: GraphBatch, layer: Layer, x: Input, z: Floats, *, sums: bool
) -> NDArray[np.float64] | None:
    """One layer into `z` (n_peaks, padded); with `sums` the sums of z and of its squares."""
    totals = np.empty((2, padded(layer.n_out))) if sums else None
    _call(
        "mg_forward",
        _reference(batch),
        ctypes.byref(layer.struct),
        x.reference,
        address(z),
        address(totals),
    )
    return None if totals is None else totals[:, : layer.n_out]


def pool(batch: GraphBatch, z: Input, n_out: int) -> Floats:
    """Mean over the peaks of each pixel, shape ``(n_pixels, n_out)``; zero for none."""
    pooled = np.empty((batch.n_pixels, n_out), dtype=np.float32)
    _call("mg_pool", _reference(batch), z.reference, n_out, address(pooled))
    return pooled


def pool_sums(batch: GraphBatch, z: Input, dpooled: Floats) -> NDArray[np.float64]:
    """Sums over the peaks of dy and of dy z, where dy is what the pooled gradient leaves there."""
    n_out = dpooled.shape[1]
    sums = np.empty((2, z.data.shape[1]))
    _call("mg_pool_sums", _reference(batch), z.reference, n_out, address(dpooled), address(sums))
    return sums[:, :n_out]


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


def backward(
    batch: GraphBatch,
    layer: Layer,
    x: Input,
    back: OutputGradient,
    *,
    dx: Floats | None,
    sums: bool = False,
) -> tuple[Gradients, NDArray[np.float64] | None]:
    """Gradients of a layer's weights, and into `dx` (n_peaks, padded) that of its input.

    Where the input went through a ReLU, `dx` is what came before it, and `sums` asks for the sums
    of dx and of dx times that input.
    """
    gradients = _empty_gradients(layer)
    totals = np.empty((2, padded(layer.n_in))) if sums else None
    _call(
        "mg_backward",
        _reference(batch),
        ctypes.byref(layer.struct),
        x.reference,
        back.reference,
        ctypes.byref(_gradient_struct(gradients)),
        address(dx),
        address(totals),
    )
    return gradients, None if totals is None else totals[:, : layer.n_in]


def step(
    batch: GraphBatch,
    layers: Sequence[Layer],
    head: tuple[Floats, Floats],
    y: NDArray[np.int64],
) -> tuple[float, Floats, list[Floats]]:
    """Loss, logits and all gradients of a network without BatchNorm, pixel by pixel.

    Returns
    -------
    tuple
        Mean cross-entropy, logits ``(n_pixels, n_classes)``, and the gradients of weight, root and
        bias of each layer, then of the head's weight and bias.
    """
    weight, bias = head
    n_classes = len(bias)
    logits = np.empty((batch.n_pixels, n_classes), dtype=np.float32)
    loss = np.empty(1)
    gradients = [_empty_gradients(layer) for layer in layers]
    structs = (_Gradients * len(layers))(*map(_gradient_struct, gradients))
    of_head = np.empty_like(weight), np.empty_like(bias)
    _call(
        "mg_step",
        _reference(batch),
        Input(batch.features).reference,
        len(layers),
        _structs(layers),
        ctypes.byref(_Head(n_classes=n_classes, weight=address(weight), bias=address(bias))),
        address(y),
        address(logits),
        address(loss),
        structs,
        *map(address, of_head),
    )
    flat = [array for layer in gradients for array in layer]
    return float(loss[0]), logits, [*flat, *of_head]


def _empty_gradients(layer: Layer) -> Gradients:
    return np.empty_like(layer.weight), np.empty_like(layer.root), np.empty_like(layer.bias)


def _gradient_struct(gradients: Gradients) -> _Gradients:
    return _Gradients(**dict(zip(("weight", "root", "bias"), map(address, gradients), strict=True)))
