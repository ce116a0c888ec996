"""Degraded spectra: what is lost or moved, by how much, and for which pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from massgraph.chem.relations import relations_from_masses
from massgraph.data.degrade import (
    add_noise_peaks,
    batch_effect,
    drift_mz,
    jitter_mz,
    keep_most_intense,
    merge_peaks,
    mix_pixels,
    remove_peaks,
    scale_intensity,
    shift_mz,
)
from massgraph.data.spectra import Spectra
from massgraph.graph.builder import build_graph
from spectra_builder import random_spectra

COUNTS = [200, 0, 1, 300]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def wide(seed: int = 0) -> Spectra:
    """Peaks a Da apart, so that no jitter changes their order; all intensities differ."""
    generator = rng(seed)
    peaks = [(300.0 + np.arange(n), generator.permutation(n) + 1.0) for n in COUNTS]
    return Spectra.from_peaks(peaks, run=["a", "a", "b", "b"], polarity="positive")


def test_remove_peaks_keeps_about_the_share_that_is_asked_for() -> None:
    spectra = wide()
    half = remove_peaks(spectra, 0.5, rng())
    assert half.n_pixels == 4
    assert 70 < half.peak_counts[0] < 130
    assert np.isin(half.pixel(3)[0], spectra.pixel(3)[0]).all()
    assert remove_peaks(spectra, 1.0, rng()).fingerprint() == spectra.fingerprint()
    assert remove_peaks(spectra, 0.0, rng()).n_peaks == 0


def test_strengths_may_differ_by_pixel() -> None:
    spectra = wide()
    assert remove_peaks(spectra, [1, 1, 1, 0], rng()).peak_counts.tolist() == [200, 0, 1, 0]
    assert keep_most_intense(spectra, [0.5, 0, 1, 0]).peak_counts.tolist() == [100, 0, 1, 0]
    moved = shift_mz(spectra, [0.0, 0, 0, 0.25], "Da")
    assert (moved.mz - spectra.mz)[[0, 200, 201, -1]].tolist() == [0, 0, 0.25, 0.25]


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (0.1, 1), (0.3, 3), (0.29, 2), (1.0, 10)])
def test_keep_most_intense_keeps_the_floor_of_the_share(share: float, kept: int) -> None:
    spectra = Spectra.from_peaks([(np.arange(10) + 1.0, [3, 9, 1, 7, 5, 2, 8, 4, 6, 10])])
    strong = keep_most_intense(spectra, share)
    assert sorted(strong.intensity.tolist()) == list(range(11 - kept, 11))
    assert (np.diff(strong.mz) > 0).all()


def test_shares_are_decimal() -> None:
    spectra = random_spectra(0, [100])
    assert keep_most_intense(spectra, 0.29).n_peaks == 29  # 100 * 0.29 is 28.999... in binary


def test_jitter_has_the_deviation_that_is_asked_for() -> None:
    spectra = wide()
    for sd, unit, scale in ((3.0, "ppm", spectra.mz * 1e-6), (0.002, "Da", 1.0)):
        moved = jitter_mz(spectra, sd, unit, rng())
        z = (moved.mz - spectra.mz) / scale / sd
        assert abs(z.mean()) < 0.2
        assert 0.85 < z.std() < 1.15
        np.testing.assert_array_equal(moved.intensity, spectra.intensity)


def test_shift_moves_every_peak() -> None:
    spectra = wide()
    np.testing.assert_allclose(
        shift_mz(spectra, -4.0, "ppm").mz, spectra.mz * (1 - 4e-6), rtol=1e-14
    )
    np.testing.assert_allclose(shift_mz(spectra, 0.01, "Da").mz, spectra.mz + 0.01, rtol=1e-14)
    table = relations_from_masses({"one": 1.0})
    one, other = (
        build_graph(form, table, tolerance=0.001, tolerance_unit="Da")
        for form in (spectra, shift_mz(spectra, 0.5, "Da"))
    )
    np.testing.assert_array_equal(one.source, other.source)  # a shift changes no difference


def test_moved_peaks_are_sorted_again_with_their_intensities() -> None:
    spectra = Spectra.from_peaks([([500.0, 500.0001, 500.0002], [1, 2, 3])] * 50)
    moved = jitter_mz(spectra, 0.01, "Da", rng())
    replace(moved)  # ascends, so it is valid
    orders = moved.intensity.reshape(50, 3)
    assert (np.sort(orders, axis=1) == [1, 2, 3]).all()
    assert not (orders == [1, 2, 3]).all()


def test_lost_peaks_lose_their_edges() -> None:
    spectra = wide()
    table = relations_from_masses({"one": 1.0})
    full = build_graph(spectra, table).n_edges
    left = build_graph(remove_peaks(spectra, 0.5, rng()), table).n_edges
    assert 0.15 * full < left < 0.35 * full  # about a quarter


DEGRADE: dict[str, Callable[[Spectra, np.random.Generator], Spectra]] = {
    "remove": lambda spectra, generator: remove_peaks(spectra, 0.7, generator),
    "keep": lambda spectra, generator: keep_most_intense(spectra, 0.7),
    "jitter": lambda spectra, generator: jitter_mz(spectra, 2.0, "ppm", generator),
    "shift": lambda spectra, generator: shift_mz(spectra, 2.0, "ppm"),
}


@pytest.mark.parametrize("name", DEGRADE)
def test_same_seed_same_faults_and_nothing_else_changes(name: str) -> None:
    spectra = wide()
    before = spectra.fingerprint()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = (DEGRADE[name](spectra, rng(3)) for _ in range(2))
    assert one.fingerprint() == other.fingerprint() != before
    assert spectra.fingerprint() == before
    assert (one.run.tolist(), one.polarity) == (["a", "a", "b", "b"], "positive")
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("name", DEGRADE)
@pytest.mark.parametrize("counts", [[], [0], [0, 1, 0]])
def test_pixels_without_peaks_stay(name: str, counts: list[int]) -> None:
    degraded = DEGRADE[name](random_spectra(0, counts), rng())
    assert degraded.n_pixels == len(counts)
    replace(degraded)


def test_moved_peaks_leave_the_shared_axis_and_lost_ones_do_not() -> None:
    aligned = Spectra.from_matrix(np.ones((2, 3)), [100.0, 200.0, 300.0])
    assert remove_peaks(aligned, 0.5, rng()).axis is aligned.axis
    assert keep_most_intense(aligned, 0.5).axis is aligned.axis
    assert jitter_mz(aligned, 1.0, "ppm", rng()).axis is None
    assert shift_mz(aligned, 1.0, "ppm").axis is None


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan, [1, 1, 1, 2]])
def test_shares_outside_0_to_1_are_refused(share: Any) -> None:
    for degrade in (
        lambda: remove_peaks(wide(), share, rng()),
        lambda: keep_most_intense(wide(), share),
    ):
        with pytest.raises(ValueError, match="is not a share between 0 and 1"):
            degrade()


def test_strengths_of_another_length_are_refused() -> None:
    for degrade in (
        lambda: remove_peaks(wide(), [1, 1], rng()),
        lambda: keep_most_intense(wide(), np.ones((4, 1))),
        lambda: jitter_mz(wide(), [1.0] * 5, "ppm", rng()),
        lambda: shift_mz(wide(), [1.0] * 3, "ppm"),
    ):
        with pytest.raises(ValueError, match="need one value or one per pixel"):
            degrade()


def test_strengths_that_make_no_spectra_are_refused() -> None:
    for sd in (-1.0, np.nan):
        with pytest.raises(ValueError, match=f"sd {sd} is below zero or missing"):
            jitter_mz(wide(), sd, "ppm", rng())
    with pytest.raises(ValueError, match=r"pixel 0: mz -200.0 is not finite and above zero"):
        shift_mz(wide(), -500.0, "Da")
    with pytest.raises(ValueError, match="pixel 0: mz nan"):
        shift_mz(wide(), np.nan, "Da")
    with pytest.raises(ValueError, match="tolerance unit 'mDa'"):
        shift_mz(wide(), 1.0, "mDa")


# -------------------------------------------------------------------- faults of whole runs


def test_drift_grows_over_each_run() -> None:
    spectra = wide()
    moved = drift_mz(spectra, 0.1, "Da")
    by_peak = (moved.mz - spectra.mz)[[0, 200, 201]]
    assert by_peak.tolist() == pytest.approx([-0.05, -0.05, 0.05])  # pixel 1 has no peaks
    one = spectra[:1]
    np.testing.assert_allclose(drift_mz(one, 0.1, "Da").mz, one.mz - 0.05)


def test_noise_peaks_are_added_and_are_weak() -> None:
    spectra = wide()
    noisy = add_noise_peaks(spectra, 0.5, rng())
    assert 80 < noisy.peak_counts[0] - 200 < 120
    assert noisy.peak_counts[1] == 0
    for before, after in zip(spectra, noisy, strict=True):
        assert np.isin(before.mz, after.mz).all()
        assert (np.diff(after.mz) >= 0).all()
        new = after.intensity[~np.isin(after.mz, before.mz)]
        assert before.n_peaks == 0 or new.max(initial=0) <= np.median(before.intensity) + 1
    assert add_noise_peaks(spectra, 0.0, rng()).fingerprint() == spectra.fingerprint()
    nothing = Spectra.from_peaks([([], [])])
    assert add_noise_peaks(nothing, 1.0, rng()).n_peaks == 0


def test_scaling_and_batch_effects() -> None:
    spectra = wide()
    twice = scale_intensity(spectra, [2, 1, 1, 1])
    np.testing.assert_allclose(twice.intensity[:200], 2 * spectra.intensity[:200])
    np.testing.assert_array_equal(twice.intensity[200:], spectra.intensity[200:])
    worse = batch_effect(spectra, 0.5, rng())
    gain = np.log(worse.intensity / spectra.intensity)
    assert gain.std() == pytest.approx(0.5, abs=0.1)
    same = Spectra.concatenate([spectra[:1], spectra[:1]])
    gains = batch_effect(same, 0.5, rng()).intensity.reshape(2, -1)
    np.testing.assert_array_equal(gains[0], gains[1])  # one run, one gain of an ion
    assert batch_effect(spectra, 0.0, rng()).fingerprint() == spectra.fingerprint()


def test_close_peaks_merge() -> None:
    spectra = Spectra.from_peaks(
        [([100.0, 100.01, 200.0], [1.0, 3.0, 5.0]), ([200.001, 200.002, 200.003], [1.0, 1, 1])]
    )
    merged = merge_peaks(spectra, 0.02, "Da")
    assert merged.peak_counts.tolist() == [2, 1]
    np.testing.assert_allclose(merged.mz, [100.0075, 200.0, 200.002])
    np.testing.assert_allclose(merged.intensity, [4, 5, 3])
    assert merge_peaks(spectra, 1e-5, "Da").fingerprint() == spectra.fingerprint()


def test_mixing_adds_the_peaks_of_another_class() -> None:
    spectra = wide()
    labels = ["a", "a", "b", None]
    mixed = mix_pixels(spectra, labels, 0.5, rng())
    assert mixed.peak_counts.tolist()[:2] == [201, 1]  # pixel 2 is the only one of class b
    assert mixed.peak_counts[3] == 300
    assert mixed.pixel(1)[1].tolist() == [0.5]
    assert mix_pixels(spectra, labels, 0.0, rng()).fingerprint() == spectra.fingerprint()
    alone = mix_pixels(spectra, ["a"] * 4, 1.0, rng())
    assert alone.fingerprint() == spectra.fingerprint()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda s: add_noise_peaks(s, -1, rng()), "share -1.0 is not finite"),
        (lambda s: scale_intensity(s, 0), "factor 0.0 is not finite and above zero"),
        (lambda s: batch_effect(s, np.nan, rng()), "sd nan is below zero"),
        (lambda s: merge_peaks(s, 0, "Da"), "not finite and above zero"),
        (lambda s: mix_pixels(s, ["a"], 1, rng()), "need one for each of 4 pixels"),
        (lambda s: mix_pixels(s, ["a"] * 4, -1, rng()), "weight -1.0"),
        (lambda s: drift_mz(s, 1, "mDa"), "unit 'mDa' is none of"),
    ],
)
def test_strengths_that_are_none(fault: Callable[[Spectra], Spectra], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fault(wide())
