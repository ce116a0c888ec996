"""From a fitted model and pixels to an explanation, in one pass over the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.data.alignment import assign_to_axis, tolerance_in_da
from massgraph.data.sources import Pixels
from massgraph.data.spectra import Spectra
from massgraph.explain.activation import Explanation, StreamedExplanation
from massgraph.explain.ion_network import build_ion_network
from massgraph.explain.ion_sums import IonSums, shares
from massgraph.explain.tables import ion_tables
from massgraph.fitted import FittedModel, Part, PartOutputs, Reading, fitted_model

__all__ = ["Explainer", "explain"]


def explain(model: Any, X: Pixels, *, min_coverage: float | None = None) -> Explanation:
    """Explain how a fitted model classifies all pixels.

    Parameters
    ----------
    model
        A `FittedModel`, or a fitted estimator.
    X
        Spectra in memory, or a source, which gives a `StreamedExplanation`.
    min_coverage
        Runs below it are refused; None for the level of the model, 0 to explain all.

    Raises
    ------
    InputError
        For no pixels, those of the other polarity, or a run that the model does not know.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.explain.explain import explain
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> bool(np.allclose(explain(clf, spectra).logits(), clf.logits(spectra)))
    True
    """
    model = fitted_model(model)
    reading = Reading(model, X, "explain", model.guard(min_coverage))
    explainer = Explainer(model, reading)
    coverage = []
    for found in model.outputs_of(reading, "explaining", cam=True):
        explainer.add(found)
        coverage.append(found.coverage)
    reading.finish(np.concatenate(coverage))
    return explainer.explanation()


class Explainer:
    """Takes in parts of the pixels, in order, and keeps what an explanation needs of them.

    For spectra in memory it keeps the activation of every ion in every pixel, for a source only
    sums.

    Parameters
    ----------
    model
        The model to explain.
    reading
        Its reading of the pixels.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.explain.explain import Explainer
    >>> from massgraph.fitted import Reading
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> reading = Reading(clf.fitted_, spectra, "explain")
    >>> explainer = Explainer(clf.fitted_, reading)
    >>> for part in clf.fitted_.outputs_of(reading, "explaining", cam=True):
    ...     explainer.add(part)
    >>> len(explainer.explanation().labels) == spectra.n_pixels
    True
    """

    def __init__(self, model: FittedModel, reading: Reading) -> None:
        self.model, self.classes = model, model.outputs.names
        sample = reading.sample()
        self.mz, self.ion_of_sample = model.encoder.align(sample.spectra, sample.calibrated)
        self.network = build_ion_network(self.ion_of_sample, model.encoder.graph(sample.calibrated))
        self.polarity, self.on_axis = sample.spectra.polarity, sample.spectra.axis is not None
        self.in_memory = isinstance(reading.source, Spectra)
        self.sums = IonSums(len(self.classes), self.mz.size)
        self.intercept = model.intercept
        self.logits: list[NDArray[np.float64]] = []
        self.labels: list[NDArray[np.int64]] = []
        self.counts: list[NDArray[np.int64]] = []
        self.activations: list[list[sp.csr_matrix]] = [[] for _ in self.classes]
        self.shares: list[sp.csr_matrix] = []
        self.runs: dict[str, NDArray[np.float64]] = {}
        self.run: list[NDArray[np.str_]] = []

    def add(self, found: PartOutputs) -> None:
        """Take in the pixels of a part with the class activations of their peaks."""
        spectra, cam = found.part.spectra, found.cam
        if cam is None:
            msg = "the part was read without its class activations"
            raise ValueError(msg)
        counts, pixel = spectra.peak_counts, spectra.pixel_of_peak
        # Activations add up to the logits exactly: the network need not be asked for these again.
        sums = [np.bincount(pixel, weights=one, minlength=spectra.n_pixels) for one in cam.T]
        logits = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None] + self.intercept
        labels = np.where(found.known, np.argmax(logits, axis=1), -1)
        ion = self._ions(found.part)
        self.sums.add(spectra, cam, ion, labels, found.part.tic)
        self.logits.append(logits)
        self.labels.append(labels)
        self.counts.append(counts)
        if self.in_memory:
            for kept, values in zip(self.activations, cam.T, strict=True):
                kept.append(_per_ion(values, ion, spectra.offsets, self.mz.size))
            share = shares(spectra, found.part.tic)
            self.shares.append(_per_ion(share, ion, spectra.offsets, self.mz.size))
        else:
            self.run.append(spectra.run)
            self._add_runs(spectra, cam, ion)

    def _ions(self, part: Part) -> NDArray[np.int64]:
        """Ion of each peak, -1 for peaks far from all ions."""
        if part.first_peak is not None:  # the sample is all pixels, and knows the ion of each peak
            return self.ion_of_sample[part.first_peak :][: part.spectra.n_peaks]
        # Aligned spectra have the very m/z of the axis, and need no tolerance.
        if self.on_axis:
            return np.searchsorted(self.mz, part.spectra.mz)
        spectra = part.calibrated.spectra
        if not self.mz.size:
            return np.full(spectra.n_peaks, -1)
        ion = assign_to_axis(spectra.mz, self.mz)
        tolerance, unit = self.model.encoder.alignment
        reach = tolerance_in_da(spectra.mz, 2 * tolerance, unit) * (1 + 1e-9)
        ion[np.abs(spectra.mz - self.mz[ion]) > reach] = -1
        return ion

    def _add_runs(self, spectra: Spectra, cam: NDArray[np.float64], ion: NDArray[np.int64]) -> None:
        run = spectra.run
        for name in np.unique(run).tolist():
            total = self.runs.setdefault(name, np.zeros((len(self.classes), self.mz.size)))
            peaks = np.repeat(run == name, spectra.peak_counts) & (ion >= 0)
            weight = np.repeat(1.0 / np.maximum(spectra.peak_counts, 1), spectra.peak_counts)[peaks]
            for c, values in enumerate(cam[peaks].T):
                # In the order of the pixels, so that sums do not depend on the parts.
                np.add.at(total[c], ion[peaks], values * weight)

    def explanation(self) -> Explanation:
        """Make an explanation of everything taken in."""
        ions, families, edges = ion_tables(
            self.model.settings, self.classes, self.mz, self.sums, self.network, self.polarity
        )
        common: dict[str, Any] = {
            "classes": self.classes,
            "mz": self.mz,
            "intercept": self.intercept,
            "peak_counts": np.concatenate(self.counts),
            "labels": np.concatenate(self.labels),
            "ions": ions,
            "families": families,
            "family_edges": edges,
        }
        if self.in_memory:
            joined = [sp.vstack(parts, format="csr") for parts in self.activations]
            return Explanation(
                activation=dict(zip(self.classes, joined, strict=True)),
                share=sp.vstack(self.shares, format="csr"),
                **common,
            )
        run = np.concatenate(self.run)
        names, sizes = np.unique(run, return_counts=True)
        totals = np.stack([self.runs[name] for name in names.tolist()])
        return StreamedExplanation(
            activation={},
            pixel_logits=np.concatenate(self.logits),
            run=run,
            run_names=tuple(names.tolist()),
            run_means=totals / sizes[:, None, None],
            **common,
        )


def _per_ion(
    values: NDArray[np.floating[Any]],
    ion: NDArray[np.int64],
    offsets: NDArray[np.int64],
    n_ions: int,
) -> sp.csr_matrix:
    """Peak values as a pixels x ions matrix; peaks of a pixel at one ion are summed."""
    shape = (len(offsets) - 1, n_ions)
    # Copies, as `sum_duplicates` sorts in place, and `ion` is a view of the ions of all peaks.
    matrix = sp.csr_matrix((values.copy(), ion.copy(), offsets.copy()), shape=shape)
    matrix.sum_duplicates()
    return matrix
