"""The door to R: Cardinal's objects in, results that Cardinal cannot tell from its own out.

In a Python host, rpy2 starts R::

    import massgraph as mg

    spectra, labels = mg.r.read_rds("image.rds", labels="diagnosis")
    clf = mg.RGCNClassifier().fit(spectra, labels)
    result = mg.r.to_cardinal(clf.segment(spectra, labels), classifier=clf)
    mg.r.write_rds(result, "fit.rds")  # image(readRDS("fit.rds")) in R draws it

In an R host the same code runs inside R's own process, behind the R package massgraph. This needs
rpy2, the extra ``massgraph[r]``; nothing starts R before a function is called.
"""

from __future__ import annotations

from massgraph.r.cardinal import CardinalSpectra, open_cardinal
from massgraph.r.convert import (
    connect,
    converter,
    load_rds,
    pixel_data,
    read_rds,
    to_anndata,
    to_cardinal,
    to_spectra,
    write_rds,
)
from massgraph.r.session import RError

__all__ = [
    "CardinalSpectra",
    "RError",
    "connect",
    "converter",
    "load_rds",
    "open_cardinal",
    "pixel_data",
    "read_rds",
    "to_anndata",
    "to_cardinal",
    "to_spectra",
    "write_rds",
]
