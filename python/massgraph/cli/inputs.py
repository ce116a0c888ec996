"""What the commands of the command line read: files, in memory or block by block, and labels."""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import massgraph as mg
from massgraph._util.errors import InputError
from massgraph._util.text import name_of
from massgraph.io.formats import find_format, known_formats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from massgraph.data.sources import JoinedSpectra, Pixels
    from massgraph.data.spectra import Spectra

__all__ = ["choices", "columns", "find_labels", "find_reference", "inputs", "read_all"]

# Graphs, activations and images hold 380 to 530 bytes for each peak of spectra that are predicted
# and explained in memory. Any computer of today has 4 GB for them.
BYTES_PER_PEAK, MEMORY = 500, 4_000_000_000
LARGE = MEMORY // BYTES_PER_PEAK
NAMED_LIKE_MISSING = ".* named like a missing value"
MAY_BE_NONE = ("coordinates", "run")


@contextmanager
def inputs(arguments: argparse.Namespace) -> Iterator[Pixels]:
    """All inputs, in memory or, where they hold many peaks, block by block: open within.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_inputs` makes them.

    Yields
    ------
    Spectra or JoinedSpectra

    Raises
    ------
    InputError
        Where a file cannot be read, or the files cannot be joined.

    Examples
    --------
    >>> import argparse
    >>> import tempfile
    >>> import massgraph as mg
    >>> from massgraph.cli.inputs import inputs
    >>> from massgraph.cli.options import add_inputs
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> parser = argparse.ArgumentParser()
    >>> add_inputs(parser)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     segmentation = mg.Segmentation.from_probability(spectra, "a", [[1.0]] * len(spectra))
    ...     segmentation.write_h5ad(f"{folder}/run.h5ad")
    ...     with inputs(parser.parse_args([f"{folder}/run.h5ad"])) as found:
    ...         print(found.n_pixels == spectra.n_pixels)
    True
    """
    from massgraph.data.sources import JoinedSpectra

    if _n_values(arguments.input) > LARGE:
        with ExitStack() as opened:
            yield _open_all(arguments, opened)
        return
    spectra = read_all(arguments)
    # What has no count before it is read is in memory now, but the work on it is not.
    yield spectra if spectra.n_peaks <= LARGE else JoinedSpectra([spectra])


def _n_values(paths: list[Path]) -> int:
    """Count the peaks of those files that can be opened in place of being read."""
    counts = ((find_format(path).n_values, path) for path in paths)
    return sum(count(path) for count, path in counts if count is not None)


def read_all(arguments: argparse.Namespace) -> Spectra:
    """All inputs as one `Spectra`; each imzML file is a run of its own.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_inputs` makes them.

    Raises
    ------
    InputError
        Where a file cannot be read, is of another polarity than ``--polarity`` says, or is given
        twice; where the files differ in what spectra must share.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.inputs import read_all
    >>> from massgraph.cli.options import add_inputs
    >>> parser = argparse.ArgumentParser()
    >>> add_inputs(parser)
    >>> try:
    ...     read_all(parser.parse_args(["absent.h5ad"]))
    ... except ValueError as error:
    ...     print(error)
    absent.h5ad does not exist
    """
    from dataclasses import replace

    parts = [_read(path, arguments) for path in arguments.input]
    given = arguments.polarity
    for path, part in zip(arguments.input, parts, strict=True):
        if given and part.polarity not in (None, given):
            msg = f"{path} says that it is of {part.polarity} polarity, but --polarity is {given}"
            raise InputError(msg)
    if given:
        parts = [replace(part, polarity=given) for part in parts]
    if len({part.names is None for part in parts}) > 1:  # pixels of imzML have none
        parts = [replace(part, names=None) for part in parts]
    names = _names_apart(arguments.input, [part.run_names for part in parts])
    parts = [part.rename_runs(other) for part, other in zip(parts, names, strict=True)]
    try:
        return parts[0] if len(parts) == 1 else mg.Spectra.concatenate(parts)
    except InputError as error:
        msg = f"{', '.join(map(str, arguments.input))} cannot be joined: {error}"
        raise InputError(msg) from error


def _read(path: Path, arguments: argparse.Namespace) -> Spectra:
    format_ = find_format(path)
    return format_.read(path, **format_.taken(_options(arguments)))


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the user said about reading; each format takes what it knows of it."""
    read = {"profile": arguments.profile, "check_uuid": not arguments.ignore_uuid}
    return {**read, **choices(arguments), **columns(arguments)}


def choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Which spectra of a file are read, and what their numbers are, where the user says so.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_inputs` makes them.

    Raises
    ------
    InputError
        Where no input has such a choice.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.inputs import choices
    >>> from massgraph.cli.options import add_inputs
    >>> parser = argparse.ArgumentParser()
    >>> add_inputs(parser)
    >>> choices(parser.parse_args(["run.imzML", "--kind", "MS2"]))
    {'kind': 'MS2'}
    """
    found = {name: getattr(arguments, name) for name in ("polarity", "kind", "integers", "repeats")}
    formats = [find_format(path) for path in arguments.input]
    for name in ("kind", "integers", "repeats"):
        if found[name] is not None and not any(name in one.options for one in formats):
            msg = f"{arguments.input[0]}: --{name} says nothing of {formats[0].name} files"
            raise InputError(msg)
    return {name: value for name, value in found.items() if value is not None}


def columns(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where things are in files of tables, where the user says so.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_columns` makes them, and `input`.

    Raises
    ------
    InputError
        Where no input has such a place.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.inputs import columns
    >>> from massgraph.cli.options import add_inputs
    >>> parser = argparse.ArgumentParser()
    >>> add_inputs(parser)
    >>> columns(parser.parse_args(["run.h5ad", "--layer", "raw", "--coordinates", "none"]))
    {'layer': 'raw', 'coordinates': None}
    """
    said = {
        "mz": ("--mz-column", arguments.mz_column),
        "layer": ("--layer", arguments.layer),
        "coordinates": ("--coordinates", arguments.coordinates),
        "run": ("--run-column", arguments.run_column),
    }
    given = {name: value for name, (_, value) in said.items() if value is not None}
    formats = [find_format(path) for path in arguments.input]
    for name in given:
        if not any(name in one.options for one in formats):
            msg = f"{arguments.input[0]}: {formats[0].name} has no place for {said[name][0]}"
            raise InputError(msg)
    return {
        name: None if value == "none" and name in MAY_BE_NONE else value
        for name, value in given.items()
    }


def _names_apart(paths: list[Path], names: list[tuple[str, ...]]) -> list[dict[str, str]]:
    """Other names for runs that share one, by the folders of their files, or by these.

    Runs tell the pixels of files apart, in tables, splits and maps.
    """
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            msg = f"{path} is given twice"
            raise InputError(msg)
    counts = Counter(name for some in names for name in some)
    shared = {name for name, count in counts.items() if count > 1}
    apart = [
        {name: f"{_folder(place, places, name, names)}/{name}" for name in some if name in shared}
        for place, some in zip(places, names, strict=True)
    ]
    new = [other for some in apart for other in some.values()]
    if len(set(new)) < len(new) or set(new) & set(counts):
        msg = f"two inputs hold a run named {min(shared)!r}: rename one of the files"
        raise InputError(msg)
    if new:
        msg = f"several inputs hold a run named {', '.join(map(repr, sorted(shared)))}; they are "
        warnings.warn(f"{msg}called {', '.join(new)}", UserWarning, stacklevel=2)
    return apart


def _folder(place: Path, places: list[Path], name: str, names: list[tuple[str, ...]]) -> str:
    """The end of a folder's path by which it differs from others with such a run, or the file."""
    others = [
        one.parent.parts
        for one, some in zip(places, names, strict=True)
        if one != place and name in some
    ]
    parts = place.parent.parts
    lengths = range(1, len(parts) + 1)
    enough = (n for n in lengths if all(one[-n:] != parts[-n:] for one in others))
    n = next(enough, None)
    # Files of one folder that say themselves of which run they are, as h5ad does.
    return name_of(place) if n is None else "/".join(parts[-n:])


def _open_all(arguments: argparse.Namespace, opened: ExitStack) -> JoinedSpectra:
    """All inputs as one source; what is opened stays open until `opened` is closed."""
    from massgraph.data.sources import JoinedSpectra, runs

    sources: list[Pixels] = []
    for path in arguments.input:
        format_ = find_format(path)
        if format_.open is None:
            sources.append(_read(path, arguments))
        else:
            options = format_.taken(_options(arguments))
            sources.append(opened.enter_context(format_.open(path, **options)))
    found = [tuple(dict.fromkeys(runs(source).tolist())) for source in sources]
    names = _names_apart(arguments.input, found)
    return JoinedSpectra(sources, polarity=arguments.polarity, names=names)


# -------------------------------------------------------------------- labels


def find_labels(arguments: argparse.Namespace, spectra: Pixels) -> NDArray[np.object_]:
    """Find the label of each pixel, where ``--labels`` or ``--labels-column`` say.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_labels` and `add_inputs` make them.
    spectra
        What was read; of a source only the places are looked at.

    Returns
    -------
    numpy.ndarray
        Objects, shape ``(n_pixels,)``: text, or None for a pixel without a label.

    Raises
    ------
    InputError
        Where labels cannot be read or matched, or are of fewer than two classes.

    Examples
    --------
    >>> import argparse
    >>> import tempfile
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> from massgraph.cli.inputs import find_labels
    >>> from massgraph.cli.options import add_labels
    >>> parser = argparse.ArgumentParser()
    >>> _ = add_labels(parser)
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra[:2]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pd.DataFrame(spectra.coordinates, columns=["x", "y"]).assign(label=["a", "b"])
    ...     table.to_csv(f"{folder}/labels.csv", index=False)
    ...     arguments = parser.parse_args(["--labels", f"{folder}/labels.csv"])
    ...     print(find_labels(arguments, spectra))
    ['a' 'b']
    """
    labels = _labels(arguments, spectra)
    classes = sorted({label for label in labels if label is not None})
    if len(classes) < 2:
        source = arguments.input[0] if arguments.labels is None else arguments.labels
        msg = f"{source}: all labels are {classes[0]!r}, a classifier needs at least two classes"
        raise InputError(msg)
    return labels


def find_reference(arguments: argparse.Namespace, spectra: Pixels) -> NDArray[np.object_] | None:
    """Find labels to compare with, as `find_labels` does; None where there are none.

    Examples
    --------
    >>> import argparse
    >>> import massgraph as mg
    >>> from massgraph.cli.inputs import find_reference
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> find_reference(argparse.Namespace(labels=None, labels_column=None), spectra) is None
    True
    """
    if arguments.labels is None and arguments.labels_column is None:
        return None
    return _labels(arguments, spectra)


def _labels(arguments: argparse.Namespace, spectra: Pixels) -> NDArray[np.object_]:
    naming = {
        "missing": arguments.missing,
        "keep_missing": arguments.keep_missing,
        "names": arguments.label_names,
    }
    if arguments.keep_missing:
        # Settled: what a fit would say of such classes is no news.
        warnings.filterwarnings("ignore", message=NAMED_LIKE_MISSING)
    if arguments.labels is None:
        return _labels_column(arguments, naming)
    from massgraph.io.labels import match_labels, read_labels

    labels = read_labels(arguments.labels, pixel_size=arguments.label_pixel_size, **naming)
    return match_labels(labels, spectra, shift=arguments.label_shift)


def _labels_column(arguments: argparse.Namespace, naming: dict[str, Any]) -> NDArray[np.object_]:
    import numpy as np

    from massgraph.data.label_names import LabelNames

    path = arguments.input[0]
    # A column is that of one file; of several, a table says which run a label belongs to.
    labels = find_format(path).labels
    if len(arguments.input) != 1 or labels is None:
        holding = " or ".join(one.name for one in known_formats() if one.labels is not None)
        msg = f"--labels-column needs one {holding} file as input; use --labels with other files"
        raise InputError(msg)
    given = {
        "--label-shift": arguments.label_shift,
        "--label-pixel-size": arguments.label_pixel_size,
    }
    for option, value in given.items():
        if value is not None:
            msg = f"{option} is for --labels: the labels of a column are those of its own pixels"
            raise InputError(msg)
    found = labels(path, arguments.labels_column)
    source = f"{path}, column {arguments.labels_column}"
    read = np.array(LabelNames(**naming).read(found.tolist(), source, mask=False), dtype=object)
    if not any(label is not None for label in read):
        msg = f"{source}: all labels are missing"
        raise InputError(msg)
    return read
