"""Other models on the same spectra, as scikit-learn estimators, to measure the default against.

All read the same peaks. `AlignedClassifier` puts any estimator of scikit-learn on top of the data's
own mass axis, with the calibration, the alignment window and, if asked for, the degraded copies
that the default model learns from: what differs between two scores is then the model alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from massgraph._util.errors import InputError
from massgraph._util.scores import balanced_accuracy
from massgraph.data.alignment import assign_to_axis
from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, fold_by_group
from massgraph.encode.axis import MassAxis
from massgraph.encode.encoder import UNIT_OF_MEDIAN
from massgraph.encode.learn_axis import learn_axis
from massgraph.learn.augmentation import degraded_copy

__all__ = ["BASELINES", "GRIDS", "PLSDA", "AlignedClassifier", "BinnedCNN", "make_baseline"]

PLS_COMPONENTS = 10
GRID_FOLDS = 3

# Many models read the same spectra: what they share is found once, for as long as the spectra live.
_AXES: WeakKeyDictionary[Spectra, MassAxis] = WeakKeyDictionary()
_CALIBRATED: WeakKeyDictionary[Spectra, tuple[MassAxis, Spectra]] = WeakKeyDictionary()


class AlignedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Any scikit-learn classifier on intensities at the ions of the data's own mass axis.

    The amount of an ion is ``log(1 + I / u)`` with u five times the median intensity of the
    training peaks, summed over the peaks within the window; amounts of a pixel are divided by
    their sum.

    Parameters
    ----------
    estimator
        The classifier, of which a clone is fitted.
    window_da
        Largest distance of a peak from the ion that it is assigned to, in Da.
    recalibrate
        Whether the mass error of each pixel is taken off first, as for the default model.
    augment
        Number of degraded copies of the training pixels to learn from besides the measured ones,
        made as `RGCNClassifier` makes them.
    random_state
        Seed of the copies, and of the folds of a grid.
    per_run
        Whether each ion is brought to mean 0 and standard deviation 1 over the pixels of a run, in
        training and in whatever is predicted at once: no labels are needed for it.
    grid
        Settings of the estimator to choose from, by their names: lists, as for scikit-learn's
        `ParameterGrid`. Those of the highest balanced accuracy are taken, on pixels of other groups
        (see `fit`) in three folds. None takes the estimator as it is.

    Attributes
    ----------
    classes_
        Class labels, sorted.
    axis_
        The `MassAxis`.
    estimator_
        The fitted classifier.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.baselines import AlignedClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> model = AlignedClassifier(GaussianNB()).fit(spectra, labels)
    >>> model.predict_proba(spectra).shape == (spectra.n_pixels, len(model.classes_))
    True
    """

    def __init__(
        self,
        estimator: Any,
        *,
        window_da: float = 0.003,
        recalibrate: bool = True,
        augment: int = 0,
        per_run: bool = False,
        random_state: int = 0,
        grid: dict[str, list[Any]] | None = None,
    ) -> None:
        self.estimator = estimator
        self.window_da = window_da
        self.recalibrate = recalibrate
        self.augment = augment
        self.per_run = per_run
        self.random_state = random_state
        self.grid = grid

    def fit(self, X: Spectra, y: ArrayLike, groups: ArrayLike | None = None) -> AlignedClassifier:
        """Learn from the pixels with a label.

        Parameters
        ----------
        X, y
            Spectra, and one label per pixel; missing ones are left out.
        groups
            Group of each pixel, never split when a grid is searched (`default_groups`).

        Raises
        ------
        ValueError
            For a window that is not above zero, or other than one label per pixel.
        """
        if not self.window_da > 0:
            msg = f"window_da {self.window_da} is not above zero"
            raise InputError(msg)
        labels = labels_of(y, X.n_pixels)
        # A pixel without peaks has no amounts that could be brought to a sum.
        rows = np.flatnonzero(~pd.isna(labels) & (X.peak_counts > 0))
        # Without the missing ones, labels need not be objects: numbers are numbers again.
        spectra, labels = X[rows], np.asarray(labels[rows].tolist())
        self.classes_ = np.unique(labels)
        # The axis of all of X, and not of these rows, can be shared by all models that are given X.
        self.axis_ = _axis_of(X)
        self.unit_ = UNIT_OF_MEDIAN * float(np.median(spectra.intensity))
        rng = np.random.default_rng(self.random_state)
        copies = [degraded_copy(spectra, rng) for _ in range(self.augment)]
        matrices = [self._matrix(part) for part in (spectra, *copies)]
        chosen = {} if self.grid is None else self._best(matrices, labels, X, rows, groups)
        self.estimator_ = clone(self.estimator).set_params(**chosen)
        self.estimator_.fit(np.concatenate(matrices), np.tile(labels, len(matrices)))
        return self

    def _best(
        self,
        matrices: list[NDArray[np.float64]],
        labels: NDArray[Any],
        X: Spectra,
        rows: NDArray[np.int64],
        groups: ArrayLike | None,
    ) -> dict[str, Any]:
        """The settings of the grid that tell held-out pixels best; copies stay with their pixel."""
        from sklearn.model_selection import ParameterGrid

        codes = np.unique(labels, return_inverse=True)[1]
        given = default_groups(X) if groups is None else np.asarray(groups)
        rng = np.random.default_rng(self.random_state)
        try:
            fold = fold_by_group(codes, given[rows], GRID_FOLDS, rng)
        except InputError:  # too few groups: each pixel by itself
            fold = fold_by_group(codes, np.arange(len(codes)), GRID_FOLDS, rng)
        scores = []
        for chosen in ParameterGrid(self.grid):
            found, known = np.full(len(codes), -1), fold >= 0
            for k in range(int(fold.max()) + 1):
                inside, outside = fold != k, fold == k
                model = clone(self.estimator).set_params(**chosen)
                model.fit(
                    np.concatenate([matrix[inside] for matrix in matrices]),
                    np.tile(codes[inside], len(matrices)),
                )
                found[outside] = model.predict(matrices[0][outside])
            scores.append((balanced_accuracy(codes[known], found[known]), chosen))
        # Of equally good ones the first: grids begin with the simplest.
        return dict(max(scores, key=lambda scored: scored[0])[1])

    def _matrix(self, spectra: Spectra) -> NDArray[np.float64]:
        if self.recalibrate:
            spectra = _calibrated(spectra, self.axis_)
        ion = assign_to_axis(spectra.mz, self.axis_.mz)
        # The margin keeps rounding from deciding about peaks at the very edge of the window.
        near = np.abs(spectra.mz - self.axis_.mz[ion]) <= self.window_da + 1e-9
        amount = np.log1p(spectra.intensity[near].astype(np.float64) / self.unit_)
        matrix = sp.coo_matrix(
            (amount, (spectra.pixel_of_peak[near], ion[near])),
            shape=(spectra.n_pixels, len(self.axis_)),
        ).toarray()
        total = matrix.sum(axis=1, keepdims=True)
        shares = np.asarray(matrix / np.maximum(total, 1e-12) * matrix.shape[1])
        return _standardized(shares, spectra.run) if self.per_run else shares

    def predict_proba(self, X: Spectra) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_pixels, n_classes)``."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(self._matrix(X)))

    def predict(self, X: Spectra) -> NDArray[Any]:
        """The most probable class of each pixel."""
        labels: NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return labels


class PLSDA(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Partial least squares on the classes, then a linear discriminant on its scores.

    Parameters
    ----------
    n_components
        Largest number of components; there are fewer where pixels or features are fewer.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.baselines import PLSDA
    >>> X = np.array([[0.0, 1.0], [0.1, 0.9], [0.2, 1.1], [1.0, 0.0], [0.9, 0.2], [1.1, 0.1]])
    >>> model = PLSDA(n_components=1).fit(X, ["a", "a", "a", "b", "b", "b"])
    >>> model.predict(X[[0, 5]]).tolist()
    ['a', 'b']
    """

    def __init__(self, n_components: int = PLS_COMPONENTS) -> None:
        self.n_components = n_components

    def fit(self, X: NDArray[np.float64], y: ArrayLike) -> PLSDA:
        """Learn from a matrix and one label per row."""
        from sklearn.cross_decomposition import PLSRegression
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        self.classes_, codes = np.unique(y, return_inverse=True)
        n = min(self.n_components, X.shape[1], X.shape[0] - 1)
        self.pls_ = PLSRegression(n_components=n, scale=False)
        self.pls_.fit(X, np.eye(len(self.classes_))[codes])
        self.lda_ = LinearDiscriminantAnalysis().fit(self.pls_.transform(X), codes)
        return self

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_rows, n_classes)``."""
        return np.asarray(self.lda_.predict_proba(self.pls_.transform(X)))

    def predict(self, X: NDArray[np.float64]) -> NDArray[Any]:
        """The most probable class of each row."""
        labels: NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return labels


class BinnedCNN(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The published 1D convolutional network on 0.1 Da bins (see `massgraph.evidence.cnn`).

    Parameters
    ----------
    augment
        Number of degraded copies to learn from as well.
    epochs
        Largest number of epochs.
    random_state
        Seed of weights, batches and copies.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.evidence.baselines import BinnedCNN
    >>> rng = np.random.default_rng(0)
    >>> peaks = [(np.sort(rng.uniform(500, 510, 20)), rng.random(20)) for _ in range(12)]
    >>> spectra = mg.Spectra.from_peaks(peaks)
    >>> model = BinnedCNN(epochs=1).fit(spectra, ["a", "b"] * 6)
    >>> model.predict_proba(spectra).shape
    (12, 2)
    """

    def __init__(self, *, augment: int = 0, epochs: int = 50, random_state: int = 0) -> None:
        self.augment = augment
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Spectra, y: ArrayLike, groups: ArrayLike | None = None) -> BinnedCNN:
        """Learn from the pixels with a label."""
        from massgraph.evidence.cnn import bin_spectra, train_cnn

        labels = labels_of(y, X.n_pixels)
        rows = np.flatnonzero(~pd.isna(labels) & (X.peak_counts > 0))
        spectra = X[rows]
        self.classes_, codes = np.unique(np.asarray(labels[rows].tolist()), return_inverse=True)
        self.mz_range_ = (float(np.floor(X.mz.min())), float(np.ceil(X.mz.max())))
        rng = np.random.default_rng(self.random_state)
        copies = [degraded_copy(spectra, rng) for _ in range(self.augment)]
        bins = np.concatenate([bin_spectra(one, self.mz_range_) for one in (spectra, *copies)])
        self.net_ = train_cnn(
            bins, np.tile(codes, 1 + self.augment), epochs=self.epochs, seed=self.random_state
        )
        return self

    def predict_proba(self, X: Spectra) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_pixels, n_classes)``."""
        from massgraph.evidence.cnn import bin_spectra, cnn_probability

        check_is_fitted(self, "net_")
        return cnn_probability(self.net_, bin_spectra(X, self.mz_range_))

    def predict(self, X: Spectra) -> NDArray[Any]:
        """The most probable class of each pixel."""
        labels: NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return labels


def _axis_of(spectra: Spectra) -> MassAxis:
    if spectra not in _AXES:
        _AXES[spectra] = learn_axis(spectra)
    return _AXES[spectra]


def _calibrated(spectra: Spectra, axis: MassAxis) -> Spectra:
    known = _CALIBRATED.get(spectra)
    # One axis at a time is enough: the models of a task share theirs, and follow each other.
    if known is None or known[0] is not axis:
        known = axis, axis.calibrate(spectra).spectra
        _CALIBRATED[spectra] = known
    return known[1]


def _standardized(matrix: NDArray[np.float64], run: NDArray[Any]) -> NDArray[np.float64]:
    """Columns with mean 0 and standard deviation 1 in each run, and 0 where all are the same."""
    found = np.empty_like(matrix)
    for name in np.unique(run):
        rows = run == name
        off = matrix[rows] - matrix[rows].mean(axis=0)
        found[rows] = off / np.maximum(off.std(axis=0), 1e-12)
    return found


def labels_of(y: ArrayLike, n_pixels: int) -> NDArray[np.object_]:
    """Labels as objects, missing ones as they are."""
    labels = np.asarray(y, dtype=object)
    if labels.shape != (n_pixels,):
        msg = f"y has shape {labels.shape}, need one label for each of {n_pixels} pixels"
        raise InputError(msg)
    return labels


# -------------------------------------------------------------------- by name


# Penalties and kernels depend on the scale of the features; trees and discriminants do not.
def _scaled(estimator: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator)


def _lda(_: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis()


def _shrinkage_lda(_: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _svm(_: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    # The machine only tells sides: probabilities are fitted to its scores of held-out pixels.
    return CalibratedClassifierCV(_scaled(SVC()), ensemble=False)


def _random_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=500, random_state=seed)


def _extra_trees(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(n_estimators=500, random_state=seed)


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _xgboost(seed: int) -> Any:
    try:
        from xgboost import XGBClassifier  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        msg = "the baseline 'xgboost' needs the package xgboost: pip install 'massgraph[xgboost]'"
        raise ImportError(msg) from error
    return _LabelCodes(XGBClassifier(random_state=seed))


def _logistic(_: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(C=0.01, max_iter=500))


class _LabelCodes(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that wants its classes as 0, 1, ... (XGBoost)."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: NDArray[np.float64], y: ArrayLike) -> _LabelCodes:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.estimator_ = clone(self.estimator).fit(X, codes)
        return self

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.estimator_.predict_proba(X))


_ON_AXIS: dict[str, Callable[[int], Any]] = {
    "lda": _lda,
    "shrinkage_lda": _shrinkage_lda,
    "pls_da": lambda _: PLSDA(),
    "svm": _svm,
    "random_forest": _random_forest,
    "extra_trees": _extra_trees,
    "boosting": _boosting,
    "xgboost": _xgboost,
    "logistic": _logistic,
}

# By the names that the estimators above give their settings; the simplest come first.
GRIDS: dict[str, dict[str, list[Any]]] = {
    "shrinkage_lda": {"shrinkage": ["auto", 0.95, 0.9, 0.7, 0.5, 0.2]},
    "logistic": {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]},
    "svm": {
        "estimator__svc__C": [1.0, 10.0, 100.0],
        "estimator__svc__gamma": ["scale", 1e-4, 1e-3],
    },
    "pls_da": {"n_components": [2, 5, 10, 20]},
    "extra_trees": {"max_features": ["sqrt", 0.1, 0.3]},
    "boosting": {"max_leaf_nodes": [4, 31], "learning_rate": [0.05, 0.1]},
}
"""Settings to choose from where a baseline is tuned, by its name."""

# Its own training takes five steps an epoch on some hundred pixels, at a rate that soon falls.
PUBLISHED_TUNED: dict[str, Any] = {"learning_rate": 1e-2, "batch_size": 8, "epochs": 150}

BASELINES = (*_ON_AXIS, "cnn_1d", "peak_set", "published", "published_tuned")
"""Names that `make_baseline` knows."""


def make_baseline(
    name: str,
    *,
    window_da: float = 0.003,
    recalibrate: bool = True,
    augment: int = 0,
    per_run: bool = False,
    tuned: bool = False,
    random_state: int = 0,
) -> Any:
    """Make an unfitted baseline: ``fit(spectra, y, groups=None)``, ``predict_proba``, ``predict``.

    Parameters
    ----------
    name
        ``"lda"``, ``"shrinkage_lda"``, ``"pls_da"``, ``"svm"`` (RBF), ``"random_forest"``,
        ``"extra_trees"``, ``"boosting"`` (histogram gradient boosting), ``"xgboost"`` (needs that
        package), ``"logistic"``: on the data's own axis. ``"cnn_1d"``: on 0.1 Da bins, as
        published.
        ``"peak_set"``: the peak branch of the default model alone, which has no edges.
        ``"published"``: the network of La Rocca et al. (2025), trained as published;
        ``"published_tuned"``: trained by more and larger steps, which few pixels need.
    window_da, recalibrate, augment, per_run
        As for `AlignedClassifier`. The CNN takes `augment` only, and the networks none of them:
        they keep what they were published or built with.
    tuned
        Whether its settings are chosen from `GRIDS` on inner folds; for those that have a grid.
    random_state
        Seed.

    Raises
    ------
    ValueError
        For another name, or one without a grid where it is to be tuned.
    ImportError
        Where the package of a baseline is not installed.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.baselines import make_baseline
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> model = make_baseline("shrinkage_lda", augment=1).fit(spectra, labels)
    >>> len(model.predict(spectra)) == spectra.n_pixels
    True
    """
    from massgraph.classifier import RGCNClassifier

    if tuned and name not in GRIDS:
        msg = f"baseline {name!r} has no grid to tune it on: {tuple(GRIDS)} have"
        raise InputError(msg)
    if name in _ON_AXIS:
        return AlignedClassifier(
            _ON_AXIS[name](random_state),
            window_da=window_da,
            recalibrate=recalibrate,
            augment=augment,
            per_run=per_run,
            random_state=random_state,
            grid=GRIDS[name] if tuned else None,
        )
    if name == "cnn_1d":
        return BinnedCNN(augment=augment, random_state=random_state)
    if name == "peak_set":
        return RGCNClassifier(branches=("peak",), spatial=False, random_state=random_state)
    if name in ("published", "published_tuned"):
        training = PUBLISHED_TUNED if name == "published_tuned" else {}
        return RGCNClassifier(preset="published", random_state=random_state, **training)
    msg = f"baseline {name!r} is none of {BASELINES}"
    raise InputError(msg)
