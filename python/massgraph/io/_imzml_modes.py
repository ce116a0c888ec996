"""Whether each spectrum of an imzML file is a profile: as it says, and as its m/z show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph.io._centroid import looks_like_peaks, looks_like_profile
from massgraph.io._imzml_choice import UNCLEAR
from massgraph.io._imzml_spectra import ImzMLError

__all__ = ["settle_modes"]

# Spectra looked at to tell profile from centroid.
SAMPLE = 16
CENTROID, PROFILE = "centroid", "profile"


class Stored(Protocol):
    """What is asked of an open file."""

    path: Path
    warnings: list[str]

    @property
    def stored_lengths(self) -> NDArray[np.int64]: ...
    def stored_mz(self, pixel: int) -> NDArray[np.float64]: ...


def settle_modes(file: Stored, declared: NDArray[np.str_], choice: str) -> NDArray[np.bool_]:
    """Decide for each spectrum whether it is a profile whose peaks are to be picked.

    Parameters
    ----------
    file
        An open file; what is odd is added to its `warnings`.
    declared
        What each spectrum says: ``"centroid"``, ``"profile"`` or `UNCLEAR`.
    choice
        ``"refuse"`` profile spectra or ``"centroid"`` them.

    Raises
    ------
    ImzMLError
        Where profile spectra are refused.
    """
    profile = np.asarray(declared == PROFILE, dtype=bool)
    for said, settle in ((CENTROID, _centroids), (PROFILE, _profiles), (UNCLEAR, _unclear)):
        if (declared == said).any():
            profile[declared == said] = settle(file, _full(file, declared == said), choice)
    if choice == "refuse" and profile.any():
        raise _refusal(file, profile, profile & (declared == PROFILE))
    return profile


def _full(file: Stored, pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Those of some pixels that have a spacing of m/z to look at."""
    return np.flatnonzero(pixels & (file.stored_lengths >= 2))


def _centroids(file: Stored, pixels: NDArray[np.int64], choice: str) -> bool:
    if not _vote(file, pixels, looks_like_profile):
        return False
    file.warnings.append(
        f"{_are(file, pixels)} declared centroid but sampled as densely and evenly as a profile"
    )
    # Whoever asks for centroiding gets it where the data show that it is needed.
    return choice == "centroid"


def _profiles(file: Stored, pixels: NDArray[np.int64], choice: str) -> bool:
    if choice == "refuse" or not _vote(file, pixels, looks_like_peaks):
        return True
    # Maxima among peaks would be few, and the other peaks lost.
    file.warnings.append(
        f"{_are(file, pixels)} declared profile but have m/z that lie as those of picked peaks do, "
        "and were read as peaks"
    )
    return False


def _unclear(file: Stored, pixels: NDArray[np.int64], choice: str) -> bool:
    profile = _vote(file, pixels, looks_like_profile)
    file.warnings.append(
        f"representation is unclear; read as {PROFILE if profile else CENTROID} by the m/z spacing"
    )
    return profile


def _are(file: Stored, pixels: NDArray[np.int64]) -> str:
    """Begin a sentence about all spectra, or about some of them."""
    n_full = np.count_nonzero(file.stored_lengths >= 2)
    return "spectra are" if pixels.size == n_full else f"{pixels.size} spectra are"


def _vote(
    file: Stored, pixels: NDArray[np.int64], look: Callable[[NDArray[np.float64]], bool | None]
) -> bool:
    """Let some spectra vote on what they look like."""
    chosen = pixels[np.linspace(0, pixels.size - 1, min(SAMPLE, pixels.size)).astype(int)]
    votes = [look(file.stored_mz(pixel)) for pixel in chosen.tolist()]
    cast = [vote for vote in votes if vote is not None]
    return sum(cast) * 2 > len(cast)


def _refusal(file: Stored, profile: NDArray[np.bool_], declared: NDArray[np.bool_]) -> ImzMLError:
    n, holds = int(profile.sum()), "holds" if declared.any() else "seems to hold"
    others = "" if profile.all() else f" ({n}, beside {profile.size - n} of centroids)"
    how = "pick peaks (local maxima above the noise)"
    if declared.any() and _vote(file, _full(file, declared), looks_like_peaks):
        how = "read them; their m/z lie as those of picked peaks do, which are then kept"
    way = advise('profile="centroid"', cli="--profile centroid")
    return ImzMLError(
        f"{file.path}: {holds} profile spectra{others}, but peaks are needed; pass {way} to {how}, "
        "or pick them with the instrument's software"
    )
