"""Which molecules define a region: how much more of each it holds, and an honest test of that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, rankdata

from massgraph.data.spectra import Spectra
from massgraph.learn.region_halves import HalfMap
from massgraph.learn.shifted_maps import shifted_maps

__all__ = ["FOUND_AGAIN", "compare_regions", "half_p_values", "with_fdr"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SHIFTS = 999
TESTED, RANKED = 4_000, 5_000  # pixels that tests and ranks look at, where there are more
FOUND_AGAIN = 0.5
"""Jaccard index of a region and that of a half, from which they are taken for the same."""


def compare_regions(amounts: sp.csr_matrix, label: Labels, n_regions: int) -> pd.DataFrame:
    """What each region holds more or less of than the rest.

    Parameters
    ----------
    amounts
        Log amounts, ``(n_pixels, n_molecules)``.
    label
        Region of each pixel, -1 for those that are left out.
    n_regions
        How many there are.

    Returns
    -------
    pandas.DataFrame
        One row per region and molecule, regions first: columns `region` (number), `molecule`,
        `mean`, `mean_elsewhere`, `effect` (difference in deviations within regions), `direction`
        and `auc`; see `massgraph.explain.region_findings.RegionFindings`.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from massgraph.explain.region_molecules import compare_regions
    >>> amounts = sp.csr_matrix([[1.0, 0.5], [1.2, 0.4], [0.0, 0.6], [0.1, 0.5]])
    >>> table = compare_regions(amounts, np.array([0, 0, 1, 1]), 2)
    >>> table.loc[[0, 2], ["region", "molecule", "direction", "auc"]].values.tolist()
    [[0, 0, 'more', 1.0], [1, 0, 'less', 0.0]]
    """
    kept = np.flatnonzero(label >= 0)
    X, where = amounts[kept], label[kept]
    member = np.eye(n_regions)[where]
    size = member.sum(axis=0)
    total = (X.T @ member).T
    inside = total / np.maximum(size, 1)[:, None]
    outside = (total.sum(axis=0) - total) / np.maximum(size.sum() - size, 1)[:, None]
    squares = np.asarray(X.multiply(X).sum(axis=0)).ravel()
    within = (squares - (inside**2 * size[:, None]).sum(axis=0)) / max(size.sum() - n_regions, 1)
    deviation = np.sqrt(np.maximum(within, 0.0))
    step = inside - outside
    effect = np.divide(step, deviation, out=np.zeros_like(step), where=deviation > 0)
    region, molecule = np.divmod(np.arange(step.size), amounts.shape[1])
    return pd.DataFrame(
        {
            "region": region,
            "molecule": molecule,
            "mean": inside.ravel(),
            "mean_elsewhere": outside.ravel(),
            "effect": effect.ravel(),
            "direction": np.where(step.ravel() >= 0, "more", "less"),
            "auc": _auc(X, member).ravel(),
        }
    )


def _auc(X: sp.csr_matrix, member: Floats) -> Floats:
    """Chance that a pixel of a region holds more than one elsewhere, by region and feature."""
    step = max(X.shape[0] // RANKED, 1)
    member = member[::step]
    rank = rankdata(X[::step].toarray(), axis=0)
    size = member.sum(axis=0)[:, None]
    others = len(member) - size
    above = member.T @ rank - size * (size + 1) / 2
    pairs = size * others
    found: Floats = np.full(above.shape, np.nan)
    np.divide(above, pairs, out=found, where=pairs > 0)
    return found


def half_p_values(
    amounts: sp.csr_matrix, half: HalfMap, where: Spectra, *, spatial: bool, seed: int
) -> Floats:
    """How often a map that is moved has as much to do with a molecule as the map in its place.

    Parameters
    ----------
    amounts
        Of all molecules, ``(n_pixels, n_molecules)``.
    half
        A map, and the molecules that took no part in it.
    where
        Places and runs of the pixels.
    spatial
        Whether the map is moved as a whole; otherwise pixels change places.
    seed
        Of the moves.

    Returns
    -------
    numpy.ndarray
        Two-sided, of the correlation of the molecule with the region, ``(n_regions,
        n_molecules)``; NaN for molecules that are not tested here, and for regions that are not
        found again (`FOUND_AGAIN`).

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.explain.region_molecules import half_p_values
    >>> from massgraph.learn.region_halves import half_maps
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> model = mg.SpatialRegions(n_regions=4).fit(spectra).region_model_
    >>> image = model.read(spectra)
    >>> half = half_maps(model, image, seed=0)[0]
    >>> half_p_values(image.amounts, half, spectra, spatial=True, seed=0).shape[0]
    3
    """
    n_regions = len(half.overlap)
    found = np.full((n_regions, amounts.shape[1]), np.nan)
    labelled = np.flatnonzero(half.label >= 0)
    pixels = labelled[:: max(labelled.size // TESTED, 1)]
    places = where.coordinates if spatial else None
    rng = np.random.default_rng(seed)
    moved = shifted_maps(half.label, places, where.run, pixels, SHIFTS, rng)
    X = _standardised(amounts[pixels][:, half.tested].toarray())
    varies = X.any(axis=0)
    for region in np.flatnonzero(half.overlap >= FOUND_AGAIN):
        here = np.abs(_correlation(half.label[None, pixels] == region, X))
        by_chance = np.abs(_correlation(moved == region, X))
        # Rounding must not let a map that was not moved at all count as less.
        p = (1 + (by_chance >= here * (1 - 1e-6)).sum(axis=0)) / (1 + SHIFTS)
        found[region, half.tested] = np.where(varies, p, 1.0)
    return found


def _standardised(X: NDArray[np.floating]) -> NDArray[np.float32]:
    """Columns of mean 0 and norm 1; constant ones 0."""
    X = X - X.mean(axis=0)
    norm = np.sqrt((X**2).sum(axis=0))
    found = np.divide(X, norm, out=np.zeros_like(X), where=norm > 1e-9)
    return np.asarray(found, dtype=np.float32)


def _correlation(member: NDArray[np.bool_], X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of indicators, ``(n_maps, n_pixels)``, with columns of X."""
    return np.asarray(_standardised(member.T.astype(np.float32)).T @ X, dtype=np.float64)


def with_fdr(table: pd.DataFrame, p_values: Sequence[Floats]) -> pd.DataFrame:
    """The table of `compare_regions` with columns `p_value` and `fdr` (Benjamini and Hochberg).

    Parameters
    ----------
    table
        As `compare_regions` gives it.
    p_values
        One of each half: see `half_p_values`. Regions beyond those of the halves were not tested.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from massgraph.explain.region_molecules import with_fdr
    >>> table = pd.DataFrame({"region": [0, 0, 1, 1], "molecule": [0, 1, 0, 1]})
    >>> with_fdr(table, [np.array([[0.01, np.nan]]), np.array([[np.nan, 0.5]])])["fdr"].tolist()
    [0.02, 0.5, nan, nan]
    """
    p = np.full((table["region"].max() + 1, table["molecule"].max() + 1), np.nan)
    for of_half in p_values:
        tested = ~np.isnan(of_half)
        p[: len(of_half)][tested] = of_half[tested]
    p = p.ravel()
    fdr, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        fdr[tested] = false_discovery_control(p[tested])
    return table.assign(p_value=p, fdr=fdr)
