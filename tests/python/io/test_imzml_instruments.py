"""imzML as instruments write it: kinds of spectra, both polarities, counts, mobility, origins.

In whatever way a file is read, block by block or at once, the same must come of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imzml_builder import MS1, MSN, POLARITY, Builder, Pixel, edit, level, term
from imzml_faults import refused
from imzml_ways import bare, from_one, read_all_ways, row
from massgraph._util.advice import standing_in
from massgraph.io.imzml import ImzMLError, open_imzml, read_imzml, validate_imzml
from massgraph.io.labels import match_labels, read_labels

NEGATIVE, POSITIVE = (term(*POLARITY[name]) for name in ("negative", "positive"))
SIM = term("MS:1000582", "SIM spectrum")
LIGHT = term("MS:1000804", "electromagnetic radiation spectrum")
CENTROID = term("MS:1000127", "centroid spectrum")
PROFILE = term("MS:1000128", "profile spectrum")
PRECURSOR = '<precursorList count="1"><precursor/></precursorList>'
GRID = np.arange(100.0, 140.0, 0.01)


# -------------------------------------------------------------------- kinds of spectra


@pytest.mark.parametrize(
    "terms", [(MS1,), (level(1),), (MS1, level(1)), (level(""),), (level(0),), ()]
)
def test_a_file_of_ms1_spectra_is_read_in_silence(tmp_path: Path, terms: tuple[str, ...]) -> None:
    path = bare(from_one(row(3, POSITIVE, *terms))).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.n_pixels == 3
    assert notes == []
    found = validate_imzml(path)
    assert found["kinds"] == {"MS1": 3}
    assert found["warnings"] == []


@pytest.mark.parametrize(
    ("terms", "kind"),
    [
        ((MSN, level(2)), "MS2"),
        ((level(2),), "MS2"),
        ((level(3),), "MS3"),
        ((MSN,), "MSn"),
        ((term("MS:1000343", "product ion spectrum"),), "MSn"),
        ((PRECURSOR,), "MSn"),
        ((PRECURSOR, level(2)), "MS2"),
        ((term("MS:1000583", "SRM spectrum"), level(2)), "SRM"),
        ((term("MS:1000581", "CRM spectrum"),), "CRM"),
        ((term("MS:1000341", "precursor ion spectrum"),), "precursor-ion"),
        ((term("MS:1000326", "constant neutral loss spectrum"),), "neutral-loss"),
        ((term("MS:1000928", "calibration spectrum"), MS1), "calibration"),
    ],
)
def test_other_kinds_are_refused_or_asked_for(
    tmp_path: Path, terms: tuple[str, ...], kind: str
) -> None:
    path = bare(from_one(row(3, POSITIVE, *terms))).write(tmp_path)
    refused(path, rf'holds {kind} spectra \(3\), .* kind="{kind}" reads them all the same')
    with pytest.raises(ImzMLError, match="which show other ions"):
        open_imzml(path)
    spectra, notes = read_all_ways(path, kind=kind.lower())
    assert (spectra.n_pixels, notes) == (3, [])
    refused(path, rf"holds no MS9 spectra \(it holds 3 {kind}\)", kind="MS9")


@pytest.mark.parametrize("place", ["file", "group"])
def test_the_kind_may_stand_in_the_file_or_in_a_group(tmp_path: Path, place: str) -> None:
    pixels = from_one(row(3, POSITIVE))
    builder = {
        "file": bare(pixels, content=(MSN,)),
        "group": bare(pixels, level="2"),
    }[place]
    kind = {"file": "MSn", "group": "MS2"}[place]
    refused(builder.write(tmp_path), rf"holds {kind} spectra \(3\)")


def test_kinds_are_told_with_their_numbers_and_parted(tmp_path: Path) -> None:
    """MS1 and MS2 in turn, a window, and the picture of a lamp, at places of their own."""
    ms1, ms2 = (from_one(row(4, POSITIVE, level(n), y=n)) for n in (1, 2))
    mixed = [one for pair in zip(ms1, ms2, strict=True) for one in pair]
    mixed.append(Pixel(9, 1, (100.0,), (5.0,), terms=(POSITIVE, SIM, level(1))))
    mixed.append(Pixel(9, 9, (450.0,), (5.0,), terms=(POSITIVE, LIGHT)))
    path = bare(mixed).write(tmp_path)
    message = refused(path, r"several kinds \(4 MS1, 4 MS2, 1 SIM, 1 UV\), which show other ions")
    assert 'choose one: kind="MS1" or kind="MS2" or kind="SIM"' in message
    with standing_in("cli"):
        refused(path, "choose one: --kind MS1 or --kind MS2 or --kind SIM$")
    for kind, y in (("MS1", 1), ("MS2", 2)):
        spectra, notes = read_all_ways(path, kind=kind)
        assert notes == []
        assert spectra.coordinates is not None
        assert spectra.coordinates.tolist() == [[x, y] for x in (1, 2, 3, 4)]
        assert spectra.intensity[::2].tolist() == [10 * y + x for x in range(4)]
    with pytest.warns(UserWarning, match="ions outside of their windows are missing"):
        assert (
            read_imzml(bare(from_one(row(2, POSITIVE, SIM))).write(tmp_path / "sim")).n_pixels == 2
        )
    found = validate_imzml(path)
    assert found["kinds"] == {"MS1": 4, "MS2": 4, "SIM": 1, "UV": 1}
    assert found["n_pixels"] == 9
    assert sum("several kinds" in note for note in found["warnings"]) == 1
    assert validate_imzml(path, kind="MS2")["n_pixels"] == 4
    assert validate_imzml(path, kind="MS2")["warnings"] == []


def test_a_kind_may_be_given_as_its_level(tmp_path: Path) -> None:
    path = bare(from_one(row(3, POSITIVE, level(2)))).write(tmp_path)
    for kind in (2, "2", "ms2", " MS2"):
        assert read_imzml(path, kind=kind).n_pixels == 3
    for kind in ("", 2.0, ["MS2"]):
        with pytest.raises(ValueError, match="is no kind of spectrum"):
            read_imzml(path, kind=kind)  # type: ignore[arg-type]


def test_levels_at_one_place_are_parted(tmp_path: Path) -> None:
    """A fragment spectrum after each survey spectrum, both of the same pixel."""
    pixels = [
        Pixel(x, 1, (100.0,), (float(n),), terms=(POSITIVE, level(n)))
        for x in (1, 2, 3)
        for n in (1, 2)
    ]
    path = bare(pixels).write(tmp_path)
    refused(path, r"several kinds \(3 MS1, 3 MS2\)")
    for n in (1, 2):
        spectra, notes = read_all_ways(path, kind=f"MS{n}")
        assert spectra.intensity.tolist() == [n, n, n]
        assert notes == []
    assert validate_imzml(path)["n_pixels"] == 6


def test_light_alone_is_refused_whatever_its_arrays_are(tmp_path: Path) -> None:
    path = bare(from_one(row(3, LIGHT))).write(tmp_path)
    edit(path, "MS:1000514", "MS:1000617")
    edit(path, "m/z array", "wavelength array")
    refused(path, r"holds spectra of light \(UV\) and none of masses")
    refused(path, r"holds spectra of light \(UV\) and none of masses", kind="UV")


def test_wavelengths_beside_masses_do_not_stop_the_reading(tmp_path: Path) -> None:
    masses, light = from_one(row(3, POSITIVE)), from_one(row(3, LIGHT))
    path = bare([*masses, *light], inline=True).write(tmp_path)
    text = path.read_text()
    at = text.index(LIGHT)
    path.write_text(text[:at] + text[at:].replace("MS:1000514", "MS:1000617"))
    spectra, notes = read_all_ways(path, kind="MS1")
    assert spectra.n_pixels == 3
    # Bytes of arrays that are not read are no waste at the end of the file.
    assert notes == []


def scan_filter(text: str) -> str:
    return term("MS:1000512", "filter string", text)


def test_a_filter_string_tells_polarity_and_fragments(tmp_path: Path) -> None:
    """Where a converter of Thermo's files leaves out the terms."""
    full = scan_filter("FTMS - p ESI Full ms [100.00-800.00]")
    spectra, notes = read_all_ways(bare(from_one(row(3, full))).write(tmp_path / "full"))
    assert (spectra.polarity, notes) == ("negative", [])
    both = bare(from_one(row(3, full, level(0), MS1, POSITIVE))).write(tmp_path / "declared")
    assert read_all_ways(both)[0].polarity == "positive"
    mixed = [
        Pixel(x, 1, (100.0,), (1.0,), terms=(POSITIVE, scan_filter(text)))
        for x, text in enumerate(
            ["FTMS + p ESI Full ms [100.00-800.00]"] * 40
            + [f"ITMS + c ESI d Full ms2 {k}.5@cid35.00 [50.00-800.00]" for k in range(500, 520)],
            start=1,
        )
    ]
    path = bare(mixed).write(tmp_path / "mixed")
    refused(path, r"several kinds \(40 MS1, 20 MS2\)")
    assert read_all_ways(path, kind="MS1")[0].n_pixels == 40
    declared = [replace(one, terms=(*one.terms, MS1)) for one in mixed]
    refused(bare(declared).write(tmp_path / "odd"), "declares 20 spectra as MS1 and MS2 at once")
    strange = bare(from_one(row(2, POSITIVE, scan_filter("no filter at all")))).write(tmp_path)
    assert read_all_ways(strange)[1] == []


def test_kinds_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    path = bare(from_one(row(3, POSITIVE, MS1, level(2)))).write(tmp_path)
    message = refused(path, "declares 3 spectra as MS1 and MS2 at once; say which they are")
    assert 'kind="MS1" or kind="MS2"' in message
    for kind in ("MS1", "MS2"):
        assert read_imzml(path, kind=kind).n_pixels == 3


def test_spectra_are_believed_before_the_file(tmp_path: Path) -> None:
    path = bare(from_one(row(2, POSITIVE, level(1))), content=(MS1, MSN)).write(tmp_path / "both")
    assert read_all_ways(path)[1] == []
    path = bare(from_one(row(2, POSITIVE, level(1))), content=(MSN,)).write(tmp_path / "other")
    spectra, notes = read_all_ways(path)
    assert spectra.n_pixels == 2
    assert notes == ["declares MSn for the file but MS1 for its spectra"]


def test_a_file_of_several_kinds_whose_spectra_do_not_say(tmp_path: Path) -> None:
    path = bare(from_one(row(2, POSITIVE)), content=(MS1, MSN)).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.n_pixels == 2
    assert len(notes) == 1
    assert "declares MS1 and MSn for the file but not which spectra are which" in notes[0]
    assert read_all_ways(path, kind="MSn")[0].n_pixels == 2


def test_a_level_that_changes_late_in_a_long_file_is_seen(tmp_path: Path) -> None:
    """Spectra written alike are not parsed in full: the level is no number to pass over."""
    many = [Pixel(x, 1, (100.0,), (1.0,), terms=(POSITIVE, level(1))) for x in range(1, 3000)]
    path = bare([*many, Pixel(3000, 1, (100.0,), (1.0,), terms=(POSITIVE, level(2)))]).write(
        tmp_path
    )
    refused(path, r"several kinds \(2999 MS1, 1 MS2\)")


# -------------------------------------------------------------------- polarities


def alternating() -> list[Pixel]:
    """Every second row negative, as instruments write that switch from line to line."""
    return [
        one
        for y in (1, 2, 3, 4)
        for one in from_one(row(3, POSITIVE if y % 2 else NEGATIVE, level(1), y=y))
    ]


def test_alternating_polarity_is_chosen_from(tmp_path: Path) -> None:
    path = bare(alternating()).write(tmp_path)
    message = refused(path, r"holds spectra of both polarities \(6 negative, 6 positive\)")
    assert message.endswith('; choose one: polarity="negative" or polarity="positive"')
    for polarity, rows in (("positive", {1, 3}), ("negative", {2, 4})):
        spectra, notes = read_all_ways(path, polarity=polarity)
        assert notes == []
        assert spectra.polarity == polarity
        assert spectra.coordinates is not None
        assert set(spectra.coordinates[:, 1].tolist()) == rows
        assert spectra.n_pixels == 6
    found = validate_imzml(path)
    assert found["polarities"] == {"negative": 6, "positive": 6}
    assert found["polarity"] is None


def test_positions_doubled_by_polarity_are_resolved_by_the_choice(tmp_path: Path) -> None:
    pixels = [
        replace(one, terms=(polarity,), intensity=(intensity, 1.0))
        for one in from_one(row(3))
        for polarity, intensity in ((POSITIVE, 7.0), (NEGATIVE, 9.0))
    ]
    path = bare(pixels).write(tmp_path)
    refused(path, r"both polarities \(3 negative, 3 positive\)")
    for polarity, intensity in (("positive", 7.0), ("negative", 9.0)):
        spectra, notes = read_all_ways(path, polarity=polarity)
        assert spectra.intensity[::2].tolist() == [intensity] * 3
        assert notes == []
    assert validate_imzml(path)["n_pixels"] == 6


def test_polarity_of_a_file_that_does_not_say_is_taken_from_the_user(tmp_path: Path) -> None:
    path = bare(from_one(row(3))).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert (spectra.polarity, notes) == (None, ["declares no polarity"])
    spectra, notes = read_all_ways(path, polarity="negative")
    assert (spectra.polarity, notes) == ("negative", [])


def test_the_other_polarity_is_not_there(tmp_path: Path) -> None:
    path = Builder(polarity="positive").write(tmp_path)
    refused(
        path, r'of positive polarity, but polarity="negative" .* the other', polarity="negative"
    )
    with pytest.raises(ValueError, match="polarity 'both' is none of"):
        read_imzml(path, polarity="both")


@pytest.mark.parametrize("place", ["content", "run"])
def test_a_run_that_alternates_whose_spectra_do_not_say(tmp_path: Path, place: str) -> None:
    """HUPO-PSI/psi-ms-CV issues 7 and 537: the term is of a run."""
    mode = term("MS:1002833", "alternating polarity mode")
    pixels = from_one(row(3))
    if place == "content":
        path = bare(pixels, content=(MS1, mode)).write(tmp_path)
    else:
        path = edit(bare(pixels).write(tmp_path), '<run id="run0">', f'<run id="run0">{mode}')
    refused(path, "declares both polarities, but not of which 3 of its spectra are; export it")
    assert read_imzml(path, polarity="negative").polarity == "negative"
    path = bare(alternating(), content=(MS1, mode)).write(tmp_path / "said")
    spectra, notes = read_all_ways(path, polarity="positive")
    assert (spectra.n_pixels, notes) == (6, [])


def test_spectra_that_do_not_say_beside_both_polarities(tmp_path: Path) -> None:
    pixels = [*alternating(), *from_one(row(2, y=9))]
    spectra, notes = read_all_ways(bare(pixels).write(tmp_path), polarity="positive")
    assert spectra.n_pixels == 6
    assert notes == ["2 spectra declare no polarity beside others of both, and were left out"]


def test_labels_go_with_the_choice(tmp_path: Path) -> None:
    path = bare(alternating()).write(tmp_path)
    table = "x,y,label\n" + "".join(
        f"{x},{y},{'a' if x < 3 else 'b'}\n" for y in (1, 2, 3, 4) for x in (1, 2, 3)
    )
    (tmp_path / "labels.csv").write_text(table)
    labels = read_labels(tmp_path / "labels.csv")
    for polarity in ("positive", "negative"):
        spectra = read_imzml(path, polarity=polarity)
        assert match_labels(labels, spectra).tolist() == ["a", "a", "b"] * 2
        with open_imzml(path, polarity=polarity) as reader:
            assert match_labels(labels, reader).tolist() == ["a", "a", "b"] * 2
    (tmp_path / "more.csv").write_text(table + "4,1,a\n")
    with pytest.raises(ValueError, match=r"x 4, y 1\).* is not in the image.* 1 of 13 labels"):
        match_labels(read_labels(tmp_path / "more.csv"), spectra)


# -------------------------------------------------------------------- profile or centroid


def hill(x: int, *terms: str) -> Pixel:
    """A profile of two peaks."""
    heights = sum(np.exp(-0.5 * ((GRID - at) / 0.02) ** 2) * 100 for at in (110.0, 120.0))
    return Pixel(x, 1, GRID.tolist(), np.asarray(heights).tolist(), terms=terms)


def peaks(x: int, *terms: str, n: int = 60) -> Pixel:
    """Peaks at random m/z, few enough to be told from points."""
    mz = np.sort(np.random.default_rng(x).uniform(100, 900, n))
    return Pixel(x, 1, mz.tolist(), [5.0] * n, terms=terms)


def test_each_spectrum_says_whether_it_is_a_profile(tmp_path: Path) -> None:
    pixels = [hill(1, PROFILE), peaks(2, CENTROID), hill(3, PROFILE), peaks(4, CENTROID)]
    path = Builder(pixels, mode=None).write(tmp_path)
    refused(
        path,
        r'holds profile spectra \(2, beside 2 of centroids\), .* profile="centroid" to pick peaks',
    )
    spectra, notes = read_all_ways(path, profile="centroid")
    assert spectra.peak_counts.tolist() == [2, 60, 2, 60]
    assert notes == []
    assert validate_imzml(path)["mode"] == "mixed"
    with open_imzml(path, profile="centroid") as reader:
        assert "mixed" in repr(reader)


def test_a_spectrum_is_believed_before_the_file(tmp_path: Path) -> None:
    pixels = [peaks(1, CENTROID), peaks(2, CENTROID)]
    path = Builder(pixels, mode=None, content=(MS1, PROFILE)).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.peak_counts.tolist() == [60, 60]
    assert notes == ["declares representation profile for the file but centroid for its spectra"]


def test_of_a_file_a_spectrum_that_does_not_say_is_as_the_file_says(tmp_path: Path) -> None:
    pixels = [hill(1), peaks(2, CENTROID)]
    path = Builder(pixels, mode=None, content=(MS1, PROFILE, CENTROID)).write(tmp_path / "both")
    refused(path, r"seems to hold profile|holds profile")
    path = Builder([hill(1), hill(2)], mode=None, content=(MS1, PROFILE)).write(tmp_path / "one")
    assert read_all_ways(path, profile="centroid")[0].peak_counts.tolist() == [2, 2]


def test_a_spectrum_that_is_both_is_named_and_settled_by_its_spacing(tmp_path: Path) -> None:
    pixels = [hill(1, CENTROID, PROFILE), hill(2, CENTROID, PROFILE)]
    path = Builder(pixels, mode=None).write(tmp_path)
    spectra, notes = read_all_ways(path, profile="centroid")
    assert spectra.peak_counts.tolist() == [2, 2]
    assert "declares 2 spectra as centroid and profile at once" in notes
    assert len(notes) == 2


def test_peaks_that_are_declared_profile_are_not_picked_again(tmp_path: Path) -> None:
    """Maxima among picked peaks would be a third of them."""
    path = Builder([peaks(x) for x in (1, 2, 3)], mode="profile").write(tmp_path)
    refused(path, "their m/z lie as those of picked peaks do, which are then kept")
    spectra, notes = read_all_ways(path, profile="centroid")
    assert spectra.peak_counts.tolist() == [60, 60, 60]
    assert len(notes) == 1
    assert "were read as peaks" in notes[0]


def test_profiles_whose_zeros_are_left_out_are_still_picked(tmp_path: Path) -> None:
    pixels = []
    for x in (1, 2, 3):
        mz, heights = np.array(hill(x).mz), np.array(hill(x).intensity)
        there = heights > 0.01
        pixels.append(Pixel(x, 1, mz[there].tolist(), heights[there].tolist()))
    path = Builder(pixels, mode="profile").write(tmp_path)
    spectra, notes = read_all_ways(path, profile="centroid")
    assert spectra.peak_counts.tolist() == [2, 2, 2]
    assert notes == []


# -------------------------------------------------------------------- integers below zero


def counts(values: Sequence[float], intensity_type: str) -> Builder:
    mz = tuple(100.0 + k for k in range(len(values)))
    pixels = [Pixel(x, 1, mz, tuple(values)) for x in (1, 2)]
    return Builder(pixels, intensity_type=intensity_type)


def test_counts_too_large_for_signed_integers_are_read_as_unsigned(tmp_path: Path) -> None:
    path = counts((23, 3_000_000_000, 156), "u4").write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.pixel(0)[1].tolist() == [23.0, 3e9, 156.0]
    assert len(notes) == 1
    assert "2 intensities below zero are counts beyond what signed 32-bit integers hold" in notes[0]
    assert 'integers="signed" treats them as absent' in notes[0]
    assert read_all_ways(path, integers="unsigned")[1] == []
    spectra, notes = read_all_ways(path, integers="signed")
    assert spectra.pixel(0)[1].tolist() == [23.0, 156.0]
    assert "2 negative intensities were treated as absent peaks" in notes[0]
    assert "lowest -1.29497e+09" in notes[0]
    assert validate_imzml(path)["tic"][0] == 3_000_000_179


@pytest.mark.parametrize("precision", ["i4", "i8", "f4", "f8"])
def test_noise_below_zero_is_absent(tmp_path: Path, precision: str) -> None:
    path = counts((23, -7, 156, -900), precision).write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.pixel(0)[1].tolist() == [23.0, 156.0]
    assert len(notes) == 1
    assert "4 negative intensities were treated as absent peaks (first in pixel 0" in notes[0]
    assert "lowest -900)" in notes[0]


@pytest.mark.parametrize(
    ("values", "precision", "said"),
    [
        ((5, 40_000), "u2", "intensity -25536, a signed 16-bit integer, .* count 40000"),
        ((5, -3), "i2", "intensity -3, a signed 16-bit integer, .* count 65533"),
        ((5, 4_200_000_000), "u4", "intensity -94967296, a signed 32-bit integer"),
        # Noise says that integers are signed, so that the other cannot be a count.
        ((-5, 3_000_000_000 - 2**32), "i4", "intensity -5, a signed 32-bit integer"),
    ],
)
def test_integers_that_may_be_either_are_asked_about(
    tmp_path: Path, values: tuple[int, ...], precision: str, said: str
) -> None:
    path = counts(values, precision).write(tmp_path)
    refused(path, f'{said}.*; say which with integers="signed" or integers="unsigned"')
    with pytest.raises(ImzMLError, match="say which"):
        validate_imzml(path)
    if precision == "u2":
        spectra, notes = read_all_ways(path, integers="unsigned")
        assert spectra.pixel(1)[1].tolist() == [5.0, 40_000.0]
        assert notes == []
        assert read_all_ways(path, integers="signed")[0].n_peaks == 2
    with pytest.raises(ValueError, match="integers 'both' is none of"):
        read_imzml(path, integers="both")


def test_integers_that_are_named_unsigned_are(tmp_path: Path) -> None:
    path = counts((5, 4_200_000_000), "u4named").write(tmp_path)
    spectra, notes = read_all_ways(path)
    assert spectra.pixel(0)[1].tolist() == [5.0, np.float32(4.2e9)]
    assert not any("below zero" in note for note in notes)
