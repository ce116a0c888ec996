"""What neighbours say: maps whose logits are exact, so that nothing but the field is looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.data.neighbours import neighbours_around
from massgraph.learn.neighbour_field import (
    ODDS,
    NeighbourField,
    learn_field,
    probabilities_around,
)
from massgraph.learn.targets import Targets

SIZE = 36


def around_all(shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    y, x = np.divmod(np.arange(np.prod(shape)), shape[1])
    peaks = [([500.0], [1.0])] * x.size
    places = np.stack([x, y], axis=1)
    return neighbours_around(mg.Spectra.from_peaks(peaks, coordinates=places))


BESIDE = around_all()


def halves() -> np.ndarray:
    return np.tile((np.arange(SIZE) >= SIZE // 2).astype(int), (SIZE, 1))


def layers(*, broad: bool = False, winding: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Layers of a pixel's width in two halves; where `broad`, their class has a region, too."""
    code, thin, down = halves(), np.zeros((SIZE, SIZE), dtype=bool), np.arange(SIZE)
    for column in (4, 11, 24, 30):
        bend = 2 * np.sin(down / 3 + column) if winding else 0 * down
        thin[down, column + np.rint(bend).astype(int)] = True
    if broad:
        code[:10] = 2
        thin[:11] = False
    code[thin] = 2
    return code, thin


def cells() -> tuple[np.ndarray, np.ndarray]:
    code, thin = halves(), np.zeros((SIZE, SIZE), dtype=bool)
    thin[2::4, 2::4] = True
    code[thin] = 2
    return code, thin


def logits_of(code: np.ndarray, distance: float, seed: int = 0) -> np.ndarray:
    """The exact log odds of Gaussians that lie `distance` from zero, one along each axis."""
    rng, codes = np.random.default_rng(seed), code.ravel()
    value = distance * np.eye(codes.max() + 1)[codes]
    return distance * (value + rng.normal(size=value.shape))


def learnt(
    code: np.ndarray, logits: np.ndarray, share: float = 0.15, seed: int = 0, **options: bool
) -> tuple[NeighbourField | None, np.ndarray]:
    """A field of some labelled pixels, and which these are."""
    rng = np.random.default_rng([seed, 1])
    labelled = np.flatnonzero(rng.random(code.size) < share)
    y, x = np.divmod(labelled, code.shape[1])
    fold = (x // 6 + y // 6) % 3
    targets = Targets.of_codes(code.ravel()[labelled])
    around = probabilities_around(logits, BESIDE[labelled])
    return learn_field(logits[labelled], around, fold, targets, **options), labelled


def recalls(code: np.ndarray, logits: np.ndarray, rows: np.ndarray) -> float:
    right = logits.argmax(axis=1) == code.ravel()
    return float(np.mean([right[rows & (code.ravel() == c)].mean() for c in np.unique(code)]))


# -------------------------------------------------------------------- what it is worth


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("distance", "gain"), [(1.5, 0.08), (2.2, 0.04)])
def test_broad_regions_gain(distance: float, gain: float, seed: int) -> None:
    code = halves()
    code[:10] = 2
    logits = logits_of(code, distance, seed)
    field, labelled = learnt(code, logits, seed=seed)
    assert field is not None
    others = np.setdiff1d(np.arange(code.size), labelled)
    scored = np.isin(np.arange(code.size), others)
    before, after = (recalls(code, x, scored) for x in (logits, field.added_to(logits, BESIDE)))
    assert after > before + gain


THIN: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "layers": layers,
    "winding layers": lambda: layers(winding=True),
    "layers of a class that is broad elsewhere": lambda: layers(broad=True),
    "winding layers of such a class": lambda: layers(broad=True, winding=True),
    "single cells": cells,
}


@pytest.mark.parametrize("distance", [2.2, 3.0])
@pytest.mark.parametrize("name", THIN)
def test_what_is_thin_survives(name: str, distance: float) -> None:
    """In the mean of five images: a layer is some hundred pixels, and chance moves some of them."""
    code, thin = THIN[name]()
    found = []
    for seed in range(5):
        logits = logits_of(code, distance, seed)
        field, labelled = learnt(code, logits, seed=seed)
        decided = logits if field is None else field.added_to(logits, BESIDE)
        scored = ~np.isin(np.arange(code.size), labelled)
        of_thin = scored & thin.ravel()
        found.append(
            [
                (
                    recalls(code, values, scored),
                    float((values.argmax(axis=1) == 2)[of_thin].mean()),
                )
                for values in (logits, decided)
            ]
        )
    (before, thin_before), (after, thin_after) = np.mean(found, axis=0)
    # Of a class that is broad elsewhere, and of cells, chance takes a pixel or two of a hundred.
    lost = 0.03 if "elsewhere" in name or "such" in name or "cells" in name else 0.0
    assert thin_after >= thin_before - lost
    assert after >= before


def test_a_potts_field_would_take_the_layers_away() -> None:
    """What the test above would say of it: same labels, same strengths, shares of likeness only."""
    code, thin = layers(broad=True)
    logits = logits_of(code, 2.2)
    alike = 0.05 + 0.85 * np.eye(3)
    said = probabilities_around(logits, BESIDE).sum(axis=1) @ np.log(alike).T
    potts = logits + 0.6 * said
    recall = [(x.argmax(axis=1) == 2)[thin.ravel()].mean() for x in (logits, potts)]
    assert recall[1] < recall[0] - 0.2


def test_scattered_classes_have_no_field() -> None:
    code = np.random.default_rng(0).permutation(halves().ravel()).reshape(SIZE, SIZE)
    for seed in range(5):
        field, _ = learnt(code, logits_of(code, 1.5, seed), seed=seed)
        assert field is None


# -------------------------------------------------------------------- promises


def test_odds_above_the_limit_are_never_turned() -> None:
    """Whatever is around, and however strong the field."""
    rng = np.random.default_rng(0)
    sure = np.log(ODDS) + 1e-6
    field = NeighbourField(1.0, np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]]), np.ones(2))
    for _ in range(20):
        logits = np.where(rng.random((SIZE * SIZE, 1)) < 0.5, [sure, 0.0], [0.0, 40.0])
        decided = field.added_to(logits, BESIDE)
        np.testing.assert_array_equal(decided.argmax(axis=1), logits.argmax(axis=1))


def test_a_way_through_speaks_for_its_class() -> None:
    """A layer of ones in zeros is spared, straight or bent; its end and a single pixel are not."""
    field = NeighbourField(1.0, np.array([[0.9, 0.1], [0.1, 0.9]]), np.ones(2))

    def spared(*directions: int) -> float:
        around = np.eye(2)[np.isin(np.arange(8), directions).astype(int)]
        return float(field.against(around[None])[0, 1])

    assert spared(0, 4) == spared(1, 4) == spared(0, 3) == spared(7, 4) == 0
    assert 0 < spared(0) < spared() == pytest.approx(np.log(ODDS))
    assert spared(0, 1) == spared(0, 2) == spared(0)  # a corner is no way through


def test_pixels_without_logits_stay_so_and_say_nothing() -> None:
    code = halves()
    logits = logits_of(code, 1.5)
    field = NeighbourField(0.5, np.array([[0.9, 0.1], [0.2, 0.8]]), np.ones(2))
    gone = np.zeros(code.size, dtype=bool)
    gone[::7] = True
    found = field.added_to(np.where(gone[:, None], np.nan, logits), BESIDE)
    np.testing.assert_array_equal(np.isnan(found).any(axis=1), gone)
    kept = np.flatnonzero(~gone)
    number = np.full(code.size + 1, -1)
    number[kept] = np.arange(kept.size)
    alone = field.added_to(logits[kept], number[BESIDE[kept]])
    np.testing.assert_array_equal(found[kept], alone)


def test_without_neighbours_nothing_changes() -> None:
    logits = logits_of(halves(), 1.5)
    field = NeighbourField(1.0, np.array([[0.9, 0.1], [0.2, 0.8]]), np.ones(2))
    np.testing.assert_array_equal(field.added_to(logits, np.full_like(BESIDE, -1)), logits)


def test_blocks_of_pixels_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = logits_of(halves(), 1.5)
    field = NeighbourField(0.5, np.array([[0.9, 0.1], [0.2, 0.8]]), np.ones(2))
    whole = field.added_to(logits, BESIDE)
    monkeypatch.setattr("massgraph.learn.neighbour_field.BLOCK", 50)
    np.testing.assert_array_equal(field.added_to(logits, BESIDE), whole)


def test_shares_are_what_lies_around_each_class() -> None:
    code, _ = layers()
    logits = logits_of(code, 8.0)
    field, _ = learnt(code, logits, share=0.9, required=True)
    assert field is not None
    np.testing.assert_allclose(field.shares.sum(axis=1), 1)
    assert field.shares[2, 2] == pytest.approx(0.25, abs=0.03)  # two of eight
    assert field.shares[0, 1] < 0.03  # halves touch along one line


def test_of_a_class_of_few_pixels_neighbours_are_not_sure() -> None:
    code, _ = cells()
    few, many = (
        learnt(code, logits_of(code, 3.0), share=share, required=True)[0] for share in (0.1, 0.9)
    )
    assert few is not None
    assert many is not None
    assert 0 < few.trust[2] < 0.7 < few.trust[:2].min() <= 1
    assert many.trust[2] > 0.85
    around = np.tile(np.eye(3)[0], (1, 8, 1))
    doubting = NeighbourField(many.strength, many.shares, 0.5 * np.ones(3))
    sure = NeighbourField(many.strength, many.shares, np.ones(3))
    np.testing.assert_allclose(2 * doubting.against(around), sure.against(around))


# -------------------------------------------------------------------- labels of all kinds


def test_shares_of_classes_and_weights_are_labels_too() -> None:
    code = halves()
    logits = logits_of(code, 1.5)
    labelled = np.arange(0, code.size, 5)
    fold = labelled % 3
    around = probabilities_around(logits, BESIDE[labelled])
    hard = learn_field(logits[labelled], around, fold, Targets.of_codes(code.ravel()[labelled]))
    shares = np.eye(2)[code.ravel()[labelled]]
    even = Targets.of_shares(shares, np.full(len(labelled), 3.0))
    same = learn_field(logits[labelled], around, fold, even)
    assert hard is not None
    assert same is not None
    assert same.strength == hard.strength
    np.testing.assert_allclose(same.shares, hard.shares)
    soft = learn_field(logits[labelled], around, fold, Targets.of_shares(0.1 + 0.8 * shares))
    assert soft is not None
    assert soft.shares[0, 0] < hard.shares[0, 0]


def cannot_be_judged() -> dict[str, tuple[np.ndarray, np.ndarray, Targets]]:
    codes, fold = np.array([0, 1] * 4), np.repeat([0, 1], 4)
    around = np.full((8, 8, 2), 0.5)
    return {
        "one fold": (around, np.zeros(8, dtype=int), Targets.of_codes(codes)),
        "no neighbours": (np.zeros_like(around), fold, Targets.of_codes(codes)),
        "a class without a pixel": (around, fold, Targets.of_codes(0 * codes, n_classes=2)),
    }


@pytest.mark.parametrize("name", cannot_be_judged())
def test_where_nothing_can_be_judged(name: str) -> None:
    around, fold, targets = cannot_be_judged()[name]
    logits = np.zeros((8, 2))
    assert learn_field(logits, around, fold, targets) is None
    with pytest.raises(InputError, match="spatial=True needs labelled pixels of each class"):
        learn_field(logits, around, fold, targets, required=True)


def test_no_class_is_told_worse() -> None:
    """Neither field nor strength is given that costs the labelled pixels of a class anything."""
    for seed in range(5):
        code, _ = cells()
        logits = logits_of(code, 1.5, seed)
        field, labelled = learnt(code, logits, share=0.3, seed=seed)
        if field is None:
            continue
        codes = code.ravel()[labelled]
        decided = field.added_to(logits, BESIDE)[labelled]
        errors = [
            ((softmax(values, axis=1) - np.eye(3)[codes]) ** 2).sum(axis=1)
            for values in (logits[labelled], decided)
        ]
        for c in range(3):
            assert errors[1][codes == c].mean() < errors[0][codes == c].mean() + 0.02
