"""Peak graphs: the peaks of a pixel joined where their m/z differ by a named relation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    from torch_geometric.data import Batch

__all__ = ["RULES", "Graph", "Messages", "build_graph", "build_messages", "fitting_pairs"]

# Decimal m/z and tolerances are not exact in binary: 0.001 + this is what "within 0.001" means.
SLACK_DA = 1e-9

# Pixels are searched together in blocks: the m/z of pixel k of a block are moved up by k * STRIDE.
BLOCK_PEAKS = 1 << 18
BLOCK_PIXELS = 1 << 12


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
    """
    spectra = in_memory(spectra)
    _check_rule(rule)
    _check_tolerance(spectra, relations, tolerance, tolerance_unit)
    allowed = _allowed(spectra.mz, tolerance, tolerance_unit)
    edges = build_edges(spectra, relations.masses, allowed, rule)
    if edges is None:
        edges = _slow_edges(spectra, relations, tolerance, tolerance_unit, rule)
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
    """
    _check_rule(rule)
    _check_tolerance(spectra, relations, tolerance, tolerance_unit)
    allowed = _allowed(spectra.mz, tolerance, tolerance_unit)
    found = build_compact(spectra, relations.masses, allowed, rule, directed=directed)
    if found is not None:
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


def _allowed(mz: NDArray[np.float64], tolerance: float, unit: str) -> NDArray[np.float64]:
    """Largest deviation of an edge to each peak, in Da; the heavier peak's m/z counts."""
    return tolerance_in_da(mz, tolerance, unit) + SLACK_DA


def _slow_edges(
    spectra: Spectra, relations: Relations, tolerance: float, unit: str, rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]:
    """Edges per pixel, source, target and relation in numpy: where nothing is compiled."""
    counts = np.zeros(spectra.n_pixels, dtype=np.int64)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start, stop in _blocks(spectra):
        block = spectra[start:stop]
        edges = _block_edges(block, relations, tolerance, unit, RULES[rule])
        pixel, source, target, code = edges
        counts[start:stop] = np.bincount(pixel, minlength=stop - start)
        first = block.offsets[pixel]
        parts.append(
            (
                (source - first).astype(np.int32),
                (target - first).astype(np.int32),
                code.astype(np.uint16),
            )
        )
    empty = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint16))
    source, target, relation = zip(empty, *parts, strict=True)
    return counts, np.concatenate(source), np.concatenate(target), np.concatenate(relation)


def _check_tolerance(spectra: Spectra, relations: Relations, tolerance: float, unit: str) -> None:
    heaviest = spectra.mz.max() if spectra.n_peaks else 1000.0
    widest = float(tolerance_in_da(np.array([heaviest]), tolerance, unit)[0])
    if widest >= relations.masses.min() / 2:
        msg = (
            f"tolerance {tolerance} {unit} is {widest:.4g} Da at m/z {heaviest:.1f}, half the "
            f"smallest relation ({relations.masses.min():.4g} Da) or more: choose a smaller one"
        )
        raise InputError(msg)


def _blocks(spectra: Spectra) -> Iterator[tuple[int, int]]:
    """Pixel ranges of bounded numbers of peaks and pixels."""
    start = 0
    while start < spectra.n_pixels:
        limit = spectra.offsets[start] + BLOCK_PEAKS
        stop = int(np.searchsorted(spectra.offsets, limit, side="right")) - 1
        stop = min(max(stop, start + 1), start + BLOCK_PIXELS, spectra.n_pixels)
        yield start, stop
        start = stop


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def _block_edges(
    block: Spectra, relations: Relations, tolerance: float, unit: str, choose: Choice
) -> Columns:
    """Pixel, source, target (indices into the block's peaks) and relation code of all edges."""
    mz = block.mz
    if mz.size == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing, nothing
    pixel = block.pixel_of_peak
    stride = float(np.ceil(mz.max() + relations.masses.max() + 2))
    key = mz + pixel * stride
    found = [fitting_pairs(mz, key, mass, tolerance, unit) for mass in relations.masses.tolist()]
    source = np.concatenate([one[0] for one in found])
    target = np.concatenate([one[1] for one in found])
    code = np.repeat(np.arange(len(relations)), [one[0].size for one in found])
    error = np.abs(mz[target] - mz[source] - relations.masses[code])
    order = choose(Candidates(source, target, code, error, mz[target], block.intensity[target]))
    source, target, code = source[order], target[order], code[order]
    return pixel[source], source, target, code


def fitting_pairs(
    mz: NDArray[np.float64],
    key: NDArray[np.float64],
    mass: float,
    tolerance: float,
    unit: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of peaks that fit one relation; `key` is the m/z, moved up from pixel to pixel."""
    # The search is a little too wide (moving m/z up costs digits, and ppm are of the heavier peak,
    # not yet known); the test at the end is exact.
    wide = tolerance_in_da(mz + mass, tolerance, unit) * 1.05 + np.spacing(key[-1]) * 4 + SLACK_DA
    low = np.searchsorted(key, key + (mass - wide), side="left")
    high = key + (mass + wide)
    hit = np.flatnonzero((low < key.size) & (key[np.minimum(low, key.size - 1)] <= high))
    low = low[hit]
    width = np.searchsorted(key, high[hit], side="right") - low
    source = np.repeat(hit, width)
    first = np.cumsum(width) - width
    target = np.arange(width.sum()) - np.repeat(first - low, width)
    allowed = _allowed(mz[target], tolerance, unit)
    fits = np.abs(mz[target] - mz[source] - mass) <= allowed
    return source[fits], target[fits]


class Candidates(NamedTuple):
    """Pairs of peaks that fit a relation, and what a rule may look at.

    `error` is the deviation from the relation's mass in Da; `mz` and `intensity` are the target's.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    code: NDArray[np.int64]
    error: NDArray[np.float64]
    mz: NDArray[np.float64]
    intensity: NDArray[np.float32]


# A rule gives the candidates that are joined, ordered by (source, relation, target).
Choice = Callable[[Candidates], NDArray[np.int64]]


def _first(candidates: Candidates, *preference: NDArray[Any]) -> NDArray[np.int64]:
    """First candidate of each (source, relation); preferences go from most to least important.

    Ties go to the lower index.
    """
    source, code = candidates.source, candidates.code
    order = np.lexsort((candidates.target, *reversed(preference), code, source))
    new = np.ones(order.size, dtype=bool)
    same_source = source[order][1:] == source[order][:-1]
    new[1:] = ~(same_source & (code[order][1:] == code[order][:-1]))
    return order[new]


def _most_intense(candidates: Candidates) -> NDArray[np.int64]:
    return _first(candidates, -candidates.intensity, candidates.error)


def _nearest(candidates: Candidates) -> NDArray[np.int64]:
    return _first(candidates, candidates.error, -candidates.intensity)


def _all(candidates: Candidates) -> NDArray[np.int64]:
    return np.lexsort((candidates.target, candidates.code, candidates.source))


def _largest_mass_defect(candidates: Candidates) -> NDArray[np.int64]:
    return _first(candidates, np.ceil(candidates.mz) - candidates.mz)


RULES: dict[str, Choice] = {
    "intensity": _most_intense,
    "nearest": _nearest,
    "all": _all,
    "reference": _largest_mass_defect,
}
