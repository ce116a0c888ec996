"""SpatialRegions: regions of tissue without labels, as a scikit-learn clusterer."""

from __future__ import annotations

import os
import warnings
from copy import copy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.utils.validation import check_is_fitted

from massgraph import store
from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.warnings import outside
from massgraph.chem.relations import Relations
from massgraph.data.class_labels import seed_number, seed_of
from massgraph.data.doubled import warn_of_doubled_places
from massgraph.data.neighbours import Neighbours, given_neighbours
from massgraph.data.sources import Pixels, is_source, places
from massgraph.data.spectra import Spectra
from massgraph.encode.guard import Guard
from massgraph.estimator import Input, SpectraEstimator
from massgraph.explain.region_findings import RegionFindings
from massgraph.explain.regions import describe_regions
from massgraph.learn.region_origin import RegionOrigin, region_data
from massgraph.learn.region_search import CHOICES, RegionSettings
from massgraph.learn.regions import Look, RegionModel, fit_regions, labels_of
from massgraph.segmentation import Segmentation

__all__ = ["SpatialRegions"]

OF_THE_FIT = ("labels_", "log_likelihood_", "probabilities_")
OF_ONE_RUN = 0.95  # share of a region's pixels in one run from which it follows the run


class SpatialRegions(ClusterMixin, SpectraEstimator):  # type: ignore[misc]
    """Find the regions of an image, or of several, without labels.

    Peaks are calibrated to the data's own mass axis, and the ions of a molecule, isotopes and
    alkali adducts, are added up. Pixels off tissue, which are darker and hold far fewer
    molecules, are a region of their own. Minimum noise fraction keeps the directions in which
    neighbouring pixels are alike; in these a mixture of Gaussians is searched with many starts,
    splits and merges, and a Potts field decides pixels in doubt by their neighbours.

    Parameters
    ----------
    n_regions
        The number of regions, or ``"auto"``: the number after which a further region explains
        least (`selection_`).
    max_regions
        The largest number that ``"auto"`` considers.
    features
        ``"molecules"``: sums over the ions of a molecule; or ``"ions"``, each by itself.
    spatial
        Whether neighbours count. Without, no coordinates are needed.
    radius
        Reach of the neighbourhood in pixels: 1 takes the eight around a pixel. Methods that take
        `neighbours` use those instead.
    covariance
        ``"shared"`` by all regions; ``"scaled"``, shared up to a factor of each; or each its
        ``"own"``. ``"auto"`` decides by the data.
    run_offsets
        Whether the mean of each run is taken off. On for runs of similar tissue that were measured
        differently; off where runs differ in tissue, as the cores of an array do.
    relations
        Which mass differences there are; default those of the polarity. Isotopes and alkali
        exchange among them make molecules.
    mz
        m/z of the columns, where matrices are given.
    init
        Labels of the pixels of the fit to begin at, such as those of another method, in place of a
        search; missing or negative where there is none. They give the number of regions.
    random_state
        Seed, a RandomState, or None for a random one.

    Attributes
    ----------
    labels_
        Region of each pixel of the fit, from 0, larger ones first and off tissue last; -1 for
        pixels without peaks of known ions. int64, shape ``(n_pixels,)``.
    probabilities_
        float64, shape ``(n_pixels, n_regions_)``; NaN where there is no label. They say how well
        the pixel fits its region among the others, and nothing of whether the regions are true.
    n_regions_
        Number of regions, that of the pixels off tissue among them.
    off_tissue_
        Label of the pixels off tissue, the last one; None where all pixels are tissue.
    separation_
        Least distance of each region to another, in deviations within regions, shape
        ``(n_regions_,)``. Near 2.65 a region may be half of a continuum.
    selection_
        The curve by which the number was chosen
        (`massgraph.learn.mixture_path.selection_curve`); None where it was given.
    log_likelihood_
        Of the pixels of tissue by the mixture, in nats.
    n_parameters_
        Numbers that the fit of the mixture was free to choose.
    polarity_
        Polarity of the pixels of the fit.
    n_features_in_, feature_names_in_
        As for `RGCNClassifier`, where a matrix was given.
    region_model_
        The fitted `massgraph.learn.regions.RegionModel`.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> regions.labels_.shape, regions.n_regions_
    ((144,), 3)
    >>> regions.segment(spectra).classes
    ('region 1', 'region 2', 'off-tissue')
    """

    def __init__(
        self,
        n_regions: int | str = "auto",
        max_regions: int = 15,
        *,
        features: str = "molecules",
        spatial: bool = True,
        radius: float = 1.0,
        covariance: str = "auto",
        run_offsets: bool = False,
        relations: Relations | None = None,
        mz: ArrayLike | None = None,
        init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_regions = n_regions
        self.max_regions = max_regions
        self.features = features
        self.spatial = spatial
        self.radius = radius
        self.covariance = covariance
        self.run_offsets = run_offsets
        self.relations = relations
        self.mz = mz
        self.init = init
        self.random_state = random_state

    def fit(self, X: Input, y: object = None, *, neighbours: Any = None) -> SpatialRegions:
        """Find the regions.

        Parameters
        ----------
        X
            Pixels; where `spatial`, with coordinates.
        y
            Not used: there for scikit-learn.
        neighbours
            How much each pixel counts for each other one, 0 for no neighbours, sparse or an array,
            ``(n_pixels, n_pixels)``, such as ``adata.obsp["spatial_connectivities"]`` of squidpy.
            The mean of both directions is taken. Default: the pixels within `radius`, all alike.

        Raises
        ------
        InputError
            For a setting out of its range, pixels without coordinates where `spatial`, without
            peaks, or fewer or more alike than there are regions to be found, and where `init` or
            `neighbours` do not fit the pixels, the number of regions, or each other.
        """
        settings = self._settings()
        pixels = X if is_source(X) else self._as_spectra(X, fitting=True)
        if isinstance(pixels, Spectra):
            warn_of_doubled_places(pixels)
        beside = _given(neighbours, pixels, settings)
        seed = seed_of(self.random_state)
        rng = np.random.default_rng(seed)
        init = None if self.init is None else _codes(self.init, places(pixels).n_pixels)
        model, look = fit_regions(pixels, self.relations, settings, rng, init, beside)
        origin = RegionOrigin(
            fingerprint=pixels.fingerprint() if isinstance(pixels, Spectra) else None,
            data=region_data(look.off, look.run),
            relations=self.relations,
            random_state=seed_number(self.random_state),
            begun=init is not None,
            neighbours_given=beside is not None,
            mz=None if self.mz is None else np.asarray(self.mz, dtype=np.float64),
            columns=self._column_names,
        )
        self._keep(replace(model, origin=origin), look)
        self._warn_of_runs(look.run)
        return self

    def at(self, n_regions: int) -> SpatialRegions:
        """The same fit with another number of regions, `max_regions` at most; nothing is fitted.

        Raises
        ------
        InputError
            Where the fit was given its number, or did not come so far.
        """
        check_is_fitted(self, "region_model_")
        other = copy(self)
        other._keep(self.region_model_.at(n_regions), self._look)
        return other

    def _keep(self, model: RegionModel, look: Look | None) -> None:
        self.region_model_ = model
        self.n_regions_ = len(model)
        self.off_tissue_ = None if model.off_tissue is None else self.n_regions_ - 1
        self.separation_ = model.separation()
        self.selection_: pd.DataFrame | None = model.selection
        self._look = look  # for maps of other numbers
        if look is not None:
            self.probabilities_ = model.map_of(look)
            self.labels_ = labels_of(self.probabilities_)
            tissue = look.given(model.mixture)[look.off < 0.5]
            self.log_likelihood_ = model.mixture.log_likelihood(tissue)
        self.n_parameters_ = model.mixture.n_parameters

    if not TYPE_CHECKING:  # else a misspelt name would pass for one of these

        def __getattr__(self, name: str) -> Any:
            if name in OF_THE_FIT and "region_model_" in vars(self):
                msg = (
                    f"{name} is of the pixels of the fit, which a saved model does not hold: give "
                    "them to predict or predict_proba, which find the same"
                )
                raise AttributeError(msg)
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)

    @classmethod
    def of(cls, model: RegionModel, look: Look | None = None) -> SpatialRegions:
        """Make the estimator of a fitted model, with the parameters that its fit was given.

        Parameters
        ----------
        model
            The model.
        look
            What `model.look` gives for the pixels of the fit. Without it there are no `labels_`,
            `probabilities_` and `log_likelihood_`, which are of these pixels: `predict` finds them
            again.
        """
        settings, origin = asdict(model.settings), model.origin
        if settings["n_regions"] is None:
            settings["n_regions"] = "auto"
        found = cls(
            **settings,
            relations=origin.relations,
            mz=origin.mz,
            random_state=origin.random_state,
        )
        found._keep(model, look)
        found._know_columns(origin.mz, origin.columns)
        return found

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model as a folder, without any pixel: see `massgraph.store.folder.save`.

        `massgraph.load` reads it.
        """
        check_is_fitted(self, "region_model_")
        store.save(self.region_model_, directory, overwrite=overwrite)

    def _settings(self) -> RegionSettings:
        n_regions = None
        if self.n_regions != "auto":
            n_regions = _at_least_one("n_regions", self.n_regions, ' or "auto"')
        max_regions = _at_least_one("max_regions", self.max_regions)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                msg = f"{name} is {getattr(self, name)!r}, need one of {known}"
                raise InputError(msg)
        return RegionSettings(
            n_regions,
            max_regions,
            self.features,
            bool(self.spatial),
            float(self.radius),
            self.covariance,
            bool(self.run_offsets),
        )

    def _warn_of_runs(self, run: NDArray[np.str_]) -> None:
        """Say it where the map shows the runs and nothing else."""
        # Pixels off tissue are alike in all runs.
        known = (self.labels_ >= 0) & (self.labels_ != self.off_tissue_)
        table = pd.crosstab(self.labels_[known], run[known]).to_numpy()
        if min(table.shape) < 2:
            return
        if (table.max(axis=1) >= OF_ONE_RUN * table.sum(axis=1)).all():
            msg = (
                f"each of the {len(table)} regions of tissue lies in one run: if the runs are of "
                "similar tissue and were measured differently, "
                + advise("say run_offsets=True", cli="add --run-offsets")
            )
            warnings.warn(msg, UserWarning, stacklevel=outside())

    # ---------------------------------------------------------------- prediction

    def predict(
        self, X: Input, *, neighbours: Any = None, min_coverage: float | None = None
    ) -> NDArray[np.int64]:
        """Region of each pixel, as `labels_`; where `spatial`, of whole runs.

        Parameters
        ----------
        X
            Pixels.
        neighbours
            As for `fit`, which does not keep them: without, those within `radius`.
        min_coverage
            Runs whose `coverage` is below it, on average over the quarter of their pixels that is
            covered best, are refused. Default: the level that the fit chose
            (``summary()["coverage_refused_below"]``); 0 answers whatever the spectra are.

        Raises
        ------
        InputError
            For pixels of the other polarity, or without coordinates where `spatial`, and for a run
            that is refused, with the reason that is suspected.

        Warns
        -----
        UserWarning
            Where the model knows little of a run (``summary()["coverage_warned_below"]``), or its
            intensities are on another scale than those of the fit.
        """
        probability = self.predict_proba(X, neighbours=neighbours, min_coverage=min_coverage)
        return labels_of(probability)

    def predict_proba(
        self, X: Input, *, neighbours: Any = None, min_coverage: float | None = None
    ) -> NDArray[np.float64]:
        """Probabilities of the regions, as `probabilities_`.

        Those of pixels whose ion current is at other ions than the model's (`coverage`) are drawn
        towards equal ones: all the way where it is no more than chance would give.

        Parameters
        ----------
        X, neighbours, min_coverage
            As for `predict`, which refuses and warns alike.
        """
        check_is_fitted(self, "region_model_")
        model = self.region_model_
        return model.probability(*self._read(X, neighbours), model.guard(min_coverage))

    def coverage(self, X: Input) -> NDArray[np.float64]:
        """Share of the ion current of each pixel that is of ions of the model, ``(n_pixels,)``.

        As for `RGCNClassifier`; NaN for pixels without peaks.
        """
        check_is_fitted(self, "region_model_")
        return self.region_model_.coverage(self._read(X, None)[0])

    def transform(self, X: Input, *, neighbours: Any = None) -> NDArray[np.float64]:
        """Components of the minimum noise fraction, ``(n_pixels, n_components)``.

        Their noise has unit variance. NaN for pixels without peaks of known ions.

        Parameters
        ----------
        X, neighbours
            As for `predict`.
        """
        check_is_fitted(self, "region_model_")
        return self.region_model_.transform(*self._read(X, neighbours))

    def findings(
        self, X: Input, *, neighbours: Any = None, min_coverage: float | None = None
    ) -> RegionFindings:
        """How sure the regions of an image are, and which molecules define them.

        Stability and false discovery rates come from maps that either half of the molecules makes
        by itself, so that this takes about twice as long as the search of the fit.

        Parameters
        ----------
        X
            Pixels, of the fit or others; where `spatial`, whole runs.
        neighbours, min_coverage
            As for `predict`, which refuses and warns alike.
        """
        check_is_fitted(self, "region_model_")
        guard = self.region_model_.guard(min_coverage)
        return self._describe(*self._read(X, neighbours), guard)

    def _describe(
        self, pixels: Pixels, beside: Neighbours | None, guard: Guard | None = None
    ) -> RegionFindings:
        model = self.region_model_
        return describe_regions(model, pixels, model.names, neighbours=beside, guard=guard)

    def segment(
        self,
        X: Input,
        reference: ArrayLike | None = None,
        *,
        explain: bool = True,
        neighbours: Any = None,
        min_coverage: float | None = None,
    ) -> Segmentation:
        """Regions of the pixels, for all that shows and writes results.

        Parameters
        ----------
        X
            Pixels.
        reference
            Labels to compare with, missing where unlabelled.
        explain
            Whether to add `findings`.
        neighbours, min_coverage
            As for `predict`, which refuses and warns alike.
        """
        check_is_fitted(self, "region_model_")
        pixels, beside = self._read(X, neighbours)
        model = self.region_model_
        look = model.look(pixels, beside, model.guard(min_coverage))
        return Segmentation.from_probability(
            pixels if isinstance(pixels, Spectra) else places(pixels),
            model.names,
            model.map_of(look),
            coverage=look.coverage,
            reference=reference,
            findings=self._describe(pixels, beside) if explain else None,
            parameters=self.summary(),
        )

    @property
    def polarity_(self) -> str | None:
        """Polarity of the pixels of the fit."""
        return self.region_model_.polarity

    def _read(self, X: Any, neighbours: Any) -> tuple[Pixels, Neighbours | None]:
        """Pixels, and their neighbours where these are given."""
        pixels = X if is_source(X) else self._as_spectra(X)
        return pixels, _given(neighbours, pixels, self.region_model_.settings)

    def summary(self) -> dict[str, Any]:
        """Settings and what the fit found out, as values that JSON can hold."""
        check_is_fitted(self, "region_model_")
        model = self.region_model_
        return {
            **asdict(model.settings),
            "n_regions": self.n_regions_,
            "number_was_given": model.settings.n_regions is not None,
            "axis_ions": len(model.axis),
            **model.knowledge.levels.summary(),
            "molecules": int(model.group.max()) + 1,
            "components": len(model.components.signal),
            "covariance_found": model.mixture.kind,
            "brightness_given": model.mixture.n_covariates > 0,
            "peaks_kept": None if model.loss is None else round(model.loss.kept, 3),
            "field_strength": model.strength,
            "off_tissue": model.off_tissue is not None,
            "separation": [round(float(d), 3) for d in self.separation_ if np.isfinite(d)],
            "polarity": model.polarity,
            "begun": model.origin.begun,
            "neighbours_given": model.origin.neighbours_given,
            "random_state": model.origin.random_state,
        }


def _given(neighbours: Any, pixels: Pixels, settings: RegionSettings) -> Neighbours | None:
    if neighbours is None:
        return None
    if not settings.spatial:
        msg = "neighbours do not count with spatial=False: give one of the two"
        raise InputError(msg)
    where = places(pixels)
    if where.coordinates is None:
        msg = "the pixels have no coordinates, which tell where tissue ends: give them, too"
        raise InputError(msg)
    return given_neighbours(neighbours, where.n_pixels)


def _at_least_one(name: str, value: Any, other: str = "") -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        msg = f"{name} is {value!r}, need a whole number of at least 1{other}"
        raise InputError(msg)
    return int(value)


def _codes(init: ArrayLike, n_pixels: int) -> NDArray[np.int64]:
    """Labels as whole numbers from 0, -1 where there is none."""
    labels = pd.Series(np.asarray(init, dtype=object).ravel())
    if len(labels) != n_pixels:
        msg = f"init has {len(labels)} labels for {n_pixels} pixels: give one for each"
        raise InputError(msg)
    negative = labels.map(lambda value: isinstance(value, (int, np.integer)) and value < 0)
    return np.asarray(pd.factorize(labels.mask(negative))[0], dtype=np.int64)
