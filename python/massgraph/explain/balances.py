"""How molecules are split over their adducts, pixel by pixel: maps of salt, washing and matrix.

They show the quality of a preparation. They are no features to correct by: where the split follows
the tissue, taking it off takes the tissue off as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.encode.amounts import exchange_links
from massgraph.encode.axis import MassAxis
from massgraph.encode.ions import IonNodes

__all__ = ["Balances", "adduct_balances"]

KINDS = ("Na-H", "K-H", "K-Na")
FEWEST_PIXELS = 10  # with both ions, from which a pair counts


class Balances(NamedTuple):
    """Maps of how molecules are split over adducts.

    Parameters
    ----------
    table
        One row per map: `relation`, `n_pairs`, `spread`, `moran`; see
        `massgraph.explain.region_findings.RegionFindings`.
    images
        float32, shape ``(n_pixels, len(table))``.

    Examples
    --------
    See `adduct_balances`.
    """

    table: pd.DataFrame
    images: NDArray[np.float32]


def adduct_balances(
    blocks: Iterable[IonNodes], axis: MassAxis, relations: Relations, shares: sp.csr_matrix
) -> Balances:
    """Mean log ratio of the heavier to the lighter ion over the pairs of each kind of exchange.

    Each pair is taken less its mean over the pixels that hold both ions, so that which pairs a
    pixel happens to hold does not matter.

    Parameters
    ----------
    blocks
        Ions of all pixels, in order.
    axis
        The ions.
    relations
        Those named Na-H, K-H and K-Na count, as far as they are there.
    shares
        Means over neighbours, for Moran's I.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.data.neighbours import Neighbours
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.explain.balances import adduct_balances
    >>> from massgraph.learn.region_image import ion_blocks
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis, relations = learn_axis(spectra), mg.default_relations("positive")
    >>> shares = Neighbours.within(spectra, 1).shares()
    >>> found = adduct_balances(ion_blocks(axis, spectra), axis, relations, shares)
    >>> found.table["relation"].tolist(), found.images.shape[0]
    (['Na-H', 'K-H', 'K-Na'], 144)
    """
    links = exchange_links(axis, relations)
    kinds = {name: links[name] for name in KINDS if name in links and len(links[name])}
    if not kinds:
        n = shares.shape[0]
        return Balances(_table([], np.empty((n, 0)), shares, []), np.empty((n, 0), np.float32))
    ratios = [_ratios(nodes, kinds) for nodes in blocks]
    images, names, counts = [], [], []
    for i, name in enumerate(kinds):
        ratio = np.concatenate([block[i] for block in ratios])
        kept = (~np.isnan(ratio)).sum(axis=0) >= FEWEST_PIXELS
        if kept.any():
            images.append(_mean_image(ratio[:, kept]))
            names.append(name)
            counts.append(int(kept.sum()))
    stacked = np.stack(images, axis=1) if images else np.empty((len(ratio), 0))
    return Balances(_table(names, stacked, shares, counts), stacked.astype(np.float32))


def _ratios(nodes: IonNodes, kinds: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    """Log ratios of the pairs of each kind, ``(n_pixels, n_pairs)``; NaN without both ions."""
    spectra = nodes.spectra
    wanted = np.unique(np.concatenate([pairs.ravel() for pairs in kinds.values()]))
    column = np.searchsorted(wanted, nodes.ion)
    column = np.where(wanted[np.minimum(column, wanted.size - 1)] == nodes.ion, column, -1)
    peak = np.flatnonzero((column >= 0) & (spectra.intensity > 0))
    level = np.full((spectra.n_pixels, wanted.size), np.nan, dtype=np.float32)
    level[spectra.pixel_of_peak[peak], column[peak]] = np.log(spectra.intensity[peak])
    places = (np.searchsorted(wanted, pairs).T for pairs in kinds.values())
    return [level[:, heavy] - level[:, light] for light, heavy in places]


def _mean_image(ratio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over the pairs that a pixel holds, each less its own mean; NaN without any."""
    here = ~np.isnan(ratio)
    values = np.where(here, ratio, 0.0)
    centred = np.where(here, ratio - values.sum(axis=0) / here.sum(axis=0), 0.0)
    count = here.sum(axis=1)
    mean = np.full(len(ratio), np.nan)
    np.divide(centred.sum(axis=1), count, out=mean, where=count > 0)
    return mean


def _table(
    names: list[str], images: NDArray[np.float64], shares: sp.csr_matrix, counts: list[int]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "relation": np.array(names, dtype=object),
            "n_pairs": np.array(counts, dtype=np.int64),
            "spread": [float(np.nanstd(image)) for image in images.T],
            "moran": [_moran(image, shares) for image in images.T],
        }
    )


def _moran(image: NDArray[np.float64], shares: sp.csr_matrix) -> float:
    """Moran's I (Biometrika 37, 1950, 17-23) over pixels and neighbours that have a value."""
    here = ~np.isnan(image)
    value = np.where(here, image - image[here].mean(), 0.0)
    weight = shares @ here.astype(np.float64)
    around = np.divide(shares @ value, weight, out=np.zeros_like(value), where=weight > 0)
    both = here & (weight > 0)
    power = float((value[both] ** 2).sum())
    return float((value[both] * around[both]).sum() / power) if power > 0 else np.nan
