"""The weight of each branch in the sum, from what it says of held-out pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from massgraph._util.scores import balanced_accuracy
from massgraph.learn.targets import Targets

__all__ = ["weigh"]

Floats = NDArray[np.float64]

WEIGHT_RANGE = (1e-3, 5.0)  # of logits with a standard deviation of 1: no more than nearly sure
USUAL_PIXELS = 50.0  # the usual weights count as much as this many labelled pixels


def weigh(
    held_out: Floats, targets: Targets, names: tuple[str, ...], usual: Floats
) -> tuple[Floats, pd.DataFrame]:
    """Find the weights of lowest held-out loss, and tabulate what each branch contributes.

    Parameters
    ----------
    held_out
        Logits of pixels as measured and of degraded copies, NaN for pixels that were never held
        out, shape ``(n_versions, n_branches, n_pixels, n_classes)``.
    targets
        Classes of the pixels.
    names, usual
        The branches, and their weights where pixels are too few to tell.

    Returns
    -------
    weights
        Shape ``(n_branches,)``.
    contributions
        See `RGCNClassifier.contributions_`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Targets
    >>> from massgraph.learn.weights import weigh
    >>> codes, rng = np.repeat([0, 1], 50), np.random.default_rng(0)
    >>> right = 3 * np.eye(2)[codes] + rng.normal(size=(100, 2))
    >>> held_out = np.stack([right, rng.normal(size=(100, 2))])[None]
    >>> names, usual = ("right", "noise"), np.array([1.0, 0.1])
    >>> weights, table = weigh(held_out, Targets.of_codes(codes), names, usual)
    >>> bool(weights[0] > 2 * weights[1]), table["branch"].tolist()
    (True, ['right', 'noise', 'all'])
    """
    found = np.asarray(np.isfinite(held_out).all(axis=(0, 1, 3)))
    known = found[targets.pixel]
    truth, importance = targets.code[known], targets.weight[known]
    versions = np.swapaxes(held_out[:, :, targets.pixel[known]], 1, 2)
    logits = versions[0]
    # Branches may earn their weight on degraded spectra; measured ones say how sure the sum is.
    both = (
        np.concatenate(versions),
        np.tile(truth, len(versions)),
        np.tile(importance, len(versions)),
    )
    penalty = USUAL_PIXELS / importance.sum()
    weights = _fit_weights(*both, usual, penalty)
    total = np.einsum("b,nbc->nc", weights, logits)
    weights = weights * _fit_weights(total[:, None, :], truth, importance, np.ones(1), 0.0)
    total = np.einsum("b,nbc->nc", weights, logits)

    def accuracy(values: Floats) -> float:
        return balanced_accuracy(truth, np.argmax(values, axis=1), importance)

    def without(index: int) -> float:
        """Accuracy of the sum without a branch, the others weighed anew."""
        if len(names) == 1:
            return float("nan")
        rest = np.delete(both[0], index, axis=1)
        others = _fit_weights(rest, both[1], both[2], np.delete(usual, index), penalty)
        return accuracy(np.einsum("b,nbc->nc", others, np.delete(logits, index, axis=1)))

    rows = [
        (name, weights[i], _share(weights[i] * logits[:, i], total), accuracy(logits[:, i]))
        for i, name in enumerate(names)
    ]
    table = pd.DataFrame(
        [*rows, ("all", np.nan, 1.0, accuracy(total))],
        columns=["branch", "weight", "share", "balanced_accuracy_alone"],
    )
    table["balanced_accuracy_without"] = [*map(without, range(len(names))), np.nan]
    return weights, table


def _fit_weights(
    logits: Floats, y: NDArray[np.int64], importance: Floats, usual: Floats, penalty: float
) -> Floats:
    """Positive weights of ``(n_pixels, n_branches, n_classes)`` logits; classes weigh the same.

    The loss is that of the sum, and `penalty` times the squared distance of the weights (of logits
    with a deviation of 1) from the nearest multiple of the `usual` ones.
    """
    importance = importance / np.bincount(y, weights=importance)[y]
    importance /= importance.sum()
    spread = (logits - logits.mean(axis=2, keepdims=True)).std(axis=(0, 2))
    scaled = logits / np.maximum(spread, 1e-9)[:, None]  # one range of weights fits all branches

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_probability = log_softmax(np.einsum("b,nbc->nc", weights, scaled), axis=1)
        error = np.exp(log_probability)
        error[np.arange(y.size), y] -= 1.0
        slope = np.einsum("n,nc,nbc->b", importance, error, scaled)
        unusual = weights - (weights @ usual) / (usual @ usual) * usual
        misfit = -float(importance @ log_probability[np.arange(y.size), y])
        return misfit + penalty * float(unusual @ unusual), slope + 2 * penalty * unusual

    start = np.full(logits.shape[1], 1.0 / logits.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[WEIGHT_RANGE] * start.size)
    return np.asarray(found.x / np.maximum(spread, 1e-9))


def _share(part: Floats, total: Floats) -> float:
    """Share of a part in the variance of the sum, over pixels, less the mean of all classes."""
    part = part - part.mean(axis=1, keepdims=True)
    total = total - total.mean(axis=1, keepdims=True)
    part, total = part - part.mean(axis=0), total - total.mean(axis=0)
    return float((part * total).sum() / max(float((total**2).sum()), 1e-300))
