"""Fuzz the readers, each for a bounded time, and say how many inputs were tried and what they met.

``python tests/fuzz/run.py --seconds 600`` runs all targets one after the other. Inputs that
break a promise (another error than the reader's own, more than 10 s, more than 1 GiB of memory)
end a target, and are left in ``build/fuzz/TARGET/found``: mend the reader, and move the input to
``tests/fuzz/found/TARGET``, where the tests replay it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "python"), str(ROOT / "python")]

WORK = ROOT / "build" / "fuzz"
LARGEST_INPUT = 1_000_000
SLOWEST_SECONDS = 10
# What hangs, hangs for ever: waiting longer would only try fewer inputs.
CHECK_SECONDS = 0.5
MOST_MEMORY = 2**30
# Where the line coverage of each target is looked at.
MODULES = {
    "imzml": "io/imzml.py io/_ibd.py io/_imzml_header.py io/_imzml_reader.py io/_imzml_xml.py "
    "io/_imzml_spectra.py io/_imzml_alike.py io/_peaks.py io/_centroid.py",
    "model": "store/files.py store/checks.py store/classifier.py store/config.py store/regions.py "
    "learn/region_origin.py",
    "labels": "io/labels.py io/_label_table.py io/_label_shapes.py io/_label_places.py "
    "data/label_names.py data/label_evidence.py",
    "h5ad": "io/anndata.py io/_anndata_layout.py",
    "anndata": "io/anndata.py io/_anndata_layout.py",
}


def limit_memory() -> None:
    """Allow what is in use now and one gibibyte more; more raises MemoryError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def forked_check(path: Path) -> str | None:
    """As `check_h5`, in a fork of this process, which starts a hundred times faster."""
    import h5py

    from massgraph.io import _h5_check

    if not h5py.is_hdf5(path):
        return "it is no HDF5 file"
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE):
            signal.signal(number, signal.SIG_DFL)  # not the fuzzer's, which would report a crash
        sys.stdout = os.fdopen(sink, "w", encoding="utf-8")
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  closed at its end
        try:
            _h5_check.look(str(path), CHECK_SECONDS)
        finally:
            os._exit(0)  # never back into the fuzzer
    os.close(sink)
    with os.fdopen(source, encoding="utf-8", errors="replace") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return _h5_check.judge(said, CHECK_SECONDS)


def fuzz(name: str, options: list[str]) -> None:
    """Run one target in this process until its time is over; never returns."""
    import atheris

    with atheris.instrument_imports(include=["massgraph", "pyimzml"]):
        import massgraph.io.anndata
        import massgraph.io.imzml
        import massgraph.io.labels
        import massgraph.store.folder
    from targets import TARGETS

    massgraph.io.anndata.check_h5 = forked_check  # type: ignore[assignment]
    target = TARGETS[name]
    target(b"")  # imports what it needs before memory is limited
    for seed in sorted((WORK / name / "seeds").iterdir()):
        target(seed.read_bytes())
    limit_memory()

    def once(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


def run_target(name: str, seconds: int) -> bool:
    """Run a target in a process of its own and print one line of figures; true if all held."""
    from seeds import write_seeds

    work = WORK / name
    (work / "found").mkdir(parents=True, exist_ok=True)
    (work / "corpus").mkdir(exist_ok=True)
    write_seeds(name, work / "seeds")
    options = [
        *(f"-max_total_time={seconds}", f"-timeout={SLOWEST_SECONDS}", "-print_final_stats=1"),
        *(
            "-rss_limit_mb=3000",
            f"-max_len={LARGEST_INPUT}",
            "-verbosity=1",
            "-use_value_profile=1",
        ),
        *(f"-artifact_prefix={work / 'found'}/", str(work / "corpus"), str(work / "seeds")),
    ]
    log = work / "log.txt"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    start = time.monotonic()
    with log.open("wb") as stream:
        command = [sys.executable, __file__, "--only", name, "--", *options]
        done = subprocess.run(command, stdout=stream, stderr=stream, env=environment, check=False)
    text = log.read_text(encoding="utf-8", errors="replace")
    executed = re.findall(r"stat::number_of_executed_units: (\d+)", text) or ["0"]
    edges = re.findall(r" cov: (\d+)", text) or ["0"]
    memory = re.findall(r"stat::peak_rss_mb: *(\d+)", text) or ["?"]
    found = sorted(path.name for path in (work / "found").iterdir())
    fine = done.returncode == 0 and not found
    print(
        f"{name}: {executed[-1]} executions in {time.monotonic() - start:.0f} s, "
        f"{edges[-1]} edges, {len(list((work / 'corpus').iterdir()))} inputs kept, "
        f"peak {memory[-1]} MB, {line_coverage(name)}"
        + ("" if fine else f"; STOPPED, see {log} and {', '.join(found) or 'nothing found'}"),
        flush=True,
    )
    return fine


def line_coverage(name: str) -> str:
    """Replay the inputs that were kept, and count the lines of the readers that they reach."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:5]\n"
        "from pathlib import Path; from targets import TARGETS\n"
        "for folder in ('seeds', 'corpus'):\n"
        "    for path in sorted(Path(sys.argv[1], folder).iterdir()):\n"
        "        TARGETS[Path(sys.argv[1]).name](path.read_bytes())\n"
    )
    work = WORK / name
    (work / "replay.py").write_text(script, encoding="utf-8")
    data = f"--data-file={work / 'coverage'}"
    coverage = [sys.executable, "-m", "coverage"]
    source = f"--source={ROOT / 'python' / 'massgraph'}"
    paths = [str(work), *sys.path[:3]]
    replay = [*coverage, "run", data, source, str(work / "replay.py"), *paths]
    if subprocess.run(replay, capture_output=True, check=False).returncode:
        return "line coverage unknown"
    files = ",".join(f"*/massgraph/{module}" for module in MODULES[name].split())
    report = [*coverage, "report", data, f"--include={files}", "--format=total"]
    total = subprocess.run(report, capture_output=True, text=True, check=False).stdout.strip()
    return f"{total} % of the lines of {MODULES[name]}"


def main() -> int:
    """Run what the command line asks for; 1 where a promise was broken."""
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="per target (default 600)")
    parser.add_argument("--only", choices=[*TARGETS], help="one target, in this process")
    parser.add_argument("targets", nargs="*", help=f"default: all of {', '.join(TARGETS)}")
    arguments, options = parser.parse_known_args()
    if importlib.util.find_spec("atheris") is None:
        print("not run: the fuzzer; atheris is not installed (Linux, Python 3.11 or later)")
        return 0
    if arguments.only:
        fuzz(arguments.only, [*arguments.targets, *options])
    results = [run_target(name, arguments.seconds) for name in arguments.targets or TARGETS]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
