"""The m/z of the columns of an AnnData object, wherever and however they are written down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph.data.mz_names import mz_of_name, mz_of_names
from massgraph.io._anndata_layout import (
    METASPACE_COLUMNS,
    AnnDataError,
    has_columns,
    option,
    saying,
    warn,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["VAR_NAMES", "axis_of", "in_order", "once_each"]

VAR_NAMES = "var_names"
"""What to say in place of a column where the names of the columns are their m/z."""

# Columns that can mean nothing else, in lower case and without signs: "m/z", "MZ", "m_z".
SPELLINGS = {"mz", "mzs", "mzvalue", "mzvalues", "theoreticalmz", "mztheoretical", "masstocharge"}
LARGEST = 20_000.0  # an image whose lightest ion is heavier than that is in other units
SMALLEST = 10.0
ROUNDED_FROM = 10  # columns, below which few decimals may be chance
ROUGH = 5.0  # ppm: rounding by more than that hides mass differences
OTHERS = 0.2  # share of names that are no m/z, up to which these are what is wrong
SHOWN = 20  # columns that a message lists

# Columns nearer than this, relative to their m/z, are of one ion if they hold the same values.
TWIN = 1e-5
SAME = 1e-9
FEW = 3


def axis_of(adata: AnnData, key: str) -> tuple[NDArray[np.float64], str]:
    """m/z of the columns as they stand, positive, finite, in Da, and what to call them.

    Parameters
    ----------
    adata
        Any object.
    key
        Column of `var`, or `VAR_NAMES`. For ``"mz"``, which is what nobody chose, columns with
        another spelling of it will do, and so will m/z in the names of the columns.

    Raises
    ------
    AnnDataError
        Where there are none, or a value is no m/z.
    """
    where, values = _written(adata, key)
    axis = _numbers(values, where, adata)
    bad = ~np.isfinite(axis) | (axis <= 0)
    if bad.any():
        at = int(np.argmax(bad))
        msg = f"{where} is {axis[at]} for {adata.var_names[at]!r}: leave such columns out"
        raise AnnDataError(msg)
    _check_unit(axis, where)
    _warn_rounded(axis, where, adata)
    return axis, where


# ------------------------------------------------------------------ where they are


def _written(adata: AnnData, key: str) -> tuple[str, pd.Series[Any]]:
    """What to call the m/z in a message, and their values unchecked."""
    var = adata.var
    if key in var.columns:
        return f"var[{key!r}]", var[key]
    names = pd.Series(np.asarray(adata.var_names, dtype=object))
    if key == VAR_NAMES:
        return VAR_NAMES, names
    spelt = [column for column in var.columns if _plain(column) in SPELLINGS] if key == "mz" else []
    if len(spelt) == 1:
        return f"var[{spelt[0]!r}]", var[spelt[0]]
    if key == "mz" and not spelt and mz_of_names(names) is not None:
        warn(f"var has no column 'mz': m/z were read from {VAR_NAMES} (the first {names[0]!r})")
        return VAR_NAMES, names
    raise AnnDataError(_nowhere(adata, key))


def _nowhere(adata: AnnData, key: str) -> str:
    turned = [column for column in adata.obs.columns if _plain(column) in SPELLINGS]
    if turned and key == "mz":
        return (
            f"obs, and not var, has the m/z ({turned[0]!r}): rows are pixels and columns ions, so "
            + advise(
                "transpose the object, by adata.T",
                cli="transpose it and write it anew (in Python, anndata.read_h5ad(...).T)",
            )
        )
    others = [str(name) for name in adata.var_names if mz_of_name(name) is None]
    if key == "mz" and 0 < len(others) <= OTHERS * adata.n_vars:
        what = "those" if len(others) > 1 else "that"
        return (
            f"{VAR_NAMES} are m/z, but for {others[:SHOWN]}: take {what} out of the ions, and into "
            "obs where they say something of the pixels"
        )
    columns = list(adata.var.columns)
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    if not columns:
        return f"var has no column {key!r}, nor any other: add one with the m/z of the columns"
    return (
        f"var has no column {key!r}; name the one with the m/z by {option('mz')}: "
        f"{columns[:SHOWN]}{more}"
    )


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


# ------------------------------------------------------------------ what they are


def _numbers(values: pd.Series[Any], where: str, adata: AnnData) -> NDArray[np.float64]:
    if isinstance(values.dtype, pd.CategoricalDtype):
        # Categories are numbers or text all the same; anndata makes them of any column of text.
        values = values.astype(values.cat.categories.dtype)
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        msg = f"{where} is {dtype}, not numbers: name another column by {option('mz')}"
        raise AnnDataError(msg)
    if pd.api.types.is_numeric_dtype(dtype):
        _warn_precision(values.to_numpy(), where)
        axis: NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return axis
    if where != VAR_NAMES:
        warn(f"{where} is text, such as {values.iloc[0]!r}: it was read as numbers")
    return np.array([_number(value, where, adata.var_names[at]) for at, value in enumerate(values)])


def _number(value: object, where: str, name: object) -> float:
    """A number of text: ``496.3398``, ``496,3398``, ``mz_496.3398``; NaN where it is missing."""
    if value is None or value is pd.NA:
        return np.nan
    if isinstance(value, bytes):  # as some writers in R leave it
        value = value.decode("utf-8", "backslashreplace")
    found = mz_of_name(value)
    try:
        return float(str(value)) if found is None else found
    except ValueError:
        msg = (
            f"{where} is {str(value)!r:.60} for {name!r}, which is no m/z: name another column by "
            f"{option('mz')}"
        )
        raise AnnDataError(msg) from None


def _warn_precision(values: NDArray[Any], where: str) -> None:
    if values.dtype.kind != "f" or values.dtype.itemsize >= 8 or not (values > 0).all():
        return
    # Half a step of float32 is 0.06 ppm at most, of float16 some hundred.
    rounding = np.spacing(values).astype(np.float64) / 2
    worst = int(np.argmax(rounding / values))
    warn(
        f"{where} is {values.dtype}: m/z {values[worst]:.4f} may be off by "
        f"{rounding[worst] / values[worst] * 1e6:.2g} ppm; keep m/z as float64"
    )


def _check_unit(axis: NDArray[np.float64], where: str) -> None:
    """Refuse what no instrument measures: other units, and numbers of columns."""
    span = f"{where} runs from {axis.min():.6g} to {axis.max():.6g}"
    if axis.min() > LARGEST:
        msg = f"{span}: are these mDa? Divide them by 1000, m/z are in Da"
        raise AnnDataError(msg)
    if axis.size > 2 and np.array_equal(axis, np.arange(1, axis.size + 1)):
        msg = (
            f"{span} in steps of 1 and counts the columns: name the one with the m/z by "
            f"{option('mz')}"
        )
        raise AnnDataError(msg)
    if axis.max() < SMALLEST:
        msg = f"{span}: are these kDa? Multiply them by 1000, m/z are in Da"
        raise AnnDataError(msg)


def _warn_rounded(axis: NDArray[np.float64], where: str, adata: AnnData) -> None:
    if axis.size < ROUNDED_FROM:
        return
    decimals = next((n for n in (0, 1, 2) if np.allclose(axis, axis.round(n), 0, 1e-9)), None)
    if decimals is None:
        return
    step = 10.0**-decimals
    ppm = float(np.median(step / 2 / axis)) * 1e6
    if ppm <= ROUGH:
        return
    to = "whole numbers" if decimals == 0 else f"{decimals} decimal{'s' * (decimals > 1)}"
    advice = "mass differences between ions, and other runs, are told by m/z within some 10 ppm"
    named = mz_of_names(adata.var_names)
    if where != VAR_NAMES and named is not None and np.abs(named - axis).max() <= step * 0.51:
        advice = f"{VAR_NAMES} have more digits: say {saying('mz', VAR_NAMES)}"
    warn(f"{where} is rounded to {to}, which puts m/z off by up to {ppm:.0f} ppm: {advice}")


# ------------------------------------------------------------------ in order, each once


def in_order(
    axis: NDArray[np.float64], matrix: sp.csr_matrix, adata: AnnData, where: str
) -> tuple[NDArray[np.float64], sp.csr_matrix, NDArray[np.int64]]:
    """Columns by ascending m/z, as spectra have them, and where each of them was."""
    order = np.argsort(axis, kind="stable")
    if not np.any(np.diff(axis) < 0):
        return axis, matrix, order
    # METASPACE orders its columns by annotation.
    if not has_columns(adata, METASPACE_COLUMNS):
        warn(f"{where} does not ascend: the columns were put in order of m/z")
    return axis[order], matrix[:, order], order


def once_each(
    axis: NDArray[np.float64], matrix: sp.csr_matrix, names: NDArray[Any]
) -> tuple[NDArray[np.float64], sp.csr_matrix]:
    """One column for each ion, of columns in order.

    METASPACE has a column for each annotation, so that isomers are the same image several times,
    which would count its peaks as often. Of columns that are near and equal one is kept; those of
    one m/z that differ, as of ion mobility, are added up.

    Parameters
    ----------
    axis, matrix
        m/z, ascending, and the pixels x ions.
    names
        Of the columns.
    """
    copies = _copies(axis, matrix)
    if copies:
        first, second = copies[0]
        hold = "1 column holds" if len(copies) == 1 else f"{len(copies)} columns hold"
        warn(
            f"{hold} the same values as another within {TWIN * 1e6:g} ppm "
            f"(the first {str(names[second])!r} as {str(names[first])!r}, m/z {axis[first]:.4f}): "
            "they are one ion, and each was taken once"
        )
        kept = np.setdiff1d(np.arange(axis.size), [later for _, later in copies])
        axis, matrix, names = axis[kept], matrix[:, kept], names[kept]
    same = np.diff(axis) <= SAME * axis[1:]
    if not same.any():
        return axis, matrix
    at, n = int(np.argmax(same)), int(same.sum())
    have = "1 column has" if n == 1 else f"{n} columns have"
    warn(
        f"{have} the m/z of another and other values (the first "
        f"{str(names[at + 1])!r} as {str(names[at])!r}, m/z {axis[at]:.4f}): they were added up"
    )
    ion = np.concatenate([[0], np.cumsum(~same)])
    summing = sp.csr_matrix((np.ones(axis.size, np.float32), (np.arange(axis.size), ion)))
    return axis[np.concatenate([[True], ~same])], sp.csr_matrix(matrix @ summing)


def _copies(axis: NDArray[np.float64], matrix: sp.csr_matrix) -> list[tuple[int, int]]:
    """Pairs of near columns with the same values; each column is second in one pair at most."""
    total = np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel()
    alike = [
        (first, first + step)
        for step in (1, 2, 3)
        for first in np.flatnonzero(
            (axis[step:] - axis[:-step] <= TWIN * axis[step:])
            & np.isclose(total[step:], total[:-step], rtol=1e-6, atol=0)
            & (total[step:] > 0)
        ).tolist()
    ]
    if not alike:
        return []
    columns = matrix.tocsc()
    found: dict[int, int] = {}
    for first, second in sorted(alike):
        one, other = columns[:, [first]], columns[:, [second]]
        # A few counts, as of a finely binned axis, are the same by chance.
        told = one.nnz >= FEW and np.ptp(one.data) > 0
        same_mz = axis[second] - axis[first] <= SAME * axis[second]
        if (told or same_mz) and (one != other).nnz == 0:
            found.setdefault(second, first)
    return [(first, second) for second, first in found.items()]
