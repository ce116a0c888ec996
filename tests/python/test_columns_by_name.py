"""Matrices whose columns have names: kept, compared, and refused in scikit-learn's own words."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

import massgraph as mg


def quick(mz: Any, **parameters: Any) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(branches=("axis",), folds=2, augment=0, mz=mz, **parameters)


@pytest.fixture(scope="module")
def tissue() -> tuple[pd.DataFrame, Any, Any]:
    """A table of the ions of a small image, its m/z and its labels."""
    spectra, labels = mg.simulate("tiny", n_runs=1)
    matrix, mz = spectra.to_matrix()
    names = [f"lipid {column}" for column in range(len(mz))]
    return pd.DataFrame(matrix.toarray(), columns=names), mz, labels


@pytest.fixture(scope="module")
def fitted(tissue: tuple[pd.DataFrame, Any, Any]) -> mg.RGCNClassifier:
    table, mz, labels = tissue
    return quick(mz).fit(table, labels)


def sklearns_words(fit: pd.DataFrame, predict: pd.DataFrame) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its words are what is looked for
        PCA(1).fit(fit).transform(predict)
    return str(caught.value)


def test_names_are_kept(fitted: mg.RGCNClassifier, tissue: tuple[pd.DataFrame, Any, Any]) -> None:
    table = tissue[0]
    assert fitted.feature_names_in_.tolist() == list(table)
    assert fitted.n_features_in_ == table.shape[1]
    assert not hasattr(clone(fitted), "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict(table)
    assert fitted.only("axis").feature_names_in_.tolist() == list(table)


def test_another_order_or_other_names_are_refused(
    fitted: mg.RGCNClassifier, tissue: tuple[pd.DataFrame, Any, Any]
) -> None:
    table = tissue[0]
    turned = table[table.columns[::-1]]
    other = table.rename(columns={"lipid 0": "lipid x"})
    for wrong in (turned, other, table.iloc[:, 1:]):
        for ask in (fitted.predict, fitted.predict_proba, fitted.segment, fitted.explain):
            with pytest.raises(mg.InputError) as caught:
                ask(wrong)
            assert str(caught.value) == sklearns_words(table, wrong)
    with pytest.raises(mg.InputError, match="must be in the same order as they were in fit"):
        fitted.predict(turned)


def test_names_on_one_side_only(
    fitted: mg.RGCNClassifier, tissue: tuple[pd.DataFrame, Any, Any]
) -> None:
    table, mz, labels = tissue
    with pytest.warns(UserWarning, match="X does not have valid feature names, but RGCNClass"):
        fitted.predict(table.to_numpy())
    without = quick(mz).fit(table.to_numpy(), labels)
    assert not hasattr(without, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but RGCNClassifier was fitted with"):
        without.predict(table)


def test_names_of_a_former_fit_are_forgotten(tissue: tuple[pd.DataFrame, Any, Any]) -> None:
    table, mz, labels = tissue
    classifier = quick(mz).fit(table, labels)
    classifier.fit(mg.Spectra.from_matrix(table.to_numpy(), mz), labels)
    assert not hasattr(classifier, "feature_names_in_")
    assert not hasattr(classifier, "n_features_in_")


def test_numbers_and_text_for_names(tissue: tuple[pd.DataFrame, Any, Any]) -> None:
    table, mz, labels = tissue
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        quick(mz).fit(table.rename(columns={"lipid 0": 0}), labels)


def test_a_saved_model_knows_its_columns(
    fitted: mg.RGCNClassifier, tissue: tuple[pd.DataFrame, Any, Any], tmp_path: Path
) -> None:
    table = tissue[0]
    fitted.save(tmp_path / "model")
    again = mg.load(tmp_path / "model")
    assert again.feature_names_in_.tolist() == list(table)
    assert again.predict(table).tolist() == fitted.predict(table).tolist()
    with pytest.raises(mg.InputError, match="same order"):
        again.predict(table[table.columns[::-1]])


def test_regions_know_their_columns(tissue: tuple[pd.DataFrame, Any, Any], tmp_path: Path) -> None:
    table, mz, _ = tissue
    regions = mg.SpatialRegions(3, spatial=False, mz=mz).fit(table)
    assert regions.feature_names_in_.tolist() == list(table)
    regions.save(tmp_path / "model")
    for model in (regions, mg.load(tmp_path / "model")):
        with pytest.raises(mg.InputError, match="same order"):
            model.predict(table[table.columns[::-1]])
    regions.fit(mg.Spectra.from_matrix(table.to_numpy(), mz))
    assert not hasattr(regions, "feature_names_in_")


# -------------------------------------------------------------------- names that are m/z


@pytest.mark.parametrize(
    "name", [lambda mz: mz, "mz_{:.4f}".format, "{:.1f}".format, lambda mz: f"X{mz:.3f}"]
)
def test_columns_named_by_their_mz(name: Any, tissue: tuple[pd.DataFrame, Any, Any]) -> None:
    """Numbers are no names to scikit-learn: pandas' own would be in any order unseen."""
    table, mz, labels = tissue
    named = table.set_axis([name(one) for one in mz], axis="columns")
    if named.columns.is_unique:
        classifier = quick(mz).fit(named, labels)
        assert classifier.predict(named).tolist() == classifier.predict(named.copy()).tolist()
    turned = named[named.columns[::-1]] if named.columns.is_unique else named.iloc[:, ::-1]
    if named.columns.is_unique:
        with pytest.raises(mg.InputError):
            classifier.predict(turned)
        with pytest.raises(mg.InputError, match=r"column 0 of X is named .*order of mz"):
            quick(mz).fit(turned, labels)


def test_numbers_that_count_the_columns_are_no_mz(
    tissue: tuple[pd.DataFrame, Any, Any],
) -> None:
    table, mz, labels = tissue
    quick(mz).fit(table.set_axis(range(len(mz)), axis="columns"), labels)


def test_mz_in_any_order(fitted: mg.RGCNClassifier, tissue: tuple[pd.DataFrame, Any, Any]) -> None:
    table, mz, labels = tissue
    order = np.random.default_rng(0).permutation(len(mz))
    found = quick(mz[order]).fit(table.iloc[:, order], labels)
    np.testing.assert_array_equal(found.predict(table.iloc[:, order]), fitted.predict(table))


def test_an_anndata_object_is_to_be_made_spectra() -> None:
    with pytest.raises(mg.InputError, match=re.escape("pass massgraph.from_anndata(X)")):
        quick(None).fit(anndata.AnnData(np.eye(2)), ["a", "b"])
