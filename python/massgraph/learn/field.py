"""The Potts field: neighbouring pixels are likely of one region.

The field is laid over a mixture that is held: it decides pixels in doubt and takes no part in what
the regions look like. Fitted together with the field, regions that are thin or many are lost.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

__all__ = ["STRENGTHS", "STRONG", "coherence", "field_strength", "smoothed"]

Floats = NDArray[np.float64]

STEPS = 30
KEPT = 0.4  # of the last step, without which neighbours may take turns for ever
STRONG = 4.0
"""Where none is learnt: of the pixels off tissue, and where mixtures are compared."""

STRENGTHS = tuple(np.arange(0.0, 6.01, 0.25).tolist())
"""Strengths that are tried: log odds that a pixel of one region has all neighbours of it."""


def smoothed(log_joint: Floats, shares: sp.csr_matrix, strength: float) -> Floats:
    """Probabilities of regions where neighbours are alike, in the mean-field approximation.

    With l the log joint of a pixel by itself, N its neighbours and b the strength, the fixed point
    of ``q_i ~ exp(l_i + b mean_{j in N(i)} q_j)``.

    Parameters
    ----------
    log_joint
        ``(n_pixels, n_regions)``, of the mixture.
    shares
        `massgraph.data.neighbours.Neighbours.shares`.
    strength
        0 leaves each pixel to itself.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import Neighbours
    >>> from massgraph.learn.field import smoothed
    >>> doubtful = np.array([[2.0, 0.0], [-0.2, 0.0], [2.0, 0.0]])  # the one in the middle
    >>> shares = Neighbours(np.array([[0, 1], [1, 2]]), 3).shares()
    >>> [smoothed(doubtful, shares, b).argmax(axis=1).tolist() for b in (0.0, 2.0)]
    [[0, 1, 0], [0, 0, 0]]
    """
    found = softmax(log_joint, axis=1)
    if strength == 0 or shares.nnz == 0:
        return np.asarray(found)
    for _ in range(STEPS):
        step = softmax(log_joint + strength * (shares @ found), axis=1)
        found = KEPT * found + (1 - KEPT) * step
    return np.asarray(found)


def field_strength(log_joint: Floats, weight: Floats, shares: sp.csr_matrix) -> float:
    """The strength among `STRENGTHS` at which the neighbours of pixels tell their region best.

    Pixels that the mixture is sure of show how alike neighbours are: the strength maximises the
    pseudo-likelihood of their regions given those of their neighbours (Besag, The Statistician 24,
    1975, 179-195).

    Parameters
    ----------
    log_joint, shares
        As for `smoothed`.
    weight
        Share of each region, ``(n_regions,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import Neighbours
    >>> from massgraph.learn.field import field_strength
    >>> row = np.repeat([0, 1, 0], 40)  # three stretches
    >>> log_joint = np.where(np.arange(2) == row[:, None], 0.0, -6.0)
    >>> beside = np.column_stack([np.arange(119), np.arange(1, 120)])
    >>> field_strength(log_joint, np.array([0.5, 0.5]), Neighbours(beside, 120).shares())
    6.0
    """
    found = softmax(log_joint, axis=1)
    around = shares @ found
    prior = np.log(weight)
    scores = [
        float((found * (prior + b * around)).sum() - logsumexp(prior + b * around, axis=1).sum())
        for b in STRENGTHS
    ]
    return float(STRENGTHS[int(np.argmax(scores))])


def coherence(
    log_joint: Floats, weight: Floats, shares: sp.csr_matrix, strength: float = STRONG
) -> float:
    r"""Log likelihood of the pixels where each expects the regions of its neighbours.

    ``sum_i log sum_c p_i(c) N(z_i | c)`` with :math:`p_i(c) \propto w_c \exp(b \bar q_c)`, in nats:
    of two mixtures that fit alike, the one with the more coherent map has the higher value.

    Parameters
    ----------
    log_joint, weight, shares, strength
        As for `smoothed` and `field_strength`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.neighbours import Neighbours
    >>> from massgraph.learn.field import coherence
    >>> halves, checks = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    >>> shares = Neighbours(np.column_stack([np.arange(39), np.arange(1, 40)]), 40).shares()
    >>> one, other = (np.where(np.arange(2) == x[:, None], 0.0, -6.0) for x in (halves, checks))
    >>> even = np.array([0.5, 0.5])
    >>> coherence(one, even, shares) > coherence(other, even, shares)
    True
    """
    prior = np.log(weight)
    expected = prior + strength * (shares @ smoothed(log_joint, shares, strength))
    expected -= logsumexp(expected, axis=1)[:, None]
    return float(logsumexp(log_joint - prior + expected, axis=1).sum())
