"""Discriminants: branches in closed form, linear in what the ions of a pixel amount to."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch, PeakGraphs

__all__ = [
    "N_FAULTS",
    "N_STRENGTHS",
    "AxisBranch",
    "Discriminants",
    "FamilyBranch",
]

N_FAULTS = 3  # none, peaks lost at random, the weakest lost
N_FEATURES = 2  # of an ion, for discriminants
N_STRENGTHS = 4  # groups of ions, from weak to strong


class Discriminants(nn.Module):
    r"""Linear discriminants on the ions of the axis, chosen by how much is missing.

    Each ion that a pixel holds has two features, zero where it is absent. With how far the ion is
    there, :math:`w_k` (see `massgraph.encode.ions`), a value :math:`v_k` and its mean :math:`\mu_k`
    where the ion is present, they are its share :math:`V_k = w_k v_k / \sum_k w_k v_k`, which knows
    an absent ion from a weak one, and its deviation :math:`D_k = w_k (v_k - \mu_k - g)` from what
    is usual, where :math:`g` is the mean deviation in the pixel, for which an absent ion says
    nothing. Which of the `Addresses` these are of makes a branch (`SHARED`, `DEVIATING`).

    Each of three discriminants, for spectra as measured, with peaks lost at random, and with the
    weakest lost, gives logits that are a sum over ions; a gate weighs them by the shares of the
    expected ions that the pixel has, from weak ones to strong ones.

    Parameters
    ----------
    n_ions, n_classes
        Ions of the axis, and classes.

    Examples
    --------
    Share and deviation of three peaks in two pixels; nothing is known of what is usual:

    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.discriminants import AxisBranch
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> known = [[1, 0, 1, 1, 0], [2, 1, 1, 3, 0], [3, 0, 1, 3, 0]]  # as `Addresses` names them
    >>> features = np.hstack([spectra.intensity[:, None], np.array(known, np.float32)])
    >>> graphs = PeakGraphs(features, spectra.offsets, messages)
    >>> AxisBranch(n_ions=2, n_classes=2).features(graphs.batch(np.arange(2), edges="none"))
    tensor([[ 0.3333, -0.5000],
            [ 0.6667,  0.5000],
            [ 1.0000,  0.0000]], dtype=torch.float64)
    """

    reads: ClassVar[int] = 0  # as for `massgraph.nn.rgcn.RGCN`

    SHARED: str
    DEVIATING: str
    MEASURED: tuple[float, float]
    LOST: tuple[float, float]
    """Part of the discriminant on each feature alone, for spectra as measured and for lost peaks.

    The two for lost peaks have one on all features besides, learnt from degraded copies.
    """

    def __init__(self, n_ions: int, n_classes: int) -> None:
        super().__init__()
        # float64: the weights come from solved equations, and sums over ions are to be exact.
        n, wide = max(n_ions, 1), torch.float64
        # Buffers and no parameters: nothing here is learnt by steps.
        self.register_buffer("usual", torch.zeros(n, dtype=wide))
        self.register_buffer("expected", torch.zeros(n, N_STRENGTHS, dtype=wide))
        self.register_buffer("gate_weight", torch.zeros(N_STRENGTHS, N_FAULTS, dtype=wide))
        self.register_buffer("gate_bias", torch.zeros(N_FAULTS, dtype=wide))
        shape = (N_FEATURES, n, N_FAULTS * n_classes)
        self.register_buffer("weight", torch.zeros(shape, dtype=wide))
        self.register_buffer("bias", torch.zeros(N_FAULTS, n_classes, dtype=wide))

    usual: torch.Tensor
    expected: torch.Tensor
    gate_weight: torch.Tensor
    gate_bias: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    def features(self, batch: PeakBatch) -> torch.Tensor:
        """Share and deviation of each node, float64, ``(n_nodes, N_FEATURES)``."""
        where = addresses(batch)
        weight = where.weight.double()
        share = weight * getattr(where, self.SHARED).double()
        share = share / _pixel_sum(share, batch).clamp(min=1e-12)[batch.pixel]
        deviation = weight * (getattr(where, self.DEVIATING).double() - self.usual[where.ion])
        known = _pixel_sum(weight, batch).clamp(min=1e-12)
        common = _pixel_sum(deviation, batch) / known
        return torch.stack([share, deviation - weight * common[batch.pixel]], dim=1)

    def completeness(self, batch: PeakBatch) -> torch.Tensor:
        """Shares of the expected ions, from weak to strong, ``(n_pixels, N_STRENGTHS)``."""
        where = addresses(batch)
        found = where.weight.double()[:, None] * self.expected[where.ion]
        return found.new_zeros(batch.n_pixels, N_STRENGTHS).index_add(0, batch.pixel, found)

    def take(
        self, graphs: PeakGraphs, pixels: NDArray[np.int64], device: torch.device
    ) -> PeakBatch:
        """Peaks of these pixels, without their edges."""
        return graphs.batch(pixels, edges="none").to(device)

    def gate(self, complete: torch.Tensor) -> torch.Tensor:
        """Weight of each discriminant, shape ``(n_pixels, N_FAULTS)``."""
        return torch.softmax(complete @ self.gate_weight + self.gate_bias, dim=1)

    def cam(self, batch: PeakBatch) -> torch.Tensor:
        """Class activation of each peak, float64, ``(n_peaks, n_classes)``."""
        ion = addresses(batch).ion
        features = self.features(batch)
        each = features[:, :1] * self.weight[0, ion]
        each += features[:, 1:] * self.weight[1, ion]
        gate = self.gate(self.completeness(batch))
        # As a mean over the peaks: the contribution times their number.
        each = (
            each.view(len(each), N_FAULTS, self.bias.shape[1])
            * batch.counts[batch.pixel, :, None].double()
        )
        cam = torch.einsum("pf,pfc->pc", gate[batch.pixel], each)
        # What the choice of the discriminant adds is of no ion: the peaks share it equally.
        return cam + (gate @ (self.bias - self.bias[0]))[batch.pixel]

    def forward(self, batch: PeakBatch) -> torch.Tensor:
        """Logits, float64, shape ``(n_pixels, n_classes)``."""
        return self.embedding(batch) + self.intercept()

    def embedding(self, batch: PeakBatch) -> torch.Tensor:
        """Mean activation of each pixel, without the intercept, ``(n_pixels, n_classes)``."""
        return _pixel_mean(self.cam(batch), batch)

    def intercept(self) -> torch.Tensor:
        """Part of the logits that no peak carries, shape ``(n_classes,)``."""
        return self.bias[0]


class AxisBranch(Discriminants):
    """`Discriminants` on the amounts of single ions.

    Examples
    --------
    The share of ion 1 speaks for class 0, by the discriminant for spectra as measured:

    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.discriminants import AxisBranch
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> known = [[1, 0, 1, 1, 0], [2, 1, 1, 3, 0], [3, 0, 1, 3, 0]]  # as `Addresses` names them
    >>> features = np.hstack([spectra.intensity[:, None], np.array(known, np.float32)])
    >>> graphs = PeakGraphs(features, spectra.offsets, messages)
    >>> branch = AxisBranch(n_ions=2, n_classes=2)
    >>> branch.weight[0, 1, 0] = 9.0
    >>> branch(graphs.batch(np.arange(2), edges="none"))
    tensor([[2., 0.],
            [0., 0.]], dtype=torch.float64)
    """

    SHARED = DEVIATING = "amount"
    MEASURED = (0.8, 0.2)
    LOST = (1 / 3, 2 / 3)


class FamilyBranch(Discriminants):
    """`Discriminants` on what the ions of one molecule add up to (`massgraph.encode.molecules`).

    The surplus refers to what is usual for the ions that the pixel has: where peaks are lost only
    its deviation can be used.

    Examples
    --------
    As `AxisBranch`, of the amount of the molecule:

    >>> import massgraph as mg
    >>> import numpy as np
    >>> import torch
    >>> from massgraph.graph.batch import PeakGraphs
    >>> from massgraph.graph.builder import build_messages
    >>> from massgraph.nn.discriminants import FamilyBranch
    >>> spectra = mg.Spectra.from_peaks([([300.0, 314.01565], [1, 2]), ([300.0], [3])])
    >>> messages = build_messages(spectra, mg.relations_from_masses({"CH2": 14.01565}))
    >>> known = [[1, 0, 1, 1, 0], [2, 1, 1, 3, 0], [3, 0, 1, 3, 0]]  # as `Addresses` names them
    >>> features = np.hstack([spectra.intensity[:, None], np.array(known, np.float32)])
    >>> graphs = PeakGraphs(features, spectra.offsets, messages)
    >>> branch = FamilyBranch(n_ions=2, n_classes=2)
    >>> branch.weight[0, 1, 0] = 8.0
    >>> branch(graphs.batch(np.arange(2), edges="none"))
    tensor([[2., 0.],
            [0., 0.]], dtype=torch.float64)
    """

    SHARED, DEVIATING = "molecule", "surplus"
    MEASURED = (0.5, 0.5)
    LOST = (0.0, 1.0)


def _pixel_sum(values: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
    return values.new_zeros(batch.n_pixels).index_add(0, batch.pixel, values)


def _pixel_mean(values: torch.Tensor, batch: PeakBatch) -> torch.Tensor:
    total = values.new_zeros(batch.n_pixels, values.shape[1]).index_add(0, batch.pixel, values)
    return total / batch.counts.clamp(min=1).to(values.dtype)
