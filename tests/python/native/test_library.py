"""The compiled library: found, refused, turned off, and the torch path without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph.native import library as library_module
from massgraph.native.library import address, levels, library, simd_level, status
from massgraph.nn.layers import RelationalConv, resolve_backend
from massgraph.versions import versions

built = pytest.mark.skipif(library() is None, reason="the compiled library was not built")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSGRAPH_NATIVE", "0")


# -------------------------------------------------------------------- what a user sees


@built
def test_versions_say_that_the_compiled_path_runs() -> None:
    found = versions()
    assert found["path"] == "native"
    assert Path(found["native"]).is_file()
    assert found["simd"].startswith(levels()[0])
    assert found["threads"].endswith(f"of {library_module.os.cpu_count()}")


def test_versions_say_why_torch_runs(without: None) -> None:
    found = versions()
    assert found["path"] == "torch"
    assert found["native"] == "turned off by MASSGRAPH_NATIVE=0"
    assert found["simd"] == "none"


def test_show_versions_prints_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    mg.show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(versions())
    assert any(line.startswith("torch-geometric") for line in lines)


def test_auto_is_native_where_it_was_built() -> None:
    assert resolve_backend("auto") == ("torch" if library() is None else "native")
    assert RelationalConv(2, 2, 2).backend == resolve_backend("auto")


def test_without_the_library_auto_is_torch_and_native_is_refused(without: None) -> None:
    assert resolve_backend("auto") == "torch"
    with pytest.raises(ValueError, match=r"'native' cannot be used here \(turned off by"):
        mg.RGCNClassifier(backend="native").fit(*_tissue())


@built
def test_a_model_fitted_natively_opens_without_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spectra, labels = _tissue()
    options = {"effort": "thorough", "epochs": 1, "augment": 0, "device": "cpu"}
    fitted = mg.RGCNClassifier(backend="native", **options)
    fitted.fit(spectra, labels).save(tmp_path / "model")
    expected = fitted.logits(spectra)
    monkeypatch.setenv("MASSGRAPH_NATIVE", "0")
    again = mg.load(tmp_path / "model")
    assert again.model_.parts("relational")[0].backend == "torch"
    np.testing.assert_allclose(again.logits(spectra), expected, atol=1e-5)


def _tissue() -> Any:
    return mg.simulate("tiny")


# -------------------------------------------------------------------- loading


def _load_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    monkeypatch.setattr(library_module, "FOLDER", folder)
    loaded: tuple[Any, str] = library_module._load.__wrapped__()
    return loaded


def test_no_library_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, why = _load_from(tmp_path, monkeypatch)
    assert loaded is None
    assert why.startswith("not built: there was no C++ compiler")


def test_a_file_that_is_no_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"_native{library_module.EXTENSION_SUFFIXES[0]}"
    (tmp_path / name).write_bytes(b"not a library")
    loaded, why = _load_from(tmp_path, monkeypatch)
    assert loaded is None
    assert why.startswith(f"{name} cannot be loaded: ")


@built
def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "INTERFACE", -1)
    loaded, why = library_module._load.__wrapped__()
    assert loaded is None
    assert why.endswith("was built from other sources: install massgraph again")


@built
def test_the_environment_chooses_the_level() -> None:
    code = (
        "import sys; from massgraph.native.library import library; "
        "sys.stdout.write(library().mg_level().decode())"
    )
    for level in levels():
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**library_module.os.environ, "MASSGRAPH_SIMD": level},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == level


@built
def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSGRAPH_SIMD", "avx1024")
    with pytest.raises(ValueError, match=r"avx1024 is none of this machine's levels \("):
        library_module._load.__wrapped__()
    with pytest.raises(ValueError, match="level 'avx1024' is none of"), simd_level("avx1024"):
        pass


@built
def test_levels_are_given_back() -> None:
    loaded = library()
    assert loaded is not None
    before = loaded.mg_level()
    with simd_level("baseline"):
        assert loaded.mg_level() == b"baseline"
    assert loaded.mg_level() == before
    assert levels()[-1] == "baseline"
    assert Path(status()).name.startswith("_native")


def test_only_contiguous_arrays_have_an_address() -> None:
    values = np.arange(6.0)
    assert address(values) == values.ctypes.data
    assert address(None) is None
    with pytest.raises(ValueError, match=r"of shape \(3,\) is not contiguous"):
        address(values[::2])


def test_there_are_no_levels_without_the_library(without: None) -> None:
    assert levels() == ()
    assert library() is None


# -------------------------------------------------------------------- the sources


def included(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.split()[1] for line in lines if line.startswith("#include")}


def test_every_source_is_shipped() -> None:
    folder = Path(mg.__file__).parent / "native"
    names = {path.name for path in folder.iterdir()}
    assert {"kernels.inl", "kernels.h", "library.cpp", "builder.cpp", "network.cpp"} <= names
    for level in ("baseline", "avx2", "avx512"):
        assert f"level_{level}.cpp" in names
    for path in folder.iterdir():
        if path.suffix in {".cpp", ".h", ".inl"}:
            assert {name[1:-1] for name in included(path) if name[0] == '"'} <= names


def test_levels_hold_no_code_of_the_standard_library() -> None:
    """The linker would keep one copy of it, perhaps one that the machine cannot run."""
    folder = Path(mg.__file__).parent / "native"
    parts = list(folder.glob("*.inl"))
    allowed = {"<cstddef>", "<cstdint>", "<immintrin.h>", '"kernels.h"'}
    allowed |= {f'"{path.name}"' for path in parts}
    for path in (*folder.glob("level_*.cpp"), *parts, folder / "kernels.h"):
        assert included(path) <= allowed
