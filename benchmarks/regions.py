"""Regions without labels on the simulated scenarios, beside rivals at their best settings.

    python benchmarks/regions.py --out DIR [--scenarios NAME ...] [--seeds N] [--seed FIRST]

Adjusted Rand index of tissue pixels with the true number of regions given, and the number that is
found without it. Rivals get the settings that are best for the very image, which nobody can know:
what is listed is the most they can reach. Writes scores.csv and table.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import massgraph as mg
from massgraph._util.progress import progress
from massgraph.data.neighbours import neighbour_pairs, neighbour_shares
from massgraph.report.evaluation import markdown_table
from massgraph.simulation.simulate import OFF_TISSUE, PRESETS

SCENARIOS = tuple(name for name in PRESETS if name.startswith("regions"))
DIMENSIONS = (5, 10, 15, 30)
RADII = (1, 2)
BANKSY_WEIGHTS = (0.2, 0.8)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def scenario(name: str, seed: int) -> tuple[mg.Spectra, NDArray[np.object_]]:
    """Tissue pixels of a scenario, and their regions."""
    simulation = mg.simulate(name, random_state=seed)
    tissue = (simulation.truth != OFF_TISSUE) & (simulation.spectra.peak_counts > 0)
    return simulation.spectra[np.flatnonzero(tissue)], simulation.truth[tissue]


# -------------------------------------------------------------------- rivals


def log_tic(spectra: mg.Spectra) -> Floats:
    """Bins of 10 ppm over the sum of the pixel, as is usual; ions in 1 % of the pixels at least."""
    mz, column = spectra.align(10, "ppm")
    found = column >= 0
    X = np.zeros((spectra.n_pixels, len(mz)))
    np.add.at(X, (spectra.pixel_of_peak[found], column[found]), spectra.intensity[found])
    X = X[:, (X > 0).mean(axis=0) >= 0.01]
    return np.log1p(X / X.sum(axis=1, keepdims=True) * X.shape[1])


def centred(X: Floats, spectra: mg.Spectra) -> Floats:
    """Less the mean of each run: rivals get what ours gets."""
    run = np.asarray(spectra.run_codes)
    means = np.stack([X[run == code].mean(axis=0) for code in np.unique(run)])
    return X - means[np.unique(run, return_inverse=True)[1]]


def reduced(X: Floats) -> Iterator[Floats]:
    """Principal components, some numbers of them, as they are and whitened."""
    for count in DIMENSIONS:
        for whiten in (False, True):
            yield PCA(count, whiten=whiten, random_state=0).fit_transform(X)


def k_means(Z: Floats, k: int) -> Labels:
    """Ten starts of k-means."""
    return KMeans(k, n_init=10, random_state=0).fit_predict(Z)


def gaussians(Z: Floats, k: int) -> Labels:
    """Three starts of a mixture with a covariance for each region."""
    mixture = GaussianMixture(k, n_init=3, reg_covar=1e-4 * Z.var(), random_state=0)
    return mixture.fit_predict(Z)


def smooth(X: Floats, spectra: mg.Spectra, radius: int) -> Floats:
    """Mean over a pixel and its neighbours, the step of NichePCA."""
    pairs = neighbour_pairs(spectra, radius)
    counts = np.bincount(pairs.ravel(), minlength=len(X))[:, None]
    return (X + counts * (neighbour_shares(pairs, len(X)) @ X)) / (1 + counts)


def beside(X: Floats, spectra: mg.Spectra, weight: float) -> Floats:
    """Scaled features and those of the neighbourhood, weighted as BANKSY does."""
    around = neighbour_shares(neighbour_pairs(spectra, 2), len(X)) @ X
    scaled = [Y / np.maximum(Y.std(axis=0), 1e-9) for Y in (X, around)]
    return np.hstack([np.sqrt(1 - weight) * scaled[0], np.sqrt(weight) * scaled[1]])


def rivals(spectra: mg.Spectra, k: int) -> Iterator[tuple[str, Callable[[], Iterator[Labels]]]]:
    """Name of each rival, and its labellings with all its settings."""
    X = centred(log_tic(spectra), spectra)
    niche = [smooth(X, spectra, radius) for radius in RADII]
    banksy = [beside(X, spectra, weight) for weight in BANKSY_WEIGHTS]
    yield "TIC + k-means", lambda: (k_means(Z, k) for Z in reduced(X))
    yield "TIC + mixture, full", lambda: (gaussians(Z, k) for Z in reduced(X))
    yield "NichePCA + k-means", lambda: (k_means(Z, k) for Y in niche for Z in reduced(Y))
    yield "BANKSY-like + k-means", lambda: (k_means(Z, k) for Y in banksy for Z in reduced(Y))


# -------------------------------------------------------------------- ours


def rows(name: str, seed: int) -> Iterator[dict[str, object]]:
    """Scores of all methods on one image."""
    spectra, truth = scenario(name, seed)
    truth = truth.astype(str)
    k, many = len(set(truth)), len(spectra.run_names) > 1
    for features in ("molecules", "ions"):
        start = time.process_time()
        found = mg.SpatialRegions(k, features=features, run_offsets=many).fit(spectra)
        seconds = time.process_time() - start
        score = adjusted_rand_score(truth, found.labels_)
        yield {"method": f"massgraph, {features}", "score": score, "seconds": seconds}
    start = time.process_time()
    found = mg.SpatialRegions(run_offsets=many).fit(spectra)
    yield {
        "method": "massgraph, number found",
        "score": adjusted_rand_score(truth, found.labels_),
        "seconds": time.process_time() - start,
        "n_found": found.n_regions_,
        "n_true": k,
    }
    for method, labellings in rivals(spectra, k):
        start = time.process_time()
        scores = [adjusted_rand_score(truth, label) for label in labellings()]
        seconds = (time.process_time() - start) / len(scores)
        yield {"method": method, "score": max(scores), "seconds": seconds}


def table(scores: pd.DataFrame) -> str:
    """Mean and deviation over the seeds, a row per method and a column per scenario."""
    cells = scores.groupby(["method", "scenario"], sort=False)["score"]
    return markdown_table(cells.mean().unstack(sort=False), cells.std().unstack(sort=False))


def main() -> int:
    """Run all scenarios and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=10, help="the first")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = []
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    images = list(product(arguments.scenarios, seeds))
    for name, seed in progress(images, len(images), "finding regions"):
        found += [{"scenario": name, "seed": seed, **row} for row in rows(name, seed)]
        scores = pd.DataFrame(found)
        # After each image: a run of hours that is stopped has its scores.
        scores.to_csv(arguments.out / "scores.csv", index=False)
        (arguments.out / "table.md").write_text(table(scores), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
