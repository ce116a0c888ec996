"""Tools for AnnData in the manner of scanpy: each takes an object, and writes into it.

What they fit is loaded with the first call, never with the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from massgraph.tl._regions import regions

__all__ = ["regions"]

# Names, not imports: whoever loads this package loads neither scikit-learn nor anndata with it.
_HOME = {"regions": "_regions"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
