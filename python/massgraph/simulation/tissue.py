"""Tissue for the simulation: regions on a raster, and smooth fields over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

__all__ = [
    "MIN_ISLAND_SHAPE",
    "Tissue",
    "draw_holes",
    "draw_islands",
    "draw_tissue",
    "smooth_field",
]

MIN_ISLAND_SHAPE = 24
"""Rows and columns from which on every section has room for an island."""

# Partial volume: a pixel shares in its neighbours, by a Gaussian of this sd in pixels.
BLUR = 0.45

# All in pixels: the rim is two wide, islands have 9 to 25.
RIM_DEPTH = (2.0, 4.0)
ISLAND_RADIUS = (1.6, 3.0)
N_ISLANDS = 9
HOLE_RADIUS = 3.0
# More than two radii and a pixel: islands do not touch each other or the rim, nor holes each other.
SPACING = 7.0


@dataclass(frozen=True, eq=False)
class Tissue:
    """Regions of one run; pixels run along x first.

    Parameters
    ----------
    region
        Region of each pixel, -1 off tissue, shape ``(n_pixels,)``.
    mixture
        Share of each region in each pixel, shape ``(n_pixels, n_regions)``; what is missing to
        one is off tissue.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.tissue import draw_tissue
    >>> tissue = draw_tissue(np.random.default_rng(0), (20, 20), 3)
    >>> tissue.mixture.shape, bool(tissue.mixture.sum(axis=1).max() < 1.000001)
    ((400, 3), True)
    """

    region: NDArray[np.int64]
    mixture: NDArray[np.float64]


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int], sigma: float
) -> NDArray[np.float64]:
    """Gaussian random field with mean 0 and sd 1, smooth over `sigma` pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.tissue import smooth_field
    >>> field = smooth_field(np.random.default_rng(0), (20, 30), 2.0)
    >>> field.shape, round(float(field.std()), 6)
    ((20, 30), 1.0)
    """
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    return np.asarray((field - field.mean()) / field.std())


def draw_tissue(rng: np.random.Generator, shape: tuple[int, int], n_regions: int) -> Tissue:
    """Draw a section with an irregular outline and regions that follow it inwards.

    Regions are bands of a field, as in layered tissue: depth below the outline, bent by a smooth
    random field strong enough to make lobes and islands. Each covers at least half of its equal
    share.

    Parameters
    ----------
    rng
        Source of the random numbers.
    shape
        Rows and columns of the raster.
    n_regions
        The number of regions.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.tissue import draw_tissue
    >>> np.unique(draw_tissue(np.random.default_rng(0), (20, 20), 3).region).tolist()
    [-1, 0, 1, 2]
    """
    inside, depth = _draw_section(rng, shape)
    region = np.full(shape, -1)
    region[inside] = _draw_bands(rng, depth[inside], n_regions)
    return Tissue(region=region.ravel(), mixture=_mixture(region, n_regions))


def draw_islands(rng: np.random.Generator, shape: tuple[int, int], n_regions: int) -> Tissue:
    """Draw a section of large compartments, with a thin rim and small islands.

    The last region is up to nine round islands of 9 to 25 pixels; the one before is a rim two
    pixels wide, two below the outline; the others are bands as in `draw_tissue`.

    Parameters
    ----------
    rng
        Source of the random numbers.
    shape
        Rows and columns of the raster, at least `MIN_ISLAND_SHAPE` each.
    n_regions
        The number of regions, at least 3.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.tissue import draw_islands
    >>> tissue = draw_islands(np.random.default_rng(0), (30, 30), 4)
    >>> np.bincount(tissue.region[tissue.region >= 0]).tolist()
    [191, 172, 133, 43]
    """
    inside, depth = _draw_section(rng, shape)
    below = distance_transform_edt(inside)
    rim = (below > RIM_DEPTH[0]) & (below <= RIM_DEPTH[1])
    island = np.zeros(shape, dtype=bool)
    for centre in islice(_scattered(rng, np.argwhere(below > SPACING)), N_ISLANDS):
        island |= _distance(shape, centre) < rng.uniform(*ISLAND_RADIUS)
    # Bands share what is left: drawn first, a narrow one might vanish below the rim.
    rest = inside & ~rim & ~island
    region = np.full(shape, -1)
    region[rest] = _draw_bands(rng, depth[rest], n_regions - 2)
    region[rim] = n_regions - 2
    region[island] = n_regions - 1
    return Tissue(region=region.ravel(), mixture=_mixture(region, n_regions))


def draw_holes(
    rng: np.random.Generator, shape: tuple[int, int], region: NDArray[np.int64], n_holes: int
) -> NDArray[np.bool_]:
    """Choose the pixels of round holes within the tissue, none of which touches another.

    A hole has 29 pixels. One that would leave a region less than half of its pixels is not made.

    Parameters
    ----------
    rng
        Source of the random numbers.
    shape
        Rows and columns of the raster.
    region
        Region of each pixel, -1 off tissue, shape ``(n_pixels,)``.
    n_holes
        The number of holes, at most: there are as many as find room.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.tissue import draw_holes
    >>> draw_holes(np.random.default_rng(0), (30, 30), np.zeros(900, dtype=int), 1).sum().item()
    29
    """
    hole = np.zeros(region.size, dtype=bool)
    whole = np.bincount(region[region >= 0])
    # Nor may a hole be a bite out of the outline, for which the edge of the raster stands too.
    below = distance_transform_edt(np.pad(region.reshape(shape) >= 0, 1))[1:-1, 1:-1]
    made = 0
    for centre in _scattered(rng, np.argwhere(below > HOLE_RADIUS)):
        if made == n_holes:
            break
        torn = hole | (_distance(shape, centre).ravel() <= HOLE_RADIUS)
        left = np.bincount(region[~torn & (region >= 0)], minlength=whole.size)
        if (left >= whole / 2).all():
            hole, made = torn, made + 1
    return hole


def _scattered(rng: np.random.Generator, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Places (row, column) in random order, each farther than `SPACING` from those before."""
    while len(places):
        centre = places[rng.integers(len(places))]
        yield centre
        places = places[np.hypot(*(places - centre).T) > SPACING]


def _distance(shape: tuple[int, int], centre: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distance of each pixel of the raster from one, in pixels."""
    rows, columns = np.indices(shape)
    return np.asarray(np.hypot(rows - centre[0], columns - centre[1]))


def _draw_section(
    rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which pixels are tissue, and a field that rises inwards by which regions are layered."""
    size = min(shape)
    rows, columns = np.meshgrid(
        *(np.linspace(-1, 1, n) - rng.uniform(-0.06, 0.06) for n in shape), indexing="ij"
    )
    radius = np.hypot(rows / rng.uniform(0.9, 1.1), columns / rng.uniform(0.9, 1.1))
    inside = radius + 0.1 * smooth_field(rng, shape, size / 10) < 1.0
    depth = (
        -1.2 * radius
        + 0.4 * rng.uniform(-1, 1) * rows
        + 0.4 * rng.uniform(-1, 1) * columns
        + 0.35 * smooth_field(rng, shape, size / 12)
    )
    return inside, depth


def _draw_bands(
    rng: np.random.Generator, depth: NDArray[np.float64], n_regions: int
) -> NDArray[np.int64]:
    """Region of each of some pixels by their depth; the first lies deepest."""
    # Half of the area is dealt out evenly, so that no region vanishes.
    share = 0.5 / n_regions + 0.5 * rng.dirichlet(np.full(n_regions, 6.0))
    # By rank, not by depth itself: regions then have just these shares, whatever the field is.
    rank = np.argsort(np.argsort(depth))
    return np.asarray(
        n_regions - 1 - np.searchsorted(np.cumsum(share)[:-1] * rank.size, rank, "right")
    )


def _mixture(region: NDArray[np.int64], n_regions: int) -> NDArray[np.float64]:
    """Share of each region in each pixel, by partial volume.

    Pixels of the tissue are tissue all through, else the matrix would tell the outermost region.
    """
    shares = np.stack(
        [
            gaussian_filter((region == k).astype(float), BLUR, mode="nearest")
            for k in range(n_regions)
        ],
        axis=-1,
    )
    inside = region >= 0
    shares[inside] /= shares[inside].sum(axis=1, keepdims=True)
    return shares.reshape(-1, n_regions)
