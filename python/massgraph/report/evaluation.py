"""An evaluation as a folder: tables in Markdown, CSV and JSON, curves, and one HTML page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from massgraph._util.errors import InputError
from massgraph._util.files import atomic_directory
from massgraph.evidence.evaluate import Evaluation
from massgraph.evidence.metrics import LOW_IS_GOOD
from massgraph.report._tables import write_table
from massgraph.report.template import embed, environment

__all__ = [
    "EVALUATION_NAMES",
    "Contest",
    "against_the_best",
    "markdown_table",
    "read_evaluation",
    "summary_lines",
    "write_evaluation",
]

EVALUATION_NAMES = frozenset(
    {
        "confusion.csv",
        "contributions.csv",
        "costs.csv",
        "evaluation.html",
        "evaluation.json",
        "figures",
        "scores.csv",
        "tables.md",
        "tests.csv",
    }
)
"""What a folder of an evaluation may hold."""

TABLES = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auc": "Area under the ROC curve",
    "log_loss": "Log loss",
    "calibration_error": "Expected calibration error",
    "uncertainty": "Mean uncertainty",
}
REFERENCE = "massgraph"
# The paired tests are not among them: they follow from the scores.
TABLES_OF_FOLDER = ("scores", "confusion", "costs", "contributions")


def write_evaluation(
    evaluation: Evaluation,
    directory: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    overwrite: bool = False,
) -> None:
    """Write an evaluation as a folder, whole or not at all.

    Parameters
    ----------
    evaluation
        What was measured.
    directory
        The folder to make; it holds the files of `EVALUATION_NAMES`.
    title
        What was evaluated, for the headings.
    command
        The command that made it, for anyone who wants to repeat it.
    overwrite
        Whether an existing folder may be replaced.

    Raises
    ------
    FileExistsError
        Where the folder exists and `overwrite` is false.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.evidence.evaluate import QUICK_FAULTS, evaluate, split_tasks
    >>> from massgraph.report.evaluation import write_evaluation
    >>> tasks = split_tasks(*mg.simulate("tiny", n_runs=1), folds=3, seeds=[0], held_out=1)
    >>> small = {"branches": ("axis",), "folds": 2, "augment": 0}
    >>> models = {"massgraph": lambda seed: mg.RGCNClassifier(random_state=seed, **small)}
    >>> evaluation = evaluate(tasks, models, faults=QUICK_FAULTS[:1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_evaluation(evaluation, Path(folder) / "out", title="Tissue", command="...")
    ...     print((Path(folder) / "out" / "tables.md").read_text()[:8])
    # Tissue
    """
    from massgraph import pl

    tests = evaluation.tests()
    with atomic_directory(directory, overwrite=overwrite) as folder:
        for name in TABLES_OF_FOLDER:
            # More digits than a reader needs: the tables are read again, and averaged.
            write_table(getattr(evaluation, name), folder / f"{name}.csv", significant=6)
        write_table(tests, folder / "tests.csv")
        text = _markdown(evaluation, title, command)
        (folder / "tables.md").write_text(text, encoding="utf-8")
        (folder / "evaluation.json").write_text(_json(evaluation, title, command), encoding="utf-8")
        pictures = []
        (folder / "figures").mkdir()
        # Curves run over the strength of a fault, and clean spectra have none.
        if (evaluation.scores["kind"] != "clean").any():
            for score in ("balanced_accuracy", "calibration_error"):
                figure = pl.evaluation(evaluation.scores, score=score)
                for ending in ("png", "pdf"):
                    figure.savefig(folder / "figures" / f"{score}.{ending}", dpi=300)
                pictures.append((TABLES[score], embed(figure, TABLES[score]).source))
        page = _page(evaluation, title, command, pictures)
        (folder / "evaluation.html").write_text(page, encoding="utf-8")


def read_evaluation(directory: str | os.PathLike[str]) -> Evaluation:
    """Read a folder that `write_evaluation` wrote.

    Raises
    ------
    FileNotFoundError
        Where the folder, or a table of it, is missing.
    ValueError
        Where a file is not that of an evaluation.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.evidence.evaluate import QUICK_FAULTS, evaluate, split_tasks
    >>> from massgraph.report.evaluation import read_evaluation, write_evaluation
    >>> tasks = split_tasks(*mg.simulate("tiny", n_runs=1), folds=3, seeds=[0], held_out=1)
    >>> small = {"branches": ("axis",), "folds": 2, "augment": 0}
    >>> models = {"massgraph": lambda seed: mg.RGCNClassifier(random_state=seed, **small)}
    >>> evaluation = evaluate(tasks, models, faults=QUICK_FAULTS[:1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_evaluation(evaluation, Path(folder) / "out", title="Tissue", command="...")
    ...     again = read_evaluation(Path(folder) / "out")
    >>> again.classes == evaluation.classes
    True
    """
    folder = Path(directory)
    path = folder / "evaluation.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tables = {name: _read_table(folder / f"{name}.csv") for name in TABLES_OF_FOLDER}
        found = Evaluation(tuple(content["classes"]), **tables, ratio=float(content["ratio"]))
        found.table()  # a column that is missing is found here, and not when somebody draws it
    except FileNotFoundError as error:
        msg = (
            f"{folder} is no folder of `massgraph evaluate`: {Path(error.filename).name} is missing"
        )
        raise FileNotFoundError(msg) from error
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        msg = f"{folder} is no folder of `massgraph evaluate`: {reason}"
        raise InputError(msg) from error
    return found


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:  # no branches were measured
        return pd.DataFrame()


class Contest(NamedTuple):
    """The default model beside the best of the others, under one fault.

    Scores are balanced accuracies, and `points` are hundredths of their difference; the `verdict`
    is ``"level"`` within the standard error of the default over the seeds, else ``"won"`` or
    ``"lost"``.

    Examples
    --------
    >>> from massgraph.report.evaluation import Contest
    >>> row = Contest("clean", 0.953, "shrinkage_lda", 0.930, 2.3, "won")
    >>> f"{row.fault}: {row.verdict} against {row.best}"
    'clean: won against shrinkage_lda'
    """

    fault: str
    score: float
    best: str
    best_score: float
    points: float
    verdict: str


def against_the_best(evaluation: Evaluation) -> list[Contest]:
    """Compare the default with the best other model, fault by fault.

    The list is empty where either was not evaluated.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.evidence.evaluate import Evaluation
    >>> from massgraph.report.evaluation import against_the_best
    >>> scores = pd.DataFrame(
    ...     {
    ...         "seed": 0,
    ...         "model": ["massgraph", "lda"],
    ...         "fault": "clean",
    ...         "balanced_accuracy": [0.95, 0.93],
    ...     }
    ... )
    >>> none = pd.DataFrame()
    >>> evaluation = Evaluation(("a", "b"), scores, none, none, none, ratio=0.0)
    >>> [(contest.fault, contest.best, contest.verdict) for contest in against_the_best(evaluation)]
    [('clean', 'lda', 'won')]
    """
    table, spread = evaluation.table(), evaluation.spread()
    # "massgraph: axis alone" and the like are parts of the default, not its rivals.
    rivals = [name for name in table.index if not name.startswith(REFERENCE)]
    if REFERENCE not in table.index or not rivals:
        return []
    ours = table.loc[REFERENCE].to_numpy(dtype=float)
    theirs = table.loc[rivals].to_numpy(dtype=float)
    # One seed has no spread: any difference then decides.
    error = np.nan_to_num(spread.loc[REFERENCE].to_numpy(dtype=float))
    error /= np.sqrt(evaluation.scores["seed"].nunique())
    found = []
    for column, fault in enumerate(table.columns):
        score, best = float(ours[column]), int(theirs[:, column].argmax())
        best_score = float(theirs[best, column])
        gain = score - best_score
        verdict = "level" if abs(gain) <= error[column] else "won" if gain > 0 else "lost"
        found.append(Contest(str(fault), score, rivals[best], best_score, 100 * gain, verdict))
    return found


def summary_lines(evaluation: Evaluation) -> list[str]:
    """Say for each fault which other model is best, and whether the default is ahead of it.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.evidence.evaluate import Evaluation
    >>> from massgraph.report.evaluation import summary_lines
    >>> scores = pd.DataFrame(
    ...     {
    ...         "seed": 0,
    ...         "model": ["massgraph", "lda"],
    ...         "fault": "clean",
    ...         "balanced_accuracy": [0.95, 0.93],
    ...     }
    ... )
    >>> none = pd.DataFrame()
    >>> evaluation = Evaluation(("a", "b"), scores, none, none, none, ratio=0.0)
    >>> summary_lines(evaluation)
    ['clean: won, 0.950 against 0.930 (lda), +2.0 points']
    """
    return [
        f"{row.fault}: {row.verdict}, {row.score:.3f} against {row.best_score:.3f} "
        f"({row.best}), {row.points:+.1f} points"
        for row in against_the_best(evaluation)
    ]


def markdown_table(table: pd.DataFrame, spread: pd.DataFrame | None = None) -> str:
    """Set a table of scores in Markdown: the best of each column in bold, with its spread if given.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.report.evaluation import markdown_table
    >>> table = pd.DataFrame({"clean": [0.953, 0.927]}, index=["massgraph", "lda"])
    >>> print(markdown_table(table))
    | model | clean |
    |---|---|
    | massgraph | **.953** |
    | lda | .927 |
    """
    low_is_good = table.columns.name == "low is good"
    best = table.min() if low_is_good else table.max()
    head = "| model | " + " | ".join(map(str, table.columns)) + " |"
    lines = [head, "|" + "---|" * (len(table.columns) + 1)]
    for model in table.index:
        cells = []
        for fault in table.columns:
            value = table.loc[model, fault]
            text = f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"
            if spread is not None and np.isfinite(spread.loc[model, fault]):
                text += f" ±{spread.loc[model, fault]:.3f}".replace("0.", ".", 1)
            cells.append(f"**{text}**" if value == best[fault] else text)
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _markdown(evaluation: Evaluation, title: str, command: str) -> str:
    n_seeds = evaluation.scores["seed"].nunique()
    parts = [
        f"# {title}",
        f"`{command}`",
        f"{n_seeds} seeds; ± is one standard deviation over them." if n_seeds > 1 else "One seed.",
    ]
    for score, name in TABLES.items():
        table = evaluation.table(score)
        if score in LOW_IS_GOOD:
            table.columns.name = "low is good"
        parts += [f"## {name}", markdown_table(table, evaluation.spread(score))]
    lines = summary_lines(evaluation)
    if lines:
        parts += [
            "## The default against the best other model",
            "\n".join(f"- {line}" for line in lines),
        ]
    if len(evaluation.contributions):
        means = evaluation.contributions.groupby("branch", sort=False).mean(numeric_only=True)
        parts += ["## Branches (held-out training pixels)", _plain(means.drop(columns="seed"))]
    cost = evaluation.costs.groupby("model", sort=False)["seconds"].mean().to_frame()
    parts += ["## Seconds per fit", _plain(cost)]
    return "\n\n".join(parts) + "\n"


def _plain(table: pd.DataFrame) -> str:
    head = f"| {table.index.name} | " + " | ".join(table.columns) + " |"
    lines = [head, "|" + "---|" * (len(table.columns) + 1)]
    for name, row in table.iterrows():
        cells = ("–" if np.isnan(value) else f"{value:.3g}" for value in row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _json(evaluation: Evaluation, title: str, command: str) -> str:
    """Everything but the confusion, as JSON; missing numbers are null."""
    # pandas writes them as null; `json` would write NaN, which other readers of JSON refuse.
    content = {
        "title": title,
        "command": command,
        "classes": list(evaluation.classes),
        "ratio": evaluation.ratio,
        "scores": json.loads(evaluation.scores.to_json(orient="records")),
        "tests": json.loads(evaluation.tests().to_json(orient="records")),
        "costs": json.loads(evaluation.costs.to_json(orient="records")),
    }
    return json.dumps(content, indent=1) + "\n"


def _page(evaluation: Evaluation, title: str, command: str, pictures: list[tuple[str, str]]) -> str:
    tables = []
    for score, name in TABLES.items():
        table, spread = evaluation.table(score), evaluation.spread(score)
        low = score in LOW_IS_GOOD
        best = table.min() if low else table.max()
        # Being sure is no merit by itself: no model is marked as best by its uncertainty.
        rows = [
            (
                model,
                [
                    (
                        f"{table.loc[model, fault]:.3f}",
                        ""
                        if np.isnan(spread.loc[model, fault])
                        else f"±{spread.loc[model, fault]:.3f}",
                        bool(table.loc[model, fault] == best[fault]) and score != "uncertainty",
                    )
                    for fault in table.columns
                ],
            )
            for model in table.index
        ]
        tables.append({"name": name, "faults": list(table.columns), "rows": rows})
    branches = []
    if len(evaluation.contributions):
        means = evaluation.contributions.groupby("branch", sort=False).mean(numeric_only=True)
        branches = [
            (
                str(name),
                f"{100 * row['share']:.0f} %",
                f"{row['balanced_accuracy_alone']:.3f}",
                "–"
                if np.isnan(row["balanced_accuracy_without"])
                else f"{row['balanced_accuracy_without']:.3f}",
            )
            for name, row in means.iterrows()
        ]
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            title=title,
            command=command,
            n_seeds=int(evaluation.scores["seed"].nunique()),
            classes=list(evaluation.classes),
            chance=f"{1 / len(evaluation.classes):.2f}",
            summary=summary_lines(evaluation),
            tables=tables,
            pictures=pictures,
            branches=branches,
        )
    )
