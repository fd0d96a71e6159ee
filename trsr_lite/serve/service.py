"""What stands behind every transport: the models, and the one queue of requests for them.

Invariant: a request that was submitted ends exactly once, whether its work is done, fails, or is stopped while it
waits; `ended` is told by the thread that ended it. A transport knows how its client is answered; nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from trsr_lite.errors import Cancelled
from trsr_lite.recommender.queue import CallQueue
from trsr_lite.results import OnProgress, Progress
from trsr_lite.serve import message
from trsr_lite.serve.job import Job, is_full
from trsr_lite.serve.message import Id, Refused
from trsr_lite.serve.recommenders import Recommenders

Ended = Callable[[Job, Any, BaseException | None], None]
"""Told the job, its result, and what went wrong: `Cancelled` where it was stopped, for what `stopped` says."""

Progressed = Callable[[Job, Progress], None]

Told = Callable[[Job, Any], None]
"""Told the job, and a result that is not final."""


class Service:
    """The queue of requests for some recommenders; usable from any thread."""

    def __init__(self, recommenders: Recommenders) -> None:
        self.recommenders = recommenders
        self.queue = CallQueue[Job]()
        self._left_behind = False

    def submit(
        self,
        method: str,
        params: Any,
        ended: Ended,
        *,
        progressed: Progressed = lambda _job, _progress: None,
        told: Told = lambda _job, _result: None,
        id: Id | None = None,  # noqa: A002 - as JSON-RPC calls it
        size: int = 0,
    ) -> Job:
        """Let a request wait for its turn; `params` are one of `methods.METHODS`, checked.

        Raises `Refused` where too many wait, and what `params.prepare` raises.
        """
        user_id, work = params.prepare()
        job = Job(
            method,
            params.priority,
            user_id,
            lambda job: work(self.recommenders, job.stop, _reporter(job, progressed), partial(told, job)),
            ended,
            id=id,
            size=size,
        )

        def ends(other: Job) -> str | None:
            same = other.name == job.name
            if other.user_id != user_id or not (params.supersede if same else job.name == "forget"):
                return None
            return "superseded" if same else "forgotten"

        waiting, _ = self.queue.state()
        if is_full([other for other in waiting if not ends(other)], job):
            raise Refused(message.BUSY, "too many requests wait", to=id, hint="wait for answers, or cancel requests")
        for other, reason in self.queue.submit(job, ends=ends):
            _end_unrun(other, reason)
        return job

    def stop(self, reason: str, which: Callable[[Job], bool] = lambda _: True) -> bool:
        """End jobs early; those that wait end now. Whether there were any."""
        gone, running = self.queue.stop(reason, which)
        for job in gone:
            _end_unrun(job, reason)
        return running or bool(gone)

    def knows(self, id: Id) -> bool:  # noqa: A002 - as JSON-RPC calls it
        """Whether a request with this id has not ended yet."""
        waiting, running = self.queue.state()
        return any(job.id == id for job in (*waiting, *([running] if running else [])))

    def status(self) -> dict[str, Any]:
        """What runs, what waits, which models are open."""
        import psutil

        waiting, running = self.queue.state()
        at = running.progress if running else None
        return {
            "running": running and {"id": running.id, "method": running.name, **(at._asdict() if at else {})},
            "waiting": [{"id": job.id, "method": job.name, "priority": job.priority} for job in waiting],
            "models": self.recommenders.describe(),
            "memory_bytes": psutil.Process().memory_info().rss,
        }

    def abandon(self) -> Job | None:
        """The running job, which has ended from now on, whatever its work still does; it is not told."""
        job = self.queue.abandon()
        self._left_behind = self._left_behind or job is not None
        return job

    def close(self, seconds: float) -> None:
        """Stop all, and close the models, unless a request that still runs after so many seconds uses them."""
        self.stop("ended")
        over = self.queue.close(seconds)
        if over and not self._left_behind:
            self.recommenders.close()
        elif not over:
            self.queue.abandon()


def _reporter(job: Job, progressed: Progressed) -> OnProgress:
    job.progress = None

    def report(progress: Progress) -> None:
        job.progress = progress
        job.stop.check()  # fetching and preparing a model know of no cancellation
        progressed(job, progress)

    return report


def _end_unrun(job: Job, reason: str) -> None:
    job.stopped = reason
    job.ended(job, None, Cancelled("stopped on request"))
