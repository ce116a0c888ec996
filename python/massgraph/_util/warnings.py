"""Point warnings to the user's line, not to one of ours."""

from __future__ import annotations

import sys

__all__ = ["outside"]


def outside() -> int:
    """Stack level, for `warnings.warn`, of the nearest caller outside of massgraph."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    return level


def _is_inside(module: str) -> bool:
    # Decorators made by contextlib stand between our functions.
    return module.split(".", maxsplit=1)[0] in ("massgraph", "contextlib")
