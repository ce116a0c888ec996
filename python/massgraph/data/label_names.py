"""Names of classes: which of them mean that there is none, and which are one name spelt twice."""

from __future__ import annotations

import re
import shlex
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.advice import advise
from massgraph._util.errors import InputError
from massgraph._util.text import one_line
from massgraph._util.warnings import outside

__all__ = ["NAMES", "LabelNames", "clean_labels", "means_missing", "warn_of_classes"]

NAMES = ("tidy", "exact", "fold")
FEW = 5  # pixels of a class: with fewer its shape is a guess
SHOWN = 4  # examples in a message

# What programs write for a value that is not there, and what people call a pixel without a label.
_WRITTEN = (
    "|na|n/a|n.a.|<na>|#na|#n/a|#n/a n/a|#nv|nan|-nan|nat|null|nil|1.#ind|-1.#ind|1.#qnan|-1.#qnan|"
    "#ref!|#name?|#value!|#div/0!|#null!|#num!"
)
_SAID = (
    "missing|no label|not labelled|not labeled|unlabelled|unlabeled|no annotation|not annotated|"
    "unannotated|unassigned|not assigned|unclassified|not classified|no class|undefined"
)
_MISSING = frozenset(_WRITTEN.split("|"))
_SAID_SQUEEZED = frozenset(_SAID.replace(" ", "").split("|"))  # un-labelled, NOT_ANNOTATED
# "none" may be a finding (no disease), "unknown" a class of its own, "-" the one beside "+".
_UNSURE = frozenset({"none", "unknown", "-", "--", "?", "."})
_SODIUM = "Na"
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")
# Invisible: soft hyphen, zero-width characters, byte order mark.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def means_missing(name: str) -> bool:
    """Whether a name surely says that a pixel has no class.

    Examples
    --------
    >>> from massgraph.data.label_names import means_missing
    >>> [name for name in ("NA", "nan", "None", "none", "unlabelled", "0") if means_missing(name)]
    ['NA', 'nan', 'None', 'unlabelled']
    """
    plain = name.strip()
    # None is what Python writes for nothing, Na is sodium.
    if plain in ("None", _SODIUM):
        return plain == "None"
    return plain.casefold() in _MISSING or _squeezed(plain) in _SAID_SQUEEZED


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def tidy(name: str) -> str:
    """A name as it is seen: without outer spaces, invisible characters, and twofold spaces."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFC", name)).split())


def fold(name: str) -> str:
    """What names have in common that differ only in how they are written."""
    return unicodedata.normalize("NFC", tidy(name).casefold())


@dataclass(frozen=True)
class LabelNames:
    """How names of classes are read.

    Parameters
    ----------
    missing
        Names that mean that a pixel has no label, besides those that surely do (`means_missing`).
    keep_missing
        Whether ``NA``, ``nan``, ``unlabelled`` and their like are classes after all.
    names
        ``"tidy"``: names that look the same are one (spaces around them or doubled, invisible
        characters, Unicode in two forms); ``"fold"``: names that differ in upper and lower case,
        too; ``"exact"``: to the letter.

    Raises
    ------
    InputError
        For any other `names`, or `missing` that is no list of texts.

    Examples
    --------
    >>> from massgraph.data.label_names import LabelNames
    >>> reading = LabelNames(missing=["edge"], names="fold")
    >>> reading.read(["tumour", "Tumour", "tumour", "edge"], "labels.csv")
    ['tumour', 'tumour', 'tumour', None]
    """

    missing: Sequence[Any] = ()
    keep_missing: bool = False
    names: str = "tidy"

    def __post_init__(self) -> None:
        if self.names not in NAMES:
            msg = f"names {self.names!r} is none of {', '.join(map(repr, NAMES))}"
            raise InputError(msg)
        if isinstance(self.missing, (str, bytes)) or not isinstance(self.missing, Iterable):
            msg = f"missing is {self.missing!r}: give a list of names, as in missing=['background']"
            raise InputError(msg)

    def read(self, labels: Sequence[str | None], source: str, mask: bool = True) -> list[Any]:
        """Names with None for what is missing; one warning for each thing that was not as it seems.

        Parameters
        ----------
        labels
            Texts, or None.
        source
            Where they are from, for messages.
        mask
            Whether numbers may be those of a mask, of which 0 often is no class.
        """
        counts = Counter(label for label in labels if label is not None)
        spelt = self._spelling(counts)
        told = Counter[str]()
        for name, n in counts.items():
            told[spelt[name]] += n
        gone = self._gone(told)
        self._tell_spelling(counts, spelt, source)
        self._tell_gone(told, gone, source)
        below = any(_number(name) == -1 for name in gone)
        left = {name: n for name, n in told.items() if name not in gone}
        self._tell_unsure(left, source, mask and not below)
        new = {name: None if spelt[name] in gone else spelt[name] for name in counts}
        return [None if label is None else new[label] for label in labels]

    def _spelling(self, counts: Mapping[str, int]) -> dict[str, str]:
        """The name that each is read as: of several that are one, the most frequent."""
        if self.names == "exact":
            return {name: name for name in counts}
        spelt = {name: tidy(name) for name in counts}
        # Whole numbers beside missing ones become floats in a table: 1.0 is 1 where both stand.
        numbers = {name: one for name in counts if (one := _WHOLE.fullmatch(spelt[name]))}
        if any(one[2] and one[1] in counts for one in numbers.values()):
            spelt |= {name: one[1] for name, one in numbers.items()}
        if self.names == "fold":
            best: dict[str, str] = {}
            for name in sorted(counts, key=lambda one: (-counts[one], one)):
                best.setdefault(fold(name), spelt[name])
            spelt = {name: best[fold(name)] for name in counts}
        return spelt

    def _gone(self, told: Mapping[str, int]) -> set[str]:
        """Names that are read as missing."""
        asked = {tidy(str(name)) for name in self.missing}
        gone = {name for name in told if name in asked or not tidy(name)}
        if self.keep_missing:
            return gone
        gone |= {name for name in told if means_missing(name)}
        left = [name for name in told if name not in gone]
        below = {name for name in left if _number(name) == -1}
        # Beside a single class -1 is the other one, as in scikit-learn; beside several it is the
        # mark of pixels without a label.
        others = [_number(name) for name in left if name not in below]
        if below and len(others) > 1 and all(one is not None and one >= 0 for one in others):
            gone |= below
        return gone

    def _tell_spelling(
        self, counts: Mapping[str, int], spelt: Mapping[str, str], source: str
    ) -> None:
        changed = [name for name in counts if name != spelt[name] and tidy(name)]
        if not changed or self.names == "fold":  # which somebody has asked for
            return
        shown = ", ".join(f"{name!r} as {spelt[name]!r}" for name in changed[:SHOWN])
        exact = advise("names='exact'", cli="--label-names exact")
        _warn(
            f"{source}: {_count(sum(counts[name] for name in changed), 'label')} written with "
            f"spaces or in another form, read {shown}{_more(changed)}; {exact} takes them to the "
            "letter"
        )

    def _tell_gone(self, told: Mapping[str, int], gone: set[str], source: str) -> None:
        asked = {tidy(str(name)) for name in self.missing}
        found = [name for name in told if name in gone and name not in asked]
        if not found:
            return
        n = sum(told[name] for name in found)
        keep = advise("keep_missing=True", cli="--keep-missing")
        only = found == [""]
        way = "" if only else f"; {keep} makes classes of such names"
        what = "are empty" if only else f"say {_list(found)}"
        _warn(
            f"{source}: {n} of {sum(told.values())} labels {what} and are read as missing: these "
            f"pixels are unlabelled{way}"
        )

    def _tell_unsure(self, told: Mapping[str, int], source: str, mask: bool) -> None:
        """Names that stay classes, though they may mean missing or the same as another."""
        if self.missing or self.keep_missing:
            return  # settled by the user
        unsure = [name for name in told if name.casefold() in _UNSURE or name == _SODIUM]
        numbers = {name: number for name in told if (number := _number(name)) is not None}
        mixed = len(numbers) < len(told)
        if mixed or min(numbers.values(), default=-2) >= -1:
            unsure += [name for name, number in numbers.items() if number == -1]
            # Columns of clusters count from 0; there only a 0 of most pixels is suspicious.
            zeros = [name for name, number in numbers.items() if number == 0]
            most = sum(told.values()) / 2
            unsure += [name for name in zeros if mask or mixed or told[name] > most]
        if not unsure:
            return
        way = advise(f"missing={unsure!r}", cli=" ".join(map(_option, unsure)))
        kept = advise("keep_missing=True", cli="--keep-missing")
        n = sum(told[name] for name in unsure)
        _warn(
            f"{source}: {n} of {sum(told.values())} labels say {_list(unsure)}, taken as a class; "
            f"if such pixels are unlabelled, {way} leaves them out; {kept} says that they are a "
            "class"
        )


def clean_labels(
    y: Any,
    *,
    missing: Sequence[Any] = (),
    keep_missing: bool = False,
    names: str = "tidy",
) -> NDArray[np.object_]:
    """Labels of pixels with None for what is missing, and each class under one name.

    A fit takes an array of labels to the letter, and warns where ``"nan"`` or ``"NA"`` is a class.
    This function reads such labels as `read_labels` reads those of a table.

    Parameters
    ----------
    y
        One label per pixel: text, whole numbers or truth values; missing ones as None, NaN or NA.
    missing
        Names that mean that a pixel has no label, besides ``NA``, ``nan``, ``None``, ``null``,
        ``unlabelled`` and the like, the empty text, and -1 beside at least two other numbers.
    keep_missing
        Whether these are classes after all.
    names
        ``"tidy"``: names that look the same are one (spaces, Unicode in two forms); ``"fold"``:
        names that differ in upper and lower case, too; ``"exact"``: to the letter.

    Returns
    -------
    numpy.ndarray
        Objects, shape ``(n_pixels,)``: values of `y`, or None where they are missing.

    Raises
    ------
    InputError
        For labels that are no list, or an unknown `names`.

    Warns
    -----
    UserWarning
        Once for each kind of name that is read in another way than it is written.

    Examples
    --------
    >>> import warnings
    >>> import massgraph as mg
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     mg.clean_labels(["tumour", "nan", "tumour ", "stroma"])
    array(['tumour', None, 'tumour', 'stroma'], dtype=object)
    """
    from massgraph.data.class_labels import label_array

    values = label_array(y)
    if values.ndim != 1:
        msg = f"labels have shape {values.shape}, need one label for each pixel"
        raise InputError(msg)
    found = values.astype(object)
    found[pd.isna(found)] = None
    texts = [None if value is None else str(value) for value in found]
    read = LabelNames(missing, keep_missing, names).read(texts, "labels")
    for pixel, (text, name) in enumerate(zip(texts, read, strict=True)):
        # Numbers and truth values stay what they are.
        if name is None or name != text:
            found[pixel] = name
    return found


# -------------------------------------------------------------------- classes of a fit


def warn_of_classes(
    classes: NDArray[Any], codes: NDArray[np.int64], run: NDArray[Any] | None = None
) -> None:
    """Say which classes of a fit are not what they seem.

    Parameters
    ----------
    classes
        Names, or numbers.
    codes
        Of the pixels to learn from, shape ``(n_labelled,)``.
    run
        Their runs; None where there is one.

    Warns
    -----
    UserWarning
        For names that say missing, names that differ by their spelling only, classes of fewer than
        five pixels, and classes that each have one run of their own.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from massgraph.data.label_names import warn_of_classes
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     warn_of_classes(np.array(["a", "b"]), np.repeat([0, 1], [9, 3]))
    >>> str(told[0].message)[:45]
    "class 'b' has 3 labelled pixels: fewer than 5"
    """
    counts = np.bincount(codes, minlength=len(classes))
    names = classes.tolist()
    texts = [name for name in names if isinstance(name, str)]
    _warn_of_missing(names, counts)
    _warn_of_spelling(texts)
    few = [
        f"{name!r} has {_count(int(n), 'labelled pixel')}"
        for name, n in zip(names, counts, strict=True)
        if 0 < n < FEW
    ]
    if few:
        out = advise("give None for its pixels", cli="add --missing NAME", r="give NA")
        head = f"class {few[0]}" if len(few) == 1 else f"classes {', '.join(few[:SHOWN])}"
        _warn(
            f"{head}{_more(few)}: fewer than {FEW} are little to learn a class from; label more, "
            f"or leave it out ({out})"
        )
    if run is not None:
        _warn_of_runs(names, codes, np.asarray(run))


def _warn_of_missing(names: list[Any], counts: NDArray[np.int64]) -> None:
    found = [i for i, name in enumerate(names) if isinstance(name, str) and means_missing(name)]
    numbers = [name for name in names if isinstance(name, int) and not isinstance(name, bool)]
    if -1 in numbers and len(numbers) > 2 and min(numbers) == -1:
        found.append(names.index(-1))
    if not found:
        return
    n = sum(int(counts[i]) for i in found)
    way = advise(
        "give None for them, as mg.clean_labels(y) does",
        cli="leave out --keep-missing",
        r="give NA for them",
    )
    _warn(
        f"{_count(n, 'pixel')} labelled {_list([names[i] for i in found])}: learnt as a class, "
        f"though it is named like a missing value; where these pixels are unlabelled, {way}"
    )


def _warn_of_spelling(names: list[str]) -> None:
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(fold(name), []).append(name)
    twice = [group for group in alike.values() if len(group) > 1]
    if not twice:
        return
    way = advise(
        "mg.clean_labels(y, names='fold') makes them one",
        cli="--label-names fold makes them one",
        r="give them one name where they are the same",
    )
    shown = "; ".join(" and ".join(map(repr, group)) for group in twice[:SHOWN])
    _warn(f"classes differ in spaces or upper and lower case alone: {shown}{_more(twice)}; {way}")


def _warn_of_runs(names: list[Any], codes: NDArray[np.int64], run: NDArray[Any]) -> None:
    """Where each class has one run of its own, the runs may be what is learnt."""
    if len(np.unique(run)) < 2:
        return
    own = {code: np.unique(run[codes == code]) for code in np.unique(codes)}
    if any(len(runs) > 1 for runs in own.values()):
        return
    shown = [f"{names[code]!r} in {runs[0]!s}" for code, runs in own.items()]
    _warn(
        f"each class is labelled in one run only ({', '.join(shown[:SHOWN])}{_more(shown)}): what "
        "tells the classes apart may be what tells the runs apart; label every class in two runs "
        "or more"
    )


# -------------------------------------------------------------------- words


def _number(name: str) -> int | None:
    found = _WHOLE.fullmatch(name.strip())
    return int(found[1]) if found else None


def _list(names: Sequence[Any]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + _more(names)


def _more(names: Sequence[Any]) -> str:
    return f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _option(name: str) -> str:
    # A name that begins with a dash would be taken for an option.
    return f"--missing={shlex.quote(name)}" if name[0] == "-" else f"--missing {shlex.quote(name)}"


def _warn(message: str) -> None:
    warnings.warn(one_line(message), UserWarning, stacklevel=outside())
