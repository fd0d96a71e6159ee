"""Whose turn it is: order, leaving the queue, the background, and closing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled, Closed
from trsr_lite.recommender.turns import CallQueue, Preempted, QueueTimeout

PATIENCE = 60.0


class Caller(threading.Thread):
    """A call in a thread of its own: takes a turn, keeps it until `release`; `outcome` is how it ended."""

    def __init__(self, turns: CallQueue, log: list[str], name: str, **options: Any) -> None:
        super().__init__(daemon=True)
        self.turns, self.log, self.label, self.options = turns, log, name, options
        self.running, self.release = threading.Event(), threading.Event()
        self.outcome: object = None

    def run(self) -> None:
        try:
            with self.turns.take(**self.options) as stop:
                self.log.append(self.label)
                self.running.set()
                with stop.telling(self.release.set):
                    self.release.wait(PATIENCE)
                stop.check()
            self.outcome = "done"
        except Exception as error:  # noqa: BLE001
            self.outcome = type(error)

    def ended(self) -> object:
        self.join(PATIENCE)
        return self.outcome


@pytest.fixture
def turns() -> CallQueue:
    return CallQueue()


@pytest.fixture
def begin(turns: CallQueue) -> Iterator[Callable[..., Caller]]:
    """`begin(name, **options)` starts a caller and waits until it runs or stands in the queue."""
    log: list[str] = []
    callers: list[Caller] = []

    def start(name: str, **options: Any) -> Caller:
        waiting = len(turns._waiting)
        callers.append(Caller(turns, log, name, **options))
        callers[-1].start()
        while not callers[-1].running.is_set() and len(turns._waiting) == waiting and callers[-1].is_alive():
            pass
        return callers[-1]

    yield start
    for caller in callers:
        caller.release.set()
        caller.join(PATIENCE)
        assert not caller.is_alive()
    assert turns._running is None and turns._waiting == []


def test_calls_run_one_at_a_time_in_the_order_they_came(begin: Callable[..., Caller]) -> None:
    callers = [begin(name) for name in "abcd"]
    for caller in callers:
        assert caller.running.wait(PATIENCE)
        assert caller.log[-1] == caller.label
        caller.release.set()
    assert [caller.ended() for caller in callers] == ["done"] * 4


def test_a_foreground_call_stops_the_background_and_goes_first(begin: Callable[..., Caller]) -> None:
    behind = begin("behind", background=True)
    waiting = begin("waiting", background=True)
    ahead = begin("ahead")
    assert behind.ended() is Preempted
    assert ahead.running.wait(PATIENCE)
    assert ahead.log == ["behind", "ahead"]
    ahead.release.set()
    assert waiting.running.wait(PATIENCE)


def test_a_background_call_stops_nobody(begin: Callable[..., Caller]) -> None:
    first, second = begin("first", background=True), begin("second", background=True)
    first.release.set()
    assert first.ended() == "done"
    second.release.set()
    assert second.ended() == "done"


def test_a_call_that_is_cancelled_while_it_waits_leaves_and_disturbs_nobody(begin: Callable[..., Caller]) -> None:
    stop = Cancellation()
    running, waiting, last = begin("running"), begin("waiting", cancel=stop), begin("last")
    stop.cancel()
    assert waiting.ended() is Cancelled
    assert running.is_alive() and not last.running.is_set()
    running.release.set()
    assert running.ended() == "done"
    assert last.running.wait(PATIENCE)
    assert last.log == ["running", "last"]


def test_a_call_that_was_cancelled_before_never_runs(turns: CallQueue) -> None:
    stop = Cancellation()
    stop.cancel()
    with pytest.raises(Cancelled), turns.take(stop):
        pytest.fail("it ran")
    with turns.take():
        pass


def test_cancelling_stops_all_that_run_or_wait_and_none_that_come_later(
    turns: CallQueue, begin: Callable[..., Caller]
) -> None:
    callers = [begin(name) for name in "abc"]
    turns.cancel()
    assert [caller.ended() for caller in callers] == [Cancelled] * 3
    assert callers[0].log == ["a"]
    later = begin("later")
    later.release.set()
    assert later.ended() == "done"


def test_closing_stops_the_running_call_and_refuses_the_others(turns: CallQueue, begin: Callable[..., Caller]) -> None:
    running, waiting = begin("running"), begin("waiting")
    assert turns.close()
    assert not running.turns._running
    assert (running.ended(), waiting.ended()) == (Cancelled, Closed)
    with pytest.raises(Closed), turns.take():
        pytest.fail("it ran")
    assert turns.close()


def test_a_call_may_close_what_it_runs_on(turns: CallQueue) -> None:
    with turns.take() as stop:
        assert not turns.close()
        assert stop.cancelled
    assert turns.close()


def test_a_call_within_a_call_is_a_bug_and_no_deadlock(turns: CallQueue) -> None:
    with turns.take(), pytest.raises(RuntimeError, match="callback"), turns.take():
        pytest.fail("it ran")
    with turns.take():
        pass


def test_who_waits_with_little_patience_leaves_without_a_turn(turns: CallQueue, begin: Callable[..., Caller]) -> None:
    running = begin("running")
    with pytest.raises(QueueTimeout), turns.take(patience=0.01):
        pytest.fail("it ran")
    running.release.set()
    assert running.ended() == "done"
    with turns.take(patience=0.0):
        pass
