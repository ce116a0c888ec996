"""A whole fit of simulated tissue, augmentation included, beside the same through PyG's RGCNConv.

Run as::

    .venv/bin/python benchmarks/fit.py --epochs 6
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import massgraph as mg


def main() -> None:
    """Print a line for each backend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pixels", type=int, default=300, help="labelled pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--preset", default="default", help="or published")
    arguments = parser.parse_args()
    simulation = mg.simulate("medium", random_state=0)
    labelled = np.flatnonzero([label is not None for label in simulation.labels.tolist()])
    chosen = np.random.default_rng(0).choice(labelled, arguments.pixels, replace=False)
    spectra, labels = simulation.spectra[chosen], simulation.labels[chosen]
    seconds: dict[str, list[float]] = {"auto": [], "torch": [], "pyg": []}
    for _ in range(arguments.repeats + 1):
        for backend, values in seconds.items():
            classifier = mg.RGCNClassifier(
                preset=arguments.preset,
                # Else no network would be trained: what is compared is how they are computed.
                effort="thorough" if arguments.preset == "default" else None,
                backend=backend,
                epochs=arguments.epochs,
                patience=arguments.epochs,
                random_state=0,
            )
            started = time.process_time()
            classifier.fit(spectra, labels)
            values.append(time.process_time() - started)
    seconds = {backend: values[1:] for backend, values in seconds.items()}  # imports in the first
    ours = float(np.median(seconds["auto"]))
    sys.stdout.write(f"{spectra}, {arguments.epochs} epochs, preset {arguments.preset}\n")
    for backend, values in seconds.items():
        median = float(np.median(values))
        sys.stdout.write(f"{backend:6} {median:8.2f} s {median / ours:6.1f} x\n")


if __name__ == "__main__":
    main()
