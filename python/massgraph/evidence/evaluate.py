"""Models side by side on spectra with faults: group-aware splits, several seeds, paired tests.

A task is a pair of training and test pixels of different groups. Models see the training pixels
only, and what they tune they tune on parts of those; the test pixels are degraded, and everything
(calibration, graphs, alignment) is made anew from the degraded peaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph._util.progress import progress
from massgraph.data import degrade
from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, fold_by_group
from massgraph.evidence.baselines import labels_of, make_baseline
from massgraph.evidence.metrics import paired_test, prediction_scores
from massgraph.simulation.family_sums import simulate_family_sums
from massgraph.simulation.simulate import Simulation, simulate

__all__ = [
    "FAULTS",
    "MODELS",
    "QUICK_FAULTS",
    "QUICK_MODELS",
    "Evaluation",
    "Fault",
    "Task",
    "evaluate",
    "family_tasks",
    "quick_models",
    "simulated_tissue",
    "split_tasks",
    "synthetic_tasks",
    "thinned",
]

DEFAULT = "massgraph"
MODELS = (
    "massgraph",
    "lda",
    "shrinkage_lda",
    "pls_da",
    "logistic",
    "svm",
    "random_forest",
    "boosting",
    "cnn_1d",
    "peak_set",
    "published",
    "published_tuned",
)
"""Models of a full evaluation; the default's branches alone are reported too."""


@dataclass(frozen=True)
class Fault:
    """One fault at one strength.

    Parameters
    ----------
    kind, strength, unit
        What a table calls it.
    apply
        Degrades test spectra, given their labels and a generator.
    """

    kind: str
    strength: float
    unit: str
    apply: Callable[[Spectra, NDArray[Any], np.random.Generator], Spectra]

    @property
    def name(self) -> str:
        """Name in a table, such as "jitter 5 mDa"."""
        return f"{self.kind} {self.strength:g} {self.unit}".strip() if self.unit else self.kind


def _fault(kind: str, strength: float) -> Fault:
    units = {"shift": "mDa", "jitter": "mDa", "drift": "mDa", "resolution": "mDa", "batch": "sd"}
    share = strength / 100
    makers: dict[str, Callable[..., Spectra]] = {
        "clean": lambda s, y, rng: s,
        "shift": lambda s, y, rng: degrade.shift_mz(s, strength / 1e3, "Da"),
        "shift_ppm": lambda s, y, rng: degrade.shift_mz(s, strength, "ppm"),
        "drift": lambda s, y, rng: degrade.drift_mz(s, strength / 1e3, "Da"),
        "jitter": lambda s, y, rng: degrade.jitter_mz(s, strength / 1e3, "Da", rng),
        "keep": lambda s, y, rng: degrade.remove_peaks(s, share, rng),
        "top": lambda s, y, rng: degrade.keep_most_intense(s, share),
        "noise": lambda s, y, rng: degrade.add_noise_peaks(s, share, rng),
        "mix": lambda s, y, rng: degrade.mix_pixels(s, y, share, rng),
        "scale": lambda s, y, rng: degrade.scale_intensity(s, strength),
        "batch": lambda s, y, rng: degrade.batch_effect(s, strength, rng),
        "resolution": lambda s, y, rng: degrade.merge_peaks(s, strength / 1e3, "Da"),
    }
    unit = {"clean": "", "shift_ppm": "ppm", "scale": "x"}.get(kind, units.get(kind, "%"))
    return Fault("shift" if kind == "shift_ppm" else kind, strength, unit, makers[kind])


FAULTS = tuple(
    _fault(kind, strength)
    for kind, strengths in (
        ("clean", (0,)),
        ("shift", (5, 50, 200)),
        ("shift_ppm", (50,)),
        ("drift", (50,)),
        ("jitter", (1, 2, 5)),
        ("keep", (75, 50, 25)),
        ("top", (50, 25)),
        ("noise", (50,)),
        ("resolution", (20,)),
        ("scale", (0.2,)),
        ("batch", (0.2,)),
        ("mix", (30,)),
    )
    for strength in strengths
)
"""All faults of a full evaluation; "keep" removes peaks at random, "top" the weakest ones."""

QUICK_FAULTS = tuple(
    fault
    for fault in FAULTS
    if fault.name in ("clean", "shift 50 mDa", "jitter 5 mDa", "keep 50 %")
)


QUICK_MODELS = ("massgraph", "shrinkage_lda")
FAMILY_TEST_PIXELS = 200  # per class
QUICK_PIXELS = 40  # per class, of training and of test pixels of a quick evaluation


@dataclass(frozen=True, eq=False)
class Task:
    """Training and test pixels of one split.

    Parameters
    ----------
    seed
        Of the split and of the models.
    train, y_train, groups
        What models learn from, and the group of each of its pixels.
    test, y_test
        What they are scored on; scores of tasks with one seed are of their pixels together.
    """

    seed: int
    train: Spectra
    y_train: NDArray[Any]
    groups: NDArray[Any] | None
    test: Spectra
    y_test: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Parameters
    ----------
    classes
        Names of the classes.
    scores
        One row per seed, model and fault: `seed`, `model`, `fault`, `kind`, `strength`, and the
        columns of `massgraph.evidence.metrics.prediction_scores`.
    confusion
        Pixels by `model`, `fault`, `truth` and `predicted`, summed over the seeds.
    costs
        One row per seed and model: `seconds` of the fits.
    contributions
        Of the default model, one row per task and branch.
    ratio
        Test pixels over training pixels where the tasks of different seeds share pixels, 0 where
        they do not: what paired tests allow for.
    """

    classes: tuple[str, ...]
    scores: pd.DataFrame
    confusion: pd.DataFrame
    costs: pd.DataFrame
    contributions: pd.DataFrame
    ratio: float

    def table(self, score: str = "balanced_accuracy") -> pd.DataFrame:
        """Mean over the seeds, models by faults, in the order measured."""
        return self._pivot(score, "mean")

    def spread(self, score: str = "balanced_accuracy") -> pd.DataFrame:
        """Standard deviation over the seeds (NaN for one), models by faults."""
        return self._pivot(score, "std")

    def _pivot(self, score: str, how: str) -> pd.DataFrame:
        table = self.scores.groupby(["model", "fault"], sort=False)[score].agg(how).unstack("fault")
        return table.reindex(
            index=self.scores["model"].unique(), columns=self.scores["fault"].unique()
        )

    def tests(self, score: str = "balanced_accuracy", reference: str = DEFAULT) -> pd.DataFrame:
        """Paired comparison of one model with all others, by fault.

        Returns
        -------
        pandas.DataFrame
            `model`, `fault`, `difference` (reference less model, mean over the seeds), `low` and
            `high` (95 % interval), `p`; NaN where there are fewer than two seeds.
        """
        rows = []
        wide = self.scores.pivot_table(index="seed", columns=["model", "fault"], values=score)
        for model in self.scores["model"].unique():
            if model == reference:
                continue
            for fault in self.scores["fault"].unique():
                difference = (wide[(reference, fault)] - wide[(model, fault)]).to_numpy()
                rows.append({"model": model, "fault": fault, **paired_test(difference, self.ratio)})
        return pd.DataFrame(rows)


# -------------------------------------------------------------------- tasks


def split_tasks(
    spectra: Spectra,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    folds: int = 5,
    seeds: Sequence[int] = range(5),
    held_out: int | None = None,
) -> Iterator[Task]:
    """Cross-validation by whole groups, dealt anew for each seed.

    Parameters
    ----------
    spectra, y
        Pixels and labels; those without a label are trained on by no model.
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
    """
    labels = labels_of(y, spectra.n_pixels)
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
    """The six runs that `synthetic_tasks` are cut from; parameters are the same."""
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
        Others of `massgraph.simulate`.
    """
    for seed in seeds:
        truth = simulated_tissue(seed, shape=shape, effect=effect, **settings)
        known = ~pd.isna(truth.labels)
        spectra, labels = truth.spectra[known], truth.labels[known].astype(str)
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
    """
    for seed in seeds:
        parts = [
            simulate_family_sums(n, random_state=[seed, part], families_from=seed, **settings)
            for part, n in enumerate((per_class, FAMILY_TEST_PIXELS))
        ]
        (train, y_train), (test, y_test) = parts
        # Pixels have no place, and all runs both classes: any pixel may be held out.
        yield Task(seed, train, y_train, np.arange(len(y_train)), test, y_test)


def thinned(task: Task, per_class: int = QUICK_PIXELS) -> Task:
    """The task with at most so many training and test pixels of each class, drawn at random."""
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


# -------------------------------------------------------------------- measuring


def evaluate(
    tasks: Sequence[Task],
    models: Sequence[str] | dict[str, Callable[[int], Any]] = MODELS,
    *,
    faults: Sequence[Fault] = FAULTS,
    augment: int = 4,
    window_da: float = 0.003,
    overlapping: bool = True,
) -> Evaluation:
    """Fit every model on every task and score it under every fault.

    Parameters
    ----------
    tasks
        See `split_tasks` and `synthetic_tasks`.
    models
        Names, ``"massgraph"`` and those of `massgraph.baselines.BASELINES`; or a dictionary from
        names to functions that make an unfitted estimator from a seed, with ``fit(spectra, y,
        groups)`` and ``predict_proba(spectra)``. Of the default model the branches are scored
        alone too, and those that know no relations.
    faults
        What befalls the test pixels.
    augment
        Number of degraded copies that baselines learn from besides, as "+aug"; all are given
        without them as well.
    window_da
        Alignment window of the baselines.
    overlapping
        Whether tasks of different seeds share pixels.

    Raises
    ------
    ValueError
        For no tasks, or an unknown model.
    """
    tasks = list(tasks)
    if not tasks:
        msg = "there are no tasks to evaluate"
        raise InputError(msg)
    makers = models if isinstance(models, dict) else named_models(models, augment, window_da)
    classes = tuple(np.unique(np.concatenate([task.y_train for task in tasks])).tolist())
    found: dict[tuple[int, str, str], list[tuple[NDArray[Any], NDArray[np.float64]]]] = {}
    costs, contributions = [], []
    jobs = [(task, name) for task in tasks for name in makers]
    worse: dict[str, Spectra] = {}
    for task, name in progress(jobs, len(jobs), "evaluating"):
        if name == next(iter(makers)):
            worse = {fault.name: _degraded(task, fault) for fault in faults}
        started = time.monotonic()
        model = makers[name](task.seed).fit(task.train, task.y_train, task.groups)
        costs.append({"seed": task.seed, "model": name, "seconds": time.monotonic() - started})
        if name == DEFAULT and getattr(model, "contributions_", None) is not None:
            contributions.append(model.contributions_.assign(seed=task.seed))
        for fault, spectra in worse.items():
            for part, given in _predictions(name, model, spectra):
                probability = _for_all_classes(given, model.classes_, classes)
                found.setdefault((task.seed, part, fault), []).append((task.y_test, probability))
    scores, confusion = _score(found, classes, {fault.name: fault for fault in faults})
    ratio = len(tasks[0].y_test) / len(tasks[0].y_train) if overlapping else 0.0
    return Evaluation(
        classes=classes,
        scores=scores,
        confusion=confusion,
        costs=pd.DataFrame(costs).groupby(["model", "seed"], as_index=False, sort=False).sum(),
        contributions=pd.concat(contributions) if contributions else pd.DataFrame(),
        ratio=ratio,
    )


def quick_models(names: Sequence[str]) -> dict[str, Callable[[int], Any]]:
    """Models of a quick look: the default with little training, baselines of one window."""
    from massgraph.classifier import RGCNClassifier

    makers = named_models(names, augment=0, window_da=0.003)
    if DEFAULT in makers:
        makers[DEFAULT] = lambda seed: RGCNClassifier(
            random_state=seed, folds=2, epochs=8, augment=2
        )
    narrow = (name for name in makers if not name.endswith(("+aug", "mDa")))
    return {name: makers[name] for name in narrow}


def named_models(
    names: Sequence[str], augment: int, window_da: float
) -> dict[str, Callable[[int], Any]]:
    """Functions that make the models of these names from a seed."""
    makers: dict[str, Callable[[int], Any]] = {}
    for name in names:
        makers.update(_makers(name, augment, window_da))
    return makers


def _makers(name: str, augment: int, window_da: float) -> dict[str, Callable[[int], Any]]:
    from massgraph.classifier import RGCNClassifier

    def baseline(**options: Any) -> Callable[[int], Any]:
        return lambda seed: make_baseline(name, random_state=seed, **options)

    if name == DEFAULT:
        return {name: lambda seed: RGCNClassifier(random_state=seed)}
    if name in ("published", "published_tuned", "peak_set"):
        return {name: baseline()}
    if name == "cnn_1d":
        return {name: baseline(), f"{name} +aug": baseline(augment=1)}
    both = {
        name: baseline(window_da=window_da),
        f"{name} +aug": baseline(window_da=window_da, augment=augment),
    }
    if name == "shrinkage_lda":
        wide = f"{name} {2e3 * window_da:g} mDa"
        return {
            f"{name} uncalibrated": baseline(window_da=window_da, recalibrate=False),
            **both,
            wide: baseline(window_da=2 * window_da),
            f"{wide} +aug": baseline(window_da=2 * window_da, augment=augment),
        }
    return both


def _degraded(task: Task, fault: Fault) -> Spectra:
    """The test pixels with a fault: the same for all models."""
    rng = np.random.default_rng([task.seed, len(task.y_test), *fault.name.encode()])
    return fault.apply(task.test, task.y_test, rng)


def _predictions(
    name: str, model: Any, spectra: Spectra
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Probabilities of the model, and of the default its branches alone and without relations."""
    from massgraph.classifier import RGCNClassifier

    is_ours = name == DEFAULT and isinstance(model, RGCNClassifier)
    branches = model.settings_.branches if is_ours else ()
    if len(branches) < 2:
        yield name, model.predict_proba(spectra)
        return
    logits = model.branch_logits(spectra)
    yield name, softmax(logits.sum(axis=1), axis=1)
    for index, branch in enumerate(branches):
        yield f"{name}: {branch} alone", softmax(logits[:, index], axis=1)
    without = [index for index, branch in enumerate(branches) if branch in ("axis", "peak")]
    if 0 < len(without) < len(branches):
        yield f"{name}: no relations", softmax(logits[:, without].sum(axis=1), axis=1)


def _for_all_classes(
    given: NDArray[np.float64], own: NDArray[Any], classes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Columns for classes that a model never saw; chance where a pixel has no probability."""
    probability = np.zeros((len(given), len(classes)))
    probability[:, np.searchsorted(classes, np.asarray(own).astype(str))] = given
    probability[~np.isfinite(probability).all(axis=1)] = 1.0 / len(classes)
    return probability


def _score(
    found: dict[tuple[int, str, str], list[tuple[NDArray[Any], NDArray[np.float64]]]],
    classes: tuple[str, ...],
    faults: dict[str, Fault],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, counts = [], []
    for (seed, model, name), parts in found.items():
        truth = np.searchsorted(classes, np.concatenate([part[0] for part in parts]).astype(str))
        probability = np.concatenate([part[1] for part in parts])
        fault = faults[name]
        rows.append(
            {
                "seed": seed,
                "model": model,
                "fault": name,
                "kind": fault.kind,
                "strength": fault.strength,
                **prediction_scores(truth, probability),
            }
        )
        table = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(table, (truth, probability.argmax(axis=1)), 1)
        counts += [
            {"model": model, "fault": name, "truth": a, "predicted": b, "pixels": table[i, j]}
            for i, a in enumerate(classes)
            for j, b in enumerate(classes)
        ]
    confusion = pd.DataFrame(counts)
    keys = ["model", "fault", "truth", "predicted"]
    return pd.DataFrame(rows), confusion.groupby(keys, as_index=False, sort=False).sum()
