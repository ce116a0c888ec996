"""Conversions for a Python host: files and objects of R as Spectra or AnnData, and results back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from massgraph._util.errors import InputError
from massgraph._util.files import atomic_file
from massgraph.data.spectra import Spectra
from massgraph.r.cardinal import open_cardinal
from massgraph.r.mailbox import offer
from massgraph.r.session import (
    RError,
    function,
    is_installed,
    package_function,
    runs_inside_r,
    start,
)
from massgraph.r.values import as_text, column, to_r

if TYPE_CHECKING:
    from anndata import AnnData

    from massgraph.segmentation import Segmentation

__all__ = [
    "connect",
    "converter",
    "load_rds",
    "pixel_data",
    "read_rds",
    "to_anndata",
    "to_cardinal",
    "to_spectra",
    "write_rds",
]

# Classes of Cardinal that become Spectra.
IMAGES = ("MSImagingExperiment", "SpectralImagingExperiment", "MSImagingArrays")


@overload
def read_rds(
    path: str | os.PathLike[str], *, labels: None = None, polarity: str | None = None
) -> Spectra: ...


@overload
def read_rds(
    path: str | os.PathLike[str], *, labels: str, polarity: str | None = None
) -> tuple[Spectra, pd.Categorical]: ...


def read_rds(
    path: str | os.PathLike[str], *, labels: str | None = None, polarity: str | None = None
) -> Spectra | tuple[Spectra, pd.Categorical]:
    """Read the spectra of a Cardinal object from an ``.rds`` file.

    Parameters
    ----------
    path
        A file of R's `saveRDS` with an `MSImagingExperiment`, `SpectralImagingExperiment` or
        `MSImagingArrays`.
    labels
        Column of `pixelData` to return as well, missing where it is NA.
    polarity
        ``"positive"`` or ``"negative"``, which Cardinal does not record.

    Returns
    -------
    Spectra, or Spectra and pandas.Categorical

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    RError
        Where R cannot read it.
    KeyError
        Where there is no such column.
    TypeError, ValueError
        As for `open_cardinal`.
    """
    x = load_rds(path)
    spectra = to_spectra(x, polarity=polarity)
    if labels is None:
        return spectra
    table = pixel_data(x)
    if labels not in table:
        msg = f"{path} has no column {labels!r} of pixels: it has {', '.join(table.columns)}"
        raise KeyError(msg)
    given = table[labels]
    if isinstance(given.dtype, pd.CategoricalDtype):
        return spectra, given.array
    text = [None if missing else str(v) for v, missing in zip(given, given.isna(), strict=True)]
    return spectra, pd.Categorical(text)


def connect() -> None:
    """Start R where it does not run yet, and let R's massgraph call this Python.

    The functions here do so by themselves; call it first where R code that rpy2 runs is to use the
    R package massgraph.

    Raises
    ------
    ImportError
        Where rpy2 is not installed, or does not fit the R that is.
    RuntimeError
        Outside the main thread.
    """
    start()
    if not runs_inside_r():
        offer()


def load_rds(path: str | os.PathLike[str]) -> Any:
    """Read an ``.rds`` file as the R object that it holds.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    RError
        Where R cannot read it.
    """
    if not Path(path).is_file():
        msg = f"{path}: there is no such file"
        raise FileNotFoundError(msg)
    connect()
    try:
        return function("readRDS")(to_r(os.fspath(path)))
    except RError as error:
        msg = f"{path} is no file of saveRDS, or a damaged one ({error})"
        raise RError(msg) from error


def write_rds(x: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write an R object to an ``.rds`` file, whole or not at all.

    Raises
    ------
    FileExistsError
        Where the file exists and `overwrite` is false.
    RError, OSError
        Where it cannot be written. An old file is then as it was.
    """
    with atomic_file(path, overwrite=overwrite) as temporary:
        function("saveRDS")(x, to_r(os.fspath(temporary)))


def to_spectra(x: Any, *, polarity: str | None = None) -> Spectra:
    """The spectra of a Cardinal object, all pixels; `open_cardinal` reads them block by block."""
    return open_cardinal(x, polarity=polarity).spectra()


def pixel_data(x: Any) -> pd.DataFrame:
    """The columns of `pixelData` of a Cardinal object: coordinates, run and what users added."""
    columns = function("as.list")(function("pixelData")(x))
    names = as_text(columns.names)
    return pd.DataFrame({name: column(v) for name, v in zip(names, columns, strict=True)})


def to_anndata(
    x: Any, *, polarity: str | None = None, tolerance: float = 5.0, tolerance_unit: str = "ppm"
) -> AnnData:
    """A Cardinal object as AnnData that `massgraph.from_anndata` reads.

    Parameters
    ----------
    x
        As for `open_cardinal`.
    polarity
        As for `open_cardinal`; kept as ``uns["massgraph"]["polarity"]``.
    tolerance, tolerance_unit
        For the common axis of ragged spectra; see `Spectra.to_matrix`.

    Returns
    -------
    anndata.AnnData
        Pixels x features: `X` float32 CSR, `obs` the pixel data, ``var["mz"]``, and
        ``obsm["spatial"]`` the coordinates.
    """
    import anndata

    spectra = to_spectra(x, polarity=polarity)
    matrix, axis = spectra.to_matrix(tolerance, tolerance_unit)
    obs = pixel_data(x)
    names = np.arange(len(obs)).astype(str) if spectra.names is None else spectra.names
    obs.index = pd.Index(np.asarray(names).astype(object))
    var = pd.DataFrame({"mz": axis}, index=pd.Index([f"mz_{mz!r}" for mz in axis.tolist()]))
    adata = anndata.AnnData(X=matrix, obs=obs, var=var)
    if spectra.coordinates is not None:
        adata.obsm["spatial"] = spectra.coordinates
    if polarity is not None:
        adata.uns["massgraph"] = {"polarity": polarity}
    return adata


def to_cardinal(segmentation: Segmentation, *, classifier: Any = None) -> Any:
    """A segmentation as an R object of class `SpatialRGCN`, as `RGCN()` in R returns it.

    Parameters
    ----------
    segmentation
        With coordinates and its explanation, of `RGCNClassifier.segment`.
    classifier
        The fitted model or estimator, which the object then carries: without it, it cannot predict.

    Raises
    ------
    ImportError
        Where the R package massgraph, or Cardinal, is not installed.
    ValueError
        Where the segmentation has no explanation or no coordinates.
    """
    from massgraph.r.results import result_values

    if segmentation.coordinates is None:
        msg = "the segmentation has no coordinates, and Cardinal's pixels need them"
        raise InputError(msg)
    values = result_values(segmentation, classifier)
    connect()
    if not is_installed("massgraph"):
        msg = "the R package massgraph is not installed: R CMD INSTALL it, with Cardinal >= 3.6.0"
        raise ImportError(msg)
    coordinates = np.asarray(segmentation.coordinates)
    return package_function("massgraph", "resultOfPython")(
        to_r(values),
        to_r(dict(zip("xyz", coordinates.T, strict=False))),
        to_r(pd.Categorical(segmentation.run, categories=list(dict.fromkeys(segmentation.run)))),
        to_r(segmentation.names),
    )


def converter() -> Any:
    """A converter for `rpy2.robjects`: images of Cardinal become Spectra, segmentations results.

    Use it as ``with massgraph.r.converter().context(): ...``: a function of R that returns a
    Cardinal image then gives `Spectra`, and a `Segmentation` given to one is a `SpatialRGCN`.
    """
    connect()
    from rpy2 import rinterface
    from rpy2.robjects import conversion, default_converter

    from massgraph.segmentation import Segmentation

    ours = conversion.Converter("massgraph", template=default_converter)
    ours.rpy2py_nc_map[rinterface.SexpS4].update(dict.fromkeys(IMAGES, to_spectra))
    ours.py2rpy.register(Segmentation, to_cardinal)
    return ours
