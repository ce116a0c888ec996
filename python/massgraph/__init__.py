"""massgraph: relational graph learning on mass spectra.

Spectra become graphs of peaks joined by named mass differences; a relational graph network
classifies pixels; its class activation maps say which ions, and which families of related ions,
decided.
"""

from __future__ import annotations

from importlib import import_module

from massgraph._version import __version__ as __version__

# Not that of `typing`, whose import takes longer than all the rest, and which Ctrl-C may hit.
TYPE_CHECKING = False

# For editors and type checkers, which do not run `__getattr__`.
if TYPE_CHECKING:
    from typing import Any

    from massgraph import pl, r, tl
    from massgraph._util.errors import InputError
    from massgraph.chem.discovery import discover_relations
    from massgraph.chem.relations import Relations, default_relations, relations_from_masses
    from massgraph.classifier import RGCNClassifier
    from massgraph.data.label_names import clean_labels
    from massgraph.data.sources import SpectraSource
    from massgraph.data.spectra import Spectra
    from massgraph.explain.activation import Explanation
    from massgraph.graph.builder import Graph, build_graph
    from massgraph.io.anndata import from_anndata
    from massgraph.io.formats import read
    from massgraph.io.imzml import open_imzml, read_imzml
    from massgraph.io.labels import match_labels, read_labels
    from massgraph.models import load
    from massgraph.regions import SpatialRegions
    from massgraph.report.page import write_report
    from massgraph.segmentation import Segmentation
    from massgraph.simulation.simulate import Simulation, simulate
    from massgraph.versions import show_versions

# Where each public name lives: importing massgraph stays quick, torch is loaded when needed.
_HOMES = {
    "Explanation": "explain.activation",
    "Graph": "graph.builder",
    "InputError": "_util.errors",
    "RGCNClassifier": "classifier",
    "Relations": "chem.relations",
    "Segmentation": "segmentation",
    "Simulation": "simulation.simulate",
    "SpatialRegions": "regions",
    "Spectra": "data.spectra",
    "SpectraSource": "data.sources",
    "build_graph": "graph.builder",
    "clean_labels": "data.label_names",
    "default_relations": "chem.relations",
    "discover_relations": "chem.discovery",
    "from_anndata": "io.anndata",
    "load": "models",
    "match_labels": "io.labels",
    "open_imzml": "io.imzml",
    "read": "io.formats",
    "read_imzml": "io.imzml",
    "read_labels": "io.labels",
    "relations_from_masses": "chem.relations",
    "show_versions": "versions",
    "simulate": "simulation.simulate",
    "write_report": "report.page",
}

__all__ = [
    "Explanation",
    "Graph",
    "InputError",
    "RGCNClassifier",
    "Relations",
    "Segmentation",
    "Simulation",
    "SpatialRegions",
    "Spectra",
    "SpectraSource",
    "build_graph",
    "clean_labels",
    "default_relations",
    "discover_relations",
    "from_anndata",
    "load",
    "match_labels",
    "open_imzml",
    "pl",
    "r",
    "read",
    "read_imzml",
    "read_labels",
    "relations_from_masses",
    "show_versions",
    "simulate",
    "tl",
    "write_report",
]

# Documented modules, as attributes that are loaded when they are asked for. Users know them by
# these names, wherever the modules live.
_MODULES = {
    "baselines": "evidence.baselines",
    "benchmark": "evidence.benchmark",
    "degrade": "data.degrade",
    "evaluate": "evidence.evaluate",
    "faithfulness": "explain.faithfulness",
    "metrics": "evidence.metrics",
    "objectives": "learn.objectives",
    "pl": "pl",
    "r": "r",
    "splits": "data.splits",
    "streaming": "data.sources",
    "tl": "tl",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(f"massgraph.{_MODULES[name]}")
    elif name in _HOMES:
        value = getattr(import_module(f"massgraph.{_HOMES[name]}"), name)
    else:
        msg = f"module 'massgraph' has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value  # so that Python finds it by itself from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
