"""Finding the data's own mass axis: its ions, and how common, strong and wide they are."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from massgraph.data.alignment import assign_to_axis, find_axis
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import AXIS_ERROR_DA, MOST_IONS, CalibratedSpectra, MassAxis, corrected
from massgraph.encode.calibration import calibrate
from massgraph.encode.ions import IonNodes, ion_nodes, weighted_mean

__all__ = ["OwnAxis", "learn_axis", "own_axis"]

Floats = NDArray[np.float64]

MIN_PRESENCE = 0.03  # share of the pixels that an ion must occur in
LEARNING_PIXELS = 1500  # pixels that the axis is learnt from, evenly spread
FIRST_WIDTH_DA = 2.5e-3  # before the width is known
ANCHORS = 80
# Anchors are common and stand alone; where there are too few, less common and closer ones serve.
ANCHOR_RULES = ((0.5, 0.015), (0.3, 0.015), (0.3, 0.01), (0.1, 0.005), (MIN_PRESENCE, 0.0))
LEVEL_STEPS = 3


class OwnAxis(NamedTuple):
    """What `own_axis` returns: the axis, the pixels calibrated to it, and their ions.

    Examples
    --------
    >>> from massgraph.encode.learn_axis import OwnAxis
    >>> OwnAxis._fields
    ('axis', 'calibrated', 'ions')
    """

    axis: MassAxis
    calibrated: CalibratedSpectra
    ions: IonNodes


def learn_axis(spectra: Spectra) -> MassAxis:
    """Find the ions of the data; no setting is needed.

    The ions of the run with most peaks come first; all runs are calibrated to them, which says how
    wide an ion is, and the axis is built again from all at that width.

    Parameters
    ----------
    spectra
        Preprocessed pixels; some 1500 of them, evenly spread, are looked at.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> 0 < len(axis) < spectra.n_peaks
    True
    """
    return _learnt_from(spectra[:: _step(spectra)]).axis


def own_axis(spectra: Spectra) -> OwnAxis:
    """As `learn_axis`, with what it finds of the pixels on the way.

    Parameters
    ----------
    spectra
        Preprocessed pixels, whole runs or all that is known of them.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import own_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis, calibrated, ions = own_axis(spectra)
    >>> calibrated.spectra.n_pixels, bool(ions.ion.max() < len(axis))
    (144, True)
    """
    if _step(spectra) == 1:
        return _learnt_from(spectra)
    axis = learn_axis(spectra)
    calibrated = axis.calibrate(spectra)
    return OwnAxis(axis, calibrated, ion_nodes(axis, calibrated))


def _step(spectra: Spectra) -> int:
    return max(spectra.n_pixels // LEARNING_PIXELS, 1)


def _learnt_from(sample: Spectra) -> OwnAxis:
    codes = np.asarray(sample.run_codes)
    peaks_of_run = np.bincount(codes, weights=sample.peak_counts)
    # Runs may be shifted against each other: one alone shows narrow ions, all at once blurred ones.
    axis = _axis_of(sample[codes == np.argmax(peaks_of_run)], FIRST_WIDTH_DA)
    for _ in range(2):
        calibration = calibrate(sample, axis.mz[axis.anchor])
        shift = float(np.abs(calibration.shift).max(initial=0.0))
        width = float(np.median(calibration.width))
        axis = _axis_of(corrected(sample, calibration), width)
        axis = replace(axis, shift=shift, width=width)
    calibrated = axis.calibrate(sample)
    nodes = ion_nodes(axis, calibrated)
    return OwnAxis(_with_levels(axis, nodes), calibrated, nodes)


def _axis_of(spectra: Spectra, width: float) -> MassAxis:
    # The density is smoothed by half the tolerance: by about one width, at least 0.8 mDa.
    tolerance = 2 * max(width, AXIS_ERROR_DA)
    mz = find_axis(spectra.mz, tolerance, "Da") if spectra.axis is None else spectra.axis
    if len(mz) == 0:
        return MassAxis(*(np.empty(0),) * 2, np.empty(0, dtype=bool), np.empty(0), width, 0.0)
    ion = assign_to_axis(spectra.mz, mz)
    near = np.abs(spectra.mz - mz[ion]) <= 2 * tolerance
    # In order already, as m/z ascend in a pixel, which this sort makes use of.
    pairs = np.sort(spectra.pixel_of_peak[near] * len(mz) + ion[near], kind="stable")
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    n_pixels = max(int((spectra.peak_counts > 0).sum()), 1)
    presence = np.bincount(pairs % max(len(mz), 1), minlength=len(mz)) / n_pixels
    common = presence >= MIN_PRESENCE
    if common.sum() > MOST_IONS:
        common &= presence >= np.sort(presence)[-MOST_IONS]
        # Several ions may be as common as the last one: the lighter ones stay.
        common[np.flatnonzero(common)[MOST_IONS:]] = False
    mz, presence = mz[common], presence[common]
    return MassAxis(mz, presence, _anchors(mz, presence), np.zeros(mz.size), width, 0.0)


def _anchors(mz: Floats, presence: Floats) -> NDArray[np.bool_]:
    gap = np.diff(mz, prepend=-np.inf, append=np.inf)
    alone = np.minimum(gap[:-1], gap[1:])
    chosen = np.zeros(mz.size, dtype=bool)
    for lowest, isolation in ANCHOR_RULES:
        chosen = (presence >= lowest) & (alone >= isolation)
        if chosen.sum() >= ANCHORS:
            break
    return chosen


def _with_levels(axis: MassAxis, nodes: IonNodes) -> MassAxis:
    """The axis with the level of each ion, learnt from the ions of calibrated spectra.

    Levels of the ions and gains of the pixels are each the mean of what the other leaves.
    """
    pixel, log = nodes.spectra.pixel_of_peak, np.log(nodes.spectra.intensity.astype(np.float64))
    level, gain = np.zeros(len(axis)), np.zeros(nodes.spectra.n_pixels)
    for _ in range(LEVEL_STEPS):
        level = weighted_mean(nodes.ion, nodes.weight, log - gain[pixel], level.size)
        gain = weighted_mean(pixel, nodes.weight, log - level[nodes.ion], gain.size)
    return replace(axis, level=level)
