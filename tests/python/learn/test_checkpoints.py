"""Checkpoints: fits that are cut off go on to the same end, or say in one line why not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import clone

import massgraph as mg
from massgraph.learn import checkpoints as module
from massgraph.learn import inference
from massgraph.learn.checkpoints import Checkpoint, CheckpointError, open_checkpoints
from massgraph.learn.objectives import SMALLEST_EPOCH, CrossEntropy
from massgraph.learn.training_state import TrainingState
from massgraph.nn.rgcn import RGCN

FILE = "net-1.safetensors"
Tissue = tuple[mg.Spectra, Any]


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    spectra, labels = mg.simulate("tiny")
    known = np.array([label is not None for label in labels])
    return spectra[known][::2], labels[known][::2].astype(str)


def classifier(**parameters: Any) -> mg.RGCNClassifier:
    """One net; `test_each_net_has_a_checkpoint` has several."""
    single = {"branches": ("relational",), "folds": 1}
    chosen = {**single, "epochs": 6, "augment": 1, "hidden": (8, 8), "device": "cpu", **parameters}
    return mg.RGCNClassifier(**chosen)


@pytest.fixture(scope="module")
def whole(tissue: Tissue, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A fit that nothing happened to, and its checkpoints."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    return classifier().fit(*tissue, checkpoint=folder), folder


@pytest.fixture
def copy(whole: tuple[Any, Path], tmp_path: Path) -> Path:
    """A copy of those checkpoints, to be changed."""
    return Path(shutil.copytree(whole[1], tmp_path / "checkpoints"))


def assert_same_end(one: mg.RGCNClassifier, other: mg.RGCNClassifier) -> None:
    """Weights and learning curve, bit by bit."""
    states = one.model_.state_dict(), other.model_.state_dict()
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert one.history_.equals(other.history_)
    assert list(one.history_.columns) == list(other.history_.columns)


def stop_before(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let Ctrl-C come in the second batch of an epoch of a fit with checkpoints."""
    read, write, loss = Checkpoint.read, Checkpoint.write, RGCN.loss
    at = {"epoch": 1, "batch": 0}

    def reading(self: Checkpoint, *given: Any) -> TrainingState | None:
        state = read(self, *given)
        at.update(epoch=1 if state is None else len(state.rows) + 1, batch=0)
        return state

    def writing(self: Checkpoint, state: TrainingState) -> None:
        write(self, state)
        at.update(epoch=len(state.rows) + 1, batch=0)

    def interrupted(self: RGCN, *given: Any) -> Any:
        at["batch"] += 1
        if at == {"epoch": epoch, "batch": 2}:
            raise KeyboardInterrupt
        return loss(self, *given)

    monkeypatch.setattr(Checkpoint, "read", reading)
    monkeypatch.setattr(Checkpoint, "write", writing)
    monkeypatch.setattr(RGCN, "loss", interrupted)


# -------------------------------------------------------------------- going on


def test_a_fit_with_checkpoints_is_the_same_fit(tissue: Tissue, whole: tuple[Any, Path]) -> None:
    fitted, folder = whole
    assert_same_end(fitted, classifier().fit(*tissue))
    assert [path.name for path in folder.iterdir()] == [FILE]


@pytest.mark.parametrize("epoch", [1, 2, 5])
def test_79_an_interrupted_fit_goes_on_to_the_same_end(
    tissue: Tissue,
    whole: tuple[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
) -> None:
    """Ctrl-C in an epoch: the one before is there, whole."""
    folder = tmp_path / "checkpoints"
    with monkeypatch.context() as patch:
        stop_before(patch, epoch)
        with pytest.raises(KeyboardInterrupt):
            classifier(batch_size=16).fit(*tissue, checkpoint=folder)
    assert [path.name for path in folder.iterdir()] == [FILE] * (epoch > 1)
    plain = classifier(batch_size=16).fit(*tissue)
    if epoch == 1:
        with pytest.warns(UserWarning, match="no checkpoint yet: the fit starts from its beg"):
            resumed = classifier(batch_size=16).fit(*tissue, checkpoint=folder, resume=True)
    else:
        ran: list[int] = []
        write = Checkpoint.write
        monkeypatch.setattr(
            Checkpoint, "write", lambda one, state: ran.append(len(state.rows)) or write(one, state)
        )
        resumed = classifier(batch_size=16).fit(*tissue, checkpoint=folder, resume=True)
        assert ran == [*range(epoch, 7)]
    assert_same_end(resumed, plain)


def test_79_kills_at_random_moments_lead_to_the_same_end() -> None:
    """SIGKILL; 50 of them with ``python tests/python/kill_writers.py``."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import kill_writers\n"
        "print(json.dumps(kill_writers.kill_fits(6, 3, 8)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert row["faults"] == []
    assert row["kills"] == 6
    assert row["halfway"] > 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"preset": "published", "epochs": 5, "hidden": None, "augment": None, "max_peaks": 60},
        {"learning_rate": 0.3, "epochs": 14},  # the rate falls on a plateau
        {"learning_rate": 0.3, "epochs": 30, "patience": 3},  # and stops early
        {"backend": "torch"},
        {"batch_norm": False},
    ],
    ids=["published", "plateau", "patience", "torch", "no BatchNorm"],
)
def test_any_training_goes_on_to_the_same_end(
    tissue: Tissue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any]
) -> None:
    plain = classifier(batch_size=16, **parameters).fit(*tissue)
    last = len(plain.history_)
    folder = tmp_path / "checkpoints"
    for epoch in (3, last):  # cut off twice
        with monkeypatch.context() as patch:
            stop_before(patch, epoch)
            with pytest.raises(KeyboardInterrupt):
                classifier(batch_size=16, **parameters).fit(
                    *tissue, checkpoint=folder, resume=epoch > 3
                )
    resumed = classifier(batch_size=16, **parameters).fit(*tissue, checkpoint=folder, resume=True)
    assert_same_end(resumed, plain)


def test_a_finished_fit_is_not_trained_again(
    tissue: Tissue, whole: tuple[Any, Path], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copy / FILE).read_bytes()
    monkeypatch.setattr(CrossEntropy, "draw", None)  # what every epoch begins with
    assert_same_end(classifier().fit(*tissue, checkpoint=copy, resume=True), whole[0])
    assert (copy / FILE).read_bytes() == before


def test_groups_and_a_generator_as_seed_can_be_resumed(tissue: Tissue, tmp_path: Path) -> None:
    groups = np.arange(len(tissue[1])) // 4
    ends = [
        classifier(epochs=2, random_state=np.random.RandomState(5)).fit(
            *tissue, groups, checkpoint=tmp_path / "checkpoints", resume=resume
        )
        for resume in (False, True)
    ]
    assert_same_end(*ends)


def test_an_exploding_loss_leaves_the_epoch_before(tissue: Tissue, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    parameters = {"epochs": 40, "learning_rate": 1e18, "batch_norm": False}
    with pytest.raises(FloatingPointError, match=r"in epoch \d+, .*at learning rate 1e\+18") as one:
        classifier(**parameters).fit(*tissue, checkpoint=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the first epoch exploded there is none yet
        with pytest.raises(FloatingPointError, match="at learning rate") as other:
            classifier(**parameters).fit(*tissue, checkpoint=folder, resume=True)
    assert str(one.value) == str(other.value)


def test_the_estimator_knows_nothing_of_checkpoints(whole: tuple[Any, Path]) -> None:
    """A clone, as of a grid search, must not write where the fit before it wrote."""
    assert not {"checkpoint", "resume"} & set(clone(whole[0]).get_params())
    assert "checkpoint" not in json.dumps(whole[0].summary())


# -------------------------------------------------------------------- what is refused


Change = Callable[[mg.Spectra, Any], tuple[mg.Spectra, Any]]


def brighter(spectra: mg.Spectra, labels: Any) -> tuple[mg.Spectra, Any]:
    intensity = spectra.intensity.copy()
    intensity[7] *= 2
    return replace(spectra, intensity=intensity), labels


def relabelled(spectra: mg.Spectra, labels: Any) -> tuple[mg.Spectra, Any]:
    changed = labels.copy()
    changed[0] = next(label for label in labels if label != labels[0])
    return spectra, changed


def renamed(spectra: mg.Spectra, labels: Any) -> tuple[mg.Spectra, Any]:
    return spectra, np.where(labels == labels[0], f"new {labels[0]}", labels)


@pytest.mark.parametrize(
    ("change", "named"), [(brighter, "data"), (relabelled, "labels"), (renamed, "labels")]
)
def test_80_other_data_or_labels(tissue: Tissue, copy: Path, change: Change, named: str) -> None:
    wanted = rf"is the checkpoint of another fit \({named} [0-9a-f]{{8}}\.\.\. there, [0-9a-f]{{8}}"
    with pytest.raises(CheckpointError, match=wanted) as caught:
        classifier().fit(*change(*tissue), checkpoint=copy, resume=True)
    assert str(caught.value).endswith("give what it was begun with, or another folder")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"learning_rate": 0.02}, "(learning_rate 0.01 there, 0.02 now)"),
        ({"epochs": 7}, "(epochs 6 there, 7 now)"),
        ({"hidden": (8, 4)}, "(hidden [8, 8] there, [8, 4] now)"),
        ({"random_state": 1}, "(random_state 0 there, 1 now)"),
        ({"backend": "pyg"}, "there, 'pyg' now)"),
        ({"tolerance": 3, "augment": 0}, "(tolerance 5.0 there, 3 now; augment 1 there, 0 now)"),
        ({"relations": mg.default_relations("negative")}, "(relations "),
    ],
)
def test_80_other_parameters(
    tissue: Tissue, copy: Path, parameters: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(wanted)):
        classifier(**parameters).fit(*tissue, checkpoint=copy, resume=True)


def test_80_other_groups(tissue: Tissue, copy: Path) -> None:
    groups = np.arange(len(tissue[1])) // 4
    with pytest.raises(CheckpointError, match=r"\(groups None there, [0-9a-f]{8}\.\.\. now\)"):
        classifier().fit(*tissue, groups, checkpoint=copy, resume=True)


@pytest.mark.parametrize("soft", [False, True])
def test_80_other_weights_of_the_pixels(tissue: Tissue, tmp_path: Path, soft: bool) -> None:
    spectra, labels = tissue
    codes = np.unique(labels, return_inverse=True)[1]
    y = np.eye(3)[codes] if soft else labels
    first = {"epochs": 1, "hidden": (4,), "augment": 0}
    folder = tmp_path / "checkpoints"
    weight = np.ones(len(labels))
    weight[3] = 2
    classifier(**first).fit(spectra, y, sample_weight=weight, checkpoint=folder)
    classifier(**first).fit(spectra, y, sample_weight=weight, checkpoint=folder, resume=True)
    weight[3] = 3
    for other in (weight, None):
        with pytest.raises(CheckpointError, match=r"another fit \(labels [0-9a-f]{8}"):
            classifier(**first).fit(spectra, y, sample_weight=other, checkpoint=folder, resume=True)


def test_80_other_shares(tissue: Tissue, tmp_path: Path) -> None:
    spectra, labels = tissue
    shares = np.eye(3)[np.unique(labels, return_inverse=True)[1]]
    first = {"epochs": 1, "hidden": (4,), "augment": 0}
    classifier(**first).fit(spectra, shares, checkpoint=tmp_path / "checkpoints")
    shares[0] = [0.5, 0.25, 0.25]
    with pytest.raises(CheckpointError, match=r"another fit \(labels [0-9a-f]{8}"):
        classifier(**first).fit(spectra, shares, checkpoint=tmp_path / "checkpoints", resume=True)


def test_80_another_version(tissue: Tissue, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end would not be the same, which is what was promised."""
    monkeypatch.setattr(module, "__version__", "99")
    with pytest.raises(CheckpointError, match=r"\(version of massgraph '.*' there, '99' now\)"):
        classifier().fit(*tissue, checkpoint=copy, resume=True)


def test_a_checkpoint_is_never_replaced_unasked(tissue: Tissue, copy: Path) -> None:
    before = (copy / FILE).read_bytes()
    with pytest.raises(FileExistsError, match="go on from it with resume=True, or choose another"):
        classifier().fit(*tissue, checkpoint=copy)
    assert (copy / FILE).read_bytes() == before


def test_folders_that_are_none(tissue: Tissue, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("text")
    for name, error, wanted in [
        ("file", NotADirectoryError, "is a file: give the name of a folder"),
        ("work", FileExistsError, "holds thesis.txt, which is no checkpoint"),
        ("none/checkpoints", FileNotFoundError, "make the folder .*none first"),
    ]:
        for resume in (False, True):
            with pytest.raises(error, match=wanted):
                classifier().fit(*tissue, checkpoint=tmp_path / name, resume=resume)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="no permission to write checkpoints in it"):
        open_checkpoints(tmp_path / "checkpoints", {}, resume=False)


def test_leftovers_of_a_killed_writer_are_no_obstacle(tissue: Tissue, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".net-1.0123456789abcdef.safetensors").write_bytes(b"half")
    classifier(epochs=1).fit(*tissue, checkpoint=folder)
    assert (folder / FILE).exists()


def test_arguments_that_make_no_sense(tissue: Tissue, tmp_path: Path) -> None:
    with pytest.raises(mg.InputError, match="resume=True needs the folder"):
        classifier().fit(*tissue, resume=True)
    with pytest.raises(mg.InputError, match="random_state None draws anew in each fit"):
        classifier(random_state=None).fit(*tissue, checkpoint=tmp_path / "checkpoints")
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------- damaged files


def content(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["massgraph"])


def write(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """With a digest that fits: what is refused is refused for its own sake."""
    header = {name: value for name, value in header.items() if name != "sha256"}
    header["sha256"] = module._content_digest(header, tensors)
    path.unlink()
    save_file(tensors, path, {"massgraph": json.dumps(header)})


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_cut_files(tissue: Tissue, copy: Path, share: float) -> None:
    raw = (copy / FILE).read_bytes()
    (copy / FILE).write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(CheckpointError, match=r"net-1\.safetensors is damaged \(.*delete it and f"):
        classifier().fit(*tissue, checkpoint=copy, resume=True)


def test_one_flipped_bit_is_noticed(tissue: Tissue, copy: Path) -> None:
    raw = bytearray((copy / FILE).read_bytes())
    rng = np.random.default_rng(0)
    for place in [*rng.integers(8, len(raw), 20), len(raw) - 1]:
        changed = raw.copy()
        changed[place] ^= 4
        (copy / FILE).write_bytes(changed)
        with pytest.raises(CheckpointError):
            classifier().fit(*tissue, checkpoint=copy, resume=True)


def test_a_pickle_is_not_run(tissue: Tissue, copy: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "run",))

    torch.save({"model": Bomb()}, copy / FILE)
    with pytest.raises(CheckpointError, match="is damaged"):
        classifier().fit(*tissue, checkpoint=copy, resume=True)
    assert not (tmp_path / "run").exists()


def without(name: str) -> Callable[[Any, Any], None]:
    return lambda tensors, header: (tensors if name in tensors else header).pop(name)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (without("rng"), "key 'rng'"),
        (without("weights.head.bias"), "tensor head.bias is unknown or missing"),
        (without("optimizer.0.step"), "tensor 0.step is unknown or missing"),
        (lambda t, _: t.update({"other.thing": torch.zeros(1)}), "'other'"),
        (
            lambda t, _: t.update({"best.head.bias": torch.zeros(9)}),
            r"tensor head.bias is .*\(9,\)",
        ),
        (lambda _, h: h.update(schema_version=2), "schema version 1"),
        (lambda _, h: h.update(identity=[]), "key 'identity'"),
        (lambda _, h: h["history"].pop(0), "epochs are not the first of 6"),
        (lambda _, h: h["history"].clear(), "0 epochs are not the first of 6"),
        (lambda _, h: h["history"][2].update(valid_loss="low"), "epoch 3 has other columns"),
        (lambda _, h: h["rng"].update(bit_generator="Other"), "state must be for a PCG64 RNG"),
        (lambda _, h: h.update(rng=3), "is damaged"),
        (lambda _, h: h.update(batch_size=0), "batch_size 0 is no number of pixels"),
        (lambda _, h: h.update(history=3), "is damaged"),
    ],
)
def test_changed_content(
    tissue: Tissue, copy: Path, change: Callable[[Any, Any], None], wanted: str
) -> None:
    tensors, header = content(copy / FILE)
    change(tensors, header)
    write(copy / FILE, tensors, header)
    with pytest.raises(CheckpointError, match=wanted) as caught:
        classifier().fit(*tissue, checkpoint=copy, resume=True)
    assert "\n" not in str(caught.value)
    assert FILE in str(caught.value)


def test_a_file_too_large_is_not_read(
    tissue: Tissue, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    with pytest.raises(CheckpointError, match=r"has \d+ bytes, more than any checkpoint"):
        classifier().fit(*tissue, checkpoint=copy, resume=True)


def test_what_does_not_read_back_leaves_the_state_before(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copy / FILE).read_bytes()
    state = TrainingState({}, {}, {}, [], {}, 8)
    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, raw: original(path, raw[:-1] + b"?"))
    with pytest.raises(OSError, match="does not read back, check the disk"):
        Checkpoint(copy / FILE, {}).write(state)
    assert (copy / FILE).read_bytes() == before
    assert len(list(copy.iterdir())) == 1


# -------------------------------------------------------------------- out of memory


CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


def limited(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception, after: int = 0) -> None:
    """Batches of more than so many pixels do not fit, once so many have gone well."""
    original, calls = RGCN.loss, []

    def loss(model: Any, batch: Any, y: Any) -> Any:
        calls.append(1)
        if len(y) > most and len(calls) > after:
            model(batch)  # BatchNorm has seen the batch by then
            raise error
        return original(model, batch, y)

    monkeypatch.setattr(RGCN, "loss", loss)


@pytest.mark.parametrize(
    "error",
    [MemoryError("full"), torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU)],
)
def test_78_the_batch_is_halved_once(
    tissue: Tissue, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """From the start, the fit is the one that half of the batch would have given."""
    half = classifier(batch_size=8).fit(*tissue)
    limited(monkeypatch, 8, error)
    with pytest.warns(UserWarning, match="memory ran out in epoch 1 with batches of 16") as caught:
        fitted = classifier(batch_size=16).fit(*tissue)
    assert len(caught) == 1
    assert "goes on, with batch_size 8" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert_same_end(fitted, half)


def test_78_half_does_not_fit_either(tissue: Tissue, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 4, MemoryError("full"))
    wanted = "in epoch 1 with batches of 8 pixels, and with 16 before: set max_peaks"
    with pytest.warns(UserWarning, match="16 pixels"), pytest.raises(MemoryError, match=wanted):
        classifier(batch_size=16).fit(*tissue)


def test_78_what_cannot_be_halved(tissue: Tissue, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 1, MemoryError("full"))
    with pytest.raises(MemoryError, match="with batches of 3 pixels: set max_peaks"):
        classifier(batch_size=3).fit(*tissue)


def test_other_errors_of_torch_are_not_taken_for_memory(
    tissue: Tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 1, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        classifier().fit(*tissue)


def test_78_the_half_is_resumed_too(
    tissue: Tissue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out in the third epoch; a fit that goes on knows that, and ends the same."""
    n_training = int(classifier(epochs=1).fit(*tissue).training_.sum())
    # Of each pixel there are two versions to draw from.
    per_epoch = -(-max(n_training, min(2 * n_training, SMALLEST_EPOCH)) // 16)

    def fit(folder: Path, resume: bool = False) -> mg.RGCNClassifier:
        return classifier(batch_size=16).fit(*tissue, checkpoint=folder, resume=resume)

    def fit_and_stop(folder: Path) -> None:
        stop_before(monkeypatch, 5)
        with pytest.raises(KeyboardInterrupt):
            fit(folder)

    limited(monkeypatch, 8, MemoryError("full"), after=2 * per_epoch + 1)
    with pytest.warns(UserWarning, match="in epoch 3 with batches of 16"):
        whole = fit(tmp_path / "whole")
    monkeypatch.undo()
    limited(monkeypatch, 8, MemoryError("full"), after=2 * per_epoch + 1)
    with pytest.warns(UserWarning, match="in epoch 3 with batches of 16"):
        fit_and_stop(tmp_path / "cut")
    monkeypatch.undo()
    assert content(tmp_path / "cut" / FILE)[1]["batch_size"] == 8
    assert_same_end(fit(tmp_path / "cut", resume=True), whole)


@pytest.mark.parametrize("fits", [True, False])
def test_78_prediction_halves_its_batches(
    tissue: Tissue, whole: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    fitted, spectra = whole[0], tissue[0]
    before = fitted.logits(spectra)
    original = inference.batches

    def guarded(offsets: Any, most: int) -> Any:
        if most >= 1 << 17 or not fits:
            raise MemoryError
        return original(offsets, most)

    monkeypatch.setattr(inference, "batches", guarded)
    caught: list[MemoryError] = []

    def predict() -> Any:
        try:
            return fitted.logits(spectra)
        except MemoryError as error:
            caught.append(error)

    with pytest.warns(
        UserWarning, match="batches of 131072 peaks: half of that is tried"
    ) as warned:
        found = predict()
    assert warned[0].filename == __file__
    if fits:
        np.testing.assert_array_equal(found, before)
    else:
        assert "batches of 65536 peaks, and with 131072 before: set max" in str(caught[0])
