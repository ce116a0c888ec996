"""What the ions of one molecule add up to: its isotopes, adducts and small losses in one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from massgraph.graph.messages import CompactMessages, Messages

if TYPE_CHECKING:
    from massgraph.chem.relations import Relations
    from massgraph.encode.ions import IonNodes

__all__ = ["molecule_amounts"]

Floats = NDArray[np.float64]


def molecule_amounts(
    nodes: IonNodes,
    relative: Floats,
    usual: Floats,
    messages: Messages | CompactMessages,
    relations: Relations,
    unit: float,
) -> tuple[Floats, Floats]:
    r"""How much of its molecule a pixel holds, and how much more than is usual, for each ion.

    With :math:`N(k)` the ion k and those of the pixel that an edge of
    `massgraph.chem.relations.Relations.of_one_molecule` leads to, the amount is
    :math:`\log(1 + \sum_{N(k)} I_j / u)` and the surplus that less
    :math:`\log(1 + \sum_{N(k)} L_j / u)`, where :math:`I_j` is the intensity over the brightness of
    the pixel and :math:`L_j` the usual intensity of the ion. How a molecule is split over its ions
    does not change the sum, and what a pixel lacks is missing in both terms of the surplus.

    Parameters
    ----------
    nodes, messages
        Ions of the pixels, and the edges between them.
    relative, usual
        Intensity of each node over the brightness of its pixel, and the usual one of its ion.
    relations
        What the types of the messages are codes of.
    unit
        See `PeakEncoder`.

    Returns
    -------
    amount, surplus
        Shape ``(n_nodes,)`` each.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes, relative_intensity
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.molecules import molecule_amounts
    >>> from massgraph.graph.builder import build_messages
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis, relations = learn_axis(spectra), mg.default_relations("positive")
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> relative, usual = relative_intensity(axis, nodes), np.exp(axis.level)[nodes.ion]
    >>> messages = build_messages(nodes.spectra, relations)
    >>> amount, surplus = molecule_amounts(nodes, relative, usual, messages, relations, 1.0)
    >>> amount.shape == surplus.shape == (nodes.spectra.n_peaks,)
    True
    """
    counts = np.diff(messages.offsets)
    # In a directed graph a loss has the code of its gain, plus the number of relations.
    chosen = np.flatnonzero(relations.of_one_molecule[messages.kind % len(relations)])
    first = np.repeat(nodes.spectra.offsets[:-1], counts)[chosen]
    receiver = first + messages.receiver[chosen]
    sender = first + messages.sender[chosen]
    sums = (
        own + np.bincount(receiver, weights=own[sender], minlength=own.size)
        for own in (nodes.weight * relative, nodes.weight * usual)
    )
    amount, expected = (np.log1p(total / unit) for total in sums)
    return amount, amount - expected
