"""Whether an explanation is faithful: what happens when the ions that it names are removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from massgraph._util.errors import InputError
from massgraph.data.sources import Pixels, in_memory
from massgraph.encode.axis import CalibratedSpectra
from massgraph.explain.activation import Explanation
from massgraph.fitted import FittedModel, Part, Reading, fitted_model

__all__ = ["deletion_curve", "precision_at_k"]

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


def deletion_curve(
    model: Any,
    spectra: Pixels,
    explanation: Explanation,
    *,
    fractions: ArrayLike = FRACTIONS,
    n_random: int = 5,
    random_state: int = 0,
) -> pd.DataFrame:
    """Score left without the top-ranked ions, beside random ions of as many peaks.

    The score is the mean log probability of the class that each pixel has with all its peaks.
    Graphs are built anew from the peaks that remain, at the calibrated masses and with the gains of
    runs that all peaks together had.

    Parameters
    ----------
    model, spectra, explanation
        A fitted model (or estimator), the pixels, and its explanation of them. A source is read
        into memory as a whole.
    fractions
        Shares of the peaks to remove, in [0, 1). Ions go in order of rank until that share of all
        peaks is gone; random ions likewise, so that both lose the same number of peaks.
    n_random
        Number of random orders.
    random_state
        Seed of the random orders.

    Returns
    -------
    pandas.DataFrame
        Columns `fraction_removed`, `score_top`, `score_random_mean`, `score_random_sd`.

    Raises
    ------
    ValueError
        Where the explanation is of other pixels, no pixel has peaks, or a fraction or `n_random`
        is out of range.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1, effect=1.2)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> explanation = clf.explain(spectra)
    >>> curve = mg.faithfulness.deletion_curve(
    ...     clf, spectra, explanation, fractions=[0.2], n_random=2
    ... )
    >>> bool(curve.loc[0, "score_top"] < curve.loc[0, "score_random_mean"])
    True
    """
    shares = np.atleast_1d(np.asarray(fractions, dtype=np.float64))
    if n_random < 1:
        msg = f"n_random is {n_random}: at least one random order is needed to compare with"
        raise InputError(msg)
    if not ((shares >= 0) & (shares < 1)).all():
        msg = f"fractions {shares.tolist()} must be at least 0 and below 1"
        raise InputError(msg)
    # As in the fit: an explanation knows only the peaks that the model reads.
    model = fitted_model(model)
    reading = Reading(model, in_memory(spectra), "remove peaks from")
    whole = reading.sample()
    read = whole.spectra
    if read.n_peaks == 0:
        msg = f"none of the {read.n_pixels} pixels has peaks: there is nothing to remove"
        raise InputError(msg)
    mz, ion = model.encoder.align(read, whole.calibrated)
    same_peaks = np.array_equal(read.peak_counts, explanation.peak_counts)
    if not (same_peaks and np.array_equal(mz, explanation.mz)):
        msg = "the explanation is of other pixels than these spectra"
        raise InputError(msg)
    rng = np.random.default_rng(random_state)
    n_ions = len(explanation.mz)
    # Random orders are of ions too, so that what is compared loses ions whole, in all pixels.
    orders = [np.argsort(explanation.ions["rank"].to_numpy())]
    orders += [rng.permutation(n_ions) for _ in range(n_random)]
    # Calibrated with all of their peaks: those that go do not move the others.
    parts = list(reading.parts("calibrating"))
    rows = []
    for share in shares:
        scores = [
            _score(model, parts, _gone(order, ion, share)[ion], explanation.labels)
            for order in orders
        ]
        rows.append([share, scores[0], np.mean(scores[1:]), np.std(scores[1:])])
    columns = ["fraction_removed", "score_top", "score_random_mean", "score_random_sd"]
    return pd.DataFrame(rows, columns=columns)


def _gone(order: NDArray[np.int64], ion: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Mark the first ions of an order that together hold at most `share` of the peaks."""
    counts = np.bincount(ion, minlength=order.size)
    gone = np.zeros(order.size, dtype=bool)
    gone[order[np.cumsum(counts[order]) <= share * ion.size]] = True
    return gone


def _score(
    model: FittedModel, parts: list[Part], gone: NDArray[np.bool_], labels: NDArray[np.int64]
) -> float:
    """Mean log probability of the given classes; a pixel that lost all peaks is at chance."""
    logits = np.concatenate([model.logits_of(_without(part, gone)) for part in parts])
    log_probability = log_softmax(np.nan_to_num(logits), axis=1)  # equal logits: all by chance
    known = np.flatnonzero(labels >= 0)
    return float(log_probability[known, labels[known]].mean())


def _without(part: Part, gone: NDArray[np.bool_]) -> CalibratedSpectra:
    """The pixels of a part without the peaks that are gone, of a mask over those of all parts."""
    calibrated, first = part.calibrated, part.first_peak or 0
    kept = ~gone[first : first + calibrated.spectra.n_peaks]
    return replace(calibrated, spectra=calibrated.spectra.keep_peaks(kept))


def precision_at_k(
    explanation: Explanation, planted_mz: ArrayLike, k: int, *, tolerance_ppm: float = 10.0
) -> float:
    """Share of the first `k` families whose ions are mostly planted ones.

    Parameters
    ----------
    explanation
        Of simulated pixels.
    planted_mz
        m/z of the ions that are known to tell the classes apart.
    k
        Number of families, from the top; all where there are fewer.
    tolerance_ppm
        Largest distance of an ion from a planted one.

    Returns
    -------
    float
        In [0, 1]; NaN where there is no family, or nothing planted.

    Examples
    --------
    >>> import massgraph as mg
    >>> simulation = mg.simulate("tiny", n_runs=1, effect=1.2)
    >>> spectra, labels = simulation
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> told = simulation.families["discriminates"] != ""
    >>> planted = simulation.families.loc[told, "mz"]
    >>> mg.faithfulness.precision_at_k(clf.explain(spectra), planted, k=3)
    1.0
    """
    planted = np.sort(np.asarray(planted_mz, dtype=np.float64))
    top = explanation.families[explanation.families["family"] <= k]
    if top.empty or planted.size == 0:
        return float("nan")
    mz = top["mz"].to_numpy()
    # The nearest planted ion is one of the two on either side.
    right = np.searchsorted(planted, mz).clip(0, planted.size - 1)
    left = (right - 1).clip(0)
    distance = np.minimum(np.abs(planted[right] - mz), np.abs(planted[left] - mz))
    is_planted = pd.Series(distance <= tolerance_ppm * 1e-6 * mz)
    return float((is_planted.groupby(top["family"].to_numpy()).mean() > 0.5).mean())
