"""The report of regions that were found without labels: what it shows, from the segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from massgraph.explain.regions import SIGNIFICANT
from massgraph.learn.mixture_path import number_of_regions
from massgraph.report._explained import deletion, families, mirrors
from massgraph.report._methods import methods
from massgraph.report._pictures import PAGE_WIDTH, maps, why_no_map
from massgraph.report._words import Table, count, decimal, digits, measured, runs, settings
from massgraph.report.template import Picture, embed

if TYPE_CHECKING:
    from massgraph.explain.region_findings import RegionFindings
    from massgraph.segmentation import Segmentation

__all__ = ["region_context"]

# In inches.
BARS_WIDTH, IMAGES_WIDTH = 2.6, PAGE_WIDTH
RUNS_WIDTHS = {"probability": 6.0, "uncertainty": PAGE_WIDTH}
MOST_MOLECULES = 8
MOST_NAMED_COLUMNS = 8


def region_context(
    segmentation: Segmentation,
    findings: RegionFindings,
    n_families: int,
    curve: pd.DataFrame | None,
) -> dict[str, Any]:
    """All that the template of the page shows.

    Parameters
    ----------
    segmentation, n_families
        As for `massgraph.report.page.write_report`.
    findings
        Those of the segmentation.
    curve
        Its `deletion`.
    """
    no_map = why_no_map(segmentation)
    given = segmentation.reference is not None and bool(segmentation.reference.notna().any())
    explanation = segmentation.explanation
    return {
        "unit": "region",
        "units": "regions",
        "before": "",  # their names say what they are
        "summary": _summary(segmentation, findings),
        "cautions": list(findings.cautions),
        "no_map": no_map,
        "maps": None
        if no_map
        else maps(segmentation, labelled=given, unit="region", runs_widths=RUNS_WIDTHS),
        "regions": _regions(segmentation, findings),
        "number": _number(segmentation, findings, drawn=not no_map),
        "significant": f"{SIGNIFICANT:g}",
        "molecules": _molecules(segmentation, findings, drawn=not no_map),
        "related": _related(findings, n_families),
        "balances": _balances(segmentation, findings, drawn=not no_map),
        "agreement": _agreement(segmentation) if given else None,
        "explained": explanation is not None,
        "mirrors": None if explanation is None else mirrors(segmentation, explanation),
        "mirrors_missing": [name for name, n in segmentation.counts().items() if n == 0],
        "families": families(
            segmentation, n_families, with_images=not no_map and segmentation.spectra.n_peaks > 0
        ),
        "deletion": None if curve is None else deletion(curve),
        "methods": methods(segmentation),
        "settings": settings(segmentation),
    }


# -------------------------------------------------------------------- summary


def _summary(segmentation: Segmentation, findings: RegionFindings) -> dict[str, Any]:
    from massgraph.pl._nested import APART, palette

    counts = segmentation.counts()
    total = max(segmentation.n_pixels, 1)
    colours = palette(segmentation)
    of_classes = [colours[name] for name in segmentation.classes]
    sure = findings.molecules["fdr"] <= SIGNIFICANT
    tissue = findings.regions[findings.regions["region"] != APART]
    return {
        **measured(segmentation),
        "regions": [
            {"name": name, "count": int(n), "share": f"{100 * n / total:.0f}", "colour": colour}
            for (name, n), colour in zip(counts.items(), of_classes, strict=True)
        ],
        "n_apart": int(counts[APART]) if APART in counts else None,
        "apart_share": f"{100 * counts.get(APART, 0) / total:.0f}",
        "stability": _extremes(tissue, "stability"),
        "separation": _extremes(tissue[np.isfinite(tissue["separation"])], "separation"),
        "n_tested": int(findings.molecules["molecule"].nunique()),
        "n_defining": int(findings.molecules.loc[sure, "molecule"].nunique()),
    }


def _extremes(regions: pd.DataFrame, column: str) -> dict[str, Any] | None:
    """The least and the largest value and whose they are; None where there is none."""
    known = regions[regions[column].notna()]
    if known.empty:
        return None
    order = np.argsort(known[column].to_numpy(dtype=float), kind="stable")
    least, most = known.iloc[order[0]], known.iloc[order[-1]]
    return {
        "n": len(known),
        "least": decimal(least[column], 2),
        "least_region": str(least["region"]),
        "nearest": str(least["nearest"]),
        "most": decimal(most[column], 2),
        "most_region": str(most["region"]),
    }


def _regions(segmentation: Segmentation, findings: RegionFindings) -> list[dict[str, Any]]:
    from massgraph.pl._nested import palette

    colours = palette(segmentation)
    table = findings.regions
    return [
        {
            "name": str(row["region"]),
            "colour": colours[str(row["region"])],
            "n_pixels": count(row["n_pixels"]),
            "run": str(row["run"]) if pd.notna(row["run"]) else "",
            "probability": decimal(row["probability"], 3),
            "separation": decimal(row["separation"], 1),
            "nearest": str(row["nearest"]) if pd.notna(row["nearest"]) else "–",
            "stability": decimal(row["stability"], 2),
            # Where halves were not asked no molecule was tested: none is not zero.
            "n_molecules": count(row["n_molecules"]) if pd.notna(row["stability"]) else "–",
            "verdict": str(row["verdict"]),
        }
        for _, row in table.iterrows()
    ]


# -------------------------------------------------------------------- how many


def _number(segmentation: Segmentation, findings: RegionFindings, *, drawn: bool) -> dict[str, Any]:
    from massgraph import pl

    curve = findings.selection
    own, most = len(findings.regions), max(findings.maps, default=0)
    found: dict[str, Any] = {"own": own, "most": most, "given": curve is None}
    found["maps"] = found["curve"] = None
    if drawn and len(findings.maps) > 1:
        found["maps"] = embed(
            pl.regions(segmentation, width=PAGE_WIDTH), f"Nested maps of up to {most} regions"
        )
    if curve is not None:
        best = number_of_regions(curve, most or own)
        ratio = curve.loc[curve["n_regions"] == own, "ratio"]
        found["best"] = best
        found["ratio"] = decimal(float(ratio.iloc[0]), 1) if len(ratio) else "–"
        found["curve"] = embed(
            pl.selection(findings, width=PAGE_WIDTH),
            "Gain in likelihood and least separation by number of regions",
        )
    return found


# -------------------------------------------------------------------- molecules


def _molecules(
    segmentation: Segmentation, findings: RegionFindings, *, drawn: bool
) -> list[dict[str, Any]]:
    """A block for each region of which there are molecules."""
    blocks = []
    for region in _regions(segmentation, findings):
        table = findings.molecules[findings.molecules["region"] == region["name"]]
        if table.empty:
            continue
        top = table.head(MOST_MOLECULES)
        region["table"] = _molecule_table(top)
        region["n_shown"] = len(top)
        region["rest"] = bool((table["fdr"] <= SIGNIFICANT).sum() > len(top))
        region["tested"] = bool(table["fdr"].notna().any())
        region["bars"], region["images"] = _molecule_pictures(
            segmentation, findings, region["name"], drawn=drawn
        )
        blocks.append(region)
    return blocks


def _molecule_pictures(
    segmentation: Segmentation, findings: RegionFindings, name: str, *, drawn: bool
) -> tuple[Picture, Picture | None]:
    from massgraph import pl
    from massgraph.pl._regions import pictured

    images = drawn and len(pictured(findings, name)) > 0
    bars = pl.molecules(findings, name, n=MOST_MOLECULES, width=BARS_WIDTH)
    text = f"Effects of the molecules that define {name}"
    if not images:
        return embed(bars, text), None
    picture = pl.region_images(segmentation, name, width=IMAGES_WIDTH)
    return embed(bars, text), embed(picture, f"Images of molecules that define {name}")


def _molecule_table(table: pd.DataFrame) -> Table:
    places = digits(table[["mean", "mean_elsewhere"]].to_numpy(dtype=float))
    rows = [
        [
            f"{row['mz']:.4f}",
            count(row["n_ions"]),
            str(row["relations"]) or "–",
            decimal(row["mean"], places),
            decimal(row["mean_elsewhere"], places),
            decimal(row["effect"], 2),
            decimal(row["auc"], 2),
            _rate(row["fdr"]),
        ]
        for _, row in table.iterrows()
    ]
    head = ["m/z", "ions", "connected by", "here", "elsewhere", "effect", "AUC", "FDR"]
    return Table(head, rows, [True, True, False, True, True, True, True, True])


def _rate(fdr: float) -> str:
    """A false discovery rate; a dash where the molecule was not tested."""
    return "< 0.001" if fdr < 0.001 else decimal(fdr, 3)


def _related(findings: RegionFindings, n_families: int) -> dict[str, Any] | None:
    """Families of molecules: the first of each region."""
    table = findings.families
    if table.empty:
        return None
    shown = table[table["family"] <= n_families]
    places = digits(shown["effect"].to_numpy(dtype=float))
    rows = [
        [
            str(row["region"]),
            str(row["direction"]),
            count(row["n_molecules"]),
            str(row["mz"]),
            str(row["relations"]),
            decimal(row["effect"], min(places, 2)),
            _rate(row["fdr"]),
        ]
        for _, row in shown.iterrows()
    ]
    head = ["region", "direction", "molecules", "m/z", "related by", "mean effect", "largest FDR"]
    numeric = [False, False, True, False, False, True, True]
    return {"table": Table(head, rows, numeric), "total": len(table), "shown": len(shown)}


# -------------------------------------------------------------------- balances of adducts


def _balances(
    segmentation: Segmentation, findings: RegionFindings, *, drawn: bool
) -> dict[str, Any] | None:
    from massgraph import pl

    table = findings.balances
    if table.empty:
        return None
    rows = [
        [
            str(row["relation"]),
            count(row["n_pairs"]),
            f"× {np.exp(row['spread']):.2f}" if np.isfinite(row["spread"]) else "–",
            decimal(row["moran"], 2),
        ]
        for _, row in table.iterrows()
    ]
    head = ["pair", "pairs of ions", "typical deviation", "smoothness (Moran's I)"]
    picture = None
    if drawn and np.isfinite(findings.balance_images).any():
        picture = embed(
            pl.balances(segmentation, width=PAGE_WIDTH), "Maps of the balance of adducts"
        )
    return {"table": Table(head, rows, [False, True, True, True]), "picture": picture}


# -------------------------------------------------------------------- labels that were not used


def _agreement(segmentation: Segmentation) -> dict[str, Any]:
    both = np.asarray(pd.notna(segmentation.reference)) & (
        np.asarray(segmentation.label.codes) >= 0
    )
    # A classifier that was taught these labels repeats them: that is no agreement with others.
    taught = segmentation.training is not None and bool(np.any(segmentation.training))
    by_run = [(name, both & (segmentation.run == name)) for name in runs(segmentation)]
    rows = [
        [name, count(pixels.sum()), _rand(segmentation, pixels)]
        for name, pixels in by_run
        if pixels.any()
    ]
    head = ["run", "labelled pixels", "adjusted Rand index"]
    return {
        "n": int(both.sum()),
        "rand": _rand(segmentation, both),
        "taught": taught,
        "by_run": Table(head, rows, [False, True, True]) if len(rows) > 1 else None,
        "table": _crossing(segmentation),
    }


def _rand(segmentation: Segmentation, pixels: Any) -> str:
    if not pixels.any():
        return "–"
    given = np.asarray(segmentation.reference, dtype=object)[pixels].astype(str)
    found = np.asarray(segmentation.label.codes)[pixels]
    return decimal(float(adjusted_rand_score(given, found)), 2)


def _crossing(segmentation: Segmentation) -> Table:
    """Pixels by label (rows) and region (columns), and where most of each label are."""
    crossing = segmentation.confusion()
    crossing = crossing[crossing.sum(axis=1) > 0]
    names = [str(name) for name in crossing.columns]
    many = len(names) > MOST_NAMED_COLUMNS
    # Many names do not fit above their columns.
    short = [name.removeprefix("region ") for name in names] if many else names
    rows = [
        [
            str(label),
            *(count(n) for n in row),
            names[int(row.argmax())],
            f"{100 * row.max() / row.sum():.0f} %",
        ]
        for label, row in zip(crossing.index, crossing.to_numpy(), strict=True)
    ]
    head = ["label", *short, "mostly in", "share"]
    return Table(head, rows, [False, *[True] * len(names), False, True])
