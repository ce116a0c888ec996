"""What a classifier's explanation says: mirror plots, families of ions, deletion, other models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from massgraph.learn.branches import branch_titles
from massgraph.report._pictures import BESIDE_RUNS, HALF_WIDTH, PAGE_WIDTH
from massgraph.report._words import Table, decimal, digits, runs
from massgraph.report.template import embed

if TYPE_CHECKING:
    from massgraph.evidence.evaluate import Evaluation
    from massgraph.explain.activation import Explanation
    from massgraph.segmentation import Segmentation

__all__ = ["branches", "deletion", "evaluation", "families", "mirrors"]

# The network and ion images of one run, where the network is so tall that a page would not hold
# both below each other and the table.
BESIDE_TALL = (4.95, 2.0)
TALL = 3.9
MOST_ROWS = 12
MOST_CLASS_COLUMNS = 4
IONS_PICTURED = 3


def mirrors(segmentation: Segmentation, explanation: Explanation) -> list[dict[str, Any]]:
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


def deletion(curve: pd.DataFrame) -> dict[str, Any]:
    from massgraph import pl

    picture = embed(
        pl.deletion(curve, width=HALF_WIDTH), "Score left when top ions or random ions are removed"
    )
    last = curve.sort_values("fraction_removed").iloc[-1]
    start = curve.sort_values("fraction_removed").iloc[0]
    return {
        "picture": picture,
        "share": f"{100 * last['fraction_removed']:.0f}",
        "start": decimal(start["score_top"], 2),
        "top": decimal(last["score_top"], 2),
        "random": decimal(last["score_random_mean"], 2),
        # A gap within the spread of the random draws would prove nothing.
        "holds": bool(last["score_top"] < last["score_random_mean"] - last["score_random_sd"]),
    }


def families(
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
    several = len(runs(segmentation)) > 1
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
        "absence": first["direction"] == "less",
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


def _family_table(table: pd.DataFrame, classes: Iterable[str]) -> Table:
    """The best ions of a family; of many classes its own and the most active others."""
    names = list(classes)
    own = str(table.iloc[0]["class"])
    activity = {name: table[f"activation_{name}"].abs().max() for name in names}
    ordered = sorted(names, key=lambda name: (name != own, -activity[name]))
    names = [name for name in names if name in ordered[:MOST_CLASS_COLUMNS]]
    columns = [f"activation_{name}" for name in names] + [f"intensity_{name}" for name in names]
    shown = table.head(MOST_ROWS)
    shown = shown.assign(
        **{f"intensity_{name}": 100 * shown[f"intensity_{name}"] for name in names}
    )
    places = {
        kind: digits(shown[[f"{kind}_{name}" for name in names]].to_numpy(dtype=float))
        for kind in ("activation", "intensity")
    }
    rows = [
        [
            f"{row['mz']:.4f}",
            str(row["role"]),
            decimal(row["neutral_mass"], 4).replace(",", ""),
            str(row["adduct"]) or "–",
            *(decimal(row[name], places[name.split("_")[0]]) for name in columns),
        ]
        for _, row in shown.iterrows()
    ]
    head = ["m/z", "role", "neutral mass", "adduct", *names, *names]
    return Table(head, rows, [True, False, True, False] + [True] * len(columns))


def evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Compare the default with the best other model, fault by fault."""
    from massgraph import pl
    from massgraph.report.evaluation import against_the_best

    scores = evaluation.scores
    names = [name for name in scores["model"].unique() if not name.startswith("massgraph")]
    rows = [
        [
            row.fault,
            decimal(row.score, 3),
            decimal(row.best_score, 3),
            row.best,
            decimal(row.points, 1),
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
        "table": Table(head, rows, [False, True, True, False, True, False]) if rows else None,
        "picture": picture,
    }


def branches(segmentation: Segmentation) -> dict[str, Any] | None:
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
        "all": decimal(parameters["balanced_accuracy_cross_fitted"], 3),
        "without": [(name, decimal(score, 3)) for name, score in zip(names, without, strict=True)],
        "left_out": [
            {**one, "branch": titles.get(one["branch"], one["branch"])}
            for one in parameters.get("left_out", [])
        ],
        "calibration": {
            "ions": parameters["axis_ions"],
            "width": decimal(parameters["mass_width_mda"], 2),
            "shift": decimal(parameters["largest_mass_shift_mda"], 2),
            "tolerance": f"{parameters['tolerance']:.3g} {parameters['tolerance_unit']}",
        },
        "gains": [
            (run, decimal(spread, 2)) for run, spread in parameters.get("gains_of_runs", {}).items()
        ],
    }
