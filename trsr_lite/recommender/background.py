"""What a recommender does while nobody waits: summaries ahead of their need, loading and giving back models.

Invariant: at most one thread, which lives only while there is something to do or to wait for, and ends before the
process does. What was finished is kept; what fails is logged without any text of a user, and never raised.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import Cancelled, Closed, ModelError, StoreError
from trsr_lite.recommender.turns import Preempted

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    work: Callable[[Cancellation], object]
    user_id: str
    cancel: Cancellation
    ahead: bool
    stop: Cancellation = field(default_factory=Cancellation)


class Background:
    """The queue of work to do, and the clock of idleness.

    `unload(is_due)` is a call of the recommender, which happens once nothing was called for `unload_after` seconds
    (None: never).
    """

    def __init__(self, unload: Callable[[Callable[[], bool]], None], unload_after: float | None) -> None:
        self._unload, self._unload_after = unload, unload_after
        self._changed = threading.Condition()
        self._tasks: list[_Task] = []
        self._at_hand: _Task | None = None  # also where another has replaced it meanwhile
        self._unload_at: float | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(
        self,
        work: Callable[[Cancellation], object],
        *,
        user_id: str = "",
        cancel: Cancellation | None = None,
        ahead: bool = False,
    ) -> None:
        """Do `work`, a call that ends where what it is given says so; an earlier wish for the same user is replaced.

        One that goes `ahead` is done before all others, and replaces an earlier such.
        """
        with self._changed:
            if self._closed:
                raise Closed("the recommender was closed")
            task = _Task(work, user_id, cancel or Cancellation(), ahead)
            kept = [one for one in self._tasks if not (one.ahead if ahead else user_id and one.user_id == user_id)]
            self._tasks = [task, *kept] if ahead else [*kept, task]
            self._wake()

    def drop(self, user_id: str | None = None) -> None:
        """Forget every wish, or those for one user."""
        with self._changed:
            at_hand = [self._at_hand] if self._at_hand else []
            tasks = [task for task in [*self._tasks, *at_hand] if user_id in (None, task.user_id)]
            self._tasks = [task for task in self._tasks if task not in tasks]
        for task in tasks:
            task.stop.cancel()

    def idle(self) -> None:
        """A call has ended: models may be given back if no other comes."""
        if self._unload_after is not None:
            with self._changed:
                self._unload_at = time.monotonic() + self._unload_after
                if not self._closed:
                    self._wake()

    def close(self) -> None:
        """Stop, and wait for the thread's end unless the caller is in it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        self.drop()
        if thread and thread is not threading.current_thread():
            thread.join()

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trsr-lite background", daemon=True)
            atexit.register(self.close)  # a thread that computes while the process unloads its libraries would crash it
            self._thread.start()

    def _work(self) -> None:
        while job := self._next():
            try:
                job()
            except (Cancelled, Closed):
                pass  # asked for
            except (ModelError, StoreError) as error:  # they name files, never texts
                logger.warning("work in the background failed: %s", error)
            except Exception as error:  # noqa: BLE001 - the host must not see it; its message may hold a user's text
                logger.warning("work in the background failed: %s", type(error).__name__)

    def _next(self) -> Callable[[], None] | None:
        """What to do now, after waiting for it; None when there is nothing more, which ends the thread."""
        with self._changed:
            while not self._closed:
                if self._tasks:
                    self._at_hand = task = self._tasks[0]
                    return lambda: self._attempt(task)
                if self._unload_at is None:
                    break
                if (left := self._unload_at - time.monotonic()) <= 0:
                    return lambda: self._unload(self._is_due)
                self._changed.wait(left)
            self._thread = None
            atexit.unregister(self.close)
            return None

    def _attempt(self, task: _Task) -> None:
        try:
            with task.cancel.telling(task.stop.cancel):
                task.work(task.stop)
        except Preempted:
            return  # it stays in the queue, unless it was dropped meanwhile
        except BaseException:
            self._done(task)
            raise
        self._done(task)

    def _done(self, task: _Task) -> None:
        with self._changed:
            self._at_hand = None
            if task in self._tasks:
                self._tasks.remove(task)

    def _is_due(self) -> bool:
        """Asked when nothing else runs; a call that has ended meanwhile has put the moment off."""
        with self._changed:
            if self._unload_at is None or self._unload_at > time.monotonic():
                return False
            self._unload_at = None
            return True
