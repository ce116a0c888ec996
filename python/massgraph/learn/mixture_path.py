"""Mixtures of one, two, three, ... regions of the same pixels, and how many regions to take.

Upwards the best split of the mixture before is refined; downwards two regions of the one after are
joined wherever that is better. A user steps through the maps; the curve says where to stop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.learn.mixture import Mixture, fit_mixture, mixture_of
from massgraph.learn.mixture_search import improved, joins, splits

__all__ = ["CURVE", "mixture_path", "number_of_regions", "selection_curve"]

Floats = NDArray[np.float64]

CURVE: dict[str, type] = {
    "n_regions": int,
    "log_likelihood": float,
    "gain": float,
    "ratio": float,
    "separation": float,
}
"""Columns of `selection_curve`, and what is in them."""

STEPS = 100
ALIKE = 1e-6  # deviations of the noise: below, pixels differ by rounding
SHORT = 15


def mixture_path(
    Z: Floats,
    most: int,
    rng: np.random.Generator,
    *,
    smooth: Floats | None = None,
    covariates: int = 0,
) -> tuple[Mixture, ...]:
    """Mixtures with a shared covariance of 1 to `most` regions.

    Parameters
    ----------
    Z
        Components and, after them, covariates, ``(n_pixels, n_components + n_covariates)``.
    most
        The largest number of regions. Fewer mixtures are given where no region can be split.
    rng, smooth, covariates
        As for `massgraph.learn.mixture_search.search_mixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture_path import mixture_path
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(place, 1, (100, 2)) for place in (0, 6, 12)])
    >>> [len(mixture) for mixture in mixture_path(Z, 4, rng)]
    [1, 2, 3, 4]
    """
    path = [mixture_of(Z, np.ones((len(Z), 1)), covariates=covariates)]
    # Pixels that are all alike have no halves.
    while len(path) < most and Z.std(axis=0).max() > ALIKE:
        begun = [fit_mixture(Z, start, steps=SHORT) for start in splits(Z, path[-1], rng, smooth)]
        if not begun:
            break
        best = max(begun, key=lambda found: found[1])[0]
        path.append(fit_mixture(Z, improved(Z, best, rng, smooth), steps=STEPS)[0])
    for k in range(len(path) - 2, 0, -1):
        joined = [fit_mixture(Z, start, steps=STEPS) for start in joins(Z, path[k + 1])]
        best, score = max(joined, key=lambda found: found[1])
        if score > path[k].log_likelihood(Z):
            path[k] = best
    return tuple(path)


def selection_curve(path: Sequence[Mixture], Z: Floats) -> pd.DataFrame:
    """How much each further region explains.

    Parameters
    ----------
    path
        Mixtures of 1, 2, ... regions.
    Z
        Components, ``(n_pixels, n_components)``.

    Returns
    -------
    pandas.DataFrame
        Columns ``n_regions``; ``log_likelihood``, in nats; ``gain``, that less the one of a region
        fewer; ``ratio``, the gain over the mean of the next two; ``separation``, the least
        distance d' of two regions in deviations. NaN where there is nothing to compare.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture_path import mixture_path, selection_curve
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(place, 1, (100, 2)) for place in (0, 6, 12)])
    >>> curve = selection_curve(mixture_path(Z, 5, rng), Z)
    >>> int(curve.loc[curve["ratio"].idxmax(), "n_regions"])
    3
    """
    scores = np.array([mixture.log_likelihood(Z) for mixture in path])
    gain = np.diff(scores, prepend=np.nan)
    # One next gain alone is at the mercy of a single poor step. Below a nat there is none.
    following = [gain[k + 1 : k + 3] for k in range(len(gain))]
    mean = np.array([np.maximum(some, 1.0).mean() if some.size else np.nan for some in following])
    columns = (
        np.arange(1, len(path) + 1),
        scores,
        gain,
        gain / mean,
        [_least_separation(mixture) for mixture in path],
    )
    return pd.DataFrame(dict(zip(CURVE, columns, strict=True)))


def _least_separation(mixture: Mixture) -> float:
    apart = mixture.separation()[np.triu_indices(len(mixture), 1)]
    return float(apart.min()) if apart.size else np.nan


def number_of_regions(curve: pd.DataFrame, most: int) -> int:
    """The number after which gains fall most: 2 to `most`, or 1 where nothing was split.

    Parameters
    ----------
    curve
        As `selection_curve` gives it, of two mixtures more than `most` where there are.
    most
        The largest number.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.learn.mixture_path import number_of_regions
    >>> curve = pd.DataFrame({"n_regions": [1, 2, 3, 4], "ratio": [float("nan"), 1.2, 4.0, 1.1]})
    >>> number_of_regions(curve, 4)
    3
    """
    ratio = curve["ratio"].to_numpy(dtype=np.float64)
    asked = curve["n_regions"].between(2, most).to_numpy() & ~np.isnan(ratio)
    if not asked.any():
        return min(len(curve), most)
    return int(curve["n_regions"].to_numpy()[np.argmax(np.where(asked, ratio, -np.inf))])
