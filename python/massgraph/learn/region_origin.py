"""What regions were found in, and what was asked for besides the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations
from massgraph.versions import package_versions

__all__ = ["RegionOrigin", "check_region_data", "region_data"]


@dataclass(frozen=True, eq=False)
class RegionOrigin:
    """Where a model of regions came from.

    Parameters
    ----------
    fingerprint
        `Spectra.fingerprint` of the pixels; None where they were read block by block.
    data
        Counts that describe the pixels, as `region_data` gives them; empty where unknown.
    relations
        Those that were given; None for those of the polarity.
    random_state
        The seed; None for a fresh one.
    begun
        Whether the fit began at labels, which leave nothing to search for.
    neighbours_given
        Whether neighbours were given, in place of those within the radius.
    mz
        m/z of the columns, where the fit was given a matrix.
    columns
        Their names, where it was a table that has some.

    Examples
    --------
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> origin = mg.SpatialRegions(n_regions=3).fit(spectra).region_model_.origin
    >>> origin.data["n_pixels"], origin.random_state
    (144, 0)
    """

    fingerprint: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    relations: Relations | None = None
    random_state: int | None = None
    begun: bool = False
    neighbours_given: bool = False
    mz: NDArray[np.float64] | None = None
    columns: tuple[str, ...] | None = None


def region_data(off: NDArray[np.float64], run: NDArray[np.str_]) -> dict[str, Any]:
    """Describe the pixels of a fit by counts; names of runs stay out, as they may be a patient's.

    Parameters
    ----------
    off, run
        Probability of being off tissue, NaN without known ions, and run of each pixel.

    Returns
    -------
    dict
        Values that JSON can hold: `versions` of packages, `n_pixels`, `n_tissue`, `n_empty` (those
        without known ions) and `n_runs`.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.region_origin import region_data
    >>> found = region_data(np.array([0.0, 0.1, 0.9, np.nan]), np.array(["a", "a", "b", "b"]))
    >>> found["n_tissue"], found["n_empty"], found["n_runs"]
    (2, 1, 2)
    """
    return {
        "versions": package_versions(),
        "n_pixels": len(off),
        "n_tissue": int((off < 0.5).sum()),
        "n_empty": int(np.isnan(off).sum()),
        "n_runs": len(np.unique(run)),
    }


def check_region_data(table: Any) -> None:
    """Refuse a table that `region_data` cannot have made; InputError names key and value.

    Examples
    --------
    >>> from massgraph.learn.region_origin import check_region_data
    >>> check_region_data({"n_runs": 1})
    Traceback (most recent call last):
    massgraph._util.errors.InputError: provenance: the key 'n_empty' is missing
    """
    if table == {}:
        return
    tests: dict[str, Callable[[Any], bool]] = {
        "versions": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
        "n_pixels": lambda value: _is_count(value) and value > 0,
        "n_tissue": lambda value: _is_count(value) and value <= table["n_pixels"],
        "n_empty": lambda value: _is_count(value) and value <= table["n_pixels"],
        "n_runs": lambda value: _is_count(value) and 0 < value <= table["n_pixels"],
    }
    wrong = sorted(tests.keys() ^ set(table))
    if wrong:
        msg = f"provenance: the key {wrong[0]!r} is {'unknown' if wrong[0] in table else 'missing'}"
        raise InputError(msg)
    for name, fits in tests.items():
        if not fits(table[name]):
            msg = f"provenance: {name} is {table[name]!r:.80}, which a fit cannot have given"
            raise InputError(msg)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    # The very type, not `isinstance`, for which True would be a number.
    return type(value) is int and value >= 0
