"""The results folder: everything a command writes, whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from massgraph import pl
from massgraph._util.errors import InputError
from massgraph._util.files import atomic_directory
from massgraph._util.progress import progress
from massgraph.explain.activation import Explanation
from massgraph.fitted import fitted_model
from massgraph.regions import SpatialRegions
from massgraph.report._tables import write_table
from massgraph.report.page import write_report
from massgraph.segmentation import Segmentation
from massgraph.store import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from massgraph.evidence.evaluate import Evaluation
    from massgraph.explain.region_findings import RegionFindings

__all__ = ["check_output", "write_explanation", "write_results"]

N_FAMILIES = 6
FORMATS = ("png", "pdf")
# What a results folder may hold; one with anything else in it is never replaced.
NAMES = frozenset(
    {
        "benchmark.json",
        "cost.pdf",
        "cost.png",
        "coverage.csv",
        "families.csv",
        "family_edges.csv",
        "figures",
        "ion_families.csv",
        "ions.csv",
        "ions_by_run.csv",
        "model",
        "molecules.csv",
        "regions",
        "regions.csv",
        "report.html",
        "segmentation.h5ad",
        "selection.csv",
    }
)

Drawing = tuple[str, Callable[[], "Figure"]]


def check_output(
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    replaced: Collection[str] = NAMES,
) -> None:
    """Check that a results folder may be made or replaced here.

    Raises
    ------
    FileExistsError
        Where something is there and `overwrite` is false, or where a folder to be replaced holds
        anything but the names `replaced`, default those of results.
    FileNotFoundError
        Where the folder to make it in is missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.report.results import check_output
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "thesis.docx").touch()
    ...     check_output(folder, overwrite=True)
    Traceback (most recent call last):
    FileExistsError: ... holds thesis.docx, which is no result of massgraph: choose another --out
    """
    out = Path(directory)
    if not out.absolute().parent.is_dir():
        msg = f"{out.absolute().parent} is no folder: make it before writing {out.name} into it"
        raise FileNotFoundError(msg)
    if not out.exists():
        return
    if not out.is_dir():
        msg = f"{out} is a file: choose another --out, for a folder"
        raise FileExistsError(msg)
    names = sorted(path.name for path in out.iterdir())
    foreign = [name for name in names if name not in replaced]
    if foreign:
        msg = f"{out} holds {foreign[0]}, which is no result of massgraph: choose another --out"
        raise FileExistsError(msg)
    if names and not overwrite:
        msg = f"{out} exists already: choose another --out, or add --overwrite"
        raise FileExistsError(msg)


def write_results(
    segmentation: Segmentation,
    directory: str | os.PathLike[str],
    *,
    title: str,
    model: Any = None,
    deletion: pd.DataFrame | None = None,
    evaluation: Evaluation | None = None,
    overwrite: bool = False,
) -> None:
    """Write a segmentation as a folder.

    The folder holds `segmentation.h5ad`, `report.html`, `figures/` (each picture as PNG and PDF),
    `coverage.csv` (how much of each run the model knows) and, where a model is given, `model/`. Of
    classes there are `ions.csv`, `families.csv` and `family_edges.csv`; of regions found without
    labels `regions.csv`, `molecules.csv`, `families.csv` (of molecules) and, where their number was
    found, `selection.csv`. Where regions were taught to a classifier, there are the tables of both,
    its families as `ion_families.csv`.

    Parameters
    ----------
    segmentation
        With its explanation, its findings or both.
    directory
        The folder to make.
    title
        Heading of the report.
    model
        The fitted model, or estimator, to save with the results.
    deletion
        Table of `massgraph.explain.faithfulness.deletion_curve`, to be drawn.
    evaluation
        The default model beside others, for the report.
    overwrite
        Whether an existing folder may be replaced.

    Raises
    ------
    FileExistsError, FileNotFoundError
        As for `check_output`.
    ValueError
        Where the segmentation has neither explanation nor findings, or as for
        `massgraph.write_report`.

    Examples
    --------
    A folder with anything else in it is never replaced:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.report.results import write_results
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "thesis.docx").touch()
    ...     write_results(clf.segment(spectra), folder, title="Slide 7", model=clf, overwrite=True)
    Traceback (most recent call last):
    FileExistsError: ... holds thesis.docx, which is no result of massgraph: choose another --out
    """
    findings = segmentation.findings
    explanation = None
    if findings is None or segmentation.explanation is not None:
        explanation = _explanation_of(segmentation)
    # Asked again though the writer below asks too: only here the names in a folder are looked at.
    check_output(directory, overwrite=overwrite)
    with atomic_directory(directory, overwrite=overwrite) as folder:
        if model is not None:
            _save_model(model, folder / "model")
        segmentation.write_h5ad(folder / "segmentation.h5ad")
        if segmentation.coverage is not None:
            write_table(segmentation.coverage_by_run(), folder / "coverage.csv")
        drawings = [*_maps(segmentation)]
        if findings is not None:
            _write_findings(findings, folder)
            drawings += _findings_drawings(segmentation, findings)
        if explanation is not None:
            families = "families.csv" if findings is None else "ion_families.csv"
            _write_tables(explanation, folder, families)
            drawings += _explanation_drawings(segmentation, explanation)
        if deletion is not None:
            drawings.append(("deletion", lambda: pl.deletion(deletion)))
        _draw(drawings, folder / "figures")
        write_report(
            segmentation,
            folder / "report.html",
            title=title,
            n_families=N_FAMILIES,
            deletion=deletion,
            evaluation=evaluation,
        )


def write_explanation(
    segmentation: Segmentation,
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write the tables and pictures of the explanation alone, as a folder.

    Parameters and errors as for `write_results`.

    Examples
    --------
    What was segmented without an explanation has none to write:

    >>> import massgraph as mg
    >>> from massgraph.report.results import write_explanation
    >>> spectra = mg.Spectra.from_peaks([([255.2], [9.0]), ([281.2], [4.0])])
    >>> found = mg.Segmentation.from_probability(spectra, ("a", "b"), [[0.9, 0.1], [0.2, 0.8]])
    >>> write_explanation(found, "explanation")
    Traceback (most recent call last):
    massgraph...: the segmentation has no explanation to write: use segment(..., explain=True)
    """
    explanation = _explanation_of(segmentation)
    check_output(directory, overwrite=overwrite)
    with atomic_directory(directory, overwrite=overwrite) as folder:
        _write_tables(explanation, folder, "families.csv")
        # A row for each ion, class and run: those of zero would be most of the file.
        by_region = explanation.by_region(segmentation.run)
        some = by_region[by_region["activation"] != 0]
        write_table(some, folder / "ions_by_run.csv", axis=explanation.mz)
        _draw(_explanation_drawings(segmentation, explanation), folder / "figures")


def _explanation_of(segmentation: Segmentation) -> Explanation:
    explanation = segmentation.explanation
    if explanation is None:
        msg = "the segmentation has no explanation to write: use segment(..., explain=True)"
        raise InputError(msg)
    return explanation


def _save_model(model: Any, folder: Path) -> None:
    if isinstance(model, SpatialRegions):
        model.save(folder)
    else:
        save(fitted_model(model), folder)


def _write_findings(findings: RegionFindings, folder: Path) -> None:
    """The tables as CSV, in the order of the regions."""
    write_table(findings.regions, folder / "regions.csv")
    write_table(findings.molecules, folder / "molecules.csv")
    write_table(findings.families, folder / "families.csv")
    if findings.selection is not None:
        write_table(findings.selection, folder / "selection.csv")


def _write_tables(explanation: Explanation, folder: Path, families: str) -> None:
    """The tables as CSV, best ion first; an ion has the same m/z in each of them."""
    axis = explanation.mz
    write_table(explanation.ions.sort_values("rank"), folder / "ions.csv", axis=axis)
    write_table(explanation.families, folder / families, axis=axis)
    write_table(explanation.family_edges, folder / "family_edges.csv", axis=axis)


def _maps(segmentation: Segmentation) -> Iterator[Drawing]:
    """Maps of the classes, for pixels that have a place, and the learning curve."""
    if segmentation.coordinates is not None:
        # The kind is bound now: the picture is drawn after the loop has gone on.
        kinds = ["class", "probability", "uncertainty"]
        kinds += [] if segmentation.coverage is None else ["coverage"]
        for kind in kinds:
            yield kind, lambda kind=kind: pl.segmentation(segmentation, kind)  # type: ignore[misc]
        if segmentation.reference is not None:
            yield "reference", lambda: pl.segmentation(segmentation, "reference")
    if segmentation.history is not None:
        yield "history", lambda: pl.history(segmentation)


def _findings_drawings(segmentation: Segmentation, findings: RegionFindings) -> Iterator[Drawing]:
    """Nested maps and their curve, molecules, and what the report shows of them as images."""
    yield "molecules", lambda: pl.molecules(findings)
    if findings.selection is not None:
        yield "selection", lambda: pl.selection(findings)
    if segmentation.coordinates is None:
        return
    yield "nested_maps", lambda: pl.regions(segmentation)
    if findings.images.size:
        yield "molecule_images", lambda: pl.region_images(segmentation)
    if np.isfinite(findings.balance_images).any():
        yield "adduct_balances", lambda: pl.balances(segmentation)


def _explanation_drawings(
    segmentation: Segmentation, explanation: Explanation
) -> Iterator[Drawing]:
    """Mirror plots of the classes; networks and ion images of the first families."""
    for name, file_name in _file_names(explanation.classes).items():
        yield (
            f"activation_{file_name}",
            lambda name=name: pl.activation(explanation, name),  # type: ignore[misc]
        )
    families = explanation.families
    for family in sorted(families["family"].unique())[:N_FAMILIES]:
        yield (
            f"family_{family}",
            lambda family=family: pl.relations(explanation, family),  # type: ignore[misc]
        )
        # Spectra read block by block have left no peaks to draw.
        if segmentation.coordinates is not None and segmentation.spectra.n_peaks:
            mz = families.loc[families["family"] == family, "mz"].head(4).tolist()
            yield (
                f"family_{family}_images",
                lambda mz=mz: pl.ion_images(segmentation, mz),  # type: ignore[misc]
            )


def _file_names(classes: Sequence[str]) -> dict[str, str]:
    """Class names may hold anything; file names may not, and differ in more than capitals."""
    # macOS and Windows take A.png and a.png for one file. Names of 60 letters, of up to four bytes
    # each, stay below the 255 bytes that a file system allows.
    names: dict[str, str] = {}
    taken: set[str] = set()
    for number, text in enumerate(classes, start=1):
        name = re.sub(r"[^\w.-]+", "_", text)[:60] or "_"
        if name.lower() in taken:
            name = f"{name}_{number}"
        taken.add(name.lower())
        names[text] = name
    return names


def _draw(drawings: Iterator[Drawing] | list[Drawing], folder: Path) -> None:
    folder.mkdir()
    # Drawn when it is its turn: all pictures at once would fill the memory.
    todo = list(drawings)
    for name, draw in progress(todo, len(todo), "drawing"):
        figure = draw()
        for ending in FORMATS:
            figure.savefig(folder / f"{name}.{ending}", dpi=300)
