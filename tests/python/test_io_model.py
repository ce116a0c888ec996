"""Saved models: round trips, and every way in which a folder can be wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save
from sklearn.base import clone

import massgraph as mg
from massgraph.io import model as model_io
from massgraph.io.model import ModelError


def quick(**parameters: Any) -> mg.RGCNClassifier:
    chosen = {"epochs": 3, "augment": 1, "hidden": (4, 4), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen)


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    spectra, labels = tissue
    return quick(tolerance=4.0).fit(spectra, labels)


@pytest.fixture(scope="module")
def template(fitted: mg.RGCNClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A saved model that a test may spoil."""
    return Path(shutil.copytree(template, tmp_path / "model"))


# -------------------------------------------------------------------- round trips


def test_a_loaded_model_predicts_the_same_bits(
    fitted: mg.RGCNClassifier, template: Path, tissue: Any
) -> None:
    spectra, labels = tissue
    loaded = mg.load(template)
    np.testing.assert_array_equal(loaded.logits(spectra), fitted.logits(spectra))
    np.testing.assert_array_equal(loaded.predict(spectra), fitted.predict(spectra))
    np.testing.assert_array_equal(loaded.embed(spectra), fitted.embed(spectra))
    segmentation = loaded.segment(spectra, labels)
    np.testing.assert_array_equal(segmentation.training, fitted.training_)
    np.testing.assert_array_equal(segmentation.validation, fitted.validation_)
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    assert loaded.summary() == fitted.summary()


def test_the_folder_holds_json_and_weights_only(template: Path) -> None:
    assert sorted(path.name for path in template.iterdir()) == [
        "config.json",
        "weights.safetensors",
    ]
    config = json.loads((template / "config.json").read_text(encoding="utf-8"))
    assert config["schema_version"] == 1
    assert config["settings"]["tolerance"] == 4.0
    assert config["relations"]["names"] == list(mg.default_relations("positive").names)
    raw = (template / "weights.safetensors").read_bytes()
    assert config["weights_sha256"] == hashlib.sha256(raw).hexdigest()


def test_a_clone_of_a_loaded_model_trains_the_same_weights(
    fitted: mg.RGCNClassifier, template: Path, tissue: Any
) -> None:
    spectra, labels = tissue
    again = clone(mg.load(template)).fit(spectra, labels)
    np.testing.assert_array_equal(again.logits(spectra), fitted.logits(spectra))


@pytest.mark.parametrize(
    "names",
    [
        np.array(["NA", "", "Niere β"]),
        np.array([3, 1, 2]),
        np.array([3.0, 1.0, 2.0]),
    ],
)
def test_labels_keep_their_type(names: Any, tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    _, codes = np.unique([str(label) for label in labels], return_inverse=True)
    chosen = names[codes % 3]
    classifier = quick(epochs=1).fit(spectra, chosen)
    classifier.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.classes_.dtype.kind == classifier.classes_.dtype.kind
    np.testing.assert_array_equal(loaded.classes_, classifier.classes_)


def test_boolean_labels_and_an_axis_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.lognormal(size=(40, 3))
    axis = [700.0, 714.01565006, 728.03130012]
    classifier = quick(epochs=1, mz=axis).fit(matrix, rng.random(40) < 0.5)
    classifier.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.classes_.dtype == bool
    assert loaded.n_features_in_ == 3
    np.testing.assert_array_equal(loaded.logits(matrix), classifier.logits(matrix))


def test_the_published_model_comes_back(tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    classifier = mg.RGCNClassifier(preset="published", epochs=1, device="cpu")
    classifier.fit(spectra, labels).save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.preset == "published"
    assert loaded.settings_.as_published
    np.testing.assert_array_equal(loaded.logits(spectra), classifier.logits(spectra))


def test_saving_never_replaces_unasked(fitted: mg.RGCNClassifier, folder: Path) -> None:
    before = (folder / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match=str(folder)):
        fitted.save(folder)
    assert (folder / "config.json").read_bytes() == before
    fitted.save(folder, overwrite=True)
    assert mg.load(folder).summary() == fitted.summary()


def test_a_random_state_object_is_not_written(tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    quick(epochs=1, random_state=np.random.RandomState(3)).fit(spectra, labels).save(
        tmp_path / "model"
    )
    assert mg.load(tmp_path / "model").random_state is None


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


def test_no_folder(tmp_path: Path) -> None:
    assert "no such model folder" in refused(tmp_path / "absent", FileNotFoundError)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not the JSON of a model"),
        (b'{"schema_version": 1', "not the JSON of a model"),
        (b'{"schema_version": NaN}', "NaN is no number"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"[1, 2]", "no schema_version"),
        (b"{}", "no schema_version"),
        (b'{"schema_version": "\xff"}', "not the JSON of a model"),
        (b"[" * 100_000, "not the JSON of a model"),
        (b'{"schema_version": 2, "massgraph_version": "9.0"}', "massgraph 9.0"),
    ],
)
def test_a_configuration_that_is_none(folder: Path, raw: bytes, reason: str) -> None:
    (folder / "config.json").write_bytes(raw)
    assert reason in refused(folder)


def test_a_huge_configuration_is_not_read(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(model_io, "LARGEST_CONFIG", 100)
    assert "it was not read" in refused(folder)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda c: c.pop("classes"), "'classes' is missing"),
        (lambda c: c.update(extra=1), "'extra' is unknown"),
        (lambda c: c["settings"].pop("rule"), "'rule' is missing"),
        (lambda c: c["settings"].update(rule="largest"), "rule 'largest'"),
        (lambda c: c["settings"].update(tolerance=-1.0), "tolerance -1.0"),
        (lambda c: c["settings"].update(hidden=[4, 5]), "model.layers.1"),
        (lambda c: c["settings"].update(features=["colour"]), "colour"),
        (lambda c: c["parameters"].update(preset2="x"), "'preset2' is unknown"),
        (lambda c: c["relations"]["masses"].pop(), "masses"),
        (lambda c: c["relations"].pop("kinds"), "kinds"),
        (lambda c: c.update(classes=["a", "a", "b"]), "different"),
        (lambda c: c.update(classes=[1, "a", "b"]), "not all of type 'str'"),
        (lambda c: c.update(classes_type="tuple"), "not all of type 'tuple'"),
        (lambda c: c.update(classes=["a", "b", "c", "d"]), "model.head"),
        (lambda c: c.update(feature_range=[5.0, 5.0]), "no range of m/z"),
        (lambda c: c.update(training=[10**6]), "names pixel 1000000"),
        (lambda c: c.update(weights_sha256="0" * 64), "different models"),
    ],
)
def test_a_changed_configuration(
    folder: Path, edit: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    change(folder, edit)
    assert reason in refused(folder)


def test_weights_of_another_save(folder: Path, tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    quick(epochs=1, random_state=9).fit(spectra, labels).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "weights.safetensors", folder)
    assert "different models" in refused(folder)


def test_cut_weights(folder: Path) -> None:
    raw = (folder / "weights.safetensors").read_bytes()
    replace_weights(folder, raw[: len(raw) // 2])
    assert "is damaged" in refused(folder)


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_in_place_of_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    replace_weights(folder, pickle.dumps(Trap(tmp_path / "ran")))
    assert "is damaged" in refused(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda t: t.pop("model.head.bias"), "'model.head.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' is unknown"),
        (lambda t: t.update({"model.head.bias": torch.zeros(7)}), "need torch.float32 (3,)"),
        (lambda t: t.update({"model.head.bias": torch.zeros(3).double()}), "torch.float64"),
        (lambda t: t["model.head.bias"].fill_(float("nan")), "not finite"),
        (lambda t: t["features.scale"].fill_(float("inf")), "not finite"),
        (lambda t: t.update({"features.mean": torch.zeros(2)}), "features.mean"),
    ],
)
def test_other_tensors(
    folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any], reason: str
) -> None:
    tensors = load_file(folder / "weights.safetensors")
    edit(tensors)
    replace_weights(folder, save(tensors))
    assert reason in refused(folder)
