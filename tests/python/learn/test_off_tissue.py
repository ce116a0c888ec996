"""Pixels beside the tissue."""

from __future__ import annotations

import numpy as np
import pytest

from massgraph.learn.off_tissue import find_off_tissue


def richness(poor, rich, *, share=0.3, n=1000, spread=0.15, seed=0):
    rng = np.random.default_rng(seed)
    count = int(share * n)
    means = np.repeat(np.log([poor, rich]), [count, n - count])
    return means + rng.normal(0, spread, n), np.repeat([0, 1], [count, n - count])


def test_poor_pixels_are_told():
    values, truth = richness(60, 300)
    mixture = find_off_tissue(values, values)
    assert mixture.weight[0] == pytest.approx(0.3, abs=0.01)
    found = mixture.log_joint(values[:, None]).argmax(axis=1)
    assert (found == truth).mean() > 0.99


def test_the_poorer_a_pixel_the_likelier_it_is_off():
    values = richness(60, 300)[0]
    mixture = find_off_tissue(values, values)
    joint = mixture.log_joint(np.linspace(0, 9, 50)[:, None])
    assert (np.diff(joint[:, 1] - joint[:, 0]) > 0).all()


@pytest.mark.parametrize(
    ("poor", "rich", "share", "spread"),
    [
        (300, 300, 0.3, 0.15),  # all alike
        (220, 300, 0.3, 0.05),  # apart, but both rich: two kinds of tissue
        (100, 300, 0.3, 0.40),  # one broad kind
        (60, 300, 0.02, 0.15),  # a few bad pixels
    ],
)
def test_tissue_alone_is_left_whole(poor, rich, share, spread):
    values = richness(poor, rich, share=share, spread=spread)[0]
    assert find_off_tissue(values, values) is None


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0, 3.0]])
def test_hardly_any_pixels(values):
    assert find_off_tissue(np.array(values), np.array(values)) is None


def test_poor_pixels_that_are_brighter_are_tissue():
    # Picked from noise, peaks may be more beside the tissue than in it.
    values = richness(60, 300)[0]
    assert find_off_tissue(values, -values) is None
