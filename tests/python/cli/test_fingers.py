"""The program under fingers: interrupted at any moment, piped into nothing, on a full disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import cli_runs
from cli_runs import Run, assert_refused, tree
from massgraph.cli import interrupts, main
from massgraph.cli.faults import FAILED
from massgraph.cli.interrupts import INTERRUPTED

run, simulation, data, fitted = cli_runs.run, cli_runs.simulation, cli_runs.data, cli_runs.fitted
fast_figures = cli_runs.fast_figures

# As the script massgraph does it, which says when the interpreter itself has begun; tests that run
# in the background inherit a Ctrl-C that is not heeded.
CALLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from massgraph.cli import main
sys.argv[0] = "massgraph"
print("begins", flush=True)
sys.exit(main())
"""

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals and devices of POSIX")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The program as a process, and a group, of its own."""
    words = [sys.executable, "-m", "massgraph.cli", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(words, text=True, start_new_session=True, **pipes)


def finished(*arguments: object, **options: Any) -> tuple[int, str, str]:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out or "", err or ""


# ------------------------------------------------------------------------ Ctrl-C


@needs_posix
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.8, 2.0, 4.0])
def test_ctrl_c_while_it_is_imported_and_later(seconds: float, data: Path, tmp_path: Path) -> None:
    words = ["fit", data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", CALLED, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    time.sleep(seconds)
    if process.poll() is not None:
        pytest.skip(f"the fit was over within {seconds} s")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert err == "massgraph: interrupted, nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_other_programs_keep_their_handler(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    monkeypatch.setattr(sys, "argv", ["notebook.py", "--version"])
    for argv in (None, ["--version"]):
        with pytest.raises(SystemExit):
            main(argv)
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
    assert capsys.readouterr().out.count("massgraph") == 2


@pytest.mark.parametrize(
    ("called", "ours"),
    [
        ("/usr/bin/massgraph", True),
        (r"C:\Scripts\massgraph.exe", True),
        ("/lib/massgraph/cli/__main__.py", True),
        ("/usr/bin/pytest", False),
        ("", False),
    ],
)
def test_the_program_is_told_by_its_name(
    called: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)
    assert interrupts.is_program() is ours
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)  # as nohup sets it
    assert not interrupts.is_program()


def test_an_interrupt_that_a_library_made_an_error_of(
    run: Run, data: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy and others say ImportError where their import was interrupted."""

    def half_imported(*_: object, **__: object) -> None:
        msg = "numpy.core.multiarray failed to import"
        raise ImportError(msg)

    monkeypatch.setattr("massgraph.report.results.write_results", half_imported)
    words = ("predict", fitted / "model", data / "run1.imzML", "--out", tmp_path / "out")
    assert_refused(run(*words), "failed to import", code=FAILED)
    monkeypatch.setattr(interrupts, "_seen", True)
    assert_refused(run(*words), "interrupted, nothing was written", code=INTERRUPTED)


def test_an_interrupt_within_a_finalizer_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)

    class Unraisable:
        exc_type: type[BaseException] = KeyboardInterrupt

    interrupts._pass_on(Unraisable())
    assert raised == [signal.SIGINT]


# ------------------------------------------------------------------------ pipes and devices


@needs_posix
@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["validate", "{run}", "--json"]])
def test_output_that_nobody_reads(words: list[str], data: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [word.format(run=data / "run1.imzML") for word in words]
    assert finished(*words, stdout=writing)[::2] == (0, "")
    assert finished("validate", data / "absent.imzML", stderr=writing)[0] == 2
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["validate", "{run}"]])
def test_output_onto_a_full_disk(words: list[str], data: Path) -> None:
    words = [word.format(run=data / "run1.imzML") for word in words]
    with Path("/dev/full").open("w") as full:
        code, _, err = finished(*words, stdout=full)
        assert code == FAILED
        assert err.startswith("massgraph: ")
        assert "No space left on device" in err
        assert err.count("\n") == 1
        assert finished("validate", data / "absent.imzML", stderr=full)[0] == 2


@needs_posix
def test_without_stderr(data: Path, tmp_path: Path) -> None:
    """A program that is started without one (2>&-) has None in its place."""
    command = f'"{sys.executable}" -m massgraph.cli fit "$@" 2>&-'
    words = [data / "run1.imzML", "--labels", data / "run1.csv", "--out", tmp_path / "out"]
    words += ["--effort", "fast", "--json"]
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *map(str, words)], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["pixels"] == 100


# ------------------------------------------------------------------------ full disks


@pytest.mark.parametrize("command", ["predict", "explain"])
@pytest.mark.parametrize("words", [OSError(errno.ENOSPC, "No space left on device"), "os error"])
def test_a_disk_that_fills_up(
    command: str,
    words: Any,
    run: Run,
    data: Path,
    fitted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line that names the folder asked for, and not the temporary one; nothing is left."""

    def fill_up(*_: object, **__: object) -> None:
        if isinstance(words, OSError):
            raise words
        msg = "I/O error: No space left on device (os error 28)"  # as safetensors says it
        raise RuntimeError(msg)

    monkeypatch.setattr("massgraph.report.results._draw", fill_up)
    out = tmp_path / "out"
    outcome = run(command, fitted / "model", data / "run1.imzML", "--out", out)
    assert_refused(outcome, f"{out} was not written: there is no space left", code=FAILED)
    assert tree(tmp_path) == {}


# ------------------------------------------------------------------------ where things go


def test_a_benchmark_writes_what_it_is_told_to(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from massgraph.evidence import benchmark

    def write(_result: object, out: Path, *, overwrite: bool) -> None:
        assert not overwrite
        out.mkdir()

    monkeypatch.setattr(benchmark, "benchmark", lambda _: {"versions": {}, "rows": []})
    monkeypatch.setattr(benchmark, "summary", lambda _: {"massgraph": "0"})
    monkeypatch.setattr(benchmark, "write", write)
    monkeypatch.chdir(tmp_path)
    assert run("benchmark", "--quick").code == 0
    assert tree(tmp_path) == {}
    assert run("benchmark", "--quick", "--out", "here").code == 0
    assert list(tree(tmp_path)) == ["here"]


@pytest.mark.parametrize("models", [["lda"], ["lda", "pls_da"], ["massgraph fast"]])
def test_an_evaluation_of_any_models(models: list[str], run: Run, tmp_path: Path) -> None:
    words = ("--synthetic", "tissue", "--quick", "--out", tmp_path / "out", "--json")
    outcome = run("evaluate", *words, "--models", *models)
    assert outcome.code == 0, outcome
    assert set(models) <= set(outcome.summary["balanced_accuracy_clean"])
    assert outcome.summary["against_the_best_other"] == []
    assert (tmp_path / "out" / "evaluation.html").is_file()
    assert (tmp_path / "out" / "tests.csv").read_text() == "model,fault,difference,low,high,p\n"


def test_files_of_odd_names(run: Run, simulation: Any, tmp_path: Path) -> None:
    """Spaces, quotes, a line end: read, and said in one line where they are wrong."""
    path = cli_runs.write_run(simulation, "run2", tmp_path, 'it\'s "my" slide\n2 é 肿')
    outcome = run("validate", path, "--json")
    assert outcome.code == 0, outcome
    assert outcome.summary["runs"] == [path.stem]
    assert_refused(run("validate", path.with_name("no\nsuch.imzML")), "such.imzML")


@needs_posix
def test_a_plain_locale_and_a_home_that_is_not_there(
    simulation: Any, fitted: Path, tmp_path: Path
) -> None:
    """As in a container: C locale, no terminal, no place for matplotlib's cache."""
    path = cli_runs.write_run(simulation, "run2", tmp_path, "Gewebe é")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}
    # Below a file there can be no folder, whoever asks for it: root may write everywhere else.
    plain |= {"HOME": str(path / "home"), "MPLCONFIGDIR": "", "NO_COLOR": "1"}
    words = ("predict", fitted / "model", path, "--out", tmp_path / "out", "--json")
    code, out, err = finished(*words, env={**os.environ, **plain})
    assert (code, err) == (0, "")
    assert json.loads(out)["pixels"] == 100
    assert "\x1b" not in out
