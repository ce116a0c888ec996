"""Cardinal's objects as spectra, with stand-ins for their classes and accessors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import massgraph as mg
from massgraph.r.session import RError, function
from massgraph.r.values import to_r
from r_door import peak_growth, r, start_r

N_FEATURES, N_PIXELS = 30, 17


@pytest.fixture(autouse=True)
def _r() -> None:
    start_r()


@pytest.fixture
def matrix() -> np.ndarray:
    """Pixels x features, two thirds of it zero."""
    rng = np.random.default_rng(1)
    values = rng.integers(1, 100, size=(N_PIXELS, N_FEATURES)).astype(float)
    values[rng.random(values.shape) < 0.6] = 0
    return values


MZ = np.linspace(200.0, 900.0, N_FEATURES)


def experiment(spectra: Any, mz: np.ndarray = MZ, n: int = N_PIXELS, **more: Any) -> Any:
    arguments = {"x": to_r(np.arange(1.0, n + 1)), "y": to_r(np.ones(n)), **more}
    return r("standInExperiment")(spectra, to_r(mz), **arguments)


def stored(matrix: np.ndarray, form: str) -> Any:
    """The pixels x features matrix as R's features x pixels, in one of its forms."""
    dense = to_r(matrix.T)
    if form == "integer":
        return r("function(m) { storage.mode(m) <- 'integer'; m }")(dense)
    if form == "sparse":
        return r("function(m) as(as(m, 'dgCMatrix'), 'dgCMatrix')")(dense)
    if form == "on disk":
        return r("function(m) new('OnDisk', values = m)")(dense)
    return dense


@pytest.fixture(scope="module", autouse=True)
def _matrix_package() -> None:
    start_r().evalr("suppressWarnings(suppressMessages(requireNamespace('Matrix')))")
    start_r().evalr("suppressMessages(library(Matrix))")


FORMS = ["double", "integer", "sparse", "on disk"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [None, 1, 5, 17, 100])
def test_every_form_gives_the_same_spectra(matrix: np.ndarray, form: str, size: int | None) -> None:
    image = mg.r.open_cardinal(experiment(stored(matrix, form)), pixels_per_block=size)
    expected = mg.Spectra.from_matrix(matrix, MZ)
    found = image.spectra()
    np.testing.assert_array_equal(found.mz, expected.mz)
    np.testing.assert_array_equal(found.intensity, expected.intensity)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.axis, MZ)
    assert image.n_pixels == N_PIXELS
    lengths = [len(block) for block in image.blocks()]
    assert sum(lengths) == N_PIXELS
    assert size is None or max(lengths) <= size


def test_data_on_disk_is_read_block_by_block(matrix: np.ndarray) -> None:
    x = experiment(stored(matrix, "on disk"))
    r("rm(list = ls(asked), envir = asked)")
    blocks = mg.r.open_cardinal(x, pixels_per_block=6).blocks()
    next(blocks)
    assert [list(columns) for columns in r("asked$columns")] == [list(range(1, 7))]
    list(blocks)
    assert [len(columns) for columns in r("asked$columns")] == [6, 6, 5]


def test_a_dense_matrix_is_not_copied() -> None:
    values = r("m <- matrix(0, 500, 50000); m[seq(1, length(m), 50)] <- 1; m")  # 200 MB
    x = experiment(values, np.linspace(100, 1000, 500), n=50000)
    image = mg.r.open_cardinal(x, pixels_per_block=500)
    first, growth = peak_growth(lambda: next(image.blocks()))
    assert len(first) == 500
    assert first.n_peaks == 5000
    assert growth < 10


def test_pixels_carry_coordinates_runs_and_names(matrix: np.ndarray) -> None:
    runs = r("factor(rep(c('b', 'a'), c(9, 8)), levels = c('a', 'b', 'unused'))")
    names = to_r(np.array([f"p{i % 3}" for i in range(N_PIXELS)], dtype=object))
    x = experiment(stored(matrix, "double"), run=runs, names=names)
    spectra = mg.r.to_spectra(x, polarity="negative")
    assert spectra.run.tolist() == ["b"] * 9 + ["a"] * 8
    np.testing.assert_array_equal(spectra.coordinates[:, 0], np.arange(1, N_PIXELS + 1))
    assert spectra.names.tolist() == [f"p{i % 3}" for i in range(N_PIXELS)]
    assert spectra.polarity == "negative"
    bare = mg.r.to_spectra(experiment(stored(matrix, "double")))
    assert bare.names is None
    assert bare.polarity is None


def ragged(matrix: np.ndarray) -> Any:
    mz = [MZ[row > 0] for row in matrix]
    intensity = [row[row > 0] for row in matrix]
    place = np.arange(1.0, len(matrix) + 1)
    return r("standInArrays")(to_r(mz), to_r(intensity), to_r(place), to_r(place))


@pytest.mark.parametrize("size", [None, 1, 4])
def test_ragged_spectra_are_the_aligned_ones_without_axis(
    matrix: np.ndarray, size: int | None
) -> None:
    matrix[3] = 0  # a pixel without peaks
    image = mg.r.open_cardinal(ragged(matrix), pixels_per_block=size)
    found, expected = image.spectra(), mg.Spectra.from_matrix(matrix, MZ)
    np.testing.assert_array_equal(found.mz, expected.mz)
    np.testing.assert_array_equal(found.intensity, expected.intensity)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    assert found.axis is None
    assert image.axis is None


def test_blocks_do_not_change_a_prediction() -> None:
    spectra, labels = mg.simulate("tiny", random_state=0)
    clf = mg.RGCNClassifier(epochs=2, hidden=(8,), augment=0).fit(spectra, labels)
    matrix, mz = spectra.to_matrix()
    dense = np.asarray(matrix.todense(), dtype=float)
    whole = clf.predict_proba(mg.Spectra.from_matrix(dense, mz))
    x = experiment(to_r(dense.T), mz, n=len(dense))
    image = mg.r.open_cardinal(x, pixels_per_block=23)
    np.testing.assert_allclose(clf.predict_proba(image), whole, atol=1e-6)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("place", "value"), [((13, 4), np.nan), ((13, 4), np.inf), ((0, 0), np.nan)]
)
@pytest.mark.parametrize("size", [None, 5])
def test_values_that_are_not_finite_are_refused_with_their_pixel(
    matrix: np.ndarray, place: tuple[int, int], value: float, size: int | None
) -> None:
    matrix[place] = value
    image = mg.r.open_cardinal(experiment(stored(matrix, "double")), pixels_per_block=size)
    with pytest.raises(ValueError, match=rf"^pixel {place[0]}: intensity"):
        image.spectra()


@pytest.mark.parametrize("form", ["double", "sparse", "on disk"])
@pytest.mark.parametrize("size", [None, 5])
def test_54_pixels_that_are_missing_throughout_have_no_peaks(
    matrix: np.ndarray, form: str, size: int | None
) -> None:
    dense = matrix.copy()
    dense[[0, 13]] = 0
    matrix[[0, 13]] = np.nan
    image = mg.r.open_cardinal(experiment(stored(matrix, form)), pixels_per_block=size)
    found = image.spectra()
    wanted = mg.r.open_cardinal(experiment(stored(dense, form))).spectra()
    assert found.fingerprint() == wanted.fingerprint()
    assert found.peak_counts[[0, 13]].tolist() == [0, 0]


def test_missing_integers_are_refused(matrix: np.ndarray) -> None:
    x = r("function(m) { storage.mode(m) <- 'integer'; m[2, 8] <- NA; m }")(to_r(matrix.T))
    with pytest.raises(ValueError, match=r"^pixel 7: intensity nan"):
        mg.r.to_spectra(experiment(x))


@pytest.mark.parametrize(
    ("mz", "message"),
    [
        (np.where(np.arange(N_FEATURES) == 4, np.nan, MZ), "feature 5 has the m/z nan"),
        (MZ[::-1].copy(), "does not ascend"),
        (MZ[:-1], "30 columns but mz has shape"),
    ],
)
def test_features_that_cannot_be_used(matrix: np.ndarray, mz: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.r.to_spectra(experiment(stored(matrix, "double"), mz))


def test_features_without_mz(matrix: np.ndarray) -> None:
    x = experiment(stored(matrix, "double"))
    r("function(x) { x@features <- list(); assign('bare', x, globalenv()) }")(x)
    with pytest.raises(ValueError, match="features have no m/z"):
        mg.r.to_spectra(r("bare"))


def test_a_pixel_without_a_run_is_named(matrix: np.ndarray) -> None:
    runs = r("factor(c(rep('a', 5), NA, rep('b', 11)))")
    with pytest.raises(mg.InputError, match=r"^pixel 5: has no run"):
        mg.r.to_spectra(experiment(stored(matrix, "double"), run=runs))


@pytest.mark.parametrize("code", ["1:3", "list()", "data.frame(a = 1)", "NULL"])
def test_other_classes_are_refused_by_name(code: str) -> None:
    with pytest.raises(TypeError, match="neither an MSImagingExperiment"):
        mg.r.open_cardinal(r(code))


def test_pixels_per_block_must_be_one_or_more(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels_per_block 0"):
        mg.r.open_cardinal(experiment(stored(matrix, "double")), pixels_per_block=0)


# ---------------------------------------------------------------- files and results


def test_read_rds_gives_spectra_and_labels(matrix: np.ndarray, tmp_path: Path) -> None:
    columns = r("list(diagnosis = factor(rep(c('t', NA, 'n'), c(5, 4, 8))), flag = 1:17 > 9)")
    x = experiment(stored(matrix, "sparse"), columns=columns)
    path = tmp_path / "a file.rds"
    mg.r.write_rds(x, path)
    spectra, labels = mg.r.read_rds(path, labels="diagnosis")
    assert spectra.fingerprint() == mg.r.read_rds(path).fingerprint()
    assert list(labels.categories) == ["n", "t"]
    assert labels.isna().tolist() == [False] * 5 + [True] * 4 + [False] * 8
    flags = mg.r.read_rds(path, labels="flag")[1]
    assert flags.tolist() == ["False"] * 9 + ["True"] * 8
    with pytest.raises(KeyError, match=r"no column 'grade'.*diagnosis"):
        mg.r.read_rds(path, labels="grade")


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        mg.r.read_rds(tmp_path / "absent.rds")
    (tmp_path / "bad.rds").write_bytes(b"not an R file")
    with pytest.raises(RError, match=r"bad\.rds is no file of saveRDS"):
        mg.r.load_rds(tmp_path / "bad.rds")
    (tmp_path / "old.rds").write_text("mine")
    with pytest.raises(FileExistsError, match="exists"):
        mg.r.write_rds(to_r(1), tmp_path / "old.rds")
    assert (tmp_path / "old.rds").read_text() == "mine"
    mg.r.write_rds(to_r(1), tmp_path / "old.rds", overwrite=True)
    assert mg.r.load_rds(tmp_path / "old.rds")[0] == 1


def test_anndata_of_an_image(matrix: np.ndarray) -> None:
    columns = r("list(diagnosis = factor(rep(c('t', NA), c(5, 12))))")
    adata = mg.r.to_anndata(
        experiment(stored(matrix, "double"), columns=columns), polarity="positive"
    )
    assert sp.issparse(adata.X)
    np.testing.assert_allclose(adata.X.toarray(), matrix, rtol=1e-6)
    assert adata.obs["diagnosis"].isna().sum() == 12
    spectra = mg.from_anndata(adata)
    assert spectra.polarity == "positive"
    np.testing.assert_array_equal(spectra.axis, MZ)


def test_a_result_needs_the_r_package(matrix: np.ndarray) -> None:
    spectra, labels = mg.simulate("tiny", random_state=0)
    clf = mg.RGCNClassifier(epochs=1, hidden=(4,), augment=0).fit(spectra, labels)
    with pytest.raises(ImportError, match="R package massgraph is not installed"):
        mg.r.to_cardinal(clf.segment(spectra))
    with pytest.raises(ValueError, match="no explanation"):
        mg.r.to_cardinal(clf.segment(spectra, explain=False))


def test_functions_of_r_are_found_on_its_search_path() -> None:
    assert function("paste0")("a", "b")[0] == "ab"
