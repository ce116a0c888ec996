"""Writers that are killed, and disks that are full or read-only: the old result stays.

The same with 200 kills: ``python tests/python/kill_writers.py``.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import massgraph as mg
from massgraph.report.page import write_report
from massgraph.report.results import write_explanation
from massgraph.segmentation import Segmentation

Write = Callable[[Path], object]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL, no mounts")


@pytest.fixture(scope="module")
def fitted() -> tuple[mg.RGCNClassifier, Segmentation]:
    spectra, labels = mg.simulate("tiny")
    classifier = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(64, 64))
    classifier.fit(spectra, labels)
    return classifier, classifier.segment(spectra, labels)


@pytest.fixture(scope="module", params=["model", "h5ad", "report", "results"])
def writer(
    request: pytest.FixtureRequest,
    fitted: tuple[mg.RGCNClassifier, Segmentation],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Write, Path]:
    """Something that is written, and a result that it wrote before."""
    classifier, segmentation = fitted
    writers: dict[str, Write] = {
        "model": lambda path: classifier.save(path, overwrite=True),
        "h5ad": lambda path: segmentation.write_h5ad(path, overwrite=True),
        "report": lambda path: write_report(segmentation, path, title="t", overwrite=True),
        "results": lambda path: write_explanation(segmentation, path, overwrite=True),
    }
    old = tmp_path_factory.mktemp("old") / "result"
    writers[request.param](old)
    return writers[request.param], old


def put(old: Path, place: Path) -> None:
    """A result from before."""
    if old.is_dir():
        shutil.copytree(old, place)
    else:
        shutil.copy(old, place)


def content(path: Path) -> Any:
    """Everything that is at a place and beside it, as bytes."""
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in files}


# -------------------------------------------------------------------- kill -9 (cases 66, 79, 90)


def test_66_kills_at_random_moments_do_no_harm() -> None:
    script = Path(__file__).parents[1] / "kill_writers.py"
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import kill_writers\n"
        "kills = {'save': 12, 'predict and write_h5ad': 6, 'fit and save': 2}\n"
        "print(json.dumps(list(kill_writers.run(kills, 1))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(script.parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["kills"] for row in rows] == [12, 6, 2]
    assert not [fault for row in rows for fault in row["faults"]]


# -------------------------------------------------------------------- full disks (case 66)


def mounted(folder: Path, options: str) -> bool:
    """Mount a small file system, where this process may."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        return False
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def full_disk(folder: Path, room: int) -> Iterator[None]:
    """A disk with so many bytes left; where none can be mounted, a limit on the size of files."""
    if os.path.ismount(folder):
        filler = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):  # no space left on the device
            while True:
                os.write(filler, bytes(1 << 16))
        os.ftruncate(filler, os.fstat(filler).st_size - room)
        os.close(filler)
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, where root may mount one, else a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    is_mounted = mounted(folder, "size=24m")
    try:
        yield folder
    finally:
        if is_mounted:
            subprocess.run([str(shutil.which("umount")), "-l", str(folder)], check=False)


def test_66_full_disk_leaves_the_old_result(disk: Path, writer: tuple[Write, Path]) -> None:
    write, old = writer
    place = disk / "result"
    put(old, place)
    with full_disk(disk, room=1 << 14):
        before = content(place)
        with pytest.raises(OSError) as caught:  # noqa: PT011  the message is looked at below
            write(place)
        assert content(place) == before
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_66_nothing_is_left_where_there_was_nothing(
    disk: Path, fitted: tuple[mg.RGCNClassifier, Segmentation]
) -> None:
    classifier, segmentation = fitted
    with full_disk(disk, room=0):
        before = content(disk / "result")
        for write in (classifier.save, segmentation.write_h5ad):
            with pytest.raises(OSError):  # noqa: PT011  whatever the writer met first
                write(disk / "result")
        assert content(disk / "result") == before


# -------------------------------------------------------------------- read-only folders (40, 90)


def test_90_read_only_folder(disk: Path, writer: tuple[Write, Path]) -> None:
    write, old = writer
    place = disk / "result"
    put(old, place)
    if os.path.ismount(disk):
        remount = [str(shutil.which("mount")), "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True)
    elif os.geteuid() == 0:
        pytest.skip("root may write everywhere, and no file system can be mounted here")
    else:
        disk.chmod(0o500)
    before = content(place)
    try:
        with pytest.raises(PermissionError, match="no permission to write in") as caught:
            write(place)
    finally:
        if not os.path.ismount(disk):
            disk.chmod(0o700)
    assert "\n" not in str(caught.value)
    assert content(place) == before


# -------------------------------------------------------------------- temporary folders (case 93)


def test_93_no_temporary_folder_is_needed(tmp_path: Path) -> None:
    """Results are made beside their place: a full /tmp does not matter."""
    code = (
        "import sys, tempfile\n"
        "import massgraph as mg, numpy as np\n"
        "def absent(*_, **__): raise OSError('no temporary folder')\n"
        "tempfile.mkdtemp = tempfile.mkstemp = absent\n"
        "spectra, labels = mg.simulate('tiny')\n"
        "c = mg.RGCNClassifier(epochs=1, augment=0, device='cpu', hidden=(4,))\n"
        "c.fit(spectra, labels).save(sys.argv[1] + '/model')\n"
        "s = mg.load(sys.argv[1] + '/model').segment(spectra, labels)\n"
        "s.write_h5ad(sys.argv[1] + '/a.h5ad')\n"
        "from massgraph.io.anndata import read_anndata\n"
        "read_anndata(sys.argv[1] + '/a.h5ad')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "model"]
