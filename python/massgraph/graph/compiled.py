"""Edges and messages of many pixels through the compiled builder."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.threads import n_threads
from massgraph.data.spectra import Spectra
from massgraph.graph.messages import MOST_PEAKS, CompactMessages
from massgraph.native.library import address, library

__all__ = ["build_edges", "build_messages"]

# As enum Rule in searcher.h.
RULE_CODES = {"intensity": 0, "nearest": 1, "all": 2, "reference": 3}


def build_edges(
    spectra: Spectra, masses: NDArray[np.float64], allowed: NDArray[np.float64], rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]] | None:
    """Edges sorted by (pixel, source, relation, target); None without the compiled library.

    Parameters
    ----------
    spectra, masses, rule
        As for `massgraph.build_graph`.
    allowed
        Largest deviation where a peak is the heavier one, in Da, shape ``(n_peaks,)``.

    Returns
    -------
    tuple
        Edges per pixel, source, target and relation code, as in `massgraph.Graph`.

    Raises
    ------
    MemoryError
        Where the edges do not fit.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.graph.compiled import build_edges
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [9, 5])])
    >>> found = build_edges(spectra, np.array([14.01565]), np.full(2, 0.001), "nearest")
    >>> found is None or [column.tolist() for column in found] == [[1], [0], [1], [0]]
    True
    """
    loaded = library()
    if loaded is None:
        return None
    counts = np.zeros(spectra.n_pixels, dtype=np.int64)
    handle = loaded.mg_build_edges(
        *_searched(spectra, masses, allowed, rule), address(counts), n_threads()
    )
    _check_memory(handle)
    # How many there are is known only now: the library holds them until they are copied.
    try:
        n = int(counts.sum())
        source, target = np.empty((2, n), dtype=np.int32)
        relation = np.empty(n, dtype=np.uint16)
        loaded.mg_copy_edges(handle, address(source), address(target), address(relation))
    finally:
        loaded.mg_free_edges(handle)
    return counts, source, target, relation


def build_messages(
    spectra: Spectra,
    masses: NDArray[np.float64],
    allowed: NDArray[np.float64],
    rule: str,
    *,
    directed: bool,
) -> CompactMessages | None:
    """Messages straight from peaks; None without the compiled library.

    Parameters and errors as for `build_edges`; `directed` as for `massgraph.build_graph`.

    Examples
    --------
    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.graph.compiled import build_messages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [9, 5])])
    >>> arguments = spectra, np.array([14.01565]), np.full(2, 0.001), "nearest"
    >>> found = build_messages(*arguments, directed=False)
    >>> found is None or (found.n_kinds, found.sender.tolist()) == (1, [1, 0])
    True
    """
    if library() is None:
        return None
    arguments = (*_searched(spectra, masses, allowed, rule), int(directed))
    n_kinds = masses.size * (2 if directed else 1)
    if int(spectra.peak_counts.max(initial=0)) <= MOST_PEAKS:
        messages = _messages(spectra.n_pixels, n_kinds, arguments, wide=False)
        if messages is not None:
            return messages
    return _messages(spectra.n_pixels, n_kinds, arguments, wide=True)


def _searched(
    spectra: Spectra, masses: NDArray[np.float64], allowed: NDArray[np.float64], rule: str
) -> tuple[Any, ...]:
    """The arguments that both builders share."""
    return (
        address(spectra.mz),
        address(spectra.intensity),
        address(allowed),
        address(spectra.offsets),
        spectra.n_pixels,
        address(masses),
        masses.size,
        RULE_CODES[rule],
    )


def _messages(
    n_pixels: int, n_kinds: int, arguments: tuple[Any, ...], *, wide: bool
) -> CompactMessages | None:
    """None where a peak has too many senders for the narrow form."""
    loaded = library()
    if loaded is None:
        return None
    kind_offsets = np.zeros((n_pixels, n_kinds + 1), dtype=np.int32)
    counts = np.zeros(n_pixels, dtype=np.int64)
    handle = loaded.mg_build_messages(
        *arguments, int(wide), address(kind_offsets), address(counts), n_threads()
    )
    _check_memory(handle)
    try:
        # A count of 8 bits may have run over: the wide form starts again.
        if loaded.mg_messages_too_many(handle):
            return None
        n = loaded.mg_messages_size(handle)
        index, count = (np.uint32, np.uint32) if wide else (np.uint16, np.uint8)
        sender, receiver = np.empty((2, n), dtype=index)
        senders = np.empty(n, dtype=count)
        loaded.mg_copy_messages(handle, address(sender), address(receiver), address(senders))
    finally:
        loaded.mg_free_messages(handle)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return CompactMessages(offsets, kind_offsets, sender, receiver, senders)


def _check_memory(handle: Any) -> None:
    # Null is all that is heard of an exception in C++.
    if not handle:
        msg = "the edges of these pixels do not fit into memory: use a smaller tolerance"
        raise MemoryError(msg)
