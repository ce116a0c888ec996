"""Weights of branches: what held-out pixels say, and what is usual where they say little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from massgraph.learn import weights as module
from massgraph.learn.branches import branch, branch_names
from massgraph.learn.targets import Targets
from massgraph.learn.weights import is_better, weigh


def weights_of(
    logits: np.ndarray, targets: Targets, usual: np.ndarray, pixels_of_usual: float = 0.0
) -> np.ndarray:
    """Weights for ``(n_pixels, n_branches, n_classes)`` logits.

    `pixels_of_usual`: how many pixels the usual weights count as much as.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "USUAL_PIXELS", pixels_of_usual)
        steady = np.zeros(logits.shape[1], dtype=bool)
        return weigh(np.swapaxes(logits, 0, 1)[None], targets, usual, steady)[0][0]


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return np.repeat([0, 1, 2], 50)


@pytest.fixture(scope="module")
def both(y: np.ndarray) -> np.ndarray:
    """Logits of a branch that is right, and of one that is noise."""
    rng = np.random.default_rng(0)
    right = 3 * np.eye(3)[y] + rng.normal(size=(150, 3))
    return np.stack([right, 3 * rng.normal(size=(150, 3))], axis=1)


def test_weights_favour_the_branch_that_is_right(both: np.ndarray, y: np.ndarray) -> None:
    targets, one = Targets.of_codes(y), np.ones(1)
    weights = weights_of(both, targets, np.ones(2))
    assert weights[0] > 10 * weights[1]
    sure = weights_of(10 * both[:, :1], targets, one)
    alone = weights_of(both[:, :1], targets, one)
    assert sure[0] == pytest.approx(0.1 * alone[0], rel=0.01)


def test_few_pixels_leave_the_weights_as_usual(both: np.ndarray, y: np.ndarray) -> None:
    spread = (both - both.mean(axis=2, keepdims=True)).std(axis=(0, 2))
    usual = np.array([1.0, 0.5])
    ratios = []
    for pixels in (0.0, 0.3 * y.size, 1e3 * y.size):
        weights = weights_of(both, Targets.of_codes(y), usual, pixels) * spread
        ratios.append(weights[1] / weights[0])
    assert ratios[0] < 0.1 < ratios[1] < ratios[2]
    assert ratios[2] == pytest.approx(0.5, rel=0.01)


def test_every_branch_has_a_usual_weight() -> None:
    assert all(branch(name).usual_weight > 0 for name in branch_names())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_weights_do_not_depend_on_the_scale_of_a_branch(scale: float) -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], 60)
    logits = np.stack([np.eye(3)[y] + rng.normal(size=(180, 3)) for _ in range(2)], axis=1)
    usual, targets = np.array([1.0, 0.5]), Targets.of_codes(y)
    first = weights_of(logits, targets, usual, 18)
    other = weights_of(logits * np.array([scale, 1.0])[None, :, None], targets, usual, 18)
    np.testing.assert_allclose(other * [scale, 1.0], first, rtol=1e-3)


def test_pixels_that_were_never_held_out_say_nothing(both: np.ndarray, y: np.ndarray) -> None:
    some = both.copy()
    some[::7] = np.nan
    kept = np.flatnonzero(np.isfinite(some).all(axis=(1, 2)))
    found = weights_of(some, Targets.of_codes(y), np.ones(2))
    np.testing.assert_array_equal(
        found, weights_of(both[kept], Targets.of_codes(y[kept]), np.ones(2))
    )


def test_a_sum_is_as_sure_as_each_version_says(both: np.ndarray, y: np.ndarray) -> None:
    """Of pixels that lack peaks, branches weigh what they are worth there, and are as sure."""
    worse = both[:, ::-1] + np.random.default_rng(2).normal(size=both.shape)
    versions = np.stack([np.swapaxes(part, 0, 1) for part in (both, worse)])
    weights, _ = weigh(versions, Targets.of_codes(y), np.ones(2), np.zeros(2, dtype=bool))
    assert weights.shape == (2, 2)
    for of_version, logits in zip(weights, (both, worse), strict=True):
        total = np.einsum("b,nbc->nc", of_version, logits)

        def loss(scale: float, total: np.ndarray = total) -> float:
            return float(-log_softmax(scale * total, axis=1)[np.arange(y.size), y].mean())

        assert loss(1.0) < min(loss(0.9), loss(1.1))
    assert weights[0, 0] > weights[0, 1]
    assert weights[1, 0] < weights[1, 1]


def spread_of_sum(right: float, n: int, seed: int) -> float:
    """Standard deviation of the logits that few pixels give, of a branch that is so far right."""
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], n)
    logits = right * np.eye(3)[codes] + rng.normal(size=(3 * n, 3))
    weight = weights_of(logits[:, None], Targets.of_codes(codes), np.ones(1))[0]
    return float((weight * (logits - logits.mean(axis=1, keepdims=True))).std())


def test_few_pixels_make_a_sum_as_sure_as_is_usual() -> None:
    """How sure differs less than chance alone would have it; many pixels say it themselves."""
    few = np.log([spread_of_sum(1.5, 4, seed) for seed in range(20)])
    assert few.std() < 0.35
    assert abs(few.mean() - np.log(module.USUAL_SPREAD)) < 0.5
    assert spread_of_sum(0.5, 500, 0) < 0.5
    assert spread_of_sum(6.0, 500, 0) > 5.0


def test_no_sum_is_quite_sure_though_all_pixels_are_right() -> None:
    sure = [spread_of_sum(30.0, n, 0) for n in (2, 10, 100)]
    assert 2.0 < sure[0] < sure[1] < sure[2] < 10.0


def test_what_drifts_as_peaks_are_lost_is_known(y: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    measured = 3 * np.eye(3)[y] + rng.normal(size=(150, 3))
    drift = np.array([1.0, 0.0, -1.0])
    versions = np.stack([measured, measured + drift])[:, None]
    given = versions, Targets.of_codes(y), np.ones(1)
    weights, offsets = weigh(*given, drifting=np.array([True]))
    assert (offsets[0] == 0).all()
    assert (weigh(*given, drifting=np.array([False]))[1] == 0).all()
    np.testing.assert_allclose(offsets[1, 0] / weights[1, 0], drift * 150 / 180, atol=0.15)


def test_a_branch_that_is_as_good_by_chance_is_not_better(y: np.ndarray) -> None:
    gains = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one = 2 * np.eye(3)[y] + rng.normal(size=(150, 3))
        more = np.stack([one, rng.normal(size=(150, 3))], axis=1)
        targets = Targets.of_codes(y)
        gains.append(is_better(one[:, None], more, targets, np.ones(1), np.array([1.0, 0.2])))
    assert np.mean(gains) < 0.1


# -------------------------------------------------------------------- weights of pixels


def module_weights(logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Weights of two branches as a fit finds them."""
    held_out = np.swapaxes(logits, 0, 1)[None]
    return weigh(held_out, targets, np.ones(2), np.zeros(2, dtype=bool))[0][0]


def test_a_heavy_pixel_counts_as_several(y: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the bounds and from what is usual, which are of logits of one spread.

    That spread is of the pixels, however heavy.
    """
    for name, value in (("USUAL_PIXELS", 0.0), ("SURENESS_VARIES", 1e9), ("OTHER_CLASS", 0.0)):
        monkeypatch.setattr(module, name, value)
    rng = np.random.default_rng(3)
    both = np.stack([np.eye(3)[y] + rng.normal(size=(150, 3)) for _ in range(2)], axis=1)
    times = rng.integers(1, 6, y.size)
    repeated = np.repeat(np.arange(y.size), times)
    weighted = Targets.of_shares(np.eye(3)[y], times.astype(np.float64))
    first = module_weights(both, weighted)
    second = module_weights(both[repeated], Targets.of_codes(y[repeated]))
    np.testing.assert_allclose(first, second, rtol=1e-3)
    unweighted = module_weights(both, Targets.of_codes(y))
    assert np.abs(unweighted / first - 1).max() > 0.01


def test_soft_pixels_make_a_sum_less_sure(both: np.ndarray, y: np.ndarray) -> None:
    hard = np.eye(3)[y]
    sure = module_weights(both, Targets.of_shares(hard))
    soft = module_weights(both, Targets.of_shares(0.7 * hard + 0.1))
    assert soft[0] < 0.6 * sure[0]
