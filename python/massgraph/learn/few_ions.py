"""Whether pixels of few ions count as complete.

Some cells have fewer ions than others, and have not lost their weakest peaks. Held-out pixels tell
which it is.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.learn.branches import branch
from massgraph.learn.held_out import FittedPart, Parts, gathered, held_out_logits
from massgraph.learn.targets import Targets
from massgraph.learn.versions import Versions
from massgraph.learn.weights import held_out_loss, is_better
from massgraph.nn.completeness import LEVELS
from massgraph.nn.discriminants import Discriminants

__all__ = ["FewIons", "choose_few_ions"]

FEW_IONS = 0.75  # of the usual number: with more of them a pixel may count as complete
FEW_IONS_PIXELS = 100  # labelled pixels of each class from which on they tell whether it does
_CPU = torch.device("cpu")


class FewIons(NamedTuple):
    """What `choose_few_ions` returns.

    Parameters
    ----------
    chosen
        The parts, by what all held-out pixels choose.
    by_fold
        For each fold, the parts by what the pixels of the others choose.

    Examples
    --------
    >>> from massgraph.learn.few_ions import FewIons
    >>> FewIons._fields
    ('chosen', 'by_fold')
    """

    chosen: Parts
    by_fold: tuple[Parts, ...]


def choose_few_ions(
    found: Parts, versions: Versions, targets: Targets, fold: NDArray[np.int64]
) -> FewIons:
    """Count pixels of few ions as complete where held-out ones are told better so.

    Pixels as measured have to gain, beyond chance, and more than is lost where the weakest peaks
    are.

    Parameters
    ----------
    found
        Parts of all branches in closed form, fold by fold.
    versions, targets, fold
        As for `massgraph.learn.cross_fit.cross_fit`.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.few_ions import choose_few_ions
    >>> from massgraph.learn.held_out import FittedPart
    >>> from massgraph.learn.targets import Labels
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> seed, fold = np.random.SeedSequence(0), np.arange(len(rows)) % 2
    >>> versions = encode_versions(clf.encoder_, spectra[rows], seed, n_copies=0)
    >>> held_out = [np.zeros((9, (fold == k).sum(), 3)) for k in range(2)]
    >>> part = clf.fitted_.network.parts("axis")[0]
    >>> found = {"axis": [FittedPart(part, None, one) for one in held_out]}
    >>> choose_few_ions(found, versions, targets, fold).chosen is found  # of too few pixels
    True
    """
    n_folds = int(fold.max()) + 1
    counted = {
        name: parts for name, parts in found.items() if isinstance(parts[0].part, Discriminants)
    }
    enough = np.bincount(targets.codes, minlength=targets.n_classes).min() >= FEW_IONS_PIXELS
    if not counted or not enough:
        return FewIons(found, (found,) * n_folds)
    judges = [np.flatnonzero((fold >= 0) & (fold != k)) for k in (-1, *range(n_folds))]
    usual = np.array([branch(name).usual_weight for name in counted])
    before = _by_pixel(counted, fold, targets)
    # Told by the pixels as measured first: copies are asked only where that is better.
    measured = _by_pixel(
        _of_few_ions(counted, versions, versions.weighing[:1], fold), fold, targets
    )

    def gain(pixels: NDArray[np.int64]) -> bool:
        of_these = targets.subset(pixels)
        return is_better(before[0, pixels], measured[0, pixels], of_these, usual, usual)

    gained = [gain(pixels) for pixels in judges]
    if not any(gained):
        return FewIons(found, (found,) * n_folds)
    few = _of_few_ions(counted, versions, versions.weighing, fold)
    after = _by_pixel(few, fold, targets)

    def loss(logits: NDArray[np.float64], pixels: NDArray[np.int64]) -> float:
        # The copies without their weakest peaks come last.
        judged, of_these = [0, *range(-len(LEVELS), 0)], targets.subset(pixels)
        return sum(held_out_loss(logits[v, pixels], of_these, usual) for v in judged)

    chosen = [
        {**found, **few} if better and loss(after, pixels) < loss(before, pixels) else found
        for better, pixels in zip(gained, judges, strict=True)
    ]
    return FewIons(chosen[0], tuple(chosen[1:]))


def _by_pixel(found: Parts, fold: NDArray[np.int64], targets: Targets) -> NDArray[np.float64]:
    """Held-out logits, ``(n_versions, n_pixels, n_branches, n_classes)``."""
    return np.swapaxes(gathered(found, fold, targets.n_classes), 1, 2)


def _of_few_ions(
    found: Parts, versions: Versions, starts: NDArray[np.int64], fold: NDArray[np.int64]
) -> Parts:
    """The same parts, by which fewer ions are usual, and what they say of some versions."""

    def lowered(fitted: FittedPart, k: int) -> FittedPart:
        part = deepcopy(fitted.part)
        part.completeness.total.mul_(FEW_IONS)
        pixels = np.flatnonzero(fold == k)
        return replace(
            fitted, part=part, held_out=held_out_logits(part, versions, starts, pixels, _CPU)
        )

    return {name: [lowered(one, k) for k, one in enumerate(found[name])] for name in found}
