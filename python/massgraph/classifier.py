"""RGCNClassifier: from labelled pixels to a class for every pixel, as in scikit-learn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.warnings import outside
from massgraph.chem.relations import Relations
from massgraph.data.class_labels import check_weights, label_array, seed_number, seed_of
from massgraph.data.doubled import warn_of_doubled_places
from massgraph.data.label_names import warn_of_classes
from massgraph.data.sources import Pixels, SpectraSource, is_source, take
from massgraph.data.spectra import Spectra
from massgraph.encode.encoder import preprocess
from massgraph.estimator import OF_COLUMNS, FittedEstimator, Input
from massgraph.fitted import Classes, FittedModel, Origin
from massgraph.learn.checkpoints import checkpoints_of, fit_identity
from massgraph.learn.inference import torch_device
from massgraph.learn.provenance import provenance
from massgraph.learn.settings import Settings, resolve_settings
from massgraph.learn.supervised import fit_classes
from massgraph.learn.surroundings import Surroundings, surroundings
from massgraph.learn.targets import Labels
from massgraph.nn.layers import resolve_backend
from massgraph.segment import segment
from massgraph.segmentation import Segmentation

__all__ = ["RGCNClassifier"]

# Constructor parameters that are not settings of the network and its training.
NOT_SETTINGS = ("preset", "backend", "device", "mz", "random_state")


class RGCNClassifier(ClassifierMixin, FittedEstimator):  # type: ignore[misc]
    """A sum of branches over the peaks of each pixel; one is a relational graph network.

    Spectra are calibrated to the data's own mass axis; then up to five branches look at the peaks:
    the ``"axis"`` branch at the amounts of the known ions, the ``"family"`` branch at what the
    ions of one molecule add up to, the ``"molecular"`` branch, a relational graph convolutional
    network, at the mass differences between molecules, the ``"peak"`` branch at the set of ions
    without any, and the ``"relational"`` branch at the mass differences between ions. Pixels that a
    branch was not fitted to decide how much it weighs. Everything is exactly additive over ions
    (see `massgraph.explain`).

    Parameters that are None take the value of the preset; those of the default preset are given in
    parentheses.

    Parameters
    ----------
    preset
        ``"default"``, or ``"published"``: the network and the training of La Rocca et al. (JASMS
        2025, 10.1021/jasms.5c00055), unchanged.
    effort
        ``"fast"``: the branches in closed form, ``"axis"`` and ``"family"``. ``"default"``: the
        nets, ``"molecular"``, ``"peak"`` and ``"relational"``, too, where 100 pixels of each class
        or more are labelled (on average; 50 of the smallest) and a first net tells held-out pixels
        better. ``"thorough"``: all of them. Settings of nets, `hidden`, `batch_norm` and `augment`
        to `weight_decay`, matter only where nets are trained; ``fitted_.origin.left_out`` and the
        report name those that were not.
    branches
        Parts of the sum, in place of an effort; all that are named are fitted.
    folds
        Number of parts of the labelled pixels that are held out in turn, to weigh the branches;
        there is one net for each (3, or up to 10 of few pixels without nets). 1 for a single part,
        which holds out `validation_fraction` to stop the training of a net.
    spatial
        Whether the neighbours of a pixel are asked for its class, too: ``"auto"`` where that tells
        labelled pixels that were held out better, and there are coordinates and folds; True always;
        False never (``"auto"``). See the notes.
    run_gains
        Whether `predict` and all that predicts divide out the gains of the molecules in runs
        that show some, found without labels (True): see the notes. Predict whole runs.
    relations
        Mass differences that make edges (`default_relations` of the spectra's polarity).
    tolerance, tolerance_unit
        How far the mass difference of an edge may be off, in ``"ppm"`` or ``"Da"``. By default it
        is estimated from the data (`massgraph.encode.tolerance`; ``settings_`` and `summary` have
        the estimate). In tables of ions, peaks within it and within 5 ppm are one ion.
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
        Number of degraded copies of the training pixels that nets learn from besides the measured:
        peaks lost at random or from below, m/z jittered (5).
    validation_fraction
        Share of the labelled pixels held out, in whole groups, to stop the training of a single
        net (0.2); with `folds` each net holds out its fold.
    epochs, patience
        Most epochs (24), and epochs without a lower validation loss before training stops (10).
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
        What each branch adds, one row per branch and one for ``"all"``: `branch`; its `weight` in
        the sum, for pixels that lack no peaks; its `share` of the variance of the sum;
        `balanced_accuracy_alone` and `balanced_accuracy_without` it, both of held-out pixels that
        chose nothing: neither weights, nor which networks are kept, nor gains of runs. None for a
        single net.
    history_
        Learning curve: see `massgraph.learn.training`; of several nets the mean, in which no epoch
        is the best, as each net keeps its own. None without nets.
    training_, validation_
        bool, one per pixel given to `fit`: learnt from, and held out to stop the training. With
        `folds` all labelled pixels are learnt from, and no pixel is held out by all nets.
    settings_
        The resolved settings.
    polarity_, fingerprint_
        Polarity of the training spectra, and their `Spectra.fingerprint`; that of the pixels learnt
        from and held out where only these were read.
    provenance_
        Counts that describe the data of the fit, and versions of packages, for the card of a saved
        model.
    fitted_
        The `massgraph.fitted.FittedModel`, which all of these are read from.
    encoder_
        The `PeakEncoder`: preprocessing, calibration, graph and standardised features.
    model_
        The torch module: a `BranchModel`, or the `RGCN` as published.
    n_features_in_, feature_names_in_
        Number of columns, where a matrix was given, and their names, where it was a table with
        names of text; tables of other names, or in another order, are then refused.

    Notes
    -----
    Where neighbours are asked (``fitted_.field``, `massgraph.learn.neighbour_field`), they add to
    the logits that each pixel has by itself, and decide pixels in doubt: `predict`,
    `predict_proba`, `score`, `uncertainty` and `segment` are with neighbours, and are to be given
    whole runs. `logits`, `decision_function`, `branch_logits`, `embed` and `explain` are of each
    pixel by itself; ``segment(X).by_neighbours`` has the pixels where the two differ. Neighbours
    are asked for what their spectra say and never for their labels, so that a run of the fit is
    treated as a new one.

    Gains of runs (`run_gains`, `massgraph.learn.run_gains`) are looked for in every run of which
    there are 50 pixels or more that have as many molecules as labelled ones, where the molecules'
    mean amounts are further from those of the labelled pixels than parts of one run are from each
    other. All that predicts and explains then refers to amounts less these gains;
    ``segment(X).parameters["gains_of_runs"]`` has their standard deviations. Gains between labelled
    runs are taken off in the fit. Where labelled runs are classes, none are looked for.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis", "family"), folds=2, augment=1)
    >>> segmentation = clf.fit(spectra, labels).segment(spectra)
    >>> segmentation.classes == tuple(clf.classes_)
    True
    """

    def __init__(
        self,
        *,
        preset: str = "default",
        effort: str | None = None,
        branches: Sequence[str] | None = None,
        folds: int | None = None,
        spatial: bool | str | None = None,
        run_gains: bool | None = None,
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
        # Kept as given and checked by `fit`: scikit-learn's clones compare them to the very object.
        self.preset = preset
        self.effort = effort
        self.branches = branches
        self.folds = folds
        self.spatial = spatial
        self.run_gains = run_gains
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
        sample_weight: ArrayLike | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> RGCNClassifier:
        """Learn from the labelled pixels.

        Parameters
        ----------
        X
            `Spectra`, or a matrix (pixels x features) on the axis `mz`; or what
            `massgraph.open_imzml` gives, of which only the labelled pixels are read, and their
            neighbours where `spatial`.
        y
            One label per pixel; missing (None, NaN, pandas.NA) means unlabelled. Or the share of
            each class in each pixel, ``(n_pixels, n_classes)``, rows summing to one or missing
            throughout; the columns of a DataFrame name the classes.
        groups
            Group of each pixel, never split between training and validation. Default: runs where
            there are five or more, else square blocks of neighbouring pixels; without coordinates
            each pixel by itself.
        sample_weight
            How much each pixel counts within its classes, zero or more; classes count the same
            whatever their weights sum to. A pixel of weight zero counts as unlabelled. Default: all
            alike.
        checkpoint
            Folder for the state of the training after each epoch, written whole or not at all; it
            stays there after the fit. Needs a `random_state` that is a number.
        resume
            Whether to go on from the checkpoint in that folder, to the weights that the fit would
            have ended in; without one, it starts from the beginning with a warning.

        Raises
        ------
        InputError
            For fewer than two classes, a class of a single pixel with peaks, groups that cannot be
            split, a parameter out of range, labels or places that tell nothing of neighbours where
            these are required, or a checkpoint that is damaged or of other data, labels or
            parameters. It is a ValueError.
        FileExistsError
            Where `checkpoint` holds a checkpoint and `resume` is false, or anything else.
        FloatingPointError
            Where the loss is not finite.
        MemoryError
            Where memory runs out, with half of `batch_size` too.

        Warns
        -----
        UserWarning
            Where the labelled pixels would fill the memory of the machine, or classes are not what
            they seem: named like missing values or like each other, of fewer than five pixels, or
            each of a run of its own.
        """
        for name in ("fitted_", *OF_COLUMNS):  # a fit that fails leaves no half-new model
            self.__dict__.pop(name, None)
        labels = Labels(y, sample_weight, groups)
        if is_source(X):  # of which only what is learnt from is read
            rows = labels.pixels(X.n_pixels)
            some = labels.at(rows, X.n_pixels)
            model = self._fitted(X, take(X, rows), rows, some, checkpoint, resume)
            self.fitted_ = replace(model, origin=model.origin.among(rows, X.n_pixels))
        else:
            spectra = self._as_spectra(X, fitting=True)
            rows = np.arange(spectra.n_pixels)
            self.fitted_ = self._fitted(spectra, spectra, rows, labels, checkpoint, resume)
        return self

    def _fitted(
        self,
        source: Pixels,
        given: Spectra,
        place: NDArray[np.int64],
        labels: Labels,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> FittedModel:
        """Fit to some pixels of a source, or all of them, by their place in it."""
        warn_of_doubled_places(given)
        settings = self._resolve(given)
        device = torch_device(self.device)  # better now than after the graphs are built
        spectra = preprocess(given, settings)
        if given.n_peaks and not spectra.n_peaks and settings.mz_range is not None:
            low, high = settings.mz_range
            name = advise("mz_range", cli="--mz-range")
            msg = (
                f"{name}: no peak is between m/z {low:g} and {high:g}; the spectra have peaks "
                f"from m/z {given.mz.min():.4f} to {given.mz.max():.4f}"
            )
            raise InputError(msg)
        encoded = labels.encode(spectra.n_pixels)
        classes, rows, targets = encoded.targets(spectra.peak_counts > 0)
        warn_of_classes(classes, targets.code, spectra.run[rows][targets.pixel])
        chosen = labels.group_codes(rows, spectra.n_pixels)
        seed = seed_of(self.random_state)
        checkpoints = checkpoints_of(
            checkpoint,
            resume=resume,
            seed=seed,
            identity=lambda: fit_identity(
                given,
                classes,
                encoded.table,
                chosen,
                settings,
                random_state=seed,
                backend=resolve_backend(self.backend),
                device=str(device),
            ),
        )
        learnt = fit_classes(
            spectra[rows],
            targets,
            chosen,
            settings,
            seed=seed,
            backend=self.backend,
            device=device,
            find_tolerance=self.tolerance is None,
            around=_surroundings(source, place[rows], targets.codes, settings),
            checkpoints=checkpoints,
        )
        training, validation = np.zeros((2, spectra.n_pixels), dtype=bool)
        training[rows[~learnt.held_out]] = True
        validation[rows[learnt.held_out]] = True
        codes = np.full(spectra.n_pixels, -1, dtype=np.int64)
        codes[rows] = targets.codes
        origin = Origin(
            polarity=given.polarity,
            # As given, not as preprocessed: `was_fitted_to` is asked of what users have.
            fingerprint=given.fingerprint(),
            training=training,
            validation=validation,
            data=provenance(
                spectra,
                codes,
                training,
                validation,
                n_classes=len(classes),
                grouped=chosen is not None,
                as_published=settings.as_published,
            ),
            history=learnt.history,
            contributions=learnt.contributions,
            n_nets=learnt.n_nets,
            preset=self.preset,
            given=self._given(),
            random_state=seed_number(self.random_state),
            mz=None if self.mz is None else np.asarray(self.mz, dtype=np.float64),
            left_out=learnt.left_out,
            columns=self._column_names,
        )
        return FittedModel(
            encoder=learnt.encoder,
            network=learnt.network,
            outputs=Classes(classes),
            settings=learnt.settings,
            origin=origin,
            backend=self.backend,
            device=str(self.device),
            field=learnt.field,
            usual=learnt.usual,
            levels=learnt.levels,
        )

    def _given(self) -> tuple[str, ...]:
        """Names of the settings that the user chose."""
        parameters = self.get_params(deep=False)
        return tuple(
            name
            for name, value in parameters.items()
            if name not in NOT_SETTINGS and value is not None
        )

    def _resolve(self, spectra: Spectra) -> Settings:
        resolve_backend(self.backend)  # a backend that is not there is refused before any work
        parameters = self.get_params(deep=False)
        given = {name: value for name, value in parameters.items() if name not in NOT_SETTINGS}
        return resolve_settings(self.preset, spectra.polarity, given)

    @classmethod
    def of(cls, model: FittedModel) -> RGCNClassifier:
        """Make the estimator of a fitted model, with the parameters that its fit was given."""
        origin, settings = model.origin, model.settings
        parameters = {name: getattr(settings, name) for name in origin.given}
        found = cls(
            preset=origin.preset,
            backend=model.backend,
            device=model.device,
            mz=origin.mz,
            random_state=origin.random_state,
            **parameters,
        )
        found.fitted_ = model
        found._know_columns(origin.mz, origin.columns)
        return found

    # ---------------------------------------------------------------- what was fitted

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels, sorted, shape ``(n_classes,)``."""
        return self.fitted_.outputs.labels

    @property
    def contributions_(self) -> pd.DataFrame | None:
        """What each branch adds."""
        return self.fitted_.origin.contributions

    # ---------------------------------------------------------------- prediction

    def decision_function(self, X: Input) -> NDArray[np.float64]:
        """Logits as scikit-learn wants them: for two classes their difference, ``(n_pixels,)``."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Input, *, min_coverage: float | None = None) -> NDArray[np.float64]:
        """Class probabilities, shape ``(n_pixels, n_classes)``; NaN for pixels without peaks.

        Those of pixels whose ion current is at other ions than the model's (`coverage`) are drawn
        towards equal ones: all the way where it is no more than chance would give.

        Parameters
        ----------
        X
            The pixels.
        min_coverage
            As for `predict`.
        """
        pixels = self._pixels(X)
        return self._model.probabilities(pixels, self._model.guard(min_coverage))

    def predict(self, X: Input, *, min_coverage: float | None = None) -> NDArray[Any]:
        """Class of each pixel; None (and an object array) where a pixel has no peaks.

        Parameters
        ----------
        X
            The pixels.
        min_coverage
            Runs whose `coverage` is below it, on average over the quarter of their pixels that is
            covered best, are refused. Default: the level that the fit chose
            (``summary()["coverage_refused_below"]``); 0 answers whatever the spectra are.

        Raises
        ------
        InputError
            For no pixels, those of the other polarity, and a run that is refused, with the reason
            that is suspected: another m/z range, rounded or shifted m/z, the other polarity,
            another sample.

        Warns
        -----
        UserWarning
            Where the model knows little of a run (``summary()["coverage_warned_below"]``), or its
            intensities are on another scale than those of the fit.
        """
        pixels = self._pixels(X)
        logits = self._model.logits_with_neighbours(pixels, self._model.guard(min_coverage))
        empty = np.isnan(logits).any(axis=1)
        labels: NDArray[Any] = self.classes_[np.argmax(logits, axis=1)]
        if empty.any():  # argmax takes NaN for some class
            labels = labels.astype(object)
            labels[empty] = None
        return labels

    def score(self, X: Input, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of the labelled pixels that are given their class.

        `cross_val_score` uses it where no other `scoring` is named; scikit-learn's own scorers know
        no pixel without a class, so leave empty pixels out for them.

        Parameters
        ----------
        X, y
            Pixels and their labels, missing where unlabelled.
        sample_weight
            How much each pixel counts (default: all alike).

        Warns
        -----
        UserWarning
            Where labelled pixels have no peaks of known ions: they count as missed, and are named.
        """
        found = self.predict(X)
        labels = self._names(y)
        known = ~pd.isna(labels)
        if labels.shape != found.shape or not known.any():
            msg = f"y has shape {labels.shape}, need a label for some of {len(found)} pixels"
            raise InputError(msg)
        empty = np.flatnonzero(known & pd.isna(found))
        if empty.size:
            msg = (
                f"{empty.size} labelled pixels, the first pixel {empty[0]}, have no peaks of known "
                "ions and so no class: they count as missed"
            )
            warnings.warn(msg, UserWarning, stacklevel=outside())
        right = self._names(found) == labels
        weights = check_weights(sample_weight, len(found))
        return float(np.average(right[known], weights=None if weights is None else weights[known]))

    # ---------------------------------------------------------------- results

    def segment(
        self,
        X: Input,
        y: ArrayLike | None = None,
        *,
        explain: bool = True,
        min_coverage: float | None = None,
    ) -> Segmentation:
        """Classify all pixels, with probabilities, uncertainty and explanation.

        Parameters
        ----------
        X
            The pixels; where they are those of `fit`, the held-out ones are marked.
        y
            Labels to compare with, missing where unlabelled.
        explain
            Whether to add an explanation, which costs about one more prediction.
        min_coverage
            As for `predict`, which refuses and warns alike.
        """
        pixels = self._pixels(X)
        reference = None if y is None else self._names(y)
        return segment(self._model, pixels, reference, explain=explain, min_coverage=min_coverage)

    def only(self, *branches: str) -> RGCNClassifier:
        """Keep some of the branches of the fitted model, at their weights.

        Branches stay in their order; clones of the result have these branches, too.

        Raises
        ------
        InputError
            For no branch, or one that the model does not have.
        """
        chosen = type(self)(**self.get_params(deep=False))
        chosen.fitted_ = self._model.only(branches)
        chosen.branches = chosen.settings_.branches
        for name in set(OF_COLUMNS) & set(vars(self)):
            setattr(chosen, name, getattr(self, name))
        return chosen

    def _names(self, y: Any) -> NDArray[Any]:
        """Labels as names of classes."""
        # Integers beside NaN become floats: 1.0 is the class 1.
        values = label_array(y)
        names = {value: str(value) for value in self.classes_.tolist()}
        text = [None if pd.isna(value) else names.get(value, str(value)) for value in values.flat]
        return np.array(text, dtype=object)


def _surroundings(
    source: Pixels, rows: NDArray[np.int64], codes: NDArray[np.int64], settings: Settings
) -> Surroundings | None:
    """Labelled pixels and their neighbours, preprocessed, where these are to be asked."""
    if not settings.spatial or settings.folds == 1:
        return None
    found = surroundings(source, rows, codes)
    if found is None:
        if settings.spatial is True:
            msg = "spatial=True needs pixels with coordinates: give them, or say spatial=False"
            raise InputError(msg)
        return None
    return replace(found, spectra=preprocess(found.spectra, settings))
