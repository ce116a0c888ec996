"""Labels of files that count positions from 0, and of spectra that were left out by choice.

Labels are made for a file: where they can count as it does, they do.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.text import one_line
from massgraph._util.warnings import outside

if TYPE_CHECKING:
    from massgraph.data.spectra import Spectra

__all__ = ["as_pixels_count", "lie_on_left_out"]

Floats = NDArray[np.float64]
Place = tuple[float, float, str]


def as_pixels_count(
    x: Floats, y: Floats, run: Sequence[str], pixels: Spectra, source: str
) -> tuple[Floats, Floats]:
    """Give positions of labels as pixels count them, which is from 1.

    Labels of a file that counts from 0 are taken to do so, too, unless that leaves some without a
    pixel and counting from 1 none; where both are possible, a warning says which was taken.

    Parameters
    ----------
    x, y, run
        Positions and runs of the labels.
    pixels
        All pixels, without their peaks or with them.
    source
        Name of the file of labels, for the warning.
    """
    names = np.asarray(run, dtype=object)
    x, y = x.copy(), y.copy()
    for name, raster in pixels.rasters.items():
        rows = names == name
        if not raster.shift or not rows.any():
            continue
        there = _places(pixels, name)
        fits = {
            shift: _all_in(x[rows] + shift, y[rows] + shift, there) for shift in (raster.shift, 0)
        }
        if fits[0] and not fits[raster.shift]:
            continue
        if fits[0]:
            way = advise("shift=(0, 0)", cli="--label-shift 0 0")
            msg = (
                f"{source}: labels of run {name!r} fit counted from 0, as its file counts, and "
                f"from 1; taken as counted from 0 ({way} takes them as counted from 1)"
            )
            warnings.warn(one_line(msg), UserWarning, stacklevel=outside())
        x[rows] += raster.shift
        y[rows] += raster.shift
    return x, y


def lie_on_left_out(x: Floats, y: Floats, run: Sequence[str], pixels: Spectra) -> NDArray[np.bool_]:
    """Which labels lie where the file has spectra that were left out by choice alone."""
    found: set[Place] = set()
    for name, raster in pixels.rasters.items():
        found.update((one[0], one[1], name) for one in raster.left_out.tolist())
    places = zip(x.tolist(), y.tolist(), run, strict=True)
    return np.fromiter((place in found for place in places), dtype=bool, count=len(x))


def _places(pixels: Spectra, run: str) -> set[tuple[float, float]]:
    """Places of a run that have a spectrum in its file."""
    read = np.asarray(pixels.coordinates)[pixels.run == run][:, :2]
    left_out = pixels.rasters[run].left_out[:, :2]
    return set(map(tuple, np.concatenate((read, left_out)).tolist()))


def _all_in(x: Floats, y: Floats, there: set[tuple[float, float]]) -> bool:
    return all(place in there for place in zip(x.tolist(), y.tolist(), strict=True))
