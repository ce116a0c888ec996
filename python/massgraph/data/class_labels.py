"""Labels as users give them, turned into classes and codes; groups and seeds likewise."""

from __future__ import annotations

import shlex
import warnings
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from massgraph._util.advice import advise
from massgraph._util.errors import InputError

__all__ = [
    "check_classes",
    "check_weights",
    "encode_labels",
    "encode_shares",
    "group_codes",
    "is_shares",
    "label_array",
    "seed_number",
    "seed_of",
]


def encode_labels(y: Any, n_pixels: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sorted classes and the code of each pixel, -1 where the label is missing.

    Raises
    ------
    InputError
        Where there is no label, or not one for each pixel, or labels are of several types.

    Examples
    --------
    >>> from massgraph.data.class_labels import encode_labels
    >>> classes, codes = encode_labels(["tumour", None, "stroma", "tumour"], 4)
    >>> classes.tolist(), codes.tolist()
    (['stroma', 'tumour'], [1, -1, 0, 1])
    """
    if y is None:
        msg = "a classifier requires y to be passed, but the target y is None"
        raise InputError(msg)
    values = label_array(y)
    if values.ndim == 2 and values.shape[1] == 1:
        msg = "A column-vector y was passed when a 1d array was expected: its column is taken"
        warnings.warn(msg, DataConversionWarning, stacklevel=3)
        values = values[:, 0]
    if values.shape != (n_pixels,):
        msg = f"y has shape {values.shape}, need one label for each of {n_pixels} pixels"
        raise InputError(msg)
    known = ~pd.isna(values)
    if not known.any():
        msg = "no pixel has a label"
        raise InputError(msg)
    labels = values[known]
    if labels.dtype.kind == "O":
        _check_one_type(labels)
    # Objects become what they are, and text no wider than the longest label.
    labels = np.asarray(labels.tolist()) if labels.dtype.kind in "OU" else labels
    try:
        check_classification_targets(labels)
    except ValueError as error:  # its words, which say "continuous" of 0.5, and our class
        raise InputError(str(error)) from error
    if labels.dtype.kind not in "Uiufb":
        msg = f"labels are of type {labels.dtype}: use text, whole numbers or truth values"
        raise InputError(msg)
    classes, present = np.unique(labels, return_inverse=True)
    codes = np.full(n_pixels, -1, dtype=np.int64)
    codes[known] = present.reshape(-1)
    return classes, codes


def is_shares(y: Any) -> bool:
    """Whether labels are shares of classes: a table of two columns or more.

    Examples
    --------
    >>> from massgraph.data.class_labels import is_shares
    >>> is_shares([[0.3, 0.7], [1.0, 0.0]]), is_shares(["stroma", "tumour"])
    (True, False)
    """
    if isinstance(y, (list, tuple)):
        first = y[0] if y else None
        return isinstance(first, (list, tuple, np.ndarray)) and len(first) > 1
    shape: tuple[int, ...] = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


def encode_shares(y: Any, n_pixels: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Classes, and the share that each pixel has of each, zeros where it is unlabelled.

    Parameters
    ----------
    y
        Shape ``(n_pixels, n_classes)``: rows that sum to one, or are missing throughout. The
        columns of a DataFrame name the classes, otherwise their numbers do.
    n_pixels
        Number of pixels.

    Raises
    ------
    InputError
        For another shape, a share below zero, or a row that does not sum to one: it names pixel
        and value.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.data.class_labels import encode_shares
    >>> table = pd.DataFrame({"tumour": [0.25, 1.0], "stroma": [0.75, 0.0]})
    >>> classes, shares = encode_shares(table, 2)
    >>> classes.tolist(), shares.tolist()
    (['stroma', 'tumour'], [[0.75, 0.25], [0.0, 1.0]])
    """
    names: list[Any]
    try:
        if isinstance(y, pd.DataFrame):
            names, shares = list(y.columns), y.to_numpy(np.float64, copy=True, na_value=np.nan)
        else:
            shares = np.array(label_array(y), dtype=np.float64)
            names = list(range(shares.shape[1]))
    except (TypeError, ValueError) as error:
        msg = "y is a table, but not of numbers throughout: give shares, or one label a pixel"
        raise InputError(msg) from error
    if len(shares) != n_pixels:
        msg = f"y has {len(shares)} rows, need shares of the classes for each of {n_pixels} pixels"
        raise InputError(msg)
    missing = np.isnan(shares).all(axis=1)
    shares[missing] = 0.0
    # Shares that were float32 once add up to one but for the last digits.
    wrong = ~missing & ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < 1e-6))
    if wrong.any():
        pixel = int(np.argmax(wrong))
        msg = (
            f"pixel {pixel}: shares {shares[pixel].tolist()} are not positive numbers that sum to 1"
        )
        raise InputError(msg)
    if missing.all():
        msg = "no pixel has a label"
        raise InputError(msg)
    # Sorted as labels are, so that predictions have the same columns whichever of the two is given.
    classes, place = encode_labels(names, len(names))
    if len(classes) != len(names):
        msg = f"the columns of y are not all different: {names}"
        raise InputError(msg)
    return classes, shares[:, np.argsort(place)]


def check_weights(sample_weight: Any, n_pixels: int) -> NDArray[np.float64] | None:
    """Weights of the pixels, None where all count the same.

    Raises
    ------
    InputError
        Unless there is one finite number of zero or more for each pixel, and one above zero.

    Examples
    --------
    >>> from massgraph.data.class_labels import check_weights
    >>> check_weights([1, 0, 2], 3).tolist()
    [1.0, 0.0, 2.0]
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"sample_weight is not of numbers throughout: {error}"
        raise InputError(msg) from error
    if weights.shape != (n_pixels,):
        msg = f"sample_weight has shape {weights.shape}, need one for each of {n_pixels} pixels"
        raise InputError(msg)
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        pixel = int(np.argmax(bad))
        msg = f"sample_weight of pixel {pixel} is {weights[pixel]}, need zero or more"
        raise InputError(msg)
    if not weights.any():
        msg = "sample_weight is zero for all pixels: there is nothing to learn from"
        raise InputError(msg)
    return weights


def label_array(y: Any) -> NDArray[Any]:
    """Labels as an array in which missing values stay missing, and whole numbers whole.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.data.class_labels import label_array
    >>> label_array(pd.array([3, None, 5], dtype="Int64")).tolist()
    [3, <NA>, 5]
    """
    if isinstance(y, np.ma.MaskedArray):
        labels: NDArray[Any] = y.data.astype(object)
        labels[np.ma.getmaskarray(y)] = None
        return labels
    # As text a NaN in a list would be the label "nan".
    if isinstance(y, (list, tuple)):
        return np.asarray(y, dtype=object)
    # Integers of a Categorical or of Int64 would become floats where some are missing.
    if isinstance(y, pd.Categorical) or pd.api.types.is_extension_array_dtype(y):
        return pd.Series(y).astype(object).to_numpy()
    return np.asarray(y)


def _check_one_type(labels: NDArray[Any]) -> None:
    """Refuse 0 beside "0", or 1 beside True, which would become one class."""
    examples: dict[str, Any] = {}
    for label in labels:
        kind = type(label).__name__
        if isinstance(label, (bool, np.bool_)):
            kind = "truth value"
        elif isinstance(label, str):
            kind = "text"
        elif isinstance(label, Real):
            kind = "number"
        examples.setdefault(kind, label)
    if len(examples) > 1:
        shown = ", ".join(f"{label!r} ({kind})" for kind, label in examples.items())
        msg = f"labels are of several types, {shown}: make them all text or all numbers"
        raise InputError(msg)


def group_codes(groups: Any, rows: NDArray[np.int64], n_pixels: int) -> NDArray[np.int64]:
    """Codes of the groups of the labelled pixels `rows`.

    Raises
    ------
    InputError
        Where there is not one group for each pixel, or a labelled pixel has none.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.class_labels import group_codes
    >>> group_codes(["slide2", "slide1", None], np.array([0, 1]), 3).tolist()
    [1, 0]
    """
    values = label_array(groups)
    if values.shape != (n_pixels,):
        msg = f"groups have shape {values.shape}, need one for each of {n_pixels} pixels"
        raise InputError(msg)
    # Of labelled pixels alone: the others take part in no fold and need no group.
    codes = pd.factorize(values[rows], sort=True)[0]
    if (codes < 0).any():
        pixel = rows[np.argmin(codes)]
        msg = f"pixel {pixel} has a label but no group (it is {values[pixel]}): give it one"
        raise InputError(msg)
    return np.asarray(codes, dtype=np.int64)


def check_classes(codes: NDArray[np.int64], classes: NDArray[Any]) -> None:
    """Refuse labels of one class only, or a class that fewer than two pixels have.

    Raises
    ------
    ValueError
        Naming the class.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.class_labels import check_classes
    >>> check_classes(np.array([0, 0, 1]), np.array(["stroma", "tumour"]))
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: class 'tumour' has 1 labelled pixel with peaks: ...
    """
    counts = np.bincount(codes, minlength=len(classes))
    if len(counts) < 2:
        msg = (
            f"labelled pixels are of one class only, {classes.tolist()}: a classifier needs at "
            "least two classes"
        )
        raise InputError(msg)
    few = np.flatnonzero(counts < 2)
    if few.size:
        name = classes.tolist()[few[0]]
        way = advise(
            "give None for it", cli=f"--missing {shlex.quote(str(name))}", r="give NA for it"
        )
        msg = (
            f"class {name!r} has {counts[few[0]]} labelled pixel with peaks: at least 2 are "
            f"needed, one to learn from and one to check on; label more, or leave it out ({way})"
        )
        raise InputError(msg)


def seed_of(random_state: Any) -> int | None:
    """Whole number to seed from, or None for none; a generator that is given is advanced.

    Raises
    ------
    InputError
        For anything but a whole number of 0 or more, a RandomState or None.

    Examples
    --------
    >>> from massgraph.data.class_labels import seed_of
    >>> seed_of(7)
    7
    """
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    # Not scikit-learn's check_random_state: of None it makes numpy's global state, the caller's.
    if random_state is None:
        return None
    if not isinstance(random_state, (int, np.integer)) or random_state < 0:
        msg = f"random_state {random_state!r} is no whole number of 0 or more, RandomState or None"
        raise InputError(msg)
    return int(random_state)


def seed_number(random_state: Any) -> int | None:
    """The seed as JSON can hold it; None where there is no number.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.data.class_labels import seed_number
    >>> seed_number(np.int64(7)), seed_number(np.random.RandomState(7))
    (7, None)
    """
    return int(random_state) if isinstance(random_state, (int, np.integer)) else None
