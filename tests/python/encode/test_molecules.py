"""What the ions of one molecule add up to, and the branch that reads it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import massgraph as mg
from massgraph.data import degrade
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.ions import ion_nodes, relative_intensity
from massgraph.encode.learn_axis import learn_axis
from massgraph.encode.molecules import molecule_amounts
from massgraph.evidence.evaluate import family_tasks
from massgraph.graph.addresses import ADDRESS_WIDTH
from massgraph.learn.settings import resolve_settings
from massgraph.simulation.family_sums import simulate_family_sums

MOLECULE, SURPLUS = -2, -1


@pytest.fixture(scope="module")
def families() -> mg.Spectra:
    return simulate_family_sums(40, n_families=12)[0]


@pytest.fixture(scope="module")
def encoder(families: mg.Spectra) -> PeakEncoder:
    settings = resolve_settings("default", "positive", {})
    return PeakEncoder.learn(families, settings, learn_axis(families))


def test_relations_of_one_molecule() -> None:
    relations = mg.default_relations("positive")
    chosen = {
        name for name, is_one in zip(relations, relations.of_one_molecule, strict=True) if is_one
    }
    assert {"13C", "18O", "Na-H", "K-H", "K-Na", "H2O", "NH3"} <= chosen
    assert not chosen & {"CH2", "H2", "C2H4", "CO2", "C16H30O", "H3PO4"}


def test_sums_are_those_counted_by_hand(families: mg.Spectra, encoder: PeakEncoder) -> None:
    assert encoder.axis is not None
    calibrated = encoder.calibrate(families)
    nodes = ion_nodes(encoder.axis, calibrated)
    encoded = encoder.encode(calibrated)
    graph = encoder.graph(nodes.spectra)
    relative = nodes.weight * relative_intensity(encoder.axis, nodes)
    usual = nodes.weight * np.exp(encoder.axis.level[nodes.ion])
    within = encoder.settings.relations.of_one_molecule
    for pixel in (0, 7, 79):
        first, last = nodes.spectra.offsets[pixel : pixel + 2]
        found, expected = relative[first:last].copy(), usual[first:last].copy()
        rows = slice(*graph.edge_offsets[pixel : pixel + 2])
        edges = zip(graph.source[rows], graph.target[rows], graph.relation[rows], strict=True)
        for a, b, code in edges:
            if within[code]:
                for one, other in ((a, b), (b, a)):
                    found[one] += relative[first + other]
                    expected[one] += usual[first + other]
        amount = np.log1p(found / encoder.unit)
        columns = encoded.features[first:last]
        np.testing.assert_allclose(columns[:, MOLECULE], amount, rtol=1e-5)
        surplus = amount - np.log1p(expected / encoder.unit)
        np.testing.assert_allclose(columns[:, SURPLUS], surplus, rtol=1e-4, atol=1e-5)


def test_another_split_of_a_molecule_is_the_same_molecule() -> None:
    """Half of the proton goes to sodium: the sum at the hub stays, whatever the ions say."""
    hub, sodium, other = 600.4, 600.4 + 21.98194, 700.1
    peaks = [
        ([hub, sodium, other], [share, 100 - share, 50.0])
        for share in (90.0, 50.0, 10.0, 60.0, 70.0)
    ]
    spectra = mg.Spectra.from_peaks(peaks, polarity="positive")
    settings = resolve_settings("default", "positive", {})
    encoder = PeakEncoder.learn(spectra, settings, learn_axis(spectra))
    columns = encoder.encode(spectra).features.reshape(5, 3, -1)
    np.testing.assert_allclose(columns[:, 0, MOLECULE], columns[:, 1, MOLECULE], rtol=1e-6)
    assert np.ptp(columns[:, 0, -ADDRESS_WIDTH]) > 10 * np.ptp(columns[:, 0, MOLECULE])


def test_a_lost_partner_is_no_lower_molecule(families: mg.Spectra, encoder: PeakEncoder) -> None:
    whole = encoder.encode(families)
    lost = encoder.encode(degrade.remove_peaks(families, 0.5, np.random.default_rng(0)))

    def means(column: int) -> tuple[float, float]:
        return tuple(float(part.features[:, column].mean()) for part in (whole, lost))  # type: ignore[return-value]

    amount, surplus = means(MOLECULE), means(SURPLUS)
    assert amount[0] - amount[1] > 5 * abs(surplus[0] - surplus[1])


def test_without_edges_a_molecule_is_its_ion(families: mg.Spectra, encoder: PeakEncoder) -> None:
    assert encoder.axis is not None
    nodes = ion_nodes(encoder.axis, encoder.calibrate(families))
    relative = relative_intensity(encoder.axis, nodes)
    messages = encoder.encode(families).compact
    none = replace(
        messages,
        offsets=np.zeros_like(messages.offsets),
        kind_offsets=np.zeros_like(messages.kind_offsets),
        sender=messages.sender[:0],
        receiver=messages.receiver[:0],
        senders=messages.senders[:0],
    )
    relations = encoder.settings.relations
    amount, surplus = molecule_amounts(nodes, relative, relative, none, relations, encoder.unit)
    np.testing.assert_allclose(amount, np.log1p(nodes.weight * relative / encoder.unit))
    np.testing.assert_array_equal(surplus, 0)


def test_the_family_branch_reads_sums_that_no_ion_tells() -> None:
    (task,) = family_tasks([5], per_class=60)

    def score(branch: str) -> float:
        model = mg.RGCNClassifier(branches=(branch,), augment=1, device="cpu")
        found = model.fit(task.train, task.y_train, task.groups).predict(task.test)
        return float(np.mean(found == task.y_test))

    family, axis = score("family"), score("axis")
    assert family > 0.75
    assert family > axis + 0.05
