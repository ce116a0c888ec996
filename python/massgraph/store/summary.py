"""What a fitted model is, in a table of values that JSON can hold."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from massgraph.data.class_labels import seed_number

if TYPE_CHECKING:
    import pandas as pd

    from massgraph.classifier import RGCNClassifier
    from massgraph.encode.axis import MassAxis

__all__ = ["summary"]


def summary(classifier: RGCNClassifier) -> dict[str, Any]:
    """Settings, seeds and what the fit found out; see `RGCNClassifier.summary`."""
    settings, history = classifier.settings_, classifier.history_
    return {
        **{field.name: getattr(settings, field.name) for field in fields(settings)},
        "relations": list(settings.relations),
        "preset": classifier.preset,
        "backend": classifier.backend,
        "random_state": seed_number(classifier.random_state),
        "polarity": classifier.polarity_,
        "n_training_pixels": int(classifier.training_.sum()),
        "n_validation_pixels": int(classifier.validation_.sum()),
        "epochs_run": 0 if history is None else len(history),
        **_of_axis(classifier.encoder_.axis),
        **_of_branches(classifier.contributions_),
    }


def _of_branches(table: pd.DataFrame | None) -> dict[str, Any]:
    """What each branch contributes, in the order of `branches`."""
    if table is None or len(table) < 3 or table["share"].isna().any():
        return {}
    branches, whole = table.iloc[:-1], table.iloc[-1]
    return {
        "branch_shares": _rounded(branches["share"]),
        "balanced_accuracy_without_branch": _rounded(branches["balanced_accuracy_without"]),
        "balanced_accuracy_cross_fitted": round(float(whole["balanced_accuracy_alone"]), 4),
    }


def _rounded(values: pd.Series[float]) -> list[float]:
    return [round(float(value), 4) for value in values]


def _of_axis(axis: MassAxis | None) -> dict[str, Any]:
    """What was estimated from the data."""
    if axis is None:
        return {}
    return {
        "axis_ions": len(axis),
        "axis_anchors": int(axis.anchor.sum()),
        "mass_width_mda": round(axis.width * 1e3, 4),
        "largest_mass_shift_mda": round(axis.shift * 1e3, 4),
    }
