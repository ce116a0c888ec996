"""Accuracy on the real data sets over the number of labelled pixels, and from end to end.

    python benchmarks/real_curves.py cells|bladder|kidney|tma --out DIR [--seeds N] [--seed FIRST]
    python benchmarks/real_curves.py tumour|bladder --ends --out DIR

The first draws so many labelled pixels of each class from what `real_data.py` learns from. With
--ends models learn from one end of the section and are judged on the other, both ways, two fifths
of it each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from real_data import SETS

from massgraph.evidence.evaluate import FAULTS, Task, evaluate, split_tasks

PER_CLASS = (10, 30, 100)
END = 0.4  # of the length of the section
TESTED = 1000  # pixels at most
MODELS = (
    "massgraph",
    "shrinkage_lda",
    "shrinkage_lda tuned",
    "pls_da tuned",
    "logistic tuned",
    "extra_trees",
)


def few(task: Task, per_class: int) -> Task:
    """The same test pixels, and so many training pixels of each class, drawn at random."""
    order = np.random.default_rng(task.seed).permutation(len(task.y_train))
    labels = task.y_train[order]
    rows = np.sort(np.concatenate([order[labels == one][:per_class] for one in np.unique(labels)]))
    groups = None if task.groups is None else task.groups[rows]
    return replace(task, train=task.train[rows], y_train=task.y_train[rows], groups=groups)


def curve(name: str, seeds: Sequence[int], models: Sequence[str]) -> pd.DataFrame:
    """Scores of one data set for each number of labelled pixels."""
    tasks = list(split_tasks(*SETS[name](), folds=5, seeds=seeds))
    clean = [fault for fault in FAULTS if fault.name == "clean"]
    parts = []
    for per_class in PER_CLASS:
        thin = [few(task, per_class) for task in tasks]
        found = evaluate(thin, models, faults=clean, overlapping=False)
        parts.append(found.scores.assign(column=per_class))
    return pd.concat(parts)


def ends(name: str) -> Iterator[tuple[str, Task]]:
    """From one end of the section to the other, and back."""
    spectra, labels, groups = SETS[name](**({"thin": 3} if name == "tumour" else {}))
    along = np.asarray(spectra.coordinates)[:, 0]
    place = (along - along.min()) / np.ptp(along)
    sides = {"left": place < END, "right": place > 1 - END}
    for one, other in (("left", "right"), ("right", "left")):
        train, test = np.flatnonzero(sides[one]), np.flatnonzero(sides[other])
        test = np.sort(np.random.default_rng(0).permutation(test)[:TESTED])
        yield (
            f"{one} to {other}",
            Task(0, spectra[train], labels[train], groups[train], spectra[test], labels[test]),
        )


def from_end_to_end(name: str, models: Sequence[str]) -> pd.DataFrame:
    """Scores of each way."""
    faults = [fault for fault in FAULTS if fault.name in ("clean", "keep 50 %")]
    parts = []
    for way, task in ends(name):
        scores = evaluate([task], models, faults=faults, overlapping=False).scores
        parts.append(scores.assign(column=way + ", " + scores["fault"]))
    return pd.concat(parts)


def main() -> int:
    """Write scores.csv and print their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ends", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=10, help="the first")
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.ends:
        scores = from_end_to_end(arguments.data, arguments.models)
    else:
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        scores = curve(arguments.data, seeds, arguments.models)
    scores.to_csv(arguments.out / "scores.csv", index=False)
    score = "auc" if arguments.data == "tumour" else "balanced_accuracy"
    table = scores.pivot_table(index="model", columns="column", values=score, sort=False)
    sys.stdout.write(table.round(3).to_string() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
