"""Waiting for what other threads do, without sleeping for as long as it may take.

Invariant: a wait that is in vain ends with `TimeoutError`: a test fails and does not hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trsr_lite.recommender.recommender import Recommender


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0) -> None:
    """Wait until `condition()` is true; raises `TimeoutError` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come true within {seconds:g} s")
        time.sleep(0.001)


def wait_until_running(recommender: Recommender, *, seconds: float = 60.0) -> None:
    """Wait until a call runs that another thread makes."""
    wait_until(lambda: recommender.queue.state()[1], seconds=seconds)


def wait_until_queued(recommender: Recommender, count: int = 1, *, seconds: float = 60.0) -> None:
    """Wait until at least `count` calls of other threads wait for their turn."""
    wait_until(lambda: len(recommender.queue.state()[0]) >= count, seconds=seconds)
