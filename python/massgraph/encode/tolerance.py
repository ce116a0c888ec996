"""How exact the mass differences between the ions of an axis are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from massgraph.chem.relations import Relations
from massgraph.graph.search import fitting_pairs

__all__ = ["USUAL_PPM", "difference_tolerance"]

Floats = NDArray[np.float64]

USUAL_PPM = 5.0  # where the data do not show a tolerance
BOUNDS_PPM = (1.0, 10.0)
REACH_PPM = 20.0  # pairs farther from every relation say nothing
DEVIATIONS = 3.0  # a true pair in 400 is farther off
FIRST_PPM = 1.5  # where expectation maximisation starts
SMALLEST_PPM = 0.01
STEPS = 50
LEAST_PAIRS = 10.0
LEAST_CONTRAST = 2.0  # of true pairs over chance ones where a relation is met exactly


def difference_tolerance(mz: Floats, relations: Relations) -> float:
    """Tolerance of mass differences that the ions of the data show, in ppm of the heavier ion.

    Pairs of ions whose difference is near a relation's mass are true ones, which scatter around it
    as a Gaussian, or chance ones, which lie anywhere. Expectation maximisation on the pairs within
    20 ppm gives the share and the deviation of the true ones; the tolerance is three of their
    deviations, at least 1 and at most 10 ppm.

    Parameters
    ----------
    mz
        Ascending m/z of the ions, float64, shape ``(n_ions,)``.
    relations
        The mass differences that are looked for.

    Returns
    -------
    float
        5 where there are fewer than ten true pairs, or where an exact difference is not twice as
        likely a true one as chance: m/z in bins of 1 Da show none, for example.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.tolerance import difference_tolerance
    >>> exact = mg.simulate("tiny", n_runs=1).axis
    >>> difference_tolerance(exact, mg.default_relations("positive"))
    1.0
    """
    error = _errors(mz, relations)
    if error.size == 0:
        return USUAL_PPM
    share, deviation = 0.5, FIRST_PPM
    chance = 1 / (2 * REACH_PPM)
    for _ in range(STEPS):
        peak = share / (deviation * np.sqrt(2 * np.pi))
        true = peak * np.exp(-0.5 * (error / deviation) ** 2)
        true /= true + (1 - share) * chance
        share = float(true.mean())
        spread = float(true @ error**2 / max(true.sum(), 1e-12))
        deviation = max(np.sqrt(spread), SMALLEST_PPM)
    contrast = share / (deviation * np.sqrt(2 * np.pi)) / max((1 - share) * chance, 1e-12)
    if share * error.size < LEAST_PAIRS or contrast < LEAST_CONTRAST:
        return USUAL_PPM
    return float(np.clip(DEVIATIONS * deviation, *BOUNDS_PPM))


def _errors(mz: Floats, relations: Relations) -> Floats:
    """Difference less the relation's mass, in ppm, of all pairs within reach of a relation."""
    found = [np.empty(0)]
    for mass in relations.masses.tolist() if mz.size else []:
        light, heavy = fitting_pairs(mz, mz, mass, REACH_PPM, "ppm")
        found.append((mz[heavy] - mz[light] - mass) / mz[heavy] * 1e6)
    return np.concatenate(found)
