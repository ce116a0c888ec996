"""The examples of `massgraph.r`, in a process of their own: an R that was started stays."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted((ROOT / "python" / "massgraph" / "r").glob("*.py"))

# As it was before a test: the other tests of this room hide the libraries of R from their process.
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}

# Asked without loading anything, which would take Cardinal many seconds.
MISSING = """
needed <- c(Cardinal = "3.6.0", reticulate = "1.41")
for (name in names(needed))
    if (!nzchar(system.file(package = name)) || packageVersion(name) < needed[[name]])
        cat("needs the R package ", name, " >= ", needed[[name]], sep = "")
"""


def output(command: Sequence[object], **environment: object) -> str:
    """What a program prints; where it fails, that is the failure."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**ENVIRONMENT, "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An R library with the R code of the package; its Python is the one that runs here."""
    if shutil.which("Rscript") is None:
        pytest.skip("examples of massgraph.r: R is not installed")
    if find_spec("rpy2") is None:
        pytest.skip("examples of massgraph.r: rpy2 is not installed (extra massgraph[r])")
    missing = output(["Rscript", "-e", MISSING]).strip()
    if missing:
        pytest.skip(f"examples of massgraph.r: {missing}")
    sources, found = tmp_path / "massgraph", tmp_path / "library"
    shutil.copytree(ROOT / "R", sources / "R")
    for name in ("DESCRIPTION", "NAMESPACE"):
        shutil.copy(ROOT / name, sources)
    found.mkdir()
    quick = ("--no-docs", "--no-test-load", "--no-byte-compile")
    output(["R", "CMD", "INSTALL", *quick, f"--library={found}", sources])
    return found


def test_examples_run(library: Path) -> None:
    libraries = [str(library), *filter(None, [ENVIRONMENT.get("R_LIBS")])]
    pytest_of_modules = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *MODULES]
    said = output(pytest_of_modules, R_LIBS=os.pathsep.join(libraries))
    written = sum(">>>" in path.read_text(encoding="utf-8") for path in MODULES)
    passed = re.search(r"^(\d+) passed in", said, re.MULTILINE)
    assert passed is not None, said
    assert int(passed[1]) >= written
