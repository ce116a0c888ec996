"""Spectra and labels from AnnData: any matrix, and everything that can be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from massgraph.data.spectra import Spectra
from massgraph.io import anndata as reader
from massgraph.io.anndata import (
    AnnDataError,
    from_anndata,
    labels_from_obs,
    read_anndata,
    read_labels_column,
)

MZ = np.array([100.5, 200.25, 760.5851, 885.5499])
PLACES = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
X = np.array(
    [[1, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 0], [4, 5, 6, 7], [0, 0, 0, 8]], dtype=np.float32
)


def make(matrix: Any = X, mz: Any = MZ, **parts: Any) -> anndata.AnnData:
    """A plain object as another program would make it."""
    n = matrix.shape[0]
    options: dict[str, Any] = {
        "obs": pd.DataFrame(index=[f"p{i}" for i in range(n)]),
        "var": pd.DataFrame({"mz": mz}, index=[f"ion{i}" for i in range(len(mz))]),
        "obsm": {"spatial": PLACES[:n].copy()},
    }
    return anndata.AnnData(matrix, **{**options, **parts})


def same_pixels(found: Spectra, expected: Spectra) -> bool:
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name))
        for name in ("mz", "intensity", "offsets", "coordinates", "run", "names", "axis")
    )


# ------------------------------------------------------------------ like a user


def test_plain_object() -> None:
    spectra = from_anndata(make())
    assert spectra.peak_counts.tolist() == [2, 1, 0, 4, 1]
    np.testing.assert_array_equal(spectra.pixel(0)[0], MZ[[0, 2]])
    np.testing.assert_array_equal(spectra.pixel(3)[1], [4, 5, 6, 7])
    np.testing.assert_array_equal(spectra.coordinates, PLACES)
    np.testing.assert_array_equal(spectra.axis, MZ)
    assert spectra.names.tolist() == ["p0", "p1", "p2", "p3", "p4"]
    assert spectra.run.tolist() == ["run0"] * 5
    assert spectra.polarity is None
    assert spectra.pixel_size is None


def test_layer_column_run_polarity_and_places_by_name() -> None:
    adata = make(
        layers={"raw": X * 2},
        obs=pd.DataFrame({"slide": ["b", "b", "a", "a", "a"]}, index=list("vwxyz")),
        obsm={"place": PLACES + 10, "spatial": PLACES},
    )
    adata.var["mass"] = adata.var.pop("mz")
    spectra = from_anndata(
        adata, layer="raw", mz="mass", run="slide", coordinates="place", polarity="negative"
    )
    np.testing.assert_array_equal(spectra.pixel(3)[1], [8, 10, 12, 14])
    np.testing.assert_array_equal(spectra.coordinates, PLACES + 10)
    assert spectra.run.tolist() == ["b", "b", "a", "a", "a"]
    assert spectra.polarity == "negative"


def test_column_called_run_is_the_run() -> None:
    adata = make()
    adata.obs["run"] = pd.Categorical(["", "NA", "NA", "β", "β"], categories=["β", "", "NA", "no"])
    spectra = from_anndata(adata)
    assert spectra.run.tolist() == ["", "NA", "NA", "β", "β"]
    assert "no" not in spectra.run_names


def test_places_from_columns() -> None:
    adata = make(obsm={})
    adata.obs["x"], adata.obs["y"] = PLACES.T
    np.testing.assert_array_equal(from_anndata(adata).coordinates, PLACES)
    adata.obs["z"] = 5
    assert from_anndata(adata).coordinates.shape == (5, 3)


def test_the_object_is_not_changed() -> None:
    adata = make(sp.csr_matrix(X)[:, ::-1].tocsr(), MZ[::-1])
    before = adata.copy()
    with pytest.warns(UserWarning, match="does not ascend"):
        from_anndata(adata)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    pd.testing.assert_frame_equal(adata.var, before.var)


def test_file(tmp_path: Path) -> None:
    make().write_h5ad(tmp_path / "ä b.h5ad")
    found = read_anndata(tmp_path / "ä b.h5ad")
    assert found.run_names == ("ä b",)
    assert same_pixels(found, replace(from_anndata(make()), run_names=("ä b",)))
    assert read_anndata(str(tmp_path / "ä b.h5ad"), coordinates=None).coordinates is None


# ------------------------------------------------------------------ row 58 and 68: matrices


class Lazy:
    """What dask looks like from outside."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def compute(self) -> Any:
        return self.values


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.asfortranarray,
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.uint8),
        sp.csr_matrix,
        sp.csc_matrix,
        lambda x: sp.csr_matrix(x.astype(np.int32)),
    ],
)
def test_any_matrix_gives_the_same_pixels(convert: Any) -> None:
    assert same_pixels(from_anndata(make(convert(X))), from_anndata(make()))


@pytest.mark.parametrize("convert", [sp.csr_array, sp.csc_array, sp.coo_matrix])
def test_sparse_arrays_which_old_anndata_refuses(convert: Any) -> None:
    np.testing.assert_array_equal(reader._in_memory(convert(X)).toarray(), X)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_lazy_matrix(convert: Any) -> None:
    matrix = reader._in_memory(Lazy(convert(X)))
    np.testing.assert_array_equal(matrix.toarray(), X)


def test_dask_matrix() -> None:
    da = pytest.importorskip("dask.array", reason="dask is not installed")
    adata = make(da.from_array(X, chunks=(2, 4)))
    assert same_pixels(from_anndata(adata), from_anndata(make()))


def test_masked_values_are_absent() -> None:
    masked = np.ma.masked_equal(np.where(X == 0, 99, X), 99)
    np.testing.assert_array_equal(reader._in_memory(masked).toarray(), X)


def test_unsorted_and_doubled_entries_of_a_sparse_matrix() -> None:
    matrix = sp.csr_matrix(
        (np.array([2, 1, 3, 4], dtype=np.float32), np.array([2, 0, 1, 1]), np.array([0, 2, 4])),
        shape=(2, 4),
    )
    spectra = from_anndata(make(matrix))
    np.testing.assert_array_equal(spectra.mz, MZ[[0, 2, 1]])
    np.testing.assert_array_equal(spectra.intensity, [1, 2, 7])


def test_explicit_zeros_are_absent() -> None:
    matrix = sp.csr_matrix(X)
    matrix.data[0] = 0
    assert from_anndata(make(matrix)).peak_counts.tolist() == [1, 1, 0, 4, 1]


def test_negative_values_warn_and_are_absent() -> None:
    matrix = X.copy()
    matrix[0, 0] = -1
    with pytest.warns(UserWarning, match="1 negative intensities"):
        spectra = from_anndata(make(matrix))
    assert spectra.peak_counts[0] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("convert", [np.asarray, sp.csc_matrix])
def test_value_that_is_no_intensity(value: float, convert: Any) -> None:
    matrix = X.astype(np.float64)
    matrix[3, 2] = value
    with pytest.raises(AnnDataError, match=r"X is (nan|inf) at pixel 3 \('p3'\), m/z 760\.5851"):
        from_anndata(make(convert(matrix)))


def test_matrix_of_complex_numbers() -> None:
    with pytest.raises(AnnDataError, match="of complex64, not of numbers"):
        from_anndata(make(X.astype(np.complex64)))


def test_view() -> None:
    adata = make()
    view = adata[[3, 0], [3, 0]]
    assert view.is_view
    with pytest.warns(UserWarning, match="does not ascend"):
        spectra = from_anndata(view)
    np.testing.assert_array_equal(spectra.axis, MZ[[0, 3]])
    assert spectra.names.tolist() == ["p3", "p0"]
    np.testing.assert_array_equal(spectra.intensity, [4, 7, 1])


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_backed_by_a_file(convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "VALUES_PER_CHUNK", 8)  # two pixels at a time
    make(convert(X)).write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert same_pixels(from_anndata(backed), from_anndata(make()))
    part = from_anndata(backed[1:4])
    assert same_pixels(part, from_anndata(make()[1:4]))
    backed.file.close()


def test_backed_by_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    make(sp.csr_matrix(X)).write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    backed.file.close()
    path.unlink()
    with pytest.raises(AnnDataError, match=r"backed by .*a\.h5ad, cannot be read .*deleted\?"):
        from_anndata(backed)


# ------------------------------------------------------------------ row 59: m/z


def test_unsorted_mz_is_sorted_with_its_columns() -> None:
    order = [2, 0, 3, 1]
    with pytest.warns(UserWarning, match=r"var\['mz'\] does not ascend"):
        spectra = from_anndata(make(X[:, order], MZ[order]))
    assert same_pixels(spectra, from_anndata(make()))


@pytest.mark.parametrize(
    ("mz", "message"),
    [
        ([100.0, np.nan, 300.0, 400.0], r"var\['mz'\] is nan for 'ion1'"),
        ([100.0, 200.0, np.inf, 400.0], r"var\['mz'\] is inf for 'ion2'"),
        ([100.0, 0.0, 300.0, 400.0], r"var\['mz'\] is 0\.0 for 'ion1'"),
        ([-1, 200, 300, 400], r"var\['mz'\] is -1\.0 for 'ion0'"),
        ([True, False, True, False], r"var\['mz'\] is bool, not numbers: name another .* mz="),
        (pd.array([100.0, None, 300.0, 400.0], dtype="Float64"), "is nan for 'ion1'"),
    ],
)
def test_mz_that_are_none(mz: Any, message: str) -> None:
    with pytest.raises(AnnDataError, match=message):
        from_anndata(make(mz=mz))


def test_missing_mz_lists_the_columns() -> None:
    adata = make()
    adata.var["mass"] = adata.var.pop("mz")
    with pytest.raises(AnnDataError, match=r"var has no column 'mz'.*by mz=: \['mass'\]"):
        from_anndata(adata)


def test_single_precision_mz_warns_with_the_size_of_the_error() -> None:
    with pytest.warns(UserWarning, match=r"float32: m/z .* may be off by 0\.0\d+ ppm"):
        spectra = from_anndata(make(mz=MZ.astype(np.float32)))
    assert spectra.mz.dtype == np.float64


@pytest.mark.parametrize("dtype", ["int64", "Int64", "Float64"])
def test_other_numbers_for_mz(dtype: str) -> None:
    spectra = from_anndata(make(mz=pd.array([100, 200, 300, 400], dtype=dtype)))
    np.testing.assert_array_equal(spectra.axis, [100, 200, 300, 400])


# ------------------------------------------------------------------ row 60: places


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (PLACES[:, :1], r"obsm\['spatial'\] has shape \(5, 1\), need \(5, 2\)"),
        (np.ones((5, 4)), r"has shape \(5, 4\)"),
        (np.where(PLACES == 3, np.nan, PLACES), r"is \[nan, 1\.0\] at pixel 2 \('p2'\)"),
        (np.array([["a", "b"]] * 5), "does not hold numbers"),
    ],
)
def test_places_that_are_none(places: Any, message: str) -> None:
    with pytest.raises(AnnDataError, match=message):
        from_anndata(make(obsm={"spatial": places}))


def test_missing_places() -> None:
    adata = make(obsm={"X_umap": PLACES})
    with pytest.raises(AnnDataError, match=r"obsm has no 'spatial'.*\['X_umap'\].*=None"):
        from_anndata(adata)
    with pytest.raises(AnnDataError, match="obsm has no 'nowhere'"):
        from_anndata(adata, coordinates="nowhere")
    assert from_anndata(adata, coordinates=None).coordinates is None


def test_places_in_the_order_y_x() -> None:
    adata = make(obsm={"spatial": PLACES[:, ::-1]})
    adata.obs["x"], adata.obs["y"] = PLACES.T
    with pytest.raises(AnnDataError, match=r"in the order \(y, x\).*swap its columns"):
        from_anndata(adata)
    adata.obsm["spatial"] = PLACES
    np.testing.assert_array_equal(from_anndata(adata).coordinates, PLACES)


def test_places_on_the_diagonal_are_in_either_order() -> None:
    diagonal = np.column_stack([np.arange(5.0)] * 2)
    adata = make(obsm={"spatial": diagonal})
    adata.obs["x"], adata.obs["y"] = diagonal.T
    np.testing.assert_array_equal(from_anndata(adata).coordinates, diagonal)


def test_places_as_a_table() -> None:
    table = pd.DataFrame(PLACES, columns=["x", "y"], index=[f"p{i}" for i in range(5)])
    np.testing.assert_array_equal(from_anndata(make(obsm={"spatial": table})).coordinates, PLACES)


# ------------------------------------------------------------------ row 61: names, and the rest


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_doubled_names_warn() -> None:
    adata = make(obs=pd.DataFrame(index=["a", "b", "a", "c", "d"]))
    with pytest.warns(UserWarning, match="not unique .'a' stands twice"):
        assert from_anndata(adata).names.tolist() == ["a", "b", "a", "c", "d"]


def test_numbers_for_names_warn() -> None:
    adata = make()
    adata.obs.index = pd.RangeIndex(5)
    with pytest.warns(UserWarning, match="obs_names are int64, not text"):
        assert from_anndata(adata).names.tolist() == ["0", "1", "2", "3", "4"]


def test_missing_run() -> None:
    adata = make(obs=pd.DataFrame({"slide": ["a", None, "b", None, "b"]}, index=list("vwxyz")))
    with pytest.raises(AnnDataError, match=r"missing for 2 pixels, the first 1 \('w'\)"):
        from_anndata(adata, run="slide")
    with pytest.raises(AnnDataError, match=r"no column 'sample'.*\['slide'\]"):
        from_anndata(adata, run="sample")


def test_layer_that_is_not_there() -> None:
    with pytest.raises(AnnDataError, match=r"no layer 'counts'; there are \['raw'\]"):
        from_anndata(make(layers={"raw": X}), layer="counts")


def test_no_matrix() -> None:
    adata = make(layers={"raw": X})
    adata.X = None
    with pytest.raises(AnnDataError, match=r"X is None: name a layer by layer=, of \['raw'\]"):
        from_anndata(adata)
    assert from_anndata(adata, layer="raw").n_peaks == 8


@pytest.mark.parametrize(("rows", "columns"), [(slice(0, 0), slice(None)), (slice(None), [])])
def test_empty_object(rows: Any, columns: Any) -> None:
    with pytest.raises(AnnDataError, match=r"is empty: \d pixels, \d ions"):
        from_anndata(make()[rows, columns])


def test_other_objects() -> None:
    class Several:
        tables = {"b": 1, "a": 2}  # noqa: RUF012

    with pytest.raises(AnnDataError, match=r"several tables: give one, of \['a', 'b'\]"):
        from_anndata(Several())  # type: ignore[arg-type]
    with pytest.raises(AnnDataError, match="expected an AnnData object, got str"):
        from_anndata("run.h5ad")  # type: ignore[arg-type]


def test_polarity_that_is_none() -> None:
    with pytest.raises(ValueError, match="polarity 'up' is none of"):
        from_anndata(make(), polarity="up")


def test_text_of_any_kind() -> None:
    adata = make(obs=pd.DataFrame({"run": ["ü" * 50_000] * 5}, index=list("vwxyz")))
    assert from_anndata(adata).run_names == ("ü" * 50_000,)


# ------------------------------------------------------------------ row 62: labels


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "NA", "", None, "β"], ["a", "NA", "", None, "β"]),
        (
            pd.Categorical(["a", None, "NA", "a", ""], categories=["unused", "", "a", "NA"]),
            ["a", None, "NA", "a", ""],
        ),
        ([True, False, True, True, False], ["True", "False", "True", "True", "False"]),
        (pd.array([True, None, False, True, True], dtype="boolean"), None),
        ([0, 1, 2, 1, 0], ["0", "1", "2", "1", "0"]),
        (pd.array([0, None, 2, 1, 0], dtype="Int64"), ["0", None, "2", "1", "0"]),
        ([0.0, 1.0, np.nan, 2.5, -3.0], ["0", "1", None, "2.5", "-3"]),
        (pd.Categorical([1.0, 2.0, np.nan, 1.0, 1.0]), ["1", "2", None, "1", "1"]),
        (pd.array(["a", None, "b", "", "c"], dtype="string"), ["a", None, "b", "", "c"]),
    ],
)
def test_labels_of_any_kind(values: Any, expected: list[str | None] | None) -> None:
    adata = make()
    adata.obs["tissue"] = values
    expected = ["True", None, "False", "True", "True"] if expected is None else expected
    labels = labels_from_obs(adata, "tissue")
    assert labels.dtype == object
    assert labels.tolist() == expected
    assert all(label is None or type(label) is str for label in labels)


def test_labels_that_are_not_there() -> None:
    adata = make(obs=pd.DataFrame({"a": 1, "b": np.nan}, index=list("vwxyz")))
    with pytest.raises(AnnDataError, match=r"obs has no column 'tissue'.*\['a', 'b'\]"):
        labels_from_obs(adata, "tissue")
    with pytest.raises(AnnDataError, match=r"obs\['b'\] has no label: all 5 values are missing"):
        labels_from_obs(adata, "b")


# ------------------------------------------------------------------ row 65: files


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AnnDataError, match=r"missing\.h5ad does not exist"):
        read_anndata(tmp_path / "missing.h5ad")
    with pytest.raises(AnnDataError, match="is a folder, not an h5ad file"):
        read_anndata(tmp_path)
    (tmp_path / "text.h5ad").write_text("x,y,label", encoding="utf-8")
    with pytest.raises(AnnDataError, match=r"text\.h5ad cannot be read as h5ad"):
        read_anndata(tmp_path / "text.h5ad")
    (tmp_path / "empty.h5ad").touch()
    with pytest.raises(AnnDataError, match=r"empty\.h5ad cannot be read as h5ad"):
        read_anndata(tmp_path / "empty.h5ad")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_cut_file(share: float, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    make().write_h5ad(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AnnDataError, match=r"a\.h5ad cannot be read as h5ad") as caught:
        read_anndata(path)
    assert "\n" not in str(caught.value)


def test_other_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["peaks"] = np.ones((3, 3, 2))
    with pytest.raises(AnnDataError, match=r"a\.h5"):
        read_anndata(tmp_path / "a.h5")


def test_file_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    make().write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["obs"].attrs["encoding-version"] = "99.0.0"
    with pytest.raises(AnnDataError, match="of a newer version"):
        read_anndata(path)


def test_error_inside_a_file_names_it(tmp_path: Path) -> None:
    make(mz=[1.0, 1.0, 2.0, -3.0]).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(AnnDataError, match=r"a\.h5ad: var\['mz'\] is -3\.0 for 'ion3'"):
        read_anndata(tmp_path / "a.h5ad")


# ------------------------------------------------------------------ columns of one name


def test_two_columns_of_one_name() -> None:
    """pandas gives a table where a column is asked for."""
    adata = make()
    adata.obs = pd.concat([adata.obs.assign(region="a"), adata.obs.assign(region="b")], axis=1)
    with pytest.raises(AnnDataError, match=r"obs has two columns '.*': keep one"):
        from_anndata(adata)
    with pytest.raises(AnnDataError, match=r"obs has two columns '.*': keep one"):
        labels_from_obs(adata, "region")
    adata = make()
    adata.var = pd.concat([adata.var, adata.var], axis=1)
    with pytest.raises(AnnDataError, match="var has two columns 'mz': keep one"):
        from_anndata(adata)


def test_labels_of_a_file_name_the_file(tmp_path: Path) -> None:
    adata = make()
    adata.obs["region"] = [None, "a", "b"] + ["a"] * (adata.n_obs - 3)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert read_labels_column(tmp_path / "a.h5ad", "region")[:3].tolist() == [None, "a", "b"]
    with pytest.raises(AnnDataError, match=r"a\.h5ad: obs has no column 'organ'"):
        read_labels_column(tmp_path / "a.h5ad", "organ")
