"""Other ways to regions, each with a grid of settings, for the benchmarks of regions.

Those of Cardinal are run by R (`cardinal_regions.R`), Leiden by python-igraph; where either is not
installed, a line on standard error says so.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from region_images import Floats, Image, Labels
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_selection import f_classif
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import kneighbors_graph

import massgraph as mg
from massgraph.data.neighbours import Neighbours

DIMENSIONS = (5, 10, 15, 30)
RADII = (1, 2)
BANKSY_WEIGHTS = (0.2, 0.8)
GRAPH_NEIGHBOURS = (10, 30)
BISECTIONS = 14
CARDINAL_SCRIPT = Path(__file__).with_name("cardinal_regions.R")
IMAGES_OF_IONS = 10  # that spatialDGMM segments, those that tell the true regions apart best


class Attempt(NamedTuple):
    """One labelling: by which method, with which settings, in how much processor time."""

    method: str
    setting: str
    labels: Labels
    seconds: float


Named = Iterator[tuple[str, Floats]]


# -------------------------------------------------------------------- features


def centred(X: Floats, spectra: mg.Spectra) -> Floats:
    """Less the mean of each run."""
    run = np.unique(np.asarray(spectra.run_codes), return_inverse=True)[1]
    means = np.stack([X[run == code].mean(axis=0) for code in range(run.max() + 1)])
    return np.asarray(X - means[run])


def smooth(X: Floats, spectra: mg.Spectra, radius: int) -> Floats:
    """Mean over a pixel and its neighbours, the step of NichePCA."""
    beside = Neighbours.within(spectra, radius)
    counts = np.bincount(beside.pairs.ravel(), minlength=len(X))[:, None]
    return np.asarray((X + counts * (beside.shares() @ X)) / (1 + counts))


def beside(X: Floats, spectra: mg.Spectra, weight: float) -> Floats:
    """Scaled features and those of the neighbourhood, weighted as BANKSY does."""
    around = Neighbours.within(spectra, 2).shares() @ X
    scaled = [Y / np.maximum(Y.std(axis=0), 1e-9) for Y in (X, around)]
    return np.hstack([np.sqrt(1 - weight) * scaled[0], np.sqrt(weight) * scaled[1]])


def reduced(named: Named) -> Named:
    """Principal components, some numbers of them, as they are and whitened."""
    for name, X in named:
        most = min(X.shape) - 1
        for count in sorted({min(count, most) for count in DIMENSIONS}):
            yield f"{name}pc={count}", PCA(count, random_state=0).fit_transform(X)
            yield (
                f"{name}pc={count} whitened",
                PCA(count, whiten=True, random_state=0).fit_transform(X),
            )


# -------------------------------------------------------------------- methods


def k_means(Z: Floats, k: int) -> Labels:
    """Ten starts of k-means."""
    return np.asarray(KMeans(k, n_init=10, random_state=0).fit_predict(Z))


def gaussians(Z: Floats, k: int) -> Labels:
    """Three starts of a mixture with a covariance for each region."""
    mixture = GaussianMixture(k, n_init=3, reg_covar=1e-4 * Z.var(), random_state=0)
    return np.asarray(mixture.fit_predict(Z))


def leiden(neighbours: int) -> Callable[[Floats, int], Labels]:
    """Leiden on a graph of nearest neighbours, at the resolution that gives k regions."""

    def labelled(Z: Floats, k: int) -> Labels:
        import igraph

        igraph.set_random_number_generator(random.Random(0))  # noqa: S311
        links = kneighbors_graph(Z, min(neighbours, len(Z) - 1))
        links = links.maximum(links.T).tocoo()
        once = links.row < links.col
        edges = np.column_stack([links.row[once], links.col[once]])
        graph = igraph.Graph(n=len(Z), edges=edges.tolist())
        low, high, best = 0.01, 5.0, np.zeros(len(Z), dtype=np.int64)
        for _ in range(BISECTIONS):
            middle = np.sqrt(low * high)
            found = graph.community_leiden("modularity", resolution=middle, n_iterations=3)
            labels = np.asarray(found.membership)
            if abs(labels.max() + 1 - k) < abs(best.max() + 1 - k):
                best = labels
            if labels.max() + 1 == k:
                break
            low, high = (middle, high) if labels.max() + 1 < k else (low, middle)
        return best

    return labelled


def attempts(image: Image) -> Iterator[Attempt]:
    """All rivals with all their settings on an image."""
    k, spectra = image.k, image.spectra
    bases = {"": image.features}
    if image.many_runs:
        bases["offsets "] = centred(image.features, spectra)

    def plain() -> Named:
        return reduced(iter(bases.items()))

    def niche() -> Named:
        named = product(bases.items(), RADII)
        return reduced((f"{name}r={r} ", smooth(X, spectra, r)) for (name, X), r in named)

    def banksy() -> Named:
        named = product(bases.items(), BANKSY_WEIGHTS)
        return reduced((f"{name}lambda={w} ", beside(X, spectra, w)) for (name, X), w in named)

    yield from _tried("TIC + k-means", plain(), k_means, k)
    yield from _tried("TIC + mixture, full", plain(), gaussians, k)
    yield from _tried("NichePCA + k-means", niche(), k_means, k)
    yield from _tried("BANKSY-like + k-means", banksy(), k_means, k)
    if importlib.util.find_spec("igraph") is None:
        sys.stderr.write("Leiden is left out: python-igraph is not installed\n")
        return
    for count in GRAPH_NEIGHBOURS:
        yield from _tried("PCA + Leiden", plain(), leiden(count), k, f" nn={count}")
        yield from _tried("NichePCA + Leiden", niche(), leiden(count), k, f" nn={count}")


def _tried(
    method: str, named: Named, labelled: Callable[[Floats, int], Labels], k: int, more: str = ""
) -> Iterator[Attempt]:
    for setting, Z in named:
        start = time.process_time()
        labels = labelled(Z, k)
        yield Attempt(method, setting + more, labels, time.process_time() - start)


# -------------------------------------------------------------------- Cardinal


def cardinal_attempts(image: Image) -> Iterator[Attempt]:
    """spatialShrunkenCentroids, spatialKMeans and spatialDGMM, with the settings in the R script.

    They see shares and their logarithms. spatialDGMM segments the images of single ions; those
    that it is given are chosen by the truth, in favour of it.
    """
    if not has_cardinal():
        sys.stderr.write("Cardinal is left out: Rscript, or Cardinal in it, is not installed\n")
        return
    for name, X in (("shares ", np.expm1(image.features)), ("log ", image.features)):
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), X, image)
            subprocess.run(["Rscript", CARDINAL_SCRIPT, folder], check=True)  # noqa: S603, S607
            found = pd.read_csv(Path(folder) / "labels.csv")
            about = pd.read_csv(Path(folder) / "attempts.csv")
        for row, (_, labels) in zip(about.itertuples(), found.items(), strict=True):
            yield Attempt(str(row.method), name + str(row.setting), _codes(labels), row.seconds)


def has_cardinal() -> bool:
    """Whether R and Cardinal can be used."""
    command = ["Rscript", "-e", 'quit(status = !requireNamespace("Cardinal", quietly = TRUE))']
    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _codes(labels: Any) -> Labels:
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def _write(folder: Path, X: Floats, image: Image) -> None:
    """What the R script reads."""
    np.ascontiguousarray(X).tofile(folder / "features.f64")
    place = np.asarray(image.spectra.coordinates)
    pixels = pd.DataFrame({"x": place[:, 0], "y": place[:, 1], "run": image.spectra.run})
    pixels.to_csv(folder / "pixels.csv", index=False)
    known = image.truth != ""
    with np.errstate(divide="ignore", invalid="ignore"):
        telling = np.nan_to_num(f_classif(X[known], image.truth[known])[0])
    chosen = np.argsort(-telling)[:IMAGES_OF_IONS] + 1
    pd.DataFrame({"k": image.k, "ion": chosen}).to_csv(folder / "task.csv", index=False)
