"""``massgraph explain``: which ions and families decide, as tables and pictures."""

from __future__ import annotations

import argparse
import time

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.commands.predict import segment
from massgraph.cli.options import TABLES, add_inputs, add_min_coverage, add_model, add_output
from massgraph.cli.outputs import check_output, summarize

__all__ = ["EXPLAIN"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_inputs(parser)
    add_output(parser)
    add_min_coverage(parser)


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.results import write_explanation

    started = time.monotonic()
    check_output(arguments)
    model = mg.load(arguments.model)
    if isinstance(model, mg.SpatialRegions):
        msg = (
            f"{arguments.model} holds regions that were found without labels: massgraph predict "
            "writes which molecules define them"
        )
        raise InputError(msg)
    segmentation = segment(model, arguments)
    write_explanation(segmentation, arguments.out, overwrite=arguments.overwrite)
    return summarize(arguments, segmentation, started)


EXPLAIN = Command(
    name="explain",
    help="Write which ions and families decide, as tables and pictures.",
    writes=f"writes into DIR, all or nothing:\n  {TABLES}, ions_by_run.csv\n  figures/",
    add_arguments=_add_arguments,
    run=_run,
    examples=("explain results/model run.imzML --out why/",),
)
