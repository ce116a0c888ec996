"""Regions found again by half of the molecules: how stable a map is, and tests without a circle.

Molecules that made a map are significant in it whatever they are: any split of noise is, in the
noise it was made of. Here a half of the molecules makes a map, and the other half is tested in it.
Tissue or smooth nuisance, what the halves share they share: agreement is no truth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from massgraph._util.errors import InputError
from massgraph.learn.region_image import RegionImage
from massgraph.learn.region_search import find_regions
from massgraph.learn.regions import RegionModel

__all__ = ["HalfMap", "half_maps", "overlaps", "random_halves"]


class HalfMap(NamedTuple):
    """A map that one half of the molecules made.

    Parameters
    ----------
    tested
        Numbers of the features of the other half.
    label
        Region of each pixel of tissue under the number that the model's map gives it, -1 elsewhere
        and where the half found regions that the map does not have.
    overlap
        Jaccard index of each region of tissue with the one of the half that it was matched to.

    Examples
    --------
    See `half_maps`.
    """

    tested: NDArray[np.int64]
    label: NDArray[np.int64]
    overlap: NDArray[np.float64]


def half_maps(model: RegionModel, image: RegionImage, seed: int) -> list[HalfMap]:
    """Find as many regions again by either half of the molecules.

    Parameters
    ----------
    model
        What was found by all.
    image
        Read by the axis of `model`.
    seed
        Of the halves and of the searches.

    Returns
    -------
    list of HalfMap
        Two; none where there are fewer than two regions of tissue, or a half has too little in it
        to make a map.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.learn.region_halves import half_maps
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> model = mg.SpatialRegions(n_regions=4).fit(spectra).region_model_
    >>> [half.overlap.shape for half in half_maps(model, model.read(spectra), seed=0)]
    [(3,), (3,)]
    """
    if len(model.mixture) < 2 or not image.inner.any():
        return []
    settings = replace(model.settings, n_regions=len(model))
    reference = model.map_of(model.look_at(image))[:, : len(model.mixture)].argmax(axis=1)
    reference = np.where(image.tissue, reference, -1)
    rng = np.random.default_rng(seed)
    halves = random_halves(model.group.max() + 1, rng)
    found = []
    for half, other in (halves, halves[::-1]):
        try:
            part = image.of_features(half)
            again = model.with_found(find_regions(part, settings, rng))
        except InputError:  # too few molecules, or pixels alike in them
            return []
        again_map = again.map_of(again.look_at(part))[:, : len(model.mixture)]
        label = np.where(image.tissue, again_map.argmax(axis=1), -1)
        overlap = overlaps(reference, label, len(model.mixture))
        first, second = linear_sum_assignment(-overlap)
        name = np.full(len(model.mixture) + 1, -1)
        name[second] = first
        found.append(HalfMap(other, name[label], overlap[first, second]))
    return found


def random_halves(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers below n in two halves at random, each ascending.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.region_halves import random_halves
    >>> first, second = random_halves(5, np.random.default_rng(0))
    >>> sorted([*first.tolist(), *second.tolist()]), len(first)
    ([0, 1, 2, 3, 4], 3)
    """
    order = rng.permutation(n)
    middle = (n + 1) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def overlaps(
    one: NDArray[np.int64], other: NDArray[np.int64], n_regions: int
) -> NDArray[np.float64]:
    """Jaccard index of each region of one map with each of another.

    Parameters
    ----------
    one, other
        Regions of the same pixels, ``(n_pixels,)``; -1 for none.
    n_regions
        Number of regions of either.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_regions, n_regions)``; 0 for two empty regions.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.region_halves import overlaps
    >>> overlaps(np.array([0, 0, 1, 1]), np.array([1, 1, 1, 0]), 2).round(2).tolist()
    [[0.0, 0.67], [0.5, 0.25]]
    """
    a, b = (np.arange(n_regions) == label[:, None] for label in (one, other))
    both = (a[:, :, None] & b[:, None, :]).sum(axis=0)
    either = a.sum(axis=0)[:, None] + b.sum(axis=0)[None] - both
    return np.asarray(both / np.maximum(either, 1), dtype=np.float64)
