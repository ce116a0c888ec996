"""The tables of an explanation: ions with their scores, families, and what joins them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph.encode.settings import EncoderSettings
from massgraph.explain.families import DIRECTIONS, family_table, find_families
from massgraph.explain.ion_sums import IonSums

__all__ = ["ion_tables"]

# Ions are taken into families from the strongest down, until these carry this share of what
# separates their class; each must occur in this share of the pixels of some class.
COVERAGE = 0.6
MIN_PRESENCE = 0.05
LEAST_ERROR_PPM = 2.5  # pairs this near a relation's mass are never left out as chance


def ion_tables(
    settings: EncoderSettings,
    classes: tuple[str, ...],
    mz: NDArray[np.float64],
    sums: IonSums,
    network: pd.DataFrame,
    polarity: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make the tables `ions`, `families` and `family_edges` of an `Explanation`.

    Parameters
    ----------
    settings
        Resolved settings of the model: relations and tolerance.
    classes
        Names of the classes.
    mz
        m/z of the ions, ascending.
    sums
        Sums over the pixels, with ions as in `mz`.
    network
        Relations between the ions (`massgraph.explain.ion_network.build_ion_network`).
    polarity
        Of the spectra; None where unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.explain.ion_network import build_ion_network
    >>> from massgraph.explain.ion_sums import IonSums
    >>> from massgraph.explain.tables import ion_tables
    >>> from massgraph.learn.settings import resolve_settings
    >>> mz, ion = np.array([760.5851, 782.5670]), np.array([0, 1, 0, 1])
    >>> spectra = mg.Spectra.from_peaks([(mz, [2.0, 1.0])] * 2)
    >>> settings, sums = resolve_settings("default", "positive", {}), IonSums(2, 2)
    >>> sums.add(spectra, np.eye(2)[ion], ion, labels=np.array([0, 1]))
    >>> network = build_ion_network(ion, mg.build_graph(spectra, settings.relations))
    >>> classes = ("tumour", "stroma")
    >>> ions, families, _ = ion_tables(settings, classes, mz, sums, network, "positive")
    >>> ions["n_pixels"].tolist()
    [2, 2]
    """
    ions = _ion_table(mz, sums, classes)
    _, _, presence = sums.means()
    common = (presence >= MIN_PRESENCE).any(axis=0)
    families, family_edges = find_families(
        mz,
        np.where(common, ions["class"].cat.codes, -1),
        ions["score"],
        network,
        settings.relations,
        direction=ions["direction"],
        polarity=polarity,
        classes=classes,
        coverage=COVERAGE,
        # True pairs lie near the relation's mass, chance pairs anywhere within a wide tolerance.
        max_error_ppm=(
            max(settings.tolerance / 2, LEAST_ERROR_PPM)
            if settings.tolerance_unit == "ppm"
            else None
        ),
    )
    ions["family"] = families["family"].reindex(ions.index).astype("Int64")
    return ions, family_table(families, ions), family_edges


def _ion_table(mz: NDArray[np.float64], sums: IonSums, classes: tuple[str, ...]) -> pd.DataFrame:
    """Make the table `Explanation.ions`, but for the families."""
    means, intensity, _ = sums.means()
    speaks_for, score, more = _score(means, sums.pixels > 0)
    rank = np.empty(mz.size, dtype=np.int64)
    rank[np.lexsort((mz, -score))] = np.arange(1, mz.size + 1)
    table = {
        "mz": mz,
        "n_pixels": sums.present.sum(axis=0).astype(np.int64),
        "class": pd.Categorical.from_codes(speaks_for, pd.Index(classes, dtype=object)),
        "direction": np.where(more, *DIRECTIONS).astype(object),
        "score": score,
        "rank": rank,
        "family": pd.array([pd.NA] * mz.size, dtype="Int64"),
        **{f"activation_{name}": means[c, c] for c, name in enumerate(classes)},
        **{f"intensity_{name}": intensity[c] for c, name in enumerate(classes)},
    }
    return pd.DataFrame(table)


def _score(
    means: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Find the class that each ion speaks for, its share of what separates it, and how.

    An ion separates class c by its mean contribution to logit c (less the mean over all logits,
    which moves no probability) in the pixels of c minus that in the pixels of the other classes;
    each other class counts the same. Shares are of the sum over the ions that separate c at all.
    More of the ion speaks for c where it adds to the logit in the pixels of c; otherwise it is less
    of it, or none: there the ion speaks against c, and does so more in the pixels of others.
    """
    n = len(means)
    # A shift of all logits alike moves no probability, so that it must move no score.
    centred = means - means.mean(axis=0)
    separation = np.zeros((n, means.shape[2]))
    for c in np.flatnonzero(present):
        others = present & (np.arange(n) != c)
        rest = centred[c, others].mean(axis=0) if others.any() else 0.0
        separation[c] = np.maximum(centred[c, c] - rest, 0.0)
    # Of only two classes an ion separates both by the same share: it speaks for the one that it
    # contributes to in the pixels of that class.
    best = separation >= separation.max(axis=0) * (1 - 1e-9)
    own = centred[np.arange(n), np.arange(n)]
    speaks_for = np.argmax(np.where(best, own, -np.inf), axis=0)
    total = separation.sum(axis=1)
    share = separation / np.where(total > 0, total, 1.0)[:, None]
    ion = np.arange(means.shape[2])
    return speaks_for, share[speaks_for, ion], own[speaks_for, ion] > 0
