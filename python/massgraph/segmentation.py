"""Segmentation: the one data model between a model and all that shows or writes results.

A class for every pixel, how sure it is, and why. It knows nothing of how the model was trained.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError
from massgraph._util.scores import balanced_accuracy, recall
from massgraph.data.spectra import Spectra
from massgraph.versions import package_versions

if TYPE_CHECKING:
    from anndata import AnnData

    from massgraph.explain.activation import Explanation
    from massgraph.explain.region_findings import RegionFindings

__all__ = ["Segmentation", "uncertainty_of"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """Classes of pixels, with probabilities, uncertainty and the explanation.

    Made by `RGCNClassifier.segment`, or by `from_probability`, which derives those fields that
    follow from others.

    Parameters
    ----------
    classes
        Names of the classes, in the order of the columns of `probability`.
    probability
        float64, shape ``(n_pixels, n_classes)``; rows sum to one, NaN for pixels without peaks.
    label
        Class of highest probability (ties: the first), missing for pixels without peaks.
    uncertainty
        float64 in [0, 1], shape ``(n_pixels,)``: see `uncertainty_of`.
    coverage
        float64 in [0, 1], shape ``(n_pixels,)``: share of the ion current of a pixel at ions of the
        model, NaN for pixels without peaks; None where the model cannot tell. A model says what it
        knows only where this is high.
    spectra
        The pixels that were segmented; without their peaks where these were read block by block.
    coordinates, run, names, pixel_size, pixel_size_unit, polarity
        As in `Spectra`; `run` holds the name of the run of each pixel.
    by_neighbours
        bool, shape ``(n_pixels,)``: pixels that would have another class by themselves; None where
        neighbours were not asked.
    reference
        The labels given by the user, missing where unlabelled; None where none were given.
    training, validation
        bool, shape ``(n_pixels,)``: pixels that the model learnt from, and pixels held out to stop
        the training; None where the model was trained on other pixels.
    explanation
        What decided, per ion and class; None where it was not asked for.
    findings
        How many regions, how sure, and what defines them, where `classes` are regions that were
        found without labels (`SpatialRegions.segment`); else None.
    history
        The learning curve, one row per epoch; None where unknown.
    parameters
        Parameters of the classifier, as values that JSON can hold.
    versions
        Versions of the packages that made this, by name.

    Raises
    ------
    ValueError
        Where shapes disagree, or a row of `probability` neither sums to one nor is NaN. The message
        names the field, the pixel and the value.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra = mg.Spectra.from_peaks([([700.5], [1.0]), ([714.5], [1.0]), ([], [])])
    >>> probability = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    >>> classes, labels = ["stroma", "tumour"], ["stroma", "stroma", None]
    >>> found = mg.Segmentation.from_probability(spectra, classes, probability, reference=labels)
    >>> found
    Segmentation(3 pixels: stroma 1, tumour 1, 1 without peaks)
    >>> found.balanced_accuracy()
    0.5
    """

    classes: tuple[str, ...]
    probability: NDArray[np.float64]
    label: pd.Categorical
    uncertainty: NDArray[np.float64]
    spectra: Spectra
    run: NDArray[np.str_]
    coordinates: NDArray[np.float64] | None = None
    names: NDArray[np.str_] | None = None
    pixel_size: tuple[float, float] | None = None
    pixel_size_unit: str = "um"
    polarity: str | None = None
    coverage: NDArray[np.float64] | None = None
    by_neighbours: NDArray[np.bool_] | None = None
    reference: pd.Categorical | None = None
    training: NDArray[np.bool_] | None = None
    validation: NDArray[np.bool_] | None = None
    explanation: Explanation | None = None
    findings: RegionFindings | None = None
    history: pd.DataFrame | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = self.spectra.n_pixels
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            msg = f"classes must be at least one and differ, got {self.classes}"
            raise InputError(msg)
        for name in ("label", "uncertainty", "run", "names", "coordinates", "reference"):
            self._check_length(name, n)
        for name in ("training", "validation", "by_neighbours", "coverage"):
            self._check_length(name, n)
        if (self.training is None) != (self.validation is None):
            msg = "training and validation must be given together"
            raise InputError(msg)
        if tuple(self.label.categories) != tuple(self.classes):
            msg = f"label has the levels {list(self.label.categories)}, need {list(self.classes)}"
            raise InputError(msg)
        _check_probability(self.probability, n, self.classes)

    def _check_length(self, name: str, n: int) -> None:
        value = getattr(self, name)
        if value is not None and len(value) != n:
            msg = f"{name} has {len(value)} values for {n} pixels"
            raise InputError(msg)

    @classmethod
    def from_probability(
        cls,
        spectra: Spectra,
        classes: Sequence[str],
        probability: ArrayLike,
        *,
        coverage: ArrayLike | None = None,
        by_neighbours: ArrayLike | None = None,
        reference: pd.Categorical | ArrayLike | None = None,
        training: ArrayLike | None = None,
        validation: ArrayLike | None = None,
        explanation: Explanation | None = None,
        findings: RegionFindings | None = None,
        history: pd.DataFrame | None = None,
        parameters: dict[str, Any] | None = None,
        versions: dict[str, str] | None = None,
    ) -> Segmentation:
        """Build from the pixels and the probabilities of their classes.

        Parameters
        ----------
        spectra, classes, coverage, explanation, findings, history, parameters
            As for the class.
        probability
            Shape ``(n_pixels, n_classes)``; the rows of pixels without peaks are made NaN, where
            `spectra` has peaks at all (without any it says where the pixels are, and no more).
        reference
            One label per pixel; None, NaN and NA are missing, every other value is taken as text.
            Labels that are none of `classes` are kept as further levels, in order of appearance.
        by_neighbours, training, validation
            As for the class, one truth value per pixel.
        versions
            Default: `package_versions`.

        Raises
        ------
        ValueError
            As for the class.
        """
        classes = tuple(str(name) for name in classes)
        # A copy: rows of pixels without peaks are overwritten below.
        probability = np.array(probability, dtype=np.float64)
        _check_shape(probability, spectra.n_pixels, classes)
        if spectra.n_peaks:
            probability[spectra.peak_counts == 0] = np.nan
        missing = np.isnan(probability).any(axis=1)
        codes = np.argmax(np.nan_to_num(probability), axis=1).astype(np.int64)
        codes[missing] = -1  # a missing value is never a class
        return cls(
            classes=classes,
            probability=probability,
            label=pd.Categorical.from_codes(codes, categories=pd.Index(classes, dtype=object)),
            uncertainty=uncertainty_of(probability),
            spectra=spectra,
            run=spectra.run,
            coordinates=spectra.coordinates,
            names=spectra.names,
            pixel_size=spectra.pixel_size,
            pixel_size_unit=spectra.pixel_size_unit,
            polarity=spectra.polarity,
            coverage=None if coverage is None else np.asarray(coverage, dtype=np.float64),
            by_neighbours=_mask(by_neighbours),
            reference=None if reference is None else _as_reference(reference, classes),
            training=_mask(training),
            validation=_mask(validation),
            explanation=explanation,
            findings=findings,
            history=history,
            parameters=dict(parameters or {}),
            versions=package_versions() if versions is None else dict(versions),
        )

    # ---------------------------------------------------------------- looking

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return len(self.uncertainty)

    def __len__(self) -> int:
        return self.n_pixels

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts().items())
        missing = int(np.count_nonzero(self.label.codes < 0))
        without = f", {missing} without peaks" if missing else ""
        return f"Segmentation({self.n_pixels} pixels: {counts}{without})"

    def counts(self) -> pd.Series[int]:
        """Count the pixels of each class, in the order of `classes`."""
        codes = np.asarray(self.label.codes)
        counts = np.bincount(codes[codes >= 0], minlength=len(self.classes))
        return pd.Series(counts, index=pd.Index(self.classes, dtype=object), name="n_pixels")

    # ---------------------------------------------------------------- against the user's labels

    def balanced_accuracy(self, pixels: ArrayLike | None = None) -> float:
        """Mean over classes of the share of their labelled pixels that are given their class.

        Parameters
        ----------
        pixels
            Mask or indices of the pixels to count; default all. Unlabelled ones never count.

        Returns
        -------
        float
            Over the classes present among the labels; NaN without labels. A labelled pixel without
            peaks counts as missed.
        """
        return balanced_accuracy(*self._codes(pixels)) if self.reference is not None else np.nan

    def recall(self, pixels: ArrayLike | None = None) -> pd.Series[float]:
        """Share of the labelled pixels of each class that are given it; NaN without any.

        Parameters as for `balanced_accuracy`. Labels that are none of `classes` come last.
        """
        levels = self._levels()
        if self.reference is None:
            return pd.Series(np.full(len(levels), np.nan), index=pd.Index(levels, dtype=object))
        given, found = self._codes(pixels)
        share = recall(given, found, len(levels))
        return pd.Series(share, index=pd.Index(levels, dtype=object), name="recall")

    def confusion(self, pixels: ArrayLike | None = None) -> pd.DataFrame:
        """Numbers of labelled pixels by the label given (rows) and the class found (columns).

        Parameters as for `balanced_accuracy`. Labelled pixels without peaks have no class and
        appear in no column. Without labels all numbers are zero.
        """
        levels = self._levels()
        table = np.zeros((len(levels), len(self.classes)), dtype=np.int64)
        if self.reference is not None:
            given, found = self._codes(pixels)
            np.add.at(table, (given[found >= 0], found[found >= 0]), 1)
        return pd.DataFrame(
            table,
            index=pd.Index(levels, dtype=object, name="reference"),
            columns=pd.Index(self.classes, dtype=object, name="predicted"),
        )

    def coverage_by_run(self) -> pd.DataFrame:
        """How much the model knows of each run.

        Returns
        -------
        pandas.DataFrame
            One row per run in order of appearance: `run`; `n_pixels`, those with peaks; `coverage`,
            its mean over these; and `n_uncovered`, those of them below the level under which the
            model refuses runs, whose probabilities were drawn towards equal ones. No row where
            the coverage is not known, or nothing has peaks.
        """
        columns = ["run", "n_pixels", "coverage", "n_uncovered"]
        if self.coverage is None:
            return pd.DataFrame(columns=columns)
        level = float(self.parameters.get("coverage_refused_below", 0.0))
        table = pd.DataFrame({"run": self.run, "coverage": self.coverage}).dropna()
        table["uncovered"] = table["coverage"] < level
        found = table.groupby("run", sort=False, as_index=False).agg(
            n_pixels=("coverage", "size"),
            coverage=("coverage", "mean"),
            n_uncovered=("uncovered", "sum"),
        )
        return found[columns]

    def metrics(self) -> pd.DataFrame:
        """Agreement with the user's labels, one row per run and subset of labelled pixels.

        Returns
        -------
        pandas.DataFrame
            Columns `run`; `subset`: ``"training"``, ``"held out"`` (to stop the training) and
            ``"unseen"`` (with peaks, labelled here but not in the fit) where the model was trained
            on some of these pixels, else ``"labelled"``; `n_labelled`; `balanced_accuracy`;
            `uncertainty` (mean); and ``recall_<class>``. Runs in order of appearance; no row
            without labelled pixels. Accuracy on training pixels says how well they were learnt by
            heart; on held-out ones, which chose the epoch, it is a little too good. Neither
            replaces cross-validation.
        """
        columns = ["run", "subset", "n_labelled", "balanced_accuracy", "uncertainty"]
        columns += [f"recall_{name}" for name in self._levels()]
        if self.reference is None:
            return pd.DataFrame(columns=columns)
        subsets = self.subsets()
        rows = []
        for run in pd.unique(pd.Series(self.run)):
            for subset, mask in subsets.items():
                pixels = mask & (self.run == run)
                if pixels.any():
                    rows.append([str(run), subset, *self._scores(pixels)])
        return pd.DataFrame(rows, columns=columns)

    def subsets(self) -> dict[str, NDArray[np.bool_]]:
        """Masks of labelled pixels by their part in the fit, under the names of `metrics`."""
        if self.reference is None:
            return {}
        labelled = np.asarray(self.reference.codes) >= 0
        if self.training is None or self.validation is None:
            return {"labelled": labelled}
        # Without peaks a pixel could not be learnt from: it is not unseen by choice.
        classed = np.asarray(self.label.codes) >= 0
        return {
            "training": labelled & self.training,
            "held out": labelled & self.validation,
            "unseen": labelled & classed & ~self.training & ~self.validation,
        }

    def _scores(self, pixels: NDArray[np.bool_]) -> list[float]:
        recall = self.recall(pixels)
        return [
            int(pixels.sum()),
            self.balanced_accuracy(pixels),
            float(self.uncertainty[pixels].mean()),
            *(float(value) for value in recall),
        ]

    def _levels(self) -> list[str]:
        """List the classes, then the labels that are none of them."""
        given = [] if self.reference is None else [str(name) for name in self.reference.categories]
        return [*self.classes, *(name for name in given if name not in self.classes)]

    def _codes(self, pixels: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Label given (as an index into `_levels`) and class found of the labelled pixels."""
        given, found = _codes(self.reference, self._levels()), _codes(self.label, self._levels())
        if pixels is not None:
            given, found = given[np.asarray(pixels)], found[np.asarray(pixels)]
        return given[given >= 0], found[given >= 0]

    # ---------------------------------------------------------------- writing

    def to_anndata(self) -> AnnData:
        """Make an AnnData object; see `massgraph.io.h5ad.to_anndata` for its layout."""
        # Imported here: who only looks at a segmentation need not load anndata.
        from massgraph.io.h5ad import to_anndata

        return to_anndata(self)

    def write_h5ad(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write `to_anndata` to an h5ad file, whole or not at all.

        See `massgraph.io.h5ad.write_h5ad`.
        """
        from massgraph.io.h5ad import write_h5ad

        write_h5ad(self, path, overwrite=overwrite)


def uncertainty_of(probability: ArrayLike) -> NDArray[np.float64]:
    """Entropy of each row as a share of the largest possible one, in [0, 1].

    Parameters
    ----------
    probability
        Shape ``(n_pixels, n_classes)``.

    Returns
    -------
    numpy.ndarray
        ``-sum_c p_c log(p_c) / log(n_classes)``; one for rows with NaN, zero for a single class.

    Examples
    --------
    >>> from massgraph.segmentation import uncertainty_of
    >>> uncertainty_of([[0.5, 0.5], [0.9, 0.1], [float("nan")] * 2]).round(2).tolist()
    [1.0, 0.47, 1.0]
    """
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] == 0:
        msg = f"probability has shape {p.shape}, need (n_pixels, n_classes)"
        raise InputError(msg)
    # 0 log 0 is 0, and numpy should not warn of the logarithm.
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1)
    share = entropy / np.log(p.shape[1]) if p.shape[1] > 1 else entropy
    return np.where(np.isnan(share), 1.0, np.clip(share, 0.0, 1.0))


def _mask(values: ArrayLike | None) -> NDArray[np.bool_] | None:
    return None if values is None else np.asarray(values, dtype=bool)


def _codes(values: pd.Categorical | None, levels: list[str]) -> NDArray[np.int64]:
    """Codes of a categorical among other levels, -1 where missing."""
    codes = pd.Categorical(np.asarray(values, dtype=object), categories=levels).codes
    return np.asarray(codes, dtype=np.int64)


def _check_shape(probability: NDArray[np.float64], n: int, classes: tuple[str, ...]) -> None:
    if probability.shape != (n, len(classes)):
        msg = f"probability has shape {probability.shape}, need ({n}, {len(classes)})"
        raise InputError(msg)


def _check_probability(probability: NDArray[np.float64], n: int, classes: tuple[str, ...]) -> None:
    _check_shape(probability, n, classes)
    missing = np.isnan(probability).all(axis=1)
    # Probabilities of float32, or from a text file, miss one by their last digits.
    fine = (probability >= 0).all(axis=1) & (np.abs(probability.sum(axis=1) - 1) < 1e-4)
    bad = ~(fine | missing)
    if bad.any():
        pixel = int(np.argmax(bad))
        msg = f"pixel {pixel}: probabilities {probability[pixel]} do not sum to one"
        raise InputError(msg)


def _as_reference(labels: pd.Categorical | ArrayLike, classes: tuple[str, ...]) -> pd.Categorical:
    """Labels as text; levels are the classes, then what else there is."""
    # Objects, as numpy would make text of a mixture, and the text "nan" of what is missing.
    values = np.asarray(labels, dtype=object).ravel()
    text = [None if missing else str(v) for v, missing in zip(values, pd.isna(values), strict=True)]
    others = dict.fromkeys(v for v in text if v is not None and v not in classes)
    return pd.Categorical(np.array(text, dtype=object), categories=[*classes, *others])
