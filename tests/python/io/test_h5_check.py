"""The look at an HDF5 file from another process: what it lets pass, and what it stops."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from massgraph.io import _h5_check
from massgraph.io.anndata import AnnDataError, open_h5ad

ENDLESS = Path(__file__).resolve().parents[2] / "fuzz" / "found" / "h5ad" / "endless-attribute"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with everything that h5ad may hold: text, categories, sparse, empty, scalars."""
    path = tmp_path_factory.mktemp("h5") / "good.h5ad"
    adata = anndata.AnnData(
        X=sp.random(50, 20, 0.2, "csr", dtype=np.float32, random_state=0),
        obs=pd.DataFrame(
            {"text": list("abcde") * 10, "class": pd.Categorical(list("uv") * 25)},
            index=[f"p{n}" for n in range(50)],
        ),
        var=pd.DataFrame({"mz": np.arange(20) + 100.5}, index=[f"i{n}" for n in range(20)]),
        uns={"number": 1, "text": "ü", "nothing": {}, "array": np.empty(0)},
        obsm={"spatial": np.ones((50, 2))},
    )
    adata.write_h5ad(path, compression="gzip")
    return path


# -------------------------------------------------------------------- what passes


@pytest.mark.parametrize(
    "name", ["good.h5ad", "mit Leerzeichen ü.h5ad", "-rf.h5ad", "a;b'c\".h5ad"]
)
def test_good_files_pass_whatever_they_are_called(good: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(good, path)
    assert _h5_check.check_h5(path) is None


def test_relative_paths_are_of_this_process(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good.parent)
    assert _h5_check.check_h5(Path(good.name)) is None


def test_large_files_are_not_read_whole(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Counted:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __getattr__(self, name: str) -> Any:
            return getattr(self.array, name)

        def __getitem__(self, key: Any) -> Any:
            values = self.array[key]
            read.append(np.size(values))
            return values

    monkeypatch.setattr(_h5_check, "SLAB", 8)
    with h5py.File(good, "r") as file:
        array = Counted(file["obsm/spatial"])
        _h5_check._inspect_array(array, whole=True)
        assert sum(read) == 100
        read.clear()
        _h5_check._inspect_array(array, whole=False)
        assert sum(read) == 4


def test_every_object_is_seen_once_however_it_is_linked(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/b/values"] = np.arange(3)
        file["a/again"] = file["a/b/values"]
        file["a/b/up"] = file["a"]  # a circle
        file["soft"] = h5py.SoftLink("/a/b")
        file["nothing"] = h5py.Empty("f4")
        names = [item.name for item in _h5_check._objects(file)]
    assert len(names) == 5
    _h5_check.inspect(tmp_path / "a.h5")
    assert _h5_check.check_h5(tmp_path / "a.h5") is None


# -------------------------------------------------------------------- what is stopped


def test_a_file_that_hangs_hdf5_is_refused_in_time() -> None:
    start = time.monotonic()
    reason = _h5_check.check_h5(ENDLESS)
    assert reason is not None
    assert "took over 5 s" in reason
    assert time.monotonic() - start < 20  # 6 s on an idle core
    with pytest.raises(AnnDataError, match=r"endless-attribute cannot be read as h5ad"):
        open_h5ad(ENDLESS)


@pytest.mark.parametrize("raw", [b"", b"x" * 1000, b"\x89HDF\r\n\x1a", b"PK\3\4"])
def test_other_files_are_told_without_a_process(
    tmp_path: Path, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    (tmp_path / "a.h5ad").write_bytes(raw)
    assert _h5_check.check_h5(tmp_path / "a.h5ad") == "it is no HDF5 file"


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_cut_files_are_refused(good: Path, tmp_path: Path, share: float) -> None:
    raw = good.read_bytes()
    (tmp_path / "a.h5ad").write_bytes(raw[: int(len(raw) * share)])
    reason = _h5_check.check_h5(tmp_path / "a.h5ad")
    assert reason is not None
    assert "truncated" in reason
    assert "\n" not in reason


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["soft"] = h5py.SoftLink("/absent")
    assert _h5_check.check_h5(tmp_path / "a.h5") is not None


def test_highly_compressed_values_are_no_lie(tmp_path: Path) -> None:
    """Zeros pack a thousandfold, which is possible; four million times is not."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("zeros", data=np.zeros(10**7), compression="gzip", compression_opts=9)
    assert _h5_check.check_h5(tmp_path / "a.h5") is None
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("zeros", (10**9,), "f8", chunks=(10**6,))
    reason = _h5_check.check_h5(tmp_path / "b.h5")
    assert reason == "/zeros claims 8000000000 bytes, which its 0 bytes on the disk cannot be"


# -------------------------------------------------------------------- the child


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", None),
        ("looking\nfine\n", None),
        ("looking\n", "the HDF5 library crashed, ran out of memory or took over 7 s"),
        ("looking\n/X claims 5 bytes\n", "/X claims 5 bytes"),
    ],
)
def test_what_the_child_says(said: str, reason: str | None) -> None:
    assert _h5_check.judge(said, 7.0) == reason


@pytest.mark.parametrize("executable", ["", "R", "viewer"])
def test_inside_another_program_files_are_read_without_a_look(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, executable: str
) -> None:
    """Starting that program again would not start Python."""
    monkeypatch.setattr(sys, "executable", executable and str(tmp_path / executable))
    monkeypatch.setattr(subprocess, "run", None)
    assert _h5_check.check_h5(good) is None
    assert open_h5ad(good).n_obs == 50


def test_a_python_that_cannot_be_started_is_no_reason_to_refuse(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    assert _h5_check.check_h5(good) is None


def test_memory_is_limited_to_a_gibibyte(good: Path) -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import sys, resource; from pathlib import Path; from massgraph.io import _h5_check\n"
        "_h5_check._limit_memory(Path(sys.argv[1]))\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0])\n"
        "try: bytearray(2 << 30)\nexcept MemoryError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(good)], capture_output=True, text=True, check=True
    )
    limit, said = done.stdout.split()
    assert said == "refused"
    assert resource.RLIM_INFINITY != int(limit) < 1 << 33
