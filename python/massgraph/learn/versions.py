"""Versions of the training pixels: encoded as measured, then degraded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from massgraph.data.spectra import Spectra
from massgraph.encode.encoder import PeakEncoder
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.augmentation import degraded_copy, weighing_copy

__all__ = ["Versions", "encode_versions"]


@dataclass(frozen=True, eq=False)
class Versions:
    """Encoded training pixels, as measured and then degraded.

    Parameters
    ----------
    graphs
        Version v of pixel i is graph ``v * n_pixels + i``: first the pixel as measured, then the
        copies that parts are trained on, then those that only weigh the branches.
    fault
        Faults of the graphs that parts are trained on (see `degraded_copy`),
        ``(n_training_versions * n_pixels,)``.
    n_pixels
        Number of pixels.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> encoder = PeakEncoder.learn(spectra, resolve_settings("default", "positive", {}))
    >>> seed = np.random.SeedSequence(0)
    >>> versions = encode_versions(encoder, spectra[:4], np.arange(4) % 2, seed, n_copies=1)
    >>> versions.of(np.array([0, 2])).tolist()
    [0, 2, 4, 6]
    """

    graphs: PeakGraphs
    fault: NDArray[np.int64]
    n_pixels: int

    @property
    def n_training(self) -> int:
        """Number of versions that parts are trained on."""
        return len(self.fault) // self.n_pixels

    def of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the graphs to train on of these pixels, version by version."""
        return (np.arange(self.n_training)[:, None] * self.n_pixels + pixels).ravel()

    @property
    def weighing(self) -> NDArray[np.int64]:
        """First graph of the pixels as measured, and of each copy that weighs the branches."""
        return np.append(0, np.arange(len(self.fault), len(self.graphs), self.n_pixels))


def encode_versions(
    encoder: PeakEncoder,
    spectra: Spectra,
    codes: NDArray[np.int64],
    seed: np.random.SeedSequence,
    *,
    n_copies: int,
    n_weighing: int = 0,
) -> Versions:
    """Encode pixels as measured, then degraded copies to train on, then copies to weigh by.

    Parameters
    ----------
    encoder
        Learnt from these pixels or others.
    spectra, codes
        Preprocessed pixels, and the class of each: copies to weigh by mix pixels of two classes.
    seed
        Of the faults.
    n_copies, n_weighing
        Numbers of copies.

    Examples
    --------
    Four pixels as measured, two degraded copies of each to train on, and one to weigh by:

    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> encoder = PeakEncoder.learn(spectra, resolve_settings("default", "positive", {}))
    >>> codes, seed = np.array([0, 1, 0, 1]), np.random.SeedSequence(0)
    >>> versions = encode_versions(encoder, spectra[:4], codes, seed, n_copies=2, n_weighing=1)
    >>> len(versions.graphs), versions.n_training, versions.weighing.tolist()
    (16, 3, [0, 12])
    """
    rng = np.random.default_rng(seed)
    # Measured pixels come first: a tolerance that is too wide is refused before copies are made.
    encoded = [encoder.encode(spectra)]
    faults = [np.zeros(spectra.n_pixels, dtype=np.int64)]
    for _ in range(n_copies):
        copy, fault = degraded_copy(spectra, rng)
        encoded.append(encoder.encode(copy))
        faults.append(fault)
    # Drawn last, so that the copies to train on are the same with or without them.
    for _ in range(n_weighing):
        encoded.append(encoder.encode(weighing_copy(spectra, codes, rng)))
    return Versions(PeakGraphs.concatenate(encoded), np.concatenate(faults), spectra.n_pixels)
