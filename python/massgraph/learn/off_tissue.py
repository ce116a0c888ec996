"""Pixels beside the tissue: those with far fewer molecules than the others, and darker.

They differ from tissue by more than any two regions of it do. Left among these they would shape
the components and the covariance that all regions share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.learn.mixture import Mixture, fit_mixture, mixture_of

__all__ = ["find_off_tissue", "two_parts"]

Floats = NDArray[np.float64]

APART = 5.0  # deviations between the two kinds of pixels
FEWER = 0.6  # of the molecules of tissue, at most
LEAST_SHARE = 0.05  # of the pixels, for either kind: a few poor ones are bad pixels, no background


def find_off_tissue(richness: Floats, intensity: Floats) -> Mixture | None:
    """Find out whether there are two kinds of pixels, rich and poor in molecules.

    Parameters
    ----------
    richness
        Log of the number of molecules in each pixel, ``(n_pixels,)``.
    intensity
        Log of its intensity.

    Returns
    -------
    Mixture or None
        Of the poor pixels and the rich ones, in this order, with a shared deviation. None where
        the pixels are of one kind: where the means are less than five deviations apart, the poor
        ones have more than 60 % of the molecules of the rich ones, one kind is below 5 %, or the
        poor ones are brighter: picked from noise, peaks may be more beside the tissue than in it.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.off_tissue import find_off_tissue
    >>> rng = np.random.default_rng(0)
    >>> poor, rich = rng.normal(3.0, 0.2, 100), rng.normal(5.0, 0.2, 300)
    >>> richness = np.concatenate([poor, rich])
    >>> find_off_tissue(richness, intensity=richness).weight.round(2).tolist()
    [0.25, 0.75]
    >>> find_off_tissue(rich, intensity=rich) is None
    True
    """
    Z = richness[:, None]
    poor = richness < two_parts(richness)
    if not poor.any():
        return None
    mixture, _ = fit_mixture(Z, mixture_of(Z, np.stack([poor, ~poor], axis=1).astype(float)))
    step = float(mixture.mean[1, 0] - mixture.mean[0, 0])
    apart = step / float(np.sqrt(mixture.covariance[0, 0, 0]))
    two_kinds = apart >= APART and step >= -np.log(FEWER) and mixture.weight.min() >= LEAST_SHARE
    darker = intensity[poor].mean() < intensity[~poor].mean()
    return mixture if two_kinds and darker else None


def two_parts(values: Floats) -> float:
    """Where values fall into two parts of least spread (Otsu, IEEE Trans. SMC 9, 1979, 62-66).

    Parameters
    ----------
    values
        Finite, ``(n,)``.

    Returns
    -------
    float
        Between the parts; minus infinity where all values are equal, or there is but one.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.off_tissue import two_parts
    >>> two_parts(np.array([1.0, 2.0, 9.0, 11.0]))
    5.5
    """
    if len(values) < 2:
        return float("-inf")
    ordered = np.sort(values)
    n = np.arange(1, len(ordered))
    total = np.cumsum(ordered)
    low, high = total[:-1] / n, (total[-1] - total[:-1]) / (len(ordered) - n)
    between = n * (len(ordered) - n) * (high - low) ** 2
    if between.max() <= 0:
        return float("-inf")
    place = int(np.argmax(between))
    return float(ordered[place : place + 2].mean())
