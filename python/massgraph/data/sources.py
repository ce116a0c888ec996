"""Where spectra come from: memory, or whoever gives them some pixels at a time.

Everything that reads pixels reads them through these functions, so that an object with three names
(`n_pixels`, `read`, `blocks`) works wherever `Spectra` do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.progress import progress_by
from massgraph.data.rasters import joint_size, unlike_polarity, with_z
from massgraph.data.spectra import Spectra
from massgraph.data.validation import PixelError

__all__ = [
    "JoinedSpectra",
    "Pixels",
    "SpectraSource",
    "batches",
    "check_pixels",
    "in_memory",
    "is_source",
    "parts",
    "places",
    "runs",
    "sample",
    "take",
    "without_peaks",
]

BATCH_PEAKS = 1 << 17  # peaks per batch where no gradients are kept
# Peaks in memory at a time; about 300 bytes each with graph and activations.
PART_PEAKS = 1 << 19
# Ions, and the relations between them, are found on a sample of about this many peaks.
SAMPLE_PEAKS = 1 << 21
# Such a sample is read in stretches of this many neighbouring pixels.
STRETCH = 64


@runtime_checkable
class SpectraSource(Protocol):
    """Spectra that are read some at a time.

    What `massgraph.open_imzml` gives is one, and so are Cardinal's objects
    (`massgraph.r.open_cardinal`), several of them joined (`JoinedSpectra`), and any object of yours
    with these three names. Two more are used where they are there: `run`, the name of the run of
    each pixel, and `places()`, all pixels without their peaks. Otherwise both are read from the
    blocks.

    Examples
    --------
    >>> import massgraph as mg
    >>> class Halves:
    ...     def __init__(self, spectra):
    ...         self.spectra, self.n_pixels = spectra, spectra.n_pixels
    ...     def read(self, first, stop):
    ...         return self.spectra[first:stop]
    ...     def blocks(self):
    ...         middle = self.n_pixels // 2
    ...         yield self.read(0, middle)
    ...         yield self.read(middle, self.n_pixels)
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> isinstance(Halves(spectra), mg.SpectraSource)
    True
    """

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""

    def read(self, first: int, stop: int) -> Spectra:
        """Give the pixels from one index up to another."""

    def blocks(self) -> Iterator[Spectra]:
        """Give all pixels in order, as many at a time as are read best."""


Pixels: TypeAlias = "Spectra | SpectraSource"


def is_source(X: Any) -> TypeGuard[SpectraSource]:
    """Whether spectra are to be read block by block.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> mg.streaming.is_source(spectra), mg.streaming.is_source(source)
    (False, True)
    """
    return not isinstance(X, Spectra) and isinstance(X, SpectraSource)


def check_pixels(X: Any) -> Pixels:
    """Give spectra or a source back as they are.

    Raises
    ------
    InputTypeError
        For anything else.

    Examples
    --------
    >>> import massgraph as mg
    >>> mg.streaming.check_pixels([[500.1, 3.0]])
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputTypeError: a list holds no pixels that can be read: ...
    """
    if isinstance(X, (Spectra, SpectraSource)):
        return X
    msg = (
        f"a {type(X).__name__} holds no pixels that can be read: give massgraph.Spectra, or an "
        "object with n_pixels, read and blocks"
    )
    raise InputTypeError(msg)


# -------------------------------------------------------------------- reading


def read(source: Pixels, first: int, stop: int) -> Spectra:
    """The pixels from one index up to another.

    Raises
    ------
    InputError
        Where a source gives anything else.
    """
    if isinstance(source, Spectra):
        return source[first:stop]
    found = _checked(source.read(first, stop), source)
    if found.n_pixels != stop - first:
        msg = (
            f"read({first}, {stop}) of {type(source).__name__} gave {found.n_pixels} pixels, "
            f"need {stop - first}"
        )
        raise InputError(msg)
    return found


def _checked(found: Any, source: SpectraSource) -> Spectra:
    if not isinstance(found, Spectra):
        msg = (
            f"{type(source).__name__} gave a {type(found).__name__} in place of pixels: make "
            "massgraph.Spectra of them"
        )
        raise InputTypeError(msg)
    return found


def blocks(source: Pixels) -> Iterator[Spectra]:
    """Give all pixels in order; spectra in memory are one block.

    Raises
    ------
    InputError
        Where the blocks are not all the pixels that the source says it has.
    """
    if isinstance(source, Spectra):
        yield source
        return
    done = 0
    for block in source.blocks():
        yield _checked(block, source)
        done += block.n_pixels
    if done != source.n_pixels:
        msg = f"the source gave {done} pixels, but says that it has {source.n_pixels}"
        raise InputError(msg)


def batches(offsets: NDArray[np.int64], max_peaks: int = BATCH_PEAKS) -> Iterator[slice]:
    """Consecutive ranges of pixels with at most `max_peaks` peaks each, or of one pixel.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> offsets = np.array([0, 3, 5, 14])
    >>> [(rows.start, rows.stop) for rows in mg.streaming.batches(offsets, max_peaks=6)]
    [(0, 2), (2, 3)]
    """
    # A pixel of more peaks than that goes by itself: its graph is one.
    start, n = 0, len(offsets) - 1
    while start < n:
        stop = int(np.searchsorted(offsets, offsets[start] + max_peaks, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield slice(start, stop)
        start = stop


def parts(source: Pixels, description: str = "predicting") -> Iterator[Spectra]:
    """All pixels in order, at most `PART_PEAKS` peaks at a time (or one pixel); shows progress.

    Raises
    ------
    PixelError
        For pixels that `Spectra` refuses, by their index among all.
    InputError
        As `blocks` does.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> sum(part.n_peaks for part in mg.streaming.parts(source)) == spectra.n_peaks
    True
    """
    cut = (block[rows] for block in blocks(source) for rows in batches(block.offsets, PART_PEAKS))
    return progress_by(cut, len, source.n_pixels, description)


def take(source: Pixels, pixels: NDArray[np.int64]) -> Spectra:
    """Some pixels, by ascending index; the others are not read.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> mg.streaming.take(source, np.array([3, 4, 100])).n_pixels
    3
    """
    if isinstance(source, Spectra):
        return source[pixels]
    # Neighbours are read in one go: a call for each pixel would cost more than the reading.
    ends = np.flatnonzero(np.diff(pixels) != 1) + 1
    stretches = np.split(pixels, ends) if pixels.size else []
    found = [read(source, int(one[0]), int(one[-1]) + 1) for one in stretches]
    return Spectra.concatenate(found or [read(source, 0, 0)])


def sample(source: Pixels) -> Spectra:
    """Spectra in memory as they are; of a source, stretches of pixels drawn evenly until enough.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> mg.streaming.sample(source).n_pixels  # all of so small an image
    144
    """
    check_pixels(source)
    if isinstance(source, Spectra):
        return source
    # A seed of its own: what the ions are found on depends on the image and nothing else.
    starts = np.random.default_rng(0).permutation(np.arange(0, source.n_pixels, STRETCH))
    found: dict[int, Spectra] = {}
    n_peaks = 0
    for start in starts.tolist():
        found[start] = read(source, start, min(start + STRETCH, source.n_pixels))
        n_peaks += found[start].n_peaks
        if n_peaks >= SAMPLE_PEAKS:
            break
    # In the order of the image, as if the others had never been there.
    return Spectra.concatenate([found[start] for start in sorted(found)] or [read(source, 0, 0)])


def in_memory(source: Pixels) -> Spectra:
    """All pixels at once, for what needs them together.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> mg.streaming.in_memory(source).fingerprint() == spectra.fingerprint()
    True
    """
    check_pixels(source)
    if isinstance(source, Spectra):
        return source
    return Spectra.concatenate(list(blocks(source)) or [read(source, 0, 0)])


# -------------------------------------------------------------------- pixels without their peaks


def without_peaks(spectra: Spectra) -> Spectra:
    """The same pixels, without a peak.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> mg.streaming.without_peaks(spectra)
    Spectra(144 pixels, 0 peaks, 1 run, polarity positive)
    """
    return spectra.keep_peaks(np.zeros(spectra.n_peaks, dtype=bool))


def places(source: Pixels) -> Spectra:
    """All pixels without their peaks: where they are, of which run and polarity.

    Raises
    ------
    InputError
        Where a source gives other than all its pixels.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> mg.streaming.places(source).coordinates[-1].tolist()
    [12.0, 12.0]
    """
    check_pixels(source)
    if isinstance(source, Spectra):
        return without_peaks(source)
    if hasattr(source, "places"):
        found = _checked(source.places(), source)
        if found.n_pixels != source.n_pixels:
            msg = f"places() gave {found.n_pixels} pixels, need all {source.n_pixels}"
            raise InputError(msg)
        return found
    # Block by block, so that the peaks are never in memory together.
    return Spectra.concatenate(
        [without_peaks(block) for block in blocks(source)] or [read(source, 0, 0)]
    )


def runs(source: Pixels) -> NDArray[np.str_]:
    """Name of the run of each pixel, shape ``(n_pixels,)``.

    Raises
    ------
    InputError
        Where a source gives other than one name for each pixel.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> sorted(set(mg.streaming.runs(mg.streaming.JoinedSpectra([spectra])).tolist()))
    ['run1']
    """
    found = source.run if hasattr(source, "run") else places(source).run
    names = np.asarray(found, dtype=np.str_)
    if names.shape != (source.n_pixels,):
        msg = f"run has shape {names.shape}, need one name for each of {source.n_pixels} pixels"
        raise InputError(msg)
    return names


# -------------------------------------------------------------------- several as one


def _size_of(source: Any) -> tuple[tuple[float, float] | None, str]:
    return source.pixel_size, getattr(source, "pixel_size_unit", "um")


class JoinedSpectra:
    """Several sources, or spectra in memory, one after the other.

    Parameters
    ----------
    sources
        At least one.
    polarity
        ``"positive"`` or ``"negative"``, for sources that do not say.
    names
        Other names for runs of each source; default: they keep theirs.

    Raises
    ------
    InputError
        Where there is no source. While reading: for a source of another polarity, or of an unknown
        one where others say theirs and `polarity` is not given, or where two
        sources have a run of the same name.

    Examples
    --------
    >>> import massgraph as mg
    >>> first, second = (mg.simulate("tiny", n_runs=1, random_state=k).spectra for k in (0, 1))
    >>> mg.streaming.JoinedSpectra([first, second]).n_pixels == first.n_pixels + second.n_pixels
    True
    """

    def __init__(
        self,
        sources: Sequence[Pixels],
        *,
        polarity: str | None = None,
        names: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        if not sources:
            msg = "nothing to join: give at least one source of spectra"
            raise InputError(msg)
        self.sources, self.polarity = [check_pixels(source) for source in sources], polarity
        self._names = [{}] * len(sources) if names is None else list(names)
        # Asked here, where a source says so at once: told once, and the same for all parts.
        told = [one for one in self.sources if hasattr(one, "pixel_size")]
        self._one_size = not told or joint_size(map(_size_of, told)) is not None
        self._deep = any(np.shape(getattr(one, "coordinates", ()))[1:] == (3,) for one in told)
        # Given, it is that of sources that do not say; else all must say the same.
        self._settled = self._asked = polarity is not None
        self._source_of_run: dict[str, int] = {}
        self._starts = np.cumsum([0, *(source.n_pixels for source in self.sources)])

    @property
    def n_pixels(self) -> int:
        """Number of pixels of all."""
        return int(self._starts[-1])

    @property
    def run(self) -> NDArray[np.str_]:
        """Name of the run of each pixel."""
        return np.concatenate(
            [
                np.asarray([names.get(name, name) for name in runs(source).tolist()], np.str_)
                for source, names in zip(self.sources, self._names, strict=True)
            ]
        )

    def read(self, first: int, stop: int) -> Spectra:
        """The pixels from one index up to another."""
        found = []
        for number, (begin, end) in enumerate(pairwise(self._starts.tolist())):
            low, high = max(first, begin), min(stop, end)
            if low < high:
                part = read(self.sources[number], low - begin, high - begin)
                found.append(self._checked(part, number))
        return Spectra.concatenate(found or [read(self.sources[0], 0, 0)])

    def _checked(self, part: Spectra, number: int) -> Spectra:
        """A part of a source with what all have in common."""
        if self._names[number]:
            part = part.rename_runs(self._names[number])
        if not self._settled:
            self.polarity, self._settled = part.polarity, True
        elif not self._asked and (part.polarity is None) != (self.polarity is None):
            raise unlike_polarity(self.polarity, part.polarity)
        if part.polarity not in (None, self.polarity):
            msg = f"a file is of {part.polarity} polarity, but the others of {self.polarity}"
            raise InputError(msg)
        # Joined, runs of one name are one run: their pixels would share a calibration and a group.
        for name in np.unique(part.run).tolist():
            if self._source_of_run.setdefault(name, number) != number:
                msg = f"two inputs hold a run named {name!r}: rename one of the files, or the run"
                raise InputError(msg)
        changes: dict[str, Any] = {}
        if part.polarity != self.polarity:
            changes["polarity"] = self.polarity
        if part.pixel_size is not None and not self._one_size:
            changes["pixel_size"] = None
        if self._deep and part.coordinates is not None and part.coordinates.shape[1] == 2:
            changes["coordinates"] = with_z([part.coordinates, np.empty((0, 3))])[0]
        # Made anew, a part is checked anew: only where something changes.
        return replace(part, **changes) if changes else part

    def places(self) -> Spectra:
        """All pixels without their peaks; of imzML files nothing is read for it."""
        return Spectra.concatenate(
            [self._checked(places(source), number) for number, source in enumerate(self.sources)]
        )

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
                for part in blocks(source):
                    yield self._checked(part, number)
            except PixelError as error:
                raise PixelError(start + error.pixel, error.problem) from None
