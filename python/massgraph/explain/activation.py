"""Class activation maps: which ions decided, per pixel and per class, exactly additive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from massgraph._util.errors import InputError

__all__ = ["Explanation", "StreamedExplanation"]


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
        Number of peaks that each pixel was classified by, shape ``(n_pixels,)``.
    labels
        Index of the predicted class of each pixel, -1 without peaks of known ions.
    ions
        One row per ion: `mz`; `n_pixels` with the ion; `class`, the one it speaks for; `direction`,
        "more" where its presence does so, "less" where its absence or weakness does; `score`, its
        share of all that separates that class from the others; `rank` by score; `family` (missing
        for an ion in none); `activation_<class>`, the mean contribution to that class's logit over
        the pixels of that class; `intensity_<class>`, the mean over these pixels of the ion's share
        of the total ion current, zero where it is absent: what its ion image shows.
    families
        One row per ion of a family: see `massgraph.explain.families`.
    family_edges
        One row per relation between two ions of a family.
    share
        CSR matrix (pixels x ions, float64): share of each ion in the total ion current of the
        pixel, as ion images draw it; None where it was not kept.

    Notes
    -----
    ``logit_c(pixel) = sum_k activation[c][pixel, k] / peak_counts[pixel] + intercept[c]`` exactly:
    the mean over peaks of Zhou et al. (2016), with the peaks of a pixel summed per ion.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> explanation = clf.explain(spectra)
    >>> bool(np.allclose(explanation.logits(), clf.logits(spectra)))
    True
    >>> best = explanation.ions.sort_values("rank").head(10)
    >>> best[["mz", "class", "score"]].shape
    (10, 3)
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
    share: sp.csr_matrix | None = None

    def logits(self) -> NDArray[np.float64]:
        """Logits added up again from the ions, shape ``(n_pixels, n_classes)``."""
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
        # Objects: as text a missing label would be a region named "nan".
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


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedExplanation(Explanation):
    """Explanation of pixels that were never in memory together.

    As `Explanation`, but `activation` is empty and `share` is None: only means are kept. Where the
    source has more than two million peaks, ions (`mz`) and the relations between them are found on
    an evenly spread sample of about that many; the tables of ions are over all pixels. A peak more
    than two tolerances from every ion counts in the logits of its pixel and for no ion.

    Parameters
    ----------
    pixel_logits
        Logits added up from the activations of the peaks, shape ``(n_pixels, n_classes)``.
    run
        Name of the run of each pixel.
    run_names
        Names of the runs, sorted.
    run_means
        Mean contribution of each ion to each class over the pixels of each run, shape
        ``(n_runs, n_classes, n_ions)``.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> source = mg.streaming.JoinedSpectra([spectra])
    >>> explanation = clf.explain(source)
    >>> explanation.run_names, explanation.activation
    (('run1',), {})
    """

    pixel_logits: NDArray[np.float64]
    run: NDArray[np.str_]
    run_names: tuple[str, ...]
    run_means: NDArray[np.float64]

    def logits(self) -> NDArray[np.float64]:
        """Logits added up from the peaks, shape ``(n_pixels, n_classes)``."""
        return self.pixel_logits

    def by_region(self, regions: ArrayLike) -> pd.DataFrame:
        """As `Explanation.by_region`, for the runs alone: means of other regions are not kept.

        Raises
        ------
        ValueError
            For other regions.
        """
        if not np.array_equal(np.asarray(regions).astype(str), self.run):
            msg = (
                "of pixels read block by block only the means by run are kept: explain the pixels "
                "of the regions in memory, as read_imzml gives them"
            )
            raise InputError(msg)
        return region_table(self.run_names, self.classes, self.mz, self.run_means)


def _logits(
    activation: dict[str, sp.csr_matrix],
    intercept: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Mean activation over the peaks of each pixel, per class, plus the intercept."""
    sums = [np.asarray(matrix.sum(axis=1)).ravel() for matrix in activation.values()]
    return np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None] + intercept


def _contributions(
    activation: dict[str, sp.csr_matrix], counts: NDArray[np.int64]
) -> list[sp.csr_matrix]:
    scale = sp.diags(1.0 / np.maximum(counts, 1))  # pixels without peaks have rows of zeros
    return [sp.csr_matrix(scale @ matrix) for matrix in activation.values()]


def _group_means(
    matrix: sp.csr_matrix, group: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Mean row of each group, shape ``(n_groups, n_columns)``; zero for an empty group."""
    # A product with a sparse matrix that picks rows: no copy of the activations is made.
    rows = np.flatnonzero(group >= 0)
    counts = np.bincount(group[rows], minlength=n_groups)
    weights = 1.0 / np.maximum(counts, 1)[group[rows]]
    pick = sp.csr_matrix((weights, (group[rows], rows)), shape=(n_groups, matrix.shape[0]))
    return np.asarray((pick @ matrix).todense(), dtype=np.float64)
