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
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from massgraph.checkpoints import Checkpoint, Checkpoints
from massgraph.discriminant import shrunken_discriminant
from massgraph.messages import rows_of
from massgraph.nn.batch import PeakBatch, PeakGraphs
from massgraph.nn.branches import N_FAULTS, N_STRENGTHS, AxisBranch, BranchModel, addresses
from massgraph.nn.model import RGCN
from massgraph.settings import Settings
from massgraph.training import LabelledGraphs, batches, model_output, train

__all__ = ["Versions", "cross_fit", "fit_axis"]

Floats = NDArray[np.float64]

MOST_ROWS = 6000  # pixels that a discriminant is learnt from: bounds its memory
NEVER = -1e3  # log weight of a discriminant that there was nothing to learn for
WEIGHT_RANGE = (1e-3, 5.0)  # of logits with a standard deviation of 1: no more than nearly sure
SHARE_PART = 2 / 3  # of the discriminant on shares, where no peaks are missing
CLEAN_PART = 0.3  # of the discriminant for spectra as measured, in those for lost peaks


@dataclass(frozen=True, eq=False)
class Versions:
    """Encoded training pixels, as measured and then degraded, with their classes.

    Parameters
    ----------
    graphs
        Version v of pixel i is graph ``v * n_pixels + i``; version 0 is the pixel as measured, then
        come the copies that parts are trained on, then those that only weigh the branches.
    fault
        What befell the graphs that parts are trained on (see `massgraph.encode.degraded_copy`),
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
            where = torch.device("cpu") if isinstance(part, AxisBranch) else device
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if isinstance(part, AxisBranch):
                fit_axis(part, versions, inside, np.random.default_rng(seed))
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
        if name == "axis":  # in closed form: one of all pixels in place of one per fold
            fit_axis(fitted[0], versions, np.arange(len(fold)), np.random.default_rng(seeds[0]))
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
    """Mean of the nets at each epoch; the best is the lowest mean validation loss."""
    if not histories:
        return pd.DataFrame()
    joined = pd.concat(histories).drop(columns="best")
    mean = joined.groupby("epoch", as_index=False).mean()
    mean["best"] = np.arange(len(mean)) == int(np.argmin(mean["valid_loss"]))
    return mean


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
    weights = _fit_weights(*both)
    total = np.einsum("b,nbc->nc", weights, logits)
    weights = weights * _fit_weights(total[:, None, :], truth)
    total = np.einsum("b,nbc->nc", weights, logits)
    table = [
        {
            "branch": name,
            "weight": weights[index],
            "share": _share(weights[index] * logits[:, index], total),
            "balanced_accuracy_alone": _accuracy(logits[:, index], truth),
            "balanced_accuracy_without": _score_without(both, logits, truth, index),
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


def _fit_weights(logits: Floats, y: NDArray[np.int64]) -> Floats:
    """Positive weights of ``(n_pixels, n_branches, n_classes)`` logits; classes weigh the same."""
    importance = 1.0 / np.bincount(y)[y]
    importance /= importance.sum()
    spread = (logits - logits.mean(axis=2, keepdims=True)).std(axis=(0, 2))
    scaled = logits / np.maximum(spread, 1e-9)[:, None]  # one range of weights fits all branches

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_probability = log_softmax(np.einsum("b,nbc->nc", weights, scaled), axis=1)
        error = np.exp(log_probability)
        error[np.arange(y.size), y] -= 1.0
        slope = np.einsum("n,nc,nbc->b", importance, error, scaled)
        return -float(importance @ log_probability[np.arange(y.size), y]), slope

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
    both: tuple[Floats, NDArray[np.int64]], logits: Floats, y: NDArray[np.int64], index: int
) -> float:
    """Accuracy of the sum without a branch, the others weighed anew."""
    if logits.shape[1] == 1:
        return float("nan")
    weights = _fit_weights(np.delete(both[0], index, axis=1), both[1])
    return _accuracy(np.einsum("b,nbc->nc", weights, np.delete(logits, index, axis=1)), y)


# -------------------------------------------------------------------- the axis branch


def fit_axis(
    branch: AxisBranch, versions: Versions, pixels: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Fit the discriminants and their gate to some of the pixels, in place and closed form."""
    measured = versions.graphs.batch(pixels, edges="none")
    _set_expectations(branch, measured)
    rows = versions.of(pixels)
    fault, y = versions.fault[rows], np.tile(versions.y[pixels], len(rows) // len(pixels))
    fault[len(pixels) :][fault[len(pixels) :] == 0] = -1  # copies with no peaks lost add nothing
    features, complete = _axis_features(branch, versions.graphs, rows)
    _fit_gate(branch, complete, fault)
    n_ions, n_classes = len(branch.usual), branch.bias.shape[1]
    clean: tuple[Floats, Floats] | None = None
    for code in range(N_FAULTS):
        chosen = np.flatnonzero(fault == code)
        if chosen.size == 0:
            continue
        if chosen.size > MOST_ROWS:
            chosen = rng.choice(chosen, MOST_ROWS, replace=False)
        weight, bias = _discriminant(features[chosen], y[chosen], n_classes, joint=code > 0)
        if clean is None:
            clean = weight, bias
        weight = CLEAN_PART * clean[0] + (1 - CLEAN_PART) * weight
        bias = CLEAN_PART * clean[1] + (1 - CLEAN_PART) * bias
        columns = slice(code * n_classes, (code + 1) * n_classes)
        branch.share_weight[:, columns] = torch.from_numpy(weight[:n_ions])
        branch.deviation_weight[:, columns] = torch.from_numpy(weight[n_ions:])
        branch.bias[code] = torch.from_numpy(bias)


def _discriminant(
    features: sp.csr_matrix, y: NDArray[np.int64], n_classes: int, *, joint: bool
) -> tuple[Floats, Floats]:
    """One discriminant on shares and deviations, or the weighted mean of one on each.

    Where peaks are missing the two correct each other; where none are, two of half as many
    features are the steadier.
    """
    if joint:
        return shrunken_discriminant(features, y, n_classes)
    n_ions = features.shape[1] // 2
    share = shrunken_discriminant(features[:, :n_ions], y, n_classes)
    deviation = shrunken_discriminant(features[:, n_ions:], y, n_classes)
    rest = 1 - SHARE_PART
    weight = np.concatenate([SHARE_PART * share[0], rest * deviation[0]])
    return weight, SHARE_PART * share[1] + rest * deviation[1]


def _set_expectations(branch: AxisBranch, measured: PeakBatch) -> None:
    """What is usual in spectra as measured: amounts, and how many peaks of each strength."""
    amount, ion, weight = (part.double().numpy() for part in addresses(measured))
    ion = ion.astype(np.int64)
    n_ions = len(branch.usual)
    presence = np.bincount(ion, weights=weight, minlength=n_ions)
    total_amount = np.bincount(ion, weights=weight * amount, minlength=n_ions)
    usual = total_amount / np.maximum(presence, 1e-12)
    edges = np.quantile(usual, np.linspace(0, 1, N_STRENGTHS + 1)[1:-1])
    group = np.searchsorted(edges, usual, side="right")
    total = np.bincount(group, weights=presence, minlength=N_STRENGTHS) / measured.n_pixels
    expected = np.zeros((n_ions, N_STRENGTHS))
    expected[np.arange(n_ions), group] = 1.0 / np.maximum(total[group], 1e-9)
    branch.usual.copy_(torch.from_numpy(usual))
    branch.expected.copy_(torch.from_numpy(expected))


def _axis_features(
    branch: AxisBranch, graphs: PeakGraphs, rows: NDArray[np.int64]
) -> tuple[sp.csr_matrix, Floats]:
    """Shares and deviations side by side, ``(n_rows, 2 n_ions)``, and completeness."""
    n_ions = len(branch.usual)
    features, completeness = [], []
    _, offsets = rows_of(graphs.offsets, rows)
    for block in batches(offsets):
        batch = graphs.batch(rows[block], edges="none")
        share, deviation, complete = branch.parts(batch)
        place = (batch.pixel.numpy(), addresses(batch)[1].numpy())
        parts = [
            sp.csr_matrix((values.numpy(), place), shape=(batch.n_pixels, n_ions))
            for values in (share, deviation)
        ]
        features.append(sp.hstack(parts, format="csr"))
        completeness.append(complete.numpy())
    return sp.vstack(features, format="csr"), np.concatenate(completeness)


def _fit_gate(branch: AxisBranch, complete: Floats, fault: NDArray[np.int64]) -> None:
    """Multinomial regression of the fault on the completeness."""
    from sklearn.linear_model import LogisticRegression

    branch.gate_weight.zero_()
    branch.gate_bias.fill_(NEVER)
    branch.gate_bias[0] = 0.0
    known = fault >= 0
    codes = np.unique(fault[known])
    if codes.size < 2:
        return
    gate = LogisticRegression(C=10.0, max_iter=500, class_weight="balanced")
    gate.fit(complete[known], fault[known])
    weight, bias = gate.coef_, gate.intercept_
    if codes.size == 2:  # scikit-learn gives the second against the first
        weight, bias = np.concatenate([0 * weight, weight]), np.append(0.0, bias)
    branch.gate_weight[:, codes] = torch.from_numpy(weight.T)
    branch.gate_bias[codes] = torch.from_numpy(np.asarray(bias, dtype=np.float64))
