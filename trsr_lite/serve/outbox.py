"""What waits to be written, for a client that may read slowly, or not at all.

Invariant: an answer is never dropped; of a request's progress only the newest waits, and none behind its answer.
Whoever writes answers on request first waits for `room`. So a client that does not read waits, and we do not grow.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

WAITING_BYTES = 1 << 20
"""More than this unread, and no further message is taken in."""


class Outbox:
    """Lines for a thread that calls `write_all`; `write` writes some of the bytes and returns how many, as `os.write`.

    `broken` says why nothing more can be written, such as a reader that has gone.
    """

    def __init__(self, write: Callable[[memoryview], int | None]) -> None:
        self._write = write
        self._lines: deque[bytes] = deque()
        self._progress: dict[int | str, bytes] = {}
        self._bytes = 0  # of the lines, the one being written included
        self._changed = threading.Condition()
        self._closed = False
        self.broken: OSError | None = None

    def put(self, line: bytes, *, ends: int | str | None = None) -> None:
        """A line that must arrive; it `ends` a request, of which no progress may follow."""
        with self._changed:
            if ends is not None:
                self._progress.pop(ends, None)
            if self.broken is None:
                self._lines.append(line)
                self._bytes += len(line)
            self._changed.notify_all()

    def progress(self, about: int | str, line: bytes) -> None:
        """A line that may be replaced by a newer one of the same request."""
        with self._changed:
            self._progress[about] = line
            self._changed.notify_all()

    def room(self) -> None:
        """Wait until little is unread, or nothing more can be written."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes <= WAITING_BYTES or self.broken is not None)

    def close(self) -> None:
        """Nothing more will come; `write_all` returns once all is written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def write_all(self) -> None:
        """Write until closed, or until that fails."""
        while (line := self._next()) is not None:
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._write(rest) or 0 :]
            except OSError as error:
                with self._changed:
                    self.broken = error
                    self._lines.clear()
                    self._changed.notify_all()
                return

    def _next(self) -> bytes | None:
        with self._changed:
            self._bytes = sum(map(len, self._lines))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._progress or self._closed)
            if self._lines:
                return self._lines.popleft()
            if self._progress:
                return self._progress.pop(next(iter(self._progress)))
            return None
