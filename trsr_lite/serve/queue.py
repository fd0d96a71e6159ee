"""Requests that wait for the models, the most urgent first.

Invariant: a job is waiting, running or gone, and whoever takes it out of here answers it: the worker that ran it, or
the caller of `stop` or `abandon` that gets it back. Jobs of one priority run in the order in which they came; a more
urgent one interrupts the running job, which then waits in its old place.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trsr_lite.cancellation import Cancellation
from trsr_lite.errors import Cancelled
from trsr_lite.results import OnProgress, Progress
from trsr_lite.serve.message import Id

PRIORITIES = ("high", "normal", "low")
JOBS = 256
JOBS_BYTES = 64 << 20
"""Most requests that wait, and how long they may be together."""

INTERRUPTED = "interrupted"


class Full(Exception):
    """As many requests wait as may."""


@dataclass(eq=False)
class Job:
    """A request's work. `stopped` says why it shall end early; `at` is how far it is."""

    id: Id | None
    method: str
    priority: str
    user_id: str
    work: Callable[[Cancellation, OnProgress], Any]
    size: int = 0
    number: int = 0
    cancel: Cancellation = field(default_factory=Cancellation)
    stopped: str | None = None
    at: Progress | None = None

    @property
    def urgency(self) -> int:
        """0 for the most urgent."""
        return PRIORITIES.index(self.priority)

    @property
    def order(self) -> tuple[int, int]:
        """The least runs first."""
        return self.urgency, self.number


Ends = Callable[[Job], "str | None"]
"""Why a job shall end early, or None."""


class Queue:
    """Jobs between the thread that reads requests and the one that works on them."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._closed = False

    def put(self, job: Job, ends: Ends = lambda _: None) -> list[tuple[Job, str]]:
        """Let a job wait instead of those that it `ends`, which are returned with the reason as `stop` does.

        Raises `Full`; then nothing has ended.
        """
        with self._changed:
            kept = [known for known in self._waiting if not ends(known)]
            if len(kept) >= JOBS or (kept and sum(known.size for known in kept) + job.size > JOBS_BYTES):
                raise Full
            gone, told = self._end(ends)
            job.number = next(self._numbers)
            self._waiting.append(job)
            running = self._running
            if running and not running.stopped and job.urgency < running.urgency:
                running.stopped, told = INTERRUPTED, running.cancel
            self._changed.notify_all()
        if told:
            told.cancel()
        return gone

    def take(self) -> Job | None:
        """The most urgent job, which is running from now on; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._running = min(self._waiting, key=lambda job: job.order)
            self._waiting.remove(self._running)
            return self._running

    def run(self, job: Job, progress: OnProgress) -> tuple[Any, bool]:
        """Work on a taken job; returns its result, and whether it is to be answered. Raises what the work raises.

        An interrupted job waits again, and is not answered now; an abandoned one was answered.
        """
        try:
            result = job.work(job.cancel, progress)
        except BaseException as error:
            with self._changed:
                if not self._leave(job):
                    return None, False
                if not isinstance(error, Cancelled) or job.stopped != INTERRUPTED:
                    raise
                job.cancel, job.stopped, job.at = Cancellation(), None, None
                self._waiting.append(job)
                return None, False
        with self._changed:
            return result, self._leave(job)

    def stop(self, reason: str, which: Callable[[Job], bool]) -> tuple[list[Job], bool]:
        """End jobs early: returns those that were waiting and are gone, and whether the running one was told to end."""
        with self._changed:
            running = bool(self._running and which(self._running))
            gone, told = self._end(lambda job: reason if which(job) else None)
        if told:
            told.cancel()
        return [job for job, _ in gone], running

    def abandon(self) -> Job | None:
        """The running job, which is gone from now on, whatever its work still does."""
        with self._changed:
            job, self._running = self._running, None
            return job

    def close(self) -> None:
        """No job comes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def knows(self, asked: Id) -> bool:
        """Whether a request with this id is not answered yet."""
        waiting, running = self.state()
        return any(job.id == asked for job in (*waiting, *([running] if running else [])))

    def state(self) -> tuple[list[Job], Job | None]:
        """The jobs that wait, the next one first, and the running one."""
        with self._changed:
            return sorted(self._waiting, key=lambda job: job.order), self._running

    def _end(self, ends: Ends) -> tuple[list[tuple[Job, str]], Cancellation | None]:
        """Those that waited and are gone, and what tells the running one, if it is to end."""
        gone = [(job, reason) for job in self._waiting if (reason := ends(job))]
        self._waiting = [job for job in self._waiting if not ends(job)]
        running = self._running
        if running and running.stopped in (None, INTERRUPTED) and (reason := ends(running)):
            running.stopped = reason
            return gone, running.cancel
        return gone, None

    def _leave(self, job: Job) -> bool:
        """Whether a job was running until now, instead of being abandoned."""
        was = self._running is job
        if was:
            self._running = None
        return was
