"""``massgraph validate``: what is in a file, and whether it can be read to its end."""

from __future__ import annotations

import argparse
from pathlib import Path

from massgraph.cli.command import Command, Summary
from massgraph.cli.options import files
from massgraph.io.formats import find_format

__all__ = ["VALIDATE"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help=f"{files()} file")


def _run(arguments: argparse.Namespace) -> Summary:
    return find_format(arguments.input).check(arguments.input)


VALIDATE = Command(
    name="validate",
    help=f"Read a whole {files()} file, check it, and say what is in it.",
    writes="writes no files",
    add_arguments=_add_arguments,
    run=_run,
    examples=("validate run.imzML",),
)
