"""What commands have in common at their end: checks of the place, pictures' data, summaries."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import massgraph as mg
from massgraph._util.text import name_of
from massgraph.cli.command import Summary

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.classifier import RGCNClassifier
    from massgraph.data.sources import Pixels
    from massgraph.segmentation import Segmentation

__all__ = [
    "check_output",
    "deletion",
    "summarize",
    "summarize_fit",
    "summarize_regions",
    "title_of",
]

DELETION_PIXELS = 500  # a sample is enough for the deletion curve, which predicts many times


def check_output(arguments: argparse.Namespace, **options: Any) -> None:
    """Say before the work, not after it, that the results could not be written.

    Parameters
    ----------
    arguments
        With `out` and `overwrite`, and whatever the command reads.
    options
        As for `massgraph.report.results.check_output`.

    Raises
    ------
    FileExistsError, FileNotFoundError
        Where something is in the way, the folder to write into is missing, or the place holds
        what the command reads.

    Examples
    --------
    >>> import argparse
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.cli.outputs import check_output
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_output(argparse.Namespace(out=Path(folder) / "out", overwrite=False))
    """
    from massgraph.report.results import check_output as check

    check(arguments.out, overwrite=arguments.overwrite, **options)
    named = (getattr(arguments, name, None) for name in ("model", "labels"))
    for path in [*getattr(arguments, "input", ()), *filter(None, named)]:
        _refuse_within(arguments.out, path, f"{path}, which is an input")
    kept = getattr(arguments, "checkpoint", None)
    if kept is not None:
        _refuse_within(arguments.out, kept, f"the checkpoint {kept}")


def _refuse_within(out: Path, path: Path, what: str) -> None:
    """Results replace their folder whole: what is needed must not lie in it."""
    if out.resolve() in (path.resolve(), *path.resolve().parents):
        msg = f"{out} holds {what}: choose another --out"
        raise FileExistsError(msg)


def title_of(arguments: argparse.Namespace) -> str:
    """Heading of a report: the names of the inputs.

    Examples
    --------
    >>> import argparse
    >>> from pathlib import Path
    >>> from massgraph.cli.outputs import title_of
    >>> title_of(argparse.Namespace(input=[Path("data/slide1.imzML"), Path("slide2.imzML")]))
    'slide1, slide2'
    """
    return ", ".join(name_of(path) for path in arguments.input)


def deletion(
    classifier: RGCNClassifier, spectra: Pixels, segmentation: Segmentation
) -> pd.DataFrame:
    """Deletion curve on a sample of the pixels, evenly spread.

    Parameters
    ----------
    classifier
        Fitted.
    spectra
        The pixels that were segmented; of a source only the sample is read.
    segmentation
        With its explanation, which is used where the sample is all of the pixels.

    Returns
    -------
    pandas.DataFrame
        As `massgraph.explain.faithfulness.deletion_curve` gives it.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.cli.outputs import deletion
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> few = spectra[:10]
    >>> curve = deletion(clf, few, clf.segment(few))
    >>> len(curve) > 1
    True
    """
    import numpy as np

    from massgraph.data.sources import take
    from massgraph.explain.faithfulness import deletion_curve

    # By step, not at random: the curve is the same each time, and from all over the image.
    step = max(spectra.n_pixels // DELETION_PIXELS, 1)
    if step == 1 and isinstance(spectra, mg.Spectra) and segmentation.explanation is not None:
        return deletion_curve(classifier, spectra, segmentation.explanation)
    sample = take(spectra, np.arange(0, spectra.n_pixels, step))
    return deletion_curve(classifier, sample, classifier.explain(sample, min_coverage=0))


def summarize(arguments: argparse.Namespace, segmentation: Segmentation, started: float) -> Summary:
    """Sum up a segmentation.

    Parameters
    ----------
    arguments
        With `out`.
    segmentation
        What was written there.
    started
        When, on `time.monotonic`.

    Examples
    --------
    >>> import argparse
    >>> import time
    >>> import massgraph as mg
    >>> from massgraph.cli.outputs import summarize
    >>> spectra = mg.Spectra.from_peaks([([255.2], [9.0]), ([281.2], [4.0])])
    >>> found = mg.Segmentation.from_probability(spectra, ("a", "b"), [[1, 0], [1, 0]])
    >>> summary = summarize(argparse.Namespace(out="results"), found, time.monotonic())
    >>> summary["pixels"], summary["classes"]
    (2, {'a': 2, 'b': 0})
    """
    explanation = segmentation.explanation
    families = 0 if explanation is None else int(explanation.families["family"].nunique())
    return {
        "out": str(arguments.out),
        "pixels": segmentation.n_pixels,
        "classes": {str(name): int(n) for name, n in segmentation.counts().items()},
        **_coverage(segmentation),
        "mean_uncertainty": float(segmentation.uncertainty.mean()),
        "families": families,
        "seconds": round(time.monotonic() - started, 1),
    }


def summarize_fit(
    arguments: argparse.Namespace,
    classifier: RGCNClassifier,
    segmentation: Segmentation,
    started: float,
) -> Summary:
    """Sum up a segmentation and the fit that it is of.

    Parameters
    ----------
    arguments, segmentation, started
        As for `summarize`.
    classifier
        Fitted.

    Returns
    -------
    dict
        As `summarize`; balanced accuracy on labelled pixels that were not learnt from, where there
        are any, and cross-fitted; `epochs`; the share of each branch.

    Examples
    --------
    >>> import argparse
    >>> import time
    >>> import massgraph as mg
    >>> from massgraph.cli.outputs import summarize_fit
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> found = clf.segment(spectra, labels)
    >>> summary = summarize_fit(argparse.Namespace(out="results"), clf, found, time.monotonic())
    >>> summary["shares"]
    {'axis': 1.0}
    """
    summary = summarize(arguments, segmentation, started)
    for subset, pixels in segmentation.subsets().items():
        # How well the training pixels were learnt by heart is no result.
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


def summarize_regions(
    arguments: argparse.Namespace, segmentation: Segmentation, started: float
) -> Summary:
    """Sum up regions that were found without labels.

    Parameters
    ----------
    arguments, started
        As for `summarize`.
    segmentation
        With findings.

    Returns
    -------
    dict
        Pixels of each region, the molecules that define it, and what is to be said of it in words;
        what makes the map doubtful; and, where there are labels to compare with, how well regions
        agree with them (adjusted Rand index: 1 for the same, 0 for chance).

    Examples
    --------
    >>> import argparse
    >>> import time
    >>> import massgraph as mg
    >>> from massgraph.cli.outputs import summarize_regions
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> found = mg.SpatialRegions(n_regions=3).fit(spectra).segment(spectra)
    >>> summary = summarize_regions(argparse.Namespace(out="regions"), found, time.monotonic())
    >>> summary["regions"]["off-tissue"]
    48
    """
    findings = segmentation.findings
    summary: Summary = {
        "out": str(arguments.out),
        "pixels": segmentation.n_pixels,
        "regions": {str(name): int(n) for name, n in segmentation.counts().items()},
    }
    if findings is not None:
        table = findings.regions
        names = table["region"].astype(str)
        defined = zip(names, table["n_molecules"], strict=True)
        summary["defining_molecules"] = {name: int(n) for name, n in defined}
        summary["verdicts"] = dict(zip(names, table["verdict"].astype(str), strict=True))
        summary["cautions"] = list(findings.cautions)
    if segmentation.reference is not None:
        agreement = _agreement(segmentation.reference, segmentation.label)
        summary["adjusted_rand_index"] = agreement
    summary |= _coverage(segmentation)
    summary["mean_uncertainty"] = float(segmentation.uncertainty.mean())
    summary["seconds"] = round(time.monotonic() - started, 1)
    return summary


def _coverage(segmentation: Segmentation) -> Summary:
    """Mean coverage of each run, where the model knows it."""
    table = segmentation.coverage_by_run()
    if table.empty:
        return {}
    values = zip(table["run"].astype(str), table["coverage"], strict=True)
    return {"coverage": {name: round(float(value), 4) for name, value in values}}


def _agreement(given: pd.Categorical, found: pd.Categorical) -> float:
    """Adjusted Rand index of labels and regions, over pixels that have both."""
    from sklearn.metrics import adjusted_rand_score

    both = (given.codes >= 0) & (found.codes >= 0)
    return float(adjusted_rand_score(given.codes[both], found.codes[both]))
