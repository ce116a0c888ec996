"""What can be said of regions that were found without labels: `RegionFindings` of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from massgraph.data.neighbours import Neighbours
from massgraph.data.sources import Pixels, places
from massgraph.encode.amounts import EXCHANGES, exchange_links, ion_links
from massgraph.encode.guard import Guard
from massgraph.explain.balances import adduct_balances
from massgraph.explain.region_findings import RegionFindings
from massgraph.explain.region_molecules import compare_regions, half_p_values, with_fdr
from massgraph.explain.region_words import cautions, verdicts
from massgraph.learn.region_halves import HalfMap, half_maps
from massgraph.learn.region_image import RegionImage, ion_blocks
from massgraph.learn.regions import Look, RegionModel, labels_of

__all__ = ["SIGNIFICANT", "describe_regions"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

SIGNIFICANT = 0.05
"""False discovery rate up to which a molecule defines a region."""
SHOWN_EACH, SHOWN = 3, 24  # molecules with an image, of each region and of all
OF_ONE_RUN = 0.95  # share of a region's pixels in one run from which it follows the run


def describe_regions(
    model: RegionModel,
    X: Pixels,
    names: Sequence[str],
    seed: int = 0,
    neighbours: Neighbours | None = None,
    guard: Guard | None = None,
) -> RegionFindings:
    """Find out how sure the regions of an image are, and what defines them.

    Parameters
    ----------
    model
        The regions.
    X
        Spectra in memory or a source, of which all peaks are read twice.
    names
        Of the regions, in the order of their labels.
    seed
        Of the halves of the molecules and of the tests.
    neighbours
        Those that are given, in place of those within the radius of the fit.
    guard
        Refuses runs that the model does not know; None to describe all.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.explain.regions import describe_regions
    >>> spectra, _ = mg.simulate("tiny", n_runs=1)
    >>> model = mg.SpatialRegions(n_regions=3).fit(spectra).region_model_
    >>> found = describe_regions(model, spectra, ["cortex", "medulla", "outside"])
    >>> found.regions["region"].tolist()
    ['cortex', 'medulla', 'outside']
    """
    image = model.read(X, neighbours, guard)
    look = model.look_at(image)
    probability = model.map_of(look)
    label = labels_of(probability)
    halves = half_maps(model, image, seed)
    where = places(X)
    p_values = [
        half_p_values(image.amounts, half, where, spatial=model.settings.spatial, seed=seed)
        for half in halves
    ]
    molecules = _molecules(model, image, label, p_values)
    regions = _regions(model, probability, label, image.run, halves, molecules)
    regions["verdict"] = verdicts(regions)
    name = np.asarray(names, dtype=object)
    regions["nearest"] = [None if k < 0 else name[k] for k in regions["nearest"]]
    shown = _shown(molecules)
    shares = image.neighbours.shares()
    balances = adduct_balances(
        ion_blocks(model.axis, X, "adduct balances"), model.axis, model.relations, shares
    )
    return RegionFindings(
        regions=_named(regions, name),
        molecules=_named(molecules, name),
        families=_named(_families(model, molecules), name),
        selection=model.selection,
        maps=_maps(model, look, label),
        shown=shown,
        images=image.amounts[:, shown].toarray().astype(np.float32),
        balances=balances.table,
        balance_images=balances.images,
        cautions=cautions(
            _named(regions, name), model.selection, model.loss.kept if model.loss else None
        ),
    )


def _named(table: pd.DataFrame, names: NDArray[np.object_]) -> pd.DataFrame:
    return table.assign(region=names[table["region"].to_numpy(dtype=np.int64)])


def _maps(model: RegionModel, look: Look, label: Labels) -> dict[int, Labels]:
    apart = len(model) - len(model.mixture)
    numbers = range(max(1 + apart, 2), len(model.path) + apart + 1)
    maps = {n: labels_of(model.at(n).map_of(look)) for n in numbers}
    return {**maps, len(model): label}


# -------------------------------------------------------------------- tables


def _molecules(
    model: RegionModel, image: RegionImage, label: Labels, p_values: Sequence[Floats]
) -> pd.DataFrame:
    """Regions of tissue beside each other, then the pixels off tissue beside all tissue."""
    n = len(model.mixture)
    tissue = np.where(label < n, label, -1)
    table = compare_regions(image.amounts, tissue, n)
    if len(model) > n:
        off = np.where(label < 0, -1, (label < n).astype(np.int64))
        beside = compare_regions(image.amounts, off, 2)
        table = pd.concat([table, beside[beside["region"] == 0].assign(region=n)])
    table = with_fdr(table.reset_index(drop=True), p_values)
    table = table.merge(_ions(model, image), on="molecule")
    size = table["effect"].abs()
    # Of equal rates the larger effect first; what was not tested comes last.
    order = np.lexsort((-size, table["fdr"].fillna(2.0), table["region"]))
    columns = ["region", "molecule", "mz", "n_ions", "ions", "relations", "mean", "mean_elsewhere"]
    columns += ["effect", "direction", "auc", "p_value", "fdr"]
    return table.iloc[order][columns].reset_index(drop=True)


def _ions(model: RegionModel, image: RegionImage) -> pd.DataFrame:
    """The ions of each molecule, and what connects them."""
    axis, group = model.axis, model.group
    ions = pd.DataFrame({"molecule": group, "mz": axis.mz, "level": axis.level})
    main = ions.loc[ions.groupby("molecule")["level"].idxmax(), ["molecule", "mz"]]
    rows = ions.groupby("molecule")["mz"]
    table = pd.DataFrame(
        {
            "n_ions": rows.size(),
            "ions": rows.agg(lambda mz: "; ".join(f"{value:.4f}" for value in mz)),
        }
    )
    table["relations"] = _links_by_name(model)
    return main.merge(table.fillna({"relations": ""}).reset_index(), on="molecule")


def _links_by_name(model: RegionModel) -> pd.Series[str]:
    found = [
        (int(model.group[light]), name)
        for name, links in exchange_links(model.axis, model.relations).items()
        for light, heavy in links
        if model.group[light] == model.group[heavy]
    ]
    table = pd.DataFrame(found, columns=["molecule", "name"]).drop_duplicates()
    return table.groupby("molecule")["name"].agg(", ".join)


def _families(model: RegionModel, molecules: pd.DataFrame) -> pd.DataFrame:
    """Molecules that define a region in one direction, and are related to each other."""
    steps = [name for name in model.relations.names if name not in EXCHANGES]
    links = ion_links(model.axis, model.relations, steps)
    pairs = [
        (int(model.group[light]), int(model.group[heavy]), name)
        for name, found in links.items()
        for light, heavy in found
    ]
    between = pd.DataFrame(pairs, columns=["one", "other", "name"])
    between = between[between["one"] != between["other"]].drop_duplicates()
    defining = molecules[molecules["fdr"] <= SIGNIFICANT]
    rows = [
        {"region": region, "direction": direction, **row}
        for (region, direction), group in defining.groupby(["region", "direction"], sort=True)
        for row in _families_of(group, between)
    ]
    columns = ["region", "family", "n_molecules", "mz", "relations", "effect", "direction", "fdr"]
    table = pd.DataFrame(rows, columns=[name for name in columns if name != "family"])
    order = np.lexsort((-table["effect"].abs() * table["n_molecules"], table["region"]))
    table = table.iloc[order].reset_index(drop=True)
    table["family"] = table.groupby("region").cumcount() + 1
    return table[columns]


def _families_of(group: pd.DataFrame, between: pd.DataFrame) -> list[dict[str, object]]:
    members = np.sort(group["molecule"].to_numpy())
    inside = between[between["one"].isin(members) & between["other"].isin(members)]
    one, other = (np.searchsorted(members, inside[name]) for name in ("one", "other"))
    graph = sp.csr_matrix((np.ones(one.size), (one, other)), shape=(members.size,) * 2)
    family = sp.csgraph.connected_components(graph, directed=False)[1]
    table = group.set_index("molecule").loc[members]
    rows = []
    for number in np.flatnonzero(np.bincount(family) > 1):
        own = table[family == number]
        rows.append(
            {
                "n_molecules": len(own),
                "mz": "; ".join(f"{mz:.4f}" for mz in sorted(own["mz"])),
                "relations": ", ".join(dict.fromkeys(inside["name"][family[one] == number])),
                "effect": float(own["effect"].mean()),
                "fdr": float(own["fdr"].max()),
            }
        )
    return rows


def _regions(
    model: RegionModel,
    probability: Floats,
    label: Labels,
    run: NDArray[np.str_],
    halves: Sequence[HalfMap],
    molecules: pd.DataFrame,
) -> pd.DataFrame:
    number = np.arange(len(model))
    stability = np.full(len(model), np.nan)
    if halves:
        stability[: len(model.mixture)] = np.mean([half.overlap for half in halves], axis=0)
    defining = molecules[molecules["fdr"] <= SIGNIFICANT]
    return pd.DataFrame(
        {
            "region": number,
            "n_pixels": np.bincount(label[label >= 0], minlength=len(model)),
            "run": [_run_of(run[label == k], len(np.unique(run))) for k in number],
            "probability": [_mean(probability[label == k, k]) for k in number],
            "separation": model.separation(),
            "nearest": model.nearest(),
            "stability": stability,
            "n_molecules": np.bincount(defining["region"], minlength=len(model)),
        }
    )


def _run_of(run: NDArray[np.str_], n_runs: int) -> str | None:
    """The run that holds nearly all of a region, where there are others."""
    if n_runs < 2 or run.size == 0:
        return None
    names, counts = np.unique(run, return_counts=True)
    return str(names[counts.argmax()]) if counts.max() >= OF_ONE_RUN * run.size else None


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else np.nan


def _shown(molecules: pd.DataFrame) -> Labels:
    """The best molecules of each region, those it holds more of first."""
    ordered = molecules.assign(less=molecules["direction"] == "less")
    best = ordered.sort_values(["region", "less"], kind="stable").groupby("region")
    each = best["molecule"].head(SHOWN_EACH).to_numpy()
    return np.asarray(pd.unique(each)[:SHOWN], dtype=np.int64)
