"""A recommender in a thread of its own, for a window that must never wait.

Invariant: no method here blocks. A job that is asked for stops the ranking before it; what is to be forgotten is
forgotten, whatever is asked for after it. What happens is put into `events` with the number of its job, so that late
news of an old job can be told apart.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trsr_lite import Cancellation, Cancelled, Item, Progress, Recommender, Result, User


class Moved(NamedTuple):
    """A job is further than before."""

    job: int
    progress: Progress


class Ranked(NamedTuple):
    """A job is done: the candidates are ranked for this history."""

    job: int
    history: Sequence[Item]
    result: Result


class Forgotten(NamedTuple):
    """So many stored summaries are deleted."""

    job: int
    summaries: int


class Ended(NamedTuple):
    """A job was cancelled (`error` is None), or failed."""

    job: int
    error: Exception | None = None


Event = Moved | Ranked | Forgotten | Ended
Load = Callable[[Callable[[Progress], None]], Recommender]
Work = Callable[[Recommender, Callable[[Progress], None], Cancellation], Event]


class Worker:
    """Runs jobs one after another. `events` is a queue that the window empties now and then."""

    def __init__(self, load: Load) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._load = load
        self._jobs: queue.SimpleQueue[tuple[int, Work, Cancellation] | None] = queue.SimpleQueue()
        self._newest, self._stop = 0, Cancellation()
        self._thread = threading.Thread(target=self._run, name="recommender")
        self._thread.start()

    def rank(self, user: User) -> int:
        """Rank the user's candidates; returns the job's number."""

        def work(recommender: Recommender, progress: Callable[[Progress], None], stop: Cancellation) -> Event:
            return Ranked(job, user.history, recommender.recommend(user, progress=progress, cancel=stop))

        self.cancel()
        self._stop = Cancellation()
        job = self._submit(work, self._stop)
        return job

    def forget(self, user_id: str) -> int:
        """Delete what is stored of a user, whatever is cancelled later; returns the job's number."""

        def work(recommender: Recommender, *_: object) -> Event:
            return Forgotten(job, recommender.forget(user_id))

        self.cancel()
        job = self._submit(work, Cancellation())
        return job

    def cancel(self) -> None:
        """Stop the ranking that runs or waits; its end is an event."""
        self._stop.cancel()

    def close(self) -> None:
        """Stop, forget what is to be forgotten, and free the models; `closed` turns true a moment later."""
        self.cancel()
        self._jobs.put(None)

    @property
    def cancelled(self) -> bool:
        """Whether the newest ranking was told to stop."""
        return self._stop.cancelled

    @property
    def closed(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def _submit(self, work: Work, stop: Cancellation) -> int:
        self._newest += 1
        self._jobs.put((self._newest, work, stop))
        return self._newest

    def _run(self) -> None:
        recommender: Recommender | None = None
        while (next_job := self._jobs.get()) is not None:
            job, work, stop = next_job

            def report(progress: Progress, job: int = job, stop: Cancellation = stop) -> None:
                stop.check()  # while loading too
                self.events.put(Moved(job, progress))

            try:
                stop.check()
                recommender = recommender or self._load(report)
                self.events.put(work(recommender, report, stop))
            except Cancelled:
                self.events.put(Ended(job))
            except Exception as error:  # noqa: BLE001 - the window shows it, or raises it where it can be seen
                self.events.put(Ended(job, error))
        if recommender:
            recommender.close()
