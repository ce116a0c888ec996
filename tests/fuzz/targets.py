"""What is fuzzed: each target takes bytes, puts them where a user's file would be, and reads them.

A target lets pass what the documentation promises (the reader's own error, in one line) and lets
every other exception through, so that the fuzzer sees it. It returns what became of the input.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Target = Callable[[bytes], str]

# Between the two files of an input that stands for two; neither XML nor JSON can hold it.
SEAM = b"\0\xff\0SEAM\0\xff\0"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  files that never reach a disk, where there are such
LONGEST_MESSAGE = 3000


@contextmanager
def _folder() -> Iterator[Path]:
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place, prefix="massgraph-fuzz-") as name:
        yield Path(name)


def _judge(read: Callable[[], object], *allowed: type[Exception]) -> str:
    """Run a reader; what it may raise must be one line that can be printed."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read()
    except allowed as error:
        _one_line(str(error))
        return "refused"
    messages = [str(one.message) for one in caught if one.category is UserWarning]
    for message in messages:
        _one_line(message)
    if len(set(messages)) < len(messages):
        msg = f"a warning was given twice: {messages}"
        raise RuntimeError(msg)
    return "read"


def _one_line(message: str) -> None:
    if not message or len(message.splitlines()) != 1 or len(message) > LONGEST_MESSAGE:
        msg = f"not one line: {message[:LONGEST_MESSAGE]!r}"
        raise RuntimeError(msg)


# -------------------------------------------------------------------- imzML


def imzml(data: bytes) -> str:
    """First byte: options; then the XML, the seam and the ibd."""
    from massgraph.io.imzml import ImzMLError, read_imzml, validate_imzml

    options = data[0] if data else 0
    text, _, binary = data[1:].partition(SEAM)

    def read() -> None:
        if options & 4:
            validate_imzml(folder / "a.imzML", check_uuid=not options & 2)
            return
        spectra = read_imzml(
            folder / "a.imzML",
            profile="centroid" if options & 1 else "refuse",
            check_uuid=not options & 2,
            verify_checksum=bool(options & 8),
        )
        if not np.isfinite(spectra.tic()).all():
            msg = "a pixel's current is not finite"
            raise RuntimeError(msg)

    with _folder() as folder:
        (folder / "a.imzML").write_bytes(text)
        (folder / "a.ibd").write_bytes(binary)
        return _judge(read, ImzMLError)


# -------------------------------------------------------------------- models


def model(data: bytes) -> str:
    """First byte: whether to correct the digest; then config.json, the seam and the weights."""
    import massgraph as mg
    from massgraph.store import ModelError

    config, _, weights = data[1:].partition(SEAM)
    if data[:1] and data[0] & 1:
        digest = hashlib.sha256(weights).hexdigest().encode()
        config = re.sub(rb'("weights_sha256": ")[0-9a-f]{64}"', rb"\g<1>" + digest + b'"', config)

    def read() -> None:
        loaded = mg.load(folder)
        of_regions = isinstance(loaded, mg.SpatialRegions)
        polarity = loaded.region_model_.polarity if of_regions else loaded.polarity_
        n_classes = loaded.n_regions_ if of_regions else len(loaded.classes_)
        # What loads must be fit for use, or say of these spectra why it is not.
        try:
            probability = loaded.predict_proba(_few_spectra(polarity))
        except mg.InputError as error:
            _one_line(str(error))
            return
        if probability.shape != (2, n_classes):
            msg = f"probabilities of shape {probability.shape}"
            raise RuntimeError(msg)

    with _folder() as folder:
        (folder / "config.json").write_bytes(config)
        (folder / "weights.safetensors").write_bytes(weights)
        return _judge(read, ModelError)


def _few_spectra(polarity: str | None = None) -> Any:
    import massgraph as mg

    matrix = np.asarray([[1.0, 2.0, 3.0], [3.0, 0.0, 1.0]])
    axis = np.asarray([700.5, 714.51565, 728.5313])
    places = np.asarray([[1.0, 1.0], [2.0, 1.0]])
    return mg.Spectra.from_matrix(matrix, axis, coordinates=places, polarity=polarity)


# -------------------------------------------------------------------- labels


def labels(data: bytes) -> str:
    """The bytes are the table."""
    from massgraph.io.labels import LabelsError, match_labels, read_labels

    size = 1.0 if data.lstrip()[:1] in (b"{", b"[") else None  # of shapes

    def read() -> None:
        labels = read_labels(folder / "labels.csv", pixel_size=size)
        found = match_labels(labels, _few_spectra())
        if not any(label is not None for label in found):
            msg = "labels were read, but no pixel has one"
            raise RuntimeError(msg)

    with _folder() as folder:
        (folder / "labels.csv").write_bytes(data)
        return _judge(read, LabelsError)


# -------------------------------------------------------------------- AnnData


def h5ad(data: bytes) -> str:
    """The bytes are the file."""
    from massgraph.io.anndata import AnnDataError, from_anndata, labels_from_obs, open_h5ad

    def read() -> None:
        adata = open_h5ad(folder / "a.h5ad")
        for column in list(adata.obs.columns)[:3]:
            labels_from_obs(adata, column)
        from_anndata(adata)

    with _folder() as folder:
        (folder / "a.h5ad").write_bytes(data)
        return _judge(read, AnnDataError)


# What a hostile or careless object may hold in the places that are read.
VALUES: tuple[Any, ...] = (
    *(0.0, -1.0, 1.0, 300.25, 1e-320, 1e35, 1e308, float("nan"), float("inf"), -float("inf")),
    *(0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**70, True, None, "", "1.5", "a\nb", "NA", b"bytes"),
    *(1 + 2j, (1, 2), [], {}, np.datetime64("NaT"), np.float32(0.1), np.ma.masked, object),
)
DTYPES = ("f4", "f8", "f2", "i1", "u8", "i8", "c8", "?", "O", "U3", "M8[s]")
KEYS = ("mz", "x", "y", "z", "run", "spatial", "spatial_x", "spatial_y", "ion_image_pixel_x")
KEYS += ("ion_image_pixel_y", "metaspace.polarity", "metaspace.id", "name", "label")
UNS = ("massgraph", "metaspace", "msi_metadata", "essential_metadata", "schema_version", "polarity")
UNS += ("pixel_size", "pixel_size_unit", "metadata", "MS_Analysis", "Pixel_Size", "Xaxis", "Yaxis")
UNS += ("ms_analysis", "pixel_size_um", "x", "y", "id", "spectrum_type")


class _Choices:
    """Decisions spelt by bytes; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, below: int) -> int:
        value = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        return value % below

    def of(self, values: tuple[Any, ...]) -> Any:
        return values[self.number(len(values))]

    def array(self, *shape: int) -> Any:
        """Numbers from 1 upwards, some of them replaced, of some type."""
        size = int(np.prod(shape))
        values = np.empty(size, dtype=object)
        values[:] = [100.5 + 7.25 * n for n in range(size)]
        for _ in range(self.number(4) if size else 0):
            values[self.number(size)] = self.of(VALUES)
        dtype = self.of((None, "f8", *DTYPES))
        try:
            with np.errstate(all="ignore"):
                values = values.astype(dtype) if dtype else values
        except (TypeError, ValueError, OverflowError):
            pass  # stays an array of objects
        return values.reshape(shape)

    def tree(self, depth: int = 0) -> Any:
        if depth > 3 or self.number(3) == 0:
            return self.of(VALUES)
        return {self.of(UNS): self.tree(depth + 1) for _ in range(self.number(4))}


def anndata(data: bytes) -> str:
    """The bytes decide what an AnnData object holds."""
    import anndata as ad
    import pandas as pd
    import scipy.sparse as sp

    from massgraph.io.anndata import AnnDataError, from_anndata, labels_from_obs

    choices = _Choices(data)
    n, m = choices.number(5), choices.number(5)
    # What anndata and pandas themselves refuse, or warn of, is not our matter.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix = choices.array(n, m)
            if choices.number(3) == 0:
                matrix = sp.csr_matrix(matrix.astype(float))
            adata = ad.AnnData(
                X=matrix,
                obs=pd.DataFrame(
                    {choices.of(KEYS): choices.array(n) for _ in range(choices.number(6))},
                    index=choices.of((None, [f"p{i}" for i in range(n)], ["p"] * n)),
                ),
                var=pd.DataFrame(
                    {choices.of(("mz", *KEYS)): choices.array(m) for _ in range(choices.number(3))},
                    index=[f"i{i}" for i in range(m)],
                ),
                obsm={"spatial": choices.array(n, choices.number(5))} if choices.number(2) else {},
                uns={choices.of(UNS): choices.tree() for _ in range(choices.number(4))},
            )
    except Exception:
        return "not made"

    def read() -> None:
        for column in list(adata.obs.columns):
            labels_from_obs(adata, column)
        from_anndata(adata)

    return _judge(read, AnnDataError)


TARGETS: dict[str, Target] = {
    "imzml": imzml,
    "model": model,
    "labels": labels,
    "h5ad": h5ad,
    "anndata": anndata,
}
