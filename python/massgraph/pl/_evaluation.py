"""Curves of models over the strength of faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from massgraph._util.errors import InputError
from massgraph.evidence.metrics import LOW_IS_GOOD
from massgraph.pl._style import FAINT, OKABE_ITO, SOFT, Picture, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluation", "training_pixels"]

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
HEIGHT = 1.55  # of a panel, in inches
MOST_MODELS = 7
REFERENCE = "massgraph"


def evaluation(
    scores: pd.DataFrame, *, score: str = "balanced_accuracy", width: float = 7.2
) -> Picture:
    """Draw a score of each model over the strength of each fault, with the spread over seeds.

    Parameters
    ----------
    scores
        The table `massgraph.evidence.evaluate.Evaluation.scores`.
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
        Where a column is missing, or only the clean spectra were scored.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> scores = pd.DataFrame(
    ...     {
    ...         "seed": 0,
    ...         "model": ["massgraph", "lda", "massgraph", "lda"],
    ...         "fault": ["clean", "clean", "jitter 5 mDa", "jitter 5 mDa"],
    ...         "kind": ["clean", "clean", "jitter", "jitter"],
    ...         "strength": [0, 0, 5, 5],
    ...         "balanced_accuracy": [0.95, 0.93, 0.92, 0.60],
    ...     }
    ... )
    >>> figure = mg.pl.evaluation(scores)
    >>> figure.axes[0].get_xlabel()
    'mass jitter (mDa)'
    """
    _check(scores, (*COLUMNS, score))
    kinds = [kind for kind in scores["kind"].unique() if kind != "clean"]
    if not kinds:
        msg = "only clean spectra were scored: there is no curve to draw"
        raise InputError(msg)
    models = _best(scores, score)

    def panel(axes: Any, kind: str) -> None:
        _panel(axes, scores, kind, models, score)

    return _panels(kinds, panel, scores, score, width)


def training_pixels(
    scores: pd.DataFrame, *, score: str = "balanced_accuracy", width: float = 7.2
) -> Picture:
    """Draw a score of each model over the number of labelled pixels, with the spread over seeds.

    Parameters
    ----------
    scores
        Tables `massgraph.evaluate.Evaluation.scores` with a column `per_class`, the number of
        labelled pixels of each class.
    score
        Column to draw.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per fault; bars are one standard deviation over the seeds. Of more than seven models
        the default and the best on average are drawn.

    Raises
    ------
    ValueError
        Where a column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> scores = pd.DataFrame(
    ...     {
    ...         "seed": 0,
    ...         "model": ["massgraph", "lda", "massgraph", "lda"],
    ...         "fault": "clean",
    ...         "kind": "clean",
    ...         "strength": 0,
    ...         "per_class": [10, 10, 100, 100],
    ...         "balanced_accuracy": [0.76, 0.69, 0.95, 0.93],
    ...     }
    ... )
    >>> figure = mg.pl.training_pixels(scores)
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['10', '100']
    """
    _check(scores, (*COLUMNS, "per_class", score))
    faults = list(scores["fault"].unique())
    models = _best(scores, score)
    numbers = sorted(scores["per_class"].unique())

    def panel(axes: Any, fault: str) -> None:
        own = scores[scores["fault"] == fault]
        for number, model in enumerate(models):
            part = own[own["model"] == model].groupby("per_class")[score]
            groups = [part.get_group(count) for count in numbers]
            _curve(axes, groups, number, model, len(models))
        axes.set_xticks(range(len(numbers)), [f"{count:g}" for count in numbers])
        axes.set_xlabel("labelled pixels per class")
        axes.set_title(fault, fontsize=7.5)

    return _panels(faults, panel, scores, score, width)


def _panels(
    names: Sequence[str],
    panel: Callable[[Any, str], None],
    scores: pd.DataFrame,
    score: str,
    width: float,
) -> Picture:
    """One panel per name, all with the same bounds, and the legend below."""
    rows = -(-len(names) // ACROSS)
    picture = Picture(width, rows * (HEIGHT + 0.62) + 0.55)
    bounds = _bounds(scores, score)
    with styled():
        for place, name in enumerate(names):
            axes = _axes(picture, place, rows)
            panel(axes, name)
            axes.set_ylim(*bounds)
            if place % ACROSS == 0:
                axes.set_ylabel(score.replace("_", " "))
        handles, labels = picture.axes[0].get_legend_handles_labels()
        picture.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=6.5)
    return picture


def _check(scores: pd.DataFrame, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in scores.columns]
    if missing:
        msg = f"the scores have no column {missing[0]!r}: pass Evaluation.scores"
        raise InputError(msg)


def _axes(picture: Picture, place: int, rows: int) -> Any:
    """Axes of a panel, in reading order above the legend."""
    across = (picture.get_figwidth() - 0.55 * ACROSS - 0.1) / ACROSS
    left = 0.5 + (place % ACROSS) * (across + 0.55)
    bottom = 0.95 + (rows - 1 - place // ACROSS) * (HEIGHT + 0.62)
    axes = picture.axes_at(left, bottom, across, HEIGHT)
    axes.grid(axis="y", color=FAINT, linewidth=0.3)
    axes.tick_params(labelsize=6.5, colors=SOFT)
    return axes


def _curve(axes: Any, groups: list[pd.Series[float]], number: int, model: str, n: int) -> None:
    """Mean of each group with its standard deviation."""
    first = model == REFERENCE
    # Each model stands a little aside: error bars at one place would hide each other.
    axes.errorbar(
        np.arange(len(groups)) + 0.03 * (number - n / 2),
        [group.mean() for group in groups],
        yerr=[group.std() if len(group) > 1 else 0.0 for group in groups],
        label=model,
        color="#000000" if first else OKABE_ITO[number % len(OKABE_ITO)],
        linewidth=1.6 if first else 0.9,
        elinewidth=0.6,
        marker="o",
        markersize=2.4,
        zorder=3 if first else 2,
    )


def _best(scores: pd.DataFrame, score: str) -> list[str]:
    """Put the default first, then the best others; single branches are left to the tables."""
    mean = scores.groupby("model")[score].mean().sort_values(ascending=score in LOW_IS_GOOD)
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
    # Where all scores are equal, the axis still needs some height.
    pad = 0.04 * max(high - low, 1e-3)
    return low - pad, high + pad


def _panel(axes: Any, scores: pd.DataFrame, kind: str, models: list[str], score: str) -> None:
    """Curves from the clean spectra to the strongest fault."""
    part = scores[scores["kind"] == kind]
    # The strength of these two is the share of peaks that is left: the smallest is the worst.
    strengths = sorted(part["strength"].unique(), reverse=kind in ("keep", "top"))
    for number, model in enumerate(models):
        own = scores[scores["model"] == model]
        groups = [own[own["kind"] == "clean"][score]]
        groups += [
            own[(own["kind"] == kind) & (own["strength"] == strength)][score]
            for strength in strengths
        ]
        _curve(axes, groups, number, model, len(models))
    # Evenly spaced and not to scale: "clean" and 5 mDa would fall together beside 200.
    axes.set_xticks(range(len(strengths) + 1), ["clean", *(f"{value:g}" for value in strengths)])
    axes.set_xlabel(TITLES.get(kind, kind))
