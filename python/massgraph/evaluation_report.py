"""What an evaluation writes: tables in Markdown, CSV and JSON, curves, and one HTML page."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from massgraph._files import atomic_directory
from massgraph.evaluate import Evaluation
from massgraph.metrics import LOW_IS_GOOD

__all__ = ["EVALUATION_NAMES", "markdown_table", "summary_lines", "write_evaluation"]

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
        How it was made, for who wants to make it again.
    overwrite
        Whether an existing folder may be replaced.

    Raises
    ------
    FileExistsError
        Where the folder exists and `overwrite` is false.
    """
    from massgraph import pl

    tests = evaluation.tests()
    with atomic_directory(directory, overwrite=overwrite) as folder:
        evaluation.scores.to_csv(folder / "scores.csv", index=False)
        evaluation.confusion.to_csv(folder / "confusion.csv", index=False)
        evaluation.costs.to_csv(folder / "costs.csv", index=False)
        evaluation.contributions.to_csv(folder / "contributions.csv", index=False)
        tests.to_csv(folder / "tests.csv", index=False)
        text = _markdown(evaluation, title, command)
        (folder / "tables.md").write_text(text, encoding="utf-8")
        (folder / "evaluation.json").write_text(_json(evaluation, title, command), encoding="utf-8")
        pictures = []
        (folder / "figures").mkdir()
        if (evaluation.scores["kind"] != "clean").any():
            for score in ("balanced_accuracy", "calibration_error"):
                figure = pl.evaluation(evaluation.scores, score=score)
                for ending in ("png", "pdf"):
                    figure.savefig(folder / "figures" / f"{score}.{ending}", dpi=300)
                pictures.append((TABLES[score], _svg(figure)))
        page = _page(evaluation, title, command, pictures)
        (folder / "evaluation.html").write_text(page, encoding="utf-8")


def _svg(figure: Any) -> str:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode('ascii')}"


def summary_lines(evaluation: Evaluation) -> list[str]:
    """In words: of each fault the best other model, and whether the default is at or above it."""
    table, spread = evaluation.table(), evaluation.spread()
    if REFERENCE not in table.index:
        return []
    rivals = [name for name in table.index if not name.startswith(REFERENCE)]
    if not rivals:
        return []
    ours = table.loc[REFERENCE].to_numpy(dtype=float)
    theirs = table.loc[rivals].to_numpy(dtype=float)
    error = spread.loc[REFERENCE].to_numpy(dtype=float)
    error = np.nan_to_num(error) / np.sqrt(evaluation.scores["seed"].nunique())
    lines = []
    for column, fault in enumerate(table.columns):
        best = int(theirs[:, column].argmax())
        gain = ours[column] - theirs[best, column]
        verdict = "won" if gain >= 0 else "lost"
        if abs(gain) <= error[column]:
            verdict = "level"
        lines.append(
            f"{fault}: {verdict}, {ours[column]:.3f} against {theirs[best, column]:.3f} "
            f"({rivals[best]}), {100 * gain:+.1f} points"
        )
    return lines


def markdown_table(table: pd.DataFrame, spread: pd.DataFrame | None = None) -> str:
    """A table of scores; the best of each column in bold, with the spread where there is one."""
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
    content = {
        "title": title,
        "command": command,
        "classes": list(evaluation.classes),
        "scores": json.loads(evaluation.scores.to_json(orient="records")),
        "tests": json.loads(evaluation.tests().to_json(orient="records")),
        "costs": json.loads(evaluation.costs.to_json(orient="records")),
    }
    return json.dumps(content, indent=1) + "\n"


def _plus_minus(value: float) -> str:
    return "" if np.isnan(value) else f"±{value:.3f}"


def _page(evaluation: Evaluation, title: str, command: str, pictures: list[tuple[str, str]]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("massgraph", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = []
    for score, name in TABLES.items():
        table, spread = evaluation.table(score), evaluation.spread(score)
        low = score in LOW_IS_GOOD
        best = table.min() if low else table.max()
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
    return environment.get_template("evaluation.html").render(
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


def check_evaluation_output(directory: Path, *, overwrite: bool) -> None:
    """Refuse a folder that exists, unless it may be replaced and holds an evaluation alone."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    foreign = [name for name in names if name not in EVALUATION_NAMES]
    if foreign:
        msg = f"{directory} holds {foreign[0]}, which is no evaluation: choose another --out"
        raise FileExistsError(msg)
    if directory.exists() and (names or not directory.is_dir()) and not overwrite:
        msg = f"{directory} exists already: choose another --out, or add --overwrite"
        raise FileExistsError(msg)
