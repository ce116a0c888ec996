"""Files are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from massgraph._util import files as _files
from massgraph._util.files import atomic_directory, atomic_file

needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: str, overwrite: bool = False) -> None:
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fill(path: Path, text: str, overwrite: bool = False) -> None:
    with atomic_directory(path, overwrite=overwrite) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a.txt").write_text(text, encoding="utf-8")


def interrupted(path: Path) -> None:
    path.write_text("half", encoding="utf-8")
    raise KeyboardInterrupt


# ------------------------------------------------------------------ files


def test_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "result.h5ad"
    with atomic_file(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".h5ad"
        temporary.write_text("new", encoding="utf-8")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["result.h5ad"]


def test_file_of_text_path_with_spaces_and_letters(tmp_path: Path) -> None:
    with atomic_file(str(tmp_path / "Niere α β.txt")) as temporary:
        temporary.write_bytes(b"x")
    assert names(tmp_path) == ["Niere α β.txt"]


def test_file_with_a_long_name(tmp_path: Path) -> None:
    write(tmp_path / ("n" * 250 + ".txt"), "x")
    assert len(names(tmp_path)) == 1


def test_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write(target, "old")
    with pytest.raises(FileExistsError, match=r"a\.txt exists already: .*overwrite=True"):
        write(target, "new")
    assert target.read_text(encoding="utf-8") == "old"
    write(target, "new", overwrite=True)
    assert target.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["a.txt"]


def test_file_after_an_exception_is_as_before(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_file(target, overwrite=True) as temporary:
        interrupted(temporary)
    assert target.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_file_that_another_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match="exists already"), atomic_file(target):
        target.write_text("theirs", encoding="utf-8")
    assert target.read_text(encoding="utf-8") == "theirs"
    assert names(tmp_path) == ["a.txt"]


def test_file_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]
    with pytest.raises(FileExistsError), atomic_file(tmp_path / "b.txt"):
        (tmp_path / "b.txt").write_text("theirs", encoding="utf-8")
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "theirs"


def test_file_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"):
        write(tmp_path, "x", overwrite=True)


def test_file_in_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"make the folder .*missing first"):
        write(tmp_path / "missing" / "a.txt", "x")


def test_file_in_a_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")
    with pytest.raises(OSError, match=r"cannot be written: .*a\.txt is not a folder"):
        write(tmp_path / "a.txt" / "b.txt", "x")


@needs_permissions
def test_file_in_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(PermissionError, match=r"no permission to write in .*closed"):
        write(folder / "a.txt", "x")
    folder.chmod(0o700)
    assert names(folder) == []


def test_permission_is_checked_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="no permission to write in"):
        write(tmp_path / "a.txt", "x")
    with pytest.raises(PermissionError, match="no permission to write in"):
        fill(tmp_path / "d", "x")
    assert names(tmp_path) == []


def test_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a.txt"
    write(target, "old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    with pytest.raises(FileExistsError, match=r"link\.txt exists already"):
        write(link, "new")
    write(link, "new", overwrite=True)
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "new"


def test_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "a.txt")
    write(link, "new")
    assert names(tmp_path) == ["a.txt", "link.txt"]


def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="a"):
        write(tmp_path / "a", "x")
    assert names(tmp_path) == ["a", "b"]


def test_file_is_as_readable_as_an_ordinary_one(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("x", encoding="utf-8")
    write(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode == ordinary.stat().st_mode
    ordinary.chmod(0o640)
    write(ordinary, "y", overwrite=True)
    assert ordinary.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_file_survives_a_killed_writer(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write(target, "old")
    code = textwrap.dedent(
        """
        import sys, time
        from massgraph._util.files import atomic_file
        with atomic_file(sys.argv[1], overwrite=True) as temporary:
            temporary.write_text("half")
            print("writing", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)
    assert target.read_text(encoding="utf-8") == "old"
    write(target, "new", overwrite=True)
    assert target.read_text(encoding="utf-8") == "new"


# ------------------------------------------------------------------ folders


def test_folder_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_directory(target) as temporary:
        (temporary / "weights").write_bytes(b"123")
        assert not target.exists()
    assert names(target) == ["weights"]
    assert names(tmp_path) == ["model"]


def test_existing_folder_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    (target / "extra").touch()
    with pytest.raises(FileExistsError, match="model exists already"):
        fill(target, "new")
    assert names(target) == ["extra", "inner"]
    fill(target, "new", overwrite=True)
    assert names(target) == ["inner"]
    assert (target / "inner" / "a.txt").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["model"]


def test_empty_folder_is_replaced_without_asking(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    fill(target, "new")
    assert names(target) == ["inner"]
    assert names(tmp_path) == ["model"]


def test_folder_after_an_exception_is_as_before(tmp_path: Path) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    with pytest.raises(KeyboardInterrupt), atomic_directory(target, True) as temporary:
        interrupted(temporary / "half")
    assert (target / "inner" / "a.txt").read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["model"]


def test_folder_that_another_made_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(FileExistsError, match="exists already"), atomic_directory(target):
        (target / "theirs").mkdir(parents=True)
    assert names(target) == ["theirs"]
    assert names(tmp_path) == ["model"]


@pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="no such system call")
def test_folders_change_names_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert _files._exchange(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "a") == ["b"]
    assert names(tmp_path / "b") == ["a"]
    assert not _files._exchange(tmp_path / "a", tmp_path / "absent")


def test_folder_is_replaced_where_names_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "_exchange", lambda *_: False)
    fill(tmp_path / "model", "old")
    fill(tmp_path / "model", "new", overwrite=True)
    assert (tmp_path / "model" / "inner" / "a.txt").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["model"]


def test_old_folder_comes_back_when_the_renaming_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    monkeypatch.setattr(_files, "_exchange", lambda *_: False)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="was not written: there is no space left on its disk"):
        fill(target, "new", overwrite=True)
    assert (target / "inner" / "a.txt").read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["model"]


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "x")
    with pytest.raises(NotADirectoryError, match=r"a\.txt is a file: give the name of a folder"):
        fill(tmp_path / "a.txt", "x", overwrite=True)


def test_folder_in_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"make the folder .*missing first"):
        fill(tmp_path / "missing" / "model", "x")


def test_link_to_a_folder_stays(tmp_path: Path) -> None:
    fill(tmp_path / "model", "old")
    (tmp_path / "link").symlink_to(tmp_path / "model", target_is_directory=True)
    fill(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    text = (tmp_path / "model" / "inner" / "a.txt").read_text(encoding="utf-8")
    assert text == "new"


def test_of_two_writers_one_wins_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    code = textwrap.dedent(
        """
        import sys, time
        from massgraph._util.files import atomic_directory
        with atomic_directory(sys.argv[1], overwrite=True) as temporary:
            for part in "abc":
                (temporary / part).write_text(sys.argv[2])
            print("ready", flush=True)
            sys.stdin.readline()
        """
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(target), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.close()
    codes = [writer.wait(30) for writer in writers]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    assert 0 in codes
    assert len({(target / part).read_text(encoding="utf-8") for part in "abc"}) == 1
    assert names(tmp_path) == ["model"]
