"""What R keeps of a fitted model: its bytes, its tables, and which errors are told in one line."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.data.validation import PixelError
from massgraph.fitted import FittedModel
from massgraph.r import mailbox
from massgraph.r.results import (
    model_from_bytes,
    model_to_bytes,
    model_values,
    result_values,
    segmentation_from_values,
)
from massgraph.r.session import RError
from massgraph.r.values import from_r, to_r
from massgraph.store import ModelError
from r_door import start_r
from source_builder import tissue


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return tissue()[0]


@pytest.fixture(scope="module")
def fitted(spectra: mg.Spectra) -> mg.RGCNClassifier:
    options = {"epochs": 1, "folds": 2, "augment": 0, "hidden": (4, 4), "device": "cpu"}
    return mg.RGCNClassifier(**options).fit(spectra, tissue()[1])


# -------------------------------------------------------------------- the model as bytes


def test_a_model_comes_back_from_its_bytes(fitted: mg.RGCNClassifier, spectra: mg.Spectra) -> None:
    raw = model_to_bytes(fitted.fitted_)
    model = model_from_bytes(raw)
    assert isinstance(model, FittedModel)
    np.testing.assert_array_equal(model.logits(spectra), fitted.logits(spectra))
    assert model.summary() == fitted.summary()
    assert model_to_bytes(model) == raw


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"", "the stored model is damaged"),
        (lambda raw: raw[:-40], "the stored model is damaged"),
        (lambda raw: packed({"../config.json": b"{}"}), "which is no file of a model"),
        (lambda raw: packed({"config.json": b"{}"}), "no schema_version"),
    ],
)
def test_bytes_that_are_no_model(fitted: mg.RGCNClassifier, change: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        model_from_bytes(change(model_to_bytes(fitted.fitted_)))
    assert "\n" not in str(caught.value)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


# -------------------------------------------------------------------- values


def test_values_of_a_model_and_of_its_estimator_are_the_same(
    fitted: mg.RGCNClassifier, spectra: mg.Spectra
) -> None:
    segmentation = fitted.segment(spectra)
    ours, theirs = (result_values(segmentation, one) for one in (fitted.fitted_, fitted))
    assert ours.keys() == theirs.keys()
    assert ours["state"] == theirs["state"] == model_to_bytes(fitted.fitted_)
    assert ours["n_parameters"] == sum(p.numel() for p in fitted.model_.parameters())
    pd.testing.assert_frame_equal(ours["contributions"], fitted.contributions_)
    assert model_values(fitted).keys() == model_values(fitted.fitted_).keys()
    assert ours["relations"]["name"].tolist() == list(fitted.settings_.relations.names)
    without = result_values(segmentation)
    assert set(ours) - set(without) == {"contributions", "relations", "n_parameters", "state"}


def test_a_segmentation_comes_back_from_its_values(
    fitted: mg.RGCNClassifier, spectra: mg.Spectra
) -> None:
    made = fitted.segment(spectra)
    pixels = {"coordinates": spectra.coordinates, "run": spectra.run, "names": spectra.names}
    again = segmentation_from_values(result_values(made), pixels)
    np.testing.assert_array_equal(again.probability, made.probability)
    assert again.label.tolist() == made.label.tolist()
    assert again.run.tolist() == made.run.tolist()
    assert again.explanation is not None
    assert made.explanation is not None
    columns = list(made.explanation.ions.columns)
    pd.testing.assert_frame_equal(again.explanation.ions[columns], made.explanation.ions)


def test_values_need_an_explanation(fitted: mg.RGCNClassifier, spectra: mg.Spectra) -> None:
    with pytest.raises(mg.InputError, match="has no explanation"):
        result_values(fitted.segment(spectra, explain=False))


# -------------------------------------------------------------------- errors


def answered(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> dict[str, Any]:
    """What lies in the mailbox after a call that ended in an error."""
    start_r()

    def fail(_: Any) -> None:
        raise problem

    box = {"key": to_r({"x": 1.0})}
    monkeypatch.setattr(mailbox, "namespace", lambda _: {".mailbox": box})
    monkeypatch.setitem(mailbox.CALLS, "fail", fail)
    mailbox.serve("fail", "key")
    letter = box["key"]
    return dict(zip(letter.names, map(from_r, letter), strict=True))


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (mg.InputError("labels lack\na class: overwrite=True"), "a class: overwrite = TRUE"),
        (ModelError("the model is damaged"), "the model is damaged"),
        (PixelError(4, "mz nan"), "pixel 5: mz nan"),  # R counts from one
        (RError("no slot"), "no slot"),
        (FileNotFoundError("there is no such file"), "there is no such file"),
        (ImportError("anndata is missing"), "anndata is missing"),
        (FloatingPointError("the loss is not finite"), "the loss is not finite"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, told: str
) -> None:
    answer = answered(monkeypatch, problem)
    (text,) = np.atleast_1d(answer["error"]).tolist()
    assert told in text
    assert "\n" not in text


@pytest.mark.parametrize("problem", [ValueError("x"), TypeError("x"), KeyError("x"), OverflowError])
def test_a_fault_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    """A ValueError of numpy is no bad input: it is raised as it is, for R to show."""
    kind = problem if isinstance(problem, type) else type(problem)
    with pytest.raises(kind):
        answered(monkeypatch, problem)
