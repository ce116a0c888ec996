"""Relations: named mass differences between ions of one molecule family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Relations"]


@dataclass(frozen=True, eq=False)
class Relations:
    """A table of named mass differences, in the order of their relation codes.

    Parameters
    ----------
    names
        Unique short names ("13C", "CH2", "Na-H"), shape ``(n_relations,)``.
    masses
        Mass differences in Da, float64, each finite and above zero.
    formulas
        Elements gained going from the lighter to the heavier ion, losses negative ("Na-H": Na1H-1);
        empty where unknown.
    kinds
        "isotope", "adduct", "homologous", "loss", "biotransformation" or "user".
    """

    names: tuple[str, ...]
    masses: NDArray[np.float64]
    formulas: tuple[str, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def select(self, names: Sequence[str]) -> Relations:
        """Relations of these names, in this order."""
        raise NotImplementedError

    def to_frame(self) -> pd.DataFrame:
        """Table with columns name, formula, kind, mass."""
        raise NotImplementedError
