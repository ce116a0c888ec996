"""Molecules that a pixel holds: its ions merged, as nodes of a graph of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.encode.amounts import molecule_groups
from massgraph.encode.axis import MassAxis
from massgraph.encode.ions import IonNodes

__all__ = ["Molecules", "find_molecules", "merge_ions"]


@dataclass(frozen=True, eq=False)
class Molecules:
    """Molecules among the ions of an axis.

    Parameters
    ----------
    of_ion
        Molecule of each ion, int64, shape ``(n_ions,)``.
    axis
        The molecules as an axis of their own, ``n_molecules`` long: m/z of the lightest ion of
        each, how common a molecule is, and the usual intensity of its ions together.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.molecules import find_molecules
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> molecules = find_molecules(axis, mg.default_relations("positive"))
    >>> len(molecules.of_ion) == len(axis) > len(molecules.axis)
    True
    """

    of_ion: NDArray[np.int64]
    axis: MassAxis


def find_molecules(
    axis: MassAxis, relations: Relations, of_ion: NDArray[np.int64] | None = None
) -> Molecules:
    """Molecules among the ions of an axis: see `massgraph.encode.amounts.molecule_groups`.

    Parameters
    ----------
    axis
        The ions.
    relations
        Those between ions of one molecule count.
    of_ion
        Molecule of each ion, where it is known, as of a saved model.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.molecules import find_molecules
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> found = find_molecules(learn_axis(spectra), mg.default_relations("positive"))
    >>> bool((np.diff(found.axis.mz) > 0).all())  # numbered by their lightest ions
    True
    """
    of_ion = molecule_groups(axis, relations) if of_ion is None else of_ion
    n = int(of_ion.max(initial=-1)) + 1
    first = np.unique(of_ion, return_index=True)[1]
    presence = np.minimum(np.bincount(of_ion, axis.presence, n), 1.0)
    usual = np.bincount(of_ion, axis.presence * np.exp(axis.level), n)
    level = np.log(usual / np.maximum(presence, 1e-9))
    merged = replace(
        axis, mz=axis.mz[first], presence=presence, anchor=axis.anchor[first], level=level
    )
    return Molecules(of_ion, merged)


def merge_ions(molecules: Molecules, nodes: IonNodes) -> IonNodes:
    r"""Merge the ions of each pixel per molecule, as `massgraph.encode.ions.ion_nodes` does peaks.

    A molecule is there by :math:`w_m = \min(1, \sum_k w_k)` and has the intensity
    :math:`\sum_k w_k I_k / w_m`. Ions that were lost are missing from the sum: a spectrum is
    degraded first and summed then.

    Parameters
    ----------
    molecules
        Of the axis that the nodes are on.
    nodes
        Ions of the pixels.

    Returns
    -------
    IonNodes
        A node per pixel and molecule that it holds; `part` is that of the ions in them, CSR
        ``(n_nodes, n_ion_nodes)``.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.encode.molecules import find_molecules, merge_ions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> ions = ion_nodes(axis, axis.calibrate(spectra))
    >>> merged = merge_ions(find_molecules(axis, mg.default_relations("positive")), ions)
    >>> merged.spectra.n_peaks < ions.spectra.n_peaks
    True
    """
    n = max(len(molecules.axis), 1)
    place = nodes.spectra.pixel_of_peak * n + molecules.of_ion[nodes.ion]
    keys, node = np.unique(place, return_inverse=True)
    amount = nodes.weight * nodes.spectra.intensity
    total = np.bincount(node, amount, keys.size)
    weight = np.minimum(np.bincount(node, nodes.weight, keys.size), 1.0)
    pixel, molecule = np.divmod(keys, n)
    rows = node, np.arange(node.size)
    part = sp.csr_matrix((amount / total[node], rows), shape=(keys.size, node.size))
    merged = nodes.spectra._derive(
        mz=molecules.axis.mz[molecule],
        intensity=(total / weight).astype(nodes.spectra.intensity.dtype),
        offsets=np.searchsorted(pixel, np.arange(nodes.spectra.n_pixels + 1)),
        axis=None,
    )
    return IonNodes(merged, molecule, weight, part)
