"""Fitting of discriminants in closed form, on few pixels of many ions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.learn.factors import fit_factors
from massgraph.learn.shrinkage import ClassSpread
from massgraph.learn.sums import SumTable
from massgraph.learn.targets import Targets
from massgraph.learn.versions import Versions
from massgraph.nn.completeness import LEVELS
from massgraph.nn.discriminants import Discriminants
from massgraph.nn.sums import ALONE, MISSING

__all__ = ["fit_discriminants"]


def fit_discriminants(
    branch: Discriminants,
    versions: Versions,
    targets: Targets,
    pixels: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Fit the discriminants and what chooses between them to some of the pixels, in place.

    They are fitted to the pixels as measured: what peaks that are lost at random do to means and
    covariances is known without trying, and of the weakest lost there is one way only.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.discriminants import fit_discriminants
    >>> from massgraph.learn.targets import Labels
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> seed, rng = np.random.SeedSequence(0), np.random.default_rng(0)
    >>> versions = encode_versions(clf.encoder_, spectra[rows], seed, n_copies=0)
    >>> (part,) = clf.model_.parts("axis")
    >>> before = part.weight.clone()
    >>> fit_discriminants(part, versions, targets, np.arange(len(rows)), rng)
    >>> bool((part.weight == before).all())
    True
    """
    entries = targets.of(np.intersect1d(pixels, versions.summed))
    rows = np.searchsorted(versions.summed, targets.pixel[entries])
    code, times = targets.code[entries], targets.weight[entries]
    tables = versions.molecule_sums if branch.sums_molecules else versions.ion_sums
    branch.sums.load_state_dict(tables.sums.state_dict())
    branch.completeness.load_state_dict(versions.completeness.state_dict())
    n, n_classes = tables.measured.n_groups, branch.bias.shape[1]

    def set_shares(expert: int, spread: ClassSpread, kept: float = 1.0) -> None:
        weight, bias = spread.discriminant(kept)
        branch.weight[:n, expert] = torch.from_numpy(weight)
        branch.bias[expert] = torch.from_numpy(bias)

    def spread_of(table: SumTable) -> ClassSpread:
        return ClassSpread.of(table.dense(table.share), code, n_classes, times)

    def set_deviations(number: int, table: SumTable, kind: int) -> None:
        values, weight = table.dense(table.deviation[:, kind]), table.dense(table.weight)
        fit_factors(branch.deviating(number), values, weight, code, n_classes, times)

    measured = tables.measured.of(rows)
    spread = spread_of(measured)
    set_shares(0, spread)
    set_deviations(0, measured, ALONE)
    set_deviations(1, measured, MISSING)
    for number, share in enumerate(LEVELS):
        set_shares(1 + number, spread, kept=share)
        lost = tables.weakest_lost[number].of(rows)
        set_shares(1 + len(LEVELS) + number, spread_of(lost))
        set_deviations(2 + number, lost, ALONE)
