"""The calls of the compiled network.

Each raises MemoryError where its pixels do not fit into memory, and RuntimeError without the
library. Other threads of Python run meanwhile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.threads import n_threads
from massgraph.graph.batch import GraphBatch
from massgraph.native.library import address, library
from massgraph.nn.structs import (
    Floats,
    Gradients,
    Input,
    Layer,
    OutputGradient,
    batch_reference,
    gradient_structs,
    head_reference,
    layer_structs,
    padded,
)

__all__ = ["backward", "forward", "infer", "pool", "pool_sums", "step"]


def _call(name: str, *arguments: Any) -> None:
    loaded = library()
    if loaded is None:
        msg = "the compiled library is not there any more"
        raise RuntimeError(msg)
    # No exception crosses from C++ to Python: zero is all that is heard of one.
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

    Examples
    --------
    A pixel of two peaks, one of no peak, and a layer that reads no messages:

    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import infer
    >>> from massgraph.nn.structs import Layer
    >>> x = np.array([[1.0], [2.0]], np.float32)
    >>> batch = GraphBatch(x, np.array([0, 2, 2]), CompactMessages.none(2), np.arange(2))
    >>> layer = Layer(np.zeros((0, 1, 1), np.float32), np.eye(1, dtype=np.float32), x[0])
    >>> infer(batch, [layer])
    array([[2.5],
           [0. ]])
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
        batch_reference(batch),
        Input(batch.features).reference,
        len(layers),
        layer_structs(layers),
        *((None, place) if nodes else (place, None)),
    )
    return out


def forward(
    batch: GraphBatch, layer: Layer, x: Input, z: Floats, *, sums: bool
) -> NDArray[np.float64] | None:
    """One layer into `z` (n_peaks, padded); with `sums` the sums of z and of its squares.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import forward
    >>> from massgraph.nn.structs import Input, Layer
    >>> x, z = np.array([[1.0], [2.0]], np.float32), np.empty((2, 4), np.float32)
    >>> batch = GraphBatch(x, np.array([0, 2]), CompactMessages.none(1), np.arange(1))
    >>> layer = Layer(np.zeros((0, 1, 1), np.float32), np.eye(1, dtype=np.float32), x[0])
    >>> forward(batch, layer, Input(x), z, sums=True)
    array([[ 5.],
           [13.]])
    >>> z[:, :1]
    array([[2.],
           [3.]], dtype=float32)
    """
    totals = np.empty((2, padded(layer.n_out))) if sums else None
    _call(
        "mg_forward",
        batch_reference(batch),
        ctypes.byref(layer.struct),
        x.reference,
        address(z),
        address(totals),
    )
    return None if totals is None else totals[:, : layer.n_out]


def pool(batch: GraphBatch, z: Input, n_out: int) -> Floats:
    """Mean over the peaks of each pixel, shape ``(n_pixels, n_out)``; zero for none.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import pool
    >>> from massgraph.nn.structs import Input
    >>> z = np.array([[1, 0, 0, 0], [-2, 0, 0, 0]], np.float32)
    >>> batch = GraphBatch(z, np.array([0, 2]), CompactMessages.none(1), np.arange(1))
    >>> pool(batch, Input(z, of_batch=True, active=True), 1)
    array([[0.5]], dtype=float32)
    """
    pooled = np.empty((batch.n_pixels, n_out), dtype=np.float32)
    _call("mg_pool", batch_reference(batch), z.reference, n_out, address(pooled))
    return pooled


def pool_sums(batch: GraphBatch, z: Input, dpooled: Floats) -> NDArray[np.float64]:
    """Sums over the peaks of dy and of dy z, where dy is what the pooled gradient leaves there.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import pool_sums
    >>> from massgraph.nn.structs import Input
    >>> z = np.array([[3, 0, 0, 0], [-2, 0, 0, 0]], np.float32)
    >>> batch = GraphBatch(z, np.array([0, 2]), CompactMessages.none(1), np.arange(1))
    >>> pool_sums(batch, Input(z, of_batch=True, active=True), np.ones((1, 1), np.float32))
    array([[0.5],
           [1.5]])
    """
    n_out = dpooled.shape[1]
    sums = np.empty((2, z.data.shape[1]))
    gradient = address(dpooled)
    _call("mg_pool_sums", batch_reference(batch), z.reference, n_out, gradient, address(sums))
    return sums[:, :n_out]


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
    of dx and of dx times that input: what the BatchNorm before this layer needs.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import backward
    >>> from massgraph.nn.structs import Input, Layer, OutputGradient
    >>> x = np.array([[1.0], [2.0]], np.float32)
    >>> batch = GraphBatch(x, np.array([0, 2]), CompactMessages.none(1), np.arange(1))
    >>> layer = Layer(np.zeros((0, 1, 1), np.float32), np.eye(1, dtype=np.float32), x[0])
    >>> dz = OutputGradient(np.array([[1, 0, 0, 0], [1, 0, 0, 0]], np.float32))
    >>> (_, root, bias), _ = backward(batch, layer, Input(x), dz, dx=None)
    >>> root, bias
    (array([[3.]], dtype=float32), array([2.], dtype=float32))
    """
    gradients = _empty_gradients(layer)
    totals = np.empty((2, padded(layer.n_in))) if sums else None
    _call(
        "mg_backward",
        batch_reference(batch),
        ctypes.byref(layer.struct),
        x.reference,
        back.reference,
        gradient_structs([gradients]),
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

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.batch import GraphBatch
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.compiled import step
    >>> from massgraph.nn.structs import Layer
    >>> x = np.array([[1.0], [2.0]], np.float32)
    >>> batch = GraphBatch(x, np.array([0, 2]), CompactMessages.none(1), np.arange(1))
    >>> layer = Layer(np.zeros((0, 1, 1), np.float32), np.eye(1, dtype=np.float32), x[0])
    >>> head = np.zeros((2, 1), np.float32), np.zeros(2, np.float32)
    >>> loss, logits, gradients = step(batch, [layer], head, np.array([1]))
    >>> round(loss, 4), logits, gradients[-1]
    (0.6931, array([[0., 0.]], dtype=float32), array([ 0.5, -0.5], dtype=float32))
    """
    weight, bias = head
    logits = np.empty((batch.n_pixels, len(bias)), dtype=np.float32)
    loss = np.empty(1)
    gradients = [_empty_gradients(layer) for layer in layers]
    of_head = np.empty_like(weight), np.empty_like(bias)
    _call(
        "mg_step",
        batch_reference(batch),
        Input(batch.features).reference,
        len(layers),
        layer_structs(layers),
        head_reference(weight, bias),
        address(y),
        address(logits),
        address(loss),
        gradient_structs(gradients),
        *map(address, of_head),
    )
    flat = [array for layer in gradients for array in layer]
    return float(loss[0]), logits, [*flat, *of_head]


def _empty_gradients(layer: Layer) -> Gradients:
    return np.empty_like(layer.weight), np.empty_like(layer.root), np.empty_like(layer.bias)
