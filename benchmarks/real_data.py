"""Evaluate the models on the real data sets beside the checkout (../shared/data).

    python benchmarks/real_data.py cells|tumour|bladder|kidney|tma --out DIR [--seeds N] ...

Labels: cell type (cells, split by cell, which flatters every model), HER2 stain (tumour), segments
of Cardinal (bladder; of the same spectra, so agreement and not truth), k-means on other ions of the
same pixels (kidney), all in folds of spatial blocks; histology (tma, folds of cores).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph import read_imzml
from massgraph.data.spectra import Spectra
from massgraph.evidence.evaluate import FAULTS, MODELS, evaluate, split_tasks
from massgraph.report.evaluation import summary_lines, write_evaluation

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEGMENTS = {2: "adventitia", 5: "muscle", 6: "urothelium"}
HALF_PPM = 15.0  # peaks within this of an ion of the half that is seen
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
    labels = np.where(table["her2_pos"][rows] > 0, "positive", "negative")
    return spectra, labels, blocks(place)


def bladder(thin: int = 20) -> tuple[Spectra, Any, Any]:
    """Every `thin`-th pixel of the tissue of a bladder, three segments, in square blocks."""
    table = np.load(DATA / "bladder_orbitrap_pos" / "bladder.npz")
    X = sp.csr_matrix((table["data"], table["indices"], table["indptr"]), shape=table["shape"])
    rows = np.flatnonzero(np.isin(table["ssc"], list(SEGMENTS)))[::thin]
    place = np.stack([table["x"], table["y"]], axis=1).astype(np.int64)[rows]
    order = np.argsort(table["mz"])
    spectra = Spectra.from_matrix(
        X[rows].toarray()[:, order],
        table["mz"][order].astype(float),
        coordinates=place,
        polarity="positive",
    )
    return spectra, np.array([SEGMENTS[code] for code in table["ssc"][rows]]), blocks(place)


def kidney() -> tuple[Spectra, Any, Any]:
    """A kidney with labels from half of its ions, seen through the other half, in square blocks."""
    folder = DATA / "kidney_timstof_neg"
    whole = read_imzml(folder / "VAN0025_LK_neg_top600.imzML")
    table = np.load(folder / "weak_labels_kmeans3.npz")
    seen = np.sort(table["mz_halfB"])
    right = np.searchsorted(seen, whole.mz).clip(1, len(seen) - 1)
    distance = np.minimum(np.abs(whole.mz - seen[right - 1]), np.abs(whole.mz - seen[right]))
    pixel = whole.pixel_of_peak
    near = distance <= 1e-6 * HALF_PPM * whole.mz
    peaks = [
        (whole.mz[near & (pixel == i)], whole.intensity[near & (pixel == i)])
        for i in range(whole.n_pixels)
    ]
    place = np.asarray(whole.coordinates)[:, :2].astype(np.int64)
    spectra = Spectra.from_peaks(peaks, coordinates=place, polarity="negative")
    label = {
        tuple(xy): str(code) for xy, code in zip(table["xy"], table["labels_halfA"], strict=True)
    }
    return spectra, np.array([label[tuple(xy)] for xy in place]), blocks(place, across=6)


def blocks(place: NDArray[np.int64], across: int = 10) -> NDArray[np.int64]:
    """Which of `across` by `across` squares each pixel lies in."""
    code = (place - place.min(axis=0)) * across // (np.ptp(place, axis=0).max() + 1)
    return np.asarray(code[:, 0] * across + code[:, 1])


def tma(thin: int = 2) -> tuple[Spectra, Any, Any]:
    """Bladder cores in bins of 1 Da, which have no mass defect; folds of whole cores."""
    table = np.load(DATA / "bladder_tma_unitmass" / "tma1.npz", allow_pickle=True)
    rows = np.arange(0, len(table["X"]), thin)
    spectra = Spectra.from_matrix(
        table["X"][rows], table["mz"], run=table["core"][rows].astype(str), polarity="positive"
    )
    return spectra, table["truth"][rows].astype(str), table["core"][rows]


SETS = {"cells": cells, "tumour": tumour, "bladder": bladder, "kidney": kidney, "tma": tma}


def main() -> int:
    """Run one data set and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--held-out", type=int, help="folds that are tested (all)")
    parser.add_argument("--thin", type=int, help="take every n-th pixel")
    parser.add_argument("--models", nargs="+", default=(*MODELS, "xgboost"))
    arguments = parser.parse_args()
    options = {} if arguments.thin is None else {"thin": arguments.thin}
    spectra, labels, groups = SETS[arguments.data](**options)
    tasks = split_tasks(
        spectra,
        labels,
        groups,
        folds=arguments.folds,
        seeds=range(arguments.seed, arguments.seed + arguments.seeds),
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
