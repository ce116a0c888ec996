"""Which pixels belong together: the column that ``--group-column`` names."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from massgraph._util.errors import InputError
from massgraph.io.formats import find_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from massgraph.data.sources import Pixels

__all__ = ["find_groups"]

ENCODINGS = ("utf-8-sig", "cp1252")
Rows = dict[tuple[float, float, str | None], tuple[str, int]]
"""Group and line by place and run."""


def find_groups(
    arguments: argparse.Namespace, spectra: Pixels, labels: NDArray[np.object_]
) -> NDArray[np.object_] | None:
    """Find the group of each pixel, where ``--group-column`` names a column.

    Parameters
    ----------
    arguments
        As `massgraph.cli.options.add_groups`, `add_labels` and `add_inputs` make them.
    spectra
        What was read; of a source only the places are looked at.
    labels
        Label of each pixel: where there is one, there must be a group.

    Returns
    -------
    numpy.ndarray or None
        Objects, shape ``(n_pixels,)``: text, empty for a pixel without a label.

    Raises
    ------
    InputError
        Where there is no such column, or a labelled pixel has no group.

    Examples
    --------
    >>> import argparse
    >>> import massgraph as mg
    >>> from massgraph.cli.groups import find_groups
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> find_groups(argparse.Namespace(group_column=None), spectra, labels) is None
    True
    """
    column = arguments.group_column
    if column is None:
        return None
    if arguments.labels is None:
        path = arguments.input[0]
        read = find_format(path).labels
        if read is None:  # as for the labels themselves, which come first
            msg = f"{path}: --group-column needs --labels, or a file with columns"
            raise InputError(msg)
        groups = read(path, column)
    else:
        groups = _from_table(arguments, spectra)
    lost = [at for at, label in enumerate(labels) if label is not None and groups[at] is None]
    if lost:
        source = arguments.input[0] if arguments.labels is None else arguments.labels
        msg = f"{source}: {len(lost)} labelled pixels, the first {lost[0]}, have no {column!r}"
        raise InputError(msg)
    groups[[group is None for group in groups]] = ""
    return groups


def _from_table(arguments: argparse.Namespace, spectra: Pixels) -> NDArray[np.object_]:
    import numpy as np

    from massgraph.io.labels import Labels, match_labels

    path = arguments.labels
    found: Rows = {}
    for line, place, group in _rows(path, arguments.group_column):
        found.setdefault(place, (group, line))
    if not found:
        msg = f"{path}: the column {arguments.group_column!r} is empty"
        raise InputError(msg)
    x, y, run = zip(*found, strict=True)
    groups, lines = zip(*found.values(), strict=True)
    table = Labels(
        x=np.asarray(x, dtype=np.float64),
        y=np.asarray(y, dtype=np.float64),
        label=np.asarray(groups, dtype=object),
        run=None if run[0] is None else np.asarray(run, dtype=object),
        line=np.asarray(lines, dtype=np.int64),
        source=str(path),
    )
    return match_labels(table, spectra)


def _rows(path: Path, column: str) -> Iterator[tuple[int, tuple[float, float, str | None], str]]:
    """Line, place and group of each row that has a group."""
    text = _text(path)
    header = next(filter(str.strip, text.splitlines()), "")
    separator = max((",", "\t", ";"), key=header.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip() for name in table.fieldnames or ()]
    if column not in names or not {"x", "y"} <= {name.lower() for name in names}:
        msg = f"{path}: has no column {column!r} beside x and y, of {names}"
        raise InputError(msg)
    for row in table:
        fields = {str(name).strip(): str(value or "").strip() for name, value in row.items()}
        plain = {name.lower(): value for name, value in fields.items()}
        if not fields[column]:
            continue
        try:
            place = (float(plain["x"]), float(plain["y"]), plain.get("run"))
        except ValueError as error:
            msg = f"{path}, line {table.line_num}: {error}"
            raise InputError(msg) from None
        yield table.line_num, place, fields[column]


def _text(path: Path) -> str:
    # The labels were read from it before: it is there, and a table.
    content = path.read_bytes()
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")
