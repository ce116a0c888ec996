"""Positions of the spectra of an imzML file, and which of them make a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph.io._imzml_spectra import ImzMLError

__all__ = ["Grouped", "check_positions", "coordinates_of", "counts_from", "from_one", "group"]

Integers = NDArray[np.int64]
Where = Callable[[int], str]

# Positions farther apart than this are no raster of one slide.
MAX_SPAN = 1_000_000


@dataclass(frozen=True)
class Grouped:
    """Spectra in the order in which their pixels come, those of a pixel one after the other.

    Parameters
    ----------
    order
        Indices of the spectra, shape ``(n_spectra,)``.
    starts
        Where the spectra of each pixel begin in `order`, and its end, shape ``(n_pixels + 1,)``.
    """

    order: Integers
    starts: Integers

    @property
    def several(self) -> int:
        """How many pixels have more than one spectrum."""
        return int(np.count_nonzero(np.diff(self.starts) > 1))


def check_positions(position: Integers, where: Where) -> None:
    """Refuse positions that are on no raster."""
    for column, axis in enumerate("xyz"):
        bad = position[:, column] < 0
        if bad.any():
            row = int(np.argmax(bad))
            msg = (
                f"{where(row)}: position {axis} is {position[row, column]}; positions count from 1"
            )
            raise ImzMLError(msg)
        span = int(np.ptp(position[:, column]))
        if span > MAX_SPAN:
            row = int(np.argmax(position[:, column]))
            msg = (
                f"{where(row)}: positions {axis} lie up to {span} pixels apart, more than "
                f"{MAX_SPAN}; correct the position"
            )
            raise ImzMLError(msg)


def group(keys: Integers, where: Where, may_be: NDArray[np.bool_], *, add_up: bool) -> Grouped:
    """Find the spectra of each pixel.

    Parameters
    ----------
    keys
        What spectra of one pixel have in common: run and position, shape ``(n_spectra, n)``.
    where
        Gives the words that name a spectrum.
    may_be
        Which spectra may be one of several, because they say what tells them apart.
    add_up
        Whether all may be.

    Raises
    ------
    ImzMLError
        Where a position is taken twice by others.
    """
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    before = first[inverse.reshape(-1)]
    again = before != np.arange(len(keys))
    if not add_up and again.any():
        doubled = np.isin(before, before[again])
        if not may_be[doubled].all():
            row, way = int(np.argmax(again)), advise('repeats="sum"', cli="--repeats sum")
            msg = (
                f"{where(row)}: has the position of pixel {before[row]} ({np.count_nonzero(again)} "
                f"duplicates); keep one spectrum per position, or sum them by {way}"
            )
            raise ImzMLError(msg)
    order = np.argsort(before, kind="stable")
    starts = np.flatnonzero(np.diff(before[order], prepend=-1))
    return Grouped(order, np.append(starts, len(keys)).astype(np.int64))


def counts_from(position: Integers) -> int:
    """1, as imzML has it, or 0 where a column or row is the zeroth."""
    return min(int(position[:, :2].min()), 1)


def coordinates_of(position: Integers) -> NDArray[np.float64]:
    """Places that count from 1, as (x, y), or as (x, y, z) where z varies."""
    flat = np.ptp(position[:, 2]) == 0
    return from_one(position, counts_from(position))[:, : 2 if flat else 3]


def from_one(position: Integers, start: int) -> NDArray[np.float64]:
    """Positions whose x and y count from 1 in place of `start`; z is left as it is."""
    return np.asarray(position + np.array([1.0, 1.0, 0.0]) * (1 - start), dtype=np.float64)
