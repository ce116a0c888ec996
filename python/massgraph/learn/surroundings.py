"""Labelled pixels with their neighbours, labelled or not, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph._util.progress import progress
from massgraph.data.neighbours import neighbours_around
from massgraph.data.sources import Pixels, batches, places, take
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.gains import RunGains
from massgraph.learn.inference import model_output
from massgraph.learn.neighbour_field import NeighbourField, learn_field, probabilities_around
from massgraph.learn.targets import Targets

__all__ = ["Surroundings", "field_of_surroundings", "surroundings"]

Floats = NDArray[np.float64]

LABELLED = 2000  # pixels that are looked at: more would hardly move a strength


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Labelled pixels with their neighbours.

    Parameters
    ----------
    spectra
        These pixels.
    labelled
        Which of the labelled pixels they are, ascending, as numbers among all labelled ones.
    place
        Their places in `spectra`.
    beside
        The eight around each of them, -1 for none, ``(n_labelled, 8)``.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.surroundings import surroundings
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)  # 12 x 12 pixels
    >>> found = surroundings(spectra, np.array([0, 40]), np.array([0, 1]))
    >>> found.spectra.n_pixels, found.place.tolist()  # a corner with three neighbours, and eight
    (13, [0, 8])
    """

    spectra: Spectra
    labelled: NDArray[np.int64]
    place: NDArray[np.int64]
    beside: NDArray[np.int64]


def surroundings(
    X: Pixels, rows: NDArray[np.int64], codes: NDArray[np.int64]
) -> Surroundings | None:
    """Read labelled pixels and their neighbours; of many labelled ones, some of each class.

    Parameters
    ----------
    X
        All pixels; of a source only these are read, and where its pixels are.
    rows, codes
        The labelled ones, ascending, and their classes.

    Returns
    -------
    Surroundings or None
        None where there are no coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.surroundings import surroundings
    >>> spectra = mg.Spectra.from_peaks([([700.5], [1.0]), ([714.5], [1.0])])
    >>> surroundings(spectra, np.array([0, 1]), np.array([0, 1])) is None
    True
    """
    where = places(X)
    if where.coordinates is None:
        return None
    labelled = _some(codes)
    chosen = rows[labelled]
    beside = neighbours_around(where)[chosen]
    pixels = np.unique(np.concatenate([chosen, beside[beside >= 0]]))
    return Surroundings(
        spectra=take(X, pixels),
        labelled=labelled,
        place=np.searchsorted(pixels, chosen),
        beside=np.where(beside >= 0, np.searchsorted(pixels, beside), -1),
    )


def _some(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `LABELLED` pixels, evenly spread over each class, and of each equally many."""
    classes = np.unique(codes)
    most = max(LABELLED // classes.size, 1)
    of_classes = [np.flatnonzero(codes == code) for code in classes]
    return np.sort(np.concatenate([one[:: -(-one.size // most)] for one in of_classes]))


def field_of_surroundings(
    around: Surroundings,
    by_fold: Sequence[Any],
    encoder: PeakEncoder,
    fold: NDArray[np.int64],
    targets: Targets,
    *,
    device: torch.device,
    required: bool,
    gains: RunGains | None = None,
) -> NeighbourField | None:
    """Learn a field from what each fold's parts say of its pixels and of what is around them.

    Parameters
    ----------
    around
        Preprocessed.
    by_fold
        For each fold the model that was fitted without it.
    encoder
        Of these models.
    fold, targets
        Fold, -1 for pixels that are never held out, and classes of all labelled pixels.
    device
        Where the models are.
    required
        As for `massgraph.learn.neighbour_field.learn_field`.
    gains
        Of the training runs.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.surroundings import field_of_surroundings, surroundings
    >>> from massgraph.learn.targets import Labels
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> around = surroundings(spectra, rows, targets.codes)
    >>> fold, models = np.arange(len(rows)) % 2, [clf.model_] * 2  # which were not: an example
    >>> field = field_of_surroundings(
    ...     around, models, clf.encoder_, fold, targets, device=torch.device("cpu"), required=True
    ... )
    >>> field.shares.shape
    (3, 3)
    """
    of_labelled = fold[around.labelled]
    held_out = np.full((len(of_labelled), targets.n_classes), np.nan)
    said = np.zeros((*around.beside.shape, targets.n_classes))
    calibrated = replace(encoder.calibrate(around.spectra), gains=gains)
    # What was fitted to a pixel knows too much of it, and of the pixels beside it that are like it.
    for k, network in progress(enumerate(by_fold), len(by_fold), "asking neighbours"):
        mine = np.flatnonzero(of_labelled == k)
        place, beside = around.place[mine], around.beside[mine]
        needed = np.unique(np.concatenate([place, beside[beside >= 0]]))
        logits = np.full((around.spectra.n_pixels, targets.n_classes), np.nan)
        logits[needed] = _logits(network, encoder, calibrated[needed], device)
        held_out[mine], said[mine] = logits[place], probabilities_around(logits, beside)
    known = np.flatnonzero(~np.isnan(held_out).any(axis=1))
    judged = targets.subset(around.labelled[known])
    return learn_field(held_out[known], said[known], of_labelled[known], judged, required=required)


def _logits(
    network: Any, encoder: PeakEncoder, calibrated: CalibratedSpectra, device: torch.device
) -> Floats:
    """Logits in blocks; NaN for pixels without nodes."""
    found = []
    for block in batches(calibrated.spectra.offsets):
        graphs = encoder.encode(
            calibrated[block], edges=network.reads_edges, molecules=network.reads_molecules
        )
        logits = model_output(network, graphs, np.arange(len(graphs)), device, network.forward)
        logits[np.diff(graphs.offsets) == 0] = np.nan
        found.append(logits)
    return np.concatenate(found)
