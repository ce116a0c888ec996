"""Sums over the ions of labelled pixels, and what is usual of them: all that needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.data.sources import batches
from massgraph.graph.batch import PeakGraphs
from massgraph.graph.messages import rows_of
from massgraph.nn.sums import IonSums, Sums

__all__ = ["SumTable", "SumTables", "learn_sums"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SumTable:
    """What `IonSums` gives of some pixels, pixel by pixel.

    Parameters
    ----------
    offsets
        int64, shape ``(n_pixels + 1,)``: sums of each pixel.
    n_groups
        Number of groups of ions.
    group, share, weight, deviation
        As of `massgraph.nn.sums.Sums`.

    Examples
    --------
    See `learn_sums`.
    """

    offsets: NDArray[np.int64]
    n_groups: int
    group: NDArray[np.int64]
    share: Floats
    weight: Floats
    deviation: Floats

    def of(self, pixels: NDArray[np.int64]) -> SumTable:
        """The sums of these pixels, in this order; one may occur more than once."""
        rows, offsets = rows_of(self.offsets, pixels)
        share, weight, deviation = self.share[rows], self.weight[rows], self.deviation[rows]
        return SumTable(offsets, self.n_groups, self.group[rows], share, weight, deviation)

    def dense(self, values: Floats) -> Floats:
        """Values of the sums as a matrix of pixels and groups, zero where there is no sum."""
        found = np.zeros((len(self.offsets) - 1, self.n_groups))
        found[np.repeat(np.arange(len(found)), np.diff(self.offsets)), self.group] = values
        return found


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
    level: Floats,
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
    >>> shares = tables.measured.dense(tables.measured.share)
    >>> shares.shape == (spectra.n_pixels, molecule.max() + 1)
    True
    >>> bool(np.allclose(shares.sum(axis=1), 1))
    True
    """
    sums = IonSums(len(level))
    if len(level):
        sums.level.copy_(torch.from_numpy(level))
        sums.group.copy_(torch.from_numpy(group))
    measured = _amounts(sums, graphs)
    _set_usual(sums, measured)
    lost = (_amounts(sums, one) for one in weakest_lost)
    return SumTables(sums, _table(sums, measured), tuple(_table(sums, one) for one in lost))


def _amounts(sums: IonSums, graphs: PeakGraphs) -> list[tuple[Sums, int]]:
    """Sums of batches whose deviations are the amounts themselves, and their numbers of pixels."""
    rows = np.arange(len(graphs))
    return [
        (sums.amounts(graphs.batch(rows[block], edges="none")), block.stop - block.start)
        for block in batches(graphs.offsets)
    ]


def _table(sums: IonSums, amounts: list[tuple[Sums, int]]) -> SumTable:
    every = [sums.deviating(found, n) for found, n in amounts]
    counts = [
        np.bincount(found.pixel.numpy(), minlength=n)
        for found, (_, n) in zip(every, amounts, strict=True)
    ]
    columns = [
        torch.cat([getattr(found, name) for found in every]).numpy()
        for name in ("group", "share", "weight", "deviation")
    ]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return SumTable(offsets, int(sums.group.max()) + 1, *columns)


def _set_usual(sums: IonSums, amounts: list[tuple[Sums, int]]) -> None:
    """Set the mean amounts of each group in the pixels that have it."""
    n = len(sums.level)
    total, weight = np.zeros((2, n)), np.zeros(n)
    for found, _ in amounts:
        group, there = found.group.numpy(), found.weight.numpy()
        weight += np.bincount(group, there, n)
        for kind, values in enumerate(found.deviation.numpy().T):
            total[kind] += np.bincount(group, there * values, n)
    sums.usual.copy_(torch.from_numpy(total / np.maximum(weight, 1e-12)))
