"""Configurations of other versions: what is missing gets its default, what is unknown is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import massgraph as mg
from massgraph.encode.coverage import Levels
from massgraph.learn.settings import Settings, resolve_settings
from massgraph.store import ModelError

RELEASED = Path(__file__).parent / "models_0_1_0"
NOW = mg.__version__


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASED / "default", tmp_path / "model"))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASED / "published", tmp_path / "published"))


@pytest.fixture(scope="module")
def pixels() -> mg.Spectra:
    with np.load(RELEASED / "spectra.npz") as found:
        return mg.Spectra(**found, polarity="positive")


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    edit(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        mg.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(folder))
    return text


# -------------------------------------------------------------------- settings that are missing

# Those whose value in the model is not the default, or that decide the shape of the weights; and
# those that no model of the first release has.
OWN = {"branches", "folds", "tolerance", "hidden", "augment", "epochs"}
OWN |= {"spatial", "effort", "run_gains"}
NAMES = sorted({field.name for field in fields(Settings)} - {"relations"})


@pytest.mark.parametrize("name", sorted(set(NAMES) - OWN))
def test_a_setting_that_is_missing_has_its_default(folder: Path, name: str) -> None:
    change(folder, lambda config: config["settings"].pop(name))
    found = mg.load(folder).settings_
    assert getattr(found, name) == getattr(resolve_settings("default", "positive", {}), name)
    assert found == mg.load(RELEASED / "default").settings_


def test_models_of_the_first_release_ask_no_neighbours(folder: Path) -> None:
    assert mg.load(folder).settings_.spatial is False


@pytest.mark.parametrize("name", ["augment", "epochs"])
def test_a_default_may_be_another_than_the_model_had(
    folder: Path, pixels: mg.Spectra, name: str
) -> None:
    change(folder, lambda config: config["settings"].pop(name))
    found, whole = mg.load(folder), mg.load(RELEASED / "default")
    assert getattr(found.settings_, name) == getattr(Settings, name)
    assert getattr(found.settings_, name) != getattr(whole.settings_, name)
    np.testing.assert_array_equal(found.logits(pixels), whole.logits(pixels))


def test_the_defaults_are_those_of_the_preset(published: Path, pixels: mg.Spectra) -> None:
    """The network as published has its own: with others it would say something else."""
    whole = mg.load(RELEASED / "published")
    for name in sorted(set(NAMES) - {"epochs", "spatial", "effort", "run_gains"}):
        change(published, lambda config, name=name: config["settings"].pop(name))
    found = mg.load(published)
    assert found.settings_ == whole.settings_
    np.testing.assert_array_equal(found.logits(pixels), whole.logits(pixels))


def test_a_default_that_does_not_fit_the_weights_is_refused(folder: Path) -> None:
    change(folder, lambda config: config["settings"].pop("hidden"))
    assert "config.json needs" in refused(folder)


# -------------------------------------------------------------------- what is unknown


def unknown_setting(config: dict[str, Any]) -> None:
    config["settings"]["flux"] = 1.21


def unknown_branch(config: dict[str, Any]) -> None:
    config["settings"]["branches"][0] = "edges"


def unknown_parameter(config: dict[str, Any]) -> None:
    config["parameters"]["cluster"] = "here"


def unknown_key(config: dict[str, Any]) -> None:
    config["regions"] = []


UNKNOWN = [
    (unknown_setting, "the setting 'flux' is unknown"),
    (unknown_branch, "the branch 'edges' is unknown"),
    (unknown_parameter, "the parameter 'cluster' is unknown"),
    (unknown_key, "the key 'regions' is unknown"),
]


@pytest.mark.parametrize(("edit", "reason"), UNKNOWN)
def test_what_a_later_version_added_is_named_with_the_remedy(
    folder: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    change(folder, edit)
    change(folder, lambda config: config.update(massgraph_version="9.8.7"))
    text = refused(folder)
    assert text.count(reason) == 1
    assert f"written by massgraph 9.8.7, and this is {NOW}: update" in text
    assert "damaged" not in text


@pytest.mark.parametrize(("edit", "reason"), UNKNOWN)
def test_what_this_version_never_wrote_is_damage(
    folder: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    change(folder, edit)
    change(folder, lambda config: config.update(massgraph_version=NOW))
    text = refused(folder)
    assert reason in text
    assert "the file was changed or damaged, use another copy" in text
    assert "update" not in text


def test_settings_that_are_wrong_too_are_told_by_the_unknown_one(folder: Path) -> None:
    """A later version may allow what this one refuses: what it added comes first."""
    change(folder, unknown_setting)
    change(folder, lambda config: config["settings"].update(rule="farthest"))
    assert "'flux' is unknown" in refused(folder)


# -------------------------------------------------------------------- other schemas


def test_another_schema_with_another_version(folder: Path) -> None:
    change(folder, lambda config: config.update(schema_version=3, massgraph_version="9.8.7"))
    text = refused(folder)
    assert "schema_version 3" in text
    assert f"written by massgraph 9.8.7, and this is {NOW}: update" in text


@pytest.mark.parametrize("version", [NOW, None])
def test_the_version_that_runs_is_no_remedy_for_another_schema(
    folder: Path, version: str | None
) -> None:
    """Nobody is sent from this version to this version."""
    change(folder, lambda config: config.update(schema_version=3, massgraph_version=version or ""))
    text = refused(folder)
    assert "schema_version 3" in text
    assert "the file was changed or damaged, use another copy" in text
    assert "update" not in text
    assert f"massgraph {NOW}" not in text


# -------------------------------------------------------------------- what was given


def test_what_was_found_in_the_data_is_not_given(folder: Path, tmp_path: Path) -> None:
    spectra, labels = mg.simulate("tiny", n_runs=1)
    fitted = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0, random_state=5)
    fitted.fit(spectra, labels).save(tmp_path / "fitted")
    loaded = mg.load(tmp_path / "fitted")
    assert loaded.get_params() == fitted.get_params()
    assert loaded.tolerance is None
    assert loaded.settings_.tolerance == fitted.settings_.tolerance
    again = clone(loaded).fit(spectra, labels)
    np.testing.assert_array_equal(again.logits(spectra), fitted.logits(spectra))


def test_a_part_of_a_model_is_cloned_as_a_part(folder: Path, tmp_path: Path) -> None:
    part = mg.load(folder).only("axis", "family")
    part.save(tmp_path / "part")
    for one in (part, mg.load(tmp_path / "part")):
        assert one.settings_.branches == ("axis", "family")
        assert clone(one).branches == ("axis", "family")


@pytest.mark.parametrize(
    "given", [["colour"], ["hidden", "hidden"], "hidden", [5], {"hidden": True}, ["as_published"]]
)
def test_given_settings_that_cannot_have_been(folder: Path, given: Any) -> None:
    change(folder, lambda config: config.update(given=given))
    assert "given is no list of settings" in refused(folder)


@pytest.mark.parametrize(
    "usual",
    [
        {"spread": 0.2, "least": 5.0},
        {"spread": 0.0, "least": 5.0, "most": 9.0},
        {"spread": 0.2, "least": 9.0, "most": 5.0},
        {"spread": 0.2, "least": -1.0, "most": 5.0},
        {"spread": "0.2", "least": 5.0, "most": 9.0},
    ],
)
def test_what_is_usual_of_runs_is_checked(folder: Path, usual: dict[str, Any]) -> None:
    change(folder, lambda config: config.update(usual=usual))
    assert "usual" in refused(folder)


# -------------------------------------------------------------------- levels of coverage

LEVELS = {
    "own": 0.97,
    "chance": 0.2,
    "refuse": 0.5,
    "warn": 0.6,
    "spread": 0.1,
    "scatter": 1.2,
}


def test_models_of_the_first_release_have_the_usual_levels(
    folder: Path, pixels: mg.Spectra
) -> None:
    model = mg.load(folder)
    assert model.fitted_.levels is None
    assert model.summary()["coverage_refused_below"] == Levels().refuse
    assert np.nanmean(model.coverage(pixels)) > Levels().warn
    with pytest.raises(mg.InputError, match="the model does not know run"):
        model.predict(mg.degrade.shift_mz(pixels, 700.0, "Da"))


def test_levels_come_back(folder: Path) -> None:
    change(folder, lambda config: config.update(levels=LEVELS))
    assert mg.load(folder).fitted_.levels == Levels(**LEVELS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"refuse": 0.1},
        {"warn": 1.5},
        {"own": -0.1},
        {"spread": "0.1"},
        {"chance": True},
        {"scatter": -1.0},
        {"colour": 0.5},
    ],
)
def test_levels_that_are_none(folder: Path, wrong: dict[str, Any]) -> None:
    change(folder, lambda config: config.update(levels=LEVELS | wrong))
    assert "level" in refused(folder)


def test_levels_of_a_fit_are_saved_and_on_the_card(tmp_path: Path) -> None:
    spectra, labels = mg.simulate("tiny", n_runs=1)
    clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    for name, model in (("classes", clf), ("regions", regions)):
        model.save(tmp_path / name)
        summary = model.summary()
        again = mg.load(tmp_path / name).summary()
        assert {key: again[key] for key in again if key.startswith("coverage")} == {
            key: summary[key] for key in summary if key.startswith("coverage")
        }
        card = (tmp_path / name / "MODEL_CARD.md").read_text(encoding="utf-8")
        level = summary["coverage_refused_below"]
        assert f"runs that are refused: below a coverage of {level:.2f}" in card
