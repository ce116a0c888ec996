"""``massgraph demo``: the whole way on a simulated tissue, with labels and without."""

from __future__ import annotations

import argparse
import time

import massgraph as mg
from massgraph.cli.command import Command, Summary
from massgraph.cli.options import MODEL, RESULTS, add_output, seed
from massgraph.cli.outputs import check_output, deletion, summarize_fit, summarize_regions

__all__ = ["DEMO"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, default="demo")
    parser.add_argument("--seed", type=seed, default=0, help="of simulation and training (0)")


def _run(arguments: argparse.Namespace) -> Summary:
    from massgraph.explain.faithfulness import precision_at_k
    from massgraph.report.results import write_results
    from massgraph.simulation.simulate import OFF_TISSUE

    started = time.monotonic()
    check_output(arguments)
    simulation = mg.simulate("demo", random_state=arguments.seed)
    # Glass has no class; with it the report would show a frame of guesses.
    tissue = simulation.truth != OFF_TISSUE
    spectra, labels = simulation.spectra[tissue], simulation.labels[tissue]
    # The last run plays the new tissue: its labels are compared with, and not learnt from.
    known = labels.copy()
    known[spectra.run == spectra.run_names[-1]] = None
    classifier = mg.RGCNClassifier(random_state=arguments.seed).fit(spectra, known)
    segmentation = classifier.segment(spectra, labels)
    curve = deletion(classifier, spectra, segmentation)
    # With glass and without labels: the same tissue as it comes from the instrument.
    regions = mg.SpatialRegions(random_state=arguments.seed).fit(simulation.spectra)
    found = regions.segment(simulation.spectra, simulation.truth)
    write_results(
        segmentation,
        arguments.out,
        title="Simulated tissue",
        model=classifier,
        deletion=curve,
        overwrite=arguments.overwrite,
    )
    write_results(
        found,
        arguments.out / "regions",
        title="Simulated tissue, without labels",
        model=regions,
    )
    summary = summarize_fit(arguments, classifier, segmentation, started)
    families = simulation.families
    planted = families.loc[families["discriminates"] != "", "mz"]
    if segmentation.explanation is not None:
        precision = precision_at_k(segmentation.explanation, planted, 5)
        summary["planted_among_top_5_families"] = precision
    unlabelled = summarize_regions(arguments, found, started)
    summary["regions_without_labels"] = unlabelled["regions"]
    summary["regions_agree_with_the_truth"] = unlabelled["agreement_with_labels"]
    del summary["seconds"]
    return {**summary, "seconds": unlabelled["seconds"]}


DEMO = Command(
    name="demo",
    help="Simulate three runs of a tissue, learn from two, predict the third, write the report; "
    "then find the regions without labels.",
    writes=f"{RESULTS}\n{MODEL}\n  regions/               what segment writes of the same runs",
    add_arguments=_add_arguments,
    run=_run,
    examples=("demo --out demo/",),
)
