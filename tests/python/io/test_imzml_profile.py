"""Profile spectra: told from centroids, and their peaks picked."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imzml_builder import Builder, Pixel, edit
from massgraph.io._centroid import _vertex, centroid, looks_like_profile
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml, validate_imzml

FloatArray = NDArray[np.float64]

CENTRES = np.array([200.013, 250.1234, 310.77, 311.78, 400.5])
HEIGHTS = np.array([100.0, 50.0, 200.0, 80.0, 1000.0])


def gaussians(
    mz: FloatArray,
    centres: FloatArray = CENTRES,
    heights: FloatArray = HEIGHTS,
    width: float = 0.02,
) -> FloatArray:
    return np.sum(heights[:, None] * np.exp(-0.5 * ((mz - centres[:, None]) / width) ** 2), axis=0)


def pick(mz: FloatArray, intensity: FloatArray) -> tuple[FloatArray, FloatArray]:
    picked, heights, offsets = centroid(mz, intensity, np.array([0, mz.size]))
    assert offsets.tolist() == [0, picked.size]
    return picked, heights


GRID = np.arange(190.0, 420.0, 0.005)


# -------------------------------------------------------------------- telling profile from centroid


@pytest.mark.parametrize(
    "mz",
    [
        np.arange(100, 200, 0.01),
        # Time of flight: the spacing grows with the root of m/z.
        np.linspace(10, 40, 20_000) ** 2,
        # FT: the spacing grows as m/z to the power of 3/2.
        1e6 / np.linspace(1000, 300, 50_000) ** 2,
        # Linear ion trap in steps of 1/12 Da, stored in single precision.
        np.arange(100, 800, 1 / 12).astype(np.float32).astype(np.float64),
        # Intact proteins: coarse in Da, fine in ppm.
        np.arange(10_000, 20_000, 0.8),
        # Points without signal left out: islands of 15 points.
        np.concatenate([start + 0.002 * np.arange(15) for start in range(400, 500, 2)]),
    ],
)
def test_profiles_are_recognised(mz: FloatArray) -> None:
    assert looks_like_profile(mz) is True


@pytest.mark.parametrize(
    "mz",
    [
        np.sort(np.random.default_rng(0).uniform(100, 1000, 5000)),
        # Nominal masses, and peptides one nominal mass apart.
        np.arange(100.0, 1000.0),
        1500.7 + 1.0005 * np.arange(500),
        # Isotope patterns
        np.sort(
            np.concatenate([m + 1.00335 * np.arange(4) for m in np.linspace(400, 900, 60) ** 1.01])
        ),
    ],
)
def test_centroids_are_recognised(mz: FloatArray) -> None:
    assert looks_like_profile(mz) is False


@pytest.mark.parametrize("n", [0, 1, 2, 20])
def test_few_points_say_nothing(n: int) -> None:
    assert looks_like_profile(np.arange(n) * 0.01 + 100) is None


def test_equal_points_say_nothing() -> None:
    assert looks_like_profile(np.full(1000, 100.0)) is None


# -------------------------------------------------------------------- picking peaks


def test_clean_peaks_are_found_at_their_centres() -> None:
    mz, intensity = pick(GRID, gaussians(GRID))
    assert mz.size == CENTRES.size
    # A parabola through a Gaussian sampled at a quarter of its width misses by less than 1 ppm.
    np.testing.assert_allclose(mz, CENTRES, rtol=1e-6)
    np.testing.assert_allclose(intensity, HEIGHTS, rtol=0.01)


def test_parabola_is_exact_on_a_parabola_of_unequal_spacing() -> None:
    mz = np.array([100.0, 100.01, 100.03, 100.06, 100.1])
    for vertex in (100.021, 100.03, 100.034, 100.044):
        height = 50 - 1e4 * (mz - vertex) ** 2
        top = np.array([2])
        assert _vertex(mz, height, np.arange(5), top) == pytest.approx([vertex], abs=1e-10)


def test_noise_gives_few_peaks_and_signal_all() -> None:
    rng = np.random.default_rng(1)
    noise = np.abs(rng.normal(0, 1, GRID.size))
    mz, intensity = pick(GRID, gaussians(GRID) + noise)
    nearest = np.abs(mz[:, None] - CENTRES).min(axis=0)
    assert (nearest < 0.01).all()
    # Of 46,000 points of noise some hundreds are local maxima beyond three deviations.
    assert (intensity < 10).sum() < GRID.size / 50


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_scale_does_not_matter(factor: float) -> None:
    rng = np.random.default_rng(2)
    profile = gaussians(GRID) + rng.uniform(0, 2, GRID.size)
    one, two = pick(GRID, profile), pick(GRID, profile * factor)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-12)
    np.testing.assert_allclose(one[1] * factor, two[1], rtol=1e-12)


def test_zeros_left_out_make_no_difference() -> None:
    """An instrument that does not write points without signal gives the same peaks."""
    profile = gaussians(GRID)
    profile[profile < 1e-3] = 0
    kept = profile > 0
    one, two = pick(GRID, profile), pick(GRID[kept], profile[kept])
    assert one[0].size == CENTRES.size
    np.testing.assert_allclose(one[0], two[0], rtol=1e-12)
    np.testing.assert_array_equal(one[1], two[1])


def test_peaks_at_the_rim_of_gaps_and_of_the_spectrum() -> None:
    mz = np.array([100.0, 100.01, 100.02, 101.0, 101.01, 101.02, 101.03])
    intensity = np.array([9.0, 5.0, 1.0, 1.0, 2.0, 3.0, 8.0])
    picked, heights = pick(mz, intensity)
    assert picked.tolist() == [100.0, 101.03]
    assert heights.tolist() == [9.0, 8.0]


def test_flat_top_is_one_peak_in_its_middle() -> None:
    """A saturated detector cuts peaks off."""
    profile = np.minimum(gaussians(GRID), 60.0)
    mz, intensity = pick(GRID, profile)
    assert mz.size == CENTRES.size
    np.testing.assert_allclose(mz, CENTRES, atol=0.005)
    assert intensity.max() == 60.0


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_tiny_spectra(n: int) -> None:
    mz, intensity = pick(100 + 0.01 * np.arange(n), np.ones(n))
    assert mz.size == intensity.size <= 1


def test_zero_spectrum_has_no_peaks() -> None:
    assert pick(GRID, np.zeros(GRID.size))[0].size == 0


def test_peaks_ascend_and_stay_between_their_neighbours() -> None:
    rng = np.random.default_rng(3)
    mz = np.cumsum(rng.uniform(0.001, 0.004, 5000)) + 100
    picked, heights = pick(mz, rng.exponential(1, 5000))
    assert picked.size > 10
    assert (np.diff(picked) > 0).all()
    nearest = np.abs(mz[:, None] - picked).argmin(axis=0)
    assert (np.abs(mz[nearest] - picked) < 0.002).all()
    assert (heights > 0).all()


def test_pixels_do_not_touch() -> None:
    rng = np.random.default_rng(4)
    profiles = [gaussians(GRID) * scale + rng.uniform(0, 1, GRID.size) for scale in (1, 2, 0)]
    offsets = np.array([0, GRID.size, GRID.size, 2 * GRID.size, 3 * GRID.size])
    mz, intensity, found = centroid(np.tile(GRID, 3), np.concatenate(profiles), offsets)
    alone = [pick(GRID, profile) for profile in profiles]
    assert (
        found.tolist()
        == np.cumsum([0, alone[0][0].size, 0, alone[1][0].size, alone[2][0].size]).tolist()
    )
    np.testing.assert_array_equal(mz, np.concatenate([one for one, _ in alone]))
    np.testing.assert_array_equal(intensity, np.concatenate([one for _, one in alone]))


# -------------------------------------------------------------------- through the reader


def profile_pixels(n: int = 3) -> list[Pixel]:
    grid = np.arange(200.0, 202.0, 0.005)
    return [
        Pixel(
            x,
            1,
            grid.tolist(),
            gaussians(grid, np.array([200.5, 201.2]), np.array([10.0, 5.0 * x])).tolist(),
        )
        for x in range(1, n + 1)
    ]


@pytest.mark.parametrize("layout", ["processed", "continuous"])
def test_declared_profile(tmp_path: Path, layout: str) -> None:
    """Case 25."""
    path = Builder(profile_pixels(), layout=layout, mode="profile").write(tmp_path)
    with pytest.raises(
        ImzMLError, match=r'image\.imzML: holds profile spectra.*profile="centroid"'
    ):
        open_imzml(path)
    spectra = read_imzml(path, profile="centroid")
    assert spectra.peak_counts.tolist() == [2, 2, 2]
    assert spectra.axis is None
    np.testing.assert_allclose(spectra.mz, [200.5, 201.2] * 3, rtol=1e-6)


def test_undeclared_profile_is_seen(tmp_path: Path) -> None:
    path = Builder(profile_pixels(), mode=None).write(tmp_path)
    with pytest.raises(ImzMLError, match="seems to hold profile spectra"):
        open_imzml(path)


def test_profile_declared_centroid(tmp_path: Path) -> None:
    """Read as declared, with a warning; centroided where the user asks for it."""
    path = Builder(profile_pixels(), mode="centroid").write(tmp_path)
    with pytest.warns(UserWarning, match="sampled as densely and evenly as a profile"):
        assert read_imzml(path).peak_counts.min() > 200
    with pytest.warns(UserWarning, match="sampled as densely"):
        assert read_imzml(path, profile="centroid").peak_counts.tolist() == [2, 2, 2]


def test_a_profile_declared_centroid_among_profiles(tmp_path: Path) -> None:
    path = Builder(profile_pixels(), mode="profile").write(tmp_path)
    mark = '<referenceableParamGroupRef ref="spectrum"/>'
    centroided = '<cvParam cvRef="MS" accession="MS:1000127" name="centroid spectrum" value=""/>'
    positive = '<cvParam cvRef="MS" accession="MS:1000130" name="positive scan" value=""/>'
    edit(path, mark, centroided + positive)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_imzml(path, profile="centroid").peak_counts.tolist() == [2, 2, 2]
    text = "\n".join(str(one.message) for one in caught)
    assert "1 spectra are declared centroid but sampled as densely" in text


def test_unsorted_profile_is_sorted_before_peaks_are_picked(tmp_path: Path) -> None:
    pixels = profile_pixels()
    pixels[1].mz, pixels[1].intensity = pixels[1].mz[::-1], pixels[1].intensity[::-1]
    path = Builder(pixels, mode="profile").write(tmp_path)
    with pytest.warns(UserWarning, match="1 spectra had m/z out of order"):
        spectra = read_imzml(path, profile="centroid")
    np.testing.assert_allclose(spectra.mz, [200.5, 201.2] * 3, rtol=1e-6)


def test_validate_says_how_to_read_a_profile(tmp_path: Path) -> None:
    found = validate_imzml(Builder(profile_pixels(), mode="profile").write(tmp_path))
    assert found["mode"] == "profile"
    assert found["peaks_per_pixel"] == [2.0, 2.0, 2.0]
    assert 'read it with profile="centroid"' in found["warnings"][-1]
