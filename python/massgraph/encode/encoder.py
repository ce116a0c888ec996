"""From spectra to what the network reads: preprocessing, graph, standardised node features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph.data.alignment import alignment_tolerance
from massgraph.data.spectra import Spectra
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.calibration import RunErrors
from massgraph.encode.features import feature_names, node_features
from massgraph.encode.ions import IonNodes, context, ion_nodes, relative_intensity, spread
from massgraph.encode.molecules import Molecules, find_molecules, merge_ions
from massgraph.encode.settings import EncoderSettings
from massgraph.graph.batch import MergedGraphs, PeakGraphs
from massgraph.graph.builder import Graph, build_graph, build_messages, check_tolerance
from massgraph.graph.messages import CompactMessages, Messages

__all__ = ["UNIT_OF_MEDIAN", "PeakEncoder", "preprocess"]

UNIT_OF_MEDIAN = 5.0  # of the median intensity of the training peaks


@dataclass(frozen=True, eq=False)
class PeakEncoder:
    """Turns spectra into graphs with features, the same way in training and prediction.

    Parameters
    ----------
    settings
        Resolved settings.
    feature_range
        m/z range that the scaled m/z refers to.
    mean, scale
        Standardisation of the features, float32, shape ``(n_features,)``.
    axis
        The ions that spectra are calibrated by and peaks are assigned to; None for networks as
        published, which read the peaks as they are.
    unit
        Intensity, over the brightness of the pixel, from which amounts grow logarithmically; well
        below it they are linear.
    of_molecule
        Molecule of each ion of the axis, where it is known; None to find it.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import PeakEncoder
    >>> from massgraph.encode.settings import EncoderSettings
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> settings = EncoderSettings(mg.default_relations("positive"))
    >>> encoder = PeakEncoder.learn(spectra, settings)
    >>> encoder.encode(spectra).features.shape == (spectra.n_peaks, 4)
    True
    """

    settings: EncoderSettings
    feature_range: tuple[float, float]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    axis: MassAxis | None = None
    unit: float = 1.0
    of_molecule: NDArray[np.int64] | None = None

    @classmethod
    def learn(
        cls,
        given: Spectra | CalibratedSpectra,
        settings: EncoderSettings,
        axis: MassAxis | None = None,
        ions: IonNodes | None = None,
    ) -> PeakEncoder:
        """Feature range and standardisation from preprocessed training spectra.

        Calibrated ones save that, where there is an axis, and their ions, where they are known.
        """
        spectra = given if isinstance(given, Spectra) else given.spectra
        if settings.mz_range is not None:
            low, high = settings.mz_range
        else:
            low, high = float(spectra.mz.min()), float(spectra.mz.max())
            high = max(high, low + 1.0)  # all peaks at one m/z: any width will do
        width = len(feature_names(settings.features))
        mean, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
        nodes, unit = spectra, 1.0
        if axis is not None:
            if ions is None:
                calibrated = axis.calibrate(given) if isinstance(given, Spectra) else given
                ions = ion_nodes(axis, calibrated)
            nodes = ions.spectra
            if nodes.n_peaks:
                unit = UNIT_OF_MEDIAN * float(np.median(relative_intensity(axis, ions)))
        if settings.standardize and nodes.n_peaks:
            features = node_features(nodes, settings.features, (low, high))
            mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = features.std(axis=0, dtype=np.float64).astype(np.float32)
            # A feature that is the same everywhere: its rounding errors are not blown up.
            scale = np.where(deviation < 1e-6, np.float32(1), deviation)
        return cls(settings, (low, high), mean, scale, axis, unit)

    def preprocess(self, spectra: Spectra) -> Spectra:
        """Peaks within the m/z range, the most intense of each pixel; see `preprocess`."""
        return preprocess(spectra, self.settings)

    def run_errors(self, spectra: Spectra) -> RunErrors | None:
        """Mass errors of the runs of preprocessed spectra; None for networks as published."""
        return None if self.axis is None else self.axis.run_errors(spectra)

    def calibrate(self, spectra: Spectra, runs: RunErrors | None = None) -> CalibratedSpectra:
        """Preprocessed spectra less their mass error.

        Without the errors of `runs` they must be whole runs, whose pixels of few peaks share one.
        """
        if self.axis is None:
            return CalibratedSpectra(spectra, np.zeros(spectra.n_pixels))
        return self.axis.calibrate(spectra, runs)

    def align(
        self, spectra: Spectra, calibrated: CalibratedSpectra
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Ions of preprocessed spectra and the ion of each peak, as `Spectra.align` gives them.

        Where the spectra have no axis of their own, their calibrated m/z are aligned.
        """
        aligned = calibrated.spectra if spectra.axis is None else spectra
        return aligned.align(*self.alignment)

    @property
    def alignment(self) -> tuple[float, str]:
        """Tolerance and its unit, within which peaks are one ion."""
        return alignment_tolerance(self.settings.tolerance, self.settings.tolerance_unit)

    def graph(self, spectra: Spectra | CalibratedSpectra) -> Graph:
        """Typed edges of preprocessed spectra; peaks of an ion of the axis have its m/z."""
        calibrated = self._calibrated(spectra)
        peaks = calibrated.spectra
        if self.axis is not None:
            peaks = self.axis.snap(calibrated, self.axis.assign(calibrated))
        return build_graph(peaks, self.settings.relations, **self._options())

    def _options(self) -> dict[str, Any]:
        names = ("tolerance", "tolerance_unit", "rule", "directed")
        return {name: getattr(self.settings, name) for name in names}

    def encode(
        self,
        spectra: Spectra | CalibratedSpectra,
        *,
        edges: bool = True,
        molecules: bool = False,
    ) -> PeakGraphs:
        """Graphs and standardised features of preprocessed spectra.

        Where there is an axis, the nodes are the ions of each pixel (`massgraph.encode.ions`), what
        the axis says of them (`massgraph.encode.ions.context`) is among the features, and
        the columns of `massgraph.graph.addresses` follow them: the amount of the ion, its place
        in the axis, and how far it is there. Otherwise the nodes are the peaks.

        Edges are left out where nothing reads them, to save their search. With `molecules` the ions
        are merged per molecule besides, as graphs with edges of their own.
        """
        calibrated = self._calibrated(spectra)
        if self.axis is None:
            peaks = calibrated.spectra
            return PeakGraphs(self._features(peaks), peaks.offsets, self._messages(peaks))
        nodes = ion_nodes(self.axis, calibrated)
        return self.encode_ions(nodes, edges=edges, molecules=molecules)

    def encode_ions(
        self, ions: IonNodes, *, edges: bool = True, molecules: bool = False
    ) -> PeakGraphs:
        """As `encode`, of ions that are known; for encoders that have an axis."""
        if self.axis is None:
            msg = "an encoder without an axis knows no ions: use `encode`"
            raise ValueError(msg)
        if not edges:
            settings = self.settings
            tolerance = settings.tolerance, settings.tolerance_unit
            check_tolerance(ions.spectra, settings.relations, *tolerance)
        merged = self._merged(ions) if molecules else None
        return self._of_nodes(self.axis, ions, edges=edges, merged=merged)

    def _merged(self, ions: IonNodes) -> MergedGraphs:
        """The molecules of the pixels as graphs, and the molecule that each ion is in."""
        nodes = merge_ions(self.molecules, ions)
        of_ion = np.empty(ions.spectra.n_peaks, dtype=np.int64)
        of_ion[nodes.part.indices] = np.repeat(
            np.arange(nodes.spectra.n_peaks), np.diff(nodes.part.indptr)
        )
        of_ion -= nodes.spectra.offsets[ions.spectra.pixel_of_peak]
        return MergedGraphs(self._of_nodes(self.molecules.axis, nodes), of_ion.astype(np.int32))

    def _of_nodes(
        self,
        axis: MassAxis,
        nodes: IonNodes,
        *,
        edges: bool = True,
        merged: MergedGraphs | None = None,
    ) -> PeakGraphs:
        amount = np.log1p(relative_intensity(axis, nodes) / self.unit)
        address = np.column_stack([amount, nodes.ion, nodes.weight]).astype(np.float32)
        # Molecules are standardised as ions are: their features are of the same kind.
        known = self._features(nodes.spectra), context(axis, nodes), address
        messages = (
            self._messages(nodes.spectra) if edges else CompactMessages.none(nodes.spectra.n_pixels)
        )
        features = np.concatenate(known, axis=1)
        return PeakGraphs(features, nodes.spectra.offsets, messages, merged)

    @cached_property
    def molecules(self) -> Molecules:
        """Molecules among the ions of the axis."""
        if self.axis is None:
            msg = "an encoder without an axis knows no molecules"
            raise ValueError(msg)
        return find_molecules(self.axis, self.settings.relations, self.of_molecule)

    def _messages(self, nodes: Spectra) -> Messages | CompactMessages:
        return build_messages(nodes, self.settings.relations, **self._options())

    def spread(
        self, calibrated: CalibratedSpectra, activation: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Class activations of the nodes given back to the peaks: see `massgraph.encode.ions`."""
        if self.axis is None:
            return activation
        return spread(ion_nodes(self.axis, calibrated), calibrated.spectra, activation)

    def _features(self, nodes: Spectra) -> NDArray[np.float32]:
        features = node_features(nodes, self.settings.features, self.feature_range)
        return (features - self.mean) / self.scale

    def _calibrated(self, spectra: Spectra | CalibratedSpectra) -> CalibratedSpectra:
        return self.calibrate(spectra) if isinstance(spectra, Spectra) else spectra


def preprocess(spectra: Spectra, settings: EncoderSettings) -> Spectra:
    """Keep the peaks within `mz_range`, then the `max_peaks` most intense of each pixel.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.encoder import preprocess
    >>> from massgraph.encode.settings import EncoderSettings
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> settings = EncoderSettings(mg.default_relations("positive"), max_peaks=50)
    >>> int(preprocess(spectra, settings).peak_counts.max())
    50
    """
    if settings.mz_range is not None:
        spectra = spectra.mz_range(*settings.mz_range)
    if settings.max_peaks is not None:
        spectra = spectra.top_peaks(settings.max_peaks)
    return spectra
