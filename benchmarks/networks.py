"""What networks add to the branches in closed form: none, of single ions, of molecules.

    python benchmarks/networks.py --out DIR [--seeds N] [--seed FIRST] [--pixels N]

Simulated tissue ("medium", classes that differ by 0.2): three runs to learn from and three to judge
by, with their peaks as measured, lost, or at masses that scatter. Balanced accuracy, also of the
network by itself, and processor seconds of a fit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

import massgraph as mg
from massgraph import degrade

TESTED = 400
CLOSED_FORM = ("axis", "family")
MODELS = {
    "no network": CLOSED_FORM,
    "ions": (*CLOSED_FORM, "relational"),
    "molecules": (*CLOSED_FORM, "molecular"),
    "molecules, and ions without edges": (*CLOSED_FORM, "molecular", "peak"),
}
FAULTS: dict[str, Callable[[mg.Spectra, np.random.Generator], mg.Spectra]] = {
    "clean": lambda spectra, rng: spectra,
    "jitter 5 mDa": lambda spectra, rng: degrade.jitter_mz(spectra, 0.005, "Da", rng),
    "keep 50 %": lambda spectra, rng: degrade.remove_peaks(spectra, 0.5, rng),
    "keep 25 %": lambda spectra, rng: degrade.remove_peaks(spectra, 0.25, rng),
    "top 25 %": lambda spectra, rng: degrade.keep_most_intense(spectra, 0.25),
}


def rows(seed: int, pixels: int) -> list[dict[str, object]]:
    """Scores of one simulation."""
    simulation = mg.simulate("medium", random_state=seed, effect=0.2)
    known = np.flatnonzero(~pd.isna(simulation.labels))
    spectra = simulation.spectra[known]
    labels = np.asarray(simulation.labels, dtype=object)[known].astype(str)
    rng = np.random.default_rng(seed)
    old = np.isin(spectra.run, ["run1", "run2", "run3"])
    train, test = (
        np.sort(rng.choice(np.flatnonzero(of), min(n, of.sum()), replace=False))
        for of, n in ((old, pixels), (~old, TESTED))
    )
    worse = {
        name: fault(spectra[test], np.random.default_rng(seed)) for name, fault in FAULTS.items()
    }
    found: list[dict[str, object]] = []
    for name, branches in MODELS.items():
        begun = time.process_time()
        model = mg.RGCNClassifier(branches=branches, random_state=seed, spatial=False)
        model.fit(spectra[train], labels[train])
        seconds = time.process_time() - begun
        judged = {name: model}
        if name in ("ions", "molecules"):
            judged[f"{name}, network alone"] = model.only(branches[-1])
        for called, each in judged.items():
            for fault, read in worse.items():
                score = balanced_accuracy_score(labels[test], each.predict(read))
                found.append(
                    {"seed": seed, "model": called, "fault": fault, "score": score, "s": seconds}
                )
    return found


def main() -> int:
    """Write scores.csv and print their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=8010, help="the first")
    parser.add_argument("--pixels", type=int, default=900, help="to learn from")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, object]] = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        table += rows(seed, arguments.pixels)
        scores = pd.DataFrame(table)
        scores.to_csv(arguments.out / "scores.csv", index=False)
    means = scores.pivot_table(index="model", columns="fault", values="score", sort=False)
    means["processor s"] = scores.groupby("model")["s"].mean()
    sys.stdout.write(means.round(3).to_string() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
