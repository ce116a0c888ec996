"""Sums over the ions of labelled pixels, and what is usual of them: all that needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from massgraph.data.sources import batches
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.nn.sums import IonSums

__all__ = ["SumTable", "SumTables", "learn_sums"]


@dataclass(frozen=True, eq=False)
class SumTable:
    """What `IonSums` gives of some pixels, as matrices of shape ``(n_pixels, n_groups)``.

    Parameters
    ----------
    share, weight, deviation
        As of `massgraph.nn.sums.Sums`; deviations of two kinds.

    Examples
    --------
    See `learn_sums`.
    """

    share: sp.csr_matrix
    weight: sp.csr_matrix
    deviation: tuple[sp.csr_matrix, sp.csr_matrix]


@dataclass(frozen=True, eq=False)
class SumTables:
    """What `learn_sums` returns.

    Parameters
    ----------
    sums
        With what is usual.
    measured
        Of the pixels as measured.
    weakest_lost
        Of the same pixels without their weakest nodes, level by level.

    Examples
    --------
    See `learn_sums`.
    """

    sums: IonSums
    measured: SumTable
    weakest_lost: tuple[SumTable, ...]


def learn_sums(
    graphs: PeakGraphs,
    weakest_lost: Sequence[PeakGraphs],
    level: NDArray[np.float64],
    group: NDArray[np.int64],
) -> SumTables:
    """Add up the ions of pixels, and learn what is usual.

    Parameters
    ----------
    graphs, weakest_lost
        The encoded pixels, and the same without their weakest nodes, to several levels.
    level, group
        Usual intensity of each ion, in the unit of the encoder, and its group, ``(n_ions,)``.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.amounts import molecule_groups
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.sums import learn_sums
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> settings, axis = resolve_settings("default", "positive", {}), learn_axis(spectra)
    >>> graphs = PeakEncoder.learn(spectra, settings, axis).encode(spectra)
    >>> molecule = molecule_groups(axis, settings.relations)
    >>> tables = learn_sums(graphs, (), np.exp(axis.level), molecule)
    >>> tables.measured.share.shape == (spectra.n_pixels, molecule.max() + 1)
    True
    >>> bool(np.allclose(tables.measured.share.sum(axis=1), 1))
    True
    """
    sums = IonSums(len(level))
    if len(level):
        sums.level.copy_(torch.from_numpy(level))
        sums.group.copy_(torch.from_numpy(group))
    _set_usual(sums, graphs)
    return SumTables(sums, _table(sums, graphs), tuple(_table(sums, one) for one in weakest_lost))


def _table(sums: IonSums, graphs: PeakGraphs) -> SumTable:
    columns = []
    n_groups = int(sums.group.max()) + 1
    for batch in _batches(graphs):
        found = sums(batch)
        place = found.pixel.numpy(), found.group.numpy()
        values = (found.share, found.weight, *found.deviation.unbind(dim=1))
        shape = batch.n_pixels, n_groups
        columns.append([sp.csr_matrix((one.numpy(), place), shape=shape) for one in values])
    parts = [sp.vstack(one, format="csr") for one in zip(*columns, strict=True)]
    return SumTable(parts[0], parts[1], (parts[2], parts[3]))


def _set_usual(sums: IonSums, graphs: PeakGraphs) -> None:
    """Set the mean amounts of each group in the pixels that have it."""
    n = len(sums.level)
    total, weight = np.zeros((2, n)), np.zeros(n)
    for batch in _batches(graphs):
        found = sums.amounts(batch)
        group, there = found.group.numpy(), found.weight.numpy()
        weight += np.bincount(group, there, n)
        for kind, values in enumerate(found.deviation.numpy().T):
            total[kind] += np.bincount(group, there * values, n)
    sums.usual.copy_(torch.from_numpy(total / np.maximum(weight, 1e-12)))


def _batches(graphs: PeakGraphs) -> list[PeakBatch]:
    rows = np.arange(len(graphs))
    return [graphs.batch(rows[block], edges="none") for block in batches(graphs.offsets)]
