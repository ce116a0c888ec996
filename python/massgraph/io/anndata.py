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
- any other object with m/z in a column of `var`, or in its names, and ``obsm["spatial"]`` or
  ``obs[["x", "y"]]``.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.text import name_of, one_line
from massgraph.data.spectra import Spectra
from massgraph.data.validation import check_sparse
from massgraph.io._anndata_layout import (
    AnnDataError,
    as_text,
    check_columns,
    column_of,
    is_ours,
    layers_of,
    lookup,
    names_of,
    of_file,
    option,
    pixel_size_of,
    polarity_of,
    run_of,
    warn,
)
from massgraph.io._anndata_mz import axis_of, in_order, once_each
from massgraph.io._anndata_places import Key, check_places, places_of
from massgraph.io._anndata_scale import intensities
from massgraph.io._h5_check import check_h5

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "AnnDataError",
    "from_anndata",
    "labels_from_obs",
    "open_h5ad",
    "read_anndata",
    "read_labels_column",
]

# Dense matrices on the disk are read in pieces of about this many values.
VALUES_PER_CHUNK = 8_000_000


def from_anndata(
    adata: AnnData,
    *,
    layer: str | None = None,
    mz: str = "mz",
    run: str | None = "auto",
    coordinates: Key = "auto",
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
        Column of `var` with the m/z, as numbers or as text, or ``"var_names"`` where the names of
        the columns are their m/z. By default other spellings, such as ``"m/z"``, will do, and
        names will where there is no such column. Columns are put in order of m/z, with a warning
        where the layout is not known for it. Of columns that are equal and within 10 ppm one is
        taken; others of one m/z are added up.
    run
        Column of `obs` with the run of each pixel; ``"auto"``: ``"run"`` where there is one, else
        the identifier of a METASPACE data set, else all pixels are of one run; None: they are.
    coordinates
        Key of `obsm` with (x, y) or (x, y, z), or names of columns of `obs`, such as
        ``["col", "row"]`` or ``"col,row"``; ``"auto"``: the raster indices of the layout, else
        ``obsm["spatial"]``, else ``obs[["x", "y"]]`` (and `z`), else what can only be meant, such
        as ``obs[["array_col", "array_row"]]``, and none for our own export of spectra without a
        place; None: no coordinates.
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
        Where something is missing or wrong, or two pixels of a run are at one place: one line with
        the key, the value and what to do.

    Warns
    -----
    UserWarning
        For values that are no intensities, such as negative ones, logarithms and ions that were
        scaled one by one; m/z out of order, doubled, rounded, or of less than double precision;
        ``obs_names`` that are not text or not unique; runs of one row of pixels; a raster that is
        turned; profile spectra; and descriptions that cannot be understood.

    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> adata = anndata.AnnData(
    ...     X=np.array([[9.0, 0.0], [4.0, 7.0]]),
    ...     var=pd.DataFrame({"mz": [255.233, 281.249]}, index=["FA 16:0", "FA 18:1"]),
    ...     obsm={"spatial": np.array([[1.0, 1.0], [2.0, 1.0]])},
    ... )
    >>> spectra = mg.from_anndata(adata, polarity="negative")
    >>> spectra.peak_counts.tolist(), spectra.axis.tolist()
    ([1, 2], [255.233, 281.249])
    """
    return _spectra(adata, layer, mz, run, coordinates, polarity)


def _spectra(
    adata: AnnData,
    layer: str | None = None,
    mz: str = "mz",
    run: str | None = "auto",
    coordinates: Key = "auto",
    polarity: str | None = None,
    *,
    name: str | None = None,
) -> Spectra:
    """As `from_anndata`; `name` is that of the run where the object has none."""
    _check_object(adata)
    axis, written = axis_of(adata, mz)
    matrix = intensities(_matrix(adata, layer), adata, axis, layer)
    places, runs = places_of(adata, coordinates), run_of(adata, run)
    if not is_ours(adata):
        check_places(adata, places, runs, chosen=run != "auto")
        axis, matrix, order = in_order(axis, matrix, adata, written)
        axis, matrix = once_each(axis, matrix, adata.var_names.to_numpy()[order])
    return Spectra.from_matrix(
        matrix,
        axis,
        coordinates=places,
        run=np.full(adata.n_obs, name) if runs is None and name is not None else runs,
        polarity=polarity_of(adata) if polarity is None else polarity,
        names=names_of(adata),
        **pixel_size_of(adata),
    )


def read_anndata(path: str | os.PathLike[str], **options: Any) -> Spectra:
    """Read the spectra of an h5ad file.

    Parameters
    ----------
    path
        The file. Where it does not say of which run its pixels are, the run has its name, without
        the ending.
    options
        As for `from_anndata`.

    Raises
    ------
    AnnDataError
        As for `open_h5ad` and `from_anndata`. The message names the file.

    Examples
    --------
    >>> import tempfile
    >>> import anndata
    >>> import numpy as np
    >>> import pandas as pd
    >>> from massgraph.io.anndata import read_anndata
    >>> var = pd.DataFrame({"mz": [255.233, 281.249]}, index=["FA 16:0", "FA 18:1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anndata.AnnData(X=np.eye(2), var=var).write_h5ad(f"{folder}/cells.h5ad")
    ...     spectra = read_anndata(f"{folder}/cells.h5ad", coordinates=None)
    >>> spectra.mz
    array([255.233, 281.249])
    """
    adata = open_h5ad(path)
    with of_file(path):
        return _spectra(adata, **options, name=name_of(Path(path)))


def open_h5ad(path: str | os.PathLike[str]) -> AnnData:
    """Read an h5ad file, for `from_anndata` and `labels_from_obs`.

    Raises
    ------
    AnnDataError
        Where the file is missing, cut, of another kind or of a newer version than this anndata
        understands. The message names the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.io.anndata import AnnDataError, open_h5ad
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.h5ad"
    ...     _ = path.write_text("x,y,label")
    ...     try:
    ...         open_h5ad(path)
    ...     except AnnDataError as error:
    ...         print("it is no HDF5 file" in str(error))
    True
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
    # The file may be sound and the machine too small.
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

    Examples
    --------
    >>> import anndata
    >>> import pandas as pd
    >>> from massgraph.io.anndata import labels_from_obs
    >>> obs = pd.DataFrame({"region": ["tumour", None, "NA"]}, index=["a", "b", "c"])
    >>> labels_from_obs(anndata.AnnData(obs=obs), "region")
    array(['tumour', None, 'NA'], dtype=object)
    """
    values = column_of(adata, column, "a column of labels")
    labels = as_text(values)
    if not any(label is not None for label in labels):
        msg = f"obs[{column!r}] has no label: all {len(labels)} values are missing"
        raise AnnDataError(msg)
    return labels


def read_labels_column(path: str | os.PathLike[str], column: str) -> NDArray[np.object_]:
    """Labels of the pixels of an h5ad file from a column of its `obs`.

    Parameters
    ----------
    path, column
        The file, and the name of the column.

    Returns
    -------
    numpy.ndarray
        As `labels_from_obs` gives them.

    Raises
    ------
    AnnDataError
        As for `open_h5ad` and `labels_from_obs`. The message names the file.

    Examples
    --------
    >>> import tempfile
    >>> import anndata
    >>> import pandas as pd
    >>> from massgraph.io.anndata import read_labels_column
    >>> obs = pd.DataFrame({"region": ["tumour", "stroma"]}, index=["a", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anndata.AnnData(obs=obs).write_h5ad(f"{folder}/run.h5ad")
    ...     labels = read_labels_column(f"{folder}/run.h5ad", "region")
    >>> labels
    array(['tumour', 'stroma'], dtype=object)
    """
    adata = open_h5ad(path)
    with of_file(path):
        return labels_from_obs(adata, column)


# ------------------------------------------------------------------ the object


def _check_object(adata: Any) -> None:
    if hasattr(adata, "tables"):
        msg = f"a SpatialData object has several tables: give one, of {sorted(adata.tables)}"
        raise AnnDataError(msg)
    if not all(hasattr(adata, name) for name in ("layers", "obs", "var", "obsm", "uns")):
        msg = f"expected an AnnData object, got {type(adata).__name__}"
        raise AnnDataError(msg)
    # AnnData without pixels or ions is legal, but more often a filter gone wrong.
    if 0 in adata.shape:
        msg = f"the AnnData object is empty: {adata.n_obs} pixels, {adata.n_vars} ions"
        raise AnnDataError(msg)
    for name in ("obs", "var"):
        check_columns(getattr(adata, name), name)
    kind = lookup(adata, ("essential_metadata", "spectrum_type"))
    if isinstance(kind, str) and "profile" in kind:
        warn(f"uns['essential_metadata'] says {kind!r}: peaks are expected, pick them first")


def _matrix(adata: AnnData, layer: str | None) -> sp.csr_matrix:
    """Read the matrix into memory as CSR float32."""
    if layer is not None and layer not in adata.layers:
        msg = f"there is no layer {layer!r}; there are {layers_of(adata)}"
        raise AnnDataError(msg)
    try:
        source = adata.X if layer is None else adata.layers[layer]
        if source is None:
            raise AnnDataError(_no_matrix(adata))
        return _in_memory(source)
    except AnnDataError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        file = getattr(adata, "filename", None)
        place = "the matrix" if file is None else f"the matrix, backed by {file},"
        msg = f"{place} cannot be read ({_reason(error)}): was the file closed, moved or deleted?"
        raise AnnDataError(msg) from error


def _no_matrix(adata: AnnData) -> str:
    layers = layers_of(adata)
    if layers:
        return f"X is None: name a layer by {option('layer')}, of {layers}"
    raw = "; that of raw can be had by adata.raw.to_adata()" if adata.raw is not None else ""
    return f"X is None, and there are no layers: the object holds no intensities{raw}"


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
    # Objects and complex numbers would be cast without a word.
    if values.dtype.kind not in "biuf":
        msg = f"the matrix is of {values.dtype}, not of numbers"
        raise AnnDataError(msg)
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(0)
    try:
        check_sparse(values)
    # Said of a matrix; here it is that of an AnnData object.
    except ValueError as error:
        raise AnnDataError(str(error)) from None
    matrix = sp.csr_matrix(values.astype(np.float64) if values.dtype == np.float16 else values)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused
        single: sp.csr_matrix = matrix.astype(np.float32, copy=False)
    return single
