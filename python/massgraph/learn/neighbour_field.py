"""What the neighbours of a pixel say of its class: a field over the map of a classifier.

A Potts field holds neighbours for alike, whatever their classes, and so takes away what is thin.
Here labelled pixels say what lies beside each class: a layer that is one pixel wide has neighbours
of other classes, and such neighbours then speak for it. A class that has a way through a pixel,
in on one side and out on another, is hardly spoken against. Neighbours are asked once, and for what
they are by themselves: what is wrong in one place does not spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph.data.neighbours import AROUND
from massgraph.learn.targets import Targets

__all__ = ["ODDS", "NeighbourField", "learn_field", "probabilities_around"]

Floats = NDArray[np.float64]

ODDS = 20.0
"""Odds between two classes, by the pixel itself, that no neighbours turn."""

# Up to 1, neighbours that know nothing of each other; 0 is no field.
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
# Ways through a pixel, straight or bent by 45 degrees: pairs of directions.
WAYS = tuple((d, d + turn) for d, turn in product(range(8), (3, 4, 5)) if d + turn < len(AROUND))
# Of a class of few pixels little is known: usual neighbours that each class is given besides its
# own, and labelled pixels at which neighbours count half against it.
USUAL = 8.0
FEW = 8.0
BEYOND_CHANCE = 2.0  # standard errors of the gain, of labelled pixels taken one by one
ROUNDING = 1e-9  # of a score
BLOCK = 1 << 16  # pixels at a time: bounds the memory


@dataclass(frozen=True, eq=False)
class NeighbourField:
    r"""How much the neighbours of a pixel count, and what they say.

    With :math:`q_j` the probabilities of neighbour j by itself, P the `shares` and s the
    `strength`, neighbours say :math:`e_c = s \sum_j \sum_d q_j(d) \log P_{cd}`, the log likelihood
    of what is around a pixel of class c. The logit of the class is lowered by
    :math:`t_c (1 - u_c) \min(\max_k e_k - e_c, \log O)`, where :math:`t_c` is the `trust`,
    :math:`u_c` the mean probability of c along its best way through the pixel, and O are the odds
    `ODDS`.

    Parameters
    ----------
    strength
        Above 0, up to 1: as if neighbours knew nothing of each other.
    shares
        Share of each class (column) in what the model says of the neighbours of pixels of each
        class (row), ``(n_classes, n_classes)``, above 0, rows summing to one.
    trust
        How far neighbours are believed against each class, above 0, up to 1, ``(n_classes,)``: less
        where it has few labelled pixels to learn from what lies around it.

    Examples
    --------
    Class 1 has layers of a pixel's width in class 0. A pixel has neighbours of class 0; another one
    lies in a layer:

    >>> import numpy as np
    >>> from massgraph.learn.neighbour_field import NeighbourField
    >>> field = NeighbourField(0.5, np.array([[0.9, 0.1], [0.75, 0.25]]), np.ones(2))
    >>> within, layer = np.zeros(8, dtype=int), np.array([1, 0, 0, 0, 1, 0, 0, 0])
    >>> field.against(np.eye(2)[[within, layer]]).round(2).tolist()
    [[0.0, 0.73], [0.0, 0.0]]
    """

    strength: float
    shares: Floats
    trust: Floats

    def against(self, around: Floats) -> Floats:
        """How far neighbours lower each logit, ``(n_pixels, n_classes)``.

        Parameters
        ----------
        around
            Probabilities of the eight around each pixel, zero where there is none,
            ``(n_pixels, 8, n_classes)``.
        """
        said = self.strength * (around.sum(axis=1) @ np.log(self.shares).T)
        behind = np.minimum(said.max(axis=1, keepdims=True) - said, np.log(ODDS))
        ways = [around[:, one] + around[:, other] for one, other in WAYS]
        return np.asarray(self.trust * behind * (1.0 - np.maximum.reduce(ways) / 2.0))

    def added_to(self, logits: Floats, beside: NDArray[np.int64]) -> Floats:
        """Logits with what neighbours say; those that are NaN stay so, and say nothing.

        Parameters
        ----------
        logits
            Of pixels by themselves, ``(n_pixels, n_classes)``.
        beside
            The eight around each (`massgraph.data.neighbours.neighbours_around`).
        """
        found = logits.copy()
        for start in range(0, len(logits), BLOCK):
            rows = slice(start, start + BLOCK)
            found[rows] -= self.against(probabilities_around(logits, beside[rows]))
        return found


def probabilities_around(logits: Floats, beside: NDArray[np.int64]) -> Floats:
    """Probabilities of the eight around some pixels; zero where there is no pixel, or it is NaN.

    Parameters
    ----------
    logits
        Of all pixels, ``(n_all, n_classes)``.
    beside
        Which of them lie around each, -1 for none, ``(n_pixels, 8)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_pixels, 8, n_classes)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.neighbour_field import probabilities_around
    >>> beside = np.full((2, 8), -1)
    >>> beside[0, 0], beside[1, 4] = 1, 0  # side by side
    >>> around = probabilities_around(np.array([[9.0, 9.0], [np.nan, np.nan]]), beside)
    >>> around[:, [0, 4]].tolist()
    [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.5]]]
    """
    found = np.nan_to_num(softmax(logits[beside], axis=2))
    found[beside < 0] = 0.0
    return np.asarray(found)


def learn_field(
    held_out: Floats,
    around: Floats,
    fold: NDArray[np.int64],
    targets: Targets,
    *,
    required: bool = False,
) -> NeighbourField | None:
    """Learn from labelled pixels what neighbours say, and how much they count.

    Each fold is judged by a field of the others. The strength is the one with the best Brier
    score of the labels, in the mean of the classes, of those by which no class is told worse than
    without neighbours: a score that, unlike the log loss, has little to gain where all is right.
    A gain within two standard errors is none.

    Parameters
    ----------
    held_out
        Logits of the labelled pixels by parts of the model that were fitted without them,
        ``(n_pixels, n_classes)``.
    around
        Probabilities of the eight around each, by the same parts, ``(n_pixels, 8, n_classes)``.
    fold
        Fold of each pixel.
    targets
        Their classes.
    required
        Whether to give the best field even where it is worse than none.

    Returns
    -------
    NeighbourField or None
        None where neighbours do not help.

    Raises
    ------
    InputError
        Where a field is required, and there is nothing to judge it by.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.neighbour_field import learn_field
    >>> from massgraph.learn.targets import Targets
    >>> rng, codes = np.random.default_rng(0), np.repeat([0, 1], 200)
    >>> doubtful, fold = np.eye(2)[codes] + rng.normal(size=(400, 2)), np.arange(400) % 2
    >>> targets = Targets.of_codes(codes)
    >>> alike = np.repeat(0.2 + 0.6 * np.eye(2)[codes][:, None], 8, axis=1)
    >>> learn_field(doubtful, alike, fold, targets).strength > 0.2
    True
    >>> learn_field(doubtful, rng.dirichlet([1, 1], (400, 8)), fold, targets) is None
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
    errors = []
    for strength in STRENGTHS:
        logits = held_out.copy()
        for k in np.unique(fold) if strength else ():
            field = _field(strength, around, targets, fold != k)
            logits[fold == k] -= field.against(around[fold == k])
        errors.append(_errors(logits, targets))
    strength = STRENGTHS[_best(np.stack(errors), targets, required)]
    if strength == 0:
        return None
    return _field(strength, around, targets, np.ones(len(fold), dtype=bool))


def _best(errors: Floats, targets: Targets, required: bool) -> int:
    """The row of errors, one per strength and entry, that is chosen."""
    share = targets.weight / np.bincount(targets.code, weights=targets.weight)[targets.code]
    of_classes = np.stack([np.bincount(targets.code, weights=share * row) for row in errors])
    fits = (of_classes <= of_classes[0] + ROUNDING).all(axis=1)
    if required:
        fits = np.arange(len(errors)) > 0
    best = int(np.argmin(np.where(fits, of_classes.mean(axis=1), np.inf)))
    share /= targets.n_classes
    less = errors[0] - errors[best]
    gain = float(share @ less)
    chance = float(np.sqrt(((share * (less - gain)) ** 2).sum()))
    return best if required or gain > BEYOND_CHANCE * chance else 0


def _field(
    strength: float, around: Floats, targets: Targets, rows: NDArray[np.bool_]
) -> NeighbourField:
    """The field of a strength, as these pixels show it."""
    entries = rows[targets.pixel]
    code, weight = targets.code[entries], targets.weight[entries]
    beside = around.sum(axis=1)[targets.pixel[entries]]
    sums = np.zeros((targets.n_classes, targets.n_classes))
    np.add.at(sums, code, weight[:, None] * beside)
    usual = sums.sum(axis=0) + ROUNDING  # no share is zero, whose logarithm no pixel could outweigh
    sums += USUAL * usual / usual.sum()
    known = np.bincount(code, weights=weight, minlength=targets.n_classes)
    shares = sums / sums.sum(axis=1, keepdims=True)
    return NeighbourField(strength, shares, known / (known + FEW))


def _errors(logits: Floats, targets: Targets) -> Floats:
    """Brier score of each entry of the targets: 0 where all is right, ``(n_entries,)``."""
    missed = softmax(logits, axis=1)[targets.pixel]
    missed[np.arange(len(missed)), targets.code] -= 1.0
    return np.asarray((missed**2).sum(axis=1))
