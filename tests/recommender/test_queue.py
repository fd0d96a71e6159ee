"""The queue of calls: order, priorities, leaving, interrupting, superseding, and the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled, Closed
from trsr_lite.recommender.queue import INTERRUPTED, Call, CallQueue, Preempted, QueueTimeout
from trsr_lite.testing import wait_until

PATIENCE = 60.0
Queue = CallQueue[Call]


@pytest.fixture
def queue() -> Iterator[Queue]:
    """A queue that is left empty."""
    made = Queue()
    yield made
    assert made.join(PATIENCE)
    assert made.state() == ([], None)


# Calls that are taken


class Caller(threading.Thread):
    """A call in a thread of its own: takes its turn, keeps it until `release`; `outcome` is how it ended."""

    def __init__(self, queue: Queue, log: list[str], name: str, *, priority: str = "normal", **options: Any) -> None:
        super().__init__(daemon=True)
        self.queue, self.log, self.call, self.options = queue, log, Call(name, priority), options
        self.running, self.release = threading.Event(), threading.Event()
        self.outcome: object = None

    def run(self) -> None:
        try:
            with self.queue.take(self.call, **self.options) as call:
                self.log.append(call.name)
                self.running.set()
                with call.stop.telling(self.release.set):
                    self.release.wait(PATIENCE)
                call.stop.check()
            self.outcome = "done"
        except Exception as error:  # noqa: BLE001
            self.outcome = type(error)

    def ended(self) -> object:
        self.join(PATIENCE)
        return self.outcome


Begin = Callable[..., Caller]


@pytest.fixture
def begin(queue: Queue) -> Iterator[Begin]:
    """`begin(name, **options)` starts a caller and waits until it runs or stands in the queue."""
    log: list[str] = []
    callers: list[Caller] = []

    def start(name: str, **options: Any) -> Caller:
        callers.append(caller := Caller(queue, log, name, **options))
        caller.start()
        wait_until(lambda: caller.running.is_set() or caller.call in queue.state()[0] or not caller.is_alive())
        return caller

    yield start
    for caller in callers:
        caller.release.set()
        caller.join(PATIENCE)
        assert not caller.is_alive()


def test_calls_run_one_at_a_time_in_the_order_they_came(begin: Begin) -> None:
    callers = [begin(name) for name in "abcd"]
    for caller in callers:
        assert caller.running.wait(PATIENCE)
        assert caller.log[-1] == caller.call.name
        caller.release.set()
    assert [caller.ended() for caller in callers] == ["done"] * 4


def test_a_more_urgent_call_stops_the_running_one_and_goes_first(begin: Begin) -> None:
    behind = begin("behind", priority="low")
    waiting = begin("waiting", priority="low")
    ahead = begin("ahead")
    assert behind.ended() is Preempted
    assert ahead.running.wait(PATIENCE)
    assert ahead.log == ["behind", "ahead"]
    ahead.release.set()
    assert waiting.running.wait(PATIENCE)


def test_an_equally_urgent_call_stops_nobody(begin: Begin) -> None:
    first, second = begin("first", priority="low"), begin("second", priority="low")
    first.release.set()
    assert first.ended() == "done"
    second.release.set()
    assert second.ended() == "done"


def test_a_call_that_is_cancelled_while_it_waits_leaves_and_disturbs_nobody(begin: Begin) -> None:
    stop = Cancellation()
    running, waiting, last = begin("running"), begin("waiting", cancel=stop), begin("last")
    stop.cancel()
    assert waiting.ended() is Cancelled
    assert running.is_alive() and not last.running.is_set()
    running.release.set()
    assert running.ended() == "done"
    assert last.running.wait(PATIENCE)
    assert last.log == ["running", "last"]


def test_a_call_that_was_cancelled_before_never_runs(queue: Queue) -> None:
    stop = Cancellation()
    stop.cancel()
    with pytest.raises(Cancelled), queue.take(Call(), cancel=stop):
        pytest.fail("it ran")
    with queue.take(Call()):
        pass


def test_stopping_ends_all_that_run_or_wait_and_none_that_come_later(queue: Queue, begin: Begin) -> None:
    callers = [begin(name) for name in "abc"]
    assert queue.stop("cancelled") == ([], True)
    assert [caller.ended() for caller in callers] == [Cancelled] * 3
    assert callers[0].log == ["a"]
    later = begin("later")
    later.release.set()
    assert later.ended() == "done"


def test_closing_stops_the_running_call_and_refuses_the_others(queue: Queue, begin: Begin) -> None:
    running, waiting = begin("running"), begin("waiting")
    assert queue.close()
    assert queue.state()[1] is None
    assert (running.ended(), waiting.ended()) == (Cancelled, Closed)
    with pytest.raises(Closed), queue.take(Call()):
        pytest.fail("it ran")
    with pytest.raises(Closed):
        queue.submit(Call(work=lambda _: pytest.fail("it ran")))
    assert queue.close()


def test_closing_waits_no_longer_than_it_may(queue: Queue) -> None:
    goes_on = threading.Event()
    queue.submit(Call(work=lambda _: goes_on.wait(PATIENCE)))
    wait_until(lambda: queue.state()[1])
    assert not queue.close(0.01)
    goes_on.set()
    assert queue.close(PATIENCE)


def test_a_call_may_close_what_it_runs_on(queue: Queue) -> None:
    with queue.take(Call()) as call:
        assert not queue.close()
        assert call.stop.cancelled
    assert queue.close()


def test_a_call_within_a_call_is_a_bug_and_no_deadlock(queue: Queue) -> None:
    with queue.take(Call()), pytest.raises(RuntimeError, match="callback"), queue.take(Call()):
        pytest.fail("it ran")
    with queue.take(Call()):
        pass


def test_a_call_whose_turn_does_not_come_in_time_leaves(queue: Queue, begin: Begin) -> None:
    running = begin("running")
    with pytest.raises(QueueTimeout), queue.take(Call(), timeout=0.01):
        pytest.fail("it ran")
    running.release.set()
    assert running.ended() == "done"
    with queue.take(Call(), timeout=0.0):
        pass


# Calls that are submitted


class Slow:
    """Work that runs until it is stopped, or until `end` is set."""

    def __init__(self) -> None:
        self.started, self.end = threading.Event(), threading.Event()
        self.runs = 0

    def __call__(self, call: Call) -> str:
        self.runs += 1
        self.started.set()
        while not self.end.wait(0.001):
            call.stop.check()
        return "done"


@pytest.fixture
def ends() -> list[tuple[str, Any]]:
    """Name and result, or the reason of the end, of each call that `submitted` made, in the order in which they end."""
    return []


@pytest.fixture
def submitted(ends: list[tuple[str, Any]]) -> Callable[..., Call]:
    """`submitted(name, priority, work)`: a call to submit, whose work returns its name."""

    def told(call: Call, result: Any, error: BaseException | None) -> None:
        ends.append((call.name, call.stopped if isinstance(error, Cancelled) else error or result))

    def make(name: str, priority: str = "normal", work: Any = None, **more: Any) -> Call:
        return Call(name, priority, work=work or (lambda call: call.name), ended=told, **more)

    return make


def test_the_more_urgent_comes_first_and_equals_keep_their_order(queue: Queue, submitted: Any, ends: Any) -> None:
    with queue.take(Call(priority="high")):
        for number, priority in enumerate(("low", "normal", "high", "low", "high", "normal")):
            queue.submit(submitted(str(number), priority))
    assert queue.join(PATIENCE)
    assert [name for name, _ in ends] == ["2", "4", "1", "5", "0", "3"]


def test_calls_that_wait_end_at_once_and_are_given_back(queue: Queue, submitted: Any, ends: Any) -> None:
    calls = [submitted(str(number), user_id=f"u{number % 2}") for number in range(4)]
    with queue.take(Call()):
        for call in calls:
            queue.submit(call)
        assert queue.stop("cancelled", lambda call: call.user_id == "u1") == ([calls[1], calls[3]], False)
        assert calls[1].stopped == "cancelled"
    assert queue.join(PATIENCE)
    assert ends == [("0", "0"), ("2", "2")]


def test_a_call_that_supersedes_others_takes_their_place_in_the_queue(queue: Queue, submitted: Any, ends: Any) -> None:
    slow, old, other = Slow(), submitted("old", user_id="u1"), submitted("other", user_id="u2")
    queue.submit(submitted("running", work=slow, user_id="u1"))
    assert slow.started.wait(PATIENCE)
    queue.submit(old)
    queue.submit(other)
    gone = queue.submit(submitted("new", user_id="u1"), ends=lambda call: "stale" if call.user_id == "u1" else None)
    assert gone == [(old, "stale")]
    assert queue.join(PATIENCE)
    assert ends == [("running", "stale"), ("other", "other"), ("new", "new")]


def test_a_running_call_ends_with_the_reason(queue: Queue, submitted: Any, ends: Any) -> None:
    slow = Slow()
    queue.submit(submitted("slow", work=slow))
    assert slow.started.wait(PATIENCE)
    assert queue.stop("cancelled", lambda call: call.name == "slow") == ([], True)
    assert queue.join(PATIENCE)
    assert ends == [("slow", "cancelled")]


@pytest.mark.parametrize("taken", [False, True], ids=["submitted", "taken"])
def test_an_interrupted_call_runs_again_before_later_ones(queue: Queue, submitted: Any, ends: Any, taken: bool) -> None:
    slow = Slow()
    queue.submit(submitted("first", "low", slow))
    assert slow.started.wait(PATIENCE)
    queue.submit(submitted("second", "low"))
    slow.started.clear()
    if taken:
        with queue.take(Call("urgent")):
            ends.append(("urgent", "urgent"))
    else:
        queue.submit(submitted("urgent"))
    assert slow.started.wait(PATIENCE)  # again
    slow.end.set()
    assert queue.join(PATIENCE)
    assert ends == [("urgent", "urgent"), ("first", "done"), ("second", "second")]
    assert slow.runs == 2


def test_an_equal_or_less_urgent_call_interrupts_nobody(queue: Queue, submitted: Any, ends: Any) -> None:
    slow = Slow()
    running = submitted("first", "normal", slow)
    queue.submit(running)
    assert slow.started.wait(PATIENCE)
    queue.submit(submitted("second", "normal"))
    queue.submit(submitted("third", "low"))
    assert not running.stop.cancelled
    slow.end.set()
    assert queue.join(PATIENCE)
    assert ends == [("first", "done"), ("second", "second"), ("third", "third")]
    assert slow.runs == 1


def test_an_interrupted_call_that_is_then_stopped_does_not_run_again(queue: Queue, submitted: Any, ends: Any) -> None:
    slow, urgent = Slow(), Slow()
    low = submitted("low", "low", slow)
    queue.submit(low)
    assert slow.started.wait(PATIENCE)
    queue.submit(submitted("urgent", "high", urgent))
    assert urgent.started.wait(PATIENCE)
    assert queue.stop("cancelled", lambda call: call is low) == ([low], False)
    urgent.end.set()
    assert queue.join(PATIENCE)
    assert ends == [("urgent", "done")]
    assert slow.runs == 1


def test_an_interrupted_call_that_is_stopped_before_it_has_ended_does_not_run_again(
    queue: Queue, submitted: Any, ends: Any
) -> None:
    started, goes_on = threading.Event(), threading.Event()

    def work(call: Call) -> None:
        started.set()
        goes_on.wait(PATIENCE)
        call.stop.check()

    low = submitted("low", "low", work)
    queue.submit(low)
    assert started.wait(PATIENCE)
    queue.submit(submitted("urgent", "high"))
    assert low.stopped == INTERRUPTED
    assert queue.stop("cancelled", lambda call: call is low) == ([], True)
    goes_on.set()
    assert queue.join(PATIENCE)
    assert ends == [("low", "cancelled"), ("urgent", "urgent")]


def test_work_that_fails_is_told_and_the_next_call_runs(queue: Queue, submitted: Any, ends: Any) -> None:
    error = LookupError("a bug")

    def fail(_: Call) -> None:
        raise error

    with queue.take(Call()):
        queue.submit(submitted("bad", work=fail))
        queue.submit(submitted("good"))
    assert queue.join(PATIENCE)
    assert ends == [("bad", error), ("good", "good")]


@pytest.mark.parametrize("stopped", [False, True], ids=["done", "stopped"])
def test_what_becomes_of_an_abandoned_call_is_not_told(queue: Queue, submitted: Any, ends: Any, stopped: bool) -> None:
    slow = Slow()
    running = submitted("slow", work=slow)
    queue.submit(running)
    assert slow.started.wait(PATIENCE)
    assert queue.abandon() is running
    assert queue.abandon() is None
    queue.submit(submitted("next"))
    assert queue.join(PATIENCE)
    (running.stop.cancel if stopped else slow.end.set)()
    wait_until(lambda: not running.running)
    assert ends == [("next", "next")]


def test_a_call_for_later_waits_for_its_time_and_stands_in_nobodys_way(queue: Queue, submitted: Any, ends: Any) -> None:
    begun = time.monotonic()
    queue.submit(submitted("later", "low"), after=0.05)
    assert queue.state() == ([], None)
    queue.submit(submitted("now", "low"))
    assert queue.join(PATIENCE)
    assert time.monotonic() - begun >= 0.05
    assert ends == [("now", "now"), ("later", "later")]


def test_the_queues_thread_ends_with_its_last_call(queue: Queue, submitted: Any) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "trsr-lite calls"]

    for _ in range(2):
        queue.submit(submitted("one"))
        assert queue.join(PATIENCE)
        wait_until(lambda: not threads())
    queue.submit(submitted("later"), after=3600.0)
    assert len(threads()) == 1
    queue.close()
    assert threads() == []
