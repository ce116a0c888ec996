"""massgraph: relational graph learning on mass spectra.

Spectra become graphs of peaks joined by named mass differences; a relational graph network
classifies pixels; its class activation maps say which ions, and which families of related ions,
decided.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The function has the name of its module: imported here, it cannot be hidden by it later.
from massgraph.simulate import simulate

if TYPE_CHECKING:
    from massgraph import pl, r
    from massgraph.chemistry import Relations, default_relations, relations_from_masses
    from massgraph.classifier import RGCNClassifier
    from massgraph.discovery import discover_relations
    from massgraph.explain import Explanation
    from massgraph.graph import Graph, build_graph
    from massgraph.io.anndata import from_anndata
    from massgraph.io.imzml import open_imzml, read_imzml
    from massgraph.io.labels import match_labels, read_labels
    from massgraph.io.model import load
    from massgraph.report import write_report
    from massgraph.segmentation import Segmentation
    from massgraph.simulate import Simulation
    from massgraph.spectra import Spectra
    from massgraph.versions import show_versions

# Where each public name lives: importing massgraph stays quick, torch is loaded when needed.
_HOMES = {
    "Explanation": "explain",
    "Graph": "graph",
    "RGCNClassifier": "classifier",
    "Relations": "chemistry",
    "Segmentation": "segmentation",
    "Simulation": "simulate",
    "Spectra": "spectra",
    "build_graph": "graph",
    "default_relations": "chemistry",
    "discover_relations": "discovery",
    "from_anndata": "io.anndata",
    "load": "io.model",
    "match_labels": "io.labels",
    "open_imzml": "io.imzml",
    "read_imzml": "io.imzml",
    "read_labels": "io.labels",
    "relations_from_masses": "chemistry",
    "show_versions": "versions",
    "write_report": "report",
}

__all__ = [
    "Explanation",
    "Graph",
    "RGCNClassifier",
    "Relations",
    "Segmentation",
    "Simulation",
    "Spectra",
    "build_graph",
    "default_relations",
    "discover_relations",
    "from_anndata",
    "load",
    "match_labels",
    "open_imzml",
    "pl",
    "r",
    "read_imzml",
    "read_labels",
    "relations_from_masses",
    "show_versions",
    "simulate",
    "write_report",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("pl", "r"):
        return import_module(f"massgraph.{name}")
    if name not in _HOMES:
        msg = f"module 'massgraph' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"massgraph.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
