"""Errors that a user can mend, as a class of their own.

Anything else that is raised is a fault of massgraph: the command line tells the two apart by the
class alone.
"""

from __future__ import annotations

__all__ = ["InputError", "InputTypeError"]


class InputError(ValueError):
    """Data, labels or parameters that cannot be used; the message says which, why and what to do.

    Examples
    --------
    >>> import massgraph as mg
    >>> try:
    ...     mg.default_relations("neutral")
    ... except mg.InputError as error:
    ...     print(error)
    polarity 'neutral' is none of ('positive', 'negative'), nor None
    """


class InputTypeError(InputError, TypeError):
    """A value of a type that cannot be used."""
