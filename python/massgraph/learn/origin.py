"""What the outputs of a model stand for, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.learn.cross_fit import LeftOut

__all__ = ["Classes", "Origin"]


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes that the outputs of a model stand for, one each.

    Parameters
    ----------
    labels
        As the user gave them, sorted, shape ``(n_classes,)``: text, numbers or truth values.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.origin import Classes
    >>> Classes(np.array([1, 2])).names
    ('1', '2')
    """

    labels: NDArray[Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels as text."""
        return tuple(str(label) for label in self.labels)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a model came from: what it learnt from, and what was asked for.

    Parameters
    ----------
    polarity
        Of the training spectra.
    fingerprint
        `Spectra.fingerprint` of all pixels given to the fit; of those learnt from and held out
        where only these were read.
    training, validation
        bool, one per pixel given to the fit: learnt from, and held out to stop the training.
    data
        Counts that describe the data (`massgraph.learn.provenance`).
    history
        Learning curve; None for a model without nets.
    contributions
        What each branch adds (`RGCNClassifier.contributions_`); None for a single net.
    n_nets
        Nets per branch.
    preset, given
        The preset, and the names of the settings that the user chose; the others are the preset's,
        or were found in the data.
    random_state
        The seed; None for a fresh one.
    mz
        m/z of the columns, where the fit was given a matrix.
    left_out
        Branches that the effort of the fit left out, and why.
    columns
        Names of the columns, where the fit was given a table that has some.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> origin = clf.fitted_.origin
    >>> origin.polarity, origin.n_nets, origin.given
    ('positive', 2, ('augment', 'branches', 'folds'))
    """

    polarity: str | None
    fingerprint: str
    training: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    data: dict[str, Any]
    history: pd.DataFrame | None
    contributions: pd.DataFrame | None
    n_nets: int
    preset: str = "default"
    given: tuple[str, ...] = ()
    random_state: int | None = None
    mz: NDArray[np.float64] | None = None
    left_out: tuple[LeftOut, ...] = ()
    columns: tuple[str, ...] | None = None

    def among(self, rows: NDArray[np.int64], n_pixels: int) -> Origin:
        """The origin of a fit that read some pixels of a source, with masks over all of them."""
        training, validation = np.zeros((2, n_pixels), dtype=bool)
        training[rows], validation[rows] = self.training, self.validation
        return replace(self, training=training, validation=validation)

    def branch_summary(self) -> dict[str, Any]:
        """What the branches contribute, in their order, by the names of summaries."""
        table = self.contributions
        # One branch by itself is all of the sum, and of some of several no share was measured.
        if table is None or len(table) < 3 or table["share"].isna().any():
            return {}
        branches, whole = table.iloc[:-1], table.iloc[-1]
        without = branches["balanced_accuracy_without"]
        return {
            "branch_shares": [round(float(value), 4) for value in branches["share"]],
            "balanced_accuracy_without_branch": [round(float(value), 4) for value in without],
            "balanced_accuracy_cross_fitted": round(float(whole["balanced_accuracy_alone"]), 4),
        }
