"""The report: one self-contained HTML file for the person who measured the tissue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.files import atomic_file
from massgraph.learn.branches import branch_titles
from massgraph.report.template import Picture, embed, environment
from massgraph.segmentation import Segmentation

if TYPE_CHECKING:
    from massgraph.evidence.evaluate import Evaluation
    from massgraph.explain.activation import Explanation

__all__ = ["write_report"]

# Widths in inches. A4 with the template's margins leaves 7.1.
PAGE_WIDTH = 7.0
HALF_WIDTH = 3.4
CURVE_WIDTH = 5.3
# Of several runs there are many panels, which need not be large.
RUNS_WIDTHS = {"probability": 6.0, "uncertainty": 5.2}
# A family's network and ion images, side by side: of several runs, and of one where the network is
# so tall that a page would not hold both below each other and the table.
BESIDE_RUNS = (2.9, 4.1)
BESIDE_TALL = (4.95, 2.0)
TALL = 3.9

MOST_ROWS = 12
MOST_CLASS_COLUMNS = 4
MOST_NAMED_COLUMNS = 8
MOST_RUNS_NAMED = 6
IONS_PICTURED = 3
# Of a single run: a map wider than this (width over height) gets the page's width for itself.
WIDE = 1.6

SUBSETS = ("unseen", "held out", "training")


@dataclass(frozen=True)
class _Table:
    """Cells as text; `numeric` says which columns are aligned right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]


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

    Parameters
    ----------
    segmentation
        As returned by `RGCNClassifier.segment`. The report leaves out what it lacks (coordinates,
        labels, learning curve, explanation), and says so.
    path
        The file, which is written whole or not at all. The same input gives the same bytes.
    title
        Heading; default: the names of the runs.
    n_families
        Number of ion families to show, best first; at least zero.
    deletion
        Table of `massgraph.faithfulness.deletion_curve`, to be drawn; default none.
    evaluation
        The default model beside others (`massgraph.evaluate.evaluate`), to be shown; default none.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        Where the file exists and `overwrite` is false.
    ValueError
        Where `n_families` is negative, or `deletion` is empty or lacks a column.

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
    with atomic_file(path, overwrite=overwrite) as temporary:
        # The ends of lines are given, or Windows would write other bytes.
        text = _render(segmentation, title, n_families, deletion, evaluation)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _render(
    segmentation: Segmentation,
    title: str | None,
    n_families: int,
    deletion: pd.DataFrame | None,
    evaluation: Evaluation | None,
) -> str:
    templates = environment()
    templates.filters["count"] = _count
    no_map = _why_no_map(segmentation)
    explanation = segmentation.explanation
    context = {
        "title": _default_title(segmentation) if title is None else title,
        "summary": _summary(segmentation),
        "no_map": no_map,
        "maps": None if no_map else _maps(segmentation),
        "learning": _learning(segmentation),
        "agreement": _agreement(segmentation),
        "mirrors": None if explanation is None else _mirrors(segmentation, explanation),
        "mirrors_missing": [name for name, n in segmentation.counts().items() if n == 0],
        # Of spectra that were read block by block there are no peaks left for ion images.
        "families": _families(
            segmentation, n_families, with_images=not no_map and segmentation.spectra.n_peaks > 0
        ),
        "deletion": None if deletion is None else _deletion(deletion),
        "evaluation": None if evaluation is None else _evaluation(evaluation),
        "branches": _branches(segmentation),
        "settings": _settings(segmentation),
    }
    return templates.get_template("report.html").render(context)


# -------------------------------------------------------------------- words and numbers


def _count(number: float) -> str:
    return f"{int(number):,}"


def _decimal(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:,.{digits}f}"
    # what rounds to zero has no sign
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _digits(values: NDArray[np.float64]) -> int:
    """Decimals that show the largest of `values` with three significant digits, at most six."""
    top = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    return int(np.clip(2 - np.floor(np.log10(top)), 0, 6)) if top > 0 else 0


def _parameter(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_parameter(item) for item in value) or "none"
    return str(value)


def _default_title(segmentation: Segmentation) -> str:
    named = ", ".join(_named_runs(segmentation))
    if not named and len(_runs(segmentation)) > 1:
        named = f"{len(_runs(segmentation))} runs"
    return f"Segmentation of {named}" if named else "Segmentation"


def _runs(segmentation: Segmentation) -> list[str]:
    """Names of the runs in order of appearance."""
    return [str(name) for name in pd.unique(pd.Series(segmentation.run))]


def _named_runs(segmentation: Segmentation) -> list[str]:
    """Runs to name in a sentence: none where there are many, or a single one without a name."""
    runs = _runs(segmentation)
    return [] if len(runs) > MOST_RUNS_NAMED or runs == ["run0"] else runs


# -------------------------------------------------------------------- summary


def _summary(segmentation: Segmentation) -> dict[str, Any]:
    from massgraph.pl._style import class_colours

    spectra = segmentation.spectra
    counts = segmentation.counts()
    total = max(segmentation.n_pixels, 1)
    mz = spectra.mz
    return {
        "n_pixels": segmentation.n_pixels,
        "n_runs": len(_runs(segmentation)),
        "runs": _named_runs(segmentation),
        "classes": [
            {"name": name, "count": int(n), "share": f"{100 * n / total:.0f}", "colour": colour}
            for (name, n), colour in zip(counts.items(), class_colours(len(counts)), strict=True)
        ],
        "without_peaks": int(np.count_nonzero(segmentation.label.codes < 0)),
        "polarity": segmentation.polarity,
        "mz_range": [f"{mz.min():.4f}", f"{mz.max():.4f}"] if mz.size else None,
        "n_peaks": int(mz.size),
        "peaks_per_pixel": int(np.median(spectra.peak_counts)) if len(segmentation) else 0,
        "pixel_size": _pixel_size(segmentation),
        "uncertainty": _decimal(_mean(segmentation.uncertainty), 2),
        "labelled": bool(_labelled(segmentation)),
        "accuracy": _accuracy(segmentation),
        "chance": _decimal(1 / len(segmentation.classes), 2),
    }


def _pixel_size(segmentation: Segmentation) -> str | None:
    if segmentation.pixel_size is None:
        return None
    unit = "µm" if segmentation.pixel_size_unit == "um" else segmentation.pixel_size_unit
    across, down = segmentation.pixel_size
    return f"{across:g} × {down:g} {unit}"


def _labelled(segmentation: Segmentation) -> dict[str, NDArray[np.bool_]]:
    """Masks of the labelled pixels by what the model knew of them; empty ones are left out."""
    found = segmentation.subsets()
    names = [name for name in (*SUBSETS, "labelled") if name in found and found[name].any()]
    return {name: found[name] for name in names}


def _accuracy(segmentation: Segmentation) -> dict[str, dict[str, Any] | None]:
    """Balanced accuracy by subset, over all runs; None for a subset without labelled pixels."""
    found = {
        name: {
            "n": int(mask.sum()),
            "value": _decimal(segmentation.balanced_accuracy(mask), 3),
            "missing": _classes_without(segmentation, mask),
        }
        for name, mask in _labelled(segmentation).items()
    }
    return {name: found.get(name) for name in (*SUBSETS, "labelled")}


def _classes_without(segmentation: Segmentation, mask: NDArray[np.bool_]) -> list[str]:
    """Classes of which no pixel is labelled: the balanced accuracy says nothing of them."""
    recall = segmentation.recall(mask)
    return [name for name in segmentation.classes if np.isnan(recall[name])]


# -------------------------------------------------------------------- pictures


def _why_no_map(segmentation: Segmentation) -> str:
    """Why the pixels cannot be drawn at their places; empty where they can."""
    from massgraph.pl._raster import make_panels

    try:
        make_panels(segmentation.coordinates, segmentation.run, segmentation.pixel_size)
    except ValueError as error:
        return str(error)
    return ""


def _maps(segmentation: Segmentation) -> dict[str, Any]:
    from massgraph import pl
    from massgraph.pl._raster import make_panels

    panels = make_panels(segmentation.coordinates, segmentation.run, segmentation.pixel_size)
    beside = len(panels) == 1 and panels[0].width <= WIDE * panels[0].height
    labelled = bool(_labelled(segmentation))
    width = HALF_WIDTH if beside and labelled else PAGE_WIDTH

    widths = {"probability": PAGE_WIDTH, "uncertainty": width}
    widths = widths if len(panels) == 1 else RUNS_WIDTHS

    def draw(kind: str, text: str, width: float) -> Picture:
        return embed(pl.segmentation(segmentation, kind, width=width), text)

    return {
        "beside": beside and labelled,
        "class": draw("class", "Map of the class found in each pixel", width),
        "reference": draw("reference", "Map of the labels given", width) if labelled else None,
        "probability": draw(
            "probability", "Maps of the probability of each class", widths["probability"]
        ),
        "uncertainty": draw("uncertainty", "Map of the uncertainty", widths["uncertainty"]),
    }


def _learning(segmentation: Segmentation) -> dict[str, Any] | None:
    from massgraph import pl

    history = segmentation.history
    if history is None or len(history) == 0:
        return None
    best = history.loc[history["best"].astype(bool), "epoch"]
    return {
        "picture": embed(
            pl.history(segmentation, width=CURVE_WIDTH), "Loss and balanced accuracy by epoch"
        ),
        "epochs": len(history),
        "kept": int(best.iloc[-1]) if len(best) else None,
        "held_out": bool(np.isfinite(history["valid_loss"].to_numpy(dtype=float)).any()),
    }


def _mirrors(segmentation: Segmentation, explanation: Explanation) -> list[dict[str, Any]]:
    """Mirror plots of the classes that any pixel was given."""
    from massgraph import pl

    counts = segmentation.counts()
    return [
        {
            "class": name,
            "picture": embed(
                pl.activation(explanation, name, width=PAGE_WIDTH),
                f"Activation of the ions for {name} by m/z, above the mean spectrum",
            ),
        }
        for name in explanation.classes
        if counts[name]
    ]


def _deletion(curve: pd.DataFrame) -> dict[str, Any]:
    from massgraph import pl

    picture = embed(
        pl.deletion(curve, width=HALF_WIDTH), "Score left when top ions or random ions are removed"
    )
    last = curve.sort_values("fraction_removed").iloc[-1]
    start = curve.sort_values("fraction_removed").iloc[0]
    return {
        "picture": picture,
        "share": f"{100 * last['fraction_removed']:.0f}",
        "start": _decimal(start["score_top"], 2),
        "top": _decimal(last["score_top"], 2),
        "random": _decimal(last["score_random_mean"], 2),
        # A gap within the spread of the random draws would prove nothing.
        "holds": bool(last["score_top"] < last["score_random_mean"] - last["score_random_sd"]),
    }


# -------------------------------------------------------------------- agreement with the labels


def _agreement(segmentation: Segmentation) -> dict[str, Any] | None:
    masks = _labelled(segmentation)
    if not masks:
        return None
    subset = next(iter(masks))  # the best evidence there is comes first
    return {
        "metrics": _metrics_table(segmentation),
        "confusion": _confusion_table(segmentation, masks[subset]),
        "subset": subset,
        "n": int(masks[subset].sum()),
    }


def _metrics_table(segmentation: Segmentation) -> _Table:
    metrics = segmentation.metrics()
    recalls = [name for name in metrics.columns if name.startswith("recall_")]
    # The confusion table has the recall of each class; here they are where they fit.
    recalls = recalls if len(recalls) <= MOST_CLASS_COLUMNS else []
    head = ["run", "pixels", "labelled", "balanced accuracy", "mean uncertainty"]
    head += [f"found of {name.removeprefix('recall_')}" for name in recalls]
    rows = [
        [
            str(row["run"]),
            str(row["subset"]),
            _count(row["n_labelled"]),
            _decimal(row["balanced_accuracy"], 3),
            _decimal(row["uncertainty"], 3),
            *(_decimal(row[name], 3) for name in recalls),
        ]
        for _, row in metrics.iterrows()
    ]
    return _Table(head, rows, [False, False] + [True] * (len(head) - 2))


def _confusion_table(segmentation: Segmentation, mask: NDArray[np.bool_]) -> _Table:
    confusion = segmentation.confusion(mask)
    given = pd.Series(np.asarray(segmentation.reference, dtype=object)[mask])
    labelled = given.astype(str).value_counts()
    labelled = labelled.reindex(confusion.index, fill_value=0)
    kept = labelled[labelled > 0].index
    missed = labelled - confusion.sum(axis=1)
    recall = segmentation.recall(mask)
    many = len(confusion.columns) > MOST_NAMED_COLUMNS
    # Many names do not fit above their columns, so they are numbered in the rows.
    numbers = {str(name): str(i + 1) for i, name in enumerate(confusion.columns)}
    head = ["label given", *(numbers[name] if many else name for name in confusion.columns)]
    head += ["no peaks"] if missed.any() else []
    head += ["labelled", "share found"]
    rows = []
    for name in kept:
        prefix = f"{numbers[name]} " if many and name in numbers else ""
        row = [f"{prefix}{name}", *(_count(n) for n in confusion.loc[name])]
        row += [_count(missed[name])] if missed.any() else []
        rows.append([*row, _count(labelled[name]), _decimal(recall[name], 3)])
    return _Table(head, rows, [False] + [True] * (len(head) - 1))


# -------------------------------------------------------------------- families


def _families(
    segmentation: Segmentation, n_families: int, *, with_images: bool
) -> dict[str, Any] | None:
    explanation = segmentation.explanation
    if explanation is None:
        return None
    numbers = sorted(explanation.families["family"].unique())
    return {
        "total": len(numbers),
        "shown": [
            _family(segmentation, explanation, number, with_images=with_images)
            for number in numbers[:n_families]
        ],
    }


def _family(
    segmentation: Segmentation, explanation: Explanation, number: int, *, with_images: bool
) -> dict[str, Any]:
    """Table and pictures of one family, laid out for a page."""
    from massgraph import pl

    table = explanation.families[explanation.families["family"] == number]
    first = table.iloc[0]
    mz = table["mz"].head(IONS_PICTURED).tolist()
    network = pl.relations(explanation, number, width=PAGE_WIDTH)
    images_width = PAGE_WIDTH
    several = len(_runs(segmentation)) > 1
    beside = with_images and (several or network.get_figheight() > TALL)
    if beside:
        network_width, images_width = BESIDE_RUNS if several else BESIDE_TALL
        network = pl.relations(explanation, number, width=network_width)
    images = None
    if with_images:
        named = ", ".join(f"{value:.4f}" for value in mz)
        drawn = pl.ion_images(segmentation, mz, width=images_width)
        images = embed(drawn, f"Ion images of m/z {named}")
    return {
        "number": int(number),
        "class": str(first["class"]),
        "share": f"{100 * first['family_score']:.1f}",
        "n_ions": len(table),
        "n_pictured": len(mz),
        "table": _family_table(table, explanation.classes),
        "n_columns": min(len(explanation.classes), MOST_CLASS_COLUMNS),
        "rest": max(len(table) - MOST_ROWS, 0),
        "left_out": max(len(explanation.classes) - MOST_CLASS_COLUMNS, 0),
        "network": embed(
            network, f"Network of the ions of family {number}, joined by named mass differences"
        ),
        "images": images,
        "beside": beside,
    }


def _family_table(table: pd.DataFrame, classes: Iterable[str]) -> _Table:
    """The best ions of a family; of many classes its own and the most active others."""
    names = list(classes)
    own = str(table.iloc[0]["class"])
    activity = {name: table[f"activation_{name}"].abs().max() for name in names}
    ordered = sorted(names, key=lambda name: (name != own, -activity[name]))
    names = [name for name in names if name in ordered[:MOST_CLASS_COLUMNS]]
    columns = [f"activation_{name}" for name in names] + [f"intensity_{name}" for name in names]
    shown = table.head(MOST_ROWS)
    digits = {
        kind: _digits(shown[[f"{kind}_{name}" for name in names]].to_numpy(dtype=float))
        for kind in ("activation", "intensity")
    }
    rows = [
        [
            f"{row['mz']:.4f}",
            str(row["role"]),
            _decimal(row["neutral_mass"], 4).replace(",", ""),
            str(row["adduct"]) or "–",
            *(_decimal(row[name], digits[name.split("_")[0]]) for name in columns),
        ]
        for _, row in shown.iterrows()
    ]
    head = ["m/z", "role", "neutral mass", "adduct", *names, *names]
    return _Table(head, rows, [True, False, True, False] + [True] * len(columns))


# -------------------------------------------------------------------- other models


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Compare the default with the best other model, fault by fault."""
    from massgraph import pl
    from massgraph.report.evaluation import against_the_best

    scores = evaluation.scores
    names = [name for name in scores["model"].unique() if not name.startswith("massgraph")]
    rows = [
        [
            row.fault,
            _decimal(row.score, 3),
            _decimal(row.best_score, 3),
            row.best,
            _decimal(row.points, 1),
            row.verdict,
        ]
        for row in against_the_best(evaluation)
    ]
    head = ["fault", "default model", "best other", "which is", "points between", "verdict"]
    picture = None
    if (scores["kind"] != "clean").any():
        picture = embed(
            pl.evaluation(scores, width=PAGE_WIDTH),
            "Balanced accuracy of the models by strength of each fault",
        )
    return {
        "seeds": int(scores["seed"].nunique()),
        "models": len(names),
        "table": _Table(head, rows, [False, True, True, False, True, False]) if rows else None,
        "picture": picture,
    }


# -------------------------------------------------------------------- branches


def _branches(segmentation: Segmentation) -> dict[str, Any] | None:
    """What each branch of the model contributed; None for a model of one branch."""
    parameters = segmentation.parameters
    shares = parameters.get("branch_shares")
    if not shares:
        return None
    titles = branch_titles()  # of those known here: a model may have been fitted elsewhere
    names = [titles.get(name, name) for name in parameters["branches"]]
    without = parameters["balanced_accuracy_without_branch"]
    return {
        "sentence": ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in zip(names, shares, strict=True)
        ),
        "all": _decimal(parameters["balanced_accuracy_cross_fitted"], 3),
        "without": [(name, _decimal(score, 3)) for name, score in zip(names, without, strict=True)],
        "calibration": {
            "ions": parameters["axis_ions"],
            "width": _decimal(parameters["mass_width_mda"], 2),
            "shift": _decimal(parameters["largest_mass_shift_mda"], 2),
            "tolerance": f"{parameters['tolerance']:.3g} {parameters['tolerance_unit']}",
        },
    }


# -------------------------------------------------------------------- settings


def _settings(segmentation: Segmentation) -> dict[str, Any]:
    parameters = dict(segmentation.parameters)
    relations = parameters.pop("relations", None)
    return {
        "parameters": [(name, _parameter(value)) for name, value in parameters.items()],
        "relations": [str(name) for name in relations or ()],
        "versions": [(name, str(value)) for name, value in segmentation.versions.items()],
    }
