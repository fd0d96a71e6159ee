"""One queue of calls: who is next, who gives way, and who ends early.

Invariant: one call runs at a time: the most urgent, and of those the oldest. A more urgent call interrupts the running
one: a submitted call then waits in its old place, a taken one ends with `Preempted`. The end of a submitted call is
told once, unless the call was stopped while it waited, or abandoned. No lock is held while a call runs, is stopped, or
ends. The queue has at most one thread, which lives only while a submitted call waits or runs.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import Cancelled, Closed
from trsr_lite.io.process import Owner

PRIORITIES = ("high", "normal", "low")
INTERRUPTED = "interrupted"


class QueueTimeout(Exception):
    """The call's turn did not come in time."""


class Preempted(Cancelled):
    """The call was interrupted by a more urgent one; it may try again."""


@dataclass(eq=False)
class Call:
    """One call on the models: taken by a thread that does the work itself, or submitted with its `work`.

    Attributes
    ----------
    name: what it does, such as `recommend`.
    priority: `high`, `normal` or `low`.
    user_id: whose it is; empty for nobody's.
    work: what the queue's thread runs, given the call.
    ended: told the call, what `work` returned, and what it raised, or None. It must not raise.
    stop: stops the call; a new one after each interruption.
    stopped: why it shall end early.
    running: whether it runs now.
    """

    name: str = ""
    priority: str = "normal"
    user_id: str = ""
    work: Callable[[Any], Any] | None = None
    ended: Callable[[Any, Any, BaseException | None], None] = lambda _call, _result, _error: None
    stop: Cancellation = field(default_factory=Cancellation)
    stopped: str | None = None
    running: bool = False
    number: int = 0
    due: float = 0.0
    thread: int | None = None

    @property
    def urgency(self) -> int:
        """0 for the most urgent."""
        return PRIORITIES.index(self.priority)

    @property
    def order(self) -> tuple[int, int]:
        """The least runs first."""
        return self.urgency, self.number


C = TypeVar("C", bound=Call)


class CallQueue(Generic[C]):
    """Calls from any thread of the process that made it. After `closed`, none begins."""

    def __init__(self) -> None:
        self._owner = Owner("the recommender")
        self._changed = threading.Condition()
        self._waiting: list[C] = []
        self._running: C | None = None
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self.closed = False

    @contextmanager
    def take(self, call: C, *, cancel: Cancellation | None = None, timeout: float | None = None) -> Iterator[C]:
        """Wait until it is the call's turn; the call runs within this block.

        Raises `Cancelled`, `Closed`, `QueueTimeout` after `timeout` seconds of waiting. Raises `RuntimeError` where the
        running call itself asks, which would wait for ever.
        """
        self._owner.check()
        call.thread = threading.get_ident()
        with (cancel or Cancellation()).telling(call.stop.cancel), call.stop.telling(self._wake):
            try:
                self._enter(call, timeout)
                yield call
            except Cancelled as error:
                if call.stopped == INTERRUPTED:
                    raise Preempted("stopped for a more urgent call") from error
                raise
            finally:
                self._leave(call)

    def submit(
        self, call: C, *, after: float = 0.0, ends: Callable[[C], str | None] = lambda _: None
    ) -> list[tuple[C, str]]:
        """Let the queue's thread run a call, not before `after` seconds.

        Calls for which `ends` gives a reason are stopped. Returns the submitted ones among them that waited, each with
        the reason: they are gone. Raises `Closed`.
        """
        self._owner.check()
        with self._changed:
            if self.closed:
                raise Closed("no call is taken any more")
            gone, stopped = self._end(ends)
            call.due = time.monotonic() + after
            interrupted = self._arrive(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="trsr-lite calls", daemon=True)
                atexit.register(self.close)  # a thread that computes while libraries are unloaded would crash
                self._thread.start()
        for stop in [*stopped, *interrupted]:
            stop.cancel()
        return gone

    def stop(self, reason: str, which: Callable[[C], bool] = lambda _: True) -> tuple[list[C], bool]:
        """Stop calls: returns the submitted ones that waited and are gone, and whether the running one is among them.

        Taken ones raise `Cancelled` in their own threads.
        """
        self._owner.check()
        with self._changed:
            running = bool(self._running and which(self._running))
            gone, stopped = self._end(lambda call: reason if which(call) else None)
        for stop in stopped:
            stop.cancel()
        return [call for call, _ in gone], running

    def abandon(self) -> C | None:
        """The running call, which is gone from now on, whatever its work still does; its end is not told."""
        with self._changed:
            call, self._running = self._running, None
            if call and call.work:
                self._disown()
            self._changed.notify_all()
            return call

    def close(self, timeout: float | None = None) -> bool:
        """Refuse calls from now on, stop the running one, and wait for its end.

        False where it has not ended: after `timeout` seconds, or because it is the one that closes, or another process.
        """
        if not self._owner.is_here:
            return False
        with self._changed:
            self.closed = True
            self._waiting = [call for call in self._waiting if not call.work]  # the others leave by themselves
            running, thread = self._running, self._thread
            self._changed.notify_all()
        if running:
            running.stop.cancel()
        with self._changed:
            if self._running and self._running.thread == threading.get_ident():
                return False
            over = self._changed.wait_for(lambda: self._running is None, timeout)
        if over and thread and thread is not threading.current_thread():
            thread.join()
        return over

    def join(self, timeout: float | None = None) -> bool:
        """Wait until no call runs or waits; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and self._running is None and self._thread is None, timeout
            )

    def check(self) -> None:
        """Raise `Closed` where no call begins any more: after `close`, and in a forked process."""
        self._owner.check()
        if self.closed:
            raise Closed("the recommender was closed")

    def state(self) -> tuple[list[C], C | None]:
        """The calls that wait for their turn, the next one first, and the running one."""
        self._owner.check()
        with self._changed:
            return self._due(), self._running

    # Inside; all but `_enter`, `_leave`, `_wake` and `_work` are called with the lock held

    def _enter(self, call: C, timeout: float | None) -> None:
        with self._changed:
            if self._running and self._running.thread == call.thread:
                raise RuntimeError("a recommender was called from a callback of its own running call")
            interrupted = self._arrive(call)
        for stop in interrupted:
            stop.cancel()
        with self._changed:
            self._changed.wait_for(lambda: self.closed or call.stop.cancelled or self._next() is call, timeout)
            if self.closed:
                raise Closed("the recommender was closed")
            call.stop.check()
            if self._next() is not call:
                raise QueueTimeout
            self._begin(call)

    def _arrive(self, call: C) -> list[Cancellation]:
        """Let a call wait; returns what stops the running one, if it is less urgent."""
        call.number = next(self._numbers)
        self._waiting.append(call)
        self._changed.notify_all()
        running = self._running
        if running is None or running.stopped or call.urgency >= running.urgency:
            return []
        running.stopped = INTERRUPTED
        return [running.stop]

    def _due(self) -> list[C]:
        now = time.monotonic()
        return sorted((call for call in self._waiting if call.due <= now), key=lambda call: call.order)

    def _next(self) -> C | None:
        return None if self._running else next(iter(self._due()), None)

    def _begin(self, call: C) -> None:
        self._waiting.remove(call)
        self._running, call.running = call, True

    def _leave(self, call: C, *, again: bool = False) -> bool:
        """A call has run, or waits no longer; whether it was running, and does not wait `again` in its old place."""
        if not self._owner.is_here:  # a forked process that ends in the middle of it
            return False
        with self._changed:
            ran, call.running = self._running is call, False
            if ran:
                self._running = None
            elif call in self._waiting:
                self._waiting.remove(call)
            again = again and ran and not self.closed and call.stopped == INTERRUPTED
            if again:
                call.stop, call.stopped = Cancellation(), None
                self._waiting.append(call)
            self._changed.notify_all()
            return ran and not again

    def _end(self, ends: Callable[[C], str | None]) -> tuple[list[tuple[C, str]], list[Cancellation]]:
        """Submitted calls that waited and are gone, with the reason; and what stops the others that are to end."""
        gone, stopped = list[tuple[C, str]](), list[Cancellation]()
        for call in [*self._waiting, *([self._running] if self._running else [])]:
            if call.stopped not in (None, INTERRUPTED) or not (reason := ends(call)):
                continue
            call.stopped = reason
            if call.work and not call.running:
                self._waiting.remove(call)
                gone.append((call, reason))
            else:
                stopped.append(call.stop)
        return gone, stopped

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # The queue's thread

    def _work(self) -> None:
        while call := self._wait_for_work():
            result: Any = None
            error: BaseException | None = None
            try:
                result = call.work(call) if call.work else None
            except BaseException as raised:  # noqa: BLE001 - whoever submitted it is told
                error = raised
            if self._leave(call, again=isinstance(error, Cancelled)):
                call.ended(call, result, error)

    def _wait_for_work(self) -> C | None:
        """The submitted call whose turn has come; None when nothing is left to wait for, which ends the thread."""
        with self._changed:
            while self._thread is threading.current_thread():
                submitted = [call for call in self._waiting if call.work]
                if self.closed or not submitted:
                    self._disown()
                    break
                call = self._next()
                if call and call.work:
                    call.thread = threading.get_ident()
                    self._begin(call)
                    return call
                left = min(call.due for call in submitted) - time.monotonic()
                self._changed.wait(left if left > 0 else None)
            return None

    def _disown(self) -> None:
        self._thread = None
        atexit.unregister(self.close)
        self._changed.notify_all()
