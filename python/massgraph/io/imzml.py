"""Reading imzML: validated, in chunks of pixels, with one clear line where a file is damaged."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph._util.progress import progress
from massgraph._util.text import one_line
from massgraph.data.spectra import Spectra
from massgraph.io._imzml_reader import ImzMLReader
from massgraph.io._imzml_spectra import ImzMLError
from massgraph.io._imzml_xml import parse_document

__all__ = [
    "ImzMLError",
    "ImzMLReader",
    "count_values",
    "open_imzml",
    "read_imzml",
    "validate_imzml",
]

CHOICES = {
    "profile": ("refuse", "centroid"),
    "polarity": ("positive", "negative", None),
    "integers": ("signed", "unsigned", None),
    "repeats": ("refuse", "sum"),
}


def _make_reader(path: str | Path, **options: Any) -> ImzMLReader:
    for name, choices in CHOICES.items():
        if options[name] not in choices:
            msg = f"{name} {options[name]!r} is none of {tuple(filter(None, choices))}"
            raise InputError(msg)
    kind = options.pop("kind")
    return ImzMLReader(_checked_path(path), kind=None if kind is None else _kind(kind), **options)


def _kind(kind: str | int) -> str:
    """Name of a kind of spectrum, which may be given as its MS level."""
    name = str(kind).strip()
    if not isinstance(kind, (str, int)) or not name:
        msg = f'kind {kind!r} is no kind of spectrum: give "MS1", "MS2", "SIM" or another'
        raise InputError(msg)
    return f"MS{name}" if name.isdecimal() else name


def _checked_path(path: str | Path) -> Path:
    """The path, unless it is one of the two that are given by mistake."""
    path = Path(path)
    if path.is_dir():
        msg = f"{path}: is a folder; give the .imzML file in it"
        raise ImzMLError(msg)
    if path.suffix.lower() == ".ibd":
        msg = f"{path}: is the binary half; give the .imzML file beside it"
        raise ImzMLError(msg)
    return path


def _warn(path: Path, notes: list[str], stacklevel: int) -> None:
    for note in notes:
        warnings.warn(one_line(f"{path}: {note}"), UserWarning, stacklevel=stacklevel)


def open_imzml(
    path: str | Path,
    *,
    run: str | None = None,
    check_uuid: bool = True,
    verify_checksum: bool = False,
    profile: str = "refuse",
    polarity: str | None = None,
    kind: str | int | None = None,
    integers: str | None = None,
    repeats: str = "refuse",
) -> ImzMLReader:
    """Open an imzML file and check everything that can be checked without reading all spectra.

    Parameters
    ----------
    path
        The .imzML file; its .ibd is looked for beside it, in any case of letters.
    run
        Name of the run; default: the file's name without suffix.
    check_uuid
        Whether the .ibd must begin with the UUID that the .imzML declares.
    verify_checksum
        Whether to read the whole .ibd and compare its declared MD5, SHA-1 or SHA-256.
    profile
        ``"refuse"`` profile spectra, or ``"centroid"`` them: a peak is a local maximum that rises
        three robust standard deviations above the noise, its m/z the vertex of the parabola
        through its top three points (details in `massgraph.io._centroid.centroid`). Where each
        spectrum says what it is, only profiles are picked.
    polarity
        ``"positive"`` or ``"negative"``: read the spectra of this polarity. Default: all, if they
        are of one. Of a file that does not say it is taken for the polarity of all.
    kind
        Kind of the spectra that are read: ``"MS1"``, ``"MS2"``, ``"MS3"`` ... (or 1, 2, 3, the MS
        level), ``"SIM"``, ``"SRM"`` or another that the file declares. Default: all, if they are
        MS1 or SIM spectra.
    integers
        What intensities below zero are where the file stores integers: ``"signed"``, noise about
        zero, which is treated as absent; ``"unsigned"``, counts too large for the signed integers
        that the file declares. Default: what is certain by their size, and an error where nothing
        is.
    repeats
        ``"refuse"`` several spectra at one position, or ``"sum"`` them. Those of one pixel at
        several ion mobilities are summed in any case.

    Returns
    -------
    ImzMLReader
        Its `warnings` have also been issued as UserWarning; what only the spectra show is, once
        all have been read (`ImzMLReader.blocks`).

    Raises
    ------
    ImzMLError
        One line with file, pixel and value, where the file is damaged or cannot be understood.

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
    ...         print(reader)
    ...         second = reader.read(1, 2)
    ImzMLReader('run.imzML', 2 pixels, processed, centroid, polarity negative)
    >>> second.mz
    array([255.233])
    """
    reader = _make_reader(
        path,
        run=run,
        check_uuid=check_uuid,
        verify_checksum=verify_checksum,
        profile=profile,
        polarity=polarity,
        kind=kind,
        integers=integers,
        repeats=repeats,
    )
    try:
        _warn(reader.path, reader.warnings, stacklevel=3)
    except UserWarning:  # the user has asked for warnings to be errors
        reader.close()
        raise
    return reader


def read_imzml(
    path: str | Path,
    *,
    run: str | None = None,
    mz_range: tuple[float, float] | None = None,
    max_peaks: int | None = None,
    profile: str = "refuse",
    check_uuid: bool = True,
    verify_checksum: bool = False,
    polarity: str | None = None,
    kind: str | int | None = None,
    integers: str | None = None,
    repeats: str = "refuse",
) -> Spectra:
    """Read an imzML file into memory.

    Parameters
    ----------
    path, run, profile, check_uuid, verify_checksum, polarity, kind, integers, repeats
        As for `open_imzml`.
    mz_range
        Keep the peaks from the first to the second m/z; default: all.
    max_peaks
        Keep that many of the most intense peaks of each pixel; default: all.

    Returns
    -------
    Spectra
        All pixels in the order of the file; those without peaks stay.

    Raises
    ------
    ImzMLError
        One line with file, pixel and value, where the file is damaged or cannot be understood.

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
    ...     spectra = mg.read_imzml(f"{folder}/run.imzML", mz_range=(250, 260))
    >>> spectra.n_pixels, spectra.mz.tolist(), spectra.run_names
    (2, [255.233, 255.233], ('run',))
    """
    reader = open_imzml(
        path,
        run=run,
        check_uuid=check_uuid,
        verify_checksum=verify_checksum,
        profile=profile,
        polarity=polarity,
        kind=kind,
        integers=integers,
        repeats=repeats,
    )
    parts: list[Spectra] = []
    with reader:
        for part in progress(
            reader.blocks(), len(reader.bounds()) - 1, f"reading {reader.path.name}"
        ):
            ranged = part if mz_range is None else part.mz_range(*mz_range)
            parts.append(ranged if max_peaks is None else ranged.top_peaks(max_peaks))
    return parts[0] if len(parts) == 1 else Spectra.concatenate(parts)


def validate_imzml(
    path: str | Path,
    *,
    check_uuid: bool = True,
    polarity: str | None = None,
    kind: str | int | None = None,
    integers: str | None = None,
    repeats: str = "refuse",
) -> dict[str, Any]:
    """Read an imzML file through, checksum included, and describe it.

    Parameters
    ----------
    path, check_uuid, polarity, kind, integers, repeats
        As for `open_imzml`; but a file of several kinds or both polarities is described, and only
        spectra of light are left out.

    Returns
    -------
    dict
        ``file``, ``n_pixels``, ``runs``, ``layout``, ``mode``, ``kinds`` and ``polarities``
        (numbers of spectra), ``polarity``, ``pixel_size_um``,
        ``mz_range``, ``peaks_per_pixel`` and ``tic`` (each minimum, median, maximum),
        ``empty_pixels`` and ``warnings`` (list of lines); all fit for JSON. Profile spectra are
        described after peak picking.

    Raises
    ------
    ImzMLError
        Where the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import warnings
    >>> from massgraph.io.imzml import validate_imzml
    >>> from pyimzml.ImzMLWriter import ImzMLWriter
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # pyimzml writes no pixel size
    ...     with ImzMLWriter(f"{folder}/run", polarity="negative") as writer:
    ...         writer.addSpectrum([255.233, 281.249], [9.0, 4.0], (1, 1))
    ...         writer.addSpectrum([255.233], [7.0], (2, 1))
    ...     found = validate_imzml(f"{folder}/run.imzML")
    >>> found["n_pixels"], found["layout"], found["peaks_per_pixel"]
    (2, 'processed', [1.0, 1.5, 2.0])
    """
    reader = _make_reader(
        path,
        run=None,
        check_uuid=check_uuid,
        verify_checksum=True,
        profile="centroid",
        polarity=polarity,
        kind=kind,
        integers=integers,
        repeats=repeats,
        strict=False,
    )
    counts, tics, lows, highs = [], [], [], []
    with reader:
        for part in progress(
            reader.blocks(telling=False), len(reader.bounds()) - 1, f"checking {reader.path.name}"
        ):
            counts.append(part.peak_counts)
            tics.append(part.tic())
            if part.n_peaks:
                lows.append(float(part.mz.min()))
                highs.append(float(part.mz.max()))
        # In the description, not as warnings: whoever validates reads them there.
        notes = reader.warnings + reader.reading_warnings()
    if reader.mode != "centroid":
        notes.append(
            'holds profile spectra: read it with profile="centroid" (--profile centroid on the '
            "command line)"
        )
    peaks = np.concatenate(counts)
    return {
        "file": str(reader.path),
        "n_pixels": reader.n_pixels,
        "runs": list(reader.run_names),
        "layout": reader.layout,
        "mode": reader.mode,
        "kinds": reader.kinds,
        "polarities": reader.polarities,
        "polarity": reader.polarity,
        "pixel_size_um": None if reader.pixel_size is None else list(reader.pixel_size),
        "mz_range": [min(lows), max(highs)] if lows else None,
        "peaks_per_pixel": _spread(peaks),
        "tic": _spread(np.concatenate(tics)),
        "empty_pixels": int(np.count_nonzero(peaks == 0)),
        "warnings": notes,
    }


def _spread(values: NDArray[Any]) -> list[float]:
    return [float(values.min()), float(np.median(values)), float(values.max())]


def count_values(path: str | Path) -> int:
    """Count the values of all intensity arrays of an imzML file, without reading them.

    Parameters
    ----------
    path
        The .imzML file; its .ibd is not looked at, so that it makes no difference how the arrays
        are stored.

    Returns
    -------
    int
        Peaks of centroid spectra, points of profile spectra, zeros included.

    Raises
    ------
    ImzMLError
        Where the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import warnings
    >>> from massgraph.io.imzml import count_values
    >>> from pyimzml.ImzMLWriter import ImzMLWriter
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # pyimzml writes no pixel size
    ...     with ImzMLWriter(f"{folder}/run", polarity="negative") as writer:
    ...         writer.addSpectrum([255.233, 281.249], [9.0, 4.0], (1, 1))
    ...         writer.addSpectrum([255.233], [7.0], (2, 1))
    ...     n = count_values(f"{folder}/run.imzML")
    >>> n
    3
    """
    length = parse_document(_checked_path(path)).table.length[:, 1]
    # In floating point, because lengths that a damaged file claims may exceed int64 together.
    return int(np.clip(length, 0, None).sum(dtype=np.float64))
