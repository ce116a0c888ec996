"""Regions without labels of images that others simulated or measured, beside rivals.

    python benchmarks/regions_foreign.py cardinal --images FOLDER --out DIR [--reading design]
    python benchmarks/regions_foreign.py msinet|array|her2st --out DIR

The true number of regions is given. `cardinal`: presets 1 to 9 of Cardinal's simulateImage, as
benchmarks/cardinal_images.R writes them. The others lie beside the checkout (../shared/data):
MSInet's image, a tissue array in bins of 1 Da (k = 2, judged by balanced accuracy), and sections of
spatial transcriptomics with a pathologist's regions, whose genes get m/z that mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from region_images import Floats, Image, log_shares
from region_table import RIVALS, Row, Variants, rows, write

import massgraph as mg
from massgraph._util.progress import progress

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LEAST_OVERLAP = 0.02  # of the pixels: where shapes overlap in fewer, these are not scored
GENES = 2000
SECTIONS = ("A1", "B1", "C1")

VARIANTS: Variants = {
    "massgraph": {},
    "massgraph, ions": {"features": "ions"},
    "massgraph, ions, one covariance": {"features": "ions", "covariance": "shared"},
    "massgraph, ions, own covariances": {"features": "ions", "covariance": "own"},
}
OFFSETS: Variants = {
    f"{name}, offsets": {**options, "run_offsets": True} for name, options in VARIANTS.items()
}

Named = tuple[str, int, Image]


def cardinal(folder: Path, reading: str) -> Iterator[Named]:
    """What cardinal_images.R left in a folder, in one of its two readings of the spectra."""
    for one in sorted(folder.glob("*-*/pixels.csv")):
        preset, seed = one.parent.name.split("-")
        pixels = pd.read_csv(one)
        mz = pd.read_csv(one.with_name(f"{reading}_mz.csv"))["mz"].to_numpy()
        X = np.fromfile(one.with_name(f"{reading}.f64")).reshape(len(pixels), len(mz))
        order = np.argsort(mz)
        spectra = mg.Spectra.from_matrix(
            X[:, order],
            mz[order],
            coordinates=pixels[["x", "y"]].to_numpy(),
            run=pixels["run"].to_numpy(dtype=str),
        )
        truth = pixels["truth"].to_numpy(dtype=str)
        share = pixels["truth"].map(pixels["truth"].value_counts(normalize=True))
        truth = np.where(share >= LEAST_OVERLAP, truth, "")
        yield f"preset {preset}", int(seed), Image(spectra, truth, log_shares(X[:, order]))


def msinet() -> Iterator[Named]:
    """The image of 70 x 70 pixels that MSInet ships; its three channels are no ions."""
    table = np.load(DATA / "msinet_simulated" / "msinet.npz")
    rows, columns = table["shape"]
    place = np.stack(np.divmod(np.arange(rows * columns), columns)[::-1], axis=1)
    X = table["X"].astype(np.float64)
    spectra = mg.Spectra.from_matrix(X, made_up(X.shape[1]), coordinates=place)
    yield "msinet", 0, Image(spectra, table["truth"].astype(str), X)


def array() -> Iterator[Named]:
    """Cores of bladder cancer on one slide."""
    table = np.load(DATA / "bladder_tma_unitmass" / "tma1.npz")
    X = table["X"].astype(np.float64)
    place = np.stack([table["x"], table["y"]], axis=1)
    spectra = mg.Spectra.from_matrix(X, table["mz"], coordinates=place, polarity="positive")
    yield "array", 0, Image(spectra, table["truth"].astype(str), log_shares(X))


def her2st() -> Iterator[Named]:
    """Sections of breast cancer: counts of the genes that vary most beyond their counting noise."""
    for section in SECTIONS:
        table = np.load(DATA / "her2st_sections" / f"{section}.npz")
        counts = table["X"].astype(np.float64)
        counts = counts[:, (counts > 0).sum(axis=0) >= max(10, 0.03 * len(counts))]
        total = counts.sum(axis=1, keepdims=True)
        chosen = varying(counts)
        X = counts[:, chosen]
        truth = np.where(table["label"] == "undetermined", "", table["label"])
        spectra = mg.Spectra.from_matrix(X, made_up(X.shape[1]), coordinates=table["xy"])
        features = np.log1p(X / total * np.median(total))
        yield section, 0, Image(spectra, truth, features)


def varying(counts: Floats) -> NDArray[np.int64]:
    """Genes with the largest variance of Pearson residuals, as is usual."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    residual = (counts - expected) / np.sqrt(expected + expected**2 / 100)
    limit = np.sqrt(len(counts))
    variance = np.clip(residual, -limit, limit).var(axis=0)
    return np.sort(np.argsort(-variance)[:GENES])


def made_up(n: int) -> Floats:
    """m/z for what has none, too far apart to be taken for one ion."""
    return 200.0 + np.arange(n)


SETS: dict[str, Callable[[], Iterator[Named]]] = {
    "msinet": msinet,
    "array": array,
    "her2st": her2st,
}


def main() -> int:
    """Run one set of images and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=["cardinal", *SETS])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, help="written by cardinal_images.R")
    parser.add_argument("--reading", choices=["picked", "design"], default="picked")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=["python"])
    arguments = parser.parse_args()
    if arguments.data == "cardinal":
        if arguments.images is None:
            parser.error("say where the images are: --images FOLDER")
        images = list(cardinal(arguments.images, arguments.reading))
    else:
        images = list(SETS[arguments.data]())
    score = "balanced" if arguments.data == "array" else "ari"
    found: list[Row] = []
    for name, seed, image in progress(images, len(images), "finding regions"):
        variants = {**VARIANTS, **OFFSETS} if image.many_runs else VARIANTS
        scored = rows(image, variants, arguments.rivals)
        found += [{"scenario": name, "seed": seed, **row} for row in scored]
        write(found, arguments.out, score)
    return 0


if __name__ == "__main__":
    sys.exit(main())
