"""What the writer of h5ad asks of a result.

Described, not imported: a segmentation calls the writer, so the writer must not know its class. Any
object with these fields can be written. The fields are properties because a frozen result has no
others: its fields cannot be set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra

__all__ = ["Explained", "Found", "Result"]


class Explained(Protocol):
    """Which ions decided; see `massgraph.Explanation`."""

    @property
    def mz(self) -> NDArray[Any]: ...  # of the ions, ascending
    @property
    def activation(self) -> Mapping[str, sp.csr_matrix]: ...  # per class, pixels x ions
    @property
    def intercept(self) -> NDArray[Any]: ...  # one per class
    @property
    def ions(self) -> pd.DataFrame: ...  # one row per ion, with the column mz
    @property
    def families(self) -> pd.DataFrame: ...
    @property
    def family_edges(self) -> pd.DataFrame: ...


class Found(Protocol):
    """What was found out about regions; see `massgraph.explain.region_findings.RegionFindings`."""

    @property
    def regions(self) -> pd.DataFrame: ...
    @property
    def molecules(self) -> pd.DataFrame: ...
    @property
    def families(self) -> pd.DataFrame: ...
    @property
    def selection(self) -> pd.DataFrame | None: ...
    @property
    def maps(self) -> Mapping[int, NDArray[Any]]: ...  # one label per pixel, by number of regions
    @property
    def shown(self) -> NDArray[Any]: ...  # molecules
    @property
    def images(self) -> NDArray[Any]: ...  # pixels x molecules shown
    @property
    def balances(self) -> pd.DataFrame: ...
    @property
    def balance_images(self) -> NDArray[Any]: ...  # pixels x rows of balances
    @property
    def cautions(self) -> Sequence[str]: ...


class Result(Protocol):
    """Classes of pixels; see `massgraph.Segmentation`. One value per pixel where nothing else."""

    @property
    def n_pixels(self) -> int: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def probability(self) -> NDArray[Any]: ...  # pixels x classes
    @property
    def label(self) -> pd.Categorical: ...
    @property
    def uncertainty(self) -> NDArray[Any]: ...
    @property
    def spectra(self) -> Spectra: ...
    @property
    def run(self) -> NDArray[Any]: ...
    @property
    def coordinates(self) -> NDArray[Any] | None: ...  # pixels x 2 or 3
    @property
    def names(self) -> NDArray[Any] | None: ...
    @property
    def pixel_size(self) -> tuple[float, float] | None: ...
    @property
    def pixel_size_unit(self) -> str: ...
    @property
    def polarity(self) -> str | None: ...
    @property
    def coverage(self) -> NDArray[Any] | None: ...
    @property
    def by_neighbours(self) -> NDArray[Any] | None: ...
    @property
    def reference(self) -> pd.Categorical | None: ...
    @property
    def training(self) -> NDArray[Any] | None: ...
    @property
    def validation(self) -> NDArray[Any] | None: ...
    @property
    def explanation(self) -> Explained | None: ...
    @property
    def findings(self) -> Found | None: ...
    @property
    def history(self) -> pd.DataFrame | None: ...  # one row per epoch
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def versions(self) -> Mapping[str, str]: ...
