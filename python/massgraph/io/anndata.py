"""Spectra and labels from AnnData objects and h5ad files.

Layouts that are read without being asked (as metaspace-converter 1.1 and thyra
with its metadata schema 0.10 write them):

- our own export, see `massgraph.io.h5ad.to_anndata`;
- metaspace-converter: one column per annotation with its theoretical m/z in ``var["mz"]``, not in
  order of m/z; raster indices in ``obs["ion_image_pixel_x"]`` and ``obs["ion_image_pixel_y"]``
  (``obsm["spatial"]`` may instead be the place on an optical image); the description of the data
  set in ``uns["metaspace"]``, or spread over columns of `obs` such as ``metaspace.polarity``;
- thyra, as a table of its SpatialData object: the axis in ``var["mz"]``, raster indices in
  ``obs[["x", "y"]]`` (and `z` for volumes), micrometres in ``obs[["spatial_x", "spatial_y"]]``, the
  description in ``uns["msi_metadata"]``;
- any other object with ``var["mz"]`` and ``obsm["spatial"]`` or ``obs[["x", "y"]]``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph.data.spectra import POLARITIES, Spectra
from massgraph.data.validation import check_sparse
from massgraph.io._h5_check import check_h5

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["AnnDataError", "from_anndata", "labels_from_obs", "open_h5ad", "read_anndata"]

METASPACE_COLUMNS = ["ion_image_pixel_x", "ion_image_pixel_y"]
THYRA_COLUMNS = ["spatial_x", "spatial_y"]

# Where the layouts keep the polarity, the pixel size in micrometres and the name of the run.
POLARITY_AT = (
    ("massgraph", "polarity"),
    ("metaspace", "polarity"),
    ("msi_metadata", "ms_analysis", "polarity"),
)
PIXEL_SIZE_AT = (
    ("metaspace", "metadata", "MS_Analysis", "Pixel_Size", ("Xaxis", "Yaxis")),
    ("msi_metadata", "ms_analysis", "pixel_size_um", ("x", "y")),
)
RUN_AT = ("metaspace", "id")

# Dense matrices on the disk are read in pieces of about this many values.
VALUES_PER_CHUNK = 8_000_000


class AnnDataError(InputError):
    """An AnnData object or h5ad file that cannot be taken; the message names the key and value."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def from_anndata(
    adata: AnnData,
    *,
    layer: str | None = None,
    mz: str = "mz",
    run: str | None = None,
    coordinates: str | None = "auto",
    polarity: str | None = None,
) -> Spectra:
    """Take the spectra of an AnnData object; see the module for the layouts it knows.

    Parameters
    ----------
    adata
        Pixels x ions; a view, backed by a file, with a dense, masked, sparse (any format) or dask
        matrix. It is not changed. Zero, masked and negative values are absent peaks.
    layer
        Layer to take instead of `X`.
    mz
        Column of `var` with the m/z, positive, finite, each once. Columns out of order are put
        into it, with a warning where the layout is not known for it.
    run
        Column of `obs` with the run of each pixel; default: ``"run"`` where there is one, else
        the identifier of a METASPACE data set, else all pixels are of one run.
    coordinates
        Key of `obsm` with (x, y) or (x, y, z); ``"auto"``: the raster indices of the layout, else
        ``obsm["spatial"]``, else ``obs[["x", "y"]]`` (and `z`), and none for our own export of
        spectra without a place; None: no coordinates.
    polarity
        ``"positive"`` or ``"negative"``, over what the object says.

    Returns
    -------
    Spectra
        With `axis` set to the m/z of all columns. Names are the ``obs_names`` (for our own export:
        those of the pixels that were segmented).

    Raises
    ------
    AnnDataError
        Where something is missing or wrong: one line with the key, the value and what to do.

    Warns
    -----
    UserWarning
        For negative values, m/z out of order or of less than double precision, ``obs_names`` that
        are not text or not unique, profile spectra, and descriptions that cannot be understood.
    """
    _check_object(adata)
    axis = _axis(adata, mz)
    matrix = _matrix(adata, layer)
    _check_values(matrix, adata, axis, "X" if layer is None else f"layers[{layer!r}]")
    if np.any(np.diff(axis) < 0):
        order = np.argsort(axis)
        axis, matrix = axis[order], matrix[:, order]
        if not _has(adata, METASPACE_COLUMNS):
            _warn(f"var[{mz!r}] does not ascend: the columns were put in order of m/z")
    return Spectra.from_matrix(
        matrix,
        axis,
        coordinates=_coordinates(adata, coordinates),
        run=_run(adata, run),
        polarity=_polarity(adata) if polarity is None else polarity,
        names=_names(adata),
        **_pixel_size(adata),
    )


def read_anndata(path: str | os.PathLike[str], **options: Any) -> Spectra:
    """Read the spectra of an h5ad file.

    Parameters
    ----------
    path
        The file.
    options
        As for `from_anndata`.

    Raises
    ------
    AnnDataError
        As for `open_h5ad` and `from_anndata`. The message names the file.
    """
    adata = open_h5ad(path)
    try:
        return from_anndata(adata, **options)
    except AnnDataError as error:
        msg = f"{path}: {error}"
        raise AnnDataError(msg) from error


def open_h5ad(path: str | os.PathLike[str]) -> AnnData:
    """Read an h5ad file, for `from_anndata` and `labels_from_obs`.

    Raises
    ------
    AnnDataError
        Where the file is missing, cut, of another kind or of a newer version than this anndata
        understands. The message names the file.
    """
    import anndata

    if not Path(path).is_file():
        what = "is a folder, not an h5ad file" if Path(path).is_dir() else "does not exist"
        msg = f"{path} {what}"
        raise AnnDataError(msg)
    reason = check_h5(Path(path))
    if reason is not None:
        raise AnnDataError(_unreadable(path, reason))
    try:
        return anndata.read_h5ad(path)
    except MemoryError:
        raise
    except Exception as error:  # anndata and h5py raise whatever the damage leads to
        raise AnnDataError(_unreadable(path, _reason(error))) from error


def _unreadable(path: object, reason: str) -> str:
    return (
        f"{path} cannot be read as h5ad by anndata {version('anndata')} ({reason}): "
        "it is damaged, of another kind, or of a newer version"
    )


def _reason(error: BaseException) -> str:
    """First line of an error's message, without what a terminal would obey."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]


def labels_from_obs(adata: AnnData, column: str) -> NDArray[np.object_]:
    """Labels of the pixels from a column of `obs`, as text.

    Parameters
    ----------
    adata
        Any AnnData object.
    column
        Name of the column: categorical, text, bool, integer or float.

    Returns
    -------
    numpy.ndarray
        Objects, shape ``(n_pixels,)``: None where the value is None, NaN or NA, else its text.
        Text is kept exactly ("NA" and "" are labels); truth values are "True" and "False"; whole
        floats lose their point, since integers with gaps become floats in a table: 1.0 is "1",
        0.5 is "0.5". Levels of a category that no pixel has do not appear.

    Raises
    ------
    AnnDataError
        Where the column is absent or has no label at all.
    """
    values = _column(adata, column, "a column of labels")
    labels = _as_text(values)
    if not any(label is not None for label in labels):
        msg = f"obs[{column!r}] has no label: all {len(labels)} values are missing"
        raise AnnDataError(msg)
    return labels


# ------------------------------------------------------------------ the object


def _check_object(adata: Any) -> None:
    if hasattr(adata, "tables"):
        msg = f"a SpatialData object has several tables: give one, of {sorted(adata.tables)}"
        raise AnnDataError(msg)
    if not all(hasattr(adata, name) for name in ("layers", "obs", "var", "obsm", "uns")):
        msg = f"expected an AnnData object, got {type(adata).__name__}"
        raise AnnDataError(msg)
    if 0 in adata.shape:
        msg = f"the AnnData object is empty: {adata.n_obs} pixels, {adata.n_vars} ions"
        raise AnnDataError(msg)
    kind = _lookup(adata, ("essential_metadata", "spectrum_type"))
    if isinstance(kind, str) and "profile" in kind:
        _warn(f"uns['essential_metadata'] says {kind!r}: peaks are expected, pick them first")


def _axis(adata: AnnData, key: str) -> NDArray[np.float64]:
    """m/z of the columns as they stand, checked but not sorted."""
    if key not in adata.var.columns:
        msg = f"var has no column {key!r}; name the one with the m/z by mz=: {list(adata.var)}"
        raise AnnDataError(msg)
    values = adata.var[key]
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        msg = (
            f"var[{key!r}] is {values.dtype}, not numbers ({values.iloc[0]!r}): "
            f"convert it, e.g. by adata.var[{key!r}].astype(float)"
        )
        raise AnnDataError(msg)
    axis: NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(axis) | (axis <= 0)
    if bad.any():
        at = int(np.argmax(bad))
        msg = f"var[{key!r}] is {axis[at]} for {adata.var_names[at]!r}: leave such columns out"
        raise AnnDataError(msg)
    order = np.argsort(axis, kind="stable")
    same = np.flatnonzero(np.diff(axis[order]) == 0)
    if same.size:
        first, second = order[same[0]], order[same[0] + 1]
        msg = (
            f"var[{key!r}] is {axis[first]} for both {adata.var_names[first]!r} and "
            f"{adata.var_names[second]!r}: keep one of each, "
            f"e.g. adata[:, ~adata.var[{key!r}].duplicated()]"
        )
        raise AnnDataError(msg)
    _warn_precision(values.to_numpy(), key)
    return axis


def _warn_precision(values: NDArray[Any], key: str) -> None:
    if values.dtype.kind != "f" or values.dtype.itemsize >= 8:
        return
    rounding = np.spacing(values).astype(np.float64) / 2
    worst = int(np.argmax(rounding / values))
    _warn(
        f"var[{key!r}] is {values.dtype}: m/z {values[worst]:.4f} may be off by "
        f"{rounding[worst] / values[worst] * 1e6:.2g} ppm; keep m/z as float64"
    )


def _matrix(adata: AnnData, layer: str | None) -> sp.csr_matrix:
    """Read the matrix into memory as CSR float32."""
    if layer is not None and layer not in adata.layers:
        msg = f"there is no layer {layer!r}; there are {sorted(adata.layers)}"
        raise AnnDataError(msg)
    try:
        source = adata.X if layer is None else adata.layers[layer]
        if source is None:
            msg = f"X is None: name a layer by layer=, of {sorted(adata.layers)}"
            raise AnnDataError(msg)
        return _in_memory(source)
    except AnnDataError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError) as error:
        file = getattr(adata, "filename", None)
        place = "the matrix" if file is None else f"the matrix, backed by {file},"
        msg = f"{place} cannot be read ({_reason(error)}): was the file closed, moved or deleted?"
        raise AnnDataError(msg) from error


def _in_memory(source: Any) -> sp.csr_matrix:
    for method in ("compute", "to_memory"):  # dask, and sparse matrices on the disk
        if hasattr(source, method):
            source = getattr(source, method)()
    if sp.issparse(source) or isinstance(source, np.ndarray):
        return _as_csr(source)
    rows = max(1, VALUES_PER_CHUNK // max(1, source.shape[1]))
    chunks = [_as_csr(source[at : at + rows]) for at in range(0, source.shape[0], rows)]
    matrix: sp.csr_matrix = sp.vstack(chunks, format="csr")
    return matrix


def _as_csr(values: Any) -> sp.csr_matrix:
    if values.dtype.kind not in "biuf":
        msg = f"the matrix is of {values.dtype}, not of numbers"
        raise AnnDataError(msg)
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(0)
    try:
        check_sparse(values)
    except ValueError as error:
        raise AnnDataError(str(error)) from None
    matrix = sp.csr_matrix(values.astype(np.float64) if values.dtype == np.float16 else values)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        single: sp.csr_matrix = matrix.astype(np.float32, copy=False)
    return single


def _check_values(
    matrix: sp.csr_matrix, adata: AnnData, axis: NDArray[np.float64], where: str
) -> None:
    bad = ~np.isfinite(matrix.data)
    if bad.any():
        at = int(np.argmax(bad))
        pixel = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        msg = (
            f"{where} is {matrix.data[at]} at pixel {pixel} ({str(adata.obs_names[pixel])!r}), "
            f"m/z {axis[matrix.indices[at]]:.4f}: leave it out or set it to zero"
        )
        raise AnnDataError(msg)


# ------------------------------------------------------------------ pixels


def _coordinates(adata: AnnData, key: str | None) -> NDArray[np.float64] | None:
    if key is None or (key == "auto" and _is_ours(adata) and "spatial" not in adata.obsm):
        return None
    where, values = _places(adata, key)
    found = _numbers(values, where)
    if found.ndim != 2 or found.shape[1] not in (2, 3):
        msg = f"{where} has shape {found.shape}, need ({adata.n_obs}, 2) or ({adata.n_obs}, 3)"
        raise AnnDataError(msg)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        pixel = int(np.argmax(bad))
        msg = (
            f"{where} is {found[pixel].tolist()} at pixel {pixel} "
            f"({str(adata.obs_names[pixel])!r}): leave such pixels out or say coordinates=None"
        )
        raise AnnDataError(msg)
    _check_order(adata, found, where)
    return found


def _places(adata: AnnData, key: str) -> tuple[str, Any]:
    """Find the coordinates: what to call them in a message, and their values unchecked."""
    columns = [name for name in "xyz" if name in adata.obs.columns]
    if key == "auto" and _has(adata, METASPACE_COLUMNS):
        return f"obs[{METASPACE_COLUMNS}]", adata.obs[METASPACE_COLUMNS]
    in_columns = _has(adata, ["x", "y"])
    if key == "auto" and in_columns and (_has(adata, THYRA_COLUMNS) or "spatial" not in adata.obsm):
        return f"obs[{columns}]", adata.obs[columns]
    name = "spatial" if key == "auto" else key
    if name not in adata.obsm:
        msg = (
            f"obsm has no {name!r}: name the key with (x, y) by coordinates=, of "
            f"{sorted(adata.obsm)}, or say coordinates=None"
        )
        raise AnnDataError(msg)
    return f"obsm[{name!r}]", adata.obsm[name]


def _numbers(values: Any, where: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{where} does not hold numbers ({error})"
        raise AnnDataError(msg) from error


def _check_order(adata: AnnData, found: NDArray[np.float64], where: str) -> None:
    """Refuse (y, x), where the columns of obs give it away."""
    for columns in (["x", "y"], METASPACE_COLUMNS):
        if not _has(adata, columns):
            continue
        raster = _numbers(adata.obs[columns], f"obs[{columns}]")
        swapped = np.array_equal(found[:, :2], raster[:, ::-1])
        if swapped and not np.array_equal(found[:, :2], raster):
            msg = f"{where} is in the order (y, x) of obs[{columns}]: swap its columns"
            raise AnnDataError(msg)


def _run(adata: AnnData, column: str | None) -> NDArray[np.object_] | None:
    if column is None and "run" in adata.obs.columns:
        column = "run"
    if column is None and ".".join(RUN_AT) in adata.obs.columns:
        column = ".".join(RUN_AT)
    if column is None:
        name = _lookup(adata, RUN_AT)
        return None if name is None else np.full(adata.n_obs, str(name), dtype=object)
    values = _as_text(_column(adata, column, "the column with the run"))
    missing = [pixel for pixel, value in enumerate(values) if value is None]
    if missing:
        msg = (
            f"obs[{column!r}] is missing for {len(missing)} pixels, the first {missing[0]} "
            f"({str(adata.obs_names[missing[0]])!r}): every pixel has a run"
        )
        raise AnnDataError(msg)
    return values


def _own_names(adata: AnnData) -> NDArray[np.str_] | None:
    """Names as our own export has them: text, or none at all."""
    if "name" not in adata.obs.columns:
        return None
    names = adata.obs["name"].tolist()
    for pixel, name in enumerate(names):
        if not isinstance(name, str):
            msg = f"obs['name'] is {name!r} at pixel {pixel}, which is no text: correct the name"
            raise AnnDataError(msg)
    return np.asarray(names, dtype=np.str_)


def _names(adata: AnnData) -> NDArray[np.str_] | None:
    if _is_ours(adata):
        return _own_names(adata)
    if not adata.obs_names.is_unique:
        first = adata.obs_names[adata.obs_names.duplicated()][0]
        _warn(f"obs_names are not unique ({first!r} stands twice): pixels are told by position")
    if not all(isinstance(name, str) for name in adata.obs_names):
        _warn(f"obs_names are {adata.obs_names.dtype}, not text: they were taken as text")
    return np.asarray([str(name) for name in adata.obs_names], dtype=np.str_)


# ------------------------------------------------------------------ the description


def _polarity(adata: AnnData) -> str | None:
    for path in POLARITY_AT:
        value = _lookup(adata, path)
        if value is None:
            continue
        if str(value).lower() in POLARITIES:
            return str(value).lower()
        _warn(f"the polarity {value!r} of the AnnData object is none of {POLARITIES}: left unknown")
    return None


def _pixel_size(adata: AnnData) -> dict[str, Any]:
    own = _lookup(adata, ("massgraph", "pixel_size"))
    if own is not None:
        unit = str(_lookup(adata, ("massgraph", "pixel_size_unit")))
        return _size_or_warning(own, unit)
    for *path, axes in PIXEL_SIZE_AT:
        found = [_lookup(adata, (*path, axis)) for axis in axes]
        if None not in found:
            return _size_or_warning(found, "um")
    return {}


def _size_or_warning(found: Any, unit: str) -> dict[str, Any]:
    """Width and height of a pixel, or nothing where they are none."""
    try:
        x, y = (float(value) for value in found)
    except (TypeError, ValueError, OverflowError):
        x = y = np.nan
    if min(x, y) > 0 and np.isfinite([x, y]).all():
        return {"pixel_size": (x, y), "pixel_size_unit": unit}
    _warn(f"the pixel size {found!r:.60} of the AnnData object is not above zero: left unknown")
    return {}


def _lookup(adata: AnnData, path: tuple[Any, ...]) -> Any:
    """Look up a path in `uns`, or a column of obs that is the same for all pixels; else None."""
    value: Any = adata.uns
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            column = ".".join(path)
            return _constant(adata.obs[column]) if column in adata.obs.columns else None
        value = value[key]
    return value


def _constant(values: pd.Series[Any]) -> Any:
    """The value that all pixels share, None where there is none."""
    try:
        different = values.dropna().unique()
    except TypeError:  # lists and the like, which cannot be compared
        return None
    return different[0] if len(different) == 1 else None


# ------------------------------------------------------------------ columns and values


def _is_ours(adata: AnnData) -> bool:
    return _lookup(adata, ("massgraph", "schema_version")) is not None


def _has(adata: AnnData, columns: list[str]) -> bool:
    return all(column in adata.obs.columns for column in columns)


def _column(adata: AnnData, column: str, what: str) -> pd.Series[Any]:
    if column not in adata.obs.columns:
        msg = f"obs has no column {column!r}: name {what}, of {list(adata.obs.columns)}"
        raise AnnDataError(msg)
    values: pd.Series[Any] = adata.obs[column]
    return values


def _as_text(values: pd.Series[Any]) -> NDArray[np.object_]:
    """Values as text, None where missing."""
    known = np.asarray(values, dtype=object)
    text = np.empty(len(known), dtype=object)
    text[:] = [
        None if missing else _text(v) for v, missing in zip(known, pd.isna(known), strict=True)
    ]
    return text


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _warn(msg: str) -> None:
    warnings.warn(one_line(msg), UserWarning, stacklevel=4)
