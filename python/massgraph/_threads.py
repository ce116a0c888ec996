"""One torch thread at a time for products that are too small to share out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


class _Users:
    """How many blocks are running, and what the number of threads was before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.before = 1


_USERS = _Users()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread within the block, and give the caller's setting back.

    The products of a peak graph are small: a second thread saves nothing, and where another process
    wants the same core, threads that wait for each other spin (eight times slower, measured). The
    result also no longer depends on the number of threads. torch has one number for all threads of
    Python: of several blocks at a time, the last one to end gives it back.
    """
    with _USERS.lock:
        if _USERS.count == 0:
            _USERS.before = torch.get_num_threads()
        _USERS.count += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _USERS.lock:
            _USERS.count -= 1
            if _USERS.count == 0:
                torch.set_num_threads(_USERS.before)
