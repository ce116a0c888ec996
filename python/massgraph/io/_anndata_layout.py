"""What AnnData objects say of their pixels, in the layouts that `massgraph.io.anndata` knows.

Of which run they are, how large and of which polarity, and the columns of obs.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph._util.warnings import outside
from massgraph.data.spectra import POLARITIES

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "METASPACE_COLUMNS",
    "THYRA_COLUMNS",
    "AnnDataError",
    "as_text",
    "check_columns",
    "column_of",
    "has_columns",
    "is_ours",
    "layers_of",
    "lookup",
    "names_of",
    "of_file",
    "option",
    "pixel_size_of",
    "polarity_of",
    "run_of",
    "saying",
    "warn",
]

METASPACE_COLUMNS = ["ion_image_pixel_x", "ion_image_pixel_y"]
THYRA_COLUMNS = ["spatial_x", "spatial_y"]

# Where the layouts keep the polarity, the pixel size in micrometres and the name of the run.
POLARITY_AT = (
    ("massgraph", "polarity"),
    ("metaspace", "polarity"),
    ("msi_metadata", "ms_analysis", "polarity"),
    ("polarity",),
    ("ion_mode",),
)
WORDS = {
    **dict.fromkeys(("positive", "pos", "+", "positive ion", "esi+"), "positive"),
    **dict.fromkeys(("negative", "neg", "-", "negative ion", "esi-"), "negative"),
}
PIXEL_SIZE_AT = (
    ("metaspace", "metadata", "MS_Analysis", "Pixel_Size", ("Xaxis", "Yaxis")),
    ("msi_metadata", "ms_analysis", "pixel_size_um", ("x", "y")),
)
RUN_AT = ("metaspace", "id")


class AnnDataError(InputError):
    """An AnnData object or h5ad file that cannot be taken; the message names the key and value.

    Examples
    --------
    >>> import massgraph as mg
    >>> try:
    ...     mg.from_anndata("run.h5ad")
    ... except mg.InputError as error:
    ...     print(type(error).__name__, error)
    AnnDataError expected an AnnData object, got str
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


OPTIONS = {
    "mz": "--mz-column",
    "layer": "--layer",
    "coordinates": "--coordinates",
    "run": "--run-column",
}
"""What the arguments of `from_anndata` are called on the command line."""

# ------------------------------------------------------------------ pixels


def run_of(adata: AnnData, column: str | None) -> NDArray[np.object_] | None:
    """Name of the run of each pixel; None where all are of one that has no name."""
    if column is None:
        return None
    if column == "auto":
        known = [name for name in ("run", ".".join(RUN_AT)) if name in adata.obs.columns]
        if not known:
            name = lookup(adata, RUN_AT)
            return None if name is None else np.full(adata.n_obs, str(name), dtype=object)
        column = known[0]
    values = as_text(column_of(adata, column, "the column with the run"))
    missing = [pixel for pixel, value in enumerate(values) if value is None]
    if missing:
        msg = (
            f"obs[{column!r}] is missing for {len(missing)} pixels, the first {missing[0]} "
            f"({str(adata.obs_names[missing[0]])!r}): every pixel has a run"
        )
        raise AnnDataError(msg)
    return values


def _own_names(adata: AnnData) -> NDArray[np.str_] | None:
    """Names as our own export has them: text, or none at all."""
    if "name" not in adata.obs.columns:
        return None
    names = adata.obs["name"].tolist()
    for pixel, name in enumerate(names):
        if not isinstance(name, str):
            msg = f"obs['name'] is {name!r} at pixel {pixel}, which is no text: correct the name"
            raise AnnDataError(msg)
    return np.asarray(names, dtype=np.str_)


def names_of(adata: AnnData) -> NDArray[np.str_] | None:
    """Name of each pixel; None where our own export has none."""
    # Our own export numbers its rows where names repeat, and keeps the names in a column.
    if is_ours(adata):
        return _own_names(adata)
    if not adata.obs_names.is_unique:
        first = adata.obs_names[adata.obs_names.duplicated()][0]
        warn(f"obs_names are not unique ({first!r} stands twice): pixels are told by position")
    if not all(isinstance(name, str) for name in adata.obs_names):
        warn(f"obs_names are {adata.obs_names.dtype}, not text: they were taken as text")
    return np.asarray([str(name) for name in adata.obs_names], dtype=np.str_)


# ------------------------------------------------------------------ the description


def polarity_of(adata: AnnData) -> str | None:
    """``"positive"``, ``"negative"``, or None where the object does not say so.

    Raises AnnDataError where some of its pixels are of the one and some of the other.
    """
    for path in POLARITY_AT:
        _check_one_polarity(adata, ".".join(path))
        value = lookup(adata, path)
        if value is None:
            continue
        word = _word(value)
        if word is not None:
            return word
        if len(path) == 1:  # a name that may mean anything
            continue
        # A wrong word is no reason to refuse data; a polarity is asked for where it is needed.
        warn(f"the polarity {value!r} of the AnnData object is none of {POLARITIES}: left unknown")
    return None


def _word(value: object) -> str | None:
    return WORDS.get(str(value).lower().removesuffix("mode").strip(" _"))


def _check_one_polarity(adata: AnnData, column: str) -> None:
    """Refuse objects that were joined of both: ions of the other polarity are other ions."""
    if column not in adata.obs.columns:
        return
    found = {str(value): _word(value) for value in as_text(adata.obs[column])}
    if set(POLARITIES) <= set(found.values()):
        one = next(value for value, word in found.items() if word == POLARITIES[0])
        msg = f"obs[{column!r}] has pixels of both polarities: take those of one, by " + advise(
            f"adata[adata.obs[{column!r}] == {one!r}]", cli="a file for each"
        )
        raise AnnDataError(msg)


def pixel_size_of(adata: AnnData) -> dict[str, Any]:
    """Size of the pixels and its unit, as parameters of `Spectra`; empty where unknown."""
    own = lookup(adata, ("massgraph", "pixel_size"))
    if own is not None:
        unit = str(lookup(adata, ("massgraph", "pixel_size_unit")))
        return _size_or_warning(own, unit)
    for *path, axes in PIXEL_SIZE_AT:
        found = [lookup(adata, (*path, axis)) for axis in axes]
        if None not in found:
            return _size_or_warning(found, "um")
    return {}


def _size_or_warning(found: Any, unit: str) -> dict[str, Any]:
    """Width and height of a pixel, or nothing where they are none."""
    try:
        x, y = (float(value) for value in found)
    except (TypeError, ValueError, OverflowError):
        x = y = np.nan
    if min(x, y) > 0 and np.isfinite([x, y]).all():
        return {"pixel_size": (x, y), "pixel_size_unit": unit}
    warn(f"the pixel size {found!r:.60} of the AnnData object is not above zero: left unknown")
    return {}


def lookup(adata: AnnData, path: tuple[Any, ...]) -> Any:
    """Look up a path in `uns`, or a column of obs that is the same for all pixels; else None."""
    value: Any = adata.uns
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            column = ".".join(path)
            return _constant(adata.obs[column]) if column in adata.obs.columns else None
        value = value[key]
    return value


def _constant(values: pd.Series[Any]) -> Any:
    """The value that all pixels share, None where there is none."""
    try:
        different = values.dropna().unique()
    except TypeError:  # lists and the like, which cannot be compared
        return None
    return different[0] if len(different) == 1 else None


# ------------------------------------------------------------------ columns and values


def is_ours(adata: AnnData) -> bool:
    return lookup(adata, ("massgraph", "schema_version")) is not None


def has_columns(adata: AnnData, columns: list[str]) -> bool:
    """Whether obs has all of these columns."""
    return all(column in adata.obs.columns for column in columns)


def check_columns(table: pd.DataFrame, what: str) -> None:
    """Refuse columns of one name, of which pandas gives a table in place of a column."""
    if not table.columns.is_unique:
        name = table.columns[table.columns.duplicated()][0]
        msg = f"{what} has two columns {name!r}: keep one"
        raise AnnDataError(msg)


def column_of(adata: AnnData, column: str, what: str) -> pd.Series[Any]:
    """A column of obs; `what` says in a message what it is wanted for."""
    if column not in adata.obs.columns:
        msg = f"obs has no column {column!r}: name {what}, of {list(adata.obs.columns)}"
        raise AnnDataError(msg)
    check_columns(adata.obs, "obs")
    values: pd.Series[Any] = adata.obs[column]
    return values


def as_text(values: pd.Series[Any]) -> NDArray[np.object_]:
    """Values as text, None where missing."""
    known = np.asarray(values, dtype=object)
    # Filled in place: numpy would make one array of labels that are lists.
    text = np.empty(len(known), dtype=object)
    text[:] = [
        None if missing else _text(v) for v, missing in zip(known, pd.isna(known), strict=True)
    ]
    return text


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # as some writers in R leave it
        return value.decode("utf-8", "backslashreplace")
    # Integers with gaps become floats in a table.
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def option(name: str) -> str:
    """An argument of `from_anndata`, as it is given where the user stands: ``mz=``."""
    return advise(f"{name}=", cli=OPTIONS[name])


def saying(name: str, value: str | None) -> str:
    """An argument with its value, as it is given where the user stands: ``mz='mass'``."""
    word = "none" if value is None else shlex.quote(value)
    return advise(f"{name}={value!r}", cli=f"{OPTIONS[name]} {word}")


def layers_of(adata: AnnData) -> list[str]:
    """Names of the layers; anndata 0.13 counts X among them, under the name None."""
    return sorted(name for name in adata.layers if name is not None)


_FILE: ContextVar[str] = ContextVar("massgraph_h5ad", default="")


@contextmanager
def of_file(path: object) -> Iterator[None]:
    """Within, warnings and errors name the file that is read: there may be several."""
    token = _FILE.set(f"{path}: ")
    try:
        yield
    except AnnDataError as error:
        msg = f"{path}: {error}"
        raise AnnDataError(msg) from error
    finally:
        _FILE.reset(token)


def warn(msg: str) -> None:
    """Warn in one line, as the caller of the public function sees it."""
    warnings.warn(one_line(_FILE.get() + msg), UserWarning, stacklevel=outside())
