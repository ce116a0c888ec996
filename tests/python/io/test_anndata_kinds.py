"""AnnData as people have it: m/z, places, runs and values in other places than one expects."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import massgraph as mg
from massgraph.io import anndata as reader
from massgraph.io.anndata import AnnDataError, from_anndata, read_anndata

SIDE = 10
PLACES = np.array([[x, y] for y in range(1, SIDE + 1) for x in range(1, SIDE + 1)], dtype=float)
N = len(PLACES)
MZ = np.round(496.3398 + 14.01565 * np.arange(12) + 0.0127 * np.arange(12) ** 2, 4)
NAMES = [f"mz_{mz:.4f}" for mz in MZ]


def peaks(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((N, MZ.size)) < 0.7, rng.lognormal(6, 1, (N, MZ.size)), 0).astype(
        "f4"
    )


X = peaks()


def make(matrix: Any = X, mz: Any = MZ, **parts: Any) -> anndata.AnnData:
    options: dict[str, Any] = {
        "obs": pd.DataFrame(index=[f"p{i}" for i in range(matrix.shape[0])]),
        "var": pd.DataFrame({"mz": mz}, index=NAMES[: len(mz)]),
        "obsm": {"spatial": np.tile(PLACES, (matrix.shape[0] // N, 1))},
    }
    return anndata.AnnData(matrix, **{**options, **parts})


EXPECTED = from_anndata(make())


def n_said(caught: Any) -> int:
    """Warnings for users; anndata 0.13 calls pandas 3 in a way that makes others."""
    return sum(one.category is UserWarning for one in caught)


def quietly(adata: anndata.AnnData, **options: Any) -> mg.Spectra:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_anndata(adata, **options)


def same(found: mg.Spectra, *, places: bool = True) -> bool:
    names = ("mz", "intensity", "offsets", "axis", *(["coordinates"] if places else []))
    return all(np.array_equal(getattr(found, name), getattr(EXPECTED, name)) for name in names)


# ------------------------------------------------------------------ m/z


@pytest.mark.parametrize("column", ["m/z", "MZ", "m_z", "mz_value", "theoretical_mz", "mzs"])
def test_mz_in_a_column_of_another_spelling(column: str) -> None:
    adata = make()
    adata.var[column] = adata.var.pop("mz")
    adata.var["charge"] = 1
    assert same(quietly(adata))


def test_two_columns_that_may_be_the_mz() -> None:
    adata = make()
    adata.var["m/z"] = adata.var["mz_value"] = adata.var.pop("mz")
    with pytest.raises(AnnDataError, match=r"no column 'mz'; name the one .* mz=: \['m/z', 'mz_v"):
        from_anndata(adata)
    assert same(quietly(adata, mz="m/z"))


@pytest.mark.parametrize("name", ["mz_{}", "{}", "m/z {}", "X{}", "{} Da", "mass:{}"])
def test_mz_in_the_names_of_the_columns(name: str) -> None:
    adata = make(var=pd.DataFrame(index=[name.format(mz) for mz in MZ]))
    with pytest.warns(UserWarning, match="no column 'mz': m/z were read from var_names") as caught:
        assert same(from_anndata(adata))
    assert n_said(caught) == 1
    assert same(quietly(adata, mz="var_names"))


@pytest.mark.parametrize(
    "names", [[str(i) for i in range(12)], [f"PC 3{i}:1" for i in range(12)], ["5.5"] * 11 + ["a"]]
)
def test_names_that_are_no_mz(names: list[str]) -> None:
    """Numbers that count the columns are no m/z."""
    adata = make()
    adata.var = pd.DataFrame(index=pd.Index(names, dtype=object))
    adata.var_names_make_unique()
    with pytest.raises(AnnDataError, match="no column 'mz', nor any other: add one with the m/z"):
        from_anndata(adata)


def test_mz_as_text_or_categories() -> None:
    for values in ([str(mz) for mz in MZ], [str(mz).replace(".", ",") for mz in MZ], NAMES):
        for convert in (list, pd.Categorical):
            with pytest.warns(UserWarning, match=r"var\['mz'\] is text, such as .*: it was read"):
                assert same(from_anndata(make(mz=convert(values))))
    assert same(quietly(make(mz=pd.Categorical(MZ))))
    adata = make(mz=[str(MZ[0]), "high", *map(str, MZ[2:])])
    with (
        pytest.raises(AnnDataError, match=r"'high' for 'mz_510.*', which is no m/z: name another"),
        pytest.warns(UserWarning, match="is text"),
    ):
        from_anndata(adata)


def test_a_table_whose_first_columns_are_places() -> None:
    """As a CSV file of pixels becomes an object: x and y among the ions."""
    table = np.column_stack([PLACES, X])
    adata = anndata.AnnData(table, var=pd.DataFrame(index=["x", "y", *map(str, MZ)]))
    with pytest.raises(AnnDataError, match=r"var_names are m/z, but for \['x', 'y'\]: take those"):
        from_anndata(adata)


def test_bytes_are_text() -> None:
    """As some writers in R leave them."""
    adata = make(mz=pd.Categorical([str(mz).encode() for mz in MZ]))
    adata.obs["tissue"] = pd.Categorical([b"t\xc3\xbc", b"stroma"] * (N // 2))
    with pytest.warns(UserWarning, match="is text"):
        assert same(from_anndata(adata))
    assert reader.labels_from_obs(adata, "tissue")[:2].tolist() == ["tü", "stroma"]


@pytest.mark.parametrize(
    ("mz", "message"),
    [
        (MZ * 1000, r"runs from 496340 to .*: are these mDa\? Divide them by 1000"),
        (MZ / 1000, r"runs from 0\.49634 to .*: are these kDa\?"),
        (np.arange(1, 13), "runs from 1 to 12 in steps of 1 and counts the columns"),
    ],
)
def test_mz_in_other_units(mz: Any, message: str) -> None:
    with pytest.raises(AnnDataError, match=message):
        from_anndata(make(mz=mz))


def test_rounded_mz() -> None:
    with pytest.warns(UserWarning, match=r"rounded to whole .* up to \d{3} ppm: var_names have"):
        found = from_anndata(make(mz=MZ.round()))
    assert found.axis.tolist() == MZ.round().tolist()
    var = pd.DataFrame({"mz": MZ.round(2)}, index=[f"lipid {i}" for i in range(12)])
    with pytest.warns(UserWarning, match="rounded to 2 decimals, .* up to 9 ppm: mass differences"):
        from_anndata(make(var=var))
    quietly(make(mz=MZ.round(3)))


def test_a_transposed_object() -> None:
    with pytest.raises(AnnDataError, match=r"obs, and not var, has the m/z .*transpose.* adata\.T"):
        from_anndata(anndata.AnnData(make().X.T, obs=make().var, var=make().obs))


def test_columns_in_any_order_give_the_same_pixels() -> None:
    order = np.random.default_rng(1).permutation(MZ.size)
    adata = make()[:, order]
    with pytest.warns(UserWarning, match="does not ascend"):
        assert same(from_anndata(adata))


# ------------------------------------------------------------------ one ion, several columns


def test_an_ion_that_was_annotated_twice_is_one_ion() -> None:
    """As METASPACE has isomers, and an adduct of one formula for another of the next."""
    twice = np.column_stack([X, X[:, [0, 3, 5]]])
    mz = np.concatenate([MZ, [MZ[0], MZ[3] * (1 + 3e-6), MZ[5] * (1 + 1e-12)]])
    names = [*NAMES, "isomer", "isobar", "rounding"]
    adata = make(twice, var=pd.DataFrame({"mz": mz}, index=names))
    for column in "xy":
        adata.obs[f"ion_image_pixel_{column}"] = PLACES[:, "xy".index(column)]
    with pytest.warns(
        UserWarning, match=r"3 columns hold the same values .*'isomer' as 'mz_496\.3"
    ) as w:
        found = from_anndata(adata)
    assert n_said(w) == 1
    assert same(found)
    assert same(from_sparse_twice(twice, mz, names))


def from_sparse_twice(matrix: Any, mz: Any, names: list[str]) -> mg.Spectra:
    adata = make(sp.csc_matrix(matrix), var=pd.DataFrame({"mz": mz}, index=names))
    with pytest.warns(UserWarning, match="does not ascend|hold the same values"):
        return from_anndata(adata)


def test_other_values_at_one_mz_are_added_up() -> None:
    """As the mobilities of an ion are."""
    split = np.insert(X, 3, 0.25 * X[:, 2], axis=1)
    split[:, 2] *= 0.75
    split[4, 3] += 0.5  # else it would be the same image, but for a factor
    names = [*NAMES[:3], "slow", *NAMES[3:]]
    adata = make(split, var=pd.DataFrame({"mz": np.insert(MZ, 3, MZ[2])}, index=names))
    with pytest.warns(UserWarning, match=r"1 column has the m/z of another .*'slow' as 'mz_524"):
        found = from_anndata(adata)
    assert found.axis.tolist() == MZ.tolist()
    expected = X.sum(axis=1, dtype=np.float64)
    expected[4] += 0.5
    np.testing.assert_allclose(found.tic(), expected, rtol=1e-6)


def test_near_ions_with_other_values_stay_two() -> None:
    mz = MZ.copy()
    mz[1] = mz[0] * (1 + 3e-6)
    assert quietly(make(mz=mz)).axis.size == MZ.size


# ------------------------------------------------------------------ places


@pytest.mark.parametrize(
    "columns", [("array_col", "array_row"), ("X", "Y"), ("pixel_x", "pixel_y"), ("col", "row")]
)
def test_places_in_columns_that_others_write(columns: tuple[str, str]) -> None:
    adata = make(obsm={})
    for column, values in zip(columns, PLACES.T, strict=True):
        adata.obs[column] = values
    assert same(quietly(adata))


@pytest.mark.parametrize("key", ["X_spatial", "Spatial", "spatial_um"])
def test_places_under_another_key(key: str) -> None:
    assert same(quietly(make(obsm={key: PLACES, "X_pca": PLACES[:, ::-1]})))


def test_columns_of_ones_choice() -> None:
    adata = make(obsm={})
    adata.obs["right"], adata.obs["down"] = PLACES.T
    with pytest.raises(
        AnnDataError, match=r"no 'spatial': name two columns of obs, .* coordinates=, of \['right"
    ):
        from_anndata(adata)
    assert same(quietly(adata, coordinates=["right", "down"]))
    assert same(quietly(adata, coordinates="right, down"))
    with pytest.raises(AnnDataError, match="obs has no column 'up': name two columns, x first"):
        from_anndata(adata, coordinates=("right", "up"))
    with pytest.raises(AnnDataError, match=r"obs\[\['right'\]\] is no \(x, y\)"):
        from_anndata(adata, coordinates=["right"])


def test_no_places_at_all() -> None:
    with pytest.raises(AnnDataError, match="no 'spatial': say coordinates=None for pixels without"):
        from_anndata(make(obsm={}))
    assert same(quietly(make(obsm={}), coordinates=None), places=False)


def test_places_as_text() -> None:
    adata = make(obsm={})
    adata.obs["x"] = pd.Categorical([str(x) for x in PLACES[:, 0]])
    adata.obs["y"] = [str(y) for y in PLACES[:, 1]]
    assert same(quietly(adata))


def test_micrometres_stay_and_have_the_same_neighbours_and_groups() -> None:
    from massgraph.data.neighbours import neighbour_pairs

    found = quietly(make(obsm={"spatial": PLACES * 50 + 1234.5}))
    np.testing.assert_array_equal(found.coordinates, PLACES * 50 + 1234.5)
    np.testing.assert_array_equal(neighbour_pairs(found), neighbour_pairs(EXPECTED))
    np.testing.assert_array_equal(
        mg.splits.default_groups(found), mg.splits.default_groups(EXPECTED)
    )


@pytest.mark.parametrize("degrees", [7.0, -30.0, 44.0])
@pytest.mark.parametrize("pixel", [(37.3, 37.3), (20.0, 30.0)])
def test_a_turned_raster_is_counted(degrees: float, pixel: tuple[float, float]) -> None:
    """As METASPACE places pixels on an optical image: along x and y nobody has a neighbour."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = PLACES * pixel @ turn + 5000
    with pytest.warns(
        UserWarning, match=rf"is a raster turned by {degrees:.1f} degrees, .* from 1"
    ):
        found = from_anndata(make(obsm={"spatial": turned}))
    assert same(found)


def test_cells_are_no_raster() -> None:
    places = np.random.default_rng(0).uniform(0, 500, (N, 2))
    found = quietly(make(obsm={"spatial": places}))
    np.testing.assert_array_equal(found.coordinates, places)


# ------------------------------------------------------------------ runs


def joined(**columns: Any) -> anndata.AnnData:
    adata = make(np.vstack([X, peaks(1)]))
    for name, values in columns.items():
        adata.obs[name] = values
    return adata


SAMPLE = np.repeat(["s1", "s2"], N)


def test_two_samples_at_the_same_places_are_parted_by_a_column() -> None:
    adata = joined(
        age=np.repeat([61.0, 58.0], N),
        library_id=pd.Categorical(SAMPLE),
        tissue=np.tile(["a", "b"], N),
        pixel=np.arange(2 * N).astype(str),
        sample=SAMPLE,
    )
    message = (
        r"100 pixels lie where another of their run does \(the first 'p100', where 'p0' is: 1, 1\)"
        r": obs\['sample'\] tells them apart \(so does 'library_id'\), say run='sample'"
    )
    with pytest.raises(AnnDataError, match=message):
        from_anndata(adata)
    found = quietly(adata, run="sample")
    assert found.run_names == ("s1", "s2")
    assert found.n_pixels == 2 * N


def test_two_samples_that_no_column_parts() -> None:
    with pytest.raises(AnnDataError, match=r"no column of obs tells them apart: .*label='run'"):
        from_anndata(joined(tissue=np.tile(["a", "b"], N)))
    with pytest.raises(AnnDataError, match=r"lie where another .* say run='batch'"):
        from_anndata(joined(run="one", batch=SAMPLE))
    assert quietly(joined(), coordinates=None).n_pixels == 2 * N


def test_three_coordinates_part_sections() -> None:
    places = np.column_stack([np.tile(PLACES, (2, 1)), np.repeat([1, 2], N)])
    adata = joined()
    adata.obsm["spatial"] = places
    assert quietly(adata).n_pixels == 2 * N


def test_a_column_called_run_that_counts_rows() -> None:
    adata = make()
    adata.obs["run"] = (PLACES[:, 1] - 1).astype(int)
    with pytest.warns(UserWarning, match="each of the 10 runs is a single row of pixels.*run=None"):
        assert len(from_anndata(adata).run_names) == 10
    assert quietly(adata, run=None).run_names == ("run0",)
    quietly(adata, run="run")  # who names it means it


def test_runs_of_a_file_are_called_after_it(tmp_path: Path) -> None:
    make().write_h5ad(tmp_path / "slide A.v2.h5ad")
    assert read_anndata(tmp_path / "slide A.v2.h5ad").run_names == ("slide A.v2",)
    adata = make()
    adata.obs["run"] = "one"
    adata.write_h5ad(tmp_path / "b.h5ad")
    assert read_anndata(tmp_path / "b.h5ad").run_names == ("one",)
    assert read_anndata(tmp_path / "b.h5ad", run=None).run_names == ("b",)


# ------------------------------------------------------------------ values


def test_logarithms() -> None:
    adata = make(np.log1p(X), uns={"log1p": {"base": None}})
    with pytest.warns(UserWarning, match=r"X holds logarithms, as uns\['log1p'\] says") as caught:
        from_anndata(adata)
    assert n_said(caught) == 1
    adata.layers["counts"] = X
    with pytest.warns(UserWarning, match=r"or name the layer .* by layer=, of \['counts'\]"):
        from_anndata(adata)
    assert same(quietly(adata, layer="counts"))
    # A note that outlives the logarithms, or is of those of a layer.
    assert same(quietly(make(uns={"log1p": {}})))
    quietly(make(np.minimum(X, 20).round(), uns={"log1p": {"base": None}}))


def test_standardised_values() -> None:
    adata = make((X - X.mean(axis=0)) / X.std(axis=0))
    with pytest.warns(
        UserWarning, match=r"\d+ negative intensities .*; X is negative in \d\d%"
    ) as w:
        from_anndata(adata)
    assert n_said(w) == 1


def test_ions_that_were_scaled_one_by_one() -> None:
    with pytest.warns(UserWarning, match="X has the same maximum, 1, in all columns") as caught:
        from_anndata(make(X / X.max(axis=0)))
    assert n_said(caught) == 1
    quietly(make(X / X.max()))
    quietly(make(X / X.sum(axis=1, keepdims=True)))


def test_present_and_absent() -> None:
    with pytest.warns(UserWarning, match="X holds only 0 and 1, where intensities are expected"):
        from_anndata(make((X > 0).astype("f4")))


def test_values_are_not_changed_in_place() -> None:
    matrix = sp.csr_matrix(X)
    matrix.data[3] = -5
    before = matrix.copy()
    with pytest.warns(UserWarning, match="1 negative intensities were treated as absent peaks$"):
        from_anndata(make(matrix))
    assert (matrix != before).nnz == 0


def test_ions_that_are_missing_in_one_of_the_joined() -> None:
    matrix = np.vstack([X, peaks(1)])
    matrix[N:, 5:8] = np.nan
    adata = joined(sample=SAMPLE)
    adata.X = matrix
    with pytest.raises(
        AnnDataError, match=r"and at 299 more places: .*concat\(\.\.\., fill_value=0"
    ):
        from_anndata(adata, run="sample")


@pytest.mark.parametrize("word", ["positive", "Positive", "POS", "+", "positive mode"])
def test_polarity_at_the_top_of_uns(word: str) -> None:
    assert quietly(make(uns={"polarity": word})).polarity == "positive"


def test_pixels_of_both_polarities() -> None:
    adata = joined(sample=SAMPLE, polarity=np.repeat(["Positive", "Negative"], N))
    with pytest.raises(AnnDataError, match=r"both polarities: .*obs\['polarity'\] == 'Positive'"):
        from_anndata(adata, run="sample")
    assert quietly(adata[adata.obs["polarity"] == "Positive"]).polarity == "positive"


def test_no_matrix_and_no_layer() -> None:
    adata = make()
    adata.raw = adata.copy()
    adata.X = None
    with pytest.raises(
        AnnDataError, match=r"no layers: .*holds no intensities; that of raw can be"
    ):
        from_anndata(adata)


def test_a_polarity_of_something_else() -> None:
    adata = make()
    adata.obs["polarity"] = "apical"
    assert quietly(adata).polarity is None


# ------------------------------------------------------------------ anndata 0.13


class Layers(dict[Any, Any]):
    """The layers of anndata 0.13: X is among them, under the name None."""

    def __iter__(self) -> Any:
        yield None
        yield from super().__iter__()


class Newer:
    """An object of anndata 0.13, for those who have an older one."""

    def __init__(self, adata: anndata.AnnData, matrix: Any) -> None:
        self._adata, self.X = adata, matrix
        self.layers = Layers(counts=X)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adata, name)


def test_x_among_the_layers() -> None:
    assert sorted(reader.layers_of(Newer(make(), X))) == ["counts"]  # type: ignore[arg-type]
    with pytest.raises(AnnDataError, match=r"X is None: name a layer by layer=, of \['counts'\]"):
        from_anndata(Newer(make(), None))  # type: ignore[arg-type]
    with pytest.raises(AnnDataError, match=r"no layer 'raw'; there are \['counts'\]"):
        from_anndata(Newer(make(), X), layer="raw")  # type: ignore[arg-type]
    assert same(from_anndata(Newer(make(), None), layer="counts"))  # type: ignore[arg-type]


# ------------------------------------------------------------------ no false alarms


def test_good_objects_are_read_without_a_word() -> None:
    assert same(quietly(make()))
    assert same(quietly(make(sp.csr_matrix(X))))
    assert same(quietly(make(X.astype("f8"))))
    adata = make()
    adata.obs["run"] = np.where(PLACES[:, 0] < 6, "left", "right")
    adata.obs["sample"] = np.tile(["a", "b"], N // 2)
    assert same(quietly(adata))
    for name in ("tiny", "small"):
        spectra, labels = mg.simulate(name, n_runs=2)
        matrix, axis = spectra.to_matrix()
        obs = pd.DataFrame({"run": spectra.run, "tissue": labels}).set_index(
            np.arange(len(labels)).astype(str)
        )
        made = anndata.AnnData(
            matrix,
            obs=obs,
            var=pd.DataFrame({"mz": axis}, index=[f"{mz:.4f}" for mz in axis]),
            obsm={"spatial": spectra.coordinates},
        )
        assert quietly(made).n_peaks == matrix.nnz
