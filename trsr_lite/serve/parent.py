"""Whether the process that started this one is still there.

Invariant: nothing is sent to it and nothing is set up in the system, so asking is safe at any time. An orphan on POSIX
has another parent; on Windows it keeps the dead one's number, which another process may get.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def watch() -> Callable[[], bool]:
    """A function that says whether the parent of now still runs."""
    first = os.getppid()
    if os.name == "posix":
        return lambda: os.getppid() == first
    import psutil

    try:
        parent = psutil.Process(first)
    except psutil.NoSuchProcess:
        return lambda: False
    return parent.is_running
