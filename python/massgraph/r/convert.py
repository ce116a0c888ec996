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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mg.r.write_rds(x, Path(folder) / "image.rds")
    ...     spectra = mg.r.read_rds(Path(folder) / "image.rds", polarity="negative")
    >>> spectra.peak_counts.tolist()
    [2, 3]
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
    """Start R if it does not run yet, and let the R package massgraph call this Python.

    The functions here do so by themselves. Call it before you run, by rpy2, R code that uses the R
    package massgraph.

    Raises
    ------
    ImportError
        Where rpy2 is not installed, or does not fit the R that is.
    RuntimeError
        Outside the main thread.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> mg.r.connect()
    >>> bool(start().evalr("is.function(getOption('massgraph.serve'))")[0])
    True
    """
    start()
    # An R that runs this Python calls it through reticulate, and needs no offer.
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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.r.values import from_r, to_r
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mg.r.write_rds(to_r({"organ": "liver"}), Path(folder) / "notes.rds")
    ...     notes = mg.r.load_rds(Path(folder) / "notes.rds")
    >>> from_r(notes)
    {'organ': 'liver'}
    """
    # R would only say that it cannot open the connection.
    if not Path(path).is_file():
        msg = f"{path}: there is no such file"
        raise FileNotFoundError(msg)
    # What is read may be a result of the R package massgraph, whose methods call this Python.
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
        Where it cannot be written. An old file then stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.r.values import to_r
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mg.r.write_rds(to_r([1, 2]), Path(folder) / "x.rds")
    ...     mg.r.write_rds(to_r([3, 4]), Path(folder) / "x.rds")
    Traceback (most recent call last):
    FileExistsError: ...x.rds exists...
    """
    with atomic_file(path, overwrite=overwrite) as temporary:
        function("saveRDS")(x, to_r(os.fspath(temporary)))


def to_spectra(x: Any, *, polarity: str | None = None) -> Spectra:
    """Read the spectra of all pixels of a Cardinal object; `open_cardinal` reads block by block.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> mg.r.to_spectra(x, polarity="negative")
    Spectra(2 pixels, 5 peaks, m/z 255.2000-283.3000, 1 run, polarity negative)
    """
    return open_cardinal(x, polarity=polarity).spectra()


def pixel_data(x: Any) -> pd.DataFrame:
    """Read `pixelData` of a Cardinal object: coordinates, run and what users added.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> mg.r.pixel_data(x).columns.tolist()
    ['x', 'y', 'run']
    """
    columns = function("as.list")(function("pixelData")(x))
    names = as_text(columns.names)
    return pd.DataFrame({name: column(v) for name, v in zip(names, columns, strict=True)})


def to_anndata(
    x: Any, *, polarity: str | None = None, tolerance: float = 5.0, tolerance_unit: str = "ppm"
) -> AnnData:
    """Convert a Cardinal object to AnnData, as `massgraph.from_anndata` reads it.

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

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> adata = mg.r.to_anndata(x)
    >>> adata.shape, adata.var["mz"].tolist()
    ((2, 3), [255.2, 281.2, 283.3])
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
    """Convert a segmentation to an R object as `RGCN()` or `spatialRegions()` in R returns it.

    Parameters
    ----------
    segmentation
        With coordinates, and with its explanation (of `RGCNClassifier.segment`), which makes a
        `SpatialRGCN`, or its findings (of `SpatialRegions.segment`), which make a `SpatialRegions`.
    classifier
        The fitted model or estimator, for the object to carry: without one, it cannot predict.

    Raises
    ------
    ImportError
        Where the R package massgraph, or Cardinal, is not installed.
    ValueError
        Where the segmentation has neither explanation nor findings, or no coordinates.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> result = mg.r.to_cardinal(clf.segment(spectra), classifier=clf)
    >>> result.rclass[0]
    'SpatialRGCN'
    """
    from massgraph.r.region_results import region_values
    from massgraph.r.results import result_values

    if segmentation.coordinates is None:
        msg = "the segmentation has no coordinates, and Cardinal's pixels need them"
        raise InputError(msg)
    of_kind = result_values if segmentation.findings is None else region_values
    values = of_kind(segmentation, classifier)
    connect()
    if not is_installed("massgraph"):
        msg = "the R package massgraph is not installed: R CMD INSTALL it, with Cardinal >= 3.6.0"
        raise ImportError(msg)
    coordinates = np.asarray(segmentation.coordinates)
    # Runs keep the order in which they came; R would sort the levels of a factor.
    return package_function("massgraph", "resultOfPython")(
        to_r(values),
        to_r(dict(zip("xyz", coordinates.T, strict=False))),
        to_r(pd.Categorical(segmentation.run, categories=list(dict.fromkeys(segmentation.run)))),
        to_r(segmentation.names),
    )


def converter() -> Any:
    """Make a converter for `rpy2.robjects`: Cardinal's images to Spectra, segmentations to results.

    Use it as ``with massgraph.r.converter().context(): ...``. An R function that returns a Cardinal
    image then gives `Spectra`, and one that is handed a `Segmentation` sees a `SpatialRGCN`.

    Examples
    --------
    >>> import massgraph as mg
    >>> import rpy2.robjects as ro
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> with mg.r.converter().context():
    ...     spectra = ro.r("identity")(x)
    >>> spectra.n_pixels
    2
    """
    connect()
    from rpy2 import rinterface
    from rpy2.robjects import conversion, default_converter

    from massgraph.segmentation import Segmentation

    ours = conversion.Converter("massgraph", template=default_converter)
    ours.rpy2py_nc_map[rinterface.SexpS4].update(dict.fromkeys(IMAGES, to_spectra))
    ours.py2rpy.register(Segmentation, to_cardinal)
    return ours
