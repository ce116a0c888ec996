"""What is said of runs before they are worked on, and after."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import massgraph as mg
from foreign_builder import with_intensity
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import MassAxis
from massgraph.encode.coverage import Knowledge, best_covered
from massgraph.encode.guard import Guard, check_min_coverage
from massgraph.encode.learn_axis import own_axis
from massgraph.encode.learn_levels import learn_levels


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    return mg.simulate("small", n_runs=4, random_state=1).spectra


@pytest.fixture(scope="module")
def axis_and_known(spectra: Spectra) -> tuple[MassAxis, Knowledge]:
    first = spectra[np.isin(spectra.run, ["run1", "run2"])]
    axis, calibrated, _ = own_axis(first)
    return axis, Knowledge.of(axis, learn_levels(axis, first, calibrated))


@pytest.fixture
def look(axis_and_known: tuple[MassAxis, Knowledge]):  # type: ignore[no-untyped-def]
    """Asks a guard about spectra; gives what it warned of."""
    axis, known = axis_and_known

    def asked(spectra: Spectra, min_coverage: float | None = None, **options: bool) -> list[str]:
        guard = Guard(known, "positive", min_coverage)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            guard.before(spectra, axis.calibrate(spectra).spectra, **options)
        return [str(one.message) for one in caught]

    return asked


def renamed(spectra: Spectra, name: str) -> Spectra:
    return replace(spectra, run_names=(name,), run_codes=None)


def test_own_runs_give_no_word(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    own = spectra[spectra.run == "run3"]
    for given in (
        spectra,
        mg.degrade.remove_peaks(own, 0.25, rng),
        mg.degrade.jitter_mz(own, 5e-3, "Da", rng),
        mg.degrade.shift_mz(own, 50.0, "ppm"),
        mg.degrade.shift_mz(own, 200.0, "ppm"),
        mg.degrade.batch_effect(own, 0.8, rng),
        mg.degrade.keep_most_intense(own, 0.25),
    ):
        assert look(given) == []


def test_each_own_pixel_by_itself_is_answered(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    for pixel in range(0, 900, 60):
        assert look(spectra[pixel : pixel + 1]) == []


def test_one_foreign_run_of_several_is_named(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    own = spectra[spectra.run == "run3"]
    other = mg.degrade.shift_mz(spectra[spectra.run == "run4"], 600.0, "Da")
    with pytest.raises(mg.InputError) as error:
        look(Spectra.concatenate([own, renamed(other, "slide7")]))
    said = str(error.value)
    assert "run 'slide7' (coverage 0.00 at best, suspected: another m/z range" in said
    assert "run3" not in said
    assert "min_coverage=0" in said
    assert "\n" not in said


def test_many_foreign_runs_are_counted(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    far = mg.degrade.shift_mz(spectra[::9], 600.0, "Da")
    parts = [renamed(far, f"slide{k}") for k in range(6)]
    with pytest.raises(mg.InputError, match=r"'slide2' .*, 3 more: its own pixels"):
        look(Spectra.concatenate(parts))


def test_who_insists_is_warned(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    far = mg.degrade.shift_mz(spectra[:50], 600.0, "Da")
    (said,) = look(far, min_coverage=0.0)
    assert said.startswith("the model knows little of run 'run1' (coverage 0.00")


def test_a_level_of_the_users_own(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    own = spectra[spectra.run == "run3"]
    assert look(own, min_coverage=0.9) == []
    with pytest.raises(mg.InputError, match=r"a run below 0\.99 is refused"):
        look(own, min_coverage=0.99)


def test_between_the_levels_is_a_warning(spectra: Spectra, look, axis_and_known) -> None:  # type: ignore[no-untyped-def]
    """Most of the best quarter of the pixels are known: it is answered, with a word."""
    own = spectra[spectra.run == "run3"]
    kept = own.n_pixels // 7
    far = renamed(mg.degrade.shift_mz(own[kept:], 600.0, "Da"), "run3")
    mixed = Spectra.concatenate([own[:kept], far])
    axis, known = axis_and_known
    coverage = known.coverage(axis.calibrate(mixed).spectra)
    best, _ = best_covered(coverage, mixed.run)["run3"]
    assert known.levels.refuse < best < known.levels.warn
    (said,) = look(mixed)
    assert said.startswith("the model knows little of run 'run3'")


def test_pixels_off_the_tissue_do_not_count(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    """Two thirds of an image have other ions, as of the matrix alone: not a word."""
    own = spectra[spectra.run == "run3"]
    kept = own.n_pixels // 3
    matrix = renamed(mg.degrade.shift_mz(own[kept:], 600.0, "Da"), "run3")
    assert look(Spectra.concatenate([own[:kept], matrix])) == []


def test_noise_over_all_ions_is_a_warning(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    """The ions are all there, and other peaks beside them: a list of features meets raw data."""
    own = spectra[spectra.run == "run3"]
    noisy = mg.degrade.add_noise_peaks(own, 4.0, np.random.default_rng(0))
    (said,) = look(noisy)
    assert "the ions are there, but other peaks hold the ion current" in said


def test_pixels_without_peaks_count_for_nothing(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    own = spectra[spectra.run == "run3"]
    few = own.keep_peaks(own.pixel_of_peak < 40)
    assert look(few) == []
    assert look(own.keep_peaks(np.zeros(own.n_peaks, dtype=bool))) == []


def test_another_scale_is_one_warning(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    own = with_intensity(spectra[spectra.run == "run3"], np.log1p)
    (said,) = look(own)
    assert said.startswith("the intensities of run 'run3' are on another scale than those of the")
    assert "\n" not in said


def test_a_sample_is_called_one(spectra: Spectra, look) -> None:  # type: ignore[no-untyped-def]
    far = mg.degrade.shift_mz(spectra[:50], 600.0, "Da")
    (said,) = look(far, min_coverage=0.0, sample=True)
    assert "in a sample of the pixels" in said


def test_a_model_that_knows_no_ions_says_nothing(spectra: Spectra) -> None:
    Guard(None, None).before(spectra, spectra)
    Guard(None, None).after(np.zeros(3), np.array(["a"] * 3))


@pytest.mark.parametrize("value", [-0.1, 1.1, "0", True, np.nan, [0.5]])
def test_levels_that_are_none(value: object) -> None:
    with pytest.raises(mg.InputError, match="min_coverage is"):
        check_min_coverage(value)  # type: ignore[arg-type]
