"""Peaks lost at random: how to tell, and amounts of molecules that bear it.

Where peaks are missing because they are weak, an absent ion says that there is little of it. Where
they are lost whatever their intensity, as to a writer that keeps some of them, it says nothing, and
sums over the ions of a molecule say how many of them were lost. The ions that are left still say
how much there is: each by how far it lies above or below its usual intensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.encode.ions import IonNodes

__all__ = ["PeakLoss", "find_peak_loss", "log_deviations"]

Floats = NDArray[np.float64]

LOST = 0.9  # of the pixels rich in ions: the commonest ion is in more of them unless peaks get lost
COMMONEST, COMMON = 0.95, 0.75  # quantiles of the ions
LEVEL = 0.7  # of how often the commonest ions are there: the common ones are, if chance decides
ROUNDS = 10


@dataclass(frozen=True, eq=False)
class PeakLoss:
    """What is known of peaks that are lost at random.

    Parameters
    ----------
    kept
        Share of the peaks that are left, in (0, 1).
    level
        Log intensity that each ion has where the median of the pixel is 0, ``(n_ions,)``.

    Examples
    --------
    See `find_peak_loss`.
    """

    kept: float
    level: Floats


def find_peak_loss(nodes: IonNodes, n_ions: int) -> PeakLoss | None:
    """Find out whether peaks are lost at random.

    However weak most ions are, some are in nearly all of the pixels that are rich in ions. Where
    even the commonest one is in fewer than 90 % of them, and other common ones are there about as
    often, peaks get lost whatever their intensity. Where few ions are counted at all, how often
    one is there grows with its amount up to the commonest.

    Parameters
    ----------
    nodes
        Ions of some pixels.
    n_ions
        Of the axis.

    Returns
    -------
    PeakLoss or None
        None where peaks are not lost at random.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.peak_loss import find_peak_loss
    >>> for keep in (1.0, 0.5):
    ...     spectra = mg.simulate("regions", shape=(20, 20), keep=keep).spectra
    ...     axis = learn_axis(spectra)
    ...     loss = find_peak_loss(ion_nodes(axis, axis.calibrate(spectra)), len(axis))
    ...     print(loss is None or round(loss.kept, 1))
    True
    0.5
    """
    spectra, pixel = nodes.spectra, nodes.spectra.pixel_of_peak
    count = np.bincount(pixel, nodes.weight, spectra.n_pixels)
    if not count.any():
        return None
    rich = count >= np.median(count[count > 0])
    seen = rich[pixel]
    presence = np.bincount(nodes.ion[seen], nodes.weight[seen], n_ions) / rich.sum()
    common, kept = np.quantile(presence, (COMMON, COMMONEST))
    if presence.max() >= LOST or common < LEVEL * kept:
        return None
    return PeakLoss(float(kept), _levels(nodes, n_ions))


def _levels(nodes: IonNodes, n_ions: int) -> Floats:
    """Ions and pixels in turns: means of ions over pixels, medians of pixels over ions."""
    value, pixel = np.log(nodes.spectra.intensity), nodes.spectra.pixel_of_peak
    size = np.bincount(nodes.ion, minlength=n_ions)
    level = np.zeros(n_ions)
    brightness = np.zeros(nodes.spectra.n_pixels)
    for _ in range(ROUNDS):
        total = np.bincount(nodes.ion, value - brightness[pixel], n_ions)
        level = total / np.maximum(size, 1)
        brightness = _medians(value - level[nodes.ion], nodes)
    return level


def _medians(value: Floats, nodes: IonNodes) -> Floats:
    """Of the nodes of each pixel; 0 where there are none."""
    offsets = nodes.spectra.offsets
    size = np.diff(offsets)
    found = np.zeros(len(size))
    some = size > 0
    order = np.lexsort((value, nodes.spectra.pixel_of_peak))
    first = offsets[:-1][some]
    low, high = first + (size[some] - 1) // 2, first + size[some] // 2
    found[some] = (value[order[low]] + value[order[high]]) / 2
    return found


def log_deviations(nodes: IonNodes, group: NDArray[np.int64], loss: PeakLoss) -> sp.csr_matrix:
    r"""How much more than usual of each molecule a pixel holds, by the ions that are left.

    With :math:`d_k` the log intensity of an ion less its usual one and less the median of these
    differences in the pixel, the value of a molecule with n ions in the pixel is :math:`\sum_k d_k
    / (n + 1)`: their mean, drawn to zero by as much as one ion weighs.

    Parameters
    ----------
    nodes
        Ions of the pixels.
    group
        Group of each ion of the axis, from 0 (`massgraph.encode.amounts.molecule_groups`, or one
        for each).
    loss
        What `find_peak_loss` found.

    Returns
    -------
    scipy.sparse.csr_matrix
        float64, shape ``(n_pixels, n_groups)``; nothing for molecules without ions in the pixel.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.peak_loss import find_peak_loss, log_deviations
    >>> spectra = mg.simulate("regions", shape=(20, 20), keep=0.5).spectra
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> group = np.arange(len(axis))
    >>> amounts = log_deviations(nodes, group, find_peak_loss(nodes, len(axis)))
    >>> amounts.shape == (spectra.n_pixels, len(axis)), bool(abs(amounts.data.mean()) < 0.1)
    (True, True)
    """
    value = np.log(nodes.spectra.intensity) - loss.level[nodes.ion]
    pixel = nodes.spectra.pixel_of_peak
    value -= _medians(value, nodes)[pixel]
    shape = (nodes.spectra.n_pixels, int(group.max(initial=-1)) + 1)
    place = (pixel, group[nodes.ion])
    total = sp.csr_matrix((nodes.weight * value, place), shape=shape)
    count = sp.csr_matrix((nodes.weight, place), shape=shape)
    total.sum_duplicates()
    count.sum_duplicates()
    total.data /= count.data + 1
    return total
