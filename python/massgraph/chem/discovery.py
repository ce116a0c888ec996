"""Discovery of the mass differences that are enriched in a data set.

Method
------
Ions are the common axis of the spectra; an ion within twice the tolerance of a stronger one (a
split peak, a side lobe) is left out. The pairs of ions that are found together in a pixel are
counted by their mass difference, in overlapping windows as wide as the tolerance on either side.

The null asks what the counts would be were the mass defects of ions independent of each other. It
keeps the nominal masses and permutes the mass defects among ions of nearly the same mass (about
20 Da) and the same parity of the nominal mass: what mass range, density, the nitrogen rule or a
general mass defect of the molecules bring about is thus expected, and only agreement between the
exact masses of ions is enriched. Shifting the difference instead, as is often done, overstates
enrichment 3- to 20-fold. Mass defects grow with mass, by about 0.0005 Da per Da; the permutation is
done twice, with that trend taken off first and without, since either may be wrong (peptides need
the first, masses rounded to bins the second). A window is held to the larger mean and variance of
the two, and of its neighbouring windows.

A window's score is the tail probability of its count under a negative binomial of the null's mean
and variance. The false discovery rate is not taken from that probability: more permutations, that
had no part in the mean and variance, go through the same search, and the number of their hits above
a score, plus one, is the number of false hits expected (the larger of the two nulls'). Overlap of
windows and extreme tails are therefore accounted for, whatever the negative binomial misses.

One pair of molecules is seen many times over, by its isotopes, salts and side lobes: 13C of one
beside 13C of the other is no second finding. Where both ions of a pair have a partner that is
lighter by the same isotope or salt exchange, or by the same few tolerances, the pair is not
counted. The permutations are counted in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.stats import nbinom, poisson

from massgraph._util.errors import InputError
from massgraph.chem.ion_pairs import MIN_MASS, STEPS, IonPairs, pair_ions
from massgraph.chem.relations import Relations, default_relations
from massgraph.data.sources import Pixels, sample

__all__ = ["discover_relations", "relation_enrichment"]

MIN_NULL = 40
COLUMNS = (
    "name",
    "formula",
    "combination",
    "mass",
    "n_pairs",
    "expected",
    "enrichment",
    "z",
    "p_value",
    "q_value",
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Threshold:
    """What a window needs to be looked at."""

    min_pairs: int
    min_enrichment: float


@dataclass(frozen=True)
class _Null:
    """Counts expected of independent mass defects, shape ``(n_windows,)`` each."""

    slopes: tuple[float, ...]
    mean: Floats
    variance: Floats


def discover_relations(
    spectra: Pixels,
    *,
    max_mass: float = 300.0,
    tolerance: float = 3.0,
    tolerance_unit: str = "ppm",
    fdr: float = 0.05,
    min_enrichment: float = 2.0,
    min_pairs: int = 5,
    min_frequency: float = 0.1,
    max_ions: int = 2000,
    n_null: int = 200,
    random_state: int = 0,
) -> pd.DataFrame:
    """Find mass differences that are more frequent between ions than chance allows.

    Parameters
    ----------
    spectra
        Centroided spectra, best of a thousand ions or more: a few dozen show only the strongest
        differences. Of a source, as `massgraph.open_imzml` gives one, two million peaks are looked
        at, drawn evenly from the image.
    max_mass
        Largest difference looked at, in Da (the smallest is 0.5).
    tolerance, tolerance_unit
        For aligning the spectra and, at the median m/z, half the width of a window.
    fdr
        False discovery rate at which differences are reported.
    min_enrichment, min_pairs
        Smallest ratio of counted to expected pairs, and number of pairs, of a reported difference.
    min_frequency
        Ions in a smaller share of the pixels, or in one pixel only, are left out.
    max_ions
        The most frequent ions used; time grows with its square.
    n_null
        Permutations of each null; half give its mean and variance, half the false discoveries.
    random_state
        Seed; the same seed gives the same table.

    Returns
    -------
    pandas.DataFrame
        One row per difference, most significant first:

        - ``name``: that of the nearest default relation of the polarity within the tolerance, else
          as "d14.0157"; unique. ``formula``: that of the relation, else empty.
        - ``combination``: where unnamed, the sum or difference of two relations named in this table
          that comes nearest within the tolerance, as "C2H4 + 13C"; a reading, not a proof.
        - ``mass``: median of the differences in the window, Da.
        - ``n_pairs``, ``expected``, ``enrichment``: counted, expected and their ratio.
        - ``z``: standard deviations of the null above its mean.
        - ``p_value``: of the one window; ``q_value``: FDR at which the row is still reported.

        ``relations_from_masses(dict(zip(table["name"], table["mass"])))`` makes relations of it.

    Raises
    ------
    ValueError
        For a parameter out of its range; the message names it.

    Notes
    -----
    The docstring of this module gives the method. Its limits: sums and differences of enriched
    differences are enriched as well (see ``combination``). A name is the nearest known mass: at 5
    ppm Na-H (21.9819) is not told from C2H-2 (21.9843), a common difference of acyl chains. Adducts
    other than Na and K repeat a pair of molecules and may make its difference look frequent. With
    few ions the permutation is coarse, and only strong differences are found.
    The FDR holds for the null of independent mass defects; masses on a grid that is neither regular
    nor proportional to the nominal mass may break it, which `min_enrichment` guards against.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> found = mg.discover_relations(spectra, max_mass=25, n_null=40)
    >>> {"13C", "Na-H", "K-Na"} <= set(found["name"])
    True
    """
    spectra = sample(spectra)
    _check_share("fdr", fdr)
    _check_share("min_frequency", min_frequency, least=0.0)
    _check_at_least("min_enrichment", min_enrichment, 1)
    _check_at_least("min_pairs", min_pairs, 1)
    _check_at_least("n_null", n_null, MIN_NULL)
    _check_at_least("max_mass", max_mass, 1)
    _check_at_least("max_ions", max_ions, 2)
    pairs = pair_ions(
        spectra,
        max_mass=max_mass,
        tolerance=tolerance,
        tolerance_unit=tolerance_unit,
        min_frequency=min_frequency,
        max_ions=max_ions,
    )
    rng = np.random.default_rng(random_state)
    null = _fit_null(pairs, n_null // 2, rng)
    observed = pairs.counts(pairs.mz)
    threshold = _Threshold(min_pairs, min_enrichment)
    hits, score = _find_hits(observed, null, threshold)
    order = np.argsort(-score, kind="stable")
    hits, score = hits[order], score[order]
    n_drawn = n_null - n_null // 2
    drawn = _draw_scores(pairs, null, threshold, n_drawn, rng) if hits.size else []
    table = _describe(hits, observed, null, score)
    table["q_value"] = _false_discovery(score, drawn, n_drawn)
    table["mass"] = _refined(pairs, hits)
    table = table[table["q_value"] <= fdr].reset_index(drop=True)
    _name(table, default_relations(spectra.polarity), pairs.tolerance)
    return table[list(COLUMNS)]


def relation_enrichment(
    spectra: Pixels,
    relations: Relations,
    *,
    tolerance: float = 3.0,
    tolerance_unit: str = "ppm",
    min_frequency: float = 0.1,
    max_ions: int = 2000,
    n_null: int = 100,
    random_state: int = 0,
) -> pd.DataFrame:
    """Count how often the given relations are met between ions, against chance.

    The counts, the null and the parameters are those of `discover_relations`, at the masses of
    `relations` (at least 0.5 Da). ``expected / n_pairs`` is the share of a relation's pairs that
    chance explains: relations with a share near one add noise to a graph.

    Returns
    -------
    pandas.DataFrame
        One row per relation, in their order: name, formula, mass, n_pairs, expected, enrichment,
        z, p_value, and q_value (Benjamini and Hochberg over the relations).

    Raises
    ------
    ValueError
        For a parameter out of its range, or a relation below 0.5 Da.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.chem.discovery import relation_enrichment
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> relations = mg.relations_from_masses({"13C": 1.00335, "none": 1.3})
    >>> table = relation_enrichment(spectra, relations, n_null=40).set_index("name")
    >>> bool(table.q_value["13C"] < 0.05), bool(table.q_value["none"] < 0.05)
    (True, False)
    """
    spectra = sample(spectra)
    _check_share("min_frequency", min_frequency, least=0.0)
    _check_at_least("n_null", n_null, MIN_NULL)
    _check_at_least("max_ions", max_ions, 2)
    light = relations.masses < MIN_MASS
    if light.any():
        name = relations.names[int(np.argmax(light))]
        msg = f"relation {name!r} is below {MIN_MASS} Da, where the null does not hold"
        raise InputError(msg)
    pairs = pair_ions(
        spectra,
        max_mass=float(relations.masses.max()) + 1.0,
        tolerance=tolerance,
        tolerance_unit=tolerance_unit,
        min_frequency=min_frequency,
        max_ions=max_ions,
    )
    null = _fit_null(pairs, n_null, np.random.default_rng(random_state))
    observed = pairs.counts(pairs.mz)
    windows = np.round((relations.masses - MIN_MASS) / pairs.step).astype(np.int64)
    table = _describe(windows, observed, null, _scores(windows, observed, null))
    table["name"], table["formula"] = list(relations.names), list(relations.formulas)
    table["mass"] = relations.masses
    table["q_value"] = _benjamini_hochberg(table["p_value"].to_numpy())
    return table[[column for column in COLUMNS if column != "combination"]]


# ------------------------------------------------------------------------------- preparing


def _check_share(name: str, value: float, least: float | None = None) -> None:
    inside = 0 < value <= 1 if least is None else least <= value <= 1
    if not inside:
        bound = "above 0" if least is None else f"at least {least:g}"
        msg = f"{name} {value} is not {bound} and at most 1"
        raise InputError(msg)


def _check_at_least(name: str, value: float, least: float) -> None:
    if not (np.isfinite(value) and value >= least):
        msg = f"{name} {value} is not at least {least}"
        raise InputError(msg)


# ------------------------------------------------------------------------------- the null


def _fit_null(pairs: IonPairs, n_draws: int, rng: np.random.Generator) -> _Null:
    """Mean and variance of each window's count: the larger of the nulls'."""
    slopes = (0.0, pairs.slope) if pairs.slope else (0.0,)
    mean, variance = np.zeros(pairs.n_windows), np.zeros(pairs.n_windows)
    for slope in slopes:
        total, square = np.zeros(pairs.n_windows), np.zeros(pairs.n_windows)
        for _ in range(n_draws):
            counts = pairs.counts(pairs.redraw(slope, rng))
            total += counts
            square += counts * counts
        spread = (square - total * total / n_draws) / (n_draws - 1)
        # One pair more than was drawn: nothing is held impossible for want of draws.
        np.maximum(mean, (total + 1) / n_draws, out=mean)
        np.maximum(variance, spread, out=variance)
    # The neighbouring windows count too: where masses lie on a grid, differences sit on an edge.
    mean, variance = maximum_filter1d(mean, 3), maximum_filter1d(variance, 3)
    return _Null(slopes, mean, np.maximum(variance, mean))


def _scores(windows: Ints, counts: Ints, null: _Null) -> Floats:
    """Minus the natural logarithm of the chance of as many pairs or more, at these windows."""
    count, mean, variance = counts[windows], null.mean[windows], null.variance[windows]
    over = variance > 1.01 * mean
    log_tail = np.asarray(poisson.logsf(count - 1, mean), dtype=np.float64)
    share = mean[over] / variance[over]
    size = mean[over] * share / (1 - share)
    log_tail[over] = nbinom.logsf(count[over] - 1, size, share)
    return np.minimum(-log_tail, 700.0)  # exp(-700) is still above zero


def _find_hits(counts: Ints, null: _Null, threshold: _Threshold) -> tuple[Ints, Floats]:
    """Windows that score highest within their own width, and their scores."""
    enough = counts >= np.maximum(threshold.min_pairs, threshold.min_enrichment * null.mean)
    windows = np.flatnonzero(enough & (counts > null.mean + np.sqrt(null.variance)))
    if windows.size == 0:
        return windows, np.empty(0)
    score = _scores(windows, counts, null)
    # The gaps between candidates are shortened, so that the filter runs over few windows.
    place = np.cumsum(np.minimum(np.diff(windows, prepend=0), 2 * STEPS + 1))
    line = np.zeros(place[-1] + 1)
    line[place] = score
    top = np.flatnonzero(score == maximum_filter1d(line, 4 * STEPS + 1)[place])
    # A plateau is one hit, at its middle.
    start = np.flatnonzero(np.diff(place[top], prepend=-4 * STEPS) > 2 * STEPS)
    hits = top[(start + np.append(start[1:], top.size) - 1) // 2]
    return windows[hits], score[hits]


def _draw_scores(
    pairs: IonPairs, null: _Null, threshold: _Threshold, n_draws: int, rng: np.random.Generator
) -> list[Floats]:
    """Scores of the hits of all permutations, for each null."""
    return [
        np.concatenate(
            [
                _find_hits(pairs.counts(pairs.redraw(slope, rng)), null, threshold)[1]
                for _ in range(n_draws)
            ]
        )
        for slope in null.slopes
    ]


def _false_discovery(score: Floats, drawn: list[Floats], n_draws: int) -> Floats:
    """Give the false discovery rate at each of the descending scores, from those drawn."""
    false = np.zeros(score.size)
    for pool in drawn:
        above = pool.size - np.searchsorted(np.sort(pool), score)
        # One is added: what was never drawn may happen all the same. The worse null counts.
        np.maximum(false, (above + 1) / n_draws, out=false)
    return _step_up(false / np.arange(1, score.size + 1))


# ------------------------------------------------------------------------------- the table


def _describe(windows: Ints, counts: Ints, null: _Null, score: Floats) -> pd.DataFrame:
    count, mean = counts[windows], null.mean[windows]
    return pd.DataFrame(
        {
            "n_pairs": count,
            "expected": mean,
            "enrichment": count / mean,
            "z": (count - mean) / np.sqrt(null.variance[windows]),
            "p_value": np.exp(-score),
        }
    )


def _refined(pairs: IonPairs, hits: Ints) -> Floats:
    """Median of the differences in each window."""
    differences = np.sort(pairs.differences(pairs.mz))
    centres = pairs.centres(hits)
    # Differences at the very edge were counted; rounding must not lose them here.
    reach = pairs.tolerance + 1e-9
    left = np.searchsorted(differences, centres - reach)
    right = np.searchsorted(differences, centres + reach)
    return np.array(
        [np.median(differences[a:b]) for a, b in zip(left, right, strict=True)], dtype=np.float64
    )


def _name(table: pd.DataFrame, known: Relations, tolerance: float) -> None:
    """Add the columns name, formula and combination."""
    masses = table["mass"].to_numpy()
    names = [f"d{mass:.4f}" for mass in masses]
    for row, name in enumerate(names):
        if name in names[:row]:
            names[row] = f"d{masses[row]:.9f}"
    formulas = [""] * len(names)
    named = {}
    for row, mass in enumerate(masses):
        code = int(np.argmin(np.abs(known.masses - mass)))
        nearest = int(np.argmin(np.abs(masses - known.masses[code])))
        if row == nearest and abs(known.masses[code] - mass) <= tolerance:
            names[row], formulas[row] = known.names[code], known.formulas[code]
            named[known.names[code]] = float(known.masses[code])
    combined = _combinations(named)
    table["name"], table["formula"] = names, formulas
    table["combination"] = [
        "" if formula else _nearest_name(combined, mass, tolerance)
        for mass, formula in zip(masses, formulas, strict=True)
    ]


def _combinations(named: dict[str, float]) -> dict[str, float]:
    """Give the sums and differences of two named masses."""
    combined = {}
    for (a, mass_a), (b, mass_b) in combinations_with_replacement(named.items(), 2):
        heavy, light = (a, b) if mass_a >= mass_b else (b, a)
        combined[f"2 {a}" if a == b else f"{heavy} + {light}"] = mass_a + mass_b
        if a != b:
            combined[f"{heavy} - {light}"] = abs(mass_a - mass_b)
    return combined


def _nearest_name(masses: dict[str, float], mass: float, tolerance: float) -> str:
    """Name of the mass nearest to this one, empty where none is within the tolerance."""
    name = min(masses, key=lambda name: abs(masses[name] - mass), default="")
    return name if name and abs(masses[name] - mass) <= tolerance else ""


def _step_up(ratio: Floats) -> Floats:
    """Smallest of each ratio and those after it, at most one."""
    return np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1.0)


def _benjamini_hochberg(p_value: Floats) -> Floats:
    order = np.argsort(p_value, kind="stable")
    q_value = np.empty_like(p_value)
    q_value[order] = _step_up(p_value[order] * p_value.size / np.arange(1, p_value.size + 1))
    return q_value
