"""The command line."""

from massgraph.cli.program import main

__all__ = ["main"]
