"""The search for the mixture of highest likelihood: many starts, then splits and merges.

One start of k-means ends in a local optimum on tissue: in our measurements the search, not the
smoothing, is what finds the regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from massgraph.learn.mixture import Mixture, fit_mixture, mixture_of, mixture_of_labels

__all__ = ["improved", "joins", "search_mixture", "splits"]

Floats = NDArray[np.float64]

PROJECTIONS = 16  # starts in random halves of the components
SHORT, LONG = 15, 200  # steps of a fit that is compared, and of the last one
FINALISTS = 8
ROUNDS = 10  # of splits and merges
LEAST_GAIN = 1.0  # nats that a move must gain
FEWEST_PIXELS = 20  # that are worth splitting
MOST_SPLITS = 8  # regions, the largest ones, that are split for one more


@dataclass(frozen=True, eq=False)
class _Found:
    mixture: Mixture
    score: float


def search_mixture(
    Z: Floats,
    n_regions: int,
    rng: np.random.Generator,
    *,
    smooth: Floats | None = None,
    covariates: int = 0,
    covariance: str = "shared",
    extra: Sequence[Mixture] = (),
    judge: Callable[[Mixture], float] | None = None,
) -> Mixture:
    """Find the mixture that explains the pixels best.

    Parameters
    ----------
    Z
        Components and, after them, covariates, ``(n_pixels, n_components + n_covariates)``.
    n_regions
        How many regions; at most as many as pixels.
    rng
        Draws the starts.
    smooth
        The same smoothed over neighbours, for further starts.
    covariates, covariance
        As for `massgraph.learn.mixture.mixture_of`.
    extra
        Mixtures of `n_regions` regions to begin at, too.
    judge
        Score by which the last eight are compared; default their likelihood.

    Returns
    -------
    Mixture
        The best one found, its regions from the largest to the smallest.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture_search import search_mixture
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(place, 1, (100, 2)) for place in (0, 6, 12)])
    >>> sorted(abs(search_mixture(Z, 3, rng).mean[:, 0]).round().tolist())
    [0.0, 6.0, 12.0]
    """
    if n_regions == 1:
        return mixture_of(Z, np.ones((len(Z), 1)), covariates=covariates, covariance=covariance)
    starts = (*extra, *_starts(Z, n_regions, rng, smooth, covariates))
    begun = [_fit(Z, start, SHORT, covariance) for start in starts]
    begun.sort(key=lambda found: -found.score)
    moved = [found.mixture for found in begun[:FINALISTS]]
    if covariance != "own":
        moved = [improved(Z, mixture, rng, smooth, covariance) for mixture in moved]
    ended = [_fit(Z, mixture, LONG, covariance) for mixture in moved]
    # Likelihood alone may favour a nuisance that crosses all regions: the judge sees neighbours.
    scores = [found.score if judge is None else judge(found.mixture) for found in ended]
    best = ended[int(np.argmax(scores))].mixture
    order = _largest(best)
    of_each = order if len(best.covariance) > 1 else slice(None)
    return Mixture(
        best.weight[order],
        best.mean[order],
        best.covariance[of_each],
        best.slope[of_each],
        best.scale[order],
    )


def _fit(Z: Floats, start: Mixture, steps: int, covariance: str) -> _Found:
    return _Found(*fit_mixture(Z, start, steps=steps, covariance=covariance))


# -------------------------------------------------------------------- starts


def _starts(
    Z: Floats, n_regions: int, rng: np.random.Generator, smooth: Floats | None, covariates: int
) -> Iterator[Mixture]:
    """Mixtures of k-means: on the components, on scaled ones, and on some directions of them."""
    views = _views(Z, smooth, covariates)
    for view in views:
        label = _k_means(view, n_regions, rng, 3)
        yield mixture_of_labels(Z, label, n_regions, covariates=covariates)
    width = views[0].shape[1]
    half = max(min(width, 2), min(width // 2, n_regions))
    for i in range(PROJECTIONS):
        turn = np.linalg.qr(rng.standard_normal((width, width)))[0][:, :half]
        label = _k_means(views[-1 - i % 2] @ turn, n_regions, rng, 1)
        yield mixture_of_labels(Z, label, n_regions, covariates=covariates)


def _views(Z: Floats, smooth: Floats | None, covariates: int) -> list[Floats]:
    """Components as k-means may see them, the most telling ones last."""
    plain, rest = _components(Z, covariates)
    views = [plain, _scaled(plain)]
    if covariates:
        views += [_scaled(rest)]
    if smooth is not None:
        # What covariates explain over all regions may be a region, or hide all of them: both.
        seen = zip(_components(smooth, covariates), (plain, rest), strict=True)
        mixed = [_scaled(0.8 * _scaled(around) + 0.2 * _scaled(own)) for around, own in seen]
        views += [smooth[:, : plain.shape[1]], *mixed] if covariates else [smooth, mixed[0]]
    return views


def _components(Z: Floats, covariates: int) -> tuple[Floats, Floats]:
    """Without the covariates: as they are, and less what the covariates explain of them."""
    width = Z.shape[1] - covariates
    plain, given = Z[:, :width], Z[:, width:]
    if covariates == 0:
        return plain, plain
    given = given - given.mean(axis=0)
    return plain, plain - given @ np.linalg.lstsq(given, plain, rcond=None)[0]


def _scaled(Z: Floats) -> Floats:
    deviation = Z.std(axis=0)
    return np.asarray(Z / np.where(deviation > 0, deviation, 1.0))


def _k_means(
    view: Floats, n_regions: int, rng: np.random.Generator, n_init: int
) -> NDArray[np.int64]:
    # Of fewer points than clusters, which smoothing can leave, scikit-learn warns.
    if len(np.unique(view[:, 0])) < n_regions:
        n_regions = min(n_regions, len(np.unique(view, axis=0)))
    means = KMeans(n_regions, n_init=n_init, random_state=int(rng.integers(2**31)))
    return np.asarray(means.fit_predict(view), dtype=np.int64)


# -------------------------------------------------------------------- moves


def improved(
    Z: Floats,
    mixture: Mixture,
    rng: np.random.Generator,
    smooth: Floats | None = None,
    covariance: str = "shared",
) -> Mixture:
    """Merge two regions that cost least and split another, as long as that gains.

    Parameters as for `search_mixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import mixture_of
    >>> from massgraph.learn.mixture_search import improved
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(place, 1, (100, 1)) for place in (0, 9, 18)])
    >>> wrong = np.eye(3)[np.repeat([0, 1, 2, 2], [50, 50, 100, 100])]  # one halved, two together
    >>> sorted(abs(improved(Z, mixture_of(Z, wrong), rng).mean).round().ravel().tolist())
    [0.0, 9.0, 18.0]
    """
    found = _fit(Z, mixture, SHORT, covariance)
    for _ in range(ROUNDS):
        starts = _moves(Z, found.mixture, rng, smooth)
        moved = (_fit(Z, start, SHORT, covariance) for start in starts)
        better = next((new for new in moved if new.score > found.score + LEAST_GAIN), None)
        if better is None:
            break
        found = better
    return found.mixture


def _moves(
    Z: Floats, mixture: Mixture, rng: np.random.Generator, smooth: Floats | None
) -> Iterator[Mixture]:
    """Starts that merge one of the two cheapest pairs and split a large region."""
    if len(mixture) < 3:
        return
    found = mixture.log_joint(Z).argmax(axis=1)
    for kept, gone in _cheapest_pairs(mixture):
        label = np.where(found == gone, kept, found)
        regions = _largest(mixture)[: max(3, len(mixture) // 2)]
        # Of the merged pair the one that is gone has no pixels: the other is split in its place.
        tried = dict.fromkeys(int(kept if region == gone else region) for region in regions)
        yield from _split(Z, label, tried, gone, mixture, rng, smooth)


def splits(
    Z: Floats, mixture: Mixture, rng: np.random.Generator, smooth: Floats | None = None
) -> Iterator[Mixture]:
    """Starts of one region more: each of the largest ones in two.

    Parameters as for `search_mixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import mixture_of
    >>> from massgraph.learn.mixture_search import splits
    >>> rng = np.random.default_rng(0)
    >>> Z = np.concatenate([rng.normal(place, 1, (100, 1)) for place in (0, 9)])
    >>> [len(start) for start in splits(Z, mixture_of(Z, np.ones((200, 1))), rng)]
    [2]
    """
    label = mixture.log_joint(Z).argmax(axis=1)
    regions = _largest(mixture)[:MOST_SPLITS].tolist()
    yield from _split(Z, label, regions, len(mixture), mixture, rng, smooth)


def joins(Z: Floats, mixture: Mixture) -> Iterator[Mixture]:
    """Starts of one region fewer: each of the two cheapest pairs as one region.

    Parameters
    ----------
    Z
        Components, ``(n_pixels, n_components)``.
    mixture
        Of three regions at least.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.mixture import mixture_of
    >>> from massgraph.learn.mixture_search import joins
    >>> Z = np.array([[0.0], [1.0], [9.0]])
    >>> next(joins(Z, mixture_of(Z, np.eye(3)))).mean.round(1).ravel().tolist()
    [0.5, 9.0]
    """
    found = mixture.responsibility(Z)
    for kept, gone in _cheapest_pairs(mixture):
        joined = found.copy()
        joined[:, kept] += joined[:, gone]
        rest = np.delete(joined, gone, axis=1)
        yield mixture_of(Z, rest, covariates=mixture.n_covariates)


def _split(
    Z: Floats,
    label: NDArray[np.int64],
    regions: Iterable[int],
    new: int,
    mixture: Mixture,
    rng: np.random.Generator,
    smooth: Floats | None,
) -> Iterator[Mixture]:
    """Starts that give half of the pixels of a region to the region `new`."""
    white = mixture.white(Z if smooth is None else smooth)
    n_regions = max(len(mixture), new + 1)
    for region in regions:
        pixels = np.flatnonzero(label == region)
        if pixels.size >= FEWEST_PIXELS:
            other = label.copy()
            other[pixels[_halves(white[pixels], rng)]] = new
            yield mixture_of_labels(Z, other, n_regions, covariates=mixture.n_covariates)


def _largest(mixture: Mixture) -> NDArray[np.int64]:
    return np.argsort(-mixture.weight, kind="stable")


def _cheapest_pairs(mixture: Mixture) -> NDArray[np.int64]:
    """The two pairs of regions whose merging loses least likelihood, ``(2, 2)``."""
    size = mixture.weight[:, None] * mixture.weight / (mixture.weight[:, None] + mixture.weight)
    cost = mixture.separation() ** 2 * size
    cost[np.tril_indices(len(mixture))] = np.inf
    return np.stack(np.unravel_index(np.argsort(cost, axis=None)[:2], cost.shape), axis=1)


def _halves(white: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Part pixels in two: k-means, then a mixture, whose covariance finds narrow gaps."""
    label = _k_means(_scaled(white), 2, rng, 1)
    mixture, _ = fit_mixture(white, mixture_of_labels(white, label, 2), steps=25)
    return np.asarray(mixture.log_joint(white).argmax(axis=1) == 1)
