"""`intensity_<class>` is what the ion images show: the mean share of the ion current."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph.data.degrade import shift_mz
from massgraph.data.spectra import Spectra
from massgraph.explain.ion_network import build_ion_network
from massgraph.explain.ion_sums import IonSums, shares
from massgraph.pl._maps import _ion_shares


@pytest.fixture(scope="module")
def simulation() -> Any:
    return mg.simulate("tiny", effect=1.2)


@pytest.fixture(scope="module")
def classifier(simulation: Any) -> mg.RGCNClassifier:
    spectra, labels = simulation
    return mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)


def means(explanation: mg.Explanation, image: np.ndarray) -> list[float]:
    """Mean of an ion image over the pixels of each class."""
    return [float(image[explanation.labels == c].mean()) for c in range(len(explanation.classes))]


def tables_and_images(found: mg.Segmentation, n_ions: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Mean shares of the best ions by class, as the table and as the ion images have them."""
    explanation = found.explanation
    assert explanation is not None
    best = explanation.ions.sort_values("rank").head(n_ions)
    names = [f"intensity_{name}" for name in explanation.classes]
    images = _ion_shares(found, best["mz"].to_numpy())
    return best[names].to_numpy(), np.array([means(explanation, image) for _, image in images])


# -------------------------------------------------------------------- noise in one class


def with_noise(spectra: Spectra, pixels: np.ndarray, n: int = 200) -> Spectra:
    """Weak peaks anywhere in some pixels; together they are two hundredths of the ion current."""
    rng = np.random.default_rng(0)
    made = []
    for pixel, tic in enumerate(spectra.tic()):
        peaks = slice(spectra.offsets[pixel], spectra.offsets[pixel + 1])
        mz, intensity = spectra.mz[peaks], spectra.intensity[peaks]
        if pixels[pixel]:
            mz = np.append(mz, rng.uniform(mz.min(), mz.max(), n))
            intensity = np.append(intensity, np.full(n, 0.02 * tic / n))
        order = np.argsort(mz)
        made.append((mz[order], intensity[order]))
    return Spectra.from_peaks(
        made, coordinates=spectra.coordinates, run=spectra.run, polarity=spectra.polarity
    )


def test_noise_peaks_of_a_class_leave_the_ratios_of_other_ions(
    classifier: Any, simulation: Any
) -> None:
    clean = classifier.segment(simulation.spectra).explanation
    last = len(clean.classes) - 1
    noisy = with_noise(simulation.spectra, clean.labels == last)
    found = classifier.segment(noisy)
    np.testing.assert_allclose(*tables_and_images(found), rtol=1e-9)
    names = [f"intensity_{name}" for name in clean.classes]
    best = clean.ions.sort_values("rank").head(5)
    rows = [int(np.abs(found.explanation.mz - mz).argmin()) for mz in best["mz"]]
    ratio = found.explanation.ions[names].to_numpy()[rows] / best[names].to_numpy()
    # Beside the mean peak, the ions of the noisy class would be four times as strong as before.
    assert np.abs(ratio - 1).max() < 0.1


def test_shares_are_of_all_peaks_of_the_pixel() -> None:
    spectra = Spectra.from_peaks([([300.1, 500.2, 700.3], [1.0, 3.0, 4.0]), ([500.2], [2.0])])
    assert shares(spectra).tolist() == [0.125, 0.375, 0.5, 1.0]
    some = spectra.mz_range(400, 600)
    assert shares(some, spectra.tic()).tolist() == [0.375, 1.0]
    sums = IonSums(1, 1)
    one = np.ones((2, 1)), np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
    sums.add(some, *one, tic=spectra.tic())
    assert sums.means()[1].tolist() == [[0.6875]]


# -------------------------------------------------------------------- tables and images agree


def test_tables_are_means_of_the_ion_images(classifier: Any, simulation: Any) -> None:
    found = classifier.segment(simulation.spectra)
    np.testing.assert_allclose(*tables_and_images(found), rtol=1e-9)


@pytest.mark.parametrize("options", [{"mz_range": (400.0, 800.0)}, {"max_peaks": 30}])
def test_so_they_are_where_the_model_reads_some_peaks(
    options: dict[str, Any], simulation: Any
) -> None:
    spectra, labels = simulation
    clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0, **options)
    found = clf.fit(spectra, labels).segment(spectra)
    table, images = tables_and_images(found)
    np.testing.assert_allclose(table, images, rtol=1e-9)
    # Of the whole current, and not of the part that was read.
    share = np.asarray(found.explanation.share.sum(axis=1)).ravel()
    read = clf.encoder_.preprocess(spectra).tic() / spectra.tic()
    np.testing.assert_allclose(share, read, rtol=1e-9)
    assert share.mean() < 0.99


def test_the_images_are_of_calibrated_ions(classifier: Any, simulation: Any) -> None:
    """A run that is 60 ppm off shows the same ions: the nearest m/z would be others."""
    spectra = simulation.spectra
    there = classifier.segment(spectra)
    off = classifier.segment(shift_mz(spectra, 60.0, "ppm"))
    table, images = tables_and_images(off)
    np.testing.assert_allclose(table, images, rtol=1e-9)
    ions = there.explanation.ions.sort_values("rank").head(5)["mz"].to_numpy()
    before, after = (
        np.array([image for _, image in _ion_shares(one, ions)]) for one in (there, off)
    )
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999


def test_blocks_have_the_same_table(classifier: Any, simulation: Any) -> None:
    spectra = simulation.spectra
    names = [f"intensity_{name}" for name in classifier.classes_]
    whole = classifier.explain(spectra).ions
    blocks = classifier.explain(mg.streaming.JoinedSpectra([spectra]))
    assert blocks.share is None
    np.testing.assert_allclose(blocks.ions[names], whole[names], rtol=1e-6)


# -------------------------------------------------------------------- ion mobility


def with_mobility(spectra: Spectra, parts: tuple[float, ...] = (0.25, 0.75)) -> Spectra:
    """Each peak as several of its m/z, as ion mobility gives them."""
    pixels = []
    for pixel in range(spectra.n_pixels):
        peaks = slice(spectra.offsets[pixel], spectra.offsets[pixel + 1])
        mz = np.repeat(spectra.mz[peaks], len(parts))
        pixels.append((mz, (spectra.intensity[peaks, None] * np.array(parts)).ravel()))
    return Spectra.from_peaks(
        pixels, coordinates=spectra.coordinates, run=spectra.run, polarity=spectra.polarity
    )


def test_repeated_mz_count_once(classifier: Any, simulation: Any) -> None:
    summed = simulation.spectra
    several = with_mobility(summed)
    assert several.n_peaks == 2 * summed.n_peaks
    one, other = classifier.segment(summed), classifier.segment(several)
    np.testing.assert_allclose(*tables_and_images(other), rtol=1e-9)
    names = [f"intensity_{name}" for name in classifier.classes_]
    ions = one.explanation.ions.sort_values("rank").head(10)["mz"]
    rows = [int(np.abs(other.explanation.mz - mz).argmin()) for mz in ions]
    same = other.explanation.ions.iloc[rows]
    np.testing.assert_allclose(same["mz"], ions, rtol=2e-6)
    expected = one.explanation.ions.loc[ions.index, names].to_numpy()
    np.testing.assert_allclose(same[names].to_numpy(), expected, rtol=0.02)


def test_repeated_mz_leave_the_ratios_of_related_ions() -> None:
    """Three peaks of a molecule and one of its isotope: every pair of them may have an edge."""
    relations = mg.default_relations("positive")
    mz, intensity = [760.5851, 760.5851, 760.5851, 761.58845], [10.0, 50.0, 40.0, 44.0]
    spectra = Spectra.from_peaks([(mz, intensity)] * 3, polarity="positive")
    graph = mg.build_graph(spectra, relations)
    found = build_ion_network(np.tile([0, 0, 0, 1], 3), graph)
    isotope = found[found["relation"] == relations.index("13C")].iloc[0]
    assert isotope["n_drawn"] == 3
    assert isotope["drawn_ratio"] == pytest.approx(0.44)
    assert isotope["intensity_ratio"] == pytest.approx(0.44)
