"""The package as it is imported: its names, and what importing it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import massgraph as mg

ROOT = Path(__file__).resolve().parents[2]
# What the documentation calls `mg.<name>`.
MODULES = {
    "baselines": "evidence.baselines",
    "benchmark": "evidence.benchmark",
    "degrade": "data.degrade",
    "evaluate": "evidence.evaluate",
    "faithfulness": "explain.faithfulness",
    "metrics": "evidence.metrics",
    "objectives": "learn.objectives",
    "pl": "pl",
    "r": "r",
    "splits": "data.splits",
    "streaming": "data.sources",
    "tl": "tl",
}


@pytest.mark.parametrize("name", mg.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(mg, name)
    assert value.__doc__


def test_names_are_sorted_and_listed() -> None:
    assert sorted(mg.__all__) == list(mg.__all__)
    assert set(mg.__all__) <= set(dir(mg))


@pytest.mark.parametrize(("name", "home"), MODULES.items())
def test_documented_modules_are_attributes(name: str, home: str) -> None:
    module = getattr(mg, name)
    assert module is sys.modules[f"massgraph.{home}"]
    assert module.__doc__
    assert all(hasattr(module, public) for public in module.__all__)


def test_documented_modules_are_loaded_when_asked_for() -> None:
    """In a process that has loaded none of them, each is listed, and there after one look."""
    code = f"""
import sys
import massgraph as mg
modules = {MODULES}
assert set(modules) <= set(dir(mg))
assert not [home for home in modules.values() if f"massgraph.{{home}}" in sys.modules]
for name in ("pl", "r", "streaming", "tl"):
    assert getattr(mg, name) is sys.modules[f"massgraph.{{modules[name]}}"]
print([name for name in ("torch", "sklearn", "matplotlib", "rpy2") if name in sys.modules])
mg.evaluate, mg.objectives
print(sorted(set(modules.values()) - {{name[10:] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    light, waiting = done.stdout.splitlines()
    assert light == "[]"
    assert "evidence.benchmark" in waiting


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = mg.fit


def test_importing_loads_nothing_heavy() -> None:
    heavy = ("torch", "torch_geometric", "matplotlib", "anndata", "sklearn")
    code = f"import massgraph, sys; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", ["README.md", "docs/regions.md"])
def test_the_code_in_the_pages_uses_names_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = set(re.findall(r"\bmg\.(\w+)", text))
    assert {"SpatialRegions", "read_imzml", "tl"} <= names
    assert names <= set(mg.__all__)


@pytest.mark.parametrize("page", ["README.md", "docs/regions.md"])
def test_the_code_in_the_pages_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a small run, with the files that the pages name; one piece after the other."""
    from imzml_builder import Builder, Pixel

    text = (ROOT / page).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    spectra, labels = mg.simulate("tiny", n_runs=1)
    assert spectra.coordinates is not None
    pixels, rows = [], ["x,y,label"]
    for index, (x, y) in enumerate(spectra.coordinates.astype(int)):
        mz, intensity = spectra.pixel(index)
        pixels.append(Pixel(int(x), int(y), tuple(mz), tuple(float(v) for v in intensity)))
        if labels[index] is not None:
            rows.append(f"{x},{y},{labels[index]}")
    Builder(pixels=tuple(pixels)).write(tmp_path, "run")
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})  # noqa: S102  our own page
    written = re.findall(r'write\w+\((?:\w+, )?"([^"]+)"', code)
    assert written
    assert all((tmp_path / name).is_file() for name in written)
