"""Regions without labels: from pixels to the mixture of their components, and to a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations, default_relations
from massgraph.data.neighbours import neighbour_pairs, neighbour_shares, pairs_among
from massgraph.data.sources import Pixels, batches, parts, places, runs, sample, take
from massgraph.data.spectra import Spectra
from massgraph.encode.amounts import log_shares, molecule_groups
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.calibration import sample_of_runs
from massgraph.encode.ions import ion_nodes
from massgraph.encode.learn_axis import learn_axis
from massgraph.learn.components import Components, learn_components
from massgraph.learn.field import STRENGTHS, coherence, field_strength, smoothed
from massgraph.learn.mixture import Mixture, fit_mixture
from massgraph.learn.mixture_path import mixture_path, number_of_regions, selection_curve
from massgraph.learn.mixture_search import search_mixture
from massgraph.learn.off_tissue import find_off_tissue
from massgraph.learn.region_origin import RegionOrigin

__all__ = ["CHOICES", "Look", "RegionModel", "RegionSettings", "fit_regions"]

Floats = NDArray[np.float64]

CHOICES = {"features": ("molecules", "ions"), "covariance": ("shared", "own")}
"""Values of those settings that are words."""

SEARCHED = 20_000  # pixels that the search looks at; the mixture it finds is fitted to all
STEPS = 100
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
    covariance: str = "shared"
    run_offsets: bool = False


class Look(NamedTuple):
    """What a map needs of pixels.

    Parameters
    ----------
    components
        ``(n_pixels, n_components)``; NaN for pixels without known ions.
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
    off: Floats
    pairs: NDArray[np.int64]
    run: NDArray[np.str_]


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
        where = places(X)
        # Ions of the other polarity are other ions.
        if len({where.polarity, self.polarity} - {None}) > 1:
            msg = (
                f"the spectra are of {where.polarity} polarity, but the regions were found in "
                f"{self.polarity} ones"
            )
            raise InputError(msg)
        amounts = _amounts(self.axis, self.group, X)
        pairs = _pairs(where, self.settings)
        off = _off_probability(self.off_tissue, _richness(amounts), pairs)
        run = where.run if self.settings.run_offsets else None
        return Look(_transform(amounts, self.components, run, off < 0.5), off, pairs, where.run)

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
        joint = self.mixture.log_joint(look.components[known])
        found = np.full((len(look.off), len(self.mixture)), np.nan)
        found[known] = softmax(joint, axis=1)
        if self.strength and tissue.any():
            shares = _shares(look.pairs, tissue)
            found[tissue] = smoothed(joint[tissue[known]], shares, self.strength)
        if self.off_tissue is None:
            return found
        return np.column_stack([found * (1 - look.off)[:, None], look.off])

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
    X: Pixels, relations: Relations | None, settings: RegionSettings, rng: np.random.Generator
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
    where = places(X)
    pairs = _pairs(where, settings)
    amounts = _amounts(axis, group, X)
    richness = _richness(amounts)
    # One region is all pixels, those off tissue, too.
    off_tissue = (
        None if settings.n_regions == 1 else find_off_tissue(richness[np.isfinite(richness)])
    )
    off = _off_probability(off_tissue, richness, pairs)
    inner = _inner_tissue(off, where, settings)
    beside = pairs_among(pairs, inner)
    shares = neighbour_shares(beside, int(inner.sum()))
    run = where.run if settings.run_offsets else None
    components = learn_components(amounts[inner], beside, rng, None if run is None else run[inner])
    of_all = _transform(amounts, components, run, off < 0.5)
    Z = of_all[inner]
    apart = int(off_tissue is not None)
    wanted = None if settings.n_regions is None else settings.n_regions - apart
    most = max(settings.max_regions - apart, 1)
    _check_pixels(np.isfinite(richness), Z, settings.n_regions or 1)
    mixture, path, selection = _mixtures(Z, shares, wanted, most, rng)
    if settings.covariance == "own":
        mixture, _ = fit_mixture(Z, mixture, shared=False, steps=STEPS)
    strength = 0.0
    if shares.nnz and len(mixture) > 1:
        strength = field_strength(mixture.log_joint(Z), mixture.weight, shares)
    if selection is not None:
        selection["n_regions"] += apart
    model = RegionModel(
        settings=settings,
        polarity=some.polarity,
        axis=axis,
        group=group,
        off_tissue=off_tissue,
        components=components,
        mixture=mixture,
        strength=strength,
        path=path,
        selection=selection,
    )
    return model, Look(of_all, off, pairs, where.run)


def _mixtures(
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
        path = mixture_path(seen, most, rng, smooth=seen_smooth)
        selection = selection_curve(path, seen)
        n_regions = number_of_regions(selection, max_regions)
        path = path[:max_regions]

    def judge(mixture: Mixture) -> float:
        return coherence(mixture.log_joint(Z), mixture.weight, shares)

    mixture = search_mixture(
        seen,
        n_regions,
        rng,
        smooth=seen_smooth,
        extra=path[n_regions - 1 : n_regions],
        judge=judge if shares.nnz else None,
    )
    if step > 1:
        mixture, _ = fit_mixture(Z, mixture, steps=STEPS)
    if path:
        path = (*path[: n_regions - 1], mixture, *path[n_regions:])
    return mixture, path, selection


def _check_pixels(known: NDArray[np.bool_], Z: Floats, wanted: int) -> None:
    if known.sum() < wanted:
        msg = f"{wanted} regions need as many pixels with peaks at least, got {int(known.sum())}"
        raise InputError(msg)
    if wanted > 1 and len(np.unique(Z.round(6), axis=0)) < wanted - 1:
        msg = f"the pixels are too much alike to tell {wanted} regions apart"
        raise InputError(msg)


def _inner_tissue(off: Floats, where: Spectra, settings: RegionSettings) -> NDArray[np.bool_]:
    """Pixels to learn from: tissue without its edge, as long as that leaves half of it."""
    tissue = np.asarray(off < 0.5)
    if not settings.spatial or tissue.sum() == (off >= 0).sum():
        return tissue
    # A pixel at the edge is tissue in part: left in, edges become a region of their own.
    pairs = neighbour_pairs(where, 1)
    edge = neighbour_shares(pairs, len(off)) @ np.asarray(off >= 0.5, dtype=np.float64) > 0
    inner = np.asarray(tissue & ~edge)
    return inner if 2 * inner.sum() >= tissue.sum() else tissue


# -------------------------------------------------------------------- reading


def _amounts(axis: MassAxis, group: NDArray[np.int64], X: Pixels) -> sp.csr_matrix:
    found = [
        # Half of the memory, and far more digits than an amount has.
        log_shares(ion_nodes(axis, block), group).astype(np.float32)
        for block in _calibrated(axis, X)
    ]
    return sp.csr_matrix(sp.vstack(found, format="csr"))


def _calibrated(axis: MassAxis, X: Pixels) -> Iterator[CalibratedSpectra]:
    """All pixels in order, some at a time, less their mass error."""
    if isinstance(X, Spectra):
        whole = axis.calibrate(X)
        for rows in batches(X.offsets):
            yield whole[rows]
        return
    # Before the parts: one of few pixels of a run could not tell the mass error of the run.
    errors = axis.run_errors(take(X, sample_of_runs(runs(X))))
    for part in parts(X, "reading"):
        yield axis.calibrate(part, errors)


def _richness(amounts: sp.csr_matrix) -> Floats:
    """Log of the number of molecules in each pixel; minus infinity without any."""
    counts = np.diff(amounts.indptr).astype(np.float64)
    found = np.full(counts.shape, -np.inf)
    np.log(counts, out=found, where=counts > 0)
    return found


def _off_probability(
    off_tissue: Mixture | None, richness: Floats, pairs: NDArray[np.int64]
) -> Floats:
    known = np.isfinite(richness)
    found = np.where(known, 0.0, np.nan)
    if off_tissue is not None and known.any():
        joint = off_tissue.log_joint(richness[known, None])
        found[known] = smoothed(joint, _shares(pairs, known), STRENGTHS[-1])[:, 0]
    return found


def _transform(
    amounts: sp.csr_matrix,
    components: Components,
    run: NDArray[np.str_] | None,
    tissue: NDArray[np.bool_],
) -> Floats:
    """Components of amounts, NaN for empty rows; less the mean of the tissue of each run."""
    Z = components.transform(amounts)
    Z[np.diff(amounts.indptr) == 0] = np.nan
    for name in np.unique(run) if run is not None else ():
        rows = run == name
        if (rows & tissue).any():
            Z[rows] -= Z[rows & tissue].mean(axis=0)
    return Z


def _pairs(where: Spectra, settings: RegionSettings) -> NDArray[np.int64]:
    if not settings.spatial:
        return np.empty((0, 2), dtype=np.int64)
    return neighbour_pairs(where, settings.radius)


def _shares(pairs: NDArray[np.int64], kept: NDArray[np.bool_]) -> sp.csr_matrix:
    return neighbour_shares(pairs_among(pairs, kept), int(kept.sum()))
