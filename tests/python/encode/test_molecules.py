"""Molecules as nodes: ions merged, and graphs of their own beside those of the ions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import massgraph as mg
from massgraph.chem.relations import relations_from_masses
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.features import feature_names
from massgraph.encode.ions import ion_nodes
from massgraph.encode.learn_axis import learn_axis
from massgraph.encode.molecules import find_molecules, merge_ions
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.settings import resolve_settings

SODIUM, CH2 = 21.981944, 14.01565006
MZ = [500.0, 500 + CH2, 500 + SODIUM, 500 + CH2 + SODIUM]  # two molecules, as H+ and as Na+
RELATIONS = relations_from_masses({"Na-H": SODIUM, "CH2": CH2})


def axis_of(level: Sequence[float]) -> MassAxis:
    presence = np.array([1.0, 1.0, 0.5, 0.5])
    return MassAxis(np.array(MZ), presence, presence > 0, np.asarray(level), 7e-4, 0.0)


def pixels(*intensities: Sequence[float]) -> CalibratedSpectra:
    spectra = mg.Spectra.from_matrix(np.array(intensities), MZ)
    return CalibratedSpectra(spectra, np.full(len(intensities), 7e-4))


def encoder_of(level: Sequence[float] = (0, 0, 0, 0)) -> PeakEncoder:
    settings = resolve_settings("default", "positive", {"relations": RELATIONS})
    width = len(feature_names(settings.features))
    zero, one = np.zeros(width, np.float32), np.ones(width, np.float32)
    return PeakEncoder(settings, (400.0, 600.0), zero, one, axis_of(level))


def test_molecules_have_the_mass_of_their_lightest_ions() -> None:
    found = find_molecules(axis_of(np.log([4.0, 1.0, 2.0, 6.0])), RELATIONS)
    assert found.of_ion.tolist() == [0, 1, 0, 1]
    assert found.axis.mz.tolist() == MZ[:2]
    assert found.axis.presence.tolist() == [1.0, 1.0]
    # As much as is usual of all of its ions: those in half of the pixels count by a half.
    np.testing.assert_allclose(np.exp(found.axis.level), [5.0, 4.0])


def test_intensities_add_up_and_parts_are_those_of_the_sum() -> None:
    calibrated = pixels([3, 0, 1, 0], [0, 0, 0, 0], [0, 2, 0, 6])
    axis = axis_of([0, 0, 0, 0])
    ions = ion_nodes(axis, calibrated)
    merged = merge_ions(find_molecules(axis, RELATIONS), ions)
    np.testing.assert_allclose(merged.spectra.intensity, [4, 8], rtol=0.05)
    assert merged.ion.tolist() == [0, 1]
    assert merged.spectra.offsets.tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(
        merged.part.toarray(), [[0.75, 0.25, 0, 0], [0, 0, 0.25, 0.75]], atol=0.02
    )


def test_a_molecule_looks_alike_however_it_is_split() -> None:
    graphs = encoder_of().encode(pixels([9, 5, 1, 5], [2, 1, 8, 9]), molecules=True)
    assert graphs.merged is not None
    one, other = graphs.merged.graphs.features.reshape(2, 2, -1)
    # But for how surely a peak is its ion, which differs a little between common and rare ones.
    np.testing.assert_allclose(one, other, atol=5e-3)
    assert not np.allclose(*graphs.features.reshape(2, 4, -1), atol=1e-2)


def test_edges_lead_from_molecule_to_molecule() -> None:
    graphs = encoder_of().encode(pixels([9, 5, 1, 5]), edges=False, molecules=True)
    assert graphs.compact.n_kinds == 0
    assert graphs.merged is not None
    messages = graphs.merged.graphs.compact
    assert messages.sender.tolist() == [0, 1]
    assert messages.receiver.tolist() == [1, 0]
    found = np.flatnonzero(np.bincount(messages.kind, minlength=messages.n_kinds))
    assert {RELATIONS.names[kind % len(RELATIONS)] for kind in found} == {"CH2"}


def test_every_ion_knows_its_molecule_in_any_order_of_pixels() -> None:
    spectra, _ = mg.simulate("tiny", n_runs=1)
    axis = learn_axis(spectra)
    encoder = PeakEncoder.learn(spectra, resolve_settings("default", "positive", {}), axis)
    calibrated = encoder.calibrate(spectra)
    graphs = encoder.encode(calibrated[:6], molecules=True)
    order = np.array([4, 1, 1, 5])
    assert_same_merged(graphs[order], encoder.encode(calibrated[order], molecules=True))
    parts = [encoder.encode(calibrated[k : k + 3], molecules=True) for k in (0, 3)]
    assert_same_merged(PeakGraphs.concatenate(parts), graphs)
    merged = graphs.merge_of_batch(order, graphs.merged.graphs.batch(order))
    batch = graphs.batch(order)
    ion, molecule = (each.features[:, -2].long() for each in (batch, merged.batch))
    of_ion = encoder.molecules.of_ion[ion.numpy()]
    assert of_ion.tolist() == molecule[merged.of_peak].tolist()
    assert batch.pixel.tolist() == merged.batch.pixel[merged.of_peak].tolist()


def assert_same_merged(one: PeakGraphs, other: PeakGraphs) -> None:
    assert one.merged is not None
    assert other.merged is not None
    np.testing.assert_array_equal(one.merged.of_peak, other.merged.of_peak)
    np.testing.assert_array_equal(one.merged.graphs.features, other.merged.graphs.features)
    np.testing.assert_array_equal(one.merged.graphs.offsets, other.merged.graphs.offsets)


def test_graphs_without_molecules_say_so() -> None:
    graphs = encoder_of().encode(pixels([9, 5, 1, 5]))
    assert graphs.merged is None
    with pytest.raises(ValueError, match="encode them with molecules=True"):
        graphs.merge_of_batch(np.array([0]), graphs.batch(np.array([0])))
    published = resolve_settings("published", None, {})
    without = PeakEncoder.learn(mg.simulate("tiny").spectra, published)
    with pytest.raises(ValueError, match="knows no molecules"):
        _ = without.molecules
