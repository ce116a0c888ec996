"""The state of training after an epoch: everything that the next epoch depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

__all__ = ["MOMENTS", "Tensors", "TrainingState"]

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam and AdamW keep of each parameter

Tensors: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Everything that the next epoch depends on; a copy, which training leaves alone.

    Parameters
    ----------
    weights, best_weights
        State of the model now, and after the best epoch.
    optimizer
        Moments of Adam, ``"{parameter}.{name}"`` with the parameter's number; empty before the
        first step.
    rows
        The learning curve. The learning rate and its schedule follow from its losses.
    rng
        State of the generator that draws the pixels.
    batch_size
        Pixels per batch: that of the settings, or half of it after memory ran out.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.learn.training_state import TrainingState
    >>> net, rng = torch.nn.Linear(2, 1), np.random.default_rng(0)
    >>> optimizer = torch.optim.AdamW(net.parameters())
    >>> state = TrainingState.capture(net, optimizer, rng, batch_size=64)
    >>> first = rng.random()
    >>> state.restore(net, optimizer, rng)
    >>> rng.random() == first
    True
    """

    weights: Tensors
    best_weights: Tensors
    optimizer: Tensors
    rows: list[dict[str, Any]]
    rng: Mapping[str, Any]
    batch_size: int

    @classmethod
    def capture(
        cls,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        batch_size: int,
    ) -> TrainingState:
        """The state before the first epoch."""
        weights = _copies(model.state_dict())
        moments = _moments(optimizer)
        return cls(weights, weights, moments, [], rng.bit_generator.state, batch_size)

    def after(
        self,
        row: dict[str, Any],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        batch_size: int,
    ) -> TrainingState:
        """The state after one more epoch, whose row of the learning curve is `row`."""
        now = self.capture(model, optimizer, rng, batch_size)
        best = now.weights if row["best"] else self.best_weights
        return replace(now, best_weights=best, rows=[*self.rows, row])

    def restore(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
    ) -> None:
        """Put model, optimizer and generator back into this state."""
        model.load_state_dict(self.weights)
        state: dict[int, Tensors] = {}
        for name, value in self.optimizer.items():
            number, moment = name.split(".")
            # A copy: the optimizer keeps what it is given, and writes into it.
            state.setdefault(int(number), {})[moment] = value.clone()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        rng.bit_generator.state = self.rng


def _copies(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    # Without copy=True tensors of the CPU would be the very ones that the next step writes into;
    # safetensors, which checkpoints are written with, takes contiguous ones alone.
    return {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }


def _moments(optimizer: torch.optim.Optimizer) -> Tensors:
    state = optimizer.state_dict()["state"]
    flat = {f"{number}.{name}": one[name] for number, one in state.items() for name in MOMENTS}
    return _copies(flat)
