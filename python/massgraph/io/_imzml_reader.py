"""An open imzML file, checked: its pixels some at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.text import name_of, one_line
from massgraph._util.warnings import outside
from massgraph.data.rasters import FileRaster
from massgraph.data.spectra import Spectra
from massgraph.io._centroid import centroid
from massgraph.io._ibd import Arrays, IbdFile, find_ibd, locate_arrays
from massgraph.io._imzml_choice import Choice, choose_spectra
from massgraph.io._imzml_header import Header, read_header
from massgraph.io._imzml_modes import settle_modes
from massgraph.io._imzml_places import (
    Grouped,
    check_positions,
    coordinates_of,
    counts_from,
    from_one,
    group,
)
from massgraph.io._imzml_spectra import Document, ImzMLError
from massgraph.io._imzml_traits import MOBILITY
from massgraph.io._imzml_xml import parse_document
from massgraph.io._peaks import PeakCleaner, in_order

__all__ = ["ImzMLReader"]

# Raw bytes that one chunk may take where the number of pixels is left to the reader.
CHUNK_BYTES = 1 << 26


class ImzMLReader:
    """An open, checked imzML file that hands out its pixels as `Spectra`.

    Made by `open_imzml`. Use it as a context manager; threads may share it.

    Attributes
    ----------
    path, ibd_path : pathlib.Path
        The two files.
    n_pixels : int
        Number of pixels.
    coordinates : numpy.ndarray
        float64, shape ``(n_pixels, 2)`` as (x, y), or ``(n_pixels, 3)`` where z varies; from 1,
        also where the file counts from 0.
    run_names : tuple of str
        Names of the runs; a file with one run has one.
    polarity : str or None
        ``"positive"``, ``"negative"``, or None where undeclared.
    pixel_size : tuple of float or None
        Size in x and y in micrometres.
    layout : str
        ``"continuous"`` (one m/z axis) or ``"processed"``.
    mode : str
        ``"centroid"``, ``"profile"`` or ``"mixed"``: what the stored spectra are taken for.
    kinds, polarities : dict of str to int
        How many spectra of the file are MS1, MS2 and so on, and of each polarity; also of those
        that were left out.
    warnings : list of str
        Everything odd but not refused, one line each.

    Examples
    --------
    >>> import tempfile
    >>> import warnings
    >>> import massgraph as mg
    >>> from pyimzml.ImzMLWriter import ImzMLWriter
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # pyimzml writes no pixel size
    ...     with ImzMLWriter(f"{folder}/run", polarity="negative") as writer:
    ...         writer.addSpectrum([255.233, 281.249], [9.0, 4.0], (1, 1))
    ...         writer.addSpectrum([255.233], [7.0], (2, 1))
    ...     with mg.open_imzml(f"{folder}/run.imzML") as reader:
    ...         tic = [block.tic() for block in reader.blocks(n_pixels=1)]
    >>> tic
    [array([13.]), array([7.])]
    """

    def __init__(
        self,
        path: Path,
        *,
        check_uuid: bool,
        verify_checksum: bool,
        profile: str,
        run: str | None,
        polarity: str | None = None,
        kind: str | None = None,
        integers: str | None = None,
        repeats: str = "refuse",
        strict: bool = True,
    ) -> None:
        self.path = path
        everything = parse_document(path)
        self.warnings: list[str] = list(everything.notes)
        header = read_header(path, everything)
        choice = choose_spectra(
            path, everything, header.traits, kind=kind, polarity=polarity, strict=strict
        )
        self.warnings += choice.notes + header.notes
        self.polarity = choice.polarity
        self.kinds, self.polarities = choice.kinds, choice.polarities
        self._rows_of_runs = self._set_runs(choice.document, run)
        document, grouped = choice.document, self._group(choice, repeats, strict)
        self.ibd_path = find_ibd(path, header.uuid)
        self._ibd = IbdFile(self.ibd_path)
        self._cleaner = PeakCleaner(
            self._where,
            integers=integers,
            mobility=document.mobility,
            several=grouped.several > 0,
        )
        self._told: set[str] = set()
        try:
            self._check_ibd(header, check_uuid, verify_checksum)
            self._open(document, header, grouped.order)
            if check_uuid and header.uuid is not None:
                self._arrays.check_header(self._where)
            self._profile = settle_modes(self, choice.mode[grouped.order], profile)
        except BaseException:
            self._ibd.close()
            raise

    def _check_ibd(self, header: Header, check_uuid: bool, verify_checksum: bool) -> None:
        if check_uuid:
            self._ibd.check_uuid(header)
        if verify_checksum:
            self._ibd.check_digests(header.checksums)

    def _open(self, document: Document, header: Header, order: NDArray[np.int64]) -> None:
        # Looked for in the order of the file, by which cut offsets are told.
        back = np.argsort(order)
        found = locate_arrays(
            document, header, self._ibd, lambda row: self._where(int(back[row])), self.warnings
        )
        self._arrays: Arrays = found.take(order)
        self.layout = header.layout
        self.pixel_size = header.pixel_size
        self._axis = self._shared_axis() if self.layout == "continuous" else None

    # ---------------------------------------------------------------- pixels

    def _where(self, row: int) -> str:
        """Words that name a spectrum that is read, for messages."""
        x, y, _ = self._position[row].tolist()
        return f"{self.path}: pixel {self._spectrum[row]} (x {x}, y {y})"

    def _set_runs(self, document: Document, run: str | None) -> NDArray[np.int32]:
        """Name the runs; gives the code of that of each spectrum."""
        used, codes = np.unique(document.table.run, return_inverse=True)
        self.run_names: tuple[str, ...] = (name_of(self.path) if run is None else run,)
        if len(used) > 1:
            ids = [document.run_ids[code] for code in used]
            if run is not None:
                listed = ", ".join(ids)
                msg = f"{self.path}: holds {len(ids)} runs ({listed}); leave run={run!r} out"
                raise ImzMLError(msg)
            if len(set(ids)) < len(ids):
                ids = [f"{name_of(self.path)}:{number}" for number in range(1, len(ids) + 1)]
            self.run_names = tuple(ids)
        return codes.reshape(-1).astype(np.int32)

    def _find_rasters(
        self, document: Document, left_out: NDArray[np.int64], run: NDArray[np.int64]
    ) -> dict[str, FileRaster]:
        """How the file counts and what was left out, by run, where that is worth a word."""
        start = counts_from(self._position)
        if start < 1:
            self.warnings.append(
                "positions count from 0: x and y were raised by 1; labels are matched as the file "
                "counts, unless they can only count from 1"
            )
        used = np.unique(document.table.run).tolist()
        return {
            name: FileRaster(start, from_one(left_out[run == code], start))
            for name, code in zip(self.run_names, used, strict=True)
            if start < 1 or (run == code).any()
        }

    def _group(self, choice: Choice, repeats: str, strict: bool) -> Grouped:
        """Lay the spectra of each pixel beside each other."""
        table = choice.document.table
        self._spectrum, self._position = choice.rows, table.position
        check_positions(self._position, self._where)
        mobile = np.array([MOBILITY in trait for trait in choice.document.traits], dtype=bool)
        # What is described without a choice may hold a spectrum of each kind at a position.
        apart = np.zeros_like(table.traits) if strict else table.traits
        grouped = group(
            np.column_stack((self._rows_of_runs, table.position, apart)),
            self._where,
            mobile[table.traits],
            add_up=repeats == "sum",
        )
        if grouped.several and repeats != "sum":
            self.warnings.append(
                f"{grouped.several} pixels have spectra at several ion mobilities, "
                f"{len(grouped.order)} in all; those of a pixel were summed"
            )
        self._spectrum, self._position = choice.rows[grouped.order], table.position[grouped.order]
        self._starts = grouped.starts
        firsts = grouped.starts[:-1]
        self._run_codes = self._rows_of_runs[grouped.order][firsts]
        self.n_pixels = len(firsts)
        self.coordinates = coordinates_of(self._position)[firsts]
        self._rasters = self._find_rasters(choice.document, *choice.left_out)
        return grouped

    # ---------------------------------------------------------------- the m/z axis and the mode

    def _shared_axis(self) -> NDArray[np.float64]:
        """Read the m/z axis of a continuous file, as stored."""
        row = int(np.argmax(self._arrays.length > 0))
        mz = self._arrays.read(self._ibd, row, row + 1, 0, np.float64)
        axis = mz.astype(np.float64)
        self._cleaner.check_mz(axis, np.asarray([0, axis.size]), np.array([row]))
        return axis

    @property
    def mode(self) -> str:
        """``"centroid"``, ``"profile"`` or ``"mixed"``."""
        if self._profile.all():
            return "profile"
        return "mixed" if self._profile.any() else "centroid"

    def stored_mz(self, row: int) -> NDArray[np.float64]:
        """The m/z of a spectrum as stored, but sorted; of a continuous file the axis of all."""
        if self._axis is not None:
            return np.sort(self._axis)
        mz = self._arrays.read(self._ibd, row, row + 1, 0, np.float64)
        return np.sort(mz.astype(np.float64))

    @property
    def stored_lengths(self) -> NDArray[np.int64]:
        """Number of stored points of each spectrum."""
        return self._arrays.length

    # ---------------------------------------------------------------- reading

    def read(self, start: int = 0, stop: int | None = None) -> Spectra:
        """Read the pixels ``start:stop``.

        Parameters
        ----------
        start, stop
            First pixel and the one after the last; `stop` defaults to all.

        Returns
        -------
        Spectra
            Peaks of zero intensity are left out; pixels without peaks stay. Continuous centroid
            files give a shared `axis`.

        Raises
        ------
        ImzMLError
            Where a value is not finite or an m/z cannot be one; the message names the pixel.
        ValueError
            Where the range is not within the file, or the reader is closed.
        """
        stop = self.n_pixels if stop is None else stop
        if not 0 <= start <= stop <= self.n_pixels:
            msg = f"{self.path}: pixels {start} to {stop} are not within its {self.n_pixels} pixels"
            raise InputError(msg)
        first, end = self._starts[[start, stop]].tolist()
        rows = np.arange(first, end)
        offsets = np.concatenate(([0], np.cumsum(self._arrays.length[first:end])))
        intensity = self._arrays.read(self._ibd, first, end, 1, np.float64).astype(np.float64)
        bits = self._arrays.signed_bits(first, end)
        intensity = self._cleaner.check_intensity(intensity, offsets, rows, bits)
        mz = self._read_mz(first, end, offsets)
        if self._profile[first:end].any():
            mz, intensity, offsets = self._cleaner.order(mz, intensity, offsets, rows)
            mz, intensity, offsets = centroid(mz, intensity, offsets, self._profile[first:end])
        if end - first > stop - start:
            mz, intensity, offsets = self._cleaner.order(mz, intensity, offsets, rows)
            offsets = offsets[self._starts[start : stop + 1] - first]
            mz, intensity = in_order(mz, intensity, offsets)
        rows = self._starts[start:stop]
        mz, intensity, offsets = self._cleaner.clean(mz, intensity, offsets, rows)
        return Spectra(
            mz=mz,
            intensity=intensity.astype(np.float32),
            offsets=offsets,
            coordinates=self.coordinates[start:stop],
            run_codes=self._run_codes[start:stop],
            run_names=self.run_names,
            polarity=self.polarity,
            pixel_size=self.pixel_size,
            axis=np.unique(self._axis)
            if self._axis is not None and not self._profile.any()
            else None,
            rasters=self._rasters,
        )

    def _read_mz(self, first: int, end: int, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        if self._axis is None:
            mz = self._arrays.read(self._ibd, first, end, 0, np.float64).astype(np.float64)
            self._cleaner.check_mz(mz, offsets, np.arange(first, end))
            return mz
        # A pixel of a continuous file has all values of the axis, or none.
        return np.tile(self._axis, int(np.count_nonzero(np.diff(offsets))))

    @property
    def run(self) -> NDArray[np.str_]:
        """Name of the run of each pixel."""
        return np.asarray(self.run_names, dtype=np.str_)[self._run_codes]

    def places(self) -> Spectra:
        """All pixels without their peaks: coordinates, runs and polarity; nothing is read."""
        return Spectra(
            mz=np.empty(0),
            intensity=np.empty(0, dtype=np.float32),
            offsets=np.zeros(self.n_pixels + 1, dtype=np.int64),
            coordinates=self.coordinates,
            run_codes=self._run_codes,
            run_names=self.run_names,
            polarity=self.polarity,
            pixel_size=self.pixel_size,
            rasters=self._rasters,
        )

    def bounds(self, n_pixels: int | None = None) -> list[int]:
        """Where chunks begin and end; by default so that a chunk takes about 64 MiB of the file."""
        if n_pixels is not None:
            if n_pixels < 1:
                msg = f"a chunk needs at least one pixel, got n_pixels={n_pixels}"
                raise InputError(msg)
            return [*range(0, self.n_pixels, n_pixels), self.n_pixels]
        ends = np.cumsum(self._arrays.size.sum(axis=1) + 64)
        weight = ends[self._starts[1:] - 1] // CHUNK_BYTES
        return [0, *(np.flatnonzero(np.diff(weight)) + 1).tolist(), self.n_pixels]

    def blocks(self, n_pixels: int | None = None, *, telling: bool = True) -> Iterator[Spectra]:
        """Read all pixels in order, some at a time.

        Parameters
        ----------
        n_pixels
            Pixels per chunk; default: as many as take about 64 MiB in the file, so that memory
            stays bounded however large the file is.
        telling
            Whether to warn; what there is to say is in `reading_warnings`, too.

        Warns
        -----
        UserWarning
            After the last, of everything in the spectra that was changed; once each.
        """
        bounds = self.bounds(n_pixels)
        blocks = (self.read(a, b) for a, b in pairwise(bounds))
        return self._telling(blocks) if telling else blocks

    def _telling(self, blocks: Iterator[Spectra]) -> Iterator[Spectra]:
        yield from blocks
        # What only the values show, counted over all of them, and not again in a second pass.
        for what, note in self._cleaner.notes().items():
            if what not in self._told:
                self._told.add(what)
                warnings.warn(one_line(f"{self.path}: {note}"), UserWarning, stacklevel=outside())

    def reading_warnings(self) -> list[str]:
        """Warnings about the spectra read so far (negative, unsorted or doubled values)."""
        return list(self._cleaner.notes().values())

    # ---------------------------------------------------------------- closing

    def close(self) -> None:
        """Close the .ibd; may be called twice."""
        self._ibd.close()

    def __enter__(self) -> ImzMLReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.n_pixels

    def __repr__(self) -> str:
        return (
            f"ImzMLReader({self.path.name!r}, {self.n_pixels} pixels, {self.layout}, {self.mode}, "
            f"polarity {self.polarity or 'unknown'})"
        )
