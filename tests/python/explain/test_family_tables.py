"""The tables of ion families: what is refused, what users read, and what simulated tissue gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from family_builder import FAMILY_COLUMNS, POSITIVE, families_of, pair_up
from massgraph.explain.families import family_table, find_families
from massgraph.explain.ion_network import build_ion_network
from massgraph.graph.builder import build_graph
from massgraph.simulation.simulate import simulate

# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": [0.1]}, r"differ in shape: \(2,\), \(2,\), \(1,\)"),
        ({"score": [0.1, np.nan]}, "ion 1: score nan is not finite and at least zero"),
        ({"score": [-0.1, 0.1]}, "ion 0: score -0.1 is not finite and at least zero"),
        ({"mz": [100.0, 0.0]}, "ion 1: mz 0.0 is not finite and above zero"),
        ({"ion_class": [0.0, 1.0]}, "ion_class must be integers, got float64"),
        ({"ion_class": [0, 2], "classes": ["a", "b"]}, "reaches 2 but there are 2 names"),
        ({"polarity": "neutral"}, "polarity 'neutral' is none of"),
        ({"coverage": 0.0}, "coverage must be above 0 and at most 1, got 0"),
        ({"coverage": 1.1}, "coverage must be above 0 and at most 1, got 1.1"),
        ({"min_frequency": -0.1}, "min_frequency must be between 0 and 1, got -0.1"),
        ({"max_error_ppm": 0.0}, "max_error_ppm must be above zero, got 0"),
        ({"max_ions": 1}, "max_ions must be at least 2, got 1"),
        ({"edges": pd.DataFrame({"source": [0]})}, "lack the columns target, relation"),
        ({"edges": pair_up([1.0, 2.0, 760.5851, 782.567], POSITIVE)}, "source must be between 0"),
        (
            {"edges": pair_up([760.5851, 782.567], POSITIVE, source=1, target=0)},
            "source must be the lighter ion, got 1 to 0",
        ),
        (
            {"edges": pair_up([760.5851, 782.567], POSITIVE, relation=99)},
            r"relation must be between 0 and \d+, got 99 to 99",
        ),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "mz": [760.5851, 782.567],
        "ion_class": [0, 0],
        "score": [0.5, 0.5],
        "edges": pair_up([760.5851, 782.567], POSITIVE),
        "relations": POSITIVE,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        find_families(**arguments)


# -------------------------------------------------------------------- the table that users read


def test_family_table() -> None:
    mz = [400.0, 760.5851, 782.5670]
    families, _ = families_of(mz, score=[0.1, 0.3, 0.6])
    ions = pd.DataFrame(
        {
            "mz": mz,
            "n_pixels": 5,
            "intensity_a": [1.0, 2.0, 3.0],
            "activation_a": [0.1, 0.2, 0.3],
            "activation_b": [0.0, -0.2, -0.3],
        },
        index=["x", "y", "z"],
    )
    table = family_table(families, ions)
    added = ["activation_a", "activation_b", "intensity_a"]
    assert list(table.columns) == FAMILY_COLUMNS + added
    assert table.index.tolist() == [2, 1]
    assert table[added].to_numpy().tolist() == [[0.3, -0.3, 3.0], [0.2, -0.2, 2.0]]
    assert list(families.columns) == FAMILY_COLUMNS


def test_family_table_of_nothing() -> None:
    families, _ = families_of([400.0])
    table = family_table(families, pd.DataFrame({"mz": [400.0], "activation_a": [0.1]}))
    assert list(table.columns) == [*FAMILY_COLUMNS, "activation_a"]
    assert len(table) == 0


@pytest.mark.parametrize("mz", [[760.5851, 782.5671], [760.5851]])
def test_family_table_of_another_axis(mz: list[float]) -> None:
    families, _ = families_of([760.5851, 782.5670])
    with pytest.raises(ValueError, match="families and ions differ in m/z"):
        family_table(families, pd.DataFrame({"mz": mz}))


# -------------------------------------------------------------------- together with the rest


def mean_contrast(spectra: Any, labels: Any, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each ion the class that has most of it, and its share of the squared contrasts."""
    matrix, _ = spectra.normalize().to_matrix(5.0)
    matrix = np.log1p(matrix.toarray())
    means = np.stack([matrix[labels == name].mean(axis=0) for name in classes])
    rest = np.stack([np.delete(means, c, 0).mean(axis=0) for c in range(len(means))])
    contrast = means - rest
    ion_class, score = contrast.argmax(axis=0), contrast.max(axis=0) ** 2
    total = np.bincount(ion_class, weights=score, minlength=len(means))
    return ion_class, score / total[ion_class]


@pytest.fixture(scope="module")
def simulated() -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    simulation = simulate("demo", shape=(16, 16), random_state=1)
    spectra = simulation.spectra
    graph = build_graph(spectra, POSITIVE, tolerance=5.0)
    axis, ion = spectra.align(5.0)
    ion_class, score = mean_contrast(spectra, simulation.truth, simulation.classes)
    network = build_ion_network(ion, graph)
    families, _ = find_families(
        axis,
        ion_class,
        score,
        network,
        POSITIVE,
        polarity="positive",
        classes=simulation.classes,
        max_error_ppm=2.5,
    )
    true = simulation.families
    nearest = np.abs(families["mz"].to_numpy()[:, None] - true["mz"].to_numpy()).argmin(axis=1)
    return simulation, families, true.iloc[nearest].set_index(families.index)


def test_simulated_families_are_the_planted_ones(simulated: Any) -> None:
    simulation, families, truth = simulated
    planted = (simulation.families["discriminates"] != "").mean()
    found = (truth["discriminates"] != "")[families["family"] <= 3].mean()
    assert planted < 0.5
    assert found > 0.75


def test_simulated_families_are_of_one_kind(simulated: Any) -> None:
    _, families, truth = simulated
    top = families["family"] <= 3
    share = (
        truth["family"][top]
        .groupby(families["family"][top])
        .agg(lambda family: family.value_counts().iloc[0] / family.size)
    )
    assert share.mean() > 0.75


def test_simulated_readings_are_true(simulated: Any) -> None:
    _, families, truth = simulated
    read = families["adduct"] != ""
    assert read.sum() >= 8
    # A loss in the source reads as a molecule of its own: its adduct is right.
    metal = truth["adduct"][read].str.extract(r"M\+(\w+)", expand=False)
    right = families["adduct"][read].str.extract(r"M\+(\w+)", expand=False) == metal
    assert right.mean() > 0.8
