"""Tissue for the simulation: regions on a raster, and smooth fields over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["Tissue", "draw_tissue", "smooth_field"]

# Partial volume: a pixel shares in its neighbours, by a Gaussian of this sd in pixels.
BLUR = 0.45


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
    # Half of the area is dealt out evenly, so that no region vanishes.
    share = 0.5 / n_regions + 0.5 * rng.dirichlet(np.full(n_regions, 6.0))
    # By rank, not by depth itself: regions then have just these shares, whatever the field is.
    rank = np.argsort(np.argsort(depth[inside]))
    region = np.full(shape, -1)
    # Of the regions in order, the first lies deepest.
    region[inside] = (
        n_regions - 1 - np.searchsorted(np.cumsum(share)[:-1] * rank.size, rank, "right")
    )
    return Tissue(region=region.ravel(), mixture=_mixture(region, n_regions))


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
