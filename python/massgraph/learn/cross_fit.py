"""Cross fitting: every branch is fitted once per fold, without the pixels of the fold.

What it says of these pixels decides how much it weighs, and how sure the sum may be. The parts do
not know each other, so that an executor may run them in any way.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.executor import Executor, Threads
from massgraph._util.threads import n_threads
from massgraph.data.splits import split_by_group
from massgraph.learn.branches import PartShape, branch, nets_among
from massgraph.learn.checkpoints import Checkpoint, Checkpoints
from massgraph.learn.contributions import contributions
from massgraph.learn.few_ions import choose_few_ions
from massgraph.learn.held_out import FittedPart, Parts, gathered, held_out_logits
from massgraph.learn.objectives import CrossEntropy, Objective, PublishedCrossEntropy, Samples
from massgraph.learn.parts import new_part
from massgraph.learn.settings import Settings
from massgraph.learn.targets import Targets
from massgraph.learn.training import train
from massgraph.learn.versions import Versions
from massgraph.learn.weights import is_better, weigh
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.completeness import Completeness
from massgraph.nn.discriminants import Discriminants

__all__ = ["CrossFit", "LeftOut", "cross_fit", "fit_single"]

Floats = NDArray[np.float64]
STOPPING_SHARE = 0.2  # of the pixels that a net learns from, held out to stop its training
_CPU = torch.device("cpu")
MakeObjective = Callable[[Samples, Samples], Objective]


@dataclass(frozen=True, eq=False)
class _Task:
    """One part of one branch, to be fitted without a fold."""

    branch: str
    fold: int
    seed: np.random.SeedSequence
    checkpoint: Checkpoint | None = None


class LeftOut(NamedTuple):
    """A branch that is not in the model: its name, why, and how many epochs that saved.

    Examples
    --------
    >>> from massgraph.learn.cross_fit import LeftOut
    >>> LeftOut("peak", "too few labelled pixels", 72).epochs
    72
    """

    branch: str
    reason: str
    epochs: int


class CrossFit(NamedTuple):
    """What `cross_fit` returns.

    Parameters
    ----------
    model
        In evaluation mode.
    history
        Learning curve, the mean over the nets still in training at an epoch; None without nets.
    contributions
        One row per branch and one for all: see `RGCNClassifier.contributions_`.
    by_fold
        For each fold the model of the parts that were fitted without it, at the same weights.
    left_out
        Branches that were tried and not kept.

    Examples
    --------
    >>> from massgraph.learn.cross_fit import CrossFit
    >>> CrossFit._fields
    ('model', 'history', 'contributions', 'by_fold', 'left_out')
    """

    model: BranchModel
    history: pd.DataFrame | None
    contributions: pd.DataFrame
    by_fold: tuple[BranchModel, ...]
    left_out: tuple[LeftOut, ...] = ()


def cross_fit(
    versions: Versions,
    targets: Targets,
    fold: NDArray[np.int64],
    settings: Settings,
    shape: PartShape,
    *,
    device: torch.device,
    seeds: list[np.random.SeedSequence],
    groups: NDArray[np.int64] | None = None,
    checkpoints: Checkpoints | None = None,
    objective: MakeObjective = CrossEntropy,
    executor: Executor | None = None,
) -> CrossFit:
    """Fit branches on all folds, and the weights of their sum.

    With ``settings.effort == "default"`` one net of a branch is tried first; where it does not tell
    the pixels of its fold better, the branch is left out.

    Parameters
    ----------
    versions, targets
        The labelled pixels.
    fold
        Fold of each pixel, -1 for pixels that are never held out.
    settings
        Which branches, and how nets are trained.
    shape
        Of the parts.
    device
        Where nets are trained.
    seeds
        One for each branch of each fold: ``len(settings.branches) * n_folds``.
    groups
        Group of each pixel, never split between those that train a net and those that stop it (each
        pixel by itself).
    checkpoints
        Where the state of each net is kept.
    objective
        Makes the objective of a net from its training samples and its held-out ones.
    executor
        What runs the fits; any executor gives the same bits. By default as many at a time as torch
        has threads, and on a GPU one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.cross_fit import cross_fit
    >>> from massgraph.learn.targets import Labels
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> seed, cpu = np.random.SeedSequence(0), torch.device("cpu")
    >>> versions = encode_versions(clf.encoder_, spectra[rows], seed, n_copies=0)
    >>> shape = PartShape.of(clf.settings_, 3, len(clf.encoder_.axis), "auto")
    >>> fold, seeds = np.arange(len(rows)) % 2, seed.spawn(2)
    >>> found = cross_fit(versions, targets, fold, clf.settings_, shape, device=cpu, seeds=seeds)
    >>> found.model.names, found.contributions["branch"].tolist(), len(found.by_fold)
    (('axis',), ['axis', 'all'], 2)
    """
    n_folds = int(fold.max()) + 1
    groups = np.arange(len(fold)) if groups is None else groups
    # A partial of a function of this module, not a closure: executors may have to pickle it.
    work = partial(_fit_part, versions, targets, fold, groups, settings, shape, device, objective)
    tasks = _tasks(settings, seeds, n_folds, checkpoints)

    # Each fit runs on one thread, so that several of them share the cores; a GPU is one.
    chosen = executor or Threads(n_threads() if device.type == "cpu" else 1)

    def run(some: list[_Task]) -> list[FittedPart]:
        return list(chosen.map(work, some, name=_name))

    # Of these one net is tried before the others are trained.
    to_try = nets_among(settings.branches) if settings.effort == "default" else ()
    sure = [task for task in tasks if task.branch not in to_try]
    fitted: Parts = {}
    for task, one in zip(sure, run(sure), strict=True):
        fitted.setdefault(task.branch, []).append(one)
    few = choose_few_ions(fitted, versions, targets, fold)
    kept, left_out = _try(to_try, tasks, run, few.chosen, targets, fold)

    def ordered(parts: Parts) -> Parts:
        every = {**parts, **kept}
        return {name: every[name] for name in settings.branches if name in every}

    found, n_classes = ordered(few.chosen), targets.n_classes
    held_out = gathered(found, fold, n_classes)
    usual = np.array([branch(name).usual_weight for name in found])
    # What is in closed form knows what lost peaks do; a net knows the copies that it was shown.
    weights, offsets = weigh(held_out, targets, usual, np.isin([*found], nets_among([*found])))
    table = contributions(
        tuple(found),
        weights[0],
        usual,
        [
            held_out[0] if one is few.chosen else gathered(ordered(one), fold, n_classes)[0]
            for one in few.by_fold
        ],
        targets,
        fold,
        # The pixels of the first fold chose which nets are kept.
        np.arange(n_folds) >= bool(to_try),
    )
    completeness = _completeness(found, versions)
    whole = _of_all_pixels(found, versions, targets, seeds, settings, completeness)
    by_fold = [{name: [parts[k].part] for name, parts in found.items()} for k in range(n_folds)]
    model, *of_folds = (
        _weighted(each, weights, offsets, completeness, device) for each in (whole, *by_fold)
    )
    every = [one.history for parts in found.values() for one in parts if one.history is not None]
    return CrossFit(model, _mean_history(every), table, tuple(of_folds), left_out)


def _try(
    names: tuple[str, ...],
    tasks: list[_Task],
    run: Callable[[list[_Task]], list[FittedPart]],
    found: Parts,
    targets: Targets,
    fold: NDArray[np.int64],
) -> tuple[Parts, tuple[LeftOut, ...]]:
    """Fit one net of each branch, and the others where it tells the pixels of its fold better."""
    kept: Parts = {}
    left_out: list[LeftOut] = []
    for name in names:
        first, *others = [task for task in tasks if task.branch == name]
        tried = run([first])
        if _gains({**found, **kept, name: tried}, name, targets, fold):
            kept[name] = tried + run(others)
        else:
            epochs = len(tried[0].history) if tried[0].history is not None else 0
            left_out.append(LeftOut(name, "told held-out pixels no better", len(others) * epochs))
    return kept, tuple(left_out)


def _of_all_pixels(
    found: Parts,
    versions: Versions,
    targets: Targets,
    seeds: list[np.random.SeedSequence],
    settings: Settings,
    completeness: Completeness,
) -> dict[str, list[Any]]:
    """The parts of the model: nets of all folds, and one of all pixels of what is closed form."""
    n_folds = len(next(iter(found.values())))
    whole: dict[str, list[Any]] = {}
    for name, parts in found.items():
        whole[name] = [one.part for one in parts]
        closed_form = branch(name).fit
        if closed_form is not None:
            rng = np.random.default_rng(seeds[settings.branches.index(name) * n_folds])
            of_all = deepcopy(parts[0].part)
            closed_form(of_all, versions, targets, np.arange(versions.n_pixels), rng)
            if isinstance(of_all, Discriminants):
                of_all.completeness.load_state_dict(completeness.state_dict())
            whole[name] = [of_all]
    return whole


def _completeness(found: Parts, versions: Versions) -> Completeness:
    """How the discriminants count: as the versions say, or as few ions have it."""
    for parts in found.values():
        if isinstance(parts[0].part, Discriminants):
            return parts[0].part.completeness
    return versions.completeness


def _gains(found: Parts, name: str, targets: Targets, fold: NDArray[np.int64]) -> bool:
    """Whether a branch tells the pixels of the first fold better than the others do without it."""
    pixels = np.flatnonzero(fold == 0)
    judged = targets.subset(pixels)
    logits = np.stack([parts[0].held_out[0] for parts in found.values()], axis=1)
    usual = np.array([branch(one).usual_weight for one in found])
    rest = np.array([one != name for one in found])
    return is_better(logits[:, rest], logits, judged, usual[rest], usual)


def _weighted(
    parts: dict[str, list[Any]],
    weights: Floats,
    offsets: Floats,
    completeness: Completeness,
    device: torch.device,
) -> BranchModel:
    sizes = len(completeness.expected), offsets.shape[2]
    model = BranchModel(parts, *sizes).to(device).eval()
    model.weights.copy_(torch.from_numpy(weights))
    model.offsets.copy_(torch.from_numpy(offsets))
    model.completeness.load_state_dict(completeness.state_dict())
    return model


def _tasks(
    settings: Settings,
    seeds: list[np.random.SeedSequence],
    n_folds: int,
    checkpoints: Checkpoints | None,
) -> list[_Task]:
    """Branch by branch, fold by fold; nets are numbered in that order, as their checkpoints are."""
    # Each task has a seed of its own: no result depends on who runs it, or in which order.
    tasks: list[_Task] = []
    n_nets = 0
    for number, name in enumerate(settings.branches):
        for k in range(n_folds):
            checkpoint = None
            if branch(name).fit is None:
                n_nets += 1
                checkpoint = checkpoints.net(n_nets) if checkpoints else None
            tasks.append(_Task(name, k, seeds[number * n_folds + k], checkpoint))
    return tasks


def _name(task: _Task) -> str:
    return f"fitting the {task.branch} branch without fold {task.fold + 1}"


def _fit_part(
    versions: Versions,
    targets: Targets,
    fold: NDArray[np.int64],
    groups: NDArray[np.int64],
    settings: Settings,
    shape: PartShape,
    device: torch.device,
    objective: MakeObjective,
    task: _Task,
) -> FittedPart:
    """Fit one part, and predict the pixels that it was fitted without."""
    part = new_part(task.branch, shape, int(task.seed.generate_state(1)[0]))
    inside, outside = np.flatnonzero(fold != task.fold), np.flatnonzero(fold == task.fold)
    rng, closed_form = np.random.default_rng(task.seed), branch(task.branch).fit
    history, where = None, device
    if closed_form is not None:
        closed_form(part, versions, targets, inside, rng)
        where = _CPU  # it is solved there, and moves with the whole model later
    else:
        # Pixels that stop a net are none of those that it is judged by, and it weighs.
        stops = _stopping(targets.codes[inside], groups[inside], rng)
        # Copies are held out with their pixels, but training is stopped by the pixels as measured.
        made = objective(
            Samples(versions.graphs, targets, targets.of(inside[~stops]), versions.n_training),
            Samples(versions.graphs, targets, targets.of(inside[stops]), 1),
        )
        history = train(
            part.to(device), made, settings, device=device, rng=rng, checkpoint=task.checkpoint
        )
    held_out = held_out_logits(part, versions, versions.weighing, outside, where)
    return FittedPart(part, history, held_out)


def _stopping(
    codes: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Pixels that stop the training of a net, in whole groups where there are enough."""
    try:
        return split_by_group(codes, groups, STOPPING_SHARE, rng)
    except InputError:  # too few groups
        return split_by_group(codes, np.arange(len(codes)), STOPPING_SHARE, rng)


def fit_single(
    versions: Versions,
    targets: Targets,
    held_out: Samples,
    settings: Settings,
    shape: PartShape,
    *,
    device: torch.device,
    seeds: tuple[np.random.SeedSequence, np.random.SeedSequence],
    checkpoints: Checkpoints | None = None,
) -> tuple[Any, pd.DataFrame | None]:
    """Fit a single branch of one part; held-out pixels stop its training.

    Parameters
    ----------
    versions, targets
        The pixels to learn from.
    held_out
        The pixels that stop the training, as measured.
    settings, shape, device, checkpoints
        As for `cross_fit`.
    seeds
        Of the first weights, and of the draws.

    Returns
    -------
    model
        In evaluation mode: a `BranchModel`, or the network as published.
    history
        The learning curve; None for a branch in closed form.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import massgraph as mg
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.cross_fit import fit_single
    >>> from massgraph.learn.objectives import Samples
    >>> from massgraph.learn.targets import Labels
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> seed, cpu = np.random.SeedSequence(0), torch.device("cpu")
    >>> versions = encode_versions(clf.encoder_, spectra[rows], seed, n_copies=0)
    >>> shape = PartShape.of(clf.settings_, 3, len(clf.encoder_.axis), "auto")
    >>> held_out, seeds = Samples(versions.graphs, targets), tuple(seed.spawn(2))
    >>> model, history = fit_single(
    ...     versions, targets, held_out, clf.settings_, shape, device=cpu, seeds=seeds
    ... )
    >>> model.names, history is None
    (('axis',), True)
    """
    (name,) = settings.branches
    # In the published code weights start from seed 0, whatever the seed of the split.
    published = settings.as_published
    part = new_part(name, shape, 0 if published else int(seeds[0].generate_state(1)[0]))
    rng = np.random.default_rng(0 if published else seeds[1])
    closed_form, history = branch(name).fit, None
    if closed_form is not None:
        closed_form(part, versions, targets, np.arange(targets.n_pixels), rng)
    else:
        make = PublishedCrossEntropy if published else CrossEntropy
        history = train(
            part.to(device),
            make(Samples(versions.graphs, targets), held_out),
            settings,
            device=device,
            rng=rng,
            checkpoint=checkpoints.net(1) if checkpoints else None,
        )
    if published:
        return part.to(device).eval(), history
    model = BranchModel({name: [part]}, len(versions.level), targets.n_classes)
    model.completeness.load_state_dict(versions.completeness.state_dict())
    return model.to(device).eval(), history


def _mean_history(histories: list[pd.DataFrame]) -> pd.DataFrame | None:
    """Mean of the nets at each epoch; none is the best, as each net kept an epoch of its own."""
    if not histories:
        return None
    joined = pd.concat(histories).drop(columns="best")
    return joined.groupby("epoch", as_index=False).mean().assign(best=False)
