"""Executors: results in order, errors that name their task, whoever runs the tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joblib import parallel_config

from massgraph._util.executor import Executor, Joblib, Serial, Threads

ALL = pytest.mark.parametrize(
    "executor",
    [Serial(), Threads(1), Threads(2), Joblib(), Joblib(n_jobs=2)],
    ids=["serial", "one thread", "threads", "joblib", "joblib with two jobs"],
)


def slowest_first(number: int) -> int:
    time.sleep(0.02 * max(3 - number, 0))
    return number**2


def broken(number: int) -> int:
    if number == 2:
        msg = "two is one too many"
        raise ValueError(msg)
    return number


def named(task: Any) -> str:
    return f"counting {task}"


@ALL
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_tasks(executor: Executor, n: int) -> None:
    found = executor.map(slowest_first, iter(range(n)), name=named)
    assert list(found) == [number**2 for number in range(n)]


@ALL
def test_an_error_says_which_task_it_befell(executor: Executor) -> None:
    with pytest.raises(ValueError, match="two is one too many") as caught:
        list(executor.map(broken, range(5), name=named))
    assert caught.value.__notes__ == ["while counting 2"]


@ALL
def test_without_names_an_error_is_as_it_was(executor: Executor) -> None:
    with pytest.raises(ValueError, match="two is one too many") as caught:
        list(executor.map(broken, range(5)))
    assert not hasattr(caught.value, "__notes__")


def test_an_error_tells_the_way_out() -> None:
    """Of an executor within another, from the inside."""

    def inner(_: str) -> list[int]:
        return list(Serial().map(broken, [2], name=named))

    with pytest.raises(ValueError, match="two is one too many") as caught:
        list(Threads(2).map(inner, ["a", "b"], name=lambda task: f"reading file {task}"))
    assert caught.value.__notes__ == ["while counting 2", "while reading file a"]


@pytest.mark.parametrize("executor", [Serial(), Threads(2)])
def test_results_before_the_error_are_given(executor: Executor) -> None:
    found = executor.map(broken, range(5))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="two is one too many"):
        next(found)


# -------------------------------------------------------------------- when tasks are taken


class Counted:
    """Tasks that note how many were taken, and by whom."""

    def __init__(self, n: int) -> None:
        self.n, self.taken, self.threads = n, 0, set[int]()

    def __iter__(self) -> Iterator[int]:
        for number in range(self.n):
            self.taken += 1
            self.threads.add(threading.get_ident())
            yield number


@pytest.mark.parametrize(("executor", "held"), [(Serial(), 1), (Threads(2), 3), (Threads(4), 5)])
def test_few_tasks_are_held_at_a_time(executor: Executor, held: int) -> None:
    """Tasks may be parts of an image that does not fit into the memory."""
    tasks = Counted(50)
    found = executor.map(abs, tasks)
    for done in range(10):
        assert next(found) == done
        assert tasks.taken == done + held
    assert tasks.threads == {threading.get_ident()}


def test_after_an_error_no_task_is_begun() -> None:
    tasks = Counted(50)
    with pytest.raises(ValueError, match="two is one too many"):
        list(Threads(2).map(broken, tasks))
    assert tasks.taken < 10


def test_threads_run_tasks_side_by_side() -> None:
    """Each of two waits until the other has come."""
    together = threading.Barrier(2, timeout=30)
    assert len(list(Threads(2).map(lambda _: together.wait(), range(4)))) == 4


@pytest.mark.parametrize(
    ("executor", "tasks"), [(Threads(1), [1, 2]), (Threads(2), [1]), (Joblib(), [1, 2])]
)
def test_what_gains_nothing_runs_in_the_thread_of_the_caller(
    executor: Executor, tasks: list[int]
) -> None:
    """So that a warning points to the caller's line."""
    found = set(executor.map(lambda _: threading.get_ident(), tasks))
    assert found == {threading.get_ident()}


# -------------------------------------------------------------------- joblib


def test_joblib_obeys_its_configuration() -> None:
    together = threading.Barrier(2, timeout=30)
    with parallel_config(backend="threading", n_jobs=2):
        found = list(Joblib().map(lambda n: (n, together.wait())[0], range(4)))
    assert found == [0, 1, 2, 3]
    with parallel_config(backend="threading", n_jobs=1):
        (thread,) = set(Joblib().map(lambda _: threading.get_ident(), range(4)))
    assert thread == threading.get_ident()
