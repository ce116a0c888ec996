"""Curves: learning, and deletion of the ions that decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from massgraph._util.errors import InputError
from massgraph.pl._style import FAINT, OKABE_ITO, SOFT, Picture, styled

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.segmentation import Segmentation

__all__ = ["deletion", "history"]

BLUE, ORANGE = OKABE_ITO[0], OKABE_ITO[1]
HISTORY_COLUMNS = (
    "epoch",
    "train_loss",
    "valid_loss",
    "train_balanced_accuracy",
    "valid_balanced_accuracy",
    "best",
)
DELETION_COLUMNS = ("fraction_removed", "score_top", "score_random_mean", "score_random_sd")


def history(history: Segmentation | pd.DataFrame, *, width: float = 7.2) -> Picture:
    """Draw the learning curve: loss and balanced accuracy by epoch.

    The epoch that was kept is marked, unless several nets were trained: each kept its own.

    Parameters
    ----------
    history
        A segmentation, or its table `history`.
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels; the curves of the held-out pixels are left out where there were none.

    Raises
    ------
    ValueError
        Where there is no history, or a column of it is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> table = pd.DataFrame({"epoch": [1, 2], "best": [False, True]})
    >>> for part in ("train", "valid"):
    ...     table[f"{part}_loss"] = [1.1, 0.7]
    ...     table[f"{part}_balanced_accuracy"] = [0.5, 0.8]
    >>> figure = mg.pl.history(table)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'balanced accuracy']
    """
    table = _history_table(history)
    picture = Picture(width, 0.3 * width + 0.25)
    panel = (width - 1.25) / 2
    with styled():
        for column, (ending, label) in enumerate(
            (("loss", "loss"), ("balanced_accuracy", "balanced accuracy"))
        ):
            axes = picture.axes_at(0.5 + column * (panel + 0.65), 0.38, panel, 0.3 * width - 0.35)
            _learning_panel(axes, table, ending, label)
        # The whole range of the score, so that the curves of two fits compare at a glance.
        picture.axes[1].set_ylim(-0.02, 1.02)
        _legend(picture, width)
    return picture


def _history_table(history: Any) -> pd.DataFrame:
    table = history if hasattr(history, "columns") else history.history
    if table is None or len(table) == 0:
        msg = "there is no learning curve to draw: the history is empty"
        raise InputError(msg)
    _require(table, HISTORY_COLUMNS, "history")
    return table  # type: ignore[no-any-return]


def _require(table: pd.DataFrame, columns: tuple[str, ...], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        msg = f"the {name} table lacks the columns {missing}; it has {list(table.columns)}"
        raise InputError(msg)


def _learning_panel(axes: Any, table: pd.DataFrame, ending: str, label: str) -> None:
    epochs = table["epoch"].to_numpy()
    # A line through a single epoch has no length: without a marker nothing would show.
    few = "o" if len(epochs) < 3 else ""
    for part, name, colour, dash in (
        ("train", "training pixels", BLUE, "-"),
        ("valid", "held-out pixels", ORANGE, (0, (4, 1.5))),
    ):
        values = table[f"{part}_{ending}"].to_numpy(dtype=float)
        # Without held-out pixels there is no curve, and there should be no entry in the legend.
        if np.isfinite(values).any():
            axes.plot(epochs, values, color=colour, ls=dash, marker=few, ms=3, label=name)
    best = table.loc[table["best"].astype(bool), "epoch"]
    if len(best):
        name = f"epoch kept ({int(best.iloc[-1])})"
        axes.axvline(best.iloc[-1], color=SOFT, lw=0.8, ls=":", label=name, zorder=1)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.02)


def _legend(picture: Picture, width: float) -> None:
    handles, names = picture.axes[0].get_legend_handles_labels()
    height = picture.get_figheight()
    picture.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(0.5 / width, (height - 0.01) / height),
        ncols=len(names),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.2,
    )


def deletion(curve: pd.DataFrame, *, width: float = 3.5) -> Picture:
    """Draw the deletion curve: the score left when the ions that decided are taken away.

    Parameters
    ----------
    curve
        As returned by `massgraph.faithfulness.deletion_curve`: `fraction_removed` (share of all
        peaks, 0 to 1), `score_top` (peaks of the highest-ranked ions removed first),
        `score_random_mean` and `score_random_sd` (as many peaks of random ions removed).
    width
        Width of the figure in inches.

    Returns
    -------
    matplotlib.figure.Figure
        The band is one standard deviation each way over the random draws.

    Raises
    ------
    ValueError
        Where the table is empty or lacks a column.

    Examples
    --------
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> curve = pd.DataFrame(
    ...     {
    ...         "fraction_removed": [0.0, 0.1, 0.3],
    ...         "score_top": [-0.1, -0.9, -2.1],
    ...         "score_random_mean": [-0.1, -0.2, -0.4],
    ...         "score_random_sd": [0.0, 0.05, 0.1],
    ...     }
    ... )
    >>> figure = mg.pl.deletion(curve)
    >>> figure.axes[0].get_xlabel()
    'peaks removed'
    """
    _require(curve, DELETION_COLUMNS, "deletion")
    if len(curve) == 0:
        msg = "there is no deletion curve to draw: the table is empty"
        raise InputError(msg)
    table = curve.sort_values("fraction_removed")
    removed, top, mean, spread = (table[name].to_numpy(dtype=float) for name in DELETION_COLUMNS)
    picture = Picture(width, 0.72 * width)
    with styled():
        axes = picture.axes_at(0.62, 0.4, width - 0.74, 0.72 * width - 0.48)
        axes.fill_between(removed, mean - spread, mean + spread, color=FAINT, alpha=0.45, lw=0)
        axes.plot(removed, mean, color=SOFT, marker="s", ms=2.5, label="random ions removed")
        axes.plot(removed, top, color=BLUE, marker="o", ms=3, label="top ions removed")
        axes.set(xlabel="peaks removed", ylabel="mean log probability\nof the class given before")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.02)
        axes.legend(loc="best", handlelength=1.8)
    return picture
