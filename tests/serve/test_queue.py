"""The queue: who is next, who ends early, and that nobody is lost or worked on twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled
from trsr_lite.serve import queue as queues
from trsr_lite.serve.queue import Full, Job, Queue


def job(name: int | str, priority: str = "normal", work: Any = None, user_id: str = "", **more: Any) -> Job:
    return Job(name, "recommend", priority, user_id, work or (lambda cancel, progress: name), **more)


def quiet(progress: object) -> None:
    pass


def take_all(queue: Queue) -> list[Any]:
    queue.close()
    found = []
    while taken := queue.take():
        found.append(queue.run(taken, quiet)[0])
    return found


def test_the_more_urgent_comes_first_and_equals_keep_their_order() -> None:
    queue = Queue()
    for number, priority in enumerate(("low", "normal", "high", "low", "high", "normal")):
        queue.put(job(number, priority))
    assert take_all(queue) == [2, 4, 1, 5, 0, 3]


def test_no_more_jobs_wait_than_may() -> None:
    queue = Queue()
    for number in range(queues.JOBS):
        queue.put(job(number))
    with pytest.raises(Full):
        queue.put(job("more"))
    assert len(take_all(queue)) == queues.JOBS


def test_no_more_bytes_wait_than_may_but_one_job_always() -> None:
    queue = Queue()
    queue.put(job(1, size=queues.JOBS_BYTES + 1))
    with pytest.raises(Full):
        queue.put(job(2, size=1))
    assert take_all(queue) == [1]


def test_jobs_that_wait_end_at_once_and_are_given_back() -> None:
    queue = Queue()
    jobs = [job(number, user_id=f"u{number % 2}") for number in range(4)]
    for one in jobs:
        queue.put(one)
    assert queue.stop("cancelled", lambda one: one.user_id == "u1") == ([jobs[1], jobs[3]], False)
    assert take_all(queue) == [0, 2]


class Slow:
    """Work that runs until it is cancelled, or until `end` is set."""

    def __init__(self) -> None:
        self.started, self.end = threading.Event(), threading.Event()
        self.runs = 0

    def __call__(self, cancel: Cancellation, progress: object) -> str:
        self.runs += 1
        self.started.set()
        while not self.end.wait(0.001):
            cancel.check()
        return "done"


@pytest.fixture
def worked() -> Iterator[Callable[[Queue], Callable[[], list[Any]]]]:
    """`finish = worked(queue)` works on a queue in a thread; `finish()` ends that: (id, result or reason) in order."""
    finishes: list[Callable[[], list[Any]]] = []

    def start(queue: Queue) -> Callable[[], list[Any]]:
        found: list[tuple[Any, Any]] = []

        def work() -> None:
            while taken := queue.take():
                try:
                    result, done = queue.run(taken, quiet)
                    if done:
                        found.append((taken.id, result))
                except Cancelled:
                    found.append((taken.id, taken.stopped))

        thread = threading.Thread(target=work)
        thread.start()

        def finish() -> list[Any]:
            queue.close()
            thread.join(60)
            assert not thread.is_alive()
            return found

        finishes.append(finish)
        return finish

    yield start
    for finish in finishes:
        finish()


def test_a_running_job_ends_with_the_reason(worked: Any) -> None:
    queue, slow = Queue(), Slow()
    finish = worked(queue)
    queue.put(job(1, work=slow))
    slow.started.wait(60)
    assert queue.stop("cancelled", lambda one: one.id == 1) == ([], True)
    assert finish() == [(1, "cancelled")]


def test_a_more_urgent_job_interrupts_the_running_one_which_then_runs_before_later_ones(worked: Any) -> None:
    queue, slow = Queue(), Slow()
    finish = worked(queue)
    queue.put(job(1, "low", slow))
    slow.started.wait(60)
    queue.put(job(2, "low"))
    slow.started.clear()
    queue.put(job(3, "normal"))
    slow.started.wait(60)  # again
    slow.end.set()
    assert finish() == [(3, 3), (1, "done"), (2, 2)]
    assert slow.runs == 2


def test_an_equal_or_less_urgent_job_interrupts_nobody(worked: Any) -> None:
    queue, slow = Queue(), Slow()
    finish, running = worked(queue), job(1, "normal", slow)
    queue.put(running)
    slow.started.wait(60)
    queue.put(job(2, "normal"))
    queue.put(job(3, "low"))
    assert not running.cancel.cancelled
    slow.end.set()
    assert finish() == [(1, "done"), (2, 2), (3, 3)]
    assert slow.runs == 1


def test_an_interrupted_job_that_is_then_cancelled_does_not_run_again(worked: Any) -> None:
    queue, slow, urgent = Queue(), Slow(), Slow()
    finish = worked(queue)
    queue.put(job(1, "low", slow))
    slow.started.wait(60)
    queue.put(job(2, "high", urgent))
    urgent.started.wait(60)
    gone, running = queue.stop("cancelled", lambda one: one.id == 1)
    assert ([one.id for one in gone], running) == ([1], False)
    urgent.end.set()
    assert finish() == [(2, "done")]
    assert slow.runs == 1


def test_an_interrupted_job_that_is_cancelled_before_it_has_ended_does_not_run_again(worked: Any) -> None:
    queue, started, goes_on = Queue(), threading.Event(), threading.Event()

    def work(cancel: Cancellation, progress: object) -> None:
        started.set()
        goes_on.wait(60)
        cancel.check()

    finish = worked(queue)
    queue.put(job(1, "low", work))
    started.wait(60)
    queue.put(job(2, "high"))
    assert queue.stop("cancelled", lambda one: one.id == 1) == ([], True)
    goes_on.set()
    assert finish() == [(1, "cancelled"), (2, 2)]


@pytest.mark.parametrize("stopped", [False, True], ids=["done", "cancelled"])
def test_what_becomes_of_an_abandoned_job_is_not_answered(worked: Any, stopped: bool) -> None:
    queue, slow = Queue(), Slow()
    finish, running = worked(queue), job(1, work=slow)
    queue.put(running)
    slow.started.wait(60)
    assert queue.abandon() is running
    assert queue.abandon() is None
    assert not queue.knows(1)
    (running.cancel.cancel if stopped else slow.end.set)()
    assert finish() == []


def test_an_id_is_known_until_its_job_is_over(worked: Any) -> None:
    queue, slow = Queue(), Slow()
    finish = worked(queue)
    queue.put(job(1, work=slow))
    slow.started.wait(60)
    queue.put(job("1"))
    assert queue.knows(1) and queue.knows("1") and not queue.knows(2)
    slow.end.set()
    assert finish() == [(1, "done"), ("1", "1")]
    assert not queue.knows(1)
