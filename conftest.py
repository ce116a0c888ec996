"""Which examples in docstrings run here: those that need R or an extra are told apart."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

# An R that was started stays in the process, with its own BLAS and signal handlers, and changes
# what is tested after it: tests/python/r/test_examples.py runs these in a process of their own.
collect_ignore_glob = ["python/massgraph/r/*"]

NEED_PYG = {
    "massgraph.evidence.benchmark.benchmark",
    "massgraph.evidence.rivals.PygNetwork",
}

COMPILED = "massgraph.nn.compiled."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the examples that need PyTorch Geometric or the compiled library where there is none."""
    from massgraph.native.library import library, status

    for item in items:
        if item.name.startswith(COMPILED):
            reason = f"needs the compiled library: {status()}"
            item.add_marker(pytest.mark.skipif(library() is None, reason=reason))
        if item.name in NEED_PYG:
            # PyTorch Geometric still scripts a helper when it is imported.
            quiet = "ignore:.*torch.jit.script.*:DeprecationWarning"
            item.add_marker(pytest.mark.filterwarnings(quiet))
            missing = find_spec("torch_geometric") is None
            reason = "needs torch-geometric: pip install 'massgraph[pyg]'"
            item.add_marker(pytest.mark.skipif(missing, reason=reason))
