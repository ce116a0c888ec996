"""The data that a model was fitted to, in numbers that may be passed on with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra
from massgraph.data.splits import RUNS_ENOUGH
from massgraph.versions import package_versions

__all__ = ["check_provenance", "provenance"]

HELD_OUT_BY = ("groups", "runs", "blocks", "pixels")


def provenance(
    spectra: Spectra,
    codes: NDArray[np.int64],
    training: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    *,
    n_classes: int,
    grouped: bool,
    as_published: bool,
) -> dict[str, Any]:
    """Describe the data of a fit by counts; names of runs stay out, as they may be a patient's.

    Parameters
    ----------
    spectra
        All pixels of the fit, preprocessed.
    codes
        Class of each pixel, -1 where unlabelled.
    training, validation
        Pixels learnt from, and held out.
    n_classes
        Number of classes.
    grouped
        Whether the user named the groups that were held out.
    as_published
        Whether pixels were held out one by one, as the published code does.

    Returns
    -------
    dict
        Values that JSON can hold; `check_provenance` says which.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.provenance import provenance
    >>> simulation = mg.simulate("tiny", n_runs=1)
    >>> names, codes = np.unique(simulation.truth, return_inverse=True)
    >>> held_out = np.arange(len(codes)) % 4 == 0
    >>> options = {"n_classes": len(names), "grouped": False, "as_published": False}
    >>> found = provenance(simulation.spectra, codes, ~held_out, held_out, **options)
    >>> found["held_out_by"], sum(found["training_per_class"])
    ('blocks', 108)
    """
    # Of these alone: a fit to a source reads no others, and its card should say the same.
    learnt = spectra[training | validation]
    runs = len(np.unique(learnt.run))
    held_out_by = "groups"
    if not grouped:
        # As `default_groups` chooses where the user names no groups.
        alone = as_published or (spectra.coordinates is None and runs < RUNS_ENOUGH)
        held_out_by = "pixels" if alone else "runs" if runs >= RUNS_ENOUGH else "blocks"
    counts = {
        name: np.bincount(codes[rows], minlength=n_classes).tolist()
        for name, rows in (("training", training), ("held_out", validation))
    }
    return {
        "versions": package_versions(),
        "n_runs": runs,
        "mz_range": [float(learnt.mz.min()), float(learnt.mz.max())],
        "median_peaks": float(np.median(learnt.peak_counts)),
        "held_out_by": held_out_by,
        "training_per_class": counts["training"],
        "held_out_per_class": counts["held_out"],
    }


def check_provenance(table: Any, n_classes: int, n_training: int, n_validation: int) -> None:
    """Refuse a table that `provenance` cannot have made; ValueError names key and value.

    Examples
    --------
    >>> from massgraph.learn.provenance import check_provenance
    >>> check_provenance({"n_runs": 0}, n_classes=2, n_training=10, n_validation=0)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: provenance: the key 'held_out_by' is missing
    """
    counts = {"training_per_class": n_training, "held_out_per_class": n_validation}
    tests: dict[str, Callable[[Any], bool]] = {
        "versions": _is_texts,
        "n_runs": lambda value: type(value) is int and value > 0,
        "mz_range": _is_range,
        "median_peaks": _is_number,
        "held_out_by": lambda value: value in HELD_OUT_BY,
        **dict.fromkeys(counts, lambda value: _is_counts(value, n_classes)),
    }
    wrong = sorted(tests.keys() ^ set(table))
    if wrong:
        msg = f"provenance: the key {wrong[0]!r} is {'unknown' if wrong[0] in table else 'missing'}"
        raise InputError(msg)
    for name, fits in tests.items():
        if not fits(table[name]) or (name in counts and sum(table[name]) != counts[name]):
            msg = f"provenance: {name} is {table[name]!r:.80}, which a fit cannot have given"
            raise InputError(msg)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_number(value: Any) -> bool:
    # The very type, not `isinstance`, for which True would be a number.
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(_is_number, value))
        and value[0] <= value[1]
    )


def _is_counts(value: Any, n_classes: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == n_classes
        and all(type(count) is int and count >= 0 for count in value)
    )
