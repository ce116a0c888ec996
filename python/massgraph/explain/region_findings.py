"""What was found out about regions: how sure each is, and which molecules define it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["RegionFindings"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegionFindings:
    """How many regions, how sure, and what defines them; made by `SpatialRegions.findings`.

    Parameters
    ----------
    regions
        One row per region, in the order of the labels: `region` (name); `n_pixels`; `run`, the
        run that holds nearly all of it, else missing; `probability`, mean over its pixels;
        `separation`, the least distance d' to another region in deviations within regions, and
        `nearest`, which that is; `stability`, how well maps made of either half of the molecules
        find it again (mean Jaccard index, 0 to 1; NaN off tissue, which no half is asked for);
        `n_molecules`, those that define it (`fdr` up to 0.05); and `verdict`, all this in words.
    molecules
        One row per region and molecule, the best of each region first: `region`; `molecule`;
        `mz` of its most intense ion; `n_ions`, `ions` (their m/z) and `relations` (what connects
        them); `mean` and `mean_elsewhere`, log amounts in the region and in the rest of the tissue;
        `effect`, their difference in deviations within regions; `direction`, ``"more"`` or
        ``"less"``; `auc`, the chance that a pixel of the region holds more than one elsewhere.
        These describe, and are circular: the molecules made the regions. `p_value` and `fdr` are
        not: each molecule is tested in the map that the other half of the molecules makes, against
        blocks of the image that are moved about.
    families
        One row per region and family of related molecules that define it in one direction:
        `region`, `family`, `n_molecules`, `mz` (of each), `relations`, `effect` (mean),
        `direction` and `fdr` (the largest of the members').
    selection
        Why this number (`massgraph.learn.mixture_path.selection_curve`); None where it was given.
    maps
        Labels by number of regions, each int64, ``(n_pixels,)``, -1 where there is none: nested
        maps of one fit, or the one map where the number was given.
    shown
        Numbers of the molecules that `images` shows, those that define the regions best.
    images
        Their log amounts, float32, shape ``(n_pixels, len(shown))``.
    balances
        Which pairs of ions `balance_images` shows: `relation`, such as ``"Na-H"``; `n_pairs`;
        `spread`, the deviation over pixels; and `moran`, how alike neighbours are (-1 to 1).
    balance_images
        Mean log ratio of the heavier to the lighter ions of each kind, less its mean, float32,
        ``(n_pixels, len(balances))``; NaN where no pair is. Maps of salt, washing and matrix.
    cautions
        What makes the map doubtful, one sentence each.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).findings(spectra)
    >>> found.regions["region"].tolist()
    ['region 1', 'region 2', 'off-tissue']
    """

    regions: pd.DataFrame
    molecules: pd.DataFrame
    families: pd.DataFrame
    selection: pd.DataFrame | None = None
    maps: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    shown: NDArray[np.int64]
    images: NDArray[np.float32]
    balances: pd.DataFrame
    balance_images: NDArray[np.float32]
    cautions: tuple[str, ...] = ()
