"""Learning how complete pixels are, and how those look that lack peaks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from massgraph.data.ranks import rank_in_pixels
from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakGraphs
from massgraph.nn.completeness import LEVELS, N_STRENGTHS, Completeness, kind_features

__all__ = ["fit_completeness"]

Floats = NDArray[np.float64]

LEAST_SPREAD = 0.02  # of a share between pixels: no strength is exact
SMALLEST_SHARE = 0.05  # of what is expected: where less is left, nothing is told by it
DRAWS = 3  # of each pixel and kind of loss
KEPT = (0.08, 0.9)  # shares of the peaks that are kept in these draws
PENALTY = 100.0  # of the regression, C in scikit-learn's terms
MOST_FALL, LEAST_FALL = 0.01, 0.98  # what a level leaves of the share at the level before
CLEAREST = 0.005  # of a share: pixels are not alike more exactly
SURE = 2.0  # its logit times this: an expert that is wrong says more than one that is right


def fit_completeness(
    completeness: Completeness,
    graphs: PeakGraphs,
    level: Floats,
    group: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Learn from some pixels how many ions are usual, and how lost ones look, in place.

    An ion that one pixel alone has would not be on the axis of the others: what is usual of new
    pixels is counted for each pixel by the ions of the others. Molecules are counted in place of
    ions where they tell peaks that are lost better from those that were never there: where the
    balance of adducts varies.

    Parameters
    ----------
    completeness
        What is fitted.
    graphs
        Encoded spectra.
    level, group
        Usual intensity and molecule of each ion.
    rng
        Draws the peaks that are lost.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.completeness import fit_completeness
    >>> from massgraph.nn.completeness import Completeness
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> encoder = clf.encoder_
    >>> graphs, level = encoder.encode(spectra), np.exp(encoder.axis.level)
    >>> completeness = Completeness(len(level))
    >>> molecule, rng = encoder.molecules.of_ion, np.random.default_rng(0)
    >>> fit_completeness(completeness, graphs, level, molecule, rng)
    >>> shares = completeness.shares(graphs.batch(np.arange(len(graphs)), edges="none"))
    >>> bool((abs(shares.mean(dim=0) - 1) < 0.05).all())
    True
    """
    n_ions = len(completeness.group)
    single = np.arange(len(group))
    ways = [single] if np.array_equal(group, single) else [single, group]
    fitted = [_Counted.of(graphs, level, way, Completeness(n_ions)) for way in ways]
    best = max(fitted, key=lambda one: one.clarity(rng))
    _fit_kind(best, rng)
    for kind in (0, 1):
        _fit_left(best, kind, rng)
    completeness.load_state_dict(best.completeness.state_dict())


def _fit_kind(counted: _Counted, rng: np.random.Generator) -> None:
    """Learn to tell peaks lost at random from the weakest lost."""
    pixels, drawn, weakest = counted.pixels, [], []
    for kind in (0, 1):
        for _ in range(DRAWS):
            kept = np.exp(rng.uniform(np.log(KEPT[0]), np.log(KEPT[1]), pixels.n))
            shares = counted.counts(pixels.left(kind, kept, rng))[:, :N_STRENGTHS]
            drawn.append(kind_features(torch.from_numpy(shares)).numpy())
            weakest.append(np.full(pixels.n, kind))
    slope, bias = _regression(np.concatenate(drawn), np.concatenate(weakest))
    counted.completeness.kind_weight.copy_(torch.from_numpy(SURE * slope))
    counted.completeness.kind_bias.fill_(SURE * bias)


def _fit_left(counted: _Counted, kind: int, rng: np.random.Generator) -> None:
    """Learn what share of the molecules is left, on average, at each share of the peaks."""
    left = [float(counted.left(kind, share, rng).mean()) for share in (1.0, *LEVELS)]
    if left[0] <= 0:  # no ions at all
        return
    for number in range(1, len(left)):
        # They fall, so that there is something between them, whatever chance made of few pixels.
        before = left[number - 1]
        left[number] = min(max(left[number], before * MOST_FALL), before * LEAST_FALL)
    counted.completeness.left[kind] = torch.tensor(left, dtype=torch.float64)


class _Counted(NamedTuple):
    """Pixels whose ions are counted one by one or by molecule, and what is usual of them."""

    pixels: _Pixels
    strength: NDArray[np.int64]
    presence: Floats
    of_one: Floats
    completeness: Completeness

    @classmethod
    def of(
        cls,
        graphs: PeakGraphs,
        level: Floats,
        group: NDArray[np.int64],
        completeness: Completeness,
    ) -> _Counted:
        """Learn what is usual, into an empty completeness."""
        completeness.group[: len(group)] = torch.from_numpy(group)
        pixels = _Pixels.of(graphs, group, len(completeness.group))
        n, n_groups = pixels.n, pixels.n_groups
        usual_sum = np.bincount(group, level, int(group.max(initial=-1)) + 1)
        strength = np.zeros(n_groups, dtype=np.int64)
        strength[: usual_sum.size] = _strengths(np.asarray(usual_sum, dtype=np.float64))
        every = pixels.molecules(np.ones(pixels.pixel.size, dtype=bool))
        presence = np.asarray(np.bincount(every.molecule, every.weight, n_groups), np.float64)
        # What the others have on average, for each pixel by itself.
        of_all = np.bincount(strength, presence, N_STRENGTHS)
        others = (of_all - pixels.by_strength(every, strength)) / max(n - 1, 1)
        shared = every.among(presence)
        shares = pixels.by_strength(shared, strength) / np.maximum(others, 1e-9)
        usual = np.maximum(shares.mean(axis=0), SMALLEST_SHARE)
        of_one = n / np.maximum(of_all, 1e-9) / usual
        expected = np.zeros((n_groups, N_STRENGTHS))
        expected[np.arange(n_groups), strength] = of_one[strength]
        spread = np.maximum((shares / usual).std(axis=0), LEAST_SPREAD)
        completeness.expected.copy_(torch.from_numpy(expected))
        completeness.precision.copy_(torch.from_numpy(1.0 / spread**2))
        completeness.total.fill_(max(shared.weight.sum() / max(n - 1, 1), 1e-9))
        return cls(pixels, strength, presence, of_one, completeness)

    def counts(self, left: NDArray[np.bool_]) -> Floats:
        """Shares of what is expected and the number, of the ions that are left."""
        found = self.pixels.molecules(left).among(self.presence)
        shares = self.pixels.by_strength(found, self.strength) * self.of_one
        return np.column_stack([shares, np.bincount(found.pixel, found.weight, self.pixels.n)])

    def left(self, kind: int, share: float, rng: np.random.Generator) -> Floats:
        """What seems to be left of each pixel where a share of its peaks is."""
        counts = self.counts(self.pixels.left(kind, share, rng))
        return np.asarray(self.completeness.complete(torch.from_numpy(counts))[kind])

    def clarity(self, rng: np.random.Generator) -> float:
        """How many deviations pixels as measured are from those that lost half at random."""
        whole, half = (self.left(0, share, rng) for share in (1.0, 0.5))
        return float((whole.mean() - half.mean()) / max(whole.std(), CLEAREST))


class _Molecules(NamedTuple):
    """Molecules that are in pixels: where, which, and how far they are there."""

    pixel: NDArray[np.int64]
    molecule: NDArray[np.int64]
    weight: Floats

    def among(self, presence: Floats) -> _Molecules:
        """Without those that no other pixel has."""
        shared = presence[self.molecule] - self.weight > 1e-9
        return self._replace(weight=np.where(shared, self.weight, 0.0))


class _Pixels(NamedTuple):
    """Ions of pixels: of which pixel and molecule, how far there, and rank by intensity."""

    n: int
    n_groups: int
    pixel: NDArray[np.int64]
    group: NDArray[np.int64]
    ion_weight: Floats
    rank: NDArray[np.int64]

    @classmethod
    def of(cls, graphs: PeakGraphs, group: NDArray[np.int64], n_groups: int) -> _Pixels:
        batch = graphs.batch(np.arange(len(graphs)), edges="none")
        where, pixel = addresses(batch), batch.pixel.numpy()
        weight, rank = where.weight.double().numpy(), rank_in_pixels(where.amount.numpy(), pixel)
        return cls(batch.n_pixels, n_groups, pixel, group[where.ion.numpy()], weight, rank)

    def left(self, kind: int, share: Floats | float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which ions are left of a share of them, lost at random (0) or from the weakest (1)."""
        share = np.broadcast_to(np.asarray(share, dtype=np.float64), self.n)
        if kind == 0:
            return rng.random(self.pixel.size) < share[self.pixel]
        counts = np.bincount(self.pixel, minlength=self.n)
        return np.asarray(self.rank < np.ceil(counts * share)[self.pixel])

    def molecules(self, left: NDArray[np.bool_]) -> _Molecules:
        """Molecules of the ions that are left."""
        place = self.pixel[left] * self.n_groups + self.group[left]
        keys, of_ion = np.unique(place, return_inverse=True)
        weight = np.minimum(np.bincount(of_ion, self.ion_weight[left], keys.size), 1.0)
        return _Molecules(*np.divmod(keys, self.n_groups), weight)

    def by_strength(self, found: _Molecules, strength: NDArray[np.int64]) -> Floats:
        """Sums of weights per pixel and strength, ``(n, N_STRENGTHS)``."""
        place = found.pixel * N_STRENGTHS + strength[found.molecule]
        sums = np.bincount(place, found.weight, self.n * N_STRENGTHS)
        return sums.astype(np.float64).reshape(self.n, -1)


def _strengths(level: Floats) -> NDArray[np.int64]:
    """Group of each molecule, from weak to strong; the groups are of one size."""
    if level.size == 0:  # an axis without ions
        return np.zeros(0, dtype=np.int64)
    edges = np.quantile(level, np.linspace(0, 1, N_STRENGTHS + 1)[1:-1])
    return np.searchsorted(edges, level, side="right")


def _regression(features: Floats, weakest: NDArray[np.int64]) -> tuple[Floats, float]:
    """Slope and intercept of the logit that the weakest peaks were lost."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=PENALTY, max_iter=2000).fit(features, weakest)
    return found.coef_[0], float(found.intercept_[0])
