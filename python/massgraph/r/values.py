"""R's vectors as numpy arrays without a copy, and Python's values as new R objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph.r.session import function, start

__all__ = ["as_scalar", "as_text", "column", "factor", "from_r", "to_r", "view"]

# R marks a missing integer, truth value or level by the smallest number there is.
NA_INTEGER = np.iinfo(np.int32).min
LARGEST_WHOLE = 2**53  # above it doubles have gaps


def view(x: Any) -> NDArray[Any]:
    """View a numeric R vector, matrix or array as a read-only numpy array over R's own memory.

    Parameters
    ----------
    x
        A vector of doubles, integers or truth values. Integers and truth values are int32,
        and `NA_INTEGER` where missing.

    Returns
    -------
    numpy.ndarray
        In R's shape and order (matrices column by column). It is valid as long as `x` is.

    Raises
    ------
    TypeError
        For anything that is not a numeric vector.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import view
    >>> matrix = view(start().evalr("matrix(1:6, nrow = 2)"))
    >>> matrix[0].tolist(), matrix.flags.writeable
    ([1, 3, 5], False)
    """
    rinterface = start()
    kinds = (
        rinterface.FloatSexpVector,
        rinterface.IntSexpVector,
        rinterface.BoolSexpVector,
    )
    if not isinstance(x, kinds):
        msg = f"an R object of type {type(x).__name__} is not numeric"
        raise InputTypeError(msg)
    # An empty vector has no memory that could be looked at.
    if len(x) == 0:
        dim = x.do_slot("dim") if "dim" in x.list_attrs() else (0,)
        return np.empty(tuple(dim), dtype=np.float64)
    array: NDArray[Any] = np.asarray(x.memoryview())
    array.flags.writeable = False  # writing would change the object in R, for all that hold it
    return array


def as_text(x: Any) -> list[str | None]:
    """Read an R character vector (or factor) as text, None where missing.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import as_text
    >>> as_text(start().evalr("c('tumour', NA)"))
    ['tumour', None]
    """
    rinterface = start()
    if isinstance(x, rinterface.IntSexpVector) and "levels" in x.list_attrs():
        codes, levels = factor(x)
        return [None if code < 0 else levels[code] for code in codes]
    # R keeps each text in an encoding of its own; Python is given UTF-8.
    values = function("enc2utf8")(function("as.character")(x))
    return [None if value is rinterface.NA_Character else str(value) for value in values]


def factor(x: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Read an R factor: codes from zero, -1 where missing, and the levels.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import factor
    >>> codes, levels = factor(start().evalr("factor(c('b', NA, 'a'))"))
    >>> codes.tolist(), levels
    ([1, -1, 0], ['a', 'b'])
    """
    codes = view(x).astype(np.int64)
    levels = as_text(function("levels")(x))
    return np.where(codes == NA_INTEGER, -1, codes - 1), [str(level) for level in levels]


def as_scalar(x: Any) -> Any:
    """Read the only element of an R vector, None for NULL and NA.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import as_scalar
    >>> as_scalar(start().evalr("'positive'")), as_scalar(start().evalr("NA"))
    ('positive', None)
    """
    rinterface = start()
    if x is rinterface.NULL:
        return None
    (value,) = x
    missing = (rinterface.NA_Character, rinterface.NA_Integer, rinterface.NA_Logical)
    if any(value is na for na in missing) or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(x, rinterface.BoolSexpVector):
        return bool(value)
    return value


def from_r(x: Any) -> Any:
    """Copy an R value into a Python value.

    NULL becomes None; a data frame a DataFrame; a named list a dictionary, another list a list; a
    raw vector bytes; a single number, truth value or text without dimensions a scalar; other
    vectors as of `column`.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import from_r
    >>> from_r(start().evalr("list(method = 'RGCN', r = 1, scale = TRUE)"))
    {'method': 'RGCN', 'r': 1.0, 'scale': True}
    """
    rinterface = start()
    if x is rinterface.NULL:
        return None
    if isinstance(x, rinterface.ByteSexpVector):
        return bytes(x)
    if isinstance(x, rinterface.ListSexpVector):
        return _list_from_r(x)
    values = column(x)
    single = isinstance(values, np.ndarray) and values.ndim == 1 and values.size == 1
    return values.item() if single else values


def column(x: Any) -> NDArray[Any] | pd.Categorical:
    """Copy an R vector, of whatever length, into an array; a factor into a Categorical.

    Missing truth values are False, missing text None, missing numbers NaN; a matrix keeps its
    shape.

    Examples
    --------
    >>> from massgraph.r.session import start
    >>> from massgraph.r.values import column
    >>> column(start().evalr("c(1L, NA)")).tolist()
    [1.0, nan]
    """
    rinterface = start()
    if isinstance(x, rinterface.StrSexpVector):
        return np.array(as_text(x), dtype=object)
    if "levels" in x.list_attrs():
        codes, levels = factor(x)
        return pd.Categorical.from_codes(codes, categories=pd.Index(levels, dtype=object))
    values = np.array(view(x))
    if isinstance(x, rinterface.BoolSexpVector):
        return np.asarray(values == 1)
    if values.dtype.kind == "i" and (values == NA_INTEGER).any():
        return np.where(values == NA_INTEGER, np.nan, values)
    return values


def _list_from_r(x: Any) -> Any:
    if "names" not in x.list_attrs():
        return [from_r(value) for value in x]
    is_table = "data.frame" in x.rclass
    items = zip(as_text(x.names), x, strict=True)
    named = {str(name): column(value) if is_table else from_r(value) for name, value in items}
    return pd.DataFrame(named) if is_table else named


def to_r(value: Any) -> Any:
    """Copy a Python value into a new R object.

    Parameters
    ----------
    value
        None, truth values, numbers, text, bytes (raw), numpy arrays (numbers, truth values or text;
        matrices and vectors), pandas DataFrame, Categorical, Series, mappings (named lists) and
        other sequences (lists). What is an R object already stays as it is.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.r.values import from_r, to_r
    >>> x = to_r({"mz": np.array([255.2, 281.2]), "polarity": "negative"})
    >>> from_r(x)
    {'mz': array([255.2, 281.2]), 'polarity': 'negative'}
    """
    rinterface = start()
    if isinstance(value, rinterface.Sexp):
        return value
    if isinstance(value, (bool, int, float, str, np.generic)):
        value = np.array([value])
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    msg = f"a {type(value).__name__} has no form in R"
    raise InputTypeError(msg)


# R stores matrices column by column, hence order="F" throughout.
def _array(values: NDArray[Any]) -> Any:
    kind = values.dtype.kind
    if kind in "OUS":
        vector = _strings(values)
    elif kind == "b":
        vector = function("as.logical")(_from_buffer(values.ravel(order="F").astype(np.int32)))
    elif kind == "u" and values.dtype.itemsize == 1:
        vector = _from_buffer(values.ravel(order="F"))
    elif kind in "iu":
        vector = _integers(values)
    elif kind == "f":
        vector = _from_buffer(values.astype(np.float64).ravel(order="F"))
    else:
        msg = f"an array of {values.dtype} has no form in R"
        raise InputTypeError(msg)
    if values.ndim > 1:
        shape = start().IntSexpVector(list(values.shape))
        vector = function("array")(vector, dim=shape)
    return vector


def _integers(values: NDArray[Any]) -> Any:
    """Whole numbers, as doubles where they exceed R's integers."""
    flat = values.ravel(order="F")
    short = flat.size == 0 or (flat.max() <= 2**31 - 1 and flat.min() > NA_INTEGER)
    if not short and (flat.max() > LARGEST_WHOLE or flat.min() < -LARGEST_WHOLE):
        value = max(flat.tolist(), key=abs)
        msg = f"{value} has no exact form in R, whose doubles hold whole numbers up to 2^53"
        raise InputError(msg)
    return _from_buffer(flat.astype(np.int32 if short else np.float64))


def _from_buffer(values: NDArray[Any]) -> Any:
    rinterface = start()
    kinds = {
        "float64": rinterface.FloatSexpVector,
        "int32": rinterface.IntSexpVector,
        "uint8": rinterface.ByteSexpVector,
    }
    vector = kinds[values.dtype.name]
    if values.size == 0:
        return vector([])
    return vector.from_memoryview(np.ascontiguousarray(values).data)


def _strings(values: NDArray[Any]) -> Any:
    rinterface = start()
    flat = values.ravel(order="F").tolist()
    missing = pd.isna(np.array(flat, dtype=object))
    na = rinterface.NA_Character
    return rinterface.StrSexpVector(
        [na if gone else str(value) for value, gone in zip(flat, missing, strict=True)]
    )


def _factor(values: pd.Categorical) -> Any:
    codes = np.asarray(values.codes, dtype=np.int32) + np.int32(1)
    codes[codes == 0] = NA_INTEGER  # R counts levels from one, pandas marks missing ones by -1
    return function("structure")(
        _from_buffer(codes),
        levels=_strings(np.array(list(values.categories), dtype=object)),
        **{"class": "factor"},
    )


def _column(values: pd.Series[Any]) -> Any:
    """A column as an array, missing whole numbers and text as R's NA."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical(values)
    if values.dtype.kind in "iu" and values.isna().any():
        # By way of doubles, whose NaN as.integer() turns into NA.
        codes = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return function("as.integer")(to_r(codes))
    if pd.api.types.is_extension_array_dtype(values.dtype):
        kind = values.dtype.kind
        dtype = {"i": np.int64, "u": np.int64, "b": np.bool_, "f": np.float64}.get(kind, object)
        return values.to_numpy(dtype=dtype)
    return values.to_numpy()


def _data_frame(table: pd.DataFrame) -> Any:
    """A data frame with rows 1, 2, ...; column names stay as they are."""
    # By place, since two columns may have one name.
    columns = [to_r(_column(table.iloc[:, place])) for place in range(table.shape[1])]
    frame = _named([str(name) for name in table.columns], columns)
    rows = start().IntSexpVector(range(1, len(table) + 1))
    return function("structure")(frame, **{"class": "data.frame", "row.names": rows})


def _named(names: list[str], values: list[Any]) -> Any:
    vector = start().ListSexpVector([to_r(value) for value in values])
    return function("names<-")(vector, value=_strings(np.array(names, dtype=object)))


# The first kind that a value is of decides: text is a sequence too.
_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (type(None), lambda _: start().NULL),
    (bytes, lambda value: _from_buffer(np.frombuffer(value, dtype=np.uint8))),
    (np.ndarray, _array),
    (pd.DataFrame, _data_frame),
    (pd.Categorical, _factor),
    (pd.Series, lambda value: to_r(_column(value))),
    (Mapping, lambda value: _named(list(map(str, value)), list(value.values()))),
    (Sequence, lambda value: start().ListSexpVector([to_r(item) for item in value])),
)
