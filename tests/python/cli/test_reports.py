"""How a command ends that fails: exit code, one line, and a log of what is a fault of massgraph."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli_runs
import massgraph
from cli_runs import Run, assert_refused
from imzml_builder import Builder
from massgraph._util.errors import InputError, InputTypeError
from massgraph._util.executor import Threads
from massgraph.cli import faults
from massgraph.cli.faults import BAD_INPUT, FAILED
from massgraph.cli.interrupts import INTERRUPTED

run, replace_command = cli_runs.run, cli_runs.replace_command

Replace = Callable[[Callable[..., Any]], None]


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def raising(error: BaseException) -> Callable[[object], Any]:
    def fail(_: object) -> Any:
        raise error

    return fail


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


# ------------------------------------------------------------------------ one line


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("a bad\n  value"), BAD_INPUT, "a bad value"),
        (InputTypeError("no number"), BAD_INPUT, "no number"),
        (FileExistsError("there already"), BAD_INPUT, "there already"),
        (FileNotFoundError(2, "No such file", "x"), BAD_INPUT, "[Errno 2] No such file: 'x'"),
        (IsADirectoryError("a folder"), BAD_INPUT, "a folder"),
        (NotADirectoryError("a file"), BAD_INPUT, "a file"),
        (PermissionError("not yours"), BAD_INPUT, "not yours"),
        (InputError(), BAD_INPUT, "InputError"),
        (OSError("disk full"), FAILED, "disk full"),
        (TimeoutError("too slow"), FAILED, "too slow"),
        (MemoryError(), FAILED, "MemoryError"),
        (FloatingPointError("loss is nan"), FAILED, "loss is nan"),
        (ImportError("xgboost is not installed", name="xgboost"), FAILED, "xgboost is not"),
        (OutOfMemoryError("CUDA out of memory"), FAILED, "CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate"), FAILED, "can't allocate"),
        (InputError("\x1b[31mred\u2028line"), BAD_INPUT, "[31mred line"),
    ],
)
def test_what_the_user_or_the_machine_has_to_mend(
    error: Exception, code: int, text: str, run: Run, replace_command: Replace, logs: Path
) -> None:
    replace_command(raising(error))
    outcome = run("try", "x.imzML")
    assert_refused(outcome, text, code=code)
    assert "\x1b" not in outcome.err
    assert list(logs.iterdir()) == []


def test_notes_say_where_it_befell(run: Run, replace_command: Replace) -> None:
    def fit(fold: int) -> None:
        msg = f"fold {fold} has one class"
        raise InputError(msg)

    def work(_: object) -> None:
        list(Threads(2).map(fit, [2], name="fitting fold {}".format))

    replace_command(work)
    outcome = run("try", "x")
    assert outcome.err == "massgraph: fold 2 has one class; while fitting fold 2\n"
    assert outcome.code == BAD_INPUT


def test_an_interrupt_is_no_fault(run: Run, replace_command: Replace, logs: Path) -> None:
    replace_command(raising(KeyboardInterrupt()))
    assert_refused(run("try", "x"), "interrupted, nothing was written", code=INTERRUPTED)
    assert list(logs.iterdir()) == []


def test_traceback_for_those_who_ask(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace_command: Replace, logs: Path
) -> None:
    monkeypatch.setenv("MASSGRAPH_TRACEBACK", "1")
    with pytest.raises(InputError, match=r"absent\.imzML"):
        run("validate", tmp_path / "absent.imzML")
    replace_command(raising(KeyError("x")))
    with pytest.raises(KeyError):
        run("try", "x")
    assert list(logs.iterdir()) == []


def test_warnings_are_lines_on_stderr(run: Run, replace_command: Replace) -> None:
    def warn(_: object) -> dict[str, Any]:
        warnings.warn("the pixel size is unknown", UserWarning, stacklevel=1)
        return {"pixels": 3, "share": 0.123456, "names": [], "classes": {"a": 0.5}}

    replace_command(warn)
    outcome = run("try", "x.imzML")
    assert outcome.code == 0
    assert outcome.err == "massgraph: warning: the pixel size is unknown\n"
    assert outcome.out == "pixels   3\nshare    0.1235\nnames    none\nclasses  a 0.5\n"


def test_numbers_of_json_have_the_digits_that_they_earn(run: Run, replace_command: Replace) -> None:
    values = {"share": 0.1 + 0.2, "sum": 12345.678, "n": 3, "all": {"a": [1 / 3, None, True]}}
    replace_command(lambda _: values)
    outcome = run("try", "x.imzML", "--json")
    assert "0.30000000000000004" not in outcome.out
    assert outcome.summary == {
        "share": 0.3,
        "sum": 12345.7,
        "n": 3,
        "all": {"a": [0.3333, None, True]},
    }


# ------------------------------------------------------------------------ faults of massgraph


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("operands could not be broadcast"), "ValueError: operands could not be"),
        (TypeError("unsupported operand"), "TypeError: unsupported operand"),
        (RuntimeError("mat1 and mat2\nshapes"), "RuntimeError: mat1 and mat2 shapes"),
        (IndexError(), "internal error (IndexError);"),
        (AssertionError(), "internal error (AssertionError);"),
        (ModuleNotFoundError("No module", name="massgraph.x"), "ModuleNotFoundError: No module"),
    ],
)
def test_a_fault_is_one_line_that_names_its_log(
    error: Exception, said: str, run: Run, replace_command: Replace, logs: Path, tmp_path: Path
) -> None:
    replace_command(raising(error))
    outcome = run("try", "a file.imzML", "--out", tmp_path / "out")
    (path,) = logs.iterdir()
    assert_refused(outcome, "internal error (", said, code=FAILED)
    assert outcome.err.endswith(f"; the trace is in {path}, please report it\n")
    assert re.fullmatch(r"massgraph-error-\d{8}-\d{6}-\w+\.log", path.name)
    assert [one.name for one in tmp_path.iterdir()] == ["temporary"]
    text = path.read_text(encoding="utf-8")
    assert f"massgraph try 'a file.imzML' --out {tmp_path / 'out'}\n" in text
    assert f"massgraph: {massgraph.__version__}\n" in text
    assert "torch: " in text
    assert text.endswith(f"{traceback.format_exception_only(error)[-1].rstrip()}\n")
    assert "raise error" in text


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_a_log_is_its_owners(run: Run, replace_command: Replace, logs: Path) -> None:
    replace_command(raising(KeyError("x")))
    for _ in range(3):  # within a second, and still each has its own
        run("try", "x")
    assert len(list(logs.iterdir())) == 3
    assert {path.stat().st_mode & 0o777 for path in logs.iterdir()} == {0o600}


def test_a_log_holds_the_cause_and_the_notes(
    run: Run, replace_command: Replace, logs: Path
) -> None:
    def fit(_: int) -> None:
        try:
            {}["weights"]
        except KeyError as error:
            msg = "no weights"
            raise RuntimeError(msg) from error

    def work(_: object) -> None:
        list(Threads(1).map(fit, [0], name="fitting fold {}".format))

    replace_command(work)
    assert "(RuntimeError: no weights; while fitting fold 0)" in run("try", "x").err
    (path,) = logs.iterdir()
    text = path.read_text(encoding="utf-8")
    assert "KeyError: 'weights'" in text
    assert "while fitting fold 0" in text


def test_where_no_log_can_be_written_the_trace_is_on_stderr(
    run: Run, replace_command: Replace, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_command(raising(KeyError("x")))
    monkeypatch.setattr(tempfile, "tempdir", str(logs / "absent"))
    outcome = run("try", "x")
    first, *rest = outcome.err.splitlines()
    assert first == "massgraph: internal error (KeyError: 'x'); please report it with what follows"
    assert "Traceback (most recent call last):" in rest
    assert rest[-1] == "KeyError: 'x'"
    assert outcome.code == FAILED


def test_a_log_that_breaks_off_is_removed(
    run: Run, replace_command: Replace, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Any:
            raise OSError(28, "No space left on device")

        def __exit__(self, *_: object) -> None:
            pass

    def full(handle: int, *_: object, **__: object) -> Any:
        os.close(handle)
        return Full()

    replace_command(raising(KeyError("x")))
    monkeypatch.setattr(faults.os, "fdopen", full)
    assert "please report it with what follows" in run("try", "x").err
    assert list(logs.iterdir()) == []


def test_a_fault_in_what_tells_the_versions(
    run: Run, replace_command: Replace, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("massgraph.versions.versions", raising(RuntimeError("broken")))
    monkeypatch.setattr("massgraph.versions.versions", lambda: 1 / 0)
    replace_command(raising(KeyError("x")))
    run("try", "x")
    (path,) = logs.iterdir()
    assert f"massgraph: {massgraph.__version__}\npython: " in path.read_text(encoding="utf-8")


# ------------------------------------------------------------------------ pipes and encodings


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, in which `massgraph` is this program."""
    source = str(Path(massgraph.__file__).parents[1])
    massgraph_ = f'massgraph() {{ "{sys.executable}" -m massgraph.cli "$@"; }}'
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {massgraph_}; {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": source, **environment},
    )


posix = pytest.mark.skipif(os.name != "posix", reason="pipes as bash has them")


@posix
@pytest.mark.parametrize("words", ["--help", "validate {path}", "validate {path} --json"])
def test_a_reader_who_has_gone_away(words: str, tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    done = shell(f"massgraph {words.format(path=path)} | (exec <&-; sleep 5)")
    assert done.stderr == ""
    assert done.returncode == 0


@posix
def test_stderr_that_nobody_reads(tmp_path: Path) -> None:
    path = Builder(trailing=b"rest").write(tmp_path)
    done = shell(f"massgraph validate {path} 2> >(exec <&-; sleep 5)")
    assert done.returncode == 0
    assert "n pixels" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout(tmp_path: Path) -> None:
    path = Builder().write(tmp_path)
    done = shell(f"massgraph validate {path} > /dev/full")
    assert done.returncode == FAILED
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


@posix
def test_names_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    path = Builder().write(tmp_path, "図")
    done = shell(f"massgraph validate '{path}'", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\u56f3.imzML" in done.stdout
