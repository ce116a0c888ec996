"""The table of file formats: what a file is told by, and what can be done with one.

Whoever is handed a path asks this table, the command line too: nothing else looks at the ending of
a name. A format that is registered here is read everywhere at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from massgraph._util.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from massgraph.data.sources import SpectraSource
    from massgraph.data.spectra import Spectra
    from massgraph.io._result import Result

__all__ = [
    "Format",
    "describe",
    "find_format",
    "forget_format",
    "known_formats",
    "read",
    "register_format",
]

HEAD_BYTES = 4096
PACKED = (".gz", ".zip", ".bz2", ".xz", ".7z", ".zst")
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """A format of files with spectra.

    Parameters
    ----------
    name
        As it stands in messages and help.
    suffixes
        Endings of names, in lower case with the dot: ``(".csv", ".csv.gz")``.
    read
        ``read(path, **options)`` gives all spectra in memory, or raises an `InputError` of one
        line that names the file.
    matches
        ``matches(head)`` says of the first 4,096 bytes of a file whether it is of this format.
        Asked where the name does not say; default: no file is.
    open
        ``open(path, **options)`` gives a source of blocks of spectra that is a context manager;
        None where a file of this format is always read whole.
    n_values
        ``n_values(path)`` counts the peaks that are stored in a file without reading them, so that
        a large one is opened and not read; None where it is not opened anyway.
    validate
        ``validate(path, **options)`` reads a file through and describes it, in values fit for
        JSON; default: `describe` of what `read` gives. It is given the options that `check` is
        given, of those that the format has.
    labels
        ``labels(path, column)`` gives a label for each pixel, or None where it has none; None
        where files of this format hold no labels.
    write
        ``write(segmentation, path, overwrite=False)`` writes a result; None where there is no
        writer.
    options
        Names of the options of `read` and `open`.

    Examples
    --------
    >>> from massgraph.io.formats import find_format
    >>> imzml = find_format("run.imzML")
    >>> imzml.name, imzml.options
    ('imzML', ('profile', 'check_uuid', 'polarity', 'kind', 'integers', 'repeats'))
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Spectra]
    matches: Callable[[bytes], bool] | None = None
    open: Callable[..., AbstractContextManager[SpectraSource]] | None = None
    n_values: Callable[[Path], int] | None = None
    validate: Callable[..., dict[str, Any]] | None = None
    labels: Callable[[Path, str], NDArray[np.object_]] | None = None
    write: Callable[..., None] | None = None
    options: tuple[str, ...] = ()

    def taken(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some options that this format takes."""
        return {name: value for name, value in options.items() if name in self.options}

    def check(self, path: Path, **options: Any) -> dict[str, Any]:
        """Read a file through and describe it, in values fit for JSON."""
        if self.validate is not None:
            return self.validate(path, **self.taken(options))
        return {"file": str(path), **describe(self.read(path, **self.taken(options)))}


def describe(spectra: Spectra) -> dict[str, Any]:
    """What is in spectra, in values fit for JSON.

    Parameters
    ----------
    spectra
        In memory.

    Returns
    -------
    dict
        `n_pixels`; `runs`, their names; `polarity`; `n_features`, the number of ions where all
        pixels share an axis, else None; `peaks_per_pixel` (minimum, median, maximum) and
        `mz_range`, None where there are none; `empty_pixels`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.io.formats import describe
    >>> spectra = mg.Spectra.from_peaks([([255.23], [9.0]), ([255.23, 281.25], [4.0, 7.0])])
    >>> found = describe(spectra)
    >>> found["n_pixels"], found["peaks_per_pixel"], found["mz_range"]
    (2, [1.0, 1.5, 2.0], [255.23, 281.25])
    """
    import numpy as np

    counts = spectra.peak_counts
    spread = [float(n) for n in np.quantile(counts, (0, 0.5, 1))] if counts.size else None
    return {
        "n_pixels": spectra.n_pixels,
        "runs": list(spectra.run_names),
        "polarity": spectra.polarity,
        "n_features": None if spectra.axis is None else len(spectra.axis),
        "peaks_per_pixel": spread,
        "mz_range": [float(spectra.mz.min()), float(spectra.mz.max())] if spectra.n_peaks else None,
        "empty_pixels": int((counts == 0).sum()),
    }


# -------------------------------------------------------------------- asking the table


def known_formats() -> tuple[Format, ...]:
    """All formats, in the order in which they were registered.

    Examples
    --------
    >>> from massgraph.io.formats import known_formats
    >>> [one.name for one in known_formats()]
    ['imzML', 'h5ad']
    """
    return tuple(_FORMATS.values())


def read(path: str | Path, **options: Any) -> Spectra:
    """Read a file of any known format into memory.

    Parameters
    ----------
    path
        The file; its name says of which format it is, or else its content.
    options
        Of the format's reader: ``profile="centroid"`` of imzML, for example.

    Raises
    ------
    InputError
        Where the format is not known or has no such option; as its reader raises it for a file that
        cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import massgraph as mg
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.segment(spectra).write_h5ad(f"{folder}/run.h5ad")
    ...     mg.read(f"{folder}/run.h5ad").n_pixels == spectra.n_pixels
    True
    """
    found = find_format(path)
    unknown = sorted(set(options) - set(found.options))
    if unknown:
        known = ", ".join(found.options) or "none"
        msg = f"{path}: {found.name} has no option {unknown[0]!r} (known: {known})"
        raise InputError(msg)
    return found.read(Path(path), **options)


def find_format(path: str | Path) -> Format:
    """Tell the format of a file: by its name, else by its content.

    Parameters
    ----------
    path
        The file; where its name says what it is it need not exist.

    Raises
    ------
    InputError
        Where neither says what it is: one line that names the formats that are known.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.io.formats import find_format
    >>> find_format("Slide 3.H5AD").name
    'h5ad'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "download"
    ...     _ = path.write_bytes(b'<?xml version="1.0"?><mzML xmlns="http://psi.hupo.org/ms/mzml">')
    ...     print(find_format(path).name)
    imzML
    """
    path = Path(path)
    named = [one for one in known_formats() if path.name.lower().endswith(one.suffixes)]
    if len(named) == 1:
        return named[0]
    head = _head(path)
    # Of several formats that share an ending, such as .csv, the content chooses.
    for one in named or known_formats():
        if one.matches is not None and one.matches(head):
            return one
    if named:
        return named[0]
    msg = f"{path}: neither its name nor its content is of a known format ({_names()})"
    raise InputError(msg)


def _names() -> str:
    return ", ".join(one.name for one in known_formats())


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except IsADirectoryError as error:
        msg = f"{path}: is a folder; give a file in it (known formats: {_names()})"
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}; known formats: {_names()})"
        raise InputError(msg) from error


def register_format(new: Format, *, replace: bool = False) -> None:
    """Add a format: from now on its files are read wherever a file is named.

    Parameters
    ----------
    new
        The format.
    replace
        Whether it may take the place of one of the same name.

    Raises
    ------
    InputError
        Where a format of this name is known and `replace` is false; where an ending is not in
        lower case with a dot, or there is neither an ending nor `matches`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.io.formats import Format, find_format, forget_format, register_format
    >>> def read_peaks(path):
    ...     rows = [line.split() for line in path.read_text().splitlines()]
    ...     return mg.Spectra.from_peaks([(row[::2], row[1::2]) for row in rows])
    >>> register_format(Format(name="peak lists", suffixes=(".peaks",), read=read_peaks))
    >>> find_format("run.peaks").name
    'peak lists'
    >>> forget_format("peak lists")
    """
    bad = [one for one in new.suffixes if one != one.lower() or not one.startswith(".")]
    if bad:
        msg = f"format {new.name!r}: the ending {bad[0]!r} is not in lower case with a dot"
        raise InputError(msg)
    if not new.suffixes and new.matches is None:
        msg = f"format {new.name!r}: give suffixes or matches, by which its files are told"
        raise InputError(msg)
    if new.name in _FORMATS and not replace:
        msg = f"a format named {new.name!r} is known already: choose another name or replace=True"
        raise InputError(msg)
    _FORMATS[new.name] = new


def forget_format(name: str) -> None:
    """Take a format out of the table, if it is there.

    Examples
    --------
    >>> from massgraph.io.formats import forget_format, known_formats
    >>> forget_format("no such format")
    >>> len(known_formats())
    2
    """
    _FORMATS.pop(name, None)


# -------------------------------------------------------------------- the formats of massgraph

# Each function imports its reader when it is called: pandas and h5py would otherwise delay every
# command, --help too.


def _is_imzml(head: bytes) -> bool:
    # Without the zeros that every second byte of UTF-16 is.
    text = head.replace(b"\0", b"")
    return b"<mzML" in text or b"<indexedmzML" in text


def _read_imzml(path: Path, **options: Any) -> Spectra:
    from massgraph.io.imzml import read_imzml

    return read_imzml(path, **options)


def _open_imzml(path: Path, **options: Any) -> AbstractContextManager[SpectraSource]:
    from massgraph.io.imzml import open_imzml

    return open_imzml(path, **options)


def _count_imzml(path: Path) -> int:
    from massgraph.io.imzml import count_values

    return count_values(path)


def _validate_imzml(path: Path, **options: Any) -> dict[str, Any]:
    from massgraph.io.imzml import validate_imzml

    return validate_imzml(path, **options)


def _is_hdf5(head: bytes) -> bool:
    # HDF5 allows for a block of the user's before its own first byte.
    return any(head[at : at + len(HDF5)] == HDF5 for at in (0, 512, 1024, 2048))


def _read_h5ad(path: Path, **options: Any) -> Spectra:
    from massgraph.io.anndata import read_anndata

    return read_anndata(path, **options)


def _labels_of_h5ad(path: Path, column: str) -> NDArray[np.object_]:
    from massgraph.io.anndata import read_labels_column

    return read_labels_column(path, column)


def _write_h5ad(segmentation: Result, path: Path, overwrite: bool = False) -> None:
    from massgraph.io.h5ad import write_h5ad

    write_h5ad(segmentation, path, overwrite=overwrite)


_FORMATS: dict[str, Format] = {
    "imzML": Format(
        name="imzML",
        # The reader says of an .ibd that the other half is wanted, of a packed file to unpack it.
        suffixes=(".imzml", ".ibd", *(f".imzml{end}" for end in PACKED)),
        matches=_is_imzml,
        read=_read_imzml,
        open=_open_imzml,
        n_values=_count_imzml,
        validate=_validate_imzml,
        options=("profile", "check_uuid", "polarity", "kind", "integers", "repeats"),
    ),
    "h5ad": Format(
        name="h5ad",
        suffixes=(".h5ad",),
        matches=_is_hdf5,
        read=_read_h5ad,
        labels=_labels_of_h5ad,
        write=_write_h5ad,
        options=("layer", "mz", "run", "coordinates"),
    ),
}
