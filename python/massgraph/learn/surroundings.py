"""Labelled pixels with their neighbours, labelled or not, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.progress import progress
from massgraph.data.neighbours import neighbour_pairs, neighbour_sums
from massgraph.data.sources import Pixels, batches, places, take
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra
from massgraph.encode.encoder import PeakEncoder
from massgraph.learn.inference import model_output
from massgraph.learn.neighbour_field import NeighbourField, learn_field
from massgraph.learn.targets import Targets

__all__ = ["Surroundings", "field_of_surroundings", "surroundings"]

Floats = NDArray[np.float64]

LABELLED = 3000  # pixels that are looked at: more would hardly move a strength


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Labelled pixels with their neighbours.

    Parameters
    ----------
    spectra
        These pixels.
    pairs
        Neighbours among them, one of each pair labelled at least, ``(n_pairs, 2)``.
    labelled
        Which of the labelled pixels they are, ascending, as numbers among all labelled ones.
    place
        Their places in `spectra`.

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
    pairs: NDArray[np.int64]
    labelled: NDArray[np.int64]
    place: NDArray[np.int64]

    def with_spectra(self, spectra: Spectra) -> Surroundings:
        """The same, of spectra that were preprocessed."""
        return replace(self, spectra=spectra)


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
    chosen = np.zeros(where.n_pixels, dtype=bool)
    chosen[rows[labelled]] = True
    pairs = neighbour_pairs(where)
    pairs = pairs[chosen[pairs].any(axis=1)]
    pixels = np.unique(np.concatenate([rows[labelled], pairs.ravel()]))
    return Surroundings(
        spectra=take(X, pixels),
        pairs=np.searchsorted(pixels, pairs),
        labelled=labelled,
        place=np.searchsorted(pixels, rows[labelled]),
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
    held_out, beside = np.full((2, len(of_labelled), targets.n_classes), np.nan)
    sums = neighbour_sums(around.pairs, around.spectra.n_pixels)
    calibrated = encoder.calibrate(around.spectra)
    # What was fitted to a pixel knows too much of it, and of the pixels beside it that are like it.
    for k, network in progress(enumerate(by_fold), len(by_fold), "asking neighbours"):
        mine = np.flatnonzero(of_labelled == k)
        rows = around.place[mine]
        needed = np.unique(np.concatenate([rows, sums[rows].indices]))
        logits = np.full((around.spectra.n_pixels, targets.n_classes), np.nan)
        logits[needed] = _logits(network, encoder, calibrated[needed], device)
        held_out[mine] = logits[rows]
        beside[mine] = sums[rows] @ np.nan_to_num(softmax(logits, axis=1))
    known = np.flatnonzero(~np.isnan(held_out).any(axis=1))
    judged = targets.subset(around.labelled[known])
    return learn_field(
        held_out[known], beside[known], of_labelled[known], judged, required=required
    )


def _logits(
    network: Any, encoder: PeakEncoder, calibrated: CalibratedSpectra, device: torch.device
) -> Floats:
    """Logits in blocks; NaN for pixels without nodes."""
    found = []
    for block in batches(calibrated.spectra.offsets):
        graphs = encoder.encode(calibrated[block])
        logits = model_output(network, graphs, np.arange(len(graphs)), device, network.forward)
        logits[np.diff(graphs.offsets) == 0] = np.nan
        found.append(logits)
    return np.concatenate(found)
