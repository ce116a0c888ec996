"""Discovery of enriched mass differences, and what it must not find."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from massgraph.chem import ion_pairs as _ion_pairs
from massgraph.chem.discovery import (
    COLUMNS,
    _benjamini_hochberg,
    _combinations,
    _false_discovery,
    discover_relations,
    relation_enrichment,
)
from massgraph.chem.relations import (
    default_relations,
    formula_mass,
    published_relations,
    relations_from_masses,
)
from massgraph.data.spectra import Spectra

QUICK = {"max_mass": 80.0, "n_null": 80}
PROTON = formula_mass("H") - 5.4858e-4


def image_of(masses: np.ndarray, polarity: str | None = "positive", n_pixels: int = 3) -> Spectra:
    """Pixels that all show the same ions."""
    masses = np.unique(masses)
    return Spectra.from_matrix(np.ones((n_pixels, masses.size)), masses, polarity=polarity)


def random_ions(rng: np.random.Generator, n: int = 500) -> np.ndarray:
    """Ions at random nominal masses whose mass defects are independent, as those of lipids."""
    nominal = rng.integers(400, 1200, n)
    return nominal * 1.0007 + rng.normal(0, 0.08, n)


PLANTED = {"13C": 1.0033548, "H2": 2.0156501, "Na-H": 21.9819443, "C2H4": 28.0313001}


def family_ions(rng: np.random.Generator, n_molecules: int = 160) -> np.ndarray:
    """Random molecules, each with some of its planted partners, 1 ppm off."""
    molecules = rng.integers(400, 1100, n_molecules) * 1.0007 + rng.normal(0, 0.08, n_molecules)
    partners = [molecules]
    for mass in PLANTED.values():
        partners.append(molecules[rng.random(n_molecules) < 0.4] + mass)
    ions = np.concatenate(partners)
    return np.unique(ions * (1 + rng.normal(0, 1e-6, ions.size)))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return discover_relations(image_of(family_ions(np.random.default_rng(3))), **QUICK)


class TestFinding:
    def test_planted_relations_come_first(self, table):
        assert set(PLANTED) <= set(table["name"][:6])
        planted = table[table["name"].isin(PLANTED)]
        assert (planted["enrichment"] > 4).all()
        assert (planted["q_value"] < 0.01).all()

    def test_others_are_sums_and_differences_of_the_planted(self, table):
        steps = [0.0, *PLANTED.values()]
        true = np.abs(np.subtract.outer(steps, steps)).ravel()
        distance = np.abs(table["mass"].to_numpy()[:, None] - true).min(axis=1)
        # At a false discovery rate of 5 %, one of these few rows may be a chance one.
        assert np.count_nonzero(distance > 2e-3) <= 1

    def test_masses_are_refined(self, table):
        known = default_relations("positive")
        for row in table[table["formula"] != ""].itertuples():
            assert row.mass == pytest.approx(known.masses[known.index(row.name)], abs=1.5e-3)

    def test_unnamed_are_read_as_combinations(self, table):
        unnamed = table[table["formula"] == ""].set_index("combination")
        assert "C2H4 - 13C" in unnamed.index
        assert unnamed.loc["C2H4 - 13C", "mass"] == pytest.approx(27.0279, abs=2e-3)
        assert (table.loc[table["formula"] != "", "combination"] == "").all()

    def test_table_is_well_formed(self, table):
        assert list(table.columns) == list(COLUMNS)
        assert table["name"].is_unique
        assert (table["name"].str.len() > 0).all()
        assert table["p_value"].is_monotonic_increasing
        assert table["q_value"].is_monotonic_increasing
        assert table["q_value"].between(0, 0.05).all()
        assert table["mass"].between(0.5, 80.1).all()
        assert (table["n_pairs"] >= 5).all()
        np.testing.assert_allclose(table["enrichment"], table["n_pairs"] / table["expected"])
        assert (table["z"] > 0).all()
        assert list(table.index) == list(range(len(table)))

    def test_rows_do_not_overlap(self, table):
        width = 3e-6 * 400
        assert np.diff(np.sort(table["mass"])).min() > width

    def test_result_makes_relations(self, table):
        relations = relations_from_masses(dict(zip(table["name"], table["mass"], strict=True)))
        assert len(relations) == len(table)
        np.testing.assert_array_equal(relations.masses, table["mass"])

    def test_seed_decides(self):
        spectra = image_of(family_ions(np.random.default_rng(4)))
        options = {"max_mass": 40.0, "n_null": 40}
        first = discover_relations(spectra, **options, random_state=1)
        pd.testing.assert_frame_equal(first, discover_relations(spectra, **options, random_state=1))
        other = discover_relations(spectra, **options, random_state=2)
        assert not first.equals(other)
        assert set(PLANTED) <= set(first["name"]) & set(other["name"])

    def test_global_random_state_is_untouched(self):
        np.random.seed(0)  # noqa: NPY002 (the legacy state is what must not move)
        expected = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        discover_relations(image_of(random_ions(np.random.default_rng(0), 60)), **QUICK)
        assert np.random.random() == expected  # noqa: NPY002

    def test_spectra_are_left_as_they_are(self):
        rng = np.random.default_rng(0)
        spectra = image_of(random_ions(rng, 80))
        offsets, mz = spectra.offsets.copy(), spectra.mz.copy()
        discover_relations(spectra, **QUICK)
        np.testing.assert_array_equal(spectra.offsets, offsets)
        np.testing.assert_array_equal(spectra.mz, mz)

    def test_ragged_peaks_that_scatter_are_aligned_first(self):
        rng = np.random.default_rng(5)
        ions = np.unique(family_ions(rng))
        ions = ions[np.diff(ions, prepend=0) > 0.02]
        rows = [np.sort(ions * (1 + rng.normal(0, 5e-7, ions.size))) for _ in range(6)]
        spectra = Spectra(
            mz=np.concatenate(rows),
            intensity=np.ones(6 * ions.size, dtype=np.float32),
            offsets=np.arange(7) * ions.size,
            polarity="positive",
        )
        table = discover_relations(spectra, max_mass=40.0, n_null=40)
        assert set(PLANTED) <= set(table["name"])

    def test_polarity_names(self):
        ions = family_ions(np.random.default_rng(3))
        unknown = discover_relations(image_of(ions, None), max_mass=40.0, n_null=40)
        assert "C2H4" in set(unknown["name"])


def _odd_even(rng: np.random.Generator) -> np.ndarray:
    nominal = rng.integers(400, 1200, 500)
    return nominal * 1.0007 + 0.1 * (nominal % 2) + rng.normal(0, 0.02, 500)


def _steps(rng: np.random.Generator) -> np.ndarray:
    """Unit-mass envelopes, each of one mass defect out of three."""
    nominal = np.sort(rng.choice(np.arange(400, 1200), 500, replace=False))
    envelope = np.cumsum(rng.random(500) < 0.2)
    return np.round(nominal * 1.0005 / 0.05) * 0.05 + rng.integers(-1, 2, 501)[envelope] * 0.05


NULLS = {
    "independent defects": random_ions,
    "no defect at all": lambda rng: rng.uniform(400, 1200, 500),
    "integers": lambda rng: rng.choice(np.arange(400.0, 1200), 500, replace=False),
    "integers and 0.39": lambda rng: rng.choice(np.arange(400, 1200), 500, replace=False) + 0.39,
    "peptide grid": lambda rng: rng.choice(np.arange(400, 1200), 500, replace=False) * 1.000495,
    "peptides": lambda rng: rng.integers(400, 1200, 500) * 1.000495 + rng.normal(0, 0.03, 500),
    "bins of 0.05": lambda rng: (
        np.round(rng.choice(np.arange(400, 1200), 500, replace=False) * 1.0005 / 0.05) * 0.05
    ),
    "bins of 0.01": lambda rng: np.round(random_ions(rng), 2),
    "odd masses with other defects": _odd_even,
    "two trends": lambda rng: (
        rng.integers(400, 1200, 500) * rng.choice([1.0005, 1.0009], 500) + rng.normal(0, 0.02, 500)
    ),
    "steps of 0.05": _steps,
}


class TestFindingNothing:
    @pytest.mark.parametrize("kind", NULLS)
    def test_masses_without_relations(self, kind):
        for seed in range(2):
            masses = NULLS[kind](np.random.default_rng(seed))
            # at a few permutations, an FDR that none of them may exceed
            table = discover_relations(image_of(masses), **QUICK, tolerance=5.0, fdr=0.025)
            assert table.empty, (kind, seed, table)
            assert list(table.columns) == list(COLUMNS)

    def test_two_molecules_seen_many_times_are_one_pair(self):
        # 40 random molecules with isotopes and salts: the difference of any two of them comes back
        # up to nine times. Only sums and differences of isotopes and salts may be found.
        rng = np.random.default_rng(1)
        molecules = rng.integers(500, 900, 40) * 1.0006 + rng.normal(0, 0.08, 40)
        within = [s + 1.0033548 * i for s in (0, 21.981944, 37.955882) for i in (0, 1, 2)]
        ions = (molecules[:, None] + np.array(within)).ravel()
        table = discover_relations(image_of(ions), max_mass=150.0, n_null=80)
        assert len(table) > 5
        true = np.abs(np.subtract.outer(within, within)).ravel()
        distance = np.abs(table["mass"].to_numpy()[:, None] - true).min(axis=1)
        assert distance.max() < 3e-3

    def test_split_peaks_are_one_ion(self):
        ions = random_ions(np.random.default_rng(2), 300)
        split = np.concatenate((ions, ions * (1 + 4e-6), ions * (1 - 4e-6)))
        assert discover_relations(image_of(split), **QUICK).empty

    @pytest.mark.parametrize("lobe", [1.2e-5, 3e-5])
    def test_side_lobes_do_not_repeat_a_pair(self, lobe):
        ions = random_ions(np.random.default_rng(2), 200)
        lobes = np.concatenate([ions * (1 + k * lobe) for k in (-2, -1, 0, 1, 2)])
        assert discover_relations(image_of(lobes), **QUICK, fdr=0.025).empty

    def test_ions_of_different_pixels_are_no_pair(self):
        # the same lipids, each ion in pixels of its own: nothing is found together
        ions = np.unique(family_ions(np.random.default_rng(3)))[:200]
        spectra = Spectra.from_matrix(np.repeat(np.eye(200), 2, axis=0), ions)
        assert discover_relations(spectra, **QUICK, min_frequency=0.0).empty

    @pytest.mark.parametrize("n_ions", [0, 1, 2, 10])
    def test_few_ions(self, n_ions):
        masses = 500 + 14.01565 * np.arange(n_ions)
        spectra = Spectra.from_matrix(np.ones((2, n_ions)), masses, polarity="positive")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = discover_relations(spectra, **QUICK)
        assert list(table.columns) == list(COLUMNS)
        assert len(table) <= 5

    def test_no_pixels(self):
        empty = Spectra(mz=np.empty(0), intensity=np.empty(0), offsets=np.zeros(1))
        assert discover_relations(empty, **QUICK).empty
        assert relation_enrichment(empty, published_relations())["n_pairs"].sum() == 0


class TestEnrichment:
    def test_planted_and_absent(self):
        spectra = image_of(family_ions(np.random.default_rng(3)))
        relations = relations_from_masses({"CH2 x 2": 28.0313, "none": 28.2, "13C": 1.0033548})
        table = relation_enrichment(spectra, relations, n_null=60)
        assert list(table["name"]) == ["CH2 x 2", "none", "13C"]
        enrichment = table.set_index("name")["enrichment"]
        assert enrichment["CH2 x 2"] > 4
        assert enrichment["13C"] > 4
        assert enrichment["none"] < 3
        assert table.set_index("name")["q_value"]["none"] > 0.05

    def test_random_ions_are_at_chance(self):
        spectra = image_of(random_ions(np.random.default_rng(7), 800))
        table = relation_enrichment(spectra, default_relations("positive"), tolerance=5.0)
        assert 0.7 < table["n_pairs"].sum() / table["expected"].sum() < 1.3
        assert (table["q_value"] > 0.05).all()

    def test_counts_are_those_of_a_plain_loop(self):
        rng = np.random.default_rng(8)
        ions = np.unique(random_ions(rng, 120))
        ions = ions[np.diff(ions, prepend=0) > 0.2]
        relations = relations_from_masses({f"r{k}": k + 0.01 for k in range(3, 20)})
        table = relation_enrichment(
            image_of(ions), relations, tolerance=0.05, tolerance_unit="Da", n_null=40
        )
        repeats = default_relations("positive").select(_ion_pairs.REPEATS).masses

        def has(mass: float) -> bool:
            return bool((np.abs(ions - mass) <= 0.05).any())

        for relation, found in zip(relations.masses, table["n_pairs"], strict=True):
            # windows lie on a grid of a quarter of the tolerance
            centre = 0.5 + np.round((relation - 0.5) / 0.0125) * 0.0125
            pairs = [(a, b) for a in ions for b in ions if -0.05 <= b - a - centre < 0.05 and b > a]
            first = [
                (a, b) for a, b in pairs if not any(has(a - e) and has(b - e) for e in repeats)
            ]
            assert found == len(first)

    def test_light_relation_is_refused(self):
        spectra = image_of(random_ions(np.random.default_rng(0), 50))
        with pytest.raises(ValueError, match="'CH4-O' is below"):
            relation_enrichment(spectra, relations_from_masses({"CH4-O": 0.0364}))


class TestNull:
    @pytest.fixture
    def pairs(self) -> _ion_pairs.IonPairs:
        return _ion_pairs.pair_ions(
            image_of(family_ions(np.random.default_rng(0))),
            max_mass=50.0,
            tolerance=3.0,
            tolerance_unit="ppm",
            min_frequency=0.0,
            max_ions=2000,
        )

    @pytest.mark.parametrize("trend", [False, True])
    def test_redraw_permutes_defects_and_keeps_nominal_masses(self, pairs, trend):
        slope = pairs.slope if trend else 0.0
        drawn = pairs.redraw(slope, np.random.default_rng(0))
        assert np.abs(drawn - pairs.mz).max() <= 0.5
        if not trend:
            np.testing.assert_allclose(np.sort(drawn % 1), np.sort(pairs.mz % 1), atol=1e-9)
        assert (np.abs(drawn - pairs.mz) > 1e-6).mean() > 0.8

    def test_redraw_keeps_a_grid(self):
        for masses in (np.arange(400.0, 900), np.arange(400, 900) + 0.39):
            pairs = _ion_pairs.pair_ions(
                image_of(masses),
                max_mass=50.0,
                tolerance=3.0,
                tolerance_unit="ppm",
                min_frequency=0.0,
                max_ions=2000,
            )
            assert pairs.slope == 0
            drawn = pairs.redraw(0.0, np.random.default_rng(0))
            np.testing.assert_allclose(drawn, pairs.mz, atol=1e-9)

    @pytest.mark.parametrize("slope", [0.0, 0.000495, 0.0007])
    def test_slope_is_found(self, slope):
        masses = np.arange(400, 900) * (1 + slope)
        assert _ion_pairs._defect_slope(masses) == pytest.approx(slope / (1 + slope), abs=1e-6)

    def test_most_frequent_ions_are_kept(self):
        matrix = np.ones((10, 6))
        matrix[:6, 1] = 0
        matrix[:9, 3] = 0
        spectra = Spectra.from_matrix(matrix, 500.0 + 20 * np.arange(6))
        options = {"max_mass": 50.0, "tolerance": 3.0, "tolerance_unit": "ppm"}
        kept = _ion_pairs.pair_ions(spectra, **options, min_frequency=0.0, max_ions=5).mz
        assert kept.tolist() == [500, 520, 540, 580, 600]  # m/z 560 is in one pixel only
        kept = _ion_pairs.pair_ions(spectra, **options, min_frequency=0.0, max_ions=4).mz
        assert kept.tolist() == [500, 540, 580, 600]
        kept = _ion_pairs.pair_ions(spectra, **options, min_frequency=0.5, max_ions=9).mz
        assert kept.tolist() == [500, 540, 580, 600]

    def test_false_discovery_is_counted(self):
        score = np.array([9.0, 5.0, 1.0])
        drawn = [np.array([6.0, 2.0, 0.5]), np.array([2.0])]
        np.testing.assert_allclose(
            _false_discovery(score, drawn, n_draws=10), [1 / 10, 2 / 20, 3 / 30]
        )
        assert _false_discovery(score, [np.full(100, 10.0)], n_draws=10).tolist() == [1, 1, 1]

    def test_benjamini_hochberg(self):
        np.testing.assert_allclose(
            _benjamini_hochberg(np.array([0.04, 0.01, 0.03, 0.9])),
            [4 / 75, 0.04, 4 / 75, 0.9],
        )

    def test_combinations(self):
        combined = _combinations({"a": 2.0, "b": 3.0})
        assert combined == {"2 a": 4.0, "b + a": 5.0, "b - a": 1.0, "2 b": 6.0}


class TestBadParameters:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fdr": 0.0}, "fdr 0.0"),
            ({"fdr": 1.5}, "fdr 1.5"),
            ({"fdr": float("nan")}, "fdr nan"),
            ({"min_frequency": -0.1}, "min_frequency -0.1"),
            ({"min_enrichment": 0.5}, "min_enrichment 0.5"),
            ({"min_pairs": 0}, "min_pairs 0"),
            ({"n_null": 10}, "n_null 10"),
            ({"max_mass": 0.2}, "max_mass 0.2"),
            ({"max_mass": float("inf")}, "max_mass inf"),
            ({"max_ions": 1}, "max_ions 1"),
            ({"tolerance": 0.0}, "tolerance 0.0 ppm"),
            ({"tolerance": 3.0, "tolerance_unit": "mDa"}, "'mDa'"),
            ({"tolerance": 0.5, "tolerance_unit": "Da"}, "0.5 Da.*at most 0.1"),
            ({"tolerance": 1e-4}, "too narrow"),
        ],
    )
    def test_refused(self, options, message):
        spectra = image_of(random_ions(np.random.default_rng(0), 30))
        with pytest.raises(ValueError, match=message):
            discover_relations(spectra, **options)


def kidney(shared_data) -> Spectra:
    parser = pytest.importorskip("pyimzml.ImzMLParser")
    path = shared_data / "kidney_timstof_neg" / "VAN0025_LK_neg_top600.imzML"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = parser.ImzMLParser(str(path))
        pixels = [reader.getspectrum(index) for index in range(len(reader.coordinates))]
        reader.m.close()
    orders = [np.argsort(mz) for mz, _ in pixels]
    return Spectra(
        mz=np.concatenate([pixel[0][order] for pixel, order in zip(pixels, orders, strict=True)]),
        intensity=np.concatenate(
            [pixel[1][order] for pixel, order in zip(pixels, orders, strict=True)]
        ),
        offsets=np.cumsum([0] + [len(order) for order in orders]),
        polarity="negative",
    )


@pytest.mark.data
class TestRealData:
    def test_unit_masses_have_nothing(self, shared_data):
        with np.load(shared_data / "bladder_tma_unitmass" / "tma1.npz") as data:
            spectra = Spectra.from_matrix(data["X"], data["mz"], polarity="positive")
        assert discover_relations(spectra, n_null=80).empty
        assert discover_relations(spectra, n_null=80, tolerance=10.0, random_state=1).empty

    def test_kidney(self, shared_data):
        spectra = kidney(shared_data)
        table = discover_relations(spectra, n_null=100).set_index("name")
        assert {"13C", "CH2", "C2H4", "C2H2", "H2"} <= set(table.index)
        assert 3 < table.loc["13C", "enrichment"] < 9
        assert not {"K-H", "K-Na"} & set(table.index)
        common = default_relations("negative").select(
            ["13C", "CH2", "H2", "C2H4", "C2H2", "Na-H", "H2O", "CO2", "O"]
        )
        # measured elsewhere, at 3 mDa: 3.5 to 4.6
        pooled = relation_enrichment(spectra, common)
        assert 3 < pooled["n_pairs"].sum() / pooled["expected"].sum() < 6

    def test_orbitrap_bladder(self, shared_data):
        import scipy.sparse as sp

        with np.load(shared_data / "bladder_orbitrap_pos" / "bladder.npz") as data:
            parts = (data["data"], data["indices"], data["indptr"])
            matrix = sp.csr_matrix(parts, shape=tuple(data["shape"]))[:3000]
            spectra = Spectra.from_matrix(matrix, data["mz"], polarity="positive")
        table = discover_relations(spectra, n_null=100, min_frequency=0.0)
        assert {"13C", "C2H4", "Na-H"} <= set(table["name"])

    def test_breast_tumour(self, shared_data):
        with np.load(shared_data / "breast_tumour_pos" / "tumor2.npz") as data:
            spectra = Spectra.from_matrix(data["X"], data["mz"], polarity="positive")
        table = discover_relations(spectra, n_null=100)
        assert {"H2", "CH2", "C2H4"} <= set(table["name"])
