"""``massgraph predict``: classes or regions of new pixels from a fitted model, with reasons."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.inputs import inputs
from massgraph.cli.options import (
    BLOCKWISE,
    RESULTS,
    add_inputs,
    add_min_coverage,
    add_model,
    add_output,
)
from massgraph.cli.outputs import check_output, summarize, summarize_regions, title_of

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier
    from massgraph.regions import SpatialRegions
    from massgraph.segmentation import Segmentation

__all__ = ["PREDICT", "segment"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_inputs(parser)
    add_output(parser)
    add_min_coverage(parser)


def segment(model: RGCNClassifier | SpatialRegions, arguments: argparse.Namespace) -> Segmentation:
    """Segment and explain new pixels with a saved model of either kind, if of its polarity.

    Parameters
    ----------
    model
        What `massgraph.load` made of `model` of the arguments.
    arguments
        With `model`, and as `massgraph.cli.options.add_inputs` makes them.

    Raises
    ------
    InputError
        Where a file cannot be read, is of the other polarity, or holds a run that the model does
        not know.

    Examples
    --------
    >>> import argparse
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.cli.commands.predict import segment
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> try:
    ...     segment(clf, argparse.Namespace(model="results/model", input=[Path("run.csv")]))
    ... except mg.InputError as error:
    ...     print(error)
    run.csv: cannot be read (No such file or directory; known formats: imzML, h5ad)
    """
    from massgraph.data.sources import places

    with inputs(arguments) as spectra:
        # Ions of the other polarity are other ions: the answer would look sound and mean nothing.
        polarity = places(spectra).polarity
        if len({model.polarity_, polarity} - {None}) > 1:
            msg = (
                f"{arguments.input[0]} is of {polarity} polarity, but the model in "
                f"{arguments.model} was fitted to {model.polarity_} spectra"
            )
            raise InputError(msg)
        return model.segment(spectra, min_coverage=getattr(arguments, "min_coverage", None))


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.results import write_results

    started = time.monotonic()
    check_output(arguments)
    segmentation = segment(mg.load(arguments.model), arguments)
    title = title_of(arguments)
    write_results(segmentation, arguments.out, title=title, overwrite=arguments.overwrite)
    summary = summarize if segmentation.findings is None else summarize_regions
    return summary(arguments, segmentation, started)


PREDICT = Command(
    name="predict",
    help="Segment and explain new pixels with a fitted model; write a results folder.",
    writes=f"{RESULTS}\n\nWith a model of segment, the files that segment writes.\n\n{BLOCKWISE}",
    add_arguments=_add_arguments,
    run=_run,
    examples=("predict results/model other.imzML --out other/",),
)
