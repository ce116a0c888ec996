"""The relational graph convolution, in plain torch and through PyTorch Geometric."""

from __future__ import annotations

import math

import torch
from torch import nn

from massgraph._util.errors import InputError
from massgraph._util.threads import lent_generator
from massgraph.graph.batch import TypedMessages
from massgraph.native.library import library, status
from massgraph.nn.convolution import NativeKernel, TorchKernel, convolve

__all__ = ["BACKENDS", "RelationalConv", "resolve_backend"]

BACKENDS = ("auto", "native", "torch", "pyg")


def resolve_backend(backend: str) -> str:
    """The backend that runs: ``"auto"`` is ``"native"`` where that was built, else ``"torch"``.

    Raises
    ------
    ValueError
        For another backend, or ``"native"`` where it was not built.

    Examples
    --------
    >>> from massgraph.nn.layers import resolve_backend
    >>> resolve_backend("torch"), resolve_backend("auto") in ("native", "torch")
    ('torch', True)
    """
    if backend not in BACKENDS:
        msg = f"backend {backend!r} is none of {BACKENDS}"
        raise InputError(msg)
    if backend == "auto":
        return "torch" if library() is None else "native"
    if backend == "native" and library() is None:
        msg = f"backend 'native' cannot be used here ({status()}): use 'auto' or 'torch'"
        raise InputError(msg)
    return backend


class RelationalConv(nn.Module):
    r"""Relational graph convolution of Schlichtkrull et al. (2018), mean over each relation.

    .. math::
        z_i = b + x_i W_0 + \sum_r \frac{1}{|N_r(i)|} \sum_{k \in N_r(i)} x_k W_r

    An empty mean is zero.

    Parameters
    ----------
    n_in, n_out
        Number of input and output features per peak.
    n_kinds
        Number of message types; with 0 no message is read, whatever the graphs hold.
    backend
        ``"native"``: the compiled library, for float32 on the CPU (others run as ``"torch"``).
        ``"torch"``: one matrix product per type over its messages.
        ``"pyg"``: PyTorch Geometric's `RGCNConv`, for comparison. ``"auto"``: native where it was
        built, else torch. The parameters are the same, so weights go from one to the other.

    Raises
    ------
    ValueError
        For another backend, or one that was not built.

    Notes
    -----
    Parameters `weight` ``(n_kinds, n_in, n_out)`` and `root` ``(n_in, n_out)`` start uniform as
    Glorot and Bengio (2010), `bias` ``(n_out,)`` at zero.

    Examples
    --------
    >>> import torch
    >>> from massgraph.graph.batch import TypedMessages
    >>> from massgraph.nn.layers import RelationalConv
    >>> messages = TypedMessages(torch.tensor([0]), torch.tensor([1]), torch.ones(1, 1), (1,))
    >>> layer = RelationalConv(n_in=3, n_out=8, n_kinds=1)
    >>> layer(torch.zeros(2, 3), messages).shape
    torch.Size([2, 8])
    """

    def __init__(self, n_in: int, n_out: int, n_kinds: int, *, backend: str = "auto") -> None:
        super().__init__()
        self.backend = resolve_backend(backend)
        self.weight = nn.Parameter(torch.empty(n_kinds, n_in, n_out))
        self.root = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        bound = math.sqrt(6.0 / (n_in + n_out))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.root, -bound, bound)

    def forward(self, x: torch.Tensor, messages: TypedMessages) -> torch.Tensor:
        """Features after the layer, shape ``(n_peaks, n_out)``, from `x` ``(n_peaks, n_in)``."""
        if not len(self.weight):  # no type of message: each peak by itself
            return torch.addmm(self.bias, x, self.root)
        if self.backend == "pyg":
            return self._forward_pyg(x, messages)
        self._check_kinds(messages)
        simple = x.dtype == torch.float32 and x.device.type == "cpu"
        kernel = NativeKernel if self.backend == "native" and simple else TorchKernel
        return convolve(x, self.weight, self.root, self.bias, messages, kernel=kernel)

    def _check_kinds(self, messages: TypedMessages) -> None:
        if len(messages.per_kind) != len(self.weight):
            msg = (
                f"messages of {len(messages.per_kind)} types for a layer of "
                f"{len(self.weight)}: use the relations that the layer was made for"
            )
            raise ValueError(msg)

    def _forward_pyg(self, x: torch.Tensor, messages: TypedMessages) -> torch.Tensor:
        import torch_geometric
        from torch_geometric.nn import RGCNConv

        n_kinds, n_in, n_out = self.weight.shape
        # PyG's segment-matmul path (with pyg-lib) averages over all relations together, not over
        # each: the loop path is the published layer.
        chosen = torch_geometric.backend.use_segment_matmul
        torch_geometric.backend.use_segment_matmul = False
        try:
            with lent_generator():  # its own first weights are not wanted
                conv = RGCNConv(n_in, n_out, n_kinds, aggr="mean")
            del conv.weight, conv.root, conv.bias
            conv.weight, conv.root, conv.bias = self.weight, self.root, self.bias
            return conv(x, messages.edge_index(), messages.edge_type())  # type: ignore[no-any-return]
        finally:
            torch_geometric.backend.use_segment_matmul = chosen
