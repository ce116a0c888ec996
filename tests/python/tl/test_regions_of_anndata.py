"""Regions of an AnnData object, in the manner of scanpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import massgraph as mg

KEYS = {
    "obs": {"region", "region_uncertainty", "region_coverage"},
    "var": {"region_molecule"},
    "obsm": {
        "X_region",
        "region_probability",
        "region_maps",
        "region_molecules",
        "region_balances",
    },
    "uns": {"region", "region_colors"},
}


def make(n_runs: int = 1, **more: Any) -> anndata.AnnData:
    spectra = mg.simulate("tiny", n_runs=n_runs).spectra
    matrix, axis = spectra.to_matrix()
    return anndata.AnnData(
        X=matrix,
        obs=pd.DataFrame({"slide": spectra.run}, index=[f"p{n}" for n in range(len(spectra))]),
        var=pd.DataFrame({"mz": axis}, index=[f"mz_{mz:.4f}" for mz in axis]),
        obsm={"spatial": spectra.coordinates},
        uns={"polarity": "positive"},
        **more,
    )


@pytest.fixture(scope="module")
def tissue() -> anndata.AnnData:
    return make()


@pytest.fixture(scope="module")
def done(tissue: anndata.AnnData) -> tuple[anndata.AnnData, mg.SpatialRegions]:
    adata = tissue.copy()
    model = mg.tl.regions(adata, max_regions=4, polarity="positive", return_model=True)
    return adata, model


def added(before: anndata.AnnData, after: anndata.AnnData) -> dict[str, set[str]]:
    return {
        part: set(getattr(after, part)) - set(getattr(before, part))
        for part in ("obs", "var", "obsm", "uns")
    }


def test_all_that_is_added_and_nothing_else(
    tissue: anndata.AnnData, done: tuple[anndata.AnnData, mg.SpatialRegions]
) -> None:
    adata, _ = done
    assert added(tissue, adata) == KEYS
    assert (adata.X != tissue.X).nnz == 0
    pd.testing.assert_frame_equal(adata.obs[tissue.obs.columns], tissue.obs)
    pd.testing.assert_frame_equal(adata.var[tissue.var.columns], tissue.var)


def test_what_is_written_is_what_the_estimator_says(
    done: tuple[anndata.AnnData, mg.SpatialRegions],
) -> None:
    adata, model = done
    assert isinstance(model, mg.SpatialRegions)
    spectra = mg.from_anndata(adata, polarity="positive")
    region = adata.obs["region"]
    np.testing.assert_array_equal(region.cat.codes, model.labels_)
    assert tuple(region.cat.categories) == model.segment(spectra, explain=False).classes
    np.testing.assert_array_equal(adata.obsm["region_probability"], model.probabilities_)
    np.testing.assert_array_equal(adata.obsm["X_region"], model.transform(spectra))
    colours = adata.uns["region_colors"]
    assert len(set(colours)) == len(region.cat.categories)
    assert all(colour.startswith("#") for colour in colours)
    described = adata.uns["region"]
    np.testing.assert_allclose(described["separation"], model.separation_, atol=1e-3)
    assert described["selection"]["n_regions"].tolist() == model.selection_["n_regions"].tolist()
    assert described["params"]["max_regions"] == 4
    assert described["maps"].tolist() == [2, 3, 4]
    assert adata.obsm["region_maps"].shape == (adata.n_obs, 3)
    assert described["regions"]["region"].tolist() == list(region.cat.categories)


def test_ions_of_a_molecule_have_its_number(
    done: tuple[anndata.AnnData, mg.SpatialRegions],
) -> None:
    adata, model = done
    molecule, found = adata.var["region_molecule"], model.region_model_
    known = molecule.notna().to_numpy()
    # Every ion of the fit is a column, or several where peaks scatter.
    nearest = np.abs(found.axis.mz[:, None] - adata.var["mz"].to_numpy()[known]).min(axis=1)
    assert nearest.max() < 0.005
    distance = np.abs(adata.var["mz"].to_numpy()[:, None] - found.axis.mz).min(axis=1)
    assert distance[known].max() < 0.005 < distance[~known].max()
    table = adata.uns["region"]["molecules"].drop_duplicates("molecule").set_index("molecule")
    for number, row in table.iterrows():
        ions = adata.var.loc[(molecule == number).to_numpy(dtype=bool, na_value=False), "mz"]
        assert np.abs(ions - row["mz"]).min() < 0.005


def test_the_object_goes_to_a_file_and_back(
    done: tuple[anndata.AnnData, mg.SpatialRegions], tmp_path: Path
) -> None:
    adata, _ = done
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert again.obs["region"].tolist() == adata.obs["region"].tolist()
    assert again.uns["region"]["params"] == adata.uns["region"]["params"]
    np.testing.assert_array_equal(again.obsm["region_maps"], adata.obsm["region_maps"])
    pd.testing.assert_series_equal(again.var["region_molecule"], adata.var["region_molecule"])


def test_all_names_begin_with_the_key(tissue: anndata.AnnData) -> None:
    adata = tissue.copy()
    assert mg.tl.regions(adata, 3, key_added="domain", explain=False) is None
    assert added(tissue, adata) == {
        "obs": {"domain", "domain_uncertainty", "domain_coverage"},
        "var": {"domain_molecule"},
        "obsm": {"X_domain", "domain_probability"},
        "uns": {"domain", "domain_colors"},
    }
    assert adata.obs["domain"].cat.categories.tolist() == ["region 1", "region 2", "off-tissue"]
    assert adata.uns["domain"]["params"]["number_was_given"]
    mg.tl.regions(adata, 2, key_added="domain", explain=False)
    assert len(adata.obs["domain"].cat.categories) == 2
    assert len(adata.uns["domain_colors"]) == 2


def test_runs_are_named_by_a_column() -> None:
    adata = make(n_runs=2)
    model = mg.tl.regions(
        adata, 3, batch_key="slide", explain=False, return_model=True, run_offsets=True
    )
    assert model.region_model_.origin.data["n_runs"] == 2
    with pytest.raises(mg.InputError, match="obs has no column 'batch'"):
        mg.tl.regions(adata, 3, batch_key="batch")


def test_pixels_without_peaks_are_in_no_region(tissue: anndata.AnnData) -> None:
    adata = tissue.copy()
    kept = (np.arange(adata.n_obs) != 3).astype(np.float32)
    adata.X = sp.csr_matrix(sp.diags(kept) @ adata.X)
    mg.tl.regions(adata, 3, explain=False)
    assert adata.obs["region"].isna().tolist() == [n == 3 for n in range(adata.n_obs)]
    assert adata.obs["region_uncertainty"].iloc[3] == 1
    assert np.isnan(adata.obsm["region_probability"][3]).all()
    assert np.isnan(adata.obsm["X_region"][3]).all()


def test_columns_out_of_order_and_layers(tissue: anndata.AnnData) -> None:
    order = np.random.default_rng(0).permutation(tissue.n_vars)
    shuffled = anndata.AnnData(
        obs=tissue.obs,
        var=tissue.var.iloc[order],
        obsm=dict(tissue.obsm),
        layers={"raw": tissue.X[:, order]},
        uns=dict(tissue.uns),
    )
    with pytest.warns(UserWarning, match="does not ascend"):
        mg.tl.regions(shuffled, 3, layer="raw", explain=False)
    adata = tissue.copy()
    mg.tl.regions(adata, 3, explain=False)
    assert shuffled.obs["region"].tolist() == adata.obs["region"].tolist()
    pd.testing.assert_series_equal(
        shuffled.var["region_molecule"].reindex(adata.var_names), adata.var["region_molecule"]
    )


def test_mz_in_the_names_of_the_columns(tissue: anndata.AnnData) -> None:
    named, adata = tissue.copy(), tissue.copy()
    named.var_names = [f"{mz:.6f}" for mz in named.var.pop("mz")]
    with pytest.warns(UserWarning, match="m/z were read from var_names"):
        mg.tl.regions(named, 3, explain=False)
    mg.tl.regions(adata, 3, explain=False)
    assert named.obs["region"].tolist() == adata.obs["region"].tolist()
    assert named.var["region_molecule"].tolist() == adata.var["region_molecule"].tolist()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"n_regions": 0}, mg.InputError, "n_regions is 0"),
        ({"n_regions": 10**6}, mg.InputError, "regions need as many pixels"),
        ({"key_added": ""}, mg.InputError, "key_added is ''"),
        ({"key_added": 5}, TypeError, "key_added is 5"),
        ({"mz": "mass"}, mg.InputError, "var has no column 'mass'"),
        ({"coordinates": None}, mg.InputError, "the pixels have no coordinates"),
        ({"polarity": "neutral"}, mg.InputError, "polarity 'neutral'"),
        ({"resolution": 1.0}, TypeError, "resolution"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tissue: anndata.AnnData, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    adata = tissue.copy()
    with pytest.raises(error, match=words):
        mg.tl.regions(adata, **{"explain": False, **given})
    assert added(tissue, adata) == {part: set() for part in ("obs", "var", "obsm", "uns")}


def test_anything_else_is_refused() -> None:
    with pytest.raises(mg.InputError, match="expected an AnnData object, got list"):
        mg.tl.regions([])
