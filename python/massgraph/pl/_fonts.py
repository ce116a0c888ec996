"""Fonts that have the letters of names, in whatever script these are."""

from __future__ import annotations

import re
import unicodedata
import warnings
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

__all__ = ["families", "shown"]

SANS = ("Arial", "Helvetica", "Liberation Sans")
FALLBACK = "DejaVu Sans"  # comes with matplotlib
# Has a box for every letter there is, which says no more than an empty one.
BOXES = "Last Resort"
KEPT = " \n\t"

_chosen: list[str] = []
_told: set[str] = set()


def families() -> list[str]:
    """Names of the fonts to draw with: that of the style, then those that names have asked for."""
    return [*_base(), *_chosen]


@lru_cache(maxsize=1)
def _base() -> tuple[str, ...]:
    installed = set(font_manager.get_font_names())
    return (*[name for name in SANS if name in installed][:1], FALLBACK)


def shown(text: str) -> str:
    """The text as it can be drawn: letters that no installed font has are given by number.

    Fonts are looked for once for each letter that the style's own lack. Where none has a letter,
    one warning for its script says so, in place of matplotlib's for every letter and picture.

    Examples
    --------
    >>> from massgraph.pl._fonts import shown
    >>> shown("tumour, Größe 2 µm, опухоль")
    'tumour, Größe 2 µm, опухоль'
    """
    missing = {letter for letter in set(text) - set(KEPT) if not _font_of(letter)}
    if not missing:
        return text
    # What has no shape of its own (variation selectors, joiners) is not missed.
    for letter in [one for one in missing if unicodedata.category(one) in ("Cf", "Mn")]:
        text = text.replace(letter, "")
        missing.remove(letter)
    for letter in sorted(missing):
        _tell(letter, text)
    run = re.compile("[" + re.escape("".join(sorted(missing))) + "]+") if missing else None
    return text if run is None else " ".join(run.sub(_numbers, text).split(" "))


def _numbers(found: re.Match[str]) -> str:
    """Numbers of letters that stand together, apart from each other and from what is around."""
    text, numbers = found.string, " ".join(f"U+{ord(letter):04X}" for letter in found.group())
    before = " " if found.start() and not text[found.start() - 1].isspace() else ""
    after = " " if found.end() < len(text) and not text[found.end()].isspace() else ""
    return f"{before}{numbers}{after}"


@lru_cache(maxsize=4096)
def _font_of(letter: str) -> str | None:
    """Name of a font that has a letter, and that pictures use from now on; None for none."""
    for name in families():
        path = font_manager.findfont(font_manager.FontProperties(family=[name]))
        if _has(path, letter):
            return name
    for entry in _installed():
        if _has(entry.fname, letter):
            _chosen.append(entry.name)
            return str(entry.name)
    return None


def _installed() -> list[font_manager.FontEntry]:
    """All fonts but those of boxes, upright and regular ones of sans serifs first."""
    known = [one for one in font_manager.fontManager.ttflist if not one.name.startswith(BOXES)]
    plain = {"normal", "regular", 400, 500}

    def order(one: font_manager.FontEntry) -> tuple[bool, bool, bool, str]:
        upright = one.style == "normal" and one.weight in plain
        return not upright, "Sans" not in one.name, "Mono" in one.name, one.name

    return sorted(known, key=order)


def _has(path: str, letter: str) -> bool:
    """Whether a font can draw a letter; fonts of coloured bitmaps have it, and cannot."""
    try:
        font = FT2Font(path)
        index = font.get_char_index(ord(letter))
        if not index or not font.scalable:
            return False
        font.load_glyph(index)
        return letter.isspace() or len(font.get_path()[0]) > 0
    except (OSError, RuntimeError):  # a file that is no font, or no longer there
        return False


def _tell(letter: str, text: str) -> None:
    """Warn of a script, once."""
    script = unicodedata.name(letter, "CONTROL").split()[0].split("-")[0].title()
    if unicodedata.category(letter) in ("So", "Sk", "Co"):
        script = "Emoji"
    elif script in ("Cjk", "Hiragana", "Katakana", "Hangul", "Bopomofo"):
        script = "Sans CJK"
    else:
        script = f"Sans {script}"
    if script in _told:
        return
    _told.add(script)
    msg = (
        f"no installed font has the letter {letter!r} of {' '.join(text.split())!r}: pictures show "
        f"it, and others like it, by number (U+{ord(letter):04X}); install a font that has them, "
        f"such as Noto {script}"
    )
    warnings.warn(msg, UserWarning, stacklevel=2)
