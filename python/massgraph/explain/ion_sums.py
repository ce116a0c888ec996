"""Sums over pixels per ion and class: all that the tables of an explanation need of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra

__all__ = ["IonSums"]


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
        Intensities, TIC-normalised to a mean peak of one, shape ``(n_classes, n_ions)``.
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
        """
        self.pixels += np.bincount(labels[labels >= 0], minlength=self.pixels.size)
        pixel, normalized = spectra.pixel_of_peak, spectra.normalize("tic").intensity
        known = (ion >= 0) & (labels[pixel] >= 0)
        if not known.all():
            pixel, normalized, cam, ion = pixel[known], normalized[known], cam[known], ion[known]
        place = labels[pixel] * self.present.shape[1] + ion
        # A logit is the mean over all peaks of the pixel, those of no ion included.
        weight = 1.0 / spectra.peak_counts[pixel]
        for c, values in enumerate(cam.T):
            _add(self.contribution[c], place, values * weight)
        _add(self.intensity, place, normalized)
        # Several peaks of a pixel at one ion, which stand side by side, count once.
        first = np.ones(ion.size, dtype=bool)
        first[1:] = (ion[1:] != ion[:-1]) | (pixel[1:] != pixel[:-1])
        _add(self.present, place, first)

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean contribution, mean intensity and share of pixels; zero for a class without pixels.

        Shapes as for the sums.
        """
        counts = np.maximum(self.pixels, 1)[:, None]
        return self.contribution / counts, self.intensity / counts, self.present / counts


def _add(sums: NDArray[np.float64], place: NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Add values at their places, one after the other."""
    # Not `bincount` per part: sums of sums would depend on how pixels are cut into parts.
    np.add.at(sums.reshape(-1), place, values.astype(np.float64, copy=False))
