"""``massgraph validate``: what is in a file, and whether it can be read to its end."""

from __future__ import annotations

import argparse
from pathlib import Path

from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.inputs import choices, columns
from massgraph.cli.options import add_choices, add_columns, files
from massgraph.io.formats import find_format

__all__ = ["VALIDATE"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help=f"{files()} file")
    add_choices(parser)
    add_columns(parser)


def _run(arguments: argparse.Namespace) -> Summary:
    path, format_ = arguments.input, find_format(arguments.input)
    one = argparse.Namespace(**{**vars(arguments), "input": [path]})
    options = {**choices(one), **columns(one)}
    if "polarity" in options and "polarity" not in format_.options:
        msg = f"{path}: --polarity chooses nothing in {format_.name} files"
        raise InputError(msg)
    return format_.check(path, **options)


VALIDATE = Command(
    name="validate",
    help=f"Read a whole {files()} file, check it, and say what is in it.",
    writes="writes no files",
    add_arguments=_add_arguments,
    run=_run,
    examples=("validate run.imzML",),
)
