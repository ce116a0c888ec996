"""Inputs that a fuzzer found, replayed; and hypothesis on its way through the same readers.

``make fuzz`` runs the fuzzer itself (`tests/fuzz/run.py`), and these tests with many more examples.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import massgraph as mg
from imzml_builder import PRECISION, Builder, Pixel

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))

from seeds import write_seeds  # noqa: E402
from targets import SEAM, TARGETS  # noqa: E402

FOUND = sorted(path for path in (FUZZ / "found").glob("*/*"))
SLOWEST = 20.0  # ten seconds are promised; a busy machine that runs other tests gets twice that
EXAMPLES = int(os.environ.get("MASSGRAPH_FUZZ_EXAMPLES", "30"))
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 30,
    database=None,
    suppress_health_check=list(HealthCheck),
)


# -------------------------------------------------------------------- what was found


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_found_inputs_are_refused_or_read(path: Path) -> None:
    start = time.monotonic()
    assert TARGETS[path.parent.name](path.read_bytes()) in ("refused", "read")
    assert time.monotonic() - start < SLOWEST


@pytest.mark.parametrize("target", ["imzml", "labels", "h5ad", "model"])
def test_seeds_are_good_files(target: str, tmp_path: Path) -> None:
    """A fuzzer that begins with refused files would find little."""
    assert write_seeds(target, tmp_path) >= 2
    outcomes = [TARGETS[target](path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert outcomes.count("read") > len(outcomes) / 2


def test_nothing_is_no_input() -> None:
    assert TARGETS["imzml"](b"") == TARGETS["labels"](b"") == TARGETS["h5ad"](b"") == "refused"
    assert TARGETS["model"](b"") == "refused"


def test_modules_whose_coverage_is_told_are_there() -> None:
    pytest.importorskip("resource", reason="the fuzzer runs on Linux and macOS")
    from run import MODULES

    assert MODULES.keys() == TARGETS.keys()
    for name in " ".join(MODULES.values()).split():
        assert (Path(mg.__file__).parent / name).is_file(), name


def test_targets_see_what_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    from massgraph.io import labels

    def broken(_: Path, **__: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr(labels, "read_labels", broken)
    with pytest.raises(RecursionError):
        TARGETS["labels"](b"x,y,label\n1,1,a\n")


# -------------------------------------------------------------------- hypothesis

ODD_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.sampled_from(["", " ", "1e9", "1e999", "-0", "0x10", "٣", "1_0", "nan", "1\n2", "1e-9"]),
)
VALUES = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, 100.0, 1e-40, 3e38, float("nan"), float("inf"), -1.0]),
)


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """An imzML file of any values and layout, of which some numbers may be rewritten."""
    layout = draw(st.sampled_from(["continuous", "processed", None]))
    mz_type, intensity_type = (draw(st.sampled_from(["f4", "f8"])) for _ in "mi")
    axis = draw(st.lists(VALUES, max_size=30))
    pixels = []
    for number in range(draw(st.integers(0, 4))):
        mz = axis if layout == "continuous" else draw(st.lists(VALUES, max_size=30))
        size = len(mz) if draw(st.integers(0, 9)) else draw(st.integers(0, 5))
        intensity = draw(st.lists(VALUES, min_size=size, max_size=size))
        place = draw(st.sampled_from([(1 + number, 1), (1, 1), (0, -1), (10**7, 3)]))
        pixels.append(Pixel(*place, mz, intensity, z=draw(st.sampled_from([None, 0, 1, -5]))))
    builder = Builder(
        pixels,
        layout=layout,
        mz_type=mz_type,
        intensity_type=intensity_type,
        mode=draw(st.sampled_from(["centroid", "profile", None])),
        polarity=draw(st.sampled_from(["positive", "negative", None])),
        checksum=draw(st.sampled_from(["sha1", None])),
        inline=draw(st.booleans()),
        encoded_length=draw(st.booleans()),
    )
    try:
        ibd = builder.ibd()
    except (OverflowError, struct.error):
        ibd = bytes(16)
        builder.mz_offsets = builder.intensity_offsets = [16] * len(pixels)
    text = builder.xml(ibd)
    for _ in range(draw(st.integers(0, 2))):
        cuts = text.split('value="')
        at = draw(st.integers(1, len(cuts) - 1))
        number = draw(ODD_NUMBERS).replace("\n", "&#10;")
        cuts[at] = number + cuts[at][cuts[at].index('"') :]
        text = 'value="'.join(cuts)
    options = draw(st.integers(0, 15))
    return bytes([options]) + text.encode("utf-8", "replace") + SEAM + ibd


@thorough
@given(images())
def test_imzml(data: bytes) -> None:
    assert TARGETS["imzml"](data) in ("refused", "read")


def test_the_images_use_every_precision_that_floats_have() -> None:
    assert {"f4", "f8"} == {name for name in PRECISION if name[0] == "f"}


@pytest.fixture(scope="module", params=["classifier", "regions"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], bytes]:
    spectra, labels = mg.simulate("tiny")
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    if request.param == "regions":
        mg.SpatialRegions(max_regions=3).fit(spectra).save(folder)
    else:
        classifier = mg.RGCNClassifier(epochs=1, augment=0, device="cpu", hidden=(2,))
        classifier.fit(spectra[:100], labels[:100]).save(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config, (folder / "weights.safetensors").read_bytes()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["ppm", "Da", "positive", 10**9, 0, 1, -1, 0.5, [], {}]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def replace_somewhere(tree: Any, value: Any, draw: st.DrawFn) -> Any:
    """A tree with one of its parts, at any depth, replaced."""
    if not tree or not isinstance(tree, (dict, list)) or draw(st.integers(0, 3)) == 0:
        return value
    keys = sorted(tree) if isinstance(tree, dict) else range(len(tree))
    key = draw(st.sampled_from(list(keys)))
    changed = tree.copy()
    changed[key] = replace_somewhere(tree[key], value, draw)
    return changed


@thorough
@given(data=st.data())
def test_model(model: tuple[dict[str, Any], bytes], data: st.DataObject) -> None:
    config, weights = model
    for _ in range(data.draw(st.integers(0, 2))):
        key = data.draw(st.sampled_from(sorted(config)))
        value = data.draw(JSON)
        config = {**config, key: replace_somewhere(config[key], value, data.draw)}
    at = data.draw(st.integers(0, len(weights) - 1))
    damage = data.draw(st.binary(max_size=8))
    weights = weights[:at] + damage + weights[at + len(damage) :]
    raw = b"\1" + json.dumps(config).encode() + SEAM + weights
    assert TARGETS["model"](raw) in ("refused", "read")


FIELD = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["x", "y", "label", "run", "1", "2.0", '"a', 'a""b"', "NA", "", " ", "1e400"]),
)


@thorough
@given(
    rows=st.lists(st.lists(FIELD, max_size=5), max_size=5),
    header=st.sampled_from(["x,y,label", "x;y;label;run", "y\tlabel\tx", "\ufeffx,y,label"]),
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_labels(rows: list[list[str]], header: str, separator: str, end: str) -> None:
    text = end.join([header, *(separator.join(row) for row in rows)])
    assert TARGETS["labels"](text.encode("utf-8", "surrogatepass")) in ("refused", "read")


@thorough
@given(st.binary(max_size=120))
def test_anndata(data: bytes) -> None:
    assert TARGETS["anndata"](data) in ("refused", "read", "not made")
