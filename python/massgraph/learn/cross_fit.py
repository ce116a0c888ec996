"""Fitting the branches of a model: cross-fitted nets, discriminants, and the weights of their sum.

Every branch is fitted once per fold without the fold's pixels; what it says of them decides how
much it weighs, and how sure the sum may be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from massgraph.graph.batch import PeakGraphs
from massgraph.learn.checkpoints import Checkpoint, Checkpoints
from massgraph.learn.discriminants import fit_discriminants
from massgraph.learn.settings import Settings
from massgraph.learn.training import LabelledGraphs, model_output, train
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.discriminants import DISCRIMINANTS, Discriminants
from massgraph.nn.rgcn import RGCN

__all__ = ["Versions", "cross_fit"]

Floats = NDArray[np.float64]

WEIGHT_RANGE = (1e-3, 5.0)  # of logits with a standard deviation of 1: no more than nearly sure
# What few pixels cannot tell: weights relative to each other, of logits with a deviation of 1.
USUAL_WEIGHTS = {"axis": 1.0, "family": 1.0, "relational": 0.35, "peak": 0.1}
USUAL_PIXELS = 50.0  # how many labelled pixels they count as much as


@dataclass(frozen=True, eq=False)
class Versions:
    """Encoded training pixels, as measured and then degraded, with their classes.

    Parameters
    ----------
    graphs
        Version v of pixel i is graph ``v * n_pixels + i``; version 0 is the pixel as measured, then
        come the copies that parts are trained on, then those that only weigh the branches.
    fault
        What befell the graphs that parts are trained on (see `degraded_copy`),
        ``(n_training_versions * n_pixels,)``.
    y
        Class codes, shape ``(n_pixels,)``.
    """

    graphs: PeakGraphs
    fault: NDArray[np.int64]
    y: NDArray[np.int64]

    def of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """All versions of these pixels to train on, as numbers of graphs."""
        n = len(self.y)
        return (np.arange(len(self.fault) // n)[:, None] * n + pixels).ravel()

    @property
    def weighing(self) -> NDArray[np.int64]:
        """First graph of the pixels as measured, and of each copy that weighs the branches."""
        return np.append(0, np.arange(len(self.fault), len(self.graphs), len(self.y)))


@dataclass(frozen=True, eq=False)
class _Fold(LabelledGraphs):
    """Graphs of which only some versions of some pixels are drawn."""

    pixels: NDArray[np.int64]
    n_versions: int

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`n` graphs with replacement: class, then pixel, then version, each uniform."""
        order = self.pixels[np.argsort(self.y[self.pixels], kind="stable")]
        _, first, counts = np.unique(self.y[order], return_index=True, return_counts=True)
        of_class = rng.integers(len(counts), size=n)
        pixel = order[first[of_class] + (rng.random(n) * counts[of_class]).astype(np.int64)]
        version = rng.integers(self.n_versions, size=n)
        return np.asarray(version * len(self.y) + pixel, dtype=np.int64)


def cross_fit(
    versions: Versions,
    fold: NDArray[np.int64],
    settings: Settings,
    new_part: Callable[[str, int], Any],
    *,
    device: torch.device,
    seeds: list[np.random.SeedSequence],
    checkpoints: Checkpoints | None = None,
) -> tuple[BranchModel, pd.DataFrame, pd.DataFrame]:
    """Fit all branches on all folds, and the weights of their sum.

    Parameters
    ----------
    versions
        The labelled pixels.
    fold
        Fold of each pixel, -1 where never held out.
    settings
        Which branches, and how nets are trained.
    new_part
        Makes an untrained part from the name of a branch and a seed.
    device
        Where nets are trained.
    seeds
        One for each branch of each fold: ``len(settings.branches) * n_folds``.
    checkpoints
        Where the state of each net is kept.

    Returns
    -------
    model
        In evaluation mode.
    history
        Learning curve, the mean over the nets still in training at an epoch; empty without nets.
    contributions
        One row per branch and one for all: see `RGCNClassifier.contributions_`.
    """
    n_folds, n_classes = int(fold.max()) + 1, int(versions.y.max()) + 1
    first = versions.weighing
    held_out = np.full((len(first), len(settings.branches), len(fold), n_classes), np.nan)
    parts: dict[str, list[Any]] = {}
    histories: list[pd.DataFrame] = []
    for number, name in enumerate(settings.branches):
        fitted = []
        for k in range(n_folds):
            seed = seeds[number * n_folds + k]
            part = new_part(name, int(seed.generate_state(1)[0]))
            where = torch.device("cpu") if isinstance(part, Discriminants) else device
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if isinstance(part, Discriminants):
                fit_discriminants(part, versions, inside, np.random.default_rng(seed))
            else:
                rng = np.random.default_rng(seed)
                part.to(device)
                checkpoint = checkpoints.net(len(histories) + 1) if checkpoints else None
                pixels = inside, outside
                histories.append(_train(part, versions, pixels, settings, device, rng, checkpoint))
            for version, start in enumerate(first):
                rows = start + outside
                found = model_output(part, versions.graphs, rows, where, part.forward)
                held_out[version, number, outside] = found
            fitted.append(part)
        if name in DISCRIMINANTS:  # in closed form: one of all pixels in place of one per fold
            rng = np.random.default_rng(seeds[number * n_folds])
            fit_discriminants(fitted[0], versions, np.arange(len(fold)), rng)
            fitted = fitted[:1]
        parts[name] = fitted
    model = BranchModel(parts).to(device).eval()
    weights, table = _weigh(held_out, versions.y, settings.branches)
    model.weights.copy_(torch.from_numpy(weights))
    return model, _mean_history(histories), table


def _train(
    net: RGCN,
    versions: Versions,
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: Settings,
    device: torch.device,
    rng: np.random.Generator,
    checkpoint: Checkpoint | None,
) -> pd.DataFrame:
    """Train a net on some pixels, stopped by others."""
    inside, outside = pixels
    n_versions = len(versions.fault) // len(versions.y)
    training = _Fold(versions.graphs, versions.y, inside, n_versions)
    validation = LabelledGraphs(versions.graphs[outside], versions.y[outside])
    return train(net, training, validation, settings, device=device, rng=rng, checkpoint=checkpoint)


def _mean_history(histories: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of the nets at each epoch; none is the best, as each net kept an epoch of its own."""
    if not histories:
        return pd.DataFrame()
    joined = pd.concat(histories).drop(columns="best")
    return joined.groupby("epoch", as_index=False).mean().assign(best=False)


# -------------------------------------------------------------------- weights of the sum


def _weigh(
    held_out: Floats, y: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[Floats, pd.DataFrame]:
    """Weights with the lowest held-out loss, and the table of what each branch contributes.

    `held_out` holds logits of pixels as measured and of degraded copies, NaN for pixels that were
    never held out, shape ``(n_versions, n_branches, n_pixels, n_classes)``.
    """
    known = np.isfinite(held_out).all(axis=(0, 1, 3))
    versions, truth = np.swapaxes(held_out[:, :, known], 1, 2), y[known]
    logits = versions[0]
    # A branch may earn its weight on degraded spectra; how sure the sum is, the measured ones say.
    both = np.concatenate(versions), np.tile(truth, len(versions))
    usual = np.array([USUAL_WEIGHTS[name] for name in names])
    weights = _fit_weights(*both, usual, USUAL_PIXELS / truth.size)
    total = np.einsum("b,nbc->nc", weights, logits)
    weights = weights * _fit_weights(total[:, None, :], truth, np.ones(1), 0.0)
    total = np.einsum("b,nbc->nc", weights, logits)
    table = [
        {
            "branch": name,
            "weight": weights[index],
            "share": _share(weights[index] * logits[:, index], total),
            "balanced_accuracy_alone": _accuracy(logits[:, index], truth),
            "balanced_accuracy_without": _score_without(both, logits, truth, usual, index),
        }
        for index, name in enumerate(names)
    ]
    score = _accuracy(total, truth)
    table.append(
        {
            "branch": "all",
            "weight": np.nan,
            "share": 1.0,
            "balanced_accuracy_alone": score,
            "balanced_accuracy_without": np.nan,
        }
    )
    return weights, pd.DataFrame(table)


def _fit_weights(logits: Floats, y: NDArray[np.int64], usual: Floats, penalty: float) -> Floats:
    """Positive weights of ``(n_pixels, n_branches, n_classes)`` logits; classes weigh the same.

    The loss is that of the sum, and `penalty` times the squared distance of the weights (of logits
    with a deviation of 1) from the nearest multiple of the `usual` ones.
    """
    importance = 1.0 / np.bincount(y)[y]
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


def _accuracy(logits: Floats, y: NDArray[np.int64]) -> float:
    hits = np.bincount(y, weights=np.argmax(logits, axis=1) == y)
    counts = np.bincount(y)
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))


def _share(part: Floats, total: Floats) -> float:
    """Part of the variance of the sum (over pixels, less the mean of all classes) that is this."""
    part = part - part.mean(axis=1, keepdims=True)
    total = total - total.mean(axis=1, keepdims=True)
    part, total = part - part.mean(axis=0), total - total.mean(axis=0)
    return float((part * total).sum() / max(float((total**2).sum()), 1e-300))


def _score_without(
    both: tuple[Floats, NDArray[np.int64]],
    logits: Floats,
    y: NDArray[np.int64],
    usual: Floats,
    index: int,
) -> float:
    """Accuracy of the sum without a branch, the others weighed anew."""
    if logits.shape[1] == 1:
        return float("nan")
    rest = np.delete(both[0], index, axis=1)
    weights = _fit_weights(rest, both[1], np.delete(usual, index), USUAL_PIXELS / y.size)
    return _accuracy(np.einsum("b,nbc->nc", weights, np.delete(logits, index, axis=1)), y)
