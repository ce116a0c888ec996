"""Advice in the words of the place where the user stands: Python, the command line or R.

A message that advises an option has to name one that exists there. Whoever opens a door to the
package says which door it is, for as long as it is open; the rest only asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["advise", "standing_in"]

_PLACE: ContextVar[str] = ContextVar("massgraph_place", default="python")


@contextmanager
def standing_in(place: str) -> Iterator[None]:
    """Within, advice is given for `place`: ``"python"``, ``"cli"`` or ``"r"``.

    Examples
    --------
    >>> from massgraph._util.advice import advise, standing_in
    >>> with standing_in("cli"):
    ...     advise("shift=(1, 1)", cli="--shift 1 1")
    '--shift 1 1'
    """
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def advise(python: str, *, cli: str, r: str | None = None) -> str:
    """The advice for where the user stands.

    Parameters
    ----------
    python, cli, r
        What to do in each place; in R what Python says, where nothing else is given.

    Examples
    --------
    >>> from massgraph._util.advice import advise
    >>> advise("keep_missing=True", cli="--keep-missing")
    'keep_missing=True'
    """
    words = {"python": python, "cli": cli, "r": python if r is None else r}
    return words[_PLACE.get()]
