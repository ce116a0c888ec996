"""Gains between runs: found where they are, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

import massgraph as mg
from massgraph import degrade
from massgraph._util.errors import InputTypeError
from massgraph.encode.gains import RunGains
from massgraph.fitted import FittedModel, Reading
from massgraph.learn.run_gains import LEAST_PIXELS, learn_gains
from massgraph.learn.targets import Labels
from source_builder import Bare

SD = 0.8


def quick(**parameters: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(effort="fast", spatial=False, folds=2, **parameters)


def by_molecule(spectra: mg.Spectra, model: FittedModel, sd: float) -> tuple[mg.Spectra, Any]:
    """Spectra with a gain for each molecule and run, and these gains, ``(n_runs, n_ions)``."""
    axis, usual = model.encoder.axis, model.usual
    assert axis is not None
    assert usual is not None
    drawn = sd * np.random.default_rng(1).normal(size=(len(spectra.run_names), len(axis)))
    gain = drawn[:, usual.group]
    ion = np.abs(spectra.mz[:, None] - axis.mz).argmin(axis=1)
    run = np.asarray(spectra.run_codes)[spectra.pixel_of_peak]
    intensity = spectra.intensity * np.exp(gain[run, ion])
    return spectra._derive(intensity=intensity.astype(np.float32)), gain


def gains_of(model: mg.RGCNClassifier, spectra: mg.Spectra) -> RunGains | None:
    reading = Reading(model.fitted_, spectra, "predict")
    list(reading.parts("predicting"))
    return reading.gains


@pytest.fixture(scope="module")
def tissue() -> tuple[mg.Spectra, np.ndarray]:
    simulation = mg.simulate("medium", n_runs=4, shape=(16, 16), random_state=3)
    return simulation.spectra, np.asarray(simulation.labels, dtype=object)


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    spectra, labels = tissue
    old = np.isin(spectra.run, ["run1", "run2"])
    return quick().fit(spectra[old], labels[old])


def new_runs(tissue: Any) -> mg.Spectra:
    spectra, _ = tissue
    return spectra[np.isin(spectra.run, ["run3", "run4"])]


# -------------------------------------------------------------------- where there are gains


def test_gains_of_new_runs_are_found(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, gain = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    found = gains_of(fitted, spectra)
    assert found is not None
    # run4 has more molecules than the labelled pixels: as mixed pixels would have.
    assert found.names == ("run3",)
    for row, name in enumerate(found.names):
        truth = gain[list(spectra.run_names).index(name)]
        known = found.log_gain[row] != 0
        assert known.mean() > 0.5
        assert np.corrcoef(found.log_gain[row][known], truth[known])[0, 1] > 0.95
    np.testing.assert_allclose(found.spread, SD, rtol=0.3)


def test_new_runs_are_told_by_them() -> None:
    simulation = mg.simulate("medium", random_state=61, effect=0.2, shape=(24, 24))
    labels = simulation.labels
    known = np.flatnonzero(~pd.isna(labels))
    spectra = degrade.batch_effect(simulation.spectra, 0.5, np.random.default_rng(5))[known]
    labels, old = np.asarray(labels)[known], np.isin(spectra.run, ["run1", "run2", "run3"])
    learnt_from = np.random.default_rng(61).choice(np.flatnonzero(old), 285, replace=False)
    accuracy = []
    for run_gains in (False, True):
        model = quick(run_gains=run_gains).fit(spectra[learnt_from], labels[learnt_from])
        accuracy.append(balanced_accuracy_score(labels[~old], model.predict(spectra[~old])))
    assert accuracy[1] > accuracy[0] + 0.1


def test_gains_between_training_runs_are_found(tissue: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, labels = tissue
    old = np.isin(spectra.run, ["run1", "run2"])
    other, truth = by_molecule(spectra[old], fitted.fitted_, SD)
    usual, axis = fitted.fitted_.usual, fitted.encoder_.axis
    assert usual is not None
    assert axis is not None
    encoded = Labels(labels[old]).encode(other.n_pixels)
    _, rows, targets = encoded.targets(other.peak_counts > 0)
    found = learn_gains(axis, usual.group, axis.calibrate(other[rows]), targets).gains
    assert found is not None
    assert found.names == ("run1", "run2")
    between = found.log_gain[0] - found.log_gain[1]
    place = [list(other.run_names).index(name) for name in found.names]
    true = truth[place[0]] - truth[place[1]]
    assert np.corrcoef(between[between != 0], true[between != 0])[0, 1] > 0.9


def test_what_explains_adds_up_still(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    found = fitted.explain(spectra)
    np.testing.assert_allclose(found.logits(), fitted.logits(spectra), atol=1e-9)


def test_a_source_has_the_gains_of_its_spectra(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    np.testing.assert_allclose(
        fitted.predict_proba(Bare(spectra, 50)), fitted.predict_proba(spectra), atol=1e-9
    )


def test_saved_models_find_them(fitted: mg.RGCNClassifier, tissue: Any, tmp_path: Path) -> None:
    spectra, _ = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    fitted.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(spectra), fitted.predict_proba(spectra))


def test_the_report_names_the_runs(fitted: mg.RGCNClassifier, tissue: Any, tmp_path: Path) -> None:
    spectra, _ = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    segmentation = fitted.segment(spectra, explain=False)
    spreads = segmentation.parameters["gains_of_runs"]
    assert list(spreads) == ["run3"]
    mg.write_report(segmentation, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"in run3 ({spreads['run3']:.2f})" in text


# -------------------------------------------------------------------- where there are none


def test_nothing_is_taken_off_without_gains(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    assert gains_of(fitted, tissue[0]) is None
    segmentation = fitted.segment(tissue[0], explain=False)
    assert segmentation.parameters["gains_of_runs"] == {}


def test_few_pixels_have_no_gains(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    spectra, _ = by_molecule(new_runs(tissue), fitted.fitted_, SD)
    third = np.flatnonzero(spectra.run == "run3")
    assert gains_of(fitted, spectra[third[: LEAST_PIXELS - 1]]) is None
    assert gains_of(fitted, spectra[third]) is not None


@pytest.mark.filterwarnings("ignore:each class is labelled in one run only")
def test_runs_that_are_classes_have_no_gains(tissue: Any) -> None:
    spectra, labels = tissue
    one, other = (
        np.flatnonzero((spectra.run == run) & (labels == name))
        for run, name in (("run1", "stroma"), ("run2", "muscle"))
    )
    cores = np.sort(np.concatenate([one, other]))
    model = quick().fit(spectra[cores], labels[cores])
    assert model.fitted_.usual is None
    assert gains_of(model, spectra) is None


@pytest.mark.parametrize("keep", [0.5, 0.25])
def test_lost_peaks_are_no_gains(fitted: mg.RGCNClassifier, tissue: Any, keep: float) -> None:
    spectra = new_runs(tissue)
    assert gains_of(fitted, degrade.remove_peaks(spectra, keep, np.random.default_rng(0))) is None
    assert gains_of(fitted, degrade.keep_most_intense(spectra, keep)) is None


def test_more_of_an_adduct_is_no_gain() -> None:
    simulation = mg.simulate("adducts", random_state=2)
    spectra, labels = simulation.spectra, np.asarray(simulation.labels, dtype=object)
    first, second = (np.flatnonzero(spectra.run == name) for name in spectra.run_names[:2])
    assert gains_of(quick().fit(spectra[first], labels[first]), spectra[second]) is None


def test_it_can_be_left_out(tissue: Any, fitted: mg.RGCNClassifier) -> None:
    spectra, labels = tissue
    old = np.isin(spectra.run, ["run1", "run2"])
    model = quick(run_gains=False).fit(spectra[old], labels[old])
    assert model.fitted_.usual is None
    assert gains_of(model, by_molecule(new_runs(tissue), fitted.fitted_, SD)[0]) is None
    with pytest.raises(InputTypeError, match="run_gains 'yes' must be True or False"):
        quick(run_gains="yes").fit(spectra, labels)
