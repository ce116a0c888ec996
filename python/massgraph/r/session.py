"""The one R session of this process: started by Python, or the one that Python runs in."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = [
    "RError",
    "function",
    "is_installed",
    "namespace",
    "package_function",
    "runs_inside_r",
    "start",
]

# Set by whoever started R (reticulate, rpy2), and inherited by child processes without an R.
HOST_VARIABLE = "R_SESSION_INITIALIZED"


class RError(RuntimeError):
    """A failure inside R; the message is R's own.

    Examples
    --------
    >>> from massgraph.r.session import function
    >>> from massgraph.r.values import to_r
    >>> function("stop")(to_r("there is no such pixel"))
    Traceback (most recent call last):
    massgraph.r.session.RError: there is no such pixel
    """


def start() -> Any:
    """Give the module `rpy2.rinterface`, connected to the R of this process.

    That is the R which started this Python; if none did, R is started.

    Raises
    ------
    ImportError
        Where rpy2 is not installed, or does not fit the R that is.
    RuntimeError
        Outside the main thread: R has one stack, and checks it.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> start().evalr("1 + 1")[0]
    2.0
    """
    if threading.current_thread() is not threading.main_thread():
        msg = "R can be used from the main thread only: call massgraph.r from there"
        raise RuntimeError(msg)
    return _connect()


@cache
def _connect() -> Any:
    if not runs_inside_r():
        # The note of a parent process, if any: rpy2 would look for that R in this process.
        os.environ.pop(HOST_VARIABLE, None)
    _load_torch()
    with _interrupts_kept(), _quiet("rpy2.rinterface_lib.openrlib"):
        try:
            from rpy2 import rinterface
        except ImportError as error:
            msg = (
                "massgraph.r needs R and rpy2 (pip install 'massgraph[r]'; R before 4.5 takes "
                f"rpy2-rinterface 3.6.5 and rpy2-robjects 3.6.4): {_first_line(error)}"
            )
            raise ImportError(msg) from error
        rinterface.initr()
    return rinterface


def _load_torch() -> None:
    """Load torch so that its matrix products are its own.

    R's BLAS is among the process's global symbols, and would take over torch's calls of `sgemm`:
    with the reference BLAS of many Linux systems a product takes 25 times as long, and its last
    digits differ. Libraries bound deeply look for symbols among themselves first.
    """
    # Only glibc has it. A torch that is there already cannot be bound again.
    deep = getattr(os, "RTLD_DEEPBIND", 0)
    if "torch" in sys.modules or not deep:
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | deep)
    try:
        import torch  # noqa: F401
    finally:
        sys.setdlopenflags(flags)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Keep rpy2 from taking Ctrl-C away from an R that was here first."""
    if not runs_inside_r():
        yield
        return
    real = signal.signal
    signal.signal = lambda number, _: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = real


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger from warning.

    rpy2 warns where the interface that was compiled does not fit this R ("API mode"), and takes the
    other one ("ABI mode"), which does the same.
    """
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def runs_inside_r() -> bool:
    """Whether R started this Python, in its own process.

    reticulate leaves its note in an R that Python started, too; rpy2 then left one before.

    Examples
    --------
    >>> from massgraph.r.session import runs_inside_r
    >>> runs_inside_r()
    False
    """
    return _names_this_process(HOST_VARIABLE, r"PID=(\d+)") and not _names_this_process(
        "PYTHON_SESSION_INITIALIZED", r"current_pid=(\d+)"
    )


def _names_this_process(variable: str, pattern: str) -> bool:
    """Whether a note names this process: the whole number, since 12 is not 123."""
    found = re.search(pattern + r"(?!\d)", os.environ.get(variable, ""))
    return found is not None and int(found[1]) == os.getpid()


@cache
def function(name: str) -> Callable[..., Any]:
    """Look up an R function as Cardinal's namespace sees it, or R's search path without Cardinal.

    That way generics of other packages (`spectra`, `mz`) are found under their own names, without
    attaching anything.

    Raises
    ------
    RError
        From the function returned, where R signals an error.

    Examples
    --------
    >>> from massgraph.r.session import function
    >>> from massgraph.r.values import as_scalar, to_r
    >>> as_scalar(function("sum")(to_r(2.0), to_r(3.5)))
    5.5
    """
    rinterface = start()
    place = namespace("Cardinal") if is_installed("Cardinal") else rinterface.globalenv
    return _checked(_checked(rinterface.baseenv["get"])(name, envir=place, mode="function"))


@cache
def package_function(package: str, name: str) -> Callable[..., Any]:
    """Look up a function of an R package, exported or not.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.r.session import package_function
    >>> from massgraph.r.values import as_scalar, to_r
    >>> as_scalar(package_function("stats", "median")(to_r(np.array([1.0, 2.0, 4.0]))))
    2.0
    """
    return _checked(namespace(package)[name])


def namespace(package: str) -> Any:
    """Give the environment of an R package's own objects.

    Examples
    --------
    >>> from massgraph.r.session import namespace
    >>> namespace("stats")["sd"].rclass[0]
    'function'
    """
    return start().baseenv["asNamespace"](package)


def is_installed(package: str) -> bool:
    """Whether R finds a package; it is then loaded, not attached.

    Examples
    --------
    >>> from massgraph.r.session import is_installed
    >>> is_installed("stats")
    True
    """
    return bool(start().baseenv["requireNamespace"](package, quietly=True)[0])


def _checked(call: Any) -> Callable[..., Any]:
    """The R function with R's errors as `RError`."""
    from rpy2.rinterface_lib.embedded import RRuntimeError

    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except RRuntimeError as error:
            raise RError(_r_message(str(error))) from error

    return checked


def _r_message(text: str) -> str:
    """R's message in one line, without the call that R puts before it."""
    line = " ".join(text.split())
    return re.sub(r"^Error(?: in .*?)?\s?: ", "", line)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0]
