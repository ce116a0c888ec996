"""What the commands of the command line read: files, in memory or block by block, and labels."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import massgraph as mg
from massgraph._util.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from massgraph.data.sources import JoinedSpectra, SpectraSource
    from massgraph.data.spectra import Spectra

__all__ = ["find_labels", "inputs", "places", "read_all", "read_file"]

# Bytes of binary data from which imzML files are read block by block: some ten million peaks, which
# with graphs and activations take more than 2 GB in memory.
LARGE = 1 << 27


def read_all(arguments: argparse.Namespace) -> Spectra:
    """All inputs as one Spectra; each imzML file is a run of its own."""
    from dataclasses import replace

    options = {"profile": arguments.profile, "check_uuid": not arguments.ignore_uuid}
    parts = [read_file(path, **options) for path in arguments.input]
    given = arguments.polarity
    for path, part in zip(arguments.input, parts, strict=True):
        if given and part.polarity not in (None, given):
            msg = f"{path} says that it is of {part.polarity} polarity, but --polarity is {given}"
            raise InputError(msg)
    if given:
        parts = [replace(part, polarity=given) for part in parts]
    names = [name for part in parts for name in part.run_names]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        msg = f"two inputs hold a run named {repeated!r}: rename one of the files"
        raise InputError(msg)
    try:
        return parts[0] if len(parts) == 1 else mg.Spectra.concatenate(parts)
    except ValueError as error:
        msg = f"{', '.join(map(str, arguments.input))} cannot be joined: {error}"
        raise InputError(msg) from error


@contextmanager
def inputs(arguments: argparse.Namespace) -> Iterator[Spectra | JoinedSpectra]:
    """All inputs in memory, or block by block where their imzML files are large: open within."""
    if not _is_large(arguments.input):
        yield read_all(arguments)
        return
    with ExitStack() as opened:
        yield _open_all(arguments, opened)


def places(spectra: Spectra | JoinedSpectra) -> Spectra:
    """Where the pixels are, of which run and polarity."""
    return spectra if isinstance(spectra, mg.Spectra) else spectra.places()


def _is_large(paths: list[Path]) -> bool:
    """Whether the imzML files together are better not read into memory."""
    from massgraph.io._ibd import find_ibd

    runs = [path for path in paths if path.suffix.lower() == ".imzml" and path.is_file()]
    return sum(find_ibd(path).stat().st_size for path in runs) > LARGE


def _open_all(arguments: argparse.Namespace, opened: ExitStack) -> JoinedSpectra:
    """All inputs as one source; imzML files stay open until `opened` is closed."""
    from massgraph.data.sources import JoinedSpectra

    sources: list[SpectraSource | Spectra] = []
    options = {"profile": arguments.profile, "check_uuid": not arguments.ignore_uuid}
    for path in arguments.input:
        if path.suffix.lower() == ".h5ad":
            sources.append(read_file(path))
        else:
            sources.append(opened.enter_context(mg.open_imzml(path, **options)))
    return JoinedSpectra(sources, polarity=arguments.polarity)


def read_file(path: Path, **imzml_options: Any) -> Spectra:
    """One file: h5ad by its name, else imzML."""
    if path.suffix.lower() == ".h5ad":
        from massgraph.io.anndata import read_anndata

        return read_anndata(path)
    return mg.read_imzml(path, **imzml_options)


def find_labels(arguments: argparse.Namespace, spectra: Spectra) -> NDArray[np.object_]:
    """Label of each pixel, None where it has none; of two classes at least."""
    if arguments.labels is not None:
        from massgraph.io.labels import match_labels, read_labels

        source, labels = arguments.labels, match_labels(read_labels(arguments.labels), spectra)
    else:
        source, labels = arguments.input[0], _labels_column(arguments)
    classes = sorted({label for label in labels if label is not None})
    if len(classes) < 2:
        msg = f"{source}: all labels are {classes[0]!r}, a classifier needs at least two classes"
        raise InputError(msg)
    return labels


def _labels_column(arguments: argparse.Namespace) -> NDArray[np.object_]:
    from massgraph.io.anndata import AnnDataError, labels_from_obs, open_h5ad

    path = arguments.input[0]
    if len(arguments.input) != 1 or path.suffix.lower() != ".h5ad":
        msg = "--labels-column needs one h5ad file as input; use --labels with imzML files"
        raise InputError(msg)
    adata = open_h5ad(path)
    try:
        return labels_from_obs(adata, arguments.labels_column)
    except AnnDataError as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error
