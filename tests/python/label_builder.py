"""An image of two classes, and tables of its labels as users bring them, written byte by byte.

Pixels at x up to 5 are tumour, the others stroma; ions of 300 and 400 tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imzml_builder import Builder, Pixel
from massgraph.data.spectra import Spectra

SIDE = 10
Row = tuple[int, int, str]


def truth(x: int, y: int) -> str:
    return "tumour" if x <= SIDE // 2 else "stroma"


ROWS: list[Row] = [(x, y, truth(x, y)) for y in range(1, SIDE + 1) for x in range(1, SIDE + 1)]
LABELS = [label for _, _, label in ROWS]


def sparse(name: str, every: int = 2) -> list[Row]:
    """Every second label is a name that means something else."""
    return [(x, y, name if i % every else label) for i, (x, y, label) in enumerate(ROWS)]


def kept(every: int = 2) -> list[str | None]:
    """What is left where such a name means that there is no label."""
    return [None if i % every else label for i, label in enumerate(LABELS)]


def csv(rows: Iterable[Row] = ROWS, header: str = "x,y,label", join: str = ",") -> str:
    return "\n".join([header, *(join.join(map(str, row)) for row in rows)]) + "\n"


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def peaks_of(label: str, rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    high, low = (300.0, 400.0) if label == "tumour" else (400.0, 300.0)
    mz = np.array([200.0, high, low, 500.0])
    level = rng.lognormal(np.log([50.0, 40.0, 8.0, 20.0]), 0.2)
    order = np.argsort(mz)
    return mz[order], level[order]


def image(
    *,
    first: int = 1,
    runs: tuple[str, ...] = ("run",),
    of: Callable[[int, int], str] = truth,
    size: tuple[float, float] | None = (50.0, 50.0),
    shape: tuple[int, int] = (SIDE, SIDE),
) -> Spectra:
    """The image in memory; of several runs, one after the other."""
    rng = np.random.default_rng(7)
    places = [(x, y) for y in range(1, shape[1] + 1) for x in range(1, shape[0] + 1)]
    peaks = [peaks_of(of(x, y), rng) for _ in runs for x, y in places]
    at = np.tile(np.array(places, dtype=float) + first - 1, (len(runs), 1))
    return Spectra.from_peaks(
        [(mz, level) for mz, level in peaks],
        coordinates=at,
        run=[run for run in runs for _ in places],
        pixel_size=size,
        polarity="positive",
    )


def write_image(folder: Path, name: str = "run", first: int = 1) -> Path:
    """The image as imzML."""
    spectra = image()
    pixels = [
        Pixel(x + first - 1, y + first - 1, *(values.tolist() for values in spectra.pixel(i)))
        for i, (x, y, _) in enumerate(ROWS)
    ]
    return Builder(pixels=pixels, polarity="positive").write(folder, name)
