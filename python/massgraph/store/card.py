"""The card of a saved classifier: what a person should know before using it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["as_list", "as_table", "coverage_lines", "model_card", "plain"]

HELD_OUT_BY = {
    "groups": "whole groups that the user named",
    "runs": "whole runs",
    "blocks": "square blocks of neighbouring pixels, whose rims touch the training pixels",
    "pixels": "single pixels, whose neighbours were learnt from",
}
HEADLINE = "# Model card"
INTENDED = """\
The model gives every pixel of a mass spectrometry image one of its classes, with probabilities, and
says which ions decided. It is meant for spectra of the same kind as those below: same polarity,
same mass range, same preparation. It is no medical device.
"""
CROSS_FITTED = """\
Each of {} folds in turn: what is said of it comes of parts that were fitted to the others. The \
model is the sum of all parts."""
LIMITS = """\
- It knows no class but its own: tissue of another kind gets one of them all the same, as long as
  its ions are the same. Where they are not, coverage falls, and with it what it says: below the
  level above, probabilities are drawn towards equal ones, and whole runs are refused.
- The figures above are of pixels held out while it was fitted. Where folds are blocks of the same
  runs they flatter it: judge it by runs or samples that the fit did not see.
- Ions are told by mass alone. Families are a reading of mass differences, no identification.
- An activation says what the model used; it is no abundance.
- The default model takes a common mass error off by itself; where masses scatter more than in the
  data that it learnt from, edges vanish. The network as published needs calibrated spectra.
- Pixels without peaks in the mass range get no class.
"""


def model_card(config: dict[str, Any]) -> str:
    """Write the card of a model as Markdown.

    Parameters
    ----------
    config
        The content of its `config.json`, as `massgraph.store.folder.save` makes it.

    Returns
    -------
    str
        The same configuration gives the same text. Names of classes are shown as text: whatever
        they hold, they are no headings, links or HTML.

    Examples
    --------
    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> from massgraph.store.card import model_card
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(Path(folder) / "model")
    ...     text = (Path(folder) / "model" / "config.json").read_text(encoding="utf-8")
    >>> print(model_card(json.loads(text)).splitlines()[0])
    # Model card
    """
    sections = {
        "What it is for": INTENDED,
        "Data it learnt from": _data(config),
        "Classes": _classes(config),
        "How it was checked": _metrics(config),
        "Limits": LIMITS,
        "How it was made": _making(config),
    }
    body = "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{HEADLINE}\n\n{_first_words(config)}\n{body}"


def coverage_lines(levels: dict[str, Any] | None) -> dict[str, str]:
    """What the levels of coverage say, as lines of a list; none for models that have none.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from massgraph.encode.coverage import Levels
    >>> from massgraph.store.card import coverage_lines
    >>> coverage_lines(asdict(Levels()))["runs that are refused"]
    'below a coverage of 0.45, where covered best'
    """
    if levels is None:
        return {}
    return {
        "coverage (share of the ion current at its ions)": f"{levels['own']:.2f} of such pixels, "
        f"{levels['chance']:.2f} of other ions by chance",
        "runs that are warned of": f"below a coverage of {levels['warn']:.2f}, where covered best",
        "runs that are refused": f"below a coverage of {levels['refuse']:.2f}, where covered best",
    }


def _first_words(config: dict[str, Any]) -> str:
    return (
        f"A relational graph network of massgraph {plain(config['massgraph_version'])} with "
        f"{len(config['classes'])} classes. This card was written by massgraph from what was known "
        "when the model was saved; it is not read when the model is loaded.\n"
    )


def _data(config: dict[str, Any]) -> str:
    known = config["provenance"]
    low, high = known["mz_range"]
    lines = {
        "pixels": f"{config['n_pixels']}, of them {len(config['training'])} to learn from and "
        f"{len(config['validation'])} held out",
        "runs with labels": known["n_runs"],
        "polarity": config["polarity"] or "not declared",
        "m/z of the pixels learnt from": f"{low:.4f} to {high:.4f}",
        "peaks in a pixel learnt from (median)": f"{known['median_peaks']:g}",
        **coverage_lines(config.get("levels")),
        "fingerprint of the spectra (SHA-256)": config["fingerprint"],
        "where they come from, how the labels were made": "not known to massgraph",
    }
    return as_list(lines)


def _classes(config: dict[str, Any]) -> str:
    known = config["provenance"]
    rows = zip(
        config["classes"], known["training_per_class"], known["held_out_per_class"], strict=True
    )
    return as_table(("class", "pixels to learn from", "pixels held out"), rows)


def _metrics(config: dict[str, Any]) -> str:
    text = f"Held out: {HELD_OUT_BY[config['provenance']['held_out_by']]}."
    table, history = config["contributions"], config["history"]
    if table is not None:
        return f"{text} {CROSS_FITTED.format(config['n_nets'])}\n\n{_contributions(table)}"
    if history is None:
        return f"{text} Their score was not taken: the model is in closed form.\n"
    best = int(np.argmax(history["best"]))
    rows = [
        (
            name,
            f"{history[f'{part}_balanced_accuracy'][best]:.3f}",
            f"{history[f'{part}_loss'][best]:.4f}",
        )
        for name, part in (("held out", "valid"), ("training, as seen while learning", "train"))
    ]
    text += f" Kept: epoch {history['epoch'][best]} of {history['epoch'][-1]}.\n\n"
    return text + as_table(("pixels", "balanced accuracy", "loss"), rows)


def _contributions(table: dict[str, list[Any]]) -> str:
    """Shares and scores of the branches; what was not measured is a dash."""
    names = ("share", "balanced_accuracy_alone", "balanced_accuracy_without")
    forms = ("{:.0%}", "{:.3f}", "{:.3f}")
    columns = [
        ["-" if value is None else form.format(value) for value in table[name]]
        for name, form in zip(names, forms, strict=True)
    ]
    head = ("branch", "share", "balanced accuracy alone", "without it")
    return as_table(head, zip(table["branch"], *columns, strict=True))


def _making(config: dict[str, Any]) -> str:
    settings, parameters = config["settings"], config["parameters"]
    versions = config["provenance"]["versions"]
    lines = {
        "preset": parameters["preset"],
        "seed": "none" if parameters["random_state"] is None else parameters["random_state"],
        "tolerance": f"{settings['tolerance']:.3g} {settings['tolerance_unit']}",
        "relations": ", ".join(config["relations"]["names"]),
        "m/z range that was asked for": settings["mz_range"] or "all",
        "weights (SHA-256)": config["weights_sha256"],
        "versions": ", ".join(f"{name} {versions[name]}" for name in versions),
        "all settings": "in config.json",
    }
    return as_list(lines)


# -------------------------------------------------------------------- Markdown


def plain(value: object) -> str:
    r"""Text that Markdown and HTML show as it is, on one line.

    Examples
    --------
    >>> from massgraph.store.card import plain
    >>> print(plain("<b>*1*"))
    &lt;b>\*1\*
    """
    # Without line breaks there are no headings, lists or new rows of a table.
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def as_list(lines: dict[str, Any]) -> str:
    """Names and values as a list.

    Examples
    --------
    >>> from massgraph.store.card import as_list
    >>> print(as_list({"pixels": 144}), end="")
    - pixels: 144
    """
    return "".join(f"- {name}: {plain(value)}\n" for name, value in lines.items())


def as_table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    """Rows as a table.

    Examples
    --------
    >>> from massgraph.store.card import as_table
    >>> print(as_table(("region", "share"), [("region 1", "60%")]), end="")
    | region | share |
    |---|---|
    | region 1 | 60% |
    """
    marks = "|".join("---" for _ in head)
    body = "".join(f"| {' | '.join(plain(value) for value in row)} |\n" for row in rows)
    return f"| {' | '.join(head)} |\n|{marks}|\n{body}"
