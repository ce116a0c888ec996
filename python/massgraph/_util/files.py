"""Writing files whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from massgraph._util.advice import advise

__all__ = ["atomic_directory", "atomic_file"]

# Linux says the first of a disk, the second of a quota.
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}

# <fcntl.h> and <linux/fs.h>; RENAME_SWAP of macOS has the same value.
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextmanager
def atomic_file(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the place of `path` when the block ends.

    Parameters
    ----------
    path
        The file to write. A symbolic link is followed: its target is replaced, the link stays.
    overwrite
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        An empty file in the folder of `path`, with the same suffix. At the end of the block it is
        flushed to the disk and renamed, so that `path` is absent, old or new at every moment, and
        never half. After an exception it is removed, and `path` is as it was.

    Raises
    ------
    FileExistsError
        Where `path` exists and `overwrite` is false; also where another process wrote it meanwhile.
    IsADirectoryError, FileNotFoundError, NotADirectoryError, PermissionError
        Where `path` is a folder, or its folder is missing, not a folder or cannot be written to.
    """
    target = _target(path)
    if target.is_dir():
        msg = f"{path} is a folder: give the name of a file in it"
        raise IsADirectoryError(msg)
    _refuse_existing(target, path, overwrite)
    _check_folder(target.parent, path)
    temporary = _sibling(target)
    temporary.touch(exist_ok=False)
    try:
        with _full_disks_named(path):
            yield temporary
            _flush(temporary)
            _copy_mode(target, temporary)
            if overwrite:
                temporary.replace(target)
            else:
                _rename_new(temporary, target, path)
            _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of `path` when the block ends.

    Parameters
    ----------
    path
        The folder to make. An empty folder that is there already is replaced without asking.
    overwrite
        Whether an existing folder may be replaced, with all that is in it.

    Yields
    ------
    Path
        An empty folder beside `path`. At the end of the block its files are flushed to the disk,
        and it is renamed. Where a folder was there, the two swap names in one step, so that there
        is an old or a new folder at every moment; then the old one is removed. On file systems
        that cannot do that, the old folder is moved aside first, and back if the renaming fails.
        After an exception nothing of the new folder is left.

    Raises
    ------
    FileExistsError
        Where `path` exists, is not empty and `overwrite` is false; also where another process
        made it meanwhile.
    NotADirectoryError, FileNotFoundError, PermissionError
        Where `path` is a file, or its folder is missing, not a folder or cannot be written to.
    """
    target = _target(path)
    if target.exists() and not target.is_dir():
        msg = f"{path} is a file: give the name of a folder"
        raise NotADirectoryError(msg)
    if target.is_dir() and any(target.iterdir()):
        _refuse_existing(target, path, overwrite)
    _check_folder(target.parent, path)
    temporary = _sibling(target)
    temporary.mkdir()
    try:
        with _full_disks_named(path):
            yield temporary
            for file in [*temporary.rglob("*"), temporary]:
                _flush(file)
            _copy_mode(target, temporary)
            _swap_directory(temporary, target, path, overwrite)
            _flush(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _full_disks_named(path: object) -> Iterator[None]:
    """Say of a full disk what was being written; the system names nothing, or a temporary name."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        msg = f"{path} was not written: there is no space left on its disk, or within its quota"
        full = OSError(msg)
        full.errno = errno.ENOSPC
        raise full from error


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that of a full disk."""
    while error is not None:
        # Libraries that write by themselves have errors of their own, and the system's words.
        if getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _target(path: str | os.PathLike[str]) -> Path:
    """`path` with symbolic links followed; it need not exist."""
    try:
        return Path(path).resolve(strict=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        msg = f"{path} leads nowhere (a loop of symbolic links?): {error}"
        raise OSError(msg) from error


def _refuse_existing(target: Path, path: object, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(target):
        replacing = advise("overwrite=True", cli="--overwrite")
        msg = f"{path} exists already: give another name or {replacing}"
        raise FileExistsError(msg)


def _check_folder(folder: Path, path: object) -> None:
    if not folder.exists():
        msg = f"{path} cannot be written: make the folder {folder} first"
        raise FileNotFoundError(msg)
    if not folder.is_dir():
        msg = f"{path} cannot be written: {folder} is not a folder"
        raise NotADirectoryError(msg)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"{path} cannot be written: no permission to write in {folder}"
        raise PermissionError(msg)


def _sibling(target: Path) -> Path:
    """Name beside `target` that nobody else has."""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(8)}{target.suffix[:40]}")


def _copy_mode(target: Path, temporary: Path) -> None:
    """Let a new file or folder be used by those who may use the one it replaces."""
    with suppress(FileNotFoundError):
        temporary.chmod(target.stat().st_mode & 0o777)


def _rename_new(temporary: Path, target: Path, path: object) -> None:
    """Rename without replacing: linking fails where the name has been taken meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        _refuse_existing(target, path, overwrite=False)
        raise
    except OSError:  # a file system without hard links
        _refuse_existing(target, path, overwrite=False)
        temporary.replace(target)


def _swap_directory(temporary: Path, target: Path, path: object, overwrite: bool) -> None:
    """Rename a folder onto `target`, keeping the old one until the new one is in its place."""
    with suppress(OSError):  # there is none, or it is not empty
        target.rmdir()
    if not target.exists():
        temporary.rename(target)
        return
    _refuse_existing(target, path, overwrite)
    if _exchange(temporary, target):
        return  # the old folder bears the temporary name now, and goes with it
    aside = _sibling(target)
    try:
        target.replace(aside)
        try:
            temporary.rename(target)
        except OSError:
            aside.replace(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two files or folders change names in one step; false where the system cannot.

    Python has no name for this: `renameat2` of Linux, `renamex_np` of macOS.
    """
    if os.name != "posix":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    a, b = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):
        return bool(library.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
    if hasattr(library, "renamex_np"):
        return bool(library.renamex_np(a, b, RENAME_EXCHANGE) == 0)
    return False


def _flush(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    if os.name == "nt" and path.is_dir():  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
