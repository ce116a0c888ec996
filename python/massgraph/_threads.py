"""One torch thread at a time for products that are too small to share out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread within the block, and give the caller's setting back.

    The products of a peak graph are small: a second thread saves nothing, and where another process
    wants the same core, threads that wait for each other spin (eight times slower, measured). The
    result also no longer depends on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
