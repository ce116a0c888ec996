"""Judging and ordering the values of spectra as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph.io._imzml_spectra import ImzMLError

__all__ = ["PeakCleaner", "in_order"]

FloatArray = NDArray[np.float64]
# Index of each spectrum among all that are read, for the words that name it.
Rows = NDArray[np.int64]
Peaks = tuple[FloatArray, FloatArray, NDArray[np.int64]]

# Signed integers of 32 bits: noise about zero does not reach as deep as the one, and no count comes
# so near to the top of what unsigned ones hold as the other.
OVERFLOW_32, BASELINE_32 = -(2.0**28), -(2.0**16)
# No ion is measured above this m/z; larger values are bytes read with the wrong precision.
MAX_MZ = 1e6
MAX_FLOAT32 = float(np.finfo(np.float32).max)


class PeakCleaner:
    """Refuses impossible values, brings the others into order, and counts what it had to change.

    Parameters
    ----------
    where
        Gives the words that name a pixel.
    integers
        What integers below zero are: ``"signed"`` ones, ``"unsigned"`` ones that were read with
        the wrong type, or None: what is certain, and an error where nothing is.
    mobility
        Name of the array that tells peaks apart by their ion mobility, or the empty string. Such
        peaks come again with the same m/z, and out of order.
    several
        Whether a pixel may have several spectra, whose peaks then share their m/z.
    """

    def __init__(
        self,
        where: Callable[[int], str],
        *,
        integers: str | None = None,
        mobility: str = "",
        several: bool = False,
    ) -> None:
        self._where, self._integers, self._mobility = where, integers, mobility
        self._several = several
        self._counts = {"overflow": 0, "negative": 0, "unsorted": 0, "doubled": 0}
        self._first: dict[str, str] = {}
        self._lowest = 0.0

    def _note(self, what: str, count: int, pixel: int) -> None:
        self._counts[what] += count
        self._first.setdefault(what, self._where(pixel).rpartition(": ")[2])

    def notes(self) -> dict[str, str]:
        """Warnings for everything changed so far, one line per sort."""
        texts = {
            "overflow": "intensities below zero are counts beyond what signed 32-bit integers hold "
            f"and were read as unsigned; {_integers('signed')} treats them as absent",
            "negative": "negative intensities were treated as absent peaks",
            "unsorted": "spectra had m/z out of order and were sorted",
            "doubled": "peaks share the m/z of another in their pixel; such peaks were summed",
        }
        if self._mobility:
            texts["doubled"] = (
                f"peaks differ from another of their pixel in ion mobility alone ({self._mobility}"
                "), which is not read; such peaks were summed"
            )
            # They come mobility by mobility.
            del texts["unsorted"]
        if self._several:
            del texts["doubled"]
        lowest = f", lowest {self._lowest:.6g}"
        return {
            what: f"{self._counts[what]} {text} (first in {self._first[what]}"
            f"{lowest if what == 'negative' else ''})"
            for what, text in texts.items()
            if self._counts[what]
        }

    def check_mz(self, mz: FloatArray, offsets: NDArray[np.int64], rows: Rows) -> None:
        """Refuse m/z that are not finite, not above zero or beyond 1e6."""
        # One comparison is false for NaN too.
        bad = ~((mz > 0) & (mz <= MAX_MZ))
        if bad.any():
            self._refuse(bad, mz, offsets, rows, reason="is no m/z of an ion")

    def check_intensity(
        self,
        intensity: FloatArray,
        offsets: NDArray[np.int64],
        rows: Rows,
        bits: NDArray[np.int64],
    ) -> FloatArray:
        """Refuse intensities that are not finite; negative ones become zero, that is, absent.

        Unless they are unsigned integers that were read as signed: these become what they were.
        `bits` are those of the signed integers that pixels hold, 0 for pixels of other numbers.
        """
        bad = ~(np.abs(intensity) <= MAX_FLOAT32)
        if bad.any():
            self._refuse(bad, intensity, offsets, rows, reason="is no finite intensity")
        if not (intensity < 0).any():
            return intensity
        if bits.any():
            intensity = self._mend_integers(intensity, offsets, rows, bits)
        negative = intensity < 0
        if negative.any():
            self._lowest = min(self._lowest, float(intensity.min()))
            pixel = _pixel_of(int(np.argmax(negative)), offsets)
            self._note("negative", int(np.count_nonzero(negative)), int(rows[pixel]))
        return np.where(negative, 0.0, intensity)

    def _mend_integers(
        self,
        intensity: FloatArray,
        offsets: NDArray[np.int64],
        rows: Rows,
        bits: NDArray[np.int64],
    ) -> FloatArray:
        """Read integers below zero as unsigned where they are."""
        of_peak = np.repeat(bits, np.diff(offsets))
        below = (intensity < 0) & (of_peak > 0)
        if self._integers == "signed" or not below.any():
            return intensity
        overflow = below & (self._integers == "unsigned")
        if self._integers is None:
            overflow = below & (of_peak == 32) & (intensity <= OVERFLOW_32)
            self._check_integers(intensity, offsets, rows, of_peak, below, overflow)
            if overflow.any():
                pixel = _pixel_of(int(np.argmax(overflow)), offsets)
                self._note("overflow", int(np.count_nonzero(overflow)), int(rows[pixel]))
        return np.where(overflow, intensity + 2.0**of_peak, intensity)

    def _check_integers(
        self,
        intensity: FloatArray,
        offsets: NDArray[np.int64],
        rows: Rows,
        of_peak: NDArray[np.int64],
        below: NDArray[np.bool_],
        overflow: NDArray[np.bool_],
    ) -> None:
        """Refuse integers below zero that may be large counts as well as noise."""
        noise = below & (of_peak >= 32) & (intensity >= BASELINE_32)
        doubtful = below & ~noise & ~overflow
        # Numbers of one type are all signed or all unsigned.
        if noise.any() and (overflow.any() or self._counts["overflow"]):
            doubtful |= noise
        elif overflow.any() and self._counts["negative"]:
            doubtful |= overflow
        if not doubtful.any():
            return
        peak = int(np.argmax(doubtful))
        value, width = int(intensity[peak]), int(of_peak[peak])
        msg = (
            f"{self._where(int(rows[_pixel_of(peak, offsets)]))}: intensity {value}, a signed "
            f"{width}-bit integer, is noise below zero or the count {value + 2**width} of unsigned "
            f"ones; say which with {_integers('signed')} or {_integers('unsigned')}"
        )
        raise ImzMLError(msg)

    def _refuse(
        self,
        bad: NDArray[np.bool_],
        values: FloatArray,
        offsets: NDArray[np.int64],
        rows: Rows,
        *,
        reason: str,
    ) -> NoReturn:
        peak = int(np.argmax(bad))
        pixel = _pixel_of(peak, offsets)
        place = f"value {values[peak]} of peak {peak - offsets[pixel]}"
        msg = (
            f"{self._where(int(rows[pixel]))}: {place} {reason} "
            f"({np.count_nonzero(bad)} such values); is the file damaged, or its precision "
            "declared wrongly?"
        )
        raise ImzMLError(msg)

    def order(
        self, mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64], rows: Rows
    ) -> Peaks:
        """Sort the m/z of each pixel where they are out of order."""
        # From one pixel to the next m/z fall by nature.
        falls = np.diff(mz) < 0
        falls[_seams(offsets, mz.size)] = False
        if falls.any():
            pixel_of = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
            pixels = np.unique(pixel_of[1:][falls])
            self._note("unsorted", pixels.size, int(rows[pixels[0]]))
            mz, intensity = in_order(mz, intensity, offsets)
        return mz, intensity, offsets

    def clean(
        self, mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64], rows: Rows
    ) -> Peaks:
        """Leave out absent peaks, sort what is out of order, and count peaks of the same m/z."""
        # What float32 rounds to zero is absent as well.
        present = intensity.astype(np.float32) > 0
        if not present.all():
            kept = np.concatenate(([0], np.cumsum(present)))
            mz, intensity, offsets = mz[present], intensity[present], kept[offsets]
        mz, intensity, offsets = self.order(mz, intensity, offsets, rows)
        again = np.diff(mz) == 0
        again[_seams(offsets, mz.size)] = False
        if again.any():
            pixel = _pixel_of(int(np.argmax(again)), offsets)
            self._note("doubled", int(np.count_nonzero(again)), int(rows[pixel]))
            mz, intensity, offsets = _summed(mz, intensity, offsets, again)
        return mz, intensity, offsets


def _integers(kind: str) -> str:
    return advise(f'integers="{kind}"', cli=f"--integers {kind}")


def in_order(
    mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Sort the m/z of each pixel."""
    pixel_of = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    order = np.lexsort((mz, pixel_of))
    return mz[order], intensity[order]


def _summed(
    mz: FloatArray, intensity: FloatArray, offsets: NDArray[np.int64], again: NDArray[np.bool_]
) -> Peaks:
    """Make one peak of neighbours with the same m/z: one ion has one current."""
    first = np.concatenate(([True], ~again))
    kept = np.concatenate(([0], np.cumsum(first)))
    return mz[first], np.add.reduceat(intensity, np.flatnonzero(first)), kept[offsets]


def _pixel_of(peak: int, offsets: NDArray[np.int64]) -> int:
    return int(np.searchsorted(offsets, peak, side="right")) - 1


def _seams(offsets: NDArray[np.int64], n_peaks: int) -> NDArray[np.int64]:
    """Return where the difference of neighbouring peaks crosses from one pixel to the next."""
    starts = offsets[1:-1]
    return starts[(starts > 0) & (starts < n_peaks)] - 1
