"""Ctrl-C at any moment: a line and an exit code, and never a stack trace.

While a command works, an interrupt is Python's `KeyboardInterrupt`, so that half-written results
are cleared away. Before and after that there is nothing to clear away, and whatever is imported or
torn down then would print a trace, or swallow the interrupt: it ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # that of `typing` takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["INTERRUPTED", "clear_away", "end_at_once", "is_program", "was_interrupted"]

INTERRUPTED = 130
LINE = b"massgraph: interrupted, nothing was written\n"

_seen = False


def is_program() -> bool:
    """Whether the process is this program, and heeds Ctrl-C: others keep their handlers.

    Examples
    --------
    >>> from massgraph.cli.interrupts import is_program
    >>> is_program()
    False
    """
    called = sys.argv[0].replace("\\", "/")
    named = called.rpartition("/")[2].partition(".")[0] == "massgraph"
    as_module = called.endswith("massgraph/cli/__main__.py")
    # Started by nohup and the like, a program is not to be interrupted.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return (named or as_module) and heeded


def end_at_once(*, line: bytes = LINE) -> None:
    """From here on, an interrupt ends the process, with a line on stderr."""

    def end(_number: int, _frame: object) -> NoReturn:
        _say(line)
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, end)


def clear_away() -> None:
    """From here on, an interrupt is a `KeyboardInterrupt`, wherever it comes."""
    sys.unraisablehook = _pass_on
    signal.signal(signal.SIGINT, _interrupt)


def was_interrupted() -> bool:
    """Whether an interrupt came: libraries turn it into errors of their own, of imports say.

    Examples
    --------
    >>> from massgraph.cli.interrupts import was_interrupted
    >>> was_interrupted()
    False
    """
    return _seen


def _interrupt(_number: int, _frame: object) -> NoReturn:
    global _seen  # noqa: PLW0603  a process is interrupted or it is not
    _seen = True
    raise KeyboardInterrupt


def _pass_on(unraisable: Any) -> None:
    """Interrupt again where an interrupt came within a finalizer, which can raise nothing."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    else:
        sys.__unraisablehook__(unraisable)


def _say(line: bytes) -> None:
    try:
        os.write(2, line)
    except OSError:  # nobody listens any more
        return
