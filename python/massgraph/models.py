"""Saved models of either kind as fitted estimators."""

from __future__ import annotations

import os

from massgraph import store
from massgraph.classifier import RGCNClassifier
from massgraph.learn.regions import RegionModel
from massgraph.regions import SpatialRegions

__all__ = ["load"]


def load(directory: str | os.PathLike[str]) -> RGCNClassifier | SpatialRegions:
    """Read a model folder, as the fitted estimator that saved it.

    Everything is checked before it is used, and nothing in the folder is run. Clones of the
    estimator have the parameters that its fit was given. `SpatialRegions` come without the
    `labels_` and `probabilities_` of the pixels of their fit: `predict` finds them again.

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
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(folder, overwrite=True)
    ...     again = mg.load(folder)
    >>> bool((again.predict(spectra) == clf.predict(spectra)).all())
    True
    """
    model = store.load(directory)
    if isinstance(model, RegionModel):
        return SpatialRegions.of(model)
    return RGCNClassifier.of(model)
