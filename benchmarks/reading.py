"""How fast imzML is read, beside pyimzml, in one process and in turn.

Run as::

    .venv/bin/python tools/simulated_imzml.py --side 250 big/
    .venv/bin/python benchmarks/reading.py big/run.imzML
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pyimzml.ImzMLParser import ImzMLParser

import massgraph as mg


def read_ours(path: Path) -> None:
    """Open, check and read all pixels."""
    with mg.open_imzml(path) as reader:
        for _ in reader.blocks():
            pass


def read_theirs(path: Path) -> None:
    """Open and read all spectra, unchecked, as they stand."""
    parser = ImzMLParser(str(path))
    for pixel in range(len(parser.coordinates)):
        parser.getspectrum(pixel)


def read_raw(path: Path) -> None:
    """All bytes of both files, which no reader can be faster than."""
    for half in (path, path.with_suffix(".ibd")):
        with half.open("rb") as stream:
            while stream.read(1 << 24):
                pass


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    path = arguments.path
    warnings.simplefilter("ignore")  # what files do not declare
    ways: dict[str, Callable[[], Any]] = {
        "open, massgraph": lambda: mg.open_imzml(path).close(),
        "open, pyimzml": lambda: ImzMLParser(str(path)),
        "open and read, massgraph": lambda: read_ours(path),
        "open and read, pyimzml": lambda: read_theirs(path),
        "bytes alone": lambda: read_raw(path),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, run in ways.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    size = (path.stat().st_size + path.with_suffix(".ibd").stat().st_size) / 1e6
    for name, values in seconds.items():
        median = float(np.median(values))
        sys.stdout.write(f"{name:26} {median:8.3f} s {size / median:9.0f} MB/s\n")


if __name__ == "__main__":
    main()
