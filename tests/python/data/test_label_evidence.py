"""Whether the spectra say that labels lie elsewhere, and quiet where they do not."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from label_builder import LABELS, image
from massgraph.data.label_evidence import MOVES, Move, PlaceTable, better_place
from massgraph.data.sources import places
from source_builder import Blocks


def moved(spectra: mg.Spectra, labels: np.ndarray, move: Move) -> np.ndarray:
    """Labels laid wrongly in this way."""
    from_ = PlaceTable(places(spectra)).moved_from(move)
    return np.where(from_ >= 0, labels[from_], None)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_right_labels_are_quiet(preset: str, seed: int) -> None:
    spectra, labels = mg.simulate(preset, random_state=seed, n_runs=1)
    some = labels.copy()
    some[np.random.default_rng(seed).random(len(some)) < 0.3] = None
    for y in (labels, some):
        assert better_place(spectra, places(spectra), y) is None


@pytest.mark.parametrize("seed", range(5))
def test_degraded_spectra_with_right_labels_are_quiet(seed: int) -> None:
    spectra, labels = mg.simulate("tiny", random_state=seed, n_runs=1)
    worse = mg.degrade.remove_peaks(spectra, 0.25, np.random.default_rng(seed))
    assert better_place(worse, places(worse), labels) is None


@pytest.mark.parametrize("seed", range(20))
def test_labels_that_mean_nothing_are_quiet(seed: int) -> None:
    """Blocks of classes that the spectra know nothing of."""
    spectra = image(of=lambda x, y: "tumour")
    rng = np.random.default_rng(seed)
    at = np.asarray(spectra.coordinates).astype(int)
    names = rng.choice(["a", "b", "c"], (6, 6))[at[:, 0] // 2, at[:, 1] // 2].astype(object)
    assert better_place(spectra, places(spectra), names) is None


def test_a_border_drawn_too_far_out_all_around_is_no_shift() -> None:
    """Half of its pixels would fit better a pixel further, and half of them worse."""

    def inner(x: int, y: int) -> str:
        return "tumour" if 4 <= x <= 7 and 4 <= y <= 7 else "stroma"

    spectra = image(of=inner)
    at = np.asarray(spectra.coordinates)
    generous = np.where(((at >= 3) & (at <= 8)).all(axis=1), "tumour", "stroma").astype(object)
    assert better_place(spectra, places(spectra), generous) is None


@pytest.mark.parametrize("move", MOVES)
def test_moved_labels_are_seen(move: Move) -> None:
    def lobed(x: int, y: int) -> str:
        return "tumour" if 3 * x + 4 * y < 70 or (x > 14 and y < 9) else "stroma"

    spectra = image(of=lobed, shape=(20, 20))
    at = np.asarray(spectra.coordinates).astype(int)
    right = np.array([lobed(x, y) for x, y in at], dtype=object)
    if move.kind == "shift":  # a part of the image, so that all labels have a pixel either way
        right[~((at > 2) & (at < 19)).all(axis=1)] = None
    found = better_place(spectra, places(spectra), moved(spectra, right, move))
    assert found is not None
    assert found.kind == move.kind
    assert found.fits >= 0.85 * found.n >= 6.8
    if move.kind == "shift":
        assert np.sign(np.dot(found.shift, move.shift)) == -1


@pytest.mark.parametrize("far", [1, 10_000])
@pytest.mark.parametrize("move", MOVES)
def test_where_labels_come_from(move: Move, far: int) -> None:
    """Two runs, one of them far off: as a table of places, and as a sorted list of them."""
    spectra = image(runs=("A", "B"), shape=(4, 3))
    at = np.asarray(spectra.coordinates).copy()
    at[12:] *= far
    moved_ = PlaceTable(mg.Spectra.from_peaks([([1.0], [1.0])] * 24, coordinates=at,
                                          run=spectra.run)).moved_from(move)  # fmt: skip
    place = {(i // 12, *map(int, at[i])): i for i in range(24)}
    for i, (x, y) in enumerate(at.astype(int).tolist()):
        run = at[i // 12 * 12 : i // 12 * 12 + 12]
        ends = (run.min(axis=0) + run.max(axis=0)).astype(int)
        wanted = {
            "shift": (x - move.shift[0], y - move.shift[1]),
            "swap": (y, x),
            "flip x": (ends[0] - x, y),
            "flip y": (x, ends[1] - y),
        }[move.kind]
        assert moved_[i] == place.get((i // 12, *map(int, wanted)), -1)


def test_of_a_source_only_some_labelled_pixels_are_read() -> None:
    source = Blocks(image(shape=(60, 60)))
    at = np.asarray(source.spectra.coordinates)
    y = np.where(at[:, 1] <= 30, "tumour", "stroma").astype(object)
    better_place(source, places(source.spectra), y)
    assert 0 < sum(stop - first for first, stop in source.asked) < 800


@pytest.mark.parametrize(
    "labels",
    [[None] * 100, ["tumour"] * 100, [*LABELS[:10], *[None] * 90]],
    ids=["none", "one class", "few"],
)
def test_too_little_to_say(labels: list[str | None]) -> None:
    spectra = image()
    assert better_place(spectra, places(spectra), np.array(labels, dtype=object)) is None


def test_places_between_pixels_say_nothing() -> None:
    spectra = mg.Spectra.from_peaks(
        [([100.0], [1.0])] * 30, coordinates=[[i * 0.7, 1.0] for i in range(30)]
    )
    labels = np.array(["a", "b"] * 15, dtype=object)
    assert better_place(spectra, places(spectra), labels) is None
