"""Progress bars: on standard error, and only where a person looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

__all__ = ["progress"]

T = TypeVar("T")


def progress(items: Iterable[T], total: int | None, description: str) -> Iterable[T]:
    """Iterate over `items` with a bar that appears after two seconds, if stderr is a terminal."""
    bar: Iterable[T] = tqdm(
        items,
        total=total,
        desc=description,
        delay=2.0,
        disable=not sys.stderr.isatty(),
        file=sys.stderr,
        leave=False,
    )
    return bar
