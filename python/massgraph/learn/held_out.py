"""Parts of branches, and what they say of the pixels that they were fitted without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph.learn.inference import model_output
from massgraph.learn.versions import Versions

__all__ = ["FittedPart", "Parts", "gathered", "held_out_logits"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FittedPart:
    """A part that was fitted without one fold.

    Parameters
    ----------
    part
        The part of the branch.
    history
        Its learning curve, if it is a net.
    held_out
        Its logits of the pixels of the fold, version by version as `Versions.weighing` has them,
        ``(n_versions, n_pixels, n_classes)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.held_out import FittedPart
    >>> FittedPart(None, None, np.zeros((1, 2, 3))).held_out.shape
    (1, 2, 3)
    """

    part: Any
    history: pd.DataFrame | None
    held_out: Floats


Parts = dict[str, list[FittedPart]]
"""Parts by the name of their branch, fold by fold; of a branch on trial that of the first fold."""


def held_out_logits(
    part: Any,
    versions: Versions,
    starts: NDArray[np.int64],
    pixels: NDArray[np.int64],
    device: torch.device,
) -> Floats:
    """Logits of pixels in the versions whose graphs start there, ``(n_versions, n_pixels, ...)``.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.held_out import held_out_logits
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> seed, cpu = np.random.SeedSequence(0), torch.device("cpu")
    >>> versions = encode_versions(clf.encoder_, spectra[:9], seed, n_copies=0)
    >>> pixels, starts = np.array([0, 5]), versions.weighing
    >>> held_out_logits(clf.fitted_.network, versions, starts, pixels, cpu).shape
    (9, 2, 3)
    """
    rows = (starts[:, None] + pixels).ravel()
    found = model_output(part, versions.graphs, rows, device, part.forward)
    return np.asarray(found.reshape(starts.size, pixels.size, -1))


def gathered(found: Parts, fold: NDArray[np.int64], n_classes: int) -> Floats:
    """Logits of all pixels by the parts that were fitted without them.

    Of shape ``(n_versions, n_branches, n_pixels, n_classes)``, NaN for what was never held out.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.held_out import FittedPart, gathered
    >>> found = {"axis": [FittedPart(None, None, np.full((1, 1, 2), k)) for k in (0.0, 1.0)]}
    >>> gathered(found, np.array([1, -1, 0]), 2)[0, 0].tolist()
    [[1.0, 1.0], [nan, nan], [0.0, 0.0]]
    """
    n_versions = len(next(iter(found.values()))[0].held_out)
    logits = np.full((n_versions, len(found), len(fold), n_classes), np.nan)
    for number, parts in enumerate(found.values()):
        for k, one in enumerate(parts):
            logits[:, number, fold == k] = one.held_out
    return logits
