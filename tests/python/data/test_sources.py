"""Sources of spectra: what memory, files and objects of others have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import massgraph as mg
from massgraph._util.errors import InputTypeError
from massgraph.data import sources
from massgraph.data.sources import (
    JoinedSpectra,
    SpectraSource,
    batches,
    check_pixels,
    in_memory,
    is_source,
    parts,
    places,
    runs,
    sample,
    take,
    without_peaks,
)
from massgraph.data.spectra import Spectra
from massgraph.data.validation import PixelError
from source_builder import Bare, Blocks, Other, Shifted, Short, tissue, write_imzml


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    return tissue()[0]


@pytest.fixture(scope="module")
def image(spectra: Spectra) -> Spectra:
    """One run, as one file holds it."""
    return spectra[spectra.run == spectra.run_names[0]]


# -------------------------------------------------------------------- one way for all


def test_the_module_has_its_old_name_too() -> None:
    assert mg.streaming is sources
    assert mg.SpectraSource is SpectraSource


@pytest.mark.parametrize("size", [1, 17, 1000])
@pytest.mark.parametrize("kind", [Bare, Blocks])
def test_a_source_gives_what_memory_gives(spectra: Spectra, kind: type[Bare], size: int) -> None:
    source = kind(spectra, size)
    assert isinstance(source, SpectraSource)
    assert is_source(source)
    assert check_pixels(source) is source
    assert in_memory(source).fingerprint() == spectra.fingerprint()
    assert sample(source).fingerprint() == spectra.fingerprint()
    assert places(source).fingerprint() == places(spectra).fingerprint()
    assert runs(source).tolist() == runs(spectra).tolist() == spectra.run.tolist()
    assert Spectra.concatenate(list(parts(source))).fingerprint() == spectra.fingerprint()


def test_memory_is_a_source_of_one_block(spectra: Spectra) -> None:
    assert not is_source(spectra)
    assert check_pixels(spectra) is in_memory(spectra) is sample(spectra) is spectra
    assert [part.fingerprint() for part in parts(spectra)] == [spectra.fingerprint()]
    assert places(spectra).n_peaks == 0
    np.testing.assert_array_equal(places(spectra).coordinates, spectra.coordinates)


def test_no_pixels(spectra: Spectra) -> None:
    none = Bare(spectra[:0])
    assert list(parts(none)) == []
    for function in (in_memory, sample, places):
        assert function(none).n_pixels == 0
    assert runs(none).tolist() == []
    assert take(none, np.empty(0, dtype=np.int64)).n_pixels == 0


# -------------------------------------------------------------------- parts and samples


def test_parts_are_bounded_and_complete(spectra: Spectra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_PEAKS", 300)
    for source in (Blocks(spectra, 50), spectra):
        found = list(parts(source))
        assert max(part.n_peaks for part in found if part.n_pixels > 1) <= 300
        assert Spectra.concatenate(found).fingerprint() == spectra.fingerprint()


def test_take_reads_stretches(spectra: Spectra) -> None:
    source = Blocks(spectra)
    rows = np.array([3, 4, 5, 9, 20, 21])
    assert take(source, rows).fingerprint() == spectra[rows].fingerprint()
    assert source.asked == [(3, 6), (9, 10), (20, 22)]
    assert take(source, rows[:0]).n_pixels == 0


def test_a_sample_has_enough_peaks_from_all_over(
    spectra: Spectra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SAMPLE_PEAKS", spectra.n_peaks // 3)
    monkeypatch.setattr(sources, "STRETCH", 4)
    source = Blocks(spectra)
    found = sample(source)
    largest = max(spectra[a:b].n_peaks for a, b in source.asked)
    assert spectra.n_peaks // 3 <= found.n_peaks < spectra.n_peaks // 3 + largest
    assert set(found.run_names) == set(spectra.run_names)
    rows = np.sort(np.concatenate([np.arange(a, b) for a, b in source.asked]))
    assert found.fingerprint() == spectra[rows].fingerprint()  # in the order of the image
    assert sample(Blocks(spectra, 3)).fingerprint() == found.fingerprint()


# -------------------------------------------------------------------- several as one


def test_joined_sources_are_one(spectra: Spectra) -> None:
    first, second = (spectra[spectra.run == name] for name in spectra.run_names)
    joined = JoinedSpectra([Blocks(first), second])
    assert Spectra.concatenate(list(joined.blocks())).fingerprint() == spectra.fingerprint()
    assert runs(joined).tolist() == spectra.run.tolist()
    middle = first.n_pixels
    across = joined.read(middle - 2, middle + 3)
    assert across.fingerprint() == spectra[middle - 2 : middle + 3].fingerprint()
    assert joined.read(4, 4).n_pixels == 0


def test_joined_sources_must_agree(spectra: Spectra) -> None:
    first, second = (spectra[spectra.run == name] for name in spectra.run_names)
    with pytest.raises(ValueError, match="two inputs hold a run named"):
        list(JoinedSpectra([Blocks(first), first]).blocks())
    negative = replace(second, polarity="negative")
    with pytest.raises(ValueError, match="of negative polarity, but the others of positive"):
        list(JoinedSpectra([first, negative]).blocks())
    with pytest.raises(ValueError, match="nothing to join"):
        JoinedSpectra([])
    with pytest.raises(InputTypeError, match="a list holds no pixels that can be read"):
        JoinedSpectra([first, [1.0, 2.0]])
    unknown = replace(first, polarity=None)
    for pair in ([unknown, second], [second, unknown]):
        with pytest.raises(ValueError, match="if both are positive, say so"):
            JoinedSpectra(pair).places()
    (block,) = JoinedSpectra([unknown], polarity="negative").blocks()
    assert block.polarity == "negative"


def test_joined_sources_of_other_pixel_sizes_and_depth(image: Spectra) -> None:
    """Slides of two pixel sizes, one of them a stack of two sections."""
    assert image.coordinates is not None
    z = np.arange(image.n_pixels) % 2 + 1.0
    deep = replace(
        image.rename_runs({image.run_names[0]: "deep"}),
        coordinates=np.column_stack([image.coordinates, z]),
        pixel_size=(20.0, 20.0),
    )
    flat = replace(image, pixel_size=(50.0, 50.0))
    with pytest.warns(UserWarning, match=r"differ in the size of a pixel \(50 x 50 um, 20 x 20"):
        joined = JoinedSpectra([flat, deep])
    with pytest.warns(UserWarning, match="differ in the size of a pixel"):
        at_once = Spectra.concatenate([flat, deep])
    # Said once: from here on all parts are alike.
    for found in (joined.places(), Spectra.concatenate(list(joined.blocks())), in_memory(joined)):
        assert found.pixel_size is None
        assert at_once.pixel_size is None
        assert found.coordinates is not None
        np.testing.assert_array_equal(found.coordinates, at_once.coordinates)
    assert joined.read(0, 3).coordinates is not None
    assert np.shape(joined.read(0, 3).coordinates) == (3, 3)


def test_joined_runs_of_one_name_get_others(image: Spectra) -> None:
    name = image.run_names[0]
    joined = JoinedSpectra([image, image], names=[{name: "s1/a"}, {name: "s2/a"}])
    assert list(dict.fromkeys(joined.run.tolist())) == ["s1/a", "s2/a"]
    assert list(dict.fromkeys(joined.places().run.tolist())) == ["s1/a", "s2/a"]
    assert joined.read(0, 1).run.tolist() == ["s1/a"]


def test_places_are_the_pixels_without_peaks(image: Spectra, tmp_path: Path) -> None:
    path = write_imzml(image, tmp_path)
    with mg.open_imzml(path) as reader:
        for found in (reader.places(), JoinedSpectra([reader]).places()):
            assert (found.n_pixels, found.n_peaks) == (image.n_pixels, 0)
            np.testing.assert_array_equal(found.coordinates, image.coordinates)
            assert found.run_names == reader.run_names
        with pytest.raises(ValueError, match="two inputs hold a run named"):
            JoinedSpectra([reader, reader]).places()
    other = Blocks(image)
    assert JoinedSpectra([other]).places().peak_counts.tolist() == [0] * image.n_pixels


# -------------------------------------------------------------------- sources that break their word


class Misplaced(Bare):
    run = ("a", "b")

    def places(self) -> Spectra:
        return without_peaks(self.spectra[:5])


FIRST = np.arange(3)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda x: list(parts(Other(x))), "Other gave a list in place of pixels"),
        (lambda x: in_memory(Other(x)), "Other gave a list in place of pixels"),
        (lambda x: places(Other(x)), "Other gave a list in place of pixels"),
        (lambda x: take(Other(x), FIRST), "Other gave a list in place of pixels"),
        (lambda x: sample(Other(x)), "Other gave a list in place of pixels"),
        (lambda x: list(parts(Short(x))), "gave 7 pixels, but says that it has 288"),
        (lambda x: in_memory(Short(x)), "gave 7 pixels, but says that it has 288"),
        (lambda x: list(parts(Shifted(x))), "gave 289 pixels, but says that it has 288"),
        (lambda x: take(Shifted(x), FIRST), r"read\(0, 3\) of Shifted gave 4 pixels, need 3"),
        (lambda x: sample(Shifted(x)), r"of Shifted gave 65 pixels, need 64"),
        (lambda x: runs(Misplaced(x)), r"run has shape \(2,\), need one name for each of 288"),
        (lambda x: places(Misplaced(x)), r"places\(\) gave 5 pixels, need all 288"),
        (lambda x: in_memory(x.mz), "a ndarray holds no pixels that can be read"),
        (lambda x: check_pixels(None), "a NoneType holds no pixels that can be read"),
    ],
)
def test_a_source_that_does_not_keep_its_word(
    spectra: Spectra, ask: Callable[[Spectra], Any], message: str
) -> None:
    with pytest.raises(mg.InputError, match=message) as caught:
        ask(spectra)
    assert "\n" not in str(caught.value)


class Broken(Bare):
    def blocks(self) -> Iterator[Spectra]:
        yield self.spectra[:7]
        raise PixelError(9, "mz nan is not finite and above zero")


def test_errors_name_the_pixel_among_all(spectra: Spectra) -> None:
    first, second = (spectra[spectra.run == name] for name in spectra.run_names)
    with pytest.raises(PixelError, match="pixel 9: mz nan"):
        list(parts(Broken(spectra)))
    with pytest.raises(PixelError, match=f"pixel {first.n_pixels + 9}: mz nan"):
        list(parts(JoinedSpectra([first, Broken(second)])))


# -------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], []),
        ([3], [(0, 1)]),
        ([3, 3, 3], [(0, 2), (2, 3)]),
        ([9, 1, 1], [(0, 1), (1, 3)]),
        ([0, 0, 0], [(0, 3)]),
        ([7, 0, 7], [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_batches_of_bounded_size(counts: list[int], expected: list[tuple[int, int]]) -> None:
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    found = [(part.start, part.stop) for part in batches(offsets, max_peaks=6)]
    assert found == expected
