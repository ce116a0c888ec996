"""Tasks of an evaluation: pairs of training and test pixels of different groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, fold_by_group
from massgraph.evidence.baselines import labels_of
from massgraph.simulation.family_sums import simulate_family_sums
from massgraph.simulation.simulate import Simulation, simulate

__all__ = [
    "Task",
    "adduct_tasks",
    "family_tasks",
    "simulated_tissue",
    "split_tasks",
    "synthetic_tasks",
    "thinned",
]

FAMILY_TEST_PIXELS = 200  # per class
QUICK_PIXELS = 40  # per class, of training and of test pixels of a quick evaluation


@dataclass(frozen=True, eq=False)
class Task:
    """Training and test pixels of one split.

    Parameters
    ----------
    seed
        Seed of the split and of the models.
    train, y_train, groups
        What models learn from, and the group of each of its pixels.
    test, y_test
        What they are scored on. Tasks of one seed are scored together.

    Examples
    --------
    >>> import massgraph as mg
    >>> import pandas as pd
    >>> from massgraph.evidence.tasks import Task
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> spectra, labels = spectra[pd.notna(labels)], labels[pd.notna(labels)]
    >>> task = Task(0, spectra[::2], labels[::2], None, spectra[1::2], labels[1::2])
    >>> len(task.y_test) == task.test.n_pixels
    True
    """

    seed: int
    train: Spectra
    y_train: NDArray[Any]
    groups: NDArray[Any] | None
    test: Spectra
    y_test: NDArray[Any]


def split_tasks(
    spectra: Spectra,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    folds: int = 5,
    seeds: Sequence[int] = range(5),
    held_out: int | None = None,
) -> Iterator[Task]:
    """Cross-validate by whole groups, dealt anew for each seed.

    Parameters
    ----------
    spectra, y
        Pixels and labels; pixels without a label are left out.
    groups
        Group of each pixel; default: `massgraph.data.splits.default_groups`.
    folds
        Number of folds.
    seeds
        One cross-validation each.
    held_out
        Number of folds that are tested, from the first; default all.

    Raises
    ------
    ValueError
        Where the groups cannot be split.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.tasks import split_tasks
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> tasks = list(split_tasks(spectra, labels, folds=3, seeds=[0]))
    >>> len(tasks), len(set(tasks[0].groups)) > 1
    (3, True)
    """
    labels = labels_of(y, spectra.n_pixels)
    # Left out before the folds are dealt, so that these are of one size in what counts.
    rows = np.flatnonzero(~pd.isna(labels) & (spectra.peak_counts > 0))
    spectra, labels = spectra[rows], labels[rows].astype(str)
    if groups is None:
        codes = default_groups(spectra)
    else:
        codes = np.unique(np.asarray(groups)[rows], return_inverse=True)[1].reshape(-1)
    for seed in seeds:
        fold = fold_by_group(
            np.unique(labels, return_inverse=True)[1], codes, folds, np.random.default_rng(seed)
        )
        for k in range(int(fold.max()) + 1)[:held_out]:
            out = fold == k
            yield Task(seed, spectra[~out], labels[~out], codes[~out], spectra[out], labels[out])


def simulated_tissue(
    seed: int, *, shape: tuple[int, int] = (12, 12), effect: float = 0.2, **settings: Any
) -> Simulation:
    """Simulate the six runs that `synthetic_tasks` are cut from; parameters are the same.

    Examples
    --------
    >>> from massgraph.evidence.tasks import simulated_tissue
    >>> simulated_tissue(1000, shape=(8, 8)).spectra.n_pixels
    384
    """
    chosen = {"n_families": 14, "families_per_class": 4, **settings}
    return simulate("medium", n_runs=6, shape=shape, effect=effect, random_state=seed, **chosen)


def synthetic_tasks(
    seeds: Sequence[int] = range(1000, 1005),
    *,
    shape: tuple[int, int] = (12, 12),
    effect: float = 0.2,
    per_class: int | None = None,
    **settings: Any,
) -> Iterator[Task]:
    """Simulated tissue, anew for each seed: learn from three runs, test on three others.

    Three classes, 300 to 900 peaks per pixel, four of fourteen lipid families shifted up or down
    for each class, batch effects in every run.

    Parameters
    ----------
    seeds
        Of `massgraph.simulate`.
    shape, effect
        Pixels of a run, and shift of a planted family in log intensity.
    per_class
        Labelled training pixels per class, drawn at random; default all.
    settings
        Other parameters of `massgraph.simulate`.

    Examples
    --------
    >>> from massgraph.evidence.tasks import synthetic_tasks
    >>> task = next(synthetic_tasks([1000], shape=(8, 8), per_class=2))
    >>> task.train.n_pixels  # two of each of three classes
    6
    """
    for seed in seeds:
        truth = simulated_tissue(seed, shape=shape, effect=effect, **settings)
        known = ~pd.isna(truth.labels)
        spectra, labels = truth.spectra[known], truth.labels[known].astype(str)
        # Whole runs are held out: each has a batch effect of its own.
        run = np.asarray(spectra.run_codes)
        rows = np.flatnonzero(run < 3)
        if per_class is not None:
            rng = np.random.default_rng(seed)
            rows = np.concatenate(
                [rng.permutation(rows[labels[rows] == name])[:per_class] for name in truth.classes]
            )
        yield Task(seed, spectra[rows], labels[rows], None, spectra[run >= 3], labels[run >= 3])


def family_tasks(
    seeds: Sequence[int] = range(1000, 1005), *, per_class: int = 100, **settings: Any
) -> Iterator[Task]:
    """Two classes that differ in the sum over a family alone (`massgraph.simulation.family_sums`).

    Models learn from `per_class` pixels of each class and are tested on 200 of other runs;
    `settings` are those of `simulate_family_sums`.

    Examples
    --------
    >>> from massgraph.evidence.tasks import family_tasks
    >>> task = next(family_tasks([7], per_class=5))
    >>> task.train.n_pixels, task.test.n_pixels
    (10, 400)
    """
    for seed in seeds:
        # The families are those of the seed in both parts; the pixels are drawn apart.
        parts = [
            simulate_family_sums(n, random_state=[seed, part], families_from=seed, **settings)
            for part, n in enumerate((per_class, FAMILY_TEST_PIXELS))
        ]
        (train, y_train), (test, y_test) = parts
        # Pixels have no place, and all runs both classes: any pixel may be held out.
        yield Task(seed, train, y_train, np.arange(len(y_train)), test, y_test)


def adduct_tasks(
    seeds: Sequence[int] = range(1000, 1005), *, per_class: int = 100, **settings: Any
) -> Iterator[Task]:
    """Simulated tissue in which the balance of adducts varies: learn from one run, test on another.

    Parameters
    ----------
    seeds
        Of `massgraph.simulate`, preset "adducts".
    per_class
        Labelled training pixels per class, drawn at random.
    settings
        Other parameters of `massgraph.simulate`.

    Examples
    --------
    >>> from massgraph.evidence.tasks import adduct_tasks
    >>> (task,) = adduct_tasks([3], per_class=5, shape=(12, 12))
    >>> len(task.y_train), len(set(task.test.run))
    (15, 1)
    """
    for seed in seeds:
        truth = simulate("adducts", random_state=seed, **settings)
        run, known = np.asarray(truth.spectra.run_codes), ~pd.isna(truth.labels)
        rng = np.random.default_rng(seed)
        train = [
            rng.permutation(np.flatnonzero(known & (run == 0) & (truth.labels == name)))[:per_class]
            for name in truth.classes
        ]
        rows, test = np.sort(np.concatenate(train)), np.flatnonzero(known & (run == 1))
        labels = truth.labels.astype(str)
        yield Task(seed, truth.spectra[rows], labels[rows], None, truth.spectra[test], labels[test])


def thinned(task: Task, per_class: int = QUICK_PIXELS) -> Task:
    """Thin a task to at most `per_class` training and test pixels of each class, drawn at random.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.tasks import split_tasks, thinned
    >>> task = next(split_tasks(*mg.simulate("tiny", n_runs=1), folds=3))
    >>> thinned(task, 3).train.n_pixels  # of three classes
    9
    """
    rng = np.random.default_rng(task.seed)

    def few(labels: NDArray[Any]) -> NDArray[np.int64]:
        order = rng.permutation(len(labels))
        return np.sort(
            np.concatenate([order[labels[order] == one][:per_class] for one in np.unique(labels)])
        )

    train, test = few(task.y_train), few(task.y_test)
    return Task(
        task.seed,
        task.train[train],
        task.y_train[train],
        None if task.groups is None else task.groups[train],
        task.test[test],
        task.y_test[test],
    )
