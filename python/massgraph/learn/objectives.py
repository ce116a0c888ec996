"""Objectives: what a net is trained towards.

An objective draws samples, gives the loss of a batch, and measures the score on held-out data. The
loop, its checkpoints and early stopping know no more of it: they draw, step, and keep the weights
with the lowest ``valid_loss``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from massgraph._util.scores import balanced_accuracy
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.targets import Targets

__all__ = ["CrossEntropy", "Evaluate", "Objective", "PublishedCrossEntropy", "Samples"]

SMALLEST_EPOCH = 256  # draws per epoch at least, where there are as many graphs to draw from

Drawn = NDArray[np.int64]
Evaluate: TypeAlias = Callable[[PeakGraphs, NDArray[np.int64]], NDArray[Any]]
"""What the net gives, in evaluation mode, of graphs by their numbers: ``(n, n_outputs)``."""


class Objective(ABC):
    """What a net is trained towards, bound to the graphs it is trained on.

    Attributes
    ----------
    train_columns, valid_columns
        Names of what `train_scores` and `validate` measure besides ``valid_loss``: columns of the
        learning curve.

    Examples
    --------
    A loss without labels, which asks for outputs of length one:

    >>> import numpy as np, torch
    >>> from massgraph.learn.objectives import Objective
    >>> class UnitLength(Objective):
    ...     def __init__(self, training, held_out):
    ...         self.training, self.held_out = training, held_out
    ...     @property
    ...     def epoch_size(self):
    ...         return len(self.training)
    ...     def draw(self, n, rng):
    ...         return rng.integers(len(self.training), size=n)
    ...     def loss(self, net, drawn, device):
    ...         outputs = net(net.take(self.training, drawn, device))
    ...         return ((outputs.norm(dim=1) - 1) ** 2).mean(), outputs
    ...     def validate(self, evaluate, rng):
    ...         outputs = evaluate(self.held_out, np.arange(len(self.held_out)))
    ...         return {"valid_loss": float(((np.linalg.norm(outputs, axis=1) - 1) ** 2).mean())}
    """

    train_columns: tuple[str, ...] = ()
    valid_columns: tuple[str, ...] = ()

    @property
    @abstractmethod
    def epoch_size(self) -> int:
        """Number of samples that an epoch draws."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Draw `n` samples, as numbers that only the objective reads, shape ``(n,)``."""

    @abstractmethod
    def loss(
        self, net: Any, drawn: Drawn, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean loss of a batch, with gradients, and the outputs of the net that gave it."""

    @abstractmethod
    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        """Measure held-out data: ``valid_loss``, then the scores that `valid_columns` names."""

    def train_scores(self, drawn: Drawn, outputs: NDArray[Any]) -> dict[str, float]:
        """Scores of an epoch, from its samples and their outputs, named as in `train_columns`."""
        return {}


# -------------------------------------------------------------------- classes


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled graphs to draw from: versions of entries.

    Sample ``v * n_entries + e`` is version v of the pixel of entry e.

    Parameters
    ----------
    graphs
        Version v of pixel i is graph ``v * targets.n_pixels + i``; version 0 is as measured.
    targets
        Classes of all pixels.
    chosen
        Entries that are drawn (all).
    n_versions
        Versions that are drawn (all).

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.objectives import Samples
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.targets import Targets
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> targets = Targets.of_codes(np.unique(simulation.truth, return_inverse=True)[1])
    >>> settings = resolve_settings("default", "positive", {})
    >>> encoder = PeakEncoder.learn(simulation.spectra, settings)
    >>> graphs = encoder.encode(simulation.spectra)
    >>> samples = Samples(graphs, targets)
    >>> drawn = samples.draw(400, np.random.default_rng(0))
    >>> counts = np.bincount(samples.code(drawn))
    >>> bool((abs(counts - 100) < 30).all())
    True
    """

    graphs: PeakGraphs
    targets: Targets
    chosen: NDArray[np.int64] | None = None
    n_versions: int | None = None

    @property
    def entries(self) -> NDArray[np.int64]:
        """The entries that are drawn."""
        return np.arange(len(self.targets.code)) if self.chosen is None else self.chosen

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """`n` samples with replacement: class, then entry by weight, then version."""
        targets = self.targets
        entries = self.entries
        order = entries[np.argsort(targets.code[entries], kind="stable")]
        _, first, counts = np.unique(targets.code[order], return_index=True, return_counts=True)
        of_class = rng.integers(len(counts), size=n)
        # Sums of weights that start anew in each class: with equal weights their index.
        reached = np.concatenate(
            [
                np.cumsum(targets.weight[order[a : a + m]])
                for a, m in zip(first, counts, strict=True)
            ]
        )
        at = rng.random(n) * reached[first + counts - 1][of_class]
        place = np.empty(n, dtype=np.int64)
        for code, (a, m) in enumerate(zip(first, counts, strict=True)):
            here = of_class == code
            # A rounded sum may be reached exactly: the last entry takes what is left.
            found = np.searchsorted(reached[a : a + m], at[here], side="right")
            place[here] = a + np.minimum(found, m - 1)
        n_versions = self.n_versions or len(self.graphs) // targets.n_pixels
        version = rng.integers(n_versions, size=n)
        return np.asarray(version * len(targets.code) + order[place], dtype=np.int64)

    def graph(self, drawn: Drawn) -> NDArray[np.int64]:
        """Numbers of the graphs of samples."""
        version, entry = np.divmod(drawn, len(self.targets.code))
        return np.asarray(version * self.targets.n_pixels + self.targets.pixel[entry])

    def code(self, drawn: Drawn) -> NDArray[np.int64]:
        """Class of each sample."""
        return self.targets.code[drawn % len(self.targets.code)]


class CrossEntropy(Objective):
    """Cross-entropy of classes, each class counting the same.

    An epoch draws as many samples as there are labelled pixels, at least 256. The held-out loss is
    that of all held-out pixels as measured.

    Parameters
    ----------
    training
        What is drawn.
    validation
        What is held out, as measured.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.objectives import CrossEntropy, Samples
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.targets import Targets
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> targets = Targets.of_codes(np.unique(simulation.truth, return_inverse=True)[1])
    >>> settings = resolve_settings("default", "positive", {})
    >>> encoder = PeakEncoder.learn(simulation.spectra, settings)
    >>> graphs = encoder.encode(simulation.spectra)
    >>> halves = [np.arange(start, targets.n_pixels, 2) for start in (0, 1)]
    >>> training, held_out = (Samples(graphs, targets, targets.of(half)) for half in halves)
    >>> CrossEntropy(training, held_out).epoch_size
    144
    """

    train_columns = ("train_balanced_accuracy",)
    valid_columns = ("valid_balanced_accuracy",)

    def __init__(self, training: Samples, validation: Samples) -> None:
        self.training, self.validation = training, validation

    @property
    def epoch_size(self) -> int:
        """See `Objective`."""
        samples = self.training
        n_versions = samples.n_versions or len(samples.graphs) // samples.targets.n_pixels
        n_graphs = len(np.unique(samples.targets.pixel[samples.entries])) * n_versions
        return max(samples.targets.n_pixels, min(n_graphs, SMALLEST_EPOCH))

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """See `Objective`."""
        return self.training.draw(n, rng)

    def loss(
        self, net: Any, drawn: Drawn, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Objective`; the net computes it, in one pass where the library is compiled."""
        batch = net.take(self.training.graphs, self.training.graph(drawn), device)
        loss, logits = net.loss(batch, self.training.code(drawn))
        return loss, logits

    def train_scores(self, drawn: Drawn, outputs: NDArray[Any]) -> dict[str, float]:
        """See `Objective`."""
        found = balanced_accuracy(self.training.code(drawn), outputs.argmax(axis=1))
        return {"train_balanced_accuracy": found}

    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        """See `Objective`."""
        held_out = self.validation.entries  # of version 0: the pixels as measured
        code = self.validation.targets.code[held_out]
        weight = self.validation.targets.weight[held_out]
        return self._scores(evaluate, held_out, weight / np.bincount(code, weights=weight)[code])

    def _scores(
        self, evaluate: Evaluate, drawn: Drawn, weight: NDArray[np.float64]
    ) -> dict[str, float]:
        """Weighted mean loss and balanced accuracy of some samples of the held-out."""
        y = self.validation.code(drawn)
        logits = torch.from_numpy(evaluate(self.validation.graphs, self.validation.graph(drawn)))
        losses = cross_entropy(logits, torch.from_numpy(y), reduction="none").numpy()
        found = balanced_accuracy(y, logits.argmax(dim=1).numpy())
        return {
            "valid_loss": float(np.average(losses, weights=weight)),
            "valid_balanced_accuracy": found,
        }


class PublishedCrossEntropy(CrossEntropy):
    """As in the published code: epochs of 80 % of all pixels, held-out pixels drawn anew.

    Parameters
    ----------
    training, validation
        As for `CrossEntropy`.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.objectives import PublishedCrossEntropy, Samples
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.targets import Targets
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> targets = Targets.of_codes(np.unique(simulation.truth, return_inverse=True)[1])
    >>> settings = resolve_settings("default", "positive", {})
    >>> encoder = PeakEncoder.learn(simulation.spectra, settings)
    >>> graphs = encoder.encode(simulation.spectra)
    >>> training = Samples(graphs, targets, targets.of(np.arange(80)))
    >>> held_out = Samples(graphs, targets, targets.of(np.arange(80, 100)))
    >>> PublishedCrossEntropy(training, held_out).epoch_size
    80
    """

    @property
    def _n_labelled(self) -> int:
        return len(self.training.entries) + len(self.validation.entries)

    @property
    def epoch_size(self) -> int:
        """See `Objective`."""
        return int(0.8 * self._n_labelled)

    def validate(self, evaluate: Evaluate, rng: np.random.Generator) -> dict[str, float]:
        """See `Objective`."""
        # As in the published code: 19 of 100, since 100 * (1 - 0.8) is a little below 20.
        drawn = self.validation.draw(max(int(self._n_labelled * (1 - 0.8)), 1), rng)
        return self._scores(evaluate, drawn, np.ones(len(drawn)))
