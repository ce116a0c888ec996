"""Saved regions: round trips, and every way in which their folder can be wrong."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import massgraph as mg
from massgraph import store
from massgraph.learn.regions import RegionModel
from massgraph.store import ModelError


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny").spectra


@pytest.fixture(scope="module")
def fitted(spectra: mg.Spectra) -> mg.SpatialRegions:
    return mg.SpatialRegions(max_regions=4, random_state=3).fit(spectra)


@pytest.fixture(scope="module")
def template(fitted: mg.SpatialRegions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """Saved regions that a test may spoil."""
    return Path(shutil.copytree(template, tmp_path / "model"))


# -------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    "settings",
    [
        {"max_regions": 4},
        {"n_regions": 1},
        {"n_regions": 3, "covariance": "own"},
        {"n_regions": 3, "spatial": False, "features": "ions"},
        {"n_regions": 4, "run_offsets": True, "radius": 2, "random_state": None},
    ],
    ids=str,
)
def test_loaded_regions_predict_the_same_bits(
    spectra: mg.Spectra, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that regions follow the runs
        regions = mg.SpatialRegions(**settings).fit(spectra)
    regions.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert isinstance(loaded, mg.SpatialRegions)
    np.testing.assert_array_equal(loaded.predict_proba(spectra), regions.probabilities_)
    np.testing.assert_array_equal(loaded.predict(spectra), regions.labels_)
    np.testing.assert_array_equal(loaded.transform(spectra), regions.transform(spectra))
    assert loaded.summary() == regions.summary()
    assert loaded.get_params() == {**regions.get_params(), "radius": loaded.radius}


def test_all_that_needs_no_pixels_comes_back(
    fitted: mg.SpatialRegions, template: Path, spectra: mg.Spectra
) -> None:
    loaded = mg.load(template)
    assert loaded.n_regions_ == fitted.n_regions_
    assert loaded.off_tissue_ == fitted.off_tissue_
    np.testing.assert_array_equal(loaded.separation_, fitted.separation_)
    pd.testing.assert_frame_equal(loaded.selection_, fitted.selection_)
    for k in range(2, 5):
        np.testing.assert_array_equal(loaded.at(k).predict(spectra), fitted.at(k).labels_)
    with pytest.raises(mg.InputError, match="maps of 2 to 4 regions, not of 5"):
        loaded.at(5)
    found, other = loaded.segment(spectra), fitted.segment(spectra)
    assert found.classes == other.classes
    np.testing.assert_array_equal(found.probability, other.probability)
    assert found.parameters == other.parameters
    data = loaded.region_model_.origin.data
    assert data == fitted.region_model_.origin.data
    assert data["n_pixels"] == data["n_tissue"] + (fitted.labels_ == fitted.off_tissue_).sum()
    assert data["n_runs"] == 2


def test_what_was_of_the_pixels_of_the_fit_is_named(
    template: Path, spectra: mg.Spectra, fitted: mg.SpatialRegions
) -> None:
    loaded = mg.load(template)
    for name in ("labels_", "probabilities_", "log_likelihood_"):
        assert not hasattr(loaded, name)
        with pytest.raises(AttributeError, match=f"{name} is of the pixels of the fit"):
            getattr(loaded, name)
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(mg.SpatialRegions(), name)
    loaded.random_state = 3
    np.testing.assert_array_equal(loaded.fit_predict(spectra), fitted.labels_)
    np.testing.assert_array_equal(loaded.labels_, fitted.labels_)


def test_a_clone_of_loaded_regions_finds_the_same(
    fitted: mg.SpatialRegions, template: Path, spectra: mg.Spectra
) -> None:
    again = clone(mg.load(template)).fit(spectra)
    np.testing.assert_array_equal(again.probabilities_, fitted.probabilities_)


def test_a_map_of_another_number_is_saved_as_it_is(
    fitted: mg.SpatialRegions, spectra: mg.Spectra, tmp_path: Path
) -> None:
    three = fitted.at(3)
    three.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.n_regions_ == 3
    np.testing.assert_array_equal(loaded.predict_proba(spectra), three.probabilities_)
    np.testing.assert_array_equal(loaded.at(4).predict(spectra), fitted.at(4).labels_)


def test_matrices_relations_and_sources(spectra: mg.Spectra, tmp_path: Path) -> None:
    matrix, axis = spectra.to_matrix()
    relations = mg.relations_from_masses({"CH2": 14.01565})
    regions = mg.SpatialRegions(n_regions=3, spatial=False, mz=axis, relations=relations)
    regions.fit(matrix).save(tmp_path / "matrix")
    loaded = mg.load(tmp_path / "matrix")
    assert loaded.n_features_in_ == matrix.shape[1]
    assert loaded.relations == relations
    np.testing.assert_array_equal(loaded.predict_proba(matrix), regions.probabilities_)
    with pytest.raises(ValueError, match="is expecting"):
        loaded.predict(matrix[:, 1:])
    source = mg.streaming.JoinedSpectra([spectra])
    streamed = mg.SpatialRegions(n_regions=3).fit(source)
    streamed.save(tmp_path / "source")
    loaded = mg.load(tmp_path / "source")
    assert loaded.region_model_.origin.fingerprint is None
    np.testing.assert_array_equal(loaded.predict_proba(source), streamed.probabilities_)
    text = (tmp_path / "source" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "not taken, as they were read block by block" in text


def test_numbers_of_numpy_come_back(spectra: mg.Spectra, tmp_path: Path) -> None:
    regions = mg.SpatialRegions(
        n_regions=np.int64(3), radius=np.float32(1), random_state=np.int8(7)
    )
    regions.fit(spectra).save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert (loaded.n_regions, loaded.radius, loaded.random_state) == (3, 1.0, 7)


def test_models_are_saved_with_or_without_their_estimator(
    fitted: mg.SpatialRegions, template: Path, spectra: mg.Spectra, tmp_path: Path
) -> None:
    store.save(fitted, tmp_path / "one")
    store.save(fitted.region_model_, tmp_path / "other")
    store.save(store.load(template), tmp_path / "again")
    for name in ("one", "other", "again"):
        for path in template.iterdir():
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes()
    assert isinstance(store.load(template), RegionModel)
    for unfitted in (mg.SpatialRegions(), mg.RGCNClassifier()):
        with pytest.raises(NotFittedError):
            store.save(unfitted, tmp_path / "none")
    with pytest.raises(NotFittedError):
        mg.SpatialRegions().save(tmp_path / "none")
    with pytest.raises(TypeError, match="a list is no fitted model"):
        store.save([], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_saving_never_replaces_unasked_nor_anything_else(
    fitted: mg.SpatialRegions, folder: Path
) -> None:
    before = (folder / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match="exists already"):
        fitted.save(folder)
    assert (folder / "config.json").read_bytes() == before
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds thesis\.txt"):
        fitted.save(folder, overwrite=True)
    (folder / "thesis.txt").unlink()
    fitted.at(2).save(folder, overwrite=True)
    assert mg.load(folder).n_regions_ == 2


def test_the_model_holds_no_pixel_and_no_name_of_a_run(spectra: mg.Spectra, tmp_path: Path) -> None:
    """A model is passed on; the name of a run may be that of a patient."""
    named = mg.Spectra(
        mz=spectra.mz,
        intensity=spectra.intensity,
        offsets=spectra.offsets,
        coordinates=spectra.coordinates,
        run_codes=spectra.run_codes,
        run_names=("Erika Mustermann", "Max Mustermann"),
        polarity=spectra.polarity,
    )
    regions = mg.SpatialRegions(n_regions=3).fit(named)
    regions.save(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        assert b"Muster" not in path.read_bytes()
    sizes = {
        n
        for tensor in load_file(tmp_path / "model" / "weights.safetensors").values()
        for n in tensor.shape
    }
    assert spectra.n_pixels not in sizes


# -------------------------------------------------------------------- the card


def test_the_card_says_what_it_is_and_what_it_does_not_say(
    template: Path, fitted: mg.SpatialRegions
) -> None:
    text = (template / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card\n")
    assert re.findall("^## (.*)$", text, re.M) == [
        "What it is for",
        "Data they were found in",
        "Regions",
        "How many",
        "Limits",
        "How it was made",
    ]
    model = fitted.region_model_
    assert f"{len(model)} regions of massgraph" in text
    for name, d in zip(model.names, fitted.separation_, strict=True):
        assert re.search(rf"\| {name} \| .* \| {d:.2f} \|", text)
    for k in fitted.selection_["n_regions"]:
        assert f"\n| {k} | " in text
    assert "It does not say what a region is" in text
    assert "seed: 3" in text
    assert f"{len(model.axis)}, m/z {model.axis.mz[0]:.4f} to {model.axis.mz[-1]:.4f}" in text


def test_the_card_of_a_number_that_was_given(spectra: mg.Spectra, tmp_path: Path) -> None:
    mg.SpatialRegions(n_regions=1).fit(spectra).save(tmp_path / "model")
    text = (tmp_path / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "The number of regions was given: 1." in text
    assert "| region 1 | 100.0% | - |" in text


# -------------------------------------------------------------------- damage


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    edit(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def replace_weights(folder: Path, raw: bytes) -> None:
    """Other weights with the right SHA-256, as one who means it would do."""
    (folder / "weights.safetensors").write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    change(folder, lambda config: config.update(weights_sha256=digest))


def refused(folder: Path, error: type[Exception] = ModelError) -> str:
    with pytest.raises(error) as caught:
        mg.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_half_a_model(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refused(folder, FileNotFoundError)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda c: c.pop("sizes"), "'sizes' is missing"),
        (lambda c: c.pop("kind"), "schema_version 3, this massgraph"),
        (lambda c: c.update(extra=1), "'extra' is unknown"),
        (lambda c: c.update(kind="clouds"), "the kind 'clouds' is unknown"),
        (lambda c: c.update(kind=["regions"]), "is unknown"),
        (lambda c: c.update(kind="classifier", schema_version=2), "'classes' is missing"),
        (lambda c: c.update(schema_version=2), "schema_version 2, this massgraph"),
        (lambda c: c.update(schema_version=3.0), "schema_version 3.0, this massgraph"),
        (lambda c: c.update(settings=None), "the model is damaged"),
        (lambda c: c.update(settings=["spatial"]), "the model is damaged"),
        (lambda c: c["settings"].update(flux=1.21), "the setting 'flux' is unknown"),
        (lambda c: c["settings"].update(spatial=1), "spatial is of another type"),
        (lambda c: c["settings"].update(n_regions="auto"), "n_regions is of another type"),
        (lambda c: c["settings"].update(n_regions=0), "n_regions is below 1"),
        (lambda c: c["settings"].update(max_regions=True), "max_regions is of another type"),
        (lambda c: c["settings"].update(radius=0.5), "radius is below 1"),
        (lambda c: c["settings"].update(features="colours"), "features 'colours' is unknown"),
        (lambda c: c["settings"].update(covariance=[1]), "covariance is of another type"),
        (lambda c: c.update(relations={}), "relations need the fields"),
        (lambda c: c.update(random_state=-1), "random_state is no whole number"),
        (lambda c: c.update(begun=1), "begun is neither true nor false: 1"),
        (lambda c: c.update(neighbours_given=None), "neighbours_given is neither true nor false"),
        (lambda c: c.update(mz=["500"]), "mz is no list of numbers"),
        (lambda c: c.update(mz=[2.0, 1.0]), "does not ascend"),
        (lambda c: c.update(polarity="neutral"), "polarity is none of"),
        (lambda c: c.update(fingerprint="abc"), "fingerprint is no SHA-256"),
        (lambda c: c.update(provenance=[]), "the key 'n_empty' is missing"),
        (lambda c: c["provenance"].update(n_runs=0), "n_runs is 0"),
        (lambda c: c["provenance"].update(n_tissue=10**9), "n_tissue is 1000000000"),
        (lambda c: c["provenance"].update(versions={"torch": 2}), "versions is {'torch': 2}"),
        (lambda c: c.update(axis=None), "the axis is None"),
        (lambda c: c["axis"].update(n_ions=7), "axis."),
        (lambda c: c["axis"].update(width=-1.0), "width is no number of zero or more"),
        (lambda c: c["sizes"].pop("path"), "'path' is missing"),
        (lambda c: c["sizes"].update(n_components=0), "n_components is no number"),
        (lambda c: c["sizes"].update(n_molecules=10**15), "components.centre"),
        (lambda c: c["sizes"].update(mixture=[4]), "the model is damaged"),
        (lambda c: c["sizes"].update(mixture=[4, 3]), "no mixture's size"),
        (lambda c: c["sizes"].update(mixture=[True, 1]), "no mixture's size"),
        (lambda c: c["sizes"].update(mixture=[0, 0]), "no mixture's size"),
        (lambda c: c["sizes"].update(off_tissue=None), "off_tissue.covariance' is unknown"),
        (lambda c: c["sizes"].update(off_tissue=[3, 1]), "of other than two kinds"),
        (lambda c: c["sizes"]["path"].reverse(), "not of 1, 2, ... regions"),
        (lambda c: c["sizes"].update(path=[[1, 1]] * 10**5), "longer than there are tensors"),
        (lambda c: c.update(strength=-1.0), "strength is no number of zero or more"),
        (lambda c: c.update(selection=[1]), "the column of the selection 1 is unknown"),
        (lambda c: c["selection"].pop("gain"), "'gain' is missing"),
        (lambda c: c["selection"].update(loss=[]), "'loss' is unknown"),
        (lambda c: c["selection"].update(n_regions=[None]), "n_regions is no list of int"),
        (lambda c: c["selection"]["gain"].pop(), "the model is damaged"),
        (lambda c: c.update(weights_sha256="0" * 64), "different models"),
    ],
)
def test_a_changed_configuration(
    folder: Path, edit: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    change(folder, edit)
    assert reason in refused(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(kind="clouds"),
        lambda c: c["settings"].update(flux=1.21),
        lambda c: c["settings"].update(covariance="banded"),
        lambda c: c["selection"].update(loss=[]),
        lambda c: c.update(extra=1),
    ],
)
def test_what_a_later_version_added_is_named_with_the_remedy(
    folder: Path, edit: Callable[[dict[str, Any]], Any]
) -> None:
    change(folder, edit)
    change(folder, lambda config: config.update(massgraph_version="9.8.7"))
    text = refused(folder)
    assert f"written by massgraph 9.8.7, and this is {mg.__version__}: update it" in text
    assert "damaged" not in text


def test_a_setting_that_is_missing_has_its_default(folder: Path) -> None:
    for name in ("run_offsets", "covariance", "radius"):
        change(folder, lambda config, name=name: config["settings"].pop(name))
    assert (
        mg.load(folder).get_params()
        == mg.SpatialRegions(max_regions=4, random_state=3).get_params()
    )


def test_a_classifier_in_place_of_regions(folder: Path, tmp_path: Path) -> None:
    spectra, labels = mg.simulate("tiny", n_runs=1)
    clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    clf.save(folder, overwrite=True)  # either is a model, and may replace the other
    assert isinstance(mg.load(folder), mg.RGCNClassifier)
    change(folder, lambda config: config.pop("kind"))  # as models were before there were kinds
    np.testing.assert_array_equal(mg.load(folder).logits(spectra), clf.logits(spectra))
    change(folder, lambda config: config.update(kind="regions"))
    assert "schema_version 2, this massgraph" in refused(folder)


def fill(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors[name].fill_(value)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda t: t.pop("mixture.mean"), "'mixture.mean' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' is unknown"),
        (lambda t: t.update({"group": t["group"].int()}), "needs torch.int64"),
        (lambda t: t.update({"mixture.mean": t["mixture.mean"].float()}), "needs torch.float64"),
        (lambda t: t.update({"mixture.mean": t["mixture.mean"][:1]}), "mixture.mean"),
        (fill("components.loadings", float("nan")), "not finite"),
        (fill("axis.mz", 500.0), "does not ascend at column 1"),
        (fill("axis.mz", -1.0), "not finite and above zero"),
        (fill("group", 0), "group is no numbering"),
        (lambda t: t["group"].neg_(), "group is no numbering"),
        (fill("mixture.weight", 0.0), "mixture.weight holds [0.0"),
        (fill("path.1.weight", 1.0), "path.1.weight holds [1.0"),
        (fill("mixture.covariance", 0.0), "mixture.covariance is of no ellipsoid"),
        (lambda t: t["off_tissue.covariance"].neg_(), "off_tissue.covariance is of no ellipsoid"),
        (lambda t: t["mixture.covariance"][0, 0].mul_(2), "mixture.covariance is of no ellipsoid"),
        (fill("mixture.covariance", 1e308), "mixture.covariance is of no ellipsoid"),
        (lambda t: t["mixture.mean"][0].fill_(1e300), "mixture.mean holds regions that are"),
    ],
)
def test_other_tensors(
    folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any], reason: str
) -> None:
    tensors = load_file(folder / "weights.safetensors")
    edit(tensors)
    replace_weights(folder, save(tensors))
    text = refused(folder)
    assert reason in text
    assert "weights.safetensors" in text


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_damage_anywhere_is_refused_or_harmless(folder: Path, name: str) -> None:
    """Bytes changed or cut at random: a ModelError, or regions; never another error."""
    rng = np.random.default_rng(0)
    raw = (folder / name).read_bytes()
    reasons = []
    for _ in range(60):
        damaged = bytearray(raw)
        for place in rng.integers(len(raw), size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(raw))]
        if name == "weights.safetensors":
            replace_weights(folder, bytes(damaged))
        else:
            (folder / name).write_bytes(damaged)
        try:
            mg.load(folder)
        except ModelError as error:
            reasons.append(str(error))
    assert len(reasons) > 15
    assert not [reason for reason in reasons if "\n" in reason or len(reason) > 1000]
