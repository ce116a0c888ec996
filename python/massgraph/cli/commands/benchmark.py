"""``massgraph benchmark``: how fast graphs and networks are on this machine."""

from __future__ import annotations

import argparse

from massgraph.cli.command import Command, Summary
from massgraph.cli.options import add_output
from massgraph.cli.outputs import check_output

__all__ = ["BENCHMARK"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, optional=True)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, under a minute")


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.evidence.benchmark import Plan, benchmark, summary, write

    # A user who looks how fast this is has asked for no folder.
    if arguments.out is not None:
        check_output(arguments)
    result = benchmark(Plan.quick() if arguments.quick else Plan())
    if arguments.out is not None:
        write(result, arguments.out, overwrite=arguments.overwrite)
    # A machine gets every measurement, a person the gist.
    return result if arguments.json else summary(result)


BENCHMARK = Command(
    name="benchmark",
    help="Measure how fast graphs and networks are here, beside PyTorch Geometric and numpy.",
    writes="writes into DIR, if given, all or nothing:\n  benchmark.json, cost.png, cost.pdf",
    add_arguments=_add_arguments,
    run=_run,
)
