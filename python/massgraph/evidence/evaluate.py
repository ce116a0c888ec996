"""Models side by side on spectra with faults: group-aware splits, several seeds, paired tests.

A task is a pair of training and test pixels of different groups. Models see the training pixels
only, and tune whatever they tune on parts of them; the test pixels are degraded, and everything
(calibration, graphs, alignment) is made anew from the degraded peaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph._util.executor import Joblib
from massgraph._util.progress import progress
from massgraph.data.spectra import Spectra
from massgraph.evidence.baselines import make_baseline
from massgraph.evidence.faults import FAULTS, QUICK_FAULTS, Fault
from massgraph.evidence.metrics import paired_test, prediction_scores
from massgraph.evidence.tasks import (
    Task,
    adduct_tasks,
    family_tasks,
    simulated_tissue,
    split_tasks,
    synthetic_tasks,
    thinned,
)
from massgraph.learn.branches import branch

__all__ = [
    "FAULTS",
    "MODELS",
    "QUICK_FAULTS",
    "QUICK_MODELS",
    "Evaluation",
    "Fault",
    "Task",
    "adduct_tasks",
    "evaluate",
    "family_tasks",
    "quick_models",
    "simulated_tissue",
    "split_tasks",
    "synthetic_tasks",
    "thinned",
]

DEFAULT = "massgraph"
EFFORTS = {DEFAULT: None, "massgraph fast": "fast", "massgraph thorough": "thorough"}
TUNED, PER_RUN = " tuned", " per run"
# All that need no further package: XGBoost, an extra, is added by name.
MODELS = (
    "massgraph",
    "lda",
    "shrinkage_lda",
    "shrinkage_lda tuned",
    "pls_da",
    "pls_da tuned",
    "logistic",
    "logistic tuned",
    "svm",
    "svm tuned",
    "random_forest",
    "extra_trees",
    "boosting",
    "cnn_1d",
    "peak_set",
    "published",
    "published_tuned",
)
"""Models of a full evaluation; the default's branches alone are reported too."""


QUICK_MODELS = ("massgraph", "shrinkage_lda")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of models on tasks, and what they cost.

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
        Number of test pixels over that of training pixels where tasks of different seeds share
        pixels, else 0; paired tests allow for it.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.evidence.evaluate import Evaluation
    >>> scores = pd.DataFrame(
    ...     {
    ...         "seed": [0, 0, 1, 1],
    ...         "model": ["massgraph", "lda"] * 2,
    ...         "fault": "clean",
    ...         "balanced_accuracy": [0.95, 0.93, 0.97, 0.93],
    ...     }
    ... )
    >>> none = pd.DataFrame()
    >>> evaluation = Evaluation(("a", "b"), scores, none, none, none, ratio=0.0)
    >>> float(evaluation.table().loc["massgraph", "clean"])
    0.96
    >>> round(float(evaluation.tests()["difference"][0]), 2)
    0.03
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
            `high` (95 % interval), `p`; NaN where there are fewer than two seeds. No row where the
            reference was not evaluated.
        """
        rows = []
        wide = self.scores.pivot_table(index="seed", columns=["model", "fault"], values=score)
        models = self.scores["model"].unique()
        for model in models if reference in models else ():
            if model == reference:
                continue
            for fault in self.scores["fault"].unique():
                difference = (wide[(reference, fault)] - wide[(model, fault)]).to_numpy()
                rows.append({"model": model, "fault": fault, **paired_test(difference, self.ratio)})
        return pd.DataFrame(rows, columns=["model", "fault", "difference", "low", "high", "p"])


# -------------------------------------------------------------------- measuring


def evaluate(
    tasks: Sequence[Task],
    models: Sequence[str] | dict[str, Callable[[int], Any]] = MODELS,
    *,
    faults: Sequence[Fault] = FAULTS,
    augment: int = 4,
    window_da: float = 0.003,
    overlapping: bool = True,
    n_jobs: int | None = None,
) -> Evaluation:
    """Fit every model on every task and score it under every fault.

    Parameters
    ----------
    tasks
        See `split_tasks` and `synthetic_tasks`.
    models
        Names, ``"massgraph"``, ``"massgraph fast"``, ``"massgraph thorough"`` and those of
        `massgraph.baselines.BASELINES`, with `` tuned`` behind them for those that have a grid in
        `massgraph.baselines.GRIDS`, and `` per run`` last for those that are to read ions
        standardised in each run; or a dictionary from names to functions that make an unfitted
        estimator from a seed, with ``fit(spectra, y, groups)`` and ``predict_proba(spectra)``. The
        default model looks at each pixel by itself, as the baselines do. Each of its branches is
        scored alone too, and so are those together that know no relations.
    faults
        Faults of the test pixels.
    augment
        Number of degraded copies that baselines learn from besides, as "+aug"; each baseline is
        scored without them as well.
    window_da
        Alignment window of the baselines.
    overlapping
        Whether tasks of different seeds share pixels.
    n_jobs
        Processes that fit models side by side, as joblib's `n_jobs`; None is one, or what
        ``joblib.parallel_config`` says. Scores are the same, whoever runs them.

    Raises
    ------
    InputError
        For no tasks, or an unknown model.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.evaluate import QUICK_FAULTS, evaluate, split_tasks
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> tasks = split_tasks(spectra, labels, folds=3, seeds=[0], held_out=1)
    >>> evaluation = evaluate(tasks, ["lda"], faults=QUICK_FAULTS[:2], augment=1)
    >>> evaluation.table().shape  # with copies and without, clean and shifted
    (2, 2)
    """
    tasks = list(tasks)
    if not tasks:
        msg = "there are no tasks to evaluate"
        raise InputError(msg)
    makers = models if isinstance(models, dict) else named_models(models, augment, window_da)
    classes = tuple(np.unique(np.concatenate([task.y_train for task in tasks])).tolist())
    # All models of a task come one after the other, so that what they share is made once.
    jobs = [_Job(task, name, make) for task in tasks for name, make in makers.items()]
    work = partial(_measure, tuple(faults), classes)
    done = Joblib(n_jobs).map(work, jobs, name=_Job.title)
    measured = list(progress(done, len(jobs), "evaluating"))
    found: dict[tuple[int, str, str], list[tuple[NDArray[Any], NDArray[np.float64]]]] = {}
    # The folds of a seed are scored together: one alone may hold no pixel of some class.
    for job, one in zip(jobs, measured, strict=True):
        for part, fault, probability in one.probabilities:
            found.setdefault((job.task.seed, part, fault), []).append(
                (job.task.y_test, probability)
            )
    costs = [
        {"seed": job.task.seed, "model": job.name, "seconds": one.seconds}
        for job, one in zip(jobs, measured, strict=True)
    ]
    contributions = [
        one.contributions.assign(seed=job.task.seed)
        for job, one in zip(jobs, measured, strict=True)
        if one.contributions is not None
    ]
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


@dataclass(frozen=True, eq=False)
class _Job:
    """One model on one task."""

    task: Task
    name: str
    make: Callable[[int], Any]

    def title(self) -> str:
        return f"evaluating {self.name} with seed {self.task.seed}"


@dataclass(frozen=True, eq=False)
class _Measured:
    """Seconds of the fit, and probabilities by (model or part of it, fault)."""

    seconds: float
    contributions: pd.DataFrame | None
    probabilities: list[tuple[str, str, NDArray[np.float64]]]


def _measure(faults: tuple[Fault, ...], classes: tuple[str, ...], job: _Job) -> _Measured:
    """Fit one model on one task, and predict the test pixels under every fault."""
    task, worse = _PREPARED.of(job.task, faults)
    started = time.monotonic()
    model = job.make(task.seed).fit(task.train, task.y_train, task.groups)
    seconds = time.monotonic() - started
    contributions = getattr(model, "contributions_", None) if job.name == DEFAULT else None
    probabilities = [
        (part, fault, _for_all_classes(given, model.classes_, classes))
        for fault, spectra in worse.items()
        for part, given in _predictions(job.name, model, spectra)
    ]
    return _Measured(seconds, contributions, probabilities)


class _Prepared:
    """The task that was asked for last, with its degraded test pixels.

    The models of a task come one after the other, in another process as copies of it: what they
    share (faults, and what `massgraph.baselines` remembers of the same spectra) is made once.
    """

    def __init__(self) -> None:
        self.key: tuple[Any, ...] = ()
        self.task: Task | None = None
        self.worse: dict[str, Spectra] = {}

    def of(self, task: Task, faults: tuple[Fault, ...]) -> tuple[Task, dict[str, Spectra]]:
        names = tuple(fault.name for fault in faults)
        # Told by content: in another process each job brings a copy of the task.
        key = (task.seed, task.train.fingerprint(), task.test.fingerprint(), names)
        if self.task is None or key != self.key:
            self.worse = {fault.name: _degraded(task, fault) for fault in faults}
            self.key, self.task = key, task
        return self.task, self.worse


_PREPARED = _Prepared()


def quick_models(names: Sequence[str]) -> dict[str, Callable[[int], Any]]:
    """Make the models of a quick look: the default without networks, baselines of one window.

    Examples
    --------
    >>> from massgraph.evidence.evaluate import quick_models
    >>> list(quick_models(["massgraph", "shrinkage_lda"]))
    ['massgraph', 'shrinkage_lda uncalibrated', 'shrinkage_lda']
    """
    from massgraph.classifier import RGCNClassifier

    makers = named_models(names, augment=0, window_da=0.003)
    if DEFAULT in makers:
        makers[DEFAULT] = lambda seed: RGCNClassifier(
            random_state=seed, effort="fast", folds=2, spatial=False
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

    def baseline(of: str = name, **options: Any) -> Callable[[int], Any]:
        return lambda seed: make_baseline(of, random_state=seed, **options)

    if name in EFFORTS:
        ours: dict[str, Any] = {"effort": EFFORTS[name], "spatial": False}
        return {name: lambda seed: RGCNClassifier(random_state=seed, **ours)}
    if name in ("published", "published_tuned", "peak_set"):
        return {name: baseline()}
    # One copy only: the convolution takes longest as it is.
    if name == "cnn_1d":
        return {name: baseline(), f"{name} +aug": baseline(augment=1)}
    plain = name.removesuffix(PER_RUN)
    options: dict[str, Any] = {"of": plain.removesuffix(TUNED), "window_da": window_da}
    options |= {"tuned": plain.endswith(TUNED), "per_run": plain != name}
    both = {name: baseline(**options), f"{name} +aug": baseline(**options, augment=augment)}
    # The strongest rival comes in all its forms: uncalibrated, to show what calibration alone is
    # worth, and with a window twice as wide, which serves it better where m/z scatter.
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
    # Seeded by the fault's own name: it is the same whichever others are asked for.
    rng = np.random.default_rng([task.seed, len(task.y_test), *fault.name.encode()])
    return fault.apply(task.test, task.y_test, rng)


def _predictions(
    name: str, model: Any, spectra: Spectra
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Probabilities of the model; of the default, also those of its branches."""
    from massgraph.classifier import RGCNClassifier

    if not isinstance(model, RGCNClassifier):
        yield name, model.predict_proba(spectra)
        return
    # By logits, as the pixels are ones that a fault made, which a model may well refuse.
    branches = model.settings_.branches if name == DEFAULT else ()
    if len(branches) < 2:
        yield name, softmax(model.logits(spectra), axis=1)
        return
    logits = model.branch_logits(spectra)
    yield name, softmax(logits.sum(axis=1), axis=1)
    for index, one in enumerate(branches):
        yield f"{name}: {one} alone", softmax(logits[:, index], axis=1)
    without = [index for index, name in enumerate(branches) if not branch(name).reads_relations]
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
