"""The card of saved regions: what a person should know before using them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from massgraph.learn.mixture import COVARIANCES
from massgraph.learn.regions import RegionModel
from massgraph.store.card import as_list, as_table, coverage_lines, plain

__all__ = ["region_card"]

HEADLINE = "# Model card"
INTENDED = """\
The model gives every pixel of a mass spectrometry image one of the regions that were found in other
pixels without any label. It is meant for spectra of the same kind as those below: same polarity,
same mass range, same preparation. It is no medical device.
"""
HOW_MANY = """\
Taken was the number after which a further region explains least. `gain` is what a region more \
adds to the log likelihood, `ratio` that over the mean of the next two gains, `separation` the \
least distance of two regions of tissue in deviations within regions.
"""
LIMITS = """\
- It does not say what a region is. Names are numbers, the largest region first; which molecules
  define a region was not saved and is to be tested on the image (`SpatialRegions.findings`), since
  the molecules that made the regions cannot also prove them.
- Nobody has checked the regions against labels or other knowledge. A probability says how well a
  pixel fits its region among the others; a wrong map can have probabilities near one.
- Regions nearer than about 3 deviations may be halves of a continuum, cut in two.
- It knows no other regions: tissue of another kind gets one of them all the same, as long as its
  ions are the same. Where they are not, coverage falls: below the level above, probabilities are
  drawn towards equal ones, and whole runs are refused.
- Ions and molecules are told by mass alone.
- Runs that were measured differently may differ more than regions do. Where the mean of each run is
  taken off, a run that lacks a region is told wrongly.
- Pixels without peaks of its ions get no region.
"""


def region_card(model: RegionModel, config: dict[str, Any]) -> str:
    """Write the card of saved regions as Markdown.

    Parameters
    ----------
    model
        The regions.
    config
        The content of their `config.json`.

    Returns
    -------
    str
        The same model and configuration give the same text.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import massgraph as mg
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> regions = mg.SpatialRegions(n_regions=3).fit(spectra)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     regions.save(Path(folder) / "model")
    ...     text = (Path(folder) / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    >>> text.splitlines()[0], "| off-tissue |" in text
    ('# Model card', True)
    """
    sections = {
        "What it is for": INTENDED,
        "Data they were found in": _data(model),
        "Regions": _regions(model),
        "How many": _how_many(model),
        "Limits": LIMITS,
        "How it was made": _making(model, config),
    }
    body = "\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{HEADLINE}\n\n{_first_words(model, config)}\n{body}"


def _first_words(model: RegionModel, config: dict[str, Any]) -> str:
    off_tissue = "" if model.off_tissue is None else ", the last of them the pixels off tissue"
    return (
        f"{len(model)} regions of massgraph {plain(config['massgraph_version'])}, found without "
        f"labels{off_tissue}. This card was written by massgraph from what was known when the "
        "model was saved; it is not read when the model is loaded.\n"
    )


def _data(model: RegionModel) -> str:
    known, mz = model.origin.data, model.axis.mz
    lines: dict[str, Any] = {"pixels": "not known", "runs": "not known"}
    if known:
        n_off = known["n_pixels"] - known["n_tissue"] - known["n_empty"]
        lines["pixels"] = (
            f"{known['n_pixels']}, of them {known['n_tissue']} on tissue, {n_off} off tissue and "
            f"{known['n_empty']} without peaks of the ions"
        )
        lines["runs"] = known["n_runs"]
    return as_list(
        {
            **lines,
            "polarity": model.polarity or "not declared",
            "ions": f"{len(model.axis)}, m/z {mz[0]:.4f} to {mz[-1]:.4f}",
            "molecules": len(model.components.centre),
            **coverage_lines(None if model.levels is None else asdict(model.levels)),
            "fingerprint of the spectra (SHA-256)": model.origin.fingerprint
            or "not taken, as they were read block by block",
            "where they come from": "not known to massgraph",
        }
    )


def _regions(model: RegionModel) -> str:
    shares = [f"{share:.1%}" for share in model.mixture.weight]
    # Its share is that of all pixels, which the table would not say.
    rows = zip(model.names, [*shares, "-"], model.separation(), strict=False)
    head = ("region", "share of the tissue", "distance to the nearest, in deviations")
    return as_table(
        head,
        ((name, share, f"{d:.2f}" if np.isfinite(d) else "-") for name, share, d in rows),
    )


def _how_many(model: RegionModel) -> str:
    curve = model.selection
    if curve is None:
        return f"The number of regions was given: {model.settings.n_regions}.\n"
    rows = (
        tuple("-" if np.isnan(value) else f"{value:.6g}" for value in row)
        for row in curve.itertuples(index=False)
    )
    return f"{HOW_MANY}\n{as_table(tuple(curve.columns), rows)}"


def _making(model: RegionModel, config: dict[str, Any]) -> str:
    settings, origin = model.settings, model.origin
    versions = origin.data.get("versions", {})
    relations = origin.relations
    lines = {
        "seed": "none" if origin.random_state is None else origin.random_state,
        "features": settings.features,
        "components": len(model.components.signal),
        "covariance": COVARIANCES[model.mixture.kind],
        "brightness of pixels taken as given": "yes" if model.mixture.n_covariates else "no",
        "peaks lost at random": "none" if model.loss is None else f"{1 - model.loss.kept:.0%}",
        "strength of the field": f"{model.strength:g}",
        "mean of each run taken off": "yes" if settings.run_offsets else "no",
        "relations": "those of the polarity" if relations is None else ", ".join(relations.names),
        "weights (SHA-256)": config["weights_sha256"],
        "versions": ", ".join(f"{name} {versions[name]}" for name in versions) or "not known",
        "all settings": "in config.json",
    }
    return as_list(lines)
