"""What the HTML pages have in common: how templates are read, and pictures within the file."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

__all__ = ["Picture", "embed", "environment"]

PICTURE_DPI = 220
# A vector picture of more bytes than this (pixels that lie on no grid, say) is stored as an image.
LARGEST_SVG = 300_000


@dataclass(frozen=True)
class Picture:
    """An image as a template needs it: data URI, width in inches, words for who cannot see it."""

    source: str
    width: float
    text: str


def embed(figure: Figure, text: str) -> Picture:
    """A picture inside the file: drawn as SVG, or as an image where that would be too long."""
    file = BytesIO()
    figure.savefig(file, format="svg", dpi=PICTURE_DPI, metadata={"Date": None})
    kind = "svg+xml"
    if file.tell() > LARGEST_SVG:
        file, kind = BytesIO(), "png"
        options = {"optimize": True}
        figure.savefig(file, format="png", dpi=PICTURE_DPI, pil_kwargs=options)
    data = b64encode(file.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{data}", float(figure.get_figwidth()), text)


def environment() -> Environment:
    """Where templates come from: what they show is escaped, and what they lack is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("massgraph.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
