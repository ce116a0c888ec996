"""Scores of massgraph and of rivals on images, and tables of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from region_images import Image, posterior_auc, scores
from region_rivals import Attempt, attempts, cardinal_attempts

import massgraph as mg
from massgraph.report.evaluation import markdown_table

RIVALS = {"python": attempts, "cardinal": cardinal_attempts}

Variants = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]


def rows(image: Image, variants: Variants, rivals: Iterable[str]) -> Iterator[Row]:
    """Scores of all methods on one image: a row for every setting of a rival."""
    for method, options in variants.items():
        yield own_row(image, method, options)
    for attempt in chain.from_iterable(RIVALS[name](image) for name in rivals):
        yield rival_row(image, attempt)


def own_row(image: Image, method: str, options: Mapping[str, Any]) -> Row:
    """Scores of a fit; of the true number of regions unless the options say otherwise."""
    start = time.process_time()
    asked = {"n_regions": image.k, **image.options, **options}
    found = mg.SpatialRegions(**asked).fit(image.spectra)
    return {
        "method": method,
        "setting": "",
        **scores(image, found.labels_),
        "auc": posterior_auc(image, found.labels_, found.probabilities_),
        "seconds": time.process_time() - start,
        "n_found": found.n_regions_,
        "n_true": image.k,
        "covariance": found.summary()["covariance"],
        "off_tissue": found.off_tissue_ is not None,
    }


def rival_row(image: Image, attempt: Attempt) -> Row:
    """Scores of one labelling of a rival."""
    return {
        "method": attempt.method,
        "setting": attempt.setting,
        **scores(image, attempt.labels),
        "seconds": attempt.seconds,
        "n_found": len(set(attempt.labels.tolist())),
        "n_true": image.k,
    }


# -------------------------------------------------------------------- tables


def write(found: list[Row], folder: Path, score: str = "ari") -> None:
    """scores.csv, and the tables of them in tables.md."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(found)
    table.to_csv(folder / "scores.csv", index=False)
    text = (
        f"Each method at the setting that has the best {score} on the very image:\n\n"
        f"{_means(best_of_image(table, score), score)}\n"
        f"Each at the one setting that is best over all these images:\n\n"
        f"{_means(best_setting(table, score), score)}\n"
    )
    if "auc" in table:
        own = table[table["auc"].notna()]
        text += f"AUC of the largest probability for pixels being right:\n\n{_means(own, 'auc')}"
    (folder / "tables.md").write_text(text, encoding="utf-8")


def best_of_image(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """The row of each method and image with the largest score: what an oracle would choose."""
    groups = table.groupby(["method", "scenario", "seed"], sort=False)
    return table.loc[groups[score].idxmax()]


def best_setting(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """The rows of that setting of each method whose mean score over all images is largest."""
    means = table.groupby(["method", "setting"], sort=False)[score].agg(["mean", "size"])
    # A setting that exists for some images only, such as an ion's number, is not one for all.
    means = means[means["size"] == means.groupby("method")["size"].transform("max")]
    chosen = means.groupby("method", sort=False)["mean"].idxmax()
    return table.set_index(["method", "setting"]).loc[list(chosen)].reset_index()


def _means(table: pd.DataFrame, score: str) -> str:
    methods, scenarios = table["method"].unique(), table["scenario"].unique()
    cells = table.groupby(["method", "scenario"])[score]
    mean, spread = (
        found.unstack().loc[methods, scenarios] for found in (cells.mean(), cells.std())
    )
    return str(markdown_table(mean, spread))
