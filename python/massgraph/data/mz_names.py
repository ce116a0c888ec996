"""Names of columns that are m/z: ``mz_496.3398``, ``496.3398``, ``X496.3398`` of R."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["mz_of_name", "mz_of_names"]

# Numbers without decimals count columns as often as they are m/z.
NAME = re.compile(
    r"(?:(?:m/?z|mass|ion|x)[\s_:=.-]*)?(\d+[.,]\d+)(?:\s*(?:da|m/?z))?", re.IGNORECASE
)


def mz_of_name(name: object) -> float | None:
    """The m/z that a name is made of; None where it is none.

    Examples
    --------
    >>> from massgraph.data.mz_names import mz_of_name
    >>> mz_of_name("m/z 496.3398"), mz_of_name("496,3398"), mz_of_name("PC 34:1")
    (496.3398, 496.3398, None)
    """
    found = NAME.fullmatch(str(name).strip())
    return None if found is None else float(found[1].replace(",", "."))


def mz_of_names(names: Iterable[object]) -> NDArray[np.float64] | None:
    """m/z that names are made of; None where one of them is no m/z, or two are the same.

    Examples
    --------
    >>> from massgraph.data.mz_names import mz_of_names
    >>> mz_of_names(["mz_496.3398", "mz_518.3217"])
    array([496.3398, 518.3217])
    >>> mz_of_names(range(2)) is None
    True
    """
    found = []
    for name in names:
        mz = mz_of_name(name)
        if mz is None:  # most names say so at once
            return None
        found.append(mz)
    values = np.array(found, dtype=np.float64)
    different = values.size > 0 and len(np.unique(values)) == values.size
    return values if different and values.min() > 0 else None
