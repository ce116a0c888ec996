"""Families of ions for tests, of few words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from massgraph.chem.relations import (
    Relations,
    default_relations,
)
from massgraph.explain.families import find_families

FAMILY_COLUMNS = [
    "family",
    "mz",
    "role",
    "neutral_mass",
    "adduct",
    "class",
    "direction",
    "score",
    "family_score",
    "rank",
]
POSITIVE = default_relations("positive")
NEGATIVE = default_relations("negative")


def pair_up(mz: Any, relations: Relations, ppm: float = 2.0, **columns: Any) -> pd.DataFrame:
    """All relations that fit between ions of these m/z, as always drawn and never too intense."""
    mz = np.asarray(mz, dtype=float)
    gap = mz[None, :, None] - mz[:, None, None] - relations.masses
    source, target, code = np.nonzero(np.abs(gap) <= mz[None, :, None] * ppm * 1e-6)
    table = pd.DataFrame({"source": source, "target": target, "relation": code})
    ratios = {"intensity_ratio": 0.1, "drawn_ratio": 0.4}
    return table.assign(**{"frequency": 1.0, **ratios, **columns})


def families_of(
    mz: Any,
    relations: Relations = POSITIVE,
    polarity: str | None = "positive",
    *,
    score: Any = None,
    ion_class: Any = None,
    edges: pd.DataFrame | None = None,
    **options: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = len(mz)
    return find_families(
        np.asarray(mz, dtype=float),
        np.zeros(n, dtype=int) if ion_class is None else np.asarray(ion_class, dtype=int),
        np.full(n, 1.0 / max(n, 1)) if score is None else np.asarray(score, dtype=float),
        pair_up(mz, relations) if edges is None else edges,
        relations,
        polarity=polarity,
        **{"coverage": 1.0, **options},
    )
