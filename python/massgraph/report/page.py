"""The report: one self-contained HTML file for the person who measured the tissue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pandas as pd

from massgraph._util.errors import InputError
from massgraph._util.files import atomic_file
from massgraph.report._classes import class_context
from massgraph.report._regions import region_context
from massgraph.report._words import count, default_title
from massgraph.report.template import environment
from massgraph.segmentation import Segmentation

if TYPE_CHECKING:
    from massgraph.evidence.evaluate import Evaluation

__all__ = ["write_report"]


def write_report(
    segmentation: Segmentation,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    n_families: int = 6,
    deletion: pd.DataFrame | None = None,
    evaluation: Evaluation | None = None,
    overwrite: bool = False,
) -> None:
    """Write a segmentation as one HTML file, to be read in a browser or printed.

    A page of classes, or, where the segmentation has findings, of regions that were found without
    labels: how many, how sure, and what defines them. Where it has an explanation as well, that of
    a classifier of these regions, the page says that it explains a segmentation and not a truth.

    Parameters
    ----------
    segmentation
        As returned by `RGCNClassifier.segment` or `SpatialRegions.segment`. The report leaves out
        what it lacks (coordinates, labels, learning curve, explanation), and says so.
    path
        The file, which is written whole or not at all. The same input gives the same bytes.
    title
        Heading; default: the names of the runs.
    n_families
        Number of ion families to show, and of families of molecules of each region, best first;
        at least zero.
    deletion
        Table of `massgraph.faithfulness.deletion_curve`, to be drawn; default none.
    evaluation
        The default model beside others (`massgraph.evaluate.evaluate`), to be shown; default none.
        Not for regions, which have no labels to be evaluated by.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        Where the file exists and `overwrite` is false.
    ValueError
        Where `n_families` is negative, `deletion` is empty or lacks a column, or there is an
        `evaluation` of regions, or a `deletion` of regions without an explanation.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks([([255.2], [9.0]), ([281.2], [4.0])])
    >>> probability = [[0.9, 0.1], [0.2, 0.8]]
    >>> found = mg.Segmentation.from_probability(spectra, ("tumour", "rest"), probability)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mg.write_report(found, Path(folder) / "report.html", title="Slide 7")
    ...     print("<h1>Slide 7</h1>" in (Path(folder) / "report.html").read_text(encoding="utf-8"))
    True
    """
    if n_families < 0:
        msg = f"n_families is {n_families}, need at least 0"
        raise InputError(msg)
    if segmentation.findings is not None:
        _check_regions(segmentation, deletion, evaluation)
    with atomic_file(path, overwrite=overwrite) as temporary:
        # The ends of lines are given, or Windows would write other bytes.
        text = _render(segmentation, title, n_families, deletion, evaluation)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _check_regions(
    segmentation: Segmentation, deletion: pd.DataFrame | None, evaluation: Evaluation | None
) -> None:
    """Refuse what a page of regions would have no place for."""
    if evaluation is not None:
        msg = "evaluation is of models of labels, and regions have none: leave it out"
        raise InputError(msg)
    if deletion is not None and segmentation.explanation is None:
        msg = "deletion is of a classifier's explanation, and these regions have none: leave it out"
        raise InputError(msg)


def _render(
    segmentation: Segmentation,
    title: str | None,
    n_families: int,
    deletion: pd.DataFrame | None,
    evaluation: Evaluation | None,
) -> str:
    findings = segmentation.findings
    if findings is None:
        template = "report.html"
        context = class_context(segmentation, n_families, deletion, evaluation)
    else:
        template = "regions.html"
        context = region_context(segmentation, findings, n_families, deletion)
    templates = environment()
    templates.filters["count"] = count
    context["title"] = default_title(segmentation) if title is None else title
    return templates.get_template(template).render(context)
