"""Sums over the ions of a molecule, and how much of each a pixel holds: features without labels.

How a molecule is split over its isotopes and alkali adducts varies with salt, washing and matrix.
Its sum does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.encode.axis import MassAxis
from massgraph.encode.ions import IonNodes

__all__ = [
    "EXCHANGES",
    "LARGEST_TOLERANCE_DA",
    "exchange_links",
    "ion_links",
    "log_shares",
    "molecule_groups",
]

EXCHANGES = ("13C", "13C2", "41K", "Na-H", "K-H", "K-Na", "HCl")
"""Names of the relations between ions of one molecule: isotopes, and exchange of what charges it.

Losses of water and ammonia are none of them: most pairs at their distance are other molecules, as
are those at the distance of formic and acetic acid.
"""

# Wider, and molecules by chance outnumber the true ones: at 1.6 mDa most of the gain is lost.
LARGEST_TOLERANCE_DA = 1e-3
LEAST_TRUE = 1 / 3  # of the pairs at a relation: more of them by chance, and sums lose by it
BESIDE_DA = np.arange(3, 13) * 1e-3  # from a relation, where pairs are there by chance
LINEAR = 10.0  # times the average group: up to here amounts are nearly linear


def ion_links(
    axis: MassAxis, relations: Relations, names: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """Which ions of the axis differ by a relation.

    Two ions are linked where their difference is that of the relation within twice the width of the
    axis, at most `LARGEST_TOLERANCE_DA`; of several candidates the nearest is.

    Parameters
    ----------
    axis
        The ions.
    relations
        Those of other names are left out.
    names
        Of the relations.

    Returns
    -------
    dict
        By name, int64, shape ``(n_links, 2)``: the lighter and the heavier ion.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.amounts import ion_links
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> light, heavy = ion_links(axis, mg.default_relations("positive"), ["Na-H"])["Na-H"].T
    >>> bool((abs(axis.mz[heavy] - axis.mz[light] - 21.98194) < 1e-3).all())
    True
    """
    known = zip(relations.names, relations.masses, strict=True)
    tolerance = _tolerance(axis)
    return {name: _links(axis.mz, mass, tolerance) for name, mass in known if name in names}


def _tolerance(axis: MassAxis) -> float:
    return min(2 * axis.width, LARGEST_TOLERANCE_DA)


def exchange_links(axis: MassAxis, relations: Relations) -> dict[str, NDArray[np.int64]]:
    """Which ions of the axis are of one molecule and differ by a relation of `EXCHANGES`.

    A relation counts where the data show it: where at least a third of the pairs at its difference
    are more than there are by chance, the median number of pairs 3 to 12 mDa beside it. Where
    spectra were measured without chlorine, pairs of ions that differ by HCl are no molecules.

    Parameters
    ----------
    axis
        The ions.
    relations
        Those of other names are left out.

    Returns
    -------
    dict
        As of `ion_links`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.amounts import exchange_links
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> list(exchange_links(learn_axis(spectra), mg.default_relations("positive")))
    ['13C', '13C2', '41K', 'Na-H', 'K-H', 'K-Na']
    """
    links = ion_links(axis, relations, EXCHANGES)
    mass = dict(zip(relations.names, relations.masses, strict=True))
    return {name: found for name, found in links.items() if _outnumber(axis, mass[name], found)}


def _outnumber(axis: MassAxis, mass: float, links: NDArray[np.int64]) -> bool:
    """Whether enough of the links are more than chance."""
    beside = [
        len(_links(axis.mz, mass + sign * shift, _tolerance(axis)))
        for shift in BESIDE_DA
        for sign in (-1, 1)
    ]
    # The median: another relation may lie beside this one, as that of H2 does beside 13C2.
    return bool(len(links) - np.median(beside) >= LEAST_TRUE * len(links) > 0)


def molecule_groups(axis: MassAxis, relations: Relations) -> NDArray[np.int64]:
    """Which ions of the axis are of one molecule: those connected by `exchange_links`.

    Parameters
    ----------
    axis
        The ions.
    relations
        Those of other names are left out.

    Returns
    -------
    numpy.ndarray
        Number of the molecule of each ion, int64, shape ``(n_ions,)``, from 0, in the order of the
        lightest ions.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.amounts import molecule_groups
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> molecule = molecule_groups(axis, mg.default_relations("positive"))
    >>> bool(molecule.max() + 1 < len(axis))
    True
    """
    links = exchange_links(axis, relations).values()
    light, heavy = np.concatenate([np.empty((0, 2), dtype=np.int64), *links]).T
    n = len(axis)
    graph = sp.csr_matrix((np.ones(light.size), (light, heavy)), shape=(n, n))
    found = sp.csgraph.connected_components(graph, directed=False)[1]
    return np.asarray(found, dtype=np.int64)


def _links(mz: NDArray[np.float64], mass: float, tolerance: float) -> NDArray[np.int64]:
    """Pairs of ions that differ by a mass, ``(n_links, 2)``."""
    if len(mz) < 2:
        return np.empty((0, 2), dtype=np.int64)
    right = np.clip(np.searchsorted(mz, mz + mass), 1, len(mz) - 1)
    nearer = np.abs(mz[right - 1] - mz - mass) <= np.abs(mz[right] - mz - mass)
    heavy = right - nearer
    light = np.flatnonzero(np.abs(mz[heavy] - mz - mass) <= tolerance)
    return np.column_stack([light, heavy[light]])


def log_shares(nodes: IonNodes, group: NDArray[np.int64]) -> sp.csr_matrix:
    r"""How much of each molecule a pixel holds.

    With :math:`s_g` the share of a group of ions in the intensity of all known ions of the pixel,
    and G the number of groups, the value is :math:`10 \log(1 + G s_g / 10)`: nearly linear for
    groups below ten times the average, logarithmic above, and zero for what is not there. More
    of the logarithm would give weak molecules, which are mostly noise, more to say.

    Parameters
    ----------
    nodes
        Ions of the pixels.
    group
        Group of each ion of the axis, from 0 (`molecule_groups`, or one for each).

    Returns
    -------
    scipy.sparse.csr_matrix
        float64, shape ``(n_pixels, n_groups)``; rows of pixels without known ions are empty.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.amounts import log_shares
    >>> from massgraph.encode.ions import ion_nodes
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> nodes = ion_nodes(axis, axis.calibrate(spectra))
    >>> amount = 10 * np.expm1(log_shares(nodes, np.arange(len(axis))).toarray() / 10)
    >>> np.allclose(amount.mean(axis=1), 1)
    True
    """
    spectra = nodes.spectra
    n_groups = int(group.max(initial=-1)) + 1
    pixel = spectra.pixel_of_peak
    intensity = nodes.weight * spectra.intensity
    total = np.bincount(pixel, intensity, spectra.n_pixels)
    share = intensity / total[pixel] if pixel.size else intensity
    amounts = sp.csr_matrix(
        (share * n_groups / LINEAR, (pixel, group[nodes.ion])), shape=(spectra.n_pixels, n_groups)
    )
    amounts.sum_duplicates()
    return LINEAR * amounts.log1p()
