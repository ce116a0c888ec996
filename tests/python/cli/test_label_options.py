"""Labels on the command line: every file that users bring, and the options that settle it."""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import cli_runs
import massgraph as mg
from cli_runs import Run
from label_builder import LABELS, ROWS, csv, kept, sparse, write, write_image
from massgraph._util.advice import standing_in
from massgraph.cli.inputs import find_labels, inputs
from massgraph.cli.options import add_inputs, add_labels

run, fast_figures = cli_runs.run, cli_runs.fast_figures


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("slide"))


def found(slide: Path, *words: object) -> tuple[list[str | None], list[str]]:
    """What a command reads as labels, and what it says on stderr."""
    parser = argparse.ArgumentParser()
    add_inputs(parser)
    add_labels(parser)
    arguments = parser.parse_args([str(slide), *map(str, words)])
    with warnings.catch_warnings(record=True) as told, standing_in("cli"):
        warnings.simplefilter("always")
        with inputs(arguments) as spectra:
            told.clear()  # of the file itself
            labels = find_labels(arguments, spectra).tolist()
    return labels, [str(one.message) for one in told]


QUIET = {
    "tabular of Galaxy": csv(header="x\ty\tannotation", join="\t"),
    "Excel in Germany": "\ufeff" + csv(header="x;y;label", join=";"),
    "Unicode of Excel": csv(header="x\ty\tlabel", join="\t").encode("utf-16"),
    "SCiLS": "# Exported with SCiLS Lab\n" + csv(header="x;y;label", join=";"),
    "line for Excel": "sep=;\n" + csv(header="x;y;label", join=";"),
    "write.table": '"x" "y" "label"\n'
    + "".join(f'"{n}" {x} {y} "{label}"\n' for n, (x, y, label) in enumerate(ROWS, 1)),
    "run with its ending": csv(
        [(x, y, f"{label},run.imzML") for x, y, label in ROWS], "x,y,label,run"
    ),
}


@pytest.mark.parametrize("name", QUIET)
def test_tables_that_are_read_without_a_word(slide: Path, tmp_path: Path, name: str) -> None:
    assert found(slide, "--labels", write(tmp_path, QUIET[name])) == (LABELS, [])


@pytest.mark.parametrize(
    ("text", "plain", "words", "options", "settled"),
    [
        (
            csv(sparse("nan")),
            kept(),
            "say 'nan' and are read as missing",
            ["--keep-missing"],
            "nan",
        ),
        (
            csv([(x, y, str(i % 3)) for i, (x, y, _) in enumerate(ROWS)]),
            [str(i % 3) for i in range(100)],
            "34 of 100 labels say '0', taken as a class",
            ["--missing", "0"],
            [str(i % 3) if i % 3 else None for i in range(100)],
        ),
        (csv(sparse("none")), "none", "--missing none leaves", ["--missing", "none"], kept()),
        (csv(sparse("-")), "-", "--missing=- leaves them out", ["--missing=-"], kept()),
        (
            csv([(x, y, label + " ") for x, y, label in ROWS[:1]] + ROWS[1:]),
            LABELS,
            "1 label written with spaces",
            ["--label-names", "exact"],
            ["tumour ", *LABELS[1:]],
        ),
        (
            csv([(x - 1, y - 1, label) for x, y, label in ROWS]),
            LABELS,
            "--label-shift 1 1 says so without this warning",
            ["--label-shift", "1", "1"],
            LABELS,
        ),
    ],
    ids=["nan", "0", "none", "-", "spaces", "from 0"],
)
def test_one_warning_and_the_option_that_settles_it(
    slide: Path,
    tmp_path: Path,
    text: str,
    plain: Any,
    words: str,
    options: list[str],
    settled: Any,
) -> None:
    path = write(tmp_path, text)
    labels, told = found(slide, "--labels", path)
    assert labels == ([label or plain for label in kept()] if isinstance(plain, str) else plain)
    assert len(told) == 1
    assert str(path) in told[0]
    assert words in told[0]
    labels, told = found(slide, "--labels", path, *options)
    expected = [label or settled for label in kept()] if isinstance(settled, str) else settled
    assert (labels, told) == (expected, [])


def test_the_option_of_a_refusal_settles_it(slide: Path, tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x + 1, y, label) for x, y, label in ROWS]))
    with pytest.raises(mg.InputError, match="--label-shift -1 0 moves them"):
        found(slide, "--labels", path)
    assert found(slide, "--labels", path, "--label-shift", "-1", "0") == (LABELS, [])


def test_letters_of_two_cases_are_one_class_where_asked(slide: Path, tmp_path: Path) -> None:
    rows = [(x, y, name if i % 3 else name.title()) for i, (x, y, name) in enumerate(ROWS)]
    path = write(tmp_path, csv(rows))
    assert len(Counter(found(slide, "--labels", path)[0])) == 4
    assert found(slide, "--labels", path, "--label-names", "fold") == (LABELS, [])


def test_micrometres_and_shapes(slide: Path, tmp_path: Path) -> None:
    path = write(tmp_path, csv([(x * 20, y * 20, label) for x, y, label in ROWS]))
    assert found(slide, "--labels", path, "--label-pixel-size", "20") == (LABELS, [])
    halves = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, 0], [x + 5, 0], [x + 5, 10], [x, 10], [x, 0]]],
            },
            "properties": {"classification": {"name": name}},
        }
        for x, name in ((0, "tumour"), (5, "stroma"))
    ]
    text = json.dumps({"type": "FeatureCollection", "features": halves})
    shapes = write(tmp_path, text, "a.geojson")
    assert found(slide, "--labels", shapes, "--label-pixel-size", "1") == (LABELS, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            csv([(x * 20, y * 20, label) for x, y, label in ROWS]),
            "--label-pixel-size 20 reads them",
        ),
        (csv([(x + 0.4, y, label) for x, y, label in ROWS]), "write x and y as whole numbers"),
        (csv([(x + 1, y, label) for x, y, label in ROWS]), "--label-shift -1 0 moves them"),
        (b"PK\x03\x04\x14\x00\x06", "an Excel workbook"),
        ('{"type":"FeatureCollection","features":[]}', "--label-pixel-size 1 where the picture"),
        ("index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,3\n", "add a column label"),
        ("Class\tROI\tCentroid X µm\tCentroid Y µm\nTumor\tPolygon\t1\t1\n", "objects as GeoJSON"),
        ("x,y,label\n1,1,a\n1,1,b\n", "line 3"),
        ("x,y,label\n1,1,a\n", "all labels are 'a', a classifier needs at least two classes"),
    ],
)
def test_files_that_are_refused_with_an_option(
    run: Run, slide: Path, tmp_path: Path, text: str | bytes, words: str
) -> None:
    path = write(tmp_path, text)
    outcome = run("fit", slide, "--labels", path, "--out", tmp_path / "out")
    line = outcome.err.splitlines()[-1]
    assert outcome.code == 2
    assert str(path) in line
    assert words in line
    assert not (tmp_path / "out").exists()


def test_a_fit_names_what_it_learns_from(run: Run, slide: Path, tmp_path: Path) -> None:
    """From a table of NA to a model without a class of that name."""
    path = write(tmp_path, csv(sparse("NA")))
    fit = ("fit", slide, "--labels", path, "--effort", "fast", "--json", "--out")
    outcome = run(*fit, tmp_path / "plain")
    assert outcome.code == 0
    assert "50 of 100 labels say 'NA' and are read as missing" in outcome.err
    assert mg.load(tmp_path / "plain" / "model").classes_.tolist() == ["stroma", "tumour"]
    outcome = run(*fit, tmp_path / "kept", "--keep-missing")
    assert "missing" not in outcome.err
    assert "NA" in mg.load(tmp_path / "kept" / "model").classes_


# -------------------------------------------------------------------- a column of h5ad


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "region": [label or "nan" for label in kept()],
            "leiden": pd.Categorical([str(i % 4) for i in range(100)]),
            "gone": ["NA"] * 100,
        },
        index=[f"p{i}" for i in range(100)],
    )
    adata = anndata.AnnData(
        rng.lognormal(size=(100, 3)).astype(np.float32),
        obs=obs,
        var=pd.DataFrame({"mz": [200.0, 300.0, 400.0]}, index=["a", "b", "c"]),
        obsm={"spatial": np.array([(x, y) for x, y, _ in ROWS], dtype=float)},
    )
    adata.write_h5ad(tmp_path / "a.h5ad")
    return tmp_path / "a.h5ad"


def test_a_column_is_read_as_a_table_is(h5ad: Path) -> None:
    labels, told = found(h5ad, "--labels-column", "region")
    assert labels == kept()
    assert len(told) == 1
    assert "a.h5ad, column region: 50 of 100 labels say 'nan' and are read as missing" in told[0]
    assert found(h5ad, "--labels-column", "region", "--keep-missing")[1] == []
    labels, told = found(h5ad, "--labels-column", "leiden")
    assert (set(labels), told) == ({"0", "1", "2", "3"}, [])
    assert set(found(h5ad, "--labels-column", "leiden", "--missing", "0")[0]) == {
        None, "1", "2", "3"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["gone"], "column gone: all labels are missing"),
        (["region", "--label-shift", "1", "1"], "--label-shift is for --labels"),
        (["region", "--label-pixel-size", "2"], "--label-pixel-size is for --labels"),
    ],
)
def test_columns_that_are_refused(
    run: Run, h5ad: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    outcome = run("fit", h5ad, "--out", tmp_path / "out", "--labels-column", *options)
    assert outcome.code == 2
    assert words in outcome.err.splitlines()[-1]


def test_other_words_for_names_are_refused(run: Run) -> None:
    with pytest.raises(SystemExit):
        run("fit", "a.imzML", "--labels", "l.csv", "--out", "o", "--label-names", "loose")
