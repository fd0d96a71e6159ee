"""The process that a thing lives in. A fork copies its memory, but neither its threads nor its right to a database.

Invariant: what has an owner says `Closed` in a forked process before it waits for a lock: the thread that held the lock
at the moment of the fork does not exist there, and would never give it back.
"""

from __future__ import annotations

import os

from trsr_lite.errors import Closed


class Owner:
    """The process that made this object; `name` is what the owned thing is called in a message."""

    def __init__(self, name: str) -> None:
        self._name, self._process = name, os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raise `Closed` in a process that was forked from the owner."""
        if not self.is_here:
            raise Closed(
                f"{self._name} belongs to process {self._process}, which this one was forked from",
                hint="open it in the new process, not before the fork",
            )
