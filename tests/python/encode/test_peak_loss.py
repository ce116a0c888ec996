"""Peaks lost at random: told from weak ones, and borne by what is left."""

import numpy as np
import pytest
import scipy.sparse as sp

from massgraph.data.spectra import Spectra
from massgraph.encode.ions import IonNodes
from massgraph.encode.peak_loss import find_peak_loss, log_deviations

N_IONS = 160


def ion_nodes_of(X):
    """Ions by pixels as nodes; what is 0 is none."""
    ion = np.nonzero(X)[1]
    spectra = Spectra.from_matrix(sp.csr_matrix(X), 100.0 + np.arange(X.shape[1]))
    return IonNodes(spectra, ion, np.ones(ion.size), sp.eye(ion.size, format="csr"))


def intensities(seed=0, n_pixels=300):
    """Of ions by pixels: levels of ions, brightness of pixels, noise."""
    rng = np.random.default_rng(seed)
    level, bright = rng.normal(0, 2, N_IONS), rng.normal(0, 0.5, (n_pixels, 1))
    return np.exp(level + bright + 0.3 * rng.normal(size=(n_pixels, N_IONS)))


def lost_at_random(X, keep, seed=1):
    return X * (np.random.default_rng(seed).random(X.shape) < keep)


def test_nothing_is_lost_in_whole_spectra():
    assert find_peak_loss(ion_nodes_of(intensities()), N_IONS) is None


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
def test_share_that_is_kept(keep):
    loss = find_peak_loss(ion_nodes_of(lost_at_random(intensities(), keep)), N_IONS)
    assert loss.kept == pytest.approx(keep, abs=0.1)


def test_weak_peaks_that_are_missing_are_not_lost_at_random():
    X = intensities()
    assert find_peak_loss(ion_nodes_of(np.where(np.quantile(X, 0.8) < X, X, 0)), N_IONS) is None


def test_few_ions_counted_are_not_lost_at_random():
    # Even the commonest ion is rare, and the others the rarer the less there is of them.
    share = np.exp(np.random.default_rng(0).normal(size=N_IONS))
    X = np.random.default_rng(1).multinomial(30, share / share.sum(), 300)
    nodes = ion_nodes_of(X.astype(float))
    assert (X > 0).mean(axis=0).max() < 0.9
    assert find_peak_loss(nodes, N_IONS) is None


def test_no_peaks_at_all():
    assert find_peak_loss(ion_nodes_of(np.zeros((5, N_IONS))), N_IONS) is None


def test_deviations_do_not_depend_on_what_is_lost():
    X = intensities(n_pixels=600)
    X[:300, :10] *= 4.0  # one molecule of ten ions, in half of the pixels
    group = np.repeat(np.arange(N_IONS // 10), 10)
    nodes = ion_nodes_of(lost_at_random(X, 0.4))
    amounts = log_deviations(nodes, group, find_peak_loss(nodes, N_IONS)).toarray()
    step = amounts[:300].mean(axis=0) - amounts[300:].mean(axis=0)
    # Of the four ions that are left on average, drawn to zero by one.
    assert step[0] == pytest.approx(np.log(4) * 4 / 5, abs=0.15)
    assert np.abs(step[1:]).max() < 0.15
    n_left = nodes.spectra.peak_counts
    assert abs(np.corrcoef(n_left, amounts.sum(axis=1))[0, 1]) < 0.2


def test_brightness_of_a_pixel_does_not_matter():
    X = lost_at_random(intensities(), 0.5)
    group = np.arange(N_IONS)
    nodes = ion_nodes_of(X)
    loss = find_peak_loss(nodes, N_IONS)
    plain = log_deviations(nodes, group, loss).toarray()
    brighter = log_deviations(ion_nodes_of(1000 * X), group, loss).toarray()
    np.testing.assert_allclose(brighter, plain, atol=1e-5)  # intensities are float32
