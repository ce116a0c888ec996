"""What a command that failed says: one line on stderr, an exit code, and a log of our faults.

Three sorts are told apart by the class of the exception: what the user can mend, what the machine
could not do, and all the rest, which is a fault of massgraph.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph._version import __version__

__all__ = ["BAD_INPUT", "FAILED", "report", "say"]

FAILED, BAD_INPUT = 1, 2

OF_THE_USER = (
    InputError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
OF_THE_MACHINE = (OSError, MemoryError, FloatingPointError, ImportError)
# torch has a class of its own for a full GPU, and none for a full memory.
FULL_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator")


def say(text: str) -> None:
    """Print a line on stderr, behind the name of the program.

    Examples
    --------
    >>> import contextlib
    >>> import sys
    >>> from massgraph.cli.faults import say
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     say("warning: the pixel size is unknown")
    massgraph: warning: the pixel size is unknown
    """
    with suppress(OSError):  # nobody listens any more
        print(f"massgraph: {text}", file=sys.stderr)


def report(error: Exception, words: Sequence[str]) -> int:
    """Say in one line what went wrong; the stack only in a log, or to those who ask for it.

    Parameters
    ----------
    error
        As the command raised it. It is raised again where the environment has
        ``MASSGRAPH_TRACEBACK``.
    words
        What the user typed behind ``massgraph``.

    Returns
    -------
    int
        2 for what the user can mend, 1 for what the machine could not do. Everything else is a
        fault of massgraph: 1 too, and the trace goes into a file of the system's temporary folder,
        which the line names.

    Examples
    --------
    >>> import contextlib
    >>> import sys
    >>> import massgraph as mg
    >>> from massgraph.cli.faults import report
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     report(mg.InputError("run.imzML: the file is empty"), ["validate", "run.imzML"])
    massgraph: run.imzML: the file is empty
    2
    """
    if os.environ.get("MASSGRAPH_TRACEBACK"):
        raise error
    if isinstance(error, OF_THE_USER):
        say(_words_of(error) or type(error).__name__)
        return BAD_INPUT
    if _of_the_machine(error):
        say(_words_of(error) or type(error).__name__)
        return FAILED
    name, said = type(error).__name__, _words_of(error)
    line = f"internal error ({name}: {said})" if said else f"internal error ({name})"
    text = _log_text(error, line, words)
    try:
        path = _write_log(text)
    except OSError:
        say(f"{line}; please report it with what follows\n{text.rstrip()}")
    else:
        say(f"{line}; the trace is in {path}, please report it")
    return FAILED


def _words_of(error: Exception) -> str:
    """Message and notes of an exception, in one line."""
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    told = [str(error), *notes] if str(error) else notes
    return one_line("; ".join(" ".join(text.split()) for text in told))


def _of_the_machine(error: Exception) -> bool:
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] == "massgraph":
        return False  # a part of our own is missing
    full = any(name in f"{type(error).__name__}: {error}" for name in FULL_MEMORY)
    return isinstance(error, OF_THE_MACHINE) or full


# -------------------------------------------------------------------- the log


def _log_text(error: Exception, line: str, words: Sequence[str]) -> str:
    """Everything that a report of a fault needs: nothing of the data, but names of files."""
    found = "\n".join(f"{name}: {value}" for name, value in _versions().items())
    trace = "".join(traceback.format_exception(error))
    command = shlex.join(["massgraph", *words])
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return f"{line}\n{now}\n{command}\n\n{found}\n\n{trace}"


def _versions() -> dict[str, str]:
    try:
        from massgraph.versions import versions

        return versions()
    except Exception:  # what is broken may well be what tells the versions
        return {"massgraph": __version__, "python": platform.python_version()}


def _write_log(text: str) -> Path:
    """Write a file that nobody else can read, of a name that nobody could have taken before."""
    now = time.strftime("%Y%m%d-%H%M%S")
    handle, name = tempfile.mkstemp(prefix=f"massgraph-error-{now}-", suffix=".log")
    path = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path
