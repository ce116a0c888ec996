"""Time and memory of finding regions in large images, which are made while they are read.

    python benchmarks/regions_scale.py [--pixels 62500 250000 1000000] [--ions 2000] [--peaks 120]
        [--regions N | auto] [--profile FILE]

The whole of a fit: axis, molecules, components, search and field. A fresh process per size gives
its wall time, processor time, peak memory and the agreement with the truth, and a last line how
both grow with the number of pixels. What making the peaks takes is told apart.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri
from sklearn.metrics import adjusted_rand_score

import massgraph as mg

N_REGIONS = 8
BLOCK = 4096
MASS_ERROR_PPM = 2.0

Floats = NDArray[np.float64]


@dataclass
class SimulatedImage:
    """A square image with regions of irregular shape: a source of spectra that holds no peaks.

    In each pixel as many ions as `n_peaks` are drawn from those of its region, in proportion to
    their shares there.
    """

    side: int
    n_ions: int
    n_peaks: int
    seconds: float = field(default=0.0, init=False)

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.side**2

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Region of each pixel."""
        rng = np.random.default_rng(0)
        height = gaussian_filter(rng.standard_normal((self.side, self.side)), self.side / 25)
        edges = np.quantile(height, np.linspace(0, 1, N_REGIONS + 1)[1:-1])
        return np.searchsorted(edges, height).ravel()

    @cached_property
    def ions(self) -> tuple[Floats, Floats]:
        """m/z of the ions, and the cumulative share of each in each region."""
        rng = np.random.default_rng(1)
        # Far enough apart to keep their order whatever the error.
        mz = 400 + 600 * (np.arange(self.n_ions) + rng.uniform(0.1, 0.9, self.n_ions)) / self.n_ions
        level = np.exp(rng.standard_normal(self.n_ions))
        shifted = rng.random((N_REGIONS, self.n_ions)) < 0.15
        share = level * np.exp(0.5 * rng.standard_normal((N_REGIONS, self.n_ions)) * shifted)
        return mz, np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Coordinates of the pixels, x and y."""
        row, column = np.divmod(np.arange(self.n_pixels), self.side)
        return np.column_stack([column, row]) + 1

    def places(self) -> mg.Spectra:
        """All pixels without their peaks."""
        return self._spectra(
            slice(None), np.zeros(self.n_pixels, dtype=np.int64), *np.empty((2, 0))
        )

    def read(self, first: int, stop: int) -> mg.Spectra:
        """Some pixels, made anew."""
        start = time.process_time()
        # Philox can be wound forward: a pixel is the same whoever reads it, with whichever others.
        bits = np.random.Philox(key=2).advance(first * self.n_peaks)
        drawn = np.random.Generator(bits).random((stop - first, self.n_peaks, 4))
        mz, cumulative = self.ions
        region = self.truth[first:stop]
        ion = np.empty(drawn.shape[:2], dtype=np.int64)
        for code in np.unique(region):
            ion[region == code] = np.searchsorted(cumulative[code], drawn[region == code, :, 0])
        ion = np.sort(np.minimum(ion, self.n_ions - 1), axis=1)
        # An ion is a peak once, as intense as it was drawn often.
        new = np.diff(ion, axis=1, prepend=-1) > 0
        times = np.diff(np.append(np.flatnonzero(new.ravel()), ion.size))
        error, noise = ndtri(drawn[new, 1]), ndtri(drawn[new, 2])
        spectra = self._spectra(
            slice(first, stop),
            new.sum(axis=1),
            mz[ion[new]] * (1 + 1e-6 * MASS_ERROR_PPM * error),
            times * np.exp(0.4 * noise),
        )
        self.seconds += time.process_time() - start
        return spectra

    def blocks(self) -> Iterator[mg.Spectra]:
        """All pixels."""
        for first in range(0, self.n_pixels, BLOCK):
            yield self.read(first, min(first + BLOCK, self.n_pixels))

    def _spectra(
        self, rows: slice, counts: NDArray[np.int64], mz: Floats, intensity: Floats
    ) -> mg.Spectra:
        return mg.Spectra.from_arrays(
            mz,
            intensity,
            np.concatenate([[0], np.cumsum(counts)]),
            coordinates=self.place[rows],
            polarity="positive",
        )


def measure(side: int, arguments: argparse.Namespace) -> dict[str, float]:
    """One fit, in this process."""
    image = SimulatedImage(side, arguments.ions, arguments.peaks)
    n_regions = arguments.regions if arguments.regions == "auto" else int(arguments.regions)
    fit = mg.SpatialRegions(n_regions).fit  # imports what is needed, too
    profile = cProfile.Profile(time.process_time) if arguments.profile else None
    start, used = time.perf_counter(), time.process_time()
    if profile:
        profile.enable()
    found = fit(image)
    if profile:
        profile.disable()
        profile.dump_stats(arguments.profile)
    wall, used = time.perf_counter() - start, time.process_time() - used
    return {
        "pixels": image.n_pixels,
        "wall_s": wall,
        "cpu_s": used,
        "of_it_making_peaks_s": image.seconds,
        "peak_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "n_regions": found.n_regions_,
        "ari": float(adjusted_rand_score(image.truth, found.labels_)),
    }


def main() -> int:
    """Measure each size in a process of its own, so that the memory is that of the size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, nargs="+", default=[62_500, 250_000, 1_000_000])
    parser.add_argument("--ions", type=int, default=2000)
    parser.add_argument("--peaks", type=int, default=120, help="draws of an ion for each pixel")
    parser.add_argument("--regions", default=str(N_REGIONS), help="their number, or auto")
    parser.add_argument("--profile", help="where to write what cProfile sees; one size only")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        side = round(arguments.pixels[0] ** 0.5)
        sys.stdout.write(json.dumps(measure(side, arguments)) + "\n")
        return 0
    found = []
    for pixels in arguments.pixels:
        given = ["--ions", arguments.ions, "--peaks", arguments.peaks, "--regions"]
        given = [*given, arguments.regions, "--pixels", pixels]
        if arguments.profile:
            given += ["--profile", arguments.profile]
        command = [sys.executable, __file__, "--here", *map(str, given)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
        found.append(json.loads(line))
        sys.stdout.write("  ".join(f"{k} {v:.4g}" for k, v in found[-1].items()) + "\n")
        sys.stdout.flush()
    if len(found) > 1:
        pixels, wall, memory = (
            np.log([one[name] for one in found]) for name in ("pixels", "wall_s", "peak_GB")
        )
        growth = [np.polyfit(pixels, values, 1)[0] for values in (wall, memory)]
        sys.stdout.write("time grows as pixels^{:.2f}, memory as pixels^{:.2f}\n".format(*growth))
    return 0


if __name__ == "__main__":
    sys.exit(main())
