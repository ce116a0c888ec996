"""Curves of models over the strength of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from massgraph.pl._style import FAINT, OKABE_ITO, SOFT, Picture, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluation"]

COLUMNS = ("seed", "model", "fault", "kind", "strength")
TITLES = {
    "shift": "constant mass shift (mDa)",
    "drift": "drift over the run (mDa)",
    "jitter": "mass jitter (mDa)",
    "keep": "peaks kept at random (%)",
    "top": "most intense peaks kept (%)",
    "noise": "noise peaks added (%)",
    "resolution": "peaks merged within (mDa)",
    "scale": "intensity factor",
    "batch": "batch effect (sd of log gain)",
    "mix": "signal of another class (%)",
}
ACROSS = 3
MOST_MODELS = 7
REFERENCE = "massgraph"


def evaluation(
    scores: pd.DataFrame, *, score: str = "balanced_accuracy", width: float = 7.2
) -> Picture:
    """Draw a score of each model over the strength of each fault, with the spread over seeds.

    Parameters
    ----------
    scores
        The table `massgraph.evaluate.Evaluation.scores`.
    score
        Column to draw.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per kind of fault; bars are one standard deviation over the seeds. Of more than
        seven models the default and the best on average are drawn.

    Raises
    ------
    ValueError
        Where a column is missing, or nothing but the clean spectra was measured.
    """
    missing = [name for name in (*COLUMNS, score) if name not in scores.columns]
    if missing:
        msg = f"the scores have no column {missing[0]!r}: pass Evaluation.scores"
        raise ValueError(msg)
    kinds = [kind for kind in scores["kind"].unique() if kind != "clean"]
    if not kinds:
        msg = "only clean spectra were scored: there is no curve to draw"
        raise ValueError(msg)
    models = _best(scores, score)
    rows = -(-len(kinds) // ACROSS)
    height = 1.55
    picture = Picture(width, rows * (height + 0.62) + 0.55)
    panel = (width - 0.55 * ACROSS - 0.1) / ACROSS
    bounds = _bounds(scores, score)
    with styled():
        for number, kind in enumerate(kinds):
            left = 0.5 + (number % ACROSS) * (panel + 0.55)
            bottom = 0.95 + (rows - 1 - number // ACROSS) * (height + 0.62)
            axes = picture.axes_at(left, bottom, panel, height)
            _panel(axes, scores, kind, models, score)
            axes.set_ylim(*bounds)
            if number % ACROSS == 0:
                axes.set_ylabel(score.replace("_", " "))
        handles, labels = picture.axes[0].get_legend_handles_labels()
        picture.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=6.5)
    return picture


def _best(scores: pd.DataFrame, score: str) -> list[str]:
    """The default first, then the best of the others; branches alone are left to the tables."""
    mean = scores.groupby("model")[score].mean().sort_values(ascending=False)
    others = [name for name in mean.index if name != REFERENCE and " alone" not in name]
    named = [REFERENCE] if REFERENCE in mean.index else []
    # The published network is always of interest.
    kept = others[: MOST_MODELS - len(named)]
    if "published" in others and "published" not in kept:
        kept[-1] = "published"
    return named + kept


def _bounds(scores: pd.DataFrame, score: str) -> tuple[float, float]:
    values = scores[score].to_numpy(dtype=float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.04 * max(high - low, 1e-3)
    return low - pad, high + pad


def _panel(axes: Any, scores: pd.DataFrame, kind: str, models: list[str], score: str) -> None:
    """Curves from the clean spectra to the strongest fault."""
    part = scores[scores["kind"] == kind]
    strengths = sorted(part["strength"].unique(), reverse=kind in ("keep", "top"))
    places = np.arange(len(strengths) + 1)
    for number, model in enumerate(models):
        own = scores[scores["model"] == model]
        groups = [own[own["kind"] == "clean"][score]]
        groups += [
            own[(own["kind"] == kind) & (own["strength"] == strength)][score]
            for strength in strengths
        ]
        means = np.array([group.mean() for group in groups])
        spread = np.array([group.std() if len(group) > 1 else 0.0 for group in groups])
        first = model == REFERENCE
        axes.errorbar(
            places + 0.03 * (number - len(models) / 2),
            means,
            yerr=spread,
            label=model,
            color="#000000" if first else OKABE_ITO[number % len(OKABE_ITO)],
            linewidth=1.6 if first else 0.9,
            elinewidth=0.6,
            marker="o",
            markersize=2.4,
            zorder=3 if first else 2,
        )
    axes.set_xticks(places, ["clean", *(f"{value:g}" for value in strengths)])
    axes.set_xlabel(TITLES.get(kind, kind))
    axes.grid(axis="y", color=FAINT, linewidth=0.3)
    axes.tick_params(labelsize=6.5, colors=SOFT)
