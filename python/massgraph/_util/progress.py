"""Progress bars: on standard error, and only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["progress", "progress_by"]

T = TypeVar("T")


def progress(items: Iterable[T], total: int | None, description: str) -> Iterable[T]:
    """Iterate over `items` with a bar that appears after two seconds, if stderr is a terminal."""
    bar: Iterable[T] = tqdm(items, **_settings(total, description))
    return bar


def progress_by(
    items: Iterable[T], size: Callable[[T], int], total: int, description: str
) -> Iterator[T]:
    """As `progress`, for items of different sizes; `total` is the sum of the sizes."""
    with tqdm(**_settings(total, description)) as bar:
        for item in items:
            yield item
            bar.update(size(item))


def _on_terminal() -> bool:
    """Whether stderr is a terminal whose lines can be written over."""
    # It is None where the program was started without one (2>&-).
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _settings(total: int | None, description: str) -> dict[str, Any]:
    return {
        "total": total,
        "desc": description,
        "delay": 2.0,  # what is quick needs no bar
        # A log would keep every state of the bar.
        "disable": not _on_terminal(),
        "file": sys.stderr,
        "leave": False,
    }
