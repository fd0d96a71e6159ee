"""One call at a time, and who is next.

Invariant: calls run in the order they came, those in the foreground before those in the background; a running
background call is stopped for one in the foreground. A call that is cancelled while it waits leaves at once and
disturbs nobody. No lock is held while a call runs or a cancellation is told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import Cancelled, Closed


class QueueTimeout(Exception):
    """No turn came in time."""


class Preempted(Cancelled):
    """A background call was stopped for one in the foreground; it may try again."""


@dataclass(eq=False)
class _Turn:
    background: bool
    displaced: bool = False
    stop: Cancellation = field(default_factory=Cancellation)
    thread: int = field(default_factory=threading.get_ident)


class CallQueue:
    """The queue of calls on one recommender; usable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[_Turn] = []
        self._running: _Turn | None = None
        self.closed = False

    @contextmanager
    def take(
        self, cancel: Cancellation | None = None, *, background: bool = False, patience: float | None = None
    ) -> Iterator[Cancellation]:
        """Wait for a turn, and have it within this block; yields what stops this one call.

        Raises `Cancelled`, `Closed`, `QueueTimeout` after `patience` seconds without a turn, and `RuntimeError` where
        the running call itself asks, which would wait for ever.
        """
        turn = _Turn(background)
        with (cancel or Cancellation()).telling(turn.stop.cancel), turn.stop.telling(self._wake):
            try:
                self._wait(turn, patience)
                yield turn.stop
            except Cancelled as error:
                if turn.displaced:
                    raise Preempted("stopped for another call") from error
                raise
            finally:
                self._leave(turn)

    def cancel(self) -> None:
        """Stop every call that runs or waits now."""
        with self._changed:
            turns = [*self._waiting, *([self._running] if self._running else [])]
        for turn in turns:
            turn.stop.cancel()

    def close(self) -> bool:
        """Refuse calls from now on, stop the running one, and wait for its end; False where the caller is in it."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            running = self._running
        if running:
            running.stop.cancel()
        with self._changed:
            if self._running and self._running.thread == threading.get_ident():
                return False
            self._changed.wait_for(lambda: self._running is None)
            return True

    def _wait(self, turn: _Turn, patience: float | None) -> None:
        with self._changed:
            running = self._running
            if running and running.thread == turn.thread:
                raise RuntimeError("a recommender was called from a callback of its own running call")
            self._waiting.append(turn)
        if running and running.background and not turn.background:
            running.displaced = True
            running.stop.cancel()
        with self._changed:
            self._changed.wait_for(lambda: self.closed or turn.stop.cancelled or self._next() is turn, patience)
            if self.closed:
                raise Closed("the recommender was closed")
            turn.stop.check()
            if self._next() is not turn:
                raise QueueTimeout
            self._running = turn
            self._waiting.remove(turn)

    def _leave(self, turn: _Turn) -> None:
        with self._changed:
            if self._running is turn:
                self._running = None
            if turn in self._waiting:
                self._waiting.remove(turn)
            self._changed.notify_all()

    def _next(self) -> _Turn | None:
        return None if self._running else min(self._waiting, key=lambda turn: turn.background)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
