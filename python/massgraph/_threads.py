"""How many threads run, and one torch thread at a time for products too small to share out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["n_threads", "one_thread"]

# What the caller had set before `one_thread` changed it.
_GIVEN: ContextVar[int] = ContextVar("_GIVEN")


def n_threads() -> int:
    """Threads of the compiled part: as many as torch was given (``torch.set_num_threads``).

    Where torch is not loaded, ``OMP_NUM_THREADS``, or one per processor.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        return _GIVEN.get(0) or int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(wanted), 1) if wanted.isdigit() else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread within the block, and give the caller's setting back.

    The products of a peak graph are small: a second thread saves nothing, and where another process
    wants the same core, threads that wait for each other spin (eight times slower, measured). The
    result also no longer depends on the number of threads.
    """
    import torch

    threads = torch.get_num_threads()
    token = _GIVEN.set(n_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _GIVEN.reset(token)
