"""The weight of each branch in the sum, from what it says of held-out pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from massgraph.learn.targets import Targets
from massgraph.nn.completeness import LEVELS

__all__ = ["fit_weights", "held_out_loss", "is_better", "weigh"]

Floats = NDArray[np.float64]

WEIGHT_RANGE = (1e-3, 5.0)  # of logits with a standard deviation of 1: no more than nearly sure
LEAST_GAIN = 0.01  # of the loss, for which a branch is worth its time
OFFSET_PIXELS = 30.0  # an offset of none counts as much as this many labelled pixels
USUAL_PIXELS = 300.0  # the usual weights count as much as this many labelled pixels
# How sure a sum may be, found on small sets of eight kinds, five of them real.
USUAL_SPREAD = 2.5  # standard deviation of its logits where labelled pixels are too few to tell
SURENESS_VARIES = 0.4  # its logarithm, from set to set: the scale of Student's t with FREEDOM
FREEDOM = 4.0
SUM_RANGE = (1e-9, 1e2)  # of weights of logits with a standard deviation of 1
OTHER_CLASS = 0.1  # of a pixel more would be of another class: no sum is sure, though all are right
_LEFT = (*LEVELS, *(1.0 for _ in LEVELS))  # of the ions that make the versions too sure


def weigh(
    held_out: Floats, targets: Targets, usual: Floats, drifting: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Find the weights of lowest held-out loss.

    Parameters
    ----------
    held_out
        Logits of the pixels as measured, then of copies that lack peaks in one way each, NaN for
        pixels that were never held out, shape ``(n_versions, n_branches, n_pixels, n_classes)``.
    targets
        Classes of the pixels.
    usual
        The weights where pixels are too few to tell.
    drifting
        Which branches may speak for a class because peaks are lost.

    Returns
    -------
    weights
        For each version by itself, shape ``(n_versions, n_branches)``.
    offsets
        Of branches that drift, how far the mean logits of each version, all classes counting the
        same, are from those of the first, ``(n_versions, n_branches, n_classes)``; less so for few
        pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Targets
    >>> from massgraph.learn.weights import weigh
    >>> codes, rng = np.repeat([0, 1], 5000), np.random.default_rng(0)
    >>> right = 3 * np.eye(2)[codes] + rng.normal(size=(10000, 2))
    >>> held_out = np.stack([right, rng.normal(size=(10000, 2))])[None]
    >>> steady = np.zeros(2, dtype=bool)
    >>> weights, _ = weigh(held_out, Targets.of_codes(codes), np.array([1.0, 1.0]), steady)
    >>> bool(weights[0, 0] > 2 * weights[0, 1])
    True
    """
    found = np.asarray(np.isfinite(held_out).all(axis=(0, 1, 3)))
    known = found[targets.pixel]
    truth, importance = targets.code[known], targets.weight[known]
    versions = np.swapaxes(held_out[:, :, targets.pixel[known]], 1, 2)
    measured = _of_version(versions[0], truth, importance, usual)
    # The more ions discriminants add up, the surer than is right they are; those that are lost at
    # random are integrated out.
    worse = [
        _of_version(one, truth, importance, usual, measured.sum() ** left)
        for one, left in zip(versions[1:], _LEFT, strict=False)
    ]
    weights = np.stack([measured, *worse])
    offsets = _offsets(versions * weights[:, None, :, None], truth, importance)
    offsets[:, ~drifting] = 0.0
    return weights, offsets


def _offsets(versions: Floats, y: NDArray[np.int64], importance: Floats) -> Floats:
    """Means of weighted logits ``(n_versions, n_pixels, n_branches, n_classes)`` less the first."""
    of_class = np.bincount(y, weights=importance)
    share = importance / of_class[y] / (of_class > 0).sum()
    means = np.einsum("n,vnbc->vbc", share, versions)
    means -= means.mean(axis=2, keepdims=True)
    total = importance.sum()
    return np.asarray((means - means[0]) * total / (total + OFFSET_PIXELS))


def is_better(
    fewer: Floats, more: Floats, targets: Targets, usual: Floats, usual_of_more: Floats
) -> bool:
    """Whether more branches tell held-out pixels better, beyond chance.

    The loss has to fall by `LEAST_GAIN`, and by a standard error.

    Parameters
    ----------
    fewer, more
        Logits of the branches, ``(n_pixels, n_branches, n_classes)``.
    targets
        Classes of the pixels.
    usual, usual_of_more
        Usual weights of the branches.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Targets
    >>> from massgraph.learn.weights import is_better
    >>> codes, rng = np.repeat([0, 1], 500), np.random.default_rng(0)
    >>> one, other = (2 * np.eye(2)[codes] + rng.normal(size=(1000, 2)) for _ in range(2))
    >>> fewer, more = one[:, None], np.stack([one, other], axis=1)
    >>> is_better(fewer, more, Targets.of_codes(codes), np.ones(1), np.ones(2))
    True
    """
    importance = _balanced(targets.code, targets.weight)
    before = _losses(fewer, targets, usual)
    gain = before - _losses(more, targets, usual_of_more)
    mean = np.average(gain, weights=importance)
    variance = np.average((gain - mean) ** 2, weights=importance)
    error = np.sqrt(variance * (importance**2).sum()) / importance.sum()
    return bool(mean > max(LEAST_GAIN * np.average(before, weights=importance), error))


def held_out_loss(logits: Floats, targets: Targets, usual: Floats) -> float:
    """Mean loss of held-out pixels by branches that are weighed by them; classes weigh the same.

    Parameters
    ----------
    logits
        Of the branches, ``(n_pixels, n_branches, n_classes)``.
    targets
        Classes of the pixels.
    usual
        Usual weights of the branches.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Targets
    >>> from massgraph.learn.weights import held_out_loss
    >>> codes = np.repeat([0, 1], 50)
    >>> logits = np.eye(2)[codes] + np.random.default_rng(0).normal(size=(100, 2))
    >>> round(held_out_loss(logits[:, None], Targets.of_codes(codes), np.ones(1)), 2)
    0.45
    """
    return float(
        np.average(_losses(logits, targets, usual), weights=_balanced(targets.code, targets.weight))
    )


def _losses(logits: Floats, targets: Targets, usual: Floats) -> Floats:
    """Loss of each entry of the targets, by branches at the weights that they get."""
    y, logits = targets.code, logits[targets.pixel]
    weights = _of_version(logits, y, targets.weight, usual)
    total = np.einsum("b,nbc->nc", weights, logits)
    return np.asarray(-log_softmax(total, axis=1)[np.arange(y.size), y])


def _balanced(y: NDArray[np.int64], importance: Floats) -> Floats:
    """How much each pixel counts where all classes count the same."""
    return np.asarray(importance / np.bincount(y, weights=importance)[y])


def _of_version(
    logits: Floats,
    y: NDArray[np.int64],
    importance: Floats,
    usual: Floats,
    usual_sum: float | None = None,
) -> Floats:
    """Weights of the branches in one version of the pixels, of a sum near the usual one."""
    weights = fit_weights(logits, y, importance, usual)
    weights /= weights.sum()
    total = np.einsum("b,nbc->nc", weights, logits)
    return weights * _fit_sum(total, y, importance, usual_sum)


def _fit_sum(
    total: Floats, y: NDArray[np.int64], importance: Floats, usual_sum: float | None
) -> float:
    """How much all branches together weigh, so that their sum is as sure as it may be.

    Of few pixels chance alone makes the most likely one too careful or too sure. Its logarithm is
    thought to be near what is usual, by Student's t, which gives way where pixels say otherwise.
    """
    spread = max(float(np.sqrt(np.average(total.var(axis=1), weights=importance))), 1e-9)
    usual = np.log(USUAL_SPREAD / spread if usual_sum is None else usual_sum)
    n_classes, n = total.shape[1], float(importance.sum())
    share = np.full(total.shape, OTHER_CLASS / (n + 1) / max(n_classes - 1, 1))
    share[np.arange(y.size), y] = 1 - OTHER_CLASS / (n + 1)
    weight = _balanced(y, importance)
    share *= (weight * n / weight.sum())[:, None]

    def unlikely(log_sum: float) -> float:
        far = (log_sum - usual) / SURENESS_VARIES
        log_probability = log_softmax(np.exp(log_sum) * total, axis=1)
        surprise = (FREEDOM + 1) / 2 * np.log1p(far**2 / FREEDOM)
        return float(surprise - (share * log_probability).sum())

    bounds = np.log(SUM_RANGE) - np.log(spread)
    return float(np.exp(minimize_scalar(unlikely, bounds=bounds, method="bounded").x))


def fit_weights(logits: Floats, y: NDArray[np.int64], importance: Floats, usual: Floats) -> Floats:
    """Positive weights of branches, whose sum has the lowest loss; classes weigh the same.

    Added to the loss is the squared distance of the weights (of logits with a standard deviation of
    1) from the nearest multiple of the usual ones, times `USUAL_PIXELS` over the number of pixels.

    Parameters
    ----------
    logits
        Of the branches, ``(n_pixels, n_branches, n_classes)``.
    y, importance
        Class of each pixel, and how much it counts.
    usual
        Usual weights of the branches.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.weights import fit_weights
    >>> codes, rng = np.repeat([0, 1], 5000), np.random.default_rng(0)
    >>> right = 3 * np.eye(2)[codes] + rng.normal(size=(10000, 2))
    >>> both = np.stack([right, rng.normal(size=(10000, 2))], axis=1)
    >>> weights = fit_weights(both, codes, np.ones(10000), np.ones(2))
    >>> bool(weights[0] > 2 * weights[1])
    True
    """
    penalty = USUAL_PIXELS / importance.sum()
    importance = _balanced(y, importance)
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
