"""Calls on one pool of models, from a caller's thread or behind all others; the end of idle models.

Invariant: whatever touches models happens in a call whose turn has come, with a `ModelSession`. Work behind others
keeps what it has finished. A failure there is logged without any text of a user, and never raised.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import Cancelled, Closed, ModelError, StoreError
from trsr_lite.models.bundle import ModelFile
from trsr_lite.models.pool import ModelPool
from trsr_lite.models.session import ModelSession
from trsr_lite.recommender.queue import Call, CallQueue
from trsr_lite.results import OnProgress

logger = logging.getLogger(__name__)

LOAD, UNLOAD = "load", "unload"


class Calls:
    """The calls of one recommender.

    Models are freed once no call has ended for `unload_after` seconds (None: never), and with `release` at the end.
    """

    def __init__(self, pool: ModelPool, unload_after: float | None, release: Callable[[], None]) -> None:
        self.queue: CallQueue[Call] = CallQueue()
        self.pool, self._unload_after, self._release = pool, unload_after, release

    @contextmanager
    def run(
        self,
        name: str,
        cancel: Cancellation | None = None,
        progress: OnProgress | None = None,
        *,
        timeout: float | None = None,
    ) -> Iterator[ModelSession]:
        """Wait for the call's turn, which is this block; raises what `CallQueue.take` raises."""
        with (
            self.queue.take(Call(name), cancel=cancel, timeout=timeout) as call,
            self._session(call, progress) as session,
        ):
            yield session

    def behind(
        self,
        name: str,
        work: Callable[[ModelSession], object],
        *,
        user_id: str = "",
        priority: str = "low",
        replace: bool = False,
        cancel: Cancellation | None = None,
    ) -> None:
        """Do `work` when nothing more urgent waits; raises `Closed`.

        With `replace`, instead of an earlier call of this name and user that still waits.
        """

        def attempt(call: Call) -> None:
            with (cancel or Cancellation()).telling(call.stop.cancel), self._session(call) as session:
                work(session)

        call = Call(name, priority, user_id, attempt, _log)
        self.queue.submit(call, ends=lambda other: "replaced" if replace and _repeats(other, call) else None)

    def load_behind(self, files: Sequence[ModelFile]) -> None:
        """Load these where one is missing, so that a later call has them, however little time that has."""

        def load(session: ModelSession) -> None:
            for file in files:
                session.use(file)

        if any(file not in self.pool for file in files):
            # In line with the others, which would interrupt anything less urgent again and again.
            self.behind(LOAD, load, priority="normal", replace=True)

    def forget(self, user_id: str) -> None:
        """Stop the work behind others that is this user's."""
        self.queue.stop("forgotten", lambda call: call.work is not None and call.user_id == user_id)

    def cancel(self) -> None:
        """Stop every call that runs or waits."""
        self.queue.stop("cancelled", lambda call: call.name != UNLOAD)

    def close(self) -> None:
        """Refuse calls from now on, stop the running one, and free all: now, or as the call that closes ends."""
        if self.queue.close():
            self._release()

    @contextmanager
    def _session(self, call: Call, progress: OnProgress | None = None) -> Iterator[ModelSession]:
        try:
            yield ModelSession(call.stop, progress, self.pool)
        finally:
            if self.queue.closed:  # while this call ran, and perhaps by it
                self._release()
            elif self._unload_after is not None:
                self._unload_later(self._unload_after)

    def _unload_later(self, seconds: float) -> None:
        call = Call(UNLOAD, "low", work=lambda _: self.pool.close(), ended=_log)
        with contextlib.suppress(Closed):  # a moment ago
            self.queue.submit(call, after=seconds, ends=lambda other: "put off" if _repeats(other, call) else None)


def _repeats(other: Call, call: Call) -> bool:
    return not other.running and (other.name, other.user_id) == (call.name, call.user_id)


def _log(_call: Call, _result: object, error: BaseException | None) -> None:
    if error is None or isinstance(error, (Cancelled, Closed)):
        return
    # Errors of these kinds name files, never texts; the message of another may hold a user's text.
    said = error if isinstance(error, (ModelError, StoreError)) else type(error).__name__
    logger.warning("work in the background failed: %s", said)
