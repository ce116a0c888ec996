"""What was found out about regions, in AnnData and h5ad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.explain.region_findings import RegionFindings


@pytest.fixture(scope="module")
def segmentation() -> mg.Segmentation:
    spectra = mg.simulate("tiny", n_runs=1).spectra
    return mg.SpatialRegions(max_regions=4).fit(spectra).segment(spectra)


@pytest.fixture(scope="module")
def written(
    segmentation: mg.Segmentation, tmp_path_factory: pytest.TempPathFactory
) -> anndata.AnnData:
    path = tmp_path_factory.mktemp("h5ad") / "regions.h5ad"
    segmentation.write_h5ad(path)
    return anndata.read_h5ad(path)


def findings_of(segmentation: mg.Segmentation) -> RegionFindings:
    assert segmentation.findings is not None
    return segmentation.findings


def test_nested_maps_and_images_have_a_column_each(
    segmentation: mg.Segmentation, written: anndata.AnnData
) -> None:
    found, said = findings_of(segmentation), written.uns["massgraph"]["findings"]
    assert said["maps"].tolist() == list(found.maps) == [2, 3, 4]
    for column, labels in zip(written.obsm["massgraph_maps"].T, found.maps.values(), strict=True):
        np.testing.assert_array_equal(column, labels)
    taken = list(said["maps"]).index(len(segmentation.classes))
    np.testing.assert_array_equal(
        written.obsm["massgraph_maps"][:, taken], written.obs["massgraph_label"].cat.codes
    )
    np.testing.assert_array_equal(said["shown"], found.shown)
    np.testing.assert_array_equal(written.obsm["massgraph_molecules"], found.images)
    np.testing.assert_array_equal(written.obsm["massgraph_balances"], found.balance_images)
    assert written.obsm["massgraph_balances"].shape[1] == len(said["balances"])


@pytest.mark.parametrize("name", ["regions", "molecules", "families", "balances", "selection"])
def test_tables_come_back(
    segmentation: mg.Segmentation, written: anndata.AnnData, name: str
) -> None:
    table, found = getattr(findings_of(segmentation), name), written.uns["massgraph"]["findings"]
    assert len(table) > 0
    # h5ad has no missing text: what is missing is empty.
    texts = [name for name, kind in table.dtypes.items() if str(kind) in ("object", "str")]
    wanted = table.fillna(dict.fromkeys(texts, ""))
    pd.testing.assert_frame_equal(
        found[name].reset_index(drop=True).astype(dict(wanted.dtypes.items())),
        wanted.reset_index(drop=True),
    )


def test_cautions_are_texts(segmentation: mg.Segmentation, tmp_path: Path) -> None:
    cautions = ("region 2 is doubtful: do not interpret it.", "Höhe ± Breite")
    found = replace(findings_of(segmentation), cautions=cautions)
    replace(segmentation, findings=found).write_h5ad(tmp_path / "a.h5ad")
    said = anndata.read_h5ad(tmp_path / "a.h5ad").uns["massgraph"]["findings"]["cautions"]
    assert tuple(said.tolist()) == cautions


def test_what_is_not_known_is_absent(segmentation: mg.Segmentation, tmp_path: Path) -> None:
    """A number that was given, no pairs of ions, and nothing to be cautious about."""
    found, n = findings_of(segmentation), segmentation.n_pixels
    bare = replace(
        found,
        selection=None,
        maps={},
        shown=found.shown[:0],
        images=found.images[:, :0],
        families=found.families.iloc[:0],
        balances=found.balances.iloc[:0],
        balance_images=found.balance_images[:, :0],
        cautions=(),
    )
    replace(segmentation, findings=bare).write_h5ad(tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    for name in ("maps", "molecules", "balances"):
        assert adata.obsm[f"massgraph_{name}"].shape == (n, 0)
    said = adata.uns["massgraph"]["findings"]
    assert "selection" not in said
    assert len(said["cautions"]) == len(said["families"]) == 0
    replace(segmentation, findings=None).write_h5ad(tmp_path / "b.h5ad")
    adata = anndata.read_h5ad(tmp_path / "b.h5ad")
    assert "findings" not in adata.uns["massgraph"]
    assert list(adata.obsm) == ["spatial"]


@pytest.mark.parametrize("lost", ["uns/massgraph/findings/regions", "obsm/massgraph_maps"])
def test_what_does_not_read_back_is_not_kept(
    segmentation: mg.Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    whole = Path.write_bytes

    def lose(file: Path, image: bytes) -> None:
        whole(file, image)
        with h5py.File(file, "a") as content:
            del content[lost]

    monkeypatch.setattr(Path, "write_bytes", lose)
    with pytest.raises(OSError, match="was not written"):
        segmentation.write_h5ad(tmp_path / "a.h5ad")
    assert list(tmp_path.iterdir()) == []


def test_the_object_is_made_of_copies(segmentation: mg.Segmentation) -> None:
    found = findings_of(segmentation)
    before = found.images.copy(), found.regions.copy()
    adata = segmentation.to_anndata()
    adata.obsm["massgraph_molecules"][:] = -1
    adata.obsm["massgraph_maps"][:] = -1
    adata.uns["massgraph"]["findings"]["regions"].iloc[:, 1] = -1
    np.testing.assert_array_equal(found.images, before[0])
    pd.testing.assert_frame_equal(found.regions, before[1])
    assert min(labels.max() for labels in found.maps.values()) > 0


def test_the_spectra_of_such_a_file_are_read_again(
    segmentation: mg.Segmentation, written: anndata.AnnData
) -> None:
    spectra = mg.from_anndata(written)
    np.testing.assert_array_equal(spectra.coordinates, segmentation.coordinates)
    np.testing.assert_allclose(spectra.tic(), segmentation.spectra.tic(), rtol=1e-6)
