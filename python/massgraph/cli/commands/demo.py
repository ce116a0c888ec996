"""``massgraph demo``: the whole way on a simulated tissue."""

from __future__ import annotations

import argparse
import time

import massgraph as mg
from massgraph.cli.command import Command, Summary
from massgraph.cli.options import MODEL, RESULTS, add_output, seed
from massgraph.cli.outputs import check_output, deletion, summarize_fit

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
    write_results(
        segmentation,
        arguments.out,
        title="Simulated tissue",
        model=classifier,
        deletion=curve,
        overwrite=arguments.overwrite,
    )
    summary = summarize_fit(arguments, classifier, segmentation, started)
    families = simulation.families
    planted = families.loc[families["discriminates"] != "", "mz"]
    if segmentation.explanation is not None:
        precision = precision_at_k(segmentation.explanation, planted, 5)
        summary["planted_among_top_5_families"] = precision
    return summary


DEMO = Command(
    name="demo",
    help="Simulate three runs of a tissue, learn from two, predict the third, write the report.",
    writes=f"{RESULTS}\n{MODEL}",
    add_arguments=_add_arguments,
    run=_run,
    examples=("demo --out demo/",),
)
