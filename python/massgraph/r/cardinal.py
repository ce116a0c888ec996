"""Cardinal's objects as spectra, block by block: only what is asked for is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph.data.spectra import Spectra
from massgraph.data.validation import PixelError
from massgraph.io._centroid import looks_like_profile
from massgraph.r.peaks import PeakOrder, check_representation, some_of
from massgraph.r.session import function, start
from massgraph.r.values import NA_INTEGER, as_scalar, as_text, factor, view

__all__ = ["CardinalSpectra", "open_cardinal"]

# Values of a block where nobody chose a size: 32 MB as R's doubles.
BLOCK_VALUES = 4 * 2**20

# The exact classes of R's own in-memory storage; others are read through their `[`.
COMPRESSED = "dgCMatrix"

Reader = Callable[[int, int], Spectra]


@dataclass(frozen=True, eq=False)
class CardinalSpectra:
    """The spectra of an R object, without a copy of them.

    Made by `open_cardinal`.

    Parameters
    ----------
    where
        The pixels without their peaks.
    axis
        The m/z of the features, float64; None for ragged spectra.
    pixels_per_block
        Pixels that `blocks` reads at a time.
    read
        Reads the pixels from one index up to another, with everything known of them; where
        `Spectra` refuses one, PixelError names its index among all.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> where, read = mg.streaming.without_peaks(spectra), lambda first, stop: spectra[first:stop]
    >>> image = mg.r.CardinalSpectra(where, None, 100, read)
    >>> [len(block) for block in image.blocks()]
    [100, 44]
    """

    where: Spectra
    axis: NDArray[np.float64] | None
    pixels_per_block: int
    read: Reader

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.where.n_pixels

    @property
    def run(self) -> NDArray[np.str_]:
        """Name of the run of each pixel."""
        return self.where.run

    def places(self) -> Spectra:
        """All pixels without their peaks, for which nothing is read."""
        return self.where

    def blocks(self) -> Iterator[Spectra]:
        """All pixels in order, in blocks of `pixels_per_block`.

        Raises
        ------
        PixelError
            As `read` does: for data that `Spectra` refuses, with the index of the pixel among all.
        """
        for first in range(0, self.n_pixels, self.pixels_per_block):
            yield self.read(first, min(first + self.pixels_per_block, self.n_pixels))

    def spectra(self) -> Spectra:
        """All pixels at once; their peaks are copied, zeros left out."""
        return Spectra.concatenate(list(self.blocks()) or [self.read(0, 0)])


def open_cardinal(
    x: Any,
    *,
    polarity: str | None = None,
    pixels_per_block: int | None = None,
) -> CardinalSpectra:
    """Open a Cardinal object for reading.

    Parameters
    ----------
    x
        An `MSImagingExperiment`, a `SpectralImagingExperiment` with a column `mz` of features, or
        an `MSImagingArrays`: a dense or sparse matrix in memory, or anything with R's `[`, such as
        matter's matrices and lists on disk.
    polarity
        ``"positive"`` or ``"negative"``, which Cardinal does not record.
    pixels_per_block
        How many pixels are read at a time (default: about 4 million values).

    Returns
    -------
    CardinalSpectra

    Raises
    ------
    TypeError
        For an object of another class.
    ValueError
        For profile spectra, features without m/z or out of order, or other data that `Spectra`
        refuses.

    Warns
    -----
    UserWarning
        For spectra that are declared to be peaks and look like profiles, and, as they are read,
        for peaks of a pixel that are out of order or share their m/z.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> image = mg.r.open_cardinal(x, polarity="negative", pixels_per_block=1)
    >>> [block.n_peaks for block in image.blocks()]
    [2, 3]
    """
    if pixels_per_block is not None and pixels_per_block < 1:
        msg = f"pixels_per_block {pixels_per_block} is not 1 or more"
        raise InputError(msg)
    if _is(x, "MSImagingArrays"):
        return _open_arrays(x, polarity, pixels_per_block)
    if _is(x, "SpectralImagingExperiment"):
        return _open_experiment(x, polarity, pixels_per_block)
    msg = (
        f"an R object of class {'/'.join(x.rclass)} is neither an MSImagingExperiment, a "
        "SpectralImagingExperiment nor an MSImagingArrays"
    )
    raise InputTypeError(msg)


# R is asked, since classes may extend those of Cardinal: `x.rclass` names the class itself only.
def _is(x: Any, name: str) -> bool:
    return bool(as_scalar(function("is")(x, name)))


# -------------------------------------------------------------------- one m/z axis


def _open_experiment(x: Any, polarity: str | None, size: int | None) -> CardinalSpectra:
    axis = _feature_mz(x)
    spectra = function("spectra")(x)
    n_pixels = int(function("dim")(spectra)[1])
    rows = _rows_reader(spectra)
    pixels = _pixel_data(x, n_pixels)
    check_representation(x, _is(x, "MSImagingExperiment"), _some_spectra(rows, axis, n_pixels))

    def read(first: int, stop: int) -> Spectra:
        part = {name: values[first:stop] for name, values in pixels.items()}
        values = _unmeasured_as_empty(rows(first, stop))
        return Spectra.from_matrix(values, axis, polarity=polarity, **part)

    chosen = size or max(1, BLOCK_VALUES // max(axis.size, 1))
    where = _without_peaks(n_pixels, polarity, pixels)
    return CardinalSpectra(where, axis, chosen, _naming_pixels(read))


def _some_spectra(
    rows: Callable[[int, int], Any], axis: NDArray[np.float64], n_pixels: int
) -> list[NDArray[np.float64]]:
    """The m/z at which some pixels have anything; none are read where the axis is not fine."""
    if not looks_like_profile(np.sort(axis)):
        return []
    # Peaks may lie on an axis as fine as that of a profile.
    some = [rows(pixel, pixel + 1) for pixel in some_of(n_pixels)]
    values = [row.toarray()[0] if sp.issparse(row) else row[0] for row in some]
    return [np.sort(axis[one != 0]) for one in values if one.size == axis.size]


def _naming_pixels(read: Reader) -> Reader:
    """The reader with errors that name a pixel by its index among all."""

    def named(first: int, stop: int) -> Spectra:
        try:
            return read(first, stop)
        except PixelError as error:
            raise PixelError(first + error.pixel, error.problem) from None

    return named


def _feature_mz(x: Any) -> NDArray[np.float64]:
    """The m/z of the features, copied: it is short, and outlives the R object."""
    column = function("[[")(function("featureData")(x), "mz")
    if column is start().NULL:
        msg = "the features have no m/z: add a column 'mz' to featureData"
        raise InputError(msg)
    axis = np.array(view(column), dtype=np.float64)
    if not np.isfinite(axis).all():
        place = int(np.argmin(np.isfinite(axis)))
        msg = f"feature {place + 1} has the m/z {axis[place]}: remove it, or give it one"
        raise InputError(msg)
    return axis


def _rows_reader(spectra: Any) -> Callable[[int, int], Any]:
    """A function that gives the pixels from one index up to another as rows of a matrix."""
    if COMPRESSED in spectra.rclass:
        n_features, _ = view(spectra.do_slot("Dim")).tolist()
        p, i, x = (view(spectra.do_slot(name)) for name in ("p", "i", "x"))
        return lambda first, stop: _sparse_rows(p, i, x, n_features, first, stop)
    if isinstance(spectra, (start().FloatSexpVector, start().IntSexpVector)):
        matrix = view(spectra)
        return lambda first, stop: _doubles(matrix[:, first:stop].T)
    extract, as_matrix = function("["), function("as.matrix")

    def extracted(first: int, stop: int) -> NDArray[np.float64]:
        columns = start().IntSexpVector(range(first + 1, stop + 1))
        block = extract(spectra, start().MissingArg, columns, drop=False)
        return _doubles(view(as_matrix(block)).T)

    return extracted


def _sparse_rows(
    p: NDArray[np.int32],
    i: NDArray[np.int32],
    x: NDArray[np.float64],
    n_features: int,
    first: int,
    stop: int,
) -> sp.csr_matrix:
    """Columns of R's compressed sparse columns are rows of compressed sparse rows: views."""
    values = slice(int(p[first]), int(p[stop]))
    starts = p[first : stop + 1] - p[first]
    return sp.csr_matrix((x[values], i[values], starts), shape=(stop - first, n_features))


def _unmeasured_as_empty(rows: Any) -> Any:
    """Pixels that are NA throughout have no peaks; a single NA is refused further on."""
    if not all(rows.shape):
        return rows
    sparse = sp.issparse(rows)
    first = rows[:, [0]].toarray().ravel() if sparse else rows[:, 0]
    suspects = np.flatnonzero(np.isnan(first))  # most often none, and nothing else is looked at
    some = rows[suspects].toarray() if sparse else rows[suspects]
    unmeasured = suspects[np.isnan(some).all(axis=1)]
    if unmeasured.size == 0:
        return rows
    rows = rows.copy()  # the memory is R's
    for row in unmeasured:
        if sparse:
            rows.data[rows.indptr[row] : rows.indptr[row + 1]] = 0
        else:
            rows[row] = 0
    return rows


def _doubles(values: NDArray[Any]) -> NDArray[Any]:
    """Doubles as they are; R's missing integers as NaN, which is refused further on."""
    if values.dtype.kind == "f":
        return values
    return np.where(values == NA_INTEGER, np.nan, values.astype(np.float64))


# -------------------------------------------------------------------- ragged


def _open_arrays(x: Any, polarity: str | None, size: int | None) -> CardinalSpectra:
    mz, intensity = function("mz")(x), function("intensity")(x)
    counts = view(function("lengths")(intensity))
    n_pixels = len(counts)
    pixels = _pixel_data(x, n_pixels)
    where = _without_peaks(n_pixels, polarity, pixels)
    some = [np.sort(one) for pixel in some_of(n_pixels) for one in _arrays(mz, pixel, pixel + 1)]
    check_representation(x, True, some)
    order = PeakOrder(lambda pixel: _place(where, pixel))
    empty = np.empty(0)  # of pixels that are NA throughout

    def read(first: int, stop: int) -> Spectra:
        part = {name: values[first:stop] for name, values in pixels.items()}
        peaks = list(zip(_arrays(mz, first, stop), _arrays(intensity, first, stop), strict=True))
        measured = [pair if not np.isnan(pair[1]).all() else (empty, empty) for pair in peaks]
        ordered = [order(first + place, *pair) for place, pair in enumerate(measured)]
        return Spectra.from_peaks(ordered, polarity=polarity, **part)

    longest = int(counts.max()) if counts.size else 0
    chosen = size or max(1, BLOCK_VALUES // max(longest, 1))
    return CardinalSpectra(where, None, chosen, _naming_pixels(read))


def _place(where: Spectra, pixel: int) -> str:
    """Where a pixel is, in words that R and Python share: they count from one and from zero."""
    if where.coordinates is None:
        return f"a pixel of {where.run[pixel]}"
    at = ", ".join(
        f"{axis} = {value:g}" for axis, value in zip("xyz", where.coordinates[pixel], strict=False)
    )
    return f"the pixel at {at} in {where.run[pixel]}"


def _arrays(arrays: Any, first: int, stop: int) -> list[NDArray[np.float64]]:
    """Arrays from one index up to another; those of lists on disk are read."""
    indices = start().IntSexpVector(range(first + 1, stop + 1))
    return [_doubles(view(values)) for values in function("[")(arrays, indices)]


# -------------------------------------------------------------------- pixels


def _pixel_data(x: Any, n_pixels: int) -> dict[str, NDArray[Any]]:
    """Coordinates, run and, where the pixels have them, names."""
    data: dict[str, NDArray[Any]] = {}
    coordinates = _coordinates(x)
    if coordinates is not None:
        data["coordinates"] = coordinates
    codes, levels = factor(function("run")(x))
    if codes.size != n_pixels:
        msg = f"run has {codes.size} values for {n_pixels} pixels"
        raise InputError(msg)
    if (codes < 0).any():
        raise PixelError(int(np.argmax(codes < 0)), "has no run: give it one")
    data["run"] = np.array(levels, dtype=np.str_)[codes]
    names = function("rownames")(function("pixelData")(x))
    if names is not start().NULL:
        data["names"] = np.array(as_text(names), dtype=np.str_)
    return data


def _without_peaks(n_pixels: int, polarity: str | None, pixels: dict[str, NDArray[Any]]) -> Spectra:
    return Spectra.from_arrays([], [], np.zeros(n_pixels + 1), polarity=polarity, **pixels)


def _coordinates(x: Any) -> NDArray[np.float64] | None:
    """(x, y) or (x, y, z) of each pixel; None where there are none."""
    table = function("as.list")(function("coord")(x))
    columns = [view(column).astype(np.float64) for column in table]
    if len(columns) < 2:
        return None
    return np.stack(columns[:3], axis=1)
