"""The fitted model: encoder, network, outputs and where they came from.

It is all that it takes to predict, explain, save and send away. Estimators make one; prediction,
explanation, model folders, R and the command line take one, and know no estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.executor import Threads
from massgraph._util.threads import n_threads
from massgraph.data.neighbours import neighbours_around
from massgraph.data.sources import Pixels, batches, parts, runs, sample, take, without_peaks
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra
from massgraph.encode.calibration import RunErrors, sample_of_runs
from massgraph.encode.coverage import Knowledge, Levels
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.gains import RunGains
from massgraph.encode.guard import Guard, check_min_coverage
from massgraph.learn.inference import model_output, torch_device
from massgraph.learn.neighbour_field import NeighbourField
from massgraph.learn.origin import Classes, Origin
from massgraph.learn.run_gains import UsualAmounts, find_gains
from massgraph.learn.settings import Settings
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.rgcn import RGCN

__all__ = ["Classes", "FittedModel", "Origin", "Part", "Reading", "fitted_model"]

Compute = Callable[[Any], torch.Tensor]

GAIN_PIXELS = 150  # of a run, that its gains are found from; up to twice as many


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model that can predict, and be explained, saved, loaded and sent to another process.

    Parameters
    ----------
    encoder
        From spectra to graphs, calibration and mass axis included.
    network
        The torch module: a `BranchModel`, or the `RGCN` as published.
    outputs
        What the outputs stand for.
    settings
        The resolved settings.
    origin
        What it was learnt from.
    backend
        What computes the convolutions.
    device
        Name of the torch device, or ``"auto"``.
    field
        What the neighbours of a pixel add to its logits; None where they do not count.
    usual
        What tells the gains of new runs; None where these are not looked for.
    levels
        Levels of coverage that the fit chose; None for models of versions that chose none, which
        have the usual ones.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> clf.fitted_.logits(spectra).shape == (spectra.n_pixels, len(clf.fitted_.outputs))
    True
    """

    encoder: PeakEncoder
    network: RGCN | BranchModel
    outputs: Classes
    settings: Settings
    origin: Origin
    backend: str = "auto"
    device: str = "auto"
    field: NeighbourField | None = None
    usual: UsualAmounts | None = None
    levels: Levels | None = None

    @property
    def torch_device(self) -> torch.device:
        """The torch device that `device` stands for; InputError where it cannot be used."""
        return torch_device(self.device)

    @property
    def intercept(self) -> NDArray[np.float64]:
        """The part of the logits that no peak carries, shape ``(n_classes,)``."""
        return self.network.intercept().detach().cpu().numpy().astype(np.float64)

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(weights.numel() for weights in self.network.parameters())

    def checked(self, spectra: Spectra) -> Spectra:
        """Return the spectra; InputError where they are of the other polarity."""
        # A polarity that is unknown, here or there, contradicts nothing.
        polarity = self.origin.polarity
        if len({polarity, spectra.polarity} - {None}) > 1:
            msg = (
                f"the spectra are of {spectra.polarity} polarity, but the model was fitted to "
                f"{polarity} ones"
            )
            raise InputError(msg)
        return spectra

    # ---------------------------------------------------------------- what it knows

    @cached_property
    def knowledge(self) -> Knowledge | None:
        """The ions that the model knows, and the levels of their coverage.

        None for the network as published, which has no ions: it cannot tell what it knows.
        """
        axis = self.encoder.axis
        return None if axis is None else Knowledge.of(axis, self.levels)

    def guard(self, min_coverage: float | None = None) -> Guard:
        """What refuses runs that the model does not know, for a `Reading`.

        Parameters
        ----------
        min_coverage
            Runs below it are refused; None for the level of the model, 0 to answer all.

        Raises
        ------
        InputError
            Where it is no share.
        """
        return Guard(self.knowledge, self.origin.polarity, check_min_coverage(min_coverage))

    def coverage(self, X: Pixels) -> NDArray[np.float64]:
        """Share of the ion current of each pixel that is of ions of the model, once calibrated.

        Shape ``(n_pixels,)``; NaN for pixels without peaks, and throughout for the network as
        published.
        """
        known = self.knowledge
        if known is None:
            return np.full(X.n_pixels, np.nan)
        # Gains of runs move no ion current from one ion to another that the model does not know.
        reading = Reading(replace(self, usual=None), X, "look at")
        found = Threads(n_threads()).map(
            lambda part: known.coverage(part.calibrated.spectra), reading.parts("looking at peaks")
        )
        return np.concatenate(list(found))

    def tempered(
        self, probability: NDArray[np.float64], coverage: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Probabilities drawn towards equal ones where coverage is low: see `Levels.tempered`."""
        known = self.knowledge
        return probability if known is None else known.levels.tempered(probability, coverage)

    # ---------------------------------------------------------------- prediction

    def logits(self, X: Pixels) -> NDArray[np.float64]:
        """Logits of each pixel by itself, shape ``(n_pixels, n_classes)``.

        NaN for pixels without peaks of ions that the model knows: nothing can be said of them, here
        and in all that predicts.

        Raises
        ------
        InputError
            For no pixels, or pixels of the other polarity.
        """
        return self.per_pixel(X, self.network.forward)

    def logits_of(self, calibrated: CalibratedSpectra) -> NDArray[np.float64]:
        """As `logits`, of preprocessed pixels whose mass errors and gains are known."""
        part = Part(calibrated.spectra, calibrated)
        return _part_outputs(self, (self.network.forward,), False, part).values[0]

    def logits_with_neighbours(self, X: Pixels, guard: Guard | None = None) -> NDArray[np.float64]:
        """Logits and what neighbours say, shape ``(n_pixels, n_classes)``; NaN where logits are.

        The pixels are to be whole runs: what is not there says nothing. A guard refuses runs that
        the model does not know; without one, all are answered.
        """
        return self._decided(X, guard)[0]

    def _decided(
        self, X: Pixels, guard: Guard | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits with neighbours, and coverage."""
        logits, coverage, places = [], [], []
        reading = Reading(self, X, "predict", guard)
        for found in self.outputs_of(reading, "predicting", self.network.forward):
            logits.append(found.values[0])
            coverage.append(found.coverage)
            if self.field is not None:
                places.append(without_peaks(found.part.spectra))
        alone, covered = np.concatenate(logits), np.concatenate(coverage)
        reading.finish(covered)
        if self.field is None:
            return alone, covered
        # Pixels of one run may come in several blocks: neighbours are asked when all are known.
        return self.with_neighbours(alone, Spectra.concatenate(places)), covered

    def with_neighbours(self, logits: NDArray[np.float64], where: Spectra) -> NDArray[np.float64]:
        """Add what neighbours say to the logits of pixels, by the places of these.

        Without coordinates nothing is added, unless neighbours were required in the fit.

        Raises
        ------
        InputError
            For no coordinates, where the fit was given ``spatial=True``.
        """
        if self.field is None or (where.coordinates is None and self.settings.spatial is not True):
            return logits
        return self.field.added_to(logits, neighbours_around(where))

    def probabilities(self, X: Pixels, guard: Guard | None = None) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_pixels, n_classes)``; NaN where logits are.

        They are drawn towards equal ones where coverage is low (`Levels.tempered`). A guard is as
        for `logits_with_neighbours`.
        """
        logits, coverage = self._decided(X, guard)
        return self.tempered(softmax(logits, axis=1), coverage)

    def branch_logits(self, X: Pixels) -> NDArray[np.float64]:
        """What each branch adds to the logits, shape ``(n_pixels, n_branches, n_classes)``."""
        network = self.network
        if not isinstance(network, BranchModel):
            return self.logits(X)[:, None, :]
        return self.per_pixel(X, network.branch_logits)

    def embed(self, X: Pixels) -> NDArray[np.float32]:
        """What the heads of the model read of each pixel, ``(n_pixels, width)``."""
        return self.per_pixel(X, lambda batch: self.network.embedding(batch).float())

    def per_pixel(self, X: Pixels, compute: Compute) -> NDArray[Any]:
        """Apply `compute` to the graphs of all pixels, in blocks; NaN for pixels without nodes."""
        found = self.outputs_of(Reading(self, X, "predict"), "predicting", compute)
        return np.concatenate([one.values[0] for one in found])

    def outputs_of(
        self, reading: Reading, description: str, *computes: Compute, cam: bool = False
    ) -> Iterator[PartOutputs]:
        """Outputs of the network for each part of the pixels, in order, on several threads.

        Parameters
        ----------
        reading
            Of the pixels.
        description
            For the progress bar.
        computes
            Functions of a batch, each with a row per pixel.
        cam
            Whether to give the class activations of the peaks, too.
        """
        # Parts are read in this thread, whatever encodes them: R allows no other.
        work = partial(_part_outputs, self, computes, cam)
        return Threads(n_threads()).map(work, reading.parts(description))

    # ---------------------------------------------------------------- other models

    def only(self, branches: Sequence[str]) -> FittedModel:
        """Keep some of the branches, at their weights and in their order, without neighbours.

        Raises
        ------
        InputError
            For no branch, or one that the model does not have.
        """
        if not isinstance(self.network, BranchModel):
            msg = "the network as published has no branches to choose from"
            raise InputError(msg)
        network = self.network.only(branches)
        origin, table = self.origin, self.origin.contributions
        if table is not None:
            rows = table["branch"].isin([*branches, "all"])
            table = table[rows].reset_index(drop=True)
            # Shares and scores were measured for the sum of all branches.
            table[["share", "balanced_accuracy_without"]] = np.nan
            table.loc[table["branch"] == "all", "balanced_accuracy_alone"] = np.nan
        given = tuple(dict.fromkeys([*origin.given, "branches"]))
        return replace(
            self,
            network=network,
            settings=replace(self.settings, branches=network.names),
            origin=replace(origin, contributions=table, given=given),
            field=None,  # what neighbours say was measured for the sum of all branches, too
        )

    # ---------------------------------------------------------------- description

    def was_fitted_to(self, X: Pixels) -> bool:
        """Whether these are the pixels of the fit, in their order."""
        origin = self.origin
        if len(origin.training) != X.n_pixels:
            return False
        # Of a source no more is read than the fit may have seen.
        learnt = take(X, np.flatnonzero(origin.training | origin.validation))
        if learnt.fingerprint() == origin.fingerprint:
            return True
        return isinstance(X, Spectra) and X.fingerprint() == origin.fingerprint

    def summary(self) -> dict[str, Any]:
        """Settings, seeds and what the fit found out, as values that JSON can hold."""
        settings, origin = self.settings, self.origin
        return {
            **{field.name: getattr(settings, field.name) for field in fields(settings)},
            "relations": list(settings.relations),
            "preset": origin.preset,
            "backend": self.backend,
            "random_state": origin.random_state,
            "polarity": origin.polarity,
            "n_training_pixels": int(origin.training.sum()),
            "n_validation_pixels": int(origin.validation.sum()),
            "left_out": [one._asdict() for one in origin.left_out],
            "epochs_run": 0 if origin.history is None else len(origin.history),
            "field_strength": 0.0 if self.field is None else self.field.strength,
            **({} if self.encoder.axis is None else self.encoder.axis.summary()),
            **({} if self.knowledge is None else self.knowledge.levels.summary()),
            **origin.branch_summary(),
        }


def fitted_model(model: Any) -> FittedModel:
    """The `FittedModel` of an estimator, or itself.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        For an estimator that was not fitted.
    InputTypeError
        For anything else.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.fitted import fitted_model
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> fitted_model(clf) is clf.fitted_
    True
    """
    if isinstance(model, FittedModel):
        return model
    # Any estimator, of ours or not: one that is unfitted says so in scikit-learn's own words.
    if hasattr(model, "fit") and not isinstance(model, type):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model, "fitted_")
    found = getattr(model, "fitted_", None)
    if not isinstance(found, FittedModel):
        msg = f"a {type(model).__name__} is no fitted model: give an estimator that was fitted"
        raise InputTypeError(msg)
    return found


# -------------------------------------------------------------------- reading


@dataclass(frozen=True, eq=False)
class Part:
    """Pixels as a model reads them: preprocessed, and less mass errors and gains of their runs.

    Parameters
    ----------
    spectra, calibrated
        The pixels before and after calibration.
    first_peak
        Number of peaks of the source before these, where it was read as a whole.
    tic
        Ion current of each pixel, of peaks that are not read included; None: that of `spectra`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.fitted import Reading
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> part = Reading(clf.fitted_, spectra, "predict").sample()
    >>> part.spectra.n_pixels == spectra.n_pixels, part.first_peak
    (True, 0)
    """

    spectra: Spectra
    calibrated: CalibratedSpectra
    first_peak: int | None = None
    tic: NDArray[np.float64] | None = None


class Reading:
    """One pass over the pixels of a source, as a model reads them; memory is a source of one block.

    Parameters
    ----------
    model
        The model that reads.
    source
        Spectra in memory, which are calibrated once as a whole, or a source, which is calibrated
        part by part, by mass errors of its runs that are estimated from a sample. So are, for
        both, the gains of runs (`massgraph.learn.run_gains`).
    purpose
        What the pixels are read for: a verb for the message where there are none.
    guard
        Refuses runs that the model does not know, before they are worked on; None to read all.

    Raises
    ------
    InputError
        For no pixels; while reading, for pixels of the other polarity and where the guard refuses.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.fitted import Reading
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> reading = Reading(clf.fitted_, spectra, "predict")
    >>> sum(part.spectra.n_pixels for part in reading.parts("predicting")) == spectra.n_pixels
    True
    """

    def __init__(
        self, model: FittedModel, source: Pixels, purpose: str, guard: Guard | None = None
    ) -> None:
        if source.n_pixels == 0:
            msg = f"there are no pixels to {purpose}"
            raise InputError(msg)
        self.model, self.source, self.guard = model, source, guard
        self.gains: RunGains | None = None
        """Of the runs, once a part was read; None where none shows any."""

    @cached_property
    def _whole(self) -> Part:
        # Kept: the pass and whoever looks at the sample share one calibration.
        encoder = self.model.encoder
        if not isinstance(self.source, Spectra):
            _ = self._runs  # what is to be refused is, before more of a source is read
        given = self.model.checked(sample(self.source))
        spectra = encoder.preprocess(given)
        part = Part(spectra, encoder.calibrate(spectra), 0, given.tic())
        if self.guard is not None and isinstance(self.source, Spectra):
            self.guard.before(spectra, part.calibrated.spectra)
        return part

    @cached_property
    def _runs(self) -> tuple[CalibratedSpectra, RunErrors | None] | None:
        """Some calibrated pixels of each run of a source, and the mass errors of the runs."""
        encoder = self.model.encoder
        if encoder.axis is None:
            return None
        # Before the parts: one of few pixels of a run could not tell the mass error of the run.
        pixels = sample_of_runs(runs(self.source))
        some = encoder.preprocess(self.model.checked(take(self.source, pixels)))
        errors = encoder.run_errors(some)
        calibrated = encoder.calibrate(some, errors)
        if self.guard is not None:
            is_sample = pixels.size < self.source.n_pixels
            self.guard.before(some, calibrated.spectra, sample=is_sample)
        return calibrated, errors

    def finish(self, coverage: NDArray[np.float64]) -> None:
        """Say once more, of all pixels of a source, which runs are hardly known."""
        if self.guard is not None and not isinstance(self.source, Spectra):
            self.guard.after(coverage, runs(self.source))

    def _find_gains(self, of_runs: Callable[[], CalibratedSpectra]) -> None:
        """Find the gains of runs in pixels of `sample_of_runs`, which are asked for if needed."""
        model = self.model
        if model.usual is not None and model.encoder.axis is not None:
            sample = of_runs()
            some = sample[sample_of_runs(sample.spectra.run, GAIN_PIXELS)]
            posterior = partial(_posterior, model)
            self.gains = find_gains(model.encoder.axis, some, model.usual, posterior)

    def sample(self) -> Part:
        """Spectra in memory as a whole; of a source, enough pixels to show its ions."""
        return self._whole

    def parts(self, description: str) -> Iterator[Part]:
        """All pixels in order, some at a time, with a progress bar."""
        if isinstance(self.source, Spectra):
            return self._parts_of_whole(description)
        return self._parts_of_source(description)

    def _parts_of_whole(self, description: str) -> Iterator[Part]:
        whole, start = self._whole, 0
        self._find_gains(lambda: whole.calibrated[sample_of_runs(whole.spectra.run)])
        calibrated = replace(whole.calibrated, gains=self.gains)
        for spectra in parts(whole.spectra, description):
            stop = start + spectra.n_pixels
            first = int(whole.spectra.offsets[start])
            tic = None if whole.tic is None else whole.tic[start:stop]
            yield Part(spectra, calibrated[start:stop], first, tic)
            start = stop

    def _parts_of_source(self, description: str) -> Iterator[Part]:
        encoder, errors = self.model.encoder, None
        if (found := self._runs) is not None:
            some, errors = found
            self._find_gains(lambda: some)
        for part in parts(self.source, description):
            spectra = encoder.preprocess(self.model.checked(part))
            calibrated = replace(encoder.calibrate(spectra, errors), gains=self.gains)
            yield Part(spectra, calibrated, tic=part.tic())


@dataclass(frozen=True, eq=False)
class PartOutputs:
    """Outputs of the network for a part.

    Parameters
    ----------
    part
        The pixels.
    known
        bool, shape ``(n_pixels,)``: pixels with nodes; nothing can be said of the others.
    values
        One array for each function that was asked for, a row per pixel, NaN where unknown.
    coverage
        As for `FittedModel.coverage`, shape ``(n_pixels,)``.
    cam
        Class activation of each peak, ``(n_peaks, n_classes)``; None where not asked for.
    """

    part: Part
    known: NDArray[np.bool_]
    values: tuple[NDArray[Any], ...]
    coverage: NDArray[np.float64]
    cam: NDArray[np.float64] | None


def _part_outputs(
    model: FittedModel, computes: tuple[Compute, ...], cam: bool, part: Part
) -> PartOutputs:
    """Encode a part batch by batch, each once, and apply all functions to each batch."""
    known: list[NDArray[np.bool_]] = []
    values: list[list[NDArray[Any]]] = [[] for _ in computes]
    activations: list[NDArray[np.float64]] = []
    for block in batches(part.calibrated.spectra.offsets):
        calibrated = part.calibrated[block]
        network = model.network
        graphs = model.encoder.encode(
            calibrated, edges=network.reads_edges, molecules=network.reads_molecules
        )
        given = partial(
            model_output, model.network, graphs, np.arange(len(graphs)), model.torch_device
        )
        known.append(np.diff(graphs.offsets) > 0)
        for column, compute in zip(values, computes, strict=True):
            found = given(compute)
            found[~known[-1]] = np.nan
            column.append(found)
        if cam:
            activations.append(model.encoder.spread(calibrated, given(model.network.cam)))
    joined = tuple(np.concatenate(column) for column in values)
    whole = np.concatenate(activations) if cam else None
    peaks, knowledge = part.calibrated.spectra, model.knowledge
    coverage = np.full(peaks.n_pixels, np.nan) if knowledge is None else knowledge.coverage(peaks)
    return PartOutputs(part, np.concatenate(known), joined, coverage, whole)


def _posterior(model: FittedModel, calibrated: CalibratedSpectra) -> NDArray[np.float64]:
    """Class probabilities of pixels by themselves; NaN for those without nodes."""
    return np.asarray(softmax(model.logits_of(calibrated), axis=1))
