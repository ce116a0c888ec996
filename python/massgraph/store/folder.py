"""Saved models: a folder of JSON and safetensors, checked before use; nothing in it is run."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from massgraph.fitted import FittedModel, fitted_model
from massgraph.learn.regions import RegionModel
from massgraph.store.classifier import CLASSIFIER
from massgraph.store.files import ModelError, read_model, write_model
from massgraph.store.kind import Kind
from massgraph.store.regions import REGIONS

__all__ = ["Model", "ModelError", "load", "save"]

Model: TypeAlias = "FittedModel | RegionModel"
"""What can be saved: what an estimator has learnt."""

# The types of models that are saved, and how.
_KINDS: dict[type, Kind] = {FittedModel: CLASSIFIER, RegionModel: REGIONS}


def save(model: Any, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a fitted model as a folder, whole or not at all.

    Parameters
    ----------
    model
        A `FittedModel` or `RegionModel`, or the estimator that holds it.
    directory
        The folder to make: `config.json`, `weights.safetensors` and `MODEL_CARD.md`, which is for
        people and is not read again.
    overwrite
        Whether an existing folder may be replaced.

    Raises
    ------
    FileExistsError
        Where the folder exists, is not empty, and `overwrite` is false, or where it holds anything
        that is no part of a model.
    TypeError
        For anything that is no fitted model, and where labels are neither text, numbers nor truth
        values.
    ValueError
        Where there are more labelled pixels than a configuration can hold to be read again.
    OSError
        Where the disk is full, or what was written does not read back. An old model then stays.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store import save
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf.fitted_, Path(folder) / "model")
    ...     sorted(path.name for path in (Path(folder) / "model").iterdir())
    ['MODEL_CARD.md', 'config.json', 'weights.safetensors']
    """
    found = getattr(model, "region_model_", model)
    if not isinstance(found, RegionModel):
        found = fitted_model(found)
    kind = _KINDS[type(found)]
    write_model(kind, kind.describe(found), directory, overwrite=overwrite)


def load(directory: str | os.PathLike[str]) -> Model:
    """Read a model folder that `save` wrote; `massgraph.load` makes an estimator of it.

    Everything is checked before it is used, and nothing in the folder is run.

    Raises
    ------
    FileNotFoundError
        Where the folder, or one of its two files, is missing.
    ModelError
        Where a file is damaged, of another schema version, or does not belong to the other.

    Warns
    -----
    UserWarning
        Where the device that the model was fitted on is absent here.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store import load
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(Path(folder) / "model")
    ...     model = load(Path(folder) / "model")
    >>> bool((model.logits(spectra) == clf.fitted_.logits(spectra)).all())
    True
    """
    found: Model = read_model(directory, {kind.name: kind for kind in _KINDS.values()})
    return found
