"""Bad inputs that no test of a single reader holds: wrong kinds of files, huge ones, odd locales.

The numbers in the names are those of the table in docs/reliability.md.
"""

from __future__ import annotations

import io
import json
import locale
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import massgraph as mg
from imzml_builder import Builder, Pixel
from massgraph.io.anndata import AnnDataError, read_anndata
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml
from massgraph.io.labels import LabelsError, read_labels
from massgraph.store import ModelError


@pytest.fixture(scope="module")
def fitted() -> mg.RGCNClassifier:
    spectra, labels = mg.simulate("tiny")
    return mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(4,)).fit(spectra, labels)


# -------------------------------------------------------------------- 20: more than 2^31


def test_20_more_peaks_than_2_to_the_31(tmp_path: Path) -> None:
    """Pixels that share one stored array: 2.2e9 peaks in a file of 12 MB, counted in 64 bits."""
    points, n_pixels = 1_000_000, 2200
    mz = np.linspace(100.0, 1000.0, points)
    mz[1:-1] += np.random.default_rng(0).uniform(-4e-4, 4e-4, points - 2)  # centroids, no raster
    builder = Builder(
        [Pixel(1 + n, 1, (), ()) for n in range(n_pixels)],
        layout="continuous",
        checksum=None,
        encoded_length=False,
    )
    builder.mz_offsets = [16] * n_pixels
    builder.intensity_offsets = [16 + 8 * points] * n_pixels
    path = tmp_path / "image.imzML"
    text = builder.xml(b"").replace(
        'name="external array length" value="0"', f'name="external array length" value="{points}"'
    )
    path.write_text(text, encoding="utf-8")
    with path.with_suffix(".ibd").open("wb") as stream:
        stream.write(bytes.fromhex("00112233445566778899aabbccddeeff"))
        stream.write(mz.astype("<f8").tobytes())
        stream.write(np.arange(1, points + 1, dtype="<f4").tobytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = open_imzml(path)
    with reader:
        bounds = reader.bounds()
        last = reader.read(n_pixels - 1)
    assert n_pixels * points > 2**31
    assert len(bounds) > 100  # a chunk stays near 64 MiB
    assert bounds == sorted(set(bounds))
    assert last.n_peaks == points
    assert last.intensity[-1] == points


def test_20_the_end_of_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    """A file of holes, 6 GiB long, written with `struct` alone: its last pixels read exactly."""
    places = [16, (1 << 31) - 12, (1 << 32) - 12, (1 << 32) + 4096, 6 << 30]
    pixels = [Pixel(1 + n, 1, (100.0, 200.0, 300.0 + n), (1.0, 2.0, 3.0 + n)) for n in range(5)]
    builder = Builder(pixels, checksum=None)
    builder.mz_offsets = list(places)
    builder.intensity_offsets = [place + 24 for place in places]
    path = tmp_path / "image.imzML"
    path.write_text(builder.xml(b""), encoding="utf-8")
    with path.with_suffix(".ibd").open("wb") as stream:
        stream.write(bytes.fromhex("00112233445566778899aabbccddeeff"))
        for place, pixel in zip(places, pixels, strict=True):
            stream.seek(place)  # two arrays lie across 2^31 and 2^32
            stream.write(struct.pack("<3d3f", *pixel.mz, *pixel.intensity))
    assert path.with_suffix(".ibd").stat().st_size == (6 << 30) + 36
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path)
    assert ["no checksum" in str(one.message) for one in caught] == [True]
    for number, pixel in enumerate(pixels):
        mz, intensity = spectra.pixel(number)
        assert mz.tolist() == list(pixel.mz)
        assert intensity.tolist() == list(pixel.intensity)
    one_byte_short = path.with_suffix(".ibd")
    os.truncate(one_byte_short, (6 << 30) + 35)
    with pytest.raises(ImzMLError, match=r"pixel 4 \(x 5, y 1\): the intensity array ends at byte"):
        read_imzml(path)


# -------------------------------------------------------------------- 65, 84, 88: other files


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def zipped(trap: Path) -> bytes:
    """An archive whose members lead out of any folder that it is unpacked into."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../owned", "x")
        archive.writestr(str(trap), "x")
    return stream.getvalue()


def torch_bomb(trap: Path) -> bytes:
    """What `torch.save` writes, with a pickle inside that runs code."""
    stream = io.BytesIO()
    torch.save({"weight": Trap(trap)}, stream)
    return stream.getvalue()


def zip_bomb(_: Path) -> bytes:
    """Two hundred megabytes in 200 kilobytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(200_000_000))
    return stream.getvalue()


WRONG: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda trap: pickle.dumps(Trap(trap)),
    "torch.save": torch_bomb,
    "zip with ../": zipped,
    "zip bomb": zip_bomb,
    "npz": lambda _: zipped(Path("x")),
    "png": lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "R workspace": lambda _: b"RDX3\nX\n" + bytes(100),
    "gzip": lambda _: b"\x1f\x8b\x08" + bytes(100),
    "random": lambda _: np.random.default_rng(0).bytes(1000),
    "empty": lambda _: b"",
}
ERRORS = (ImzMLError, ModelError, LabelsError, AnnDataError)


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("reader", ["imzML", "ibd", "config", "weights", "labels", "h5ad"])
def test_84_88_files_of_another_kind(
    tmp_path: Path, fitted: mg.RGCNClassifier, reader: str, kind: str
) -> None:
    """Refused in one line; nothing is unpacked, nothing is run."""
    trap = tmp_path / "ran"
    raw = WRONG[kind](trap)
    path = Builder().write(tmp_path / "in")
    fitted.save(tmp_path / "in" / "model")
    place, read = {
        "imzML": (path, read_imzml),
        "ibd": (path.with_suffix(".ibd"), lambda _: read_imzml(path)),
        "config": (tmp_path / "in" / "model" / "config.json", lambda one: mg.load(one.parent)),
        "weights": (
            tmp_path / "in" / "model" / "weights.safetensors",
            lambda one: mg.load(one.parent),
        ),
        "labels": (tmp_path / "in" / "labels.csv", read_labels),
        "h5ad": (tmp_path / "in" / "a.h5ad", read_anndata),
    }[reader]
    place.write_bytes(raw)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ERRORS) as caught:
        read(place)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert place.stem in message
    assert sorted(tmp_path.rglob("*")) == before
    assert not trap.exists()


@pytest.mark.parametrize("name", ["model.zip", "model.tar.gz", "model.pt"])
def test_88_a_model_in_an_archive_is_not_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(zipped(tmp_path / "owned"))
    with pytest.raises(FileNotFoundError, match="there is no such model folder"):
        mg.load(tmp_path / name)


def test_53_code_beside_an_image_is_not_run(tmp_path: Path) -> None:
    """Cardinal writes a sidecar of R code beside its imzML, and runs it when it reads."""
    path = Builder().write(tmp_path, "image")
    ours = mg.read_imzml(path).fingerprint()
    code = f"list(a = file.create({str(tmp_path / 'owned')!r}))"
    for ending in (".metadata", ".imzML.metadata"):
        (tmp_path / f"image{ending}").write_text(code)
    assert mg.read_imzml(path).fingerprint() == ours
    assert not (tmp_path / "owned").exists()


def test_53_the_r_package_runs_no_text() -> None:
    sources = sorted((Path(__file__).resolve().parents[2] / "R").glob("*.R"))
    assert sources
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"\b(dget|source|sys\.source|parse|eval|load)\(", text), source.name


def test_65_h5ad_that_keeps_its_values_elsewhere(tmp_path: Path) -> None:
    """Links of HDF5 to other files would read whatever the user may read."""
    import h5py

    for kind in ("link", "storage", "virtual"):
        with h5py.File(tmp_path / f"{kind}.h5ad", "w") as file:
            if kind == "link":
                file["X"] = h5py.ExternalLink("/etc/other.h5", "/X")
            elif kind == "storage":
                file.create_dataset("X", (10,), "u1", external=[("/etc/passwd", 0, 10)])
            else:
                layout = h5py.VirtualLayout((10,), "f4")
                layout[:] = h5py.VirtualSource("/etc/other.h5", "X", (10,))
                file.create_virtual_dataset("X", layout)
        with pytest.raises(AnnDataError, match=r"X .*another file, which is not followed"):
            read_anndata(tmp_path / f"{kind}.h5ad")


def test_65_h5ad_that_claims_more_than_it_can_hold(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file.create_dataset("X", (10**6, 10**6), "f4", chunks=(1000, 1000))
    assert (tmp_path / "a.h5ad").stat().st_size < 10**6
    with pytest.raises(AnnDataError, match="X claims 4000000000000 bytes"):
        read_anndata(tmp_path / "a.h5ad")


# -------------------------------------------------------------------- 90: saving together


def test_90_of_two_models_saved_together_one_is_there_whole(
    tmp_path: Path, fitted: mg.RGCNClassifier
) -> None:
    spectra, labels = mg.simulate("tiny")
    other = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(5,), random_state=1)
    other.fit(spectra, labels)
    faults: list[BaseException] = []

    def save(model: mg.RGCNClassifier) -> None:
        try:
            for _ in range(20):
                model.save(tmp_path / "model", overwrite=True)
        except OSError as error:  # another writer was there first: said, and nothing is lost
            faults.append(error)

    threads = [threading.Thread(target=save, args=(model,)) for model in (fitted, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mg.load(tmp_path / "model").settings_.hidden in ((4,), (5,))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert all("\n" not in str(fault) for fault in faults)


# -------------------------------------------------------------------- 94: locales and names


def run_cli(arguments: list[Any], **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "massgraph.cli", *arguments],
        capture_output=True,
        check=False,
        env={
            **{name: text for name, text in os.environ.items() if name[:3] != "LC_"},
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        },
    )


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"}])
def test_94_names_that_are_no_utf8(tmp_path: Path, environment: dict[str, str]) -> None:
    """A folder named in Latin-1: read, and its name in the output is at least printable."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/L\xe4ufer"))
    path = Builder().write(folder)
    done = run_cli(["validate", path, "--json"], **environment)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.decode("ascii"))
    assert summary["n_pixels"] == 4
    path.with_suffix(".ibd").unlink()
    done = run_cli(["validate", path], **environment)
    assert done.returncode == 2
    assert b"is missing from the same folder" in done.stderr
    assert b"Traceback" not in done.stderr


def test_94_numbers_do_not_follow_the_locale(tmp_path: Path) -> None:
    """With a decimal comma in the locale, where this machine has one, the numbers are the same."""
    places = ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8")
    before = locale.setlocale(locale.LC_ALL)
    table = tmp_path / "labels.csv"
    table.write_text("x,y,label\n1.5,2,a\n", encoding="utf-8")
    path = Builder().write(tmp_path)
    plain = read_imzml(path)
    found = []
    for place in places:
        try:
            locale.setlocale(locale.LC_ALL, place)
        except locale.Error:
            continue
        try:
            found.append(place)
            assert read_labels(table).x.tolist() == [1.5]
            assert np.array_equal(read_imzml(path).mz, plain.mz)
        finally:
            locale.setlocale(locale.LC_ALL, before)
    if not found:
        pytest.skip("no locale with a decimal comma is installed")


def test_94_comma_decimals_are_refused_with_advice(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text('x,y,label\n"1,5",2,a\n', encoding="utf-8")
    with pytest.raises(LabelsError, match="write decimals with a point"):
        read_labels(table)
    # Where a comma separates nothing, it can be nothing else.
    table.write_text("x;y;label\n1,5;2;a\n", encoding="utf-8")
    assert read_labels(table).x.tolist() == [1.5]


# -------------------------------------------------------------------- 89: other machines


def test_89_a_model_folder_moves_with_its_card(tmp_path: Path, fitted: mg.RGCNClassifier) -> None:
    """Nothing in the folder names a place of this machine."""
    fitted.save(tmp_path / "model")
    moved = Path(shutil.move(tmp_path / "model", tmp_path / "elsewhere"))
    assert mg.load(moved).classes_.tolist() == fitted.classes_.tolist()
    for path in moved.iterdir():
        assert os.fsencode(Path.home()) + b"/" not in path.read_bytes()
        assert os.fsencode(tmp_path) not in path.read_bytes()
