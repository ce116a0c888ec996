"""Whether a Cardinal object holds peaks, and peaks that are out of order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.warnings import outside
from massgraph.io._centroid import looks_like_profile
from massgraph.r.session import function
from massgraph.r.values import as_scalar

__all__ = ["PeakOrder", "check_representation"]

Floats = NDArray[np.float64]

# Spectra looked at to tell profiles from peaks.
SAMPLE = 16


def check_representation(x: Any, declared: bool, spectra: list[Floats]) -> None:
    """Refuse spectra that are profiles, as they say or, where they do not say, as their m/z show.

    Parameters
    ----------
    x
        The R object.
    declared
        Whether its class can say, by ``centroided(x)``.
    spectra
        The m/z of some of its spectra, ascending, where they have anything.

    Raises
    ------
    InputError
        For profiles.

    Warns
    -----
    UserWarning
        For spectra that are peaks as they say, or cannot say, and look like profiles.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.r.peaks import check_representation
    >>> from massgraph.r.session import start
    >>> peaks = np.array([255.233, 281.249, 283.264])
    >>> check_representation(start().NULL, False, [peaks])  # too few to look like anything
    """
    says = as_scalar(function("centroided")(x)) if declared else True
    todo = "run peakProcess(x) first, or set centroided(x) <- TRUE if the features are peaks"
    if says is False:
        msg = f"the spectra are not centroided: {todo}"
        raise InputError(msg)
    votes = [vote for vote in map(looks_like_profile, spectra) if vote is not None]
    if sum(votes) * 2 <= len(votes):
        return
    if says is None:
        msg = (
            "the spectra seem to be profiles: their m/z lie as densely and evenly as sampled ones, "
            f"and centroided(x) is NA; {todo}"
        )
        raise InputError(msg)
    msg = (
        "the spectra are taken for peaks, but their m/z lie as densely and evenly as those of "
        "profiles: if they are, run peakProcess() first"
    )
    warnings.warn(msg, UserWarning, stacklevel=outside())


def some_of(n_pixels: int) -> list[int]:
    """Indices of the pixels to look at."""
    return [int(pixel) for pixel in np.linspace(0, n_pixels - 1, min(SAMPLE, n_pixels))]


class PeakOrder:
    """Puts the peaks of a pixel into order of m/z, and says once that it had to.

    Instruments' software rounds m/z, by which a peak may step back by the last digit. Peaks of one
    m/z all stay, as they do when an imzML file is read.

    Parameters
    ----------
    where
        Gives the words for a pixel, by its index.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from massgraph.r.peaks import PeakOrder
    >>> order = PeakOrder("pixel {}".format)
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     mz, intensity = order(7, np.array([500.1, 600.3, 600.2]), np.array([3.0, 1.0, 2.0]))
    >>> mz.tolist(), intensity.tolist()
    ([500.1, 600.2, 600.3], [3.0, 2.0, 1.0])
    >>> print(told[0].message)
    m/z out of order were sorted (first in pixel 7)
    """

    def __init__(self, where: Callable[[int], str]) -> None:
        self._where = where
        self._told: set[str] = set()

    def __call__(self, pixel: int, mz: Floats, intensity: Floats) -> tuple[Floats, Floats]:
        """The peaks of a pixel with m/z ascending."""
        if mz.shape != intensity.shape:
            return mz, intensity  # refused further on
        if (np.diff(mz) < 0).any():
            order = np.argsort(mz, kind="stable")
            mz, intensity = mz[order], intensity[order]
            self._tell("m/z out of order were sorted", pixel)
        if (np.diff(mz[intensity > 0]) == 0).any():
            self._tell("peaks share the m/z of another in their pixel; all were kept", pixel)
        return mz, intensity

    def _tell(self, what: str, pixel: int) -> None:
        if what not in self._told:
            self._told.add(what)
            msg = f"{what} (first in {self._where(pixel)})"
            warnings.warn(msg, UserWarning, stacklevel=outside())
