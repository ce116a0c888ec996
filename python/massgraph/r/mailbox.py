"""The mailbox between an R that runs Python and massgraph: an environment of the R package.

R leaves the arguments of a call under a key, and finds the value there when the call returns. The
objects stay where they are: both sides look at the same memory.
"""

from __future__ import annotations

import atexit
import re
import warnings
from functools import cache
from typing import Any

from massgraph._util.advice import standing_in
from massgraph._util.errors import InputError
from massgraph.data.validation import PixelError
from massgraph.r.calls import CALLS
from massgraph.r.session import RError, function, namespace, start
from massgraph.r.values import as_text, to_r

__all__ = ["offer", "serve"]

# Errors that a user can mend, told in one line; any other is a defect and keeps its traceback.
EXPECTED = (InputError, RError, ImportError, OSError, FloatingPointError, MemoryError)

CONSTANTS = {"True": "TRUE", "False": "FALSE", "None": "NULL"}


def serve(name: str, key: str) -> None:
    """Do the call that lies under a key of the mailbox, and put what came of it in its place.

    Parameters
    ----------
    name
        Key of `massgraph.r.calls.CALLS`.
    key
        Key of the mailbox, where R put a named list of arguments.

    Notes
    -----
    The answer is a list of `value`, `warnings` (text, each once) and `error` (text, or NULL). R's
    conditions would lose their class on the way through rpy2, so R raises them itself.

    Examples
    --------
    >>> from massgraph.r.mailbox import serve
    >>> from massgraph.r.session import namespace, start
    >>> from massgraph.r.values import from_r, to_r
    >>> box = namespace("massgraph")[".mailbox"]
    >>> masses = start().evalr("c(CH2 = 14.01565, H2O = 18.01056)")
    >>> box["letter1"] = to_r({"masses": masses, "polarity": None})
    >>> serve("relations", "letter1")
    >>> from_r(box["letter1"])["value"]["name"].tolist()
    ['CH2', 'H2O']
    """
    box = namespace("massgraph")[".mailbox"]
    letter = box[key]
    arguments = dict(zip(as_text(letter.names), letter, strict=True))
    value, error = None, None
    with standing_in("r"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            value = to_r(CALLS[name](arguments))  # type: ignore[arg-type]
        except EXPECTED as problem:
            error = _message(problem)
    # Kinds of their own are left out: R looks for those itself, such as pixels at one place.
    told = list(dict.fromkeys(_text(w.message) for w in caught if w.category is UserWarning))
    box[key] = to_r({"value": value, "warnings": told, "error": error})


@cache
def offer() -> Any:
    """Let R functions of the package call this Python, where Python is the host.

    R's option ``massgraph.serve`` is then a function that does what `serve` does. That R refers to
    it does not keep it alive in Python: the cache does.

    Examples
    --------
    >>> from massgraph.r.mailbox import offer
    >>> offer() is offer()
    True
    """
    rinterface = start()

    def answer(name: Any, key: Any) -> Any:
        serve(str(name[0]), str(key[0]))
        return key  # rpy2 complains of a NULL

    offered = rinterface.rternalize(answer, signature=True)
    function("options")(**{"massgraph.serve": offered})
    # R ends after this, while there still is a Python for what R lets go.
    atexit.register(lambda: function("options")(**{"massgraph.serve": rinterface.NULL}))
    return offered


def _message(problem: BaseException) -> str:
    if isinstance(problem, PixelError):  # R counts from one
        problem = PixelError(problem.pixel + 1, problem.problem)
    return _text(problem) or type(problem).__name__


def _text(message: object) -> str:
    """One line, with constants as R spells them: ``overwrite=True`` is ``overwrite = TRUE``."""
    text = " ".join(str(message).split())
    return re.sub(r"=(True|False|None)\b", lambda found: f" = {CONSTANTS[found[1]]}", text)
