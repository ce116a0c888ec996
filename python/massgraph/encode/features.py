"""Node features: what a peak says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra

__all__ = ["FEATURES", "PUBLISHED_FEATURES", "feature_names", "node_features"]

KENDRICK_CH2 = 14.0 / 14.01565006  # Kendrick (1963): the scale on which CH2 weighs 14 exactly
CH2 = 14.01565006

MzRange = tuple[float, float]
Columns = Sequence[NDArray[np.float64]]


def _log_intensity(spectra: Spectra, mz_range: MzRange) -> Columns:
    """Log intensity, z-scored within the pixel; zero where all peaks are equal."""
    return [_z_score(np.log(spectra.intensity.astype(np.float64)), spectra, ddof=0)]


def _mz(spectra: Spectra, mz_range: MzRange) -> Columns:
    """m/z scaled to [-1, 1] over the m/z range."""
    low, high = mz_range
    return [(spectra.mz - (low + high) / 2) / ((high - low) / 2)]


def _mass_defect(spectra: Spectra, mz_range: MzRange) -> Columns:
    """Mass defect as an angle: no jump where it passes an integer."""
    return _angle(spectra.mz)


def _kendrick_defect(spectra: Spectra, mz_range: MzRange) -> Columns:
    """CH2 Kendrick mass defect as an angle: equal along a homologous series."""
    return _angle(spectra.mz * KENDRICK_CH2)


def _ch2_phase(spectra: Spectra, mz_range: MzRange) -> Columns:
    """m/z modulo CH2 as an angle: equal along a series, different between head groups."""
    return _angle(spectra.mz / CH2)


def _published_log_intensity(spectra: Spectra, mz_range: MzRange) -> Columns:
    """Ln I clamped at -10, z-scored within the pixel with n - 1 in the deviation."""
    clamped = np.maximum(np.log(spectra.intensity.astype(np.float64)), -10.0)
    return [_z_score(clamped, spectra, ddof=1)]


def _published_mz(spectra: Spectra, mz_range: MzRange) -> Columns:
    """(m - h) / h with h half the width of the range: as published, not centred."""
    half = (mz_range[1] - mz_range[0]) / 2
    return [(spectra.mz - half) / half]


def _published_mass_defect(spectra: Spectra, mz_range: MzRange) -> Columns:
    """(d + 0.5) / 0.5 of the mass defect d = m - ceil(m)."""
    return [(spectra.mz - np.ceil(spectra.mz) + 0.5) / 0.5]


def _angle(turns: NDArray[np.float64]) -> Columns:
    angle = 2 * np.pi * (turns - np.floor(turns))
    return [np.sin(angle), np.cos(angle)]


def _z_score(values: NDArray[np.float64], spectra: Spectra, ddof: int) -> NDArray[np.float64]:
    """Values less their pixel's mean over its standard deviation; zero where that is zero."""
    pixel, counts = spectra.pixel_of_peak, spectra.peak_counts
    n = spectra.n_pixels
    mean = np.bincount(pixel, weights=values, minlength=n) / np.maximum(counts, 1)
    centred = values - mean[pixel]
    square = np.bincount(pixel, weights=centred**2, minlength=n)
    deviation = np.sqrt(square / np.maximum(counts - ddof, 1))
    # Equal intensities differ in the last digit once their mean is taken off.
    flat = deviation < 1e-9
    return np.where(flat[pixel], 0.0, centred / np.where(flat, 1.0, deviation)[pixel])


FEATURES: dict[str, tuple[Callable[[Spectra, MzRange], Columns], int]] = {
    "log_intensity": (_log_intensity, 1),
    "mz": (_mz, 1),
    "mass_defect": (_mass_defect, 2),
    "kendrick_defect": (_kendrick_defect, 2),
    "ch2_phase": (_ch2_phase, 2),
    "published_log_intensity": (_published_log_intensity, 1),
    "published_mz": (_published_mz, 1),
    "published_mass_defect": (_published_mass_defect, 1),
}
PUBLISHED_FEATURES = ("published_log_intensity", "published_mz", "published_mass_defect")


def feature_names(names: Sequence[str]) -> list[str]:
    """Name of each column of `node_features`: angles have a sine and a cosine.

    Raises
    ------
    ValueError
        For no names, or a name that is not in `FEATURES`.

    Examples
    --------
    >>> from massgraph.encode.features import feature_names
    >>> feature_names(["mz", "mass_defect"])
    ['mz', 'mass_defect_sin', 'mass_defect_cos']
    """
    unknown = [name for name in names if name not in FEATURES]
    if unknown or not names:
        msg = f"features {unknown} are not among {sorted(FEATURES)}" if unknown else "no features"
        raise InputError(msg)
    suffixes = {1: ("",), 2: ("_sin", "_cos")}
    return [name + suffix for name in names for suffix in suffixes[FEATURES[name][1]]]


def node_features(spectra: Spectra, names: Sequence[str], mz_range: MzRange) -> NDArray[np.float32]:
    """Features of every peak.

    Parameters
    ----------
    spectra
        The peaks.
    names
        Keys of `FEATURES`.
    mz_range
        Lowest and highest m/z that the scaled m/z refers to: that of the training data, so that
        a peak has the same features in every file.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_peaks, len(feature_names(names)))``.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.features import node_features
    >>> spectra = mg.Spectra.from_peaks([([400.0, 850.0, 1000.0], [1.0, 5.0, 2.0])])
    >>> node_features(spectra, ["mz"], (400.0, 1000.0)).ravel().tolist()
    [-1.0, 0.5, 1.0]
    """
    width = len(feature_names(names))
    columns = [column for name in names for column in FEATURES[name][0](spectra, mz_range)]
    features = np.empty((spectra.n_peaks, width), dtype=np.float32)
    for index, column in enumerate(columns):
        features[:, index] = column
    return features
