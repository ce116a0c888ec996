"""Kill writers at random moments, and look at what they leave behind.

``python tests/python/kill_writers.py --kills 200`` prints a line of JSON for each writer. A child
writes two versions of the same thing over each other, again and again, until SIGKILL ends it; then
the old or the new version must be there, whole. Fits with checkpoints are killed too, and gone on
from: they must end in the weights of a fit that nobody killed. `test_killed_writers.py` and
`test_checkpoints.py` do the same a few times.
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
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

import massgraph as mg
from massgraph.report.page import write_report
from massgraph.report.results import write_results

# What is in every results folder of one run.
WRITTEN = {
    *("families.csv", "family_edges.csv", "figures", "ions.csv"),
    *("model", "report.html", "segmentation.h5ad"),
}

# Twentieths of the kills that each writer gets.
SHARES = {
    "save": 4,
    "write_h5ad": 2,
    "predict and write_h5ad": 4,
    "write_report": 1,
    "fit and save": 2,
    "write_results": 2,
    "fit with checkpoints": 5,
}


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
    """A small classifier that fits in less than a second."""
    return mg.RGCNClassifier(
        effort="thorough",
        epochs=2,
        augment=0,
        hidden=(4,),
        max_peaks=40,
        batch_size=256,
        device="cpu",
        random_state=seed,
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

    def predict(path: Path, which: int) -> None:
        models[which].segment(spectra, labels).write_h5ad(path, overwrite=True)

    def model_of(path: Path) -> object:
        return mg.load(path).logits(spectra).tobytes()

    def h5ad_of(path: Path) -> object:
        import anndata

        adata = anndata.read_h5ad(path)
        names = [name for name in adata.obs if name.startswith("massgraph_probability")]
        return np.asarray(adata.obs[names]).tobytes()

    def folder_of(path: Path) -> object:
        names = {file.name for file in path.iterdir()}
        missing = WRITTEN - names
        if missing:
            msg = f"{sorted(missing)} are missing"
            raise ValueError(msg)
        return model_of(path / "model"), h5ad_of(path / "segmentation.h5ad")

    return [
        Writer("save", lambda path, which: models[which].save(path, overwrite=True), model_of),
        Writer("write_h5ad", lambda path, which: results[which].write_h5ad(path, True), h5ad_of),
        Writer("predict and write_h5ad", predict, h5ad_of),
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


def weights_of(classifier: mg.RGCNClassifier) -> bytes:
    """Everything that a fit ends in: weights and learning curve."""
    state = classifier.model_.state_dict()
    table = classifier.history_.to_json(double_precision=15)
    return b"".join(value.numpy().tobytes() for value in state.values()) + table.encode()


def kill_fits(kills: int, seed: int, epochs: int = 12) -> dict[str, Any]:
    """Kill fits, go on from their checkpoints, compare the ends; a table row as of `run`."""
    rng = np.random.default_rng(seed)
    spectra, labels = mg.simulate("tiny")

    def fit(folder: Path | None) -> bytes:
        classifier = quick(0).set_params(epochs=epochs, augment=1, batch_size=32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing to go on from yet
            return weights_of(
                classifier.fit(spectra, labels, checkpoint=folder, resume=folder is not None)
            )

    wanted = fit(None)
    start = time.monotonic()
    fit(None)
    seconds = time.monotonic() - start
    faults: list[str] = []
    halfway = resumed = 0
    with tempfile.TemporaryDirectory() as parent:
        for number in range(kills):
            place = Path(parent) / f"fit {number // 2}"  # two kills, then to the end
            after = int(rng.integers(epochs // 2))
            try:
                halfway += kill_fit(fit, place, after, rng.uniform(0, seconds / epochs))
                if number % 2 or number == kills - 1:
                    resumed += 1
                    if fit(place) != wanted:
                        faults.append("the resumed fit ended in other weights")
            except Exception as error:  # whatever a half-written thing leads to
                faults.append(f"{type(error).__name__}: {error}")
    row = {"writer": "fit with checkpoints", "seconds": round(seconds, 3), "kills": kills}
    return {**row, "halfway": halfway, "resumed": resumed, "faults": faults}


def epochs_in(file: Path) -> int:
    """Epochs that a checkpoint holds; 0 where there is none. An error where it is damaged."""
    if not file.exists():
        return 0
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["massgraph"])
        for name in opened.keys():  # noqa: SIM118  no dict
            opened.get_tensor(name)
    return len(header["history"])


def kill_fit(fit: Callable[[Path], bytes], place: Path, epochs: int, seconds: float) -> bool:
    """Kill one fit so long after it wrote that many checkpoints; whether it had not ended.

    Raises
    ------
    RuntimeError
        Where an epoch that had been written is not there afterwards.
    """
    file = place / "net-1.safetensors"
    before = epochs_in(file)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            fit(place)
        finally:
            os._exit(0)
    seen, done = before, 0
    while seen < before + epochs and not done:
        seen = epochs_in(file)  # also a reader beside the writer never meets a half
        time.sleep(0.002)
        done, _ = os.waitpid(child, os.WNOHANG)
    if done:
        return False
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    left = epochs_in(file)
    if left < seen:
        msg = f"{seen} epochs were written, {left} are left"
        raise RuntimeError(msg)
    return os.WIFSIGNALED(status)


def main() -> int:
    """Run from the command line; 1 where a kill did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in all (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = {name: -(-arguments.kills * part // 20) for name, part in SHARES.items()}
    harmed = False
    for row in run(kills, arguments.seed):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        harmed = harmed or bool(row["faults"])
    row = kill_fits(kills["fit with checkpoints"], arguments.seed)
    sys.stdout.write(json.dumps(row) + "\n")
    return int(harmed or bool(row["faults"]))


if __name__ == "__main__":
    sys.exit(main())
