"""Evaluate the models on the real data sets beside the checkout (../shared/data).

    python benchmarks/real_data.py cells|tumour|tma --out DIR [--seeds N] [--held-out FOLDS]

Labels: cell type (cells, split by cell, which flatters every model), HER2 stain (tumour, folds of
spatial blocks) and histology (tma, folds of cores).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from massgraph.evaluate import FAULTS, evaluate, split_tasks
from massgraph.evaluation_report import summary_lines, write_evaluation
from massgraph.spectra import Spectra

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BLOCKS_ACROSS = 10
FAULT_NAMES = (
    "clean",
    "shift 50 mDa",
    "jitter 5 mDa",
    "keep 50 %",
    "keep 25 %",
    "top 25 %",
)


def cells() -> tuple[Spectra, Any, Any]:
    """Single cells of two types; every cell is a group of its own."""
    table = np.load(DATA / "spacem_cells_neg" / "spacem.npz", allow_pickle=True)
    order = np.argsort(table["mz_M_minus_H"], kind="stable")
    mz, first = np.unique(table["mz_M_minus_H"][order].astype(float), return_index=True)
    counts = np.expm1(table["X"])  # stored as log(1 + I)
    X = np.add.reduceat(counts[:, order], first, axis=1)  # isomers share an m/z
    spectra = Spectra.from_matrix(X, mz, polarity="negative")
    return spectra, table["label"].astype(str), np.arange(len(X))


def tumour(thin: int = 1) -> tuple[Spectra, Any, Any]:
    """Every `thin`-th pixel of a tumour section, HER2 positive or not, in square blocks."""
    table = np.load(DATA / "breast_tumour_pos" / "tumor2.npz")
    rows = np.arange(0, len(table["X"]), thin)
    place = np.stack([table["x"], table["y"]], axis=1)[rows]
    spectra = Spectra.from_matrix(
        table["X"][rows], table["mz"], coordinates=place, polarity="positive"
    )
    block = (place - place.min(axis=0)) * BLOCKS_ACROSS // (np.ptp(place, axis=0).max() + 1)
    labels = np.where(table["her2_pos"][rows] > 0, "positive", "negative")
    return spectra, labels, block[:, 0] * BLOCKS_ACROSS + block[:, 1]


def tma(thin: int = 2) -> tuple[Spectra, Any, Any]:
    """Bladder cores in bins of 1 Da, which have no mass defect; folds of whole cores."""
    table = np.load(DATA / "bladder_tma_unitmass" / "tma1.npz", allow_pickle=True)
    rows = np.arange(0, len(table["X"]), thin)
    spectra = Spectra.from_matrix(
        table["X"][rows], table["mz"], run=table["core"][rows].astype(str), polarity="positive"
    )
    return spectra, table["truth"][rows].astype(str), table["core"][rows]


SETS = {"cells": cells, "tumour": tumour, "tma": tma}
MODELS = ("massgraph", "shrinkage_lda", "logistic", "random_forest", "boosting", "published")


def main() -> int:
    """Run one data set and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--held-out", type=int, help="folds that are tested (all)")
    parser.add_argument("--thin", type=int, help="take every n-th pixel")
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    options = {} if arguments.thin is None else {"thin": arguments.thin}
    spectra, labels, groups = SETS[arguments.data](**options)
    tasks = split_tasks(
        spectra,
        labels,
        groups,
        folds=arguments.folds,
        seeds=range(arguments.seeds),
        held_out=arguments.held_out,
    )
    faults = [fault for fault in FAULTS if fault.name in FAULT_NAMES]
    evaluation = evaluate(list(tasks), arguments.models, faults=faults)
    command = "python benchmarks/real_data.py " + " ".join(sys.argv[1:])
    write_evaluation(
        evaluation, arguments.out, title=arguments.data, command=command, overwrite=True
    )
    sys.stdout.write("\n".join(summary_lines(evaluation)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
