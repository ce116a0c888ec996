"""Do two halves of the ions of a real image give the same regions? Ours beside rivals.

    python benchmarks/regions_halves.py kidney|bladder|breast --regions K [K ...] --out DIR

Adjusted Rand index between the maps of two random halves of the nominal masses. What disturbs
both halves alike, such as salt or the edge of the section, agrees as well: no measure of truth.
Rivals get the setting with the best agreement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from region_images import Image, binned, log_shares
from region_rivals import attempts
from region_table import Row, write
from sklearn.metrics import adjusted_rand_score

import massgraph as mg
from massgraph._util.progress import progress

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MASS_PER_NUCLEON = 1.0005  # of lipids
VARIANTS = {"massgraph": {}, "massgraph, ions": {"features": "ions"}}


def kidney() -> mg.Spectra:
    """342 pixels of a human kidney, negative."""
    return mg.read_imzml(DATA / "kidney_timstof_neg" / "VAN0025_LK_neg_top600.imzML")


def bladder() -> mg.Spectra:
    """34,840 pixels of a mouse bladder, 79 ions."""
    table = np.load(DATA / "bladder_orbitrap_pos" / "bladder.npz")
    X = sp.csr_matrix((table["data"], table["indices"], table["indptr"]), shape=table["shape"])
    return _matrix(X.toarray(), table)


def breast() -> mg.Spectra:
    """9,999 pixels of a mouse breast tumour, 99 ions."""
    table = np.load(DATA / "breast_tumour_pos" / "tumor2.npz")
    return _matrix(table["X"], table)


def _matrix(X: np.ndarray, table: np.lib.npyio.NpzFile) -> mg.Spectra:
    order = np.argsort(table["mz"])
    place = np.stack([table["x"], table["y"]], axis=1)
    mz = table["mz"][order].astype(np.float64)
    return mg.Spectra.from_matrix(X[:, order], mz, coordinates=place, polarity="positive")


SETS = {"kidney": kidney, "bladder": bladder, "breast": breast}


def halves(spectra: mg.Spectra, seed: int) -> list[mg.Spectra]:
    """Two spectra for one, each with half of the nominal masses; pixels with peaks in both."""
    mass = np.floor(spectra.mz / MASS_PER_NUCLEON).astype(np.int64)
    known, code = np.unique(mass, return_inverse=True)
    side = np.random.default_rng(seed).permutation(len(known)) % 2
    parts = [spectra.keep_peaks(side[code] == one) for one in (0, 1)]
    both = np.flatnonzero(np.logical_and(*(part.peak_counts > 0 for part in parts)))
    return [part[both] for part in parts]


def agreement(parts: list[mg.Spectra], k: int) -> Iterator[Row]:
    """Rows for all methods and settings."""
    for method, options in VARIANTS.items():
        maps = [mg.SpatialRegions(k, **options).fit(part).labels_ for part in parts]
        yield {"method": method, "setting": "", "ari": adjusted_rand_score(*maps)}
    images = [_image(part, k) for part in parts]
    for one, other in zip(*map(attempts, images), strict=True):
        score = adjusted_rand_score(one.labels, other.labels)
        yield {"method": one.method, "setting": one.setting, "ari": score}


def _image(spectra: mg.Spectra, k: int) -> Image:
    # Rivals ask an image for the number of its regions, and for nothing else about the truth.
    truth = np.arange(spectra.n_pixels) % k
    return Image(spectra, truth.astype(str), log_shares(binned(spectra)))


def main() -> int:
    """Run one image and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--regions", type=int, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    spectra = SETS[arguments.data]()
    found: list[Row] = []
    cases = list(product(range(arguments.seeds), arguments.regions))
    for seed, k in progress(cases, len(cases), "finding regions"):
        name = f"{arguments.data}, k = {k}"
        scored = agreement(halves(spectra, seed), k)
        found += [{"scenario": name, "seed": seed, **row} for row in scored]
        write(found, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
