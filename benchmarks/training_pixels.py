"""Accuracy on unseen runs over the number of labelled pixels, beside all baselines.

    python benchmarks/training_pixels.py tissue|family|adducts --out DIR [--seeds N] [--seed FIRST]

Writes scores.csv, table.md and the curves as PNG and PDF.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from massgraph.evidence.evaluate import (
    FAULTS,
    Task,
    adduct_tasks,
    evaluate,
    family_tasks,
    synthetic_tasks,
)
from massgraph.evidence.evaluate import MODELS as ALL_MODELS
from massgraph.pl import training_pixels
from massgraph.report.evaluation import markdown_table

PER_CLASS = (10, 30, 100, 300)
FAULT_NAMES = ("clean", "jitter 5 mDa", "keep 50 %")
LEFT_OUT = ("lda", "cnn_1d", "peak_set", "published")
MODELS = tuple(name for name in ALL_MODELS if name not in LEFT_OUT)
SIDE, PIXELS_PER_CLASS = 12, 90  # pixels of a class in three runs of 12 x 12
TEST_PIXELS = 300


def tissue(per_class: int, seed: int) -> Task:
    """Simulated tissue of which so many pixels per class are labelled, tested on 300 of others."""
    side = max(SIDE, math.ceil(SIDE * math.sqrt(1.2 * per_class / PIXELS_PER_CLASS)))
    (task,) = synthetic_tasks([seed], shape=(side, side), per_class=per_class)
    rows = np.random.default_rng(seed).permutation(len(task.y_test))[:TEST_PIXELS]
    return Task(task.seed, task.train, task.y_train, None, task.test[rows], task.y_test[rows])


def family(per_class: int, seed: int) -> Task:
    """Two classes that differ in the sum over a family alone."""
    (task,) = family_tasks([seed], per_class=per_class)
    return task


def adducts(per_class: int, seed: int) -> Task:
    """Tissue in which the balance of adducts varies, learnt on one run and tested on another."""
    (task,) = adduct_tasks([seed], per_class=per_class)
    return task


def main() -> int:
    """Run one kind of simulation and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {"tissue": tissue, "family": family, "adducts": adducts}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1000, help="the first")
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if fault.name in FAULT_NAMES]
    parts = []
    for per_class in PER_CLASS:
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        tasks = [kinds[arguments.kind](per_class, seed) for seed in seeds]
        found = evaluate(tasks, arguments.models, faults=faults, overlapping=False)
        parts.append(found.scores.assign(per_class=per_class))
    write(pd.concat(parts), arguments.out)
    return 0


def write(scores: pd.DataFrame, out: Path) -> None:
    """Scores, tables and curves."""
    out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(out / "scores.csv", index=False)
    texts = []
    for fault in FAULT_NAMES:
        part = scores[scores["fault"] == fault]
        groups = part.groupby(["model", "per_class"])["balanced_accuracy"]
        order = part["model"].unique()
        mean, spread = (found.unstack().loc[order] for found in (groups.mean(), groups.std()))
        texts.append(f"## {fault}\n\n{markdown_table(mean, spread)}")
    (out / "table.md").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    for ending in ("png", "pdf"):
        training_pixels(scores).savefig(out / f"training_pixels.{ending}", dpi=200)
    sys.stdout.write(texts[0] + "\n")


if __name__ == "__main__":
    sys.exit(main())
