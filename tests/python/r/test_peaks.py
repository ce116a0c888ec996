"""What kind of spectra a Cardinal object holds, and peaks that are out of order."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph.r.values import to_r
from r_door import r, start_r

SAMPLED = np.arange(500.0, 510.0, 0.02)
PEAKS = np.cumsum(np.random.default_rng(3).uniform(0.5, 9.0, 60)) + 300


@pytest.fixture(autouse=True)
def _r() -> None:
    start_r()


def experiment(mz: np.ndarray, centroided: str) -> Any:
    values = np.random.default_rng(1).uniform(1, 9, size=(mz.size, 4))
    place = to_r(np.arange(1.0, 5))
    return r("standInExperiment")(to_r(values), to_r(mz), place, place, centroided=r(centroided))


def arrays(mz: list[np.ndarray], intensity: list[np.ndarray], centroided: str = "NA") -> Any:
    place = to_r(np.arange(1.0, len(mz) + 1))
    return r("standInArrays")(to_r(mz), to_r(intensity), place, place, centroided=r(centroided))


def read(x: Any, **more: Any) -> tuple[mg.Spectra, list[str]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        spectra = mg.r.open_cardinal(x, **more).spectra()
    return spectra, [str(one.message) for one in told]


# ---------------------------------------------------------------- kind of spectra


@pytest.mark.parametrize("centroided", ["NA", "FALSE"])
def test_profiles_are_refused(centroided: str) -> None:
    with pytest.raises(mg.InputError, match=r"run peakProcess\(x\) first, or set centroided\(x\)"):
        mg.r.to_spectra(experiment(SAMPLED, centroided))
    ones = [np.ones(SAMPLED.size)] * 3
    with pytest.raises(mg.InputError, match=r"run peakProcess\(x\) first"):
        mg.r.to_spectra(arrays([SAMPLED] * 3, ones, centroided))


def test_profiles_that_are_declared_peaks_are_told() -> None:
    spectra, told = read(experiment(SAMPLED, "TRUE"))
    assert spectra.n_pixels == 4
    assert len(told) == 1
    assert told[0].startswith("the spectra are taken for peaks, but their m/z lie as densely")


@pytest.mark.parametrize("centroided", ["NA", "TRUE"])
def test_peaks_are_read_without_a_word(centroided: str) -> None:
    assert read(experiment(PEAKS, centroided))[1] == []
    assert read(arrays([PEAKS, PEAKS[::2]], [PEAKS, PEAKS[::2]], centroided))[1] == []
    # Too few to look like anything.
    assert read(experiment(np.array([500.01, 500.02, 500.03]), centroided))[1] == []


def test_peaks_on_a_fine_axis_are_peaks() -> None:
    # As Cardinal makes it of peaks with m/z of their own, which are then binned at 10 ppm.
    axis = 500 * (1 + 1e-5) ** np.arange(20000)
    values = np.zeros((axis.size, 4))
    for pixel, row in enumerate(values.T):
        row[np.random.default_rng(pixel).choice(axis.size, 80, replace=False)] = 1
    place = to_r(np.arange(1.0, 5))
    x = r("standInExperiment")(to_r(values), to_r(axis), place, place)
    spectra, told = read(x)
    assert spectra.peak_counts.tolist() == [80] * 4
    assert told == []


def test_peaks_that_say_that_they_are_none_are_refused() -> None:
    with pytest.raises(mg.InputError, match="are not centroided"):
        mg.r.to_spectra(experiment(PEAKS, "FALSE"))


def test_some_profiles_among_peaks_do_not_decide() -> None:
    mz = [SAMPLED, PEAKS, PEAKS + 0.1]
    assert read(arrays(mz, [np.ones(one.size) for one in mz]))[1] == []


# ---------------------------------------------------------------- order of the peaks


@pytest.mark.parametrize("size", [None, 1])
def test_peaks_out_of_order_are_sorted_with_one_warning(size: int | None) -> None:
    step = 600.2 - 4.5e-13  # rounded differently than its neighbour
    mz = [np.array([500.1, 600.2]), np.array([500.1, 600.2, step]), np.array([600.2, 500.1])]
    intensity = [np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0])]
    spectra, told = read(arrays(mz, intensity), pixels_per_block=size)
    assert spectra.mz.tolist() == [500.1, 600.2, 500.1, step, 600.2, 500.1, 600.2]
    assert spectra.intensity.tolist() == [1, 2, 1, 3, 2, 6, 5]
    assert told == ["m/z out of order were sorted (first in the pixel at x = 2, y = 2 in run0)"]


def test_peaks_of_one_mz_are_kept_with_one_warning() -> None:
    mz = [np.array([500.1, 600.2, 600.2])] * 2
    spectra, told = read(arrays(mz, [np.array([1.0, 2.0, 3.0])] * 2))
    assert spectra.n_peaks == 6
    assert told == [
        "peaks share the m/z of another in their pixel; all were kept (first in the pixel at "
        "x = 1, y = 1 in run0)"
    ]
    assert read(arrays(mz, [np.array([1.0, 2.0, 0.0])] * 2))[1] == []


def test_a_pixel_that_cannot_be_read_is_named_by_its_place_among_all() -> None:
    mz = [np.array([500.1])] * 3 + [np.array([500.1, 600.2])]
    image = mg.r.open_cardinal(arrays(mz, [np.array([1.0])] * 4))
    with pytest.raises(mg.InputError, match=r"^pixel 3: 2 m/z but 1 intensities"):
        image.read(2, 4)


# ---------------------------------------------------------------- noise


def test_rpy2_says_nothing_where_its_compiled_interface_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "_rinterface_cffi_api.py").write_text(
        "raise ImportError('libR.so is of another R')"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from massgraph.r.session import start\n"
        "print(start().evalr('1 + 1')[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("2.0\n", "")
