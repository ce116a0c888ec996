"""The test run's own bookkeeping, and that the files of the repository agree with each other."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASE = re.compile(r"^([a-z0-9-]+)==([^ ;]+)(?: ; python_version (?:<|>=) \"3\.11\")?$")


@pytest.fixture(scope="module")
def run_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", ROOT / "tools" / "run_tests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_tests"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["run_tests"]
    return module


def test_part_shows_output_and_keeps_what_was_left_out(
    run_tests: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    part = run_tests.Part("p", [sys.executable, "-c", "print('seen\\nnot run: the rest: absent')"])
    run_tests.run(part)
    assert part.passed
    assert part.omitted == ["the rest: absent"]
    assert capsys.readouterr().out == "\n== p\nseen\n"


def test_part_fails_with_its_command(run_tests: ModuleType) -> None:
    part = run_tests.Part("p", [sys.executable, "-c", "raise SystemExit(3)"])
    run_tests.run(part)
    assert not part.passed
    assert "FAILED  p " in run_tests.summary([part])


def test_part_has_its_own_environment(
    run_tests: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETICULATE_PYTHON", "/usr/bin/another")
    show = "import os; print(os.environ['RETICULATE_PYTHON'])"
    run_tests.run(run_tests.Part("p", [sys.executable, "-c", show], {"RETICULATE_PYTHON": "ours"}))
    assert capsys.readouterr().out.endswith("\nours\n")


def test_r_is_tested_with_the_python_that_runs_the_tests(
    run_tests: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tests.shutil, "which", lambda _: "/usr/bin/Rscript")
    assert run_tests.r_part().environment == {"RETICULATE_PYTHON": sys.executable}


def test_skips_are_gathered_by_reason(run_tests: ModuleType, tmp_path: Path) -> None:
    # What pytest really writes, for a test, a whole module and an expected failure.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_a.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_skipped(n): pytest.skip('no data')\n"
        "@pytest.mark.xfail(reason='known')\n"
        "def test_known(): raise ValueError\n"
        "def test_passed(): pass\n"
    )
    (tmp_path / "test_b.py").write_text("import pytest\npytest.importorskip('no_scanpy')\n")
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    subprocess.run(
        [*command, f"--junitxml={report}"], cwd=tmp_path, check=True, capture_output=True
    )
    assert run_tests.skips(report) == [
        "1 Python test (test_b): could not import 'no_scanpy': No module named 'no_scanpy'",
        "2 Python tests (test_a): no data",
    ]
    assert run_tests.skips(tmp_path / "absent.xml") == []


def test_summary_ends_with_what_could_not_run(run_tests: ModuleType) -> None:
    ran = run_tests.Part("one", [], passed=True)
    assert run_tests.summary([ran]).endswith("everything ran")
    left = run_tests.Part("two", [], passed=True, omitted=["R suite: R is not installed"])
    assert run_tests.summary([ran, left]).endswith("\nnot run: R suite: R is not installed")


def test_without_r_the_summary_names_the_packages(
    run_tests: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tests.shutil, "which", lambda _: None)
    part = run_tests.r_part()
    run_tests.run(part)
    assert part.passed
    assert "r-base-core, r-cran-testthat" in part.omitted[0]


def test_constraints_pin_every_dependency_once_for_every_python() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    unclear = [line for line in pins if not RELEASE.match(line)]
    assert not unclear
    names = [line.split("==")[0] for line in pins]
    doubled = {name for name in names if names.count(name) > 1}
    for name in doubled:
        markers = sorted(line.split(" ; ")[1] for line in pins if line.startswith(f"{name}=="))
        assert markers == ['python_version < "3.11"', 'python_version >= "3.11"']

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, tables = project.partition("\ndependencies = [")
    asked = set(
        re.findall(r'^    "([A-Za-z0-9-]+)', tables.partition("[project.scripts]")[0], re.M)
    )
    assert len(asked) > 10
    # The versions of rpy2 depend on that of R: R/install.R has them.
    pinned = {name.lower() for name in asked if not name.startswith("rpy2-")}
    assert pinned <= set(names)
    assert not any(name.startswith("rpy2") for name in names)


def test_make_help_names_the_commands() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    tests = ("test", "test-numpy1", "test-newest", "fuzz")
    for command in ("demo", *tests, "lint", "format", "clean"):
        assert re.search(rf"^  {command}  +\S", shown, re.M)


@pytest.mark.parametrize(
    ("python", "reason"),
    [("no-such-python", "no 'no-such-python' here"), ("false", "'false' does not run")],
)
def test_an_unusable_python_is_named_in_one_line(tmp_path: Path, python: str, reason: str) -> None:
    script = ROOT / "tools" / "python_environment.sh"
    done = subprocess.run(
        [str(script), python, str(tmp_path / "venv"), "constraints.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "venv").exists()
