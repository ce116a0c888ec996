"""Names in any script, and colours of many classes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

import massgraph as mg
from massgraph import pl
from massgraph.pl import _fonts
from massgraph.pl._style import NO_PEAKS, _cielab, class_colours, region_colours, text_width
from picture_words import all_words

CJK, EMOJI = "肿瘤", "\N{BRAIN}"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As in a new process, where no font was looked for."""
    monkeypatch.setattr(_fonts, "_chosen", [])
    monkeypatch.setattr(_fonts, "_told", set())
    _fonts._font_of.cache_clear()
    yield
    _fonts._font_of.cache_clear()
    text_width.cache_clear()


@pytest.fixture
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no fonts but those of matplotlib."""
    folder = str(Path(font_manager.__file__).parent)
    some = [one for one in font_manager.fontManager.ttflist if one.fname.startswith(folder)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", some)


def segmentation(*names: str) -> mg.Segmentation:
    spectra, _ = mg.simulate("tiny", n_runs=1)
    own = np.arange(spectra.n_pixels) % len(names)
    return mg.Segmentation.from_probability(spectra, names, np.eye(len(names))[own])


@pytest.mark.usefixtures("only_ours")
@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("tumour", "tumour"),
        ("Größe µm опухоль όγκος é", "Größe µm опухоль όγκος é"),
        (CJK, "U+80BF U+7624"),
        (f"slide {CJK}1", "slide U+80BF U+7624 1"),
        (f"{EMOJI} brain", "U+1F9E0 brain"),
        ("heart\N{VARIATION SELECTOR-16}", "heart"),
    ],
)
@pytest.mark.filterwarnings("ignore:no installed font")
def test_letters_without_a_font_are_given_by_number(text: str, drawn: str) -> None:
    assert _fonts.shown(text) == drawn


@pytest.mark.usefixtures("only_ours")
def test_one_warning_for_a_script_and_none_of_matplotlib(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = segmentation(CJK, "血管", "tumour")
        for kind in ("class", "probability"):
            pl.segmentation(found, kind).savefig(tmp_path / f"{kind}.png", dpi=40)
        mg.write_report(found, tmp_path / "report.html")
    assert len(told) == 1
    message = str(told[0].message)
    assert message.startswith("no installed font has the letter '")
    assert "by number (U+" in message
    assert "Noto Sans CJK" in message
    # The page has the names themselves: browsers look for fonts of their own.
    assert CJK in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("error")
def test_plain_names_get_no_warning(tmp_path: Path) -> None:
    figure = pl.segmentation(segmentation("tumour", "Größe µm", "опухоль"), "class")
    figure.savefig(tmp_path / "a.png", dpi=40)
    assert _fonts._chosen == []
    assert any(word.startswith("опухоль (") for word, _ in all_words(figure))


@pytest.mark.filterwarnings("error")
def test_an_installed_font_that_has_the_letter_is_taken(tmp_path: Path) -> None:
    """A letter of mathematics that the text font lacks; STIX comes with matplotlib."""
    path = font_manager.findfont("STIXGeneral")
    base = [FT2Font(font_manager.findfont(name)) for name in _fonts.families()]
    has = FT2Font(path).get_charmap()
    letter = chr(next(c for c in has if c > 0x2000 and not any(b.get_char_index(c) for b in base)))
    figure = pl.segmentation(segmentation(f"A{letter}", "tumour"), "class")
    for ending in ("png", "pdf", "svg"):
        figure.savefig(tmp_path / f"a.{ending}", dpi=40)
    assert len(_fonts._chosen) == 1
    assert _fonts._has(font_manager.findfont(_fonts._chosen[0]), letter)
    assert any(word.startswith(f"A{letter} (") for word, _ in all_words(figure))


def test_a_file_that_is_no_font(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(b"no font")
    assert not _fonts._has(str(tmp_path / "a.ttf"), "a")
    assert not _fonts._has(str(tmp_path / "absent.ttf"), "a")


# ------------------------------------------------------------------------ many classes


@pytest.mark.parametrize("colours", [class_colours, region_colours])
def test_no_two_classes_have_one_colour(colours: Any) -> None:
    from matplotlib.colors import to_rgb

    many = colours(100)
    assert len(set(many)) == 100
    assert colours(20) == many[:20]
    lab = _cielab(np.array([to_rgb(one) for one in (*colours(60), "white", NO_PEAKS)]))
    apart = np.linalg.norm(lab[:, None] - lab, axis=2) + 1e3 * np.eye(len(lab))
    # 2.3 is a difference that is just seen.
    assert apart[24:60].min() > 10


def test_colours_are_those_of_cielab() -> None:
    lab = _cielab(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(lab, [[100, 0, 0], [53.2, 80.1, 67.2], [0, 0, 0]], atol=0.3)


@pytest.mark.parametrize("width", [3.4, 7.2])
def test_a_legend_of_many_classes_fits(width: float) -> None:
    names = [f"a class of number {n}" for n in range(40)]
    figure = pl.segmentation(segmentation(*sorted(names)), "class", width=width)
    figure.draw_without_rendering()
    across, up = figure.get_size_inches()
    assert across <= width + 1e-9
    for text in figure.texts:
        box = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        assert box.x0 >= -0.01
        assert box.x1 <= across + 0.01
        assert box.y0 >= -0.01
        assert box.y1 <= up + 0.01
