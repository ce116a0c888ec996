"""The search for regions in an image that was read: components, mixture, covariance, field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.learn.components import Components, learn_components
from massgraph.learn.field import coherence, field_strength, smoothed
from massgraph.learn.least_apart import clearly_apart, joined_by_separation
from massgraph.learn.mixture import COVARIANCES, Mixture, fit_mixture, mixture_of_labels
from massgraph.learn.mixture_path import mixture_path, number_of_regions, selection_curve
from massgraph.learn.mixture_search import search_mixture
from massgraph.learn.off_tissue import two_parts
from massgraph.learn.region_image import RegionImage

__all__ = [
    "BRIGHTNESS",
    "CHOICES",
    "MORE",
    "Found",
    "RegionSettings",
    "components_of",
    "find_regions",
]

Floats = NDArray[np.float64]

CHOICES = {"features": ("molecules", "ions"), "covariance": ("auto", *COVARIANCES)}
"""Values of those settings that are words."""

SEARCHED = 10_000  # pixels that the search looks at; the mixture it finds is fitted to all
POLISHED = 20  # steps of that last fit
STEPS = 100
OWN_GAIN = 3.5  # of BIC for each pixel
UNLIKE = 2.0  # times the variance of another region: from here, covariances are scaled
BRIGHTNESS = 2
"""Number of covariates where brightness is one: the last columns that mixtures are fitted to."""
SMOOTH = 0.9  # of the variance of brightness is between places that are no neighbours
STEPPED = 5.0  # deviations between two heaps of values: far more than of a field
MORE = 2
"""Further regions that are looked for, and joined again by how far they are apart."""
FEWEST_PIXELS = 20  # for each of them
BEYOND = 2  # further mixtures on the path, which the gain of the last one is compared with


@dataclass(frozen=True)
class RegionSettings:
    """What is asked of a fit; see `massgraph.SpatialRegions`.

    Examples
    --------
    >>> from massgraph.learn.region_search import RegionSettings
    >>> RegionSettings(n_regions=4).features
    'molecules'
    """

    n_regions: int | None = None
    max_regions: int = 15
    features: str = "molecules"
    spatial: bool = True
    radius: float = 1.0
    covariance: str = "auto"
    run_offsets: bool = False

    @property
    def reach(self) -> float | None:
        """Of the neighbourhood; None where neighbours do not count."""
        return self.radius if self.spatial else None


class Found(NamedTuple):
    """What a search finds in an image.

    Parameters
    ----------
    components, mixture, strength, path, selection
        As for `massgraph.learn.regions.RegionModel`.

    Examples
    --------
    See `find_regions`.
    """

    components: Components
    mixture: Mixture
    strength: float
    path: tuple[Mixture, ...]
    selection: pd.DataFrame | None


def find_regions(
    image: RegionImage,
    settings: RegionSettings,
    rng: np.random.Generator,
    init: NDArray[np.int64] | None = None,
) -> Found:
    """Find the regions of an image that was read.

    Parameters and errors as for `massgraph.learn.regions.fit_regions`.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import read_image
    >>> from massgraph.learn.region_search import RegionSettings, find_regions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> image = read_image(spectra, axis, np.arange(len(axis)))
    >>> found = find_regions(image, RegionSettings(n_regions=4), np.random.default_rng(0))
    >>> len(found.mixture)  # and the pixels off tissue
    3
    """
    inner = image.inner
    neighbours = image.neighbours.among(inner)
    beside, shares = neighbours.pairs, neighbours.shares()
    run = image.run[inner] if settings.run_offsets else None
    components = learn_components(image.amounts[inner], beside, rng, run)
    Z = components_of(image, components, settings)[inner]
    covariates = BRIGHTNESS if _is_nuisance(image, beside) else 0
    Z = np.column_stack([Z, image.brightness[inner, :covariates]])
    apart = int(image.off_tissue is not None)
    wanted = None if settings.n_regions is None else settings.n_regions - apart
    pixels = _Pixels(Z, covariates, shares)
    if init is None:
        _check_unlike(Z, settings.n_regions or 1)
        most = max(settings.max_regions - apart, 1)
        mixture, path, selection = _searched(pixels, wanted, most, rng)
    else:
        path, selection = (), None
        mixture = _begun(pixels, _of_tissue(init, image)[inner], wanted)
    searched = rng if init is None else None
    mixture = _with_covariance(pixels, mixture, settings.covariance, searched)
    if searched is not None and mixture.kind != "shared":
        mixture = _clearer(pixels, mixture, settings.covariance, rng)
    if mixture.kind != "shared":
        path = tuple(pixels.fit(one, mixture.kind) for one in path)
    mixture = pixels.polished(mixture)
    path = tuple(mixture if len(one) == len(mixture) else one for one in path)
    strength = 0.0
    if shares.nnz and len(mixture) > 1:
        strength = field_strength(mixture.log_joint(Z), mixture.weight, shares)
    if selection is not None:
        selection["n_regions"] += apart
    return Found(components, mixture, strength, path, selection)


def components_of(image: RegionImage, components: Components, settings: RegionSettings) -> Floats:
    """Components of all pixels, NaN for those without known ions.

    Where peaks are lost at random, neighbours take the part of the lost ones. Where runs are
    offset, each has the mean 0 over its tissue.

    Parameters
    ----------
    image
        What was read.
    components
        From its amounts.
    settings
        What is asked for.

    Examples
    --------
    See `find_regions`.
    """
    Z = components.transform(image.amounts)
    tissue = image.tissue
    if image.kept < 1:
        shares = image.neighbours.among(tissue).shares()
        beside = np.diff(shares.indptr) > 0
        around = shares @ Z[tissue]
        rows = np.flatnonzero(tissue)[beside]
        Z[rows] = image.kept * Z[rows] + (1 - image.kept) * around[beside]
    Z[~image.known] = np.nan
    for name in np.unique(image.run) if settings.run_offsets else ():
        rows = image.run == name
        if (rows & tissue).any():
            Z[rows] -= Z[rows & tissue].mean(axis=0)
    return Z


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Components and covariates of the pixels that are learnt from, and their neighbours."""

    Z: Floats
    covariates: int
    shares: sp.csr_matrix

    def judge(self, mixture: Mixture) -> float:
        """How well a mixture explains pixels whose neighbours are alike."""
        return coherence(mixture.log_joint(self.Z), mixture.weight, self.shares)

    @property
    def step(self) -> int:
        """Of the pixels that a search looks at."""
        return max(len(self.Z) // SEARCHED, 1)

    @property
    def seen(self) -> Floats:
        """`Z` of the pixels that a search looks at."""
        return self.Z[:: self.step]

    @cached_property
    def smooth(self) -> Floats | None:
        """Means over the neighbours of the pixels that a search looks at."""
        return (self.shares[:: self.step] @ self.Z) if self.shares.nnz else None

    def search(
        self, n_regions: int, rng: np.random.Generator, covariance: str, extra: Sequence[Mixture]
    ) -> Mixture:
        """Parameters and result as for `search_mixture`."""
        return search_mixture(
            self.seen,
            n_regions,
            rng,
            smooth=self.smooth,
            covariates=self.covariates,
            covariance=covariance,
            extra=extra,
            judge=self.judge if self.shares.nnz else None,
        )

    def fit(self, start: Mixture, covariance: str) -> Mixture:
        """The mixture of the pixels that a search looks at."""
        return fit_mixture(self.seen, start, covariance=covariance, steps=STEPS)[0]

    def polished(self, mixture: Mixture) -> Mixture:
        """The mixture of all pixels."""
        if self.step == 1:
            return mixture
        return fit_mixture(self.Z, mixture, covariance=mixture.kind, steps=POLISHED)[0]


def _is_nuisance(image: RegionImage, beside: NDArray[np.int64]) -> bool:
    """Whether brightness is a smooth field over the image, and not a mark of regions.

    Between regions it steps: its values are in two heaps or more, or neighbours differ in it as
    pixels do. A field is smooth and its values spread.
    """
    intensity = image.brightness[image.inner, 1]
    variance = intensity.var()
    if not len(beside) or variance == 0:
        return False
    low = intensity < two_parts(intensity)
    parts = [intensity[rows] for rows in (low, ~low) if rows.any()]
    within = sum(part.var() * len(part) for part in parts) / len(intensity)
    if len(parts) == 2 and parts[1].mean() - parts[0].mean() > STEPPED * np.sqrt(within):
        return False
    rough = np.mean((intensity[beside[:, 0]] - intensity[beside[:, 1]]) ** 2) / 2
    # Where peaks are lost, neighbours differ by what they lost.
    return bool(image.kept < 1 or rough <= (1 - SMOOTH) * variance)


def _searched(
    pixels: _Pixels, n_regions: int | None, max_regions: int, rng: np.random.Generator
) -> tuple[Mixture, tuple[Mixture, ...], pd.DataFrame | None]:
    """The mixture of as many regions as were asked for, or as the pixels show."""
    path: tuple[Mixture, ...] = ()
    selection = None
    if n_regions is None:
        seen, smooth = pixels.seen, pixels.smooth
        most = min(max_regions + BEYOND, len(seen))
        path = mixture_path(seen, most, rng, smooth=smooth, covariates=pixels.covariates)
        selection = selection_curve(path, seen)
        n_regions = number_of_regions(selection, max_regions)
        path = path[:max_regions]
    return pixels.search(n_regions, rng, "shared", path[n_regions - 1 : n_regions]), path, selection


def _with_covariance(
    pixels: _Pixels, shared: Mixture, covariance: str, rng: np.random.Generator | None
) -> Mixture:
    """The mixture with the covariance that was asked for, or that the pixels show.

    Regions whose pixels spread unlike, such as noise beside signal, are found only where they may.
    By the criterion alone covariances of their own nearly always pay: they bend to whatever is not
    normal within regions, and regions get lost. They have to be better by `OWN_GAIN` for each
    pixel. Without `rng` what was begun at is fitted, and nothing is searched for.
    """

    def found(kind: str, start: Mixture) -> Mixture:
        return start if rng is None else pixels.search(len(shared), rng, kind, (start,))

    mixture = shared
    if covariance in ("auto", "scaled") and len(shared) > 1:
        scaled = pixels.fit(shared, "scaled")
        unlike = scaled.scale.max() > UNLIKE * scaled.scale.min()
        if covariance == "scaled" or unlike:
            mixture = found("scaled", scaled)
    if covariance in ("auto", "own"):
        own = pixels.fit(mixture, "own")
        gain = (mixture.bic(pixels.seen) - own.bic(pixels.seen)) / len(pixels.seen)
        if covariance == "own" or gain > OWN_GAIN:
            mixture = found("own", own)
    return mixture


def _clearer(
    pixels: _Pixels, mixture: Mixture, covariance: str, rng: np.random.Generator
) -> Mixture:
    """The mixture, or as many regions that are further apart: two more, and these joined again.

    Only where regions scatter unlike: elsewhere none is wide enough for the likelihood to favour
    its halves, and joining two was worse wherever it changed a map.
    """
    n_regions = len(mixture)
    if n_regions < 2 or len(pixels.seen) < FEWEST_PIXELS * (n_regions + MORE):
        return mixture
    more = pixels.search(n_regions + MORE, rng, "shared", ())
    more = _with_covariance(pixels, more, covariance, rng)
    kind = "scaled" if covariance == "auto" else covariance
    log_joint = more.log_joint(pixels.Z)
    strength = field_strength(log_joint, more.weight, pixels.shares)
    probability = smoothed(log_joint, pixels.shares, strength)
    joined = joined_by_separation(pixels.Z, probability, more, n_regions, kind)
    joined = pixels.fit(joined, kind)
    return joined if clearly_apart(joined, len(pixels.Z), mixture) else mixture


def _of_tissue(init: NDArray[np.int64], image: RegionImage) -> NDArray[np.int64]:
    """Less the labels that lie off tissue for the most part: that is a region already."""
    known = init >= 0
    size = np.bincount(init[known], minlength=1)
    inside = np.bincount(init[known & image.tissue], minlength=size.size)
    return np.where(known & (2 * inside > size)[np.maximum(init, 0)], init, -1)


def _begun(pixels: _Pixels, init: NDArray[np.int64], wanted: int | None) -> Mixture:
    """The mixture that labels lead to."""
    given, label = np.unique(init[init >= 0], return_inverse=True)
    if given.size == 0:
        msg = "init has no label on tissue: give labels to begin at, or leave it out"
        raise InputError(msg)
    if wanted not in (None, given.size):
        msg = f"init has {given.size} labels on tissue, but {wanted} regions of it are asked for"
        raise InputError(msg)
    Z, covariates = pixels.Z[init >= 0], pixels.covariates
    return pixels.fit(mixture_of_labels(Z, label, given.size, covariates=covariates), "shared")


def _check_unlike(Z: Floats, wanted: int) -> None:
    if wanted > 1 and len(np.unique(Z.round(6), axis=0)) < wanted - 1:
        msg = f"the pixels are too much alike to tell {wanted} regions apart"
        raise InputError(msg)
