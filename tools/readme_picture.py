"""Put three pictures of the demo side by side: the picture in the README.

Run after ``make demo``: ``.venv/bin/python tools/readme_picture.py demo docs/images/demo.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray
from PIL import Image


def main(demo: Path, target: Path) -> None:
    """Maps above, the first family's network and the mirror plot of its class below."""
    figures = demo / "figures"
    maps = [_trimmed(figures / f"{name}.png") for name in ("class", "uncertainty")]
    network = _trimmed(figures / "family_1.png")
    mirror = _trimmed(sorted(figures.glob("activation_*.png"))[0])
    left = _stacked([_wide(picture, 1100) for picture in [*maps, mirror]])
    right = _tall(network, left.shape[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    _save(_beside(left, right), target)


def _trimmed(path: Path) -> NDArray[np.uint8]:
    """The picture without its white margins."""
    picture = (imread(path)[..., :3] * 255).astype(np.uint8)
    ink = (picture < 250).any(axis=2)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _wide(picture: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _tall(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _stacked(pictures: list[NDArray[np.uint8]], gap: int = 40) -> NDArray[np.uint8]:
    width = max(picture.shape[1] for picture in pictures)
    space = np.full((gap, width, 3), 255, dtype=np.uint8)
    rows = [row for picture in pictures for row in (picture, space)]
    return np.concatenate(rows[:-1])


def _beside(left: NDArray[np.uint8], right: NDArray[np.uint8], gap: int = 60) -> NDArray[np.uint8]:
    space = np.full((left.shape[0], gap, 3), 255, dtype=np.uint8)
    return np.concatenate([left, space, right], axis=1)


def _save(picture: NDArray[np.uint8], target: Path) -> None:
    framed = np.pad(picture, ((30, 30), (30, 30), (0, 0)), constant_values=255)
    Image.fromarray(framed).quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
