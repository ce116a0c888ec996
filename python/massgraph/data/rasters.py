"""What the file of a run says of places that its pixels do not show.

Labels are made for the file: they count as it does, and some are of spectra that were left out.
Runs of several files may differ in what they say of places; here, too, is what they then share.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.warnings import outside

__all__ = ["FileRaster", "Rasters", "join_rasters", "joint_size", "unlike_polarity", "with_z"]


def _no_places() -> NDArray[np.float64]:
    return np.empty((0, 3))


@dataclass(frozen=True, eq=False)
class FileRaster:
    """How a file counts positions, and where it has spectra that were not read.

    Parameters
    ----------
    counts_from
        0 or 1: the position of the first column and row in the file. Pixels count from 1.
    left_out
        Positions of the spectra that were left out by choice, counted as pixels are, shape
        ``(n, 3)`` as (x, y, z).

    Examples
    --------
    >>> from massgraph.data.rasters import FileRaster
    >>> FileRaster(counts_from=0).shift
    1
    """

    counts_from: int = 1
    left_out: NDArray[np.float64] = field(default_factory=_no_places)

    @property
    def shift(self) -> int:
        """What was added to x and y of the file."""
        return 1 - self.counts_from


Rasters = Mapping[str, FileRaster]


def join_rasters(parts: Iterable[Rasters]) -> Rasters:
    """Rasters of all runs of several parts.

    Examples
    --------
    >>> from massgraph.data.rasters import FileRaster, join_rasters
    >>> sorted(join_rasters([{"a": FileRaster()}, {}, {"b": FileRaster()}]))
    ['a', 'b']
    """
    return {name: raster for part in parts for name, raster in part.items()}


Size = tuple[float, float] | None


def unlike_polarity(one: str | None, other: str | None) -> InputError:
    """Make the error for parts that are of two polarities, or of one and who knows which.

    Examples
    --------
    >>> from massgraph.data.rasters import unlike_polarity
    >>> print(unlike_polarity("positive", "negative"))
    parts differ in polarity: positive, negative
    """
    known = one or other
    msg = f"parts differ in polarity: {one}, {other}"
    if None in (one, other):
        way = advise(f'polarity="{known}"', cli=f"--polarity {known}")
        msg += f"; if both are {known}, say so where they are read: {way}"
    return InputError(msg)


def joint_size(sizes: Iterable[tuple[Size, str]]) -> Size:
    """Size of a pixel that several parts share; None, with a warning, where they differ.

    Parameters
    ----------
    sizes
        Width and height, or None, and their unit.

    Examples
    --------
    >>> from massgraph.data.rasters import joint_size
    >>> joint_size([((50.0, 50.0), "um"), ((50.0, 50.0), "um")])
    (50.0, 50.0)
    """
    found = dict.fromkeys((size, unit if size else "") for size, unit in sizes)
    if len(found) > 1:
        listed = ", ".join(
            f"{size[0]:g} x {size[1]:g} {unit}" if size else "unknown" for size, unit in found
        )
        msg = (
            f"runs differ in the size of a pixel ({listed}): neighbours are counted in pixels, and "
            "pictures have no scale bar"
        )
        warnings.warn(msg, UserWarning, stacklevel=outside())
        return None
    return next(iter(found))[0]


def with_z(
    coordinates: Sequence[NDArray[np.float64] | None],
) -> list[NDArray[np.float64] | None]:
    """Give places in two dimensions a z of 1 where others have three.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.rasters import with_z
    >>> flat, deep = np.array([[3.0, 4.0]]), np.array([[3.0, 4.0, 2.0]])
    >>> with_z([flat, deep])[0].tolist()
    [[3.0, 4.0, 1.0]]
    """
    if not any(one is not None and one.shape[1] == 3 for one in coordinates):
        return list(coordinates)
    return [
        one if one is None or one.shape[1] == 3 else np.column_stack((one, np.ones(len(one))))
        for one in coordinates
    ]
