"""Maps moved over the image: what a molecule has to do with a map by chance.

Neighbouring pixels are alike in molecules and in maps, so that pixels that change places at random
make everything significant. A map that is moved as a whole, around the edges and mirrored, keeps
the shape of its regions and loses only its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from massgraph.data.neighbours import image_codes
from massgraph.data.splits import drawn_together, raster_pitch

__all__ = ["shifted_maps"]

Places = NDArray[np.float64]
Labels = NDArray[np.int64]


def shifted_maps(
    label: Labels,
    coordinates: Places | None,
    run: NDArray[np.str_],
    pixels: Labels,
    n: int,
    rng: np.random.Generator,
) -> Labels:
    """Maps moved at random, each run by itself.

    Parameters
    ----------
    label
        Region of each pixel, -1 for none, ``(n_pixels,)``; gaps take the region that is nearest.
    coordinates
        Places of the pixels, ``(n_pixels, 2)`` or more; None where they have none, and pixels then
        change places at random.
    run
        Run of each pixel.
    pixels
        At which the maps are read; all have a region.
    n
        How many maps.
    rng
        Draws the moves.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(n, len(pixels))``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.shifted_maps import shifted_maps
    >>> label = np.array([0, 0, 0, 1, 1, -1])
    >>> places, run = np.column_stack([np.arange(6), np.zeros(6)]), np.array(["a"] * 6)
    >>> rng = np.random.default_rng(0)
    >>> maps = shifted_maps(label, places, run, np.arange(5), 20, rng)
    >>> maps.shape, bool((maps >= 0).all())
    ((20, 5), True)
    """
    moved = np.full((n, pixels.size), -1, dtype=np.int64)
    # Sections of a stack are images of their own, as runs are.
    places = np.empty((run.size, 2)) if coordinates is None else coordinates
    images = image_codes(run, places)
    for image in np.unique(images[pixels]):
        wanted = np.flatnonzero(images[pixels] == image)
        whole = np.flatnonzero((images == image) & (label >= 0))
        if coordinates is None:
            moved[:, wanted] = [rng.choice(label[whole], wanted.size) for _ in range(n)]
        else:
            place = coordinates[whole, :2]
            at = np.searchsorted(whole, pixels[wanted])
            moved[:, wanted] = _moved(label[whole], place, at, n, rng)
    return moved


def _moved(label: Labels, place: Places, at: Labels, n: int, rng: np.random.Generator) -> Labels:
    """Of one run, without gaps, read at some of its pixels."""
    place = place - place.min(axis=0)
    # An image of what lies between two sections would fill the memory.
    cell = np.rint(drawn_together(np.rint(place / raster_pitch(place)))).astype(np.int64)
    image = _filled(label, cell)
    rows, columns = cell[at].T
    found = np.empty((n, at.size), dtype=np.int64)
    for i in range(n):
        view = image[:: _sign(rng), :: _sign(rng)]
        down, right = rng.integers(view.shape[0]), rng.integers(view.shape[1])
        found[i] = view[(rows + down) % view.shape[0], (columns + right) % view.shape[1]]
    return found


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.integers(2) else -1


def _filled(label: Labels, cell: Labels) -> Labels:
    """The map as an image; where there is no pixel, the region that is nearest."""
    image = np.full(cell.max(axis=0) + 1, -1, dtype=np.int64)
    image[cell[:, 0], cell[:, 1]] = label
    nearest = distance_transform_edt(image < 0, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)], dtype=np.int64)
