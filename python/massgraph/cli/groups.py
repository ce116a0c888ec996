"""Which pixels belong together: the column that ``--group-column`` names."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from massgraph._util.errors import InputError
from massgraph.io.formats import find_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from massgraph.data.sources import Pixels

__all__ = ["find_groups"]


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
    from massgraph.io.labels import match_labels, read_labels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the labels of this table have been warned of
        groups = read_labels(
            arguments.labels,
            column=arguments.group_column,
            pixel_size=arguments.label_pixel_size,
            keep_missing=True,
        )
        return match_labels(groups, spectra, shift=arguments.label_shift)
