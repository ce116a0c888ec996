"""Where the pixels of an AnnData object are, and whether two of a run are at one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from massgraph.io._anndata_layout import (
    METASPACE_COLUMNS,
    THYRA_COLUMNS,
    AnnDataError,
    has_columns,
    is_ours,
    option,
    saying,
    warn,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Key", "check_places", "places_of"]

Key = str | Sequence[str] | None
"""How coordinates are named: a key of obsm, columns of obs, ``"auto"``, or None for none."""

# Pairs of columns of obs that other programs write, x first.
PAIRS = (
    ("x", "y"),
    ("X", "Y"),
    ("array_col", "array_row"),
    ("pixel_x", "pixel_y"),
    ("x_pixel", "y_pixel"),
    ("x_coord", "y_coord"),
    ("coord_x", "coord_y"),
    ("x_centroid", "y_centroid"),
    ("col", "row"),
)
# What columns that tell samples apart are called: of several that do, the first is advised.
SAMPLES = (
    *("run", "sample", "sample_id", "library_id", "batch", "slide", "slice", "section", "dataset"),
    *("dataset_id", "replicate"),
)

TURNED = 1.0  # degrees, from which a raster does not lie along x and y
STRAIGHT = 0.95  # share of pixels whose neighbours must lie along a raster
OFF_RASTER = 0.25  # of a step: farther from the lines of the raster no pixel may lie
ENOUGH = 9  # pixels, below which there is no telling a raster
ROW = 3  # pixels a run, on average, from which rows are told from runs of few pixels


def places_of(adata: AnnData, key: Key) -> NDArray[np.float64] | None:
    """Coordinates of the pixels, shape ``(n_pixels, 2)`` or ``(n_pixels, 3)``; None where none."""
    if key is None or (key == "auto" and is_ours(adata) and "spatial" not in adata.obsm):
        return None
    where, values = _places(adata, key)
    found = _numbers(values, where)
    if found.ndim != 2 or found.shape[1] not in (2, 3):
        msg = f"{where} has shape {found.shape}, need ({adata.n_obs}, 2) or ({adata.n_obs}, 3)"
        raise AnnDataError(msg)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        pixel = int(np.argmax(bad))
        msg = (
            f"{where} is {found[pixel].tolist()} at pixel {pixel} "
            f"({str(adata.obs_names[pixel])!r}): leave such pixels out or say "
            f"{saying('coordinates', None)}"
        )
        raise AnnDataError(msg)
    _check_order(adata, found, where)
    return found if is_ours(adata) else _straight(found, where)


# ------------------------------------------------------------------ which they are


def _places(adata: AnnData, key: str | Sequence[str]) -> tuple[str, Any]:
    """Find the coordinates: what to call them in a message, and their values unchecked."""
    if key == "auto":
        key = _likeliest(adata)
    elif isinstance(key, str) and key not in adata.obsm and "," in key:
        key = [name.strip() for name in key.split(",")]
    return _in_obsm(adata, key) if isinstance(key, str) else _columns(adata, list(key))


def _likeliest(adata: AnnData) -> str | list[str]:
    """Key of obsm, or columns of obs, that nobody had to name."""
    if has_columns(adata, METASPACE_COLUMNS):
        return METASPACE_COLUMNS
    # thyra's obsm["spatial"] is in micrometres, its columns x and y are the raster.
    columns_first = has_columns(adata, THYRA_COLUMNS) or "spatial" not in adata.obsm
    if columns_first and has_columns(adata, ["x", "y"]):
        return [name for name in "xyz" if name in adata.obs.columns]
    named = [name for name in adata.obsm if "spatial" in name.lower()]
    if "spatial" not in adata.obsm and len(named) == 1:
        return str(named[0])
    pairs = [list(pair) for pair in PAIRS if has_columns(adata, list(pair))]
    return pairs[0] if not named and len(pairs) == 1 else "spatial"


def _columns(adata: AnnData, names: list[str]) -> tuple[str, Any]:
    missing = [name for name in names if name not in adata.obs.columns]
    if missing or len(names) not in (2, 3):
        what = f"obs has no column {missing[0]!r}" if missing else f"obs[{names}] is no (x, y)"
        msg = (
            f"{what}: name two columns, x first, by {option('coordinates')}, of "
            f"{list(adata.obs.columns)}"
        )
        raise AnnDataError(msg)
    return f"obs[{names}]", adata.obs[names]


def _in_obsm(adata: AnnData, key: str) -> tuple[str, Any]:
    if key in adata.obsm:
        return f"obsm[{key!r}]", adata.obsm[key]
    columns = [name for name in adata.obs.columns if _is_numeric(adata.obs[name])]
    keys = f"the key with (x, y) by {option('coordinates')}, of {sorted(adata.obsm)}"
    pair = f"two columns of obs, x first, by {option('coordinates')}, of {columns}"
    known = [*([keys] if len(adata.obsm) else []), *([pair] if len(columns) > 1 else [])]
    told = f"name {', or '.join(known)}, or " if known else ""
    msg = f"obsm has no {key!r}: {told}say {saying('coordinates', None)} for pixels without a place"
    raise AnnDataError(msg)


def _is_numeric(values: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(
        values.dtype
    )


def _numbers(values: Any, where: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{where} does not hold numbers ({error})"
        raise AnnDataError(msg) from error


def _check_order(adata: AnnData, found: NDArray[np.float64], where: str) -> None:
    """Refuse (y, x), where the columns of obs give it away."""
    for columns in (["x", "y"], METASPACE_COLUMNS):
        if not has_columns(adata, columns):
            continue
        raster = _numbers(adata.obs[columns], f"obs[{columns}]")
        # Images are indexed by row, so (y, x) is a common slip, and a mirrored map looks right.
        swapped = np.array_equal(found[:, :2], raster[:, ::-1])
        if swapped and not np.array_equal(found[:, :2], raster):
            msg = (
                f"{where} is in the order (y, x) of obs[{columns}]: swap its columns or say "
                f"{saying('coordinates', ','.join(columns))}"
            )
            raise AnnDataError(msg)


# ------------------------------------------------------------------ a turned raster


def _straight(found: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Rows and columns of a raster that is turned, as on an optical image; else as they are.

    Along x and y the unit does not matter, but a turned raster has no rows and columns, so that
    nobody would have a neighbour.
    """
    if len(found) < ENOUGH or found.shape[1] != 2:
        return found
    distance, nearest = cKDTree(found).query(found, k=2)
    step = float(np.median(distance[:, 1]))
    if step == 0:
        return found
    to_nearest = found[nearest[:, 1]] - found
    # The four directions of a raster are one, four times the angle.
    fourfold = np.exp(4j * np.arctan2(to_nearest[:, 1], to_nearest[:, 0]))
    angle = float(np.angle(fourfold.mean())) / 4
    beside = np.abs(np.angle(fourfold * np.exp(-4j * angle))) < np.deg2rad(4 * TURNED)
    if abs(angle) < np.deg2rad(TURNED) or beside.mean() < STRAIGHT:
        return found
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    counted = _counted(found @ turn, step)
    if counted is None:
        return found
    warn(
        f"{where} is a raster turned by {np.rad2deg(angle):.1f} degrees, {step:.4g} from pixel to "
        "pixel: its rows and columns were counted, from 1"
    )
    return counted


def _counted(along: NDArray[np.float64], step: float) -> NDArray[np.float64] | None:
    """Column and row of each pixel, from 1; None where pixels do not lie in columns and rows."""
    counted = np.empty_like(along)
    for axis in (0, 1):
        values = along[:, axis] - along[:, axis].min()
        gaps = np.diff(np.sort(values))
        gaps = gaps[gaps > OFF_RASTER * step]
        if not gaps.size:
            counted[:, axis] = 1
            continue
        place = values / float(np.median(gaps))
        counted[:, axis] = np.round(place) + 1
        if np.abs(place - np.round(place)).max() > OFF_RASTER:
            return None
    return counted if len(np.unique(counted, axis=0)) == len(counted) else None


# ------------------------------------------------------------------ places and runs


def check_places(
    adata: AnnData,
    places: NDArray[np.float64] | None,
    run: NDArray[np.object_] | None,
    chosen: bool,
) -> None:
    """Refuse two pixels of a run at one place: as a rule they are two samples.

    Parameters
    ----------
    adata
        The object, whose columns may tell the samples apart.
    places, run
        Coordinates and run of each pixel, None where there are none.
    chosen
        Whether the user named the column with the run.

    Raises
    ------
    AnnDataError
        With the column that parts them.

    Warns
    -----
    UserWarning
        Where the runs are the rows of an image.
    """
    if places is None:
        return
    table = pd.DataFrame(places).assign(run="" if run is None else run)
    again = table.duplicated()
    if again.any():
        raise AnnDataError(_twice(adata, table, int(np.argmax(again)), int(again.sum())))
    if run is not None and not chosen:
        _warn_of_rows(table)


def _twice(adata: AnnData, table: pd.DataFrame, second: int, n: int) -> str:
    first = int(np.argmax((table == table.iloc[second]).all(axis=1)))
    one, other = (str(adata.obs_names[pixel]) for pixel in (first, second))
    place = ", ".join(f"{value:g}" for value in table.iloc[second, :-1])
    told = (
        f"{n} pixels lie where another of their run does (the first {other!r}, where {one!r} is: "
        f"{place})"
    )
    parting = _parting(adata, table)
    if not parting:
        return (
            f"{told}, and no column of obs tells them apart: keep one of each, or say "
            f"{saying('coordinates', None)}; anndata.concat(..., label='run') keeps what each "
            "comes from"
        )
    also = f" (so does {', '.join(map(repr, parting[1:4]))})" if parting[1:] else ""
    return f"{told}: obs[{parting[0]!r}] tells them apart{also}, say {saying('run', parting[0])}"


def _parting(adata: AnnData, table: pd.DataFrame) -> list[str]:
    """Columns of obs within whose values every place is there once, the likeliest first."""
    found = []
    for column in adata.obs.columns:
        values = adata.obs[column]
        if pd.api.types.is_float_dtype(values.dtype):
            continue
        codes = pd.factorize(values.astype(str))[0]
        n_levels = int(codes.max()) + 1
        # What is different for every pixel is its name.
        if 1 < n_levels <= len(codes) // 2 and not table.assign(run=codes).duplicated().any():
            plain = str(column).lower()
            rank = SAMPLES.index(plain) if plain in SAMPLES else len(SAMPLES)
            found.append((rank, n_levels, str(column)))
    return [column for *_, column in sorted(found)]


def _warn_of_rows(table: pd.DataFrame) -> None:
    """Say it where the column with the run counts the rows of an image, or its columns."""
    spans = table.groupby("run", sort=False).agg(["nunique"]).to_numpy()
    flat = (spans[:, :2] == 1).all(axis=0).any()
    if len(spans) > 2 and flat and len(table) >= len(spans) * ROW:
        warn(
            f"each of the {len(spans)} runs is a single row of pixels: if obs['run'] counts rows, "
            f"say {saying('run', None)}, which makes them one run, or name another column by "
            f"{option('run')}"
        )
