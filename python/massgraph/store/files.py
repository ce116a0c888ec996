"""The two files of a saved model: written whole or not at all, checked before use, nothing run."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from massgraph._util.errors import InputError
from massgraph._util.files import atomic_directory
from massgraph._util.text import one_line
from massgraph._version import __version__
from massgraph.store.checks import UnknownSettingError
from massgraph.store.kind import Content, Kind, Layout

__all__ = ["ModelError", "read_model", "write_model"]

CONFIG, WEIGHTS, CARD = "config.json", "weights.safetensors", "MODEL_CARD.md"
# Bytes; a model has some kilobytes of each. What claims more is not read into memory.
LARGEST_CONFIG, LARGEST_WEIGHTS = 50 * 2**20, 2**31
LONGEST_REASON = 300  # characters of a message: a damaged file may hold anything
# Keys of every kind. Models of before there were kinds are classifiers, and do not say so.
KEYS = frozenset({"schema_version", "massgraph_version", "weights_sha256"})
KIND, FIRST_KIND = "kind", "classifier"


class ModelError(InputError):
    """A model folder that cannot be used; the message names the file, the value and the remedy.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from massgraph.store import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "config.json").touch()
    ...     load(folder)
    Traceback (most recent call last):
    massgraph.store.files.ModelError: ...config.json is not the JSON of a model: Expecting value...
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


# -------------------------------------------------------------------- writing


def write_model(
    kind: Kind, content: Content, directory: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the content of a model as a folder, whole or not at all.

    Parameters and errors as for `massgraph.store.folder.save`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store.classifier import CLASSIFIER
    >>> from massgraph.store.files import write_model
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> content = CLASSIFIER.describe(clf.fitted_)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "thesis.docx").touch()
    ...     write_model(CLASSIFIER, content, folder, overwrite=True)
    Traceback (most recent call last):
    FileExistsError: ... holds thesis.docx, which is no part of a model: choose another folder
    """
    _refuse_foreign(Path(directory))
    weights = save_tensors({n: value.cpu().contiguous() for n, value in content.tensors.items()})
    config = {
        KIND: kind.name,
        "schema_version": kind.schema,
        "massgraph_version": __version__,
        # The digest ties the files together: weights of another save will be refused.
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **content.config,
    }
    # NaN would be written as it is, which is no JSON: missing numbers have become null.
    text = json.dumps(config, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    # What would be refused on reading is not written either.
    if len(text) > LARGEST_CONFIG or len(weights) > LARGEST_WEIGHTS:
        msg = f"{directory}: {len(text)} + {len(weights)} bytes are more than can be read again"
        raise InputError(msg)
    with atomic_directory(directory, overwrite=overwrite) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / CONFIG).write_text(text, encoding="utf-8")
        (folder / CARD).write_text(content.card(config), encoding="utf-8")
        _verify(kind, folder, config, directory)


def _verify(kind: Kind, folder: Path, config: dict[str, Any], directory: object) -> None:
    """Read back what was written: a model that cannot be loaded never replaces another."""
    try:
        # Compared in the form that JSON gives back, where tuples are lists.
        found = _read_config(folder / CONFIG, {kind.name: kind})[1]
        fine = found == json.loads(json.dumps(config))
        _read_tensors(folder / WEIGHTS, config["weights_sha256"])
    except ModelError:
        fine = False
    if not fine:
        msg = f"{directory} was not written: it does not read back, check the disk"
        raise OSError(msg)


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds anything else is never replaced: it may be somebody's work."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if name not in (CONFIG, WEIGHTS, CARD)]
    if foreign:
        msg = f"{folder} holds {foreign[0]}, which is no part of a model: choose another folder"
        raise FileExistsError(msg)


# -------------------------------------------------------------------- reading


def read_model(directory: str | os.PathLike[str], kinds: Mapping[str, Kind]) -> Any:
    """Read a model folder of one of some kinds.

    Errors as for `massgraph.store.folder.load`.

    Examples
    --------
    >>> from massgraph.store.files import read_model
    >>> read_model("absent", {})
    Traceback (most recent call last):
    FileNotFoundError: absent: there is no such model folder
    """
    path, weights = Path(directory) / CONFIG, Path(directory) / WEIGHTS
    kind, config = _read_config(path, kinds)
    tensors = _read_tensors(weights, config["weights_sha256"])
    try:
        restored, layout = kind.restore(config, len(tensors))
    # First, though it is a ValueError too: it has a remedy of its own.
    except UnknownSettingError as e:
        msg = f"{path}: {e}{_from_later(config)}"
        raise ModelError(msg) from e
    # Values of any kind may stand in the file, and a check may stumble in any way over them.
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError) as e:
        msg = f"{path}: {_reason(e)}: the model is damaged, fit it again or use another copy"
        raise ModelError(msg) from e
    _check_tensors(weights, tensors, layout)
    try:
        return kind.build(restored, tensors, str(directory))
    # numpy's own errors of matrices that cannot be solved are of this sort, too.
    except ValueError as e:
        msg = f"{weights}: {_reason(e)}: the file is damaged"
        raise ModelError(msg) from e


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:LONGEST_REASON]


def _from_later(config: dict[str, Any]) -> str:
    """What to do about something that this version does not know."""
    maker = str(config.get("massgraph_version", ""))[:20]
    if maker in ("", __version__):
        return ": the file was changed or damaged, use another copy"
    return f": the model was written by massgraph {maker}, and this is {__version__}: update it"


def _read(path: Path, largest: int) -> bytes:
    if not path.parent.is_dir():
        msg = f"{path.parent}: there is no such model folder"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"{path.parent} holds no {path.name}: it is no model folder, or half of one"
        raise FileNotFoundError(msg)
    # Asked before reading: what claims to be a model must not fill the memory.
    size = path.stat().st_size
    if size > largest:
        msg = f"{path} has {size} bytes, more than any model's {largest}: it was not read"
        raise ModelError(msg)
    return path.read_bytes()


def _read_config(path: Path, kinds: Mapping[str, Kind]) -> tuple[Kind, dict[str, Any]]:
    config = _read_json(path)
    kind = _kind_of(path, config, kinds)
    wanted = KEYS | kind.keys
    missing = sorted(wanted - set(config))
    unknown = sorted(set(config) - wanted - kind.optional - {KIND})
    if missing:
        msg = f"{path}: the key {missing[0]!r} is missing: the file was changed or damaged"
        raise ModelError(msg)
    if unknown:
        msg = f"{path}: the key {unknown[0]!r} is unknown{_from_later(config)}"
        raise ModelError(msg)
    return kind, config


def _read_json(path: Path) -> dict[str, Any]:
    raw = _read(path, LARGEST_CONFIG)
    try:
        config = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    # Brackets nested some thousand deep end in a RecursionError.
    except (ValueError, RecursionError) as e:
        msg = f"{path} is not the JSON of a model: {_reason(e)}"
        raise ModelError(msg) from e
    if not isinstance(config, dict) or "schema_version" not in config:
        msg = f"{path} has no schema_version: it is no model of massgraph"
        raise ModelError(msg)
    return config


def _kind_of(path: Path, config: dict[str, Any], kinds: Mapping[str, Kind]) -> Kind:
    version, name = config["schema_version"], config.get(KIND, FIRST_KIND)
    # JSON may hold true, which equals 1 in Python.
    if version == 1 and type(version) is int:
        msg = (
            f"{path} has schema_version 1, from before models had branches and a mass axis, and "
            "was never released: fit the model again"
        )
        raise ModelError(msg)
    if not isinstance(name, str) or name not in kinds:
        msg = f"{path}: the kind {str(name)[:20]!r} is unknown{_from_later(config)}"
        raise ModelError(msg)
    kind = kinds[name]
    if type(version) is not int or version != kind.schema:
        msg = (
            f"{path} has schema_version {str(version)[:20]}, this massgraph ({__version__}) reads "
            f"{kind.schema}{_from_later(config)}"
        )
        raise ModelError(msg)
    return kind


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            msg = f"the key {name!r} stands twice"
            raise InputError(msg)
        table[name] = value
    return table


def _finite(text: str) -> float:
    """A finite number of the file: NaN, Infinity and 1e999 are refused."""
    value = float(text)
    if not math.isfinite(value):
        msg = f"{text} is no finite number"
        raise InputError(msg)
    return value


def _read_tensors(path: Path, digest: Any) -> dict[str, torch.Tensor]:
    raw = _read(path, LARGEST_WEIGHTS)
    found = hashlib.sha256(raw).hexdigest()
    if found != digest:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., {CONFIG} names {str(digest)[:12]}...: "
            "the two files are of different models or one is damaged"
        )
        raise ModelError(msg)
    # From the bytes whose digest was taken: the file may have been replaced since.
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError) as e:
        msg = f"{path} is damaged: {_reason(e)}"
        raise ModelError(msg) from e
    return dict(tensors)


def _check_tensors(path: Path, found: dict[str, torch.Tensor], wanted: Layout) -> None:
    wrong = sorted(set(found) ^ set(wanted))
    if wrong:
        state = "unknown" if wrong[0] in found else "missing"
        msg = f"{path}: the tensor {wrong[0]!r} is {state}: it is not of this {CONFIG}"
        raise ModelError(msg)
    for name, (shape, dtype) in wanted.items():
        tensor = found[name]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            msg = (
                f"{path}: the tensor {name!r} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"{CONFIG} needs {dtype} {shape}"
            )
            raise ModelError(msg)
        if not bool(torch.isfinite(tensor).all()):
            msg = f"{path}: {name} holds values that are not finite: the file is damaged"
            raise ModelError(msg)
