"""Segmentations into regions, with findings made by hand: small, and known to the last number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from massgraph.data.spectra import Spectra
from massgraph.explain.region_findings import RegionFindings
from massgraph.segmentation import Segmentation

MZ = np.array([622.4440, 700.5281, 734.5694, 760.5851, 782.5670, 810.6007])
SHOWN = np.array([0, 1, 3])
PARAMETERS = {
    "n_regions": 4,
    "max_regions": 6,
    "features": "molecules",
    "spatial": True,
    "radius": 1.0,
    "covariance": "shared",
    "run_offsets": False,
    "number_was_given": False,
    "axis_ions": 120,
    "molecules": 6,
    "components": 5,
    "covariance_found": "shared",
    "brightness_given": False,
    "begun": False,
    "neighbours_given": False,
    "peaks_kept": None,
    "field_strength": 1.5,
    "off_tissue": True,
    "polarity": "positive",
    "random_state": 3,
}


def stripes(width: int, height: int) -> np.ndarray:
    """Places of the pixels of an image."""
    y, x = np.mgrid[:height, :width]
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def labels_of(places: np.ndarray, n: int) -> np.ndarray:
    """Stripes from left to right; the last of them is off tissue."""
    share = (places[:, 0] - places[:, 0].min()) / max(np.ptp(places[:, 0]) + 1, 1)
    return np.minimum((share * n).astype(np.int64), n - 1)


def region_segmentation(
    places: np.ndarray | None = None, run: Any = None, n: int = 4, **changes: Any
) -> Segmentation:
    """Regions as stripes, the last one off tissue; the last pixel has no peaks."""
    places = stripes(12, 6) if places is None else np.asarray(places, dtype=float)
    label = labels_of(places, n)
    label[-1] = -1
    matrix = np.random.default_rng(0).gamma(2.0, 1.0, (len(places), MZ.size))
    matrix[-1] = 0
    given = {"run": run} if run is not None else {}
    spectra = Spectra.from_matrix(
        matrix, MZ, coordinates=places, polarity="positive", pixel_size=(20.0, 20.0), **given
    )
    probability = np.full((len(places), n), 0.1 / max(n - 1, 1))
    probability[np.arange(len(places)), np.maximum(label, 0)] = 0.9 if n > 1 else 1.0
    names = [f"region {k + 1}" for k in range(n - 1)] + ["off-tissue"]
    findings = changes.pop("findings", None) or findings_of(label, names, places)
    return Segmentation.from_probability(
        spectra,
        names,
        probability,
        findings=findings,
        parameters=changes.pop("parameters", PARAMETERS),
        versions={"massgraph": "0.1.0"},
        **changes,
    )


def findings_of(label: np.ndarray, names: list[str], places: np.ndarray) -> RegionFindings:
    """What might have been found out of the regions `label`."""
    rng = np.random.default_rng(1)
    maps = {k: np.where(label < 0, -1, coarser(label, len(names), k)) for k in range(2, 7)}
    maps[len(names)] = label
    balance = rng.normal(0, 0.2, (len(label), 2)).astype(np.float32)
    balance[-1] = np.nan
    amounts = rng.gamma(2.0, 1.0, (len(label), SHOWN.size)).astype(np.float32)
    amounts[-1] = 0
    return RegionFindings(
        regions=region_table(label, names),
        molecules=molecule_table(names),
        families=family_table(names),
        selection=selection_table(),
        maps=maps,
        shown=SHOWN,
        images=amounts,
        balances=pd.DataFrame(
            {
                "relation": ["Na-H", "K-H"],
                "n_pairs": [12, 7],
                "spread": [0.5, 0.25],
                "moran": [0.6, -0.1],
            }
        ),
        balance_images=balance,
    )


def coarser(label: np.ndarray, own: int, k: int) -> np.ndarray:
    """Another number of regions: neighbours joined, or the first pixels of the first cut off."""
    if k < own:  # off tissue stays the last
        return np.where(label == own - 1, k - 1, np.minimum(label, k - 2))
    found = np.where(label == own - 1, k - 1, label)
    first = np.flatnonzero(label == 0)
    for more in range(k - own):
        found[first[more::9]] = own - 1 + more
    return found


def region_table(label: np.ndarray, names: list[str]) -> pd.DataFrame:
    n = len(names)
    tissue = np.arange(n) < n - 1
    return pd.DataFrame(
        {
            "region": names,
            "n_pixels": np.bincount(label[label >= 0], minlength=n),
            "run": None,
            "probability": 0.9,
            "separation": np.linspace(2.5, 8.5, n),
            "nearest": [*names[1:], None],
            "stability": np.where(tissue, np.linspace(0.95, 0.35, n), np.nan),
            "n_molecules": np.where(tissue, 2, 0),
            "verdict": [f"verdict on {name}" for name in names],
        }
    )


def molecule_table(names: list[str]) -> pd.DataFrame:
    """Of each region two molecules that define it, one of more and one of less, and others."""
    rows = []
    for k, name in enumerate(names):
        tested = name != "off-tissue"
        for place in range(MZ.size):
            molecule = (place + k) % MZ.size
            rows.append(
                {
                    "region": name,
                    "molecule": molecule,
                    "mz": MZ[molecule],
                    "n_ions": 1 + molecule,
                    "ions": f"{MZ[molecule]:.4f}",
                    "relations": "13C, Na-H" if molecule else "",
                    "mean": 2.0 + 0.1 * place,
                    "mean_elsewhere": 1.0,
                    "effect": (3.0 - 0.4 * place) * (-1) ** place,
                    "direction": "less" if place % 2 else "more",
                    "auc": 0.9 - 0.05 * place,
                    "p_value": 0.001 * (1 + place) if tested else np.nan,
                    "fdr": 0.02 * (1 + place) if tested else np.nan,
                }
            )
    return pd.DataFrame(rows)


def family_table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "region": names[0],
            "family": [1, 2],
            "n_molecules": [2, 3],
            "mz": ["734.5694; 760.5851", "700.5281; 782.5670; 810.6007"],
            "relations": ["C2H2", "CH2, H2"],
            "effect": [1.25, -0.75],
            "direction": ["more", "less"],
            "fdr": [0.03, 0.0004],
        }
    )


def selection_table() -> pd.DataFrame:
    """Four regions are the number with the steepest fall."""
    gain = np.array([np.nan, 900.0, 800.0, 100.0, 60.0, 0.5])
    return pd.DataFrame(
        {
            "n_regions": np.arange(2, 8),
            "log_likelihood": np.nancumsum(gain) - 9000,
            "gain": gain,
            "ratio": [np.nan, 2.0, 10.0, 3.3, 60.0 / 7, np.nan],
            "separation": [np.nan, 7.0, 5.0, 3.0, 2.5, 2.4],
        }
    )
