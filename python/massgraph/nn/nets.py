"""Nets of a branch: the `RGCN` that also knows the ion of each peak, or the molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from massgraph.graph.addresses import ADDRESS_WIDTH, addresses
from massgraph.graph.batch import GraphBatch, PeakBatch, PeakGraphs
from massgraph.graph.messages import CompactMessages
from massgraph.nn.rgcn import RGCN
from massgraph.nn.sums import summed

__all__ = ["MolecularNet", "PeakNet", "RelationalNet"]

EMBEDDING = 5  # learnt numbers per ion of the axis


class RelationalNet(RGCN):
    """An `RGCN` that also reads which ion of the axis a node is.

    The features of a node are joined by the vector of its ion, weighted by how far the ion is
    there.

    Parameters
    ----------
    n_features
        Node features, without the columns of the addresses.
    n_ions
        Ions of the axis.
    n_kinds, n_classes, hidden, batch_norm, backend
        As for `RGCN`.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.nets import RelationalNet
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> known = [[1, 0, 1], [2, 1, 1], [3, 0, 1]]  # as `Addresses` names them
    >>> features = np.hstack([spectra.intensity[:, None], np.array(known, np.float32)])
    >>> graphs = PeakGraphs(features, spectra.offsets, messages)
    >>> model = RelationalNet(1, n_ions=2, n_kinds=2, n_classes=3, hidden=(4,)).eval()
    >>> batch = model.take(graphs, np.arange(2), torch.device("cpu"))
    >>> with torch.inference_mode():
    ...     model(batch).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_ions: int,
        n_kinds: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        batch_norm: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__(
            n_features + EMBEDDING,
            n_kinds,
            n_classes,
            hidden=hidden,
            batch_norm=batch_norm,
            backend=backend,
        )
        # Small at first, so that a net begins with what is said of any ion; one row at least, as a
        # data set may have no ions.
        self.ion_vectors = nn.Parameter(0.1 * torch.randn(max(n_ions, 1), EMBEDDING))

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Graphs of these pixels; their addresses are read here, whatever reads the edges."""
        if not self.is_native(device):
            return graphs.batch(pixels).to(device)
        # A PeakBatch in any case: other branches read the features of the same batch.
        known = graphs.features.shape[1] - ADDRESS_WIDTH + EMBEDDING
        self._check_graphs(known, graphs.messages.n_kinds)
        return graphs.batch(pixels, edges="native")

    def nodes(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Peak features after the last ReLU, shape ``(n_peaks, hidden[-1])``."""
        return super().nodes(self._evaluated(batch))

    def embedding(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Mean over the peaks of each pixel, in evaluation mode, ``(n_pixels, hidden[-1])``."""
        joined = self._evaluated(batch)
        if isinstance(joined, GraphBatch):
            return super().embedding(joined)
        return self.pool(super().nodes(joined).double(), joined)

    def _pooled(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        batch, known = self._joined(batch)
        if batch.graphs is not None:
            return self._native.pooled(self._native_batch(batch.graphs, known), known)
        return self.pool(super().nodes(self._torch_batch(batch, known)), batch)

    def _evaluated(self, batch: PeakBatch | GraphBatch) -> PeakBatch | GraphBatch:
        """The batch that the layers read, as `RGCN` says of gradients in evaluation mode."""
        batch, known = self._joined(batch)
        if batch.graphs is not None and not self._keeps_gradients(known):
            return self._native_batch(batch.graphs, known)
        return self._torch_batch(batch, known)

    def _joined(self, batch: PeakBatch | GraphBatch) -> tuple[PeakBatch, torch.Tensor]:
        """The batch, and its features with the vectors of the ions in place of the addresses.

        The features know their gradients.
        """
        if isinstance(batch, GraphBatch):
            msg = "graphs without the addresses of their peaks: use what `take` gives"
            raise TypeError(msg)
        where = addresses(batch)
        vectors = functional.embedding(where.ion, self.ion_vectors) * where.weight[:, None]
        return batch, torch.cat([batch.features[:, :-ADDRESS_WIDTH], vectors], dim=1)

    def _native_batch(self, graphs: GraphBatch, features: torch.Tensor) -> GraphBatch:
        # The library reads values; the gradient of the features is asked for by the caller.
        return replace(graphs, features=features.detach().numpy(), own_rows=True)

    def _torch_batch(self, batch: PeakBatch, features: torch.Tensor) -> PeakBatch:
        messages = batch.messages if batch.graphs is None else batch.graphs.typed_messages()
        return replace(batch, features=features, messages=messages, graphs=None)


class PeakNet(RelationalNet):
    """A `RelationalNet` without edges: the set of the peaks. Other parameters are the same.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.nets import PeakNet
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> known = [[1, 0, 1], [2, 1, 1], [3, 0, 1]]  # as `Addresses` names them
    >>> features = np.hstack([spectra.intensity[:, None], np.array(known, np.float32)])
    >>> graphs = PeakGraphs(features, spectra.offsets, messages)
    >>> model = PeakNet(1, n_ions=2, n_classes=3, hidden=(4,)).eval()
    >>> batch = model.take(graphs, np.arange(2), torch.device("cpu"))
    >>> with torch.inference_mode():
    ...     model(batch).shape
    torch.Size([2, 3])
    """

    reads: ClassVar[int] = 1

    def __init__(
        self,
        n_features: int,
        n_ions: int,
        n_classes: int,
        *,
        hidden: Sequence[int],
        batch_norm: bool = True,
        backend: str = "auto",
    ) -> None:
        shape = {"hidden": hidden, "batch_norm": batch_norm, "backend": backend}
        super().__init__(n_features, n_ions, 0, n_classes, **shape)  # type: ignore[arg-type]

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        edges = "native" if self.is_native(device) else "none"
        return graphs.batch(pixels, edges=edges).to(device)

    def _native_batch(self, graphs: GraphBatch, features: torch.Tensor) -> GraphBatch:
        # Graphs of their own: those of the batch have message types, for which no weight is.
        messages = CompactMessages.none(graphs.n_pixels)
        counts = graphs.offsets[graphs.pixels + 1] - graphs.offsets[graphs.pixels]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        rows = np.arange(graphs.n_pixels)
        return GraphBatch(features.detach().numpy(), offsets, messages, rows)

    def _torch_batch(self, batch: PeakBatch, features: torch.Tensor) -> PeakBatch:
        return replace(batch, features=features, graphs=None)


class MolecularNet(RelationalNet):
    r"""A `RelationalNet` whose nodes are molecules; parameters are the same.

    Edges lead from molecule to molecule, not from an ion to its own isotopes and adducts, and what
    a molecule says does not depend on how it is split over them. Activations go back to the ions
    by their part in the sum, :math:`CAM_k = \frac{n}{m} \frac{w_k I_k}{\sum_j w_j I_j} CAM_m`
    for ion k of a molecule m, with n ions and m molecules in the pixel: the mean over ions is that
    over molecules, exactly.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import MergedGraphs, PeakGraphs
    >>> from massgraph.graph.messages import CompactMessages
    >>> from massgraph.nn.nets import MolecularNet
    >>> none = CompactMessages.none(1)
    >>> ions = np.array([[1, 1, 0, 1], [2, 2, 1, 1]], np.float32)  # features, then `Addresses`
    >>> molecule = PeakGraphs(np.array([[3, 3, 0, 1]], np.float32), np.array([0, 1]), none)
    >>> merged = MergedGraphs(molecule, np.zeros(2, np.int32))
    >>> graphs = PeakGraphs(ions, np.array([0, 2]), none, merged)
    >>> net = MolecularNet(1, n_ions=2, n_kinds=0, n_classes=3, hidden=(4,)).eval()
    >>> batch = net.take(graphs, np.array([0]), torch.device("cpu"))
    >>> with torch.inference_mode():
    ...     cam, logits = net.cam(batch), net(batch)
    >>> torch.allclose(cam.mean(dim=0) + net.intercept(), logits[0])
    True
    """

    reads: ClassVar[int] = 0

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Ions of these pixels, without their edges, and the molecules that they are of."""
        return self.with_molecules(graphs.batch(pixels, edges="none").to(device), graphs, pixels)

    def with_molecules(
        self, batch: PeakBatch, graphs: PeakGraphs, pixels: NDArray[np.int64]
    ) -> PeakBatch:
        """A batch of these pixels of the graphs, joined by their molecules."""
        if graphs.merged is None:
            msg = "a network of molecules reads graphs that were encoded with molecules=True"
            raise ValueError(msg)
        device = batch.features.device
        molecules = super().take(graphs.merged.graphs, pixels, device)
        return replace(batch, merged=graphs.merge_of_batch(pixels, molecules).to(device))

    def cam(self, batch: PeakBatch | GraphBatch) -> torch.Tensor:
        """Class activation of each ion, float64, ``(n_peaks, n_classes)``, in evaluation mode."""
        ions, molecules, of_ion = self._levels(batch)
        where = addresses(ions)
        # Never zero, so that the parts of a molecule are one together, however weak its ions are.
        amount = (where.weight.double() * torch.expm1(where.amount.double())).clamp(min=1e-300)
        whole = summed(amount, of_ion, len(molecules.pixel))
        part = amount / whole[of_ion]
        scale = (ions.counts.double() / molecules.counts.clamp(min=1).double())[ions.pixel]
        return scale * part[:, None] * super().cam(ions)[of_ion]

    def _joined(self, batch: PeakBatch | GraphBatch) -> tuple[PeakBatch, torch.Tensor]:
        return super()._joined(self._levels(batch)[1])

    def _levels(self, batch: PeakBatch | GraphBatch) -> tuple[PeakBatch, PeakBatch, torch.Tensor]:
        """Ions, molecules, and the row of the molecule of each ion."""
        if isinstance(batch, GraphBatch) or batch.merged is None:
            msg = "a batch without molecules: use what `take` gives"
            raise TypeError(msg)
        return batch, batch.merged.batch, batch.merged.of_peak
