"""Class activation maps: which ions decided, per pixel and per class, exactly additive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError
from massgraph._util.progress import progress
from massgraph.data.spectra import Spectra
from massgraph.explain.families import build_ion_network, family_table, find_families
from massgraph.explain.ion_sums import IonSums
from massgraph.learn.training import batches, model_output

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier
    from massgraph.encode.axis import CalibratedSpectra

__all__ = ["Explanation", "explain", "ion_tables", "peak_activations", "region_table"]

# Ions are taken into families from the strongest down, until these carry this share of what
# separates their class; each must occur in this share of the pixels of some class.
COVERAGE = 0.6
MIN_PRESENCE = 0.05
LEAST_ERROR_PPM = 2.5  # pairs within this of a relation's mass may be of one family


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which ions carry each class.

    Parameters
    ----------
    classes
        Names of the classes.
    mz
        Common axis of the ions, ascending, shape ``(n_ions,)``.
    activation
        Per class a CSR matrix (pixels x ions, float64) of class activations.
    intercept
        The part of the logits that no ion carries, shape ``(n_classes,)``.
    peak_counts
        Number of peaks that each pixel was judged by, shape ``(n_pixels,)``.
    labels
        Index of the predicted class of each pixel, -1 without peaks of known ions.
    ions
        One row per ion: `mz`; `n_pixels` with the ion; `class`, the one it speaks for; `score`, its
        share of all that separates that class from the others; `rank` by score; `family` (missing
        where in none); `activation_<class>`, the mean contribution to that class's logit over the
        pixels of that class; `intensity_<class>`, the mean intensity there, TIC-normalised to a
        mean peak of one, absent peaks counting as zero.
    families
        One row per ion of a family: see `massgraph.explain.families`.
    family_edges
        One row per relation between two ions of a family.

    Notes
    -----
    ``logit_c(pixel) = sum_k activation[c][pixel, k] / peak_counts[pixel] + intercept[c]`` exactly:
    the mean over peaks of Zhou et al. (2016), with the peaks of a pixel summed per ion.
    """

    classes: tuple[str, ...]
    mz: NDArray[np.float64]
    activation: dict[str, sp.csr_matrix]
    intercept: NDArray[np.float64]
    peak_counts: NDArray[np.int64]
    labels: NDArray[np.int64]
    ions: pd.DataFrame
    families: pd.DataFrame
    family_edges: pd.DataFrame

    def logits(self) -> NDArray[np.float64]:
        """Logits put together again from the ions, shape ``(n_pixels, n_classes)``."""
        return _logits(self.activation, self.intercept, self.peak_counts)

    def by_region(self, regions: ArrayLike) -> pd.DataFrame:
        """Mean contribution of each ion to each class over the pixels of each region.

        Parameters
        ----------
        regions
            One label per pixel; pixels with a missing label are left out.

        Returns
        -------
        pandas.DataFrame
            Columns `region`, `class`, `mz`, `activation`; regions in sorted order.

        Raises
        ------
        ValueError
            Where there is not one label per pixel.
        """
        values = np.asarray(regions, dtype=object)
        if values.shape != (len(self.labels),):
            msg = (
                f"regions have shape {values.shape}, need one for each of {len(self.labels)} pixels"
            )
            raise InputError(msg)
        known = ~pd.isna(values)
        names, codes = np.unique(values[known].astype(str), return_inverse=True)
        region = np.full(len(values), -1)
        region[known] = codes
        parts = _contributions(self.activation, self.peak_counts)
        means = np.stack([_group_means(part, region, len(names)) for part in parts], axis=1)
        return region_table(names, self.classes, self.mz, means)


def region_table(
    names: ArrayLike, classes: tuple[str, ...], mz: NDArray[np.float64], means: NDArray[np.float64]
) -> pd.DataFrame:
    """The table of `Explanation.by_region`; means are ``(n_regions, n_classes, n_ions)``."""
    names = np.asarray(names)
    return pd.DataFrame(
        {
            "region": np.repeat(names, len(classes) * len(mz)),
            "class": np.tile(np.repeat(classes, len(mz)), len(names)),
            "mz": np.tile(mz, len(names) * len(classes)),
            "activation": means.ravel(),
        }
    )


def explain(classifier: RGCNClassifier, spectra: Spectra) -> Explanation:
    """Explanation of all pixels by a fitted classifier; called by `RGCNClassifier.explain`."""
    if spectra.n_pixels == 0:
        msg = "there are no pixels to explain"
        raise InputError(msg)
    spectra = classifier.encoder_.preprocess(spectra)
    calibrated = classifier.encoder_.calibrate(spectra)
    mz, ion = classifier.encoder_.align(spectra, calibrated)
    graph = classifier.encoder_.graph(calibrated)
    cam, known = peak_activations(classifier, calibrated)
    classes = tuple(str(name) for name in classifier.classes_)
    activation = {
        name: _per_ion(cam[:, index], ion, spectra.offsets, mz.size)
        for index, name in enumerate(classes)
    }
    intercept = classifier.model_.intercept().detach().cpu().numpy().astype(np.float64)
    best = np.argmax(_logits(activation, intercept, spectra.peak_counts), axis=1)
    labels = np.where(known, best, -1)
    sums = IonSums(len(classes), mz.size)
    sums.add(spectra, cam, ion, labels)
    network = build_ion_network(ion, graph)
    ions, families, family_edges = ion_tables(classifier, mz, sums, network, spectra.polarity)
    return Explanation(
        classes=classes,
        mz=mz,
        activation=activation,
        intercept=intercept,
        peak_counts=spectra.peak_counts,
        labels=labels,
        ions=ions,
        families=families,
        family_edges=family_edges,
    )


def ion_tables(
    classifier: RGCNClassifier,
    mz: NDArray[np.float64],
    sums: IonSums,
    network: pd.DataFrame,
    polarity: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables `ions`, `families` and `family_edges` of an `Explanation`."""
    settings = classifier.encoder_.settings
    classes = tuple(str(name) for name in classifier.classes_)
    ions = _ion_table(mz, sums, classes)
    _, _, presence = sums.means()
    common = (presence >= MIN_PRESENCE).any(axis=0)
    families, family_edges = find_families(
        mz,
        np.where(common, ions["class"].cat.codes, -1),
        ions["score"],
        network,
        settings.relations,
        polarity=polarity,
        classes=classes,
        coverage=COVERAGE,
        # True pairs lie near the relation's mass, chance pairs anywhere within a wide tolerance.
        max_error_ppm=(
            max(settings.tolerance / 2, LEAST_ERROR_PPM)
            if settings.tolerance_unit == "ppm"
            else None
        ),
    )
    ions["family"] = families["family"].reindex(ions.index).astype("Int64")
    return ions, family_table(families, ions), family_edges


def peak_activations(
    classifier: RGCNClassifier, calibrated: CalibratedSpectra
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Class activation of every peak, ``(n_peaks, n_classes)``, and which pixels have a class."""
    graphs = classifier.encoder_.encode(calibrated)
    blocks = list(batches(graphs.offsets))
    parts = [
        model_output(
            classifier.model_,
            graphs,
            np.arange(block.start, block.stop),
            classifier.device_(),
            classifier.model_.cam,
        )
        for block in progress(blocks, len(blocks), "explaining")
    ]
    cam = classifier.encoder_.spread(calibrated, np.concatenate(parts))
    return cam, np.diff(graphs.offsets) > 0


def _per_ion(
    values: NDArray[np.floating[Any]],
    ion: NDArray[np.int64],
    offsets: NDArray[np.int64],
    n_ions: int,
) -> sp.csr_matrix:
    """Peak values as a pixels x ions matrix; peaks of a pixel at one ion are summed."""
    shape = (len(offsets) - 1, n_ions)
    matrix = sp.csr_matrix((values.copy(), ion.copy(), offsets), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _logits(
    activation: dict[str, sp.csr_matrix],
    intercept: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Mean activation over the peaks of each pixel, per class, plus the intercept."""
    sums = [np.asarray(matrix.sum(axis=1)).ravel() for matrix in activation.values()]
    return np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None] + intercept


def _ion_table(mz: NDArray[np.float64], sums: IonSums, classes: tuple[str, ...]) -> pd.DataFrame:
    """The table `Explanation.ions`, but for the families."""
    means, intensity, _ = sums.means()
    speaks_for, score = _score(means, sums.pixels > 0)
    rank = np.empty(mz.size, dtype=np.int64)
    rank[np.lexsort((mz, -score))] = np.arange(1, mz.size + 1)
    table = {
        "mz": mz,
        "n_pixels": sums.present.sum(axis=0).astype(np.int64),
        "class": pd.Categorical.from_codes(speaks_for, pd.Index(classes, dtype=object)),
        "score": score,
        "rank": rank,
        "family": pd.array([pd.NA] * mz.size, dtype="Int64"),
        **{f"activation_{name}": means[c, c] for c, name in enumerate(classes)},
        **{f"intensity_{name}": intensity[c] for c, name in enumerate(classes)},
    }
    return pd.DataFrame(table)


def _score(
    means: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which class each ion speaks for, and its share of what separates that class.

    An ion separates class c by its mean contribution to logit c (less the mean over all logits,
    which moves no probability) in the pixels of c minus that in the pixels of the other classes;
    each other class counts the same. Shares are of the sum over the ions that separate c at all.
    """
    n = len(means)
    centred = means - means.mean(axis=0)
    separation = np.zeros((n, means.shape[2]))
    for c in np.flatnonzero(present):
        others = present & (np.arange(n) != c)
        rest = centred[c, others].mean(axis=0) if others.any() else 0.0
        separation[c] = np.maximum(centred[c, c] - rest, 0.0)
    # Two classes separate each other, so that both have the same share: the ion speaks for the one
    # to which it contributes in that one's pixels.
    best = separation >= separation.max(axis=0) * (1 - 1e-9)
    own = centred[np.arange(n), np.arange(n)]
    speaks_for = np.argmax(np.where(best, own, -np.inf), axis=0)
    total = separation.sum(axis=1)
    share = separation / np.where(total > 0, total, 1.0)[:, None]
    return speaks_for, share[speaks_for, np.arange(means.shape[2])]


def _contributions(
    activation: dict[str, sp.csr_matrix], counts: NDArray[np.int64]
) -> list[sp.csr_matrix]:
    scale = sp.diags(1.0 / np.maximum(counts, 1))
    return [sp.csr_matrix(scale @ matrix) for matrix in activation.values()]


def _group_means(
    matrix: sp.csr_matrix, group: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Mean row of each group, shape ``(n_groups, n_columns)``; zero for an empty group."""
    rows = np.flatnonzero(group >= 0)
    counts = np.bincount(group[rows], minlength=n_groups)
    weights = 1.0 / np.maximum(counts, 1)[group[rows]]
    pick = sp.csr_matrix((weights, (group[rows], rows)), shape=(n_groups, matrix.shape[0]))
    return np.asarray((pick @ matrix).todense(), dtype=np.float64)
