"""Recall and balanced accuracy, which all other modules take from here."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["balanced_accuracy", "recall"]


def recall(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
    weight: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Share of each class that was recognised, shape ``(n_classes,)``; NaN for absent classes.

    Parameters
    ----------
    truth, predicted
        Class codes, shape ``(n,)``; a code of -1 among `predicted` is no class, and a miss.
    n_classes
        Number of classes.
    weight
        How much each one counts (default: all alike).

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph._util.scores import recall
    >>> recall(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [0.5, 1.0]
    """
    weights = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    hits = np.bincount(truth, weights=weights * (predicted == truth), minlength=n_classes)
    counts = np.bincount(truth, weights=weights, minlength=n_classes)
    return np.where(counts > 0, hits / np.where(counts > 0, counts, 1.0), np.nan)


def balanced_accuracy(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], weight: ArrayLike | None = None
) -> float:
    """Mean recall over the classes present; NaN where there are none.

    Parameters as for `recall`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph._util.scores import balanced_accuracy
    >>> balanced_accuracy(np.array([0, 0, 1]), np.array([0, 1, 1]))
    0.75
    """
    found = recall(truth, predicted, int(truth.max(initial=-1)) + 1, weight)
    present = found[~np.isnan(found)]
    return float(np.mean(present)) if present.size else float("nan")
