"""A request that waits for the models: a call of the queue, and how many of them may wait.

Invariant: a request is answered once: by the end of its job, or by whoever stops the job while it waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trsr_lite.recommender.queue import Call
from trsr_lite.results import Progress
from trsr_lite.serve.message import Id

JOBS = 256
JOBS_BYTES = 64 << 20
"""Most requests that wait, and how long they may be together."""


@dataclass(eq=False)
class Job(Call):
    """A request's call, whose `name` is the method; without an `id` nobody waits for its answer.

    Attributes
    ----------
    size: bytes of the request.
    progress: how far it is.
    """

    id: Id | None = None
    size: int = 0
    progress: Progress | None = None


def is_full(waiting: Sequence[Job], job: Job) -> bool:
    """Whether these leave no room for one more; one job always has room."""
    return len(waiting) >= JOBS or (bool(waiting) and sum(known.size for known in waiting) + job.size > JOBS_BYTES)
