"""Ions that a pixel holds: its peaks merged per ion of the axis, which is what branches look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra, MassAxis

__all__ = [
    "N_CONTEXT",
    "IonNodes",
    "context",
    "ion_nodes",
    "relative_intensity",
    "spread",
    "weighted_mean",
]

Floats = NDArray[np.float64]

LEAST = 0.1  # a pixel holds an ion that its peaks belong to by this much, in sum
N_CONTEXT = 5  # columns of `context`: a deviation, and four strengths of ions


@dataclass(frozen=True, eq=False)
class IonNodes:
    """One node per pixel and ion that it holds, ions ascending within a pixel.

    Parameters
    ----------
    spectra
        The nodes as peaks: m/z of the ions, intensities of the peaks that belong to them, less the
        gain of their run.
    ion
        Place in the axis of each node, int64, shape ``(n_nodes,)``.
    weight
        How far the ion is there: how far peaks belong to it, in sum, 1 at most; ``(n_nodes,)``.
    part
        Part of each peak in the intensity of each node, CSR ``(n_nodes, n_peaks)``; rows sum to 1.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> nodes.part.shape == (nodes.spectra.n_peaks, spectra.n_peaks)
    True
    """

    spectra: Spectra
    ion: NDArray[np.int64]
    weight: Floats
    part: sp.csr_matrix

    def kept(self, which: NDArray[np.bool_]) -> IonNodes:
        """Some of the nodes, by a mask."""
        spectra = self.spectra
        before = np.concatenate([[0], np.cumsum(which)])
        kept = spectra._derive(
            mz=spectra.mz[which],
            intensity=spectra.intensity[which],
            offsets=before[spectra.offsets],
            axis=None,
        )
        return IonNodes(kept, self.ion[which], self.weight[which], self.part[which])


def ion_nodes(axis: MassAxis, calibrated: CalibratedSpectra) -> IonNodes:
    r"""Merge the peaks of each pixel per ion.

    With :math:`a_{ik}` how far peak i belongs to ion k (`MassAxis.assign`), the ion is there by
    :math:`w_k = \min(1, \sum_i a_{ik})` and has the intensity :math:`\sum_i a_{ik} I_i / w_k`:
    peaks that share an ion add up, as they would on an instrument that does not resolve them, and
    peaks near no ion are left out. Gains of the run, where they are known, are divided out.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> set(nodes.spectra.mz.tolist()) <= set(axis.mz.tolist())
    True
    """
    spectra = calibrated.spectra
    near, weight = axis.assign(calibrated)
    peak, column = np.nonzero(weight)
    belongs = weight[peak, column].astype(np.float64)
    place = spectra.pixel_of_peak[peak] * max(len(axis), 1) + near[peak, column]
    keys, node = np.unique(place, return_inverse=True)
    total = np.bincount(node, belongs, keys.size)
    kept = total >= LEAST
    amounts = belongs * spectra.intensity[peak]
    summed = np.bincount(node, amounts, keys.size)
    part = sp.csr_matrix(
        (amounts / summed[node], (node, peak)), shape=(keys.size, spectra.n_peaks)
    )[kept]
    keys, there = keys[kept], np.minimum(total[kept], 1.0)
    pixel, ion = np.divmod(keys, max(len(axis), 1))
    intensity = summed[kept] / there
    if calibrated.gains is not None:
        intensity /= np.exp(calibrated.gains.of(spectra, pixel, ion))
    nodes = spectra._derive(
        mz=axis.mz[ion],
        intensity=intensity.astype(spectra.intensity.dtype),
        offsets=np.searchsorted(pixel, np.arange(spectra.n_pixels + 1)),
        axis=None,
    )
    return IonNodes(nodes, ion, np.asarray(there), part)


def spread(nodes: IonNodes, peaks: Spectra, activation: Floats) -> Floats:
    """Class activations of nodes given back to their peaks, so that the means over both agree.

    Parameters
    ----------
    nodes
        Of these peaks.
    peaks
        What the nodes were merged from.
    activation
        Shape ``(n_nodes, n_classes)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_peaks, n_classes)``; zero for peaks near no ion.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes, spread
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> activation = np.ones((nodes.spectra.n_peaks, 1))
    >>> round(float(spread(nodes, spectra, activation).mean()), 6)
    1.0
    """
    counts = np.maximum(nodes.spectra.peak_counts, 1)
    scale = (peaks.peak_counts / counts)[nodes.spectra.pixel_of_peak]
    return np.asarray(nodes.part.T @ (activation * scale[:, None]))


def relative_intensity(axis: MassAxis, nodes: IonNodes) -> Floats:
    """Intensity of each node over the brightness of its pixel, shape ``(n_nodes,)``.

    The brightness is the sum of the intensities over the sum that is usual for the ions that the
    pixel has: lost peaks do not change it, and weak ions hardly count.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes, relative_intensity
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> bright = mg.degrade.scale_intensity(spectra, 10.0)
    >>> nodes, brighter = (ion_nodes(axis, axis.calibrate(x)) for x in (spectra, bright))
    >>> one, other = relative_intensity(axis, nodes), relative_intensity(axis, brighter)
    >>> np.allclose(one, other, rtol=1e-5)
    True
    """
    pixel, n = nodes.spectra.pixel_of_peak, nodes.spectra.n_pixels
    intensity = nodes.spectra.intensity.astype(np.float64)
    total = np.bincount(pixel, nodes.weight * intensity, n)
    usual = np.bincount(pixel, nodes.weight * np.exp(axis.level[nodes.ion]), n)
    return np.asarray(intensity * (usual / np.maximum(total, 1e-300))[pixel])


def context(axis: MassAxis, nodes: IonNodes) -> NDArray[np.float32]:
    """What the axis says of each node, float32, shape ``(n_nodes, N_CONTEXT)``.

    How much higher its log intensity is than usual, less the mean of that over its pixel; and the
    shares of the expected ions that its pixel has, from weak ones to strong ones, 1 at most.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import context, ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> context(axis, nodes).shape == (nodes.spectra.n_peaks, 5)
    True
    """
    pixel, n = nodes.spectra.pixel_of_peak, nodes.spectra.n_pixels
    if len(axis) == 0:
        return np.zeros((0, N_CONTEXT), dtype=np.float32)
    deviation = np.log(nodes.spectra.intensity.astype(np.float64)) - axis.level[nodes.ion]
    deviation -= weighted_mean(pixel, nodes.weight, deviation, n)[pixel]
    edges = np.quantile(axis.level, np.linspace(0, 1, N_CONTEXT)[1:-1])
    group = np.searchsorted(edges, axis.level, side="right")
    expected = np.bincount(group, axis.presence, minlength=N_CONTEXT - 1)
    where = pixel * (N_CONTEXT - 1) + group[nodes.ion]
    found = np.bincount(where, nodes.weight, minlength=n * (N_CONTEXT - 1)).reshape(n, -1)
    complete = np.minimum(found / np.maximum(expected, 1e-9), 1.0)
    return np.column_stack([nodes.weight * deviation, complete[pixel]]).astype(np.float32)


def weighted_mean(group: NDArray[np.int64], weight: Floats, values: Floats, n: int) -> Floats:
    """Weighted mean of the values in each of n groups, zero for an empty one.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.encode.ions import weighted_mean
    >>> group, weight = np.array([0, 0, 2]), np.array([1.0, 3.0, 1.0])
    >>> weighted_mean(group, weight, np.array([4.0, 8.0, 5.0]), 3).tolist()
    [7.0, 0.0, 5.0]
    """
    total = np.maximum(np.bincount(group, weight, n), 1e-9)
    return np.asarray(np.bincount(group, weight * values, n) / total)
