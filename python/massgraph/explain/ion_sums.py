"""Sums over pixels per ion and class: all that the tables of an explanation need of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra

__all__ = ["IonSums", "shares"]


class IonSums:
    """Sums over the pixels of each class, one column per ion; pixels may be added in any parts.

    Parameters
    ----------
    n_classes, n_ions
        Numbers of classes and ions.

    Attributes
    ----------
    pixels
        Pixels of each class, int64, shape ``(n_classes,)``.
    contribution
        ``contribution[c, g]``: contributions to the logit of class c in the pixels of class g,
        float64, shape ``(n_classes, n_classes, n_ions)``.
    intensity
        Shares of the ion current of their pixels, shape ``(n_classes, n_ions)``.
    present
        Pixels of each class that hold the ion, shape ``(n_classes, n_ions)``.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.explain.ion_sums import IonSums
    >>> spectra = mg.Spectra.from_peaks([([700.5, 714.5], [1.0, 3.0]), ([700.5], [2.0])])
    >>> sums = IonSums(n_classes=1, n_ions=2)
    >>> cam = np.array([[2.0], [4.0], [1.0]])
    >>> sums.add(spectra, cam, ion=np.array([0, 1, 0]), labels=np.array([0, 0]))
    >>> contribution, _, presence = sums.means()
    >>> contribution.tolist(), presence.tolist()
    ([[[1.0, 1.0]]], [[1.0, 0.5]])
    >>> sums.means()[1].tolist()
    [[0.625, 0.375]]
    """

    def __init__(self, n_classes: int, n_ions: int) -> None:
        self.pixels = np.zeros(n_classes, dtype=np.int64)
        self.contribution = np.zeros((n_classes, n_classes, n_ions))
        self.intensity = np.zeros((n_classes, n_ions))
        self.present = np.zeros((n_classes, n_ions))

    def add(
        self,
        spectra: Spectra,
        cam: NDArray[np.float64],
        ion: NDArray[np.int64],
        labels: NDArray[np.int64],
        tic: NDArray[np.float64] | None = None,
    ) -> None:
        """Add some pixels.

        Parameters
        ----------
        spectra
            The pixels as the model saw them.
        cam
            Class activation of each peak, shape ``(n_peaks, n_classes)``.
        ion
            Ion of each peak, ascending within a pixel; -1 for a peak of no ion.
        labels
            Class of each pixel, -1 where it has none.
        tic
            Ion current of each pixel; None: that of these peaks.
        """
        self.pixels += np.bincount(labels[labels >= 0], minlength=self.pixels.size)
        pixel, share = spectra.pixel_of_peak, shares(spectra, tic)
        known = (ion >= 0) & (labels[pixel] >= 0)
        if not known.all():
            pixel, share, cam, ion = pixel[known], share[known], cam[known], ion[known]
        place = labels[pixel] * self.present.shape[1] + ion
        # A logit is the mean over all peaks of the pixel, those of no ion included.
        weight = 1.0 / spectra.peak_counts[pixel]
        for c, values in enumerate(cam.T):
            _add(self.contribution[c], place, values * weight)
        _add(self.intensity, place, share)
        # Several peaks of a pixel at one ion, which stand side by side, count once.
        first = np.ones(ion.size, dtype=bool)
        first[1:] = (ion[1:] != ion[:-1]) | (pixel[1:] != pixel[:-1])
        _add(self.present, place, first)

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean contribution, mean share of the current, and share of pixels with the ion.

        Shapes as for the sums; zero for a class without pixels.
        """
        counts = np.maximum(self.pixels, 1)[:, None]
        return self.contribution / counts, self.intensity / counts, self.present / counts


def shares(spectra: Spectra, tic: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Share of each peak in the ion current of its pixel, shape ``(n_peaks,)``.

    Parameters
    ----------
    spectra
        Some or all peaks of the pixels.
    tic
        Ion current of each pixel; None: that of these peaks.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.explain.ion_sums import shares
    >>> shares(mg.Spectra.from_peaks([([700.5, 714.5], [1.0, 3.0])])).tolist()
    [0.25, 0.75]
    """
    # Not of the mean peak: that falls with every peak of noise, and so would the ratio of an ion
    # between tissues of more and of less noise turn round.
    current = np.maximum(spectra.tic() if tic is None else tic, np.finfo(np.float64).tiny)
    return np.asarray(spectra.intensity / np.repeat(current, spectra.peak_counts), dtype=np.float64)


def _add(sums: NDArray[np.float64], place: NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Add values at their places, one after the other."""
    # Not `bincount` per part: sums of sums would depend on how pixels are cut into parts.
    np.add.at(sums.reshape(-1), place, values.astype(np.float64, copy=False))
