"""``massgraph demo``: the whole way on a simulated tissue."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import massgraph as mg
from massgraph._util.files import atomic_directory
from massgraph.cli.command import Command, Summary
from massgraph.cli.options import MODEL, RESULTS, add_output, seed
from massgraph.cli.outputs import check_output, deletion, summarize_fit, summarize_regions

if TYPE_CHECKING:
    from massgraph.simulation.simulate import Simulation

__all__ = ["DEMO"]

MOST_REGIONS = 8  # there are four; fewer maps than by default are found sooner
REGIONS = "  regions/               the same of regions that are found without labels"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, default="demo")
    parser.add_argument("--seed", type=seed, default=0, help="of simulation and training (0)")


def _run(arguments: argparse.Namespace) -> Summary:
    started = time.monotonic()
    check_output(arguments)
    simulation = mg.simulate("demo", random_state=arguments.seed)
    # The folder appears when both are in it.
    with atomic_directory(arguments.out, overwrite=arguments.overwrite) as folder:
        with_labels = _with_labels(arguments, simulation, folder, started)
        without = _without_labels(arguments, simulation, folder / "regions", started)
    del with_labels["seconds"]
    return {**with_labels, **without}


def _with_labels(
    arguments: argparse.Namespace, simulation: Simulation, folder: Path, started: float
) -> Summary:
    """Learn from two runs and predict the third."""
    from massgraph.explain.faithfulness import precision_at_k
    from massgraph.report.results import write_results
    from massgraph.simulation.simulate import OFF_TISSUE

    # Glass has no class; with it the report would show a frame of guesses.
    tissue = simulation.truth != OFF_TISSUE
    spectra, labels = simulation.spectra[tissue], simulation.labels[tissue]
    # The last run plays the new tissue: its labels are compared with, and not learnt from.
    known = labels.copy()
    known[spectra.run == spectra.run_names[-1]] = None
    classifier = mg.RGCNClassifier(random_state=arguments.seed).fit(spectra, known)
    segmentation = classifier.segment(spectra, labels)
    curve = deletion(classifier, spectra, segmentation)
    write_results(segmentation, folder, title="Simulated tissue", model=classifier, deletion=curve)
    summary = summarize_fit(arguments, classifier, segmentation, started)
    families = simulation.families
    planted = families.loc[families["discriminates"] != "", "mz"]
    if segmentation.explanation is not None:
        precision = precision_at_k(segmentation.explanation, planted, 5)
        summary["planted_among_top_5_families"] = precision
    return summary


def _without_labels(
    arguments: argparse.Namespace, simulation: Simulation, folder: Path, started: float
) -> Summary:
    """Find the regions of the same pixels; the truth is compared with afterwards."""
    from massgraph.report.results import write_results

    spectra = simulation.spectra
    regions = mg.SpatialRegions(max_regions=MOST_REGIONS, random_state=arguments.seed)
    found = regions.fit(spectra).segment(spectra, simulation.truth)
    write_results(found, folder, title="Simulated tissue without labels", model=regions)
    unlabelled = summarize_regions(arguments, found, started)
    return {
        "regions_without_labels": unlabelled["regions"],
        "regions_agree_with_the_truth": unlabelled["agreement_with_labels"],
        "seconds": unlabelled["seconds"],
    }


DEMO = Command(
    name="demo",
    help="Simulate a tissue, segment it with and without labels, and write a report of each.",
    writes=f"{RESULTS}\n{MODEL}\n{REGIONS}",
    add_arguments=_add_arguments,
    run=_run,
    examples=("demo --out demo/",),
)
