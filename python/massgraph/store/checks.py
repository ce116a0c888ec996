"""Checks of values that stand in a configuration: nothing of it is believed before."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph.chem.relations import Relations
from massgraph.data.spectra import POLARITIES
from massgraph.data.validation import check_axis
from massgraph.encode.axis import MOST_IONS, MassAxis
from massgraph.encode.coverage import Levels
from massgraph.store.kind import Layout

__all__ = [
    "UnknownSettingError",
    "axis_layout",
    "axis_of",
    "axis_tensors",
    "check",
    "check_axis_numbers",
    "check_digest",
    "check_polarity",
    "check_seed",
    "column_names_of",
    "columns_of",
    "is_list_of",
    "levels_of",
    "mz_of",
    "no_others",
    "relations_of",
    "same_names",
]


class UnknownSettingError(InputError):
    """A setting or parameter that this version does not know.

    Examples
    --------
    >>> from massgraph.store.checks import no_others
    >>> no_others({"colour": "red"}, {"tolerance"}, "setting")
    Traceback (most recent call last):
    massgraph.store.checks.UnknownSettingError: the setting 'colour' is unknown
    """


def check(fine: bool, table: dict[str, Any], name: str, reason: str) -> None:
    """Refuse a value of a table.

    Examples
    --------
    >>> from massgraph.store.checks import check
    >>> check(False, {"n_nets": -1}, "n_nets", "no number of nets")
    Traceback (most recent call last):
    massgraph._util.errors.InputError: n_nets is no number of nets: -1
    """
    if not fine:
        msg = f"{name} is {reason}: {table[name]!r}"
        raise InputError(msg)


def is_list_of(values: Any, *types: type) -> bool:
    """Whether it is a list of these types exactly: True is no int.

    Examples
    --------
    >>> from massgraph.store.checks import is_list_of
    >>> is_list_of([1, 2], int), is_list_of([1, True], int)
    (True, False)
    """
    return isinstance(values, list) and all(type(value) in types for value in values)


def same_names(found: Any, wanted: set[str], what: str) -> None:
    """Refuse a table with other names than these.

    Examples
    --------
    >>> from massgraph.store.checks import same_names
    >>> same_names({"width": 1}, {"width", "shift"}, "number of the axis")
    Traceback (most recent call last):
    massgraph._util.errors.InputError: the number of the axis 'shift' is missing
    """
    wrong = sorted(wanted ^ set(found))
    if wrong:
        msg = f"the {what} {wrong[0]!r} is {'unknown' if wrong[0] in found else 'missing'}"
        raise InputError(msg)


def no_others(found: Any, known: set[str], what: str) -> None:
    """Refuse names of a later version; what a file lacks gets its default.

    Raises
    ------
    UnknownSettingError
        Its example shows it.

    Examples
    --------
    >>> from massgraph.store.checks import no_others
    >>> no_others({"tolerance": 5.0}, {"tolerance", "rule"}, "setting")
    """
    unknown = sorted(set(found) - known)
    if unknown:
        msg = f"the {what} {unknown[0]!r} is unknown"
        raise UnknownSettingError(msg)


def check_polarity(config: dict[str, Any]) -> None:
    """Refuse what is neither a polarity nor None.

    Examples
    --------
    >>> from massgraph.store.checks import check_polarity
    >>> check_polarity({"polarity": "positive"})
    """
    polarities = (None, *POLARITIES)
    check(config["polarity"] in polarities, config, "polarity", f"none of {polarities}")


def check_digest(table: dict[str, Any], name: str) -> None:
    """Refuse what is no SHA-256.

    Examples
    --------
    >>> from massgraph.store.checks import check_digest
    >>> check_digest({"fingerprint": 64 * "0"}, "fingerprint")
    """
    check(isinstance(table[name], str) and len(table[name]) == 64, table, name, "no SHA-256")


def check_seed(table: dict[str, Any]) -> None:
    """Refuse what is no seed.

    Examples
    --------
    >>> from massgraph.store.checks import check_seed
    >>> check_seed({"random_state": 7})
    """
    seed = table["random_state"]
    is_seed = seed is None or (type(seed) is int and seed >= 0)
    check(is_seed, table, "random_state", "no whole number of 0 or more")


def column_names_of(config: dict[str, Any]) -> tuple[str, ...] | None:
    """Names of the columns of a fit; InputError where they are no texts, None where there are none.

    Examples
    --------
    >>> from massgraph.store.checks import column_names_of
    >>> column_names_of({"columns": ["PC 34:1", "PC 36:2"]})
    ('PC 34:1', 'PC 36:2')
    """
    names = config.get("columns")
    if names is None:
        return None
    check(is_list_of(names, str), config, "columns", "no list of names")
    return tuple(names)


def mz_of(table: dict[str, Any]) -> NDArray[np.float64] | None:
    """m/z of the columns, where the fit was given a matrix.

    Examples
    --------
    >>> from massgraph.store.checks import mz_of
    >>> mz_of({"mz": [500.1, 501.1]}).tolist()
    [500.1, 501.1]
    """
    mz = table["mz"]
    if mz is None:
        return None
    check(is_list_of(mz, int, float), table, "mz", "no list of numbers")
    axis = np.asarray(mz, dtype=np.float64)
    check_axis(axis)
    return axis


def relations_of(table: Any) -> Relations:
    """Relations that come back exactly as they stand in the file.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.store.checks import relations_of
    >>> relations_of(mg.default_relations("positive").to_dict()).names[0]
    '13C'
    """
    relations = Relations.from_dict(table)
    # Reading converts what it can; what was saved comes back as it stands in the file.
    if relations.to_dict() != table:
        msg = "relations hold values of another type than names, masses, formulas and kinds have"
        raise InputError(msg)
    return relations


def columns_of(table: pd.DataFrame | None) -> dict[str, list[Any]] | None:
    """Columns as lists, missing numbers as None.

    Examples
    --------
    >>> import pandas as pd
    >>> from massgraph.store.checks import columns_of
    >>> columns_of(pd.DataFrame({"n": [1, 2], "gain": [float("nan"), 0.5]}))
    {'n': [1, 2], 'gain': [None, 0.5]}
    """
    if table is None:
        return None
    columns = table.to_dict(orient="list")
    return {
        str(name): [None if isinstance(v, float) and math.isnan(v) else v for v in values]
        for name, values in columns.items()
    }


# -------------------------------------------------------------------- the mass axis


def check_axis_numbers(values: Any, *more: str) -> None:
    """Refuse what are not the numbers of a mass axis: its ions, `width`, `shift`, and `more`.

    Examples
    --------
    >>> from massgraph.store.checks import check_axis_numbers
    >>> check_axis_numbers({"n_ions": 3, "width": 0.001, "shift": 0.0})
    """
    if not isinstance(values, dict):
        msg = f"the axis is {values!r}, not its numbers"
        raise InputTypeError(msg)
    names = ("width", "shift", *more)
    same_names(values, {"n_ions", *names}, "number of the axis")
    counted = type(values["n_ions"]) is int and 0 <= values["n_ions"] <= MOST_IONS
    check(counted, values, "n_ions", "no number of ions")
    for name in names:
        fine = type(values[name]) in (int, float) and values[name] >= 0
        check(fine, values, name, "no number of zero or more")


def axis_tensors(axis: MassAxis) -> dict[str, torch.Tensor]:
    """Arrays of a mass axis by their names.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.learn_axis import learn_axis
    >>> from massgraph.store.checks import axis_tensors
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> sorted(axis_tensors(learn_axis(spectra)))
    ['axis.anchor', 'axis.level', 'axis.mz', 'axis.presence']
    """
    return {
        "axis.mz": torch.from_numpy(axis.mz),
        "axis.presence": torch.from_numpy(axis.presence),
        "axis.level": torch.from_numpy(axis.level),
        "axis.anchor": torch.from_numpy(axis.anchor.astype(np.uint8)),
    }


def axis_layout(n_ions: int) -> Layout:
    """Layout of the tensors of a mass axis.

    Examples
    --------
    >>> from massgraph.store.checks import axis_layout
    >>> axis_layout(3)["axis.mz"]
    ((3,), torch.float64)
    """
    numbers = {f"axis.{name}": ((n_ions,), torch.float64) for name in ("mz", "presence", "level")}
    return {**numbers, "axis.anchor": ((n_ions,), torch.uint8)}


def axis_of(tensors: Any, numbers: dict[str, Any]) -> MassAxis:
    """The mass axis of its tensors and numbers.

    Raises
    ------
    InputError
        For m/z that do not ascend.

    Examples
    --------
    >>> import torch
    >>> from massgraph.store.checks import axis_layout, axis_of
    >>> layout = axis_layout(1)
    >>> tensors = {name: torch.ones(shape).to(kind) for name, (shape, kind) in layout.items()}
    >>> len(axis_of(tensors, {"n_ions": 1, "width": 0.001, "shift": 0.0}))
    1
    """
    mz, presence, level, anchor = (
        tensors[f"axis.{name}"].numpy() for name in ("mz", "presence", "level", "anchor")
    )
    check_axis(mz)
    width, shift = float(numbers["width"]), float(numbers["shift"])
    return MassAxis(mz, presence, anchor.astype(bool), level, width, shift)


def levels_of(config: dict[str, Any]) -> Levels | None:
    """Levels of coverage; None for models of versions that chose none.

    Raises
    ------
    InputError
        For numbers that are no levels.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from massgraph.encode.coverage import Levels
    >>> from massgraph.store.checks import levels_of
    >>> levels_of({"levels": asdict(Levels())}) == Levels(), levels_of({})
    (True, None)
    """
    values = config.get("levels")
    if values is None:
        return None
    same_names(values, {field.name for field in fields(Levels)}, "level")
    numbers = {name: value for name, value in values.items() if name != "scatter"}
    fine = all(type(value) in (int, float) and 0 <= value <= 1 for value in numbers.values())
    scatter = values["scatter"]
    fine = fine and (scatter is None or (type(scatter) in (int, float) and 0 <= scatter < math.inf))
    fine = fine and numbers["chance"] <= numbers["refuse"] <= numbers["warn"]
    check(fine, config, "levels", "no levels of coverage")
    return Levels(**values)
