"""Targets of labelled pixels: classes, with shares and weights where given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.data.class_labels import (
    check_classes,
    check_weights,
    encode_labels,
    encode_shares,
    group_codes,
    is_shares,
    label_array,
)

__all__ = ["EncodedLabels", "Labels", "Targets"]


@dataclass(frozen=True, eq=False)
class Targets:
    """Classes of pixels as entries: a pixel, a class of it, and how much the two count together.

    A label is one entry. A pixel that is 70 % of one class and 30 % of another has two, weighted by
    those shares: drawing or summing by weight gives, on average, what the shares ask for. Weights
    average to one over the pixels.

    Parameters
    ----------
    pixel, code
        int64, shape ``(n_entries,)``, pixels ascending.
    weight
        float64, shape ``(n_entries,)``, above zero.
    n_pixels, n_classes
        How many there are.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Targets
    >>> targets = Targets.of_shares(np.array([[1.0, 0.0], [0.3, 0.7]]))
    >>> targets.pixel.tolist(), targets.code.tolist(), targets.weight.tolist()
    ([0, 1, 1], [0, 0, 1], [1.0, 0.3, 0.7])
    """

    pixel: NDArray[np.int64]
    code: NDArray[np.int64]
    weight: NDArray[np.float64]
    n_pixels: int
    n_classes: int

    @classmethod
    def of_codes(cls, codes: NDArray[np.int64], n_classes: int | None = None) -> Targets:
        """One class per pixel, shape ``(n_pixels,)``, all counting alike."""
        n = len(codes)
        classes = int(codes.max(initial=-1)) + 1 if n_classes is None else n_classes
        return cls(np.arange(n), codes, np.ones(n), n, classes)

    @classmethod
    def of_shares(
        cls, shares: NDArray[np.float64], weight: NDArray[np.float64] | None = None
    ) -> Targets:
        """Shares of the classes, ``(n_pixels, n_classes)``, and weights of the pixels (alike)."""
        n_pixels, n_classes = shares.shape
        # Scaled to a mean of one, as what they are weighed against counts in pixels: see
        # `massgraph.learn.weights`. Equal weights are none, to the last bit.
        mass = shares
        if weight is not None and np.unique(weight).size > 1:
            mass = shares * (weight * (n_pixels / weight.sum()))[:, None]
        pixel, code = np.nonzero(mass)  # row by row, so that pixels ascend, as `of` needs them
        return cls(pixel, code, mass[pixel, code], n_pixels, n_classes)

    @property
    def codes(self) -> NDArray[np.int64]:
        """The main class of each pixel (ties: the first), shape ``(n_pixels,)``."""
        order = np.lexsort((-self.code, self.weight, self.pixel))
        codes = np.full(self.n_pixels, -1, dtype=np.int64)
        codes[self.pixel[order]] = self.code[order]  # the heaviest comes last, and stays
        return codes

    def of(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Entries of these pixels, in the order of the pixels."""
        first = np.searchsorted(self.pixel, pixels)
        count = np.searchsorted(self.pixel, pixels, side="right") - first
        shift = np.repeat(first - (np.cumsum(count) - count), count)
        chosen: NDArray[np.int64] = np.arange(count.sum()) + shift
        return chosen

    def subset(self, pixels: NDArray[np.int64]) -> Targets:
        """Targets of these ascending pixels alone, numbered from zero."""
        chosen = self.of(pixels)
        place = np.searchsorted(pixels, self.pixel[chosen])
        return Targets(place, self.code[chosen], self.weight[chosen], len(pixels), self.n_classes)


# -------------------------------------------------------------------- as users give them


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels, weights and groups of pixels as given to a fit.

    Parameters
    ----------
    y, sample_weight, groups
        As for `RGCNClassifier.fit`.

    Examples
    --------
    >>> from massgraph.learn.targets import Labels
    >>> labels = Labels(["tumour", None, "stroma", "tumour"], sample_weight=[1, 1, 1, 0])
    >>> labels.pixels(4).tolist()
    [0, 2]
    """

    y: Any
    sample_weight: Any = None
    groups: Any = None

    def encode(self, n_pixels: int) -> EncodedLabels:
        """Check and encode the labels of `n_pixels` pixels.

        Raises
        ------
        InputError
            For labels or weights that cannot be used; the message names the pixel.
        """
        weight = check_weights(self.sample_weight, n_pixels)
        encode = encode_shares if is_shares(self.y) else encode_labels
        classes, found = encode(self.y, n_pixels)
        return EncodedLabels(classes, found, weight)

    def pixels(self, n_pixels: int) -> NDArray[np.int64]:
        """Pixels with a label and a weight above zero."""
        return np.flatnonzero(self.encode(n_pixels).known)

    def at(self, rows: NDArray[np.int64], n_pixels: int) -> Labels:
        """Labels, weights and groups of some of `n_pixels` pixels."""
        # The columns of a DataFrame name the classes, and an array would lose them.
        y = self.y.iloc[rows] if isinstance(self.y, pd.DataFrame) else label_array(self.y)[rows]
        weight = None if self.sample_weight is None else np.asarray(self.sample_weight)[rows]
        return Labels(y, weight, self.group_codes(rows, n_pixels))

    def group_codes(self, rows: NDArray[np.int64], n_pixels: int) -> NDArray[np.int64] | None:
        """Codes of the groups of some pixels; None where no groups were given."""
        return None if self.groups is None else group_codes(self.groups, rows, n_pixels)


@dataclass(frozen=True, eq=False)
class EncodedLabels:
    """Checked labels.

    Parameters
    ----------
    classes
        Class labels, sorted.
    found
        Codes, shape ``(n_pixels,)``, -1 where unlabelled; or shares, ``(n_pixels, n_classes)``.
    weight
        Weights of the pixels; None where all count the same.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.learn.targets import Labels
    >>> encoded = Labels(["tumour", None, "stroma", "tumour", "stroma"]).encode(5)
    >>> encoded.classes.tolist(), encoded.known.tolist()
    (['stroma', 'tumour'], [True, False, True, True, True])
    >>> classes, pixels, targets = encoded.targets(has_peaks=np.ones(5, dtype=bool))
    >>> pixels.tolist(), targets.codes.tolist()
    ([0, 2, 3, 4], [1, 0, 1, 0])
    """

    classes: NDArray[Any]
    found: NDArray[Any]
    weight: NDArray[np.float64] | None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels with a label and a weight above zero, bool, ``(n_pixels,)``."""
        # Rows without a share are pixels without a label: `encode_shares` makes missing ones zero.
        labelled = self.found.any(axis=1) if self.found.ndim == 2 else self.found >= 0
        return np.asarray(labelled if self.weight is None else labelled & (self.weight > 0))

    @property
    def table(self) -> NDArray[Any]:
        """Labels and weights as one array, for a checkpoint to compare."""
        return self.found if self.weight is None else np.column_stack([self.found, self.weight])

    def targets(
        self, has_peaks: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.int64], Targets]:
        """Classes, the pixels to learn from, and their targets.

        Raises
        ------
        InputError
            For fewer than two classes, or a class that one pixel alone has.
        """
        rows = np.flatnonzero(self.known & has_peaks)
        # Labels become shares of one, so that all that follows is written once.
        soft = self.found.ndim == 2
        shares = self.found[rows] if soft else np.eye(len(self.classes))[self.found[rows]]
        targets = Targets.of_shares(shares, None if self.weight is None else self.weight[rows])
        check_classes(targets.code, self.classes)
        return self.classes, rows, targets
