"""Images larger than memory: spectra read block by block, predicted and explained in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph._util.progress import progress_by
from massgraph._util.threads import n_threads
from massgraph.data.alignment import assign_to_axis, tolerance_in_da
from massgraph.data.spectra import Spectra
from massgraph.data.validation import PixelError
from massgraph.encode.calibration import sample_of_runs
from massgraph.explain.activation import Explanation, ion_tables, region_table
from massgraph.explain.families import build_ion_network
from massgraph.explain.ion_sums import IonSums
from massgraph.io.imzml import ImzMLReader
from massgraph.learn.training import batches, model_output
from massgraph.segmentation import Segmentation

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier
    from massgraph.encode.axis import CalibratedSpectra

__all__ = [
    "JoinedSpectra",
    "Part",
    "SpectraSource",
    "StreamedExplanation",
    "calibrated_parts",
    "explain_source",
    "in_order",
    "parts",
    "segment_source",
    "take",
    "without_peaks",
]

T = TypeVar("T")
R = TypeVar("R")

# Peaks in memory at a time; about 300 bytes each with graph and activations.
PART_PEAKS = 1 << 19
# Peaks that the ions and the relations between them are found on.
SAMPLE_PEAKS = 1 << 21
# Neighbouring pixels that such a sample is read by.
STRETCH = 64


@runtime_checkable
class SpectraSource(Protocol):
    """Spectra that are read some at a time.

    What `massgraph.open_imzml` gives is one, and so are Cardinal's objects
    (`massgraph.r.cardinal.CardinalSpectra`) and several of them joined (`JoinedSpectra`).
    """

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""

    @property
    def run(self) -> NDArray[np.str_]:
        """Name of the run of each pixel."""

    @property
    def read(self) -> Callable[[int, int], Spectra]:
        """Reads the pixels from one index up to another."""

    def blocks(self) -> Iterator[Spectra]:
        """All pixels in order, as many at a time as are read best."""


class JoinedSpectra:
    """Several sources, or spectra in memory, one after the other.

    Parameters
    ----------
    sources
        At least one.
    polarity
        ``"positive"`` or ``"negative"``, for sources that do not say.

    Raises
    ------
    ValueError
        Where there is no source; while reading, for one of another polarity, or for a run of the
        same name in two.
    """

    def __init__(
        self, sources: Sequence[SpectraSource | Spectra], *, polarity: str | None = None
    ) -> None:
        if not sources:
            msg = "nothing to join: give at least one source of spectra"
            raise InputError(msg)
        self.sources, self.polarity = list(sources), polarity
        self._source_of_run: dict[str, int] = {}
        self._starts = np.cumsum([0, *(source.n_pixels for source in self.sources)])

    @property
    def n_pixels(self) -> int:
        """Number of pixels of all."""
        return int(self._starts[-1])

    @property
    def run(self) -> NDArray[np.str_]:
        """Name of the run of each pixel."""
        return np.concatenate([source.run for source in self.sources])

    def read(self, first: int, stop: int) -> Spectra:
        """The pixels from one index up to another."""
        found = []
        for number, (begin, end) in enumerate(pairwise(self._starts.tolist())):
            low, high = max(first, begin), min(stop, end)
            if low < high:
                part = _read(self.sources[number], low - begin, high - begin)
                found.append(self._checked(part, number))
        return Spectra.concatenate(found or [_read(self.sources[0], 0, 0)])

    def _checked(self, part: Spectra, number: int) -> Spectra:
        """A part of a source with the polarity that all have."""
        if self.polarity is None:
            self.polarity = part.polarity
        if part.polarity not in (None, self.polarity):
            msg = f"a file is of {part.polarity} polarity, but the others of {self.polarity}"
            raise InputError(msg)
        for name in np.unique(part.run).tolist():
            if self._source_of_run.setdefault(name, number) != number:
                msg = f"two inputs hold a run named {name!r}: rename one of the files"
                raise InputError(msg)
        return part if part.polarity == self.polarity else replace(part, polarity=self.polarity)

    def places(self) -> Spectra:
        """All pixels without their peaks; of imzML files nothing is read for it."""
        found = []
        for number, source in enumerate(self.sources):
            if isinstance(source, ImzMLReader):
                part = source.places()
            else:
                whole = source if isinstance(source, Spectra) else source.read(0, source.n_pixels)
                part = without_peaks(whole)
            found.append(self._checked(part, number))
        return Spectra.concatenate(found)

    def blocks(self) -> Iterator[Spectra]:
        """The blocks of the first, then those of the next.

        Raises
        ------
        PixelError
            For pixels that `Spectra` refuses, by their index among those of all.
        """
        for number, source in enumerate(self.sources):
            start = int(self._starts[number])
            try:
                for part in [source] if isinstance(source, Spectra) else source.blocks():
                    yield self._checked(part, number)
            except PixelError as error:
                raise PixelError(start + error.pixel, error.problem) from None


def without_peaks(spectra: Spectra) -> Spectra:
    """The same pixels, empty."""
    return spectra.keep_peaks(np.zeros(spectra.n_peaks, dtype=bool))


def _read(source: SpectraSource | Spectra, first: int, stop: int) -> Spectra:
    return source[first:stop] if isinstance(source, Spectra) else source.read(first, stop)


def parts(source: SpectraSource, description: str = "predicting") -> Iterator[Spectra]:
    """All pixels in order, at most `PART_PEAKS` peaks at a time (or one pixel), with a bar.

    Raises
    ------
    PixelError
        For pixels that `Spectra` refuses, by their index among all.
    ValueError
        Where the blocks are not all the pixels that the source says it has.
    """
    done = 0
    found = (
        block[rows] for block in source.blocks() for rows in batches(block.offsets, PART_PEAKS)
    )
    for part in progress_by(found, len, source.n_pixels, description):
        yield part
        done += part.n_pixels
    if done != source.n_pixels:
        msg = f"the source gave {done} pixels, but says that it has {source.n_pixels}"
        raise InputError(msg)


@dataclass(frozen=True, eq=False)
class Part:
    """Pixels of a source: preprocessed, and less their mass error."""

    spectra: Spectra
    calibrated: CalibratedSpectra


def calibrated_parts(
    classifier: RGCNClassifier, source: SpectraSource, description: str = "predicting"
) -> Iterator[Part]:
    """Parts of a source as the model reads them; errors of runs are estimated from a sample."""
    encoder = classifier.encoder_
    runs = None
    if encoder.axis is not None:
        sample = classifier.checked(take(source, sample_of_runs(source.run)))
        runs = encoder.run_errors(encoder.preprocess(sample))
    for part in parts(source, description):
        spectra = encoder.preprocess(classifier.checked(part))
        yield Part(spectra, encoder.calibrate(spectra, runs))


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``function(item)`` of each item, in order, on as many threads as the compiled part has.

    The items are made by the caller's thread, because R allows no other; one more than there are
    threads is held at a time.
    """
    n = n_threads()
    if n == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > n:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def take(source: SpectraSource, pixels: NDArray[np.int64]) -> Spectra:
    """Some pixels, by ascending index; the others are not read."""
    ends = np.flatnonzero(np.diff(pixels) != 1) + 1
    runs = np.split(pixels, ends) if pixels.size else []
    found = [source.read(int(run[0]), int(run[-1]) + 1) for run in runs]
    return Spectra.concatenate(found or [source.read(0, 0)])


# -------------------------------------------------------------------- explanation


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedExplanation(Explanation):
    """Explanation of pixels that were never in memory together.

    As `Explanation`, but `activation` is empty: of the activations only means are kept. Where the
    source has more than two million peaks, ions (`mz`) and the relations between them are found on
    an evenly spread sample of about so many; the tables of ions are over all pixels. A peak farther
    than two tolerances from every ion counts in the logits of its pixel and for no ion.

    Parameters
    ----------
    pixel_logits
        Logits put together from the activations of the peaks, shape ``(n_pixels, n_classes)``.
    run
        Name of the run of each pixel.
    run_names
        Names of the runs, sorted.
    run_means
        Mean contribution of each ion to each class over the pixels of each run, shape
        ``(n_runs, n_classes, n_ions)``.
    """

    pixel_logits: NDArray[np.float64]
    run: NDArray[np.str_]
    run_names: tuple[str, ...]
    run_means: NDArray[np.float64]

    def logits(self) -> NDArray[np.float64]:
        """Logits put together from the peaks, shape ``(n_pixels, n_classes)``."""
        return self.pixel_logits

    def by_region(self, regions: ArrayLike) -> pd.DataFrame:
        """As `Explanation.by_region`, where the regions are the runs: others were not kept.

        Raises
        ------
        ValueError
            For other regions.
        """
        if not np.array_equal(np.asarray(regions).astype(str), self.run):
            msg = (
                "of pixels read block by block only the means by run are kept: explain the pixels "
                "of the regions in memory, as read_imzml gives them"
            )
            raise InputError(msg)
        return region_table(self.run_names, self.classes, self.mz, self.run_means)


class _Explainer:
    """Takes in parts of a source, in order, and keeps what an explanation needs of them."""

    def __init__(self, classifier: RGCNClassifier, source: SpectraSource) -> None:
        self.classifier = classifier
        self.tolerance, self.unit = classifier.encoder_.alignment
        self.classes = tuple(str(name) for name in classifier.classes_)
        sample = classifier.encoder_.preprocess(classifier.checked(_sample(source)))
        calibrated = classifier.encoder_.calibrate(sample)
        self.mz, ion = classifier.encoder_.align(sample, calibrated)
        self.network = build_ion_network(ion, classifier.encoder_.graph(calibrated))
        self.polarity, self.on_axis = sample.polarity, sample.axis is not None
        self.sums = IonSums(len(self.classes), self.mz.size)
        self.intercept = classifier.model_.intercept().detach().cpu().numpy().astype(np.float64)
        self.logits: list[NDArray[np.float64]] = []
        self.labels: list[NDArray[np.int64]] = []
        self.counts: list[NDArray[np.int64]] = []
        self.runs: dict[str, NDArray[np.float64]] = {}
        self.run: list[NDArray[np.str_]] = []

    def add(self, found: _Outputs) -> None:
        """Take in the pixels of a part with the class activations of their peaks."""
        spectra, cam = found.part.spectra, found.cam
        counts, pixel = spectra.peak_counts, spectra.pixel_of_peak
        sums = [np.bincount(pixel, weights=one, minlength=spectra.n_pixels) for one in cam.T]
        logits = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None] + self.intercept
        labels = np.where(found.known, np.argmax(logits, axis=1), -1)
        ion = self._ions(found.part)
        self.sums.add(spectra, cam, ion, labels)
        self.logits.append(logits)
        self.labels.append(labels)
        self.counts.append(counts)
        self.run.append(spectra.run)
        self._add_runs(spectra, cam, ion)

    def _ions(self, part: Part) -> NDArray[np.int64]:
        """Ion of each peak, -1 where it is far from all."""
        if self.on_axis:
            return np.searchsorted(self.mz, part.spectra.mz)
        spectra = part.calibrated.spectra
        if not self.mz.size:
            return np.full(spectra.n_peaks, -1)
        ion = assign_to_axis(spectra.mz, self.mz)
        reach = tolerance_in_da(spectra.mz, 2 * self.tolerance, self.unit) * (1 + 1e-9)
        ion[np.abs(spectra.mz - self.mz[ion]) > reach] = -1
        return ion

    def _add_runs(self, spectra: Spectra, cam: NDArray[np.float64], ion: NDArray[np.int64]) -> None:
        run = spectra.run
        for name in np.unique(run).tolist():
            total = self.runs.setdefault(name, np.zeros((len(self.classes), self.mz.size)))
            peaks = np.repeat(run == name, spectra.peak_counts) & (ion >= 0)
            weight = np.repeat(1.0 / np.maximum(spectra.peak_counts, 1), spectra.peak_counts)[peaks]
            for c, values in enumerate(cam[peaks].T):
                total[c] += np.bincount(ion[peaks], values * weight, minlength=self.mz.size)

    def explanation(self) -> StreamedExplanation:
        """Everything taken in, as an explanation."""
        ions, families, edges = ion_tables(
            self.classifier, self.mz, self.sums, self.network, self.polarity
        )
        logits, counts = np.concatenate(self.logits), np.concatenate(self.counts)
        run = np.concatenate(self.run)
        names, sizes = np.unique(run, return_counts=True)
        totals = np.stack([self.runs[name] for name in names.tolist()])
        return StreamedExplanation(
            classes=self.classes,
            mz=self.mz,
            activation={},
            intercept=self.intercept,
            peak_counts=counts,
            labels=np.concatenate(self.labels),
            ions=ions,
            families=families,
            family_edges=edges,
            pixel_logits=logits,
            run=run,
            run_names=tuple(names.tolist()),
            run_means=totals / sizes[:, None, None],
        )


def _sample(source: SpectraSource) -> Spectra:
    """All pixels, or stretches of them drawn evenly until they hold enough peaks."""
    starts = np.random.default_rng(0).permutation(np.arange(0, source.n_pixels, STRETCH))
    found: dict[int, Spectra] = {}
    n_peaks = 0
    for start in starts.tolist():
        found[start] = source.read(start, min(start + STRETCH, source.n_pixels))
        n_peaks += found[start].n_peaks
        if n_peaks >= SAMPLE_PEAKS:
            break
    return Spectra.concatenate([found[start] for start in sorted(found)] or [source.read(0, 0)])


def explain_source(classifier: RGCNClassifier, source: SpectraSource) -> StreamedExplanation:
    """Explanation of a source; called by `RGCNClassifier.explain`."""
    _check_pixels(source)
    explainer = _Explainer(classifier, source)
    work = partial(_outputs, classifier, logits=False, cam=True)
    for found in in_order(work, calibrated_parts(classifier, source, "explaining")):
        explainer.add(found)
    return explainer.explanation()


@dataclass(frozen=True, eq=False)
class _Outputs:
    """What the model says of the pixels of a part.

    `known` says which pixels have a class; `logits` are NaN for the others, and `cam` is of the
    peaks. Both are empty where they were not asked for.
    """

    part: Part
    known: NDArray[np.bool_]
    logits: NDArray[np.float64]
    cam: NDArray[np.float64]


def _outputs(classifier: RGCNClassifier, part: Part, *, logits: bool, cam: bool) -> _Outputs:
    """Outputs of the model for a part, whose graphs are built once."""
    encoder, model, nothing = classifier.encoder_, classifier.model_, np.empty((0, 0))
    graphs = encoder.encode(part.calibrated)
    found = partial(model_output, model, graphs, np.arange(len(graphs)), classifier.device_())
    known = np.diff(graphs.offsets) > 0
    values = found(model.forward) if logits else nothing
    if logits:
        values[~known] = np.nan
    spread = encoder.spread(part.calibrated, found(model.cam)) if cam else nothing
    return _Outputs(part, known, values, spread)


def _check_pixels(source: SpectraSource) -> None:
    if source.n_pixels == 0:
        msg = "there are no pixels to explain"
        raise InputError(msg)


# -------------------------------------------------------------------- segmentation


def segment_source(
    classifier: RGCNClassifier,
    source: SpectraSource,
    reference: NDArray[Any] | None,
    *,
    explain: bool,
    training: NDArray[np.bool_] | None,
    validation: NDArray[np.bool_] | None,
) -> Segmentation:
    """Segmentation of a source in one pass; called by `RGCNClassifier.segment`.

    Its `spectra` have the places of the pixels and no peaks, as those of a segmentation that R
    holds: pictures of single ions and the matrices of an h5ad file need the spectra in memory.
    """
    _check_pixels(source)
    explainer = _Explainer(classifier, source) if explain else None
    work = partial(_outputs, classifier, logits=True, cam=explain)
    description = "predicting and explaining" if explain else "predicting"
    logits, places = [], []
    for found in in_order(work, calibrated_parts(classifier, source, description)):
        logits.append(found.logits)
        places.append(without_peaks(found.part.spectra))
        if explainer is not None:
            explainer.add(found)
    pixels = Spectra.concatenate(places)
    return Segmentation.from_probability(
        pixels,
        [str(name) for name in classifier.classes_],
        softmax(np.concatenate(logits), axis=1),
        reference=reference,
        training=training,
        validation=validation,
        explanation=None if explainer is None else explainer.explanation(),
        history=classifier.history_,
        parameters=classifier.summary(),
    )
