"""A job that a coroutine waits for.

Invariant: whoever stops waiting cancels the job, whether it runs, waits, or was not yet submitted. Checking a request
and submitting it happen in a thread, so that no long history holds up the others.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from trsr_lite.errors import Cancelled
from trsr_lite.serve.job import Job
from trsr_lite.serve.message import Id
from trsr_lite.serve.service import Progressed, Service


class Stopped(Cancelled):
    """The job was stopped by somebody else: `reason` is `superseded`, `forgotten`, or `ended`, with the server."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the request was {reason}" if reason in ("superseded", "forgotten") else "the server ends")
        self.reason = reason


async def awaited(
    service: Service,
    prepare: Callable[[], tuple[str, Any]],
    *,
    id: Id,  # noqa: A002 - as JSON-RPC calls it
    size: int = 0,
    progressed: Progressed = lambda _job, _progress: None,
) -> Any:
    """The result of a job; `prepare` gives its method and its params, and `id` is no other job's.

    Raises what preparing, submitting, and the work raise, and `Stopped`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    left = threading.Event()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def ended(job: Job, result: Any, error: BaseException | None) -> None:
        if isinstance(error, Cancelled):
            error = Stopped(job.stopped or "ended")
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    def cancel() -> None:
        service.stop("cancelled", lambda job: job.id == id)

    def submit() -> None:
        service.submit(*prepare(), ended, progressed=progressed, id=id, size=size)
        if left.is_set():  # while it was submitted
            cancel()

    try:
        await asyncio.to_thread(submit)
        return await done
    finally:
        left.set()
        if not done.done() or done.cancelled():
            done.cancel()
            cancel()
