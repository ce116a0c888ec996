"""Files of twelve other writers: read with the content that they put in, or refused with a reason.

What the files hold is worked out here from the XML and the raw bytes, without the reader's code.
"""

from __future__ import annotations

import shutil
import warnings
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyimzml.ImzMLParser import ImzMLParser

from massgraph.data.spectra import Spectra
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml, validate_imzml

pytestmark = pytest.mark.data

NS = "{http://psi.hupo.org/ms/mzml}"
DTYPE = {"MS:1000521": "<f4", "MS:1000523": "<f8"}


@dataclass
class Expected:
    """What is in a file, by its raw bytes."""

    mz: list[NDArray[Any]]
    intensity: list[NDArray[Any]]
    xy: NDArray[np.float64]


def values(element: ET.Element) -> dict[str | None, str]:
    return {cv.get("accession"): cv.get("value", "") for cv in element.iter(f"{NS}cvParam")}


def expected(path: Path) -> Expected:
    root = ET.parse(path).getroot()  # noqa: S314 - files of our own choice
    data = path.with_suffix(".ibd").read_bytes()
    groups = {g.get("id"): values(g) for g in root.iter(f"{NS}referenceableParamGroup")}
    found = Expected([], [], np.empty((0, 2)))
    places = []
    for spectrum in root.iter(f"{NS}spectrum"):
        place = values(spectrum)
        places.append((float(place["IMS:1000050"]), float(place["IMS:1000051"])))
        for array in spectrum.iter(f"{NS}binaryDataArray"):
            ref = array.find(f"{NS}referenceableParamGroupRef")
            assert ref is not None
            group, own = groups[ref.get("ref")], values(array)
            (dtype,) = (DTYPE[accession] for accession in group if accession in DTYPE)
            numbers = np.frombuffer(
                data, dtype, int(own["IMS:1000103"]), offset=int(own["IMS:1000102"])
            )
            (found.mz if "MS:1000514" in group else found.intensity).append(numbers)
    found.xy = np.asarray(places)
    return found


def quiet(path: Path, **options: Any) -> tuple[Spectra, list[str]]:
    """Spectra and the warnings of reading them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path, **options)
    return spectra, [str(one.message).removeprefix(f"{path}: ") for one in caught]


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "imzml_roundtrip"


def check_content(spectra: Spectra, want: Expected) -> None:
    """Every pixel holds the peaks with an intensity, in ascending m/z, of equal m/z their sum."""
    assert spectra.n_pixels == len(want.mz)
    assert spectra.coordinates is not None
    np.testing.assert_array_equal(spectra.coordinates, want.xy)
    for pixel, (mz, intensity) in enumerate(zip(want.mz, want.intensity, strict=True)):
        order = np.argsort(mz, kind="stable")
        order = order[intensity[order] > 0]
        got_mz, got_intensity = spectra.pixel(pixel)
        once, at = np.unique(mz[order].astype(np.float64), return_inverse=True)
        total = np.bincount(at, weights=intensity[order], minlength=once.size)
        np.testing.assert_array_equal(got_mz, once)
        np.testing.assert_array_equal(got_intensity, total.astype(np.float32))


CENTROID = {
    # name: (pixels, points with intensity in all, polarity, pixel size, warnings)
    "Untreated_3_434_tiny": (8, 8199, None, None, ["no polarity", "no pixel size"]),
    "galaxyp_mq_peaks4": (9, 1082, None, (100.0, 100.0), ["no polarity"]),
    "i2nca_pc": (4, 2242, "negative", (20.0, 20.0), []),
    "imzy_simple": (5, 16, "positive", (20.0, 20.0), []),
    "spatial_DGMM_input": (400, 3170, None, (1.0, 1.0), ["no polarity"]),
    "thyra_unit_nanometre": (4, 20, "positive", (4.40625, 4.40625), ["no checksum"]),
}


@pytest.mark.parametrize("name", sorted(CENTROID))
def test_centroid_files(folder: Path, name: str) -> None:
    path = folder / f"{name}.imzML"
    n_pixels, n_peaks, polarity, size, notes = CENTROID[name]
    spectra, caught = quiet(path)
    check_content(spectra, expected(path))
    assert (spectra.n_pixels, spectra.n_peaks) == (n_pixels, n_peaks)
    assert spectra.polarity == polarity
    assert spectra.pixel_size == size
    assert spectra.run_names == (name,)
    assert len(caught) == len(notes)
    assert all(note in text for note, text in zip(notes, caught, strict=True))


@pytest.mark.parametrize("name", sorted(CENTROID))
def test_asking_for_centroids_does_nothing_to_centroids(folder: Path, name: str) -> None:
    path = folder / f"{name}.imzML"
    check_content(quiet(path, profile="centroid")[0], expected(path))


@pytest.mark.parametrize("name", sorted(CENTROID))
def test_pyimzml_reads_the_same(folder: Path, name: str) -> None:
    """Where nothing is wrong with a file, pyimzML's own reader agrees."""
    path = folder / f"{name}.imzML"
    spectra, _ = quiet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = ImzMLParser(str(path))
    with parser:
        for pixel in range(spectra.n_pixels):
            mz, intensity = parser.getspectrum(pixel)
            np.testing.assert_array_equal(spectra.pixel(pixel)[0], mz[intensity > 0])


def test_continuous_file_has_its_axis(folder: Path) -> None:
    path = folder / "spatial_DGMM_input.imzML"
    spectra, _ = quiet(path)
    want = expected(path)
    assert spectra.axis is not None
    np.testing.assert_array_equal(spectra.axis, want.mz[0])
    matrix, _ = spectra.to_matrix()
    np.testing.assert_array_equal(matrix.toarray(), np.asarray(want.intensity))


# -------------------------------------------------------------------- profile files

PROFILE = {
    "CardinalIO_Example_Continuous": ("holds profile spectra", True),
    "CardinalIO_Example_Processed": ("holds profile spectra", True),
    "MsBackendImzML_test": ("seems to hold profile spectra", True),
    "pewlib_orbi": ("holds profile spectra", False),
}


@pytest.mark.parametrize("name", sorted(PROFILE))
def test_profile_files_are_refused_unless_asked(folder: Path, name: str) -> None:
    said, check_uuid = PROFILE[name]
    with pytest.raises(ImzMLError, match=f'{name}.imzML: {said}.*profile="centroid"'):
        read_imzml(folder / f"{name}.imzML", check_uuid=check_uuid)


@pytest.mark.parametrize("name", sorted(PROFILE))
def test_profile_files_are_centroided(folder: Path, name: str) -> None:
    """Peaks are local maxima: of the heights stored, between the neighbours of their point."""
    path = folder / f"{name}.imzML"
    spectra, _ = quiet(path, profile="centroid", check_uuid=PROFILE[name][1])
    want = expected(path)
    assert spectra.axis is None
    assert spectra.n_pixels == len(want.mz)
    for pixel, (mz, intensity) in enumerate(zip(want.mz, want.intensity, strict=True)):
        got_mz, got_intensity = spectra.pixel(pixel)
        assert 10 <= got_mz.size < mz.size / 5
        nearest = np.abs(mz[None, :] - got_mz[:, None]).argmin(axis=1)
        np.testing.assert_array_equal(got_intensity, intensity[nearest].astype(np.float32))
        # The base peak of the profile is the base peak of the peak list.
        assert got_intensity.max() == intensity.max().astype(np.float32)


def test_continuous_and_processed_copies_give_the_same_peaks(folder: Path) -> None:
    """CardinalIO's two examples hold the same nine spectra."""
    one, _ = quiet(folder / "CardinalIO_Example_Continuous.imzML", profile="centroid")
    two, _ = quiet(folder / "CardinalIO_Example_Processed.imzML", profile="centroid")
    np.testing.assert_array_equal(one.mz, two.mz)
    np.testing.assert_array_equal(one.intensity, two.intensity)


def test_centroids_of_the_galaxy_tool(folder: Path) -> None:
    """MALDIquant's peaks of CardinalIO's example, known by their heights, are among ours.

    It has moved their m/z to bins shared by all pixels, but kept the heights.
    """
    ours, _ = quiet(folder / "CardinalIO_Example_Processed.imzML", profile="centroid")
    theirs, _ = quiet(folder / "galaxyp_mq_peaks4.imzML")
    for pixel in range(ours.n_pixels):
        heights = theirs.pixel(pixel)[1]
        strong = heights[heights > np.quantile(heights, 0.5)]
        assert np.isin(strong, ours.pixel(pixel)[1]).mean() > 0.95


def test_undeclared_profile_with_an_area_as_pixel_size(folder: Path) -> None:
    path = folder / "MsBackendImzML_test.imzML"
    spectra, caught = quiet(path, profile="centroid")
    text = "\n".join(caught)
    assert spectra.pixel_size == pytest.approx((30**0.5, 30**0.5))
    for note in (
        "parameter groups that are not defined: 'spectrum'",
        "'pixel size' for IMS:1000046",
        "declares no representation",
        "representation is unclear; read as profile by the m/z spacing",
        "one pixel size, 30, which is an area",
    ):
        assert note in text


# -------------------------------------------------------------------- refused files


def test_anonymised_uuid_is_refused_and_can_be_overridden(folder: Path) -> None:
    path = folder / "pewlib_orbi.imzML"
    with pytest.raises(ImzMLError, match=r"declares 0000000000000000: .*check_uuid=False"):
        read_imzml(path, profile="centroid")
    spectra, caught = quiet(path, profile="centroid", check_uuid=False)
    assert spectra.n_pixels == 2
    assert spectra.polarity == "positive"
    assert any("announces 4113 spectra but holds 2" in text for text in caught)
    with pytest.raises(ImzMLError, match="has sha1 99d1f98d"):
        validate_imzml(path, check_uuid=False)


def test_continuous_header_over_ragged_arrays_is_refused(folder: Path) -> None:
    with pytest.raises(ImzMLError, match=r"pixel 1 \(x 2, y 1\): has 1999 m/z but 1997 intens"):
        read_imzml(folder / "i2nca_cc.imzML")


def test_two_precision_terms_are_refused(folder: Path) -> None:
    with pytest.raises(ImzMLError, match=r"2 precision terms \(MS:1000521 and MS:1000523\)"):
        read_imzml(folder / "thyra_two_precision_terms.imzML")


def test_every_file_is_accounted_for(folder: Path) -> None:
    refused = {"i2nca_cc", "thyra_two_precision_terms"}
    names = {path.stem for path in folder.glob("*.imzML")}
    assert names == {*CENTROID, *PROFILE, *refused}


@pytest.mark.parametrize("name", sorted({*CENTROID, *PROFILE} - {"pewlib_orbi"}))
def test_every_readable_file_validates(folder: Path, name: str) -> None:
    found = validate_imzml(folder / f"{name}.imzML")
    assert found["mode"] == ("profile" if name in PROFILE else "centroid")
    assert found["n_pixels"] > 0
    assert found["peaks_per_pixel"][0] <= found["peaks_per_pixel"][2]


@pytest.mark.parametrize("name", sorted({*CENTROID, *PROFILE} - {"pewlib_orbi"}))
def test_every_readable_file_is_refused_once_cut(folder: Path, tmp_path: Path, name: str) -> None:
    for suffix in (".imzML", ".ibd"):
        shutil.copy(folder / f"{name}{suffix}", tmp_path)
    ibd = tmp_path / f"{name}.ibd"
    ibd.chmod(0o644)
    with ibd.open("r+b") as stream:
        stream.truncate(ibd.stat().st_size - 1)
    with pytest.raises(ImzMLError, match=r"pixel \d+ \(x \d+, y \d+\): the .* array ends at byte"):
        open_imzml(tmp_path / f"{name}.imzML", profile="centroid")


# -------------------------------------------------------------------- a tissue section


def test_kidney(shared_data: Path) -> None:
    path = shared_data / "kidney_timstof_neg" / "VAN0025_LK_neg_top600.imzML"
    spectra, caught = quiet(path, verify_checksum=True)
    check_content(spectra, expected(path))
    assert spectra.n_pixels == 342
    # 600 are stored: an instrument that parts ions by mobility, too, gives some m/z twice.
    assert spectra.peak_counts.max() == 593
    assert spectra.polarity == "negative"
    assert spectra.mz.min() > 400
    assert spectra.coordinates is not None
    assert spectra.coordinates.shape == (342, 2)
    assert spectra.coordinates.max(axis=0).tolist() == [19, 18]
    text = "\n".join(caught)
    assert "m/z out of order and were sorted" in text
    assert "share the m/z of another" in text
