"""Bad inputs of results, labels and learning that no other test holds.

The numbers in the names are those of the table in docs/reliability.md.
"""

from __future__ import annotations

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GroupKFold, cross_val_score

import massgraph as mg
from massgraph._util.threads import one_thread
from massgraph.graph.builder import build_graph
from massgraph.io.anndata import AnnDataError, from_anndata, labels_from_obs
from massgraph.segmentation import Segmentation


def quick(**parameters: Any) -> mg.RGCNClassifier:
    chosen = {"epochs": 2, "augment": 0, "hidden": (4,), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen)


@pytest.fixture(scope="module")
def tissue() -> Any:
    return mg.simulate("tiny")


@pytest.fixture(scope="module")
def fitted(tissue: Any) -> mg.RGCNClassifier:
    return quick().fit(*tissue)


def plain_segmentation(tissue: Any, **more: Any) -> Segmentation:
    spectra, _ = tissue
    probability = np.full((spectra.n_pixels, 2), 0.5)
    return Segmentation.from_probability(spectra, ("a", "b"), probability, **more)


# -------------------------------------------------------------------- 58-69: AnnData


def test_61_every_warning_is_given_once() -> None:
    """An object with everything odd: as many warnings as oddities, each of them once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's own
        adata = anndata.AnnData(
            X=np.asarray([[1.0, -2.0], [-3.0, 4.0], [-1.0, 1.0]], dtype=np.float32),
            obs=pd.DataFrame(index=["p", "p", "q"]),
            var=pd.DataFrame(
                {"mz": np.asarray([700.5, 300.3], dtype=np.float32)}, index=["a", "b"]
            ),
            uns={"metaspace": {"polarity": "sideways"}},
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from_anndata(adata, coordinates=None)
    messages = [str(one.message) for one in caught if one.category is UserWarning]
    for said in ("float32", "not unique", "ascend", "negative intensities", "sideways"):
        assert sum(said in message for message in messages) == 1, (said, messages)
    assert len(messages) == 5


@pytest.mark.filterwarnings("ignore:the model knows little")
@pytest.mark.parametrize("key", ["activation_a", "massgraph_label", "massgraph"])
def test_63_nothing_of_another_operation_is_overwritten(tissue: Any, key: str) -> None:
    """Results go into an object of their own: there is no key of the user's to write over."""
    spectra, _ = tissue
    theirs = anndata.AnnData(
        X=np.ones((2, 2), dtype=np.float32),
        obs=pd.DataFrame({key: ["mine", "mine"]}, index=["0", "1"]),
        var=pd.DataFrame({"mz": [700.5, 714.51565]}, index=["0", "1"]),
        uns={key: "mine"},
        layers={key: np.full((2, 2), 7.0)},
    )
    quick(epochs=1).fit(spectra, tissue.labels).segment(
        from_anndata(theirs, coordinates=None), min_coverage=0
    ).to_anndata()
    assert theirs.obs[key].tolist() == ["mine", "mine"]
    assert theirs.uns[key] == "mine"
    assert (theirs.layers[key] == 7.0).all()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        (None, None),
        ({1: {2: "x"}}, {"1": {"2": "x"}}),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ({"a/b": 1, "a\0b": 2}, {"a/b": 1, "a\0b": 2}),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (np.asarray([np.nan, 1.0]), ["nan", 1.0]),
        ([{"deep": [np.int8(1), (True,)]}], [{"deep": [1, [True]]}]),
        (2**70, 2**70),
        ("Ü\n", "Ü\n"),
        (Path("x"), "x"),
    ],
)
def test_64_values_that_h5ad_cannot_hold_are_normalised(
    tissue: Any, tmp_path: Path, value: Any, expected: Any
) -> None:
    segmentation = plain_segmentation(tissue, parameters={"value": value})
    segmentation.write_h5ad(tmp_path / "a.h5ad")
    text = anndata.read_h5ad(tmp_path / "a.h5ad").uns["massgraph"]["parameters"]

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    assert json.loads(text, parse_constant=refuse) == {"value": expected}


@pytest.mark.parametrize("text", ["µ", "片区", "🧬", "a/b", "NA", "", " ", "a\tb", "x" * 70_000])
def test_69_text_of_any_kind_comes_back(text: str, tissue: Any, tmp_path: Path) -> None:
    spectra, _ = tissue
    probability = np.tile([0.75, 0.25], (spectra.n_pixels, 1))
    segmentation = Segmentation.from_probability(spectra, (text, text + "2"), probability)
    segmentation.write_h5ad(tmp_path / "a.h5ad")
    labels = labels_from_obs(anndata.read_h5ad(tmp_path / "a.h5ad"), "massgraph_label")
    assert set(labels) == {text}


def test_67_a_plain_object_of_any_other_package_is_taken() -> None:
    """Whatever made it: `var["mz"]` and `obsm["spatial"]` are enough, other content is let be."""
    adata = anndata.AnnData(
        X=np.ones((3, 2), dtype=np.float32),
        obs=pd.DataFrame({"sample": ["s"] * 3}, index=["0", "1", "2"]),
        var=pd.DataFrame({"mz": [100.5, 200.5], "adduct": ["[M+H]+", "[M+Na]+"]}, index=["a", "b"]),
        uns={"log": [1, 2], "matrix": {"name": "DHB"}, "spatial": {"library": {}}},
        obsm={
            "spatial": np.asarray([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]),
            "X_pca": np.ones((3, 2)),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spectra = from_anndata(adata)
    assert spectra.n_pixels == 3
    assert spectra.axis is not None
    assert spectra.axis.tolist() == [100.5, 200.5]


def test_62_labels_of_one_value_reach_the_classifier_with_its_name(tissue: Any) -> None:
    spectra, _ = tissue
    adata = anndata.AnnData(obs=pd.DataFrame({"label": [True] * 5}, index=list("abcde")))
    labels = labels_from_obs(adata, "label")
    with pytest.raises(mg.InputError, match=r"one class only, \['True'\]"):
        quick().fit(spectra[:5], labels)
    with pytest.raises(AnnDataError, match="has no column 'tissue'"):
        labels_from_obs(adata, "tissue")


# -------------------------------------------------------------------- 70-77: labels and learning


def test_70_columns_stay_where_a_class_is_absent_at_predict(
    fitted: mg.RGCNClassifier, tissue: Any
) -> None:
    spectra, labels = tissue
    only = spectra[labels == "muscle"]
    assert fitted.predict_proba(only).shape == (only.n_pixels, 3)
    reference = np.full(only.n_pixels, "muscle")
    segmentation = fitted.segment(only, reference, explain=False)
    assert segmentation.classes == ("epithelium", "muscle", "stroma")


def test_71_na_as_text_and_na_as_missing_are_told_apart(tissue: Any) -> None:
    spectra, labels = tissue
    named = np.asarray([{"muscle": "NA"}.get(label, label) for label in labels], dtype=object)
    named[:40] = None
    with pytest.warns(UserWarning, match="labelled 'NA': learnt as a class, though it is"):
        classifier = quick(epochs=1).fit(spectra, named)
    assert classifier.classes_.tolist() == ["NA", "epithelium", "stroma"]
    assert not (classifier.training_ | classifier.validation_)[:40].any()


def test_71_numbers_and_their_texts_are_not_mixed(tissue: Any) -> None:
    spectra, labels = tissue
    mixed = np.asarray([0 if label == "muscle" else "0" for label in labels], dtype=object)
    with pytest.raises(mg.InputError, match="labels are of several types"):
        quick().fit(spectra, mixed)


def test_72_no_group_stands_on_both_sides(tissue: Any) -> None:
    spectra, labels = tissue
    groups = np.arange(spectra.n_pixels) // 9
    classifier = quick(epochs=1).fit(spectra, labels, groups=groups)
    assert not set(groups[classifier.training_]) & set(groups[classifier.validation_])
    assert not (classifier.training_ & classifier.validation_).any()


@pytest.mark.parametrize("n_peaks", [1, 2])
def test_75_pixels_without_edges_are_accepted(n_peaks: int) -> None:
    rng = np.random.default_rng(0)
    peaks = [
        (np.sort(rng.uniform(100.0, 110.0, n_peaks)), rng.lognormal(size=n_peaks))
        for _ in range(30)
    ]
    spectra = mg.Spectra.from_peaks(peaks)
    relations = mg.relations_from_masses({"far": 500.0})
    assert build_graph(spectra, relations, tolerance=5, tolerance_unit="ppm").n_edges == 0
    classifier = quick(relations=relations).fit(spectra, np.arange(30) % 2)
    assert np.isfinite(classifier.logits(spectra)).all()


# -------------------------------------------------------------------- 81: seeds, threads, jobs


def test_81_jobs_in_threads_change_no_bit_and_no_setting(tissue: Any) -> None:
    """Four fits at a time in one process give what one after the other gives."""
    from joblib import parallel_backend

    spectra, labels = tissue
    known = np.flatnonzero(~pd.isna(labels))
    spectra, labels = spectra[known], labels[known].astype(str)
    groups = np.arange(spectra.n_pixels) // 24
    scores = []
    before = torch.get_num_threads()
    for jobs in (1, 4):
        with parallel_backend("threading"):
            scores.append(
                cross_val_score(
                    quick(),
                    spectra,
                    labels,
                    groups=groups,
                    cv=GroupKFold(4),
                    n_jobs=jobs,
                    scoring="balanced_accuracy",
                )
            )
    np.testing.assert_array_equal(scores[0], scores[1])
    assert torch.get_num_threads() == before


def test_81_the_last_of_several_blocks_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    first, second = one_thread(), one_thread()
    try:
        with first:
            thread = threading.Thread(target=second.__enter__)
            thread.start()
            thread.join()
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:the model knows little")  # of a run of one pixel
def test_81_prediction_knows_no_batch(fitted: mg.RGCNClassifier, tissue: Any) -> None:
    """Pixels are calibrated with the help of their run; alone they have the same class."""
    spectra, _ = tissue
    whole = fitted.predict(spectra[:64])
    alone = np.concatenate([fitted.predict(spectra[at : at + 1]) for at in range(64)])
    assert np.mean(alone == whole) > 0.95


# -------------------------------------------------------------------- 83: odd intensities


@pytest.mark.parametrize("value", [1e30, 3e38, 1e-38, 1.0])
def test_83_one_odd_peak_leaves_everything_finite(tissue: Any, value: float) -> None:
    """In the training data, not only at predict."""
    spectra, labels = tissue
    intensity = spectra.intensity.copy()
    intensity[5] = value
    if value == 1.0:
        intensity[:] = 1.0
    odd = mg.Spectra(mz=spectra.mz, intensity=intensity, offsets=spectra.offsets)
    classifier = quick(epochs=1).fit(odd, labels)
    assert np.isfinite(classifier.logits(odd)).all()
