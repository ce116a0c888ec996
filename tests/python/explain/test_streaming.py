"""Spectra read block by block give what they give in memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import massgraph as mg
from massgraph.cli import main
from massgraph.data.spectra import Spectra
from massgraph.data.validation import PixelError
from massgraph.explain.activation import StreamedExplanation
from massgraph.io.imzml import ImzMLError
from source_builder import Blocks, Short, tissue, write_imzml


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    return tissue()[0]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return tissue()[1]


@pytest.fixture(scope="module")
def classifier(spectra: Spectra, labels: np.ndarray) -> mg.RGCNClassifier:
    return mg.RGCNClassifier(epochs=4, augment=1).fit(spectra, labels)


# -------------------------------------------------------------------- the user's way


@pytest.fixture(scope="module")
def image(spectra: Spectra) -> Spectra:
    """One run, as one file holds it."""
    return spectra[spectra.run == spectra.run_names[0]]


def test_open_file_is_predicted_like_the_file_in_memory(
    classifier: mg.RGCNClassifier, image: Spectra, tmp_path: Path
) -> None:
    path = write_imzml(image, tmp_path)
    whole = mg.read_imzml(path)
    with mg.open_imzml(path) as reader:
        assert isinstance(reader, mg.SpectraSource)
        found = classifier.predict_proba(reader)
        labels = classifier.predict(reader)
    np.testing.assert_allclose(found, classifier.predict_proba(whole), atol=1e-6)
    assert labels.tolist() == classifier.predict(whole).tolist()


def test_segmentation_of_an_open_file(
    classifier: mg.RGCNClassifier, image: Spectra, tmp_path: Path
) -> None:
    path = write_imzml(image, tmp_path)
    whole = classifier.segment(mg.read_imzml(path))
    with mg.open_imzml(path) as reader:
        found = classifier.segment(reader)
    np.testing.assert_allclose(found.probability, whole.probability, atol=1e-6)
    assert found.label.tolist() == whole.label.tolist()
    np.testing.assert_array_equal(found.coordinates, whole.coordinates)
    assert found.run.tolist() == whole.run.tolist()
    assert found.spectra.n_peaks == 0
    found.write_h5ad(tmp_path / "found.h5ad")
    assert (tmp_path / "found.h5ad").stat().st_size > 0


@pytest.mark.parametrize("method", ["logits", "embed", "uncertainty", "decision_function"])
def test_every_output_of_blocks(
    classifier: mg.RGCNClassifier, spectra: Spectra, method: str
) -> None:
    found, expected = (getattr(classifier, method)(x) for x in (Blocks(spectra), spectra))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_pixels_keep_their_order_whatever_the_blocks(
    classifier: mg.RGCNClassifier, spectra: Spectra
) -> None:
    results = [classifier.logits(Blocks(spectra, size)) for size in (1, 10, 1000)]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=2e-6)


# -------------------------------------------------------------------- explanation


def test_explanation_is_that_in_memory(classifier: mg.RGCNClassifier, spectra: Spectra) -> None:
    whole, found = classifier.explain(spectra), classifier.explain(Blocks(spectra))
    assert isinstance(found, StreamedExplanation)
    np.testing.assert_array_equal(found.mz, whole.mz)
    np.testing.assert_array_equal(found.labels, whole.labels)
    pd.testing.assert_frame_equal(found.ions, whole.ions, rtol=1e-6, atol=1e-9)
    pd.testing.assert_frame_equal(found.families, whole.families, rtol=1e-6)
    pd.testing.assert_frame_equal(found.family_edges, whole.family_edges, rtol=1e-6)
    np.testing.assert_allclose(found.logits(), whole.logits(), atol=1e-6)


def test_means_by_run_and_no_other_region(classifier: mg.RGCNClassifier, spectra: Spectra) -> None:
    whole, found = classifier.explain(spectra), classifier.explain(Blocks(spectra))
    expected = whole.by_region(spectra.run)
    pd.testing.assert_frame_equal(found.by_region(spectra.run), expected, atol=1e-7)
    with pytest.raises(ValueError, match="only the means by run are kept"):
        found.by_region(np.arange(spectra.n_pixels) % 2)


def test_ions_of_a_sample(
    classifier: mg.RGCNClassifier, spectra: Spectra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample finds the common ions; all pixels count, and logits stay exact."""
    monkeypatch.setattr("massgraph.data.sources.SAMPLE_PEAKS", spectra.n_peaks // 3)
    monkeypatch.setattr("massgraph.data.sources.STRETCH", 4)
    whole, found = classifier.explain(spectra), classifier.explain(Blocks(spectra))
    assert len(found.mz) < len(whole.mz)
    np.testing.assert_allclose(found.logits(), whole.logits(), atol=1e-6)
    np.testing.assert_array_equal(found.labels, whole.labels)
    common = whole.ions[whole.ions["n_pixels"] > spectra.n_pixels / 2]
    nearest = np.abs(found.mz[None] - common["mz"].to_numpy()[:, None]).argmin(axis=1)
    shift = np.abs(found.mz[nearest] / common["mz"].to_numpy() - 1)
    assert shift.max() < 5e-6
    counts = found.ions["n_pixels"].to_numpy()[nearest]
    np.testing.assert_allclose(counts, common["n_pixels"], rtol=0.1)


# -------------------------------------------------------------------- fitting


@pytest.mark.filterwarnings("ignore:.* fewer than 5 are little")
def test_fit_reads_labelled_pixels_only(spectra: Spectra, labels: np.ndarray) -> None:
    few = labels.copy()
    few[40:250] = None
    source = Blocks(spectra)
    # With neighbours those beside them are read, too: see test_spatial.
    options = {"epochs": 2, "augment": 0, "spatial": False}
    found = mg.RGCNClassifier(**options).fit(source, few)
    whole = mg.RGCNClassifier(**options).fit(spectra, few)
    read = np.concatenate([np.arange(a, b) for a, b in source.asked])
    assert read.tolist() == np.flatnonzero([label is not None for label in few]).tolist()
    np.testing.assert_array_equal(found.training_, whole.training_)
    np.testing.assert_array_equal(found.validation_, whole.validation_)
    np.testing.assert_array_equal(found.logits(spectra), whole.logits(spectra))


def test_pixels_of_the_fit_are_known_again(spectra: Spectra, labels: np.ndarray) -> None:
    source = Blocks(spectra)
    fitted = mg.RGCNClassifier(epochs=2, augment=0).fit(source, labels)
    again = fitted.segment(source, labels, explain=False)
    np.testing.assert_array_equal(again.training, fitted.training_)
    other = Blocks(replace(spectra, intensity=spectra.intensity * 2))
    assert fitted.segment(other, explain=False).training is None


# -------------------------------------------------------------------- faults


class Broken(Blocks):
    def blocks(self) -> Iterator[Spectra]:
        yield self.spectra[:7]
        raise PixelError(9, "mz nan is not finite and above zero")


def test_errors_name_the_pixel_among_all(classifier: mg.RGCNClassifier, spectra: Spectra) -> None:
    with pytest.raises(PixelError, match="pixel 9: mz nan"):
        classifier.predict(Broken(spectra))
    first, second = (spectra[spectra.run == name] for name in spectra.run_names)
    with pytest.raises(PixelError, match=f"pixel {first.n_pixels + 9}: mz nan"):
        classifier.predict(mg.streaming.JoinedSpectra([first, Broken(second)]))


def test_damage_in_a_late_block_of_a_file(
    classifier: mg.RGCNClassifier, image: Spectra, tmp_path: Path
) -> None:
    path = write_imzml(image, tmp_path)
    with mg.open_imzml(path) as reader:
        data = bytearray(path.with_suffix(".ibd").read_bytes())
        # Of m/z and intensities by turns.
        offsets = re.findall(r'"IMS:1000102"[^>]*value="(\d+)"', path.read_text(encoding="utf-8"))
        place = int(offsets[2 * 100])
        data[place : place + 8] = np.array([np.nan]).tobytes()
        path.with_suffix(".ibd").write_bytes(data)
        with pytest.raises(ImzMLError, match="pixel 100 "):
            classifier.predict(reader)


def test_sources_that_do_not_keep_their_word(
    classifier: mg.RGCNClassifier, spectra: Spectra
) -> None:
    with pytest.raises(ValueError, match="gave 7 pixels, but says that it has"):
        classifier.predict(Short(spectra))
    nothing = Blocks(spectra[:0])
    for method in (classifier.predict, classifier.explain, classifier.segment):
        with pytest.raises(ValueError, match="there are no pixels"):
            method(nothing)
    negative = Blocks(replace(spectra, polarity="negative"))
    for method in (classifier.predict, classifier.explain, classifier.segment):
        with pytest.raises(ValueError, match="of negative polarity"):
            method(negative)


def test_pixels_without_any_peaks(classifier: mg.RGCNClassifier, spectra: Spectra) -> None:
    bare = spectra[:20].keep_peaks(np.zeros(spectra[:20].n_peaks, dtype=bool))
    found = classifier.segment(Blocks(bare))
    assert np.isnan(found.probability).all()
    assert found.explanation is not None
    assert (found.explanation.labels == -1).all()


# -------------------------------------------------------------------- the command


def test_command_reads_large_files_by_blocks(
    classifier: mg.RGCNClassifier,
    image: Spectra,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_imzml(image, tmp_path)
    classifier.save(tmp_path / "model")
    monkeypatch.setattr("massgraph.cli.inputs.LARGE", 1000)
    for command in ("predict", "explain"):
        out = tmp_path / command
        assert main([command, str(tmp_path / "model"), str(path), "--out", str(out)]) == 0
        ions = pd.read_csv(out / "ions.csv")
        expected = classifier.explain(mg.read_imzml(path)).ions.sort_values("rank")
        np.testing.assert_allclose(ions["score"], expected["score"], rtol=6e-4, atol=1e-6)
    assert (tmp_path / "predict" / "report.html").exists()
    assert (tmp_path / "explain" / "ions_by_run.csv").exists()


def test_command_learns_from_large_files_by_blocks(
    image: Spectra,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_imzml(image, tmp_path)
    x, y = image.coordinates[:, 0], image.coordinates[:, 1]
    half = np.where(x > np.median(x), "right", "left")
    table = pd.DataFrame({"x": x.astype(int), "y": y.astype(int), "label": half})
    table[::3].to_csv(tmp_path / "labels.csv", index=False)
    arguments = ["fit", str(path), "--labels", str(tmp_path / "labels.csv"), "--epochs", "2"]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    monkeypatch.setattr("massgraph.cli.inputs.LARGE", 1000)
    assert main([*arguments, "--out", str(tmp_path / "blocks")]) == 0
    one, other = (mg.load(tmp_path / name / "model") for name in ("whole", "blocks"))
    np.testing.assert_array_equal(one.predict_proba(image), other.predict_proba(image))
    table["label"] = "left"
    table.to_csv(tmp_path / "labels.csv", index=False)
    capsys.readouterr()
    assert main([*arguments, "--out", str(tmp_path / "none")]) == 2
    assert "all labels are 'left'" in capsys.readouterr().err


BIG = """
import signal
import sys
import numpy as np
import massgraph as mg
from massgraph.simulation.simulate import simulate_chunks

class Simulated:
    n_pixels = {n}
    run = np.repeat("run1", n_pixels)
    def read(self, first, stop):
        return self.block[np.arange(first, stop) % 1000]
    def blocks(self):
        for start in range(0, self.n_pixels, 1000):
            yield self.block

# What a shell starts in the background ignores interrupts, and so do these tests in it.
signal.signal(signal.SIGINT, signal.default_int_handler)
mg.streaming.SAMPLE_PEAKS = 1 << 19  # so that both sizes are larger than the sample
source = Simulated()
source.block = next(simulate_chunks("tiny", n_runs=1, shape=(32, 32), n_classes=3)).spectra[:1000]
model = mg.load(sys.argv[1])
print("ready", flush=True)
model.segment(source)
status = open("/proc/self/status").read()
print(status[status.index("VmHWM"):].split()[1])
"""


def run_big(model: Path, n: int) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(mg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", BIG.format(n=n), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is in /proc")
def test_memory_does_not_grow_with_the_pixels(
    classifier: mg.RGCNClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model")
    peaks = []
    for n in (8000, 20000):
        output, errors = run_big(tmp_path / "model", n).communicate(timeout=300)
        assert output.startswith("ready"), errors
        peaks.append(int(output.split()[-1]) / 1024)
    # 12,000 more pixels of 80 peaks: some 300 MB where all was kept.
    assert peaks[1] - peaks[0] < 100


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT")
def test_interrupt_ends_everything(classifier: mg.RGCNClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "model")
    with run_big(tmp_path / "model", 10_000_000) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(1.0)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            if children.exists():
                assert not children.read_text().split()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode != 0
    assert re.search("KeyboardInterrupt", errors)
