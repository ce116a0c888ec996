"""Models know what they know: what users get for spectra that a model was not made for.

The files are built as in the public reports: own pixels again, and the same pixels with other ions.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from foreign_builder import FOREIGN, rounded, undeclared, with_intensity
from imzml_builder import Builder, Pixel
from massgraph.data.spectra import Spectra
from source_builder import Bare, Blocks

Models = dict[str, Any]


def section(seed: int) -> tuple[Spectra, np.ndarray]:
    made = mg.simulate("demo", n_runs=1, shape=(14, 14), random_state=seed)
    return made.spectra, np.asarray(made.labels, dtype=object)


@pytest.fixture(scope="module")
def train() -> tuple[Spectra, np.ndarray]:
    return section(1)


@pytest.fixture(scope="module")
def other() -> Spectra:
    """Another section of the same kind."""
    made = mg.simulate("demo", n_runs=2, shape=(14, 14), random_state=1).spectra
    return made[made.run == "run2"]


@pytest.fixture(scope="module")
def models(train: tuple[Spectra, np.ndarray]) -> Models:
    spectra, labels = train
    clf = mg.RGCNClassifier(branches=("axis", "family"), folds=3, augment=0).fit(spectra, labels)
    return {"classifier": clf, "regions": mg.SpatialRegions(n_regions=4).fit(spectra)}


@pytest.fixture(params=["classifier", "regions"])
def model(request: pytest.FixtureRequest, models: Models) -> Any:
    return models[request.param]


def quietly(call: Any, *arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)


# -------------------------------------------------------------------- own data


def test_own_sections_are_known(model: Any, other: Spectra) -> None:
    coverage = model.coverage(other)
    assert coverage.shape == (other.n_pixels,)
    assert coverage.mean() > 0.93  # beside the tissue .85, within it .98
    shifted = model.coverage(mg.degrade.shift_mz(other, 200.0, "ppm"))
    assert shifted.mean() > 0.93


def test_own_sections_give_no_warning(model: Any, other: Spectra) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(other)
        model.predict_proba(undeclared(other))
        model.segment(mg.degrade.shift_mz(other, 30.0, "ppm"), explain=False)


def test_predictions_of_covered_pixels_are_softmax_of_logits(
    models: Models, other: Spectra
) -> None:
    clf = models["classifier"]
    covered = clf.coverage(other) >= clf.summary()["coverage_refused_below"]
    logits = clf.fitted_.logits_with_neighbours(other)
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    assert covered.mean() > 0.9
    np.testing.assert_allclose(clf.predict_proba(other)[covered], expected[covered], atol=1e-12)


def test_few_own_pixels_are_not_refused(model: Any, other: Spectra) -> None:
    for pixel in range(0, other.n_pixels, 40):
        model.predict(other[pixel : pixel + 1])


# -------------------------------------------------------------------- foreign data


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_runs_are_refused(model: Any, other: Spectra, name: str) -> None:
    make, words = FOREIGN[name]
    foreign = make(other)
    assert quietly(model.coverage, foreign).mean() < 0.4
    for call in (model.predict, model.predict_proba, model.segment):
        with pytest.raises(mg.InputError, match="the model does not know run") as error:
            call(foreign)
        assert words in str(error.value)


@pytest.mark.parametrize("name", FOREIGN)
def test_uncertainty_rises_on_what_is_foreign(models: Models, other: Spectra, name: str) -> None:
    clf = models["classifier"]
    own = clf.uncertainty(other).mean()
    foreign = FOREIGN[name][0](other)
    assert clf.uncertainty(foreign).mean() > max(0.75, own + 0.3)


@pytest.mark.parametrize("call", ["predict", "predict_proba", "segment"])
def test_who_insists_is_answered_with_a_warning(model: Any, other: Spectra, call: str) -> None:
    foreign = FOREIGN["peptides"][0](other)
    with pytest.warns(UserWarning, match="the model knows little of run"):
        found = getattr(model, call)(foreign, min_coverage=0)
    assert len(found) == other.n_pixels


def test_explanations_are_refused_as_well(models: Models, other: Spectra) -> None:
    foreign = FOREIGN["tenths"][0](other)
    with pytest.raises(mg.InputError, match="m/z rounded to tenths"):
        models["classifier"].explain(foreign)
    with pytest.raises(mg.InputError, match="m/z rounded to tenths"):
        models["regions"].findings(foreign)
    with pytest.warns(UserWarning, match="knows little"):
        models["classifier"].explain(foreign, min_coverage=0)


def test_logits_and_activations_are_those_of_the_network(models: Models, other: Spectra) -> None:
    """Only probabilities are drawn: what adds up still does, however foreign."""
    clf = models["classifier"]
    foreign = FOREIGN["peptides"][0](other)
    explanation = quietly(clf.explain, foreign, min_coverage=0)
    logits = clf.logits(foreign)
    known = ~np.isnan(logits).any(axis=1)
    np.testing.assert_allclose(explanation.logits()[known], logits[known], atol=1e-6)


def test_classes_are_those_of_the_logits(models: Models, other: Spectra) -> None:
    clf = models["classifier"]
    foreign = rounded(other, 0.1)
    found = quietly(clf.predict, foreign, min_coverage=0)
    segmented = quietly(clf.segment, foreign, explain=False, min_coverage=0)
    assert [str(one) for one in found] == [str(one) for one in np.asarray(segmented.label)]


def test_another_scale_is_told(model: Any, other: Spectra) -> None:
    with pytest.warns(UserWarning, match="are on another scale than those of the fit"):
        model.predict(with_intensity(other, np.log1p))


def test_the_published_network_cannot_tell(
    train: tuple[Spectra, np.ndarray], other: Spectra
) -> None:
    clf = mg.RGCNClassifier(preset="published", epochs=1).fit(*train)
    assert np.isnan(clf.coverage(other)).all()
    assert clf.segment(other, explain=False).coverage is None
    assert "coverage_own" not in clf.summary()


# -------------------------------------------------------------------- block by block


@pytest.mark.parametrize("source", [Bare, Blocks])
def test_sources_have_the_same_coverage(model: Any, other: Spectra, source: Any) -> None:
    np.testing.assert_allclose(model.coverage(source(other)), model.coverage(other), atol=1e-9)
    whole, blocks = (model.segment(x, explain=False) for x in (other, source(other)))
    np.testing.assert_allclose(blocks.coverage, whole.coverage, atol=1e-9)
    np.testing.assert_allclose(blocks.probability, whole.probability, atol=1e-9)


class Counted(Blocks):
    """A large source, of which it matters how much is read."""

    def places(self) -> Spectra:
        return mg.streaming.without_peaks(self.spectra)

    def blocks(self) -> Any:
        msg = "all pixels were read"
        raise AssertionError(msg)


@pytest.mark.parametrize("call", ["predict", "segment"])
def test_a_foreign_source_is_refused_by_a_sample(model: Any, other: Spectra, call: str) -> None:
    many = Spectra.concatenate([FOREIGN["unit mass"][0](other)] * 5)
    with pytest.raises(mg.InputError, match=r"unit mass\), in a sample of the pixels"):
        getattr(model, call)(Counted(many))


def test_a_source_is_told_of_again_at_the_end(model: Any, other: Spectra) -> None:
    many = Spectra.concatenate([FOREIGN["peptides"][0](other)] * 5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict(Blocks(many), min_coverage=0)
    said = [str(one.message) for one in caught if "knows little" in str(one.message)]
    assert "in a sample of the pixels" in said[0]
    assert "over all its pixels" in said[1]


# -------------------------------------------------------------------- where it is shown


def test_segmentation_has_it_by_pixel_and_run(model: Any, other: Spectra) -> None:
    found = model.segment(other, explain=False)
    np.testing.assert_array_equal(found.coverage, model.coverage(other))
    (row,) = found.coverage_by_run().itertuples(index=False)
    assert (row.run, row.n_pixels, row.n_uncovered) == ("run2", other.n_pixels, 0)
    assert row.coverage == pytest.approx(found.coverage.mean())
    obs = found.to_anndata().obs
    np.testing.assert_array_equal(obs["massgraph_coverage"], found.coverage)


def test_summaries_have_the_levels(model: Any) -> None:
    summary = model.summary()
    chance, refused, warned, own = (
        summary[f"coverage_{name}"]
        for name in ("by_chance", "refused_below", "warned_below", "own")
    )
    assert 0 < chance < refused < warned < own


def test_uncovered_pixels_are_counted(models: Models, other: Spectra) -> None:
    foreign = FOREIGN["unit mass"][0](other)
    found = quietly(models["classifier"].segment, foreign, explain=False, min_coverage=0)
    assert found.coverage_by_run()["n_uncovered"].tolist() == [other.n_pixels]
    assert found.uncertainty.min() > 0.99


# -------------------------------------------------------------------- files, as users bring them


def written(spectra: Spectra, folder: Path, name: str, polarity: str | None) -> Path:
    assert spectra.coordinates is not None
    pixels = [
        Pixel(int(x), int(y), *(values.tolist() for values in spectra.pixel(index)))
        for index, (x, y) in enumerate(spectra.coordinates)
    ]
    return Builder(pixels=pixels, polarity=polarity).write(folder, name)


READ = {  # what the files of the public reports are called, and what they hold
    "same": lambda x: x,
    "nopol": undeclared,
    "shift30ppm": lambda x: mg.degrade.shift_mz(x, 30.0, "ppm"),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.filterwarnings("ignore:.*declares no polarity")
def test_files_that_are_known(model: Any, other: Spectra, tmp_path: Path, name: str) -> None:
    spectra = READ[name](other)
    found = mg.read_imzml(written(spectra, tmp_path, name, spectra.polarity))
    assert model.coverage(found).mean() > 0.93
    assert (model.predict(found) == model.predict(other)).mean() > 0.98


REFUSED = {
    "unitmass": ("unit mass, beside", "m/z rounded to unit mass"),
    "neg_undeclared": ("two protons less", "as for the other polarity"),
    "peptides": ("900 Da more", "another m/z range"),
    "plus137": ("137 Da more", ""),
    "qtof_unit_0p1": ("tenths", "m/z rounded to tenths of a Dalton"),
    "random": ("random", "another sample"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*(declares no polarity|share the m/z)")
def test_files_that_are_not(model: Any, other: Spectra, tmp_path: Path, name: str) -> None:
    what, words = REFUSED[name]
    spectra = FOREIGN[what][0](other)
    found = mg.read_imzml(written(spectra, tmp_path, name, spectra.polarity))
    with pytest.raises(mg.InputError, match=f"does not know run '{name}'") as error:
        model.predict(found)
    assert words in str(error.value)


def test_a_file_of_logarithms(model: Any, other: Spectra, tmp_path: Path) -> None:
    path = written(with_intensity(other, np.log1p), tmp_path, "log", "positive")
    with pytest.warns(UserWarning, match="intensities of run 'log' are on another scale"):
        model.predict(mg.read_imzml(path))


def test_a_file_of_the_other_polarity(model: Any, other: Spectra, tmp_path: Path) -> None:
    found = mg.read_imzml(written(other, tmp_path, "neg", "negative"))
    with pytest.raises(mg.InputError, match="of negative polarity"):
        model.predict(found)
