"""Regions without labels on the simulated scenarios, beside rivals at their best settings.

    python benchmarks/regions.py --out DIR [--scenarios NAME ...] [--seeds N] [--seed FIRST]
        [--rivals python cardinal]

Adjusted Rand index of tissue pixels with the true number of regions given, and the number that is
found without it. Rivals get the settings that are best for the very image, which nobody can know:
what is listed is the most they can reach; a second table has the one setting that is best over all.
Writes scores.csv and tables.md.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

from region_images import scenario
from region_table import RIVALS, Row, rows, write

from massgraph._util.progress import progress
from massgraph.simulation.simulate import PRESETS

SCENARIOS = tuple(name for name in PRESETS if name.startswith("regions"))
VARIANTS = {
    "massgraph, molecules": {},
    "massgraph, ions": {"features": "ions"},
    "massgraph, number found": {"n_regions": "auto"},
}


def main() -> int:
    """Run all scenarios and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=10, help="the first")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=["python"])
    parser.add_argument("--without-own", action="store_true", help="rivals only")
    arguments = parser.parse_args()
    variants = {} if arguments.without_own else VARIANTS
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    images = list(product(seeds, arguments.scenarios))
    found: list[Row] = []
    for seed, name in progress(images, len(images), "finding regions"):
        image = scenario(name, seed)
        found += [
            {"scenario": name, "seed": seed, **row}
            for row in rows(image, variants, arguments.rivals)
        ]
        # After each image: a run of hours that is stopped has its scores.
        write(found, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
