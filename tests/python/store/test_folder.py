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
from massgraph.encode import molecules
from massgraph.learn.branches import default_branches
from massgraph.store import ModelError
from massgraph.store import files as model_io


def quick(**parameters: Any) -> mg.RGCNClassifier:
    chosen = {
        "branches": default_branches(),
        "epochs": 2,
        "augment": 1,
        "folds": 2,
        "hidden": (4, 4),
        "device": "cpu",
        **parameters,
    }
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
    assert not loaded.model_.training


def test_a_loaded_model_knows_its_molecules(
    fitted: mg.RGCNClassifier, folder: Path, tissue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(molecules, "molecule_groups", lambda *_: pytest.fail("found anew"))
    loaded, (spectra, _) = mg.load(folder), tissue
    assert loaded.settings_.branches == default_branches()
    np.testing.assert_array_equal(loaded.logits(spectra), fitted.logits(spectra))


def test_the_folder_holds_a_card_json_and_weights_only(template: Path) -> None:
    assert sorted(path.name for path in template.iterdir()) == [
        "MODEL_CARD.md",
        "config.json",
        "weights.safetensors",
    ]
    config = json.loads((template / "config.json").read_text(encoding="utf-8"))
    assert config["schema_version"] == 2
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
        np.array(["wide", "array", "b"], dtype="U99"),
        np.array([3, 1, 2]),
        np.array([3, 1, 2], dtype=np.uint8),
        np.array([-3, 2**62, 2], dtype=np.int64),
        np.array([3.0, 1.0, 2.0]),
        np.array([3.0, 1.0, 2.0], dtype=np.float32),
    ],
    ids=lambda names: str(names.dtype),
)
@pytest.mark.filterwarnings("ignore:.* named like a missing value")
def test_labels_keep_their_type(names: Any, tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    _, codes = np.unique([str(label) for label in labels], return_inverse=True)
    chosen = names[codes % 3]
    classifier = quick(epochs=1).fit(spectra, chosen)
    classifier.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert loaded.predict(spectra).dtype == classifier.predict(spectra).dtype
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


def test_a_folder_with_anything_else_is_never_replaced(
    fitted: mg.RGCNClassifier, folder: Path
) -> None:
    """Not even where it was asked for: `overwrite` means a model, not a thesis beside it."""
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds thesis\.txt, which is no part of a model"):
        fitted.save(folder, overwrite=True)
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert mg.load(folder).summary() == fitted.summary()


def test_saving_that_fails_leaves_the_old_model(
    fitted: mg.RGCNClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="was not written: there is no space left"):
            fitted.save(folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_what_does_not_read_back_never_takes_its_place(
    fitted: mg.RGCNClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A disk that keeps other bytes than it was given, and says nothing."""

    def corrupt(path: Path, raw: bytes | str, *_: Any, **__: Any) -> None:
        data = raw.encode() if isinstance(raw, str) else raw
        with path.open("wb") as stream:
            stream.write(data[:-9] if path.name == name else data)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", corrupt)
        patched.setattr(Path, "write_bytes", corrupt)
        with pytest.raises(OSError, match="model was not written: it does not read back"):
            fitted.save(folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_could_not_be_read_again_is_not_written(
    fitted: mg.RGCNClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_io, "LARGEST_CONFIG", 100)
    with pytest.raises(ValueError, match="more than can be read again"):
        fitted.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_numbers_of_numpy_and_odd_floats_come_back(tissue: Any, tmp_path: Path) -> None:
    spectra, labels = tissue
    classifier = quick(
        epochs=np.int64(1),
        tolerance=np.float32(5.1),
        learning_rate=0.1 + 0.2,
        hidden=np.array([4, 4]),
        mz_range=np.array([600.0, 900.1]),
        random_state=np.int64(7),
    ).fit(spectra, labels)
    classifier.save(tmp_path / "model")
    loaded = mg.load(tmp_path / "model")
    assert loaded.settings_ == classifier.settings_
    assert loaded.learning_rate == 0.30000000000000004
    assert loaded.random_state == 7
    assert loaded.summary() == json.loads(json.dumps(classifier.summary())) | {
        "branches": default_branches(),
        "features": loaded.settings_.features,
        "hidden": (4, 4),
        "mz_range": (600.0, 900.1),
    }
    np.testing.assert_array_equal(loaded.logits(spectra), classifier.logits(spectra))
    np.testing.assert_array_equal(
        clone(loaded).fit(spectra, labels).logits(spectra), classifier.logits(spectra)
    )


def test_a_device_that_is_absent_is_replaced_and_said(folder: Path, tissue: Any) -> None:
    """A model of a machine with a GPU is read on one without."""
    change(folder, lambda config: config["parameters"].update(device="cuda:97"))
    with pytest.warns(UserWarning, match="fitted on device 'cuda:97', absent here: 'auto' is used"):
        loaded = mg.load(folder)
    assert loaded.device == "auto"
    assert len(loaded.predict(tissue.spectra)) == len(tissue.spectra)


def test_a_model_of_another_version_of_the_package_is_read(folder: Path) -> None:
    change(folder, lambda config: config.update(massgraph_version="0.0.1"))
    assert mg.load(folder).classes_.size == 3


def test_loading_touches_no_random_state(folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    mg.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


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


def more_classes(config: dict[str, Any]) -> None:
    config["provenance"]["training_per_class"].append(0)
    config["provenance"]["held_out_per_class"].append(0)


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
        (b'{"schema_version": NaN}', "NaN is no finite number"),
        (b'{"schema_version": 1e999}', "1e999 is no finite number"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "not the JSON of a model"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": [{"b": {}, "b": {}}]}', "'b' stands twice"),
        (b"[1, 2]", "no schema_version"),
        (b"{}", "no schema_version"),
        (b'{"schema_version": "\xff"}', "not the JSON of a model"),
        (b"[" * 100_000, "not the JSON of a model"),
        (b'{"schema_version": 3, "massgraph_version": "9.0"}', "massgraph 9.0"),
        (b'{"schema_version": 1}', "from before models had branches"),
        (b'{"schema_version": true}', "schema_version True"),
        (b'{"schema_version": "1"}', "schema_version 1, this"),
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
        (lambda c: c["parameters"].pop("backend"), "'backend' is missing"),
        (lambda c: c["settings"].update(rule="largest"), "rule 'largest'"),
        (lambda c: c["settings"].update(tolerance=-1.0), "tolerance -1.0"),
        (lambda c: c["settings"].update(hidden=[4, 5]), "relational.0.layers.1"),
        (lambda c: c["settings"].update(features=["colour"]), "colour"),
        (lambda c: c["parameters"].update(preset2="x"), "'preset2' is unknown"),
        (lambda c: c["relations"]["masses"].pop(), "masses"),
        (lambda c: c["relations"].pop("kinds"), "kinds"),
        (lambda c: c["settings"].update(tolerance="5"), "tolerance '5' must be a number"),
        (lambda c: c["settings"].update(tolerance=True), "tolerance True must be a number"),
        (lambda c: c["settings"].update(standardize="yes"), "standardize 'yes' must be True or"),
        (lambda c: c["settings"].update(epochs=3.0), "epochs 3.0 must be a whole number"),
        (lambda c: c["settings"].update(hidden=4), "hidden 4 must be a list"),
        (lambda c: c["settings"].update(hidden=[4] * 1000), "1000 layers"),
        (lambda c: c["settings"].update(hidden=[60000, 60000]), "relational.0.layers.0"),
        (lambda c: c["settings"].update(hidden=[2**70]), "the model is damaged"),
        (lambda c: c.update(settings=[1, 2]), "the model is damaged"),
        (lambda c: c["relations"]["masses"].__setitem__(0, "1.5"), "another type"),
        (lambda c: c["relations"]["formulas"].__setitem__(0, None), "another type"),
        (lambda c: c["parameters"].update(preset="best"), "preset is none of"),
        (lambda c: c["parameters"].update(backend="tpu"), "backend 'tpu'"),
        (lambda c: c["parameters"].update(device="../x"), "no name of a device"),
        (lambda c: c["parameters"].update(device=5), "no name of a device"),
        (lambda c: c["parameters"].update(random_state=-1), "random_state is no whole number"),
        (lambda c: c["parameters"].update(random_state=True), "random_state is no whole number"),
        (lambda c: c["parameters"].update(mz=["1"]), "mz is no list of numbers"),
        (lambda c: c["parameters"].update(mz=[2.0, 1.0]), "does not ascend"),
        (lambda c: c.update(polarity="neutral"), "polarity is none of"),
        (lambda c: c.update(fingerprint=5), "fingerprint is no SHA-256"),
        (lambda c: c.update(classes=["a", "a", "b"]), "different"),
        (lambda c: c.update(classes=["b", "a", "c"]), "in order"),
        (lambda c: c.update(classes=["a"]), "two or more"),
        (lambda c: c.update(classes=[1, "a", "b"]), "not all of type 'str'"),
        (lambda c: c.update(classes_dtype="tuple"), "not all of type 'tuple'"),
        (lambda c: c.update(classes=[0, 1, 300], classes_dtype="uint8"), "300"),
        (lambda c: c.update(classes=[0, 1, True], classes_dtype="int64"), "not all of type"),
        (lambda c: c.update(classes=["a", "b", "c", "d"]), "training_per_class is"),
        (
            lambda c: (c.update(classes=["a", "b", "c", "d"]), more_classes(c)),
            "model.offsets",
        ),
        (lambda c: c.update(feature_range=[5.0, 5.0]), "no range of m/z"),
        (lambda c: c.update(feature_range=[5.0, 6.0, 7.0]), "no range of m/z"),
        (lambda c: c.update(feature_range=["5", "6"]), "no range of m/z"),
        (lambda c: c.update(n_pixels=10**15), "no number of pixels"),
        (lambda c: c.update(n_pixels=-1), "no number of pixels"),
        (lambda c: c.update(training=[10**6]), "names pixel 1000000"),
        (lambda c: c.update(training=[-1]), "names pixel -1"),
        (lambda c: c.update(training=[0.5]), "training is no list of pixels"),
        (lambda c: c.update(validation=[0.5]), "validation is no list of pixels"),
        (lambda c: c.update(n_nets=0), "n_nets is no number of nets"),
        (lambda c: c.update(contributions=None), "contributions are missing for 2 folds"),
        (lambda c: c["contributions"].update(branch=["peak"]), "contributions are of ['peak']"),
        (lambda c: c["contributions"].update(weight=[1.0]), "weight is no list of numbers"),
        (lambda c: c.update(axis=None), "the axis is None"),
        (lambda c: c["axis"].update(n_ions=-1), "n_ions is no number of ions"),
        (lambda c: c["axis"].update(n_ions=7), "axis"),
        (lambda c: c["axis"].update(width=-1.0), "width is no number of zero or more"),
        (lambda c: c["axis"].update(unit=0.0), "unit is not above zero"),
        (lambda c: c["settings"].update(branches=["edges"]), "the branch 'edges' is unknown"),
        (lambda c: c.update(validation=c["training"]), "both in training and in validation"),
        (lambda c: c["history"].pop("best"), "'best' is missing"),
        (lambda c: c["history"]["train_loss"].pop(), "the model is damaged"),
        (lambda c: c["history"]["train_loss"].__setitem__(0, "low"), "train_loss is no list"),
        (lambda c: c["history"].update(best=[True] * 2), "2 best epochs"),
        (lambda c: c.update(weights_sha256="0" * 64), "different models"),
        (lambda c: c.update(provenance=None), "the model is damaged"),
        (lambda c: c["provenance"].pop("versions"), "the key 'versions' is missing"),
        (lambda c: c["provenance"].update(more=1), "the key 'more' is unknown"),
        (lambda c: c["provenance"].update(versions={"torch": 2}), "versions is {'torch': 2}"),
        (lambda c: c["provenance"].update(n_runs=True), "n_runs is True"),
        (lambda c: c["provenance"].update(mz_range=[5, 4]), "mz_range is [5, 4]"),
        (lambda c: c["provenance"].update(mz_range=["a", "b"]), "mz_range is ['a', 'b']"),
        (lambda c: c["provenance"].update(median_peaks=-1.0), "median_peaks is -1.0"),
        (lambda c: c["provenance"].update(held_out_by="luck"), "held_out_by is 'luck'"),
        (lambda c: c["provenance"].update(training_per_class=[1, 2]), "training_per_class is"),
        (lambda c: c["provenance"].update(held_out_per_class=[0, 0, 1]), "held_out_per_class is"),
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
        (lambda t: t.pop("model.branches.peak.0.head.bias"), "peak.0.head.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' is unknown"),
        (
            lambda t: t.update({"model.branches.peak.0.head.bias": torch.zeros(7)}),
            "needs torch.float32 (3,)",
        ),
        (
            lambda t: t.update(
                {"model.branches.peak.0.head.bias": torch.zeros(3).to(torch.float8_e5m2)}
            ),
            "float8",
        ),
        (lambda t: t["model.branches.peak.0.head.bias"].fill_(float("-inf")), "not finite"),
        (lambda t: t["features.scale"].fill_(0.0), "features.scale holds 0.0"),
        (
            lambda t: t["model.branches.peak.1.pool_norm.running_var"].fill_(-1.0),
            "running_var holds -1.0",
        ),
        (
            lambda t: t.update({"model.branches.peak.0.head.bias": torch.zeros(3).double()}),
            "torch.float64",
        ),
        (lambda t: t["model.branches.peak.0.head.bias"].fill_(float("nan")), "not finite"),
        (lambda t: t["features.scale"].fill_(float("inf")), "not finite"),
        (lambda t: t.update({"features.mean": torch.zeros(2)}), "features.mean"),
        (lambda t: t["molecules.group"].fill_(-1), "molecules.group holds numbers of ions"),
        (lambda t: t["molecules.group"].fill_(2), "does not number molecules by their lightest"),
        (lambda t: t.pop("molecules.group"), "'molecules.group' is missing"),
    ],
)
def test_other_tensors(
    folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any], reason: str
) -> None:
    tensors = load_file(folder / "weights.safetensors")
    edit(tensors)
    replace_weights(folder, save(tensors))
    assert reason in refused(folder)


def test_huge_weights_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_io, "LARGEST_WEIGHTS", 100)
    assert "it was not read" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_damage_anywhere_is_refused_or_harmless(folder: Path, name: str) -> None:
    """Bytes changed or cut at random: a ModelError, or a model; never another error."""
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
    assert len(reasons) > 20
    assert not [reason for reason in reasons if "\n" in reason or len(reason) > 1000]
