"""Judging and ordering the values of spectra as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from massgraph.io._imzml_spectra import ImzMLError

__all__ = ["PeakCleaner"]

FloatArray = NDArray[np.float64]
Peaks = tuple[FloatArray, FloatArray, NDArray[np.int64]]

# No ion is measured above this m/z; larger values are bytes read with the wrong precision.
MAX_MZ = 1e6
MAX_FLOAT32 = float(np.finfo(np.float32).max)


class PeakCleaner:
    """Refuses impossible values, brings the others into order, and counts what it had to change.

    Parameters
    ----------
    where
        Gives the words that name a pixel.
    """

    def __init__(self, where: Callable[[int], str]) -> None:
        self._where = where
        self._counts = {"negative": 0, "unsorted": 0, "doubled": 0}
        self._first: dict[str, str] = {}

    def _note(self, what: str, count: int, pixel: int) -> None:
        self._counts[what] += count
        self._first.setdefault(what, self._where(pixel).rpartition(": ")[2])

    def notes(self) -> list[str]:
        """Warnings for everything changed so far, one line per sort."""
        texts = {
            "negative": "negative intensities were treated as absent peaks",
            "unsorted": "spectra had m/z out of order and were sorted",
            "doubled": "peaks share the m/z of another in their pixel; all were kept",
        }
        return [
            f"{count} {texts[what]} (first in {self._first[what]})"
            for what, count in self._counts.items()
            if count
        ]

    def check_mz(self, mz: FloatArray, offsets: NDArray[np.int64], start: int) -> None:
        """Refuse m/z that are not finite, not above zero or beyond 1e6."""
        # One comparison is false for NaN too.
        bad = ~((mz > 0) & (mz <= MAX_MZ))
        if bad.any():
            self._refuse(bad, mz, offsets, start, reason="is no m/z of an ion")

    def check_intensity(
        self, intensity: FloatArray, offsets: NDArray[np.int64], start: int
    ) -> FloatArray:
        """Refuse intensities that are not finite; negative ones become zero, that is, absent."""
        bad = ~(np.abs(intensity) <= MAX_FLOAT32)
        if bad.any():
            self._refuse(bad, intensity, offsets, start, reason="is no finite intensity")
        negative = intensity < 0
        if negative.any():
            pixel = _pixel_of(int(np.argmax(negative)), offsets)
            self._note("negative", int(np.count_nonzero(negative)), start + pixel)
            return np.where(negative, 0.0, intensity)
        return intensity

    def _refuse(
        self,
        bad: NDArray[np.bool_],
        values: FloatArray,
        offsets: NDArray[np.int64],
        start: int,
        *,
        reason: str,
    ) -> NoReturn:
        peak = int(np.argmax(bad))
        pixel = _pixel_of(peak, offsets)
        msg = (
            f"{self._where(start + pixel)}: value {values[peak]} of peak {peak - offsets[pixel]} "
            f"{reason} ({np.count_nonzero(bad)} such values); is the file damaged, or its "
            "precision declared wrongly?"
        )
        raise ImzMLError(msg)

    def order(
        self, mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64], start: int
    ) -> Peaks:
        """Sort the m/z of each pixel where they are out of order."""
        # From one pixel to the next m/z fall by nature.
        falls = np.diff(mz) < 0
        falls[_seams(offsets, mz.size)] = False
        if falls.any():
            pixel_of = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
            pixels = np.unique(pixel_of[1:][falls])
            self._note("unsorted", pixels.size, start + int(pixels[0]))
            order = np.lexsort((mz, pixel_of))
            mz, intensity = mz[order], intensity[order]
        return mz, intensity, offsets

    def clean(
        self, mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64], start: int
    ) -> Peaks:
        """Leave out absent peaks, sort what is out of order, and count peaks of the same m/z."""
        # What float32 rounds to zero is absent as well.
        present = intensity.astype(np.float32) > 0
        if not present.all():
            kept = np.concatenate(([0], np.cumsum(present)))
            mz, intensity, offsets = mz[present], intensity[present], kept[offsets]
        mz, intensity, offsets = self.order(mz, intensity, offsets, start)
        again = np.diff(mz) == 0
        again[_seams(offsets, mz.size)] = False
        if again.any():
            pixel = _pixel_of(int(np.argmax(again)), offsets)
            self._note("doubled", int(np.count_nonzero(again)), start + pixel)
        return mz, intensity, offsets


def _pixel_of(peak: int, offsets: NDArray[np.int64]) -> int:
    return int(np.searchsorted(offsets, peak, side="right")) - 1


def _seams(offsets: NDArray[np.int64], n_peaks: int) -> NDArray[np.int64]:
    """Return where the difference of neighbouring peaks crosses from one pixel to the next."""
    starts = offsets[1:-1]
    return starts[(starts > 0) & (starts < n_peaks)] - 1
