"""Text that came from a file, made fit for one line of a message."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["name_of", "one_line"]

LONGEST = 2000


def one_line(message: str) -> str:
    r"""Replace line ends and other control characters, which values from a file may hold.

    Parameters
    ----------
    message
        Any text.

    Returns
    -------
    str
        One line. A very long message, whose length can only come from a value, loses its middle.

    Examples
    --------
    >>> from massgraph._util.text import one_line
    >>> one_line("slide.imzML: position x is 'a\nb'")
    "slide.imzML: position x is 'a b'"
    """
    # Escape sequences would be obeyed by a terminal, and two of Unicode's line ends by a log.
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", message)
    if len(line) <= LONGEST:
        return line
    half = LONGEST // 2
    return f"{line[:half]} [...] {line[-half:]}"


def name_of(path: Path) -> str:
    r"""Name of a file without its ending, as text that any file can hold.

    Bytes that are no text in the locale of the process, which Python keeps as half characters, are
    read as UTF-8: in the C locale of a container, every letter beyond ASCII is such.

    Examples
    --------
    >>> from pathlib import Path
    >>> from massgraph._util.text import name_of
    >>> name_of(Path("data/slide1.imzML")), name_of(Path("Gewebe \udcff.imzML"))
    ('slide1', 'Gewebe \ufffd')
    """
    name = path.stem
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "replace")
    return name
