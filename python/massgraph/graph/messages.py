"""Edges as the network walks them: plain columns, and the few bytes that compiled code reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CompactMessages", "Messages", "ranges", "rows_of"]

MOST_PEAKS, MOST_SENDERS = 2**16, 2**8 - 1  # of the narrow form


@dataclass(frozen=True, eq=False)
class Messages:
    """Edges as the network walks them, both ways, sorted by (pixel, type, receiver).

    Parameters
    ----------
    offsets
        int64, shape ``(n_pixels + 1,)``: messages of pixel ``i`` are ``offsets[i]:offsets[i + 1]``.
    sender, receiver
        int32, shape ``(n_messages,)``: peak indices within the pixel.
    kind
        uint16, shape ``(n_messages,)``: relation code for a gain (sent by the lighter peak); for a
        loss the code plus the number of relations in a directed graph, the same code otherwise.
    n_kinds
        Number of message types.

    Examples
    --------
    A peak sends to a heavier one, and that one back, as another type:

    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2])])
    >>> messages = mg.build_graph(spectra, mg.relations_from_masses({"CH2": 14.01565})).messages()
    >>> messages.sender, messages.receiver, messages.kind.tolist()
    (array([0, 1], dtype=int32), array([1, 0], dtype=int32), [0, 1])
    """

    offsets: NDArray[np.int64]
    sender: NDArray[np.int32]
    receiver: NDArray[np.int32]
    kind: NDArray[np.uint16]
    n_kinds: int


@dataclass(frozen=True, eq=False)
class CompactMessages:
    """The same messages in the same order as `Messages`, in 5 bytes each.

    Parameters
    ----------
    offsets
        int64, shape ``(n_pixels + 1,)``: messages of pixel ``i`` are ``offsets[i]:offsets[i + 1]``.
    kind_offsets
        int32, shape ``(n_pixels, n_kinds + 1)``: counted from the first message of the pixel, those
        of kind ``k`` are ``kind_offsets[i, k]:kind_offsets[i, k + 1]``, sorted by receiver.
    sender, receiver
        Peak indices within the pixel: uint16, or uint32 in the wide form.
    senders
        How many messages of this kind the receiver has, which its mean divides by: uint8, or
        uint32 in the wide form.

    Notes
    -----
    The wide form serves pixels of more than 65536 peaks, or peaks with more than 255 senders of
    one kind.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.graph.messages import CompactMessages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2])])
    >>> graph = mg.build_graph(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> compact = CompactMessages.of(graph.messages())
    >>> compact.kind_offsets, compact.kind.tolist(), compact.sender.dtype
    (array([[0, 1, 2]], dtype=int32), [0, 1], dtype('uint16'))
    """

    offsets: NDArray[np.int64]
    kind_offsets: NDArray[np.int32]
    sender: NDArray[Any]
    receiver: NDArray[Any]
    senders: NDArray[Any]

    @property
    def n_kinds(self) -> int:
        """Number of message types."""
        return int(self.kind_offsets.shape[1]) - 1

    @property
    def wide(self) -> bool:
        """Whether peaks and counts are uint32."""
        return self.sender.dtype == np.uint32

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.offsets, self.kind_offsets, self.sender, self.receiver, self.senders)
        return sum(array.nbytes for array in arrays)

    def __getitem__(self, pixels: NDArray[np.int64]) -> CompactMessages:
        """Messages of these pixels, in this order."""
        rows, offsets = rows_of(self.offsets, pixels)
        return CompactMessages(
            offsets=offsets,
            kind_offsets=self.kind_offsets[pixels],
            sender=self.sender[rows],
            receiver=self.receiver[rows],
            senders=self.senders[rows],
        )

    @cached_property
    def kind(self) -> NDArray[np.uint16]:
        """Type of each message, as in `Messages`."""
        counts = np.diff(self.kind_offsets, axis=1)
        kinds = np.tile(np.arange(self.n_kinds, dtype=np.uint16), len(counts))
        return np.repeat(kinds, counts.ravel())

    @classmethod
    def of(cls, messages: Messages | CompactMessages) -> CompactMessages:
        """Compact form of messages; itself where it is compact."""
        if isinstance(messages, CompactMessages):
            return messages
        n_pixels, n_kinds = len(messages.offsets) - 1, messages.n_kinds
        pixel = np.repeat(np.arange(n_pixels), np.diff(messages.offsets))
        # Pixel and kind as one number, by which the messages ascend.
        place = pixel * n_kinds + messages.kind
        counts = np.bincount(place, minlength=n_pixels * n_kinds).reshape(n_pixels, n_kinds)
        kind_offsets = np.zeros((n_pixels, n_kinds + 1), dtype=np.int32)
        np.cumsum(counts, axis=1, out=kind_offsets[:, 1:])
        senders = _run_lengths(place, messages.receiver)
        # All columns in one form: the kernels are compiled for two, not for each mixture.
        wide = bool(
            senders.max(initial=0) > MOST_SENDERS
            or max(messages.sender.max(initial=0), messages.receiver.max(initial=0)) >= MOST_PEAKS
        )
        index, count = (np.uint32, np.uint32) if wide else (np.uint16, np.uint8)
        return cls(
            offsets=messages.offsets,
            kind_offsets=kind_offsets,
            sender=messages.sender.astype(index),
            receiver=messages.receiver.astype(index),
            senders=senders.astype(count),
        )

    @classmethod
    def none(cls, n_pixels: int) -> CompactMessages:
        """No messages, and no types of them."""
        nothing = np.empty(0, dtype=np.uint16)
        return cls(
            offsets=np.zeros(n_pixels + 1, dtype=np.int64),
            kind_offsets=np.zeros((n_pixels, 1), dtype=np.int32),
            sender=nothing,
            receiver=nothing,
            senders=np.empty(0, dtype=np.uint8),
        )

    @classmethod
    def concatenate(cls, parts: list[CompactMessages]) -> CompactMessages:
        """Join the pixels of several parts, in order; wide where one of them is."""
        # numpy widens the columns by itself where their types differ.
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            kind_offsets=np.concatenate([part.kind_offsets for part in parts]),
            sender=np.concatenate([part.sender for part in parts]),
            receiver=np.concatenate([part.receiver for part in parts]),
            senders=np.concatenate([part.senders for part in parts]),
        )


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenation of ``start : start + count``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.messages import ranges
    >>> ranges(np.array([7, 2]), np.array([3, 2]))
    array([7, 8, 9, 2, 3])
    """
    first = np.cumsum(counts) - counts
    found: NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(starts - first, counts)
    return found


def rows_of(
    offsets: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of these pixels, and the offsets that they have when put together.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.graph.messages import rows_of
    >>> rows_of(np.array([0, 2, 2, 5]), np.array([2, 0]))
    (array([2, 3, 4, 0, 1]), array([0, 3, 5]))
    """
    counts = np.diff(offsets)[pixels]
    return ranges(offsets[:-1][pixels], counts), np.concatenate(([0], np.cumsum(counts)))


def _run_lengths(place: NDArray[np.int64], receiver: NDArray[Any]) -> NDArray[np.int64]:
    """For each message the number of those with the same pixel, kind and receiver."""
    new = np.ones(len(place), dtype=bool)
    new[1:] = (place[1:] != place[:-1]) | (receiver[1:] != receiver[:-1])
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, len(place)))
    return np.repeat(lengths, lengths)
