"""What the values of an AnnData object are: intensities, or what somebody made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.io._anndata_layout import AnnDataError, layers_of, option, warn

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["intensities"]

STANDARDISED = 0.01  # share of negative values, above which they are no noise about zero
SCALED_FROM = 5  # ions, below which equal maxima may be chance
EQUAL = 1e-5
LARGEST_LOG = 50.0


def intensities(
    matrix: sp.csr_matrix, adata: AnnData, axis: NDArray[np.float64], layer: str | None
) -> sp.csr_matrix:
    """The values as intensities: finite, and none negative; the caller's matrix is not changed.

    Parameters
    ----------
    matrix
        Pixels x ions, as it was read.
    adata, layer
        Where from.
    axis
        m/z of the columns.

    Raises
    ------
    AnnDataError
        For values that are not finite.

    Warns
    -----
    UserWarning
        Once, for what shows that these are no intensities: logarithms, standardised values, ions
        that were scaled one by one, or only 0 and 1.
    """
    where = "X" if layer is None else f"layers[{layer!r}]"
    _check_finite(matrix, adata, axis, where)
    negative = matrix.data < 0
    said = _not_intensities(matrix, negative, adata, layer, where)
    if negative.any():
        told = f"{int(negative.sum())} negative intensities were treated as absent peaks"
        warn(f"{told}; {said}" if said else told)
        matrix = matrix.copy()
        matrix.data[negative] = 0
    elif said:
        warn(said)
    return matrix


def _check_finite(
    matrix: sp.csr_matrix, adata: AnnData, axis: NDArray[np.float64], where: str
) -> None:
    bad = np.flatnonzero(~np.isfinite(matrix.data))
    if not bad.size:
        return
    at = int(bad[0])
    pixel = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
    several = f" and at {bad.size - 1} more places" if bad.size > 1 else ""
    advice = "leave it out or set it to zero"
    if bad.size > 1:
        advice = (
            "leave such pixels or ions out or set them to zero (where objects were joined, by "
            "anndata.concat(..., fill_value=0))"
        )
    msg = (
        f"{where} is {matrix.data[at]} at pixel {pixel} ({str(adata.obs_names[pixel])!r}), "
        f"m/z {axis[matrix.indices[at]]:.4f}{several}: {advice}"
    )
    raise AnnDataError(msg)


def _not_intensities(
    matrix: sp.csr_matrix,
    negative: NDArray[np.bool_],
    adata: AnnData,
    layer: str | None,
    where: str,
) -> str:
    """What was done to the values, and what to do; empty for intensities."""
    done = _transformed(matrix, negative, adata, layer)
    if not done:
        return ""
    others = [name for name in layers_of(adata) if name != layer]
    advice = "take the values from before that"
    if others:
        advice += f", or name the layer that holds them by {option('layer')}, of {others}"
    return f"{where} {done}, where intensities are expected: {advice}"


def _may_be_logarithms(values: NDArray[np.float32]) -> bool:
    """Whether scanpy's note of logarithms can be true: it is there for those of any layer, too."""
    return values.size > 0 and not _counts(values) and float(values.max()) < LARGEST_LOG


def _counts(values: NDArray[np.float32]) -> bool:
    return bool((values == np.round(values)).all())


def _transformed(
    matrix: sp.csr_matrix, negative: NDArray[np.bool_], adata: AnnData, layer: str | None
) -> str:
    if layer is None and "log1p" in adata.uns and _may_be_logarithms(matrix.data):
        return "holds logarithms, as uns['log1p'] says"
    if negative.size and negative.mean() > STANDARDISED:
        return f"is negative in {negative.mean():.0%} of its values, as standardised ones are"
    highest = matrix.max(axis=0).toarray().ravel() if matrix.nnz else np.empty(0)
    highest = highest[highest > 0]
    if highest.size < SCALED_FROM or np.ptp(highest) > EQUAL * highest.max():
        return ""
    present = matrix.data[matrix.data != 0]
    if np.ptp(present) == 0:
        return f"holds only 0 and {present[0]:g}"
    if _counts(present):  # a few counts may have one maximum by chance, or by saturation
        return ""
    return f"has the same maximum, {highest.max():g}, in all columns: ions were scaled one by one"
