"""Pixels of a run that lie at one place: as a rule two samples that nobody told apart."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from massgraph._util.warnings import outside
from massgraph.data.spectra import Spectra

__all__ = ["DoubledPlacesWarning", "doubled_places", "warn_of_doubled_places"]


class DoubledPlacesWarning(UserWarning):
    """Pixels of a run lie at one place.

    Examples
    --------
    >>> from massgraph.data.doubled import DoubledPlacesWarning
    >>> issubclass(DoubledPlacesWarning, UserWarning)
    True
    """


def doubled_places(spectra: Spectra) -> NDArray[np.int64]:
    """Pairs of pixels of a run at one place, with other peaks, ``(n_pairs, 2)``.

    The first of a pair is the first pixel at the place. Pixels with the same peaks are copies, as
    resampling makes them, and no second sample.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.doubled import doubled_places
    >>> peaks = [([700.5], [1.0]), ([700.5], [2.0]), ([700.5], [1.0])]
    >>> doubled_places(mg.Spectra.from_peaks(peaks, coordinates=[[1, 1]] * 3)).tolist()
    [[0, 1]]
    """
    nobody = np.empty((0, 2), dtype=np.int64)
    if spectra.coordinates is None:
        return nobody
    keys = np.column_stack([np.asarray(spectra.run_codes), spectra.coordinates])
    _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    before = first[place.reshape(-1)]
    again = np.flatnonzero(before != np.arange(len(before)))
    pairs = np.column_stack([before[again], again]).astype(np.int64)
    other = np.array([not _same(spectra, one, two) for one, two in pairs.tolist()], dtype=bool)
    found: NDArray[np.int64] = pairs[other]
    return found


def _same(spectra: Spectra, one: int, two: int) -> bool:
    (mz, intensity), (other_mz, other_intensity) = spectra.pixel(one), spectra.pixel(two)
    return np.array_equal(mz, other_mz) and np.array_equal(intensity, other_intensity)


def warn_of_doubled_places(spectra: Spectra) -> None:
    """Say before a fit that pixels of a run lie at one place.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.doubled import warn_of_doubled_places
    >>> warn_of_doubled_places(mg.simulate("tiny", n_runs=2).spectra)  # all is well
    """
    pairs = doubled_places(spectra)
    if not len(pairs) or spectra.coordinates is None:
        return
    first, second = pairs[0].tolist()
    place = ", ".join(f"{value:g}" for value in spectra.coordinates[second])
    msg = (
        f"{len(pairs)} pixels lie where another of their run does (the first, pixel {second}, "
        f"where pixel {first} is: {place}): if they are several samples, give each a run of its own"
    )
    warnings.warn(msg, DoubledPlacesWarning, stacklevel=outside())
