"""Arguments and words that commands have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from massgraph.cli.inputs import LARGE
from massgraph.io.formats import known_formats

__all__ = [
    "BLOCKWISE",
    "EXIT_CODES",
    "LARGEST_SEED",
    "MODEL",
    "REGION_RESULTS",
    "RESULTS",
    "TABLES",
    "add_choices",
    "add_columns",
    "add_groups",
    "add_inputs",
    "add_labels",
    "add_min_coverage",
    "add_model",
    "add_output",
    "at_least_one",
    "files",
    "number_of_regions",
    "radius",
    "seed",
    "share",
]

LARGEST_SEED = 2**32 - 1  # scikit-learn takes no larger one
LABEL_NAMES = ("tidy", "exact", "fold")  # as massgraph.data.label_names.NAMES, which loads pandas
EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 bad input (one line on stderr says where), 130 interrupted"""
TABLES = "ions.csv, families.csv, family_edges.csv"
RESULTS = f"""writes into DIR, all or nothing:
  report.html            everything on one page
  segmentation.h5ad      classes, probabilities, coverage and activations, for AnnData
  coverage.csv           how much of each run the model knows
  {TABLES}
  figures/               each picture as PNG and PDF"""
REGION_RESULTS = """writes into DIR, all or nothing:
  report.html            everything on one page
  segmentation.h5ad      regions, probabilities, nested maps and tables, for AnnData
  coverage.csv           how much of each run the model knows
  regions.csv            how large and how sure each region is, in words
  molecules.csv          what defines each region, with false discovery rates
  families.csv           molecules that do so together, and are related
  selection.csv          why this number of regions
  figures/               each picture as PNG and PDF"""
MODEL = "  model/                 the fitted model, for other runs"
BLOCKWISE = f"""\
Files of more than {LARGE / 1e6:g} million peaks together are worked on block by block, in little
memory: their segmentation.h5ad holds no matrices, and there are no images of single ions."""


def files() -> str:
    """What an input may be, from the table of formats.

    Examples
    --------
    >>> from massgraph.cli.options import files
    >>> files()
    'imzML or h5ad'
    """
    # Asked when the parser is made, so that registered formats are in the help.
    return " or ".join(one.name for one in known_formats())


def add_inputs(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    """Add the files that are read, and how to read them.

    Parameters
    ----------
    parser
        Of a command.
    nargs
        ``"+"``: at least one file; ``"*"``: any number.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_inputs
    >>> parser = argparse.ArgumentParser()
    >>> add_inputs(parser)
    >>> found = parser.parse_args(["a.imzML", "b.imzML", "--profile", "centroid"])
    >>> [path.name for path in found.input], found.profile, found.ignore_uuid
    (['a.imzML', 'b.imzML'], 'centroid', False)
    """
    parser.add_argument("input", type=Path, nargs=nargs, help=f"{files()} file(s), one per run")
    parser.add_argument(
        "--profile",
        choices=("refuse", "centroid"),
        default="refuse",
        help="what to do with profile spectra (refuse)",
    )
    parser.add_argument(
        "--ignore-uuid",
        action="store_true",
        help="read imzML whose ibd carries another UUID, once you are sure that it belongs to it",
    )
    add_choices(parser)
    add_columns(parser)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add which spectra of a file are read, and what their numbers are.

    Parameters
    ----------
    parser
        Of a command.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_choices
    >>> parser = argparse.ArgumentParser()
    >>> add_choices(parser)
    >>> found = parser.parse_args(["--polarity", "positive", "--kind", "MS2"])
    >>> found.polarity, found.kind, found.integers
    ('positive', 'MS2', None)
    """
    parser.add_argument(
        "--polarity",
        choices=("positive", "negative"),
        help="read the spectra of this polarity; also where the file does not say",
    )
    parser.add_argument(
        "--kind", metavar="KIND", help="kind of spectra to read from imzML: MS1, MS2, SIM ..."
    )
    parser.add_argument(
        "--integers",
        choices=("signed", "unsigned"),
        help="what integers below zero in imzML are: noise (signed) or large counts (unsigned)",
    )
    parser.add_argument(
        "--repeats",
        choices=("refuse", "sum"),
        help="what to do with several spectra at one position of imzML (refuse)",
    )


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add where in a file of tables things are, for files that do not say it by themselves.

    Parameters
    ----------
    parser
        Of a command.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_columns
    >>> parser = argparse.ArgumentParser()
    >>> add_columns(parser)
    >>> parser.parse_args(["--run-column", "sample"]).run_column
    'sample'
    """
    tables = parser.add_argument_group("where things are in an h5ad file")
    tables.add_argument(
        "--mz-column",
        metavar="NAME",
        help="column of var with the m/z, or var_names where they are the names (mz)",
    )
    tables.add_argument("--layer", metavar="NAME", help="layer with the intensities (X)")
    tables.add_argument(
        "--coordinates",
        metavar="KEY",
        help="key of obsm with (x, y), two columns of obs as X,Y, or none (spatial, or x and y)",
    )
    tables.add_argument(
        "--run-column",
        metavar="NAME",
        help="column of obs with the run of each pixel, or none: all are of one run (run)",
    )


def add_groups(parser: argparse.ArgumentParser) -> None:
    """Add which pixels belong together in splits.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_groups
    >>> parser = argparse.ArgumentParser()
    >>> add_groups(parser)
    >>> parser.parse_args(["--group-column", "patient"]).group_column
    'patient'
    """
    parser.add_argument(
        "--group-column",
        metavar="NAME",
        help="column of --labels, or of the h5ad file with --labels-column, with the group of each "
        "labelled pixel: groups are held out whole (runs, or blocks of pixels)",
    )


def add_labels(
    parser: argparse.ArgumentParser, purpose: str | None = None
) -> argparse._MutuallyExclusiveGroup:
    """Add where labels are read from, and return the group of these choices.

    Parameters
    ----------
    parser
        Of a command.
    purpose
        What they are for, where they need not be given; None: one source must be.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_labels
    >>> parser = argparse.ArgumentParser()
    >>> _ = add_labels(parser)
    >>> parser.parse_args(["--labels-column", "region"]).labels_column
    'region'
    """
    # Two sources of labels could contradict each other.
    labels = parser.add_mutually_exclusive_group(required=purpose is None)
    words = "table: x, y, label[, run][, z], or GeoJSON" + (f"; {purpose}" if purpose else "")
    labels.add_argument("--labels", type=Path, help=words)
    holding = " or ".join(one.name for one in known_formats() if one.labels is not None)
    labels.add_argument("--labels-column", metavar="NAME", help=f"column of a {holding} file")
    _add_reading_of_labels(parser)
    return labels


def _add_reading_of_labels(parser: argparse.ArgumentParser) -> None:
    """Add what settles labels that could be read in two ways."""
    parser.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="NAME",
        help="pixels of this label have none, as those of NA, nan, None, unlabelled (may be given "
        "several times)",
    )
    parser.add_argument(
        "--keep-missing", action="store_true", help="NA, nan, unlabelled and their like are classes"
    )
    parser.add_argument(
        "--label-names",
        choices=LABEL_NAMES,
        default="tidy",
        help="tidy: labels that look the same are one; fold: in upper and lower case, too; exact: "
        "to the letter (tidy)",
    )
    parser.add_argument(
        "--label-shift",
        type=int,
        nargs=2,
        metavar=("DX", "DY"),
        help="pixels to add to x and y of the labels: 1 1 for a table that counts from 0",
    )
    parser.add_argument(
        "--label-pixel-size",
        type=float,
        metavar="SIZE",
        help="how wide a pixel of the image is in the file of labels: in micrometres, or in pixels "
        "of the picture that shapes were drawn on",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a fitted model.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_model
    >>> parser = argparse.ArgumentParser()
    >>> add_model(parser)
    >>> parser.parse_args(["results/model"]).model.name
    'model'
    """
    parser.add_argument("model", type=Path, help="the folder results/model of fit or segment")


def add_min_coverage(parser: argparse.ArgumentParser) -> None:
    """Add the coverage below which runs are refused.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_min_coverage
    >>> parser = argparse.ArgumentParser()
    >>> add_min_coverage(parser)
    >>> parser.parse_args(["--min-coverage", "0"]).min_coverage
    0.0
    """
    parser.add_argument(
        "--min-coverage",
        type=share,
        metavar="SHARE",
        help="refuse runs with less of their ion current at ions of the model (its own level; 0 "
        "answers all)",
    )


def add_output(
    parser: argparse.ArgumentParser, default: str | None = None, *, optional: bool = False
) -> None:
    """Add the folder that is written.

    Parameters
    ----------
    parser
        Of a command.
    default
        Its name where none is given; None: one must be given.
    optional
        Whether there may be none, and nothing is written then.

    Examples
    --------
    >>> import argparse
    >>> from massgraph.cli.options import add_output
    >>> parser = argparse.ArgumentParser()
    >>> add_output(parser, default="demo")
    >>> parser.parse_args(["--overwrite"])
    Namespace(out=PosixPath('demo'), overwrite=True)
    """
    parser.add_argument(
        "--out",
        type=Path,
        required=default is None and not optional,
        default=None if default is None else Path(default),
        metavar="DIR",
        help="the folder to make" + (f" ({default or 'none'})" if default or optional else ""),
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing folder of results"
    )


def at_least_one(text: str) -> int:
    """Read a whole number of 1 or more.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> from massgraph.cli.options import at_least_one
    >>> at_least_one("6")
    6
    """
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no whole number of 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def number_of_regions(text: str) -> int | str:
    """Read a whole number of 1 or more, or ``auto``.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> from massgraph.cli.options import number_of_regions
    >>> number_of_regions("auto"), number_of_regions("6")
    ('auto', 6)
    """
    try:
        return text if text == "auto" else at_least_one(text)
    except argparse.ArgumentTypeError as error:
        msg = f"{error}, nor auto"
        raise argparse.ArgumentTypeError(msg) from error


def radius(text: str) -> float:
    """Read the reach of a neighbourhood: 1 pixel or more.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> from massgraph.cli.options import radius
    >>> radius("1.5")
    1.5
    """
    reach = float(text)
    if not 1 <= reach < float("inf"):
        msg = f"{text!r} is below 1 pixel, or no number"
        raise argparse.ArgumentTypeError(msg)
    return reach


def seed(text: str) -> int:
    """Read a seed: a whole number that every generator of random numbers takes.

    Raises
    ------
    argparse.ArgumentTypeError
        Where it is below 0 or does not fit 32 bits.

    Examples
    --------
    >>> from massgraph.cli.options import seed
    >>> seed("7")
    7
    """
    number = int(text)
    if not 0 <= number <= LARGEST_SEED:
        msg = f"{number} is below 0" if number < 0 else f"{number} is above {LARGEST_SEED}"
        raise argparse.ArgumentTypeError(msg)
    return number


def share(text: str) -> float:
    """Read a share: 0 to 1.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> from massgraph.cli.options import share
    >>> share("0.5")
    0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"{text!r} is no share from 0 to 1"
        raise argparse.ArgumentTypeError(msg)
    return value
