"""``massgraph fit``: from labelled pixels to a model and its results."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.command import Command, Summary
from massgraph.cli.groups import find_groups
from massgraph.cli.inputs import find_labels, inputs
from massgraph.cli.options import (
    BLOCKWISE,
    MODEL,
    RESULTS,
    add_groups,
    add_inputs,
    add_labels,
    add_output,
    seed,
)
from massgraph.cli.outputs import check_output, deletion, summarize_fit, title_of

__all__ = ["FIT"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    add_labels(parser)
    add_groups(parser)
    add_output(parser)
    _add_learning(parser)
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="write the state after each epoch there"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from --checkpoint, to the same end"
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="DIR", help="what evaluate wrote, for the report"
    )


def _add_learning(parser: argparse.ArgumentParser) -> None:
    """Add what decides the model."""
    parser.add_argument(
        "--preset", choices=("default", "published"), default="default", help="network and training"
    )
    parser.add_argument(
        "--effort",
        choices=("fast", "default", "thorough"),
        help="fast: branches in closed form; default: networks, too, where they pay; thorough: all",
    )
    parser.add_argument(
        "--no-run-gains",
        action="store_true",
        help="leave gains of molecules in new runs as they are",
    )
    parser.add_argument(
        "--tolerance", type=float, help="of mass differences (default: what the data show)"
    )
    parser.add_argument("--unit", choices=("ppm", "Da"), help="of the tolerance")
    parser.add_argument("--mz-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--max-peaks", type=int, help="most intense peaks kept per pixel")
    parser.add_argument("--epochs", type=int, help="most epochs of training")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--seed", type=seed, default=0, help="of weights, split and sampling (0)")


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.report.evaluation import read_evaluation
    from massgraph.report.results import write_results

    started = time.monotonic()
    # A fit takes minutes to hours: whatever would stop it at its end is looked at first.
    check_output(arguments)
    _check_device(arguments.device)
    evaluation = None if arguments.evaluation is None else read_evaluation(arguments.evaluation)
    classifier = mg.RGCNClassifier(
        preset=arguments.preset,
        effort=arguments.effort,
        run_gains=False if arguments.no_run_gains else None,
        tolerance=arguments.tolerance,
        tolerance_unit=arguments.unit,
        mz_range=arguments.mz_range,
        max_peaks=arguments.max_peaks,
        epochs=arguments.epochs,
        device=arguments.device,
        random_state=arguments.seed,
    )
    with inputs(arguments) as spectra:
        labels = find_labels(arguments, spectra)
        classifier.fit(
            spectra,
            labels,
            find_groups(arguments, spectra, labels),
            checkpoint=arguments.checkpoint,
            resume=arguments.resume,
        )
        # The pixels of the fit: what is not covered is said, and never refused.
        segmentation = classifier.segment(spectra, labels, min_coverage=0)
        # Within: the pixels of large files are still to be read.
        curve = deletion(classifier, spectra, segmentation)
    write_results(
        segmentation,
        arguments.out,
        title=title_of(arguments),
        model=classifier,
        deletion=curve,
        evaluation=evaluation,
        overwrite=arguments.overwrite,
    )
    return summarize_fit(arguments, classifier, segmentation, started)


def _check_device(name: str) -> None:
    """Say before anything is read, and in one line, what torch would say in a stack trace."""
    import torch

    try:
        device = torch.device("cpu" if name == "auto" else name)
    except RuntimeError as error:
        msg = f"--device {name!r} is none of auto, cpu, cuda"
        raise InputError(msg) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        msg = f"--device {name!r}: torch sees {torch.cuda.device_count()} GPUs, use auto or cpu"
        raise InputError(msg)
    try:
        # Some devices are known by name but hold no numbers, or are not there.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        msg = f"--device {name!r} cannot be used here, use auto, cpu or cuda"
        raise InputError(msg) from error


FIT = Command(
    name="fit",
    help="Learn from labelled pixels, segment all pixels, explain, and write a results folder.",
    writes=f"{RESULTS}\n{MODEL}\n\n{BLOCKWISE}",
    add_arguments=_add_arguments,
    run=_run,
    examples=(
        "fit run.imzML --labels labels.csv --out results/",
        "fit slide1.imzML slide2.imzML --labels labels.csv --out results/",
    ),
)
