"""Presets: everything that defines a model and its training, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from massgraph._util.errors import InputError, InputTypeError
from massgraph.chem.relations import Relations, default_relations, published_relations
from massgraph.encode.features import PUBLISHED_FEATURES
from massgraph.encode.settings import EncoderSettings, check_encoder_settings
from massgraph.learn.branches import branch_names, closed_form_branches, default_branches

__all__ = ["EFFORTS", "PRESETS", "Settings", "check_settings", "resolve_settings"]


EFFORTS = ("fast", "default", "thorough")
"""Which branches are fitted: those in closed form, nets too where they pay, or all of them."""


@dataclass(frozen=True)
class Settings(EncoderSettings):
    """Resolved settings of one model; see `RGCNClassifier` for what each one means.

    Examples
    --------
    >>> from massgraph.learn.settings import resolve_settings
    >>> resolve_settings("default", "positive", {"folds": 2}).folds
    2
    """

    branches: tuple[str, ...] = default_branches()
    folds: int | str = "auto"
    effort: str = "default"
    spatial: bool | str = "auto"
    run_gains: bool = True
    hidden: tuple[int, ...] = (8, 16)
    batch_norm: bool = True
    augment: int = 5
    validation_fraction: float = 0.2
    epochs: int = 24
    patience: int | None = 10
    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    adam_eps: float = 1e-8
    as_published: bool = False


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # Of La Rocca et al. (2025): the network and the training of their code, unchanged. That holds
    # for its rule of edges, too: it takes the largest mass defect where it means the most intense.
    "published": {
        "branches": ("relational",),
        "folds": 1,
        "spatial": False,
        "run_gains": False,
        "tolerance": 0.001,
        "tolerance_unit": "Da",
        "rule": "reference",
        "directed": False,
        "features": PUBLISHED_FEATURES,
        "standardize": False,
        "mz_range": (200.0, 1400.0),
        "max_peaks": 2000,
        "hidden": (8, 16),
        "batch_norm": False,
        "augment": 0,
        "epochs": 40,
        "patience": None,  # all epochs are run, and the last weights kept
        "batch_size": 64,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "adam_eps": 1e-7,
        "as_published": True,
    },
}


def resolve_settings(preset: str, polarity: str | None, given: dict[str, Any]) -> Settings:
    """Override the settings of a preset by those given; None keeps the value of the preset.

    Raises
    ------
    InputError
        For an unknown preset or a setting out of its range; the message names it.
    InputTypeError
        Where `relations` are not `Relations`.

    Examples
    --------
    >>> from massgraph.learn.settings import resolve_settings
    >>> resolve_settings("published", None, {}).tolerance_unit
    'Da'
    """
    if preset not in PRESETS:
        msg = f"preset {preset!r} is none of {tuple(PRESETS)}"
        raise InputError(msg)
    given = {name: _plain(value) for name, value in given.items() if value is not None}
    # A tolerance that the data show is in ppm: another unit alone would turn 5 ppm into 5 Da.
    if "tolerance_unit" in given and "tolerance" not in given:
        msg = f"tolerance_unit {given['tolerance_unit']!r} is given without a tolerance: give both"
        raise InputError(msg)
    chosen = {**PRESETS[preset], **given}
    if "relations" not in chosen:
        published = preset == "published"
        chosen["relations"] = published_relations() if published else default_relations(polarity)
    if not isinstance(chosen["relations"], Relations):
        kind = type(chosen["relations"]).__name__
        msg = f"relations must be a massgraph.Relations, got {kind}"
        raise InputTypeError(msg)
    for name in ("branches", "features", "hidden", "mz_range"):
        if isinstance(chosen.get(name), list):
            chosen[name] = tuple(chosen[name])
    chosen |= _branches_of(chosen, preset, given)
    settings = Settings(**chosen)
    check_settings(settings)
    return settings


def _branches_of(chosen: dict[str, Any], preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """Branches that the effort stands for; those that are named are all fitted."""
    effort = given.get("effort")
    if effort is not None and effort not in EFFORTS:
        msg = f"effort {effort!r} is none of {EFFORTS}"
        raise InputError(msg)
    if "branches" in chosen:
        if effort is not None:
            why = "the published preset" if "branches" not in given else "branches"
            msg = f"effort {effort!r} chooses branches, and so does {why}: give one of the two"
            raise InputError(msg)
        return {"effort": "thorough"}
    return {"branches": closed_form_branches()} if effort == "fast" else {}


def _plain(value: Any) -> Any:
    """Numbers and lists of numpy as Python's own, so that settings can be written as JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


# -------------------------------------------------------------------- checks


def _is_number(value: Any) -> bool:
    # True is an int to Python, but a slip of the pen as a learning rate.
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, tuple) and all(map(test, values))


TYPES: dict[str, tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    "a number": (
        _is_number,
        ("tolerance", "validation_fraction", "learning_rate", "weight_decay", "adam_eps"),
    ),
    "a whole number": (
        _is_whole,
        ("max_peaks", "augment", "epochs", "patience", "batch_size"),
    ),
    "True or False": (
        lambda value: isinstance(value, bool),
        ("run_gains", "directed", "standardize", "batch_norm", "as_published"),
    ),
    '"auto", True or False': (
        lambda value: isinstance(value, bool) or value == "auto",
        ("spatial",),
    ),
    'a whole number or "auto"': (lambda value: _is_whole(value) or value == "auto", ("folds",)),
    "text": (lambda value: isinstance(value, str), ("tolerance_unit", "rule", "effort")),
    "a list of names": (_all(lambda value: isinstance(value, str)), ("branches", "features")),
    "a list of whole numbers": (_all(_is_whole), ("hidden",)),
    "a list of numbers": (_all(_is_number), ("mz_range",)),
}
MAY_BE_NONE = ("max_peaks", "patience", "mz_range")


def _check_types(settings: Settings) -> None:
    for wanted, (fits, names) in TYPES.items():
        for name in names:
            value = getattr(settings, name)
            if not (fits(value) or (value is None and name in MAY_BE_NONE)):
                msg = f"{name} {value!r} must be {wanted}"
                raise InputTypeError(msg)
            # NaN is a number to Python, and `weight_decay < 0` would let it pass.
            for number in value if name == "mz_range" and value else [value]:
                if isinstance(number, float) and not math.isfinite(number):
                    msg = f"{name} {number} is not finite"
                    raise InputError(msg)


def _check_branches(settings: Settings) -> None:
    branches = settings.branches
    unknown = [name for name in branches if name not in branch_names()]
    if unknown or not branches or len(set(branches)) < len(branches):
        msg = f"branches {branches} must be one or more of {branch_names()}, each once"
        raise InputError(msg)
    if isinstance(settings.folds, int) and settings.folds < 1:
        msg = f"folds {settings.folds} is below 1"
        raise InputError(msg)
    if settings.folds == 1 and len(branches) > 1:
        msg = f"folds 1 leaves nothing to weigh {len(branches)} branches by: use 2 folds or more"
        raise InputError(msg)
    if settings.folds == 1 and settings.spatial is True:
        msg = "folds 1 leaves nothing to learn from what neighbours say: use 2 folds or more"
        raise InputError(msg)
    if settings.as_published and (settings.folds, branches) != (1, ("relational",)):
        msg = 'the published preset is branches=("relational",) with folds=1: use preset="default"'
        raise InputError(msg)


def check_settings(settings: Settings) -> None:
    """Refuse settings that are out of range; InputError or InputTypeError names the setting.

    Examples
    --------
    >>> from massgraph.learn.settings import check_settings, resolve_settings
    >>> check_settings(resolve_settings("default", "negative", {}))
    """
    # Types come first: comparing text with a number would raise an error that names no setting.
    _check_types(settings)
    _check_branches(settings)
    check_encoder_settings(settings)
    for name in ("learning_rate", "epochs", "batch_size", "validation_fraction", "patience"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            msg = f"{name} {value} is not above 0"
            raise InputError(msg)
    if settings.batch_norm and settings.batch_size < 2:
        msg = (
            "batch_size 1 leaves BatchNorm nothing to average over: use 2 or more, or no batch_norm"
        )
        raise InputError(msg)
    if not settings.validation_fraction < 1:
        msg = f"validation_fraction {settings.validation_fraction} is not below 1"
        raise InputError(msg)
    if settings.augment < 0 or settings.weight_decay < 0:
        msg = f"augment {settings.augment} and weight_decay {settings.weight_decay} must not be < 0"
        raise InputError(msg)
    if not settings.hidden or min(settings.hidden) < 1:
        msg = f"hidden {settings.hidden} must hold at least one positive width"
        raise InputError(msg)
