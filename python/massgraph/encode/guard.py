"""Asks of each run, before it is worked on, whether the model knows it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.warnings import outside
from massgraph.data.spectra import Spectra
from massgraph.encode.calibration import sample_of_runs
from massgraph.encode.coverage import Knowledge, best_covered
from massgraph.encode.foreign import ARE_THERE, Suspect, found_ions, reason_of, scale_of

__all__ = ["Guard", "check_min_coverage"]

Floats = NDArray[np.float64]

LOOKED_AT = 50  # pixels of a run, up to twice as many, for reasons and scale
MOST_NAMED = 3  # runs that a message names
REFUSED, WARNED = 2.0, 1.0  # standard errors that a run of few pixels is allowed


@dataclass(eq=False)
class Guard:
    """What a model does with runs that it does not know.

    Parameters
    ----------
    known
        What the model knows; None where it cannot tell.
    polarity
        Of the model.
    min_coverage
        Runs whose best covered quarter is below it are refused; None for the level of the model, 0
        to answer all.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.coverage import Knowledge
    >>> from massgraph.encode.guard import Guard
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> axis = learn_axis(spectra)
    >>> other = mg.degrade.shift_mz(spectra, 900.0, "Da")
    >>> Guard(Knowledge.of(axis), "positive").before(other, axis.calibrate(other).spectra)
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: the model does not know run 'run1' (coverage 0.00 ...
    """

    known: Knowledge | None
    polarity: str | None
    min_coverage: float | None = None
    _told_all: bool = False

    def before(self, raw: Spectra, calibrated: Spectra, *, sample: bool = False) -> None:
        """Refuse, or warn of, runs that the model does not know.

        Parameters
        ----------
        raw, calibrated
            The pixels, before and after calibration.
        sample
            Whether there are more than these.

        Raises
        ------
        InputError
            Where a run is refused.

        Warns
        -----
        UserWarning
            Where the model knows little of a run, or its intensities are of another scale.
        """
        known = self.known
        if known is None or known.mz.size == 0:
            return
        self._told_all = not sample
        found = self._suspects(known, raw, calibrated)
        refused = [one for one in found if one.refused]
        if refused:
            raise InputError(self._refusal(refused, known, sample=sample))
        if found:
            _warn(_doubt(found, known, sample=sample))
        self._warn_of_scale(known, calibrated, {one.run for one in found})

    def after(self, coverage: Floats, run: NDArray[np.str_]) -> None:
        """Say it again when all pixels of a source were read, by all of them."""
        known = self.known
        if known is None or known.mz.size == 0 or self._told_all:
            return
        below = [
            Suspect(name, mean, False, "over all its pixels")
            for name, (mean, n) in best_covered(coverage, run).items()
            if _bound(known, mean, n, WARNED) < known.levels.warn
        ]
        if below:
            _warn(_doubt(below, known))

    def _suspects(self, known: Knowledge, raw: Spectra, calibrated: Spectra) -> list[Suspect]:
        coverage = known.coverage(calibrated)
        found = []
        for name, (mean, n) in best_covered(coverage, raw.run).items():
            below = _bound(known, mean, n, REFUSED) < known.levels.refuse
            if self.min_coverage is not None:
                below = mean < self.min_coverage
            if not below and _bound(known, mean, n, WARNED) >= known.levels.warn:
                continue
            rows = _some(raw, name)
            # The ions of the model are all there, and other peaks beside them: an answer is due.
            if found_ions(known, calibrated[rows]) >= ARE_THERE:
                reason = "the ions are there, but other peaks hold the ion current"
                below = below and self.min_coverage is not None
            else:
                scale = scale_of(known, calibrated[rows])
                reason = f"suspected: {reason_of(known, raw[rows], self.polarity, scale)}"
            found.append(Suspect(name, mean, below, reason))
        return found

    def _refusal(self, found: Sequence[Suspect], known: Knowledge, *, sample: bool) -> str:
        least = known.levels.refuse if self.min_coverage is None else self.min_coverage
        insisting = advise(
            "say min_coverage=0", cli="add --min-coverage 0", r="say min_coverage = 0"
        )
        return (
            f"the model does not know {_runs(found, sample=sample)}: its own pixels have "
            f"{known.levels.own:.2f} of their ion current at its ions, and a run below {least:.2f} "
            f"is refused; to have it answered all the same, {insisting}"
        )

    def _warn_of_scale(self, known: Knowledge, calibrated: Spectra, named: set[str]) -> None:
        told: dict[str, str] = {}
        for name in sorted(set(np.unique(calibrated.run).tolist()) - named):
            scale = scale_of(known, calibrated[_some(calibrated, name)])
            if scale is not None:
                told[name] = scale
        if told:
            scale, first = next(iter(told.values())), list(told)[:MOST_NAMED]
            runs = ", ".join(map(repr, first))
            more = f" and {len(told) - len(first)} more" if len(told) > len(first) else ""
            _warn(
                f"the intensities of run {runs}{more} are on another scale than those of the fit: "
                f"between the ions of a pixel they vary {scale}; give the model intensities as it "
                "was fitted to"
            )


def check_min_coverage(value: float | None) -> float | None:
    """Check a level that a user gives.

    Raises
    ------
    InputError
        For anything but None and numbers from 0 to 1.

    Examples
    --------
    >>> from massgraph.encode.guard import check_min_coverage
    >>> check_min_coverage(0)
    0.0
    """
    if value is None:
        return None
    fine = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not fine or not 0 <= value <= 1:
        msg = f"min_coverage is {value!r}, need a share from 0 to 1, or None for the model's level"
        raise InputError(msg)
    return float(value)


def _some(spectra: Spectra, name: str) -> NDArray[np.int64]:
    """Evenly spread pixels of a run that have peaks."""
    rows = np.flatnonzero((spectra.run == name) & (spectra.peak_counts > 0))
    return rows[sample_of_runs(spectra.run[rows], LOOKED_AT)] if rows.size else rows


def _bound(known: Knowledge, mean: float, n: int, errors: float) -> float:
    """What the coverage of a run of few pixels may be, had it more of them."""
    return mean + errors * known.levels.spread / float(np.sqrt(n))


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=outside())


def _doubt(found: Sequence[Suspect], known: Knowledge, *, sample: bool = False) -> str:
    return (
        f"the model knows little of {_runs(found, sample=sample)}: its own pixels have "
        f"{known.levels.own:.2f} of their ion current at its ions; probabilities are drawn "
        f"towards equal ones where a pixel has less than {known.levels.refuse:.2f}"
    )


def _runs(found: Sequence[Suspect], *, sample: bool) -> str:
    told = [one.told for one in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        told.append(f"{len(found) - MOST_NAMED} more")
    return ", ".join(told) + (", in a sample of the pixels" if sample else "")
