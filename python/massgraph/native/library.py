"""Load the compiled library where it was built, and say what it runs on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from massgraph._util.errors import InputError

__all__ = ["address", "levels", "library", "simd_level", "status"]

# Raised together with `mg_interface` in library.cpp.
INTERFACE = 1
FOLDER = Path(__file__).resolve().parents[1]

# Without them ctypes would cut addresses to the 32 bits of an int.
Pointer, Int, Long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "mg_interface": (Int, []),
    "mg_level_name": (ctypes.c_char_p, [Int]),
    "mg_level": (ctypes.c_char_p, []),
    "mg_choose_level": (Int, [ctypes.c_char_p]),
    "mg_multiply_add": (ctypes.c_double, [Long]),
    "mg_build_edges": (Pointer, [Pointer] * 4 + [Long, Pointer, Int, Int, Pointer, Int]),
    "mg_copy_edges": (None, [Pointer] * 4),
    "mg_free_edges": (None, [Pointer]),
    "mg_build_messages": (
        Pointer,
        [Pointer] * 4 + [Long, Pointer, Int, Int, Int, Int, Pointer, Pointer, Int],
    ),
    "mg_messages_size": (Long, [Pointer]),
    "mg_messages_too_many": (Int, [Pointer]),
    "mg_copy_messages": (None, [Pointer] * 4),
    "mg_free_messages": (None, [Pointer]),
    "mg_infer": (Int, [Pointer, Pointer, Int, Pointer, Pointer, Pointer, Int]),
    "mg_forward": (Int, [Pointer] * 5 + [Int]),
    "mg_pool": (Int, [Pointer, Pointer, Int, Pointer, Int]),
    "mg_pool_sums": (Int, [Pointer, Pointer, Int, Pointer, Pointer, Int]),
    "mg_backward": (Int, [Pointer] * 7 + [Int]),
    "mg_step": (Int, [Pointer, Pointer, Int] + [Pointer] * 8 + [Int]),
}


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or None, and where it is or why there is none."""
    built = [FOLDER / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES]
    path = next((path for path in built if path.is_file()), None)
    if path is None:
        return None, "not built: there was no C++ compiler when massgraph was installed"
    try:
        # Calls through CDLL let other Python threads run.
        loaded = ctypes.CDLL(str(path))
        interface = loaded.mg_interface()
    except (OSError, AttributeError) as error:
        return None, f"{path.name} cannot be loaded: {error}"
    # One that was left over from other sources would read the arguments in another order.
    if interface != INTERFACE:
        return None, f"{path.name} was built from other sources: install massgraph again"
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    wanted = os.environ.get("MASSGRAPH_SIMD")
    if wanted and not loaded.mg_choose_level(wanted.encode()):
        msg = f"MASSGRAPH_SIMD={wanted} is none of this machine's levels {_level_names(loaded)}"
        raise InputError(msg)
    return loaded, str(path)


def library() -> ctypes.CDLL | None:
    """The compiled library; None where it was not built, or ``MASSGRAPH_NATIVE=0`` turns it off.

    Raises
    ------
    ValueError
        Where the environment variable ``MASSGRAPH_SIMD`` names a level that the machine lacks.

    Examples
    --------
    >>> from massgraph.native.library import INTERFACE, library
    >>> found = library()
    >>> found is None or found.mg_interface() == INTERFACE
    True
    """
    # The environment is asked each time, the library is looked for once: tests turn it off and on.
    return None if os.environ.get("MASSGRAPH_NATIVE") == "0" else _load()[0]


def status() -> str:
    """Where the library is, or why it does not run, in a few words.

    Examples
    --------
    >>> import os
    >>> from massgraph.native.library import library, status
    >>> (library() is None) or os.path.isfile(status())
    True
    """
    if os.environ.get("MASSGRAPH_NATIVE") == "0":
        return "turned off by MASSGRAPH_NATIVE=0"
    return _load()[1]


def _level_names(loaded: ctypes.CDLL) -> tuple[str, ...]:
    names: list[str] = []
    while (name := loaded.mg_level_name(len(names))) is not None:
        names.append(name.decode())
    return tuple(names)


def levels() -> tuple[str, ...]:
    """SIMD levels that this machine runs, best first; none without the library.

    Examples
    --------
    >>> from massgraph.native.library import levels, library
    >>> library() is None or levels()[-1] == "baseline"
    True
    """
    loaded = library()
    return () if loaded is None else _level_names(loaded)


@contextmanager
def simd_level(name: str) -> Iterator[None]:
    """Run everything on one SIMD level within the block: for tests and measurements.

    Raises
    ------
    ValueError
        For a level that is not among `levels`.

    Examples
    --------
    >>> from massgraph.native.library import levels, library, simd_level
    >>> for name in levels():
    ...     with simd_level(name):
    ...         assert library().mg_level().decode() == name
    """
    loaded = library()
    if loaded is None or name not in levels():
        msg = f"level {name!r} is none of {levels()}"
        raise ValueError(msg)
    before = loaded.mg_level()
    loaded.mg_choose_level(name.encode())
    try:
        yield
    finally:
        loaded.mg_choose_level(before)


def address(array: NDArray[Any] | None) -> int | None:
    """Address of a contiguous array's first value; None, which is null, for None.

    The array must live as long as the address is used.

    Raises
    ------
    ValueError
        For an array that is not contiguous.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.native.library import address
    >>> values = np.zeros(4)
    >>> address(values[1:]) - address(values)
    8
    """
    if array is None:
        return None
    if not array.flags.c_contiguous:
        msg = f"an array of shape {array.shape} is not contiguous"
        raise ValueError(msg)
    return int(array.ctypes.data)
