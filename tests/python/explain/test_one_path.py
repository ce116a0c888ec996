"""Memory is a source of one block: blocks, parts and threads change no number.

The compiled library computes each pixel by itself, so that its results are equal to the last bits
whatever pixels stand beside it. torch multiplies the peaks of a whole batch at once, in an order
that hangs on their number: there only one block is held to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import massgraph as mg
from massgraph.data import sources
from massgraph.explain.activation import StreamedExplanation
from massgraph.explain.explain import explain
from massgraph.explain.ion_sums import IonSums
from massgraph.fitted import FittedModel
from massgraph.native.library import library
from massgraph.segment import segment
from source_builder import Bare, Blocks, tissue

TABLES = ("ions", "families", "family_edges")
MODELS = {
    "default": {"folds": 2, "augment": 0, "hidden": (4, 4)},
    "published": {"preset": "published"},
    "torch": {"folds": 2, "augment": 0, "hidden": (4, 4), "backend": "torch"},
}


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    """Every third pixel of both runs, one of them without peaks."""
    found = tissue()[0][2::3]
    assert (found.peak_counts == 0).sum() == 1
    return found


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> FittedModel:
    clf = mg.RGCNClassifier(epochs=2, device="cpu", **MODELS[request.param])
    return clf.fit(*tissue()).fitted_


def limit(model: FittedModel) -> float:
    """How far pixels may be from what they are in one block."""
    return 1e-12 if model.backend != "torch" and library() is not None else 2e-6


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def assert_same_tables(found: mg.Explanation, wanted: mg.Explanation, atol: float) -> None:
    np.testing.assert_array_equal(found.mz, wanted.mz)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.peak_counts, wanted.peak_counts)
    for name in TABLES:
        one, other = getattr(found, name), getattr(wanted, name)
        if atol == 0:
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        else:
            pd.testing.assert_frame_equal(one, other, rtol=0, atol=atol)


# -------------------------------------------------------------------- one block


@pytest.mark.parametrize("kind", [Bare, Blocks])
def test_one_block_is_memory_to_the_bit(
    model: FittedModel, spectra: mg.Spectra, kind: type[Bare]
) -> None:
    source = kind(spectra, spectra.n_pixels)
    for method in ("logits", "probabilities", "branch_logits", "embed"):
        found, wanted = (getattr(model, method)(x) for x in (source, spectra))
        np.testing.assert_array_equal(found, wanted)
    assert_same_tables(explain(model, source), explain(model, spectra), 0)
    found, wanted = segment(model, source), segment(model, spectra)
    np.testing.assert_array_equal(found.probability, wanted.probability)
    assert_same_tables(found.explanation, wanted.explanation, 0)


def test_segmenting_is_predicting_and_explaining(model: FittedModel, spectra: mg.Spectra) -> None:
    """One way through the pixels gives what two give."""
    for pixels in (spectra, Bare(spectra, 50)):
        found = segment(model, pixels)
        np.testing.assert_array_equal(found.probability, model.probabilities(pixels))
        assert_same_tables(found.explanation, explain(model, pixels), 0)
        bare = segment(model, pixels, explain=False)
        assert bare.explanation is None
        np.testing.assert_array_equal(bare.probability, found.probability)


# -------------------------------------------------------------------- blocks, parts and threads


@pytest.mark.parametrize("size", [1, 17])
def test_any_blocks_say_the_same(model: FittedModel, spectra: mg.Spectra, size: int) -> None:
    source, atol = Bare(spectra, size), limit(model)
    np.testing.assert_allclose(model.logits(source), model.logits(spectra), rtol=0, atol=atol)
    np.testing.assert_allclose(model.embed(source), model.embed(spectra), rtol=1e-6, atol=atol)
    found, wanted = segment(model, source), segment(model, spectra)
    np.testing.assert_allclose(found.probability, wanted.probability, rtol=0, atol=atol)
    assert found.label.tolist() == wanted.label.tolist()
    assert isinstance(found.explanation, StreamedExplanation)
    if atol < 1e-9:  # elsewhere ions of all but equal scores may change places
        assert_same_tables(found.explanation, wanted.explanation, atol)
    columns = [name for name in wanted.explanation.ions if "_" in name]
    np.testing.assert_allclose(
        found.explanation.ions[columns], wanted.explanation.ions[columns], rtol=0, atol=atol
    )
    np.testing.assert_allclose(
        found.explanation.logits(), wanted.explanation.logits(), rtol=0, atol=atol
    )


@pytest.mark.parametrize("part", [1, 1000])
def test_parts_of_memory_are_parts_of_a_source(
    model: FittedModel, spectra: mg.Spectra, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Cut alike, both are computed alike; cut at all, memory says what it says uncut."""
    whole, atol = segment(model, spectra), limit(model)
    monkeypatch.setattr(sources, "PART_PEAKS", part)
    found, streamed = segment(model, spectra), segment(model, Bare(spectra, spectra.n_pixels))
    np.testing.assert_array_equal(found.probability, streamed.probability)
    assert_same_tables(found.explanation, streamed.explanation, 0)
    np.testing.assert_allclose(found.probability, whole.probability, rtol=0, atol=atol)
    if atol < 1e-9:
        assert_same_tables(found.explanation, whole.explanation, atol)
    for name, matrix in whole.explanation.activation.items():
        difference = (found.explanation.activation[name] - matrix).tocoo()
        assert abs(difference).max() <= max(atol, 1e-12) * 1e2


def test_any_number_of_threads_gives_the_same_bits(
    model: FittedModel, spectra: mg.Spectra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PART_PEAKS", 2000)
    for pixels in (spectra, Bare(spectra, 31)):
        with threads(1):
            wanted, logits = segment(model, pixels), model.logits(pixels)
        with threads(3):
            found = segment(model, pixels)
            np.testing.assert_array_equal(model.logits(pixels), logits)
            assert torch.get_num_threads() == 3
        np.testing.assert_array_equal(found.probability, wanted.probability)
        assert_same_tables(found.explanation, wanted.explanation, 0)


# -------------------------------------------------------------------- sums


def random_pixels(seed: int) -> tuple[mg.Spectra, dict[str, np.ndarray]]:
    """Pixels with activations over many powers of ten, whose sums hang on their order."""
    rng = np.random.default_rng(seed)
    mz = 500.0 + np.arange(12)
    peaks = []
    for _ in range(60):
        kept = np.flatnonzero(rng.random(12) < 0.7)
        peaks.append((mz[kept], rng.lognormal(sigma=3, size=kept.size)))
    spectra = mg.Spectra.from_peaks(peaks)
    size = (spectra.n_peaks, 3)
    return spectra, {
        "cam": rng.normal(size=size) * 10.0 ** rng.integers(-9, 9, size=size),
        "ion": np.where(rng.random(spectra.n_peaks) < 0.1, -1, spectra.mz.astype(int) - 500),
        "labels": rng.integers(-1, 3, size=60),
    }


def summed(spectra: mg.Spectra, given: dict[str, np.ndarray], size: int) -> dict[str, Any]:
    sums = IonSums(3, 12)
    for first in range(0, spectra.n_pixels, size):
        some = slice(first, first + size)
        peaks = slice(spectra.offsets[first], spectra.offsets[min(first + size, len(spectra))])
        sums.add(spectra[some], given["cam"][peaks], given["ion"][peaks], given["labels"][some])
    return {name: value.tobytes() for name, value in vars(sums).items()}


@pytest.mark.parametrize("size", [1, 2, 7, 31])
def test_sums_in_parts_are_the_sums_to_the_bit(size: int) -> None:
    for seed in range(5):
        spectra, given = random_pixels(seed)
        assert summed(spectra, given, size) == summed(spectra, given, spectra.n_pixels)


def test_sums_by_hand() -> None:
    spectra, given = random_pixels(0)
    sums = IonSums(3, 12)
    sums.add(spectra, given["cam"], given["ion"], given["labels"])
    tic = spectra.tic()
    contribution, intensity = np.zeros((3, 3, 12)), np.zeros((3, 12))
    for peak, (pixel, ion) in enumerate(zip(spectra.pixel_of_peak, given["ion"], strict=True)):
        label = given["labels"][pixel]
        if ion >= 0 and label >= 0:
            contribution[:, label, ion] += given["cam"][peak] / spectra.peak_counts[pixel]
            intensity[label, ion] += spectra.intensity[peak] / tic[pixel]
    np.testing.assert_allclose(sums.contribution, contribution, rtol=1e-6)
    np.testing.assert_allclose(sums.intensity, intensity, rtol=1e-6)
    assert sums.pixels.tolist() == np.bincount(given["labels"] + 1, minlength=4)[1:].tolist()
