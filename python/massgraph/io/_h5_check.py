"""A look at an HDF5 file from a process of its own, before HDF5 is trusted with it in this one.

The HDF5 library reads damaged files in C: it may loop for ever, crash, or ask for memory that a
header claims (the fuzzer found all three in files of some kilobytes). A child process meets such a
file first; what stops the child is refused here in one line.
"""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["check_h5", "inspect", "look"]

# Files up to this size are read whole; of larger ones all but the inner part of arrays.
SMALL = 1 << 26
# Time for a small file, and speed that any disk has; what takes longer hangs.
SECONDS, BYTES_PER_SECOND = 5.0, 5e6
# Deflate, the strongest filter in use, packs 1032 bytes into one at best.
MOST_PACKED, LEAST_SUSPECT = 1100, 1 << 27
MEMORY = 1 << 30
SLAB = 1 << 22
# The child looks for packages where this process does, and nowhere else: not in the folder that it
# happens to run in, and not where variables of the environment point.
CHILD = (
    "import sys; sys.path[:] = sys.argv[3:]; from massgraph.io._h5_check import look; "
    "look(sys.argv[1], float(sys.argv[2]))"
)


class _RefusedError(Exception):
    """The file can be read but must not be; the message says why."""


def check_h5(path: Path) -> str | None:
    """Reason not to read an HDF5 file, or None where nothing speaks against it.

    Notes
    -----
    Where this process is not run by a Python interpreter that can be started again (Python inside
    another program), the file is not looked at, and None is returned.
    """
    import h5py

    if not h5py.is_hdf5(path):  # looks for a signature and no more
        return "it is no HDF5 file"
    if not Path(sys.executable or "").name.lower().startswith("python"):
        return None
    seconds = SECONDS + path.stat().st_size / BYTES_PER_SECOND
    paths = [folder for folder in sys.path if folder]
    command = [sys.executable, "-I", "-c", CHILD, str(path.absolute()), str(seconds), *paths]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and our own code
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=seconds + 300,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return judge(done.stdout.decode("utf-8", "replace"), seconds)


def judge(said: str, seconds: float) -> str | None:
    """What the child's output means."""
    lines = said.splitlines()
    if not lines or lines[-1] == "fine":  # it did not come to look, or found nothing
        return None
    if lines[-1] == "looking":
        return f"the HDF5 library crashed, ran out of memory or took over {seconds:.0f} s"
    return lines[-1]


def look(path: str, seconds: float) -> None:
    """Inspect a file in this process, which ends after so many seconds whatever happens."""
    import h5py  # noqa: F401  imported before time and memory count

    _limit_memory(Path(path))
    faulthandler.dump_traceback_later(seconds, exit=True)
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout.write("looking\n")
    sys.stdout.flush()
    try:
        inspect(Path(path))
        verdict = "fine"
    except _RefusedError as error:
        verdict = " ".join(str(error).split())
    except MemoryError:
        verdict = "its parts claim more memory than a file of this size can fill"
    except Exception as error:
        verdict = " ".join(str(error).split())[:300] or type(error).__name__
    sys.stdout.write(verdict + "\n")
    sys.stdout.flush()


def _limit_memory(path: Path) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    statm = Path("/proc/self/statm")
    if path.stat().st_size <= SMALL and statm.is_file():
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = used + MEMORY if hard == resource.RLIM_INFINITY else min(used + MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def inspect(path: Path) -> None:
    """Touch every object and attribute of a file; raises where one cannot or must not be read."""
    import h5py

    whole = path.stat().st_size <= SMALL
    with h5py.File(path, "r") as file:
        for item in _objects(file):
            for name in item.attrs:
                item.attrs[name]
            if isinstance(item, h5py.Dataset):
                _inspect_array(item, whole=whole)


def _objects(file: Any) -> Iterator[Any]:
    """Every group and array of a file, once, however they are linked."""
    import h5py

    todo, seen = [file["/"]], set()
    while todo:
        item = todo.pop()
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            continue
        seen.add(place)
        yield item
        if not isinstance(item, h5py.Group):
            continue
        for name in item:
            if isinstance(item.get(name, getlink=True), h5py.ExternalLink):
                msg = f"{item.name}/{name} is a link to another file, which is not followed"
                raise _RefusedError(msg)
            if isinstance(item[name], (h5py.Group, h5py.Dataset)):
                todo.append(item[name])


def _inspect_array(array: Any, *, whole: bool) -> None:
    if array.external or array.is_virtual:
        msg = f"{array.name} keeps its values in another file, which is not followed"
        raise _RefusedError(msg)
    if array.shape is None:  # of no values at all
        return
    claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
    if claimed > max(LEAST_SUSPECT, stored * MOST_PACKED):
        msg = f"{array.name} claims {claimed} bytes, which its {stored} bytes on the disk cannot be"
        raise _RefusedError(msg)
    if array.ndim == 0:
        array[()]
        return
    step = max(1, SLAB // max(1, claimed // max(1, array.shape[0])))
    starts = range(0, array.shape[0], step)
    for start in starts if whole else {*starts[:1], *starts[-1:]}:
        array[start : start + step]
