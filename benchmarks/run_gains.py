"""What gains between runs cost, and what finding them wins back.

    python benchmarks/run_gains.py --out DIR [--seeds N] [--seed FIRST] [--models NAME ...]

Simulated tissue ("medium", classes that differ by 0.2): three runs to learn from, 285 labelled
pixels, and three to judge by. Each ion has a log-normal gain of its own in each run. New runs hold
the classes as the others do ("alike"), or lack nine tenths of one class each ("unlike"). Balanced
accuracy of the default, as it is and without `run_gains`, and of others, by their names in
`massgraph.evidence.evaluate`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

import massgraph as mg
from massgraph import degrade
from massgraph.evidence.evaluate import named_models

MODELS = ("shrinkage_lda", "shrinkage_lda per run", "logistic tuned", "logistic tuned per run")
AUGMENT, WINDOW_DA = 4, 0.003
DEVIATIONS = (0.0, 0.2, 0.5, 1.0)
PIXELS, LEFT = 285, 0.1


def makers(models: Sequence[str]) -> dict[str, object]:
    """What makes each model from a seed."""
    ours = {
        name: lambda seed, gains=gains: mg.RGCNClassifier(
            run_gains=gains, random_state=seed, spatial=False
        )
        for name, gains in (("massgraph", True), ("massgraph, gains left", False))
    }
    return {**ours, **named_models(models, AUGMENT, WINDOW_DA)}


def rows(seed: int, models: Sequence[str]) -> list[dict[str, object]]:
    """Scores of one simulation."""
    simulation = mg.simulate("medium", random_state=seed, effect=0.2, shape=(24, 24))
    labels = np.asarray(simulation.labels, dtype=object)
    known = np.flatnonzero(~pd.isna(simulation.labels))
    labels, found = labels[known].astype(str), []
    for sd in DEVIATIONS:
        rng = np.random.default_rng(seed)
        spectra = degrade.batch_effect(simulation.spectra, sd, rng)[known]
        old = np.isin(spectra.run, ["run1", "run2", "run3"])
        chosen = np.sort(rng.choice(np.flatnonzero(old), PIXELS, replace=False))
        test = {"alike": np.flatnonzero(~old), "unlike": unlike(spectra.run, labels, ~old, rng)}
        train = spectra[chosen]
        for model, make in makers(models).items():
            fitted = make(seed).fit(train, labels[chosen])
            for name, pixels in test.items():
                score = balanced_accuracy_score(labels[pixels], fitted.predict(spectra[pixels]))
                found.append({"seed": seed, "sd": sd, "runs": name, "model": model, "score": score})
    return found


def unlike(
    run: np.ndarray, labels: np.ndarray, new: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Pixels of the new runs, of each run few of one class."""
    kept = new.copy()
    for name, gone in zip(np.unique(run[new]), np.unique(labels), strict=True):
        kept[(run == name) & (labels == gone) & (rng.random(len(run)) > LEFT)] = False
    return np.flatnonzero(kept)


def main() -> int:
    """Write scores.csv and print their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5010, help="the first")
    parser.add_argument("--models", nargs="*", default=MODELS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, object]] = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        table += rows(seed, arguments.models)
        scores = pd.DataFrame(table)
        scores.to_csv(arguments.out / "scores.csv", index=False)
    means = scores.pivot_table(index=["runs", "model"], columns="sd", values="score", sort=False)
    sys.stdout.write(means.round(3).to_string() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
