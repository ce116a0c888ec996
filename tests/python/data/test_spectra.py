"""Spectra: what it takes, what it refuses, and what choosing and joining pixels leaves alone."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import _safe_indexing

from massgraph.data.ranks import rank_in_pixels
from massgraph.data.rasters import FileRaster
from massgraph.data.spectra import Spectra
from spectra_builder import random_spectra

AXIS = np.array([100.0, 200.5, 300.25, 400.125])
DENSE = np.array([[1, 0, 2, 0], [0, 0, 0, 0], [0, 3, 0, 4], [5, 6, 7, 8]], dtype=np.float32)


def build(**changes: Any) -> Spectra:
    """Three pixels, of two, none and three peaks."""
    fields: dict[str, Any] = {
        "mz": np.array([100.0, 200.0, 150.0, 150.0, 300.0]),
        "intensity": np.array([1, 2, 3, 4, 5], dtype=np.float32),
        "offsets": np.array([0, 2, 2, 5]),
    }
    return Spectra(**{**fields, **changes})


def full() -> Spectra:
    """Four pixels of two runs with all that a pixel can have."""
    return Spectra.from_matrix(
        DENSE,
        AXIS,
        coordinates=[[0, 0], [1, 0], [0, 0], [1, 0]],
        run=["b", "b", "a", "a"],
        names=["p0", "p1", "p2", "p3"],
        polarity="negative",
        pixel_size=(10.0, 20.0),
    )


def assert_same(one: Spectra, other: Spectra) -> None:
    assert one.fingerprint() == other.fingerprint()
    assert one.run.tolist() == other.run.tolist()
    for field in ("coordinates", "names", "axis"):
        a, b = getattr(one, field), getattr(other, field)
        assert (a is None) == (b is None), field
        if a is not None:
            np.testing.assert_array_equal(a, b)
    assert (one.polarity, one.pixel_size) == (other.polarity, other.pixel_size)


# -------------------------------------------------------------------- as a user


def test_looking_at_pixels() -> None:
    spectra = full()
    assert (len(spectra), spectra.n_pixels, spectra.n_peaks, spectra.shape) == (4, 4, 8, (4,))
    assert spectra.peak_counts.tolist() == [2, 0, 2, 4]
    assert spectra.pixel_of_peak.tolist() == [0, 0, 2, 2, 3, 3, 3, 3]
    assert spectra.run.tolist() == ["b", "b", "a", "a"]
    assert spectra.run_names == ("b", "a")  # in order of appearance
    assert spectra.tic().tolist() == [3, 0, 7, 26]
    mz, intensity = spectra.pixel(2)
    assert mz.tolist() == [200.5, 400.125]
    assert intensity.tolist() == [3, 4]
    assert np.shares_memory(mz, spectra.mz)
    assert [one.n_peaks for one in spectra] == [2, 0, 2, 4]


def test_types_are_those_of_the_design() -> None:
    spectra = Spectra(mz=[100, 200], intensity=[1, 2], offsets=[0, 2], names=["a"])
    assert (spectra.mz.dtype, spectra.intensity.dtype) == (np.float64, np.float32)
    assert (spectra.offsets.dtype, spectra.run_codes.dtype) == (np.int64, np.int32)
    assert spectra.names is not None
    assert spectra.names.dtype.kind == "U"
    assert spectra.tic().dtype == np.float64
    assert spectra[:0].tic().dtype == np.float64


def test_arrays_of_the_right_type_are_not_copied() -> None:
    mz, intensity = np.array([1.0, 2.0]), np.array([1, 2], dtype=np.float32)
    spectra = Spectra(mz=mz, intensity=intensity, offsets=np.array([0, 2]))
    assert spectra.mz is mz
    assert spectra.intensity is intensity


def test_pixel_counts_from_the_end_and_refuses_others() -> None:
    spectra = full()
    assert spectra.pixel(-1)[1].tolist() == [5, 6, 7, 8]
    for index in (4, -5):
        with pytest.raises(IndexError):
            spectra.pixel(index)


def test_repr_names_pixels_peaks_runs_and_polarity() -> None:
    assert repr(full()) == (
        "Spectra(4 pixels, 8 peaks, m/z 100.0000-400.1250, 2 runs, polarity negative)"
    )
    assert "1 run, polarity negative" in repr(full()[:2])
    assert repr(Spectra.from_peaks([])) == "Spectra(0 pixels, 0 peaks, 0 runs, polarity unknown)"


def test_fingerprint_tells_peaks_apart() -> None:
    spectra = build()
    prints = {
        spectra.fingerprint(),
        build(intensity=np.array([1, 2, 3, 4, 6], dtype=np.float32)).fingerprint(),
        build(mz=np.array([100.0, 200.0, 150.0, 150.0, 300.0 + 1e-12 * 300])).fingerprint(),
        build(offsets=np.array([0, 2, 5, 5])).fingerprint(),
    }
    assert len(prints) == 4
    assert spectra.fingerprint() == build(polarity="positive").fingerprint()


def test_spectra_can_be_pickled_for_workers() -> None:
    assert_same(pickle.loads(pickle.dumps(full())), full())


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    spectra = full().normalize().top_peaks(1)[::-1]
    spectra.to_matrix()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# -------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mz": np.zeros((5, 1)) + 1}, r"shapes \(5, 1\) and \(5,\)"),
        ({"mz": np.ones(4)}, r"shapes \(4,\) and \(5,\)"),
        ({"offsets": np.array([1, 2, 5])}, "from 0 to the number of peaks, 5"),
        ({"offsets": np.array([0, 2, 4])}, "from 0 to the number of peaks, 5"),
        ({"offsets": np.array([], dtype=int)}, "from 0 to the number of peaks, 5"),
        ({"offsets": np.array([[0, 5]])}, "from 0 to the number of peaks, 5"),
        ({"offsets": np.array([0, 3, 2, 5])}, "offsets fall at pixel 1"),
        ({"mz": np.array([1, np.nan, 1, 2, 3])}, "pixel 0: mz nan is not finite"),
        ({"mz": np.array([1, 2, 1, 2, np.inf])}, "pixel 2: mz inf is not finite"),
        ({"mz": np.array([1, 2, 0, 2, 3])}, "pixel 2: mz 0.0 is not finite and above zero"),
        ({"mz": np.array([-1, 2, 1, 2, 3])}, "pixel 0: mz -1.0 is not"),
        ({"intensity": np.array([1, 2, np.nan, 1, 1])}, "pixel 2: intensity nan is not"),
        ({"intensity": np.array([1, 0, 1, 1, 1])}, "pixel 0: intensity 0.0 is not"),
        ({"intensity": np.array([1, 1, 1, 1, -2])}, "pixel 2: intensity -2.0 is not"),
        ({"intensity": np.array([1, 1, 1, np.inf, 1])}, "pixel 2: intensity inf is not"),
        ({"mz": np.array([2, 1, 1, 2, 3])}, r"pixel 0: m/z do not ascend \(1.0 after 2.0\)"),
        ({"mz": np.array([1, 2, 3, 5, 4])}, r"pixel 2: m/z do not ascend \(4.0 after 5.0\)"),
        ({"coordinates": np.zeros((2, 2))}, r"shape \(2, 2\), need \(3, 2\) or \(3, 3\)"),
        ({"coordinates": np.zeros((3, 4))}, r"shape \(3, 4\)"),
        ({"coordinates": np.zeros(3)}, r"shape \(3,\)"),
        ({"coordinates": np.array([[0, 0], [0, np.nan], [1, 1]])}, r"pixel 1: .*nan.* not finite"),
        ({"run_codes": np.array([0, 0])}, "run has 2 values for 3 pixels"),
        ({"run_codes": np.array([0, 1, 0])}, "pixel 1: run code 1, but there are 1 run names"),
        ({"run_codes": np.array([0, 0, -1])}, "pixel 2: run code -1"),
        ({"polarity": "up"}, "polarity 'up' is none of"),
        ({"names": ["a", "b"]}, "2 names for 3 pixels"),
        ({"pixel_size": (10.0, 0.0)}, r"pixel_size \(10.0, 0.0\) is not"),
        ({"pixel_size": (10.0, np.nan)}, "pixel_size"),
        ({"pixel_size": (10.0,)}, "pixel_size"),
        ({"axis": np.array([100.0, 150.0, 300.0])}, "pixel 0: m/z 200.0 is not on the m/z axis"),
        ({"axis": np.array([100.0, 150.0, 200.0])}, "pixel 2: m/z 300.0 is not on the m/z axis"),
        ({"axis": np.array([100.0, 100.0])}, r"ascend at column 1 \(100.0 after 100.0\)"),
        ({"axis": np.array([100.0, np.nan])}, "axis at column 1 is nan"),
        ({"axis": np.array([0.0, 1.0])}, "axis at column 0 is 0.0"),
        ({"axis": np.ones((2, 2))}, r"axis has shape \(2, 2\)"),
    ],
)
def test_bad_fields_are_refused_with_place_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_equal_mz_and_falls_between_pixels_are_fine() -> None:
    spectra = build()
    assert spectra.pixel(2)[0].tolist() == [150, 150, 300]


def test_empty_pixels_may_stand_anywhere() -> None:
    spectra = build(offsets=np.array([0, 0, 2, 2, 5, 5, 5]))
    assert spectra.peak_counts.tolist() == [0, 2, 0, 3, 0, 0]
    with pytest.raises(ValueError, match=r"pixel 3: m/z do not ascend \(1.0 after 2.0\)"):
        build(mz=np.array([3.0, 4, 2, 1, 5]), offsets=np.array([0, 0, 2, 2, 5, 5, 5]))


# -------------------------------------------------------------------- from peak lists


def test_from_peaks_leaves_zeros_out() -> None:
    spectra = Spectra.from_peaks([([100, 200], [1, 0]), ([], []), ([150], [2.5])], run=[7, 7, 8])
    assert spectra.mz.tolist() == [100, 150]
    assert spectra.peak_counts.tolist() == [1, 0, 1]
    assert spectra.run_names == ("7", "8")


def test_from_peaks_of_no_pixels() -> None:
    spectra = Spectra.from_peaks([])
    assert (spectra.n_pixels, spectra.n_peaks) == (0, 0)


def test_from_peaks_names_the_pixel_of_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="pixel 1: 2 m/z but 1 intensities"):
        Spectra.from_peaks([([1], [1]), ([1, 2], [1])])


@pytest.mark.parametrize(
    ("peaks", "message"),
    [
        ([([1, 2], [1, np.nan])], "pixel 0: intensity nan"),
        ([([], []), ([2, 1], [1, 1])], r"pixel 1: m/z do not ascend \(1.0 after 2.0\)"),
        ([([1, 2], [0, 1]), ([np.inf], [1])], "pixel 1: mz inf"),
    ],
)
def test_from_peaks_refuses_bad_values(peaks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spectra.from_peaks(peaks)


def test_from_arrays_takes_lists_and_refuses_wrong_offsets() -> None:
    spectra = Spectra.from_arrays([100, 200, 300], [1, 0, 2], [0, 2, 3])
    assert spectra.offsets.tolist() == [0, 1, 2]
    for offsets in ([0, 2, 4], [1, 3], []):
        with pytest.raises(ValueError, match="offsets must run from 0"):
            Spectra.from_arrays([100, 200, 300], [1, 0, 2], offsets)
    with pytest.raises(ValueError, match="shapes"):
        Spectra.from_arrays([100, 200], [1, 0, 2], [0, 2])


def test_negative_intensities_are_absent_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="2 negative intensities were treated as absent"):
        spectra = Spectra.from_peaks([([1, 2, 3], [-1, 5, 0]), ([4], [-0.5])])
    assert spectra.mz.tolist() == [2]
    assert spectra.peak_counts.tolist() == [1, 0]


# -------------------------------------------------------------------- from a matrix

FORMATS = [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.csr_array, sp.csc_array]


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, *FORMATS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16])
def test_from_matrix_takes_every_form(make: Any, dtype: Any) -> None:
    spectra = Spectra.from_matrix(make(DENSE.astype(dtype)), AXIS)
    assert_same(spectra, Spectra.from_matrix(DENSE, AXIS))
    assert spectra.mz.tolist() == [100, 300.25, 200.5, 400.125, *AXIS]
    assert spectra.intensity.dtype == np.float32
    matrix, axis = spectra.to_matrix()
    np.testing.assert_array_equal(matrix.toarray(), DENSE)
    np.testing.assert_array_equal(axis, AXIS)


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array])
def test_canonical_float32_csr_is_not_copied(make: Any) -> None:
    matrix = make(DENSE)
    spectra = Spectra.from_matrix(matrix, AXIS)
    assert np.shares_memory(spectra.intensity, matrix.data)


def test_explicit_zeros_duplicates_and_disorder_of_csr() -> None:
    matrix = sp.csr_matrix(
        (np.array([1, 2, 0, 3, 4.0]), np.array([2, 0, 1, 3, 3]), np.array([0, 3, 5])), shape=(2, 4)
    )
    kept = matrix.copy()
    spectra = Spectra.from_matrix(matrix, AXIS)
    assert spectra.mz.tolist() == [100, 300.25, 400.125]
    assert spectra.intensity.tolist() == [2, 1, 7]
    np.testing.assert_array_equal(matrix.data, kept.data)  # the user's matrix is as it was
    np.testing.assert_array_equal(matrix.indices, kept.indices)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("indptr", [0, 2**25, 4, 4], "pointers do not ascend from 0 to 4"),
        ("indptr", [0, 2, 3, 9], "pointers do not ascend from 0 to 4"),
        ("indptr", [1, 2, 3, 4], "pointers do not ascend from 0 to 4"),
        ("indptr", [0, 2, 4], "pointers do not ascend from 0 to 4"),
        ("indices", [0, 1, 1, 3], "index 3, need 0 to 2"),
        ("indices", [0, 1, -1, 2], "index -1, need 0 to 2"),
        ("indices", [0, 1, 2], "pointers do not ascend from 0 to 3"),
    ],
)
def test_damaged_sparse_matrices_are_refused(
    kind: Any, part: str, values: list[int], message: str
) -> None:
    """Found by the fuzzer: scipy follows them out of its memory."""
    matrix = kind(np.array([[1.0, 2, 0], [0, 3, 0], [0, 0, 4]]))
    setattr(matrix, part, np.array(values, dtype=np.int32))
    with pytest.raises(ValueError, match=rf"^the sparse matrix is damaged: .*{message}$"):
        Spectra.from_matrix(matrix, [100.0, 200.0, 300.0])


def test_negative_values_of_a_matrix_are_absent_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="1 negative intensities"):
        spectra = Spectra.from_matrix(np.array([[-1.0, 2.0]]), [100, 200])
    assert spectra.mz.tolist() == [200]


@pytest.mark.parametrize(
    ("matrix", "axis", "message"),
    [
        (DENSE, AXIS[:3], r"4 columns but mz has shape \(3,\)"),
        (DENSE, AXIS[:, None], r"4 columns but mz has shape \(4, 1\)"),
        (DENSE, AXIS[::-1], r"ascend at column 1 \(300.25 after 400.125\)"),
        (DENSE, [100, 200, 200, 300], r"ascend at column 2 \(200.0 after 200.0\)"),
        (DENSE, [100, 200, np.nan, 300], "axis at column 2 is nan"),
        (DENSE, [-1, 200, 250, 300], "axis at column 0 is -1.0"),
        (np.array([[1, 1], [1, np.nan]]), [100, 200], "pixel 1: intensity nan"),
        (np.array([[1, 1], [np.inf, 1]]), [100, 200], "pixel 1: intensity inf"),
    ],
)
def test_bad_matrices_are_refused(matrix: Any, axis: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spectra.from_matrix(matrix, axis)


def test_matrices_without_pixels_or_values() -> None:
    assert Spectra.from_matrix(np.empty((0, 4)), AXIS).n_pixels == 0
    nothing = Spectra.from_matrix(np.zeros((3, 4)), AXIS)
    assert nothing.peak_counts.tolist() == [0, 0, 0]
    matrix, axis = nothing.to_matrix()
    assert matrix.shape == (3, 4)
    np.testing.assert_array_equal(axis, AXIS)


def test_run_needs_one_label_per_pixel() -> None:
    with pytest.raises(ValueError, match="run has 2 values for 4 pixels"):
        Spectra.from_matrix(DENSE, AXIS, run=["a", "b"])


def test_unknown_pixel_data_are_refused() -> None:
    with pytest.raises(TypeError, match="tissue"):
        Spectra.from_matrix(DENSE, AXIS, tissue="kidney")


# -------------------------------------------------------------------- choosing pixels


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(1, 3),
        slice(3, 1),
        slice(None, None, -1),
        slice(0, 99, 2),
        [2, 0, 0],
        np.array([-1, 1]),
        np.array([True, False, True, True]),
        [False, True, False, False],
        [],
        np.array([], dtype=bool)[:0].astype(int),
        range(2),
        pd.Series([True, True, False, False]),
    ],
)
def test_choosing_is_what_numpy_does(key: Any) -> None:
    spectra = full()
    chosen = spectra[key]
    pixels = np.arange(4)[
        key
        if isinstance(key, slice)
        else np.asarray(key, dtype=None)
        if len(key)
        else np.empty(0, dtype=int)
    ]
    assert chosen.n_pixels == len(pixels)
    for place, pixel in enumerate(pixels):
        for one, other in zip(chosen.pixel(place), spectra.pixel(pixel), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(chosen.coordinates, spectra.coordinates[pixels])
    np.testing.assert_array_equal(chosen.names, spectra.names[pixels])
    assert chosen.run.tolist() == spectra.run[pixels].tolist()
    assert (chosen.polarity, chosen.pixel_size) == ("negative", (10.0, 20.0))
    replace(chosen)  # what was chosen is valid


def test_one_pixel_by_its_number() -> None:
    spectra = full()
    assert_same(spectra[2], spectra[2:3])
    assert_same(spectra[-1], spectra[3:])
    assert_same(spectra[np.int64(0)], spectra[:1])
    for index in (4, -5):
        with pytest.raises(IndexError):
            spectra[index]


def test_contiguous_slices_share_memory() -> None:
    spectra = full()
    for part in (spectra[2:4], spectra[2], spectra[:]):
        assert np.shares_memory(part.mz, spectra.mz)
        assert np.shares_memory(part.intensity, spectra.intensity)
        assert np.shares_memory(part.coordinates, spectra.coordinates)


@pytest.mark.parametrize(
    "key",
    [
        [0, 4],
        np.array([0.5]),
        np.array([[0, 1]]),
        [True, False],
        np.array(1),
        (0, 1),
        (slice(None), slice(None)),
        None,
        "p0",
    ],
)
def test_other_keys_are_refused(key: Any) -> None:
    with pytest.raises(IndexError):
        full()[key]


@given(data=st.data(), counts=st.lists(st.integers(0, 4), max_size=8))
@settings(max_examples=60, deadline=None)
def test_choosing_then_choosing_again(data: Any, counts: list[int]) -> None:
    spectra = random_spectra(0, counts)
    n = len(counts)
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1)) if n else st.just([])), dtype=int)
    start, stop = data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9))
    step = data.draw(st.sampled_from([None, 1, 2, -1, -3]))
    chosen = spectra[rows][start:stop:step]
    assert_same(chosen, spectra[rows[start:stop:step]])
    assert_same(Spectra.concatenate([spectra[:start], spectra[start:]]), spectra)
    replace(chosen)


def test_scikit_learn_can_index_and_split() -> None:
    spectra = full()
    assert_same(_safe_indexing(spectra, [3, 0]), spectra[[3, 0]])
    assert_same(_safe_indexing(spectra, np.array([1])), spectra[1])
    assert_same(_safe_indexing(spectra, slice(1, 3)), spectra[1:3])
    folds = list(GroupKFold(2).split(spectra, groups=spectra.run))
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == [0, 1, 2, 3]
    for train, test in folds:
        assert not set(spectra[train].run) & set(spectra[test].run)
    assert len(list(KFold(4).split(spectra))) == 4


# -------------------------------------------------------------------- joining


def test_concatenate_joins_runs_by_name_and_keeps_a_shared_axis() -> None:
    spectra = full()
    joined = Spectra.concatenate([spectra[2:], spectra[:2], spectra[3]])
    assert_same(joined, spectra[[2, 3, 0, 1, 3]])
    assert joined.run_names == ("a", "b")
    assert joined.axis is not None


def test_concatenate_of_other_axes_is_ragged() -> None:
    other = Spectra.from_matrix(np.ones((1, 2)), [50, 60])
    joined = Spectra.concatenate([other, Spectra.from_matrix(DENSE, AXIS), Spectra.from_peaks([])])
    assert joined.axis is None
    assert joined.peak_counts.tolist() == [2, 2, 0, 2, 4]


@pytest.mark.parametrize(
    ("field", "value"),
    [("polarity", "positive"), ("polarity", None)],
)
def test_concatenate_refuses_unlike_parts(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"parts differ in {field}: .*{value}"):
        Spectra.concatenate([full(), replace(full(), **{field: value})])


@pytest.mark.parametrize("field", ["coordinates", "names"])
def test_concatenate_refuses_parts_without_a_field(field: str) -> None:
    with pytest.raises(ValueError, match=f"some have other or no {field}"):
        Spectra.concatenate([full(), replace(full(), **{field: None})])


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("pixel_size", None, "10 x 20 um, unknown"),
        ("pixel_size", (50.0, 50.0), "10 x 20 um, 50 x 50 um"),
        ("pixel_size_unit", "mm", "10 x 20 um, 10 x 20 mm"),
    ],
)
def test_concatenated_parts_of_another_pixel_size_have_none(
    field: str, value: Any, named: str
) -> None:
    with pytest.warns(UserWarning, match=rf"differ in the size of a pixel \({named}\)") as caught:
        joined = Spectra.concatenate([full(), replace(full(), **{field: value})])
    assert len(caught) == 1
    assert joined.pixel_size is None
    assert joined.n_pixels == 8


def test_two_coordinates_beside_three_get_a_z() -> None:
    deep = np.column_stack((np.ones((4, 2)), [1, 2, 3, 4]))
    joined = Spectra.concatenate([full(), replace(full(), coordinates=deep)])
    assert joined.coordinates is not None
    assert joined.coordinates[:4, :2].tolist() == np.asarray(full().coordinates).tolist()
    assert joined.coordinates[:, 2].tolist() == [1, 1, 1, 1, 1, 2, 3, 4]


def test_runs_are_renamed_with_what_belongs_to_them() -> None:
    spectra = replace(full(), rasters={"a": FileRaster(counts_from=0)})
    renamed = spectra.rename_runs({"a": "s1/a"})
    assert set(renamed.run_names) == {"s1/a", "b"}
    assert renamed.rasters["s1/a"].counts_from == 0
    assert set(spectra.run_names) == {"a", "b"}
    assert Spectra.concatenate([renamed, full()]).rasters.keys() == {"s1/a"}


def test_concatenate_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Spectra.concatenate([])


# -------------------------------------------------------------------- choosing peaks


def test_mz_range_is_inclusive_and_keeps_pixels() -> None:
    spectra = full().mz_range(200.5, 300.25)
    assert spectra.mz.tolist() == [300.25, 200.5, 200.5, 300.25]
    assert spectra.peak_counts.tolist() == [1, 0, 1, 2]
    np.testing.assert_array_equal(spectra.axis, AXIS)
    assert full().mz_range(0, np.inf).n_peaks == 8


@pytest.mark.parametrize(("low", "high"), [(2, 1), (1, 1), (np.nan, 1), (1, np.nan)])
def test_empty_mz_ranges_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="is empty"):
        full().mz_range(low, high)


def test_top_peaks_and_its_ties() -> None:
    spectra = Spectra.from_peaks([([1, 2, 3, 4], [5, 7, 5, 7]), ([], []), ([1, 2, 3], [1, 1, 1])])
    assert spectra.top_peaks(3).mz.tolist() == [1, 2, 4, 1, 2, 3]
    assert spectra.top_peaks(1).mz.tolist() == [2, 1]
    assert spectra.top_peaks(4) is spectra
    assert spectra.intensity_rank().tolist() == [2, 0, 3, 1, 0, 1, 2]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        spectra.top_peaks(0)


@given(counts=st.lists(st.integers(0, 9), max_size=6), n=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_top_peaks_are_the_most_intense(counts: list[int], n: int) -> None:
    spectra = random_spectra(1, counts)
    top = spectra.top_peaks(n)
    for pixel, count in enumerate(counts):
        mz, intensity = spectra.pixel(pixel)
        order = sorted(range(count), key=lambda peak: (-intensity[peak], mz[peak]))
        kept = sorted(order[:n])
        assert top.pixel(pixel)[0].tolist() == mz[kept].tolist()
        assert top.pixel(pixel)[1].tolist() == intensity[kept].tolist()


def test_keep_peaks_needs_a_mask_of_all_peaks() -> None:
    spectra = build()
    assert spectra.keep_peaks(spectra.intensity > 2).offsets.tolist() == [0, 0, 0, 3]
    for wrong in (np.ones(5, dtype=int), np.ones(4, dtype=bool)):
        with pytest.raises(ValueError, match="keep is"):
            spectra.keep_peaks(wrong)


# -------------------------------------------------------------------- normalisation


def test_normalize_to_a_mean_or_root_mean_square_of_one() -> None:
    spectra = full()
    tic, rms = spectra.normalize("tic"), spectra.normalize("rms")
    np.testing.assert_allclose(tic.tic(), spectra.peak_counts, rtol=1e-6)
    for pixel in (0, 2, 3):
        assert np.mean(rms.pixel(pixel)[1] ** 2) == pytest.approx(1, rel=1e-6)
    assert spectra.normalize("none") is spectra
    for scaled in (tic, rms):
        assert scaled.mz is spectra.mz
        assert scaled.intensity.dtype == np.float32
    with pytest.raises(ValueError, match="normalization 'max' is none of"):
        spectra.normalize("max")


def test_normalize_is_blind_to_a_factor_and_loses_no_peak() -> None:
    spectra = random_spectra(2, [5, 0, 7])
    brighter = replace(spectra, intensity=spectra.intensity * np.float32(4))
    for method in ("tic", "rms"):
        one, other = spectra.normalize(method), brighter.normalize(method)
        np.testing.assert_allclose(one.intensity, other.intensity, rtol=1e-6)
    wide = Spectra.from_peaks([([1, 2], [1e-38, 1e38])])
    for method in ("tic", "rms"):
        replace(wide.normalize(method))  # valid: nothing fell to zero, nothing overflowed


# -------------------------------------------------------------------- nothing at all


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_spectra_without_peaks_go_through_everything(counts: list[int]) -> None:
    spectra = random_spectra(3, counts)
    for made in (
        spectra[:],
        spectra[np.arange(len(counts))],
        spectra.mz_range(1, 2),
        spectra.top_peaks(3),
        spectra.normalize("tic"),
        spectra.normalize("rms"),
        Spectra.concatenate([spectra]),
    ):
        assert made.peak_counts.tolist() == counts
        replace(made)
    assert spectra.tic().tolist() == [0.0] * len(counts)
    assert len(list(spectra)) == len(counts)
    matrix, axis = spectra.to_matrix()
    assert matrix.shape == (len(counts), 0)
    assert axis.size == 0
    assert "peaks" in repr(spectra)


def test_ranks_do_not_depend_on_the_type_of_the_intensities() -> None:
    rng = np.random.default_rng(0)
    pixel = np.sort(rng.integers(0, 40, 500))
    # Many are equal, some negative, and zero has two signs.
    intensity = np.append(rng.integers(-3, 9, 498), [0, -0.0]) * np.float32(0.37)
    ranks = [rank_in_pixels(intensity.astype(kind), pixel) for kind in (np.float32, np.float64)]
    assert ranks[0].tolist() == ranks[1].tolist()
