"""Sources of spectra for tests: spectra in memory, handed out as if they were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import massgraph as mg
from imzml_builder import Builder, Pixel
from massgraph.data.spectra import Spectra
from massgraph.simulation.simulate import OFF_TISSUE


@dataclass
class Bare:
    """The three names that make a source, and no other."""

    spectra: Spectra
    size: int = 17

    @property
    def n_pixels(self) -> int:
        return self.spectra.n_pixels

    def read(self, first: int, stop: int) -> Spectra:
        return self.spectra[first:stop]

    def blocks(self) -> Iterator[Spectra]:
        for first in range(0, self.n_pixels, self.size):
            yield self.spectra[first : first + self.size]


@dataclass
class Blocks(Bare):
    """A source that knows its runs too; keeps what was asked for."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def run(self) -> np.ndarray:
        return self.spectra.run

    def read(self, first: int, stop: int) -> Spectra:
        self.asked.append((first, stop))
        return self.spectra[first:stop]


class Short(Blocks):
    """Ends before it has given all its pixels."""

    def blocks(self) -> Iterator[Spectra]:
        yield self.spectra[:7]


class Other(Bare):
    """Reads and gives what pixels are not."""

    def read(self, first: int, stop: int) -> Any:
        return [self.spectra.pixel(index) for index in range(first, stop)]

    def blocks(self) -> Iterator[Any]:
        yield self.read(0, self.n_pixels)


class Shifted(Bare):
    """One pixel too many, wherever it is asked."""

    def read(self, first: int, stop: int) -> Spectra:
        return self.spectra[first : stop + 1]

    def blocks(self) -> Iterator[Spectra]:
        yield self.spectra
        yield self.spectra[:1]


def tissue() -> tuple[Spectra, np.ndarray]:
    """Two runs of three classes, a pixel without peaks; labels of two pixels in three."""
    simulation = mg.simulate("tiny", n_classes=3)
    labels = np.where(simulation.truth == OFF_TISSUE, None, simulation.truth)
    labels[::3] = None
    made = simulation.spectra
    keep = np.ones(made.n_peaks, dtype=bool)
    keep[made.offsets[5] : made.offsets[6]] = False
    return made.keep_peaks(keep), labels


def write_imzml(spectra: Spectra, folder: Path) -> Path:
    """The spectra as an imzML file, m/z and intensities as they are."""
    assert spectra.coordinates is not None
    pixels = [
        Pixel(int(x), int(y), *map(tuple, spectra.pixel(index)))
        for index, (x, y) in enumerate(spectra.coordinates[:, :2].astype(int).tolist())
    ]
    return Builder(pixels).write(folder)
