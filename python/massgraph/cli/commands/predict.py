"""``massgraph predict``: classes of new pixels from a fitted model, with reasons."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.inputs import inputs
from massgraph.cli.options import BLOCKWISE, RESULTS, add_inputs, add_model, add_output
from massgraph.cli.outputs import check_output, summarize, title_of

if TYPE_CHECKING:
    from massgraph.segmentation import Segmentation

__all__ = ["PREDICT", "segment"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_inputs(parser)
    add_output(parser)


def segment(arguments: argparse.Namespace) -> Segmentation:
    """Segment and explain new pixels with a saved model, if they are of its polarity.

    Parameters
    ----------
    arguments
        With `model`, and as `massgraph.cli.options.add_inputs` makes them.

    Raises
    ------
    FileNotFoundError
        Where there is no model.
    InputError
        Where the model or a file cannot be read, or their polarities differ.

    Examples
    --------
    >>> import argparse
    >>> from pathlib import Path
    >>> from massgraph.cli.commands.predict import segment
    >>> try:
    ...     segment(argparse.Namespace(model=Path("no") / "model", input=[Path("run.imzML")]))
    ... except FileNotFoundError as error:
    ...     print(error)
    no/model: there is no such model folder
    """
    from massgraph.data.sources import places

    classifier = mg.load(arguments.model)
    with inputs(arguments) as spectra:
        # Ions of the other polarity are other ions: the answer would look sound and mean nothing.
        polarity = places(spectra).polarity
        if len({classifier.polarity_, polarity} - {None}) > 1:
            msg = (
                f"{arguments.input[0]} is of {polarity} polarity, but the model in "
                f"{arguments.model} was fitted to {classifier.polarity_} spectra"
            )
            raise InputError(msg)
        return classifier.segment(spectra)


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.results import write_results

    started = time.monotonic()
    check_output(arguments)
    segmentation = segment(arguments)
    title = title_of(arguments)
    write_results(segmentation, arguments.out, title=title, overwrite=arguments.overwrite)
    return summarize(arguments, segmentation, started)


PREDICT = Command(
    name="predict",
    help="Segment and explain new pixels with a fitted model; write a results folder.",
    writes=f"{RESULTS}\n\n{BLOCKWISE}",
    add_arguments=_add_arguments,
    run=_run,
    examples=("predict results/model other.imzML --out other/",),
)
