"""How sure a region is, in words, and what makes a map doubtful."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

__all__ = ["cautions", "verdicts"]

CLEAR, DOUBTFUL = 0.8, 0.5  # stability
CONTINUUM = 2.65  # deviations between the halves of a normal distribution that was cut in two
CLOSE_NUMBERS = 0.8  # of the best ratio: another number explains the image nearly as well
FEW_PIXELS = 20


def verdicts(regions: pd.DataFrame) -> list[str]:
    """One sentence per region.

    Parameters
    ----------
    regions
        Columns `n_pixels`, `separation`, `stability` and `n_molecules` of
        `massgraph.explain.region_findings.RegionFindings`.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.explain.region_words import verdicts
    >>> columns = ["n_pixels", "separation", "stability", "n_molecules"]
    >>> verdicts(pd.DataFrame([[300, 6.2, 0.93, 41]], columns=columns))
    ['clear: 93 % the same in maps of half the molecules; 41 molecules define it']
    """
    return [_verdict(row) for row in regions.itertuples()]


def _verdict(row: object) -> str:
    stability, n_molecules = float(row.stability), int(row.n_molecules)  # type: ignore[attr-defined]
    if np.isnan(stability):
        return "not tested with halves of the molecules"
    level = "clear" if stability >= CLEAR else "fair" if stability >= DOUBTFUL else "doubtful"
    words = [f"{level}: {stability:.0%} the same in maps of half the molecules".replace("%", " %")]
    if stability >= DOUBTFUL:
        counted = "1 molecule defines" if n_molecules == 1 else f"{n_molecules} molecules define"
        words.append(f"{counted} it")
    if row.separation <= CONTINUUM:  # type: ignore[attr-defined]
        words.append("may be half of a continuum")
    if row.n_pixels < FEW_PIXELS:  # type: ignore[attr-defined]
        words.append(f"only {row.n_pixels} pixels")  # type: ignore[attr-defined]
    return "; ".join(words)


def cautions(
    regions: pd.DataFrame, selection: pd.DataFrame | None, kept: float | None = None
) -> tuple[str, ...]:
    """What makes a map doubtful, one sentence each; none where nothing does.

    Parameters
    ----------
    regions
        As for `verdicts`, with `region` (name) and `run`.
    selection
        `massgraph.learn.mixture_path.selection_curve`, or None.
    kept
        Share of the peaks that are left where others are lost at random; None where none are.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.explain.region_words import cautions
    >>> columns = ["region", "n_pixels", "separation", "stability", "n_molecules", "run"]
    >>> rows = [["region 1", 300, 6.2, 0.9, 4, None], ["region 2", 90, 5.1, 0.2, 0, None]]
    >>> cautions(pd.DataFrame(rows, columns=columns), None)
    ('region 2 is not found again by half of the molecules: do not interpret it.',)
    """
    return (
        *_of_stability(regions),
        *_of_separation(regions),
        *_of_runs(regions),
        *_of_number(selection),
        *_of_lost_peaks(kept),
    )


def _listed(names: pd.Series[str]) -> str:
    *others, last = names.tolist()
    return f"{', '.join(others)} and {last}" if others else str(last)


def _of_stability(regions: pd.DataFrame) -> Iterator[str]:
    tested = regions["stability"].notna()
    if not tested.any():
        yield "The map was not tested with halves of the molecules: there is too little to divide."
        return
    doubtful = regions.loc[regions["stability"] < DOUBTFUL, "region"]
    if len(doubtful) > tested.sum() / 2:
        yield (
            "The map as a whole is doubtful: halves of the molecules do not find most of its "
            "regions again. Its probabilities say nothing of this."
        )
    elif len(doubtful):
        verb, them = ("is", "it") if len(doubtful) == 1 else ("are", "them")
        yield (
            f"{_listed(doubtful)} {verb} not found again by half of the molecules: do not "
            f"interpret {them}."
        )


def _of_separation(regions: pd.DataFrame) -> Iterator[str]:
    close = regions.loc[regions["separation"] <= CONTINUUM, "region"]
    if len(close):
        yield (
            f"{_listed(close)} may be parts of one continuum: cut in two, a continuum has halves "
            f"that are {CONTINUUM} deviations apart."
        )


def _of_runs(regions: pd.DataFrame) -> Iterator[str]:
    tissue = regions[regions["stability"].notna()]
    alone = tissue["run"].notna()
    if len(tissue) > 1 and alone.all():
        yield (
            "Each region lies in one run: the map shows the runs. For runs of similar tissue, find "
            "the regions with run offsets taken off."
        )
    elif alone.any():
        yield f"{_listed(tissue.loc[alone, 'region'])}: nearly all of it lies in one run."


def _of_number(selection: pd.DataFrame | None) -> Iterator[str]:
    if selection is None:
        return
    ratio = selection["ratio"].fillna(-np.inf).to_numpy()
    order = np.argsort(-ratio)
    if len(order) > 1 and ratio[order[1]] > CLOSE_NUMBERS * ratio[order[0]] > 0:
        numbers = sorted(selection["n_regions"].to_numpy()[order[:2]].tolist())
        yield (
            f"The number of regions is not clear: {numbers[0]} and {numbers[1]} explain the image "
            "nearly as well. Look at both maps."
        )


def _of_lost_peaks(kept: float | None) -> Iterator[str]:
    if kept is not None:
        yield (
            f"About {1 - kept:.0%} of the peaks are missing at random, strong ones too: look for "
            "what left them out, such as a limit on peaks or a picking that came and went."
        )
