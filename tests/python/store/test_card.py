"""The card of a saved model: what it says, and that nothing in it is obeyed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph.learn.provenance import check_provenance
from massgraph.store.card import model_card, plain

SECTIONS = [
    "What it is for",
    "Data it learnt from",
    "Classes",
    "How it was checked",
    "Limits",
    "How it was made",
]


def quick(**parameters: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(
        **{"epochs": 2, "augment": 0, "hidden": (4,), "device": "cpu", **parameters}
    )


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    return quick().fit(*tissue)


@pytest.fixture(scope="module")
def saved(fitted: mg.RGCNClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def config(saved: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    return table


# -------------------------------------------------------------------- what it says


def test_the_card_has_its_sections_in_order(saved: Path) -> None:
    text = (saved / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card\n")
    assert re.findall("^## (.*)$", text, re.M) == SECTIONS


def test_the_card_says_what_is_known(
    saved: Path, fitted: mg.RGCNClassifier, tissue: Any, config: dict[str, Any]
) -> None:
    text = (saved / "MODEL_CARD.md").read_text(encoding="utf-8")
    spectra, labels = tissue
    for name in fitted.classes_:
        learnt = np.count_nonzero((labels == name) & fitted.training_)
        held_out = np.count_nonzero((labels == name) & fitted.validation_)
        assert f"| {name} | {learnt} | {held_out} |" in text
    table = fitted.contributions_
    assert table is not None
    for _, row in table.iloc[:-1].iterrows():
        scores = f"{row['balanced_accuracy_alone']:.3f} | {row['balanced_accuracy_without']:.3f}"
        assert f"| {row['branch']} | {row['share']:.0%} | {scores} |" in text
    assert f"| all | 100% | {table['balanced_accuracy_alone'].iloc[-1]:.3f} | - |" in text
    assert f"{spectra.n_pixels}, of them {fitted.training_.sum()} to learn from" in text
    assert f"{spectra.mz.min():.4f} to {spectra.mz.max():.4f}" in text
    assert f"tolerance: {fitted.settings_.tolerance:.3g} ppm" in text
    assert "seed: 0" in text
    for known in (fitted.fingerprint_, config["weights_sha256"], "positive", "torch 2"):
        assert known in text


def test_the_card_of_a_single_part(tissue: Any, tmp_path: Path) -> None:
    single = quick(folds=1, branches=("peak",)).fit(*tissue)
    single.save(tmp_path / "net")
    text = (tmp_path / "net" / "MODEL_CARD.md").read_text(encoding="utf-8")
    best = int(single.history_["best"].argmax())
    assert f"| held out | {single.history_['valid_balanced_accuracy'][best]:.3f} |" in text
    quick(folds=1, branches=("axis",)).fit(*tissue).save(tmp_path / "axis")
    text = (tmp_path / "axis" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Their score was not taken" in text


def test_the_card_is_a_matter_of_the_configuration_alone(
    saved: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    text = (saved / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert model_card(config) == text
    mg.load(saved).save(tmp_path / "again")
    assert (tmp_path / "again" / "MODEL_CARD.md").read_text(encoding="utf-8") == text


def test_a_card_that_people_wrote_on_is_no_damage(saved: Path, tissue: Any, tmp_path: Path) -> None:
    mg.load(saved).save(tmp_path / "model")
    (tmp_path / "model" / "MODEL_CARD.md").write_text("our own words", encoding="utf-8")
    assert mg.load(tmp_path / "model").classes_.tolist() == mg.load(saved).classes_.tolist()
    (tmp_path / "model" / "MODEL_CARD.md").unlink()
    mg.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": True}, "Held out: whole groups that the user named"),
        ({"preset": "published"}, "Held out: single pixels, whose neighbours were learnt from"),
        ({"coordinates": False}, "Held out: single pixels"),
        ({"runs": 6}, "Held out: whole runs"),
        ({}, "Held out: square blocks of neighbouring pixels"),
    ],
)
def test_the_card_says_how_pixels_were_held_out(
    tissue: Any, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    spectra, labels = tissue
    kept = {name: getattr(spectra, name) for name in ("mz", "intensity", "offsets", "polarity")}
    if change.get("coordinates", True):
        kept["coordinates"] = spectra.coordinates
        kept |= {"run_codes": spectra.run_codes, "run_names": spectra.run_names}
    if "runs" in change:
        del kept["coordinates"]  # pixels of a run in places of others
        kept["run_codes"] = np.arange(spectra.n_pixels, dtype=np.int32) % change["runs"]
        kept["run_names"] = tuple("abcdefgh"[: change["runs"]])
    groups = np.arange(spectra.n_pixels) // 12 if "groups" in change else None
    one = quick(epochs=1, preset=change.get("preset", "default"))
    one.fit(mg.Spectra(**kept), labels, groups=groups).save(tmp_path / "model")
    assert said in (tmp_path / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_names_of_runs_stay_out_of_the_model(tissue: Any, tmp_path: Path) -> None:
    """A model is passed on; the name of a run may be that of a patient."""
    spectra, labels = tissue
    named = mg.Spectra(
        mz=spectra.mz,
        intensity=spectra.intensity,
        offsets=spectra.offsets,
        coordinates=spectra.coordinates,
        run_codes=spectra.run_codes,
        run_names=("Erika Mustermann", "Max Mustermann"),
        polarity=spectra.polarity,
    )
    quick().fit(named, labels).save(tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        assert b"Muster" not in path.read_bytes()


# -------------------------------------------------------------------- hostile names


@pytest.mark.parametrize(
    "name",
    ["a\n# heading", "a | b", "<script>x</script>", "[a](http://b)", "`x`", "**b**", "a\u2028b"],
)
def test_names_of_classes_are_shown_and_not_obeyed(config: dict[str, Any], name: str) -> None:
    config["classes"][0] = name
    text = model_card(config)
    assert re.findall("^#+ ", text, re.M) == ["# "] + ["## "] * len(SECTIONS)
    assert "<script" not in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {plain(name)} |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert not re.search(r"(?<!\\)[`*\[\]]", row)


# -------------------------------------------------------------------- provenance


def test_provenance_is_counted_over_the_labelled_pixels(fitted: mg.RGCNClassifier) -> None:
    known = fitted.provenance_
    assert sum(known["training_per_class"]) == fitted.training_.sum()
    assert sum(known["held_out_per_class"]) == fitted.validation_.sum()
    assert known["n_runs"] == 2
    assert json.loads(json.dumps(known, allow_nan=False)) == known
    assert {"python", "numpy", "torch"} <= set(known["versions"])


@pytest.mark.parametrize("table", [{}, [], {"versions": {}}])
def test_provenance_that_is_none(table: Any) -> None:
    with pytest.raises(ValueError, match="is missing"):
        check_provenance(table, 2, 1, 1)
