"""Pairs of ions: each array trick against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from massgraph.chem import ion_pairs as _ion_pairs
from massgraph.data.spectra import Spectra

masses = st.lists(st.floats(100, 130), min_size=0, max_size=25).map(
    lambda values: np.unique(np.round(values, 3))
)


def pairs_of(mz: np.ndarray, **changes: float) -> _ion_pairs.IonPairs:
    options = {"max_mass": 20.0, "tolerance": 0.01, "min_frequency": 0.0, "max_ions": 500}
    spectra = Spectra.from_matrix(np.ones((2, mz.size)), mz)
    return _ion_pairs.pair_ions(spectra, tolerance_unit="Da", **{**options, **changes})


@given(masses, st.floats(0.5, 20))
def test_near_pairs(mz, distance):
    low, high = _ion_pairs._near_pairs(mz, distance)
    expected = [
        (i, j) for i in range(mz.size) for j in range(i + 1, mz.size) if mz[j] <= mz[i] + distance
    ]
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == expected


@given(masses)
def test_strongest_around(mz):
    strength = np.random.default_rng(mz.size).permutation(mz.size).astype(float)
    kept = _ion_pairs._strongest_around(mz, strength, np.full(mz.size, 0.5))
    expected = [
        all(strength[i] >= strength[j] for j in range(mz.size) if abs(mz[i] - mz[j]) <= 0.5)
        for i in range(mz.size)
    ]
    # an ion at the very edge may fall either way by rounding
    edge = np.isclose(np.abs(np.subtract.outer(mz, mz)), 0.5, atol=1e-9).any(axis=1)
    np.testing.assert_array_equal(kept[~edge], np.array(expected, dtype=bool)[~edge])


@given(masses, st.randoms(use_true_random=False))
def test_partner_codes_do_not_depend_on_the_order(mz, random):
    repeats = np.array([1.003355, 21.981944])
    order = np.array(random.sample(range(mz.size), mz.size), dtype=np.int64)
    codes = _ion_pairs._partner_codes(mz, repeats, 0.01)
    np.testing.assert_array_equal(_ion_pairs._partner_codes(mz[order], repeats, 0.01), codes[order])
    for repeat, bit in zip(repeats, (1, 2), strict=True):
        has = (np.abs(mz[:, None] - mz - repeat) <= 0.0099).any(axis=1)
        assert ((codes & bit) > 0)[has].all()


def test_near_partners_share_a_bit_where_they_are_alike():
    # side lobes at the same distance share a cell, those at other distances do not
    codes = _ion_pairs._partner_codes(
        np.array([500.0, 500.1, 600.0, 600.103, 700.0, 700.2]), np.array([1.0]), 0.01
    )
    assert codes[[0, 2, 4]].tolist() == [0, 0, 0]
    assert codes[1] & codes[3]
    assert not codes[1] & codes[5]


def test_repeats_are_counted_once():
    light = np.array([500.0, 501.003355, 521.981944])
    pairs = pairs_of(np.sort(np.concatenate((light, light + 10.123))))
    difference = pairs.differences(pairs.mz)
    assert (np.abs(difference - 10.123) < 0.005).sum() == 1


def test_windows_hold_what_a_loop_counts():
    mz = np.unique(np.round(np.random.default_rng(0).uniform(400, 500, 150), 3))
    pairs = pairs_of(mz[np.diff(mz, prepend=0) > 0.05])
    counts = pairs.counts(pairs.mz)
    difference = pairs.differences(pairs.mz)
    windows = np.arange(0, pairs.n_windows, 37)
    centres = pairs.centres(windows)
    inside = np.abs(difference - centres[:, None]) < pairs.tolerance
    edge = np.isclose(np.abs(difference - centres[:, None]), pairs.tolerance, atol=1e-9)
    assert (counts[windows] >= inside.sum(axis=1) - edge.sum(axis=1)).all()
    assert (counts[windows] <= inside.sum(axis=1) + edge.sum(axis=1)).all()
    assert counts.sum() > 100


def test_found_together_is_a_shared_pixel():
    found = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 1]], dtype=np.float32))
    together = _ion_pairs._found_together(found, np.array([0, 0, 1]), np.array([1, 2, 2]))
    assert together.tolist() == [True, False, True]


def test_many_pixels_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr(_ion_pairs, "MAX_PIXELS", 3)
    found = sp.csr_matrix(np.kron(np.eye(5, dtype=np.float32), np.ones((2, 2), np.float32)))
    low, high = np.arange(0, 10, 2), np.arange(1, 11, 2)
    together = _ion_pairs._found_together(found, low, high)
    assert together.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_reach_is_the_neighbourhood_or_farther(n):
    dense = _ion_pairs._reach(400 + 0.5 * np.arange(n))
    assert (dense == 20).all()
    wide = _ion_pairs._reach(400 + 10.0 * np.arange(n))
    assert (wide >= 20).all()
    assert wide.max() == max(20, 10 * min(n - 1, 12))


def test_parity_is_of_the_nominal_mass():
    nominal = np.arange(400, 900)
    for defect in (0.0, 0.39, 0.5, 0.93):
        parity = _ion_pairs._parity(nominal * 1.0005 + defect, 0.0005 / 1.0005)
        # the same everywhere, but for which of the two is called even
        assert len(set((parity + nominal).tolist())) > 1
        assert len(set(((parity + nominal) % 2).tolist())) == 1
