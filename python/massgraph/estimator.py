"""The base of estimators: a fitted model, and all that can be read from it or asked of it."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_is_fitted

from massgraph import store
from massgraph._util.errors import InputError, InputTypeError
from massgraph.data.mz_names import mz_of_names
from massgraph.data.sources import SpectraSource, is_source
from massgraph.data.spectra import Spectra
from massgraph.encode.encoder import PeakEncoder
from massgraph.explain.activation import Explanation
from massgraph.explain.explain import explain
from massgraph.fitted import FittedModel
from massgraph.learn.settings import Settings
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.rgcn import RGCN
from massgraph.segmentation import uncertainty_of

try:
    from sklearn.utils.validation import _check_feature_names as check_feature_names
except ImportError:  # scikit-learn before 1.6
    check_feature_names = BaseEstimator._check_feature_names

__all__ = ["FittedEstimator", "Input", "SpectraEstimator"]

OF_COLUMNS = ("n_features_in_", "feature_names_in_")
OF_ANOTHER_ION = 0.051  # Da: names may be rounded to one decimal

Input: TypeAlias = "Spectra | SpectraSource | ArrayLike"
"""Pixels: in memory, block by block, or as a matrix on the axis `mz`."""


class SpectraEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of all that is fitted to spectra, or to matrices whose columns are at `mz`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.estimator import SpectraEstimator
    >>> isinstance(mg.RGCNClassifier(), SpectraEstimator)
    True
    """

    mz: ArrayLike | None

    def _as_spectra(self, X: Any, *, fitting: bool = False) -> Spectra:
        """Return spectra as they are; make them of a matrix and the axis `mz`."""
        if fitting:
            for name in OF_COLUMNS:
                self.__dict__.pop(name, None)
        if isinstance(X, Spectra):
            return X
        if self.mz is None:
            msg = (
                f"X is a {type(X).__name__}: pass massgraph.Spectra, or give the m/z of the "
                f"columns as {type(self).__name__}(mz=...)"
            )
            if hasattr(X, "obsm"):
                msg = "X is an AnnData object: pass massgraph.from_anndata(X)"
            raise InputTypeError(msg)
        self._check_names(X, fitting)
        # Sparse matrices need not be filled, as zeros are no peaks.
        matrix = check_array(X, accept_sparse="csr", dtype=(np.float32, np.float64))
        n_features = matrix.shape[1]
        if fitting:
            self.n_features_in_ = n_features
        elif n_features != self.n_features_in_:
            msg = (
                f"X has {n_features} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
            raise InputError(msg)
        mz = np.asarray(self.mz, dtype=np.float64)
        if mz.shape != (n_features,) or not (np.diff(mz) < 0).any():
            return Spectra.from_matrix(matrix, mz)
        order = np.argsort(mz, kind="stable")
        return Spectra.from_matrix(matrix[:, order], mz[order])

    def _check_names(self, X: Any, fitting: bool) -> None:
        """Keep the names of columns, or compare them with those of the fit and with `mz`."""
        try:
            check_feature_names(self, X, reset=fitting)
        except ValueError as error:  # in scikit-learn's own words
            raise InputError(str(error)) from None
        except TypeError as error:
            raise InputTypeError(str(error)) from None
        columns = getattr(X, "columns", None)
        if columns is None:
            return
        named = mz_of_names(columns)
        mz = np.asarray(self.mz, dtype=np.float64)
        if named is None or named.shape != mz.shape:
            return
        off = np.abs(named - mz) > OF_ANOTHER_ION
        if off.any():
            at = int(np.argmax(off))
            msg = (
                f"column {at} of X is named {str(columns[at])!r}, but its m/z is {mz[at]:.4f}: "
                "give the columns in the order of mz"
            )
            raise InputError(msg)

    @property
    def _column_names(self) -> tuple[str, ...] | None:
        """Names of the columns of the fit, for the fitted model; None where it had none."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else tuple(names.tolist())

    def _know_columns(self, mz: NDArray[np.float64] | None, names: tuple[str, ...] | None) -> None:
        """What a fit to a matrix knows of its columns, for an estimator of a fitted model."""
        if mz is not None:
            self.n_features_in_ = len(mz)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Tags for scikit-learn: matrices may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class FittedEstimator(SpectraEstimator):
    """Base of the estimators: a thin shell around a `FittedModel`, which `fit` puts into `fitted_`.

    Subclasses have a parameter `mz`, the m/z of the columns where matrices are given.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> clf.branch_logits(spectra).shape == (spectra.n_pixels, 1, 3)
    True
    >>> clf.polarity_, clf.summary()["folds"]
    ('positive', 2)
    """

    fitted_: FittedModel

    def _pixels(self, X: Any) -> Spectra | SpectraSource:
        """Pixels for the fitted model."""
        # First of all, so that an unfitted estimator says so whatever it is given.
        check_is_fitted(self, "fitted_")
        return X if is_source(X) else self._as_spectra(X)

    # ---------------------------------------------------------------- what was fitted

    @property
    def _model(self) -> FittedModel:
        check_is_fitted(self, "fitted_")
        return self.fitted_

    @property
    def settings_(self) -> Settings:
        """The resolved settings."""
        return self.fitted_.settings

    @property
    def encoder_(self) -> PeakEncoder:
        """Preprocessing, calibration, graph and standardised features."""
        return self.fitted_.encoder

    @property
    def model_(self) -> RGCN | BranchModel:
        """The torch module."""
        return self.fitted_.network

    @property
    def history_(self) -> pd.DataFrame | None:
        """The learning curve."""
        return self.fitted_.origin.history

    @property
    def training_(self) -> NDArray[np.bool_]:
        """Pixels learnt from."""
        return self.fitted_.origin.training

    @property
    def validation_(self) -> NDArray[np.bool_]:
        """Pixels held out to stop the training."""
        return self.fitted_.origin.validation

    @property
    def polarity_(self) -> str | None:
        """Polarity of the training spectra."""
        return self.fitted_.origin.polarity

    @property
    def fingerprint_(self) -> str:
        """`Spectra.fingerprint` of the training spectra."""
        return self.fitted_.origin.fingerprint

    @property
    def provenance_(self) -> dict[str, Any]:
        """Counts that describe the data of the fit, and versions."""
        return self.fitted_.origin.data

    # ---------------------------------------------------------------- prediction

    def logits(self, X: Input) -> NDArray[np.float64]:
        """Logits of each pixel by itself, shape ``(n_pixels, n_classes)``.

        NaN for pixels without peaks of ions that the model knows: nothing can be said of them, here
        and in all that predicts.

        Raises InputError, as all that predicts, for no pixels or pixels of the other polarity.
        """
        pixels = self._pixels(X)
        return self._model.logits(pixels)

    def coverage(self, X: Input) -> NDArray[np.float64]:
        """Share of the ion current of each pixel that is of ions of the model, ``(n_pixels,)``.

        Peaks within 10 ppm of an ion count, or within two deviations of the mass scatter of the
        fit where that is more, once the mass error of the pixel is taken off. A model says what it
        knows only where coverage is high: see `RGCNClassifier.predict`. NaN for pixels without
        peaks, and for models of the published preset, which know no ions.
        """
        return self._model.coverage(self._pixels(X))

    def uncertainty(self, X: Input) -> NDArray[np.float64]:
        """Entropy of the probabilities over its largest value, in [0, 1]; 1 without peaks."""
        return uncertainty_of(self._model.probabilities(self._pixels(X)))

    def embed(self, X: Input) -> NDArray[np.float32]:
        """What the heads of the model read, for each pixel; NaN without peaks.

        Side by side, in the order of `branches`: a number per class of the axis and the family
        branch, and the mean peak features of each net of the others, ``folds * hidden[-1]``.
        """
        pixels = self._pixels(X)
        return self._model.embed(pixels)

    def branch_logits(self, X: Input) -> NDArray[np.float64]:
        """What each branch adds to the logits, shape ``(n_pixels, n_branches, n_classes)``.

        Branches are in the order of ``settings_.branches``; their sum is `logits`. NaN for pixels
        without peaks.
        """
        pixels = self._pixels(X)
        return self._model.branch_logits(pixels)

    # ---------------------------------------------------------------- results

    def explain(self, X: Input, *, min_coverage: float | None = None) -> Explanation:
        """Which ions and families decided: see `massgraph.Explanation`.

        Parameters
        ----------
        X
            The pixels. A source, such as `massgraph.open_imzml` gives, has a
            `massgraph.explain.activation.StreamedExplanation`.
        min_coverage
            As for `RGCNClassifier.predict`: runs below it are refused.
        """
        pixels = self._pixels(X)
        return explain(self._model, pixels, min_coverage=min_coverage)

    def summary(self) -> dict[str, Any]:
        """Settings, seeds and what the fit found out, as values that JSON can hold."""
        return self._model.summary()

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model as a folder: see `massgraph.store.folder.save`."""
        store.save(self._model, directory, overwrite=overwrite)
