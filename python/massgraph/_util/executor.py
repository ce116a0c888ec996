"""Executors: who does a list of tasks, one after the other or side by side.

Whatever runs them, results come in the order of the tasks, an error says which task it befell, and
nothing that a task computes depends on the others. A cluster is one more class with a `map`.
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
    """Something that does tasks."""

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, name: Name | None = None
    ) -> Iterator[R]:
        """``function(task)`` of each task, in order, as they come.

        Parameters
        ----------
        function
            What to do; it keeps nothing from one task to the next.
        tasks
            Taken one by one by the caller's thread.
        name
            What a task is called in the note that an exception gets (``while fitting fold 2``).
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
        """See `Executor.map`; a task begins when its result is asked for."""
        return map(_Named(function, name), tasks)


class Threads:
    """Some tasks at a time, in threads of this process.

    For what spends its time in compiled code, which lets other threads run.

    Parameters
    ----------
    n
        Number of threads; with one of them tasks run in the caller's.

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
        """See `Executor.map`; one task more than there are threads is held at a time."""
        named, todo = _Named(function, name), iter(tasks)
        first = list(islice(todo, 2))
        # A task by itself gains nothing from a thread, and its warnings would lose their place.
        if self.n == 1 or len(first) < 2:
            yield from map(named, chain(first, todo))
            return
        with ThreadPoolExecutor(self.n) as pool:
            waiting: deque[Future[R]] = deque()
            for task in chain(first, todo):
                waiting.append(pool.submit(named, task))
                if len(waiting) > self.n:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


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
        """See `Executor.map`; what crosses to another process is pickled."""
        from joblib import Parallel, delayed

        work = delayed(_Named(function, name))
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        found: Iterator[R] = parallel(work(task) for task in tasks)
        return found


class _Named:
    """A function whose exceptions say which task they befell."""

    def __init__(self, function: Callable[[Any], Any], name: Name | None) -> None:
        self.function, self.name = function, name

    def __call__(self, task: Any) -> Any:
        try:
            return self.function(task)
        except Exception as error:
            if self.name is not None:
                # `add_note` came with Python 3.11; before that the note is at least kept.
                notes = [*getattr(error, "__notes__", []), f"while {self.name(task)}"]
                error.__notes__ = notes
            raise
