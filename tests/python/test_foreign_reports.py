"""Spectra and matrices that public trackers tell of, given to a model that was not made for them.

Each test names its report; what happened there, and here, stands in docs/reliability.md.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from foreign_builder import PROTON, with_intensity
from massgraph.data.spectra import Spectra

ELECTRON = 0.000548580


@pytest.fixture(scope="module")
def sections() -> tuple[Spectra, np.ndarray, Spectra]:
    """A section with labels, and another."""
    made = mg.simulate("demo", n_runs=2, shape=(14, 14), random_state=4)
    first = made.spectra.run == "run1"
    labels = np.asarray(made.labels, dtype=object)
    return made.spectra[first], labels[first], made.spectra[~first]


@pytest.fixture(scope="module")
def clf(sections: tuple[Spectra, np.ndarray, Spectra]) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(effort="fast").fit(*sections[:2])


def silent(clf: mg.RGCNClassifier, spectra: Spectra) -> np.ndarray:
    """Probabilities, where nothing is to be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return clf.predict_proba(spectra)


def test_ions_scaled_before_components(sections: Any, clf: mg.RGCNClassifier) -> None:
    """Teichlab/celltypist issue 83: `sc.pp.scale(adata, max_value=10)` went before."""
    matrix, mz = sections[2].to_matrix()
    dense = np.log1p(matrix.toarray())
    scaled = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), 1e-9)
    with pytest.warns(UserWarning, match="negative"):
        spectra = Spectra.from_matrix(scaled.clip(max=10), mz)
    with pytest.warns(UserWarning, match="knows little .* intensities on another scale"):
        clf.predict(spectra)


def test_logarithms_of_another_base(sections: Any) -> None:
    """Teichlab/celltypist issue 46: log2(TPM + 1) for a model of log1p, which is a mere factor."""
    train, labels, other = sections
    logged = with_intensity(train, np.log1p)
    clf = mg.RGCNClassifier(effort="fast").fit(logged, labels)
    one = silent(clf, with_intensity(other, np.log1p))
    two = silent(clf, with_intensity(other, lambda values: np.log2(values + 1)))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_shares_in_place_of_counts(sections: Any, clf: mg.RGCNClassifier) -> None:
    """Teichlab/celltypist issue 168: values that sum to one in each pixel, or to ten thousand."""
    other = sections[2]
    total = other.tic()[other.pixel_of_peak]
    shares = silent(clf, with_intensity(other, lambda values: values / total))
    np.testing.assert_allclose(shares, silent(clf, other), atol=1e-3)


def test_exponentials_of_what_was_no_logarithm(sections: Any) -> None:
    """Teichlab/celltypist issue 44: sums of 1e141 in a pixel."""
    matrix, mz = sections[2].to_matrix()
    with np.errstate(over="ignore"):
        wrong = np.expm1(matrix.toarray())
    with pytest.raises(mg.InputError, match="pixel 0: intensity inf"):
        Spectra.from_matrix(wrong, mz)


def test_a_writer_that_always_says_positive(sections: Any, clf: mg.RGCNClassifier) -> None:
    """glasgowcompbio/vimms issue 172: negative scans are written as positive ones."""
    said_positive = mg.degrade.shift_mz(sections[2], -2 * PROTON, "Da")
    assert said_positive.polarity == "positive"
    with pytest.raises(mg.InputError, match="as for the other polarity"):
        clf.predict(said_positive)


def test_protons_taken_off_in_place_of_added(sections: Any, clf: mg.RGCNClassifier) -> None:
    """OpenMS/OpenMS issue 7111: m/z = mass / z - proton."""
    # From neutral masses, which lack one proton, another one was taken.
    wrong = mg.degrade.shift_mz(sections[2], -2 * PROTON, "Da")
    with pytest.raises(mg.InputError, match=r"all m/z are off by -2\.01"):
        clf.predict(wrong)


def test_hydrogen_in_place_of_protons(sections: Any, clf: mg.RGCNClassifier) -> None:
    """vdemichev/DiaNN issue 809: half a millidalton off."""
    found = silent(clf, mg.degrade.shift_mz(sections[2], ELECTRON, "Da"))
    assert (found.argmax(axis=1) == silent(clf, sections[2]).argmax(axis=1)).mean() > 0.98


def test_masses_shifted_by_two_tenths(sections: Any, clf: mg.RGCNClassifier) -> None:
    """CCMS-UCSD/GNPS_Workflows issue 289: all masses are 0.2 off, which calibration takes off."""
    shifted = mg.degrade.shift_mz(sections[2], 0.2, "Da")
    assert clf.coverage(shifted).mean() > 0.9
    found = silent(clf, shifted)
    assert (found.argmax(axis=1) == silent(clf, sections[2]).argmax(axis=1)).mean() > 0.97
