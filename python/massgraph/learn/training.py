"""Training: class-balanced batches, a fixed validation set, the best weights kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from massgraph._util.progress import progress
from massgraph._util.threads import one_thread
from massgraph._util.warnings import outside
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.checkpoints import Checkpoint, TrainingState
from massgraph.learn.settings import Settings
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.discriminants import Discriminants
from massgraph.nn.rgcn import RGCN

__all__ = ["LabelledGraphs", "train"]

PLATEAU_PATIENCE = 5
SMALLEST_EPOCH = 256  # draws per epoch at least: few pixels need as many steps as many do
EVALUATION_PEAKS = 1 << 17  # peaks per batch where no gradients are kept


@dataclass(frozen=True, eq=False)
class LabelledGraphs:
    """Graphs of pixels in one or more versions, and their class codes.

    Parameters
    ----------
    graphs
        ``n_versions * n_pixels`` graphs; version v of pixel i is graph ``v * n_pixels + i``, and
        version 0 is the pixel as measured.
    y
        int64, shape ``(n_pixels,)``.
    """

    graphs: PeakGraphs
    y: NDArray[np.int64]

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`n` graphs with replacement: class, then pixel, then version, each uniform."""
        _, first, counts = np.unique(np.sort(self.y), return_index=True, return_counts=True)
        by_class = np.argsort(self.y, kind="stable")
        of_class = rng.integers(len(counts), size=n)
        place = (rng.random(n) * counts[of_class]).astype(np.int64)
        pixels = by_class[first[of_class] + place]
        version = rng.integers(len(self.graphs) // len(self.y), size=n)
        drawn: NDArray[np.int64] = version * len(self.y) + pixels
        return drawn


def batches(offsets: NDArray[np.int64], max_peaks: int = EVALUATION_PEAKS) -> Iterator[slice]:
    """Consecutive ranges of pixels with at most `max_peaks` peaks each (or one pixel)."""
    start, n = 0, len(offsets) - 1
    while start < n:
        stop = int(np.searchsorted(offsets, offsets[start] + max_peaks, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield slice(start, stop)
        start = stop


@one_thread()
def train(
    model: RGCN,
    training: LabelledGraphs,
    validation: LabelledGraphs,
    settings: Settings,
    *,
    device: torch.device,
    rng: np.random.Generator,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Train a model in place.

    Each epoch draws as many pixels as there are training pixels (256 at least), balanced over the
    classes. By default the loss on the fixed validation set (each class weighing the same) lowers
    the learning rate on a plateau, stops the training, and chooses the weights that are kept. With
    ``settings.as_published`` validation pixels are drawn anew each epoch, the rate falls by ten
    after five epochs without gain, and the last weights are kept, as in the published code.

    An epoch that does not fit into memory is repeated from its start with batches of half the size,
    which then stays; that happens once. With `checkpoint` the state after each epoch is written,
    and training goes on from the one that is there: it ends in the same weights.

    Returns
    -------
    pandas.DataFrame
        The learning curve, one row per epoch: `epoch`, `learning_rate`, `train_loss`,
        `valid_loss`, `train_balanced_accuracy`, `valid_balanced_accuracy`, `best`.

    Raises
    ------
    FloatingPointError
        Where the loss is not finite; the message names epoch, batch and learning rate.
    MemoryError
        Where half of the batch does not fit into memory either; the message names the sizes.
    """
    optimizer = _optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1 if settings.as_published else 0.3, patience=PLATEAU_PATIENCE
    )
    n_labelled = len(training.y) + len(validation.y)
    n_drawn = max(len(training.y), SMALLEST_EPOCH)
    if settings.as_published:
        n_drawn = int(0.8 * n_labelled)
    state = TrainingState.capture(model, optimizer, rng, settings.batch_size)
    earlier = checkpoint.read(model, optimizer, settings.epochs) if checkpoint else None
    if earlier is not None:
        state = earlier
        state.restore(model, optimizer, rng)
        for row in state.rows:  # the rate, and how long there was no gain, follow from the losses
            schedule.step(row["valid_loss"])
    remaining = range(len(state.rows) + 1, settings.epochs + 1)
    for epoch in progress(remaining, len(remaining), "training"):
        if _has_stopped(state.rows, settings):
            break
        rate = optimizer.param_groups[0]["lr"]
        fitted, size = _epoch_in_memory(
            model, training, n_drawn, settings, optimizer, device, rng, state
        )
        measured = _validate(model, validation, settings, device, rng, n_labelled)
        _check_finite(measured["valid_loss"], f"epoch {epoch}, on the held-out pixels,", rate)
        schedule.step(measured["valid_loss"])
        row = {"epoch": epoch, "learning_rate": rate, **fitted, **measured}
        row["best"] = measured["valid_loss"] < _best_loss(state.rows)
        state = state.after(row, model, optimizer, rng, size)
        if checkpoint is not None:
            checkpoint.write(state)
    if not settings.as_published:
        model.load_state_dict(state.best_weights)
    model.eval()
    return _learning_curve(state.rows, keep_last=settings.as_published)


def _optimizer(model: RGCN, settings: Settings) -> torch.optim.Optimizer:
    rate, eps = settings.learning_rate, settings.adam_eps
    if settings.as_published:
        return torch.optim.Adam(model.parameters(), lr=rate, eps=eps)
    decay = settings.weight_decay
    # Fused: the many small parameters in one call.
    return torch.optim.AdamW(model.parameters(), lr=rate, eps=eps, weight_decay=decay, fused=True)


def _last_best(rows: list[dict[str, Any]]) -> int:
    return max((row["epoch"] for row in rows if row["best"]), default=0)


def _best_loss(rows: list[dict[str, Any]]) -> float:
    return min((row["valid_loss"] for row in rows), default=np.inf)


def _has_stopped(rows: list[dict[str, Any]], settings: Settings) -> bool:
    """Whether there was no gain for as many epochs as are waited for."""
    return settings.patience is not None and len(rows) - _last_best(rows) >= settings.patience


def _learning_curve(rows: list[dict[str, Any]], *, keep_last: bool) -> pd.DataFrame:
    """Table of the epochs; `best` marks the one epoch whose weights were kept."""
    table = pd.DataFrame(rows)
    kept = len(rows) if keep_last else _last_best(rows)
    table["best"] = table["epoch"] == kept
    return table


def _epoch_in_memory(
    model: RGCN,
    training: LabelledGraphs,
    n_drawn: int,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    rng: np.random.Generator,
    state: TrainingState,
) -> tuple[dict[str, float], int]:
    """The epoch after `state`, and the size of its batches: half where they do not fit."""
    epoch, size = len(state.rows) + 1, state.batch_size
    while True:
        drawn = training.draw(n_drawn, rng)
        sized = replace(settings, batch_size=size)
        try:
            return _epoch(model, training, drawn, sized, optimizer, device, epoch), size
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            size = _half(size, settings, epoch, error)
        # Not before the handler has ended, which keeps the tensors of the failed batch alive.
        if device.type == "cuda":
            torch.cuda.empty_cache()
        state.restore(model, optimizer, rng)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has no type of its own for that of the CPU."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        "DefaultCPUAllocator" in str(error)
    )


def _half(size: int, settings: Settings, epoch: int, error: Exception) -> int:
    """Half of a size that failed, with a warning; MemoryError where it is a half already."""
    half = size // 2
    failed = f"memory ran out in epoch {epoch} with batches of {size} pixels"
    if size != settings.batch_size or half < (2 if settings.batch_norm else 1):
        before = "" if size == settings.batch_size else f", and with {settings.batch_size} before"
        msg = f"{failed}{before}: set max_peaks, a smaller batch_size or another device"
        raise MemoryError(msg) from error
    msg = f"{failed}: the epoch is repeated, and training goes on, with batch_size {half}"
    warnings.warn(msg, UserWarning, stacklevel=outside())
    return half


def _epoch(
    model: RGCN,
    training: LabelledGraphs,
    drawn: NDArray[np.int64],
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    epoch: int,
) -> dict[str, float]:
    """One pass over the drawn graphs; loss and balanced accuracy as seen while training."""
    model.train()
    total, predicted = 0.0, []
    y = training.y[drawn % len(training.y)]
    for number, rows in enumerate(_minibatches(len(drawn), settings), start=1):
        loss, logits = model.loss(model.take(training.graphs, drawn[rows], device), y[rows])
        rate = optimizer.param_groups[0]["lr"]
        _check_finite(loss.item(), f"epoch {epoch}, batch {number},", rate)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * logits.shape[0]
        predicted.append(logits.detach().argmax(dim=1).cpu().numpy())
    accuracy = _balanced_accuracy(y, np.concatenate(predicted))
    return {"train_loss": total / len(drawn), "train_balanced_accuracy": accuracy}


def _check_finite(loss: float, where: str, rate: float) -> None:
    if not np.isfinite(loss):
        msg = f"the loss is {loss} in {where} at learning rate {rate:g}: try a lower learning_rate"
        raise FloatingPointError(msg)


def _minibatches(n: int, settings: Settings) -> list[slice]:
    """Ranges of `batch_size`; a last one of a single pixel, which BatchNorm cannot take, joins."""
    starts = list(range(0, n, settings.batch_size))
    if settings.batch_norm and len(starts) > 1 and n - starts[-1] == 1:
        del starts[-1]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]


def _validate(
    model: RGCN,
    validation: LabelledGraphs,
    settings: Settings,
    device: torch.device,
    rng: np.random.Generator,
    n_labelled: int,
) -> dict[str, float]:
    """Loss and accuracy on the held-out pixels, each class weighing the same."""
    if settings.as_published:
        # int(n * (1 - 0.8)) of all labelled pixels: 19 of 100, as the published code has it.
        rows = validation.draw(max(int(n_labelled * (1 - 0.8)), 1), rng)
        weight = np.ones(validation.y.max() + 1)
    else:
        rows = np.arange(len(validation.y))
        weight = 1.0 / np.maximum(np.bincount(validation.y), 1)
    y = validation.y[rows]
    logits = torch.from_numpy(model_output(model, validation.graphs, rows, device, model.forward))
    losses = cross_entropy(logits, torch.from_numpy(y), reduction="none").numpy()
    return {
        "valid_loss": float(np.average(losses, weights=weight[y])),
        "valid_balanced_accuracy": _balanced_accuracy(y, logits.argmax(dim=1).numpy()),
    }


@one_thread()
def model_output(
    model: RGCN | Discriminants | BranchModel,
    graphs: PeakGraphs,
    rows: NDArray[np.int64],
    device: torch.device,
    compute: Any,
    most: int = EVALUATION_PEAKS,
) -> NDArray[Any]:
    """``compute(batch)`` in evaluation mode over batches of at most so many peaks, joined.

    Where memory runs out the batches are halved, once and with a warning; then MemoryError.
    """
    model.eval()
    offsets = np.concatenate(([0], np.cumsum(np.diff(graphs.offsets)[rows])))
    try:
        with torch.inference_mode():
            parts = [
                compute(model.take(graphs, rows[part], device)).cpu().numpy()
                for part in batches(offsets, most)
            ]
        joined: NDArray[Any] = np.concatenate(parts)
        return joined
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        failed = f"memory ran out with batches of {most} peaks"
        if most < EVALUATION_PEAKS:
            msg = f"{failed}, and with {EVALUATION_PEAKS} before: set max_peaks or another device"
            raise MemoryError(msg) from error
        warnings.warn(f"{failed}: half of that is tried", UserWarning, stacklevel=outside())
    return model_output(model, graphs, rows, device, compute, most // 2)


def _balanced_accuracy(y: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Mean recall over the classes present."""
    hits, counts = np.bincount(y, weights=predicted == y), np.bincount(y)
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))
