"""Segmentations as AnnData and h5ad, written and read back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from massgraph.data.spectra import Spectra
from massgraph.io import h5ad
from massgraph.io._anndata_layout import layers_of
from massgraph.io.anndata import AnnDataError, from_anndata, labels_from_obs, read_anndata
from massgraph.segmentation import Segmentation

# Names that trip: a path, the marks of missing values, nothing, other scripts, and two that
# would be one when the slash is replaced.
CLASSES = ("cortex/outer", "cortex_outer", "NA", "", "髄質 β")
MZ = np.array([255.2330, 281.2486, 283.2643, 760.5851, 885.5499])
N_PIXELS = 12
EMPTY = 5


def make_spectra() -> Spectra:
    rng = np.random.default_rng(3)
    matrix = rng.lognormal(3, 1, size=(N_PIXELS, MZ.size)) * (rng.random((N_PIXELS, 5)) < 0.7)
    matrix[EMPTY] = 0
    return Spectra.from_matrix(
        matrix,
        MZ,
        coordinates=np.column_stack([np.arange(N_PIXELS) % 4 + 1, np.arange(N_PIXELS) // 4 + 1]),
        run=np.where(np.arange(N_PIXELS) < 6, "VAN0025/LK", ""),
        polarity="positive",
        pixel_size=(10.0, 12.5),
        pixel_size_unit="um",
    )


def make_explanation(spectra: Spectra) -> Any:
    """Stand-in with the fields that massgraph.explain.activation.Explanation has."""
    rng = np.random.default_rng(4)
    present = spectra.to_matrix()[0]
    activation = {}
    for name in CLASSES:
        activation[name] = present.copy()
        activation[name].data = rng.normal(size=present.nnz).astype(np.float32)
    ions = pd.DataFrame(
        {
            "mz": MZ,
            "n_pixels": np.diff(present.tocsc().indptr),
            "class": ["NA", "", "cortex/outer", "髄質 β", "NA"],
            "score": [0.1, 0.2, 0.0, 0.5, 0.05],
            "rank": [3, 2, 5, 1, 4],
            "family": pd.array([1, 1, pd.NA, 2, pd.NA], dtype="Int64"),
        }
    )
    for name in CLASSES:
        ions[f"activation_{name}"] = rng.normal(size=MZ.size)
        ions[f"intensity_{name}"] = rng.random(MZ.size)
    families = pd.DataFrame(
        {
            "family": [1, 1],
            "mz": MZ[:2],
            "role": ["[M-H]-", "+C2H2 of 255.233"],
            "neutral_mass": [256.2402, np.nan],
            "adduct": ["[M-H]-", None],
            "class": ["NA", ""],
            "activation_cortex/outer": [0.5, 0.25],
            "activation_cortex_outer": [0.1, 0.2],
        },
        index=[7, 7],
    )
    edges = pd.DataFrame(
        {"family": [1], "source_mz": MZ[:1], "target_mz": MZ[1:2], "relation": ["C2H2"]}
    )
    return SimpleNamespace(
        classes=CLASSES,
        mz=MZ,
        activation=activation,
        intercept=np.arange(5.0),
        ions=ions,
        families=families,
        family_edges=edges.assign(source=0, target=1, frequency=0.75, weight=0.5),
    )


@pytest.fixture
def segmentation() -> Segmentation:
    spectra = make_spectra()
    rng = np.random.default_rng(5)
    reference = np.array([*CLASSES, None, "elsewhere", *CLASSES], dtype=object)
    return Segmentation.from_probability(
        spectra,
        CLASSES,
        rng.dirichlet(np.ones(5), size=N_PIXELS),
        reference=reference,
        training=np.arange(N_PIXELS) % 3 == 1,
        validation=np.arange(N_PIXELS) % 3 == 0,
        explanation=make_explanation(spectra),
        history=pd.DataFrame({"epoch": [1, 2], "valid_loss": [0.5, np.nan], "best": [True, False]}),
        parameters={"groups": None, "hidden": (64, 32), "a/b": np.float32(0.5), "seed": 1},
    )


@pytest.fixture
def written(segmentation: Segmentation, tmp_path: Path) -> anndata.AnnData:
    path = tmp_path / "a b" / "Niere β.h5ad"
    path.parent.mkdir()
    segmentation.write_h5ad(path)
    assert [file.name for file in path.parent.iterdir()] == ["Niere β.h5ad"]
    return anndata.read_h5ad(path)


# ------------------------------------------------------------------ like a user


def test_read_back_is_what_was_made(segmentation: Segmentation, written: anndata.AnnData) -> None:
    made = segmentation.to_anndata()
    assert (made.X != written.X).nnz == 0
    assert written.X.dtype == np.float32
    # Text comes back as objects, or by pandas 3 as a type of its own.
    pd.testing.assert_frame_equal(made.obs, written.obs, check_dtype=False, check_categorical=False)
    for name in layers_of(written):
        assert (made.layers[name] != written.layers[name]).nnz == 0
    np.testing.assert_array_equal(made.obsm["spatial"], written.obsm["spatial"])
    for name in ("families", "family_edges", "history"):
        pd.testing.assert_frame_equal(made.uns["massgraph"][name], written.uns["massgraph"][name])


def test_pixels_come_back(segmentation: Segmentation, written: anndata.AnnData) -> None:
    before, after = segmentation.spectra, from_anndata(written)
    for name in ("mz", "intensity", "offsets", "coordinates", "run", "axis"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for name in ("polarity", "pixel_size", "pixel_size_unit", "names", "run_names"):
        assert getattr(after, name) == getattr(before, name)


def test_labels_come_back_to_the_letter(
    segmentation: Segmentation, written: anndata.AnnData
) -> None:
    labels = labels_from_obs(written, "massgraph_reference")
    expected = [None if pd.isna(v) else v for v in segmentation.reference]
    assert labels.tolist() == expected
    assert {"NA", "", "髄質 β", "cortex/outer", "elsewhere"} <= set(labels)
    assert list(written.obs["massgraph_label"].cat.categories) == list(CLASSES)
    assert list(written.uns["massgraph"]["classes"]) == list(CLASSES)
    found = labels_from_obs(written, "massgraph_label")
    assert found[EMPTY] is None
    assert found.tolist() == [None if pd.isna(v) else v for v in segmentation.label]


def test_results_by_pixel(segmentation: Segmentation, written: anndata.AnnData) -> None:
    keys = list(written.uns["massgraph"]["class_keys"])
    assert keys == ["cortex_outer_2", "cortex_outer", "NA", "", "髄質 β"]
    columns = [f"massgraph_probability_{key}" for key in keys]
    np.testing.assert_array_equal(written.obs[columns], segmentation.probability)
    np.testing.assert_array_equal(written.obs["massgraph_uncertainty"], segmentation.uncertainty)
    np.testing.assert_array_equal(written.obs["massgraph_training"], segmentation.training)
    np.testing.assert_array_equal(written.obs["massgraph_held_out"], segmentation.validation)
    assert written.obs["massgraph_uncertainty"].iloc[EMPTY] == 1


def test_results_by_ion(segmentation: Segmentation, written: anndata.AnnData) -> None:
    explanation: Any = segmentation.explanation
    ions = explanation.ions
    np.testing.assert_array_equal(written.var["mz"], MZ)
    assert list(written.var_names) == [f"mz_{mz:.4f}" for mz in MZ]
    for name in ("class", "score", "rank", "n_pixels"):
        assert written.var[f"massgraph_{name}"].tolist() == ions[name].tolist()
    assert written.var["massgraph_family"].isna().tolist() == ions["family"].isna().tolist()
    for name, key in zip(CLASSES, written.uns["massgraph"]["class_keys"], strict=True):
        for quantity in ("activation", "intensity"):
            column = written.var[f"massgraph_{quantity}_{key}"]
            np.testing.assert_array_equal(column, ions[f"{quantity}_{name}"])
        layer = written.layers[f"activation_{key}"]
        assert (layer != explanation.activation[name]).nnz == 0
        assert layer.format == "csr"


def test_description(segmentation: Segmentation, written: anndata.AnnData) -> None:
    content = written.uns["massgraph"]
    assert content["schema_version"] == 1
    assert json.loads(content["parameters"]) == {
        "groups": None,
        "hidden": [64, 32],
        "a/b": 0.5,
        "seed": 1,
    }
    assert json.loads(content["versions"]) == segmentation.versions
    np.testing.assert_array_equal(content["intercept"], np.arange(5.0))
    assert content["families"]["adduct"].tolist() == ["[M-H]-", ""]
    assert content["families"]["activation_cortex_outer_2"].tolist() == [0.5, 0.25]
    assert content["family_edges"]["relation"].tolist() == ["C2H2"]
    assert content["history"]["best"].tolist() == [True, False]


# ------------------------------------------------------------------ layouts


def test_the_segmentation_is_not_shared(segmentation: Segmentation) -> None:
    adata = segmentation.to_anndata()
    adata.X.data[:] = 0
    adata.layers["activation_NA"].data[:] = 0
    adata.obsm["spatial"][:] = 0
    assert segmentation.spectra.intensity.min() > 0
    assert segmentation.explanation is not None
    assert np.any(segmentation.explanation.activation["NA"].data)
    assert segmentation.spectra.coordinates is not None
    assert segmentation.spectra.coordinates.min() == 1


def test_without_explanation_or_places(tmp_path: Path) -> None:
    spectra = replace(make_spectra(), coordinates=None, pixel_size=None, polarity=None)
    result = Segmentation.from_probability(spectra, ("a", "b"), np.tile([0.5, 0.5], (N_PIXELS, 1)))
    result.write_h5ad(tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert list(adata.var.columns) == ["mz"]
    assert not adata.obsm
    assert not adata.layers
    assert not {"polarity", "pixel_size", "families", "history"} & set(adata.uns["massgraph"])
    after = read_anndata(tmp_path / "a.h5ad")
    assert after.coordinates is None
    assert after.polarity is None
    assert after.pixel_size is None


def test_ragged_pixels_keep_their_current(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    peaks = [
        (np.sort(MZ * (1 + rng.normal(0, 2e-7, MZ.size))), rng.lognormal(size=MZ.size))
        for _ in range(N_PIXELS)
    ]
    spectra = Spectra.from_peaks(peaks)
    result = Segmentation.from_probability(spectra, ("a",), np.ones((N_PIXELS, 1)))
    adata = result.to_anndata()
    assert adata.shape == (N_PIXELS, MZ.size)
    np.testing.assert_allclose(adata.X.sum(axis=1).A1, spectra.tic(), rtol=1e-6)
    np.testing.assert_allclose(adata.var["mz"], MZ, rtol=1e-6)


def test_peaks_take_the_axis_of_the_explanation(segmentation: Segmentation) -> None:
    spectra = segmentation.spectra
    shifted = replace(spectra, mz=spectra.mz * (1 + 1e-6), axis=None)
    adata = replace(segmentation, spectra=shifted).to_anndata()
    expected = segmentation.to_anndata()
    assert (adata.X != expected.X).nnz == 0


def test_peaks_that_the_model_was_not_shown_are_left_out(segmentation: Segmentation) -> None:
    spectra = replace(segmentation.spectra, axis=None)
    other = Spectra.from_peaks(
        [(np.append(mz, 1500.0), np.append(i, 9)) for mz, i in map(spectra.pixel, range(N_PIXELS))]
    )
    probability = np.tile(np.eye(5)[0], (N_PIXELS, 1))
    result = Segmentation.from_probability(
        other, CLASSES, probability, explanation=segmentation.explanation
    )
    assert (result.to_anndata().X != segmentation.to_anndata().X).nnz == 0
    wide = {"tolerance": 700.0, "tolerance_unit": "Da"}
    adata = replace(result, parameters=wide).to_anndata()
    np.testing.assert_allclose(adata.X.sum(axis=1).A1, other.tic(), rtol=1e-6)


def test_volume_has_three_coordinates(tmp_path: Path) -> None:
    spectra = make_spectra()
    places = np.column_stack([spectra.coordinates, np.arange(N_PIXELS)])
    spectra = replace(spectra, coordinates=places)
    result = Segmentation.from_probability(spectra, ("a",), np.ones((N_PIXELS, 1)))
    result.write_h5ad(tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert adata.obs["z"].tolist() == list(range(N_PIXELS))
    np.testing.assert_array_equal(from_anndata(adata).coordinates, places)


def test_names_of_pixels() -> None:
    names = np.array([f"cell {i}" for i in range(N_PIXELS)])
    spectra = replace(make_spectra(), names=names)
    result = Segmentation.from_probability(spectra, ("a",), np.ones((N_PIXELS, 1)))
    adata = result.to_anndata()
    assert adata.obs_names.tolist() == names.tolist()
    twice = np.array(["cell"] * N_PIXELS)
    result = Segmentation.from_probability(
        replace(spectra, names=twice), ("a",), np.ones((N_PIXELS, 1))
    )
    adata = result.to_anndata()
    assert adata.obs_names.is_unique
    np.testing.assert_array_equal(from_anndata(adata).names, twice)


@pytest.mark.parametrize("name", [("a", "b"), np.arange(3), None, 3.0])
def test_names_that_are_no_text_are_refused(name: Any) -> None:
    """Found by fuzzing: a sequence among the names was numpy's error and not ours."""
    adata = Segmentation.from_probability(
        make_spectra(), ("a",), np.ones((N_PIXELS, 1))
    ).to_anndata()
    names = [f"cell {i}" for i in range(N_PIXELS)]
    adata.obs["name"] = pd.Series([*names[:1], name, *names[2:]], index=adata.obs_names)
    with pytest.raises(AnnDataError, match=r"obs\['name'\] is .* at pixel 1, which is no text"):
        from_anndata(adata)


def test_close_ions_have_longer_names() -> None:
    assert h5ad._ion_names(np.array([760.58511, 760.58513, 800.0])) == [
        "mz_760.58511",
        "mz_760.58513",
        "mz_800.00000",
    ]
    close = np.array([760.0, np.nextafter(760.0, 761)])
    assert len(set(h5ad._ion_names(close))) == 2


# ------------------------------------------------------------------ the enemy


def test_existing_file_is_kept(segmentation: Segmentation, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"a\.h5ad exists already"):
        segmentation.write_h5ad(path)
    assert path.read_text(encoding="utf-8") == "precious"
    segmentation.write_h5ad(path, overwrite=True)
    assert anndata.read_h5ad(path).shape == (N_PIXELS, MZ.size)


def test_failed_write_leaves_the_old_file(
    segmentation: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5ad"
    path.write_text("precious", encoding="utf-8")

    def full(file: Path, _: bytes) -> None:
        file.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"a\.h5ad was not written.*no space left"):
        segmentation.write_h5ad(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5ad"]
    assert path.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("lost", ["layers/activation_NA", "uns/massgraph/families", "X/data"])
def test_what_does_not_read_back_is_not_kept(
    segmentation: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
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


def test_truncated_values_are_noticed(segmentation: Segmentation, tmp_path: Path) -> None:
    path = tmp_path / "a.h5ad"
    segmentation.write_h5ad(path)
    adata = segmentation.to_anndata()
    h5ad._verify(path, adata)
    with h5py.File(path, "a") as file:
        values = file["X/data"][:-1]
        del file["X/data"]
        file["X/data"] = values
    with pytest.raises(OSError, match=r"X\.data did not read back"):
        h5ad._verify(path, adata)


# ------------------------------------------------------------------ other packages


@pytest.mark.filterwarnings("ignore")  # of scanpy itself
def test_scanpy_draws_it(segmentation: Segmentation, tmp_path: Path) -> None:
    sc = pytest.importorskip("scanpy", reason="scanpy is not installed")
    # scanpy names missing labels "NA" and gives up where a class is called so.
    classes = ("cortex/outer", "medulla")
    result = Segmentation.from_probability(
        segmentation.spectra, classes, np.tile([0.3, 0.7], (N_PIXELS, 1))
    )
    result.write_h5ad(tmp_path / "a.h5ad")
    adata = sc.read_h5ad(tmp_path / "a.h5ad")
    axis = sc.pl.embedding(adata, basis="spatial", color="massgraph_label", show=False)
    axis.invert_yaxis()
    sc.pl.embedding(adata, basis="spatial", color="mz_760.5851", show=False)


@pytest.mark.filterwarnings("ignore")  # of squidpy itself
def test_squidpy_draws_it(segmentation: Segmentation, tmp_path: Path) -> None:
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed")
    path = tmp_path / "a.h5ad"
    segmentation.write_h5ad(path)
    adata = anndata.read_h5ad(path)
    sq.pl.spatial_scatter(adata, shape=None, color="massgraph_uncertainty")


# ------------------------------------------------------------------ any result


def test_any_object_with_the_fields_can_be_written(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    """The writer knows no class of results."""
    names = (field.name for field in fields(segmentation))
    stand_in = SimpleNamespace(
        n_pixels=N_PIXELS, **{name: getattr(segmentation, name) for name in names}
    )
    h5ad.write_h5ad(stand_in, tmp_path / "ours.h5ad")
    segmentation.write_h5ad(tmp_path / "theirs.h5ad")
    ours, theirs = (anndata.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("ours", "theirs"))
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    assert (ours.X != theirs.X).nnz == 0


def test_the_readers_and_the_writer_know_nothing_above_them() -> None:
    """In a process of its own, where nothing else has been imported yet."""
    code = (
        "import sys, pkgutil, importlib, massgraph.io as io\n"
        "for module in pkgutil.iter_modules(io.__path__):\n"
        "    importlib.import_module(f'massgraph.io.{module.name}')\n"
        "print(*(name for name in sys.modules if name.startswith(('massgraph.', 'torch'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.removeprefix("massgraph.").split(".")[0] for name in done.stdout.split()}
    assert {"data", "io"} <= rooms <= {"_util", "_version", "data", "io"}
