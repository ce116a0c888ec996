"""Spectra from AnnData in the layouts of metaspace-converter and thyra (bad inputs, row 67)."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from massgraph.io.anndata import AnnDataError, from_anndata

MZ = np.array([100.5, 200.25, 760.5851, 885.5499])
X = np.array([[1, 0, 2, 0], [0, 3, 0, 0], [4, 5, 6, 7], [0, 0, 0, 8]], dtype=np.float64)


def make_metaspace(in_obs: bool = False) -> anndata.AnnData:
    """As metaspace-converter 1.1 makes them: a full raster, annotations in order of FDR."""
    height, width = 2, 3
    y, x = (values.ravel() for values in np.indices((height, width)))
    obs = pd.DataFrame(
        {
            "ion_image_pixel_x": x,
            "ion_image_pixel_y": y,
            "ion_image_shape_y": height,
            "ion_image_shape_x": width,
        },
        index=pd.RangeIndex(6, name="ion_image_pixel").astype(str),
    )
    var = pd.DataFrame(
        {
            "formula": ["C42H82NO8P", "C6H12O6"],
            "adduct": ["+Na", "+K"],
            "mz": [782.5670, 219.0265],
            "fdr": [0.05, 0.1],
            "moleculeNames": ['["PC(34:1)"]', '["Glucose"]'],
        },
        index=pd.Index(["C42H82NO8P+Na", "C6H12O6+K"], name="formula_adduct"),
    )
    description = {
        "id": "2021-09-03_11h43m13s",
        "polarity": "Positive",
        "metadata": {"MS_Analysis": {"Pixel_Size": {"Xaxis": 50, "Yaxis": 25}}},
    }
    adata = anndata.AnnData(
        np.arange(12.0).reshape(6, 2),
        obs=obs,
        var=var,
        # Where an optical image is added, the places are those on the image.
        obsm={"spatial": np.column_stack([y, x]) * 31.5},
    )
    if in_obs:
        adata.obs["metaspace.id"] = description["id"]
        adata.obs["metaspace.polarity"] = "Positive"
        adata.obs["metaspace.metadata.MS_Analysis.Pixel_Size.Xaxis"] = 50
        adata.obs["metaspace.metadata.MS_Analysis.Pixel_Size.Yaxis"] = 25
    else:
        adata.uns["metaspace"] = description
    return adata


@pytest.mark.parametrize("in_obs", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
def test_metaspace_converter(in_obs: bool, on_disk: bool, tmp_path: Path) -> None:
    adata = make_metaspace(in_obs)
    if on_disk:
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    spectra = from_anndata(adata)  # no warning: its order is known
    np.testing.assert_array_equal(spectra.axis, [219.0265, 782.5670])
    np.testing.assert_array_equal(spectra.pixel(1)[1], [3, 2])
    assert spectra.coordinates.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert spectra.polarity == "positive"
    assert spectra.pixel_size == (50, 25)
    assert spectra.pixel_size_unit == "um"
    assert spectra.run_names == ("2021-09-03_11h43m13s",)


def test_several_metaspace_data_sets_joined() -> None:
    one, two = make_metaspace(in_obs=True), make_metaspace(in_obs=True)
    two.obs["metaspace.id"] = "another"
    joined = anndata.concat([one, two], index_unique="-", merge="same")
    spectra = from_anndata(joined)
    assert spectra.run_names == ("2021-09-03_11h43m13s", "another")
    assert spectra.polarity == "positive"
    assert spectra.pixel_size == (50, 25)


def test_metaspace_converter_swapped_places_by_name() -> None:
    adata = make_metaspace()
    adata.obsm["spatial"] = adata.obs[["ion_image_pixel_y", "ion_image_pixel_x"]].to_numpy()
    with pytest.raises(AnnDataError, match=r"order \(y, x\) of obs\[\['ion_image_pixel_x'"):
        from_anndata(adata, coordinates="spatial")
    assert from_anndata(adata).coordinates[1].tolist() == [1, 0]


def make_thyra(kind: str = "centroid spectrum") -> anndata.AnnData:
    """As thyra writes the table of a slice, after empty pixels were dropped."""
    x, y = np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1])
    obs = pd.DataFrame(
        {
            "y": y.astype(np.int32),
            "x": x.astype(np.int32),
            "region": pd.Categorical(["msi_dataset_z0_pixels"] * 4),
            "spatial_x": x * 20.0,
            "spatial_y": y * 10.0,
            "region_number": [0, 0, 1, 1],
            "instance_key": ["0", "1", "2", "3"],
        },
        index=pd.Index(["0", "1", "2", "3"], name="instance_id"),
    )
    var = pd.DataFrame({"mz": MZ}, index=[f"mz_{i}" for i in range(4)])
    uns = {
        "essential_metadata": {"spectrum_type": kind, "thyra_version": "3.5.0"},
        "msi_metadata": {
            "schema_version": "0.10.0",
            "ms_analysis": {"polarity": "negative", "pixel_size_um": {"x": 20.0, "y": 10.0}},
        },
        "regions": json.dumps([{"region_number": 0, "n_spectra": 2}]),
        "spatialdata_attrs": {"region": "msi_dataset_z0_pixels", "region_key": "region"},
    }
    return anndata.AnnData(
        sp.csc_matrix(X),
        obs=obs,
        var=var,
        uns=uns,
        obsm={"spatial": obs[["spatial_x", "spatial_y"]].to_numpy()},
    )


@pytest.mark.parametrize("on_disk", [False, True])
def test_thyra(on_disk: bool, tmp_path: Path) -> None:
    adata = make_thyra()
    if on_disk:
        adata.write_h5ad(tmp_path / "a.h5ad")
        adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    spectra = from_anndata(adata, run="region_number")
    assert spectra.coordinates.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1]]
    assert spectra.polarity == "negative"
    assert spectra.pixel_size == (20, 10)
    assert spectra.run.tolist() == ["0", "0", "1", "1"]
    np.testing.assert_array_equal(spectra.pixel(2)[1], [4, 5, 6, 7])


def test_thyra_profile_spectra_warn() -> None:
    with pytest.warns(UserWarning, match="'profile spectrum': peaks are expected"):
        from_anndata(make_thyra("profile spectrum"))


def test_description_that_makes_no_sense_warns() -> None:
    adata = make_thyra()
    adata.uns["msi_metadata"]["ms_analysis"] = {
        "polarity": "both",
        "pixel_size_um": {"x": -1.0, "y": "?"},
    }
    with (
        pytest.warns(UserWarning, match="polarity 'both'"),
        pytest.warns(UserWarning, match=r"pixel size \[-1\.0, '\?'\]"),
    ):
        spectra = from_anndata(adata)
    assert spectra.polarity is None
    assert spectra.pixel_size is None
