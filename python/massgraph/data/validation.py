"""What `Spectra` demands of its arrays; each message names the pixel and the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.errors import InputError

__all__ = [
    "PixelError",
    "check_axis",
    "check_coordinates",
    "check_names",
    "check_offsets",
    "check_on_axis",
    "check_peaks",
    "check_pixel_size",
    "check_runs",
    "check_sparse",
]

Floats = NDArray[np.float64]
Offsets = NDArray[np.int64]


class PixelError(InputError):
    """A pixel that cannot be used; `pixel` is its index, `problem` what is wrong with it.

    Examples
    --------
    >>> import massgraph as mg
    >>> mg.Spectra.from_peaks([([500.1], [3.0]), ([700.2, 600.3], [1.0, 2.0])])
    Traceback (most recent call last):
    ...
    massgraph.data.validation.PixelError: pixel 1: m/z do not ascend (600.3 after 700.2)
    """

    def __init__(self, pixel: int, problem: str) -> None:
        super().__init__(f"pixel {pixel}: {problem}")
        self.pixel, self.problem = pixel, problem


def pixel_at(offsets: Offsets, peak: int) -> int:
    """Pixel that a peak belongs to."""
    return int(np.searchsorted(offsets, peak, side="right")) - 1


def check_offsets(mz: Floats, intensity: NDArray[np.float32], offsets: Offsets) -> None:
    """Refuse arrays that differ in shape, and offsets that do not cover each peak once.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_offsets
    >>> check_offsets(np.ones(3), np.ones(3, np.float32), np.array([0, 2]))
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: offsets must run from 0 to the number of peaks, 3
    """
    if mz.ndim != 1 or mz.shape != intensity.shape:
        msg = f"mz and intensity must be 1-D and alike, got shapes {mz.shape} and {intensity.shape}"
        raise InputError(msg)
    if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(mz):
        msg = f"offsets must run from 0 to the number of peaks, {len(mz)}"
        raise InputError(msg)
    falls = np.diff(offsets) < 0
    if falls.any():
        msg = f"offsets fall at pixel {int(np.argmax(falls))}"
        raise InputError(msg)


def check_sparse(matrix: Any) -> None:
    """Refuse a sparse matrix whose pointers or indices lead out of it: scipy's C follows them.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from massgraph.data.validation import check_sparse
    >>> matrix = sp.csr_matrix([[0.0, 2.0], [1.0, 0.0]])
    >>> matrix.indices[0] = 7
    >>> check_sparse(matrix)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: the sparse matrix is damaged: it has the index 7, need 0 to 1
    """
    if not sp.issparse(matrix) or matrix.format not in ("csr", "csc"):
        return
    # The arrays are public and can be set to anything, and damaged h5ad files come through here.
    rows, columns = matrix.shape
    lines, width = (rows, columns) if matrix.format == "csr" else (columns, rows)
    pointers, indices = matrix.indptr, matrix.indices
    n_values = min(len(indices), len(matrix.data))
    ascend = len(pointers) == lines + 1 and bool(np.all(pointers[:-1] <= pointers[1:]))
    if not ascend or pointers[0] != 0 or pointers[-1] > n_values:
        msg = f"the sparse matrix is damaged: its pointers do not ascend from 0 to {n_values}"
        raise InputError(msg)
    used = indices[: pointers[-1]]
    if used.size and (used.min() < 0 or used.max() >= width):
        wrong = used.min() if used.min() < 0 else used.max()
        msg = f"the sparse matrix is damaged: it has the index {wrong}, need 0 to {width - 1}"
        raise InputError(msg)


def check_peaks(mz: Floats, intensity: NDArray[np.float32], offsets: Offsets) -> None:
    """Refuse values that are not finite and above zero, and m/z that fall within a pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_peaks
    >>> check_peaks(np.array([500.1]), np.array([np.nan], np.float32), np.array([0, 1]))
    Traceback (most recent call last):
    ...
    massgraph.data.validation.PixelError: pixel 0: intensity nan is not finite and above zero
    """
    # Zero is refused too: it means no peak, and node features take the logarithm.
    for field, values in (("mz", mz), ("intensity", intensity)):
        bad = ~np.isfinite(values) | (values <= 0)
        if bad.any():
            peak = int(np.argmax(bad))
            problem = f"{field} {values[peak]} is not finite and above zero"
            raise PixelError(pixel_at(offsets, peak), problem)
    falls = np.diff(mz) < 0
    # m/z may fall from the last peak of a pixel to the first of the next; empty pixels at either
    # end of the array begin where there is no such pair.
    starts = offsets[1:-1]
    falls[starts[(starts > 0) & (starts < len(mz))] - 1] = False
    if falls.any():
        peak = int(np.argmax(falls)) + 1
        problem = f"m/z do not ascend ({mz[peak]} after {mz[peak - 1]})"
        raise PixelError(pixel_at(offsets, peak), problem)


def check_axis(axis: Floats) -> None:
    """Refuse an axis that is not 1-D, finite, above zero and strictly ascending.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_axis
    >>> check_axis(np.array([500.1, 500.1]))
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: the m/z axis does not ascend at column 1 (500.1 after 500.1)
    """
    if axis.ndim != 1:
        msg = f"the m/z axis has shape {axis.shape}, need one dimension"
        raise InputError(msg)
    bad = ~(np.isfinite(axis) & (axis > 0))
    if bad.any():
        at = int(np.argmax(bad))
        msg = f"the m/z axis at column {at} is {axis[at]}, not finite and above zero"
        raise InputError(msg)
    falls = ~(np.diff(axis) > 0)
    if falls.any():
        at = int(np.argmax(falls)) + 1
        msg = f"the m/z axis does not ascend at column {at} ({axis[at]} after {axis[at - 1]})"
        raise InputError(msg)


def check_on_axis(axis: Floats, mz: Floats, offsets: Offsets) -> None:
    """Refuse m/z that are not values of the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_on_axis
    >>> check_on_axis(np.array([500.1, 600.2]), np.array([500.3]), np.array([0, 1]))
    Traceback (most recent call last):
    ...
    massgraph.data.validation.PixelError: pixel 0: m/z 500.3 is not on the m/z axis
    """
    # Exactly, without a tolerance: the column of a peak is later looked up by its m/z.
    column = np.searchsorted(axis, mz)
    off = column == axis.size
    off[~off] = axis[column[~off]] != mz[~off]
    if off.any():
        peak = int(np.argmax(off))
        raise PixelError(pixel_at(offsets, peak), f"m/z {mz[peak]} is not on the m/z axis")


def check_coordinates(coordinates: Floats, n_pixels: int) -> None:
    """Refuse anything but two or three finite coordinates per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_coordinates
    >>> check_coordinates(np.zeros((4, 1)), 4)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: coordinates have shape (4, 1), need (4, 2) or (4, 3)
    """
    if coordinates.shape not in ((n_pixels, 2), (n_pixels, 3)):
        msg = f"coordinates have shape {coordinates.shape}, need ({n_pixels}, 2) or ({n_pixels}, 3)"
        raise InputError(msg)
    bad = ~np.isfinite(coordinates).all(axis=1)
    if bad.any():
        pixel = int(np.argmax(bad))
        raise PixelError(pixel, f"coordinates {coordinates[pixel]} are not finite")


def check_runs(codes: NDArray[np.int32], n_names: int, n_pixels: int) -> None:
    """Refuse anything but one code into the run names per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_runs
    >>> check_runs(np.array([0, 2], np.int32), 2, 2)
    Traceback (most recent call last):
    ...
    massgraph.data.validation.PixelError: pixel 1: run code 2, but there are 2 run names
    """
    if codes.shape != (n_pixels,):
        msg = f"run has {codes.size} values for {n_pixels} pixels"
        raise InputError(msg)
    bad = (codes < 0) | (codes >= n_names)
    if bad.any():
        pixel = int(np.argmax(bad))
        problem = f"run code {codes[pixel]}, but there are {n_names} run names"
        raise PixelError(pixel, problem)


def check_pixel_size(size: tuple[float, float]) -> None:
    """Refuse anything but a finite width and height above zero.

    Examples
    --------
    >>> from massgraph.data.validation import check_pixel_size
    >>> check_pixel_size((50.0, 0.0))
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: pixel_size (50.0, 0.0) is not a finite width and height...
    """
    if not (len(size) == 2 and all(0 < edge < np.inf for edge in size)):
        msg = f"pixel_size {size} is not a finite width and height above zero"
        raise InputError(msg)


def check_names(names: NDArray[np.str_], n_pixels: int) -> None:
    """Refuse anything but one name per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.validation import check_names
    >>> check_names(np.array(["cell1", "cell2"]), 3)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: 2 names for 3 pixels
    """
    if names.shape != (n_pixels,):
        msg = f"{names.size} names for {n_pixels} pixels"
        raise InputError(msg)
