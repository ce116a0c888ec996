"""What R keeps of regions without labels, and what R's requests about them come to in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.learn.regions import RegionModel
from massgraph.r.region_results import region_model_values, region_values, regions_from_values
from massgraph.r.results import model_from_bytes
from massgraph.r.values import from_r, to_r
from r_door import start_r


@pytest.fixture(scope="module")
def spectra() -> mg.Spectra:
    return mg.simulate("tiny", n_runs=1, random_state=1).spectra


@pytest.fixture(scope="module")
def found(spectra: mg.Spectra) -> mg.SpatialRegions:
    return mg.SpatialRegions(max_regions=4).fit(spectra)


@pytest.fixture(scope="module")
def values(found: mg.SpatialRegions, spectra: mg.Spectra) -> dict[str, Any]:
    return region_values(found.segment(spectra), found)


def test_molecules_have_their_feature(
    found: mg.SpatialRegions, spectra: mg.Spectra, values: dict[str, Any]
) -> None:
    molecules = values["molecules"]
    pd.testing.assert_frame_equal(
        molecules.drop(columns="i"), found.findings(spectra).molecules, check_like=True
    )
    np.testing.assert_array_equal(values["mz"][molecules["i"] - 1], molecules["mz"])
    ions = found.region_model_.axis.mz
    axis = np.union1d(ions, ions + 0.4)  # and some that no molecule has
    of_image = region_values(found.segment(spectra), found, axis)
    np.testing.assert_array_equal(axis[of_image["molecules"]["i"] - 1], molecules["mz"])
    assert of_image["mz"] is axis


def test_maps_are_factors_by_number_of_regions_named_after_those_of_the_result(
    found: mg.SpatialRegions, spectra: mg.Spectra, values: dict[str, Any]
) -> None:
    assert list(values["maps"]) == ["2", "3", "4"]
    own = values["maps"][str(found.n_regions_)]
    assert own.tolist() == values["class"].tolist()
    for number, labels in values["maps"].items():
        assert len(labels.categories) == int(number)
        assert labels.categories[-1] == "off-tissue" == values["off_tissue"]
        theirs = found.findings(spectra).maps[int(number)]
        pairs = {*zip(labels.codes.tolist(), theirs.tolist(), strict=True)}
        assert len(pairs) == int(number)  # the same map by other names


def test_the_model_comes_back_from_its_bytes(
    found: mg.SpatialRegions, spectra: mg.Spectra, values: dict[str, Any]
) -> None:
    model = model_from_bytes(values["state"])
    assert isinstance(model, RegionModel)
    np.testing.assert_array_equal(model.probability(spectra), found.probabilities_)
    again = mg.SpatialRegions.of(model, model.look(spectra))
    assert again.log_likelihood_ == values["log_likelihood"] == found.log_likelihood_
    assert again.at(2).labels_.tolist() == found.at(2).labels_.tolist()


def test_a_loaded_estimator_has_values_but_for_those_of_its_pixels(
    found: mg.SpatialRegions, spectra: mg.Spectra, values: dict[str, Any]
) -> None:
    loaded = mg.SpatialRegions.of(found.region_model_)
    of_model, of_new = region_model_values(loaded), region_values(loaded.segment(spectra), loaded)
    assert set(values) - set(of_new) == {"log_likelihood"}
    assert set(of_model) < set(of_new)
    assert of_model["state"] == values["state"]
    without = region_values(found.segment(spectra))
    assert set(values) - set(without) == {"log_likelihood", "n_parameters", "n_tissue", "state"}


def test_a_segmentation_comes_back_from_its_values(
    found: mg.SpatialRegions, spectra: mg.Spectra, values: dict[str, Any]
) -> None:
    start_r()
    stored = from_r(to_r(values))
    pixels = {"coordinates": spectra.coordinates, "run": spectra.run, "names": spectra.names}
    without, with_peaks = (regions_from_values(stored, pixels, x) for x in (None, spectra))
    for again in (without, with_peaks):
        np.testing.assert_array_equal(again.probability, found.probabilities_)
        assert again.label.tolist() == values["class"].tolist()
        assert again.run.tolist() == spectra.run.tolist()
        assert again.findings is not None
    assert (without.spectra.n_peaks, with_peaks.spectra.n_peaks) == (0, spectra.n_peaks)
    theirs = found.findings(spectra)
    pd.testing.assert_frame_equal(
        with_peaks.findings.molecules, theirs.molecules, check_dtype=False
    )
    np.testing.assert_array_equal(with_peaks.findings.images, theirs.images)
    assert without.findings.images.shape == (spectra.n_pixels, 0)
    assert with_peaks.findings.cautions == theirs.cautions
    assert list(with_peaks.findings.maps) == list(theirs.maps)


def test_values_need_findings(found: mg.SpatialRegions, spectra: mg.Spectra) -> None:
    with pytest.raises(mg.InputError, match="has no findings"):
        region_values(found.segment(spectra, explain=False), found)
