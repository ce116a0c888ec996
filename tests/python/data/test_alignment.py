"""The common axis of ions: no peak far from its ion, no ion made up, no tail an ion."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from massgraph.data.alignment import assign_to_axis, find_axis, tolerance_in_da
from massgraph.data.spectra import Spectra

Floats = NDArray[np.float64]


def scattered(n_ions: int, n_pixels: int, sd_ppm: float, seed: int = 0) -> tuple[Spectra, Floats]:
    """Ions at least 30 ppm apart, each in about half the pixels, jittered."""
    rng = np.random.default_rng(seed)
    ions = 200 * np.cumprod(1 + rng.uniform(30e-6, 2e-3, n_ions))
    peaks = []
    for _ in range(n_pixels):
        present = ions[rng.random(n_ions) < 0.5]
        mz = present * (1 + sd_ppm * 1e-6 * rng.normal(size=present.size).clip(-3, 3))
        peaks.append((np.sort(mz), rng.lognormal(size=mz.size)))
    return Spectra.from_peaks(peaks), ions


def assert_within(mz: Floats, axis: Floats, ion: NDArray[np.int64], tol: float, unit: str) -> None:
    distance = np.abs(mz - axis[ion])
    assert (distance <= tolerance_in_da(mz, 2 * tol, unit) * (1 + 1e-6) + 1e-12).all()
    nearest = np.abs(mz[:, None] - axis[None, :]).min(axis=1)
    np.testing.assert_allclose(distance, nearest, atol=1e-12)


# -------------------------------------------------------------------- tolerances


def test_tolerance_in_da() -> None:
    mz = np.array([100.0, 1000.0])
    np.testing.assert_allclose(tolerance_in_da(mz, 5, "ppm"), [5e-4, 5e-3])
    np.testing.assert_allclose(tolerance_in_da(mz, 0.01, "Da"), [0.01, 0.01])


@pytest.mark.parametrize("tolerance", [0, -1, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("unit", ["ppm", "Da"])
def test_tolerances_that_are_none_are_refused(tolerance: float, unit: str) -> None:
    spectra, _ = scattered(5, 3, 1.0)
    with pytest.raises(ValueError, match=f"tolerance {tolerance} {unit} is not finite and above"):
        spectra.align(tolerance, unit)


def test_unknown_units_are_refused() -> None:
    spectra, _ = scattered(5, 3, 1.0)
    for unit in ("PPM", "mDa", ""):
        with pytest.raises(ValueError, match=f"tolerance unit '{unit}' is none of"):
            spectra.to_matrix(5.0, unit)


# -------------------------------------------------------------------- as a user


@pytest.mark.parametrize("unit", ["ppm", "Da"])
def test_planted_ions_are_recovered(unit: str) -> None:
    spectra, ions = scattered(300, 60, sd_ppm=1.0)
    tolerance = 5.0 if unit == "ppm" else 5e-6 * 300
    axis, ion = spectra.align(tolerance, unit)
    assert axis.size == ions.size
    np.testing.assert_allclose(axis, ions, rtol=1e-6)
    assert_within(spectra.mz, axis, ion, tolerance, unit)
    matrix, same = spectra.to_matrix(tolerance, unit)
    np.testing.assert_array_equal(same, axis)
    assert matrix.nnz == spectra.n_peaks
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.sum(axis=1).A1, spectra.tic(), rtol=1e-5)


def test_aligned_spectra_give_their_own_axis_and_columns() -> None:
    axis = np.array([100.0, 100.0001, 500.0])
    values = np.array([[1, 2, 0], [0, 0, 3]], dtype=np.float32)
    spectra = Spectra.from_matrix(values, axis)
    found, ion = spectra.align(1000.0)
    np.testing.assert_array_equal(found, axis)
    assert ion.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(spectra.to_matrix(1000.0)[0].toarray(), values)
    np.testing.assert_array_equal(spectra[1:].to_matrix()[0].toarray(), values[1:])


def test_peaks_of_one_pixel_at_one_ion_are_summed() -> None:
    spectra = Spectra.from_peaks([([500.0, 500.0005], [1, 2]), ([], []), ([500.0002], [4])])
    matrix, axis = spectra.to_matrix(5.0)
    assert axis.size == 1
    assert matrix.toarray().tolist() == [[3], [0], [4]]
    assert matrix.has_canonical_format


def test_the_matrix_is_a_copy() -> None:
    spectra = Spectra.from_peaks([([100.0, 200.0], [1, 2])])
    matrix, _ = spectra.to_matrix()
    matrix.data[:] = 0
    assert spectra.intensity.tolist() == [1, 2]


def test_order_of_pixels_does_not_matter() -> None:
    spectra, _ = scattered(100, 30, sd_ppm=2.0)
    order = np.random.default_rng(1).permutation(30)
    one, axis = spectra.to_matrix(5.0)
    other, same = spectra[order].to_matrix(5.0)
    np.testing.assert_allclose(same, axis, rtol=1e-12)
    np.testing.assert_array_equal(other.toarray(), one[order].toarray())


# -------------------------------------------------------------------- invariants

POOL = st.lists(st.floats(100, 100.1) | st.floats(100, 2000), min_size=1, max_size=60)


@given(mz=POOL, tolerance=st.floats(0.01, 1000), unit=st.sampled_from(["ppm", "Da"]))
@settings(max_examples=150, deadline=None)
@example(mz=[100.0] * 50 + [100.002], tolerance=10.0, unit="ppm")
@example(mz=[100.0] * 50 + [100.0019, 100.0038], tolerance=10.0, unit="ppm")
@example(mz=[100.0] * 40 + [100.0016] * 8 + [100.0028] * 3, tolerance=10.0, unit="ppm")
@example(mz=[100 + 0.0007 * k for k in range(60)], tolerance=10.0, unit="ppm")
@example(
    mz=[100 + 0.0009 * (k // (30 - k) if k < 30 else 2) for k in range(40)],
    tolerance=9.0,
    unit="ppm",
)
def test_every_peak_is_within_two_tolerances_of_its_ion(
    mz: list[float], tolerance: float, unit: str
) -> None:
    tolerance = tolerance if unit == "ppm" else tolerance * 1e-3
    spectra = Spectra.from_peaks([(np.sort(mz), np.ones(len(mz)))])
    axis, ion = spectra.align(tolerance, unit)
    assert (np.diff(axis) > 0).all()
    assert_within(spectra.mz, axis, ion, tolerance, unit)
    assert (np.bincount(ion, minlength=axis.size) > 0).all()  # no ion without a peak
    assert (np.diff(ion) >= 0).all()
    assert axis[0] >= min(mz) - 1e-9
    assert axis[-1] <= max(mz) + 1e-9


@given(mz=st.lists(st.floats(200, 201), min_size=1, max_size=30), tolerance=st.floats(1e-15, 1e-3))
@settings(max_examples=60, deadline=None)
def test_tolerances_below_the_digits_of_the_mz_end(mz: list[float], tolerance: float) -> None:
    values = np.sort(np.array(mz))
    spectra = Spectra.from_peaks([(values, np.ones(values.size))] * 7)
    axis, ion = spectra.align(tolerance, "ppm")
    np.testing.assert_allclose(axis[ion], spectra.mz, rtol=2e-6 * tolerance + 1e-14)


def test_each_of_equal_peaks_is_one_ion_however_many() -> None:
    # The mean of many equal m/z is off by their last digit: this must not go on for ever.
    mz = np.full(100_000, 700.1234567)
    for tolerance in (5.0, 1e-9, 1e-12):
        axis = find_axis(mz, tolerance, "ppm")
        assert axis.size <= 2
        np.testing.assert_allclose(axis, 700.1234567, rtol=1e-10)


def test_far_apart_peaks_need_no_grid_in_between() -> None:
    mz = np.array([1.0, 2.0, 1e3, 1e6])
    np.testing.assert_allclose(find_axis(mz, 1e-4, "Da"), mz)
    np.testing.assert_allclose(find_axis(mz, 1e-3, "ppm"), mz)


def test_a_continuum_is_cut_and_not_slow() -> None:
    mz = np.linspace(500, 501, 200_000)  # 2000 ppm without a gap
    start = time.perf_counter()
    axis = find_axis(mz, 5.0, "ppm")
    assert time.perf_counter() - start < 5
    assert_within(mz[::500], axis, assign_to_axis(mz[::500], axis), 5.0, "ppm")
    assert 100 <= axis.size <= 2000


def test_two_ions_two_tolerances_apart_are_two() -> None:
    rng = np.random.default_rng(4)
    ions = np.array([800.0, 800.0 * (1 + 12e-6)])
    mz = np.concatenate([ion * (1 + 1e-6 * rng.normal(size=500).clip(-2, 2)) for ion in ions])
    np.testing.assert_allclose(find_axis(mz, 5.0, "ppm"), ions, rtol=5e-7)


def test_a_tail_is_no_ion_of_its_own() -> None:
    rng = np.random.default_rng(5)
    core = 500.0 * (1 + 1e-6 * rng.normal(size=2000).clip(-3, 3))
    tail = np.full(200, 500.0 * (1 + 9.4e-6))  # 1.9 tolerances off, a maximum but far less dense
    axis = find_axis(np.concatenate([core, tail]), 5.0, "ppm")
    np.testing.assert_allclose(axis, [500.0], rtol=1e-6)
    apart = np.full(30, 500.0 * (1 + 15e-6))  # three tolerances off: an ion, however weak
    axis = find_axis(np.concatenate([core, apart]), 5.0, "ppm")
    np.testing.assert_allclose(axis, [500.0, apart[0]], rtol=5e-7)


# -------------------------------------------------------------------- nearest ion


def test_nearest_ion_ties_go_to_the_lower() -> None:
    axis = np.array([1.0, 2.0, 4.0])
    mz = np.array([0.5, 1.0, 1.5, 1.6, 3.0, 3.1, 9.0])
    assert assign_to_axis(mz, axis).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert assign_to_axis(mz, axis[:1]).tolist() == [0] * 7


def test_nothing_to_align() -> None:
    spectra = Spectra.from_peaks([([], []), ([], [])])
    axis, ion = spectra.align(5.0)
    assert (axis.size, ion.size) == (0, 0)
    assert axis.dtype == np.float64
    assert ion.dtype == np.int64
    assert assign_to_axis(np.empty(0), np.empty(0)).size == 0
    with pytest.raises(ValueError, match="tolerance"):
        spectra.align(-1.0)
