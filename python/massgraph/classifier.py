"""RGCNClassifier: labelled pixels in, a class for every pixel out, as a scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_array, check_is_fitted

from massgraph._util.errors import InputError, InputTypeError
from massgraph.chem.relations import Relations
from massgraph.data.class_labels import (
    check_classes,
    encode_labels,
    group_codes,
    label_array,
    seed_of,
)
from massgraph.data.spectra import Spectra
from massgraph.data.splits import default_groups, fold_by_group, published_split, split_by_group
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.encoder import PeakEncoder, preprocess
from massgraph.encode.tolerance import difference_tolerance
from massgraph.learn.checkpoints import checkpoints_of
from massgraph.learn.parts import fit_folds, fit_one
from massgraph.learn.settings import Settings, resolve_settings
from massgraph.learn.training import batches, model_output
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.layers import resolve_backend
from massgraph.segmentation import Segmentation, uncertainty_of
from massgraph.store.provenance import provenance
from massgraph.store.summary import summary

if TYPE_CHECKING:
    from massgraph.explain.activation import Explanation
    from massgraph.explain.streaming import SpectraSource
    from massgraph.nn.rgcn import RGCN

__all__ = ["RGCNClassifier"]

# Pixels to predict: in memory, on the axis `mz`, or block by block.
Input: TypeAlias = "Spectra | SpectraSource | ArrayLike"

# Constructor parameters that are not settings of the network and its training.
NOT_SETTINGS = ("preset", "backend", "device", "mz", "random_state")


class RGCNClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A sum of branches over the peaks of each pixel; the relational one is a graph network.

    Spectra are calibrated to the data's own mass axis; then four branches look at the peaks:
    the ``"axis"`` branch at the amounts of the known ions, the ``"family"`` branch at what the
    ions of one molecule add up to, the ``"relational"`` branch, a relational graph
    convolutional network, at all mass differences, and the ``"peak"`` branch at the set of the
    peaks without them. Pixels that a branch was not fitted to decide how much it weighs.
    Everything is exactly additive over ions (see `massgraph.explain`).

    Parameters that are None are as the preset has them; the values of the default preset are given
    in parentheses.

    Parameters
    ----------
    preset
        ``"default"``, or ``"published"``: the network and the training of La Rocca et al. (JASMS
        2025, 10.1021/jasms.5c00055), unchanged.
    branches
        Parts of the sum, of ``"axis"``, ``"family"``, ``"relational"``, ``"peak"`` (all four).
    folds
        Number of nets per branch, each trained on all labelled pixels but those of one fold (3);
        1 for a single net, which holds out `validation_fraction` to stop its training.
    relations
        Mass differences that make edges (`default_relations` of the spectra's polarity).
    tolerance, tolerance_unit
        How far the mass difference of an edge may be off, and ``"ppm"`` or ``"Da"``. Not given, the
        data show it (`massgraph.encode.tolerance`; ``settings_`` and `summary` have what was
        found). In tables of ions, peaks within it and within 5 ppm are one ion.
    rule, directed
        As for `build_graph` (``"intensity"``, True).
    features
        Node features, keys of `massgraph.encode.features.FEATURES` (``"log_intensity"``, ``"mz"``,
        ``"mass_defect"``, the last as an angle).
    standardize
        Whether features are brought to mean 0 and deviation 1 over the training peaks (True).
    mz_range
        (low, high): peaks outside are left out, in training and prediction (none are).
    max_peaks
        Most intense peaks kept per pixel (all are).
    hidden
        Widths of the layers of a net (8, 16).
    batch_norm
        Whether layers are followed by BatchNorm (True).
    augment
        Number of degraded copies of the training pixels to learn from besides the measured ones:
        peaks lost at random or from below, m/z jittered (5).
    validation_fraction
        Share of the labelled pixels held out, in whole groups, to stop the training of a single
        net (0.2); with `folds` each net holds out its fold.
    epochs, patience
        Most epochs (24), and epochs without a lower validation loss after which training stops
        (10).
    batch_size, learning_rate, weight_decay
        Of AdamW (64, 0.01, 0.0001).
    backend
        ``"native"`` for the compiled library, ``"torch"``, or ``"pyg"`` for PyTorch Geometric's
        `RGCNConv`; ``"auto"`` is native where it was built, else torch (`massgraph.show_versions`
        says which).
    device
        ``"auto"`` (a GPU where torch sees one) or the name of a torch device such as ``"cpu"``.
    mz
        m/z of the columns, where `X` is given as a matrix in place of `Spectra`.
    random_state
        Seed of weights, split, sampling and augmentation; None for a fresh one. On a CPU the same
        seed and machine give bit-equal weights.

    Attributes
    ----------
    classes_
        Class labels, sorted, shape ``(n_classes,)``.
    contributions_
        What each branch adds, one row per branch and one for ``"all"``: `branch`; `weight` in the
        sum; `share` of what the sum says that is this branch's; `balanced_accuracy_alone` and
        `balanced_accuracy_without` it, both on pixels held out. None for a single net.
    history_
        Learning curve: see `massgraph.learn.training`; of several nets the mean, of which no epoch
        is the best, as each net keeps its own. None without any.
    training_, validation_
        bool, one per pixel of what was given to `fit`: learnt from, and held out to stop the
        training. With `folds` all labelled pixels are learnt from, and none is held out by all
        nets.
    settings_
        The resolved settings.
    polarity_, fingerprint_
        Polarity of the training spectra, and their `Spectra.fingerprint`; that of the pixels learnt
        from and held out, where the others were not read.
    provenance_
        Counts that describe the data of the fit, and the versions of the packages, for the card of
        a saved model.
    encoder_
        The `PeakEncoder`: preprocessing, calibration, graph and standardised features.
    model_
        The torch module: a `BranchModel`, or the `RGCN` as published.
    n_features_in_
        Number of columns, where a matrix was given.
    """

    def __init__(
        self,
        *,
        preset: str = "default",
        branches: Sequence[str] | None = None,
        folds: int | None = None,
        relations: Relations | None = None,
        tolerance: float | None = None,
        tolerance_unit: str | None = None,
        rule: str | None = None,
        directed: bool | None = None,
        features: Sequence[str] | None = None,
        standardize: bool | None = None,
        mz_range: tuple[float, float] | None = None,
        max_peaks: int | None = None,
        hidden: Sequence[int] | None = None,
        batch_norm: bool | None = None,
        augment: int | None = None,
        validation_fraction: float | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        backend: str = "auto",
        device: str = "auto",
        mz: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.preset = preset
        self.branches = branches
        self.folds = folds
        self.relations = relations
        self.tolerance = tolerance
        self.tolerance_unit = tolerance_unit
        self.rule = rule
        self.directed = directed
        self.features = features
        self.standardize = standardize
        self.mz_range = mz_range
        self.max_peaks = max_peaks
        self.hidden = hidden
        self.batch_norm = batch_norm
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.backend = backend
        self.device = device
        self.mz = mz
        self.random_state = random_state

    # ---------------------------------------------------------------- fitting

    def fit(
        self,
        X: Spectra | SpectraSource | ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> RGCNClassifier:
        """Learn from the labelled pixels.

        Parameters
        ----------
        X
            `Spectra`, or a matrix (pixels x features) on the axis `mz`; or what
            `massgraph.open_imzml` gives, of which only the labelled pixels are read.
        y
            One label per pixel; missing (None, NaN, pandas.NA) means unlabelled.
        groups
            Group of each pixel, never split between training and validation. Default: runs where
            there are five or more, else square blocks of neighbouring pixels; without coordinates
            each pixel by itself.
        checkpoint
            Folder to write the state of the training to after each epoch, whole or not at all; it
            stays there after the fit. Needs a `random_state` that is a number.
        resume
            Whether to go on from the checkpoint in that folder, to the weights that the fit would
            have ended in; where there is none yet, it starts from the beginning with a warning.

        Raises
        ------
        ValueError
            For fewer than two classes, a class of a single pixel with peaks, groups that cannot be
            split, a parameter out of its range, or a checkpoint that is damaged or of other data,
            labels or parameters.
        FileExistsError
            Where `checkpoint` holds a checkpoint and `resume` is false, or anything else.
        FloatingPointError
            Where the loss is not finite.
        MemoryError
            Where memory runs out, with half of `batch_size` too.
        """
        if is_source(X):
            return self._fit_labelled(X, y, groups, checkpoint=checkpoint, resume=resume)
        for name in ("model_", "n_features_in_"):  # a fit that fails leaves no half-new model
            self.__dict__.pop(name, None)
        spectra = self._as_spectra(X, fitting=True)
        settings = self._resolve(spectra)
        self.polarity_, self.fingerprint_ = spectra.polarity, spectra.fingerprint()
        given, spectra = spectra, preprocess(spectra, settings)
        self.classes_, codes = encode_labels(y, spectra.n_pixels)
        rows = np.flatnonzero((codes >= 0) & (spectra.peak_counts > 0))
        labelled, y_codes = spectra[rows], codes[rows]
        check_classes(y_codes, self.classes_)
        seed = seed_of(self.random_state)
        seeds = np.random.SeedSequence(seed).spawn(4)
        codes_of_groups = None if groups is None else group_codes(groups, rows, spectra.n_pixels)
        checkpoints = checkpoints_of(
            self, given, codes, codes_of_groups, seed, directory=checkpoint, resume=resume
        )
        axis = None if settings.as_published else MassAxis.learn(labelled)
        if axis is not None and self.tolerance is None:
            found = difference_tolerance(axis.mz, settings.relations)
            settings = self.settings_ = replace(settings, tolerance=found)
        self.training_, self.validation_ = np.zeros((2, spectra.n_pixels), dtype=bool)
        self.contributions_: pd.DataFrame | None = None
        self.history_: pd.DataFrame | None = None
        self.model_: RGCN | BranchModel
        self.n_nets_: int
        rng = np.random.default_rng(seeds[0])
        if settings.folds > 1:
            chosen = default_groups(labelled) if codes_of_groups is None else codes_of_groups
            fold = fold_by_group(y_codes, chosen, settings.folds, rng)
            self.training_[rows] = True
            self.encoder_ = PeakEncoder.learn(labelled, settings, axis)
            fit_folds(self, labelled, y_codes, fold, seeds, checkpoints)
        else:
            held_out = self._hold_out(labelled, y_codes, codes_of_groups, rng)
            self.training_[rows[~held_out]] = True
            self.validation_[rows[held_out]] = True
            self.encoder_ = PeakEncoder.learn(labelled[~held_out], settings, axis)
            fit_one(self, labelled, y_codes, held_out, seeds, checkpoints)
        self.provenance_ = provenance(self, spectra, codes, grouped=groups is not None)
        return self

    def _fit_labelled(
        self, source: SpectraSource, y: ArrayLike, groups: ArrayLike | None, **options: Any
    ) -> RGCNClassifier:
        """Learn from a source, which is read where it has labels."""
        from massgraph.explain.streaming import take

        classes, codes = encode_labels(y, source.n_pixels)
        rows = np.flatnonzero(codes >= 0)
        chosen = None if groups is None else group_codes(groups, rows, source.n_pixels)
        labelled = take(source, rows)
        self.fit(labelled, classes[codes[rows]], chosen, **options)
        self.fingerprint_ = labelled[self.training_ | self.validation_].fingerprint()
        for name in ("training_", "validation_"):
            mask = np.zeros(source.n_pixels, dtype=bool)
            mask[rows] = getattr(self, name)
            setattr(self, name, mask)
        return self

    def _resolve(self, spectra: Spectra) -> Settings:
        resolve_backend(self.backend)
        self.device_()  # where there is none such, better now than after the graphs are built
        parameters = self.get_params(deep=False)
        given = {name: value for name, value in parameters.items() if name not in NOT_SETTINGS}
        self.settings_ = resolve_settings(self.preset, spectra.polarity, given)
        return self.settings_

    def _as_spectra(self, X: Any, *, fitting: bool = False) -> Spectra:
        """Spectra as they are; a matrix through the axis `mz`."""
        if isinstance(X, Spectra):
            return X
        if self.mz is None:
            msg = (
                f"X is a {type(X).__name__}: pass massgraph.Spectra, or give the m/z of the "
                "columns as RGCNClassifier(mz=...)"
            )
            raise InputTypeError(msg)
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
        return Spectra.from_matrix(matrix, self.mz)

    def _new_spectra(self, X: Any) -> Spectra:
        """Spectra for a fitted model; those of the other polarity hold other ions."""
        check_is_fitted(self, "model_")
        return self.checked(self._as_spectra(X))

    def checked(self, spectra: Spectra) -> Spectra:
        """The spectra; ValueError where they have the polarity that the model has not."""
        if len({self.polarity_, spectra.polarity} - {None}) > 1:
            msg = (
                f"the spectra are of {spectra.polarity} polarity, but the model was fitted to "
                f"{self.polarity_} ones"
            )
            raise InputError(msg)
        return spectra

    def _hold_out(
        self,
        labelled: Spectra,
        y: NDArray[np.int64],
        groups: NDArray[Any] | None,
        rng: np.random.Generator,
    ) -> NDArray[np.bool_]:
        fraction = self.settings_.validation_fraction
        if groups is None and self.settings_.as_published:
            return published_split(y, fraction, rng)
        chosen = default_groups(labelled) if groups is None else groups
        return split_by_group(y, chosen, fraction, rng)

    def device_(self) -> torch.device:
        """The torch device that `device` stands for; ValueError where it cannot be used."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, ImportError, TypeError) as error:
            reason = str(error).split("\n", maxsplit=1)[0]
            msg = f"device {self.device!r} cannot be used here ({reason}): use 'auto' or 'cpu'"
            raise InputError(msg) from error
        return device

    # ---------------------------------------------------------------- prediction

    def logits(self, X: Input) -> NDArray[np.float64]:
        """Logits, shape ``(n_pixels, n_classes)``.

        NaN for pixels without peaks, or of whose peaks none is of an ion that the model knows: of
        those nothing can be said, here and in all that predicts.

        Raises ValueError, as all that predicts, for no pixels or those of the other polarity.
        """
        return self._per_pixel(X, lambda batch: self.model_(batch))  # noqa: PLW0108  not there before fit

    def decision_function(self, X: Input) -> NDArray[np.float64]:
        """Logits as scikit-learn wants them: for two classes their difference, ``(n_pixels,)``."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Input) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_pixels, n_classes)``; NaN for pixels without peaks."""
        probability: NDArray[np.float64] = softmax(self.logits(X), axis=1)
        return probability

    def predict(self, X: Input) -> NDArray[Any]:
        """Class of each pixel; None (and an object array) where a pixel has no peaks."""
        logits = self.logits(X)
        empty = np.isnan(logits).any(axis=1)
        labels: NDArray[Any] = self.classes_[np.argmax(logits, axis=1)]
        if empty.any():
            labels = labels.astype(object)
            labels[empty] = None
        return labels

    def uncertainty(self, X: Input) -> NDArray[np.float64]:
        """Entropy of the probabilities over its largest value, in [0, 1]; 1 without peaks."""
        return uncertainty_of(self.predict_proba(X))

    def embed(self, X: Input) -> NDArray[np.float32]:
        """What the heads of the model read of each pixel; NaN without peaks.

        Side by side, in the order of `branches`: a number per class of the axis and the family
        branch, and the mean peak features of each net of the others, ``folds * hidden[-1]``.
        """
        return self._per_pixel(X, lambda batch: self.model_.embedding(batch).float())

    def branch_logits(self, X: Input) -> NDArray[np.float64]:
        """What each branch adds to the logits, shape ``(n_pixels, n_branches, n_classes)``.

        Branches are in the order of ``settings_.branches``; their sum is `logits`. NaN for pixels
        without peaks.
        """
        if not isinstance(self.model_, BranchModel):
            return self.logits(X)[:, None, :]
        model = self.model_
        return self._per_pixel(X, lambda batch: model.weights[:, None] * model.branch_logits(batch))

    def _per_pixel(self, X: Input, compute: Callable[[Any], torch.Tensor]) -> NDArray[Any]:
        """``compute`` over all pixels in blocks; NaN for pixels without nodes."""
        check_is_fitted(self, "model_")
        spectra = X if is_source(X) else self._new_spectra(X)
        if spectra.n_pixels == 0:
            msg = "there are no pixels to predict"
            raise InputError(msg)
        work = partial(self._outputs, compute)
        if isinstance(spectra, Spectra):
            return work(self.encoder_.calibrate(self.encoder_.preprocess(spectra)))
        from massgraph.explain.streaming import calibrated_parts, in_order

        found = (part.calibrated for part in calibrated_parts(self, spectra))
        return np.concatenate(list(in_order(work, found)))

    def _outputs(
        self, compute: Callable[[Any], torch.Tensor], calibrated: CalibratedSpectra
    ) -> NDArray[Any]:
        found = []
        for block in batches(calibrated.spectra.offsets):
            graphs = self.encoder_.encode(calibrated[block])
            rows = np.arange(len(graphs))
            values = model_output(self.model_, graphs, rows, self.device_(), compute)
            values[np.diff(graphs.offsets) == 0] = np.nan
            found.append(values)
        return np.concatenate(found)

    # ---------------------------------------------------------------- results

    def explain(self, X: Input) -> Explanation:
        """Which ions and families decided: see `massgraph.explain.activation.Explanation`.

        Of what `massgraph.open_imzml` gives, a `massgraph.explain.streaming.StreamedExplanation`.
        """
        if is_source(X):
            from massgraph.explain.streaming import explain_source

            check_is_fitted(self, "model_")
            return explain_source(self, X)
        from massgraph.explain.activation import explain

        return explain(self, self._new_spectra(X))

    def segment(
        self, X: Input, y: ArrayLike | None = None, *, explain: bool = True
    ) -> Segmentation:
        """Classes, probabilities, uncertainty and explanation of all pixels.

        Parameters
        ----------
        X
            The pixels; where they are those of `fit`, the held-out ones are marked.
        y
            Labels to compare with, missing where unlabelled.
        explain
            Whether to explain too, which costs about one more prediction.
        """
        if is_source(X):
            return self._segment_source(X, y, explain=explain)
        spectra = self._new_spectra(X)
        trained_here = spectra.fingerprint() == self.fingerprint_
        return Segmentation.from_probability(
            spectra,
            [str(name) for name in self.classes_],
            self.predict_proba(spectra),
            reference=None if y is None else self._names(y),
            training=self.training_ if trained_here else None,
            validation=self.validation_ if trained_here else None,
            explanation=self.explain(spectra) if explain else None,
            history=self.history_,
            parameters=self.summary(),
        )

    def _segment_source(
        self, source: SpectraSource, y: ArrayLike | None, *, explain: bool
    ) -> Segmentation:
        from massgraph.explain.streaming import segment_source, take

        check_is_fitted(self, "model_")
        trained_here = len(self.training_) == source.n_pixels
        if trained_here:
            learnt = take(source, np.flatnonzero(self.training_ | self.validation_))
            trained_here = learnt.fingerprint() == self.fingerprint_
        return segment_source(
            self,
            source,
            None if y is None else self._names(y),
            explain=explain,
            training=self.training_ if trained_here else None,
            validation=self.validation_ if trained_here else None,
        )

    def only(self, *branches: str) -> RGCNClassifier:
        """The fitted model with some of its branches alone, at the weights that they have.

        Branches stay in their order.

        Raises
        ------
        ValueError
            For no branch, or one that the model does not have.
        """
        check_is_fitted(self, "model_")
        model = self.model_
        if not isinstance(model, BranchModel):
            msg = "the network as published has no branches to choose from"
            raise InputError(msg)
        chosen = copy(self)
        chosen.model_ = model.only(branches)
        chosen.settings_ = replace(self.settings_, branches=chosen.model_.names)
        if self.contributions_ is not None:
            rows = self.contributions_["branch"].isin([*branches, "all"])
            table = self.contributions_[rows].reset_index(drop=True)
            # Shares and scores were measured for the sum of all.
            table[["share", "balanced_accuracy_without"]] = np.nan
            table.loc[table["branch"] == "all", "balanced_accuracy_alone"] = np.nan
            chosen.contributions_ = table
        return chosen

    def _names(self, y: Any) -> NDArray[Any]:
        """Labels as names of classes: 1.0, as integers beside NaN become, is the class 1."""
        values = label_array(y)
        names = {value: str(value) for value in self.classes_.tolist()}
        text = [None if pd.isna(value) else names.get(value, str(value)) for value in values.flat]
        return np.array(text, dtype=object)

    def summary(self) -> dict[str, Any]:
        """Settings, seeds and what the fit found out, as values that JSON can hold."""
        check_is_fitted(self, "model_")
        return summary(self)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model as a folder: see `massgraph.store.folder.save`."""
        from massgraph.store.folder import save

        check_is_fitted(self, "model_")
        save(self, directory, overwrite=overwrite)

    def __sklearn_tags__(self) -> Any:
        """Tags for scikit-learn: matrices may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def is_source(X: Any) -> TypeGuard[SpectraSource]:
    """Whether spectra are to be read block by block."""
    from massgraph.explain.streaming import SpectraSource

    return isinstance(X, SpectraSource)
