"""Peak graphs: the peaks of a pixel joined where their m/z differ by a named relation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations
from massgraph.data.alignment import tolerance_in_da
from massgraph.data.sources import Pixels, in_memory
from massgraph.data.spectra import Spectra
from massgraph.graph.compiled import build_edges
from massgraph.graph.compiled import build_messages as build_compact
from massgraph.graph.messages import CompactMessages, Messages
from massgraph.graph.search import RULES, allowed_deviation, find_edges

if TYPE_CHECKING:
    from torch_geometric.data import Batch

__all__ = ["Graph", "build_graph", "build_messages", "check_tolerance"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Typed edges between the peaks of each pixel.

    Parameters
    ----------
    spectra
        The peaks that are the nodes.
    relations
        The relations that the codes name.
    edge_offsets
        int64, shape ``(n_pixels + 1,)``: edges of pixel ``i`` are
        ``edge_offsets[i]:edge_offsets[i + 1]``.
    source, target
        int32, shape ``(n_edges,)``: the lighter and the heavier peak, as indices within the pixel.
    relation
        uint16, shape ``(n_edges,)``: codes into `relations`.
    directed
        Whether a gain and a loss of the same difference are different message types.

    Notes
    -----
    Each edge is stored once, sorted by (pixel, source, relation, target).

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks([([300.0, 301.00335, 314.01565], [9, 2, 5])])
    >>> mg.build_graph(spectra, mg.relations_from_masses({"13C": 1.00335, "CH2": 14.01565}))
    Graph(1 pixels, 3 peaks, 2 edges (0.67 per peak), 2 relations)
    """

    spectra: Spectra
    relations: Relations
    edge_offsets: NDArray[np.int64]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    relation: NDArray[np.uint16]
    directed: bool = True

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return len(self.edge_offsets) - 1

    @property
    def n_edges(self) -> int:
        """Number of edges, each counted once."""
        return len(self.source)

    @property
    def node_offsets(self) -> NDArray[np.int64]:
        """The offsets of the spectra: nodes of each pixel, shape ``(n_pixels + 1,)``."""
        return self.spectra.offsets

    def __repr__(self) -> str:
        per_peak = self.n_edges / max(self.spectra.n_peaks, 1)
        return (
            f"Graph({self.n_pixels} pixels, {self.spectra.n_peaks} peaks, {self.n_edges} edges "
            f"({per_peak:.2f} per peak), {len(self.relations)} relations)"
        )

    def edges(self, pixel: int) -> pd.DataFrame:
        """Edges of one pixel.

        Returns
        -------
        pandas.DataFrame
            Columns `source`, `target` (peak indices), `relation` (name) and `error_ppm`, the
            deviation of the difference from the relation's mass in ppm of the heavier m/z.

        Raises
        ------
        IndexError
            Where there is no such pixel.
        """
        # A range knows negative places, and what is out of it.
        pixel = range(self.n_pixels)[pixel]
        rows = slice(self.edge_offsets[pixel], self.edge_offsets[pixel + 1])
        source, target, code = self.source[rows], self.target[rows], self.relation[rows]
        mz, _ = self.spectra.pixel(pixel)
        error = mz[target] - mz[source] - self.relations.masses[code]
        return pd.DataFrame(
            {
                "source": source,
                "target": target,
                "relation": np.asarray(self.relations.names, dtype=object)[code],
                "error_ppm": error / mz[target] * 1e6,
            }
        )

    def messages(self) -> Messages:
        """Both directions of every edge, in the order that the network reads them."""
        n = len(self.relations)
        pixel = np.tile(np.repeat(np.arange(self.n_pixels), np.diff(self.edge_offsets)), 2)
        sender = np.concatenate([self.source, self.target])
        receiver = np.concatenate([self.target, self.source])
        back = self.relation + np.uint16(n) if self.directed else self.relation
        kind = np.concatenate([self.relation, back])
        # By pixel, then kind, then receiver: a mean over one kind of senders is one run.
        order = np.lexsort((sender, receiver, kind, pixel))
        return Messages(
            offsets=self.edge_offsets * 2,
            sender=sender[order],
            receiver=receiver[order],
            kind=kind[order],
            n_kinds=2 * n if self.directed else n,
        )

    def to_pyg(self) -> Batch:
        """All pixels as one PyTorch Geometric ``Batch`` with one graph per pixel.

        Returns
        -------
        torch_geometric.data.Batch
            `mz` (float64) and `intensity` per node, `edge_index` and `edge_type` with both
            directions of each edge (loss types after the gain types where directed), `batch`,
            `ptr`; ``batch[i]`` and ``to_data_list()`` work.

        Raises
        ------
        ValueError
            Where there are no pixels.
        ImportError
            Where torch-geometric is not installed (``pip install massgraph[pyg]``).
        """
        if self.n_pixels == 0:
            msg = "a graph of no pixels cannot be a PyTorch Geometric Batch"
            raise InputError(msg)
        import torch
        from torch_geometric.data import Batch, Data

        messages = self.messages()
        # One Data to a pixel, which costs some time: only so can PyG take the batch apart again.
        graphs = []
        for pixel in range(self.n_pixels):
            rows = slice(messages.offsets[pixel], messages.offsets[pixel + 1])
            ends = np.stack([messages.sender[rows], messages.receiver[rows]]).astype(np.int64)
            mz, intensity = self.spectra.pixel(pixel)
            graphs.append(
                Data(
                    edge_index=torch.from_numpy(ends),
                    edge_type=torch.from_numpy(messages.kind[rows].astype(np.int64)),
                    mz=torch.from_numpy(mz.copy()),
                    intensity=torch.from_numpy(intensity.copy()),
                    num_nodes=len(mz),
                )
            )
        return Batch.from_data_list(graphs)


def build_graph(
    spectra: Pixels,
    relations: Relations,
    *,
    tolerance: float = 5.0,
    tolerance_unit: str = "ppm",
    rule: str = "intensity",
    directed: bool = True,
) -> Graph:
    """Join the peaks of each pixel by relations.

    For every peak i and relation r the candidates are the peaks t of the same pixel with
    ``|m_t - m_i - mass_r| <= tolerance``, bounds included; ppm are of the heavier peak's m/z.

    Parameters
    ----------
    spectra, relations
        The peaks, and the mass differences to look for. A source is read into memory as a whole.
    tolerance, tolerance_unit
        Largest deviation, in ``"ppm"`` or ``"Da"``.
    rule
        Which candidate is joined: ``"intensity"``, the most intense (ties: nearest in mass, then
        lower index); ``"nearest"``, the nearest in mass (ties: most intense, then lower index);
        ``"all"``, every one; ``"reference"``, the one of the largest mass defect ``m - ceil(m)``,
        which is what the published code does in place of the most intense (for parity only).
    directed
        Whether gains and losses of a relation are different message types. False is the published
        form.

    Returns
    -------
    Graph
        A pair of peaks that fits several relations carries an edge of each.

    Raises
    ------
    ValueError
        For an unknown rule, a tolerance that is not finite and above zero, or one that reaches
        half the smallest relation, where nearly everything would be joined.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks([([300.0, 301.00335, 314.01565], [9, 2, 5])])
    >>> relations = mg.relations_from_masses({"13C": 1.00335, "CH2": 14.01565})
    >>> graph = mg.build_graph(spectra, relations, tolerance=3.0)
    >>> graph.edges(0)[["source", "target", "relation"]]
       source  target relation
    0       0       1      13C
    1       0       2      CH2
    """
    spectra = in_memory(spectra)
    _check_rule(rule)
    check_tolerance(spectra, relations, tolerance, tolerance_unit)
    allowed = allowed_deviation(spectra.mz, tolerance, tolerance_unit)
    edges = build_edges(spectra, relations.masses, allowed, rule)
    if edges is None:
        edges = find_edges(spectra, relations, tolerance, tolerance_unit, rule)
    counts, source, target, relation = edges
    return Graph(
        spectra=spectra,
        relations=relations,
        edge_offsets=np.concatenate(([0], np.cumsum(counts))),
        source=source,
        target=target,
        relation=relation,
        directed=directed,
    )


def build_messages(
    spectra: Spectra,
    relations: Relations,
    *,
    tolerance: float = 5.0,
    tolerance_unit: str = "ppm",
    rule: str = "intensity",
    directed: bool = True,
) -> Messages | CompactMessages:
    """What ``build_graph(...).messages()`` gives, straight from the peaks where that can be done.

    Parameters and errors as for `build_graph`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.graph.builder import build_messages
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [9, 5])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> messages.sender.tolist(), messages.receiver.tolist(), messages.n_kinds
    ([0, 1], [1, 0], 2)
    """
    _check_rule(rule)
    check_tolerance(spectra, relations, tolerance, tolerance_unit)
    allowed = allowed_deviation(spectra.mz, tolerance, tolerance_unit)
    found = build_compact(spectra, relations.masses, allowed, rule, directed=directed)
    if found is not None:  # made without edges on the way
        return found
    edges = build_graph(
        spectra,
        relations,
        tolerance=tolerance,
        tolerance_unit=tolerance_unit,
        rule=rule,
        directed=directed,
    )
    return edges.messages()


def _check_rule(rule: str) -> None:
    if rule not in RULES:
        msg = f"rule {rule!r} is none of {tuple(RULES)}"
        raise InputError(msg)


def check_tolerance(spectra: Spectra, relations: Relations, tolerance: float, unit: str) -> None:
    """Refuse a tolerance that would take one relation for another; InputError says how wide it is.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.graph.builder import check_tolerance
    >>> spectra = mg.Spectra.from_peaks([([300.0], [1.0])])
    >>> check_tolerance(spectra, mg.default_relations("positive"), 5.0, "ppm")
    """
    # ppm are widest at the heaviest peak; where there is none, at what spectra usually end with.
    heaviest = spectra.mz.max() if spectra.n_peaks else 1000.0
    widest = float(tolerance_in_da(np.array([heaviest]), tolerance, unit)[0])
    if widest >= relations.masses.min() / 2:
        msg = (
            f"tolerance {tolerance} {unit} is {widest:.4g} Da at m/z {heaviest:.1f}, half the "
            f"smallest relation ({relations.masses.min():.4g} Da) or more: choose a smaller one"
        )
        raise InputError(msg)
