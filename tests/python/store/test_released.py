"""Models that released versions saved load for ever, and say what they said then."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import massgraph as mg
from massgraph.versions import versions
from source_builder import Bare

HERE = Path(__file__).parent
MODELS = sorted(
    path.parent.relative_to(HERE).as_posix() for path in HERE.glob("models_*/*/config.json")
)
TABLES = ("ions",)  # families are read in another way since: none mixes two directions
# Other instructions of the processor, or another torch, add up single precision in another order.
OTHER_MACHINE = 5e-6


def arithmetic() -> list[str]:
    found = versions()
    return [found["path"], found["simd"].split()[0], found["torch"]]


class Released:
    """A model folder, the pixels beside it, and what the version that saved it said of them."""

    def __init__(self, name: str) -> None:
        self.folder = HERE / name
        with np.load(self.folder.parent / "spectra.npz") as pixels:
            self.spectra = mg.Spectra(**pixels, polarity="positive")
        with np.load(f"{self.folder}.npz") as said:
            self.said = dict(said)
        self.same_machine = self.said["arithmetic"].tolist() == arithmetic()
        # Amounts of molecules are counted anew from those of ions, which are in single precision.
        exact = self.same_machine and name.endswith("published")
        self.limit = 1e-12 if exact else OTHER_MACHINE

    def load(self) -> mg.RGCNClassifier:
        return mg.load(self.folder)


@pytest.fixture(scope="module", params=MODELS)
def released(request: pytest.FixtureRequest) -> Released:
    return Released(request.param)


def test_the_first_release_is_among_them() -> None:
    assert MODELS == ["models_0_1_0/default", "models_0_1_0/published"]


# -------------------------------------------------------------------- what they say


def test_predictions_are_those_of_then(released: Released) -> None:
    model, said = released.load(), released.said
    assert np.isnan(said["logits"][released.spectra.peak_counts == 0]).all()
    np.testing.assert_allclose(
        model.logits(released.spectra), said["logits"], rtol=0, atol=released.limit
    )
    np.testing.assert_allclose(
        model.embed(released.spectra), said["embedding"], rtol=released.limit, atol=released.limit
    )
    labels = [str(label) for label in model.predict(released.spectra)]
    assert labels == said["predicted"].tolist()


def test_explanations_are_those_of_then(released: Released) -> None:
    found = released.load().explain(released.spectra)
    for kind in TABLES:
        check_table(released, kind, getattr(found, kind))


def check_table(released: Released, kind: str, table: pd.DataFrame) -> None:
    columns = {name for name in released.said if name.startswith(f"{kind}.")}
    assert {f"{kind}.{name}" for name in table.columns} - {f"{kind}.direction"} == columns
    for name, column in table.items():
        # Since then tables say which way an ion speaks, and intensities are shares of the TIC.
        if str(name) == "direction" or str(name).startswith("int"):
            continue
        said = released.said[f"{kind}.{name}"]
        if said.dtype.kind == "U":
            if released.same_machine:  # elsewhere two that are all but equal may change places
                assert column.astype(str).tolist() == said.tolist()
        elif released.same_machine or name == "mz" or str(name).startswith("act"):
            np.testing.assert_allclose(
                np.asarray(column, dtype=float), said, rtol=0, atol=released.limit, err_msg=name
            )


def test_pixels_read_block_by_block(released: Released) -> None:
    found = released.load().logits(Bare(released.spectra, 4))
    np.testing.assert_allclose(found, released.said["logits"], rtol=0, atol=OTHER_MACHINE)


# -------------------------------------------------------------------- what they are


def test_a_model_is_saved_again_in_the_format_of_now(released: Released, tmp_path: Path) -> None:
    model = released.load()
    model.save(tmp_path / "again")
    again = mg.load(tmp_path / "again")
    np.testing.assert_array_equal(again.logits(released.spectra), model.logits(released.spectra))
    assert again.summary() == model.summary()
    assert again.get_params().keys() == model.get_params().keys()


def test_a_model_that_does_not_say_what_was_given_keeps_its_settings(released: Released) -> None:
    config = json.loads((released.folder / "config.json").read_text(encoding="utf-8"))
    assert "given" not in config
    model = released.load()
    again = clone(model)
    for name, value in config["settings"].items():
        if name not in ("adam_eps", "as_published"):  # of the preset, which nobody can give
            assert as_json(getattr(again, name)) == value or default_unit(again, name)
    assert again.preset == config["parameters"]["preset"]
    assert again.random_state == 3


def default_unit(model: mg.RGCNClassifier, name: str) -> bool:
    """The unit that a preset has anyway is left to it."""
    return name == "tolerance_unit" and model.tolerance_unit is None


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_files_are_small_and_name_no_place_of_a_machine() -> None:
    files = [path for path in HERE.glob("models_*/**/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000 * len(set(map(release, MODELS)))
    for path in files:
        raw = path.read_bytes()
        assert not re.search(rb"/(root|home|tmp|work|Users)/", raw), path


def release(name: str) -> str:
    return name.split("/", maxsplit=1)[0]
