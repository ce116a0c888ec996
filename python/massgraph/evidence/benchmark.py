"""How fast it is here: beside PyTorch Geometric, plain builders, and the processor's own limit.

All rivals run in turn in one process on pinned threads; figures are medians of processor time, so
that the ratios hold on a machine that is shared.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch.nn.functional import cross_entropy

from massgraph._util.files import atomic_directory
from massgraph._util.threads import lent_generator
from massgraph.chem.relations import Relations, relations_from_masses
from massgraph.data.spectra import Spectra
from massgraph.evidence.rivals import PygNetwork, bisecting_edges, searchsorted_edges
from massgraph.graph.batch import PeakGraphs
from massgraph.graph.builder import build_graph, build_messages
from massgraph.graph.messages import CompactMessages
from massgraph.native.library import library
from massgraph.nn.rgcn import RGCN
from massgraph.versions import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Plan", "benchmark", "lattice_relations", "lattice_spectra", "plot_cost"]

# CH2, H2, 13C, O, Na - H and K - H: what lipids of one image differ by.
STEPS = np.array([14.01565006, 2.01565006, 1.00335484, 15.99491462, 21.98194425, 37.95588165])
TOLERANCE_DA = 0.001  # the smallest that the published network was used with
GRAPH_PIXELS = 64  # as many as are built at once in training; the call itself costs nothing then
CPU = torch.device("cpu")
STYLES: dict[str, Literal[":", "--", "-"]] = {"RGCNConv": ":", "torch": "--", "native": "-"}


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Parameters
    ----------
    relations, peaks
        Numbers of relations, and of peaks per pixel.
    pixels
        Pixels per batch.
    repeats
        How often each rival runs; figures are medians.

    Examples
    --------
    >>> from massgraph.evidence.benchmark import Plan
    >>> Plan(relations=(30,), pixels=8).peaks
    (250, 500, 1000, 1400)
    """

    relations: tuple[int, ...] = (10, 20, 30, 60)
    peaks: tuple[int, ...] = (250, 500, 1000, 1400)
    pixels: int = 64
    repeats: int = 7

    @classmethod
    def quick(cls) -> Plan:
        """Make a plan that takes less than a minute on one core."""
        return cls(relations=(20, 30, 60), peaks=(1000,), pixels=8, repeats=2)


# -------------------------------------------------------------------- what is measured on


def lattice_relations(n: int) -> Relations:
    """Give the `n` simplest mass differences that are whole numbers of a few steps.

    Examples
    --------
    >>> from massgraph.evidence.benchmark import lattice_relations
    >>> len(lattice_relations(10))
    10
    """
    ranges = (range(5), range(-3, 4), range(3), range(-1, 2), range(2), range(2))
    steps = np.array(list(product(*ranges)))
    masses = steps @ STEPS
    chosen: list[float] = []
    for mass in masses[np.lexsort((masses, np.abs(steps).sum(axis=1)))].tolist():
        # Two masses within one window would join the same pairs of peaks.
        if mass > 0.9 and all(abs(mass - other) > 4 * TOLERANCE_DA for other in chosen):
            chosen.append(mass)
    return relations_from_masses({f"r{i}": mass for i, mass in enumerate(sorted(chosen[:n]))})


def lattice_spectra(
    n_pixels: int, n_peaks: int, *, aligned: bool = False, seed: int = 0
) -> Spectra:
    """Pixels whose peaks lie on two lattices of homologous ions, as lipids do.

    The m/z of ragged pixels scatter by 0.2 mDa; aligned pixels share their axis.

    Examples
    --------
    >>> from massgraph.evidence.benchmark import lattice_spectra
    >>> lattice_spectra(2, 50).peak_counts.tolist()
    [50, 50]
    """
    rng = np.random.default_rng(seed)
    size = max(int(1.5 * n_peaks), 10)
    highest = np.array([8, 5, 3, 3, 2, 2])
    places = rng.integers(0, highest, size=(size, 6)) @ STEPS
    pool = np.unique(np.round(places + rng.choice(rng.uniform(400, 700, 2), size), 3))
    while pool.size < n_peaks:
        pool = np.unique(np.append(pool, np.round(rng.uniform(200, 1400, n_peaks), 3)))
    scatter = 0.0 if aligned else 2e-4
    peaks = []
    for _ in range(n_pixels):
        mz = np.sort(rng.choice(pool, n_peaks, replace=False) + rng.normal(0, scatter, n_peaks))
        peaks.append((mz, rng.lognormal(size=n_peaks)))
    return Spectra.from_peaks(peaks)


def _options(*, directed: bool = False) -> dict[str, Any]:
    return {"tolerance": TOLERANCE_DA, "tolerance_unit": "Da", "directed": directed}


# -------------------------------------------------------------------- how it is measured


def _interleaved(
    rivals: Mapping[str, Callable[[], Any]],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Median seconds of each rival; they take turns, and short ones run several times in each."""
    turns = dict.fromkeys(rivals, 1)
    # A first run, which is not counted, also fills caches. Turns of 20 ms and more do not feel the
    # grain of the clock.
    for name, run in rivals.items():
        started = clock()
        run()
        turns[name] = int(np.clip(0.02 / max(clock() - started, 1e-6), 1, 50))
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats):
        for name, run in rivals.items():
            started = clock()
            for _ in range(turns[name]):
                run()
            seconds[name].append((clock() - started) / turns[name])
    return {name: float(np.median(values)) for name, values in seconds.items()}


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ratios(seconds: dict[str, float], ours: str) -> dict[str, float]:
    """How many times as long as ours the others take."""
    return {name: value / seconds[ours] for name, value in seconds.items() if name != ours}


# -------------------------------------------------------------------- graphs


def _measure_graphs(plan: Plan, n_relations: int, n_peaks: int) -> dict[str, Any]:
    relations = lattice_relations(n_relations)
    spectra = lattice_spectra(GRAPH_PIXELS, n_peaks)
    masses = relations.masses
    pixels = [spectra.pixel(i) for i in range(spectra.n_pixels)]

    def slowly() -> None:  # a second for one pixel: the others are like it
        bisecting_edges(*pixels[0], masses, TOLERANCE_DA)

    def numpy() -> None:
        for mz, intensity in pixels:
            searchsorted_edges(mz, intensity, masses, TOLERANCE_DA)

    rivals = {
        "numpy": numpy,
        "edges": lambda: build_graph(spectra, relations, **_options()),
        "messages": lambda: build_messages(spectra, relations, **_options()),
    }
    seconds = {
        name: value / GRAPH_PIXELS for name, value in _interleaved(rivals, plan.repeats).items()
    }
    seconds["reference-like"] = _interleaved({"": slowly}, 3)[""]
    messages = CompactMessages.of(build_messages(spectra, relations, **_options()))
    n_messages = messages.sender.size
    return {
        "what": "graphs",
        "relations": n_relations,
        "peaks": n_peaks,
        "messages_per_peak": n_messages / spectra.n_peaks,
        "us_per_pixel": {name: value * 1e6 for name, value in seconds.items()},
        "edges_times_numpy": seconds["numpy"] / seconds["edges"],
        "messages_times_reference_like": seconds["reference-like"] / seconds["messages"],
        "memory_of_int64": messages.nbytes / (24 * n_messages + 8 * spectra.n_peaks),
    }


# -------------------------------------------------------------------- networks


class _Case:
    """One batch and one network, for all rivals."""

    def __init__(
        self, n_relations: int, n_peaks: int, n_pixels: int, *, published: bool, aligned: bool
    ) -> None:
        spectra = lattice_spectra(n_pixels, n_peaks, aligned=aligned)
        options = _options(directed=not published)
        messages = build_messages(spectra, lattice_relations(n_relations), **options)
        n_features, hidden = (3, (8, 16)) if published else (4, (32, 32))
        rng = np.random.default_rng(1)
        features = rng.normal(size=(spectra.n_peaks, n_features)).astype(np.float32)
        self.graphs = PeakGraphs(features, spectra.offsets, messages)
        self.y = rng.integers(0, 3, n_pixels)
        self.n_messages = len(messages.sender)
        self.n_peaks, self.n_pixels = spectra.n_peaks, n_pixels
        self.models = {
            backend: self._model(backend, n_features, messages.n_kinds, hidden, published)
            for backend in ("torch", *(("native",) if library() else ()))
        }

    @staticmethod
    def _model(
        backend: str, n_features: int, n_kinds: int, hidden: tuple[int, ...], published: bool
    ) -> RGCN:
        with lent_generator(0):
            return RGCN(
                n_features, n_kinds, 3, hidden=hidden, batch_norm=not published, backend=backend
            )

    @property
    def ours(self) -> str:
        """The backend that runs by default."""
        return "native" if "native" in self.models else "torch"

    def rivals(self, *, training: bool) -> dict[str, Callable[[], Any]]:
        """What is timed: one training step without the optimiser, or one prediction."""
        pixels = np.arange(self.n_pixels)
        found: dict[str, Callable[[], Any]] = {}
        for backend, model in self.models.items():
            batch = model.take(self.graphs, pixels, CPU)
            run = _train_ours(model, batch, self.y) if training else _predict(model, batch)
            found[backend] = _in_mode(model, run, training)
        # What the networks read is made before the clock starts, for them as for ours.
        whole = self.graphs.batch(pixels)
        given = whole, whole.messages.edge_index(), whole.messages.edge_type()
        for name, fast in (("RGCNConv", False), ("FastRGCNConv", True)):
            network = PygNetwork(self.models["torch"], fast=fast)
            run = _train_pyg(network, given, self.y) if training else _predict(network, *given)
            found[name] = _in_mode(network, run, training)
        return found

    def multiplications(self, *, training: bool) -> int:
        """Multiply-adds of the layers: messages and peaks through each weight matrix once."""
        weights = self.models[self.ours].layers.named_parameters()
        sizes = [weight.numel() for name, weight in weights if name.endswith("root")]
        # The way back takes two products to a layer, the first layer one.
        total = sum(sizes) * (3 if training else 1) - (sizes[0] if training else 0)
        return total * (self.n_messages + self.n_peaks)

    def largest_errors(self) -> dict[str, float]:
        """Largest errors of float32 logits, ours and PyTorch Geometric's, against float64."""
        pixels = np.arange(self.n_pixels)
        model = self.models[self.ours].eval()
        whole = self.graphs.batch(pixels)
        ends, kinds = whole.messages.edge_index(), whole.messages.edge_type()
        network = PygNetwork(self.models["torch"]).eval()
        with torch.inference_mode():
            ours = model(model.take(self.graphs, pixels, CPU))
            theirs = network(whole, ends, kinds)
            precise = replace(whole, features=whole.features.double())
            exact = network.double()(precise, ends, kinds)
        errors = {"ours": ours - exact, "RGCNConv": theirs.double() - exact}
        return {name: float(error.abs().max()) for name, error in errors.items()}


def _in_mode(module: torch.nn.Module, run: Callable[[], Any], training: bool) -> Callable[[], Any]:
    def call() -> None:
        module.train(training)
        run()

    return call


def _train_ours(model: RGCN, batch: Any, y: NDArray[np.int64]) -> Callable[[], None]:
    def run() -> None:
        model.zero_grad()
        loss, _ = model.loss(batch, y)
        loss.backward()  # type: ignore[no-untyped-call]

    return run


def _train_pyg(network: PygNetwork, given: Any, y: NDArray[np.int64]) -> Callable[[], None]:
    def run() -> None:
        network.zero_grad()
        cross_entropy(network(*given), torch.from_numpy(y)).backward()  # type: ignore[no-untyped-call]

    return run


def _predict(network: torch.nn.Module, *given: Any) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            network(*given)

    return run


@contextmanager
def _published_mean() -> Iterator[None]:
    """Hold PyG to its loop over relations: its segment-matmul path averages over all edges."""
    import torch_geometric

    before = torch_geometric.backend.use_segment_matmul
    torch_geometric.backend.use_segment_matmul = False
    try:
        yield
    finally:
        torch_geometric.backend.use_segment_matmul = before


def _measure_network(
    plan: Plan, n_relations: int, n_peaks: int, *, published: bool, aligned: bool, peak: float
) -> list[dict[str, Any]]:
    case = _Case(n_relations, n_peaks, plan.pixels, published=published, aligned=aligned)
    rows = []
    for training in (True, False):
        seconds = _interleaved(case.rivals(training=training), plan.repeats)
        ours = seconds[case.ours]
        rows.append(
            {
                "what": "training step" if training else "prediction",
                "network": "published" if published else "default",
                "relations": n_relations,
                "peaks": n_peaks,
                "aligned": aligned,
                "messages_per_peak": case.n_messages / case.n_peaks,
                "us_per_pixel": {k: v / case.n_pixels * 1e6 for k, v in seconds.items()},
                "ns_per_message": ours / case.n_messages * 1e9,
                "times": _ratios(seconds, case.ours),
                "share_of_peak": 2 * case.multiplications(training=training) / ours / peak
                if peak
                else None,
            }
        )
    if published:
        rows[-1]["largest_errors_of_logits"] = case.largest_errors()
    return rows


def _fit_cost(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    """Fit our time as a sum over peaks and over messages: peaks meet a weight matrix as well."""
    chosen = [
        row
        for row in rows
        if row["what"] == what and row["network"] == "published" and not row["aligned"]
    ]
    ours = "native" if "native" in chosen[0]["us_per_pixel"] else "torch"
    ns = np.array([row["us_per_pixel"][ours] * 1e3 for row in chosen])
    peaks = np.array([row["peaks"] for row in chosen])
    # Relative errors are fitted: of absolute ones the largest sizes alone would decide.
    counts = np.stack([peaks, peaks * [row["messages_per_peak"] for row in chosen]], axis=1)
    (per_peak, per_message), _ = nnls(counts / ns[:, None], np.ones(len(ns)))
    deviation = counts @ [per_peak, per_message] / ns - 1
    return {
        "what": "cost",
        "of": what,
        "ns_per_peak": per_peak,
        "ns_per_message": per_message,
        "largest_deviation": float(np.abs(deviation).max()),
    }


def _measure_threads(plan: Plan) -> dict[str, Any]:
    """Measure by the clock how much faster two threads are than one."""
    case = _Case(30, 1000, 2 * plan.pixels, published=True, aligned=False)
    speed = {}
    for training, name in ((True, "training step"), (False, "prediction")):
        run = case.rivals(training=training)[case.ours]
        rivals = {str(n): _with_threads(run, n) for n in (1, 2)}
        # Processor time adds up the threads: only the clock shows what they gain. As it also shows
        # what else the machine does, there are more repeats.
        seconds = _interleaved(rivals, 4 * plan.repeats, time.perf_counter)
        speed[name] = seconds["1"] / seconds["2"]
    return {"what": "two threads", "times": speed}


def _with_threads(run: Callable[[], Any], n: int) -> Callable[[], Any]:
    def call() -> None:
        with _threads(n):
            run()

    return call


def _peak() -> float:
    """Floating point operations per second that registers alone allow; 0 without the library."""
    loaded = library()
    if loaded is None:
        return 0.0
    # What else the machine does can only slow a run down: the fastest counts.
    rates = []
    for _ in range(5):
        started = time.process_time()
        done = loaded.mg_multiply_add(3_000_000)
        rates.append(done / (time.process_time() - started))
    return float(max(rates))


# -------------------------------------------------------------------- all of it


def benchmark(plan: Plan | None = None) -> dict[str, Any]:
    """Measure everything in a plan.

    Returns
    -------
    dict
        `versions`, `peak_gflops` and `rows`, one dictionary per measurement, all of values that
        JSON can hold.

    Raises
    ------
    ImportError
        Without torch-geometric (``pip install massgraph[pyg]``).

    Examples
    --------
    >>> from massgraph.evidence.benchmark import Plan, benchmark
    >>> result = benchmark(Plan(relations=(10,), peaks=(40, 80), pixels=2, repeats=1))
    >>> result["rows"][0]["what"]
    'graphs'
    """
    plan = plan or Plan()
    with _threads(1), _published_mean(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch Geometric's own
        peak = _peak()
        rows = [_measure_graphs(plan, 30, max(p for p in plan.peaks if p <= 1000))]
        for n_relations in plan.relations:
            for n_peaks in plan.peaks:
                rows += _measure_network(
                    plan, n_relations, n_peaks, published=True, aligned=False, peak=peak
                )
        rows += [_fit_cost(rows, what) for what in ("training step", "prediction")]
        rows += _measure_network(plan, 30, 1000, published=True, aligned=True, peak=peak)
        rows += _measure_network(plan, 30, 1000, published=False, aligned=False, peak=peak)
        rows.append(_measure_threads(plan))
    return {"versions": versions(), "peak_gflops": peak / 1e9, "rows": rows}


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Sum up the result, one line per measurement: how many times as long others take."""
    lines: dict[str, Any] = {name: str(value) for name, value in result["versions"].items()}
    lines["peak of one core"] = f"{result['peak_gflops']:.0f} GFlop/s"
    for row in result["rows"]:
        if row["what"] == "graphs":
            lines["graphs, 30 relations"] = (
                f"{row['us_per_pixel']['messages']:.0f} us per pixel; "
                f"{row['messages_times_reference_like']:.0f} x reference-like, edges "
                f"{row['edges_times_numpy']:.1f} x numpy, memory 1/{1 / row['memory_of_int64']:.1f}"
            )
            continue
        if row["what"] == "cost":
            lines[f"cost of a {row['of']}"] = (
                f"{row['ns_per_peak']:.1f} ns per peak and {row['ns_per_message']:.1f} ns per "
                f"message, within {row['largest_deviation']:.0%}"
            )
            continue
        times = ", ".join(f"{value:.3g} x {name}" for name, value in row["times"].items())
        if row["what"] == "two threads":
            lines["two threads"] = times
            continue
        form = ", aligned" if row["aligned"] else ""
        name = f"{row['what']}, {row['network']}, R={row['relations']}, {row['peaks']} peaks{form}"
        share = f", {row['share_of_peak']:.0%} of peak" if row["share_of_peak"] else ""
        lines[name] = f"{times}; {row['ns_per_message']:.1f} ns per message{share}"
    return lines


def write(result: dict[str, Any], directory: str | Path, *, overwrite: bool = False) -> None:
    """Write ``benchmark.json`` and ``cost.png``, ``cost.pdf`` into a folder, all or nothing."""
    with atomic_directory(Path(directory), overwrite=overwrite) as folder:
        text = json.dumps(result, indent=2)
        (folder / "benchmark.json").write_text(text + "\n", encoding="utf-8")
        figure = plot_cost(result)
        for ending in ("png", "pdf"):
            figure.savefig(folder / f"cost.{ending}", dpi=150)


def plot_cost(result: dict[str, Any]) -> Figure:
    """Draw the time per pixel over the number of peaks, ours and PyTorch Geometric's.

    Examples
    --------
    >>> from massgraph.evidence.benchmark import plot_cost
    >>> row = {"network": "published", "aligned": False, "relations": 30, "peaks": 1000}
    >>> row["us_per_pixel"] = {"native": 61.0, "RGCNConv": 1600.0}
    >>> rows = [{**row, "what": what} for what in ("training step", "prediction")]
    >>> figure = plot_cost({"rows": rows})
    >>> [axes.get_title() for axes in figure.axes]
    ['training step', 'prediction']
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = [row for row in result["rows"] if row.get("network") == "published"]
    rows = [row for row in rows if not row["aligned"]]
    sizes = sorted({row["peaks"] for row in rows})
    colours = {n: f"C{place}" for place, n in enumerate(sorted({r["relations"] for r in rows}))}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("training step", "prediction"), strict=True):
        for n_relations, colour in colours.items():
            chosen = [r for r in rows if r["what"] == what and r["relations"] == n_relations]
            peaks = [row["peaks"] for row in chosen]
            for name, style in STYLES.items():
                if name in chosen[0]["us_per_pixel"]:
                    cost = [row["us_per_pixel"][name] for row in chosen]
                    axes.plot(peaks, cost, style, color=colour, marker=".")
        axes.set(xscale="log", yscale="log", title=what)
        axes.set(xlabel="peaks per pixel", ylabel="µs per pixel")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(axis="y", color="0.9")
    present = set(rows[0]["us_per_pixel"])
    backends = [
        Line2D([], [], color="0.3", linestyle=style, label=name)
        for name, style in STYLES.items()
        if name in present
    ]
    relations = [Line2D([], [], color=c, label=f"{n} relations") for n, c in colours.items()]
    figure.legend(handles=backends + relations, loc="outside right center", frameon=False)
    return figure
