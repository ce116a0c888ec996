"""What the neighbours of a pixel say of its class: a field over the map of a classifier.

A Potts field holds neighbours for alike, whatever their classes, and so takes away what is thin.
Here labelled pixels say what lies beside each class: a layer that is one pixel wide has neighbours
of other classes, and such neighbours then speak for it. They are asked once, not until nothing
changes, so that no layer is taken away from its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph.data.neighbours import neighbour_sums, pairs_among
from massgraph.learn.targets import Targets

__all__ = ["ODDS", "NeighbourField", "learn_field"]

Floats = NDArray[np.float64]

ODDS = 10.0
"""Odds between two classes, by the pixel itself, that neighbours do not turn."""

# Up to 1, neighbours that know nothing of each other; 0 is no field.
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
# Usual neighbours that each class is given besides its own, as many as a pixel has: of a class of
# few pixels little is known.
USUAL = 8.0
ROUNDING = 1e-9  # of a score


@dataclass(frozen=True, eq=False)
class NeighbourField:
    r"""How much the neighbours of a pixel count, and what they say.

    With :math:`q_j` the probabilities of a neighbour by itself and :math:`P` the `shares`,
    neighbours add :math:`s \\sum_j \\sum_d q_j(d) \\log P_{cd}` to the logit of class c: the log
    likelihood of what is around the pixel, times the strength s. Of two classes they never prefer
    one by more than odds of `ODDS`.

    Parameters
    ----------
    strength
        Above 0, up to 1: as if neighbours knew nothing of each other.
    shares
        Share of each class (column) in what the model says of the neighbours of pixels of each
        class (row), ``(n_classes, n_classes)``, above 0, rows summing to one.

    Examples
    --------
    Layers of a pixel's width, class 1, in class 0:

    >>> import numpy as np
    >>> from massgraph.learn.neighbour_field import NeighbourField
    >>> field = NeighbourField(0.5, np.array([[0.9, 0.1], [0.75, 0.25]]))
    >>> around = np.array([[8.0, 0.0], [6.0, 2.0]])  # within class 0, and in a layer
    >>> field.evidence(around).round(2).tolist()
    [[0.0, -0.73], [-0.37, 0.0]]
    """

    strength: float
    shares: Floats

    def evidence(self, around: Floats) -> Floats:
        """What neighbours say, as logits of at most 0.

        Parameters
        ----------
        around
            Sums of the probabilities of the neighbours, ``(n_pixels, n_classes)``.
        """
        said = self.strength * (around @ np.log(self.shares).T)
        return np.asarray(np.maximum(said - said.max(axis=1, keepdims=True), -np.log(ODDS)))

    def added_to(self, logits: Floats, pairs: NDArray[np.int64]) -> Floats:
        """Logits and what neighbours say; NaN stays, and says nothing.

        Parameters
        ----------
        logits
            Of pixels by themselves, ``(n_pixels, n_classes)``.
        pairs
            Neighbours among them (`massgraph.data.neighbours.neighbour_pairs`).
        """
        known = np.asarray(~np.isnan(logits).any(axis=1))
        beside = neighbour_sums(pairs_among(pairs, known), int(known.sum()))
        found = logits.copy()
        found[known] += self.evidence(beside @ softmax(logits[known], axis=1))
        return found


def learn_field(
    held_out: Floats,
    around: Floats,
    fold: NDArray[np.int64],
    targets: Targets,
    *,
    required: bool = False,
) -> NeighbourField | None:
    """Learn from labelled pixels what neighbours say, and how much they count.

    Each fold is judged by the `shares` of the others. The strength is the one with the best Brier
    score of the labels, in the mean of the classes, of those by which no class is told worse than
    without neighbours: a score that, unlike the log loss, has little to gain where all is right.

    Parameters
    ----------
    held_out
        Logits of the labelled pixels by parts of the model that were fitted without them,
        ``(n_pixels, n_classes)``.
    around
        Sums of the probabilities of their neighbours, by the same parts.
    fold
        Fold of each pixel.
    targets
        Their classes.
    required
        Whether to give the best field even where none is better.

    Returns
    -------
    NeighbourField or None
        None where neighbours do not help.

    Raises
    ------
    InputError
        Where a field is required, and a class has no labelled pixel to judge it by.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.neighbour_field import learn_field
    >>> from massgraph.learn.targets import Targets
    >>> rng, codes = np.random.default_rng(0), np.repeat([0, 1], 200)
    >>> right = np.eye(2)[codes]
    >>> doubtful, fold = right + rng.normal(size=(400, 2)), np.arange(400) % 2
    >>> targets = Targets.of_codes(codes)
    >>> learn_field(doubtful, 6 * right + 1, fold, targets).strength > 0.2  # of their own class
    True
    >>> chance = rng.dirichlet([1, 1], 400) * 8
    >>> learn_field(doubtful, chance, fold, targets) is None
    True
    """
    judged = np.bincount(targets.code, weights=targets.weight, minlength=targets.n_classes)
    if not judged.all() or not around.any() or np.unique(fold).size < 2:
        if required:
            msg = (
                "spatial=True needs labelled pixels of each class that are held out in their turn, "
                'and pixels beside them: label pixels in more places, or say spatial="auto"'
            )
            raise InputError(msg)
        return None
    of_folds = [(fold == k, _shares(around, targets, fold != k)) for k in np.unique(fold)]
    scores = []
    for strength in STRENGTHS:
        logits = held_out.copy()
        for rows, shares in of_folds if strength else ():
            logits[rows] += NeighbourField(strength, shares).evidence(around[rows])
        scores.append(_scores(logits, targets))
    table = np.stack(scores)
    fits = np.arange(len(table)) > 0 if required else (table >= table[0] - ROUNDING).all(axis=1)
    best = int(np.argmax(np.where(fits, table.mean(axis=1), -np.inf)))
    if STRENGTHS[best] == 0:
        return None
    return NeighbourField(STRENGTHS[best], _shares(around, targets, np.ones(len(fold), dtype=bool)))


def _shares(around: Floats, targets: Targets, rows: NDArray[np.bool_]) -> Floats:
    """Shares of the classes around the pixels of each class."""
    entries = rows[targets.pixel]
    code = targets.code[entries]
    beside = targets.weight[entries, None] * around[targets.pixel[entries]]
    sums = np.zeros((targets.n_classes, targets.n_classes))
    np.add.at(sums, code, beside)
    usual = sums.sum(axis=0) + ROUNDING  # no share is zero, whose logarithm no pixel could outweigh
    sums += USUAL * usual / usual.sum()
    return np.asarray(sums / sums.sum(axis=1, keepdims=True))


def _scores(logits: Floats, targets: Targets) -> Floats:
    """Brier score of each class, less its sign: 0 where all is right, ``(n_classes,)``."""
    missed = softmax(logits, axis=1)[targets.pixel]
    missed[np.arange(len(missed)), targets.code] -= 1.0
    error = np.bincount(targets.code, weights=targets.weight * (missed**2).sum(axis=1))
    return np.asarray(-error / np.bincount(targets.code, weights=targets.weight))
