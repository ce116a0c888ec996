"""What models know of their own, of degraded and of foreign runs, and what they say of them.

    python benchmarks/coverage.py --out DIR [--seeds N] [--seed FIRST]

Models are fitted to a part of each set: to blocks of a section or half of the samples where there
is one run, else to whole runs. Own runs are the rest, as they are and degraded: each is told as an
answer without a word, a warning, or a refusal. Foreign runs are all that has other ions. Sets are
simulated ones of several seeds and the real ones beside the checkout (../shared/data), where these
are there. Writes runs.csv, table.md and coverage.png.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from real_data import DATA, bladder, cells, kidney, tma, tumour

import massgraph as mg
from massgraph import InputError, Spectra, degrade
from massgraph._util.progress import progress
from massgraph.encode.coverage import best_covered
from massgraph.pl._style import FAINT, INK, OKABE_ITO, Picture, styled
from massgraph.store.card import as_table

MOST_LEARNT, MOST_JUDGED, IMAGE = 300, 200, 100  # pixels
BLOCKS = 6  # in a row of a section
ROW, WIDTH = 0.22, 7.2  # inches
Runs = list[Spectra]
Real = dict[str, tuple[Spectra, np.ndarray]]
Split = tuple[Spectra, np.ndarray, Runs]  # to learn from, with labels, and to judge


class Made(NamedTuple):
    """A model, what it was fitted to, and runs of the same kind."""

    name: str
    model: mg.RGCNClassifier
    own: Runs


# -------------------------------------------------------------------- sets


def simulated(preset: str, seed: int, polarity: str) -> Split:
    """Two runs to learn from and two others."""
    made = mg.simulate(preset, n_runs=4, random_state=seed, polarity=polarity)
    spectra, names = made.spectra, made.spectra.run_names
    learnt = np.isin(spectra.run, names[:2])
    own = [spectra[spectra.run == name] for name in names[2:]]
    return spectra[learnt], np.asarray(made.truth)[learnt], own


def blocks(spectra: Spectra, labels: np.ndarray, seed: int) -> Split:
    """Half of the blocks of a section, or of pixels without places, and the rest."""
    rng, n = np.random.default_rng(seed), spectra.n_pixels
    block = np.arange(n)
    if spectra.coordinates is not None:
        place = spectra.coordinates[:, :2] - spectra.coordinates[:, :2].min(axis=0)
        row, column = (place * BLOCKS // (place.max() + 1)).astype(np.int64).T
        block = row * BLOCKS + column
    names = rng.permutation(np.unique(block))
    learnt = np.isin(block, names[: len(names) // 2])
    return spectra[learnt], labels[learnt], [spectra[~learnt]]


def cores(spectra: Spectra, labels: np.ndarray, seed: int) -> Split:
    """Half of the cores of an array, and the others, each a run."""
    names = np.random.default_rng(seed).permutation(spectra.run_names)
    half = len(names) // 2
    learnt = np.isin(spectra.run, names[:half])
    own = [spectra[spectra.run == name] for name in names[half:]]
    return spectra[learnt], labels[learnt], own


def samples(name: str) -> tuple[Spectra, np.ndarray]:
    """Spectra of FT-ICR samples, which are no image."""
    table = np.load(DATA / "fticr_samples" / f"{name}.npz", allow_pickle=True)
    order = np.argsort(table["mz"], kind="stable")
    mz, first = np.unique(table["mz"][order].astype(float), return_index=True)
    X = np.add.reduceat(np.nan_to_num(table["X"][:, order]).clip(0), first, axis=1)
    return Spectra.from_matrix(X, mz), table["label"].astype(str)


def real_sets() -> Real:
    """The real sets that are there."""
    made: dict[str, Callable[[], tuple[Spectra, np.ndarray]]] = {
        "tumour": lambda: tumour(3)[:2],
        "bladder": lambda: bladder(20)[:2],
        "kidney, half of its ions": lambda: kidney()[:2],
        "tissue array, unit mass": lambda: tma(1)[:2],
        "cells": lambda: cells()[:2],
        "vine": lambda: samples("vine"),
        "yeast": lambda: samples("yeast"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: make() for name, make in made.items()} if DATA.exists() else {}


PRESETS = (
    ("tissue", "small", "positive"),
    ("tissue, negative", "small", "negative"),
    ("adducts vary", "adducts", "positive"),
    ("runs of strong batch effects", "regions-runs", "positive"),
)


def models(seeds: range, real: Real) -> Iterator[Made]:
    """A model of each set and seed."""
    for seed in seeds:
        for name, preset, polarity in PRESETS:
            yield fitted(name, *simulated(preset, seed, polarity), seed)
        for name, (spectra, labels) in real.items():
            cut = cores if len(spectra.run_names) > 1 else blocks
            yield fitted(name, *cut(spectra, labels, seed), seed)


def fitted(name: str, learnt: Spectra, labels: np.ndarray, own: Runs, seed: int) -> Made:
    """Fit to at most 300 pixels."""
    rng = np.random.default_rng(seed)
    rows = some(learnt.n_pixels, MOST_LEARNT, rng)
    kinds, counts = np.unique(labels[rows], return_counts=True)
    rows = rows[np.isin(labels[rows], kinds[counts > 1])]
    model = mg.RGCNClassifier(effort="fast", spatial=False, random_state=seed)
    model.fit(learnt[rows], labels[rows])
    return Made(name, model, [run[some(run.n_pixels, MOST_JUDGED, rng)] for run in own])


def some(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Random pixels of so many, all where there are few."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


# -------------------------------------------------------------------- what they are given


def degraded(run: Spectra, rng: np.random.Generator) -> dict[str, Spectra]:
    """An own run, as it is and as it may come."""
    found = {
        "own": run,
        "200 ppm": degrade.shift_mz(run, 200.0, "ppm"),
        "50 ppm": degrade.shift_mz(run, 50.0, "ppm"),
        "keep 25 %": degrade.remove_peaks(run, 0.25, rng),
        "top 25 %": degrade.keep_most_intense(run, 0.25),
        "jitter 5 mDa": degrade.jitter_mz(run, 5e-3, "Da", rng),
        "gains of ions": degrade.batch_effect(run, 0.5, rng),
    }
    if run.n_pixels >= IMAGE:  # fewer pixels are all asked: samples have no rim
        found["two thirds off the tissue"] = mostly_matrix(run, rng)
    return found


def mostly_matrix(run: Spectra, rng: np.random.Generator) -> Spectra:
    """The run, in which two of three pixels have ions of a matrix alone."""
    drawn = np.sort(rng.uniform(run.mz.min(), run.mz.max(), run.n_peaks))
    other = moved(run, drawn[rng.permutation(run.n_peaks)])
    third = rng.permutation(run.n_pixels) % 3 == 0
    return Spectra.concatenate([run[third], other[~third]])


def other_ions(run: Spectra, rng: np.random.Generator) -> dict[str, Spectra]:
    """An own run whose ions were made others."""
    quiet = replace(run, polarity=None)  # as files that do not say
    drawn = np.sort(rng.uniform(run.mz.min(), run.mz.max(), run.n_peaks))
    drawn = drawn[rng.permutation(run.n_peaks)]
    return {
        "other polarity, undeclared": degrade.shift_mz(quiet, -2 * 1.007276, "Da"),
        "neutral masses": degrade.shift_mz(run, -1.007276, "Da"),
        "+1.37 Da": degrade.shift_mz(run, 1.37, "Da"),
        "m/z 900 higher": degrade.shift_mz(run, 900.0, "Da"),
        "unit mass": rounded(run, 1.0),
        "rounded to 0.1 Da": rounded(run, 0.1),
        "random m/z": moved(run, drawn),
        "peptides": moved(run, peptides(run.mz)),
    }


def rounded(run: Spectra, step: float) -> Spectra:
    """Peaks at multiples of a step."""
    return moved(run, np.maximum(np.round(run.mz / step), 1) * step)


def peptides(mz: np.ndarray) -> np.ndarray:
    """The same nominal masses with mass defects as peptides have them, 0.495 Da at 1000."""
    nominal = np.floor(mz)
    return nominal + (nominal * 4.95e-4 + 0.15 * (mz % 1.0 - 0.5)) % 1.0


def moved(run: Spectra, mz: np.ndarray) -> Spectra:
    """The same peaks at other m/z."""
    order = np.lexsort((mz, run.pixel_of_peak))
    return replace(run, mz=mz[order], intensity=run.intensity[order], axis=None)


# Sets of one polarity whose ions are lipids of the same kinds know each other in part.
LIPIDS = {"tumour", "bladder", "tissue", "adducts vary", "runs of strong batch effects"}
NEGATIVE = {"tissue, negative", "kidney, half of its ions", "cells"}


def foreign_sets(name: str, real: Real, rng: np.random.Generator) -> Iterator[tuple[str, Spectra]]:
    """Other sets, as files that declare no polarity."""
    for other, (spectra, _) in real.items():
        alike = {name, other} <= LIPIDS or {name, other} <= NEGATIVE
        if other != name and not alike:
            run = spectra[some(spectra.n_pixels, MOST_JUDGED, rng)]
            yield other, replace(run, polarity=None, run_codes=None, run_names=("run0",))


# -------------------------------------------------------------------- what they say


def told(made: Made, kind: str, given: str, run: Spectra) -> dict[str, object]:
    """Coverage, uncertainty and verdict of a run."""
    model = made.model
    said, verdict = "", "answered"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.predict(run)
        except InputError as error:
            verdict, said = "refused", str(error)
    if caught and not said:
        verdict, said = "warned", str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coverage, uncertainty = model.coverage(run), model.uncertainty(run)
    levels = model.summary()
    best = best_covered(coverage, run.run)  # each is one run
    return {
        "model": made.name,
        "kind": kind,
        "given": given,
        "pixels": run.n_pixels,
        "coverage": float(np.nanmean(coverage)),
        "best": next(iter(best.values()))[0],
        "uncertainty": float(uncertainty.mean()),
        "verdict": verdict,
        **{name: levels[f"coverage_{name}"] for name in ("by_chance", "refused_below")},
        "warned_below": levels["coverage_warned_below"],
        "said": said,
    }


def rows(made: Made, real: Real, rng: np.random.Generator) -> Iterator[dict]:
    """All runs that a model is given."""
    for run in made.own:
        for given, one in degraded(run, rng).items():
            yield told(made, "own", given, one)
    for given, one in other_ions(made.own[0], rng).items():
        # Rounding changes nothing of what is rounded already.
        if not (made.name == "tissue array, unit mass" and "rounded" in given):
            yield told(made, "foreign", given, one)
    for given, one in foreign_sets(made.name, real, rng):
        yield told(made, "foreign", given, one)


# -------------------------------------------------------------------- tables and picture


def table(found: pd.DataFrame) -> str:
    """What was said, counted, and by model and input."""
    counts = found.groupby(["kind", "verdict"]).size().unstack(fill_value=0)
    text = [markdown(counts.reset_index())]
    for kind in ("own", "foreign"):
        part = found[found["kind"] == kind]
        groups = part.groupby("given", sort=False)
        summary = pd.DataFrame(
            {
                "runs": groups.size(),
                "coverage": groups["coverage"].mean().round(3),
                "best quarter": groups["best"].mean().round(3),
                "least": groups["best"].min().round(3),
                "most": groups["best"].max().round(3),
                "uncertainty": groups["uncertainty"].mean().round(2),
                **{
                    verdict: groups["verdict"].agg(lambda one, v=verdict: int((one == v).sum()))
                    for verdict in ("answered", "warned", "refused")
                },
            }
        )
        text.append(markdown(summary.reset_index()))
    return "\n".join(text)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    return as_table(tuple(map(str, table.columns)), table.itertuples(index=False))


STYLES = {  # kind and whether degraded: colour and words
    "own": (OKABE_ITO[0], "own runs"),
    "degraded": (OKABE_ITO[4], "own runs, degraded or shifted"),
    "foreign": (OKABE_ITO[1], "foreign runs"),
}


def picture(found: pd.DataFrame) -> Picture:
    """Coverage of all runs by model, with the levels of the models."""
    names = list(dict.fromkeys(found["model"]))
    height = ROW * len(names)
    drawn = Picture(WIDTH, height + 0.68)
    shown = np.where(found["given"] == "own", "own", "degraded")
    shown = np.where(found["kind"] == "foreign", "foreign", shown)
    with styled():
        axes = drawn.axes_at(1.75, 0.4, WIDTH - 2.0, height)
        for row, name in enumerate(names):
            part = found["model"] == name
            for step, (kind, (colour, _)) in enumerate(STYLES.items()):
                values = found.loc[part & (shown == kind), "best"]
                y = np.full(len(values), row + 0.22 * (step - 1))
                axes.scatter(values, y, s=7, color=colour, linewidth=0, alpha=0.8)
            refused, warned = found.loc[part, ["refused_below", "warned_below"]].mean()
            axes.plot([refused] * 2, [row - 0.42, row + 0.42], color=INK, linewidth=1.1)
            axes.plot([warned] * 2, [row - 0.42, row + 0.42], color=INK, linewidth=0.7, ls=":")
            axes.axhline(row + 0.5, color=FAINT, linewidth=0.3)
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=(-0.02, 1.02))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(
            "share of the ion current at known ions, in the best covered quarter of a run"
        )
        handles = [
            axes.scatter([], [], s=9, color=colour, label=words)
            for colour, words in STYLES.values()
        ]
        handles += axes.plot([], [], color=INK, linewidth=1.1, label="refused below")
        handles += axes.plot([], [], color=INK, linewidth=0.7, ls=":", label="warned of below")
        drawn.legend(handles=handles, loc="upper center", ncols=5, frameon=False)
    return drawn


def main() -> int:
    """Run all and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=8010, help="the first")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    real = real_sets()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    number = len(seeds) * (len(PRESETS) + len(real))
    every: list[dict] = []
    for count, made in enumerate(progress(models(seeds, real), number, "fitting")):
        every += rows(made, real, np.random.default_rng([arguments.seed, count]))
        found = pd.DataFrame(every)
        found.to_csv(arguments.out / "runs.csv", index=False)
    text = table(found)
    (arguments.out / "table.md").write_text(text, encoding="utf-8")
    picture(found).savefig(arguments.out / "coverage.png", dpi=200)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
