"""The number of threads, a single torch thread for small products, and torch's one generator."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["lent_generator", "n_threads", "one_thread"]


class _Users:
    """Number of blocks that are running, and the number of threads before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.before = 1


_USERS = _Users()
_GENERATOR_LOCK = threading.Lock()


def n_threads() -> int:
    """Threads of the compiled part: as many as torch was given (``torch.set_num_threads``).

    Where torch is not loaded, ``OMP_NUM_THREADS``, or one per processor.
    """
    # Not imported for this: building graphs needs no torch, whose import takes seconds.
    torch = sys.modules.get("torch")
    if torch is not None:
        # Within `one_thread` torch says 1, which is meant for its own products alone.
        return _USERS.before if _USERS.count else int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(wanted), 1) if wanted.isdigit() else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread within the block, and give the caller's setting back.

    The products of a peak graph are small: a second thread saves nothing, and where another process
    wants the same core, threads that wait for each other spin (eight times slower, measured). Nor
    does the result depend on the number of threads any more. torch has one number for all threads
    of Python: of several blocks at a time, the last to end restores it.
    """
    import torch

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


@contextmanager
def lent_generator(seed: int | None = None) -> Iterator[None]:
    """Use torch's global generator within the block, and restore its state.

    torch draws first weights from it alone. Fits in several threads take turns, or one would draw
    from what another has seeded. Only the generator of the CPU is touched: ``torch.manual_seed``
    would seed those of all GPUs, too.
    """
    import torch

    with _GENERATOR_LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
