"""The training loop: epochs of drawn batches, stopped by a score, the best weights kept.

It knows nets, gradients and checkpoints; what to learn is up to the objective
(`massgraph.learn.objectives`).
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph._util.progress import progress
from massgraph._util.threads import one_thread
from massgraph._util.warnings import outside
from massgraph.learn.checkpoints import Checkpoint
from massgraph.learn.inference import is_out_of_memory, model_output
from massgraph.learn.objectives import Objective
from massgraph.learn.settings import Settings
from massgraph.learn.training_state import TrainingState

__all__ = ["train"]

PLATEAU_PATIENCE = 5  # epochs without gain before the rate falls, as in the published code


@one_thread()
def train(
    net: Any,
    objective: Objective,
    settings: Settings,
    *,
    device: torch.device,
    rng: np.random.Generator,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Train a net in place.

    Each epoch draws ``objective.epoch_size`` samples. By default ``valid_loss`` lowers the learning
    rate on a plateau, stops the training, and chooses the weights to keep. With
    ``settings.as_published`` the rate falls by ten after five epochs without gain, and the last
    weights are kept, as in the published code.

    An epoch that does not fit into memory is repeated from its start with batches of half the size,
    once; training goes on with these. `checkpoint` holds the state after each epoch: training goes
    on from one that is there, and ends in the same weights.

    Parameters
    ----------
    net
        An untrained torch module with ``take`` and all that the objective needs.
    objective
        What it is trained towards.
    settings
        Of the optimiser, batches and epochs.
    device, rng
        Where it is trained, and the generator that draws.
    checkpoint
        Where the state of the training is kept.

    Returns
    -------
    pandas.DataFrame
        The learning curve, one row per epoch: `epoch`, `learning_rate`, `train_loss`,
        the objective's `train_columns`, `valid_loss`, its `valid_columns`, `best`.

    Raises
    ------
    FloatingPointError
        Where the loss is not finite; the message names epoch, batch and learning rate.
    MemoryError
        Where half of the batch does not fit into memory either; the message names the sizes.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.objectives import CrossEntropy, Samples
    >>> from massgraph.learn.parts import new_part
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.targets import Targets
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> targets = Targets.of_codes(np.unique(simulation.truth, return_inverse=True)[1])
    >>> settings = resolve_settings("default", "positive", {"epochs": 2})
    >>> graphs = PeakEncoder.learn(simulation.spectra, settings).encode(simulation.spectra)
    >>> even, odd = (targets.of(np.arange(start, targets.n_pixels, 2)) for start in (0, 1))
    >>> objective = CrossEntropy(Samples(graphs, targets, even), Samples(graphs, targets, odd))
    >>> net = new_part("relational", PartShape.of(settings, 4, None, "auto"), seed=0)
    >>> rng = np.random.default_rng(0)
    >>> curve = train(net, objective, settings, device=torch.device("cpu"), rng=rng)
    >>> curve["epoch"].tolist()
    [1, 2]
    """
    optimizer = _optimizer(net, settings)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1 if settings.as_published else 0.3, patience=PLATEAU_PATIENCE
    )
    state = TrainingState.capture(net, optimizer, rng, settings.batch_size)
    if checkpoint is not None:
        columns = objective.train_columns, objective.valid_columns
        earlier = checkpoint.read(net, optimizer, settings.epochs, columns)
        state = state if earlier is None else earlier
        state.restore(net, optimizer, rng)
        for row in state.rows:  # learning rate and patience of the schedule follow from the losses
            schedule.step(row["valid_loss"])
    remaining = range(len(state.rows) + 1, settings.epochs + 1)
    for epoch in progress(remaining, len(remaining), "training"):
        if _has_stopped(state.rows, settings):
            break
        rate = optimizer.param_groups[0]["lr"]
        fitted, size = _epoch_in_memory(net, objective, settings, optimizer, device, rng, state)
        measured = _validate(net, objective, device, rng)
        # Before anything is written: the checkpoint keeps the last epoch that was finite.
        _check_finite(measured["valid_loss"], f"epoch {epoch}, on the held-out pixels,", rate)
        schedule.step(measured["valid_loss"])
        row = {"epoch": epoch, "learning_rate": rate, **fitted, **measured}
        row["best"] = measured["valid_loss"] < _best_loss(state.rows)
        state = state.after(row, net, optimizer, rng, size)
        if checkpoint is not None:
            checkpoint.write(state)
    if not settings.as_published:
        net.load_state_dict(state.best_weights)
    _release(net)
    net.eval()
    return _learning_curve(state.rows, keep_last=settings.as_published)


def _optimizer(net: Any, settings: Settings) -> torch.optim.Optimizer:
    rate, eps = settings.learning_rate, settings.adam_eps
    if settings.as_published:
        return torch.optim.Adam(net.parameters(), lr=rate, eps=eps)
    decay = settings.weight_decay
    # Fused: the many small parameters in one call.
    return torch.optim.AdamW(net.parameters(), lr=rate, eps=eps, weight_decay=decay, fused=True)


def _release(net: Any) -> None:
    """Free the memory that a net keeps for its next step: it may be larger than the weights."""
    if hasattr(net, "release"):
        net.release()


# -------------------------------------------------------------------- stopping


def _last_best(rows: list[dict[str, Any]]) -> int:
    return max((row["epoch"] for row in rows if row["best"]), default=0)


def _best_loss(rows: list[dict[str, Any]]) -> float:
    return min((row["valid_loss"] for row in rows), default=np.inf)


def _has_stopped(rows: list[dict[str, Any]], settings: Settings) -> bool:
    """Whether the last `patience` epochs brought no gain."""
    return settings.patience is not None and len(rows) - _last_best(rows) >= settings.patience


def _learning_curve(rows: list[dict[str, Any]], *, keep_last: bool) -> pd.DataFrame:
    """Table of the epochs; `best` marks the one epoch whose weights were kept."""
    table = pd.DataFrame(rows)
    kept = len(rows) if keep_last else _last_best(rows)
    table["best"] = table["epoch"] == kept
    return table


# -------------------------------------------------------------------- one epoch


def _epoch_in_memory(
    net: Any,
    objective: Objective,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    rng: np.random.Generator,
    state: TrainingState,
) -> tuple[dict[str, float], int]:
    """The epoch after `state`, and the size of its batches: half where they do not fit."""
    epoch, size = len(state.rows) + 1, state.batch_size
    while True:
        # Drawn in here: a repeated epoch draws the same again, from the generator put back.
        drawn = objective.draw(objective.epoch_size, rng)
        sized = replace(settings, batch_size=size)
        try:
            return _epoch(net, objective, drawn, sized, optimizer, device, epoch), size
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            size = _half(size, settings, epoch, error)
        # After the handler, which keeps the tensors of the failed batch alive until it ends.
        if device.type == "cuda":
            torch.cuda.empty_cache()
        state.restore(net, optimizer, rng)


def _half(size: int, settings: Settings, epoch: int, error: Exception) -> int:
    """Halve a size that failed, with a warning; MemoryError where it is a half already."""
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
    net: Any,
    objective: Objective,
    drawn: NDArray[np.int64],
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    epoch: int,
) -> dict[str, float]:
    """Pass once over the samples drawn; return loss and scores as seen while training."""
    net.train()
    total, seen = 0.0, []
    for number, rows in enumerate(_minibatches(len(drawn), settings), start=1):
        loss, outputs = objective.loss(net, drawn[rows], device)
        rate = optimizer.param_groups[0]["lr"]
        # Before the step, which would carry it into all weights and leave no batch to name.
        _check_finite(loss.item(), f"epoch {epoch}, batch {number},", rate)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(drawn[rows])  # the last batch may be smaller than the others
        seen.append(outputs.detach().cpu().numpy())
    scores = objective.train_scores(drawn, np.concatenate(seen))
    return {"train_loss": total / len(drawn), **_numbers(scores, objective.train_columns)}


def _numbers(found: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Scores as Python's own numbers, which a checkpoint can hold, in the order of `names`."""
    if set(found) != set(names):
        msg = f"the objective measured {sorted(found)}, but says that it measures {sorted(names)}"
        raise ValueError(msg)
    return {name: float(found[name]) for name in names}


def _check_finite(loss: float, where: str, rate: float) -> None:
    if not np.isfinite(loss):
        msg = f"the loss is {loss} in {where} at learning rate {rate:g}: try a lower learning_rate"
        raise FloatingPointError(msg)


def _minibatches(n: int, settings: Settings) -> list[slice]:
    """Ranges of `batch_size`; a single pixel at the end, too few for BatchNorm, joins the last."""
    starts = list(range(0, n, settings.batch_size))
    if settings.batch_norm and len(starts) > 1 and n - starts[-1] == 1:
        del starts[-1]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]


def _validate(
    net: Any, objective: Objective, device: torch.device, rng: np.random.Generator
) -> dict[str, float]:
    """What the objective measures on what is held out."""
    found = objective.validate(
        lambda graphs, rows: model_output(net, graphs, rows, device, net.forward), rng
    )
    return _numbers(found, ("valid_loss", *objective.valid_columns))
