"""Executors: what runs a list of tasks, one after the other or side by side.

Whatever runs them, results come in the order of the tasks, an error names its task, and no task
depends on another. A cluster is one more class with a `map`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

__all__ = ["Executor", "Joblib", "Serial", "Threads"]

T = TypeVar("T")
R = TypeVar("R")

Name = Callable[[Any], str]


class Executor(Protocol):
    """Runs tasks."""

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, name: Name | None = None
    ) -> Iterator[R]:
        """Yield ``function(task)`` for each task, in order, as results come.

        Parameters
        ----------
        function
            What to do; it must keep nothing from one task to the next.
        tasks
            Taken one by one, in the caller's thread.
        name
            Names a task in the note that an exception gets (``while fitting fold 2``).
        """


class Serial:
    """One task after the other, in the caller's thread.

    Examples
    --------
    >>> from massgraph._util.executor import Serial
    >>> list(Serial().map(abs, [-1, 2]))
    [1, 2]
    """

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, name: Name | None = None
    ) -> Iterator[R]:
        """See `Executor.map`; a task starts when its result is asked for."""
        return map(_Named(function, name), tasks)


class Threads:
    """Several tasks at a time, in threads of this process.

    For work in compiled code, which lets other threads run.

    Parameters
    ----------
    n
        Number of threads; with one, tasks run in the caller's thread.

    Examples
    --------
    >>> from massgraph._util.executor import Threads
    >>> list(Threads(2).map(abs, [-1, 2]))
    [1, 2]
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, name: Name | None = None
    ) -> Iterator[R]:
        """See `Executor.map`; at most one task more than there are threads is held."""
        named, todo = _Named(function, name), iter(tasks)
        first = list(islice(todo, 2))
        # A task by itself gains nothing from a thread, and its warnings would lose their place.
        if self.n == 1 or len(first) < 2:
            yield from map(named, chain(first, todo))
            return
        with ThreadPoolExecutor(self.n) as pool:
            waiting: deque[Future[R]] = deque()
            try:
                for task in chain(first, todo):
                    waiting.append(pool.submit(named, task))
                    # Tasks hold pixels of images larger than memory: none is taken far ahead.
                    if len(waiting) > self.n:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                # After an error or an interrupt what has not begun is not to run any more.
                pool.shutdown(wait=False, cancel_futures=True)


class Joblib:
    """Tasks through joblib, which obeys ``joblib.parallel_config``: processes, Dask, or none.

    Parameters
    ----------
    n_jobs
        As joblib's; None is one, or what ``parallel_config`` says.

    Examples
    --------
    >>> from massgraph._util.executor import Joblib
    >>> list(Joblib().map(abs, [-1, 2]))
    [1, 2]
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, name: Name | None = None
    ) -> Iterator[R]:
        """See `Executor.map`; what goes to another process is pickled."""
        # Imported here: it takes time, and most fits run one task after the other.
        from joblib import Parallel, delayed

        work = delayed(_Named(function, name))
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        found: Iterator[R] = parallel(work(task) for task in tasks)
        return found


class _Named:
    """A function whose exceptions name the task."""

    def __init__(self, function: Callable[[Any], Any], name: Name | None) -> None:
        self.function, self.name = function, name

    def __call__(self, task: Any) -> Any:
        try:
            return self.function(task)
        except Exception as error:
            if self.name is not None:
                # `add_note` came with Python 3.11; before that, the note is at least kept.
                notes = [*getattr(error, "__notes__", []), f"while {self.name(task)}"]
                error.__notes__ = notes
            raise
