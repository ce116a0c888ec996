"""Results as AnnData and as h5ad files, for scanpy, squidpy and all that reads them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.files import atomic_file
from massgraph.data.alignment import alignment_tolerance, assign_to_axis, tolerance_in_da

if TYPE_CHECKING:
    from anndata import AnnData

    from massgraph.io._result import Found, Result

__all__ = [
    "SCHEMA_VERSION",
    "findings_per_pixel",
    "findings_tables",
    "to_anndata",
    "write_h5ad",
]

SCHEMA_VERSION = 1

# HDF5 takes the slash for a path and ends names at NUL; neither can stand in a key.
FORBIDDEN_IN_KEYS = str.maketrans({"/": "_", "\0": "_"})


def to_anndata(segmentation: Result) -> AnnData:
    """Lay out a segmentation as AnnData.

    Parameters
    ----------
    segmentation
        With or without an explanation.

    Returns
    -------
    anndata.AnnData
        ``n_pixels`` x ``n_ions``, made anew from copies:

        ``X``
            Intensities, float32 CSR, on the axis of the explanation, else on that of
            `Spectra.to_matrix` with the tolerance of the classifier (5 ppm where unknown). Row sums
            are the total ion currents, less peaks that the model was not shown (outside its range
            of m/z, say) and that are farther from every ion than the tolerance. None, as are the
            layers, where the pixels came without their peaks.
        ``obs``
            `massgraph_label` (categorical over the classes, missing for pixels without peaks),
            `massgraph_uncertainty`, ``massgraph_probability_<class>``, `run` (categorical), and
            where known: `x`, `y`, `z`, `name`, `massgraph_coverage` (share of the ion current at
            ions of the model), `massgraph_by_neighbours` (bool, of another class by itself),
            `massgraph_reference` (categorical, the user's labels), `massgraph_training` and
            `massgraph_held_out` (bool). ``obs_names`` are the names of the pixels where
            these differ from each other, else 0, 1, ...
        ``obsm["spatial"]``
            (x, y) or (x, y, z), float64, where known.
        ``obsm["massgraph_maps"]``, ``["massgraph_molecules"]``, ``["massgraph_balances"]``
            With findings about regions (`massgraph.explain.region_findings`): nested maps, int64,
            -1 for no label, one column for each number in ``uns["massgraph"]["findings"]["maps"]``;
            log amounts of the molecules in ``["shown"]``, and balances of adducts, a column for
            each row of the table ``["balances"]``, both float32.
        ``var``
            `mz` (float64) and, with an explanation, every further column of its table of ions
            with ``massgraph_`` before its name: class, direction (whether more or less of it
            speaks for that), score, rank, family (missing where none), ``activation_<class>``,
            ``intensity_<class>``. ``var_names`` are ``mz_760.5851``, with more digits where four do
            not tell ions apart.
        ``layers["activation_<class>"]``
            With an explanation: contribution of each ion of each pixel, float32 CSR.
        ``uns["massgraph"]``
            `schema_version`, `classes`, `class_keys` (the classes as they stand in the names
            above: a slash is written as ``_``, and a number keeps them apart), `parameters` and
            `versions` (JSON), `polarity`, `pixel_size`, `pixel_size_unit`, `history` (table), and
            with an explanation `intercept`, `families` and `family_edges` (tables). With findings
            `findings`: the tables `regions`, `molecules`, `families`, `balances` and `selection`,
            the numbers `maps` and `shown`, and `cautions` (texts). What is unknown is absent.

    Notes
    -----
    The object opens as it is in scanpy and squidpy::

        axis = sc.pl.embedding(adata, basis="spatial", color="massgraph_label", show=False)
        axis.invert_yaxis()  # y runs downwards in an image, upwards in scanpy's axes
        sq.pl.spatial_scatter(adata, shape=None, library_key="run", color="massgraph_label")

    scanpy 1.11 calls missing labels "NA" and refuses to draw them where a class has that name.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.io.h5ad import to_anndata
    >>> spectra = mg.Spectra.from_matrix(np.array([[9.0, 0.0], [4.0, 7.0]]), [255.233, 281.249])
    >>> found = mg.Segmentation.from_probability(spectra, ("a", "b"), [[0.9, 0.1], [0.2, 0.8]])
    >>> adata = to_anndata(found)
    >>> adata.obs["massgraph_label"].tolist(), adata.var_names.tolist()
    (['a', 'b'], ['mz_255.2330', 'mz_281.2490'])
    """
    import anndata

    explanation = segmentation.explanation
    matrix, axis = _matrix(segmentation)
    # A result that came without its peaks is known by its ions, not by its intensities.
    kept = segmentation.spectra.n_peaks > 0 or explanation is None
    keys = _unique_keys(segmentation.classes)
    adata = anndata.AnnData(
        X=matrix if kept else None,
        obs=_obs(segmentation, keys),
        var=_var(axis, None if explanation is None else explanation.ions),
        uns={"massgraph": _uns(segmentation, keys)},
    )
    if segmentation.coordinates is not None:
        adata.obsm["spatial"] = np.array(segmentation.coordinates, dtype=np.float64)
    if segmentation.findings is not None:
        for name, images in findings_per_pixel(segmentation.findings).items():
            adata.obsm[f"massgraph_{name}"] = images
    if explanation is not None and kept:
        for name, key in zip(segmentation.classes, keys, strict=True):
            layer = sp.csr_matrix(explanation.activation[name], dtype=np.float32, copy=True)
            adata.layers[f"activation_{key}"] = layer
    return adata


def write_h5ad(segmentation: Result, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a segmentation to an h5ad file, whole or not at all.

    Parameters
    ----------
    segmentation
        What to write, in the layout of `to_anndata`.
    path
        The file. It is written beside itself and read back before it takes its place.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    OSError
        Where the file cannot be written, or exists and `overwrite` is false (FileExistsError), or
        does not read back as it should. The old file, if any, is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> import anndata
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.io.h5ad import write_h5ad
    >>> spectra = mg.Spectra.from_matrix(np.array([[9.0, 0.0], [4.0, 7.0]]), [255.233, 281.249])
    >>> found = mg.Segmentation.from_probability(spectra, ("a", "b"), [[0.9, 0.1], [0.2, 0.8]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_h5ad(found, f"{folder}/found.h5ad")
    ...     adata = anndata.read_h5ad(f"{folder}/found.h5ad")
    >>> adata.shape, adata.uns["massgraph"]["classes"].tolist()
    ((2, 2), ['a', 'b'])
    """
    with atomic_file(path, overwrite=overwrite) as temporary:
        adata = to_anndata(segmentation)
        adata.strings_to_categoricals()
        try:
            # Bytes that are all there before the disk is touched either fit, or leave nothing.
            temporary.write_bytes(_image(adata))
            _verify(temporary, adata)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            msg = f"{path} was not written, is the disk full? ({_first_line(error)})"
            raise OSError(msg) from error


def _image(adata: AnnData) -> bytes:
    """The bytes of an h5ad file.

    They are made in memory, where they take less room than the object itself: on a full disk HDF5
    fails again for every array that it still holds open, with a trace on the terminal for each.
    """
    import h5py

    write_elem = _anndata_io().write_elem
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        write_elem(file, "/", adata, dataset_kwargs={"compression": "gzip", "compression_opts": 1})
        for name in ("raw", "X"):  # names for nothing, which old readers do not know
            if name in file and getattr(adata, name) is None:
                del file[name]
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def _anndata_io() -> Any:
    """Where anndata keeps `read_elem` and `write_elem`."""
    try:
        import anndata.io as elements
    except ImportError:  # anndata before 0.11
        import anndata.experimental as elements
    return elements


def _verify(path: Path, adata: AnnData) -> None:
    """Compare what stands in the file with what should, without reading the matrices whole."""
    import h5py

    # Text is an array or, by pandas 3, a group of values and of what is missing.
    read_elem = _anndata_io().read_elem
    with h5py.File(path, "r") as file:
        for name in ("obs", "var"):
            table, group = getattr(adata, name), file[name]
            index = read_elem(group[group.attrs["_index"]])
            _same(list(group.attrs["column-order"]), list(table.columns), f"{name}.columns")
            _same(list(index), list(table.index), f"{name}_names")
        # anndata 0.13 counts X among the layers, under the name None.
        layers = {name: adata.layers[name] for name in adata.layers if name is not None}
        _same(sorted(file["layers"]), sorted(layers), "layers")
        _same(sorted(file["obsm"]), sorted(adata.obsm), "obsm")
        _same(sorted(file["uns/massgraph"]), sorted(adata.uns["massgraph"]), "uns")
        found = adata.uns["massgraph"].get("findings", {})
        _same(sorted(file.get("uns/massgraph/findings", {})), sorted(found), "findings")
        for name in adata.obsm:
            _same(file[f"obsm/{name}"].shape, adata.obsm[name].shape, f"obsm/{name}.shape")
        matrices = {f"layers/{key}": matrix for key, matrix in layers.items()}
        matrices |= {} if adata.X is None else {"X": adata.X}
        for key, matrix in matrices.items():
            # The last of the row pointers is the number of values: a cut array shows.
            _same(list(file[key].attrs["shape"]), list(matrix.shape), f"{key}.shape")
            _same(list(file[f"{key}/indptr"][:]), list(matrix.indptr), f"{key}.indptr")
            _same(file[f"{key}/data"].shape, matrix.data.shape, f"{key}.data")


def _same(found: object, expected: object, what: str) -> None:
    if found != expected:
        msg = f"{what} did not read back as written"
        raise OSError(msg)


def _matrix(segmentation: Result) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    """Pixels x ions, on the explanation's axis where there is one."""
    spectra, explanation = segmentation.spectra, segmentation.explanation
    tolerance, unit = _tolerance(segmentation.parameters)
    if explanation is None:
        return spectra.to_matrix(tolerance, unit)
    axis = np.asarray(explanation.mz, dtype=np.float64)
    ion = assign_to_axis(spectra.mz, axis)
    # The axis has an ion within the tolerance of every peak that the model was shown.
    reach = tolerance_in_da(spectra.mz, tolerance, unit) * (1 + 1e-9)
    nearest = axis[ion] if axis.size else np.full(spectra.n_peaks, np.inf)
    shown = np.abs(spectra.mz - nearest) <= reach
    peaks = spectra.keep_peaks(shown)
    matrix = sp.csr_matrix(
        (peaks.intensity, ion[shown], peaks.offsets), shape=(peaks.n_pixels, axis.size), copy=True
    )
    matrix.sum_duplicates()
    return matrix, axis


def _tolerance(parameters: Mapping[str, Any]) -> tuple[float, str]:
    """Find the tolerance that the ions were aligned by, else the default of `Spectra.to_matrix`."""
    if {"tolerance", "tolerance_unit"} <= set(parameters):
        return alignment_tolerance(
            float(parameters["tolerance"]), str(parameters["tolerance_unit"])
        )
    return 5.0, "ppm"


def _obs(segmentation: Result, keys: Sequence[str]) -> pd.DataFrame:
    names = segmentation.names
    # obs_names must differ, names of pixels need not.
    index = np.arange(segmentation.n_pixels).astype(str)
    if names is not None and len(set(names)) == len(names):
        index = np.asarray(names, dtype=str)
    columns: dict[str, Any] = {
        "run": pd.Categorical(segmentation.run, categories=pd.unique(pd.Series(segmentation.run)))
    }
    if segmentation.coordinates is not None:
        columns |= dict(zip("xyz", np.asarray(segmentation.coordinates).T, strict=False))
    if names is not None:
        columns["name"] = np.asarray(names, dtype=object)
    columns["massgraph_label"] = segmentation.label
    columns["massgraph_uncertainty"] = segmentation.uncertainty
    for column, key in enumerate(keys):
        columns[f"massgraph_probability_{key}"] = segmentation.probability[:, column]
    if segmentation.coverage is not None:
        columns["massgraph_coverage"] = segmentation.coverage
    if segmentation.by_neighbours is not None:
        columns["massgraph_by_neighbours"] = segmentation.by_neighbours
    if segmentation.reference is not None:
        columns["massgraph_reference"] = segmentation.reference
    if segmentation.training is not None and segmentation.validation is not None:
        columns["massgraph_training"] = segmentation.training
        columns["massgraph_held_out"] = segmentation.validation
    return pd.DataFrame(columns, index=pd.Index(index.astype(object)))


def _var(axis: NDArray[np.float64], ions: pd.DataFrame | None) -> pd.DataFrame:
    table = pd.DataFrame({"mz": axis})
    if ions is not None:
        others = _table(ions.drop(columns="mz"))
        table = pd.concat([table, others.add_prefix("massgraph_").reset_index(drop=True)], axis=1)
    return table.set_axis(pd.Index(_ion_names(axis), dtype=object), axis="index")


def _ion_names(axis: NDArray[np.float64]) -> list[str]:
    """Names of ions with as few digits, four at least, as tell them apart."""
    for digits in range(4, 12):
        names = [f"mz_{mz:.{digits}f}" for mz in axis]
        if len(set(names)) == len(names):
            return names
    return [f"mz_{float(mz)!r}" for mz in axis]


def _uns(segmentation: Result, keys: Sequence[str]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "classes": np.array(segmentation.classes, dtype=object),
        "class_keys": np.array(keys, dtype=object),
        # JSON, since h5ad holds neither None nor tuples, lists of texts or keys with a slash.
        "parameters": json.dumps(_plain(segmentation.parameters), allow_nan=False),
        "versions": json.dumps(dict(segmentation.versions)),
    }
    if segmentation.polarity is not None:
        content["polarity"] = segmentation.polarity
    if segmentation.pixel_size is not None:
        content["pixel_size"] = np.asarray(segmentation.pixel_size, dtype=np.float64)
        content["pixel_size_unit"] = segmentation.pixel_size_unit
    if segmentation.history is not None:
        content["history"] = _table(segmentation.history)
    explanation = segmentation.explanation
    if explanation is not None:
        content["intercept"] = np.asarray(explanation.intercept, dtype=np.float64)
        content["families"] = _table(explanation.families)
        content["family_edges"] = _table(explanation.family_edges)
    if segmentation.findings is not None:
        content["findings"] = findings_tables(segmentation.findings)
    return content


def findings_tables(found: Found) -> dict[str, Any]:
    """What was found out about regions as h5ad can hold it, but for what is of single pixels.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.io.h5ad import findings_tables
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).findings(spectra)
    >>> findings_tables(found)["regions"]["region"].tolist()
    ['region 1', 'region 2', 'off-tissue']
    """
    tables = {name: getattr(found, name) for name in ("regions", "molecules", "families")}
    tables["balances"] = found.balances
    if found.selection is not None:
        tables["selection"] = found.selection
    return {
        **{name: _table(table) for name, table in tables.items()},
        "maps": np.array(list(found.maps), dtype=np.int64),
        "shown": np.array(found.shown, dtype=np.int64),
        "cautions": np.array(found.cautions, dtype=object),
    }


def findings_per_pixel(found: Found) -> dict[str, NDArray[Any]]:
    """What of it has a value for each pixel, copied: `maps`, `molecules` and `balances`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.io.h5ad import findings_per_pixel
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).findings(spectra)
    >>> findings_per_pixel(found)["maps"].shape
    (144, 1)
    """
    n_pixels = len(found.images)
    maps = [np.asarray(labels, dtype=np.int64) for labels in found.maps.values()]
    return {
        "maps": np.column_stack(maps) if maps else np.empty((n_pixels, 0), dtype=np.int64),
        "molecules": np.array(found.images, dtype=np.float32),
        "balances": np.array(found.balance_images, dtype=np.float32),
    }


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy of a table that h5ad can hold: plain keys and rows named by their number, no None."""
    table = frame.copy()
    table.columns = pd.Index(_unique_keys([str(column) for column in frame.columns]))
    table.index = pd.Index(np.arange(len(frame)).astype(str).astype(object))
    # h5ad has no missing text: what is missing is empty.
    for column in table.columns:
        values = table[column]
        # Text is of objects, or by pandas 3 of a type of its own.
        if values.dtype != object and not isinstance(values.dtype, pd.StringDtype):
            continue
        table[column] = np.where(values.isna(), "", values.astype(str)).astype(object)
    return table


def _unique_keys(names: Sequence[str]) -> list[str]:
    """Names without what a key cannot hold, numbered where they would then be the same."""
    keys: list[str] = []
    for name in names:
        plain = key = name.translate(FORBIDDEN_IN_KEYS)
        number = 1
        while key in keys or (key != name and key in names):
            number += 1
            key = f"{plain}_{number}"
        keys.append(key)
    return keys


def _plain(value: Any) -> Any:
    """JSON form of any value: lists for tuples and arrays, text for what JSON has no word for."""
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    fits = value is None or isinstance(value, (bool, int, str))
    return value if fits or (isinstance(value, float) and math.isfinite(value)) else str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
