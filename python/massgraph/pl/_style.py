"""The look all pictures share: fonts, colours, and text that is measured before it is placed."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from massgraph.pl._fonts import families, shown

__all__ = [
    "FAINT",
    "INK",
    "NO_PEAKS",
    "OFF_TISSUE",
    "SOFT",
    "Picture",
    "class_colours",
    "region_colours",
    "shorten",
    "styled",
    "text_width",
]

INK = "#222222"
SOFT = "#666666"
FAINT = "#b3b3b3"
NO_PEAKS = "#d9d9d9"
OFF_TISSUE = "#b8b8b8"

# Okabe and Ito's colours (Color Universal Design, 2008), told apart by colour-blind readers; the
# strong ones first, dark grey in the place of black, which would be too heavy for an area.
OKABE_ITO = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#4D4D4D",
)
# Regions may be many and side by side, and grey is off tissue. To the seven strong colours of Okabe
# and Ito come those that are farthest from all before them (CIELAB), as seen by whoever sees fewest
# of the differences: normal, protanopic and deuteranopic eyes. They are as far apart as the seven.
REGIONS = (
    *OKABE_ITO[:7],
    *("#691e00", "#5a1e4b", "#e1e196", "#1e3cb4", "#3c87ff", "#d22d4b", "#2d2d78"),
    *("#691e2d", "#d2965a", "#874b69", "#a53c0f", "#f0d269", "#87e1ff"),
)
SCREEN_DPI = 144
RULER_DPI = 288


@lru_cache(maxsize=1)
def _settings() -> dict[str, Any]:
    return {
        "font.size": 7.0,
        "axes.titlesize": 7.5,
        "axes.labelsize": 7.0,
        "axes.linewidth": 0.6,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 6.5,
        "ytick.labelsize": 6.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.major.pad": 2.0,
        "ytick.major.pad": 2.0,
        "lines.linewidth": 1.2,
        "legend.fontsize": 6.5,
        "legend.frameon": False,
        "text.hinting": "none",  # a line of text is as wide at any resolution
        "text.parse_math": False,  # a class or run name may hold a dollar sign
        "pdf.fonttype": 42,  # text stays text in a vector editor
        "savefig.dpi": 300,
        "svg.hashsalt": "massgraph",  # the same picture gives the same file
    }


def _style() -> dict[str, Any]:
    # Names and not "sans-serif": that word would be looked up when the figure is saved, in the
    # settings of the caller.
    return {**_settings(), "font.family": families()}


@contextmanager
def styled() -> Iterator[None]:
    """Hold matplotlib to this package's style, whatever the caller has set, and restore that."""
    with mpl.style.context(["default", _style()]):
        yield


class Picture(Figure):
    """A figure that is drawn and saved in this package's style, at any time and place."""

    def __init__(self, width: float, height: float) -> None:
        with styled():
            super().__init__(figsize=(width, height))
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draw with `renderer`."""
        self._choose_fonts()
        with styled():
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save as `matplotlib.figure.Figure.savefig` does; 300 dpi unless said otherwise."""
        self._choose_fonts()
        with styled():
            super().savefig(fname, **kwargs)

    def _choose_fonts(self) -> None:
        """Let all words have fonts that have their letters: a font may be chosen after them."""
        for text in self.findobj(Text):
            words = text.get_text()
            if not words.isascii():
                text.set_text(shown(words))
                text.set_fontfamily(families())

    def _repr_png_(self) -> bytes:
        """Show in a notebook."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=SCREEN_DPI)
        return file.getvalue()

    def text_at(self, x: float, y: float, text: str, **kwargs: Any) -> Any:
        """Write text at a place in inches from the lower left corner."""
        width, height = self.get_size_inches()
        return self.text(x / width, y / height, text, **kwargs)

    def axes_at(self, x: float, y: float, width: float, height: float, **kwargs: Any) -> Any:
        """Add axes whose lower left corner and size are given in inches."""
        across, up = self.get_size_inches()
        return self.add_axes((x / across, y / up, width / across, height / up), **kwargs)


def class_colours(n: int) -> list[str]:
    """One colour per class: the eight of Okabe and Ito, then lighter and darker forms of them.

    From the 25th class on each is the one that is farthest from all before it. No palette keeps
    that many apart for everybody, but no two are the same.
    """
    lighter = [_lighter(colour) for colour in OKABE_ITO]
    darker = [_darker(colour) for colour in OKABE_ITO]
    return [*_farther((*OKABE_ITO, *lighter, *darker), n)]


def region_colours(n: int) -> list[str]:
    """One colour per region of tissue; from the 21st on as `class_colours` from the 25th."""
    return [*_farther(REGIONS, n)]


@lru_cache(maxsize=32)
def _farther(colours: tuple[str, ...], n: int) -> tuple[str, ...]:
    """The first `n` colours, or these and others, each as far as can be from those before it."""
    if n <= len(colours):
        return colours[:n]
    steps = np.linspace(0.05, 0.95, 16)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    tried, found = _cielab(rgb), list(colours)
    # Paper, and the greys of pixels without a class, are no class.
    taken = _cielab(np.array([to_rgb(one) for one in (*colours, "white", NO_PEAKS, OFF_TISSUE)]))
    distance = np.linalg.norm(tried[:, None] - taken, axis=2).min(axis=1)
    while len(found) < n:
        best = int(distance.argmax())
        found.append(to_hex(rgb[best]))
        distance = np.minimum(distance, np.linalg.norm(tried - tried[best], axis=1))
    return tuple(found)


def _cielab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """SRGB from 0 to 1 as CIELAB (D65), in which distances are those that are seen."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    share = linear @ np.array(to_xyz).T / [0.9505, 1.0, 1.089]
    root = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _lighter(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return to_hex((0.5 + 0.5 * red, 0.5 + 0.5 * green, 0.5 + 0.5 * blue))


def _darker(colour: str) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    return to_hex(colorsys.hls_to_rgb(hue, 0.55 * lightness, saturation))


@lru_cache(maxsize=1)
def _ruler() -> Any:
    renderer: Any = RendererAgg  # matplotlib leaves it untyped
    return renderer(1, 1, RULER_DPI)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = 7.0, weight: str = "normal") -> float:
    """Width of a line of text in inches at `size` points."""
    text = shown(text)
    font = font_manager.FontProperties(family=families(), size=size, weight=weight)
    with mpl.rc_context({"text.hinting": "none"}):
        width, _, _ = _ruler().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / RULER_DPI


def shorten(text: str, inches: float, size: float = 7.0, weight: str = "normal") -> str:
    """The text, with its middle replaced by an ellipsis where it is wider than `inches`."""
    text = shown(" ".join(text.split()))
    if text_width(text, size, weight) <= inches:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if text_width(short, size, weight) <= inches:
            return short
    return "…"
