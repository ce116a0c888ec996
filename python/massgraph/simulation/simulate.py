"""Simulated mass spectrometry images of which the truth is known.

Tissue sections of several runs, each with its own geometry and batch effects; lipid families of
real formulas with adducts, isotopes and in-source losses; chemical noise, calibration error, a
detection limit; and families planted to tell the regions apart. Nothing else separates them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.progress import progress
from massgraph.data.spectra import POLARITIES, Spectra
from massgraph.simulation.lipids import build_library, family_count
from massgraph.simulation.run import Run, Settings, draw_run
from massgraph.simulation.tissue import MIN_ISLAND_SHAPE

__all__ = ["OFF_TISSUE", "PRESETS", "REGIONS", "Simulation", "simulate", "simulate_chunks"]

OFF_TISSUE = "off-tissue"
"""Name of the pixels beside the tissue in `Simulation.truth`."""

REGIONS = (
    "epithelium",
    "stroma",
    "muscle",
    "adipose",
    "gland",
    "nerve",
    "vessel",
    "cartilage",
    "tumour",
    "necrosis",
    "lymphoid",
    "duct",
)
"""Names of the regions, from the inside of a section outwards (with islands: see `simulate`)."""

# Pixels made at a time: bounds the memory to some 100 MB beside the result.
BLOCK = 1024

# Settings that are not counts, with the most that each may be: beyond, numbers overflow.
_SCALES = {
    "effect": 5.0,
    "batch_effect": 5.0,
    "family_variation": 5.0,
    "adduct_variation": 5.0,
    "noise": 5.0,
    "noise_peaks": 1e4,
    "calibration_ppm": 1e3,
    "drift_ppm": 1e3,
    "jitter_ppm": 1e3,
}

# One run of four regions; what makes it harder to find them has a preset each.
_UNLABELLED = Settings(n_runs=1, shape=(40, 40), n_classes=4, n_families=16)

PRESETS: dict[str, Settings] = {
    "tiny": Settings(
        n_runs=2,
        shape=(12, 12),
        n_families=6,
        n_species=2,
        n_background=8,
        effect=0.8,
        noise_peaks=6.0,
    ),
    "demo": Settings(effect=0.5),
    "small": Settings(),
    "medium": Settings(n_runs=6, shape=(40, 40), n_families=16, n_species=6, n_background=90),
    "large": Settings(n_runs=4, shape=(170, 170), n_families=18, n_species=5, n_background=50),
    "adducts": Settings(
        n_runs=2,
        shape=(30, 30),
        n_families=14,
        families_per_class=4,
        n_species=5,
        n_background=50,
        effect=0.2,
        adduct_variation=1.7,
    ),
    "regions": _UNLABELLED,
    "regions-noisy": replace(_UNLABELLED, noise=0.6),
    "regions-weak": replace(_UNLABELLED, effect=0.2),
    "regions-keep25": replace(_UNLABELLED, keep=0.25),
    "regions-top25": replace(_UNLABELLED, top=0.25),
    "regions-miscalibrated": replace(
        _UNLABELLED, calibration_ppm=10.0, drift_ppm=4.0, jitter_ppm=6.0
    ),
    "regions-adducts": replace(_UNLABELLED, adduct_variation=1.5, effect=0.5),
    "regions-8": replace(_UNLABELLED, n_classes=8, shape=(46, 46)),
    "regions-12": replace(_UNLABELLED, n_classes=12, n_families=18, effect=0.5, shape=(56, 56)),
    "regions-islands": replace(_UNLABELLED, n_classes=5, islands=True, effect=0.5, shape=(46, 46)),
    "regions-runs": replace(_UNLABELLED, n_runs=3, shape=(28, 28), batch_effect=0.25),
    "regions-holes": replace(_UNLABELLED, shape=(24, 80), holes=4),
}
"""Settings by name: see the notes of `simulate`."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated spectra with their truth; unpacks as ``spectra, labels = simulate(...)``.

    Parameters
    ----------
    spectra
        The peak lists; runs are "run1", "run2", ..., coordinates (x, y) start at 1 in each.
    labels
        Region of each pixel, object, shape ``(n_pixels,)``; None where unlabelled: off tissue, and
        what `labelled_fraction` leaves out.
    truth
        Region of every pixel, object, shape ``(n_pixels,)``; `OFF_TISSUE` beside the tissue.
    classes
        The regions.
    families
        One row per lipid ion, ascending in m/z. Columns: ``family`` (number), ``name``,
        ``lipid_class``, ``species``, ``mz`` (theoretical), ``adduct``, ``isotope`` ("" for the
        monoisotopic ion), ``formula`` and ``neutral_mass`` of the molecule, ``peak`` (index into
        `axis`), ``discriminates`` (the region whose intensities are shifted, or ""), and
        ``log_effect`` (the shift of the natural log of the intensity there). A peak may hold ions
        of several families where the instrument does not resolve them.
    axis
        Theoretical m/z of all peaks but random noise, ascending, shape ``(n_axis,)``.
    ion
        Index into `axis` of each peak of `spectra`, -1 for random noise, shape ``(n_peaks,)``.
    calibration_ppm
        Mass error of each pixel, without the jitter of its peaks, shape ``(n_pixels,)``.

    Examples
    --------
    >>> import massgraph as mg
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> simulation.classes
    ('epithelium', 'stroma', 'muscle')
    >>> sorted(set(simulation.families["discriminates"]))
    ['', 'epithelium', 'muscle', 'stroma']
    """

    spectra: Spectra
    labels: NDArray[np.object_]
    truth: NDArray[np.object_]
    classes: tuple[str, ...]
    families: pd.DataFrame
    axis: NDArray[np.float64]
    ion: NDArray[np.int32]
    calibration_ppm: NDArray[np.float64]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.spectra, self.labels))


def simulate(
    preset: str = "small",
    *,
    polarity: str = "positive",
    n_runs: int | None = None,
    shape: tuple[int, int] | None = None,
    n_classes: int | None = None,
    islands: bool | None = None,
    holes: int | None = None,
    n_families: int | None = None,
    families_per_class: int | None = None,
    n_species: int | None = None,
    n_background: int | None = None,
    effect: float | None = None,
    labelled_fraction: float | None = None,
    batch_effect: float | None = None,
    family_variation: float | None = None,
    adduct_variation: float | None = None,
    noise: float | None = None,
    noise_peaks: float | None = None,
    keep: float | None = None,
    top: float | None = None,
    calibration_ppm: float | None = None,
    drift_ppm: float | None = None,
    jitter_ppm: float | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> Simulation:
    """Simulate a mass spectrometry image of several runs.

    Parameters
    ----------
    preset
        "tiny" (tests), "demo" (clear), "small", "medium" (of realistic difficulty), "large" (for
        benchmarks), "adducts" (two runs in which the balance of adducts varies strongly over the
        tissue), or one of "regions" and its variants (see the notes); the source of every setting
        that is None.
    polarity
        "positive" or "negative": which lipids and adducts there are.
    n_runs
        The number of runs; a run is the same whatever their number.
    shape
        Rows and columns of a run, at least 8 each.
    n_classes
        The number of regions, 2 to 12.
    islands
        Whether the last region is small islands (9 to 25 pixels each) and the one before a rim two
        pixels wide, in large compartments of the others; for three regions and 24 rows and columns
        at least.
    holes
        The number of round holes, 29 pixels each, within the tissue of a run. Their pixels are
        missing from the result, spectra and truth alike. There are fewer holes where no more fit
        that are apart from each other and leave every region half of its pixels.
    n_families, n_species
        The number of lipid families, and of species in each at most.
    families_per_class
        Families planted for each class, no family for two; default: as many as leave at least half
        of the families alone, but at least one.
    n_background
        The number of background molecules.
    effect
        Shift of a planted family in its region, up or down, in natural log of the intensity.
    labelled_fraction
        Share of the tissue pixels of each region and run that are labelled, in (0, 1]; at least
        one is.
    batch_effect
        sd of the log gain of each molecule and adduct in a run; the intensity of a run and its
        adduct shares vary by 1.3 times as much.
    family_variation
        sd of the log intensity of a family over the pixels, half of the variance smooth in space.
    adduct_variation
        sd of the log share of an adduct, half of the variance smooth in space. At 2 and more,
        molecules are split between adducts nearly at random and only their sum is informative.
    noise
        sd of the log intensity of single peaks, beside the noise of counting ions.
    noise_peaks
        Mean number of random peaks in a pixel.
    keep
        Share of all peaks that is kept, at random, in (0, 1].
    top
        Share of the peaks of each pixel that is kept, the most intense, in (0, 1]; of what `keep`
        leaves. Either may leave a pixel without any peak.
    calibration_ppm, drift_ppm, jitter_ppm
        sd of the mass error of a run, of its slow change over the run, and of single peaks far
        above the detection limit (at the limit: twice as much).
    random_state
        Seed, or a Generator to spawn from, or None for a random one. The global random state is
        not touched.

    Returns
    -------
    Simulation
        Spectra, labels and truth.

    Raises
    ------
    ValueError
        For an unknown preset or polarity, or a setting out of its range.

    Notes
    -----
    The presets called "regions" are for finding regions without labels. "regions" is one run of
    40 x 40 pixels with four regions; the others change what their names say:

    - "regions-noisy", "regions-weak": more noise, a smaller effect.
    - "regions-keep25", "regions-top25": a quarter of the peaks, random or the most intense.
    - "regions-miscalibrated": mass errors of some 10 ppm.
    - "regions-adducts": adducts that vary strongly over the tissue.
    - "regions-8", "regions-12": eight and twelve regions.
    - "regions-islands": small islands and a thin rim in large compartments.
    - "regions-runs": three runs with strong batch effects.
    - "regions-holes": 24 x 80 pixels with four holes, whose pixels are missing.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> spectra
    Spectra(144 pixels, ... peaks, m/z ..., 1 run, polarity positive)
    >>> labels.shape, labels[0] is None  # a corner, off the tissue
    ((144,), True)
    >>> mg.simulate("tiny", n_runs=1, shape=(20, 20), holes=1).spectra.n_pixels  # 29 are missing
    371
    """
    given = dict(locals())  # first of all: the arguments, and nothing else
    simulator = _Simulator(**given)
    parts = progress(simulator.chunks(), simulator.n_chunks, "simulating")
    return _join(list(parts))


def simulate_chunks(preset: str = "small", **settings: Any) -> Iterator[Simulation]:
    """Make the pixels of `simulate`, at most 1024 of one run at a time.

    For images larger than memory. Parameters and errors as for `simulate`.

    Examples
    --------
    >>> from massgraph.simulation.simulate import simulate_chunks
    >>> [chunk.spectra.n_pixels for chunk in simulate_chunks("tiny", n_runs=2)]
    [144, 144]
    """
    return _Simulator(preset, **settings).chunks()


class _Simulator:
    """What all runs share: the ions, and which families are planted."""

    def __init__(
        self,
        preset: str = "small",
        *,
        polarity: str = "positive",
        random_state: int | np.random.Generator | None = 0,
        **overrides: Any,
    ) -> None:
        self.settings = _settle(preset, polarity, overrides)
        settings = self.settings
        self.polarity = polarity
        self.classes = REGIONS[: settings.n_classes]
        rng = _generator(random_state)
        # A stream for each run: it is the same run, however many there are.
        library_rng, effect_rng, *self.run_rngs = rng.spawn(2 + settings.n_runs)
        self.library = build_library(
            library_rng, polarity, settings.n_families, settings.n_species, settings.n_background
        )
        self.effects = _plant(effect_rng, settings)
        self.families = _family_table(self.library.table, self.effects, self.classes)

    @property
    def n_chunks(self) -> int:
        return self.settings.n_runs * math.ceil(math.prod(self.settings.shape) / BLOCK)

    def chunks(self) -> Iterator[Simulation]:
        for number, rng in enumerate(self.run_rngs, start=1):
            # Labels have their own numbers: how many there are changes nothing else.
            (label_rng,) = rng.spawn(1)
            run = draw_run(rng, self.settings, self.library, self.effects)
            # A label in a hole would be lost, and with it a region that has no other.
            region = np.where(run.hole, -1, run.tissue.region)
            labelled = _draw_labelled(label_rng, region, self.settings)
            for start in range(0, region.size, BLOCK):
                # Never empty: there is more between holes than in them.
                pixels = start + np.flatnonzero(~run.hole[start : start + BLOCK])
                yield self._chunk(run, f"run{number}", labelled, pixels)

    def _chunk(
        self, run: Run, name: str, labelled: NDArray[np.bool_], pixels: NDArray[np.int64]
    ) -> Simulation:
        columns = self.settings.shape[1]
        peaks = run.block(pixels)
        spectra = Spectra(
            mz=peaks.mz,
            intensity=peaks.intensity,
            offsets=np.searchsorted(peaks.pixel, np.arange(pixels.size + 1)),
            coordinates=np.stack([pixels % columns + 1, pixels // columns + 1], axis=1),
            run_names=(name,),
            polarity=self.polarity,
            pixel_size=(50.0, 50.0),
        )
        truth = np.array([*self.classes, OFF_TISSUE], dtype=object)[run.tissue.region[pixels]]
        labels = truth.copy()
        labels[~labelled[pixels]] = None
        return Simulation(
            spectra=spectra,
            labels=labels,
            truth=truth,
            classes=self.classes,
            families=self.families,
            axis=self.library.axis,
            ion=peaks.ion.astype(np.int32),
            calibration_ppm=run.calibration_ppm[pixels],
        )


def _family_table(
    ions: pd.DataFrame, effects: NDArray[np.float64], classes: tuple[str, ...]
) -> pd.DataFrame:
    """Ions with what is planted in them; a family serves one class at most."""
    planted = np.abs(effects).argmax(axis=0)
    effect = effects[planted, np.arange(effects.shape[1])]
    names = np.where(effect != 0, np.array(classes, dtype=object)[planted], "")
    family = ions["family"].to_numpy()
    return ions.assign(discriminates=names[family], log_effect=effect[family])


def _settle(preset: str, polarity: str, overrides: dict[str, Any]) -> Settings:
    """Take the settings of the preset and what overrides them; raise ValueError for bad ones."""
    if preset not in PRESETS:
        msg = f"preset {preset!r} is none of {tuple(PRESETS)}"
        raise InputError(msg)
    if polarity not in POLARITIES:
        msg = f"polarity {polarity!r} is none of {POLARITIES}"
        raise InputError(msg)
    # `simulate_chunks` takes any keyword; of a misspelt one `replace` would name Settings alone.
    known = {field.name for field in fields(Settings)}
    for name in overrides:
        if name not in known:
            msg = f"simulate has no setting {name!r}; known: {', '.join(sorted(known))}"
            raise InputTypeError(msg)
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = replace(PRESETS[preset], **given)
    _check(settings, family_count(polarity))
    if settings.families_per_class is None:
        spare = settings.n_families // (2 * settings.n_classes)
        settings = replace(settings, families_per_class=max(1, spare))
    return settings


def _generator(random_state: int | np.random.Generator | None) -> np.random.Generator:
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        msg = f"random_state is {random_state!r}, must be a whole number of at least 0 or None"
        raise InputError(msg) from error


def _check(settings: Settings, families: int) -> None:
    """Raise ValueError for a setting out of its range."""
    if len(settings.shape) != 2 or not all(_is_whole(n) and n >= 8 for n in settings.shape):
        msg = f"shape {settings.shape} must be (rows, columns), whole numbers of at least 8"
        raise InputError(msg)
    for name in ("n_classes", "n_families"):
        if not _is_whole(getattr(settings, name)) or getattr(settings, name) < 1:
            msg = f"{name} is {getattr(settings, name)!r}, must be a whole number above 0"
            raise InputError(msg)
    low_high: dict[str, tuple[float, float]] = {
        "n_runs": (1, math.inf),
        "n_classes": (2, len(REGIONS)),
        "holes": (0, math.inf),
        # No family serves two classes, so each class needs one.
        "n_families": (settings.n_classes, families),
        "families_per_class": (1, settings.n_families // settings.n_classes),
        "n_species": (1, math.inf),
        "n_background": (1, math.inf),
    }
    for name, (low, high) in low_high.items():
        value = getattr(settings, name)
        if value is not None and not (_is_whole(value) and low <= value <= high):
            msg = f"{name} is {value!r}, must be a whole number from {low} to {high}"
            raise InputError(msg)
    for name in ("labelled_fraction", "keep", "top"):
        if not 0 < getattr(settings, name) <= 1:
            msg = f"{name} is {getattr(settings, name)}, must be in (0, 1]"
            raise InputError(msg)
    for name, highest in _SCALES.items():
        value = getattr(settings, name)
        if not 0 <= value <= highest:
            msg = f"{name} is {value}, must be from 0 to {highest:g}"
            raise InputError(msg)
    _check_islands(settings)


def _check_islands(settings: Settings) -> None:
    """Raise ValueError unless `islands` is a choice, and there are regions and room for them."""
    islands: object = settings.islands
    if not isinstance(islands, (bool, np.bool_)):
        msg = f"islands is {islands!r}, must be True or False"
        raise InputError(msg)
    if not islands:
        return
    if settings.n_classes < 3:
        msg = f"n_classes is {settings.n_classes}, must be at least 3 with islands"
        raise InputError(msg)
    if min(settings.shape) < MIN_ISLAND_SHAPE:
        least = (MIN_ISLAND_SHAPE, MIN_ISLAND_SHAPE)
        msg = f"shape {settings.shape} must be at least {least} with islands"
        raise InputError(msg)


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _plant(rng: np.random.Generator, settings: Settings) -> NDArray[np.float64]:
    """Shift of log intensity, shape ``(n_classes, n_families)``: other families for each class.

    Among the families of a class, shifts up and down alternate, so that the sum of all intensities
    tells little.
    """
    n_each = settings.families_per_class or 1
    effects = np.zeros((settings.n_classes, settings.n_families))
    families = rng.permutation(settings.n_families)[: settings.n_classes * n_each]
    signs = rng.choice([-1.0, 1.0], size=(settings.n_classes, 1)) * (-1.0) ** np.arange(n_each)
    if n_each == 1:
        signs = np.abs(signs)  # one family alone is up: it is what its region is seen by
    classes = np.repeat(np.arange(settings.n_classes), n_each)
    effects[classes, families] = settings.effect * signs.ravel()
    return effects


def _draw_labelled(
    rng: np.random.Generator, region: NDArray[np.int64], settings: Settings
) -> NDArray[np.bool_]:
    """Choose a random share of the pixels of each region, one at least."""
    labelled = np.zeros(region.size, dtype=bool)
    # Region by region: of a share of the whole run a small region might have no label at all.
    for code in range(settings.n_classes):
        members = rng.permutation(np.flatnonzero(region == code))
        labelled[members[: math.ceil(settings.labelled_fraction * members.size)]] = True
    return labelled


def _join(chunks: list[Simulation]) -> Simulation:
    """All chunks as one."""
    return replace(
        chunks[0],
        spectra=Spectra.concatenate([chunk.spectra for chunk in chunks]),
        labels=np.concatenate([chunk.labels for chunk in chunks]),
        truth=np.concatenate([chunk.truth for chunk in chunks]),
        ion=np.concatenate([chunk.ion for chunk in chunks]),
        calibration_ppm=np.concatenate([chunk.calibration_ppm for chunk in chunks]),
    )
