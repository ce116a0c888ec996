"""The report of a classification: what it shows, from the segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.report._explained import branches, deletion, evaluation, families, mirrors
from massgraph.report._pictures import CURVE_WIDTH, maps, why_no_map
from massgraph.report._words import (
    Table,
    count,
    decimal,
    measured,
    settings,
)
from massgraph.report.template import embed

if TYPE_CHECKING:
    from massgraph.evidence.evaluate import Evaluation
    from massgraph.segmentation import Segmentation

__all__ = ["class_context"]

MOST_CLASS_COLUMNS = 4
MOST_NAMED_COLUMNS = 8

SUBSETS = ("unseen", "held out", "training")


def class_context(
    segmentation: Segmentation,
    n_families: int,
    curve: pd.DataFrame | None,
    others: Evaluation | None,
) -> dict[str, Any]:
    """All that the template of the report shows.

    Parameters
    ----------
    segmentation, n_families
        As for `massgraph.report.page.write_report`.
    curve, others
        Its `deletion` and `evaluation`.
    """
    no_map = why_no_map(segmentation)
    explanation = segmentation.explanation
    return {
        "unit": "class",
        "units": "classes",
        "before": "class ",
        "summary": _summary(segmentation),
        "no_map": no_map,
        "maps": None if no_map else maps(segmentation, labelled=bool(_labelled(segmentation))),
        "learning": _learning(segmentation),
        "agreement": _agreement(segmentation),
        "mirrors": None if explanation is None else mirrors(segmentation, explanation),
        "mirrors_missing": [name for name, n in segmentation.counts().items() if n == 0],
        # Of spectra that were read block by block there are no peaks left for ion images.
        "families": families(
            segmentation, n_families, with_images=not no_map and segmentation.spectra.n_peaks > 0
        ),
        "deletion": None if curve is None else deletion(curve),
        "evaluation": None if others is None else evaluation(others),
        "branches": branches(segmentation),
        "settings": settings(segmentation),
    }


def _summary(segmentation: Segmentation) -> dict[str, Any]:
    from massgraph.pl._style import class_colours

    counts = segmentation.counts()
    total = max(segmentation.n_pixels, 1)
    decided = segmentation.by_neighbours
    return {
        **measured(segmentation),
        "classes": [
            {"name": name, "count": int(n), "share": f"{100 * n / total:.0f}", "colour": colour}
            for (name, n), colour in zip(counts.items(), class_colours(len(counts)), strict=True)
        ],
        "labelled": bool(_labelled(segmentation)),
        "by_neighbours": 0 if decided is None else int(decided.sum()),
        "accuracy": _accuracy(segmentation),
        "chance": decimal(1 / len(segmentation.classes), 2),
    }


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
            "value": decimal(segmentation.balanced_accuracy(mask), 3),
            "missing": _classes_without(segmentation, mask),
        }
        for name, mask in _labelled(segmentation).items()
    }
    return {name: found.get(name) for name in (*SUBSETS, "labelled")}


def _classes_without(segmentation: Segmentation, mask: NDArray[np.bool_]) -> list[str]:
    """Classes of which no pixel is labelled: the balanced accuracy says nothing of them."""
    recall = segmentation.recall(mask)
    return [name for name in segmentation.classes if np.isnan(recall[name])]


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


def _metrics_table(segmentation: Segmentation) -> Table:
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
            count(row["n_labelled"]),
            decimal(row["balanced_accuracy"], 3),
            decimal(row["uncertainty"], 3),
            *(decimal(row[name], 3) for name in recalls),
        ]
        for _, row in metrics.iterrows()
    ]
    return Table(head, rows, [False, False] + [True] * (len(head) - 2))


def _confusion_table(segmentation: Segmentation, mask: NDArray[np.bool_]) -> Table:
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
        row = [f"{prefix}{name}", *(count(n) for n in confusion.loc[name])]
        row += [count(missed[name])] if missed.any() else []
        rows.append([*row, count(labelled[name]), decimal(recall[name], 3)])
    return Table(head, rows, [False] + [True] * (len(head) - 1))
