"""Peak graphs as the network reads them: node features and compact typed messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.graph.messages import CompactMessages, Messages, ranges, rows_of

__all__ = ["GraphBatch", "MergedBatch", "MergedGraphs", "PeakBatch", "PeakGraphs", "TypedMessages"]


@dataclass(frozen=True)
class TypedMessages:
    """Messages of some pixels as plain torch reads them, sorted by (type, pixel, receiver).

    Parameters
    ----------
    sender, receiver
        int64, shape ``(n_messages,)``: rows of the nodes that send and receive.
    senders
        float32, shape ``(n_messages, 1)``: how many messages of this type the receiver has, which
        its mean divides by.
    per_kind
        Number of messages of each type, length ``n_kinds``.

    Examples
    --------
    >>> import torch
    >>> from massgraph.graph.batch import TypedMessages
    >>> one = torch.tensor([0]), torch.tensor([1]), torch.ones(1, 1)
    >>> messages = TypedMessages(*one, per_kind=(0, 1))
    >>> messages.edge_type(), messages.edge_index()
    (tensor([1]), tensor([[0],
            [1]]))
    """

    sender: torch.Tensor
    receiver: torch.Tensor
    senders: torch.Tensor
    per_kind: tuple[int, ...]

    @cached_property
    def compact(self) -> CompactMessages:
        """The messages as those of one graph, in the wide compact form."""
        # Kept with the messages: every layer and both ways through it read the same.
        ends = np.concatenate(([0], np.cumsum(self.per_kind)))
        return CompactMessages(
            offsets=np.array([0, len(self.sender)]),
            kind_offsets=ends.astype(np.int32)[None],
            sender=self.sender.numpy().astype(np.uint32),
            receiver=self.receiver.numpy().astype(np.uint32),
            senders=self.senders.numpy()[:, 0].astype(np.uint32),
        )

    @classmethod
    def none(cls) -> TypedMessages:
        """No messages, and no types of them."""
        nothing = torch.empty(0, dtype=torch.int64)
        return cls(nothing, nothing, torch.empty(0, 1), ())

    def to(self, device: torch.device) -> TypedMessages:
        """Copy of the messages on another device."""
        return TypedMessages(
            sender=self.sender.to(device),
            receiver=self.receiver.to(device),
            senders=self.senders.to(device),
            per_kind=self.per_kind,
        )

    def edge_index(self) -> torch.Tensor:
        """Sender and receiver of each message, shape ``(2, n_messages)``, as PyG wants them."""
        return torch.stack([self.sender, self.receiver])

    def edge_type(self) -> torch.Tensor:
        """Type of each message, int64, shape ``(n_messages,)``."""
        device = self.sender.device
        kinds = torch.arange(len(self.per_kind), device=device)
        return torch.repeat_interleave(kinds, torch.tensor(self.per_kind, device=device))


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Some graphs of many, in any order, without copying them: what the compiled library reads.

    Parameters
    ----------
    features
        float32, shape ``(n_peaks, n_features)``, of all graphs.
    offsets
        int64, shape ``(n_graphs + 1,)``: peaks of each graph.
    messages
        Of all graphs.
    pixels
        int64: the graphs that the batch holds; one may occur more than once.
    own_rows
        Whether `features` are those of the peaks of the batch, in its order, in place of all.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> graphs = PeakGraphs(spectra.intensity[:, None], spectra.offsets, messages)
    >>> batch = graphs.view(np.array([1, 0, 0]))
    >>> batch.n_pixels, batch.n_peaks
    (3, 5)
    """

    features: NDArray[np.float32]
    offsets: NDArray[np.int64]
    messages: CompactMessages
    pixels: NDArray[np.int64]
    own_rows: bool = False

    @property
    def n_pixels(self) -> int:
        """Number of pixels in the batch."""
        return len(self.pixels)

    @property
    def n_peaks(self) -> int:
        """Number of peaks in the batch."""
        return int(self.arrays["place"][-1])

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Where the batch lies in the arrays of all graphs, by the names of `network.h`.

        Kept with the batch: the library is given their addresses.
        """
        counts = self.offsets[self.pixels + 1] - self.offsets[self.pixels]
        place = np.concatenate(([0], np.cumsum(counts)))
        return {
            "graph": np.ascontiguousarray(self.pixels, dtype=np.int64),
            "first_peak": place[:-1] if self.own_rows else self.offsets[self.pixels],
            "place": place,
            "first_message": self.messages.offsets[self.pixels],
            "kind_offsets": self.messages.kind_offsets,
            "sender": self.messages.sender,
            "receiver": self.messages.receiver,
            "senders": self.messages.senders,
        }

    def typed_messages(self) -> TypedMessages:
        """The messages of the batch as plain torch reads them, between the peaks of the batch."""
        messages, place = self.messages, self.arrays["place"]
        counts = np.diff(messages.offsets)[self.pixels]
        rows = ranges(self.arrays["first_message"], counts)
        kind, base = messages.kind[rows], np.repeat(place[:-1], counts)
        # Within a pixel messages are sorted by (type, receiver): one stable sort by type is enough.
        order = np.argsort(kind, kind="stable")
        rows, base = rows[order], base[order]
        return TypedMessages(
            sender=torch.from_numpy(base + messages.sender[rows]),
            receiver=torch.from_numpy(base + messages.receiver[rows]),
            senders=torch.from_numpy(messages.senders[rows].astype(np.float32)[:, None]),
            per_kind=tuple(np.bincount(kind, minlength=messages.n_kinds).tolist()),
        )

    def peak_batch(self) -> PeakBatch:
        """The same graphs as plain torch reads them: copied, and with messages of their own."""
        counts = np.diff(self.arrays["place"])
        peaks = ranges(self.arrays["first_peak"], counts)
        return _peak_batch(self.features[peaks], counts, self.typed_messages())


@dataclass(frozen=True)
class PeakBatch:
    """The graphs of some pixels.

    Parameters
    ----------
    features
        float32, shape ``(n_peaks, n_features)``.
    pixel
        int64, shape ``(n_peaks,)``, ascending: which pixel of the batch each peak belongs to.
    counts
        float32, shape ``(n_pixels, 1)``: number of peaks of each pixel.
    messages
        The typed messages between the peaks; none where `graphs` hold them.
    graphs
        The same pixels as the compiled library reads them.
    merged
        The same pixels with their peaks merged, where a network reads those.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> graphs = PeakGraphs(spectra.intensity[:, None], spectra.offsets, messages)
    >>> batch = graphs.batch(np.array([1, 0]))
    >>> batch.pixel, batch.features[:, 0]
    (tensor([0, 1, 1]), tensor([3., 1., 2.]))
    """

    features: torch.Tensor
    pixel: torch.Tensor
    counts: torch.Tensor
    messages: TypedMessages
    graphs: GraphBatch | None = None
    merged: MergedBatch | None = None

    @property
    def n_pixels(self) -> int:
        """Number of pixels in the batch."""
        return len(self.counts)

    def to(self, device: torch.device) -> PeakBatch:
        """Copy of the batch on another device."""
        return PeakBatch(
            features=self.features.to(device),
            pixel=self.pixel.to(device),
            counts=self.counts.to(device),
            messages=self.messages.to(device),
            graphs=self.graphs,  # numpy's, which knows no devices
            merged=None if self.merged is None else self.merged.to(device),
        )


@dataclass(frozen=True)
class MergedBatch:
    """The pixels of a batch with their peaks merged: ions as molecules, for example.

    Parameters
    ----------
    batch
        The merged peaks as peaks.
    of_peak
        int64, shape ``(n_peaks,)``: the row in `batch` of the merged peak that each peak is in.

    Examples
    --------
    >>> from massgraph.graph.batch import MergedBatch
    >>> list(MergedBatch.__dataclass_fields__)
    ['batch', 'of_peak']
    """

    batch: PeakBatch
    of_peak: torch.Tensor

    def to(self, device: torch.device) -> MergedBatch:
        """Copy of both on another device."""
        return MergedBatch(self.batch.to(device), self.of_peak.to(device))


@dataclass(frozen=True, eq=False)
class PeakGraphs:
    """Features and messages of many pixels, from which batches are cut.

    Parameters
    ----------
    features
        float32, shape ``(n_peaks, n_features)``.
    offsets
        int64, shape ``(n_pixels + 1,)``: peaks of each pixel.
    messages
        Messages of the same pixels, in either form.
    merged
        The same pixels with their peaks merged, where a network reads those.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> graphs = PeakGraphs(spectra.intensity[:, None], spectra.offsets, messages)
    >>> len(graphs), len(graphs[np.array([1])].features)
    (2, 1)
    """

    features: NDArray[np.float32]
    offsets: NDArray[np.int64]
    messages: Messages | CompactMessages
    merged: MergedGraphs | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def concatenate(cls, parts: list[PeakGraphs]) -> PeakGraphs:
        """Join the pixels of several parts, in order; merged peaks where all of them have some."""
        # In compact form, whatever the parts are in: it is what the joined graphs will be read in.
        merged = [part.merged for part in parts if part.merged is not None]
        return cls(
            features=np.concatenate([part.features for part in parts]),
            offsets=_join_offsets([part.offsets for part in parts]),
            messages=CompactMessages.concatenate([part.compact for part in parts]),
            merged=MergedGraphs.concatenate(merged) if len(merged) == len(parts) else None,
        )

    @cached_property
    def compact(self) -> CompactMessages:
        """The messages in compact form."""
        return CompactMessages.of(self.messages)

    def view(self, pixels: NDArray[np.int64]) -> GraphBatch:
        """Graphs of these pixels as the compiled network reads them: nothing is copied."""
        return GraphBatch(self.features, self.offsets, self.compact, pixels)

    def __getitem__(self, pixels: NDArray[np.int64]) -> PeakGraphs:
        """Graphs of these pixels, in this order."""
        peaks, offsets = rows_of(self.offsets, pixels)
        merged = self.merged
        if merged is not None:
            merged = MergedGraphs(merged.graphs[pixels], merged.of_peak[peaks])
        return PeakGraphs(self.features[peaks], offsets, self.compact[pixels], merged)

    def merge_of_batch(self, pixels: NDArray[np.int64], batch: PeakBatch) -> MergedBatch:
        """`batch` of the merged peaks of these pixels, and where in it each of their peaks is."""
        if self.merged is None:
            msg = "these graphs have no merged peaks: encode them with molecules=True"
            raise ValueError(msg)
        counts = np.diff(self.offsets)[pixels]
        of_peak = self.merged.of_peak[ranges(self.offsets[:-1][pixels], counts)]
        sizes = np.diff(self.merged.graphs.offsets)[pixels]
        first = np.repeat(np.cumsum(sizes) - sizes, counts)
        return MergedBatch(batch, torch.from_numpy(first + of_peak))

    def batch(self, pixels: NDArray[np.int64], *, edges: str = "typed") -> PeakBatch:
        """Graphs of these pixels, in this order; a pixel may occur more than once.

        Parameters
        ----------
        pixels
            Numbers of the graphs.
        edges
            ``"typed"`` messages, ``"native"`` for what the compiled library reads, or ``"none"``.
        """
        # Only what is asked for: the messages, sorted by type, are most of the work.
        if edges == "typed":
            return self.view(pixels).peak_batch()
        graphs = self.view(pixels) if edges == "native" else None
        counts = np.diff(self.offsets)[pixels]
        peaks = ranges(self.offsets[:-1][pixels], counts)
        return _peak_batch(self.features[peaks], counts, TypedMessages.none(), graphs)


@dataclass(frozen=True, eq=False)
class MergedGraphs:
    """The pixels of `PeakGraphs` with their peaks merged.

    Parameters
    ----------
    graphs
        The merged peaks as peaks.
    of_peak
        int32, shape ``(n_peaks,)``: the merged peak that each peak is in, from 0 in each pixel.

    Examples
    --------
    >>> from massgraph.graph.batch import MergedGraphs
    >>> list(MergedGraphs.__dataclass_fields__)
    ['graphs', 'of_peak']
    """

    graphs: PeakGraphs
    of_peak: NDArray[np.int32]

    @classmethod
    def concatenate(cls, parts: list[MergedGraphs]) -> MergedGraphs:
        """Join the pixels of several parts, in order."""
        graphs = PeakGraphs.concatenate([part.graphs for part in parts])
        return cls(graphs, np.concatenate([part.of_peak for part in parts]))


def _peak_batch(
    features: NDArray[np.float32],
    counts: NDArray[np.int64],
    messages: TypedMessages,
    graphs: GraphBatch | None = None,
) -> PeakBatch:
    return PeakBatch(
        features=torch.from_numpy(features),
        pixel=torch.from_numpy(np.repeat(np.arange(len(counts)), counts)),
        counts=torch.from_numpy(counts.astype(np.float32)[:, None]),
        messages=messages,
        graphs=graphs,
    )


def _join_offsets(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    ends = np.cumsum([0, *(part[-1] for part in parts)])
    moved = [part[1:] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return np.concatenate([[0], *moved]).astype(np.int64)
