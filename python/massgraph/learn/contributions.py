"""What each branch contributes, told by pixels that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.scores import balanced_accuracy
from massgraph.learn.targets import Targets
from massgraph.learn.weights import fit_weights

__all__ = ["contributions"]

Floats = NDArray[np.float64]


def contributions(
    names: tuple[str, ...],
    weights: Floats,
    usual: Floats,
    by_fold: Sequence[Floats],
    targets: Targets,
    fold: NDArray[np.int64],
    judged: NDArray[np.bool_],
) -> pd.DataFrame:
    """Tabulate shares of the branches in the sum, and how well each and all tell held-out pixels.

    The accuracies of a fold are those of weights, and of whatever else held-out pixels choose, that
    are found on the other folds.

    Parameters
    ----------
    names, weights, usual
        The branches, their weights in the model, and what these usually are.
    by_fold
        For each fold, held-out logits ``(n_branches, n_pixels, n_classes)`` as they are by what the
        others chose.
    targets, fold
        Classes of the pixels, and which fold each is in, -1 for those never held out.
    judged
        bool, one per fold: whether its pixels are free of choices that concern all folds.

    Returns
    -------
    contributions
        See `RGCNClassifier.contributions_`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.contributions import contributions
    >>> from massgraph.learn.targets import Targets
    >>> codes, rng = np.arange(2000) % 2, np.random.default_rng(0)
    >>> right = 3 * np.eye(2)[codes] + rng.normal(size=(2000, 2))
    >>> logits = np.stack([right, rng.normal(size=(2000, 2))])
    >>> table = contributions(
    ...     ("right", "noise"), np.ones(2), np.ones(2), [logits, logits],
    ...     Targets.of_codes(codes), np.arange(2000) // 1000, np.ones(2, dtype=bool)
    ... )
    >>> table["branch"].tolist(), bool(table["balanced_accuracy_alone"].iloc[0] > 0.9)
    (['right', 'noise', 'all'], True)
    """
    of_entry, every = fold[targets.pixel], np.arange(len(names))
    folds = np.flatnonzero(judged).tolist()
    told = [np.flatnonzero(of_entry == k) for k in folds]
    y, importance = targets.code, targets.weight

    def logits(k: int, entries: NDArray[np.int64]) -> Floats:
        return np.asarray(np.swapaxes(by_fold[k][:, targets.pixel[entries]], 0, 1))

    def total(branches: NDArray[np.int64]) -> Floats:
        """The sum of some branches, at weights that the other folds give them."""
        sums: list[Floats] = []
        for k, entries in zip(folds, told, strict=True):
            others = np.flatnonzero((of_entry >= 0) & (of_entry != k))
            seen = logits(k, others)[:, branches]
            weight = fit_weights(seen, y[others], importance[others], usual[branches])
            own = logits(k, entries)[:, branches]
            sums.append(np.asarray(np.einsum("b,nbc->nc", weight, own)))
        return np.concatenate(sums)

    of_told = np.concatenate(told)

    def accuracy(values: Floats) -> float:
        return balanced_accuracy(y[of_told], np.argmax(values, axis=1), importance[of_told])

    own = np.concatenate([logits(k, entries) for k, entries in zip(folds, told, strict=True)])
    whole = np.einsum("b,nbc->nc", weights, own)
    rows = [
        (name, weights[i], _share(weights[i] * own[:, i], whole), accuracy(own[:, i]))
        for i, name in enumerate(names)
    ]
    table = pd.DataFrame(
        [*rows, ("all", np.nan, 1.0, accuracy(total(every)))],
        columns=["branch", "weight", "share", "balanced_accuracy_alone"],
    )
    without = [accuracy(total(np.delete(every, i))) if len(names) > 1 else np.nan for i in every]
    table["balanced_accuracy_without"] = [*without, np.nan]
    return table


def _share(part: Floats, total: Floats) -> float:
    """Share of a part in the variance of the sum, over pixels, less the mean of all classes."""
    part = part - part.mean(axis=1, keepdims=True)
    total = total - total.mean(axis=1, keepdims=True)
    part, total = part - part.mean(axis=0), total - total.mean(axis=0)
    return float((part * total).sum() / max(float((total**2).sum()), 1e-300))
