"""The program ``massgraph``: from words to a command, and from its summary to what is printed."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

import massgraph as mg
from massgraph._util.advice import standing_in
from massgraph.cli.command import Command, Summary
from massgraph.cli.commands import COMMANDS
from massgraph.cli.faults import FAILED, report, say
from massgraph.cli.interrupts import INTERRUPTED, was_interrupted
from massgraph.cli.options import EXIT_CODES

__all__ = ["run"]

LONG = 40  # letters: what is longer has a line of its own
LABELS = """\
labels.csv has the columns x, y, label and, for several runs, run (the name of the file). Pixels
that are not in it, or whose label is empty, NA or the like, are unlabelled: they are predicted, and
never learnt from. GeoJSON of QuPath is read, too, with --label-pixel-size."""


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command; `massgraph.cli.main` is this, and heeds Ctrl-C before and after it, too.

    Examples
    --------
    >>> from massgraph.cli.program import run
    >>> try:
    ...     run(["--version"])
    ... except SystemExit as error:
    ...     print("exit code", error.code)
    massgraph 0.1.0
    exit code 0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    arguments.words = words
    return _run(arguments)


class _Parser(argparse.ArgumentParser):
    """argparse's, which takes no notice where its help cannot be printed."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is None or file is not sys.stdout:
            super()._print_message(message, file)
            return
        try:
            _print(message, end="")
        except OSError as error:
            say(f"nothing can be printed: {error.strerror or error}")
            raise SystemExit(FAILED) from error


def _parser() -> argparse.ArgumentParser:
    """Make the parser from the table of commands."""
    examples = "\n".join(f"  massgraph {line}" for one in COMMANDS for line in one.examples)
    parser = _Parser(
        prog="massgraph",
        description="Find the regions of mass spectrometry images, by labels or without, and see "
        "which molecules and families of ions tell them apart.",
        epilog=f"examples:\n{examples}\n\n{LABELS}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"massgraph {mg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    # `--json` and the exit codes are promised for every command, so they are not up to it.
    for command in COMMANDS:
        _add(commands, command)
    return parser


def _add(commands: Any, command: Command) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        command.name,
        help=command.help,
        description=command.help,
        epilog=f"{command.writes}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    command.add_arguments(parser)


def _run(arguments: argparse.Namespace) -> int:
    command: Command = arguments.command
    with standing_in("cli"), warnings.catch_warnings():
        # Those for users are shown; warnings of libraries keep to Python's rules.
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            summary = command.run(arguments)
            text = json.dumps(_earned(summary), indent=2) if arguments.json else _as_text(summary)
            _print_summary(text)
        # Files appear whole or not at all, so an interrupt leaves nothing to clean up.
        except KeyboardInterrupt:
            return _interrupted(arguments)
        except Exception as error:
            if was_interrupted():
                return _interrupted(arguments)
            return report(error, arguments.words)
    return 0


def _interrupted(arguments: argparse.Namespace) -> int:
    say(f"interrupted, {_left(arguments)}")
    return INTERRUPTED


def _show_warning(message: Any, *_: Any) -> None:
    say(f"warning: {message}")


def _left(arguments: argparse.Namespace) -> str:
    """What an interrupted command leaves behind."""
    checkpoint = getattr(arguments, "checkpoint", None)
    if checkpoint is None or not checkpoint.is_dir():
        return "nothing was written"
    return f"no results were written; add --resume to go on from {checkpoint}"


# -------------------------------------------------------------------- printing


def _earned(value: Any) -> Any:
    """The value with four significant digits of each number: no scale of ours earns more."""
    if isinstance(value, dict):
        return {key: _earned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_earned(one) for one in value]
    if isinstance(value, float) and isfinite(value):
        return float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1)
    return value


def _as_text(summary: Summary) -> str:
    """The summary as aligned lines."""
    width = max(len(name) for name in summary)
    lines = []
    for name, value in summary.items():
        first, *more = _shown(value)
        lines.append(f"{name.replace('_', ' '):<{width}}  {first}")
        lines += [f"{'':<{width}}  {line}" for line in more]
    return "\n".join(lines)


def _shown(value: Any) -> list[str]:
    """A value on a line, or on several where it holds sentences."""
    if isinstance(value, dict):
        if _are_sentences(value.values()):
            wide = max(map(len, value))
            return [f"{key:<{wide}}  {one}" for key, one in value.items()]
        return [", ".join(f"{key} {_short(one)}" for key, one in value.items())]
    if isinstance(value, list):
        if _are_sentences(value):
            return value
        return ["; ".join(str(_short(one)) for one in value) or "none"]
    return [str(_short(value))]


def _are_sentences(values: Iterable[Any]) -> bool:
    texts = list(values)
    return any(isinstance(one, str) and len(one) > LONG for one in texts)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _print_summary(text: str) -> None:
    try:
        _print(text)
    except OSError as error:
        msg = f"all is done, but its summary cannot be printed: {error.strerror or error}"
        raise OSError(msg) from error


def _print(text: str, end: str = "\n") -> None:
    """Print on stdout; what its encoding lacks is written as an escape: the work is done."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end=end, flush=True)
    except BrokenPipeError:  # as in `massgraph validate run.imzML | head -0`
        _drop_stdout()
    except OSError:
        _drop_stdout()
        raise


def _drop_stdout() -> None:
    """Let the rest go nowhere: Python flushes again at its end, and complains there."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
