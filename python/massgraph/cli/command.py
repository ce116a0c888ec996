"""What a command of the command line is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Command", "Summary"]

Summary = dict[str, Any]
"""What a command prints at its end: names and values that JSON can hold."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command: one file in `massgraph.cli.commands`, and one line in its table.

    Parameters
    ----------
    name
        The word that calls it.
    help
        What it does, in a sentence.
    writes
        What it writes and where, for the end of its help.
    add_arguments
        Adds its arguments to a parser; ``--json`` and ``--help`` are there already.
    run
        Does it and sums up. Whatever takes time to import is imported there, so that ``--help``
        and wrong words are answered at once. What a user can mend is raised as `InputError`; all
        that is written is written there, and nothing is printed.
    examples
        Lines for the help of the whole program, without its name.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.command import Command
    >>> count = Command(
    ...     name="count",
    ...     help="Count letters.",
    ...     writes="writes no files",
    ...     add_arguments=lambda parser: parser.add_argument("word"),
    ...     run=lambda arguments: {"letters": len(arguments.word)},
    ... )
    >>> parser = argparse.ArgumentParser()
    >>> _ = count.add_arguments(parser)
    >>> count.run(parser.parse_args(["tissue"]))
    {'letters': 6}
    """

    name: str
    help: str
    writes: str
    add_arguments: Callable[[argparse.ArgumentParser], object]
    run: Callable[[argparse.Namespace], Summary]
    examples: tuple[str, ...] = ()
