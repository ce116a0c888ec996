"""Sums over the ions of a molecule."""

from __future__ import annotations

import numpy as np
import pytest

import massgraph as mg
from massgraph.chem.relations import relations_from_masses
from massgraph.encode.amounts import (
    EXCHANGES,
    exchange_links,
    ion_links,
    log_shares,
    molecule_groups,
)
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.ions import ion_nodes
from massgraph.encode.learn_axis import learn_axis


def axis_of(mz, width=7e-4):
    mz = np.asarray(mz, dtype=float)
    ones = np.ones(len(mz))
    return MassAxis(mz, ones, ones.astype(bool), np.zeros(len(mz)), width, 0.0)


SODIUM, ISOTOPE, WATER, CHLORIDE = 21.981944, 1.0033548, 18.010565, 35.976678


@pytest.mark.parametrize("polarity", ["positive", "negative"])
def test_exchanges_are_relations_that_there_are(polarity):
    names = mg.default_relations(polarity).names
    assert {"13C", "13C2", "Na-H"} <= set(names) & set(EXCHANGES)
    assert ("HCl" in names) == (polarity == "negative")
    both = {*mg.default_relations("positive").names, *mg.default_relations("negative").names}
    assert set(EXCHANGES) <= both


def test_isotopes_and_adducts_are_one_molecule():
    mz = [500.0, 500 + ISOTOPE, 500 + SODIUM, 500 + SODIUM + ISOTOPE, 610.0]
    found = molecule_groups(axis_of(mz), mg.default_relations("positive"))
    assert found.tolist() == [0, 0, 0, 0, 1]


def test_chlorine_joins_in_negative_mode():
    mz = [500.0, 500 + CHLORIDE, 610.0]
    assert molecule_groups(axis_of(mz), mg.default_relations("negative")).tolist() == [0, 0, 1]
    assert molecule_groups(axis_of(mz), mg.default_relations("positive")).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("n_true", "counts"), [(0, False), (60, True)])
def test_relations_that_chance_explains_join_nothing(n_true, counts):
    # Ions everywhere: at any difference a hundred pairs or so, true ones besides.
    rng = np.random.default_rng(0)
    mz = rng.uniform(500, 520, 500)
    mz = np.sort(np.concatenate([mz, mz[:n_true] + CHLORIDE, mz + CHLORIDE + 5e-3]))
    negative, axis = mg.default_relations("negative"), axis_of(mz)
    assert len(ion_links(axis, negative, ["HCl"])["HCl"]) > 10
    assert ("HCl" in exchange_links(axis, negative)) == counts


def test_losses_join_nothing():
    found = molecule_groups(axis_of([500.0, 500 + WATER]), mg.default_relations("positive"))
    assert found.tolist() == [0, 1]


@pytest.mark.parametrize(("width", "joined"), [(7e-4, True), (1e-4, False)])
def test_tolerance_is_twice_the_width(width, joined):
    found = molecule_groups(axis_of([500.0, 500 + ISOTOPE + 8e-4], width), isotope())
    assert (found[0] == found[1]) == joined


def test_tolerance_is_one_millidalton_at_most():
    found = molecule_groups(axis_of([500.0, 500 + ISOTOPE + 1.1e-3], width=0.01), isotope())
    assert found.tolist() == [0, 1]


def isotope():
    return relations_from_masses({"13C": ISOTOPE})


def test_the_nearest_partner_is_taken():
    mz = [500.0, 500 + ISOTOPE - 6e-4, 500 + ISOTOPE + 2e-4]
    assert molecule_groups(axis_of(mz), isotope()).tolist() == [0, 1, 0]


@pytest.mark.parametrize("mz", [[], [500.0]])
def test_axes_of_hardly_any_ions(mz):
    assert molecule_groups(axis_of(mz), isotope()).tolist() == list(range(len(mz)))


def test_how_a_molecule_is_split_does_not_matter():
    mz = [500.0, 500 + SODIUM, 610.0]
    axis = axis_of(mz)
    one, other = (mg.Spectra.from_peaks([(mz, intensity)]) for intensity in ([8, 2, 5], [1, 9, 5]))
    group = molecule_groups(axis, mg.default_relations("positive"))
    found = [log_shares(ion_nodes(axis, axis.calibrate(x)), group).toarray() for x in (one, other)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    amounts = 10 * np.expm1(found[0] / 10)
    np.testing.assert_allclose(amounts, [[2 * 10 / 15, 2 * 5 / 15]], rtol=1e-2)


def test_pixels_without_known_ions_are_empty_rows():
    spectra, _ = mg.simulate("tiny", n_runs=1)
    axis = learn_axis(spectra)
    far = mg.Spectra.from_peaks([([], []), ([5000.0], [1.0])])
    calibrated = CalibratedSpectra(far, np.full(2, axis.width))
    found = log_shares(ion_nodes(axis, calibrated), np.arange(len(axis)))
    assert found.shape == (2, len(axis))
    assert found.nnz == 0


def test_brightness_does_not_matter():
    spectra, _ = mg.simulate("tiny", n_runs=1)
    axis = learn_axis(spectra)
    group = np.arange(len(axis))
    bright = mg.degrade.scale_intensity(spectra, 7.0)
    one, other = (log_shares(ion_nodes(axis, axis.calibrate(x)), group) for x in (spectra, bright))
    np.testing.assert_allclose(one.toarray(), other.toarray(), rtol=1e-5)
