"""The look all pictures share: fonts, colours, and text that is measured before it is placed."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

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
SANS = ("Arial", "Helvetica", "Liberation Sans")
FALLBACK = "DejaVu Sans"  # comes with matplotlib
SCREEN_DPI = 144
RULER_DPI = 288


@lru_cache(maxsize=1)
def _style() -> dict[str, Any]:
    installed = set(font_manager.get_font_names())
    return {
        # Names and not "sans-serif": that word would be looked up when the figure is saved, in
        # the settings of the caller.
        "font.family": [*[name for name in SANS if name in installed][:1], FALLBACK],
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
        with styled():
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save as `matplotlib.figure.Figure.savefig` does; 300 dpi unless said otherwise."""
        with styled():
            super().savefig(fname, **kwargs)

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

    From the 25th class on colours come again; no palette keeps that many apart.
    """
    lighter = [_lighter(colour) for colour in OKABE_ITO]
    darker = [_darker(colour) for colour in OKABE_ITO]
    colours = [*OKABE_ITO, *lighter, *darker]
    return [colours[index % len(colours)] for index in range(n)]


def region_colours(n: int) -> list[str]:
    """One colour per region of tissue; from the 21st on they come again."""
    return [REGIONS[index % len(REGIONS)] for index in range(n)]


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
    family: Sequence[str] = _style()["font.family"]
    font = font_manager.FontProperties(family=list(family), size=size, weight=weight)
    with mpl.rc_context({"text.hinting": "none"}):
        width, _, _ = _ruler().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / RULER_DPI


def shorten(text: str, inches: float, size: float = 7.0, weight: str = "normal") -> str:
    """The text, with its middle replaced by an ellipsis where it is wider than `inches`."""
    text = " ".join(text.split())
    if text_width(text, size, weight) <= inches:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if text_width(short, size, weight) <= inches:
            return short
    return "…"
