"""Pictures of a segmentation and of what decided it; each is a matplotlib `Figure`.

matplotlib is imported with the first picture, never with the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from massgraph.pl._curves import deletion, history
    from massgraph.pl._evaluation import evaluation, training_pixels
    from massgraph.pl._findings import molecules, selection
    from massgraph.pl._maps import ion_images, segmentation
    from massgraph.pl._network import relations
    from massgraph.pl._regions import balances, region_images, regions
    from massgraph.pl._spectra import activation

__all__ = [
    "activation",
    "balances",
    "deletion",
    "evaluation",
    "history",
    "ion_images",
    "molecules",
    "region_images",
    "regions",
    "relations",
    "segmentation",
    "selection",
    "training_pixels",
]

# Names, not imports: whoever loads this package does not load matplotlib with it.
_HOME = {
    "activation": "_spectra",
    "balances": "_regions",
    "deletion": "_curves",
    "evaluation": "_evaluation",
    "history": "_curves",
    "ion_images": "_maps",
    "molecules": "_findings",
    "region_images": "_regions",
    "regions": "_regions",
    "relations": "_network",
    "segmentation": "_maps",
    "selection": "_findings",
    "training_pixels": "_evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
