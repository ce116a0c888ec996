"""From labelled pixels to the parts of a model: axis, encoder, folds, branches and weights."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph._util.executor import Executor
from massgraph._util.warnings import outside
from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, fold_by_group, published_split, split_by_group
from massgraph.encode.amounts import molecule_groups
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.coverage import Levels
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.gains import RunGains
from massgraph.encode.ions import IonNodes, ion_nodes
from massgraph.encode.learn_axis import OwnAxis, own_axis
from massgraph.encode.learn_levels import learn_levels
from massgraph.encode.tolerance import difference_tolerance
from massgraph.learn.branches import PartShape, nets_among
from massgraph.learn.checkpoints import Checkpoints
from massgraph.learn.cross_fit import LeftOut, cross_fit, fit_single
from massgraph.learn.neighbour_field import NeighbourField
from massgraph.learn.objectives import Samples
from massgraph.learn.parts import new_model
from massgraph.learn.run_gains import UsualAmounts, gains_as_new, learn_gains
from massgraph.learn.settings import Settings
from massgraph.learn.surroundings import Surroundings, field_of_surroundings
from massgraph.learn.targets import Targets
from massgraph.learn.versions import encode_versions
from massgraph.nn.completeness import N_EXPERTS

__all__ = ["Learnt", "fit_classes"]

FOLDS, MOST_FOLDS = 3, 10
FOLDS_TIMES_PIXELS = 500  # folds where there are no nets: 10 of 50 pixels, 3 from 170 on
NETS_PIXELS = 100  # labelled pixels for each class from which on nets are tried, on average
NETS_SHARE = 0.5  # of these, which each class has at least
MOST_SUMMED = 9000  # pixels that discriminants are fitted to: bounds their memory
# Measured: what a fit holds of each version of a labelled peak, features and messages.
BYTES_PER_PEAK = 135
LARGE_SHARE = 0.5  # of the machine's memory: a fit that needs more warns


@dataclass(frozen=True, eq=False)
class Learnt:
    """What `fit_classes` returns.

    Parameters
    ----------
    encoder, network, settings
        As for `massgraph.fitted.FittedModel`.
    held_out
        bool, one per labelled pixel: held out to stop the training and not learnt from.
    history, contributions, n_nets
        As for `massgraph.fitted.Origin`.
    field
        What neighbours say; None where they do not count.
    usual
        What tells the gains of new runs; None where these are not looked for.
    left_out
        Branches that are not in the model, and why.
    levels
        Levels of coverage; None for a network as published.

    Examples
    --------
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.supervised import fit_classes
    >>> from massgraph.learn.targets import Labels
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> chosen = {"branches": ("family",), "folds": 2, "augment": 0}
    >>> settings = resolve_settings("default", "positive", chosen)
    >>> options = {"seed": 0, "backend": "auto", "device": torch.device("cpu")}
    >>> learnt = fit_classes(
    ...     spectra[rows], targets, None, settings, find_tolerance=True, **options
    ... )
    >>> bool(learnt.held_out.any()), learnt.settings.tolerance
    (False, 1.0)
    """

    encoder: PeakEncoder
    network: Any
    settings: Settings
    held_out: NDArray[np.bool_]
    history: pd.DataFrame | None
    contributions: pd.DataFrame | None
    n_nets: int
    field: NeighbourField | None = None
    usual: UsualAmounts | None = None
    left_out: tuple[LeftOut, ...] = ()
    levels: Levels | None = None


def fit_classes(
    labelled: Spectra,
    targets: Targets,
    groups: NDArray[np.int64] | None,
    settings: Settings,
    *,
    seed: int | None,
    backend: str,
    device: torch.device,
    find_tolerance: bool,
    around: Surroundings | None = None,
    checkpoints: Checkpoints | None = None,
    executor: Executor | None = None,
) -> Learnt:
    """Fit a model to labelled pixels.

    Parameters
    ----------
    labelled, targets
        Preprocessed pixels, all with peaks, and their classes.
    groups
        Group of each pixel, never split between training and validation; None for
        `massgraph.data.splits.default_groups`.
    settings
        Resolved.
    seed
        Of all that is drawn; None for a fresh one.
    backend, device
        What computes the convolutions, and where nets are trained.
    find_tolerance
        Whether to find the tolerance of mass differences in the data.
    around
        The pixels with their neighbours, preprocessed, to learn from what these say; None where
        they are not to count.
    checkpoints, executor
        As for `massgraph.learn.cross_fit.cross_fit`.

    Examples
    --------
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.supervised import fit_classes
    >>> from massgraph.learn.targets import Labels
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> chosen = {"branches": ("axis",), "folds": 2, "augment": 0}
    >>> settings = resolve_settings("default", "positive", chosen)
    >>> options = {"seed": 0, "backend": "auto", "device": torch.device("cpu")}
    >>> learnt = fit_classes(
    ...     spectra[rows], targets, None, settings, find_tolerance=True, **options
    ... )
    >>> learnt.network.names, learnt.n_nets
    (('axis',), 2)
    """
    _announce_memory(labelled, settings)
    # The published network has no axis: it reads the peaks as they are.
    own = None if settings.as_published else own_axis(labelled)
    if own is not None and find_tolerance:
        found = difference_tolerance(own.axis.mz, settings.relations)
        settings = replace(settings, tolerance=found)
    settings, left_out = _within_means(settings, targets)
    # Four streams: the split, the faults of copies, first weights, and what training draws.
    seeds = np.random.SeedSequence(seed).spawn(4)
    fit = _Fit(
        labelled, targets, groups, settings, own, around, seeds, backend, device, checkpoints
    )
    learnt = fit.by_folds(executor) if settings.folds != 1 else fit.at_once()
    levels = None if own is None else learn_levels(own.axis, labelled, own.calibrated)
    return replace(learnt, left_out=left_out + learnt.left_out, levels=levels)


def _within_means(settings: Settings, targets: Targets) -> tuple[Settings, tuple[LeftOut, ...]]:
    """Settings with as many folds and as few nets as the labelled pixels call for."""
    smallest = int(np.bincount(targets.codes, minlength=targets.n_classes).min())
    left_out: tuple[LeftOut, ...] = ()
    enough = targets.n_pixels >= NETS_PIXELS * targets.n_classes
    if settings.effort == "default" and not (enough and smallest >= NETS_SHARE * NETS_PIXELS):
        nets = nets_among(settings.branches)
        reason = (
            f"fewer than {NETS_PIXELS} labelled pixels for each class"
            if not enough
            else f"fewer than {NETS_SHARE * NETS_PIXELS:.0f} labelled pixels of one class"
        )
        left_out = tuple(LeftOut(name, reason, FOLDS * settings.epochs) for name in nets)
        kept = tuple(name for name in settings.branches if name not in nets)
        settings = replace(settings, branches=kept)
    if settings.folds == "auto":
        # The fewer pixels, the worse are parts that lack some of them: more parts lack less.
        has_nets = bool(nets_among(settings.branches))
        many = FOLDS if has_nets else round(FOLDS_TIMES_PIXELS / targets.n_pixels)
        settings = replace(settings, folds=min(max(many, FOLDS), MOST_FOLDS))
    return settings, left_out


class _Reads(NamedTuple):
    """Whether graphs have edges, and molecules besides ions."""

    edges: bool
    molecules: bool


class _Calibrated(NamedTuple):
    """Labelled pixels less mass errors and gains, their ions, what is usual, and these gains."""

    pixels: CalibratedSpectra
    ions: IonNodes | None = None
    usual: UsualAmounts | None = None
    gains: RunGains | None = None


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fit whose axis and settings are known; fields as the parameters of `fit_classes`."""

    labelled: Spectra
    targets: Targets
    groups: NDArray[np.int64] | None
    settings: Settings
    own: OwnAxis | None
    around: Surroundings | None
    seeds: list[np.random.SeedSequence]
    backend: str
    device: torch.device
    checkpoints: Checkpoints | None

    @property
    def axis(self) -> MassAxis | None:
        return None if self.own is None else self.own.axis

    @property
    def _shape(self) -> PartShape:
        n_ions = None if self.axis is None else len(self.axis)
        return PartShape.of(self.settings, self.targets.n_classes, n_ions, self.backend)

    @property
    def _chosen_groups(self) -> NDArray[np.int64]:
        return default_groups(self.labelled) if self.groups is None else self.groups

    def by_folds(self, executor: Executor | None) -> Learnt:
        """Every pixel is learnt from, and held out by the parts of one fold."""
        settings, targets = self.settings, self.targets
        rng = np.random.default_rng(self.seeds[0])
        fold = fold_by_group(targets.codes, self._chosen_groups, int(settings.folds), rng)
        # Calibrated once, for the features and the pixels as measured.
        calibrated, ions, usual, gains = self._calibrated()
        encoder = PeakEncoder.learn(calibrated, settings, self.axis, ions)
        versions = encode_versions(
            encoder,
            self.labelled,
            self.seeds[1],
            n_copies=settings.augment if nets_among(settings.branches) else 0,
            edges=self._reads.edges,
            molecules=self._reads.molecules,
            calibrated=calibrated,
            ions=ions,
            summed=_summed(targets, rng),
            as_new=self._as_new(calibrated, usual, fold),
        )
        n_nets = int(fold.max()) + 1
        found = cross_fit(
            versions,
            targets,
            fold,
            settings,
            self._shape,
            device=self.device,
            seeds=self.seeds[2].spawn(len(settings.branches) * n_nets),
            groups=self._chosen_groups,
            checkpoints=self.checkpoints,
            executor=executor,
        )
        field = None
        if self.around is not None:
            field = field_of_surroundings(
                self.around,
                found.by_fold,
                encoder,
                fold,
                targets,
                gains=gains,
                device=self.device,
                required=settings.spatial is True,
            )
        held_out = np.zeros(self.labelled.n_pixels, dtype=bool)
        return Learnt(
            encoder,
            found.model,
            replace(settings, branches=found.model.names),
            held_out,
            found.history,
            found.contributions,
            n_nets,
            field,
            usual,
            found.left_out,
        )

    def at_once(self) -> Learnt:
        """A single part: some pixels stop its training and are not learnt from."""
        settings, labelled = self.settings, self.labelled
        held_out = self._held_out()
        # Standardised by the pixels learnt from alone: those held out are to be new to the net.
        calibrated, _, usual, _ = self._calibrated()
        encoder = PeakEncoder.learn(calibrated[~held_out], settings, self.axis)
        learnt_from = self.targets.subset(np.flatnonzero(~held_out))
        stopping = self.targets.subset(np.flatnonzero(held_out))
        versions = encode_versions(
            encoder,
            labelled[~held_out],
            self.seeds[1],
            n_copies=settings.augment,
            weighing=not nets_among(settings.branches),
            edges=self._reads.edges,
            molecules=self._reads.molecules,
            calibrated=calibrated[~held_out],
        )
        network, history = fit_single(
            versions,
            learnt_from,
            Samples(encoder.encode(calibrated[held_out], **self._reads._asdict()), stopping),
            settings,
            self._shape,
            device=self.device,
            seeds=(self.seeds[2], self.seeds[3]),
            checkpoints=self.checkpoints,
        )
        return Learnt(encoder, network, settings, held_out, history, None, 1, usual=usual)

    @cached_property
    def _reads(self) -> _Reads:
        """What nets read besides nodes; branches in closed form read the nodes alone."""
        nets = nets_among(self.settings.branches)
        if not nets:
            return _Reads(edges=False, molecules=False)
        made = new_model(nets, self._shape, n_nets=1)
        return _Reads(made.reads_edges, made.reads_molecules)

    def _calibrated(self) -> _Calibrated:
        """The labelled pixels less errors and gains of their runs, and what tells those of others.

        Gains of a run refer to the classes of its labelled pixels: held-out ones are among them.
        """
        if self.own is None:
            zero = np.zeros(self.labelled.n_pixels)
            return _Calibrated(CalibratedSpectra(self.labelled, zero))
        axis, calibrated, ions = self.own
        if not self.settings.run_gains:
            return _Calibrated(calibrated, ions)
        molecule = molecule_groups(axis, self.settings.relations)
        usual, gains = learn_gains(axis, molecule, calibrated, self.targets, ions)
        if gains is None:
            return _Calibrated(calibrated, ions, usual)
        calibrated = replace(calibrated, gains=gains)
        return _Calibrated(calibrated, ion_nodes(axis, calibrated), usual, gains)

    def _as_new(
        self, calibrated: CalibratedSpectra, usual: UsualAmounts | None, fold: NDArray[np.int64]
    ) -> CalibratedSpectra | None:
        """The pixels less the gains that they would have in new runs; None where there are none.

        Labels tell the gains of their runs, and nothing may be judged by pixels that chose it.
        """
        if self.axis is None or usual is None or calibrated.gains is None:
            return None
        found = gains_as_new(self.axis, usual.group, calibrated, self.targets, fold)
        return replace(calibrated, gains=found)

    def _held_out(self) -> NDArray[np.bool_]:
        fraction, codes = self.settings.validation_fraction, self.targets.codes
        rng = np.random.default_rng(self.seeds[0])
        # The published code splits pixel by pixel, so that neighbours stand on both sides.
        if self.groups is None and self.settings.as_published:
            return published_split(codes, fraction, rng)
        return split_by_group(codes, self._chosen_groups, fraction, rng)


def _summed(targets: Targets, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pixels that discriminants are fitted to: all, or as many of each class as memory allows."""
    most = MOST_SUMMED // targets.n_classes
    chosen = []
    for code in range(targets.n_classes):
        pixels = np.unique(targets.pixel[targets.code == code])
        few = pixels.size <= most
        chosen.append(pixels if few else rng.choice(pixels, most, replace=False))
    return np.unique(np.concatenate(chosen))


def _announce_memory(labelled: Spectra, settings: Settings) -> None:
    """Warn of a fit that would fill the memory before it begins, and say what makes it smaller."""
    n_versions = N_EXPERTS if settings.folds != 1 else 1
    n_versions += settings.augment * bool(nets_among(settings.branches))
    needed = BYTES_PER_PEAK * labelled.n_peaks * n_versions
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if needed > LARGE_SHARE * memory:
        msg = (
            f"the {labelled.n_pixels} labelled pixels have {labelled.n_peaks} peaks, of which the "
            f"fit will hold about {needed / 2**30:.1f} GB, and this machine has "
            f"{memory / 2**30:.1f} GB: label fewer pixels, or set max_peaks or a smaller augment"
        )
        warnings.warn(msg, UserWarning, stacklevel=outside())
