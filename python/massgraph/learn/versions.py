"""Versions of the training pixels: encoded as measured, then degraded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from massgraph.data.ranks import rank_in_pixels
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra
from massgraph.encode.encoder import PeakEncoder
from massgraph.encode.ions import IonNodes, ion_nodes
from massgraph.graph.batch import PeakGraphs
from massgraph.graph.messages import CompactMessages, rows_of
from massgraph.learn.augmentation import degraded_copy
from massgraph.learn.completeness import fit_completeness
from massgraph.learn.sums import SumTables, learn_sums
from massgraph.nn.completeness import LEVELS, Completeness

__all__ = ["Versions", "encode_versions"]


@dataclass(frozen=True, eq=False)
class Versions:
    """Encoded training pixels, as measured and then degraded.

    Parameters
    ----------
    graphs
        Version v of pixel i is graph ``v * n_pixels + i``: first the pixel as measured, then the
        copies that parts are trained on, then those that only weigh the branches.
    n_pixels, n_training
        Numbers of pixels, and of versions that nets are trained on.
    level, molecule
        Of each ion of the axis, its usual intensity in the unit of the encoder, and the number of
        its molecule (`massgraph.encode.amounts.molecule_groups`), both ``(n_ions,)``.
    summed
        Pixels whose ions are added up, ascending: all of them, or as many as discriminants need.
    seed
        Of what is drawn to learn how pixels look that lack peaks.
    as_new
        Whether the last version are the pixels as measured again, less gains that they would have
        in new runs: it takes the place of the first where branches are judged.

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
    >>> versions = encode_versions(encoder, spectra[:4], seed, n_copies=1)
    >>> versions.of(np.array([0, 2])).tolist()
    [0, 2, 4, 6]
    """

    graphs: PeakGraphs
    n_pixels: int
    n_training: int
    level: NDArray[np.float64]
    molecule: NDArray[np.int64]
    summed: NDArray[np.int64]
    seed: np.random.SeedSequence
    as_new: bool = False

    def of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the graphs to train on of these pixels, version by version."""
        return (np.arange(self.n_training)[:, None] * self.n_pixels + pixels).ravel()

    @cached_property
    def ion_sums(self) -> SumTables:
        """Sums over single ions of the pixels in `summed`."""
        # Kept: the discriminants of all folds are fitted to them.
        return self._sums(np.arange(len(self.level)))

    @cached_property
    def molecule_sums(self) -> SumTables:
        """Sums over molecules."""
        return self._sums(self.molecule)

    @cached_property
    def completeness(self) -> Completeness:
        """What is usual of the pixels, as measured, and how those look that lack peaks."""
        found = Completeness(len(self.level))
        measured, rng = self._summed_of(0), np.random.default_rng(self.seed)
        fit_completeness(found, measured, self.level, self.molecule, rng)
        return found

    def _sums(self, group: NDArray[np.int64]) -> SumTables:
        # The copies that weigh come in the order of the experts: those without their weakest last.
        weakest_lost = [self._summed_of(int(start)) for start in self.weighing[-len(LEVELS) :]]
        return learn_sums(self._summed_of(0), weakest_lost, self.level, group)

    def _summed_of(self, first: int) -> PeakGraphs:
        """Nodes of the pixels in `summed`, in the version that begins with a graph."""
        peaks, offsets = rows_of(self.graphs.offsets, first + self.summed)
        none = CompactMessages.none(len(self.summed))
        return PeakGraphs(self.graphs.features[peaks], offsets, none)

    @property
    def weighing(self) -> NDArray[np.int64]:
        """First graph of the pixels as measured, and of each copy that weighs the branches."""
        first = self.n_training * self.n_pixels
        copies = np.arange(first, len(self.graphs), self.n_pixels)
        return np.roll(copies, 1) if self.as_new else np.append(0, copies)


def encode_versions(
    encoder: PeakEncoder,
    spectra: Spectra,
    seed: np.random.SeedSequence,
    *,
    n_copies: int,
    weighing: bool = True,
    edges: bool = True,
    molecules: bool = False,
    calibrated: CalibratedSpectra | None = None,
    ions: IonNodes | None = None,
    summed: NDArray[np.int64] | None = None,
    as_new: CalibratedSpectra | None = None,
) -> Versions:
    """Encode pixels as measured, then degraded copies to train on, then copies to weigh by.

    Parameters
    ----------
    encoder
        Learnt from these pixels or others.
    spectra
        Preprocessed pixels.
    seed
        Of the faults.
    n_copies
        Number of copies to train on.
    weighing
        Whether to make a copy for each way to lack peaks, to weigh the branches by. Branches in
        closed form are fitted to those without their weakest peaks, too.
    edges, molecules
        Whether the graphs have edges, and molecules besides ions.
    calibrated
        The pixels less mass errors and gains of their runs, where these are known.
    ions
        Of these, where they are known.
    summed
        As of `Versions` (all).
    as_new
        The pixels less gains that they would have in new runs, where they are to be judged so.

    Examples
    --------
    Four pixels as measured, two degraded copies of each to train on, and eight to weigh by:

    >>> import massgraph as mg
    >>> import numpy as np
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.settings import resolve_settings
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> settings = resolve_settings("default", "positive", {})
    >>> encoder = PeakEncoder.learn(spectra, settings, learn_axis(spectra))
    >>> seed = np.random.SeedSequence(0)
    >>> versions = encode_versions(encoder, spectra[:4], seed, n_copies=2)
    >>> len(versions.graphs), versions.n_training, versions.weighing.tolist()
    (44, 3, [0, 12, 16, 20, 24, 28, 32, 36, 40])
    """
    rng = np.random.default_rng(seed)
    calibrated = encoder.calibrate(spectra) if calibrated is None else calibrated
    # Measured pixels come first: a tolerance that is too wide is refused before copies are made.
    nodes = ions
    if encoder.axis is not None and nodes is None:
        nodes = ion_nodes(encoder.axis, calibrated)
    if nodes is None:
        encoded = [encoder.encode(calibrated, edges=edges)]
    else:
        encoded = [encoder.encode_ions(nodes, edges=edges, molecules=molecules)]
    for _ in range(n_copies):
        worse = encoder.calibrate(degraded_copy(spectra, rng))
        worse = replace(worse, gains=calibrated.gains)
        encoded.append(encoder.encode(worse, edges=edges, molecules=molecules))
    # Drawn last, so that the copies to train on are the same with or without them.
    if weighing and nodes is not None:
        encoded += [
            encoder.encode_ions(nodes.kept(left), edges=edges, molecules=molecules)
            for left in _losses(nodes, rng)
        ]
    if as_new is not None:
        encoded.append(encoder.encode(as_new, edges=edges, molecules=molecules))
    summed = np.arange(spectra.n_pixels) if summed is None else summed
    return Versions(
        PeakGraphs.concatenate(encoded),
        spectra.n_pixels,
        1 + n_copies,
        *_of_ions(encoder),
        summed,
        seed.spawn(1)[0],
        as_new is not None,
    )


def _losses(nodes: IonNodes, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Which nodes are left, by each of the experts but the first; a node of each pixel at least."""
    pixel = nodes.spectra.pixel_of_peak
    rank = rank_in_pixels(nodes.spectra.intensity, pixel)
    counts = np.bincount(pixel, minlength=nodes.spectra.n_pixels)
    random = [(rng.random(pixel.size) < share) | (rank == 0) for share in LEVELS]
    return random + [rank < np.ceil(counts * share)[pixel] for share in LEVELS]


def _of_ions(encoder: PeakEncoder) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Usual intensity and molecule of each ion; none where there is no axis."""
    axis = encoder.axis
    if axis is None:
        return np.empty(0), np.empty(0, dtype=np.int64)
    return np.exp(axis.level) / encoder.unit, encoder.molecules.of_ion
