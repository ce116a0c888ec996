"""One simulated run: its tissue and batch effects, and the peaks of its pixels, in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from massgraph.data.ranks import rank_in_pixels
from massgraph.simulation.lipids import DETECTION_LIMIT, RESOLVING_POWER, IonLibrary, organic_masses
from massgraph.simulation.tissue import Tissue, draw_holes, draw_islands, draw_tissue, smooth_field

__all__ = ["Peaks", "Run", "Settings", "draw_run"]

ION_UNIT = 12.0
"""Intensity of one ion on the detector: counting adds a variance of this times the intensity."""

SALT_EFFECT = 1.3
"""How much more than single gains the adduct shares and the intensity of a run vary."""


@dataclass(frozen=True)
class Settings:
    """What a preset sets and an argument of `massgraph.simulate` overrides; see there.

    Examples
    --------
    >>> from massgraph.simulation.simulate import PRESETS
    >>> PRESETS["tiny"].shape, PRESETS["large"].shape
    ((12, 12), (170, 170))
    """

    n_runs: int = 3
    shape: tuple[int, int] = (30, 30)
    n_classes: int = 3
    islands: bool = False
    holes: int = 0
    n_families: int = 12
    families_per_class: int | None = None
    n_species: int = 3
    n_background: int = 40
    effect: float = 0.3
    labelled_fraction: float = 1.0
    batch_effect: float = 0.12
    family_variation: float = 0.06
    adduct_variation: float = 0.3
    noise: float = 0.25
    noise_peaks: float = 20.0
    keep: float = 1.0
    top: float = 1.0
    calibration_ppm: float = 1.5
    drift_ppm: float = 0.5
    jitter_ppm: float = 0.6


class Peaks(NamedTuple):
    """Peaks of some pixels: pixel, m/z, intensity and index into the axis (-1: noise) of each.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.run import Peaks
    >>> peaks = Peaks(np.array([0, 0]), np.array([500.1, 703.6]), np.ones(2), np.array([3, -1]))
    >>> peaks.take(peaks.ion >= 0).mz.tolist()
    [500.1]
    """

    pixel: NDArray[np.int64]
    mz: NDArray[np.float64]
    intensity: NDArray[np.float32]
    ion: NDArray[np.int64]

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Peaks:
        """Peaks by index or mask."""
        return Peaks(self.pixel[which], self.mz[which], self.intensity[which], self.ion[which])

    def strongest(self, share: float) -> Peaks:
        """The ``floor(n * share)`` most intense of the n peaks of each pixel."""
        rank = rank_in_pixels(self.intensity, self.pixel)
        # Of 100 peaks 0.29 are 29, though 100 * 0.29 is 28.999... in binary.
        limit = np.floor(np.bincount(self.pixel) * share + 1e-9)
        return self.take(rank < limit[self.pixel])

    def with_noise(self, noise: Peaks) -> Peaks:
        """Add noise peaks, in order of pixel and m/z; those too near to another are left out."""
        joined = Peaks(
            np.append(self.pixel, noise.pixel),
            np.append(self.mz, noise.mz),
            np.append(self.intensity, noise.intensity),
            np.append(self.ion, noise.ion),
        )
        joined = joined.take(np.lexsort((joined.mz, joined.pixel)))
        # Noise goes and ions stay: what is not resolved is one peak, and the ion's place is known.
        near = np.diff(joined.mz) < joined.mz[1:] / RESOLVING_POWER
        near &= np.diff(joined.pixel) == 0
        crowded = np.append(near, False) | np.append(False, near)
        return joined.take(~crowded | (joined.ion >= 0))


@dataclass(frozen=True, eq=False)
class Run:
    """One run; what is kept is small, the peaks are made by `block`.

    Parameters
    ----------
    rng
        Source of the random numbers of the blocks, used in order.
    keep_rng
        Source of those that choose which peaks are kept, likewise.
    settings, library
        What all runs share.
    effects
        Shift of the log intensity, shape ``(n_classes, n_families)``.
    tissue
        Regions of the run.
    hole
        Which pixels are missing, shape ``(n_pixels,)``.
    calibration_ppm
        Mass error of each pixel, shape ``(n_pixels,)``.
    level
        Intensity of each ion in this run, float32, shape ``(n_ions,)``.
    salts
        Shift of the log share of each adduct, shape ``(n_adducts,)``.
    overall
        Log intensity of each pixel, shape ``(n_pixels,)``.
    group_fields, adduct_fields
        Smooth fields of mean 0 and sd 1, float32, shapes ``(n_pixels, n_groups)`` and
        ``(n_pixels, n_adducts)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.lipids import build_library
    >>> from massgraph.simulation.run import Settings, draw_run
    >>> settings, rng = Settings(shape=(8, 8)), np.random.default_rng(0)
    >>> library = build_library(rng, "positive", 3, 2, 5)
    >>> run = draw_run(rng, settings, library, np.zeros((3, 3)))
    >>> peaks = run.block(np.arange(4))
    >>> np.unique(peaks.pixel).tolist()
    [0, 1, 2, 3]
    """

    rng: np.random.Generator
    keep_rng: np.random.Generator
    settings: Settings
    library: IonLibrary
    effects: NDArray[np.float64]
    tissue: Tissue
    hole: NDArray[np.bool_]
    calibration_ppm: NDArray[np.float64]
    level: NDArray[np.float32]
    salts: NDArray[np.float64]
    overall: NDArray[np.float32]
    group_fields: NDArray[np.float32]
    adduct_fields: NDArray[np.float32]

    def block(self, pixels: NDArray[np.int64]) -> Peaks:
        """Peaks of some pixels, in order of pixel (from 0) and m/z."""
        expected, pull = self._expected(pixels)
        seen, intensity = self._observe(expected)
        pixel, ion = np.nonzero(seen)
        strength = intensity[pixel, ion]
        # A peak of few ions is placed less exactly: twice as far off where it is hardly seen.
        jitter = self.settings.jitter_ppm * (1.0 + np.sqrt(DETECTION_LIMIT / strength))
        error = self.calibration_ppm[pixels][pixel] + pull[pixel, ion]
        error += jitter * self.rng.standard_normal(error.size)
        mz = self.library.axis[ion] * (1.0 + 1e-6 * error)
        peaks = Peaks(pixel, mz, strength, ion).with_noise(self._noise(pixels.size))
        return self._thinned(peaks)

    def _thinned(self, peaks: Peaks) -> Peaks:
        """What `keep`, then `top`, leave of the peaks."""
        keep, top = self.settings.keep, self.settings.top
        if keep < 1:
            peaks = peaks.take(self.keep_rng.random(peaks.pixel.size) < keep)
        return peaks.strongest(top) if top < 1 else peaks

    def _expected(
        self, pixels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean intensity of each peak of the axis, and how far in ppm its ions pull it."""
        library = self.library
        channels = np.exp(self._log_channels(pixels)).astype(np.float32)
        ions = channels[:, library.channel] * self.level
        first = np.flatnonzero(np.diff(library.peak, prepend=-1))
        expected: NDArray[np.float32] = np.add.reduceat(ions, first, axis=1)
        # Ions of one peak pull it to the stronger one: in pixels of another mixture it moves.
        offset = (library.mz / library.axis[library.peak] - 1.0) * 1e6
        pull: NDArray[np.float32] = np.add.reduceat(ions * offset.astype(np.float32), first, axis=1)
        return expected, pull / expected

    def _log_channels(self, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log of a group's factor times the share of an adduct, ``(n_pixels, n_channels)``."""
        logits = self.library.logits
        # Half of the variance each for a smooth field and for the pixel by itself.
        spread = self.settings.adduct_variation * math.sqrt(0.5)
        white = self.rng.standard_normal((pixels.size, *logits.shape))
        shares = logits + self.salts + spread * (self.adduct_fields[pixels, None, :] + white)
        # Shares add up to one: what one adduct gains, the others of the molecule lose.
        shares -= np.logaddexp.reduce(shares, axis=2, keepdims=True)
        shares += self._log_groups(pixels)[:, :, None]
        return shares.reshape(pixels.size, -1)

    def _log_groups(self, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log factor of each family and group of background, ``(n_pixels, n_groups)``."""
        n_families = self.effects.shape[1]
        mixture = self.tissue.mixture[pixels]
        log = self.group_fields[pixels] + self.rng.standard_normal(
            (pixels.size, self.library.logits.shape[0])
        )
        log *= self.settings.family_variation * math.sqrt(0.5)
        log[:, :n_families] += mixture @ self.effects
        tissue = mixture.sum(axis=1, keepdims=True)
        # Off tissue a trace of its molecules is left, and the matrix ionises undisturbed.
        matrix = np.arange(log.shape[1]) == n_families
        log += np.where(matrix, np.log(1.6 - 0.6 * tissue), np.log(0.03 + 0.97 * tissue))
        log += self.overall[pixels, None]
        return log

    def _observe(
        self, expected: NDArray[np.float32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which peaks are above the detection limit, and the intensities of all."""
        draw = self.rng.standard_normal
        intensity = expected * np.exp(self.settings.noise * draw(expected.shape, dtype=np.float32))
        intensity += np.sqrt(ION_UNIT * expected) * draw(expected.shape, dtype=np.float32)
        # Counting may take a weak peak below zero: the limit leaves it out like any other.
        return intensity > DETECTION_LIMIT, intensity

    def _noise(self, n_pixels: int) -> Peaks:
        """Random peaks little above the detection limit."""
        counts = self.rng.poisson(self.settings.noise_peaks, size=n_pixels)
        total = int(counts.sum())
        strength = DETECTION_LIMIT * (1.0 + self.rng.exponential(0.3, size=total))
        return Peaks(
            pixel=np.repeat(np.arange(n_pixels), counts),
            mz=organic_masses(self.rng, total),
            intensity=strength.astype(np.float32),
            ion=np.full(total, -1),
        )


def draw_run(
    rng: np.random.Generator,
    settings: Settings,
    library: IonLibrary,
    effects: NDArray[np.float64],
) -> Run:
    """Draw what makes a run: tissue, calibration, gains, and smooth fields.

    Parameters as for `Run`; `rng` is used here first and then by the blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.simulation.lipids import build_library
    >>> from massgraph.simulation.run import Settings, draw_run
    >>> settings, rng = Settings(shape=(8, 8)), np.random.default_rng(0)
    >>> library = build_library(rng, "positive", 3, 2, 5)
    >>> run = draw_run(rng, settings, library, np.zeros((3, 3)))
    >>> run.calibration_ppm.shape, run.level.shape == library.mz.shape
    ((64,), True)
    """
    # Streams of their own: holes and lost peaks take no number from anything else.
    keep_rng, hole_rng = rng.spawn(2)
    # The order of the draws, arguments below included, is part of what a seed means.
    n_groups, n_adducts = library.logits.shape
    batch = settings.batch_effect
    gain = np.exp(batch * rng.standard_normal(library.source.max() + 1))
    fields = np.stack([_field(rng, settings) for _ in range(n_groups + n_adducts)], axis=1)
    draw = draw_islands if settings.islands else draw_tissue
    tissue = draw(rng, settings.shape, settings.n_classes)
    return Run(
        rng=rng,
        keep_rng=keep_rng,
        settings=settings,
        library=library,
        effects=effects,
        tissue=tissue,
        hole=draw_holes(hole_rng, settings.shape, tissue.region, settings.holes),
        calibration_ppm=_draw_calibration(rng, settings),
        level=(library.level * gain[library.source]).astype(np.float32),
        salts=np.asarray(rng.normal(0.0, SALT_EFFECT * batch, size=n_adducts)),
        overall=rng.normal(0.0, SALT_EFFECT * batch) + 0.25 * _field(rng, settings),
        group_fields=fields[:, :n_groups],
        adduct_fields=fields[:, n_groups:],
    )


def _field(rng: np.random.Generator, settings: Settings) -> NDArray[np.float32]:
    field = smooth_field(rng, settings.shape, min(settings.shape) / 8)
    return field.ravel().astype(np.float32)


def _draw_calibration(rng: np.random.Generator, settings: Settings) -> NDArray[np.float64]:
    """Mass error of each pixel in ppm: that of the run, and a slow drift along the rows."""
    n_pixels = math.prod(settings.shape)
    drift = gaussian_filter1d(np.cumsum(rng.standard_normal(n_pixels)), n_pixels / 50)
    # To sd 1, so that `drift_ppm` means the same in runs of any size.
    drift = (drift - drift.mean()) / drift.std()
    shift = settings.calibration_ppm * rng.standard_normal()
    return np.asarray(shift + settings.drift_ppm * drift)
