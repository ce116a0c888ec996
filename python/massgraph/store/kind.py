"""What a kind of saved model is: how it becomes a configuration and tensors, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Content", "Kind", "Layout"]

Layout = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
"""Shape and type of each tensor by its name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """What is written of a model.

    Parameters
    ----------
    config
        Values that JSON can hold, none of them NaN.
    tensors
        By name.
    card
        Makes the text for people, of the whole configuration.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.store.classifier import CLASSIFIER
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> CLASSIFIER.describe(clf.fitted_).config["classes"]
    ['epithelium', 'muscle', 'stroma']
    """

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    card: Callable[[dict[str, Any]], str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Kind:
    """A kind of saved model.

    Parameters
    ----------
    name
        As it stands under ``"kind"`` in `config.json`.
    schema
        Version of its configuration.
    keys, optional
        Keys that its configuration has, and may have, besides those of every kind.
    describe
        From a model to its content.
    restore
        From a configuration, and how many tensors there are, to what it says, and the tensors that
        it needs. Whatever is wrong raises: any error counts as damage, an `UnknownSettingError` as
        something of a later version.
    build
        From that, tensors of the layout that was asked for, finite all of them, and the name of
        the folder, for warnings, to a model. Values that no model has raise InputError.

    Examples
    --------
    >>> from massgraph.store.classifier import CLASSIFIER
    >>> CLASSIFIER.name, CLASSIFIER.schema
    ('classifier', 2)
    """

    name: str
    schema: int
    keys: frozenset[str]
    optional: frozenset[str] = frozenset()
    describe: Callable[[Any], Content]
    restore: Callable[[dict[str, Any], int], tuple[Any, Layout]]
    build: Callable[[Any, Mapping[str, torch.Tensor], str], Any]
