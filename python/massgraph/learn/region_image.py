"""An image as regions are found in it: amounts of molecules, pixels off tissue, and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph._util.executor import Threads
from massgraph._util.threads import n_threads
from massgraph.data.neighbours import Neighbours
from massgraph.data.sources import Pixels, batches, parts, places, runs, take
from massgraph.data.spectra import Spectra
from massgraph.encode.amounts import log_shares
from massgraph.encode.axis import CalibratedSpectra, MassAxis
from massgraph.encode.calibration import sample_of_runs
from massgraph.encode.coverage import Knowledge
from massgraph.encode.guard import Guard
from massgraph.encode.ions import IonNodes, ion_nodes
from massgraph.encode.peak_loss import PeakLoss, log_deviations
from massgraph.learn.field import STRONG, smoothed
from massgraph.learn.mixture import Mixture
from massgraph.learn.off_tissue import find_off_tissue

__all__ = ["RegionImage", "coverage_blocks", "ion_blocks", "open_image", "read_image"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RegionImage:
    """What is known of the pixels before any region is.

    Parameters
    ----------
    amounts
        Of molecules or ions, float32, CSR, ``(n_pixels, n_features)``: log shares
        (`massgraph.encode.amounts.log_shares`), or deviations where peaks are lost at random
        (`massgraph.encode.peak_loss.log_deviations`).
    neighbours
        Of the pixels; none where they do not count.
    run
        Name of the run of each pixel.
    off_tissue
        Pixels poor and rich in molecules; None where all are tissue.
    off
        Probability that the pixel is off tissue; NaN without peaks of known ions.
    inner
        Pixels to learn from: tissue without its edge.
    brightness
        Log number of molecules and log intensity of known ions, less their means over the tissue of
        the run, ``(n_pixels, 2)``; 0 without peaks. Of a brighter pixel more weak peaks are above
        the detection limit, so that it differs in all amounts.
    coverage
        Share of the ion current of each pixel at the ions; NaN without peaks.
    kept
        Share of the peaks that are not lost at random.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import read_image
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> image = read_image(spectra, axis, np.arange(len(axis)))
    >>> image.amounts.shape == (spectra.n_pixels, len(axis)), image.brightness.shape
    (True, (144, 2))
    """

    amounts: sp.csr_matrix
    neighbours: Neighbours
    run: NDArray[np.str_]
    off_tissue: Mixture | None
    off: Floats
    inner: NDArray[np.bool_]
    brightness: Floats
    coverage: Floats
    kept: float = 1.0

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels with peaks of known ions."""
        return ~np.isnan(self.off)

    @property
    def tissue(self) -> NDArray[np.bool_]:
        """Pixels that are more likely tissue than not."""
        return np.asarray(self.off < 0.5)

    def of_features(self, columns: NDArray[np.int64]) -> RegionImage:
        """The same pixels by some of the features."""
        return replace(self, amounts=self.amounts[:, columns])


def read_image(
    X: Pixels,
    axis: MassAxis,
    group: NDArray[np.int64],
    *,
    loss: PeakLoss | None = None,
    radius: float | None = 1.0,
    neighbours: Neighbours | None = None,
    one_region: bool = False,
) -> RegionImage:
    """Read an image and find out which of its pixels are off tissue.

    Parameters
    ----------
    X
        Spectra in memory or a source, of which all peaks are read once.
    axis
        The ions.
    group
        Molecule of each ion, or its own number.
    loss
        What is known of peaks lost at random; None where none are.
    radius
        Reach of the neighbourhood in pixels; None where neighbours do not count.
    neighbours
        Those that were given, in place of those within the reach.
    one_region
        Whether all pixels are to be one region, those off tissue, too.

    Examples
    --------
    See `RegionImage`.
    """
    found = _amounts(axis, group, X, loss)
    off_tissue = None
    if not one_region:
        known = np.isfinite(found.richness)
        off_tissue = find_off_tissue(found.richness[known], found.intensity[known])
    return _image(found, places(X), radius, neighbours, off_tissue)


def open_image(
    X: Pixels,
    axis: MassAxis,
    group: NDArray[np.int64],
    *,
    loss: PeakLoss | None,
    radius: float | None,
    neighbours: Neighbours | None = None,
    off_tissue: Mixture | None,
    guard: Guard | None = None,
) -> RegionImage:
    """Read an image where it is known what pixels off tissue look like.

    Parameters as for `read_image`, and `off_tissue` as for `RegionImage`. A guard refuses runs that
    are not known.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import open_image
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> group = np.arange(len(axis))
    >>> image = open_image(spectra, axis, group, loss=None, radius=None, off_tissue=None)
    >>> bool(image.tissue.all()), image.neighbours.pairs.shape
    (True, (0, 2))
    """
    found = _amounts(axis, group, X, loss, guard)
    where = places(X)
    if guard is not None and not isinstance(X, Spectra):
        guard.after(found.coverage, where.run)
    return _image(found, where, radius, neighbours, off_tissue)


def ion_blocks(axis: MassAxis, X: Pixels, description: str = "reading") -> Iterator[IonNodes]:
    """Ions of all pixels in order, some pixels at a time, less their mass error.

    Parameters
    ----------
    axis
        The ions.
    X
        Spectra in memory or a source.
    description
        Of the progress bar.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import ion_blocks
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> sum(block.spectra.n_pixels for block in ion_blocks(learn_axis(spectra), spectra))
    144
    """
    blocks = _calibrated(axis, X, description)
    yield from Threads(n_threads()).map(lambda block: ion_nodes(axis, block()), blocks)


def coverage_blocks(known: Knowledge, axis: MassAxis, X: Pixels) -> Iterator[Floats]:
    """Coverage of all pixels in order, some pixels at a time.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.learn.region_image import coverage_blocks
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> sum(block.size for block in coverage_blocks(Knowledge.of(axis), axis, spectra))
    144
    """
    blocks = _calibrated(axis, X, "looking at peaks")
    yield from Threads(n_threads()).map(lambda block: known.coverage(block().spectra), blocks)


def _calibrated(
    axis: MassAxis, X: Pixels, description: str, guard: Guard | None = None
) -> Iterator[Callable[[], CalibratedSpectra]]:
    """Pixels some at a time, as what calibrates them: on whatever thread it is asked."""
    if isinstance(X, Spectra):
        whole = axis.calibrate(X)
        if guard is not None:
            guard.before(X, whole.spectra)
        for rows in batches(X.offsets):
            yield partial(whole.__getitem__, rows)
        return
    # Before the parts: one of few pixels of a run could not tell the mass error of the run.
    pixels = sample_of_runs(runs(X))
    some = take(X, pixels)
    errors = axis.run_errors(some)
    if guard is not None:
        calibrated = axis.calibrate(some, errors).spectra
        guard.before(some, calibrated, sample=pixels.size < X.n_pixels)
    for part in parts(X, description):
        yield partial(axis.calibrate, part, errors)


class _Amounts(NamedTuple):
    """Amounts, and logs of the number of molecules and of the intensity of each pixel.

    Minus infinity for pixels without peaks of known ions.
    """

    amounts: sp.csr_matrix
    richness: Floats
    intensity: Floats
    coverage: Floats
    kept: float


def _amounts(
    axis: MassAxis,
    group: NDArray[np.int64],
    X: Pixels,
    loss: PeakLoss | None,
    guard: Guard | None = None,
) -> _Amounts:
    found, intensity, coverage = [], [], []
    known = Knowledge.of(axis)

    def read(block: Callable[[], CalibratedSpectra]) -> tuple[IonNodes, Floats]:
        calibrated = block()
        return ion_nodes(axis, calibrated), known.coverage(calibrated.spectra)

    blocks = _calibrated(axis, X, "reading", guard)
    for nodes, covered in Threads(n_threads()).map(read, blocks):
        coverage.append(covered)
        # float32: half of the memory, and far more digits than an amount has.
        amounts = log_deviations(nodes, group, loss) if loss else log_shares(nodes, group)
        found.append(amounts.astype(np.float32))
        spectra = nodes.spectra
        weighted = nodes.weight * spectra.intensity
        intensity.append(np.bincount(spectra.pixel_of_peak, weighted, spectra.n_pixels))
    whole = sp.csr_matrix(sp.vstack(found, format="csr"))
    richness = _log(np.diff(whole.indptr))
    total = _log(np.concatenate(intensity))
    return _Amounts(whole, richness, total, np.concatenate(coverage), loss.kept if loss else 1.0)


def _log(values: NDArray[Any]) -> Floats:
    found = np.full(values.shape, -np.inf)
    np.log(values, out=found, where=values > 0)
    return found


def _image(
    found: _Amounts,
    where: Spectra,
    radius: float | None,
    given: Neighbours | None,
    off_tissue: Mixture | None,
) -> RegionImage:
    neighbours = Neighbours.within(where, radius) if given is None else given
    off = _off_probability(off_tissue, found.richness, neighbours)
    inner = _inner_tissue(off, None if radius is None else where)
    brightness = np.column_stack([found.richness, found.intensity])
    brightness = _centred(brightness, where.run, np.asarray(off < 0.5))
    return RegionImage(
        amounts=found.amounts,
        neighbours=neighbours,
        run=where.run,
        off_tissue=off_tissue,
        off=off,
        inner=inner,
        brightness=brightness,
        coverage=found.coverage,
        kept=found.kept,
    )


def _centred(values: Floats, run: NDArray[np.str_], tissue: NDArray[np.bool_]) -> Floats:
    """Less the mean over the tissue of the run, as brightness differs from run to run."""
    values = np.where(np.isfinite(values), values, np.nan)
    for name in np.unique(run):
        rows = run == name
        if (rows & tissue).any():
            values[rows] -= values[rows & tissue].mean(axis=0)
    return np.nan_to_num(values, nan=0.0)


def _off_probability(
    off_tissue: Mixture | None, richness: Floats, neighbours: Neighbours
) -> Floats:
    known = np.isfinite(richness)
    found = np.where(known, 0.0, np.nan)
    if off_tissue is not None and known.any():
        joint = off_tissue.log_joint(richness[known, None])
        found[known] = smoothed(joint, neighbours.among(known).shares(), STRONG)[:, 0]
    return found


def _inner_tissue(off: Floats, where: Spectra | None) -> NDArray[np.bool_]:
    """Tissue without its edge, as long as that leaves half of it."""
    tissue = np.asarray(off < 0.5)
    if where is None or tissue.sum() == (off >= 0).sum():
        return tissue
    # A pixel at the edge is tissue in part: left in, edges become a region of their own.
    near = Neighbours.within(where, 1).shares()
    edge = near @ np.asarray(off >= 0.5, dtype=np.float64) > 0
    inner = np.asarray(tissue & ~edge)
    return inner if 2 * inner.sum() >= tissue.sum() else tissue
