"""Tissue in which the balance of adducts varies: labels on one run, judged on another.

    python benchmarks/adducts.py --out DIR [--seeds N] [--seed FIRST] [--models NAME ...]

Simulations of the preset "adducts" with 20 and 100 labelled pixels of each class, and two standard
deviations of the log share of an adduct. Balanced accuracy on clean spectra.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from massgraph.evidence.evaluate import FAULTS, adduct_tasks, evaluate

LABELS, DEVIATIONS = (20, 100), (0.85, 1.7)
MODELS = (
    "massgraph",
    "shrinkage_lda",
    "shrinkage_lda tuned",
    "pls_da tuned",
    "logistic tuned",
    "extra_trees",
)


def main() -> int:
    """Write scores.csv and print their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    clean = [fault for fault in FAULTS if fault.name == "clean"]
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    parts = []
    for labels in LABELS:
        for sd in DEVIATIONS:
            tasks = list(adduct_tasks(seeds, per_class=labels, adduct_variation=sd))
            found = evaluate(tasks, arguments.models, faults=clean, overlapping=False)
            parts.append(found.scores.assign(labels=labels, sd=sd))
    scores = pd.concat(parts)
    scores.to_csv(arguments.out / "scores.csv", index=False)
    columns = ["labels", "sd"]
    table = scores.pivot_table(
        index="model", columns=columns, values="balanced_accuracy", sort=False
    )
    sys.stdout.write(table.round(3).to_string() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
