"""Checkpoints: files that training can go on from after any epoch; nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.files import atomic_file
from massgraph._util.text import one_line
from massgraph._util.warnings import outside
from massgraph._version import __version__
from massgraph.data.spectra import Spectra
from massgraph.learn.settings import Settings
from massgraph.learn.training_state import MOMENTS, Tensors, TrainingState

__all__ = [
    "HISTORY",
    "Checkpoint",
    "CheckpointError",
    "Checkpoints",
    "checkpoints_of",
    "fit_identity",
    "open_checkpoints",
]

SCHEMA_VERSION = 1
LARGEST = 2**31  # bytes: a checkpoint has some kilobytes, and what claims more is not read
NAME = re.compile(r"net-\d+\.safetensors")
LEFTOVER = re.compile(r"\.net-\d+\.[0-9a-f]{16}\.safetensors")  # of a writer that was killed
KEYS = frozenset({"schema_version", "identity", "history", "rng", "batch_size", "sha256"})
# Columns of every learning curve, and the type of their values; an objective adds numbers.
HISTORY = {
    "epoch": int,
    "learning_rate": float,
    "train_loss": float,
    "valid_loss": float,
    "best": bool,
}


class CheckpointError(InputError):
    """A checkpoint that cannot be resumed; the message says which, why, and what to do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.learn.checkpoints import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "net-1.safetensors"
    ...     _ = path.write_text("no checkpoint")
    ...     Checkpoint(path, {"random_state": 0}).check()
    Traceback (most recent call last):
    ...
    massgraph.learn.checkpoints.CheckpointError: ...net-1.safetensors is damaged (...
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


# -------------------------------------------------------------------- identity


def fit_identity(
    spectra: Spectra,
    classes: NDArray[Any],
    codes: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    settings: Settings,
    **others: Any,
) -> dict[str, Any]:
    """Collect what the end of a fit depends on, by name, as values that JSON can hold.

    Parameters
    ----------
    spectra
        As given to the fit.
    classes, codes
        Class labels, and the class of each pixel (-1: none).
    groups
        Codes of the groups of the labelled pixels, if any were given.
    settings
        The resolved settings; each enters under its own name.
    **others
        Seed, backend and device.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.checkpoints import fit_identity
    >>> from massgraph.learn.settings import resolve_settings
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> classes, codes = np.unique(simulation.truth, return_inverse=True)
    >>> settings = resolve_settings("default", "positive", {})
    >>> options = {"random_state": 0, "device": "cpu"}
    >>> identity = fit_identity(simulation.spectra, classes, codes, None, settings, **options)
    >>> identity["data"] == simulation.spectra.fingerprint(), identity["epochs"]
    (True, 24)
    """
    places = spectra.coordinates
    return {
        "data": spectra.fingerprint(),
        "coordinates": None if places is None else _digest(places),
        "runs": _digest(spectra.run.astype(str)),
        "labels": _digest(codes, json.dumps(classes.tolist())),
        "groups": None if groups is None else _digest(groups),
        **{
            field.name: _as_json(getattr(settings, field.name))
            for field in fields(settings)
            if field.name != "relations"
        },
        "relations": _digest(json.dumps(settings.relations.to_dict())),
        **others,
        "version of massgraph": __version__,
        "version of torch": str(torch.__version__),
    }


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _digest(*parts: NDArray[Any] | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            # Type and shape too: arrays that differ in these alone may have the same bytes.
            digest.update(repr((part.dtype, part.shape)).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """What differs between two fits, with both values; empty where nothing does."""
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    return "; ".join(
        f"{name} {_shown(there.get(name))} there, {_shown(here.get(name))} now" for name in names
    )


def _shown(value: Any) -> str:
    is_digest = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"{value[:8]}..." if is_digest else f"{value!r:.60}"


# -------------------------------------------------------------------- files


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one fit: a folder with one file for each network that it trains.

    Parameters
    ----------
    folder
        Where they are.
    identity
        See `fit_identity`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from massgraph.learn.checkpoints import Checkpoints
    >>> Checkpoints(Path("fit1"), {"random_state": 0}).net(2).path.name
    'net-2.safetensors'
    """

    folder: Path
    identity: dict[str, Any]

    def net(self, number: int) -> Checkpoint:
        """The checkpoint of one network, counted from 1 in the order of training."""
        return Checkpoint(self.folder / f"net-{number}.safetensors", self.identity)


def open_checkpoints(
    directory: str | os.PathLike[str], identity: dict[str, Any], *, resume: bool
) -> Checkpoints:
    """Make the folder of a fit's checkpoints, or open that of a fit to go on with.

    Parameters
    ----------
    directory
        The folder; its parent must exist.
    identity
        See `fit_identity`.
    resume
        Whether to go on from the checkpoints that are there.

    Raises
    ------
    FileExistsError
        Where the folder holds anything else, or checkpoints that nobody asked to resume.
    CheckpointError
        Where a checkpoint to resume is damaged, or of other data, labels or parameters.
    OSError
        Where the folder cannot be made.

    Warns
    -----
    UserWarning
        Where there is nothing to resume yet.

    Examples
    --------
    >>> import tempfile
    >>> from massgraph.learn.checkpoints import open_checkpoints
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = open_checkpoints(folder, {"random_state": 0}, resume=False)
    >>> checkpoints.net(1).path.name
    'net-1.safetensors'
    """
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file: give the name of a folder for checkpoints"
        raise NotADirectoryError(msg)
    if not folder.parent.is_dir():
        msg = f"{folder} cannot be made: make the folder {folder.parent} first"
        raise FileNotFoundError(msg)
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    foreign = [name for name in names if not (NAME.fullmatch(name) or LEFTOVER.fullmatch(name))]
    if foreign:
        msg = f"{folder} holds {foreign[0]}, which is no checkpoint: choose another folder"
        raise FileExistsError(msg)
    found = [folder / name for name in names if NAME.fullmatch(name)]
    if found and not resume:
        go_on = advise("resume=True", cli="--resume")
        msg = f"{folder} holds a checkpoint: go on from it with {go_on}, or choose another"
        raise FileExistsError(msg)
    if resume and not found:
        msg = f"{folder} holds no checkpoint yet: the fit starts from its beginning"
        warnings.warn(msg, UserWarning, stacklevel=outside())
    folder.mkdir(exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):  # now, and not after the first epoch
        msg = f"{folder}: no permission to write checkpoints in it"
        raise PermissionError(msg)
    # All of them now: the second net may be hours away, and its file be damaged.
    for path in found:
        Checkpoint(path, identity).check()
    return Checkpoints(folder, identity)


def checkpoints_of(
    directory: str | os.PathLike[str] | None,
    *,
    resume: bool,
    seed: int | None,
    identity: Callable[[], dict[str, Any]],
) -> Checkpoints | None:
    """Open the checkpoints of a fit, if it has any, before its long part: faults show at once.

    Parameters
    ----------
    directory, resume
        As for `open_checkpoints`; None for a fit without checkpoints.
    seed
        The seed of the fit.
    identity
        Gives the `fit_identity`; called only where there are checkpoints, as it reads all peaks.

    Raises
    ------
    InputError
        Where there is nothing to resume from, or no seed to repeat the fit with; and as
        `open_checkpoints`.

    Examples
    --------
    >>> from massgraph.learn.checkpoints import checkpoints_of
    >>> checkpoints_of("fit1", resume=False, seed=None, identity=dict)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: random_state None draws anew in each fit: give a number ...
    """
    if directory is None:
        if resume:
            words = "resume=True needs the folder to go on from: give checkpoint=..."
            msg = advise(words, cli="--resume needs the folder to go on from: give --checkpoint")
            raise InputError(msg)
        return None
    if seed is None:
        msg = "random_state None draws anew in each fit: give a number to fit with checkpoint"
        raise InputError(msg)
    return open_checkpoints(directory, identity(), resume=resume)


@dataclass(frozen=True)
class Checkpoint:
    """One file: tensors, and all else as JSON in its header.

    Parameters
    ----------
    path
        The file.
    identity
        See `fit_identity`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.learn.checkpoints import Checkpoint
    >>> from massgraph.learn.training_state import TrainingState
    >>> net, rng = torch.nn.Linear(2, 1), np.random.default_rng(0)
    >>> optimizer = torch.optim.AdamW(net.parameters())
    >>> state = TrainingState.capture(net, optimizer, rng, batch_size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(Path(folder) / "net-1.safetensors", {"random_state": 0})
    ...     checkpoint.write(state)
    ...     checkpoint.check()
    """

    path: Path
    identity: dict[str, Any]

    def write(self, state: TrainingState) -> None:
        """Replace the state before by this one, whole or not at all.

        Raises
        ------
        OSError
            Where the disk is full or what was written does not read back; the state before stays.
        """
        tensors = {
            **{f"weights.{name}": value for name, value in state.weights.items()},
            **{f"best.{name}": value for name, value in state.best_weights.items()},
            **{f"optimizer.{name}": value for name, value in state.optimizer.items()},
        }
        header = {
            "schema_version": SCHEMA_VERSION,
            "identity": self.identity,
            "history": state.rows,
            "rng": state.rng,
            "batch_size": state.batch_size,
        }
        header["sha256"] = _content_digest(header, tensors)
        # Weights and best weights may be the same tensors, which safetensors refuses to write.
        tensors = {name: value.clone() for name, value in tensors.items()}
        raw = save_tensors(tensors, {"massgraph": json.dumps(header)})
        with atomic_file(self.path, overwrite=True) as temporary:
            temporary.write_bytes(raw)
            if temporary.read_bytes() != raw:
                msg = f"{self.path} was not written: it does not read back, check the disk"
                raise OSError(msg)

    def check(self) -> None:
        """Refuse a file that is damaged, or of another fit."""
        self._read()

    def read(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        columns: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> TrainingState | None:
        """Read the state that is there, if any, for this model, optimizer and number of epochs.

        Parameters
        ----------
        model, optimizer, epochs
            What is trained, how, and for how long at most.
        columns
            What the objective adds to the learning curve (`massgraph.learn.objectives.Objective`).

        Raises
        ------
        CheckpointError
            Where the file is damaged, or of another fit.
        """
        if not self.path.exists():
            return None
        header, tensors = self._read()
        parts: dict[str, Tensors] = {"weights": {}, "best": {}, "optimizer": {}}
        try:
            for name, tensor in tensors.items():
                part, rest = name.split(".", maxsplit=1)
                parts[part][rest] = tensor
            _check_same(parts["weights"], model.state_dict())
            _check_same(parts["best"], model.state_dict())
            _check_same(parts["optimizer"], _wanted_moments(optimizer))
            _check_header(header, epochs, columns)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._damaged(str(error)) from error
        return TrainingState(
            parts["weights"],
            parts["best"],
            parts["optimizer"],
            header["history"],
            header["rng"],
            header["batch_size"],
        )

    def _read(self) -> tuple[dict[str, Any], Tensors]:
        # Before it is opened, which would read a file of any size into memory.
        size = self.path.stat().st_size
        if size > LARGEST:
            msg = f"it has {size} bytes, more than any checkpoint"
            raise self._damaged(msg)
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["massgraph"])
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  no dict
            if not isinstance(header, dict) or header.get("schema_version") != SCHEMA_VERSION:
                msg = f"it is not of schema version {SCHEMA_VERSION}"
                raise InputError(msg)
            wrong = sorted(KEYS ^ set(header))
            if wrong or not isinstance(header["identity"], dict):
                msg = f"the key {[*wrong, 'identity'][0]!r} is unknown, missing or no table"
                raise InputError(msg)
            if header.pop("sha256") != _content_digest(header, tensors):
                msg = "its content does not fit its SHA-256"
                raise InputError(msg)
        except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        # After the digest: what a damaged file says of its fit may be the damage.
        differs = _difference(header["identity"], self.identity)
        if differs:
            msg = f"{self.path.parent} is the checkpoint of another fit ({differs}): "
            raise CheckpointError(msg + "give what it was begun with, or another folder")
        return header, tensors

    def _damaged(self, reason: str) -> CheckpointError:
        text = " ".join(reason.split())[:200]
        return CheckpointError(f"{self.path} is damaged ({text}): delete it and fit again")


def _content_digest(header: dict[str, Any], tensors: Tensors) -> str:
    parts: list[NDArray[Any] | str] = [json.dumps(header, sort_keys=True)]
    for name in sorted(tensors):
        parts += [name, tensors[name].numpy()]
    return _digest(*parts)


def _wanted_moments(optimizer: torch.optim.Optimizer) -> Tensors:
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    # torch counts the steps of each parameter too, in float32 whatever the parameter is.
    step = torch.zeros((), dtype=torch.float32)
    return {
        f"{number}.{name}": step if name == "step" else parameter.detach()
        for number, parameter in enumerate(parameters)
        for name in MOMENTS
    }


def _check_same(found: Tensors, wanted: Mapping[str, torch.Tensor]) -> None:
    """Refuse other names, shapes or types of tensors."""
    wrong = sorted(set(found) ^ set(wanted))
    if wrong:
        msg = f"the tensor {wrong[0]} is unknown or missing"
        raise InputError(msg)
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            msg = f"the tensor {name} is {found[name].dtype} {tuple(found[name].shape)}"
            raise InputError(msg)


def _check_header(
    header: dict[str, Any], epochs: int, columns: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    """Refuse a learning curve, generator or size of batches that training cannot have left."""
    rows = header["history"]
    if not 1 <= len(rows) <= epochs or [row["epoch"] for row in rows] != [*range(1, len(rows) + 1)]:
        msg = f"its {len(rows)} epochs are not the first of {epochs}"
        raise InputError(msg)
    wanted = {**HISTORY, **dict.fromkeys((*columns[0], *columns[1]), float)}
    for row in rows:
        if {name: type(value) for name, value in row.items()} != wanted:
            msg = f"epoch {row['epoch']} has other columns than the learning curve"
            raise InputError(msg)
    # numpy knows best what a state of its generator is; `read` turns its errors into ours.
    np.random.default_rng().bit_generator.state = header["rng"]
    if type(header["batch_size"]) is not int or header["batch_size"] < 1:
        msg = f"batch_size {header['batch_size']!r} is no number of pixels"
        raise InputError(msg)
