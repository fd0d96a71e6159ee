"""Stopping a call from outside.

Invariant: once cancelled, always cancelled. Whoever listens is told once, by the thread that cancels and before
`cancel()` returns. Nobody is told after the `telling` block was left: a late word cannot hit the next call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from trsr_lite.errors import Cancelled


def limit(seconds: float | None) -> float | None:
    """A timeout in seconds. One beyond `threading.TIMEOUT_MAX` is None: no limit."""
    return None if seconds is None or seconds >= threading.TIMEOUT_MAX else seconds


class Deadline:
    """A moment some seconds from now; None is never."""

    def __init__(self, seconds: float | None) -> None:
        seconds = limit(seconds)
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds until then, at least 0; None where there is no end."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())


class Cancellation:
    """Stops the calls that it is given to: `recommender.recommend(user, cancel=stop)`, then `stop.cancel()`.

    `cancel()` may come from any thread, from a callback or a signal handler, before, during or after the call. It
    cannot be taken back: a call that is given a cancelled one raises `Cancelled` at once.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may cancel while its own thread is in here
        self._cancelled = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel()` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the calls; does nothing the second time."""
        with self._lock:
            self._cancelled = True
            while self._listeners:
                self._listeners.pop()()

    def check(self) -> None:
        """Raise `Cancelled` where it was cancelled."""
        if self._cancelled:
            raise Cancelled("stopped on request")

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within this block `cancel()` calls `listener`, which must not wait; at once if it was cancelled before."""
        with self._lock:
            self._listeners.append(listener)  # first: a signal handler may cancel between any two lines
            if self._cancelled:
                self.cancel()
        try:
            yield
        finally:
            with self._lock, suppress(ValueError):  # it was told
                self._listeners.remove(listener)

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[Cancellation]:
        """Another one for this block, cancelled with this one or after so many seconds, whichever comes first."""
        limited = Cancellation()
        timer = threading.Timer(seconds or 0.0, limited.cancel)
        timer.daemon = True
        with self.telling(limited.cancel):
            if seconds is not None and seconds <= 0:
                limited.cancel()
            elif seconds is not None:
                timer.start()
            try:
                yield limited
            finally:
                timer.cancel()
