"""The field over a map."""

from __future__ import annotations

import numpy as np
import pytest

from massgraph.data.neighbours import Neighbours
from massgraph.learn.field import STRENGTHS, coherence, field_strength, smoothed


def pairs_of(shape):
    number = np.arange(np.prod(shape)).reshape(shape)
    steps = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    steps += [(number[:-1, :-1], number[1:, 1:]), (number[:-1, 1:], number[1:, :-1])]
    return np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in steps])


def noisy(truth, seed=0, distance=2.0):
    rng = np.random.default_rng(seed)
    value = truth.ravel() * distance + rng.normal(size=truth.size)
    return np.stack([-(value**2) / 2, -((value - distance) ** 2) / 2], axis=1) - np.log(2)


HALVES = np.repeat([[0] * 15 + [1] * 15], 20, axis=0)
SHARES = Neighbours(pairs_of(HALVES.shape), HALVES.size).shares()


def test_neighbours_mend_what_noise_broke():
    joint = noisy(HALVES)
    alone, together = smoothed(joint, SHARES, 0.0), smoothed(joint, SHARES, 4.0)
    right = [(found.argmax(axis=1) == HALVES.ravel()).mean() for found in (alone, together)]
    assert right[0] < 0.9
    assert right[1] > 0.98
    np.testing.assert_allclose(together.sum(axis=1), 1)


def test_a_layer_of_one_pixel_survives():
    layer = np.zeros((20, 30), dtype=int)
    layer[9] = 1
    joint = noisy(layer, distance=6.0)
    found = smoothed(joint, SHARES, max(STRENGTHS)).argmax(axis=1).reshape(layer.shape)
    assert (found[9] == 1).mean() > 0.95


def test_pixels_without_neighbours_are_left_alone():
    joint = noisy(HALVES)
    empty = Neighbours(np.empty((0, 2), dtype=np.int64), HALVES.size).shares()
    np.testing.assert_array_equal(smoothed(joint, empty, 4.0), smoothed(joint, empty, 0.0))


def test_strength_follows_the_map():
    even = np.array([0.5, 0.5])
    scattered = np.random.default_rng(0).permutation(HALVES.ravel()).reshape(HALVES.shape)
    assert field_strength(noisy(HALVES, distance=6.0), even, SHARES) == max(STRENGTHS)
    assert field_strength(noisy(scattered, distance=6.0), even, SHARES) < 1.0


@pytest.mark.parametrize("strength", [1.0, 4.0])
def test_coherent_maps_score_higher(strength):
    even = np.array([0.5, 0.5])
    scattered = np.random.default_rng(0).permutation(HALVES.ravel()).reshape(HALVES.shape)
    scores = [
        coherence(noisy(truth, distance=6.0), even, SHARES, strength)
        for truth in (HALVES, scattered)
    ]
    assert scores[0] > scores[1] + 100
