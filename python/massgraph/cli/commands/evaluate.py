"""``massgraph evaluate``: models side by side, on spectra with faults."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.groups import find_groups
from massgraph.cli.inputs import find_labels, read_all
from massgraph.cli.options import (
    LARGEST_SEED,
    add_groups,
    add_inputs,
    add_labels,
    add_output,
    seed,
)
from massgraph.cli.outputs import check_output, title_of

if TYPE_CHECKING:
    from massgraph.evidence.evaluate import Evaluation, Task

__all__ = ["EVALUATE"]

TITLES = {"tissue": "Simulated tissue", "family": "Sum over a family of ions"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser, nargs="*")
    add_labels(parser).add_argument(
        "--synthetic",
        choices=tuple(TITLES),
        help="simulated spectra in place of files: tissue of three classes, or two classes that "
        "differ in the sum over one family of ions",
    )
    add_groups(parser)
    add_output(parser)
    parser.add_argument("--quick", action="store_true", help="a look: few models, faults, pixels")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (5)")
    parser.add_argument("--seed", type=seed, default=1000, help="the first of the seeds (1000)")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation (5)")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="massgraph and baselines (default: all)"
    )


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.evaluation import EVALUATION_NAMES, summary_lines, write_evaluation

    started = time.monotonic()
    check_output(arguments, replaced=EVALUATION_NAMES)
    _check(arguments)
    seeds = range(arguments.seed, arguments.seed + (1 if arguments.quick else arguments.seeds))
    evaluation = _evaluate(arguments, _tasks(arguments, seeds))
    write_evaluation(
        evaluation,
        arguments.out,
        title=TITLES[arguments.synthetic] if arguments.synthetic else title_of(arguments),
        command=shlex.join(["massgraph", *arguments.words]),
        overwrite=arguments.overwrite,
    )
    # Faults are for the page; the summary says what to expect of clean spectra.
    clean = evaluation.table()["clean"]
    return {
        "out": str(arguments.out),
        "seeds": len(seeds),
        "balanced_accuracy_clean": {str(k): float(v) for k, v in clean.items()},
        "against_the_best_other": summary_lines(evaluation),
        "seconds": round(time.monotonic() - started, 1),
    }


def _check(arguments: argparse.Namespace) -> None:
    # argparse cannot say that files and --synthetic exclude each other.
    if bool(arguments.input) == bool(arguments.synthetic):
        msg = "evaluate needs input files with their labels, or --synthetic without any"
        raise InputError(msg)
    if arguments.seeds < 1 or arguments.folds < 2:
        msg = f"--seeds {arguments.seeds} must be 1 or more, --folds {arguments.folds} 2 or more"
        raise InputError(msg)
    if arguments.seed + arguments.seeds > LARGEST_SEED + 1:
        msg = f"--seed {arguments.seed}: the last of {arguments.seeds} is above {LARGEST_SEED}"
        raise InputError(msg)
    _check_models(arguments.models or ())


def _check_models(names: Sequence[str]) -> None:
    """Say before the first of them is fitted that the last is not known."""
    from massgraph.evidence.baselines import BASELINES, GRIDS
    from massgraph.evidence.evaluate import EFFORTS, TUNED

    known = [*EFFORTS, *BASELINES, *(f"{name}{TUNED}" for name in GRIDS)]
    for name in names:
        if name not in known:
            msg = f"--models {name!r} is none of {', '.join(known)}"
            raise InputError(msg)


def _tasks(arguments: argparse.Namespace, seeds: range) -> list[Task]:
    """What is learnt and judged: simulated, or folds of the files."""
    from massgraph.evidence import evaluate as ev

    if arguments.synthetic == "tissue":
        shape = (9, 9) if arguments.quick else (12, 12)
        tasks = list(ev.synthetic_tasks(seeds, shape=shape))
    elif arguments.synthetic:
        tasks = list(ev.family_tasks(seeds))
    else:
        spectra = read_all(arguments)
        labels = find_labels(arguments, spectra)
        held_out = 1 if arguments.quick else None
        tasks = list(
            ev.split_tasks(
                spectra,
                labels,
                find_groups(arguments, spectra, labels),
                folds=arguments.folds,
                seeds=seeds,
                held_out=held_out,
            )
        )
    return [ev.thinned(task) for task in tasks] if arguments.quick else tasks


def _evaluate(arguments: argparse.Namespace, tasks: list[Task]) -> Evaluation:
    from massgraph.evidence import evaluate as ev

    # A look takes a minute, all models and faults take hours.
    names = arguments.models or (ev.QUICK_MODELS if arguments.quick else ev.MODELS)
    return ev.evaluate(
        tasks,
        ev.quick_models(names) if arguments.quick else names,
        faults=ev.QUICK_FAULTS if arguments.quick else ev.FAULTS,
        # Every seed cuts the same files, but simulates a tissue of its own.
        overlapping=arguments.synthetic is None,
    )


EVALUATE = Command(
    name="evaluate",
    help="Score models side by side on spectra with faults, by folds of whole groups.",
    writes="""writes into DIR, all or nothing:
  evaluation.html        everything on one page
  tables.md              all scores, models by faults, with their spread
  scores.csv, tests.csv, confusion.csv, contributions.csv, costs.csv, evaluation.json
  figures/               curves over the strength of each fault, as PNG and PDF""",
    add_arguments=_add_arguments,
    run=_run,
    examples=("evaluate run.imzML --labels labels.csv --out evaluation/ --quick",),
)
