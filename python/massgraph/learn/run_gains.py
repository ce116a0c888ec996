"""Gains between runs: what is usual of each class, and what a run shows more or less of.

A run multiplies amounts by gains of its own: another matrix, another day, another instrument. The
classes that a run holds differ, too: a gain is how far the mean of a run is from what is usual of
the mixture of classes that explains the run best. It is found without labels of the run, and for
molecules, not for single ions: where one run has more sodium than another, each adduct differs and
their sum does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.gains import FoldGains, RunGains
from massgraph.encode.ions import IonNodes, ion_nodes, relative_intensity, weighted_mean
from massgraph.learn.targets import Targets

__all__ = ["LearntGains", "UsualAmounts", "find_gains", "gains_as_new", "learn_gains"]

Floats = NDArray[np.float64]
Posterior = Callable[[CalibratedSpectra], Floats]

ROUNDS = 3  # of gains and classes in turn
LEAST_PIXELS = 50  # of a run: fewer do not show its gains
LEAST_LABELLED = 20  # of a run whose classes are known
LEAST_OF_ONE = 5.0  # pixels that have a molecule
LEAST_KNOWN = 20  # molecules that so many pixels have
LEAST_PRESENCE = 0.7  # of that in training: where peaks are lost, amounts of what is left say less
CHANCE = 2.0  # standard deviations by which a count may fall short of that
LEAST_OF_CLASS = 5  # pixels of a second class, so that a run is not a class
LEAST_MIXED = 0.5  # of the labelled pixels are in such runs
OUTERMOST = 0.05  # of the labelled pixels have the fewest molecules, and as many the most
MOST_MIXED = 0.25  # of the pixels of a run have more than these
SHARES_SD = 0.1  # of the share of a class in a run, from equal shares
LEAST_SPREAD = 0.2  # runs of one instrument and tissue differ by this much without gains
UNKNOWN_SPREAD = 0.25  # where the halves of training runs cannot be told apart
OUTLYING = 9.0  # times the median square: no more counts
USUAL_PIXELS = 2.0  # of all classes are added to the means of each


@dataclass(frozen=True, eq=False)
class UsualAmounts:
    """What is usual of the molecules in each class, and how far parts of a run are from it.

    Parameters
    ----------
    group
        Molecule of each ion, int64, shape ``(n_ions,)``; there may be fewer molecules than ions.
    mean
        Mean logarithm of what the ions of a molecule add up to, over the brightness of the pixel,
        where there are any, shape ``(n_classes, n_ions)``.
    error
        Variance of such means over all labelled pixels, shape ``(n_ions,)``.
    presence
        Share of the pixels with the ion, zero where too little is known of its molecule,
        ``(n_ions,)``.
    spread
        Standard deviation of what is no gain between runs: differences up to it are left.
    least, most
        How many molecules labelled pixels have, all but the outermost: pixels with fewer are off
        the tissue, or lack peaks, and those with more are mixed.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=2)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> usual = clf.fitted_.usual
    >>> usual.mean.shape == (3, clf.summary()["axis_ions"]), round(usual.spread, 2)
    (True, 0.2)
    """

    group: NDArray[np.int64]
    mean: Floats
    error: Floats
    presence: Floats
    spread: float
    least: float
    most: float


class LearntGains(NamedTuple):
    """What `learn_gains` returns: what is usual, and the gains of the training runs, if any.

    Examples
    --------
    >>> from massgraph.learn.run_gains import LearntGains
    >>> LearntGains._fields
    ('usual', 'gains')
    """

    usual: UsualAmounts | None
    gains: RunGains | None


class _Amounts(NamedTuple):
    """Logarithm of what the ions of each molecule add up to in each pixel that has any."""

    pixel: NDArray[np.int64]
    molecule: NDArray[np.int64]
    there: Floats
    log: Floats

    def of(self, pixels: NDArray[np.bool_]) -> _Amounts:
        kept = pixels[self.pixel]
        return _Amounts(self.pixel[kept], self.molecule[kept], self.there[kept], self.log[kept])


class _Means(NamedTuple):
    """Of some pixels, for each molecule: mean, its variance, and how many pixels have it."""

    mean: Floats
    error: Floats
    n_pixels: Floats


def learn_gains(
    axis: MassAxis,
    group: NDArray[np.int64],
    calibrated: CalibratedSpectra,
    targets: Targets,
    ions: IonNodes | None = None,
) -> LearntGains:
    """Learn from labelled pixels what is usual, and by what gains their runs differ from it.

    Neither is known where runs are classes. Of the cores of a tissue array, for example, each is of
    one tissue: what tells runs apart is what tells classes apart there.

    Parameters
    ----------
    axis, group
        Of the model, and the molecule of each of its ions.
    calibrated, targets
        The labelled pixels, and their classes.
    ions
        Of these pixels, where they are known.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.run_gains import learn_gains
    >>> from massgraph.learn.targets import Labels
    >>> spectra, labels = mg.simulate("tiny", n_runs=2)
    >>> other = mg.degrade.batch_effect(spectra, 0.8, np.random.default_rng(0))
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> axis, group = clf.encoder_.axis, clf.fitted_.usual.group
    >>> learn_gains(axis, group, axis.calibrate(spectra[rows]), targets).gains is None
    True
    >>> learn_gains(axis, group, axis.calibrate(other[rows]), targets).gains.names
    ('run1', 'run2')
    """
    spectra, n = calibrated.spectra, len(group)
    run = np.asarray(spectra.run_codes)
    table = np.zeros((len(spectra.run_names), targets.n_classes))
    np.add.at(table, (run[targets.pixel], targets.code), 1)
    mixed = (table >= LEAST_OF_CLASS).sum(axis=1) >= 2
    if n == 0 or table[mixed].sum() < LEAST_MIXED * table.sum():
        return LearntGains(None, None)
    nodes = ion_nodes(axis, calibrated) if ions is None else ions
    amounts = _amounts(axis, group, nodes)
    of_class = np.zeros((spectra.n_pixels, targets.n_classes))
    np.add.at(of_class, (targets.pixel, targets.code), targets.weight)
    of_class /= np.maximum(of_class.sum(axis=1, keepdims=True), 1e-300)
    natural = _between_halves(amounts, of_class, spectra, n)
    spread = UNKNOWN_SPREAD if natural is None else max(natural, LEAST_SPREAD)
    held = np.bincount(amounts.pixel, amounts.there, spectra.n_pixels)
    whole = _means(amounts, np.ones(spectra.n_pixels, dtype=bool), n)
    presence = np.bincount(nodes.ion, nodes.weight, n) / spectra.n_pixels
    presence[(whole.n_pixels < LEAST_OF_ONE)[group]] = 0.0
    least, most = np.quantile(held, (OUTERMOST, 1 - OUTERMOST)).tolist()
    runs = np.flatnonzero(mixed & (table.sum(axis=1) >= LEAST_LABELLED))
    log_gain, found = np.zeros((len(mixed), n)), np.zeros(len(mixed))
    for round_ in range(1 + ROUNDS):
        off = log_gain[run[amounts.pixel], amounts.molecule]
        mean = _class_means(amounts._replace(log=amounts.log - off), of_class, n)
        usual = UsualAmounts(group, mean, whole.error, presence, spread, least, most)
        if len(runs) < 2 or round_ == ROUNDS:
            break
        for code in runs:
            one = _means(amounts, run == code, n)
            shares = of_class[run == code].mean(axis=0)
            log_gain[code], found[code] = _gains(one, shares, one.n_pixels >= LEAST_OF_ONE, usual)
        # What all runs have in common is usual.
        log_gain[runs] -= log_gain[runs].mean(axis=0)
    return LearntGains(usual, _shown(spectra, runs, log_gain[runs][:, group], found[runs]))


def find_gains(
    axis: MassAxis,
    calibrated: CalibratedSpectra,
    usual: UsualAmounts,
    posterior: Posterior | None = None,
    *,
    least_pixels: int = LEAST_PIXELS,
    ions: IonNodes | None = None,
) -> RunGains | None:
    """Find the gains of new runs, without labels; None where no run shows any.

    The mean of a run over its pixels is that of a mixture of the classes, times the gains. The
    shares of the mixture are first found by least squares, drawn towards equal ones as far as gains
    make them uncertain, and then those that the model sees in the pixels less these gains.

    Parameters
    ----------
    axis
        Of the model.
    calibrated
        Some pixels of each run.
    usual
        What training pixels show.
    posterior
        Gives class probabilities of these pixels, ``(n_pixels, n_classes)``, NaN where nothing is
        known. It is asked only where runs show gains. By default the shares stay as they were first
        found.
    least_pixels
        Of a run: fewer do not show its gains.
    ions
        Of these pixels, where they are known.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.run_gains import find_gains
    >>> spectra, labels = mg.simulate("tiny", n_runs=2)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> usual, axis = clf.fitted_.usual, clf.encoder_.axis
    >>> other = mg.degrade.batch_effect(spectra, 0.8, np.random.default_rng(0))
    >>> ask = lambda calibrated: np.full((spectra.n_pixels, 3), 1 / 3)
    >>> find_gains(axis, axis.calibrate(spectra), usual, ask) is None
    True
    >>> gains = find_gains(axis, axis.calibrate(other), usual, ask)
    >>> gains.names, bool((gains.spread > 0.4).all())  # sums over ions vary less than each ion
    (('run1', 'run2'), True)
    """
    spectra = calibrated.spectra
    codes = np.asarray(spectra.run_codes)
    nodes = ion_nodes(axis, calibrated) if ions is None else ions
    amounts = _amounts(axis, usual.group, nodes)
    held = np.bincount(amounts.pixel, amounts.there, spectra.n_pixels)
    tissue = held >= usual.least
    there, more = (
        np.bincount(codes[which], minlength=len(spectra.run_names))
        for which in (tissue, held > usual.most)
    )
    runs = np.flatnonzero((there >= least_pixels) & (more <= MOST_MIXED * there))
    of_runs = [tissue & (codes == code) for code in runs]
    means = [_means(amounts, pixels, len(axis)) for pixels in of_runs]
    known = [_as_usual(nodes, pixels, usual) for pixels in of_runs]
    shares = [_mixture(*one, usual) for one in zip(means, known, strict=True)]
    found: RunGains | None = None
    for round_ in range(ROUNDS if posterior is not None else 1):
        if posterior is not None and round_ > 0:
            seen = posterior(replace(calibrated, gains=found))
            seen = np.nan_to_num(seen, nan=1.0 / len(usual.mean))
            shares = [seen[pixels].mean(axis=0) for pixels in of_runs]
        rows = [_gains(*one, usual) for one in zip(means, shares, known, strict=True)]
        if not rows:
            return None
        log_gain, spread = (np.array(column) for column in zip(*rows, strict=True))
        found = _shown(spectra, runs, log_gain[:, usual.group], spread)
        if found is None:
            return None
    return found


def gains_as_new(
    axis: MassAxis,
    group: NDArray[np.int64],
    calibrated: CalibratedSpectra,
    targets: Targets,
    fold: NDArray[np.int64],
) -> FoldGains:
    """Find the gains that labelled pixels of each fold would have as pixels of new runs.

    What is usual is learnt from the pixels of the other folds, and no label of a run tells its
    gains.

    Parameters
    ----------
    axis, group, calibrated, targets
        As for `learn_gains`.
    fold
        Fold of each pixel, -1 for those never held out.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.run_gains import gains_as_new
    >>> from massgraph.learn.targets import Labels
    >>> spectra, labels = mg.simulate("tiny", n_runs=2)
    >>> other = mg.degrade.batch_effect(spectra, 0.8, np.random.default_rng(0))
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> axis, group = clf.encoder_.axis, clf.fitted_.usual.group
    >>> fold = np.arange(len(rows)) % 2
    >>> found = gains_as_new(axis, group, axis.calibrate(other[rows]), targets, fold)
    >>> [gains.names for gains in found.by_fold]
    [('run1', 'run2'), ('run1', 'run2')]
    """
    plain, by_fold = replace(calibrated, gains=None), []
    ions = ion_nodes(axis, plain)
    for k in range(int(fold.max()) + 1):
        others = np.flatnonzero(fold != k)
        usual = learn_gains(axis, group, plain[others], targets.subset(others)).usual
        found = None
        if usual is not None:
            found = find_gains(axis, plain, usual, least_pixels=LEAST_LABELLED, ions=ions)
        by_fold.append(found)
    return FoldGains(tuple(by_fold), fold)


def _shown(
    spectra: Spectra, runs: NDArray[np.int64], log_gain: Floats, spread: Floats
) -> RunGains | None:
    """Gains of those runs that have any, by their names."""
    shown = np.flatnonzero(log_gain.any(axis=1))
    if shown.size == 0:
        return None
    names = np.array([str(spectra.run_names[code]) for code in runs[shown]])
    order = np.argsort(names)
    shown = shown[order]
    return RunGains(tuple(names[order].tolist()), log_gain[shown], spread[shown])


def _amounts(axis: MassAxis, group: NDArray[np.int64], nodes: IonNodes) -> _Amounts:
    pixel, n = nodes.spectra.pixel_of_peak, max(len(axis), 1)
    sums, of_node = np.unique(pixel * n + group[nodes.ion], return_inverse=True)
    total = np.bincount(of_node, nodes.weight * relative_intensity(axis, nodes), sums.size)
    there = np.minimum(np.bincount(of_node, nodes.weight, sums.size), 1.0)
    return _Amounts(*np.divmod(sums, n), there, np.log(np.maximum(total, 1e-300)))


def _means(amounts: _Amounts, pixels: NDArray[np.bool_], n: int) -> _Means:
    _, molecule, there, log = amounts.of(pixels)
    count = np.bincount(molecule, there, n).astype(np.float64)
    mean = weighted_mean(molecule, there, log, n)
    square = np.bincount(molecule, there * (log - mean[molecule]) ** 2, n)
    variance = square / np.maximum(count - 1.0, 1.0)
    return _Means(mean, variance / np.maximum(count, 1.0), count)


def _as_usual(nodes: IonNodes, pixels: NDArray[np.bool_], usual: UsualAmounts) -> NDArray[np.bool_]:
    """Molecules that some pixels have about as often as labelled ones had, with all their ions."""
    n, kept = len(usual.presence), pixels[nodes.spectra.pixel_of_peak]
    count = np.bincount(nodes.ion[kept], nodes.weight[kept], n)
    expected = usual.presence * pixels.sum()
    rarer = count < LEAST_PRESENCE * expected - CHANCE * np.sqrt(expected)
    found, lost, learnt = (
        np.bincount(usual.group, values, n) for values in (count, rarer, usual.presence)
    )
    return np.asarray((found >= LEAST_OF_ONE) & (lost == 0) & (learnt > 0))


def _class_means(amounts: _Amounts, of_class: Floats, n: int) -> Floats:
    """Mean of each class, with some pixels of all classes for those that have few."""
    of_all = _means(amounts, np.ones(len(of_class), dtype=bool), n).mean
    found = []
    for share in of_class.T:
        weight = amounts.there * share[amounts.pixel]
        total = np.bincount(amounts.molecule, weight * amounts.log, n) + USUAL_PIXELS * of_all
        found.append(total / (np.bincount(amounts.molecule, weight, n) + USUAL_PIXELS))
    return np.stack(found)


def _mixture(means: _Means, known: NDArray[np.bool_], usual: UsualAmounts) -> Floats:
    """Shares of the classes whose mixture is nearest to a run, ``(n_classes,)``."""
    equal = np.full(len(usual.mean), 1.0 / len(usual.mean))
    if known.sum() < LEAST_KNOWN:
        return equal
    common = usual.mean.mean(axis=0)[known]
    contrasts = (usual.mean[:, known] - common).T
    error = means.error[known] + usual.error[known]
    rest, weight = means.mean[known] - common, means.n_pixels[known]
    design = np.column_stack([np.ones(len(rest)), contrasts])
    ridge = np.diag([0.0, *np.full(len(equal), 1.0 / SHARES_SD**2)])
    off = np.zeros(len(equal))
    for _ in range(ROUNDS):
        left = rest - contrasts @ off
        variance = _spread(left - np.average(left, weights=weight), error, weight) ** 2 + error
        gram = design.T @ (design / variance[:, None]) + ridge
        off = np.linalg.solve(gram, design.T @ (rest / variance))[1:]
    shares = np.maximum(equal + off, 0.0)
    return np.asarray(shares / shares.sum())


def _gains(
    means: _Means, shares: Floats, known: NDArray[np.bool_], usual: UsualAmounts
) -> tuple[Floats, float]:
    """Gains of a run of such classes, shrunk by how exactly they are known, and their deviation."""
    gain = np.zeros_like(means.mean)
    if known.sum() < LEAST_KNOWN:
        return gain, 0.0
    off, weight = _off(means, shares @ usual.mean, known)
    error = means.error[known] + usual.error[known]
    spread = _spread(off, error, weight)
    # Between the spread without gains and twice that they come in by and by.
    variance = spread**2 * min(max(spread / usual.spread - 1.0, 0.0), 1.0)
    gain[known] = off * variance / np.maximum(variance + error, 1e-300)
    return gain, spread


def _off(means: _Means, expected: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How far known molecules are from what is expected, less the mean of that; their weights."""
    off, weight = means.mean[known] - expected[known], means.n_pixels[known]
    return off - np.average(off, weights=weight), weight


def _spread(off: Floats, error: Floats, weight: Floats) -> float:
    """Standard deviation of the true values, of some with an error each and mean zero."""
    square = np.minimum(off**2, OUTLYING * np.median(off**2))
    return float(np.sqrt(max(np.average(square - error, weights=weight), 0.0)))


def _between_halves(amounts: _Amounts, of_class: Floats, spectra: Spectra, n: int) -> float | None:
    """Spread between parts of one run, as of two runs; None without coordinates."""
    if spectra.coordinates is None:
        return None
    run, found = np.asarray(spectra.run_codes), []
    for code in np.unique(run):
        of_run = run == code
        mean = _class_means(amounts.of(of_run), of_class, n)
        for place in spectra.coordinates[:, :2].T:
            right = place > np.median(place[of_run])
            for half in (of_run & right, of_run & ~right):
                one = _means(amounts, half, n)
                known = one.n_pixels >= LEAST_OF_ONE
                if known.sum() >= LEAST_KNOWN:
                    off, weight = _off(one, of_class[half].mean(axis=0) @ mean, known)
                    found.append(_spread(off, one.error[known], weight))
    # Both halves are as far from their run, in square by half of what a run is from others.
    return float(np.sqrt(2 * np.mean(np.square(found)))) if found else None
