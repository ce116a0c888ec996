"""From a fitted model and pixels to a segmentation, in one pass over the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph.data.sources import Pixels, without_peaks
from massgraph.data.spectra import Spectra
from massgraph.explain.explain import Explainer
from massgraph.fitted import Reading, fitted_model
from massgraph.segmentation import Segmentation

__all__ = ["segment"]


def segment(
    model: Any,
    X: Pixels,
    reference: NDArray[Any] | None = None,
    *,
    explain: bool = True,
    min_coverage: float | None = None,
) -> Segmentation:
    """Classify all pixels, with probabilities, uncertainty and explanation.

    Where the model asks neighbours, these are in classes, probabilities and uncertainty. The
    explanation is of each pixel by itself.

    Parameters
    ----------
    model
        A `FittedModel`, or a fitted estimator.
    X
        The pixels; where they are those of the fit, the held-out ones are marked. For a source the
        `spectra` of the result have the places of the pixels and no peaks: pictures of single ions
        and the matrices of an h5ad file need the spectra in memory.
    reference
        Labels to compare with, as names of classes, missing where unlabelled.
    explain
        Whether to add an explanation.
    min_coverage
        Runs below it are refused; None for the level of the model, 0 to answer all.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.segment import segment
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> segment(clf, spectra, explain=False).n_pixels == spectra.n_pixels
    True
    """
    model = fitted_model(model)
    # One pass for both: reading, calibration and graphs cost more than the network.
    reading = Reading(model, X, "segment", model.guard(min_coverage))
    explainer = Explainer(model, reading) if explain else None
    logits, coverage, places = [], [], []
    description = "predicting and explaining" if explain else "predicting"
    for found in model.outputs_of(reading, description, model.network.forward, cam=explain):
        logits.append(found.values[0])
        coverage.append(found.coverage)
        if explainer is not None:
            explainer.add(found)
        # A source may be larger than memory: what stays of a part is where its pixels are.
        if not isinstance(X, Spectra):
            places.append(without_peaks(found.part.spectra))
    origin, trained_here = model.origin, model.was_fitted_to(X)
    spectra = X if isinstance(X, Spectra) else Spectra.concatenate(places)
    alone, covered = np.concatenate(logits), np.concatenate(coverage)
    reading.finish(covered)
    decided = model.with_neighbours(alone, spectra)
    gains = {} if reading.gains is None else reading.gains.spreads
    return Segmentation.from_probability(
        spectra,
        model.outputs.names,
        model.tempered(softmax(decided, axis=1), covered),
        coverage=None if model.knowledge is None else covered,
        by_neighbours=None if model.field is None else _moved(alone, decided),
        reference=reference,
        training=origin.training if trained_here else None,
        validation=origin.validation if trained_here else None,
        explanation=None if explainer is None else explainer.explanation(),
        history=origin.history,
        parameters=model.summary() | {"gains_of_runs": gains},
    )


def _moved(alone: NDArray[np.float64], decided: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels of another class than by themselves; those without a class are not."""
    return np.asarray(np.nan_to_num(alone).argmax(axis=1) != np.nan_to_num(decided).argmax(axis=1))
