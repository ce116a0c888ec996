"""What the tests of damaged imzML share: how a file is spoilt, and what must be said of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from imzml_builder import PIXELS, Pixel, edit
from massgraph.data.spectra import Spectra
from massgraph.io.imzml import ImzMLError, read_imzml


def refused(path: Path, pattern: str, **options: object) -> str:
    """Check that reading and validating refuse in one line, and return the line."""
    with pytest.raises(ImzMLError, match=pattern) as caught:
        read_imzml(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert path.stem in message
    return message


def warned(path: Path, pattern: str) -> Spectra:
    """Check that reading gives this warning and no other, and return what was read."""
    with pytest.warns(UserWarning, match=pattern) as caught:
        spectra = read_imzml(path)
    messages = [str(one.message) for one in caught]
    assert len(messages) == 1, messages
    assert path.name in messages[0]
    assert "\n" not in messages[0]
    return spectra


def read_noting(path: Path) -> tuple[Spectra, str]:
    """Read, and return all warnings as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path)
    return spectra, "\n".join(str(each.message) for each in caught)


def one(mz: tuple[float, ...], intensity: tuple[float, ...]) -> tuple[Pixel, ...]:
    """Two good pixels with a strange one between them."""
    return (PIXELS[0], Pixel(2, 1, mz, intensity), PIXELS[2])


def offset(path: Path, old: int, new: object) -> Path:
    return edit(
        path, f'name="external offset" value="{old}"', f'name="external offset" value="{new}"'
    )


def length(path: Path, old: int, new: object, count: int = 1) -> Path:
    name = 'name="external array length" value='
    return edit(path, f'{name}"{old}"', f'{name}"{new}"', count)


def position(path: Path, axis: str, old: int, new: object) -> Path:
    return edit(
        path, f'name="position {axis}" value="{old}"', f'name="position {axis}" value="{new}"'
    )
