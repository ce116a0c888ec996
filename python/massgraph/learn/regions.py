"""Regions without labels: from pixels to the mixture of their components, and to a map."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations, default_relations
from massgraph.data.neighbours import Neighbours
from massgraph.data.sources import Pixels, places, sample
from massgraph.encode.amounts import molecule_groups
from massgraph.encode.axis import MassAxis
from massgraph.encode.coverage import Knowledge, Levels
from massgraph.encode.guard import Guard, check_min_coverage
from massgraph.encode.ions import ion_nodes
from massgraph.encode.learn_axis import learn_axis
from massgraph.encode.learn_levels import learn_levels
from massgraph.encode.peak_loss import PeakLoss, find_peak_loss
from massgraph.learn.components import Components
from massgraph.learn.field import smoothed
from massgraph.learn.mixture import Mixture
from massgraph.learn.region_image import (
    RegionImage,
    coverage_blocks,
    open_image,
    read_image,
)
from massgraph.learn.region_origin import RegionOrigin
from massgraph.learn.region_search import Found, RegionSettings, components_of, find_regions

__all__ = [
    "Look",
    "RegionModel",
    "fit_regions",
    "labels_of",
]

Floats = NDArray[np.float64]

LOSS_SEEN = 5_000  # pixels that show whether peaks are lost at random


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
    neighbours
        Of the pixels; none where they do not count.
    run
        Name of the run of each pixel.
    coverage
        As for `massgraph.learn.region_image.RegionImage`.

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
    neighbours: Neighbours
    run: NDArray[np.str_]
    coverage: Floats

    def given(self, mixture: Mixture) -> Floats:
        """Components and, where a mixture takes it, the brightness after them."""
        return np.column_stack([self.components, self.brightness[:, : mixture.n_covariates]])


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
    loss
        What is known of peaks lost at random; None where none are.
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
    levels
        Levels of coverage; None for models of versions that chose none, which have the usual ones.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.region_search import RegionSettings
    >>> from massgraph.learn.regions import fit_regions
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
    loss: PeakLoss | None
    components: Components
    mixture: Mixture
    strength: float
    path: tuple[Mixture, ...] = ()
    selection: pd.DataFrame | None = None
    origin: RegionOrigin = field(default_factory=RegionOrigin)
    levels: Levels | None = None

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

    @cached_property
    def knowledge(self) -> Knowledge:
        """The ions that the model knows, and the levels of their coverage."""
        return Knowledge.of(self.axis, self.levels)

    def guard(self, min_coverage: float | None = None) -> Guard:
        """What refuses runs that the model does not know.

        Parameters and errors as for `massgraph.fitted.FittedModel.guard`.
        """
        return Guard(self.knowledge, self.polarity, check_min_coverage(min_coverage))

    def coverage(self, X: Pixels) -> Floats:
        """Share of the ion current of each pixel that is of ions of the model, once calibrated.

        Shape ``(n_pixels,)``; NaN for pixels without peaks.
        """
        self._check_polarity(X)
        return np.concatenate(list(coverage_blocks(self.knowledge, self.axis, X)))

    def look(
        self, X: Pixels, neighbours: Neighbours | None = None, guard: Guard | None = None
    ) -> Look:
        """Read pixels: all that is needed of them for maps."""
        return self.look_at(self.read(X, neighbours, guard))

    def read(
        self, X: Pixels, neighbours: Neighbours | None = None, guard: Guard | None = None
    ) -> RegionImage:
        """Read an image by the ions and molecules of the fit.

        Parameters
        ----------
        X
            Spectra in memory or a source.
        neighbours
            Those that are given, in place of those within the radius of the fit.
        guard
            Refuses runs that the model does not know; None to read all.

        Raises
        ------
        InputError
            For pixels of the other polarity, or without coordinates where neighbours count, and
            where the guard refuses.
        """
        self._check_polarity(X)
        reach = self.settings.reach
        return open_image(
            X,
            self.axis,
            self.group,
            loss=self.loss,
            radius=reach,
            neighbours=neighbours,
            off_tissue=self.off_tissue,
            guard=guard,
        )

    def _check_polarity(self, X: Pixels) -> None:
        polarity = places(X).polarity
        # Ions of the other polarity are other ions.
        if len({polarity, self.polarity} - {None}) > 1:
            msg = (
                f"the spectra are of {polarity} polarity, but the regions were found in "
                f"{self.polarity} ones"
            )
            raise InputError(msg)

    def look_at(self, image: RegionImage) -> Look:
        """What a map needs of an image that was read."""
        Z = components_of(image, self.components, self.settings)
        return Look(Z, image.brightness, image.off, image.neighbours, image.run, image.coverage)

    def transform(self, X: Pixels, neighbours: Neighbours | None = None) -> Floats:
        """Components, ``(n_pixels, n_components)``; NaN for pixels without known ions."""
        return self.look(X, neighbours).components

    def probability(
        self, X: Pixels, neighbours: Neighbours | None = None, guard: Guard | None = None
    ) -> Floats:
        """Probabilities of the regions, ``(n_pixels, n_regions)``; NaN where components are.

        Regions of tissue from the largest to the smallest, then the pixels off tissue, if any.
        They are drawn towards equal ones where coverage is low
        (`massgraph.encode.coverage.Levels.tempered`).
        """
        return self.map_of(self.look(X, neighbours, guard))

    def map_of(self, look: Look) -> Floats:
        """Probabilities of the regions of pixels that were looked at."""
        return self.knowledge.levels.tempered(self._by_mixtures(look), look.coverage)

    def _by_mixtures(self, look: Look) -> Floats:
        known = ~np.isnan(look.off)
        tissue = known & (look.off < 0.5)
        joint = self.mixture.log_joint(look.given(self.mixture)[known])
        found = np.full((len(look.off), len(self.mixture)), np.nan)
        found[known] = softmax(joint, axis=1)
        if self.strength and tissue.any():
            shares = look.neighbours.among(tissue).shares()
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
    neighbours: Neighbours | None = None,
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
    neighbours
        Those that are given, in place of those within the radius.

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
    >>> from massgraph.learn.region_search import RegionSettings
    >>> from massgraph.learn.regions import fit_regions
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
    few = some[:: max(some.n_pixels // LOSS_SEEN, 1)]  # `read_image` assigns all peaks
    calibrated = axis.calibrate(few)
    loss = find_peak_loss(ion_nodes(axis, calibrated), len(axis))
    image = read_image(
        X,
        axis,
        group,
        loss=loss,
        radius=settings.reach,
        neighbours=neighbours,
        one_region=one_region,
    )
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
        loss=loss,
        levels=learn_levels(axis, few, calibrated),
        **found._asdict(),
    )
    return model, model.look_at(image)


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
