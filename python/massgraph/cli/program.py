"""The command line: ``massgraph demo | validate | fit | predict | explain | evaluate | ...``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph.cli.inputs import find_labels, inputs, places, read_all, read_file

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.classifier import RGCNClassifier
    from massgraph.data.sources import JoinedSpectra
    from massgraph.data.spectra import Spectra
    from massgraph.evidence.evaluate import Evaluation
    from massgraph.segmentation import Segmentation

__all__ = ["main"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
DELETION_PIXELS = 500  # a sample is enough for the deletion curve, which predicts many times

EXIT_CODES = "exit codes: 0 done, 1 failed, 2 bad input (one line on stderr says where)"
TABLES = "ions.csv, families.csv, family_edges.csv"
RESULTS = f"""writes into DIR, all or nothing:
  report.html            everything on one page
  segmentation.h5ad      classes, probabilities and activations, for AnnData
  {TABLES}
  figures/               each picture as PNG and PDF"""
BLOCKWISE = """imzML files of more than 128 MB (ibd) are read block by block, in little memory:
their segmentation.h5ad holds no matrices, and there are no images of single ions."""
MODEL = "  model/                 the fitted model, for predict and explain"

EXAMPLES = f"""
examples:
  massgraph demo --out demo/
  massgraph validate run.imzML
  massgraph fit run.imzML --labels labels.csv --out results/
  massgraph fit slide1.imzML slide2.imzML --labels labels.csv --out results/
  massgraph predict results/model other.imzML --out other/
  massgraph explain results/model run.imzML --out why/
  massgraph evaluate run.imzML --labels labels.csv --out evaluation/ --quick

labels.csv has the columns x, y, label and, for several runs, run (the file name without its
ending). Pixels that are not in it are unlabelled: they are predicted, and never learnt from.

{EXIT_CODES}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (failed) or 2 (bad input)."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    arguments.words = words
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            summary = arguments.command(arguments)
        except (ValueError, TypeError, FileNotFoundError, FileExistsError, IsADirectoryError) as e:
            return _fail(e, BAD_INPUT)
        except (OSError, FloatingPointError, MemoryError, ImportError, RuntimeError) as e:
            return _fail(e, FAILED)
        except KeyboardInterrupt:
            print(f"massgraph: interrupted, {_left(arguments)}", file=sys.stderr)
            return INTERRUPTED
    print(json.dumps(summary, indent=2) if arguments.json else _as_text(summary))
    return 0


def _left(arguments: argparse.Namespace) -> str:
    """What an interrupted command leaves behind."""
    checkpoint = getattr(arguments, "checkpoint", None)
    if checkpoint is None or not checkpoint.is_dir():
        return "nothing was written"
    return f"no results were written; add --resume to go on from {checkpoint}"


def _show_warning(message: Any, *_: Any) -> None:
    print(f"massgraph: warning: {message}", file=sys.stderr)


def _fail(error: BaseException, code: int) -> int:
    """One line on stderr; the stack only for those who ask for it."""
    if os.environ.get("MASSGRAPH_TRACEBACK"):
        raise error
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"massgraph: {text}", file=sys.stderr)
    return code


def _as_text(summary: dict[str, Any]) -> str:
    """The summary as aligned lines."""
    width = max(len(name) for name in summary)
    lines = []
    for name, value in summary.items():
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{key} {_short(one)}" for key, one in value.items())
        elif isinstance(value, list):
            shown = "; ".join(str(_short(one)) for one in value) or "none"
        lines.append(f"{name.replace('_', ' '):<{width}}  {_short(shown)}")
    return "\n".join(lines)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


# -------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="massgraph",
        description="Classify the pixels of mass spectrometry images and see which families of "
        "ions decided.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"massgraph {mg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_validate(commands)
    _add_fit(commands)
    _add_predict(commands)
    _add_explain(commands)
    _add_evaluate(commands)
    _add_benchmark(commands)
    return parser


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], dict[str, Any]],
    text: str,
    writes: str,
) -> argparse.ArgumentParser:
    """A subcommand with what all have in common."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"{writes}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    return parser


def _add_demo(commands: Any) -> None:
    text = "Simulate three runs of a tissue, learn from two, predict the third, write the report."
    parser = _command(commands, "demo", _demo, text, f"{RESULTS}\n{MODEL}")
    _add_output(parser, default="demo")
    parser.add_argument("--seed", type=_seed, default=0, help="of simulation and training (0)")


def _add_validate(commands: Any) -> None:
    text = "Read a whole imzML or h5ad file, check it, and say what is in it."
    parser = _command(commands, "validate", _validate, text, "writes no files")
    parser.add_argument("input", type=Path, help="imzML or h5ad file")


def _add_fit(commands: Any) -> None:
    text = "Learn from labelled pixels, segment all pixels, explain, and write a results folder."
    parser = _command(commands, "fit", _fit, text, f"{RESULTS}\n{MODEL}\n\n{BLOCKWISE}")
    _add_inputs(parser, nargs="+")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", type=Path, help="CSV file: x, y, label[, run]")
    labels.add_argument("--labels-column", metavar="NAME", help="column of obs in an h5ad file")
    _add_output(parser)
    parser.add_argument(
        "--preset", choices=("default", "published"), default="default", help="network and training"
    )
    parser.add_argument(
        "--tolerance", type=float, help="of mass differences (default: what the data show)"
    )
    parser.add_argument("--unit", choices=("ppm", "Da"), help="of the tolerance")
    parser.add_argument("--mz-range", type=float, nargs=2, metavar=("LOW", "HIGH"))
    parser.add_argument("--max-peaks", type=int, help="most intense peaks kept per pixel")
    parser.add_argument("--epochs", type=int, help="most epochs of training")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--seed", type=_seed, default=0, help="of weights, split and sampling (0)")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="write the state after each epoch there"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from --checkpoint, to the same end"
    )
    parser.add_argument(
        "--evaluation", type=Path, metavar="DIR", help="what evaluate wrote, for the report"
    )


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        msg = f"{seed} is below 0"
        raise argparse.ArgumentTypeError(msg)
    return seed


def _add_predict(commands: Any) -> None:
    text = "Segment and explain new pixels with a fitted model; write a results folder."
    parser = _command(commands, "predict", _predict, text, f"{RESULTS}\n\n{BLOCKWISE}")
    parser.add_argument("model", type=Path, help="the folder results/model of a fit")
    _add_inputs(parser, nargs="+")
    _add_output(parser)


def _add_explain(commands: Any) -> None:
    text = "Write which ions and families decide, as tables and pictures."
    writes = f"writes into DIR, all or nothing:\n  {TABLES}, ions_by_run.csv\n  figures/"
    parser = _command(commands, "explain", _explain, text, writes)
    parser.add_argument("model", type=Path, help="the folder results/model of a fit")
    _add_inputs(parser, nargs="+")
    _add_output(parser)


def _add_evaluate(commands: Any) -> None:
    text = "Score models side by side on spectra with faults, by folds of whole groups."
    writes = """writes into DIR, all or nothing:
  evaluation.html        everything on one page
  tables.md              all scores, models by faults, with their spread
  scores.csv, tests.csv, confusion.csv, contributions.csv, costs.csv, evaluation.json
  figures/               curves over the strength of each fault, as PNG and PDF"""
    parser = _command(commands, "evaluate", _evaluate, text, writes)
    _add_inputs(parser, nargs="*")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", type=Path, help="CSV file: x, y, label[, run]")
    labels.add_argument("--labels-column", metavar="NAME", help="column of obs in an h5ad file")
    labels.add_argument(
        "--synthetic",
        choices=("tissue", "family"),
        help="simulated spectra in place of files: tissue of three classes, or two classes that "
        "differ in the sum over one family of ions",
    )
    _add_output(parser)
    parser.add_argument("--quick", action="store_true", help="a look: few models, faults, pixels")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (5)")
    parser.add_argument("--seed", type=_seed, default=1000, help="the first of the seeds (1000)")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation (5)")
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="massgraph and baselines (default: all)"
    )


def _add_benchmark(commands: Any) -> None:
    text = "Measure how fast graphs and networks are here, beside PyTorch Geometric and numpy."
    writes = "writes into DIR, all or nothing:\n  benchmark.json, cost.png, cost.pdf"
    parser = _command(commands, "benchmark", _benchmark, text, writes)
    _add_output(parser, default="benchmark")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, under a minute")


def _add_inputs(parser: argparse.ArgumentParser, nargs: str) -> None:
    parser.add_argument("input", type=Path, nargs=nargs, help="imzML or h5ad file(s), one per run")
    parser.add_argument(
        "--profile",
        choices=("refuse", "centroid"),
        default="refuse",
        help="what to do with profile spectra (refuse)",
    )
    parser.add_argument(
        "--ignore-uuid",
        action="store_true",
        help="read imzML whose ibd carries another UUID, once you are sure that it belongs to it",
    )
    parser.add_argument(
        "--polarity", choices=("positive", "negative"), help="where the file does not say"
    )


def _add_output(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        required=default is None,
        default=default,
        metavar="DIR",
        help="the folder to make" + (f" ({default})" if default else ""),
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing folder of results"
    )


# -------------------------------------------------------------------- commands


def _demo(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.explain.faithfulness import precision_at_k
    from massgraph.simulation.simulate import OFF_TISSUE

    started = time.monotonic()
    _check_output(arguments)
    simulation = mg.simulate("demo", random_state=arguments.seed)
    tissue = simulation.truth != OFF_TISSUE
    spectra, labels = simulation.spectra[tissue], simulation.labels[tissue]
    known = labels.copy()
    known[spectra.run == spectra.run_names[-1]] = None
    classifier = mg.RGCNClassifier(random_state=arguments.seed).fit(spectra, known)
    segmentation = classifier.segment(spectra, labels)
    curve = _deletion(classifier, spectra, segmentation)
    summary = _finish(arguments, classifier, segmentation, "Simulated tissue", curve, started)
    families = simulation.families
    planted = families.loc[families["discriminates"] != "", "mz"]
    if segmentation.explanation is not None:
        precision = precision_at_k(segmentation.explanation, planted, 5)
        summary["planted_among_top_5_families"] = precision
    return summary


def _validate(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from massgraph.io.imzml import validate_imzml

    if arguments.input.suffix.lower() == ".imzml":
        return validate_imzml(arguments.input)
    spectra = read_file(arguments.input)
    counts = spectra.peak_counts
    return {
        "file": str(arguments.input),
        "n_pixels": spectra.n_pixels,
        "runs": list(spectra.run_names),
        "polarity": spectra.polarity,
        "n_features": None if spectra.axis is None else len(spectra.axis),
        "peaks_per_pixel": [float(n) for n in np.quantile(counts, (0, 0.5, 1))]
        if counts.size
        else None,
        "mz_range": [float(spectra.mz.min()), float(spectra.mz.max())] if spectra.n_peaks else None,
        "empty_pixels": int((counts == 0).sum()),
    }


def _fit(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.report.evaluation import read_evaluation

    started = time.monotonic()
    _check_output(arguments)
    _check_device(arguments.device)
    evaluation = None if arguments.evaluation is None else read_evaluation(arguments.evaluation)
    classifier = mg.RGCNClassifier(
        preset=arguments.preset,
        tolerance=arguments.tolerance,
        tolerance_unit=arguments.unit,
        mz_range=arguments.mz_range,
        max_peaks=arguments.max_peaks,
        epochs=arguments.epochs,
        device=arguments.device,
        random_state=arguments.seed,
    )
    with inputs(arguments) as spectra:
        labels = find_labels(arguments, places(spectra))
        classifier.fit(spectra, labels, checkpoint=arguments.checkpoint, resume=arguments.resume)
        segmentation = classifier.segment(spectra, labels)
        curve = _deletion(classifier, spectra, segmentation)
    title = _title(arguments)
    return _finish(arguments, classifier, segmentation, title, curve, started, evaluation)


def _predict(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.report.results import write_results

    started = time.monotonic()
    _check_output(arguments)
    segmentation = _segment(arguments)
    title = _title(arguments)
    write_results(segmentation, arguments.out, title=title, overwrite=arguments.overwrite)
    return _summary(arguments, segmentation, started)


def _explain(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.report.results import write_explanation

    started = time.monotonic()
    _check_output(arguments)
    segmentation = _segment(arguments)
    write_explanation(segmentation, arguments.out, overwrite=arguments.overwrite)
    return _summary(arguments, segmentation, started)


def _evaluate(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.evidence import evaluate as ev
    from massgraph.report.evaluation import EVALUATION_NAMES, summary_lines, write_evaluation

    started = time.monotonic()
    _check_output(arguments, replaced=EVALUATION_NAMES)
    if bool(arguments.input) == bool(arguments.synthetic):
        msg = "evaluate needs input files with their labels, or --synthetic without any"
        raise InputError(msg)
    if arguments.seeds < 1 or arguments.folds < 2:
        msg = f"--seeds {arguments.seeds} must be 1 or more, --folds {arguments.folds} 2 or more"
        raise InputError(msg)
    seeds = range(arguments.seed, arguments.seed + (1 if arguments.quick else arguments.seeds))
    if arguments.synthetic == "tissue":
        shape = (9, 9) if arguments.quick else (12, 12)
        tasks = list(ev.synthetic_tasks(seeds, shape=shape))
    elif arguments.synthetic:
        tasks = list(ev.family_tasks(seeds))
    else:
        spectra = read_all(arguments)
        labels = find_labels(arguments, spectra)
        held_out = 1 if arguments.quick else None
        tasks = list(
            ev.split_tasks(spectra, labels, folds=arguments.folds, seeds=seeds, held_out=held_out)
        )
    if arguments.quick:
        tasks = [ev.thinned(task) for task in tasks]
    names = arguments.models or (ev.QUICK_MODELS if arguments.quick else ev.MODELS)
    evaluation = ev.evaluate(
        tasks,
        ev.quick_models(names) if arguments.quick else names,
        faults=ev.QUICK_FAULTS if arguments.quick else ev.FAULTS,
        overlapping=arguments.synthetic is None,
    )
    titles = {"tissue": "Simulated tissue", "family": "Sum over a family of ions"}
    title = titles[arguments.synthetic] if arguments.synthetic else _title(arguments)
    command = "massgraph " + " ".join(arguments.words)
    write_evaluation(
        evaluation, arguments.out, title=title, command=command, overwrite=arguments.overwrite
    )
    clean = evaluation.table()["clean"]
    return {
        "out": str(arguments.out),
        "seeds": len(seeds),
        "balanced_accuracy_clean": {str(k): float(v) for k, v in clean.items()},
        "against_the_best_other": summary_lines(evaluation),
        "seconds": round(time.monotonic() - started, 1),
    }


def _benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    from massgraph.evidence.benchmark import Plan, benchmark, summary, write

    _check_output(arguments)
    result = benchmark(Plan.quick() if arguments.quick else Plan())
    write(result, arguments.out, overwrite=arguments.overwrite)
    return result if arguments.json else summary(result)


def _segment(arguments: argparse.Namespace) -> Segmentation:
    """Segment and explain new pixels with a saved model, if they are of its polarity."""
    classifier = mg.load(arguments.model)
    with inputs(arguments) as spectra:
        polarity = places(spectra).polarity
        if len({classifier.polarity_, polarity} - {None}) > 1:
            msg = (
                f"{arguments.input[0]} is of {polarity} polarity, but the model in "
                f"{arguments.model} was fitted to {classifier.polarity_} spectra"
            )
            raise InputError(msg)
        return classifier.segment(spectra)


def _finish(
    arguments: argparse.Namespace,
    classifier: RGCNClassifier,
    segmentation: Segmentation,
    title: str,
    deletion: pd.DataFrame,
    started: float,
    evaluation: Evaluation | None = None,
) -> dict[str, Any]:
    """Write everything, and sum up."""
    from massgraph.report.results import write_results

    write_results(
        segmentation,
        arguments.out,
        title=title,
        model=classifier,
        deletion=deletion,
        evaluation=evaluation,
        overwrite=arguments.overwrite,
    )
    summary = _summary(arguments, segmentation, started)
    for subset, pixels in segmentation.subsets().items():
        if subset != "training" and pixels.any():
            name = f"balanced_accuracy_{subset.replace(' ', '_')}"
            summary[name] = segmentation.balanced_accuracy(pixels)
    summary["epochs"] = 0 if classifier.history_ is None else len(classifier.history_)
    if classifier.contributions_ is not None:
        table = classifier.contributions_
        summary["balanced_accuracy_cross_fitted"] = float(table["balanced_accuracy_alone"].iloc[-1])
        shares = zip(table["branch"], table["share"], strict=True)
        summary["shares"] = {name: float(share) for name, share in shares if name != "all"}
    return summary


def _deletion(
    classifier: RGCNClassifier, spectra: Spectra | JoinedSpectra, segmentation: Segmentation
) -> pd.DataFrame:
    """Deletion curve on a sample of the pixels, evenly spread."""
    from massgraph.data.sources import take
    from massgraph.explain.faithfulness import deletion_curve

    step = max(spectra.n_pixels // DELETION_PIXELS, 1)
    if isinstance(spectra, mg.Spectra):
        if step == 1 and segmentation.explanation is not None:
            return deletion_curve(classifier, spectra, segmentation.explanation)
        sample = spectra[::step]
    else:
        sample = take(spectra, np.arange(0, spectra.n_pixels, step))
    return deletion_curve(classifier, sample, classifier.explain(sample))


def _summary(
    arguments: argparse.Namespace, segmentation: Segmentation, started: float
) -> dict[str, Any]:
    explanation = segmentation.explanation
    families = 0 if explanation is None else int(explanation.families["family"].nunique())
    return {
        "out": str(arguments.out),
        "pixels": segmentation.n_pixels,
        "classes": {str(name): int(n) for name, n in segmentation.counts().items()},
        "mean_uncertainty": float(segmentation.uncertainty.mean()),
        "families": families,
        "seconds": round(time.monotonic() - started, 1),
    }


# -------------------------------------------------------------------- checks


def _check_output(arguments: argparse.Namespace, **options: Any) -> None:
    """Say before the work, not after it, that the results could not be written."""
    from massgraph.report.results import check_output

    check_output(arguments.out, overwrite=arguments.overwrite, **options)
    out = arguments.out.resolve()
    named = (getattr(arguments, name, None) for name in ("model", "labels"))
    for path in [*getattr(arguments, "input", ()), *filter(None, named)]:
        if out in (path.resolve(), *path.resolve().parents):
            msg = f"{arguments.out} holds {path}, which is an input: choose another --out"
            raise FileExistsError(msg)
    kept = getattr(arguments, "checkpoint", None)
    if kept is not None and out in (kept.resolve(), *kept.resolve().parents):
        msg = f"{arguments.out} holds the checkpoint {kept}: choose another --out"
        raise FileExistsError(msg)


def _check_device(name: str) -> None:
    """Say in one line what torch would say in a stack trace."""
    import torch

    try:
        device = torch.device("cpu" if name == "auto" else name)
    except RuntimeError as error:
        msg = f"--device {name!r} is none of auto, cpu, cuda"
        raise InputError(msg) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        msg = f"--device {name!r}: torch sees {torch.cuda.device_count()} GPUs, use auto or cpu"
        raise InputError(msg)


def _title(arguments: argparse.Namespace) -> str:
    return ", ".join(path.stem for path in arguments.input)


if __name__ == "__main__":
    sys.exit(main())
