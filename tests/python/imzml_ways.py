"""Pixels of imzML files in few words, and all ways of reading them, which must agree."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imzml_builder import Builder, Pixel
from massgraph.data.spectra import Spectra
from massgraph.io.imzml import open_imzml, read_imzml


def bare(pixels: Sequence[Pixel], **changes: Any) -> Builder:
    """A file whose spectra say no more than their own terms do."""
    return Builder(pixels, **{"level": None, "polarity": None, "content": (), **changes})


def row(n: int, *terms: str, y: int = 1) -> list[Pixel]:
    """Pixels one beside the other, each with a peak of its own intensity."""
    return [Pixel(x, y, (100.0, 200.0), (float(10 * y + x), 1.0), terms=terms) for x in range(n)]


def from_one(pixels: Sequence[Pixel]) -> list[Pixel]:
    return [replace(pixel, x=int(pixel.x) + 1) for pixel in pixels]


def read_all_ways(path: Path, **options: Any) -> tuple[Spectra, list[str]]:
    """Read at once and pixel by pixel, and check that pixels and warnings are the same."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spectra = read_imzml(path, **options)
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        with open_imzml(path, **options) as reader:
            parts = Spectra.concatenate(list(reader.blocks(n_pixels=1)))
            places = reader.places()
            list(reader.blocks())
    assert parts.fingerprint() == spectra.fingerprint()
    assert parts.coordinates is not None
    assert places.coordinates is not None
    np.testing.assert_array_equal(parts.coordinates, spectra.coordinates)
    np.testing.assert_array_equal(places.coordinates, spectra.coordinates)
    assert parts.polarity == places.polarity == spectra.polarity
    notes = [str(one.message).removeprefix(f"{path}: ") for one in caught]
    assert [str(one.message).removeprefix(f"{path}: ") for one in again] == notes
    assert len(set(notes)) == len(notes)
    return spectra, notes
