"""The command line."""

from __future__ import annotations

# Whatever is imported here is imported before Ctrl-C is looked after: as little as can be.
from massgraph.cli.interrupts import INTERRUPTED, clear_away, end_at_once, is_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The words behind ``massgraph``; default: those of this process, which then ends at once
        where it is interrupted before or after the command.

    Returns
    -------
    int
        The exit code: 0 (done), 1 (failed), 2 (bad input) or 130 (interrupted).

    Raises
    ------
    SystemExit
        Of code 2 for wrong words, and of code 0 for ``--help`` and ``--version``.

    Examples
    --------
    >>> from massgraph.cli import main
    >>> try:
    ...     main(["--version"])
    ... except SystemExit as error:
    ...     print("exit code", error.code)
    massgraph 0.1.0
    exit code 0
    """
    if argv is not None or not is_program():
        from massgraph.cli.program import run

        return run(argv)
    end_at_once()
    import logging

    from massgraph.cli.program import run

    # Where it has no place for its cache, say: nothing that is of the results.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    clear_away()
    try:
        return run(argv)
    except KeyboardInterrupt:  # between two steps of the program itself
        return INTERRUPTED
    finally:
        end_at_once(line=b"")  # the command has said how it went
