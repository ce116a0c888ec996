"""Spectra: the one data model between readers and everything else.

A mass spectrometry image is a list of pixels, each with its own peak list. Peak lists are kept
ragged: one long array of m/z, one of intensities, and offsets that say where each pixel begins.
Data on one shared m/z axis are the same thing with the absent peaks left out, so that aligned and
ragged forms of the same pixels are indistinguishable to the graph and the model.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import EllipsisType
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError
from massgraph.data.alignment import assign_to_axis, find_axis
from massgraph.data.ranks import rank_in_pixels
from massgraph.data.rasters import Rasters, join_rasters, joint_size, unlike_polarity, with_z
from massgraph.data.validation import (
    PixelError,
    check_axis,
    check_coordinates,
    check_names,
    check_offsets,
    check_on_axis,
    check_peaks,
    check_pixel_size,
    check_runs,
    check_sparse,
)

__all__ = ["Spectra"]

NORMALIZATIONS = ("tic", "rms", "none")
POLARITIES = ("positive", "negative")

Key = int | np.integer[Any] | slice | Sequence[int] | Sequence[bool] | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Centroided peak lists of many pixels.

    Parameters
    ----------
    mz
        m/z of all peaks, float64, shape ``(n_peaks,)``, ascending within each pixel.
    intensity
        Intensities, float32, shape ``(n_peaks,)``, finite and above zero.
    offsets
        int64, shape ``(n_pixels + 1,)``; pixel ``i`` has peaks ``offsets[i]:offsets[i + 1]``.
    coordinates
        Shape ``(n_pixels, 2)`` as (x, y), or ``(n_pixels, 3)`` as (x, y, z), in pixels; None where
        the spectra have no place (single cells, say).
    run_codes, run_names
        The run (slide, sample) of each pixel as a code into ``run_names``; default: one run "run0".
    polarity
        ``"positive"``, ``"negative"`` or None where unknown.
    pixel_size, pixel_size_unit
        Size of a pixel in x and y, and its unit; None where unknown.
    names
        One name per pixel, or None.
    axis
        The shared m/z axis, ascending float64, where the data came with one; every m/z is then one
        of its values. None for ragged data.
    rasters
        What the file of a run says of places that its pixels do not show, by the name of the run;
        runs whose file says no more have none (`massgraph.data.rasters.FileRaster`).

    Raises
    ------
    ValueError
        Where shapes disagree, a value is not finite, an intensity is not above zero, the m/z of a
        pixel do not ascend, or one is not on the axis. The message names the pixel and the value.

    Notes
    -----
    Arrays of the right type are kept as they are, never copied; treat them as read-only.

    Examples
    --------
    >>> import massgraph as mg
    >>> peaks = [([500.1, 703.6], [3.0, 1.0]), ([500.1], [2.0])]
    >>> spectra = mg.Spectra.from_peaks(peaks, coordinates=[[1, 1], [2, 1]])
    >>> spectra
    Spectra(2 pixels, 3 peaks, m/z 500.1000-703.6000, 1 run, polarity unknown)
    >>> spectra[0].mz.tolist()
    [500.1, 703.6]
    """

    mz: NDArray[np.float64]
    intensity: NDArray[np.float32]
    offsets: NDArray[np.int64]
    coordinates: NDArray[np.float64] | None = None
    run_codes: NDArray[np.int32] | None = None
    run_names: tuple[str, ...] = ("run0",)
    polarity: str | None = None
    pixel_size: tuple[float, float] | None = None
    pixel_size_unit: str = "um"
    names: NDArray[np.str_] | None = None
    axis: NDArray[np.float64] | None = None
    rasters: Rasters = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cast("mz", np.float64)
        self._cast("intensity", np.float32)
        self._cast("offsets", np.int64)
        check_offsets(self.mz, self.intensity, self.offsets)
        check_peaks(self.mz, self.intensity, self.offsets)
        if self.axis is not None:
            self._cast("axis", np.float64)
            check_axis(self.axis)
            check_on_axis(self.axis, self.mz, self.offsets)
        if self.coordinates is not None:
            self._cast("coordinates", np.float64)
            check_coordinates(self.coordinates, self.n_pixels)
        if self.run_codes is None:
            object.__setattr__(self, "run_codes", np.zeros(self.n_pixels, dtype=np.int32))
        self._cast("run_codes", np.int32)
        check_runs(self._codes, len(self.run_names), self.n_pixels)
        if self.polarity is not None and self.polarity not in POLARITIES:
            msg = f"polarity {self.polarity!r} is none of {POLARITIES}"
            raise InputError(msg)
        if self.pixel_size is not None:
            check_pixel_size(self.pixel_size)
        if self.names is not None:
            self._cast("names", np.str_)
            check_names(self.names, self.n_pixels)

    def _cast(self, field: str, dtype: Any) -> None:
        object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=dtype))

    # ---------------------------------------------------------------- construction

    @classmethod
    def from_peaks(
        cls,
        peaks: Sequence[tuple[ArrayLike, ArrayLike]],
        *,
        coordinates: ArrayLike | None = None,
        run: ArrayLike | None = None,
        **pixel_data: Any,
    ) -> Spectra:
        """Build from one ``(mz, intensity)`` pair per pixel; zero intensities are left out.

        Parameters
        ----------
        peaks
            Per pixel the m/z (ascending) and intensities of its peaks; either may be empty.
        coordinates, run, pixel_data
            As for `from_matrix`.
        """
        mzs = [np.asarray(mz, dtype=np.float64) for mz, _ in peaks]
        intensities = [np.asarray(value, dtype=np.float32) for _, value in peaks]
        for pixel, (mz, intensity) in enumerate(zip(mzs, intensities, strict=True)):
            if mz.shape != intensity.shape:
                problem = f"{mz.size} m/z but {intensity.size} intensities"
                raise PixelError(pixel, problem)
        offsets = np.concatenate(([0], np.cumsum([mz.size for mz in mzs], dtype=np.int64)))
        return cls.from_arrays(
            np.concatenate([*mzs, np.empty(0)]),
            np.concatenate([*intensities, np.empty(0, dtype=np.float32)]),
            offsets,
            coordinates=coordinates,
            run=run,
            **pixel_data,
        )

    @classmethod
    def from_arrays(
        cls,
        mz: ArrayLike,
        intensity: ArrayLike,
        offsets: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        run: ArrayLike | None = None,
        **pixel_data: Any,
    ) -> Spectra:
        """Build from concatenated peak lists, leaving out peaks of zero intensity.

        A peak of zero intensity is an absent peak; a negative one is an artefact of baseline
        subtraction and is treated likewise, with a warning. Other parameters as for the class;
        `run` holds one run label per pixel.

        Raises
        ------
        ValueError
            As for the class.
        """
        mz = np.asarray(mz, dtype=np.float64)
        intensity = np.asarray(intensity, dtype=np.float32)
        bounds = np.asarray(offsets, dtype=np.int64)
        absent = intensity <= 0
        if absent.any():
            # Now, not only in the class: wrong offsets would lead out of `kept` below.
            check_offsets(mz, intensity, bounds)
            negative = int(np.count_nonzero(intensity < 0))
            if negative:
                msg = f"{negative} negative intensities were treated as absent peaks"
                warnings.warn(msg, UserWarning, stacklevel=2)
            kept = np.concatenate(([0], np.cumsum(~absent)))
            mz, intensity, bounds = mz[~absent], intensity[~absent], kept[bounds]
        run_codes, run_names = _encode_runs(run)
        return cls(
            mz=mz,
            intensity=intensity,
            offsets=bounds,
            coordinates=None if coordinates is None else np.asarray(coordinates, dtype=np.float64),
            run_codes=run_codes,
            run_names=run_names,
            **pixel_data,
        )

    @classmethod
    def from_matrix(
        cls,
        X: Any,
        mz: ArrayLike,
        *,
        coordinates: ArrayLike | None = None,
        run: ArrayLike | None = None,
        **pixel_data: Any,
    ) -> Spectra:
        """Build from a pixels x features matrix on one m/z axis.

        Parameters
        ----------
        X
            Dense array or scipy sparse matrix (any format), shape ``(n_pixels, n_features)``. The
            data of a float32 CSR matrix with sorted indices and no zeros are used without a copy.
        mz
            The m/z of each column, strictly ascending.
        coordinates
            (x, y) or (x, y, z) per pixel.
        run
            One run label per pixel; default: all in one run.
        pixel_data
            `polarity`, `pixel_size`, `pixel_size_unit`, `names` as for the class.

        Raises
        ------
        ValueError
            Where shapes disagree, a value is not finite, the axis does not ascend or a sparse
            matrix is damaged.
        """
        axis = np.asarray(mz, dtype=np.float64)
        check_sparse(X)
        matrix = sp.csr_matrix(X)  # no copy of what is CSR already
        if axis.ndim != 1 or matrix.shape[1] != axis.size:
            msg = f"the matrix has {matrix.shape[1]} columns but mz has shape {axis.shape}"
            raise InputError(msg)
        check_axis(axis)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()  # it may be the caller's own, and is changed in place
            matrix.sum_duplicates()
        spectra = cls.from_arrays(
            axis[matrix.indices],
            matrix.data,
            matrix.indptr,
            coordinates=coordinates,
            run=run,
            **pixel_data,
        )
        return spectra._derive(axis=axis)

    @classmethod
    def concatenate(cls, parts: Sequence[Spectra]) -> Spectra:
        """Join pixels of several parts, in order; runs of the same name are one run.

        The shared axis is kept where all parts have the same one, and so is the size of a pixel:
        where it differs it becomes unknown, with a warning. Beside parts of three coordinates those
        of two get a z of 1. Raises ValueError where nothing is given, or where polarity differs or
        only some parts have coordinates or names.
        """
        if not parts:
            msg = "concatenate needs at least one Spectra"
            raise InputError(msg)
        first = parts[0]
        for part in parts[1:]:
            if part.polarity != first.polarity:
                raise unlike_polarity(first.polarity, part.polarity)
        ends = np.cumsum([0, *(part.n_peaks for part in parts)])
        offsets = [part.offsets[1:] + end for part, end in zip(parts, ends[:-1], strict=True)]
        run_codes, run_names = _encode_runs(np.concatenate([part.run for part in parts]))
        return replace(
            first,
            mz=np.concatenate([part.mz for part in parts]),
            intensity=np.concatenate([part.intensity for part in parts]),
            offsets=np.concatenate([[0], *offsets]),
            coordinates=_join(with_z([part.coordinates for part in parts]), "coordinates"),
            pixel_size=joint_size((part.pixel_size, part.pixel_size_unit) for part in parts),
            run_codes=run_codes,
            run_names=run_names,
            names=_join([part.names for part in parts], "names"),
            axis=first.axis if all(_same_axis(part, first) for part in parts) else None,
            rasters=join_rasters(part.rasters for part in parts),
        )

    # ---------------------------------------------------------------- looking

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return len(self.offsets) - 1

    @property
    def n_peaks(self) -> int:
        """Number of peaks over all pixels."""
        return len(self.mz)

    @property
    def shape(self) -> tuple[int]:
        """``(n_pixels,)``: lets scikit-learn split pixels into folds."""
        return (self.n_pixels,)

    def __len__(self) -> int:
        return self.n_pixels

    @property
    def run(self) -> NDArray[np.str_]:
        """Run name of each pixel, shape ``(n_pixels,)``."""
        return np.asarray(self.run_names, dtype=np.str_)[self._codes]

    @property
    def _codes(self) -> NDArray[np.int32]:
        if self.run_codes is None:  # __post_init__ fills them; this is for the type checker
            msg = "run_codes were not set"
            raise InputError(msg)
        return self.run_codes

    @property
    def peak_counts(self) -> NDArray[np.int64]:
        """Number of peaks of each pixel, shape ``(n_pixels,)``."""
        return np.diff(self.offsets)

    @property
    def pixel_of_peak(self) -> NDArray[np.int64]:
        """Pixel index of each peak, shape ``(n_peaks,)``."""
        return np.repeat(np.arange(self.n_pixels), self.peak_counts)

    def pixel(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Views of the m/z and intensities of one pixel; raises IndexError where there is none."""
        index = range(self.n_pixels)[index]
        peaks = slice(self.offsets[index], self.offsets[index + 1])
        return self.mz[peaks], self.intensity[peaks]

    def tic(self) -> NDArray[np.float64]:
        """Total ion current of each pixel, shape ``(n_pixels,)``."""
        return self._sum_by_pixel(self.intensity.astype(np.float64))

    def fingerprint(self) -> str:
        """SHA-256 over offsets, m/z and intensities: equal only for the same peaks."""
        digest = hashlib.sha256()
        # Offsets too: the same peaks dealt to other pixels are other data.
        for array in (self.offsets, self.mz, self.intensity):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _sum_by_pixel(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # bincount of nothing counts in integers, weights or not.
        sums = np.bincount(self.pixel_of_peak, weights=values, minlength=self.n_pixels)
        return sums.astype(np.float64, copy=False)

    def __repr__(self) -> str:
        n_runs = np.unique(self._codes).size
        span = f", m/z {self.mz.min():.4f}-{self.mz.max():.4f}" if self.n_peaks else ""
        return (
            f"Spectra({self.n_pixels} pixels, {self.n_peaks} peaks{span}, "
            f"{n_runs} {'run' if n_runs == 1 else 'runs'}, polarity {self.polarity or 'unknown'})"
        )

    # ---------------------------------------------------------------- choosing

    def __getitem__(self, key: Key | tuple[Key, EllipsisType]) -> Spectra:
        """Choose pixels by index, slice, mask or index array; a slice of step 1 shares memory."""
        if isinstance(key, tuple):  # scikit-learn asks for X[rows, ...]
            if len(key) != 2 or key[1] is not Ellipsis:
                msg = f"spectra have one dimension, pixels: cannot choose {key}"
                raise IndexError(msg)
            key = key[0]
        if isinstance(key, (int, np.integer)):
            first = range(self.n_pixels)[int(key)]
            key = slice(first, first + 1)
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(self.n_pixels)
            return self._take(slice(start, max(start, stop)))
        if not isinstance(key, slice):
            key = np.asarray(key)
            if key.ndim != 1:
                msg = f"pixels are chosen by an index or a mask, not an array of shape {key.shape}"
                raise IndexError(msg)
            # numpy makes floats of an empty list, and takes no floats for indices.
            key = key if key.size else key.astype(np.int64)
        return self._take(np.arange(self.n_pixels)[key])

    def _take(self, pixels: slice | NDArray[np.int64]) -> Spectra:
        """Pixels by a slice (views) or by indices (copies), without validating again."""
        peaks: slice | NDArray[np.int64]
        if isinstance(pixels, slice):
            peaks = slice(self.offsets[pixels.start], self.offsets[pixels.stop])
            offsets = self.offsets[pixels.start : pixels.stop + 1] - self.offsets[pixels.start]
        else:
            counts = self.peak_counts[pixels]
            offsets = np.concatenate(([0], np.cumsum(counts)))
            peaks = np.arange(offsets[-1]) + np.repeat(
                self.offsets[:-1][pixels] - offsets[:-1], counts
            )
        return self._derive(
            mz=self.mz[peaks],
            intensity=self.intensity[peaks],
            offsets=offsets,
            coordinates=None if self.coordinates is None else self.coordinates[pixels],
            run_codes=self._codes[pixels],
            names=None if self.names is None else self.names[pixels],
        )

    def rename_runs(self, names: Mapping[str, str]) -> Spectra:
        """The same pixels, with other names for some runs; they share all arrays."""
        return self._derive(
            run_names=tuple(names.get(name, name) for name in self.run_names),
            rasters={names.get(name, name): raster for name, raster in self.rasters.items()},
        )

    def _derive(self, **changes: Any) -> Spectra:
        """Copy of this object with changes that need no validation."""
        derived = object.__new__(Spectra)
        derived.__dict__.update({**self.__dict__, **changes})
        return derived

    def keep_peaks(self, keep: NDArray[np.bool_]) -> Spectra:
        """Keep the peaks where `keep`, shape ``(n_peaks,)``, is true; all pixels stay.

        Raises ValueError where `keep` is not a mask of all peaks.
        """
        if keep.dtype != np.bool_ or keep.shape != self.mz.shape:
            msg = f"keep is {keep.dtype} of shape {keep.shape}, need bool of {self.mz.shape}"
            raise InputError(msg)
        kept = np.concatenate(([0], np.cumsum(keep)))
        return self._derive(
            mz=self.mz[keep], intensity=self.intensity[keep], offsets=kept[self.offsets]
        )

    def mz_range(self, low: float, high: float) -> Spectra:
        """Keep the peaks with ``low <= m/z <= high``; all pixels stay.

        Raises ValueError where `low` is not below `high`.
        """
        if not low < high:
            msg = f"the m/z range {low} to {high} is empty"
            raise InputError(msg)
        return self.keep_peaks((self.mz >= low) & (self.mz <= high))

    def top_peaks(self, n: int) -> Spectra:
        """Keep the `n` most intense peaks of each pixel (ties: lower m/z first).

        Raises ValueError where `n` is below one.
        """
        if n < 1:
            msg = f"top_peaks needs n of at least 1, got {n}"
            raise InputError(msg)
        if self.peak_counts.max(initial=0) <= n:
            return self  # ranking sorts all peaks
        return self.keep_peaks(self.intensity_rank() < n)

    def intensity_rank(self) -> NDArray[np.int64]:
        """Rank of each peak in its pixel, 0 the most intense (ties: lower m/z first)."""
        # m/z ascend in a pixel: of equal peaks the first has the lower one.
        return rank_in_pixels(self.intensity, self.pixel_of_peak)

    def normalize(self, method: str = "tic") -> Spectra:
        """Scale the intensities of each pixel; m/z are shared with this object.

        Parameters
        ----------
        method
            ``"tic"``: to a mean intensity of one (sum = number of peaks); ``"rms"``: to a root
            mean square of one; ``"none"``: unchanged.

        Raises
        ------
        ValueError
            For another method.
        """
        if method not in NORMALIZATIONS:
            msg = f"normalization {method!r} is none of {NORMALIZATIONS}"
            raise InputError(msg)
        if method == "none":
            return self
        intensity = self.intensity.astype(np.float64)
        counts = np.maximum(self.peak_counts, 1)
        scale = (
            self.tic() / counts
            if method == "tic"
            else np.sqrt(self._sum_by_pixel(intensity**2) / counts)
        )
        scaled = intensity / np.repeat(scale, self.peak_counts)
        # A peak 38 orders of magnitude below the rest must not become an absent one.
        return self._derive(
            intensity=np.maximum(scaled, np.finfo(np.float32).tiny).astype(np.float32)
        )

    # ---------------------------------------------------------------- a common axis

    def align(
        self, tolerance: float, unit: str = "ppm"
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Place every peak on a common axis of ions.

        Parameters
        ----------
        tolerance, unit
            Half the width of an ion, in ``"ppm"`` or ``"Da"``; no peak is farther than twice this
            from its ion. Not used where the spectra carry a shared axis: its columns are then the
            ions.

        Returns
        -------
        axis
            m/z of the ions, ascending, shape ``(n_ions,)``.
        ion
            Ion of each peak, shape ``(n_peaks,)``; every peak has one.

        Notes
        -----
        Ions are the maxima of the pooled, smoothed density of all peaks; peaks go to the nearest
        one, and those farther than two tolerances from all make ions of their own.
        """
        if self.axis is not None:
            return self.axis, np.searchsorted(self.axis, self.mz)
        axis = find_axis(self.mz, tolerance, unit)
        ion = assign_to_axis(self.mz, axis)
        # An early ion may lose all its peaks to later ones that lie nearer.
        used = np.bincount(ion, minlength=axis.size) > 0
        return axis[used], (np.cumsum(used) - 1)[ion]

    def to_matrix(
        self, tolerance: float = 5.0, unit: str = "ppm"
    ) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
        """Pixels x ions matrix (CSR, float32) on a common axis, and the axis.

        Parameters as for `align`. Intensities of several peaks of a pixel at one ion are summed,
        so that nothing is lost: the row sums are the total ion currents.
        """
        axis, ion = self.align(tolerance, unit)
        # Copied, as the sums are taken in place: these intensities and offsets are the spectra's.
        matrix = sp.csr_matrix(
            (self.intensity, ion, self.offsets), shape=(self.n_pixels, axis.size), copy=True
        )
        matrix.sum_duplicates()
        return matrix, axis

    def __iter__(self) -> Iterator[Spectra]:
        return (self[index] for index in range(self.n_pixels))


def _encode_runs(run: ArrayLike | None) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """Codes and names, in order of first appearance."""
    if run is None:
        return None, ("run0",)
    labels = np.asarray(run).astype(np.str_)
    names, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return rank[codes].astype(np.int32), tuple(str(name) for name in names[order])


def _join(arrays: list[NDArray[Any] | None], field: str) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    if not present:
        return None
    if len(present) != len(arrays) or len({array.shape[1:] for array in present}) > 1:
        msg = f"parts differ in {field}: some have other or no {field}"
        raise InputError(msg)
    return np.concatenate(present)


def _same_axis(part: Spectra, first: Spectra) -> bool:
    if part.axis is None or first.axis is None:
        return False
    return part.axis is first.axis or np.array_equal(part.axis, first.axis)
