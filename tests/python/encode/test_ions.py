"""Nodes of the default model: the ions of a pixel, merged from its peaks, and what is usual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import massgraph as mg
from massgraph.data import degrade
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.ions import LEAST, N_CONTEXT, context, ion_nodes, spread
from massgraph.encode.learn_axis import learn_axis


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny").spectra


@pytest.fixture(scope="module")
def axis(spectra: mg.Spectra) -> MassAxis:
    return learn_axis(spectra)


def sharp(axis: MassAxis, *pixels: tuple[list[float], list[float]]) -> CalibratedSpectra:
    """Peaks of which it is certain which ions they belong to."""
    made = mg.Spectra.from_peaks([(np.array(mz), np.array(i)) for mz, i in pixels])
    return CalibratedSpectra(made, np.full(len(pixels), 1e-4))


# -------------------------------------------------------------------- a user's story


def test_nodes_are_the_ions_of_a_pixel(axis: MassAxis, spectra: mg.Spectra) -> None:
    nodes = ion_nodes(axis, axis.calibrate(spectra))
    assert np.isin(nodes.spectra.mz, axis.mz).all()
    np.testing.assert_array_equal(nodes.spectra.mz, axis.mz[nodes.ion])
    assert ((nodes.weight >= LEAST) & (nodes.weight <= 1)).all()
    for one in nodes.spectra:
        assert (np.diff(one.mz) > 0).all()  # each ion once
    assert nodes.spectra.n_pixels == spectra.n_pixels
    assert 0.5 < nodes.spectra.n_peaks / spectra.n_peaks < 1.1


def test_noise_peaks_make_no_nodes(axis: MassAxis, spectra: mg.Spectra) -> None:
    noisy = degrade.add_noise_peaks(spectra, 1.0, rng())
    clean = ion_nodes(axis, axis.calibrate(spectra)).spectra.n_peaks
    worse = ion_nodes(axis, axis.calibrate(noisy)).spectra.n_peaks
    assert noisy.n_peaks > 1.9 * spectra.n_peaks
    assert worse < 1.1 * clean


def test_peaks_that_share_an_ion_add_up(axis: MassAxis) -> None:
    mz = float(axis.mz[3])
    nodes = ion_nodes(axis, sharp(axis, ([mz - 2e-4, mz + 2e-4], [10.0, 30.0]), ([mz], [40.0])))
    assert nodes.ion.tolist() == [3, 3]
    assert nodes.weight[0] == 1
    assert nodes.spectra.intensity[0] == pytest.approx(40, rel=0.1)
    np.testing.assert_allclose(nodes.part.toarray()[0], [0.25, 0.75, 0], atol=0.01)


def test_a_mixture_is_that_of_the_spectra(axis: MassAxis, spectra: mg.Spectra) -> None:
    """Half of a pixel's own peaks, mixed in, change no share."""
    calibrated = axis.calibrate(spectra[:3])
    twice = mg.Spectra.from_peaks(
        [
            (np.repeat(one.mz, 2), np.stack([one.intensity, one.intensity / 2], axis=1).ravel())
            for one in calibrated.spectra
        ]
    )
    once, both = (
        ion_nodes(axis, replace(calibrated, spectra=part)) for part in (calibrated.spectra, twice)
    )
    strong = once.weight > 0.5
    kept = np.isin(both.ion, once.ion[strong])
    assert kept.mean() > 0.8
    ratio = both.spectra.intensity.sum() / once.spectra.intensity.sum()
    assert ratio == pytest.approx(1.5, rel=0.1)


def test_context_knows_what_is_missing(axis: MassAxis, spectra: mg.Spectra) -> None:
    def of(part: mg.Spectra) -> np.ndarray:
        return context(axis, ion_nodes(axis, axis.calibrate(part)))

    clean, half = of(spectra), of(degrade.remove_peaks(spectra, 0.5, rng()))
    assert clean.shape[1] == N_CONTEXT
    assert 0.8 < clean[:, 1:].mean() <= 1
    assert half[:, 1:].mean() < 0.75 * clean[:, 1:].mean()  # of clean pixels 1 at most counts
    strong = of(degrade.keep_most_intense(spectra, 0.5))
    assert strong[:, 4].mean() > strong[:, 1].mean() + 0.3
    brighter = of(degrade.scale_intensity(spectra, 7.0))
    np.testing.assert_allclose(brighter, clean, atol=1e-4)


# -------------------------------------------------------------------- invariants


def test_activations_go_back_to_the_peaks_whole(axis: MassAxis, spectra: mg.Spectra) -> None:
    calibrated = axis.calibrate(degrade.jitter_mz(spectra, 0.004, "Da", rng()))
    nodes = ion_nodes(axis, calibrated)
    activation = rng().normal(size=(nodes.spectra.n_peaks, 3))
    peaks = spread(nodes, calibrated.spectra, activation)
    assert peaks.shape == (spectra.n_peaks, 3)

    def means(part: mg.Spectra, values: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                np.bincount(part.pixel_of_peak, column, part.n_pixels) / part.peak_counts
                for column in values.T
            ]
        )

    np.testing.assert_allclose(
        means(calibrated.spectra, peaks), means(nodes.spectra, activation), atol=1e-12
    )
    np.testing.assert_allclose(np.asarray(nodes.part.sum(axis=1)), 1, atol=1e-12)


def test_peaks_near_no_ion_have_no_part(axis: MassAxis) -> None:
    mz = float(axis.mz[0])
    calibrated = sharp(axis, ([mz - 3.3, mz], [5.0, 5.0]), ([mz - 3.3], [5.0]))
    nodes = ion_nodes(axis, calibrated)
    assert nodes.spectra.peak_counts.tolist() == [1, 0]
    peaks = spread(nodes, calibrated.spectra, np.ones((1, 2)))
    np.testing.assert_allclose(peaks, [[0, 0], [2, 2], [0, 0]])


def test_levels_do_not_depend_on_the_gain_of_pixels(axis: MassAxis, spectra: mg.Spectra) -> None:
    gains = np.exp(rng().normal(size=spectra.n_pixels))
    other = learn_axis(degrade.scale_intensity(spectra, gains))
    assert len(other) == len(axis)
    difference = other.level - axis.level
    assert np.ptp(difference) < 0.05


# -------------------------------------------------------------------- enemies


def test_nothing_to_merge() -> None:
    empty = mg.Spectra.from_peaks([([], []), ([], [])])
    axis = learn_axis(empty)
    for part in (empty, mg.Spectra.from_peaks([([500.0], [1.0]), ([], [])])):
        calibrated = axis.calibrate(part)
        nodes = ion_nodes(axis, calibrated)
        assert nodes.spectra.peak_counts.tolist() == [0, 0]
        assert context(axis, nodes).shape == (0, N_CONTEXT)
        assert spread(nodes, calibrated.spectra, np.empty((0, 2))).shape == (part.n_peaks, 2)


def test_pixels_of_unknown_ions_have_no_class(spectra: mg.Spectra) -> None:
    truth = mg.simulate("tiny")
    model = mg.RGCNClassifier(branches=("axis",), folds=2, augment=1, device="cpu")
    model.fit(truth.spectra, truth.labels)
    known = [(one.mz, one.intensity) for one in truth.spectra[:30]]
    strange = mg.Spectra.from_peaks([*known, (np.array([150.123, 163.4]), np.ones(2))])
    assert np.isnan(model.logits(strange)[30]).all()
    assert model.predict(strange)[30] is None
    assert model.explain(strange).labels[30] == -1
    assert model.uncertainty(strange)[30] == 1
