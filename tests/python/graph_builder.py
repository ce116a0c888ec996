"""Random peak graphs, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike

from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.messages import Messages


def random_batch(
    seed: int,
    counts: ArrayLike,
    n_features: int,
    n_kinds: int,
    *,
    n_messages: Callable[[int], int] = lambda n: 4 * n,
    dtype: torch.dtype = torch.float32,
) -> PeakBatch:
    """Random graphs with pixels of these numbers of peaks; a single peak may send to itself."""
    graphs = random_graphs(seed, counts, n_features, n_kinds, n_messages=n_messages)
    return cast(graphs.batch(np.arange(len(graphs))), dtype)


def random_graphs(
    seed: int,
    counts: ArrayLike,
    n_features: int,
    n_kinds: int,
    *,
    n_messages: Callable[[int], int] = lambda n: 4 * n,
) -> PeakGraphs:
    """Random features and messages; few receivers per type, so that many have several senders."""
    rng = np.random.default_rng(seed)
    counts = np.asarray(counts, dtype=np.int64)
    columns: list[np.ndarray] = []
    for pixel, n in enumerate(counts.tolist()):
        m = n_messages(n) if n else 0
        rows = np.column_stack(
            [
                np.full(m, pixel),
                rng.integers(0, n_kinds, m),
                rng.integers(0, max(n // 2, 1), m),
                rng.integers(0, max(n, 1), m),
            ]
        )
        columns.append(np.unique(rows, axis=0))  # sorted by (pixel, kind, receiver, sender)
    table = np.concatenate([*columns, np.empty((0, 4), dtype=np.int64)])
    messages = Messages(
        offsets=np.concatenate(([0], np.cumsum(np.bincount(table[:, 0], minlength=counts.size)))),
        sender=table[:, 3].astype(np.int32),
        receiver=table[:, 2].astype(np.int32),
        kind=table[:, 1].astype(np.uint16),
        n_kinds=n_kinds,
    )
    features = rng.normal(size=(counts.sum(), n_features)).astype(np.float32)
    return PeakGraphs(features, np.concatenate(([0], np.cumsum(counts))), messages)


def cast(batch: PeakBatch, dtype: torch.dtype) -> PeakBatch:
    """Same batch with features of another type."""
    return PeakBatch(batch.features.to(dtype), batch.pixel, batch.counts, batch.messages)
