"""Which path runs here, native or torch, and the versions of what takes part."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from massgraph._util.threads import n_threads
from massgraph._version import __version__
from massgraph.native.library import levels, library, status

__all__ = ["package_versions", "show_versions", "versions"]

PACKAGES = ("numpy", "scipy", "torch", "torch-geometric", "scikit-learn", "anndata")
# Those that decide a result: they are written beside it, and in the cards of models.
DECIDING = ("numpy", "scipy", "pandas", "scikit-learn", "torch", "anndata")


def versions() -> dict[str, str]:
    """The path that graphs and networks take, and the versions of what takes part.

    Returns
    -------
    dict
        `massgraph`; `path`, ``"native"`` or ``"torch"``; `native`, where the compiled library is or
        why it does not run; `simd`, its instruction set, and in parentheses others that this
        machine has; `threads`; `python`, `machine` and packages.

    Examples
    --------
    >>> from massgraph.versions import versions
    >>> versions()["path"] in ("native", "torch")
    True
    """
    loaded = library()
    running = "none" if loaded is None else loaded.mg_level().decode()
    others = [level for level in levels() if level != running]
    return {
        "massgraph": __version__,
        "path": "torch" if loaded is None else "native",
        "native": status(),
        "simd": running + (f" (also {', '.join(others)})" if others else ""),
        "threads": f"{n_threads()} of {os.cpu_count()}",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    # Not `__version__` of the package: importing torch to print its version takes seconds.
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that decide a result, without imports.

    Examples
    --------
    >>> from massgraph.versions import package_versions
    >>> list(package_versions())[:2]
    ['massgraph', 'python']
    """
    found = {"massgraph": __version__, "python": platform.python_version()}
    for name in DECIDING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def show_versions() -> None:
    """Print which path runs, on what, and the versions that a bug report needs.

    Examples
    --------
    >>> import massgraph as mg
    >>> mg.show_versions()
    massgraph ...
    """
    found = versions()
    width = max(map(len, found))
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in found.items()))
