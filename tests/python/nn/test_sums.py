"""Sums over molecules: what adduct balance and lost peaks do to them, and what branches read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import massgraph as mg
from massgraph.data import degrade
from massgraph.encode.amounts import molecule_groups
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.learn_axis import learn_axis
from massgraph.evidence.evaluate import family_tasks
from massgraph.learn.settings import resolve_settings
from massgraph.nn.discriminants import AxisBranch, FamilyBranch
from massgraph.nn.sums import ALONE, MISSING, IonSums, Sums

PROTON, SODIUM = 1.007276, 22.989218


def split(shares: list[float]) -> mg.Spectra:
    """One molecule, split between proton and sodium, and three others, in each pixel."""
    others = [610.5, 655.1, 702.9]
    mz = [500.3 + PROTON, 500.3 + SODIUM, *others]
    peaks = [(mz, [share, 100 - share, 80.0, 60.0, 90.0]) for share in shares]
    return mg.Spectra.from_peaks(peaks, polarity="positive")


def sums_of(spectra: mg.Spectra, *, molecules: bool) -> tuple[IonSums, PeakEncoder]:
    settings = resolve_settings("default", "positive", {})
    axis = learn_axis(spectra)
    encoder = PeakEncoder.learn(spectra, settings, axis)
    sums = IonSums(len(axis))
    sums.level.copy_(torch.from_numpy(np.exp(axis.level) / encoder.unit))
    if molecules:
        sums.group.copy_(torch.from_numpy(molecule_groups(axis, settings.relations)))
    return sums, encoder


def read(sums: IonSums, encoder: PeakEncoder, spectra: mg.Spectra) -> Sums:
    graphs = encoder.encode(spectra, edges=False)
    return sums.amounts(graphs.batch(np.arange(len(graphs)), edges="none"))


def test_how_a_molecule_is_split_does_not_change_its_sum() -> None:
    spectra = split([90.0, 50.0, 10.0, 60.0, 70.0])
    ions, molecules = (read(*sums_of(spectra, molecules=each), spectra) for each in (False, True))
    assert len(ions.group) == 25
    assert len(molecules.group) == 20
    first = molecules.deviation[molecules.group == 0, ALONE]
    assert float(first.max() - first.min()) < 0.15  # brightness varies a little
    own = ions.deviation[ions.group == 0, ALONE]
    assert float(own.max() - own.min()) > 5 * float(first.max() - first.min())


def test_parts_of_a_sum_are_those_of_its_ions() -> None:
    spectra = split([90.0, 50.0, 10.0])
    found = read(*sums_of(spectra, molecules=True), spectra)
    total = torch.zeros(len(found.group), dtype=torch.float64)
    total.index_add_(0, found.of_node, found.part)
    torch.testing.assert_close(total, torch.ones_like(total))
    np.testing.assert_allclose(found.part[:2], [0.9, 0.1], rtol=1e-5)


def test_a_lost_partner_is_no_lower_molecule() -> None:
    spectra = mg.simulate("tiny", n_runs=1).spectra
    sums, encoder = sums_of(spectra, molecules=True)
    lost = degrade.remove_peaks(spectra, 0.5, np.random.default_rng(0))

    def mean(part: mg.Spectra, kind: int) -> float:
        found = read(sums, encoder, part)
        several = torch.bincount(sums.group)[found.group] > 2
        return float(found.deviation[several, kind].mean())

    alone, missing = (mean(spectra, kind) - mean(lost, kind) for kind in (ALONE, MISSING))
    assert alone > 5 * abs(missing)


@pytest.mark.parametrize("kind", [AxisBranch, FamilyBranch])
def test_discriminants_are_sums_over_ions(kind: type[AxisBranch]) -> None:
    simulation = mg.simulate("tiny", n_runs=1)
    name = "axis" if kind is AxisBranch else "family"
    fitted = mg.RGCNClassifier(branches=(name,)).fit(*simulation)
    (part,) = fitted.model_.parts(name)
    assert isinstance(part, kind)
    for share in (1.0, 0.4):
        worse = degrade.remove_peaks(simulation.spectra, share, np.random.default_rng(0))
        graphs = fitted.encoder_.encode(worse, edges=False)
        batch = graphs.batch(np.flatnonzero(np.diff(graphs.offsets)), edges="none")
        cam = part.cam(batch)
        total = torch.zeros(batch.n_pixels, cam.shape[1], dtype=torch.float64)
        total.index_add_(0, batch.pixel, cam)
        torch.testing.assert_close(part(batch), total / batch.counts + part.intercept())


def test_the_family_branch_reads_sums_that_no_ion_tells() -> None:
    (task,) = family_tasks([5], per_class=60)

    def score(branch: str) -> float:
        model = mg.RGCNClassifier(branches=(branch,), device="cpu")
        found = model.fit(task.train, task.y_train, task.groups).predict(task.test)
        return float(np.mean(found == task.y_test))

    family, axis = score("family"), score("axis")
    assert family > 0.75
    assert family > axis + 0.05


def test_where_adducts_vary_the_default_reads_molecules() -> None:
    """Labels on one run, judged on another; how molecules are split differs from pixel to pixel."""
    simulation = mg.simulate("small", n_runs=2, effect=0.3, adduct_variation=1.5, random_state=3)
    spectra, truth = simulation.spectra, simulation.truth
    run, known = np.asarray(spectra.run_codes), simulation.labels != None  # noqa: E711
    rng = np.random.default_rng(0)
    train = np.concatenate(
        [
            rng.choice(np.flatnonzero(known & (run == 0) & (truth == name)), 25, replace=False)
            for name in simulation.classes
        ]
    )
    test = np.flatnonzero(known & (run == 1))
    model = mg.RGCNClassifier(spatial=False).fit(spectra[train], truth[train])

    def score(fitted: mg.RGCNClassifier) -> float:
        found = fitted.predict(spectra[test])
        return float(
            np.mean([(found == truth[test])[truth[test] == c].mean() for c in fitted.classes_])
        )

    assert score(model) > score(model.only("axis")) + 0.1
    assert score(model) > score(model.only("family")) - 0.02
