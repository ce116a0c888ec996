"""Neighbours that somebody else found, in place of those within a radius."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import massgraph as mg
from massgraph import InputError
from massgraph.data.neighbours import Neighbours, given_neighbours, neighbour_pairs


@pytest.fixture(scope="module")
def spectra():
    return mg.simulate("tiny", n_runs=2).spectra


def adjacency(spectra, radius=1.0):
    first, second = neighbour_pairs(spectra, radius).T
    one = sp.csr_matrix((np.ones(first.size), (first, second)), shape=(spectra.n_pixels,) * 2)
    return one + one.T


@pytest.mark.parametrize("radius", [1, 2])
def test_neighbours_within_a_radius_make_the_map_of_that_radius(spectra, radius):
    by_radius = mg.SpatialRegions(4, radius=radius).fit(spectra)
    given = mg.SpatialRegions(4, radius=radius).fit(spectra, neighbours=adjacency(spectra, radius))
    np.testing.assert_allclose(given.probabilities_, by_radius.probabilities_, atol=1e-12)


@pytest.mark.parametrize("made", [sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.csr_array])
def test_any_kind_of_sparse_matrix(spectra, made):
    matrix = adjacency(spectra)
    n = spectra.n_pixels
    np.testing.assert_array_equal(
        given_neighbours(made(matrix), n).pairs, given_neighbours(matrix.toarray(), n).pairs
    )


def test_only_ratios_of_weights_count(spectra):
    matrix = adjacency(spectra)
    one = mg.SpatialRegions(3).fit(spectra, neighbours=matrix)
    three = mg.SpatialRegions(3).fit(spectra, neighbours=3 * matrix)
    np.testing.assert_allclose(one.probabilities_, three.probabilities_, atol=1e-12)


def test_weights_share_out_what_neighbours_say():
    beside = given_neighbours(np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]]), 3)
    np.testing.assert_allclose(beside.shares().toarray()[0], [0, 0.75, 0.25])
    kept = beside.among(np.array([True, False, True]))
    assert kept.pairs.tolist() == [[0, 1]]
    assert kept.weight.tolist() == [1.0]


def test_both_directions_are_averaged_and_pixels_are_no_neighbours_of_their_own():
    beside = given_neighbours(np.array([[9, 4, 0], [0, 9, 0], [0, 2, 9]]), 3)
    assert beside.pairs.tolist() == [[0, 1], [1, 2]]
    assert beside.weight.tolist() == [2.0, 1.0]


def test_explicit_zeros_are_no_neighbours():
    matrix = sp.csr_matrix(([0.0, 1.0], ([0, 1], [1, 2])), shape=(3, 3))
    assert given_neighbours(matrix, 3).pairs.tolist() == [[1, 2]]


def test_weights_decide_a_pixel_in_doubt(spectra):
    regions = mg.SpatialRegions(4).fit(spectra)
    tissue = regions.probabilities_[:, :3]
    doubt = np.sort(tissue, axis=1)[:, -2].argmax()
    beside = adjacency(spectra).tolil()
    for label in np.argsort(tissue[doubt])[-2:]:
        beside[doubt] = beside[:, doubt] = 0
        of_label = np.flatnonzero(regions.probabilities_[:, label] > 0.99)
        beside[doubt, of_label] = 1.0
        found = regions.predict_proba(spectra, neighbours=beside)
        assert found[doubt].argmax() == label


def test_neighbours_that_make_all_pixels_of_a_run_alike(spectra):
    # Their means have two values only, fewer than there are regions.
    run = np.asarray(spectra.run)
    other = sp.csr_matrix(np.where(run[:, None] != run[None], 1.0, 0.0))
    assert mg.SpatialRegions(4).fit(spectra, neighbours=other).n_regions_ == 4


def test_the_same_neighbours_give_the_same_map_again(spectra, tmp_path):
    matrix = adjacency(spectra, 2)
    regions = mg.SpatialRegions(4).fit(spectra, neighbours=matrix)
    np.testing.assert_array_equal(regions.predict(spectra, neighbours=matrix), regions.labels_)
    found = regions.segment(spectra, neighbours=matrix)
    np.testing.assert_allclose(found.probability, regions.probabilities_)
    assert found.findings.maps[4].tolist() == regions.labels_.tolist()
    assert regions.transform(spectra, neighbours=matrix).shape[0] == spectra.n_pixels
    regions.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    assert again.summary()["neighbours_given"] is True
    np.testing.assert_array_equal(again.predict(spectra, neighbours=matrix), regions.labels_)


def test_without_them_it_is_said_that_none_were_given(spectra):
    assert mg.SpatialRegions(3).fit(spectra).summary()["neighbours_given"] is False


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda W: W[:-1], "need .* for the pixels"),
        (lambda W: -W, "negative or not finite"),
        (lambda W: W * np.nan, "negative or not finite"),
        (lambda W: "spatial", "neighbours is a str, need a matrix"),
        (lambda W: {"a": 1}, "neighbours is a dict, need a matrix"),
    ],
)
def test_what_are_no_neighbours_is_refused(spectra, changed, message):
    with pytest.raises(InputError, match=message):
        mg.SpatialRegions(3).fit(spectra, neighbours=changed(adjacency(spectra)))


def test_neighbours_that_do_not_count_are_refused(spectra):
    with pytest.raises(InputError, match="give one of the two"):
        mg.SpatialRegions(3, spatial=False).fit(spectra, neighbours=adjacency(spectra))


def test_pixels_without_places_are_refused(spectra):
    peaks = [([500.1, 501.1], [1.0 + k, 2.0]) for k in range(6)]
    with pytest.raises(InputError, match="no coordinates"):
        mg.SpatialRegions(2).fit(mg.Spectra.from_peaks(peaks), neighbours=np.ones((6, 6)))


def test_nobody_has_neighbours():
    lonely = given_neighbours(np.zeros((4, 4)), 4)
    assert len(lonely) == 0
    assert lonely.shares().nnz == 0
    assert len(Neighbours.within(mg.simulate("tiny", n_runs=1).spectra, None)) == 0


def as_anndata(spectra):
    matrix, axis = spectra.to_matrix()
    var = pd.DataFrame({"mz": axis}, index=axis.astype(str))
    obs = pd.DataFrame({"run": np.asarray(spectra.run)})
    obs.index = obs.index.astype(str)
    return anndata.AnnData(X=matrix, obs=obs, var=var, obsm={"spatial": spectra.coordinates})


def test_neighbours_of_an_anndata_object(spectra):
    adata = as_anndata(spectra)
    adata.obsp["spatial_connectivities"] = adjacency(spectra)
    options = {"batch_key": "run", "polarity": "positive", "explain": False}
    mg.tl.regions(adata, 3, neighbours_key="spatial_connectivities", **options)
    assert adata.uns["region"]["params"]["neighbours_given"]
    mg.tl.regions(adata, 3, key_added="plain", **options)
    assert (adata.obs["region"].astype(str) == adata.obs["plain"].astype(str)).all()


def test_neighbours_that_an_anndata_object_lacks(spectra):
    adata = as_anndata(spectra)
    with pytest.raises(InputError, match=r"obsp has no 'beside': there are \[\]"):
        mg.tl.regions(adata, 3, batch_key="run", neighbours_key="beside")
    assert "region" not in adata.obs
