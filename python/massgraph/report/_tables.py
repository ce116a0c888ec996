"""Tables as CSV files, with the digits that their numbers earn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["mz_digits", "write_table"]

MZ = ("mz", "source_mz", "target_mz", "neutral_mass")
LEAST_MZ_DIGITS, MOST_MZ_DIGITS = 4, 11
ROUNDING_PPM = 0.25
# Of means over pixels, as of shares and scores, more are noise.
SIGNIFICANT = 4
# Decimals of what is a share of few things or a chance, and significant digits of small chances.
DECIMALS = {"auc": 3, "coverage": 3, "frequency": 3, "probability": 3, "stability": 3}
CHANCES = {"fdr": 3, "p_value": 3}


def write_table(
    table: pd.DataFrame,
    path: Path,
    *,
    axis: NDArray[np.float64] | None = None,
    significant: int = SIGNIFICANT,
) -> None:
    """Write a table without its index.

    Parameters
    ----------
    table
        Any; text and whole numbers are written as they are.
    path
        Of the file.
    axis
        All m/z that a reader must be able to tell apart; None: those of the table.
    significant
        Digits of numbers that no rule of their own is known for.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from massgraph.report._tables import write_table
    >>> table = pd.DataFrame({"mz": [760.5850812], "score": [0.1 + 0.2], "p_value": [0.00012345]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(table, Path(folder) / "ions.csv")
    ...     print((Path(folder) / "ions.csv").read_text().splitlines()[1])
    760.5851,0.3,0.000123
    """
    written = table.copy()
    for name in written.columns[written.dtypes == np.float64]:
        values = written[name].to_numpy()
        if name in MZ:
            known = values if axis is None else axis
            written[name] = _fixed(values, mz_digits(known))
        elif name in DECIMALS and significant <= SIGNIFICANT:
            written[name] = np.round(values, DECIMALS[name])
        else:
            written[name] = _significant(values, CHANCES.get(name, significant))
    written.to_csv(path, index=False)


def mz_digits(mz: NDArray[np.float64]) -> int:
    """Decimals that m/z are written with: as few, four at least, as are exact and tell them apart.

    Exact is a rounding of at most a quarter of a ppm: four from m/z 200 on, five below. Four are
    also those of reports, roles and the names of ions in h5ad files.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.report._tables import mz_digits
    >>> mz_digits(np.array([760.58508, 782.56702])), mz_digits(np.array([760.58508, 760.58512]))
    (4, 5)
    """
    mz = np.unique(mz[np.isfinite(mz)])
    if not mz.size:
        return LEAST_MZ_DIGITS
    exact = int(np.ceil(-np.log10(2 * ROUNDING_PPM * 1e-6 * mz[0]) - 1e-9))
    digits = range(max(LEAST_MZ_DIGITS, exact), MOST_MZ_DIGITS)
    apart = (n for n in digits if np.unique(np.round(mz, n)).size == mz.size)
    return next(apart, MOST_MZ_DIGITS)


def _fixed(values: NDArray[np.float64], digits: int) -> NDArray[np.object_]:
    """Text of so many decimals, empty where there is no number."""
    text: list[Any] = [f"{value:.{digits}f}" if np.isfinite(value) else None for value in values]
    return np.array(text, dtype=object)


def _significant(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Rounded to so many significant digits, or to whole numbers where these are longer."""
    whole = np.abs(values) >= 10.0 ** (digits - 1)
    rounded = [float(f"{value:.{digits - 1}e}") for value in values]
    return np.where(whole, np.round(values), rounded)
