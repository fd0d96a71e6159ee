"""The process that a thing lives in. A fork copies its memory, but neither its threads nor its right to a database.

Invariant: what has an owner says `Closed` in a forked process before it waits for a lock: the thread that held it
at the fork does not exist there, and would never give it back. A fork waits for work that is held by an owner: a
library that was copied in the middle of it could never be used in the new process.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from trsr_lite.errors import Closed

PATIENCE = 30.0  # seconds that a fork waits, at most


class Owner:
    """The process that made this object; `name` is what the owned thing is called in a message."""

    def __init__(self, name: str) -> None:
        self._name, self._process, self._lock = name, os.getpid(), threading.RLock()
        _Forks.add(self._lock)

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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this block no other thread is in such a block, and nobody forks; raises as `check` does."""
        self.check()
        with self._lock:
            yield


class _Forks:
    """The locks of all owners of this process, which a fork takes first."""

    known: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    lock = threading.Lock()
    taken: tuple[Any, ...] = ()

    @classmethod
    def add(cls, lock: Any) -> None:
        with cls.lock:
            cls.known.add(lock)

    @classmethod
    def before(cls) -> None:
        cls.lock.acquire()
        cls.taken = tuple(lock for lock in cls.known if lock.acquire(timeout=PATIENCE))

    @classmethod
    def in_parent(cls) -> None:
        for lock in cls.taken:
            lock.release()
        cls.taken = ()
        cls.lock.release()

    @classmethod
    def in_child(cls) -> None:
        cls.known, cls.lock, cls.taken = weakref.WeakSet(), threading.Lock(), ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_Forks.before, after_in_parent=_Forks.in_parent, after_in_child=_Forks.in_child)
