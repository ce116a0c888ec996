"""An R without Cardinal for the tests of this process, with stand-ins for what the door uses."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

STANDINS = Path(__file__).parent / "r_standins.R"


@cache
def start_r() -> Any:
    """`rpy2.rinterface` with the stand-ins defined; skips where R or rpy2 is missing."""
    if shutil.which("R") is None:
        pytest.skip("the door to R: R is not installed")
    pytest.importorskip(
        "rpy2.rinterface_lib", reason="the door to R: rpy2 is not installed (extra massgraph[r])"
    )
    # Cardinal may be among the libraries of the machine; these tests are to do without it.
    os.environ["R_LIBS_SITE"] = os.environ["R_LIBS_USER"] = os.environ["R_LIBS"] = "none"
    from massgraph.r.session import is_installed, start

    rinterface = start()
    if is_installed("Cardinal"):
        pytest.skip("the door to R: Cardinal is in R's own library, stand-ins would not be used")
    rinterface.evalr(f'source("{STANDINS.as_posix()}")')
    return rinterface


def peak_growth(call: Callable[[], Any]) -> tuple[Any, float]:
    """The value of a call, and by how many MB the memory of this process grew at most meanwhile."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("peak memory is read from /proc")
    reset.write_text("5")  # forget the peak so far

    def kilobytes(field: str) -> float:
        return float(re.search(rf"{field}:\s+(\d+)", status.read_text())[1])

    before = kilobytes("VmRSS")
    value = call()
    return value, (kilobytes("VmHWM") - before) / 1024


def r(code: str) -> Any:
    """The value of a piece of R code."""
    return start_r().evalr(code)
