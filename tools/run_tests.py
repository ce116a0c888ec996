"""Run every check and test of the repository, and name in the last lines what could not run.

All parts run even when one fails; the exit status is 1 if any did. A part says what it left out in
lines that start with ``not run: ``; pytest's skips are read from its JUnit report.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
OMITTED = "not run: "


@dataclass
class Part:
    """One command of the test run and what became of it."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    passed: bool = False
    seconds: float = 0.0
    omitted: list[str] = field(default_factory=list)


def run(part: Part) -> None:
    """Run a part, show its output as it comes and keep the lines that say what was left out."""
    print(f"\n== {part.name}", flush=True)
    start = time.monotonic()
    # One thread per process: pytest already runs one process per core.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **part.environment}
    with subprocess.Popen(
        part.command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if line.startswith(OMITTED):
                part.omitted.append(line.removeprefix(OMITTED).strip())
            else:
                print(line, end="", flush=True)
    part.passed = process.returncode == 0
    part.seconds = time.monotonic() - start


def skips(report: Path) -> list[str]:
    """Read what pytest skipped from its JUnit report: one line per reason, with count and files.

    Expected failures did run and are left out.
    """
    if not report.is_file():
        return []
    modules: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    # Written by our own pytest a moment ago: trusted input.
    for case in ElementTree.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            if skip.get("type") != "pytest.xfail":
                reason = skip.get("message", "")
                if reason == "collection skipped":  # a whole module: (path, line, 'Skipped: ...')
                    reason = ast.literal_eval(skip.text or "")[2].removeprefix("Skipped: ")
                place = (case.get("classname") or case.get("name") or "").split(".")
                named = [part for part in place if part.startswith("test_")]
                modules[reason].add((named or place)[0])
                counts[reason] += 1
    return [
        f"{count} Python test{'s' * (count > 1)} ({', '.join(sorted(modules[reason]))}): {reason}"
        for reason, count in sorted(counts.items())
    ]


def r_part() -> Part:
    """Make the R part, which only names what is missing where there is no R.

    R is tested with the Python that runs this, whatever the user's own choice is.
    """
    rscript = shutil.which("Rscript")
    if rscript is None:
        part = Part("R", [sys.executable, "-c", ""])
        part.omitted.append(
            "R suite: R is not installed (Debian packages r-base-core, r-cran-testthat)"
        )
        return part
    command = [rscript, "--vanilla", "tools/run_r_tests.R"]
    return Part("R", command, environment={"RETICULATE_PYTHON": sys.executable})


def imports_part() -> Part:
    """Make the part that holds the rooms apart; its linter needs Python 3.11."""
    linter = Path(sys.executable).with_name("lint-imports")
    if linter.exists():
        return Part("imports", [str(linter), "--no-cache"])
    part = Part("imports", [sys.executable, "-c", ""])
    part.omitted.append("linter of imports: import-linter is not installed (it needs Python 3.11)")
    return part


def summary(parts: Sequence[Part]) -> str:
    """Put the outcome of every part, and then what could not run, into lines."""
    lines = ["\n== summary"]
    for part in parts:
        outcome = "passed" if part.passed else "FAILED"
        lines.append(f"{outcome}  {part.name:<20} {part.seconds:6.1f} s")
    omitted = [OMITTED + reason for part in parts for reason in part.omitted]
    return "\n".join(lines + (omitted or ["everything ran"]))


def main() -> int:
    """Run all parts and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="2", help="processes that run pytest (default 2)")
    jobs = parser.parse_args().jobs
    python = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "pytest.xml"
        pytest = [*python, "pytest", "-n", jobs, "--dist", "worksteal", "--durations", "10"]
        parts = [
            Part("ruff check", [*python, "ruff", "check", "."]),
            Part("ruff format --check", [*python, "ruff", "format", "--check", "."]),
            Part("mypy", [*python, "mypy"]),
            imports_part(),
            r_part(),
            Part("pytest", [*pytest, f"--junitxml={report}"]),
        ]
        for part in parts:
            run(part)
        parts[-1].omitted += skips(report)
    print(summary(parts), flush=True)
    return int(not all(part.passed for part in parts))


if __name__ == "__main__":
    sys.exit(main())
