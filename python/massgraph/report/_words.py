"""Words and numbers as the pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.encode.coverage import best_covered

if TYPE_CHECKING:
    from massgraph.segmentation import Segmentation

__all__ = [
    "Table",
    "count",
    "decimal",
    "default_title",
    "digits",
    "mean",
    "measured",
    "named_runs",
    "parameter",
    "runs",
    "settings",
]

MOST_RUNS_NAMED = 6


@dataclass(frozen=True)
class Table:
    """Cells as text; `numeric` says which columns are aligned right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]


def count(number: float) -> str:
    return f"{int(number):,}"


def decimal(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    text = f"{value:,.{digits}f}"
    # what rounds to zero has no sign
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


def digits(values: NDArray[np.float64]) -> int:
    """Decimals that show the largest of `values` with three significant digits, at most six."""
    top = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    return int(np.clip(2 - np.floor(np.log10(top)), 0, 6)) if top > 0 else 0


def parameter(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(parameter(item) for item in value) or "none"
    return str(value)


def default_title(segmentation: Segmentation) -> str:
    named = ", ".join(named_runs(segmentation))
    if not named and len(runs(segmentation)) > 1:
        named = f"{len(runs(segmentation))} runs"
    what = "Segmentation" if segmentation.findings is None else "Regions"
    return f"{what} of {named}" if named else what


def runs(segmentation: Segmentation) -> list[str]:
    """Names of the runs in order of appearance."""
    return [str(name) for name in pd.unique(pd.Series(segmentation.run))]


def named_runs(segmentation: Segmentation) -> list[str]:
    """Runs to name in a sentence: none where there are many, or a single one without a name."""
    names = runs(segmentation)
    return [] if len(names) > MOST_RUNS_NAMED or names == ["run0"] else names


def measured(segmentation: Segmentation) -> dict[str, Any]:
    """What was measured: pixels, runs and peaks."""
    spectra, mz = segmentation.spectra, segmentation.spectra.mz
    return {
        "n_pixels": segmentation.n_pixels,
        "n_runs": len(runs(segmentation)),
        "runs": named_runs(segmentation),
        "without_peaks": int(np.count_nonzero(segmentation.label.codes < 0)),
        "polarity": segmentation.polarity,
        "mz_range": [f"{mz.min():.4f}", f"{mz.max():.4f}"] if mz.size else None,
        "n_peaks": int(mz.size),
        "peaks_per_pixel": int(np.median(spectra.peak_counts)) if len(segmentation) else 0,
        "pixel_size": _pixel_size(segmentation),
        "uncertainty": decimal(mean(segmentation.uncertainty), 2),
        "coverage": _coverage(segmentation),
    }


def _coverage(segmentation: Segmentation) -> dict[str, Any] | None:
    """How much the model knows of the runs, and the levels; None where it cannot tell."""
    table, parameters, covered = (
        segmentation.coverage_by_run(),
        segmentation.parameters,
        segmentation.coverage,
    )
    if covered is None or table.empty or "coverage_refused_below" not in parameters:
        return None
    warned = float(parameters["coverage_warned_below"])
    least = table.iloc[int(table["coverage"].argmin())]
    best = best_covered(covered, np.asarray(segmentation.run))  # what predicting warns by
    low = [name for name, (coverage, _) in best.items() if coverage < warned]
    return {
        "mean": decimal(float(np.average(table["coverage"], weights=table["n_pixels"])), 2),
        "least": decimal(float(least["coverage"]), 2) if len(table) > 1 else None,
        "least_run": str(least["run"]),
        "own": decimal(float(parameters["coverage_own"]), 2),
        "warned": decimal(warned, 2),
        "refused": decimal(float(parameters["coverage_refused_below"]), 2),
        "low": low[:MOST_RUNS_NAMED],
        "n_low": len(low),
        "n_uncovered": int(table["n_uncovered"].sum()),
    }


def _pixel_size(segmentation: Segmentation) -> str | None:
    if segmentation.pixel_size is None:
        return None
    unit = "µm" if segmentation.pixel_size_unit == "um" else segmentation.pixel_size_unit
    across, down = segmentation.pixel_size
    return f"{across:g} × {down:g} {unit}"


def settings(segmentation: Segmentation) -> dict[str, Any]:
    parameters = dict(segmentation.parameters)
    relations = parameters.pop("relations", None)
    return {
        "parameters": [(name, parameter(value)) for name, value in parameters.items()],
        "relations": [str(name) for name in relations or ()],
        "versions": [(name, str(value)) for name, value in segmentation.versions.items()],
    }
