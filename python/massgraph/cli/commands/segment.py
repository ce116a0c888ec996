"""``massgraph segment``: the regions of pixels without labels, and which molecules define them."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.inputs import find_reference, inputs
from massgraph.cli.options import (
    BLOCKWISE,
    MODEL,
    REGION_RESULTS,
    add_inputs,
    add_labels,
    add_output,
    at_least_one,
    number_of_regions,
    radius,
    seed,
)
from massgraph.cli.outputs import check_output, summarize_regions, title_of

if TYPE_CHECKING:
    from massgraph.data.sources import Pixels

__all__ = ["SEGMENT"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    add_output(parser)
    parser.add_argument(
        "--regions", type=number_of_regions, default="auto", metavar="N", help="how many (auto)"
    )
    parser.add_argument(
        "--max-regions",
        type=at_least_one,
        default=15,
        metavar="N",
        help="most that auto considers (15)",
    )
    parser.add_argument(
        "--features",
        choices=("molecules", "ions"),
        default="molecules",
        help="sums over the ions of a molecule, or each ion by itself (molecules)",
    )
    parser.add_argument(
        "--covariance",
        choices=("auto", "shared", "scaled", "own"),
        default="auto",
        help="whether regions scatter alike, by more or less each, or each in its own way "
        "(auto: what the data show)",
    )
    parser.add_argument(
        "--radius", type=radius, default=1.0, help="reach of the neighbourhood in pixels (1)"
    )
    parser.add_argument(
        "--no-neighbours", action="store_true", help="take each pixel by itself, wherever it is"
    )
    parser.add_argument(
        "--run-offsets",
        action="store_true",
        help="take the mean of each run off: for similar tissue that was measured differently",
    )
    add_labels(parser, "to compare the regions with; nothing is learnt from them")
    parser.add_argument("--seed", type=seed, default=0, help="of the search (0)")


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.results import write_results

    started = time.monotonic()
    # A search takes minutes: whatever would stop it at its end is looked at first.
    check_output(arguments)
    found = mg.SpatialRegions(
        arguments.regions,
        arguments.max_regions,
        features=arguments.features,
        covariance=arguments.covariance,
        radius=arguments.radius,
        spatial=not arguments.no_neighbours,
        run_offsets=arguments.run_offsets,
        random_state=arguments.seed,
    )
    with inputs(arguments) as spectra:
        _check_places(arguments, spectra)
        reference = find_reference(arguments, spectra)
        found.fit(spectra)
        # The pixels of the fit: what is not covered is said, and never refused.
        segmentation = found.segment(spectra, reference, min_coverage=0)
    write_results(
        segmentation,
        arguments.out,
        title=title_of(arguments),
        model=found,
        overwrite=arguments.overwrite,
    )
    return summarize_regions(arguments, segmentation, started)


def _check_places(arguments: argparse.Namespace, spectra: Pixels) -> None:
    """Say before the search, and in words of this program, that there are no places."""
    from massgraph.data.sources import places

    if not arguments.no_neighbours and places(spectra).coordinates is None:
        msg = (
            f"{arguments.input[0]}: the pixels have no coordinates: add --no-neighbours to find "
            "regions without them"
        )
        raise InputError(msg)


SEGMENT = Command(
    name="segment",
    help="Find regions without labels, and which molecules define them; write a results folder.",
    writes=f"{REGION_RESULTS}\n{MODEL}\n\n{BLOCKWISE}",
    add_arguments=_add_arguments,
    run=_run,
    examples=(
        "segment run.imzML --out regions/",
        "segment slide1.imzML slide2.imzML --regions 6 --out regions/",
    ),
)
