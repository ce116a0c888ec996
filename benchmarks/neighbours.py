"""What neighbours add to the classes of pixels: the classifier with them and without.

    python benchmarks/neighbours.py --out DIR [--scenarios NAME ...] [--labels NAME ...]
        [--seeds N] [--seed FIRST] [--branches NAME ...]

Balanced accuracy of pixels without labels, with ``spatial="auto"`` and ``spatial=False``, on all
peaks and on a random half of them. Labels are a random share of the pixels, blocks of 5 x 5 pixels,
or patches of 3 x 3 within regions, as people draw them. Four scenarios are drawn on a grid from
pixels of a simulation: a class is one pixel wide in "layers" or in winding "curves", or in single
"cells", or it is in such layers and broad elsewhere ("thin"). For these the recall of what is thin
is given, too. Writes scores.csv and table.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import massgraph as mg
from massgraph._util.progress import progress
from massgraph.data.neighbours import neighbours_around
from massgraph.segment import segment
from massgraph.simulation.simulate import OFF_TISSUE

SIMULATED = ("small", "regions", "regions-islands")
DRAWN = ("layers", "curves", "cells", "thin")
KEPT = (1.0, 0.5)
BLOCK = 5  # pixels across
PER_CLASS = 40  # labelled pixels that blocks are drawn for
PATCHES = 8  # of each class
SIZE = 30  # pixels across a drawn image

Mask = NDArray[np.bool_]
Names = NDArray[np.object_]


# -------------------------------------------------------------------- images


@lru_cache(maxsize=1)
def image(name: str, seed: int) -> tuple[mg.Spectra, Names, Mask]:
    """Pixels, their classes, and which of them are thin."""
    if name in DRAWN:
        return drawn(name, seed)
    simulation = mg.simulate(name, random_state=seed)
    return simulation.spectra, simulation.truth, np.zeros(len(simulation.truth), dtype=bool)


def drawn(name: str, seed: int) -> tuple[mg.Spectra, Names, Mask]:
    """Pixels of a simulated run, dealt out on a grid of classes."""
    simulation = mg.simulate("small", random_state=seed)
    rng = np.random.default_rng(seed)
    code, thin = plan(name, rng)
    rows = np.empty(code.size, dtype=np.int64)
    for number, label in enumerate(simulation.classes):
        at = np.flatnonzero(code == number)
        known = (simulation.truth == label) & (simulation.spectra.peak_counts > 0)
        # Of as few runs as there are pixels in: runs differ.
        pool = np.flatnonzero(known)[: max(at.size, int(known.sum()) // 3)]
        rows[at] = rng.permutation(pool)[: at.size]
    y, x = np.divmod(np.arange(code.size), SIZE)
    places = {"coordinates": np.column_stack([x + 1.0, y + 1.0]), "run_codes": None}
    spectra = replace(simulation.spectra[rows], **places, run_names=("run1",))
    return spectra, np.array(simulation.classes, dtype=object)[code], thin


def plan(name: str, rng: np.random.Generator) -> tuple[NDArray[np.int64], Mask]:
    """Class of each pixel of a square, and which are thin: two halves, and what lies in them."""
    code = np.zeros((SIZE, SIZE), dtype=np.int64)
    code[:, SIZE // 2 :] = 1
    thin = np.zeros(code.shape, dtype=bool)
    if name == "cells":
        for corner in product(range(1, SIZE - 2, 4), repeat=2):
            thin[tuple(np.array(corner) + rng.integers(0, 2, 2))] = True
    else:
        down = np.arange(SIZE)
        for column in (4, 10, 19, 25):
            bend = 2.0 * np.sin(down / 3.0 + rng.uniform(0, 6)) if name == "curves" else 0.0
            thin[down, np.rint(np.full(SIZE, column) + bend).astype(int)] = True
    if name == "thin":
        code[: SIZE // 4] = 2
        thin[: SIZE // 4 + 1] = False
    code[thin] = 2
    return code.ravel(), thin.ravel()


# -------------------------------------------------------------------- labels


def random_share(share: float) -> Callable[..., Mask]:
    """A random share of the pixels of each class, four at least."""

    def choose(spectra: mg.Spectra, truth: Names, rng: np.random.Generator) -> Mask:
        chosen = np.zeros(len(truth), dtype=bool)
        for label in classes_of(truth):
            members = rng.permutation(np.flatnonzero(truth == label))
            chosen[members[: max(int(np.ceil(share * members.size)), 4)]] = True
        return chosen

    return choose


def blocks(spectra: mg.Spectra, truth: Names, rng: np.random.Generator) -> Mask:
    """Whole blocks, until enough pixels of each class are labelled."""
    places = np.asarray(spectra.coordinates)[:, :2]
    keys = np.column_stack([places // BLOCK, np.asarray(spectra.run_codes)])
    _, block = np.unique(keys, axis=0, return_inverse=True)
    block, chosen = block.reshape(-1), np.zeros(len(truth), dtype=bool)
    for number in rng.permutation(block.max() + 1):
        lacking = [
            label for label in classes_of(truth) if (chosen & (truth == label)).sum() < PER_CLASS
        ]
        here = (block == number) & (truth != OFF_TISSUE)
        if np.isin(truth[here], lacking).any():
            chosen |= here
    return chosen


def patches(spectra: mg.Spectra, truth: Names, rng: np.random.Generator) -> Mask:
    """Squares of 3 x 3 pixels within each region, as far from others as it allows."""
    beside = neighbours_around(spectra)
    foreign = ((truth[beside] != truth[:, None]) & (beside >= 0)).sum(axis=1)
    chosen = np.zeros(len(truth), dtype=bool)
    for label in classes_of(truth):
        members = np.flatnonzero(truth == label)
        inner = members[foreign[members] <= np.quantile(foreign[members], 0.2)]
        for centre in rng.permutation(inner)[:PATCHES]:
            square = np.append(beside[centre][beside[centre] >= 0], centre)
            chosen[square[truth[square] == label]] = True
    return chosen


LABELS: dict[str, Callable[..., Mask]] = {
    "random 5 %": random_share(0.05),
    "random 10 %": random_share(0.1),
    "blocks": blocks,
    "patches": patches,
}


def classes_of(truth: Names) -> list[str]:
    """The classes of tissue."""
    return sorted(set(truth.tolist()) - {OFF_TISSUE})


# -------------------------------------------------------------------- scores


def rows(
    name: str, labels: str, seed: int, branches: tuple[str, ...] | None
) -> Iterator[dict[str, object]]:
    """Scores with neighbours and without, of all peaks and of half of them."""
    spectra, truth, thin = image(name, seed)
    for kept in KEPT:
        rng = np.random.default_rng([seed, int(100 * kept)])
        fewer = mg.degrade.remove_peaks(spectra, kept, rng) if kept < 1 else spectra
        chosen = LABELS[labels](fewer, truth, rng) & (fewer.peak_counts > 0)
        given = np.where(chosen, truth, None)
        scored = ~chosen & (truth != OFF_TISSUE) & (fewer.peak_counts > 0)
        model = mg.RGCNClassifier(branches=branches, random_state=seed).fit(fewer, given).fitted_
        # The same fit without its field is what spatial=False gives, to the last bit (a test).
        for asked, field in (("without", None), ("with", model.field)):
            found = segment(replace(model, field=field), fewer, explain=False)
            right = np.asarray(found.label) == truth
            recalls = [right[scored & (truth == label)].mean() for label in classes_of(truth)]
            yield {
                "scenario": name,
                "kept": kept,
                "labels": labels,
                "seed": seed,
                "neighbours": asked,
                "strength": 0.0 if field is None else field.strength,
                "n_labelled": int(chosen.sum()),
                "balanced_accuracy": float(np.mean(recalls)),
                "lowest_recall": float(np.min(recalls)),
                "thin_recall": float(right[scored & thin].mean()) if thin.any() else np.nan,
            }


def table(scores: pd.DataFrame) -> str:
    """Without neighbours, with them, and the gain: mean and deviation over the seeds."""
    keys = ["scenario", "kept", "labels"]
    lines = []
    for score in ("balanced_accuracy", "thin_recall"):
        one = scores.dropna(subset=[score])
        pairs = one.pivot_table(
            index=[*keys, "seed"], columns="neighbours", values=score, sort=False
        )
        if pairs.empty:
            continue
        pairs["gain"] = pairs["with"] - pairs["without"]
        strength = one[one["neighbours"] == "with"].groupby(keys, sort=False)["strength"].mean()
        lines += [
            f"## {score}",
            "",
            "| image | peaks | labels | without | with | gain | strength |",
        ]
        lines += ["|---|---|---|---|---|---|---|"]
        for key, seeds in pairs.groupby(keys, sort=False):
            cells = [f"{seeds[name].mean():.3f}" for name in ("without", "with")]
            gain = f"{seeds['gain'].mean():+.3f} ± {seeds['gain'].std():.3f}"
            row = [key[0], f"{key[1]:.0%}", key[2], *cells, gain, f"{strength[key]:.2f}"]
            lines.append(f"| {' | '.join(row)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Run all scenarios and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    known = (*SIMULATED, *DRAWN)
    parser.add_argument("--scenarios", nargs="+", choices=known, default=known)
    parser.add_argument("--labels", nargs="+", choices=tuple(LABELS), default=tuple(LABELS))
    parser.add_argument("--seeds", type=int, default=5, help="how many (5)")
    parser.add_argument("--seed", type=int, default=100, help="the first (100)")
    parser.add_argument("--branches", nargs="+", help="of the classifier (all)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    jobs = list(product(seeds, arguments.scenarios, arguments.labels))
    branches = tuple(arguments.branches) if arguments.branches else None
    found: list[dict[str, object]] = []
    for seed, name, labels in progress(jobs, len(jobs), "images"):
        found += rows(name, labels, seed, branches)
        # Written as they come: a run of hours that is cut short leaves what it has.
        scores = pd.DataFrame(found)
        scores.to_csv(arguments.out / "scores.csv", index=False)
        (arguments.out / "table.md").write_text(table(scores), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
