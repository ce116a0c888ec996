"""Relations between ions: the edges of all pixels, summed up on the common axis."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.data.spectra import Spectra

__all__ = ["IonGraph", "build_ion_network"]

# Work is done in pieces of about this many edges, or bytes of presence bits.
CHUNK_EDGES = 1 << 20
CHUNK_BYTES = 1 << 24

# A table of the bits in each byte: numpy counts bits only from version 2 on.
POPCOUNT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)


class IonGraph(Protocol):
    """The part of `massgraph.graph.builder.Graph` that is needed here.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.explain.ion_network import IonGraph
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> graph: IonGraph = mg.build_graph(spectra, mg.default_relations("positive"))
    >>> len(graph.source) == len(graph.target) == len(graph.relation)
    True
    """

    @property
    def spectra(self) -> Spectra:
        """The peaks, which are the nodes."""

    @property
    def relations(self) -> Relations:
        """The relations that the codes stand for."""

    @property
    def edge_offsets(self) -> NDArray[np.int64]:
        """Where the edges of each pixel begin and end."""

    @property
    def source(self) -> NDArray[np.int32]:
        """The lighter peak of each edge."""

    @property
    def target(self) -> NDArray[np.int32]:
        """The heavier peak of each edge."""

    @property
    def relation(self) -> NDArray[np.uint16]:
        """Code of each edge."""


def build_ion_network(ion: NDArray[np.int64], graph: IonGraph) -> pd.DataFrame:
    """Sum up the edges of all pixels as relations between ions.

    Parameters
    ----------
    ion
        Ion of each peak on the common axis, int64, shape ``(n_peaks,)``, as `Spectra.align` gives.
    graph
        The graph of the same spectra.

    Returns
    -------
    pandas.DataFrame
        One row per pair of ions and relation, sorted by (`source`, `target`, `relation`):

        - `source`, `target`: the lighter and the heavier ion, as indices on the axis;
        - `relation`: its code into ``graph.relations``;
        - `n_drawn`: pixels in which the edge is drawn; `n_together`: pixels that hold both ions;
        - `frequency`: ``n_drawn / n_together``, in (0, 1];
        - `intensity_ratio`: intensity of `target` over that of `source`, each summed over all
          pixels; too low where `target` is often too weak to be seen;
        - `drawn_ratio`: the same, summed over the pixels in which it is drawn; too high there.

    Raises
    ------
    ValueError
        Where `ion` does not have one value, of at least zero, per peak.

    Examples
    --------
    An ion and its sodium adduct, of which two of three pixels show both:

    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.explain.ion_network import build_ion_network
    >>> both, one = ([760.5851, 782.5670], [2.0, 1.0]), ([760.5851], [2.0])
    >>> spectra = mg.Spectra.from_peaks([both, both, one])
    >>> graph = mg.build_graph(spectra, mg.default_relations("positive"))
    >>> table = build_ion_network(np.array([0, 1, 0, 1, 0]), graph)
    >>> graph.relations.names[table.loc[0, "relation"]], int(table.loc[0, "n_together"])
    ('Na-H', 2)
    """
    spectra = graph.spectra
    ion = np.asarray(ion)
    if ion.shape != (spectra.n_peaks,) or (ion.size and ion.min() < 0):
        msg = f"ion must hold an index per peak: shape {ion.shape} for {spectra.n_peaks} peaks"
        raise ValueError(msg)
    n_ions = int(ion.max()) + 1 if ion.size else 0
    pairs, n_drawn, drawn = _sum_edges(ion.astype(np.int64), graph, n_ions)
    n_together = _count_together(ion, spectra, pairs[:, 0], pairs[:, 1])
    total = np.bincount(ion, weights=spectra.intensity, minlength=n_ions)
    return pd.DataFrame(
        {
            "source": pairs[:, 0],
            "target": pairs[:, 1],
            "relation": pairs[:, 2],
            "n_drawn": n_drawn,
            "n_together": n_together,
            "frequency": n_drawn / n_together,  # never of zero: an edge needs both ions
            "intensity_ratio": total[pairs[:, 1]] / total[pairs[:, 0]],
            "drawn_ratio": drawn[:, 1] / drawn[:, 0],
        }
    )


def _sum_edges(
    ion: NDArray[np.int64], graph: IonGraph, n_ions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Sum up the edges by (source, target, relation).

    Returns
    -------
    keys
        Source, target and relation, shape ``(n, 3)``.
    n_drawn
        Number of pixels with each, shape ``(n,)``.
    intensity
        Intensities of the sources and of the targets, summed over pixels, shape ``(n, 2)``.
    """
    blocks: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    current = _ion_current(ion, graph.spectra)
    start, n_pixels = 0, len(graph.edge_offsets) - 1
    while start < n_pixels:
        limit = graph.edge_offsets[start] + CHUNK_EDGES
        stop = int(np.searchsorted(graph.edge_offsets, limit, side="right")) - 1
        stop = min(max(stop, start + 1), n_pixels)
        blocks.append(_sum_block(ion, current, graph, n_ions, start, stop))
        start = stop
    keys = np.concatenate([np.empty(0, np.int64), *(key for key, _ in blocks)])
    sums = np.concatenate([np.empty((0, 3)), *(values for _, values in blocks)])
    unique, inverse = np.unique(keys, return_inverse=True)
    total = _sum_by(inverse, sums, unique.size)
    pair, relation = np.divmod(unique, len(graph.relations))
    source, target = np.divmod(pair, max(n_ions, 1))
    return np.stack([source, target, relation], axis=1), total[:, 0].astype(np.int64), total[:, 1:]


def _ion_current(ion: NDArray[np.int64], spectra: Spectra) -> NDArray[np.float64]:
    """Intensity of each peak's ion in its pixel: of all peaks that the pixel has of it.

    Ion mobility gives an ion several peaks of one m/z, and each of them may have edges.
    """
    key = spectra.pixel_of_peak * (int(ion.max(initial=0)) + 1) + ion
    order = np.argsort(key, kind="stable")  # in no time: peaks and ions ascend together
    group = np.empty(key.size, dtype=np.int64)
    group[order] = np.cumsum(np.diff(key[order], prepend=-1) != 0) - 1
    return np.bincount(group, weights=spectra.intensity)[group].astype(np.float64)


def _sum_block(
    ion: NDArray[np.int64],
    current: NDArray[np.float64],
    graph: IonGraph,
    n_ions: int,
    start: int,
    stop: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keys of (source, target, relation) in some pixels; pixels and intensities of each."""
    offsets, spectra = graph.edge_offsets, graph.spectra
    rows = slice(offsets[start], offsets[stop])
    pixel = np.repeat(np.arange(start, stop), np.diff(offsets[start : stop + 1]))
    ends = spectra.offsets[pixel] + np.stack([graph.source[rows], graph.target[rows]])
    source, target = ion[ends]
    key = (source * n_ions + target) * len(graph.relations) + graph.relation[rows]
    # Edges come by pixel, so a stable sort by key leaves the pixels of each key in order; several
    # peaks of a pixel at one ion count once. An edge within one ion is no relation of ions.
    order = np.argsort(key, kind="stable")
    order = order[(source != target)[order]]
    key, pixel = key[order], pixel[order]
    new = np.ones(key.size, dtype=bool)
    new[1:] = (key[1:] != key[:-1]) | (pixel[1:] != pixel[:-1])
    unique, inverse = np.unique(key, return_inverse=True)
    values = np.stack([new, *(new * current[ends[:, order]])], axis=1)
    return unique, _sum_by(inverse, values.astype(np.float64), unique.size)


def _sum_by(
    group: NDArray[np.int64], values: NDArray[np.float64], n_groups: int
) -> NDArray[np.float64]:
    """Sum rows by group, shape ``(n_groups, n_columns)``."""
    columns = [np.bincount(group, weights=column, minlength=n_groups) for column in values.T]
    return np.stack(columns, axis=1)


def _count_together(
    ion: NDArray[np.int64],
    spectra: Spectra,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Pixels that hold both ions of each pair.

    Presence is one bit per ion and pixel, a block of pixels at a time: the product of the presence
    matrix with itself would hold all pairs, asked for or not.
    """
    used, place = np.unique(np.concatenate([source, target]), return_inverse=True)
    together = np.zeros(source.size, dtype=np.int64)
    if used.size == 0:
        return together
    row = np.full(int(ion.max()) + 1, -1)
    row[used] = np.arange(used.size)
    left, right = place[: source.size], place[source.size :]
    # Whole bytes of pixels, few enough that the presence of all ions fits into a piece.
    width = max(8, min(CHUNK_BYTES // used.size, 1 << 15) // 8 * 8)
    step = max(1, CHUNK_BYTES * 8 // width)
    for start in range(0, spectra.n_pixels, width):
        stop = min(start + width, spectra.n_pixels)
        peaks = slice(spectra.offsets[start], spectra.offsets[stop])
        pixel = np.repeat(np.arange(stop - start), spectra.peak_counts[start:stop])
        rows = row[ion[peaks]]
        present = np.zeros((used.size, width), dtype=bool)
        present[rows[rows >= 0], pixel[rows >= 0]] = True
        bits = np.packbits(present, axis=1)
        for at in range(0, source.size, step):
            some = slice(at, at + step)
            both = bits[left[some]] & bits[right[some]]
            together[some] += POPCOUNT[both].sum(axis=1, dtype=np.int64)
    return together
