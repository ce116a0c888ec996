"""Regions without labels: from pixels to the mixture of their components, and to a map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations, default_relations
from massgraph.data.neighbours import neighbour_shares, pairs_among
from massgraph.data.sources import Pixels, places, sample
from massgraph.encode.amounts import molecule_groups
from massgraph.encode.axis import MassAxis
from massgraph.encode.learn_axis import learn_axis
from massgraph.learn.components import Components, learn_components
from massgraph.learn.field import coherence, field_strength, smoothed
from massgraph.learn.mixture import Mixture, fit_mixture, mixture_of_labels
from massgraph.learn.mixture_path import mixture_path, number_of_regions, selection_curve
from massgraph.learn.mixture_search import search_mixture
from massgraph.learn.region_image import RegionImage, open_image, read_image
from massgraph.learn.region_origin import RegionOrigin

__all__ = [
    "BRIGHTNESS",
    "CHOICES",
    "Found",
    "Look",
    "RegionModel",
    "RegionSettings",
    "find_regions",
    "fit_regions",
    "labels_of",
]

Floats = NDArray[np.float64]

CHOICES = {"features": ("molecules", "ions"), "covariance": ("auto", "shared", "own")}
"""Values of those settings that are words."""

SEARCHED = 20_000  # pixels that the search looks at; the mixture it finds is fitted to all
STEPS = 100
OWN_GAIN = 1.0  # of BIC for each pixel
BRIGHTNESS = 2
"""Number of covariates: the last columns of the pixels that mixtures are fitted to."""
BEYOND = 2  # further mixtures on the path, which the gain of the last one is compared with


@dataclass(frozen=True)
class RegionSettings:
    """What is asked of a fit; see `massgraph.SpatialRegions`.

    Examples
    --------
    >>> from massgraph.learn.regions import RegionSettings
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


class Look(NamedTuple):
    """What a map needs of pixels.

    Parameters
    ----------
    components
        ``(n_pixels, n_components)``; NaN for pixels without known ions.
    brightness
        As for `massgraph.learn.region_image.RegionImage`.
    off
        Probability that the pixel is off tissue; NaN where components are.
    pairs
        Neighbours, ``(n_pairs, 2)``; none where they do not count.
    run
        Name of the run of each pixel.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> look = mg.SpatialRegions(n_regions=3).fit(spectra).region_model_.look(spectra)
    >>> look.components.shape[0] == look.off.size == look.run.size
    True
    """

    components: Floats
    brightness: Floats
    off: Floats
    pairs: NDArray[np.int64]
    run: NDArray[np.str_]

    @property
    def given(self) -> Floats:
        """Components and, after them, the brightness: the rows that mixtures take."""
        return np.column_stack([self.components, self.brightness])


class Found(NamedTuple):
    """What a search finds in an image.

    Parameters
    ----------
    components, mixture, strength, path, selection
        As for `RegionModel`.

    Examples
    --------
    See `find_regions`.
    """

    components: Components
    mixture: Mixture
    strength: float
    path: tuple[Mixture, ...]
    selection: pd.DataFrame | None


@dataclass(frozen=True, eq=False)
class RegionModel:
    """All that it takes to tell the regions of pixels.

    Parameters
    ----------
    settings
        What was asked for.
    polarity
        Of the pixels of the fit.
    axis
        The ions.
    group
        Molecule of each ion, or its own number, int64, shape ``(n_ions,)``.
    off_tissue
        Pixels poor and rich in molecules (`massgraph.learn.off_tissue`); None where all are tissue.
    components
        From amounts to components.
    mixture
        What the regions of tissue look like.
    strength
        Of the field; 0 without one.
    path
        Mixtures of 1, 2, ... regions; empty where the number was given.
    selection
        Why this number: `massgraph.learn.mixture_path.selection_curve`; None where it was given.
        Pixels off tissue count as a region there, too.
    origin
        What it was found in; unknown where nothing is said.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.regions import RegionSettings, fit_regions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> relations, rng = mg.default_relations("positive"), np.random.default_rng(0)
    >>> model, _ = fit_regions(spectra, relations, RegionSettings(n_regions=3), rng)
    >>> model.probability(spectra).shape
    (144, 3)
    """

    settings: RegionSettings
    polarity: str | None
    axis: MassAxis
    group: NDArray[np.int64]
    off_tissue: Mixture | None
    components: Components
    mixture: Mixture
    strength: float
    path: tuple[Mixture, ...] = ()
    selection: pd.DataFrame | None = None
    origin: RegionOrigin = field(default_factory=RegionOrigin)

    def __len__(self) -> int:
        return len(self.mixture) + (self.off_tissue is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions, in the order of the labels."""
        tissue = [f"region {k + 1}" for k in range(len(self.mixture))]
        return tuple(tissue if self.off_tissue is None else [*tissue, "off-tissue"])

    def separation(self) -> Floats:
        """Least distance d' of each region to another, ``(n_regions,)``; infinite without any."""
        mixtures = [self.mixture] if self.off_tissue is None else [self.mixture, self.off_tissue]
        least = [_least(mixture) for mixture in mixtures]
        # Of the two kinds of pixels, on and off tissue, the latter are a region.
        return np.concatenate([least[0], *(found[:1] for found in least[1:])])

    def look(self, X: Pixels) -> Look:
        """Read pixels: all that is needed of them for maps."""
        return self.look_at(self.read(X))

    def read(self, X: Pixels) -> RegionImage:
        """Read an image by the ions and molecules of the fit.

        Raises
        ------
        InputError
            For pixels of the other polarity, or without coordinates where neighbours count.
        """
        polarity = places(X).polarity
        # Ions of the other polarity are other ions.
        if len({polarity, self.polarity} - {None}) > 1:
            msg = (
                f"the spectra are of {polarity} polarity, but the regions were found in "
                f"{self.polarity} ones"
            )
            raise InputError(msg)
        reach = self.settings.reach
        return open_image(X, self.axis, self.group, radius=reach, off_tissue=self.off_tissue)

    def look_at(self, image: RegionImage) -> Look:
        """What a map needs of an image that was read."""
        Z = _transform(image, self.components, self.settings.run_offsets)
        return Look(Z, image.brightness, image.off, image.pairs, image.run)

    def transform(self, X: Pixels) -> Floats:
        """Components, ``(n_pixels, n_components)``; NaN for pixels without known ions."""
        return self.look(X).components

    def probability(self, X: Pixels) -> Floats:
        """Probabilities of the regions, ``(n_pixels, n_regions)``; NaN where components are.

        Regions of tissue from the largest to the smallest, then the pixels off tissue, if any.
        """
        return self.map_of(self.look(X))

    def map_of(self, look: Look) -> Floats:
        """Probabilities of the regions of pixels that were looked at."""
        known = ~np.isnan(look.off)
        tissue = known & (look.off < 0.5)
        joint = self.mixture.log_joint(look.given[known])
        found = np.full((len(look.off), len(self.mixture)), np.nan)
        found[known] = softmax(joint, axis=1)
        if self.strength and tissue.any():
            shares = neighbour_shares(pairs_among(look.pairs, tissue), int(tissue.sum()))
            found[tissue] = smoothed(joint[tissue[known]], shares, self.strength)
        if self.off_tissue is None:
            return found
        return np.column_stack([found * (1 - look.off)[:, None], look.off])

    def with_found(self, found: Found) -> RegionModel:
        """The model of other regions of the same ions and pixels."""
        return replace(self, **found._asdict())

    @property
    def relations(self) -> Relations:
        """Those between ions: the ones that were given, or else those of the polarity."""
        given = self.origin.relations
        return default_relations(self.polarity) if given is None else given

    def nearest(self) -> NDArray[np.int64]:
        """The region that `separation` is the distance to; -1 without any, and off tissue."""
        apart = self.mixture.separation() + np.diag(np.full(len(self.mixture), np.inf))
        tissue = np.where(np.isinf(apart.min(axis=1)), -1, apart.argmin(axis=1))
        return tissue if self.off_tissue is None else np.append(tissue, -1)

    def at(self, n_regions: int) -> RegionModel:
        """The model of another number of regions of the same fit.

        Raises
        ------
        InputError
            Where the number was given to the fit, or was not reached by it.
        """
        apart = len(self) - len(self.mixture)
        if not 1 <= n_regions - apart <= len(self.path):
            msg = (
                f"the fit has maps of {1 + apart} to {len(self.path) + apart} regions, "
                f"not of {n_regions}"
                if self.path
                else f"the fit has one map, of {len(self)} regions: fit with "
                'n_regions="auto" for maps of others'
            )
            raise InputError(msg)
        return replace(self, mixture=self.path[n_regions - apart - 1])


def _least(mixture: Mixture) -> Floats:
    alone = np.diag(np.full(len(mixture), np.inf))
    return np.asarray((mixture.separation() + alone).min(axis=1))


def fit_regions(
    X: Pixels,
    relations: Relations | None,
    settings: RegionSettings,
    rng: np.random.Generator,
    init: NDArray[np.int64] | None = None,
) -> tuple[RegionModel, Look]:
    """Find the regions of pixels.

    Parameters
    ----------
    X
        Spectra in memory or a source, of which all peaks are read once, after samples.
    relations
        Those between ions of one molecule; None for those of the polarity.
    settings
        What is asked for.
    rng
        Draws the starts of the search.
    init
        Codes of labels to begin at in place of a search, -1 for none, int64, ``(n_pixels,)``.

    Returns
    -------
    model, look
        The model, and what its `look` would give for the pixels.

    Raises
    ------
    InputError
        For pixels without peaks, or fewer or more alike than there are regions to be found.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.regions import RegionSettings, fit_regions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> relations, rng = mg.default_relations("positive"), np.random.default_rng(0)
    >>> model, _ = fit_regions(spectra, relations, RegionSettings(max_regions=4), rng)
    >>> model.selection["n_regions"].tolist()  # pixels off tissue are one of them
    [2, 3, 4, 5, 6]
    """
    some = sample(X)
    axis = learn_axis(some)
    if len(axis) == 0:
        msg = "no region can be told: no ion is common to the pixels, or they have no peaks"
        raise InputError(msg)
    relations = default_relations(some.polarity) if relations is None else relations
    by_molecule = settings.features == "molecules"
    group = molecule_groups(axis, relations) if by_molecule else np.arange(len(axis))
    one_region = settings.n_regions == 1
    image = read_image(X, axis, group, radius=settings.reach, one_region=one_region)
    known = int(image.known.sum())
    wanted = settings.n_regions or 1
    if known < wanted:
        msg = f"{wanted} regions need as many pixels with peaks at least, got {known}"
        raise InputError(msg)
    found = find_regions(image, settings, rng, init)
    model = RegionModel(
        settings=settings,
        polarity=some.polarity,
        axis=axis,
        group=group,
        off_tissue=image.off_tissue,
        **found._asdict(),
    )
    return model, model.look_at(image)


def find_regions(
    image: RegionImage,
    settings: RegionSettings,
    rng: np.random.Generator,
    init: NDArray[np.int64] | None = None,
) -> Found:
    """Find the regions of an image that was read.

    Parameters and errors as for `fit_regions`.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import read_image
    >>> from massgraph.learn.regions import RegionSettings, find_regions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> image = read_image(spectra, axis, np.arange(len(axis)))
    >>> found = find_regions(image, RegionSettings(n_regions=4), np.random.default_rng(0))
    >>> len(found.mixture)  # and the pixels off tissue
    3
    """
    inner = image.inner
    beside = pairs_among(image.pairs, inner)
    shares = neighbour_shares(beside, int(inner.sum()))
    run = image.run[inner] if settings.run_offsets else None
    components = learn_components(image.amounts[inner], beside, rng, run)
    Z = _transform(image, components, settings.run_offsets)
    Z = np.column_stack([Z, image.brightness])[inner]
    apart = int(image.off_tissue is not None)
    wanted = None if settings.n_regions is None else settings.n_regions - apart
    path: tuple[Mixture, ...] = ()
    selection = None
    if init is None:
        _check_unlike(Z, settings.n_regions or 1)
        most = max(settings.max_regions - apart, 1)
        mixture, path, selection = _searched(Z, shares, wanted, most, rng)
    else:
        mixture = _begun(Z, _of_tissue(init, image)[inner], wanted)
    if settings.covariance != "shared":
        own = fit_mixture(Z, mixture, shared=False, steps=STEPS)[0]
        if settings.covariance == "own" or _pays(own, mixture, Z):
            mixture = own if init is not None else _found_own(Z, shares, own, rng)
            path = tuple(fit_mixture(Z, one, shared=False, steps=STEPS)[0] for one in path)
            path = tuple(mixture if len(one) == len(mixture) else one for one in path)
    strength = 0.0
    if shares.nnz and len(mixture) > 1:
        strength = field_strength(mixture.log_joint(Z), mixture.weight, shares)
    if selection is not None:
        selection["n_regions"] += apart
    return Found(components, mixture, strength, path, selection)


def _searched(
    Z: Floats,
    shares: sp.csr_matrix,
    n_regions: int | None,
    max_regions: int,
    rng: np.random.Generator,
) -> tuple[Mixture, tuple[Mixture, ...], pd.DataFrame | None]:
    """The mixture of as many regions as were asked for, or as the pixels show."""
    step = max(len(Z) // SEARCHED, 1)
    smooth = shares @ Z if shares.nnz else None
    seen, seen_smooth = Z[::step], None if smooth is None else smooth[::step]
    path: tuple[Mixture, ...] = ()
    selection = None
    if n_regions is None:
        most = min(max_regions + BEYOND, len(seen))
        path = mixture_path(seen, most, rng, smooth=seen_smooth, covariates=BRIGHTNESS)
        selection = selection_curve(path, seen)
        n_regions = number_of_regions(selection, max_regions)
        path = path[:max_regions]

    mixture = search_mixture(
        seen,
        n_regions,
        rng,
        smooth=seen_smooth,
        covariates=BRIGHTNESS,
        extra=path[n_regions - 1 : n_regions],
        judge=_judge(Z, shares),
    )
    if step > 1:
        mixture, _ = fit_mixture(Z, mixture, steps=STEPS)
    if path:
        path = (*path[: n_regions - 1], mixture, *path[n_regions:])
    return mixture, path, selection


def _of_tissue(init: NDArray[np.int64], image: RegionImage) -> NDArray[np.int64]:
    """Less the labels that lie off tissue for the most part: that is a region already."""
    known = init >= 0
    size = np.bincount(init[known], minlength=1)
    inside = np.bincount(init[known & image.tissue], minlength=size.size)
    return np.where(known & (2 * inside > size)[np.maximum(init, 0)], init, -1)


def _begun(Z: Floats, init: NDArray[np.int64], wanted: int | None) -> Mixture:
    """The mixture that labels lead to."""
    given, label = np.unique(init[init >= 0], return_inverse=True)
    if given.size == 0:
        msg = "init has no label on tissue: give labels to begin at, or leave it out"
        raise InputError(msg)
    if wanted not in (None, given.size):
        msg = f"init has {given.size} labels on tissue, but {wanted} regions of it are asked for"
        raise InputError(msg)
    start = mixture_of_labels(Z[init >= 0], label, given.size, covariates=BRIGHTNESS)
    return fit_mixture(Z, start, steps=STEPS)[0]


def _check_unlike(Z: Floats, wanted: int) -> None:
    if wanted > 1 and len(np.unique(Z.round(6), axis=0)) < wanted - 1:
        msg = f"the pixels are too much alike to tell {wanted} regions apart"
        raise InputError(msg)


def _transform(image: RegionImage, components: Components, run_offsets: bool) -> Floats:
    """Components, NaN for pixels without known ions; less the mean of the tissue of each run."""
    Z = components.transform(image.amounts)
    Z[~image.known] = np.nan
    for name in np.unique(image.run) if run_offsets else ():
        rows = image.run == name
        if (rows & image.tissue).any():
            Z[rows] -= Z[rows & image.tissue].mean(axis=0)
    return Z


def _pays(own: Mixture, shared: Mixture, Z: Floats) -> bool:
    """Whether covariances of their own explain much more of the pixels.

    By the criterion alone they nearly always do: they bend to whatever is not normal within
    regions, and regions get lost. By `OWN_GAIN` for each pixel they have to be better.
    """
    return shared.bic(Z) - own.bic(Z) > OWN_GAIN * len(Z)


def _found_own(Z: Floats, shares: sp.csr_matrix, own: Mixture, rng: np.random.Generator) -> Mixture:
    """The best mixture of as many regions with covariances of their own."""
    step = max(len(Z) // SEARCHED, 1)
    smooth = shares @ Z if shares.nnz else None
    found = search_mixture(
        Z[::step],
        len(own),
        rng,
        smooth=None if smooth is None else smooth[::step],
        covariates=BRIGHTNESS,
        shared=False,
        extra=(own,),
        judge=_judge(Z, shares),
    )
    return fit_mixture(Z, found, shared=False, steps=STEPS)[0] if step > 1 else found


def _judge(Z: Floats, shares: sp.csr_matrix) -> Callable[[Mixture], float] | None:
    """How well a mixture explains pixels whose neighbours are alike; None without neighbours."""
    if not shares.nnz:
        return None
    return lambda mixture: coherence(mixture.log_joint(Z), mixture.weight, shares)


def labels_of(probability: Floats) -> NDArray[np.int64]:
    """The likeliest region of each pixel, int64, ``(n_pixels,)``; -1 for rows with NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.regions import labels_of
    >>> labels_of(np.array([[0.2, 0.8], [np.nan, np.nan]])).tolist()
    [1, -1]
    """
    missing = np.isnan(probability).any(axis=1)
    return np.where(missing, -1, np.nan_to_num(probability).argmax(axis=1)).astype(np.int64)
