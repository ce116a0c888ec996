"""First inputs of every target: good files, from which the fuzzer goes astray."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from imzml_builder import PIXELS, Builder, Pixel
from targets import SEAM


def write_seeds(target: str, folder: Path) -> int:
    """Write the seeds of a target into a folder, and return how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = list({"imzml": _imzml, "model": _model, "labels": _labels}.get(target, _other)(target))
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    return len(seeds)


def _imzml(_: str) -> Iterator[bytes]:
    profile = [Pixel(1, 1, [100 + n / 100 for n in range(60)], [float(n % 9) for n in range(60)])]
    builders = [
        Builder(),
        Builder(
            layout="continuous", pixels=[Pixel(1 + n, 1, (100.0, 200.0), (n, 1.0)) for n in (0, 1)]
        ),
        Builder(mz_type="f4", intensity_type="i4", inline=True, checksum="md5"),
        Builder(pixels=profile, mode=None, polarity="negative"),
        Builder(pixels=[*PIXELS[:2], Pixel(1, 1, (300.0,), (1.0,), z=2, run=1)], uuid=None),
    ]
    for number, builder in enumerate(builders):
        ibd = builder.ibd()
        yield bytes([number % 4 + 8 * (number == 0)]) + builder.xml(ibd).encode() + SEAM + ibd
    builder = Builder(encoding="utf-16", settings=())
    ibd = builder.ibd()
    yield b"\4" + builder.xml(ibd).encode("utf-16") + SEAM + ibd


def _model(_: str) -> Iterator[bytes]:
    import massgraph as mg

    spectra, labels = mg.simulate("tiny")
    matrix = np.random.default_rng(0).lognormal(size=(30, 3))
    flags = [{}, {"preset": "published"}, {"batch_norm": False, "directed": False}]
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, more in enumerate(flags):
            # Few pixels keep the configuration small, so that mutations hit its other parts.
            one = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(2, 2), **more)
            one.fit(spectra[:120], labels[:120]).save(Path(name) / str(number))
        axis = mg.RGCNClassifier(
            epochs=1, augment=0, device="cpu", hidden=(2,), mz=[700.0, 714.01565, 728.0313]
        )
        axis.fit(matrix, np.arange(30) % 2).save(Path(name) / "axis")
        for number, settings in enumerate(({"max_regions": 3}, {"n_regions": 3, "spatial": False})):
            mg.SpatialRegions(**settings).fit(spectra).save(Path(name) / f"regions-{number}")
        for folder in sorted(Path(name).iterdir()):
            config = (folder / "config.json").read_bytes()
            yield b"\1" + config + SEAM + (folder / "weights.safetensors").read_bytes()


def _labels(_: str) -> Iterator[bytes]:
    yield b"x,y,label\n1,1,tumour\n2,1,stroma\n"
    yield b'\xef\xbb\xbfx;y;label;note\r\n1;1;"a;b""c";\r\n2;1;NA;\r\n'
    yield "run\tx\ty\tlabel\n\t1\t1\tNiere β\n".encode()
    yield b'x,y,label\n"1","1","two\nlines"\n2.0,1e0,0\n'
    yield b"# of a program\nsep=;\nx;y;z;label\n0,0;0,0;1;NA\n1,0;0,0;1;Dr\xfcse\n"
    yield '"x" "y" "label"\n"1" 1 1 "tumour"\n"2" 2 1 "-1"\n'.encode("utf-16")
    yield (
        b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon",'
        b'"coordinates":[[[0,0],[2,0],[2,1],[0,1],[0,0]]]},"properties":{"classification":'
        b'{"name":"tumour"}}}]}'
    )
    yield (
        b"Class\tObject type\tCentroid X px\tCentroid Y px\ntumour\tTile\t0.5\t0.5\n"
        b"stroma\tTile\t1.5\t0.5\n"
    )


def _other(target: str) -> Iterator[bytes]:
    if target == "anndata":
        yield b""
        rng = np.random.default_rng(0)
        yield from (rng.integers(256, size=size).astype(np.uint8).tobytes() for size in (8, 30, 80))
        return
    yield from _h5ad()


def _h5ad() -> Iterator[bytes]:
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    values = np.asarray([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]], dtype=np.float32)
    for number, matrix in enumerate((values, sp.csr_matrix(values))):
        obs = pd.DataFrame(
            {"x": [1, 2], "y": [1, 1], "run": pd.Categorical(["a", "b"]), "label": ["u", None]},
            index=["p0", "p1"],
        )
        var = pd.DataFrame({"mz": [100.5, 200.5, 300.5]}, index=["a", "b", "c"])
        uns = {"metaspace": {"polarity": "positive", "id": "2020"}} if number else {}
        adata = anndata.AnnData(X=matrix, obs=obs, var=var, uns=uns)
        adata.obsm["spatial"] = np.asarray([[1.0, 1.0], [2.0, 1.0]])
        with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata.write_h5ad(Path(name) / "a.h5ad")
            yield (Path(name) / "a.h5ad").read_bytes()
