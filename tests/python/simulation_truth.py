"""What tests of the simulation look at it by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from massgraph.simulation.lipids import DETECTION_LIMIT
from massgraph.simulation.simulate import OFF_TISSUE, Simulation

# Nothing that blurs the planted effect but counting noise: what is left is what was planted.
PLAIN = {"batch_effect": 0.0, "family_variation": 0.0, "adduct_variation": 0.0}


def matrix(simulation: Simulation) -> NDArray[np.float64]:
    """Log intensity of each peak of the axis by pixel, on a scale on which absent is 0."""
    spectra, known = simulation.spectra, simulation.ion >= 0
    values = np.zeros((spectra.n_pixels, simulation.axis.size))
    values[spectra.pixel_of_peak[known], simulation.ion[known]] = spectra.intensity[known]
    return np.log(np.maximum(values, DETECTION_LIMIT) / DETECTION_LIMIT)


def equal(one: Simulation, other: Simulation) -> bool:
    """Whether two simulations are the same to the last bit."""
    return (
        one.spectra.fingerprint() == other.spectra.fingerprint()
        and np.array_equal(one.spectra.coordinates, other.spectra.coordinates)
        and np.array_equal(one.spectra.run, other.spectra.run)
        and one.labels.tolist() == other.labels.tolist()
        and one.truth.tolist() == other.truth.tolist()
        and one.ion.tolist() == other.ion.tolist()
        and np.array_equal(one.calibration_ppm, other.calibration_ppm)
        and one.classes == other.classes
        and one.families.equals(other.families)
    )


def planted(simulation: Simulation, name: str | None = None) -> NDArray[np.bool_]:
    """Peaks of the axis that hold ions planted for one class alone, or any that are planted."""
    ions = simulation.families
    which = ions["discriminates"] != "" if name is None else ions["discriminates"] == name
    mask = np.zeros(simulation.axis.size, dtype=bool)
    mask[ions.loc[which, "peak"]] = True
    if name is not None:  # what the instrument does not resolve may belong to two families
        mask[ions.loc[~which, "peak"]] = False
    return mask


def separation(simulation: Simulation, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """t and p of each ion: region against the other regions, over runs, which are independent."""
    values, run = matrix(simulation), simulation.spectra.run
    tissue = simulation.truth != OFF_TISSUE
    differences = []
    for one in simulation.spectra.run_names:
        inside = (run == one) & (simulation.truth == name)
        outside = (run == one) & tissue & (simulation.truth != name)
        differences.append(values[inside].mean(axis=0) - values[outside].mean(axis=0))
    seen = np.abs(differences).max(axis=0) > 0
    result = stats.ttest_1samp(np.array(differences)[:, seen], 0.0)
    t, p = np.zeros(seen.size), np.ones(seen.size)
    t[seen], p[seen] = result.statistic, result.pvalue
    return t, p
