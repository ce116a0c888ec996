"""Arguments of R's requests as what Python's functions take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from massgraph.chem.relations import Relations
from massgraph.data.sources import Pixels
from massgraph.r.cardinal import CardinalSpectra, open_cardinal
from massgraph.r.values import as_scalar, from_r

__all__ = [
    "Arguments",
    "classifier_settings",
    "opened",
    "pixels_of",
    "relations_of",
    "settings_of",
    "whole",
]

Arguments = Mapping[str, Any]

# R has one kind of number at the prompt; these settings are whole, and these are lists.
WHOLE = (
    *("augment", "batch_size", "epochs", "folds", "max_peaks", "patience", "random_state"),
    *("kmax", "max_ions", "min_pairs", "n_null"),
)
LISTS = ("branches", "features", "hidden", "mz_range")


def opened(arguments: Arguments) -> CardinalSpectra:
    """Open the image `x` of a request, with its `polarity` and `pixels_per_block`.

    Examples
    --------
    >>> from massgraph.r.arguments import opened
    >>> from massgraph.r.session import start
    >>> x = start().evalr('''
    ...     Cardinal::MSImagingExperiment(
    ...         matrix(c(5, 0, 2, 1, 4, 3), nrow = 3),
    ...         featureData = Cardinal::MassDataFrame(mz = c(255.2, 281.2, 283.3)),
    ...         pixelData = Cardinal::PositionDataFrame(data.frame(x = 1:2, y = 1)))
    ... ''')
    >>> nothing = start().NULL
    >>> opened({"x": x, "polarity": nothing, "pixels_per_block": nothing}).n_pixels
    2
    """
    size = as_scalar(arguments["pixels_per_block"])
    return open_cardinal(
        arguments["x"],
        polarity=as_scalar(arguments["polarity"]),
        pixels_per_block=None if size is None else int(size),
    )


def pixels_of(arguments: Arguments) -> Pixels:
    """The pixels of a request as `opened`; in memory, which is quicker, where one block holds them.

    Examples
    --------
    As for `opened`.
    """
    source = opened(arguments)
    return source.spectra() if source.n_pixels <= source.pixels_per_block else source


def classifier_settings(x: Any) -> dict[str, Any]:
    """Settings of RGCN in R as those of `RGCNClassifier`.

    Examples
    --------
    >>> from massgraph.r.arguments import classifier_settings
    >>> from massgraph.r.session import start
    >>> classifier_settings(start().evalr("list(epochs = 4, hidden = 8)"))
    {'epochs': 4, 'hidden': [8]}
    """
    given = settings_of(x)
    # R has no scalars: a vector of one value has come as a number.
    for name in LISTS:
        if given.get(name) is not None:
            given[name] = [whole(item) for item in np.atleast_1d(given[name]).tolist()]
    if given.get("relations") is not None:
        given["relations"] = relations_of(given["relations"])
    return given


def relations_of(table: pd.DataFrame) -> Relations:
    """Relations of a table with `name`, `formula`, `kind` and `mass`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.arguments import relations_of
    >>> table = mg.default_relations("positive").to_frame()
    >>> relations_of(table).names == mg.default_relations("positive").names
    True
    """
    return Relations.from_dict(
        {f"{name}s": table[name].tolist() for name in ("name", "formula", "kind")}
        | {"masses": table["mass"].tolist()}
    )


def settings_of(x: Any) -> dict[str, Any]:
    """A named list of settings, those that count something as whole numbers.

    Examples
    --------
    >>> from massgraph.r.arguments import settings_of
    >>> from massgraph.r.session import start
    >>> settings_of(start().evalr("list(epochs = 4, learning_rate = 0.5)"))
    {'epochs': 4, 'learning_rate': 0.5}
    """
    values: dict[str, Any] = from_r(x)
    return {name: whole(v) if name in WHOLE else v for name, v in values.items()}


def whole(value: Any) -> Any:
    """A number without a fraction as an integer; anything else as it is.

    Examples
    --------
    >>> from massgraph.r.arguments import whole
    >>> whole(4.0), whole(4.5)
    (4, 4.5)
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value
