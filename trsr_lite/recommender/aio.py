"""Calling a recommender from asyncio: the one way.

Invariant: the event loop never waits for a model, and when the `await` is over, so is the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from trsr_lite.cancellation import Cancellation

T = TypeVar("T")


async def run_async(call: Callable[..., T], *arguments: Any, progress: Any = None, **options: Any) -> T:
    """What `call(*arguments, **options)` returns, from a thread of its own.

    Such as `await run_async(recommender.recommend, user, k=10)`. `call` is a method that takes `cancel`: cancelling the
    task cancels the call, and the task ends as soon as the call has. `progress`, if given, is called in the event loop.
    """
    loop, stop, done = asyncio.get_running_loop(), Cancellation(), asyncio.Event()
    results: list[T] = []
    errors: list[BaseException] = []
    if progress is not None:
        options["progress"] = lambda step: loop.call_soon_threadsafe(progress, step)

    def work() -> None:
        try:
            results.append(call(*arguments, cancel=stop, **options))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            errors.append(error)
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="trsr-lite call", daemon=True).start()
    try:
        await done.wait()
    except asyncio.CancelledError:
        stop.cancel()
        while not done.is_set():  # whoever cancels once more does not end the call sooner
            with contextlib.suppress(asyncio.CancelledError):
                await done.wait()
        raise
    if errors:
        raise errors[0]
    return results[0]
