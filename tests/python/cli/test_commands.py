"""The table of commands."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cli_runs
from cli_runs import Run
from massgraph.cli import commands, program
from massgraph.cli.command import Command
from massgraph.cli.commands import COMMANDS
from massgraph.io.formats import known_formats

run = cli_runs.run


def test_each_file_of_commands_is_in_the_table() -> None:
    folder = Path(str(commands.__file__)).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {one.name for one in COMMANDS} == files
    assert len(COMMANDS) == len(files)


def test_examples_in_the_help_are_words_that_are_understood() -> None:
    parser = program._parser()
    for command in COMMANDS:
        for line in command.examples:
            assert parser.parse_args(line.split()).command is command


def test_adding_a_command_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(arguments: argparse.Namespace) -> dict[str, Any]:
        return {"letters": len(arguments.word)}

    new = Command(
        name="count",
        help="Count letters.",
        writes="writes no files",
        add_arguments=lambda parser: parser.add_argument("word"),
        run=count,
        examples=("count tissue",),
    )
    monkeypatch.setattr(program, "COMMANDS", (*COMMANDS, new))
    assert run("count", "tissue").out == "letters  6\n"
    assert run("count", "tissue", "--json").summary == {"letters": 6}
    assert "  massgraph count tissue\n" in program._parser().format_help()


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    """So that --help and wrong words are answered at once."""
    code = (
        "import sys\n"
        "from massgraph.cli import main\n"
        "try:\n    main(['fit', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'pandas', 'torch', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_program_knows_no_format_by_its_ending() -> None:
    """Which file is of which format is asked of the table alone."""
    for path in Path(str(program.__file__)).parent.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        inside = [node for one in tree if isinstance(one, ast.Compare) for node in ast.walk(one)]
        texts = {str(node.value).lower() for node in inside if isinstance(node, ast.Constant)}
        assert not texts & {suffix for one in known_formats() for suffix in one.suffixes}, path
