"""What massgraph leaves alone: the network, the interpreter, and the settings of its caller.

Python's audit events (PEP 578) tell of every connection, compilation and started program; they are
watched in processes of their own, since an audit hook can never be taken away again.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import massgraph as mg
from imzml_builder import Builder, term

# Fit, predict, save and load, read and write, draw and report.
EVERYTHING = """
    def everything(folder, imzml):
        from massgraph.report.page import write_report
        from massgraph.io.anndata import read_anndata
        mg.read_imzml(imzml)
        spectra, labels = mg.simulate("tiny")
        c = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(4,)).fit(spectra, labels)
        c.save(folder / "model", overwrite=True)
        result = mg.load(folder / "model").segment(spectra, labels)
        result.write_h5ad(folder / "a.h5ad", overwrite=True)
        read_anndata(folder / "a.h5ad")
        write_report(result, folder / "a.html", title="t", overwrite=True)
"""


def watched(code: str, *arguments: object) -> list[str]:
    """Run code in a new process; it prints a JSON list as its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    events: list[str] = json.loads(done.stdout.splitlines()[-1])
    return events


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Builder().write(tmp_path_factory.mktemp("image"))


def program(before: str, after: str) -> str:
    head = "import json, sys, warnings\nfrom pathlib import Path\nevents = []\n"
    return head + textwrap.dedent(before) + textwrap.dedent(EVERYTHING) + textwrap.dedent(after)


# -------------------------------------------------------------------- network


def test_no_network_at_import_fit_predict_or_write(tmp_path: Path, image: Path) -> None:
    code = program(
        """
        def hook(event, arguments):
            if event.startswith("socket.") and event != "socket.__new__":
                events.append(f"{event} {arguments!r:.100}")
            if event == "urllib.Request":
                events.append(event)
        sys.addaudithook(hook)
        import massgraph as mg
        """,
        """
        everything(Path(sys.argv[1]), sys.argv[2])
        from massgraph.cli import main
        main(["validate", sys.argv[2], "--json"])
        print()
        print(json.dumps(events))
        """,
    )
    assert watched(code, tmp_path, image) == []


def test_the_watch_would_see_a_connection() -> None:
    code = program(
        """
        sys.addaudithook(lambda event, _: events.append(event) if event[:7] == "socket." else None)
        import socket
        """,
        """
        s = socket.socket()
        s.settimeout(0.01)
        s.connect_ex(("127.0.0.1", 9))
        print(json.dumps(events))
        """,
    )
    assert "socket.connect" in watched(code)


# -------------------------------------------------------------------- code in data


def test_no_code_in_data_is_run(tmp_path: Path) -> None:
    """Files full of code, read once all modules are there: nothing is compiled, nothing starts."""
    evil = "__import__('os').system('touch owned')"
    code = program(
        """
        import encodings.utf_8_sig, massgraph as mg, massgraph.io.labels
        from massgraph.io import _h5_check, anndata as door
        """,
        f"""
        folder = Path(sys.argv[1])
        everything(folder, sys.argv[2])  # all that is imported on the way is there now
        door.check_h5 = lambda path: _h5_check.inspect(path)  # in this process, to be watched
        door.read_anndata(folder / "a.h5ad")
        suspects = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork",
                    "subprocess.Popen", "pickle.find_class", "marshal.loads", "ctypes.dlopen")
        active = []
        def hook(event, arguments):
            if active and event in suspects:
                events.append(f"{{event}} {{arguments!r:.200}}")
        sys.addaudithook(hook)
        config = folder / "model" / "config.json"
        text = config.read_text()
        table = json.loads(text)
        evil = {evil!r}
        active.append(True)
        warnings.simplefilter("ignore")
        mg.read_imzml(sys.argv[2])
        for name in list(table):
            config.write_text(json.dumps({{**table, name: evil}}))
            try:
                mg.load(folder / "model")
            except ValueError:
                pass
        config.write_text(text)
        mg.load(folder / "model")
        (folder / "labels.csv").write_text(f'x,y,label\\n1,1,"{{evil}}"\\n2,1,"=cmd()"\\n')
        found = massgraph.io.labels.read_labels(folder / "labels.csv")
        door.read_anndata(folder / "a.h5ad")
        active.clear()
        assert found.label[0] == evil
        print(json.dumps(events))
        """,
    )
    odd = [term("MS:1000294", "mass spectrum", evil), term("IMS:1000046", evil, "20")]
    path = Builder(settings=(odd,)).write(tmp_path / "image")
    assert watched(code, tmp_path, path) == []
    assert not list(tmp_path.rglob("owned"))
    assert not Path("owned").exists()


def test_the_h5ad_check_runs_nothing_from_the_working_folder(tmp_path: Path) -> None:
    """The child that looks at h5ad files first imports neither from there nor from PYTHONPATH."""
    spectra, labels = mg.simulate("tiny")
    classifier = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(4,))
    classifier.fit(spectra, labels).segment(spectra).write_h5ad(tmp_path / "a.h5ad")
    for name in ("h5py", "numpy", "sitecustomize", "json"):
        (tmp_path / f"{name}.py").write_text("open('owned', 'w').close()", encoding="utf-8")
    code = (
        "import sys; sys.path.remove(''); import os; sys.path[:] = [p for p in sys.path if p]\n"
        "from massgraph.io.anndata import read_anndata; read_anndata('a.h5ad'); print('[]')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(mg.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()


# -------------------------------------------------------------------- the caller's settings


def settings() -> dict[str, Any]:
    """Everything global that a library might turn at."""
    generator = np.random.get_state(legacy=False)  # noqa: NPY002  the caller's, which must not move
    return {
        "random": random.getstate(),
        "numpy": str(generator),
        "torch": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "filters": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "loggers": (logging.root.level, list(logging.root.handlers), logging.root.disabled),
        "massgraph's loggers": [n for n in logging.root.manager.loggerDict if "massgraph" in n],
        "numpy errors": np.geterr(),
        "printing": str(np.get_printoptions()),
        "torch defaults": (torch.get_default_dtype(), torch.is_grad_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "folder": Path.cwd(),
        "locale": __import__("locale").setlocale(__import__("locale").LC_ALL),
        "recursion": sys.getrecursionlimit(),
    }


@pytest.fixture(scope="module")
def before_and_after(
    tmp_path_factory: pytest.TempPathFactory, image: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    names: dict[str, Any] = {"mg": mg}
    exec(textwrap.dedent(EVERYTHING), names)  # noqa: S102  our own text above
    # Libraries that are imported on the way set filters, variables and random states as they load.
    names["everything"](tmp_path_factory.mktemp("first"), image)
    torch.set_num_threads(2)
    random.seed(1)
    before = settings()
    names["everything"](tmp_path_factory.mktemp("all"), image)
    return before, settings()


@pytest.mark.parametrize(
    "what",
    [
        "random",
        "numpy",
        "torch",
        "threads",
        "environment",
        "filters",
        "hooks",
        "loggers",
        "massgraph's loggers",
        "numpy errors",
        "printing",
        "torch defaults",
        "deterministic",
        "folder",
        "locale",
        "recursion",
    ],
)
def test_settings_are_left_alone(
    before_and_after: tuple[dict[str, Any], dict[str, Any]], what: str
) -> None:
    before, after = before_and_after
    assert after[what] == before[what]


def test_importing_changes_nothing() -> None:
    code = """
    import json, logging, random, signal, sys, warnings
    import numpy as np
    import pandas, scipy.signal, scipy.sparse, tqdm  # which set filters of their own
    from pyimzml import metadata
    state = lambda: [list(warnings.filters), logging.root.handlers[:], random.getstate(),
                     str(np.random.get_state()), np.geterr(), sys.excepthook,
                     [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]]
    before = state()
    import massgraph, massgraph.io.imzml, massgraph.io.anndata, massgraph.io.labels
    print(json.dumps([str(pair) for pair in zip(before, state()) if pair[0] != pair[1]]))
    """
    assert watched(textwrap.dedent(code)) == []


def test_warnings_of_other_threads_are_not_silenced(image: Path) -> None:
    """Reading a header hides pyimzml's warnings; the filters are as before even after a fault."""
    before = list(warnings.filters)
    path = Builder(settings=((term("IMS:1000046", "pixel size (x)", "x"),),)).write(
        image.parent / "odd"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mg.read_imzml(path)
    assert list(warnings.filters) == before
