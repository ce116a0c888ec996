"""Outputs of a fitted net: batch by batch, without gradients, within the memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.threads import one_thread
from massgraph._util.warnings import outside
from massgraph.data.sources import BATCH_PEAKS, batches
from massgraph.graph.batch import PeakGraphs

__all__ = ["is_out_of_memory", "model_output", "torch_device"]


def torch_device(name: str) -> torch.device:
    """Look up a torch device by name; ``"auto"`` is a GPU where torch sees one.

    Raises
    ------
    InputError
        Where it cannot be used here.

    Examples
    --------
    >>> from massgraph.learn.inference import torch_device
    >>> torch_device("cpu").type
    'cpu'
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        # A name says nothing about this machine: only an allocation shows what it has.
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        msg = f"device {name!r} cannot be used here ({reason}): use 'auto' or 'cpu'"
        raise InputError(msg) from error
    return device


@one_thread()
def model_output(
    model: Any,
    graphs: PeakGraphs,
    rows: NDArray[np.int64],
    device: torch.device,
    compute: Callable[[Any], torch.Tensor],
    most: int = BATCH_PEAKS,
) -> NDArray[Any]:
    """Join ``compute(batch)``, in evaluation mode, over batches of at most `most` peaks.

    Where memory runs out, batches are halved once, with a warning; after that, MemoryError.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.inference import model_output
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> graphs, cpu = clf.encoder_.encode(spectra), torch.device("cpu")
    >>> model_output(clf.model_, graphs, np.arange(5), cpu, clf.model_.forward).shape
    (5, 3)
    """
    model.eval()
    # Batches hold about as many peaks, not as many pixels: peaks are what takes memory.
    offsets = np.concatenate(([0], np.cumsum(np.diff(graphs.offsets)[rows])))
    try:
        with torch.inference_mode():
            found = [
                compute(model.take(graphs, rows[part], device)).cpu().numpy()
                for part in batches(offsets, most)
            ]
        joined: NDArray[Any] = np.concatenate(found)
        return joined
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        failed = f"memory ran out with batches of {most} peaks"
        if most < BATCH_PEAKS:
            msg = f"{failed}, and with {BATCH_PEAKS} before: set max_peaks or another device"
            raise MemoryError(msg) from error
        warnings.warn(f"{failed}: half of that is tried", UserWarning, stacklevel=outside())
    # Not within the handler, which keeps the tensors of the failed batch alive.
    return model_output(model, graphs, rows, device, compute, most // 2)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has no error of its own for the memory of the CPU.

    Examples
    --------
    >>> from massgraph.learn.inference import is_out_of_memory
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        "DefaultCPUAllocator" in str(error)
    )
