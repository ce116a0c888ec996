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
    """An image as a template needs it: data URI, width in inches, and a text in its place.

    Examples
    --------
    >>> from massgraph.report.template import Picture
    >>> Picture("data:image/png;base64,", 3.4, "Map of the classes").text
    'Map of the classes'
    """

    source: str
    width: float
    text: str


def embed(figure: Figure, text: str) -> Picture:
    """Embed a figure in the page: as SVG, or as PNG where that would be too large.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from massgraph.report.template import embed
    >>> picture = embed(Figure(figsize=(2, 1)), "An empty figure")
    >>> picture.source[:18], picture.width
    ('data:image/svg+xml', 2.0)
    """
    file = BytesIO()
    # Without a date the same figure gives the same bytes.
    figure.savefig(file, format="svg", dpi=PICTURE_DPI, metadata={"Date": None})
    kind = "svg+xml"
    if file.tell() > LARGEST_SVG:
        file, kind = BytesIO(), "png"
        options = {"optimize": True}
        figure.savefig(file, format="png", dpi=PICTURE_DPI, pil_kwargs=options)
    data = b64encode(file.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{data}", float(figure.get_figwidth()), text)


def environment() -> Environment:
    """Set up the templates: what they show is escaped, and what they lack is an error.

    Examples
    --------
    >>> from massgraph.report.template import environment
    >>> environment().from_string("class {{ name }}").render(name="a < b")
    'class a &lt; b'
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Names of classes and runs come with the data, and may hold anything: HTML as well.
    return Environment(
        loader=PackageLoader("massgraph.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
