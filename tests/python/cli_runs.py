"""Runs of the command line for its tests: what goes in, and what a command gives back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imzml_builder import Builder, Pixel
from massgraph.cli import main, program
from massgraph.cli.command import Command
from massgraph.cli.faults import BAD_INPUT
from massgraph.report import results
from massgraph.simulation.simulate import Simulation, simulate


@dataclass
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def replace_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts a command named `try`, with an argument and `--out`, into the place of all others."""

    def replace(does: Callable[[argparse.Namespace], Any]) -> None:
        command = Command(
            name="try", help="Try.", writes="nothing", add_arguments=add_arguments, run=does
        )
        monkeypatch.setattr(program, "COMMANDS", (command,))

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("input")
        parser.add_argument("--out")

    return replace


def write_run(
    simulation: Simulation,
    run: str,
    folder: Path,
    name: str = "",
    polarity: str | None = "positive",
) -> Path:
    """One run of a simulation as imzML, written byte by byte."""
    rows = np.flatnonzero(simulation.spectra.run == run)
    spectra = simulation.spectra[rows]
    assert spectra.coordinates is not None
    pixels = [
        Pixel(int(x), int(y), *(values.tolist() for values in spectra.pixel(index)))
        for index, (x, y) in enumerate(spectra.coordinates)
    ]
    return Builder(pixels=pixels, polarity=polarity).write(folder, name or run)


def label_table(simulation: Simulation) -> pd.DataFrame:
    """Columns x, y, label and run of the labelled pixels."""
    spectra = simulation.spectra
    assert spectra.coordinates is not None
    table = pd.DataFrame(spectra.coordinates.astype(int), columns=["x", "y"])
    table = table.assign(label=simulation.labels, run=spectra.run)
    return table[table["label"].notna()]


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    """Two small runs."""
    return simulate("tiny", shape=(10, 10))


@pytest.fixture(scope="module")
def data(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the simulation as imzML, and their labels, one by one and together."""
    folder = tmp_path_factory.mktemp("data")
    labels = label_table(simulation)
    for name in simulation.spectra.run_names:
        write_run(simulation, name, folder)
        own = labels[labels["run"] == name].drop(columns="run")
        own.to_csv(folder / f"{name}.csv", index=False)
    labels.to_csv(folder / "both.csv", index=False)
    return folder


@pytest.fixture(scope="module", autouse=True)
def fast_figures() -> Iterator[None]:
    """Each picture once, and coarse: how they look is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "FORMATS", ("png",))
        patch.setattr(results, "N_FAMILIES", 1)
        yield


@pytest.fixture(scope="module")
def fitted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a fit to one run, made once; tests only read it."""
    out = tmp_path_factory.mktemp("fitted") / "results"
    arguments = ["fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", out]
    arguments += ["--effort", "thorough"]
    assert main([*map(str, arguments), "--epochs", "8", "--device", "cpu"]) == 0
    return out


def tree(folder: Path) -> dict[str, int]:
    """Every path below a folder with its size; hidden temporary ones too."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1
        for path in folder.rglob("*")
    }


def assert_refused(outcome: Outcome, *words: str, code: int = BAD_INPUT) -> None:
    """One line on stderr that says these words, nothing on stdout, and the exit code."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("massgraph: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    for word in words:
        assert word in outcome.err
