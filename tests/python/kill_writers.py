"""Kill writers at random moments, and look at what they leave behind.

``python tests/python/kill_writers.py --kills 200`` prints a line of JSON for each writer. A child
writes two versions of the same thing over each other, again and again, until SIGKILL ends it; then
the old or the new version must be there, whole. `test_killed_writers.py` does the same a few times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import massgraph as mg
from massgraph.report import write_report
from massgraph.results import NAMES, write_results


@dataclass
class Writer:
    """Something that is written: how, and how to tell which version is there."""

    name: str
    write: Callable[[Path, int], object]
    identify: Callable[[Path], object]
    versions: list[object] = field(default_factory=list)
    seconds: float = 0.0
    kills: int = 0
    halfway: int = 0
    faults: list[str] = field(default_factory=list)


def quick(seed: int) -> mg.RGCNClassifier:
    """A small classifier that fits in about a second."""
    return mg.RGCNClassifier(
        epochs=2, augment=0, hidden=(4,), batch_size=256, device="cpu", random_state=seed
    )


def writers() -> list[Writer]:
    """Everything that massgraph writes, each in two versions."""
    spectra, labels = mg.simulate("tiny")
    models = [quick(seed).fit(spectra, labels) for seed in (0, 1)]
    results = [model.segment(spectra, labels) for model in models]

    def report(path: Path, which: int) -> None:
        write_report(results[which], path, title=f"version {which}", overwrite=True)

    def folder(path: Path, which: int) -> None:
        write_results(results[which], path, title="t", model=models[which], overwrite=True)

    def fit(path: Path, which: int) -> None:
        quick(which).fit(spectra, labels).save(path, overwrite=True)

    def model_of(path: Path) -> object:
        return mg.load(path).logits(spectra).tobytes()

    def h5ad_of(path: Path) -> object:
        import anndata

        adata = anndata.read_h5ad(path)
        names = [name for name in adata.obs if name.startswith("massgraph_probability")]
        return np.asarray(adata.obs[names]).tobytes()

    def folder_of(path: Path) -> object:
        names = {file.name for file in path.iterdir()}
        missing = NAMES - names - {"ions_by_run.csv"}
        if missing:
            msg = f"{sorted(missing)} are missing"
            raise ValueError(msg)
        return model_of(path / "model"), h5ad_of(path / "segmentation.h5ad")

    return [
        Writer("save", lambda path, which: models[which].save(path, overwrite=True), model_of),
        Writer("write_h5ad", lambda path, which: results[which].write_h5ad(path, True), h5ad_of),
        Writer("write_report", report, lambda path: path.read_bytes()),
        Writer("fit and save", fit, model_of),
        Writer("write_results", folder, folder_of),
    ]


def learn(writer: Writer, place: Path) -> None:
    """Write both versions undisturbed: what they look like, and how long it takes."""
    for which in (1, 0):
        start = time.monotonic()
        writer.write(place, which)
        writer.seconds = time.monotonic() - start
        writer.versions.append(writer.identify(place))


def kill_once(writer: Writer, place: Path, rng: np.random.Generator) -> None:
    """One child, one kill, one look."""
    child = os.fork()
    if child == 0:
        try:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 2)
            which = 1
            while True:
                writer.write(place, which)
                which = 1 - which
        finally:
            os._exit(1)
    time.sleep(rng.uniform(0, 2.5 * writer.seconds))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    writer.kills += 1
    left = [path for path in place.parent.iterdir() if path != place]
    writer.halfway += bool(left)
    if not os.WIFSIGNALED(status):
        writer.faults.append("the writer ended by itself")
    try:
        if writer.identify(place) not in writer.versions:
            writer.faults.append("neither the old nor the new version")
    except Exception as error:  # whatever a half-written thing leads to
        writer.faults.append(f"{type(error).__name__}: {error}")
        writer.write(place, 0)
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(kills: dict[str, int], seed: int) -> Iterator[dict[str, Any]]:
    """Kill each writer so many times; one table row per writer."""
    rng = np.random.default_rng(seed)
    for writer in writers():
        if not kills.get(writer.name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "result"
            learn(writer, place)
            for _ in range(kills[writer.name]):
                kill_once(writer, place, rng)
        yield {
            "writer": writer.name,
            "seconds": round(writer.seconds, 3),
            "kills": writer.kills,
            "halfway": writer.halfway,
            "faults": writer.faults,
        }


def main() -> int:
    """Run from the command line; 1 where a kill did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in all (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    share = {"save": 8, "write_h5ad": 5, "write_report": 2, "fit and save": 3, "write_results": 2}
    kills = {name: -(-arguments.kills * part // 20) for name, part in share.items()}
    harmed = False
    for row in run(kills, arguments.seed):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        harmed = harmed or bool(row["faults"])
    return int(harmed)


if __name__ == "__main__":
    sys.exit(main())
