"""Segmentation: classes, uncertainty and agreement with the user's labels."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, recall_score

from massgraph.data.spectra import Spectra
from massgraph.segmentation import Segmentation, package_versions, uncertainty_of

CLASSES = ("cortex", "medulla", "NA")


def make_spectra(n_pixels: int = 6, empty: tuple[int, ...] = (2,)) -> Spectra:
    matrix = np.arange(1.0, 1 + n_pixels * 4).reshape(n_pixels, 4)
    matrix[list(empty)] = 0
    x, y = np.arange(n_pixels) % 3, np.arange(n_pixels) // 3
    return Spectra.from_matrix(
        matrix,
        [100.5, 200.25, 300.125, 760.5851],
        coordinates=np.column_stack([x, y]),
        run=np.where(np.arange(n_pixels) < n_pixels // 2, "b", "a"),
        polarity="negative",
        pixel_size=(10.0, 20.0),
    )


def make_probability(n_pixels: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(3), size=n_pixels)


@pytest.fixture
def segmentation() -> Segmentation:
    probability = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],
            [0.3, 0.4, 0.3],
            [0.2, 0.2, 0.6],
            [0.5, 0.5, 0.0],
            [0.0, 1.0, 0.0],
        ]
    )
    return Segmentation.from_probability(
        make_spectra(),
        CLASSES,
        probability,
        reference=["cortex", None, "cortex", "NA", "medulla", "medulla"],
        training=[True, False, True, False, False, False],
        validation=[False, False, False, True, True, False],
    )


# ------------------------------------------------------------------ classes and uncertainty


def test_classes_of_pixels(segmentation: Segmentation) -> None:
    assert list(segmentation.label[[0, 1, 3, 4, 5]]) == [
        "cortex",
        "medulla",
        "NA",
        "cortex",
        "medulla",
    ]
    assert list(segmentation.label.categories) == list(CLASSES)


def test_pixel_without_peaks_has_no_class(segmentation: Segmentation) -> None:
    assert segmentation.label.isna().tolist() == [False, False, True, False, False, False]
    assert np.isnan(segmentation.probability[2]).all()
    assert segmentation.uncertainty[2] == 1
    assert "1 without peaks" in repr(segmentation)


def test_fields_come_from_the_spectra(segmentation: Segmentation) -> None:
    assert segmentation.run.tolist() == ["b", "b", "b", "a", "a", "a"]
    assert segmentation.pixel_size == (10.0, 20.0)
    assert segmentation.polarity == "negative"
    assert segmentation.coordinates is segmentation.spectra.coordinates
    assert len(segmentation) == segmentation.n_pixels == 6
    assert segmentation.counts().to_dict() == {"cortex": 2, "medulla": 2, "NA": 1}


def test_given_probabilities_are_not_changed() -> None:
    probability = make_probability()
    before = probability.copy()
    Segmentation.from_probability(make_spectra(), CLASSES, probability)
    np.testing.assert_array_equal(probability, before)


def test_is_frozen(segmentation: Segmentation) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        segmentation.polarity = "positive"  # type: ignore[misc]


def test_parts_can_be_replaced(segmentation: Segmentation) -> None:
    other = dataclasses.replace(segmentation, reference=None)
    assert other.reference is None
    assert other.probability is segmentation.probability


@pytest.mark.parametrize("n_classes", [2, 3, 17])
def test_uncertainty_is_entropy_over_its_largest_value(n_classes: int) -> None:
    uniform = np.full((1, n_classes), 1 / n_classes)
    certain = np.eye(n_classes)
    assert uncertainty_of(uniform)[0] == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(uncertainty_of(certain), 0)
    p = np.random.default_rng(1).dirichlet(np.ones(n_classes), size=20)
    expected = [-sum(q * math.log(q) for q in row) / math.log(n_classes) for row in p]
    np.testing.assert_allclose(uncertainty_of(p), expected, rtol=1e-12)


def test_uncertainty_of_missing_and_single_class() -> None:
    assert uncertainty_of([[np.nan, np.nan], [1.0, 0.0]]).tolist() == [1.0, 0.0]
    assert uncertainty_of([[1.0], [np.nan]]).tolist() == [0.0, 1.0]
    assert uncertainty_of(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 0), (1, 2, 3)])
def test_uncertainty_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"need \(n_pixels, n_classes\)"):
        uncertainty_of(np.zeros(shape))


# ------------------------------------------------------------------ agreement with labels


def test_metrics_by_run_and_subset(segmentation: Segmentation) -> None:
    table = segmentation.metrics()
    assert table[["run", "subset", "n_labelled"]].values.tolist() == [
        ["b", "training", 2],
        ["a", "held out", 2],
        ["a", "unseen", 1],
    ]
    # Run b: one cortex pixel right, one without peaks is missed.
    assert table["balanced_accuracy"].tolist() == [0.5, 0.5, 1.0]
    assert table["recall_cortex"].tolist()[0] == 0.5
    assert math.isnan(table["recall_medulla"].tolist()[0])
    assert table["recall_NA"].tolist()[1] == 1
    expected = segmentation.uncertainty[[3, 4]].mean()
    assert table["uncertainty"].tolist()[1] == pytest.approx(expected)


def test_metrics_of_pixels_that_were_not_trained_on(segmentation: Segmentation) -> None:
    table = dataclasses.replace(segmentation, training=None, validation=None).metrics()
    assert table["subset"].tolist() == ["labelled", "labelled"]
    assert table["n_labelled"].tolist() == [2, 3]


def test_without_labels_there_are_no_metrics(segmentation: Segmentation) -> None:
    bare = dataclasses.replace(segmentation, reference=None)
    assert bare.metrics().empty
    assert list(bare.metrics().columns) == list(segmentation.metrics().columns)
    assert math.isnan(bare.balanced_accuracy())
    assert bare.recall().isna().all()
    assert bare.confusion().to_numpy().sum() == 0


def test_labels_that_are_all_missing_give_no_rows(segmentation: Segmentation) -> None:
    none = Segmentation.from_probability(
        segmentation.spectra, CLASSES, make_probability(), reference=[None] * 6
    )
    assert none.metrics().empty
    assert math.isnan(none.balanced_accuracy())


def test_balanced_accuracy_is_that_of_sklearn() -> None:
    rng = np.random.default_rng(2)
    spectra = make_spectra(200, empty=())
    result = Segmentation.from_probability(
        spectra, CLASSES, make_probability(200), reference=rng.choice(CLASSES, size=200)
    )
    given, found = np.asarray(result.reference), np.asarray(result.label)
    assert result.balanced_accuracy() == pytest.approx(balanced_accuracy_score(given, found))
    recalls = recall_score(given, found, labels=list(CLASSES), average=None)
    np.testing.assert_allclose(result.recall(), recalls)
    expected = confusion_matrix(given, found, labels=list(CLASSES))
    np.testing.assert_array_equal(result.confusion(), expected)
    mask = spectra.run == "a"
    assert result.balanced_accuracy(mask) == pytest.approx(
        balanced_accuracy_score(given[mask], found[mask])
    )
    assert result.balanced_accuracy(np.flatnonzero(mask)) == result.balanced_accuracy(mask)


def test_no_information_gives_one_over_the_number_of_classes() -> None:
    probability = np.tile([0.5, 0.3, 0.2], (60, 1))
    reference = np.repeat(CLASSES, [40, 15, 5])
    result = Segmentation.from_probability(
        make_spectra(60, empty=()), CLASSES, probability, reference=reference
    )
    assert result.balanced_accuracy() == pytest.approx(1 / 3)


def test_confusion_names_rows_and_columns(segmentation: Segmentation) -> None:
    table = segmentation.confusion()
    assert table.index.name == "reference"
    assert table.columns.name == "predicted"
    assert table.loc["medulla", "cortex"] == 1
    assert table.loc["cortex"].tolist() == [1, 0, 0]  # the pixel without peaks is in no column


def test_label_that_is_no_class_is_missed_not_lost() -> None:
    result = Segmentation.from_probability(
        make_spectra(3, empty=()),
        ("a", "b"),
        [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]],
        reference=["a", "pelvis", "b"],
    )
    assert list(result.reference.categories) == ["a", "b", "pelvis"]
    assert result.recall().to_dict() == {"a": 1.0, "b": 1.0, "pelvis": 0.0}
    assert result.balanced_accuracy() == pytest.approx(2 / 3)
    assert "recall_pelvis" in result.metrics().columns


@pytest.mark.parametrize(
    "labels",
    [
        ["NA", "", None, "α"],
        np.array(["NA", "", None, "α"], dtype=object),
        pd.Series(["NA", "", np.nan, "α"]),
        pd.array(["NA", "", pd.NA, "α"], dtype="string"),
        pd.Categorical(["NA", "", None, "α"], categories=["α", "", "NA", "unused"]),
    ],
)
def test_labels_are_kept_to_the_letter(labels: object) -> None:
    result = Segmentation.from_probability(
        make_spectra(4, empty=()), ("", "α", "NA"), make_probability(4), reference=labels
    )
    assert list(result.reference.categories) == ["", "α", "NA"]
    assert [None if pd.isna(v) else v for v in result.reference] == ["NA", "", None, "α"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 1, 1], ["0", "1", "1"]), ([True, False, None], ["True", "False", None])],
)
def test_labels_that_are_not_text_become_it(labels: list[object], expected: list[object]) -> None:
    result = Segmentation.from_probability(
        make_spectra(3, empty=()), ("0", "1"), [[1.0, 0.0]] * 3, reference=labels
    )
    assert [None if pd.isna(v) else v for v in result.reference] == expected


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": np.zeros((6, 2))}, r"shape \(6, 2\), need \(6, 3\)"),
        ({"probability": np.full((6, 3), 0.5)}, r"pixel 0: probabilities .* do not sum to one"),
        ({"uncertainty": np.zeros(5)}, "uncertainty has 5 values for 6 pixels"),
        ({"run": np.array(["a"])}, "run has 1 values for 6 pixels"),
        ({"validation": np.zeros(7, dtype=bool)}, "validation has 7 values for 6 pixels"),
        ({"label": pd.Categorical(["x"] * 6)}, r"label has the levels \['x'\], need"),
        ({"classes": ()}, "classes must be at least one"),
        ({"classes": ("a", "a", "b")}, r"differ, got \('a', 'a', 'b'\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    segmentation: Segmentation, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(segmentation, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [[1.5, -0.5, 0.0], [np.nan, 0.5, 0.5], [np.inf, 0.0, 0.0]])
def test_probabilities_that_are_none_are_refused(row: list[float]) -> None:
    probability = make_probability()
    probability[4] = row
    with pytest.raises(ValueError, match="pixel 4: probabilities"):
        Segmentation.from_probability(make_spectra(), CLASSES, probability)


def test_reference_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="reference has 2 values for 6 pixels"):
        Segmentation.from_probability(
            make_spectra(), CLASSES, make_probability(), reference=["cortex", None]
        )


# ------------------------------------------------------------------ independence


def test_versions_name_what_decides_a_result() -> None:
    versions = package_versions()
    assert {"python", "numpy", "scipy", "anndata"} <= set(versions)
    assert versions["numpy"] == np.__version__


def test_neither_torch_nor_anndata_is_imported() -> None:
    code = (
        "import sys, massgraph.segmentation; "
        "sys.exit(', '.join({'torch', 'anndata'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
